"""The screen of why: where a task could go and where it went, or what keeps it back and what would help."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

from bus.api import Blocker, Candidate, Forecast, Why
from bus.units import counted
from tui.view.amounts import NONE, duration, first_of
from tui.view.explanations import not_kept
from tui.view.facts import fact, head
from tui.view.instants import local
from tui.view.lines import Line
from tui.view.obstacles import obstacle_words
from tui.view.outlooks import forecast_text, record_text
from tui.view.scheduler_page import bar
from tui.view.standing import standing_line
from tui.view.states import TASK_BADGES

LINE_CELLS = 48
REJECTED_NAMED = 8


def why_page(why: Why, *, now_s: float) -> list[Line]:
    """The sentence first; then for what waits the blockers, for what was placed the decision; then nodes."""
    badge = TASK_BADGES[why.state]
    lines = [
        Line(why.summary or f"{why.task} is {why.state}", badge.tone, badge.glyph),
        Line(""),
        fact("task", f"{why.task}   {why.state}"),
    ]
    if why.waiting_s is not None:
        ahead = "" if why.ahead is None else f"   {why.ahead:,} before it in the line"
        lines.append(fact("waiting", f"{duration(why.waiting_s)}{ahead}"))
    if why.standing is not None:
        lines.append(fact("share", standing_line(why.standing)))
    if why.node is not None:
        decided = f"   decided {local(why.decided_at)}" if why.decided_at is not None else ""
        lines.append(fact("node", f"{why.node}   attempt {why.attempt}{decided}"))
    order = why.policy or why.order
    if order or why.rank:
        lines.append(fact("rules", f"task by {order or NONE}, node by {why.rank or NONE}"))
    lines += _decision(why)
    if why.unknown:
        lines.append(fact("not kept", not_kept(why.unknown), "idle"))
    if why.blockers:
        title = "what kept it back" if why.unknown else "what keeps it back, and what would start it"
        lines += [Line(""), head(title), *_blocked(why.blockers)]
    if why.forecast is not None:
        lines += [Line(""), head("when it will start"), *forecast_lines(why.forecast, now_s=now_s)]
    if why.values:
        lines += [Line(""), head("Q-values: waiting to expect if it goes first; the least goes")]
        lines += _values(why)
    if why.candidates:
        lines += [Line(""), head("nodes"), *node_lines(why.candidates)]
    return lines


def _decision(why: Why) -> Iterator[Line]:
    if why.policy and why.rule:
        yield fact("base rule", why.rule)
    if why.class_ is not None:
        yield fact("class", f"{why.class_}: priority with age and fair share")
    if why.explored or why.epsilon:
        said = "yes: another order was tried" if why.explored else "no: the best known was taken"
        yield fact("explored", f"{said} (ε {why.epsilon:.3g})", "warn" if why.explored else "")
    if why.would:
        same = why.would == why.task
        yield fact("shadow", "would have chosen the same" if same else f"would have chosen {why.would}")
    if why.backfill is not None:
        where = f" on {why.backfill.node}" if why.backfill.node else ""
        yield fact("backfill", f"ahead of {why.backfill.behind}, whose place{where} it does not delay")
    if why.usage_age_s is not None:
        yield fact("usage", f"of the node was {duration(why.usage_age_s)} old")


def _blocked(blockers: Sequence[Blocker]) -> Iterator[Line]:
    for blocker in blockers:
        nodes = f"  ({counted(blocker.nodes, 'node')})" if blocker.nodes else ""
        yield Line(f"{blocker.message or blocker.code}{nodes}  [{blocker.code}]", "warn", "✖")
        if blocker.remedy:
            yield Line(f"  {blocker.remedy}", "ok", "→")


def forecast_lines(forecast: Forecast, *, now_s: float) -> Iterator[Line]:
    """The interval on a line from now to its end: "now ├──────[━━━━●━━━━]"."""
    yield Line(forecast_text(forecast, now_s=now_s))
    span_s = forecast.latest_at - now_s
    if span_s > 0:

        def place(at_s: float) -> int:
            return min(max(round((at_s - now_s) / span_s * (LINE_CELLS - 1)), 0), LINE_CELLS - 1)

        low, middle = place(forecast.earliest_at), place(forecast.starts_at)
        cells = ["─" if at < low else "━" for at in range(LINE_CELLS)]
        cells[middle] = "●"
        yield Line(f"now │{''.join(cells)}│ {duration(span_s)}", "wait")
    if record := record_text(forecast):
        yield Line(record, "idle")


def _values(why: Why) -> Iterator[Line]:
    worst = max(map(abs, why.values.values())) or 1.0
    width = max(map(len, why.values))
    for task, value in sorted(why.values.items(), key=lambda item: (item[1], item[0] != why.task, item[0])):
        mark, tone = ("✔", "ok") if task == why.task else ("○", "")
        yield Line(f"{task:<{width}}  {bar(abs(value) / worst)} {value:.4g}", tone, mark)


def node_lines(candidates: Sequence[Candidate]) -> Iterator[Line]:
    """Those that could take it with their scores as bars, then the others by what was against them."""
    able = [each for each in candidates if not each.obstacles or each.chosen]
    able.sort(key=lambda each: (not each.chosen, each.score is None, each.score or 0.0, each.node))
    worst = max((abs(each.score) for each in able if each.score is not None), default=0.0) or 1.0
    width = max((len(each.node) for each in able), default=0)
    for each in able:
        score = f"{NONE:>8}" if each.score is None else f"{each.score:8.3f} {bar(abs(each.score) / worst)}"
        made = "  ".join(f"{name} {value:.3g}" for name, value in each.features.items())
        mark, tone, said = ("✔", "ok", "chosen") if each.chosen else ("○", "", "fits")
        yield Line(f"{each.node:<{width}}  {score}  {said}  {made}".rstrip(), tone, mark)
    reasons: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for each in candidates:
        if each.obstacles and not each.chosen:
            reasons[tuple(each.obstacles)].append(each.node)
    for obstacles, nodes in sorted(reasons.items(), key=lambda item: (-len(item[1]), item[0])):
        named = first_of(sorted(nodes), REJECTED_NAMED)
        against = ", ".join(map(obstacle_words, obstacles))
        yield Line(f"{against}  ({counted(len(nodes), 'node')}: {named})", "idle", "✖")
