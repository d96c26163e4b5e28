"""The API server as one object: what reconcile is given."""

from __future__ import annotations

from humangov.kube.config_maps import ConfigMaps
from humangov.kube.events import Events
from humangov.kube.jobs import Jobs
from humangov.kube.tenants import Tenants


class Kube(Tenants, Events, Jobs, ConfigMaps):
    """HumanGovStates, events, Jobs and ConfigMaps over one connection and behind one fence.

    One object and not four: reconcile takes it by one protocol (`reconcile.context.KubeWriter`), and the tests' world
    implements that as a whole, for its versions, finalizers and lost answers belong together. Whoever needs one kind of
    object takes its class alone. Leases are apart: their renewal must wait for nothing else.
    """
