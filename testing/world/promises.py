"""The five promises, by the names under which broken ones are counted; `testing.world`'s docstring defines them."""

from __future__ import annotations

from typing import NamedTuple

LOST, SILENT, RECEIPT, STATUS = "live_files_lost", "silent_orphans", "receipt_violations", "status_violations"
REPORT = "report_violations"
KINDS = (LOST, SILENT, RECEIPT, STATUS, REPORT)


class Violation(NamedTuple):
    """why: a short reason, the same for all of its kind. what: this one."""

    kind: str
    why: str
    what: str
