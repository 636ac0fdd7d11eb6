"""The command as a program of its own, over a coordinator of a few lines: for pipes, terminals and signals.

`python -m tests.unit.tui.driven WORDS...`: job 7 runs for ever, `jobs --all` never ends, job 8 is queued
and what is submitted; cancelling is never answered.
"""

from __future__ import annotations

import sys

from msgspec import Struct

from bus.api import Events, Following, Happened, Job, Jobs, Log, Submitted, TaskCounts, Why
from bus.client import Client
from bus.requests import Cancel, EventList, JobList, JobQuery, LogFollow, LogQuery, TaskQuery, WhyQuery
from bus.spec import JobSpec
from bus.values import JobState, TaskState
from tests.unit.tui.command import Silence, a_job, a_task, connection
from tui.__main__ import main

LOG = b"first line\n"


def answer(request: Struct) -> Struct | None:
    match request:
        case JobSpec():
            return Submitted(number=8, id="i", tasks=1)
        case JobQuery(job="8"):
            return a_job(8, state=JobState.PENDING, started_at=None, counts=TaskCounts(total=1, queued=1))
        case JobQuery():
            return a_job()
        case JobList():
            start = int(request.cursor or 0)
            rows: list[Job] = [a_job(start + place) for place in range(100)]
            return Jobs(jobs=rows, next=str(start + 100))
        case TaskQuery():
            return a_task(state=TaskState.RUNNING, fence=1)
        case LogQuery():
            return Log(
                task="7.0", attempt=1, node="n1", stream=request.stream, offset=request.offset,
                data=LOG[request.offset :], size=len(LOG), ended=False,
            )  # fmt: skip
        case EventList():
            return Events(events=[Happened(id="e", at=0.0, kind="job_submitted", job=7)])
        case LogFollow():
            return Following(subject="x", node="n1", attempt=1, seconds=30)
        case WhyQuery():
            return Why(task="8.0", state=TaskState.QUEUED, summary="no node has 500 cores\x1b[2J")
        case Cancel():
            raise Silence
    return None


if __name__ == "__main__":
    Client.connect = connection(answer)  # type: ignore[method-assign, assignment]
    sys.exit(main())
