"""1 · Messages to events: who said it is taken from the subject, never from the payload."""

from __future__ import annotations

from collections import deque
from typing import assert_never
from uuid import UUID

from bus.artifacts import Kept
from bus.checkpoints import ResumeAsked, Saved
from bus.children import ChildrenAsked
from bus.errors import ApiError
from bus.messages import FromAgent, Heartbeat, InputsRequest, Register, Report, UsageReport
from bus.refusal import quote, refusal
from bus.replication import Fetch, Held
from bus.results import Progress
from bus.subjects import NodeSubject, NodeVerb
from bus.values import NodeName
from coordinator.core.effects import ReplyToken
from coordinator.core.events import (
    AgentBeat,
    AgentRegistered,
    Event,
    TasksReported,
    UsageSeen,
)
from coordinator.core.model import Node


class WrongSender(ApiError):
    """An agent spoke for another node, of another matter, or of an attempt that it does not hold."""


_PAST_KEPT = 8  # incarnations of a node that are not taken back

_KINDS: dict[NodeVerb, type[FromAgent]] = {
    NodeVerb.REGISTER: Register,
    NodeVerb.HEARTBEAT: Heartbeat,
    NodeVerb.USAGE: UsageReport,
    NodeVerb.REPORT: Report,
    NodeVerb.INPUTS: InputsRequest,
    NodeVerb.PROGRESS: Progress,
    NodeVerb.KEPT: Kept,
    NodeVerb.FETCH: Fetch,
    NodeVerb.HELD: Held,
    NodeVerb.SAVED: Saved,
    NodeVerb.RESUME: ResumeAsked,
    NodeVerb.CHILDREN: ChildrenAsked,
}


def check_sender(message: FromAgent, sender: NodeSubject) -> None:
    """What was said must be what its subject is for, of the node itself. Raises WrongSender."""
    if not isinstance(message, _KINDS[sender.verb]):
        message_kind = type(message).__name__
        raise WrongSender(refusal("E_SUBJECT", f"{message_kind} sent as {sender.verb}", status=403))
    if message.node != sender.node:
        raise WrongSender(
            refusal(
                "E_NODE_KEY", field="/node", got=quote(message.node), expected=f"{sender.node}, the key's"
            )
        )


class Incarnations:
    """Which agent processes of each node have been replaced, and do not come back."""

    def __init__(self) -> None:
        self._past: dict[str, deque[str]] = {}

    def check(self, register: Register, known: Node | None) -> None:
        """Of two live agents with one key the younger one stays. Raises WrongSender."""
        if known is None or known.incarnation == register.incarnation:
            return
        past = self._past.setdefault(register.node, deque(maxlen=_PAST_KEPT))
        if register.incarnation in past:
            message = f"another agent of {register.node} has taken its place"
            hint = "one machine, one agent: stop this one, or give it a name and a key of its own"
            raise WrongSender(refusal("E_FENCED", message, hint=hint))
        past.append(known.incarnation)


def to_event(
    message: Heartbeat | Report | UsageReport | Register,
    *,
    sender: NodeName,
    node_id: UUID,
    reply: ReplyToken,
) -> Event:
    """The event that an agent's message means; `node_id` is used if the node is new."""
    match message:
        case Heartbeat():
            return AgentBeat(
                node=sender,
                incarnation=message.incarnation,
                sequence=message.sequence,
                load=message.load,
                live=message.live,
                paused=message.paused,
                preparing=message.preparing,
                leaving=message.leaving,
                gpus=message.gpus,
                reply=reply,
            )
        case Report():
            return TasksReported(node=sender, sequence=message.sequence, events=message.events, reply=reply)
        case UsageReport():
            samples = tuple((sample.attempt, sample.usage) for sample in message.tasks)
            return UsageSeen(
                node=sender,
                usage=message.usage,
                load=message.load,
                tasks=samples,
                gpus=message.gpus,
                log=message.log,
                age_s=message.age_s,
            )
        case Register():
            return _registered(message, sender, node_id, reply)
        case _:
            assert_never(message)


def _registered(message: Register, sender: NodeName, node_id: UUID, reply: ReplyToken) -> AgentRegistered:
    return AgentRegistered(
        node=sender,
        node_id=node_id,
        incarnation=message.incarnation,
        boot_id=message.boot_id,
        version=message.version,
        capacity=message.capacity,
        inventory=message.inventory,
        kind=message.kind,
        labels=message.labels,
        roles=message.roles,
        tools=message.tools,
        capabilities=message.capabilities,
        live=message.live,
        reply=reply,
    )
