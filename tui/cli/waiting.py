"""`wait`: until jobs have ended, and the exit code that says how."""

from __future__ import annotations

import asyncio
import re
from argparse import Namespace
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from bus.api import Job, Task
from bus.refusal import quote
from bus.values import JobState
from tui.cli import output
from tui.cli.connect import client
from tui.cli.diagnostics import CommandError, Exit, note
from tui.cli.ids import job_id
from tui.cli.progress import Progress
from tui.view.descriptions import summary

if TYPE_CHECKING:
    from bus.client import Client


async def wait(arguments: Namespace) -> int:
    """Until every job named has ended; of one job with one task, exits as the task did.

    With `--for` until that holds of each: 0 if it does, 1 where one ended without it.
    """
    names = [job_id(name) for name in arguments.jobs]
    until = condition(arguments.until)
    async with client(arguments) as corral:
        with told_to_go_on(names):
            try:
                async with asyncio.timeout(arguments.timeout):
                    ended = await ended_jobs(corral, names, quiet=arguments.quiet, until=until)
            except TimeoutError:
                awaited = "not ended" if until is None else f"not {arguments.until}"
                raise CommandError(
                    "E_TIMEOUT",
                    f"{awaited} within {arguments.timeout:g} s: {', '.join(names)}",
                    exit=Exit.TIMEOUT,
                    hint=f"they go on; corral wait {' '.join(names)} comes back to them",
                ) from None
        if until is None:
            code = await exit_code(corral, ended)
        else:
            code = Exit.OK if all(map(until, ended)) else Exit.JOB_FAILED
    print_ended(arguments, ended)
    return code


Until = Callable[[Job], bool]


def condition(text: str) -> Until | None:
    """What `--for` waits for; None: the end, however it is. Raises CommandError."""
    share = re.fullmatch(r"(100|[1-9]?[0-9])%", text)
    if share is not None:
        least = int(share[1])
        return lambda job: _over(job) * 100 >= least * job.counts.total
    match text:
        case "done":
            return None
        case "started":
            return lambda job: job.started_at is not None
        case "running" | "completed" | "failed":
            state = JobState(text)
            return lambda job: job.state is state
        case _:
            raise CommandError(
                "E_ENUM",
                "nothing that can be waited for",
                exit=Exit.USAGE,
                field="--for",
                got=quote(text),
                expected="done, started, running, completed, failed or a share such as 50%",
            )


def _over(job: Job) -> int:
    return job.counts.completed + job.counts.failed + job.counts.cancelled


async def ended_jobs(
    corral: Client, names: Sequence[str], *, quiet: bool, until: Until | None = None
) -> list[Job]:
    """The jobs once all have ended, or `until` holds of them; shows how far they are."""
    async with Progress(corral, names, quiet=quiet):
        return [await corral.wait(name, until=until) for name in names]


@contextmanager
def told_to_go_on(names: Sequence[str]) -> Iterator[None]:
    """Who interrupts the block is told that the jobs go on."""
    try:
        yield
    except asyncio.CancelledError:
        jobs = f"job{'s' if len(names) > 1 else ''} {', '.join(names)}"
        together = " ".join(names)
        note(f"{jobs} not ended: corral wait {together} comes back, corral cancel {together} ends it")
        raise


async def exit_code(corral: Client, ended: Sequence[Job]) -> int:
    """0 where all completed, else 1; a single task's own code where it is only that."""
    if all(job.state is JobState.COMPLETED for job in ended):
        return Exit.OK
    if len(ended) == 1 and ended[0].counts.total == 1:
        return task_exit_code(await corral.task(f"{ended[0].number}.0"))
    return Exit.JOB_FAILED


def task_exit_code(task: Task) -> int:
    """The task's own exit code as a shell gives it; a task that never ran has failed."""
    if task.signal is not None:
        return 128 + task.signal
    return task.exit_code if task.exit_code is not None else Exit.JOB_FAILED


def print_ended(arguments: Namespace, ended: Sequence[Job]) -> None:
    """The jobs that ended, a line each; in JSON as `corral job` shows them."""
    output.each(
        arguments.output,
        ended,
        name=lambda job: str(job.number),
        text=lambda job: [summary(job)],
        apart=False,
    )
