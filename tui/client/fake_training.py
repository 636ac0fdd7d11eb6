"""Gangs of the cluster that never was: each task of a job that trains is one of four ranks."""

from __future__ import annotations

import time

from bus.api import Task
from bus.errors import ApiError
from bus.refusal import quote, refusal
from bus.results import TaskResult
from bus.training import GangPage, GangProgress, GangRanks, Rank, RankUsage
from bus.values import JobKind, TaskState
from tui.client.fake_world import World

RANKS = 4
SAVED_STEP, SAVING_STEP = 300, 400
STARTED = frozenset({TaskState.ASSIGNED, TaskState.RUNNING, TaskState.COMPLETED, TaskState.FAILED})


class FakeTraining:
    """What `Source` asks of gangs. A gang that runs was restarted once, and saves a checkpoint just now."""

    world: World

    def _check(self, operation: str) -> None:
        raise NotImplementedError

    async def training(self, target: str | int, *, limit: int = 100, cursor: str = "") -> GangPage:
        """The gangs of a job; raises ApiError where it has none."""
        self._check("training")
        number, start = int(str(target).partition(".")[0]), int(cursor or 0)
        self._refuse_others(number)
        tasks = self.world.tasks(number)
        end = start + limit
        return GangPage(
            gangs=[_gang(task) for task in tasks[start:end]], next=str(end) if end < len(tasks) else ""
        )

    async def ranks(self, task: str | int) -> GangRanks:
        """Raises ApiError where the task is no gang."""
        self._check("ranks")
        number, _, index = str(task).partition(".")
        self._refuse_others(int(number))
        found = self.world.tasks(int(number))[int(index)]
        gang = _gang(found)
        live = gang.state is TaskState.RUNNING
        nodes = [node.name for node in self.world.nodes]
        first = nodes.index(found.node) if found.node in nodes else 0
        placed = range(RANKS if found.state in STARTED else 0)
        return GangRanks(
            gang=gang,
            ranks=[_rank(found, rank, nodes[(first + rank // 2) % len(nodes)], live=live) for rank in placed],
            available=[] if live else list(range(RANKS)),
        )

    def _refuse_others(self, number: int) -> None:
        if self.world.job(number).kind is not JobKind.AI_TRAINING:
            hint = "a job has gangs where it was submitted with --gang N"
            raise ApiError(
                refusal("E_NOT_FOUND", "no task of it is a gang", field="/task", got=quote(number), hint=hint)
            )


def _gang(task: Task) -> GangProgress:
    live, started = task.state is TaskState.RUNNING, task.state in STARTED
    gang = GangProgress(
        task=f"{task.job}.{task.index}", name=task.name, state=task.state, attempt=2 if started else 0,
        ranks=RANKS, nodes=2 if live else 0, live=RANKS if live else 0, running=RANKS if live else 0,
        completed=RANKS if task.state is TaskState.COMPLETED else 0,
    )  # fmt: skip
    if started:
        gang.progress, gang.message = 42.0 if live else 100.0, "epoch 3 of 7"
        gang.metrics = {"loss": 0.31, "accuracy": 0.883}
        gang.step, gang.saved_at = SAVED_STEP, time.time() - 95
    if live:
        gang.saving, gang.shards = SAVING_STEP, 3
    return gang


def _rank(task: Task, rank: int, node: str, *, live: bool) -> Rank:
    started_at = task.started_at or task.submitted_at
    saved = SAVED_STEP if rank == RANKS - 1 else SAVING_STEP
    return Rank(
        rank=rank, node=node, state=str(task.state), assigned_at=started_at - 0.4, started_at=started_at,
        ended_at=task.ended_at, exit_code=task.exit_code, message=task.message,
        checkpoint=f"step-{saved}" if live else "",
        told=TaskResult(fence=2, progress=42.0, step=SAVING_STEP + 12 - rank,
                        metrics={"loss": 0.31 + rank / 100}) if live else None,
        usage=RankUsage(at=time.time() - 4, cpu_millis=7_900.0 - 40 * rank, mem_mib=18_432.0, gpus=0.97,
                        gpu_mem_mib=61_440.0) if live else None,
    )  # fmt: skip
