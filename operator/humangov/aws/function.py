"""The cleanup function: code, configuration, reserved concurrency and tags, kept as declared."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from humangov.api import erasure_limit
from humangov.api.conditions import Finding
from humangov.api.names import Names
from humangov.aws import function_changes, function_environment, function_role, function_undeclared, role
from humangov.aws.change import Change, Context
from humangov.aws.clients import Clients
from humangov.aws.deletion import Deletion
from humangov.aws.errors import AwsError, Meaning
from humangov.aws.event_source_mapping import read_tags
from humangov.aws.function_changes import RESOURCE, Desired
from humangov.aws.function_observed import Observed, read, set_up_failed
from humangov.aws.ownership import (
    OWNERSHIP_TAGS,
    NotOwnedError,
    adopts,
    is_owned,
    require_ownership,
)
from humangov.aws.unknown import not_shown, shown
from humangov.bundle import Bundle

_DESCRIPTION = "Erases the files of records deleted from {table}. Created by the HumanGovState operator"


def observe(clients: Clients, names: Names, *, deep: bool, additions: bool = True) -> Observed | None:
    """The function, and with `deep` who else may invoke it, if it is owned; None if absent. Raises AwsError.

    additions: with `deep`, also its URLs and what Lambda keeps beside it.
    """
    name = names.tenant.function.name
    answer = clients.find("lambda:GetFunction", target=name, FunctionName=name)
    if answer is None:
        return None
    concurrency = (answer.get("Concurrency") or {}).get("ReservedConcurrentExecutions")
    configuration = shown(answer, "Configuration", action="lambda:GetFunction", target=name)
    observed = read(configuration, reserved_concurrency=concurrency, tags=_tags(clients, names, answer))
    if not deep or not is_owned(observed.tags, names):
        return observed
    return replace(observed, undeclared=function_undeclared.observe(clients, function=name, additions=additions))


def _tags(clients: Clients, names: Names, answer: Mapping[str, Any]) -> dict[str, str] | None:
    """None if Lambda could not return them. Raises AwsError.

    It also leaves them out, without a word, for whom lambda:ListTags is denied: that is no function without tags.
    https://docs.aws.amazon.com/lambda/latest/api/API_GetFunction.html
    """
    if answer.get("TagsError"):
        return None
    return dict(answer["Tags"]) if answer.get("Tags") else read_tags(clients, names.function_arn)


def desired(
    names: Names,
    context: Context,
    *,
    bundle: Bundle,
    file_indexes: Mapping[str, str] | None = None,
    stream_arn: str | None = None,
    role_observed: role.Observed | None = None,
) -> Desired:
    """file_indexes: the table's indexes that the function asks → the file attribute that is the index's key.

    stream_arn: of the table's stream, as DynamoDB returns it. role_observed: as it is now. None: not known
    """
    tenant = names.tenant
    return Desired(
        names=names,
        bundle=bundle,
        architecture=tenant.function.architecture,
        configuration={
            "Runtime": tenant.function.runtime,
            "Handler": bundle.handler,
            "Role": names.role_arn,
            "MemorySize": tenant.function.memory_mib,
            "Timeout": tenant.function.timeout_seconds,
            "Environment": {
                "Variables": function_environment.variables(
                    names, context, file_indexes=file_indexes or {}, stream_arn=stream_arn
                )
            },
            "LoggingConfig": {"LogFormat": "Text", "LogGroup": tenant.log_group_name},
            "Layers": [],
            "Description": _DESCRIPTION.format(table=tenant.table.name)[:256],  # Lambda's limit
        },
        reserved_concurrency=tenant.function.reserved_concurrency,
        tags={**context.tags, **_limit_tag(context), **function_role.tags(role_observed)},
        known_code=context.known_code,
    )


def plan(observed: Observed | None, desired: Desired) -> list[Change]:
    """Code first, then configuration. Empty while Lambda is busy (`finding` then says so). Raises NotOwnedError."""
    if observed is None:
        return function_changes.creation(desired)
    if observed.tags is None:
        return []
    _require_manageable(observed, observed.tags, desired)
    # They don't wait for Lambda's updates, nor for corrections that may fail.
    name, arn = desired.names.tenant.function.name, desired.names.role_arn
    removals = function_undeclared.plan(observed.undeclared, resource=RESOURCE, function=name)
    closing = [change for change in removals if change.opened]
    if observed.busy:
        return closing
    adopting = adopts(observed.tags, desired.names)
    is_former = function_role.is_former(observed.tags, observed.configuration, arn=arn, wanted=desired.tags)
    if is_former and not adopting and not function_changes.is_to_rest(desired):
        return [*closing, function_changes.deletion(desired)]
    # The owner's tags come first: later changes are then to the tenant's function, whose former role is recorded.
    first = (
        [function_changes.adoption(observed, observed.tags, desired)]
        if adopting
        else function_changes.first_tag_changes(observed.tags, desired)
    )
    wanted = function_changes.concurrency(observed, desired)
    concurrency = function_changes.concurrency_changes(observed.reserved_concurrency, desired, wanted=wanted)
    stops = any(change.parameters.get("ReservedConcurrentExecutions") == 0 for change in concurrency)
    # A stop comes before what it waits for, and after the tag that says why; the end of a stop comes after the rest.
    return [
        *first,
        *closing,
        *(concurrency if stops else []),
        *(change for change in removals if not change.opened),
        *function_changes.code_changes(observed, desired),
        *function_changes.configuration_changes(observed, desired),
        *([] if stops else concurrency),
        *([] if adopting else function_changes.tag_changes(observed, observed.tags, desired)),
    ]


def is_adopted(observed: Observed | None, desired: Desired) -> bool:
    """Whether plan would adopt the function."""
    return observed is not None and observed.tags is not None and adopts(observed.tags, desired.names)


def apply(clients: Clients, change: Change, observed: Observed | None, desired: Desired) -> Observed | None:
    """One of plan's changes; nothing while Lambda is busy with the one before. Raises AwsError."""
    if observed is not None and observed.undeclared is not None and change.action in function_undeclared.REMOVALS:
        return replace(observed, undeclared=function_undeclared.remove(clients, change, observed.undeclared))
    if observed is not None and observed.busy and change.action != "lambda:TagResource":
        return observed
    if change.action == "lambda:DeleteFunction":
        clients.find(change.action, target=change.target, **change.parameters)
        return None
    parameters = dict(change.parameters)
    if change.action == "lambda:CreateFunction":
        parameters["Tags"] = dict(desired.tags)  # the role's ID may be known only now
    answer = clients.call(change.action, target=change.target, **parameters)
    match change.action:
        case "lambda:PutFunctionConcurrency" | "lambda:DeleteFunctionConcurrency":
            limit = change.parameters.get("ReservedConcurrentExecutions")
            return replace(observed, reserved_concurrency=limit) if observed else None
        case "lambda:TagResource":
            return replace(observed, tags={**(observed.tags or {}), **change.parameters["Tags"]}) if observed else None
        case "lambda:CreateFunction":  # the answer may not have a last update yet
            return read({"LastUpdateStatus": "Successful", **answer}, reserved_concurrency=None, tags=desired.tags)
        case _ if observed is not None:
            written = read(answer, reserved_concurrency=observed.reserved_concurrency, tags=observed.tags)
            return replace(written, undeclared=observed.undeclared)
        case _:
            return None


def finding(observed: Observed | None, desired: Desired) -> Finding:
    """Condition FunctionReady."""
    name = desired.names.tenant.function.name
    if observed is None:
        return Finding.waiting("NotFound", f"function {name} does not exist")
    if observed.tags is None:
        return Finding.transient("TagsUnavailable", f"Lambda could not return the tags of function {name}", soon=True)
    if observed.state == "Failed" or observed.update_status == "Failed":
        reason = observed.update_reason if observed.update_status == "Failed" else observed.state_reason
        return Finding.action_required("FunctionFailed", set_up_failed(name, reason))
    if unread := not_shown(observed.unread, of=f"function {name}"):
        return unread
    if observed.state == "Pending":
        return Finding.ripening("Pending", f"Lambda is setting up function {name}", of="function")
    if observed.busy:
        text = f"Lambda is updating function {name}: it is {observed.state}, its last update {observed.update_status}"
        return Finding.ripening("Updating", text, of="function's update")
    if observed.unread_environment:
        return function_environment.unreadable(name, observed.unread_environment)
    if unknown := function_undeclared.finding(observed.undeclared, function=name):
        return unknown
    former = observed.tags.get(function_role.FORMER_ROLE_TAG)
    note = (
        f"; {function_role.of_the_former(former)}. Then remove the function's tag {function_role.FORMER_ROLE_TAG}"
        if former
        else ""
    )
    return Finding.in_sync(
        "InSync", f"function {name} is {observed.state} and has the operator's code and configuration{note}"
    )


def remove(clients: Clients, names: Names) -> Deletion:
    """Delete the function, Pending or not.

    It is read here, for since the deletion's first read another may have been created under its name: listing the
    region's mappings and the final stream read take their time. Raises AwsError, NotOwnedError (someone else owns it:
    nothing was deleted).
    """
    name = names.tenant.function.name
    observed = observe(clients, names, deep=False)
    if observed is not None:
        require_known_owner(observed, names)
    was_absent = _delete(clients, name)
    if observed is None:  # a read may be older than the function: only the delete tells for certain
        return Deletion(existed=not was_absent, confirmed=was_absent)
    return Deletion(existed=True, confirmed=observe(clients, names, deep=False) is None)


def release(clients: Clients, names: Names) -> None:
    """Remove the operator's tags from a function that stays. Raises AwsError, NotOwnedError."""
    observed = observe(clients, names, deep=False)
    if observed is not None:
        require_known_owner(observed, names)
        clients.call(
            "lambda:UntagResource", target=names.tenant.function.name,
            Resource=names.function_arn, TagKeys=[*OWNERSHIP_TAGS, function_role.ROLE_ID_TAG],
        )  # fmt: skip


def require_known_owner(observed: Observed, names: Names) -> None:
    """Raises NotOwnedError; AwsError where Lambda could not return the tags."""
    name = names.tenant.function.name
    if observed.tags is None:
        raise AwsError(
            action="lambda:ListTags", target=name, code="TagsError",
            text="Lambda could not return the function's tags, so its owner is unknown", meaning=Meaning.RETRY_SOON,
        )  # fmt: skip
    require_ownership(kind="function", target=name, tags=observed.tags, names=names)


def _require_manageable(observed: Observed, tags: Mapping[str, str], desired: Desired) -> None:
    """Raises NotOwnedError."""
    name = desired.names.tenant.function.name
    require_ownership(kind="function", target=name, tags=tags, names=desired.names, adoptable=True)
    if observed.package_type != "Zip":
        raise NotOwnedError(
            f"function {name} is a container image, whose code the operator can't update, so it is not changed. "
            "Delete it, or choose another spec.function.name in a new HumanGovState; the tenant then recovers "
            "automatically"
        )


def _limit_tag(context: Context) -> dict[str, str]:
    limit = context.erasure_limit
    return {erasure_limit.LIMIT_TAG: erasure_limit.tag_value(limit)} if limit else {}


def _delete(clients: Clients, name: str) -> bool:
    """Delete it; True if AWS reports that it did not exist. Raises AwsError."""
    return clients.find("lambda:DeleteFunction", target=name, FunctionName=name) is None
