"""The rows that tasks begin with."""

from __future__ import annotations

from typing import Any

import msgspec

from bus.values import TaskRef
from coordinator.core.effects import NewTask
from coordinator.core.model import Group, Task


def new_task_row(group: Group, *, now_s: float) -> NewTask:
    """The row that a group starts with: a task's own, or the range's."""
    values = group.values
    own: dict[str, Any] = {**(group.input or {})}
    if group.command:
        own["command"] = group.command
    if values is not None and values.items:
        own["for_each"] = len(values.items)
    elif values is not None and values.listed is not None:
        own["for_each"] = values.listed.count
    elif values is not None and values.matrix is not None:
        own["matrix"] = dict(zip(values.matrix.names, values.matrix.values, strict=True))
    elif values is not None and values.array is not None:
        own["array"] = values.array.ranges
    return NewTask(
        task=TaskRef(group.job.number, group.first),
        id=group.row_id,
        job_id=group.job.id,
        range_id=None,
        count=group.count,
        group=group.label(),
        task_type=group.settings.task_type,
        input=msgspec.json.encode(own or {"tool": group.settings.tool}),
        parameters=msgspec.json.encode(group.settings),
        priority=group.job.priority,
        resources=group.settings.resources,
        gpu_types=group.settings.gpu_types,
        gpu_mem_mib=group.settings.gpu_mem_mib,
        max_retries=group.settings.max_retries,
        created_at=now_s,
        parent_id=group.job.parent_id,
    )


def element_row(task: Task) -> NewTask:
    """The row of an element of a range, at its first change of its own."""
    group = task.group
    return NewTask(
        task=task.ref,
        id=task.id,
        job_id=group.job.id,
        range_id=group.row_id,
        count=1,
        group=group.label(),
        task_type=group.settings.task_type,
        input=msgspec.json.encode(element_input(group, task.index)),
        parameters=b"{}",
        priority=group.job.priority,
        resources=group.settings.resources,
        gpu_types=group.settings.gpu_types,
        gpu_mem_mib=group.settings.gpu_mem_mib,
        max_retries=group.settings.max_retries,
        created_at=group.job.submitted_at,
        parent_id=group.job.parent_id,
    )


def element_input(group: Group, index: int) -> dict[str, Any]:
    """What is an element's own: its item, its combination, or its array index."""
    position, values = index - group.first, group.values
    assert values is not None, "only ranges have elements"
    if values.items:
        return {"item": values.items[position]}
    if values.listed is not None:
        return {"item": values.listed.at(position)}
    if values.matrix is not None:
        return {"matrix": values.matrix.at(position)}
    assert values.array is not None
    return {"array_index": values.array.index_of(position)}
