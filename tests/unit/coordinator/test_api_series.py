"""`series.query` and `series.states`: what is asked of the store, and what is refused before it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import pytest
from msgspec.structs import replace

from bus.series import METRICS, Aggregate, Series, SeriesKind
from bus.values import GpuInfo, NodeName
from coordinator.api.gpu_series import without_gpus
from coordinator.api.series import TASKS_MAX
from coordinator.store.errors import StoreUnavailable, TooMuchAsked
from tests.unit.coordinator.fake_agent import INVENTORY
from tests.unit.coordinator.shell import Shell, running_shell

HOUR: dict[str, Any] = {"kind": "node", "metrics": ["cpu"], "since": 7_200.0, "until": 10_800.0}
TASK = {"kind": "task", "ids": ["1.0"]}


@pytest.fixture
async def shell() -> AsyncIterator[Shell]:
    async with running_shell() as running:
        await running.agent("n1", labels={"zone": "a"})
        await running.agent("n2")
        yield running


async def test_what_is_asked_is_understood(shell: Shell) -> None:
    await shell.ask("rita", "series.query", **HOUR)
    (wanted,) = shell.series.asked
    assert (wanted.kind, wanted.metrics) == (SeriesKind.NODE, ("cpu",))
    assert list(wanted.things.values()) == ["n1", "n2"]
    assert (wanted.since_s, wanted.step_s, wanted.count) == (7_200.0, 15.0, 240)
    assert wanted.aggregate is Aggregate.MEAN


@pytest.mark.parametrize(
    ("asked", "step_s", "count"),
    [
        ({"points": 60}, 60.0, 60),
        ({"points": 7}, 600.0, 6),
        ({"step_s": 7.0, "since": 10.0, "until": 30.0}, 7.0, 4),
        ({"since": 0.0, "until": 30 * 86_400.0}, 10_800.0, 240),
    ],
)
async def test_buckets_are_round_and_begin_at_multiples(
    shell: Shell, asked: dict[str, Any], step_s: float, count: int
) -> None:
    await shell.ask("rita", "series.query", **(HOUR | asked))
    wanted = shell.series.asked[-1]
    assert (wanted.step_s, wanted.count) == (step_s, count)
    assert wanted.since_s % step_s == 0.0 and wanted.since_s <= asked.get("since", 7_200.0)


async def test_nodes_are_chosen_by_name_or_filter(shell: Shell) -> None:
    await shell.ask("rita", "series.query", **HOUR, ids=["n2"])
    await shell.ask("rita", "series.query", **HOUR, filter="label.zone=a")
    assert [list(wanted.things.values()) for wanted in shell.series.asked] == [["n2"], ["n1"]]


async def test_tasks_are_their_owners(shell: Shell) -> None:
    await shell.submit("alice")
    for user, seen in (("alice", True), ("olga", True), ("bob", False)):
        answer = await shell.ask(user, "series.query", **(HOUR | TASK))
        assert ("error" in answer) is not seen and ("E_NOT_FOUND" in str(answer)) is not seen
    assert [list(wanted.things.values()) for wanted in shell.series.asked] == [["1.0"], ["1.0"]]


async def test_counts_become_rates_by_themselves(shell: Shell) -> None:
    of_cluster = HOUR | {"kind": "cluster"}
    await shell.ask("rita", "series.query", **(of_cluster | {"metrics": ["completed", "failed", "failed"]}))
    (wanted,) = shell.series.asked
    assert (wanted.aggregate, wanted.metrics) == (Aggregate.RATE, ("completed", "failed"))


@pytest.mark.parametrize(
    ("asked", "code", "field"),
    [
        ({"metrics": []}, "E_REQUIRED", "/metrics"),
        ({"metrics": ["cpu", "cpi"]}, "E_ENUM", "/metrics/1"),
        ({"kind": "task", "metrics": ["temperature"], "ids": ["1.0"]}, "E_ENUM", "/metrics/0"),
        ({"kind": "task"}, "E_REQUIRED", "/ids"),
        ({"kind": "task", "ids": ["1.0"] * (TASKS_MAX + 1)}, "E_TOO_MANY", "/ids"),
        ({"kind": "cluster", "metrics": ["running"], "ids": ["n1"]}, "E_RANGE", "/ids"),
        ({"kind": "cluster", "metrics": ["running"], "filter": "name=n1"}, "E_VALUE", "/filter"),
        ({"ids": ["n1"], "filter": "name=n1"}, "E_VALUE", "/filter"),
        ({"ids": ["n1", "n3"]}, "E_NOT_FOUND", "/ids/1"),
        ({"kind": "gpu", "metrics": ["gpu"], "ids": ["n1", "n3:0"]}, "E_NOT_FOUND", "/ids/1"),
        ({"kind": "gpu", "metrics": ["gpu"], "ids": ["n1:0"]}, "E_NOT_FOUND", "/ids/0"),
        ({"kind": "gpu", "metrics": ["gpu"], "ids": [":0"]}, "E_NOT_FOUND", "/ids/0"),
        ({"kind": "gpu", "metrics": ["cpu"]}, "E_ENUM", "/metrics/0"),
        ({"filter": "nome=n1"}, "E_FIELD", "/filter"),
        ({"until": 7_200.0}, "E_RANGE", "/until"),
        ({"since": 1e300}, "E_TIME", "/since"),
        ({"points": 0}, "E_RANGE", "/points"),
        ({"points": 2_001}, "E_RANGE", "/points"),
        ({"step_s": 0.5}, "E_RANGE", "/step_s"),
        ({"step_s": 1.0}, "E_TOO_LARGE", "/step_s"),
        ({"aggregate": "rate"}, "E_VALUE", "/aggregate"),
        ({"aggregate": "median"}, "E_ENUM", "/aggregate"),
        ({"kind": "cluster", "metrics": ["completed"], "aggregate": "max"}, "E_VALUE", "/aggregate"),
        ({"kind": "cluster", "metrics": ["completed", "running"]}, "E_VALUE", "/aggregate"),
        (
            {"points": 2_000, "metrics": [*METRICS[SeriesKind.NODE]], "until": 9_200.0},
            "E_TOO_LARGE", "/points",
        ),
    ],
)  # fmt: skip
async def test_what_cannot_be_answered_is_refused(
    shell: Shell, asked: dict[str, Any], code: str, field: str
) -> None:
    answer = (await shell.ask("olga", "series.query", **(HOUR | asked)))["error"]
    assert (answer["code"], answer["field"]) == (code, field), answer
    assert shell.series.asked == []


async def test_a_database_that_takes_too_long_or_is_away_is_told(shell: Shell) -> None:
    shell.series.fault = TooMuchAsked("it takes longer than 4 s")
    answer = (await shell.ask("olga", "series.query", **HOUR))["error"]
    assert answer["code"] == "E_TOO_LARGE" and "shorter" in answer["hint"]
    shell.series.fault = StoreUnavailable("away")
    assert (await shell.ask("olga", "series.query", **HOUR))["error"]["status"] == 503


async def test_ranks_are_named_behind_their_task(shell: Shell) -> None:
    await shell.submit()
    ids = ["1.0:3", "1.0", "1", "1.0:0"]
    await shell.ask("alice", "series.query", **(HOUR | TASK | {"ids": ids}))
    (wanted,) = shell.series.asked
    row = UUID(int=1)
    assert wanted.owners == (row,)
    assert wanted.things == {f"{row}:3": "1.0:3", str(row): "1.0", f"{row}:0": "1.0:0"}


async def test_states_of_the_last_day_are_ones_own(shell: Shell) -> None:
    for user in ("alice", "olga"):
        await shell.ask(user, "series.states")
    (alice, olga) = shell.series.since
    assert (alice[1], olga[1]) == ("alice", None)
    assert shell.clock.now_s() - 86_400.0 == pytest.approx(alice[0], abs=60.0)
    for window_s in (1.0, 1e9):
        assert (await shell.ask("olga", "series.states", window_s=window_s))["error"]["code"] == "E_RANGE"


GPU: dict[str, Any] = HOUR | {"kind": "gpu", "metrics": ["gpu"]}


@pytest.mark.parametrize(
    ("asked", "names", "lacking"),
    [
        ({}, ["g1:0", "g1:1"], ["n1", "n2"]),
        ({"ids": ["g1"]}, ["g1:0", "g1:1"], []),
        ({"ids": ["g1:1"]}, ["g1:1"], []),
        ({"ids": ["g1:1", "g1:1", "g1", "n2"]}, ["g1:1", "g1:0"], ["n2"]),
        ({"filter": "name=g1"}, ["g1:0", "g1:1"], []),
    ],
)
async def test_gpus_are_named_by_their_node_and_who_has_none_says_so(
    shell: Shell, asked: dict[str, Any], names: list[str], lacking: list[str]
) -> None:
    gpus = tuple(GpuInfo(uuid=f"GPU-{each}", model="H100", mem_mib=81_920) for each in "ab")
    await shell.agent("g1", inventory=replace(INVENTORY, gpus=gpus))
    answer = await shell.ask("rita", "series.query", **(GPU | asked))
    (wanted,) = shell.series.asked
    assert list(wanted.things.values()) == names
    assert (
        set(wanted.things) <= {"GPU-a", "GPU-b"} and shell.cluster.nodes[NodeName("g1")].id in wanted.owners
    )
    assert [(each["id"], each["lacks"]) for each in answer["series"]] == [(name, "GPU") for name in lacking]


@pytest.mark.parametrize("gpu", ["g1:2", "g1:-1", "g1:01", "g1:", "g1:x", "g1:0:0"])
async def test_a_gpu_that_is_not_there_is_refused(shell: Shell, gpu: str) -> None:
    found = (GpuInfo(uuid="GPU-a", model="H100", mem_mib=81_920),) * 2
    await shell.agent("g1", inventory=replace(INVENTORY, gpus=found))
    error = (await shell.ask("rita", "series.query", **GPU, ids=[gpu]))["error"]
    assert (error["code"], error["expected"]) == ("E_NOT_FOUND", "g1:0 to g1:1")


async def test_a_node_without_gpus_has_words_and_no_zeros(shell: Shell) -> None:
    gpu = GpuInfo(uuid="GPU-a", model="H100", mem_mib=81_920)
    await shell.agent("g1", inventory=replace(INVENTORY, gpus=(gpu,)))
    await shell.ask("rita", "series.query", **(HOUR | {"metrics": ["gpu", "cpu"]}))
    (wanted,) = shell.series.asked
    nodes = list(shell.cluster.nodes.values())

    def told(name: str, metric: str, *values: float | None) -> tuple[str, list[float | None]]:
        made = Series(id=name, metric=metric, unit="", aggregate=Aggregate.MEAN, values=[*values])
        (answer,) = without_gpus(replace(wanted, count=len(values)), nodes, [made])
        return answer.lacks, answer.values

    assert told("n1", "gpu", 0.0, None) == ("GPU", [None, None])
    assert told("n1", "gpu", 0.0, 0.5) == ("", [0.0, 0.5]), "it had one then"
    assert told("n1", "cpu", 0.0, 0.0) == ("", [0.0, 0.0])
    assert told("g1", "gpu", 0.0, 0.0) == ("", [0.0, 0.0])
