"""The watch on the real API server begins with a list in pages, and goes on from where the list was."""

from __future__ import annotations

import asyncio

import pytest
from humangov.kube import client
from humangov.kube.client import Resource
from humangov.manager import watch

from testing.live.states import States

NAMES = ["alabama", "alaska", "arizona", "arkansas", "california"]


class Seen:
    """What a watch tells, by kind; `states` are changed in a thread, for the loop is the watch's."""

    def __init__(self) -> None:
        self.events: list[tuple[str, str]] = []
        self._more = asyncio.Event()

    async def __call__(self, kind: str, state: Resource) -> None:
        self.events.append((kind, state["metadata"]["name"]))
        self._more.set()

    async def wait(self, number: int) -> None:
        async with asyncio.timeout(30):
            while len(self.events) < number:
                self._more.clear()
                await self._more.wait()


def test_watch_hands_on_every_page_of_its_first_list_and_then_each_change(
    states: States, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "PAGE", 2)
    monkeypatch.setenv("KUBECONFIG", states.cluster.sandbox.environment()["KUBECONFIG"])
    for name in NAMES:
        bucket, table = {"name": f"humangov-{name}-s3-{states.namespace}"}, {"name": f"humangov-{name}-dynamodb"}
        states.create(states.manifest(name, bucket=bucket, table=table))

    async def story() -> list[tuple[str, str]]:
        seen, stop = Seen(), asyncio.Event()
        watching = watch.start(namespaces=[states.namespace], on_event=seen, stop=stop, ready=asyncio.Event())
        try:
            await seen.wait(len(NAMES))
            await asyncio.to_thread(states.annotate, "arizona", reconcile="1")
            await asyncio.to_thread(states.delete, "alaska")
            await seen.wait(len(NAMES) + 2)
        finally:
            stop.set()
            await watching
        return seen.events

    events = asyncio.run(story())
    assert sorted(events[: len(NAMES)]) == [("None", name) for name in NAMES]
    assert sorted(events[len(NAMES) :]) == [("DELETED", "alaska"), ("MODIFIED", "arizona")]
