"""The operator's own log: JSON lines for machines, plain lines for a terminal. Never a secret, never file content."""

from __future__ import annotations

import json
import logging
import sys
from contextvars import ContextVar
from datetime import UTC, datetime

FIELDS = ("tenant", "resource", "action", "duration_ms", "error", "changed")

_SDK = ("boto3", "botocore", "s3transfer", "urllib3")

# The tenant being reconciled, `namespace/name`: a field of every line that is logged meanwhile, in its threads too.
tenant: ContextVar[str | None] = ContextVar("tenant", default=None)


class _TenantFilter(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        if getattr(record, "tenant", None) is None:
            record.tenant = tenant.get()
        return True


def printable(text: str) -> str:
    """The text as one line that is safe for a terminal: control, format and separator characters are escaped."""
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text)


class _SdkFilter(logging.Filter):
    """What the SDK logs by itself may quote the URL of a request, and so a file's name: without it."""

    def filter(self, record: logging.LogRecord) -> bool:
        if record.name.split(".")[0] in _SDK:
            error = record.exc_info[0] if record.exc_info else None
            record.msg = f"{record.msg} ({error.__name__})" if error else str(record.msg)
            record.args, record.exc_info, record.exc_text = None, None, None
        return True


class JsonFormatter(logging.Formatter):
    """One object a line: time, level, logger, message, and those of FIELDS that are set."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        for name in FIELDS:
            value = getattr(record, name, None)
            if value is not None:
                line[name] = value
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


class TextFormatter(logging.Formatter):
    """`21:04:05.123 info  humangov/california  lambda:CreateFunction … (31.2 ms)`."""

    def format(self, record: logging.LogRecord) -> str:
        moment = datetime.fromtimestamp(record.created, UTC).strftime("%H:%M:%S.%f")[:-3]
        whose = getattr(record, "tenant", None)
        duration = getattr(record, "duration_ms", None)
        message = printable(f"{whose}  {record.getMessage()}" if whose else record.getMessage())
        text = f"{moment} {record.levelname.lower():7} {message}"
        if duration is not None:
            text += f" ({duration} ms)"
        if record.exc_info:
            text += "".join(f"\n{printable(line)}" for line in self.formatException(record.exc_info).split("\n"))
        return text


def configure(*, log_format: str, level: str) -> None:
    """Configure the root logger; libraries log warnings and errors only."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if log_format == "json" else TextFormatter())
    handler.addFilter(_TenantFilter())
    handler.addFilter(_SdkFilter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("humangov").setLevel(level.upper())
    # kopf silences asyncio's logger, which reports tasks that died.
    logging.getLogger("asyncio").propagate = True
