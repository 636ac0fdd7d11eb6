"""Where things lie in the data folder, and the reading of the secrets in it."""

from __future__ import annotations

import glob
import os
import stat
import time
from contextlib import suppress
from pathlib import Path

import msgspec
from msgspec import Struct

from bus.errors import CredentialsError
from bus.subjects import SubjectError
from bus.values import is_name

_LEFT_AFTER_S = 60.0
"""Nobody takes so long to write a secret."""


class ClientSettings(Struct, frozen=True, kw_only=True):
    """`client.json`: how programs of this machine's owner reach the cluster. `credentials` is a path."""

    url: str
    credentials: str
    user: str
    ca: str = ""  # path of the authority's certificate, for other clients


class JoinedSettings(Struct, frozen=True, kw_only=True):
    """`joined.json`: as which node this machine belongs to a cluster elsewhere.

    `options` are further arguments of the agent.
    """

    url: str
    node: str
    options: list[str] = []


class Layout(Struct, frozen=True):
    """The paths below one data folder. Nothing here touches the disk."""

    data: Path

    @property
    def nats(self) -> Path:
        return self.data / "nats"

    @property
    def postgres(self) -> Path:
        return self.data / "postgres"

    @property
    def keys(self) -> Path:
        """The cluster's signing keys: 0700."""
        return self.data / "keys"

    @property
    def tls(self) -> Path:
        """The certificate of the NATS server, its key, and the authority's certificate."""
        return self.data / "tls"

    @property
    def ca(self) -> Path:
        """The authority's certificate (PEM), for other clients; no secret."""
        return self.tls / "ca.pem"

    @property
    def joined(self) -> Path:
        """Only on a machine that joined a cluster elsewhere."""
        return self.data / "joined.json"

    @property
    def client(self) -> Path:
        return self.data / "client.json"

    @property
    def supervisor(self) -> Path:
        return self.data / "supervisor.json"

    @property
    def coordinator(self) -> Path:
        return self.data / "coordinator.toml"

    def coordinator_state(self, name: str) -> Path:
        """What the coordinator process `name` says of itself."""
        return self.data / f"{_part(name)}.state"

    @property
    def logs(self) -> Path:
        return self.data / "logs"

    def credentials(self, name: str) -> Path:
        """Of a user; agents keep theirs in their own folder."""
        return self.data / "credentials" / f"{_part(name)}.creds"

    def agent(self, node: str) -> Path:
        """All that the agent `node` keeps."""
        return self.data / "agents" / _part(node)

    def agent_credentials(self, node: str) -> Path:
        return self.agent(node) / "agent.creds"

    def agent_registered(self, node: str) -> Path:
        """There while the agent is registered with the coordinator and hears from it."""
        return self.agent(node) / "registered"

    def log(self, process: str) -> Path:
        return self.logs / f"{_part(process)}.log"


def default_data_dir() -> Path:
    """CORRAL_DATA; else /var/lib/corral for root, `corral` in the XDG data home for others."""
    chosen = os.environ.get("CORRAL_DATA")
    if chosen:
        return Path(chosen).expanduser().absolute()
    if os.geteuid() == 0:
        return Path("/var/lib/corral")
    home = os.environ.get("XDG_DATA_HOME")
    return (Path(home) if home else Path.home() / ".local" / "share") / "corral"


def write_secret(path: Path, text: str, *, owner: tuple[int, int] | None = None) -> None:
    """Write whole or not at all, readable by the owner only; its folder is made 0700.

    `owner`: uid and gid, where the file is another account's.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    # two programs may write at once (each renews a login): neither may put the other's half in place
    partial = path.with_name(f".{path.name}.{os.getpid()}.part")
    partial.unlink(missing_ok=True)
    _sweep(path)
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        if owner is not None:
            # not by its path: whoever owns the folder could have put a link there meanwhile
            os.fchown(descriptor, *owner)
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)


def _sweep(path: Path) -> None:
    """Halves of this file that programs were writing when they, or the machine, ended: they hold a secret."""
    before = time.time() - _LEFT_AFTER_S
    for left in path.parent.glob(f".{glob.escape(path.name)}.*.part"):
        with suppress(OSError):  # its writer has just put it in place, or somebody else swept
            if left.lstat().st_mtime < before:
                left.unlink()


def read_secret(path: Path) -> str:
    """The text of a file that only its owner can read.

    Raises CredentialsError: E_TOKEN_MODE where others can read it, E_AUTH where there is none.
    """
    try:
        with path.open() as file:
            mode = os.fstat(file.fileno()).st_mode
            if stat.S_IMODE(mode) & 0o077:
                raise CredentialsError("E_TOKEN_MODE", f"{path} can be read by others", f"chmod 600 {path}")
            return file.read(65_536)
    except (OSError, UnicodeDecodeError) as error:
        raise CredentialsError(
            "E_AUTH",
            f"no credentials: cannot read {path}: {error.strerror if isinstance(error, OSError) else error}",
            "corral up starts a cluster on this machine; corral login URL TOKEN reaches one elsewhere",
        ) from error


def profile_folder() -> Path:
    """Of a person who logged in to a cluster elsewhere: `corral` in the XDG configuration home."""
    home = os.environ.get("XDG_CONFIG_HOME")
    return (Path(home) if home else Path.home() / ".config") / "corral"


def find_client_settings(data: Path | None) -> ClientSettings:
    """How to reach the cluster: by the folder that is named, else this machine's own, else by the login.

    Raises CredentialsError.
    """
    if data is not None or os.environ.get("CORRAL_DATA"):
        return read_client_settings(Layout(data or default_data_dir()))
    own, login = Layout(default_data_dir()), Layout(profile_folder())
    if _is_there(own.client) or not _is_there(login.client):
        return read_client_settings(own)
    return read_client_settings(login)


def write_joined(layout: Layout, settings: JoinedSettings) -> None:
    """From here on the folder is that of a joined machine."""
    write_secret(layout.joined, msgspec.json.encode(settings).decode() + "\n")


def read_joined(layout: Layout) -> JoinedSettings | None:
    """None where the folder is not that of a joined machine. Raises CredentialsError."""
    if not layout.joined.exists():
        return None
    try:
        return msgspec.json.decode(read_secret(layout.joined), type=JoinedSettings)
    except msgspec.DecodeError as error:
        raise CredentialsError("E_CONFIG", f"{layout.joined}: {error}", "join again") from error


def _is_there(path: Path) -> bool:
    try:
        return path.exists()
    except PermissionError:  # somebody else's folder: none of ours
        return False


def make_agent_folder(layout: Layout, node: str) -> None:
    """Tasks run under an account of their own: it must be able to pass through to its folder."""
    folder = layout.agent(node)
    for part in (folder.parent, folder):
        part.mkdir(parents=True, exist_ok=True)
        part.chmod(0o711 if os.geteuid() == 0 else 0o700)


def write_client_settings(layout: Layout, settings: ClientSettings) -> None:
    """Make `client.json` of the folder: 0600."""
    write_secret(layout.client, msgspec.json.encode(settings).decode() + "\n")


def read_client_settings(layout: Layout) -> ClientSettings:
    """What `client.json` says. Raises CredentialsError."""
    text = read_secret(layout.client)
    try:
        return msgspec.json.decode(text, type=ClientSettings)
    except msgspec.DecodeError as error:
        raise CredentialsError("E_CONFIG", f"{layout.client}: {error}", "run `corral up` again") from error


def _part(name: str) -> str:
    if not is_name(name):
        raise SubjectError(f"not a name of a user, node or process: {name[:80]!r}")
    return name
