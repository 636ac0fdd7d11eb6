"""The nodes' door: every request gets one answer in its sender's inbox, or changes nothing at all."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from bus import subjects
from bus.codec import Codec, encode
from bus.errors import ApiError, RequestTimeout
from bus.messages import (
    Heartbeat,
    HeartbeatReply,
    InputsReply,
    InputsRequest,
    NeededOutput,
    RegisterReply,
    Report,
    ReportReply,
    UsageReport,
)
from bus.permissions import Permissions
from bus.subjects import NodeVerb
from bus.transport import Message
from bus.values import AttemptRef, Ended, NodeName, Outcome, TaskRef, Usage
from coordinator import loop as loop_module
from coordinator.notices import Notices
from coordinator.store.errors import NotLeader, StoreError, StoreUnavailable
from tests.unit.coordinator.fake_agent import FakeAgent
from tests.unit.coordinator.shell import ANYWHERE, Shell, collect, running_shell, until

SAMPLED_AT = 2_000_000_000.0


@pytest.fixture
async def shell() -> AsyncIterator[Shell]:
    async with running_shell() as running:
        yield running


async def say(shell: Shell, verb: NodeVerb, data: bytes, *, node: str = "n1", own: bool = True) -> Message:
    inbox = "_INBOX_N_n1" if own else "_INBOX_elsewhere"
    bus = shell.hub.connect(node, Permissions(publish=(">",), subscribe=(">",)), inbox)
    return await bus.request(subjects.node(node, verb), data, timeout_s=0.2 if not own else 5.0)


def error_of(message: Message) -> Any:
    return msgspec.json.decode(message.data)["error"]


async def test_a_registration_is_answered_with_the_rules_after_its_commit(shell: Shell) -> None:
    agent = FakeAgent(shell.hub, "n1")
    reply = await agent.register()
    assert isinstance(reply, RegisterReply)
    limits = shell.cluster.limits
    assert (reply.epoch, reply.lease_s, reply.kill_after_s) == (7, limits.lease_s, limits.kill_after_s)
    assert [batch.nodes[0].name for batch in shell.store.batches] == ["n1"]


async def test_an_unknown_agent_is_asked_to_register(shell: Shell) -> None:
    reply = await FakeAgent(shell.hub, "n1").beat()
    assert isinstance(reply, HeartbeatReply) and reply.register_again


async def test_a_report_is_acknowledged_after_its_commit(shell: Shell) -> None:
    agent = await shell.agent()
    number = await shell.submit()
    await until(agent.assigned)
    ended = Ended(attempt=agent.assigned()[0], outcome=Outcome.EXITED, ended_at=1.0, exit_code=0)
    reply = await agent.report(ended, sequence=4)
    assert isinstance(reply, ReportReply) and (reply.acknowledged, reply.drop) == (4, ())
    assert shell.store.batches[-1].job_changes[0].completed == 1
    assert number not in shell.cluster.jobs


async def test_usage_is_recorded_and_never_answered(shell: Shell) -> None:
    agent = await shell.agent()
    report = UsageReport(node="n1", sampled_at=SAMPLED_AT, usage=Usage(cpu_millis=1.0, mem_mib=2.0), load=0.1)
    inbox = await collect(agent.bus, "_INBOX_N_n1.>")
    await agent.bus.publish(subjects.node("n1", NodeVerb.USAGE), encode(report), reply="_INBOX_N_n1.x")
    await until(lambda: any(getattr(record, "usage", None) == report.usage for record in shell.records))
    assert not inbox and not shell.replies._waiting


@pytest.mark.parametrize(
    ("data", "code", "status"),
    [
        (b"", "E_EMPTY", "400"),
        (b"{", "E_JSON", "400"),
        (b"\x81", "E_MSGPACK", "400"),
        (b"{}", "E_", "422"),
        (b'{"type": "dance", "node": "n1"}', "E_", "422"),
        (b" " * (1024 * 1024 + 1), "E_TOO_LARGE", "413"),
        (
            encode(Heartbeat(node="n2", incarnation="i", sequence=1, load=0.0), Codec.JSON),
            "E_NODE_KEY",
            "403",
        ),
        (encode(Heartbeat(node="n1", incarnation="i", sequence=1, load=1e99), Codec.JSON), "E_RANGE", "422"),
        (encode(Report(node="n1", sequence=1, events=()), Codec.JSON), "E_SUBJECT", "403"),
    ],
)
async def test_what_cannot_be_taken_gets_one_error(shell: Shell, data: bytes, code: str, status: str) -> None:
    answer = await say(shell, NodeVerb.HEARTBEAT, data)
    decode = msgspec.json.decode if answer.data[:1] == b"{" else msgspec.msgpack.decode
    assert decode(answer.data)["error"]["code"].startswith(code)
    assert answer.headers["Nats-Service-Error-Code"] == status
    assert shell.agents.rejected == 1
    assert not shell.replies._waiting and not shell.cluster.nodes


async def test_an_answer_never_leaves_for_another_inbox(shell: Shell, caplog: Any) -> None:
    beat = encode(Heartbeat(node="n1", incarnation="i", sequence=1, load=0.0))
    for data in (beat, b"{"):
        with pytest.raises(RequestTimeout):
            await say(shell, NodeVerb.HEARTBEAT, data, own=False)
    assert shell.agents.rejected == 2 and "is not the inbox of n1" in caplog.text


async def test_a_sample_cannot_steer_an_answer_onto_another_node(shell: Shell) -> None:
    steered = await collect(shell.client("alice"), "corral.node.n2.command")
    bus = shell.hub.connect("n1", ANYWHERE, "_INBOX_N_n1")
    request = InputsRequest(node="n1", attempt=AttemptRef(1, 0, 1))
    await bus.publish(subjects.node("n1", NodeVerb.USAGE), encode(request), reply="corral.node.n2.command")
    await until(lambda: shell.agents.rejected)
    assert not steered


async def test_what_wants_no_answer_gets_none(shell: Shell) -> None:
    bus = shell.hub.connect("n1", ANYWHERE, "_INBOX_N_n1")
    await bus.publish(subjects.node("n1", NodeVerb.HEARTBEAT), b"{")
    await bus.publish(
        subjects.node("n1", NodeVerb.INPUTS), encode(InputsRequest(node="n1", attempt=AttemptRef(1, 0, 1)))
    )
    await until(lambda: shell.agents.rejected)
    assert not any(what == "publish" for what, _ in shell.timeline)


async def test_a_subject_that_is_no_node_is_passed_over(shell: Shell) -> None:
    bus = shell.hub.connect("n1", ANYWHERE, "_INBOX_N_n1")
    await bus.publish("corral.node.UPPER.heartbeat", b"{}")
    await until(lambda: shell.agents.rejected)


async def test_a_full_queue_says_try_again_and_forgets_the_asker(shell: Shell, monkeypatch: Any) -> None:
    agent = await shell.agent()
    monkeypatch.setattr(loop_module, "EVENTS_MAX", 0)
    with pytest.raises(ApiError) as caught:
        await agent.beat()
    assert caught.value.error.status == 503
    assert not shell.replies._waiting


# inputs of merging tasks


async def merging(shell: Shell) -> tuple[FakeAgent, AttemptRef]:
    agent = await shell.agent()
    await shell.submit()
    await until(agent.assigned)
    return agent, agent.assigned()[0]


async def test_the_holder_of_an_attempt_gets_its_inputs(shell: Shell) -> None:
    agent, ref = await merging(shell)
    shell.reads.outputs = [NeededOutput(group="map", task=TaskRef(1, 0), output=b"{}")]
    reply = await agent.ask(InputsRequest(node="n1", attempt=ref))
    assert isinstance(reply, InputsReply) and not reply.more
    assert reply.outputs[0].output == b"{}"


async def test_nobody_else_gets_them(shell: Shell) -> None:
    agent, ref = await merging(shell)
    other = await shell.agent("n2")
    for node, attempt in (
        (other, ref),
        (agent, AttemptRef(ref.job, 0, ref.fence + 1)),
        (agent, AttemptRef(9, 9, 9)),
    ):
        with pytest.raises(ApiError) as caught:
            await node.ask(InputsRequest(node=node.name, attempt=attempt))
        assert caught.value.error.code == "E_FENCED"


async def test_inputs_wait_for_the_database(shell: Shell) -> None:
    agent, ref = await merging(shell)
    shell.reads.fault = StoreUnavailable("away")
    with pytest.raises(ApiError) as caught:
        await agent.ask(InputsRequest(node="n1", attempt=ref))
    assert caught.value.error.status == 503 and caught.value.error.retry_after_s


@pytest.mark.parametrize("fault", [StoreUnavailable("cut off"), NotLeader("epoch 7 is over")])
async def test_who_may_lead_no_more_calls_nobody_fenced(shell: Shell, fault: StoreError) -> None:
    """A leader cut off from the database knows nothing of what the next one has placed."""

    @asynccontextmanager
    async def answering() -> AsyncIterator[None]:
        raise fault
        yield

    shell.agents._answering = answering
    agent, ref = await merging(shell)
    unheard = InputsRequest(node="n1", attempt=AttemptRef(ref.job, 0, ref.fence + 1))
    with pytest.raises((ApiError, RequestTimeout)) as caught:
        await agent.ask(unheard, timeout_s=0.2)
    if isinstance(fault, StoreUnavailable):
        assert isinstance(caught.value, ApiError) and caught.value.error.status == 503
    else:
        assert isinstance(caught.value, RequestTimeout), "whoever leads now answers"


@pytest.mark.parametrize("data", [b"{", b"inputs"])
async def test_a_bus_that_goes_away_is_only_logged(shell: Shell, caplog: Any, data: bytes) -> None:
    _, ref = await merging(shell)
    payload = data if data == b"{" else encode(InputsRequest(node="n1", attempt=ref))
    message = Message("corral.node.n1.inputs", payload, "_INBOX_N_n1.x")
    shell.wire.set_connected(False)
    await shell.agents._on_message(message)
    shell.wire.set_connected(True)
    assert "no connection" in caplog.text


def told(shell: Shell, kind: str) -> list[Any]:
    return [record for record in shell.records if getattr(record, "event_type", "") == kind]


async def test_rubbish_of_a_node_is_one_event_a_minute(shell: Shell) -> None:
    """B94: dropped and counted; the first is told, the rest with the next one."""
    for _ in range(5):
        await say(shell, NodeVerb.HEARTBEAT, b"{")
    assert shell.agents.rejected == 5 and len(told(shell, "message_refused")) == 1
    assert "E_JSON" in told(shell, "message_refused")[0].message


async def test_a_wrong_clock_is_noticed_and_its_samples_are_taken(shell: Shell) -> None:
    """B88."""
    agent = await shell.agent()
    for _ in range(3):
        report = UsageReport(
            node="n1",
            sampled_at=shell.clock.now_s() + 3600,
            usage=Usage(cpu_millis=1.0, mem_mib=2.0),
            load=0.1,
        )
        await agent.bus.publish(subjects.node("n1", NodeVerb.USAGE), encode(report))
    await until(lambda: told(shell, "clock_skew"))
    assert "3600 s ahead" in told(shell, "clock_skew")[0].message
    assert shell.agents.rejected == 0


async def test_what_is_wrong_at_a_node_becomes_an_event(shell: Shell) -> None:
    """A full disk is seen there only; told each two seconds, it is written once a minute."""
    agent = FakeAgent(shell.hub, "n1")
    await agent.register(incarnation="i1")
    fault = "state.db cannot be written: database or disk is full"
    for sequence in range(3):
        beat = Heartbeat(node="n1", incarnation="i1", sequence=sequence, load=0.1, faults=(fault,))
        await agent.bus.publish(subjects.node("n1", NodeVerb.HEARTBEAT), encode(beat))
    await until(lambda: told(shell, "node_fault"))
    assert [event.message for event in told(shell, "node_fault")] == [f"n1: {fault}"]


async def test_the_older_of_two_agents_with_one_key_is_fenced(shell: Shell) -> None:
    """B86."""
    agent = FakeAgent(shell.hub, "n1")
    await agent.register(incarnation="older")
    await agent.register(incarnation="younger")
    with pytest.raises(ApiError) as refused:
        await agent.register(incarnation="older")
    assert (
        refused.value.error.code == "E_FENCED" and "a name and a key of its own" in refused.value.error.hint
    )
    assert shell.cluster.nodes["n1"].incarnation == "younger"
    (event,) = told(shell, "duplicate_agent")
    assert event.node_id == shell.cluster.nodes["n1"].id  # whoever sees the node sees the event


@pytest.mark.parametrize(("protocol", "word"), [(0, "older"), (99, "newer")])
async def test_an_agent_of_another_protocol_is_told_what_to_install(
    shell: Shell, protocol: int, word: str
) -> None:
    """B93."""
    agent = FakeAgent(shell.hub, "n1")
    message = {**msgspec.to_builtins(agent.registration()), "protocol": protocol}
    error = error_of(await say(shell, NodeVerb.REGISTER, msgspec.json.encode(message)))
    assert (error["code"], error["got"]) == ("E_VERSION", str(protocol))
    assert word in error["message"] and "install" in error["hint"]


def test_what_is_noticed_is_kept_of_a_bounded_number_of_nodes() -> None:
    records: list[Any] = []
    now_s = 1000.0
    clock: Any = SimpleNamespace(now_s=lambda: now_s)
    notices = Notices(records.extend, clock, {})
    for number in range(5000):
        notices.note(NodeName(f"n{number}"), "message_refused", "x")
    assert len(records) == 5000 and len(notices._seen) == 4096
    notices.note(NodeName("n4999"), "message_refused", "again")
    notices.note(NodeName("n4999"), "clock_skew", "y")
    assert len(records) == 5001
    now_s += 60.0
    notices.note(NodeName("n4999"), "message_refused", "again")
    assert records[-1].message == "again (and 1 more since the last one)"
    assert records[-1].details == {"untold": 1}
