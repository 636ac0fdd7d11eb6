"""`stream.open`: who may have a session with what, what the node is told, and what the audit keeps."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from bus import messages
from bus.messages import OpenStream, StreamReply
from bus.values import AttemptRef, NodeName
from coordinator.store.reads import AttemptPlace
from tests.unit.coordinator.fake_agent import FakeAgent
from tests.unit.coordinator.shell import Shell, running_shell


@pytest.fixture
async def shell() -> AsyncIterator[Shell]:
    async with running_shell() as running:
        yield running


async def refused(shell: Shell, user: str, operation: str, **fields: Any) -> dict[str, Any]:
    error: dict[str, Any] = (await shell.ask(user, operation, **fields))["error"]
    return error


async def running_task(shell: Shell) -> FakeAgent:
    """Job 1 of alice runs on n1, whose agent takes every session."""
    agent = await shell.agent()

    def answer(command: messages.ToAgent) -> messages.FromAgentReply:
        if isinstance(command, OpenStream):
            return StreamReply(node="n1")
        return messages.CommandReply(node="n1")

    agent.answer = answer
    await shell.submit(command=["sleep", "60"])
    shell.reads.place = AttemptPlace(NodeName("n1"), 1, ended=False)
    return agent


def commands(agent: FakeAgent) -> list[OpenStream]:
    return [command for command in agent.commands if isinstance(command, OpenStream)]


async def test_an_owner_has_a_session_and_the_audit_a_line(shell: Shell) -> None:
    agent = await running_task(shell)
    answer = await shell.ask(
        "alice", "stream.open", kind="pty", task="1", params={"rows": 50, "columns": 132}
    )
    assert answer["up"] == f"corral.s.alice.n1.{answer['stream']}.up"
    assert answer["down"] == f"corral.s.alice.n1.{answer['stream']}.down"
    assert (answer["node"], answer["task"], answer["attempt"]) == ("n1", "1.0", 1)
    [command] = commands(agent)
    assert (command.user, command.kind, command.epoch) == ("alice", "pty", 7)
    assert command.attempt == AttemptRef(1, 0, 1) and command.stream == answer["stream"]
    assert command.params == {"rows": 50, "columns": 132, "read_only": False, "offset": -1}
    [(actor, action, target, details)] = shell.granted.rows
    assert (actor, action, target) == ("alice", "session.pty", "1.0")
    assert details["stream"] == answer["stream"] and details["node"] == "n1"


@pytest.mark.parametrize("who", ["olga", "adam"])
async def test_operators_have_sessions_with_everybodys_tasks(shell: Shell, who: str) -> None:
    agent = await running_task(shell)
    answer = await shell.ask(who, "stream.open", kind="tcp", task="1.0", params={"port": 8888})
    assert answer["up"].startswith(f"corral.s.{who}.n1.")
    assert commands(agent)[0].user == who


@pytest.mark.parametrize(("who", "code"), [("bob", "E_NOT_FOUND"), ("rita", "E_FORBIDDEN")])
async def test_others_have_none_and_learn_nothing(shell: Shell, who: str, code: str) -> None:
    agent = await running_task(shell)
    error = await refused(shell, who, "stream.open", kind="pty", task="1.0")
    assert error["code"] == code
    assert not commands(agent) and not shell.granted.rows


@pytest.mark.parametrize(
    ("request_", "code", "field"),
    [
        ({"kind": "telnet", "task": "1.0"}, "E_ENUM", "/kind"),
        ({"kind": "pty"}, "E_REQUIRED", "/task"),
        ({"kind": "pty", "task": "1.0", "params": {"rows": 0}}, "E_RANGE", "/params/rows"),
        ({"kind": "pty", "task": "1.0", "params": {"columns": 1001}}, "E_RANGE", "/params/columns"),
        ({"kind": "pty", "task": "1.0", "params": {"rows": "4"}}, "E_TYPE", "/params"),
        ({"kind": "tcp", "task": "1.0"}, "E_TYPE", "/params"),
        ({"kind": "tcp", "task": "1.0", "params": {"port": 8888, "host": "x"}}, "E_TYPE", "/params"),
        ({"kind": "tcp", "task": "2.0", "params": {"port": 8888}}, "E_NOT_FOUND", "/task"),
    ],
)
async def test_what_cannot_be_is_refused(
    shell: Shell, request_: dict[str, Any], code: str, field: str
) -> None:
    agent = await running_task(shell)
    error = await refused(shell, "alice", "stream.open", **request_)
    assert (error["code"], error["field"]) == (code, field)
    assert not commands(agent)


@pytest.mark.parametrize("port", [0, 70_000, -1])
async def test_ports_have_bounds(shell: Shell, port: int) -> None:
    await running_task(shell)
    error = await refused(shell, "alice", "stream.open", kind="tcp", task="1", params={"port": port})
    assert (error["code"], error["field"], error["got"]) == ("E_PORT", "/params/port", str(port))
    assert error["expected"] == "1 to 65535"


async def test_a_task_that_does_not_run_has_no_sessions(shell: Shell) -> None:
    await shell.submit()
    error = await refused(shell, "alice", "stream.open", kind="pty", task="1")
    assert (error["code"], error["message"]) == ("E_NOT_RUNNING", "task 1.0 has not started")


async def test_a_node_that_refuses_or_is_silent_is_told_of(shell: Shell) -> None:
    agent = await running_task(shell)
    request = {"kind": "pty", "task": "1"}
    agent.answer = lambda _: StreamReply(node="n1", code="E_NOT_RUNNING", error="task 1.0 is over here")
    assert (await refused(shell, "alice", "stream.open", **request))["code"] == "E_NOT_RUNNING"
    agent.answer = lambda _: messages.CommandReply(node="n1", error="not understood")
    assert (await refused(shell, "alice", "stream.open", **request))["code"] == "E_UNAVAILABLE"
    agent.answer = lambda _: b"no message"
    assert (await refused(shell, "alice", "stream.open", **request))["retryable"]
