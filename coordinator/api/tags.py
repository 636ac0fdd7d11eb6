"""Tags of answers: two that bear the same tag say the same to whoever looks.

Lists out of the database are named by what was counted before they were read, so that one which did not
change is not read at all. What stands in memory is named by what is told of it: finding it costs less than
counting all that may change it, and sending it costs most.
"""

from __future__ import annotations

import hashlib

import msgspec
from msgspec.structs import asdict

from bus import api
from bus.values import Resources, Usage

_PARTS = 50
"""A gauge is told apart by fiftieths of what there is of it."""

_SILENT_S = 5.0
"""Nobody who beats every 2 s is silent for so long; from then on each second is news."""

_ENCODE = msgspec.msgpack.Encoder().encode


def tag_of(*told: object) -> str:
    """Names what is told, of any type that has an encoding, and nothing else."""
    return hashlib.blake2b(_ENCODE(told), digest_size=12).hexdigest()


def nodes_tag(answer: api.Nodes) -> str:
    """Names a page of nodes as people see it.

    What trembles by itself counts only where it moved by more than the eye sees: load, gauges, and the age
    of the last heartbeat as long as the next one is not overdue. The cursor names the instant, nothing else.
    """
    return tag_of([_seen(node) for node in answer.nodes], bool(answer.next), answer.total, answer.revision)


def _seen(node: api.Node) -> dict[str, object]:
    silent_s, usage = node.last_heartbeat_s, node.usage
    return asdict(node) | {
        "load": round(5 * node.load),
        "last_heartbeat_s": silent_s if silent_s > _SILENT_S else 0.0,
        "suspicion": round(node.suspicion),
        "usage": None if usage is None else _usage_seen(usage, node.capacity),
    }


def _usage_seen(usage: Usage, of: Resources) -> tuple[int | None, ...]:
    return (
        _part(usage.cpu_millis, of.cpu_millis),
        _part(usage.mem_mib, of.mem_mib),
        round(_PARTS * usage.gpus),
        round(usage.gpu_mem_mib / 1024),
        _part(usage.storage_mib, of.storage_mib),
        _part(usage.net_rx_mbps, of.net_mbps),
        _part(usage.net_tx_mbps, of.net_mbps),
        None if usage.temperature_c is None else round(usage.temperature_c / 2),
        None if usage.gpu_temperature_c is None else round(usage.gpu_temperature_c / 2),
    )


def _part(value: float, of: int) -> int:
    return round(_PARTS * value / (of or 1))
