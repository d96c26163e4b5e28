"""The image, as far as it shows without building it: what the Dockerfile takes, and the package that goes in.

It can't show that the base image holds together with it; issues of that kind need a build. The operator is started as
the image starts it, but with the checkout's Python and libraries.
"""

from __future__ import annotations

import base64
import contextlib
import fnmatch
import json
import os
import pwd
import re
import shlex
import shutil
import subprocess
import sys
import urllib.error
import urllib.request
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from humangov import __version__
from humangov.aws.actions import ACTIONS
from humangov.bundle import bundle

from sandbox import ports
from sandbox.local_operator import SERVICE_ACCOUNT
from sandbox.paths import REPOSITORY
from testing.documents import load_all
from testing.live.account import REGION, Account
from testing.live.states import States
from testing.live.waiting import wait_for

DOCKERFILE = REPOSITORY / "Dockerfile"


@dataclass(frozen=True)
class Instruction:
    stage: int
    name: str
    text: str


def instructions() -> list[Instruction]:
    """The Dockerfile's instructions, continued lines joined, with the stage that each is in (from 0)."""
    lines = (line for line in DOCKERFILE.read_text().splitlines() if not line.lstrip().startswith("#"))
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines))
    found: list[Instruction] = []
    stage = -1
    for line in filter(None, joined.splitlines()):
        name, _, text = line.partition(" ")
        stage += name == "FROM"
        found.append(Instruction(stage, name, text))
    return found


def texts(name: str, *, stage: int | None = None) -> list[str]:
    return [one.text for one in instructions() if one.name == name and stage in (None, one.stage)]


FINAL = max(one.stage for one in instructions())


def test_image_has_a_build_and_a_final_stage_of_the_same_base() -> None:
    bases = [text.split()[0] for text in texts("FROM")]
    assert bases == ["${BASE}", "${BASE}"]
    assert texts("ARG", stage=-1) == ["BASE=python:3.13-slim"]


def test_image_and_pod_run_as_the_same_numeric_non_root_user() -> None:
    [user] = texts("USER", stage=FINAL)
    assert re.fullmatch(r"[1-9][0-9]*:[1-9][0-9]*", user)
    documents = load_all((REPOSITORY / "deploy" / "install.yaml").read_text())
    [deployment] = [document for document in documents if document["kind"] == "Deployment"]
    context = deployment["spec"]["template"]["spec"]["securityContext"]
    assert user == f"{context['runAsUser']}:{context['runAsGroup']}"


def test_image_entrypoint_runs_the_operator() -> None:
    assert json.loads(texts("ENTRYPOINT", stage=FINAL)[0]) == ["humangov"]
    assert json.loads(texts("CMD", stage=FINAL)[0]) == ["run"]


def test_image_labels_are_complete_with_the_package_version() -> None:
    labels = " ".join(texts("LABEL", stage=FINAL))
    for name in ("title", "description", "licenses", "version", "revision", "source"):
        assert f"org.opencontainers.image.{name}=" in labels
    assert f"VERSION={__version__}" in texts("ARG", stage=FINAL)


def test_image_dependencies_are_pinned_by_hash() -> None:
    installs = [
        part for text in texts("RUN") for part in text.split("&&") if re.search(r"pip .*\b(install|wheel)\b", part)
    ]
    assert len(installs) == 4
    for part in installs:
        assert "--no-index" in part or ("--require-hashes" in part and "--only-binary :all:" in part), part
    for name in ("run", "build"):
        text = (REPOSITORY / "requirements" / f"{name}.txt").read_text()
        entries = re.split(r"\n(?=\S)", text.strip())
        assert entries
        for entry in entries:
            assert re.match(r"[\w.-]+(\[[\w,]+\])?==\S+", entry), entry
            assert "--hash=sha256:" in entry, entry
        assert "://" not in text


def test_image_final_stage_holds_no_build_tools() -> None:
    copies = texts("COPY", stage=FINAL)
    assert copies == ["--from=build /opt/humangov /opt/humangov"]
    final = " ".join(texts("RUN", stage=FINAL))
    assert "apt-get" not in final
    assert "pip install" not in final
    assert "venv --without-pip /opt/humangov" in " ".join(texts("RUN", stage=0))


def test_image_code_is_precompiled() -> None:
    assert "compileall -q --invalidation-mode unchecked-hash" in " ".join(texts("RUN", stage=0))


def in_context(path: str) -> bool:
    """Whether .dockerignore lets a path into the build: the last pattern that fits decides."""
    taken = True
    for line in (REPOSITORY / ".dockerignore").read_text().splitlines():
        pattern = line.strip()
        if not pattern or pattern.startswith("#"):
            continue
        wanted, pattern = pattern.startswith("!"), pattern.removeprefix("!")
        expression = fnmatch.translate(pattern.replace("**/", "")).removesuffix(r"\Z").removesuffix(r"\z")
        prefix = r"(.*/)?" if pattern.startswith("**/") else ""
        if re.match(rf"{prefix}{expression}(/.*)?$", path):
            taken = wanted
    return taken


@pytest.mark.parametrize("path", [".git/config", ".build/venv/bin/python", "tests/conftest.py", "sandbox/build.py",
                                  "operator/humangov/__pycache__/cli.cpython-313.pyc"])  # fmt: skip
def test_dockerignore_excludes_what_the_build_does_not_need(path: str) -> None:
    assert not in_context(path)


def test_dockerfile_copies_only_existing_files_of_the_build_context() -> None:
    sources = [source for text in texts("COPY", stage=0) for source in text.split()[:-1]]
    assert sources
    for source in sources:
        assert (REPOSITORY / source).exists(), source
        assert in_context(source), source
    assert in_context("operator/humangov/cleanup/handler.py")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from the files that the Dockerfile copies, with nothing to be had from outside."""
    folder = tmp_path_factory.mktemp("context")
    for source in ("pyproject.toml", "README.md", "LICENSE"):
        (folder / source).write_bytes((REPOSITORY / source).read_bytes())
    for path in (REPOSITORY / "operator").rglob("*"):
        if path.is_file() and "__pycache__" not in path.parts:
            target = folder / path.relative_to(REPOSITORY)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(path.read_bytes())
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder / "wheels")]
    subprocess.run(command, cwd=folder, check=True, capture_output=True, env=clean())
    [built] = (folder / "wheels").glob("*.whl")
    return built


def clean() -> dict[str, str]:
    """No path leads to the checkout."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel without scripts of its own making is its archive, unpacked."""
    folder = tmp_path_factory.mktemp("installed")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return folder


def printed_by(installed: Path, code: str) -> str:
    """What Python says with the installed package before all else."""
    environment = {**clean(), "PYTHONPATH": str(installed)}
    command = [sys.executable, "-P", "-c", code]
    done = subprocess.run(command, cwd=installed, env=environment, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_wheel_holds_only_package_license_and_command(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        [entry_points] = [name for name in names if name.endswith("entry_points.txt")]
        command = archive.read(entry_points).decode()
    assert "humangov = humangov.cli.main:main" in command
    assert {name.split("/")[0] for name in names} == {"humangov", f"humangov_operator-{__version__}.dist-info"}
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert not [name for name in names if name.endswith(".pyc")]


def test_installed_command_prints_its_version(installed: Path) -> None:
    code = "import sys; sys.argv = ['humangov', '--version']; from humangov.cli.main import main; main()"
    assert printed_by(installed, code) == f"humangov, version {__version__}"


def test_installed_package_bundles_the_same_cleanup_function(installed: Path) -> None:
    code = "import humangov.bundle as b; print(b.__file__); print(b.bundle().code_sha256)"
    where, digest = printed_by(installed, code).splitlines()
    assert Path(where).is_relative_to(installed)
    assert digest == bundle().code_sha256


# A start as in the pod: the image's user and variables, the pod's service account, nothing else.

MOUNTED = Path("/var/run/secrets/kubernetes.io/serviceaccount")
# The folder exists for this process; then it is the image's user, for whom no name is known, without permissions.
# One it keeps: to read what it could not reach here, as the checkout may lie in a folder of root's.
IN_POD = """
mount -t tmpfs tmpfs "$(readlink -f /var/run)"
mkdir -p "$2"
mount --bind "$1" "$2"
user=$3
shift 3
exec setpriv --reuid "$user" --regid "$user" --clear-groups --no-new-privs --bounding-set=-all,+dac_read_search \\
    --inh-caps=-all,+dac_read_search --ambient-caps=-all,+dac_read_search "$@"
"""


def in_pod(service_account: Path, command: list[str]) -> list[str]:
    user = texts("USER", stage=FINAL)[0].split(":")[0]
    with contextlib.suppress(KeyError):
        pytest.skip(f"user {user} has a name on this machine: {pwd.getpwuid(int(user)).pw_name}")
    if os.geteuid() != 0 or not shutil.which("unshare") or not shutil.which("setpriv"):
        pytest.skip("to become the image's user takes root, unshare and setpriv")
    prefix = ["unshare", "--mount", "--propagation", "private", "sh", "-euc", IN_POD, "sh"]
    whole = [*prefix, str(service_account), str(MOUNTED), user]
    tried = subprocess.run([*whole, sys.executable, "-c", ""], capture_output=True, text=True, env={}, check=False)
    if tried.returncode != 0:
        pytest.skip(f"this machine lets nobody become the image's user: {tried.stderr.strip()}")
    return [*whole, *command]


def image_variables() -> dict[str, str]:
    pairs = [pair.partition("=") for text in texts("ENV", stage=FINAL) for pair in shlex.split(text)]
    return {name: value for name, _, value in pairs}


@pytest.fixture
def service_account(states: States, tmp_path: Path) -> Path:
    """The folder that a kubelet mounts into the operator's pod."""
    folder = tmp_path / "serviceaccount"
    folder.mkdir()
    [cluster] = json.loads(states.cluster.output("config", "view", "--minify", "--flatten", "--raw", "-o", "json"))[
        "clusters"
    ]
    (folder / "ca.crt").write_bytes(base64.b64decode(cluster["cluster"]["certificate-authority-data"]))
    (folder / "token").write_text(
        states.cluster.output("create", "token", SERVICE_ACCOUNT, "-n", states.namespace, "--duration=1h").strip()
    )
    (folder / "namespace").write_text(states.namespace)
    return folder


def answer(url: str) -> int | None:
    try:
        with urllib.request.urlopen(url, timeout=5) as response:  # noqa: S310 - our own http://
            return int(response.status)
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return None


@contextlib.contextmanager
def pod(command: list[str], environment: dict[str, str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("wb") as output:
        running = subprocess.Popen(
            command, env=environment, cwd="/", stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
            start_new_session=True,
        )  # fmt: skip
    try:
        yield running
    finally:
        if running.poll() is None:
            running.kill()
        running.wait()


@pytest.mark.parametrize(
    "without", [(), ("USER", "LOGNAME")], ids=["as it is", "without the image's names of its user"]
)
def test_operator_runs_as_the_image_user_with_the_pods_service_account(
    states: States, account: Account, service_account: Path, tmp_path: Path, without: tuple[str, ...]
) -> None:
    server = urlsplit(
        states.cluster.output("config", "view", "--minify", "-o", "jsonpath={.clusters[0].cluster.server}")
    )
    assert server.hostname is not None
    probes = f"127.0.0.1:{ports.choose(['probes'])['probes']}"
    environment = {
        **{name: value for name, value in image_variables().items() if name not in without},
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "KUBERNETES_SERVICE_HOST": server.hostname,
        "KUBERNETES_SERVICE_PORT": str(server.port),
        **account.environment,
        "AWS_SECRET_ACCESS_KEY": "sandbox",
        "AWS_REGION": REGION,
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_ACCOUNT_ID_ENDPOINT_MODE": "disabled",
    }
    if sys.pycache_prefix:
        environment["PYTHONPYCACHEPREFIX"] = sys.pycache_prefix  # the image's code is compiled: see above
    flags = ["--namespace", states.namespace, "--probe-address", probes]
    command = in_pod(service_account, [sys.executable, "-m", "humangov.cli", "run", *flags])
    account.make("california")
    states.apply(states.manifest("california", **account.spec("california")))
    log = tmp_path / "pod.log"
    with pod(command, environment, log) as running:
        wait_for(
            lambda: running.poll() is not None or "watching humangovstates" in log.read_text(),
            what="it watches", seconds=60, seen=log.read_text,
        )  # fmt: skip
        assert running.poll() is None, log.read_text()
        for path in ("healthz", "readyz"):
            wait_for(lambda url=f"http://{probes}/{path}": answer(url) == 200, what=path, seen=log.read_text)  # type: ignore[misc]
        states.wait_ready("california", seconds=90)
        running.terminate()
        assert running.wait(30) == 0, log.read_text()
    assert "Traceback" not in log.read_text()


def test_image_keeps_the_sdks_model_of_each_service_that_is_called() -> None:
    [kept] = re.findall(r"printf '! -name %s ' \\\n([a-z0-9 \-]+)\)", DOCKERFILE.read_text())
    called = {method.service for method in ACTIONS.values()}
    assert {*called, "kms", "sso", "sso-oidc", "sts"} <= set(kept.split())
