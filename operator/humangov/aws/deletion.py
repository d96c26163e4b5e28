"""The result of deleting one AWS resource."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Deletion:
    """existed: it did before, so this deleted it. confirmed: the delete and a read both find that it does not exist."""

    existed: bool
    confirmed: bool
