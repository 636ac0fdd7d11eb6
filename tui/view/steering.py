"""What the console asks before it changes something: the question, the effect, the command that does it."""

from __future__ import annotations

from msgspec import Struct

from bus.api import Job, Node, Task
from bus.values import Role
from tui.view.amounts import count


class Steering(Struct, frozen=True):
    """`verb` is both the client's method and the command's word; `target` what it is done to."""

    verb: str
    target: str
    question: str
    effect: str

    @property
    def command(self) -> str:
        """The same from a shell."""
        return f"corral {self.verb} {self.target}"


ROLES = {
    "cancel": Role.USER,
    "retry": Role.USER,
    "hold": Role.USER,
    "release": Role.USER,
    "cordon": Role.OPERATOR,
    "drain": Role.OPERATOR,
    "undrain": Role.OPERATOR,
}
"""The least role that may do each."""


def steer_job(verb: str, job: Job) -> Steering:
    """`verb` done to a job."""
    counts = job.counts
    started = counts.running + counts.assigned
    waiting = counts.pending + counts.queued
    effects = {
        "cancel": f"{tasks(started)} end (TERM, then KILL after the grace), {tasks(waiting)} never start",
        "retry": f"{tasks(counts.failed)} that failed or ran out of time are queued again",
        "hold": f"{tasks(waiting)} wait until the job is released; {tasks(started)} go on",
        "release": f"{tasks(waiting)} may be placed again",
    }
    return Steering(verb, str(job.number), f"{verb.capitalize()} job {job.number} {job.name}?", effects[verb])


def steer_task(verb: str, task: Task) -> Steering:
    """`verb` done to one task."""
    target = f"{task.job}.{task.index}"
    where = f" on {task.node}" if task.node else ""
    effects = {
        "cancel": f"it is {task.state}{where}; what runs gets TERM, then KILL after its grace",
        "retry": "it is queued again, as a new attempt",
    }
    return Steering(verb, target, f"{verb.capitalize()} task {target}?", effects[verb])


def steer_node(verb: str, node: Node) -> Steering:
    """`verb` done to a node."""
    effects = {
        "cordon": f"it takes no new work; {tasks(node.running)} and {node.waiting} waiting there stay",
        "drain": f"it takes no new work; {tasks(node.waiting)} waiting there go back to the queue, "
        f"what runs ({tasks(node.running)}) ends by itself",
        "undrain": "it takes work again",
    }
    return Steering(verb, node.name, f"{verb.capitalize()} node {node.name}?", effects[verb])


def tasks(number: int) -> str:
    """ "1 task", "14.2k tasks"."""
    return f"{count(number)} task{'' if number == 1 else 's'}"
