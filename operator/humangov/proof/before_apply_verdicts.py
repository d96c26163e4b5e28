"""What the facts of table and bucket mean for a HumanGovState that is not applied yet, and what to do. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Literal, NamedTuple

from humangov.api.counts import counted
from humangov.api.names import Names
from humangov.aws.other_copies import sentences
from humangov.aws.stream import VIEW_TYPE
from humangov.proof.before_apply import Bucket, Facts, Sample, Table, Unread
from humangov.proof.costs import Size, estimate, sentence
from humangov.sweep.safety_checks import YOUNG_TABLE

Grade = Literal["good", "warning", "bad"]


class Verdict(NamedTuple):
    """area: of what. message: what is so. remedy: what to do; empty where nothing is to be done."""

    grade: Grade
    area: str
    message: str
    remedy: str = ""


def verdicts(facts: Facts, names: Names, *, now: datetime) -> list[Verdict]:
    """In the order of the table for people."""
    return [
        *_or_unread("table", facts.table, lambda table: _of_table(table, now=now)),
        *_or_unread("recovery", facts.recovery, _of_recovery),
        *_of_bucket(facts.bucket, names),
        *(Verdict("warning", "copies", one) for one in sentences(facts.copies)),
        *_or_unread("records", facts.sample, lambda sample: _of_sample(sample, facts.table, names)),
        *_of_names(facts, names),
        *_of_costs(facts, names, now=now),
    ]


def _or_unread(area: str, found: object, of: object) -> Iterator[Verdict]:
    if isinstance(found, Unread):
        yield unread(area, found)
    elif callable(of):
        yield from of(found)


def unread(area: str, found: Unread) -> Verdict:
    if found.missing:
        return Verdict("bad", area, f"it does not exist: {found.reason}", "create it, or correct its name")
    remedy = f"allow {found.action} for these credentials, and check again" if found.denied else "check again"
    return Verdict("warning", area, f"not known: {found.reason}", remedy)


def _of_table(table: Table, *, now: datetime) -> Iterator[Verdict]:
    if table.status != "ACTIVE":
        yield Verdict("bad", "table", f"its status is {table.status}", "wait until it is ACTIVE")
    else:
        indexes = f", indexes: {', '.join(table.indexes)}" if table.indexes else ""
        yield Verdict(
            "good", "table",
            f"it is ACTIVE, with about {table.items:,} records, key: {', '.join(table.keys)}{indexes}, encrypted: "
            f"{table.encryption}",
        )  # fmt: skip
    if table.view_type is None:
        yield Verdict("good", "stream", "there is none: the operator enables one")
    elif table.view_type == VIEW_TYPE:
        yield Verdict("good", "stream", f"one with {VIEW_TYPE} is enabled: the operator uses it")
    elif table.view_type == "OLD_IMAGE":
        yield Verdict(
            "warning", "stream", "one with OLD_IMAGE is enabled: it shows deleted records, but not changed file names",
            "disable it when nobody else reads it; the operator then enables one",
        )  # fmt: skip
    else:
        yield Verdict(
            "bad", "stream", f"one with {table.view_type} is enabled, which the operator does not change",
            f"disable it when nobody reads it, or enable it with {VIEW_TYPE}",
        )  # fmt: skip
    if table.replicas:
        yield Verdict(
            "warning", "table", f"it is a global table, with replicas in {', '.join(table.replicas)}",
            "declare it in only one region, where the application writes",
        )  # fmt: skip
    if now - table.created < YOUNG_TABLE:
        yield Verdict(
            "warning", "table", f"it was created on {table.created:%Y-%m-%d}, less than {YOUNG_TABLE.days} days ago",
            "each orphan list needs an approval until then",
        )  # fmt: skip


def _of_recovery(enabled: bool) -> Iterator[Verdict]:
    if enabled:
        yield Verdict("good", "recovery", "point-in-time recovery is enabled")
    else:
        yield Verdict(
            "warning", "recovery", "point-in-time recovery is disabled: records that are deleted by mistake are lost",
            "enable it on the table",
        )  # fmt: skip


def _of_bucket(bucket: Bucket, names: Names) -> Iterator[Verdict]:
    for area, value in (
        ("bucket", bucket.region), ("versions", bucket.versioning), ("lock", bucket.lock),
        ("encryption", bucket.encryption),
    ):  # fmt: skip
        if isinstance(value, Unread):
            yield unread(area, value)
    region = "eu-west-1" if bucket.region == "EU" else bucket.region
    if isinstance(region, str) and region != names.identity.region:
        yield Verdict(
            "bad", "bucket", f"it is in {region}, and the table in {names.identity.region}",
            "set spec.region to the region of both",
        )  # fmt: skip
    elif isinstance(region, str):
        yield Verdict("good", "bucket", f"it is in {region}, and this account owns it")
    if not isinstance(bucket.versioning, Unread):
        status = (bucket.versioning or "").lower()
        kept = f"versioning is {status}: every version of a file is erased" if status else "it keeps no versions"
        yield Verdict("good", "versions", kept)
    if bucket.lock is True:
        yield Verdict(
            "warning", "lock", "Object Lock is enabled: what it retains is not erased, and receipts say until when",
            "compare its retention with the contract",
        )  # fmt: skip
    if isinstance(bucket.encryption, str):
        yield Verdict("good", "encryption", f"files are encrypted: {bucket.encryption}")


def _of_sample(sample: Sample, table: Table | Unread, names: Names) -> Iterator[Verdict]:
    attributes = ", ".join(names.tenant.table.file_attributes)
    of = counted(sample.records, "record") + ("" if sample.whole else ", a sample")
    if not sample.records:
        yield Verdict(
            "warning", "records", "the table is empty: whether spec.table.fileAttributes is correct is not known"
        )
        return
    likely = ", ".join(f"{name} ({number:,})" for name, number in _most(sample))
    hint = f"; these look like names of files: {likely}" if likely else ""
    named = sum(sample.forms.values())
    if not named:
        yield Verdict(
            "bad", "records", f"none of {of} names a file in {attributes}{hint}", "correct spec.table.fileAttributes"
        )
        return
    if sample.without:
        yield Verdict(
            "warning", "records", f"{sample.without:,} of {of} {'names' if sample.without == 1 else 'name'} no file in "
            f"{attributes}{hint}",
            "expected if such records have no file; else correct spec.table.fileAttributes",
        )  # fmt: skip
    forms = ", ".join(f"{number:,} {form}" for form, number in sorted(sample.forms.items()))
    yield Verdict("good", "references", f"file names in {of}: {forms}")
    if uncertain := sample.forms.get("not certain", 0):
        yield Verdict(
            "warning", "references", f"do not name exactly one file of this bucket: {uncertain:,}. The function "
            "erases nothing for them",
            "see docs/operations.md, How records name files",
        )  # fmt: skip
    yield from _of_files(sample, table, names)


def _most(sample: Sample) -> Sequence[tuple[str, int]]:
    return sorted(sample.attributes.items(), key=lambda one: (-one[1], one[0]))[:3]


def _of_files(sample: Sample, table: Table | Unread, names: Names) -> Iterator[Verdict]:
    if sample.shared and names.tenant.table.file_names != "Shared":
        yield Verdict(
            "bad", "references", f"{counted(sample.shared, 'file is', plural='files are')} named by several records",
            "set spec.table.fileNames to Shared: only sweeps then erase",
        )  # fmt: skip
    if isinstance(sample.missing, Unread):
        yield unread("files", sample.missing)
    elif sample.asked and sample.missing * 2 > sample.asked:
        yield Verdict(
            "bad", "files", f"{sample.missing:,} of {counted(sample.asked, 'named file')} missing in the bucket",
            "correct spec.bucket.name, spec.bucket.keyPrefix or spec.table.fileAttributes",
        )  # fmt: skip
    elif sample.missing:
        yield Verdict(
            "warning",
            "files",
            f"{sample.missing:,} of {counted(sample.asked, 'named file')} missing in the bucket",
        )
    elif sample.asked:
        yield Verdict(
            "good",
            "files",
            f"all of {counted(sample.asked, 'named file')} exist" if sample.asked > 1 else "the named file exists",
        )
    yield _of_orphans(sample, table)


_LOOK = "start a sweep in mode Detect after the first apply, and read its orphan list"


def _of_orphans(sample: Sample, table: Table | Unread) -> Verdict:
    """A count where the whole table was read, else an estimate from the sample, else neither."""
    if isinstance(sample.listed, Unread):
        return unread("orphans", sample.listed)
    if sample.orphans is not None:
        many = counted(sample.listed, "file") if sample.all_listed else f"the first {counted(sample.listed, 'file')}"
        if sample.orphans:
            return Verdict("warning", "orphans", f"no record names {sample.orphans:,} of {many}", _LOOK)
        if sample.all_listed:
            return Verdict("good", "orphans", f"records name all of {many}")
        return Verdict("warning", "orphans", f"records name all of {many}; there are more", _LOOK)
    if sample.all_listed and not isinstance(table, Unread):
        named = round(table.items * sample.named / sample.records)
        return Verdict(
            "warning", "orphans",
            f"about {max(0, sample.listed - named):,}, an estimate: there are {sample.listed:,} files, and about "
            f"{counted(table.items, 'record')} that name about {named:,}, if all are like the sample",
            _LOOK,
        )  # fmt: skip
    more = "" if sample.all_listed else " and more"
    return Verdict(
        "warning", "orphans",
        f"not counted: there {'is' if sample.listed == 1 else 'are'} {counted(sample.listed, 'file')}{more}, "
        "and not all records and files were read", _LOOK,
    )  # fmt: skip


def _of_costs(facts: Facts, names: Names, *, now: datetime) -> Iterator[Verdict]:
    if isinstance(facts.table, Unread):
        yield unread("costs", facts.table)._replace(grade="warning")
        return
    sample = facts.sample
    size = Size(
        table_bytes=facts.table.size_bytes, on_demand=facts.table.on_demand,
        files=0 if isinstance(sample, Unread) else sample.objects,
        whole=not isinstance(sample, Unread) and sample.all_listed,
        versioned=facts.bucket.versioning is not None,
    )  # fmt: skip
    yield Verdict("good", "costs", sentence(estimate(size, names, now=now)))


def _of_names(facts: Facts, names: Names) -> Iterator[Verdict]:
    if isinstance(facts.claimed, Unread):
        yield unread("claim", facts.claimed)
    elif facts.claimed is None:
        yield Verdict("good", "claim", "no other tenant's sweep owns files here")
    else:
        yield Verdict("bad", "claim", facts.claimed, "give each tenant a key prefix of its own, or remove the claim")
    for one in facts.owners:
        if isinstance(one.owner, Unread):
            yield unread(one.kind, one.owner)
        elif one.owner is None:
            yield Verdict("good", one.kind, f"the name {one.name} is free")
        elif one.owner == names.owner:
            yield Verdict("good", one.kind, f"{one.name} exists, and this HumanGovState owns it")
        elif one.adopted:
            yield Verdict(
                "good", one.kind, f"{one.name} exists, and nobody owns it: the operator adopts it if the allowed names "
                f"of namespace {names.tenant.namespace} permit that",
            )  # fmt: skip
        else:
            yield Verdict(
                "bad", one.kind, f"{one.name} exists, and {one.owner} owns it: the operator does not change it",
                "set spec.function.name, or spec.adoption where it is allowed",
            )  # fmt: skip
