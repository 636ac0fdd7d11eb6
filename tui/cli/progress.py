"""How far jobs are, on stderr, while somebody waits for them.

On a terminal one line that is drawn over; elsewhere a plain line whenever a job's state changes. Why a job
does not start is asked for once it has waited a little.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from types import TracebackType
from typing import TYPE_CHECKING

from bus.api import Job, TaskCounts
from bus.errors import CorralError
from bus.values import JobState
from tui.cli import diagnostics
from tui.view.descriptions import bar
from tui.view.rows import counts_text
from tui.view.safe import fit, safe_line, text_width

if TYPE_CHECKING:
    from bus.client import Client

FIRST_LOOK_S = 0.3
"""Who waits for less sees nothing flicker."""

LOOK_S = 0.5
WHY_AFTER_LOOKS = 3


class Progress:
    """Shows the jobs `names` for the time of the block, which waits for them by other means.

    `until_started`: it falls silent for good once a task has started, whose output then has the terminal.
    """

    def __init__(
        self, corral: Client, names: Sequence[str], *, quiet: bool, until_started: bool = False
    ) -> None:
        self._corral = corral
        self._names = names
        self._quiet = quiet
        self._until_started = until_started
        self._drawn = False
        self._said = ""
        self._looks = 0
        self._looking: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Progress:
        if not self._quiet:
            self._looking = asyncio.create_task(self._look(), name="progress")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.wait([self._looking])
        self.clear()

    def clear(self) -> None:
        """Take the line away, before something else is written."""
        if self._drawn:
            diagnostics.redraw("")
            self._drawn = False

    async def _look(self) -> None:
        await asyncio.sleep(FIRST_LOOK_S)
        while True:
            try:
                jobs = [await self._corral.job(name) for name in self._names]
                if self._until_started and any(job.started_at is not None for job in jobs):
                    self.clear()
                    return
                self._show(jobs, await self._why(jobs))
            except CorralError as error:
                self._say(f"waiting for the cluster: {error}")
            await asyncio.sleep(LOOK_S)

    async def _why(self, jobs: Sequence[Job]) -> str:
        """Why the one job waited for does not start yet."""
        if len(jobs) != 1 or jobs[0].state not in (JobState.PENDING, JobState.SCHEDULED):
            self._looks = 0
            return ""
        self._looks += 1
        if self._looks <= WHY_AFTER_LOOKS:
            return ""
        return (await self._corral.why(str(jobs[0].number))).summary

    def _show(self, jobs: Sequence[Job], why: str) -> None:
        if not diagnostics.can_redraw():
            self._say(state_line(jobs, why))
            return
        width = max(20, diagnostics.width() - 1)
        line = safe_line(progress_line(jobs, why))
        diagnostics.redraw(fit(line, width) if text_width(line) > width else line)
        self._drawn = True

    def _say(self, text: str) -> None:
        if text != self._said:
            self._said = text
            diagnostics.note(text)


def progress_line(jobs: Sequence[Job], why: str) -> str:
    """One line with a bar over all tasks of all jobs."""
    counts = added([job.counts for job in jobs])
    over = sum(job.state.is_terminal for job in jobs)
    head = f"job {jobs[0].number}" if len(jobs) == 1 else f"{over}/{len(jobs)} jobs"
    return f"{head} {bar(counts)} {counts_text(counts)}{f' · {why}' if why else ''}"


def state_line(jobs: Sequence[Job], why: str) -> str:
    """Words that change only when a state does, for logs of scripts."""
    if len(jobs) > 1:
        return f"{sum(job.state.is_terminal for job in jobs)} of {len(jobs)} jobs have ended"
    return f"job {jobs[0].number} {jobs[0].state}{f': {why}' if why else ''}"


def added(counts: Sequence[TaskCounts]) -> TaskCounts:
    """The sum, field by field."""
    return TaskCounts(
        **{name: sum(getattr(item, name) for item in counts) for name in TaskCounts.__struct_fields__}
    )
