"""`jobs`, `job`, `tasks`, `cancel`, `wait`: look at jobs and end them."""

from __future__ import annotations

import asyncio
import json
import time
from argparse import Namespace
from enum import StrEnum
from typing import TypeVar

from bus.api import Job, Task
from bus.values import JobState, TaskState
from tui.cli import output
from tui.cli.connect import client, job_id, task_id
from tui.cli.diagnostics import CommandError, Exit, note
from tui.view.amounts import NONE, duration
from tui.view.rows import (
    JOB_COLUMNS,
    TASK_COLUMNS,
    counts_text,
    elapsed_s,
    exit_word,
    job_row,
    task_name,
    task_row,
)

OUTPUT_SHOWN = 400
"""Characters of a task's output in its description."""

State = TypeVar("State", bound=StrEnum)


async def jobs(arguments: Namespace) -> int:
    """List jobs, newest first."""
    states = parse_states(arguments.state, JobState)
    async with client(arguments) as corral:
        answer = await corral.jobs(states=states, user=arguments.user, limit=arguments.limit)
    if arguments.output == "json":
        output.as_json(answer)
        return Exit.OK
    now_s = time.time()
    output.table(JOB_COLUMNS, [job_row(job, now_s=now_s) for job in answer.jobs])
    if answer.next:
        note(f"the newest {len(answer.jobs)}; --limit shows more")
    return Exit.OK


async def job(arguments: Namespace) -> int:
    """One job: its state, its counts, how it was asked for."""
    name = job_id(arguments.job)
    async with client(arguments) as corral:
        answer = await corral.job(name)
    if arguments.output == "json":
        output.as_json(answer)
    else:
        output.lines(describe(answer, now_s=time.time()))
    return Exit.OK


async def tasks(arguments: Namespace) -> int:
    """The tasks of a job by index, an untouched range as one row; or one task in full."""
    target = task_id(arguments.target)
    if "." in target:
        return await _task(arguments, target)
    states = parse_states(arguments.state, TaskState)
    async with client(arguments) as corral:
        answer = await corral.tasks(target, states=states, limit=arguments.limit)
    if arguments.output == "json":
        output.as_json(answer)
        return Exit.OK
    now_s = time.time()
    output.table(TASK_COLUMNS, [task_row(task, now_s=now_s) for task in answer.tasks])
    if answer.next:
        note(f"the first {len(answer.tasks)}; --limit shows more")
    return Exit.OK


async def _task(arguments: Namespace, target: str) -> int:
    async with client(arguments) as corral:
        answer = await corral.task(target)
    if arguments.output == "json":
        output.as_json(answer)
    else:
        output.lines(describe_task(answer, now_s=time.time()))
    return Exit.OK


async def cancel(arguments: Namespace) -> int:
    """End jobs or tasks; those already over stay as they are."""
    targets = [task_id(target) for target in arguments.targets]
    told = {}
    async with client(arguments) as corral:
        for target in targets:
            told[target] = (await corral.cancel(target)).tasks
    if arguments.output == "json":
        output.as_json({"cancelled": [{"target": target, "tasks": count} for target, count in told.items()]})
    else:
        output.lines([f"{target}: {count} tasks told to end" for target, count in told.items()])
    return Exit.OK


async def wait(arguments: Namespace) -> int:
    """Until every job named has ended; 1 where one of them did not complete."""
    from bus.units import UnitError, parse_duration_s

    names = [job_id(name) for name in arguments.jobs]
    try:
        timeout_s = None if arguments.timeout is None else parse_duration_s(arguments.timeout)
    except UnitError as error:
        raise CommandError(error.code, str(error), exit=Exit.USAGE, field="--timeout") from None
    ended: list[Job] = []
    async with client(arguments) as corral:
        try:
            async with asyncio.timeout(timeout_s):
                for name in names:
                    ended.append(await corral.wait(name))
        except TimeoutError:
            message = f"job {names[len(ended)]} has not ended within {arguments.timeout}"
            raise CommandError("E_TIMEOUT", message, exit=Exit.TIMEOUT) from None
    if arguments.output == "json":
        output.as_json({"jobs": ended})
    else:
        output.lines([summary(job) for job in ended])
    return exit_of(ended)


def exit_of(ended: list[Job]) -> int:
    """0 where all jobs completed."""
    return Exit.OK if all(job.state is JobState.COMPLETED for job in ended) else Exit.JOB_FAILED


def summary(job: Job) -> str:
    """One line about a job that has ended."""
    reason = f" ({job.reason})" if job.reason else ""
    return f"{job.number} {job.state}: {counts_text(job.counts)}{reason}"


def describe(job: Job, *, now_s: float) -> list[str]:
    """A job in full, a line a fact."""
    facts = [
        ("job", f"{job.number}  {job.id}"),
        ("name", job.name),
        ("user", job.user),
        ("state", f"{job.state}{f' ({job.reason})' if job.reason else ''}"),
        ("priority", str(job.priority)),
        ("tasks", f"{job.counts.total}: {counts_text(job.counts)}"),
        ("submitted", f"{duration(now_s - job.submitted_at)} ago"),
        ("run", duration(elapsed_s(job.started_at, job.ended_at, now_s=now_s))),
        ("exit", exit_word(job.exit_code, None)),
    ]
    return [f"{label:<10} {text}" for label, text in facts]


def describe_task(task: Task, *, now_s: float) -> list[str]:
    """A task in full, a line a fact; a large output is cut."""
    facts = [
        ("task", f"{task_name(task)}  {task.id}"),
        ("name", task.name),
        ("state", f"{task.state}{f' ({task.message})' if task.message else ''}"),
        ("node", task.node or NONE),
        ("run", duration(elapsed_s(task.started_at, task.ended_at, now_s=now_s))),
        ("exit", exit_word(task.exit_code, task.signal)),
        ("retries", str(task.retries)),
    ]
    for attempt in task.attempts:
        ended = exit_word(attempt.exit_code, attempt.signal)
        ran = duration(elapsed_s(attempt.started_at, attempt.ended_at, now_s=now_s))
        facts.append((f"try {attempt.fence}", f"{attempt.node}  {attempt.state}  exit {ended}  {ran}"))
    if task.output is not None:
        text = json.dumps(task.output, ensure_ascii=False)
        cut = f"… ({len(text)} characters; -o json shows all)" if len(text) > OUTPUT_SHOWN else ""
        facts.append(("output", text[:OUTPUT_SHOWN] + cut))
    return [f"{label:<10} {text}" for label, text in facts]


def parse_states(texts: list[str] | None, kind: type[State]) -> list[State]:
    """State names as typed. Raises CommandError, listing what there is."""
    try:
        return [kind(text) for text in texts or []]
    except ValueError:
        known = ", ".join(kind)
        raise CommandError(
            "E_ENUM", f"got {texts}; expected {known}", exit=Exit.USAGE, field="--state"
        ) from None
