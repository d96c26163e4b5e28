"""Every AWS name that derives from a HumanGovState. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

from humangov.api.arns import Arn
from humangov.api.spec import Tenant

OWNER_TAG = "humangov.io/tenant"
ORIGIN_TAG = "humangov.io/origin"
"""Whose resource it was first; it stays where the ownership tag is removed, so that nobody else adopts it."""
CLUSTER_UID_TAG = "humangov.io/cluster-uid"
"""Which cluster's it is. A name can be given to two clusters; the UID of namespace kube-system is one cluster's."""
ROLE_PATH = "/humangov/"


@dataclass(frozen=True, kw_only=True)
class Identity:
    """Where a tenant's AWS resources are: written to status.aws before the first one is created.

    cluster_uid  the UID of this cluster's namespace kube-system; None: not known
    moved_from   UIDs of clusters from which HumanGovStates were moved here: what is theirs is this cluster's now
    """

    account_id: str
    region: str
    cluster: str
    partition: str = field(compare=False)
    cluster_uid: str | None = field(default=None, compare=False)
    moved_from: frozenset[str] = field(default=frozenset(), compare=False)

    @property
    def recorded(self) -> dict[str, str]:
        """As status.aws."""
        uid = {"clusterUID": self.cluster_uid} if self.cluster_uid else {}
        return {"accountID": self.account_id, "region": self.region, "cluster": self.cluster, **uid}


@dataclass(frozen=True, kw_only=True)
class Names:
    """Every AWS name of one tenant in one account."""

    tenant: Tenant
    identity: Identity

    @cached_property
    def owner(self) -> str:
        """Value of the ownership tag: `<cluster>/<namespace>/<name>`."""
        return f"{self.identity.cluster}/{self.tenant.namespace}/{self.tenant.name}"

    def _arn(self, service: str, resource: str, *, region: str | None = None, account_id: str | None = None) -> str:
        return str(
            Arn(
                partition=self.identity.partition,
                service=service,
                region=self.identity.region if region is None else region,
                account_id=self.identity.account_id if account_id is None else account_id,
                resource=resource,
            )
        )

    @cached_property
    def table_arn(self) -> str:
        return self._arn("dynamodb", f"table/{self.tenant.table.name}")

    @cached_property
    def bucket_arn(self) -> str:
        return self._arn("s3", self.tenant.bucket.name, region="", account_id="")

    @cached_property
    def failures_bucket_arn(self) -> str:
        return self._arn("s3", self.tenant.failures.bucket, region="", account_id="")

    @property
    def any_key_arn(self) -> str:
        """Every KMS key of the account in the region."""
        return self._arn("kms", "key/*")

    @cached_property
    def role_arn(self) -> str:
        return self._arn("iam", f"role{ROLE_PATH}{self.tenant.role_name}", region="")

    @cached_property
    def function_arn(self) -> str:
        return self._arn("lambda", f"function:{self.tenant.function.name}")

    def mapping_arn(self, uuid: str) -> str:
        return self._arn("lambda", f"event-source-mapping:{uuid}")

    @cached_property
    def log_group_arn(self) -> str:
        return self._arn("logs", f"log-group:{self.tenant.log_group_name}")
