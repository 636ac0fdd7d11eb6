"""Whether a server is the one that is meant, and whether it takes us: what a failed connection means.

`bus.connection` asks; nothing here connects.
"""

from __future__ import annotations

import ssl
from pathlib import Path

from bus.errors import CredentialsError, Disconnected, Forbidden
from bus.setting_kinds import SYSTEM

LOGIN_HINT = "corral login URL TOKEN gets new ones; an admin makes a token with corral token user NAME"
TLS_HINT = (
    "is it the right address? the name in it must be one that its certificate is for (corral up --listen); "
    "nats.ca names the authority of a server of your own"
)
CLUSTER_NAME = "Corral cluster"
"""Of the authority that each cluster brings along."""

_REFUSED = (
    "authorization violation",
    "authentication expired",
    "authentication revoked",
    "account authentication",
)


class Refused(Forbidden, CredentialsError):
    """The server does not take these credentials: expired, revoked, or of another cluster."""


class Untrusted(Disconnected, CredentialsError):
    """What answers at the address does not prove that it is the cluster's server; it was told nothing."""


class NoTls(ssl.SSLError):
    """The server greeted, and its greeting offers no TLS."""


def expired(name: str) -> Refused:
    """The refusal of credentials that ended, whoever noticed."""
    return Refused("E_TOKEN_EXPIRED", f"the credentials of {name} have expired", LOGIN_HINT)


def verdict_of(error: Exception | None, *, url: str, name: str) -> Refused | Untrusted | None:
    """What the failure of a connection to `url` as `name` says for good; None: it may pass."""
    text = str(error).lower()
    if any(word in text for word in _REFUSED):
        if "expired" in text:
            return expired(name)
        said = f"the server refuses the credentials of {name}: revoked, or of another cluster"
        return Refused("E_TOKEN_REVOKED", said, LOGIN_HINT)
    match error:
        case ssl.SSLCertVerificationError():
            why = f"its certificate does not fit: {error.verify_message}"
        case ssl.SSLError() if is_greeting(error):
            why = "it speaks no TLS"
        case NoTls():
            why = "it offers no TLS"
        case _:
            return None
    return Untrusted("E_TLS", f"{url} cannot be trusted: {why}", TLS_HINT)


def is_greeting(error: Exception) -> bool:
    """Whether plain text came where TLS should: such as the greeting of a server that speaks first."""
    return isinstance(error, ssl.SSLError) and "WRONG_VERSION_NUMBER" in str(error)


def read_authority(named: str) -> str:
    """The certificates (PEM) that the setting nats.ca names; "" for the system's.

    Raises CredentialsError (E_CONFIG).
    """
    if named == SYSTEM:
        return ""
    try:
        pem = Path(named).read_text("ascii")
        ssl.create_default_context(cadata=pem)
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) and error.strerror else "no PEM certificate in it"
        raise CredentialsError(
            "E_CONFIG", f"nats.ca: cannot use {named}: {why}", "corral config explain nats.ca"
        ) from None
    return pem


def begins_with_tls(context: ssl.SSLContext) -> bool:
    """Whether the server that is meant is the one that Corral brings along.

    It waits a moment for a client that begins with TLS, and so hears nothing else; others greet first.
    """
    subjects = [certificate["subject"] for certificate in context.get_ca_certs()]
    return ((("commonName", CLUSTER_NAME),),) in subjects


def client_context(ca_pem: str) -> ssl.SSLContext:
    """TLS 1.3 and nothing older, the server's name checked, by this authority; "" takes the system's."""
    context = ssl.create_default_context(cadata=ca_pem or None)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    return context
