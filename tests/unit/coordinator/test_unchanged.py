"""Who has a page asks whether it changed: where it did not, the database is not asked at all."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from coordinator.clock import Clock
from coordinator.versions import TRUST_S
from tests.unit.coordinator.shell import Shell, running_shell


class SetClock(Clock):
    """Shows the time it is told."""

    def __init__(self) -> None:
        super().__init__()
        self.at_s = 1_790_000_000.0

    def now_s(self) -> float:
        return self.at_s


@pytest.fixture
async def shell() -> AsyncIterator[Shell]:
    async with running_shell(clock=SetClock()) as running:
        await running.agent()
        yield running


async def asked(shell: Shell, operation: str, *, asker: str = "alice", **request: Any) -> tuple[Any, int]:
    """The answer, and how often the database was asked for it."""
    before = len(shell.lists.listings) + len(shell.task_lists.asked)
    answer = await shell.ask(asker, operation, **request)
    return answer, len(shell.lists.listings) + len(shell.task_lists.asked) - before


LISTS: list[tuple[str, dict[str, Any]]] = [("job.list", {}), ("task.list", {}), ("task.list", {"job": "1"})]


@pytest.mark.parametrize(("operation", "request_"), LISTS)
async def test_what_did_not_change_is_not_read_again(
    shell: Shell, operation: str, request_: dict[str, Any]
) -> None:
    await shell.submit(array="0-9")
    first, read = await asked(shell, operation, **request_)
    assert first["tag"] and not first["unchanged"] and read == 1
    again, read = await asked(shell, operation, **request_, known=first["tag"])
    assert again["unchanged"] and again["tag"] == first["tag"] and read == 0
    await shell.ask("alice", "job.cancel", target="1")
    changed, read = await asked(shell, operation, **request_, known=first["tag"])
    assert not changed["unchanged"] and changed["tag"] != first["tag"] and read == 1


async def test_tasks_of_a_job_are_not_changed_by_another_job(shell: Shell) -> None:
    await shell.submit(array="0-9")
    tasks, _ = await asked(shell, "task.list", job="1")
    jobs, _ = await asked(shell, "job.list")
    await shell.submit()
    assert (await asked(shell, "task.list", job="1", known=tasks["tag"]))[0]["unchanged"]
    assert not (await asked(shell, "job.list", known=jobs["tag"]))[0]["unchanged"]


@pytest.mark.parametrize(
    "other",
    [{"limit": 7}, {"sort": "name"}, {"filter": "priority>1"}, {"states": ["failed"]}],
)
async def test_a_tag_names_one_page_of_one_list(shell: Shell, other: dict[str, Any]) -> None:
    await shell.submit()
    first, _ = await asked(shell, "job.list", asker="olga")
    assert not (await asked(shell, "job.list", asker="olga", **other, known=first["tag"]))[0]["unchanged"]
    assert not (await asked(shell, "job.list", asker="alice", known=first["tag"]))[0]["unchanged"]


@pytest.mark.parametrize(
    "request_",
    [{"filter": "age>1h"}, {"filter": "runtime<5m"}, {"filter": "ended<2026-01-01"}, {"sort": "-runtime"}],
)
async def test_what_changes_with_the_time_has_no_tag(shell: Shell, request_: dict[str, Any]) -> None:
    await shell.submit()
    for known in ("", "anything"):
        answer, read = await asked(shell, "job.list", **request_, known=known)
        assert (answer["tag"], answer["unchanged"], read) == ("", False, 1)


async def test_an_order_by_age_stays(shell: Shell) -> None:
    await shell.submit()
    first, _ = await asked(shell, "job.list", sort="age")
    assert (await asked(shell, "job.list", sort="age", known=first["tag"]))[0]["unchanged"]


async def test_no_tag_is_trusted_for_long(shell: Shell) -> None:
    """Jobs that go into the archive do so in no batch."""
    await shell.submit()
    first, _ = await asked(shell, "job.list")
    assert isinstance(shell.clock, SetClock)
    shell.clock.at_s += TRUST_S
    assert not (await asked(shell, "job.list", known=first["tag"]))[0]["unchanged"]
