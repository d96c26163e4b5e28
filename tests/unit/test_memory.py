"""The process keeps few arenas of the C library, and what is free is given back. In processes of their own."""

from __future__ import annotations

import platform
import re
import subprocess
import sys
from pathlib import Path

import humangov
import pytest
from humangov.manager import memory

ALLOCATING = """
import ctypes, threading
from humangov.manager import memory
{before}
library = ctypes.CDLL(None)
library.malloc.restype = ctypes.c_void_p
library.free.argtypes = [ctypes.c_void_p]
together = threading.Barrier(20)
def allocate():
    together.wait()
    for _ in range(200):
        library.free(library.malloc(9000))
threads = [threading.Thread(target=allocate) for _ in range(20)]
[one.start() for one in threads]
[one.join() for one in threads]
library.fdopen.restype = ctypes.c_void_p
library.malloc_info.argtypes = [ctypes.c_int, ctypes.c_void_p]
library.malloc_info(0, library.fdopen(1, b"w"))
library.fflush(None)
"""
FREED = """
import ctypes
from humangov.manager import memory
def resident():
    return int(open("/proc/self/statm").read().split()[1]) * 4096
library = ctypes.CDLL(None)
library.malloc.restype = ctypes.c_void_p
library.free.argtypes = [ctypes.c_void_p]
blocks = [library.malloc(16384) for _ in range(6400)]
[ctypes.memset(block, 1, 16384) for block in blocks]
full = resident()
[library.free(block) for block in blocks[:-1]]  # the last one keeps the heap's end
kept = resident()
{give_back}
print(full - kept, kept - resident())
"""
GLIBC = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library has no such functions")
MIB = 1024**2


def printed(program: str) -> str:
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout


@GLIBC
def test_threads_do_not_get_arenas_of_their_own() -> None:
    assert printed(ALLOCATING.format(before="")).count("<heap nr=") > 2, "it would show nothing"
    assert printed(ALLOCATING.format(before="memory.limit_arenas()")).count("<heap nr=") <= 2


@GLIBC
def test_what_is_free_in_the_middle_of_the_heap_is_given_back() -> None:
    _, without = map(int, printed(FREED.format(give_back="")).split())
    assert without < MIB
    _, given_back = map(int, printed(FREED.format(give_back="memory.give_back()")).split())
    assert given_back > 80 * MIB


def test_what_a_process_that_begins_again_leaves_behind_is_collected() -> None:
    program = """
import weakref
from humangov.manager import memory
class Clients:
    pass
left = []
for _ in range(3):
    clients = Clients()
    clients.own = clients  # as the SDK's hold each other
    memory.settle()
    left.append(weakref.ref(clients))
    del clients
    memory.settle()
print(sum(one() is not None for one in left))
"""
    assert printed(program).split() == ["0"]


def test_another_c_library_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ctypes.CDLL", lambda _: object())
    memory.limit_arenas()
    memory.give_back()


def test_operator_uses_no_class_of_the_client_library_that_loads_the_models_of_the_whole_api() -> None:
    """They take half a second of processor time, in the event loop, and the lease was not renewed meanwhile."""
    library = re.compile(r"\bclient\.(?!ApiClient|Configuration)([A-Z]\w*)")
    package = Path(humangov.__file__).parent
    uses_library = [file for file in package.rglob("*.py") if "from kubernetes" in file.read_text()]
    assert uses_library
    found = {name for file in uses_library for name in library.findall(file.read_text())}
    assert found - {"KubeError"} == set()


def test_operator_does_not_import_the_synchronous_kubernetes_client() -> None:
    loaded = printed("import sys, humangov.manager.manager; print(*sys.modules)").split()
    assert "kubernetes.aio.client.api_client" in loaded
    unwanted = {"kubernetes.dynamic", "kubernetes.stream", "kubernetes.client.api_client", "requests_oauthlib"}
    assert not unwanted & set(loaded)
    later = "import humangov.kube.client, kubernetes.dynamic; from kubernetes import client; print(client.CoreV1Api)"
    assert "CoreV1Api" in printed(later)
