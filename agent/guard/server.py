"""The guard's loop: one agent on a unix socket, the children's ends, and the next deadline."""

from __future__ import annotations

import fcntl
import os
import select
import signal
import socket
import struct
import time
from typing import Any

from agent.guard import tree, wire
from agent.guard.keeper import Keeper
from agent.guard.runtimes import Runtime
from agent.guard.terminals import Wait
from agent.guard.wire import Body, Item, Key

LINGER_S = 600.0
"""How long a guard without tasks waits for an agent to come back."""

_FLUSH_INTERVAL_S = 0.005
"""While tasks stand in line the agent is told this often at most: it wakes once for many."""

_WAIT_MAX_S = 1.0
"""The wait's clock stands still while the machine sleeps, the deadlines' clock does not."""

_UNSENT_LIMIT = 64 * 1024 * 1024
_RECEIVE_SIZE = 256 * 1024
_CREDENTIALS = struct.Struct("3i")


class AnotherGuard(Exception):
    """A living guard serves this folder already."""


def listen(folder: str) -> tuple[socket.socket, int]:
    """The socket of `folder` and its lock, which goes with this process. Raises AnotherGuard."""
    lock = os.open(f"{folder}/guard.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise AnotherGuard(folder) from error
    directory = os.open(folder, os.O_PATH | os.O_DIRECTORY)
    try:
        # By way of the descriptor, because a socket's path may have 107 bytes only.
        path = f"/proc/self/fd/{directory}/guard.sock"
        if os.path.lexists(path):
            os.unlink(path)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        previous = os.umask(0o177)
        listener.bind(path)
        os.umask(previous)
    finally:
        os.close(directory)
    listener.listen(4)
    listener.setblocking(False)
    return listener, lock


class Server:
    """`run` ends when nothing runs and nobody has come for `linger_s`, or the agent said so."""

    def __init__(self, keeper: Keeper, listener: socket.socket, *, agent_uid: int, linger_s: float) -> None:
        self._keeper = keeper
        self._listener = listener
        self._agent_uid = agent_uid
        self._linger_s = linger_s
        self._epoll = select.epoll()
        self._agent: socket.socket | None = None
        self._received = bytearray()
        self._unsent = bytearray()
        self._waits_to_send = False
        self._leaving = False
        self._idle_since = _now()
        self._flushed_at = 0.0
        self._woken, self._waker = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)

    def run(self) -> None:
        """Serve until there is no more reason to."""
        signal.signal(signal.SIGCHLD, lambda *_: None)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)  # it outlives its agent and its terminal
        signal.set_wakeup_fd(self._waker, warn_on_full_buffer=False)
        self._epoll.register(self._listener, select.EPOLLIN)
        self._epoll.register(self._woken, select.EPOLLIN)
        while not self._over():
            events = self._epoll.poll(self._patience_s())
            for fd, mask in events:
                self._on_event(fd, mask)
            self._turn()

    def _turn(self) -> None:
        now_s = _now()
        keeper = self._keeper
        keeper.reap(now_s)
        keeper.tick(now_s)
        keeper.start_next(now_s)
        self._listen_to_terminals()
        if keeper.busy:
            self._idle_since = now_s
        keeper.write_journal()
        if (keeper.started or keeper.exits) and self._may_flush(now_s):
            self._send(wire.pack(wire.EVENTS, keeper.started, keeper.exits))
            keeper.started, keeper.exits = [], []
            self._flushed_at = now_s

    def _listen_to_terminals(self) -> None:
        """Begin and end as they come and fall silent; tell who waited for what came."""
        terminals, keeper = self._keeper.terminals, self._keeper
        for master in terminals.opened:
            self._epoll.register(master, select.EPOLLIN)
        for master in terminals.silent:
            self._epoll.unregister(master)
        terminals.opened, terminals.silent = [], []
        heard, keeper.heard = keeper.heard, []
        for key, wait in heard:
            self._send_data(wait.number, key, wire.STDOUT, offset=wait.offset, limit=wait.limit)

    def _may_flush(self, now_s: float) -> bool:
        return not self._keeper.has_queue or now_s - self._flushed_at >= _FLUSH_INTERVAL_S

    def _patience_s(self) -> float:
        now_s = _now()
        waits = [_WAIT_MAX_S if self._keeper.busy else self._linger_s]
        deadline = self._keeper.next_deadline()
        if deadline is not None:
            waits.append(deadline - now_s)
        if self._keeper.started or self._keeper.exits:
            waits.append(self._flushed_at + _FLUSH_INTERVAL_S - now_s)
        return max(0.0, min(waits))

    def _over(self) -> bool:
        if self._keeper.busy or (self._agent is not None and not self._leaving):
            return False
        return self._leaving or _now() - self._idle_since >= self._linger_s

    def _on_event(self, fd: int, mask: int) -> None:
        if fd == self._woken:
            os.read(self._woken, 65_536)
        elif fd == self._listener.fileno():
            self._accept()
        elif self._keeper.terminals.is_master(fd):
            self._keeper.heard += self._keeper.terminals.take(fd)
        elif self._agent is not None and fd == self._agent.fileno():
            if mask & select.EPOLLOUT:
                self._send(b"")
            if mask & ~select.EPOLLOUT:
                self._receive()

    def _accept(self) -> None:
        try:
            connection, _ = self._listener.accept()
        except OSError:
            return  # it has gone again
        raw = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
        if _CREDENTIALS.unpack(raw)[1] not in (0, self._agent_uid):
            connection.close()
            return
        self._disconnect()  # one agent at a time: the newest, as its lock on the folder is
        connection.setblocking(False)
        self._agent = connection
        self._leaving = False
        self._epoll.register(connection, select.EPOLLIN)

    def _receive(self) -> None:
        agent = self._agent
        if agent is None:
            return
        try:
            data = agent.recv(_RECEIVE_SIZE)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._disconnect()
            return
        self._received += data
        try:
            for frame in wire.unpack_all(self._received):
                self._on_frame(*frame)
        except ValueError:
            self._disconnect()

    def _on_frame(self, kind: object, *parts: Any) -> None:
        keeper = self._keeper
        match kind:
            case wire.SPAWN:
                bodies, items = parts
                keeper.enqueue(tuple([Body(*body) for body in bodies]), (Item(*item) for item in items))
            case wire.ACKNOWLEDGE:
                keeper.acknowledge(*parts)
            case wire.RENEW:
                term_at, kill_at = parts
                keeper.renew(term_at, kill_at, _now())
            case wire.CANCEL:
                keeper.cancel(parts[0], _now())
            case wire.RETRACT:
                keeper.retract(*parts)
            case wire.PAUSE:
                keeper.pause(parts[0], _now())
            case wire.RESUME:
                keeper.resume(parts[0], _now())
            case wire.INSPECT:
                self._send(wire.pack(wire.FOUND, *parts, *keeper.inspect()))
            case wire.RUNTIME:
                keeper.containers.use(Runtime(*parts[0]) if parts[0] else None)
            case wire.LEFTOVERS:
                tree.end_by_start(*parts)
            case wire.CHILDREN:
                keeper.tell_children(*parts)
            case wire.NEEDS:
                keeper.need(*parts)
            case wire.READ:
                number, key, stream, offset, limit = parts
                self._send_data(number, key, stream, offset=offset, limit=limit)
            case wire.AWAIT:
                number, key, offset, limit = parts
                if not keeper.terminals.wait(key, Wait(number, offset, limit)):
                    self._send_data(number, key, wire.STDOUT, offset=offset, limit=limit)
            case wire.TYPE:
                number, key, data = parts
                self._send(wire.pack(wire.TYPED, number, keeper.terminals.type(key, data)))
            case wire.RESIZE:
                keeper.terminals.resize(*parts)
            case wire.REMOVE:
                keeper.remove(*parts)
            case wire.HELLO:
                keeper.resize(*parts)
                self._send(wire.pack(wire.INVENTORY, *keeper.inventory(), wire.VERSION))
            case wire.FIT:
                keeper.resize(*parts)
            case wire.LEAVE:
                self._leaving = True
            case _:
                raise ValueError(f"unknown frame {kind!r}")

    def _send_data(self, number: int, key: Key, stream: int, *, offset: int, limit: int) -> None:
        data, size, ended, came = self._keeper.read(key, stream, offset, limit)
        self._send(wire.pack(wire.DATA, number, offset, data, size, ended, *([came] if came else [])))

    def _send(self, data: bytes) -> None:
        if self._agent is None:
            return  # whoever comes next asks for the inventory
        self._unsent += data
        try:
            sent = self._agent.send(self._unsent) if self._unsent else 0
        except BlockingIOError:
            sent = 0
        except OSError:
            sent = len(self._unsent)  # it has gone: what it said last is still to be read, and then its end
        del self._unsent[:sent]
        if len(self._unsent) > _UNSENT_LIMIT:
            self._disconnect()  # a stopped agent: it will connect and ask again
        elif bool(self._unsent) != self._waits_to_send:
            self._waits_to_send = bool(self._unsent)
            events = select.EPOLLIN | (select.EPOLLOUT if self._waits_to_send else 0)
            self._epoll.modify(self._agent, events)

    def _disconnect(self) -> None:
        if self._agent is not None:
            self._epoll.unregister(self._agent)
            self._agent.close()
        self._agent = None
        self._keeper.terminals.forget_waits()
        self._waits_to_send = False
        self._received.clear()
        self._unsent.clear()
        self._idle_since = _now()


def _now() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)
