"""Any bytes on any subject: one clear error where an answer is asked for, no traceback, no change."""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from collections.abc import Callable, Coroutine
from contextlib import contextmanager
from typing import Any

import msgpack
import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from bus import subjects
from bus.api import OPERATIONS
from bus.artifacts import Kept, LeftFile
from bus.codec import Codec, codec_of, decode_to_agent, encode
from bus.errors import DecodeError
from bus.gpus import GpuFault
from bus.messages import Heartbeat, Register, Report, UsageReport
from bus.permissions import Permissions
from bus.subjects import NodeVerb
from bus.transport import Message
from bus.values import AttemptRef, Ended, GpuInfo, InterfaceInfo, Outcome, Resources, Usage
from coordinator.clock import Clock
from tests.unit.coordinator.essence import essence
from tests.unit.coordinator.fake_agent import INVENTORY
from tests.unit.coordinator.shell import ANYWHERE, Shell, collect, running_shell, until

QUICK = settings(
    deadline=None, derandomize=True, max_examples=40, suppress_health_check=[HealthCheck.too_slow]
)

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**64), 2**64)
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from(["\0", "\ud800", "n1", "1.0", "@last", "register", "heartbeat", "0-9%2", "x" * 3000])
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=12,
)


def plain(message: object) -> Any:
    return msgspec.json.decode(encode(message, Codec.JSON))


SOUND: dict[str, Any] = {
    "job.submit": {
        "command": ["true"],
        "name": "sound",
        "array": "0-9",
        "resources": {"cpu": "1", "memory": "1MiB"},
        "env": {"A": "b"},
        "priority": 5,
        "timeout": 60,
        "metadata": {"a": 1},
    },
    "job.show": {"job": "1"},
    "job.list": {"states": ["running"], "limit": 10},
    "job.cancel": {"target": "1.0"},
    "task.list": {"job": "1", "states": ["queued"], "limit": 5},
    "task.show": {"task": "1.0"},
    "task.logs": {"task": "1.0", "stream": "stdout", "offset": 0},
    "task.follow": {"task": "1.0"},
    "node.show": {"node": "n1"},
    "node.logs": {"node": "n1"},
    "tool.add": {
        "name": "resize",
        "command": ["resize", "{input.file}"],
        "input_schema": {"type": "object", "properties": {"file": {"type": "string"}}},
        "tags": ["image"],
    },
    "tool.list": {"tag": "text"},
    "tool.show": {"tool": "wordcount"},
    "tool.tag": {"tool": "wordcount", "add": ["words"], "remove": ["text"]},
    "tool.enable": {"tool": "wordcount"},
    "tool.disable": {"tool": "wordcount@1.0.0", "reason": "broken"},
    "tool.remove": {"tool": "wordcount"},
    "tool.stats": {"window_s": 60.0},
    "pool.create": {"name": "fast", "nodes": ["n1"], "path": "/srv/fast", "size": "1GiB"},
    "pool.list": {},
    "pool.show": {"pool": "fast"},
    "pool.remove": {"pool": "fast"},
    "volume.create": {"name": "data", "pool": "fast", "size": "1MiB"},
    "volume.list": {},
    "volume.show": {"volume": "data"},
    "volume.remove": {"volume": "data"},
    "volume.undelete": {"volume": "data"},
    "volume.set": {"volume": "data", "snapshots": "@daily keep 7"},
    "volume.snapshot": {"volume": "data", "snapshot": "s1"},
    "volume.restore": {"volume": "data", "snapshot": "s1"},
    "volume.backup": {"volume": "data"},
    "volume.backups": {},
    "volume.rehome": {"volume": "data", "backup": "s1"},
    "volume.unbackup": {"volume": "data", "snapshot": "s1"},
    "volume.promote": {"volume": "data"},
    "volume.unsnapshot": {"volume": "data", "snapshot": "s1"},
    "type.list": {"name": "tool"},
    "topology.create": {
        "name": "lab",
        "subnet": "10.1.0.0/16",
        "bandwidth": "10Gbit",
        "type": "roce",
        "vlan": 7,
        "latency_ms": 0.1,
        "mtu": 9000,
    },
    "topology.list": {"declared": True},
    "topology.remove": {"name": "lab"},
    "type.add": {"name": "mine", "description": "Mine", "required_input": ["a"]},
    "worker.list": {},
    "job.hold": {"job": "1"},
    "job.release": {"job": "1"},
    "job.pause": {"job": "1"},
    "job.resume": {"job": "1"},
    "job.requeue": {"target": "1.0"},
    "job.retry": {"target": "1.0"},
    "task.grep": {"task": "1.0", "pattern": "x"},
    "timeline.attempts": {"since": 1.0, "until": 2.0},
    "past.cluster": {"at": 1.0},
    "past.jobs": {"at": 1.0, "filter": "state=failed"},
    "past.nodes": {"at": 1.0},
    "past.scheduler": {"at": 1.0},
    "past.tasks": {"at": 1.0, "job": "1"},
    "past.why": {"at": 1.0, "target": "1.0"},
    "past.output": {"at": 1.0, "task": "1.0", "stream": "stderr", "attempt": 1},
    "past.users": {"at": 1.0},
    "past.changes": {"since": 1.0, "until": 2.0},
    "past.spike": {"since": 1.0, "until": 2.0},
    "job.priority": {"job": "1", "priority": 9},
    "gpu.list": {"node": "n1", "quarantined": True},
    "gpu.quarantine": {"node": "n1", "gpu": "0", "reason": "fan"},
    "gpu.release": {"node": "n1", "gpu": "GPU-1"},
    "node.label": {"node": "n9", "labels": {"zone": "a", "disk": None}},
    "bulk.steer": {"noun": "job", "verb": "hold", "filter": "user=me", "revision": 0},
    "event.resolve": {"event": "1:00000000-0000-0000-0000-000000000001", "note": "a cable"},
    "audit.list": {"filter": "actor=me", "limit": 10},
    "job.plan": {"command": ["true"], "array": "0-9", "constraints": {"nodes": ["n9"]}},
    "scheduler.plan": {"limit": 10},
    "job.whatif": {"order": "sjf", "job": {"command": ["true"]}},
    "task.why": {"target": "1.0"},
    "artifact.list": {"target": "1", "limit": 10},
    "artifact.show": {"artifact": "1.0/plots/loss.png"},
    "artifact.remove": {"artifact": "f"},
    "artifact.gc": {"dry_run": True},
    "replica.list": {"target": "1", "limit": 10},
    "replica.scrub": {"node": "n9"},
    "checkpoint.list": {"target": "1", "limit": 10},
    "checkpoint.show": {"checkpoint": "1.0@5"},
    "checkpoint.best": {"target": "1", "metric": "loss", "most": True},
    "checkpoint.use": {"task": "1.0", "checkpoint": "1.0@5"},
    "checkpoint.remove": {"checkpoint": "1.0"},
    "model.register": {"name": "m", "version": "1", "artifact": "f", "tags": ["t"], "metrics": {"loss": 0.5}},
    "model.list": {"name": "m", "limit": 10},
    "model.show": {"model": "m@1"},
    "model.remove": {"model": "m@1"},
    "task.logged": {"target": "1.0#1", "since": 0.0, "until": 1.0, "severity": "error", "limit": 10},
    "task.metrics": {"task": "1.0", "names": ["loss"], "points": 10},
    "node.list": {"filter": "health=healthy", "sort": "name", "limit": 10},
    "node.cordon": {"node": "n9", "reason": "disks"},
    "node.drain": {"node": "n9", "reason": "disks", "deadline_s": 60.0},
    "node.maintenance": {"node": "n9", "deadline_s": 60.0},
    "node.undrain": {"node": "n9"},
    "series.query": {"kind": "node", "ids": ["n9"], "metrics": ["cpu"], "since": 0.0, "until": 3600.0},
    "series.states": {"window_s": 3600.0},
    "event.list": {"node": "n9", "job": "1", "task": "1.0", "since": 0.0, "until": 1.0, "cursor": ""},
    "user.renew": {"key": "UABC"},
    "user.logout": {"key": "UABC"},
    "schedule.list": {"user": "alice"},
    **{f"schedule.{verb}": {"name": "nightly", "user": ""} for verb in ("pause", "resume", "remove")},
    "webhook.add": {
        "url": "https://hooks.example.com/in",
        "on": ["job.failed"],
        "job": 1,
        "user": "",
        "tag": "a=b",
        "secret": "",
    },
    "webhook.list": {"user": "alice"},
    **{f"webhook.{verb}": {"id": 1} for verb in ("remove", "enable", "test")},
    "webhook.deliveries": {"id": 1, "limit": 10},
    "webhook.redeliver": {"delivery": "01890000-0000-7000-8000-000000000001"},
    "token.create": {"kind": "user", "name": "zoe", "role": "user", "ttl_s": 3600.0},
    "token.revoke": {"token": "abcdefgh"},
    "user.share": {"name": "bob", "shares": 2},
    "scheduler.mode": {"mode": "shadow"},
    "scheduler.train": {"seed": 2, "policies": ["sjf", "fcfs"]},
    "train.status": {"target": "1"},
    "train.ranks": {"task": "1.0"},
    "scheduler.replay": {"swf": "OyBub3RoaW5nCg==", "seed": 2},
    "scheduler.export": {"snapshot": 0},
    "scheduler.import": {"document": "e30="},
    "stream.open": {"kind": "pty", "task": "1.0", "params": {"rows": 24, "columns": 80}},
    NodeVerb.REGISTER: plain(
        Register(
            node="n1",
            incarnation="i",
            boot_id="b",
            version="1",
            capacity=Resources(1000, 1000),
            inventory=replace(
                INVENTORY,
                gpus=(GpuInfo(uuid="GPU-1", model="any", mem_mib=1024),),
                interfaces=(
                    InterfaceInfo(name="eth0", mac="02:00:00:00:00:01", ip="fe80::1%eth0", driver="virtio"),
                ),
            ),
            labels={"zone": "a"},
            tools=("wordcount",),
        )
    ),
    NodeVerb.HEARTBEAT: plain(
        Heartbeat(
            node="n1",
            incarnation="i",
            sequence=1,
            load=0.0,
            gpus=(GpuFault(uuid="GPU-1", kind="xid", mark="xid 79 1", reason="XID 79"),),
        )
    ),
    NodeVerb.USAGE: plain(
        UsageReport(node="n1", sampled_at=0.0, usage=Usage(cpu_millis=1, mem_mib=1), load=0.0)
    ),
    NodeVerb.REPORT: plain(
        Report(
            node="n1",
            sequence=1,
            events=(
                Ended(
                    attempt=AttemptRef(1, 0, 1),
                    outcome=Outcome.EXITED,
                    started_at=0.0,
                    ended_at=0.0,
                    exit_code=0,
                    message="done",
                    output=b'{"words": 1}',
                ),
            ),
        )
    ),
    NodeVerb.INPUTS: {"type": "inputs", "node": "n1", "attempt": [1, 0, 1]},
    NodeVerb.KEPT: plain(
        Kept(
            node="n1",
            files=(
                LeftFile(
                    name="f",
                    attempt=AttemptRef(1, 0, 1),
                    sha256="a" * 64,
                    size=5,
                    media_type="text/plain",
                ),
            ),
        )
    ),
    NodeVerb.PROGRESS: {
        "type": "progress",
        "node": "n1",
        "told": [{"attempt": [1, 0, 1], "start": 0, "end": 9, "points": [["loss", 0.5, 2e9, 3]]}],
    },
}
MESSAGES = st.sampled_from(list(SOUND.values()))
CHANGES = {
    *("job.submit", "job.cancel", "job.hold", "job.release", "job.retry"),
    *("job.pause", "job.resume", "job.requeue", "job.priority", "bulk.steer"),
    *("node.cordon", "node.drain", "node.maintenance", "node.undrain", "node.label"),
    *("gpu.quarantine", "gpu.release", "user.share", "scheduler.mode"),
}
"""The operations that change something when they are not refused."""

REPLAYS = (sys.executable, "-c", "import time; time.sleep(60)")
"""Instead of the process that replays orders: none of them is over before the shell is."""


@st.composite
def bent(draw: Callable[..., Any], of: st.SearchStrategy[Any] = MESSAGES) -> Any:
    """A sound message with some of its values, or a value within them, replaced."""
    message = json.loads(json.dumps(draw(of)))
    for _ in range(draw(st.integers(0, 3))):
        place = message
        key = draw(st.sampled_from([*sorted(place), "x"]) | st.text(max_size=8))
        while isinstance(place.get(key), dict) and place[key] and draw(st.booleans()):
            place = place[key]
            key = draw(st.sampled_from(sorted(place)))
        place[key] = draw(VALUES)
    return message


def as_json(value: Any) -> bytes:
    return json.dumps(value).encode("utf-8", "surrogatepass")


def as_msgpack(value: Any) -> bytes:
    try:
        packed: bytes = msgpack.packb(value, unicode_errors="surrogatepass")
    except (OverflowError, ValueError):
        return as_json(value)
    return packed


@st.composite
def cut(draw: Callable[..., Any]) -> bytes:
    whole = draw(bent().map(as_json) | bent().map(as_msgpack))
    return bytes(whole[: draw(st.integers(0, len(whole)))])


PAYLOADS = (
    st.binary(max_size=200)
    | VALUES.map(as_json)
    | VALUES.map(as_msgpack)
    | bent().map(as_json)
    | bent().map(as_msgpack)
    | cut()
)


@st.composite
def asked(draw: Callable[..., Any]) -> tuple[str, str, bytes]:
    """Who, what, and a message: mostly one that is nearly what the operation takes."""
    operation = draw(st.sampled_from([*OPERATIONS, "job.fly"]))
    nearly = bent(st.just(SOUND.get(operation, {})))
    data = draw(nearly.map(as_json) | nearly.map(as_msgpack) | PAYLOADS)
    return draw(st.sampled_from(["alice", "bob", "olga"])), operation, data


class Tracebacks(logging.Handler):
    """What was logged with an exception."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.exc_info or record.levelno >= logging.ERROR:
            self.found.append(record.getMessage())


@contextmanager
def no_traceback() -> Any:
    handler = Tracebacks()
    logging.getLogger().addHandler(handler)
    try:
        yield
    finally:
        logging.getLogger().removeHandler(handler)
    assert not handler.found


def in_shell(play: Callable[[Shell], Coroutine[Any, Any, None]], *, clock: Clock | None = None) -> None:
    """Run `play` in a shell with one node and one job, and see that nothing is left behind."""

    async def run() -> None:
        async with running_shell(tune=REPLAYS, clock=clock) as shell:
            agent = await shell.agent("n9")
            await shell.submit("bob")
            await until(agent.assigned)
            await shell.loop.barrier()
            await play(shell)
            await until(lambda: not shell.replies._waiting and not shell.api._tasks)
            assert shell.running is not None and not shell.running.done()

    with no_traceback():
        asyncio.run(run())


def test_what_is_sound_is_accepted_by_every_operation() -> None:
    """Else bending it would try nothing but the first check."""

    async def play(shell: Shell) -> None:
        for operation in OPERATIONS:
            answer = await shell.raw("olga", operation, as_json(SOUND.get(operation, {})))
            error = error_in(answer, b"{")
            assert error is None or error["status"] in (403, 404, 409, 429, 503), (operation, error)

    in_shell(play)


def error_in(answer: Message, data: bytes) -> Any:
    decode = msgspec.json.decode if codec_of(data) is Codec.JSON else msgspec.msgpack.decode
    error = decode(answer.data).get("error")
    if error is not None:
        assert answer.headers["Nats-Service-Error-Code"] == str(error["status"]) and error["message"]
        assert error["status"] != 500
    return error


class StandingClock(Clock):
    """However long the flood takes, no node is silent for too long."""

    def now_s(self) -> float:
        return 1_000.0


def state(shell: Shell) -> Any:
    return essence(shell.cluster), len(shell.store.batches)


@QUICK
@given(st.lists(asked(), min_size=1, max_size=15))
def test_clients_may_send_anything(requests: list[tuple[str, str, bytes]]) -> None:
    async def play(shell: Shell) -> None:
        answers = [await collect(shell.client(user), f"_INBOX_{user}.>") for user in ("alice", "bob", "olga")]
        for user, operation, data in requests:
            before = state(shell)
            answer = await shell.raw(user, operation, data)
            if error_in(answer, data) or operation not in CHANGES:
                assert state(shell) == before
        assert sum(map(len, answers)) == len(requests)

    in_shell(play)


@QUICK
@given(st.lists(st.tuples(st.sampled_from(NodeVerb), PAYLOADS), min_size=1, max_size=15))
def test_nodes_may_send_anything(requests: list[tuple[NodeVerb, bytes]]) -> None:
    async def play(shell: Shell) -> None:
        node = shell.hub.connect("n1", Permissions(publish=(">",), subscribe=(">",)), "_INBOX_N_n1")
        for verb, data in requests:
            subject = subjects.node("n1", verb)
            if verb is NodeVerb.COMMAND:
                await node.publish(subject, data, reply="_INBOX_N_n1.x")
            elif verb is NodeVerb.USAGE:
                await node.publish(subject, data)
            else:
                before = state(shell)
                answer = await node.request(subject, data, timeout_s=5.0)
                if error_in(answer, data):
                    assert state(shell) == before
        await shell.loop.barrier()
        assert "n9" in shell.cluster.nodes and 1 in shell.cluster.jobs

    in_shell(play)


@QUICK
@given(st.lists(PAYLOADS, min_size=1, max_size=10))
def test_nothing_happens_on_subjects_that_nobody_serves(payloads: list[bytes]) -> None:
    async def play(shell: Shell) -> None:
        anybody = shell.hub.connect("mallory", ANYWHERE, "_INBOX_mallory")
        before = state(shell)
        for data in payloads:
            for subject in ("corral.u.alice.errors", "corral.feed.alice.job.1", "corral.s.alice.n9.x.up"):
                await anybody.publish(subject, data, reply="_INBOX_mallory.x")
            await anybody.publish("corral.u.alice.job.submit", data, reply="_INBOX_mallory.x")
        await shell.ask("alice", "cluster.status")
        assert state(shell) == before

    in_shell(play)


@settings(deadline=None, derandomize=True, max_examples=300)
@given(PAYLOADS)
def test_a_command_is_read_or_refused_and_nothing_else(data: bytes) -> None:
    try:
        decode_to_agent(data)
    except DecodeError as error:
        assert error.code.startswith("E_") and error.reason


def test_a_flood_of_rubbish_leaves_nothing_behind() -> None:
    async def play(shell: Shell) -> None:
        client = shell.client("alice")
        node = shell.hub.connect("n1", ANYWHERE, "_INBOX_N_n1")
        before = state(shell)
        for number in range(2000):
            data = b"{" * (number % 50) + bytes([number % 256])
            await client.publish("corral.u.alice.job.submit", data, reply="_INBOX_alice.x")
            await node.publish("corral.node.n1.report", data, reply="_INBOX_N_n1.x")
        await until(lambda: shell.agents.rejected == 2000)
        await shell.ask("alice", "cluster.status")
        assert state(shell) == before
        await until(lambda: not shell.loop._queue)  # its own tick may stand there

    in_shell(play, clock=StandingClock())


def test_an_error_of_ours_would_be_seen() -> None:
    async def play(shell: Shell) -> None:
        shell.reads.fault = ZeroDivisionError()
        await shell.raw("carol", "job.list", b"{}")

    with pytest.raises(AssertionError):
        in_shell(play)
