"""Content from one agent's store to another's, over the cluster's own NATS: MB and small files a second.

Two processes: one holds and sends, this one asks, fetches and keeps, as an agent does (hashes, syncs and
all). Who may fetch what is granted at once: what the coordinator takes for that is no part of it.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import uvloop

from agent.blobs import BlobStore
from agent.core.keeping import Limits
from agent.peers import Peers, Wanted
from agent.streams.blobs import BlobStreams
from agent.streams.server import StreamServer
from bus import subjects
from bus.codec import decode_to_agent, encode
from bus.connection import NatsBus
from bus.credentials import parse_credentials
from bus.messages import OpenStream
from bus.replication import SEND, Fetch, FetchReply
from bus.subjects import NodeVerb
from bus.transport import Message
from tests.bench.cluster import Cluster
from tests.bench.figures import Figure, Sizes

HOLDER, ASKER = "bench-holder", "bench-asker"
SMALL_BYTES = 4096
MB = 1_000_000


class Granted(Peers):
    """Has the holder open what it wants by itself: the cluster's coordinator knows nothing of it."""

    def __init__(self, bus: NatsBus, granter: NatsBus, store: BlobStore) -> None:
        super().__init__(bus, ASKER, store)
        self._granter = granter
        self._names = itertools.count()

    async def _ask(self, request: Fetch) -> FetchReply:
        stream = f"bench_{next(self._names)}"
        blobs = [list(pair) for pair in request.blobs]
        command = OpenStream(epoch=1, stream=stream, user="", peer=ASKER, kind=SEND, params={"blobs": blobs})
        subject = subjects.node(HOLDER, NodeVerb.COMMAND)
        await self._granter.request(subject, encode(command), timeout_s=10.0)
        return FetchReply(holder=HOLDER, stream=stream, blobs=tuple([sha256 for sha256, _ in request.blobs]))


async def measure(cluster: Cluster, sizes: Sizes) -> list[Figure]:
    """One large blob, several times anew, and many small ones."""
    with tempfile.TemporaryDirectory(prefix="corral-bench-") as name:
        folder = Path(name)
        large = [_fill(folder, sizes.copy_bytes, seed) for seed in range(sizes.repeats)]
        small = [_fill(folder, SMALL_BYTES, 100 + seed) for seed in range(sizes.copied_files)]
        credentials = folder / "holder.creds"
        credentials.write_text(cluster.authority.mint_agent(HOLDER).text)
        arguments = [sys.executable, "-m", "tests.bench.copies", cluster.url, str(credentials), name]
        with subprocess.Popen(arguments, stdout=subprocess.PIPE, env=os.environ) as holder:
            try:
                assert holder.stdout is not None
                holder.stdout.readline()
                return await _measure(cluster, sizes, folder, large, small)
            finally:
                holder.terminate()


async def _measure(
    cluster: Cluster, sizes: Sizes, folder: Path, large: list[Wanted], small: list[Wanted]
) -> list[Figure]:
    bus = await _connect(cluster.url, cluster.authority.mint_agent(ASKER).text)
    granter = await _connect(cluster.url, cluster.authority.mint_coordinator("bench").text)
    store = BlobStore(folder / "asker", limits=Limits(keep_free=0))
    peers = Granted(bus, granter, store)
    rates = []
    for wanted in large:
        begin = time.perf_counter()
        await peers.fetch([wanted], pin="bench")
        rates.append(wanted.size / MB / (time.perf_counter() - begin))
    begin = time.perf_counter()
    await peers.fetch(small, pin="bench")
    files_s = len(small) / (time.perf_counter() - begin)
    await bus.close()
    await granter.close()
    store.close()
    note = (
        f"{sizes.copy_bytes // MB} MB from agent to agent, hashed and synced; an object store on the bus: 25"
    )
    return [
        Figure(name="copies.large", value=max(rates), unit="MB/s", samples=tuple(rates), note=note),
        Figure(name="copies.small", value=files_s, unit="files/s", note=f"of {SMALL_BYTES} bytes"),
    ]


def _fill(folder: Path, size: int, seed: int) -> Wanted:
    """Content in the holder's store."""
    store = BlobStore(folder / "holder", limits=Limits(keep_free=0))
    with store.receive(size) as incoming:
        incoming.write(random.Random(seed).randbytes(size))
        blob = incoming.finish(pin="bench")
    store.close()
    return Wanted(blob.sha256, blob.size)


async def _connect(url: str, credentials: str) -> NatsBus:
    return await NatsBus.connect(url, parse_credentials(credentials), name="bench")


async def _hold(url: str, credentials: Path, folder: Path) -> None:
    """The other process: sends what it is told to open, until it is ended."""
    bus = await _connect(url, credentials.read_text())
    store = BlobStore(folder / "holder", limits=Limits(keep_free=0))
    server = StreamServer(bus, HOLDER, BlobStreams(store, None).kinds)  # type: ignore[arg-type]
    await server.start()

    async def open_stream(message: Message) -> None:
        command = decode_to_agent(message.data)
        assert isinstance(command, OpenStream)
        await bus.publish(message.reply, encode(await server.open(command)))

    await bus.subscribe(subjects.node(HOLDER, NodeVerb.COMMAND), open_stream)
    print("ready", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:  # as an agent's
        runner.run(_hold(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])))
