"""`cluster.verify`: the invariants on the live cluster; what looks wrong is looked at again."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from contextlib import AsyncExitStack

from msgspec import Struct

from bus import api
from bus.errors import ApiError, BusError, DecodeError
from bus.messages import Inspection
from bus.refusal import refusal
from bus.values import NodeHealth, NodeName
from coordinator.clock import Clock
from coordinator.core.model import Cluster
from coordinator.core.picture import Picture, picture
from coordinator.core.rebuild import RebuildError
from coordinator.core.verify import Flaw, lasting, memory_flaws, node_flaws, silence_flaws
from coordinator.loop import Loop
from coordinator.store.books import Books, OpenBooks
from coordinator.store.rows import Snapshot, UserRow
from coordinator.tell import Teller

log = logging.getLogger(__name__)

LOOKS = 3
"""A flaw is one that every look finds."""

PAUSE_S = 1.5
"""Between two looks: longer than a report or a command is on its way."""

ASKED_AT_ONCE = 64

Rebuild = Callable[[Snapshot], Cluster]


class Verifier:
    """The handler of `cluster.verify`; one look at a time."""

    def __init__(
        self, loop: Loop, books: Books, teller: Teller, clock: Clock, *, epoch: int, rebuild: Rebuild
    ) -> None:
        self._loop = loop
        self._books = books
        self._teller = teller
        self._clock = clock
        self._epoch = epoch
        self._rebuild = rebuild
        self._busy = asyncio.Lock()

    async def verify(self, user: UserRow, request: Struct) -> Struct:
        """`cluster.verify`."""
        if self._busy.locked():
            raise ApiError(refusal("E_TOO_OFTEN", "somebody else is verifying the cluster just now"))
        async with self._busy:
            return await self._verify()

    async def _verify(self) -> api.Verification:
        started_s = time.monotonic()
        checked, flaws, silent = await self._look()
        for _ in range(LOOKS - 1):
            if not flaws:
                break
            await asyncio.sleep(PAUSE_S)
            checked, again, silent = await self._look()
            flaws = lasting(flaws, again)
        return api.Verification(
            at=self._clock.now_s(),
            epoch=self._epoch,
            checked=checked,
            violations=[_violation(flaw) for flaw in flaws],
            silent=silent,
            took_s=time.monotonic() - started_s,
        )

    async def _look(self) -> tuple[dict[str, int], list[Flaw], list[str]]:
        """How much was compared, what looks wrong, and which nodes said nothing."""
        async with AsyncExitStack() as stack:

            async def open_both() -> tuple[OpenBooks, Picture]:
                books = await stack.enter_async_context(self._books.opened())
                return books, picture(self._loop.cluster)

            books, memory = await self._loop.at_rest(open_both)
            checked = await books.sizes()
            flaws = await books.flaws(epoch=self._epoch)
            snapshot = await books.snapshot()
        try:
            # a hundred thousand jobs take a while: heartbeats are answered meanwhile
            rebuilt = await asyncio.to_thread(lambda: picture(self._rebuild(snapshot)))
        except RebuildError as error:
            hint = "no other coordinator could take over; corral cancel the job, then report this"
            flaws.append(Flaw("I8", "database.rebuild", "a new leader", f"would not start: {error}", hint))
        else:
            flaws += memory_flaws(memory, rebuilt)
        flaws += silence_flaws(self._loop.cluster, now_s=self._clock.now_s())
        seen, of_nodes, silent = await self._ask_nodes()
        checked |= {"live jobs": len(memory.jobs), "nodes asked": len(seen)}
        checked["processes"] = sum(each.processes for found in seen for each in found.running)
        return checked, flaws + of_nodes, silent

    async def _ask_nodes(self) -> tuple[list[Inspection], list[Flaw], list[str]]:
        """What every node in reach runs, against the books before they were asked and after."""
        slots = asyncio.Semaphore(ASKED_AT_ONCE)

        async def ask(node: NodeName) -> Inspection | None:
            async with slots:
                try:
                    found = await self._teller.inspect(node)
                except (BusError, DecodeError) as error:
                    log.warning("node %s was not inspected: %s", node, error)
                    return None
                if found.error is not None:  # it answered, and could not look
                    log.warning("node %s was not inspected: %s", node, found.error)
                    return None
                return found

        before = picture(self._loop.cluster)
        reachable = [
            node.name
            for node in self._loop.cluster.nodes.values()
            if node.health is not NodeHealth.UNREACHABLE
        ]
        answers = await asyncio.gather(*map(ask, reachable))
        after = picture(self._loop.cluster)
        told = [found for found in answers if found is not None]
        flaws = [flaw for found in told for flaw in node_flaws(before, after, found, epoch=self._epoch)]
        silent: list[str] = sorted(after.nodes.keys() - {found.node for found in told})
        return told, flaws, silent


def _violation(flaw: Flaw) -> api.Violation:
    return api.Violation(
        invariant=flaw.invariant, what=f"{flaw.what} ({flaw.check})", object=flaw.object, hint=flaw.hint
    )
