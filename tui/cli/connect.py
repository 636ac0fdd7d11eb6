"""Reach the cluster that the options, the environment or this machine's data folder name."""

from __future__ import annotations

from argparse import Namespace
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bus.client import Client


def client(arguments: Namespace, *, name: str = "corral client") -> AbstractAsyncContextManager[Client]:
    """A connection for `async with`; `name` is how the server knows it."""
    from bus.client import Client

    data = Path(arguments.data) if arguments.data else None
    credentials = Path(arguments.credentials) if arguments.credentials else None
    ca = arguments.settings.text("nats.ca")
    return Client.connect(url=arguments.url, credentials=credentials, data=data, ca=ca, name=name)
