"""The jobs that a new one runs after: they must exist and be the submitter's, and some are over already.

The core knows what is live; how the others ended is read here and goes with the submission.
"""

from __future__ import annotations

from bus.errors import ApiError
from bus.spec import JobSpec
from coordinator.api.access import viewer
from coordinator.core.after import missing
from coordinator.core.checks import parse_after
from coordinator.core.conditions import Condition
from coordinator.core.effects import Fault
from coordinator.core.job_ends import JobEnd
from coordinator.loop import Loop
from coordinator.replies import fault_error
from coordinator.store.reads import Reads
from coordinator.store.rows import UserRow


class Prerequisites:
    """Looks them up."""

    def __init__(self, loop: Loop, reads: Reads) -> None:
        self._loop = loop
        self._reads = reads

    async def ended(self, user: UserRow, spec: JobSpec) -> dict[int, JobEnd]:
        """Of the jobs that `spec` runs after, those that are over: how they ended.

        Raises ApiError (E_NOT_FOUND) with every one that the user may not name, StoreUnavailable. What is
        no job's number is left for the core to refuse.
        """
        if not spec.after:
            return {}
        faults: list[Fault] = []
        said = parse_after(spec.after, faults)
        if faults:
            return {}
        numbers = [number for number, _ in said]
        one_by_one = [number for number, condition in said if condition is Condition.CORRESPONDING]
        live = self._loop.cluster.jobs
        seen_by = viewer(user)
        known = await self._reads.ended(
            [each for each in numbers if each not in live], viewer=seen_by, one_by_one=one_by_one
        )
        for position, number in enumerate(numbers):
            job = live.get(number)
            if number not in known and (job is None or seen_by not in (None, job.owner)):
                faults.append(missing(number, position))
        if faults:
            raise ApiError(fault_error(tuple(faults)))
        return {number: end for number, end in known.items() if end is not None}
