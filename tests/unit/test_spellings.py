"""Which keys may mean the same file although no reading of a record leads from one to the other. Runs on nothing."""

from __future__ import annotations

from unicodedata import normalize

import pytest
from humangov.sweep.spellings import is_short, spellings

SAME = [
    ("cv.pdf", "CV.PDF"),
    ("cv.pdf", "cv"),
    ("José Díaz.pdf", "Jose_Diaz.pdf"),
    (normalize("NFC", "José.pdf"), normalize("NFD", "josÉ.pdf")),
    ("My CV (2).pdf", "my-cv-2.pdf"),
    ("a%20b.pdf", "a b.pdf"),
    ("a%2520b.pdf", "a b.pdf"),
    ("a+b.pdf", "a b.pdf"),
    ("straße.pdf", "STRASSE.pdf"),
    ("ﬁle.pdf", "file.pdf"),
    ("staff/cv.pdf", "staff//CV.pdf"),
    ("staff\\cv.pdf", "staff/cv.pdf"),
]


@pytest.mark.parametrize(("one", "other"), SAME)
def test_spellings_of_one_name_share_a_form(one: str, other: str) -> None:
    assert any(not is_short(form) for form in spellings(one.encode()) & spellings(other.encode()))


@pytest.mark.parametrize(("one", "other"), [("cv.pdf", "staff/CV.pdf"), ("C:\\fakepath\\cv.pdf", "uploads/cv.pdf")])
def test_names_under_different_folders_share_only_a_short_form(one: str, other: str) -> None:
    shared = spellings(one.encode()) & spellings(other.encode())
    assert shared
    assert all(map(is_short, shared))


@pytest.mark.parametrize(("one", "other"), [("cv-1.pdf", "cv-11.pdf"), ("1-1.pdf", "11.pdf"), ("a/b.pdf", "a-b.pdf")])
def test_different_names_share_no_form(one: str, other: str) -> None:
    assert not spellings(one.encode()) & spellings(other.encode())


@pytest.mark.parametrize("empty", [b"", b"/", b"-", b"...", b"\xff/", b"%"])
def test_name_without_a_letter_has_no_form(empty: bytes) -> None:
    assert spellings(empty) == set()
