"""The chart as helm renders it, and a namespace in which the API server is asked about it."""

from __future__ import annotations

import copy
import json
import os
import pickle
import subprocess
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from sandbox import helm
from sandbox.paths import REPOSITORY
from testing.documents import load_all
from testing.live.cluster import Cluster

CHART = REPOSITORY / "deploy" / "helm" / "humangov-operator"
RELEASE = "humangov-operator"
NAMESPACE = "humangov"

Document = dict[str, Any]
Values = Mapping[str, Any]


def run_helm(
    *arguments: str, values: Values | None = None, environ: Mapping[str, str] = os.environ
) -> subprocess.CompletedProcess[str]:
    """helm's answer, whatever it is; with `values`, these are its --values."""
    more = () if values is None else ("--values", "-")
    stdin = None if values is None else yaml.safe_dump(dict(values))
    return subprocess.run(
        [_helm(), *arguments, *more], env=helm.environment(environ), input=stdin, capture_output=True, text=True,
        check=False,
    )  # fmt: skip


@cache
def _helm() -> Path:
    """Which it is, is asked once: that asks Go."""
    return helm.locate(say=_say)


def render(
    values: Values | None = None, *, namespace: str = NAMESPACE, release: str = RELEASE, hooks: bool = True
) -> list[Document]:
    """Everything that an installation with these values makes; fails if they are refused."""
    flags = () if hooks else ("--no-hooks",)
    given = json.dumps(with_image(values or {}))
    found: list[Document] = pickle.loads(_rendered(given, release, *flags, "--namespace", namespace))  # noqa: S301
    return found


@cache
def _rendered(values: str, release: str, *flags: str) -> bytes:
    """Once for the same values: half of the tests ask for what another has asked for."""
    done = run_helm("template", release, str(CHART), *flags, values=json.loads(values))
    assert done.returncode == 0, done.stderr
    return pickle.dumps(load_all(done.stdout))


def with_image(values: Values) -> Values:
    """These values with image.repository, which is required, unless they set it themselves."""
    image = values.get("image") or {}
    return {**values, "image": {"repository": RELEASE, **image}}


def refused(values: Values) -> str:
    """What helm says of values that it does not take; fails if it takes them."""
    done = run_helm("template", RELEASE, str(CHART), values=with_image(values))
    assert done.returncode != 0, f"not refused: {values}"
    return done.stderr


def of_kind(kind: str, documents: Iterable[Document], *, component: str | None = None) -> list[Document]:
    """The operator's own; component `sweep`: those of the sweeps' pods."""
    return [one for one in documents if one["kind"] == kind and component_of(one) == component]


def component_of(document: Document) -> str | None:
    found = document["metadata"].get("labels", {}).get("app.kubernetes.io/component")
    return None if found is None else str(found)


def one(kind: str, documents: Iterable[Document], *, component: str | None = None) -> Document:
    [document] = of_kind(kind, documents, component=component)
    return document


def sweep_template(documents: Iterable[Document]) -> Document:
    """The pod template of sweeps."""
    return dict(one("CronJob", documents, component="sweep")["spec"]["jobTemplate"]["spec"]["template"])


def pod(documents: Iterable[Document]) -> Document:
    """The operator's pod."""
    return dict(one("Deployment", documents)["spec"]["template"]["spec"])


def container(documents: Iterable[Document]) -> Document:
    [only] = pod(documents)["containers"]
    return dict(only)


def environment(documents: Iterable[Document]) -> dict[str, Any]:
    """The operator's variables; None for one that has its value from elsewhere."""
    return {variable["name"]: variable.get("value") for variable in container(documents)["env"]}


def bare_pod(template: Document, *, namespace: str) -> Document:
    """A pod of its own from a template: pod security refuses pods, and of a Deployment it only warns."""
    spec = copy.deepcopy(template["spec"])
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {**template["metadata"], "name": "probe", "namespace": namespace},
        "spec": {**spec, "serviceAccountName": "default"},
    }


@dataclass(frozen=True)
class Asked:
    """A namespace in which dry runs find what would be there."""

    cluster: Cluster
    namespace: str

    def dry_run(self, *documents: Document) -> list[Document]:
        """What the API server would store; nothing unknown is let through, and no warning either."""
        done = self.cluster.kubectl(
            "apply", "--server-side", "--force-conflicts", "--dry-run=server", "--validate=strict", "-o", "json",
            "-f", "-", stdin=yaml.safe_dump_all(documents),
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        # Of what is cluster-wide, another test's may be going at this moment.
        reported = [line for line in done.stderr.splitlines() if "which is currently being deleted" not in line]
        assert reported == []
        answer = json.loads(done.stdout)
        return list(answer["items"]) if answer["kind"] == "List" else [answer]


def _say(line: str) -> None:
    print(line, file=sys.stderr)
