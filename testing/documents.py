"""YAML by the loader that libyaml has: rendered manifests are parsed some two hundred times a run, and the loader in
Python takes as long for one as helm takes to render it."""

from __future__ import annotations

from typing import Any

import yaml


def load_all(text: str) -> list[Any]:
    """Every document that holds something. Raises yaml.YAMLError."""
    return [document for document in yaml.load_all(text, yaml.CSafeLoader) if document is not None]


def load_one(text: str) -> Any:
    """The one document. Raises yaml.YAMLError."""
    return yaml.load(text, yaml.CSafeLoader)
