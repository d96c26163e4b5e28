"""What `status` shows."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from sandbox import cluster, emulator, probe, processes
from sandbox.errors import quoted_log
from sandbox.node import containerd, kubelet
from sandbox.paths import Layout
from sandbox.ports import HOST
from sandbox.state import SandboxState, load

Condition = Literal["ready", "not answering", "stopped"]


@dataclass(frozen=True)
class Row:
    """One part. `memory_bytes` counts its children too: the emulated AWS runs functions as processes."""

    part: str
    pid: int
    address: str
    condition: Condition
    memory_bytes: int


@dataclass(frozen=True)
class StatusReport:
    up: bool
    rows: Sequence[Row]
    notes: Sequence[str]
    """What is the user's own, and the end of the log of each part that stopped."""

    @property
    def healthy(self) -> bool:
        return self.up and all(row.condition == "ready" for row in self.rows)


def report(*, environ: Mapping[str, str] = os.environ) -> StatusReport:
    layout = Layout.of(environ)
    state = load(layout.state)
    rows = [_row(layout, state, name) for name in state.parts]
    notes = []
    if state.kubernetes == "user":
        notes.append(f"Kubernetes is the cluster of {state.kubeconfig} (KUBECONFIG), not the sandbox's own.")
    if state.aws == "endpoint":
        notes.append(f"AWS is {state.aws_endpoint_url} (AWS_ENDPOINT_URL), not the sandbox's own.")
    if state.aws == "account":
        notes.append("AWS is the real account of your credentials (SANDBOX_AWS=account).")
    for row in rows:
        if row.condition != "ready":
            log = layout.log(row.part)
            notes.append(f"{row.part} is {row.condition}. {quoted_log(log, processes.tail(log))}")
    return StatusReport(up=state.up, rows=rows, notes=notes)


def table(rows: Sequence[Row]) -> str:
    cells = [
        ("PART", "PID", "ADDRESS", "STATE", "MEMORY"),
        *((row.part, str(row.pid), row.address, row.condition, _mebibytes(row)) for row in rows),
    ]
    if len(rows) > 1:
        total = sum(row.memory_bytes for row in rows)
        cells.append(("", "", "", "", f"{total / 2**20:.0f} MiB"))
    widths = [max(len(row[column]) for row in cells) for column in range(5)]
    return "\n".join(
        "   ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells
    )


def _mebibytes(row: Row) -> str:
    return f"{row.memory_bytes / 2**20:.0f} MiB" if row.condition != "stopped" else "-"


def _row(layout: Layout, state: SandboxState, name: str) -> Row:
    part = state.parts[name]
    alive = processes.alive(part.process)
    return Row(
        part=name,
        pid=part.process.pid,
        address=part.address,
        condition="stopped" if not alive else "ready" if _answers(layout, state, name) else "not answering",
        memory_bytes=processes.resident_bytes(processes.in_session(part.process.pid)) if alive else 0,
    )


def _answers(layout: Layout, state: SandboxState, name: str) -> bool:
    if name == emulator.PART:
        return emulator.ready(state.ports)
    if name == containerd.PART:
        return containerd.ready(layout)
    if name == kubelet.PART:
        return probe.status(f"http://{HOST}:{state.ports[kubelet.HEALTH_PORT]}/healthz") == 200
    return cluster.ready(name, ports=state.ports, identities=cluster.existing_identities(layout.certificates))
