"""Under which account tasks run: an unprivileged one of their own where the agent is root."""

from __future__ import annotations

import ctypes
import os
import pwd
import resource
import signal
from typing import NamedTuple

ACCOUNT = "corral-task"
_FALLBACK = "nobody"

_PR_SET_PDEATHSIG = 1
_PR_SET_DUMPABLE = 4
_PR_SET_CHILD_SUBREAPER = 36
_PR_SET_NO_NEW_PRIVS = 38

_PROCESSES_MAX = 16_384
"""All tasks of a dropped guard together, threads included: a fork bomb leaves the machine usable."""


class Account(NamedTuple):
    uid: int
    gid: int
    name: str


def task_account() -> Account:
    """Our own account, or as root `corral-task` (made when missing) or else `nobody`."""
    if os.geteuid() != 0:
        uid = os.getuid()
        try:
            return Account(uid, os.getgid(), pwd.getpwuid(uid).pw_name)
        except KeyError:
            return Account(uid, os.getgid(), str(uid))
    return _find(ACCOUNT) or _create() or _find(_FALLBACK) or Account(65534, 65534, _FALLBACK)


def _find(name: str) -> Account | None:
    try:
        entry = pwd.getpwnam(name)
    except KeyError:
        return None
    return Account(entry.pw_uid, entry.pw_gid, name)


def _create() -> Account | None:
    argv = ["useradd", "--system", "--no-create-home", "--home-dir", "/nonexistent"]
    argv += ["--shell", "/usr/sbin/nologin", ACCOUNT]
    try:
        pid = os.posix_spawn("/usr/sbin/useradd", argv, {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"})
        os.waitpid(pid, 0)
    except OSError:
        return None
    return _find(ACCOUNT)  # another agent of this machine may have made it meanwhile


def become(account: Account) -> None:
    """Drop to `account` for good, if we are root, and confine this process and all it will start."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(65_536, hard) if soft != hard else soft, hard))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.umask(0o077)
    if os.geteuid() == 0:
        limit = resource.getrlimit(resource.RLIMIT_NPROC)[1]
        bound = _PROCESSES_MAX if limit == resource.RLIM_INFINITY else min(limit, _PROCESSES_MAX)
        resource.setrlimit(resource.RLIMIT_NPROC, (bound, bound))
        os.setgroups([])
        os.setresgid(account.gid, account.gid, account.gid)
        os.setresuid(account.uid, account.uid, account.uid)
        _prctl(_PR_SET_NO_NEW_PRIVS, 1)
    # Tasks share this account: without this they could trace the guard and speak for it.
    _prctl(_PR_SET_DUMPABLE, 0)
    # What a task leaves behind becomes our child, so that it can be found and ended.
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def die_with_parent(parent: int) -> None:
    """The kernel kills this process when `parent`, which forked it, is gone; at once if it is already."""
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it died first, and nobody is left to tell
        os.kill(os.getpid(), signal.SIGKILL)


def be_dumpable() -> None:
    """Let /proc show this process as its own account's, as it shows any other; until the next exec."""
    _prctl(_PR_SET_DUMPABLE, 1)


def _prctl(option: int, value: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(option, value, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), f"prctl({option}, {value})")
