"""What is learned of jobs, note by note: a function of the notes in their order, and of nothing else.

    reward     r = −max(1, (waited + ran) / max(ran, 10 s)), the negative bounded slowdown of a task that ran
    its mean   over the newest 1,000 rewards
    priority   |r − mean before it|: how much the experience surprises, for whoever replays it
    ε          of `exploring`, after so many rewards: the share of placements that may be explored

Every input is noted, and the notes are committed with the batch that they came of. So whoever leads next
takes the newest snapshot, learns the notes after it again, and knows bit for bit what was known.
"""

from __future__ import annotations

from collections import deque
from typing import NamedTuple, assert_never
from uuid import UUID

from msgspec import Struct

from coordinator.core.scheduler.exploring import epsilon_after
from coordinator.core.scheduler.foretold import CameOut, Foretold, Record
from coordinator.core.scheduler.places import Explained, Wanted
from coordinator.core.scheduler.planner import Asked, Planner
from coordinator.core.scheduler.predict import BOUND_S

REWARDS = 1_000
REQUESTS = 512


class Situation(NamedTuple):
    """A state of the cluster as a learner sees it.

    `queue`: entries in the waiting lines, of which a job's untouched tasks are one. `load`: share of the
    capacity that is held, of the resource of which it is largest. `mix`: mean of log2 of the seconds that the
    newest arrivals ask for; `width`: the same of their shares of the machine.
    """

    queue: int
    load: float
    mix: float
    width: float


class Action(Struct, frozen=True, omit_defaults=True, kw_only=True):
    """What was decided of a task: by which orders, and where. `policy` "": the static `order` decided."""

    node: str
    order: str
    policy: str = ""
    rule: str = ""
    explored: bool = False
    epsilon: float = 0.0


class Arrival(Struct, frozen=True, array_like=True, tag="arrival"):
    """`request`: of one task; None: a leader of an older version noted it."""

    job: Asked
    request: Wanted | None = None


class Experience(Struct, frozen=True, array_like=True, tag="experience"):
    """A task that ended of itself: what was decided of it, and what came of that.

    `over`: the last task ended, nobody waits, and there is no `after`. `before` None: it was decided by a
    leader that kept no situations.
    """

    task: UUID
    at_s: float
    before: Situation | None
    action: Action
    reward: float
    after: Situation | None
    over: bool
    priority: float
    job: Asked
    run_s: float


class Unused(Struct, frozen=True, array_like=True, tag="unused"):
    """Somebody waits for GPUs of which a `share` is free; `seen`: Σ φ of a minute ago (`places`)."""

    seen: tuple[float, ...]
    share: float


Note = Arrival | Experience | Unused | Foretold | CameOut


class Learner(Planner):
    """A planner that notes what it learns from. `sequence`: how many notes there were, ever.

    `table` and `weights` (npz, of `places`) are what policies were trained to; `explained` learns on from
    these. `requests`: those of the newest tasks.
    """

    def __init__(self) -> None:
        super().__init__()
        self.rewards: deque[float] = deque(maxlen=REWARDS)
        self.reward_total = 0.0
        self.weights = b""
        self.explained: Explained | None = None
        self.requests: deque[Wanted] = deque(maxlen=REQUESTS)
        self.forecasts = Record()
        self.sequence = 0
        self.decisions = 0
        self._noted: list[Note] = []

    @property
    def reward_avg(self) -> float | None:
        """None before the first reward."""
        return self.reward_total / len(self.rewards) if self.rewards else None

    @property
    def epsilon(self) -> float:
        """How often a placement may be explored from now on."""
        return epsilon_after(self.decisions)

    def note_arrival(self, job: Asked, request: Wanted | None = None) -> None:
        """In order of arrival."""
        self.note(Arrival(job, request))

    def place_by(self, weights: bytes, *, gpus: int) -> None:
        """Weights passed the gate, or none did; those in force already learn on."""
        if weights != self.weights:
            self.weights = weights
            self.explained = Explained.begin(weights, gpus=gpus) if weights else None

    def offer(self, judged: Learner, *, gpus: int) -> None:
        """Rank by what `judged` was found good for here; other weights are where training begins next."""
        offered, self.weights = self.weights, judged.weights
        if offered and offered != judged.weights:
            self.explained = Explained.begin(offered, gpus=gpus)
        elif not offered:
            self.explained = judged.explained

    def note(self, note: Note) -> None:
        """Learn from `note`, and keep it until it is taken."""
        self.learn(note)
        self._noted.append(note)

    def learn(self, note: Note) -> None:
        """The same, of what was committed before."""
        match note:
            case Arrival():
                super().note_arrival(note.job)
                if note.request is not None:
                    self.requests.append(note.request)
            case Experience():
                self.note_end(note.job, note.run_s)
                if len(self.rewards) == REWARDS:
                    self.reward_total -= self.rewards[0]
                self.rewards.append(note.reward)
                self.reward_total += note.reward  # all of them summed up each time cost more than the rest
                self.decisions += 1
            case Unused():
                if self.explained is not None:
                    self.explained.update(note.seen, note.share)
            case Foretold() | CameOut():
                self.forecasts.learn(note)
            case _:
                assert_never(note)
        self.sequence += 1

    def take_notes(self) -> tuple[Note, ...]:
        """Those since the last time."""
        noted = tuple(self._noted)
        self._noted.clear()
        return noted


def reward(waited_s: float, ran_s: float) -> float:
    """Of one task: −1 where it did not wait."""
    return -max(1.0, (waited_s + ran_s) / max(ran_s, BOUND_S))
