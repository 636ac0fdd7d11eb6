"""`nodes`, `node`: look at the machines."""

from __future__ import annotations

from argparse import Namespace

from bus.api import Node
from tui.cli import output
from tui.cli.connect import client
from tui.cli.diagnostics import Exit
from tui.cli.listing import Listing, Page, chosen_fields, show
from tui.client.then import Then
from tui.view.columns import NODE_FIELDS
from tui.view.descriptions import describe_node
from tui.view.states import node_tone

NODES = Listing[Node](
    noun="nodes",
    fields=NODE_FIELDS,
    names=lambda node: (node.name,),
    tone=lambda node: node_tone(node.health, node.admin),
)


async def nodes(arguments: Namespace) -> int:
    """List the cluster's nodes."""
    chosen = chosen_fields(NODES, arguments)
    async with client(arguments) as corral:

        async def fetch(limit: int, cursor: str) -> Page[Node]:
            answer = await corral.nodes(
                filter=arguments.filter,
                sort=arguments.sort,
                limit=limit,
                cursor=cursor,
                at=arguments.at,
            )
            return Page(answer.nodes, answer.next, answer.total, answer.states, True)

        return await show(NODES, chosen, arguments, fetch, corral=corral)


async def node(arguments: Namespace) -> int:
    """Nodes in full: what each is, what it holds, what is used."""
    async with client(arguments) as corral:
        then = Then(corral, arguments.at)
        found = [await then.node(name) for name in arguments.nodes]
    output.each(arguments.output, found, name=lambda node: node.name, text=describe_node)
    return Exit.OK
