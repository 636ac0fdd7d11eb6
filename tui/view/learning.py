"""What orders the tasks and what was learned, as text."""

from __future__ import annotations

import math
from collections.abc import Iterator
from statistics import fmean, stdev
from typing import Any

from msgspec import Struct

from bus.scheduling import Forecasts, Hour, Scheduler, Test
from bus.units import counted
from tui.view.amounts import NONE, duration
from tui.view.descriptions import facts_text
from tui.view.instants import local, local_short
from tui.view.table import Column

DIFFERENCES_SHOWN = 40
SNAPSHOTS_SHOWN = 5

COST_COLUMNS = (
    Column("ORDER", flexible=True),
    Column("WINDOWS", right=True),
    Column("SLOWDOWN", right=True),
    Column("LEAST", right=True),
    Column("MOST", right=True),
    Column("VS STATIC", right=True),
)


def scheduler_lines(status: Scheduler, *, now_s: float) -> Iterator[str]:
    """In full: who acts, the evidence, what was learned, the newest snapshots."""
    reward = NONE if status.reward_avg is None else f"{status.reward_avg:.3f}"
    facts = [
        ("mode", status.mode),
        ("acts", status.acts),
        ("policy", _policy_text(status)),
        ("static", status.order),
        ("evidence", evidence_text(status.evidence)),
        *(("placement", evidence_text(judged)) for judged in [status.evidence.get("placement")] if judged),
        ("shadow", _shadow_text(status)),
        ("queue", f"{status.queue:,} {'entry' if status.queue == 1 else 'entries'}"),
        ("reward", f"{reward}, mean of the newest {status.reward_window:,}"),
        ("nodes by", status.rank or NONE),
        ("epsilon", f"{status.epsilon:.4f}, where learned values rank nodes"),
        ("learned", f"{status.decisions:,} decisions, {status.learned:,} notes, {status.digest[:12]}"),
        *(("forecasts", forecasts_text(each)) for each in [status.forecasts] if each is not None),
        ("next test", NONE if status.next_test_s is None else f"in {duration(status.next_test_s)}"),
    ]
    if status.hour is not None:
        facts.append(("last hour", hour_text(status.hour, now_s=now_s)))
    if status.test is not None:
        facts.append(("last test", _test_text(status.test, now_s=now_s)))
    for place, kept in enumerate(status.snapshots[:SNAPSHOTS_SHOWN]):
        at = local_short(kept.at, now_s=now_s)
        text = f"{kept.number}  {at}  {kept.reason}  {kept.learned:,} notes, {kept.digest[:12]}"
        facts.append(("snapshots" if place == 0 else "", text))
    yield from facts_text(facts)


def mode_line(status: Scheduler) -> str:
    """Who orders tasks in this mode, and who only looks on."""
    beside = f", {status.policy} decides beside it" if status.mode == "shadow" and status.policy else ""
    return f"mode {status.mode}: {status.acts} orders tasks{beside}"


def hour_text(hour: Hour, *, now_s: float) -> str:
    """Who acts against the best static rule, on the tasks of the last hour; or that there were too few."""
    until = f"before {local_short(hour.until, now_s=now_s)}"
    if not hour.costs:
        return f"{counted(hour.jobs, 'task')} {until}: {hour.needed} make a comparison"
    told = [name for name in dict.fromkeys((hour.acts, hour.policy)) if name and name != hour.static]
    base = hour.costs[hour.static]
    against = "".join(
        f"{name} {hour.costs[name] / base - 1:+.1%} against " for name in told if name in hour.costs
    )
    return f"slowdown {against}{hour.static} {base:.2f}, {counted(hour.jobs, 'task')} {until}"


def forecasts_text(forecasts: Forecasts) -> str:
    """How many starts lay in their intervals, of all and of late, and how wide these are."""
    waiting = f"{forecasts.open:,} not out yet"
    if not forecasts.told:
        return f"none came out so far, {waiting}"
    return (
        f"{forecasts.right:,} of {forecasts.told:,} right ({forecasts.right / forecasts.told:.0%}, meant "
        f"{forecasts.share:.0%}), {forecasts.newest_right} of the newest {forecasts.newest}; "
        f"intervals {forecasts.width:.0%} of the waiting; {waiting}"
    )


def _policy_text(status: Scheduler) -> str:
    """Whether it passed the gate, or is the static rule that won there."""
    if not status.policy:
        return "none passed the gate"
    fallback = status.policy == status.evidence.get("static")
    return f"none passed the gate; {status.policy} is the best static rule" if fallback else status.policy


def evidence_text(evidence: dict[str, Any]) -> str:
    """On which the gate decided last, in a line."""
    if not evidence:
        return "not tested yet"
    ratio, t = evidence.get("log_ratio", 0.0), evidence.get("t", 0.0)
    at = f", {local(evidence['at'])}" if "at" in evidence else ""
    of = f" of {evidence['source']}" if "source" in evidence else ""
    return (
        f"{evidence.get('policy') or NONE} against {evidence.get('static')}: {math.expm1(ratio):+.1%} "
        f"(t {t:.2f}) over {evidence.get('windows', 0)} windows{of}{at}"
    )


def _shadow_text(status: Scheduler) -> str:
    if status.shadow is None:
        return NONE
    if status.policy == status.acts:
        return f"{NONE}  (it acts)"
    return f"slowdown {math.expm1(status.shadow):+.1%} against {status.acts}, in the last replay"


def cost_rows(test: Test) -> list[tuple[str, ...]]:
    """The cheapest first; against the best static rule in the mean of logarithms, as the gate counts."""
    base = test.costs.get(test.static, [])
    rows: list[tuple[str, ...]] = []
    for name, values in sorted(test.costs.items(), key=lambda item: fmean(map(math.log, item[1]))):
        ratio = fmean(math.log(one / other) for one, other in zip(values, base, strict=True))
        rows.append((
            name, str(len(values)), f"{fmean(values):.2f}", f"{min(values):.2f}", f"{max(values):.2f}",
            f"{math.expm1(ratio):+.1%}",
        ))  # fmt: skip
    return rows


class Margin(Struct, frozen=True):
    """By how much an order cost more than the best static rule, and within which two standard errors."""

    share: float
    low: float
    high: float
    windows: int

    def __str__(self) -> str:
        return f"{self.share:+.1%} ({self.low:+.1%} to {self.high:+.1%})"


def margin_of(test: Test, name: str) -> Margin | None:
    """In pairs of windows, as the gate counts; None of the rule itself, and of less than two pairs."""
    base, values = test.costs.get(test.static, []), test.costs.get(name, [])
    windows = min(len(base), len(values))
    if name == test.static or windows < 2:
        return None
    logs = [math.log(one / other) for one, other in zip(values, base, strict=False)]
    middle, spread = fmean(logs), 2.0 * stdev(logs) / math.sqrt(windows)
    share, low, high = (math.expm1(each) for each in (middle, middle - spread, middle + spread))
    return Margin(share, low, high, windows)


def verdict_line(test: Test) -> str:
    """What follows from it."""
    what = f"{test.policy} passes the gate" if test.policy else "no learned order passes the gate"
    done = " and acts in mode on" if test.adopts and test.policy else ""
    return f"{what}{done}: {evidence_text(test.evidence)}; {test.jobs:,} jobs of {test.source}"


def diff_lines(differences: list[dict[str, Any]]) -> Iterator[str]:
    """Where two states differ, a line each."""
    if not differences:
        yield "they are the same"
    for each in differences[:DIFFERENCES_SHOWN]:
        yield f"{each['at']}: {_short(each['a'])} -> {_short(each['b'])}"
    if len(differences) > DIFFERENCES_SHOWN:
        yield f"and {len(differences) - DIFFERENCES_SHOWN} more: -o json shows all"


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 60 else f"{text[:59]}…"


def _test_text(test: Test, *, now_s: float) -> str:
    if test.error:
        return f"failed: {test.error}"
    if test.ended_at is None:
        return f"runs: {test.done} of {test.total or '?'} replays, asked for by {test.by}"
    took = duration(test.ended_at - test.began_at)
    return f"{local_short(test.ended_at, now_s=now_s)}, {took}, asked for by {test.by}"
