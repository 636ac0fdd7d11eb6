"""What passes the doors can be written: a message is refused, or fits every column that it reaches."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bus import subjects
from bus.api import OPERATIONS
from bus.subjects import NodeVerb
from bus.values import AttemptRef, NodeName, Role, UserName
from coordinator.clock import Clock
from coordinator.config import Config
from coordinator.serve import rebuild
from coordinator.store.audit_list import AuditList
from coordinator.store.events import Events
from coordinator.store.learned import Learned
from coordinator.store.lists import Lists
from coordinator.store.over import Over
from coordinator.store.reads import Reads
from coordinator.store.relational import RelationalStore
from coordinator.store.task_lists import TaskLists
from coordinator.store.telemetry import TelemetryStore
from coordinator.store.tokens import Tokens
from tests.unit.coordinator.shell import ANYWHERE, Shell, serving, until
from tests.unit.coordinator.test_doors import PAYLOADS, REPLAYS, SOUND, as_json, error_in, no_traceback

ASKED = (NodeVerb.REGISTER, NodeVerb.HEARTBEAT, NodeVerb.REPORT, NodeVerb.INPUTS)
ANYTHING = st.lists(st.tuples(st.sampled_from([*OPERATIONS, *NodeVerb]), PAYLOADS), min_size=1, max_size=20)

REF = as_json([1, 0, 1])  # stands for an attempt that lives when the message is sent
EXTREMES = (
    *(-(2**63), 2**63 - 1, 2**31, 2**15, -1, 0, 1e300, -1e300),
    *("", "x" * 5000, "é" * 300, [], ["x" * 5000], {}, {"a": "b"}),
    *("fe80::1%eth0", "::ffff:1.2.3.4", "1.2.3.4/8", "é\U0001f600", "\\u0000", "a\tb\r\n", "null"),
    *(1e-320, 253402300800.0, 9.2e15, {"é": "\\", "": ""}),
)


class StillClock(Clock):
    """No lease ends and no node is taken for silent, however long a machine takes for all the messages."""

    def __init__(self) -> None:
        super().__init__()
        self._stands_at_s = super().now_s()

    def now_s(self) -> float:
        return self._stands_at_s


async def send(shell: Shell, where: str, data: bytes) -> None:
    """Ask, and see that the answer is one."""
    node = shell.hub.connect("n1", ANYWHERE, "_INBOX_N_n1")
    if where in OPERATIONS:
        error_in(await shell.raw("adam", where, data), data)
    elif where in ASKED:
        error_in(await node.request(subjects.node("n1", NodeVerb(where)), data, timeout_s=20), data)
    else:
        await node.publish(subjects.node("n1", NodeVerb(where)), data)


async def placed(shell: Shell) -> AttemptRef:
    """A live attempt of the node."""
    node = shell.cluster.nodes[NodeName("n1")]
    await until(lambda: node.attempts)
    return next(iter(node.attempts))


async def play(dsn: str, requests: list[tuple[str, bytes]]) -> None:
    """A coordinator on the real database, as another left it, takes `requests`."""
    store = await RelationalStore.connect(dsn)
    telemetry = await TelemetryStore.connect(dsn)
    reads, lists, events, over, tokens = Reads(dsn), Lists(dsn), Events(dsn), Over(dsn), Tokens(dsn)
    learned, task_lists, audit = Learned(dsn), TaskLists(dsn), AuditList(dsn)
    records: list[Any] = []
    try:
        await store.ensure_user(UserName("alice"), Role.USER)
        await store.ensure_user(UserName("adam"), Role.ADMIN)
        await store.lead("test", 10)
        snapshot = await store.load()
        clock = StillClock()
        shell = Shell(
            cluster=rebuild(snapshot, Config(nats_url="", credentials="", dsn=dsn), now_s=clock.now_s()),
            clock=clock,
            store=store,
            reads=reads,
            lists=lists,
            task_lists=task_lists,
            audit=audit,
            events=events,
            over=over,
            tokens=tokens,
            learned=learned,
            tune=REPLAYS,
            record=records.extend,
            next_number=snapshot.next_number,
        )
        async with serving(shell):
            await send(shell, NodeVerb.REGISTER, as_json(SOUND[NodeVerb.REGISTER]))
            await shell.submit(array="0-999")
            for where, data in requests:
                if REF in data:
                    data = data.replace(REF, b"[%d, %d, %d]" % await placed(shell))
                await send(shell, where, data)
            await shell.loop.barrier()
            assert shell.running is not None and not shell.running.done()
        await telemetry.write(records)
        await store.resign()
    finally:
        for each in (reads, lists, events, over, tokens, learned, task_lists, audit):
            await each.close()
        await telemetry.close()
        await store.close()


@settings(deadline=None, derandomize=True, max_examples=15, suppress_health_check=list(HealthCheck))
@given(requests=ANYTHING)
def test_no_message_can_stop_the_coordinator(coordinator_dsn: str, requests: list[tuple[str, bytes]]) -> None:
    with no_traceback():
        asyncio.run(play(coordinator_dsn, requests))


@pytest.mark.parametrize("where", SOUND)
def test_no_field_can_stop_the_coordinator(coordinator_dsn: str, where: str) -> None:
    """Every field of every message, one after the other, at the ends of every type."""
    requests = [
        (where, as_json(replaced(SOUND[where], path, extreme)))
        for path in paths(SOUND[where])
        for extreme in EXTREMES
    ]
    with no_traceback():
        asyncio.run(play(coordinator_dsn, requests))


def paths(value: Any, before: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place within `value`."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [
        *([before] if before else []),
        *(path for key, each in inner for path in paths(each, (*before, key))),
    ]


def replaced(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    """`value` with `new` at `path`."""
    if not path:
        return new
    made = dict(value) if isinstance(value, dict) else list(value)
    made[path[0]] = replaced(value[path[0]], path[1:], new)
    return made
