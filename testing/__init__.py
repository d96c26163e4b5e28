"""What tests and benches share: worlds in which operator, cleanup function and sweep run, and what tries them there.

reconciler/      whole reconciles: emulated AWS, an API server in memory, a fault or the process's end at any call; the
                 crash and fault matrix, and random lives. It can't show the watch, the queue, or two processes.
event_source/    Lambda's event source for a DynamoDB stream, and a tenant in memory: batches, retries, redelivery.
                 The function runs in this process or under the runtime below. It can't show Lambda's real polling.
lambda_runtime/  Lambda's Runtime API: the very zip in a process, time-outs and kills. It can't show memory limits.
sweep/           a tenant in memory behind the SDK's real clients: what a sweep reads, decides and erases. It can't show
                 its Job, its permissions, or its speed.
world/           all of that together, against an application, faults and wrong clocks: function, redrive, sweep and
                 final read in one history drawn from a seed. It can't show IAM, HTTP, or the SDK's own retries.
live/            on real parts: a namespace of the sandbox's API server, an account of its emulated AWS, the operator's
                 processes and what they asked for. It shows what the others can't, a hundred times slower.

samples.py       a sample tenant, for tests of decisions that need no world
documents.py     YAML, read fast
iam.py           what IAM policies allow
kstatus.py       kstatus's rules
order.py         in which order several workers take the tests
schedules.py     schedules that the CronJob API accepts and refuses
receipt_chain.py  what a reader of receipts checks
zips.py          a function's code as one uploads it
cpu_seconds.py   what tests cost in processor seconds (pytest --cpu)

Dependencies go one way, and the import linter holds it: tests and benches import this; this imports the operator and
`sandbox` (never `sandbox.demo`), and neither `tests` nor `bench`. Which world a new test belongs in: tests/README.md.
"""
