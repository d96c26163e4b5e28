"""`up`, `down` and `current`: what runs, in which order, and what is done about what does not run."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace

from sandbox import build, choices, cluster, emulator, handle, ports, processes
from sandbox.choices import Choice
from sandbox.errors import PartStoppedError, SandboxError
from sandbox.handle import Sandbox
from sandbox.node import cgroups, containerd, kubelet, packages, register, remains
from sandbox.paths import Layout
from sandbox.state import Part, SandboxState, load, locked, save

Say = Callable[[str], None]
# Two cores shared by eighteen processes needed more than 90 s. A part that ends is reported at once.
READY_SECONDS = 300.0
REMARK_SECONDS = 30.0
# How long a part that was up already may take to answer before it is restarted.
ANSWER_SECONDS = 5.0
# A port can be taken by someone between our look and our bind.
ATTEMPTS = 3
ADDRESS_TAKEN = "address already in use"
_ASKERS = (cluster.CONTROLLER_MANAGER, cluster.SCHEDULER, kubelet.PART)


def silent(_: str) -> None:
    """For callers who want no progress."""


@dataclass(frozen=True)
class Startable:
    """How one part is started, and how it shows that it works."""

    name: str
    command: list[str]
    environment: Mapping[str, str]
    address: str
    ready: Callable[[], bool]


def up(
    *,
    kubernetes: bool = True,
    aws: bool = True,
    node: bool = False,
    controllers: bool = True,
    environ: Mapping[str, str] = os.environ,
    say: Say = silent,
) -> Sandbox:
    """Start what is not running and wait until all answers. Harmless if it is up; mends it if half dead.

    `node`: with a node, on which pods run; where the user's own cluster is used, it has its own. Without `controllers`
    nothing empties a deleted namespace or makes pods: for who needs neither, and so has less to build.
    Raises SandboxError, with a sentence for the user, for whatever cannot be done.
    """
    _require_linux()
    layout = Layout.of(environ)
    choice = choices.choose(environ, layout, kubernetes=kubernetes, aws=aws, node=node, controllers=controllers)
    for line in choices.explain(choice):
        say(line)
    if choice.node:
        packages.ensure(say=say)
    programs = None
    with ThreadPoolExecutor(1) as beside:  # one is fetched while the other is compiled
        installing = beside.submit(emulator.install, say=say, environ=environ) if choice.aws == "emulator" else None
        if choice.kubernetes == "sandbox":
            programs = build.locate(controllers=choice.controllers, node=choice.node, say=say, environ=environ)
        kubectl = _kubectl(choice, programs, say=say, environ=environ)
        if installing is not None:
            installing.result()
    with _locked(layout, say):
        for attempt in range(1, ATTEMPTS + 1):
            try:
                state = _bring_up(layout, choice, programs, kubectl=kubectl, environ=environ, say=say)
            except PartStoppedError as error:
                taken = any(ADDRESS_TAKEN in line.lower() for line in error.log)
                if not taken or attempt == ATTEMPTS:
                    raise
                say(f"a port of {error.part} was taken in the meantime: once more, with others")
            else:
                return handle.of(layout, state)
    raise AssertionError("unreachable")


def current(*, environ: Mapping[str, str] = os.environ) -> Sandbox | None:
    """The sandbox, if it was brought up and every part of it lives."""
    layout = Layout.of(environ)
    state = load(layout.state)
    if not state.up or not all(processes.alive(part.process) for part in state.parts.values()):
        return None
    return handle.of(layout, state)


def down(*, purge: bool = False, environ: Mapping[str, str] = os.environ, say: Say = silent) -> None:
    """Stop all that this sandbox started, forget its data; logs stay, unless `purge`. Harmless when down."""
    layout = Layout.of(environ)
    if not layout.root.exists():
        return
    with _locked(layout, say):
        _stop_everything(layout, say)
        _forget_data(layout)
        save(layout.state, load(layout.state).stopped())
        left = [f"process {process.pid}" for process in processes.of_sandbox(layout.root)] + remains.found(layout)
        if left:
            raise SandboxError("This of the sandbox is left:\n" + "\n".join(f"  | {one}" for one in left))
        if purge:
            shutil.rmtree(layout.root)


def _require_linux() -> None:
    if not (processes.PROC / "self" / "stat").exists():
        raise SandboxError(
            "The sandbox knows its processes by /proc, which only Linux has. On another system, name a cluster "
            "in KUBECONFIG and an endpoint in AWS_ENDPOINT_URL, and use them without the sandbox."
        )


def programs_of(
    layout: Layout,
    choice: Choice,
    programs: build.Programs | None,
    *,
    known_ports: Mapping[str, int],
    path: str,
) -> dict[str, Startable]:
    """Every part that `choice` asks for, in the order in which they need each other."""
    result: list[Startable] = []
    if choice.aws == "emulator":
        result.append(
            Startable(
                name=emulator.PART,
                command=emulator.command(),
                environment=_environment(layout, path) | emulator.environment(layout, port=known_ports[emulator.PART]),
                address=emulator.address(known_ports),
                ready=lambda: emulator.ready(known_ports),
            )
        )
    if programs is not None:
        identities = cluster.existing_identities(layout.certificates)
        commands = cluster.commands(programs, layout, ports=known_ports, identities=identities)
        result += [
            Startable(
                name=name,
                command=commands[name],
                environment=_environment(layout, path),
                address=cluster.address(name, known_ports),
                ready=_cluster_probe(name, ports=known_ports, identities=identities),
            )
            for name in cluster.PARTS
            if name in commands
        ]
        if choice.node:
            result += _node_programs(
                layout, programs, commands=commands, identities=identities, known_ports=known_ports, path=path
            )
    return {program.name: program for program in result}


def _node_programs(
    layout: Layout,
    programs: build.Programs,
    *,
    commands: Mapping[str, list[str]],
    identities: cluster.Identities,
    known_ports: Mapping[str, int],
    path: str,
) -> list[Startable]:
    environment = _environment(layout, os.pathsep.join([path, packages.PATH]))
    ready: Mapping[str, Callable[[], bool]] = {
        containerd.PART: lambda: containerd.ready(layout),
        cluster.SCHEDULER: _cluster_probe(cluster.SCHEDULER, ports=known_ports, identities=identities),
        kubelet.PART: lambda: register.register(
            kubectl=programs.kubectl, kubeconfig=layout.kubeconfig, environment=environment
        ),
    }
    addresses = {
        containerd.PART: f"unix://{containerd.socket_path(layout)}",
        **{name: cluster.address(name, known_ports) for name in (cluster.SCHEDULER, kubelet.PART)},
    }
    return [
        Startable(
            name=name, command=commands[name], environment=environment, address=addresses[name], ready=ready[name]
        )
        for name in cluster.NODE_PARTS
    ]


def port_names(choice: Choice) -> list[str]:
    kubernetes = list(cluster.PORTS) if choice.kubernetes == "sandbox" else []
    kubernetes += cluster.NODE_PORTS if choice.node else ()
    return kubernetes + ([emulator.PART] if choice.aws == "emulator" else [])


def _bring_up(
    layout: Layout,
    choice: Choice,
    programs: build.Programs | None,
    *,
    kubectl: str | None,
    environ: Mapping[str, str],
    say: Say,
) -> SandboxState:
    state = load(layout.state)
    living = {name for name, part in state.parts.items() if processes.alive(part.process)}
    if not living:
        _stop_everything(layout, say)
        _forget_data(layout)
        for log in layout.logs.glob("*.log"):
            log.unlink()
        state = state.stopped()
    else:
        _stop_strays(layout, state, living)
    _create_folders(layout)

    known = ports.keep_or_choose(port_names(choice), known=state.ports, in_use=_port_owners(living))
    if choice.kubernetes == "sandbox":
        identities = cluster.existing_identities(layout.certificates)
        living_cluster = living & set(cluster.PARTS)
        if not living_cluster:
            shutil.rmtree(layout.etcd_data, ignore_errors=True)
            identities = cluster.create_identities(layout.certificates)
        elif any(known[name] != state.ports.get(name) for name in cluster.PORTS):
            # The others were told the old port: none of them can stay.
            say("a port of the control plane is used by another program: restarting the control plane")
            _stop_parts(state, living_cluster)
            living -= living_cluster
        if not living & set(cluster.PARTS) and living & set(cluster.NODE_PARTS):
            # A node of a cluster that is no more.
            _stop_node(layout, state)
            living -= set(cluster.NODE_PARTS)
        if choice.node and not living & set(cluster.NODE_PARTS):
            shutil.rmtree(layout.node, ignore_errors=True)
            layout.node.mkdir(parents=True)
            cgroups.create(layout.root)
            remains.note_tunables(layout)
        if cluster.API_SERVER not in living:
            # They lose it, and may end for that at any moment while the new one starts.
            _stop_parts(state, living & set(_ASKERS))
            living -= set(_ASKERS)
        cluster.write_configuration(layout, ports=known, identities=identities)
    state = _described(replace(state, ports=known), layout, choice, kubectl=kubectl)
    save(layout.state, state)

    wanted = programs_of(layout, choice, programs, known_ports=known, path=environ.get("PATH", os.defpath))
    silent_parts = _not_answering([program for name, program in wanted.items() if name in living])
    if silent_parts:
        say(f"{', '.join(silent_parts)} runs but does not respond: restarting it")
        _stop_parts(state, set(silent_parts))
        living -= set(silent_parts)
    missing = [program for name, program in wanted.items() if name not in living]
    if not missing:
        say("the sandbox is up already")
        return state
    if living & set(wanted):
        say(f"{', '.join(program.name for program in missing)}: not running, starting")
        if emulator.PART not in living and emulator.PART in state.parts:
            say("the emulated AWS keeps everything in memory: it begins empty")
    # Whoever waits for the first new part would find the others ended.
    state = state.without_parts(*(set(state.parts) - living))
    return _start(layout, state, missing, known=known, stop_on_failure=not living, say=say)


def _start(
    layout: Layout,
    state: SandboxState,
    missing: list[Startable],
    *,
    known: Mapping[str, int],
    stop_on_failure: bool,
    say: Say,
) -> SandboxState:
    """Start all of `missing`, what asks the API server last: controllers wait for it for ten seconds only."""
    begun = time.monotonic()
    started: list[Startable] = []
    try:
        for group in (
            [program for program in missing if program.name not in _ASKERS],
            [program for program in missing if program.name in _ASKERS],
        ):
            for program in group:
                say(f"starting {program.name} at {program.address}")
                process = processes.start(
                    program.command,
                    log=layout.log(program.name),
                    environment=program.environment,
                    root=layout.root,
                )
                if process is None:
                    raise _stopped(layout, program.name)
                state = state.with_part(program.name, Part(process=process, address=program.address))
                save(layout.state, state)
                started.append(program)
            # The API server is ready when etcd is: asked in this order, what fails is named first.
            for program in sorted(group, key=lambda one: one.name == emulator.PART):
                _wait(layout, state, program.name, program.ready, say=say)
        if cluster.CONTROLLER_MANAGER in {program.name for program in missing}:
            identities = cluster.existing_identities(layout.certificates)
            _wait(
                layout,
                state,
                cluster.CONTROLLER_MANAGER,
                lambda: cluster.default_service_account_exists(ports=known, identities=identities),
                say=say,
            )
    except BaseException:  # Ctrl-C as well: nothing half-started is left behind
        if stop_on_failure:
            _stop_everything(layout, say)
            save(layout.state, state.stopped())
        raise
    say(f"everything answers after {time.monotonic() - begun:.1f} s")
    return state


def _wait(layout: Layout, state: SandboxState, part: str, ready: Callable[[], bool], *, say: Say) -> None:
    """Until `ready`; raises PartStoppedError as soon as any part has ended, or after READY_SECONDS."""
    begun = time.monotonic()
    remarks = 1
    while not ready():
        for name, one in state.parts.items():
            if not processes.alive(one.process):
                raise _stopped(layout, name)
        waited = time.monotonic() - begun
        if waited > READY_SECONDS:
            raise _stopped(layout, part, what=f"did not become ready within {READY_SECONDS:.0f} s")
        if waited > remarks * REMARK_SECONDS:
            say(f"{part} is not ready after {waited:.0f} s; still waiting, because a busy machine needs longer")
            remarks += 1
        time.sleep(0.05)


def _stopped(layout: Layout, part: str, *, what: str = "stopped while it was being started") -> PartStoppedError:
    log = layout.log(part)
    return PartStoppedError(part=part, what=what, log_file=log, log=processes.tail(log))


def _not_answering(living: list[Startable]) -> list[str]:
    deadline = time.monotonic() + ANSWER_SECONDS
    pending = [program for program in living if not program.ready()]
    while pending and time.monotonic() < deadline:
        time.sleep(0.1)
        pending = [program for program in pending if not program.ready()]
    return [program.name for program in pending]


def _kubectl(choice: Choice, programs: build.Programs | None, *, say: Say, environ: Mapping[str, str]) -> str | None:
    if choice.kubernetes == "none":
        return None
    if programs is not None:
        return str(programs.kubectl)
    found = shutil.which("kubectl", path=environ.get("PATH"))
    return found or str(build.locate(controllers=False, say=say, environ=environ).kubectl)


def _described(state: SandboxState, layout: Layout, choice: Choice, *, kubectl: str | None) -> SandboxState:
    """What `state` says about the sandbox's sides. A side that is not asked for now stays as it is."""
    if choice.kubernetes != "none":
        own = str(layout.kubeconfig)
        state = replace(state, kubernetes=choice.kubernetes, kubeconfig=choice.kubeconfig or own, kubectl=kubectl)
    if choice.aws == "emulator":
        state = replace(state, aws=choice.aws, aws_endpoint_url=emulator.address(state.ports))
    elif choice.aws != "none":
        state = replace(state, aws=choice.aws, aws_endpoint_url=choice.aws_endpoint_url)
    return state


def _cluster_probe(name: str, *, ports: Mapping[str, int], identities: cluster.Identities) -> Callable[[], bool]:
    return lambda: cluster.ready(name, ports=ports, identities=identities)


def _port_owners(living: set[str]) -> set[str]:
    second = {cluster.ETCD: cluster.ETCD_PEER_PORT, kubelet.PART: kubelet.HEALTH_PORT}
    return living | {port for part, port in second.items() if part in living}


def _environment(layout: Layout, path: str) -> dict[str, str]:
    """What every part gets: nothing of the user's but PATH."""
    return {"PATH": path, "HOME": str(layout.home), "TMPDIR": str(layout.temporary), "LANG": "C.UTF-8"}


def _create_folders(layout: Layout) -> None:
    for folder in (layout.logs, layout.home, layout.temporary, layout.aws_data, layout.kube_cache):
        folder.mkdir(parents=True, exist_ok=True)


def _forget_data(layout: Layout) -> None:
    """What one life of the sandbox wrote, but for its logs, which stay until the next start."""
    for folder in (layout.etcd_data, layout.aws_data, layout.temporary, layout.home, layout.node):
        shutil.rmtree(folder, ignore_errors=True)


def _stop_strays(layout: Layout, state: SandboxState, living: set[str]) -> None:
    """What a killed `up` started and could not note down, and what a dead part left behind."""
    sessions = {state.parts[name].process.pid for name in living}
    strays = [
        process
        for process in processes.of_sandbox(layout.root)
        if (stat := processes.stat(process.pid)) is not None and stat.session not in sessions
    ]
    _end(strays)


def _stop_parts(state: SandboxState, names: set[str]) -> None:
    _end([process for name in names for process in processes.in_session(state.parts[name].process.pid)])


def _stop_everything(layout: Layout, say: Say) -> None:
    """The clients of etcd first: without it they would only wait and complain."""
    state = load(layout.state)
    if layout.node.exists():
        _stop_node(layout, state)
    parts = {name: part.process for name, part in state.parts.items() if processes.alive(part.process)}
    own = processes.of_sandbox(layout.root)
    if not own and not parts:
        return
    say(f"stopping {', '.join(parts) if parts else 'what was left behind'}")
    etcd = parts.get(cluster.ETCD)
    _end([process for process in dict.fromkeys([*parts.values(), *own]) if process != etcd])
    _end([*([etcd] if etcd else []), *processes.of_sandbox(layout.root)])


def _stop_node(layout: Layout, state: SandboxState) -> None:
    """kubelet, then every container, then what held them; at last what the kernel keeps of it. Raises SandboxError.

    A shim ends when containerd tells it to, and here nobody is to start anything any more: it is killed.
    """
    agent = state.parts.get(kubelet.PART)
    if agent is not None:
        _end(processes.in_session(agent.process.pid))
    cgroups.remove(layout.root)
    runtime = state.parts.get(containerd.PART)
    shims = [one for one in processes.of_sandbox(layout.root) if processes.name(one).startswith("containerd-shim")]
    _end([*(processes.in_session(runtime.process.pid) if runtime else ())])
    _end(shims, grace_seconds=0)
    left = remains.remove(layout)
    if left:
        raise SandboxError("This of the node could not be removed:\n" + "\n".join(f"  | {one}" for one in left))


def _end(doomed: list[processes.Process], *, grace_seconds: float = 8.0) -> None:
    left = processes.stop(doomed, grace_seconds=grace_seconds)
    if left:
        numbers = ", ".join(str(process.pid) for process in left)
        raise SandboxError(f"These processes do not end, not even by SIGKILL: {numbers}.")


@contextmanager
def _locked(layout: Layout, say: Say) -> Iterator[None]:
    with locked(
        layout.lock,
        say=say,
        waiting_for=f"another command on the sandbox in {layout.root}",
        deadline_seconds=300,
    ):
        yield
