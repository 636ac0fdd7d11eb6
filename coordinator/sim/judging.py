"""What all benches of schedulers have in common: who may be asked for, and how far they are."""

from __future__ import annotations

from collections.abc import Callable, Iterable

Progress = Callable[[int, int], None]
"""Hears runs done, and runs in all."""


class UnknownPolicy(Exception):
    """The text names it; `known` are those that there are."""

    def __init__(self, policy: str, known: Iterable[str]) -> None:
        self.known = tuple(known)
        super().__init__(f"no policy {policy!r}")


def check_known(policies: Iterable[str], known: Iterable[str]) -> None:
    """Raises UnknownPolicy."""
    known = tuple(known)
    for policy in policies:
        if policy not in known:
            raise UnknownPolicy(policy, known)
