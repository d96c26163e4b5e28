"""A part that was created again under its old name, while others hold its former identity.

The role is to AWS another role after each creation: the function's grant on the KMS key of its environment variables
names the former one, and every invocation fails before its code runs. The emulated AWS has no grants: what is shown is
that the function is one that was created for the role as it is.
"""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from humangov.api.times import timestamp
from humangov.aws.function_role import ROLE_ID_TAG

from testing.reconciler.drifts import NAME, ROLE, awslambda, iam, mapping_uuid
from testing.reconciler.line import Fault, on
from testing.reconciler.sdk import throttled
from testing.reconciler.world import World


def recreate_role(world: World) -> None:
    """As somebody's tool does, or the operator after somebody deleted it."""
    role = iam(world).get_role(RoleName=ROLE)["Role"]
    policy = iam(world).get_role_policy(RoleName=ROLE, PolicyName="humangov-cleanup")["PolicyDocument"]
    delete_role(world)
    made = iam(world).create_role(
        RoleName=ROLE, Path=role["Path"], AssumeRolePolicyDocument=json.dumps(role["AssumeRolePolicyDocument"]),
        Tags=role["Tags"], PermissionsBoundary=role["PermissionsBoundary"]["PermissionsBoundaryArn"],
    )  # fmt: skip
    iam(world).put_role_policy(
        RoleName=ROLE, PolicyName="humangov-cleanup", PolicyDocument=json.dumps(policy)
    )  # fmt: skip
    assert made["Role"]["RoleId"] != role["RoleId"]


def delete_role(world: World) -> None:
    iam(world).delete_role_policy(RoleName=ROLE, PolicyName="humangov-cleanup")
    iam(world).delete_role(RoleName=ROLE)


def role_id(world: World) -> str:
    """As in the function's tag."""
    role = iam(world).get_role(RoleName=ROLE)["Role"]
    return f"{role['RoleId']} {timestamp(role['CreateDate'])}"


def tags(world: World) -> dict[str, str]:
    return dict(awslambda(world).get_function(FunctionName=NAME)["Tags"])


@pytest.mark.parametrize("by_hand", [recreate_role, delete_role])
def test_function_of_a_role_that_was_created_again_is_created_again_too(world: World, by_hand: Any) -> None:
    key = world.provisioned()
    assert tags(world)[ROLE_ID_TAG] == role_id(world)
    mapping = mapping_uuid(world)
    by_hand(world)
    world.settle(key)
    world.settle(key)
    assert world.line.writes().count("lambda:DeleteFunction") == 1
    assert world.line.writes().count("lambda:CreateFunction") == 1
    assert tags(world)[ROLE_ID_TAG] == role_id(world)
    assert mapping_uuid(world) == mapping, "the trigger stays, and goes on where it was"
    assert world.ready(key).startswith("True InSync")
    assert "role was re-created" in " ".join(event.message for event in world.kube.events)
    world.line.forget()
    world.reconcile_once(key)
    assert world.line.writes() == []


def test_operator_killed_between_deletion_and_creation_of_the_function_creates_it(world: World) -> None:
    key = world.provisioned()
    recreate_role(world)
    world.line.faults = [Fault(on("lambda:CreateFunction"), error=throttled(), times=2)]
    for _ in range(3):
        world.reconcile_once(key)
    world.restart_operator()
    world.settle(key)
    assert tags(world)[ROLE_ID_TAG] == role_id(world)
    assert world.ready(key).startswith("True InSync")


@pytest.mark.parametrize("way", ["stop", "hold"])
def test_stopped_or_held_function_is_created_again_only_when_that_has_ended(world: World, way: str) -> None:
    """A new function would have neither for a moment."""
    key = world.provisioned(**({"hold": {"reason": "case 7"}} if way == "hold" else {}))
    if way == "stop":
        world.kube.edit(key, lambda one: one["metadata"].update(annotations={"humangov.io/stop": "a drill"}))
        world.settle(key)
    recreate_role(world)
    for _ in range(3):
        world.reconcile_once(key)
    assert "lambda:DeleteFunction" not in world.line.writes()
    assert tags(world)[ROLE_ID_TAG] != role_id(world), "it is not forgotten"
    if way == "stop":
        world.kube.edit(key, lambda one: one["metadata"].update(annotations={}))
    else:
        world.kube.edit(key, lambda one: one["spec"].pop("hold"))
    world.settle(key)
    world.settle(key)
    assert tags(world)[ROLE_ID_TAG] == role_id(world)
    assert world.ready(key).startswith("True")


def test_function_of_an_earlier_release_is_given_the_tag_and_is_not_created_again(world: World) -> None:
    key = world.provisioned()
    arn = awslambda(world).get_function(FunctionName=NAME)["Configuration"]["FunctionArn"]
    awslambda(world).untag_resource(Resource=arn, TagKeys=[ROLE_ID_TAG])
    world.settle(key)
    assert world.line.writes() == ["lambda:TagResource"]
    assert tags(world)[ROLE_ID_TAG] == role_id(world)


def test_answer_of_iam_that_shows_the_former_role_once_more_deletes_no_function(world: World) -> None:
    """IAM's answers may be of a moment ago."""
    key = world.provisioned()

    def shown(answer: Any) -> Any:
        former = {"RoleId": "AROAFORMER", "CreateDate": answer["Role"]["CreateDate"] - timedelta(days=9)}
        return {**answer, "Role": {**answer["Role"], **former}}

    world.line.faults = [Fault(on("iam:GetRole"), alter=shown)]
    for _ in range(3):
        world.reconcile_once(key)
    assert world.line.writes() == []


def test_unread_role_is_no_sign_of_another(world: World) -> None:
    key = world.provisioned()
    world.line.faults = [Fault(on("iam:GetRole"), error=throttled())]
    world.reconcile_once(key)
    assert world.line.writes() == []


def test_function_that_is_given_the_role_anyway_is_not_created_again(world: World) -> None:
    """A changed role renews the grant."""
    key = world.provisioned()
    recreate_role(world)
    other = iam(world).create_role(RoleName="other", AssumeRolePolicyDocument="{}")["Role"]["Arn"]
    awslambda(world).update_function_configuration(FunctionName=NAME, Role=other)
    world.settle(key)
    assert "lambda:DeleteFunction" not in world.line.writes()
    assert tags(world)[ROLE_ID_TAG] == role_id(world)


def test_failing_function_says_since_when_its_role_is_that_one(world: World) -> None:
    """A bucket policy that was saved for the former role denies this one: nothing of AWS's says so."""
    key = world.provisioned()

    def said(answer: Any) -> Any:
        for mapping in answer["EventSourceMappings"]:
            mapping["LastProcessingResult"] = "PROBLEM: Function call failed"
        return answer

    world.line.faults = [Fault(on("lambda:ListEventSourceMappings"), alter=said)]
    world.reconcile_once(key)
    world.clock.forward(360)
    world.reconcile_once(key)
    created = iam(world).get_role(RoleName=ROLE)["Role"]["CreateDate"]
    assert f"{created:%Y-%m-%dT%H:%M}" in world.ready(key)
    assert "save it again" in world.ready(key)
