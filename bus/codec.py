"""Bytes to typed messages and back: MessagePack between our programs, JSON for everybody else.

One way in: size, then a strict loader (MessagePack or JSON) to plain values, then the limits (`bus.limits`),
then msgspec with strict types. Whatever is wrong becomes a DecodeError with a code of the bad-input catalogue
and a JSON pointer. A message starts with a map, so the first byte tells the codec: `{` is JSON.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from enum import StrEnum
from typing import Any, NoReturn, TypeVar

import msgpack
import msgspec
from msgspec import Struct

from bus.api import OPERATIONS
from bus.errors import ApiError, DecodeError, Error, ErrorReply
from bus.faults import find_faults, nearest
from bus.limits import (
    ANSWER_BYTES_MAX,
    BYTES_MAX,
    DEPTH_MAX,
    INT_MAX,
    INT_MIN,
    KEYS_MAX,
    Flaw,
    find_flaws,
    is_clean,
)
from bus.messages import FromAgent, FromAgentReply, ToAgent, ToAgentReply
from bus.refusal import kind_of, quote, refusal
from bus.requests import Empty

S = TypeVar("S", bound=Struct)

VERSIONS = (1,)
"""Values of `v` that we understand."""


class Codec(StrEnum):
    JSON = "json"
    MSGPACK = "msgpack"


# possessive, so that no text makes it backtrack
_BRACKET_OR_STRING = re.compile(rb'[][{}]|"(?:[^"\\]|\\.)*+"?', re.DOTALL)

# a message is as large as it looks: nothing is inflated here, so no bomb can be sent
_COMPRESSED = {b"\x28\xb5\x2f\xfd": "zstd", b"\x1f\x8b": "gzip"}

_TO_JSON = msgspec.json.Encoder()
_TO_MSGPACK = msgspec.msgpack.Encoder()


def encode(message: object, codec: Codec = Codec.MSGPACK) -> bytes:
    """A Struct (or plain values) as bytes; `bytes` fields are base64 in JSON."""
    return _TO_JSON.encode(message) if codec is Codec.JSON else _TO_MSGPACK.encode(message)


def codec_of(data: bytes) -> Codec:
    """The codec of a payload: MessagePack if it starts like a map or an array of it, else JSON."""
    first = data[0] if data else 0
    packed = 0x80 <= first <= 0x9F or 0xDC <= first <= 0xDF
    return Codec.MSGPACK if packed else Codec.JSON


def decode(data: bytes, kind: type[S], *, subject: str = "") -> S:
    """The message of type `kind`. Raises DecodeError with every fault that could be found."""
    tree = _load(data, subject)
    if "v" in tree:
        tree = _checked_version(tree, kind, subject)
    message: S = _converted(tree, kind, subject)
    return message


def load(data: bytes, *, subject: str = "") -> dict[str, Any]:
    """The plain values of a message or job file, all limits checked. Raises DecodeError."""
    return _load(data, subject)


def from_fields(fields: Mapping[str, object], kind: type[S]) -> S:
    """A message out of values that came over no wire, judged as if they had. Raises DecodeError."""
    tree = msgspec.to_builtins(fields)
    if not is_clean(tree):
        raise DecodeError(find_flaws(tree))
    message: S = _converted(tree, kind, "")
    return message


def decode_request(operation: str, data: bytes, *, subject: str = "") -> Struct:
    """A client's request by its key in `OPERATIONS`; an empty payload will do where nothing is asked."""
    known = OPERATIONS.get(operation)
    if known is None:
        near = nearest(operation, list(OPERATIONS))
        guess = f"did you mean {near}? " if near else ""
        hint = f"{guess}there are {', '.join(OPERATIONS)}"
        _refuse(subject, "E_SUBJECT", "unknown operation", got=quote(operation), hint=hint)
    if not data and issubclass(known.request, Empty):
        return known.request()
    return decode(data, known.request, subject=subject)


def check_headers(headers: Mapping[str, str], *, subject: str = "") -> None:
    """Refuse a body in an encoding that is not spoken here. Raises DecodeError."""
    for name, value in headers.items():
        if name.lower() == "content-encoding" and value.strip().lower() not in ("", "identity"):
            _refuse(
                subject,
                "E_ENCODING",
                "the body is encoded",
                field="Content-Encoding",
                got=quote(value),
                expected="identity: plain JSON or MessagePack",
            )


def decode_answer(data: bytes, kind: type[S], *, subject: str = "") -> S:
    """The coordinator's answer. Raises ApiError where it refused, DecodeError where it is none.

    What comes from the coordinator may be larger than what is sent to it: a task's output has as many
    keys as its author liked.
    """
    tree = _load(data, subject, bytes_max=ANSWER_BYTES_MAX, keys_max=ANSWER_BYTES_MAX)
    if "error" in tree and isinstance(tree["error"], dict):
        raise ApiError(_converted(tree, ErrorReply, subject).error)
    answer: S = _converted(tree, kind, subject)
    return answer


def answer(result: Struct, codec: Codec) -> tuple[bytes, dict[str, str]]:
    """Payload and headers of an answer, in the codec it was asked in.

    An `Error` becomes an ErrorReply with the headers of the micro-service protocol.
    """
    if not isinstance(result, Error):
        return encode(result, codec), {}
    return encode(ErrorReply(error=result), codec), error_headers(result)


def error_headers(error: Error) -> dict[str, str]:
    """The micro-service protocol's headers of a refusal. The stable code stands for the text: a message may
    quote its sender, and what it quotes must not end a header."""
    return {"Nats-Service-Error-Code": str(error.status), "Nats-Service-Error": error.code}


def decode_from_agent(data: bytes, *, subject: str = "") -> FromAgent:
    message: FromAgent = _converted(_load(data, subject), FromAgent, subject)
    return message


def decode_to_agent(data: bytes, *, subject: str = "") -> ToAgent:
    message: ToAgent = _converted(_load(data, subject), ToAgent, subject)
    return message


def decode_to_agent_reply(data: bytes, *, subject: str = "") -> ToAgentReply:
    """The coordinator's answer to an agent. Raises ApiError where it refused (not leader, starting …)."""
    tree = _load(data, subject)
    if "error" in tree and "type" not in tree:
        raise ApiError(_converted(tree, ErrorReply, subject).error)
    message: ToAgentReply = _converted(tree, ToAgentReply, subject)
    return message


def decode_from_agent_reply(data: bytes, *, subject: str = "") -> FromAgentReply:
    message: FromAgentReply = _converted(_load(data, subject), FromAgentReply, subject)
    return message


def _converted(tree: dict[str, Any], kind: Any, subject: str) -> Any:
    try:
        return msgspec.convert(tree, kind)
    except (msgspec.ValidationError, RecursionError) as error:
        raise DecodeError(find_faults(tree, kind, str(error)), subject=subject) from None


def _checked_version(tree: dict[str, Any], kind: type[Struct], subject: str) -> dict[str, Any]:
    version = tree["v"]
    if isinstance(version, int) and not isinstance(version, bool):
        if version not in VERSIONS:
            spoken = ", ".join(map(str, VERSIONS))
            message = f"version {quote(version)}; this server speaks {spoken}"
            _refuse(subject, "E_VERSION", message, field="/v")
        if "v" not in kind.__struct_fields__:
            # every request may say which version it speaks, whether or not its type has a use for it
            return {key: value for key, value in tree.items() if key != "v"}
    return tree


def _load(
    data: bytes, subject: str, *, bytes_max: int = BYTES_MAX, keys_max: int = KEYS_MAX
) -> dict[str, Any]:
    if not data:
        _refuse(subject, "E_EMPTY", "empty message; expected a JSON object")
    if len(data) > bytes_max:
        _refuse(subject, "E_TOO_LARGE", f"{len(data)} bytes > {bytes_max}")
    load = _load_json if codec_of(data) is Codec.JSON else _load_msgpack
    tree = load(data, subject)
    if not is_clean(tree, keys_max=keys_max):
        raise DecodeError(find_flaws(tree), subject=subject)
    if type(tree) is not dict:
        error = refusal("E_TYPE", field="/", got=kind_of(tree), expected="object", status=400)
        raise DecodeError([error], subject=subject)
    return tree


def _load_msgpack(data: bytes, subject: str) -> Any:
    try:
        return msgpack.unpackb(data, strict_map_key=True, object_pairs_hook=_unique)
    except UnicodeDecodeError as error:
        _refuse(subject, "E_ENCODING", f"not UTF-8: {error.reason} in a MessagePack string")
    except msgpack.exceptions.StackError:
        _refuse(subject, "E_DEPTH", f"depth > {DEPTH_MAX}", hint="flatten the message")
    # ValueError covers msgpack's FormatError, ExtraData and its limits
    except (ValueError, TypeError, msgpack.exceptions.UnpackException) as error:
        _refuse(subject, "E_MSGPACK", f"not MessagePack: {str(error)[:80] or type(error).__name__}")


def _load_json(data: bytes, subject: str) -> Any:
    if data.startswith(b"\xef\xbb\xbf"):
        _refuse(subject, "E_JSON", "byte order mark; send UTF-8 without BOM")
    for magic, encoding in _COMPRESSED.items():
        if data.startswith(magic):
            _refuse(subject, "E_ENCODING", f"compressed ({encoding})", expected="plain JSON or MessagePack")
    if data.startswith((b"\xff\xfe", b"\xfe\xff")) or b"\0" in data[:4]:
        _refuse(subject, "E_ENCODING", "not UTF-8: looks like UTF-16 or UTF-32")
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        byte = data[error.start]
        _refuse(subject, "E_ENCODING", f"not UTF-8: byte 0x{byte:02X} at offset {error.start}")
    if _is_too_deep(data):
        _refuse(subject, "E_DEPTH", f"depth > {DEPTH_MAX}", hint="flatten the message")
    try:
        return _JSON_DECODER.decode(text)
    except json.JSONDecodeError as error:
        where = f"line {error.lineno} column {error.colno} (offset {error.pos})"
        hint = "send one JSON object in UTF-8"
        _refuse(subject, "E_JSON", f"not JSON at {where}: {error.msg}", hint=hint)


def _is_too_deep(data: bytes) -> bool:
    """Whether brackets nest deeper than allowed; the parser must not find out by recursion."""
    if data.count(b"[") + data.count(b"{") <= DEPTH_MAX:
        return False
    depth = 0
    for match in _BRACKET_OR_STRING.finditer(data):
        first = data[match.start()]
        if first in b"[{":
            depth += 1
            if depth > DEPTH_MAX:
                return True
        elif first in b"]}":
            depth -= 1
    return False


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                made[key] = Flaw("E_DUP_KEY", "appears twice", "send each key once")
            seen.add(key)
    return made


def _int(digits: str) -> int | Flaw:
    # 20 characters hold every int64; more would only cost time
    if len(digits) <= 20 and INT_MIN <= int(digits) <= INT_MAX:
        return int(digits)
    return Flaw("E_NUMBER", "is outside int64")


def _float(digits: str) -> float | Flaw:
    value = float(digits)
    return value if math.isfinite(value) else Flaw("E_NUMBER", "is not a finite number")


def _constant(name: str) -> Flaw:
    return Flaw("E_NUMBER", f"is {name}: not a finite number")


_JSON_DECODER = json.JSONDecoder(
    object_pairs_hook=_unique, parse_int=_int, parse_float=_float, parse_constant=_constant
)


def _refuse(
    subject: str,
    code: str,
    message: str = "",
    *,
    field: str = "",
    got: str = "",
    expected: str = "",
    hint: str = "",
) -> NoReturn:
    error = refusal(code, message, field=field, got=got, expected=expected, hint=hint)
    raise DecodeError([error], subject=subject) from None
