"""S3 and DynamoDB as a sweep sees them, for any number of files and records: each page is made when it is asked for.

`python -m bench.endpoint FILES PORT_FILE`. File number i is named by record i, but for every hundredth, an orphan.
Everything else that a sweep asks (claim, manifests, failed invocations) is answered as in an account where it is the
first. No check of signatures, no throttling: it is to be faster than its client.
"""

from __future__ import annotations

import bisect
import json
import sys
from collections import Counter
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import parse_qs, urlsplit
from xml.sax.saxutils import escape

ORPHAN_EVERY = 100
PAGE = 1000
RECORDS_PER_PAGE = 4000  # a megabyte of records of 260 bytes
_MODIFIED = "2026-01-01T00:00:00.000Z"
_BODY = (
    "<Contents><Key>{}</Key><LastModified>{}</LastModified><ETag>&quot;9a0364b9e99bb480dd25e1f0284c8555&quot;</ETag>"
    "<Size>48213</Size><StorageClass>STANDARD</StorageClass></Contents>"
)


def key_of(number: int) -> str:
    return f"employee-{number:09d}-curriculum-vitae.pdf"


class _Keys:
    """The bucket's keys, in order, without holding them."""

    def __init__(self, number: int) -> None:
        self._number = number

    def __len__(self) -> int:
        return self._number

    def __getitem__(self, index: int) -> str:
        return key_of(index)

    def after(self, key: str) -> int:
        """Index of the first key beyond this one."""
        return bisect.bisect_right(self, key)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    keys: _Keys
    asked: ClassVar[Counter[str]] = Counter()
    claims: ClassVar[dict[str, bytes]] = {}

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(url.query, keep_blank_values=True).items()}
        if url.path == "/asked":
            self._answer(json.dumps(self.asked).encode(), "application/json")
            self.asked.clear()
        elif "versioning" in query:
            self.asked["s3:GetBucketVersioning"] += 1
            self._answer(b"<VersioningConfiguration/>")
        elif "versions" in query:
            self.asked["s3:ListObjectVersions"] += 1
            self._answer(b"<ListVersionsResult><IsTruncated>false</IsTruncated></ListVersionsResult>")
        elif "uploads" in query:
            self.asked["s3:ListMultipartUploads"] += 1
            self._answer(b"<ListMultipartUploadsResult><IsTruncated>false</IsTruncated></ListMultipartUploadsResult>")
        elif "list-type" in query:
            self.asked["s3:ListObjectsV2"] += 1
            self._answer(self._page(query).encode())
        else:
            self.asked["s3:GetObject"] += 1
            if url.path in self.claims:
                self._answer(self.claims[url.path])
            else:
                self._answer(b"<Error><Code>NoSuchKey</Code></Error>", status=404)

    def do_PUT(self) -> None:
        self.asked["s3:PutObject"] += 1
        body = self._body()
        path = self.path.split("?")[0]
        if "/.humangov/owner" in path:
            self.claims[path] = body
        self._answer(b"", etag='"1"')

    def do_POST(self) -> None:
        target = self.headers.get("X-Amz-Target", "").rpartition(".")[2]
        self.asked[f"dynamodb:{target}"] += 1
        asked = json.loads(self._body() or b"{}")
        answer = self._table(asked) if target == "DescribeTable" else self._scan(asked)
        self._answer(json.dumps(answer).encode(), "application/x-amz-json-1.0")

    def _page(self, query: dict[str, str]) -> str:
        if prefix := query.get("prefix"):
            keys = [path.split("/", 2)[2] for path in self.claims]
            claims = "".join(_BODY.format(key, _MODIFIED) for key in keys if key.startswith(prefix))
            return f"<ListBucketResult><IsTruncated>false</IsTruncated>{claims}</ListBucketResult>"
        first = self.keys.after(query.get("continuation-token") or query.get("start-after", ""))
        last = min(first + PAGE, len(self.keys))
        contents = "".join(_BODY.format(key_of(number), _MODIFIED) for number in range(first, last))
        more = last < len(self.keys)
        token = f"<NextContinuationToken>{escape(key_of(last - 1))}</NextContinuationToken>" if more else ""
        return (
            f"<ListBucketResult><EncodingType>url</EncodingType><IsTruncated>{str(more).lower()}</IsTruncated>{token}"
            f"{contents}</ListBucketResult>"
        )

    def _table(self, asked: dict[str, Any]) -> dict[str, Any]:
        number, name = len(self.keys), asked["TableName"]
        table = {
            "TableName": name, "TableArn": f"arn:aws:dynamodb:us-east-1:123456789012:table/{name}", "TableId": "1",
            "TableStatus": "ACTIVE", "ItemCount": number, "TableSizeBytes": 260 * number,
            "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
            "BillingModeSummary": {"BillingMode": "PAY_PER_REQUEST"}, "CreationDateTime": 1_700_000_000,
            "WarmThroughput": {"ReadUnitsPerSecond": 40_000_000},  # the pace is not what is measured
        }  # fmt: skip
        return {"Table": table}

    def _scan(self, asked: dict[str, Any]) -> dict[str, Any]:
        segment, of = asked.get("Segment", 0), asked.get("TotalSegments", 1)
        share = len(self.keys) // of + 1
        first, end = segment * share, min((segment + 1) * share, len(self.keys))
        if "ExclusiveStartKey" in asked:
            first = int(asked["ExclusiveStartKey"]["id"]["S"]) + 1
        last = min(first + RECORDS_PER_PAGE, end)
        items = [{"pdf": {"S": key_of(number)}} for number in range(first, last) if number % ORPHAN_EVERY]
        more = {"LastEvaluatedKey": {"id": {"S": str(last - 1)}}} if last < end else {}
        return {
            "Items": items, "Count": len(items), "ScannedCount": len(items),
            "ConsumedCapacity": {"TableName": "t", "CapacityUnits": 256.0}, **more,
        }  # fmt: skip

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            parts = []
            while size := int(self.rfile.readline().split(b";")[0], 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            while self.rfile.readline().strip():
                pass
            return b"".join(parts)
        if self.headers.get("Expect"):
            self.close_connection = False
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def _answer(self, body: bytes, kind: str = "application/xml", *, status: int = 200, etag: str = "") -> None:
        self.send_response_only(status)
        self.send_header("Date", formatdate(usegmt=True))
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        if etag:
            self.send_header("ETag", etag)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Nothing."""


def main() -> None:
    Handler.keys = _Keys(int(sys.argv[1]))
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    Path(sys.argv[2]).write_text(str(server.server_address[1]))
    server.serve_forever()


if __name__ == "__main__":
    main()
