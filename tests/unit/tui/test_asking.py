"""A question that takes long is counted, and what came of the last one is known until the next answer."""

from __future__ import annotations

import pytest

from bus.errors import RequestTimeout
from tui.client.asking import SLOW_S, Asking


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
