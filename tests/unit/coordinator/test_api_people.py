"""`user.list` and `user.share`."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from bus.values import UserName
from coordinator.core.scheduler.shares import Account
from tests.unit.coordinator.fakes import SEEN_S
from tests.unit.coordinator.shell import Shell, running_shell


@pytest.fixture
async def shell() -> AsyncIterator[Shell]:
    async with running_shell() as running:
        yield running


async def test_operators_see_what_everybody_used_and_users_themselves(shell: Shell) -> None:
    shares, now_s = shell.cluster.shares, shell.clock.now_s()
    shares.accounts = {
        UserName("alice"): Account(usage=30.0, at_s=now_s),
        UserName("rita"): Account(usage=10.0, at_s=now_s),
    }
    shares.settled_s = now_s
    shares.compete({UserName("alice"), UserName("rita")})
    everybody = {user["name"]: user for user in (await shell.ask("olga", "user.list"))["users"]}
    assert list(everybody) == sorted(everybody) and "sam" in everybody
    assert (
        everybody["alice"]["standing"]["used"] == pytest.approx(0.75)
        and everybody["alice"]["standing"]["due"] == 0.5
    )
    assert everybody["alice"]["standing"]["level"] == 10 and everybody["rita"]["standing"]["level"] == 4
    assert everybody["olga"]["standing"]["level"] == 0, "who has no jobs is measured against those who do"
    assert (everybody["olga"]["seen_at"], everybody["olga"]["failed"]) == (None, 0)
    (own,) = (await shell.ask("alice", "user.list"))["users"]
    assert own["name"] == "alice" and (own["seen_at"], own["failed"]) == (SEEN_S, 2)
    me = await shell.ask("alice", "user.whoami")
    assert me["now"] == pytest.approx(shell.clock.now_s(), abs=60.0)
    for standing in (own["standing"], me["standing"]):
        assert standing["usage_s"] == pytest.approx(30.0, rel=1e-3)
        assert (standing["shares"], standing["level"]) == (1, 10)


async def test_an_admin_gives_shares(shell: Shell) -> None:
    answer = await shell.ask("adam", "user.share", name="alice", shares=4)
    assert answer["hint"] == "alice has 4 shares"
    assert shell.cluster.shares.accounts[UserName("alice")].shares == 4
    (batch,) = [batch for batch in shell.store.batches if batch.accounts]
    assert batch.accounts[0].shares == 4 and batch.audits[0].object == "alice"


@pytest.mark.parametrize(
    ("user", "shares", "code", "field"),
    [
        ("nobody", 1, "E_NOT_FOUND", "/name"),
        ("No One", 1, "E_NOT_FOUND", "/name"),
        ("alice", 0, "E_RANGE", "/shares"),
        ("alice", 1_000_001, "E_RANGE", "/shares"),
    ],
)
async def test_what_cannot_be_given_is_refused(
    shell: Shell, user: str, shares: int, code: str, field: str
) -> None:
    error = (await shell.ask("adam", "user.share", name=user, shares=shares))["error"]
    assert (error["code"], error["field"]) == (code, field)
    assert not shell.cluster.shares.accounts
