"""Pools that a node's operator declares in its agent's configuration."""

from __future__ import annotations

from msgspec import Struct


class PoolDeclared(Struct, frozen=True, kw_only=True):
    """A folder of a node that is to be a part of a pool; `{node}` in its path is the node's name.

    `size_mib`: what volumes may be given of it. With `replicas` beyond 1 each volume lies on so many nodes.
    """

    name: str
    path: str
    size_mib: int
    tier: str = "standard"
    compress: bool = False
    encrypt: bool = False
    replicas: int = 1
