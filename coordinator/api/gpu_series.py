"""Which GPUs a question about gauges means, and what is told of nodes that have none."""

from __future__ import annotations

from collections.abc import Sequence

from bus.errors import ApiError
from bus.refusal import quote, refusal
from bus.series import METRICS, Series, SeriesKind
from coordinator.core.model import Node
from coordinator.store.series import Wanted

_OF_NODES = frozenset({"gpu", "gpu_memory", "gpu_temperature"})


def gpus_meant(nodes: Sequence[Node], ids: Sequence[str]) -> dict[str, str]:
    """The UUIDs of GPUs with their names: of "n1:0" that one, of "n1" all; of all `nodes` without `ids`.

    Raises ApiError (E_NOT_FOUND) where a node has no such GPU.
    """
    names = {str(node.name): [gpu.uuid for gpu in node.inventory.gpus] for node in nodes}
    found: dict[str, str] = {}
    for place, text in enumerate(ids or names):
        node, colon, which = text.partition(":")
        uuids = names[node]
        known = [str(number) for number in range(len(uuids))]
        if colon and which not in known:
            have = f"{node}:0 to {node}:{known[-1]}" if known else f"{node} has no GPU"
            raise ApiError(
                refusal("E_NOT_FOUND", "no such GPU", field=f"/ids/{place}", got=quote(text), expected=have)
            )
        for number in [int(which)] if colon else range(len(uuids)):
            found[uuids[number]] = f"{node}:{number}"
    return found


def without_gpus(wanted: Wanted, nodes: Sequence[Node], series: Sequence[Series]) -> list[Series]:
    """`series` with words in the place of zeros: what nodes have no GPU.

    Of a node that had one once, what was measured then stays.
    """
    lacking = {str(node.name) for node in nodes if not node.inventory.gpus}
    told = list(series)
    for each in told:
        if each.id in lacking and each.metric in _OF_NODES and not any(each.values):
            each.lacks, each.values = "GPU", [None] * wanted.count
    if wanted.kind is SeriesKind.GPU:
        told += [
            Series(
                id=name,
                metric=metric,
                unit=METRICS[wanted.kind][metric].unit,
                aggregate=wanted.aggregate,
                values=[None] * wanted.count,
                lacks="GPU",
            )
            for name in sorted(lacking)
            for metric in wanted.metrics
        ]
    return told
