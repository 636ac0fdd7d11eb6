"""What agents send: checked, decoded, handed to the loop; and the inputs that merging tasks ask for."""

from __future__ import annotations

import logging

from bus import messages, subjects
from bus.codec import codec_of, decode_from_agent, encode
from bus.errors import BusError, DecodeError
from bus.subjects import NodeSubject, NodeVerb, SubjectError
from bus.transport import Bus, Message, Subscription
from coordinator.clock import Clock, uuid7
from coordinator.ingest import WrongSender, to_event
from coordinator.loop import Loop, Overloaded
from coordinator.store.errors import StoreError
from coordinator.store.reads import Reads
from coordinator.tell import Asker, Replies

log = logging.getLogger(__name__)

_INPUTS_PAGE_BYTES = 512 * 1024
_VERBS = (NodeVerb.HEARTBEAT, NodeVerb.REPORT, NodeVerb.REGISTER, NodeVerb.USAGE, NodeVerb.INPUTS)


class Agents:
    """Subscribes to every node's subjects. What cannot be read is counted, logged and dropped."""

    def __init__(self, bus: Bus, loop: Loop, replies: Replies, reads: Reads, clock: Clock) -> None:
        self._bus = bus
        self._loop = loop
        self._replies = replies
        self._reads = reads
        self._clock = clock
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
            if not isinstance(subject, NodeSubject):
                return
            if subject.verb is not NodeVerb.USAGE and not subjects.is_own_inbox(
                message.subject, message.reply
            ):
                raise WrongSender(f"reply {message.reply!r} is not the inbox of {subject.node}")
            decoded = decode_from_agent(message.data, subject=message.subject)
            await self._take(subject, decoded, message)
        except (SubjectError, DecodeError, WrongSender) as error:
            self.rejected += 1
            log.warning("%s: dropped: %s", message.subject, error)
        except Overloaded as error:
            log.warning("%s: dropped, it will be sent again: %s", message.subject, error)

    async def _take(self, subject: NodeSubject, decoded: messages.FromAgent, message: Message) -> None:
        asker = Asker(message.reply, codec_of(message.data))
        if isinstance(decoded, messages.InputsRequest):
            if decoded.node != subject.node:
                raise WrongSender(f"node {subject.node} asked for inputs of {decoded.node[:63]!r}")
            await self._answer_inputs(decoded, asker)
            return
        reply = self._replies.expect(asker) if message.reply else 0
        event = to_event(decoded, sender=subject.node, node_id=uuid7(self._clock.now_s()), reply=reply)
        if event is not None:
            self._loop.post(event)

    async def _answer_inputs(self, request: messages.InputsRequest, asker: Asker) -> None:
        """Only the node that holds the attempt learns what it needs."""
        task = self._loop.cluster.find_task(request.attempt.task)
        attempt = task.attempt if task is not None else None
        if task is None or attempt is None or attempt.ref != request.attempt or attempt.node != request.node:
            log.warning(
                "node %s asked for the inputs of %s, which it does not hold", request.node, request.attempt
            )
            return
        try:
            outputs, more = await self._reads.needed_outputs(
                request.attempt.job, task.group.needs, after=request.after, page_bytes=_INPUTS_PAGE_BYTES
            )
            page = messages.InputsReply(outputs=tuple(outputs), more=more)
            await self._bus.publish(asker.subject, encode(page, asker.codec))
        except (StoreError, BusError) as error:
            log.warning("inputs of %s: %s; the agent will ask again", request.attempt, error)
