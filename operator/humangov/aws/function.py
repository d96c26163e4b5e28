"""The cleanup function: code, configuration, reserved concurrency and tags, kept as declared."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from humangov.api import erasure_limit, legal_hold
from humangov.api.conditions import Finding
from humangov.api.names import OWNER_TAG, Names
from humangov.aws import function_access, function_environment
from humangov.aws.change import Change, Context, difference
from humangov.aws.clients import Clients
from humangov.aws.errors import AwsError, Meaning
from humangov.aws.function_observed import NOT_USED, Observed, UnreadEnvironment, read
from humangov.aws.ownership import (
    NotOwnedError,
    adoption_summary,
    adopts,
    is_owned,
    missing_tags,
    require_ownership,
    tagging_summary,
)
from humangov.bundle import Bundle

RESOURCE = "function"
_DESCRIPTION = "Erases the files of records deleted from {table}. Created by the HumanGovState operator"
FORMER_ROLE_TAG = "humangov.io/former-role"  # of a function that was adopted
_DESCRIPTION_LIMIT = 256  # Lambda's


@dataclass(frozen=True, kw_only=True)
class Desired:
    names: Names
    bundle: Bundle
    architecture: str
    configuration: Mapping[str, Any]
    reserved_concurrency: int | None
    tags: Mapping[str, str]


def observe(clients: Clients, names: Names, *, deep: bool) -> Observed | None:
    """The function, and with `deep` who else may invoke it, if it is owned; None if absent. Raises AwsError."""
    name = names.tenant.function.name
    answer = clients.find("lambda:GetFunction", target=name, FunctionName=name)
    if answer is None:
        return None
    tags = None if answer.get("TagsError") else dict(answer.get("Tags") or {})
    concurrency = (answer.get("Concurrency") or {}).get("ReservedConcurrentExecutions")
    observed = read(answer["Configuration"], reserved_concurrency=concurrency, tags=tags)
    if not deep or tags is None or not is_owned(tags, names):
        return observed
    return replace(observed, access=function_access.observe(clients, function=name))


def desired(
    names: Names, context: Context, *, bundle: Bundle, file_indexes: Mapping[str, str] | None = None
) -> Desired:  # fmt: skip
    """file_indexes: the table's indexes that the function asks → the file attribute that is the index's key."""
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
                "Variables": function_environment.variables(names, context, file_indexes=file_indexes or {})
            },
            "LoggingConfig": {"LogFormat": "Text", "LogGroup": tenant.log_group_name},
            "Layers": [],
            "Description": _DESCRIPTION.format(table=tenant.table.name)[:_DESCRIPTION_LIMIT],
        },
        reserved_concurrency=tenant.function.reserved_concurrency,
        tags={**context.tags, **_limit_tag(context)},
    )


def plan(observed: Observed | None, desired: Desired) -> list[Change]:
    """Code first, then configuration. Empty while Lambda is busy (`finding` then says so). Raises NotOwnedError."""
    if observed is None:
        return _creation(desired)
    if observed.tags is None:
        return []
    _require_manageable(observed, observed.tags, desired)
    # They don't wait for Lambda's updates, nor for corrections that may fail.
    closing = function_access.plan(observed.access, resource=RESOURCE, function=desired.names.tenant.function.name)
    if observed.busy:
        return closing
    adopting = adopts(observed.tags, desired.names)
    # The ownership tag comes first: later changes are then to the tenant's function, and its former role is recorded.
    first = [_adoption(observed, observed.tags, desired)] if adopting else _limit_tag_changes(observed.tags, desired)
    concurrency = _concurrency_changes(observed.reserved_concurrency, desired, wanted=_concurrency(observed, desired))
    stops = any(change.parameters.get("ReservedConcurrentExecutions") == 0 for change in concurrency)
    # A stop comes before what it waits for, and after the tag that says why; the end of a stop comes after the rest.
    return [
        *first,
        *closing,
        *(concurrency if stops else []),
        *_code_changes(observed, desired),
        *_configuration_changes(observed, desired),
        *([] if stops else concurrency),
        *([] if adopting else _tag_changes(observed.tags, desired)),
    ]


def has_hold(observed: Observed | None, desired: Desired) -> bool:
    """Whether the function erases nothing because of a legal hold: by its environment, and by code that knows it."""
    return (
        observed is not None
        and not observed.busy
        and observed.update_status != "Failed"
        and legal_hold.is_in(function_environment.of(observed.configuration))
        and (observed.code_sha256, observed.architecture) == (desired.bundle.code_sha256, desired.architecture)
    )


def _concurrency(observed: Observed, desired: Desired) -> int | None:
    """What the reserved concurrency is to be now: 0 until the legal hold is on the function."""
    wants_hold = legal_hold.is_in(function_environment.of(desired.configuration))
    return 0 if wants_hold and not has_hold(observed, desired) else desired.reserved_concurrency


def is_adopted(observed: Observed | None, desired: Desired) -> bool:
    """Whether plan would adopt the function."""
    return observed is not None and observed.tags is not None and adopts(observed.tags, desired.names)


def apply(clients: Clients, change: Change, observed: Observed | None, desired: Desired) -> Observed | None:
    """One of plan's changes; nothing while Lambda is busy with the one before. Raises AwsError."""
    if observed is not None and observed.access is not None and change.action in function_access.REMOVALS:
        return replace(observed, access=function_access.remove(clients, change, observed.access))
    if observed is not None and observed.busy and change.action != "lambda:TagResource":
        return observed
    answer = clients.call(change.action, target=change.target, **change.parameters)
    match change.action:
        case "lambda:PutFunctionConcurrency" | "lambda:DeleteFunctionConcurrency":
            limit = change.parameters.get("ReservedConcurrentExecutions")
            return replace(observed, reserved_concurrency=limit) if observed else None
        case "lambda:TagResource":
            return replace(observed, tags={**(observed.tags or {}), **change.parameters["Tags"]}) if observed else None
        case _:
            written = read(
                answer,
                reserved_concurrency=observed.reserved_concurrency if observed else None,
                tags=observed.tags if observed else desired.tags,
            )
            return replace(written, access=observed.access if observed else None)


def finding(observed: Observed | None, desired: Desired) -> Finding:
    """Condition FunctionReady."""
    name = desired.names.tenant.function.name
    if observed is None:
        return Finding.waiting("NotFound", f"function {name} does not exist")
    if observed.tags is None:
        return Finding.transient("TagsUnavailable", f"Lambda could not return the tags of function {name}", soon=True)
    if observed.state == "Failed" or observed.update_status == "Failed":
        reason = observed.update_reason if observed.update_status == "Failed" else observed.state_reason
        return Finding.action_required("FunctionFailed", _failed(name, reason))
    if observed.state == "Pending":
        return Finding.waiting("Pending", f"Lambda is setting up function {name}", requeue_after_seconds=0.6)
    if observed.busy:
        text = f"Lambda is updating function {name}: it is {observed.state}, its last update {observed.update_status}"
        return Finding.waiting("Updating", text, requeue_after_seconds=0.6)
    if observed.unread:
        return Finding.action_required(
            "ConfigurationUnknown",
            f"Lambda's answer about function {name} lacks {', '.join(observed.unread)}: it is unknown whether that is "
            "as declared, and it is not changed. Check what stands between the operator and Lambda (a proxy, another "
            "endpoint); the tenant then recovers automatically",
        )
    if observed.unread_environment:
        return _environment_unknown(name, observed.unread_environment)
    if unknown := function_access.finding(observed.access, function=name):
        return unknown
    former = observed.tags.get(FORMER_ROLE_TAG)
    note = f"; {_of_the_former_role(former)}. Then remove the function's tag {FORMER_ROLE_TAG}" if former else ""
    return Finding.in_sync(
        "InSync", f"function {name} is {observed.state} and has the operator's code and configuration{note}"
    )


def remove(clients: Clients, names: Names, observed: Observed | None) -> bool:
    """Delete the function, Pending or not; True when the delete and a read both find that it does not exist.

    `observed` as read just before, and owned by the tenant. Raises AwsError.
    """
    name = names.tenant.function.name
    if observed is not None:
        _delete(clients, name)
        observed = observe(clients, names, deep=False)
    return observed is None and _delete(clients, name)


def release(clients: Clients, names: Names) -> None:
    """Remove the ownership tag from a function that stays. Raises AwsError, NotOwnedError."""
    observed = observe(clients, names, deep=False)
    if observed is not None:
        require_known_owner(observed, names)
        clients.call(
            "lambda:UntagResource", target=names.tenant.function.name,
            Resource=names.function_arn, TagKeys=[OWNER_TAG],
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


def _creation(desired: Desired) -> list[Change]:
    create = _change(
        desired,
        "lambda:CreateFunction",
        f"create function {desired.names.tenant.function.name}",
        Code={"ZipFile": desired.bundle.zip},
        Architectures=[desired.architecture],
        PackageType="Zip",
        Tags=dict(desired.tags),
        **desired.configuration,
    )
    return [create, *_concurrency_changes(None, desired, wanted=desired.reserved_concurrency)]


def _code_changes(observed: Observed, desired: Desired) -> list[Change]:
    what = difference(
        {
            **({"code": (observed.code_sha256, desired.bundle.code_sha256)} if observed.knows("CodeSha256") else {}),
            "architecture": (observed.architecture, desired.architecture),
        }
    )
    if not what:
        return []
    code = {"ZipFile": desired.bundle.zip, "Architectures": [desired.architecture]}
    return [_change(desired, "lambda:UpdateFunctionCode", ", ".join(what), **code)]


def _configuration_changes(observed: Observed, desired: Desired) -> list[Change]:
    """What differs alone, in one call."""
    drift = {
        field: (observed.configuration.get(field), value)
        for field, value in {**NOT_USED, **desired.configuration}.items()
        if observed.configuration.get(field) != value and observed.knows(field)
    }
    if not drift:
        return []
    summary = ", ".join(difference(_readable(drift)))
    fields = {field: new for field, (_, new) in drift.items()}
    return [_change(desired, "lambda:UpdateFunctionConfiguration", summary, **fields)]


def _concurrency_changes(actual: int | None, desired: Desired, *, wanted: int | None) -> list[Change]:
    if actual == wanted:
        return []
    summary = difference({"reserved concurrency": (actual, wanted)})[0]
    if wanted is None:
        return [_change(desired, "lambda:DeleteFunctionConcurrency", summary)]
    return [_change(desired, "lambda:PutFunctionConcurrency", summary, ReservedConcurrentExecutions=wanted)]


def _limit_tag(context: Context) -> dict[str, str]:
    limit = context.erasure_limit
    return {erasure_limit.LIMIT_TAG: erasure_limit.tag_value(limit)} if limit else {}


def _limit_tag_changes(actual: Mapping[str, str], desired: Desired) -> list[Change]:
    wanted = {name: value for name, value in desired.tags.items() if name == erasure_limit.LIMIT_TAG}
    tags = missing_tags(actual=actual, wanted=wanted)
    return [_tagging(desired, tags, summary=f"erasure limit {tags[name]}") for name in tags]


def _tag_changes(actual: Mapping[str, str], desired: Desired) -> list[Change]:
    wanted = {name: value for name, value in desired.tags.items() if name != erasure_limit.LIMIT_TAG}
    tags = missing_tags(actual=actual, wanted=wanted)
    return [_tagging(desired, tags, summary=tagging_summary(tags))] if tags else []


def _adoption(observed: Observed, actual: Mapping[str, str], desired: Desired) -> Change:
    former = str(observed.configuration.get("Role") or "")
    summary = adoption_summary(f"function {desired.names.tenant.function.name}")
    tags = missing_tags(actual=actual, wanted=desired.tags)
    if former and former != desired.names.role_arn:
        tags |= {FORMER_ROLE_TAG: former}
        summary += f"; {_of_the_former_role(former)}"
    return replace(_tagging(desired, tags, summary=summary), adopts=True)


def _failed(name: str, reason: str) -> str:
    return (
        f"Lambda could not set up function {name}: {reason.rstrip('.')}. Correct what Lambda names. If it stays so, "
        f"delete the function (aws lambda delete-function --function-name {name}): the operator creates it again"
    )


def _environment_unknown(name: str, unread: UnreadEnvironment) -> Finding:
    """Not written over: whoever set the key may have set variables too, and every write would look like drift again."""
    key = f" with KMS key {unread.key_arn}" if unread.key_arn else ""
    return Finding.action_required(
        "EnvironmentUnreadable",
        f"Lambda can't decrypt the environment variables of function {name}, encrypted{key}, for the operator "
        f"({unread.code}: {unread.text}): it is unknown whether they are as declared, and they are not changed. Grant "
        "the operator's role kms:Decrypt on that key, or remove the key from the function; the tenant then recovers "
        "automatically",
    )


def _of_the_former_role(arn: str) -> str:
    return f"it no longer uses its former role {arn}: delete that role if nothing else uses it"


def _tagging(desired: Desired, tags: Mapping[str, str], *, summary: str) -> Change:
    return Change(
        resource=RESOURCE,
        action="lambda:TagResource",
        target=desired.names.tenant.function.name,
        summary=summary,
        parameters={"Resource": desired.names.function_arn, "Tags": dict(tags)},
    )


def _delete(clients: Clients, name: str) -> bool:
    """Delete it; True if AWS reports that it did not exist. Raises AwsError."""
    return clients.find("lambda:DeleteFunction", target=name, FunctionName=name) is None


def _change(desired: Desired, action: str, summary: str, **parameters: Any) -> Change:
    name = desired.names.tenant.function.name
    return Change(
        resource=RESOURCE,
        action=action,
        target=name,
        summary=summary,
        parameters={"FunctionName": name, **parameters},
    )


def _readable(drift: Mapping[str, tuple[Any, Any]]) -> dict[str, tuple[Any, Any]]:
    """Names as in the manifest; of an environment only the names of the differing variables, never values."""
    words = {"MemorySize": "memoryMiB", "Timeout": "timeoutSeconds", "Runtime": "runtime"}
    readable = {}
    for field, (old, new) in drift.items():
        if field == "Environment":
            before, after = ((side or {}).get("Variables") or {} for side in (old, new))
            changed = sorted(key for key in {*before, *after} if before.get(key) != after.get(key))
            readable["environment"] = (f"{', '.join(changed)} differ", "as declared")
        else:
            readable[words.get(field, field)] = (old, new)
    return readable
