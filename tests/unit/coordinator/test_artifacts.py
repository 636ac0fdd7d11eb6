"""Artifacts at the coordinator's doors: where bytes may go, and what is refused before a node hears of it."""

from __future__ import annotations

from typing import Any

import pytest

from bus import messages
from bus.artifacts import Kept, LeftFile
from bus.messages import OpenStream, StreamReply
from bus.values import AttemptRef
from coordinator.core.effects import EventRecord
from tests.unit.coordinator.fake_agent import FakeAgent
from tests.unit.coordinator.shell import Shell, running_shell

SHA = "a" * 64


async def node(shell: Shell, name: str = "n1") -> FakeAgent:
    agent = await shell.agent(name)

    def answer(command: messages.ToAgent) -> messages.FromAgentReply:
        return StreamReply(node=name) if isinstance(command, OpenStream) else messages.CommandReply(node=name)

    agent.answer = answer
    return agent


async def put(shell: Shell, user: str = "alice", **params: Any) -> dict[str, Any]:
    wanted = {"name": "m.bin", "size": 5, "sha256": SHA} | params
    answer: dict[str, Any] = await shell.ask(user, "stream.open", kind="blob.put", params=wanted)
    return answer


async def get(shell: Shell, **params: Any) -> dict[str, Any]:
    answer: dict[str, Any] = await shell.ask("alice", "stream.open", kind="blob.get", params=params)
    return answer


@pytest.mark.parametrize(
    ("params", "code"),
    [
        *(
            ({"name": name}, "E_PATH")
            for name in ("../x", "/abs", "a//b", "a/./b", "C:\\x", "~/.ssh", "", ".")
        ),
        *(({"name": name}, "E_NAME") for name in ("x" * 256, "a\nb", "a\x1bb")),
        ({"name": 7}, "E_TYPE"),
        ({"size": -1}, "E_RANGE"),
        ({"size": 2**60}, "E_RANGE"),
        ({"size": "5"}, "E_RANGE"),
        ({"sha256": "A" * 64}, "E_VALUE"),
        ({"node": "nowhere"}, "E_UNAVAILABLE"),
    ],
    ids=ascii,
)
async def test_what_cannot_be_brought(params: dict[str, Any], code: str) -> None:
    async with running_shell() as shell:
        agent = await node(shell)
        answer = await put(shell, **params)
        assert answer["error"]["code"] == code and answer["error"]["field"].startswith("/params/")
        assert not [command for command in agent.commands if isinstance(command, OpenStream)]


@pytest.mark.parametrize("name", ["trailing space ", "con", "plots/loss.png", "🙂"])
async def test_an_upload_is_the_askers_and_only_as_announced(name: str) -> None:
    async with running_shell() as shell:
        agent = await node(shell)
        upload = (await put(shell, name=name))["params"]["upload"]
        sent = {"name": name, "upload": upload, "sha256": SHA, "size": 5, "media_type": "text/plain"}
        for wrong in ({"upload": "other"}, {"sha256": "b" * 64}, {"size": 6}, {"name": "other"}):
            reply = await agent.ask(Kept(node="n1", files=(LeftFile(**(sent | wrong)),)))
            assert [file.code for file in reply.files] == ["E_NOT_FOUND"]  # type: ignore[union-attr]
        assert shell.left.kept == []
        await agent.ask(Kept(node="n1", files=(LeftFile(**sent),)))
        [(on, file, owner)] = shell.left.kept
        assert (on, file.name, owner) == ("n1", name, "alice")


async def test_who_may_only_look_brings_and_removes_nothing() -> None:
    async with running_shell() as shell:
        await node(shell)
        assert (await put(shell, "rita"))["error"]["code"] == "E_FORBIDDEN"
        assert (await shell.ask("rita", "artifact.remove", artifact="x"))["error"]["code"] == "E_FORBIDDEN"
        assert (await shell.ask("alice", "artifact.gc"))["error"]["code"] == "E_FORBIDDEN"


async def test_what_could_not_be_taken_is_an_event() -> None:
    async with running_shell() as shell:
        agent = await node(shell)
        file = LeftFile(name="evil", attempt=AttemptRef(1, 0, 1), code="E_FILETYPE", message="a link")
        await agent.ask(Kept(node="n1", files=(file,)))
        told = [record for record in shell.records if isinstance(record, EventRecord)]
        assert [record.event_type for record in told if "evil" in record.message] == ["artifact_refused"]


async def test_content_is_fetched_from_a_node_that_answers() -> None:
    async with running_shell() as shell:
        agent = await node(shell)
        shell.left.add("f", SHA, nodes=["gone", "n1"])
        answer = await shell.ask(
            "alice", "stream.open", kind="blob.get", params={"artifact": "f", "offset": 3}
        )
        assert answer["node"] == "n1"
        [command] = [command for command in agent.commands if isinstance(command, OpenStream)]
        assert command.params == {"sha256": SHA, "offset": 3}
        shell.left.add("g", SHA, nodes=["gone"])
        answer = await shell.ask(
            "alice", "stream.open", kind="blob.get", params={"artifact": "g", "offset": 0}
        )
        assert answer["error"]["code"] == "E_UNAVAILABLE"
        answer = await get(shell, artifact="h")
        assert answer["error"]["code"] == "E_NOT_FOUND"
        answer = await shell.ask(
            "alice", "stream.open", kind="blob.get", params={"artifact": "f", "offset": "1"}
        )
        assert answer["error"]["code"] == "E_TYPE"
