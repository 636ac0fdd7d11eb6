"""Which entries of a task's CORRAL_CHECKPOINT_DIR are checkpoints now. Pure.

A task tells of one by a line, or renames it to its name. While it is written, its name begins with a dot or
ends in .tmp or .part: such names are not looked at. An entry under any other name is a checkpoint once two
looks in a row find it unchanged, or one after the task has ended. Its step is the last number in its name.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from msgspec import Struct, field

from agent.core.notes import Save

_UNFINISHED = (".tmp", ".part")
_NUMBERS = re.compile(r"[0-9]+")
_STEP_DIGITS_MAX = 15


class Saving(Struct, kw_only=True):
    """What is known of one attempt. A stamp is of an entry with all that it holds: equal while nothing
    changes.

    `done`: what was taken, refused, put there by us, or left out as others came within the interval.
    """

    folder: str = ""
    interval_s: float | None = None
    done: dict[str, str] = field(default_factory=dict)
    told: dict[str, Save] = field(default_factory=dict)
    before: dict[str, str] = field(default_factory=dict)
    taken_at_s: float | None = None
    place: int = 0  # up to where its notes were read


class Wanted(Struct, frozen=True, kw_only=True):
    """To be taken now. `fault`: why it cannot be."""

    path: str
    stamp: str
    step: int = 0
    shard: bool = False
    metrics: dict[str, float] | None = None
    fault: str = ""


def is_watched(name: str) -> bool:
    """Whether an entry of this name can be a checkpoint without being told."""
    return not name.startswith(".") and not name.endswith(_UNFINISHED)


def step_of(path: str) -> int | None:
    """The last number in the last part of a path; None: there is none, or it is no step."""
    found = _NUMBERS.findall(path.rpartition("/")[2])
    return int(found[-1]) if found and len(found[-1]) <= _STEP_DIGITS_MAX else None


def due(saving: Saving, entries: Mapping[str, str], *, now_s: float, over: bool) -> list[Wanted]:
    """What to take, in the order of steps. `entries`: stamps by path, of what is watched and what was told.

    `over`: the task has ended, and nobody writes any more.
    """
    told = [_told(save, entries.get(path, "")) for path, save in saving.told.items()]
    found = [
        _found(path, stamp)
        for path, stamp in entries.items()
        if path not in saving.told
        and saving.done.get(path) != stamp
        and (over or saving.before.get(path) == stamp)
        and not any(one.startswith(path + "/") for one in saving.told)
    ]
    saving.before = dict(entries)
    found.sort(key=_order)
    faults = [one for one in found if one.fault]
    found = [one for one in found if not one.fault]
    if saving.interval_s is not None and found and not over:
        if saving.taken_at_s is not None and now_s - saving.taken_at_s < saving.interval_s:
            found = []
        else:
            saving.done |= {one.path: one.stamp for one in found[:-1]}
            found = found[-1:]
    return sorted(told + faults + found, key=_order)


def settle(saving: Saving, wanted: Wanted, *, now_s: float) -> None:
    """It was taken or refused: not again, unless it changes."""
    saving.done[wanted.path] = wanted.stamp
    saving.told.pop(wanted.path, None)
    saving.taken_at_s = now_s


def _order(one: Wanted) -> tuple[int, str]:
    return one.step, one.path


def _told(save: Save, stamp: str) -> Wanted:
    step = step_of(save.path) if save.step is None else save.step
    if not stamp:
        return Wanted(path=save.path, stamp=stamp, fault=_MISSING)
    if step is None:
        return Wanted(path=save.path, stamp=stamp, fault=_NO_STEP)
    return Wanted(path=save.path, stamp=stamp, step=step, shard=save.shard, metrics=save.metrics or None)


def _found(path: str, stamp: str) -> Wanted:
    step = step_of(path)
    return (
        Wanted(path=path, stamp=stamp, fault=_NO_STEP)
        if step is None
        else Wanted(path=path, stamp=stamp, step=step)
    )


_MISSING = "told, and no such file or folder is in CORRAL_CHECKPOINT_DIR"
_NO_STEP = "no step: tell it, or put it into the name, as in step-1200"
