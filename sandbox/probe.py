"""Asking a local server whether it answers."""

from __future__ import annotations

import http.client
import ssl
from pathlib import Path
from urllib.parse import urlsplit

from sandbox.pki import Pair


def status(
    url: str, *, authority: Path | None = None, client: Pair | None = None, timeout_seconds: float = 2.0
) -> int | None:
    """The HTTP status of GET `url`; None if nobody answers. Trusts `authority` alone, shows `client`."""
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port
    connection: http.client.HTTPConnection
    if parts.scheme == "https":
        try:
            context = ssl.create_default_context(cafile=str(authority))
            if client is not None:
                context.load_cert_chain(client.certificate, client.key)
        except FileNotFoundError:  # purged
            return None
        connection = http.client.HTTPSConnection(host, port, timeout=timeout_seconds, context=context)
    else:
        connection = http.client.HTTPConnection(host, port, timeout=timeout_seconds)
    try:
        connection.request("GET", parts.path)
        return connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()
