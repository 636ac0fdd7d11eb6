"""Hard constraints. "Does not fit" is a value with reasons, and never a policy's choice.

A task gets whole GPUs that nobody else has, or a share of one. Shares go onto the fullest GPU that still
has room, whole ones are taken from the smallest that will do, so that what is large stays whole.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from copy import copy
from functools import lru_cache
from typing import NamedTuple

from bus.values import GPU_MILLI, GpuInfo, NodeAdmin, NodeHealth, NodeKind
from coordinator.core.model import Attempt, Node, Shape

_WORD = re.compile(r"[a-z0-9]+")


def obstacles(node: Node, shape: Shape) -> tuple[str, ...]:
    """Everything that keeps tasks of `shape` off `node` now, as short stable words; empty: feasible."""
    return (*closed(node), *mismatches(node, shape), *avoided(node, shape), *busy(node, shape))


def avoided(node: Node, shape: Shape) -> tuple[str, ...]:
    """The jobs there beside which no task of `shape` may run, and the volumes that others write to."""
    taken = tuple(f"volume_in_use:{name}" for name in shape.claims if name in node.claimed)
    if shape.wishes is None:
        return taken
    own = shape.wishes.job
    here = (job for job in shape.wishes.never if job in node.jobs)
    return (*("avoid:self" if job == own else f"avoid:{job}" for job in here), *taken)


def busy(node: Node, shape: Shape) -> tuple[str, ...]:
    """What others hold of it that `shape` lacks; of GPUs also where free ones are of no use."""
    lacking = shape.resources.lacking(node.free)
    could = not gpu_mismatch(gpus_of(node), shape) and not other_gpu(node, shape)
    if "gpus" not in lacking and could and find_gpus(node, shape) is None:
        lacking += ("gpus",)
    return tuple(f"busy:{name}" for name in lacking)


def fits_now(node: Node, shape: Shape) -> bool:
    """Whether what `node` has free is enough, if nothing else speaks against it."""
    fits = shape.resources.fits(node.free) and find_gpus(node, shape) is not None
    return fits and not avoided(node, shape)


def once_ended(node: Node, attempts: Iterable[Attempt]) -> Node:
    """A copy of `node` with the places free again that these hold; only its books may be written in."""
    later = copy(node)
    for attempt in attempts:
        later.take_back(attempt.requested, attempt.gpus)
    return later


def find_gpus(node: Node, shape: Shape) -> tuple[str, ...] | None:
    """Which GPUs a task of `shape` would get now; None: there are not enough free that will do."""
    wanted = gpus_wanted(shape)
    if not wanted:
        return ()
    milli = shape.resources.gpu_milli or GPU_MILLI
    able = []
    for position, (gpu, kind) in enumerate(zip(node.offered_gpus, gpus_of(node), strict=True)):
        free = node.free_milli(gpu.uuid)
        if free >= milli and kind.suits(shape) and shape.gpu_uuid in ("", gpu.uuid):
            able.append((free, gpu.mem_mib, position, gpu.uuid))
    able.sort()
    return tuple([entry[3] for entry in able[:wanted]]) if len(able) >= wanted else None


def gpus_wanted(shape: Shape) -> int:
    """How many GPUs a task of `shape` sees: a share is of one."""
    return shape.resources.gpus + bool(shape.resources.gpu_milli)


class GpuKind(NamedTuple):
    """All that a request can ask of a GPU."""

    model: str
    mem_mib: int
    shareable: bool

    def suits(self, shape: Shape) -> bool:
        return (
            is_model(self.model, shape.gpu_types)
            and self.mem_mib >= shape.gpu_mem_mib
            and (self.shareable or not shape.resources.gpu_milli)
        )


def gpus_of(node: Node) -> tuple[GpuKind, ...]:
    """Of those that it offers, in their order."""
    return tuple([_kind_of(gpu) for gpu in node.offered_gpus])


def _kind_of(gpu: GpuInfo) -> GpuKind:
    return GpuKind(gpu.model, gpu.mem_mib, gpu.shareable)


@lru_cache(maxsize=4096)
def is_model(model: str, wanted: tuple[str, ...]) -> bool:
    """Whether one of `wanted` is in `model` as whole words: "a100" is in "NVIDIA A100-80GB", "a10" not."""
    found = f" {model_words(model)} "
    return not wanted or any(f" {model_words(each)} " in found for each in wanted)


def model_words(text: str) -> str:
    """The words of a GPU's model in lower case, parted by blanks; "" if there are none."""
    return " ".join(_WORD.findall(text.lower()))


def gpu_mismatch(gpus: tuple[GpuKind, ...], shape: Shape) -> str:
    """What keeps `shape` off these for ever: the first filter that leaves too few; "" if all leave enough."""
    wanted = gpus_wanted(shape)
    if not wanted or len(gpus) < wanted:
        return ""  # too few GPUs of any kind: the capacity says that
    typed = [gpu for gpu in gpus if is_model(gpu.model, shape.gpu_types)]
    if len(typed) < wanted:
        return "gpu_type"
    large = [gpu for gpu in typed if gpu.mem_mib >= shape.gpu_mem_mib]
    if len(large) < wanted:
        return "gpu_memory"
    return "" if sum(gpu.suits(shape) for gpu in large) >= wanted else "gpu_share"


def closed(node: Node) -> tuple[str, ...]:
    """What keeps every task off it now."""
    found: list[str] = []
    if node.health is NodeHealth.UNREACHABLE or node.overdue:
        found.append(f"health:{node.health}")
    if node.declined:
        found.append("declined")
    if node.admin is not NodeAdmin.ACTIVE:
        found.append(f"admin:{node.admin}")
    return tuple(found)


def mismatches(node: Node, shape: Shape) -> tuple[str, ...]:
    """What will not change by waiting for other tasks to end."""
    name = ("node",) if shape.nodes and node.name not in shape.nodes else ()
    left_out = (LEFT_OUT,) if node.name in shape.without else ()
    traits = traits_of(node).mismatches(shape)
    capacity = (
        f"capacity:{name}"
        for name in shape.resources.lacking(node.capacity)
        if name != "gpus" or QUARANTINED not in traits
    )
    named = other_gpu(node, shape)
    return (*name, *left_out, *([named] if named else ()), *traits, *capacity)


def other_gpu(node: Node, shape: Shape) -> str:
    """What keeps `shape` from the GPU that it names: that is elsewhere, or out; "" where it names none."""
    uuid = shape.gpu_uuid
    if not uuid or any(gpu.uuid == uuid for gpu in node.offered_gpus):
        return ""
    return NAMED_OUT if any(gpu.uuid == uuid for gpu in node.withheld_gpus) else NAMED


class Traits(NamedTuple):
    """What many nodes have in common."""

    kind: NodeKind
    labels: frozenset[tuple[str, str]]
    tools: tuple[str, ...]
    gpus: tuple[GpuKind, ...]
    features: frozenset[str] = frozenset()
    out: tuple[GpuKind, ...] = ()  # those of its GPUs that are quarantined

    def mismatches(self, shape: Shape) -> list[str]:
        """What keeps `shape` off all of them."""
        found = ["kind:control"] if self.kind is NodeKind.CONTROL else []
        found += (f"label:{label[0]}" for label in shape.labels if label not in self.labels)
        if shape.tool is not None and shape.tool not in self.tools:
            found.append(f"tool:{shape.tool}")
        found += (feature for feature in shape.features if feature not in self.features)
        gpus = QUARANTINED if self.lacks_only_quarantined(shape) else gpu_mismatch(self.gpus, shape)
        return [*found, gpus] if gpus else found

    def lacks_only_quarantined(self, shape: Shape) -> bool:
        """Whether there would be enough GPUs for it if none were quarantined."""
        if not self.out:
            return False
        wanted, left = gpus_wanted(shape), sum(gpu.suits(shape) for gpu in self.gpus)
        return left < wanted <= left + sum(gpu.suits(shape) for gpu in self.out)


LEFT_OUT = "left_out"
QUARANTINED = "gpu_quarantined"
NAMED, NAMED_OUT = "gpu_uuid", "gpu_uuid_quarantined"


def traits_of(node: Node) -> Traits:
    out = tuple([_kind_of(gpu) for gpu in node.withheld_gpus])
    return Traits(node.kind, frozenset(node.labels.items()), node.tools, gpus_of(node), node.features, out)


def never_fits(nodes: Iterable[Node], shape: Shape) -> str | None:
    """Why no registered node, up or down, could ever hold `shape`; None if one could, or there is none.

    Names the node that comes nearest: the one with the fewest mismatches. What a node can (a role, a
    capability) changes with its agent, and GPUs come back out of quarantine: for want of these alone nothing
    is refused.
    """
    nearest: tuple[int, str, tuple[str, ...]] | None = None
    models: set[str] = set()
    is_nowhere = True
    for node in nodes:
        passing = (*shape.features, QUARANTINED, NAMED_OUT)
        found = tuple(word for word in mismatches(node, shape) if word not in passing)
        if not found:
            return None
        is_nowhere &= NAMED in found
        models.update(gpu.model for gpu in gpus_of(node))
        candidate = (len(found), node.name, found)
        if nearest is None or candidate < nearest:
            nearest = candidate
    if nearest is None:
        return None
    if is_nowhere:
        return f"no node has the GPU {shape.gpu_uuid}; corral gpu ls shows those there are"
    there = f"; GPUs here: {', '.join(sorted(models))}" if shape.gpu_types and models else ""
    return f"no node could ever hold it; nearest is {nearest[1]}: {', '.join(nearest[2])}{there}"
