"""Admission: whoever holds a token becomes a node or a user, with a key that was made over there.

Asked on `corral.auth.*` by the public credential, which may do nothing else. The order of things: the token
must open with its secret, the name must be free for this key, the token is used up in one statement, and only
then is a JWT signed. A lost answer costs nothing: the same key may ask again.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, nullcontext

from bus import subjects
from bus.api import Admitted
from bus.auth import Authority, is_user_key
from bus.codec import codec_of, decode
from bus.errors import ApiError, BusError, DecodeError, Error
from bus.refusal import quote, refusal
from bus.requests import Admission
from bus.subjects import AuthSubject, AuthVerb, SubjectError
from bus.tokens import TokenKind
from bus.transport import Bus, Message
from bus.values import NodeHealth, NodeName, Role, is_name
from coordinator.api.tokens import LOGIN_TTL_S
from coordinator.core.model import Cluster
from coordinator.store.errors import NotLeader, StoreError
from coordinator.store.tokens import NameTaken, Tokens, TokenSeen
from coordinator.tell import Asker, away, send

log = logging.getLogger(__name__)

RATE_PER_S, BURST = 10.0, 20
"""All strangers together: a secret of 256 bits needs no more, but the database must not be kept busy."""

_ASK_ANOTHER = "an admin makes another one with corral token"
_KINDS = {AuthVerb.JOIN: TokenKind.NODE, AuthVerb.LOGIN: TokenKind.USER}


class Bucket:
    """A token bucket: `take` says whether one more may pass."""

    def __init__(self, *, rate_per_s: float, burst: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate_per_s = rate_per_s
        self._burst = burst
        self._clock = clock
        self._level = float(burst)
        self._filled_at = clock()

    def take(self) -> bool:
        now = self._clock()
        self._level = min(self._burst, self._level + (now - self._filled_at) * self._rate_per_s)
        self._filled_at = now
        if self._level < 1:
            return False
        self._level -= 1
        return True


class Admissions:
    """Answers strangers, one at a time; `start` subscribes, `stop` ends."""

    def __init__(
        self,
        bus: Bus,
        tokens: Tokens,
        authority: Authority,
        cluster: Cluster,
        *,
        answering: Callable[[], AbstractAsyncContextManager[None]] = nullcontext,
    ) -> None:
        self._bus = bus
        self._answering = answering
        self._tokens = tokens
        self._authority = authority
        self._cluster = cluster
        self._bucket = Bucket(rate_per_s=RATE_PER_S, burst=BURST)

    async def start(self) -> None:
        """Answer from here on."""
        self._subscription = await self._bus.subscribe(subjects.AUTH_ALL, self._on_message)

    async def stop(self) -> None:
        """Take no more; the one in hand is finished."""
        await self._subscription.unsubscribe()

    async def _on_message(self, message: Message) -> None:
        try:
            subject = subjects.parse(message.subject)
        except SubjectError:
            return
        assert isinstance(subject, AuthSubject), "we subscribe to nothing else"
        if not subjects.is_own_inbox(message.subject, message.reply):
            if self._bucket.take():  # the log must not grow with it
                log.warning("%s: dropped: reply %r is no stranger's", message.subject, message.reply[:80])
            return
        asker = Asker(message.reply, codec_of(message.data))
        try:
            await send(self._bus, asker, await self._answer(subject.verb, message))
        except NotLeader:
            return  # whoever leads now answers
        except BusError as lost:
            log.warning("answer to %s lost: %s", asker.subject, lost)

    async def _answer(self, verb: AuthVerb, message: Message) -> Admitted | Error:
        if not self._bucket.take():
            return refusal("E_TOO_OFTEN", retry_after_s=1.0)
        try:
            asked = decode(message.data, Admission, subject=message.subject)
            async with self._answering():
                return await self.admit(verb, asked)
        except ApiError as error:
            log.warning("not admitted: %s", error)
            return error.error
        except DecodeError as error:
            return error.to_error()
        except NotLeader:
            raise
        except StoreError as error:
            return away(str(error))

    async def admit(self, verb: AuthVerb, asked: Admission) -> Admitted:
        """The credential for who asks. Raises ApiError, StoreError."""
        if not is_user_key(asked.key):
            raise ApiError(
                refusal(
                    "E_KEY", field="/key", got=quote(asked.key), expected="the public half of a user nkey"
                )
            )
        token = await self._opened(verb, asked)
        if token.kind is TokenKind.NODE:
            name = self._node_name(token, asked)
            await self._use(token, asked.key, name)
            jwt, role = self._authority.agent_jwt(name, key=asked.key), None
        else:
            name, role = token.told.name or "", token.told.role
            assert role is not None
            role = await self._user(name, role)
            await self._use(token, asked.key, name)
            jwt = self._authority.user_jwt(name, role, key=asked.key, expires_in_s=LOGIN_TTL_S)
        log.info("token %s admitted %s %s with key %s", asked.token, token.kind, name, asked.key)
        return Admitted(name=name, role=role, jwt=jwt)

    async def _opened(self, verb: AuthVerb, asked: Admission) -> TokenSeen:
        """The token, if the secret is its own and it still serves this key."""
        token = await self._tokens.find(asked.token)
        if token is None or not token.is_opened_by(asked.secret):
            raise ApiError(
                refusal("E_TOKEN_REVOKED", "no such token here", field="/token", hint=_ASK_ANOTHER)
            )
        if token.kind is not _KINDS[verb]:
            hint = f"corral {'join' if token.kind is TokenKind.NODE else 'login'} takes it"
            raise ApiError(
                refusal(
                    "E_TOKEN_FORMAT", f"a token for a {token.kind}", field="/token", hint=hint, status=422
                )
            )
        if token.told.revoked_at is not None:
            raise ApiError(
                refusal("E_TOKEN_REVOKED", "the token was revoked", field="/token", hint=_ASK_ANOTHER)
            )
        if token.credential not in (None, asked.key):
            raise ApiError(
                refusal("E_TOKEN_REVOKED", "the token was used already", field="/token", hint=_ASK_ANOTHER)
            )
        if token.credential is None and token.expired:
            raise ApiError(
                refusal("E_TOKEN_EXPIRED", "the token has expired", field="/token", hint=_ASK_ANOTHER)
            )
        return token

    def _node_name(self, token: TokenSeen, asked: Admission) -> str:
        """Under which name this key may be a node. Raises ApiError."""
        meant = token.told.name
        name = asked.name or meant or asked.host
        if not is_name(name):
            expected = "1–63 of a–z, 0–9, - and _, the first a letter or digit"
            raise ApiError(refusal("E_NAME", field="/name", got=quote(name), expected=expected))
        if meant is not None and name != meant:
            raise ApiError(
                refusal("E_NODE_KEY", f"the token is for the node {meant}", field="/name", got=quote(name))
            )
        known = self._cluster.nodes.get(NodeName(name))
        if known is None or token.credential == asked.key:
            return name
        if known.health is not NodeHealth.UNREACHABLE:
            raise ApiError(
                refusal(
                    "E_CONFLICT",
                    f"a node named {name} is up",
                    field="/name",
                    hint="join under another one with --name",
                )
            )
        if meant is None:
            raise ApiError(_of_another(name))
        return name

    async def _use(self, token: TokenSeen, key: str, name: str) -> None:
        if token.kind is TokenKind.NODE and token.told.name is not None:
            # it was made to give this name to another machine
            for old in await self._tokens.revoke_node_keys(name, but=key):
                self._authority.revoke(old)
        try:
            taken = await self._tokens.take(token.told.id, credential=key, name=name)
        except NameTaken:
            raise ApiError(_of_another(name)) from None
        if not taken:
            raise ApiError(
                refusal(
                    "E_TOKEN_REVOKED", "the token was used a moment ago", field="/token", hint=_ASK_ANOTHER
                )
            )

    async def _user(self, name: str, role: Role) -> Role:
        """Of an existing user the role that they have."""
        user = await self._tokens.ensure_user(name, role)
        if not user.active:
            raise ApiError(refusal("E_SUSPENDED", f"user {name} is suspended"))
        return user.role


def _of_another(name: str) -> Error:
    return refusal(
        "E_NODE_KEY",
        f"the name {name} belongs to another key",
        field="/name",
        hint=f"join under another one with --name; or corral token node {name} gives it to this machine",
    )
