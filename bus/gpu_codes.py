"""The error codes about GPUs: what `bus.codes.CODES` has of them."""

from __future__ import annotations

from bus.code import Code

GPU_CODES: dict[str, Code] = {
    "E_QUARANTINED": Code(
        "a GPU in quarantine",
        "The GPU is given to nobody: its agent saw a fault, or somebody took it out.",
        "corral gpu ls says why; corral gpu release NODE INDEX gives it out again, once the fault is mended",
        409,
        75,
    ),
}
