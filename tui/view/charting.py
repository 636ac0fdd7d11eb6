"""What the charts show of the cluster, of nodes and of tasks: the questions it takes, and the panels."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from msgspec import Struct

from bus.series import METRICS, Aggregate, SeriesKind, SeriesQuery
from tui.view.amounts import first_of
from tui.view.series import Curve, Mark, Panel
from tui.view.words import WordError, choose

if TYPE_CHECKING:
    from bus.api import Happened
    from bus.series import Measured, Series


POINTS = 240
RANGES_S = (900.0, 3_600.0, 6 * 3_600.0, 86_400.0, 7 * 86_400.0, 30 * 86_400.0)
"""15 minutes, 1 h, 6 h, 24 h, 7 days, 30 days."""

POLICY_KIND = "scheduler_"
"""How the kinds of events begin that say that another order acts."""

_OF_THINGS = ("cpu", "memory", "network", "gpu", "disk", "temperature")
_OF_GPUS = tuple(METRICS[SeriesKind.GPU])
_OF_TASKS = ("cpu", "memory", "gpu", "network", "disk")
_OF_CLUSTER: dict[str, tuple[str, ...]] = {
    "cpu": ("cpu_used", "cpu_held"),
    "memory": ("memory_used", "memory_held"),
    "gpu": ("gpu_used", "gpu_held"),
    "tasks": ("running", "queue_depth"),
    "wait": ("wait", "wait_max"),
    "throughput": ("submitted", "completed", "failed"),
    "nodes": ("nodes_healthy", "nodes_degraded", "nodes_unreachable"),
}
_OF_LEARNING: dict[str, tuple[str, ...]] = {
    "reward": ("reward", "reward_mean"),
    "td_error": ("td_error",),
    "exploring": ("epsilon",),
    "policy": ("policy_cost", "policy_cost_low", "policy_cost_high"),
    "forecasts": ("forecasts_right",),
}
"""Of the cluster too, where it is asked for."""

_BY_PANEL = _OF_CLUSTER | _OF_LEARNING
LEARNING = "learning"
_BOUNDS = {Aggregate.MAX: "most", Aggregate.MIN: "least"}
"""Of what one thing has in a bucket, beside its mean."""

_NAMES = {
    "reward": "ended", "reward_mean": "newest 1,000", "td_error": "|r − V|",
    "epsilon": "ε", "policy_cost": "cost", "policy_cost_low": "−2 s.e.",
    "policy_cost_high": "+2 s.e.", "forecasts_right": "right (meant 80)",
    "cpu_used": "used", "cpu_held": "held", "memory_used": "used", "memory_held": "held", "gpu_used": "used",
    "gpu_held": "held", "queue_depth": "queued", "wait": "mean", "wait_max": "longest",
    "nodes_healthy": "healthy", "nodes_degraded": "degraded", "nodes_unreachable": "unreachable",
}  # fmt: skip


class Subject(Struct, frozen=True):
    """What is looked at; `metrics` empty: those that say most of it."""

    kind: SeriesKind = SeriesKind.CLUSTER
    ids: tuple[str, ...] = ()
    metrics: tuple[str, ...] = ()

    @property
    def panels(self) -> tuple[str, ...]:
        """The charts, by name."""
        if self.metrics:
            return self.metrics
        match self.kind:
            case SeriesKind.CLUSTER:
                return tuple(_OF_CLUSTER)
            case SeriesKind.NODE:
                return _OF_THINGS + tuple(name for name in self._of_gpus if name not in _OF_THINGS)
            case SeriesKind.GPU:
                return _OF_GPUS
            case SeriesKind.TASK:
                return _OF_TASKS

    @property
    def _of_gpus(self) -> tuple[str, ...]:
        """The charts that have a curve for each GPU: of a single node; several show the sums of theirs."""
        return _OF_GPUS if self.kind is SeriesKind.NODE and len(self.ids) == 1 else ()

    @property
    def known(self) -> tuple[str, ...]:
        """All metrics that it has."""
        if self.kind is SeriesKind.CLUSTER:
            return tuple(_BY_PANEL)
        return tuple(dict.fromkeys((*METRICS[self.kind], *self._of_gpus)))

    def kind_of(self, panel: str) -> SeriesKind:
        """Of what a chart's curves are."""
        return SeriesKind.GPU if panel in self._of_gpus else self.kind

    @property
    def may_have_band(self) -> bool:
        """Whether it is one thing: least and most of several would be a thicket."""
        return len(self.ids) == 1

    @property
    def is_learning(self) -> bool:
        """Whether it is what the scheduler learned that is looked at."""
        return self.metrics == tuple(_OF_LEARNING)

    @property
    def line(self) -> str:
        """What follows "chart" on the command line."""
        if self.is_learning:
            return LEARNING
        return " ".join(filter(None, [",".join(self.ids) or "cluster", ",".join(self.metrics)]))

    def __str__(self) -> str:
        if self.kind is SeriesKind.CLUSTER:
            return LEARNING if self.is_learning else "cluster"
        return first_of(self.ids, 3)


_TASK = re.compile(r"[0-9]+(\.[0-9]+(:[0-9]+)?)?")
"""1042.7, and 1042.7:3 for a rank; names of nodes have no dots."""


def parse_subject(text: str) -> Subject:
    """ "cluster", "n1,n2", "1042.7 cpu,memory", "1042.7:3" (a rank), "n1:0" (a GPU). Raises WordError."""
    words = text.split()
    if not words or len(words) > 2:
        raise WordError(
            "a chart of what? cluster, learning, nodes (n1,n2), GPUs (n1:0) or tasks (1042.7), "
            "and then of which metrics"
        )
    if words == [LEARNING]:
        return learning()
    ids = tuple(filter(None, words[0].split(",")))
    are_tasks = all(_TASK.fullmatch(each) for each in ids)
    kind = SeriesKind.TASK if are_tasks else SeriesKind.NODE
    if ids == ("cluster",):
        kind, ids = SeriesKind.CLUSTER, ()
    elif not are_tasks and any(":" in each for each in ids):
        kind = SeriesKind.GPU
    known = Subject(kind, ids).known
    metrics = tuple(filter(None, words[1].split(","))) if len(words) == 2 else ()
    return Subject(kind, ids, tuple(choose(_SHORT.get(each, each), known, noun="metric") for each in metrics))


def learning() -> Subject:
    """What tasks came to under the learned order, and how good what was learned is."""
    return Subject(metrics=tuple(_OF_LEARNING))


_SHORT = {"mem": "memory", "net": "network", "temp": "temperature", "queue": "tasks"}


def queries(
    subject: Subject,
    panels: Sequence[str],
    *,
    since_s: float,
    until_s: float | None,
    points: int = POINTS,
    band: bool = False,
) -> list[SeriesQuery]:
    """What must be asked for these panels: levels, counts and GPUs apart; least and most for a `band`."""
    kind, kinds = subject.kind, METRICS[subject.kind]
    of_gpus = [panel for panel in panels if subject.kind_of(panel) is not kind]
    names = [name for panel in panels if panel not in of_gpus for name in _metrics(subject, panel)]
    levels, counts = ([name for name in names if kinds[name].counted is counted] for counted in (False, True))
    wanted = [(kind, levels, Aggregate.AUTO), (kind, counts, Aggregate.AUTO)]
    wanted.append((SeriesKind.GPU, of_gpus, Aggregate.AUTO))
    if band:
        wanted += [(kind, levels, Aggregate.MAX), (kind, levels, Aggregate.MIN)]
    return [
        SeriesQuery(
            kind=each,
            ids=list(subject.ids),
            metrics=group,
            since=since_s,
            until=until_s,
            points=points,
            aggregate=aggregate,
        )
        for each, group, aggregate in wanted
        if group
    ]


def panels_of(
    subject: Subject, panels: Sequence[str], answers: Sequence[Measured], marks: Sequence[Mark]
) -> list[Panel]:
    """The charts, out of the answers."""
    found: dict[str, list[tuple[Series, Measured]]] = {}
    for answer in answers:
        for series in answer.series:
            found.setdefault(series.metric, []).append((series, answer))
    made = []
    for panel in panels:
        lines = [line for name in _metrics(subject, panel) for line in found.get(name, ())]
        if not lines:
            continue
        series, answer = lines[0]
        made.append(
            Panel(
                title=panel.replace("_", " "),
                unit=series.unit,
                since_s=answer.times[0] if answer.times else 0.0,
                step_s=answer.step_s,
                curves=tuple(_curve(subject, each) for each, _ in lines),
                marks=tuple(marks),
            )
        )
    return made


def marks_of(events: Sequence[Happened]) -> list[Mark]:
    """What happened, as marks on the axis of times."""
    return [
        Mark(
            at=event.at,
            kind="policy" if event.kind.startswith(POLICY_KIND) else "event",
            text=event.message or event.kind,
            word=_word_of(event),
        )
        for event in events
    ]


def _word_of(event: Happened) -> str:
    """What acts from then on: "rollout", "static", "mode shadow", "placement"."""
    match event.kind.removeprefix(POLICY_KIND):
        case "policy":
            return str(event.details.get("policy") or "static")
        case "mode":
            return f"mode {event.details.get('mode', '')}".strip()
        case word:
            return word


def _metrics(subject: Subject, panel: str) -> tuple[str, ...]:
    return _BY_PANEL[panel] if subject.kind is SeriesKind.CLUSTER else (panel,)


def _curve(subject: Subject, series: Series) -> Curve:
    name = _NAMES.get(series.metric, series.metric) if subject.kind is SeriesKind.CLUSTER else series.id
    name = _BOUNDS.get(series.aggregate, name)
    if subject.kind is SeriesKind.NODE and len(subject.ids) == 1:
        name = name.removeprefix(f"{subject.ids[0]}:")  # "0", "1" …: whose they are, says the screen
    return Curve(name, tuple(series.values), tuple(series.anomalies), lacks=series.lacks)
