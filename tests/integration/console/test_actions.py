"""Every action on a real cluster: done by its key, taken back by `z`, and both again by the commands shown.

The console asks in words; what really came of it is asked of the coordinator, apart from the console.
"""

from __future__ import annotations

import shlex
import signal
from collections.abc import Callable

import pytest

from bus.api import Job, Node, Task
from bus.bulk import AuditList
from bus.client import Client
from bus.requests import EventList
from bus.values import JobState, NodeAdmin, TaskState
from tests.fixtures_cluster import LiveCluster
from tests.integration.console.desk import Desk

LONG = ["sleep", "600"]
SMALL = {"cpu": "100m", "memory": "16MiB"}


def submitted(desk: Desk, name: str, command: list[str] = LONG, **fields: object) -> int:
    """A job of olga's, by its number."""
    spec = {"command": command, "name": name, "resources": SMALL, **fields}
    return desk.witness.ask(lambda client: client.submit(**spec)).number  # type: ignore[arg-type]


def job(desk: Desk, number: int, condition: Callable[[Job], object]) -> Job:
    return desk.witness.sees(lambda client: client.job(number), condition)


def task(desk: Desk, name: str, condition: Callable[[Task], object]) -> Task:
    return desk.witness.sees(lambda client: client.task(name), condition)


def node(desk: Desk, name: str, condition: Callable[[Node], object]) -> Node:
    return desk.witness.sees(lambda client: client.node(name), condition)


def running(desk: Desk, *numbers: int) -> None:
    for number in numbers:
        job(desk, number, lambda seen: seen.state is JobState.RUNNING and seen.counts.running)


@pytest.fixture(scope="module")
def sleeper(desk: Desk) -> int:
    """A job that runs, alone in the list."""
    number = submitted(desk, "sleeper")
    running(desk, number)
    return number


def at_jobs(desk: Desk, filter: str, *words: str) -> None:
    desk.at("3")
    desk.filtered(filter, *words)


def open_tasks(desk: Desk, number: int) -> None:
    desk.screen.press("Enter")
    desk.screen.wait_for(f"jobs › {number} › tasks", "TASK", f"{number}.0")


@pytest.mark.parametrize(
    ("key", "verb", "is_done"),
    [
        ("h", "hold", lambda job: job.held),
        ("p", "pause", lambda job: job.state is JobState.PAUSED),
        ("P", "priority", lambda job: job.priority == 9),
    ],
)
def test_what_is_done_to_a_job_and_taken_back(
    desk: Desk, sleeper: int, key: str, verb: str, is_done: Callable[[Job], bool]
) -> None:
    at_jobs(desk, "name=sleeper", "sleeper", "running")
    done = desk.asked(key, "9" if verb == "priority" else "")
    assert shlex.split(done)[:3] == ["corral", verb, str(sleeper)]
    desk.answer("y")
    job(desk, sleeper, is_done)
    back = desk.taken_back()
    job(desk, sleeper, lambda seen: not is_done(seen))
    desk.paste(done)
    job(desk, sleeper, is_done)
    desk.paste(back)
    job(desk, sleeper, lambda seen: not is_done(seen))
    desk.screen.wait_for("running", gone=("held", "paused", "…"))


def test_release_and_resume_have_keys_of_their_own(desk: Desk, sleeper: int) -> None:
    at_jobs(desk, "name=sleeper", "sleeper", "running")
    for does, undoes, is_done in (
        ("h", "e", lambda job: job.held),
        ("p", "o", lambda job: job.state is JobState.PAUSED),
    ):
        desk.asked(does)
        desk.answer("y")
        job(desk, sleeper, is_done)
        desk.screen.wait_for("held" if does == "h" else "paused")
        command = desk.asked(undoes)
        desk.answer("y")
        job(desk, sleeper, lambda seen, is_done=is_done: not is_done(seen))
        desk.screen.wait_for("running", gone=("held", "paused"))
        assert command == f"corral {'release' if undoes == 'e' else 'resume'} {sleeper}"


def test_a_ghost_stands_on_the_row_until_it_is_so(desk: Desk, cluster: LiveCluster, sleeper: int) -> None:
    at_jobs(desk, "name=sleeper", "sleeper", "running")
    desk.asked("h")
    cluster.kill("coordinator", signal.SIGSTOP)
    try:
        desk.answer("y")
        desk.screen.wait_for("running … holding")
    finally:
        cluster.kill("coordinator", signal.SIGCONT)
    desk.screen.wait_for("running, held", gone=("holding",))
    desk.taken_back()
    desk.screen.wait_for("running", gone=("held", "releasing"))


def test_a_job_is_requeued_and_cancelled(desk: Desk) -> None:
    first, second = submitted(desk, "ending-1"), submitted(desk, "ending-2")
    running(desk, first, second)
    at_jobs(desk, "name=ending-1", "ending-1", "running")
    command = desk.asked("Q")
    desk.answer("y")
    task(desk, f"{first}.0", lambda seen: seen.fence == 2 and seen.state is TaskState.RUNNING)
    desk.paste(command)
    task(desk, f"{first}.0", lambda seen: seen.fence == 3 and seen.state is TaskState.RUNNING)
    command = desk.asked("C")
    desk.answer("y")
    job(desk, first, lambda seen: seen.state is JobState.CANCELLED)
    desk.screen.wait_for("⊘", "cancelled")
    desk.paste(command.replace(str(first), str(second)))
    job(desk, second, lambda seen: seen.state is JobState.CANCELLED)


def test_what_failed_is_retried_as_a_job_and_as_a_task(desk: Desk) -> None:
    number = submitted(desk, "failing", ["false"], retries=0)
    job(desk, number, lambda seen: seen.state is JobState.FAILED)
    at_jobs(desk, "name=failing", "failing", "failed")
    command = desk.asked("R")
    desk.answer("y")
    task(desk, f"{number}.0", lambda seen: seen.fence == 2 and seen.state is TaskState.FAILED)
    desk.paste(command)
    task(desk, f"{number}.0", lambda seen: seen.fence == 3 and seen.state is TaskState.FAILED)
    open_tasks(desk, number)
    command = desk.asked("R", words=(f"{number}.0",))
    desk.answer("y")
    task(desk, f"{number}.0", lambda seen: seen.fence == 4 and seen.state is TaskState.FAILED)
    desk.paste(command)
    task(desk, f"{number}.0", lambda seen: seen.fence == 5)


def test_one_task_of_many_and_a_range_of_them_end(desk: Desk) -> None:
    """The first tasks run, the others wait untouched: a row of their own, which stands for all of them."""
    number = submitted(desk, "many", array="0-99", resources={"cpu": "1", "memory": "16MiB"})
    desk.witness.sees(
        lambda client: client.tasks(number, filter="state=running"), lambda seen: len(seen.tasks) >= 3
    )
    at_jobs(desk, "name=many", "many")
    open_tasks(desk, number)
    for key, answer in (("Q", "y"), ("Q", "n"), ("C", "y"), ("C", "n")):
        command = desk.asked(key)
        name = command.split()[-1]
        desk.answer(answer)
        if answer == "n":
            desk.paste(command)
        task(desk, name, lambda seen: seen.state is not TaskState.RUNNING or seen.fence > 1)
        desk.screen.press("j")
    desk.screen.press("G")
    desk.screen.wait_for("queued")
    command = desk.asked("C")
    assert shlex.split(command)[:4] == ["corral", "cancel", "--tasks", "--where"]
    desk.answer("n")
    desk.paste(command, asks=True)
    job(desk, number, lambda seen: seen.counts.cancelled > 50)
    desk.witness.ask(lambda client: client.cancel(number))


def priorities(desk: Desk, name: str) -> list[int]:
    return desk.witness.ask(lambda client: priorities_of(client, name))


async def priorities_of(client: Client, name: str) -> list[int]:
    return [job.priority for job in (await client.jobs(filter=f"name~{name}", sort="number")).jobs]


def test_all_that_match_are_steered_and_each_is_led_back(desk: Desk) -> None:
    """Marked rows first, then the filter: by key and by command, forth and back."""
    numbers = [submitted(desk, f"bulk-{each}", priority=each) for each in (2, 4, 6)]
    at_jobs(desk, "name~bulk", "bulk-2", "bulk-6")
    desk.screen.press("C-a")
    desk.screen.wait_for("3 marked")
    done = desk.asked("h", words=("Hold 3 jobs?",))
    desk.answer("y")
    for number in numbers:
        job(desk, number, lambda seen: seen.held)
    back = desk.taken_back("3 jobs")
    for number in numbers:
        job(desk, number, lambda seen: not seen.held)
    desk.paste(done)
    for number in numbers:
        job(desk, number, lambda seen: seen.held)
    desk.paste(back)
    for number in numbers:
        job(desk, number, lambda seen: not seen.held)
    desk.screen.press("*")
    desk.screen.wait_for("all 3 matching")
    done = desk.asked("P", "9", words=("Set the priority of all 3 jobs",))
    desk.answer("y")
    desk.witness.sees(lambda client: priorities_of(client, "bulk"), lambda seen: seen == [9, 9, 9])
    desk.screen.wait_for("3 of 3 changed", "audit")
    back = desk.taken_back("set the priority of 3 jobs")
    desk.witness.sees(lambda client: priorities_of(client, "bulk"), lambda seen: seen == [2, 4, 6])
    desk.paste(done, asks=True)
    assert priorities(desk, "bulk") == [9, 9, 9]
    for line in back.splitlines():
        desk.paste(line, asks=True)
    assert priorities(desk, "bulk") == [2, 4, 6]


def test_whoever_came_meanwhile_is_looked_at_again(desk: Desk) -> None:
    submitted(desk, "crowd-1")
    at_jobs(desk, "name~crowd", "crowd-1")
    desk.screen.press("*")
    desk.screen.wait_for("all 1 matching")
    desk.asked("C", words=("Cancel the one job",))
    second = submitted(desk, "crowd-2")
    desk.screen.press("y")
    desk.screen.wait_for("E_STALE", "1 → 2", "Cancel all 2 jobs")
    assert job(desk, second, lambda seen: True).state is not JobState.CANCELLED
    desk.answer("y")
    job(desk, second, lambda seen: seen.state is JobState.CANCELLED)


@pytest.mark.parametrize(
    ("key", "typed", "verb", "is_done"),
    [
        ("u", "", "cordon", lambda node: node.admin is NodeAdmin.INACTIVE),
        ("r", "", "drain", lambda node: node.admin is NodeAdmin.DRAINING),
        ("L", "rack=7", "label", lambda node: node.labels.get("rack") == "7"),
    ],
)
def test_what_is_done_to_a_node_and_taken_back(
    desk: Desk, key: str, typed: str, verb: str, is_done: Callable[[Node], bool]
) -> None:
    desk.at("2")
    desk.filtered("name=n3", "n3")
    done = desk.asked(key, typed)
    assert shlex.split(done)[:3] == ["corral", verb, "n3"]
    desk.answer("y")
    node(desk, "n3", is_done)
    back = desk.taken_back()
    node(desk, "n3", lambda seen: not is_done(seen))
    desk.paste(done)
    node(desk, "n3", is_done)
    desk.paste(back)
    node(desk, "n3", lambda seen: not is_done(seen))


def is_meant_for_maintenance(node: Node) -> bool:
    """At once, or as soon as what runs there has ended."""
    return NodeAdmin.MAINTENANCE in (node.admin, node.goal)


def test_a_node_in_maintenance_takes_work_again(desk: Desk) -> None:
    desk.at("2")
    desk.filtered("name=n3", "n3")
    desk.screen.press("m")
    desk.screen.wait_for("deadline", "reason", "Enter goes on")
    desk.screen.go_to_next_line()
    desk.screen.type("new fan; hot")
    done = desk.asked("Enter")
    assert shlex.split(done) == ["corral", "maintenance", "n3", "--reason", "new fan; hot"]
    desk.answer("y")
    assert node(desk, "n3", is_meant_for_maintenance).reason == "new fan; hot (olga)"
    back = desk.taken_back()
    node(desk, "n3", lambda seen: seen.admin is NodeAdmin.ACTIVE)
    desk.paste(done)
    node(desk, "n3", is_meant_for_maintenance)
    desk.screen.wait_for("n3", gone=("opening",))
    command = desk.asked("t")
    assert command == "corral undrain n3" == back
    desk.answer("y")
    node(desk, "n3", lambda seen: seen.admin is NodeAdmin.ACTIVE)


def test_the_scheduler_is_switched_and_switched_back(desk: Desk) -> None:
    async def mode(client: Client) -> str:
        return (await client.scheduler()).mode

    before = desk.witness.ask(mode)
    desk.at("6")
    done = desk.asked("m", words=("Scheduler from",))
    desk.answer("y")
    after = desk.witness.sees(mode, lambda seen: seen != before)
    assert done == f"corral scheduler mode {after}"
    back = desk.taken_back()
    desk.witness.sees(mode, lambda seen: seen == before)
    desk.paste(done)
    assert desk.witness.ask(mode) == after
    desk.paste(back)
    assert desk.witness.ask(mode) == before


def test_an_event_is_resolved(desk: Desk) -> None:
    async def open_events(client: Client) -> list[str]:
        found = await client.events(EventList(filter="resolved=no", limit=500))
        return [event.id for event in found.events if event.id.startswith("1:")]

    desk.at("7")
    desk.filtered("resolved=no kind~scheduler_mode", "scheduler")
    command = desk.asked("R", "seen")
    assert shlex.split(command)[:3] == ["corral", "events", "resolve"]
    assert shlex.split(command)[4:] == ["--note", "seen"]
    event = shlex.split(command)[3]
    assert event in desk.witness.ask(open_events)
    desk.answer("y")
    desk.witness.sees(open_events, lambda seen: event not in seen)


def test_the_journal_has_every_act_with_its_entry_of_the_audit(desk: Desk) -> None:
    desk.at("2")
    desk.screen.press("a")
    seen = desk.screen.wait_for("done from here", "corral scheduler mode", "AUDIT")
    (line,) = [line for line in seen.splitlines() if "scheduler mode" in line][:1]
    audit = next(word for word in line.split() if word.count("-") >= 2 and word[0].isdigit())

    async def entry(client: Client) -> str:
        return (await client.audits(AuditList(id=audit))).audits[0].action

    assert desk.witness.ask(entry) == "scheduler.mode"
    desk.screen.press("q")
    desk.screen.wait_for(gone=("done from here",))
