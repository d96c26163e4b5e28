"""The roles of sweeps and of reports: what each may, and who assumes it. By our own few rules, and by MiniStack's.

The calls are those of test_iam_sweep.py and test_iam_reports.py.
"""

from __future__ import annotations

import itertools
import json
from dataclasses import dataclass
from pathlib import Path

import pytest

from testing import iam
from testing.iam import Context, Policy, allowed, listed, trusted
from tests.deploy import policies, test_iam_reports, test_iam_sweep
from tests.deploy.test_iam import (
    ACCOUNT,
    CLUSTER,
    HERE,
    ISSUER,
    MANAGED_POLICY_LIMIT,
    OURS,
    PARTITION,
    VALUES,
    fits,
    second_opinion,
    services,
)

Request = tuple[str, str, Context]
ACCOUNTS = ("humangov-operator", "humangov-operator-sweep", "humangov-operator-reports")


@dataclass(frozen=True, kw_only=True)
class Role:
    """Its documents, the calls that its policy allows and denies, and the contexts in which two evaluators are asked.

    wide: actions whose resource is *, although AWS lists resources for them.
    """

    name: str
    path: Path
    by_token: Path
    by_pod_identity: Path
    may: list[Request]
    may_not: list[Request]
    contexts: list[Context]
    account: str
    allowed_at_least: int
    wide: tuple[str, ...] = ()

    @property
    def policy(self) -> Policy:
        return policies.filled(self.path, **VALUES)


of_sweeps, of_reports = test_iam_sweep, test_iam_reports
SWEEP = Role(
    name="sweep", path=policies.SWEEP, by_token=policies.SWEEP_IRSA, by_pod_identity=policies.SWEEP_POD_IDENTITY,
    may=of_sweeps.MAY, may_not=of_sweeps.MAY_NOT, account="humangov-operator-sweep", allowed_at_least=50,
    contexts=[
        {}, OURS, of_sweeps.SEEN, of_sweeps.ANYTHING, HERE, of_sweeps.BY_S3,
        {**of_sweeps.ANYTHING, "aws:ResourceAccount": "999999999999"},
    ],
)  # fmt: skip
REPORT = Role(
    name="report", path=policies.REPORT, by_token=policies.REPORT_IRSA, by_pod_identity=policies.REPORT_POD_IDENTITY,
    may=of_reports.MAY, may_not=of_reports.MAY_NOT, account="humangov-operator-reports", allowed_at_least=30,
    contexts=[
        {}, OURS, HERE, of_reports.FRESH, of_reports.OF_LISTS, of_reports.OF_CHECKPOINTS, of_reports.BY_S3,
        of_reports.BY_ALIAS,
    ],
    wide=("logs:DescribeLogGroups",),
)  # fmt: skip
ROLES = (SWEEP, REPORT)
every_role = pytest.mark.parametrize("role", ROLES, ids=lambda role: str(role.name))


def case(role: Role, request: Request) -> object:
    action, resource, context = request
    return pytest.param(role, request, id=f"{role.name} {action} {resource.rsplit(':', 1)[-1]} {','.join(context)}")


@pytest.mark.parametrize(("role", "request_"), [case(role, one) for role in ROLES for one in role.may])
def test_role_policy_allows_the_calls_that_are_made(role: Role, request_: Request) -> None:
    assert allowed(role.policy, *request_)


@pytest.mark.parametrize(("role", "request_"), [case(role, one) for role in ROLES for one in role.may_not])
def test_role_policy_denies_other_calls(role: Role, request_: Request) -> None:
    assert not allowed(role.policy, *request_)


@every_role
def test_role_policy_has_only_actions_that_are_called(role: Role) -> None:
    assert iam.actions(role.policy) == {action for action, _, _ in role.may}


@pytest.mark.parametrize(
    ("role", "sid"), [(role, one["Sid"]) for role in ROLES for one in role.policy["Statement"]],
    ids=lambda one: one if isinstance(one, str) else one.name,
)  # fmt: skip
def test_role_policy_needs_each_of_its_statements(role: Role, sid: str) -> None:
    without: Policy = {**role.policy, "Statement": [one for one in role.policy["Statement"] if one["Sid"] != sid]}
    assert not all(allowed(without, *request) for request in role.may)


@every_role
def test_role_is_assumable_only_by_its_service_account(role: Role) -> None:
    irsa, pod_identity = (policies.filled(path, **VALUES) for path in (role.by_token, role.by_pod_identity))
    federated = {"Federated": f"arn:{PARTITION}:iam::{ACCOUNT}:oidc-provider/{ISSUER}"}
    for account in ACCOUNTS:
        by_token = {f"{ISSUER}:aud": "sts.amazonaws.com", f"{ISSUER}:sub": f"system:serviceaccount:humangov:{account}"}
        expected = account == role.account
        assert trusted(irsa, federated, "sts:AssumeRoleWithWebIdentity", by_token) is expected
        by_pod = {
            "aws:SourceArn": CLUSTER, "aws:SourceAccount": ACCOUNT,
            "aws:RequestTag/kubernetes-namespace": "humangov", "aws:RequestTag/kubernetes-service-account": account,
        }  # fmt: skip
        assert trusted(pod_identity, {"Service": "pods.eks.amazonaws.com"}, "sts:AssumeRole", by_pod) is expected


@every_role
def test_role_policy_fits_into_a_managed_policy(role: Role) -> None:
    assert len(json.dumps(role.policy, separators=(",", ":"))) <= MANAGED_POLICY_LIMIT


@every_role
def test_second_policy_evaluator_gives_the_same_answers(role: Role) -> None:
    asked = [*role.may, *role.may_not]
    actions = sorted({action for action, _, _ in asked})
    resources = sorted({resource for _, resource, _ in asked})
    results = [allowed(role.policy, *one) for one in itertools.product(actions, resources, role.contexts)]
    assert second_opinion([[role.policy]], actions, resources, role.contexts) == results
    assert sum(results) > role.allowed_at_least


@every_role
def test_role_policy_actions_exist_in_aws_for_their_resources(role: Role) -> None:
    for statement in iam.statements(role.policy):
        for action in listed(statement["Action"]):
            service, name = action.split(":")
            known = services()[service]
            types = known["Actions"][name.lower()].get("Resources", [])
            formats = [arn for kind in types for arn in known["Resources"][kind.lower()]["ARNFormats"]]
            for resource in listed(statement["Resource"]):
                one = resource.replace("iam::*:", f"iam::{ACCOUNT}:")  # a tenant's role may be in any account
                whole = one == "*" and (not formats or action in role.wide)
                assert whole or any(fits(one, arn) for arn in formats), (action, formats)


@pytest.mark.parametrize(
    ("role", "placeholder"), [(role, one) for role in ROLES for one in sorted(policies.placeholders(role.path))],
    ids=lambda one: one if isinstance(one, str) else one.name,
)  # fmt: skip
def test_unfilled_role_policy_placeholder_grants_nothing(role: Role, placeholder: str) -> None:
    left = policies.filled(role.path, **VALUES | {placeholder: f"${{{placeholder}}}"})
    hollow = [one for one in iam.statements(left) if f"${{{placeholder}}}" in json.dumps(one)]
    assert hollow
    assert not any(iam.applies(one, *request) for one in hollow for request in role.may)
