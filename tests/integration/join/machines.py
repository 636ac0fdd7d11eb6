"""Machines that are network namespaces, each with its own addresses and its own link, on one bridge.

The cluster lives in one, two machines that join in two others. Where namespaces cannot be made the modules
are skipped, which the run counts and names.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[3]
WAIT_S = 40.0
PORT = 4271
# A cluster in the system's own folder comes before a login: what this machine holds there is hidden.
# (`ip netns exec` gives a mount namespace of its own, so nobody else loses sight of it.)
HIDDEN = ("sh", "-c", 'mount -t tmpfs hidden /var/lib && exec "$@"', "sh")


def ip(*words: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(["ip", *words], capture_output=True, check=False)


def can_make_namespaces() -> bool:
    """Tried, not guessed: it takes root, iproute2 and a kernel that allows it."""
    if os.geteuid() != 0:
        return False
    name = f"corral-try-{os.getpid()}"
    try:
        made = ip("netns", "add", name).returncode == 0
        ip("netns", "del", name)
    except FileNotFoundError:
        return False
    return made


needs_namespaces = pytest.mark.skipif(
    not can_make_namespaces(), reason="no network namespaces here: not tried"
)


class Machine:
    """A namespace with an address of its own, a data folder and a person's configuration."""

    def __init__(self, folder: Path, index: int) -> None:
        self.namespace = f"corral{os.getpid()}-{index}"
        self.link = f"cl{os.getpid() % 100_000}-{index}"
        self.address = f"10.213.7.{index + 1}"
        self.folder = folder / f"m{index}"
        self.folder.mkdir(mode=0o755)
        self.started: list[subprocess.Popen[bytes]] = []

    def make(self, bridge: str) -> None:
        for words in (
            ("netns", "add", self.namespace),
            ("link", "add", self.link, "type", "veth", "peer", "name", "eth0", "netns", self.namespace),
            ("link", "set", self.link, "master", bridge, "up"),
            ("-n", self.namespace, "addr", "add", f"{self.address}/24", "dev", "eth0"),
            ("-n", self.namespace, "link", "set", "eth0", "up"),
            ("-n", self.namespace, "link", "set", "lo", "up"),
        ):
            done = ip(*words)
            assert done.returncode == 0, done.stderr.decode()

    def cut(self, *, down: bool) -> None:
        """The link to all others."""
        assert ip("link", "set", self.link, "down" if down else "up").returncode == 0

    def environment(self, *, own_folder: bool) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("CORRAL_")}
        kept |= {"XDG_CONFIG_HOME": str(self.folder / "config"), "PYTHONPATH": str(ROOT)}
        return kept | ({"CORRAL_DATA": str(self.folder / "data")} if own_folder else {})

    def start(self, *words: str, own_folder: bool = True) -> subprocess.Popen[bytes]:
        hidden = () if own_folder else HIDDEN
        command = ["ip", "netns", "exec", self.namespace, *hidden, sys.executable, "-m", "tui", *words]
        child = subprocess.Popen(
            command, cwd="/", env=self.environment(own_folder=own_folder), stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        self.started = [each for each in self.started if each.returncode is None] + [child]
        return child

    def end(self) -> None:
        """What a test that failed left running here."""
        for child in self.started:
            with child:  # closes its pipes, which would be told of in another test
                child.kill()

    def __call__(self, *words: str, own_folder: bool = True) -> tuple[int, str, str]:
        child = self.start(*words, own_folder=own_folder)
        stdout, stderr = child.communicate(timeout=90)
        return child.returncode, stdout.decode(), stderr.decode()

    def ok(self, *words: str, own_folder: bool = True) -> str:
        """Its stdout; it must exit with 0."""
        code, stdout, stderr = self(*words, own_folder=own_folder)
        assert code == 0, stderr
        return stdout

    def document(self, *words: str) -> Any:
        return json.loads(self.ok(*words, "-o", "json"))


class Place:
    """Three machines on one bridge; the cluster on the first."""

    def __init__(self, folder: Path) -> None:
        self.bridge = f"cb{os.getpid() % 100_000}"
        self.home, self.one, self.two = (Machine(folder, index) for index in range(3))
        self.machines = (self.home, self.one, self.two)
        self.url = f"tls://{self.home.address}:{PORT}"

    def make(self) -> None:
        assert ip("link", "add", self.bridge, "type", "bridge").returncode == 0
        assert ip("link", "set", self.bridge, "up").returncode == 0
        for machine in self.machines:
            machine.make(self.bridge)

    def remove(self) -> None:
        for machine in reversed(self.machines):
            machine("down")
            machine.end()
            ip("netns", "del", machine.namespace)
        ip("link", "del", self.bridge)

    def health(self) -> dict[str, str]:
        return {node["name"]: node["health"] for node in self.home.document("nodes")["nodes"]}

    def token(self, *words: str) -> str:
        return self.home.ok("token", *words).strip()


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.2)


@contextmanager
def one_place() -> Iterator[Place]:
    """With the cluster up on the first machine."""
    with tempfile.TemporaryDirectory(prefix="corral-join-") as name:
        Path(name).chmod(0o755)
        place = Place(Path(name))
        try:
            place.make()
            place.home.ok("up", "--detach", "--listen", f"{place.home.address}:{PORT}")
            yield place
        finally:
            place.remove()
