"""Steering, reasons and plans over the service: who may, what is refused, and that twice is harmless."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from bus.codec import Codec
from bus.messages import Cancel, Pause, Resume
from bus.values import Ended, Outcome, Role, Started
from coordinator.core.events import CancelAsked, Event
from coordinator.store.errors import StoreUnavailable
from tests.unit.coordinator.fake_agent import FakeAgent
from tests.unit.coordinator.shell import Shell, collect, running_shell, until
from tests.unit.coordinator.test_doors import state

STEERING = ("node.cordon", "node.drain", "node.maintenance", "node.undrain")


@pytest.fixture
async def shell() -> AsyncIterator[Shell]:
    async with running_shell() as running:
        yield running


def refusal(answer: Any) -> tuple[str, int, str]:
    error = answer["error"]
    return error["code"], error["status"], error["field"]


async def failed_job(shell: Shell, agent: FakeAgent) -> int:
    """A job whose only task failed."""
    number = await shell.submit(retries=0)
    await until(lambda: any(ref.job == number for ref in agent.assigned()))
    (ref,) = [ref for ref in agent.assigned() if ref.job == number]
    await agent.report(Ended(attempt=ref, outcome=Outcome.EXITED, ended_at=1.0, exit_code=3))
    await until(lambda: number not in shell.cluster.jobs)
    return number


@pytest.mark.parametrize("codec", Codec)
async def test_a_job_is_held_and_released(shell: Shell, codec: Codec) -> None:
    """Twice is once; the feed says which."""
    feed = await collect(shell.client("alice"), "corral.feed.alice.job.*")
    number = await shell.submit(array="0-9")
    held = [await shell.ask("alice", "job.hold", codec=codec, job=str(number)) for _ in range(2)]
    assert [answer["tasks"] for answer in held] == [10, 0]
    await until(lambda: feed and json.loads(feed[-1].data)["held"])
    await shell.agent()
    why = await shell.ask("alice", "task.why", codec=codec, target=f"{number}.3")
    assert "held" in {blocker["code"] for blocker in why["blockers"]}
    await shell.ask("alice", "job.release", codec=codec, job=str(number))
    before = state(shell)[0]
    again = await shell.ask("alice", "job.release", codec=codec, job=str(number))
    assert "error" not in again and state(shell)[0] == before
    await until(lambda: not json.loads(feed[-1].data)["held"])


@pytest.mark.parametrize("codec", Codec)
async def test_a_job_is_paused_and_resumed(shell: Shell, codec: Codec) -> None:
    """Twice is once; the node is told, the feed says so, and why says who."""
    agent = await shell.agent()
    feed = await collect(shell.client("alice"), "corral.feed.alice.job.*")
    number = await shell.submit(array="0-99")
    await until(lambda: agent.assigned())
    ref = agent.assigned()[0]
    await agent.report(Started(attempt=ref, started_at=1.0, pid=1))
    paused = [await shell.ask("alice", "job.pause", codec=codec, job=str(number)) for _ in range(2)]
    assert [answer["tasks"] for answer in paused] == [100, 0]
    await until(lambda: json.loads(feed[-1].data)["state"] == "paused")
    await until(lambda: [each for each in agent.commands if isinstance(each, Pause)])
    assert ref in next(each for each in agent.commands if isinstance(each, Pause)).attempts
    why = await shell.ask("alice", "task.why", codec=codec, target=f"{number}.99")
    assert "paused" in {blocker["code"] for blocker in why["blockers"]}
    await shell.ask("alice", "job.resume", codec=codec, job=str(number))
    await until(lambda: [each for each in agent.commands if isinstance(each, Resume)])
    await until(lambda: json.loads(feed[-1].data)["state"] == "running")


async def test_what_runs_is_requeued(shell: Shell) -> None:
    agent = await shell.agent()
    number = await shell.submit()
    await until(lambda: agent.assigned())
    (ref,) = agent.assigned()
    await agent.report(Started(attempt=ref, started_at=1.0, pid=1))
    assert (await shell.ask("alice", "job.requeue", target=f"{number}.0"))["tasks"] == 1
    await until(lambda: [each for each in agent.commands if isinstance(each, Cancel)])
    await agent.report(Ended(attempt=ref, outcome=Outcome.CANCELLED, started_at=1.0, ended_at=2.0))
    await until(lambda: len(agent.assigned()) == 2)


@pytest.mark.parametrize(
    ("operation", "fields"),
    [
        ("job.hold", {"job": "1"}),
        ("job.pause", {"job": "1"}),
        ("job.priority", {"job": "1", "priority": 5}),
        ("job.requeue", {"target": "1"}),
    ],
)
async def test_what_ends_while_one_asks_is_over_not_unknown(
    shell: Shell, monkeypatch: pytest.MonkeyPatch, operation: str, fields: dict[str, object]
) -> None:
    """It was there when it was looked for, and is gone when its turn comes."""
    number = await shell.submit()
    post = shell.loop.post

    def after_its_end(event: Event) -> None:
        post(CancelAsked(job=number, index=None, by="alice", role=Role.USER))
        post(event)

    monkeypatch.setattr(shell.loop, "post", after_its_end)
    answer = await shell.ask("alice", operation, **fields)
    assert (number, refusal(answer)[:2]) == (1, ("E_CONFLICT", 409))
    assert "job 1 is over" in answer["error"]["message"]


async def test_a_deadline_and_a_goal_are_shown(shell: Shell) -> None:
    agent = await shell.agent()
    await shell.submit()
    await until(lambda: agent.assigned())
    node = await shell.ask("olga", "node.maintenance", node="n1", deadline_s=60)
    assert (node["admin"], node["goal"]) == ("draining", "maintenance") and node["deadline"] > 0


@pytest.mark.parametrize("codec", Codec)
async def test_what_failed_is_queued_again_once(shell: Shell, codec: Codec) -> None:
    agent = await shell.agent()
    number = await failed_job(shell, agent)
    target = f"{number}.0"
    assert (await shell.ask("alice", "job.retry", codec=codec, target=target))["tasks"] == 1
    await until(lambda: len([ref for ref in agent.assigned() if ref.job == number]) == 2)
    fences = [ref.fence for ref in agent.assigned() if ref.job == number]
    assert fences == sorted(set(fences))
    again = await shell.ask("alice", "job.retry", codec=codec, target=str(number))
    assert again.get("tasks", 0) == 0


@pytest.mark.parametrize("codec", Codec)
@pytest.mark.parametrize("operation", STEERING)
async def test_a_node_is_steered_by_operators(shell: Shell, codec: Codec, operation: str) -> None:
    await shell.agent()
    told = {"node": "n1", "reason": "disks"} if operation != "node.undrain" else {"node": "n1"}
    for user in ("alice", "rita"):
        before = state(shell)
        assert refusal(await shell.ask(user, operation, codec=codec, **told)) == ("E_FORBIDDEN", 403, "")
        assert state(shell) == before
    first = await shell.ask("olga", operation, codec=codec, **told)
    admin = {
        "node.cordon": "inactive",
        "node.drain": "draining",
        "node.maintenance": "maintenance",  # at once: nothing runs there
        "node.undrain": "active",
    }[operation]
    assert (first["name"], first["admin"]) == ("n1", admin)
    again = await shell.ask("olga", operation, codec=codec, **told)
    assert (again["name"], again["admin"]) == ("n1", admin)


@pytest.mark.parametrize("codec", Codec)
@pytest.mark.parametrize(
    ("operation", "field"),
    [
        ("job.hold", "job"),
        ("job.release", "job"),
        ("job.pause", "job"),
        ("job.resume", "job"),
        ("job.requeue", "target"),
        ("job.retry", "target"),
        ("task.why", "target"),
    ],
)
async def test_what_is_somebody_elses_does_not_exist(
    shell: Shell, codec: Codec, operation: str, field: str
) -> None:
    number = await shell.submit()
    before = state(shell)
    for target in (str(number), "4711"):
        answer = await shell.ask("bob", operation, codec=codec, **{field: target})
        assert refusal(answer) == ("E_NOT_FOUND", 404, f"/{field}")
    assert state(shell) == before
    assert "error" not in await shell.ask("olga", operation, codec=codec, **{field: str(number)})


@pytest.mark.parametrize(
    ("user", "operation", "request_", "expected"),
    [
        ("rita", "job.hold", {"job": "1"}, ("E_FORBIDDEN", 403, "")),
        ("rita", "job.retry", {"target": "1"}, ("E_FORBIDDEN", 403, "")),
        ("rita", "job.plan", {"command": ["true"]}, ("E_FORBIDDEN", 403, "")),
        ("alice", "job.hold", {"job": "1"}, ("E_CONFLICT", 409, "/job")),
        ("alice", "job.release", {"job": "1"}, ("E_CONFLICT", 409, "/job")),
        ("rita", "job.pause", {"job": "1"}, ("E_FORBIDDEN", 403, "")),
        ("alice", "job.pause", {"job": "1"}, ("E_CONFLICT", 409, "/job")),
        ("alice", "job.resume", {"job": "1"}, ("E_CONFLICT", 409, "/job")),
        ("alice", "job.requeue", {"target": "1"}, ("E_CONFLICT", 409, "/target")),
        ("alice", "job.requeue", {"target": "1.0"}, ("E_CONFLICT", 409, "/target")),
        ("alice", "job.retry", {"target": "1.99"}, ("E_NOT_FOUND", 404, "/target")),
        ("olga", "node.drain", {"node": "n1", "deadline_s": -1}, ("E_RANGE", 422, "/deadline_s")),
        ("olga", "node.maintenance", {"node": "n1", "deadline_s": 1e9}, ("E_RANGE", 422, "/deadline_s")),
        ("olga", "node.cordon", {"node": "n1", "deadline_s": 5}, ("E_CONFLICT", 409, "/deadline_s")),
        ("olga", "node.drain", {"node": "n1", "deadline_s": "5m"}, ("E_TYPE", 422, "/deadline_s")),
        ("alice", "task.why", {"target": "1.99"}, ("E_NOT_FOUND", 404, "/target")),
        ("alice", "task.why", {"target": "1.x"}, ("E_ID", 422, "/target")),
        ("olga", "node.drain", {"node": "nowhere"}, ("E_NOT_FOUND", 404, "/node")),
        ("olga", "node.drain", {"node": "n1", "reason": "x" * 501}, ("E_TOO_LARGE", 413, "/reason")),
        ("alice", "job.plan", {"command": []}, ("E_COMMAND", 422, "/command")),
        ("alice", "job.plan", {"command": ["true"], "priority": 99}, ("E_RANGE", 422, "/priority")),
    ],
)
async def test_each_wrong_question_is_told_where(
    shell: Shell, user: str, operation: str, request_: dict[str, Any], expected: tuple[str, int, str]
) -> None:
    """With a job that is over, and a node."""
    assert await failed_job(shell, await shell.agent()) == 1
    before = state(shell)
    assert refusal(await shell.ask(user, operation, **request_)) == expected
    assert state(shell) == before


@pytest.mark.parametrize("codec", Codec)
async def test_a_plan_says_what_a_submission_would_become(shell: Shell, codec: Codec) -> None:
    await shell.agent()
    before = state(shell)
    planned = await shell.ask("alice", "job.plan", codec=codec, command=["true"], array="0-4")
    assert planned["tasks"] == 5 and "error" not in planned
    assert state(shell) == before


@pytest.mark.parametrize(
    "operation",
    ["job.hold", "job.release", "job.pause", "job.resume", "job.requeue", "job.retry", *STEERING],
)
async def test_while_the_database_is_away_nothing_is_steered(shell: Shell, operation: str) -> None:
    await shell.agent()
    number = await shell.submit()
    before = state(shell)[0]
    shell.performer._failing = True
    fields = {"node": "n1"} if operation in STEERING else {"job": str(number)}
    if operation in ("job.retry", "job.requeue"):
        fields = {"target": str(number)}
    answer = await shell.ask("olga", operation, **fields)
    assert refusal(answer)[:2] == ("E_UNAVAILABLE", 503) and answer["error"]["retry_after_s"] > 0
    assert state(shell)[0] == before
    shell.performer._failing = False


async def test_rows_that_cannot_be_read_are_no_retry(shell: Shell, monkeypatch: Any) -> None:
    number = await failed_job(shell, await shell.agent())

    async def away(*_: object, **__: object) -> None:
        raise StoreUnavailable("away")

    monkeypatch.setattr(shell.over, "failed", away)
    before = state(shell)
    answer = await shell.ask("alice", "job.retry", target=str(number))
    assert refusal(answer)[:2] == ("E_UNAVAILABLE", 503) and state(shell) == before
