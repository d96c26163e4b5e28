"""Draws docs/images/report.png, which README shows: the first page of California's report, as `make demo` left it.

    python -m sandbox.picture

Needs Debian's chromium. Exit code 1 if it is not there, or if there is no report.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from sandbox.paths import BUILD, REPOSITORY

IMAGE = REPOSITORY / "docs" / "images" / "report.png"
REPORTS = BUILD / "demo-report"
"""As sandbox/demo/reporting.py leaves them."""

MOST_BYTES = 300 * 1024
_WIDTH, _HEIGHT = 900, 1150
_SECONDS = 60


def main() -> int:
    chromium = shutil.which("chromium")
    if chromium is None:
        return _failed("chromium is needed: apt-get install chromium")
    pages = sorted(REPORTS.glob("*california*.html"))
    if not pages:
        return _failed(f"there is no report of California in {REPORTS}: run make demo")
    with tempfile.TemporaryDirectory(prefix="humangov-picture-") as folder:
        drawn = Path(folder) / "report.png"
        subprocess.run(
            [
                chromium, "--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--hide-scrollbars",
                f"--user-data-dir={folder}/profile", f"--window-size={_WIDTH},{_HEIGHT}", f"--screenshot={drawn}",
                pages[0].as_uri(),
            ],
            check=True, capture_output=True, timeout=_SECONDS,
        )  # fmt: skip
        if drawn.stat().st_size > MOST_BYTES:
            return _failed(f"the picture has {drawn.stat().st_size:,} bytes, more than {MOST_BYTES:,}")
        IMAGE.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(drawn, IMAGE)
    sys.stdout.write(f"wrote {IMAGE.relative_to(REPOSITORY)}\n")
    return 0


def _failed(message: str) -> int:
    sys.stderr.write(f"{message}\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())
