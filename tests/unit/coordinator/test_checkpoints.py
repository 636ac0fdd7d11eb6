"""Checkpoints at the coordinator's doors: what nodes keep, what attempts go on from, who may ask for what."""

from __future__ import annotations

from typing import Any

import pytest

from bus import messages
from bus.checkpoints import CheckpointFile, ResumeAsked, ResumeReply, Saved, SavedFile, SavedReply
from bus.errors import ApiError
from bus.messages import DropBlobs, OpenStream, StreamReply
from bus.values import AttemptRef, NodeName
from coordinator.checkpoints import check_world
from coordinator.core.effects import EventRecord
from coordinator.store.artifacts import Unnamed
from coordinator.store.checkpoints import Kept, Resumed
from tests.unit.coordinator.fake_agent import FakeAgent
from tests.unit.coordinator.shell import Shell, running_shell

SHA, OTHER = "a" * 64, "b" * 64
FIRST = AttemptRef(1, 0, 1)


async def node(shell: Shell, name: str = "n1") -> FakeAgent:
    agent = await shell.agent(name)

    def answer(command: messages.ToAgent) -> messages.FromAgentReply:
        return StreamReply(node=name) if isinstance(command, OpenStream) else messages.CommandReply(node=name)

    agent.answer = answer
    return agent


def saved(**fields: Any) -> Saved:
    made: dict[str, Any] = {"node": "n1", "attempt": FIRST, "step": 5, "path": "step-5"}
    return Saved(**made | {"files": (SavedFile("step-5/w", SHA, 7),)} | fields)


async def job(shell: Shell, **fields: Any) -> str:
    answer = await shell.ask("alice", "job.submit", command=["true"], **fields)
    return str(answer["number"])


def notes(shell: Shell) -> list[tuple[str, str]]:
    return [(e.event_type, e.message) for e in shell.records if isinstance(e, EventRecord)]


async def test_what_a_node_has_is_kept_and_what_goes_is_told() -> None:
    async with running_shell() as shell:
        agent = await node(shell)
        shell.saved.answer = Kept(id="c9", complete=True, gone=("step-1",))
        reply = await agent.ask(saved(metrics={"loss": 0.5}))
        assert reply == SavedReply(id="c9", complete=True, gone=("step-1",))
        [(on, said)] = shell.saved.saved
        assert (on, said.step, said.metrics) == ("n1", 5, {"loss": 0.5})


async def test_content_that_no_checkpoint_names_is_let_go_beside() -> None:
    async with running_shell() as shell:
        agent = await node(shell)
        shell.saved.answer = Kept(id="c9", complete=True, freed=(SHA,))
        shell.left.without_name = [Unnamed(SHA, NodeName("n1"), 7), Unnamed(OTHER, NodeName("n1"), 7)]
        await agent.ask(saved())
        await shell.checkpoints.settled()
        assert [c.hashes for c in agent.commands if isinstance(c, DropBlobs)] == [(SHA,)]


async def test_what_could_not_be_taken_is_told_its_owner() -> None:
    async with running_shell() as shell:
        agent = await node(shell)
        refused = saved(files=(), code="E_FILETYPE", message="a link")
        assert (await agent.ask(refused)).code == "E_FILETYPE"  # type: ignore[union-attr]
        assert shell.saved.saved == []
        shell.saved.answer = Kept(refused="E_CONFLICT")
        for emergency in (False, True):  # the same step again, at the end, is what one expects
            assert (await agent.ask(saved(emergency=emergency))).code == "E_CONFLICT"  # type: ignore[union-attr]
        kinds = [kind for kind, _ in notes(shell) if kind == "checkpoint_refused"]
        assert len(kinds) == 1  # one a minute of each kind


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"step": -1}, "E_RANGE"),
        ({"files": ()}, "E_RANGE"),
        ({"path": "../x"}, "E_PATH"),
        ({"files": (SavedFile("/etc/passwd", SHA, 7),)}, "E_PATH"),
        ({"files": (SavedFile("w", "no hash", 7),)}, "E_VALUE"),
        ({"files": (SavedFile("w", SHA, -7),)}, "E_RANGE"),
        ({"metrics": {"": 1.0}}, "E_RANGE"),
        ({"metrics": {f"m{n}": 1.0 for n in range(101)}}, "E_RANGE"),
        ({"files": (), "code": "E_X" * 1000}, "E_RANGE"),
        ({"node": "n2"}, "E_NODE_KEY"),
    ],
)
async def test_what_no_agent_in_its_right_mind_sends(fields: dict[str, Any], code: str) -> None:
    async with running_shell() as shell:
        agent = await node(shell)
        with pytest.raises(ApiError) as caught:
            await agent.ask(saved(**fields))
        assert caught.value.error.code == code and shell.saved.saved == []


async def test_an_attempt_hears_from_what_it_goes_on() -> None:
    async with running_shell() as shell:
        agent = await node(shell)
        assert await agent.ask(ResumeAsked(node="n1", attempt=FIRST)) == ResumeReply()
        shell.saved.resumed = Resumed(id="c1", step=5, path="step-5", passed=1)
        shell.saved.listed = [CheckpointFile(rank=0, name="step-5/w", sha256=SHA, size=7, nodes=["n1"])]
        reply = await agent.ask(ResumeAsked(node="n1", attempt=FIRST))
        assert reply == ResumeReply(id="c1", step=5, path="step-5", files=(SavedFile("step-5/w", SHA, 7),))
        assert shell.saved.live == ["n1"]
        assert [kind for kind, _ in notes(shell) if kind == "checkpoint_passed"] == ["checkpoint_passed"]


async def test_an_attempt_that_does_not_count_hears_so() -> None:
    async with running_shell() as shell:
        agent = await node(shell)
        shell.saved.resumed = Resumed(refused="E_FENCED")
        with pytest.raises(ApiError) as caught:
            await agent.ask(ResumeAsked(node="n1", attempt=FIRST))
        assert caught.value.error.code == "E_FENCED"


@pytest.mark.parametrize(("saved_by", "wanted"), [(4, 4), (4, 0)])
def test_as_many_ranks_as_saved_it(saved_by: int, wanted: int) -> None:
    check_world(saved_by, wanted, of="1.0")


def test_another_number_of_ranks_is_refused_with_both() -> None:
    with pytest.raises(ApiError) as caught:
        check_world(4, 2, of="1.0")
    error = caught.value.error
    assert (error.code, error.got, error.expected) == ("E_CKPT", "4 shards", "2, the ranks of 1.0")


async def test_pages_hang_together() -> None:
    async with running_shell() as shell:
        for step in (1, 2, 3):
            shell.saved.add("1.0", step)
        seen, cursor = [], ""
        while True:
            page = await shell.ask("alice", "checkpoint.list", limit=2, cursor=cursor)
            seen += [one["step"] for one in page["checkpoints"]]
            cursor = page["next"]
            if not cursor:
                break
        assert seen == [3, 2, 1]
        assert (await shell.ask("alice", "checkpoint.list", limit=0))["error"]["code"] == "E_RANGE"
        assert (await shell.ask("alice", "checkpoint.list", cursor="x"))["error"]["code"] == "E_CURSOR"


async def test_it_is_found_by_task_step_and_id() -> None:
    async with running_shell() as shell:
        await job(shell)
        one = shell.saved.add("1.0", 5)
        shell.saved.add("1.0", 6)
        for text in ("1.0@5", one.id, one.id[:8]):
            answer = await shell.ask("alice", "checkpoint.show", checkpoint=text)
            assert answer["checkpoint"]["step"] == 5
        for text, code in (("1.0@7", "E_NOT_FOUND"), ("00000000", "E_NOT_FOUND"), ("?", "E_NOT_FOUND")):
            answer = await shell.ask("alice", "checkpoint.show", checkpoint=text)
            assert answer["error"]["code"] == code
        shell.saved.add("1.0", 7, id=one.id[:8] + "-1111-0000-0000-000000000000")
        answer = await shell.ask("alice", "checkpoint.show", checkpoint=one.id[:8])
        assert answer["error"]["code"] == "E_AMBIGUOUS"


async def test_the_best_and_which_metrics_there_are() -> None:
    async with running_shell() as shell:
        await job(shell)
        shell.saved.add("1.0", 5, metrics={"loss": 0.5})
        shell.saved.add("1.0", 6, metrics={"loss": 0.25})
        best = await shell.ask("alice", "checkpoint.best", target="1", metric="loss")
        worst = await shell.ask("alice", "checkpoint.best", target="1", metric="loss", most=True)
        assert (best["step"], worst["step"]) == (6, 5)
        answer = await shell.ask("alice", "checkpoint.best", target="1", metric="los")
        assert (answer["error"]["code"], answer["error"]["hint"]) == ("E_NOT_FOUND", "they have loss")


async def test_only_a_complete_one_of_the_task_itself_is_used() -> None:
    async with running_shell() as shell:
        await job(shell)
        await job(shell)
        shell.saved.add("1.0", 5)
        shell.saved.add("2.0", 6)
        shell.saved.add("1.0", 7, complete=False, ranks=1, world_size=2)
        shell.saved.add("1.0", 8, ranks=4, world_size=4)
        used = await shell.ask("alice", "checkpoint.use", task="1.0", checkpoint="1.0@5")
        assert used["chosen"] is True
        refused = []
        for checkpoint in ("2.0@6", "1.0@7", "1.0@8"):
            error = (await shell.ask("alice", "checkpoint.use", task="1.0", checkpoint=checkpoint))["error"]
            refused.append((error["code"], error["got"], error["expected"]))
        assert refused == [
            ("E_CKPT", "2.0", "1.0"),
            ("E_CKPT", "1 of 2 ranks", "all ranks"),
            ("E_CKPT", "4 shards", "1, the ranks of 1.0"),
        ]


async def test_removed_content_is_let_go() -> None:
    async with running_shell() as shell:
        agent = await node(shell)
        await job(shell)
        shell.saved.add("1.0", 5)
        shell.saved.freed = [SHA]
        shell.left.without_name = [Unnamed(SHA, NodeName("n1"), 7)]
        assert (await shell.ask("alice", "checkpoint.remove", checkpoint="1.0"))["step"] == 5
        await shell.checkpoints.settled()
        assert [c.hashes for c in agent.commands if isinstance(c, DropBlobs)] == [(SHA,)]


async def test_its_files_come_from_a_node_that_answers() -> None:
    async with running_shell() as shell:
        await node(shell)
        await job(shell)
        shell.saved.add("1.0", 5)
        shell.saved.listed = [
            CheckpointFile(rank=0, name="step-5/w", sha256=SHA, size=7, nodes=["gone", "n1"]),
            CheckpointFile(rank=0, name="step-5/v", sha256=OTHER, size=7, nodes=["gone"]),
        ]
        asked = {"checkpoint": "1.0", "name": "step-5/w", "rank": 0, "offset": 3}
        opened = await shell.ask("alice", "stream.open", kind="blob.get", params=asked)
        assert (opened["node"], opened["params"]) == ("n1", {"sha256": SHA, "offset": 3})
        refused = []
        for wrong in ({"name": "step-5/x"}, {"name": "step-5/v"}, {"offset": -1}):
            answer = await shell.ask("alice", "stream.open", kind="blob.get", params=asked | wrong)
            refused.append(answer["error"]["code"])
        assert refused == ["E_NOT_FOUND", "E_UNAVAILABLE", "E_TYPE"]
