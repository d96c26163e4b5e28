"""The zip: the same bytes everywhere, and nothing in it but what Lambda runs."""

from __future__ import annotations

import ast
import base64
import hashlib
import io
import os
import shutil
import subprocess
import sys
import tokenize
import zipfile
import zlib
from pathlib import Path

import pytest
from humangov import bundle as module
from humangov.bundle import HANDLER, bundle, code_of, deflated
from hypothesis import example, given, settings
from hypothesis import strategies as st

SOURCE = Path(module.__file__).with_name("cleanup")
SHA_OF_SOURCE = "import runpy, sys; print(runpy.run_path(sys.argv[1])['bundle']().code_sha256)"


def test_bundle_hash_is_the_code_sha256_that_lambda_reports() -> None:
    packed = bundle()

    assert packed.code_sha256 == base64.b64encode(hashlib.sha256(packed.zip).digest()).decode()


def test_zip_holds_only_the_cleanup_source() -> None:
    with zipfile.ZipFile(io.BytesIO(bundle().zip)) as archive:
        assert archive.testzip() is None
        packed = {info.filename: archive.read(info) for info in archive.infolist()}

    assert packed == {f"cleanup/{path.name}": code_of(path.read_text()).encode() for path in SOURCE.glob("*.py")}


@pytest.mark.parametrize("path", sorted(SOURCE.glob("*.py")), ids=lambda path: path.name)
def test_zip_code_equals_the_source_without_comments_and_docstrings(path: Path) -> None:
    source = path.read_text()
    code = code_of(source)
    assert statements(code) == statements(source)
    tokens = tokenize.generate_tokens(io.StringIO(code).readline)
    assert not [token for token in tokens if token.type == tokenize.COMMENT]
    assert not [node for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Expr) and prose(node)]


def test_comment_stripping_keeps_strings_and_docstring_only_classes() -> None:
    source = 'class Éclair(Exception):\n    """é"""; x = "# é"  # é\n\n\n"""a\nb"""; y = 1\n'
    assert code_of(source) == 'class Éclair(Exception):\n    ""; x = "# é"\n\n\n""; y = 1\n'


def statements(code: str) -> list[tuple[str, int]]:
    """Every node but docstrings, with its line; an empty class body is none."""
    tree = ast.parse(code)
    return [
        (ast.dump(node), node.lineno)
        for node in ast.walk(tree)
        if isinstance(node, ast.stmt) and not isinstance(node, ast.Expr | ast.ClassDef | ast.FunctionDef)
    ]


def prose(node: ast.Expr) -> bool:
    return isinstance(node.value, ast.Constant) and isinstance(node.value.value, str) and bool(node.value.value)


@settings(deadline=None)
@given(st.binary(max_size=600) | st.text(st.sampled_from("ab \n"), max_size=2000).map(str.encode))
@example(b"x" * 100_000)
@example(bytes(range(256)) * 150 + b"begin" + bytes(40_000) + b"begin")
def test_zlib_inflates_the_deflated_bundle(data: bytes) -> None:
    assert zlib.decompress(deflated(data), -15) == data


def test_deflated_source_takes_less_than_half_of_its_room() -> None:
    source = Path(module.__file__).read_bytes()

    assert len(deflated(source)) < len(source) / 2


def test_zip_is_at_most_64_kib() -> None:
    assert len(bundle().zip) <= 64 * 1024


def test_handler_is_in_the_zip() -> None:
    name, function = HANDLER.rsplit(".", 1)

    with zipfile.ZipFile(io.BytesIO(bundle().zip)) as archive:
        assert f"def {function}(" in archive.read(name.replace(".", "/") + ".py").decode()


def test_lambda_may_read_every_file_and_each_is_deflated() -> None:
    with zipfile.ZipFile(io.BytesIO(bundle().zip)) as archive:
        for info in archive.infolist():
            assert (info.external_attr >> 16, info.create_system) == (0o100644, 3)
            assert (info.compress_type, info.date_time) == (zipfile.ZIP_DEFLATED, (1980, 1, 1, 0, 0, 0))


def test_zip_does_not_depend_on_dates_modes_order_line_ends_or_other_files(tmp_path: Path) -> None:
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


def test_changed_source_file_changes_the_bundle_hash(tmp_path: Path) -> None:
    copy = tmp_path / "cleanup"
    shutil.copytree(SOURCE, copy)
    (copy / "erase.py").write_text((copy / "erase.py").read_text() + "\nchanged = True\n")

    assert bundle(copy).code_sha256 != bundle().code_sha256


def test_changed_comment_does_not_change_the_bundle(tmp_path: Path) -> None:
    copy = tmp_path / "cleanup"
    shutil.copytree(SOURCE, copy)
    (copy / "erase.py").write_text((copy / "erase.py").read_text() + "\n# changed\n")

    assert bundle(copy) == bundle()


def sha_under(python: str, **environment: str) -> str:
    """The hash as another process computes it, under another umask."""
    command = [python, "-c", SHA_OF_SOURCE, module.__file__]
    done = subprocess.run(
        command, env=os.environ | environment, umask=0o077, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def test_zip_does_not_depend_on_time_zone_locale_or_hash_seed() -> None:
    assert sha_under(sys.executable, TZ="Asia/Kolkata", LC_ALL="C", PYTHONHASHSEED="7") == bundle().code_sha256


@pytest.mark.parametrize("version", ["3.11", "3.12", "3.13"])
def test_every_python_version_builds_the_same_zip(version: str) -> None:
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
        reported = subprocess.run([candidate, "--version"], capture_output=True, text=True, check=False)
        if reported.returncode == 0 and reported.stdout.startswith(f"Python {version}."):
            return candidate
    return None
