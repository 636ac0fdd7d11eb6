"""`cancel`, `retry`, `requeue`, `hold`, `pause`, `drain` …: change what runs, and where."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Awaitable, Callable, Sequence

from bus.api import Changed, Node
from bus.client import Client
from bus.errors import ApiError
from bus.units import counted
from tui.cli import output
from tui.cli.connect import client
from tui.cli.diagnostics import Exit, note
from tui.cli.flags import report
from tui.cli.ids import job_id, task_id
from tui.view.states import node_word


async def cancel(arguments: Namespace) -> int:
    """End jobs or tasks; those already over stay as they are."""
    targets = [task_id(target) for target in arguments.targets]

    async def end(corral: Client, target: str) -> Changed:
        return Changed(tasks=(await corral.cancel(target)).tasks)

    return await _change(arguments, targets, end, noun="cancelled", said="told to end")


async def retry(arguments: Namespace) -> int:
    """Queue again what failed or ran out of time."""
    targets = [task_id(target) for target in arguments.targets]
    return await _change(arguments, targets, Client.retry, noun="retried", said="queued again")


async def hold(arguments: Namespace) -> int:
    """Keep the waiting tasks of jobs from being placed."""
    targets = [job_id(target) for target in arguments.jobs]
    return await _change(arguments, targets, Client.hold, noun="held", said="held")


async def release(arguments: Namespace) -> int:
    """Let held jobs be placed again."""
    targets = [job_id(target) for target in arguments.jobs]
    return await _change(arguments, targets, Client.release, noun="released", said="released")


async def pause(arguments: Namespace) -> int:
    """Let what runs of jobs stand still; the rest waits."""
    targets = [job_id(target) for target in arguments.jobs]
    return await _change(arguments, targets, Client.pause, noun="paused", said="paused")


async def resume(arguments: Namespace) -> int:
    """Let paused jobs go on."""
    targets = [job_id(target) for target in arguments.jobs]
    return await _change(arguments, targets, Client.resume, noun="resumed", said="resumed")


async def requeue(arguments: Namespace) -> int:
    """End what runs and queue it again."""
    targets = [task_id(target) for target in arguments.targets]
    return await _change(
        arguments, targets, Client.requeue, noun="requeued", said="told to end and wait again"
    )


async def cordon(arguments: Namespace) -> int:
    """Nodes take no new work; what they have stays."""
    async with client(arguments) as corral:
        return await _steer(arguments, lambda node: corral.cordon(node, reason=arguments.reason))


async def drain(arguments: Namespace) -> int:
    """Nodes take no new work and give back what waits there."""
    async with client(arguments) as corral:

        async def empty(node: str) -> Node:
            return await corral.drain(node, reason=arguments.reason, deadline_s=arguments.deadline)

        return await _steer(arguments, empty)


async def maintenance(arguments: Namespace) -> int:
    """Nodes are drained, and in maintenance once they are empty."""
    async with client(arguments) as corral:

        async def take_out(node: str) -> Node:
            return await corral.maintenance(node, reason=arguments.reason, deadline_s=arguments.deadline)

        return await _steer(arguments, take_out)


async def undrain(arguments: Namespace) -> int:
    """Nodes take work again."""
    async with client(arguments) as corral:
        return await _steer(arguments, lambda node: corral.undrain(node, reason=arguments.reason))


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


async def _steer(arguments: Namespace, steer: Callable[[str], Awaitable[Node]]) -> int:
    steered: list[Node] = []
    code = int(Exit.OK)
    for name in arguments.nodes:
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
            output.lines(map(steered_line, steered))
    return code


def steered_line(node: Node) -> str:
    """What a node is now, what still runs there, and what comes then."""
    rest = f"; {node.running} running" if node.running else ""
    rest += f", then {node.goal}" if node.goal is not None else ""
    reason = f" ({node.reason})" if node.reason else ""
    return f"{node.name}: {node_word(node.health, node.admin)}{rest}{reason}"
