"""The zip: the same bytes everywhere, and nothing in it but what Lambda runs."""

from __future__ import annotations

import base64
import hashlib
import io
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from humangov import bundle as module
from humangov.bundle import HANDLER, bundle

SOURCE = Path(module.__file__).with_name("cleanup")
SHA_OF_SOURCE = "import runpy, sys; print(runpy.run_path(sys.argv[1])['bundle']().code_sha256)"


def test_the_hash_is_the_one_that_lambda_reports() -> None:
    packed = bundle()

    assert packed.code_sha256 == base64.b64encode(hashlib.sha256(packed.zip).digest()).decode()


def test_the_zip_holds_the_source_and_nothing_else() -> None:
    with zipfile.ZipFile(io.BytesIO(bundle().zip)) as archive:
        assert archive.testzip() is None
        packed = {info.filename: archive.read(info) for info in archive.infolist()}

    assert packed == {f"cleanup/{path.name}": path.read_bytes() for path in SOURCE.glob("*.py")}


def test_the_zip_is_at_most_72_kib() -> None:
    assert len(bundle().zip) <= 72 * 1024


def test_the_handler_is_in_the_zip() -> None:
    name, function = HANDLER.rsplit(".", 1)

    with zipfile.ZipFile(io.BytesIO(bundle().zip)) as archive:
        assert f"def {function}(" in archive.read(name.replace(".", "/") + ".py").decode()


def test_lambda_may_read_every_file_and_none_is_compressed() -> None:
    with zipfile.ZipFile(io.BytesIO(bundle().zip)) as archive:
        for info in archive.infolist():
            assert (info.external_attr >> 16, info.create_system) == (0o100644, 3)
            assert (info.compress_type, info.date_time) == (zipfile.ZIP_STORED, (1980, 1, 1, 0, 0, 0))


def test_dates_modes_order_line_ends_and_leftovers_do_not_change_it(tmp_path: Path) -> None:
    copy = tmp_path / "cleanup"
    copy.mkdir()
    for path in sorted(SOURCE.glob("*.py"), reverse=True):
        (copy / path.name).write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
        (copy / path.name).chmod(0o600)
        os.utime(copy / path.name, (1, 1))
    (copy / "__pycache__").mkdir()
    (copy / "__pycache__" / "handler.cpython-311.pyc").write_bytes(b"compiled")
    (copy / "notes.txt").write_text("not code")

    assert bundle(copy) == bundle()


def test_a_changed_file_changes_the_hash(tmp_path: Path) -> None:
    copy = tmp_path / "cleanup"
    shutil.copytree(SOURCE, copy)
    (copy / "erase.py").write_text((copy / "erase.py").read_text() + "\n# changed\n")

    assert bundle(copy).code_sha256 != bundle().code_sha256


def sha_under(python: str, **environment: str) -> str:
    """The hash as another process computes it, under another umask."""
    command = [python, "-c", SHA_OF_SOURCE, module.__file__]
    done = subprocess.run(
        command, env=os.environ | environment, umask=0o077, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def test_time_zone_locale_and_umask_do_not_change_it() -> None:
    assert sha_under(sys.executable, TZ="Asia/Kolkata", LC_ALL="C", PYTHONHASHSEED="7") == bundle().code_sha256


@pytest.mark.parametrize("version", ["3.11", "3.12", "3.13"])
def test_every_python_makes_the_same_zip(version: str) -> None:
    python = interpreter(version)
    if python is None:
        pytest.skip(f"no Python {version} on this machine")

    assert sha_under(python) == bundle().code_sha256


def interpreter(version: str) -> str | None:
    """A Python of this version that works: on the path, beside this one, or known to uv."""
    beside = Path(sys.base_prefix).parent.glob(f"*{version}*/bin/python{version}")
    candidates = [sys.executable, shutil.which(f"python{version}"), *map(str, beside)]
    if uv := shutil.which("uv"):
        found = subprocess.run(
            [uv, "python", "find", "--no-project", version], capture_output=True, text=True, check=False
        )
        candidates.append(found.stdout.strip())
    for candidate in filter(None, candidates):
        told = subprocess.run([candidate, "--version"], capture_output=True, text=True, check=False)
        if told.returncode == 0 and told.stdout.startswith(f"Python {version}."):
            return candidate
    return None
