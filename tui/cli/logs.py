"""`logs`: what a task printed."""

from __future__ import annotations

from argparse import Namespace

from bus.values import Stream
from tui.cli import output
from tui.cli.connect import client, task_id
from tui.cli.diagnostics import Exit


async def logs(arguments: Namespace) -> int:
    """Print a task's stdout (or stderr) so far; with --follow until the task has ended."""
    task = task_id(arguments.task)
    stream = Stream.STDERR if arguments.stderr else Stream.STDOUT
    async with client(arguments) as corral:
        if arguments.output == "json":
            output.as_json(await corral.logs(task, stream=stream))
            return Exit.OK
        writer = output.LogWriter(raw=arguments.raw)
        if arguments.follow:
            async for piece in corral.follow(task, stream=stream):
                writer.write(piece)
            return Exit.OK
        offset = 0
        while True:
            piece_answer = await corral.logs(task, stream=stream, offset=offset)
            writer.write(piece_answer.data)
            offset += len(piece_answer.data)
            if not piece_answer.data or offset >= piece_answer.size:
                return Exit.OK
