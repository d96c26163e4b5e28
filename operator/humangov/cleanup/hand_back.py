"""Which records Lambda must retry, so that a retry sees what this invocation saw. Pure.

Lambda retries from the lowest record that is handed back. A file that a later record freed may be protected only by an
earlier record of the batch that names it: the retry has to begin there.
https://docs.aws.amazon.com/lambda/latest/dg/services-ddb-batchfailurereporting.html
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from .records import RecordChange


def hand_back(changes: Sequence[RecordChange], *, order: Sequence[str], failed: Iterable[str]) -> tuple[str, ...]:
    """The sequence numbers to hand back, in the order of the batch; () if no record failed.

    order: every sequence number of the batch. changes: in this order. For every record that will be retried, failed or
    not, the earliest record that names or freed one of its files is handed back too, and so on from there.
    """
    place = {number: at for at, number in enumerate(order)}
    numbers = set(failed) & place.keys()
    if not numbers:
        return ()
    changes = [one for one in changes if one.sequence_number in place]  # Lambda can bring no other again
    first = _first_places(changes, place)
    unknown = min((place[one.sequence_number] for one in changes if one.names is None), default=len(order))
    start = min(place[number] for number in numbers)
    if numbers - {one.sequence_number for one in changes}:  # unread removals: they may have freed any file
        naming = (place[one.sequence_number] for one in changes if one.names is None or one.names)
        start = min(start, *naming, len(order))
        numbers.add(order[start])
    for change in reversed(changes):
        at = place[change.sequence_number]
        if at < start:
            break
        if change.frees:
            start = min(start, unknown, *(first[key] for key in change.frees))
            numbers.add(order[start])
    return tuple(number for number in order if number in numbers)


def _first_places(changes: Sequence[RecordChange], place: dict[str, int]) -> dict[str, int]:
    """A freed key → the place of the earliest record that names it or freed it."""
    first = {key: len(place) for change in changes for key in change.frees}
    keys = first.keys()
    for change in changes:
        at = place[change.sequence_number]
        for key in (*change.frees, *(keys & (change.names or ()))):
            first[key] = min(first[key], at)
    return first
