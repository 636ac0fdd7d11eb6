"""What a job may say of its checkpoints: how many are kept, with how many copies, found how often. Pure.

{"checkpoint": {}}                       what tasks save is kept: the newest 3, with one copy each
{"checkpoint": {"keep": 2, "keep_best": "loss:min", "replicas": 2, "interval": "10m", "dir": "version_0"}}
"""

from __future__ import annotations

from bus.checkpointing import Checkpointing
from bus.refusal import quote
from bus.spec import CheckpointSpec
from bus.units import UnitError, parse_duration_s
from coordinator.core.checks import REPLICAS_MAX, check_range
from coordinator.core.effects import Fault

KEEP_MAX = 1000
INTERVAL_MIN_S, INTERVAL_MAX_S = 1.0, 7 * 24 * 3600.0
_DIR_MAX = 200
METRIC_MAX = 200


def checkpointing_of(spec: CheckpointSpec | None, faults: list[Fault]) -> Checkpointing | None:
    """What the job asks for, or None; every fault is appended."""
    if spec is None:
        return None
    check_range(spec.keep, 1, KEEP_MAX, field="/checkpoint/keep", faults=faults)
    check_range(spec.replicas, 0, REPLICAS_MAX, field="/checkpoint/replicas", faults=faults)
    _check_best(spec.keep_best, faults)
    _check_dir(spec.dir, faults)
    return Checkpointing(
        folder=spec.dir,
        keep=spec.keep,
        keep_best=spec.keep_best,
        replicas=spec.replicas,
        interval_s=None if spec.interval is None else _interval_s(spec.interval, faults),
    )


def _check_best(wanted: str, faults: list[Fault]) -> None:
    metric, _, way = wanted.rpartition(":")
    is_sound = metric and metric.isprintable() and len(metric) <= METRIC_MAX and way in ("min", "max")
    if wanted and not is_sound:
        expected = f"METRIC:min or METRIC:max, the metric of up to {METRIC_MAX} characters: loss:min"
        faults.append(
            Fault(code="E_VALUE", field="/checkpoint/keep_best", got=quote(wanted), expected=expected)
        )


def _check_dir(name: str, faults: list[Fault]) -> None:
    parts = name.split("/") if name else []
    odd = any(part in ("", ".", "..") or not part.isprintable() for part in parts)
    if odd or len(name) > _DIR_MAX:
        expected = "a relative path below CORRAL_CHECKPOINT_DIR, without .."
        faults.append(Fault(code="E_PATH", field="/checkpoint/dir", got=quote(name), expected=expected))


def _interval_s(asked: float | str, faults: list[Fault]) -> float:
    field = "/checkpoint/interval"
    try:
        found = parse_duration_s(asked)
    except UnitError as error:
        code = error.code if isinstance(asked, str) else "E_RANGE"
        faults.append(Fault(code=code, field=field, got=quote(error.got), expected=error.expected))
        return INTERVAL_MIN_S
    if not INTERVAL_MIN_S <= found <= INTERVAL_MAX_S:
        faults.append(Fault(code="E_RANGE", field=field, got=quote(asked), expected="1 s to 7 days"))
    return found
