"""Manifests from a file or from standard input."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click
import yaml


def read_manifests(filename: Path) -> list[Any]:
    """Every document of a YAML file; `-` is standard input. Raises ClickException."""
    try:
        return list(yaml.safe_load_all(sys.stdin if str(filename) == "-" else filename.read_text()))
    except (OSError, yaml.YAMLError, UnicodeDecodeError) as error:
        raise click.ClickException(f"{filename}: {error}") from error
