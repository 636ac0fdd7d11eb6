"""Everything that can happen to the cluster, as the core sees it.

Events carry the ids that the step needs (job id and number, node id): the core makes none. `reply` is
an opaque token that comes back in the effect that answers; 0 means that nobody waits.
"""

from __future__ import annotations

from uuid import UUID

from msgspec import Struct

from bus.spec import JobSpec
from bus.values import (
    AttemptRef,
    Inventory,
    NodeKind,
    NodeName,
    Resources,
    Role,
    TaskEvent,
    Usage,
    UserName,
)

ReplyToken = int


class AgentRegistered(Struct, frozen=True, kw_only=True):
    """An agent process introduced itself; `node_id` is used only if the node is new."""

    node: NodeName
    node_id: UUID
    incarnation: str
    boot_id: str
    version: str
    capacity: Resources
    inventory: Inventory
    kind: NodeKind
    labels: dict[str, str]
    roles: tuple[str, ...]
    tools: tuple[str, ...]
    live: tuple[AttemptRef, ...]
    reply: ReplyToken = 0


class AgentBeat(Struct, frozen=True, kw_only=True):
    """A heartbeat: asks for the leases of `live` to be renewed."""

    node: NodeName
    incarnation: str
    sequence: int
    load: float
    live: tuple[AttemptRef, ...]
    reply: ReplyToken = 0


class UsageSeen(Struct, frozen=True, kw_only=True):
    node: NodeName
    usage: Usage
    load: float
    tasks: tuple[tuple[AttemptRef, Usage], ...] = ()


class TasksReported(Struct, frozen=True, kw_only=True):
    """A batch out of an agent's outbox; may repeat what was reported before."""

    node: NodeName
    sequence: int
    events: tuple[TaskEvent, ...]
    reply: ReplyToken = 0


class CommandUnanswered(Struct, frozen=True, kw_only=True):
    """An assignment was sent and not confirmed: it may or may not have arrived."""

    node: NodeName
    attempts: tuple[AttemptRef, ...]


class CommandConfirmed(Struct, frozen=True, kw_only=True):
    """The node has these assignments on disk."""

    node: NodeName
    attempts: tuple[AttemptRef, ...]


class JobSubmitted(Struct, frozen=True, kw_only=True):
    """`spec_json` is what is kept; `digest` (SHA-256 of it) tells a repeated dedupe key from a clash.

    `message_key`: what the published message is known by; its repetition was ruled out before.
    """

    job_id: UUID
    number: int
    owner: UserName
    spec: JobSpec
    spec_json: bytes
    digest: bytes
    message_key: str | None = None
    reply: ReplyToken = 0


class CancelAsked(Struct, frozen=True, kw_only=True):
    """`index` None: the whole job."""

    job: int
    index: int | None
    by: UserName
    role: Role
    reply: ReplyToken = 0


class Tick(Struct, frozen=True):
    """Time has passed: leases, backoffs, deadlines."""


class ScheduleDue(Struct, frozen=True):
    """End of a batch: place what can be placed."""


Event = (
    AgentRegistered
    | AgentBeat
    | UsageSeen
    | TasksReported
    | CommandUnanswered
    | CommandConfirmed
    | JobSubmitted
    | CancelAsked
    | Tick
    | ScheduleDue
)
