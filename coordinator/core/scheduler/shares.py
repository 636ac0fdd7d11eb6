"""Fair share: how far back somebody's work stands for what that person has used of late.

    usage(now) = Σ over attempts  ∫ dominant share of the cluster · 2^−(age / half-life)     in seconds
    factor     = 2^−(U / S)              Slurm's classic fair-share factor (priority/multifactor)
    level      = ⌊(1 − factor) · 16⌋     in steps of priority

U is one's part of the usage and S one's part of the shares of all who have jobs now: who left long ago makes
nobody's share smaller. Where everybody has used what is theirs all stand at level 8; that is the border
between two levels, so people of equal shares converge to equal usage. The dominant share is the largest of
one's parts of each resource (Ghodsi et al., "Dominant Resource Fairness", NSDI'11).
"""

from __future__ import annotations

import math

from msgspec import Struct, field

from bus.values import Resources, UserName

LEVELS = 16
SHARES_MAX = 1_000_000
SETTLE_EVERY_S = 60.0

_Spent = tuple[float, float, float, float, float]

_NOTHING: _Spent = (0.0, 0.0, 0.0, 0.0, 0.0)


class Account(Struct):
    """What one person has used. `usage` as of `at_s` is in the database; `fresh` came since."""

    shares: int = 1
    usage: float = 0.0  # seconds of the whole cluster, decayed
    at_s: float = 0.0
    fresh: _Spent = _NOTHING  # amounts × seconds, see `_amounts`
    level: int | None = None  # None: was not among those who compete at the last settling

    @property
    def known(self) -> bool:
        """Whether the database has a row for it."""
        return self.at_s > 0 or self.shares != 1

    def charge(self, request: Resources, seconds: float) -> None:
        """Its owner has had `request` for so long."""
        if seconds > 0:
            cpu, memory, gpus, storage, net = self.fresh  # one by one: every task that ends is charged
            self.fresh = (
                cpu + request.cpu_millis * seconds,
                memory + request.mem_mib * seconds,
                gpus + request.gpu_millis * seconds,
                storage + request.storage_mib * seconds,
                net + request.net_mbps * seconds,
            )

    def settle(self, capacity: Resources, *, now_s: float, half_life_s: float) -> None:
        """What is fresh is usage now: its largest part of the cluster's `capacity` counts."""
        parts = zip(self.fresh, _amounts(capacity), strict=True)
        spent = max((amount / whole for amount, whole in parts if whole), default=0.0)
        self.usage = self.usage_at(now_s, half_life_s=half_life_s) + spent
        self.at_s = now_s
        self.fresh = _NOTHING

    def usage_at(self, now_s: float, *, half_life_s: float) -> float:
        """What of the usage still counts."""
        age_s = max(now_s - self.at_s, 0.0)
        return self.usage * math.exp2(-age_s / half_life_s)


class Shares(Struct):
    """All accounts, and what the last settling found of those who compete."""

    half_life_s: float = 7 * 86_400.0  # 0: nobody's usage counts
    accounts: dict[UserName, Account] = field(default_factory=dict)
    settled_s: float = -math.inf
    usage: float = 0.0
    shares: int = 0
    competing: frozenset[UserName] = frozenset()  # whose usage and shares are in these

    def account(self, owner: UserName) -> Account:
        """The account of `owner`; opened where there was none."""
        found = self.accounts.get(owner)
        if found is None:
            found = self.accounts[owner] = Account()
        return found

    def level(self, owner: UserName) -> int:
        """How many steps of priority further back the work of `owner` stands."""
        if not self.half_life_s:
            return 0
        account = self.accounts.get(owner)
        if account is None:
            return 0
        if account.level is None:  # came back since the last settling
            usage = account.usage_at(self.settled_s, half_life_s=self.half_life_s)
            account.level = level_of(
                usage, account.shares, all_usage=self.usage + usage, all_shares=self.shares + account.shares
            )
        return account.level

    def compete(self, owners: set[UserName]) -> dict[UserName, int]:
        """Judge again those who have jobs: by how many levels each was moved who was."""
        usages = {
            owner: self.account(owner).usage_at(self.settled_s, half_life_s=self.half_life_s)
            for owner in sorted(owners)
        }
        self.competing = frozenset(usages)
        self.usage = math.fsum(usages.values())
        self.shares = sum(self.accounts[owner].shares for owner in usages)
        for owner, account in self.accounts.items():
            if owner not in usages:
                account.level = None
        moved = {}
        for owner, usage in usages.items():
            account = self.accounts[owner]
            before = account.level or 0  # whose level nobody asked for, has nothing in a line
            account.level = level_of(usage, account.shares, all_usage=self.usage, all_shares=self.shares)
            if account.level != before:
                moved[owner] = account.level - before
        return moved


def level_of(usage: float, shares: int, *, all_usage: float, all_shares: int) -> int:
    """0: has used nothing. 8: just what is due. 15: by far too much."""
    if not usage:
        return 0
    over = (usage / all_usage) / (shares / all_shares)
    return min(math.floor((1.0 - math.exp2(-over)) * LEVELS), LEVELS - 1)


def _amounts(resources: Resources) -> tuple[float, ...]:
    """Numbers that can be added up, one for each resource."""
    return (
        resources.cpu_millis,
        resources.mem_mib,
        resources.gpu_millis,
        resources.storage_mib,
        resources.net_mbps,
    )
