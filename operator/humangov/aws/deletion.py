"""The result of deleting one AWS resource."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Deletion:
    """existed: it did before, so this deleted it.

    confirmed: it does not exist. AWS carried out the delete, and a read after it shows none; or a read showed none, and
    AWS answered the delete that there is none. A read alone confirms nothing: it may be stale.
    """

    existed: bool
    confirmed: bool
