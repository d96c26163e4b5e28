"""The cleanup function's AWS, in which each call takes as long as asked: `python -m bench.slow_aws PORT_FILE SECONDS`.

It answers what the function calls for a bucket that keeps no versions and a table in which no record is left, and does
it: files that are put with PUT /put are erased, lines are kept. GET /state tells when each file went. It checks no
signature and throttles nothing.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar
from xml.etree import ElementTree

from testing.lambda_runtime.runtime_api import LOG_GROUP

_S3 = "{http://s3.amazonaws.com/doc/2006-03-01/}"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    seconds: float
    lock = threading.Lock()
    files: ClassVar[set[str]] = set()
    erased_at: ClassVar[dict[str, float]] = {}
    announced: ClassVar[set[str]] = set()
    unannounced: ClassVar[set[str]] = set()
    streams: ClassVar[set[str]] = set()

    def do_GET(self) -> None:
        if self.path == "/state":
            state = {"files": len(self.files), "erased_at": self.erased_at, "unannounced": len(self.unannounced)}
            self._answer(json.dumps(state).encode())
            self.erased_at.clear()
        elif "versioning" in self.path:
            time.sleep(self.seconds)
            self._answer(b"<VersioningConfiguration/>", kind="application/xml")
        else:
            self._answer(b"", status=501)

    def do_PUT(self) -> None:
        """The files of the next batch, a JSON list."""
        self.files.update(json.loads(self._body()))
        self._answer(b"{}")

    def do_POST(self) -> None:
        body = self._body()
        time.sleep(self.seconds)
        target = self.headers.get("X-Amz-Target", "").rpartition(".")[2]
        if not target:
            self._answer(self._delete(body), kind="application/xml")
            return
        answer = _OPERATIONS[target](self, json.loads(body))
        self._answer(
            json.dumps(answer).encode(), kind="application/x-amz-json-1.1", status=200 if answer is not None else 400
        )

    def _delete(self, body: bytes) -> bytes:
        keys = [str(one.text) for one in ElementTree.fromstring(body).iter(f"{_S3}Key")]  # noqa: S314 - our own function's
        now = time.time()
        with self.lock:
            self.unannounced.update(set(keys) - self.announced)
            self.erased_at.update({key: now for key in keys if key in self.files})
            self.files.difference_update(keys)
        deleted = "".join(f"<Deleted><Key>{key}</Key></Deleted>" for key in keys)
        return f"<DeleteResult>{deleted}</DeleteResult>".encode()

    def _read(self, request: Any) -> Any:
        return {"Responses": {table: [] for table in request["RequestItems"]}, "UnprocessedKeys": {}}

    def _create_stream(self, request: Any) -> Any:
        self.streams.add(request["logStreamName"])
        return {}

    def _put_lines(self, request: Any) -> Any:
        if request["logGroupName"] != LOG_GROUP or request["logStreamName"] not in self.streams:
            return None
        lines = [json.loads(one["message"]) for one in request["logEvents"]]
        with self.lock:
            self.announced.update(line["key"] for line in lines if line.get("receipt") == "intent")
        return {}

    def _body(self) -> bytes:
        if self.headers.get("Expect"):
            self.close_connection = False
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def _answer(self, body: bytes, *, kind: str = "application/json", status: int = 200) -> None:
        self.send_response_only(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Nothing."""


_OPERATIONS = {
    "BatchGetItem": Handler._read,
    "CreateLogStream": Handler._create_stream,
    "PutLogEvents": Handler._put_lines,
}


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128  # with Python's 5, of many connections at once some wait a second


def main() -> None:
    Handler.seconds = float(sys.argv[2])
    server = Server(("127.0.0.1", 0), Handler)
    Path(sys.argv[1]).write_text(str(server.server_address[1]))
    server.serve_forever()


if __name__ == "__main__":
    main()
