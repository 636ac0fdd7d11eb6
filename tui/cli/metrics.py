"""`metrics`: what nodes, tasks or the whole cluster used over time, with a line of blocks each."""

from __future__ import annotations

import time
from argparse import Namespace

from bus.results import MetricSeries
from bus.series import Aggregate, Series, SeriesQuery
from tui.cli import output
from tui.cli.connect import client
from tui.cli.diagnostics import CommandError, Exit
from tui.view.amounts import NONE
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
TOLD_COLUMNS = (*COLUMNS[:2], Column("STEP", right=True), *COLUMNS[2:])


async def metrics(arguments: Namespace) -> int:
    """One line a series; in JSON every value, with the times they belong to."""
    if arguments.name is not None:
        return await _told(arguments)
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


async def _told(arguments: Namespace) -> int:
    """What tasks told of themselves: `--name`."""
    if not arguments.things:
        raise CommandError("E_REQUIRED", "which task?", exit=Exit.USAGE, field="--name", expected="a task")
    if arguments.metric:
        hint = "ask one after the other"
        raise CommandError("E_USAGE", "--name and --metric are two questions", exit=Exit.USAGE, hint=hint)
    names = [] if arguments.name == ["*"] else arguments.name
    async with client(arguments) as corral:
        found = [
            await corral.task_metrics(task, names=names, points=arguments.points) for task in arguments.things
        ]
    told = [(one.task, series) for one in found for series in one.series]
    match arguments.output:
        case "json":
            output.as_json(found if len(found) > 1 else found[0])
        case "jsonl":
            output.as_json_lines([series for _, series in told])
        case "name":
            output.lines(f"{task} {series.name}" for task, series in told)
        case _:
            rows = [_told_row(task, series) for task, series in told]
            output.table(
                (Column("NAME", flexible=True), Column("METRIC"), Column("STEP", right=True), *COLUMNS[2:]),
                rows,
            )
    return Exit.OK


def _told_row(task: str, series: MetricSeries) -> tuple[str, ...]:
    values, step = series.values, series.steps[-1]
    least = min(values)
    figures = (values[-1], least, sum(values) / len(values), max(values))
    # what falls must be seen to fall also where it never comes near zero
    risen: list[float | None] = [value - least for value in values]
    return (
        task,
        series.name,
        NONE if step is None else str(step),
        *(f"{each:.6g}" for each in figures),
        sparkline(_squeezed(risen), SPARK_CELLS),
    )


def _with_aggregate(query: SeriesQuery, aggregate: str) -> SeriesQuery:
    query.aggregate = Aggregate(aggregate)
    return query


def _row(series: Series) -> tuple[str, ...]:
    values = [value for value in series.values if value is not None]
    figures = (values[-1], min(values), sum(values) / len(values), max(values)) if values else (None,) * 4
    told = [exact(each, series.unit) for each in figures]
    return (
        series.id or "cluster",
        series.metric,
        *([f"no {series.lacks}", *told[1:]] if series.lacks else told),
        sparkline(_squeezed(series.values), SPARK_CELLS),
    )


def _squeezed(values: list[float | None]) -> list[float | None]:
    """As many as there are cells: of each stretch the highest, so that no peak is lost."""
    width = max(1, -(-len(values) // SPARK_CELLS))
    stretches = [values[at : at + width] for at in range(0, len(values), width)]
    return [max((each for each in some if each is not None), default=None) for some in stretches]
