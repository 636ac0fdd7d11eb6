"""What the supervisor of one machine writes about its processes (`supervisor.json`), and how to trust it.

The coordinator's package writes it, the `corral` command reads it; neither may import the other.
A pid alone proves nothing, since it may belong to somebody else by now: it is always checked together
with the process's start time and the machine's boot id.
"""

from __future__ import annotations

import os
import select
import signal
from enum import StrEnum
from pathlib import Path

import msgspec
from msgspec import Struct


class Phase(StrEnum):
    """Where a supervisor as a whole stands."""

    STARTING = "starting"
    RUNNING = "running"  # every process was healthy at least once
    STOPPING = "stopping"
    STOPPED = "stopped"
    FAILED = "failed"  # gave up while preparing; `message` says why


class ProcessHealth(StrEnum):
    """Where one process stands."""

    WAITING = "waiting"  # for another one that it needs
    STARTING = "starting"
    HEALTHY = "healthy"
    UNHEALTHY = "unhealthy"  # runs, but does not answer its probe
    BACKOFF = "backoff"  # ended unasked; starts again soon
    STOPPED = "stopped"


class ProcessIdentity(Struct, frozen=True):
    """A process that cannot be confused with a later one of the same pid.

    `started_ticks` counts clock ticks from the boot to the process's start.
    """

    pid: int
    started_ticks: int
    boot_id: str

    @property
    def alive(self) -> bool:
        """Whether exactly this process still runs (a zombie does not)."""
        return identify(self.pid) == self


class ProcessStatus(Struct, kw_only=True):
    """One process under the supervisor; instants are seconds of the Unix epoch."""

    name: str
    health: ProcessHealth = ProcessHealth.WAITING
    identity: ProcessIdentity | None = None
    address: str = ""
    restarts: int = 0
    failures: int = 0  # unasked ends in a row; forgotten once it was healthy for a while
    since: float = 0.0  # of `health`
    ready_after_s: float | None = None  # from the supervisor's start to the first time healthy
    message: str = ""
    role: str = ""  # of a coordinator: leading or standing by
    log: str = ""
    stop_signal: int = signal.SIGTERM  # PostgreSQL takes SIGTERM as "wait for all sessions"


class CoordinatorRole(StrEnum):
    """What a coordinator does."""

    STARTING = "starting"
    STANDBY = "standing by"
    LEADING = "leading"


class CoordinatorState(Struct, frozen=True, kw_only=True):
    """What a coordinator's process says of itself each second; `said_s` is of CLOCK_MONOTONIC."""

    pid: int
    role: CoordinatorRole
    said_s: float
    epoch: int = 0
    trouble: str = ""


class SupervisorStatus(Struct, kw_only=True):
    """The whole file."""

    identity: ProcessIdentity
    phase: Phase
    data: str
    agents: int
    started_at: float
    updated_at: float
    standby: bool = False  # a second coordinator
    url: str = ""
    listen: str = ""  # the address where the bus answers other machines
    joins: str = ""  # URL for other machines; "" while it listens on loopback only
    node: str = ""  # of a machine that joined a cluster elsewhere
    user: str = ""
    credentials: str = ""
    message: str = ""
    processes: list[ProcessStatus] = []


def boot_id() -> str:
    """The id of this boot of the machine."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def identify(pid: int) -> ProcessIdentity | None:
    """Who runs under `pid` now; None for nobody, and for a zombie."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The command's name stands in parentheses and may hold blanks and parentheses itself.
    fields = text[text.rindex(")") + 2 :].split()
    if fields[0] in ("Z", "X"):
        return None
    return ProcessIdentity(pid, int(fields[19]), boot_id())


def read_status(path: Path) -> SupervisorStatus | None:
    """What the last supervisor wrote; None where none ever did or the file cannot be understood."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=SupervisorStatus)
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError, ValueError, RecursionError):
        return None


def write_status(path: Path, status: SupervisorStatus) -> None:
    """Replace the file in one step, so that a reader never sees half of it; 0600."""
    _replace(path, msgspec.json.format(msgspec.json.encode(status), indent=1))


def read_coordinator_state(path: Path) -> CoordinatorState | None:
    """The last word of a coordinator; None where it has not said any."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=CoordinatorState)
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError, ValueError, RecursionError):
        return None


def write_coordinator_state(path: Path, state: CoordinatorState) -> None:
    """Raises OSError."""
    _replace(path, msgspec.json.encode(state))


def _replace(path: Path, text: bytes) -> None:
    temporary = path.with_name(f"{path.name}.{os.getpid()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        os.write(descriptor, text)
    finally:
        os.close(descriptor)
    os.replace(temporary, path)


def end_process(identity: ProcessIdentity, number: int, *, timeout_s: float) -> bool:
    """Ask one process to end and kill its group after the bound; whether it ran at all.

    For processes that are not our children; raises PermissionError for somebody else's.
    """
    try:
        pidfd = os.pidfd_open(identity.pid)
    except ProcessLookupError:
        return False
    try:
        if not identity.alive:  # checked after the pidfd was opened: from here on it names this process only
            return False
        signal.pidfd_send_signal(pidfd, number)
        if not _wait(pidfd, timeout_s):
            # Every process of ours leads its own session, so its group holds only what it started.
            os.killpg(identity.pid, signal.SIGKILL)
            _wait(pidfd, timeout_s)
    except ProcessLookupError:
        return True
    finally:
        os.close(pidfd)
    return True


def end_leftovers(status: SupervisorStatus, *, timeout_s: float = 10.0) -> list[str]:
    """End what a killed supervisor left running, the last started first; the names of those that ran."""
    return [
        process.name
        for process in reversed(status.processes)
        if process.identity is not None
        and end_process(process.identity, process.stop_signal, timeout_s=timeout_s)
    ]


def _wait(pidfd: int, timeout_s: float) -> bool:
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    return bool(poll.poll(timeout_s * 1000))
