"""What agents send: checked, decoded, handed to the loop; and the inputs that merging tasks ask for.

Whatever cannot be taken is counted, logged and answered with an error, but only into its sender's own inbox.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, nullcontext

from bus import messages, subjects
from bus.artifacts import Kept, KeptReply
from bus.checkpoints import ResumeAsked, ResumeReply, Saved, SavedReply
from bus.children import ChildrenAsked, ChildrenReply
from bus.codec import codec_of, decode_from_agent
from bus.errors import ApiError, BusError, DecodeError, Error, one_line
from bus.refusal import refusal
from bus.replication import Fetch, FetchReply, Held, HeldReply
from bus.results import Progress, ProgressReply
from bus.subjects import NodeSubject, NodeVerb, SubjectError
from bus.transport import Bus, Message, Subscription
from bus.values import NodeName
from coordinator.bounds import check
from coordinator.clock import Clock, uuid7
from coordinator.ingest import Incarnations, WrongSender, check_sender, to_event
from coordinator.loop import Loop, Overloaded
from coordinator.notices import Notices
from coordinator.outputs import Outputs
from coordinator.skew import check_version
from coordinator.store.errors import NotLeader, StoreError
from coordinator.store.reads import Reads
from coordinator.tell import Asker, Replies, away, send

log = logging.getLogger(__name__)

_INPUTS_PAGE_BYTES = 512 * 1024
SKEW_MAX_S = 60.0
_VERBS = (
    NodeVerb.HEARTBEAT,
    NodeVerb.REPORT,
    NodeVerb.REGISTER,
    NodeVerb.USAGE,
    NodeVerb.INPUTS,
    NodeVerb.PROGRESS,
    NodeVerb.KEPT,
    NodeVerb.FETCH,
    NodeVerb.HELD,
    NodeVerb.SAVED,
    NodeVerb.RESUME,
    NodeVerb.CHILDREN,
)

Heard = Progress | Kept | Fetch | Held | Saved | ResumeAsked | ChildrenAsked
HeardReply = ProgressReply | KeptReply | FetchReply | HeldReply | SavedReply | ResumeReply | ChildrenReply
Hear = Callable[[NodeName, Heard], Awaitable[HeardReply]]
"""Keeps what the tasks of a node tell, leave and save, and what it says of its content.

Raises StoreError, ApiError.
"""


class Agents:
    """Subscribes to every node's subjects; `rejected` counts what was not taken. `version` is ours.

    `answering` surrounds what is answered out of memory at once (see `coordinator.leader`): all else goes
    through the loop, where who leads no more can commit nothing. `hear` keeps what tasks tell.
    """

    def __init__(
        self,
        bus: Bus,
        loop: Loop,
        replies: Replies,
        reads: Reads,
        clock: Clock,
        notices: Notices,
        *,
        outputs: Outputs | None = None,
        version: str = "",
        hear: Hear | None = None,
        answering: Callable[[], AbstractAsyncContextManager[None]] = nullcontext,
    ) -> None:
        self._hear = hear
        self._answering = answering
        self._version = version
        self._outputs = outputs
        self._bus = bus
        self._loop = loop
        self._replies = replies
        self._reads = reads
        self._clock = clock
        self._notices = notices
        self._incarnations = Incarnations()
        self._subscriptions: list[Subscription] = []
        self.rejected = 0

    async def start(self) -> None:
        """Listen from here on."""
        for verb in _VERBS:
            subscription = await self._bus.subscribe(subjects.every_node(verb), self._on_message)
            self._subscriptions.append(subscription)

    async def stop(self) -> None:
        while self._subscriptions:
            await self._subscriptions.pop().unsubscribe()

    async def _on_message(self, message: Message) -> None:
        try:
            subject = subjects.parse(message.subject)
        except SubjectError as error:
            self._reject(message, str(error))
            return
        assert isinstance(subject, NodeSubject), "we subscribe to nothing else"
        if message.reply and not subjects.is_own_inbox(message.subject, message.reply):
            self._reject(message, f"reply {message.reply!r} is not the inbox of {subject.node}")
            return
        asker = Asker(message.reply, codec_of(message.data)) if message.reply else None
        try:
            decoded = decode_from_agent(message.data, subject=message.subject)
            check_sender(decoded, subject)
            check(decoded)
            await self._take(subject, decoded, asker)
        except DecodeError as error:
            self._note(subject.node, error.to_error())
            await self._refuse(message, asker, error.to_error())
        except ApiError as error:
            self._note(subject.node, error.error)
            await self._refuse(message, asker, error.error)
        except NotLeader:
            return  # whoever leads now answers
        except (Overloaded, StoreError) as error:
            await self._refuse(message, asker, away(str(error)))

    async def _take(self, subject: NodeSubject, decoded: messages.FromAgent, asker: Asker | None) -> None:
        if isinstance(decoded, messages.InputsRequest):
            if asker is not None:
                async with self._answering():
                    await self._answer_inputs(decoded, asker)
            return
        if isinstance(decoded, Heard):
            if asker is not None and self._hear is not None:
                async with self._answering():
                    await self._answer(asker, await self._hear(subject.node, decoded))
            return
        if isinstance(decoded, messages.Register):
            told = check_version(decoded.version, ours=self._version, node=subject.node)
            self._incarnations.check(decoded, self._loop.cluster.nodes.get(subject.node))
            if told:
                self._notices.note(subject.node, "version_skew", told)
        elif isinstance(decoded, messages.Report) and self._outputs is not None:
            decoded = await self._outputs.checked(decoded)
        elif isinstance(decoded, messages.UsageReport):
            self._check_clock(subject.node, decoded.sampled_at + decoded.age_s)
        elif isinstance(decoded, messages.Heartbeat):
            for fault in decoded.faults:
                self._notices.note(subject.node, "node_fault", f"{subject.node}: {fault}")
        answered = asker is not None and not isinstance(decoded, messages.UsageReport)
        reply = self._replies.expect(asker) if asker is not None and answered else 0
        event = to_event(decoded, sender=subject.node, node_id=uuid7(self._clock.now_s()), reply=reply)
        try:
            self._loop.post(event)
        except Overloaded:
            self._replies.take(reply)
            raise

    def _check_clock(self, node: NodeName, sent_at: float) -> None:
        """Times of agents decide nothing; but people compare them."""
        skew_s = sent_at - self._clock.now_s()
        if abs(skew_s) > SKEW_MAX_S:
            text = f"the clock of {node} is {abs(skew_s):.0f} s {'ahead' if skew_s > 0 else 'behind'}"
            self._notices.note(node, "clock_skew", text)

    def _note(self, node: NodeName, error: Error) -> None:
        kind = "duplicate_agent" if error.code == "E_FENCED" and not error.field else "message_refused"
        self._notices.note(node, kind, f"{node}: {error.code}: {one_line(error)}")

    async def _refuse(self, message: Message, asker: Asker | None, error: Error) -> None:
        self._reject(message, one_line(error))
        if asker is None:
            return
        try:
            await send(self._bus, asker, error)
        except BusError as lost:
            log.warning("answer to %s lost: %s", asker.subject, lost)

    def _reject(self, message: Message, why: str) -> None:
        self.rejected += 1
        log.warning("%s: dropped: %s", message.subject, why)

    async def _answer_inputs(self, request: messages.InputsRequest, asker: Asker) -> None:
        """Only the node that holds the attempt learns what it needs. Raises WrongSender, StoreError."""
        task = self._loop.cluster.find_task(request.attempt.task)
        held = [each for each in task.attempts if each.ref == request.attempt] if task is not None else []
        if task is None or not held or held[0].node != request.node:
            message = f"node {request.node} does not hold {request.attempt}"
            raise WrongSender(refusal("E_FENCED", message, field="/attempt"))
        outputs, more = await self._reads.needed_outputs(
            request.attempt.job, task.group.needs, after=request.after, page_bytes=_INPUTS_PAGE_BYTES
        )
        await self._answer(asker, messages.InputsReply(outputs=tuple(outputs), more=more))

    async def _answer(self, asker: Asker, answer: messages.ToAgentReply) -> None:
        try:
            await send(self._bus, asker, answer)
        except BusError as lost:
            log.warning("an answer to %s: %s; the agent will ask again", asker.subject, lost)
