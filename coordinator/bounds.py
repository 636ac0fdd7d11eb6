"""What an agent may claim: the bounds that the columns of the database have too.

The codec has checked types. A number or a text that no column can hold is refused here, at the door: met in
a commit it would undo the batch of everybody else, and end the coordinator.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import assert_never

from msgspec import Struct

from bus.errors import ApiError
from bus.messages import (
    PROTOCOL_VERSION,
    FromAgent,
    Heartbeat,
    InputsRequest,
    Register,
    Report,
    UsageReport,
)
from bus.refusal import quote, refusal
from bus.values import OUTPUT_LIMIT, Ended, Resources, Returned, Started, Usage

AMOUNT_MAX = 2**50
COUNT_MAX = 65_536
GAUGE_MAX = 1e12
TEXT_MAX = 1024
MESSAGE_MAX = 8192
INDEX_MAX = 2**31 - 1
LABELS_MAX = 64
FAULTS_MAX = 16
AGE_MAX_S = 7 * 24 * 3600
INSTANT_MIN, INSTANT_MAX = 946_684_800.0, 4_102_444_800.0  # 2000 to 2100: a clock that was never set is 1970


class OutOfBounds(ApiError):
    """A value that no agent in its right mind sends; the error names it."""


def check(message: FromAgent) -> None:
    """Raises OutOfBounds: E_RANGE, or E_VERSION for an agent of another protocol."""
    match message:
        case Heartbeat():
            _gauge("load", message.load)
            _within("number of faults", len(message.faults), 0, FAULTS_MAX)
            for fault in message.faults:
                _within("length of a fault", len(fault), 0, TEXT_MAX)
        case Report():
            for event in message.events:
                _check_event(event)
        case UsageReport():
            _gauge("load", message.load)
            _check_instant("sampled_at", message.sampled_at)
            _within("age_s", message.age_s, 0, AGE_MAX_S)
            for usage in (message.usage, *(sample.usage for sample in message.tasks)):
                _check_usage(usage)
        case Register():
            _check_register(message)
        case InputsRequest():
            _within("after", message.after, -1, INDEX_MAX)
        case _:
            assert_never(message)


def _check_event(event: Started | Ended | Returned) -> None:
    if not isinstance(event, Ended):
        return
    if event.exit_code is not None:
        _within("exit_code", event.exit_code, 0, 255)
    if event.signal is not None:
        _within("signal", event.signal, 1, 64)
    _within("length of message", len(event.message), 0, MESSAGE_MAX)
    _within("length of output", len(event.output or b""), 0, OUTPUT_LIMIT)


def _check_usage(usage: Usage) -> None:
    for name in usage.__struct_fields__:
        value = getattr(usage, name)
        if value is not None:
            _gauge(name, value)


def _check_register(message: Register) -> None:
    if message.protocol != PROTOCOL_VERSION:
        older = "the agent is older" if message.protocol < PROTOCOL_VERSION else "the agent is newer"
        raise OutOfBounds(
            refusal(
                "E_VERSION",
                f"{older} than its coordinator",
                field="/protocol",
                got=quote(message.protocol),
                expected=str(PROTOCOL_VERSION),
                hint=f"install the coordinator's version of Corral on {message.node[:63]}, then restart it",
            )
        )
    _check_amounts(message.capacity)
    _within("number of labels", len(message.labels), 0, LABELS_MAX)
    inventory = message.inventory
    _within("cpu_cores", inventory.cpu_cores, 0, COUNT_MAX)
    for gpu in inventory.gpus:
        _within("mem_mib of a GPU", gpu.mem_mib, 0, AMOUNT_MAX)
    for interface in inventory.interfaces:
        _within("speed_mbps", interface.speed_mbps, 0, INDEX_MAX)
    for text in _texts(message):
        _within("length of a text", len(text), 0, TEXT_MAX)


def _check_amounts(amounts: Resources) -> None:
    most = {"cpu_millis": 1000 * COUNT_MAX, "gpus": COUNT_MAX}
    for name in amounts.__struct_fields__:
        _within(name, getattr(amounts, name), 0, most.get(name, AMOUNT_MAX))


def _check_instant(name: str, at: float) -> None:
    if not INSTANT_MIN <= at <= INSTANT_MAX:
        raise _out(name, at, "an instant of this century, in seconds of the Unix epoch")


def _gauge(name: str, value: float) -> None:
    if not -GAUGE_MAX <= value <= GAUGE_MAX:
        raise _out(name, value, f"{-GAUGE_MAX:g} to {GAUGE_MAX:g}")


def _within(name: str, value: float, low: int, high: int) -> None:
    if not low <= value <= high:
        raise _out(name, value, f"{low} to {high}")


def _out(name: str, value: float, expected: str) -> OutOfBounds:
    return OutOfBounds(refusal("E_RANGE", f"{name} is out of range", got=quote(value), expected=expected))


def _texts(value: object) -> Iterator[str]:
    """Every text anywhere in a message."""
    match value:
        case str():
            yield value
        case dict():
            for pair in value.items():
                yield from _texts(pair)
        case list() | tuple():
            for item in value:
                yield from _texts(item)
        case Struct():
            for name in value.__struct_fields__:
                yield from _texts(getattr(value, name))
