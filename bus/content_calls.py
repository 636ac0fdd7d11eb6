"""One method for each operation of `bus.content_operations`; part of `bus.calls.Calls`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from msgspec import Struct

from bus.artifacts import (
    Artifact,
    ArtifactCollect,
    ArtifactList,
    ArtifactQuery,
    Artifacts,
    ArtifactsCollected,
)
from bus.checkpoints import (
    Checkpoint,
    CheckpointBest,
    CheckpointDetails,
    CheckpointList,
    CheckpointQuery,
    Checkpoints,
    CheckpointUse,
)
from bus.copies import ReplicaList, Replicas, ReplicaScrub, ReplicaScrubbed
from bus.models import Model, ModelList, ModelQuery, ModelRegister, Models
from bus.results import Logged, LoggedQuery, MetricsQuery, TaskMetrics
from bus.training_calls import TrainingCalls

S = TypeVar("S", bound=Struct)

COLLECT_TIMEOUT_S = 60.0


class ContentCalls(TrainingCalls):
    """Artifacts, models, and what tasks tell of themselves."""

    async def artifacts(self, target: str = "", *, limit: int = 100, cursor: str = "") -> Artifacts:
        """Newest first; of one job or task if it is named."""
        query = ArtifactList(target=target, limit=limit, cursor=cursor)
        return await self._call("artifact.list", query, Artifacts)

    async def artifact(self, artifact: str) -> Artifact:
        """One, by its id, the start of it, or its name (of a task: `1042.7/model.bin`)."""
        return await self._call("artifact.show", ArtifactQuery(artifact=artifact), Artifact)

    async def remove_artifact(self, artifact: str) -> Artifact:
        """Its name goes at once, its content when it is collected."""
        return await self._call("artifact.remove", ArtifactQuery(artifact=artifact), Artifact)

    async def collect_artifacts(self, *, dry_run: bool = False) -> ArtifactsCollected:
        """Let go of what nobody names any more."""
        query = ArtifactCollect(dry_run=dry_run)
        return await self._call("artifact.gc", query, ArtifactsCollected, timeout_s=COLLECT_TIMEOUT_S)

    async def replicas(
        self,
        target: str = "",
        *,
        node: str = "",
        state: str = "",
        under: bool = False,
        limit: int = 100,
        cursor: str = "",
    ) -> Replicas:
        """Copies of content on other nodes; `under`: content that lacks some."""
        query = ReplicaList(target=target, node=node, state=state, under=under, limit=limit, cursor=cursor)
        return await self._call("replica.list", query, Replicas)

    async def scrub_replicas(self, node: str = "") -> ReplicaScrubbed:
        """Have a node, or all, read its content again now."""
        query = ReplicaScrub(node=node)
        return await self._call("replica.scrub", query, ReplicaScrubbed, timeout_s=COLLECT_TIMEOUT_S)

    async def checkpoints(self, target: str = "", *, limit: int = 100, cursor: str = "") -> Checkpoints:
        """What tasks saved, newest first; of one job or task if it is named."""
        query = CheckpointList(target=target, limit=limit, cursor=cursor)
        return await self._call("checkpoint.list", query, Checkpoints)

    async def checkpoint(self, checkpoint: str) -> CheckpointDetails:
        """One with its files, by its id, the start of it, or as `1042.7@1200` by its step."""
        query = CheckpointQuery(checkpoint=checkpoint)
        return await self._call("checkpoint.show", query, CheckpointDetails)

    async def best_checkpoint(self, target: str, metric: str, *, most: bool = False) -> Checkpoint:
        """Of a job or task the complete one with the least value of a metric; `most`: the largest."""
        query = CheckpointBest(target=target, metric=metric, most=most)
        return await self._call("checkpoint.best", query, Checkpoint)

    async def use_checkpoint(self, task: str, checkpoint: str) -> Checkpoint:
        """The next attempt of a task goes on from this one, rather than from the newest."""
        query = CheckpointUse(task=task, checkpoint=checkpoint)
        return await self._call("checkpoint.use", query, Checkpoint)

    async def remove_checkpoint(self, checkpoint: str) -> Checkpoint:
        """It goes, with the content that nothing else names."""
        query = CheckpointQuery(checkpoint=checkpoint)
        return await self._call("checkpoint.remove", query, Checkpoint)

    async def register_model(
        self,
        name: str,
        version: str,
        *,
        artifact: str,
        tags: Sequence[str] = (),
        metrics: Mapping[str, float] | None = None,
        config: Mapping[str, Any] | None = None,
    ) -> Model:
        """What an artifact has becomes a version of a model, which is never changed afterwards."""
        asked = ModelRegister(
            name=name,
            version=version,
            artifact=artifact,
            tags=list(tags),
            metrics=dict(metrics or {}),
            config=dict(config or {}),
        )
        return await self._call("model.register", asked, Model)

    async def models(self, name: str = "", *, tag: str = "", limit: int = 100, cursor: str = "") -> Models:
        """The newest first."""
        query = ModelList(name=name, tag=tag, limit=limit, cursor=cursor)
        return await self._call("model.list", query, Models)

    async def model(self, model: str) -> Model:
        """NAME, which is the version registered last, or NAME@VERSION."""
        return await self._call("model.show", ModelQuery(model=model), Model)

    async def remove_model(self, model: str) -> Model:
        """NAME@VERSION; refused while a job that is not over names it."""
        return await self._call("model.remove", ModelQuery(model=model), Model)

    async def task_metrics(
        self, task: str | int, *, names: Sequence[str] = (), points: int = 500
    ) -> TaskMetrics:
        """What a task told of itself: the newest `points` values of each metric, oldest first."""
        query = MetricsQuery(task=str(task), names=list(names), points=points)
        return await self._call("task.metrics", query, TaskMetrics)

    async def logged(self, query: LoggedQuery) -> Logged:
        """The lines that tasks logged, oldest first; also of jobs and nodes that are gone."""
        return await self._call("task.logged", query, Logged)

    async def _call(
        self, operation: str, request: Struct, kind: type[S], *, timeout_s: float | None = None
    ) -> S:
        raise NotImplementedError
