"""What the process keeps of memory: few arenas of the C library, and nothing that is free already.

By default glibc gives threads arenas of their own, up to eight a processor, and keeps in each what was freed there. The
operator has dozens of threads, which mostly wait for AWS. Other C libraries lack these functions: nothing is done then.
https://man7.org/linux/man-pages/man3/mallopt.3.html
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
from typing import Any

ARENAS = 2
_M_ARENA_MAX = -8  # malloc.h


def limit_arenas() -> None:
    """Before there are threads. As MALLOC_ARENA_MAX does, which whoever starts the process would have to know."""
    _call("mallopt", _M_ARENA_MAX, ARENAS)


def settle() -> None:
    """What there is now stays: the garbage collector need not look through it again.

    Until the next time: a process that begins again leaves clients behind, which hold each other.
    """
    gc.unfreeze()
    gc.collect()
    gc.freeze()
    give_back()


def give_back() -> None:
    """Give back to the system what is free. Takes milliseconds, without the interpreter's lock."""
    _call("malloc_trim", 0)


def _call(function: str, *arguments: int) -> None:
    with contextlib.suppress(AttributeError, OSError):
        library: Any = ctypes.CDLL(None)
        getattr(library, function)(*arguments)
