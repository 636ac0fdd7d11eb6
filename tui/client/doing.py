"""Steps carried out: which request each action is, several at a time, and what the answers say."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from typing import Any, Literal

from msgspec import convert

from bus.api import Submitted
from bus.bulk import BulkSteer, BulkSteered
from bus.codec import from_fields
from bus.errors import ApiError, CorralError
from bus.gpus import Gpu
from bus.spec import JobSpec
from bus.units import counted
from bus.volumes import PoolCreate, PoolEntry, VolumeCreate, VolumeEntry
from tui.client.source import Source
from tui.view.actions import Step
from tui.view.arguments import Arguments
from tui.view.deeds import Act, Deed, Journal
from tui.view.gpus import gpu_line
from tui.view.refusals import error_text
from tui.view.steering import ways_back_of_all

AT_ONCE = 8
"""Requests of one act that wait for their answers together: the coordinator has other callers too."""


async def ask(source: Source, step: Step) -> Any:
    """The answer to one step. Raises CorralError."""
    told, target = step.arguments, step.target
    if step.revision is not None:
        return await source.steer_all(all_of(step))
    match step.verb:
        case "priority":
            return await source.prioritize(target, told.priority_number)
        case "label":
            return await source.label(target, told.label_changes)
        case "resolve":
            return await source.resolve(target, note=told.note)
        case "cordon":
            return await source.cordon(target, reason=told.reason)
        case "drain":
            return await source.drain(target, reason=told.reason, deadline_s=told.deadline_s)
        case "maintenance":
            return await source.maintenance(target, reason=told.reason, deadline_s=told.deadline_s)
        case "quarantine" | "unquarantine":
            node, _, gpu = target.partition(" ")
            steer = source.quarantine_gpu if step.verb == "quarantine" else source.release_gpu
            return await steer(node, gpu, reason=told.reason)
        case "call":
            return await source.submit(call_of(target, told))
        case "create":
            return await source.create_volume(volume_of(told))
        case "pool_create":
            return await source.create_pool(pool_of(target, told))
        case "pool_remove":
            return await source.remove_pool(target)
        case "remove" | "undelete" | "snapshot" | "unsnapshot" | "restore" | "promote" | "set":
            return await _ask_of_volume(source, step)
        case "undrain":
            return await source.undrain(target, reason=told.reason)
        case "scheduler_mode":
            assert told.mode
            return await source.scheduler_mode(told.mode)
        case verb:
            return await getattr(source, verb)(target)


async def _ask_of_volume(source: Source, step: Step) -> VolumeEntry:
    told, target = step.arguments, step.target
    match step.verb:
        case "remove":
            return await source.remove_volume(target, now=bool(told.now))
        case "undelete":
            return await source.undelete_volume(target)
        case "snapshot":
            return await source.snapshot_volume(target, told.snapshot)
        case "unsnapshot":
            return await source.remove_snapshot(target, told.snapshot)
        case "restore":
            return await source.restore_volume(target, told.snapshot)
        case "set":
            return await source.set_volume(
                target,
                snapshots=told.snapshots,
                backup=bool(told.backup),
                backup_pool=told.backup_pool if told.backup else None,
                backup_copies=int(told.copies or "1") if told.backup else None,
            )
        case _:
            return await source.promote_volume(target)


def volume_of(told: Arguments) -> VolumeCreate:
    """What `corral volume create` asks for. Raises DecodeError."""
    fields = {
        "name": told.name, "pool": told.pool, "size": told.size, "mode": told.access, "node": told.node,
        "path": told.path, "source": told.source, "storage_class": told.storage_class,
        "shared": bool(told.shared), "snapshots": told.snapshots, "backup": bool(told.backup),
        "backup_pool": told.backup_pool, "backup_copies": int(told.copies or "0"),
    }  # fmt: skip
    return from_fields({name: value for name, value in fields.items() if value}, VolumeCreate)


def pool_of(name: str, told: Arguments) -> PoolCreate:
    """What `corral pool create` asks for. Raises DecodeError."""
    replicated = told.pool_type == "replicated"
    fields = {
        "name": name, "type": told.pool_type, "nodes": told.nodes.split(","), "path": told.path,
        "size": told.size, "tier": told.tier, "compress": bool(told.compress), "encrypt": bool(told.encrypt),
        "replicas": int(told.replicas or ("2" if replicated else "0")),
    }  # fmt: skip
    return from_fields({name: value for name, value in fields.items() if value}, PoolCreate)


def call_of(tool: str, told: Arguments) -> JobSpec:
    """The job that `corral tool call` submits; with a key, once only. Raises DecodeError."""
    fields: dict[str, Any] = {"tool": tool, "name": f"call {tool}"}
    if told.input:
        fields["input"] = json.loads(told.input)
    if told.key:
        fields["dedupe_key"] = told.key
    return from_fields(fields, JobSpec)


def all_of(step: Step, *, dry_run: bool = False) -> BulkSteer:
    """The request for a step that means all that a filter lets through."""
    told = step.arguments
    return BulkSteer(
        noun=convert(step.noun, Literal["job", "task", "node"]),
        verb=step.verb,
        filter=step.target,
        revision=step.revision or 0,
        priority=told.priority_number if told.priority else None,
        labels=told.label_changes,
        reason=told.reason,
        deadline_s=told.deadline_s,
        dry_run=dry_run,
    )


async def carry_out(
    source: Callable[[], Source], journal: Journal, act: Act, *, changed: Callable[[], None]
) -> None:
    """Every step of `act`, AT_ONCE together; `changed` after each answer. A refused one stops no other.

    `source` gives the connection as it is then, or raises.
    """
    places = asyncio.Semaphore(AT_ONCE)

    async def one(deed: Deed) -> None:
        async with places:
            try:
                answer = await ask(source(), deed.step)
            except CorralError as error:
                code = error.error.code if isinstance(error, ApiError) else ""
                journal.fail(deed, said=error_text(error), now_s=time.time(), code=code)
            else:
                audit = str(getattr(answer, "audit", "") or "")
                all_changed = isinstance(answer, BulkSteered)
                ways = ways_back_of_all(deed.step.noun, answer) if all_changed else ()
                journal.acknowledge(deed, said=answer_text(answer), audit=audit, now_s=time.time(), ways=ways)
            changed()

    async with asyncio.TaskGroup() as group:
        for deed in act.deeds:
            group.create_task(one(deed), name=f"console {deed.command}")


def answer_text(answer: object) -> str:
    """ "3 tasks (what it left as it was)", or "done"."""
    if isinstance(answer, BulkSteered):
        rest = f", {answer.left} not reached yet: once more does the rest" if answer.left else ""
        return f"{answer.changed} of {answer.matched} changed{rest}"
    if isinstance(answer, Submitted):
        return f"job {answer.number}" + (", which was there already" if answer.duplicate else "")
    if isinstance(answer, VolumeEntry):
        return f"{answer.name} is {answer.state} on {answer.node}"
    if isinstance(answer, PoolEntry):
        return f"pool {answer.name} on {counted(len(answer.nodes), 'node')}"
    if isinstance(answer, Gpu):
        return gpu_line(answer)
    tasks = getattr(answer, "tasks", None)
    hint = getattr(answer, "hint", "")
    done = counted(tasks, "task") if isinstance(tasks, int) else "done"
    return f"{done} ({hint})" if hint else done
