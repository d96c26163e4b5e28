"""What the scale bench makes of what it counted. Runs on nothing."""

from __future__ import annotations

from bench.scale import unexplained_writes


def test_only_status_writes_that_no_edit_and_no_new_tenant_explains_are_counted() -> None:
    """A new tenant's were once estimated, one too few each: three looked like settled tenants'."""
    writes = {"tenant-00001": 1, "tenant-00002": 3, "tenant-00003": 1, "young-00000": 5, "young-00001": 7}
    assert unexplained_writes(writes, edited=["tenant-00001", "tenant-00002", "tenant-00004"]) == 2 + 1
    assert unexplained_writes({"tenant-00001": 1, "young-00000": 5}, edited=["tenant-00001"]) == 0
