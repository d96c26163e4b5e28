"""The watch's first list comes in pages, and a page is not kept: kopf once held all states at once, whole.

On kopf, in a process of its own, against an HTTP server that answers as the API server does.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import yaml
from humangov.api.spec import GROUP, KIND, PLURAL, VERSION

from testing import samples

NUMBER, A_PAGE, KIB = 300, 20, 250
WATCHES = """
import asyncio, json, re, sys
from pathlib import Path
from humangov.kube import client
from humangov.manager import watch

def peak_mib():
    # Not ru_maxrss, which begins with that of the process that started this one.
    return int(re.search(r"VmHWM:\\s+([0-9]+) kB", Path("/proc/self/status").read_text())[1]) / 1024

async def story(number):
    names, stop, done = [], asyncio.Event(), asyncio.Event()

    async def on_event(kind, state):
        names.append(state["metadata"]["name"])
        if len(names) == number:
            done.set()

    watching = watch.start(namespaces=(), on_event=on_event, stop=stop, ready=asyncio.Event())
    await asyncio.wait_for(done.wait(), 60)
    stop.set()
    await watching
    return names

client.PAGE = int(sys.argv[2])
before = peak_mib()
names = asyncio.run(story(int(sys.argv[1])))
print(json.dumps({"names": names, "mib": peak_mib() - before}))
"""


@cache
def page(begin: int, end: int) -> bytes:
    items = []
    for number in range(begin, end):
        state = dict(samples.resource(f"n{number}", metadata={"annotations": {"a": "x" * KIB * 1024}}))
        state["metadata"] |= {"uid": f"uid-{number}", "resourceVersion": "1"}
        items.append(state)
    following = str(end) if end < NUMBER else ""
    metadata = {"resourceVersion": "1", "continue": following}
    return json.dumps({"kind": f"{KIND}List", "metadata": metadata, "items": items}).encode()


def group(name: str, version: str = "v1") -> dict[str, Any]:
    one = {"groupVersion": f"{name}/{version}", "version": version}
    return {"name": name, "versions": [one], "preferredVersion": one}


def kinds(*names: tuple[str, str, bool]) -> dict[str, Any]:
    found = [
        {
            "name": plural,
            "singularName": kind.lower(),
            "kind": kind,
            "namespaced": namespaced,
            "verbs": ["list", "watch"],
        }
        for plural, kind, namespaced in names
    ]
    return {"kind": "APIResourceList", "resources": found}


DISCOVERY: dict[str, Any] = {
    "/api": {"versions": ["v1"]},
    "/apis": {"groups": [group(GROUP, VERSION), group("apiextensions.k8s.io")]},
    "/api/v1": kinds(("namespaces", "Namespace", False), ("events", "Event", True)),
    "/apis/apiextensions.k8s.io/v1": kinds(("customresourcedefinitions", "CustomResourceDefinition", False)),
    f"/apis/{GROUP}/{VERSION}": kinds((PLURAL, KIND, True)),
}


class Answers(BaseHTTPRequestHandler):
    lists: list[dict[str, str]]
    ended: threading.Event

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        asked = {name: values[0] for name, values in parse_qs(url.query).items()}
        if "watch" in asked:
            self._send(b"", length=None)
            self.ended.wait(60)
        elif url.path in DISCOVERY:
            self._send(json.dumps(DISCOVERY[url.path]).encode())
        else:
            assert url.path == f"/apis/{GROUP}/{VERSION}/{PLURAL}"
            self.lists.append(asked)
            begin = int(asked.get("continue", 0))
            self._send(page(begin, min(NUMBER, begin + int(asked.get("limit", NUMBER)))))

    def _send(self, body: bytes, *, length: bool | None = True) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        if length:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[type[Answers], Path]]:
    """What it was asked, and a kubeconfig for it."""

    class Own(Answers):
        lists: list[dict[str, str]] = []  # noqa: RUF012 - a class for each test
        ended = threading.Event()

    with ThreadingHTTPServer(("127.0.0.1", 0), Own) as http:
        threading.Thread(target=http.serve_forever, daemon=True).start()
        config = {
            "apiVersion": "v1", "kind": "Config", "current-context": "c",
            "clusters": [{"name": "c", "cluster": {"server": f"http://127.0.0.1:{http.server_address[1]}"}}],
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
            "users": [{"name": "u", "user": {"token": "x"}}],
        }  # fmt: skip
        path = tmp_path / "config.yaml"
        path.write_text(yaml.safe_dump(config))
        yield Own, path
        Own.ended.set()
        http.shutdown()


def test_300_states_of_250_kib_come_in_pages_and_no_more_than_a_few_pages_are_held(
    server: tuple[type[Answers], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In one list 1000 took 734 MiB. In pages 300 took 86, when kopf kept each object for 5 seconds, and 25 now."""
    answers, config = server
    monkeypatch.setenv("KUBECONFIG", str(config))
    done = subprocess.run(
        [sys.executable, "-c", WATCHES, str(NUMBER), str(A_PAGE)],
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout)
    assert sorted(found["names"]) == sorted(f"n{number}" for number in range(NUMBER))
    assert [(one.get("limit"), one.get("continue")) for one in answers.lists] == [
        (str(A_PAGE), str(begin) if begin else None) for begin in range(0, NUMBER, A_PAGE)
    ]
    assert found["mib"] < 55
