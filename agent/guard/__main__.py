"""`python -m agent.guard FOLDER TASKS NODE AGENT_UID`: started by the agent, outlives it."""

from __future__ import annotations

import gc
import os
import sys

from agent.guard import account, tree
from agent.guard.files import TaskFiles
from agent.guard.journal import Journal
from agent.guard.keeper import Keeper
from agent.guard.server import LINGER_S, AnotherGuard, Server, listen
from agent.guard.spawn import Spawner

EXIT_ANOTHER = 75


def main(folder: str, tasks: str, node: str, agent_uid: int) -> int:
    """Everything that needs the agent's rights first, then never again."""
    try:
        listener, _lock = listen(folder)
    except AnotherGuard:
        return EXIT_ANOTHER
    os.chdir("/")
    journal = Journal(folder)
    runs_as = account.task_account()
    os.makedirs(tasks, 0o755, exist_ok=True)
    if os.geteuid() == 0:
        os.chown(tasks, runs_as.uid, runs_as.gid, follow_symlinks=False)
    os.chmod(tasks, 0o700)
    account.become(runs_as)
    leftovers = tree.end_leftovers(folder)
    if leftovers:
        sys.stderr.write(f"ended {leftovers} processes of a guard that died\n")
        sys.stderr.flush()
    files = TaskFiles(tasks)
    spawner = Spawner(files, node=node, user=runs_as.name, folder=folder)
    spawner.containers.end_leftovers()
    end_children()
    # Nothing made so far is garbage, and a forked tool copies no page for finding that out.
    gc.collect()
    gc.freeze()
    keeper = Keeper(journal, files, spawner, folder=folder)
    Server(keeper, listener, agent_uid=agent_uid, linger_s=LINGER_S).run()
    end_children()
    return 0


def end_children() -> None:
    """What no task is or left: a process by which podman holds its namespace."""
    for pid in tree.own_children():
        os.kill(pid, tree.KILL)
        os.waitpid(pid, 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])))
