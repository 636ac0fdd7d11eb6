"""The only writer of stderr, and the one map from errors to exit codes."""

from __future__ import annotations

import io
import json
import os
import shutil
import sys
from collections.abc import Callable
from enum import IntEnum

from msgspec.structs import replace

from bus.errors import (
    ApiError,
    CorralError,
    CredentialsError,
    DecodeError,
    Disconnected,
    Error,
    Forbidden,
    NoResponders,
    RequestTimeout,
    TooLarge,
    one_line,
)
from tui.view.safe import safe_line, safe_text
from tui.view.tones import paint


class Exit(IntEnum):
    """What the command's exit code says; `run` otherwise exits with the job's own code."""

    OK = 0
    JOB_FAILED = 1
    USAGE = 2
    NOT_FOUND = 3
    NOT_AUTHENTICATED = 4
    FORBIDDEN = 5
    CONFLICT = 6
    UNSATISFIABLE = 7
    UNAVAILABLE = 69
    TIMEOUT = 75
    CONFIGURATION = 78
    INTERRUPTED = 130


class CommandError(CorralError):
    """Something that the command itself found wrong, with the exit code it ends with."""

    def __init__(
        self,
        code: str,
        message: str,
        *,
        exit: Exit,
        hint: str = "",
        field: str = "",
        got: str = "",
        expected: str = "",
    ) -> None:
        self.error = Error(code=code, message=message, field=field, got=got, expected=expected, hint=hint)
        self.exit = exit
        super().__init__(one_line(self.error))


# of codes that only a newer coordinator knows
_EXIT_OF_STATUS = {
    401: Exit.NOT_AUTHENTICATED,
    403: Exit.FORBIDDEN,
    404: Exit.NOT_FOUND,
    409: Exit.CONFLICT,
    429: Exit.UNSATISFIABLE,
    503: Exit.UNAVAILABLE,
    504: Exit.TIMEOUT,
}


def describe(error: BaseException) -> tuple[Error, int]:
    """An error as people and scripts are told it, and the exit code that goes with it."""
    match error:
        case CommandError():
            return error.error, error.exit
        case ApiError():
            return error.error, _exit_of_answer(error.error)
        case DecodeError():
            return error.to_error(), Exit.USAGE
        case CredentialsError():
            code = Exit.CONFIGURATION if error.code == "E_CONFIG" else Exit.NOT_AUTHENTICATED
            return Error(code=error.code, message=str(error), hint=error.hint), code
        case Forbidden():
            return Error(
                code="E_FORBIDDEN", message=_said(error, "the credentials do not allow it")
            ), Exit.FORBIDDEN
        case NoResponders():
            hint = "corral status shows what runs on this machine"
            return Error(code="E_UNAVAILABLE", message="no coordinator answers", hint=hint), Exit.UNAVAILABLE
        case Disconnected():
            hint = "corral up starts one on this machine"
            return (
                Error(code="E_UNAVAILABLE", message=_said(error, "no connection to a cluster"), hint=hint),
                Exit.UNAVAILABLE,
            )
        case RequestTimeout():
            return Error(code="E_TIMEOUT", message=_said(error, "no answer in time")), Exit.TIMEOUT
        case TooLarge():
            hint = "an array or --for-each keeps a large job in one short message"
            return Error(code="E_TOO_LARGE", message=_said(error, "message too large"), hint=hint), Exit.USAGE
        case OSError():
            message = f"{error.filename or 'input or output'}: {error.strerror or error}"
            return Error(code="E_IO", message=message), Exit.UNAVAILABLE
        case _:
            return Error(code="E_INTERNAL", message=f"{type(error).__name__}: {error}"), Exit.UNAVAILABLE


def report(
    error: BaseException, *, as_json: bool = False, typed_as: Callable[[str], str] = lambda field: field
) -> int:
    """Tell what went wrong on stderr; returns the exit code.

    `typed_as`: what people who typed a command line call a field; programs are told its pointer.
    """
    answer, code = describe(error)
    faults = [completed(item) for item in (answer, *answer.more)]
    if as_json:
        first, *more = map(_fields, faults)
        _write(json.dumps({"error": first | {"more": more}}) + "\n")
        return int(code)
    hinted = ""
    for item in faults:
        said = one_line(replace(item, field=typed_as(item.field)) if item.field else item)
        _write(f"{_coloured(f'error[{item.code}]:')} {safe_line(said)}\n")
        if item.hint and item.hint != hinted:
            _write(f"hint: {safe_line(item.hint)}\n")
            hinted = item.hint
    return int(code)


def completed(error: Error) -> Error:
    """With what its code says of hint, status and trying again, where the error itself does not."""
    from bus.codes import CODES

    known = CODES.get(error.code)
    if known is None:
        return error
    return replace(
        error,
        hint=error.hint or known.hint,
        status=error.status if error.status != 400 else known.status,
        retryable=error.retryable or known.retryable,
    )


def prepare() -> None:
    """As `tui.cli.output.prepare`, for stderr."""
    if isinstance(sys.stderr, io.TextIOWrapper):
        sys.stderr.reconfigure(errors="replace")


def note(text: str) -> None:
    """A line for the person who watches; never data."""
    _write(safe_text(text) + "\n")


def raw(data: bytes) -> None:
    """A job's own stderr, byte for byte."""
    if sys.stderr is not None:
        sys.stderr.buffer.write(data)
        sys.stderr.buffer.flush()


def redraw(text: str) -> None:
    """Put one line, already safe and no wider than the terminal, in the place of the last one drawn."""
    _write(f"\r\x1b[K{text}")


def is_terminal() -> bool:
    """Whether somebody watches stderr."""
    return sys.stderr is not None and sys.stderr.isatty()


def can_redraw() -> bool:
    """Whether a line on stderr can be drawn over: a terminal that understands more than text."""
    return is_terminal() and os.environ.get("TERM", "dumb") != "dumb"


def width() -> int:
    """Of the terminal that stderr is, in cells; stdout may be a file, which is as wide as nothing."""
    try:
        return os.get_terminal_size(2).columns or 80
    except OSError:
        return shutil.get_terminal_size().columns


def _write(text: str) -> None:
    if sys.stderr is None:
        return  # started with stderr closed
    try:
        sys.stderr.write(text)
        sys.stderr.flush()
    except (OSError, ValueError):
        return  # nobody is left to be told


def _coloured(text: str) -> str:
    return paint(text, "bad") if can_redraw() and not os.environ.get("NO_COLOR") else text


def _exit_of_answer(error: Error) -> int:
    from bus.codes import CODES

    known = CODES.get(error.code)
    return known.exit if known is not None else _EXIT_OF_STATUS.get(error.status, Exit.USAGE)


def _fields(error: Error) -> dict[str, object]:
    fields = {name: getattr(error, name) for name in error.__struct_fields__ if name != "more"}
    return fields | {"pointer": error.field}


def _said(error: Exception, otherwise: str) -> str:
    return str(error) or otherwise
