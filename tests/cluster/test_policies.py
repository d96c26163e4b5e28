"""The admission policies of deploy/install.yaml at the real API server: attacks are refused, what works passes.

The attackers hold the role `edit` in the operator's namespace, or are the operator or the sweep. It can't show the
webhooks of EKS: what they add to a pod is written here as they write it.
https://docs.aws.amazon.com/eks/latest/userguide/pod-id-how-it-works.html
https://github.com/aws/amazon-eks-pod-identity-webhook
"""

from __future__ import annotations

import contextlib
import copy
import secrets
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pytest
import yaml
from kubernetes import client
from kubernetes.client.exceptions import ApiException

from sandbox import local_operator
from sandbox.local_operator import SERVICE_ACCOUNT
from testing.live.cluster import Cluster
from testing.live.policies import (
    ALICE,
    ARGS,
    ATTACKER,
    BOB,
    REFUSED,
    UID,
    Document,
    Place,
    cron_job,
    install_documents,
    job,
    pod,
    prepared,
    template_in,
)
from testing.live.states import States
from testing.live.sweep_pods import ACCOUNT as SWEEPER
from testing.live.waiting import wait_for
from tests.conftest import installed

ROLE = "arn:aws:iam::123456789012:role/humangov-sweep"


@pytest.fixture(scope="module")
def place(cluster: Cluster) -> Iterator[Place]:
    with installed(cluster, prefix="policies") as namespace:
        template = template_in(install_documents())
        template["metadata"]["annotations"] = {"eks.amazonaws.com/role-arn": ROLE}
        yield prepared(cluster, namespace, template)


# Whatever runs under the sweep's account is the sweep.


def workload(kind: str) -> Callable[[Mapping[str, Any]], Document]:
    def made(spec: Mapping[str, Any]) -> Document:
        labels = {"app": "x"}
        template = {"metadata": {"labels": labels}, "spec": {**spec, "restartPolicy": "Always"}}
        whole: Document = {"selector": {"matchLabels": labels}, "template": template}
        whole |= {"serviceName": "x"} if kind == "StatefulSet" else {}
        return {"apiVersion": "apps/v1", "kind": kind, "metadata": {"name": "x"}, "spec": whole}

    return made


def replication_controller(spec: Mapping[str, Any]) -> Document:
    template = {"metadata": {"labels": {"app": "x"}}, "spec": {**spec, "restartPolicy": "Always"}}
    return {
        "apiVersion": "v1",
        "kind": "ReplicationController",
        "metadata": {"name": "x"},
        "spec": {"template": template},
    }


KINDS = {
    "Pod": pod, "Job": job, "CronJob": cron_job, "ReplicationController": replication_controller,
    **{kind: workload(kind) for kind in ("ReplicaSet", "Deployment", "StatefulSet", "DaemonSet")},
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_no_other_program_runs_under_the_sweeps_account(place: Place, kind: str) -> None:
    spec = place.pod_spec()
    spec["containers"][0].update(image="attacker.example.com/x", command=["sh"])
    assert "Only a sweep runs under this service account" in place.ask(KINDS[kind](spec))
    assert place.ask(KINDS[kind]({**spec, "serviceAccountName": "default"})) == ""


@pytest.mark.parametrize("kind", ["Job", "CronJob"])
def test_operators_account_starts_sweeps_and_nothing_else_under_the_sweeps_account(place: Place, kind: str) -> None:
    assert place.ask(KINDS[kind](place.pod_spec()), user=place.operator) == ""
    assert place.ask(KINDS[kind](place.pod_spec("final-read", *ARGS[1:])), user=place.operator) == ""
    spec = place.pod_spec()
    spec["containers"][0]["env"].append({"name": "AWS_ENDPOINT_URL", "value": "https://attacker.example.com"})
    assert REFUSED in place.ask(KINDS[kind](spec), user=place.operator)


def changed(path: str, value: Any) -> Callable[[Document], None]:
    """Sets a field of a pod spec; a number is a place in a list, `+` its end."""

    def change(spec: Document) -> None:
        *above, last = [int(part) if part.isdigit() else part for part in path.split(".")]
        inner: Any = spec
        for part in above:
            inner = inner[part]
        if last == "+":
            inner.append(value)
        else:
            inner[last] = value

    return change


def environment(name: str, **more: Any) -> Callable[[Document], None]:
    return changed("containers.0.env.+", {"name": name, **more})


POD_ATTACKS: Mapping[str, Callable[[Document], None]] = {
    "another image": changed("containers.0.image", "attacker.example.com/x"),
    "a command": changed("containers.0.command", ["python", "-c", "…"]),
    "another user": changed("securityContext", {"runAsUser": 1000}),
    "the node's network": changed("hostNetwork", True),
    "the node's processes": changed("hostPID", True),
    "a second container": changed("containers.+", {"name": "second", "image": "attacker.example.com/x"}),
    "an init container": changed("initContainers", [{"name": "first", "image": "attacker.example.com/x"}]),
    "a hook": changed("containers.0.lifecycle", {"postStart": {"exec": {"command": ["sh"]}}}),
    "other names for hosts": changed("hostAliases", [{"ip": "192.0.2.1", "hostnames": ["s3.us-east-1.amazonaws.com"]}]),
    "another resolver": changed("dnsConfig", {"nameservers": ["192.0.2.1"]}),
    "an endpoint": environment("AWS_ENDPOINT_URL", value="https://attacker.example.com"),
    "an endpoint of tables": environment("AWS_ENDPOINT_URL_DYNAMODB", value="https://attacker.example.com"),
    "an agent of the attacker": environment("AWS_CONTAINER_CREDENTIALS_FULL_URI", value="https://attacker.example.com"),
    "a region twice": environment("AWS_REGION", value="eu-west-1"),
    "a path of programs": environment("PYTHONPATH", value="/tmp"),
    "a region from a secret": environment("AWS_DEFAULT_REGION", valueFrom={"secretKeyRef": {"name": "s", "key": "k"}}),
    "a volume": changed("volumes.+", {"name": "aws-iam-token", "configMap": {"name": "mine"}}),
    "a secret": changed("volumes.+", {"name": "secret", "secret": {"secretName": "s"}}),
    "less of the template": lambda spec: spec["containers"][0]["env"].pop(),
    "no arguments": changed("containers.0.args", []),
    "other arguments": changed("containers.0.args", ["sweep", "florida/florida", "--uid", UID, "--force"]),
    "another command of the program": changed("containers.0.args", ["run", *ARGS[1:]]),
}


@pytest.mark.parametrize("attack", POD_ATTACKS)
def test_pod_under_the_sweeps_account_differs_in_nothing_from_the_template(place: Place, attack: str) -> None:
    spec = place.pod_spec()
    assert place.ask(pod(spec)) == ""
    POD_ATTACKS[attack](spec)
    assert REFUSED in place.ask(pod(spec))
    assert REFUSED in place.ask(job(spec))


def projected(name: str, audience: str) -> Document:
    token = {"serviceAccountToken": {"audience": audience, "expirationSeconds": 86400, "path": "token"}}
    return {"name": name, "projected": {"sources": [token]}}


IRSA = {
    "volume": projected("aws-iam-token", "sts.amazonaws.com"),
    "mount": "/var/run/secrets/eks.amazonaws.com/serviceaccount",
    "env": {
        "AWS_STS_REGIONAL_ENDPOINTS": "regional", "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ROLE_ARN": ROLE,
        "AWS_WEB_IDENTITY_TOKEN_FILE": "/var/run/secrets/eks.amazonaws.com/serviceaccount/token",
    },
}  # fmt: skip
POD_IDENTITY = {
    "volume": projected("eks-pod-identity-token", "pods.eks.amazonaws.com"),
    "mount": "/var/run/secrets/pods.eks.amazonaws.com/serviceaccount",
    "env": {
        "AWS_STS_REGIONAL_ENDPOINTS": "regional", "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://169.254.170.23/v1/credentials",
        "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE":
            "/var/run/secrets/pods.eks.amazonaws.com/serviceaccount/eks-pod-identity-token",
    },
}  # fmt: skip


def injected(spec: Document, webhook: Mapping[str, Any]) -> Document:
    """As the webhook leaves it, and a limit range, the defaults of priority, and taints after it."""
    spec = copy.deepcopy(spec)
    container = spec["containers"][0]
    spec["volumes"].insert(0, webhook["volume"])
    container["volumeMounts"].append(
        {"name": webhook["volume"]["name"], "mountPath": webhook["mount"], "readOnly": True}
    )
    container["env"] += [{"name": name, "value": value} for name, value in webhook["env"].items()]
    container["resources"]["limits"]["cpu"] = "1"
    spec["tolerations"] = [{"key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute"}]
    spec["imagePullSecrets"] = [{"name": "registry"}]
    spec["nodeName"] = "node-1"
    return spec


@pytest.mark.parametrize("webhook", [IRSA, POD_IDENTITY], ids=["irsa", "pod-identity"])
def test_pod_of_a_sweep_is_admitted_with_the_fields_that_eks_and_the_api_server_add(
    place: Place, webhook: Mapping[str, Any]
) -> None:
    spec = injected(place.pod_spec(), webhook)
    assert place.ask(pod(spec)) == ""
    spec["containers"][0]["volumeMounts"][-1]["mountPath"] = "/app"
    assert REFUSED in place.ask(pod(spec))
    # Only pods are changed so, not what makes them.
    assert REFUSED in place.ask(job(injected(place.pod_spec(), webhook)))


def test_pod_of_a_sweep_has_the_role_of_the_template_and_no_other(place: Place) -> None:
    spec = injected(place.pod_spec(), {**IRSA, "env": {"AWS_ROLE_ARN": "arn:aws:iam::999999999999:role/mine"}})
    assert REFUSED in place.ask(pod(spec))


def test_mounts_of_tokens_show_no_other_part_of_them(place: Place) -> None:
    spec = injected(place.pod_spec(), IRSA)
    spec["containers"][0]["volumeMounts"][-1]["subPath"] = "token"
    assert REFUSED in place.ask(pod(spec))


def test_without_a_template_nothing_but_the_operator_runs_in_the_namespace_of_the_release(cluster: Cluster) -> None:
    """The binding of deploy/install.yaml, for a namespace that has an installation and lost its template."""
    [binding] = [one for one in local_operator.policies() if "matchResources" in one["spec"]]
    with cluster.fresh_namespace("lost") as namespace:
        place = Place(cluster, namespace, template_in(install_documents()))
        account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": SWEEPER}}
        cluster.output("create", "-n", namespace, "-f", "-", stdin=yaml.safe_dump(account))
        wait_for(lambda: place.ask(pod(place.pod_spec()), user="") == "", what="the account can be used")
        running = pod(place.pod_spec())
        running["metadata"] |= {"finalizers": ["example.com/job-tracking"]}
        api: Any = client.CoreV1Api(cluster.api.api_client)
        api.create_namespaced_pod(namespace, running)
        labels = binding["spec"]["matchResources"]["namespaceSelector"]["matchLabels"]
        assert labels == {"kubernetes.io/metadata.name": "humangov"}
        labels["kubernetes.io/metadata.name"] = binding["metadata"]["name"] = namespace
        cluster.output("create", "-f", "-", stdin=yaml.safe_dump(binding))
        another = pod(place.pod_spec())
        another["metadata"]["name"] = "another"
        try:
            wait_for(lambda: "no params found" in place.ask(another, user=""), what="it is refused")
            # The operator's own pods start: a template that is there may not be seen, and they are not the sweep.
            own = copy.deepcopy(another)
            own["metadata"]["labels"] = {"app.kubernetes.io/name": "humangov-operator"}
            assert "must not run under the sweep's service account" in place.ask(own, user="")
            own["spec"] |= {"serviceAccountName": "default", "serviceAccount": "default"}
            assert "no params found" not in place.ask(own, user="")
            # The template can come back; and what is there can be deleted.
            template = copy.deepcopy(place.template)
            template["metadata"]["namespace"] = namespace
            assert place.ask(template, user="") == ""
            api.patch_namespaced_pod("x", namespace, {"metadata": {"finalizers": None}})
        finally:
            cluster.output("delete", "validatingadmissionpolicybinding", namespace)


def test_running_pod_of_a_sweep_gets_no_other_image_and_no_ephemeral_container(place: Place) -> None:
    api: Any = client.CoreV1Api(place.api(ATTACKER))
    made = pod(place.pod_spec())
    made["metadata"]["name"] = name = f"sweep-{secrets.token_hex(3)}"
    api.create_namespaced_pod(place.namespace, made)
    image: Document = {"spec": {"containers": [{"name": "sweep", "image": "attacker.example.com/x"}]}}
    with pytest.raises(ApiException, match=REFUSED):
        api.patch_namespaced_pod(name, place.namespace, image)
    debug: Document = {"spec": {"ephemeralContainers": [{"name": "debug", "image": "attacker.example.com/x"}]}}
    admin: Any = client.CoreV1Api(place.cluster.api.api_client)
    with pytest.raises(ApiException, match=REFUSED):
        admin.patch_namespaced_pod_ephemeralcontainers(name, place.namespace, debug)
    api.patch_namespaced_pod(
        name, place.namespace, {"metadata": {"labels": {"a": "b"}}}
    )  # and what is no program passes


# Nobody but the installer changes the template, enters the pods, or asks for the token.


def test_only_the_installer_may_change_delete_or_add_a_sweep_template(place: Place) -> None:
    api = client.BatchV1Api(place.api(ATTACKER))
    name = place.template["metadata"]["name"]
    with pytest.raises(ApiException, match="sweeps' template"):
        api.patch_namespaced_cron_job(
            name, place.namespace, {"metadata": {"labels": {"humangov.io/sweep-template": None}}}
        )
    with pytest.raises(ApiException, match="sweeps' template"):
        api.delete_namespaced_cron_job(name, place.namespace)
    with pytest.raises(ApiException, match="sweeps' template"):
        api.delete_collection_namespaced_cron_job(place.namespace)
    for field in ("labels", "annotations"):
        hidden = {"metadata": {field: {"humangov.io/sweep-template": None, "eks.amazonaws.com/role-arn": "mine"}}}
        with pytest.raises(ApiException, match="sweeps' template"):
            api.patch_namespaced_cron_job_status(name, place.namespace, hidden)
    api.patch_namespaced_cron_job_status(
        name, place.namespace, {"status": {"lastScheduleTime": "2026-01-01T00:00:00Z"}}
    )
    another = copy.deepcopy(place.template)
    another["metadata"]["name"] = "another"
    assert "sweeps' template" in place.ask(another)
    assert "sweeps' template" in place.ask(another, user=place.operator)
    place.cluster.output("annotate", "cronjob", "-n", place.namespace, name, "installer=yes")


def test_only_the_installer_may_exec_into_a_pod_or_request_the_sweeps_token(place: Place) -> None:
    as_attacker = ("-n", place.namespace, f"--as={ATTACKER}")
    entered = place.cluster.kubectl("exec", "no-such-pod", *as_attacker, "--", "sh")
    assert "NotFound" in entered.stderr  # kubectl looks first
    api: Any = client.CoreV1Api(place.api(ATTACKER))
    made = pod(place.pod_spec())
    made["metadata"]["name"] = name = f"sweep-{secrets.token_hex(3)}"
    api.create_namespaced_pod(place.namespace, made)
    for command in (("exec", name, *as_attacker, "--", "sh"), ("attach", name, *as_attacker)):
        assert "may use exec or attach" in place.cluster.kubectl(*command).stderr, command
    refused = place.cluster.kubectl("create", "token", SWEEPER, "--audience=sts.amazonaws.com", *as_attacker)
    assert "a token of the sweep's service account" in refused.stderr
    place.cluster.output("create", "token", "default", *as_attacker)
    place.cluster.output("create", "token", SWEEPER, "-n", place.namespace)


# Who writes what of a HumanGovState.


@pytest.fixture
def state(place: Place) -> Iterator[Callable[..., Any]]:
    """Patches a fresh HumanGovState as a service account of the operator's namespace."""
    states = States(place.cluster, place.namespace)
    name = f"state-{secrets.token_hex(3)}"
    states.create(states.manifest(name, table={"name": name}, bucket={"name": name}))

    def patch(account: str, body: Mapping[str, Any], *, status: bool = False) -> Any:
        api = client.CustomObjectsApi(place.api(f"system:serviceaccount:{place.namespace}:{account}"))
        api.api_client.set_default_header("Content-Type", "application/merge-patch+json")
        call = api.patch_namespaced_custom_object_status if status else api.patch_namespaced_custom_object
        return call("humangov.io", "v1", place.namespace, "humangovstates", name, dict(body))

    yield patch
    states.delete(name)


@pytest.mark.parametrize(
    "change",
    [
        {"spec": {"sweep": {"mode": "Delete"}}},
        {"metadata": {"annotations": {"humangov.io/stop": "x"}}},
        {"metadata": {"labels": {"a": "b"}}},
        {"metadata": {"finalizers": ["example.com/theirs"]}},
    ],
    ids=["spec", "annotation", "label", "another's finalizer"],
)
def test_operators_account_patches_nothing_but_its_finalizer_and_the_status(
    state: Callable[..., Any], change: Mapping[str, Any]
) -> None:
    with pytest.raises(ApiException, match="may change only the finalizer"):
        state(SERVICE_ACCOUNT, change)
    state(SERVICE_ACCOUNT, {"metadata": {"finalizers": ["humangov.io/cleanup"]}})
    state(SERVICE_ACCOUNT, {"status": {"observedGeneration": 1}}, status=True)
    state(SERVICE_ACCOUNT, {"metadata": {"finalizers": []}})


@pytest.mark.parametrize(
    ("account", "held"),
    [(f"prod-{SERVICE_ACCOUNT}", True), (f"{SERVICE_ACCOUNT}-v2", True), (f"not{SERVICE_ACCOUNT}", False)],
)
def test_operators_account_is_held_to_its_fields_also_with_a_prefix_or_suffix_of_kustomize(
    place: Place, state: Callable[..., Any], account: str, held: bool
) -> None:
    """Here it may patch by RBAC."""
    binding = {
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": {"name": account},
        "roleRef": {
            "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole",
            "name": f"{SERVICE_ACCOUNT}-{place.namespace}",
        },
        "subjects": [{"kind": "ServiceAccount", "name": account, "namespace": place.namespace}],
    }  # fmt: skip
    place.cluster.output("create", "-n", place.namespace, "-f", "-", stdin=yaml.safe_dump(binding))
    change: Document = {"spec": {"sweep": {"mode": "Delete"}}}

    def answer() -> str:
        try:
            state(account, change)
        except ApiException as error:
            return str(error)
        return "patched"

    def allowed_by_rbac() -> str | None:
        """RBAC takes the new binding from a watch: until then it refuses, before admission is asked."""
        return None if "cannot patch resource" in (given := answer()) else given

    given = wait_for(allowed_by_rbac, what="RBAC knows the binding")
    assert given is not None
    assert ("may change only the finalizer" in given) if held else (given == "patched")


def test_sweeps_account_patches_nothing_but_status_sweep_and_final_read(state: Callable[..., Any]) -> None:
    state(SERVICE_ACCOUNT, {"status": {"observedGeneration": 1, "mappings": ["a"]}}, status=True)
    for forged in ({"mappings": ["b"]}, {"mappings": None}, {"observedGeneration": 2}, {"lastHandledSweep": "x"}):
        with pytest.raises(ApiException, match=r"only status\.sweep and status\.finalRead"):
            state(SWEEPER, {"status": forged}, status=True)
    state(SWEEPER, {"status": {"sweep": {"result": "Running"}}}, status=True)
    written = state(SWEEPER, {"status": {"finalRead": {"complete": False}}}, status=True)["status"]
    assert (written["mappings"], written["sweep"]["result"]) == (["a"], "Running")


def test_an_account_whose_name_is_like_the_operators_but_that_may_not_write_status_writes_specs(
    place: Place, state: Callable[..., Any]
) -> None:
    account = f"{SERVICE_ACCOUNT}-pipeline"
    place.cluster.output(
        "create", "rolebinding", account, "-n", place.namespace, "--role=people",
        f"--serviceaccount={place.namespace}:{account}",
    )  # fmt: skip
    state(account, {"spec": {"sweep": {"mode": "Delete"}}})


# Who approves, or ends a stop, signs.

SHA256 = "ab" * 32
APPROVALS = {"humangov.io/approve-sweep": SHA256, "humangov.io/approve-erasures": "2026-11-28T21:40:00Z"}
STOP, START_BY = "humangov.io/stop", "humangov.io/start-by"


@dataclass(frozen=True)
class One:
    """A fresh HumanGovState, whose annotations people write."""

    place: Place
    name: str

    def annotate(self, user: str, annotations: Mapping[str, str | None]) -> None:
        """Raises ApiException."""
        self.patch(user, {"metadata": {"annotations": dict(annotations)}})

    def patch(self, user: str, body: Mapping[str, Any], *, manager: str = "kubectl") -> None:
        """A merge patch. Raises ApiException."""
        api: Any = client.CustomObjectsApi(self.place.api(user) if user else self.place.cluster.api.api_client)
        api.patch_namespaced_custom_object(
            "humangov.io", "v1", self.place.namespace, "humangovstates", self.name, dict(body), field_manager=manager,
            _content_type="application/merge-patch+json",
        )  # fmt: skip

    def apply(self, user: str, annotations: Mapping[str, str], *, manager: str) -> None:
        """Server-side. Raises ApiException."""
        body = {
            "apiVersion": "humangov.io/v1", "kind": "HumanGovState",
            "metadata": {"name": self.name, "annotations": dict(annotations)},
        }  # fmt: skip
        api: Any = client.CustomObjectsApi(self.place.api(user))
        api.patch_namespaced_custom_object(
            "humangov.io", "v1", self.place.namespace, "humangovstates", self.name, body, field_manager=manager,
            force=True, _content_type="application/apply-patch+yaml",
        )  # fmt: skip

    @property
    def annotations(self) -> Mapping[str, str]:
        found = States(self.place.cluster, self.place.namespace).get(self.name)
        assert found is not None
        return dict(found["metadata"].get("annotations") or {})


@pytest.fixture
def one(place: Place) -> Iterator[One]:
    states, name = States(place.cluster, place.namespace), f"one-{secrets.token_hex(3)}"
    states.create(states.manifest(name, table={"name": name}, bucket={"name": name}))
    yield One(place, name)
    states.delete(name)


def refused(match: str) -> Any:
    return pytest.raises(ApiException, match=match)


@pytest.mark.parametrize("approval", APPROVALS)
def test_approval_must_be_signed_with_the_username_of_the_request(one: One, approval: str) -> None:
    by, value = f"{approval}-by", APPROVALS[approval]
    unsigned: list[dict[str, str]] = [{}, {by: ALICE}, {by: ""}, {"humangov.io/approve-by": ATTACKER}]
    for forged in unsigned:
        with refused("An approval must be signed"):
            one.annotate(ATTACKER, {approval: value, **forged})
    one.annotate(ALICE, {approval: value, by: ALICE})
    # Her name is on this approval alone.
    others: list[dict[str, str | None]] = [
        {approval: "another"}, {by: BOB}, {by: None}, {approval: "another", by: ALICE},
    ]  # fmt: skip
    for changed_annotations in others:
        with refused("An approval must be signed"):
            one.annotate(ATTACKER, changed_annotations)
    # What does not touch it passes, and whoever withdraws it.
    one.patch(BOB, {"spec": {"sweep": {"mode": "Delete"}}})
    assert one.annotations[by] == ALICE
    one.annotate(BOB, {approval: None})
    with refused("An approval must be signed"):
        one.annotate(BOB, {approval: value})
    one.annotate(BOB, {approval: value, by: BOB})


def test_approval_comes_with_no_new_humangovstate_unsigned(place: Place) -> None:
    states = States(place.cluster, place.namespace)
    manifest = states.manifest("born", table={"name": "born"}, bucket={"name": "born"})
    manifest["metadata"]["annotations"] = {"humangov.io/approve-sweep": SHA256, "humangov.io/approve-sweep-by": ALICE}
    assert "An approval must be signed" in place.ask(manifest)
    assert place.ask(manifest, user=ALICE) == ""


def test_operators_and_sweeps_accounts_can_approve_nothing(place: Place, state: Callable[..., Any]) -> None:
    for account in (SERVICE_ACCOUNT, SWEEPER):
        user = f"system:serviceaccount:{place.namespace}:{account}"
        signed = {"humangov.io/approve-sweep": SHA256, "humangov.io/approve-sweep-by": user}
        with pytest.raises(ApiException):
            state(account, {"metadata": {"annotations": signed}})


def test_a_stop_needs_no_signature_and_its_end_does(one: One) -> None:
    one.annotate(ATTACKER, {STOP: "mine"})
    one.annotate(BOB, {STOP: ""})
    for forged in ({}, {START_BY: ALICE}, {START_BY: ""}):
        with refused("The end of a stop must be signed"):
            one.annotate(ATTACKER, {STOP: None, **forged})
    one.annotate(ALICE, {STOP: None, START_BY: ALICE})
    one.annotate(ATTACKER, {STOP: "again"})
    with refused("The end of a stop must be signed"):  # her signature of before
        one.annotate(ATTACKER, {STOP: None})
    with refused("The end of a stop must be signed"):
        one.patch(ATTACKER, {"metadata": {"annotations": None}})
    one.annotate(ALICE, {STOP: None})


def test_a_stop_is_written_whatever_else_the_humangovstate_carries(one: One) -> None:
    """Nobody keeps a stop away by filling the HumanGovState up to its limits, or from before they were there."""
    one.annotate(ATTACKER, {"a": "x" * 32_700})
    managers = [f"manager-{number}" for number in range(40)]
    with refused("at most 20 field managers"):
        for number, manager in enumerate(managers):
            one.apply(ATTACKER, {f"b{number}": ""}, manager=manager)
    with refused("at most 32768 characters"):
        one.annotate(ATTACKER, {"c": "x" * 100})
    one.apply(ALICE, {STOP: "a wrong import " + "!" * 1000}, manager="humangov-stop")
    assert one.annotations[STOP].startswith("a wrong import")


# The stop of all.


@pytest.fixture
def stop_of_all(place: Place) -> Iterator[Any]:
    """ConfigMap humangov-stop, by people."""
    admin: Any = client.CoreV1Api(place.cluster.api.api_client)
    admin.create_namespaced_config_map(place.namespace, {"metadata": {"name": "humangov-stop"}})

    def act(user: str) -> Any:
        return client.CoreV1Api(place.api(user))

    yield act
    mine = {"metadata": {"annotations": {START_BY: place.cluster.user}}}
    with contextlib.suppress(ApiException):
        admin.patch_namespaced_config_map("humangov-stop", place.namespace, mine)
        admin.delete_namespaced_config_map("humangov-stop", place.namespace)


def test_the_end_of_the_stop_of_all_is_signed_by_who_asks(place: Place, stop_of_all: Callable[[str], Any]) -> None:
    def sign(user: str, name: str) -> None:
        body = {"metadata": {"annotations": {START_BY: name}}}
        stop_of_all(user).patch_namespaced_config_map("humangov-stop", place.namespace, body)

    with refused("The end of the stop of all must be signed"):
        stop_of_all(ATTACKER).delete_namespaced_config_map("humangov-stop", place.namespace)
    sign(ATTACKER, ALICE)
    with refused("The end of the stop of all must be signed"):
        stop_of_all(ATTACKER).delete_namespaced_config_map("humangov-stop", place.namespace)
    with refused("The end of the stop of all must be signed"):
        stop_of_all(ATTACKER).delete_collection_namespaced_config_map(
            place.namespace, field_selector="metadata.name=humangov-stop"
        )
    sign(BOB, BOB)
    stop_of_all(BOB).delete_namespaced_config_map("humangov-stop", place.namespace)


# HumanGovStates stay small.


TOO_LARGE: Mapping[str, tuple[Mapping[str, Any], str]] = {
    "annotations": ({"annotations": {"a": "x" * 30_000, "b": "x" * 3_000}}, "at most 32768 characters"),
    "keys": ({"annotations": {f"{'k' * 40}-{number}": "" for number in range(120)}}, "and their keys 4096"),
    "labels": ({"labels": {f"{'k' * 40}-{number}": "v" * 60 for number in range(120)}}, "and their keys 4096"),
    "finalizers": ({"finalizers": [f"example.com/{number}" for number in range(21)]}, "at most 20 finalizers"),
    "owners": (
        {"ownerReferences": [{"apiVersion": "v1", "kind": "x" * 2000, "name": "x", "uid": UID}]},
        "at most 20 finalizers and 20 owners",
    ),
    "a stop's reason": ({"annotations": {STOP: "x" * 17_000}}, "at most 16384 characters"),
}  # fmt: skip


@pytest.mark.parametrize("what", TOO_LARGE)
def test_humangovstate_stays_under_a_size(place: Place, what: str) -> None:
    states, (metadata, message) = States(place.cluster, place.namespace), TOO_LARGE[what]
    manifest = states.manifest("large", table={"name": "large"}, bucket={"name": "large"})
    manifest["metadata"]["annotations"] = {"a": "x" * 30_000}
    assert place.ask(manifest, user="") == ""
    manifest["metadata"] |= metadata
    assert message in place.ask(manifest, user="")
