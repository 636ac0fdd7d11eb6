"""What the panes beside a list ask about the row under the cursor: whose output, whose why, which events."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    from bus.requests import EventList


EVENTS_SHOWN = 60


class Subject(Struct, frozen=True):
    """`name` for people; `output` a task, `why` a job or a task, "" for none; `events` narrowed to it."""

    name: str
    output: str = ""
    why: str = ""
    events: EventList | None = None


def subject_of(row: object) -> Subject | None:
    """Of a job, a task, a node or an event; of other things nothing can be asked."""
    from bus.api import Happened, Job, Node, Task
    from bus.requests import EventList

    match row:
        case Job():
            number = str(row.number)
            only = f"{number}.0" if row.counts.total == 1 else ""
            return Subject(f"job {number}", only, number, EventList(job=number, limit=EVENTS_SHOWN))
        case Task():
            name = f"{row.job}.{row.index}"
            return Subject(f"task {name}", name, name, EventList(task=name, limit=EVENTS_SHOWN))
        case Node():
            return Subject(f"node {row.name}", events=EventList(node=row.name, limit=EVENTS_SHOWN))
        case Happened(task=str() as task):
            return Subject(f"task {task}", task, task, EventList(task=task, limit=EVENTS_SHOWN))
        case Happened(node=str() as node):
            return Subject(f"node {node}", events=EventList(node=node, limit=EVENTS_SHOWN))
        case Happened(job=int() as number):
            job = str(number)
            return Subject(f"job {job}", why=job, events=EventList(job=job, limit=EVENTS_SHOWN))
        case _:
            return None
