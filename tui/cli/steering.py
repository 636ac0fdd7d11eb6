"""`cancel`, `retry`, `hold`, `release`, `cordon`, `drain`, `undrain`: change what runs, and where."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Awaitable, Callable, Sequence

from bus.api import Node
from bus.errors import ApiError
from bus.units import counted
from tui.cli import output
from tui.cli.connect import client
from tui.cli.diagnostics import Exit
from tui.cli.flags import report
from tui.cli.ids import job_id, task_id
from tui.view.states import node_word


async def cancel(arguments: Namespace) -> int:
    """End jobs or tasks; those already over stay as they are."""
    targets = [task_id(target) for target in arguments.targets]
    async with client(arguments) as corral:

        async def end(target: str) -> int:
            return (await corral.cancel(target)).tasks

        return await _change(arguments, targets, end, noun="cancelled", said="told to end")


async def retry(arguments: Namespace) -> int:
    """Queue again what failed or ran out of time."""
    targets = [task_id(target) for target in arguments.targets]
    async with client(arguments) as corral:

        async def again(target: str) -> int:
            return (await corral.retry(target)).tasks

        return await _change(arguments, targets, again, noun="retried", said="queued again")


async def hold(arguments: Namespace) -> int:
    """Keep the waiting tasks of jobs from being placed."""
    targets = [job_id(target) for target in arguments.jobs]
    async with client(arguments) as corral:

        async def keep(target: str) -> int:
            return (await corral.hold(target)).tasks

        return await _change(arguments, targets, keep, noun="held", said="held")


async def release(arguments: Namespace) -> int:
    """Let held jobs be placed again."""
    targets = [job_id(target) for target in arguments.jobs]
    async with client(arguments) as corral:

        async def let_go(target: str) -> int:
            return (await corral.release(target)).tasks

        return await _change(arguments, targets, let_go, noun="released", said="released")


async def cordon(arguments: Namespace) -> int:
    """Nodes take no new work; what they have stays."""
    async with client(arguments) as corral:
        return await _steer(arguments, lambda node: corral.cordon(node, reason=arguments.reason))


async def drain(arguments: Namespace) -> int:
    """Nodes take no new work and give back what waits there."""
    async with client(arguments) as corral:
        return await _steer(arguments, lambda node: corral.drain(node, reason=arguments.reason))


async def undrain(arguments: Namespace) -> int:
    """Nodes take work again."""
    async with client(arguments) as corral:
        return await _steer(arguments, lambda node: corral.undrain(node, reason=arguments.reason))


async def _change(
    arguments: Namespace,
    targets: Sequence[str],
    change: Callable[[str], Awaitable[int]],
    *,
    noun: str,
    said: str,
) -> int:
    """One target after the other; a refused one does not keep the others from their turn."""
    changed: list[tuple[str, int]] = []
    code = int(Exit.OK)
    for target in targets:
        try:
            changed.append((target, await change(target)))
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
    """What a node is now, and what still runs there."""
    rest = f"; {node.running} running" if node.running else ""
    reason = f" ({node.reason})" if node.reason else ""
    return f"{node.name}: {node_word(node.health, node.admin)}{rest}{reason}"
