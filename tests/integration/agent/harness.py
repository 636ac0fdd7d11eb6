"""A plain client for a real guard process, and waiting for conditions."""

from __future__ import annotations

import os
import resource
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgpack

import agent
from agent.guard import wire
from agent.guard.wire import Body, Exit, Item, Key

WAIT_S = 20.0


def boottime() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def wait_until(condition: Callable[[], object], what: str) -> None:
    end = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < end, f"{what}: not within {WAIT_S:g} s"
        time.sleep(0.01)


def alive(pid: int) -> bool:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


class Guard:
    """`connect` again after `disconnect` to play an agent that was restarted."""

    def __init__(self, folder: Path, *, file_bytes_max: int = resource.RLIM_INFINITY) -> None:
        self.folder = folder
        self.file_bytes_max = file_bytes_max
        self.exits: dict[Key, Exit] = {}
        self.starts: dict[Key, tuple[int, float]] = {}
        self.inventories: list[tuple[Any, ...]] = []
        self.data: list[tuple[Any, ...]] = []
        self.found: list[tuple[Any, ...]] = []
        self.typed: list[tuple[Any, ...]] = []
        self._buffer = bytearray()
        self.socket = socket.socket(socket.AF_UNIX)
        self.process = self.launch()
        self.connect()
        self.renew(60.0, 62.0)

    def launch(self) -> subprocess.Popen[bytes]:
        sources = [str(Path(module.__file__ or "").parents[1]) for module in (agent, msgpack)]
        folder = str(self.folder)
        arguments = [folder, f"{folder}/tasks", "n1", str(os.geteuid())]
        with open(self.folder / "guard.log", "ab") as log:
            return subprocess.Popen(
                [sys.executable, "-S", "-P", "-m", "agent.guard", *arguments],
                env={"PYTHONPATH": os.pathsep.join(sources)},
                stderr=log,
                start_new_session=True,
                preexec_fn=self._limit_files,
            )

    def _limit_files(self) -> None:
        """As a full disk would have it; the tasks inherit it."""
        resource.setrlimit(resource.RLIMIT_FSIZE, (self.file_bytes_max, resource.RLIM_INFINITY))

    def connect(self, cpu_millis: int = 2000, gpus: tuple[str, ...] = ("GPU-a", "GPU-b")) -> tuple[Any, ...]:
        path = str(self.folder / "guard.sock")

        def connected() -> bool:
            self.socket = socket.socket(socket.AF_UNIX)
            try:
                self.socket.connect(path)
            except OSError:
                self.socket.close()
                return False
            return True

        self.socket.close()
        wait_until(connected, "connected")
        self.socket.settimeout(WAIT_S)
        self._buffer.clear()
        count = len(self.inventories)
        self.send(wire.HELLO, (cpu_millis, 10_000, len(gpus), 10_000, 10_000), gpus)
        self.receive_until(lambda: len(self.inventories) > count)
        return self.inventories[-1][:3]

    def disconnect(self) -> None:
        self.socket.close()

    def send(self, *parts: object) -> None:
        self.socket.sendall(wire.pack(*parts))

    def renew(self, term_s: float, kill_s: float) -> None:
        now = boottime()
        self.send(wire.RENEW, now + term_s, now + kill_s)

    def spawn(self, key: Key, *argv: str, **options: Any) -> Key:
        self.send(wire.SPAWN, [make_body(argv, options)], [make_item(key, options)])
        return key

    def receive_until(self, condition: Callable[[], object]) -> None:
        while not condition():
            data = self.socket.recv(65_536)
            assert data, "the guard closed the connection"
            self._buffer += data
            for kind, *parts in wire.unpack_all(self._buffer):
                match kind:
                    case wire.EVENTS:
                        starts, exits = parts
                        self.starts |= {key: (pid, at) for key, pid, at, _ in starts}
                        for exit_ in map(Exit._make, exits):
                            assert exit_.key not in self.exits, "told twice"
                            self.exits[exit_.key] = exit_
                    case wire.INVENTORY:
                        self.inventories.append(tuple(parts))
                    case wire.FOUND:
                        self.found.append(tuple(parts))
                    case wire.TYPED:
                        self.typed.append(tuple(parts))
                    case wire.DATA:
                        self.data.append(tuple(parts))

    def started(self, key: Key) -> int:
        self.receive_until(lambda: key in self.starts)
        return self.starts[key][0]

    def ended(self, key: Key) -> Exit:
        self.receive_until(lambda: key in self.exits)
        return self.exits[key]

    def run(self, key: Key, *argv: str, **options: Any) -> Exit:
        return self.ended(self.spawn(key, *argv, **options))

    def read(
        self, key: Key, stream: int = wire.STDOUT, offset: int = 0, limit: int = 1 << 20
    ) -> tuple[Any, ...]:
        count = len(self.data)
        self.send(wire.READ, count, key, stream, offset, limit)
        self.receive_until(lambda: len(self.data) > count)
        return self.data[-1][1:5]

    def shown(self, key: Key, text: bytes, *, offset: int = 0) -> bytes:
        """What a terminal shows after `offset`, once `text` is in it."""
        while True:
            seen = bytes(self.read(key, offset=offset)[1])
            if text in seen:
                return seen
            assert self.more(key, offset + len(seen)), f"no more output, and no {text!r} in {seen!r}"

    def more(self, key: Key, offset: int) -> bytes:
        """What a terminal shows after `offset`, once there is any; b"": there will be none."""
        count = len(self.data)
        self.send(wire.AWAIT, count, key, offset, 1 << 20)
        self.receive_until(lambda: len(self.data) > count)
        return bytes(self.data[-1][2])

    def type(self, key: Key, data: bytes) -> int:
        count = len(self.typed)
        self.send(wire.TYPE, count, key, data)
        self.receive_until(lambda: len(self.typed) > count)
        taken: int = self.typed[-1][1]
        return taken

    def came(self, key: Key, stream: int = wire.STDOUT, offset: int = 0) -> tuple[Any, ...]:
        """When that piece came: (size, at)."""
        self.read(key, stream, offset)
        return tuple(self.data[-1][5]) if len(self.data[-1]) > 5 else ()

    def inspect(self) -> tuple[dict[Key, tuple[Any, ...]], tuple[Key, ...], tuple[int, ...]]:
        """What runs (pid, processes, paused), who stands in line, and strays."""
        count = len(self.found)
        self.send(wire.INSPECT, count)
        self.receive_until(lambda: len(self.found) > count)
        number, running, queued, strays = self.found[-1]
        assert number == count
        return {key: tuple(rest) for key, *rest in running}, queued, strays

    def stop(self) -> None:
        self.socket.close()
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
        self.process.wait(WAIT_S)
        # A new one ends what the killed one left running, and then itself.
        cleaner = self.launch()
        self.connect()
        self.send(wire.LEAVE)
        cleaner.wait(WAIT_S)
        self.socket.close()


def make_body(argv: tuple[str, ...], options: dict[str, Any]) -> Body:
    return Body(
        argv,
        options.get("tool"),
        options.get("env", {}),
        options.get("workdir"),
        options.get("stdin"),
        options.get("timeout_s"),
        options.get("grace_s", 10.0),
        options.get("run_on", False),
        options.get("pty", False),
        image=options.get("image", ""),
        network=options.get("network", "default"),
        mounts=options.get("mounts", ()),
        read_only=options.get("read_only", False),
        pull=options.get("pull", "missing"),
    )


def make_item(key: Key, options: dict[str, Any]) -> Item:
    return Item(
        key,
        0,
        options.get("granted", True),
        options.get("resources", (1000, 10, 0, 0, 0)),
        options.get("gpus", ()),
        options.get("array_index"),
        options.get("input"),
        options.get("item"),
        options.get("needs", False),
        options.get("gpu_milli", 0),
    )
