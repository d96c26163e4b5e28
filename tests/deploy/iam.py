"""What an IAM policy allows: the few rules of AWS's evaluation that our policies use, and an error for any other.

https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic.html
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

Policy = Mapping[str, Any]


def allowed(policy: Policy, action: str, resource: str, context: Mapping[str, str] | None = None) -> bool:
    """Whether a policy that only allows allows this. A condition whose key is not in the context is not met."""
    return any(_allows(statement, action, resource, context or {}) for statement in policy["Statement"])


def actions(policy: Policy) -> set[str]:
    """Every action that the policy names."""
    return {action for statement in policy["Statement"] for action in listed(statement["Action"])}


def listed(value: str | list[str]) -> list[str]:
    """IAM's "one or several"."""
    return [value] if isinstance(value, str) else value


def matches(pattern: str, value: str) -> bool:
    """`*` and `?` as IAM means them: they reach over every character, colons and slashes too."""
    escaped = re.escape(pattern).replace(r"\*", ".*").replace(r"\?", ".")
    return re.fullmatch(escaped, value, re.DOTALL) is not None


def _allows(statement: Mapping[str, Any], action: str, resource: str, context: Mapping[str, str]) -> bool:
    unknown = set(statement) - {"Sid", "Effect", "Action", "Resource", "Condition"}
    if unknown or statement["Effect"] != "Allow":
        raise NotImplementedError(f"{statement.get('Sid')}: {unknown or statement['Effect']}")
    return (
        any(matches(pattern.lower(), action.lower()) for pattern in listed(statement["Action"]))
        and any(matches(pattern, resource) for pattern in listed(statement["Resource"]))
        and all(
            _met(operator, context.get(key), listed(wanted))
            for operator, keys in statement.get("Condition", {}).items()
            for key, wanted in keys.items()
        )
    )


def _met(operator: str, value: str | None, wanted: list[str]) -> bool:
    if value is None:
        return False
    match operator:
        case "StringEquals":
            return value in wanted
        case "StringLike":
            return any(matches(pattern, value) for pattern in wanted)
        case "ArnLike":
            # Part by part: a wildcard does not reach over a colon into the next of the six.
            return any(
                all(matches(*pair) for pair in zip(pattern.split(":", 5), value.split(":", 5), strict=True))
                for pattern in wanted
            )
        case _:
            raise NotImplementedError(operator)
