"""Who approves, or ends a stop, signs: an annotation beside it has the username that asks. Pure.

The chart's admission policies refuse what is not signed so (docs/security.md). Nothing of the operator depends on it.
"""

from __future__ import annotations

from collections.abc import Mapping

START_SIGNATURE = "humangov.io/start-by"
"""Beside the end of a stop: on the HumanGovState, or on the ConfigMap that is deleted next."""


_SHOWN = 256  # characters of a username


def signature_of(approval: str) -> str:
    """The annotation that signs the annotation of an approval."""
    return f"{approval}-by"


def signer(annotations: Mapping[str, str], approval: str) -> str | None:
    """Who approved, as the signature says, for people; None: nobody signed.

    Where the admission policies are installed, the API server has authenticated that name.
    """
    text = annotations.get(signature_of(approval), "").strip()
    return "".join(one if one.isprintable() else "?" for one in text)[:_SHOWN] or None
