"""What has to hold of a life (testing/reconciler/random_lives.py) and of a crash fails on an operator broken for it."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest
from humangov.api import conditions
from humangov.api import spec as tenants
from humangov.aws import function, log_group, removal, role, trigger
from humangov.aws.deletion import Deletion
from humangov.reconcile import cache, finalizer, status

from testing.reconciler import matrix
from testing.reconciler.drifts import DRIFTS, Drift
from testing.reconciler.flows import MAIN
from testing.reconciler.random_lives import Life
from testing.reconciler.world import World


@dataclass(frozen=True)
class Broken:
    """An operator with one fault, and a life that shows it: the sentence with which it has to fail."""

    name: str
    lived: Callable[[Life], None]
    says: str
    breaks: Callable[[pytest.MonkeyPatch], None]


def takes_everything_for_its_own(patch: pytest.MonkeyPatch) -> None:
    for part in (function, log_group, role):
        patch.setattr(part, "require_ownership", lambda **_: None)


def writes_while_suspended(patch: pytest.MonkeyPatch) -> None:
    parse = tenants.parse
    patch.setattr(cache, "parse", lambda *given, **more: replace(parse(*given, **more), suspend=False))


def progresses_and_stalls(patch: pytest.MonkeyPatch) -> None:
    compose = conditions.compose

    def composed(*given: Any, **more: Any) -> Any:
        made = compose(*given, **more)
        for condition in made["conditions"]:
            if condition["type"] in ("Reconciling", "Stalled"):
                condition["status"] = "True"
        return made

    patch.setattr(status, "compose", composed)


def writes_for_ever(patch: pytest.MonkeyPatch) -> None:
    plan = log_group.plan

    def planned(observed: Any, desired: Any) -> Any:
        return plan(observed, desired) or [log_group._retention(desired, "retention once more")]

    patch.setattr(log_group, "plan", planned)


def leaves_a_second_mapping(patch: pytest.MonkeyPatch) -> None:
    plan = trigger.plan

    def planned(observed: Any, desired: Any) -> Any:
        return [one for one in plan(observed, desired) if "a second mapping" not in one.summary]

    patch.setattr(trigger, "plan", planned)


def compares_no_configuration(patch: pytest.MonkeyPatch) -> None:
    plan = function.plan

    def planned(observed: Any, desired: Any) -> Any:
        return [one for one in plan(observed, desired) if one.action != "lambda:UpdateFunctionConfiguration"]

    patch.setattr(function, "plan", planned)


def forgets_the_role(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(role, "remove", lambda *_: Deletion(existed=True, confirmed=True))


def writes_a_status_for_ever(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(status, "differs", lambda *_: True)


def suspended(life: Life) -> None:
    life.reconcile_times(5)
    life.suspends_or_resumes(suspended=True, then=1)
    life.changes_something_in_aws(drift=drift("retention"), then=2)


def taken(life: Life) -> None:
    life.reconcile_times(5)
    life.somebody_else_takes_it(then=0)
    life.edits_the_spec(field="function", which=0, then=2)


def changed(life: Life) -> None:
    life.reconcile_times(5)
    life.changes_something_in_aws(drift=drift("memory"), then=2)


def doubled(life: Life) -> None:
    life.reconcile_times(5)
    life.changes_something_in_aws(drift=drift("a second mapping"), then=2)


def uneventful(life: Life) -> None:
    for _ in range(3):
        life.reconcile_times(1)
        life.the_status_keeps_kstatus_rules()


def drift(what: str) -> Drift:
    return next(one for one in DRIFTS if one.what == what)


BROKEN = [
    Broken("takes everything for its own", taken, "on what is not owned", takes_everything_for_its_own),
    Broken("writes while suspended", suspended, "suspended, and something was written", writes_while_suspended),
    Broken("progresses and stalls", uneventful, "'Reconciling': 'True', 'Stalled': 'True'", progresses_and_stalls),
    Broken("writes for ever", uneventful, "not in sync after 30 reconciliations", writes_for_ever),
    Broken("writes a status for ever", uneventful, "a settled world is written to", writes_a_status_for_ever),
    Broken("leaves a second mapping", doubled, "two mappings of one stream", leaves_a_second_mapping),
    Broken("compares no memory", changed, "in sync, but not as an undisturbed run", compares_no_configuration),
    Broken("forgets the role", uneventful, "a deletion left something", forgets_the_role),
]


@pytest.mark.parametrize("broken", [pytest.param(one, id=one.name) for one in BROKEN])
def test_each_broken_copy_violates_an_invariant(
    worlds: Callable[[], World], monkeypatch: pytest.MonkeyPatch, broken: Broken
) -> None:
    def live() -> None:
        life = Life(worlds, {}, undisturbed)
        life.begin()
        broken.lived(life)
        life.teardown()

    undisturbed: dict[str, str] = {}
    live()  # unbroken, it ends well
    broken.breaks(monkeypatch)
    with pytest.raises(AssertionError, match=re.escape(broken.says)):
        live()


# Of the crash matrix (testing/reconciler/matrix.py)


def sets_the_retention_only_with_the_creation(patch: pytest.MonkeyPatch) -> None:
    plan = log_group.plan

    def planned(observed: Any, desired: Any) -> Any:
        changes = plan(observed, desired)
        return changes if observed is None else [one for one in changes if one.action != "logs:PutRetentionPolicy"]

    patch.setattr(log_group, "plan", planned)


def removes_no_role_once_the_function_is_gone(patch: pytest.MonkeyPatch) -> None:
    steps = finalizer.WITHOUT_FINAL_READ

    async def unless_gone(deletion: finalizer.Deletion, done: removal.Removed) -> removal.Removed:
        return await steps(deletion, done) if done.function else done

    patch.setattr(finalizer, "WITHOUT_FINAL_READ", unless_gone)


def writes_a_status_in_every_life_but_the_first(patch: pytest.MonkeyPatch) -> None:
    differs, begin = conditions.differs, World.restart_operator
    lives: dict[int, int] = {}

    def begun(world: World) -> None:
        lives[id(world)] = lives.get(id(world), 0) + 1
        begin(world)

    patch.setattr(World, "restart_operator", begun)
    # The world is made in its first life, and the flow begins in its second.
    patch.setattr(status, "differs", lambda before, after: max(lives.values()) > 2 or differs(before, after))


@pytest.mark.parametrize(
    ("breaks", "flow", "action", "says"),
    [
        (sets_the_retention_only_with_the_creation, "create", "logs:CreateLogGroup", "ends otherwise"),
        (removes_no_role_once_the_function_is_gone, "delete", "lambda:DeleteFunction", "ends otherwise"),
        (writes_a_status_in_every_life_but_the_first, "create", "logs:CreateLogGroup", "does not come to rest"),
    ],
)
def test_each_broken_copy_differs_after_a_crash(
    worlds: Callable[[], World],
    monkeypatch: pytest.MonkeyPatch,
    breaks: Callable[[pytest.MonkeyPatch], None],
    flow: str,
    action: str,
    says: str,
) -> None:
    for broken in (False, True):
        if broken:
            breaks(monkeypatch)
        run = matrix.undisturbed(worlds, next(one for one in MAIN if one.name == flow))
        number = next(number for number, call in enumerate(run.calls, 1) if call.action == action)
        wrong = matrix.tried(worlds, run, matrix.Crash(number, "after"))
        assert says in str(wrong) if broken else wrong is None
