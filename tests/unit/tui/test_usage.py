"""An hour of a node's or a task's use in the lines of its details."""

from __future__ import annotations

from msgspec.structs import replace

from bus.series import METRICS, Aggregate, Measured, Series, SeriesKind
from tui.view.usage import HOUR_S, SPARK_CELLS, usage_lines, usage_queries


def measured(metric: str, unit: str, *values: float | None) -> Measured:
    series = Series(id="n1", metric=metric, unit=unit, aggregate=Aggregate.MEAN, values=[*values])
    return Measured(times=[0.0], step_s=90.0, resolution_s=0.0, series=[series])


def test_levels_and_counts_are_asked_over_the_same_hour() -> None:
    asked = usage_queries(SeriesKind.NODE, "n1", until_s=10_000.0)
    assert {each.since for each in asked} == {10_000.0 - HOUR_S}
    assert all((each.ids, each.until, each.points) == (["n1"], 10_000.0, SPARK_CELLS) for each in asked)
    assert {name for each in asked for name in each.metrics} == {"cpu", "memory", "gpu", "network"}


def test_each_gauge_has_a_line_with_its_newest_and_its_highest() -> None:
    lines = usage_lines(
        [
            measured("cpu", METRICS[SeriesKind.NODE]["cpu"].unit, 1000.0, None, 4000.0, 2000.0),
            measured("gpu", "%", 0.0),
        ]
    )
    _, title, cpu = (line.text for line in lines)
    assert title == "used in the last hour" and cpu.startswith("cpu  ")
    assert cpu.endswith("  2 cores, at most 4 cores") and "▃ █" in cpu


def test_what_was_not_measured_has_no_lines() -> None:
    assert usage_lines([measured("cpu", "cores", None, None), measured("gpu", "%")]) == []


def test_each_gpu_has_a_line_of_its_own() -> None:
    found = measured("gpu", "%", 50.0)
    found.series.append(replace(found.series[0], id="n1:1", values=[70.0]))
    found.series[0].id = "n1:0"
    assert [line.text.split()[:2] for line in usage_lines([found])[2:]] == [["gpu", "0"], ["gpu", "1"]]
