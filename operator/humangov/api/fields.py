"""An object of a manifest → the fields of a frozen dataclass. Pure.

A field's name, type and default stand once: in the dataclass. In a manifest it has the Python name in camelCase, with
initialisms as Kubernetes writes them; what else is to be said of it is a `Given` in its annotation. A null is a field
that is not given.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from types import UnionType
from typing import Annotated, Any, get_args, get_origin, get_type_hints

Read = Callable[[Any, str], Any]
_NOTHING: Mapping[str, Any] = {}
_INITIALISMS = {"arn": "ARN", "id": "ID", "mib": "MiB"}
_TYPE_NAMES = {str: "string", int: "integer", bool: "boolean", float: "number", list: "array", dict: "object"}


class FieldError(Exception):
    """A field is unknown, missing, or can't be what was given; the message says which, by its path."""


@dataclass(frozen=True, kw_only=True)
class Given:
    """In a field's Annotated: how a manifest gives it, where the field's name and type do not say that.

    kind      its type there
    read      the given value and its path → the field's value; may raise FieldError
    required  what it is, for a person who gave none or an empty one
    """

    name: str | None = None
    kind: type | None = None
    read: Read | None = None
    required: str = ""


def values(
    dataclass_: type, given: Any, *, path: str, of: str, derived: Mapping[str, Any] = _NOTHING
) -> dict[str, Any]:
    """What an object of a manifest gives for a dataclass's fields; those that it leaves to their defaults are missing.

    derived: laid out as the object, what holds where it gives nothing or an empty string. of: the manifest's kind.
    Raises FieldError.
    """
    fields = _fields(dataclass_)
    section = _section(given, path=path)
    unknown = next((name for name in section if name not in fields), None)
    if unknown is not None:
        raise FieldError(f"{path}.{unknown} is not a field of {of}; {path} has {', '.join(fields)}")
    found = {}
    for name, one in fields.items():
        inner, value = f"{path}.{name}", section.get(name)
        _check_kind(value, one.kind, path=inner)
        if one.section is not None:
            if value is None and one.optional:
                continue
            below = values(one.section, value, path=inner, of=of, derived=derived.get(name, _NOTHING))
            found[one.name] = one.section(**below)
        elif one.required and not value:
            raise FieldError(f"{inner} is required: {one.required}")
        elif name in derived and value in (None, ""):
            found[one.name] = derived[name]
        elif value is not None:
            found[one.name] = one.read(value, inner) if one.read else value
    return found


def one_of(*words: str) -> Given:
    """A word that must be one of these."""

    def read(value: str, path: str) -> str:
        if value not in words:
            raise FieldError(f"{path} must be {', '.join(words[:-1])} or {words[-1]}, not {value!r}")
        return value

    return Given(read=read)


def set_of(what: str) -> Given:
    """Strings whose order means nothing to the API server: sorted, so that another order is no change."""

    def read(value: list[Any], path: str) -> tuple[str, ...]:
        if not value or not all(isinstance(one, str) and one for one in value):
            raise FieldError(f"{path} must be a list of {what}, not {value!r}")
        return tuple(sorted(set(value)))

    return Given(read=read)


@dataclass(frozen=True, kw_only=True)
class _Field:
    """name: in Python. kind: its type in a manifest. section: the dataclass of its own fields, if it has such.

    optional: `| None`, so that a section that is not given is None, and not one of defaults.
    """

    name: str
    kind: type
    section: type | None
    optional: bool
    read: Read | None
    required: str


@cache
def _fields(dataclass_: type) -> Mapping[str, _Field]:
    """By their names in a manifest."""
    hints = get_type_hints(dataclass_, include_extras=True)
    found = {}
    for one in dataclasses.fields(dataclass_):
        hint, given, optional = _parts(hints[one.name])
        section = hint if isinstance(hint, type) and dataclasses.is_dataclass(hint) else None
        found[given.name or _camel_case(one.name)] = _Field(
            name=one.name, kind=given.kind or _kind(hint), section=section, optional=optional, read=given.read,
            required=given.required,
        )  # fmt: skip
    return found


def _parts(hint: Any) -> tuple[Any, Given, bool]:
    """`Annotated[str | None, Given(…)]` → `str`, what is said of it, and whether it may be None."""
    given, optional = Given(), False
    if get_origin(hint) is Annotated:
        hint, given = get_args(hint)
    if isinstance(hint, UnionType):
        optional = True
        [hint] = [kind for kind in get_args(hint) if kind is not type(None)]
    return hint, given, optional


def _kind(hint: Any) -> type:
    """The type that a manifest has for one of Python."""
    origin = get_origin(hint) or hint
    if dataclasses.is_dataclass(origin) or origin is Mapping:
        return dict
    return list if origin is tuple else origin


def _camel_case(name: str) -> str:
    first, *others = name.split("_")
    return first + "".join(_INITIALISMS.get(word, word.capitalize()) for word in others)


def _section(given: Any, *, path: str) -> Mapping[str, Any]:
    if given is not None and not isinstance(given, Mapping):
        raise FieldError(f"{path} must be an object, not {_type_name(type(given))}")
    return given or _NOTHING


def _check_kind(value: Any, kind: type, *, path: str) -> None:
    fits = isinstance(value, kind) and not (kind is int and isinstance(value, bool))
    if value is not None and not fits:
        wanted = _type_name(kind)
        raise FieldError(f"{path} must be of type {wanted}, not {_type_name(type(value))}: {value!r}")


def _type_name(kind: type) -> str:
    """A type of Python by its name in a manifest."""
    return _TYPE_NAMES.get(kind, kind.__name__)
