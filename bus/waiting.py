"""Requests on their way: each waits for its answer, or hears why there will be none."""

from __future__ import annotations

import asyncio

from bus.errors import BusError
from bus.transport import Message


class Waiting:
    """By the token at the end of the reply subject. `forget` each that was asked."""

    def __init__(self) -> None:
        self._asked: dict[str, tuple[str, asyncio.Future[Message]]] = {}
        self._count = 0

    def ask(self, subject: str) -> tuple[str, asyncio.Future[Message]]:
        """The token and the answer of a request on `subject`."""
        self._count += 1
        token = str(self._count)
        answer: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
        self._asked[token] = subject, answer
        return token, answer

    def forget(self, token: str) -> None:
        """Nobody waits for it any longer: what still comes is dropped."""
        del self._asked[token]

    def answer(self, token: str, message: Message) -> None:
        """It has come; only the first counts."""
        asked = self._asked.get(token)
        if asked is not None and not asked[1].done():
            asked[1].set_result(message)

    def deny(self, subject: str, error: BusError) -> bool:
        """Fail all on `subject`, in any case of its letters; whether there were any."""
        denied = [answer for on, answer in self._asked.values() if on.lower() == subject.lower()]
        _fail(denied, error)
        return bool(denied)

    def fail(self, error: BusError) -> None:
        """The connection is gone: fail all."""
        _fail([answer for _, answer in self._asked.values()], error)


def _fail(answers: list[asyncio.Future[Message]], error: BusError) -> None:
    for answer in answers:
        if not answer.done():
            answer.set_exception(error)
