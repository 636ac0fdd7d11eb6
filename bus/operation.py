"""What stands behind a name of `bus.api.OPERATIONS`."""

from __future__ import annotations

from msgspec import Struct

from bus.values import Role


class Operation(Struct, frozen=True):
    request: type[Struct]
    answer: type[Struct]
    role: Role
