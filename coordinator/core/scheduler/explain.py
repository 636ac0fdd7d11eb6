"""What a decision keeps of itself, with its attempt, for whoever asks `why`: also long after the task's end.

It is kept as JSON without what is at its default. Fields come with defaults and never change their meaning;
where that cannot be, `v` grows. Every list in it is bounded by who writes it, and decisions of one job in one
round that share all of it are kept once: the others say whom they are `like`.
"""

from __future__ import annotations

from typing import NamedTuple

from msgspec import Struct, field
from msgspec.structs import replace

from bus.values import AttemptRef, NodeName


class Seen(Struct, frozen=True, array_like=True):
    """A feasible node as it was ranked: smaller scores are better.

    `features`: what would be left over of each resource, as a share of the node, and what its wishes count.
    """

    node: NodeName
    score: float
    features: dict[str, float] = {}


class Backfilled(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """It ran ahead of a task for which room was reserved, and delays it not."""

    behind: str  # the task with the reservation
    node: NodeName | None = None  # where that is to start; None: wherever it fits then
    reserved_s: float | None = None  # when; None: nothing tells
    until_s: float | None = None  # when the one that ran ahead is over by its walltime


class Gathered(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Where a gang's ranks are: node -> how many, in the order of the ranks.

    `values`: of the topology, as its nodes have it; where that is more than one, `spread` says why.
    """

    ranks: int
    nodes: dict[NodeName, int]
    topology: str = ""
    values: tuple[str, ...] = ()
    spread: str = ""


class Explanation(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`order` and `rank` are the static rules in force; `policy` the learned order, where that decided.

    `class`: the priority with the job's age in it. `q`: values of the tasks among which the policy chose, by
    their names, smaller is better; `rule`: the base rule under which the chosen one was best. `would`: the
    task that a policy in shadow mode would have chosen. `epsilon`: the share of placements explored then.
    """

    v: int = 1
    order: str = ""
    rank: str = ""
    nodes: int = 0  # of the whole cluster
    feasible: int = 0
    candidates: tuple[Seen, ...] = ()
    rejected: dict[NodeName, tuple[str, ...]] = {}
    pace_per_s: float = 0.0  # of a task assigned ahead of a free place
    class_: int | None = field(default=None, name="class")
    policy: str = ""
    rule: str = ""
    q: dict[str, float] = {}
    would: str = ""
    explored: bool = False
    epsilon: float = 0.0
    backfill: Backfilled | None = None
    usage_age_s: float | None = None  # of what was known of the chosen node's load; None: nothing was
    gang: Gathered | None = None
    state: tuple[float, ...] = ()  # the cluster as learners saw it then: `learner.Situation`
    like: tuple[int, int] | None = None  # task index and fence of who keeps the rest, of the same job


class _Shared(NamedTuple):
    explanation: Explanation
    like: Explanation


class Sharing:
    """What the attempts of one round keep: the first of a job all of it, the next the name of that one."""

    def __init__(self, state: tuple[float, ...] = ()) -> None:
        self._state = state
        self._shared: dict[tuple[int, int], _Shared] = {}

    def kept(self, explanation: Explanation, attempt: AttemptRef) -> Explanation:
        """What `attempt` is to keep. Decisions share what is the same object, not what is only equal."""
        key = (attempt.job, id(explanation))
        found = self._shared.get(key)
        if found is not None:
            return found.like
        # it holds the explanation too, or its id could be another one's soon
        self._shared[key] = _Shared(
            explanation,
            Explanation(
                order=explanation.order,
                rank=explanation.rank,
                nodes=explanation.nodes,
                feasible=explanation.feasible,
                policy=explanation.policy,
                rule=explanation.rule,
                explored=explanation.explored,
                epsilon=explanation.epsilon,
                state=self._state,
                like=(attempt.index, attempt.fence),
            ),
        )
        return replace(explanation, state=self._state) if self._state else explanation
