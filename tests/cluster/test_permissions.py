"""The operator's service account at the real API server: it has the permissions of deploy/install.yaml and no others.

Every test with an operator shows that these permissions suffice: each runs as this account. That none is too many is
shown here: each is taken away in turn, and something breaks. tests/after holds both against the API server's audit log.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import yaml

from sandbox import local_operator
from sandbox.local_operator import SERVICE_ACCOUNT, LocalOperator, OperatorError
from sandbox.paths import REPOSITORY
from sandbox.serviceaccount import kubeconfig_for
from testing.live.account import Account
from testing.live.cluster import Cluster
from testing.live.kube_evidence import LACKING_PREFIX, Permission, rendered
from testing.live.states import FINALIZER, States, brief, condition
from testing.live.sweep_pods import ACCOUNT as SWEEPER
from testing.live.sweep_pods import template
from testing.live.waiting import wait_for
from tests.conftest import StartOperator, bugs_logged, installed

# What every authenticated user may: ask who they are and what they may.
EVERYBODY = {
    "selfsubjectreviews.authentication.k8s.io",
    "selfsubjectaccessreviews.authorization.k8s.io",
    "selfsubjectrulesreviews.authorization.k8s.io",
}
REMEDY = "Grant that service account the permissions in deploy/install.yaml"


@pytest.fixture
def lacking(cluster: Cluster) -> Iterator[States]:
    """As `states`, but in a namespace by whose name the audit log's reader knows that refusals are meant."""
    with installed(cluster, prefix=LACKING_PREFIX) as name:
        yield States(cluster, name)


@pytest.fixture(scope="module")
def untouched(cluster: Cluster) -> Iterator[str]:
    """A namespace whose operator is only asked about."""
    with installed(cluster, prefix=LACKING_PREFIX) as name:
        yield name


def user(namespace: str, account: str = SERVICE_ACCOUNT) -> str:
    return f"system:serviceaccount:{namespace}:{account}"


def test_operator_has_exactly_the_permissions_of_install_yaml(cluster: Cluster, untouched: str) -> None:
    expected = {(full_name(permission), permission.name, permission.verb) for permission in rendered()}
    wait_for(
        lambda: granted(cluster, untouched) == expected, what="permissions as in deploy/install.yaml", seconds=5,
        seen=lambda: granted(cluster, untouched) ^ expected,
    )  # fmt: skip


def test_sweep_has_only_its_three_permissions(cluster: Cluster, untouched: str) -> None:
    states = "humangovstates.humangov.io"
    expected = {(states, "", "get"), (states, "", "list"), (f"{states}/status", "", "patch")}
    expected |= {("configmaps", "humangov-stop", "get")}
    wait_for(
        lambda: granted(cluster, untouched, SWEEPER) == expected, what="the sweep has its four permissions", seconds=5,
        seen=lambda: granted(cluster, untouched, SWEEPER) ^ expected,
    )  # fmt: skip


def granted(cluster: Cluster, untouched: str, account: str = SERVICE_ACCOUNT) -> set[tuple[str, str, str]]:
    """Resource, name of the one object, verb."""
    logged = cluster.output(
        "auth", "can-i", "--list", f"--as={user(untouched, account)}", "-n", untouched, "--no-headers"
    )
    found: set[tuple[str, str, str]] = set()
    for line in logged.splitlines():
        resource, _, rest = line.partition(" ")
        urls, names, verbs = [part.partition("]")[0].split() for part in rest.split("[")[1:]]
        if resource not in EVERYBODY and not urls:
            found |= {(resource, " ".join(names), verb) for verb in verbs}
    return found


def full_name(permission: Permission) -> str:
    """`humangovstates.humangov.io/status`."""
    resource, slash, subresource = permission.resource.partition("/")
    return f"{resource}.{permission.group}{slash}{subresource}".replace(". ", " ").rstrip(".")


@pytest.mark.parametrize(
    "question",
    [
        "get secrets", "list secrets", "get pods", "create pods", "get configmaps", "create jobs.batch",
        "create humangovstates", "delete humangovstates", "update humangovstates", "deletecollection humangovstates",
        "update humangovstates/status", "list namespaces", "get namespaces", "get customresourcedefinitions",
        "list events", "create clusterrolebindings", "create serviceaccounts/token", "impersonate users",
        "list leases", "watch leases", "patch leases", "delete leases", "get leases/another", "update leases/another",
    ],
)  # fmt: skip
def test_operator_has_no_permission_for_anything_else(cluster: Cluster, untouched: str, question: str) -> None:
    verb, resource = question.split()
    where = ["-n", untouched] if resource.startswith("leases") else ["--all-namespaces"]
    done = cluster.kubectl("auth", "can-i", verb, resource, f"--as={user(untouched)}", *where)
    assert done.stdout.strip().startswith("no"), done.stdout + done.stderr


def test_operators_own_token_is_refused_beyond_its_permissions(
    cluster: Cluster, lacking: States, tmp_path: Path
) -> None:
    own = kubeconfig_for(
        cluster.sandbox, namespace=lacking.namespace, service_account=SERVICE_ACCOUNT, path=tmp_path / "kubeconfig"
    )
    assert cluster.kubectl("get", "hgs", "-A", kubeconfig=own).returncode == 0
    assert cluster.kubectl("get", "namespace", "kube-system", kubeconfig=own).returncode == 0
    manifest = lacking.manifest("nevada", table={"name": "nevada"}, bucket={"name": "nevada"})
    lacking.create(manifest)
    for refused in (
        ("get", "secrets"),
        ("get", "namespace", "default"),
        ("delete", "hgs", "nevada"),
        ("replace", "-f", "-"),
        ("create", "-f", "-"),
    ):
        done = cluster.kubectl(*refused, stdin=yaml.safe_dump(manifest), kubeconfig=own)
        assert done.returncode != 0
        assert "forbidden" in done.stderr, done.stderr


# Each permission taken away in turn.


@dataclass
class Stage:
    """An operator that lacks one permission, in a namespace and an account of its own."""

    states: States
    account: Account
    folder: Path
    leader_elect: bool = False
    log: Path | None = None
    started: list[LocalOperator] = field(default_factory=list)

    def start(self, *, until: bytes = b"watching humangovstates", arguments: Sequence[str] = ()) -> LocalOperator:
        running = local_operator.start(
            self.states.cluster.sandbox, namespace=self.states.namespace, folder=self.folder,
            arguments=[*(["--leader-elect"] if self.leader_elect else []), *arguments],
            environment=self.account.environment, until=until,
        )  # fmt: skip
        self.started.append(running)
        self.log = running.log
        return running

    def california(self) -> States:
        """A tenant that is declared."""
        self.account.make("california")
        self.states.apply(self.states.manifest("california", **self.account.spec("california")))
        return self.states

    def text(self) -> str:
        logs = [self.log] if self.log else sorted(self.folder.glob("operator-*.log"))
        return "".join(log.read_text() for log in logs)

    def wait_logged(self, words: str) -> None:
        wait_for(lambda: words in self.text(), what=f"the log says {words!r}", seen=lambda: self.text()[-3000:])


Breaks = Callable[[Stage, str], None]


def does_not_start(stage: Stage, logged: str) -> None:
    with pytest.raises(OperatorError):
        stage.start()
    assert f"Error: {logged}" in stage.text()


def is_idle(stage: Stage, logged: str) -> None:
    """It waits, without looking at any HumanGovState, and without ending."""
    running = stage.start(until=logged.encode())
    assert "watching humangovstates" not in stage.text()
    assert running.process.poll() is None


def ends_within_the_lease(stage: Stage, logged: str) -> None:
    running = stage.start()
    assert running.process.wait(20) == 1
    assert logged in stage.text().splitlines()[-1]


def deletion_hangs(stage: Stage, logged: str) -> None:
    """That of a state of which no status says what was made: it is read again before it is released."""
    being_deleted_without_a_status(stage.states, stage.account)
    stage.start()
    stage.wait_logged(logged)
    assert stage.states.get("california") is not None


def being_deleted_without_a_status(states: States, account: Account) -> None:
    manifest = states.manifest("california", **account.spec("california"))
    manifest["metadata"]["finalizers"] = [FINALIZER]
    states.create(manifest)
    states.delete("california")


def nothing_is_created(stage: Stage, logged: str) -> None:
    stage.start()
    states = stage.california()
    stage.wait_logged(logged)
    written = (states.get("california") or {}).get("status")
    assert written == {"observedGeneration": -1}, brief(states.get("california"))
    assert stage.account.leaked() == {}


def only_events_are_missing(stage: Stage, logged: str) -> None:
    stage.start()
    states = stage.california()
    states.wait_ready("california")
    stage.wait_logged(logged)
    assert states.events("california") == []
    states.delete("california")
    states.wait_deleted("california")
    assert stage.account.leaked() == {}


def sweeps_are_missing(stage: Stage, logged: str) -> None:
    """And nothing else: the tenant is Ready, and its condition says what is wrong."""
    stage.start(arguments=["--sweep-template", template(stage.states.cluster, stage.states.namespace)])
    states = stage.california()
    states.wait_ready("california")
    stage.wait_logged(logged)
    wait_for(
        lambda: condition(states.get("california"), "SweepSucceeded")["reason"] == "SchedulingFailed",
        what="the condition says so",
    )


def rollout_is_not_recorded(stage: Stage, logged: str) -> None:
    """And nothing else: the tenant is Ready. It would be rolled out anew by each process, and never go on."""
    stage.start()
    states = stage.california()
    states.wait_ready("california")
    stage.wait_logged(logged)


# Permission → what breaks without it, and how the log's sentence begins. docs/operations.md tells the same.
BREAKS: dict[str, tuple[Breaks, str]] = {
    "list humangovstates": (does_not_start, "listing humangovstates in "),
    "watch humangovstates": (does_not_start, "opening a watch of humangovstates in "),
    "get humangovstates": (deletion_hangs, "reading HumanGovState "),
    "patch humangovstates": (nothing_is_created, "adding the finalizer to HumanGovState "),
    "patch humangovstates/status": (nothing_is_created, "writing the status of HumanGovState "),
    "create events": (only_events_are_missing, "posting an event for HumanGovState "),
    "get namespaces": (does_not_start, "reading the UID of namespace kube-system (or give --cluster-name)"),
    "get configmaps": (does_not_start, "reading ConfigMap "),
    "create configmaps": (rollout_is_not_recorded, "writing ConfigMap "),
    "patch configmaps": (rollout_is_not_recorded, "writing ConfigMap "),
    "get cronjobs": (sweeps_are_missing, "reading cronjobs "),
    "list cronjobs": (sweeps_are_missing, "listing cronjobs in "),  # under kustomize's namePrefix alone
    "create cronjobs": (sweeps_are_missing, "creating cronjobs "),
    "patch cronjobs": (sweeps_are_missing, "writing cronjobs "),
    "delete cronjobs": (sweeps_are_missing, "deleting cronjobs "),
    "list jobs": (sweeps_are_missing, "listing jobs in "),
    "create jobs": (sweeps_are_missing, "creating jobs "),
    "patch jobs": (sweeps_are_missing, "sweeps could not be started: writing jobs "),
    "delete jobs": (sweeps_are_missing, "deleting jobs "),
    "create leases": (is_idle, "writing the lease "),
    "get leases": (is_idle, "reading the lease "),
    "update leases": (ends_within_the_lease, "the lease humangov-operator could not be renewed for 10 s"),
}


@pytest.fixture
def stage(lacking: States, account: Account, tmp_path: Path) -> Iterator[Stage]:
    found = Stage(states=lacking, account=account, folder=tmp_path / "operator")
    yield found
    for running in found.started:
        running.kill()


# Those to sweeps break alike, so one of them is taken away here. tests/after shows that each of them is used.
TAKEN_AWAY = [
    permission for permission in rendered() if permission.group != "batch" or str(permission) == "get cronjobs"
]


@pytest.mark.parametrize("permission", TAKEN_AWAY, ids=str)
def test_each_missing_permission_breaks_something_and_is_named_in_the_log(permission: Permission, stage: Stage) -> None:
    assert str(permission) in BREAKS, "a new permission: what breaks without it?"
    breaks, logged = BREAKS[str(permission)]
    stage.leader_elect = permission.resource == "leases"
    take_away(stage.states, permission)
    breaks(stage, logged)
    lines = [line for line in stage.text().splitlines() if logged in line]
    assert lines
    for line in lines:
        assert re.search(
            rf'cannot {permission.verb} resource \\?"{permission.resource}\\?" in API group \\?"{permission.group}\\?"',
            line,
        )
        assert REMEDY in line
    assert "Traceback" not in stage.text()
    assert [line for running in stage.started for line in bugs_logged(running)] == []


def test_state_without_a_status_is_reread_and_deleted_with_all_permissions(
    states: States, account: Account, operator: StartOperator
) -> None:
    being_deleted_without_a_status(states, account)
    operator()
    states.wait_deleted("california")


def take_away(states: States, permission: Permission) -> None:
    """From the role of this namespace's operator; returns once the API server refuses it."""
    cluster, namespace = states.cluster, states.namespace
    name = SERVICE_ACCOUNT if permission.role == "Role" else f"{SERVICE_ACCOUNT}-{namespace}"
    where = [permission.role, name, "-n", namespace]
    role = json.loads(cluster.output("get", *where, "-o", "json"))
    rule = role["rules"][permission.rule]
    assert rule["resources"] == [permission.resource], "one resource a rule: a verb is taken from one alone"
    rule["verbs"].remove(permission.verb)
    role["rules"] = [rule for rule in role["rules"] if rule["verbs"]]
    cluster.output("replace", "-f", "-", stdin=json.dumps(role))
    resource, _, subresource = permission.resource.partition("/")
    what = [f"{resource}.{permission.group}".rstrip(".") + (f"/{permission.name}" if permission.name else "")]
    what += [f"--subresource={subresource}"] if subresource else []
    wait_for(
        lambda: cluster.kubectl(
            "auth", "can-i", permission.verb, *what, f"--as={user(namespace)}", "-n", namespace
        ).stdout.strip() == "no",
        what=f"the permission to {permission} is gone",
    )  # fmt: skip


def test_documented_table_of_missing_permissions_is_complete() -> None:
    text = (REPOSITORY / "docs" / "operations.md").read_text()
    rows = [row for row in text.splitlines() if row.startswith("| `")]
    for permission, (_, logged) in BREAKS.items():
        found = [row for row in rows if row.startswith(f"| `{permission}` ")]
        assert found
        assert all(f"`{logged.strip()}" in row for row in found)
    assert {str(permission) for permission in rendered()} == set(BREAKS)
