"""What a node or a task used in the last hour, as a line of blocks for each gauge: for its details."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from tui.view.charting import Subject, queries
from tui.view.facts import fact, head
from tui.view.lines import Line
from tui.view.pulse import sparkline
from tui.view.series import exact

if TYPE_CHECKING:
    from bus.series import Measured, SeriesKind, SeriesQuery


HOUR_S = 3_600.0
SPARK_CELLS = 40
GAUGES = ("cpu", "memory", "gpu", "network")


def usage_queries(kind: SeriesKind, id: str, *, until_s: float) -> list[SeriesQuery]:
    """What has to be asked: a value for each cell."""
    subject = Subject(kind, (id,))  # of a node, the GPUs are told one by one
    return queries(subject, GAUGES, since_s=until_s - HOUR_S, until_s=until_s, points=SPARK_CELLS)


def usage_lines(answers: Sequence[Measured]) -> list[Line]:
    """A head and a line a gauge with its newest and highest value; nothing where nothing was measured."""
    lines = []
    for series in (each for answer in answers for each in answer.series):
        known = [value for value in series.values if value is not None]
        if known and any(known):
            drawn = sparkline(series.values, SPARK_CELLS)
            now, most = exact(known[-1], series.unit), exact(max(known), series.unit)
            _, is_gpu, number = series.id.partition(":")
            name = f"gpu {number}" if is_gpu else series.metric
            lines.append(fact(name, f"{drawn}  {now}, at most {most}"))
    return [Line(""), head("used in the last hour"), *lines] if lines else []
