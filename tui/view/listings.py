"""The lists of the console: their columns by importance, and how each row is named and toned."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Generic, TypeVar

from msgspec import Struct

from bus.fields import ALL_TASK_FIELDS as ALL_TASK_SORTS
from bus.fields import EVENT_FIELDS as EVENT_SORTS
from bus.fields import JOB_FIELDS as JOB_SORTS
from bus.fields import NODE_FIELDS as NODE_SORTS
from bus.fields import TASK_FIELDS as TASK_SORTS
from bus.fields import Field as Sort
from tui.view.columns import ALL_TASK_FIELDS, EVENT_FIELDS, JOB_FIELDS, NODE_FIELDS, TASK_FIELDS
from tui.view.fields import Field
from tui.view.grid import GridColumn
from tui.view.states import SEVERITY_BADGES, TASK_BADGES, job_badge, node_tone

if TYPE_CHECKING:
    from bus.api import Happened, Job, Node, Task


T = TypeVar("T", bound=Struct)

SORT_BY = "sort by "
"""How the keys that sort are described; the column's title follows."""


class Listing(Struct, Generic[T], frozen=True, kw_only=True):
    """One kind of list. `noun` is its word in the plural; `faults` the filter of what went wrong.

    `order` is the list's own one, and `sorts` are its fields as the coordinator knows them.
    """

    noun: str
    columns: tuple[GridColumn[T], ...]
    key: Callable[[T], str]
    tone: Callable[[T], str]
    faults: str = ""
    order: str = ""
    sorts: Mapping[str, Sort] = {}

    def opposite(self, sort: str) -> str | None:
        """The order in which the list of order `sort` comes from its end; None where no order does that.

        What is absent comes last in either direction, so orders by what may be absent have no opposite.
        """
        order = sort or self.order
        field = self.sorts.get(order.removeprefix("-"))
        if field is not None and field.since:
            field = self.sorts.get(field.since)
        if field is None or field.optional:
            return None
        return order.removeprefix("-") if order.startswith("-") else f"-{order}"


def _grid(fields: Sequence[Field[T]], columns: str) -> tuple[GridColumn[T], ...]:
    """From a table of words: field, priority, least and most width, sort and its letter (- for none).

    A field with `?` is optional.
    """
    by_name = {field.name: field for field in fields}
    made = []
    for line in columns.split("\n"):
        word, priority, least, most, sort, letter = line.split()
        name = word.rstrip("?")
        made.append(
            GridColumn(
                field=by_name[name],
                priority=int(priority),
                least=int(least),
                most=int(most),
                sort=sort.strip("-"),
                letter=letter.strip("-"),
                optional=word.endswith("?"),
            )
        )
    return tuple(made)


def severity_tone(event: Happened) -> str:
    """Of a severity that we do not know, the one of information."""
    return SEVERITY_BADGES.get(event.severity, SEVERITY_BADGES["info"]).tone


JOBS: Listing[Job] = Listing(
    noun="jobs",
    order="-number",
    sorts=JOB_SORTS,
    columns=_grid(
        JOB_FIELDS,
        """\
number 0 0 9 number J
mark 0 0 1 - -
state 1 0 26 state T
name 1 16 40 name N
user 5 6 16 user U
tasks 3 0 6 tasks -
completed 3 0 6 completed D
running 2 0 6 running -
failed 2 0 6 failed F
age 2 0 6 submitted A
runtime 4 0 6 runtime E
priority 6 0 3 priority O
kind 7 0 11 kind -
reason? 8 12 60 - -""",
    ),
    key=lambda job: str(job.number),
    tone=lambda job: job_badge(job).tone,
    faults="failed>0",
)

TASKS: Listing[Task] = Listing(
    noun="tasks",
    order="index",
    sorts=TASK_SORTS,
    columns=_grid(
        TASK_FIELDS,
        """\
task 0 0 20 index J
mark 0 0 1 - -
state 1 0 26 state T
name? 5 6 24 name N
node 1 6 20 node U
attempt 4 0 3 attempt -
cpu 4 0 5 cpu -
memory 4 0 6 memory M
gpus? 6 0 3 gpus -
exit 2 0 6 exit X
runtime 2 0 6 runtime E
retries 7 0 7 retries -
message? 3 12 70 - -""",
    ),
    key=lambda task: f"{task.job}.{task.index}",
    tone=lambda task: TASK_BADGES[task.state].tone,
    faults="state=failed,timeout",
)

EVERY_TASK: Listing[Task] = Listing(
    noun="tasks",
    order="-job",
    sorts=ALL_TASK_SORTS,
    columns=_grid(
        ALL_TASK_FIELDS,
        """\
task 0 0 20 job J
mark 0 0 1 - -
state 1 0 26 state T
user 3 5 16 - -
name? 5 6 24 name N
node 1 6 20 node U
attempt 6 0 3 attempt -
cpu 4 0 5 cpu -
memory 4 0 6 memory M
gpus? 6 0 3 gpus -
exit 2 0 6 exit X
runtime 2 0 6 runtime E
message? 3 12 70 - -""",
    ),
    key=lambda task: f"{task.job}.{task.index}",
    tone=lambda task: TASK_BADGES[task.state].tone,
    faults="state=failed,timeout",
)

NODES: Listing[Node] = Listing(
    noun="nodes",
    order="name",
    sorts=NODE_SORTS,
    columns=_grid(
        NODE_FIELDS,
        """\
name 0 8 24 name N
mark 0 0 1 - -
state 1 0 36 state T
kind 6 0 8 kind -
cpu 1 0 13 free_cpu U
memory 2 0 16 free_memory M
gpus? 3 0 5 free_gpus -
running 1 0 5 running D
waiting 5 0 5 waiting -
load 4 0 6 load O
heartbeat 2 0 6 heartbeat A
version 8 7 12 version -
labels? 7 10 40 - -
reason? 3 8 40 reason -""",
    ),
    key=lambda node: node.name,
    tone=lambda node: node_tone(node.health, node.admin),
    faults="health!=healthy",
)

EVENTS: Listing[Happened] = Listing(
    noun="events",
    order="-at",
    sorts=EVENT_SORTS,
    columns=_grid(
        EVENT_FIELDS,
        """\
at 1 0 16 at A
age 4 0 6 - -
mark 0 0 1 - -
kind 0 12 32 kind N
about 1 6 18 - -
node? 3 6 20 node -
user 4 6 16 user U
message 1 16 110 - -
resolved? 2 12 44 - -""",
    ),
    key=lambda event: event.id,
    tone=severity_tone,
    faults="severity>=warning",
)
