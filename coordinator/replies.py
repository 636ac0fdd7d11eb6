"""What is said after a commit, as messages: the core's answers and commands in the words of the bus.

Pure. Who sends them, where to, and what becomes of them is the concern of `coordinator.tell`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import assert_never
from uuid import UUID

from msgspec import Struct

from bus import api, messages
from bus.errors import Error
from bus.refusal import refusal
from coordinator.core.effects import (
    AnswerBeat,
    AnswerCancel,
    AnswerChanged,
    AnswerGpu,
    AnswerNode,
    AnswerRegister,
    AnswerReport,
    AnswerSubmit,
    Fault,
    Placement,
    Refuse,
    SendCancel,
    SendPause,
    SendRetract,
    SendStart,
)
from coordinator.core.model import Limits
from coordinator.shown import gpu_shown, node_shown

_ASSIGN_BYTES_MAX = 512 * 1024
_ITEM_BYTES = 128

Answer = (
    AnswerBeat
    | AnswerCancel
    | AnswerChanged
    | AnswerGpu
    | AnswerNode
    | AnswerRegister
    | AnswerReport
    | AnswerSubmit
    | Refuse
)
"""Tells that answer somebody; the others command nodes."""


def answer_of(tell: Answer, *, epoch: int, limits: Limits) -> Struct:
    """The message that answers whoever asked."""
    match tell:
        case AnswerReport():
            return messages.ReportReply(acknowledged=tell.sequence, epoch=epoch, drop=tell.drop)
        case AnswerBeat():
            return messages.HeartbeatReply(
                sequence=tell.sequence, epoch=epoch, drop=tell.drop, register_again=tell.register_again
            )
        case AnswerSubmit():
            return api.Submitted(
                number=tell.number,
                id=str(tell.id),
                tasks=tell.tasks,
                duplicate=tell.duplicate,
                note=tell.note,
            )
        case AnswerCancel():
            return api.Cancelled(tasks=tell.tasks, audit=tell.audit)
        case AnswerChanged():
            return api.Changed(tasks=tell.tasks, hint=tell.hint, audit=tell.audit)
        case AnswerNode():
            shown = node_shown(tell.node, now_s=tell.at)
            shown.audit = tell.audit
            return shown
        case AnswerGpu():
            found = gpu_shown(tell.node, tell.uuid)
            found.audit = tell.audit
            return found
        case AnswerRegister():
            return messages.RegisterReply(
                epoch=epoch,
                heartbeat_interval_s=limits.heartbeat_interval_s,
                usage_interval_s=limits.usage_interval_s,
                lease_s=limits.lease_s,
                term_after_s=limits.term_after_s,
                kill_after_s=limits.kill_after_s,
                drop=tell.drop,
                network=tell.network,
            )
        case Refuse():
            return fault_error(tell.faults)
        case _:
            assert_never(tell)


def command_of(tell: SendCancel | SendRetract | SendPause | SendStart, epoch: int) -> messages.ToAgent:
    """The one message of a command; assignments may take several, see `build_assigns`."""
    match tell:
        case SendCancel():
            return messages.Cancel(epoch=epoch, attempts=tell.attempts)
        case SendRetract():
            return messages.Retract(epoch=epoch, attempts=tell.attempts)
        case SendPause(paused=True):
            return messages.Pause(epoch=epoch, attempts=tell.attempts)
        case SendPause():
            return messages.Resume(epoch=epoch, attempts=tell.attempts)
        case SendStart():
            return messages.StartRanks(epoch=epoch, attempts=tell.attempts, meeting=tell.meeting)
        case _:
            assert_never(tell)


def build_assigns(
    placements: Sequence[Placement], epoch: int, *, incarnation: str = ""
) -> Iterable[messages.Assign]:
    """Placements as messages of bounded size; tasks that share all but their number share one body."""
    bodies: dict[tuple[int, int, UUID, tuple[str, ...]], int] = {}
    made: list[messages.Body] = []
    items: list[messages.Assignment] = []
    size = 0
    for placement in placements:
        key = (id(placement.settings), id(placement.command), placement.job_id, placement.needs)
        body = bodies.get(key)
        if body is None:
            body = bodies[key] = len(made)
            made.append(
                messages.Body(
                    settings=placement.settings,
                    command=placement.command,
                    job_id=str(placement.job_id),
                    owner=placement.owner,
                    needs=placement.needs,
                )
            )
            size += 512 + sum(map(len, placement.command)) + len(placement.settings.stdin or "")
        size += _ITEM_BYTES + len(placement.input or b"")
        items.append(
            messages.Assignment(
                placement.attempt,
                body,
                placement.waiting,
                placement.gpus,
                placement.array_index,
                placement.input,
            )
        )
        if size > _ASSIGN_BYTES_MAX:
            yield messages.Assign(
                epoch=epoch, bodies=tuple(made), items=tuple(items), incarnation=incarnation
            )
            bodies, made, items, size = {}, [], [], 0
    if items:
        yield messages.Assign(epoch=epoch, bodies=tuple(made), items=tuple(items), incarnation=incarnation)


def fault_error(faults: Sequence[Fault]) -> Error:
    """All faults as one error: the first, with the others in `more`."""
    first, *more = (
        refusal(
            fault.code,
            fault.message,
            field=fault.field,
            got=fault.got,
            expected=fault.expected,
            hint=fault.hint,
            status=fault.status,
        )
        for fault in faults
    )
    first.more = more
    return first
