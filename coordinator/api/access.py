"""Who may do what: one function decides, and every refusal says the same whatever exists.

Users come from PostgreSQL and are kept for a few seconds; their name comes from the subject, which the
NATS server has checked against the credential.
"""

from __future__ import annotations

import time
from typing import Protocol

from bus.api import OPERATIONS
from bus.errors import ApiError
from bus.refusal import refusal
from bus.values import Role, UserName
from coordinator.store.rows import UserRow

_KEPT_S = 5.0


class Users(Protocol):
    async def user(self, name: UserName) -> UserRow | None: ...


class Access:
    """Looks users up and judges requests."""

    def __init__(self, users: Users) -> None:
        self._users = users
        self._known: dict[UserName, tuple[float, UserRow | None]] = {}

    async def find(self, name: UserName) -> UserRow | None:
        """The user, at most `_KEPT_S` old. Raises StoreUnavailable."""
        now = time.monotonic()
        kept = self._known.get(name)
        if kept is not None and now - kept[0] < _KEPT_S:
            return kept[1]
        user = await self._users.user(name)
        self._known[name] = (now, user)
        return user

    async def check(self, name: UserName, operation: str) -> UserRow:
        """The user, if `operation` is theirs to ask. Raises ApiError (401, 403)."""
        user = await self.find(name)
        if user is None:
            raise ApiError(refusal("E_AUTH", f"no user {name}", hint="ask an admin to add you"))
        if not user.active:
            raise ApiError(refusal("E_SUSPENDED", f"user {name} is suspended"))
        check_role(user, operation)
        return user


def check_role(user: UserRow, operation: str) -> None:
    """That the role of `user` is one that may ask `operation`. Raises ApiError (403)."""
    needed = OPERATIONS[operation].role
    if user.role.rank < needed.rank:
        got, expected = f"the role {user.role}", f"{needed} or above"
        raise ApiError(
            refusal("E_FORBIDDEN", f"{user.name} may not ask {operation}", got=got, expected=expected)
        )


def viewer(user: UserRow) -> UserName | None:
    """Whose jobs this user sees: None means everybody's."""
    return None if user.role.rank >= Role.OPERATOR.rank else user.name
