"""`tree`: people, their jobs and the tasks of these, each below what it belongs to."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from msgspec import Struct

from bus.api import Job, Task
from bus.people import User
from tui.cli import output
from tui.cli.connect import client
from tui.cli.diagnostics import CommandError, Exit
from tui.view.tree import Branch, Kind, job_branch, task_branch, user_branch

if TYPE_CHECKING:
    from bus.client import Client

JOBS_MAX = 1_000
LIVE = "state=pending,scheduled,running,paused"
LAST, MORE, THROUGH, BESIDE = "└─ ", "├─ ", "   ", "│  "


class JobTree(Struct):
    """A job, the first of its tasks, and the jobs that its tasks submitted."""

    job: Job
    tasks: list[Task] = []
    jobs: list[JobTree] = []


class UserTree(Struct):
    """Somebody, and what they have."""

    user: User
    jobs: list[JobTree] = []


async def tree(arguments: Namespace) -> int:
    """Whoever one may see, or one of them. Raises CommandError where there is none of that name."""
    async with client(arguments) as corral:
        everybody = (await corral.users(at=arguments.at)).users
        users = [each for each in everybody if arguments.user in ("", each.name)]
        if not users:
            message = f"nobody is called {arguments.user}"
            raise CommandError("E_NOT_FOUND", message, exit=Exit.NOT_FOUND, hint="corral users shows all")
        found = [await _of(corral, user, arguments) for user in users]
    match arguments.output:
        case "json":
            output.as_json(found)
        case "jsonl":
            output.as_json_lines(found)
        case _:
            output.lines(line for each in found for line in drawn(branch_of(each)))
    return Exit.OK


async def _of(corral: Client, user: User, arguments: Namespace) -> UserTree:
    name = user.name.replace("\\", "\\\\").replace('"', '\\"')
    condition = f'user="{name}"' + ("" if arguments.all else f" {LIVE}")
    jobs = (await corral.jobs(filter=condition, limit=JOBS_MAX, at=arguments.at)).jobs
    below = [JobTree(job) for job in jobs]
    for each in below if arguments.tasks else ():
        each.tasks = (await corral.tasks(each.job.number, limit=arguments.tasks, at=arguments.at)).tasks
    return UserTree(user, nested(below))


def nested(trees: Sequence[JobTree]) -> list[JobTree]:
    """Each below the job that it came from, where that is one of them; else where it was."""
    known = {each.job.number: each for each in trees}
    top: list[JobTree] = []
    for each in trees:
        above = known.get(int(each.job.parent.partition(".")[0])) if each.job.parent else None
        (top if above is None else above.jobs).append(each)
    return top


def branch_of(found: UserTree) -> Branch:
    """Somebody, with all that is below them."""
    branch = user_branch(found.user)
    branch.children = [_job_branch(each) for each in found.jobs]
    return branch


def _job_branch(found: JobTree) -> Branch:
    """Its tasks, each with the jobs that it submitted, then the jobs of those that are not shown."""
    branch = job_branch(found.job)
    if found.job.parent:
        branch.text += f"  from {found.job.parent}"
    branch.children = [task_branch(task) for task in found.tasks]
    shown = {below.key: below for below in branch.children}
    told = sum(task.count for task in found.tasks)
    if found.tasks and told < found.job.counts.total:
        more = found.job.counts.total - told
        said = f"and {more:,} more: corral tasks {found.job.number}"
        branch.children.append(Branch(kind=Kind.NOTE, key="more", text=said))
    for child in found.jobs:
        above = shown.get(child.job.parent, branch)
        above.children = [*(above.children or ()), _job_branch(child)]
    return branch


def drawn(branch: Branch) -> Iterator[str]:
    """The branch and all that is below it, with the lines that hold them together."""
    yield f"{branch.glyph} {branch.text}".strip()
    children: Sequence[Branch] = branch.children or ()
    for place, child in enumerate(children):
        is_last = place == len(children) - 1
        first, *others = drawn(child)
        yield (LAST if is_last else MORE) + first
        yield from ((THROUGH if is_last else BESIDE) + line for line in others)
