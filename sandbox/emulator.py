"""The emulated AWS: MiniStack (https://github.com/ministackorg/ministack), in an environment of its own.

It keeps everything in memory. A 12-digit access key is an account, the region is the one that the request is
signed for. Functions run as processes of its own Python, whatever runtime they name.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Mapping
from pathlib import Path

from sandbox import probe, requirements
from sandbox.paths import AWS_REQUIREMENTS, AWS_VENV, Layout
from sandbox.ports import HOST

PART = "aws"
REGION = "us-east-1"
# MiniStack takes a 12-digit access key for the account.
ACCOUNT = "123456789012"
SECRET = "sandbox"


def install(*, say: Callable[[str], None], environ: Mapping[str, str] = os.environ) -> None:
    requirements.ensure(AWS_VENV, AWS_REQUIREMENTS, what="the emulated AWS", say=say, environ=environ)


def address(ports: Mapping[str, int]) -> str:
    return f"http://{HOST}:{ports[PART]}"


def command() -> list[str]:
    return [str(AWS_VENV / "bin" / "python"), "-P", str(Path(__file__).with_name("emulator_start.py"))]


def environment(layout: Layout, *, port: int) -> dict[str, str]:
    """All that MiniStack is to know. It writes into our folders alone, and listens on loopback."""
    return {
        "BIND_HOST": HOST,
        "GATEWAY_PORT": str(port),
        "MINISTACK_REGION": REGION,
        "MINISTACK_ACCOUNT_ID": ACCOUNT,
        "STATE_DIR": str(layout.aws_data / "state"),
        "S3_DATA_DIR": str(layout.aws_data / "s3"),
        "LAMBDA_EXECUTOR": "local",
        # A socket that does not exist: it is not to look for containers of its own on the user's Docker.
        "DOCKER_HOST": f"unix://{layout.aws_data}/no-docker",
        # Services with a listener of their own, on ports and addresses that cannot all be chosen.
        "IOT_MTLS_ENABLED": "0",
        "SFTP_ENABLED": "0",
        # What a function inherits: no credentials but its own, and no metadata service of the machine.
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_ACCOUNT_ID_ENDPOINT_MODE": "disabled",
        "PYTHONUNBUFFERED": "1",
        "LOG_LEVEL": "INFO",
    }


def ready(ports: Mapping[str, int]) -> bool:
    return probe.status(f"{address(ports)}/_ministack/health") == 200


def new_account() -> str:
    """The number of an account that nobody uses. As an access key of 12 digits it is all that one needs to be in it."""
    return str(secrets.randbelow(9 * 10**11) + 10**11)
