"""The policies of deploy/iam, with values in place of their placeholders."""

from __future__ import annotations

import json
import re
from pathlib import Path

from sandbox.paths import REPOSITORY
from testing.iam import Policy

FOLDER = REPOSITORY / "deploy" / "iam"
OPERATOR = FOLDER / "operator-policy.json"
BOUNDARY = FOLDER / "boundary-policy.json"
IRSA = FOLDER / "trust-irsa.json"
POD_IDENTITY = FOLDER / "trust-pod-identity.json"
SWEEP = FOLDER / "sweep-policy.json"
SWEEP_IRSA = FOLDER / "sweep-trust-irsa.json"
SWEEP_POD_IDENTITY = FOLDER / "sweep-trust-pod-identity.json"
REPORT = FOLDER / "report-policy.json"
REPORT_IRSA = FOLDER / "report-trust-irsa.json"
REPORT_POD_IDENTITY = FOLDER / "report-trust-pod-identity.json"
ORGANIZATION = FOLDER / "organization-policy.json"

# What the README, Terraform and CloudFormation put in unless they are told otherwise.
DEFAULTS = {
    "Tables": "humangov-*",
    "Buckets": "humangov-*",
    "Functions": "humangov-*",
    "TenantRoles": "humangov-tenant-*",
    "Boundary": "humangov-cleanup-boundary",
    "Namespace": "humangov",
    "ServiceAccount": "humangov-operator",
    "SweepServiceAccount": "humangov-operator-sweep",
    "SweepRoles": "humangov-sweep-*",
    "ReportServiceAccount": "humangov-operator-reports",
    "ReportBucket": "reports-of-humangov",
    "SigningAlias": "alias/humangov-checkpoints",
    "ReaderRole": "humangov-report-reader",
}


def filled(path: Path, **values: str) -> Policy:
    """A document of deploy/iam with these values in place of its placeholders, and the defaults for the rest."""
    text = path.read_text()
    for name, value in (DEFAULTS | values).items():
        text = text.replace(f"${{{name}}}", value)
    return dict(json.loads(text))


def placeholders(path: Path) -> set[str]:
    return set(re.findall(r"\$\{(\w+)\}", path.read_text()))
