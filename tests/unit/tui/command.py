"""The `corral` command in this process, over a coordinator of a few lines: what a test says it answers."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import msgspec
import pytest
from msgspec import Struct

from bus import subjects
from bus.api import Job, Task, TaskCounts, Whoami
from bus.client import Client
from bus.codec import answer, codec_of, decode_request
from bus.errors import Error
from bus.memory import MemoryHub
from bus.transport import Message
from bus.values import JobKind, JobState, Resources, Role, TaskState
from tui.cli import dispatch

Answer = Callable[[Struct], Struct | None]


def a_job(number: int = 7, **changes: Any) -> Job:
    job = Job(
        number=number,
        id="0198c2f4-7a11-7c3e-9b1e-2f6d0c9a1b2c",
        name="sweep",
        user="alice",
        kind=JobKind.BATCH,
        priority=5,
        state=JobState.RUNNING,
        counts=TaskCounts(total=3, running=1, completed=2),
        submitted_at=1_000.0,
        started_at=1_010.5,
    )
    return msgspec.structs.replace(job, **changes)


def a_task(job: int = 7, index: int = 0, **changes: Any) -> Task:
    task = Task(
        id=f"{job}.{index}",
        job=job,
        index=index,
        state=TaskState.RUNNING,
        resources=Resources(cpu_millis=1000, mem_mib=64),
        submitted_at=1_000.0,
    )
    return msgspec.structs.replace(task, **changes)


class Silence(Exception):
    """Raised instead of an answer: the coordinator says nothing."""


def connection(
    answer_to: Answer, *, now: Callable[[], float] = lambda: 0.0
) -> Callable[..., AbstractAsyncContextManager[Client]]:
    """A stand-in for `Client.connect` whose coordinator answers what `answer_to` says, else E_NOT_FOUND.

    Its clock stands at `now`; 0: it tells none.
    """

    @asynccontextmanager
    async def connect(*_: object, **__: object) -> AsyncIterator[Client]:
        hub = MemoryHub(lambda: 0.0)
        coordinator = hub.connect_coordinator()

        async def serve(message: Message) -> None:
            sender = subjects.parse(message.subject)
            assert isinstance(sender, subjects.ApiSubject)
            try:
                if sender.operation == "user.whoami":
                    said: Struct | None = Whoami(user="alice", role=Role.USER, now=now())
                else:
                    said = answer_to(decode_request(sender.operation, message.data))
            except Silence:
                return
            said = said or Error(code="E_NOT_FOUND", message="no such thing", status=404)
            payload, headers = answer(said, codec_of(message.data))
            await coordinator.publish(message.reply, payload, headers=headers)

        await coordinator.subscribe(subjects.API_ALL, serve)
        client = Client(hub.connect_user("alice"))
        try:
            yield client
        finally:
            await client.bus.close()
            await coordinator.close()

    return connect


class Corral:
    """Runs command lines; `asked` are the requests that reached the coordinator.

    Its clock, which tables ask for, is not among them: at `now_s`; 0: it tells none.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
        self.asked: list[Struct] = []
        self.answer: Answer = lambda request: None
        self.now_s = 0.0
        self._capfd = capfd
        monkeypatch.setattr(Client, "connect", connection(self._answer, now=lambda: self.now_s))

    def __call__(self, *argv: str) -> tuple[int, str, str]:
        """Exit code, stdout, stderr."""
        code = dispatch.run(argv)
        out, err = self._capfd.readouterr()
        return code, out, err

    def _answer(self, request: Struct) -> Struct | None:
        self.asked.append(request)
        return self.answer(request)
