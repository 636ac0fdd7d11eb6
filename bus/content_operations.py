"""The operations about what tasks tell and leave. Part of `bus.api.OPERATIONS`."""

from __future__ import annotations

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
from bus.operation import Operation
from bus.results import Logged, LoggedQuery, MetricsQuery, TaskMetrics
from bus.training import TRAINING_OPERATIONS
from bus.values import Role
from bus.volumes import VOLUME_OPERATIONS

CONTENT_OPERATIONS: dict[str, Operation] = {
    "artifact.list": Operation(ArtifactList, Artifacts, Role.READONLY),
    "artifact.show": Operation(ArtifactQuery, Artifact, Role.READONLY),
    "artifact.remove": Operation(ArtifactQuery, Artifact, Role.USER),
    "artifact.gc": Operation(ArtifactCollect, ArtifactsCollected, Role.OPERATOR),
    "checkpoint.list": Operation(CheckpointList, Checkpoints, Role.READONLY),
    "checkpoint.show": Operation(CheckpointQuery, CheckpointDetails, Role.READONLY),
    "checkpoint.best": Operation(CheckpointBest, Checkpoint, Role.READONLY),
    "checkpoint.use": Operation(CheckpointUse, Checkpoint, Role.USER),
    "checkpoint.remove": Operation(CheckpointQuery, Checkpoint, Role.USER),
    "model.register": Operation(ModelRegister, Model, Role.USER),
    "model.list": Operation(ModelList, Models, Role.READONLY),
    "model.show": Operation(ModelQuery, Model, Role.READONLY),
    "model.remove": Operation(ModelQuery, Model, Role.USER),
    "replica.list": Operation(ReplicaList, Replicas, Role.READONLY),
    "replica.scrub": Operation(ReplicaScrub, ReplicaScrubbed, Role.OPERATOR),
    "task.logged": Operation(LoggedQuery, Logged, Role.READONLY),
    "task.metrics": Operation(MetricsQuery, TaskMetrics, Role.READONLY),
    **TRAINING_OPERATIONS,
    **{name: Operation(*each) for name, each in VOLUME_OPERATIONS.items()},
}
