"""`login`, `logout`, `whoami`: who one is to the cluster, from here."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

from bus.address import SECURE
from bus.api import Whoami
from bus.client import Client
from bus.credentials import Credentials, parse_credentials
from bus.errors import CorralError
from bus.layout import (
    ClientSettings,
    Layout,
    find_client_settings,
    profile_folder,
    read_client_settings,
    read_secret,
    write_client_settings,
    write_secret,
)
from bus.nats_context import ContextError, remove_contexts, write_context
from bus.tokens import JoinToken, TokenKind
from tui.cli import diagnostics, output
from tui.cli.diagnostics import CommandError, Exit
from tui.cli.tokens import given
from tui.view.instants import local, rfc3339
from tui.view.standing import standing_line


async def login(arguments: Namespace) -> int:
    """Use a token, or this machine's own cluster; then say who one is."""
    if arguments.address is None:
        settings = _settings(arguments)
    else:
        settings = await _log_in(arguments, given(arguments))
    if arguments.nats_context is not None:
        _write_context(arguments.nats_context, settings)
    return await _show(arguments, settings)


async def logout(arguments: Namespace) -> int:
    """Have the key refused, and forget it."""
    profile = Layout(profile_folder())
    if not profile.client.exists():
        raise CommandError(
            "E_CONFLICT",
            "this account has not logged in anywhere",
            exit=Exit.CONFLICT,
            hint="the cluster of this machine needs no login; its credentials lie in the data folder",
        )
    settings = read_client_settings(profile)
    told = await _give_back(settings, ca=_ca(arguments))
    for path in (Path(settings.credentials), profile.ca, profile.client):
        path.unlink(missing_ok=True)
    for path in remove_contexts(settings.credentials):
        diagnostics.note(f"removed {path}")
    answer = {"user": settings.user, "url": settings.url, "revoked": told}
    output.one(
        arguments.output,
        answer,
        name=settings.user,
        text=lambda: [f"{settings.user} logged out of {settings.url}"],
    )
    return Exit.OK


async def whoami(arguments: Namespace) -> int:
    """Name, role, and what any NATS client needs."""
    return await _show(arguments, _settings(arguments))


async def _log_in(arguments: Namespace, token: JoinToken) -> ClientSettings:
    # signing keys and certificates take a while to import: only who needs them waits
    from bus.admission import ask_admission
    from tui.cli.join import secure_url

    url = secure_url(arguments.address)
    if token.kind is not TokenKind.USER:
        raise CommandError(
            "E_TOKEN_FORMAT", "this token is for a machine", exit=Exit.USAGE, hint="corral join takes it"
        )
    credentials = await ask_admission(url, token, ca=_ca(arguments))
    profile = Layout(profile_folder())
    if profile.client.exists():
        diagnostics.note(f"this takes the place of the login at {read_client_settings(profile).url}")
    path = profile.credentials(credentials.name)
    write_secret(path, credentials.text)
    write_secret(profile.ca, credentials.ca)
    settings = ClientSettings(
        url=url,
        credentials=str(path),
        user=credentials.name,
        ca=str(profile.ca) if credentials.ca else "",
    )
    write_client_settings(profile, settings)
    return settings


async def _give_back(settings: ClientSettings, *, ca: str | None) -> bool:
    """Whether the cluster was told; where it cannot be, forgetting must do."""
    try:
        credentials = parse_credentials(read_secret(Path(settings.credentials)))
        async with Client.connect(url=settings.url, credentials=settings.credentials, ca=ca) as corral:
            await corral.logout(credentials.public_key)
    except CorralError as error:
        diagnostics.note(f"the cluster could not be told: {error}")
        return False
    return True


async def _show(arguments: Namespace, settings: ClientSettings) -> int:
    credentials = parse_credentials(read_secret(Path(settings.credentials)))
    async with Client.connect(
        url=settings.url, credentials=settings.credentials, ca=_ca(arguments)
    ) as corral:
        who = await corral.whoami()
    output.one(
        arguments.output,
        _document(who, settings, credentials),
        name=who.user,
        text=lambda: _lines(who, settings, credentials),
    )
    return Exit.OK


def _ca(arguments: Namespace) -> str | None:
    found: str | None = arguments.settings.text("nats.ca")
    return found


def _settings(arguments: Namespace) -> ClientSettings:
    """What every other verb would use. Raises CredentialsError."""
    if arguments.url and arguments.credentials:
        credentials = parse_credentials(read_secret(Path(arguments.credentials)))
        return ClientSettings(
            url=arguments.url, credentials=str(Path(arguments.credentials).absolute()), user=credentials.name
        )
    found = find_client_settings(Path(arguments.data) if arguments.data else None)
    return ClientSettings(
        url=arguments.url or found.url,
        credentials=arguments.credentials or found.credentials,
        user=found.user,
        ca=found.ca,
    )


def _write_context(name: str, settings: ClientSettings) -> None:
    credentials = parse_credentials(read_secret(Path(settings.credentials)))
    try:
        path = write_context(name, settings, inbox_prefix=credentials.inbox_prefix)
    except ContextError as error:
        raise CommandError("E_NAME", str(error), exit=Exit.USAGE, field="--nats-context") from None
    diagnostics.note(
        f"wrote {path}; use it: nats --context {name} req corral.u.{settings.user}.job.list '{{}}'"
    )


def _document(who: Whoami, settings: ClientSettings, credentials: Credentials) -> dict[str, object]:
    expires = credentials.expires_at
    return {
        "user": who.user,
        "role": str(who.role),
        "cluster": who.cluster,
        "version": who.version,
        "standing": who.standing,
        "expires_at": None if expires is None else rfc3339(expires),
        "nats": {
            "url": settings.url,
            "credentials": settings.credentials,
            "inbox_prefix": credentials.inbox_prefix,
            "ca": settings.ca if settings.url.startswith(f"{SECURE}://") else "",
        },
    }


def _lines(who: Whoami, settings: ClientSettings, credentials: Credentials) -> list[str]:
    expires = credentials.expires_at
    return [
        f"user       {who.user} ({who.role})",
        f"cluster    {who.cluster}, version {who.version}",
        *([] if who.standing is None else [f"share      {standing_line(who.standing)}"]),
        f"bus        {settings.url}  (credentials: {settings.credentials})",
        f"inbox      {credentials.inbox_prefix}",
        f"until      {'it is revoked' if expires is None else local(expires)}",
    ]
