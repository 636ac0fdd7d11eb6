"""What can go wrong on the wire. One base; each class says who broke which rule."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct
from msgspec.structs import replace


class Error(Struct, kw_only=True):
    """Every refusal.

    `code` is stable (E_…, see `bus.codes`), `message` says what is wrong, `field` where (a JSON pointer, or a
    flag of the command), `got` what was found there (cut to 80 characters), `expected` and `hint` what would
    be right. `retryable`: the same request may succeed later.
    """

    code: str
    message: str
    field: str = ""
    got: str = ""
    expected: str = ""
    hint: str = ""
    status: int = 400
    retryable: bool = False
    retry_after_s: float | None = None
    request_id: str = ""  # names the request in the coordinator's log and audit
    more: list[Error] = []  # further faults of the same request


class ErrorReply(Struct, kw_only=True):
    error: Error


class CorralError(Exception):
    """Base of every error that Corral raises on purpose."""


class BusError(CorralError):
    """The bus could not do what was asked of it."""


class Disconnected(BusError):
    """There is no connection now; nothing was buffered. Try again after the reconnect."""


class Stalled(Disconnected):
    """There is a connection, but the server takes nothing more. It was not sent: try again later."""


class NoResponders(BusError):
    """Nobody listens on that subject: the coordinator or the agent is away."""


class RequestTimeout(BusError):
    """No answer in time. The request may or may not have been carried out."""


class Forbidden(BusError):
    """The credentials do not allow this subject, or were refused altogether."""


class TooLarge(BusError):
    """More bytes than the server takes in one message."""


class DecodeError(CorralError):
    """Bytes that are not the message they should be: every fault, the first one in front."""

    def __init__(self, faults: Sequence[Error], *, subject: str = "") -> None:
        self.faults = tuple(faults)
        self.subject = subject
        where = f"{subject}: " if subject else ""
        super().__init__(where + "; ".join(one_line(fault) for fault in self.faults[:5]))

    @property
    def code(self) -> str:
        return self.faults[0].code

    @property
    def reason(self) -> str:
        return one_line(self.faults[0])

    @property
    def pointer(self) -> str:
        return self.faults[0].field

    @property
    def hint(self) -> str:
        return self.faults[0].hint

    def to_error(self) -> Error:
        """The answer for the sender: the first fault, with the others in `more`."""
        return replace(self.faults[0], more=list(self.faults[1:]))


class ApiError(CorralError):
    """The coordinator refused a request; `error` is its answer."""

    def __init__(self, error: Error) -> None:
        self.error = error
        super().__init__(f"{error.code}: {one_line(error)}")


class CredentialsError(CorralError):
    """A credentials file cannot be used; `code` is the catalogue's (E_TOKEN_MODE, E_TOKEN_FORMAT …)."""

    def __init__(self, code: str, message: str, hint: str = "") -> None:
        self.code = code
        self.hint = hint
        super().__init__(message)


def one_line(error: Error) -> str:
    """What is wrong, where, what was found and what would be right, as one sentence."""
    text = error.message
    if error.field and error.field not in text:
        text += f" at {error.field}"
    details = [f"got {error.got}"] if error.got else []
    if error.expected:
        details.append(f"expected {error.expected}")
    return f"{text}: {'; '.join(details)}" if details else text
