"""Accounts of fair share: what was settled is what the next leader reads, to the last bit."""

from __future__ import annotations

import asyncpg
import pytest

from bus.values import UserName
from coordinator.core.effects import AccountRow
from coordinator.store.reads import Reads
from tests.integration.store.conftest import Leader
from tests.store_rows import ALICE, T0


async def test_an_account_is_read_as_it_was_settled(leader: Leader) -> None:
    for usage, at in ((0.1 + 0.2, T0), (1e7 / 3, T0 + 60.25)):
        await leader.commit(accounts=[AccountRow(owner=ALICE, shares=3, usage=usage, at=at)])
        (row,) = (await leader.store.load()).accounts
        assert row == AccountRow(owner=ALICE, shares=3, usage=usage, at=at)


async def test_everybody_is_listed_whether_they_used_anything_or_not(
    leader: Leader, coordinator_dsn: str
) -> None:
    reads = Reads(coordinator_dsn)
    assert ALICE in [user.name for user in await reads.users()]
    await reads.close()


async def test_what_no_share_can_be_is_refused_by_the_database(
    leader: Leader, database: asyncpg.Connection
) -> None:
    await leader.commit(accounts=[AccountRow(owner=ALICE, shares=1, usage=0.0, at=T0)])
    for column, value in (("shares", 0), ("usage_s", -1.0)):
        with pytest.raises(asyncpg.CheckViolationError):
            await database.execute(f"update corral.fair_shares set {column} = $1", value)


async def test_who_does_not_exist_has_no_account(leader: Leader) -> None:
    """A user may have been removed since: that must not undo everybody's batch."""
    await leader.commit(accounts=[AccountRow(owner=UserName("gone"), shares=1, usage=1.0, at=T0)])
    assert all(row.owner != "gone" for row in (await leader.store.load()).accounts)
