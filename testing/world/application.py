"""The application, and people: they upload, write, change, move, share and delete, and keep to the declared contract.

A file is uploaded before its record is written, sometimes long before, but never a whole `minimumAge` before: that is
what a sweep relies on. An upload in parts may last for days. `Unique`: a name is written once; its record may move to
another id. `Reused`: a name may be uploaded again once no record names it. `Shared`: several records may name it.
After the table was replaced by an older one, people write the missing records again, within 14 days.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple

from testing.world.account import Account
from testing.world.clock import DAY, HOUR
from testing.world.dynamodb import place_of
from testing.world.setting import REUSED, SHARED
from testing.world.table import Row

_IDS = [f"{number}" for number in range(8)]
_UPLOADS_LAST = (HOUR, 8 * HOUR, 2 * DAY, 6 * DAY)
_RECORD_FOLLOWS = (HOUR, 12 * HOUR, 23.5 * HOUR)
"""Seconds within which what was begun is finished; mostly it is at once."""
_RESERVED = (".humangov/owner.json", "aws/lambda/notes.pdf", ".humangov/x.pdf")
_SURE_FORMS = ("S", "SS", "L", "uri", "url")
_ODD_FORMS = ("B", "M", "nested", "uri", "url", "slash")


class Begun(NamedTuple):
    """What the application has begun and is to finish: with these files, and until when, true time."""

    keys: Sequence[str]
    finish: Callable[[], str]
    until: float


class Backup(NamedTuple):
    """at: true time."""

    rows: dict[str, Row]
    at: float


@dataclass
class Application:
    """waiting: what was begun and is to be finished, in order. backups: of the whole table. missing: records that went
    with a replaced table."""

    account: Account
    chance: random.Random
    serial: int = 0
    waiting: list[Begun] = field(default_factory=list)
    backups: list[Backup] = field(default_factory=list)
    missing: dict[str, Row] = field(default_factory=dict)
    removed: dict[str, Row] = field(default_factory=dict)
    free_names: list[str] = field(default_factory=list)
    orphans: int = 0
    dodging: frozenset[str] = frozenset()

    def act(self) -> str | None:
        """Does something at random; returns what, or None where there was nothing to do."""
        if self.waiting and self.chance.random() < 0.6:
            return self.waiting.pop(self.chance.randrange(len(self.waiting))).finish()
        step = self.chance.choices(_STEPS, _WEIGHTS)[0]
        return step(self)

    def finish(self) -> None:
        """Whatever was begun comes to its end."""
        while self.waiting:
            self.waiting.pop(0).finish()

    @property
    def first_due(self) -> float | None:
        """When the first of what was begun must be finished."""
        return min((one.until for one in self.waiting), default=None)

    def finish_due(self) -> None:
        """Whatever must be finished by now."""
        for one in [one for one in self.waiting if one.until <= self.account.clock.now]:
            self.waiting.remove(one)
            done = one.finish()
            self.account.trace(lambda done=done: f"in time: {done}")  # type: ignore[misc]

    def hire(self) -> str | None:
        free = [one for one in _IDS if one not in self.account.table.rows]
        return self._with_new_files(self.chance.choice(free)) if free else None

    def edit(self) -> str | None:
        """Another file for a record, or none, or one more."""
        record = self._some()
        if record is None:
            return None
        if self.chance.random() < 0.2:
            return self._write(record, ())
        if self.chance.random() < 0.2 and self.account.setting.file_names != SHARED:
            return self._write(record, self._files(record)[1:], form="L")
        return self._with_new_files(record)

    def respell(self) -> str | None:
        """The same files, named in another form."""
        record = self._some()
        if record is None:
            return None
        return self._write(record, self._files(record))

    def fire(self) -> str | None:
        record = self._some()
        if record is None:
            return None
        self.removed[record] = self.account.table.rows[record]
        self._freed(self.removed[record])
        self.account.table.remove(record)
        return f"record {record} is removed"

    def bring_back(self) -> str | None:
        """A removed record is written again as it was, if its files are still there and nobody else's."""
        table, bucket = self.account.table, self.account.bucket
        fitting = [
            one for one, row in self.removed.items()
            if one not in table.rows and self._fits(row) and all(map(bucket.is_there, row.files))
        ]  # fmt: skip
        if not fitting:
            return None
        record = self.chance.choice(fitting)
        row = self.removed.pop(record)
        self._taken(row)
        table.write(record, row)
        return f"record {record} is back, naming {sorted(row.files)}"

    def move(self) -> str | None:
        """A record gets another id: the new one is put and the old one deleted, or both in one transaction."""
        old = self._some()
        free = [one for one in _IDS if one not in self.account.table.rows]
        if old is None or not free:
            return None
        return self._move(old, self.chance.choice(free))

    def _move(self, old: str, new: str) -> str:
        table = self.account.table
        row = table.rows[old]
        moved = row._replace(item={**row.item, "id": {"S": new}})
        if self.chance.random() < 0.3:
            table.remove(old)
            table.write(new, moved)
        else:
            table.write(new, moved)
            if self.chance.random() < 0.1:
                self.account.clock.advance(1.0)
            table.remove(old)
        return f"record {old} moves to {new}, with {sorted(row.files)}"

    def dodge(self, scanned: tuple[int, str] | None) -> str | None:
        """A record moves so that a scan misses it: from what is still to be read to what was read.

        It is the same record each time. scanned: place up to which the scan has come; None: none is under way, and the
        record moves to the last free id.
        """
        rows = self.account.table.rows
        free = sorted(place_of(one) for one in _IDS if one not in rows)
        named = sorted(place_of(one) for one, row in rows.items() if row.files)
        if not free or not named:
            return None
        at = next((one for one in named if rows[one[1]].files & self.dodging), named[-1])
        self.dodging = rows[at[1]].files
        if scanned is None:
            return self._move(at[1], free[-1][1]) if at < free[-1] else None
        return self._move(at[1], free[0][1]) if free[0] <= scanned < at else None

    def share(self) -> str | None:
        """Another record names a file that a record names."""
        record = self._some()
        if record is None or self.account.setting.file_names != SHARED:
            return None
        other = self.chance.choice(_IDS)
        return self._write(other, self._files(record))

    def upload_again(self) -> str | None:
        """A name that no record names is uploaded again, for some record."""
        if self.account.setting.file_names != REUSED:
            return None
        free = [one for one in self.free_names if not self.account.table.named(one)]
        if not free:
            return None
        key = self.chance.choice(free)
        self.free_names.remove(key)
        return self._begin(self.chance.choice(_IDS), (key,))

    def upload_listed(self, keys: frozenset[str]) -> str | None:
        """A name in an orphan list is uploaded again, perhaps with the same content, as `Reused` allows."""
        bucket = self.account.bucket
        free = [one for one in sorted(keys) if bucket.is_there(one) and not self.account.table.named(one)]
        begun = frozenset[str]().union(*(one.keys for one in self.waiting))
        free = [one for one in free if one not in begun and one not in bucket.awaited]
        if self.account.setting.file_names != REUSED or not free:
            return None
        key = self.chance.choice(free)
        same = bucket.data(key)[-1].body if self.chance.random() < 0.7 else None
        self.free_names = [one for one in self.free_names if one != key]
        self._put(key, body=same)
        self._later((key,), partial(self._write, self.chance.choice(_IDS), (key,)), _RECORD_FOLLOWS)
        return f"{key} is uploaded again, {'the same' if same else 'another'}"

    def abandon(self) -> str:
        """An upload whose record is never written: no event will ever tell of it."""
        key = self._name()
        self._put(key)
        self.account.bucket.awaited.pop(key, None)
        self.orphans += 1
        return f"{key} is uploaded for no record"

    def abandon_upload(self) -> str:
        """An upload in parts that nobody ever completes: no listing of files shows it."""
        key = self._name()
        self.account.bucket.begin_in_parts(key, awaited=False)
        self.account.weather.note("S3: multipart upload, never completed")
        return f"an upload of {key} in parts begins, and is never completed"

    def name_reserved(self) -> str | None:
        """A record names a key that is the operator's or Lambda's."""
        free = [one for one in _IDS if one not in self.account.table.rows]
        if not free or self.account.setting.file_names == SHARED:
            return None
        record, name = self.chance.choice(free), self.chance.choice(_RESERVED)
        self.account.table.write(record, Row(_item(record, {"S": name})))
        return f"record {record} names reserved {name}"

    def spoil(self) -> str | None:
        """A record whose attribute is no file's name."""
        record = self.chance.choice(_IDS)
        if record in self.account.table.rows:
            return None
        value = self.chance.choice(({"N": "7"}, {"S": ""}, {"BOOL": True}, None))
        self.account.table.write(record, Row(_item(record, value)))
        return f"record {record} names nothing"

    def back_up(self) -> str:
        self._keep()
        return f"a backup of {len(self.backups[-1].rows)} records"

    def empty(self) -> str:
        """Every record is removed, perhaps by mistake."""
        self._keep()
        for record, row in list(self.account.table.rows.items()):
            self._freed(row)
            self.account.table.remove(record)
        self.account.weather.note("table: emptied")
        return "the table is emptied"

    def refill(self) -> str | None:
        """A backup's records are written again, one by one, where their files are still there."""
        if not self.backups:
            return None
        for record, row in self.backups[-1].rows.items():
            if record not in self.account.table.rows and self._fits(row):
                self._taken(row)
                self.account.table.write(record, row)
        return "the last backup is written back"

    def restore(self) -> str | None:
        """The table is deleted and restored from a backup under the same name."""
        if not self.backups:
            return None
        backup = self.chance.choice(self.backups)
        self._replace(backup.rows, backed_up=backup.at)
        self.account.weather.note("table: restored")
        return f"the table is restored from a backup of {len(backup.rows)} records"

    def recreate(self) -> str:
        """The table is deleted and created anew, and some of its records are written to it at once."""
        rows = dict(self.account.table.rows)
        kept = {one: row for one, row in rows.items() if self.chance.random() < 0.5}
        self._replace({}, backed_up=None)
        for record, row in kept.items():
            self._taken(row)
            self.account.table.write(record, row)
        self.account.weather.note("table: created anew")
        return f"the table is created anew, with {len(kept)} of its {len(rows)} records"

    def write_again(self) -> str | None:
        """A record that is missing since the table was replaced is written again, from paper."""
        table = self.account.table
        fitting = [
            one for one, row in self.missing.items()
            if one not in table.rows and self._fits(row) and row.files and all(map(self._is_missed, row.files))
        ]  # fmt: skip
        if not fitting:
            return None
        record = self.chance.choice(fitting)
        row = self.missing.pop(record)
        self._taken(row)
        table.write(record, row)
        return f"record {record} is written again, naming {sorted(row.files)}"

    def _is_missed(self, key: str) -> bool:
        account = self.account
        return account.bucket.is_there(key) and account.table.is_missed(key)

    def _keep(self) -> None:
        self.backups.append(Backup(dict(self.account.table.rows), self.account.clock.now))

    def _replace(self, rows: dict[str, Row], *, backed_up: float | None) -> None:
        table = self.account.table
        for row in table.rows.values():
            self._freed(row)
        for row in rows.values():
            self._taken(row)
        named = frozenset[str]().union(*(row.files for row in rows.values()))
        self.waiting = [one for one in self.waiting if not named.intersection(one.keys)]
        self.missing |= {one: row for one, row in table.rows.items() if row.files - named}
        table.replace(rows, backed_up=backed_up)

    def _some(self) -> str | None:
        records = list(self.account.table.rows)
        return self.chance.choice(records) if records else None

    def _files(self, record: str) -> list[str]:
        return sorted(self.account.table.rows[record].files)

    def _fits(self, row: Row) -> bool:
        """Whether these files are free: named by no record, and by none that is about to be written."""
        begun = frozenset[str]().union(*(one.keys for one in self.waiting))
        shared = self.account.setting.file_names == SHARED
        return shared or not any(self.account.table.named(key) or key in begun for key in row.files)

    def _freed(self, row: Row) -> None:
        self.free_names += [key for key in sorted(row.files) if key not in self.free_names]

    def _taken(self, row: Row) -> None:
        self.free_names = [key for key in self.free_names if key not in row.files]

    def _name(self) -> str:
        self.serial += 1
        return f"{self.account.setting.key_prefix}file-{self.serial}.pdf"

    def _with_new_files(self, record: str) -> str:
        return self._begin(record, tuple(self._name() for _ in range(self.chance.choice((1, 1, 1, 2)))))

    def _begin(self, record: str, keys: Sequence[str]) -> str:
        """Uploads now or later, in parts or at once, and writes the record now or later."""
        if self.chance.random() < 0.2:
            began, bucket = self.account.clock.now, self.account.bucket
            self.account.weather.note("S3: multipart upload, dated by its start")
            uploads = [bucket.begin_in_parts(key, awaited=True) for key in keys]
            self._later(keys, lambda: self._finish(record, keys, began=began, uploads=uploads), _UPLOADS_LAST)
            return f"an upload of {sorted(keys)} in parts begins, for record {record}"
        for key in keys:
            self._put(key)
        return self._then_write(record, keys)

    def _later(self, keys: Sequence[str], finish: Callable[[], str], within: Sequence[float]) -> None:
        self.waiting.append(Begun(keys, finish, self.account.clock.now + self.chance.choice(within)))

    def _finish(self, record: str, keys: Sequence[str], *, began: float, uploads: Sequence[str]) -> str:
        bucket = self.account.bucket
        if missing := [one for one in uploads if bucket.in_parts.pop(one, None) is None]:
            return f"the uploads {missing} are not there any more"
        for key in keys:
            self._put(key, began=began)
        return f"the parts of {sorted(keys)} are put together; " + self._then_write(record, keys)

    def _put(self, key: str, *, began: float | None = None, body: bytes | None = None) -> None:
        bucket = self.account.bucket
        drawn = b"%PDF" if self.chance.random() < 0.3 else f"%PDF {bucket.clock.moment}".encode()
        body = drawn if body is None else body
        now = self.account.clock.now
        bucket.finish(key, body, began=now if began is None else began, parts=0 if began is None else 2)
        bucket.awaited[key] = bucket.clock.moment

    def _then_write(self, record: str, keys: Sequence[str]) -> str:
        if self.chance.random() < 0.4:
            self._later(keys, lambda: self._write(record, keys), _RECORD_FOLLOWS)
            return f"{sorted(keys)} uploaded, record {record} follows"
        return self._write(record, keys)

    def _write(self, record: str, keys: Sequence[str], *, form: str | None = None) -> str:
        setting = self.account.setting
        names = [key.removeprefix(setting.key_prefix) for key in keys]
        odd = not setting.honest_names and self.chance.random() < 0.5
        form = form or (self.chance.choice(_ODD_FORMS) if odd else "S" if len(names) == 1 else "SS")
        before = self.account.table.rows.get(record)
        others = {f"{setting.key_prefix}/{name}" for name in names if form == "slash"}
        item = _item(record, _value(form, names, self.account))
        row = Row(item, frozenset(keys), frozenset(others), sure=form in _SURE_FORMS)
        self._taken(row)
        self.account.table.write(record, row)
        for key in keys:
            self.account.bucket.awaited.pop(key, None)
        if before is not None:
            self._freed(before._replace(files=before.files - row.files))
        return f"record {record} names {sorted(keys)} ({form})"


def _item(record: str, value: Any) -> dict[str, Any]:
    item: dict[str, Any] = {"id": {"S": record}, "name": {"S": "Secret Name"}}
    return item if value is None else {**item, "pdf": value}


_SPELLED: Mapping[str, Callable[[str, str, str], dict[str, Any]]] = {
    "B": lambda name, _bucket, _prefix: {"B": name.encode()},
    "uri": lambda name, bucket, prefix: {"S": f"s3://{bucket}/{prefix}{name}"},
    "url": lambda name, bucket, prefix: {"S": f"https://{bucket}.s3.us-east-1.amazonaws.com/{prefix}{name}"},
    "slash": lambda name, _bucket, _prefix: {"S": f"/{name}"},
    "nested": lambda name, _bucket, _prefix: {"M": {"scan": {"S": name}}},
}


def _value(form: str, names: Sequence[str], account: Account) -> dict[str, Any] | None:
    """The attribute that means these files, in one of the forms in which a record may name them."""
    if not names:
        return None
    bucket, prefix = account.setting.names.tenant.bucket.name, account.setting.key_prefix
    match form:
        case "S" if len(names) == 1:
            return {"S": names[0]}
        case "SS":
            return {"SS": list(names)}
        case "M":
            return {"M": {name: {"N": "1"} for name in names}}
        case _ if form in _SPELLED:
            values = [_SPELLED[form](name, bucket, prefix) for name in names]
            return values[0] if len(values) == 1 else {"L": values}
        case _:
            return {"L": [{"S": name} for name in names]}


_TABLE_OF_STEPS: Mapping[Callable[[Application], str | None], float] = {
    Application.hire: 18, Application.edit: 9, Application.fire: 14, Application.bring_back: 6, Application.move: 12,
    Application.share: 6, Application.upload_again: 12, Application.respell: 3, Application.abandon: 1,
    Application.name_reserved: 1, Application.spoil: 1, Application.back_up: 1, Application.empty: 0.6,
    Application.refill: 2, Application.restore: 0.5, Application.recreate: 0.2, Application.write_again: 4,
    Application.abandon_upload: 0.3,
}  # fmt: skip
_STEPS, _WEIGHTS = list(_TABLE_OF_STEPS), list(_TABLE_OF_STEPS.values())
