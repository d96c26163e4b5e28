"""The Kubernetes control plane: certificates, configuration, and the command line of each part."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from sandbox import probe
from sandbox.build import Programs
from sandbox.node import containerd, kubelet
from sandbox.paths import Layout
from sandbox.pki import Pair, create_authority, create_signing_key
from sandbox.ports import HOST

ETCD = "etcd"
API_SERVER = "kube-apiserver"
CONTROLLER_MANAGER = "kube-controller-manager"
SCHEDULER = "kube-scheduler"
PARTS = (ETCD, API_SERVER, CONTROLLER_MANAGER)
NODE_PARTS = (containerd.PART, SCHEDULER, kubelet.PART)
ETCD_PEER_PORT = "etcd-peer"
PORTS = (ETCD, ETCD_PEER_PORT, API_SERVER, CONTROLLER_MANAGER)
NODE_PORTS = (SCHEDULER, kubelet.PART, kubelet.HEALTH_PORT)

SERVICE_RANGE = "10.0.0.0/24"
SERVICE_ADDRESS = "10.0.0.1"
ISSUER = "https://kubernetes.default.svc.cluster.local"
# Nothing here is a cloud's: these would only say in the log that they cannot start.
CONTROLLERS = ("*", "-cloud-node-lifecycle-controller", "-node-route-controller", "-service-lb-controller")


@dataclass(frozen=True)
class Identities:
    """Every file of the sandbox's certificate authority."""

    authority: Pair
    etcd: Pair
    api_server: Pair
    api_server_to_etcd: Pair
    controller_manager: Pair
    controller_manager_to_api_server: Pair
    scheduler: Pair
    scheduler_to_api_server: Pair
    kubelet: Pair
    kubelet_to_api_server: Pair
    api_server_to_kubelet: Pair
    admin: Pair
    tokens_private: Path
    tokens_public: Path


def create_identities(folder: Path) -> Identities:
    authority = create_authority(folder, common_name="humangov-sandbox")
    private, public = create_signing_key(folder, "tokens")
    service = "kubernetes.default.svc"
    return Identities(
        authority=authority.pair,
        etcd=authority.issue("etcd", common_name="etcd", names=["localhost"], addresses=[HOST]),
        api_server=authority.issue(
            "kube-apiserver",
            common_name="kube-apiserver",
            names=["localhost", "kubernetes", "kubernetes.default", service, f"{service}.cluster.local"],
            addresses=[HOST, SERVICE_ADDRESS],
        ),
        api_server_to_etcd=authority.issue("kube-apiserver-etcd", common_name="kube-apiserver"),
        controller_manager=authority.issue(
            "kube-controller-manager", common_name="localhost", names=["localhost"], addresses=[HOST]
        ),
        controller_manager_to_api_server=authority.issue(
            "kube-controller-manager-client", common_name="system:kube-controller-manager"
        ),
        scheduler=authority.issue("kube-scheduler", common_name="localhost", names=["localhost"], addresses=[HOST]),
        scheduler_to_api_server=authority.issue("kube-scheduler-client", common_name="system:kube-scheduler"),
        kubelet=authority.issue("kubelet", common_name=kubelet.NODE, names=[kubelet.NODE], addresses=[HOST]),
        kubelet_to_api_server=authority.issue(
            "kubelet-client", common_name=kubelet.USER, organizations=[kubelet.GROUP]
        ),
        api_server_to_kubelet=authority.issue(
            "kube-apiserver-kubelet", common_name="kube-apiserver-kubelet", organizations=["system:masters"]
        ),
        admin=authority.issue("admin", common_name="sandbox-admin", organizations=["system:masters"]),
        tokens_private=private,
        tokens_public=public,
    )


def existing_identities(folder: Path) -> Identities:
    """The files that `create_identities` made; whether they are there shows when they are used."""

    def pair(name: str) -> Pair:
        return Pair(certificate=folder / f"{name}.crt", key=folder / f"{name}.key")

    return Identities(
        authority=pair("ca"),
        etcd=pair("etcd"),
        api_server=pair("kube-apiserver"),
        api_server_to_etcd=pair("kube-apiserver-etcd"),
        controller_manager=pair("kube-controller-manager"),
        controller_manager_to_api_server=pair("kube-controller-manager-client"),
        scheduler=pair("kube-scheduler"),
        scheduler_to_api_server=pair("kube-scheduler-client"),
        kubelet=pair("kubelet"),
        kubelet_to_api_server=pair("kubelet-client"),
        api_server_to_kubelet=pair("kube-apiserver-kubelet"),
        admin=pair("admin"),
        tokens_private=folder / "tokens.key",
        tokens_public=folder / "tokens.pub",
    )


def api_server_address(ports: Mapping[str, int]) -> str:
    return f"https://{HOST}:{ports[API_SERVER]}"


def address(part: str, ports: Mapping[str, int]) -> str:
    return f"https://{HOST}:{ports[part]}"


def kubeconfig(*, server: str, authority: Path, client: Pair, user: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "sandbox", "cluster": {"server": server, "certificate-authority": str(authority)}}],
        "users": [
            {
                "name": user,
                "user": {"client-certificate": str(client.certificate), "client-key": str(client.key)},
            }
        ],
        "contexts": [{"name": "sandbox", "context": {"cluster": "sandbox", "user": user}}],
        "current-context": "sandbox",
    }


def audit_policy() -> dict[str, Any]:
    """Who asked for what and when, for every request but those of the control plane itself.

    https://kubernetes.io/docs/tasks/debug/debug-cluster/audit/
    """
    own = ["system:apiserver", "system:kube-controller-manager", "system:kube-scheduler"]
    return {
        "apiVersion": "audit.k8s.io/v1",
        "kind": "Policy",
        "omitStages": ["RequestReceived"],
        "rules": [
            {"level": "None", "users": own},
            {"level": "None", "userGroups": ["system:serviceaccounts:kube-system", "system:nodes"]},
            {"level": "None", "nonResourceURLs": ["/healthz*", "/livez*", "/readyz*"]},
            {"level": "Metadata"},
        ],
    }


def write_configuration(layout: Layout, *, ports: Mapping[str, int], identities: Identities) -> None:
    server = api_server_address(ports)
    authority = identities.authority.certificate
    layout.configuration.mkdir(parents=True, exist_ok=True)
    _write_yaml(layout.configuration / "audit-policy.yaml", audit_policy())
    _write_yaml(
        layout.configuration / "controller-manager.kubeconfig",
        kubeconfig(
            server=server,
            authority=authority,
            client=identities.controller_manager_to_api_server,
            user="system:kube-controller-manager",
        ),
    )
    for name, client, user in (
        (SCHEDULER, identities.scheduler_to_api_server, "system:kube-scheduler"),
        (kubelet.PART, identities.kubelet_to_api_server, kubelet.USER),
    ):
        _write_yaml(
            layout.configuration / f"{name}.kubeconfig",
            kubeconfig(server=server, authority=authority, client=client, user=user),
        )
    if kubelet.PART in ports:
        _write_yaml(
            layout.configuration / "kubelet.yaml",
            kubelet.configuration(layout, ports=ports, serving=identities.kubelet, authority=authority),
        )
        containerd.write_configuration(layout)
    _write_yaml(
        layout.kubeconfig,
        kubeconfig(server=server, authority=authority, client=identities.admin, user="sandbox-admin"),
    )


def commands(
    programs: Programs, layout: Layout, *, ports: Mapping[str, int], identities: Identities
) -> dict[str, list[str]]:
    """The command line of each part; those of a node, if its programs are there."""
    result = {
        ETCD: [str(programs.etcd), *etcd_flags(layout, ports=ports, identities=identities)],
        API_SERVER: [
            str(programs.kube_apiserver),
            *api_server_flags(layout, ports=ports, identities=identities),
        ],
    }
    if programs.kube_controller_manager is not None:
        result[CONTROLLER_MANAGER] = [
            str(programs.kube_controller_manager),
            *controller_manager_flags(layout, ports=ports, identities=identities),
        ]
    if programs.kube_scheduler is not None and programs.kubelet is not None:
        flags = scheduler_flags(layout, ports=ports, identities=identities)
        result |= {
            containerd.PART: containerd.command(layout),
            SCHEDULER: [str(programs.kube_scheduler), *flags],
            kubelet.PART: kubelet.command(programs.kubelet, layout),
        }
    return result


def etcd_flags(layout: Layout, *, ports: Mapping[str, int], identities: Identities) -> list[str]:
    clients, peers = f"https://{HOST}:{ports[ETCD]}", f"https://{HOST}:{ports[ETCD_PEER_PORT]}"
    own, authority = identities.etcd, identities.authority.certificate
    return [
        "--name=default",
        f"--data-dir={layout.etcd_data}",
        "--unsafe-no-fsync",
        "--log-level=warn",
        f"--listen-client-urls={clients}",
        f"--advertise-client-urls={clients}",
        f"--listen-peer-urls={peers}",
        f"--initial-advertise-peer-urls={peers}",
        f"--initial-cluster=default={peers}",
        *(f"--{kind}cert-file={own.certificate}" for kind in ("", "peer-")),
        *(f"--{kind}key-file={own.key}" for kind in ("", "peer-")),
        *(f"--{kind}trusted-ca-file={authority}" for kind in ("", "peer-")),
        *(f"--{kind}client-cert-auth" for kind in ("", "peer-")),
    ]


def api_server_flags(layout: Layout, *, ports: Mapping[str, int], identities: Identities) -> list[str]:
    own, to_etcd = identities.api_server, identities.api_server_to_etcd
    return [
        f"--bind-address={HOST}",
        f"--secure-port={ports[API_SERVER]}",
        f"--tls-cert-file={own.certificate}",
        f"--tls-private-key-file={own.key}",
        f"--client-ca-file={identities.authority.certificate}",
        f"--etcd-servers=https://{HOST}:{ports[ETCD]}",
        f"--etcd-cafile={identities.authority.certificate}",
        f"--etcd-certfile={to_etcd.certificate}",
        f"--etcd-keyfile={to_etcd.key}",
        "--authorization-mode=Node,RBAC",
        "--enable-admission-plugins=NodeRestriction",
        f"--service-account-issuer={ISSUER}",
        f"--service-account-key-file={identities.tokens_public}",
        f"--service-account-signing-key-file={identities.tokens_private}",
        f"--service-cluster-ip-range={SERVICE_RANGE}",
        # A loopback address cannot stand in the Endpoints of the service `kubernetes`.
        "--endpoint-reconciler-type=none",
        "--allow-privileged=true",
        f"--kubelet-certificate-authority={identities.authority.certificate}",
        f"--kubelet-client-certificate={identities.api_server_to_kubelet.certificate}",
        f"--kubelet-client-key={identities.api_server_to_kubelet.key}",
        "--kubelet-preferred-address-types=InternalIP",
        f"--audit-policy-file={layout.configuration / 'audit-policy.yaml'}",
        f"--audit-log-path={layout.audit_log}",
        # One run of all tests writes some 8 MB, and what was rotated away can no longer be counted.
        "--audit-log-maxsize=1000",
        # A write is in the log when its answer arrives, so that it can be counted at once.
        "--audit-log-mode=blocking",
        "--profiling=false",
    ]


def controller_manager_flags(layout: Layout, *, ports: Mapping[str, int], identities: Identities) -> list[str]:
    own, authority = identities.controller_manager, identities.authority
    config = layout.configuration / "controller-manager.kubeconfig"
    return [
        f"--bind-address={HOST}",
        f"--secure-port={ports[CONTROLLER_MANAGER]}",
        f"--tls-cert-file={own.certificate}",
        f"--tls-private-key-file={own.key}",
        *(f"--{kind}kubeconfig={config}" for kind in ("", "authentication-", "authorization-")),
        f"--root-ca-file={authority.certificate}",
        f"--cluster-signing-cert-file={authority.certificate}",
        f"--cluster-signing-key-file={authority.key}",
        f"--service-account-private-key-file={identities.tokens_private}",
        "--use-service-account-credentials",
        "--leader-elect=false",
        f"--controllers={','.join(CONTROLLERS)}",
        # Deleting a namespace lists every kind of object in it; the defaults (20, 30) make that take seconds.
        "--kube-api-qps=200",
        "--kube-api-burst=400",
        "--profiling=false",
    ]


def scheduler_flags(layout: Layout, *, ports: Mapping[str, int], identities: Identities) -> list[str]:
    own = identities.scheduler
    config = layout.configuration / f"{SCHEDULER}.kubeconfig"
    return [
        f"--bind-address={HOST}",
        f"--secure-port={ports[SCHEDULER]}",
        f"--tls-cert-file={own.certificate}",
        f"--tls-private-key-file={own.key}",
        *(f"--{kind}kubeconfig={config}" for kind in ("", "authentication-", "authorization-")),
        "--leader-elect=false",
        "--profiling=false",
    ]


def ready(part: str, *, ports: Mapping[str, int], identities: Identities) -> bool:
    path = {ETCD: "/readyz", API_SERVER: "/readyz", CONTROLLER_MANAGER: "/healthz", SCHEDULER: "/healthz"}[part]
    return _get(address(part, ports) + path, identities) == 200


def default_service_account_exists(*, ports: Mapping[str, int], identities: Identities) -> bool:
    """Until then no pod can be made, and the controllers are not at work yet."""
    path = "/api/v1/namespaces/default/serviceaccounts/default"
    return _get(api_server_address(ports) + path, identities) == 200


def _get(url: str, identities: Identities) -> int | None:
    return probe.status(url, authority=identities.authority.certificate, client=identities.admin)


def _write_yaml(path: Path, content: Mapping[str, Any] | Sequence[Any]) -> None:
    path.write_text(yaml.safe_dump(content, sort_keys=False))
