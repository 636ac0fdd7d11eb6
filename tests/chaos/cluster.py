"""A whole cluster of real processes that may be struck: each daemon behind cables of its own.

`Cluster.keep` is what an init system would be: whatever ends is started again, unless a fault holds it down.
Coordinators and agents have folders, credentials and logs of their own; every one of them reaches NATS, and a
coordinator PostgreSQL, through a proxy.
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
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import psutil

from bus import server as nats_server
from bus.auth import Authority
from bus.client import Client
from bus.connection import NatsBus
from bus.errors import CorralError
from bus.layout import Layout, write_secret
from bus.values import NodeHealth, Role
from sql import server as postgres_server
from tests.bench.processes import of_folder
from tests.chaos.plan import AGENTS, COORDINATORS
from tests.chaos.proxy import Proxy
from tests.chaos.wire import Wire, lay

ROOT = Path(__file__).parents[2]
USERS = {"alice": Role.USER, "adam": Role.ADMIN}
WIRED = AGENTS[-1]
"""The agent that has a network namespace of its own, where such can be made."""

UP_WAIT_S = 60.0
KEEP_INTERVAL_S = 0.1
END_ROUNDS = 5
START_AGAIN_S = 0.5
"""What ends by itself is started again so much later; what a fault ended, as soon as the fault says."""

ENVIRONMENT = {
    **{name: value for name, value in os.environ.items() if not name.startswith("CORRAL_")},
    "PYTHONPATH": str(ROOT),
}


class Cluster:
    """Made by `running`."""

    def __init__(self, folder: Path, tell: Callable[[str], None]) -> None:
        self.folder = folder
        self.marks = folder / "marks"
        self.logs = folder / "logs"
        self._tell = tell
        self._authority = Authority.create_or_load(folder / "keys")
        self._postgres = postgres_server.prepare(folder / "postgres", port=postgres_server.free_port())
        self._nats = nats_server.prepare(folder / "nats", port=0, authority=self._authority)
        self._proxies: dict[str, Proxy] = {}
        self._wire: Wire | None = None
        self._starts: dict[str, Callable[[], subprocess.Popen[bytes]]] = {
            "postgres": lambda: postgres_server.spawn(self._postgres),
            "nats": lambda: nats_server.start(self._nats),
        }
        self._children: dict[str, subprocess.Popen[bytes]] = {}
        self._held: set[str] = set()
        self._due: dict[str, float] = {}
        self.ended_alone: dict[str, list[int]] = {}  # name -> exit codes that no fault asked for

    # ------------------------------------------------------------------ what a client needs

    @property
    def url(self) -> str:
        return self._nats.url

    @property
    def dsn(self) -> str:
        """As the schema's owner, past every proxy."""
        return self._postgres.dsn

    @property
    def jetstream(self) -> Path:
        """Where the NATS server keeps what it acknowledged."""
        return self._nats.folder / "jetstream"

    @asynccontextmanager
    async def client(self, user: str, *, timeout_s: float) -> AsyncIterator[Client]:
        bus = await NatsBus.connect(
            self.url, self._authority.mint_user(user, USERS[user]), name=f"chaos {user}", timeout_s=UP_WAIT_S
        )
        try:
            yield Client(bus, timeout_s=timeout_s)
        finally:
            await bus.close()

    @asynccontextmanager
    async def coordinators_bus(self) -> AsyncIterator[NatsBus]:
        """With a coordinator's rights, which reach JetStream's own subjects."""
        bus = await NatsBus.connect(self.url, self._authority.mint_coordinator(), name="chaos")
        try:
            yield bus
        finally:
            await bus.close()

    def all_logs(self) -> list[Path]:
        """Of every process of ours, the guards' and the servers' among them."""
        return [
            *self.logs.glob("*.log"),
            *self.folder.glob("agents/*/guard.log"),
            self._nats.log,
            self.folder / "postgres.log",
        ]

    # ------------------------------------------------------------------ life

    async def start(self) -> None:
        """All processes; until every node is healthy."""
        self.marks.mkdir()
        self.marks.chmod(0o1777)  # tasks run under an account of their own
        self.logs.mkdir()
        for name in COORDINATORS:
            await self._prepare_coordinator(name)
        self._wire = lay()
        self._tell(
            f"{WIRED} has {'a namespace of its own' if self._wire else 'no namespace: not permitted here'}"
        )
        for name in AGENTS:
            await self._prepare_agent(name)
        for name in self._starts:
            self._start(name)
            if name == "postgres":
                await asyncio.to_thread(postgres_server.wait_ready, self._postgres, timeout_s=UP_WAIT_S)
        keeping = asyncio.create_task(self.keep())
        try:
            async with self.client("adam", timeout_s=1.0) as adam, asyncio.timeout(UP_WAIT_S):
                while not await _healthy(adam):
                    await asyncio.sleep(0.1)
        finally:
            keeping.cancel()

    async def keep(self) -> None:
        """Start again what ended, for ever."""
        while True:
            now = time.monotonic()
            for name, child in list(self._children.items()):
                if name in self._held or child.poll() is None:
                    continue
                if name not in self._due:
                    self.ended_alone.setdefault(name, []).append(child.returncode)
                    self._tell(f"{name} ended by itself with {child.returncode}")
                    self._due[name] = now + START_AGAIN_S
                if now >= self._due[name]:
                    self._start(name)
            await asyncio.sleep(KEEP_INTERVAL_S)

    async def stop(self) -> None:
        """The polite way, then the other one; `leftovers` tells what neither reached."""
        for name in reversed(self._starts):
            self.resume(name)
            self._held.add(name)
        for name in reversed(self._children):
            self._children[name].send_signal(signal.SIGINT if name == "postgres" else signal.SIGTERM)
            with suppress(subprocess.TimeoutExpired):
                await asyncio.to_thread(self._children[name].wait, 10)
        for proxy in self._proxies.values():
            await proxy.close()

    def leftovers(self) -> list[str]:
        """Processes of this cluster that still run once it was stopped."""
        return [f"{each.pid} {' '.join(each.cmdline())[:200]}" for each in self._everybody()]

    def end(self) -> None:
        """Whatever is left."""
        for _ in range(END_ROUNDS):  # a guard that dies leaves its tasks to nobody
            everybody = self._everybody()
            for process in everybody:
                with suppress(psutil.NoSuchProcess):
                    process.kill()
            psutil.wait_procs(everybody, timeout=2)
        if self._wire is not None:
            self._wire.remove()

    # ------------------------------------------------------------------ what faults do

    def hold(self, *names: str) -> None:
        """What ends from now on stays down until `release`."""
        self._held.update(names)

    def release(self, *names: str) -> None:
        """Start what a fault ended."""
        for name in names:
            self._held.discard(name)
            if self._children[name].poll() is not None:
                self._start(name)

    async def end_process(self, name: str, number: signal.Signals) -> None:
        """Signal it with all its own children and wait for the end. Hold it first."""
        child = self._children[name]
        victims = self._family(name) if number == signal.SIGKILL else [child.pid]
        for pid in victims:
            with suppress(ProcessLookupError):
                os.kill(pid, number)
        await asyncio.to_thread(child.wait, UP_WAIT_S)

    def pause(self, name: str) -> None:
        """The whole family stands still."""
        for pid in self._family(name):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGSTOP)

    def resume(self, name: str) -> None:
        if name in self._children and self._children[name].poll() is None:
            for pid in self._family(name):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)

    def guards(self, agent: str) -> list[int]:
        """The pids of an agent's guard, if it has one now."""
        return [each.pid for each in of_folder(self._agent_folder(agent), "agent.guard")]

    def cable(self, name: str) -> Proxy:
        """`n1` … to NATS; `a.bus`, `a.database` … of a coordinator."""
        return self._proxies[name]

    def part(self, agent: str) -> None:
        """Nothing passes between it and the others, and nobody is told."""
        if agent == WIRED and self._wire is not None:
            self._wire.pull()
        else:
            self._proxies[agent].hold()

    def rejoin(self, agent: str) -> None:
        if agent == WIRED and self._wire is not None:
            self._wire.mend()
        else:
            self._proxies[agent].mend()

    def wipe_jetstream(self) -> None:
        """While the server is down."""
        shutil.rmtree(self.jetstream)
        self.jetstream.mkdir(mode=0o700)
        owner = self._nats.folder.stat()
        os.chown(self.jetstream, owner.st_uid, owner.st_gid)

    async def leader(self) -> str:
        """Of the coordinators the one that the database says; where it does not answer, the first."""
        try:
            connection = await asyncpg.connect(self.dsn, timeout=2)
            try:
                holder = await connection.fetchval("select holder from corral.leadership", timeout=2)
            finally:
                connection.terminate()
        except (OSError, TimeoutError, asyncpg.PostgresError):
            return COORDINATORS[0]
        pid = int(holder.rpartition(":")[2])
        return next((name for name in COORDINATORS if self._children[name].pid == pid), COORDINATORS[0])

    # ------------------------------------------------------------------ inside

    def _start(self, name: str) -> None:
        self._due.pop(name, None)
        self._children[name] = self._starts[name]()

    def _everybody(self) -> list[psutil.Process]:
        """Whose command line or environment names our folder: daemons, guards, tasks; not who runs this."""
        us = {os.getpid(), *(each.pid for each in psutil.Process().parents())}
        return [each for each in psutil.process_iter() if each.pid not in us and self._is_ours(each)]

    def _is_ours(self, process: psutil.Process) -> bool:
        try:
            if process.status() == psutil.STATUS_ZOMBIE:
                return False
            told = (*process.cmdline(), process.environ().get("CORRAL_GUARD", ""))
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            return False
        return any(str(self.folder) in word for word in told)

    def _family(self, name: str) -> list[int]:
        """The process and, of PostgreSQL, its backends; never an agent's guard, which is a child by birth."""
        pid = self._children[name].pid
        if name != "postgres":
            return [pid]
        try:
            return [pid, *(each.pid for each in psutil.Process(pid).children(recursive=True))]
        except psutil.NoSuchProcess:
            return []

    async def _prepare_coordinator(self, name: str) -> None:
        bus = self._proxies[f"{name}.bus"] = await Proxy.in_front_of(self._nats.port)
        database = self._proxies[f"{name}.database"] = await Proxy.in_front_of(self._postgres.port)
        folder = self.folder / name
        folder.mkdir()
        write_secret(folder / "coordinator.creds", self._authority.mint_coordinator().text)
        settings = {
            "nats_url": f"nats://127.0.0.1:{bus.port}",
            "credentials": str(folder / "coordinator.creds"),
            "dsn": _through(self._postgres.coordinator_dsn, database.port),
            "migrate_dsn": _through(self._postgres.dsn, database.port),
            "rank": "worst_fit",  # on all nodes alike, so that no blow hits an idle one
        }
        users = "".join(f'[[users]]\nname = "{user}"\nrole = "{role}"\n' for user, role in USERS.items())
        lines = "".join(f"{key} = {json.dumps(value)}\n" for key, value in settings.items())
        write_secret(Layout(folder).coordinator, lines + users)
        self._starts[name] = lambda: self._launch(name, "coordinator", "serve", str(folder))

    async def _prepare_agent(self, name: str) -> None:
        wire = self._wire if name == WIRED else None
        host = wire.here if wire else "127.0.0.1"
        bus = self._proxies[name] = await Proxy.in_front_of(self._nats.port, host=host)
        folder = self._agent_folder(name)
        folder.mkdir(parents=True)
        for each in (folder.parent, folder):
            each.chmod(0o711)  # the tasks' account passes through
        credentials = folder / "agent.creds"
        write_secret(credentials, self._authority.mint_agent(name).text)
        self._starts[name] = lambda: self._launch(
            name,
            "agent",
            *("--data", str(folder), "--name", name, "--nats", f"nats://{host}:{bus.port}"),
            *("--credentials", str(credentials), "--gpu-driver", "none", "--cpu", "2", "--memory", "2GiB"),
            *("--containers", "none"),
            wire=wire,
        )

    def _agent_folder(self, name: str) -> Path:
        return self.folder / "agents" / name

    def _launch(
        self, name: str, module: str, *arguments: str, wire: Wire | None = None
    ) -> subprocess.Popen[bytes]:
        argv = [sys.executable, "-P", "-m", module, *arguments]
        with open(self.logs / f"{name}.log", "ab") as log:
            return subprocess.Popen(
                wire.inside(argv) if wire else argv,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
                env=ENVIRONMENT,
                start_new_session=True,
            )


@asynccontextmanager
async def running(folder: Path, tell: Callable[[str], None]) -> AsyncIterator[Cluster]:
    """A cluster that stands, kept running for the time of the block; no process of it outlives the block."""
    folder.chmod(0o755)
    cluster = Cluster(folder, tell)
    try:
        await cluster.start()
        keeping = asyncio.create_task(cluster.keep(), name="keeper")
        try:
            yield cluster
        finally:
            keeping.cancel()
    finally:
        cluster.end()


def _through(dsn: str, port: int) -> str:
    parts = urlsplit(dsn)
    user = parts.netloc.rpartition("@")[0]
    return urlunsplit(parts._replace(netloc=f"{user}@127.0.0.1:{port}"))


async def _healthy(adam: Client) -> bool:
    try:
        nodes = (await adam.nodes()).nodes
    except CorralError:
        return False
    return len(nodes) == len(AGENTS) and all(node.health is NodeHealth.HEALTHY for node in nodes)
