"""People at terminals and ports of tasks while nats-server is killed and started: all goes on as it was."""

from __future__ import annotations

import asyncio
import hashlib
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from bus import server
from bus.auth import Authority
from bus.values import JobState
from tests.fixtures_cluster import LiveCluster
from tests.fixtures_nats import NatsServer
from tests.integration.cluster import websocket
from tests.integration.cluster.people import QUIET, command, ended, forwarding, listening, newest, say
from tests.tui.pty_session import on_pty

MIB = 1024 * 1024
CARRIED = 32 * MIB
PATIENCE_S = 60.0
ECHO = """
import socket
listening = socket.create_server(("127.0.0.1", 0))
print(listening.getsockname()[1], flush=True)
while True:
    there = listening.accept()[0]
    while data := there.recv(65536):
        there.sendall(data)
    there.close()
"""


class Cut:
    """A cluster on a nats-server of its own. `kill` and `start` say when that is there."""

    def __init__(self, folder: Path, dsn: str, owner_dsn: str) -> None:
        self._authority = Authority.create_or_load(folder / "keys")
        self._folder = folder / "nats"
        self._process = server.prepare(self._folder, port=0, authority=self._authority)
        self._child = server.start(self._process)
        bus = NatsServer(self._process.url, self._authority, self._process)
        self.cluster = LiveCluster(folder, bus, dsn, owner_dsn)

    def kill(self) -> None:
        """-9."""
        self._child.kill()
        self._child.wait(PATIENCE_S)

    def start(self) -> None:
        """On the port where it was."""
        self._process = server.prepare(self._folder, port=self._process.port, authority=self._authority)
        self._child = server.start(self._process)

    def end(self) -> None:
        self.cluster.stop()
        server.stop(self._child)


@pytest.fixture(scope="module")
def module_cut(coordinator_dsn: str, postgres_dsn: str) -> Iterator[Cut]:
    folder = Path(tempfile.mkdtemp(prefix="corral-cut-"))
    folder.chmod(0o711)
    made = Cut(folder, coordinator_dsn, postgres_dsn)
    try:
        made.cluster.start({"n1": ["--cpu", "2", "--memory", "2GiB"]})
        yield made
    finally:
        made.end()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def cut(module_cut: Cut) -> Cut:
    asyncio.run(module_cut.cluster.settle())
    return module_cut


def test_a_terminal_goes_on_where_it_was_and_nothing_is_typed_twice(cut: Cut) -> None:
    """What was typed and what was printed while the bus was away is there, once, in order."""
    with on_pty(command(cut.cluster, "run", *QUIET, "-it", "sh")) as terminal:
        terminal.wait_for("ready> ")
        say(terminal, b"echo be''fore; n=0", "before")
        terminal.press(b"for i in $(seq 200); do echo line-$i-; sleep 0.01; done\r")
        terminal.wait_for("line-1-")
        cut.kill()
        terminal.press(b"n=$((n+1)); echo typed-$n-\r", after=True)
        cut.start()
        terminal.wait_for("line-200-", "typed-1-")
        assert [terminal.shown.count(b"line-%d-\r" % number) for number in range(1, 201)] == [1] * 200
        say(terminal, b"echo n=$n-", "n=1-")
        terminal.press(b"exit 7\r")
        assert terminal.wait_for_end() == 7
        assert terminal.echoes, "our own terminal is as it was"


def test_who_leaves_while_the_bus_is_away_gets_the_terminal_back(cut: Cut) -> None:
    with on_pty(command(cut.cluster, "run", *QUIET, "-it", "sh")) as terminal:
        terminal.wait_for("ready> ")
        cut.kill()
        try:
            terminal.press(b"\x10\x11")
            terminal.wait_for("left ", "corral attach")
            assert terminal.wait_for_end() == 0
            assert terminal.echoes
        finally:
            cut.start()
    asyncio.run(cut.cluster.settle())
    job = newest(cut.cluster)
    with on_pty(command(cut.cluster, "attach", str(job))) as terminal:
        terminal.wait_for("ready> ")
        cut.kill()
        try:
            terminal.process.send_signal(signal.SIGTERM)
            assert terminal.wait_for_end() == 130
            assert terminal.echoes
        finally:
            cut.start()
    asyncio.run(cut.cluster.settle())
    with on_pty(command(cut.cluster, "attach", str(job))) as terminal:
        terminal.wait_for("ready> ")
        say(terminal, b"echo here''after; exit", "hereafter")
        assert terminal.wait_for_end() == 0
    assert asyncio.run(ended(cut.cluster, job)) is JobState.COMPLETED


def test_a_bus_away_for_longer_than_a_lease_ends_the_task_which_begins_anew_and_says_so(cut: Cut) -> None:
    """The guard ends what nobody renews; the viewer is brought to the next attempt, and types nothing old."""
    with on_pty(command(cut.cluster, "run", *QUIET, "-it", "sh")) as terminal:
        terminal.wait_for("ready> ")
        say(terminal, b"printf '\\033[?2004h'; echo shell=$$-", "shell=", "-")
        terminal.settle()
        pid = int(terminal.shown.rpartition(b"shell=")[2].partition(b"-")[0])
        cut.kill()
        try:
            terminal.press(b"echo for-the-old-one\r")
            terminal.read_while(lambda: psutil.pid_exists(pid))
        finally:
            cut.start()
        terminal.wait_for("was lost, and has begun anew: attempt 2", "ready> ")
        assert terminal.written.rindex(b"\x1b[?2004l") > terminal.written.rindex(b"shell=")
        say(terminal, b"echo an''swers", "answers")
        assert b"for-the-old-one" not in terminal.written
        terminal.press(b"exit 3\r")
        assert terminal.wait_for_end() == 3
        assert terminal.echoes


def test_a_forwarded_connection_carries_every_byte_both_ways(cut: Cut) -> None:
    """The bus dies while megabytes are under way; the connection stands, and each byte arrives once."""
    sent = random.Random(5).randbytes(CARRIED)
    with listening(cut.cluster, ECHO) as (job, port), forwarding(cut.cluster, job, port) as (way, local):
        with socket.create_connection(("127.0.0.1", local), timeout=PATIENCE_S) as here:
            sending = threading.Thread(target=_send_all, args=(here, sent), daemon=True)
            sending.start()
            came = hashlib.sha256()
            count = _receive(here, came, CARRIED // 4)
            cut.kill()
            cut.start()
            count += _receive(here, came, CARRIED - count)
            sending.join(PATIENCE_S)
            assert (count, here.recv(1)) == (CARRIED, b"")
        assert came.digest() == hashlib.sha256(sent).digest()
        with socket.create_connection(("127.0.0.1", local), timeout=PATIENCE_S) as again:
            again.sendall(b"and on")
            assert again.recv(100) == b"and on"
        assert _said_at_the_end(way) == b"interrupted\n"


def test_a_web_socket_goes_on_and_ends_one_direction_after_the_other(cut: Cut) -> None:
    """What either side says while nats-server is dead arrives once, in order, over the same connection."""
    with (
        listening(cut.cluster, websocket.SERVER) as (job, port),
        forwarding(cut.cluster, job, port) as (way, local),
    ):
        web = websocket.WebSocket(local)
        web.say("hello")
        assert web.hear() == "echo hello"
        web.say("push 300")
        heard = [web.hear()]
        cut.kill()
        web.say("while you are away")
        cut.start()
        heard += [web.hear() for _ in range(300)]
        heard.remove("echo while you are away")
        assert heard == [f"push {number}" for number in range(300)]
        web.end()
        assert [web.hear(), web.hear()] == ["after your end", ""]
        assert web.at_end()
        web.close()
        again = websocket.WebSocket(local)
        again.say("and on")
        assert again.hear() == "echo and on"
        again.close()
        assert _said_at_the_end(way) == b"interrupted\n"


def test_a_connection_made_while_the_bus_is_away_is_refused_and_the_next_one_is_not(cut: Cut) -> None:
    """One clear error; interrupted while megabytes wait for a bus that is away, `forward` ends in order."""
    with listening(cut.cluster, ECHO) as (job, port):
        with forwarding(cut.cluster, job, port) as (way, local):
            cut.kill()
            try:
                with socket.create_connection(("127.0.0.1", local), timeout=PATIENCE_S) as refused:
                    assert _answer(refused) == b""
            finally:
                cut.start()

            async def carries() -> bool:
                with socket.create_connection(("127.0.0.1", local), timeout=PATIENCE_S) as again:
                    return await asyncio.to_thread(_answer, again) == b"hello"

            asyncio.run(cut.cluster.until(carries, "connections are carried again"))
            said = _said_at_the_end(way)
            assert said.startswith(b"error[E_UNAVAILABLE]: no connection\n") and b"E_IO" not in said
        with (
            forwarding(cut.cluster, job, port) as (way, local),
            socket.create_connection(("127.0.0.1", local), timeout=PATIENCE_S) as here,
        ):
            sending = threading.Thread(target=_send_all, args=(here, bytes(CARRIED)), daemon=True)
            sending.start()
            _receive(here, hashlib.sha256(), MIB)
            cut.kill()
            try:
                assert _said_at_the_end(way) == b"interrupted\n"
                sending.join(PATIENCE_S)
            finally:
                cut.start()
        asyncio.run(cut.cluster.settle())


def _answer(connection: socket.socket) -> bytes:
    """What comes back for a word; nothing where the connection is broken off."""
    try:
        connection.sendall(b"hello")
        return connection.recv(100)
    except ConnectionError:
        return b""


def _send_all(here: socket.socket, data: bytes) -> None:
    with suppress(OSError):  # the other end may be gone
        here.sendall(data)
        here.shutdown(socket.SHUT_WR)


def _receive(here: socket.socket, into: hashlib._Hash, least: int) -> int:
    """How many bytes came; `least` or some more."""
    count = 0
    while count < least and (data := here.recv(65_536)):
        into.update(data)
        count += len(data)
    return count


def _said_at_the_end(way: subprocess.Popen[bytes]) -> bytes:
    way.send_signal(signal.SIGINT)
    return way.communicate(timeout=PATIENCE_S)[1]
