"""What the watch takes from kopf's inside, which no promise of kopf's covers, is there. Runs on nothing."""

from __future__ import annotations

import ast
import dataclasses
import importlib
import sys
from pathlib import Path
from typing import Any

import humangov
import kopf
import pytest
from humangov.manager import watch

WATCH = Path(humangov.__file__).parent / "manager" / "watch.py"


def private_imports() -> list[tuple[str, str]]:
    """(module, name) of all that manager/watch.py imports from modules of kopf that are not public."""
    found = [
        (node.module or "", alias.name)
        for node in ast.walk(ast.parse(WATCH.read_text()))
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    ]
    return [(module, name) for module, name in found if module.startswith("kopf._")]


def require(module: str, name: str) -> Any:
    """Fails with a sentence where this kopf has no such thing."""
    try:
        return getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError):
        pytest.fail(
            f"kopf {version()} has no {name} in {module}, by which manager/watch.py decides whether the watch is to "
            "restart. Find what this version raises there, and change watch.restarts_after; or stay with the "
            "version before (requirements/run.in)"
        )


def version() -> str:
    from importlib.metadata import version

    return version("kopf")


def test_kopf_has_the_private_names_that_the_watch_imports() -> None:
    taken = private_imports()
    assert {name for _, name in taken} == {"APIError", "WatchingError"}
    for module, name in taken:
        assert issubclass(require(module, name), Exception)
    assert require("kopf._cogs.clients.errors", "APIError")(status=410, headers={}).status == 410


@pytest.mark.parametrize("gone", ["module", "name"])
def test_kopf_without_a_private_name_fails_with_a_message(gone: str, monkeypatch: pytest.MonkeyPatch) -> None:
    module, name = private_imports()[-1]
    if gone == "module":
        monkeypatch.setitem(sys.modules, module, None)
    else:
        monkeypatch.delattr(f"{module}.{name}")
    with pytest.raises(pytest.fail.Exception, match=r"kopf 1\.\S+ has no WatchingError .* watch\.restarts_after"):
        require(module, name)


def test_kopf_has_every_setting_that_the_watch_sets() -> None:
    """They are attributes: one that a version no longer knows would be set, and nothing would come of it."""
    from humangov.manager import watch

    made = watch.settings()
    for group in dataclasses.fields(kopf.OperatorSettings):
        settings = getattr(made, group.name)
        unknown = set(vars(settings)) - {one.name for one in dataclasses.fields(settings)}
        assert not unknown, f"kopf {version()} has no settings.{group.name}.{'/'.join(sorted(unknown))}"


def test_kopf_copies_and_compares_nothing_of_what_it_hands_on() -> None:
    stored = watch.settings().persistence
    body = kopf.Body({"metadata": {"name": "one"}, "spec": {"table": {"name": "records"}}, "status": {}})
    essence = stored.diffbase_storage.build(body=body)
    assert essence == {}
    assert stored.diffbase_storage.fetch(body=body) is None
    assert stored.progress_storage.clear(essence=essence) is essence
    assert stored.progress_storage.fetch(key=kopf.HandlerId("hand_on"), body=body) is None
