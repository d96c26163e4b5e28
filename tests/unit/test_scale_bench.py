"""What the scale bench makes of what it counted. Runs on nothing."""

from __future__ import annotations

from humangov.aws import limits

from bench.scale import endpoints, unexplained_writes


def test_only_status_writes_that_no_edit_and_no_new_tenant_explains_are_counted() -> None:
    """A new tenant's were once estimated, one too few each: three looked like settled tenants'."""
    writes = {"tenant-00001": 1, "tenant-00002": 3, "tenant-00003": 1, "young-00000": 5, "young-00001": 7}
    assert unexplained_writes(writes, edited=["tenant-00001", "tenant-00002", "tenant-00004"]) == 2 + 1
    assert unexplained_writes({"tenant-00001": 1, "young-00000": 5}, edited=["tenant-00001"]) == 0


def test_the_scale_benchs_operator_keeps_awss_limits_from_its_first_call_on() -> None:
    """Once the sandbox's own variable told it otherwise: it learned each limit by a throttled call."""
    environment = endpoints("http://127.0.0.1:1")
    assert limits.are_kept_at(environment["AWS_ENDPOINT_URL"])
    assert environment["AWS_ENDPOINT_URL_LAMBDA"] == "http://127.0.0.1:1"
