"""Jobs and tasks over the service: submitted once, found by their owners, cancelled where they live."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

from bus.api import Attempt, Task
from bus.codec import Codec
from bus.values import Ended, Outcome, Resources, TaskRef, TaskState
from coordinator.store.reads import Reads
from tests.unit.coordinator.fakes import AMBIGUOUS
from tests.unit.coordinator.shell import Shell, running_shell, until


@pytest.fixture
async def shell() -> AsyncIterator[Shell]:
    async with running_shell() as running:
        yield running


def task(ref: TaskRef, state: TaskState = TaskState.QUEUED) -> Task:
    return Task(
        id="x", job=ref.job, index=ref.index, state=state, resources=Resources(1000, 64), submitted_at=1.0
    )


def refusal(answer: Any) -> tuple[str, int, str]:
    error = answer["error"]
    return error["code"], error["status"], error["field"]


# submission


async def test_jobs_are_numbered_in_the_order_of_their_submission(shell: Shell) -> None:
    assert [await shell.submit(user) for user in ("alice", "bob", "alice")] == [1, 2, 3]
    assert [job.owner for batch in shell.store.batches for job in batch.new_jobs] == ["alice", "bob", "alice"]


async def test_a_dedupe_key_in_the_database_is_one_job(shell: Shell) -> None:
    first = await shell.submit(dedupe_key="k")
    shell.cluster.dedupe.clear()  # as after a restart
    again = await shell.ask("alice", "job.submit", command=["true"], dedupe_key="k")
    assert (again["number"], again["duplicate"]) == (first, True)
    other = await shell.ask("alice", "job.submit", command=["false"], dedupe_key="k")
    assert refusal(other) == ("E_IDEM_CONFLICT", 409, "/dedupe_key")
    assert (await shell.ask("bob", "job.submit", command=["true"], dedupe_key="k"))["duplicate"] is False


async def test_a_dedupe_key_in_memory_is_one_job(shell: Shell, monkeypatch: Any) -> None:
    """Two submissions in one batch: the database knows neither yet."""

    async def nothing(self: Reads, owner: str, key: str) -> None:
        return None

    monkeypatch.setattr(type(shell.reads), "duplicate", nothing)
    first = await shell.submit(dedupe_key="k")
    again = await shell.ask("alice", "job.submit", command=["true"], dedupe_key="k")
    assert (again["number"], again["duplicate"]) == (first, True)
    other = await shell.ask("alice", "job.submit", command=["false"], dedupe_key="k")
    assert refusal(other) == ("E_IDEM_CONFLICT", 409, "/dedupe_key")


# cancelling


async def test_a_live_job_is_cancelled_through_the_loop(shell: Shell) -> None:
    number = await shell.submit(array="0-9")
    answer = await shell.ask("alice", "job.cancel", target=f"{number}.3")
    assert answer["tasks"] == 1 and answer["audit"]
    assert (await shell.ask("alice", "job.cancel", target=str(number)))["tasks"] == 9
    assert number not in shell.cluster.jobs


async def test_a_job_that_is_over_has_nothing_to_cancel(shell: Shell) -> None:
    number = await shell.submit()
    await shell.ask("alice", "job.cancel", target=str(number))
    assert await shell.ask("alice", "job.cancel", target=str(number)) == {"tasks": 0, "audit": ""}


async def test_what_is_somebody_elses_does_not_exist(shell: Shell) -> None:
    number = await shell.submit()
    for operation, request in (
        ("job.cancel", {"target": str(number)}),
        ("job.show", {"job": str(number)}),
        ("task.list", {"job": str(number)}),
        ("task.show", {"task": f"{number}.0"}),
        ("task.logs", {"task": f"{number}.0"}),
    ):
        mine = await shell.ask("bob", operation, **request)
        none = await shell.ask(
            "bob", operation, **{key: "99.0"[: 4 if "." in value else 2] for key, value in request.items()}
        )
        assert mine["error"]["code"] == none["error"]["code"] == "E_NOT_FOUND"
    assert (await shell.ask("olga", "job.cancel", target=str(number)))["tasks"] == 1


# finding


@pytest.mark.parametrize("codec", Codec)
async def test_a_job_is_shown_to_who_may_see_it(shell: Shell, codec: Codec) -> None:
    number = await shell.submit(name="first")
    assert (await shell.ask("alice", "job.show", codec=codec, job=str(number)))["name"] == "first"
    assert (await shell.ask("olga", "job.show", codec=codec, job=str(number)))["user"] == "alice"


async def test_the_last_job_is_ones_own_whoever_asks(shell: Shell) -> None:
    await shell.submit("alice")
    mine = await shell.submit("olga")
    await shell.submit("alice")
    assert (await shell.ask("olga", "job.show", job="@last"))["number"] == mine


async def test_a_job_that_vanished_between_two_reads_is_not_found(shell: Shell) -> None:
    number = await shell.submit(name="hidden")
    assert refusal(await shell.ask("alice", "job.show", job=str(number))) == ("E_NOT_FOUND", 404, "/job")


async def test_a_list_sees_what_its_sender_was_told(shell: Shell) -> None:
    number = await shell.submit()
    assert [job["number"] for job in (await shell.ask("alice", "job.list"))["jobs"]] == [number]
    assert (await shell.ask("bob", "job.list"))["jobs"] == []


@pytest.mark.parametrize(
    ("operation", "request_", "expected"),
    [
        ("job.show", {"job": AMBIGUOUS}, ("E_AMBIGUOUS", 409, "/job")),
        ("job.list", {"limit": 0}, ("E_RANGE", 422, "/limit")),
        ("job.list", {"limit": 10_001}, ("E_RANGE", 422, "/limit")),
        ("task.list", {"job": "1", "limit": -1}, ("E_RANGE", 422, "/limit")),
        ("task.show", {"task": ""}, ("E_ID", 422, "/task")),
        ("task.show", {"task": "1.x"}, ("E_ID", 422, "/task")),
        ("task.show", {"task": "1.12345678"}, ("E_ID", 422, "/task")),
        ("task.show", {"task": "1.9999999"}, ("E_NOT_FOUND", 404, "/task")),
        ("task.show", {"task": "1.5"}, ("E_NOT_FOUND", 404, "/task")),
        ("job.cancel", {"target": "1.2.3"}, ("E_ID", 422, "/target")),
        ("task.logs", {"task": "1.0", "offset": -1}, ("E_RANGE", 422, "/offset")),
        ("task.logs", {"task": "1.0", "limit": 0}, ("E_RANGE", 422, "/limit")),
        ("task.logs", {"task": "1.0", "limit": 2**30}, ("E_RANGE", 422, "/limit")),
        ("task.logs", {"task": "1.0", "attempt": 2**40}, ("E_RANGE", 422, "/attempt")),
        ("node.show", {"node": "nowhere"}, ("E_NOT_FOUND", 404, "/node")),
    ],
)
async def test_each_wrong_question_is_told_where(
    shell: Shell, operation: str, request_: dict[str, Any], expected: tuple[str, int, str]
) -> None:
    await shell.submit()
    assert refusal(await shell.ask("alice", operation, **request_)) == expected


# tasks


async def test_tasks_are_listed_and_shown(shell: Shell) -> None:
    number = await shell.submit(array="0-9")
    ref = TaskRef(number, 4)
    shell.reads.shown[ref] = task(ref)
    assert [each["index"] for each in (await shell.ask("alice", "task.list", job=str(number)))["tasks"]] == [
        4
    ]
    assert (await shell.ask("alice", "task.show", task=f"{number}.4"))["state"] == "queued"


async def test_why_names_no_tasks_of_others(shell: Shell) -> None:
    """What a decision was compared with may be anybody's; an operator sees whose."""
    agent = await shell.agent()
    mine, theirs = await shell.submit(), await shell.submit("olga")
    await until(lambda: len(agent.assigned()) == 2)
    kept = {
        "q": {f"{mine}.0": 2.0, f"{theirs}.0": 1.0, f"{theirs}.1": 3.0},
        "would": f"{theirs}.0",
        "backfill": {"behind": f"{theirs}.1", "node": "n1"},
    }
    ref = TaskRef(mine, 0)
    attempt = Attempt(fence=1, node="n1", state="running", assigned_at=1.0, explanation=kept)
    shell.reads.shown[ref] = msgspec.structs.replace(task(ref, TaskState.RUNNING), attempts=[attempt])
    why = await shell.ask("alice", "task.why", target=f"{mine}.0")
    assert why["values"] == {f"{mine}.0": 2.0, "another user's": 1.0}
    assert (why["would"], why["backfill"]["behind"]) == ("another user's", "another user's")
    assert (await shell.ask("olga", "task.why", target=f"{mine}.0"))["values"] == kept["q"]
    attempt.explanation = {"would": f"{mine}.0"}
    assert (await shell.ask("alice", "task.why", target=f"{mine}.0"))["would"] == f"{mine}.0"


async def test_a_job_of_one_task_names_it(shell: Shell) -> None:
    number = await shell.submit()
    ref = TaskRef(number, 0)
    shell.reads.shown[ref] = task(ref)
    assert (await shell.ask("alice", "task.show", task=str(number)))["index"] == 0
    many = await shell.submit(array="0-9")
    answer = await shell.ask("alice", "task.show", task=str(many))
    assert refusal(answer) == ("E_ID", 422, "/task") and answer["error"]["hint"].endswith(f"{many}.0")


async def test_a_job_that_vanished_has_no_single_task(shell: Shell) -> None:
    number = await shell.submit(name="hidden")
    answer = await shell.ask("alice", "task.show", task=str(number))
    assert refusal(answer) == ("E_ID", 422, "/task") and "0 tasks" in answer["error"]["message"]


# nodes and the cluster


async def test_nodes_come_out_of_memory(shell: Shell) -> None:
    await shell.agent("n2", labels={"zone": "b"})
    await shell.agent("n1")
    nodes = (await shell.ask("alice", "node.list"))["nodes"]
    assert [node["name"] for node in nodes] == ["n1", "n2"]
    assert nodes[1]["labels"] == {"zone": "b"} and nodes[0]["inventory"] is None
    node = await shell.ask("rita", "node.show", node="n1")
    assert node["inventory"]["hostname"] == "host" and node["last_heartbeat_s"] >= 0
    assert node["capacity"] == [2000, 4096, 0, 0, 0, 0]


async def test_the_cluster_in_a_few_numbers(shell: Shell) -> None:
    agent = await shell.agent()
    number = await shell.submit(array="0-2")
    await until(lambda: len(agent.assigned()) >= 2)
    status = await shell.ask("alice", "cluster.status")
    assert (status["total_nodes"], status["active_nodes"], status["epoch"]) == (1, 1, 7)
    assert status["allocated"][0] == 2000 and status["jobs"] == {"scheduled": 1}
    assert sum(status["tasks"].values()) == 3
    for ref in agent.assigned():
        await agent.report(Ended(attempt=ref, outcome=Outcome.EXITED, ended_at=1.0, exit_code=0))
    assert (await shell.ask("alice", "cluster.status"))["tasks"]["completed"] == 2
    await shell.ask("alice", "job.cancel", target=str(number))


# jobs after others


async def test_a_job_waits_for_one_that_lives_and_goes_by_one_that_is_over(shell: Shell) -> None:
    agent = await shell.agent()
    first = await shell.submit(retries=0)
    waits = await shell.submit(after=[f"{first}:failed"])
    assert waits in shell.cluster.jobs and shell.cluster.jobs[waits].pending == 1
    await until(lambda: len(agent.assigned()) == 1)
    (ref,) = agent.assigned()
    await agent.report(Ended(attempt=ref, outcome=Outcome.EXITED, ended_at=1.0, exit_code=1))
    await until(lambda: len(agent.assigned()) == 2)
    shell.cluster.ended.clear()  # as after a restart: only the database knows
    never = await shell.submit(after=[first])
    await until(lambda: never not in shell.cluster.jobs)
    told = await shell.ask("alice", "job.plan", command=["true"], after=[f"{first}:any"])
    assert told["groups"][0]["waits"] + told["starts_now"] == 1 and "after" not in {
        each["code"] for each in told["groups"][0].get("blockers", [])
    }


@pytest.mark.parametrize("verb", ["job.submit", "job.plan"])
async def test_a_job_runs_only_after_jobs_of_its_user(shell: Shell, verb: str) -> None:
    """What is another's is answered like what does not exist; every one of them is named."""
    over = await shell.submit("bob")
    await shell.ask("bob", "job.cancel", target=str(over))
    live, own = await shell.submit("bob"), await shell.submit()
    answer = await shell.ask("alice", verb, command=["true"], after=[own, over, f"{live}:any", 4711])
    error = answer["error"]
    assert refusal(answer) == ("E_NOT_FOUND", 404, "/after/1")
    assert [each["field"] for each in error["more"]] == ["/after/2", "/after/3"]
    assert {each["message"] for each in [error, *error["more"]]} == {"no such job"}
    assert "error" not in await shell.ask("olga", verb, command=["true"], after=[own, over, live])


async def test_what_is_no_jobs_number_is_refused_with_the_rest_of_the_job(shell: Shell) -> None:
    answer = await shell.ask("alice", "job.submit", command=["true"], after=["rain"], retry_on=["rain"])
    codes = {each["code"] for each in [answer["error"], *answer["error"]["more"]]}
    assert codes == {"E_ID", "E_ENUM"}
