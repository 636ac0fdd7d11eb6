"""The learner as bytes and back, bit for bit: JSON, in which numbers are written so that they read the same.

What is learned is data, never code. Tables are JSON, arrays npz without objects; a pickle, in whatever
wrapping, is refused by name.
"""

from __future__ import annotations

import hashlib
import io
import pickletools
import zipfile
from collections import deque
from typing import Any, get_args, get_type_hints

import msgspec
import numpy as np
from msgspec import Struct, field
from numpy.typing import NDArray

from coordinator.core.scheduler import after_state, arrays, places
from coordinator.core.scheduler.foretold import Record
from coordinator.core.scheduler.learner import Learner
from coordinator.core.scheduler.node_features import NAMES
from coordinator.core.scheduler.places import Explained, Wanted
from coordinator.core.scheduler.planner import RECENT, Asked
from coordinator.core.scheduler.predict import Predictor
from coordinator.core.scheduler.qlearning import QTable

SCHEMA = "corral-learner-1"
"""Grows with every change of what the numbers mean."""

_PICKLE = b"\x80"
"""How pickles of the newer protocols begin; the older ones have no mark, but read to their end as one."""


class Unreadable(Exception):
    """Not what this version writes; the text says what it is. `code`: of the catalogue."""

    def __init__(self, message: str, *, code: str = "E_LEARNED") -> None:
        self.code = code
        super().__init__(message)


class _Kept(Struct, kw_only=True, forbid_unknown_fields=True):
    """`predictor`: tables as pairs of key and value, in the order in which they were learned."""

    schema: str
    sequence: int
    decisions: int
    predictor: dict[str, Any]
    recent: list[Asked]
    rewards: list[float]
    reward_total: float
    table: QTable
    weights: bytes
    requests: list[Wanted] = []
    explained: bytes = b""
    usual: list[float] = []
    forecasts: Record = field(default_factory=Record)


def dump(learner: Learner) -> bytes:
    """All that is learned, as one JSON object."""
    tables = {
        name: list(value.items()) if isinstance(value, dict) else value
        for name, value in ((name, getattr(learner.predictor, name)) for name in Predictor.__struct_fields__)
    }
    explained = learner.explained
    return msgspec.json.encode(
        _Kept(
            schema=SCHEMA,
            sequence=learner.sequence,
            decisions=learner.decisions,
            predictor=tables,
            recent=list(learner.recent),
            rewards=list(learner.rewards),
            reward_total=learner.reward_total,
            table=learner.table,
            weights=learner.weights,
            requests=list(learner.requests),
            explained=b"" if explained is None else explained.learner.dump(),
            usual=[] if explained is None or explained.usual is None else explained.usual.tolist(),
            forecasts=learner.forecasts,
        )
    )


def load(data: bytes) -> Learner:
    """What `dump` wrote. Raises Unreadable for anything else."""
    check_no_pickle(data)
    try:
        kept = msgspec.json.decode(data, type=_Kept)
        if kept.schema != SCHEMA:
            raise Unreadable(f"schema {kept.schema[:40]!r}, and this version reads {SCHEMA!r}")
        predictor = _predictor(kept.predictor)
    except msgspec.DecodeError as error:
        raise Unreadable(f"not a learner's JSON: {error}") from error
    learner = Learner()
    learner.sequence, learner.decisions, learner.predictor = kept.sequence, kept.decisions, predictor
    learner.recent = deque(kept.recent, maxlen=RECENT)
    learner.rewards.extend(kept.rewards)
    learner.reward_total = kept.reward_total
    learner.table, learner.weights = kept.table, kept.weights
    learner.requests.extend(kept.requests)
    learner.explained = _explained(kept)
    learner.forecasts = kept.forecasts
    return learner


def _explained(kept: _Kept) -> Explained | None:
    """Raises Unreadable, for weights too."""
    try:
        if kept.weights:
            places.read(kept.weights)
        if not kept.explained:
            return None
        learner = after_state.Learner.load(kept.explained)
    except ValueError as error:
        raise Unreadable(str(error)) from error
    if len(kept.usual) not in (0, len(NAMES) + 1):
        raise Unreadable(f"{len(kept.usual)} numbers of what is usual, not {len(NAMES) + 1}")
    return Explained(learner, np.array(kept.usual) if kept.usual else None)


def digest(learner: Learner) -> str:
    """SHA-256 of all that is learned: equal before a restart and after it."""
    return hashlib.sha256(dump(learner)).hexdigest()


def unpack(data: bytes) -> dict[str, NDArray[np.float64]]:
    """What `arrays.pack` wrote of numbers. Raises Unreadable."""
    check_no_pickle(data)
    try:
        return {name: array.astype(np.float64, casting="safe") for name, array in arrays.unpack(data).items()}
    except (ValueError, TypeError) as error:
        raise Unreadable(f"not an npz of numbers: {error}") from error


def check_no_pickle(data: bytes) -> None:
    """Raises Unreadable. Looked at as bytes: reading a pickle is running it."""
    inside = data.startswith(b"PK") and any(
        name.endswith((".pkl", ".pickle")) or _is_object_array(data, name) for name in _members(data)
    )
    if inside or data.startswith(_PICKLE) or _reads_as_pickle(data):
        raise Unreadable("a pickle is a program, and is never read", code="E_PICKLE")


def _reads_as_pickle(data: bytes) -> bool:
    """Taken apart, not run."""
    if not data.endswith(b"."):
        return False
    try:
        return [at for _, _, at in pickletools.genops(data)][-1] == len(data) - 1
    except (ValueError, IndexError):
        return False


def _members(data: bytes) -> list[str]:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            return archive.namelist()
    except zipfile.BadZipFile as error:
        raise Unreadable(f"not a whole archive: {error}") from error


def _is_object_array(data: bytes, name: str) -> bool:
    """Whether a member of an npz holds objects, which are pickled within."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive, archive.open(name) as member:
        return b"'descr': '|O'" in member.read(256)


def _predictor(tables: dict[str, Any]) -> Predictor:
    hints = get_type_hints(Predictor)
    unknown = tables.keys() ^ hints.keys()
    if unknown:
        raise Unreadable(f"a predictor with other fields: {', '.join(sorted(unknown))}")
    found: dict[str, Any] = {}
    for name, value in tables.items():
        if msgspec.json.encode(value)[:1] == b"[":
            key, entry = get_args(hints[name])
            found[name] = dict(msgspec.convert(value, list[tuple[key, entry]]))  # type: ignore[valid-type]
        else:
            found[name] = msgspec.convert(value, hints[name])
    return Predictor(**found)
