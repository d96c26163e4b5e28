"""What `humangov stop` and `humangov start` share: which HumanGovStates, what is written, what the operator answers.

Both write under a field manager of their own, by which neither Argo CD nor Flux undoes it.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

import click

from humangov.api.conditions import STOPPED, find_condition
from humangov.api.signatures import START_SIGNATURE
from humangov.api.spec import KIND, PLURAL
from humangov.api.stop import REASON_KEY, STOP_ANNOTATION, STOP_CONFIG_MAP, STOP_FIELD_MANAGER
from humangov.aws.identity import UnknownTenantError
from humangov.cli import lookup, terminal
from humangov.cli.options import Option, Seconds, all_of, output
from humangov.cli.signing import signed_by
from humangov.kube import client
from humangov.kube.client import KubeError, Resource
from humangov.kube.kube import Kube
from humangov.kube.tenant_in_cluster import OPERATOR_NAMESPACE
from humangov.kube.tenants import by_name

_ASKED_EVERY_SECONDS = 0.5

target_options: Option[Any] = all_of(
    click.argument("tenants", nargs=-1, metavar="[TENANT]..."),
    click.option(
        "--all", "every", is_flag=True,
        help=f"Every {KIND} of this operator, present and future: ConfigMap {STOP_CONFIG_MAP} in its namespace.",
    ),
    click.option("-n", "--namespace", show_default="the context's", help="Namespace of a TENANT given as NAME."),
    click.option(
        "--operator-namespace", envvar="HUMANGOV_OPERATOR_NAMESPACE", default=OPERATOR_NAMESPACE,
        help="The operator's namespace, for --all.",
    ),
    click.option(
        "--wait", "wait_seconds", type=Seconds(min=0), default=30.0, metavar="SECONDS",
        help="How long to wait for the operator's confirmation. 0: do not wait.",
    ),
    output(),
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Targets:
    """Which HumanGovStates are meant. every: all of the operator; tenants is then empty."""

    tenants: tuple[str, ...]
    every: bool
    namespace: str | None
    operator_namespace: str
    wait_seconds: float
    form: str

    def __post_init__(self) -> None:
        if bool(self.tenants) == self.every:
            raise click.UsageError("expected either one TENANT or more, or --all")


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What became of one HumanGovState. confirmed: the operator says so; problem: it could not be written."""

    key: str
    confirmed: bool
    text: str
    problem: bool = False

    @property
    def result(self) -> str:
        """For programs; stable."""
        return "Failed" if self.problem else "Confirmed" if self.confirmed else "NotConfirmed"


def stop(targets: Targets, *, reason: str) -> list[Answer]:
    """Raises ClickException."""

    async def write(kube: Kube, resource: Resource) -> None:
        annotations = {STOP_ANNOTATION: await _signed(kube, reason)}
        await kube.annotate(resource, annotations, field_manager=STOP_FIELD_MANAGER)

    async def write_all(kube: Kube) -> None:
        data = {REASON_KEY: await _signed(kube, reason)}
        where = targets.operator_namespace
        await kube.apply_config_map(where, STOP_CONFIG_MAP, data, field_manager=STOP_FIELD_MANAGER)

    return _run(_write(targets, one=write, all_=write_all, confirms=_is_stopped))


def start(targets: Targets) -> list[Answer]:
    """Raises ClickException."""

    async def write(kube: Kube, resource: Resource) -> None:
        signature = await signed_by(kube, START_SIGNATURE)
        await kube.remove_annotation(resource, STOP_ANNOTATION, beside=signature, field_manager=STOP_FIELD_MANAGER)

    async def write_all(kube: Kube) -> None:
        where = targets.operator_namespace
        signature = await signed_by(kube, START_SIGNATURE)
        await kube.annotate_config_map(where, STOP_CONFIG_MAP, signature, field_manager=STOP_FIELD_MANAGER)
        await kube.delete_config_map(where, STOP_CONFIG_MAP)

    return _run(_write(targets, one=write, all_=write_all, confirms=_is_started))


def show(answers: Sequence[Answer], *, form: str) -> None:
    """And end the process: 0 if the operator confirmed all, 2 if not yet, 1 where something was not written."""
    terminal.show_each(
        answers,
        form=form,
        show_one=lambda one: terminal.show(f"{one.key}: {one.text}", err=one.problem),
        whole=lambda every: {"tenants": [_fields(one) for one in every]},
    )
    if any(answer.problem for answer in answers):
        sys.exit(1)
    sys.exit(0 if all(answer.confirmed for answer in answers) else 2)


def _fields(answer: Answer) -> dict[str, str]:
    return {"tenant": answer.key, "result": answer.result, "message": answer.text}


def _run(answers: Awaitable[list[Answer]]) -> list[Answer]:
    async def run() -> list[Answer]:
        return await answers

    try:
        return asyncio.run(run())
    except (KubeError, UnknownTenantError) as error:
        raise click.ClickException(str(error)) from error


async def _write(
    targets: Targets,
    *,
    one: Callable[[Kube, Resource], Awaitable[None]],
    all_: Callable[[Kube], Awaitable[None]],
    confirms: Callable[[Resource], bool],
) -> list[Answer]:
    """Raises KubeError, UnknownTenantError."""
    kube = Kube()
    try:
        if targets.every:
            await all_(kube)
            written, refused = await _every(kube)
        else:
            asked = [
                lookup.split(name, namespace=targets.namespace, default=client.context_namespace())
                for name in targets.tenants
            ]
            results = await asyncio.gather(*(_one(kube, *who, one) for who in asked))
            written = [result for result in results if not isinstance(result, Answer)]
            refused = tuple(result for result in results if isinstance(result, Answer))
        return [*refused, *await _confirmed(kube, written, confirms, within_seconds=targets.wait_seconds)]
    finally:
        await kube.close()


async def _one(
    kube: Kube, namespace: str, name: str, write: Callable[[Kube, Resource], Awaitable[None]]
) -> Resource | Answer:  # fmt: skip
    """As it was read before; the answer if it could not be written, for the others must not wait for that."""
    key = f"{namespace}/{name}"
    try:
        resource = await kube.read(by_name(namespace, name))
        if resource is None:
            return Answer(key=key, confirmed=False, problem=True, text=f"there is no such {KIND} in this cluster")
        await write(kube, resource)
    except KubeError as error:
        return Answer(key=key, confirmed=False, problem=True, text=str(error))
    return resource


async def _every(kube: Kube) -> tuple[Sequence[Resource], tuple[Answer, ...]]:
    """Those whose confirmation can be read, or why it can't: a person may not be allowed to list all."""
    try:
        return await kube.list_resources(()), ()
    except KubeError as error:
        text = f"written, but the operator's confirmation can't be read: {error}"
        return (), (Answer(key="all", confirmed=False, text=text),)


async def _confirmed(
    kube: Kube, written: Sequence[Resource], confirms: Callable[[Resource], bool], *, within_seconds: float
) -> list[Answer]:
    deadline = time.monotonic() + within_seconds
    return list(await asyncio.gather(*(_confirmation(kube, one, confirms, deadline=deadline) for one in written)))


async def _confirmation(
    kube: Kube, resource: Resource, confirms: Callable[[Resource], bool], *, deadline: float
) -> Answer:  # fmt: skip
    """Asked at least once."""
    metadata = resource["metadata"]
    key = f"{metadata['namespace']}/{metadata['name']}"
    while True:
        newest = await kube.read(resource)
        if newest is None:
            return Answer(key=key, confirmed=True, text="it does not exist any more")
        condition = find_condition(newest.get("status") or {}, STOPPED)
        text = condition["message"] if condition else "the operator has not reported it yet"
        if confirms(newest):
            return Answer(key=key, confirmed=True, text=text if condition else "is not stopped")
        if time.monotonic() >= deadline:
            more = f"not confirmed by the operator yet: kubectl get {PLURAL} -n {metadata['namespace']}"
            return Answer(key=key, confirmed=False, text=f"{more} {metadata['name']}. {text}")
        await asyncio.sleep(_ASKED_EVERY_SECONDS)


def _is_stopped(resource: Resource) -> bool:
    condition = find_condition(resource.get("status") or {}, STOPPED)
    return condition is not None and condition["status"] == "True"


def _is_started(resource: Resource) -> bool:
    condition = find_condition(resource.get("status") or {}, STOPPED)
    return condition is None or condition["status"] == "False"


async def _signed(kube: Kube, reason: str) -> str:
    """The reason, and who gives it, if the API server says."""
    try:
        user = await kube.user()
    except KubeError:
        return reason
    return f"{reason} ({user})".strip()
