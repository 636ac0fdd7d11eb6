"""A program finds the cluster by its data folder alone, and speaks in the name of its credentials."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from pathlib import Path

import pytest

from bus import subjects
from bus.api import Cluster, JobChanged, TaskCounts
from bus.client import Client
from bus.codec import Codec, answer, codec_of, decode_request, encode
from bus.connection import NatsBus
from bus.errors import ApiError, CredentialsError, Error, Forbidden, NoResponders
from bus.layout import ClientSettings, Layout, write_client_settings, write_secret
from bus.transport import Message
from bus.values import JobState, Resources, Role
from tests.fixtures_nats import NatsServer


@pytest.fixture
def data(nats_server: NatsServer, tmp_path: Path) -> Path:
    """A data folder as `corral up` leaves it, for the user alice."""
    layout = Layout(tmp_path / "data")
    path = layout.credentials("alice")
    write_secret(path, nats_server.authority.mint_user("alice", Role.USER).text)
    write_client_settings(layout, ClientSettings(url=nats_server.url, credentials=str(path), user="alice"))
    return layout.data


async def served(server: NatsServer) -> NatsBus:
    """A coordinator that knows the cluster's state and nothing else."""
    bus = await NatsBus.connect(server.url, server.authority.mint_coordinator(), name="test")
    cluster = Cluster(
        total_nodes=3,
        active_nodes=2,
        jobs={},
        tasks={},
        capacity=Resources(1000),
        allocated=Resources(),
        epoch=4,
        started_at=0.0,
        version="0.1.0",
    )

    async def serve(message: Message) -> None:
        sender = subjects.parse(message.subject)
        assert isinstance(sender, subjects.ApiSubject)
        decode_request(sender.operation, message.data)
        known = cluster if sender.operation == "cluster.status" else Error(code="E_NOT_FOUND", message="no")
        payload, headers = answer(known, codec_of(message.data))
        await bus.publish(message.reply, payload, headers=headers)

    await bus.subscribe(subjects.API_ALL, serve)
    return bus


async def test_by_the_data_folder(nats_server: NatsServer, data: Path) -> None:
    coordinator = await served(nats_server)
    async with Client.connect(data=data) as corral:
        assert corral.user == "alice"
        assert (await corral.cluster()).active_nodes == 2
        with pytest.raises(ApiError):
            await corral.job(7)
    await coordinator.close()


async def test_by_url_and_file(nats_server: NatsServer, data: Path) -> None:
    credentials = Layout(data).credentials("alice")
    async with Client.connect(nats_server.url, credentials) as corral:
        with pytest.raises(NoResponders):
            await corral.cluster()
    credentials.chmod(0o644)
    with pytest.raises(CredentialsError):
        async with Client.connect(nats_server.url, credentials):
            pass


async def test_the_feed_of_ones_own(nats_server: NatsServer, data: Path) -> None:
    coordinator = await served(nats_server)
    changed = JobChanged(number=7, state=JobState.RUNNING, counts=TaskCounts(total=1), at=1.0)
    async with Client.connect(data=data) as corral:
        async with aclosing(corral.watch()) as changes:
            first = asyncio.ensure_future(anext(changes))
            async with asyncio.timeout(10):
                while not first.done():  # until its subscription stands, what is said is lost on it
                    await coordinator.publish(subjects.feed_job("bob", 1), encode(changed, Codec.JSON))
                    await coordinator.publish(subjects.feed_job("alice", 7), encode(changed, Codec.JSON))
                    await coordinator.flush()
            assert first.result() == changed
        async with aclosing(corral.watch(everyone=True)) as changes:
            with pytest.raises(Forbidden):
                await anext(changes)
    await coordinator.close()
