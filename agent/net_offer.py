"""How much bandwidth this node offers to tasks. Pure."""

from __future__ import annotations

from agent.interfaces import data_speed_mbps
from bus.values import InterfaceInfo, NetworkTerms

UNKNOWN_MBPS = 1000
"""What a link is taken for of which nobody says how fast it is."""


class NetOffer:
    """`of` the interfaces as they are now; `terms`: what the coordinator said of the network they are in.

    What the operator declared counts, else the speed of the data interface, else what is declared of its
    network. A speed is remembered: without a link a node is degraded, not slower.
    """

    def __init__(self, declared_mbps: int | None) -> None:
        self._declared_mbps = declared_mbps
        self._speed_mbps = 0
        self.terms: NetworkTerms | None = None

    def of(self, interfaces: tuple[InterfaceInfo, ...]) -> int:
        """In Mbit/s, less what is not for tasks."""
        self._speed_mbps = data_speed_mbps(interfaces) or self._speed_mbps
        terms = self.terms or NetworkTerms()
        whole = self._speed_mbps or terms.bandwidth_mbps or UNKNOWN_MBPS
        if self._declared_mbps is not None:
            whole = self._declared_mbps
        return whole * terms.share // 100
