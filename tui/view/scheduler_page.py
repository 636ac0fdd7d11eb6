"""The screen of the scheduler: who acts and on what evidence, and how what was learned came to be."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from statistics import fmean

from bus.api import Happened
from bus.scheduling import Forecasts, Hour, Scheduler, Snapshot, Test
from bus.units import counted
from tui.view.amounts import NONE, duration
from tui.view.facts import fact, head
from tui.view.instants import local_short
from tui.view.learning import evidence_text, margin_of, mode_line
from tui.view.lines import Line

LEVELS = "▁▂▃▄▅▆▇█"
BAR_CELLS, COST_CELLS = 30, 20
POLICIES_SHOWN = 12


def scheduler_page(status: Scheduler, changes: Sequence[Happened], *, now_s: float) -> list[Line]:
    """From what acts now down to how it came to that."""
    lines = [
        fact("mode", mode_line(status).removeprefix("mode "), "ok" if status.mode == "on" else ""),
        fact("policy", status.policy or "none passed the gate", "ok" if status.policy else "idle"),
        fact("evidence", evidence_text(status.evidence)),
        fact("nodes by", status.rank or NONE),
        fact("exploring", f"ε {status.epsilon:.4f}: so often a learned value tries another node"),
        fact("queue", f"{status.queue:,} {'entry' if status.queue == 1 else 'entries'}"),
    ]
    decisions = "" if "decisions" in status.unknown else f"{status.decisions:,} decisions, "
    lines.append(fact("learned", f"{decisions}{status.learned:,} notes"))
    if "test" not in status.unknown:
        lines += [Line(""), head("policy against baseline, in replays of the cluster's own history")]
        lines += _test_lines(status.test, status.next_test_s, now_s=now_s)
        lines += [
            Line(""),
            head("policy against baseline, in the last hour"),
            *_hour_lines(status.hour, now_s=now_s),
        ]
    if "forecasts" not in status.unknown:
        lines += [Line(""), head("forecasts of starts"), *_forecast_lines(status.forecasts)]
    lines += [Line(""), head("learning curves, oldest snapshot first"), *_curves(status, now_s=now_s)]
    lines += [Line(""), head("changes of mode and policy"), *_change_lines(changes, now_s=now_s)]
    return lines


def spark(values: Sequence[float | None]) -> str:
    """One cell a value, from the least to the most; a gap where there is none."""
    known = [value for value in values if value is not None and math.isfinite(value)]
    if not known:
        return NONE
    least, span = min(known), (max(known) - min(known)) or 1.0
    return "".join(
        " "
        if value is None or not math.isfinite(value)
        else LEVELS[min(int((value - least) / span * len(LEVELS)), len(LEVELS) - 1)]
        for value in values
    )


def _test_lines(test: Test | None, next_test_s: float | None, *, now_s: float) -> Iterator[Line]:
    if test is None:
        yield Line("not tested yet", "idle", "○")
    elif test.error:
        yield Line(f"the last test failed: {test.error}", "bad", "✖")
    else:
        if test.ended_at is None:
            done = test.done / test.total if test.total else 0.0
            yield Line(
                f"a test runs: {bar(done)} {test.done} of {test.total or '?'} replays, by {test.by}",
                "busy",
                "▶",
            )
        else:
            yield Line(f"last test {local_short(test.ended_at, now_s=now_s)}, by {test.by}", "ok", "✔")
        yield from _cost_lines(test)
    if next_test_s is not None:
        yield Line(f"the next one in {duration(next_test_s)}", "idle")


def _cost_lines(test: Test) -> Iterator[Line]:
    """Mean slowdown of each order: the shorter the bar the better."""
    means = {name: fmean(values) for name, values in test.costs.items() if values}
    if not means:
        return
    most, width = max(means.values()), max(len(name) for name in means)
    for name, mean in sorted(means.items(), key=lambda item: item[1])[:POLICIES_SHOWN]:
        acts = {test.policy: "  passed the gate", test.static: "  best static rule"}.get(name, "")
        margin = margin_of(test, name)
        said = f"  {margin}" if margin is not None else ""
        tone = "ok" if name == test.policy else "" if name == test.static else "idle"
        share = mean / most if most else 0.0
        yield Line(f"{name:<{width}}  {bar(share, cells=COST_CELLS)} {mean:6.2f}{said}{acts}", tone)
    windows = max(map(len, test.costs.values()))
    yield Line(
        f"mean slowdown over {windows} windows; against the static rule, ± two standard errors", "idle"
    )


def _hour_lines(hour: Hour | None, *, now_s: float) -> Iterator[Line]:
    """What each order would have cost, of those worth a line: who acts, who passed, and the rules."""
    if hour is None:
        yield Line("not replayed yet: every ten minutes, unless the mode is off", "idle", "○")
        return
    at = local_short(hour.until, now_s=now_s)
    if not hour.costs:
        yield Line(
            f"{at}: {counted(hour.jobs, 'task')} came and ended; {hour.needed} make a comparison", "idle", "○"
        )
        return
    most, width = max(hour.costs.values()), max(map(len, hour.costs))
    base = hour.costs.get(hour.static, most)
    for name, cost in sorted(hour.costs.items(), key=lambda item: item[1])[:POLICIES_SHOWN]:
        roles = [("acts", hour.acts), ("passed the gate", hour.policy), ("best static rule", hour.static)]
        mine = [role for role, who in roles if who == name]
        said = f"  {cost / base - 1:+.1%}  {', '.join(mine)}".rstrip()
        tone = "ok" if name == hour.acts else "" if mine else "idle"
        yield Line(f"{name:<{width}}  {bar(cost / most, cells=COST_CELLS)} {cost:6.2f}{said}", tone)
    yield Line(
        f"mean slowdown of {counted(hour.jobs, 'task')} that came in the hour before {at} and ended", "idle"
    )


def _forecast_lines(forecasts: Forecasts | None) -> Iterator[Line]:
    if forecasts is None or not forecasts.told:
        yield Line("none came out so far", "idle", "○")
        return
    share = forecasts.right / forecasts.told
    newest = forecasts.newest_right / forecasts.newest if forecasts.newest else share
    meant = forecasts.share
    fair = abs(newest - meant) < 0.1
    yield Line(f"right   {bar(share)} {share:.0%} of {forecasts.told:,}; meant {meant:.0%}")
    tone, mark = ("ok", "✔") if fair else ("warn", "!")
    yield Line(f"newest  {bar(newest)} {newest:.0%} of {forecasts.newest}", tone, mark)
    width = f"{forecasts.width:.0%} of the waiting that was foretold"
    yield Line(f"as wide as {width}; {forecasts.open:,} are not out yet")


def _curves(status: Scheduler, *, now_s: float) -> Iterator[Line]:
    kept = status.snapshots[::-1]
    if not kept:
        yield Line("no snapshot yet: one is kept whenever something was learned", "idle", "○")
        return
    since = duration(max(now_s - kept[0].at, 0.0))
    yield _curve("reward", [each.reward_avg for each in kept], status.reward_avg)
    yield _curve("epsilon", [each.epsilon for each in kept], status.epsilon)
    yield _curve("notes", [float(each.learned) for each in kept], float(status.learned))
    yield Line(f"{'policy':<9}{_marks(kept)}  ◆ another policy or mode   since {since}")


def _curve(name: str, values: Sequence[float | None], now: float | None) -> Line:
    known = [value for value in values if value is not None]
    said = f"{known[0]:,.3g} to {known[-1]:,.3g}" if known else NONE
    return Line(f"{name:<9}{spark(values)}  {said}, now {NONE if now is None else f'{now:,.3g}'}")


def _marks(kept: Sequence[Snapshot]) -> str:
    pairs = zip([kept[0], *kept], kept, strict=False)
    return "".join("◆" if (a.mode, a.policy) != (b.mode, b.policy) else "·" for a, b in pairs)


def _change_lines(changes: Sequence[Happened], *, now_s: float) -> Iterator[Line]:
    if not changes:
        yield Line("none that is kept", "idle", "○")
    for event in changes:
        by = f"  by {event.user}" if event.user else ""
        yield Line(f"{local_short(event.at, now_s=now_s)}  {event.message}{by}", "", "◆")


def bar(share: float, *, cells: int = BAR_CELLS) -> str:
    """A share of so many cells."""
    full = min(max(round(share * cells), 0), cells)
    return "█" * full + "░" * (cells - full)
