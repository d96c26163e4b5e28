"""Each linter: how it is run, and its findings. Each runs from an environment of its own (Makefile, requirements/)."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sandbox import gobuild

REPOSITORY = Path(__file__).resolve().parents[2]
BUILD = REPOSITORY / ".build"
_PYTHON = BUILD / "lint" / "bin" / "python"
_CHECKOV = BUILD / "checkov" / "bin" / "checkov"
_CFN_LINT = BUILD / "venv" / "bin" / "cfn-lint"
_PATIENCE_SECONDS = 900
_KUBE_SCORE_OK = 10

# What the placeholders of the documents in deploy/iam stand for; a linter takes `arn:${Partition}:…` for no ARN.
_PLACEHOLDERS = {
    "Partition": "aws", "Region": "us-east-1", "Account": "123456789012", "Tables": "humangov-*-dynamodb",
    "Buckets": "humangov-*", "Functions": "humangov-*", "TenantRoles": "humangov-tenant",
    "SweepRoles": "humangov-sweep",
    "ClusterARN": "arn:aws:eks:us-east-1:123456789012:cluster/humangov", "Organization": "o-0123456789",
    "ReportBucket": "humangov-reports", "ReportServiceAccount": "humangov-operator-reports",
    "SigningAlias": "humangov-reports",
    "ReaderRole": "humangov-report-reader",
    "Boundary": "arn:aws:iam::123456789012:policy/humangov-cleanup-boundary", "Namespace": "humangov",
    "ServiceAccount": "humangov-operator", "SweepServiceAccount": "humangov-operator-sweep",
    "OIDCProvider": "oidc.eks.us-east-1.amazonaws.com/id/0123456789ABCDEF0123456789ABCDEF",
}  # fmt: skip
_PARLIAMENT = """
import json, sys, warnings
warnings.simplefilter("ignore")
import parliament
found = []
for name, text in json.load(sys.stdin).items():
    for one in parliament.analyze_policy_string(text, name).findings:
        found.append({"file": name, "check": one.issue, "text": str(one.detail)})
json.dump(found, sys.stdout)
"""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """where: the file, relative to the repository, and the resource or the detail, where there is one."""

    tool: str
    check: str
    where: str
    text: str


class LinterError(Exception):
    """The linter ended without an answer."""


def bandit() -> Iterator[Finding]:
    """All of what is shipped; of what runs on a developer's machine alone, what is more than a style of calls."""
    for level, folders in (((), ("operator", "deploy")), (("-lll",), ("sandbox", "testing", "bench"))):
        answer = _json([str(_PYTHON), "-m", "bandit", "-q", "-r", *level, *folders, "-f", "json"])
        if answer["errors"]:
            raise LinterError(f"bandit: {answer['errors']}")
        for one in answer["results"]:
            yield Finding(
                tool="bandit", check=one["test_id"], where=one["filename"],
                text=f"line {one['line_number']}: {one['issue_text']}",
            )  # fmt: skip


def parliament() -> Iterator[Finding]:
    """The policies, with something in place of their placeholders."""
    documents = {f"deploy/iam/{path.name}": _filled(path.read_text()) for path in _policies()}
    for one in _json([str(_PYTHON), "-c", _PARLIAMENT], given=json.dumps(documents)):
        yield Finding(tool="parliament", check=one["check"], where=f"{one['file']} {one['text']}", text=one["text"])


def checkov() -> Iterator[Finding]:
    """The rendered manifests, and both forms of deploy/iam for tools that apply them."""
    asked = ("-f", "deploy/install.yaml"), ("-d", "deploy/iam/cloudformation"), ("-d", "deploy/iam/terraform")
    for what in asked:
        answer = _json([str(_CHECKOV), "--quiet", "--compact", "--skip-download", *what, "-o", "json"])
        reports = answer if isinstance(answer, list) else [answer]
        if not any("results" in one for one in reports):
            raise LinterError(f"checkov has checked nothing in {what[1]}: {answer}")
        for report in reports:
            for one in report.get("results", {}).get("failed_checks", ()):
                file = what[1] if what[0] == "-f" else f"{what[1]}/{Path(one['file_path']).name}"
                where = f"{file} {one['resource']}"
                yield Finding(tool="checkov", check=one["check_id"], where=where, text=one["check_name"])


def cfn_lint() -> Iterator[Finding]:
    """CloudFormation's form of deploy/iam."""
    files = [str(path.relative_to(REPOSITORY)) for path in (REPOSITORY / "deploy/iam/cloudformation").iterdir()]
    for one in _json([str(_CFN_LINT), "--format", "json", *files]):
        text = f"line {one['Location']['Start']['LineNumber']}: {one['Message']}"
        yield Finding(tool="cfn-lint", check=one["Rule"]["Id"], where=one["Filename"], text=text)


def kube_score() -> Iterator[Finding]:
    """The rendered manifests. It is built from its Go modules, once."""
    module = "github.com/zegl/kube-score"
    program = gobuild.Program(
        name="kube-score", called="kube-score", source=REPOSITORY / "sandbox" / "kubescore",
        package=f"{module}/cmd/kube-score", first_build="about 2 minutes", needed_disk_bytes=2 * 1024**3,
    )  # fmt: skip
    binary, file = gobuild.ensure_built(program, say=_say), "deploy/install.yaml"
    answer = _json([str(binary), "score", file, "-o", "json"])
    if not answer:
        raise LinterError(f"kube-score has found no object in {file}")
    for scored in answer:
        for one in scored["checks"]:
            if one["grade"] >= _KUBE_SCORE_OK or one["skipped"]:
                continue
            text = "; ".join(comment["summary"] for comment in one["comments"] or [])
            where = f"{file} {scored['object_name']} {text}"
            yield Finding(tool="kube-score", check=one["check"]["id"], where=where, text=text)


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")


LINTERS: Mapping[str, Callable[[], Iterator[Finding]]] = {
    "bandit": bandit, "parliament": parliament, "cfn-lint": cfn_lint, "checkov": checkov,
    "kube-score": kube_score,
}  # fmt: skip


def _policies() -> Sequence[Path]:
    return sorted((REPOSITORY / "deploy" / "iam").glob("*.json"))


def _filled(text: str) -> str:
    for name, value in _PLACEHOLDERS.items():
        text = text.replace(f"${{{name}}}", value)
    return text


def _json(command: Sequence[str], *, given: str = "") -> Any:
    """The linter's answer. Its exit code says whether there are findings; that it failed, what it printed."""
    done = subprocess.run(
        command, cwd=REPOSITORY, input=given, capture_output=True, text=True, timeout=_PATIENCE_SECONDS, check=False
    )
    try:
        return json.loads(done.stdout)
    except ValueError as error:
        raise LinterError(f"{command[0]} ended with {done.returncode}: {done.stderr[-2000:]}") from error
