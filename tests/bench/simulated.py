"""Simulated agents, many in one process: each with its own credentials and connection, none with tasks.

`python -m tests.bench.simulated FILE` registers the nodes named in FILE (JSON: a `Fleet`) and answers with a
line of JSON on stdout (a `Told`). Each line on its stdin (a `Phase`) lets them speak for a while, and is
answered by another such line. It ends with its stdin.
"""

from __future__ import annotations

import asyncio
import sys
import time
import uuid
from pathlib import Path

import msgspec
import uvloop
from msgspec import Struct

from bus import subjects
from bus.codec import decode_to_agent_reply, encode
from bus.connection import NatsBus
from bus.credentials import parse_credentials
from bus.errors import BusError
from bus.messages import Heartbeat, HeartbeatReply, Register, RegisterReply, UsageReport
from bus.subjects import NodeVerb
from bus.values import Inventory, Resources, Usage

ANSWER_TIMEOUT_S = 10.0
CONNECTING_MAX = 16
"""Connections opened at the same time by one process."""


class Fleet(Struct, frozen=True, kw_only=True):
    """Node names with the text of their credentials."""

    url: str
    nodes: dict[str, str]


class Phase(Struct, frozen=True, kw_only=True):
    """How often each node speaks, and for how long."""

    seconds: float
    heartbeat_s: float
    usage_s: float


class Told(Struct, frozen=True, kw_only=True):
    """What one process saw: latencies of the requests answered, in milliseconds, and what it sent."""

    latencies_ms: tuple[float, ...]
    unanswered: int = 0
    usage_sent: int = 0


class Node:
    """One simulated agent. It beats and reports usage at its own offset within the interval."""

    def __init__(self, name: str, bus: NatsBus, *, offset: float) -> None:
        self._name = name
        self._bus = bus
        self._offset = offset
        self._incarnation = uuid.uuid4().hex
        self._sequence = 0
        self.latencies_ms: list[float] = []
        self.unanswered = 0
        self.usage_sent = 0

    async def register(self) -> None:
        """Raises BusError where nobody answers."""
        register = Register(
            node=self._name,
            incarnation=self._incarnation,
            boot_id=self._incarnation,
            version="bench",
            capacity=Resources(32_000, 131_072, 0, 1_000_000, 10_000),
            inventory=Inventory(
                hostname=self._name,
                ip="127.0.0.1",
                architecture="x86_64",
                os_version="simulated",
                kernel_version="simulated",
                cpu_model="simulated",
                cpu_cores=32,
            ),
        )
        answer = await self._ask(NodeVerb.REGISTER, register)
        assert isinstance(answer, RegisterReply)

    async def run(self, phase: Phase) -> None:
        """Speak until the phase is over."""
        end = time.monotonic() + phase.seconds
        await asyncio.gather(self._beat(phase, end), self._report_usage(phase, end))

    async def _beat(self, phase: Phase, end: float) -> None:
        due = time.monotonic() + self._offset * phase.heartbeat_s
        while due < end:
            await asyncio.sleep(due - time.monotonic())
            self._sequence += 1
            beat = Heartbeat(
                node=self._name, incarnation=self._incarnation, sequence=self._sequence, load=1.0
            )
            try:
                answer = await self._ask(NodeVerb.HEARTBEAT, beat)
                assert isinstance(answer, HeartbeatReply) and not answer.register_again
            except BusError:
                self.unanswered += 1
            due += phase.heartbeat_s

    async def _report_usage(self, phase: Phase, end: float) -> None:
        due = time.monotonic() + self._offset * phase.usage_s
        while due < end:
            await asyncio.sleep(due - time.monotonic())
            usage = Usage(cpu_millis=1234.5, mem_mib=2048.0, net_rx_mbps=12.5, net_tx_mbps=3.5)
            report = UsageReport(node=self._name, sampled_at=time.time(), usage=usage, load=1.0)
            await self._bus.publish(subjects.node(self._name, NodeVerb.USAGE), encode(report))
            self.usage_sent += 1
            due += phase.usage_s

    async def _ask(self, verb: NodeVerb, message: Register | Heartbeat) -> Struct:
        begin = time.perf_counter()
        answer = await self._bus.request(
            subjects.node(self._name, verb), encode(message), timeout_s=ANSWER_TIMEOUT_S
        )
        self.latencies_ms.append((time.perf_counter() - begin) * 1000)
        return decode_to_agent_reply(answer.data, subject=answer.subject)

    def tell(self) -> Told:
        """What was seen since the last time it told."""
        told = Told(
            latencies_ms=tuple(self.latencies_ms), unanswered=self.unanswered, usage_sent=self.usage_sent
        )
        self.latencies_ms, self.unanswered, self.usage_sent = [], 0, 0
        return told


async def _connect(fleet: Fleet) -> list[Node]:
    places = asyncio.Semaphore(CONNECTING_MAX)

    async def one(number: int, name: str, credentials: str) -> Node:
        async with places:
            bus = await NatsBus.connect(
                fleet.url, parse_credentials(credentials), name=name, timeout_s=ANSWER_TIMEOUT_S
            )
            node = Node(name, bus, offset=number / len(fleet.nodes))
            await node.register()
            return node

    return await asyncio.gather(*(one(n, name, text) for n, (name, text) in enumerate(fleet.nodes.items())))


def _together(tellings: list[Told]) -> Told:
    return Told(
        latencies_ms=tuple(latency for told in tellings for latency in told.latencies_ms),
        unanswered=sum(told.unanswered for told in tellings),
        usage_sent=sum(told.usage_sent for told in tellings),
    )


async def _main(fleet: Fleet) -> None:
    nodes = await _connect(fleet)
    _say(_together([node.tell() for node in nodes]))
    while line := await asyncio.to_thread(sys.stdin.readline):
        phase = msgspec.json.decode(line, type=Phase)
        await asyncio.gather(*(node.run(phase) for node in nodes))
        _say(_together([node.tell() for node in nodes]))


def _say(told: Told) -> None:
    print(msgspec.json.encode(told).decode(), flush=True)


if __name__ == "__main__":
    uvloop.run(_main(msgspec.json.decode(Path(sys.argv[1]).read_bytes(), type=Fleet)))
