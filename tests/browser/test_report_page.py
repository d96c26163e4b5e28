"""The report's page in a real browser: readable by everybody, in both colour schemes, on a phone and on paper.

Needs Debian's chromium, and axe-core (https://github.com/dequelabs/axe-core) from npm: `make test-browser`. It can't
show what a screen reader says, only that nothing is in its way.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from humangov.cleanup.receipt_chain import EMPTY, linked
from humangov.proof import page, period, report_files, states, surroundings
from humangov.proof.ledger import Ledger
from humangov.proof.orphan_lists import SweepRun, SweepRuns
from humangov.proof.report import Subject, build
from humangov.proof.surroundings import LogGroup

from sandbox.paths import BUILD
from testing import samples

AXE = BUILD / "browser" / "node_modules" / "axe-core" / "axe.min.js"
SECONDS = 60
LIGHT, DARK = 1, 0
"""Blink's setting preferredColorScheme."""

_PROBE = """
<pre id="probe"></pre><script>%s</script><script>
const wide = document.documentElement.scrollWidth, seen = innerWidth;
axe.run(document, {runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}).then(found => {
  document.getElementById("probe").textContent = JSON.stringify({
    violations: found.violations.map(one => [one.id, one.nodes.map(node => node.html.slice(0, 120))]),
    passes: found.passes.length, wide, seen, paper: getComputedStyle(document.body).backgroundColor,
  }).replace(/[<&]/g, "?");
});
</script></body>
"""


@pytest.fixture(scope="module")
def chromium() -> str:
    found = shutil.which("chromium")
    if (found is None or not AXE.exists()) and "HUMANGOV_REQUIRE_BROWSER" not in os.environ:
        pytest.skip("chromium or axe-core is not installed: make test-browser says how")
    assert found is not None, "apt-get install chromium"
    assert AXE.exists()
    return found


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A report with gaps and long names, one without a receipt, and the table of both."""
    folder = tmp_path_factory.mktemp("pages")
    full = _written(folder, "california", exists=True)
    empty = _written(folder, "florida", exists=False)
    table = folder / "all.html"
    rows = states.worst_first([full[1], empty[1], states.without_report("humangov/texas", problem="AccessDenied")])
    report_files.write_text(
        table, page.of_all(rows, title="Report of erasures: all states", period="2026-11", written=_WRITTEN)
    )
    return {"california": full[0], "florida": empty[0], "all": table}


_WRITTEN = datetime(2026, 12, 5, tzinfo=UTC)


def _written(folder: Path, name: str, *, exists: bool) -> tuple[Path, states.State]:
    files = report_files.files_in(folder, name=name)
    ledger = Ledger(report_files.partial_database(files))
    subject = Subject(
        tenant=f"humangov/{name}", owner=samples.OWNER, account_id="1", region="us-east-1", bucket="files",
        key_prefix="", table="records",
    )  # fmt: skip
    run = SweepRun(
        run="abcd1234", at="2026-11-04T02:00:00Z", mode="Delete", records=90, listed=100, too_young=1, live=90,
        orphans=9, orphan_bytes=9, failed_checks=("YoungTable",), names_expired=False, key="k", sha256="0" * 64,
    )  # fmt: skip
    conditions = [{"type": "Stopped", "status": "True", "reason": "Annotation", "message": "stopped: a lawsuit"}]
    resource = {**samples.resource(name), "status": {"conditions": conditions}}
    found = build(
        _events() if exists else [], ledger, subject=subject, period=period.month("2026-11"), now=_WRITTEN,
        group=LogGroup(name="/aws/lambda/humangov-california-delete-file", region="us-east-1", exists=exists),
        declared=surroundings.declared(resource, samples.names()), sweeps=SweepRuns(runs=(run,)),
    )  # fmt: skip
    ledger.close()
    report_files.save(found, files, most_rows=1000)
    return files.page, states.of_report(found, page=files.page.name)


def _events() -> list[dict[str, Any]]:
    events, end = [], EMPTY
    for number in range(60):
        at = datetime(2026, 11, 1 + number // 3, 9, tzinfo=UTC) + timedelta(seconds=number)
        key = f"{'a-long-folder-name/' * 5}contract-{number:08d}.pdf"
        outcome = ("erased", "erased", "kept: live", "failed: SlowDown", "absent")[number % 5]
        common = {
            "tenant": samples.OWNER, "bucket": "files", "key": key, "record_key": {"id": {"S": f"CA-{number}"}},
            "event_id": f"e{number}", "sequence_number": "1", "event": "REMOVE", "deleted_at": _text(at),
        }  # fmt: skip
        done = {
            "receipt": "outcome", **common, "outcome": outcome, "announced": True, "versions_erased": 1,
            "erased_at": _text(at + timedelta(milliseconds=400)) if outcome == "erased" else None,
        }  # fmt: skip
        for line, late in (({"receipt": "intent", **common}, 100), (done, 400)):
            message, end = linked(line, after=end)
            timestamp = round(at.timestamp() * 1000) + late
            events.append({"logStreamName": "receipts/2026/11/01/a", "timestamp": timestamp, "message": message})
    return events


def _text(at: datetime) -> str:
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def browse(chromium: str, folder: Path, *arguments: str) -> bytes:
    command = [
        chromium, "--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", f"--user-data-dir={folder}",
        "--virtual-time-budget=20000", *arguments,
    ]  # fmt: skip
    return subprocess.run(command, check=True, capture_output=True, timeout=SECONDS).stdout


def probed(chromium: str, shown: Path, folder: Path, *, scheme: int = LIGHT, width: int = 1000) -> dict[str, Any]:
    """What axe finds on the page. Its content security policy would stop axe as it stops everything else."""
    text = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", shown.read_text())
    copy = folder / "probed.html"
    copy.write_text(text.replace("</body>", _PROBE.replace("%s", AXE.read_text())))
    dom = browse(
        chromium, folder / "profile", f"--blink-settings=preferredColorScheme={scheme}", f"--window-size={width},900",
        "--dump-dom", copy.as_uri(),
    ).decode()  # fmt: skip
    found = re.search(r'<pre id="probe">(.+?)</pre>', dom, re.DOTALL)
    assert found is not None, dom[-2000:]
    result: dict[str, Any] = json.loads(found[1].replace("&gt;", ">").replace("&amp;", "&"))
    return result


@pytest.mark.parametrize("scheme", [LIGHT, DARK], ids=["light", "dark"])
@pytest.mark.parametrize("name", ["california", "florida", "all"])
def test_axe_finds_no_violation_in_either_colour_scheme(
    chromium: str, pages: dict[str, Path], tmp_path: Path, name: str, scheme: int
) -> None:
    found = probed(chromium, pages[name], tmp_path, scheme=scheme)
    assert found["violations"] == []
    assert found["passes"] > 15
    assert (found["paper"] == "rgb(255, 255, 255)") is (scheme == LIGHT)


@pytest.mark.parametrize("name", ["california", "all"])
def test_the_page_is_as_wide_as_a_phone(chromium: str, pages: dict[str, Path], tmp_path: Path, name: str) -> None:
    found = probed(chromium, pages[name], tmp_path, width=400)
    assert found["seen"] <= 500
    assert found["wide"] <= found["seen"]
    assert found["violations"] == []


def test_the_page_prints_on_a4(chromium: str, pages: dict[str, Path], tmp_path: Path) -> None:
    paper = tmp_path / "report.pdf"
    browse(
        chromium,
        tmp_path / "profile",
        "--no-pdf-header-footer",
        f"--print-to-pdf={paper}",
        pages["california"].as_uri(),
    )
    content = paper.read_bytes()
    boxes = {tuple(map(float, one.split())) for one in re.findall(rb"/MediaBox \[([^\]]+)\]", content)}
    assert content.startswith(b"%PDF-")
    assert boxes
    for left, bottom, right, top in boxes:
        assert (round(right - left), round(top - bottom)) in ((595, 842), (596, 842), (595, 841))
    assert 4 <= len(re.findall(rb"/Type ?/Page\b", content)) <= 30
