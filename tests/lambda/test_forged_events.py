"""Somebody invokes the function with an event that DynamoDB never sent: the real zip, awslambdaric, moto.

Which of them the policy and the operator keep out: tests/deploy/test_iam.py, tests/aws/test_identifying_drift.py.
"""

from __future__ import annotations

import pytest

from testing.lambda_runtime.stream_events import Event, batch, employee, failures, remove

from .conftest import MakeWorld, World
from .test_guard import indexed

LIVE = employee("7", "live.pdf")


def forged(*, id_: str = "no-such", arn: str = "", table: str = "california") -> Event:
    """A removal of a record that there never was, which names the file of a living one."""
    record = remove(employee(id_, "live.pdf"), table=table)
    return record | ({"eventSourceARN": arn} if arn else {})


@pytest.mark.parametrize(
    "arn",
    [
        "arn:aws:dynamodb:us-east-1:999999999999:table/{table}/stream/x",
        "arn:aws:dynamodb:eu-west-1:123456789012:table/{table}/stream/x",
        "arn:aws:dynamodb:us-east-1:123456789012:table/{table}-2/stream/x",
        "arn:aws:dynamodb:us-east-1:123456789012:table/{table}",
        "arn:aws:sqs:us-east-1:123456789012:{table}",
    ],
)
def test_event_of_another_account_region_table_or_service_erases_nothing(world: World, arn: str) -> None:
    world.upload("live.pdf")
    world.write(LIVE)
    done = world.invoke(batch(forged(arn=arn.format(table=world.table))))
    assert done.result == failures()
    assert world.files == {"live.pdf"}
    assert "live.pdf" not in done.outcomes


def test_event_of_the_tables_own_stream_erases_no_file_of_the_record_that_it_names(world: World) -> None:
    world.upload("live.pdf")
    world.write(LIVE)
    done = world.invoke(batch(forged(id_="7")))
    assert done.outcomes == {"live.pdf": "kept: live"}
    assert world.files == {"live.pdf"}


def test_event_that_invents_a_record_erases_a_living_file_unless_an_index_finds_its_record(
    make_world: MakeWorld,
) -> None:
    """The limit that docs/security.md names: the function reads the records that an event names, not the table."""
    world = indexed(make_world)
    world.upload("live.pdf")
    world.write(LIVE)
    done = world.invoke(batch(forged(table=world.table)))
    assert done.outcomes == {"live.pdf": "kept: live"}
    assert world.files == {"live.pdf"}

    unprotected = make_world()
    unprotected.upload("live.pdf")
    unprotected.write(LIVE)
    done = unprotected.invoke(batch(forged(table=unprotected.table)))
    assert done.outcomes == {"live.pdf": "erased"}
