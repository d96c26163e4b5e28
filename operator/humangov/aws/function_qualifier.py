"""The qualifier of a function: the name of an alias, or the number of a version; None: neither.

https://docs.aws.amazon.com/lambda/latest/dg/lambda-api-permissions-ref.html
"""

from __future__ import annotations


def qualifier_of(arn: str) -> str | None:
    """arn:aws:lambda:region:account:function:name[:qualifier]; what has `$LATEST` is the function's own."""
    parts = arn.split(":")
    return parts[7] if len(parts) > 7 and parts[7] != "$LATEST" else None


def qualified(qualifier: str | None) -> dict[str, str]:
    """The parameters of a call that it adds."""
    return {"Qualifier": qualifier} if qualifier else {}


def name_of(function: str, qualifier: str | None) -> str:
    return f"{function}:{qualifier}" if qualifier else function
