"""Starting a program in a network of its own: a loopback and nothing else, no route anywhere.

The account needs no rights for it: in a user namespace of its own it may make a network namespace. Inside
it is the same account, and what it could there before the program began ends with the exec.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import signal
import socket
import struct
from collections.abc import Mapping, Sequence

from agent.guard import wire
from agent.guard.account import be_dumpable
from agent.guard.starting import CannotStart

_CLONE_NEWUSER = 0x10000000
_CLONE_NEWNET = 0x40000000
_SIOCGIFFLAGS, _SIOCSIFFLAGS = 0x8913, 0x8914
_IFF_UP = 1
_REQUEST = struct.Struct("16sH14x")
_EXIT = 70
_FAULT_MAX = 200

Actions = tuple[tuple[int, int, str, int, int] | tuple[int, int, int], ...]
"""As of posix_spawn: (POSIX_SPAWN_OPEN, fd, path, flags, mode) and (POSIX_SPAWN_DUP2, fd, other)."""


def spawn(
    path: str,
    argv: tuple[str, ...],
    env: Mapping[str, str],
    actions: Actions,
    *,
    reset: Sequence[signal.Signals],
) -> int:
    """Like posix_spawn of a leader of its own session; `reset` are the signals that get their usual meaning.

    Raises CannotStart where this account may make no such network, or the program cannot be run.
    """
    told, teller = os.pipe2(os.O_CLOEXEC)
    # What would end the child before it has its own handlers waits until then: ours would swallow it.
    signal.pthread_sigmask(signal.SIG_BLOCK, reset)
    try:
        pid = os.fork()
        if pid == 0:
            _become(path, argv, env, actions, reset=reset, teller=teller)
    except OSError as error:
        os.close(told)
        raise CannotStart(wire.NOT_STARTED, f"fork: {error.strerror}") from error
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, reset)
        os.close(teller)
    fault = os.read(told, _FAULT_MAX)
    os.close(told)
    if fault:
        os.waitpid(pid, 0)
        raise CannotStart(wire.NOT_STARTED, f"no network of its own: {fault.decode(errors='replace')}")
    return pid


def _become(
    path: str,
    argv: tuple[str, ...],
    env: Mapping[str, str],
    actions: Actions,
    *,
    reset: Sequence[signal.Signals],
    teller: int,
) -> None:
    """The child's life until the exec; never returns."""
    try:
        signal.set_wakeup_fd(-1)
        for caught in reset:
            signal.signal(caught, signal.SIG_DFL)
        os.setsid()
        _open(actions)
        kept = os.dup2(teller, 3, inheritable=False)
        os.closerange(kept + 1, 65_536)
        teller = kept
        cut_off()
        signal.pthread_sigmask(signal.SIG_UNBLOCK, reset)
        os.execve(path, argv, env)
    except (OSError, ValueError) as error:
        os.write(teller, str(error).encode()[:_FAULT_MAX])
    finally:
        os._exit(_EXIT)


def _open(actions: Actions) -> None:
    for action in actions:
        if action[0] == os.POSIX_SPAWN_OPEN and len(action) == 5:
            _, number, path, flags, mode = action
            fd = os.open(path, flags, mode)
            os.dup2(fd, number)
            if fd != number:
                os.close(fd)
        else:
            os.dup2(action[1], int(action[2]))


def cut_off() -> None:
    """Put this process into a network of its own, under the account it has. Raises OSError."""
    uid, gid = os.getuid(), os.getgid()
    # What is not dumpable belongs to root in /proc, and could not say who it is inside.
    be_dumpable()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_CLONE_NEWUSER | _CLONE_NEWNET) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    for name, line in (("setgroups", "deny"), ("uid_map", f"{uid} {uid} 1"), ("gid_map", f"{gid} {gid} 1")):
        file = os.open(f"/proc/self/{name}", os.O_WRONLY)
        try:
            os.write(file, line.encode())
        finally:
            os.close(file)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        answer = fcntl.ioctl(control, _SIOCGIFFLAGS, _REQUEST.pack(b"lo", 0))
        flags = _REQUEST.unpack(answer)[1]
        fcntl.ioctl(control, _SIOCSIFFLAGS, _REQUEST.pack(b"lo", flags | _IFF_UP))
