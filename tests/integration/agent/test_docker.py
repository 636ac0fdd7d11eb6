"""Containers by a real docker, whose daemon makes them: how they end, what they use, what limits hold.

The daemon is of these tests alone. Where it cannot run they are skipped aloud.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import msgpack
import msgspec
import pytest

import agent
from agent.containing import RuntimeRecord
from agent.gpus import SimulatedGpus
from agent.guard import account, wire
from agent.usage import UsageSampler
from bus.messages import TaskUsage
from bus.values import AttemptRef
from tests.images import busybox_archive
from tests.integration.agent.harness import Guard, alive, wait_until
from tests.not_here import not_here

KEY = (7, 3, 2)
IMAGE = "localhost/busybox:test"
DAEMON = (
    "--storage-driver",
    "vfs",
    "--iptables=false",
    "--ip6tables=false",
    "--bridge=none",
    "--ip-masq=false",
)
LOOK = (
    "import json, sys; from agent.guard import account, probing; account.become(account.task_account());"
    " own = {'DOCKER_HOST': sys.argv[3], 'HOME': sys.argv[1]};"
    " found = probing.find(sys.argv[1], kinds=('docker',), search=sys.argv[2], own=own);"
    " print(json.dumps(found._asdict()))"
)
"""An account that may speak to the daemon looks for it."""


@pytest.fixture(scope="module")
def found() -> Iterator[tuple[Path, RuntimeRecord]]:
    """A folder of tasks, and docker as it works there; it has the image."""
    if shutil.which("dockerd") is None or shutil.which("docker") is None or os.geteuid():
        not_here("docker", "no dockerd that these tests could start as root; apt-get install docker.io")
    folder = Path(tempfile.mkdtemp(prefix="corral-"))
    folder.chmod(0o711)
    Guard(folder).stop()  # it makes the folder of the tasks, and their account
    home = folder / "docker"
    home.mkdir(mode=0o711)
    host = f"unix://{home}/sock"
    owner = account.task_account()
    own = ("--data-root", f"{home}/data", "--exec-root", f"{home}/exec", "--pidfile", f"{home}/pid")
    with open(home / "log", "wb") as log:
        daemon = subprocess.Popen(
            ["dockerd", *own, "--host", host, "--group", str(owner.gid), *DAEMON],
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        wait_until(lambda: daemon.poll() is not None or says(host, "info") is not None, "dockerd answers")
        if daemon.poll() is not None:
            not_here("docker", (home / "log").read_text().strip().splitlines()[-1][-300:])
        busybox_archive(folder / "busybox.tar")
        assert says(host, "load", "--input", str(folder / "busybox.tar")) is not None
        yield folder, looked_for(folder, host)
        assert says(host, "ps", "--all", "--quiet") == "", "no container is left"
    finally:
        daemon.terminate()
        daemon.wait(60)
        for mount in (home / "exec" / "netns").glob("*"):  # it leaves the network namespaces that it made
            subprocess.run(["umount", str(mount)], check=False, timeout=60)
        shutil.rmtree(folder)


def says(host: str, *words: str) -> str | None:
    """What docker answers; None if it fails."""
    answer = subprocess.run(
        ["docker", "--host", host, *words], capture_output=True, text=True, timeout=60, check=False
    )
    return None if answer.returncode else answer.stdout


def looked_for(folder: Path, host: str) -> RuntimeRecord:
    sources = [str(Path(module.__file__ or "").parents[1]) for module in (agent, msgpack)]
    search = os.pathsep.join(["/usr/local/bin", "/usr/bin", "/bin"])
    answer = subprocess.run(
        [sys.executable, "-S", "-P", "-c", LOOK, f"{folder}/tasks/containers", search, host],
        env={"PYTHONPATH": os.pathsep.join(sources)},
        cwd="/",
        capture_output=True,
        text=True,
        timeout=180,
        check=True,
    )
    looked = json.loads(answer.stdout)
    if looked["runtime"] is None:
        not_here("docker", str(looked["faults"]))
    return msgspec.convert(looked["runtime"], RuntimeRecord)


@pytest.fixture
def guard(found: tuple[Path, RuntimeRecord]) -> Iterator[Guard]:
    folder, runtime = found
    for journal in folder.glob("journal.*"):
        journal.unlink()
    made = Guard(folder)
    made.send(wire.RUNTIME, msgspec.to_builtins(runtime))
    yield made
    made.stop()


def test_a_command_runs_as_the_tasks_account_and_ends_with_its_code(guard: Guard) -> None:
    script = 'id -u; echo "$CORRAL_TASK_ID $A|$B"; touch "$HOME/mine"; echo oh >&2; exit 3'
    exit_ = guard.run(KEY, "sh", "-c", script, image=IMAGE, env={"A": "x y", "B": "l1\nl2"})
    assert (exit_.outcome, exit_.exit_code, exit_.message) == (wire.EXITED, 3, "")
    owner = (guard.folder / "tasks").stat().st_uid
    assert guard.read(KEY)[1].decode().splitlines() == [str(owner), "7.3 x y|l1", "l2"]
    assert (guard.folder / "tasks/7/3.2.work/mine").stat().st_uid == owner


def test_without_network_there_is_a_loopback_only(guard: Guard) -> None:
    guard.run(KEY, "cat", "/proc/net/dev", image=IMAGE, network="none")
    lines = guard.read(KEY)[1].decode().splitlines()
    assert [line.split(":")[0].strip() for line in lines[2:]] == ["lo"]


@pytest.mark.parametrize(
    ("argv", "outcome", "words"),
    [
        (("no-such",), wire.NOT_FOUND, '"no-such": executable file not found'),
        (("/etc",), wire.NOT_EXECUTABLE, '"/etc": permission denied'),
        (("sh", "-c", "exit 127"), wire.EXITED, ""),
    ],
)
def test_its_words_are_told_from_those_of_the_command(
    guard: Guard, argv: tuple[str, ...], outcome: str, words: str
) -> None:
    exit_ = guard.run(KEY, *argv, image=IMAGE)
    assert exit_.outcome == outcome and words in exit_.message
    assert exit_.message.startswith("docker on node n1: docker: ") == bool(words)


@pytest.mark.parametrize("limit_s", [0.02, 0.1, 0.2, 0.3, 0.4, 1.5])
def test_a_container_that_is_to_end_ends_at_once(guard: Guard, limit_s: float) -> None:
    """Without an init inside, and whatever the daemon was at."""
    key = (8, int(limit_s * 100), 1)
    guard.spawn(key, "sleep", "606", image=IMAGE, grace_s=600.0, timeout_s=limit_s)
    assert guard.ended(key).outcome == wire.TIMEOUT


def test_who_heeds_the_call_to_end_may_tidy_up(guard: Guard) -> None:
    script = "trap 'echo told; exit 7' TERM; echo up; while :; do sleep 0.1; done"
    guard.spawn(KEY, "sh", "-c", script, image=IMAGE, grace_s=600.0)
    wait_until(lambda: guard.started(KEY) and guard.read(KEY)[1] == b"up\n", "it runs")
    guard.send(wire.CANCEL, [KEY])
    exit_ = guard.ended(KEY)
    assert (exit_.outcome, exit_.exit_code) == (wire.CANCELLED, 7)
    assert guard.read(KEY)[1] == b"up\ntold\n"


def test_what_it_uses_is_sampled_and_a_pause_stops_it(guard: Guard) -> None:
    """Its processes are the daemon's, and no descendants of its client."""
    guard.spawn(KEY, "sh", "-c", "while :; do :; done", image=IMAGE)
    running = {AttemptRef(*KEY): guard.started(KEY)}
    sampler = UsageSampler(SimulatedGpus(()), guard.folder, tasks=guard.folder / "tasks")

    def used() -> TaskUsage | None:
        return next(iter(sampler.sample(running).tasks), None)

    def computes() -> bool:
        seen = used()  # docker's client has some 20 MiB, and is not counted once the container is there
        return seen is not None and seen.usage.cpu_millis > 100 and 0 < seen.usage.mem_mib < 10

    wait_until(computes, "it computes, and is counted alone")
    guard.send(wire.PAUSE, [KEY])
    wait_until(lambda: (seen := used()) is not None and seen.usage.cpu_millis == 0, "it stands still")
    guard.send(wire.RESUME, [KEY])
    wait_until(computes, "it goes on")
    guard.send(wire.CANCEL, [KEY])
    assert guard.ended(KEY).outcome == wire.CANCELLED
    assert sampler.sample(running).tasks == []


def test_more_memory_than_it_asked_for_ends_it(guard: Guard, found: tuple[Path, RuntimeRecord]) -> None:
    if not found[1].limits:
        not_here("docker", "its daemon cannot hold containers to memory")
    exit_ = guard.run(KEY, "sh", "-c", "a=$(yes | head -c 50000000); echo over", image=IMAGE)
    assert exit_.exit_code == 137 and guard.read(KEY)[1] == b""


def test_the_guards_death_ends_its_containers(guard: Guard) -> None:
    guard.spawn(KEY, "sleep", "607", image=IMAGE)
    guard.started(KEY)
    seen: list[int] = []

    def runs() -> bool:
        seen[:] = [pid for pid in sleeping(b"607") if alive(pid)]
        return bool(seen)

    wait_until(runs, "it runs")
    guard.process.kill()
    guard.process.wait()
    guard.process = guard.launch()
    guard.connect()
    wait_until(lambda: not any(alive(pid) for pid in seen), "it is ended")


def sleeping(seconds: bytes) -> list[int]:
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().split(b"\0")
        except OSError:
            continue
        if words[:2] == [b"sleep", seconds]:
            found.append(int(path.parent.name))
    return found
