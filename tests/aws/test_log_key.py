"""The key that encrypts a function's log.

Runs on MiniStack, which knows no such calls: what AWS would keep of them is kept here, and shown with the log group.
"""

from __future__ import annotations

from typing import Any

from testing.reconciler.line import Call, Fault, on
from testing.reconciler.world import World

KEYS = [f"arn:aws:kms:us-east-1:123456789012:key/1234abcd-12ab-34cd-56ef-12345678{tail}" for tail in ("90ab", "90cd")]


class Kept:
    """What AWS keeps of a log group's key."""

    def __init__(self) -> None:
        self.key: str | None = None

    def take(self, call: Call) -> dict[str, Any]:
        self.key = call.parameters.get("kmsKeyId")
        return {}

    def show(self, answer: Any) -> Any:
        for group in answer["logGroups"]:
            group |= {"kmsKeyId": self.key} if self.key else {}
        return answer


def test_log_group_kms_key_is_added_changed_and_removed_by_the_spec(world: World) -> None:
    key, kept = world.provisioned(), Kept()
    world.line.faults = [
        Fault(on("logs:AssociateKmsKey", "logs:DisassociateKmsKey"), instead=kept.take),
        Fault(on("logs:DescribeLogGroups"), alter=kept.show),
    ]
    for wanted, call in ((KEYS[0], "AssociateKmsKey"), (KEYS[1], "AssociateKmsKey"), (None, "DisassociateKmsKey")):
        logs = {"kmsKeyARN": wanted} if wanted else {}
        world.kube.edit(key, lambda resource, logs=logs: resource["spec"].update(logs=logs))  # type: ignore[misc]
        world.settle(key)
        assert world.line.writes() == [f"logs:{call}"]
        assert kept.key == wanted
        assert world.ready(key).startswith("True")
        world.line.forget()
