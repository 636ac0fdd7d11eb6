"""`up`, `down`, `console`: Corral on this machine.

The supervisor (`python -m coordinator supervise DIR`) does the work in its own session; these verbs start
it, read the status file that it keeps, and signal it. Leaving the console leaves the cluster running.
"""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import subprocess
import sys
import time
from argparse import Namespace
from pathlib import Path

import msgspec

from bus.address import SECURE, AddressError, parse_address
from bus.errors import CorralError, Error
from bus.layout import Layout, default_data_dir
from bus.setting_kinds import EMBEDDED
from bus.settings import SETTINGS, Source
from bus.supervision import (
    Phase,
    SupervisorStatus,
    end_leftovers,
    end_process,
    read_status,
)
from bus.units import counted
from tui import processes
from tui.cli import diagnostics, output
from tui.cli.diagnostics import CommandError, Exit
from tui.early_picture import early_picture

STOP_TIMEOUT_S = 60.0
ASK_TIMEOUT_S = 2.0
TAKEOVER_S = 5
"""The guards end tasks 12 s after their lease was last renewed; stopping and starting take some of that."""

LISTEN_OFF = "off"


def up(arguments: Namespace) -> int:
    """Start everything unless it runs already, then open the console or say how to reach it."""
    if arguments.agents is not None and not 0 <= arguments.agents <= 64:
        raise CommandError("E_RANGE", "0–64 agents", exit=Exit.USAGE, field="--agents")
    _check_listen(arguments.listen)
    layout = _layout(arguments)
    status = processes.running(layout)
    if status is not None and status.phase is Phase.STOPPING:
        diagnostics.note(f"waiting for supervisor {status.identity.pid} to stop")
        end_process(status.identity, signal.SIGTERM, timeout_s=STOP_TIMEOUT_S)
        status = None
    if status is None:
        started_at = time.monotonic()
        environment = environment_of(arguments)
        check_own_servers(layout, arguments, environment)
        status = processes.start(
            layout,
            agents=arguments.agents,
            listen=arguments.listen,
            standby=arguments.standby,
            environment=environment,
        )
        diagnostics.note(f"Corral runs ({time.monotonic() - started_at:.1f} s)")
    else:
        diagnostics.note(f"Corral already runs here (supervisor {status.identity.pid})")
        if arguments.agents not in (None, status.agents):
            runs = counted(status.agents, "agent")
            diagnostics.note(f"with {runs}; corral down, then corral up --agents {arguments.agents}")
        if arguments.standby not in (None, status.standby):
            flag = "--standby" if arguments.standby else "--no-standby"
            diagnostics.note(
                f"with{'' if status.standby else 'out'} a standby; corral down, then corral up {flag}"
            )
        if arguments.deterministic:
            diagnostics.note("as it was started; corral down, then corral up --deterministic")
        for key in ("agent.can", "agent.interfaces"):
            if (said := arguments.settings.source(key)).source is Source.FLAG:
                flags = " ".join(f"{said.where} {each}" for each in str(said.value).split(","))
                diagnostics.note(f"with agents as they were started; corral down, then corral up {flags}")
        if arguments.listen is not None and not _listens(status, arguments.listen):
            diagnostics.note(
                f"at {status.url}; corral down, then corral up --listen {arguments.listen} moves it"
            )
        if status.phase is Phase.STARTING:
            status = processes.follow_start(layout, status.identity.pid)
    if arguments.detach or arguments.no_console or not (sys.stdin.isatty() and output.is_terminal()):
        if arguments.output == "json":
            output.as_json(processes.report(status))
        else:
            output.lines(processes.how_to_reach(status))
        return Exit.OK
    code = console(arguments)
    diagnostics.note("the cluster goes on running; corral console comes back, corral down stops it")
    return code


def down(arguments: Namespace) -> int:
    """Stop everything in order: agents, coordinator, NATS, PostgreSQL."""
    layout = _layout(arguments)
    status = read_status(layout.supervisor)
    if status is None or not status.identity.alive:
        leftovers = end_leftovers(status) if status is not None else []
        told = f"stopped {', '.join(leftovers)}" if leftovers else "nothing runs"
    else:
        running_on = tasks_running(layout)
        end_process(status.identity, signal.SIGTERM, timeout_s=STOP_TIMEOUT_S)
        if running_on:
            diagnostics.note(
                f"{counted(running_on, 'task')} still running: corral up within {TAKEOVER_S} s carries on; "
                "else what runs is ended, and queued again at the next corral up"
            )
        if (final := read_status(layout.supervisor)) is not None:
            end_leftovers(final)
        told = "Corral stopped"
    if arguments.output == "json":
        output.as_json({"data": str(layout.data), "message": told})
    else:
        output.lines([f"{told} ({layout.data})"])
    return Exit.OK


def tasks_running(layout: Layout) -> int:
    """How many tasks run on the cluster; 0 where it cannot tell within a moment."""
    from bus.client import Client

    async def ask() -> int:
        async with asyncio.timeout(ASK_TIMEOUT_S), Client.connect(data=layout.data) as client:
            return sum(node.running for node in (await client.nodes()).nodes)

    try:
        return asyncio.run(ask())
    except (CorralError, TimeoutError):
        return 0


def console(arguments: Namespace) -> int:
    """Open the console on this terminal."""
    if not (sys.stdin.isatty() and output.is_terminal()):
        raise CommandError("E_TERMINAL", "the console needs a terminal", exit=Exit.USAGE)
    with early_picture() as picture:
        gc.disable()  # reading the console makes no garbage: `open_console` turns it on again
        from tui.app import open_console

        return open_console(
            url=arguments.url,
            credentials=Path(arguments.credentials) if arguments.credentials else None,
            data=Path(arguments.data) if arguments.data else None,
            ca=arguments.settings.text("nats.ca"),
            demo=getattr(arguments, "demo", False),  # `up` opens it too
            picture=picture,
        )


def environment_of(arguments: Namespace) -> dict[str, str]:
    """For our programs: what was typed goes on as variables, since everybody may read an argv."""
    typed = {
        "nats.url": arguments.url,
        "database.dsn": arguments.database,
        "scheduler.deterministic": arguments.deterministic,
        "agent.can": arguments.settings.text("agent.can"),
        "agent.interfaces": arguments.settings.text("agent.interfaces"),
    }
    said = {SETTINGS[key].variable: value for key, value in typed.items() if value is not None}
    return {**os.environ, **said}


def check_own_servers(layout: Layout, arguments: Namespace, environment: dict[str, str]) -> None:
    """Have servers that somebody else runs looked at before anything is started. Raises CommandError."""
    if layout.joined.exists() or (arguments.url is None and arguments.database in (None, EMBEDDED)):
        return
    command = [sys.executable, "-P", "-m", "coordinator", "check", str(layout.data.absolute())]
    done = subprocess.run(
        command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, check=False
    )
    if done.returncode != 0:
        try:
            error = msgspec.json.decode(done.stdout, type=Error)
        except msgspec.DecodeError:
            said = done.stderr.decode(errors="replace").strip().splitlines()
            raise CommandError(
                "E_START", said[-1] if said else "the check failed", exit=Exit.UNAVAILABLE
            ) from None
        raise CommandError(error.code, error.message, exit=Exit(done.returncode), hint=error.hint)


def _check_listen(wanted: str | None) -> None:
    if wanted in (None, LISTEN_OFF):
        return
    try:
        parse_address(wanted)
    except AddressError as error:
        raise CommandError(
            "E_USAGE", str(error), exit=Exit.USAGE, field="--listen", got=repr(wanted[:80])
        ) from None


def _listens(status: SupervisorStatus, wanted: str) -> bool:
    """Whether the one that runs listens as is wanted."""
    if wanted == LISTEN_OFF:
        return not status.url.startswith(f"{SECURE}://")
    return bool(status.joins) and parse_address(wanted).host == status.listen


def _layout(arguments: Namespace) -> Layout:
    return Layout(Path(arguments.data).absolute() if arguments.data else default_data_dir())
