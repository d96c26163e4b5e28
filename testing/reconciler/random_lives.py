"""A tenant's life as Hypothesis draws it: edits, faults, crashes, changes from outside, deletions; and what holds.

What is drawn is what people, AWS and the operator's host do. What always holds is written in `Life`'s invariants and in
its last step, `teardown`: once the weather clears and people have fixed what only they can, it ends in sync, comes to
rest, and is deleted without a trace.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import wraps
from itertools import count
from typing import Any

from humangov.api.conditions import STOPPED, find_condition
from humangov.api.names import OWNER_TAG
from humangov.api.spec import RECONCILE_ANNOTATION
from humangov.api.stop import STOP_ANNOTATION
from humangov.aws.actions import ACTIONS
from humangov.kube.client import KubeError
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from testing import kstatus
from testing.killed import Killed
from testing.reconciler import neighbour, ownership_tags, snapshot
from testing.reconciler.drifts import DRIFTS, GROUP, NAME, ROLE, TABLE, Drift
from testing.reconciler.line import Call, Fault
from testing.reconciler.matrix import neutral
from testing.reconciler.sdk import answer_lost, denied, error, throttled
from testing.reconciler.world import World

RECONCILIATIONS_TO_SYNC = 30  # once the weather has cleared
_AWS = sorted(action for action in ACTIONS if action != "sts:GetCallerIdentity")
_KUBE = ["kube:apply_status", "kube:set_finalizer", "kube:read", "kube:post_event"]
_UNABLE: Mapping[str, Callable[[str], Exception]] = {
    "throttled": lambda _: throttled(),
    "500": lambda _: error("InternalFailure", "", status=500),
    "denied": denied,
    "answer lost": lambda _: answer_lost(),
}
_EDITS: Mapping[str, list[dict[str, Any]]] = {
    "function": [{"memoryMiB": 256}, {"memoryMiB": 1024, "reservedConcurrency": 2}, {"timeoutSeconds": 60}],
    "trigger": [{"batchSize": 7}, {"enabled": False}, {"enabled": True}],
    "logs": [{"retentionDays": 7}, {"retentionDays": 400}],
    "tags": [{"team": "records"}, {"team": "archive", "floor": "2"}],
}


def happens(**draws: Any) -> Callable[[Callable[..., None]], Any]:
    """Something that happens, after which the operator has no reconciliation, one or several."""

    def decorated(method: Callable[..., None]) -> Any:
        @wraps(method)
        def step(self: Life, *, then: int, **drawn: Any) -> None:
            method(self, **drawn)
            self.reconcile_times(then)

        created: Any = rule(then=st.sampled_from([0, 1, 1, 3]), **draws)
        return created(step)

    return decorated


class Life(RuleBasedStateMachine):
    """One tenant, and a neighbour in the same account that is somebody else's."""

    tally: dict[str, int]  # sequences and steps, of all runs
    undisturbed: dict[str, str]  # what each spec comes to, of all runs

    def __init__(self, worlds: Callable[[], World], tally: dict[str, int], undisturbed: dict[str, str]) -> None:
        super().__init__()
        self.worlds, self.world, self.tally, self.undisturbed = worlds, worlds(), tally, undisturbed
        self.stream_is_foreign = False
        self.suspended = False
        self.asked = count(1)
        self.tally["sequences"] = self.tally.get("sequences", 0) + 1

    @initialize()
    def begin(self) -> None:
        world = self.world
        world.make_table()
        world.make_bucket()
        neighbour.make(world)
        self.neighbour = neighbour.picture(world)
        self.key = world.apply(world.manifest(tags={"team": "records"}))

    # what people do

    @happens(field=st.sampled_from(sorted(_EDITS)), which=st.integers(0, 2))
    def edits_the_spec(self, field: str, which: int) -> None:
        value = _EDITS[field][which % len(_EDITS[field])]
        self._edit(lambda spec: spec.update({field: value}))

    @happens(suspended=st.booleans())
    def suspends_or_resumes(self, suspended: bool) -> None:
        self._edit(lambda spec: spec.update(suspend=suspended))
        self.suspended = suspended

    @happens(stopped=st.booleans())
    def stops_or_starts(self, stopped: bool) -> None:
        if self.key not in self.world.kube.objects:
            return

        self.world.kube.edit(self.key, _stop if stopped else _start)

    @happens()
    def deletes_and_re_creates(self) -> None:
        if self.key not in self.world.kube.objects:
            self._re_create()
        # A function that is somebody else's now goes on reading our stream, which therefore stays.
        self.stream_is_foreign |= bool(ownership_tags.not_owned(self.world))
        self.world.delete(self.key)
        self.reconcile_times(3)
        if self.key not in self.world.kube.objects:
            self._re_create()

    @happens()
    def deletes_by_force_and_re_creates(self) -> None:
        """The finalizer stripped while the operator was down: what was in AWS is still there."""
        self.world.kube.objects.pop(self.key, None)
        self._re_create()
        self.world.restart_operator()

    @happens(drift=st.sampled_from(DRIFTS))
    def changes_something_in_aws(self, drift: Drift) -> None:
        ownership_tags.if_there(lambda: drift.by_hand(self.world))

    @happens(on_again=st.booleans())
    def turns_the_stream_off(self, on_again: bool) -> None:
        dynamodb = self.world.sdk.client("dynamodb")
        if not _stream_is_on(self.world):
            return
        dynamodb.update_table(TableName=TABLE, StreamSpecification={"StreamEnabled": False})
        if on_again:
            enabled = {"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"}
            dynamodb.update_table(TableName=TABLE, StreamSpecification=enabled)
            self.stream_is_foreign = True

    @happens(kind=st.sampled_from(["function", "role", "log group", "trigger", "table"]))
    def strips_our_tags(self, kind: str) -> None:
        self.stream_is_foreign |= kind == "table"
        ownership_tags.strip(self.world, kind)

    @happens()
    def somebody_else_takes_it(self) -> None:
        ownership_tags.put(self.world, neighbour.TAGS)

    @happens()
    def deletes_the_table(self) -> None:
        if TABLE in self.world.sdk.client("dynamodb").list_tables()["TableNames"]:
            self.world.sdk.client("dynamodb").delete_table(TableName=TABLE)

    @happens()
    def makes_the_table(self) -> None:
        _make_table(self.world)

    # what AWS, the API server and the host do

    @happens(action=st.sampled_from(_AWS), kind=st.sampled_from(sorted(_UNABLE)), times=st.integers(1, 3))
    def aws_fails(self, action: str, kind: str, times: int) -> None:
        after = kind == "answer lost" and ACTIONS[action].writes
        fault = Fault(_on(action), error=_UNABLE[kind](action), after_effect=after, times=times)
        self.world.line.faults.append(fault)

    @happens(action=st.sampled_from(_KUBE), status=st.sampled_from([409, 500, None]), lost=st.booleans())
    def the_api_server_fails(self, action: str, status: int | None, lost: bool) -> None:
        failure = KubeError(action, status=status, reason="it failed")
        self.world.line.faults.append(Fault(_on(action), error=failure, after_effect=lost and status is None, times=1))

    @happens(writes=st.integers(1, 6))
    def the_operator_dies(self, writes: int) -> None:
        self.world.line.kill_after_write = self.world.line.writes_so_far + writes
        self.reconcile_times(3)
        self.world.restart_operator()

    @happens()
    def a_person_requests_a_reconcile(self) -> None:
        """Which is a deep one."""
        if self.key in self.world.kube.objects:
            number = str(next(self.asked))
            self.world.kube.edit(
                self.key,
                lambda resource: (
                    resource["metadata"].setdefault("annotations", {}).update({RECONCILE_ANNOTATION: number})
                ),
            )

    # what always holds

    @invariant()
    def what_is_not_owned_is_unchanged(self) -> None:
        if hasattr(self, "neighbour"):
            assert neighbour.picture(self.world) == self.neighbour

    @invariant()
    def the_status_keeps_kstatus_rules(self) -> None:
        resource = self.world.kube.objects.get(self.key) if hasattr(self, "key") else None
        broken = kstatus.problems(resource) if resource else []
        assert not broken, broken

    def teardown(self) -> None:
        """The weather clears. Then it ends in sync, comes to rest, and can be deleted without a trace."""
        if not hasattr(self, "key"):
            return
        world = self.world
        world.line.faults = []
        world.line.kill_after_write = None
        if self.key in world.kube.objects:
            world.kube.edit(self.key, _start)
        if self._deleting():
            world.settle(self.key, reconciliations=RECONCILIATIONS_TO_SYNC)
        if self.key not in world.kube.objects:
            self._re_create()
        self._people_fix()
        self._settles()
        world.line.forget()
        for _ in range(2):
            world.reconcile_once(self.key)
        assert world.line.writes() + world.line.kube_writes() == [], "a settled world is written to"
        world.restart_operator()  # which looks at everything, and has nothing to do either
        world.reconcile_once(self.key)
        assert world.line.writes() + world.line.kube_writes() == [], "a restarted operator writes to a world in sync"
        [table] = [table for table in snapshot.tables(world) if table["name"] == TABLE]
        current = [mapping for mapping in snapshot.mappings(world) if mapping["EventSourceArn"] == table["arn"]]
        assert len(current) == 1, "two mappings of one stream"
        assert _picture(world, table["arn"]) == self._undisturbed(), "in sync, but not as an undisturbed run"
        assert neighbour.picture(world) == self.neighbour, "the neighbour was touched"
        world.delete(self.key)
        world.settle(self.key, reconciliations=RECONCILIATIONS_TO_SYNC)
        assert self.key not in world.kube.objects
        assert self._left() == [], "a deletion left something"
        assert neighbour.picture(world) == self.neighbour, "the neighbour was touched by the deletion"

    # how

    def _edit(self, change: Callable[[dict[str, Any]], None]) -> None:
        if self.key in self.world.kube.objects:
            self.world.kube.edit(self.key, lambda resource: change(resource["spec"]))

    def _deleting(self) -> bool:
        resource = self.world.kube.objects.get(self.key)
        return resource is not None and "deletionTimestamp" in resource["metadata"]

    def _stopped(self) -> bool:
        resource = self.world.kube.objects.get(self.key)
        return resource is not None and STOP_ANNOTATION in (resource["metadata"].get("annotations") or {})

    def _reported_stop_is_true(self) -> None:
        """Of a function that is the tenant's."""
        if not self._stopped() or NAME in ownership_tags.not_owned(self.world):
            return
        reported = find_condition(self.world.status(self.key), STOPPED)
        if reported is not None and reported["status"] == "True":
            functions = [one for one in snapshot.functions(self.world) if one["name"] == NAME]
            assert all(one["concurrency"] == {"ReservedConcurrentExecutions": 0} for one in functions), reported

    def _re_create(self) -> None:
        self.key = self.world.apply(self.world.manifest(tags={"team": "records"}))
        self.suspended = False

    def reconcile_times(self, number: int) -> None:
        """Of which none writes to what is not owned, or, while suspended, anything."""
        for _ in range(number):
            self.tally["reconciliations"] = self.tally.get("reconciliations", 0) + 1
            if self.key not in self.world.kube.objects:
                return
            unowned, held, line = (
                ownership_tags.not_owned(self.world),
                self.suspended and not self._deleting() and not self._stopped(),
                self.world.line,
            )
            before = len(line.calls)
            try:
                outcome = self.world.reconcile_once(self.key)
            except Killed:
                self.world.restart_operator()
                return
            finally:
                writes = [call for call in line.calls[before:] if call.writes and not call.action.startswith("kube:")]
                foreign = [call.action for call in writes if _target(call) in unowned]
                assert not foreign, f"{foreign} on what is not owned"
                assert not (held and writes), "suspended, and something was written to AWS"
            self._reported_stop_is_true()
            wait = outcome.requeue_after_seconds
            self.world.clock.forward(wait if wait is not None else 1.0)

    def _people_fix(self) -> None:
        """What an operator must not do automatically: create the table, restore an ownership tag."""
        _make_table(self.world)
        ownership_tags.put(self.world, {OWNER_TAG: ownership_tags.OWNER})
        self._edit(lambda spec: spec.update(suspend=False))
        self.suspended = False

    def _settles(self) -> None:
        world = self.world
        world.settle(self.key, reconciliations=RECONCILIATIONS_TO_SYNC)
        assert world.ready(self.key).startswith("True"), world.ready(self.key)

    def _undisturbed(self) -> str:
        """What the present spec comes to in a world where nothing happens."""
        spec = {**self.world.kube.objects[self.key]["spec"], "bucket": None}  # each world has another
        known = json.dumps(spec, sort_keys=True)
        if known not in self.undisturbed:
            calm = self.worlds()
            calm.provisioned(**{**spec, "bucket": {"name": calm.bucket}})
            [stream] = [table["arn"] for table in snapshot.tables(calm)]
            self.undisturbed[known] = _picture(calm, stream)
            self.world.sdk.enter(self.world.account)
        return self.undisturbed[known]

    def _left(self) -> list[str]:
        left = [what for what in self.world.remains() if neighbour.FUNCTION not in what]
        of_the_neighbour = {f"mapping {mapping['UUID']}" for mapping in neighbour.mappings(self.world)}
        left = [what for what in left if what not in of_the_neighbour]
        # If someone removed the table's ownership tag, or enabled the stream, it stays enabled.
        return [what for what in left if not (self.stream_is_foreign and (what == "stream" or what.startswith("tag ")))]


def _stop(resource: dict[str, Any]) -> None:
    resource["metadata"].setdefault("annotations", {})[STOP_ANNOTATION] = "a wrong import"


def _start(resource: dict[str, Any]) -> None:
    resource["metadata"].get("annotations", {}).pop(STOP_ANNOTATION, None)


def _on(action: str) -> Callable[[Call], bool]:
    return lambda call: call.action == action


def _make_table(world: World) -> None:
    if TABLE not in world.sdk.client("dynamodb").list_tables()["TableNames"]:
        world.make_table()


def _stream_is_on(world: World) -> bool:
    for table in snapshot.tables(world):
        if table["name"] == TABLE:
            return bool((table["stream"] or {}).get("StreamEnabled"))
    return False


def _picture(world: World, stream: str) -> str:
    """The tenant's own, and the mapping of its present stream; comparable between worlds."""
    mappings = [
        {field: value for field, value in one.items() if field != "StartingPosition"}  # depends on what was there
        for one in snapshot.mappings(world)
        if one["EventSourceArn"] == stream
    ]
    tenants = {"functions": snapshot.functions, "roles": snapshot.roles, "log groups": snapshot.log_groups}
    found: dict[str, Any] = {
        kind: [one for one in listed(world) if one["name"] in (NAME, ROLE, GROUP)] for kind, listed in tenants.items()
    }
    return neutral(world, {**found, "mappings": mappings})


def _target(call: Call) -> str:
    """The name of the function, role, log group or mapping that a call is about; empty if about none."""
    names = ("UUID", "FunctionName", "RoleName", "logGroupName", "Resource", "resourceArn")
    target = next((str(call.parameters[name]) for name in names if name in call.parameters), "")
    return target.removesuffix(":*").rpartition(":")[2] if target.startswith("arn:") else target
