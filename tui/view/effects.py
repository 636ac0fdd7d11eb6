"""What an action would do to rows of a list, in words, and why it would do nothing to some of them.

Told of what the row says: the coordinator judges anew when it is asked.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import assert_never

from bus.api import Affected, Happened, Job, Node, Outlook, Task
from bus.bulk import BulkSteered
from bus.equipment import Device
from bus.values import JobState, NodeAdmin, TaskState
from bus.volumes import PoolEntry, VolumeEntry
from tui.view.actions import Step
from tui.view.amounts import count, duration
from tui.view.arguments import Arguments
from tui.view.displacement import sum_lines
from tui.view.offers import Offered
from tui.view.states import node_word
from tui.view.volume_effects import effect_of, effect_of_pool, has_come_of, misfit_of

Row = Job | Task | Node | Happened | Offered | Device | VolumeEntry | PoolEntry

OVER = frozenset({TaskState.COMPLETED, TaskState.FAILED, TaskState.TIMEOUT, TaskState.CANCELLED})
FAULTY = frozenset({TaskState.FAILED, TaskState.TIMEOUT})
CHANGES = ("0:", "2:", "3:")
"""How the ids of events begin that nobody can resolve: the changes of jobs and tasks."""

DELAYED_MAX = 3
STARTED = frozenset({TaskState.ASSIGNED, TaskState.RUNNING})


def told(verb: str, rows: Sequence[Row], arguments: Arguments) -> tuple[str, ...]:
    """What comes of `verb` done to `rows`, which are all of a kind."""
    jobs = [row for row in rows if isinstance(row, Job)]
    some = [row for row in rows if isinstance(row, Task)]
    nodes = [row for row in rows if isinstance(row, Node)]
    if jobs:
        return (_of_jobs(verb, jobs, arguments),)
    if some:
        return (_of_tasks(verb, some),)
    if nodes:
        return (_of_nodes(verb, nodes, arguments),)
    if devices := [row for row in rows if isinstance(row, Device)]:
        return (_of_gpus(verb, devices),)
    if volumes := [row for row in rows if isinstance(row, VolumeEntry)]:
        return effect_of(verb, volumes, arguments)
    if pools := [row for row in rows if isinstance(row, PoolEntry)]:
        return effect_of_pool(verb, pools, arguments)
    return (f"{_plural(len(rows), 'event')} dealt with, in your name",) if rows else ()


def misfit(verb: str, row: Row) -> str:
    """Why `verb` would do nothing to `row`; "" where it would do something."""
    match row:
        case Job():
            return _misfit_of_job(verb, row)
        case Task():
            return _misfit_of_task(verb, row)
        case Node():
            return _misfit_of_node(verb, row)
        case Happened():
            if row.resolved_at is not None:
                return "is resolved already"
            return "is a change, not something noticed" if row.id.startswith(CHANGES) else ""
        case Offered():
            return "" if row.is_called else "cannot be called"
        case Device():
            return _misfit_of_device(verb, row)
        case VolumeEntry():
            return misfit_of(verb, row)
        case PoolEntry():
            return ""
        case _:
            assert_never(row)


def state_word(row: Row) -> str:
    """The state that an action changes."""
    match row:
        case Job() | Task():
            return str(row.state)
        case Node():
            return node_word(row.health, row.admin)
        case Happened():
            return row.severity
        case Offered():
            return "called" if row.is_called else "not called"
        case Device():
            return row.status
        case VolumeEntry():
            return row.state
        case PoolEntry():
            return "faulty" if any(each.fault for each in row.nodes) else "ready"
        case _:
            assert_never(row)


def of_mode(mode: str) -> tuple[str, ...]:
    """What each mode of the scheduler means."""
    meanings = {
        "off": "a static rule orders the tasks; nothing is learned",
        "shadow": "a static rule orders the tasks; a learned one decides too, and is only scored",
        "on": "the learned order acts, where it has passed its gate",
    }
    return (meanings[mode],)


def of_all(noun: str, foreseen: BulkSteered) -> tuple[str, ...]:
    """What would come of something done to all that a filter lets through."""
    there = f"{tasks(foreseen.running)} running, {count(foreseen.waiting)} waiting"
    said = [f"{_plural(foreseen.changed, noun)} of {count(foreseen.matched)} would change: {there}"]
    if foreseen.skipped:
        reasons = ", ".join(f"{number} {why}" for why, number in sorted(foreseen.skipped.items()))
        said.append(f"left as they are: {reasons}")
    return tuple(said)


def of_outlook(outlook: Outlook, *, now_s: float) -> tuple[str, ...]:
    """What becomes of what drained nodes hold, and of all that waits."""
    held = () if outlook.displacement is None else sum_lines(outlook.displacement, now_s=now_s)
    return (*held, *_of_waiting(outlook))


def _of_waiting(outlook: Outlook) -> tuple[str, ...]:
    effect = outlook.effect
    if not effect.tasks:
        return ("nothing waits that could be delayed",)
    wait = f"from {duration(effect.wait_before_s)} to {duration(effect.wait_after_s)}"
    if effect.later or effect.earlier:
        said = [
            f"of {tasks(effect.tasks)} in line {count(effect.later)} would start later, "
            f"{count(effect.earlier)} earlier; mean wait {wait}"
        ]
    else:
        said = [f"nobody in the line ({tasks(effect.tasks)}) would start later"]
    if effect.stuck_after > effect.stuck_before:
        said.append(f"{tasks(effect.stuck_after - effect.stuck_before)} would find no node any more")
    delayed = [job for job in outlook.jobs if _delay_s(job) > 0][:DELAYED_MAX]
    said += [f"job {job.job} of {job.user}: {duration(_delay_s(job))} later" for job in delayed]
    return tuple(said)


def has_come(step: Step, row: Row) -> bool:
    """Whether the row says that the step is done."""
    told = step.arguments
    match row:
        case Node() if step.verb == "drain":
            return row.admin in (NodeAdmin.DRAINING, NodeAdmin.MAINTENANCE)
        case Node() if step.verb == "label":
            return all(row.set_labels.get(name) == value for name, value in told.label_changes.items())
        case Job() if step.verb == "priority":
            return row.priority == told.priority_number
        case VolumeEntry():
            return has_come_of(step.verb, row, told)
        case PoolEntry():
            return step.verb == "pool_create"  # one that is removed has no row any more
        case Offered():
            return True  # a call is over with its acceptance: the job shows how it goes on
        case _:
            return bool(misfit(step.verb, row))


def tasks(number: int) -> str:
    """ "1 task", "14.2k tasks"."""
    return _plural(number, "task")


def _delay_s(job: Affected) -> float:
    if job.starts_before is None or job.starts_after is None:
        return 0.0
    return job.starts_after - job.starts_before


def _plural(number: int, noun: str) -> str:
    return f"{count(number)} {noun}{'' if number == 1 else 's'}"


def _priorities(jobs: Sequence[Job]) -> str:
    low, high = min(job.priority for job in jobs), max(job.priority for job in jobs)
    return str(low) if low == high else f"{low} to {high}"


def _of_jobs(verb: str, jobs: Sequence[Job], arguments: Arguments) -> str:
    started = sum(job.counts.running + job.counts.assigned for job in jobs)
    waiting = sum(job.counts.pending + job.counts.queued for job in jobs)
    failed = sum(job.counts.failed for job in jobs)
    effects = {
        "cancel": f"{tasks(started)} end (TERM, then KILL after the grace), {tasks(waiting)} never start",
        "retry": f"{tasks(failed)} that failed or ran out of time are queued again",
        "hold": f"{tasks(waiting)} wait until released; {tasks(started)} go on",
        "release": f"{tasks(waiting)} may be placed again",
        "pause": f"{tasks(started)} stand still where they are and {tasks(waiting)} wait, until resumed",
        "resume": f"{tasks(started)} go on, {tasks(waiting)} may be placed again",
        "requeue": f"{tasks(started)} end and wait again; what they did so far is lost, no retry is charged",
        "priority": f"{tasks(waiting)} wait at priority {arguments.priority} (now {_priorities(jobs)}); "
        f"{tasks(started)} go on as they are",
    }
    return effects[verb]


def _of_tasks(verb: str, rows: Sequence[Task]) -> str:
    started = [task for task in rows if task.state in STARTED]
    waiting = sum(task.count for task in rows) - len(started)
    nodes = sorted({task.node for task in started if task.node})
    where = f" on {', '.join(nodes[:3])}{' …' if len(nodes) > 3 else ''}" if nodes else ""
    effects = {
        "cancel": f"{tasks(len(started))} end{where} (TERM, then KILL after the grace), "
        f"{tasks(waiting)} never start",
        "retry": f"{tasks(waiting)} are queued again, each as a new attempt",
        "requeue": f"{tasks(len(started))} end{where} and wait again; what they did so far is lost",
    }
    return effects[verb]


def _of_nodes(verb: str, nodes: Sequence[Node], arguments: Arguments) -> str:
    running, waiting = sum(node.running for node in nodes), sum(node.waiting for node in nodes)
    until = (
        f"within {arguments.deadline}, or is queued again elsewhere" if arguments.deadline else "by itself"
    )
    drained = (
        f"no new work; {tasks(waiting)} waiting there go back to the queue, what runs ({tasks(running)}) "
        f"ends {until}"
    )
    effects = {
        "cordon": f"no new work; {tasks(running)} running and {count(waiting)} waiting there stay",
        "drain": drained,
        "maintenance": f"{drained}; then it is in maintenance",
        "undrain": "work may be placed there again",
        "label": f"{arguments.labels}: only work that waits is placed by it; what runs stays",
    }
    return effects[verb]


def _of_gpus(verb: str, devices: Sequence[Device]) -> str:
    gpus = [device.gpu for device in devices if device.gpu is not None]
    named = sorted({task for gpu in gpus for task in gpu.tasks})
    if verb == "quarantine":
        taken = sum(bool(gpu.taken_milli) for gpu in gpus)
        has = f"what runs on {count(taken)} of them goes on" if taken else "nothing runs there"
        tasks_named = f": {', '.join(named[:3])}{' …' if len(named) > 3 else ''}" if named else ""
        return f"{_plural(len(gpus), 'GPU')} given to no new task until released; {has}{tasks_named}"
    return f"{_plural(len(gpus), 'GPU')} given out again; refused while the agent sees that its fault lasts"


def _misfit_of_device(verb: str, device: Device) -> str:
    if device.gpu is None:
        return "is no GPU"
    is_out = device.gpu.state == "quarantined"
    if verb == "quarantine":
        return "is quarantined already" if is_out else ""
    return "" if is_out else "is not quarantined"


def _misfit_of_job(verb: str, job: Job) -> str:
    if verb == "retry":
        return "" if job.counts.failed else "nothing of it failed"
    if job.state.is_terminal:
        return f"is {job.state} already"
    match verb:
        case "hold" if job.held:
            return "is held already"
        case "release" if not job.held:
            return "is not held"
        case "pause" if job.state is JobState.PAUSED:
            return "is paused already"
        case "resume" if job.state is not JobState.PAUSED:
            return "is not paused"
        case "requeue" if not job.counts.running + job.counts.assigned:
            return "has nothing running"
        case _:
            return ""


def _misfit_of_task(verb: str, task: Task) -> str:
    match verb:
        case "retry":
            return "" if task.state in FAULTY else f"has not failed: it is {task.state}"
        case "requeue":
            return "" if task.state in STARTED else f"does not run: it is {task.state}"
        case _:
            return f"is {task.state} already" if task.state in OVER else ""


def _misfit_of_node(verb: str, node: Node) -> str:
    match verb:
        case "cordon" if node.admin is NodeAdmin.INACTIVE:
            return "is cordoned already"
        case "maintenance" if NodeAdmin.MAINTENANCE in (node.admin, node.goal):
            return "is in maintenance already, or on the way there"
        case "undrain" if node.admin is NodeAdmin.ACTIVE:
            return "takes work already"
        case _:
            return ""
