"""The services of one machine: how each is started, and how to see that it is well."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from msgspec import Struct, structs

from bus import own as own_nats
from bus import server as nats_server
from bus import tls
from bus.api import Node
from bus.auth import Authority
from bus.errors import CorralError
from bus.layout import JoinedSettings, Layout, make_agent_folder
from bus.server import NatsProcess
from bus.values import NodeHealth
from coordinator.own_servers import Addresses, OwnServers, check_nats, ready_database, write_include
from coordinator.supervisor.access import Access
from coordinator.supervisor.child import Launch, python
from coordinator.supervisor.coordinators import COORDINATOR, STANDBY, coordinator_service
from coordinator.supervisor.keeper import LaunchFailed, Service, Unhealthy
from coordinator.supervisor.setup import Setup
from sql import server as postgres_server
from sql.errors import ServerFailed
from sql.server import PostgresProcess

POSTGRESQL = "postgresql"
NATS = "nats"
SERVERS = (POSTGRESQL, NATS, COORDINATOR, STANDBY)
NATS_HUNG_AFTER_S = 30.0
NATS_GREETS_S = 4.0
"""On a machine that is merely slow it greets within this; one that is stopped does not."""

NATS_ACCOUNT = "corral-bus"
"""The unprivileged account of nats-server where Corral was started as root."""

Prepared = TypeVar("Prepared")


class Share(Struct, frozen=True, kw_only=True):
    """What one of several agents on a machine offers, so that together they offer the machine once.

    Whole cores, and at least one, since a task asks for one core if it does not say otherwise: more
    agents than cores share the cores more thinly than they declare.
    """

    cpu_millis: int
    mem_mib: int


class Machine:
    """Makes the services of one data folder; remembers what the later ones need of the earlier ones."""

    def __init__(
        self,
        layout: Layout,
        *,
        setup: Setup,
        authority: Authority,
        access: Access,
        servers: OwnServers,
        agent_options: Sequence[str] = (),
    ) -> None:
        self._layout = layout
        self._setup = setup
        self._authority = authority
        self._access = access
        self._servers = servers
        self._agent_options = agent_options
        self._postgres: PostgresProcess | None = None
        self._nats: NatsProcess | None = None

    def services(self) -> list[Service]:
        """In the order of their start; they are stopped in the opposite order."""
        names = agent_names(self._access.host, self._setup.agents)
        share = share_of_machine(self._setup.agents)
        return [
            *([self._postgresql()] if self._servers.database is None else []),
            *([self._nats_server()] if self._servers.nats is None else []),
            self._coordinator(COORDINATOR),
            *([self._coordinator(STANDBY)] if self._setup.standby else []),
            *(self._agent(name, share) for name in names),
        ]

    def _postgresql(self) -> Service:
        async def launch() -> Launch:
            process = await _prepared(
                lambda: postgres_server.prepare(self._layout.postgres, port=self._setup.postgres_port)
            )
            self._postgres = process
            return Launch(
                argv=process.argv,
                cwd=process.cwd,
                env=process.env,
                log=self._layout.log(POSTGRESQL),
                uid=process.uid,
                gid=process.gid,
            )

        async def probe() -> None:
            process = self._postgres
            assert process is not None
            try:
                await asyncio.to_thread(postgres_server.wait_ready, process, timeout_s=0.0)
            except ServerFailed:
                raise Unhealthy("takes no connections") from None

        return Service(
            name=POSTGRESQL,
            launch=launch,
            probe=probe,
            address=f"127.0.0.1:{self._setup.postgres_port}",
            stop_signal=signal.SIGINT,  # SIGTERM would wait for every session to end by itself
            stop_timeout_s=20.0,
        )

    def _nats_server(self) -> Service:
        def prepare() -> NatsProcess:
            account = postgres_server.account(NATS_ACCOUNT) if os.geteuid() == 0 else None
            return nats_server.prepare(
                self._layout.nats,
                port=self._setup.nats_port,
                authority=self._authority,
                uid=account.uid if account else None,
                gid=account.gid if account else None,
                listen=self._listen(),
            )

        async def launch() -> Launch:
            process = await _prepared(prepare)
            self._nats = process
            return Launch(
                argv=process.argv,
                cwd=process.folder,
                log=self._layout.log(NATS),
                uid=process.uid,
                gid=process.gid,
            )

        async def probe() -> None:
            process = self._nats
            assert process is not None
            try:
                await nats_server.wait_ready(process, timeout_s=NATS_GREETS_S)
            except CorralError:
                raise Unhealthy("does not greet on its port", silent=True) from None

        return Service(
            name=NATS,
            launch=launch,
            probe=probe,
            address=self._access.url.partition("://")[2],
            hung_after_s=NATS_HUNG_AFTER_S,
        )

    @property
    def revocations(self) -> Path:
        """The file of what is revoked."""
        return self._authority.revocations

    def refresh_nats(self, pid: int) -> None:
        """Have the running server take new revocations and a renewed certificate. Blocks for milliseconds."""
        assert self._nats is not None
        self._nats = structs.replace(self._nats, listen=self._listen())
        nats_server.reload(self._nats, authority=self._authority, pid=pid)

    async def push_claims(self) -> None:
        """Have somebody else's server take new revocations. Raises BusError."""
        assert self._servers.nats is not None
        await own_nats.push_claims(self._servers.nats, self._authority)

    def certificate_is_due(self) -> bool:
        """Whether the server's certificate was renewed just now: the running server must be told."""
        return self._nats is not None and self._listen() != self._nats.listen

    def _listen(self) -> nats_server.Listen | None:
        host = self._setup.listen
        if not host:
            return None
        certificate = tls.current_certificate(
            self._layout.tls,
            authority=self._authority.tls,
            names=tls.names_of_machine(host),
            now=datetime.now(UTC),
        )
        return nats_server.Listen(host=host, certificate=certificate)

    def _coordinator(self, name: str) -> Service:
        servers = self._servers

        async def prepare() -> None:
            self._access.write_coordinator_config(await self._addresses(), self._servers)

        async def ask() -> None:
            await _answered(self._access.cluster)

        needs = (
            *((POSTGRESQL,) if servers.database is None else ()),
            *((NATS,) if servers.nats is None else ()),
            *((COORDINATOR,) if name == STANDBY else ()),
        )
        return coordinator_service(self._layout, name, prepare=prepare, ask=ask, needs=needs)

    async def _addresses(self) -> Addresses:
        """The database's, once somebody else's servers were found fit. Raises LaunchFailed."""
        servers = self._servers
        try:
            if servers.nats is not None:
                include = await asyncio.to_thread(write_include, self._layout, self._authority)
                await check_nats(servers.nats, self._authority, include=include)
                await self.push_claims()
            if servers.database is not None:
                return await ready_database(servers, self._layout)
        except CorralError as error:
            raise LaunchFailed(str(error)) from error
        assert self._postgres is not None
        return Addresses(self._postgres.coordinator_dsn, self._postgres.dsn)

    def _agent(self, name: str, share: Share | None) -> Service:
        async def launch() -> Launch:
            self._access.agent_credentials(name)
            options = [*self._agent_options]
            if share is not None:
                options += ["--cpu", f"{share.cpu_millis}m", "--memory", f"{share.mem_mib}MiB"]
            return agent_launch(self._layout, name, url=self._access.url, options=options)

        async def probe() -> str | None:
            node = await _answered(lambda: self._access.node(name))
            if node.health is NodeHealth.DEGRADED and (lost := _lost_links(node)):
                return f"the process is well, its node degraded: no link on {lost}"
            if node.health is not NodeHealth.HEALTHY:
                raise Unhealthy(f"the coordinator sees it as {node.health}")
            return None

        return Service(name=agent_log(name), launch=launch, probe=probe, needs=(COORDINATOR,))


class Member:
    """The services of a machine that joined a cluster elsewhere: its agent."""

    def __init__(self, layout: Layout, joined: JoinedSettings, *, agent_options: Sequence[str] = ()) -> None:
        self._layout = layout
        self._joined = joined
        self._agent_options = agent_options

    def services(self) -> list[Service]:
        """One."""
        joined, layout = self._joined, self._layout

        async def launch() -> Launch:
            make_agent_folder(layout, joined.node)
            options = [*joined.options, *self._agent_options]
            return agent_launch(layout, joined.node, url=joined.url, options=options)

        async def probe() -> None:
            if not layout.agent_registered(joined.node).exists():
                raise Unhealthy(f"not registered with {joined.url}")

        return [Service(name=agent_log(joined.node), launch=launch, probe=probe)]


def _lost_links(node: Node) -> str:
    """The interfaces that the machine needs and that have no link: nothing that a restart would mend."""
    cards = node.inventory.interfaces if node.inventory is not None else ()
    return ", ".join(card.name for card in cards if card.needed and card.status == "down")


def agent_log(name: str) -> str:
    """Under which name an agent is kept and logs."""
    return f"agent-{name[:57]}"


def agent_launch(layout: Layout, name: str, *, url: str, options: Sequence[str]) -> Launch:
    """How to start the agent of one node."""
    arguments = (
        "--data", str(layout.agent(name)),
        "--name", name,
        "--nats", url,
        "--credentials", str(layout.agent_credentials(name)),
    )  # fmt: skip
    return python(layout, agent_log(name), "agent", *arguments, *options)


def agent_names(host: str, agents: int) -> list[str]:
    """The host's own name first, so that a machine keeps its node when agents are added."""
    return [host if index == 1 else f"{host[:48]}-{index}" for index in range(1, agents + 1)]


def share_of_machine(agents: int) -> Share | None:
    """None for a single agent: it finds out itself."""
    if agents <= 1:
        return None
    mem_mib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20
    cores = len(os.sched_getaffinity(0))
    return Share(cpu_millis=max(1, cores // agents) * 1000, mem_mib=mem_mib // agents)


async def _prepared(prepare: Callable[[], Prepared]) -> Prepared:
    try:
        return await asyncio.to_thread(prepare)
    except (ServerFailed, CorralError) as error:
        raise LaunchFailed(str(error)) from error


async def _answered(ask: Callable[[], Awaitable[Prepared]]) -> Prepared:
    try:
        return await ask()
    except CorralError as error:
        raise Unhealthy(str(error)) from None
