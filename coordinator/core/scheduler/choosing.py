"""Who of a class goes next, where the policy in force looks ahead: the planner, asked within a budget.

Only the first of each line are looked at, and an array is a few tasks: so a round costs the same whether a
hundred tasks wait or a hundred thousand. Where all of them fit at once nothing is asked, for then it does not
matter who goes first; and once a chosen task is blocked, others go past it in the order of the keys. In
shadow mode the same is decided, and kept beside what the static order did.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from typing import NamedTuple

import numpy as np
from msgspec import Struct

from coordinator.core.model import Attempt, Cluster, Group, Line, Shape, Waiting
from coordinator.core.scheduler.asking import TASKS_MAX, UNITS, asked_of
from coordinator.core.scheduler.order import began_s, in_force, in_shadow, key_of
from coordinator.core.scheduler.planner import Asked, Begun
from coordinator.core.scheduler.policies import TABLE, Backfill, Kind, Policy

LINES_MAX = 32
WINDOW_MAX = 32
"""Tasks of a class that are looked at."""

LOOK_STEPS = 1_000
"""What it costs to see who waits and what runs, in steps of a rollout."""

RUNNING_MAX = 2_000
"""Tasks that run: beyond it a machine is so large that one task more or less is no decision."""

SHOWN_MAX = 8
"""Tasks whose values are kept: the best."""


class Learned(Struct, frozen=True):
    """How the policy decided: kept with the task that it chose, in shadow with the one that went instead."""

    policy: str = ""
    rule: str = ""
    q: dict[str, float] = {}
    would: str = ""


class Chosen(NamedTuple):
    """The entry of a line that goes next, at its index there; its place as it would be without."""

    shape: Shape
    at: int
    waiting: Waiting


class _Entry(NamedTuple):
    asked: Asked
    chosen: Chosen


class Chooser:
    """The planner for one round."""

    def __init__(self, cluster: Cluster, *, now_s: float) -> None:
        force = in_force(cluster)
        shadow = in_shadow(cluster)
        self.acts = looks_ahead(force)
        self._policy: Policy | None = force if self.acts else shadow
        self.keyed = Learned() if force.kind is Kind.STATIC else Learned(force.name, force.rules[0])
        self._cluster = cluster
        self._now_s = now_s
        self._running: list[Begun] | None = None
        self._decisions = 0
        cluster.rollouts_taken = 0

    def choose(self, lines: Iterable[tuple[Shape, Line]]) -> tuple[Chosen | None, Learned]:
        """Of the first of these lines, which are of one class; nobody where the keys are to decide."""
        left = self._cluster.rollout_steps - self._cluster.rollouts_taken
        if self._policy is None or left <= 0:
            return None, self.keyed
        entries = self._window(lines)
        if len(entries) < 2:
            return None, self.keyed
        self._cluster.rollouts_taken += LOOK_STEPS
        if sum(len(node.attempts) for node in self._cluster.nodes.values()) > RUNNING_MAX:
            self._policy = None  # for all of this round
            return None, self.keyed
        running = self._runs()
        free = UNITS - sum(each.asked.nodes for each in running)
        if sum(each.asked.nodes for each in entries) <= free:
            return None, self.keyed
        return self._ask(self._policy, entries, running, free=free, left=left)

    def note_placed(self, group: Group) -> None:
        """One more runs, for whoever is chosen next."""
        if self._running is not None:
            self._running.append(Begun(asked_of(self._cluster, group, at_s=self._now_s), self._now_s))

    def _ask(
        self, policy: Policy, entries: list[_Entry], running: list[Begun], *, free: int, left: int
    ) -> tuple[Chosen | None, Learned]:
        if policy.kind is Kind.STATIC:
            return None, Learned(policy.name, would=self._first_by(policy, entries))
        first = entries[0].chosen.waiting.entry.next_task
        self._decisions += 1
        choice = self._cluster.planner.choose(
            policy,
            [each.asked for each in entries],
            running,
            now_s=self._now_s,
            free=free,
            backfill=self._cluster.backfill is not Backfill.OFF,
            rng=np.random.default_rng((first.job, first.index, self._decisions)),
            steps=left,
            began_s=began_s(self._cluster),
        )
        played = len(choice.values) * len(policy.rules) * max(policy.futures, 1)
        taken = played * (len(entries) + policy.arrivals) + len(entries)
        self._cluster.rollouts_taken += taken
        chosen = entries[choice.place].chosen
        name = str(chosen.waiting.entry.next_task)
        if not self.acts:
            return None, Learned(policy.name, choice.rule, would=name)
        q: dict[str, float] = {}
        for place, value in sorted(choice.values.items(), key=lambda each: each[1]):
            q.setdefault(str(entries[place].chosen.waiting.entry.next_task), round(value, 4))
        return chosen, Learned(policy.name, choice.rule, dict(islice(q.items(), SHOWN_MAX)))

    def _first_by(self, rule: Policy, entries: list[_Entry]) -> str:
        """Where nothing learned passed the gate, the best static rule watches in its place."""

        def key(entry: _Entry) -> float:
            return key_of(self._cluster, rule, entry.chosen.waiting.group, now_s=self._now_s)

        return str(min(entries, key=key).chosen.waiting.entry.next_task)

    def _window(self, lines: Iterable[tuple[Shape, Line]]) -> list[_Entry]:
        """In order of arrival, as the planner wants them."""
        found: list[tuple[Waiting, Chosen]] = []
        for shape, line in lines:
            head = line.entries[0]
            for index, waiting in line.first(WINDOW_MAX):
                if (waiting.aged, waiting.priority) == (head.aged, head.priority):
                    found.append((waiting, Chosen(shape, index, waiting)))
        found.sort(key=lambda each: each[0].place)
        entries: list[_Entry] = []
        for waiting, chosen in found:
            asked = asked_of(self._cluster, waiting.group, at_s=waiting.since_s)
            copies = min(waiting.entry.startable, TASKS_MAX, WINDOW_MAX - len(entries))
            entries += [_Entry(asked, chosen)] * copies
        return sorted(entries, key=lambda each: (each.asked.at_s, each.chosen.waiting.sequence))

    def _runs(self) -> list[Begun]:
        """Tasks of one group that began in one minute run as one."""
        if self._running is None:
            merged: dict[tuple[int, int, int], tuple[Attempt, int]] = {}
            for attempt in self._cluster.attempts():
                group = attempt.task.group
                if attempt is not attempt.task.attempt:
                    continue  # a gang's size is that of all its ranks
                begun = int(_started_s(attempt) // 60.0)
                key = (group.job.number, group.first, begun)
                first, number = merged.get(key, (attempt, 0))
                merged[key] = (first, number + 1)
            self._running = [self._begun(attempt, number) for attempt, number in merged.values()]
        return self._running

    def _begun(self, attempt: Attempt, number: int) -> Begun:
        asked = asked_of(self._cluster, attempt.task.group, at_s=attempt.assigned_at)
        return Begun(asked._replace(nodes=asked.nodes * number), _started_s(attempt))


def looks_ahead(policy: Policy) -> bool:
    """Whether keys alone do not say who goes first under it."""
    return policy.kind not in (Kind.STATIC, Kind.PREDICTED) or TABLE in policy.rules


def _started_s(attempt: Attempt) -> float:
    return attempt.assigned_at if attempt.started_at is None else attempt.started_at
