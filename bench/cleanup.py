"""The cleanup function beside the walkthrough's, in one run on one emulated AWS: the very zip under Lambda's runtime.

A batch of 1,000 removals, each with a file in a bucket that keeps no versions. The walkthrough's function calls
DeleteObject for each record. Shown as they run here: one process each, no limit on memory or processor.
"""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
import tempfile
import time
import zipfile
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config
from humangov.bundle import bundle

from bench import function_environment
from bench.measure import Report, Spread, Table, spread, spread_row
from bench.rig import NotMeasuredError, Say
from sandbox import emulator, ports
from sandbox.paths import Layout
from sandbox.recorder import Recorder
from testing.event_source.story import WALKTHROUGH_FUNCTION
from testing.lambda_runtime.runtime_api import LOG_GROUP, RunningFunction
from testing.lambda_runtime.stream_events import batch, employee, remove
from testing.zips import zipped

RECORDS, MANY = 1000, 10_000
INIT_REPEATS = 9
PATIENCE_SECONDS = 60.0
TABLE, BUCKET = "california", "california-files"
WALKTHROUGH = f"{WALKTHROUGH_FUNCTION.stem}.lambda_handler"

_NOTES = (
    "Calls are counted by a proxy before the emulated AWS; seconds and memory are measured without it.",
    "Each batch also reads whether the bucket keeps versions, while it keeps none.",
    "Walkthrough: HumanGov's own function, one DeleteObject a record, nothing is read before.",
    "Peak memory: the whole process after a batch of 10,000 removals (VmHWM), Python and boto3 included.",
    "Cold start: import and clients in a new Python, in turn with boto3 and the same three clients.",
)
_BASELINE = "import boto3; boto3.client('dynamodb'); boto3.client('s3'); boto3.client('logs')"
_OWN = "import cleanup.handler"


@dataclass(frozen=True)
class BenchAccount:
    endpoint: str

    def client(self, service: str) -> Any:
        return boto3.client(
            service,
            endpoint_url=self.endpoint,
            region_name=emulator.REGION,
            aws_access_key_id=emulator.ACCOUNT,
            aws_secret_access_key=emulator.SECRET,
            config=Config(s3={"addressing_style": "path"}),
        )


def run(*, say: Say, repeats: int) -> Report:
    """Takes about a minute. Raises SandboxError or NotMeasuredError."""
    with tempfile.TemporaryDirectory(prefix="humangov-bench-") as folder, _emulated(Path(folder), say=say) as account:
        dynamodb = account.client("dynamodb")
        dynamodb.create_table(
            TableName=TABLE, BillingMode="PAY_PER_REQUEST",
            AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        )  # fmt: skip
        account.client("s3").create_bucket(Bucket=BUCKET)
        account.client("logs").create_log_group(logGroupName=LOG_GROUP)
        say("calls of one batch")
        own_calls = _calls(account, Path(folder) / "ours", own=True)
        their_calls = _calls(account, Path(folder) / "theirs", own=False)
        with ExitStack() as running:
            own, walkthrough = (
                running.enter_context(_function(account.endpoint, Path(folder) / name, own=name == "warm-ours"))
                for name in ("warm-ours", "warm-theirs")
            )
            seconds: dict[bool, list[float]] = {True: [], False: []}
            for number in range(1, repeats + 1):
                say(f"seconds: batch {number} of {repeats}")
                for is_own, function in ((True, own), (False, walkthrough)):
                    seconds[is_own].append(_timed(account, function))
        say(f"memory: a batch of {MANY:,}")
        peak_mib = _peak_mib(account, Path(folder) / "many")
    say("cold start")
    inits, baselines = _inits()
    return report(
        calls=(own_calls, their_calls),
        seconds=(spread(seconds[True]), spread(seconds[False])),
        peak_mib=peak_mib,
        zip_kib=len(bundle().zip) / 1024,
        inits=(spread(inits), spread(baselines)),
    )


def report(
    *,
    calls: tuple[Counter[str], Counter[str]],
    seconds: tuple[Spread, Spread],
    peak_mib: float,
    zip_kib: float,
    inits: tuple[Spread, Spread],
) -> Report:
    """Pure. Each pair: ours, then what it is compared with."""
    own, walkthrough = calls
    operations = sorted({*own, *walkthrough})
    figures = {
        "s3_calls": _of(own, "s3"),
        "dynamodb_calls": _of(own, "dynamodb"),
        "logs_calls": _of(own, "logs"),
        "time_ratio": seconds[0].median / seconds[1].median,
        "peak_mib": peak_mib,
        "zip_kib": zip_kib,
        "init_ratio": inits[0].low / inits[1].low,
        "walkthrough_s3_calls": _of(walkthrough, "s3"),
        "seconds": seconds[0].figures(),
        "walkthrough_seconds": seconds[1].figures(),
        "init_seconds": inits[0].figures(),
        "baseline_init_seconds": inits[1].figures(),
    }
    return Report(
        tables=[
            Table(
                title=f"Calls for {RECORDS:,} removals in one batch",
                header=("CALL", "OURS", "WALKTHROUGH"),
                rows=[(one, own[one], walkthrough[one]) for one in operations],
            ),
            Table(
                title="Seconds",
                header=("WHAT", "MIN", "MEDIAN", "MAX", "N", "UNIT"),
                rows=[
                    spread_row(f"{RECORDS:,} removals, ours", seconds[0], unit="s"),
                    spread_row(f"{RECORDS:,} removals, walkthrough", seconds[1], unit="s"),
                    spread_row("cold start, ours", inits[0], unit="s"),
                    spread_row("cold start, boto3 and three clients", inits[1], unit="s"),
                ],
            ),
            Table(
                title="Against the limits",
                header=("FIGURE", "IS", "AT MOST"),
                rows=[
                    ("S3 calls", figures["s3_calls"], 2),
                    ("DynamoDB calls", figures["dynamodb_calls"], 12),
                    ("calls of the log, its stream's creation included", figures["logs_calls"], 3),
                    ("seconds, as a share of the walkthrough's", f"{figures['time_ratio']:.3f}", 0.1),
                    (f"peak memory at {MANY:,} records, MiB", f"{peak_mib:.1f}", 100),
                    ("the zip, KiB", f"{zip_kib:.1f}", 64),
                    ("cold start, as a multiple of boto3's", f"{figures['init_ratio']:.3f}", 1.25),
                ],
            ),
        ],
        notes=_NOTES,
        figures=figures,
    )


def _of(calls: Counter[str], service: str) -> int:
    return sum(number for name, number in calls.items() if name.startswith(f"{service}:"))


@contextmanager
def _emulated(root: Path, *, say: Say) -> Iterator[BenchAccount]:
    """An emulated AWS of one's own, as long as the context."""
    emulator.install(say=say)
    layout = Layout(root=root / "aws")
    for folder in (layout.aws_data, layout.home, layout.temporary):
        folder.mkdir(parents=True)
    listening = ports.choose([emulator.PART])
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(layout.home),
        "TMPDIR": str(layout.temporary),
        **emulator.environment(layout, port=listening[emulator.PART]),
    }
    process = subprocess.Popen(
        emulator.command(), env=environment, cwd=layout.root,
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        until = time.monotonic() + PATIENCE_SECONDS
        while not emulator.ready(listening):
            if process.poll() is not None or time.monotonic() > until:
                raise NotMeasuredError("the emulated AWS did not start")
            time.sleep(0.1)
        yield BenchAccount(emulator.address(listening))
    finally:
        process.terminate()
        process.wait()


def _function(endpoint: str, directory: Path, *, own: bool) -> RunningFunction:
    directory.mkdir()
    return RunningFunction(
        bundle().zip if own else zipped(WALKTHROUGH_FUNCTION.name, WALKTHROUGH_FUNCTION.read_text()),
        handler=bundle().handler if own else WALKTHROUGH,
        environment=function_environment.environment(endpoint, table=TABLE, bucket=BUCKET) | {"BUCKET": BUCKET},
        directory=directory,
    )


def _removals(number: int) -> Any:
    return batch(*(remove(employee(f"{one}", f"{one:05}.pdf"), table=TABLE) for one in range(number)))


def _with_files(account: BenchAccount) -> Any:
    """An event of removals, each with its file in the bucket."""
    s3 = account.client("s3")
    for one in range(RECORDS):
        s3.put_object(Bucket=BUCKET, Key=f"{one:05}.pdf", Body=b"%PDF")
    return _removals(RECORDS)


def _calls(account: BenchAccount, directory: Path, *, own: bool) -> Counter[str]:
    event = _with_files(account)
    with Recorder(account.endpoint) as recorder, _function(recorder.url, directory, own=own) as function:
        function.invoke(event)
        _require_empty(account)
        return Counter(f"{call.service}:{call.name}" for call in recorder.calls)


def _timed(account: BenchAccount, function: RunningFunction) -> float:
    event = _with_files(account)
    started = time.perf_counter()
    function.invoke(event)
    seconds = time.perf_counter() - started
    _require_empty(account)
    return seconds


def _peak_mib(account: BenchAccount, directory: Path) -> float:
    # Without files: S3 answers alike, and the function does the same.
    event = _removals(MANY)
    with _function(account.endpoint, directory, own=True) as function:
        done = function.invoke(event)
        if done.summary["files"] != {"erased": MANY}:
            raise NotMeasuredError(f"not everything was erased: {done.summary}")
        status = Path(f"/proc/{function.pid}/status").read_text()
    found = re.search(r"VmHWM:\s+(\d+) kB", status)
    if not found:
        raise NotMeasuredError("the system does not tell a process's peak memory (VmHWM)")
    return int(found[1]) / 1024


def _require_empty(account: BenchAccount) -> None:
    left = account.client("s3").list_objects_v2(Bucket=BUCKET).get("KeyCount", 0)
    if left:
        raise NotMeasuredError(f"{left} files were not erased")


def _inits() -> tuple[list[float], list[float]]:
    """Seconds of ours and of the baseline, in turn, each in a new Python; compiled before."""
    with tempfile.TemporaryDirectory(prefix="humangov-bench-") as folder:
        zipfile.ZipFile(io.BytesIO(bundle().zip)).extractall(folder)
        own: list[float] = []
        baseline: list[float] = []
        for _ in range(INIT_REPEATS + 1):
            own.append(_init_seconds(_OWN, folder))
            baseline.append(_init_seconds(_BASELINE, folder))
        return own[1:], baseline[1:]


def _init_seconds(code: str, folder: str) -> float:
    timed = f"import time; t = time.perf_counter(); {code}; print(time.perf_counter() - t)"
    done = subprocess.run(
        [sys.executable, "-c", timed], cwd=folder, capture_output=True, text=True, check=True,
        env={
            "PATH": os.environ["PATH"], "HOME": folder, "AWS_DEFAULT_REGION": emulator.REGION,
            "PYTHONPYCACHEPREFIX": str(Path(folder) / "compiled"),
            **function_environment.environment("http://127.0.0.1:9", table=TABLE, bucket=BUCKET),
        },
    )  # fmt: skip
    return float(done.stdout)
