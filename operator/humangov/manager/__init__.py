"""The operator as a process: what runs beside, before and around the reconciles.

`manager` starts and ends it. `leader_election` and `fence` see to it that one of several operators works. `watch` (all
of kopf) and `monitors` bring news; `enqueue` says which of it puts a key on the `workqueue`; `reconciliations` is what
the queue runs. `process_state` knows how far all that is, for `health` and `metrics`.
"""
