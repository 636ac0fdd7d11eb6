"""`cancel`, `retry`, `requeue`, `hold`, `priority`, `drain`, `label` …: change what runs, and where."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Awaitable, Callable, Sequence
from typing import Literal

from bus.api import Changed, Node, Resolved
from bus.client import Client
from bus.errors import ApiError
from bus.requests import WhatIf
from bus.units import counted
from tui.cli import output
from tui.cli.connect import client
from tui.cli.diagnostics import CommandError, Exit, note
from tui.cli.flags import report
from tui.cli.foreseeing import print_outlook
from tui.cli.ids import job_id, task_id
from tui.cli.matching import named, steer_matching
from tui.cli.options import whole
from tui.view.columns import labels_text
from tui.view.states import node_word


async def cancel(arguments: Namespace) -> int:
    """End jobs or tasks; those already over stay as they are."""
    if arguments.where is not None:
        return await steer_matching(arguments, _noun(arguments), "cancel", arguments.targets)
    targets = _targets(arguments)

    async def end(corral: Client, target: str) -> Changed:
        return Changed(tasks=(await corral.cancel(target)).tasks)

    return await _change(arguments, targets, end, noun="cancelled", said="told to end")


async def retry(arguments: Namespace) -> int:
    """Queue again what failed or ran out of time."""
    if arguments.where is not None:
        return await steer_matching(arguments, _noun(arguments), "retry", arguments.targets)
    targets = _targets(arguments)
    return await _change(arguments, targets, Client.retry, noun="retried", said="queued again")


async def hold(arguments: Namespace) -> int:
    """Keep the waiting tasks of jobs from being placed."""
    if arguments.where is not None:
        return await steer_matching(arguments, "job", "hold", arguments.jobs)
    targets = _jobs(arguments, arguments.jobs)
    return await _change(arguments, targets, Client.hold, noun="held", said="held")


async def release(arguments: Namespace) -> int:
    """Let held jobs be placed again."""
    if arguments.where is not None:
        return await steer_matching(arguments, "job", "release", arguments.jobs)
    targets = _jobs(arguments, arguments.jobs)
    return await _change(arguments, targets, Client.release, noun="released", said="released")


async def pause(arguments: Namespace) -> int:
    """Let what runs of jobs stand still; the rest waits."""
    if arguments.where is not None:
        return await steer_matching(arguments, "job", "pause", arguments.jobs)
    targets = _jobs(arguments, arguments.jobs)
    return await _change(arguments, targets, Client.pause, noun="paused", said="paused")


async def resume(arguments: Namespace) -> int:
    """Let paused jobs go on."""
    if arguments.where is not None:
        return await steer_matching(arguments, "job", "resume", arguments.jobs)
    targets = _jobs(arguments, arguments.jobs)
    return await _change(arguments, targets, Client.resume, noun="resumed", said="resumed")


async def requeue(arguments: Namespace) -> int:
    """End what runs and queue it again."""
    if arguments.where is not None:
        return await steer_matching(arguments, _noun(arguments), "requeue", arguments.targets)
    targets = _targets(arguments)
    return await _change(
        arguments, targets, Client.requeue, noun="requeued", said="told to end and wait again"
    )


async def priority(arguments: Namespace) -> int:
    """Move what waits of jobs in the line: the last word says to where."""
    *jobs, text = arguments.jobs
    wanted = whole("PRIORITY", least=1, most=10)(text)
    if arguments.where is not None:
        return await steer_matching(arguments, "job", "priority", jobs, priority=wanted)

    async def move(corral: Client, job: str) -> Changed:
        return await corral.prioritize(job, wanted)

    targets = _jobs(arguments, jobs)
    return await _change(arguments, targets, move, noun="moved", said=f"wait at priority {wanted}")


async def cordon(arguments: Namespace) -> int:
    """Nodes take no new work; what they have stays."""
    return await _steer_nodes(
        arguments, "cordon", lambda corral, node: corral.cordon(node, reason=arguments.reason)
    )


async def drain(arguments: Namespace) -> int:
    """Nodes take no new work and give back what waits there; or only what that would come to."""
    if arguments.what_if:
        return await _foresee(arguments)
    return await _steer_nodes(
        arguments,
        "drain",
        lambda corral, node: corral.drain(node, reason=arguments.reason, deadline_s=arguments.deadline),
        deadline_s=arguments.deadline,
    )


async def _foresee(arguments: Namespace) -> int:
    """Where what these nodes hold would go, and what that does to all that waits; nothing is changed."""
    if arguments.where is not None:
        message, hint = "--what-if is asked of nodes by name", "corral nodes --where … -o name lists them"
        raise CommandError("E_USAGE", message, exit=Exit.USAGE, field="--where", hint=hint)
    names = list(named(arguments, arguments.nodes, what="node"))
    return await print_outlook(arguments, WhatIf(drain=names, deadline_s=arguments.deadline))


async def maintenance(arguments: Namespace) -> int:
    """Nodes are drained, and in maintenance once they are empty."""
    return await _steer_nodes(
        arguments,
        "maintenance",
        lambda corral, node: corral.maintenance(node, reason=arguments.reason, deadline_s=arguments.deadline),
        deadline_s=arguments.deadline,
    )


async def undrain(arguments: Namespace) -> int:
    """Nodes take work again."""
    return await _steer_nodes(
        arguments, "undrain", lambda corral, node: corral.undrain(node, reason=arguments.reason)
    )


async def label(arguments: Namespace) -> int:
    """Nodes are given labels, "zone=a", or lose what people gave them, "zone-"."""
    names = [word for word in arguments.words if not _is_label(word)]
    labels = dict(_label(word) for word in arguments.words if _is_label(word))
    if not labels:
        expected, hint = "KEY=VALUE, or KEY- to take one away", "corral label n1 zone=a rack-"
        raise CommandError("E_USAGE", "no label is given", exit=Exit.USAGE, expected=expected, hint=hint)
    if arguments.where is not None:
        return await steer_matching(arguments, "node", "label", names, labels=labels)
    names = list(named(arguments, names, what="node"))
    async with client(arguments) as corral:
        return await _steer(arguments, names, lambda node: corral.label(node, labels), line=labelled_line)


def _is_label(word: str) -> bool:
    return "=" in word or word.endswith("-")


def _label(word: str) -> tuple[str, str | None]:
    key, given, value = word.partition("=")
    return (key, value) if given else (word[:-1], None)


async def resolve(arguments: Namespace) -> int:
    """Events are dealt with: who first says so stays."""
    resolved: list[Resolved] = []
    code = int(Exit.OK)
    async with client(arguments) as corral:
        for event in arguments.events:
            try:
                resolved.append(await corral.resolve(event, note=arguments.note))
            except ApiError as error:
                refused = report(error, arguments)
                code = code or refused
    output.each(
        arguments.output,
        [each.event for each in resolved],
        name=lambda event: event.id,
        text=lambda event: [
            f"{event.id}: {event.kind} resolved by {event.resolved_by}"
            + (f": {event.resolution}" if event.resolution else "")
        ],
        apart=False,
    )
    return code


def _noun(arguments: Namespace) -> Literal["job", "task"]:
    return "task" if arguments.tasks else "job"


def _targets(arguments: Namespace) -> list[str]:
    return [task_id(target) for target in named(arguments, arguments.targets, what="job or task")]


def _jobs(arguments: Namespace, names: Sequence[str]) -> list[str]:
    return [job_id(target) for target in named(arguments, names, what="job")]


async def _steer_nodes(
    arguments: Namespace,
    verb: str,
    steer: Callable[[Client, str], Awaitable[Node]],
    *,
    deadline_s: float | None = None,
) -> int:
    if arguments.where is not None:
        reason = arguments.reason
        return await steer_matching(
            arguments, "node", verb, arguments.nodes, reason=reason, deadline_s=deadline_s
        )
    names = named(arguments, arguments.nodes, what="node")
    async with client(arguments) as corral:
        return await _steer(arguments, names, lambda node: steer(corral, node))


async def _change(
    arguments: Namespace,
    targets: Sequence[str],
    change: Callable[[Client, str], Awaitable[Changed]],
    *,
    noun: str,
    said: str,
) -> int:
    """One target after the other; a refused one does not keep the others from their turn."""
    changed: list[tuple[str, int]] = []
    code = int(Exit.OK)
    async with client(arguments) as corral:
        for target in targets:
            try:
                answer = await change(corral, target)
                changed.append((target, answer.tasks))
                if answer.hint:
                    note(f"{target}: {answer.hint}")
            except ApiError as error:
                refused = report(error, arguments)
                code = code or refused
    documents = [{"target": target, "tasks": tasks} for target, tasks in changed]
    match arguments.output:
        case "json":
            output.as_json({noun: documents})
        case "jsonl":
            output.as_json_lines(documents)
        case "name":
            output.lines(target for target, _ in changed)
        case _:
            output.lines(f"{target}: {counted(tasks, 'task')} {said}" for target, tasks in changed)
    return code


async def _steer(
    arguments: Namespace,
    names: Sequence[str],
    steer: Callable[[str], Awaitable[Node]],
    *,
    line: Callable[[Node], str] | None = None,
) -> int:
    steered: list[Node] = []
    code = int(Exit.OK)
    for name in names:
        try:
            steered.append(await steer(name))
        except ApiError as error:
            refused = report(error, arguments)
            code = code or refused
    match arguments.output:
        case "json":
            output.as_json({"nodes": steered})
        case "jsonl":
            output.as_json_lines(steered)
        case "name":
            output.lines(node.name for node in steered)
        case _:
            output.lines(map(line or steered_line, steered))
    return code


def steered_line(node: Node) -> str:
    """What a node is now, what still runs there, and what comes then."""
    rest = f"; {node.running} running" if node.running else ""
    rest += f", then {node.goal}" if node.goal is not None else ""
    reason = f" ({node.reason})" if node.reason else ""
    return f"{node.name}: {node_word(node.health, node.admin)}{rest}{reason}"


def labelled_line(node: Node) -> str:
    """The labels that a node has now; those of people before what its agent says."""
    own = {key: value for key, value in node.labels.items() if key not in node.set_labels}
    told = f"set {labels_text(node.set_labels)}" if node.set_labels else "none set"
    return f"{node.name}: {told}" + (f"; its own {labels_text(own)}" if own else "")
