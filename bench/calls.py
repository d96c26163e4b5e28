"""What one tenant costs, and fifty: AWS calls, Kubernetes writes, seconds."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from bench import rig, walkthrough
from bench.measure import Phase, Report, Spread, Table, percentile, spread, spread_row, typical, whole
from bench.rig import NotMeasuredError, Reconciliation, Rig, Say

NEVER = 3600.0  # a resync that does not fall into a measurement
RESYNC_SECONDS = 2.0
IN_SYNC_RECONCILIATIONS = 8
ERASURES = 5  # a tenant
YOUNG_SECONDS = 30.0  # below this age the operator confirms an absence once more
YOUNG_TENANTS = 3
DEEP_READ = "dynamodb:ListTagsOfResource"
_POLL_SECONDS = 0.005

_NOTES = """
Kubernetes: the real API server; its audit log counts the requests of the operator's service account.
AWS: emulated, counted by a proxy in front of it. It answers in milliseconds; the real AWS takes longer.
The emulated AWS keeps every new function Pending for 0.5 s: included in apply → Ready, also by hand.
sts:GetCallerIdentity is called at the operator's start and then hourly.
Tenants are deleted when they and the operator are older than 30 s; a younger one is read once more after 2 s.
By hand: a boto3 script creates the same resources one after the other, and waits for each (bench/walkthrough.py).
""".strip().splitlines()


@dataclass
class Measured:
    """Everything that was measured, a value for each repetition."""

    apply_to_ready: list[float] = field(default_factory=list)
    applied: list[Phase] = field(default_factory=list)
    kubectl_apply: list[float] = field(default_factory=list)
    kubectl_delete: list[float] = field(default_factory=list)
    erased: list[float] = field(default_factory=list)
    erased_first: list[float] = field(default_factory=list)
    delete_to_removed: list[float] = field(default_factory=list)
    deleted: list[Phase] = field(default_factory=list)
    young_delete_to_removed: list[float] = field(default_factory=list)
    by_hand: list[float] = field(default_factory=list)
    by_hand_calls: list[Phase] = field(default_factory=list)
    by_hand_removal: list[float] = field(default_factory=list)
    settled: list[Phase] = field(default_factory=list)
    deep: list[Phase] = field(default_factory=list)
    settled_kube_writes: list[int] = field(default_factory=list)


@dataclass(frozen=True)
class Crowd:
    """Many tenants at once."""

    states: int
    apply_to_ready: float
    applied: Phase
    apply_cpu: float
    restart: float
    restarted: Phase
    delete_to_removed: float
    deleted: Phase


def run(*, say: Say, repeats: int, states: int) -> Report:
    """Takes about three minutes. Raises SandboxError, OperatorError or NotMeasuredError."""
    measured = Measured()
    with rig.opened(say=say) as bench:
        _one_by_one(bench, measured, repeats=repeats)
        _at_rest(bench, measured)
        crowd = measure_crowd(bench, states=states)
    return report(measured, crowd)


def _one_by_one(bench: Rig, measured: Measured, *, repeats: int) -> None:
    """A warm operator, one tenant after the other, and between them the same by hand."""
    names = [f"one-{number}" for number in range(1, repeats + 1)]
    young = [f"young-{number}" for number in range(1, YOUNG_TENANTS + 1)]
    for name in ("warm-up", *names, *young):
        bench.create_holdings(name)
    by_hand = _hand(bench)
    with bench.operator(resync_seconds=NEVER):
        begun = time.monotonic()
        bench.ready(["warm-up"], since=bench.apply(["warm-up"]))
        bench.removed(["warm-up"], since=bench.delete(["warm-up"]))
        for number, name in enumerate(names, 1):
            bench.say(f"tenant {number} of {repeats}: apply, {ERASURES} deleted records, the same by hand")
            _apply(bench, measured, name)
            _erase(bench, measured, name)
            _by_hand(bench, measured, by_hand, name=name)
        _wait_until(bench, begun + YOUNG_SECONDS + 2)  # counts from the operator's start as well
        _wait_until(bench, time.monotonic() + YOUNG_SECONDS + 2 - _age_of_last(measured))
        for number, name in enumerate(names, 1):
            bench.say(f"tenant {number} of {repeats}: delete")
            bench.start_counting()
            began = bench.delete([name])
            measured.kubectl_delete.append(time.monotonic() - began)
            measured.delete_to_removed.append(bench.removed([name], since=began)[name] - began)
            measured.deleted.append(bench.phase())
        for number, name in enumerate(young, 1):
            bench.say(f"tenant {number} of {len(young)} that is deleted young")
            bench.ready([name], since=bench.apply([name]))
            began = bench.delete([name])
            measured.young_delete_to_removed.append(bench.removed([name], since=began)[name] - began)


def _at_rest(bench: Rig, measured: Measured) -> None:
    """One settled tenant and a short resync: what is read and written when there is nothing to do."""
    name = "at-rest"
    bench.create_holdings(name)
    with bench.operator(resync_seconds=RESYNC_SECONDS):
        bench.ready([name], since=bench.apply([name]))
        before = len(bench.reconciliations(lambda reconciliations: len(reconciliations) > 0, what="a reconciliation"))
        bench.say(f"{IN_SYNC_RECONCILIATIONS} reconciliations over a tenant in sync, every {RESYNC_SECONDS:.0f} s")
        # The first two belong to the apply: its last reconciliation, and the one requested meanwhile.
        skipped = before + 2
        bench.reconciliations(lambda reconciliations: len(reconciliations) >= skipped, what="a reconciliation at rest")
        bench.start_counting()
        reconciliations = bench.reconciliations(
            lambda reconciliations: len(reconciliations) > skipped + IN_SYNC_RECONCILIATIONS,
            what=f"{IN_SYNC_RECONCILIATIONS} reconciliations at rest",
        )
        calls = [call for call in bench.recorder.calls if call.access_key == bench.account]
        measured.settled_kube_writes.append(len(bench.kube_writes()))
        for begin, end in _windows(reconciliations[skipped:]):
            found = rig.phase_of([call for call in calls if begin < call.started <= end], kube_writes=())
            (measured.deep if DEEP_READ in found.reads else measured.settled).append(found)
        bench.removed([name], since=bench.delete([name]))


def _windows(reconciliations: Sequence[Reconciliation]) -> list[tuple[float, float]]:
    """From the end of each reconciliation to the end of the next: with one tenant, all calls between belong to that."""
    ends = [one.ended for one in reconciliations]
    return list(pairwise(ends))


def measure_crowd(bench: Rig, *, states: int) -> Crowd:
    """All applied by one `kubectl apply`, an operator restarted over them, all deleted by one `kubectl delete`."""
    names = [f"state-{number:03}" for number in range(1, states + 1)]
    bench.say(f"{states} states at once: tables and buckets")
    for name in ("warm-up-2", *names):
        bench.create_holdings(name)
    with bench.operator(resync_seconds=NEVER) as operator:
        bench.ready(["warm-up-2"], since=bench.apply(["warm-up-2"]))
        bench.removed(["warm-up-2"], since=bench.delete(["warm-up-2"]))
        bench.say(f"{states} states at once: apply")
        used = rig.cpu_seconds(operator.process.pid)
        bench.start_counting()
        began = bench.apply(names)
        apply_to_ready = max(bench.ready(names, since=began).values()) - began
        apply_cpu = rig.cpu_seconds(operator.process.pid) - used
        applied = bench.phase()
    bench.say(f"{states} states at rest: a new operator")
    bench.start_counting()
    started, clock = time.time(), time.monotonic()
    with bench.operator(resync_seconds=NEVER):
        reconciliations = bench.reconciliations(
            lambda reconciliations: len({one.tenant for one in reconciliations}) == states,
            what=f"a reconciliation over each of {states} states",
        )
        restart = max(one.ended for one in reconciliations) - started
        restarted = bench.phase()
        _wait_until(bench, clock + YOUNG_SECONDS + 5)
        bench.say(f"{states} states at once: delete")
        bench.start_counting()
        began = bench.delete(names)
        delete_to_removed = max(bench.removed(names, since=began).values()) - began
        deleted = bench.phase()
    return Crowd(
        states=states,
        apply_to_ready=apply_to_ready,
        applied=applied,
        apply_cpu=apply_cpu,
        restart=restart,
        restarted=restarted,
        delete_to_removed=delete_to_removed,
        deleted=deleted,
    )


def _apply(bench: Rig, measured: Measured, name: str) -> None:
    bench.start_counting()
    began = bench.apply([name])
    measured.kubectl_apply.append(time.monotonic() - began)
    measured.apply_to_ready.append(bench.ready([name], since=began)[name] - began)
    measured.applied.append(bench.phase())


def _erase(bench: Rig, measured: Measured, name: str) -> None:
    """Records deleted one after the other; each file's end is waited for. The first one starts the function cold."""
    dynamodb, s3 = bench.aws["dynamodb"], bench.aws["s3"]
    for number in range(ERASURES):
        key = f"employee-{number}.pdf"
        s3.put_object(Bucket=bench.bucket(name), Key=key, Body=b"%PDF-1.4")
        dynamodb.put_item(TableName=rig.table(name), Item={"id": {"S": str(number)}, "pdf": {"S": key}})
    for number in range(ERASURES):
        dynamodb.delete_item(TableName=rig.table(name), Key={"id": {"S": str(number)}})
        seconds = _until_erased(bench, name, f"employee-{number}.pdf", since=time.monotonic())
        (measured.erased if number else measured.erased_first).append(seconds)


def _until_erased(bench: Rig, name: str, key: str, *, since: float) -> float:
    while True:
        if not bench.aws["s3"].list_objects_v2(Bucket=bench.bucket(name), Prefix=key).get("KeyCount"):
            return time.monotonic() - since
        if time.monotonic() - since > rig.PATIENCE_SECONDS:
            raise NotMeasuredError(f"{key} of {name} was not erased within {rig.PATIENCE_SECONDS:.0f} s")
        time.sleep(_POLL_SECONDS)


def _hand(bench: Rig) -> dict[str, Any]:
    """Clients of an account of its own, seen by the recorder; each has made a call, as the operator's have."""
    by_hand = rig.clients(bench.recorder.url, account=bench.by_hand_account)
    for number in range(2):
        _create_table(by_hand, f"warm-{number}")
        walkthrough.take_down(
            by_hand,
            table=f"warm-{number}",
            uuid=walkthrough.build(by_hand, table=f"warm-{number}", bucket="warm"),
        )
    return by_hand


def _by_hand(bench: Rig, measured: Measured, by_hand: dict[str, Any], *, name: str) -> None:
    _create_table(by_hand, name)
    bench.start_counting()
    begun = time.monotonic()
    uuid = walkthrough.build(by_hand, table=name, bucket=name)
    measured.by_hand.append(time.monotonic() - begun)
    measured.by_hand_calls.append(bench.phase(account=bench.by_hand_account))
    begun = time.monotonic()
    walkthrough.take_down(by_hand, table=name, uuid=uuid)
    measured.by_hand_removal.append(time.monotonic() - begun)


def _create_table(by_hand: dict[str, Any], name: str) -> None:
    by_hand["dynamodb"].create_table(
        TableName=name,
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        BillingMode="PAY_PER_REQUEST",
    )


def _age_of_last(measured: Measured) -> float:
    """At least so many seconds ago was the last tenant applied."""
    return measured.by_hand[-1] + measured.by_hand_removal[-1]


def _wait_until(bench: Rig, moment: float) -> None:
    """Until the monotonic clock says so: tenants and operator must not be young."""
    left = moment - time.monotonic()
    if left > 0:
        bench.say(f"waiting {left:.0f} s, until nothing is young any more")
        time.sleep(left)


def report(measured: Measured, crowd: Crowd) -> Report:
    """Tables, notes and figures of what was measured. Pure."""
    if not measured.settled:
        raise NotMeasuredError("the passes at rest held none of the usual kind")
    applied, deleted = typical(measured.applied), typical(measured.deleted)
    settled = typical(measured.settled)
    by_hand = typical(measured.by_hand_calls)
    operations = {
        "first_apply": applied,
        "settled_pass": settled,
        **({"full_pass": typical(measured.deep)} if measured.deep else {}),
        "delete": deleted,
        "by_hand": by_hand,
    }
    counts, seconds = _counts(measured), _seconds(measured)
    erased = measured.erased + measured.erased_first
    reconciliations = len(measured.settled) + len(measured.deep)
    figures: dict[str, Any] = {
        **{key: whole(found.median) for key, (_, found) in counts.items()},
        **{key: found.median for key, (_, found) in seconds.items()},
        "settled_pass_kube_writes": whole(sum(measured.settled_kube_writes) / reconciliations),
        "record_deleted_to_file_erased_s": {
            "p50": percentile(erased, 0.5), "max": max(erased), "n": len(erased),
            "first_p50": percentile(measured.erased_first, 0.5),
        },
        "by_hand_aws_calls": by_hand.aws_calls,
        "apply_to_ready_per_by_hand": seconds["apply_to_ready_s"][1].median / spread(measured.by_hand).median,
        "delete_to_gone_per_by_hand": (
            seconds["delete_to_gone_s"][1].median / spread(measured.by_hand_removal).median
        ),
        "fifty_states": crowd.states,
        "fifty_apply_to_ready_s": crowd.apply_to_ready,
        "fifty_apply_to_ready_per_by_hand": crowd.apply_to_ready / (crowd.states * spread(measured.by_hand).median),
        "fifty_apply_aws_calls_per_tenant": crowd.applied.aws_calls / crowd.states,
        "fifty_apply_kube_writes_per_tenant": crowd.applied.kube_writes.total() / crowd.states,
        "fifty_apply_operator_cpu_s": crowd.apply_cpu,
        "fifty_restart_s": crowd.restart,
        "fifty_restart_aws_calls_per_tenant": crowd.restarted.aws_calls / crowd.states,
        "fifty_restart_aws_writes": crowd.restarted.writes.total(),
        "fifty_restart_kube_writes_per_tenant": crowd.restarted.kube_writes.total() / crowd.states,
        "fifty_delete_to_gone_s": crowd.delete_to_removed,
        "fifty_delete_aws_calls_per_tenant": crowd.deleted.aws_calls / crowd.states,
        "fifty_delete_kube_writes_per_tenant": crowd.deleted.kube_writes.total() / crowd.states,
        "spread": {key: found.figures() for key, (_, found) in {**counts, **seconds}.items()},
        "calls_by_operation": {name: phase.by_operation() for name, phase in operations.items()},
    }  # fmt: skip
    return Report(
        tables=[
            Table(
                title="One tenant, a warm operator",
                header=("WHAT", "MIN", "MEDIAN", "MAX", "N", "UNIT"),
                rows=[
                    *(spread_row(name, found) for name, found in counts.values()),
                    spread_row("Kubernetes writes of all settled reconciles", spread(measured.settled_kube_writes)),
                    *(spread_row(name, found, unit="s") for name, found in seconds.values()),
                    spread_row("record deleted → file erased", spread(measured.erased), unit="s"),
                    spread_row("  a tenant's first one: the function starts", spread(measured.erased_first), unit="s"),
                ],
            ),
            _operations(operations),
            crowd_table(crowd),
        ],
        notes=_notes(figures),
        figures=figures,
    )


def _counts(measured: Measured) -> dict[str, tuple[str, Spread]]:
    return {
        "first_apply_aws_calls": ("first apply: AWS calls", spread(one.aws_calls for one in measured.applied)),
        "first_apply_kube_writes": (
            "first apply: Kubernetes writes, events included",
            spread(one.kube_writes.total() for one in measured.applied),
        ),
        "settled_pass_aws_reads": (
            "settled reconcile: AWS reads",
            spread(one.reads.total() for one in measured.settled),
        ),
        **(
            {"full_pass_aws_reads": ("the one that reads everything: AWS reads", spread(_reads(measured.deep)))}
            if measured.deep
            else {}
        ),
        "settled_pass_aws_writes": (
            "settled reconcile: AWS writes",
            spread(one.writes.total() for one in [*measured.settled, *measured.deep]),
        ),
        "delete_aws_calls": ("delete: AWS calls", spread(one.aws_calls for one in measured.deleted)),
        "delete_kube_writes": (
            "delete: Kubernetes writes, events included",
            spread(one.kube_writes.total() for one in measured.deleted),
        ),
    }


def _seconds(measured: Measured) -> dict[str, tuple[str, Spread]]:
    return {
        "apply_to_ready_s": ("kubectl apply begun → Ready", spread(measured.apply_to_ready)),
        "kubectl_apply_s": ("  of which kubectl apply itself, at most", spread(measured.kubectl_apply)),
        "by_hand_s": ("the same by hand, trigger Enabled", spread(measured.by_hand)),
        "delete_to_gone_s": ("kubectl delete begun → deleted", spread(measured.delete_to_removed)),
        "kubectl_delete_s": ("  of which kubectl delete itself, at most", spread(measured.kubectl_delete)),
        "young_delete_to_gone_s": ("  of a tenant younger than 30 s", spread(measured.young_delete_to_removed)),
        "by_hand_delete_s": ("the same by hand", spread(measured.by_hand_removal)),
    }


def _reads(phases: Sequence[Phase]) -> list[int]:
    return [phase.reads.total() for phase in phases]


def _operations(phases: Mapping[str, Phase]) -> Table:
    """A row for each operation, a column for each phase."""
    tables = [phase.by_operation() for phase in phases.values()]
    operations = list(dict.fromkeys(operation for one in tables for operation in one))
    return Table(
        title="Calls by operation",
        header=("OPERATION", *(name.replace("_", " ").upper() for name in phases)),
        rows=[
            *((operation, *(one.get(operation, "") for one in tables)) for operation in operations),
            ("AWS calls", *(phase.aws_calls for phase in phases.values())),
            ("Kubernetes writes", *(phase.kube_writes.total() for phase in phases.values())),
        ],
    )


def crowd_table(crowd: Crowd) -> Table:
    def row(name: str, seconds: float, phase: Phase) -> tuple[object, ...]:
        return (
            name,
            f"{seconds:.2f}",
            f"{phase.reads.total() / crowd.states:.1f}",
            f"{phase.writes.total() / crowd.states:.1f}",
            f"{phase.kube_writes.total() / crowd.states:.1f}",
        )

    return Table(
        title=f"{crowd.states} states at once",
        header=("WHAT", "SECONDS", "AWS READS A TENANT", "AWS WRITES A TENANT", "KUBERNETES WRITES A TENANT"),
        rows=[
            row("kubectl apply begun → all Ready", crowd.apply_to_ready, crowd.applied),
            row("a new operator, all settled → each reconciled once", crowd.restart, crowd.restarted),
            row("kubectl delete begun → all deleted", crowd.delete_to_removed, crowd.deleted),
        ],
    )


def _notes(figures: dict[str, Any]) -> list[str]:
    ratios = [
        f"{name} {figures[key]:.2f}"
        for name, key in (
            ("apply", "apply_to_ready_per_by_hand"),
            ("delete", "delete_to_gone_per_by_hand"),
            ("all states at once", "fifty_apply_to_ready_per_by_hand"),
        )
    ]
    return [
        *_NOTES,
        f"Time as a share of the same by hand, one after the other: {', '.join(ratios)}.",
        f"The operator used {figures['fifty_apply_operator_cpu_s']:.1f} s of processor time for applying all states.",
    ]
