"""The pages of a job, a task or a node: what its details say besides the facts."""

from __future__ import annotations

from collections.abc import Sequence

from bus.api import Attempt, Happened, Job, Node, Task
from bus.timeline import PlacedAttempt
from bus.units import counted, format_gpu_millis, format_size_mib
from bus.values import GPU_MILLI
from tui.view.amounts import NONE, duration
from tui.view.columns import about, exit_word, ran
from tui.view.descriptions import logged_facts, result_facts
from tui.view.facts import amounts, fact, head, json_lines
from tui.view.gantt import GLYPHS, OTHERS
from tui.view.gpus import quarantine_text
from tui.view.instants import local, local_short
from tui.view.lines import Line
from tui.view.states import SEVERITY_BADGES, TASK_BADGES
from tui.view.tree import job_branch

BAR_CELLS = 20


def events_lines(events: Sequence[Happened], *, now_s: float) -> list[Line]:
    """What happened, newest first."""
    if not events:
        return [Line("Nothing is on record.", "idle")]
    lines = []
    for event in events:
        badge = SEVERITY_BADGES.get(event.severity, SEVERITY_BADGES["info"])
        said = event.message or event.kind
        lines.append(
            Line(f"{local_short(event.at, now_s=now_s)}  {about(event):<12}  {said}", badge.tone, badge.glyph)
        )
    return lines


def submitted_lines(job: Job) -> list[Line]:
    """The spec, as it was sent."""
    return [Line("Nothing is kept of it.", "idle")] if job.spec is None else json_lines(job.spec)


def fault_lines(tasks: Sequence[Task], *, total: int) -> list[Line]:
    """The tasks of a job that failed, and of what."""
    if not tasks:
        return [Line("None of its tasks failed.", "ok", "✔")]
    lines = []
    for task in tasks:
        badge = TASK_BADGES[task.state]
        ended = exit_word(task.exit_code, task.signal)
        where = f"{task.job}.{task.index}  {task.state} on {task.node or NONE}"
        text = f"{where}, exit {ended}, retried {task.retries}"
        lines.append(Line(text + (f"  {task.message}" if task.message else ""), badge.tone, badge.glyph))
    if total > len(tasks):
        lines.append(Line(f"and {total - len(tasks):,} more", "idle"))
    return lines


def children_lines(jobs: Sequence[Job], *, total: int) -> list[Line]:
    """The jobs that the tasks of a job submitted, newest first."""
    if not jobs:
        return [Line("Its tasks submitted no jobs.", "idle")]
    lines = []
    for job in jobs:
        branch = job_branch(job)
        lines.append(Line(f"{branch.text}  from {job.parent}", branch.tone, branch.glyph))
    if total > len(jobs):
        lines.append(Line(f"and {total - len(jobs):,} more", "idle"))
    return lines


def attempts_lines(attempts: Sequence[Attempt], *, now_s: float) -> list[Line]:
    """Every try with its fence, when it came and went, and by which rule; the newest first."""
    if not attempts:
        return [Line("It was not placed yet: w says what keeps it back.", "idle")]
    lines: list[Line] = []
    for attempt in reversed(attempts):
        glyph, tone = GLYPHS.get(attempt.state, OTHERS)
        started = attempt.started_at
        waited = "" if started is None else f", started {duration(started - attempt.assigned_at)} later"
        lines += [
            head(f"attempt {attempt.fence}"),
            fact("state", f"{glyph} {attempt.state}", tone),
            fact("node", attempt.node),
            fact("assigned", local(attempt.assigned_at) + waited),
            fact("ended", local(attempt.ended_at)),
            fact("ran", ran(started, attempt.ended_at, now_s=now_s)),
        ]
        if attempt.exit_code is not None or attempt.signal is not None:
            lines.append(fact("exit", exit_word(attempt.exit_code, attempt.signal), tone))
        if attempt.message:
            lines.append(fact("message", attempt.message, tone))
        rules = [
            f"{key} {attempt.explanation[key]}"
            for key in ("policy", "order", "rank")
            if key in attempt.explanation
        ]
        if rules:
            lines.append(fact("chosen by", ", ".join(rules)))
        lines.append(Line(""))
    return lines


def output_lines(task: Task) -> list[Line]:
    """What the task told of itself, and left behind for others."""
    told = [fact(name, text) for name, text in result_facts(task.result)]
    if told:
        told = [head(f"told by attempt {task.result.fence}" if task.result else ""), *told, Line("")]
    if task.logged:
        lines = [fact(level, text) for level, text in logged_facts(task.logged)]
        told += [head("logged lately"), *lines, Line("")]
    if task.output is None:
        return [
            *told,
            Line("It left no output.", "idle"),
            Line("A task leaves JSON in the file that CORRAL_OUTPUT names; l shows what it printed.", "idle"),
        ]
    return [*told, *json_lines(task.output)]


def input_lines(task: Task, job: Job) -> list[Line]:
    """What it was given: what it asks for, and what was submitted."""
    return [
        fact("asks for", amounts(task.resources)),
        fact("group", task.name or NONE),
        fact("index", str(task.index)),
        Line(""),
        head(f"job {job.number}, as submitted"),
        *submitted_lines(job),
    ]


def running_lines(attempts: Sequence[PlacedAttempt], *, now_s: float) -> list[Line]:
    """What a node runs now, and what it ran last."""
    live = [each for each in attempts if each.end is None]
    over = sorted((each for each in attempts if each.end is not None), key=lambda each: -(each.end or 0.0))
    lines = [head(f"now: {counted(len(live), 'task')}"), *(_placed(each, now_s) for each in live), Line("")]
    return [*lines, head("in the last hour"), *(_placed(each, now_s) for each in over)]


def _placed(attempt: PlacedAttempt, now_s: float) -> Line:
    glyph, tone = GLYPHS.get(attempt.state, OTHERS)
    took = duration((now_s if attempt.end is None else attempt.end) - attempt.start)
    if not attempt.task:
        return Line(f"another user's task  {took}  {amounts(attempt.resources)}", "idle", glyph)
    who = f"{attempt.task:<12} {attempt.name} ({attempt.user})"
    return Line(f"{who}  {attempt.state} {took}  {amounts(attempt.resources)}", tone, glyph)


def gpu_lines(node: Node, *, now_s: float) -> list[Line]:
    """Each GPU with the part that tasks have of it; under one that is given to nobody, why not."""
    gpus = node.inventory.gpus if node.inventory is not None else ()
    out = {each.uuid: each for each in node.quarantines}
    if not gpus and not out:
        return [Line("No GPU.", "idle")]
    lines = []
    for place, gpu in enumerate(gpus):
        taken = node.gpu_taken.get(gpu.uuid, 0)
        full = round(min(1.0, taken / GPU_MILLI) * BAR_CELLS)
        bar = "█" * full + "░" * (BAR_CELLS - full)
        said = f"{format_gpu_millis(taken)} taken" if taken else "free"
        text = f"{bar}  {said:<12} {gpu.model}, {format_size_mib(gpu.mem_mib)}  {gpu.uuid}"
        shared = ", may be shared" if gpu.shareable else ""
        held = out.pop(gpu.uuid, None)
        well = gpu.healthy and held is None
        lines.append(Line(text + shared, "" if well else "bad", "●" if well else "✖"))
        if held is not None:
            lines += [
                Line(f"    {quarantine_text(held, now_s=now_s)}", "bad"),
                Line(f"    corral gpu release {node.name} {place} gives it out again", "idle"),
            ]
    for held in out.values():
        lines.append(Line(f"{held.uuid} is not found any more", "bad", "✖"))
        lines.append(Line(f"    {quarantine_text(held, now_s=now_s)}", "bad"))
    return lines


def label_lines(node: Node) -> list[Line]:
    """Its labels, one a line."""
    if not node.labels:
        return [Line("No labels.", "idle")]
    width = max(len(key) for key in node.labels)
    return [Line(f"{key:<{width}}  {value}", label_chars=width) for key, value in sorted(node.labels.items())]
