"""The place of a task in its line: smaller keys go first, ties by arrival.

Priorities age, so that nobody starves: a step of priority is worth `ageing_s` of a job's age. Since all age
alike, who goes first of two classes never changes. Inside a class the policy in force has the word:

    static      its rule (`rules`) of the walltime asked for; who gave none asks for ever
    predicted   its base rule (`policies.base_key`) of what is predicted
    otherwise   its first base rule, which decides wherever there is no time to look ahead

Keys of most rules change while a task waits. A line is keyed anew at once when another policy came into
force, and else after a second, or later if it is long: never more than `REKEYED_PER_S` entries a second, and
in one round no further line after `REKEYED_MAX`.
"""

from __future__ import annotations

import heapq
import math

from coordinator.core.model import Cluster, Group, Job, Line, Waiting
from coordinator.core.scheduler.asking import asked_of, width_of
from coordinator.core.scheduler.policies import POLICIES, TABLE, Kind, Mode, Policy, base_key
from coordinator.core.scheduler.rules import RULES, Waits

REKEYED_PER_S = 10_000
REKEYED_MAX = 20_000
REKEYED_AFTER_S = 1.0

_LASTING = frozenset({"fcfs", "sjf", "saf", "sqf"})
"""Static rules whose keys never change: F1 to F4 count from the oldest job that is alive."""

_WITHOUT_TABLE = "short and narrow"
"""The base rule of who goes by the table, where nobody looks up what that says now."""


def aged(priority: int, submitted_at: float, *, ageing_s: float) -> int:
    """The place of a job that was submitted then, in whole steps of age: smaller goes first."""
    return math.floor(submitted_at / ageing_s) - priority


def standing(cluster: Cluster, job: Job) -> int:
    """The class of `job`: its age, and the steps that put its owner further back; smaller goes first."""
    age = aged(job.priority, job.submitted_at, ageing_s=cluster.limits.ageing_s)
    return age + cluster.shares.level(job.owner)


def in_force(cluster: Cluster) -> Policy:
    """What decides: the learned order that passed the gate, where that acts, or the static one."""
    if cluster.mode is Mode.ON and cluster.policy in POLICIES:
        return POLICIES[cluster.policy]
    return POLICIES[cluster.order]


def static_order(cluster: Cluster) -> str:
    """The static rule in force; where a learned order is, the configured one."""
    force = in_force(cluster)
    return force.name if force.kind is Kind.STATIC else cluster.order


def in_shadow(cluster: Cluster) -> Policy | None:
    """What would decide, if its mode let it."""
    return POLICIES.get(cluster.policy) if cluster.mode is Mode.SHADOW else None


def key_of(cluster: Cluster, policy: Policy, group: Group, *, now_s: float) -> float:
    """The place of the tasks of `group` in their class, as of now."""
    if policy.kind is not Kind.STATIC:
        asked = asked_of(cluster, group, at_s=now_s)
        run_s, weight = cluster.planner.predictor.predict(asked.user, asked.width, asked.requested_s)
        predicted = Waits(run_s, asked.width, group.job.submitted_at - began_s(cluster))
        return base_key(base_rule(policy), predicted, nodes=asked.nodes, weight=weight)
    (rule,) = policy.rules
    if rule == "fcfs":
        return 0.0  # arrival alone decides
    settings = group.settings
    requested_s = math.inf if settings.timeout_s is None else settings.timeout_s
    waits = Waits(requested_s, width_of(settings.resources), group.job.submitted_at - began_s(cluster))
    return RULES[rule](waits, now_s - began_s(cluster))


def base_rule(policy: Policy) -> str:
    """Which makes the keys under a policy: its first one."""
    return next((rule for rule in policy.rules if rule != TABLE), _WITHOUT_TABLE)


def began_s(cluster: Cluster) -> float:
    """When the record began that a rule looks at: with the oldest job that is alive."""
    return next((job.submitted_at for job in cluster.jobs.values()), 0.0)


def rekey(cluster: Cluster, *, now_s: float) -> None:
    """Bring the keys of the lines up to date, those first that were longest left alone."""
    policy = in_force(cluster)
    due = [line for line in cluster.lines.values() if _is_due(line, policy, now_s=now_s)]
    due.sort(key=lambda line: line.keyed_s)
    rekeyed = 0
    for line in due:
        if rekeyed >= REKEYED_MAX:
            break
        rekeyed += len(line.entries)
        line.keyed_by, line.keyed_s = policy.name, now_s
        line.entries = _keyed(cluster, policy, line.entries, now_s=now_s)
        heapq.heapify(line.entries)


def _keyed(cluster: Cluster, policy: Policy, entries: list[Waiting], *, now_s: float) -> list[Waiting]:
    """The same with their keys as of now. Many of one line have one key: `REKEYED_MAX` of them go fast."""
    static = policy.kind is Kind.STATIC
    dated = static or base_rule(policy) in RULES
    keys: dict[tuple[str, float | None, float | None], float] = {}
    found = []
    for waiting in entries:
        group = waiting.entry.group
        job = group.job
        kind = (
            "" if static else job.owner,
            job.submitted_at if dated else None,
            group.settings.timeout_s,
        )
        key = keys.get(kind)
        if key is None:
            key = keys[kind] = key_of(cluster, policy, group, now_s=now_s)
        found.append(tuple.__new__(Waiting, (*waiting[:2], key, *waiting[3:])))
    return found


def _is_due(line: Line, policy: Policy, *, now_s: float) -> bool:
    if line.keyed_by != policy.name:
        return True
    if policy.kind is Kind.STATIC and policy.rules[0] in _LASTING:
        return False
    return now_s - line.keyed_s >= max(REKEYED_AFTER_S, len(line.entries) / REKEYED_PER_S)
