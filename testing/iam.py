"""What IAM policies allow: the few rules of AWS's evaluation that ours use, and an error for any other.

No library on PyPI evaluates a policy under a permissions boundary. tests/deploy/test_iam.py has MiniStack's evaluator,
which is somebody else's work, answer the same questions.

https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic.html
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

Policy = Mapping[str, Any]
Statement = Mapping[str, Any]
Context = Mapping[str, str]


def allowed(
    policy: Policy, action: str, resource: str, context: Context | None = None, *, boundary: Policy | None = None
) -> bool:
    """Whether an identity with this policy, and perhaps a permissions boundary, may do it.

    A Deny in either denies; else each has to allow it. A condition whose key is not in the context is not met.
    """
    layers = [policy] if boundary is None else [policy, boundary]
    effects = [
        {one["Effect"] for one in statements(layer) if applies(one, action, resource, context or {})}
        for layer in layers
    ]
    return all("Allow" in found and "Deny" not in found for found in effects)


def names(policy: Policy, action: str, resource: str) -> list[str]:
    """Sids of the statements that allow the action on the resource under some condition, or under none."""
    return [
        one["Sid"]
        for one in statements(policy)
        if one["Effect"] == "Allow" and _names_action(one, action) and _names_resource(one, resource)
    ]


def trusted(policy: Policy, principal: Mapping[str, str], action: str, context: Context) -> bool:
    """Whether a role's trust policy lets this principal (`{"Service": "lambda.amazonaws.com"}`) take the role on."""
    return any(
        one["Principal"] == principal and _names_action(one, action) and _meets(one, context)
        for one in statements(policy, also={"Principal"})
    )


def actions(policy: Policy) -> set[str]:
    """Every action that the policy names."""
    return {action for statement in statements(policy) for action in listed(statement["Action"])}


def statements(policy: Policy, *, also: set[str] | frozenset[str] = frozenset()) -> Iterator[Statement]:
    """Raises NotImplementedError for an element that is not evaluated here."""
    for statement in policy["Statement"]:
        known = {"Sid", "Effect", "Action", "Condition"} | (also or {"Resource"})
        if set(statement) - known or statement["Effect"] not in ("Allow", "Deny"):
            raise NotImplementedError(f"{statement}")
        yield statement


def listed(value: str | list[str]) -> list[str]:
    """IAM's "one or several"."""
    return [value] if isinstance(value, str) else value


def matches(pattern: str, value: str) -> bool:
    """`*` and `?` as IAM means them: they reach over every character, colons and slashes too."""
    if not _WILD.search(pattern):
        return pattern == value
    return _expression(pattern).fullmatch(value) is not None


_WILD = re.compile(r"[*?]|\$\{")


@lru_cache(maxsize=4096)
def _expression(pattern: str) -> re.Pattern[str]:
    """`${*}`, `${?}` and `${$}` stand for the characters themselves."""
    pieces = re.split(r"(\$\{[*?$]\}|\*|\?)", pattern)
    wild = {"*": ".*", "?": "."}
    return re.compile(
        "".join(
            wild.get(one) or re.escape(one[2] if one.startswith("${") and len(one) == 4 else one) for one in pieces
        ),
        re.DOTALL,
    )


def applies(statement: Statement, action: str, resource: str, context: Context) -> bool:
    return _names_action(statement, action) and _names_resource(statement, resource) and _meets(statement, context)


def _names_action(statement: Statement, action: str) -> bool:
    return any(matches(pattern.lower(), action.lower()) for pattern in listed(statement["Action"]))


def _names_resource(statement: Statement, resource: str) -> bool:
    return any(matches(pattern, resource) for pattern in listed(statement["Resource"]))


def _meets(statement: Statement, context: Context) -> bool:
    return all(
        _met(operator, context.get(key), listed(wanted))
        for operator, keys in statement.get("Condition", {}).items()
        for key, wanted in keys.items()
    )


def _met(operator: str, value: str | None, wanted: list[str]) -> bool:
    if operator == "Null":
        return wanted == ["true" if value is None else "false"]
    if operator == "StringNotEquals":  # a negated operator also matches where there is no such key
        return value not in wanted
    if value is None:
        return operator.endswith("IfExists")
    match operator.removesuffix("IfExists"):
        case "StringEquals":
            return value in wanted
        case "StringLike":
            return any(matches(pattern, value) for pattern in wanted)
        case "ArnLike" | "ArnEquals":  # they mean the same
            # Part by part: a wildcard does not reach over a colon into the next of the six.
            return any(
                len(pattern.split(":", 5)) == len(value.split(":", 5))
                and all(matches(*pair) for pair in zip(pattern.split(":", 5), value.split(":", 5), strict=True))
                for pattern in wanted
            )
        case _:
            raise NotImplementedError(operator)
