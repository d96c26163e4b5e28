"""A tenant's life as Hypothesis draws it: edits, faults, crashes, changes from outside, deletions; and what holds.


What is drawn is what people, AWS and the operator's host do. What always holds is written in `Life`'s invariants and in
its last step, `teardown`: once the weather clears and people have mended what only they can, it ends in step, comes to
rest, and is deleted without a trace.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from humangov.aws.clients import ACTIONS
from humangov.kube import KubeError
from humangov.tenant import OWNER_TAG
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tests.aws import snapshot
from tests.aws.by_hand import TRUST
from tests.aws.drifts import DRIFTS, NAME, ROLE, Drift, function_arn, group_arn
from tests.aws.world import Call, Fault, Killed, World, answer_lost, denied, error, throttled

TABLE = "humangov-california-dynamodb"
OTHER_TABLE, OTHER = "payroll", "payroll-cleanup"
OTHERS = {OWNER_TAG: "other-cluster/humangov/payroll"}
PASSES_TO_STEP = 30  # once the weather has cleared
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


class Life(RuleBasedStateMachine):
    """One tenant, and a neighbour in the same account that is somebody else's."""

    tally: dict[str, int]  # sequences and steps, of all runs

    def __init__(self, worlds: Callable[[], World], tally: dict[str, int]) -> None:
        super().__init__()
        self.world, self.tally = worlds(), tally
        self.stream_is_theirs = False
        self.suspended = False
        self.tally["sequences"] = self.tally.get("sequences", 0) + 1

    @initialize()
    def begin(self) -> None:
        world = self.world
        world.make_table()
        world.make_bucket()
        _make_neighbour(world)
        self.neighbour = _neighbour(world)
        self.key = world.apply(world.manifest(tags={"team": "records"}))

    # what people do

    @rule(field=st.sampled_from(sorted(_EDITS)), which=st.integers(0, 2))
    def edits_the_spec(self, field: str, which: int) -> None:
        value = _EDITS[field][which % len(_EDITS[field])]
        self._edit(lambda spec: spec.update({field: value}))

    @rule(suspended=st.booleans())
    def suspends_or_resumes(self, suspended: bool) -> None:
        self._edit(lambda spec: spec.update(suspend=suspended))
        self.suspended = suspended

    @rule()
    def deletes_and_applies_anew(self) -> None:
        self.world.delete(self.key)
        self._passes(3)
        if self.key not in self.world.kube.objects:
            self._apply_anew()

    @rule()
    def deletes_by_force_and_applies_anew(self) -> None:
        """The finalizer stripped while the operator was down: what was in AWS is still there."""
        self.world.kube.objects.pop(self.key, None)
        self._apply_anew()
        self.world.new_life()

    @rule(drift=st.sampled_from(DRIFTS))
    def changes_something_in_aws(self, drift: Drift) -> None:
        _if_there(lambda: drift.by_hand(self.world))

    @rule(on_again=st.booleans())
    def turns_the_stream_off(self, on_again: bool) -> None:
        dynamodb = self.world.sdk.client("dynamodb")
        if not _stream_is_on(self.world):
            return
        dynamodb.update_table(TableName=TABLE, StreamSpecification={"StreamEnabled": False})
        if on_again:
            enabled = {"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"}
            dynamodb.update_table(TableName=TABLE, StreamSpecification=enabled)
            self.stream_is_theirs = True

    @rule(kind=st.sampled_from(["function", "role", "log group", "trigger", "table"]))
    def strips_our_tags(self, kind: str) -> None:
        self.stream_is_theirs |= kind == "table"
        _strip(self.world, kind)

    @rule()
    def deletes_the_table(self) -> None:
        if TABLE in self.world.sdk.client("dynamodb").list_tables()["TableNames"]:
            self.world.sdk.client("dynamodb").delete_table(TableName=TABLE)

    @rule()
    def makes_the_table(self) -> None:
        _make_table(self.world)

    # what AWS, the API server and the host do

    @rule(action=st.sampled_from(_AWS), kind=st.sampled_from(sorted(_UNABLE)), times=st.integers(1, 3))
    def aws_fails(self, action: str, kind: str, times: int) -> None:
        after = kind == "answer lost" and ACTIONS[action].writes
        fault = Fault(_on(action), error=_UNABLE[kind](action), after_effect=after, times=times)
        self.world.line.faults.append(fault)

    @rule(action=st.sampled_from(_KUBE), status=st.sampled_from([409, 500, None]), lost=st.booleans())
    def the_api_server_fails(self, action: str, status: int | None, lost: bool) -> None:
        failure = KubeError(action, status=status, reason="it failed")
        self.world.line.faults.append(Fault(_on(action), error=failure, after_effect=lost and status is None, times=1))

    @rule(writes=st.integers(1, 6))
    def the_operator_dies(self, writes: int) -> None:
        self.world.line.kill_after_write = self.world.line.writes_so_far + writes
        self._passes(3)
        self.world.new_life()

    @rule(passes=st.integers(1, 4))
    def time_goes_by(self, passes: int) -> None:
        self._passes(passes)

    @precondition(lambda self: self.suspended)
    @rule()
    def time_goes_by_while_suspended(self) -> None:
        self.world.line.forget()
        self._passes(2)
        if not self._deleting():
            assert self.world.line.writes() == [], "suspended, and something was written to AWS"

    # what always holds

    @invariant()
    def what_is_not_ours_is_untouched(self) -> None:
        if hasattr(self, "neighbour"):
            assert _neighbour(self.world) == self.neighbour

    @invariant()
    def the_status_keeps_kstatus_rules(self) -> None:
        resource = self.world.kube.objects.get(self.key) if hasattr(self, "key") else None
        if resource and resource.get("status"):
            assert_kstatus(resource)

    def teardown(self) -> None:
        """The weather clears. Then it ends in step, comes to rest, and can be deleted without a trace."""
        if not hasattr(self, "key"):
            return
        world = self.world
        world.line.faults = []
        world.line.kill_after_write = None
        if self._deleting():
            world.settle(self.key, passes=PASSES_TO_STEP)
        if self.key not in world.kube.objects:
            self._apply_anew()
        self._people_mend()
        self._settles()
        world.line.forget()
        for _ in range(2):
            world.one_pass(self.key)
        assert world.line.writes() + world.line.kube_writes() == [], "a settled world is written to"
        world.new_life()  # which looks at everything, and has nothing to do either
        world.one_pass(self.key)
        assert world.line.writes() + world.line.kube_writes() == [], "a new life writes to a settled world"
        [table] = [table for table in snapshot.tables(world) if table["name"] == TABLE]
        current = [mapping for mapping in snapshot.mappings(world) if mapping["EventSourceArn"] == table["arn"]]
        assert len(current) == 1, "two mappings of one stream"
        assert _neighbour(world) == self.neighbour, "the neighbour was touched"
        world.delete(self.key)
        world.settle(self.key, passes=PASSES_TO_STEP)
        assert self.key not in world.kube.objects
        assert self._left() == [], "a deletion left something"
        assert _neighbour(world) == self.neighbour, "the neighbour was touched by the deletion"

    # how

    def _edit(self, change: Callable[[dict[str, Any]], None]) -> None:
        if self.key in self.world.kube.objects:
            self.world.kube.edit(self.key, lambda resource: change(resource["spec"]))

    def _deleting(self) -> bool:
        resource = self.world.kube.objects.get(self.key)
        return resource is not None and "deletionTimestamp" in resource["metadata"]

    def _apply_anew(self) -> None:
        self.key = self.world.apply(self.world.manifest(tags={"team": "records"}))
        self.suspended = False

    def _passes(self, number: int) -> None:
        for _ in range(number):
            self.tally["passes"] = self.tally.get("passes", 0) + 1
            if self.key not in self.world.kube.objects:
                return
            try:
                outcome = self.world.one_pass(self.key)
            except Killed:
                self.world.new_life()
                return
            self.world.clock.forward(outcome.after if outcome.after is not None else 1.0)

    def _people_mend(self) -> None:
        """What an operator must not do by itself: make the table, put back a mark that somebody took off."""
        _make_table(self.world)
        owner = {OWNER_TAG: "test-cluster/humangov/california"}
        _tag(self.world, owner)
        self._edit(lambda spec: spec.update(suspend=False))
        self.suspended = False

    def _settles(self) -> None:
        world = self.world
        world.settle(self.key, passes=PASSES_TO_STEP)
        assert world.ready(self.key).startswith("True"), world.ready(self.key)

    def _left(self) -> list[str]:
        left = [what for what in self.world.remains() if OTHER not in what]
        of_the_neighbour = {f"mapping {mapping['UUID']}" for mapping in _mappings(self.world, OTHER)}
        left = [what for what in left if what not in of_the_neighbour]
        # Whose mark was taken off the table, or who turned the stream on himself, has it stay on.
        return [what for what in left if not (self.stream_is_theirs and (what == "stream" or what.startswith("tag ")))]


def assert_kstatus(resource: Mapping[str, Any]) -> None:
    """https://github.com/kubernetes-sigs/cli-utils/blob/master/pkg/kstatus/README.md"""
    status, generation = resource["status"], resource["metadata"]["generation"]
    conditions = {condition["type"]: condition for condition in status.get("conditions", ())}
    assert len(conditions) == len(status.get("conditions", ())), "a condition twice"
    assert status["observedGeneration"] <= generation
    for condition in conditions.values():
        assert condition["status"] in ("True", "False", "Unknown")
        assert condition["reason"]
        assert condition["lastTransitionTime"]
        assert condition["observedGeneration"] <= status["observedGeneration"]
    states = {kind: conditions[kind]["status"] for kind in ("Ready", "Reconciling", "Stalled") if kind in conditions}
    assert len(states) == 3, states
    assert (states["Reconciling"], states["Stalled"]) != ("True", "True"), states
    if states["Ready"] == "True":
        assert (states["Reconciling"], states["Stalled"]) == ("False", "False"), states
    if states["Stalled"] == "True":
        assert states["Ready"] == "False", states
    if states["Ready"] == "Unknown":
        assert states["Reconciling"] == "True", states


def _on(action: str) -> Callable[[Call], bool]:
    return lambda call: call.action == action


def _absent(failure: Exception) -> bool:
    code = str(getattr(failure, "response", {}).get("Error", {}).get("Code"))
    return "NotFound" in code or "NoSuch" in code or "AlreadyExists" in code or isinstance(failure, LookupError)


def _make_table(world: World) -> None:
    if TABLE not in world.sdk.client("dynamodb").list_tables()["TableNames"]:
        world.make_table()


def _stream_is_on(world: World) -> bool:
    for table in snapshot.tables(world):
        if table["name"] == TABLE:
            return bool((table["stream"] or {}).get("StreamEnabled"))
    return False


def _make_neighbour(world: World) -> None:
    """Somebody else's whole of the same kind: under our path, with marks of another cluster."""
    world.make_table(OTHER_TABLE, view_type="NEW_AND_OLD_IMAGES")
    iam, awslambda = world.sdk.client("iam"), world.sdk.client("lambda")
    tags = [{"Key": key, "Value": value} for key, value in OTHERS.items()]
    role = iam.create_role(RoleName=f"{OTHER}-us-east-1", Path="/humangov/", AssumeRolePolicyDocument=TRUST, Tags=tags)
    world.sdk.client("logs").create_log_group(logGroupName=f"/aws/lambda/{OTHER}", tags=OTHERS)
    awslambda.create_function(
        FunctionName=OTHER, Runtime="python3.13", Role=role["Role"]["Arn"], Handler="a.b",
        Code={"ZipFile": world.bundle.zip}, Tags=OTHERS,
    )  # fmt: skip
    stream = world.sdk.client("dynamodb").describe_table(TableName=OTHER_TABLE)["Table"]["LatestStreamArn"]
    awslambda.create_event_source_mapping(
        FunctionName=OTHER, EventSourceArn=stream, StartingPosition="LATEST", Tags=OTHERS
    )


def _neighbour(world: World) -> dict[str, list[Any]]:
    found = snapshot.snapshot(world)
    mine = {
        kind: [thing for thing in things if OTHER in str(thing) or thing.get("name") == OTHER_TABLE]
        for kind, things in found.items()
    }
    assert all(len(things) == 1 for things in mine.values()), mine
    return mine


def _mappings(world: World, function: str) -> list[dict[str, Any]]:
    listed = world.sdk.client("lambda").list_event_source_mappings()["EventSourceMappings"]
    return [mapping for mapping in listed if mapping["FunctionArn"].endswith(f":{function}")]


def _tag(world: World, tags: Mapping[str, str]) -> None:
    """On all of the tenant's that is there."""
    pairs = [{"Key": key, "Value": value} for key, value in tags.items()]
    for put in (
        lambda: world.sdk.client("lambda").tag_resource(Resource=function_arn(world), Tags=dict(tags)),
        lambda: world.sdk.client("iam").tag_role(RoleName=ROLE, Tags=pairs),
        lambda: world.sdk.client("logs").tag_resource(resourceArn=group_arn(world), tags=dict(tags)),
    ):
        _if_there(put)


def _strip(world: World, kind: str) -> None:
    iam, awslambda = world.sdk.client("iam"), world.sdk.client("lambda")
    match kind:
        case "function":
            _if_there(lambda: awslambda.untag_resource(Resource=function_arn(world), TagKeys=[OWNER_TAG]))
        case "role":
            _if_there(lambda: iam.untag_role(RoleName=ROLE, TagKeys=[OWNER_TAG]))
        case "log group":
            logs = world.sdk.client("logs")
            _if_there(lambda: logs.untag_resource(resourceArn=group_arn(world), tagKeys=[OWNER_TAG]))
        case "trigger":
            for mapping in _mappings(world, NAME):
                arn = snapshot.mapping_arn(world, mapping["UUID"])
                awslambda.untag_resource(Resource=arn, TagKeys=[OWNER_TAG])
        case "table":
            arn = f"arn:aws:dynamodb:us-east-1:{world.account}:table/{TABLE}"
            dynamodb = world.sdk.client("dynamodb")
            keys = [OWNER_TAG, "humangov.io/stream", "humangov.io/stream-enabling"]
            _if_there(lambda: dynamodb.untag_resource(ResourceArn=arn, TagKeys=keys))


def _if_there(do: Callable[[], Any]) -> None:
    try:
        do()
    except Exception as missing:
        if not _absent(missing):
            raise
