"""Lists over the service: what is asked for is understood, or refused with its place; names find things."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from bus.codec import Codec, encode
from bus.filter import Condition, Operator, Order
from bus.requests import JobList
from bus.values import JobState, TaskRef
from coordinator.store.events import Scope
from coordinator.store.listing import Position, write_cursor
from tests.unit.coordinator.fakes import AMBIGUOUS, TASK_ID
from tests.unit.coordinator.shell import Shell, running_shell


@pytest.fixture
async def shell() -> AsyncIterator[Shell]:
    async with running_shell() as running:
        yield running


async def refusal(shell: Shell, operation: str, **request: Any) -> Any:
    return (await shell.ask("alice", operation, **request))["error"]


async def test_what_is_asked_for_reaches_the_database(shell: Shell) -> None:
    request = JobList(
        filter="user=me priority>5", sort="-name", states=[JobState.FAILED], user="bob", limit=7
    )
    await shell.raw("olga", "job.list", encode(request))
    [listing] = shell.lists.listings
    assert listing.conditions == (
        Condition("user", Operator.EQUAL, ("olga",)),
        Condition("priority", Operator.MORE, (5,)),
        Condition("state", Operator.EQUAL, ("failed",)),
        Condition("user", Operator.EQUAL, ("bob",)),
    )
    assert (listing.order, listing.limit, listing.after) == (Order("name", True), 7, None)


async def test_a_cursor_goes_on_in_its_own_list_alone(shell: Shell) -> None:
    await shell.ask("alice", "job.list", filter="priority>5")
    [listing] = shell.lists.listings
    cursor = listing.cursor(42, 42)
    await shell.ask("alice", "job.list", filter="priority>5", cursor=cursor, limit=5)
    assert shell.lists.listings[1].after == Position(listing.now_s, 42, 42)
    assert shell.lists.listings[1].now_s == listing.now_s
    for other in (
        {"filter": "priority>4"},
        {"filter": "priority>5", "sort": "name"},
        {"filter": "priority>5", "states": ["failed"]},
    ):
        error = await refusal(shell, "job.list", cursor=cursor, **other)
        assert (error["code"], error["field"]) == ("E_CURSOR", "/cursor")
    theirs = await shell.ask("bob", "job.list", filter="priority>5", cursor=cursor)
    assert theirs["error"]["code"] == "E_CURSOR"
    assert (await refusal(shell, "task.list", job="1", cursor=cursor))["code"] == "E_CURSOR"


LISTS: dict[str, dict[str, Any]] = {
    "job.list": {},
    "task.list": {"job": "1"},
    "node.list": {},
    "event.list": {},
}


@pytest.mark.parametrize("codec", Codec)
@pytest.mark.parametrize("operation", LISTS)
@pytest.mark.parametrize(
    ("request_", "code", "field"),
    [
        ({"limit": 0}, "E_RANGE", "/limit"),
        ({"limit": -1}, "E_RANGE", "/limit"),
        ({"limit": 10_001}, "E_RANGE", "/limit"),
        ({"limit": 1e9}, "E_TYPE", "/limit"),
        ({"sort": "evil"}, "E_FIELD", "/sort"),
        ({"sort": "password_hash"}, "E_FIELD", "/sort"),
        ({"filter": "evil=1"}, "E_FIELD", "/filter"),
        ({"filter": "evil"}, "E_FIELD", "/filter"),
        ({"filter": "("}, "E_FILTER", "/filter"),
        ({"filter": "x" * 2000}, "E_FILTER", "/filter"),
        ({"cursor": "5"}, "E_CURSOR", "/cursor"),
        ({"cursor": "x" * 9000}, "E_CURSOR", "/cursor"),
        ({"cursor": write_cursor(Position(1.0, 5, 5), "made up")}, "E_CURSOR", "/cursor"),
        ({"columns": "password_hash"}, "E_FIELD", "/columns"),
    ],
)
async def test_every_list_refuses_alike(
    shell: Shell, operation: str, request_: dict[str, Any], code: str, field: str, codec: Codec
) -> None:
    await shell.submit()
    answer = await shell.ask("alice", operation, codec=codec, **LISTS[operation] | request_)
    error = answer["error"]
    assert (error["code"], error["field"], error["status"]) == (code, field, 422)
    assert error["expected"] or error["hint"] or error["got"]


# nodes


async def test_nodes_are_chosen_ordered_and_paged(shell: Shell) -> None:
    for name, zone in (("n1", "a"), ("n2", "b"), ("n3", "b"), ("gpu-4", "b")):
        await shell.agent(name, labels={"zone": zone})

    async def names(**request: Any) -> list[str]:
        return [node["name"] for node in (await shell.ask("alice", "node.list", **request))["nodes"]]

    assert await names() == ["gpu-4", "n1", "n2", "n3"]
    assert await names(filter="label.zone=b name!~GPU") == ["n2", "n3"]
    assert await names(filter="label.zone!=b") == ["n1"]
    assert await names(filter="label.rack=''", sort="-name") == ["n3", "n2", "n1", "gpu-4"]
    assert (
        await names(filter="cpu>=2 free_cpu<=2 memory=4GiB gpus<1 state=healthy heartbeat<1h")
        == await names()
    )
    assert await names(filter="load>100") == []
    seen, cursor = [], ""
    for _ in range(4):
        page = await shell.ask("alice", "node.list", sort="-cpu", limit=1, cursor=cursor)
        assert (page["total"], page["states"]) == (4, {"healthy": 4})
        seen += [node["name"] for node in page["nodes"]]
        cursor = page["next"]
    assert (seen, cursor) == (["n3", "n2", "n1", "gpu-4"], "")


@pytest.mark.parametrize(
    "field", ["name", "id", "state", "health", "admin", "kind", "cpu", "memory", "gpus", "storage", "net",
              "free_cpu", "free_memory", "free_gpus", "running", "waiting", "load", "heartbeat", "version",
              "reason"],
)  # fmt: skip
async def test_nodes_can_be_sorted_by_each_field(shell: Shell, field: str) -> None:
    await shell.agent("n1")
    await shell.agent("n2")
    cursor = (await shell.ask("alice", "node.list", sort=field, limit=1))["next"]
    rest = await shell.ask("alice", "node.list", sort=field, limit=1, cursor=cursor)
    assert len(rest["nodes"]) == 1 and rest["next"] == ""


# events


async def test_events_are_asked_for_by_what_they_are_about(shell: Shell) -> None:
    number = await shell.submit()
    await shell.ask("alice", "event.list", job=str(number), since=5.0, until=6.5)
    await shell.ask("olga", "event.list", task=f"{number}.0", node="n1")
    assert shell.events.asked == [
        ("alice", Scope(job=number, since=5.0, until=6.5)),
        (None, Scope(task=TaskRef(number, 0), node="n1")),
    ]


@pytest.mark.parametrize(
    ("request_", "code", "field"),
    [
        ({"job": "9"}, "E_NOT_FOUND", "/job"),
        ({"task": "9.1"}, "E_NOT_FOUND", "/task"),
        ({"since": 1e300}, "E_TIME", "/since"),
        ({"until": -1e300}, "E_TIME", "/until"),
        ({"since": "yesterday-ish"}, "E_TYPE", "/since"),
        ({"sort": "message"}, "E_FIELD", "/sort"),
    ],
)
async def test_events_refuse_what_they_cannot_answer(
    shell: Shell, request_: dict[str, Any], code: str, field: str
) -> None:
    await shell.submit()
    error = await refusal(shell, "event.list", **request_)
    assert (error["code"], error["field"]) == (code, field)


# names


@pytest.mark.parametrize(
    "text",
    ["", "abc", "1e3", " 12", "12 ", "१२", "１２", "-1", "+1", "1.", ".1", "1..2", "1.2.3", "1#0", "1#x",
     "#1", "@first", "@last.x", "1\n", "1.1\n", "0x10", "abcdef0", "ghijklmn", "1.12345678"],
)  # fmt: skip
async def test_what_names_nothing_is_refused_with_the_forms(shell: Shell, text: str) -> None:
    await shell.submit()
    for operation, key in (("job.show", "job"), ("task.show", "task"), ("job.cancel", "target")):
        error = await refusal(shell, operation, **{key: text})
        assert (error["code"], error["field"], error["status"]) == ("E_ID", f"/{key}", 422), operation
        assert error["hint"]


async def test_the_row_of_a_task_is_no_job(shell: Shell) -> None:
    error = await refusal(shell, "job.show", job=str(TASK_ID))
    assert error["code"] == "E_ID" and "1.7" in error["hint"]
    other = str(TASK_ID).replace("abcdef02", "abcdef03")
    assert (await refusal(shell, "job.show", job=other))["code"] == "E_NOT_FOUND"


async def test_an_ambiguous_prefix_lists_up_to_five(shell: Shell) -> None:
    error = await refusal(shell, "job.show", job=AMBIGUOUS)
    assert (error["code"], error["status"]) == ("E_AMBIGUOUS", 409)
    assert error["message"].endswith("jobs 9, 8, 7, 6, 5 and more")


async def test_a_task_is_no_job_and_an_attempt_no_task(shell: Shell) -> None:
    number = await shell.submit()
    error = await refusal(shell, "job.show", job=f"{number}.0")
    assert error["code"] == "E_ID" and str(number) in error["hint"]
    assert (await refusal(shell, "job.cancel", target=f"{number}.0#1"))["code"] == "E_ID"
    assert (await refusal(shell, "task.show", task=f"{number}.0#3"))["code"] == "E_NOT_FOUND"
    assert (await refusal(shell, "task.logs", task=f"{number}.0#3"))["code"] == "E_NOT_FOUND"
