"""What bulk steering and the audit ask of the database, answered out of what the store was given."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from uuid import UUID

import msgspec

from bus import api
from bus.bulk import Audited, Audits
from bus.filter import Value, matches
from coordinator.core.effects import AuditRow, JobChange, NewJob, NewTask, TaskChange
from coordinator.store.audit_list import AuditList
from coordinator.store.events import Notice
from coordinator.store.listing import Listing
from coordinator.store.lists import JobMember, Lists
from coordinator.store.task_lists import Member, TaskLists
from tests.unit.coordinator.mirror import Mirror


class Written:
    """The rows of everything that was committed."""

    def __init__(self, store: object) -> None:
        self._store = store

    def rows(self) -> Mirror:
        mirror = Mirror()
        for batch in self._store.batches:
            mirror.write(batch)
        return mirror

    def audits(self) -> Iterator[AuditRow]:
        for batch in self._store.batches:
            yield from batch.audits


class FakeJobMembers(Lists):
    """Jobs by number, state, user, priority and name."""

    def __init__(self, store: object) -> None:
        super().__init__("")
        self._written = Written(store)

    async def members(self, listing: Listing, *, viewer: str | None) -> list[JobMember]:
        return [
            JobMember(job.number, change.failed, hash((job.number, "job")))
            for job, change in self._written.rows().jobs.values()
            if viewer in (None, job.owner) and matches(listing.conditions, partial(_of_job, job, change))
        ]


def _of_job(job: NewJob, change: JobChange, field: str) -> Value:
    return {
        "number": job.number,
        "state": str(change.state),
        "user": job.owner,
        "name": job.name,
        "priority": change.priority,
    }[field]


class FakeTaskMembers(TaskLists):
    """Rows of tasks by job, state, user; conditions on the index are the ranges' own."""

    def __init__(self, store: object) -> None:
        super().__init__("")
        self._written = Written(store)
        self.asked: list[Listing] = []

    async def page(self, listing: Listing, *, viewer: str | None) -> api.Tasks:
        self.asked.append(listing)
        return api.Tasks(tasks=[])

    async def members(self, listing: Listing, *, viewer: str | None) -> list[Member]:
        rows = self._written.rows()
        owners = {job.number: job.owner for job, _ in rows.jobs.values()}
        wanted = [each for each in listing.conditions if each.field != "index"]
        found = [
            Member(
                row.task.job,
                row.task.index,
                row.count,
                change.remaining,
                change.state,
                hash((row.task, change.remaining)),
            )
            for row, change in rows.tasks.values()
            if change.remaining
            and viewer in (None, owners[row.task.job])
            and matches(wanted, partial(_of_task, row, change, owners[row.task.job]))
        ]
        return sorted(found, key=lambda each: (each.job, each.index))


def _of_task(row: NewTask, change: TaskChange, owner: str, field: str) -> Value:
    return {"job": row.task.job, "state": str(change.state), "user": owner}[field]


class FakeAudits(AuditList):
    """Rows as the batches have them, newest first; nothing is filtered but who, and which."""

    def __init__(self, store: object) -> None:
        super().__init__("")
        self._written = Written(store)

    async def page(self, listing: Listing, *, ident: str, actor: str | None) -> Audits:
        found = [
            Audited(
                id=row.reference,
                at=row.at,
                actor=row.actor,
                action=row.action,
                object=row.object,
                details=row.details,
            )
            for row in self._written.audits()
            if ident in ("", row.reference) and actor in (None, row.actor)
        ]
        return Audits(audits=found[::-1])


class Notices:
    """Events that were noticed: who resolved them first stays."""

    def __init__(self) -> None:
        self.known: dict[UUID, Notice] = {}

    async def notice(self, ident: UUID) -> Notice | None:
        return self.known.get(ident)

    async def resolve(self, ident: UUID, *, by: str, note: str) -> str:
        notice = self.known[ident]
        if notice.told.resolved_by is not None:
            return ""
        told = msgspec.structs.replace(notice.told, resolved_at=1.0, resolved_by=by, resolution=note)
        self.known[ident] = msgspec.structs.replace(notice, told=told)
        return "77"
