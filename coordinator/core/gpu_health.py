"""GPUs that are given to nobody: one at a time, beside a node that goes on working with the others.

An agent tells with each heartbeat what is wrong with its GPUs; `bus.gpus.RULES` says what follows from it. A
quarantine is part of its node's row, so that it outlives every restart. It ends by a release, or by its rule:
what heals does so once its agent no longer tells of it. An agent that says nothing heals nothing.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from msgspec.structs import replace

from bus.gpus import MANUAL, GpuFault, Quarantine, rule_of
from bus.units import counted, format_size_mib
from bus.values import GPU_MILLI, AttemptRef, AttemptState, Usage, UserName
from coordinator.core.changes import node_event, node_row
from coordinator.core.drains import no_node
from coordinator.core.effects import AnswerGpu, AuditRow, Effect, Fault, Refuse
from coordinator.core.events import GpuAsked
from coordinator.core.model import Cluster, Node
from coordinator.core.placing import retract
from coordinator.core.yielding import yield_attempts

_SHARE_SLACK = 1.05
"""What a driver keeps for a program counts as the program's: a little more is no fault."""

FORGIVEN_MAX = 32
"""Marks that are kept of one GPU; an agent tells of no more at once."""


def check_gpus(
    out: list[Effect], cluster: Cluster, node: Node, told: tuple[GpuFault, ...], *, now_s: float
) -> None:
    """What the agent of `node` says of its GPUs now."""
    if not told and not node.gpu_faults and not node.quarantines:
        return
    known = {gpu.uuid for gpu in node.inventory.gpus} | node.quarantines.keys()
    node.gpu_faults = tuple([fault for fault in told if fault.uuid in known])
    faults: dict[str, list[GpuFault]] = defaultdict(list)
    for fault in node.gpu_faults:
        faults[fault.uuid].append(fault)
    for uuid in [uuid for uuid in node.quarantines if uuid not in faults] + list(faults):
        _judge(out, cluster, node, uuid, faults[uuid], now_s=now_s)


def _judge(
    out: list[Effect], cluster: Cluster, node: Node, uuid: str, told: list[GpuFault], *, now_s: float
) -> None:
    """One GPU: whether it goes, comes back, or is out for a heavier reason than before."""
    before = node.quarantines.get(uuid)
    forgiven = () if before is None else before.forgiven
    standing = [fault for fault in told if fault.mark not in forgiven]
    worst = max(standing, key=lambda fault: (rule_of(fault.kind).weight, fault.mark), default=None)
    if before is None or not before.holds:
        if worst is not None:
            _take_out(out, cluster, node, worst, now_s=now_s)
        return
    over = rule_of(before.kind).heals and all(fault.kind != before.kind for fault in told)
    if worst is not None and (over or rule_of(worst.kind).weight > rule_of(before.kind).weight):
        _take_out(out, cluster, node, worst, now_s=now_s)
    elif over:
        _give_back(out, cluster, node, before, by=None, reason="", now_s=now_s)


def _take_out(out: list[Effect], cluster: Cluster, node: Node, fault: GpuFault, *, now_s: float) -> None:
    forgiven = node.quarantines[fault.uuid].forgiven if fault.uuid in node.quarantines else ()
    _keep(
        out,
        cluster,
        node,
        Quarantine(uuid=fault.uuid, kind=fault.kind, reason=fault.reason, at=now_s, forgiven=forgiven),
    )
    _empty(out, cluster, node, fault.uuid, kind=fault.kind, reason=fault.reason, by=None, now_s=now_s)


def _keep(out: list[Effect], cluster: Cluster, node: Node, quarantine: Quarantine) -> None:
    """The node's row has it from now on, and everybody who places."""
    node.quarantines = node.quarantines | {quarantine.uuid: quarantine}
    node.count_gpus()
    cluster.dirty = True
    cluster.sizes.clear()
    out.append(node_row(node, registered=True))


def _empty(
    out: list[Effect],
    cluster: Cluster,
    node: Node,
    uuid: str,
    *,
    kind: str,
    reason: str,
    by: UserName | None,
    now_s: float,
) -> None:
    """Nothing more starts on it; what runs is queued again where the rule says so."""
    having = [attempt for attempt in node.attempts.values() if uuid in attempt.gpus]
    name = label(node, uuid)
    if rule_of(kind).ends:
        ending = yield_attempts(out, cluster, having, reason=f"{name} is quarantined: {reason}")
    else:
        ending = [attempt for attempt in having if attempt.state is AttemptState.ASSIGNED]
        retract(out, ending)
    who = f" by {by}" if by else ""
    moved = f"; {counted(len(ending), 'task')} queued again" if ending else ""
    said = f": {reason}" if reason else ""
    text = f"{name} is quarantined{who}{said}{moved}; {release_command(node, uuid)} brings it back"
    severity = "info" if by else "error"
    details = {"gpu": uuid, "kind": kind, "reason": reason, "tasks": [str(each.ref.task) for each in ending]}
    out.append(node_event(node, "gpu_quarantined", severity, text, now_s=now_s, user=by, details=details))


def _give_back(
    out: list[Effect],
    cluster: Cluster,
    node: Node,
    quarantine: Quarantine,
    *,
    by: UserName | None,
    reason: str,
    now_s: float,
) -> None:
    told = tuple([fault.mark for fault in node.gpu_faults if fault.uuid == quarantine.uuid])
    forgiven = tuple(dict.fromkeys(quarantine.forgiven + told))[-FORGIVEN_MAX:]
    over = replace(quarantine, released_at=now_s, released_by=by or "", forgiven=forgiven)
    _keep(out, cluster, node, over)
    name, said = label(node, quarantine.uuid), f": {reason}" if reason else ""
    text = f"{name} is released by {by}{said}" if by else f"{name} is given out again: its fault has gone"
    details: dict[str, Any] = {"gpu": quarantine.uuid, "kind": quarantine.kind}
    out.append(node_event(node, "gpu_released", "info", text, now_s=now_s, user=by, details=details))


def watch_shares(
    out: list[Effect], node: Node, used: Iterable[tuple[AttemptRef, Usage]], *, now_s: float
) -> None:
    """Who uses more of a GPU's memory than its part of it is told of, once until it is less again."""
    sizes = {gpu.uuid: gpu.mem_mib for gpu in node.inventory.gpus}
    over = set()
    for ref, usage in used:
        attempt = node.attempts.get(ref)
        if attempt is None or not attempt.requested.gpu_milli:
            continue
        part_mib = sum(sizes.get(uuid, 0) for uuid in attempt.gpus) * attempt.requested.gpu_milli // GPU_MILLI
        if part_mib and usage.gpu_mem_mib > part_mib * _SHARE_SLACK:
            over.add(ref)
            if ref not in node.over_share:
                said = f"{format_size_mib(round(usage.gpu_mem_mib))} of {label(node, attempt.gpus[0])}"
                text = f"task {ref.task} uses {said}; its part is {format_size_mib(part_mib)}"
                details = {"task": str(ref.task), "gpu": attempt.gpus[0], "part_mib": part_mib}
                out.append(
                    node_event(node, "gpu_share_exceeded", "warning", text, now_s=now_s, details=details)
                )
    node.over_share = frozenset(over)


def on_gpu_asked(out: list[Effect], cluster: Cluster, event: GpuAsked, *, now_s: float) -> None:
    """Somebody takes a GPU out or releases it; asked for twice, the second time changes nothing."""
    node = cluster.nodes.get(event.node)
    if node is None:
        out.append(Refuse(reply=event.reply, faults=(no_node(cluster, event.node),)))
        return
    uuid = find_gpu(node, event.gpu)
    fault = _no_gpu(node, event.gpu) if uuid is None else None if event.quarantined else _lasts(node, uuid)
    if uuid is None or fault is not None:
        assert fault is not None, "an unknown GPU is a fault"
        out.append(Refuse(reply=event.reply, faults=(fault,)))
        return
    before = node.quarantines.get(uuid)
    holds = before is not None and before.holds
    if event.quarantined and not holds:
        forgiven = () if before is None else before.forgiven
        taken = Quarantine(
            uuid=uuid, kind=MANUAL, reason=event.reason, at=now_s, by=event.by, forgiven=forgiven
        )
        _keep(out, cluster, node, taken)
        _empty(out, cluster, node, uuid, kind=MANUAL, reason=event.reason, by=event.by, now_s=now_s)
    elif before is not None and holds and not event.quarantined:
        _give_back(out, cluster, node, before, by=event.by, reason=event.reason, now_s=now_s)
    if holds != event.quarantined:
        action = "gpu.quarantine" if event.quarantined else "gpu.release"
        details = {"gpu": uuid, "reason": event.reason}
        out.append(AuditRow(at=now_s, actor=event.by, action=action, object=node.name, details=details))
    out.append(AnswerGpu(reply=event.reply, node=node, uuid=uuid))


def _lasts(node: Node, uuid: str) -> Fault | None:
    """Why it cannot be released yet: its agent sees at this moment what would take it out again."""
    held = node.quarantines.get(uuid)
    for fault in node.gpu_faults:
        if held is not None and held.holds and fault.uuid == uuid and rule_of(fault.kind).lasting:
            return Fault(
                code="E_QUARANTINED",
                message=f"{label(node, uuid)} is still so: {fault.reason}",
                field="/gpu",
                hint="mend it first: its agent looks at it all the time",
                status=409,
            )
    return None


def find_gpu(node: Node, text: str) -> str | None:
    """The UUID of the GPU that `text` names on `node`, by place or UUID."""
    gpus = node.inventory.gpus
    if text.isascii() and text.isdecimal():
        return gpus[int(text)].uuid if len(text) < 4 and int(text) < len(gpus) else None
    return text if text in node.quarantines or any(gpu.uuid == text for gpu in gpus) else None


def _no_gpu(node: Node, text: str) -> Fault:
    most = len(node.inventory.gpus) - 1
    there = f"0–{most}, or the UUID" if most >= 0 else "none: it has no GPU"
    return Fault(
        code="E_NOT_FOUND",
        message=f"node {node.name} has no such GPU",
        field="/gpu",
        got=text[:80],
        expected=there,
        hint=f"corral gpu ls {node.name}",
        status=404,
    )


def label(node: Node, uuid: str) -> str:
    """A GPU for people: "GPU 1 of n3"; by its UUID where its agent does not find it any more."""
    return f"GPU {_place(node, uuid)} of {node.name}"


def release_command(node: Node, uuid: str) -> str:
    return f"corral gpu release {node.name} {_place(node, uuid)}"


def _place(node: Node, uuid: str) -> str:
    return next((str(n) for n, gpu in enumerate(node.inventory.gpus) if gpu.uuid == uuid), uuid)
