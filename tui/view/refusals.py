"""What went wrong, in one line for a screen. It may hold text from anywhere: `safe_line` comes after."""

from __future__ import annotations

from bus.api import Error
from bus.errors import ApiError, CorralError


def error_text(error: CorralError) -> str:
    """An error in one line, with its hint."""
    if isinstance(error, ApiError):
        return refusal_text(error.error)
    return str(error) or type(error).__name__


def refusal_text(error: Error) -> str:
    """ "E_ENUM: what is wrong; expected this or that (hint)"."""
    expected = f"; expected {error.expected}" if error.expected else ""
    hint = f" ({error.hint})" if error.hint else ""
    return f"{error.code}: {error.message}{expected}{hint}"
