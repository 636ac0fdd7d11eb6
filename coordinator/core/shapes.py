"""What of a task decides where it may run."""

from __future__ import annotations

from msgspec import Struct

from bus.values import Gang, NodeName, Resources, TaskSettings
from coordinator.core.releases import RANKS
from coordinator.core.scheduler.wishes import Wishes


class Shape(Struct, frozen=True, cache_hash=True):
    """All that decides where a task may run. Tasks of one shape are interchangeable to a node."""

    resources: Resources
    labels: tuple[tuple[str, str], ...]
    nodes: tuple[str, ...]
    tool: str | None
    gpu_types: tuple[str, ...] = ()
    gpu_mem_mib: int = 0
    wishes: Wishes | None = None
    gang: Gang | None = None  # `resources` are of one rank
    features: tuple[str, ...] = ()
    claims: tuple[str, ...] = ()  # volumes to which it alone writes
    gpu_uuid: str = ""  # the only GPU that will do
    without: tuple[NodeName, ...] = ()  # nodes that could not start such a task lately: see `refusals`


def shape_of(settings: TaskSettings, wishes: Wishes | None = None) -> Shape:
    return Shape(
        settings.resources,
        tuple(sorted(settings.labels.items())),
        settings.nodes,
        settings.tool,
        settings.gpu_types,
        settings.gpu_mem_mib,
        wishes,
        settings.gang,
        (*settings.features, *((RANKS,) if settings.gang is not None else ())),
        tuple(sorted(each.name for each in settings.volumes if each.exclusive)),
        settings.gpu_uuid,
    )
