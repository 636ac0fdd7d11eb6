"""What goes out after a commit: answers, commands and the feed; and what becomes of those that are lost."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import msgspec
import pytest

from bus import messages
from bus.codec import BYTES_MAX, Codec, encode
from bus.errors import BusError, TooLarge
from bus.memory import MemoryBus
from bus.messages import Assign, Cancel, CommandReply, LogChunk, Retract
from bus.values import (
    AttemptRef,
    Ended,
    NodeName,
    Outcome,
    Resources,
    Started,
    Stream,
    TaskRef,
    TaskSettings,
    UserName,
)
from coordinator.core.effects import AnswerBeat, AnswerCancel, Fault, Placement, SendRetract
from coordinator.core.events import CommandConfirmed, CommandUnanswered
from coordinator.loop import Overloaded
from coordinator.replies import build_assigns, fault_error
from coordinator.store.rows import Batch
from coordinator.tell import Asker
from tests.unit.coordinator.shell import Shell, collect, running_shell, until

SETTINGS = TaskSettings(resources=Resources(1000, 64))
COMMAND = ("true",)
N1 = NodeName("n1")


@pytest.fixture
async def shell() -> AsyncIterator[Shell]:
    async with running_shell() as running:
        yield running


def placement(
    index: int = 0, *, task_input: bytes | None = None, settings: TaskSettings = SETTINGS
) -> Placement:
    return Placement(
        attempt=AttemptRef(1, index, 1),
        settings=settings,
        command=COMMAND,
        job_id=UUID(int=1 << 64),
        owner=UserName("alice"),
        needs=(),
        waiting=False,
        gpus=(),
        array_index=index,
        input=task_input,
    )


# assignments


def test_tasks_of_one_kind_share_one_body() -> None:
    (assign,) = build_assigns([placement(i) for i in range(1000)], epoch=3)
    assert assign.epoch == 3 and len(assign.bodies) == 1 and len(assign.items) == 1000
    assert {item.body for item in assign.items} == {0}
    assert [item.array_index for item in assign.items] == list(range(1000))


def test_different_kinds_have_bodies_of_their_own() -> None:
    other = TaskSettings(resources=Resources(2000, 64))
    (assign,) = build_assigns([placement(0), placement(1, settings=other), placement(2)], epoch=3)
    assert [item.body for item in assign.items] == [0, 1, 0]
    assert assign.bodies[1].settings is other


def test_messages_are_split_so_that_every_one_can_be_sent() -> None:
    placements = [placement(i, task_input=b'"' + b"x" * 100_000 + b'"') for i in range(50)]
    assigns = list(build_assigns(placements, epoch=3))
    assert len(assigns) > 5
    assert [item.attempt.index for assign in assigns for item in assign.items] == list(range(50))
    assert all(len(assign.bodies) == 1 for assign in assigns)
    assert all(len(encode(assign)) <= BYTES_MAX for assign in assigns)


def test_nothing_to_place_is_no_message() -> None:
    assert list(build_assigns([], epoch=3)) == []


async def test_a_confirmed_assignment_becomes_an_event(shell: Shell) -> None:
    agent = await shell.agent()
    await shell.submit()
    await until(agent.assigned)
    node = shell.cluster.nodes[N1]
    await until(lambda: all(attempt.confirmed_at for attempt in node.attempts.values()))


@pytest.mark.parametrize(
    "answer", [CommandReply(node="n1", error="disk full"), b"not a message"], ids=["refused", "garbage"]
)
async def test_an_assignment_that_was_not_taken_is_sent_again(shell: Shell, answer: Any) -> None:
    agent = await shell.agent()
    confirm = agent.answer
    agent.answer = lambda command: answer
    await shell.submit()
    await until(agent.assigned)
    (attempt,) = agent.assigned()
    await until(lambda: shell.cluster.nodes[N1].attempts[attempt].unanswered)
    agent.answer = confirm
    await agent.beat()
    await until(lambda: len(agent.assigned()) >= 2)
    assert len(set(agent.assigned())) == 1


async def test_a_node_that_is_not_there_is_not_asked_again_before_it_is_heard() -> None:
    events: list[Any] = []
    shell = Shell()
    shell.teller._post = events.append
    ref = AttemptRef(1, 0, 1)
    await shell.teller._command(N1, Assign(epoch=1, bodies=(), items=()), (ref,))
    assert events == [CommandUnanswered(node=N1, attempts=(ref,))]


async def test_a_full_queue_does_not_break_the_teller(shell: Shell, caplog: Any) -> None:
    agent = await shell.agent()

    def full(event: object) -> None:
        raise Overloaded("full")

    shell.teller._post = full
    await shell.teller._command(N1, Assign(epoch=1, bodies=(), items=()), (AttemptRef(1, 0, 1),))
    assert len(agent.commands) == 1 and "full" in caplog.text


async def test_confirmations_name_their_attempts() -> None:
    async with running_shell() as shell:
        await shell.agent()
        events: list[Any] = []
        shell.teller._post = events.append
        ref = AttemptRef(1, 0, 1)
        await shell.teller._command(N1, Assign(epoch=1, bodies=(), items=()), (ref,))
        assert events == [CommandConfirmed(node=N1, attempts=(ref,))]


async def test_cancel_and_retract_carry_the_epoch(shell: Shell) -> None:
    agent = await shell.agent()
    number = await shell.submit()
    await until(agent.assigned)
    assert (await shell.ask("alice", "job.cancel", target=str(number)))["tasks"] == 1
    await until(lambda: any(isinstance(command, Cancel) for command in agent.commands))
    shell.teller.tell(Batch(number=1), [SendRetract(node=N1, attempts=(AttemptRef(1, 0, 1),))])
    await until(lambda: any(isinstance(command, Retract) for command in agent.commands))
    assert {command.epoch for command in agent.commands} == {7}


# the feed


async def test_the_feed_is_json_and_follows_the_commit(shell: Shell) -> None:
    feed = await collect(shell.client("alice"), "corral.feed.>")
    agent = await shell.agent()
    number = await shell.submit()
    await until(agent.assigned)
    (ref,) = agent.assigned()
    await agent.report(
        Started(attempt=ref, started_at=1.0, pid=1),
        Ended(attempt=ref, outcome=Outcome.EXITED, started_at=1.0, ended_at=2.0, exit_code=3),
    )
    await until(lambda: any(b'"retrying"' in message.data for message in feed))
    lines = [(message.subject, msgspec.json.decode(message.data)) for message in feed]
    task_states = [
        line["state"] for subject, line in lines if subject == f"corral.feed.alice.task.{number}-0"
    ]
    assert task_states == ["assigned", "retrying"]  # one line a commit, however many steps
    totals = {line["counts"]["total"] for subject, line in lines if ".job." in subject}
    assert totals == {1}
    assert any(subject == "corral.feed._.node.n1" for subject, _ in lines)
    first = shell.published(f"corral.feed.alice.job.{number}")
    assert ("committed", 2) in shell.timeline[:first]


async def test_an_array_speaks_through_its_job(shell: Shell) -> None:
    feed = await collect(shell.client("alice"), "corral.feed.alice.>")
    await shell.submit(array="0-99999")
    await until(lambda: feed)
    assert [message.subject for message in feed] == ["corral.feed.alice.job.1"]


# when the bus is away


async def test_a_lost_answer_does_not_keep_the_others(shell: Shell, monkeypatch: Any, caplog: Any) -> None:
    agent = await shell.agent()
    token = shell.replies.expect(Asker("_INBOX_alice.x", Codec.JSON))
    publish = MemoryBus.publish

    async def failing(self: MemoryBus, subject: str, data: bytes, **more: Any) -> None:
        if subject.startswith(("_INBOX_alice", "corral.feed")):
            raise TooLarge(subject)
        await publish(self, subject, data, **more)

    monkeypatch.setattr(MemoryBus, "publish", failing)
    batch = Batch(number=1, nodes=[_node_row(shell)])
    shell.teller.tell(
        batch, [AnswerCancel(reply=token, tasks=1), SendRetract(node=N1, attempts=(AttemptRef(1, 0, 1),))]
    )
    await until(lambda: any(isinstance(command, Retract) for command in agent.commands))
    await until(lambda: "feed lost" in caplog.text)
    assert "AnswerCancel lost" in caplog.text


def _node_row(shell: Shell) -> Any:
    return next(batch.nodes[0] for batch in shell.store.batches if batch.nodes)


async def test_a_heartbeats_answer_without_a_bus_is_only_logged(shell: Shell, caplog: Any) -> None:
    token = shell.replies.expect(Asker("_INBOX_N_n1.x", Codec.JSON))
    shell.wire.set_connected(False)
    shell.teller.answer_beat(AnswerBeat(reply=token, sequence=1, drop=(), register_again=False))
    await until(lambda: "AnswerBeat lost" in caplog.text)
    shell.wire.set_connected(True)


async def test_an_answer_is_given_once(shell: Shell) -> None:
    inbox = await collect(shell.client("alice"), "_INBOX_alice.>")
    token = shell.replies.expect(Asker("_INBOX_alice.x", Codec.JSON))
    shell.teller.tell(Batch(number=1), [AnswerCancel(reply=token, tasks=n) for n in (1, 2)])
    await until(lambda: inbox)
    assert [message.data for message in inbox] == [b'{"tasks":1,"audit":""}']
    assert not shell.replies._waiting


async def test_closing_waits_for_what_is_on_its_way(shell: Shell) -> None:
    agent = await shell.agent()
    shell.teller.tell(Batch(number=1), [SendRetract(node=N1, attempts=())])
    await shell.teller.close()
    await until(lambda: agent.commands)
    await shell.teller.close()


# output of tasks


async def test_a_log_chunk_is_fetched_from_its_node(shell: Shell) -> None:
    agent = await shell.agent()
    chunk = LogChunk(task=TaskRef(1, 0), fence=2, stream=Stream.STDOUT, offset=3, data=b"abc", size=6)
    agent.answer = lambda command: chunk
    fetched = await shell.teller.fetch_log(
        N1, TaskRef(1, 0), fence=2, stream=Stream.STDOUT, offset=3, limit=10
    )
    assert fetched == chunk
    (command,) = agent.commands
    assert isinstance(command, messages.FetchLog) and (command.offset, command.limit) == (3, 10)


async def test_a_node_that_answers_something_else_is_an_error(shell: Shell) -> None:
    await shell.agent()
    with pytest.raises(BusError, match="something else"):
        await shell.teller.fetch_log(N1, TaskRef(1, 0), fence=2, stream=Stream.STDOUT, offset=0, limit=10)


def test_all_faults_become_one_error() -> None:
    faults = [Fault(code="E_KEY", message="a", status=409), Fault(code="E_RANGE", field="/b", got="3")]
    error = fault_error(faults)
    assert (error.code, error.message, error.status) == ("E_KEY", "a", 409)
    assert [(more.code, more.message, more.field, more.got) for more in error.more] == [
        ("E_RANGE", "out of range", "/b", "3")
    ]


async def test_tasks_that_merely_came_to_be_speak_through_their_job(shell: Shell) -> None:
    feed = await collect(shell.client("alice"), "corral.feed.>")
    await shell.submit(command=None, tasks=[{"command": ["true"]}, {"command": ["true"]}])
    await until(lambda: bool(feed))
    assert [message.subject.split(".")[3] for message in feed] == ["job"]
