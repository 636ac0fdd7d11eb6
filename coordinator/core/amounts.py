"""Resources in words: what a task asks for, a node lacks, a flag would say."""

from __future__ import annotations

from collections.abc import Iterable

from bus.units import format_cpu_millis, format_gpu_millis, format_mbps, format_size_mib
from bus.values import Resources

RESOURCES = ("cpu_millis", "mem_mib", "gpus", "storage_mib", "net_mbps")
"""By their names in `bus.values.Resources`."""

NAMED = 4

_FLAGS = {
    "cpu_millis": "--cpu",
    "mem_mib": "--memory",
    "gpus": "--gpu",
    "storage_mib": "--storage",
    "net_mbps": "--net",
}


def amount_of(amounts: Resources, resource: str) -> int:
    """One of them; of GPUs all, in thousandths."""
    amount: int = amounts.gpu_millis if resource == "gpus" else getattr(amounts, resource)
    return amount


def describe(resource: str, amount: int) -> str:
    """An amount with its noun: "2 cores", "512 MiB of memory", "0.5 GPU"."""
    match resource:
        case "cpu_millis":
            return f"{format_cpu_millis(amount)} core{'' if amount == 1000 else 's'}"
        case "gpus":
            return f"{format_gpu_millis(amount)} GPU{'s' if amount > 1000 else ''}"
        case "net_mbps":
            return f"{format_mbps(amount)} of network"
        case "storage_mib":
            return f"{format_size_mib(amount)} of storage"
        case _:
            return f"{format_size_mib(amount)} of memory"


def flag(resource: str, amount: int) -> str:
    """The flag of `corral submit` that asks for `amount`."""
    match resource:
        case "cpu_millis":
            text = format_cpu_millis(amount)
        case "gpus":
            text = format_gpu_millis(amount)
        case "net_mbps":
            text = f"{amount}M"
        case _:
            text = f"{amount}Mi"
    return f"{_FLAGS[resource]} {text}"


def some_of(names: Iterable[str], *, most: int = NAMED) -> str:
    """The first of them, and how many more there are."""
    known = list(names)
    if len(known) > most:
        return f"{', '.join(known[:most])} and {len(known) - most} more"
    return ", ".join(known)
