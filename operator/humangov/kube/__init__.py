"""All that is read from and written to Kubernetes, and nothing that decides about it.

`client` reaches the API server, and through its one `call` goes every request: its time-out, the fence before a write,
and KubeError for whatever goes wrong. Beside it a file for each kind of object: `tenants` (HumanGovStates), `events`,
`jobs` (CronJobs and Jobs of sweeps), `leases` (of the leader election). `kube` is what the operator is given: all of
them but the leases, over one connection.
"""
