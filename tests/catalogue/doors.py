"""The doors of a coordinator, each as a function: a row goes in, what its sender is told comes out.

Behind all of them stands the same running shell (`tests.unit.coordinator.shell`): the real API, loop and core
over a store that keeps everything. The command runs whole, in a thread, and reaches the shell's bus from
there.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgpack
import msgspec
import pytest

from bus import subjects
from bus.client import Client
from bus.codec import Codec, codec_of, encode
from bus.errors import CorralError, Error, ErrorReply, one_line
from bus.jetstream import Submission
from bus.memory import MemoryBus
from bus.messages import Heartbeat, InputsRequest, Register, Report, UsageReport
from bus.subjects import NodeVerb
from bus.transport import Message
from bus.values import AttemptRef, Ended, Outcome, Resources, Usage, UserName
from coordinator.api.access import Access
from coordinator.submissions import Intake
from tests.catalogue.rows import Row
from tests.unit.coordinator.essence import essence
from tests.unit.coordinator.fake_agent import INVENTORY
from tests.unit.coordinator.shell import ANYWHERE, Shell, until
from tui.cli import diagnostics, dispatch

Told = tuple[list[str], str]
"""The codes, none where it was accepted, and everything that was said."""

Door = Callable[[Shell, Row], Awaitable[Told]]

SOUND: dict[NodeVerb, Any] = {
    NodeVerb.REGISTER: Register(
        node="n1",
        incarnation="first",
        boot_id="boot",
        version="1",
        capacity=Resources(2000, 4096),
        inventory=INVENTORY,
    ),
    NodeVerb.HEARTBEAT: Heartbeat(node="n1", incarnation="first", sequence=1, load=0.0),
    NodeVerb.USAGE: UsageReport(
        node="n1", sampled_at=2e9, usage=Usage(cpu_millis=1.0, mem_mib=2.0), load=0.0
    ),
    NodeVerb.REPORT: Report(node="n1", sequence=1, events=()),
    NodeVerb.INPUTS: InputsRequest(node="n1", attempt=AttemptRef(1, 0, 1)),
}


def said(error: Error) -> str:
    """All that a person or a program is told: of the first fault and of the others."""
    return " ".join(f"{one_line(each)} {each.hint}".replace("\n", " ") for each in (error, *error.more))


def told(error: Error) -> Told:
    return [each.code for each in (error, *error.more)], said(error)


def told_by(answer: Message) -> Told:
    """What an answer on the bus says; an error's form and headers are checked on the way."""
    json_asked = codec_of(answer.data) is Codec.JSON
    tree = msgspec.json.decode(answer.data) if json_asked else msgspec.msgpack.decode(answer.data)
    if "error" not in tree:
        return [], str(tree)
    error = msgspec.convert(tree, ErrorReply).error
    assert answer.headers["Nats-Service-Error"] == error.code
    assert answer.headers["Nats-Service-Error-Code"] == str(error.status)
    return told(error)


def state(shell: Shell) -> Any:
    """All that an accepted request would have changed."""
    return essence(shell.cluster), len(shell.store.batches), len(shell.store.tried)


async def over_the_bus(shell: Shell, operation: str, data: bytes, headers: dict[str, str]) -> Told:
    """One request, and exactly one answer."""
    client = shell.client("alice")
    answers: list[Message] = []

    async def keep(message: Message) -> None:
        answers.append(message)

    await client.subscribe("_INBOX_alice.row", keep)
    await client.publish(
        subjects.api("alice", operation), data, reply="_INBOX_alice.row", headers=headers or None
    )
    await until(lambda: answers and not shell.api._tasks)
    assert len(answers) == 1
    return told_by(answers[0])


async def json_request(shell: Shell, row: Row) -> Told:
    operation, fields = row.ask or ("job.submit", row.spec)
    return await over_the_bus(shell, operation, json.dumps(fields).encode(), row.headers)


async def msgpack_request(shell: Shell, row: Row) -> Told:
    operation, fields = row.ask or ("job.submit", row.spec)
    return await over_the_bus(shell, operation, msgpack.packb(fields), row.headers)


async def bytes_request(shell: Shell, row: Row) -> Told:
    assert row.raw is not None
    return await over_the_bus(shell, "job.submit", row.raw, row.headers)


async def python_client(shell: Shell, row: Row) -> Told:
    assert row.spec is not None
    try:
        submitted = await Client(shell.client("alice")).submit(**row.spec)
    except CorralError as error:
        return told(diagnostics.describe(error)[0])
    return [], str(submitted)


class _Line:
    """What JetStream would keep: one message, and what became of it."""

    def __init__(self) -> None:
        self.rejected: Error | None = None
        self.finished = False

    async def done(self, submission: Submission) -> None:
        self.finished = True

    async def reject(self, submission: Submission, error: Error) -> None:
        self.rejected = error

    async def retry(self, submission: Submission, *, delay_s: float) -> None:
        raise AssertionError("nothing is away")


class _Keys:
    """No message was ever seen before."""

    async def by_message(self, keys: Any) -> dict[Any, Any]:
        return {}

    async def by_dedupe_key(self, keys: Any) -> dict[Any, Any]:
        return {}


class _Audit:
    def refused(self, refused: object) -> None:
        """Kept by others; see tests/integration/doors."""


async def published(shell: Shell, row: Row) -> Told:
    """The way of a message that JetStream kept, from the batch on."""
    data = row.raw if row.raw is not None else json.dumps(row.spec).encode()
    bus: Any = SimpleNamespace(new_inbox=lambda: "_INBOX_C_coordinator.x")
    keys: Any = _Keys()
    audit: Any = _Audit()
    intake = Intake(bus, Access(shell.reads), shell.jobs, keys, audit, schedule=shell.schedule_desk.create)
    line: Any = _Line()
    intake._line = line
    submission = Submission(
        user=UserName("alice"),
        data=data,
        message_id="m1",
        deliveries=1,
        place="1",
        token="",
        headers=row.headers,
    )
    async with asyncio.TaskGroup() as settling:
        assert await intake._take([submission], settling)
    if line.rejected is not None:
        return told(line.rejected)
    assert line.finished
    return [], ""


class _Bridge:
    """The shell's bus as the command's own event loop, in its own thread, sees it."""

    def __init__(self, inner: MemoryBus, loop: asyncio.AbstractEventLoop) -> None:
        self._inner = inner
        self._loop = loop
        self.identity = inner.identity

    async def request(self, subject: str, data: bytes, *, timeout_s: float) -> Message:
        asked: Coroutine[Any, Any, Message] = self._inner.request(subject, data, timeout_s=timeout_s)
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(asked, self._loop))


async def command(
    shell: Shell, argv: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Told:
    """A line of the command, with the shell for its cluster; its error as JSON and as text say the same."""
    loop = asyncio.get_running_loop()

    @contextlib.asynccontextmanager
    async def connect(*_: object, **__: object) -> AsyncIterator[Client]:
        bridge: Any = _Bridge(shell.client("alice"), loop)
        yield Client(bridge)

    monkeypatch.setattr(Client, "connect", connect)
    capsys.readouterr()
    code = await asyncio.to_thread(dispatch.run, argv)
    out, err = capsys.readouterr()
    if code == 0:
        return [], out
    assert out == "" and "Traceback" not in err
    codes = re.findall(r"^error\[(E_[A-Z_]+)\]: ", err, re.MULTILINE)
    assert codes and err.startswith("error["), err
    assert 1 <= code <= 78, code
    assert not any(ord(character) < 32 and character != "\n" for character in err)
    return codes, err.replace("\n", " ")


async def job_file(
    shell: Shell,
    row: Row,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Told:
    """`corral submit --file`."""
    file = folder / "job.json"
    file.write_bytes(row.raw if row.raw is not None else json.dumps(row.spec).encode())
    return await command(shell, ("submit", "--file", str(file)), monkeypatch, capsys)


async def agent_says(shell: Shell, row: Row, codec: Codec) -> Told:
    assert row.agent is not None
    verb, changes = row.agent
    message = msgspec.json.decode(encode(SOUND[verb], Codec.JSON))
    if verb is NodeVerb.REPORT:
        ended = Ended(attempt=AttemptRef(1, 0, 1), outcome=Outcome.EXITED, ended_at=2e9)
        message["events"] = [msgspec.json.decode(encode(ended, Codec.JSON)) | changes]
    else:
        message |= changes
    bus = shell.hub.connect("n1", ANYWHERE, "_INBOX_N_n1")
    data = encode(message, codec)
    return told_by(await bus.request(subjects.node("n1", verb), data, timeout_s=5.0))


DOORS: dict[str, Door] = {
    "json": json_request,
    "msgpack": msgpack_request,
    "bytes": bytes_request,
    "python": python_client,
    "publish": published,
}
"""Doors that need nothing but the shell."""
