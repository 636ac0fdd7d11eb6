"""JetStream with the published submissions: kept until acknowledged, given again, lost with its disk.

`Stream` is the server's side and never stops. `Intake` retells `coordinator.submissions`: a key that is
committed or in hand is not entered twice, and a message is acknowledged after the commit that made it a job.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec import Struct

from bus.api import Submitted
from bus.codec import decode_answer, decode_request
from bus.errors import ApiError, DecodeError
from bus.spec import JobSpec
from coordinator.api.jobs import Sealed, seal
from coordinator.registry import Resolved
from coordinator.store.errors import StoreError
from coordinator.submissions import FETCH_S, RETRY_S
from tests.sim.database import Rows
from tests.sim.timeline import Host, Process, Timeline

if TYPE_CHECKING:
    from tests.sim.coordinator import Coordinator
    from tests.sim.network import Network, Responder

ACK_WAIT_S = 30.0
ACKNOWLEDGED = b"+"


class Kept(Struct):
    """A message in the stream; `due_s`: when it is given (again)."""

    key: str
    data: bytes
    due_s: float


class Stream:
    """`acknowledged`: keys its publishers were told of; `destroyed`: wiped; `refused`: dead letters."""

    def __init__(self, timeline: Timeline, network: Network, *, pace: float) -> None:
        self._timeline = timeline
        self._network = network
        self._pace = pace
        self.server = Process(Host(timeline, "nats"))
        self.kept: dict[str, Kept] = {}
        self.acknowledged: set[str] = set()
        self.destroyed: set[str] = set()
        self.refused: set[str] = set()

    def publish(self, data: bytes, respond: Responder, key: str) -> None:
        """A client's; acknowledged once it is kept. A repetition within the stream is not kept twice.

        What was spoilt on its way broke its connection, and is not kept.
        """
        try:
            decode_request("job.submit", data)
        except DecodeError:
            return
        self.kept.setdefault(key, Kept(key, data, self._timeline.now))
        self.acknowledged.add(key)
        respond(ACKNOWLEDGED)

    def wipe(self) -> None:
        """Its data is gone; whatever was a job by then, is one."""
        self.destroyed |= self.kept.keys()
        self.kept.clear()

    def fetch(self) -> list[Kept]:
        """What is due; given again unless somebody concludes it in time."""
        now_s = self._timeline.now
        due = [message for message in self.kept.values() if message.due_s <= now_s]
        for message in due:
            message.due_s = now_s + ACK_WAIT_S * self._pace
        return due

    def conclude(self, data: bytes, key: str, refused: bool) -> None:
        """Acknowledged, or gone to the dead letters."""
        if self.kept.pop(key, None) is not None and refused:
            self.refused.add(key)

    def again(self, data: bytes, key: str) -> None:
        """Not now."""
        message = self.kept.get(key)
        if message is not None:
            message.due_s = self._timeline.now + RETRY_S * self._pace


class Intake:
    """Makes jobs of what the stream keeps, while its coordinator leads."""

    def __init__(self, coordinator: Coordinator, stream: Stream) -> None:
        self._coordinator = coordinator
        self._stream = stream
        self._claimed: set[str] = set()

    def start(self) -> None:
        """Fetch, for as long as the process lives."""
        coordinator = self._coordinator
        coordinator.after(FETCH_S * coordinator.pace, self.start)
        if not coordinator.failing:
            for message in self._stream.fetch() if not self._is_cut else ():
                coordinator.network.send(
                    self._stream.server.host, coordinator, self._take, message.data, message.key
                )

    @property
    def _is_cut(self) -> bool:
        return self._coordinator.host in self._coordinator.network.cut

    def _say(self, what: Any, key: str, *args: Any) -> None:
        self._coordinator.network.send(
            self._coordinator.host, self._stream.server, what, key.encode(), key, *args
        )

    def _take(self, data: bytes, key: str) -> None:
        try:
            spec = decode_request("job.submit", data)
        except DecodeError:
            self._say(self._stream.again, key)  # spoilt on its way to us, not by its sender
            return
        assert isinstance(spec, JobSpec)
        if key in self._claimed:
            return  # its first delivery decides
        sealed = seal(Resolved(spec))
        self._claimed.add(key)

        def looked_up(is_job: bool) -> None:
            if is_job:
                self._settle(key, refused=False)
            else:
                self._enter(key, sealed)

        def failed(error: StoreError) -> None:
            self._claimed.discard(key)
            self._say(self._stream.again, key)

        self._coordinator.connection.call(lambda rows: is_published(rows, key), looked_up, failed)

    def _enter(self, key: str, sealed: Sealed) -> None:
        def answered(data: bytes) -> None:
            try:
                decode_answer(data, Submitted)
            except ApiError as error:
                self._settle(key, refused=not error.error.retryable)
            else:
                self._settle(key, refused=False)

        self._coordinator.enter_job(sealed, answered, message_key=key)

    def _settle(self, key: str, *, refused: bool) -> None:
        self._claimed.discard(key)
        self._say(self._stream.conclude, key, refused)


def is_published(rows: Rows, key: str) -> bool:
    """Whether the message of this key is a job already."""
    return key in rows.messages
