"""How the operator's permissions are installed: the README, Terraform, CloudFormation; and a linter over all.

The JSON is the one source: each form has to come to the same documents. It can't show what Terraform's AWS provider
does with them (it comes from a registry of its own), nor AWS's CloudFormation; test_iam_enforced.py has MiniStack's.
"""

from __future__ import annotations

import copy
import json
import re
import shlex
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import botocore.session
import hcl2
import pytest
import yaml
from botocore import xform_name
from humangov.aws.policy import cleanup_policy, trust_policy

from deploy.iam import render
from sandbox.paths import REPOSITORY
from testing.iam import Policy
from tests.deploy import policies
from tests.deploy.test_iam import KEY, NAMES, REGION, VALUES

OF_THE_OPERATOR = [policies.OPERATOR, policies.BOUNDARY, policies.IRSA, policies.POD_IDENTITY]
OF_THE_SWEEP = [policies.SWEEP, policies.SWEEP_IRSA, policies.SWEEP_POD_IDENTITY]
OF_REPORTS = [policies.REPORT, policies.REPORT_IRSA, policies.REPORT_POD_IDENTITY]
DOCUMENTS = [*OF_THE_OPERATOR, *OF_THE_SWEEP, *OF_REPORTS, policies.ORGANIZATION]
README = policies.FOLDER / "README.md"
TERRAFORM = policies.FOLDER / "terraform"
every_document = pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.stem))


# The README

IN_THE_README = {
    "Partition": "aws", "Region": "us-east-1", "Account": "123456789012",
    "OIDCProvider": "oidc.eks.us-east-1.amazonaws.com/id/0123456789ABCDEF0123456789ABCDEF",
    "ClusterARN": "arn:aws:eks:us-east-1:123456789012:cluster/humangov-cluster", "Organization": "o-a1b2c3d4e5",
}  # fmt: skip


def scripts() -> list[str]:
    return re.findall(r"^```bash\n(.*?)^```$", README.read_text(), re.MULTILINE | re.DOTALL)


def test_iam_readme_commands_fill_in_every_policy() -> None:
    [filling] = [script for script in scripts() if "sed " in script]
    done = subprocess.run(
        ["bash", "-euc", f"{filling}\necho $filled"], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    made = sorted(Path(done.stdout.strip()).iterdir())
    assert [path.name for path in made] == sorted(path.name for path in DOCUMENTS)
    for path in made:
        assert json.loads(path.read_text()) == policies.filled(policies.FOLDER / path.name, **IN_THE_README)
        assert "${" not in path.read_text()


def commands() -> list[list[str]]:
    """Every `aws …` of the README, as words."""
    text = "\n".join(scripts()).replace("\\\n", " ")
    return [shlex.split(line) for line in text.splitlines() if line.startswith("aws ")]


@pytest.mark.parametrize("words", commands(), ids=lambda words: " ".join(words[1:3]))
def test_iam_readme_uses_only_valid_aws_commands(words: list[str]) -> None:
    _, service, operation, *rest = words
    flags = {word.removeprefix("--").replace("-", "_") for word in rest if word.startswith("--")}
    if (service, operation) == ("cloudformation", "deploy"):  # the CLI's own, no call of the API
        assert flags == {"stack_name", "capabilities", "template_file", "parameter_overrides"}
        return
    model = botocore.session.get_session().get_service_model(service)
    known = {xform_name(name): name for name in model.operation_names}
    shape = model.operation_model(known[operation.replace("-", "_")]).input_shape
    assert shape is not None
    members = {xform_name(name) for name in shape.members}
    assert flags <= members
    assert {xform_name(name) for name in shape.required_members} <= flags


@every_document
def test_iam_readme_explains_every_policy_statement(path: Path) -> None:
    readme = README.read_text()
    sids = [statement["Sid"] for statement in json.loads(path.read_text())["Statement"]]
    assert [sid for sid in sids if f"`{sid}`" not in readme] == []


def test_iam_readme_explains_only_existing_policy_statements() -> None:
    sids = {statement["Sid"] for path in DOCUMENTS for statement in json.loads(path.read_text())["Statement"]}
    rows = re.findall(r"^\| (`\w+`(?:, `\w+`)*) \|", README.read_text(), re.MULTILINE)
    assert {sid for row in rows for sid in re.findall(r"\w+", row)} == sids


# Terraform


def module() -> dict[str, list[Any]]:
    """All files of the module, by kind of block."""
    blocks: dict[str, list[Any]] = {}
    for path in sorted(TERRAFORM.glob("*.tf")):
        for kind, found in hcl2.loads(path.read_text()).items():
            blocks.setdefault(kind, []).extend(found)
    return blocks


def named(kind: str) -> dict[str, Any]:
    """Blocks with one label: variables, outputs."""
    return {label.strip('"'): body for block in module()[kind] for label, body in block.items()}


def text_of_the_module() -> str:
    return "\n".join(path.read_text() for path in sorted(TERRAFORM.glob("*.tf")))


def test_terraform_uses_the_policy_documents_and_fills_every_placeholder() -> None:
    [local] = module()["locals"]
    given = {key for key in local["values"] if not key.startswith("__")}
    assert given == set().union(*(policies.placeholders(path) for path in DOCUMENTS))
    taken = re.findall(r'templatefile\("\$\{path\.module\}/\.\./([^"]+)", local\.values\)', text_of_the_module())
    assert sorted(taken) == [
        "${each.value.policy}", "${each.value.trust}", policies.BOUNDARY.name, policies.ORGANIZATION.name
    ]  # fmt: skip


def documents_of_the_roles(by: str) -> dict[str, tuple[str, str]]:
    """Policy and trust policy of each role; by: irsa or pod-identity."""
    [local] = module()["locals"]
    irsa, pod_identity = re.findall(r'"(trust-[\w-]+\.json)"', local["trust"])
    assert local["trust"].startswith("${var.oidc_provider != null ?")
    trust = {"irsa": irsa, "pod-identity": pod_identity}[by]
    return {
        name: (one["policy"].strip('"'), one["trust"].strip('"').replace("${local.trust}", trust))
        for name, one in local["roles"].items()
        if not name.startswith("__")
    }


def test_terraform_gives_each_role_its_own_policy_and_trust_policy() -> None:
    assert documents_of_the_roles("irsa") == {
        "operator": (policies.OPERATOR.name, policies.IRSA.name),
        "sweep": (policies.SWEEP.name, policies.SWEEP_IRSA.name),
        "report": (policies.REPORT.name, policies.REPORT_IRSA.name),
    }
    assert documents_of_the_roles("pod-identity") == {
        "operator": (policies.OPERATOR.name, policies.POD_IDENTITY.name),
        "sweep": (policies.SWEEP.name, policies.SWEEP_POD_IDENTITY.name),
        "report": (policies.REPORT.name, policies.REPORT_POD_IDENTITY.name),
    }


def test_terraform_binds_each_role_to_the_service_account_of_its_trust_policy() -> None:
    [local] = module()["locals"]
    roles = {name: one for name, one in local["roles"].items() if not name.startswith("__")}
    placeholders = {"operator": "ServiceAccount", "sweep": "SweepServiceAccount", "report": "ReportServiceAccount"}
    assert {name: one["service_account"] for name, one in roles.items()} == {
        name: local["values"][placeholder] for name, placeholder in placeholders.items()
    }
    of = {"operator": policies.OPERATOR, "sweep": policies.SWEEP, "report": policies.REPORT}
    assuming = {name for name, path in of.items() if "sts:AssumeRole" in path.read_text()}
    assert {name for name, one in roles.items() if one["assumes_roles"]} == assuming


def test_terraform_defaults_are_those_of_the_readme() -> None:
    [local] = module()["locals"]
    variables = named("variable")
    for placeholder, value in policies.DEFAULTS.items():
        name = local["values"][placeholder].removeprefix("${var.").removesuffix("}")
        assert variables[name]["default"].strip('"') == value
    assert "default" not in variables["region"]


def test_terraform_reads_partition_and_account_from_the_provider() -> None:
    """So that it works in GovCloud and China."""
    [local] = module()["locals"]
    assert local["values"]["Partition"] == "${data.aws_partition.current.partition}"
    assert local["values"]["Account"] == "${data.aws_caller_identity.current.account_id}"
    assert "arn:aws" not in text_of_the_module()


def test_terraform_declares_exactly_the_variables_that_it_uses() -> None:
    used = set(re.findall(r"\bvar\.(\w+)", text_of_the_module()))
    assert used == set(named("variable"))
    assert set(named("output")) == {"role_arn", "boundary_arn", "sweep_role_arn", "report_role_arn"}


def test_iam_readme_terraform_module_sets_only_existing_variables() -> None:
    [shown] = re.findall(r"^```hcl\n(.*?)^```$", README.read_text(), re.MULTILINE | re.DOTALL)
    [block] = hcl2.loads(shown)["module"]
    given = {key for key in block['"humangov_operator"'] if not key.startswith("__")} - {"source"}
    assert given == {"region", "oidc_provider"}
    assert given | {"cluster_arn"} <= set(named("variable"))


# CloudFormation


def lint(text: str) -> list[Any]:
    """What cfn-lint finds. It takes a second to load, which only these tests are to wait for."""
    from cfnlint import api  # type: ignore[import-untyped]

    return list(api.lint(text, config=api.ManualArgs(include_checks=["I"], regions=[REGION, "us-east-1"])))


class Loader(yaml.SafeLoader):
    """Reads the short forms of CloudFormation's functions as what stands in them."""


def _function(loader: yaml.SafeLoader, _tag: str, node: yaml.Node) -> Any:
    match node:
        case yaml.ScalarNode():
            return loader.construct_scalar(node)
        case yaml.SequenceNode():
            return loader.construct_sequence(node, deep=True)
        case _:
            raise NotImplementedError(node)


Loader.add_multi_constructor("!", _function)


def template() -> dict[str, Any]:
    return dict(yaml.load(render.TEMPLATE.read_text(), Loader))  # noqa: S506  a SafeLoader


@pytest.mark.parametrize(
    ("resource", "document", "path"),
    [
        ("BoundaryPolicy", "PolicyDocument", policies.BOUNDARY),
        ("OperatorPolicy", "PolicyDocument", policies.OPERATOR),
        ("RoleByToken", "AssumeRolePolicyDocument", policies.IRSA),
        ("RoleByPodIdentity", "AssumeRolePolicyDocument", policies.POD_IDENTITY),
        ("OrganizationPolicy", "PolicyDocument", policies.ORGANIZATION),
        ("SweepPolicy", "PolicyDocument", policies.SWEEP),
        ("SweepRoleByToken", "AssumeRolePolicyDocument", policies.SWEEP_IRSA),
        ("SweepRoleByPodIdentity", "AssumeRolePolicyDocument", policies.SWEEP_POD_IDENTITY),
        ("ReportPolicy", "PolicyDocument", policies.REPORT),
        ("ReportRoleByToken", "AssumeRolePolicyDocument", policies.REPORT_IRSA),
        ("ReportRoleByPodIdentity", "AssumeRolePolicyDocument", policies.REPORT_POD_IDENTITY),
    ],
)
def test_cloudformation_policies_equal_the_policy_documents(resource: str, document: str, path: Path) -> None:
    text = template()["Resources"][resource]["Properties"][document]
    pseudo = {"AWS::Partition": VALUES["Partition"], "AWS::AccountId": VALUES["Account"]}
    for name, value in {**policies.DEFAULTS, **VALUES, **pseudo}.items():
        text = text.replace(f"${{{name}}}", value)
    assert json.loads(text) == policies.filled(path, **VALUES)


def test_cloudformation_has_a_parameter_for_each_placeholder_with_its_default() -> None:
    parameters = template()["Parameters"]
    placeholders = set().union(*(policies.placeholders(path) for path in DOCUMENTS))
    assert placeholders - set(render.PSEUDO_PARAMETERS) <= set(parameters)
    assert {name: parameters[name]["Default"] for name in policies.DEFAULTS} == policies.DEFAULTS


def test_cloudformation_template_is_not_stale() -> None:
    assert render.rendered(render.TEMPLATE.read_text()) == render.TEMPLATE.read_text()


def test_stale_cloudformation_template_is_rendered_again() -> None:
    stale = render.TEMPLATE.read_text().replace("dynamodb:UpdateTable", "dynamodb:CreateTable")
    assert stale != render.TEMPLATE.read_text()
    assert render.rendered(stale) == render.TEMPLATE.read_text()


def test_cloudformation_template_has_no_linter_findings() -> None:
    assert [str(reported) for reported in lint(render.TEMPLATE.read_text())] == []


# A linter over every policy


def reports_of(pairs: Mapping[str, tuple[Policy, Policy]]) -> dict[str, list[str]]:
    """What cfn-lint finds in each: an identity's policy and a role's trust policy. All in one template: a run takes a
    second, whatever its size."""
    resources: dict[str, Any] = {}
    for number, (policy, trust) in enumerate(pairs.values()):
        resources[f"Policy{number}"] = {"Type": "AWS::IAM::ManagedPolicy", "Properties": {"PolicyDocument": policy}}
        resources[f"Role{number}"] = {"Type": "AWS::IAM::Role", "Properties": {"AssumeRolePolicyDocument": trust}}
    found: dict[str, list[str]] = {name: [] for name in pairs}
    for one in lint(json.dumps({"AWSTemplateFormatVersion": "2010-09-09", "Resources": resources})):
        resource = str(one.path[1])
        name = list(pairs)[int(resource.removeprefix("Policy").removeprefix("Role"))]
        found[name].append(f"{resource.rstrip('0123456789')}: {one.rule.id} {one.message}")
    return found


OPERATOR, BOUNDARY, BY_TOKEN, BY_POD_IDENTITY = (policies.filled(path, **VALUES) for path in OF_THE_OPERATOR)
SWEEP, SWEEP_BY_TOKEN, SWEEP_BY_POD_IDENTITY = (policies.filled(path, **VALUES) for path in OF_THE_SWEEP)
REPORT, REPORT_BY_TOKEN, REPORT_BY_POD_IDENTITY = (policies.filled(path, **VALUES) for path in OF_REPORTS)


RIGHT = {
    "operator, IRSA": (OPERATOR, BY_TOKEN),
    "boundary, Pod Identity": (BOUNDARY, BY_POD_IDENTITY),
    "sweep, IRSA": (SWEEP, SWEEP_BY_TOKEN),
    "sweep, Pod Identity": (BOUNDARY, SWEEP_BY_POD_IDENTITY),
    "report, IRSA": (REPORT, REPORT_BY_TOKEN),
    "report, Pod Identity": (BOUNDARY, REPORT_BY_POD_IDENTITY),
    "organization": (policies.filled(policies.ORGANIZATION, **VALUES), BY_TOKEN),
    "function": (cleanup_policy(NAMES, table_key_arn=None), trust_policy()),
    "function, encrypted table": (cleanup_policy(NAMES, table_key_arn=KEY), trust_policy()),
}


def test_policy_linter_reports_no_problem_in_any_policy() -> None:
    assert reports_of(RIGHT) == {name: [] for name in RIGHT}


MISTAKES: dict[str, Callable[[dict[str, Any]], object]] = {
    "an action that AWS does not know": lambda one: one.update(Action="dynamodb:GetRecordz"),
    "no effect": lambda one: one.pop("Effect"),
    "a misspelled element": lambda one: one.update(Ressource="*"),
    "a misspelled operator": lambda one: one.update(Condition={"StringEqual": {"aws:ResourceAccount": "1"}}),
    "a resource of another service": lambda one: one.update(Action="dynamodb:Scan", Resource="arn:aws:s3:::bucket"),
    "an ARN that is none": lambda one: one.update(Resource="arn:dynamodb:x"),
}


def test_policy_linter_finds_each_planted_mistake() -> None:
    found = reports_of({mistake: (with_mistake(mistake), BY_TOKEN) for mistake in MISTAKES})
    assert [mistake for mistake, reported in found.items() if not reported] == []
    assert {one.partition(":")[0] for reported in found.values() for one in reported} == {"Policy"}


def with_mistake(mistake: str) -> Policy:
    wrong: Mapping[str, Any] = copy.deepcopy(BOUNDARY)
    MISTAKES[mistake](wrong["Statement"][0])
    return wrong
