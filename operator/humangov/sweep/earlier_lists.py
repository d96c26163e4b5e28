"""The orphan lists of earlier sweeps: which of today's orphans they contain, and what they saw of the table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from humangov.api.names import Names
from humangov.aws.data_plane import AwsClients
from humangov.reading.progress import Steps
from humangov.sweep import orphan_list
from humangov.sweep.orphan_list import OrphanList
from humangov.sweep.scratch_db import APPROVED, Scratch


@dataclass(frozen=True, kw_only=True)
class EarlierLists:
    """The youngest first. Which of today's orphans they contain is in the scratch file.

    approved  a person approved one of them, and it contains one of today's orphans
    expected  number of the youngest lists whose records this scan should see: up to the approved one, or all
    compared  number of lists that an orphan must be in to be confirmed; 0: no list is old enough
    """

    lists: Sequence[OrphanList]
    approved: bool
    expected: int
    compared: int

    @property
    def last_table_id(self) -> str | None:
        return self.lists[0].head.table_id if self.lists else None

    def known_since(self, table_id: str) -> float | None:
        """When one of these sweeps first saw this table, in seconds since the epoch; None: none has."""
        return min((one.head.at for one in self.lists if one.head.table_id == table_id), default=None)

    def most_records(self, table_id: str) -> int:
        """The most records that one of these sweeps saw in this table, since the approved one.

        Whoever approved a list approved the number of records that it was written by.
        """
        recent = self.lists[: self.expected]
        return max((one.head.records for one in recent if one.head.table_id == table_id), default=0)


def compare(
    clients: AwsClients,
    names: Names,
    scratch: Scratch,
    *,
    steps: Steps,
    approved_sha256: str | None,
    table_id: str,
    began: float,
) -> EarlierLists:
    """An orphan is confirmed by the youngest sweep that is old enough, and by every sweep since.

    began: start of this sweep, by S3's clock. Raises StoppedError, and as `orphan_list.earlier` does.
    """
    lists: list[OrphanList] = []
    approved, old_enough, compared = False, False, 0
    expected: int | None = None
    for one, path in orphan_list.earlier(
        clients.patient_s3, names, now=began, folder=scratch.folder, check=steps.check
    ):
        steps.check()
        lists.append(one)
        of_this_table = one.head.table_id == table_id
        is_approved = of_this_table and one.sha256 == approved_sha256
        if is_approved:
            approved = scratch.sighted(APPROVED, orphan_list.read(path, one.head)) > 0
            expected = expected or len(lists)
        # An approved list is a valid sighting, however doubtful the scan was.
        if of_this_table and (one.head.sighting or is_approved) and not old_enough:
            scratch.sighted(compared, orphan_list.read(path, one.head))
            compared += 1
            old_enough = began - one.head.at >= names.tenant.sweep.confirm_after_seconds
    scratch.date_multiparts()
    return EarlierLists(
        lists=lists, approved=approved, expected=expected or len(lists), compared=compared if old_enough else 0
    )
