"""A namespace in which the admission policies are asked: an operator's accounts, the sweeps' template, and people.

It can't show the webhooks of EKS: what they add to a pod is written by the tests as they write it.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import yaml
from kubernetes import client

from sandbox.local_operator import SERVICE_ACCOUNT
from sandbox.paths import REPOSITORY
from testing.documents import load_all
from testing.live.cluster import Cluster
from testing.live.waiting import wait_for

UID = "0d9f1c1e-6f0f-4d6c-9a4c-4f5e0a0f7a11"
ARGS = ["sweep", "florida/florida", "--uid", UID, "--report-status"]
ATTACKER, ALICE, BOB = "attacker", "alice", "bob"
REFUSED = "denied request"
Document = dict[str, Any]


@dataclass(frozen=True)
class Answer:
    """refused: what the API server says; empty if it takes it. warnings: of policies that only warn."""

    refused: str
    warnings: str


@dataclass(frozen=True)
class Place:
    """A namespace with an operator, the sweeps' template as its CronJob, and people with the role `edit`."""

    cluster: Cluster
    namespace: str
    template: Document

    def api(self, user: str) -> Any:
        """The client as this user."""
        api: Any = client.ApiClient(self.cluster.api.api_client.configuration)
        api.set_default_header("Impersonate-User", user)
        if user.startswith("system:serviceaccount:"):
            api.set_default_header("Impersonate-Group", "system:serviceaccounts")
        return api

    def ask(self, document: Mapping[str, Any], *, user: str = ATTACKER) -> str:
        """What the API server says of a dry run; empty if it takes it. user: empty for the administrator."""
        return self.answer(document, user=user).refused

    def answer(self, document: Mapping[str, Any], *, user: str = ATTACKER) -> Answer:
        group, plural = document["apiVersion"], f"{document['kind'].lower()}s"
        path = f"/{'api' if group == 'v1' else 'apis'}/{group}/namespaces/{self.namespace}/{plural}"
        api = self.api(user) if user else self.cluster.api.api_client
        asked = api.param_serialize(
            "POST", path, query_params=[("dryRun", "All")], body=dict(document),
            header_params={"Content-Type": "application/json"},
        )  # fmt: skip
        answer = api.call_api(*asked)
        text = answer.read().decode()
        return Answer(text if answer.status >= 400 else "", str(answer.getheader("Warning") or ""))

    @property
    def sweeper(self) -> str:
        """The name of the sweep's service account."""
        return str(self._template_spec()["serviceAccountName"])

    @property
    def operator(self) -> str:
        return f"system:serviceaccount:{self.namespace}:{SERVICE_ACCOUNT}"

    def pod_spec(self, *arguments: str) -> Document:
        spec = copy.deepcopy(self._template_spec())
        spec["containers"][0]["args"] = list(arguments or ARGS)
        return dict(spec)

    def _template_spec(self) -> Document:
        return dict(self.template["spec"]["jobTemplate"]["spec"]["template"]["spec"])


def install_documents() -> list[Document]:
    return load_all((REPOSITORY / "deploy" / "install.yaml").read_text())


def template_in(documents: Iterable[Document]) -> Document:
    """The sweeps' template of an installation."""
    [found] = [one for one in documents if one["kind"] == "CronJob"]
    return copy.deepcopy(found)


def policies_in(documents: Iterable[Document]) -> list[Document]:
    return [one for one in documents if one["kind"].startswith("ValidatingAdmissionPolicy")]


def prepared(cluster: Cluster, namespace: str, template: Document) -> Place:
    """Puts the template, the accounts and people there; returns once the policies compare with this template."""
    template["metadata"]["namespace"] = namespace
    place = Place(cluster, namespace, template)
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": place.sweeper}}
    # What an administrator may grant beside `edit`.
    role = {
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": "people"},
        "rules": [
            {"apiGroups": ["humangov.io"], "resources": ["humangovstates"], "verbs": ["*"]},
            {"apiGroups": ["batch"], "resources": ["cronjobs/status"], "verbs": ["patch"]},
        ],
    }  # fmt: skip
    people = [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": one} for one in (ATTACKER, ALICE, BOB)]
    bindings = [
        {
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": {"name": name},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": name}, "subjects": people,
        }
        for kind, name in (("ClusterRole", "edit"), ("Role", "people"))
    ]  # fmt: skip
    documents = yaml.safe_dump_all([account, role, *bindings, template])
    cluster.output("apply", "--server-side", "-n", namespace, "-f", "-", stdin=documents)
    # Pod security would refuse some attacks before the policies do.
    cluster.output("label", "namespace", namespace, "pod-security.kubernetes.io/enforce=privileged", "--overwrite")
    wait_for(lambda: REFUSED in place.ask(job(place.pod_spec("sweep", "--help"))), what="the policies see the template")
    return place


def pod(spec: Mapping[str, Any]) -> Document:
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x"}, "spec": spec}


def job(spec: Mapping[str, Any]) -> Document:
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "x"}, "spec": {"template": {"spec": spec}}}


def cron_job(spec: Mapping[str, Any]) -> Document:
    of_jobs = {"schedule": "0 0 1 1 *", "jobTemplate": {"spec": {"template": {"spec": spec}}}}
    return {"apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": "x"}, "spec": of_jobs}


def other_image(spec: Document) -> Document:
    """The same pod with a program of the attacker's."""
    changed = copy.deepcopy(spec)
    changed["containers"][0].update(image="attacker.example.com/x", command=["sh"])
    return changed
