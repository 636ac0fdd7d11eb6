"""`status`: the processes of this machine, and the cluster that it reaches."""

from __future__ import annotations

import asyncio
import time
from argparse import Namespace
from collections.abc import Iterable
from pathlib import Path

from bus.api import Cluster
from bus.errors import CorralError, CredentialsError
from bus.layout import Layout, default_data_dir
from bus.supervision import Phase, ProcessHealth, SupervisorStatus, read_status
from tui import processes
from tui.cli import output
from tui.cli.connect import client
from tui.cli.diagnostics import CommandError, Exit, note
from tui.view.cluster import cluster_lines
from tui.view.rows import PROCESS_COLUMNS, process_row
from tui.view.table import render

ASK_TIMEOUT_S = 2.0
"""Who asks how things are wants to hear soon that they are not well."""


def status(arguments: Namespace) -> int:
    """Processes with pid and health, and the cluster's nodes, work and capacity; exit 0 where all is well."""
    if arguments.at is not None:
        return asyncio.run(_then(arguments))
    layout = Layout(Path(arguments.data).absolute() if arguments.data else default_data_dir())
    found = read_status(layout.supervisor)
    if found is not None:
        found = as_it_is(found)
    cluster: Cluster | None = None
    if found is None or found.phase not in (Phase.STOPPED, Phase.FAILED):
        try:
            cluster = asyncio.run(_ask(arguments))
        except (CorralError, TimeoutError) as error:
            if found is None:
                raise _nothing(error, layout, arguments) from None
            if not found.node:  # a machine that joined has no credentials of a person, and needs none
                note(f"the cluster does not answer: {str(error) or 'no word in time'}")
    _show(arguments.output, found, cluster)
    well = found is None or (
        found.phase is Phase.RUNNING
        and all(process.health is ProcessHealth.HEALTHY for process in found.processes)
    )
    return Exit.OK if well and (cluster is not None or (found and found.node)) else Exit.UNAVAILABLE


def as_it_is(status: SupervisorStatus) -> SupervisorStatus:
    """Correct what a killed supervisor can no longer correct itself."""
    if not status.identity.alive and status.phase not in (Phase.STOPPED, Phase.FAILED):
        status.phase = Phase.FAILED
        status.message = "the supervisor was killed; corral up starts it again"
    for process in status.processes:
        if process.identity is not None and not process.identity.alive:
            process.identity = None
            process.health = ProcessHealth.STOPPED
    return status


async def _then(arguments: Namespace) -> int:
    """The cluster alone, as it was: nobody keeps which processes ran here."""
    async with client(arguments) as corral:
        cluster = await corral.cluster(at=arguments.at)
    _show(arguments.output, None, cluster)
    return Exit.OK


async def _ask(arguments: Namespace) -> Cluster:
    async with asyncio.timeout(ASK_TIMEOUT_S), client(arguments) as corral:
        return await corral.cluster()


def _nothing(error: BaseException, layout: Layout, arguments: Namespace) -> BaseException:
    """What to raise where no process runs here: the error of a cluster elsewhere, or that there is none."""
    if isinstance(error, CredentialsError) and error.code == "E_AUTH":
        hint = f"corral up starts it{'' if arguments.data is None else f' with --data {arguments.data}'}"
        message = f"nothing runs in {layout.data}"
        return CommandError("E_UNAVAILABLE", message, exit=Exit.UNAVAILABLE, hint=hint)
    if isinstance(error, TimeoutError):
        message = f"no answer within {ASK_TIMEOUT_S:g} s"
        return CommandError("E_TIMEOUT", message, exit=Exit.TIMEOUT)
    return error


def _show(form: str, found: SupervisorStatus | None, cluster: Cluster | None) -> None:
    """In JSON lines and by name: the processes only, as they are what the list is of."""
    report = processes.report(found) if found is not None else {"processes": []}
    listed = report["processes"]
    assert isinstance(listed, list)
    match form:
        case "json":
            output.as_json(report | {"cluster": cluster})
        case "jsonl":
            output.as_json_lines(listed)
        case "name":
            output.lines(process["name"] for process in listed)
        case _:
            output.lines(_lines(found, cluster))


def _lines(found: SupervisorStatus | None, cluster: Cluster | None) -> Iterable[str]:
    now_s = time.time()
    if found is not None:
        yield f"Corral in {found.data}: {found.phase}{f': {found.message}' if found.message else ''}"
        rows = [process_row(process, now_s=now_s) for process in found.processes]
        yield from render(PROCESS_COLUMNS, rows, width=output.width())
    if cluster is not None:
        if found is not None:
            yield ""
        yield from cluster_lines(cluster, now_s=now_s)
