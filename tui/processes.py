"""The processes of this machine: start their supervisor, follow it until all are healthy, tell of them."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path

from bus.layout import Layout, default_data_dir
from bus.supervision import Phase, ProcessStatus, SupervisorStatus, identify, read_status
from tui.cli import diagnostics
from tui.cli.diagnostics import CommandError, Exit
from tui.view.amounts import NONE

START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 60.0
POLL_S = 0.05

FAILURES_MAX = 3
"""A process that ended so often without ever being healthy will not become so by waiting."""


def running(layout: Layout) -> SupervisorStatus | None:
    """The status of a supervisor that really runs."""
    status = read_status(layout.supervisor)
    return status if status is not None and status.identity.alive else None


def start(
    layout: Layout,
    *,
    agents: int | None,
    listen: str | None = None,
    standby: bool | None = None,
    environment: dict[str, str] | None = None,
) -> SupervisorStatus:
    """Start a supervisor and wait until all is healthy, telling how it goes. Raises CommandError."""
    log_path = layout.log("supervisor")
    try:
        layout.data.mkdir(mode=0o711, parents=True, exist_ok=True)
        log_path.parent.mkdir(mode=0o700, exist_ok=True)
        with log_path.open("ab") as log:
            supervisor = subprocess.Popen(
                supervisor_command(layout.data, agents=agents, listen=listen, standby=standby),
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd="/",
                start_new_session=True,
            )
    except OSError as error:
        raise CommandError(
            "E_DATA",
            f"cannot use the data folder {layout.data}: {error.strerror}",
            exit=Exit.CONFIGURATION,
            hint="name another with --data DIR or CORRAL_DATA",
        ) from None
    try:
        return follow_start(layout, supervisor.pid)
    except (CommandError, KeyboardInterrupt) as error:
        # What cannot start must not go on trying behind the person's back.
        supervisor.terminate()
        code = supervisor.wait(STOP_TIMEOUT_S)
        if code == Exit.CONFLICT and isinstance(error, CommandError):
            return follow_other(layout)
        raise


def follow_other(layout: Layout) -> SupervisorStatus:
    """Follow a supervisor that somebody else started a moment before ours. Raises CommandError."""
    deadline = time.monotonic() + START_TIMEOUT_S
    while (status := running(layout)) is None:  # it holds the folder, but has not told of itself yet
        if time.monotonic() > deadline:
            raise CommandError(
                "E_START", f"another supervisor holds {layout.data} and says nothing", exit=Exit.CONFLICT
            )
        time.sleep(POLL_S)
    diagnostics.note(f"supervisor {status.identity.pid} was quicker")
    return follow_start(layout, status.identity.pid)


def supervisor_command(
    data: Path, *, agents: int | None, listen: str | None, standby: bool | None
) -> list[str]:
    """-P: the supervisor must not import whatever lies in some working directory."""
    command = [sys.executable, "-P", "-m", "coordinator", "supervise", str(data.absolute())]
    if agents is not None:
        command += ["--agents", str(agents)]
    if listen is not None:
        command += ["--listen", listen]
    if standby is not None:
        command.append("--standby" if standby else "--no-standby")
    return command


def follow_start(layout: Layout, supervisor_pid: int) -> SupervisorStatus:
    """Tell of each process when it becomes healthy, until all are. Raises CommandError."""
    told: set[str] = set()
    deadline = time.monotonic() + START_TIMEOUT_S
    log = layout.log("supervisor")
    while time.monotonic() < deadline:
        ended = identify(supervisor_pid) is None
        status = read_status(layout.supervisor)
        if status is not None and status.identity.pid == supervisor_pid:
            for process in status.processes:
                if process.ready_after_s is not None and process.name not in told:
                    told.add(process.name)
                    diagnostics.note(
                        f"  ✔ {process.name:<12} {process.ready_after_s:5.1f} s  {process.address}"
                    )
            if status.phase is Phase.RUNNING:
                return status
            _raise_if_hopeless(status)
        if ended:
            last = _last_line(log)
            raise CommandError(
                "E_START", f"the supervisor ended: {last}", exit=Exit.UNAVAILABLE, hint=f"log: {log}"
            )
        time.sleep(POLL_S)
    raise CommandError(
        "E_TIMEOUT", f"not ready after {START_TIMEOUT_S:g} s", exit=Exit.TIMEOUT, hint=f"log: {log}"
    )


def report(status: SupervisorStatus) -> dict[str, object]:
    """The status as a stable document."""
    alive = status.identity.alive
    return {
        "phase": str(status.phase),
        "message": status.message,
        "data": status.data,
        "url": status.url,
        "joins": status.joins,
        "node": status.node,
        "user": status.user,
        "credentials": status.credentials,
        "processes": [
            {
                "name": "supervisor",
                "pid": status.identity.pid if alive else None,
                "health": "healthy" if alive else "stopped",
                "restarts": 0,
            },
            *(_process(process) for process in status.processes),
        ],
    }


def how_to_reach(status: SupervisorStatus) -> list[str]:
    """What to do with a cluster that runs."""
    lines = [f"data       {status.data}"]
    if status.node:
        lines.append(f"node       {status.node} of {status.url}")
    else:
        lines.append(f"bus        {status.url}  (credentials: {status.credentials})")
        lines.append(f"user       {status.user}")
    width = max(len("postgresql"), *(len(process.name) for process in status.processes), 0)
    lines += [
        f"{process.name:<{width}} pid {process.identity.pid if process.identity else NONE}"
        f"  {process.health}  {process.address or process.role}".rstrip()
        for process in status.processes
    ]
    command = command_here(Path(status.data))
    if status.node:
        return [*lines, f"next       {command} status  (or down; up starts it again)"]
    if status.joins:
        lines.append(f"machines   here: {command} token node    there: corral join {status.joins} TOKEN")
    return [*lines, f"next       {command} run -- echo hello  (or console, status, down)"]


def command_here(data: Path) -> str:
    """How this person types `corral` for this data folder."""
    program, found = Path(sys.argv[0]), shutil.which("corral")
    command = "corral"
    if program.name == command and (found is None or not program.samefile(found)):
        command = shlex.quote(os.path.relpath(program))
    return command if data == default_data_dir() else f"CORRAL_DATA={shlex.quote(str(data))} {command}"


def _process(process: ProcessStatus) -> dict[str, object]:
    return {
        "name": process.name,
        "pid": process.identity.pid if process.identity else None,
        "health": str(process.health),
        "address": process.address,
        "role": process.role,
        "restarts": process.restarts,
        "since": process.since,
        "ready_after_s": process.ready_after_s,
        "message": process.message,
        "log": process.log,
    }


def _raise_if_hopeless(status: SupervisorStatus) -> None:
    if status.phase is Phase.FAILED:
        raise CommandError("E_START", status.message, exit=Exit.CONFIGURATION)
    for process in status.processes:
        if process.failures >= FAILURES_MAX and process.ready_after_s is None:
            message = f"{process.name} does not start: {process.message}: {_last_line(Path(process.log))}"
            raise CommandError("E_START", message, exit=Exit.UNAVAILABLE, hint=f"log: {process.log}")


def _last_line(path: Path) -> str:
    try:
        lines = path.read_text(errors="replace").strip().splitlines()
    except OSError:
        return "no log"
    return lines[-1][:300] if lines else "no word in the log"
