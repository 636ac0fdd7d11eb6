"""What will be, for people: forecasts of starts, and what a change would do to all that waits."""

from __future__ import annotations

from bus.api import Affected, Effect, Forecast, Outlook
from bus.units import counted
from tui.view.amounts import NONE, duration
from tui.view.displacement import sum_lines, task_lines
from tui.view.table import Column, render

_TOTALS = (
    Column("ALL THAT WAITS"),
    Column("BEFORE", right=True),
    Column("AFTER", right=True),
)
_JOBS = (
    Column("JOB"),
    Column("USER"),
    Column("TASKS", right=True),
    Column("START", right=True),
    Column("AFTER", right=True),
    Column("SLOWDOWN", right=True),
    Column("AFTER", right=True),
)


def forecast_text(forecast: Forecast, *, now_s: float) -> str:
    """ "in 12m (80 %: 4m to 31m)"."""
    if forecast.latest_at <= now_s:
        return "now"
    start, low, high = (
        duration(max(at - now_s, 0.0))
        for at in (forecast.starts_at, forecast.earliest_at, forecast.latest_at)
    )
    return f"in {start} ({forecast.share:.0%}: {low} to {high})"


def record_text(forecast: Forecast) -> str:
    """How good forecasts were so far; "" before one came out."""
    return f"{forecast.right:,} of {forecast.told:,} forecasts so far were right" if forecast.told else ""


def effect_lines(effect: Effect, *, width: int | None) -> list[str]:
    """A table of before and after."""
    if not effect.tasks:
        return ["nothing else waits"]
    rows = [
        ("mean waiting from now on", duration(effect.wait_before_s), duration(effect.wait_after_s)),
        ("mean slowdown", f"{effect.slowdown_before:,.2f}", f"{effect.slowdown_after:,.2f}"),
    ]
    if effect.stuck_before or effect.stuck_after:
        rows.append(("would not start", f"{effect.stuck_before:,}", f"{effect.stuck_after:,}"))
    same = effect.tasks - effect.earlier - effect.later
    moved = f"{counted(effect.tasks, 'task')} in line: {effect.earlier:,} would start earlier"
    return [*render(_TOTALS, rows, width=width), f"{moved}, {effect.later:,} later, {same:,} as before"]


def outlook_lines(outlook: Outlook, *, now_s: float, width: int | None = None) -> list[str]:
    """The change, its effect on all, the jobs on which it has most, and what drained nodes hold."""
    lines = effect_page(outlook, now_s=now_s, width=width)
    if outlook.displacement is not None:
        lines += ["", *sum_lines(outlook.displacement, now_s=now_s)]
        if outlook.displaced:
            each = task_lines(outlook.displaced, now_s=now_s, width=None if width is None else width - 2)
            lines += ["", *(f"{line.mark or ' '} {line.text}" for line in each)]
    return lines


def effect_page(outlook: Outlook, *, now_s: float, width: int | None = None) -> list[str]:
    """The change, its effect on all, and the jobs on which it has most."""
    lines = [f"what if    {outlook.change}"]
    if outlook.forecast is not None:
        lines.append(f"the job    would start {forecast_text(outlook.forecast, now_s=now_s)}")
        if outlook.forecast.ends_at is not None:
            lines.append(
                f"           and end in about {duration(max(outlook.forecast.ends_at - now_s, 0.0))}"
            )
    lines += ["", *effect_lines(outlook.effect, width=width)]
    if outlook.jobs:
        rows = [_job_row(job, now_s=now_s) for job in outlook.jobs]
        lines += ["", *render(_JOBS, rows, width=width)]
    return lines


def _job_row(job: Affected, *, now_s: float) -> tuple[str, ...]:
    return (
        str(job.job),
        job.user,
        f"{job.tasks:,}",
        *(_start(at, now_s=now_s) for at in (job.starts_before, job.starts_after)),
        *(NONE if value is None else f"{value:,.2f}" for value in (job.slowdown_before, job.slowdown_after)),
    )


def _start(at: float | None, *, now_s: float) -> str:
    return "never" if at is None else f"in {duration(max(at - now_s, 0.0))}"
