"""A whole cluster on this machine: real NATS and PostgreSQL, a coordinator process, agent processes.

One for each test module. Tests may kill and restart what they like: `LiveCluster` brings it back.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest

from bus.client import Client
from bus.errors import CorralError
from bus.layout import Layout, write_secret
from bus.values import NodeHealth, Role
from tests.fixtures_nats import NatsServer

WAIT_S = 30.0
USERS = {
    "alice": Role.USER,
    "bob": Role.USER,
    "rita": Role.READONLY,
    "olga": Role.OPERATOR,
    "adam": Role.ADMIN,
}


@dataclass
class LiveCluster:
    """`folder` holds what `corral up` would keep; `client(user)` speaks for one of `USERS`.

    `dsn` is what the coordinator works with, `owner_dsn` what it migrates with and tests look with.
    """

    folder: Path
    nats: NatsServer
    dsn: str
    owner_dsn: str
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    nodes: dict[str, list[str]] = field(default_factory=dict)
    settings: str = ""  # further lines of the coordinator's file
    modules: str = ""  # a folder of modules that the coordinator finds before all others
    agent_modules: str = ""  # the same for agents
    environment: dict[str, str] = field(default_factory=dict)  # of all of them, beside ours

    def start(self, nodes: dict[str, list[str]]) -> None:
        """A coordinator and the agents `nodes` (name -> further arguments); waits until all are healthy."""
        for name, role in USERS.items():
            path = Layout(self.folder).credentials(name)
            write_secret(path, self.nats.authority.mint_user(name, role).text)
        self.start_coordinator()
        for name, arguments in nodes.items():
            self.start_agent(name, *arguments)
        asyncio.run(self.settle())

    def start_coordinator(self) -> None:
        layout = Layout(self.folder)
        credentials = self.folder / "coordinator.creds"
        write_secret(credentials, self.nats.authority.mint_coordinator().text)
        users = "".join(f'[[users]]\nname = "{name}"\nrole = "{role}"\n' for name, role in USERS.items())
        write_secret(
            layout.coordinator,
            f"nats_url = {json.dumps(self.nats.url)}\ncredentials = {json.dumps(str(credentials))}\n"
            f"dsn = {json.dumps(self.dsn)}\nmigrate_dsn = {json.dumps(self.owner_dsn)}\n"
            f"{self.settings}{users}",
        )
        self._launch("coordinator", "coordinator", "serve", str(self.folder))

    def start_agent(self, name: str, *arguments: str) -> None:
        layout = Layout(self.folder)
        credentials = layout.agent_credentials(name)
        write_secret(credentials, self.nats.authority.mint_agent(name).text)
        layout.agent(name).parent.chmod(0o711)  # the tasks' account passes through
        layout.agent(name).chmod(0o711)
        self.nodes[name] = list(arguments)
        self._launch(
            name,
            "agent",
            *("--data", str(layout.agent(name)), "--name", name, "--nats", self.nats.url),
            *("--credentials", str(credentials), "--gpu-driver", "none", "--containers", "none", *arguments),
        )

    def _launch(self, name: str, module: str, *arguments: str) -> None:
        first = [found] if (found := self.modules if module == "coordinator" else self.agent_modules) else []
        with open(self.folder / f"{name}.log", "ab") as log:
            self.processes[name] = subprocess.Popen(
                [sys.executable, "-P", "-m", module, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, **self.environment, "PYTHONPATH": os.pathsep.join([*first, os.getcwd()])},
            )

    def kill(self, name: str, number: int = signal.SIGKILL) -> None:
        """Send a signal to a process; unless it only stops, wait for its end."""
        process = self.processes[name]
        process.send_signal(number)
        if number in (signal.SIGKILL, signal.SIGTERM):
            process.wait(timeout=WAIT_S)

    def kill_node(self, name: str) -> None:
        """SIGKILL of its agent, its guard and all their tasks at once, as when the machine loses power."""
        agent = self.processes[name]
        guards = [g for g in self.guards() if any(f"/{name}" in word for word in g.cmdline())]
        assert guards, "the node has a guard"
        for process in [psutil.Process(agent.pid), *guards]:
            process.suspend()
        doomed = [child for guard in guards for child in guard.children(recursive=True)]
        for process in [*doomed, *guards]:
            process.kill()
        self.kill(name)

    async def settle(self) -> None:
        """Until the coordinator answers and every agent's node is healthy."""

        async def healthy() -> bool:
            async with self.client("adam") as client:
                nodes = {node.name: node.health for node in (await client.nodes()).nodes}
            return all(nodes.get(name) is NodeHealth.HEALTHY for name in self.nodes)

        await self.until(healthy, "the cluster is up")

    async def until(
        self, condition: Callable[[], Awaitable[object]], what: str, *, wait_s: float = WAIT_S
    ) -> None:
        """Wait for `condition`; what goes wrong on the way (nobody answers yet) counts as not yet."""
        end = time.monotonic() + wait_s
        problem = ""
        while time.monotonic() < end:
            try:
                if await condition():
                    return
            except CorralError as error:
                problem = str(error)
            await asyncio.sleep(0.02)
        raise AssertionError(f"{what}: not within {wait_s:g} s {problem}\n{self.logs()}")

    def logs(self) -> str:
        """The end of every process's log, for a failing test."""
        return "\n".join(
            f"--- {path.name}\n" + "\n".join(path.read_text(errors="replace").splitlines()[-15:])
            for path in sorted(self.folder.glob("*.log"))
        )

    @asynccontextmanager
    async def client(self, user: str = "alice") -> AsyncIterator[Client]:
        path = Layout(self.folder).credentials(user)
        async with Client.connect(self.nats.url, path) as client:
            yield client

    def guards(self) -> list[psutil.Process]:
        """The guard processes of this cluster's agents."""
        found = []
        for process in psutil.process_iter(["cmdline"]):
            words = process.info["cmdline"] or []
            if "agent.guard" in words and any(word.startswith(str(self.folder)) for word in words):
                found.append(process)
        return found

    def stop(self) -> None:
        for process in self.processes.values():
            process.kill()
        for process in self.processes.values():
            process.wait(timeout=WAIT_S)
        for guard in self.guards():
            held = [guard]
            with suppress(psutil.NoSuchProcess):  # whose agent died ends of itself, too
                held += guard.children(recursive=True)
            for each in reversed(held):
                with suppress(psutil.NoSuchProcess):  # a guard ends what its dead task left behind
                    each.kill()
            guard.wait(timeout=WAIT_S)


@pytest.fixture(scope="module")
def cluster_folder() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="corral-cluster-"))
    folder.chmod(0o711)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def cluster(
    cluster_folder: Path, nats_server: NatsServer, coordinator_dsn: str, postgres_dsn: str
) -> Iterator[LiveCluster]:
    """Three agents with their own names, folders and declared capacities."""
    live = LiveCluster(cluster_folder, nats_server, coordinator_dsn, postgres_dsn)
    try:
        live.start(
            {
                "n1": ["--cpu", "2", "--memory", "2GiB", "--label", "zone=a"],
                "n2": ["--cpu", "2", "--memory", "1GiB"],
                "n3": ["--cpu", "1", "--memory", "512MiB"],
            }
        )
        yield live
    finally:
        live.stop()
