"""What was done from this console: how far each deed has come, its ghost on the row, and what takes it back.

pending ──▶ acknowledged ──▶ applied        the row says so itself: no ghost any more
   └──────▶ failed                          stays on the row until the next deed, or for FAILED_S
"""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct, field

from tui.view.actions import ACTIONS, Step, command_of
from tui.view.effects import Row, has_come
from tui.view.steering import Steering, key_of, taken_back, way_back

ACTS_MAX = 200
APPLIED_S = 15.0
"""What was acknowledged this long ago is taken to be so where the row cannot tell: a retried task runs, and
fails, quicker than lists are asked for."""

FAILED_S = 60.0
LASTING = frozenset({"cancel"})
"""Done only when the row says so: what runs may take its grace to end."""


class Progress(StrEnum):
    PENDING = "pending"
    ACKNOWLEDGED = "acknowledged"
    APPLIED = "applied"
    FAILED = "failed"


SIGNS = {
    Progress.PENDING: "…",
    Progress.ACKNOWLEDGED: "→",
    Progress.APPLIED: "✔",
    Progress.FAILED: "✖",
}


class Ghost(Struct, frozen=True):
    """What stands behind the state of a row: a sign, what is under way, and how it looks."""

    text: str
    tone: str


class Deed(Struct, kw_only=True):
    """One step as it went. `said`: what the coordinator answered, or why it refused; `code`: of the refusal.

    `ways`: what leads back, as the coordinator answered it; where it says nothing, as the row said it before.
    """

    step: Step
    at_s: float
    progress: Progress = Progress.PENDING
    answered_at_s: float = 0.0
    said: str = ""
    audit: str = ""
    code: str = ""
    ways: tuple[Step, ...] = ()

    @property
    def ways_back(self) -> tuple[Step, ...]:
        """What leads back from it; none from what was not done."""
        if self.progress not in (Progress.ACKNOWLEDGED, Progress.APPLIED):
            return ()
        return self.ways or way_back(self.step)

    @property
    def command(self) -> str:
        """The same from a shell."""
        return command_of([self.step])

    def is_old(self, now_s: float) -> bool:
        """Whether it was acknowledged so long ago that it is taken to be so."""
        return self.step.verb not in LASTING and now_s - self.answered_at_s > APPLIED_S


class Act(Struct, kw_only=True):
    """What one answer of "yes" led to."""

    steering: Steering
    at_s: float
    deeds: list[Deed] = field(default_factory=list)
    undone: bool = False

    @property
    def failed(self) -> list[Deed]:
        """The deeds that were refused."""
        return [deed for deed in self.deeds if deed.progress is Progress.FAILED]

    @property
    def ways_back(self) -> list[Step]:
        """What leads back from all that was done; from taking back nothing does, else one went in circles."""
        if self.steering.takes_back:
            return []
        return [way for deed in self.deeds for way in deed.ways_back]


class Journal:
    """Newest first. The newest deed of a row gives its ghost."""

    def __init__(self) -> None:
        self.acts: list[Act] = []
        self._ghosts: dict[tuple[str, str], Deed] = {}

    def begin(self, steering: Steering, *, now_s: float) -> Act:
        """Note what is about to be done."""
        deeds = [Deed(step=step, at_s=now_s) for step in steering.steps]
        act = Act(steering=steering, at_s=now_s, deeds=deeds)
        self.acts.insert(0, act)
        del self.acts[ACTS_MAX:]
        self._ghosts.update({(deed.step.noun, deed.step.row): deed for deed in deeds if deed.step.row})
        return act

    def acknowledge(
        self, deed: Deed, *, said: str, audit: str, now_s: float, ways: tuple[Step, ...] = ()
    ) -> None:
        """The coordinator did it."""
        deed.progress, deed.said, deed.audit = Progress.ACKNOWLEDGED, said, audit
        deed.answered_at_s, deed.ways = now_s, ways

    def fail(self, deed: Deed, *, said: str, now_s: float, code: str = "") -> None:
        """It did not, or nobody answered."""
        deed.progress, deed.said, deed.answered_at_s = Progress.FAILED, said, now_s
        deed.code = code

    def ghost(self, noun: str, row: Row, *, now_s: float) -> Ghost | None:
        """Of a row as it reads now; one that the row has caught up with is laid to rest."""
        if not self._ghosts or (deed := self._ghosts.get((noun, key_of(row)))) is None:
            return None
        waited_s = now_s - deed.answered_at_s
        step = deed.step
        if deed.progress is Progress.ACKNOWLEDGED and (has_come(step, row) or deed.is_old(now_s)):
            deed.progress = Progress.APPLIED
        if deed.progress is Progress.APPLIED or (deed.progress is Progress.FAILED and waited_s > FAILED_S):
            del self._ghosts[noun, step.row]
            return None
        failed = deed.progress is Progress.FAILED
        word = f"not {ACTIONS[step.verb].done}" if failed else ACTIONS[step.verb].doing
        return Ghost(f"{SIGNS[deed.progress]} {word}", "bad" if failed else "warn")

    def settle(self, *, now_s: float) -> None:
        """What nobody sees the row of is taken to be so as well."""
        for act in self.acts:
            for deed in act.deeds:
                if deed.progress is Progress.ACKNOWLEDGED and deed.is_old(now_s):
                    deed.progress = Progress.APPLIED

    def why_not(self, noun: str, row: Row) -> str:
        """Why the newest deed of a row was refused; "" where it was not."""
        deed = self.refused(noun, row)
        return "" if deed is None else deed.said

    def refused(self, noun: str, row: Row) -> Deed | None:
        """The newest deed of a row, where it was refused or nobody answered."""
        deed = self._ghosts.get((noun, key_of(row)))
        return deed if deed is not None and deed.progress is Progress.FAILED else None

    def last_reversible(self) -> Act | None:
        """The newest act of which something can be taken back."""
        return next((act for act in self.acts if not act.undone and act.ways_back), None)

    def undo(self, act: Act) -> Steering:
        """What takes it back."""
        return taken_back(act.steering, act.ways_back)
