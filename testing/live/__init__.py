"""What tests on real parts share: the sandbox's API server and emulated AWS, and operators that run as processes.

cluster.py        the API server as its administrator sees it
states.py         HumanGovStates in one namespace, as a user with kubectl sees and changes them
account.py        one account of the emulated AWS: what people and the application do there, and what is left in the end
command.py        `humangov` as one types it
forked.py         both as processes that are forked from one that has loaded the modules
waiting.py        waiting for a condition, with a deadline
aws_faults.py     what goes wrong between the operator and AWS
enforcing_aws.py  an emulated AWS that asks policies
sweep_pods.py     the pods of sweeps, run as processes where there is no node
audit_log.py      what one user did at the API server
kube_evidence.py  what all operators of a run asked of the API server, for tests/after
aws_evidence.py   what they asked of AWS, for tests/after
"""
