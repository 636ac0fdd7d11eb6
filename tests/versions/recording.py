"""The recorded sets: `<version>/<family>.msgpack` and, to be read by people, `.json` beside it.

Nothing that was recorded is ever changed. `add` puts in what the present program says and no recorded
example shows: a new message, or one with a new field.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from bus.codec import Codec
from tests.versions import examples
from tests.versions.families import Family, encoded, families, structs
from tests.versions.schema import Schema, grown, schema_of

HERE = Path(__file__).parent


class Example(Struct, frozen=True):
    """`kind` names the message in its family; `meaning` are the plain values that were read from `data`."""

    kind: str
    form: str  # full, bare
    codec: Codec
    data: bytes
    meaning: dict[str, Any]


def versions() -> list[Path]:
    """The folders of all recorded versions."""
    return sorted(path for path in HERE.iterdir() if (path / "schema.json").is_file())


def examples_of(version: Path, family: str) -> list[Example]:
    """What was recorded; empty where the family did not exist yet."""
    path = version / f"{family}.msgpack"
    return msgspec.msgpack.decode(path.read_bytes(), type=list[Example]) if path.is_file() else []


def recorded_schema(version: Path) -> Schema:
    return msgspec.json.decode((version / "schema.json").read_bytes(), type=Schema)


def meaning_of(message: Any) -> dict[str, Any]:
    """A decoded message as plain values, its kind among them, defaults written out."""
    found: dict[str, Any] = {"is": type(message).__name__} | _plain(message)
    return found


def missing(recorded: list[Example], family: Family) -> list[Example]:
    """The examples of the present program whose bytes no recorded one has."""
    known = {(example.kind, example.form, example.codec, example.data) for example in recorded}
    found = []
    for name, (kind, decode) in family.kinds.items():
        for form, make in (("full", examples.full), ("bare", examples.bare)):
            for codec in family.codecs:
                data = encoded(make(kind), codec)
                if (name, form, codec, data) not in known:
                    found.append(Example(name, form, codec, data, meaning_of(decode(data))))
    return found


def add(version: str) -> int:
    """Record what is missing in the set of `version`; answers how many examples are new."""
    folder = HERE / version
    folder.mkdir(exist_ok=True)
    added = 0
    for family in families():
        recorded = examples_of(folder, family.name)
        new = missing(recorded, family)
        if new:
            _write(folder / family.name, recorded + new)
            added += len(new)
    path = folder / "schema.json"
    before: Schema = recorded_schema(folder) if path.is_file() else {}
    path.write_text(json.dumps(grown(before, current_schema()), indent=1, sort_keys=True) + "\n")
    return added


def current_schema() -> Schema:
    """Of every type in every family."""
    found: Schema = {}
    for family in families():
        for kind, _ in family.kinds.values():
            found |= {name: schema_of(each) for name, each in structs(kind).items()}
    return found


def _write(stem: Path, recorded: list[Example]) -> None:
    stem.with_suffix(".msgpack").write_bytes(msgspec.msgpack.encode(recorded))
    readable = [
        {"message": f"{each.kind}, {each.form}", "bytes": len(each.data), "means": each.meaning}
        for each in recorded
        if each.codec is recorded[0].codec  # the other one says the same
    ]
    stem.with_suffix(".json").write_text(json.dumps(readable, indent=1) + "\n")


def _plain(value: Any) -> Any:
    """Like `msgspec.to_builtins`, but array-like Structs and tuples keep their names, defaults are told."""
    match value:
        case Struct():
            return {name: _plain(getattr(value, name)) for name in value.__struct_fields__}
        case dict():
            return {str(key): _plain(each) for key, each in value.items()}
        case tuple() if hasattr(value, "_fields"):
            return {name: _plain(each) for name, each in zip(value._fields, value, strict=True)}
        case list() | tuple():
            return [_plain(each) for each in value]
        case _:
            return msgspec.to_builtins(value)
