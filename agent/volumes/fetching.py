"""Sealed files of volumes, brought from the nodes that have them, through the content store."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import BinaryIO

from agent.blobs import BlobStore
from agent.config import Config
from agent.core.events import EndAsked
from agent.executor import Executor
from agent.guard.account import task_account
from agent.peers import Peers, Wanted
from agent.volumes.keeper import Volumes
from agent.volumes.packing import Packer
from agent.volumes.store import VolumeStore

_PIN = "volume"


def make_volumes(config: Config, peers: Peers, store: BlobStore, executor: Executor) -> Volumes:
    """Those of an agent."""
    kept = VolumeStore(config.data / "pools", Packer(task_account()), config.node)
    return Volumes(
        kept,
        config.node,
        held=lambda: executor.ledger.held,
        end=lambda attempts, reason: executor.handle(EndAsked(attempts, reason)),
        fetch=Fetcher(peers, store).fetch,
        scrubs=config.scrubs,
    )


class Fetcher:
    """`fetch` one; what a crash cut short goes on from its last byte."""

    def __init__(self, peers: Peers, store: BlobStore) -> None:
        self._peers = peers
        self._store = store
        for sha256 in store.names:  # brought before we were started, and not taken: a cache from now on
            if _PIN in store.pins(sha256):
                store.unpin(sha256, _PIN)

    @asynccontextmanager
    async def fetch(self, sha256: str, size: int) -> AsyncIterator[BinaryIO]:
        """The file, verified, for as long as this is open.

        Raises ApiError (E_NOT_FOUND, E_FENCED, E_SPACE).
        """
        await self._peers.fetch([Wanted(sha256, size)], pin=_PIN, hurry=False)
        try:
            with self._store.open(sha256) as file:
                yield file
        finally:
            await asyncio.to_thread(self._store.unpin, sha256, _PIN)
            await asyncio.to_thread(self._store.remove, sha256)
