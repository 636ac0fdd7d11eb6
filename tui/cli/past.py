"""`changes` and `spike`: what became different between two moments, and what stands out in an interval."""

from __future__ import annotations

import time
from argparse import Namespace
from collections.abc import Sequence

from tui.cli import output
from tui.cli.connect import client
from tui.cli.diagnostics import CommandError, Exit
from tui.client.changes import all_changes
from tui.view.lines import Line
from tui.view.past_page import changes_page, spike_page

CHANGES_S, SPIKE_S = 3_600.0, 600.0


async def changes(arguments: Namespace) -> int:
    """Jobs and nodes that are in another state, and what happened in between."""
    since, until = span(arguments, back_s=CHANGES_S)
    async with client(arguments) as corral:
        found = await all_changes(corral, since, None if arguments.until is None else until)
    _show(arguments.output, found, changes_page(found, now_s=time.time()))
    return Exit.OK


async def spike(arguments: Namespace) -> int:
    """Events, jobs and nodes that were otherwise than in the time before, the most so first."""
    since, until = span(arguments, back_s=SPIKE_S)
    async with client(arguments) as corral:
        found = await corral.spike(since, until)
    _show(arguments.output, found, spike_page(found, now_s=time.time()))
    return Exit.OK


def span(arguments: Namespace, *, back_s: float) -> tuple[float, float]:
    """From `--since` (else `back_s` before the end) to `--until` (else now). Raises CommandError."""
    until = time.time() if arguments.until is None else arguments.until
    since = until - back_s if arguments.since is None else arguments.since
    if since >= until:
        message = "it does not lie before the end"
        raise CommandError("E_TIME", message, exit=Exit.USAGE, field="--since")
    return since, until


def _show(form: str, document: object, page: Sequence[Line]) -> None:
    match form:
        case "json":
            output.as_json(document)
        case "jsonl":
            output.as_json_lines([document])
        case _:
            output.lines(f"{line.mark} {line.text}".rstrip() if line.mark else line.text for line in page)
