"""A tenant's world for whole reconciles: emulated AWS, an API server in memory, and what goes wrong between.

world.py           it ties the parts together: an account, an API server, and the operator's processes
clock.py           the operator's clock, which tests move on
line.py            what all calls pass: recorded, failed, cut off by the process's end
sdk.py             the way into AWS: the operator's own clients before MiniStack, and how tests look at it
direct.py          the SDK's calls without endpoint rules, signatures and retries
wire.py            the emulated AWS on a plain socket
kube.py            an API server in memory
process.py         one process of the operator, from its start to its end
snapshot.py        all that the operator owns in AWS, so that equal worlds are equal

drifts.py          what people change by hand, one thing at a time
ownership_tags.py  what people do to ownership tags, and what does not carry the tenant's
walkthrough.py     what the hand-made walkthrough leaves, to be adopted
neighbour.py       somebody else's objects, which nothing may touch
flows.py           what happens to a tenant, from a world in sync to a world in sync
matrix.py          every flow cut off, and failed, at every call that it makes
random_lives.py    lives that Hypothesis draws, and what always holds of them
"""
