"""Who somebody is, and the tokens by which machines and people come in: `user.*` and `token.*`."""

from __future__ import annotations

import logging
from collections.abc import Callable

from msgspec import Struct

from bus import api, requests
from bus.auth import Authority
from bus.errors import ApiError, Error
from bus.people import Standing
from bus.refusal import quote, refusal
from bus.tokens import ID_PATTERN, TokenKind, new_token
from bus.values import UserName, is_name
from coordinator.clock import Clock
from coordinator.store.rows import UserRow
from coordinator.store.tokens import Tokens as TokenStore

log = logging.getLogger(__name__)

TTL_MIN_S, TTL_MAX_S = 60.0, 30 * 86_400.0
LOGIN_TTL_S = 90 * 86_400.0
"""Of the JWT that a login gives. Clients renew it when a third is left; revoking works at once."""


class Tokens:
    """The handlers. `authority` None: this coordinator has no signing keys, so nobody can be let in by it.

    `standing` says what somebody has used of the cluster.
    """

    def __init__(
        self,
        store: TokenStore,
        authority: Authority | None,
        *,
        cluster: str,
        version: str,
        standing: Callable[[UserName], Standing],
        clock: Clock,
    ) -> None:
        self._store = store
        self._authority = authority
        self._cluster = cluster
        self._version = version
        self._standing = standing
        self._clock = clock

    async def start(self) -> None:
        """Have the server refuse all that is revoked, should we have ended between the two before."""
        if self._authority is not None:
            self._authority.revoke_all(await self._store.revoked())

    async def whoami(self, user: UserRow, request: Struct) -> api.Whoami:
        """`user.whoami`. When the credential expires is known to who holds it."""
        return api.Whoami(
            user=user.name,
            role=user.role,
            cluster=self._cluster,
            version=self._version,
            standing=self._standing(user.name),
            now=self._clock.now_s(),
        )

    async def renew(self, user: UserRow, request: Struct) -> api.Admitted:
        """`user.renew`."""
        assert isinstance(request, requests.KeyQuery)
        if await self._store.login_of(user.name, request.key) is None:
            raise ApiError(_no_login(request.key))
        jwt = self._signing().user_jwt(user.name, user.role, key=request.key, expires_in_s=LOGIN_TTL_S)
        return api.Admitted(name=user.name, role=user.role, jwt=jwt)

    async def logout(self, user: UserRow, request: Struct) -> api.Token:
        """`user.logout`."""
        assert isinstance(request, requests.KeyQuery)
        login = await self._store.login_of(user.name, request.key)
        if login is None:
            raise ApiError(_no_login(request.key))
        return await self._revoke(login.id, by=user.name)

    async def create(self, user: UserRow, request: Struct) -> api.Token:
        """`token.create`."""
        assert isinstance(request, requests.TokenCreate)
        _check(request)
        kind = TokenKind(request.kind)
        made = new_token(kind, self._signing().anchor())
        told = await self._store.create(
            made,
            name=request.name,
            role=request.role if kind is TokenKind.USER else None,
            creator=user,
            ttl_s=request.ttl_s,
        )
        log.info("%s made token %s for a %s", user.name, made.id, kind)
        told.secret = made.text
        return told

    async def list(self, user: UserRow, request: Struct) -> api.Tokens:
        """`token.list`."""
        return api.Tokens(tokens=await self._store.newest())

    async def revoke(self, user: UserRow, request: Struct) -> api.Token:
        """`token.revoke`: also what was admitted by it is out."""
        assert isinstance(request, requests.TokenQuery)
        if ID_PATTERN.fullmatch(request.token) is None:
            raise ApiError(
                refusal(
                    "E_ID",
                    field="/token",
                    got=quote(request.token),
                    expected="8 letters and digits",
                    hint="corral token list shows them",
                )
            )
        log.info("%s revokes token %s", user.name, request.token)
        return await self._revoke(request.token, by=user.name)

    async def _revoke(self, ident: str, *, by: UserName) -> api.Token:
        done = await self._store.revoke(ident, by=by)
        if done is None:
            raise ApiError(refusal("E_NOT_FOUND", f"no token {ident}", field="/token"))
        told, credential = done
        if credential is not None:
            self._signing().revoke(credential)
        return told

    def _signing(self) -> Authority:
        if self._authority is None:
            hint = "mint credentials with the tools of that server, and hand them over with --credentials"
            raise ApiError(
                refusal("E_CONFLICT", "this cluster's bus is not Corral's own: it signs nothing", hint=hint)
            )
        return self._authority


def _check(request: requests.TokenCreate) -> None:
    if not TTL_MIN_S <= request.ttl_s <= TTL_MAX_S:
        raise ApiError(
            refusal("E_RANGE", field="/ttl_s", got=quote(request.ttl_s), expected="60 seconds to 30 days")
        )
    if request.name is not None and not is_name(request.name):
        expected = "1–63 of a–z, 0–9, - and _, the first a letter or digit"
        raise ApiError(refusal("E_NAME", field="/name", got=quote(request.name), expected=expected))
    if request.name is None and request.kind == "user":
        raise ApiError(refusal("E_REQUIRED", "whose token is it?", field="/name", expected="a user's name"))


def _no_login(key: str) -> Error:
    return refusal("E_NOT_FOUND", f"no login of yours with the key {key[:12]!r}…", field="/key")
