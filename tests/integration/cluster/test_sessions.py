"""People at terminals and ports of tasks: on a real cluster, through a real terminal, whatever dies."""

from __future__ import annotations

import asyncio
import http.client
import select
import signal
import socket
import subprocess

import pytest

from bus.values import JobState, TaskState
from tests.fixtures_cluster import LiveCluster
from tests.integration.cluster.people import QUIET, command, ended, forwarding, listening, newest, say
from tests.tui.pty_session import on_pty


def test_run_it_is_a_terminal_whose_code_is_ours(cluster: LiveCluster) -> None:
    with on_pty(command(cluster, "run", *QUIET, "-it", "sh")) as terminal:
        terminal.wait_for("ready> ")
        say(terminal, b"echo of''mine; tty; echo $TERM", "ofmine", "/dev/pts/")
        terminal.resize(90, 33)
        terminal.settle()
        say(terminal, b"stty size", "33 90")
        terminal.press(b"sleep 100\r")
        terminal.settle()
        terminal.press(b"\x03")
        say(terminal, b"echo ca''me back", "came back")
        terminal.press(b"exit 7\r")
        assert terminal.wait_for_end() == 7
        assert terminal.echoes, "our own terminal is as it was"
    with on_pty(command(cluster, "run", "-it", "sh", "-c", "exit 0")) as terminal:
        assert terminal.wait_for_end() == 0


def test_one_leaves_another_looks_and_the_agent_dies(cluster: LiveCluster) -> None:
    with on_pty(command(cluster, "run", *QUIET, "--node", "n1", "-it", "sh")) as terminal:
        terminal.wait_for("ready> ")
        say(terminal, b"echo be''fore", "before")
        terminal.press(b"\x10\x11")
        terminal.wait_for("left ", "corral attach")
        assert terminal.wait_for_end() == 0
    job = newest(cluster)
    with on_pty(command(cluster, "attach", str(job))) as terminal:
        terminal.wait_for("before", "ready> ")
        with on_pty(command(cluster, "attach", "--read-only", str(job), user="olga")) as looker:
            looker.wait_for("before")
            looker.press(b"echo not''hing\r")
            say(terminal, b"echo be''hold", "behold")
            looker.wait_for("behold")
            cluster.kill("n1", signal.SIGKILL)
            terminal.press(b"echo wh''ile away\r")
            cluster.start_agent("n1", *cluster.nodes["n1"])
            terminal.wait_for("while away")
            looker.wait_for("while away")
            assert b"nothing" not in terminal.written, "who only looks types nothing"
            terminal.press(b"exit\r")
            assert looker.wait_for_end() == 0
        assert terminal.wait_for_end() == 0
    assert asyncio.run(ended(cluster, job)) is JobState.COMPLETED


def test_a_viewer_who_is_ended_leaves_the_task_and_the_terminal_in_order(cluster: LiveCluster) -> None:
    with on_pty(command(cluster, "run", *QUIET, "-it", "sh")) as terminal:
        terminal.wait_for("ready> ")
        say(terminal, b"printf '\\033[?1049h'; echo hel''lo", "hello")
        terminal.process.send_signal(signal.SIGTERM)
        assert terminal.wait_for_end() != 0
        assert terminal.written.rindex(b"\x1b[?1049l") > terminal.written.rindex(b"hello")
        assert terminal.echoes
    job = newest(cluster)

    async def cancel() -> TaskState:
        async with cluster.client() as alice:
            assert (await alice.task(f"{job}.0")).state is TaskState.RUNNING
            await alice.cancel(job)
            await alice.wait(job)
            return (await alice.task(f"{job}.0")).state

    assert asyncio.run(cancel()) is TaskState.CANCELLED


def test_without_a_terminal_it_says_so(cluster: LiveCluster) -> None:
    done = subprocess.run(
        command(cluster, "run", "-it", "sh"), stdin=subprocess.DEVNULL, capture_output=True, check=False
    )
    assert done.returncode == 2 and b"E_TERMINAL" in done.stderr


@pytest.mark.parametrize("user", ["bob", "rita"])
def test_nobody_else_gets_in(cluster: LiveCluster, user: str) -> None:
    async def start() -> int:
        async with cluster.client() as alice:
            job = (await alice.submit(command=["sleep", "100"], type="interactive")).number
            await cluster.until(lambda: running(job), "it runs")
            return job

    async def running(job: int) -> bool:
        async with cluster.client() as alice:
            return (await alice.task(f"{job}.0")).state is TaskState.RUNNING

    job = asyncio.run(start())
    with on_pty(command(cluster, "attach", str(job), user=user)) as terminal:
        terminal.wait_for("E_NOT_FOUND" if user == "bob" else "E_FORBIDDEN")
        assert terminal.wait_for_end() in (3, 5)

    async def cancel() -> None:
        async with cluster.client() as alice:
            await alice.cancel(job)

    asyncio.run(cancel())


def test_a_web_server_of_a_task_is_reached_through_forward(cluster: LiveCluster) -> None:
    page = "import http.server as h; s = h.HTTPServer(('127.0.0.1', 0), h.SimpleHTTPRequestHandler);"
    page += "print(s.server_address[1], flush=True); s.serve_forever()"
    with listening(cluster, page) as (job, port), forwarding(cluster, job, port) as (way, local):
        for _ in range(3):
            connection = http.client.HTTPConnection("127.0.0.1", local, timeout=30)
            connection.request("GET", "/nothing-here")
            assert connection.getresponse().status == 404
            connection.close()
        taken = subprocess.run(
            command(cluster, "forward", str(job), f"{local}:{port}"), capture_output=True, check=False
        )
        assert taken.returncode == 2 and b"E_PORT" in taken.stderr and b"in use" in taken.stderr
        way.send_signal(signal.SIGINT)
        _, said = way.communicate(timeout=30)
        assert (way.returncode, said) == (130, b"interrupted\n")


def test_forward_ends_though_a_connection_takes_nothing(cluster: LiveCluster) -> None:
    flood = "import socket as s; l = s.create_server(('127.0.0.1', 0));"
    flood += "print(l.getsockname()[1], flush=True); l.accept()[0].sendall(bytes(100_000_000))"
    with (
        listening(cluster, flood) as (job, port),
        forwarding(cluster, job, port) as (way, local),
        socket.create_connection(("127.0.0.1", local)) as unread,
    ):
        assert select.select([unread], [], [], 30)[0], "it floods"
        way.send_signal(signal.SIGINT)
        _, said = way.communicate(timeout=30)
        assert (way.returncode, said) == (130, b"interrupted\n")


def test_the_console_lends_its_terminal_to_a_task_and_takes_it_back(cluster: LiveCluster) -> None:
    with on_pty(command(cluster, "run", *QUIET, "-it", "sh")) as terminal:
        terminal.wait_for("ready> ")
        say(terminal, b"echo be''fore", "before")
        terminal.press(b"\x10\x11")
        terminal.wait_for("left ")
        assert terminal.wait_for_end() == 0
    job = newest(cluster)
    with on_pty(command(cluster, "top"), size=(100, 30)) as console:
        console.wait_for("LIVE")
        console.press(b"3")
        console.wait_for("STATE", "interactive")
        console.press(b"i")
        console.wait_for(f"terminal of {job}.0", "leads back to the console", "before", "ready> ")
        say(console, b"echo al''ive", "alive")
        console.resize(90, 33)
        console.settle()
        say(console, b"stty size", "33 90")
        console.press(b"\x10\x11")
        console.wait_for(f"the terminal of {job}.0 goes on", "STATE")
        console.press(b"2")
        console.wait_for("healthy", "compute")
        console.resize(100, 30)
        console.press(b"3")
        console.wait_for("STATE", "interactive")
        console.press(b"i")
        console.wait_for("alive")
        with on_pty(command(cluster, "top")) as other:
            other.wait_for("LIVE", "interactive")
            other.press(b"3i")
            other.wait_for("alive")
            other.process.terminate()
            assert other.wait_for_end() == 0
            assert other.echoes, "also of one that is told to go"
        console.press(b"exit\r")
        console.wait_for(f"the terminal of {job}.0 has ended")
        console.press(b"i")
        console.wait_for("E_NOT_RUNNING")
        console.press(b"q")
        assert console.wait_for_end() == 0
        assert console.echoes, "our own terminal is as it was"
    assert asyncio.run(ended(cluster, job)) is JobState.COMPLETED
