"""`run -it` of a task that is over before anybody looks: its terminal is gone, and its end not yet told."""

from __future__ import annotations

from typing import cast

import pytest

from bus.api import Task
from bus.client import Client
from bus.errors import ApiError, Error
from bus.values import Resources, TaskState
from tui.cli.attach import Attachment
from tui.cli.raw_terminal import parse_keys


class Screen:
    """A terminal, as far as one is asked for its size."""

    def __init__(self, keys: bytes) -> None:
        del keys

    def size(self) -> tuple[int, int]:
        return 24, 80


class Cluster:
    """Its node refuses every viewer with that code; each look at the task sees the next state."""

    def __init__(self, code: str, *states: TaskState) -> None:
        self.code = code
        self.states = list(states)

    async def open_stream(self, *_: object, **__: object) -> None:
        raise ApiError(Error(code=self.code, message="refused", status=409))

    async def task(self, name: str) -> Task:
        state = self.states.pop(0)
        return Task(id=name, job=1, index=0, state=state, resources=Resources(1000, 64), submitted_at=0.0)


def attachment(cluster: Cluster, monkeypatch: pytest.MonkeyPatch, *, waits: bool) -> Attachment:
    monkeypatch.setattr("tui.cli.attach.RawTerminal", Screen)
    return Attachment(cast(Client, cluster), "1.0", keys=parse_keys("ctrl-p,ctrl-q"), wait_for_start=waits)


@pytest.mark.parametrize("code", ["E_NO_TERMINAL", "E_NOT_RUNNING"])
async def test_who_submitted_it_waits_until_its_end_is_told(
    code: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster = Cluster(code, TaskState.RUNNING, TaskState.COMPLETED)
    assert await attachment(cluster, monkeypatch, waits=True).begin() is None
    assert cluster.states == []


async def test_who_asks_for_a_terminal_that_there_is_not_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ApiError, match="refused"):
        await attachment(Cluster("E_NO_TERMINAL"), monkeypatch, waits=False).begin()
