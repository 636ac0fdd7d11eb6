"""Tells the running NATS server what has changed beside it: credentials revoked, its certificate renewed."""

from __future__ import annotations

import asyncio
import logging
import time

from bus.errors import CorralError
from coordinator.supervisor.keeper import Keeper
from coordinator.supervisor.services import Machine

log = logging.getLogger("corral.supervisor")

LOOK_S = 0.25
"""The coordinator writes revocations into a file; so much later they hold (and 2 s are promised)."""

RETRY_S = 1.0
"""After a server could not be told: it is down, perhaps for long."""

CERTIFICATE_S = 3600.0


class Refresher:
    """`run` looks at the files for ever; a server that is down takes them at its start anyway."""

    def __init__(self, machine: Machine, nats: Keeper | None) -> None:
        self._machine = machine
        self._nats = nats
        self._seen = self._changed_at()
        self._certificate_at = time.monotonic()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await asyncio.sleep(LOOK_S)
            try:
                await self._look()
            except (CorralError, OSError) as error:
                log.error("the NATS server was not told of a change: %s", error)
                await asyncio.sleep(RETRY_S)

    async def _look(self) -> None:
        changed_at = self._changed_at()
        due = changed_at != self._seen
        if time.monotonic() - self._certificate_at >= CERTIFICATE_S:
            self._certificate_at = time.monotonic()
            due |= await asyncio.to_thread(self._machine.certificate_is_due)
        if self._nats is None:  # somebody else's server, which takes what we push
            if changed_at != self._seen:
                await self._machine.push_claims()
                self._seen = changed_at
            return
        identity = self._nats.status.identity
        if not due or identity is None:
            return
        await asyncio.to_thread(self._machine.refresh_nats, identity.pid)
        self._seen = changed_at
        log.info("the NATS server was told of what is revoked or renewed")

    def _changed_at(self) -> int:
        try:
            return self._machine.revocations.stat().st_mtime_ns
        except FileNotFoundError:
            return 0
