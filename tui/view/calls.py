"""The form of a tool's call, made of its JSON Schema: its lines, and the input that they come to.

What a line may hold follows from the types that the schema allows there: text stands as it is typed, anything
else as JSON. What the schema says of the whole is asked of `bus.schemas`, as the coordinator does.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct

from bus import templates
from bus.errors import CorralError
from bus.registry import ToolEntry
from bus.schemas import QUICK_MAX, Broken, Overrun, broken

Json = dict[str, Any]

LINES_MAX = 40
"""Properties beyond these are typed into the last line."""

DEPTH_MAX = 8
HINT_MAX = 80
TEXT = frozenset({"string"})
_GROUPS = ("anyOf", "oneOf")
_EXPECTED = {
    "string": "text", "integer": "a whole number", "number": "a number", "boolean": "true or false",
    "array": "a list such as [1, 2]", "object": 'an object such as {"key": 1}', "null": "null",
}  # fmt: skip
_SAID = {
    "type": "expected {0}", "enum": "expected one of {0}", "const": "expected {0}",
    "minimum": "at least {0}", "maximum": "at most {0}", "exclusiveMinimum": "more than {0}",
    "exclusiveMaximum": "less than {0}", "multipleOf": "a multiple of {0}",
    "minLength": "at least {0} characters", "maxLength": "at most {0} characters",
    "pattern": "does not match {0}", "uniqueItems": "no element twice",
    "minItems": "{0}", "maxItems": "{0}", "minProperties": "{0}", "maxProperties": "{0}",
    "additionalProperties": "the tool takes no other keys",
}  # fmt: skip


class CallError(CorralError):
    """A line that cannot be meant."""


class CallLine(Struct, frozen=True, kw_only=True):
    """One key of the input; `key` "": a line for an object with all keys that have no line of their own."""

    key: str
    hint: str
    kinds: frozenset[str] | None = None
    required: bool = False

    @property
    def label(self) -> str:
        """A key that is needed bears a star."""
        return f"{self.key or 'more'}{'*' if self.required else ''}"


class Called(Struct, frozen=True, kw_only=True):
    """What the lines come to: the input, and what is wrong with it, by key; "": of none, or of the last."""

    given: Json
    faults: dict[str, str] = {}


def lines_of(tool: ToolEntry) -> list[CallLine]:
    """What can be filled in: the keys that are needed first, then the others as the schema has them."""
    schema = tool.input_schema or {}
    known: Json = schema.get("properties") or {}
    needed = [*schema.get("required", ()), *sorted(templates.keys(tool.command))]
    names = list(dict.fromkeys([*needed, *known]))
    lines = [
        CallLine(
            key=name,
            hint=hint_of(known.get(name, {}), schema),
            kinds=kinds_of(known.get(name, {}), schema),
            required=name in needed,
        )
        for name in names[:LINES_MAX]
    ]
    if len(names) > LINES_MAX or schema.get("additionalProperties", True) is not False:
        lines.append(CallLine(key="", hint='other keys, as JSON: {"key": 1}', kinds=frozenset({"object"})))
    return lines


def called(tool: ToolEntry, lines: Sequence[CallLine], texts: Sequence[str]) -> Called:
    """Read the lines; one without text says nothing of its key."""
    given: Json = {}
    faults: dict[str, str] = {}
    for line, text in zip(lines, texts, strict=True):
        if not text.strip():
            if line.required:
                faults[line.key] = "is needed"
            continue
        try:
            value = value_of(text, line.kinds)
        except CallError as error:
            faults[line.key] = str(error)
            continue
        if line.key:
            given[line.key] = value
        elif twice := sorted(given.keys() & value.keys()):
            faults[""] = f"{twice[0]} has a line of its own"
        else:
            given |= value
    for key, fault in _broken(tool.input_schema, given).items():
        faults.setdefault(key if any(line.key == key for line in lines) else "", fault)
    order = [line.key for line in lines]
    return Called(given=given, faults={key: faults[key] for key in (*order, "") if key in faults})


def texts_of(lines: Sequence[CallLine], given: Mapping[str, Any]) -> list[str]:
    """The texts that an input was read from, or others that give the same."""
    rest = {key: value for key, value in given.items() if all(line.key != key for line in lines)}
    return [
        (text_of(given[line.key], line.kinds) if line.key in given else "")
        if line.key
        else (_json(rest) if rest else "")
        for line in lines
    ]


def value_of(text: str, kinds: frozenset[str] | None) -> Any:
    """What a line holds. Raises CallError."""
    if kinds == TEXT:
        return text
    try:
        value = json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        if kinds is None or "string" in kinds:
            return text
        raise CallError(f"expected {_words(kinds)}") from None
    if kinds is None or kinds & _kinds_of_value(value):
        return value
    if "string" in kinds:
        return text
    raise CallError(f"expected {_words(kinds)}")


def text_of(value: Any, kinds: frozenset[str] | None) -> str:
    """As one types it: `value_of` gives the value again."""
    if isinstance(value, str):
        try:
            if value_of(value, kinds) == value:
                return value
        except CallError:
            pass
    return _json(value)


def kinds_of(schema: object, root: Json, depth: int = 0) -> frozenset[str] | None:
    """The types that a schema allows; None: any."""
    if not isinstance(schema, dict) or depth > DEPTH_MAX:
        return None
    if isinstance(reference := schema.get("$ref"), str):
        return kinds_of(_referred(reference, root), root, depth + 1)
    if (kind := schema.get("type")) is not None:
        return frozenset([kind] if isinstance(kind, str) else kind)
    if values := schema.get("enum") or ([schema["const"]] if "const" in schema else []):
        return frozenset().union(*map(_kinds_of_value, values))
    for group in _GROUPS:
        if forms := schema.get(group):
            found = [kinds_of(form, root, depth + 1) for form in forms]
            return None if None in found else frozenset().union(*(each or () for each in found))
    return None


def hint_of(schema: object, root: Json) -> str:
    """What stands in an empty line: its values, or type and bounds, then what is said of it."""
    if isinstance(schema, dict) and isinstance(reference := schema.get("$ref"), str):
        schema = {**_plain(_referred(reference, root)), **schema}
    told = _plain(schema)
    kinds = kinds_of(schema, root)
    if values := told.get("enum"):
        parts = [" | ".join(map(_shown, values))]
    else:
        parts = [_words(kinds) if kinds else "any value"]
    least, most = told.get("minimum"), told.get("maximum")
    parts += [f"{_SAID['minimum'].format(least)}"] if least is not None else []
    parts += [f"{_SAID['maximum'].format(most)}"] if most is not None else []
    parts += [f"default {_shown(told['default'])}"] if "default" in told else []
    parts += [str(told["description"])] if told.get("description") else []
    text = ", ".join(parts)
    return text if len(text) <= HINT_MAX else f"{text[: HINT_MAX - 1]}…"


def _broken(schema: Json | None, given: Json) -> dict[str, str]:
    """What the schema says, by the key that it says it of. What takes long is left to the coordinator."""
    if schema is None:
        return {}
    try:
        found = broken(schema, given, checks=QUICK_MAX)
    except Overrun:
        return {}
    faults: dict[str, str] = {}
    for each in found:
        _, _, rest = each.pointer.partition("/")
        key, _, deeper = rest.partition("/")
        if each.pointer or each.rule != "required":  # of the whole, that is told line by line
            fault = f"{deeper}: {_told(each)}" if deeper else _told(each)
            faults.setdefault(key.replace("~1", "/").replace("~0", "~"), fault)
    return faults


def _told(fault: Broken) -> str:
    said = _SAID.get(fault.rule)
    if said is None:
        return f"breaks the rule `{fault.rule}` of the tool: {fault.expected}"
    return said.format(fault.expected.strip("[]") if fault.rule == "enum" else fault.expected.strip('"'))


def _kinds_of_value(value: object) -> frozenset[str]:
    match value:
        case None:
            return frozenset({"null"})
        case bool():
            return frozenset({"boolean"})
        case int():
            return frozenset({"integer", "number"})
        case float():
            return frozenset({"integer", "number"} if value.is_integer() else {"number"})
        case str():
            return TEXT
        case list():
            return frozenset({"array"})
        case _:
            return frozenset({"object"})


def _referred(reference: str, root: Json) -> object:
    place: object = root
    for part in reference.split("/")[1:]:
        place = place.get(part.replace("~1", "/").replace("~0", "~")) if isinstance(place, dict) else None
    return place


def _plain(schema: object) -> Json:
    return schema if isinstance(schema, dict) else {}


def _words(kinds: frozenset[str]) -> str:
    wanted = kinds - {"integer"} if "number" in kinds else kinds
    return " or ".join(words for kind, words in _EXPECTED.items() if kind in wanted) or "nothing"


def _shown(value: object) -> str:
    return value if isinstance(value, str) else _json(value)


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def _no_constant(word: str) -> object:
    raise ValueError(word)
