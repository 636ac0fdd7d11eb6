"""A cluster for a bench: what `corral up` starts, in a folder of its own, and one agent with two slots.

The agent is started beside the supervisor because a bench declares its capacity (`--cpu 2`) whatever the
machine has. All processes are ended and the folder removed, however the bench ends.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

from bus.auth import Authority
from bus.client import Client
from bus.layout import Layout, write_secret
from bus.supervision import SupervisorStatus, end_process, read_status
from bus.values import NodeHealth
from tests.bench import processes

ROOT = Path(__file__).parents[2]
NODE = "bench"
WAIT_S = 30.0
POLL_S = 0.02
ENVIRONMENT = {
    **{name: value for name, value in os.environ.items() if not name.startswith("CORRAL_")},
    "PYTHONPATH": str(ROOT),
}


class CommandFailed(Exception):
    """A verb of `corral` did not end well; the text holds its stderr."""


class Cluster:
    """A running cluster below `folder`; made by `running`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.layout = Layout(folder / "data")
        self._agent: subprocess.Popen[bytes] | None = None

    @property
    def dsn(self) -> str:
        """Of the database, as the coordinator uses it."""
        for line in self.layout.coordinator.read_text().splitlines():
            key, _, value = line.partition(" = ")
            if key == "dsn":
                return value.strip('"')
        raise LookupError("coordinator.toml names no dsn")

    @property
    def url(self) -> str:
        return self._status().url

    @property
    def authority(self) -> Authority:
        """Mints credentials for this cluster."""
        return Authority.create_or_load(self.layout.keys)

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """`corral ARGUMENTS` over this folder. Raises CommandFailed with what it said."""
        done = subprocess.run(
            [sys.executable, "-P", "-m", "tui", *arguments],
            env={**ENVIRONMENT, "CORRAL_DATA": str(self.layout.data)},
            cwd="/",
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=WAIT_S * 2,
        )
        if done.returncode != 0:
            raise CommandFailed(f"corral {' '.join(arguments)}: exit {done.returncode}: {done.stderr}")
        return done

    def up(self, *, agents: int) -> None:
        """`corral up` with the supervisor's own agents."""
        self.command("up", "--detach", "--agents", str(agents))

    def start_agent(self) -> None:
        """One agent with two cores to offer; returns before it has registered."""
        credentials = self.layout.agent_credentials(NODE)
        write_secret(credentials, self.authority.mint_agent(NODE).text)
        for folder in (credentials.parent.parent, credentials.parent):
            folder.chmod(0o711)  # the tasks' account passes through
        with open(self.folder / "agent.log", "ab") as log:
            self._agent = subprocess.Popen(
                [
                    *(sys.executable, "-P", "-m", "agent", "--data", str(self.layout.agent(NODE))),
                    *("--name", NODE, "--nats", self.url, "--credentials", str(credentials)),
                    *("--gpu-driver", "none", "--cpu", "2"),
                ],
                env=ENVIRONMENT,
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def wait_for_agent(self) -> None:
        """Until its node is healthy. Raises TimeoutError."""
        deadline = time.monotonic() + WAIT_S
        while time.monotonic() < deadline:
            if f'"{NodeHealth.HEALTHY}"' in self.command("nodes", "-o", "json").stdout:
                return
            time.sleep(POLL_S)
        raise TimeoutError(f"the agent is not healthy: {(self.folder / 'agent.log').read_text()[-2000:]}")

    def pid(self, process: str) -> int:
        """Of a process under the supervisor (`coordinator`, `nats`, `postgresql`), or `supervisor`."""
        status = self._status()
        if process == "supervisor":
            return status.identity.pid
        identity = next(each.identity for each in status.processes if each.name == process)
        assert identity is not None, f"{process} does not run"
        return identity.pid

    @property
    def agent_pid(self) -> int:
        assert self._agent is not None
        return self._agent.pid

    def wait_for_end_of_agent(self) -> None:
        """After it was told to end."""
        assert self._agent is not None
        self._agent.wait(timeout=WAIT_S)

    @property
    def guard_pid(self) -> int:
        """Of the process that runs the tasks of our agent."""
        (guard,) = processes.of_folder(self.folder, "agent.guard")
        return int(guard.pid)

    @asynccontextmanager
    async def client(self) -> AsyncIterator[Client]:
        """A client with the credentials of whoever runs the bench."""
        async with Client.connect(data=self.layout.data, name="bench") as client:
            yield client

    def stop(self) -> None:
        """End everything; kill what does not end by itself."""
        if self._agent is not None:
            self._agent.kill()
            self._agent.wait(timeout=WAIT_S)
        status = read_status(self.layout.supervisor)
        if status is not None:
            end_process(status.identity, signal.SIGTERM, timeout_s=WAIT_S)
        processes.end_all(self.folder)

    def _status(self) -> SupervisorStatus:
        status = read_status(self.layout.supervisor)
        assert status is not None, "no supervisor runs"
        return status


@contextmanager
def folder() -> Iterator[Cluster]:
    """A cluster that does not run yet, in a new folder; ended and removed with the block."""
    path = Path(tempfile.mkdtemp(prefix="corral-bench-"))
    path.chmod(0o711)
    cluster = Cluster(path)
    try:
        yield cluster
    finally:
        try:
            cluster.stop()
        finally:
            shutil.rmtree(path, ignore_errors=True)


@contextmanager
def running() -> Iterator[Cluster]:
    """A cluster that runs, with its agent healthy."""
    with folder() as cluster:
        cluster.up(agents=0)
        cluster.start_agent()
        cluster.wait_for_agent()
        yield cluster
