"""Where everything lies. Nothing outside the repository's `.build` is written, but for HUMANGOV_CACHE."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
BUILD = REPOSITORY / ".build"
BIN = BUILD / "bin"
AWS_VENV = BUILD / "aws-venv"
GO_VENV = BUILD / "go-venv"
CONTROLPLANE_SOURCE = REPOSITORY / "sandbox" / "controlplane"
AWS_REQUIREMENTS = REPOSITORY / "requirements" / "aws.txt"
GO_REQUIREMENTS = REPOSITORY / "sandbox" / "requirements-go.txt"

ROOT_VARIABLE = "HUMANGOV_SANDBOX_DIR"
CACHE_VARIABLE = "HUMANGOV_CACHE"


def cache(environ: Mapping[str, str] = os.environ) -> Path:
    """What is worth keeping between clones: Go's modules and objects, and the built control plane."""
    chosen = environ.get(CACHE_VARIABLE)
    return Path(chosen).absolute() if chosen else BUILD / "cache"


@dataclass(frozen=True)
class Layout:
    """One sandbox's folder. Several can stand beside each other, each with a folder of its own."""

    root: Path

    @classmethod
    def of(cls, environ: Mapping[str, str] = os.environ) -> Layout:
        chosen = environ.get(ROOT_VARIABLE)
        return cls(root=Path(chosen).resolve() if chosen else BUILD / "sandbox")

    @property
    def state(self) -> Path:
        return self.root / "state.json"

    @property
    def lock(self) -> Path:
        return self.root / "lock"

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    @property
    def certificates(self) -> Path:
        return self.root / "certs"

    @property
    def configuration(self) -> Path:
        return self.root / "config"

    @property
    def etcd_data(self) -> Path:
        return self.root / "etcd"

    @property
    def node(self) -> Path:
        """All that a node writes: containers, images, volumes, sockets."""
        return self.root / "node"

    @property
    def kubeconfig(self) -> Path:
        return self.root / "kubeconfig"

    @property
    def kube_cache(self) -> Path:
        return self.root / "kube-cache"

    @property
    def audit_log(self) -> Path:
        return self.logs / "audit.log"

    @property
    def home(self) -> Path:
        """HOME of every part, so that none finds or leaves anything in the user's."""
        return self.root / "home"

    @property
    def temporary(self) -> Path:
        """TMPDIR of every part."""
        return self.root / "tmp"

    @property
    def aws_data(self) -> Path:
        return self.root / "aws"

    def log(self, part: str) -> Path:
        return self.logs / f"{part}.log"
