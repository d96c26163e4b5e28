"""A whole node on this machine: containerd and kubelet, so that pods run as they run anywhere.

It exists because a control plane alone starts no pod: the image, the chart's security settings, probes, a sweep's Job
and helm's hooks are shown only where something runs them. It needs root and Debian's packages. All of it lies in the
sandbox's folder: containers, images, volumes, sockets. What the kernel holds for it (mounts, cgroups) is found by that
folder's name, also after a crash.

packages.py     what must be installed, and whether this machine can run a node at all
cgroups.py      the node's own cgroup, under which every container runs
containerd.py   the container runtime: its configuration and command line
kubelet.py      the node's agent: its configuration and command line
register.py     what a cloud would tell Kubernetes of the node
remains.py      what a node leaves behind when it is killed, found and removed
"""
