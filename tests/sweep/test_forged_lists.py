"""Orphan lists that no sweep has written: whoever may write under `.humangov/` may forge one. None exhausts memory,

ends a sweep without a sentence, or counts. By a tenant in memory, and by measuring what the reading itself takes.
"""

from __future__ import annotations

import gzip
import io
import json
import tracemalloc
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
from humangov.sweep import list_lines, orphan_list
from humangov.sweep.list_lines import LINE_BYTES, ForgedError
from humangov.sweep.result import DETECT
from humangov.sweep.safety_checks import Facts

from testing import samples
from testing.sweep.tenant_data import DAY, HOUR
from testing.sweep.world import SweepWorld

Lines = list[dict[str, Any]]
MEMORY_BYTES = 24 << 20
"""What reading any list may take, here; a line of LINE_BYTES takes several times its length while it is parsed."""


def staffed() -> SweepWorld:
    world = SweepWorld(names=samples.names(bucket={"name": "files"}, sweep={"maximumOrphanPercent": 60}))
    for number in range(9):
        world.upload(f"{number}.pdf", age=30 * DAY)
        world.hire(str(number), f"{number}.pdf")
    world.upload("orphan.pdf", age=30 * DAY)
    return world


def honest(world: SweepWorld) -> tuple[str, Lines]:
    """Key and lines of the list that a sweep writes now; it is removed again."""
    world.sweep(DETECT)
    [key] = world.orphan_lists()
    lines = [json.loads(line) for line in gzip.decompress(world.objects.pop(key)[-1].body).splitlines()]
    return key, lines


def packed(lines: Iterable[Any]) -> bytes:
    return gzip.compress(b"".join(json.dumps(line).encode() + b"\n" for line in lines))


def head_with(**more: Any) -> Callable[[Lines], bytes]:
    return lambda lines: packed([{**lines[0], **more}, *lines[1:]])


def entry_with(**more: Any) -> Callable[[Lines], bytes]:
    return lambda lines: packed([lines[0], {**lines[1], **more}, lines[2]])


def raw(*lines: bytes) -> Callable[[Lines], bytes]:
    """These lines between a valid head and an end that counts them."""
    return lambda honest: gzip.compress(
        b"\n".join([json.dumps(honest[0]).encode(), *lines, json.dumps({"end": len(lines)}).encode(), b""])
    )


DEEP = b"[" * 200_000
FORGED: dict[str, Callable[[Lines], bytes]] = {
    "is no gzip file": lambda _lines: b"x" * 5000,
    "is empty": lambda _lines: b"",
    "is cut off": lambda lines: packed(lines)[:-20],
    "has a broken checksum": lambda lines: packed(lines)[:-8] + b"\0" * 8,
    "has a broken body": lambda lines: packed(lines)[:30] + b"\xff" * 40 + packed(lines)[70:],
    "goes on after its end": lambda lines: packed(lines) + packed(lines),
    "has no end of its last line": lambda lines: gzip.compress(gzip.decompress(packed(lines))[:-1]),
    "has deeply nested JSON": raw(DEEP),
    "has a deeply nested object": raw(b'{"key":' * 100_000),
    "has a line that is no object": raw(b"[1]"),
    "has a number of a million digits": raw(b'{"size":' + b"9" * 1_000_000 + b"}"),
    "has another number of lines": lambda lines: packed([*lines[:-1], {"end": 7}]),
    "has a time that is a text": head_with(at="2026-03-01"),
    "has a time that is no number": head_with(at=float("nan")),
    "has a time without end": head_with(at=float("inf")),
    "has a time that no date has": head_with(at=1e300),
    "has records that are a text": head_with(records="many"),
    "has records that are a list": head_with(records=[1]),
    "has fewer records than none": head_with(records=-1),
    "has a number that SQLite can't store": head_with(orphans=2**70),
    "has names that are a text": head_with(shared="abc"),
    "has half a character in a name": head_with(shared=["\ud800"]),
    "has a table that is a number": head_with(table_id=7),
    "has no field of a head": lambda _lines: packed([{"orphanList": 1}, {"end": 0}]),
    "has half a character in a key": entry_with(key="\ud800.pdf"),
    "has half a character in an ETag": entry_with(etag="\udfff"),
    "has a key that is a number": entry_with(key=7),
    "has an entry without a key": entry_with(key=""),
    "has a size that is a text": entry_with(size="big"),
    "has a size that SQLite can't store": entry_with(size=2**80),
    "has a time before all times": entry_with(modified=-1),
    "has a first sighting at no time": entry_with(since="1"),
    "has versions that are a number": entry_with(versions=7),
    "has versions of another shape": entry_with(versions=[["v1", 1, False]]),
    "has a version that is a map": entry_with(versions=[{"v1": 1}]),
}


@pytest.mark.parametrize("forge", FORGED.values(), ids=FORGED.keys())
def test_forged_orphan_list_is_ignored_and_the_sweep_continues(forge: Callable[[Lines], bytes]) -> None:
    world = staffed()
    key, lines = honest(world)
    world.put(key, forge(lines), at=world.now)
    found = world.sweep(after=DAY)
    assert (found.confirmed, found.orphans, "orphan.pdf" in world.files) == (0, 1, True)
    assert [check.name for check in found.failed_checks] == []


def test_valid_orphan_list_from_which_the_forged_ones_are_derived_counts() -> None:
    """Else the test above could not fail."""
    world = staffed()
    key, lines = honest(world)
    world.put(key, packed(lines), at=world.now)
    assert world.sweep(after=DAY).confirmed == 1


@pytest.mark.parametrize("more", [{"tenant": "x/y/z"}, {"bucket": "other"}, {"run": "00000000"}, {"at": 1.0}])
def test_orphan_list_of_another_tenant_or_under_another_name_is_ignored(more: dict[str, Any]) -> None:
    world = staffed()
    key, lines = honest(world)
    world.put(key, head_with(**more)(lines), at=world.now)
    assert world.sweep(after=DAY).confirmed == 0


def bomb(line: bytes, *, times: int) -> bytes:
    """A gzip file whose content is never held."""
    out = io.BytesIO()
    packer = zlib.compressobj(9, wbits=31)
    for _ in range(times):
        out.write(packer.compress(line))
    out.write(packer.flush())
    return out.getvalue()


@pytest.mark.parametrize(
    ("line", "times", "why"),
    [
        (b"0" * (1 << 20), 64, "a line has more than"),
        (b'{"end":0}\n' * (1 << 17), 16, "unpacks to more than"),
        (b"\n" * (1 << 20), 16, "unpacks to more than"),
    ],
    ids=["one line", "many lines", "empty lines"],
)
def test_decompression_bomb_is_refused_within_bounded_memory(
    line: bytes, times: int, why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(list_lines, "_SMALL", 2 << 20)
    path = tmp_path / "list.gz"
    path.write_bytes(bomb(line, times=times))
    tracemalloc.start()
    try:
        with pytest.raises(ForgedError, match=why):
            sum(1 for _ in list_lines.lines(path))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < MEMORY_BYTES


def test_line_of_the_greatest_length_is_parsed_within_bounded_memory(tmp_path: Path) -> None:
    """Empty lists take the most memory for their length."""
    path = tmp_path / "list.gz"
    path.write_bytes(gzip.compress(b'{"a":[' + b"[]," * (LINE_BYTES // 3 - 10) + b"[]]}\n"))
    tracemalloc.start()
    try:
        for line in list_lines.lines(path):
            list_lines.parsed(line)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 2 * MEMORY_BYTES


def test_list_that_is_larger_than_any_list_is_not_even_copied(monkeypatch: pytest.MonkeyPatch) -> None:
    world = staffed()
    key, lines = honest(world)
    monkeypatch.setattr(orphan_list, "STORED_BYTES", 100)
    world.put(key, packed(lines), at=world.now)
    assert world.sweep(after=DAY).confirmed == 0


def test_of_a_million_forged_keys_only_the_youngest_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    world = staffed()
    monkeypatch.setattr(orphan_list, "MOST_LISTS", 5)
    for number in range(50):
        world.put(f".humangov/sweeps/2026-02-28T00-00-{number:02}Z-f.jsonl.gz", b"x", at=world.now)
    world.put(".humangov/sweeps/9999-01-01T00-00-00Z-f.jsonl.gz", b"x", at=world.now)
    world.sweep(DETECT)
    before = world.calls["GetObject"]
    world.sweep(DETECT, after=HOUR)
    assert world.calls["GetObject"] - before <= 5 + 1  # and the claim


def test_orphan_with_more_versions_than_a_line_holds_is_listed_and_never_confirmed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Else a sweep could not read its own list."""
    monkeypatch.setattr(list_lines, "LINE_BYTES", 2000)
    world = staffed()
    world.versioning = "Enabled"
    for _ in range(100):
        world.upload("many.pdf", age=30 * DAY)
    for _ in range(2):
        found = world.sweep(DETECT, after=DAY)
    assert (found.orphans, found.confirmed) == (2, 1)


def test_sweep_reads_what_it_writes_whatever_the_names_are() -> None:
    world = staffed()
    world.upload('"\\\n\r\x1b[2K\u2028é履.pdf', age=30 * DAY)
    world.sweep(DETECT)
    assert world.sweep(DETECT, after=DAY).confirmed == 2


def test_facts_need_no_field_that_a_forged_list_could_break() -> None:
    """Of earlier lists, only these two reach the safety checks."""
    assert {name for name in Facts.__dataclass_fields__ if name.startswith("earlier")} == {
        "earlier_records", "earlier_table_id",
    }  # fmt: skip
