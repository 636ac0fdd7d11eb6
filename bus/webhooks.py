"""Webhooks: what is asked about them, what is told of them, and how what they carry is signed.

The scheme is that of Standard Webhooks, so that ready-made libraries verify it: HMAC-SHA256 over
`<id>.<timestamp>.<body>`, in base64 behind "v1,".
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac

from msgspec import Struct

from bus.operation import Operation
from bus.requests import Request
from bus.values import Role

ID_HEADER = "webhook-id"
TIMESTAMP_HEADER = "webhook-timestamp"
SIGNATURE_HEADER = "webhook-signature"

REPLAY_WINDOW_S = 300
"""A receiver should refuse what was signed longer ago than this, or is as far in the future."""

SECRET_PREFIX = "whsec_"
SECRET_MIN_BYTES, SECRET_MAX_BYTES = 16, 256

JOB_EVENTS = ("job.submitted", "job.started", "job.completed", "job.failed", "job.cancelled", "task.failed")
NODE_EVENTS = ("node.joined", "node.lost", "node.back", "node.drained", "node.quarantined")
TEST_EVENT = "webhook.test"

EVENTS = (*JOB_EVENTS, *NODE_EVENTS)
"""What a webhook may ask for; `webhook.test` comes when it is tested."""


class WebhookAdd(Request, kw_only=True):
    """Have `url` called at every event of `on`.

    `job`: only of this job and its tasks; `user`: only of this user's jobs; `tag`: "NAME=VALUE", only of jobs
    whose metadata has it. They narrow what is about jobs; what is about nodes comes all the same. `secret`:
    what signs, as text or base64 behind "whsec_"; "" has one made, which the answer shows once.
    """

    url: str
    on: list[str]
    job: int | None = None
    user: str = ""
    tag: str = ""
    secret: str = ""


class WebhookList(Request, kw_only=True):
    """`user`: only whose; "": one's own, of operators everybody's."""

    user: str = ""


class WebhookQuery(Request):
    """`id`: of a webhook."""

    id: int


class DeliveryList(Request, kw_only=True):
    """`limit`: so many, newest first, 1 to 1,000."""

    id: int
    limit: int = 100


class DeliveryQuery(Request):
    """`delivery`: its id."""

    delivery: str


class Webhook(Struct, kw_only=True):
    """Instants in seconds of the Unix epoch. `state`: active, failing (the newest try failed), full (so much
    waits that further events are left out), disabled (`reason` says why).

    `secret`: only in the answer to who added it without one. `waiting`, `delivered`, `dead`: deliveries.
    """

    id: int
    user: str
    url: str
    on: list[str]
    job: int | None = None
    of_user: str = ""
    tag: str = ""
    state: str = "active"
    reason: str = ""
    created_at: float
    failing_since: float | None = None
    waiting: int = 0
    delivered: int = 0
    dead: int = 0
    secret: str = ""


class Webhooks(Struct, kw_only=True):
    webhooks: list[Webhook]


class Delivery(Struct, kw_only=True):
    """One event for one webhook. `state`: waiting, delivered, dead (given up after the last try).

    `status`: of the newest answer, None: there was none; `last_error`: why it did not count as delivered.
    `next_at`: of the next try. `body`: what is sent, byte for byte the same at every try.
    """

    id: str
    webhook: int
    event: str
    state: str
    attempts: int
    created_at: float
    next_at: float | None = None
    last_at: float | None = None
    took_ms: float | None = None
    status: int | None = None
    last_error: str = ""
    body: str = ""


class Deliveries(Struct, kw_only=True):
    deliveries: list[Delivery]


WEBHOOK_OPERATIONS: dict[str, Operation] = {
    "webhook.add": Operation(WebhookAdd, Webhook, Role.USER),
    "webhook.list": Operation(WebhookList, Webhooks, Role.READONLY),
    "webhook.remove": Operation(WebhookQuery, Webhook, Role.USER),
    "webhook.enable": Operation(WebhookQuery, Webhook, Role.USER),
    "webhook.test": Operation(WebhookQuery, Delivery, Role.USER),
    "webhook.deliveries": Operation(DeliveryList, Deliveries, Role.READONLY),
    "webhook.redeliver": Operation(DeliveryQuery, Delivery, Role.USER),
}


def secret_bytes(text: str) -> bytes:
    """The key that `text` stands for: base64 behind "whsec_", else the text itself in UTF-8.

    Raises ValueError saying what is expected.
    """
    if text.startswith(SECRET_PREFIX):
        try:
            key = base64.b64decode(text.removeprefix(SECRET_PREFIX), validate=True)
        except binascii.Error:
            raise ValueError(f"base64 behind {SECRET_PREFIX}") from None
    else:
        key = text.encode()
    if not SECRET_MIN_BYTES <= len(key) <= SECRET_MAX_BYTES:
        raise ValueError(f"{SECRET_MIN_BYTES} to {SECRET_MAX_BYTES} bytes")
    return key


def secret_text(key: bytes) -> str:
    """A key as it is shown and as libraries read it."""
    return SECRET_PREFIX + base64.b64encode(key).decode()


def signature(key: bytes, ident: str, *, timestamp_s: int, body: bytes) -> str:
    """The value of SIGNATURE_HEADER."""
    signed = f"{ident}.{timestamp_s}.".encode() + body
    return "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
