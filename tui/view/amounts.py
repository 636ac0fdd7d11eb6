"""Amounts as people read them: durations, sizes, cores, counts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bus.units import format_cpu_millis, format_gpu_millis, format_size_mib
from bus.values import GPU_MILLI, GpuInfo, Resources

NONE = "–"


def duration(seconds: float | None) -> str:
    """Two figures at most: "0.4s", "12s", "3m05s", "2h10m", "4d3h"."""
    if seconds is None:
        return NONE
    if seconds < 0:
        seconds = 0.0
    if seconds < 9.95:
        return f"{seconds:.1f}s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02d}s"
    if whole < 86400:
        return f"{whole // 3600}h{whole % 3600 // 60:02d}m"
    return f"{whole // 86400}d{whole % 86400 // 3600}h"


def age(seconds: float | None) -> str:
    """What still grows, in steps an eye can rest on: "12s", then "3m", "2h10m", "4d3h"."""
    if seconds is None:
        return NONE
    whole = max(0, int(seconds))
    if whole < 60:
        return f"{whole}s"
    return f"{whole // 60}m" if whole < 3600 else duration(whole)


def mebibytes(mib: float) -> str:
    """ "512M", "4.0G", "1.5T"."""
    if mib < 1024:
        return f"{mib:.0f}M"
    if mib < 1024 * 1024:
        return f"{mib / 1024:.1f}G"
    return f"{mib / 1024 / 1024:.1f}T"


def count(number: int) -> str:
    """ "999", "14.2k", "1.0M": six characters at most."""
    if number < 10_000:
        return str(number)
    if number < 999_950:
        return f"{number / 1000:.1f}k"
    return f"{number / 1_000_000:.1f}M"


def gpus(resources: Resources) -> str:
    """How many GPUs, or what part of one; a dash for none."""
    return format_gpu_millis(resources.gpu_millis) if resources.gpu_millis else NONE


def gpu_text(gpu: GpuInfo, taken: Mapping[str, int], *, quarantined: bool = False) -> str:
    """Its model and memory, and how much of it tasks have: "Tesla T4, 16 GiB, 0.75 taken"."""
    text = f"{gpu.model}, {format_size_mib(gpu.mem_mib)}"
    part = taken.get(gpu.uuid, 0)
    if part:
        text += ", taken" if part == GPU_MILLI else f", {format_gpu_millis(part)} taken"
    if quarantined:
        return f"{text}, quarantined"
    return text if gpu.healthy else f"{text}, ill"


def share(used: Resources, total: Resources) -> tuple[str, str, str]:
    """What is used of a node or the cluster, as "used/total": cores, memory, GPUs."""
    return (
        f"{format_cpu_millis(used.cpu_millis)}/{format_cpu_millis(total.cpu_millis)}",
        f"{mebibytes(used.mem_mib)}/{mebibytes(total.mem_mib)}",
        f"{format_gpu_millis(used.gpu_millis)}/{total.gpus}" if total.gpus else NONE,
    )


def first_of(names: Sequence[str], most: int, *, of: int = 0) -> str:
    """ "n1, n2 and 5 more": `most` of them. `of`: how many there are, where `names` are only some."""
    more = max(of, len(names)) - min(most, len(names))
    return ", ".join(names[:most]) + (f" and {more:,} more" if more else "")
