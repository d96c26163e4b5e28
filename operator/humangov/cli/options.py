"""Options that commands share, and how their values are parsed."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import click
import yaml

from humangov.api.allowed_names import AllowedNames

CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 110, "show_default": True}
_REGION_OF_THE_SDK = "the AWS SDK's: AWS_REGION or profile"
Decorated = TypeVar("Decorated", bound=Callable[..., Any])
Option = Callable[[Decorated], Decorated]


class Seconds(click.FloatRange):
    """A finite number of seconds. FloatRange takes `nan`, which is neither too small nor too large, and `inf`."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        found = super().convert(value, param, ctx)
        if not math.isfinite(found):
            self.fail(f"{value} is not a number of seconds.", param, ctx)
        return found


@dataclass(frozen=True, kw_only=True)
class OperatorOptions:
    """How AWS resources are created, and how the command logs: for `run` and `plan`."""

    region: str | None
    cluster_name: str | None
    moved_from: tuple[str, ...]
    tags: tuple[str, ...]
    permissions_boundary: str | None
    log_format: str
    log_level: str


@dataclass(frozen=True, kw_only=True)
class TenantOptions:
    """Which tenant, and where it is declared. tenant: NAME or NAMESPACE/NAME."""

    tenant: str | None
    namespace: str | None
    filename: Path | None
    region: str | None
    cluster_name: str | None


@dataclass(frozen=True, kw_only=True)
class EveryOptions(TenantOptions):
    """One tenant, or every one of these namespaces."""

    every: bool
    namespaces: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class PodOptions:
    """Options that the operator gives to the pods that it starts."""

    uid: str | None
    report_status: bool


def all_of(*options: Option[Any]) -> Option[Any]:
    """One decorator for several options; help lists them in this order."""

    def decorate(command: Any) -> Any:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


def region(help_text: str) -> Option[Any]:
    return click.option(
        "--region", envvar=["HUMANGOV_REGION", "AWS_REGION"], show_default=_REGION_OF_THE_SDK, help=help_text
    )


def cluster_name(help_text: str, *, default: str) -> Option[Any]:
    return click.option("--cluster-name", envvar="HUMANGOV_CLUSTER_NAME", show_default=default, help=help_text)


def moved_from(help_text: str) -> Option[Any]:
    return click.option(
        "--moved-from", envvar="HUMANGOV_MOVED_FROM", multiple=True, metavar="UID",
        help=f"{help_text} Repeatable (environment: separated by spaces).",
    )  # fmt: skip


def namespaces(help_text: str) -> Option[Any]:
    return click.option(
        "--namespace", "namespaces", envvar="HUMANGOV_NAMESPACE", multiple=True, show_default="all", help=help_text
    )


def operator_namespace(more: str = "") -> Option[Any]:
    return click.option(
        "--operator-namespace", envvar="HUMANGOV_OPERATOR_NAMESPACE",
        help=f"The operator's namespace, as for `humangov run`, where a ConfigMap may stop all.{more}",
    )  # fmt: skip


def output() -> Option[Any]:
    """`-o json|yaml|table`. docs/commands.md says what each command's object is."""
    return click.option(
        "-o", "--output", "form", type=click.Choice(["table", "json", "yaml"]), default="table",
        help="Output format: for people, or one object for programs.",
    )  # fmt: skip


def output_or_json() -> Option[Any]:
    """The same, and --json, which is older. `form_of` says which is meant."""
    return all_of(output(), click.option("--json", "as_json", is_flag=True, help="The same as -o json."))


def form_of(*, form: str, as_json: bool) -> str:
    return "json" if as_json else form


def assume_role() -> Option[Any]:
    return click.option(
        "--assume-role", is_flag=True,
        help="Assume the role that the manifest names, with your credentials. Read the manifest first.",
    )  # fmt: skip


operator_options = all_of(
    region("AWS region of tenants without spec.region."),
    cluster_name(
        "Name of this cluster in the ownership tag humangov.io/tenant.", default="the UID of namespace kube-system"
    ),
    moved_from(
        "UID of namespace kube-system of a cluster from which HumanGovStates were moved to this one: what it owns in "
        "AWS becomes this cluster's."
    ),
    click.option(
        "--tag", "tags", envvar="HUMANGOV_TAGS", multiple=True, metavar="KEY=VALUE",
        help="Tag for every AWS resource that is created. Repeatable (environment: separated by spaces).",
    ),
    click.option(
        "--permissions-boundary", envvar="HUMANGOV_PERMISSIONS_BOUNDARY", metavar="ARN",
        help="Permissions boundary for every IAM role that is created.",
    ),
    click.option(
        "--log-format", type=click.Choice(["json", "text"]), default="json", envvar="HUMANGOV_LOG_FORMAT",
        help="Format of the log on standard error.",
    ),
    click.option(
        "--log-level", type=click.Choice(["debug", "info", "warning", "error"], case_sensitive=False),
        default="info", envvar="HUMANGOV_LOG_LEVEL", help="Log level. debug also shows every read of AWS.",
    ),
)  # fmt: skip

_region_of_tenant = region("AWS region of a tenant that has no spec.region and no AWS resources yet.")
_cluster_of_tenant = cluster_name(
    "Name of the cluster in the ownership tag humangov.io/tenant.", default="from the tenant's status"
)
_namespace_of_tenant = click.option(
    "-n", "--namespace", show_default="the context's", help="Namespace of TENANT, if TENANT is only a NAME."
)

tenant_options = all_of(
    click.argument("tenant", required=False),
    _namespace_of_tenant,
    click.option(
        "-f", "--filename", "--file", type=click.Path(dir_okay=False, allow_dash=True, path_type=Path),
        help="Read the HumanGovState from this manifest, not from the cluster (needs --cluster-name). "
        "- is standard input.",
    ),
    _region_of_tenant,
    _cluster_of_tenant,
)  # fmt: skip

tenant_of_cluster_options = all_of(
    click.argument("tenant"), _namespace_of_tenant, _region_of_tenant, _cluster_of_tenant
)

every_option = all_of(
    click.option("--all", "every", is_flag=True, help="Every HumanGovState, of --namespace if given."),
    click.option(
        "--namespaces", envvar="HUMANGOV_NAMESPACE", multiple=True, metavar="NAMESPACE", show_default="all",
        help="With --all: only of these namespaces, as `humangov run --namespace`. Repeatable.",
    ),
)  # fmt: skip

pod_options = all_of(
    click.option("--uid", help="Fail if the HumanGovState has another UID, that is, if it was re-created."),
    click.option(
        "--report-status", is_flag=True,
        help="Write the result to the HumanGovState's status, as the operator's Jobs do.",
    ),
)  # fmt: skip


def sdk_region(given: str | None) -> str | None:
    """The given region, else the SDK's configured region, if any."""
    if given:
        return given
    import boto3  # takes half a second to load; a command with --region does not need it

    found: str | None = boto3.Session().region_name
    return found


def required_region(given: str | None) -> str:
    """Raises UsageError if no region is configured."""
    found = sdk_region(given)
    if not found:
        raise click.UsageError("no AWS region is configured: give --region, or set HUMANGOV_REGION or AWS_REGION")
    return found


def parse_tags(pairs: tuple[str, ...]) -> dict[str, str]:
    """KEY=VALUE pairs. Raises UsageError."""
    tags = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key:
            raise click.UsageError(f"--tag {pair!r}: expected KEY=VALUE")
        if key.startswith(("aws:", "humangov.io/")):
            raise click.UsageError(f"--tag {pair!r}: keys beginning with aws: or humangov.io/ are reserved")
        tags[key] = value
    return tags


def read_allowed_names(path: Path) -> AllowedNames:
    """The file of --allowed-names. Raises UsageError."""
    try:
        return AllowedNames.parse(yaml.safe_load(path.read_text()))
    except (OSError, yaml.YAMLError, ValueError) as error:
        raise click.UsageError(f"--allowed-names {path}: {error}") from error
