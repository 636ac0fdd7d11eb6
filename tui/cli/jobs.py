"""`jobs`, `job`, `tasks`, `task`: look at work."""

from __future__ import annotations

from argparse import Namespace
from enum import StrEnum
from typing import TypeVar

from bus.api import Job, Task
from bus.values import JobState, TaskState
from tui.cli import output
from tui.cli.connect import client
from tui.cli.diagnostics import CommandError, Exit
from tui.cli.ids import attempt_id, job_id, task_id
from tui.cli.listing import Listing, Page, chosen_fields, show
from tui.client.then import Then
from tui.view.columns import ALL_TASK_FIELDS, JOB_FIELDS, RUNNING_FIELDS, TASK_FIELDS, task_name
from tui.view.descriptions import describe_job, describe_task
from tui.view.states import JOB_BADGES, TASK_BADGES

State = TypeVar("State", bound=StrEnum)

JOBS = Listing[Job](
    noun="jobs",
    fields=JOB_FIELDS,
    names=lambda job: (str(job.number),),
    tone=lambda job: JOB_BADGES[job.state].tone,
)

TASKS = Listing[Task](
    noun="tasks",
    fields=TASK_FIELDS,
    names=lambda task: (f"{task.job}.{task.index + place}" for place in range(task.count)),
    tone=lambda task: TASK_BADGES[task.state].tone,
    size=lambda task: task.count,
)


ALL_TASKS = Listing[Task](
    noun="tasks",
    fields=ALL_TASK_FIELDS,
    names=lambda task: () if task.count > 1 else (task_name(task),),
    tone=TASKS.tone,
    size=TASKS.size,
)
"""Of all jobs; what a range stands for lies wherever nobody touched it, and has no names here."""

RUNNING = Listing[Task](
    noun="tasks", fields=RUNNING_FIELDS, names=ALL_TASKS.names, tone=TASKS.tone, size=TASKS.size
)


async def jobs(arguments: Namespace) -> int:
    """List jobs, newest first."""
    states, chosen = parse_states(arguments.state, JobState), chosen_fields(JOBS, arguments)
    async with client(arguments) as corral:

        async def fetch(limit: int, cursor: str) -> Page[Job]:
            answer = await corral.jobs(
                states=states,
                user=arguments.user,
                filter=arguments.filter,
                sort=arguments.sort,
                limit=limit,
                cursor=cursor,
                at=arguments.at,
            )
            return Page(answer.jobs, answer.next, answer.total, answer.states, answer.exact)

        return await show(JOBS, chosen, arguments, fetch, corral=corral)


async def job(arguments: Namespace) -> int:
    """Jobs in full: state, counts, how each was asked for."""
    names = [job_id(name) for name in arguments.jobs]
    async with client(arguments) as corral:
        then = Then(corral, arguments.at)
        found = [await then.job(name) for name in names]
    now_s = then.now_s
    output.each(
        arguments.output,
        found,
        name=lambda job: str(job.number),
        text=lambda job: describe_job(job, now_s=now_s),
    )
    return Exit.OK


async def tasks(arguments: Namespace) -> int:
    """The tasks of a job by index, an untouched range as one row; those of all jobs; or one task in full."""
    target = "" if arguments.target is None else task_id(arguments.target)
    if "." in target:
        arguments.tasks = [target]
        return await task(arguments)
    states = parse_states(arguments.state, TaskState)
    listing = TASKS if target else ALL_TASKS
    return await _show_tasks(arguments, listing, target, states, at=arguments.at)


async def ps(arguments: Namespace) -> int:
    """What runs, with its duration: what has run longest first."""
    if arguments.user is not None:
        name = arguments.user.replace("\\", "\\\\").replace('"', '\\"')
        arguments.filter = f'{arguments.filter} user="{name}"'.strip()
    arguments.sort = arguments.sort or "started"
    return await _show_tasks(arguments, RUNNING, "", [TaskState.RUNNING])


async def _show_tasks(
    arguments: Namespace,
    listing: Listing[Task],
    target: str,
    states: list[TaskState],
    *,
    at: float | None = None,
) -> int:
    chosen = chosen_fields(listing, arguments)
    async with client(arguments) as corral:

        async def fetch(limit: int, cursor: str) -> Page[Task]:
            answer = await corral.tasks(
                target,
                states=states,
                filter=arguments.filter,
                sort=arguments.sort,
                limit=limit,
                cursor=cursor,
                at=at,
            )
            return Page(answer.tasks, answer.next, answer.total, answer.states, answer.exact)

        return await show(listing, chosen, arguments, fetch, corral=corral)


async def task(arguments: Namespace) -> int:
    """Tasks in full with their attempts; "1042.7#2" with that attempt only."""
    targets = [attempt_id(name) for name in arguments.tasks]
    async with client(arguments) as corral:
        then = Then(corral, arguments.at)
        found = [only_attempt(await then.task(target.name), target.attempt) for target in targets]
    now_s = then.now_s
    output.each(arguments.output, found, name=task_name, text=lambda task: describe_task(task, now_s=now_s))
    return Exit.OK


def only_attempt(task: Task, attempt: int) -> Task:
    """The task with one attempt, or with all (0). Raises CommandError."""
    if attempt:
        task.attempts = [item for item in task.attempts if item.fence == attempt]
        if not task.attempts:
            message = f"task {task_name(task)} has no attempt {attempt}"
            raise CommandError("E_NOT_FOUND", message, exit=Exit.NOT_FOUND)
    return task


def parse_states(texts: list[str] | None, kind: type[State]) -> list[State]:
    """State names as typed, "failed,cancelled" too. Raises CommandError, listing what there is."""
    names = [name.strip() for text in texts or [] for name in text.split(",")]
    try:
        return [kind(name) for name in names]
    except ValueError:
        unknown = next(name for name in names if name not in set(kind))
        raise CommandError(
            "E_ENUM",
            "unknown state",
            exit=Exit.USAGE,
            field="--state",
            got=repr(unknown[:80]),
            expected=", ".join(kind),
        ) from None
