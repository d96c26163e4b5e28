"""The end of the operator's process, in worlds where it runs in the test's own."""

from __future__ import annotations


class Killed(BaseException):
    """The process has ended: nothing that it calls afterwards has any effect, and nothing in it can catch this."""
