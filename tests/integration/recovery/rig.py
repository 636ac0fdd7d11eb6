"""Two coordinators over servers of their own, behind cables that can be pulled, and an agent beside them.

Nothing keeps the processes: a coordinator that ends of itself stays ended until a test starts it again, so
that what is measured is what the other one did.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import psutil

from bus import server as nats
from bus.api import Submitted
from bus.auth import Authority
from bus.client import Client
from bus.errors import CorralError
from bus.layout import Layout, write_secret
from bus.supervision import CoordinatorRole, CoordinatorState, read_coordinator_state
from bus.values import JobState, NodeHealth, Role
from sql import server as postgres
from tests.chaos.proxy import Proxy

WAIT_S = 40.0
POLL_S = 0.02
PROBE_S = 0.1


class Coordinator:
    """One process in a folder of its own; `to_nats` and `to_database` are its cables."""

    def __init__(self, name: str, folder: Path, *, to_nats: Proxy, to_database: Proxy) -> None:
        self.name = name
        self.folder = folder
        self.to_nats = to_nats
        self.to_database = to_database
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def state(self) -> CoordinatorState | None:
        """What it said last; None where it does not run."""
        state = read_coordinator_state(Layout(self.folder).coordinator_state("coordinator"))
        if self.process is None or self.process.poll() is not None or state is None:
            return None
        return state if state.pid == self.process.pid else None

    @property
    def leads(self) -> bool:
        return self.state is not None and self.state.role is CoordinatorRole.LEADING

    @property
    def stands_by(self) -> bool:
        return (
            self.state is not None and self.state.role is CoordinatorRole.STANDBY and not self.state.trouble
        )

    @property
    def log(self) -> str:
        return (self.folder / "coordinator.log").read_text()

    def start(self) -> None:
        self.folder.mkdir(exist_ok=True)
        with open(self.folder / "coordinator.log", "ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-P", "-m", "coordinator", "serve", str(self.folder)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, "PYTHONPATH": os.getcwd()},
            )

    def signal(self, number: int) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    async def ended(self) -> int:
        """Its exit code, once it has ended of itself."""
        assert self.process is not None
        return await asyncio.to_thread(self.process.wait, WAIT_S)

    def end(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait(WAIT_S)


class Rig:
    """Everything; made by `rig`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.authority = Authority.create_or_load(folder / "keys")
        self.nats_process = self._prepare_nats(0)
        self.nats = nats.start(self.nats_process)
        self.database_process = postgres.prepare(folder / "postgres", port=postgres.free_port())
        self.database = postgres.start(self.database_process)
        self.coordinators: dict[str, Coordinator] = {}
        self.proxies: list[Proxy] = []
        self.agent: subprocess.Popen[bytes] | None = None

    def _prepare_nats(self, port: int) -> nats.NatsProcess:
        return nats.prepare(self.folder / "nats", port=port, authority=self.authority)

    # processes

    async def start(self) -> None:
        await nats.wait_ready(self.nats_process)
        for name in ("a", "b"):
            cables = [
                await Proxy.in_front_of(port) for port in (self.nats_process.port, self.database_process.port)
            ]
            self.proxies += cables
            self.coordinators[name] = Coordinator(
                name, self.folder / name, to_nats=cables[0], to_database=cables[1]
            )
            self._configure(self.coordinators[name])
        write_secret(self.folder / "adam.creds", self.authority.mint_user("adam", Role.ADMIN).text)
        self.coordinators["a"].start()
        await self.until(lambda: self.coordinators["a"].leads, "the first one leads")
        self._start_agent()
        await self.ready()

    def _configure(self, coordinator: Coordinator) -> None:
        coordinator.folder.mkdir(exist_ok=True)
        credentials = coordinator.folder / "coordinator.creds"
        write_secret(credentials, self.authority.mint_coordinator().text)
        port, cable = self.database_process.port, coordinator.to_database.port
        dsn, owner = (
            address.replace(f":{port}/", f":{cable}/")
            for address in (self.database_process.coordinator_dsn, self.database_process.dsn)
        )
        write_secret(
            Layout(coordinator.folder).coordinator,
            f"nats_url = {json.dumps(f'nats://127.0.0.1:{coordinator.to_nats.port}')}\n"
            f"credentials = {json.dumps(str(credentials))}\n"
            f"dsn = {json.dumps(dsn)}\nmigrate_dsn = {json.dumps(owner)}\n"
            '[[users]]\nname = "adam"\nrole = "admin"\n',
        )

    def _start_agent(self) -> None:
        layout = Layout(self.folder)
        credentials = layout.agent_credentials("n1")
        write_secret(credentials, self.authority.mint_agent("n1").text)
        for part in (layout.agent("n1").parent, layout.agent("n1")):
            part.chmod(0o711)
        with open(self.folder / "n1.log", "ab") as log:
            self.agent = subprocess.Popen(
                [
                    *(sys.executable, "-P", "-m", "agent", "--data", str(layout.agent("n1")), "--name", "n1"),
                    *(
                        "--nats",
                        self.nats_process.url,
                        "--credentials",
                        str(credentials),
                        "--containers",
                        "none",
                    ),
                    *("--gpu-driver", "none", "--cpu", "64", "--memory", "8GiB"),
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, "PYTHONPATH": os.getcwd()},
            )

    def restart_nats(self, *, wipe: bool) -> None:
        """kill -9, and started again; `wipe`: without what JetStream kept."""
        self.nats.kill()
        self.nats.wait(WAIT_S)
        if wipe:
            shutil.rmtree(self.nats_process.folder / "jetstream")
        self.nats_process = self._prepare_nats(self.nats_process.port)
        self.nats = nats.start(self.nats_process)

    def kill_database(self) -> None:
        """All its processes at once."""
        parent = psutil.Process(self.database.pid)
        for process in [parent, *parent.children(recursive=True)]:
            process.kill()
        self.database.wait(WAIT_S)

    def signal_database(self, number: int) -> None:
        parent = psutil.Process(self.database.pid)
        for process in [parent, *parent.children(recursive=True)]:
            process.send_signal(number)

    def start_database(self) -> None:
        self.database = postgres.start(self.database_process)

    # looking

    @property
    def leader(self) -> Coordinator:
        (found,) = [each for each in self.coordinators.values() if each.leads]
        return found

    @property
    def standby(self) -> Coordinator:
        (found,) = [each for each in self.coordinators.values() if each.stands_by]
        return found

    @asynccontextmanager
    async def client(self) -> AsyncIterator[Client]:
        async with Client.connect(self.nats_process.url, self.folder / "adam.creds") as client:
            yield client

    async def ready(self) -> None:
        """Everything mended: one leads, the other stands by, the node is healthy."""
        for proxy in self.proxies:
            proxy.mend()
        for coordinator in self.coordinators.values():
            if coordinator.process is None or coordinator.process.poll() is not None:
                coordinator.start()
        roles = self.coordinators.values()
        await self.until(
            lambda: sum(each.leads for each in roles) == 1 and sum(each.stands_by for each in roles) == 1,
            "one leads, one stands by",
        )
        async with self.client() as client:

            async def healthy() -> bool:
                return [node.health for node in (await client.nodes()).nodes] == [NodeHealth.HEALTHY]

            await self.until_answered(healthy, "the node is healthy")

    async def until(self, condition: Callable[[], object], what: str) -> None:
        async with asyncio.timeout(WAIT_S):
            try:
                while not condition():
                    await asyncio.sleep(POLL_S)
            except asyncio.CancelledError:
                raise AssertionError(f"waited in vain: {what}\n{self.logs()}") from None

    async def until_answered(self, condition: Callable[[], Awaitable[bool]], what: str) -> None:
        """What goes wrong on the way counts as not yet."""
        end_s = time.monotonic() + WAIT_S
        problem = ""
        while time.monotonic() < end_s:
            try:
                if await condition():
                    return
            except CorralError as error:
                problem = str(error)
            await asyncio.sleep(POLL_S)
        raise AssertionError(f"waited in vain: {what} {problem}\n{self.logs()}")

    async def placed(self, client: Client) -> float:
        """Seconds until a job submitted from now on has run: a new try each PROBE_S, the first one counts."""
        begun_s = time.monotonic()
        tries: set[asyncio.Task[Submitted]] = set()
        accepted: Submitted | None = None
        try:
            async with asyncio.timeout(WAIT_S):
                while accepted is None:
                    tries.add(
                        asyncio.create_task(
                            client.submit(command=["true"], dedupe_key=f"p{time.monotonic_ns()}")
                        )
                    )
                    done, tries = await asyncio.wait(tries, timeout=PROBE_S)
                    for task in done:
                        if task.exception() is None:
                            accepted = task.result()
        finally:
            for task in tries:
                task.cancel()
            await asyncio.gather(*tries, return_exceptions=True)

        async def over() -> bool:
            return (await client.job(accepted.number)).state is JobState.COMPLETED

        await self.until_answered(over, "the probe has run")
        return time.monotonic() - begun_s

    async def epoch(self) -> int:
        """As the database has it."""
        connection = await asyncpg.connect(self.database_process.dsn)
        try:
            return int(await connection.fetchval("select epoch from corral.leadership"))
        finally:
            await connection.close()

    def logs(self) -> str:
        """The ends of all logs, for a failing test."""
        return "\n".join(
            f"--- {path}\n" + "\n".join(path.read_text(errors="replace").splitlines()[-15:])
            for path in sorted(self.folder.rglob("*.log"))
        )

    async def close(self) -> None:
        for coordinator in self.coordinators.values():
            coordinator.end()
        self._end_agent()
        for proxy in self.proxies:
            await proxy.close()
        nats.stop(self.nats)
        if self.database.poll() is None:
            self.signal_database(signal.SIGCONT)
        postgres.stop(self.database)

    def _end_agent(self) -> None:
        if self.agent is None:
            return
        self.agent.kill()
        self.agent.wait(WAIT_S)
        for process in psutil.process_iter(["cmdline"]):
            words = process.info["cmdline"] or []
            if "agent.guard" in words and any(word.startswith(str(self.folder)) for word in words):
                for child in process.children(recursive=True):
                    child.kill()
                process.kill()
