"""Between the three languages at the agent: the bus's messages, the core's orders, the guard's tuples."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType

import msgspec
from msgspec import Struct

from agent.core.events import Assigned, Start
from agent.core.model import Order, Work
from agent.gangs import rank_environment
from agent.guard import wire
from agent.guard.client import ExitRecord, FoundRecord, StartRecord, to_amounts
from agent.words import WORDS_MAX, plain
from bus.matrix import Parameter, parameter_text
from bus.messages import Assign, FoundTask
from bus.values import AttemptRef, Ended, OnDisconnect, Outcome, Returned


class _HasItem(Struct):
    item: str | None = None


class _HasMatrix(Struct):
    matrix: dict[str, Parameter] = {}


_ITEM = msgspec.json.Decoder(_HasItem)
_MATRIX = msgspec.json.Decoder(_HasMatrix)
_JSON = msgspec.json.Decoder()


def to_assigned(
    message: Assign, *, lapsed: bool = False, free_port: Callable[[], int] = lambda: 0
) -> Assigned:
    """Raises IndexError where an item points at no body. `free_port` is asked for each rank 0 of a gang."""
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
                port=free_port() if works[item.body].settings.gang and not item.attempt.rank else 0,
            )
            for item in message.items
        ]
    )
    return Assigned(epoch=message.epoch, orders=orders, lapsed=lapsed)


def to_spawn_frame(
    orders: Iterable[Order], *, version: int, gpu_sizes: Mapping[str, int] = MappingProxyType({})
) -> bytes:
    """One frame for many orders, with each shared body in it once, for a guard of this version.

    `gpu_sizes`: the memory of each GPU in MiB, by UUID; who has a part of one is told its part of that.
    """
    numbers: dict[int, int] = {}
    bodies: list[tuple[object, ...]] = []
    items: list[tuple[object, ...]] = []
    for order in orders:
        work = order.work
        parameters = _parameters_of(order.input)
        if work.settings.frames:
            parameters = parameters | {"CORRAL_FRAME": str(order.array_index)}
        parameters = parameters | order.env
        parameters = parameters | _share_of(order, gpu_sizes)
        own = bool(parameters) or order.meeting is not None
        number = None if own else numbers.get(id(work))
        if number is None:
            number = len(bodies)
            if not own:
                numbers[id(work)] = number
            body = _to_body(work, parameters)
            if order.meeting is not None:  # each rank has an environment of its own
                ranked = rank_environment(order.attempt.rank, order.meeting)
                body = body._replace(env=body.env | ranked)
            if body.image:  # what was brought lies where its variables say, inside as well
                brought = [(path, path, False) for path in order.env.values() if path.startswith("/")]
                body = body._replace(mounts=(*body.mounts, *brought))
            bodies.append(body[: _body_fields(version)])
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


def _share_of(order: Order, gpu_sizes: Mapping[str, int]) -> dict[str, str]:
    """How much of its GPU's memory is a task's that shares it; a daemon of MPS holds it to that."""
    milli = order.work.settings.resources.gpu_milli
    part_mib = sum(gpu_sizes.get(uuid, 0) for uuid in order.gpus) * milli // wire.GPU_MILLI
    if not part_mib:
        return {}
    return {
        "CORRAL_GPU_MEMORY_MIB": str(part_mib),
        "CUDA_MPS_PINNED_DEVICE_MEM_LIMIT": f"0={part_mib}M",
    }


def _to_body(work: Work, parameters: dict[str, str]) -> wire.Body:
    """`parameters`: variables of one task's own; guards of every version know the environment of a body."""
    settings, container = work.settings, work.settings.container
    return wire.Body(
        work.command,
        settings.tool,
        settings.env | parameters,
        settings.workdir,
        settings.stdin,
        settings.timeout_s,
        settings.grace_s,
        settings.on_disconnect is OnDisconnect.RUN_ON,
        settings.pty,
        settings.template,
        settings.file,
        settings.sha256,
        "" if container is None else container.image,
        str(settings.network),
        ()
        if container is None
        else tuple([(each.source, each.inside, each.read_only) for each in container.mounts]),
        container is not None and container.read_only,
        "missing" if container is None else str(container.pull),
    )


def _body_fields(version: int) -> int:
    """How many fields of a body a guard of this version knows."""
    newer = (version < 1) + (version < wire.HAS_TERMINALS) + 3 * (version < wire.FILLS_TEMPLATES)
    newer += 5 * (version < wire.RUNS_CONTAINERS)
    return len(wire.Body._fields) - newer


def _item_of(text: bytes | None) -> str | None:
    """What a task of a `for_each` gets as CORRAL_ITEM."""
    if text is None:
        return None
    try:
        return _ITEM.decode(text).item
    except msgspec.MsgspecError:
        return None  # an input of the task's own form


def _parameters_of(text: bytes | None) -> dict[str, str]:
    """The variables of a task of a matrix: each parameter of its combination."""
    if text is None or b'"matrix"' not in text:
        return {}
    try:
        combination = _MATRIX.decode(text).matrix
    except msgspec.MsgspecError:
        return {}  # an input of the task's own form
    return {
        f"CORRAL_MATRIX_{name}": parameter_text(value)
        for name, value in combination.items()
        if name.isascii() and name.isidentifier()
    }


def to_start(record: StartRecord) -> Start:
    return Start(record.attempt, record.pid, record.started_at, record.ticks)


def to_found(record: FoundRecord) -> FoundTask:
    return FoundTask(attempt=record.attempt, pid=record.pid, processes=record.processes, paused=record.paused)


def to_end(
    record: ExitRecord, *, told: Callable[[AttemptRef], bytes | None] = lambda _: None
) -> Ended | Returned:
    """What the coordinator will be told; an output that is no JSON is left out and said so.

    `told` answers the output that an attempt told as a line, which counts where it left no file.
    """
    if record.outcome == wire.RETURNED:
        return Returned(attempt=record.attempt)
    output, message = record.output, plain(record.message, WORDS_MAX)
    if record.started_at is not None:  # always asked: whoever answers learns of the end by it
        said = told(record.attempt)
        output = said if output is None else output
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
