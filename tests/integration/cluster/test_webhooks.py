"""Webhooks while the coordinator is killed: what was not noted comes again, what was noted does not."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest

from bus.client import Client
from bus.webhooks import ID_HEADER, Webhook
from tests.fixtures_cluster import LiveCluster
from tests.fixtures_nats import NatsServer
from tests.unit.coordinator.receiver import Receiver, receiving

JOBS = 40
STATES = "select id::text, state from corral.webhook_deliveries where webhook_id = $1"


@pytest.fixture(scope="module")
def calling(
    cluster_folder: Path, nats_server: NatsServer, coordinator_dsn: str, postgres_dsn: str
) -> Iterator[LiveCluster]:
    """A cluster that may call this machine."""
    live = LiveCluster(cluster_folder, nats_server, coordinator_dsn, postgres_dsn)
    keys = nats_server.process.folder.parent / "keys"
    live.settings = f'webhook_hosts = ["127.0.0.1"]\nkeys = {json.dumps(str(keys))}\n'
    try:
        live.start({"n1": ["--cpu", "8", "--memory", "2GiB"]})
        yield live
    finally:
        live.stop()


async def add(cluster: LiveCluster, receiver: Receiver) -> Webhook:
    async with cluster.client() as alice:
        return await alice.add_webhook(receiver.url, ["job.completed"])


async def submit(cluster: LiveCluster, jobs: int) -> list[int]:
    async def one(alice: Client) -> int:
        return (await alice.submit(command=["true"])).number

    async with cluster.client() as alice:
        return list(await asyncio.gather(*(one(alice) for _ in range(jobs))))


async def states(cluster: LiveCluster, webhook: Webhook) -> dict[str, str]:
    """The state of each delivery, as the database has it."""
    connection = await asyncpg.connect(cluster.owner_dsn)
    try:
        return dict(await connection.fetch(STATES, webhook.id))
    finally:
        await connection.close()


async def killed_and_back(cluster: LiveCluster) -> None:
    cluster.kill("coordinator")
    cluster.start_coordinator()
    await cluster.settle()


def calls(receiver: Receiver) -> Counter[str]:
    """How often each delivery came."""
    return Counter(call.headers[ID_HEADER] for call in list(receiver.calls))


async def arrived(cluster: LiveCluster, receiver: Receiver, webhook: Webhook, jobs: list[int]) -> None:
    """Until every one of `jobs` was told of, and that is noted."""

    async def all_there() -> bool:
        told = {json.loads(call.body)["job"]["number"] for call in list(receiver.calls)}
        return set(jobs) <= told and set((await states(cluster, webhook)).values()) == {"delivered"}

    await cluster.until(all_there, "all is told of, and noted")


async def test_a_call_under_way_comes_again_as_it_was_and_then_no_more(calling: LiveCluster) -> None:
    """kill -9 while the receiver has the call and has not answered; again once that call is confirmed."""
    with receiving() as receiver:
        webhook = await add(calling, receiver)
        receiver.hang = True
        jobs = await submit(calling, 1)

        async def under_way() -> bool:
            return receiver.now == 1

        await calling.until(under_way, "the receiver is called")
        calling.kill("coordinator")
        receiver.hang = False
        receiver.released.set()

        async def taken() -> bool:
            return len(receiver.calls) == 1

        await calling.until(taken, "the receiver has the call, and nobody to answer")
        assert set((await states(calling, webhook)).values()) == {"waiting"}

        calling.start_coordinator()
        await calling.settle()
        await arrived(calling, receiver, webhook, jobs)
        first, second = receiver.calls
        assert first.headers[ID_HEADER] == second.headers[ID_HEADER]
        assert first.body == second.body

        await killed_and_back(calling)
        await arrived(calling, receiver, webhook, await submit(calling, 1))
        assert sorted(calls(receiver).values()) == [1, 2], "what was confirmed is not sent again"


async def test_a_flood_of_calls_cut_off_loses_none_and_repeats_only_what_was_not_noted(
    calling: LiveCluster,
) -> None:
    """kill -9 amid many: those noted by then came once, all others at least once and always the same."""
    with receiving() as receiver:
        webhook = await add(calling, receiver)
        jobs = await submit(calling, JOBS)

        async def some() -> bool:
            return len(receiver.calls) >= JOBS // 4

        await calling.until(some, "calls come")
        calling.kill("coordinator")
        noted = {ident for ident, state in (await states(calling, webhook)).items() if state == "delivered"}
        before = calls(receiver)
        assert noted <= set(before)

        calling.start_coordinator()
        await calling.settle()
        await arrived(calling, receiver, webhook, jobs)
        await killed_and_back(calling)
        await arrived(calling, receiver, webhook, await submit(calling, 1))
        after = calls(receiver)
        assert {ident: after[ident] for ident in noted} == {ident: before[ident] for ident in noted}
        assert len(after) == JOBS + 1
        bodies = {(call.headers[ID_HEADER], call.body) for call in receiver.calls}
        assert len(bodies) == len(after), "the same bytes at every try"
