"""The only writer of stderr, and the one map from errors to exit codes."""

from __future__ import annotations

import json
import sys
from enum import IntEnum

from bus.api import Error
from bus.errors import (
    ApiError,
    CorralError,
    CredentialsError,
    DecodeError,
    Disconnected,
    Forbidden,
    NoResponders,
    RequestTimeout,
    TooLarge,
)
from tui.view.safe import safe_text


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

    def __init__(self, code: str, message: str, *, exit: Exit, hint: str = "", field: str = "") -> None:
        self.error = Error(code=code, message=message, field=field, hint=hint)
        self.exit = exit
        super().__init__(message)


_EXIT_OF_STATUS = {
    401: Exit.NOT_AUTHENTICATED,
    403: Exit.FORBIDDEN,
    404: Exit.NOT_FOUND,
    409: Exit.CONFLICT,
    429: Exit.UNSATISFIABLE,
    503: Exit.UNAVAILABLE,
    504: Exit.TIMEOUT,
}


def describe(error: BaseException) -> tuple[Error, Exit]:
    """An error as people and scripts are told it, and the exit code that goes with it."""
    match error:
        case CommandError():
            return error.error, error.exit
        case ApiError():
            return error.error, _exit_of_answer(error.error)
        case DecodeError():
            return error.to_error(), Exit.USAGE
        case CredentialsError():
            return Error(code=error.code, message=str(error), hint=error.hint), Exit.NOT_AUTHENTICATED
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
        case _:
            return Error(code="E_INTERNAL", message=f"{type(error).__name__}: {error}"), Exit.UNAVAILABLE


def report(error: BaseException, *, as_json: bool = False) -> int:
    """Tell what went wrong on stderr; returns the exit code."""
    answer, code = describe(error)
    if as_json:
        _write(
            json.dumps({"error": _fields(answer) | {"more": [_fields(item) for item in answer.more]}}) + "\n"
        )
        return int(code)
    for item in (answer, *answer.more):
        where = f" at {item.field}" if item.field and item.field not in item.message else ""
        _write(f"error[{item.code}]: {safe_text(item.message)}{safe_text(where)}\n")
        if item.hint:
            _write(f"hint: {safe_text(item.hint)}\n")
    return int(code)


def note(text: str) -> None:
    """A line for the person who watches; never data."""
    _write(safe_text(text) + "\n")


def raw(data: bytes) -> None:
    """A job's own stderr, byte for byte."""
    sys.stderr.buffer.write(data)
    sys.stderr.buffer.flush()


def is_terminal() -> bool:
    """Whether somebody watches stderr."""
    return sys.stderr.isatty()


def _write(text: str) -> None:
    try:
        sys.stderr.write(text)
        sys.stderr.flush()
    except (BrokenPipeError, ValueError):
        return  # nobody is left to be told


def _exit_of_answer(error: Error) -> Exit:
    if error.code in ("E_UNSATISFIABLE", "E_QUOTA"):
        return Exit.UNSATISFIABLE
    return _EXIT_OF_STATUS.get(error.status, Exit.USAGE)


def _fields(error: Error) -> dict[str, object]:
    return {
        "code": error.code,
        "message": error.message,
        "field": error.field,
        "hint": error.hint,
        "status": error.status,
        "retryable": error.retry_after_s is not None,
    }


def _said(error: Exception, otherwise: str) -> str:
    return str(error) or otherwise
