"""`train.*`: whose gangs are shown, what comes with a rank, and what is asked wrongly."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID

from msgspec.structs import replace

from bus.results import TaskResult
from bus.server import MAX_PAYLOAD_BYTES
from bus.training import GangProgress, Rank, RankUsage
from bus.values import TaskState
from coordinator.store.training import GangRow
from tests.unit.coordinator.shell import running_shell

GANG = UUID(int=77)


def gang(index: int = 0, *, ended_at: float | None = None, **fields: Any) -> GangRow:
    shown = GangProgress(
        task=f"1.{index}",
        state=TaskState.RUNNING,
        attempt=2,
        ranks=3,
        nodes=2,
        live=3,
        running=1,
        completed=0,
    )
    for name, value in fields.items():
        setattr(shown, name, value)
    return GangRow(id=GANG, index=index, shown=shown, ended_at=ended_at)


def rank(number: int) -> Rank:
    return Rank(rank=number, node="n1", state="running", assigned_at=1.0)


async def test_gangs_come_page_by_page() -> None:
    async with running_shell() as shell:
        await shell.submit()
        shell.training.found = [gang(index) for index in range(3)]
        first = await shell.ask("alice", "train.status", target="1", limit=2)
        assert [each["task"] for each in first["gangs"]] == ["1.0", "1.1"] and first["next"] == "1"
        rest = await shell.ask("alice", "train.status", target="1", limit=2, cursor=first["next"])
        assert [each["task"] for each in rest["gangs"]] == ["1.2"] and rest["next"] == ""
        one = await shell.ask("alice", "train.status", target="1.2")
        assert [each["task"] for each in one["gangs"]] == ["1.2"]
        await shell.ask("olga", "train.status", target="1")
        assert shell.training.asked == ["alice", "alice", "alice", None]


async def test_ranks_come_with_what_they_use_and_who_is_free() -> None:
    async with running_shell() as shell:
        await shell.submit()
        shell.training.found = [gang(0)]
        shell.training.members = [rank(0), rank(1)]
        shell.training.free = [2]
        shell.series.ranks = {1: RankUsage(at=5.0, cpu_millis=250.0, mem_mib=64.0)}
        before_s = shell.clock.now_s()
        answer = await shell.ask("alice", "train.ranks", task="1")
        assert [each["usage"] and each["usage"]["cpu_millis"] for each in answer["ranks"]] == [None, 250.0]
        assert answer["available"] == [2] and answer["gang"]["task"] == "1.0"
        (asked,) = shell.series.of_ranks
        assert asked[:2] == (GANG, 2) and before_s <= asked[2] + 120.0 <= shell.clock.now_s()


async def test_metrics_of_many_ranks_fit_into_one_answer() -> None:
    every = {f"{'m' * 47}{number:03}": float(number) for number in range(100)}
    async with running_shell() as shell:
        await shell.submit()
        shell.training.found = [gang(0)]
        for ranks, shown in ((200, 100), (201, 99), (1_024, 19)):
            shell.training.members = [
                replace(rank(number), metrics=every, told=TaskResult(fence=2, metrics=every))
                for number in range(ranks)
            ]
            answer = await shell.ask("alice", "train.ranks", task="1")
            first = sorted(every)[:shown]
            for each in answer["ranks"]:
                assert sorted(each["metrics"]) == sorted(each["told"]["metrics"]) == first
            assert len(json.dumps(answer)) < MAX_PAYLOAD_BYTES


async def test_of_a_gang_that_is_over_what_it_used_last_is_shown() -> None:
    async with running_shell() as shell:
        await shell.submit()
        shell.training.found = [gang(0, ended_at=1_000.0)]
        await shell.ask("alice", "train.ranks", task="1.0")
        assert shell.series.of_ranks == [(GANG, 2, 880.0)]


async def test_what_is_no_gang_says_so() -> None:
    async with running_shell() as shell:
        await shell.submit()
        for operation, field in (("train.status", "target"), ("train.ranks", "task")):
            refused = (await shell.ask("alice", operation, **{field: "1"}))["error"]
            assert (refused["code"], refused["field"]) == ("E_NOT_FOUND", f"/{field}")
            assert refused["message"] == "no task of it is a gang" and "--gang" in refused["hint"]
            unknown = (await shell.ask("bob", operation, **{field: "1"}))["error"]
            assert unknown["message"] == "no such job or task"


async def test_bad_questions_say_what_would_be_right() -> None:
    async with running_shell() as shell:
        await shell.submit()
        shell.training.found = [gang(0)]
        refused = (await shell.ask("alice", "train.status", target="1", limit=1001))["error"]
        assert (refused["code"], refused["field"], refused["expected"]) == ("E_RANGE", "/limit", "1–1000")
        for cursor in ("x", "-1", "٣", "12345678"):
            refused = (await shell.ask("alice", "train.status", target="1", cursor=cursor))["error"]
            assert (refused["code"], refused["field"]) == ("E_CURSOR", "/cursor")
        refused = (await shell.ask("alice", "train.status", target="1.0:2"))["error"]
        assert refused["code"] == "E_ID"
