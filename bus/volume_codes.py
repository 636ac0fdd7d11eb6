"""The codes of pools and volumes. Part of `bus.codes`."""

from __future__ import annotations

from bus.code import Code

VOLUME_CODES: dict[str, Code] = {
    "E_SEALED": Code(
        "not what was sealed",
        "A sealed file was changed, cut off, belongs to another volume, or the node has another key. Nothing"
        " of it is used.",
        "restore a snapshot, or start from a node that holds a replica: corral volume show NAME",
        409,
        6,
    ),
    "E_UNSUPPORTED": Code(
        "nothing here can do that",
        "It has a name, and no driver or part of this cluster does it: refused rather than ignored.",
        "docs/guides/volumes.md says what there is, and how a driver is registered",
    ),
    "E_VOLUME_IN_USE": Code(
        "the volume is in use",
        "A task has it open, so that it cannot be copied, replaced or removed as a whole now.",
        "corral volume show NAME names the tasks; try again when they have ended",
        409,
        6,
    ),
    "E_POOL_FULL": Code(
        "the pool has no room for that",
        "On no node of the pool, or on too few, is so much of its size left.",
        "corral pool show NAME says what is left; remove volumes, or make a larger pool",
        409,
        6,
    ),
    "E_ACCESS_MODE": Code(
        "the volume is not for writing",
        "A volume of mode ReadOnlyMany is read only; it is filled when it is made (--from).",
        "take it as NAME:PATH:ro",
    ),
}
