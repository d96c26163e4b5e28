"""What is declared of the cleanup function, and each of the changes that bring it there. Pure.

function.py says in which order they are made.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from humangov.api import erasure_limit, legal_hold
from humangov.api.names import CLUSTER_UID_TAG, Names
from humangov.aws import function_environment, function_role
from humangov.aws.change import Change, difference
from humangov.aws.function_observed import NOT_USED, Observed, readable
from humangov.aws.ownership import adoption_summary, is_of_cluster, missing_tags, tagging_summary
from humangov.bundle import Bundle

RESOURCE = "function"
_FIRST_TAGS = (CLUSTER_UID_TAG, erasure_limit.LIMIT_TAG)  # whose cluster's it is, and why it rests


@dataclass(frozen=True, kw_only=True)
class Desired:
    names: Names
    bundle: Bundle
    architecture: str
    configuration: Mapping[str, Any]
    reserved_concurrency: int | None
    tags: Mapping[str, str]
    known_code: frozenset[str] = frozenset()


def has_hold(observed: Observed | None, desired: Desired) -> bool:
    """Whether the function erases nothing because of a legal hold: by its environment, and by code that knows it."""
    return (
        observed is not None
        and not observed.busy
        and observed.update_status != "Failed"
        and legal_hold.is_in(function_environment.of(observed.configuration))
        and (observed.code_sha256, observed.architecture) == (desired.bundle.code_sha256, desired.architecture)
    )


def concurrency(observed: Observed, desired: Desired) -> int | None:
    """What the reserved concurrency is to be now: 0 until the legal hold is on the function."""
    wants_hold = legal_hold.is_in(function_environment.of(desired.configuration))
    return 0 if wants_hold and not has_hold(observed, desired) else desired.reserved_concurrency


def creation(desired: Desired) -> list[Change]:
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
    return [create, *concurrency_changes(None, desired, wanted=desired.reserved_concurrency)]


def code_changes(observed: Observed, desired: Desired) -> list[Change]:
    known = observed.knows("Architectures")
    what = difference(
        {
            **({"code": (observed.code_sha256, desired.bundle.code_sha256)} if observed.knows("CodeSha256") else {}),
            **({"architecture": (observed.architecture, desired.architecture)} if known else {}),
        }
    )
    if not what or not observed.knows("PackageType"):
        return []
    code = {"ZipFile": desired.bundle.zip, "Architectures": [desired.architecture]}
    change = _change(desired, "lambda:UpdateFunctionCode", ", ".join(what), **code)
    return [replace(change, of_rollout=_is_of_rollout(observed, desired))]


def _is_of_rollout(observed: Observed, desired: Desired) -> bool:
    """Whether only the code differs, and the operator itself had given it to the function."""
    return observed.code_sha256 in desired.known_code and observed.architecture == desired.architecture


def configuration_changes(observed: Observed, desired: Desired) -> list[Change]:
    """What differs alone, in one call."""
    drift = {
        field: (observed.configuration.get(field), value)
        for field, value in {**NOT_USED, **desired.configuration}.items()
        if observed.configuration.get(field) != value and observed.knows(field)
    }
    if not drift:
        return []
    summary = ", ".join(difference(readable(drift)))
    fields = {field: new for field, (_, new) in drift.items()}
    return [_change(desired, "lambda:UpdateFunctionConfiguration", summary, **fields)]


def concurrency_changes(actual: int | None, desired: Desired, *, wanted: int | None) -> list[Change]:
    if actual == wanted:
        return []
    summary = difference({"reserved concurrency": (actual, wanted)})[0]
    if wanted is None:
        return [_change(desired, "lambda:DeleteFunctionConcurrency", summary)]
    return [_change(desired, "lambda:PutFunctionConcurrency", summary, ReservedConcurrentExecutions=wanted)]


def first_tag_changes(actual: Mapping[str, str], desired: Desired) -> list[Change]:
    tags = missing_tags(actual=actual, wanted={key: desired.tags[key] for key in _FIRST_TAGS if key in desired.tags})
    limit = erasure_limit.summary(tags.get(erasure_limit.LIMIT_TAG, ""), desired.names.tenant.annotations)
    words = {CLUSTER_UID_TAG: tagging_summary([CLUSTER_UID_TAG]), erasure_limit.LIMIT_TAG: limit}
    return [_tagging(desired, {key: value}, summary=words[key]) for key, value in tags.items()]


def tag_changes(observed: Observed, actual: Mapping[str, str], desired: Desired) -> list[Change]:
    others = [*_FIRST_TAGS]
    if function_role.differs(actual, observed.configuration, arn=desired.names.role_arn, wanted=desired.tags):
        others.append(function_role.ROLE_ID_TAG)  # the function is created again, when it is not to rest any more
    wanted = {name: value for name, value in desired.tags.items() if name not in others}
    tags = missing_tags(actual=actual, wanted=wanted)
    return [_tagging(desired, tags, summary=tagging_summary(tags))] if tags else []


def adoption(observed: Observed, actual: Mapping[str, str], desired: Desired) -> Change:
    former = str(observed.configuration.get("Role") or "")
    summary = adoption_summary(f"function {desired.names.tenant.function.name}")
    tags = missing_tags(actual=actual, wanted=desired.tags)
    if former and former != desired.names.role_arn:
        tags |= {function_role.FORMER_ROLE_TAG: former}
        summary += f"; {function_role.of_the_former(former)}"
    return replace(_tagging(desired, tags, summary=summary), adopts=True)


def is_to_rest(desired: Desired) -> bool:
    """Whether it is stopped, or under a legal hold: a new function would have neither for a moment."""
    return desired.reserved_concurrency == 0 or legal_hold.is_in(function_environment.of(desired.configuration))


def deletion(desired: Desired) -> Change:
    return _change(
        desired,
        "lambda:DeleteFunction",
        "delete the function to re-create it: its role was re-created, and only the former role may decrypt the "
        "function's environment variables",
    )


def _tagging(desired: Desired, tags: Mapping[str, str], *, summary: str) -> Change:
    return Change(
        resource=RESOURCE,
        action="lambda:TagResource",
        target=desired.names.tenant.function.name,
        summary=summary,
        parameters={"Resource": desired.names.function_arn, "Tags": dict(tags)},
        of_cluster=is_of_cluster(tags),
    )


def _change(desired: Desired, action: str, summary: str, **parameters: Any) -> Change:
    name = desired.names.tenant.function.name
    return Change(
        resource=RESOURCE,
        action=action,
        target=name,
        summary=summary,
        parameters={"FunctionName": name, **parameters},
    )
