"""What one user did at the API server, by the sandbox's audit log."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from testing.live.waiting import wait_for


@dataclass(frozen=True)
class Audit:
    """What one user did at the API server, by its audit log: `position` now, `since` later."""

    path: Path
    user: str

    def position(self) -> int:
        return self.path.stat().st_size

    def since(self, position: int) -> list[Mapping[str, Any]]:
        """This user's requests after the position, but for watches."""
        with self.path.open("rb") as log:
            log.seek(position)
            lines = log.read().splitlines()
        return [
            entry
            for line in lines
            if self.user.encode() in line
            and (entry := json.loads(line))["user"]["username"] == self.user
            and entry["verb"] != "watch"
        ]

    def writes_since(self, position: int) -> list[str]:
        """`patch humangovstates/status california`."""
        return [
            f"{entry['verb']} {_what(entry)}" for entry in self.since(position) if entry["verb"] not in ("get", "list")
        ]

    def states_written_since(self, position: int) -> list[str]:
        """The same without the lease, once there is any: the log's line comes after the answer that told us of it."""
        return wait_for(
            lambda: [write for write in self.writes_since(position) if "leases" not in write],
            what="the audit log tells of a write", seconds=10,
        )  # fmt: skip


def _what(entry: Mapping[str, Any]) -> str:
    reference = entry.get("objectRef") or {}
    subresource = f"/{reference['subresource']}" if reference.get("subresource") else ""
    return f"{reference.get('resource')}{subresource} {reference.get('name', '')}".rstrip()
