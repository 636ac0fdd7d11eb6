"""`nodes`, `node`: look at the machines."""

from __future__ import annotations

from argparse import Namespace

from bus.api import Node
from bus.units import format_cpu_millis, format_mbps, format_size_mib
from bus.values import Resources
from tui.cli import output
from tui.cli.connect import client
from tui.cli.diagnostics import Exit
from tui.view.amounts import duration
from tui.view.rows import NODE_COLUMNS, node_row
from tui.view.states import node_word


async def nodes(arguments: Namespace) -> int:
    """List the cluster's nodes."""
    async with client(arguments) as corral:
        answer = await corral.nodes()
    if arguments.output == "json":
        output.as_json(answer)
    else:
        output.table(NODE_COLUMNS, [node_row(node) for node in answer.nodes])
    return Exit.OK


async def node(arguments: Namespace) -> int:
    """One node: what it is, what it holds, what is used."""
    async with client(arguments) as corral:
        answer = await corral.node(arguments.node)
    if arguments.output == "json":
        output.as_json(answer)
    else:
        output.lines(describe(answer))
    return Exit.OK


def describe(node: Node) -> list[str]:
    """A node in full, a line a fact."""
    facts = [
        ("node", f"{node.name}  {node.id}"),
        ("state", node_word(node.health, node.admin)),
        ("kind", str(node.kind)),
        ("version", node.version),
        ("seen", f"{duration(node.last_heartbeat_s)} ago"),
        ("load", f"{node.load:.2f}"),
        ("tasks", f"{node.running} running, {node.waiting} waiting there"),
        ("capacity", amounts(node.capacity)),
        ("allocated", amounts(node.allocated)),
        ("labels", ", ".join(f"{name}={value}" for name, value in sorted(node.labels.items())) or "none"),
    ]
    if (found := node.inventory) is not None:
        facts += [
            ("host", f"{found.hostname}  {found.ip}"),
            ("system", f"{found.os_version}, kernel {found.kernel_version}, {found.architecture}"),
            ("cpu", f"{found.cpu_cores} × {found.cpu_model}"),
            *(("gpu", f"{gpu.model}, {format_size_mib(gpu.mem_mib)}  {gpu.uuid}") for gpu in found.gpus),
            *(
                ("disk", f"{d.mount}  {format_size_mib(d.free_mib)} free of {format_size_mib(d.total_mib)}")
                for d in found.disks
            ),
            *(
                ("network", f"{card.name}  {card.ip or 'no address'}  {card.status}")
                for card in found.interfaces
            ),
            *(("runtime", f"{name} {version}") for name, version in found.runtimes.items()),
        ]
    return [f"{label:<10} {text}" for label, text in facts]


def amounts(resources: Resources) -> str:
    """The five amounts in words, those that are not zero."""
    parts = [
        f"{format_cpu_millis(resources.cpu_millis)} cores",
        f"{format_size_mib(resources.mem_mib)} memory",
    ]
    if resources.gpus:
        parts.append(f"{resources.gpus} GPUs")
    if resources.storage_mib:
        parts.append(f"{format_size_mib(resources.storage_mib)} storage")
    if resources.net_mbps:
        parts.append(format_mbps(resources.net_mbps))
    return ", ".join(parts)
