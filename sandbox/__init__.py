"""A real Kubernetes control plane and an emulated AWS on this machine, for demo, tests and benches."""

from sandbox.errors import SandboxError
from sandbox.handle import Sandbox
from sandbox.lifecycle import current, down, up

__all__ = ["Sandbox", "SandboxError", "current", "down", "up"]
