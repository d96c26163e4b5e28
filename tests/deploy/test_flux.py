"""What Flux is given. It can't show Flux itself: what its engine does to a HumanGovState is in tests/cluster."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from sandbox.paths import REPOSITORY
from testing.documents import load_all
from tests.deploy.chart import Asked, container, one, render

FLUX = REPOSITORY / "deploy" / "flux"


def loaded(name: str) -> dict[str, dict[str, Any]]:
    """By kind."""
    return {document["kind"]: document for document in load_all((FLUX / name).read_text())}


@pytest.mark.parametrize(
    ("name", "kind", "api"),
    [("operator.yaml", "HelmRelease", "helm.toolkit.fluxcd.io/v2"),
     ("states.yaml", "Kustomization", "kustomize.toolkit.fluxcd.io/v1")],
)  # fmt: skip
def test_flux_manifest_names_its_own_source(name: str, kind: str, api: str) -> None:
    documents = loaded(name)
    assert documents[kind]["apiVersion"] == api
    repository = documents["GitRepository"]
    assert repository["apiVersion"] == "source.toolkit.fluxcd.io/v1"
    spec = documents[kind]["spec"]
    source = spec["sourceRef"] if kind == "Kustomization" else spec["chart"]["spec"]["sourceRef"]
    assert source == {"kind": "GitRepository", "name": repository["metadata"]["name"]}
    assert len({document["metadata"]["namespace"] for document in documents.values()}) == 1


def test_flux_helm_release_installs_the_chart_as_it_stands(restricted: Asked) -> None:
    spec = loaded("operator.yaml")["HelmRelease"]["spec"]
    assert (REPOSITORY / spec["chart"]["spec"]["chart"] / "Chart.yaml").is_file()
    assert spec["targetNamespace"] == spec["storageNamespace"] == "humangov"
    documents = render(spec["values"], release=spec["releaseName"], namespace=restricted.namespace, hooks=False)
    assert len(restricted.dry_run(*documents)) == len(documents)
    assert container(documents)["image"].startswith(spec["values"]["image"]["repository"])
    for component, role in ((None, "humangov-operator"), ("sweep", "humangov-sweep")):
        account = one("ServiceAccount", documents, component=component)
        arn = f"arn:aws:iam::123456789012:role/{role}"
        assert account["metadata"]["annotations"] == {"eks.amazonaws.com/role-arn": arn}


def test_flux_values_are_those_of_argo_cd_and_of_the_install_guide() -> None:
    values = loaded("operator.yaml")["HelmRelease"]["spec"]["values"]
    argocd = yaml.safe_load((REPOSITORY / "deploy/argocd/application-helm.yaml").read_text())
    assert values == argocd["spec"]["source"]["helm"]["valuesObject"]
    assert set(values["allowedNames"]) == {loaded("states.yaml")["Kustomization"]["spec"]["targetNamespace"]}


def test_flux_waits_for_the_states_and_prunes_what_is_no_longer_in_git() -> None:
    spec = loaded("states.yaml")["Kustomization"]["spec"]
    assert (spec["wait"], spec["prune"]) == (True, True)
    assert "force" not in spec  # which would delete and re-create what can't be changed
