"""What an agent complains of waits, bounded, until it is told once."""

from __future__ import annotations

import logging

import pytest

from agent.log_tail import LINES_AT_ONCE, LINES_KEPT, TEXT_MAX, LogTail, tail_of

LOG = logging.getLogger("agent.of_this_test")


def texts(tail: LogTail, now_s: float = 1e10) -> list[str]:
    return [line.text.partition(": ")[2] or line.text for line in tail.take(now_s)]


def test_warnings_and_errors_are_taken_once_with_their_age() -> None:
    with tail_of("agent") as tail:
        LOG.info("all is well")
        LOG.warning("a %s disk", "full")
        LOG.error("x" * 2 * TEXT_MAX)
        first, second = tail.take(1e10)
        assert (first.severity, first.text) == ("warning", "agent.of_this_test: a full disk")
        assert 0 < first.age_s < 1e10
        assert (second.severity, len(second.text)) == ("error", TEXT_MAX)
        assert tail.take(1e10) == ()
    LOG.warning("after it")
    assert tail.take(1e10) == ()


def test_of_too_many_the_oldest_go_and_are_counted() -> None:
    with tail_of("agent") as tail:
        for number in range(LINES_KEPT + 3):
            LOG.warning("%d", number)
        assert texts(tail)[:2] == ["3 older lines are only in its own log", "3"]
        rest = [text for _ in range(LINES_KEPT // LINES_AT_ONCE) for text in texts(tail)]
        assert rest[-1] == str(LINES_KEPT + 2)
        assert texts(tail) == []


def test_what_could_not_be_sent_comes_again_in_order() -> None:
    with tail_of("agent") as tail:
        LOG.warning("one")
        LOG.warning("two")
        taken = tail.take(1e10)
        LOG.warning("three")
        tail.give_back(taken, 1e10)
        assert texts(tail) == ["one", "two", "three"]


def test_a_line_that_cannot_be_made_ends_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logging, "raiseExceptions", False)
    with tail_of("agent") as tail:
        LOG.warning("%d", "no number")
        LOG.warning("the next")
        assert texts(tail) == ["the next"]
