"""What a code of an error says: see `bus.codes`, which has them all."""

from __future__ import annotations

from msgspec import Struct


class Code(Struct, frozen=True):
    """`title`: a few words, the message where nothing more can be said. `status`: of the bus answer.
    `exit`: of the command. `retryable`: the same request may succeed later."""

    title: str
    meaning: str
    hint: str
    status: int = 422
    exit: int = 2
    retryable: bool = False
