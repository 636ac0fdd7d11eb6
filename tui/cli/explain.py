"""`why`: the reasons of the scheduler."""

from __future__ import annotations

from argparse import Namespace

from tui.cli import clock, output
from tui.cli.connect import client
from tui.cli.diagnostics import Exit
from tui.cli.ids import task_id
from tui.view.explanations import why_lines


async def why(arguments: Namespace) -> int:
    """Everything that keeps tasks from starting, or why they are where they are."""
    targets = [task_id(target) for target in arguments.targets]
    async with client(arguments) as corral:
        found = [await corral.why(target, at=arguments.at) for target in targets]
        now_s = await clock.now_s(corral, arguments) if arguments.at is None else arguments.at
    output.each(
        arguments.output,
        found,
        name=lambda why: why.task,
        text=lambda why: why_lines(why, now_s=now_s, width=output.width()),
    )
    return Exit.OK
