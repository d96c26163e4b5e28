"""What all operators of the run before asked of AWS, against the policy of deploy/iam: all was granted, all is needed.

`make test` runs it when the other tests have ended. AWS's own judgement is not shown: conditions are held against what
the emulator knew when the call was made; an operator that ran as a process tells none, and its calls are held against
actions and resources alone. What was asked in no test can't show either.
"""

from __future__ import annotations

import re
from functools import cache

import pytest

from testing import iam
from testing.iam import Policy
from testing.live import aws_evidence
from testing.live.aws_evidence import ACCOUNT, JudgedCall
from tests.deploy import policies

NEEDS_NO_PERMISSION = {"sts:GetCallerIdentity"}
# Names that tests give and that do not begin with humangov-. The README says what to do about such names.
OTHER_FUNCTIONS = {"Erase", "HumanGovDeleteFile"}
ROLES_OF = ("iam:CreateRole", "iam:PutRolePolicy", "iam:PutRolePermissionsBoundary")
BOUNDARY = {"iam:PermissionsBoundary": f"arn:aws:iam::{ACCOUNT}:policy/{policies.DEFAULTS['Boundary']}"}
NO_RUN = "there is no record of {}: run all tests, with `make test`"


@pytest.fixture(scope="module")
def asked() -> list[JudgedCall]:
    every = [one for one in aws_evidence.found() if one.action not in NEEDS_NO_PERMISSION]
    if not any(one.context is not None for one in every):
        pytest.fail(NO_RUN.format("AWS calls of tests/aws"), pytrace=False)
    if not any(one.context is None for one in every):
        pytest.fail(NO_RUN.format("AWS calls in logs of operators"), pytrace=False)
    return every


@cache
def policy(region: str, functions: str) -> Policy:
    """As the README says to fill it in for one region."""
    return policies.filled(policies.OPERATOR, Partition="aws", Region=region, Account=ACCOUNT, Functions=functions)


def granting(one: JudgedCall) -> list[str]:
    """Sids of the statements that allow the call."""
    about = f"{one.resource} {(one.context or {}).get('lambda:FunctionArn')}"
    other = next((name for name in OTHER_FUNCTIONS if re.search(rf"\b{name}\b", about)), None)
    judge = policy(one.region, f"{other}*" if other else policies.DEFAULTS["Functions"])
    if one.context is None:
        return iam.names(judge, one.action, one.resource)
    return [
        statement["Sid"]
        for statement in iam.statements(judge)
        if iam.applies(statement, one.action, one.resource, one.context)
    ]


def without_the_boundary(one: JudgedCall) -> bool:
    """Some tests run an operator without the boundary, or with another: for its roles the policy is to refuse it."""
    return one.action in ROLES_OF and one.context is not None and not BOUNDARY.items() <= one.context.items()


def test_every_aws_call_is_allowed_by_the_policy(asked: list[JudgedCall]) -> None:
    assert [one for one in asked if not granting(one) and not without_the_boundary(one)] == []


def test_roles_without_the_boundary_are_denied_by_the_policy(asked: list[JudgedCall]) -> None:
    unbounded = [one for one in asked if without_the_boundary(one)]
    assert unbounded
    assert [one for one in unbounded if granting(one)] == []


def test_every_policy_statement_is_used_for_each_of_its_actions(asked: list[JudgedCall]) -> None:
    needed = {(sid, one.action) for one in asked for sid in granting(one)}
    granted = {
        (statement["Sid"], action)
        for statement in iam.statements(policy("us-east-1", policies.DEFAULTS["Functions"]))
        for action in iam.listed(statement["Action"])
    }
    assert granted - needed == set(), "to be taken out of the policy, unless only a part of the tests was run"


def test_operator_log_lists_every_aws_call(asked: list[JudgedCall]) -> None:
    """The calls of processes are known by it alone. It names roles without path, functions without qualifier."""
    assert [one for one in asked if last(one.reported) != last(one.resource)] == []


def last(arn: str) -> str:
    if ":function:" in arn:
        return ":".join(arn.split(":")[:7])
    return arn.rsplit("/", 1)[-1] if ":role/" in arn else arn
