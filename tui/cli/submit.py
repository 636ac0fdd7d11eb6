"""`submit` and `run`: give the cluster work."""

from __future__ import annotations

import asyncio
from argparse import Namespace
from typing import TYPE_CHECKING

from bus.api import Task
from bus.errors import CorralError
from bus.values import Stream
from tui.cli import diagnostics, output
from tui.cli.connect import client
from tui.cli.diagnostics import CommandError, Exit
from tui.cli.jobs import exit_of, summary
from tui.cli.specification import job_spec
from tui.view.safe import SafeStream

if TYPE_CHECKING:
    from bus.client import Client

CANCEL_TIMEOUT_S = 5.0


async def submit(arguments: Namespace) -> int:
    """Hand a job over; answers with its number and id."""
    spec = job_spec(arguments)
    async with client(arguments) as corral:
        answer = await corral.submit(spec)
        if not arguments.wait:
            if arguments.output == "json":
                output.as_json(answer)
            else:
                again = " (already there: same --dedupe-key)" if answer.duplicate else ""
                tasks = f"{answer.tasks} task{'s' if answer.tasks != 1 else ''}"
                output.lines([f"job {answer.number}: {tasks}{again}"])
            return Exit.OK
        if diagnostics.is_terminal():
            diagnostics.note(f"job {answer.number} accepted; waiting (ctrl-C leaves it running)")
        job = await corral.wait(str(answer.number))
    if arguments.output == "json":
        output.as_json(job)
    else:
        output.lines([summary(job)])
    return exit_of([job])


async def run(arguments: Namespace) -> int:
    """Run one command in the cluster as if it ran here; ctrl-C cancels it."""
    if not arguments.command:
        hint = "corral run -- COMMAND ARGUMENTS"
        raise CommandError("E_REQUIRED", "no command", exit=Exit.USAGE, hint=hint)
    spec = job_spec(arguments)
    spec.retries = 0
    async with client(arguments) as corral:
        job = (await corral.submit(spec)).number
        try:
            async with asyncio.TaskGroup() as streams:
                streams.create_task(_copy_stdout(corral, f"{job}.0", raw=arguments.raw), name="stdout")
                streams.create_task(_copy_stderr(corral, f"{job}.0", raw=arguments.raw), name="stderr")
            await corral.wait(str(job))
            task = await corral.task(f"{job}.0")
        except asyncio.CancelledError:
            await _cancel(corral, job)
            raise
        except BaseExceptionGroup as group:
            raise group.exceptions[0] from None
    return exit_code(task)


def exit_code(task: Task) -> int:
    """The task's own exit code as a shell gives it; a task that never ran is a failure with its message."""
    if task.signal is not None:
        return 128 + task.signal
    if task.exit_code is not None:
        if task.exit_code in (126, 127) and task.message:
            diagnostics.note(f"corral: {task.message}")
        return task.exit_code
    diagnostics.note(
        f"corral: task {task.job}.{task.index} {task.state}{f': {task.message}' if task.message else ''}"
    )
    return Exit.JOB_FAILED


async def _copy_stdout(corral: Client, task: str, *, raw: bool) -> None:
    writer = output.LogWriter(raw=raw)
    async for piece in corral.follow(task, stream=Stream.STDOUT):
        writer.write(piece)


async def _copy_stderr(corral: Client, task: str, *, raw: bool) -> None:
    safe = None if raw or not diagnostics.is_terminal() else SafeStream()
    async for piece in corral.follow(task, stream=Stream.STDERR):
        diagnostics.raw(piece if safe is None else safe.feed(piece).encode())


async def _cancel(corral: Client, job: int) -> None:
    try:
        async with asyncio.timeout(CANCEL_TIMEOUT_S):
            await corral.cancel(str(job))
        diagnostics.note(f"job {job} cancelled")
    except (CorralError, TimeoutError):
        diagnostics.note(f"job {job} may still run; corral cancel {job} ends it")
