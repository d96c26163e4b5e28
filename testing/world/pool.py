"""Thread pools without threads: tasks wait in a queue and run, in any order, when a result is asked for or in between.

So every history is the same each time, and a page of one segment of a scan can still come between two of another.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from types import TracebackType
from typing import Any, NamedTuple, Self


class _Task(NamedTuple):
    future: Future[Any]
    do: Callable[[], Any]


class _Waiting(Future[Any]):
    """A future that has its pool run until it is done."""

    def __init__(self, pool: Pool) -> None:
        super().__init__()
        self._pool = pool

    def result(self, timeout: float | None = None) -> Any:
        self._pool.run_until(self)
        return super().result(0)

    def exception(self, timeout: float | None = None) -> BaseException | None:
        self._pool.run_until(self)
        return super().exception(0)


class Pool:
    """As ThreadPoolExecutor, as far as the operator uses it."""

    def __init__(self, chance: random.Random) -> None:
        self._chance, self._tasks = chance, list[_Task]()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None or issubclass(kind, Exception):
            self.run()

    def submit(self, function: Callable[..., Any], *arguments: Any, **more: Any) -> Future[Any]:
        future = _Waiting(self)
        self._tasks.append(_Task(future, lambda: function(*arguments, **more)))
        return future

    def map(self, function: Callable[..., Any], *several: Iterable[Any], **_more: Any) -> Iterator[Any]:
        futures = [self.submit(function, *one) for one in zip(*several, strict=False)]
        return (future.result() for future in futures)

    def shutdown(self, **_more: Any) -> None:
        self.run()

    def one(self) -> bool:
        """Runs one task that waits. A dead process raises through it, as its other threads end too."""
        if not self._tasks:
            return False
        task = self._tasks.pop(self._chance.randrange(len(self._tasks)))
        try:
            task.future.set_result(task.do())
        except Exception as error:
            task.future.set_exception(error)
        return True

    def run(self) -> None:
        while self.one():
            pass

    def run_until(self, future: Future[Any]) -> None:
        while not future.done() and self.one():
            pass


def wait(futures: Sequence[Future[Any]], **_more: Any) -> tuple[set[Future[Any]], set[Future[Any]]]:
    """As concurrent.futures.wait, for futures of such a pool: all are done, or one has failed."""
    for one in futures:
        if one.exception() is not None:
            break
    return {one for one in futures if one.done()}, {one for one in futures if not one.done()}
