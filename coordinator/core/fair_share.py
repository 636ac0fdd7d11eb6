"""Keeps the accounts of fair share: charges what ran, and once a minute moves people's work in the lines.

An attempt is charged from its start to its end; what is running at a settling is charged up to then. Accounts
change in the database when they are settled, so a new leader knows all but what ended within the last minute.
The formulas are in `coordinator.core.scheduler.shares`.
"""

from __future__ import annotations

from bus.people import Standing
from bus.units import counted
from bus.values import AttemptState, Resources, UserName
from coordinator.core.effects import AccountRow, AnswerChanged, AuditRow, Effect
from coordinator.core.events import SharesAsked
from coordinator.core.model import Attempt, Cluster, Group
from coordinator.core.scheduler.shares import SETTLE_EVERY_S, Account, level_of


def charge(cluster: Cluster, attempt: Attempt, *, now_s: float) -> None:
    """Its owner has had what the attempt asked for, since it started or was last charged."""
    seconds = _due_s(attempt, cluster.shares.settled_s, now_s)
    if seconds > 0.0:
        cluster.shares.account(attempt.task.group.job.owner).charge(attempt.requested, seconds)


def _due_s(attempt: Attempt, settled_s: float, now_s: float) -> float:
    if attempt.state is not AttemptState.RUNNING or attempt.started_at is None:
        return 0.0
    return now_s - max(attempt.started_at, attempt.assigned_at, settled_s)


def _charge_running(cluster: Cluster, *, now_s: float) -> None:
    """What of one group runs is charged at once: there may be 50,000 of it."""
    shares = cluster.shares
    due: dict[int, tuple[Group, float]] = {}
    for attempt in cluster.attempts():
        seconds = _due_s(attempt, shares.settled_s, now_s)
        if seconds > 0.0:
            group = attempt.task.group
            _, before = due.get(id(group), (group, 0.0))
            due[id(group)] = (group, before + seconds)
    for group, seconds in due.values():
        shares.account(group.job.owner).charge(group.settings.resources, seconds)


def settle(out: list[Effect], cluster: Cluster, *, now_s: float) -> None:
    """Once a minute: what was used since is usage now, and who used too much stands further back."""
    shares = cluster.shares
    if not shares.half_life_s or now_s - shares.settled_s < SETTLE_EVERY_S:
        return
    _charge_running(cluster, now_s=now_s)
    capacity = sum((node.capacity for node in cluster.nodes.values()), Resources())
    for owner, account in shares.accounts.items():
        if any(account.fresh):
            account.settle(capacity, now_s=now_s, half_life_s=shares.half_life_s)
            out.append(account_row(owner, account))
    shares.settled_s = now_s
    judge(cluster)


def judge(cluster: Cluster) -> None:
    """Move the work of those whose level is another one now."""
    moved = cluster.shares.compete({job.owner for job in cluster.jobs.values()})
    if moved:
        for line in cluster.lines.values():
            line.shift(moved)
        cluster.dirty = True


def on_shares(out: list[Effect], cluster: Cluster, event: SharesAsked, *, now_s: float) -> None:
    """An admin says what somebody's part of the cluster is."""
    account = cluster.shares.account(event.owner)
    account.shares = event.shares
    out.append(account_row(event.owner, account))
    out.append(
        AuditRow(
            at=now_s,
            actor=event.by,
            action="user.share",
            object=event.owner,
            details={"shares": event.shares},
        )
    )
    if cluster.shares.half_life_s:
        judge(cluster)
    hint = f"{event.owner} has {counted(event.shares, 'share')}"
    out.append(AnswerChanged(reply=event.reply, tasks=0, hint=hint))


def restore_account(cluster: Cluster, row: AccountRow) -> None:
    """An account as last settled."""
    shares = cluster.shares
    shares.accounts[row.owner] = Account(shares=row.shares, usage=row.usage, at_s=row.at)
    shares.settled_s = max(shares.settled_s, row.at)


def standing_of(cluster: Cluster, owner: UserName, *, now_s: float) -> Standing:
    """What `owner` has used against all who have jobs now, themselves included."""
    shares = cluster.shares
    account = shares.accounts.get(owner, Account())
    if not shares.half_life_s:
        return Standing(shares=account.shares)
    usage = account.usage_at(shares.settled_s, half_life_s=shares.half_life_s)
    competes = owner in shares.competing
    all_usage = shares.usage + (0.0 if competes else usage)
    all_shares = shares.shares + (0 if competes else account.shares)
    return Standing(
        shares=account.shares,
        usage_s=account.usage_at(now_s, half_life_s=shares.half_life_s),
        used=usage / all_usage if all_usage else 0.0,
        due=account.shares / all_shares,
        level=level_of(usage, account.shares, all_usage=all_usage, all_shares=all_shares),
    )


def account_row(owner: UserName, account: Account) -> AccountRow:
    """The account as it stands."""
    return AccountRow(owner=owner, shares=account.shares, usage=account.usage, at=account.at_s)
