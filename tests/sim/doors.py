"""The service's doors of a simulated coordinator: what clients ask, as events of its core.

What `coordinator.api` does with asyncio before it posts an event (keys seen before, rows of what is over) is
retold here; the requests are the product's, through its codec.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec import Struct

from bus import api, requests
from bus.codec import Codec, answer, decode_request
from bus.errors import DecodeError
from bus.refusal import refusal
from bus.spec import JobSpec
from bus.values import NodeAdmin, NodeName, Role, UserName
from coordinator.api.jobs import seal
from coordinator.core.effects import NewJob
from coordinator.core.events import (
    CancelAsked,
    Event,
    HoldAsked,
    NodeSteered,
    PauseAsked,
    RequeueAsked,
    RetryAsked,
)
from coordinator.core.job_ends import JobEnd
from coordinator.registry import Resolved
from coordinator.store.errors import StoreError
from tests.sim.database import Rows, duplicate

if TYPE_CHECKING:
    from tests.sim.coordinator import Coordinator
    from tests.sim.network import Responder

USER = UserName("alice")


def owner_of(spec: JobSpec) -> UserName:
    """Who submits it: histories that were written before there were others mean USER."""
    return UserName(spec.metadata.get("owner", USER))


ROLE = Role.OPERATOR

_ADMINS = {
    "node.cordon": NodeAdmin.INACTIVE,
    "node.drain": NodeAdmin.DRAINING,
    "node.maintenance": NodeAdmin.MAINTENANCE,
    "node.undrain": NodeAdmin.ACTIVE,
}


class Doors:
    """`on_request` takes what comes; answers go out after the commit."""

    def __init__(self, coordinator: Coordinator) -> None:
        self._coordinator = coordinator

    def on_request(self, operation: str, data: bytes, respond: Responder) -> None:
        try:
            request = decode_request(operation, data)
        except DecodeError as error:
            self._coordinator.refuse(respond, error.to_error())
            return
        if self._coordinator.failing:
            self._away(respond)
            return
        match request:
            case JobSpec():
                self._submit(request, respond)
            case requests.Retry():
                self._retry(int(request.target), respond)
            case _:
                self._coordinator.post(_event(operation, request, self._coordinator.expect(respond)))

    def _away(self, respond: Responder) -> None:
        self._coordinator.refuse(respond, refusal("E_UNAVAILABLE", hint="try again", retry_after_s=1.0))

    def _submit(self, spec: JobSpec, respond: Responder) -> None:
        sealed = seal(Resolved(spec))
        key = spec.dedupe_key
        assert key is not None, "simulated clients name their jobs"

        def read(rows: Rows) -> tuple[NewJob | None, dict[int, JobEnd]]:
            return duplicate(owner_of(spec), key)(rows), rows.ended(spec.after)

        def looked_up(found: tuple[NewJob | None, dict[int, JobEnd]]) -> None:
            first, ended = found
            if first is not None:
                submitted = api.Submitted(
                    number=first.number, id=str(first.id), tasks=first.tasks, duplicate=True
                )
                respond(answer(submitted, Codec.MSGPACK)[0])
            else:
                self._coordinator.enter_job(sealed, respond, ended=ended)

        def failed(error: StoreError) -> None:
            self._away(respond)

        connection = self._coordinator.connection
        self._coordinator.barrier(lambda: connection.call(read, looked_up, failed))

    def _retry(self, number: int, respond: Responder) -> None:
        coordinator = self._coordinator

        def look() -> None:
            as_of = coordinator.cluster.requeues
            is_live = number in coordinator.cluster.jobs

            def read(rows: Rows) -> tuple[Any, Any]:
                return rows.failed(number), None if is_live else rows.over(number)

            def done(found: tuple[Any, Any]) -> None:
                failed_rows, over = found
                self._coordinator.post(
                    RetryAsked(
                        job=number,
                        failed=failed_rows,
                        over=over,
                        as_of=as_of,
                        before=0,
                        by=USER,
                        role=ROLE,
                        reply=self._coordinator.expect(respond),
                    )
                )

            coordinator.connection.call(read, done, lambda error: self._away(respond))

        coordinator.barrier(look)


def _event(operation: str, request: Struct, reply: int) -> Event:
    """What needs nothing looked up first."""
    match request:
        case requests.Cancel(target=target):
            job, index = _target(target)
            return CancelAsked(job=job, index=index, by=USER, role=ROLE, reply=reply)
        case requests.Requeue(target=target):
            job, index = _target(target)
            return RequeueAsked(job=job, index=index, by=USER, role=ROLE, reply=reply)
        case requests.Hold(job=text):
            held = operation == "job.hold"
            return HoldAsked(job=int(text), held=held, by=USER, role=ROLE, reply=reply)
        case requests.Pause(job=text):
            paused = operation == "job.pause"
            return PauseAsked(job=int(text), paused=paused, by=USER, role=ROLE, reply=reply)
        case requests.NodeSteer():
            return NodeSteered(
                node=NodeName(request.node),
                admin=_ADMINS[operation],
                reason=request.reason,
                deadline_s=request.deadline_s,
                by=USER,
                reply=reply,
            )
        case _:
            raise AssertionError(f"the simulated service does not know {operation}")


def _target(text: str) -> tuple[int, int | None]:
    job, _, index = text.partition(".")
    return int(job), int(index) if index else None
