"""What a run leaves behind: the client's acknowledgements, the database's rows, marks, logs, processes.

Only facts; `tests.chaos.checker` judges them. Seconds of the Unix epoch, but for marks.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TypeVar

import asyncpg
import msgspec
from msgspec import Struct

from tests.chaos.marks import Life

R = TypeVar("R", bound=Struct)


class Ack(Struct, frozen=True, kw_only=True):
    """Somebody told the client that this job is kept. `number` 0: JetStream did, which knows no numbers.

    `ends`: the states in which such a job may end; `why`: how the message of a task begins that fails.
    """

    name: str
    at: float
    number: int = 0
    ends: tuple[str, ...] = ("completed",)
    why: str = ""


class Blow(Struct, frozen=True, kw_only=True):
    """What a stroke did, and when: from before it was dealt until it had healed."""

    fault: str
    struck: str
    begin: float
    end: float


class Quarantine(Struct, frozen=True, kw_only=True):
    """A node that the cluster blamed for its losses, when the operator saw it."""

    node: str
    at: float
    reason: str


class JobRow(Struct, frozen=True, kw_only=True):
    number: int
    name: str
    state: str
    reason: str
    idempotent: bool


class TaskRow(Struct, frozen=True, kw_only=True):
    task: str
    state: str
    fence: int
    message: str


class AttemptRow(Struct, frozen=True, kw_only=True):
    task: str
    fence: int
    state: str
    node: str
    holding: bool
    message: str
    ended_at: float  # 0 while it lives


class LedgerRow(Struct, frozen=True, kw_only=True):
    """One resource of one node, added up in three ways."""

    node: str
    resource: str
    total: int
    allocated: int  # what the node's own row says
    active: int  # the sum of its open allocations
    held: int  # the sum over attempts that hold


class NodeSeen(Struct, frozen=True, kw_only=True):
    """A node as the leader's memory shows it."""

    name: str
    health: str
    running: int
    waiting: int
    allocated_cpu_millis: int
    running_rows: int  # what the database said at about the same moment


class Learned(Struct, frozen=True, kw_only=True):
    """What the scheduler had learned in the end, as the leader knows it and as it was written.

    `ran_ahead`: attempts that passed a task for which room was reserved.
    """

    mode: str
    acts: str
    decisions: int
    experiences: int
    ran_ahead: int = 0


class Evidence(Struct, frozen=True, kw_only=True):
    acks: tuple[Ack, ...] = ()
    blows: tuple[Blow, ...] = ()
    quarantines: tuple[Quarantine, ...] = ()
    jobs: tuple[JobRow, ...] = ()
    tasks: tuple[TaskRow, ...] = ()
    attempts: tuple[AttemptRow, ...] = ()
    ledgers: tuple[LedgerRow, ...] = ()
    nodes: tuple[NodeSeen, ...] = ()
    learned: Learned | None = None
    verified: tuple[str, ...] = ()  # what the leader says when it is asked to verify itself
    lives: tuple[Life, ...] = ()
    booted_at: float = 0.0  # the moment that CLOCK_BOOTTIME counts from
    complaints: tuple[str, ...] = ()  # lines of logs that should not be there
    leftovers: tuple[str, ...] = ()  # processes that outlived the cluster


_JOBS = """
select number, name, state, reason, coalesce((spec ->> 'idempotent')::boolean, false) as idempotent
from corral.jobs order by number
"""

# what is left of a range whose elements all have rows of their own is no task
_TASKS = """
select j.number || '.' || t.index as task, t.state, t.fence, coalesce(t.error_message, '') as message
from corral.tasks t join corral.jobs j on j.id = t.job_id
where t.count = 1 or t.remaining > 0 order by j.number, t.index
"""

_ATTEMPTS = """
select j.number || '.' || t.index as task, a.fence, a.state, a.node_name as node, a.holding,
    a.message, coalesce(extract(epoch from a.ended_at), 0)::float8 as ended_at
from corral.attempts a join corral.tasks t on t.id = a.task_id join corral.jobs j on j.id = t.job_id
order by j.number, t.index, a.fence
"""

LEDGERS = """
select
    n.name as node, r.resource, r.total, r.allocated,
    coalesce((
        select sum(l.amount) from corral.allocations l
        where l.node_id = r.node_id and l.resource = r.resource and l.status = 'active'
    ), 0)::bigint as active,
    coalesce((
        select sum(case r.resource
            when 'cpu' then a.cpu_millis when 'memory' then a.mem_mib
            when 'gpu' then a.gpus * 1000 + a.gpu_milli
            when 'storage' then a.storage_mib else a.net_mbps end)
        from corral.attempts a where a.node_id = r.node_id and a.holding
    ), 0)::bigint as held
from corral.node_resources r join corral.nodes n on n.id = r.node_id
order by n.name, r.resource
"""


async def rows(dsn: str) -> Evidence:
    """The database's part, of one instant."""
    connection = await asyncpg.connect(dsn)
    try:
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            return Evidence(
                jobs=_as(JobRow, await connection.fetch(_JOBS)),
                tasks=_as(TaskRow, await connection.fetch(_TASKS)),
                attempts=_as(AttemptRow, await connection.fetch(_ATTEMPTS)),
                ledgers=_as(LedgerRow, await connection.fetch(LEDGERS)),
            )
    finally:
        await connection.close()


async def ledgers(connection: asyncpg.Connection) -> tuple[LedgerRow, ...]:
    """One statement, so one instant, while everything runs."""
    return _as(LedgerRow, await connection.fetch(LEDGERS))


def _as(kind: type[R], found: Iterable[asyncpg.Record]) -> tuple[R, ...]:
    return tuple(msgspec.convert(dict(row), kind) for row in found)


_UNWANTED = re.compile(
    r"Traceback \(most recent call last\)|AssertionError|never retrieved|never awaited|illegal transition"
    r"|PANIC|violates|Invalid status transition|could be written|\[FTL\]",
    re.IGNORECASE,
)
_ENTRY = re.compile(r"\d{4}-\d\d-\d\d |\[\d+\] ")
"""How an entry of a log begins; what a traceback says does not."""

_LINES_MAX = 60


def complaints(logs: Iterable[Path]) -> tuple[str, ...]:
    """Every place in the logs where a program says that it is at its wits' end, with what follows.

    The same words again are counted, not repeated.
    """
    found: dict[str, list[str]] = {}
    for path in sorted(logs):
        for number, text in _in_log(path):
            found.setdefault(re.sub(r"\d+", "", text), []).append(f"{path.name}:{number}: {text}")
    return tuple(
        texts[0] + (f"\nand {len(texts) - 1} times more" if texts[1:] else "") for texts in found.values()
    )


def _in_log(path: Path) -> Iterator[tuple[int, str]]:
    lines = path.read_text(errors="replace").splitlines()
    quiet_until = 0
    for number, line in enumerate(lines):
        if number >= quiet_until and _UNWANTED.search(line):
            quiet_until = number + 1
            while quiet_until < len(lines) and not _ENTRY.match(lines[quiet_until]):
                quiet_until += 1
            yield number + 1, "\n".join(lines[number : min(quiet_until, number + _LINES_MAX)])
