"""S3 and DynamoDB as a sweep sees them, for any number of files and records: each page is made when it is asked for.

`python -m bench.endpoint PORT_FILE FILES [--versioned] [--skewed] [--page-ms MS]`. File number i is named by record i,
but for every hundredth, an orphan. A table has no order: records come in another order than files. Everything else that
a sweep asks (claim, orphan lists, failed invocations) is answered as in an account where it is the first. No check of
signatures, no throttling: it is to be faster than its client, and GET /asked says what it was asked, and the processor
time that the answers took.
"""

from __future__ import annotations

import argparse
import asyncio
import bisect
import contextlib
import json
import math
import time
from collections import Counter
from collections.abc import Iterator
from email.utils import formatdate
from functools import cache, partial
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlsplit

ORPHAN_EVERY = 100
PAGE = 1000
RECORDS_PER_PAGE = 4000  # a megabyte of records of 260 bytes
VERSIONS_EVERY = 10  # of so many keys, one has two versions
_KEYS_OF_VERSIONS = PAGE * VERSIONS_EVERY // (VERSIONS_EVERY + 1)
_ETAG = "&quot;9a0364b9e99bb480dd25e1f0284c8555&quot;"
_BLOCK = "\0"  # stands for the number of the thousand that a key is in
_SKEWED = (("archive/", 0.005), ("humangov-california/", 0.99), ("zip/", 0.005))
NAMESPACE = 'xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'


class Layout(NamedTuple):
    """The bucket: under each prefix the files from one number up to another, in the order of their keys."""

    files: int
    parts: tuple[tuple[str, int], ...]
    """Each prefix with the number of its first file."""
    versioned: bool = False
    page_seconds: float = 0.0

    def prefix(self, number: int) -> tuple[str, int]:
        """The prefix of a file, and the number of the first file that has another."""
        at = bisect.bisect_right(self.parts, number, key=lambda part: part[1]) - 1
        return self.parts[at][0], self.parts[at + 1][1] if at + 1 < len(self.parts) else self.files

    def key(self, number: int) -> str:
        return f"{self.prefix(number)[0]}employee-{number:09d}-curriculum-vitae.pdf"

    def after(self, key: str) -> int:
        """The number of the first file whose key is beyond this one."""
        return bisect.bisect_right(range(self.files), key, key=self.key)


def layout(files: int, *, versioned: bool = False, skewed: bool = False, page_seconds: float = 0.0) -> Layout:
    parts, first = [("", 0)], 0.0
    if skewed:
        parts = []
        for prefix, share in _SKEWED:
            parts.append((prefix, round(first * files)))
            first += share
    return Layout(files, tuple(parts), versioned, page_seconds)


def _entry(prefix: str, within: int, *, versioned: bool) -> str:
    key = f"<Key>{prefix}employee-{_BLOCK}{within:03d}-curriculum-vitae.pdf</Key>"
    modified = f"<LastModified>2026-01-01T{within % 24:02d}:{within % 60:02d}:{within % 59:02d}.000Z</LastModified>"
    more = "<ChecksumAlgorithm>CRC64NVME</ChecksumAlgorithm><ChecksumType>FULL_OBJECT</ChecksumType>"
    rest = f"{modified}<ETag>{_ETAG}</ETag>{more}<Size>48213</Size><StorageClass>STANDARD</StorageClass>"
    if not versioned:
        return f"<Contents>{key}{rest}</Contents>"
    ids = ["3HL4kqtJlcpXroDTDmJrmSpXd3dIbrHY", "null"][: 2 if within % VERSIONS_EVERY == 0 else 1]
    return "".join(
        f"<Version>{key}<VersionId>{one}</VersionId><IsLatest>{latest}</IsLatest>{rest}</Version>"
        for one, latest in zip(ids, ("true", "false"), strict=False)
    )


@cache
def _entries(prefix: str, versioned: bool) -> tuple[bytes, tuple[bytes, ...]]:
    """Those of a thousand files, together and one by one."""
    several = tuple(_entry(prefix, within, versioned=versioned).encode() for within in range(PAGE))
    return b"".join(several), several


class Endpoint:
    def __init__(self, bucket: Layout) -> None:
        self.bucket = bucket
        self.asked: Counter[str] = Counter()
        self.claims: dict[str, bytes] = {}
        self._asked_at = time.process_time()
        self._stride = next(one for one in range(7919, 2 * 7919) if math.gcd(one, bucket.files) == 1)

    def answer(self, method: str, target: str, amz_target: str, body: bytes) -> tuple[int, bytes, bool]:
        """The status, the body, and whether it is a page that takes its time."""
        url = urlsplit(target)
        if method == "POST":
            return self._dynamodb(amz_target.rpartition(".")[2], json.loads(body or b"{}"))
        if method == "PUT":
            self.asked["s3:PutObject"] += 1
            if "/.humangov/owner" in url.path:
                self.claims[url.path] = body
            return 200, b"", False
        if url.path == "/asked":
            return 200, json.dumps(self._usage()).encode(), False
        return self._s3(url.path, {name: one[0] for name, one in parse_qs(url.query, keep_blank_values=True).items()})

    def _usage(self) -> dict[str, Any]:
        """Since the last time."""
        before, self._asked_at = self._asked_at, time.process_time()
        usage = {"requests": dict(self.asked), "cpu_seconds": self._asked_at - before}
        self.asked.clear()
        return usage

    def _s3(self, path: str, query: dict[str, str]) -> tuple[int, bytes, bool]:
        if "versioning" in query:
            self.asked["s3:GetBucketVersioning"] += 1
            status = "<Status>Enabled</Status>" if self.bucket.versioned else ""
            return 200, f"<VersioningConfiguration>{status}</VersioningConfiguration>".encode(), False
        if "uploads" in query:
            self.asked["s3:ListMultipartUploads"] += 1
            none = b"<ListMultipartUploadsResult><IsTruncated>false</IsTruncated></ListMultipartUploadsResult>"
            return 200, none, False
        if "versions" in query:
            self.asked["s3:ListObjectVersions"] += 1
            if query.get("prefix"):
                return 200, b"<ListVersionsResult><IsTruncated>false</IsTruncated></ListVersionsResult>", False
            return 200, self._versions(query), True
        if "list-type" in query:
            self.asked["s3:ListObjectsV2"] += 1
            if prefix := query.get("prefix"):
                return 200, self._claims(prefix), False
            return 200, self._objects(query), True
        self.asked["s3:GetObject"] += 1
        if path in self.claims:
            return 200, self.claims[path], False
        return 404, b"<Error><Code>NoSuchKey</Code></Error>", False

    def _claims(self, prefix: str) -> bytes:
        keys = [path.split("/", 2)[2] for path in self.claims]
        listed = "".join(
            f"<Contents><Key>{key}</Key><LastModified>2026-01-01T00:00:00.000Z</LastModified><ETag>{_ETAG}</ETag>"
            f"<Size>1</Size></Contents>"
            for key in keys
            if key.startswith(prefix)
        )
        return f"<ListBucketResult><IsTruncated>false</IsTruncated>{listed}</ListBucketResult>".encode()

    def _objects(self, query: dict[str, str]) -> bytes:
        first = self.bucket.after(query.get("continuation-token") or query.get("start-after", ""))
        last = min(first + min(PAGE, int(query.get("max-keys", PAGE))), self.bucket.files)
        more = last < self.bucket.files
        token = f"<NextContinuationToken>{self.bucket.key(last - 1)}</NextContinuationToken>" if more else ""
        head = f"<EncodingType>url</EncodingType><IsTruncated>{str(more).lower()}</IsTruncated>{token}"
        contents = b"".join(self._listed(first, last))
        return f"<ListBucketResult {NAMESPACE}>{head}".encode() + contents + b"</ListBucketResult>"

    def _versions(self, query: dict[str, str]) -> bytes:
        first = self.bucket.after(query.get("key-marker", ""))
        last = min(first + _KEYS_OF_VERSIONS, self.bucket.files)
        more = last < self.bucket.files
        marker = f"<NextKeyMarker>{self.bucket.key(last - 1)}</NextKeyMarker>" if more else ""
        version = "<NextVersionIdMarker>null</NextVersionIdMarker>" if more else ""
        head = f"<EncodingType>url</EncodingType><IsTruncated>{str(more).lower()}</IsTruncated>{marker}{version}"
        contents = b"".join(self._listed(first, last))
        return f"<ListVersionsResult {NAMESPACE}>{head}".encode() + contents + b"</ListVersionsResult>"

    def _listed(self, first: int, last: int) -> Iterator[bytes]:
        while first < last:
            prefix, end = self.bucket.prefix(first)
            block, within = divmod(first, PAGE)
            upto = min(last, end, (block + 1) * PAGE)
            whole, several = _entries(prefix, self.bucket.versioned)
            part = whole if upto - first == PAGE else b"".join(several[within : within + upto - first])
            yield part.replace(_BLOCK.encode(), b"%06d" % block)
            first = upto

    def _dynamodb(self, operation: str, asked: dict[str, Any]) -> tuple[int, bytes, bool]:
        self.asked[f"dynamodb:{operation}"] += 1
        if operation == "DescribeTable":
            return 200, json.dumps(self._table(asked["TableName"])).encode(), False
        return 200, self._scan(asked), True

    def _table(self, name: str) -> dict[str, Any]:
        number = self.bucket.files
        table = {
            "TableName": name, "TableArn": f"arn:aws:dynamodb:us-east-1:123456789012:table/{name}", "TableId": "1",
            "TableStatus": "ACTIVE", "ItemCount": number, "TableSizeBytes": 260 * number,
            "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
            "BillingModeSummary": {"BillingMode": "PAY_PER_REQUEST"}, "CreationDateTime": 1_700_000_000,
            "WarmThroughput": {"ReadUnitsPerSecond": 40_000_000},  # the pace is not what is measured
        }  # fmt: skip
        return {"Table": table}

    def _scan(self, asked: dict[str, Any]) -> bytes:
        files, segment, of = self.bucket.files, asked.get("Segment", 0), asked.get("TotalSegments", 1)
        share = files // of + 1
        first, end = segment * share, min((segment + 1) * share, files)
        if "ExclusiveStartKey" in asked:
            first = int(asked["ExclusiveStartKey"]["id"]["S"]) + 1
        last = min(first + RECORDS_PER_PAGE, end)
        numbers = (place * self._stride % files for place in range(first, last))
        items = [f'{{"pdf":{{"S":"{self.bucket.key(one)}"}}}}' for one in numbers if one % ORPHAN_EVERY]
        more = f',"LastEvaluatedKey":{{"id":{{"S":"{last - 1}"}}}}' if last < end else ""
        return (
            f'{{"Items":[{",".join(items)}],"Count":{len(items)},"ScannedCount":{len(items)},'
            f'"ConsumedCapacity":{{"TableName":"t","CapacityUnits":256.0}}{more}}}'
        ).encode()


async def converse(endpoint: Endpoint, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answers the requests of one connection until the client closes it."""
    with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
        while True:
            first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
            if "expect" in headers:
                writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            body = await reader.readexactly(int(headers.get("content-length", 0)))
            method, target, _ = first.split(" ")
            status, answer, takes_time = endpoint.answer(method, target, headers.get("x-amz-target", ""), body)
            if takes_time and endpoint.bucket.page_seconds:
                await asyncio.sleep(endpoint.bucket.page_seconds)
            kind = "application/x-amz-json-1.0" if method == "POST" else "application/xml"
            head = (
                f'HTTP/1.1 {status} -\r\nDate: {formatdate(usegmt=True)}\r\nContent-Type: {kind}\r\nETag: "1"\r\n'
                f"Content-Length: {len(answer)}\r\n\r\n"
            )
            writer.write(head.encode() + answer)
            await writer.drain()


async def serve(bucket: Layout, port_file: Path) -> None:
    server = await asyncio.start_server(partial(converse, Endpoint(bucket)), "127.0.0.1", 0)
    port_file.write_text(str(server.sockets[0].getsockname()[1]))
    await server.serve_forever()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("port_file", type=Path)
    parser.add_argument("files", type=int)
    parser.add_argument("--versioned", action="store_true")
    parser.add_argument("--skewed", action="store_true")
    parser.add_argument("--page-ms", type=float, default=0.0)
    options = parser.parse_args()
    bucket = layout(
        options.files, versioned=options.versioned, skewed=options.skewed, page_seconds=options.page_ms / 1000
    )  # fmt: skip
    asyncio.run(serve(bucket, options.port_file))


if __name__ == "__main__":
    main()
