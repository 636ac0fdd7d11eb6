"""`webhook.*`: addresses that are called when something happens; `coordinator.deliveries` calls them."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from uuid import UUID

from msgspec import Struct

from bus.errors import ApiError, Error
from bus.refusal import quote, refusal
from bus.values import UserName, is_name
from bus.webhooks import (
    EVENTS,
    Deliveries,
    Delivery,
    DeliveryList,
    DeliveryQuery,
    Webhook,
    WebhookAdd,
    WebhookList,
    WebhookQuery,
    Webhooks,
    secret_bytes,
    secret_text,
)
from coordinator.api.access import viewer
from coordinator.api.service import Handler
from coordinator.core.effects import Fault
from coordinator.deliveries import purpose
from coordinator.destinations import Destinations, Forbidden
from coordinator.replies import fault_error
from coordinator.sealing import Sealer, Unsealable
from coordinator.store.rows import UserRow
from coordinator.store.webhooks import Webhooks as Store

EACH_MAX = 50
"""Webhooks that one user may have."""

DELIVERIES_MAX = 1_000
SECRET_BYTES = 32


class WebhookDesk:
    """The handlers. `wake` has the sender look at once."""

    def __init__(
        self, store: Store, sealer: Sealer, destinations: Destinations, *, wake: Callable[[], None]
    ) -> None:
        self._store = store
        self._sealer = sealer
        self._destinations = destinations
        self._wake = wake

    @property
    def handlers(self) -> dict[str, Handler]:
        """By the name of the operation."""
        return {
            "webhook.add": self.add,
            "webhook.list": self.list,
            "webhook.remove": self.remove,
            "webhook.enable": self.enable,
            "webhook.test": self.test,
            "webhook.deliveries": self.deliveries,
            "webhook.redeliver": self.redeliver,
        }

    async def add(self, user: UserRow, request: Struct) -> Webhook:
        """`webhook.add`: all that is wrong with it at once."""
        assert isinstance(request, WebhookAdd)
        faults = list(self._faults(user, request))
        if faults:
            raise ApiError(fault_error(faults))
        if await self._store.count_of(user) >= EACH_MAX:
            hint = "corral webhook rm ID makes room"
            raise ApiError(refusal("E_TOO_MANY", "too many webhooks", got=f"{EACH_MAX} webhooks", hint=hint))
        key = secret_bytes(request.secret) if request.secret else secrets.token_bytes(SECRET_BYTES)
        try:
            sealed = self._sealer.seal(key, purpose=purpose(user.name, request.url))
        except Unsealable as error:
            raise ApiError(refusal("E_CONFLICT", f"the secret cannot be kept: {error}")) from error
        ident = await self._store.add(
            user,
            url=request.url,
            on=list(dict.fromkeys(request.on)),
            of_user=request.user or None,
            job=request.job,
            tag=_tag(request.tag),
            secret=sealed,
        )
        if ident is None:
            raise ApiError(_no_user(request.user))
        told = await self._find(user, ident)
        told.secret = "" if request.secret else secret_text(key)
        return told

    async def list(self, user: UserRow, request: Struct) -> Webhooks:
        """`webhook.list`."""
        assert isinstance(request, WebhookList)
        only = viewer(user)
        if request.user:
            if only not in (None, request.user):
                return Webhooks(webhooks=[])
            if not is_name(request.user):
                raise ApiError(_no_user(request.user))
            only = UserName(request.user)
        return Webhooks(webhooks=await self._store.every(only))

    async def remove(self, user: UserRow, request: Struct) -> Webhook:
        """`webhook.remove`: what it was."""
        found = await self._asked(user, request)
        await self._store.remove(found.id, by=user.name)
        return found

    async def enable(self, user: UserRow, request: Struct) -> Webhook:
        """`webhook.enable`."""
        found = await self._asked(user, request)
        await self._store.enable(found.id, by=user.name)
        self._wake()
        return await self._find(user, found.id)

    async def test(self, user: UserRow, request: Struct) -> Delivery:
        """`webhook.test`: it is on its way when this is answered."""
        found = await self._asked(user, request)
        if found.state == "disabled":
            hint = f"corral webhook enable {found.id}"
            raise ApiError(refusal("E_CONFLICT", "it is disabled", field="/id", got=str(found.id), hint=hint))
        made = await self._store.test(found.id)
        if made is None:
            raise ApiError(_missing(found.id))
        self._wake()
        return made

    async def deliveries(self, user: UserRow, request: Struct) -> Deliveries:
        """`webhook.deliveries`."""
        assert isinstance(request, DeliveryList)
        if not 1 <= request.limit <= DELIVERIES_MAX:
            expected = f"1 to {DELIVERIES_MAX}"
            raise ApiError(refusal("E_RANGE", field="/limit", got=quote(request.limit), expected=expected))
        found = await self._find(user, request.id)
        return Deliveries(deliveries=await self._store.deliveries(found.id, limit=request.limit))

    async def redeliver(self, user: UserRow, request: Struct) -> Delivery:
        """`webhook.redeliver`."""
        assert isinstance(request, DeliveryQuery)
        try:
            ident = UUID(request.delivery)
        except ValueError:
            expected, hint = "the id of a delivery", "corral webhook deliveries ID shows them"
            raise ApiError(
                refusal("E_ID", field="/delivery", got=quote(request.delivery), expected=expected, hint=hint)
            ) from None
        found = await self._store.delivery(ident)
        if found is None or viewer(user) not in (None, found[1]):
            raise ApiError(_no_delivery(request.delivery))
        again = await self._store.redeliver(ident)
        if again is None:
            raise ApiError(_no_delivery(request.delivery))
        self._wake()
        return again

    async def _asked(self, user: UserRow, request: Struct) -> Webhook:
        assert isinstance(request, WebhookQuery)
        return await self._find(user, request.id)

    async def _find(self, user: UserRow, ident: int) -> Webhook:
        """Another's is to who may not see it as if there were none. Raises ApiError."""
        found = await self._store.find(ident)
        if found is None or viewer(user) not in (None, found.user):
            raise ApiError(_missing(ident))
        return found

    def _faults(self, user: UserRow, request: WebhookAdd) -> Iterator[Fault]:
        try:
            self._destinations.target(request.url)
        except Forbidden as error:
            yield error.fault
        if not request.on:
            yield Fault(code="E_REQUIRED", message="no events", field="/on", expected=", ".join(EVENTS))
        for position, event in enumerate(request.on):
            if event not in EVENTS:
                expected = f"one of {', '.join(EVENTS)}"
                yield Fault(code="E_ENUM", field=f"/on/{position}", got=quote(event), expected=expected)
        if request.job is not None and request.job < 1:
            yield Fault(code="E_RANGE", field="/job", got=quote(request.job), expected="the number of a job")
        if request.user and viewer(user) not in (None, request.user):
            hint = "operators hear of everybody's jobs"
            yield Fault(code="E_FORBIDDEN", field="/user", got=quote(request.user), hint=hint, status=403)
        if request.tag and _tag(request.tag) is None:
            expected = "NAME=VALUE of a job's metadata, at most 128 and 256 characters"
            yield Fault(code="E_VALUE", field="/tag", got=quote(request.tag), expected=expected)
        if request.secret:
            try:
                secret_bytes(request.secret)
            except ValueError as error:  # what was sent is not quoted: it may be nearly right
                yield Fault(code="E_VALUE", field="/secret", expected=str(error))


def _tag(text: str) -> tuple[str, str] | None:
    name, equals, value = text.partition("=")
    sound = 1 <= len(name) <= 128 and len(value) <= 256 and text.isprintable()
    return (name, value) if equals and sound else None


def _missing(ident: int) -> Error:
    hint = "corral webhook ls shows yours"
    return refusal("E_NOT_FOUND", "no such webhook", field="/id", got=quote(ident), hint=hint)


def _no_delivery(ident: str) -> Error:
    hint = "corral webhook deliveries ID shows what is kept"
    return refusal("E_NOT_FOUND", "no such delivery", field="/delivery", got=quote(ident), hint=hint)


def _no_user(name: str) -> Error:
    hint = "corral users shows everybody"
    return refusal("E_NOT_FOUND", "no such user", field="/user", got=quote(name), hint=hint)
