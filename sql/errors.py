"""What can go wrong with the schema or with the embedded server."""

from __future__ import annotations


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
