"""One job, task or node in full: a line a fact."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable

from msgspec.structs import replace

from bus.api import Job, Node, Task, TaskCounts
from bus.results import LoggedLine, TaskResult
from bus.units import counted, format_cpu_millis, format_gpu_millis, format_mbps, format_size_mib
from bus.values import Resources
from tui.view.abilities import CONTAINERS
from tui.view.amounts import NONE, duration, gpu_text
from tui.view.columns import elapsed_s, exit_word, job_state, task_name
from tui.view.gangs import ranks_text
from tui.view.gpus import why
from tui.view.instants import local
from tui.view.rows import counts_text
from tui.view.safe import safe_line
from tui.view.states import node_word

OUTPUT_SHOWN = 400
"""Characters of a task's output in its description."""

BAR_CELLS = 30

Fact = tuple[str, str]


def facts_text(facts: Iterable[Fact]) -> list[str]:
    """Facts under each other, their labels aligned."""
    return [f"{label:<10} {text}" for label, text in facts]


def describe_job(job: Job, *, now_s: float) -> list[str]:
    """A job in full."""
    facts = [
        ("job", f"{job.number}  {job.id}"),
        ("name", job.name or NONE),
        ("user", job.user),
        ("state", f"{job_state(job)}{f' ({job.reason})' if job.reason else ''}"),
        ("priority", str(job.priority)),
        ("tasks", f"{bar(job.counts)}  {job.counts.total:,}: {counts_text(job.counts)}"),
        ("submitted", f"{local(job.submitted_at)}  {duration(now_s - job.submitted_at)} ago"),
    ]
    if job.parent:
        facts.append(("from task", job.parent))
    if job.started_at is not None:
        ran = duration(elapsed_s(job.started_at, job.ended_at, now_s=now_s))
        facts.append(("started", f"{local(job.started_at)}  ran {ran}"))
    if job.ended_at is not None:
        facts.append(("ended", f"{local(job.ended_at)}  exit {exit_word(job.exit_code, None)}"))
    if job.spec:
        facts.extend(_asked(job.spec))
    return facts_text(facts)


def describe_task(task: Task, *, now_s: float) -> list[str]:
    """A task in full with its attempts; a large output is cut."""
    facts = [
        ("task", f"{task_name(task)}  {task.id}"),
        ("name", task.name or NONE),
        ("state", f"{task.state}{f' ({task.message})' if task.message else ''}"),
        ("node", task.node or NONE),
        ("asks for", amounts_text(task.resources)),
        ("submitted", f"{local(task.submitted_at)}  {duration(now_s - task.submitted_at)} ago"),
        ("run", duration(elapsed_s(task.started_at, task.ended_at, now_s=now_s))),
        ("exit", exit_word(task.exit_code, task.signal)),
        ("retries", str(task.retries)),
    ]
    facts += [*result_facts(task.result), *logged_facts(task.logged)]
    if task.ranks:
        facts.insert(3, ("gang", ranks_text(task)))
    for attempt in task.attempts:
        ran = duration(elapsed_s(attempt.started_at, attempt.ended_at, now_s=now_s))
        ended = exit_word(attempt.exit_code, attempt.signal)
        message = f"  {attempt.message}" if attempt.message else ""
        rank = f":{attempt.rank}" if task.ranks else ""
        facts.append(
            (f"try {attempt.fence}{rank}", f"{attempt.node}  {attempt.state}  exit {ended}  {ran}{message}")
        )
    if task.output is not None:
        text = json.dumps(task.output, ensure_ascii=False)
        cut = f"… ({len(text)} characters; -o json shows all)" if len(text) > OUTPUT_SHOWN else ""
        facts.append(("output", text[:OUTPUT_SHOWN] + cut))
    return facts_text(facts)


def result_facts(told: TaskResult | None) -> list[tuple[str, str]]:
    """What a task told of itself so far."""
    if told is None:
        return []
    facts: list[tuple[str, str]] = []
    if told.progress is not None:
        facts.append(("progress", f"{progress_bar(told.progress)} {told.progress:g} %"))
    if told.message:
        facts.append(("says", told.message))
    if told.step is not None:
        facts.append(("step", str(told.step)))
    facts += [(name, f"{value:.6g}") for name, value in told.metrics.items()]
    if told.faults:
        facts.append(("faults", faults_text(told)))
    return facts


def faults_text(told: TaskResult) -> str:
    """How many of its lines, and why the first."""
    return f"{counted(told.faults, 'line')} could not be used: {told.fault}"


def logged_facts(lines: Iterable[LoggedLine]) -> list[tuple[str, str]]:
    """The newest lines that a task logged, or that were noticed of it."""
    said = [(line, f"rank {line.rank}: " if line.rank else "") for line in lines]
    return [(line.severity, f"{local(line.at)}  {rank}{safe_line(line.text)}") for line, rank in said]


def progress_bar(percent: float, *, cells: int = 20) -> str:
    """█ for what is done, ░ for what is not; full only at 100."""
    done = min(int(percent / 100 * cells), cells)
    return "█" * done + "░" * (cells - done)


def describe_node(node: Node) -> list[str]:
    """A node in full: what it is, what it holds, what is used."""
    facts = [
        ("node", f"{node.name}  {node.id}"),
        ("state", f"{node_word(node.health, node.admin)}{f' ({node.reason})' if node.reason else ''}"),
        *_drain(node),
        ("kind", str(node.kind)),
        ("version", node.version),
        ("seen", f"{duration(node.last_heartbeat_s)} ago"),
        ("load", f"{node.load:.2f}"),
        ("tasks", f"{node.running} running, {node.waiting} waiting there"),
        ("capacity", amounts_text(node.capacity)),
        ("allocated", amounts_text(node.allocated)),
        ("labels", ", ".join(f"{name}={value}" for name, value in sorted(node.labels.items())) or "none"),
        *([("by people", ", ".join(sorted(node.set_labels)))] if node.set_labels else []),
    ]
    out = {each.uuid for each in node.quarantines}
    facts += [
        ("quarantine", f"{each.uuid}  {why(each.kind, each.reason, by=each.by)}") for each in node.quarantines
    ]
    if (found := node.inventory) is not None:
        facts += [
            ("host", f"{found.hostname}  {found.ip}"),
            ("system", f"{found.os_version}, kernel {found.kernel_version}, {found.architecture}"),
            ("cpu", f"{found.cpu_cores} × {found.cpu_model}"),
            *(
                ("gpu", f"{gpu_text(gpu, node.gpu_taken, quarantined=gpu.uuid in out)}  {gpu.uuid}")
                for gpu in found.gpus
            ),
            *(
                ("disk", f"{d.mount}  {format_size_mib(d.free_mib)} free of {format_size_mib(d.total_mib)}")
                for d in found.disks
            ),
            *(
                ("network", f"{card.name}  {card.ip or 'no address'}  {card.status}")
                for card in found.interfaces
            ),
            *(("runtime", f"{name} {version}") for name, version in found.runtimes.items()),
            *([("containers", said)] if (said := found.isolation.get(CONTAINERS)) else []),
        ]
    return facts_text(facts)


def _drain(node: Node) -> list[tuple[str, str]]:
    """Until when what runs there may take, and what the node becomes then."""
    facts = []
    if node.deadline is not None:
        facts.append(("deadline", f"{local(node.deadline)}: what still runs then is queued again elsewhere"))
    if node.goal is not None:
        facts.append(("then", str(node.goal)))
    return facts


def summary(job: Job) -> str:
    """One line about a job that has ended."""
    counts = job.counts
    told = f"{counts.completed:,} of {counted(counts.total, 'task')}"
    if counts.completed < counts.total:
        told += f" completed, {counts_text(replace(counts, completed=0))}"
    if job.started_at is not None and job.ended_at is not None:
        told += f" in {duration(job.ended_at - job.started_at)}"
    return f"job {job.number} {job.state}: {told}{f' ({job.reason})' if job.reason else ''}"


def bar(counts: TaskCounts, *, width: int = BAR_CELLS) -> str:
    """How far a job is: completed ━, failed or cancelled ╳, running ╸, waiting ·."""
    parts = (
        ("━", counts.completed),
        ("╳", counts.failed + counts.cancelled),
        ("╸", counts.running + counts.assigned),
    )
    total = max(counts.total, 1)
    drawn, edge, seen = "", 0, 0
    for glyph, number in parts:
        seen += number
        # by where each part ends, so that the parts together never exceed the bar
        end = min(width, seen * width // total)
        drawn += glyph * (end - edge)
        edge = end
    return drawn.ljust(width, "·")


def amounts_text(resources: Resources) -> str:
    """The amounts in words, those that are not zero."""
    parts = [
        f"{format_cpu_millis(resources.cpu_millis)} core{'' if resources.cpu_millis == 1000 else 's'}",
        f"{format_size_mib(resources.mem_mib)} memory",
    ]
    if resources.gpu_millis:
        parts.append(f"{format_gpu_millis(resources.gpu_millis)} GPU{'s' if resources.gpus > 1 else ''}")
    if resources.storage_mib:
        parts.append(f"{format_size_mib(resources.storage_mib)} storage")
    if resources.net_mbps:
        parts.append(format_mbps(resources.net_mbps))
    return ", ".join(parts)


def _asked(spec: dict[str, object]) -> Iterable[Fact]:
    """What a person would want to see of the specification again; `-o json` has it whole."""
    command = spec.get("command")
    if isinstance(command, list):
        yield "command", shlex.join(str(word) for word in command)
    for name in ("tool", "image", "network_policy", "array", "workdir", "timeout", "dedupe_key"):
        if spec.get(name) is not None:
            yield name.replace("_", " "), str(spec[name])
