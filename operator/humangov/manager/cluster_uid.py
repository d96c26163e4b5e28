"""The UID of this cluster, which tells it from another one of the same name.

While it can't be read it is unknown: what has the UID tag of a cluster is then this one's only if status.aws says so.
"""

from __future__ import annotations

import logging

from humangov.kube.client import KubeError
from humangov.kube.kube import Kube
from humangov.reconcile.context import Operator

logger = logging.getLogger(__name__)

_DENIED, _ABSENT = 403, 404


async def read(operator: Operator, kube: Kube) -> None:
    """Put it into the store, unless it is there: it never changes. Raises KubeError if it may succeed in a moment."""
    if operator.store.cluster_uid is not None:
        return
    try:
        operator.store.cluster_uid = await kube.cluster_uid(needed=False)
    except KubeError as error:
        if error.status not in (_DENIED, _ABSENT):
            raise
        logger.warning(
            "%s. Until it can be read, the operator does not notice another cluster with the name %s when it creates "
            "AWS resources",
            error, operator.cluster,
        )  # fmt: skip


async def read_again(operator: Operator, kube: Kube) -> None:
    """The same; what fails is tried again in a while."""
    try:
        await read(operator, kube)
    except KubeError as error:
        logger.warning("%s", error)
