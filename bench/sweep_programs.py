"""What bench/sweep.py compares, each in a process of its own: `python -m bench.sweep_programs NAME FILES ORPHAN_EVERY`.

It prints the seconds from the first request on, those of processor time, and the most memory that the process ever
held. A program is made before the clock starts, and imports what it needs by itself, so that none is charged for
another's modules. Who starts it measures the whole process.
"""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

BUCKET, TABLE, ACCOUNT, REGION = "files", "humangov-california-dynamodb", "123456789012", "us-east-1"

Program = Callable[[], None]


def bare(operation: str = "list_objects_v2", *entries: str) -> Program:
    """The listing and the scan by the SDK's paginators, one after the other; nothing is kept."""
    listing, scan = _pages_of_the_sdk(operation)

    def run() -> None:
        sum(len(page.get(name, ())) for page in listing() for name in entries or ("Contents",))
        sum(len(page["Items"]) for page in scan())

    return run


def sets() -> Program:
    """The usual script."""
    listing, scan = _pages_of_the_sdk("list_objects_v2")

    def run() -> None:
        files = {one["Key"] for page in listing() for one in page.get("Contents", ())}
        names = {item["pdf"]["S"] for page in scan() for item in page["Items"]}
        _ = files - names

    return run


def humangov() -> Program:
    from humangov.api.names import Identity, Names
    from humangov.api.spec import parse
    from humangov.aws.data_plane import connect
    from humangov.sweep import engine
    from humangov.sweep.local_search import LocalSearch
    from humangov.sweep.result import DETECT, begin
    from humangov.sweep.run import begin_process
    from humangov.sweep.surroundings import Surroundings

    resource = {
        "apiVersion": "humangov.io/v1",
        "kind": "HumanGovState",
        "metadata": {"name": "california", "namespace": "humangov", "uid": "1"},
        "spec": {"table": {"name": TABLE}, "bucket": {"name": BUCKET}, "failures": {"bucket": "failures"}},
    }
    identity = Identity(account_id=ACCOUNT, region=REGION, cluster="bench", partition="aws")
    names = Names(tenant=parse(resource, default_region=REGION), identity=identity)
    files, orphan_every = int(sys.argv[2]), int(sys.argv[3])
    begin_process()
    clients = connect(region=REGION)

    def run() -> None:
        result = begin(mode=DETECT, now=time.time())
        for reached in engine.sweep(clients, names, result, around=Surroundings(), search_of=LocalSearch):
            result = reached
        assert (result.listed, result.orphans) == (files, -(-files // orphan_every)), result

    return run


def listing(*, workers: int | None = None) -> Program:
    """The listing alone, as a sweep does it."""
    from humangov.aws.data_plane import connect
    from humangov.reading.progress import Steps
    from humangov.sweep import listing

    clients, files = connect(region=REGION), int(sys.argv[2])
    if workers:
        listing.WORKERS = workers

    def run() -> None:
        number = 0

        def sink(page: Sequence[Any]) -> None:
            nonlocal number
            number += len(page)

        listing.list_bucket(
            clients.patient_s3, bucket=BUCKET, owner=ACCOUNT, prefix="", versioned=False, sink=sink, steps=Steps()
        )  # fmt: skip
        assert number == files, number

    return run


def scanning(*, segments: int | None = None) -> Program:
    """The scan alone, as a sweep does it."""
    from humangov.aws.data_plane import connect
    from humangov.reading import snapshot
    from humangov.reading.progress import Steps

    clients, files, orphan_every = connect(region=REGION), int(sys.argv[2]), int(sys.argv[3])
    described = clients.patient_dynamodb.describe_table(TableName=TABLE)["Table"]
    table = snapshot.TableDescription(
        table_id="1", status="ACTIVE", records=files, item_bytes=260, created_at=None, backup_at=None, restoring=False,
        read_units=described["WarmThroughput"]["ReadUnitsPerSecond"], key_attributes=("id",),
    )  # fmt: skip
    if segments:
        snapshot._SEGMENTS = segments

    def run() -> None:
        number = snapshot.scan(
            clients.patient_dynamodb, table=table, name=TABLE, attributes=["pdf"], sink=lambda _: None, steps=Steps()
        )
        assert number == files - -(-files // orphan_every), number

    return run


def raw() -> Program:
    """The same pages over a socket, unread: what the endpoint can give."""
    import http.client
    import os
    from urllib.parse import urlsplit

    host = urlsplit(os.environ["AWS_ENDPOINT_URL"]).netloc

    def run() -> None:
        connection, token = http.client.HTTPConnection(host), ""
        while True:
            connection.request("GET", f"/{BUCKET}?list-type=2&continuation-token={token}")
            body = connection.getresponse().read()
            if not (found := re.search(rb"<NextContinuationToken>([^<]*)<", body[:1000])):
                return
            token = found[1].decode()

    return run


def _pages_of_the_sdk(
    operation: str,
) -> tuple[Callable[[], Iterator[Mapping[str, Any]]], Callable[[], Iterator[Mapping[str, Any]]]]:
    """The listing and the scan, by clients that nothing was changed in."""
    import boto3
    from botocore.config import Config

    s3 = boto3.client("s3", region_name=REGION, config=Config(s3={"addressing_style": "path"}))
    dynamodb = boto3.client("dynamodb", region_name=REGION)
    asked = {"ProjectionExpression": "#a", "ExpressionAttributeNames": {"#a": "pdf"}}
    return (
        lambda: iter(s3.get_paginator(operation).paginate(Bucket=BUCKET)),
        lambda: iter(dynamodb.get_paginator("scan").paginate(TableName=TABLE, ConsistentRead=True, **asked)),
    )


PROGRAMS: Mapping[str, Callable[[], Program]] = {
    "bare": bare,
    "bare-versions": partial(bare, "list_object_versions", "Versions", "DeleteMarkers"),
    "sets": sets,
    "ours": humangov,
    "raw": raw,
    "list": listing,
    "list-one-range": partial(listing, workers=1),
    "scan": scanning,
    "scan-one-segment": partial(scanning, segments=1),
}


def main() -> None:
    run = PROGRAMS[sys.argv[1]]()
    started, cpu = time.perf_counter(), time.process_time()
    run()
    seconds, cpu_seconds = time.perf_counter() - started, time.process_time() - cpu
    found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found is not None
    print(json.dumps({"seconds": seconds, "cpu_seconds": cpu_seconds, "peak_mib": int(found[1]) / 1024}))


if __name__ == "__main__":
    main()
