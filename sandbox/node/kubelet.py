"""kubelet: the node's agent, with everything of its own in the sandbox's folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sandbox.node import cgroups, containerd
from sandbox.paths import Layout
from sandbox.pki import Pair
from sandbox.ports import HOST

PART = "kubelet"
HEALTH_PORT = "kubelet-health"
NODE = "humangov-node"
USER = f"system:node:{NODE}"
GROUP = "system:nodes"
# Links to the logs of containers, which kubelet makes at this fixed place.
CONTAINER_LOGS = Path("/var/log/containers")


def folder(layout: Layout) -> Path:
    return layout.node / "kubelet"


def pod_logs(layout: Layout) -> Path:
    return layout.node / "pod-logs"


def configuration(layout: Layout, *, ports: Mapping[str, int], serving: Pair, authority: Path) -> dict[str, Any]:
    """https://kubernetes.io/docs/reference/config-api/kubelet-config.v1beta1/"""
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": HOST,
        "port": ports[PART],
        "healthzBindAddress": HOST,
        "healthzPort": ports[HEALTH_PORT],
        "readOnlyPort": 0,
        "tlsCertFile": str(serving.certificate),
        "tlsPrivateKeyFile": str(serving.key),
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": str(authority)},
        },
        "authorization": {"mode": "Webhook"},
        "containerRuntimeEndpoint": f"unix://{containerd.socket_path(layout)}",
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{cgroups.name(layout.root)}",
        "failCgroupV1": False,
        "enforceNodeAllocatable": [],
        "localStorageCapacityIsolation": False,
        "podLogsDir": str(pod_logs(layout)),
        "volumePluginDir": str(folder(layout) / "plugins"),
        # The machine's name service is the pods' too: there is no other.
        "resolvConf": "/etc/resolv.conf",
        "failSwapOn": False,
        # The disk is the user's: neither how full it is nor what lies on it is this node's affair.
        "evictionHard": dict.fromkeys(("memory.available", "nodefs.available", "imagefs.available"), "0%"),
        "imageGCHighThresholdPercent": 100,
        "imageGCLowThresholdPercent": 99,
        "nodeStatusUpdateFrequency": "2s",
    }


def command(program: Path, layout: Layout) -> list[str]:
    return [
        str(program),
        f"--config={layout.configuration / 'kubelet.yaml'}",
        f"--kubeconfig={layout.configuration / 'kubelet.kubeconfig'}",
        f"--root-dir={folder(layout)}",
        f"--cert-dir={folder(layout) / 'pki'}",
        f"--hostname-override={NODE}",
        # It takes no loopback address of its own; as with a cloud, somebody else tells it (register.py).
        "--cloud-provider=external",
    ]


def log_links(layout: Layout) -> list[Path]:
    """The links to logs of this node's containers."""
    if not CONTAINER_LOGS.is_dir():
        return []
    return [
        link
        for link in CONTAINER_LOGS.iterdir()
        if link.is_symlink() and link.readlink().is_relative_to(pod_logs(layout))
    ]
