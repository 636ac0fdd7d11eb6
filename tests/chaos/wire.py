"""A machine of its own for one agent, as far as the network goes: a namespace with one link to us.

Pulled, the kernel drops what is sent, and TCP finds out the slow way. Where namespaces cannot be made (it
takes root, iproute2 and a kernel that allows it) the agent has a proxy only, which holds everything back.
"""

from __future__ import annotations

import os
import subprocess

from msgspec import Struct


class Wire(Struct, frozen=True, kw_only=True):
    """Made by `lay`. `here` is our address on the link."""

    namespace: str
    link: str
    here: str

    def inside(self, argv: list[str]) -> list[str]:
        """The same command, within the namespace."""
        return ["ip", "netns", "exec", self.namespace, *argv]

    def pull(self) -> None:
        _ip("link", "set", self.link, "down")

    def mend(self) -> None:
        _ip("link", "set", self.link, "up")

    def remove(self) -> None:
        """With everything that is left in it. Twice is fine."""
        subprocess.run(["ip", "netns", "del", self.namespace], capture_output=True, check=False)


def lay() -> Wire | None:
    """A namespace with its link up; None where this machine does not allow it."""
    mark = os.getpid()
    net = f"10.{200 + mark // 65_536 % 32}.{mark // 256 % 256}"
    first = mark % 64 * 4
    wire = Wire(namespace=f"chaos{mark}", link=f"ch{mark}", here=f"{net}.{first + 1}")
    if os.geteuid() != 0:
        return None
    try:
        _ip("netns", "add", wire.namespace)
        _ip("link", "add", wire.link, "type", "veth", "peer", "name", "eth0", "netns", wire.namespace)
        _ip("addr", "add", f"{wire.here}/30", "dev", wire.link)
        _ip("link", "set", wire.link, "up")
        _ip("-n", wire.namespace, "addr", "add", f"{net}.{first + 2}/30", "dev", "eth0")
        _ip("-n", wire.namespace, "link", "set", "eth0", "up")
        _ip("-n", wire.namespace, "link", "set", "lo", "up")
    except (OSError, subprocess.CalledProcessError):
        wire.remove()
        return None
    return wire


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], capture_output=True, check=True)
