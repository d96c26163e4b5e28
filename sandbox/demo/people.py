"""States, their employees and the PDFs: the names of the states come from deploy/examples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from sandbox.paths import REPOSITORY

EXAMPLES = REPOSITORY / "deploy" / "examples"


@dataclass(frozen=True, kw_only=True)
class Employee:
    """One record. `pdf` names a file in the state's bucket: a name is used once, for one record."""

    id: str
    name: str
    position: str
    pdf: str

    @property
    def item(self) -> dict[str, dict[str, str]]:
        """The record as DynamoDB takes it."""
        return {
            "id": {"S": self.id},
            "name": {"S": self.name},
            "role": {"S": self.position},
            "pdf": {"S": self.pdf},
        }


@dataclass(frozen=True, kw_only=True)
class State:
    """One tenant: its manifest, and what the application holds for it."""

    name: str
    manifest: Mapping[str, Any]
    employees: tuple[Employee, ...]

    @property
    def table(self) -> str:
        return str(self.manifest["spec"]["table"]["name"])

    @property
    def bucket(self) -> str:
        return str(self.manifest["spec"]["bucket"]["name"])

    @property
    def function(self) -> str:
        return f"humangov-{self.manifest['metadata']['name']}-delete-file"


_STAFF = (
    ("Mia Alvarez", "Archivist"),
    ("Noah Brooks", "Surveyor"),
    ("Olivia Chen", "Auditor"),
    ("Liam Douglas", "Engineer"),
    ("Ava Evans", "Counsel"),
)


def staff(state: str) -> tuple[Employee, ...]:
    """Five employees; the application uploads each file under a fresh name."""
    return tuple(
        Employee(
            id=f"{state[:2].upper()}-{number:04}",
            name=name,
            position=position,
            pdf=f"{state}-{number:04}-{name.split()[-1].lower()}.pdf",
        )
        for number, (name, position) in enumerate(_STAFF, 1001)
    )


def states(*, namespace: str, suffix: str, folder: Path = EXAMPLES) -> list[State]:
    """A state for each manifest of `folder`, in `namespace`; with `suffix`, under names that nobody else has."""
    manifests = [yaml.safe_load(path.read_text()) for path in sorted(folder.glob("*.yaml"))]
    return [
        State(
            name=manifest["metadata"]["name"],
            manifest=placed(manifest, namespace=namespace, suffix=suffix),
            employees=staff(manifest["metadata"]["name"]),
        )
        for manifest in manifests
    ]


def placed(manifest: Mapping[str, Any], *, namespace: str, suffix: str) -> dict[str, Any]:
    """The manifest in another namespace, and with `suffix` after every name."""
    metadata, spec = manifest["metadata"], manifest["spec"]
    return {
        **manifest,
        "metadata": {**metadata, "name": metadata["name"] + suffix, "namespace": namespace},
        "spec": {
            **spec,
            "table": {**spec["table"], "name": spec["table"]["name"] + suffix},
            "bucket": {**spec["bucket"], "name": spec["bucket"]["name"] + suffix},
        },
    }


def write(found: Sequence[State], folder: Path) -> None:
    """The manifests as files, for kubectl."""
    folder.mkdir(parents=True, exist_ok=True)
    for state in found:
        (folder / f"{state.name}.yaml").write_text(yaml.safe_dump(dict(state.manifest), sort_keys=False))


def pdf(employee: Employee) -> bytes:
    """A PDF of one page that any viewer opens (ISO 32000-1, 7.5: header, objects, cross-reference table, trailer)."""
    text = f"BT /F1 18 Tf 72 720 Td (Personnel record of {employee.name}, {employee.position}) Tj ET".encode("ascii")
    page = (
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents 4 0 R "
        b"/Resources << /Font << /F1 5 0 R >> >> >>"
    )
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        page,
        b"<< /Length %d >>\nstream\n%s\nendstream" % (len(text), text),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]
    content, offsets = b"%PDF-1.4\n", []
    for number, body in enumerate(objects, 1):
        offsets.append(len(content))
        content += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    size, start = len(objects) + 1, len(content)
    content += b"xref\n0 %d\n0000000000 65535 f \n" % size
    content += b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    return content + b"trailer\n<< /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (size, start)
