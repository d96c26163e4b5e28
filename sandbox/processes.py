"""Processes that outlive the command which started them: start, know, measure and stop them. Linux, by /proc.

A process is known by its number, its start time and the boot, so a number that was given to another one is
never taken for the sandbox's own. Every process also carries the sandbox's folder in its environment (`VARIABLE`):
that finds what a killed `up` started but had no time to note down.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

VARIABLE = "HUMANGOV_SANDBOX_PART_OF"
PROC = Path("/proc")


@dataclass(frozen=True)
class Process:
    """One process for all time: `started` is in clock ticks since the boot that `boot` names."""

    pid: int
    started: int
    boot: str


@dataclass(frozen=True)
class Stat:
    """The fields of /proc/PID/stat that we use (proc_pid_stat(5))."""

    state: str
    session: int
    started: int


def parse_stat(text: str) -> Stat:
    """Read /proc/PID/stat. The command's name stands in brackets and may itself hold spaces and brackets."""
    fields = text[text.rindex(")") + 2 :].split()
    return Stat(state=fields[0], session=int(fields[3]), started=int(fields[19]))


def boot_id() -> str:
    return (PROC / "sys/kernel/random/boot_id").read_text().strip()


def stat(pid: int) -> Stat | None:
    """None if there is no such process; a zombie is none either, once it has been collected if it is ours."""
    try:
        found = parse_stat((PROC / str(pid) / "stat").read_text())
    except (FileNotFoundError, ProcessLookupError):
        return None
    if found.state in "ZX":
        # Only a parent can collect a zombie; a test that started the sandbox in its own process is one.
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, os.WNOHANG)
        return None
    return found


def identify(pid: int) -> Process | None:
    found = stat(pid)
    return None if found is None else Process(pid=pid, started=found.started, boot=boot_id())


def alive(process: Process) -> bool:
    return identify(process.pid) == process


def start(command: Sequence[str], *, log: Path, environment: Mapping[str, str], root: Path) -> Process | None:
    """Start `command` in a session of its own, its output appended to `log`. None if it ended at once.

    Not subprocess: that wants to own its children, and these are meant to be left behind.
    """
    append = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    pid = os.posix_spawn(
        command[0],
        list(command),
        {**environment, VARIABLE: str(root)},
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, str(log), append, 0o644),
            (os.POSIX_SPAWN_DUP2, 1, 2),
        ],
        setsid=True,
        setsigmask=[],
        setsigdef=[signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE],
    )
    return identify(pid)


def _pids() -> list[int]:
    return [int(entry.name) for entry in PROC.iterdir() if entry.name.isdigit()]


def name(process: Process) -> str:
    """The command's name, at most 15 characters (proc_pid_comm(5)); empty if it has ended."""
    try:
        return (PROC / str(process.pid) / "comm").read_text().strip()
    except OSError:
        return ""


def in_session(leader: int) -> list[Process]:
    """Every living process of the session that process `leader` began, itself included."""
    boot = boot_id()
    found = ((pid, stat(pid)) for pid in _pids())
    return [
        Process(pid=pid, started=one.started, boot=boot)
        for pid, one in found
        if one is not None and one.session == leader
    ]


def of_sandbox(root: Path) -> list[Process]:
    """Every living process that was started for the sandbox in `root`, descendants included."""
    wanted = f"{VARIABLE}={root}".encode()
    found = []
    for pid in _pids():
        try:
            variables = (PROC / str(pid) / "environ").read_bytes().split(b"\0")
        except OSError:  # gone, or another user's
            continue
        if wanted in variables and (process := identify(pid)) is not None:
            found.append(process)
    return found


def resident_bytes(processes: Iterable[Process]) -> int:
    """Resident memory in bytes; pages that the processes share are counted for each."""
    total = 0
    for process in processes:
        try:
            pages = (PROC / str(process.pid) / "statm").read_text().split()[1]
        except (FileNotFoundError, ProcessLookupError):
            continue
        total += int(pages) * os.sysconf("SC_PAGE_SIZE")
    return total


def send(process: Process, number: signal.Signals) -> None:
    """Signal exactly this process: the descriptor pins it before its identity is looked at."""
    try:
        descriptor = os.pidfd_open(process.pid)
    except ProcessLookupError:
        return
    try:
        if alive(process):
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(descriptor, number)
    finally:
        os.close(descriptor)


def stop(processes: Sequence[Process], *, grace_seconds: float) -> list[Process]:
    """End these: SIGTERM, then SIGKILL after `grace_seconds`. Returns those that live all the same."""
    for number, patience in ((signal.SIGTERM, grace_seconds), (signal.SIGKILL, 5.0)):
        for process in processes:
            send(process, number)
        deadline = time.monotonic() + patience
        while (left := [one for one in processes if alive(one)]) and time.monotonic() < deadline:
            time.sleep(0.02)
        if not left:
            return []
        processes = left
    return list(processes)


def tail(log: Path, *, lines: int = 20) -> list[str]:
    """The last lines of a log; nothing if there is none. Reads at most the last 64 KiB."""
    try:
        with log.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - 65536))
            return file.read().decode(errors="replace").splitlines()[-lines:]
    except FileNotFoundError:
        return []
