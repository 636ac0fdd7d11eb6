"""Who has a page asks whether it changed: where it did not, the database is not asked at all."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from msgspec.structs import replace

from bus.values import DiskInfo, NodeName, Usage
from coordinator.clock import Clock
from coordinator.versions import TRUST_S
from tests.unit.coordinator.fake_agent import INVENTORY
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
    before = reads(shell)
    answer = await shell.ask(asker, operation, **request)
    return answer, reads(shell) - before


def reads(shell: Shell) -> int:
    """How often lists were read."""
    return len(shell.lists.listings) + len(shell.task_lists.asked) + len(shell.events.asked)


LISTS: list[tuple[str, dict[str, Any]]] = [
    ("job.list", {}),
    ("task.list", {}),
    ("task.list", {"job": "1"}),
    ("event.list", {}),
    ("event.list", {"job": "1"}),
]


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


async def test_events_of_one_job_are_not_those_of_another(shell: Shell) -> None:
    for _ in range(2):
        await shell.submit()
    first, _ = await asked(shell, "event.list", job="1")
    assert (await asked(shell, "event.list", job="1", known=first["tag"]))[0]["unchanged"]
    assert not (await asked(shell, "event.list", job="2", known=first["tag"]))[0]["unchanged"]
    newest, _ = await asked(shell, "event.list", job="@last")
    await shell.submit()
    assert not (await asked(shell, "event.list", job="@last", known=newest["tag"]))[0]["unchanged"]


async def test_what_was_noticed_is_read(shell: Shell) -> None:
    """It is written beside the batches; who writes it says so."""
    first, _ = await asked(shell, "event.list")
    shell.performer.versions.noticed()
    assert not (await asked(shell, "event.list", known=first["tag"]))[0]["unchanged"]


async def test_people_are_read_again_once_they_did_something(shell: Shell) -> None:
    tag = (await shell.ask("olga", "user.list"))["tag"]
    assert (await shell.ask("olga", "user.list", known=tag))["unchanged"]
    assert not (await shell.ask("alice", "user.list", known=tag))["unchanged"]
    for step in (shell.submit(), shell.ask("adam", "user.share", name="bob", shares=3)):
        await step
        answer = await shell.ask("olga", "user.list", known=tag)
        assert not answer["unchanged"] and answer["tag"] != tag
        tag = answer["tag"]
    shell.performer.versions.came()
    assert not (await shell.ask("olga", "user.list", known=tag))["unchanged"]


@pytest.mark.parametrize("operation", ["node.devices", "node.tools"])
async def test_machines_are_told_again_once_one_has_something_else(shell: Shell, operation: str) -> None:
    tag = (await shell.ask("alice", operation))["tag"]
    assert (await shell.ask("alice", operation, known=tag))["unchanged"]
    disk = DiskInfo(mount="/", filesystem="ext4", total_mib=100, free_mib=10)
    await shell.agent("n2", inventory=replace(INVENTORY, disks=(disk,), runtimes={"podman": "5"}))
    answer = await shell.ask("alice", operation, known=tag)
    assert not answer["unchanged"] and answer["tag"] != tag


async def test_a_node_is_told_again_once_one_would_see_it(shell: Shell) -> None:
    assert isinstance(shell.clock, SetClock)
    node = shell.cluster.nodes[NodeName("n1")]
    tag = (await shell.ask("alice", "node.list"))["tag"]
    node.usage = Usage(cpu_millis=520.0, mem_mib=1000.0, temperature_c=50.0)
    tag, before = (await shell.ask("alice", "node.list"))["tag"], tag
    assert tag != before
    node.usage = Usage(cpu_millis=521.0, mem_mib=1003.0, temperature_c=50.2)
    node.load += 0.01
    shell.clock.at_s += 1.5
    assert (await shell.ask("alice", "node.list", known=tag))["unchanged"]
    for seen in (Usage(cpu_millis=800.0, mem_mib=1000.0), Usage(cpu_millis=800.0, mem_mib=2000.0), None):
        node.usage = seen
        answer = await shell.ask("alice", "node.list", known=tag)
        assert not answer["unchanged"]
        tag = answer["tag"]
    shell.clock.at_s += 9.0
    assert not (await shell.ask("alice", "node.list", known=tag))["unchanged"], "it is silent"


async def test_one_page_of_nodes_is_not_another(shell: Shell) -> None:
    await shell.agent("n2")
    tag = (await shell.ask("alice", "node.list", limit=1))["tag"]
    assert (await shell.ask("alice", "node.list", limit=1, known=tag))["unchanged"]
    for other in ({"limit": 2}, {"limit": 1, "sort": "-name"}, {"limit": 1, "filter": "name=n2"}):
        assert not (await shell.ask("alice", "node.list", **other, known=tag))["unchanged"]
