"""A real Kubernetes control plane and an emulated AWS on this machine, for demo, tests and benches.

It exists so that nobody needs a cluster or an AWS account to see the operator work, and nothing has to be mocked that
can be asked. A user's own cluster or account is used where KUBECONFIG and the AWS variables point at it. It imports
nothing of the operator, which it starts as a process, as its users do.

lifecycle.py, session.py   up and down; the sandbox for as long as one command needs it
choices.py, handle.py      what it starts, and what of the user's it uses; how others use it
state.py, report.py        what it remembers between commands; what `status` shows
cluster.py, pki.py         the control plane's certificates, configuration and command lines
emulator.py                the emulated AWS, in an environment of its own
node/                      a whole node, so that pods run
weather/                   AWS weather: what an emulator leaves out of AWS's behaviour
proxy.py, recorder.py      a proxy before AWS made of layers, and one that records every call
operations.py              which AWS operation a request asks for
local_operator.py          the operator as a local process, under its own service account
release.py, images.py      the operator as its users run it: the chart, and the image from the Dockerfile
delivery.py                that image brought to where pods run
serviceaccount.py          being a service account
api_server.py              the sandbox's own API server, asked without kubectl
helm.py, build.py          helm and the control plane, built from Go modules by gobuild.py and golang.py
s3_gateway.py              a second S3, Versity's gateway on a folder; built likewise
gitops.py                  what Argo CD and Flux do to an object, by their own code; built likewise
requirements.py            Python environments from locked requirements
paths.py, ports.py         where everything lies; free ports
probe.py, processes.py     whether a server answers; processes that outlive a command
errors.py                  what can go wrong, as sentences for a person
demo/                      the seed story: a program that uses all this, which nothing imports
"""

from sandbox.errors import SandboxError
from sandbox.handle import Sandbox
from sandbox.lifecycle import current, down, up

__all__ = ["Sandbox", "SandboxError", "current", "down", "up"]
