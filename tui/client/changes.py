"""What changed between two moments, page after page: of very many jobs, as many as anybody reads."""

from __future__ import annotations

from bus.past import Changes
from tui.client.source import ChangesSource

JOBS_MOST = 2_000


async def all_changes(
    source: ChangesSource, since: float, until: float | None, *, most: int = JOBS_MOST
) -> Changes:
    """Pages joined until none is left, or there are `most` jobs. Raises CorralErrors."""
    found = await source.changes(since, until)
    while found.next and len(found.jobs) < most:
        page = await source.changes(since, found.until, before=found.next)
        found.jobs += page.jobs
        found.next, found.exact = page.next, page.exact
    return found
