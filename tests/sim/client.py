"""The people: they submit, ask again until they are answered, and write down what was acknowledged."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from bus.api import Cancelled, Changed, Node, Submitted
from bus.codec import Codec, decode_answer, encode
from bus.errors import ApiError, DecodeError
from tests.sim.network import Network
from tests.sim.plan import Deed, FaultKind, Plan, Submission
from tests.sim.stream import ACKNOWLEDGED, Stream
from tests.sim.timeline import Host, Process

TIMEOUT_S = 5.0
AGAIN_S = 2.0
TRIES_MAX = 4

_ANSWERS: dict[str, type[msgspec.Struct]] = {
    "job.submit": Submitted,
    "job.cancel": Cancelled,
    "node.cordon": Node,
    "node.drain": Node,
    "node.maintenance": Node,
    "node.undrain": Node,
}


class Client(Process):
    """`acknowledged`: the number that was answered for each key."""

    def __init__(
        self,
        host: Host,
        network: Network,
        stream: Stream,
        plan: Plan,
        *,
        on_acknowledged: Callable[[Submitted], None],
    ) -> None:
        super().__init__(host)
        self._stream = stream
        self._spoils = any(fault.kind is FaultKind.BUS_SPOILS for fault in plan.faults)
        self._network = network
        self._pace = plan.pace
        self._on_acknowledged = on_acknowledged
        self._by_request = {each.key for each in plan.submissions if not each.published}
        self.acknowledged: dict[str, Submitted] = {}
        self.refused: dict[str, str] = {}
        self.withheld_jobs: set[str] = set()
        self.withheld_nodes: set[int] = set()
        self._at_end = False
        for submission in plan.submissions:
            send = self._publish if submission.published else self._submit
            self.timeline.at(submission.at_s, self.enter, send, submission)
        for deed in plan.deeds:
            self.timeline.at(deed.at_s, self.enter, self._do, deed, TRIES_MAX)

    @property
    def waiting(self) -> bool:
        """Whether anything was withheld and not given free again."""
        return bool(self.withheld_jobs or self.withheld_nodes)

    def _ask(self, operation: str, fields: dict[str, Any], then: Callable[[Any], None]) -> None:
        def answered(data: bytes | None) -> None:
            if data is None:
                then(None)
                return
            try:
                then(decode_answer(data, _ANSWERS.get(operation, Changed)))
            except ApiError as error:
                then(error)
            except DecodeError as error:
                if not self._spoils:
                    raise AssertionError(f"{operation}: an answer that cannot be read: {error}") from error
                then(None)

        leaders = [(leader, leader.on_client) for leader in self._network.leaders[-1:]]
        self._network.request(
            self,
            leaders,
            encode(fields, Codec.JSON),
            operation,
            timeout_s=TIMEOUT_S * self._pace,
            answered=answered,
        )

    def _submit(self, submission: Submission) -> None:
        def then(reply: Any) -> None:
            if isinstance(reply, Submitted):
                self.acknowledged[submission.key] = reply
                self._on_acknowledged(reply)
            elif isinstance(reply, ApiError) and not reply.error.retryable:
                self.refused[submission.key] = reply.error.code
            else:
                self.after(AGAIN_S * self._pace, self._submit, submission)

        after = self._after(submission)
        if after is None:
            self.after(AGAIN_S * self._pace, self._submit, submission)
        else:
            self._ask("job.submit", {**submission.spec, **after}, then)

    def _after(self, submission: Submission) -> dict[str, Any] | None:
        """The jobs it runs after, by number; those that will never have one are left out.

        None: one of them is not answered yet.
        """
        conditions = []
        for text in submission.after:
            key, colon, condition = text.partition(":")
            known = self.acknowledged.get(key)
            if known is not None:
                conditions.append(f"{known.number}{colon}{condition}")
            elif key in self._by_request and key not in self.refused:
                return None
        return {"after": conditions} if conditions else {}

    def _publish(self, submission: Submission) -> None:
        """Until the stream has acknowledged it."""

        def answered(data: bytes | None) -> None:
            if data != ACKNOWLEDGED:
                self.after(AGAIN_S * self._pace, self._publish, submission)

        stream = self._stream
        self._network.request(
            self,
            [(stream.server, stream.publish)],
            encode(submission.spec, Codec.JSON),
            submission.key,
            timeout_s=TIMEOUT_S * self._pace,
            answered=answered,
        )

    def do(self, operation: str, number: int) -> None:
        """An operation on the job of this number, if this client was told of it."""
        for key, known in self.acknowledged.items():
            if known.number == number:
                self.enter(self._do, Deed(self.timeline.now, operation, key), TRIES_MAX)

    def _do(self, deed: Deed, tries: int) -> None:
        fields = self._fields(deed)
        if fields is None:
            return
        self._note(deed)

        def then(reply: Any) -> None:
            away = reply is None or (isinstance(reply, ApiError) and reply.error.retryable)
            if away and tries > 1:
                self.after(AGAIN_S * self._pace, self._do, deed, tries - 1)
            elif not away:
                self._note_done(deed)

        self._ask(deed.operation, fields, then)

    def _fields(self, deed: Deed) -> dict[str, Any] | None:
        """What is asked; None where its job was never acknowledged."""
        if deed.operation.startswith("node."):
            asked: dict[str, Any] = {"node": f"n{deed.node}", "reason": "because"}
            return asked if deed.deadline_s is None else {**asked, "deadline_s": deed.deadline_s}
        known = self.acknowledged.get(deed.key)
        if known is None:
            return None
        target = f"{known.number}" if deed.index is None else f"{known.number}.{deed.index}"
        name = "target" if deed.operation in ("job.cancel", "job.retry", "job.requeue") else "job"
        return {name: target}

    def _note(self, deed: Deed) -> None:
        if deed.operation in ("job.hold", "job.pause"):
            self.withheld_jobs.add(deed.key)
        elif deed.operation in ("node.drain", "node.cordon", "node.maintenance"):
            self.withheld_nodes.add(deed.node)

    def _note_done(self, deed: Deed) -> None:
        """Given free for good only at the end: before, an older wish may still be on its way."""
        if not self._at_end:
            return
        if deed.operation in ("job.release", "job.resume"):
            self.withheld_jobs.discard(deed.key)
        elif deed.operation == "node.undrain":
            self.withheld_nodes.discard(deed.node)

    def give_free(self) -> None:
        """At the end: whatever was withheld goes on, until that is answered."""
        self._at_end = True
        for key in sorted(self.withheld_jobs):
            self._do(Deed(0.0, "job.release", key), 1)
            self._do(Deed(0.0, "job.resume", key), 1)
        for node in sorted(self.withheld_nodes):
            self._do(Deed(0.0, "node.undrain", node=node), 1)
