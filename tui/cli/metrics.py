"""`metrics`: what nodes, tasks or the whole cluster used over time, with a line of blocks each."""

from __future__ import annotations

import time
from argparse import Namespace

from bus.series import Aggregate, Series, SeriesQuery
from tui.cli import output
from tui.cli.connect import client
from tui.cli.diagnostics import CommandError, Exit
from tui.view.charting import parse_subject, queries
from tui.view.pulse import sparkline
from tui.view.series import exact
from tui.view.table import Column
from tui.view.words import WordError

SPARK_CELLS = 40
COLUMNS = (
    Column("NAME", flexible=True),
    Column("METRIC"),
    Column("NOW", right=True),
    Column("LEAST", right=True),
    Column("MEAN", right=True),
    Column("MOST", right=True),
    Column("OVER TIME"),
)


async def metrics(arguments: Namespace) -> int:
    """One line a series; in JSON every value, with the times they belong to."""
    line = f"{','.join(arguments.things) or 'cluster'} {','.join(arguments.metric)}"
    try:
        subject = parse_subject(line.strip())
    except WordError as error:
        raise CommandError("E_ENUM", str(error), exit=Exit.USAGE, field="--metric") from None
    until_s = time.time() if arguments.until is None else arguments.until
    since_s = until_s - 3_600.0 if arguments.since is None else arguments.since
    asked = queries(subject, subject.panels, since_s=since_s, until_s=until_s, points=arguments.points)
    async with client(arguments) as corral:
        answers = [await corral.series(_with_aggregate(each, arguments.aggregate)) for each in asked]
    found = answers[0]  # levels and counts were asked apart, over the same buckets
    found.series = [series for answer in answers for series in answer.series]
    match arguments.output:
        case "json":
            output.as_json(found)
        case "jsonl":
            output.as_json_lines(found.series)
        case "name":
            output.lines(dict.fromkeys(series.id for series in found.series))
        case _:
            output.table(COLUMNS, list(map(_row, found.series)))
    return Exit.OK


def _with_aggregate(query: SeriesQuery, aggregate: str) -> SeriesQuery:
    query.aggregate = Aggregate(aggregate)
    return query


def _row(series: Series) -> tuple[str, ...]:
    values = [value for value in series.values if value is not None]
    figures = (values[-1], min(values), sum(values) / len(values), max(values)) if values else (None,) * 4
    return (
        series.id or "cluster",
        series.metric,
        *(exact(each, series.unit) for each in figures),
        sparkline(_squeezed(series.values), SPARK_CELLS),
    )


def _squeezed(values: list[float | None]) -> list[float | None]:
    """As many as there are cells: of each stretch the highest, so that no peak is lost."""
    width = max(1, -(-len(values) // SPARK_CELLS))
    stretches = [values[at : at + width] for at in range(0, len(values), width)]
    return [max((each for each in some if each is not None), default=None) for some in stretches]
