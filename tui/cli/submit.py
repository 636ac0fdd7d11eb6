"""`submit`, `run` and `plan`: give the cluster work, or ask what would become of it."""

from __future__ import annotations

import asyncio
import re
from argparse import Namespace
from typing import TYPE_CHECKING

from bus.api import Submitted, Task
from bus.errors import CorralError
from bus.refusal import quote
from bus.requests import WhatIf
from bus.units import counted
from bus.values import Stream
from tui.cli import clock, diagnostics, output
from tui.cli.connect import client
from tui.cli.diagnostics import CommandError, Exit
from tui.cli.flags import check_effect
from tui.cli.foreseeing import print_outlook
from tui.cli.progress import Progress
from tui.cli.specification import job_spec
from tui.cli.waiting import ended_jobs, exit_code, print_ended, task_exit_code, told_to_go_on
from tui.view.explanations import plan_lines
from tui.view.safe import SafeStream
from tui.view.upcoming import upcoming_lines

if TYPE_CHECKING:
    from bus.client import Client

CANCEL_TIMEOUT_S = 5.0


async def submit(arguments: Namespace) -> int:
    """Hand a job over; answers with its number and id."""
    if arguments.plan:
        return await plan(arguments)
    spec = job_spec(arguments)
    if spec.cron is not None:
        check_effect(arguments, ("wait",), beside="--cron")
    async with client(arguments) as corral:
        answer = await corral.submit(spec)
        if not arguments.wait:
            name = str(answer.number or answer.id)
            output.one(arguments.output, answer, name=name, text=lambda: [submitted_line(answer)])
            return Exit.OK
        if not arguments.quiet:
            diagnostics.note(submitted_line(answer))
        names = [str(answer.number)]
        with told_to_go_on(names):
            ended = await ended_jobs(corral, names, quiet=arguments.quiet)
        code = await exit_code(corral, ended)
    print_ended(arguments, ended)
    return code


async def plan(arguments: Namespace) -> int:
    """What a job would become if it were submitted now, or what a change would do to all that waits."""
    if getattr(arguments, "next", None) is not None:
        return await _upcoming(arguments)
    if any(getattr(arguments, name, None) for name in ("add_nodes", "drain", "order")):
        return await _what_if(arguments)
    spec = job_spec(arguments)
    async with client(arguments) as corral:
        answer = await corral.plan(spec)
        now_s = await clock.now_s(corral, arguments)
    output.one(arguments.output, answer, name=answer.name, text=lambda: plan_lines(answer, now_s=now_s))
    return Exit.OK


async def _upcoming(arguments: Namespace) -> int:
    """What would start next of all that waits."""
    beside = ("command", "shell", "file", "tool", "add_nodes", "drain", "order")
    if given := [name for name in beside if getattr(arguments, name, None)]:
        what = "a command" if given[0] == "command" else f"--{given[0].replace('_', '-')}"
        message, hint = f"--next is about what waits, not {what}", "corral plan --next"
        raise CommandError("E_USAGE", message, exit=Exit.USAGE, field="--next", hint=hint)
    async with client(arguments) as corral:
        answer = await corral.upcoming(arguments.next)
        now_s = await clock.now_s(corral, arguments)
    match arguments.output:
        case "json":
            output.as_json(answer)
        case "jsonl":
            output.as_json_lines(answer.turns)
        case "name":
            output.lines(turn.task for turn in answer.turns)
        case _:
            output.lines(upcoming_lines(answer, now_s=now_s, width=output.width()))
    return Exit.OK


async def _what_if(arguments: Namespace) -> int:
    add, like = _nodes_to_add(arguments.add_nodes)
    has_job = arguments.command or arguments.shell is not None or arguments.file is not None or arguments.tool
    change = WhatIf(
        add=add,
        like=like,
        drain=arguments.drain or [],
        order=arguments.order or "",
        job=job_spec(arguments) if has_job else None,
    )
    return await print_outlook(arguments, change)


def _nodes_to_add(text: str | None) -> tuple[int, str]:
    """ "2:like=n1" as 2 and n1. Raises CommandError."""
    if text is None:
        return 0, ""
    matched = re.fullmatch(r"([0-9]{1,6})(?::like=([a-z0-9][a-z0-9_-]{0,62}))?", text, re.ASCII)
    if matched is None:
        raise CommandError(
            "E_USAGE",
            "not a number of nodes",
            exit=Exit.USAGE,
            field="--add-nodes",
            got=quote(text),
            expected="N or N:like=NODE",
        )
    return int(matched[1]), matched[2] or ""


def submitted_line(answer: Submitted) -> str:
    """The job's number and how many tasks it became."""
    again = " (already there: same --dedupe-key)" if answer.duplicate else ""
    if not answer.number:
        there = " (already there)" if answer.duplicate else ""
        return f"{answer.note}, {counted(answer.tasks, 'task')} each time{there}"
    note = f"; {answer.note}" if answer.note else ""
    return f"job {answer.number}: {counted(answer.tasks, 'task')}{again}{note}"


async def run(arguments: Namespace) -> int:
    """Run one command in the cluster as if it ran here; ctrl-C cancels it."""
    if not arguments.command and arguments.shell is None:
        hint = "corral run -- COMMAND ARGUMENTS; corral run -it bash"
        raise CommandError("E_REQUIRED", "no command", exit=Exit.USAGE, hint=hint)
    if arguments.interactive or arguments.tty:
        from tui.cli.attach import run_in_terminal

        return await run_in_terminal(arguments)
    spec = job_spec(arguments)
    spec.retries = 0
    async with client(arguments) as corral:
        job = (await corral.submit(spec)).number
        progress = Progress(corral, [str(job)], quiet=arguments.quiet, until_started=True)
        try:
            async with progress, asyncio.TaskGroup() as streams:
                streams.create_task(
                    _copy_stdout(corral, f"{job}.0", progress, raw=arguments.raw), name="stdout"
                )
                streams.create_task(
                    _copy_stderr(corral, f"{job}.0", progress, raw=arguments.raw), name="stderr"
                )
            await corral.wait(str(job))
            task = await corral.task(f"{job}.0")
        except asyncio.CancelledError:
            await cancel(corral, job)
            raise
        except BaseExceptionGroup as group:
            await cancel(corral, job)
            raise group.exceptions[0] from None
    _tell_end(task)
    return task_exit_code(task)


def _tell_end(task: Task) -> None:
    """What the exit code alone would not say: that the command was not found, or never ran."""
    never_ran = task.exit_code is None and task.signal is None
    if never_ran or (task.exit_code in (126, 127) and task.message):
        said = task.message if not never_ran else f"task {task.job}.{task.index} {task.state}"
        more = f": {task.message}" if never_ran and task.message else ""
        diagnostics.note(f"corral: {said}{more}")


async def _copy_stdout(corral: Client, task: str, progress: Progress, *, raw: bool) -> None:
    writer = output.LogWriter(raw=raw)
    async for piece in corral.follow(task, stream=Stream.STDOUT):
        progress.clear()
        writer.write(piece)


async def _copy_stderr(corral: Client, task: str, progress: Progress, *, raw: bool) -> None:
    safe = None if raw or not diagnostics.is_terminal() else SafeStream()
    async for piece in corral.follow(task, stream=Stream.STDERR):
        progress.clear()
        diagnostics.raw(piece if safe is None else safe.feed(piece).encode())


async def cancel(corral: Client, job: int) -> None:
    """End the job that nobody waits for any more. A second ctrl-C leaves it to itself."""
    try:
        diagnostics.note(f"cancelling job {job}; ctrl-C again leaves it as it is")
        async with asyncio.timeout(CANCEL_TIMEOUT_S):
            await corral.cancel(str(job))
        diagnostics.note(f"job {job} cancelled")
    except (CorralError, TimeoutError, asyncio.CancelledError, KeyboardInterrupt):
        diagnostics.note(f"job {job} may still run; corral cancel {job} ends it")
