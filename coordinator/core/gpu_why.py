"""Why GPUs keep tasks off nodes: other ones are asked for, or they are in quarantine; and what would help."""

from __future__ import annotations

from bus.units import counted, format_size_mib
from coordinator.core.amounts import some_of
from coordinator.core.gpu_health import label, release_command
from coordinator.core.model import Cluster, Node, Shape
from coordinator.core.scheduler.feasible import is_model


def gpus_short(shape: Shape, code: str, nodes: list[Node], some: str) -> tuple[str, str]:
    """Enough GPUs, and not such ones."""
    verb = "have" if len(nodes) > 1 else "has"
    there = [gpu for node in nodes for gpu in node.offered_gpus]
    if code == "gpu_type":
        models = some_of(sorted({gpu.model for gpu in there}))
        message = f"{some} {verb} too few GPUs of type {' or '.join(shape.gpu_types)}"
        return message, f"ask for one of those that are there: {models}"
    if code == "gpu_memory":
        most = max(gpu.mem_mib for gpu in there if is_model(gpu.model, shape.gpu_types))
        message = f"{some} {verb} too few such GPUs with {format_size_mib(shape.gpu_mem_mib)}"
        return message, f"--gpu-memory {most}Mi or less"
    return f"{some} cannot share a GPU", "with --gpu 1; or when its agent is of a newer version"


def elsewhere(cluster: Cluster, shape: Shape, nodes: list[Node], some: str) -> tuple[str, str]:
    """The GPU that it names is on another node, or on none."""
    if len(nodes) < len(cluster.nodes):
        do = "do" if len(nodes) > 1 else "does"
        return f"{some} {do} not have the GPU that it names", "submit without --gpu-uuid"
    there = [node for node in nodes if any(gpu.uuid == shape.gpu_uuid for gpu in node.inventory.gpus)]
    if there:
        name = label(there[0], shape.gpu_uuid)
        return f"{name}, which it names, is not offered to tasks", f"corral gpu ls {there[0].name}"
    return (
        f"no node has the GPU {shape.gpu_uuid}, which it names",
        "when it is found again; or without --gpu-uuid",
    )


def quarantined(nodes: list[Node], some: str) -> tuple[str, str]:
    """GPUs that would be enough, if they were given out."""
    out = [(node, node.quarantines[gpu.uuid]) for node in nodes for gpu in node.withheld_gpus]
    node, first = out[0]
    verb = "have" if len(nodes) > 1 else "has"
    message = f"{some} {verb} {counted(len(out), 'GPU')} in quarantine: {first.reason or first.kind}"
    return message, release_command(node, first.uuid)
