"""Bringing what a task needs before it may start: the outputs of other tasks, page by page, to the guard;
and whatever further steps bring to this node."""

from __future__ import annotations

import asyncio
import errno
import logging
from collections.abc import Awaitable, Callable, Sequence

from agent.core.events import InputsArrived, InputsRefused
from agent.core.model import Order, Phase
from agent.executor import Executor
from agent.words import WORDS_MAX, plain
from bus import subjects
from bus.codec import decode_to_agent_reply, encode
from bus.errors import ApiError, BusError, DecodeError
from bus.messages import InputsReply, InputsRequest
from bus.subjects import NodeVerb
from bus.transport import Bus

_log = logging.getLogger(__name__)

_TIMEOUT_S = 10.0
_RETRY_S = 0.5
_REFUSED_FOR_GOOD = range(400, 500)
_AT_ONCE = 4
_PASSING = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN})
"""Of what a disk says: it may go by. Whatever else, and the attempt does not start here."""


class Nowhere(ApiError):
    """What is needed was looked for where it would be for every node, and is not there."""


Bring = Callable[[Order], Awaitable[dict[str, str]]]
"""Brings something that an order needs; answers the variables that say where it is. Twice is fine.

Raises Nowhere: the task fails. ApiError: of a status below 500 the attempt does not start here, any other is
tried again.
"""


class InputFetcher:
    """`fetch` ends with the attempt handed to the guard, refused, or no longer wanted."""

    def __init__(self, bus: Bus, node: str, executor: Executor, *, also: Sequence[Bring] = ()) -> None:
        self._bus = bus
        self._node = node
        self._executor = executor
        self._also = also
        self._subject = subjects.node(node, NodeVerb.INPUTS)
        self._slots = asyncio.Semaphore(_AT_ONCE)

    async def fetch(self, order: Order) -> None:
        """Try until all is there; an outage only delays."""
        async with self._slots:
            after, more = -1, bool(order.work.needs)
            while self._is_wanted(order):
                try:
                    if more:
                        page = await self._page(order, after)
                        after = max((output.task.index for output in page.outputs), default=after)
                        more = page.more
                    else:
                        env = await self._bring(order)
                        self._executor.handle(InputsArrived(order.attempt, env))
                        return
                except ApiError as error:
                    if error.error.status in _REFUSED_FOR_GOOD:
                        nowhere = isinstance(error, Nowhere)
                        refused = InputsRefused(order.attempt, _why(error), nowhere=nowhere)
                        self._executor.handle(refused)
                        return
                    _log.warning("what %s needs: %s", order.attempt, error)
                    await asyncio.sleep(_RETRY_S)
                except OSError as error:
                    if error.errno not in _PASSING:
                        refused = InputsRefused(order.attempt, _why(error), nowhere=False)
                        self._executor.handle(refused)
                        return
                    _log.warning("what %s needs: %s", order.attempt, error)
                    await asyncio.sleep(_RETRY_S)
                except (BusError, DecodeError) as error:
                    _log.warning("what %s needs: %s", order.attempt, error)
                    await asyncio.sleep(_RETRY_S)

    async def _bring(self, order: Order) -> dict[str, str]:
        env: dict[str, str] = {}
        for bring in self._also:
            env |= await bring(order)
        return env

    async def _page(self, order: Order, after: int) -> InputsReply:
        request = InputsRequest(node=self._node, attempt=order.attempt, after=after)
        answer = await self._bus.request(self._subject, encode(request), timeout_s=_TIMEOUT_S)
        page = decode_to_agent_reply(answer.data, subject=self._subject)
        if not isinstance(page, InputsReply):
            raise BusError(f"a request for inputs was answered with {type(page).__name__}")
        outputs = [
            (needed.group, needed.task.index, needed.output)
            for needed in page.outputs
            if needed.output is not None
        ]
        self._executor.give_inputs(order.attempt, outputs)
        return page

    def _is_wanted(self, order: Order) -> bool:
        held = self._executor.ledger.held.get(order.attempt)
        return held is not None and held.phase is Phase.PREPARING


def _why(error: Exception) -> str:
    return plain(f"what it needs: {error}", WORDS_MAX)
