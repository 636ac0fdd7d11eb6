"""How the store fails. What is not here is a bug and ends the program."""

from __future__ import annotations


class StoreError(Exception):
    """Base of all."""


class StoreUnavailable(StoreError):
    """The database cannot be reached; nothing of this call was committed."""


class NotLeader(StoreError):
    """Another coordinator leads: this one must write nothing more."""


class OutcomeUnknown(StoreError):
    """The connection broke before the commit was answered: ask `committed`, then write the batch again."""


class Disagreement(StoreError):
    """The rows do not fit what the database holds; nothing was committed. A bug, or another writer."""


class TooMuchAsked(StoreError):
    """A question that would keep the database busy for too long: it was given up."""
