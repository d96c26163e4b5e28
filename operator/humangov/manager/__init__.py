"""The operator as a process: what runs beside, before and around reconciliations.

`manager` starts and ends it. `leader_election` and `fence` ensure that only the leader works. `watch` (all of kopf) and
`monitors` bring changes; `enqueue` decides which of them put a key on the `workqueue`; `reconciliations` is what the
queue runs. `process_state` is the state of all that, for `health` and `metrics`.
"""
