"""What travels between versions of Corral, or is read by a later one: by family, with what reads it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, get_args

import msgspec
from msgspec import Struct

from agent.guard import client as guard
from bus import api, messages
from bus.api import OPERATIONS
from bus.codec import (
    Codec,
    decode_answer,
    decode_from_agent,
    decode_from_agent_reply,
    decode_request,
    decode_to_agent,
    decode_to_agent_reply,
    encode,
)
from bus.spec import JobSpec
from bus.values import Inventory, TaskEvent, TaskSettings

Decode = Callable[[bytes], Any]

FED: tuple[type[Struct], ...] = (api.JobChanged, api.TaskChanged, api.NodeChanged)
STORED: tuple[type[Struct], ...] = (JobSpec, TaskSettings, Inventory)


class Family(Struct, frozen=True):
    """`kinds`: the message types by name, each with what decodes it in earnest."""

    name: str
    kinds: dict[str, tuple[type[Struct], Decode]]
    codecs: tuple[Codec, ...] = (Codec.MSGPACK, Codec.JSON)


def families() -> list[Family]:
    """All of them. A type that is not here may change as it likes."""
    return [
        _union("from_agent", messages.FromAgent, decode_from_agent),
        _union("to_agent_reply", messages.ToAgentReply, decode_to_agent_reply),
        _union("to_agent", messages.ToAgent, decode_to_agent),
        _union("from_agent_reply", messages.FromAgentReply, decode_from_agent_reply),
        Family("requests", {name: (op.request, _request(name)) for name, op in OPERATIONS.items()}),
        Family("answers", {name: (op.answer, _answer(op.answer)) for name, op in OPERATIONS.items()}),
        Family(
            "feed",
            {kind.__name__: (kind, _answer(kind)) for kind in FED},
            codecs=(Codec.JSON,),
        ),
        Family(
            "stored",
            {kind.__name__: (kind, _json(kind)) for kind in STORED},
            codecs=(Codec.JSON,),
        ),
        Family(
            "spool",
            {kind.__name__: (kind, _msgpack(TaskEvent)) for kind in get_args(TaskEvent)}
            | {"UsageReport": (messages.UsageReport, _msgpack(messages.UsageReport))},
            codecs=(Codec.MSGPACK,),
        ),
        Family(
            "guard",
            {kind.__name__: (kind, _msgpack(kind)) for kind in _frames()},
            codecs=(Codec.MSGPACK,),
        ),
    ]


def structs(kind: Any, seen: dict[str, type[Struct]] | None = None) -> dict[str, type[Struct]]:
    """A type and every Struct within it, by their full names."""
    seen = {} if seen is None else seen
    if isinstance(kind, type) and issubclass(kind, Struct):
        name = full_name(kind)
        if name not in seen:
            seen[name] = kind
            for field in msgspec.structs.fields(kind):
                structs(field.type, seen)
    for inner in get_args(kind):
        structs(inner, seen)
    return seen


RECORDED_IN = dict.fromkeys(("bus.outlook", "bus.feed", "bus.verification"), "bus.api")
"""Where types stood when they were first recorded, of modules that were split since: no message shows it."""


def full_name(kind: type) -> str:
    return f"{RECORDED_IN.get(kind.__module__, kind.__module__)}.{kind.__qualname__}"


def encoded(message: Struct, codec: Codec) -> bytes:
    return encode(message, codec)


def _union(name: str, union: Any, decode: Decode) -> Family:
    return Family(name, {kind.__name__: (kind, decode) for kind in get_args(union)})


def _request(operation: str) -> Decode:
    return lambda data: decode_request(operation, data)


def _answer(kind: type[Struct]) -> Decode:
    return lambda data: decode_answer(data, kind)


def _json(kind: Any) -> Decode:
    return msgspec.json.Decoder(kind).decode


def _msgpack(kind: Any) -> Decode:
    return msgspec.msgpack.Decoder(kind).decode


def _frames() -> Iterator[type[Struct]]:
    """What a guard says to its agent: the guard may be of an older version, it outlives the agent."""
    for kind in vars(guard).values():
        if isinstance(kind, type) and issubclass(kind, Struct) and kind.__struct_config__.tag is not None:
            yield kind
