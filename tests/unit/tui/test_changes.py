"""Pages of what changed are joined, up to as many jobs as are wanted."""

from __future__ import annotations

import pytest

from bus.past import Changes, Moved
from tui.client.changes import all_changes


class Paged:
    """Five jobs, one a page; `asked` are (until, before)."""

    def __init__(self) -> None:
        self.asked: list[tuple[float | None, int]] = []

    async def changes(self, since: float, until: float | None = None, *, before: int = 0) -> Changes:
        self.asked.append((until, before))
        number = (before or 6) - 1
        moved = Moved(noun="job", name=str(number), before="", after="running")
        more = number if number > 1 else 0
        happened = {} if before else {"job_submitted": 5}
        return Changes(
            since=since, until=until or 50.0, jobs=[moved], happened=happened, next=more, exact=not more
        )  # fmt: skip


@pytest.mark.parametrize(("most", "names", "exact"), [(100, "54321", True), (3, "543", False)])
async def test_pages_are_joined_as_of_one_moment(most: int, names: str, exact: bool) -> None:
    source = Paged()
    found = await all_changes(source, 1.0, None, most=most)
    assert "".join(moved.name for moved in found.jobs) == names
    assert (found.exact, found.happened, found.until) == (exact, {"job_submitted": 5}, 50.0)
    assert source.asked[0] == (None, 0) and {until for until, _ in source.asked[1:]} == {50.0}
