"""The receipts of a sweep: the lines of each file that it erases, or tried to. Pure.

They have the fields of cleanup/receipt_lines, with the sweep in place of a stream record.
"""

from __future__ import annotations

from dataclasses import dataclass

from humangov.api.names import Names
from humangov.cleanup import receipt_lines
from humangov.cleanup.calls import Line
from humangov.cleanup.outcomes import FileResult


@dataclass(frozen=True, kw_only=True)
class SweepReceipts:
    """The lines of one run.

    orphan_list: the key of the list that it erases from. approver: who approved it, although a safety check failed;
    None: no check failed, or the approval is not signed. reading: `snapshot` or `scan`, how the table was read; None:
    not known any more
    """

    names: Names
    run: str
    orphan_list: str
    reading: str | None = None
    approver: str | None = None

    def intent(self, key: str) -> Line:
        return self._line("intent", key)

    def outcome(self, key: str, result: FileResult, *, at: float) -> Line:
        """at: time of S3's response, in seconds since the epoch."""
        return {**self._line("outcome", key), **receipt_lines.result_fields(result, at=at), "announced": True}

    def settlement(self, key: str, result: FileResult, *, at: float, settled_by: str) -> Line:
        """The outcome of a file of a run that ended without one. settled_by: the run that found it so."""
        line = {**self._line("outcome", key), **receipt_lines.result_fields(result, at=at)}
        return {**line, "announced": False, "settled_by": settled_by}

    def _line(self, kind: str, key: str) -> Line:
        return {
            "receipt": kind,
            "tenant": self.names.owner,
            "bucket": self.names.tenant.bucket.name,
            "key": key,
            "record_key": {},
            "event_id": f"sweep {self.run}",
            "sequence_number": "",
            "event": "SWEEP",
            "expired": False,
            "deleted_at": None,
            "orphan_list": self.orphan_list,
            **({"reading": self.reading} if self.reading else {}),
            **({"approved_by": self.approver} if self.approver else {}),
        }
