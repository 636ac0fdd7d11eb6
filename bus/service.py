"""Our answers to service discovery: `$SRV.PING`, `INFO` and `STATS`, so that `nats micro list` shows Corral.

The request subjects themselves are served by whoever makes the Service: it passes each answered request to
`record`. Works over every `bus.transport.Bus`.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from msgspec import Struct

from bus.transport import Bus, Message, Subscription

_INBOX = "_INBOX"


class Endpoint(Struct):
    """One operation and what became of its requests; times in nanoseconds, as the protocol wants."""

    name: str
    subject: str
    metadata: dict[str, str] = {}
    requests: int = 0
    errors: int = 0
    last_error: str = ""
    processing_ns: int = 0


class Service:
    """A micro service of the NATS protocol, for discovery."""

    def __init__(
        self, bus: Bus, *, name: str, version: str, description: str, endpoints: Sequence[Endpoint]
    ) -> None:
        self._bus = bus
        self._id = secrets.token_hex(11).upper()
        self._name = name
        self._version = version
        self._description = description
        self._endpoints = {endpoint.name: endpoint for endpoint in endpoints}
        self._started = datetime.now(UTC).isoformat()
        self._subscriptions: list[Subscription] = []

    @property
    def id(self) -> str:
        """Unique among all instances, as `nats micro` shows it."""
        return self._id

    async def start(self) -> None:
        """From here on it is found."""
        for verb in ("PING", "INFO", "STATS"):
            for whom in ("", f".{self._name}", f".{self._name}.{self._id}"):
                subscription = await self._bus.subscribe(f"$SRV.{verb}{whom}", self._answer)
                self._subscriptions.append(subscription)

    async def stop(self) -> None:
        """Not found any more. Twice is fine."""
        while self._subscriptions:
            await self._subscriptions.pop().unsubscribe()

    def record(self, endpoint: str, *, seconds: float, error: str = "") -> None:
        """A request was answered after `seconds`; `error` is "status:code" where it was refused."""
        stats = self._endpoints[endpoint]
        stats.requests += 1
        stats.processing_ns += round(seconds * 1e9)
        if error:
            stats.errors += 1
            stats.last_error = error

    async def _answer(self, message: Message) -> None:
        # a reply subject elsewhere would have us publish where the asker may not
        if not message.reply.startswith(_INBOX):
            return
        match message.subject.split(".")[1]:
            case "PING":
                body = self._identity("ping")
            case "INFO":
                body = self._info()
            case _:
                body = self._stats()
        await self._bus.publish(message.reply, json.dumps(body).encode())

    def _identity(self, kind: str) -> dict[str, Any]:
        return {
            "type": f"io.nats.micro.v1.{kind}_response",
            "name": self._name,
            "id": self._id,
            "version": self._version,
            "metadata": {},
        }

    def _info(self) -> dict[str, Any]:
        endpoints = [
            {
                "name": endpoint.name.replace(".", "-"),
                "subject": endpoint.subject,
                "queue_group": "",
                "metadata": endpoint.metadata,
            }
            for endpoint in self._endpoints.values()
        ]
        return {**self._identity("info"), "description": self._description, "endpoints": endpoints}

    def _stats(self) -> dict[str, Any]:
        endpoints = [
            {
                "name": endpoint.name.replace(".", "-"),
                "subject": endpoint.subject,
                "queue_group": "",
                "num_requests": endpoint.requests,
                "num_errors": endpoint.errors,
                "last_error": endpoint.last_error,
                "processing_time": endpoint.processing_ns,
                "average_processing_time": endpoint.processing_ns // max(endpoint.requests, 1),
            }
            for endpoint in self._endpoints.values()
        ]
        return {**self._identity("stats"), "started": self._started, "endpoints": endpoints}
