"""A line of keys that are due: the one that waits longest comes first, unless its namespace is passed over."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Collection
from dataclasses import dataclass, field

_Place = tuple[float, str]
"""When the key fell due, and the key."""


def namespace_of(key: str) -> str:
    """Of `namespace/name`."""
    return key.partition("/")[0]


@dataclass
class Line:
    """A heap for each namespace, and one of their first places. A step takes the logarithm of what is in line.

    What has left the line otherwise than by being first stays in it until it comes up: `first` is told what waits.
    """

    _of_namespace: dict[str, list[_Place]] = field(default_factory=dict)
    _firsts: list[_Place] = field(default_factory=list)

    def add(self, due: float, key: str) -> None:
        heap = self._of_namespace.setdefault(namespace_of(key), [])
        heapq.heappush(heap, (due, key))
        if heap[0] == (due, key):
            heapq.heappush(self._firsts, (due, key))

    def first(self, waits: Callable[[float, str], bool], *, passing_over: Collection[str]) -> _Place | None:
        """The first that still waits and whose namespace is not passed over. It stays in line."""
        aside: list[_Place] = []
        found: _Place | None = None
        while self._firsts and found is None:
            place = self._firsts[0]
            namespace = namespace_of(place[1])
            heap = self._of_namespace.get(namespace)
            if not heap or heap[0] != place:  # of its namespace another is first by now
                heapq.heappop(self._firsts)
            elif not waits(*place):
                heapq.heappop(self._firsts)
                self._drop_first(namespace)
            elif namespace in passing_over:
                aside.append(heapq.heappop(self._firsts))
            else:
                found = place
        for place in aside:
            heapq.heappush(self._firsts, place)
        return found

    def _drop_first(self, namespace: str) -> None:
        heap = self._of_namespace[namespace]
        heapq.heappop(heap)
        if heap:
            heapq.heappush(self._firsts, heap[0])
        else:
            del self._of_namespace[namespace]
