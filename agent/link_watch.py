"""An eye on the network interfaces: the kernel says when something changes, and now and then we look anyway.

Netlink only wakes; what is true is looked up. So a message that was lost costs one interval, and a kernel
that refuses the socket costs no more than that.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import Callable
from contextlib import suppress

from agent.interfaces import Interfaces
from bus.values import InterfaceInfo

_log = logging.getLogger(__name__)

_POLL_S = 5.0
_SETTLE_S = 0.3
"""A change comes as several messages."""

_REST_S = 3.0
"""After a change was told: a link that flaps must not keep the coordinator busy."""

_GROUPS = 0x1 | 0x10 | 0x100  # RTMGRP_LINK, RTMGRP_IPV4_IFADDR, RTMGRP_IPV6_IFADDR
_MESSAGE_BYTES = 65_536


class LinkWatch:
    """`run` calls `on_change` whenever the interfaces are others than `known`, then keeps those."""

    def __init__(
        self,
        interfaces: Interfaces,
        known: tuple[InterfaceInfo, ...],
        *,
        on_change: Callable[[tuple[InterfaceInfo, ...]], None],
    ) -> None:
        self._interfaces = interfaces
        self._known = known
        self._on_change = on_change
        self._woken = asyncio.Event()

    async def run(self) -> None:
        """Watch for ever."""
        listening = _listen()
        loop = asyncio.get_running_loop()
        try:
            if listening is not None:
                loop.add_reader(listening, self._hear, listening)
            while True:
                with suppress(TimeoutError):
                    async with asyncio.timeout(_POLL_S):
                        await self._woken.wait()
                        await asyncio.sleep(_SETTLE_S)
                self._woken.clear()
                try:
                    found = await asyncio.to_thread(self._interfaces.found)
                except (OSError, ValueError) as error:  # they change while they are looked at
                    _log.warning("interfaces cannot be looked at: %s", error)
                    continue
                if found != self._known:
                    self._known = found
                    self._on_change(found)
                    await asyncio.sleep(_REST_S)
        finally:
            if listening is not None:
                loop.remove_reader(listening)
                listening.close()

    def _hear(self, listening: socket.socket) -> None:
        """Whatever was said: something changed. More than fits is told by an error, once."""
        self._woken.set()
        with suppress(OSError):
            while listening.recv(_MESSAGE_BYTES):
                pass


def _listen() -> socket.socket | None:
    """None where the kernel gives us no such socket: then only the regular look is left."""
    listening = None
    try:
        listening = socket.socket(
            socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK, socket.NETLINK_ROUTE
        )
        listening.bind((0, _GROUPS))
    except OSError as error:
        _log.warning(
            "changes of interfaces are seen every %.0f s only: %s", _POLL_S, os.strerror(error.errno or 0)
        )
        if listening is not None:
            listening.close()
        return None
    return listening
