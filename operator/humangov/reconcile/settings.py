"""The operator's settings, as `humangov run` takes them from flags and environment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from humangov.api.allowed_names import AllowedNames
from humangov.reconcile.code_rollout import Pace


@dataclass(frozen=True, kw_only=True)
class Settings:
    """`namespaces` empty = all.

    sweep_template             name of the CronJob in own_namespace with the pod template of sweeps; None: no sweeps
    maximum_concurrent_sweeps  how many run at once in the cluster; the others wait
    code_rollout               how the function's new code is rolled out; None: to every tenant at once
    moved_from                 UIDs of the clusters from which HumanGovStates were moved here
    """

    region: str
    allowed: AllowedNames
    namespaces: tuple[str, ...] = ()
    default_tags: Mapping[str, str] = field(default_factory=dict)
    permissions_boundary_arn: str | None = None
    sweep_template: str | None = None
    maximum_concurrent_sweeps: int = 10
    own_namespace: str = "humangov"
    code_rollout: Pace | None = None
    moved_from: frozenset[str] = frozenset()
