"""All that is read from and written to Kubernetes, and nothing that decides about it.

`client` reaches the API server, and through its one `call` goes every request: its time-out, the fence before a write,
and KubeError for whatever goes wrong. Beside it a file for each kind of object: `tenants` (HumanGovStates), `events`,
`jobs` (CronJobs and Jobs of sweeps), `leases` (of the leader election). `kube` is what the operator is given: all of
them but the leases, over one connection.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import sys


def _without_the_synchronous_client() -> None:
    """`kubernetes` imports all of its parts when one is imported, 230 modules of which only `kubernetes.aio` is used.

    So the package is there, but its own code is not run: 7 MiB less. Who needs another part can still import it.
    """
    spec = importlib.util.find_spec("kubernetes")
    if spec is not None and "kubernetes" not in sys.modules:
        package = importlib.util.module_from_spec(spec)
        vars(package)["__version__"] = importlib.metadata.version("kubernetes")  # which its other parts ask for
        sys.modules["kubernetes"] = package


_without_the_synchronous_client()
