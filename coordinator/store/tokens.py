"""Join and login tokens in the database: made, used once, revoked. Hashes only.

Each of these writes its row of the audit in the same statement.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable

import asyncpg
from asyncpg.protocol import Record
from msgspec import Struct

from bus.api import Token
from bus.tokens import JoinToken, TokenKind, digest
from bus.values import Role, UserName
from coordinator.store.connection import Session
from coordinator.store.errors import Disagreement
from coordinator.store.load import user_row
from coordinator.store.rows import UserRow
from sql import queries

_SQL = queries("tokens")
_LIST_MAX = 1000
_STORED = {TokenKind.NODE: "join", TokenKind.USER: "login"}
_TOLD = {stored: str(kind) for kind, stored in _STORED.items()}


class TokenSeen(Struct, frozen=True):
    """A token as it stands; `credential` is the key that it admitted."""

    told: Token
    digest: bytes
    expired: bool
    credential: str | None

    @property
    def kind(self) -> TokenKind:
        return TokenKind(self.told.kind)

    def is_opened_by(self, secret: bytes) -> bool:
        """Whether `secret` is the token's own."""
        return hmac.compare_digest(self.digest, digest(secret))


class Admitted(Struct, frozen=True):
    """A key that may come in: whose, by which kind of token, since when."""

    name: str
    kind: str
    token: str
    credential: str
    since: float


class Tokens:
    """All raise StoreUnavailable when the database is away. `written` is called after each change."""

    def __init__(self, dsn: str, *, written: Callable[[], None] = lambda: None) -> None:
        self._session = Session(dsn)
        self._written = written

    async def close(self) -> None:
        """Twice is fine."""
        await self._session.close()

    async def create(
        self, token: JoinToken, *, name: str | None, role: Role | None, creator: UserRow, ttl_s: float
    ) -> Token:
        """Keep a new token; it serves for `ttl_s`."""
        row = await self._session.fetchrow(
            _SQL["create"],
            token.id,
            _STORED[token.kind],
            name,
            role,
            creator.id,
            digest(token.secret),
            ttl_s,
        )
        self._written()
        assert row is not None
        return _token(row)

    async def newest(self) -> list[Token]:
        """Newest first; the oldest beyond a thousand are left out."""
        return [_token(row) for row in await self._session.fetch(_SQL["every"], _LIST_MAX)]

    async def find(self, ident: str) -> TokenSeen | None:
        """One token by its public id."""
        row = await self._session.fetchrow(_SQL["by_id"], ident)
        if row is None:
            return None
        return TokenSeen(_token(row), bytes(row["token_sha256"]), row["expired"], row["credential"])

    async def take(self, ident: str, *, credential: str, name: str) -> bool:
        """Use it, for one key and for good; False where it was used, revoked or has expired meanwhile.

        Raises NameTaken where the name of a node belongs to another key.
        """
        try:
            taken = await self._session.fetchrow(_SQL["take"], ident, credential, name) is not None
        except Disagreement as fault:
            if isinstance(fault.__cause__, asyncpg.UniqueViolationError):
                raise NameTaken(name) from fault
            raise
        self._written()
        return taken

    async def revoke(self, ident: str, *, by: UserName) -> tuple[Token, str | None] | None:
        """Refuse it from now on; answers also the key that it had admitted."""
        row = await self._session.fetchrow(_SQL["revoke"], ident, by)
        self._written()
        return None if row is None else (_token(row), row["credential"])

    async def revoke_node_keys(self, node: str, *, but: str) -> list[str]:
        """Take a node's name away from the keys that had it; answers them."""
        return [row["credential"] for row in await self._session.fetch(_SQL["revoke_node_keys"], node, but)]

    async def login_of(self, user: UserName, credential: str) -> Token | None:
        """The login by which `user` got this key, unless revoked."""
        row = await self._session.fetchrow(_SQL["of_credential"], credential, user)
        return None if row is None else _token(row)

    async def revoked(self) -> dict[str, int]:
        """Every key that must be refused, and up to which second of the Unix epoch what it was issued."""
        rows = await self._session.fetch(_SQL["revoked_credentials"])
        return {row["credential"]: int(row["revoked_at"]) for row in rows}

    async def admitted(self) -> list[Admitted]:
        """The keys that logins and machines came in by, unless revoked; the newest, at most 10,000."""
        rows = await self._session.fetch(_SQL["admitted"])
        return [
            Admitted(row["name"], _TOLD[row["kind"]], row["public_id"], row["credential"], row["since"])
            for row in rows
        ]

    async def ensure_user(self, name: str, role: Role) -> UserRow:
        """The user, made with this role if there was none."""
        row = await self._session.fetchrow(_SQL["ensure_user"], name, role)
        self._written()
        assert row is not None
        return user_row(row)


class NameTaken(Disagreement):
    """Another key holds the node's name."""


def _token(row: Record) -> Token:
    def instant(column: str) -> float | None:
        return None if row[column] is None else row[column].timestamp()

    created_at, expires_at = instant("created_at"), instant("expires_at")
    assert created_at is not None
    assert expires_at is not None
    return Token(
        id=row["public_id"],
        kind=_TOLD[row["kind"]],
        name=row["name"],
        role=None if row["role"] is None else Role(row["role"]),
        created_at=created_at,
        expires_at=expires_at,
        used_at=instant("used_at"),
        revoked_at=instant("revoked_at"),
        created_by=row["creator"] or "",
    )
