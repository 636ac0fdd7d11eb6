"""What can go wrong with the schema or with the embedded server."""

from __future__ import annotations

from enum import StrEnum


class SchemaError(Exception):
    """The database's schema is not one that this version can work with."""


class NewerSchema(SchemaError):
    """The database was migrated by a newer version of Corral."""


class DirtySchema(SchemaError):
    """A migration that was applied is not the one that this version carries."""


class ServerTooOld(SchemaError):
    """PostgreSQL is older than 15."""


class ServerFailed(Exception):
    """The embedded PostgreSQL could not be prepared or did not come up."""


class Reason(StrEnum):
    """Why a database cannot be used."""

    UNREACHABLE = "unreachable"  # nobody answers there
    DENIED = "denied"  # it does not take our name and password
    UNTRUSTED = "untrusted"  # it does not prove that it is the one
    UNFIT = "unfit"  # too old, of another version of Corral, without the rights that are needed


class DatabaseRefused(Exception):
    """A database of one's own cannot be used; the text names the host and never the password."""

    def __init__(self, reason: Reason, message: str, hint: str = "") -> None:
        self.reason = reason
        self.hint = hint
        super().__init__(message)
