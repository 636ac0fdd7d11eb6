"""How the checkpoints of a group of tasks are kept: part of its settings (`bus.values`). Pure."""

from __future__ import annotations

from msgspec import Struct


class Checkpointing(Struct, frozen=True, kw_only=True):
    """What a task saves below CORRAL_CHECKPOINT_DIR (or `folder` in it): the newest `keep` stay, and the best
    by `keep_best` ("loss:min"), each with `replicas` copies beyond the first; of those that it does not tell
    of, at most one in `interval_s`."""

    folder: str = ""
    keep: int = 3
    replicas: int = 1
    interval_s: float | None = None
    keep_best: str = ""
