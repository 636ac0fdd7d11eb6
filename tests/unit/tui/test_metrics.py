"""`corral metrics`: a line a series for people, every value for scripts; what it asks and what it refuses."""

from __future__ import annotations

import json

import pytest
from msgspec import Struct

from bus.series import METRICS, Aggregate, Measured, Series, SeriesKind, SeriesQuery
from tests.unit.tui.command import Corral

VALUES = [1000.0, None, 3000.0]


def answer(request: Struct) -> Struct | None:
    assert isinstance(request, SeriesQuery)
    asked.append(request)
    return Measured(
        times=[0.0, 15.0, 30.0], step_s=15.0, resolution_s=0.0,
        series=[
            Series(id=each, metric=name, unit=METRICS[request.kind][name].unit, aggregate=Aggregate.MEAN,
                   values=[None] * 3 if each == "n2" else VALUES)
            for name in request.metrics for each in (request.ids or [""])
        ],
    )  # fmt: skip


asked: list[SeriesQuery] = []


@pytest.fixture(autouse=True)
def answering(corral: Corral) -> None:
    asked.clear()
    corral.answer = answer


@pytest.mark.contract("S1.46")
def test_a_table_has_a_line_a_series(corral: Corral) -> None:
    code, out, _ = corral("metrics", "n1", "n2", "--metric", "cpu", "--since", "6h", "--points", "60")
    assert code == 0
    head, n1, n2 = out.splitlines()
    assert head.split() == ["NAME", "METRIC", "NOW", "LEAST", "MEAN", "MOST", "OVER", "TIME"]
    assert n1.split()[:4] == ["n1", "cpu", "3", "cores"] and "2 cores" in n1 and "▃ █" in n1
    assert n2.split()[:4] == ["n2", "cpu", "–", "–"]
    (query,) = asked
    assert (query.kind, query.ids, query.metrics, query.points) == (
        SeriesKind.NODE,
        ["n1", "n2"],
        ["cpu"],
        60,
    )
    assert query.until is not None and query.until - query.since == pytest.approx(6 * 3600, abs=5)


def test_the_cluster_is_what_is_meant_without_a_name_and_json_has_everything(corral: Corral) -> None:
    code, out, _ = corral("metrics", "-o", "json")
    found = json.loads(out)
    assert code == 0 and len(found["times"]) == 3
    shown = {each["metric"] for each in found["series"]}
    assert {"cpu_used", "running", "wait", "failed"} < shown < METRICS[SeriesKind.CLUSTER].keys()
    assert found["series"][0]["values"] == VALUES
    assert len(asked) == 2 and asked[0].until == asked[1].until, "levels and counts, over the same buckets"


def test_what_the_scheduler_learned_is_asked_by_its_own_word(corral: Corral) -> None:
    code, out, _ = corral("metrics", "learning", "-o", "json")
    shown = {each["metric"] for each in json.loads(out)["series"]}
    assert code == 0 and {"reward", "td_error", "epsilon", "policy_cost", "forecasts_right"} < shown
    assert "cpu_used" not in shown


def test_tasks_are_asked_with_an_aggregate(corral: Corral) -> None:
    assert (
        corral("metrics", "1042.7", "--metric", "memory", "--aggregate", "p95", "-o", "name")[1] == "1042.7\n"
    )
    (query,) = asked
    assert (query.kind, query.aggregate) == (SeriesKind.TASK, Aggregate.P95)


def test_a_metric_that_is_none_is_told_with_the_nearest(corral: Corral) -> None:
    code, _, err = corral("metrics", "n1", "--metric", "cpi")
    assert code == 2 and "no such metric: cpi; cpu?" in err and not asked


def test_each_gpu_has_a_line_and_a_node_without_says_so(corral: Corral) -> None:
    def answer(request: Struct) -> Struct | None:
        assert isinstance(request, SeriesQuery)
        lacks = "GPU" if request.kind is SeriesKind.GPU else ""
        return Measured(
            times=[0.0], step_s=15.0, resolution_s=0.0,
            series=[
                Series(id="n1", metric=name, unit="%", aggregate=Aggregate.MEAN,
                       values=[None if lacks else 1.0], lacks=lacks)
                for name in request.metrics
            ],
        )  # fmt: skip

    corral.answer = answer
    code, out, _ = corral("metrics", "n1", "--metric", "cpu,gpu")
    cpu, gpu = out.splitlines()[1:]
    assert code == 0 and "no GPU" not in cpu and gpu.split()[:4] == ["n1", "gpu", "no", "GPU"]
