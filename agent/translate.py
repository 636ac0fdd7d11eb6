"""Between the three languages at the agent: the bus's messages, the core's orders, the guard's tuples."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec
from msgspec import Struct

from agent.core.events import Assigned, Start
from agent.core.model import Order, Work
from agent.guard import wire
from agent.guard.client import ExitRecord, FoundRecord, StartRecord, to_amounts
from bus.messages import Assign, FoundTask
from bus.values import Ended, OnDisconnect, Outcome, Returned


class _HasItem(Struct):
    item: str | None = None


_ITEM = msgspec.json.Decoder(_HasItem)
_JSON = msgspec.json.Decoder()


def to_assigned(message: Assign, *, lapsed: bool = False) -> Assigned:
    """Raises IndexError where an item points at no body."""
    works = [Work(settings=body.settings, command=body.command, needs=body.needs) for body in message.bodies]
    orders = tuple(
        [
            Order(
                attempt=item.attempt,
                work=works[item.body],
                granted=not item.waiting,
                gpus=item.gpus,
                array_index=item.array_index,
                input=item.input,
            )
            for item in message.items
        ]
    )
    return Assigned(epoch=message.epoch, orders=orders, lapsed=lapsed)


def to_spawn_frame(orders: Iterable[Order], *, version: int) -> bytes:
    """One frame for many orders, with each shared body in it once, for a guard of this version."""
    numbers: dict[int, int] = {}
    bodies: list[tuple[object, ...]] = []
    items: list[tuple[object, ...]] = []
    for order in orders:
        work = order.work
        number = numbers.get(id(work))
        if number is None:
            number = numbers[id(work)] = len(bodies)
            bodies.append(_to_body(work) if version else _to_body(work)[:-1])
        amounts = work.settings.resources
        item = wire.Item(
            order.attempt,
            number,
            order.granted,
            to_amounts(amounts),
            order.gpus,
            order.array_index,
            order.input,
            _item_of(order.input),
            bool(work.needs),
            amounts.gpu_milli,
        )
        items.append(item if version >= wire.SHARES_GPUS else item[:-1])
    return wire.pack(wire.SPAWN, bodies, items)


def _to_body(work: Work) -> wire.Body:
    settings = work.settings
    return wire.Body(
        work.command,
        settings.tool,
        settings.env,
        settings.workdir,
        settings.stdin,
        settings.timeout_s,
        settings.grace_s,
        settings.on_disconnect is OnDisconnect.RUN_ON,
    )


def _item_of(text: bytes | None) -> str | None:
    """What a task of a `for_each` gets as CORRAL_ITEM."""
    if text is None:
        return None
    try:
        return _ITEM.decode(text).item
    except msgspec.MsgspecError:
        return None  # an input of the task's own form


def to_start(record: StartRecord) -> Start:
    return Start(record.attempt, record.pid, record.started_at, record.ticks)


def to_found(record: FoundRecord) -> FoundTask:
    return FoundTask(attempt=record.attempt, pid=record.pid, processes=record.processes, paused=record.paused)


def to_end(record: ExitRecord) -> Ended | Returned:
    """What the coordinator will be told; an output that is no JSON is left out and said so."""
    if record.outcome == wire.RETURNED:
        return Returned(attempt=record.attempt)
    output, message = record.output, record.message
    if output is not None and not _is_json(output):
        output, message = None, message or "output is not valid JSON"
    return Ended(
        attempt=record.attempt,
        outcome=Outcome(record.outcome),
        ended_at=record.ended_at,
        started_at=record.started_at,
        exit_code=record.exit_code,
        signal=record.signal,
        message=message,
        output=output,
        stderr_tail=record.stderr_tail,
        log_sizes=(record.stdout_size, record.stderr_size),
        cpu_s=record.cpu_s,
        max_rss_mib=record.max_rss_mib,
    )


def _is_json(text: bytes) -> bool:
    try:
        _JSON.decode(text)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        return False
    return True
