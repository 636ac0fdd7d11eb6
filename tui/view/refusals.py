"""What went wrong, in words for a screen. They may hold text from anywhere: `safe_line` comes after."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from bus.errors import (
    ApiError,
    CorralError,
    DecodeError,
    Disconnected,
    Error,
    NoResponders,
    RequestTimeout,
)
from bus.values import Role

if TYPE_CHECKING:
    from bus.api import Whoami


AGAIN = "ctrl-r asks again"
OTHER_VERSION = "install the same version of Corral on both sides"
_NOT_SPOKEN = frozenset({"E_VERSION", "E_SUBJECT"})


class Trouble(Struct, frozen=True):
    """Why there is no answer, and what would bring one."""

    what: str
    help: str

    def __str__(self) -> str:
        return f"{self.what}; {self.help}"


def trouble_of(error: CorralError, *, me: Whoami | None = None) -> Trouble:
    """Of a question whose answer should have been shown; `me` is who asked, as far as known."""
    match error:
        case ApiError(error=Error(code="E_FORBIDDEN") as refused):
            return Trouble(needed(refused, me), f"{_who_helps(refused)}; {AGAIN}")
        case ApiError(error=refused) if refused.code in _NOT_SPOKEN:
            return Trouble(f"{refusal_text(refused)}{_versions(me)}", OTHER_VERSION)
        case ApiError(error=refused):
            return Trouble(refusal_text(refused), AGAIN)
        case DecodeError():
            return Trouble(f"not understood: {error}{_versions(me)}", OTHER_VERSION)
        case RequestTimeout():
            return Trouble(f"no answer in time ({error_text(error)})", f"asked again soon, {AGAIN} now")
        case NoResponders() | Disconnected():
            return Trouble(f"nobody answers ({error_text(error)})", f"asked again soon, {AGAIN} now")
        case _:
            return Trouble(error_text(error), AGAIN)


def needed(refused: Error, me: Whoami | None) -> str:
    """ "needs operator, you are readonly (alice)"; what the coordinator said where it names no role."""
    least = _least(refused)
    return refusal_text(refused) if me is None or least is None else needs_role(least, me.role, me.user)


def waiting_text(waited_s: float) -> str:
    """ "◐ waiting 3 s"; "" while nobody has waited long."""
    return f"◐ waiting {waited_s:.0f} s" if waited_s else ""


def needs_role(least: Role, role: Role, user: str) -> str:
    """ "needs operator, you are readonly (alice)"."""
    return f"needs {least}, you are {role}" + (f" ({user})" if user else "")


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


def _least(refused: Error) -> Role | None:
    """The role that "operator or above" names."""
    word = refused.expected.partition(" ")[0]
    return Role(word) if word in set(Role) else None


def _who_helps(refused: Error) -> str:
    least = _least(refused)
    if least is None or least is Role.ADMIN:
        return "ask an admin"
    return f"ask {'an' if least is Role.OPERATOR else 'a'} {least}, or an admin for that role"


def _versions(me: Whoami | None) -> str:
    """Who speaks which version, where they differ."""
    from importlib.metadata import version  # takes longer than most commands have; errors can wait

    ours = version("corral")
    if me is None or me.version in ("", ours):
        return ""
    return f" (the coordinator is {me.version}, this console {ours})"
