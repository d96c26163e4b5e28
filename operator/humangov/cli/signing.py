"""The signature of whoever approves or ends a stop, as the admission policies ask for it."""

from __future__ import annotations

from humangov.kube.client import KubeError
from humangov.kube.kube import Kube


async def signed_by(kube: Kube, annotation: str) -> dict[str, str]:
    """The annotation with the username; empty if the API server does not say it: the policies then refuse the rest."""
    try:
        return {annotation: await kube.user()}
    except KubeError:
        return {}
