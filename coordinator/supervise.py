"""The supervisor of one machine: PostgreSQL, NATS, coordinator, agents as siblings under one small process.

On a machine that joined a cluster elsewhere, its agent alone.

Started by `corral up` in its own session, or by the machine's service manager. It prepares the data folder
(ports, keys, credentials, configuration), keeps every process running, and tells in `supervisor.json` how
they are. SIGTERM stops all in order. One lock file makes sure that a data folder has one supervisor; what
a killed one left behind is ended first.
"""

from __future__ import annotations

import asyncio
import fcntl
import logging
import os
import signal
import sys
import time
from pathlib import Path

from msgspec import Struct

from bus.errors import CorralError
from bus.layout import JoinedSettings, Layout, read_joined
from bus.server import local_url
from bus.settings import Settings
from bus.settings import load as load_settings
from bus.supervision import (
    Phase,
    ProcessStatus,
    SupervisorStatus,
    end_leftovers,
    identify,
    read_status,
    write_status,
)
from coordinator.own_servers import load_authority, on_servers, own_servers
from coordinator.supervisor.access import Access
from coordinator.supervisor.keeper import Keeper, Service
from coordinator.supervisor.logs import rotate
from coordinator.supervisor.refresh import Refresher
from coordinator.supervisor.services import NATS, SERVERS, Machine, Member
from coordinator.supervisor.setup import SetupError, choose_ports, listen_on, load, save, url_for_others

log = logging.getLogger("corral.supervisor")

REFRESH_S = 5.0
"""The status file is written at every change, and at least this often."""

EXIT_CONFLICT = 6
EXIT_CONFIGURATION = 78


class Wanted(Struct, frozen=True, kw_only=True):
    """What `corral up` was told; None: as the last time."""

    agents: int | None = None
    listen: str | None = None
    standby: bool | None = None


def supervise(data: Path, wanted: Wanted) -> int:
    """Run until SIGTERM; returns the process's exit code."""
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s", stream=sys.stderr
    )
    layout = Layout(data.absolute())
    try:
        lock = _lock(layout)
    except BlockingIOError:
        log.error("another supervisor runs in %s", layout.data)
        return EXIT_CONFLICT
    except OSError as error:
        log.error("cannot use the data folder %s: %s", layout.data, error.strerror)
        return EXIT_CONFIGURATION
    try:
        return asyncio.run(Supervisor(layout, wanted).run())
    finally:
        os.close(lock)


class Supervisor:
    """One run, from preparing to the last process's end."""

    def __init__(self, layout: Layout, wanted: Wanted) -> None:
        identity = identify(os.getpid())
        assert identity is not None
        self._layout = layout
        self._wanted = wanted
        now = time.time()
        self._status = SupervisorStatus(
            identity=identity,
            phase=Phase.STARTING,
            data=str(layout.data),
            agents=0,
            started_at=now,
            updated_at=now,
        )
        self._stop = asyncio.Event()
        self._keepers: list[Keeper] = []
        self._access: Access | None = None
        self._machine: Machine | None = None

    async def run(self) -> int:
        """Prepare, keep, stop. Returns the exit code."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)
        try:
            await asyncio.to_thread(self._prepare)
        except (SetupError, CorralError, OSError) as error:
            self._status.message = str(error)
            self._enter(Phase.FAILED)
            return EXIT_CONFIGURATION
        try:
            await self._keep()
        finally:
            self._enter(Phase.STOPPING)
            if self._access is not None:
                await self._access.close()
            await self._stop_all()
            self._enter(Phase.STOPPED)
        return 0

    def _prepare(self) -> None:
        """Everything on disk that the processes need. Raises SetupError, CorralError, OSError."""
        earlier = read_status(self._layout.supervisor)
        if earlier is not None:
            for name in end_leftovers(earlier):
                log.warning("stopped %s, which an earlier supervisor had left running", name)
        self._write()
        joined = read_joined(self._layout)
        services = self._prepare_cluster() if joined is None else self._prepare_member(joined)
        for service in services:
            status = ProcessStatus(
                name=service.name,
                address=service.address,
                log=str(self._layout.log(service.name)),
                stop_signal=service.stop_signal,
            )
            self._status.processes.append(status)
            self._keepers.append(Keeper(service, status=status, changed=self._write))
        self._write()

    def _prepare_cluster(self) -> list[Service]:
        settings = load_settings()
        servers = own_servers(settings)
        setup_path = self._layout.data / "setup.json"
        setup = listen_on(load(setup_path), self._wanted.listen)
        if self._wanted.agents is not None:
            setup.agents = self._wanted.agents
        elif isinstance(agents := settings.get("agents"), int):
            setup.agents = agents
        if self._wanted.standby is not None:
            setup.standby = self._wanted.standby
        setup = on_servers(setup, servers, data=self._layout.data)
        setup = choose_ports(setup, data=self._layout.data, own_nats=servers.nats is not None)
        save(setup_path, setup)
        authority = load_authority(self._layout, servers)
        url = servers.nats or local_url(setup.nats_port, listen=setup.listen)
        access = Access(self._layout, authority=authority, url=url)
        self._status.agents, self._status.standby = setup.agents, setup.standby
        self._status.url = access.url
        self._status.listen, self._status.joins = setup.listen, servers.nats or url_for_others(setup)
        self._status.user = access.user
        self._status.credentials = str(access.write_client_settings())
        self._access = access
        self._machine = Machine(
            self._layout,
            setup=setup,
            authority=authority,
            access=access,
            servers=servers,
            agent_options=agent_options(settings),
        )
        return self._machine.services()

    def _prepare_member(self, joined: JoinedSettings) -> list[Service]:
        if self._wanted != Wanted():
            raise SetupError(
                f"this machine is the node {joined.node} of {joined.url}: "
                "--listen, --agents and --standby go over there"
            )
        self._status.agents = 1
        self._status.url, self._status.node = joined.url, joined.node
        return Member(self._layout, joined, agent_options=agent_options(load_settings())).services()

    async def _keep(self) -> None:
        """Keep all services until asked to stop."""
        by_name = {keeper.service.name: keeper for keeper in self._keepers}
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(
                    keeper.run(tuple(by_name[name] for name in keeper.service.needs)),
                    name=keeper.service.name,
                )
                for keeper in self._keepers
            ]
            tasks.append(group.create_task(self._announce(), name="announce"))
            tasks.append(group.create_task(self._bound_logs(), name="logs"))
            if self._machine is not None:
                refresher = Refresher(self._machine, by_name.get(NATS))
                tasks.append(group.create_task(refresher.run(), name="refresh"))
            await self._stop.wait()
            for task in tasks:
                task.cancel()

    async def _announce(self) -> None:
        """RUNNING once every process was healthy; a fresh file while nothing changes."""
        for keeper in self._keepers:
            await keeper.was_healthy.wait()
        self._enter(Phase.RUNNING)
        while True:
            await asyncio.sleep(REFRESH_S)
            self._write()

    async def _bound_logs(self) -> None:
        while True:
            await asyncio.to_thread(self._rotate_logs)
            await asyncio.sleep(REFRESH_S)

    def _rotate_logs(self) -> None:
        for name in ("supervisor", *(keeper.service.name for keeper in self._keepers)):
            try:
                if rotate(self._layout.log(name)):
                    log.info("the log of %s is full: put aside", name)
            except OSError as error:
                log.warning("the log of %s is full, and cannot be put aside: %s", name, error.strerror)

    async def _stop_all(self) -> None:
        """Agents together, then the coordinator, NATS, and PostgreSQL last."""
        agents = [keeper for keeper in self._keepers if keeper.service.name not in SERVERS]
        await asyncio.gather(*(keeper.stop() for keeper in agents))
        for keeper in reversed(self._keepers):
            if keeper not in agents:
                await keeper.stop()

    def _enter(self, phase: Phase) -> None:
        log.info("%s%s", phase, f": {self._status.message}" if self._status.message else "")
        self._status.phase = phase
        self._write()

    def _write(self) -> None:
        self._status.updated_at = time.time()
        write_status(self._layout.supervisor, self._status)


def agent_options(settings: Settings) -> list[str]:
    """What the operator says of this machine's agents, as their arguments."""
    options: list[str] = []
    lists = {
        "agent.can": "--can",
        "agent.interfaces": "--interface",
        "agent.files": "--files",
        "agent.buckets": "--bucket",
        "agent.pools": "--pool",
        "agent.containers": "--containers",
    }
    once = {
        "agent.s3_endpoint": "--s3-endpoint",
        "agent.store": "--store",
        "agent.copy_rate": "--copy-rate",
        "agent.scrub_rate": "--scrub-rate",
        "agent.scrub_every": "--scrub-every",
    }
    for key, option in once.items():
        if value := settings.text(key):
            options += [option, value]
    for key, option in lists.items():
        for said in filter(None, (settings.text(key) or "").split(",")):
            options += [option, said]
    return options


def _lock(layout: Layout) -> int:
    """Hold the folder's lock for as long as we live. Raises BlockingIOError where another holds it."""
    # Servers that run under accounts of their own must be able to pass through, not to look around.
    layout.data.mkdir(mode=0o711, parents=True, exist_ok=True)
    if os.geteuid() == 0:
        layout.data.chmod(0o711)
    layout.logs.mkdir(exist_ok=True)
    layout.logs.chmod(0o700)
    descriptor = os.open(layout.data / "supervisor.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor
