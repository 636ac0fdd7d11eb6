"""A question that takes long is counted, and what came of the last one is known until the next answer."""

from __future__ import annotations

import asyncio

import pytest

from bus.errors import RequestTimeout
from tui.client.asking import SLOW_S, Asking, patiently


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """What time it is."""
    now = [1_000.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    return now


def test_who_waits_long_is_told_how_long(clock: list[float]) -> None:
    asking = Asking()
    assert (asking.waited_s, asking.age_s, asking.is_under_way) == (0.0, None, False)
    with asking.under_way():
        assert asking.is_under_way
        clock[0] += SLOW_S / 2
        assert asking.waited_s == 0.0, "nobody minds"
        with asking.under_way():
            clock[0] += 3.0
            assert asking.waited_s == 3.0 + SLOW_S / 2, "of the oldest"
        assert asking.waited_s == 3.0 + SLOW_S / 2, "which is still without its answer"
    assert (asking.waited_s, asking.age_s, asking.is_under_way) == (0.0, 0.0, False)
    clock[0] += 7.0
    assert asking.age_s == 7.0


def test_an_error_is_kept_until_there_is_an_answer(clock: list[float]) -> None:
    asking = Asking()
    with asking.under_way():
        pass
    clock[0] += 5.0
    error = RequestTimeout("none within 5 s")
    with pytest.raises(RequestTimeout), asking.under_way():
        raise error
    assert (asking.error, asking.age_s, asking.is_under_way) == (error, 5.0, False)
    with asking.under_way():
        assert asking.error is error
    assert (asking.error, asking.age_s) == (None, 0.0)


def test_what_is_given_up_is_neither_answered_nor_wrong(clock: list[float]) -> None:
    asking = Asking()
    with pytest.raises(KeyboardInterrupt), asking.under_way():
        raise KeyboardInterrupt
    assert (asking.error, asking.age_s, asking.is_under_way) == (None, None, False)


async def test_who_waits_hears_how_long_until_there_is_an_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tui.client.asking.SLOW_S", 0.01)
    waits: list[float] = []

    async def question() -> str:
        while len(waits) < 3:
            await asyncio.sleep(0.001)
        return "because"

    assert await patiently(question(), waits.append) == "because"
    assert waits == sorted(waits) and waits[0] > 0


async def test_who_gives_up_asks_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tui.client.asking.SLOW_S", 0.01)
    given_up = asyncio.Event()

    async def question() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            given_up.set()

    def give_up(_: float) -> None:
        asking.cancel()

    asking = asyncio.ensure_future(patiently(question(), give_up))
    with pytest.raises(asyncio.CancelledError):
        await asking
    await asyncio.wait_for(given_up.wait(), 5.0)


async def test_what_goes_wrong_with_it_is_raised() -> None:
    async def question() -> None:
        raise RequestTimeout("none within 5 s")

    with pytest.raises(RequestTimeout):
        await patiently(question(), lambda _: None)
