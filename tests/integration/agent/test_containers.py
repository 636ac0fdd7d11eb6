"""Containers by a real podman under the tasks' account: what they get, how they end, what is left.

Where podman cannot run containers, or there is no static busybox, these are skipped aloud.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import msgspec
import psutil
import pytest

from agent.containing import RuntimeRecord, look
from agent.gpus import SimulatedGpus
from agent.guard import wire
from agent.usage import UsageSampler, container_of, monitor_of
from bus.server import free_port
from bus.values import AttemptRef
from tests.images import busybox_archive
from tests.integration.agent.harness import Guard, alive, wait_until
from tests.not_here import not_here

KEY = (7, 3, 2)


@pytest.fixture(scope="module")
def found() -> Iterator[tuple[Path, RuntimeRecord, str]]:
    """A folder of tasks that has the image, the runtime that works there, and the image's name."""
    if shutil.which("podman") is None:
        not_here("containers", "no podman; apt-get install podman runc")
    folder = Path(tempfile.mkdtemp(prefix="corral-"))
    folder.chmod(0o711)
    maker = Guard(folder)  # it makes the folder of the tasks, and their account
    looked = asyncio.run(look(folder / "tasks", choice="podman"))
    maker.stop()
    if looked.runtime is None:
        shutil.rmtree(folder)
        not_here("containers", looked.faults.get("podman", "podman was not found"))
    yield folder, looked.runtime, busybox_archive(folder / "busybox.tar")
    shutil.rmtree(folder)


@pytest.fixture
def image(found: tuple[Path, RuntimeRecord, str]) -> str:
    return found[2]


@pytest.fixture
def guard(found: tuple[Path, RuntimeRecord, str]) -> Iterator[Guard]:
    folder, runtime, _ = found
    for journal in folder.glob("journal.*"):
        journal.unlink()  # nobody acknowledged what the guard before has told
    made = Guard(folder)
    made.send(wire.RUNTIME, msgspec.to_builtins(runtime))
    yield made
    made.stop()
    assert not processes_of(folder), "nothing is left of its containers"


def processes_of(folder: Path) -> list[int]:
    """Who bears the mark of this folder's guard in its environment, or names it in its command line."""
    mark = os.fsencode(folder)
    seen = []
    for pid in (int(name) for name in os.listdir("/proc") if name.isdigit()):
        try:
            said = Path(f"/proc/{pid}/environ").read_bytes() + Path(f"/proc/{pid}/cmdline").read_bytes()
        except OSError:
            continue
        if mark in said and pid != os.getpid() and alive(pid):
            seen.append(pid)
    return seen


def words(pid: int) -> str:
    """Its command line; "" if it is gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").strip().decode()
    except OSError:
        return ""


def inside(guard: Guard, key: tuple[int, int, int], text: str) -> int:
    """The pid of the process of the container whose command line is `text`, once it runs."""
    seen: list[int] = []

    def runs() -> bool:
        seen[:] = [pid for pid in processes_of(guard.folder) if words(pid) == text]
        return bool(seen)

    guard.started(key)
    wait_until(runs, f"{text} runs in its container")
    return seen[0]


@pytest.mark.contract("S2.28")
def test_a_command_runs_in_its_image_with_what_every_task_has(guard: Guard, image: str) -> None:
    script = (
        'id -u; echo "$OF_THE_IMAGE $PATH"; echo "$A|$B"; echo "$CORRAL_TASK_ID $CORRAL_ATTEMPT";'
        ' cat "$CORRAL_INPUT"; echo; echo \'{"a": 1}\' > "$CORRAL_OUTPUT"; echo \'{"progress": 1}\' >>'
        ' "$CORRAL_RESULT"; touch "$CORRAL_ARTIFACTS/kept" "$HOME/mine"; echo oh >&2; exit 3'
    )
    exit_ = guard.run(
        KEY,
        "sh",
        "-c",
        script,
        image=image,
        env={"A": "x y", "B": 'l1\n"l2'},
        input=b'{"n":1}',
        workdir="/tmp",
    )
    assert (exit_.outcome, exit_.exit_code, exit_.message) == (wire.EXITED, 3, "")
    assert guard.read(KEY)[1].decode().splitlines() == [
        "0", "1 /bin", "x y|l1", '"l2', "7.3 2", '{"input":{"n":1},"needs":{}}',
    ]  # fmt: skip
    assert (exit_.output, exit_.stderr_tail) == (b'{"a": 1}\n', b"oh\n")
    base = guard.folder / "tasks" / "7" / "3.2"
    assert (
        Path(f"{base}.artifacts/kept").exists() and Path(f"{base}.notes").read_text() == '{"progress": 1}\n'
    )
    owner = Path(f"{base}.work/mine").stat().st_uid
    assert owner == (guard.folder / "tasks").stat().st_uid, "its root is the tasks' account, and no more"


def test_what_it_may_see_and_change(guard: Guard, image: str, found: tuple[Path, RuntimeRecord, str]) -> None:
    """A mount that is read-only, the image that is, and another job's folder that is not there at all."""
    data = guard.folder / "data"
    data.mkdir(exist_ok=True)
    (data / "f").write_text("seen")
    guard.run((8, 0, 1), "true")
    script = (
        f"cat /in/f; touch /in/g 2>/dev/null || echo fixed; touch /x 2>/dev/null || echo sealed;"
        f" ls {guard.folder}/tasks"
    )
    exit_ = guard.run(
        KEY, "sh", "-c", script, image=image, mounts=((str(data), "/in", True),), read_only=True
    )
    assert exit_.exit_code == 0
    seen = guard.read(KEY)[1].decode()
    assert seen.startswith("seenfixed\nsealed\n") and set(seen.split()[2:]) == {
        "7",
        "helper",
        "no-input.json",
    }
    refused = guard.run((7, 4, 1), "true", image=image, mounts=(("/no/such", "/in", False),))
    assert (refused.outcome, refused.message[:19]) == (wire.NOT_STARTED, "mount /no/such: not")


def test_volumes_and_what_was_brought_are_inside(guard: Guard, image: str) -> None:
    """A volume stands where it is wanted, read-only where that was asked; what was brought is as always."""
    owner = (guard.folder / "tasks").stat()
    folders = [guard.folder / "volumes" / name for name in ("data", "old")]
    for folder in folders:
        folder.mkdir(parents=True)
        (folder / "f").write_text(f"of {folder.name}")
        os.chown(folder, owner.st_uid, owner.st_gid)
    model = guard.folder / "tasks" / "brought" / "7.3.2" / "models" / "w.bin"
    model.parent.mkdir(parents=True)
    model.write_text("weights")
    placed = [
        ("CORRAL_VOLUME_DATA", "/mnt/data", str(folders[0]), False),
        ("CORRAL_VOLUME_OLD", "/mnt/old", str(folders[1]), True),
    ]
    script = (
        'cat "$CORRAL_VOLUME_DATA/f" /mnt/old/f "$MODEL"; echo;'
        ' echo "$CORRAL_VOLUME_OLD$CORRAL_VOLUME_PLACES"; touch /mnt/data/mine;'
        ' touch /mnt/old/x 2>/dev/null || echo fixed; touch "$MODEL" 2>/dev/null || echo kept'
    )
    env = {"CORRAL_VOLUME_PLACES": json.dumps(placed), "MODEL": str(model)}
    exit_ = guard.run(KEY, "sh", "-c", script, image=image, env=env)
    assert (exit_.outcome, exit_.exit_code, exit_.message) == (wire.EXITED, 0, "")
    assert guard.read(KEY)[1].decode().splitlines() == ["of dataof oldweights", "/mnt/old", "fixed", "kept"]
    assert (folders[0] / "mine").stat().st_uid == owner.st_uid
    bad = json.dumps([("CORRAL_VOLUME_DATA", "/mnt/a:b", str(folders[0]), False)])
    exit_ = guard.run((7, 4, 1), "true", image=image, env={"CORRAL_VOLUME_PLACES": bad})
    assert exit_.outcome == wire.NOT_STARTED and "/mnt/a:b" in exit_.message


@pytest.mark.contract("S2.35")
def test_without_network_there_is_a_loopback_and_no_route(guard: Guard, image: str) -> None:
    """`--network none → no route in task`: in a container, and in a plain task as well."""
    devices = ("cat", "/proc/net/dev", "/proc/net/route")
    for key, options in (((7, 1, 1), {"image": image}), ((7, 2, 1), {})):
        exit_ = guard.run(key, *devices, network="none", stdin="", **options)
        assert exit_.exit_code == 0, exit_
        lines = guard.read(key)[1].decode().splitlines()
        assert [line.split(":")[0].strip() for line in lines[2:] if ":" in line] == ["lo"]
        assert lines[-1].startswith("Iface"), "no route below the heading"
    ours = Path("/proc/net/dev").read_text().count(":")
    guard.run((7, 5, 1), "cat", "/proc/net/dev", image=image, network="host")
    assert guard.read((7, 5, 1))[1].decode().count(":") == ours


@pytest.mark.parametrize(
    ("argv", "outcome", "code", "words"),
    [
        (("sh", "-c", "exit 125"), wire.EXITED, 125, ""),
        (("sh", "-c", "exit 127"), wire.EXITED, 127, ""),
        (("no-such",), wire.NOT_FOUND, 127, "no-such"),
        (("/etc",), wire.NOT_EXECUTABLE, 126, "/etc"),
    ],
)
def test_what_the_runtime_says_is_told_from_what_the_command_says(
    guard: Guard, image: str, argv: tuple[str, ...], outcome: str, code: int, words: str
) -> None:
    exit_ = guard.run(KEY, *argv, image=image)
    assert (exit_.outcome, exit_.exit_code) == (outcome, code)
    assert words in exit_.message and bool(words) == exit_.message.startswith("podman on node n1: ")


def test_an_image_that_cannot_be_had_is_a_reason_of_its_own(guard: Guard, image: str) -> None:
    """And time spent on looking for it is not time that the task ran."""
    missing = image.replace("busybox.tar", "none.tar")
    exit_ = guard.run(KEY, "true", image=missing, timeout_s=0.01)
    assert (exit_.outcome, exit_.started_at) == (wire.NOT_STARTED, None)
    assert exit_.message.startswith(f"E_IMAGE: {missing} cannot be had on node n1: ")
    exit_ = guard.run((7, 4, 1), "true", image="localhost/never:1", pull="never")
    assert exit_.outcome == wire.NOT_STARTED and "never:1" in exit_.message
    guard.send(wire.RUNTIME, None)
    exit_ = guard.run((7, 5, 1), "true", image=image)
    assert exit_.message == "no runtime on node n1 can run containers"


def test_an_image_that_its_registry_has_not_is_nowhere_and_a_registry_that_is_away_says_nothing(
    guard: Guard, found: tuple[Path, RuntimeRecord, str]
) -> None:
    """The first is the task's end, at once; the second may be the node's network, and is tried elsewhere."""
    with registry() as port:
        away = free_port()
        settings = guard.folder / "registries.conf"
        insecure = '[[registry]]\nlocation = "127.0.0.1:{}"\ninsecure = true\n'
        settings.write_text(insecure.format(port) + insecure.format(away))
        settings.chmod(0o644)
        runtime = found[1]
        env = {**runtime.env, "CONTAINERS_REGISTRIES_CONF": str(settings)}
        guard.send(wire.RUNTIME, msgspec.to_builtins(msgspec.structs.replace(runtime, env=env)))
        image = f"127.0.0.1:{port}/never:1"
        exit_ = guard.run(KEY, "true", image=image)
        assert (exit_.outcome, exit_.exit_code, exit_.started_at) == (wire.NOT_FOUND, 127, None)
        assert exit_.message.startswith(f"E_IMAGE: there is no image {image}, says its registry: ")
        exit_ = guard.run((7, 4, 1), "true", image=f"127.0.0.1:{away}/never:1")
        assert (exit_.outcome, exit_.exit_code) == (wire.NOT_STARTED, None)
        assert f"E_IMAGE: 127.0.0.1:{away}/never:1 cannot be had on node n1: " in exit_.message


@contextmanager
def registry() -> Iterator[int]:
    """A registry that has nothing, on a port of this machine."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            known = self.path == "/v2/"
            fault = b'{"errors": [{"code": "MANIFEST_UNKNOWN", "message": "manifest unknown"}]}'
            self.send_response(200 if known else 404)
            self.send_header("Docker-Distribution-Api-Version", "registry/2.0")
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(b"{}" if known else fault)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_what_a_container_uses_is_sampled_and_not_what_runs_it(guard: Guard, image: str) -> None:
    """Memory and processor of the processes inside; its client is the task's process, and idle."""
    script = "a=$(yes | head -c 20000000); while :; do :; done"
    guard.spawn(KEY, "sh", "-c", script, image=image)
    pid = inside(guard, KEY, f"sh -c {script}")
    sampler = UsageSampler(SimulatedGpus(()), guard.folder, tasks=guard.folder / "tasks")
    running = {AttemptRef(*KEY): guard.starts[KEY][0]}

    def is_that_of_the_process_inside() -> bool:
        seen = [task.usage for task in sampler.sample(running).tasks]
        held_mib = psutil.Process(pid).memory_info().rss / 2**20
        return bool(seen) and seen[0].cpu_millis > 0 and held_mib > 19 and abs(seen[0].mem_mib - held_mib) < 1

    wait_until(is_that_of_the_process_inside, "what is sampled is what the shell inside has")
    guard.send(wire.CANCEL, [KEY])
    guard.ended(KEY)
    assert sampler.sample(running).tasks == []


@pytest.mark.parametrize("text", [b"", b"1\n", b"-1", b"99999999999", b"1 2", b"\xff"])
def test_a_note_of_a_monitor_that_is_none_says_nothing(tmp_path: Path, text: bytes) -> None:
    """The folder belongs to the tasks' account: what lies there may be anything."""
    (tmp_path / "containers").mkdir()
    note = tmp_path / "containers" / "7.3.2.monitor"
    note.write_bytes(text)
    assert monitor_of(tmp_path, AttemptRef(*KEY)) == 0
    (tmp_path / "containers" / "7.3.2.pid").write_bytes(text or b"G" * 64)
    assert container_of(tmp_path, AttemptRef(*KEY)) == ""
    note.unlink()
    os.mkfifo(note)
    assert monitor_of(tmp_path, AttemptRef(*KEY)) == 0
    assert monitor_of(None, AttemptRef(*KEY)) == 0


def test_cancel_and_lease_end_a_container(guard: Guard, image: str) -> None:
    """Nobody inside has a handler for TERM, and as the first of its namespace would not even get it."""
    spawned = guard.spawn(KEY, "sleep", "600", image=image, grace_s=600.0)
    pid = inside(guard, KEY, "sleep 600")
    guard.send(wire.CANCEL, [spawned])
    assert guard.ended(KEY).outcome == wire.CANCELLED and not alive(pid)
    stubborn = "trap 'echo told' TERM; while true; do sleep 0.1; done"
    guard.spawn((7, 5, 1), "sh", "-c", stubborn, image=image)
    pid = inside(guard, (7, 5, 1), f"sh -c {stubborn}")
    guard.renew(0.1, 1.5)
    assert guard.ended((7, 5, 1)).outcome == wire.LEASE_EXPIRED and not alive(pid)
    assert guard.read((7, 5, 1))[1].startswith(b"told\n"), "it was asked first"


@pytest.mark.parametrize("after_s", [0.0, 0.1, 0.2, 0.35, 0.5, 0.7])
@pytest.mark.parametrize("by", ["cancel", "timeout", "client"])
def test_a_container_that_is_to_end_before_its_command_began_ends_at_once(
    guard: Guard, image: str, by: str, after_s: float
) -> None:
    """Whatever its runtime was at: making it, starting it, or done with that. Nothing of it is left."""
    key = (8, int(after_s * 100), ("cancel", "timeout", "client").index(by) + 1)  # a name of its own
    limit_s = max(after_s, 0.01) if by == "timeout" else None
    guard.spawn(key, "sleep", "604", image=image, grace_s=600.0, timeout_s=limit_s)
    guard.started(key)
    began = time.monotonic()
    while by != "timeout" and time.monotonic() < began + after_s:
        time.sleep(0.01)
    if by == "cancel":
        guard.send(wire.CANCEL, [key])
    elif by == "client":
        os.kill(guard.starts[key][0], signal.SIGKILL)
    outcome = {"cancel": wire.CANCELLED, "timeout": wire.TIMEOUT, "client": wire.SIGNALED}[by]
    assert guard.ended(key).outcome == outcome


def test_a_shell_that_has_run_for_a_while_ends_with_what_it_runs(guard: Guard, image: str) -> None:
    """It waits for its command, has no handler for TERM, and is the first of its namespace."""
    for number in range(2):
        key = (7, number, 1)
        guard.spawn(key, "sh", "-c", "sleep 605; true", image=image, grace_s=600.0)
    for number in range(2):
        inside(guard, (7, number, 1), "sleep 605")
    guard.send(wire.CANCEL, [(7, number, 1) for number in range(2)])
    for number in range(2):
        assert guard.ended((7, number, 1)).outcome == wire.CANCELLED


def test_who_heeds_the_call_to_end_hears_it_once(guard: Guard, image: str) -> None:
    """And is not killed for having no handler any more while it tidies up."""
    tidying = "trap - TERM; echo told; sleep 1; echo tidied; exit 7"
    script = f"trap '{tidying}' TERM; echo up; while :; do sleep 0.1; done"
    guard.spawn(KEY, "sh", "-c", script, image=image, grace_s=600.0)
    wait_until(lambda: guard.started(KEY) and guard.read(KEY)[1] == b"up\n", "it runs")
    guard.send(wire.CANCEL, [KEY])
    exit_ = guard.ended(KEY)
    assert (exit_.outcome, guard.read(KEY)[1]) == (wire.CANCELLED, b"up\ntold\ntidied\n")


def test_a_container_outlives_the_agent_and_not_its_client(guard: Guard, image: str) -> None:
    """One live attempt: while anything of the container lives, the attempt has not ended."""
    guard.spawn(KEY, "sleep", "601", image=image)
    pid = inside(guard, KEY, "sleep 601")
    guard.disconnect()
    running, _, _ = guard.connect()
    assert [start[0] for start in running] == [KEY] and alive(pid)
    assert guard.inspect()[2] == (), "nothing of it is a stray"
    os.kill(guard.starts[KEY][0], signal.SIGKILL)  # the client, as the kernel would for want of memory
    exit_ = guard.ended(KEY)
    assert (exit_.outcome, exit_.signal) == (wire.SIGNALED, signal.SIGKILL) and not alive(pid)


def test_the_guards_death_ends_its_containers(guard: Guard, image: str) -> None:
    """Also one that hides what it belongs to: its runtime knows it by its label."""
    guard.spawn(KEY, "sleep", "602", image=image)
    guard.spawn((7, 4, 1), "env", "-i", "/bin/sleep", "603", image=image)
    pids = [inside(guard, KEY, "sleep 602")]
    wait_until(lambda: guard.inspect()[0][7, 4, 1][1] >= 1, "the second runs as well")
    guard.process.kill()
    guard.process.wait()
    assert alive(pids[0])
    guard.process = guard.launch()
    guard.connect()
    wait_until(lambda: not processes_of_tasks(guard), "both are ended")


def processes_of_tasks(guard: Guard) -> list[int]:
    """Sleeps of this test, wherever they are."""
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                words = Path(f"/proc/{name}/cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if words[-2:-1] in ([b"602"], [b"603"]) and alive(int(name)):
                found.append(int(name))
    return found


def test_a_paused_container_stands_still_and_one_to_be_is_not_started(guard: Guard, image: str) -> None:
    counting = "n=0; while true; do n=$((n+1)); echo $n; sleep 0.05; done"
    guard.spawn(KEY, "sh", "-c", counting, image=image)
    inside(guard, KEY, f"sh -c {counting}")
    wait_until(lambda: guard.read(KEY)[2] > 0, "it counts")
    guard.send(wire.PAUSE, [KEY])
    guard.inspect()  # by then it has been stopped
    size = guard.read(KEY)[2]
    wait_until(lambda: guard.inspect()[0][KEY][2], "it is paused")
    assert guard.read(KEY)[2] == size
    guard.send(wire.RESUME, [KEY])
    wait_until(lambda: guard.read(KEY)[2] > size, "it goes on")
    guard.send(wire.CANCEL, [KEY])
    guard.ended(KEY)


def test_what_is_being_fetched_can_be_taken_back(guard: Guard, image: str) -> None:
    """Retracted, cancelled and lapsed before the image is there: none of them has run."""
    fifo = guard.folder / "slow.tar"
    if not fifo.exists():
        os.mkfifo(fifo)
        fifo.chmod(0o644)
    slow = f"docker-archive:{fifo}"
    for number, (verb, outcome) in enumerate(((wire.RETRACT, wire.RETURNED), (wire.CANCEL, wire.CANCELLED))):
        key = (7, number, 1)
        guard.spawn(key, "true", image=slow)
        wait_until(lambda key=key: key in guard.inspect()[1], "it is being prepared")  # type: ignore[misc]
        guard.send(verb, [key])
        exit_ = guard.ended(key)
        assert (exit_.outcome, exit_.started_at) == (outcome, None)
    guard.spawn(KEY, "true", image=slow)
    guard.renew(0.1, 0.2)
    assert guard.ended(KEY).outcome == wire.RETURNED


def test_a_container_can_have_a_terminal(guard: Guard, image: str) -> None:
    guard.spawn(KEY, "sh", image=image, pty=True)
    guard.started(KEY)
    guard.type(KEY, b"ls /bin/busybox; exit 4\n")
    assert guard.ended(KEY).exit_code == 4
    assert b"/bin/busybox\r\n" in guard.read(KEY)[1]
