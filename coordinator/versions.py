"""Whether a list can have changed: how often its job, or any, was changed by a batch; what else was written.

A page that was read at one count is the same for as long as the count is: nothing else changes jobs and tasks
but batches and, rarely, the archive, which is why nobody should trust a count for longer than `TRUST_S`. Of
jobs that were not touched for long the count is forgotten; theirs is then that of the youngest one forgotten,
so that a list is read once too often, never once too seldom. What is noticed and who came in is written
beside the batches, and counted by who writes it.
"""

from __future__ import annotations

from coordinator.store.rows import Batch

TRUST_S = 60.0
JOBS_KEPT = 10_000


class Versions:
    """Counts what the batches of one leader changed."""

    def __init__(self, *, epoch: int) -> None:
        self._epoch = epoch
        self._count = 0
        self._forgotten = 0
        self._noticed = 0
        self._people = 0
        self._jobs: dict[int, int] = {}  # the longest untouched first

    def changed(self, batch: Batch) -> None:
        """Call once `batch` is committed, before anybody hears of it."""
        numbers = {each.number for each in batch.new_jobs}
        numbers.update(each.number for each in batch.job_changes)
        numbers.update(each.task.job for each, _ in batch.new_tasks)
        numbers.update(each.task.job for each in batch.task_changes)
        self._count += bool(numbers)
        self._people += bool(batch.audits or batch.accounts)
        for number in numbers:
            self._jobs.pop(number, None)
            self._jobs[number] = self._count
        while len(self._jobs) > JOBS_KEPT:
            self._forgotten = self._jobs.pop(next(iter(self._jobs)))

    def of(self, job: int | None = None) -> str:
        """Names the state of a job with its tasks, or of all of them; read it before the rows."""
        count = self._count if job is None else self._jobs.get(job, self._forgotten)
        return f"{self._epoch}.{count}"

    def noticed(self) -> None:
        """Call once events that no batch has are written, or resolved."""
        self._noticed += 1

    def came(self) -> None:
        """Call once somebody came in, was let in or refused, and it is written."""
        self._people += 1

    def of_events(self) -> str:
        """Names all that happened; read it before the rows."""
        return f"{self.of()}.{self._noticed}"

    def of_people(self) -> str:
        """Names what is on record of people and what their jobs are; read it before the rows."""
        return f"{self.of()}.{self._people}"
