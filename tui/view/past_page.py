"""What changed between two moments, and what stands out in an interval, as lines."""

from __future__ import annotations

from collections.abc import Iterator

from bus.past import Changes, Moved, Spike, Standout
from bus.units import counted
from tui.view.amounts import duration
from tui.view.facts import fact, head
from tui.view.instants import local, local_short
from tui.view.lines import Line

JOBS_SHOWN = 200
BAD = ("failed", "unreachable", "degraded", "timeout", "lost", "cancelled")


def changes_page(changes: Changes, *, now_s: float) -> list[Line]:
    """Nodes first, of which there are few; then jobs, what went wrong before the rest."""
    span = duration(changes.until - changes.since)
    until = "now" if now_s - changes.until < 2.0 else local(changes.until)
    lines = [fact("from", f"{local(changes.since)}   to {until}   ({span})")]
    lines += [Line(""), head(f"{counted(len(changes.nodes), 'node')} changed")]
    lines += map(_moved, changes.nodes)
    more = "" if changes.exact else ", and there are older ones that were not looked at"
    lines += [Line(""), head(f"{counted(len(changes.jobs), 'job')} changed{more}")]
    jobs = sorted(changes.jobs, key=lambda job: not _is_bad(job.after))
    lines += map(_moved, jobs[:JOBS_SHOWN])
    if len(jobs) > JOBS_SHOWN:
        lines.append(Line(f"and {len(jobs) - JOBS_SHOWN:,} more", "idle"))
    lines += [Line(""), head("what happened, how many times")]
    for kind, times in sorted(changes.happened.items(), key=lambda item: (-item[1], item[0])):
        lines.append(Line(f"{times:>8,}  {kind}", "warn" if _is_bad(kind) else ""))
    return lines


def spike_page(spike: Spike, *, now_s: float) -> list[Line]:
    """What stands out most comes first."""
    span = duration(spike.until - spike.since)
    lines = [
        fact("from", f"{local(spike.since)}   to {local(spike.until)}   ({span})"),
        fact("against", "the time before it, six times as long"),
        Line(""),
    ]
    lines += [line for each in spike.standouts for line in _standout(each, now_s=now_s)]
    if not spike.standouts:
        lines.append(Line("nothing was otherwise than before", "idle", "○"))
    return lines


def _moved(moved: Moved) -> Line:
    tone, mark = ("bad", "✖") if _is_bad(moved.after) else ("", "→")
    about = f"   {moved.about}" if moved.about else ""
    return Line(f"{moved.name:<12} {moved.before or 'new'} → {moved.after}{about}", tone, mark)


def _standout(each: Standout, *, now_s: float) -> Iterator[Line]:
    more = each.score > 0
    unit = f" {each.unit}" if each.unit else ""
    began = f", first {local_short(each.at, now_s=now_s)}" if each.at is not None else ""
    mark, tone = ("▴", "warn") if more else ("▾", "idle")
    tone = "bad" if more and each.kind == "event" and _is_bad(each.name) else tone
    said = f"{each.value:,.3g}{unit}, usual {each.expected:,.3g}"
    yield Line(f"{each.score:+8.1f}  {each.kind} {each.name}: {each.about} {said}{began}", tone, mark)


def _is_bad(word: str) -> bool:
    return any(bad in word for bad in BAD)
