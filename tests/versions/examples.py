"""An example of any message: every field set to something that is not its default, the same at every run."""

from __future__ import annotations

import types
import typing
from enum import Enum
from typing import Any, get_args, get_origin, get_type_hints

import msgspec
from msgspec import NODEFAULT, Struct


def full(kind: type[Struct]) -> Struct:
    """With every field."""
    return kind(**{name: _value(hint, name) for name, hint in _hints(kind).items()})


def bare(kind: type[Struct]) -> Struct:
    """With what it cannot do without: what is read from it says what the defaults mean."""
    needed = [
        field.name
        for field in msgspec.structs.fields(kind)
        if field.default is NODEFAULT and field.default_factory is NODEFAULT
    ]
    hints = _hints(kind)
    return kind(**{name: _value(hints[name], name) for name in needed})


def _hints(kind: type[Struct]) -> dict[str, Any]:
    hints = get_type_hints(kind)
    return {name: hints[name] for name in kind.__struct_fields__}


def _value(hint: Any, name: str) -> Any:
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is typing.Literal:
        return arguments[-1]
    if origin in (types.UnionType, typing.Union):
        return _value(next(each for each in arguments if each is not type(None)), name)
    if origin is tuple and arguments[-1] is not Ellipsis:
        return tuple(_value(each, name) for each in arguments)
    if origin in (tuple, list):
        members = get_args(arguments[0])
        kinds = members if get_origin(arguments[0]) is types.UnionType else arguments[:1]
        return origin(_value(each, name) for each in kinds)
    if origin is dict:
        return {f"{name}-key": _value(arguments[1], name)}
    if hasattr(hint, "__supertype__"):
        return _value(hint.__supertype__, name)
    if not isinstance(hint, type) and hint is not Any:
        raise TypeError(f"no example of {hint} for {name}: add one")
    return _plain(hint, name)


def _plain(hint: Any, name: str) -> Any:
    if hint is Any:
        return {"any": [1, "two", None]}
    if hint is types.NoneType:
        return None
    if hint is bool:
        return True
    if hint is int:
        return 1 if name == "v" else len(name) + 2
    if hint is float:
        return len(name) + 0.5
    if hint is str:
        return f"a {name}"
    if hint is bytes:
        return b"\x00\xff" + name.encode()
    if issubclass(hint, Enum):
        return list(hint)[-1]
    if issubclass(hint, Struct):
        return full(hint)
    if hasattr(hint, "_fields"):
        return hint(*(_value(each, key) for key, each in get_type_hints(hint).items()))
    raise TypeError(f"no example of {hint} for {name}: add one")
