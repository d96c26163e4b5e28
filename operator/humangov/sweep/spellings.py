"""Spellings: what two keys have in common that people, or programs, take for the same file. Pure.

A record may mean a file that its name, however generously it is read, does not spell: in other case, with accents or
blanks lost, under another folder, without an extension, or encoded. This is never a reason to erase; it is one to ask.
"""

from __future__ import annotations

import re
import unicodedata
from urllib.parse import unquote

_PLAIN = re.compile(r"[a-z0-9./-]*").fullmatch
_BETWEEN = re.compile(r"[\W_]+")
_EXTENSION = re.compile(r"\.\w{1,5}$")
_WHOLE, _SHORT = "/", "…"


def spellings(key: bytes) -> set[str]:
    """Forms of a key. Two keys that share one may mean the same file.

    Of the whole key, and of its last part alone (`is_short`); each with its extension and without.
    """
    text = key.decode(errors="replace")
    if not _PLAIN(text):
        text = _folded(text)
    parts = [part for part in text.split("/") if part]
    if not parts:
        return set()
    folders, name = parts[:-1], parts[-1]
    names = {_BETWEEN.sub("-", one).strip("-") for one in (name, _EXTENSION.sub("", name))}
    before = "".join(f"{_BETWEEN.sub('-', folder)}/" for folder in folders)
    return {f"{kind}{one}" for found in names if found for kind, one in ((_WHOLE, before + found), (_SHORT, found))}


def is_short(form: str) -> bool:
    """Whether the form is of a key's last part alone: files of different people often share that."""
    return form.startswith(_SHORT)


def _folded(text: str) -> str:
    """Decoded, without case and accents."""
    for _ in range(2):  # an encoded name is at times encoded again
        text = unquote(text, errors="replace") if "%" in text else text
    apart = unicodedata.normalize("NFKD", text).casefold().replace("\\", "/")
    return "".join(letter for letter in unicodedata.normalize("NFKD", apart) if not unicodedata.combining(letter))
