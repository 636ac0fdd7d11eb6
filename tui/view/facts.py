"""One thing in full, a line a fact: what the console's details and previews show."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from bus.units import counted, format_cpu_millis, format_gpu_millis, format_size_mib
from bus.values import GpuInfo, Resources
from tui.view.amounts import NONE, age, duration, gpu_text, share
from tui.view.columns import exit_word, job_state, labels_text, ran, task_name, task_ran, task_state
from tui.view.gangs import ranks_text
from tui.view.gpus import why
from tui.view.instants import local
from tui.view.lines import Line
from tui.view.rows import counts_text
from tui.view.states import NODE_BADGES, SEVERITY_BADGES, TASK_BADGES, job_badge, node_tone, node_word

if TYPE_CHECKING:
    from bus.api import Attempt, Candidate, Happened, Job, Node, Task, Why


LABEL_CELLS = 11


def fact(label: str, text: str, tone: str = "") -> Line:
    """ "label      text"."""
    return Line(f"{label:<{LABEL_CELLS}}{text}", tone, label_chars=LABEL_CELLS)


def head(text: str) -> Line:
    """The title of a part."""
    return Line(text, "label")


def job_facts(job: Job, *, now_s: float) -> list[Line]:
    """What is known of a job from a list; with its command where it was asked for in full."""
    badge = job_badge(job)
    facts = [
        fact("job", f"{job.number}  {job.name}"),
        fact("state", f"{badge.glyph} {job_state(job)}", badge.tone),
        fact("tasks", f"{job.counts.total}: {counts_text(job.counts)}"),
        fact("user", f"{job.user}   priority {job.priority}   {job.kind}"),
        fact("submitted", since(job.submitted_at, now_s=now_s)),
        fact("ran", ran(job.started_at, job.ended_at, now_s=now_s)),
    ]
    if job.parent:
        facts.append(fact("from task", job.parent))
    if job.reason:
        facts.append(fact("reason", job.reason, "warn"))
    if job.exit_code is not None:
        facts.append(fact("exit", str(job.exit_code), "bad" if job.exit_code else "ok"))
    facts.append(fact("id", job.id))
    if job.spec is not None:
        facts += [Line(""), head("as submitted"), *json_lines(job.spec)]
    return facts


def task_facts(task: Task, *, now_s: float) -> list[Line]:
    """What is known of a task; with its attempts and output where it was asked for in full."""
    badge = TASK_BADGES[task.state]
    facts = [
        fact("task", f"{task_name(task)}  {task.name}"),
        fact("state", f"{badge.glyph} {task_state(task)}", badge.tone),
        fact("node", task.node or NONE),
        fact("asks for", amounts(task.resources)),
        fact("attempt", f"{task.fence or NONE}   retried {task.retries}   priority {task.priority}"),
        fact("submitted", since(task.submitted_at, now_s=now_s)),
        fact("ran", task_ran(task, now_s=now_s)),
    ]
    if task.exit_code is not None or task.signal is not None:
        facts.append(fact("exit", exit_word(task.exit_code, task.signal), badge.tone))
    if task.message:
        facts.append(fact("message", task.message, badge.tone))
    if task.ranks:
        facts.insert(3, fact("gang", ranks_text(task)))
    if task.attempts:
        facts += [Line(""), head("attempts"), *(attempt_line(one, now_s=now_s) for one in task.attempts)]
    if task.output is not None:
        facts += [Line(""), head("output"), *json_lines(task.output)]
    return facts


def node_facts(node: Node, *, now_s: float) -> list[Line]:
    """What is known of a node; with its inventory where it was asked for in full."""
    cpu, memory, gpu = share(node.allocated, node.capacity)
    glyph = NODE_BADGES[node.health].glyph
    facts = [
        fact("node", f"{node.name}  {node.kind}"),
        fact("state", f"{glyph} {node_word(node.health, node.admin)}", node_tone(node.health, node.admin)),
        fact("seen", f"{age(node.last_heartbeat_s)} ago   agent {node.version}"),
        fact("tasks", f"{node.running} running, {node.waiting} waiting there"),
        fact("allocated", f"cpu {cpu}   memory {memory}   gpu {gpu}"),
        fact("load", f"{node.load:.2f}"),
        fact("labels", labels_text(node.labels)),
    ]
    if node.reason:
        facts.append(fact("reason", node.reason, "warn"))
    if (usage := node.usage) is not None:
        used = f"cpu {usage.cpu_millis / 1000:.1f}   memory {format_size_mib(round(usage.mem_mib))}"
        facts.append(fact("used", f"{used}   network {usage.net_rx_mbps + usage.net_tx_mbps:.0f} Mbit/s"))
    if (found := node.inventory) is not None:
        facts += [
            Line(""),
            head("machine"),
            fact("host", f"{found.hostname}  {found.ip}"),
            fact("system", f"{found.os_version}, kernel {found.kernel_version}, {found.architecture}"),
            fact("cpu", f"{found.cpu_cores} × {found.cpu_model}"),
            *(_gpu_fact(node, gpu) for gpu in found.gpus),
            *(
                fact(
                    "disk", f"{d.mount}  {format_size_mib(d.free_mib)} free of {format_size_mib(d.total_mib)}"
                )
                for d in found.disks
            ),
            *(fact("network", f"{card.name}  {card.ip or NONE}  {card.status}") for card in found.interfaces),
        ]
    facts.append(fact("id", node.id))
    return facts


def _gpu_fact(node: Node, gpu: GpuInfo) -> Line:
    held = next((each for each in node.quarantines if each.uuid == gpu.uuid), None)
    text = gpu_text(gpu, node.gpu_taken, quarantined=held is not None)
    if held is None:
        return fact("gpu", text)
    return fact("gpu", f"{text}: {why(held.kind, held.reason, by=held.by)}", "bad")


def event_facts(event: Happened, *, now_s: float) -> list[Line]:
    """One event with its details."""
    badge = SEVERITY_BADGES.get(event.severity, SEVERITY_BADGES["info"])
    facts = [
        fact("event", f"{badge.glyph} {event.kind}  ({event.severity})", badge.tone),
        fact("at", since(event.at, now_s=now_s)),
        *(
            fact(label, str(value))
            for label, value in (
                ("job", event.job),
                ("task", event.task),
                ("node", event.node),
                ("user", event.user),
            )
            if value is not None
        ),
        fact("message", event.message),
        fact("id", event.id),
    ]
    if event.resolved_at is not None:
        by = f" by {event.resolved_by}" if event.resolved_by else ""
        note = f": {event.resolution}" if event.resolution else ""
        facts.append(fact("resolved", f"{since(event.resolved_at, now_s=now_s)}{by}{note}", "ok"))
    if event.details:
        facts += [Line(""), head("details"), *json_lines(event.details)]
    return facts


def why_facts(why: Why) -> list[Line]:
    """Why a task is where it is: what keeps it back and what would help, or who was asked and who won."""
    badge = TASK_BADGES[why.state]
    facts = [fact("task", why.task), fact("state", f"{badge.glyph} {why.state}", badge.tone)]
    facts += [fact("", why.summary)] if why.summary else []
    if why.waiting_s is not None:
        ahead = "" if why.ahead is None else f"   {why.ahead} before it in the line"
        facts.append(fact("waiting", f"{duration(why.waiting_s)}{ahead}"))
    if why.node is not None:
        decided = f"   decided {local(why.decided_at)}" if why.decided_at is not None else ""
        facts.append(fact("node", f"{why.node}   attempt {why.attempt}{decided}"))
    if why.order or why.rank:
        facts.append(fact("rules", f"task by {why.order or NONE}, node by {why.rank or NONE}"))
    if why.blockers:
        facts += [Line(""), head("what keeps it back")]
        for blocker in why.blockers:
            nodes = f"  ({counted(blocker.nodes, 'node')})" if blocker.nodes else ""
            facts.append(Line(f"{blocker.message}{nodes}  [{blocker.code}]", "warn", "✖"))
            facts += [Line(f"  {blocker.remedy}", "ok", "→")] if blocker.remedy else []
    if why.candidates:
        facts += [Line(""), head("nodes"), *candidate_lines(why.candidates)]
    return facts


def candidate_lines(candidates: Sequence[Candidate]) -> Iterable[Line]:
    """The chosen one first, then by score, then those that could not take it."""
    width = max(len(candidate.node) for candidate in candidates)
    order = sorted(candidates, key=lambda c: (not c.chosen, c.score is None, c.score or 0.0, c.node))
    for candidate in order:
        score = NONE if candidate.score is None else f"{candidate.score:.3f}"
        said = "chosen" if candidate.chosen else ", ".join(candidate.obstacles) or "feasible"
        tone = "ok" if candidate.chosen else "idle" if candidate.obstacles else ""
        mark = "✔" if candidate.chosen else "✖" if candidate.obstacles else "○"
        yield Line(f"{candidate.node:<{width}}  {score:>8}  {said}", tone, mark)


def attempt_line(attempt: Attempt, *, now_s: float) -> Line:
    """One try of a task."""
    elapsed = ran(attempt.started_at, attempt.ended_at, now_s=now_s)
    ended = exit_word(attempt.exit_code, attempt.signal)
    rank = f":{attempt.rank}" if attempt.rank else ""
    return Line(
        f"{rank}#{attempt.fence}  {attempt.node}  {attempt.state}  {elapsed}  exit {ended}  {attempt.message}"
    )


def json_lines(value: object) -> list[Line]:
    """A document, indented."""
    return [Line(line) for line in json.dumps(value, indent=2, ensure_ascii=False, default=str).split("\n")]


def amounts(resources: Resources) -> str:
    """What a task asks for, in words."""
    parts = [
        f"cpu {format_cpu_millis(resources.cpu_millis)}",
        f"memory {format_size_mib(resources.mem_mib)}",
    ]
    if resources.gpu_millis:
        parts.append(f"gpu {format_gpu_millis(resources.gpu_millis)}")
    if resources.storage_mib:
        parts.append(f"storage {format_size_mib(resources.storage_mib)}")
    return "   ".join(parts)


def since(at_s: float, *, now_s: float) -> str:
    """ "2026-11-22 02:45:37  (3m ago)"."""
    return f"{local(at_s)}  ({age(now_s - at_s)} ago)"
