"""What bench/sweep.py compares, each in a process of its own: `python -m bench.sweep_programs NAME FILES ORPHAN_EVERY`.

It prints the seconds from the first request on, and the most memory that the process ever held. A program is made
before the clock starts, and imports what it needs by itself, so that none is charged for another's modules.
"""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from humangov.aws.data_plane import AwsClients, connect

BUCKET, TABLE = "files", "humangov-california-dynamodb"


Program = Callable[[AwsClients], None]


def bare() -> Program:
    """The listing and the scan by the SDK's paginators, one after the other; nothing is kept."""

    def run(sdk: AwsClients) -> None:
        sum(len(page.get("Contents", ())) for page in _listing(sdk))
        sum(len(page["Items"]) for page in _scan(sdk))

    return run


def sets() -> Program:
    """The usual script."""

    def run(sdk: AwsClients) -> None:
        files = {one["Key"] for page in _listing(sdk) for one in page.get("Contents", ())}
        names = {item["pdf"]["S"] for page in _scan(sdk) for item in page["Items"]}
        _ = files - names

    return run


def humangov() -> Program:
    from humangov.api.names import Identity, Names
    from humangov.api.spec import parse
    from humangov.sweep import engine
    from humangov.sweep.result import DETECT, begin
    from humangov.sweep.surroundings import Surroundings

    resource = {
        "apiVersion": "humangov.io/v1",
        "kind": "HumanGovState",
        "metadata": {"name": "california", "namespace": "humangov", "uid": "1"},
        "spec": {"table": {"name": TABLE}, "bucket": {"name": BUCKET}, "failures": {"bucket": "failures"}},
    }
    identity = Identity(account_id="123456789012", region="us-east-1", cluster="bench", partition="aws")
    names = Names(tenant=parse(resource, default_region="us-east-1"), identity=identity)
    files, orphan_every = int(sys.argv[2]), int(sys.argv[3])

    def run(sdk: AwsClients) -> None:
        result = begin(mode=DETECT, now=time.time())
        for reached in engine.sweep(sdk, names, result, around=Surroundings()):
            result = reached
        assert (result.listed, result.orphans) == (files, -(-files // orphan_every)), result

    return run


def _listing(sdk: AwsClients) -> Iterator[Mapping[str, Any]]:
    return iter(sdk.patient_s3.get_paginator("list_objects_v2").paginate(Bucket=BUCKET))


def _scan(sdk: AwsClients) -> Iterator[Mapping[str, Any]]:
    asked = {"ProjectionExpression": "#a", "ExpressionAttributeNames": {"#a": "pdf"}}
    return iter(sdk.patient_dynamodb.get_paginator("scan").paginate(TableName=TABLE, ConsistentRead=True, **asked))


PROGRAMS: Mapping[str, Callable[[], Program]] = {"bare": bare, "sets": sets, "ours": humangov}


def main() -> None:
    run, sdk = PROGRAMS[sys.argv[1]](), connect(region="us-east-1")
    started = time.perf_counter()
    run(sdk)
    seconds = time.perf_counter() - started
    found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found is not None
    print(json.dumps({"seconds": seconds, "peak_mib": int(found[1]) / 1024}))


if __name__ == "__main__":
    main()
