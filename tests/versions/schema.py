"""What may become of a message type: fields come, with defaults; nothing that was said is taken back."""

from __future__ import annotations

from enum import Enum
from typing import Any, get_args, get_type_hints

import msgspec
from msgspec import NODEFAULT, Struct

from tests.versions.families import RECORDED_IN


class Shown(Struct, frozen=True):
    """A field. `default` is None where it must be given; `words` are those of its enums."""

    type: str
    default: str | None
    words: list[str] = []


class Kind(Struct, frozen=True):
    """A Struct. `ordered`: encoded as an array, so the places of its fields count too."""

    tag: str | None
    ordered: bool
    fields: dict[str, Shown]


Schema = dict[str, Any]


def schema_of(kind: type[Struct]) -> dict[str, Any]:
    """A type as plain values that a file can keep."""
    hints = get_type_hints(kind)
    config = kind.__struct_config__
    fields = {
        field.name: Shown(_type(hints[field.name]), _default(field), _words(hints[field.name]))
        for field in msgspec.structs.fields(kind)
    }
    tag = None if config.tag is None else str(config.tag)
    shown: dict[str, Any] = msgspec.to_builtins(Kind(tag, config.array_like, fields))
    shown["fields"] = [{"name": name, **field} for name, field in shown["fields"].items()]
    return shown


def grown(before: Schema, now: Schema) -> Schema:
    """The recorded schema with what is new; what stands in it stays."""
    found = dict(before)
    for name, kind in now.items():
        if name not in before:
            found[name] = kind
            continue
        known = {field["name"] for field in before[name]["fields"]}
        new = [field for field in kind["fields"] if field["name"] not in known]
        found[name] = before[name] | {"fields": before[name]["fields"] + new}
    return found


def breaches(before: Schema, now: Schema) -> list[str]:
    """What an older peer would no longer understand, or we no longer of it."""
    found = []
    for name, old in before.items():
        if name not in now:
            found.append(f"{name} is gone")
            continue
        new = now[name]
        if (old["tag"], old["ordered"]) != (new["tag"], new["ordered"]):
            found.append(f"{name} has another tag or form")
        written = name.startswith("bus.spec.")  # by people; only a coordinator reads it
        found += [
            f"{name}.{breach}" for breach in _of_fields(old["fields"], new["fields"], may_widen=written)
        ]
        if new["ordered"]:
            places = [field["name"] for field in new["fields"]]
            if places[: len(old["fields"])] != [field["name"] for field in old["fields"]]:
                found.append(f"{name}: fields of an array have changed places")
    return found


def _of_fields(old: list[dict[str, Any]], new: list[dict[str, Any]], *, may_widen: bool) -> list[str]:
    known = {field["name"]: field for field in old}
    now = {field["name"]: field for field in new}
    found = [f"{name} is gone" for name in known if name not in now]
    for name, field in now.items():
        if name not in known:
            if field["default"] is None:
                found.append(f"{name} is new and has no default: older peers do not send it")
            continue
        before = known[name]
        widened = set(before["type"].split(" | ")) < set(field["type"].split(" | "))
        if field["type"] != before["type"] and not (widened and may_widen):
            found.append(f"{name} was {before['type']}, is {field['type']}")
        if before["default"] is not None and field["default"] != before["default"]:
            found.append(f"{name}: its default was {before['default']}, is {field['default']}")
        if lost := set(before["words"]) - set(field["words"]):
            found.append(f"{name}: {', '.join(sorted(lost))} is no word of it any more")
    return found


def _default(field: msgspec.structs.FieldInfo) -> str | None:
    if field.default is not NODEFAULT:
        return repr(field.default)
    if field.default_factory is not NODEFAULT:
        return repr(field.default_factory())
    return None


def _type(hint: Any) -> str:
    text = repr(hint) if get_args(hint) else getattr(hint, "__qualname__", repr(hint))
    for module, recorded in RECORDED_IN.items():
        text = text.replace(f"{module}.", f"{recorded}.")
    return str(text.replace("typing.", ""))


def _words(hint: Any) -> list[str]:
    if isinstance(hint, type) and issubclass(hint, Enum):
        return [str(each.value) for each in hint]
    return [word for inner in get_args(hint) for word in _words(inner)]
