"""Every fault of a message that does not fit its type, each with its JSON pointer.

The slow way, taken only once msgspec has refused: it stops at the first fault, people want them all.
"""

from __future__ import annotations

import difflib
import re
import types
from enum import Enum
from typing import Any, Literal, Union, get_args, get_origin

import msgspec
from msgspec import NODEFAULT, Struct
from msgspec.structs import FieldInfo, fields

from bus.errors import Error
from bus.limits import escape
from bus.refusal import describe, kind_of, quote, refusal

FAULTS_MAX = 20

_PATH = re.compile(r" - at `(?:key in )?\$?(.*?)`$")
_EXPECTED = re.compile(r"Expected `([^`]+)`, got `([^`]+)`")
_HINTS = {
    "command": 'a list of words: ["sh", "-c", "echo hello"]; `corral submit --shell TEXT` makes it',
    "cpu": 'millicores as an integer, or text: "0.5", "500m"',
    "input": 'an object, for example {"text": "hello"}',
}
"""What helps with a value of the wrong type, by the name of its field."""

_WHOLE = {
    "retries": ("E_RANGE", "integer 0–10"),
}
"""Fields where a fraction is more than a wrong type: what it is, and what would be right."""

_NAMES = {
    "str": "string",
    "int": "integer",
    "float": "number",
    "bool": "boolean",
    "null": "null",
    "NoneType": "null",
    "dict": "object",
    "list": "array",
}


def find_faults(tree: object, kind: Any, first_message: str) -> list[Error]:
    """All faults of `tree` as a `kind`; never empty: what cannot be traced is told as msgspec told it."""
    found: list[Error] = []
    _visit(tree, kind, "", found)
    return found[:FAULTS_MAX] or [_from_message(first_message, "", tree, kind)]


def nearest(word: str, known: list[str]) -> str | None:
    """The known name that `word` was probably meant to be."""
    close = difflib.get_close_matches(word[:80], known, n=1, cutoff=0.6)
    return close[0] if close else None


def _visit(value: object, kind: Any, pointer: str, found: list[Error]) -> None:
    """Add the faults of `value`; descends only where the type has an inside."""
    if len(found) >= FAULTS_MAX:
        return
    try:
        msgspec.convert(value, kind)
        return
    except (msgspec.ValidationError, RecursionError) as error:
        message = str(error)
    before = len(found)
    inner = _inside(value, kind)
    if isinstance(value, dict) and isinstance(inner, type) and issubclass(inner, Struct):
        _visit_struct(value, inner, pointer, found)
    elif isinstance(value, list) and get_origin(inner) in (list, tuple):
        item_kind = get_args(inner)[0]
        for index, item in enumerate(value):
            _visit(item, item_kind, f"{pointer}/{index}", found)
    elif isinstance(value, dict) and get_origin(inner) is dict:
        for key, item in value.items():
            _visit(item, get_args(inner)[1], f"{pointer}/{escape(str(key))}", found)
    if len(found) == before:
        found.append(_from_message(message, pointer, value, kind))


def _visit_struct(value: dict[str, Any], kind: type[Struct], pointer: str, found: list[Error]) -> None:
    known = {field.encode_name: field for field in fields(kind)}
    tag = kind.__struct_config__.tag_field
    strict = kind.__struct_config__.forbid_unknown_fields
    for key, item in value.items():
        if len(found) >= FAULTS_MAX:
            return  # guessing at names is slow, and nobody reads more
        if key in known:
            _visit(item, known[key].type, f"{pointer}/{escape(key)}", found)
        elif strict and key != tag:
            found.append(_unknown(key, list(known), pointer))
    for name, field in known.items():
        if name not in value and _is_required(field):
            found.append(
                refusal(
                    "E_REQUIRED", field=f"{pointer}/{name}", expected=_wanted(field.type), hint=_hint(name)
                )
            )


def _inside(value: object, kind: Any) -> Any:
    """The member of a union that `value` was meant for; other types as they are."""
    if get_origin(kind) not in (Union, types.UnionType):
        return kind
    members = [member for member in get_args(kind) if member is not type(None)]
    if isinstance(value, dict):
        for member in members:
            config = getattr(member, "__struct_config__", None)
            if config is not None and (config.tag is None or value.get(config.tag_field) == config.tag):
                return member
        plain = [member for member in members if get_origin(member) is dict]
        return plain[0] if plain else kind
    if isinstance(value, list):
        plain = [member for member in members if get_origin(member) in (list, tuple)]
        return plain[0] if plain else kind
    return kind


def _is_required(field: FieldInfo) -> bool:
    return field.default is NODEFAULT and field.default_factory is NODEFAULT


def _unknown(key: str, known: list[str], pointer: str) -> Error:
    guess = nearest(key, known)
    shown = escape(key)
    hint = f"did you mean {guess}?" if guess else "known: " + ", ".join(sorted(known))
    return refusal("E_FIELD", f"unknown field {shown}", field=f"{pointer}/{shown}", hint=hint)


def _from_message(message: str, pointer: str, value: object, kind: Any) -> Error:
    """msgspec's own words, made the catalogue's."""
    path = _PATH.search(message)
    tail = path[1].replace(".", "/").replace("[", "/").replace("]", "") if path else ""
    where = pointer + tail
    text = _PATH.sub("", message)
    if expected := _EXPECTED.search(text):
        wanted = " or ".join(_NAMES.get(part, part) for part in expected[1].split(" | "))
        # where msgspec speaks of something inside of `value`, its word is all that is known
        got = _NAMES.get(expected[2], expected[2]) if tail else describe(value)
        code = "E_NULL" if got == "null" else "E_TYPE"
        name = where.rpartition("/")[2]
        if isinstance(value, float) and name in _WHOLE:
            code, wanted = _WHOLE[name]
        return refusal(code, field=where or "/", got=got, expected=wanted, hint=_hint(name))
    if text.startswith("Invalid enum value"):
        members = _enum_values(kind)
        expected_words = "one of " + ", ".join(members) if members else ""
        guess = nearest(value, members) if isinstance(value, str) else None
        hint = f"did you mean {guess}?" if guess else ""
        return refusal("E_ENUM", field=where or "/", got=quote(value), expected=expected_words, hint=hint)
    if "missing required field" in text:
        name = text.rsplit("`", 2)[-2]
        return refusal("E_REQUIRED", field=f"{where}/{name}")
    if "unknown field" in text:
        return refusal("E_FIELD", text, field=where)
    return refusal("E_VALUE", text, field=where or "/", got=kind_of(value))


def _hint(name: str) -> str:
    return _HINTS.get(name, "")


def _wanted(kind: Any) -> str:
    """The type of a field in JSON's words; "" where it is no simple one."""
    return _NAMES.get(getattr(kind, "__name__", ""), "")


def _enum_values(kind: Any) -> list[str]:
    kinds = get_args(kind) if get_origin(kind) in (Union, types.UnionType) else (kind,)
    found: list[str] = []
    for one in kinds:
        if isinstance(one, type) and issubclass(one, Enum):
            found += (str(member.value) for member in one)
        elif get_origin(one) is Literal:
            found += (str(word) for word in get_args(one))
    return found
