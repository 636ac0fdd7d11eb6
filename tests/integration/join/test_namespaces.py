"""Another machine in two lines, tried across network namespaces: each has its own addresses and its own link.

The cluster lives in one, two machines that join in two others. Where namespaces cannot be made the module is
skipped, which the run counts and names.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[3]
WAIT_S = 40.0
PORT = 4271


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


pytestmark = pytest.mark.skipif(
    not can_make_namespaces(), reason="no network namespaces here: joining was not tried"
)


class Machine:
    """A namespace with an address of its own, a data folder and a person's configuration."""

    def __init__(self, folder: Path, index: int) -> None:
        self.namespace = f"corral{os.getpid()}-{index}"
        self.link = f"cl{os.getpid() % 100_000}-{index}"
        self.address = f"10.213.7.{index + 1}"
        self.folder = folder / f"m{index}"
        self.folder.mkdir(mode=0o755)

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
        command = ["ip", "netns", "exec", self.namespace, sys.executable, "-m", "tui", *words]
        return subprocess.Popen(
            command, cwd="/", env=self.environment(own_folder=own_folder), stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip

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


@pytest.fixture(scope="module")
def place() -> Iterator[Place]:
    with tempfile.TemporaryDirectory(prefix="corral-join-") as name:
        Path(name).chmod(0o755)
        place = Place(Path(name))
        try:
            place.make()
            place.home.ok("up", "--detach", "--listen", f"{place.home.address}:{PORT}")
            yield place
        finally:
            place.remove()


def test_two_lines_make_a_node(place: Place) -> None:
    for machine, name in ((place.one, "n1"), (place.two, "n2")):
        machine.ok("join", place.url, place.token("node"), "--name", name, "--label", f"at={name}")
    assert {name: state for name, state in place.health().items() if name in ("n1", "n2")} == {
        "n1": "healthy",
        "n2": "healthy",
    }
    secret = place.one.folder / "data" / "agents" / "n1" / "agent.creds"
    assert secret.stat().st_mode & 0o077 == 0


def test_a_taken_name_and_a_second_join_are_refused(place: Place) -> None:
    token = place.token("node")
    code, _, said = place.one("join", place.url, token, "--data", str(place.one.folder / "x"), "--name", "n2")
    assert (code, "E_CONFLICT" in said) == (6, True)
    code, _, said = place.one("join", place.url, token)
    assert (code, "already the node n1" in said) == (6, True)


def test_jobs_run_there_and_their_output_comes_back(place: Place) -> None:
    script = "ip -4 -o addr show eth0 | grep -o '10[.0-9]*/24'"
    for machine, name in ((place.one, "n1"), (place.two, "n2")):
        assert place.home.ok("run", "--node", name, "--", "sh", "-c", script) == f"{machine.address}/24\n"


def test_a_cut_link_heals_and_the_task_never_noticed(place: Place) -> None:
    watched = place.home.start("run", "--node", "n1", "--", "sh", "-c", "echo began; sleep 8; echo ended")
    assert watched.stdout is not None
    assert watched.stdout.readline() == b"began\n"
    place.one.cut(down=True)
    until(lambda: place.health()["n1"] != "healthy" or watched.poll() is not None)
    assert place.health()["n2"] == "healthy"
    place.one.cut(down=False)
    rest, _ = watched.communicate(timeout=WAIT_S)
    assert (watched.returncode, rest) == (0, b"ended\n")
    until(lambda: place.health()["n1"] == "healthy")


def test_down_and_up_there_go_on_as_the_same_node(place: Place) -> None:
    assert [process["name"] for process in place.two.document("status")["processes"]] == [
        "supervisor",
        "agent-n2",
    ]
    place.two.ok("down")
    assert place.two("status")[0] == 69
    place.two.ok("up", "--detach")
    assert place.home.ok("run", "--node", "n2", "--", "echo", "again") == "again\n"


def test_a_person_logs_in_works_and_logs_out(place: Place) -> None:
    ann = place.two
    ann.ok("login", place.url, place.token("user", "ann"), "--nats-context", own_folder=False)
    who = json.loads(ann.ok("whoami", "-o", "json", own_folder=False))
    assert (who["user"], who["role"], who["nats"]["url"]) == ("ann", "user", place.url)
    assert who["nats"]["inbox_prefix"] == "_INBOX_ann"
    assert Path(who["nats"]["credentials"]).stat().st_mode & 0o077 == 0
    context = json.loads((ann.folder / "config" / "nats" / "context" / "corral.json").read_text())
    assert (context["url"], context["creds"]) == (place.url, who["nats"]["credentials"])
    assert ann.ok("run", "--", "echo", "mine", own_folder=False) == "mine\n"
    Path(who["nats"]["credentials"]).chmod(0o644)
    code, _, said = ann("jobs", own_folder=False)
    assert (code, "E_TOKEN_MODE" in said, "chmod 600" in said) == (4, True, True)
    Path(who["nats"]["credentials"]).chmod(0o600)
    ann.ok("logout", own_folder=False)
    code, _, said = ann("whoami", own_folder=False)
    assert (code, "corral login" in said) == (4, True)


def test_who_is_revoked_is_out_within_two_seconds(place: Place) -> None:
    """B19: the open connection is closed, the next command says why."""
    bob = place.two
    bob.ok("login", place.url, place.token("user", "bob"), own_folder=False)
    following = bob.start("run", "--", "sleep", "600", own_folder=False)
    until(lambda: place.home.document("jobs", "--user", "bob")["jobs"] != [])
    tokens = {token["name"]: token["id"] for token in place.home.document("token", "list")["tokens"]}
    place.home.ok("token", "revoke", tokens["bob"])
    code, _, said = bob("jobs", own_folder=False)
    assert (code, "E_TOKEN_REVOKED" in said) == (4, True)
    _, said_there = following.communicate(timeout=WAIT_S)
    assert following.returncode == 4, said_there
    place.home.ok("token", "revoke", tokens["n1"])
    until(lambda: place.health()["n1"] == "unreachable")
