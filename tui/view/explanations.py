"""Why a task is where it is, and what would become of a job: answers for people."""

from __future__ import annotations

from collections.abc import Sequence

from bus.api import Blocker, Candidate, Plan, PlannedGroup, Why
from bus.units import counted
from tui.view.amounts import NONE, duration
from tui.view.descriptions import amounts_text
from tui.view.groups import tree_lines
from tui.view.outlooks import effect_lines, forecast_text, record_text
from tui.view.standing import standing_line
from tui.view.table import Column, render

_BLOCKERS = (Column("WHAT KEEPS IT"), Column("NODES", right=True), Column("WHAT WOULD HELP"))
_CANDIDATES = (Column("NODE"), Column("S"), Column("SCORE", right=True), Column("WHY NOT"))
_FEATURES = Column("LEFT OVER, AND WISHES", flexible=True)


def why_lines(why: Why, *, now_s: float, width: int | None = None) -> list[str]:
    """The sentence, then all blockers with their remedies, then every node as the scheduler saw it."""
    lines = [why.summary or f"{why.task} is {why.state}", f"state      {why.state}"]
    if why.waiting_s is not None:
        ahead = f", {why.ahead:,} before it in line" if why.ahead is not None else ""
        lines.append(f"waiting    {duration(why.waiting_s)}{ahead}")
    if why.standing is not None:
        lines.append(f"share      {standing_line(why.standing)}")
    if why.forecast is not None:
        record = record_text(why.forecast)
        lines.append(
            f"starts     {forecast_text(why.forecast, now_s=now_s)}{f'; {record}' if record else ''}"
        )
    if why.node is not None:
        lines.append(f"placed     on {why.node}{f', attempt {why.attempt}' if why.attempt else ''}")
    order = why.policy or why.order
    if order or why.rank:
        label = "ordered by" if why.node is None else "chosen by "
        lines.append(f"{label} {' · '.join(rule for rule in (order, why.rank) if rule)}")
    lines += _decision_lines(why)
    if why.unknown:
        lines.append(f"not kept   {not_kept(why.unknown)}")
    lines += blockers_lines(why.blockers, width=width)
    lines += candidates_lines(why.candidates, width=width)
    return lines


def not_kept(unknown: Sequence[str]) -> str:
    """What nobody keeps the changes of, and so is no part of an answer about the past."""
    return f"{', '.join(unknown)}: left out, or told as of now"


def _decision_lines(why: Why) -> list[str]:
    """What the learned order saw, whom it passed, and how fresh the view of the node was."""
    lines = []
    if why.policy and why.rule:
        lines.append(f"base rule  {why.rule}")
    if why.class_ is not None:
        lines.append(f"class      {why.class_} (priority with age and fair share; higher goes first)")
    if why.values:
        values = sorted(why.values.items(), key=lambda item: (item[1], item[0] != why.task, item[0]))
        text = ", ".join(f"{task} {value:.4g}" for task, value in values)
        lines.append(f"Q-values   {text} (waiting to expect if it goes first, weighted; the least goes)")
    if why.would:
        lines.append(f"shadow     would have chosen {'the same' if why.would == why.task else why.would}")
    if why.explored or why.epsilon:
        lines.append(f"explored   {'yes' if why.explored else 'no'} (ε {why.epsilon:.3g})")
    if why.backfill is not None:
        where = f" on {why.backfill.node}" if why.backfill.node else ""
        lines.append(f"backfilled ahead of {why.backfill.behind}, whose place{where} it does not delay")
    if why.usage_age_s is not None:
        lines.append(f"usage      of the node was {duration(why.usage_age_s)} old")
    return lines


def plan_lines(plan: Plan, *, now_s: float, width: int | None = None) -> list[str]:
    """The groups of tasks that a job would become, where each would start, and what keeps the rest."""
    name = f"{plan.name}: " if plan.name else ""
    lines = [f"{name}{counted(plan.tasks, 'task')}, {plan.starts_now:,} would start now"]
    if plan.forecast is not None:
        ends_at = plan.forecast.ends_at
        ends = (
            f", the last ends in about {duration(max(ends_at - now_s, 0.0))}" if ends_at is not None else ""
        )
        lines.append(f"the first starts {forecast_text(plan.forecast, now_s=now_s)}{ends}")
    if plan.effect is not None and plan.effect.tasks:
        lines += ["", *effect_lines(plan.effect, width=width)]
    if tree := tree_lines(plan.groups):
        lines += ["", *tree]
    for group in plan.groups:
        lines += ["", *_group_lines(group, width=width)]
    return lines


def blockers_lines(blockers: Sequence[Blocker], *, width: int | None) -> list[str]:
    """A table of what keeps a task from starting; nothing where nothing does."""
    if not blockers:
        return []
    rows = [
        (item.message or item.code, f"{item.nodes:,}" if item.nodes else NONE, item.remedy or NONE)
        for item in blockers
    ]
    return ["", *render(_BLOCKERS, rows, width=width)]


def candidates_lines(candidates: Sequence[Candidate], *, width: int | None) -> list[str]:
    """A table of the nodes, the chosen one and the best first."""
    if not candidates:
        return []
    rows = [
        (
            item.node,
            "✔" if item.chosen else "✖" if item.obstacles else "○",
            NONE if item.score is None else f"{item.score:.3g}",
            ", ".join(item.obstacles) or NONE,
            ", ".join(f"{name} {value:.3g}" for name, value in item.features.items()) or NONE,
        )
        for item in sorted(candidates, key=_place)
    ]
    if any(item.features for item in candidates):
        return ["", *render((*_CANDIDATES, _FEATURES), rows, width=width)]
    return ["", *render(_CANDIDATES, [row[:-1] for row in rows], width=width)]


def _place(candidate: Candidate) -> tuple[bool, bool, float, str]:
    score = candidate.score if candidate.score is not None else float("inf")
    return (not candidate.chosen, bool(candidate.obstacles), score, candidate.node)


def _group_lines(group: PlannedGroup, *, width: int | None) -> list[str]:
    last = group.first + group.count - 1
    indices = f"{group.first}–{last}" if group.count > 1 else f"{group.first}"
    what = " ".join(group.command) or f"tool {group.tool}"
    limit = f", at most {group.limit} at once" if group.limit else ""
    lines = [
        f"{group.name or 'tasks'} [{indices}]: {counted(group.count, 'task')}{limit}",
        f"  runs     {' '.join(what.split())[:200]}",
        f"  asks for {amounts_text(group.resources)}",
    ]
    if group.ranks:
        lines.append(f"  gang     {counted(group.ranks, 'rank')}, all at once or none")
    if group.needs:
        lines.append(f"  after    {', '.join(group.needs)}")
    now = ", ".join(f"{count:,} on {node}" for node, count in group.now.items())
    lines.append(f"  now      {now or 'none'}{f'; {group.waits:,} would wait' if group.waits else ''}")
    if group.cancelled:
        lines.append(
            f"  never    {group.cancelled:,} would be cancelled: what they run after did not complete"
        )
    lines += [f"  {line}" if line else "" for line in blockers_lines(group.blockers, width=width)]
    lines += [f"  {line}" if line else "" for line in candidates_lines(group.candidates, width=width)]
    return lines
