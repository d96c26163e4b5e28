"""How the process runs, beside what it does."""

from __future__ import annotations

from dataclasses import dataclass

from humangov.aws.budget import SHARE


@dataclass(frozen=True, kw_only=True)
class RunSettings:
    """How the process runs, beside what it does."""

    cluster_name: str | None
    resync_seconds: float
    workers: int
    probe_host: str
    probe_port: int | None  # None: no probes
    lease_namespace: str | None  # None: no election, for there is no other operator
    aws_limits_share: float = SHARE  # of AWS's limits, for resyncs; 0: no budget
    aws_limits_published: bool = True  # what is called has AWS's published limits
