"""Who may speak: credentials and configuration files of the data folder, and our own look at the cluster."""

from __future__ import annotations

import json
import logging
import os
import pwd
import socket
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path

from bus.api import Cluster, Node
from bus.auth import Authority
from bus.client import Client
from bus.credentials import Credentials, parse_credentials, with_ca
from bus.errors import CredentialsError
from bus.layout import (
    ClientSettings,
    Layout,
    make_agent_folder,
    read_secret,
    write_client_settings,
    write_secret,
)
from bus.values import Role
from coordinator.own_servers import Addresses, OwnServers
from coordinator.supervisor.setup import legal_name

log = logging.getLogger(__name__)


class Access:
    """Mints what is missing, once; asks the coordinator with the credentials of the person who started us."""

    def __init__(self, layout: Layout, *, authority: Authority, url: str) -> None:
        self.url = url
        self.host = legal_name(socket.gethostname().partition(".")[0], otherwise="node")
        self.user = legal_name(pwd.getpwuid(os.geteuid()).pw_name, otherwise="admin")
        self._layout = layout
        self._authority = authority
        self._stack = AsyncExitStack()
        self._client: Client | None = None

    def write_client_settings(self) -> Path:
        """Credentials of the person, and `client.json` that leads the command to them."""
        path = self._layout.credentials(self.user)
        credentials = self._kept(path, lambda: self._authority.mint_user(self.user, Role.ADMIN))
        self._layout.tls.mkdir(mode=0o700, exist_ok=True)
        self._layout.ca.write_text(self._authority.ca)
        settings = ClientSettings(
            url=self.url,
            credentials=str(credentials),
            user=self.user,
            ca=str(self._layout.ca) if self._authority.ca else "",
        )
        write_client_settings(self._layout, settings)
        return credentials

    def write_coordinator_config(self, addresses: Addresses, servers: OwnServers) -> None:
        """`coordinator.toml`; it holds the database's passwords, so 0600."""
        keep = servers.keep
        credentials = self._layout.keys / "coordinator.creds"
        write_secret(credentials, self._authority.mint_coordinator().text)  # with the rights of this version
        text = (
            "# Written by the supervisor at each start; changes here are lost.\n"
            f"nats_url = {_toml(self.url)}\n"
            f"credentials = {_toml(str(credentials))}\n"
            f"dsn = {_toml(addresses.coordinator)}\n"
            f"migrate_dsn = {_toml(addresses.owner)}\n"
            f"order = {_toml(servers.order)}\n"
            f"backfill = {_toml(servers.backfill)}\n"
            f"rank = {_toml(servers.rank)}\n"
            f"mode = {_toml(servers.mode)}\n"
            f"test_every_min = {servers.test_every_min}\n"
            f"deterministic = {str(servers.deterministic).lower()}\n"
            f"ageing_min = {servers.ageing_min}\n"
            f"fair_share_half_life_days = {servers.fair_share_half_life_days}\n"
            f"unreachable_after_s = {servers.unreachable_after_s}\n"
            f"backup_again_after_min = {servers.backup_again_after_min}\n"
            f"webhook_hosts = {json.dumps(servers.webhook_hosts)}\n"
            f"keys = {_toml(str(self._layout.keys))}\n\n"
            f"[keep]\ncompleted = {keep.completed}\nfailed = {keep.failed}\ncancelled = {keep.cancelled}\n\n"
            "[[users]]\n"
            f"name = {_toml(self.user)}\n"
            f"role = {_toml(str(Role.ADMIN))}\n"
        )
        write_secret(self._layout.coordinator, text)

    def agent_credentials(self, name: str) -> Path:
        """Credentials of one node's agent; makes the agent's folder."""
        make_agent_folder(self._layout, name)
        return self._kept(self._layout.agent_credentials(name), lambda: self._authority.mint_agent(name))

    async def cluster(self) -> Cluster:
        """What the coordinator says of the cluster. Raises CorralError."""
        return await (await self._connected()).cluster()

    async def node(self, name: str) -> Node:
        """What the coordinator says of one node. Raises CorralError."""
        return await (await self._connected()).node(name)

    async def close(self) -> None:
        """Leave the bus."""
        self._client = None
        await self._stack.aclose()

    def _kept(self, path: Path, mint: Callable[[], Credentials]) -> Path:
        """The credentials at `path`, minted at the first call, with the rights of this version.

        A file that others can read is refused. A damaged one is set aside: we are who mints them.
        """
        try:
            kept = parse_credentials(read_secret(path)) if path.exists() else None
        except CredentialsError as error:
            if error.code == "E_TOKEN_MODE":
                raise
            aside = path.with_name(f"{path.name}.damaged-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}")
            log.error("%s is damaged (%s): it is kept as %s, and made anew", path, error, aside)
            path.rename(aside)
            kept = None
        if kept is None:
            write_secret(path, mint().text)
            return path
        # minted by an earlier version, or for a server that another authority signed
        today = with_ca(self._authority.renewed(kept), self._authority.ca)
        if (today.jwt, today.ca) != (kept.jwt, kept.ca):
            write_secret(path, today.text)
        return path

    async def _connected(self) -> Client:
        if self._client is None:
            connecting = Client.connect(data=self._layout.data)
            self._client = await self._stack.enter_async_context(connecting)
        return self._client


def _toml(text: str) -> str:
    """As a TOML basic string, which escapes quotes, backslashes and control characters as JSON does."""
    return json.dumps(text, ensure_ascii=False)
