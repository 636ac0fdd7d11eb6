"""One method for each operation of `bus.webhooks`; part of `bus.calls.Calls`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from msgspec import Struct

from bus.webhooks import (
    Deliveries,
    Delivery,
    DeliveryList,
    DeliveryQuery,
    Webhook,
    WebhookAdd,
    WebhookList,
    WebhookQuery,
    Webhooks,
)

S = TypeVar("S", bound=Struct)


class WebhookCalls:
    """Addresses that the cluster calls when something happens."""

    async def add_webhook(
        self,
        url: str,
        on: Sequence[str],
        *,
        job: int | None = None,
        user: str = "",
        tag: str = "",
        secret: str = "",
    ) -> Webhook:
        """See WebhookAdd."""
        asked = WebhookAdd(url=url, on=list(on), job=job, user=user, tag=tag, secret=secret)
        return await self._call("webhook.add", asked, Webhook)

    async def webhooks(self, *, user: str = "") -> Webhooks:
        return await self._call("webhook.list", WebhookList(user=user), Webhooks)

    async def remove_webhook(self, ident: int) -> Webhook:
        """What still waits for it is not sent any more."""
        return await self._call("webhook.remove", WebhookQuery(id=ident), Webhook)

    async def enable_webhook(self, ident: int) -> Webhook:
        """Have one called again that was disabled as nothing could be delivered."""
        return await self._call("webhook.enable", WebhookQuery(id=ident), Webhook)

    async def test_webhook(self, ident: int) -> Delivery:
        """Send it a `webhook.test`, soon; `deliveries` says what came of it."""
        return await self._call("webhook.test", WebhookQuery(id=ident), Delivery)

    async def deliveries(self, ident: int, *, limit: int = 100) -> Deliveries:
        """Newest first."""
        return await self._call("webhook.deliveries", DeliveryList(id=ident, limit=limit), Deliveries)

    async def redeliver(self, delivery: str) -> Delivery:
        """Try one again that was given up or has arrived, from the first try on, under the same id."""
        return await self._call("webhook.redeliver", DeliveryQuery(delivery=delivery), Delivery)

    async def _call(
        self, operation: str, request: Struct, kind: type[S], *, timeout_s: float | None = None
    ) -> S:
        raise NotImplementedError
