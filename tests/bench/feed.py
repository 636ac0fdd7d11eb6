"""Handing jobs over, and hearing of their ends on the live feed, which speaks after the commit."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import msgspec

from bus import subjects
from bus.api import JobChanged, Submitted
from bus.client import Client, parse_change
from bus.codec import decode_answer
from bus.subjects import Noun
from bus.transport import Message
from bus.values import JobState

END_TIMEOUT_S = 300.0
SUBMIT_TIMEOUT_S = 30.0


async def hand_over(client: Client, document: Mapping[str, object]) -> Submitted:
    """Submit a job written as in a job file, with no more than it says: 10,000 tasks fit one message so."""
    subject = subjects.api(client.user, "job.submit")
    answer = await client.bus.request(subject, msgspec.json.encode(document), timeout_s=SUBMIT_TIMEOUT_S)
    return decode_answer(answer.data, Submitted, subject=subject)


class Ends:
    """Remembers every end it heard of, so that none is missed that comes before the answer to a submit."""

    def __init__(self) -> None:
        self._ended: dict[int, JobChanged] = {}
        self._waiting: dict[int, asyncio.Future[None]] = {}

    @classmethod
    @asynccontextmanager
    async def heard_by(cls, client: Client) -> AsyncIterator[Ends]:
        """Listens for the time of the block to the jobs of the client's user."""
        ends = cls()
        subject = f"corral.feed.{client.user}.{Noun.JOB}.*"
        subscription = await client.bus.subscribe(subject, ends._on_message)
        await client.bus.flush()
        try:
            yield ends
        finally:
            await subscription.unsubscribe()

    async def of(self, number: int) -> None:
        """Until job `number` has completed, with all its tasks. Raises TimeoutError."""
        if number not in self._ended:
            heard = self._waiting[number] = asyncio.get_running_loop().create_future()
            async with asyncio.timeout(END_TIMEOUT_S):
                await heard
            del self._waiting[number]
        job = self._ended.pop(number)
        assert job.state is JobState.COMPLETED, f"job {number} ended as {job.state}"
        assert job.counts.completed == job.counts.total

    async def _on_message(self, message: Message) -> None:
        change = parse_change(message)
        if not isinstance(change, JobChanged) or not change.state.is_terminal:
            return
        self._ended[change.number] = change
        waiting = self._waiting.get(change.number)
        if waiting is not None and not waiting.done():
            waiting.set_result(None)
