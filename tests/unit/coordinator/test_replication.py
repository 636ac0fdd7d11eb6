"""Copies at the coordinator's doors: kept before they are told, told until they are there, for whom alone."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

import pytest

from bus import messages
from bus.errors import ApiError
from bus.messages import CommandReply, OpenStream, StreamReply
from bus.replication import (
    SEND,
    CopyBlobs,
    Fetch,
    FetchReply,
    HaveBlobs,
    Held,
    HeldBlob,
    HeldReply,
    LackedBlobs,
    ScrubBlobs,
)
from bus.values import AttemptRef, NodeHealth, NodeName, Resources
from coordinator.core.effects import EventRecord, GaugeRecord
from coordinator.core.replication import ReplicaState
from coordinator.doctor import of_copies
from coordinator.replication import REPLACE_AFTER_S
from coordinator.store.errors import NotLeader
from coordinator.store.replicas import Counts
from tests.unit.coordinator.fake_agent import FakeAgent
from tests.unit.coordinator.shell import Shell, running_shell, until

X, Y = "1" * 64, "2" * 64
N1, N2, N3 = map(NodeName, ("n1", "n2", "n3"))
ACTIVE, OUT_OF_SYNC, FAILED = ReplicaState
ROOM = Resources(cpu_millis=2000, mem_mib=4096, storage_mib=1000)


class Node:
    """A registered agent that takes every order; `lacks` is what it says not to have."""

    def __init__(self, agent: FakeAgent) -> None:
        self.agent = agent
        self.lacks: tuple[str, ...] = ()
        self.declines = ""
        agent.answer = self._answer

    def _answer(self, command: messages.ToAgent) -> messages.FromAgentReply:
        match command:
            case OpenStream():
                return StreamReply(node=self.agent.name, code=self.declines, error=self.declines)
            case HaveBlobs(hashes=hashes):
                lacked = tuple(h for h in hashes if h in self.lacks)
                return LackedBlobs(node=self.agent.name, hashes=lacked)
            case _:
                return CommandReply(node=self.agent.name)

    def told(self, kind: type) -> list[Any]:
        return [command for command in self.agent.commands if isinstance(command, kind)]

    async def has(self, *hashes: str, code: str = "") -> tuple[bool, ...]:
        blobs = tuple([HeldBlob(sha256, 5, code) for sha256 in hashes])
        reply = await self.agent.ask(Held(node=self.agent.name, blobs=blobs))
        assert isinstance(reply, HeldReply)
        return reply.counted

    async def fetch(self, *hashes: str, attempt: AttemptRef | None = None, **more: Any) -> FetchReply:
        blobs = tuple([(sha256, 0) for sha256 in hashes])
        asked = Fetch(node=self.agent.name, blobs=blobs, attempt=attempt, **more)
        reply = await self.agent.ask(asked)
        assert isinstance(reply, FetchReply)
        return reply


async def nodes(shell: Shell, *names: str) -> list[Node]:
    return [Node(await shell.agent(name, capacity=ROOM)) for name in names or ("n1", "n2", "n3")]


def events(shell: Shell) -> Iterable[tuple[str, str]]:
    return [(e.event_type, e.severity) for e in shell.records if isinstance(e, EventRecord)]


def gauge(shell: Shell, name: str) -> float:
    return [e.value for e in shell.records if isinstance(e, GaugeRecord) and e.name == name][-1]


async def test_a_copy_is_kept_ordered_and_told_again_until_it_is_there() -> None:
    async with running_shell() as shell:
        n1, n2 = await nodes(shell, "n1", "n2")
        shell.replicas.want(X, "n1")
        await shell.copies.round()
        assert shell.replicas.rows == {X: {N2: OUT_OF_SYNC}}
        await shell.copies.round()
        assert [order.blobs for order in n2.told(CopyBlobs)] == [((X, 5),), ((X, 5),)]
        assert n2.told(CopyBlobs)[0].epoch == 7
        assert gauge(shell, "under_replicated") == 1.0
        assert await n2.has(X) == (True,)
        await shell.copies.round()
        assert shell.replicas.rows == {X: {N2: ACTIVE}}
        assert len(n2.told(CopyBlobs)) == 2 and not n1.told(CopyBlobs)
        assert gauge(shell, "under_replicated") == 0.0


async def test_nothing_is_told_that_was_not_kept() -> None:
    async with running_shell() as shell:
        _, n2 = await nodes(shell, "n1", "n2")
        shell.replicas.want(X, "n1")
        shell.replicas.leads = False
        with pytest.raises(NotLeader):
            await shell.copies.round()
        assert not n2.told(CopyBlobs)


async def test_damage_is_an_event_and_is_repaired() -> None:
    async with running_shell() as shell:
        n1, n2 = await nodes(shell, "n1", "n2")
        shell.replicas.want(X, "n1", "n2")
        await shell.copies.round()
        assert await n1.has(X, code="E_HASH") == (True,)
        assert ("content_damaged", "warning") in events(shell)
        await shell.copies.round()
        assert (shell.replicas.primary[X], shell.replicas.rows[X]) == (N2, {N1: OUT_OF_SYNC})
        assert n1.told(CopyBlobs)[0].blobs == ((X, 5),)
        assert await n1.has(X) == (True,)
        await shell.copies.round()
        assert shell.replicas.rows[X] == {N1: ACTIVE}
        assert not n2.told(CopyBlobs)


async def test_the_loss_of_the_last_good_copy_is_told_once() -> None:
    async with running_shell() as shell:
        (n1,) = await nodes(shell, "n1")
        shell.replicas.want(X, "n1")
        await n1.has(X, code="E_NOT_FOUND")
        for _ in range(3):
            await shell.copies.round()
        assert [event for event in events(shell) if event[0] == "content_lost"] == [("content_lost", "error")]
        assert gauge(shell, "unheld") == 1.0
        assert not n1.told(CopyBlobs)


async def test_a_node_that_began_anew_is_asked_what_it_has() -> None:
    async with running_shell() as shell:
        n1, n2 = await nodes(shell, "n1", "n2")
        shell.replicas.want(X, "n1", "n2")
        await shell.copies.round()
        await shell.copies.round()
        assert len(n1.told(HaveBlobs)) == len(n2.told(HaveBlobs)) == 1
        n2.lacks = (X,)
        await n2.agent.register(incarnation="second", capacity=ROOM)
        await shell.copies.round()
        assert shell.replicas.blobs[X] == {N1}
        assert shell.replicas.rows[X] == {N2: OUT_OF_SYNC}


async def test_a_node_that_stays_away_is_replaced_and_its_copy_dropped_when_it_is_back() -> None:
    async with running_shell() as shell:
        n1, _, n3 = await nodes(shell)
        shell.replicas.want(X, "n1", "n2")
        await shell.copies.round()
        lost = shell.cluster.nodes[N2]
        lost.health = NodeHealth.UNREACHABLE
        await shell.copies.round()
        assert shell.replicas.rows[X] == {N2: ACTIVE}  # it may be back in a moment
        lost.last_beat_s = shell.clock.now_s() - REPLACE_AFTER_S
        await shell.copies.round()
        assert shell.replicas.rows[X] == {N2: FAILED, N3: OUT_OF_SYNC}
        await n3.has(X)
        lost.health = NodeHealth.HEALTHY
        await shell.copies.round()
        assert shell.replicas.rows[X] == {N2: ACTIVE}
        assert [drop.hashes for drop in n3.told(messages.DropBlobs)] == [(X,)]
        assert shell.replicas.blobs[X] == {N1, N2}
        assert not n1.told(messages.DropBlobs)


async def test_who_was_ordered_may_fetch_and_nobody_else() -> None:
    async with running_shell() as shell:
        n1, n2, n3 = await nodes(shell)
        shell.replicas.want(X, "n1")
        shell.replicas.want(Y, "n1")
        shell.replicas.rows = {X: {N2: OUT_OF_SYNC}, Y: {N2: OUT_OF_SYNC}}
        reply = await n2.fetch(X, Y)
        assert (reply.holder, reply.blobs) == ("n1", (X, Y))
        (opened,) = n1.told(OpenStream)
        assert (opened.peer, opened.user, opened.kind, opened.stream) == ("n2", "", SEND, reply.stream)
        assert opened.params == {"blobs": [[X, 0], [Y, 0]]} and opened.epoch == 7
        with pytest.raises(ApiError, match="not for node n3") as refused:
            await n3.fetch(X)
        assert refused.value.error.code == "E_FENCED"
        lost = shell.cluster.nodes[N1]
        lost.health, lost.last_beat_s = NodeHealth.UNREACHABLE, 0.0
        with pytest.raises(ApiError, match="no node that has it answers"):
            await n2.fetch(X)


async def test_an_attempt_may_fetch_what_is_of_its_task_where_it_is() -> None:
    async with running_shell() as shell:
        n1, n2 = await nodes(shell, "n1", "n2")
        await shell.submit(resources={"cpu": 2})
        await until(lambda: n1.agent.assigned() or n2.agent.assigned())
        [(on, attempt)] = [(node, ref) for node in (n1, n2) for ref in node.agent.assigned()]
        other = n2 if on is n1 else n1
        shell.replicas.want(X, other.agent.name, task=str(attempt.task))
        shell.replicas.want(Y, other.agent.name, task="9.0")
        assert (await on.fetch(X, attempt=attempt)).holder == other.agent.name
        for asked, sha256, ref in (
            (other, X, attempt),
            (on, Y, attempt),
            (on, X, None),
            (on, X, AttemptRef(9, 0, 1)),
        ):
            with pytest.raises(ApiError) as refused:
                await asked.fetch(sha256, attempt=ref)
            assert refused.value.error.code == "E_FENCED"


async def test_what_nobody_has_is_said_and_who_does_not_answer_is_an_outage() -> None:
    async with running_shell() as shell:
        n1, n2 = await nodes(shell, "n1", "n2")
        shell.replicas.want(X)
        shell.replicas.rows = {X: {N2: OUT_OF_SYNC}}
        with pytest.raises(ApiError) as refused:
            await n2.fetch(X)
        assert refused.value.error.code == "E_NOT_FOUND"
        shell.replicas.want(X, "n1")
        n1.declines = "E_NOT_FOUND"
        with pytest.raises(ApiError) as refused:
            await n2.fetch(X)
        assert refused.value.error.code == "E_UNAVAILABLE" and refused.value.error.retryable
        n1.declines = ""
        assert (await n2.fetch(X, avoid=("n1",))).holder == "n1"  # rather the one than none


@pytest.mark.parametrize(
    "message",
    [
        Fetch(node="n1", blobs=()),
        Fetch(node="n1", blobs=(("../x", 0),)),
        Fetch(node="n1", blobs=((X, -1),)),
        Fetch(node="n1", blobs=((X, 0),) * 65),
        Held(node="n1", blobs=(HeldBlob("x", 1),)),
        Held(node="n1", blobs=(HeldBlob(X, -1),)),
        Held(node="n1", blobs=(HeldBlob(X, 1, "E_WHATEVER"),)),
        Held(node="n1", blobs=(HeldBlob(X, 1),) * 501),
        Held(node="n2", blobs=()),
    ],
)
async def test_what_no_agent_in_its_right_mind_says_is_refused(message: Fetch | Held) -> None:
    async with running_shell() as shell:
        (n1,) = await nodes(shell, "n1")
        with pytest.raises(ApiError) as refused:
            await n1.agent.ask(message)
        assert refused.value.error.code in ("E_RANGE", "E_VALUE", "E_NODE_KEY")


async def test_copies_are_listed() -> None:
    async with running_shell() as shell:
        await nodes(shell, "n1", "n2")
        shell.replicas.want(X, "n1")
        shell.replicas.want(Y, "n1", "n2")
        await shell.copies.round()
        said = await shell.ask("alice", "replica.list", limit=1)
        assert (said["replicas"][0]["node"], said["total"], said["lacking"], said["lost"]) == ("n2", 2, 1, 0)
        assert said["next"] == said["replicas"][0]["id"]
        said = await shell.ask("alice", "replica.list", under=True)
        assert [(one["sha256"], one["copies"], one["nodes"]) for one in said["under"]] == [(X, 1, ["n1"])]
        assert said["next"] == ""
        for fields, code in (
            ({"limit": 0}, "E_RANGE"),
            ({"state": "fine"}, "E_ENUM"),
            ({"node": "n9"}, "E_NOT_FOUND"),
            ({"cursor": "x"}, "E_CURSOR"),
            ({"target": "77"}, "E_NOT_FOUND"),
        ):
            assert (await shell.ask("alice", "replica.list", **fields))["error"]["code"] == code


async def test_an_operator_has_nodes_look_at_all_they_have() -> None:
    async with running_shell() as shell:
        n1, n2 = await nodes(shell, "n1", "n2")
        assert (await shell.ask("alice", "replica.scrub"))["error"]["code"] == "E_FORBIDDEN"
        said = await shell.ask("olga", "replica.scrub", node="n2")
        assert said["nodes"] == ["n2"] and said["unanswered"] == {}
        assert len(n2.told(ScrubBlobs)) == 1 and not n1.told(ScrubBlobs)
        n1.agent.answer = lambda command: CommandReply(node="n1", error="busy")
        said = await shell.ask("olga", "replica.scrub")
        assert (said["nodes"], said["unanswered"]) == (["n2"], {"n1": "busy"})
        assert (await shell.ask("olga", "replica.scrub", node="n9"))["error"]["code"] == "E_NOT_FOUND"


async def test_a_round_comes_at_once_where_there_is_something_to_copy() -> None:
    """The background sleeps between rounds; what came wakes it."""
    async with running_shell() as shell:
        _, n2 = await nodes(shell, "n1", "n2")
        rounds = asyncio.create_task(shell.copies.run())
        await until(lambda: [e for e in shell.records if isinstance(e, GaugeRecord)])
        shell.replicas.want(X, "n1")
        shell.copies.came()
        await until(lambda: n2.told(CopyBlobs))
        shell.replicas.leads = False
        shell.copies.came()
        await rounds  # whoever leads now goes on


@pytest.mark.parametrize(
    ("counts", "level", "words"),
    [
        (Counts(0, 0, 0, 0), "ok", "0 pieces"),
        (Counts(5, 0, 0, 0), "ok", "all have them"),
        (Counts(5, 2, 10, 0), "warn", "2 of 5 pieces of content lack copies"),
        (Counts(5, 2, 10, 1), "fail", "1 piece of content on no node"),
    ],
)
def test_the_doctor_says_what_would_not_survive(counts: Counts, level: str, words: str) -> None:
    (finding,) = of_copies(counts)
    assert (finding.area, str(finding.level)) == ("copies", level)
    assert words in finding.message and bool(finding.hint) is (level != "ok")
