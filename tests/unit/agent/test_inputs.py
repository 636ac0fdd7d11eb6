"""What becomes of an attempt whose needs cannot be had: tried again, refused here, or nowhere to be had."""

from __future__ import annotations

import errno
from typing import Any

import pytest

from agent.core.events import InputsArrived, InputsRefused
from agent.core.model import Held, Order, Phase, Work
from agent.inputs import InputFetcher, Nowhere
from bus.errors import ApiError
from bus.refusal import refusal
from bus.values import AttemptRef, Resources, TaskSettings

A = AttemptRef(1042, 7, 1)
ORDER = Order(attempt=A, work=Work(settings=TaskSettings(resources=Resources()), command=("true",)))


class Executor:
    """Holds one attempt, and hears what is found out about it."""

    def __init__(self) -> None:
        self.ledger = self
        self.held = {A: Held(attempt=A, phase=Phase.PREPARING, order=ORDER)}
        self.heard: list[InputsArrived | InputsRefused] = []

    def handle(self, event: InputsArrived | InputsRefused) -> None:
        self.heard.append(event)


async def fetched(*answers: ApiError | OSError | dict[str, str]) -> list[InputsArrived | InputsRefused]:
    """What is told of an order where what brings it answers so, one after the other."""
    executor: Any = Executor()
    left = list(answers)

    async def bring(order: Order) -> dict[str, str]:
        answer = left.pop(0)
        if isinstance(answer, ApiError | OSError):
            raise answer
        return answer

    await InputFetcher(None, "n1", executor, also=[bring]).fetch(ORDER)  # type: ignore[arg-type]
    assert not left
    return list(executor.heard)


@pytest.mark.parametrize(("kind", "nowhere"), [(ApiError, False), (Nowhere, True)])
async def test_what_is_not_here_is_told_from_what_is_nowhere(kind: type[ApiError], nowhere: bool) -> None:
    missing = kind(refusal("E_NOT_FOUND", "no such file", got="x"))
    (event,) = await fetched(missing)
    assert isinstance(event, InputsRefused)
    assert (event.attempt, event.nowhere) == (A, nowhere)
    assert event.reason.startswith("what it needs: E_NOT_FOUND: no such file")


async def test_what_may_change_by_itself_is_tried_again() -> None:
    away = ApiError(refusal("E_UNAVAILABLE", "no node that has it answers"))
    assert await fetched(away, {"WHERE": "/there"}) == [InputsArrived(A, {"WHERE": "/there"})]


async def test_a_full_disk_delays_and_a_failing_one_refuses() -> None:
    """Neither ends the agent, which has other tasks."""
    full = OSError(errno.ENOSPC, "No space left on device")
    assert await fetched(full, {}) == [InputsArrived(A, {})]
    (event,) = await fetched(NotADirectoryError(errno.ENOTDIR, "Not a directory", "7.1.checkpoints"))
    assert isinstance(event, InputsRefused) and not event.nowhere
    assert event.reason == "what it needs: [Errno 20] Not a directory: '7.1.checkpoints'"
