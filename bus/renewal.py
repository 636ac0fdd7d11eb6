"""Keeping the JWT of a login fresh: nobody should have to log in again who uses the cluster now and then."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from bus.api import Admitted
from bus.credentials import Credentials, credentials_text
from bus.errors import CorralError
from bus.layout import write_secret

RENEW_BELOW_S = 30 * 86_400.0
"""A third of what a login gives."""

_TIMEOUT_S = 5.0


def is_due(credentials: Credentials) -> bool:
    """Whether it ends soon enough to ask for another."""
    until = credentials.expires_at
    return until is not None and until - time.time() <= RENEW_BELOW_S


async def renew(ask: Callable[[str], Awaitable[Admitted]], credentials: Credentials, path: Path) -> None:
    """Put a fresh JWT into the file; a failure is left to the next command."""
    try:
        async with asyncio.timeout(_TIMEOUT_S):
            fresh = await ask(credentials.public_key)
        write_secret(path, credentials_text(fresh.jwt, credentials.seed.decode(), credentials.ca))
    except (CorralError, OSError, TimeoutError):
        return
