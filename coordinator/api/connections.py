"""`cluster.connections`: who is connected to the bus, which only its server knows."""

from __future__ import annotations

from msgspec import Struct

from bus.connections import NotTold, connections
from bus.errors import ApiError
from bus.refusal import refusal
from bus.transport import Bus
from coordinator.store.rows import UserRow


class Connected:
    """The handler."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    async def list(self, user: UserRow, request: Struct) -> Struct:
        """`cluster.connections`. Raises ApiError where the server does not tell, BusError."""
        try:
            return await connections(self._bus)
        except NotTold as error:
            hint = "ask a server of your own as its system account: nats server report connections"
            raise ApiError(refusal("E_CONFLICT", str(error), hint=hint)) from None
