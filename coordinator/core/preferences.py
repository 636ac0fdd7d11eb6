"""Placement preferences as people write them: "disk=ssd:5", "1041", "self:2"; see docs/jobs.md."""

from __future__ import annotations

import re
from collections.abc import Sequence

from bus.refusal import quote
from bus.spec import Constraints
from coordinator.core.effects import Fault
from coordinator.core.model import Cluster, Job
from coordinator.core.scheduler.wishes import OWN, Arrangement, Avoided, Preferred, Wishes

WEIGHT_MAX = 100
WISHES_MAX = 16

_LABEL = re.compile(r"([A-Za-z0-9_./-]{1,63})=([^\x00-\x1f\x7f]{0,255}?)(?::([0-9]{1,9}))?")
_JOB = re.compile(r"(self|[0-9]{1,15})(?::([0-9]{1,9}))?")


def parse_wishes(constraints: Constraints, faults: list[Fault]) -> Wishes | None:
    """What `constraints` would rather have; None: every feasible node is as good."""
    prefer = _prefer(constraints.prefer, faults)
    avoid = _avoid(constraints.avoid, faults)
    arrangement = Arrangement.ANY
    try:
        arrangement = Arrangement(constraints.placement)
    except ValueError:
        expected = "pack or spread"
        got = quote(constraints.placement)
        faults.append(Fault(code="E_VALUE", field="/constraints/placement", got=got, expected=expected))
    topology = constraints.topology
    if topology and not re.fullmatch(r"[A-Za-z0-9_./-]{1,63}", topology):
        expected = "a label's name: 1–63 of [A-Za-z0-9_./-]"
        faults.append(
            Fault(code="E_LABEL", field="/constraints/topology", got=quote(topology), expected=expected)
        )
    elif topology and not constraints.placement:
        hint = "placement: pack into few of its values, or spread over them"
        faults.append(
            Fault(
                code="E_FIELD", message="topology without placement", field="/constraints/topology", hint=hint
            )
        )
    wishes = Wishes(prefer=prefer, avoid=avoid, arrangement=arrangement, topology=topology)
    return None if wishes == Wishes() else wishes


def strangers(cluster: Cluster, job: Job) -> tuple[Fault, ...]:
    """Jobs to be avoided that are not there, or not one's own: told apart by nobody."""
    faults = []
    wishes = job.groups[0].shape.wishes
    for position, each in enumerate(wishes.avoid if wishes is not None else ()):
        other = cluster.jobs.get(each.job)
        if each.job != job.number and (other is None or other.owner != job.owner):
            faults.append(
                Fault(
                    code="E_NOT_FOUND",
                    message="no such job",
                    field=f"/constraints/avoid/{position}",
                    got=str(each.job),
                    expected="the number of a job of yours that is not over",
                    status=404,
                )
            )
    return tuple(faults)


def _prefer(texts: Sequence[str], faults: list[Fault]) -> tuple[Preferred, ...]:
    found = []
    if len(texts) > WISHES_MAX:
        faults.append(_too_many(len(texts), "/constraints/prefer"))
    for position, text in enumerate(texts[:WISHES_MAX]):
        field, expected = (
            f"/constraints/prefer/{position}",
            f"NAME=VALUE or NAME=VALUE:WEIGHT, 1 to {WEIGHT_MAX}",
        )
        match = _LABEL.fullmatch(text)
        weight = int(match[3] or 1) if match is not None else 0
        if match is None or not 1 <= weight <= WEIGHT_MAX:
            faults.append(Fault(code="E_CONSTRAINT", field=field, got=quote(text), expected=expected))
        else:
            found.append(Preferred(match[1], match[2], weight))
    return tuple(found)


def _avoid(jobs: Sequence[int | str], faults: list[Fault]) -> tuple[Avoided, ...]:
    found = []
    if len(jobs) > WISHES_MAX:
        faults.append(_too_many(len(jobs), "/constraints/avoid"))
    for position, job in enumerate(jobs[:WISHES_MAX]):
        field = f"/constraints/avoid/{position}"
        expected = f"a job's number or self, or either with :WEIGHT, 1 to {WEIGHT_MAX}"
        match = _JOB.fullmatch(str(job))
        weight = int(match[2]) if match is not None and match[2] else None
        number = OWN if match is None or match[1] == "self" else int(match[1])
        if (
            match is None
            or (match[1] != "self" and not number)
            or weight not in (None, *range(1, WEIGHT_MAX + 1))
        ):
            faults.append(Fault(code="E_CONSTRAINT", field=field, got=quote(job), expected=expected))
        else:
            found.append(Avoided(number, weight))
    return tuple(found)


def _too_many(number: int, field: str) -> Fault:
    return Fault(code="E_TOO_MANY", field=field, got=str(number), expected=f"at most {WISHES_MAX}")
