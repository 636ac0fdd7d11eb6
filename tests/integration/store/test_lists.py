"""Pages of jobs and tasks out of a real database: the right ones, in order, none left out, none twice."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bus import api
from bus.fields import JOB_FIELDS, TASK_FIELDS
from bus.filter import Condition, Operator, Order, Value, matches, parse
from bus.values import AttemptState, JobKind, JobState, Resources, Role, TaskState, UserName
from coordinator.core.effects import NewJob, NewTask
from coordinator.store.listing import Listing, read_cursor
from coordinator.store.lists import Lists
from tests.integration.store.conftest import Leader
from tests.store_rows import REQUEST, T0, attempt, change, job_change, ledger, new_job, new_task, node

Q, A, R, C, F = (
    TaskState.QUEUED, TaskState.ASSIGNED, TaskState.RUNNING, TaskState.COMPLETED, TaskState.FAILED
)  # fmt: skip
NOW_S = T0 + 1000
NUMBERED = Order("number", descending=True)
BY_INDEX = Order("index")


@pytest.fixture
async def lists(coordinator_dsn: str) -> AsyncIterator[Lists]:
    lists = Lists(coordinator_dsn)
    yield lists
    await lists.close()


def wanted(
    text: str = "", order: Order = NUMBERED, *, fields: Any = JOB_FIELDS, limit: int = 100, cursor: str = ""
) -> Listing:
    return Listing(
        scope="test",
        conditions=parse(text, fields, me="alice", now_s=NOW_S),
        order=order,
        limit=limit,
        now_s=NOW_S,
        after=read_cursor(cursor, "test", order, fields) if cursor else None,
    )


async def submit(leader: Leader, job: NewJob, *tasks: NewTask) -> None:
    await leader.commit(
        new_jobs=[job],
        job_changes=[job_change(job, JobState.PENDING, queued=job.tasks)],
        new_tasks=[(task, change(task, 1, Q)) for task in tasks],
    )


async def all_pages(
    fetch: Callable[[str], Any], *, limit: int
) -> tuple[list[Any], set[tuple[int, tuple[tuple[str, int], ...], bool]]]:
    """Every row, page after page, and each total that was told on the way."""
    rows: list[Any] = []
    totals = set()
    cursor = ""
    while True:
        page = await fetch(cursor)
        found: Sequence[Any] = page.jobs if isinstance(page, api.Jobs) else page.tasks
        assert len(found) <= limit and (found or not page.next)
        rows += found
        totals.add((page.total, tuple(sorted(page.states.items())), page.exact))
        cursor = page.next
        if not cursor:
            return rows, totals


# jobs


async def test_jobs_come_newest_first_and_only_ones_own(leader: Leader, lists: Lists) -> None:
    await leader.store.ensure_user(UserName("bob"), Role.USER)
    jobs = [new_job(owner=UserName("bob"), name=f"job-{number}") for number in range(3)]
    for job in jobs:
        await submit(leader, job, new_task(job))
    rows, totals = await all_pages(lambda at: lists.jobs(wanted(limit=2, cursor=at), viewer="bob"), limit=2)
    assert [row.number for row in rows] == [job.number for job in reversed(jobs)]
    assert totals == {(3, (("pending", 3),), True)}
    assert (rows[0].user, rows[0].counts.queued, rows[0].submitted_at) == ("bob", 1, T0)
    assert (await lists.jobs(wanted("user=bob"), viewer="alice")).total == 0
    assert (await lists.jobs(wanted("user=bob"), viewer=None)).total == 3
    assert (await lists.jobs(wanted("user=bob,alice user!=alice"), viewer=None)).total == 3
    assert (await lists.jobs(wanted("user=nobody"), viewer=None)).total == 0
    assert (await lists.jobs(wanted(), viewer="nobody")).jobs == []


@pytest.mark.parametrize(
    "text", ["name='; drop table jobs;--'", """name~"' or 1=1 --" """, r'name="\\" reason="$1"', "name~%"]
)
async def test_what_looks_like_sql_is_text(leader: Leader, lists: Lists, text: str) -> None:
    job = new_job()
    await submit(leader, job, new_task(job))
    assert (await lists.jobs(wanted(text), viewer=None)).jobs == []
    assert (await lists.jobs(wanted(), viewer=None)).jobs


WORDS = st.sampled_from(["", "gpu", "GPU-1", "train", "a b", "it's", "50%", "_x", "Ä", "ä", "บ", "\\", "n"])
SIGNS = {
    "number": (Operator.EQUAL, Operator.LESS, Operator.AT_MOST, Operator.MORE, Operator.AT_LEAST),
    "text": (Operator.EQUAL, Operator.CONTAINS),
}


def conditions_of() -> st.SearchStrategy[Condition]:
    """Of fields whose values differ among the jobs below, negated or not."""
    orderings = (Operator.LESS, Operator.AT_MOST, Operator.MORE, Operator.AT_LEAST)

    def some(field: str, values: st.SearchStrategy[Any], *operators: Operator) -> Any:
        return st.builds(
            Condition,
            st.just(field),
            st.sampled_from(operators),
            st.lists(values, min_size=1, max_size=3).map(tuple),
            st.booleans(),
        )

    def ordered(field: str, values: st.SearchStrategy[Any]) -> Any:
        return st.builds(Condition, st.just(field), st.sampled_from(orderings), st.tuples(values))

    exits = st.sampled_from([None, 0, 1, 137])
    return st.one_of(
        some("name", WORDS, Operator.EQUAL, Operator.CONTAINS),
        some("reason", WORDS, Operator.EQUAL, Operator.CONTAINS),
        some("state", st.sampled_from(list(map(str, JobState))), Operator.EQUAL),
        some("priority", st.integers(1, 10), Operator.EQUAL),
        some("exit", exits, Operator.EQUAL),
        some("user", st.sampled_from(["alice", "bob", "carl"]), Operator.EQUAL, Operator.CONTAINS),
        some("held", st.booleans(), Operator.EQUAL),
        some("ended", st.none(), Operator.EQUAL),
        ordered("priority", st.integers(0, 11)),
        ordered("exit", st.integers(-1, 200)),
        ordered("submitted", st.sampled_from([T0 + 0.5, T0 + 20.5, T0 + 90])),
        ordered("ended", st.sampled_from([T0 + 60.5, T0 + 100.5])),
        ordered("runtime", st.sampled_from([0.0, 20.5, 50.5, 5000.0])),
    )


def value_of(job: api.Job, field: str) -> Value:
    """A field of a shown job, as memory would judge it."""
    match field:
        case "exit":
            return job.exit_code
        case "submitted":
            return job.submitted_at
        case "ended":
            return job.ended_at
        case "runtime":
            return None if job.started_at is None else (job.ended_at or NOW_S) - job.started_at
        case "state":
            return str(job.state)
        case _:
            value: Value = getattr(job, field)
            return value


@pytest.fixture
async def many(leader: Leader, lists: Lists) -> list[api.Job]:
    """Jobs that differ in whatever conditions may name; made once for the module."""
    shown = (await lists.jobs(wanted("kind=rendering"), viewer=None)).jobs
    if shown:
        return shown
    await leader.store.ensure_user(UserName("bob"), Role.USER)
    words = ["", "gpu", "GPU-1", "train gpu", "a b", "it's", "50%", "_x", "Ä", "ä", "บบ", "\\", "nn"]
    for place, word in enumerate(words * 2):
        owner = UserName("bob") if place % 3 else UserName("alice")
        job = new_job(
            owner=owner, name=word, kind=JobKind.RENDERING, priority=place % 10 + 1,
            submitted_at=T0 + place * 3,
        )  # fmt: skip
        await leader.commit(
            new_jobs=[job],
            job_changes=[job_change(job, JobState.PENDING, queued=1, reason=words[-place % 7])],
        )
        if place % 4:
            times = {"started_at": T0 + 40 + place, "exit_code": None}
            counts: dict[str, Any] = {"running": 1}
            state = JobState.RUNNING
            if place % 2:
                failed = place % 3 == 0
                counts = {"failed": 1} if failed else {"completed": 1}
                state = JobState.FAILED if failed else JobState.COMPLETED
                times |= {"ended_at": T0 + 80 + place * 2, "exit_code": 137 if failed else 0}
            await leader.commit(
                job_changes=[job_change(job, state, reason=words[-place % 7], **counts, **times)]
            )
    return (await lists.jobs(wanted("kind=rendering"), viewer=None)).jobs


@settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(data=st.data())
async def test_the_database_and_memory_mean_the_same(
    many: list[api.Job], lists: Lists, data: st.DataObject
) -> None:
    conditions = tuple(data.draw(st.lists(conditions_of(), min_size=1, max_size=3)))
    base = wanted("kind=rendering")
    listing = Listing(
        scope="test", conditions=base.conditions + conditions, order=NUMBERED, limit=100, now_s=NOW_S
    )
    page = await lists.jobs(listing, viewer=None)
    expected = [
        job.number
        for job in many
        if matches(conditions, lambda field: value_of(job, field))  # noqa: B023  # called at once
    ]
    assert [job.number for job in page.jobs] == expected, conditions
    assert page.total == len(expected) == sum(page.states.values())


@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize(
    "field", ["name", "priority", "exit", "ended", "runtime", "state", "user", "held", "submitted", "id"]
)
async def test_every_order_is_paged_without_a_gap(
    many: list[api.Job], lists: Lists, field: str, descending: bool
) -> None:
    order = Order(field, descending)
    rows, _ = await all_pages(
        lambda at: lists.jobs(wanted("kind=rendering", order, limit=4, cursor=at), viewer=None), limit=4
    )
    assert sorted(row.number for row in rows) == sorted(job.number for job in many)
    keys = [value_of(row, field) for row in rows]
    present = [key for key in keys if key is not None]
    assert keys == sorted(present, reverse=descending) + [None] * (len(keys) - len(present))  # type: ignore[type-var]


# tasks


async def partly_touched(leader: Leader) -> NewJob:
    """A job of 10 tasks: 0, 3 and 4 of the first range's six are assigned; a second range lies untouched."""
    job = new_job(tasks=10)
    name = f"range-{job.number}"
    on = node(name)
    whole, second = new_task(job, size=6), new_task(job, 6, size=4)
    await submit(leader, job, whole, second)
    touched = [new_task(job, index, range_id=whole.id) for index in (0, 3, 4)]
    await leader.commit(
        nodes=[on],
        new_tasks=[(task, change(task, 2, Q, A, node=name, fence=1)) for task in touched],
        task_changes=[change(whole, 2, Q, remaining=3)],
        steps=[1],
        attempts=[attempt(task, on, AttemptState.ASSIGNED, new=True) for task in touched],
        ledgers=[ledger(on, REQUEST + REQUEST + REQUEST)],
        job_changes=[job_change(job, JobState.SCHEDULED, queued=7, assigned=3)],
    )
    return job


STRETCHES = [
    (0, 1, "assigned"), (1, 2, "queued"), (3, 1, "assigned"), (4, 1, "assigned"), (5, 1, "queued"),
    (6, 4, "queued"),
]  # fmt: skip


def by_index(text: str = "", *, limit: int = 100, cursor: str = "", order: Order = BY_INDEX) -> Listing:
    return wanted(text, order, fields=TASK_FIELDS, limit=limit, cursor=cursor)


def shape(tasks: Sequence[api.Task]) -> list[tuple[int, int, str]]:
    return [(task.index, task.count, str(task.state)) for task in tasks]


@pytest.mark.parametrize("limit", [1, 2, 3, 100])
async def test_a_range_shows_its_gaps_and_its_touched_elements(
    leader: Leader, lists: Lists, limit: int
) -> None:
    job = await partly_touched(leader)
    for order in (Order("index"), Order("index", descending=True)):
        rows, totals = await all_pages(
            lambda at, order=order: lists.tasks(job.number, by_index(limit=limit, cursor=at, order=order)),
            limit=limit,
        )
        assert shape(rows) == (STRETCHES[::-1] if order.descending else STRETCHES)
        assert totals == {(10, (("assigned", 3), ("queued", 7)), True)}


@pytest.mark.parametrize(
    ("text", "indices"),
    [
        ("state=assigned", {0, 3, 4}),
        ("state=queued", {1, 2, 5, 6, 7, 8, 9}),
        ("index>=2 index<7", {2, 3, 4, 5, 6}),
        ("index=2,8,99", {2, 8}),
        ("index!=2,8", {0, 1, 3, 4, 5, 6, 7, 9}),
        ("index!=7 state=queued index>1", {2, 5, 6, 8, 9}),
        ("index>9", set()),
        ("index<0", set()),
        ("node~RANGE- attempt>0", {0, 3, 4}),
        ("node=''", {1, 2, 5, 6, 7, 8, 9}),
        ("started=none cpu>=1 memory<1G", set(range(10))),
        ("exit!=none", set()),
        ("name=main age>1s", set(range(10))),
    ],
)
@pytest.mark.parametrize("limit", [1, 100])
async def test_conditions_choose_among_the_tasks_of_a_range(
    leader: Leader, lists: Lists, text: str, indices: set[int], limit: int
) -> None:
    job = await partly_touched(leader)
    rows, totals = await all_pages(
        lambda at: lists.tasks(job.number, by_index(text, limit=limit, cursor=at)), limit=limit
    )
    seen = [index for row in rows for index in range(row.index, row.index + row.count)]
    assert seen == sorted(indices)
    assert [total for total, _, _ in totals] == [len(indices)]


@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize("field", ["state", "node", "attempt", "started", "submitted", "priority", "name"])
@pytest.mark.parametrize("limit", [1, 4])
async def test_ranges_keep_their_place_in_every_order(
    leader: Leader, lists: Lists, field: str, descending: bool, limit: int
) -> None:
    job = await partly_touched(leader)
    order = Order(field, descending)
    rows, _ = await all_pages(
        lambda at: lists.tasks(job.number, by_index(limit=limit, cursor=at, order=order)), limit=limit
    )
    seen = [index for row in rows for index in range(row.index, row.index + row.count)]
    assert sorted(seen) == list(range(10)), shape(rows)
    keys = [(row.state if field == "state" else row.node or "", row.index) for row in rows]
    if field in ("state", "node"):
        assert keys == sorted(keys, reverse=descending)


async def test_what_ran_is_found_by_how_it_ended(leader: Leader, lists: Lists) -> None:
    job = new_job(tasks=3)
    tasks = [new_task(job, index) for index in range(3)]
    await submit(leader, job, *tasks)
    times = {"started_at": T0 + 10, "completed_at": T0 + 70}
    await leader.commit(
        task_changes=[
            change(tasks[0], 4, Q, A, R, C, exit_code=0, **times),
            change(tasks[1], 4, Q, A, R, F, exit_code=3, message="out of Memory", **times),
        ],
        steps=[3, 3],
    )
    for text, indices in (
        ("exit=0", [0]),
        ("exit>0 message~memory", [1]),
        ("exit=none", [2]),
        ("runtime>=1m runtime<61s", [0, 1]),
        ("ended<2025-06-15T15:08:00Z", [0, 1]),
        ("gpus=0 net<=0 storage<=0", [0, 1, 2]),
    ):
        page = await lists.tasks(job.number, by_index(text))
        assert [task.index for task in page.tasks] == indices, text
    assert Resources(1000, 64) == REQUEST
