"""A page of nodes, chosen and ordered in memory by the same conditions that the database's lists take."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from functools import partial, reduce
from operator import xor

from bus import api
from bus.bulk import revision_of
from bus.fields import NODE_FIELDS
from bus.filter import Condition, Value, matches
from bus.values import NodeAdmin, NodeHealth
from coordinator.store.listing import Counted, Listing

_FIELDS: dict[str, Callable[[api.Node], Value]] = {
    "name": lambda node: node.name,
    "id": lambda node: node.id,
    "state": lambda node: node_state(node),
    "health": lambda node: str(node.health),
    "admin": lambda node: str(node.admin),
    "kind": lambda node: str(node.kind),
    "cpu": lambda node: node.capacity.cpu_millis,
    "memory": lambda node: node.capacity.mem_mib,
    "gpus": lambda node: node.capacity.gpu_millis,
    "storage": lambda node: node.capacity.storage_mib,
    "net": lambda node: node.capacity.net_mbps,
    "free_cpu": lambda node: (node.capacity - node.allocated).cpu_millis,
    "free_memory": lambda node: (node.capacity - node.allocated).mem_mib,
    "free_gpus": lambda node: (node.capacity - node.allocated).gpu_millis,
    "running": lambda node: node.running,
    "waiting": lambda node: node.waiting,
    "load": lambda node: node.load,
    "heartbeat": lambda node: node.last_heartbeat_s,
    "version": lambda node: node.version,
    "reason": lambda node: node.reason,
}


def node_state(node: api.Node) -> str:
    """Health and steering in one word: what is worse to know first."""
    if node.health is NodeHealth.UNREACHABLE or node.admin is NodeAdmin.ACTIVE:
        return str(node.health)
    return str(node.admin)


def value_of(node: api.Node, field: str) -> Value:
    """What a field of `bus.fields.NODE_FIELDS` says of a node; a label it does not have is absent."""
    head, _, key = field.partition(".")
    return node.labels.get(key) if NODE_FIELDS[head].keyed else _FIELDS[field](node)


def matching(nodes: Iterable[api.Node], conditions: Sequence[Condition]) -> list[api.Node]:
    """Those of which all conditions hold."""
    return [node for node in nodes if matches(conditions, partial(value_of, node))]


def revision_of_nodes(nodes: Sequence[api.Node]) -> int:
    """Names exactly these, in whatever order."""
    return revision_of(total=len(nodes), digest=reduce(xor, (_digest(node.name) for node in nodes), 0))


def _digest(name: str) -> int:
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest())


def page(nodes: Iterable[api.Node], listing: Listing) -> api.Nodes:
    """The page that `listing` wants, counted like every list."""
    field, descending = listing.order.field, listing.order.descending

    def place(node: api.Node) -> tuple[Value, str]:
        return value_of(node, field), node.name

    found = matching(nodes, listing.conditions)
    found.sort(key=place, reverse=descending)
    revision = revision_of_nodes(found)
    states = Counter(map(node_state, found))
    if listing.after is not None:
        end = (listing.after.key, listing.after.tie)
        found = [node for node in found if (place(node) < end if descending else place(node) > end)]
    shown = found[: listing.limit]
    following = ""
    if len(found) > len(shown):
        following = listing.cursor(*place(shown[-1]), Counted())
    return api.Nodes(
        nodes=shown, next=following, total=states.total(), states=dict(states), revision=revision
    )
