"""The service's doors of a simulated coordinator: what clients ask, as events of its core.

What `coordinator.api` does with asyncio before it posts an event (keys seen before, rows of what is over) is
retold here; the requests are the product's, through its codec.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bus import api, requests
from bus.codec import Codec, answer, decode_request
from bus.errors import DecodeError
from bus.refusal import refusal
from bus.spec import JobSpec
from bus.values import NodeAdmin, NodeName, Role, UserName
from coordinator.api.jobs import seal
from coordinator.core.effects import NewJob
from coordinator.core.events import CancelAsked, HoldAsked, JobSubmitted, NodeSteered, RetryAsked
from coordinator.store.errors import StoreError
from tests.sim.database import Rows, duplicate

if TYPE_CHECKING:
    from tests.sim.coordinator import Coordinator
    from tests.sim.network import Responder

USER = UserName("alice")
ROLE = Role.OPERATOR

_ADMINS = {
    "node.cordon": NodeAdmin.INACTIVE,
    "node.drain": NodeAdmin.DRAINING,
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
            case requests.Cancel():
                number, index = _target(request.target)
                self._post(
                    CancelAsked(job=number, index=index, by=USER, role=ROLE, reply=self._expect(respond))
                )
            case requests.Hold():
                held = operation == "job.hold"
                self._post(
                    HoldAsked(
                        job=int(request.job), held=held, by=USER, role=ROLE, reply=self._expect(respond)
                    )
                )
            case requests.Retry():
                self._retry(int(request.target), respond)
            case requests.NodeSteer():
                admin = _ADMINS[operation]
                node = NodeName(request.node)
                self._post(
                    NodeSteered(
                        node=node, admin=admin, reason=request.reason, by=USER, reply=self._expect(respond)
                    )
                )
            case _:
                raise AssertionError(f"the simulated service does not know {operation}")

    def _expect(self, respond: Responder) -> int:
        return self._coordinator.expect(respond)

    def _post(self, event: Any) -> None:
        self._coordinator.post(event)

    def _away(self, respond: Responder) -> None:
        self._coordinator.refuse(respond, refusal("E_UNAVAILABLE", hint="try again", retry_after_s=1.0))

    def _submit(self, spec: JobSpec, respond: Responder) -> None:
        sealed = seal(spec)
        key = spec.dedupe_key
        assert key is not None, "simulated clients name their jobs"

        def looked_up(first: NewJob | None) -> None:
            if first is not None:
                submitted = api.Submitted(
                    number=first.number, id=str(first.id), tasks=first.tasks, duplicate=True
                )
                respond(answer(submitted, Codec.MSGPACK)[0])
                return
            coordinator = self._coordinator
            number = coordinator.next_number
            coordinator.next_number += 1
            self._post(
                JobSubmitted(
                    job_id=coordinator.new_id(job=True),
                    number=number,
                    owner=USER,
                    spec=sealed.spec,
                    spec_json=sealed.json,
                    digest=sealed.digest,
                    reply=self._expect(respond),
                )
            )

        def failed(error: StoreError) -> None:
            self._away(respond)

        connection = self._coordinator.connection
        self._coordinator.barrier(lambda: connection.call(duplicate(USER, key), looked_up, failed))

    def _retry(self, number: int, respond: Responder) -> None:
        coordinator = self._coordinator

        def look() -> None:
            as_of = coordinator.cluster.requeues
            is_live = number in coordinator.cluster.jobs

            def read(rows: Rows) -> tuple[Any, Any]:
                return rows.failed(number), None if is_live else rows.over(number)

            def done(found: tuple[Any, Any]) -> None:
                failed_rows, over = found
                self._post(
                    RetryAsked(
                        job=number,
                        failed=failed_rows,
                        over=over,
                        as_of=as_of,
                        before=0,
                        by=USER,
                        role=ROLE,
                        reply=self._expect(respond),
                    )
                )

            coordinator.connection.call(read, done, lambda error: self._away(respond))

        coordinator.barrier(look)


def _target(text: str) -> tuple[int, int | None]:
    job, _, index = text.partition(".")
    return int(job), int(index) if index else None
