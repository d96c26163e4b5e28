"""The second S3 of `make bench NAME=second-s3`: which gateway is built, and that nothing of it is on a command line."""

from __future__ import annotations

from sandbox import emulator, gobuild, golang, s3_gateway

_GO_MOD = (s3_gateway.SOURCE / "go.mod").read_text()


def test_s3_gateway_is_the_version_that_its_module_requires() -> None:
    version = gobuild.required_version(_GO_MOD, s3_gateway.MODULE)
    program = s3_gateway.program(_GO_MOD)
    assert program.package == f"{s3_gateway.MODULE}/cmd/versitygw"
    assert f"-X main.Version={version}" in gobuild.arguments(program)[-1]
    assert f"{s3_gateway.MODULE} {version} h1:" in (s3_gateway.SOURCE / "go.sum").read_text()


def test_s3_gateway_module_requires_the_go_version_of_the_sandbox() -> None:
    assert f"\ngo {'.'.join(map(str, golang.NEEDED))}\n" in _GO_MOD


def test_s3_gateway_listens_on_loopback_and_its_secret_is_no_argument() -> None:
    variables = s3_gateway.environment(20_001, {"PATH": "/bin", "AWS_SECRET_ACCESS_KEY": "of a person"})
    assert variables["VGW_PORT"] == "127.0.0.1:20001"
    assert variables["ROOT_SECRET_ACCESS_KEY"] == emulator.SECRET
    assert "AWS_SECRET_ACCESS_KEY" not in variables
