"""What a seed means: a world, the jobs that are submitted, what people do to them, and the faults to come.

All of it is drawn up front, so that a failing history can be retold with any part left out.
"""

from __future__ import annotations

from enum import StrEnum
from random import Random
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from coordinator.core.model import Limits
from coordinator.core.scheduler.policies import Backfill, Mode
from coordinator.core.scheduler.rules import RULES
from coordinator.core.scheduler.values import LEARNED

AMBUSHED = 12
"""Placings of gangs that may be struck, from the first."""

AGEING_LEASES = 2.0
"""Of age for a step of priority: priorities are to change places within a run."""

SCALED = ("interval_s", "after_s", "lease_s", "deadline_s", "within_s", "window_s", "brake_s")
"""Endings of the names of the limits that a longer heartbeat stretches."""


PACES = (1.0, 10.0, 60.0, 240.0, 480.0)
"""The same world in slow motion: as many events, more hours. The delays of bus and disk stay."""


class FaultKind(StrEnum):
    AGENT_KILLED = "agent killed"
    AGENT_STOPPED = "agent stopped"
    AGENT_CUT = "agent cut off"
    AGENT_TWIN = "two agents with one name"
    AGENT_DRIFTS = "agent's clock drifts"
    GUARD_STOPPED = "guard stopped"
    GUARD_HUNG = "guard hangs"
    GUARD_KILLED = "guard killed"
    STATE_LOST = "agent's file lost"
    MACHINE_REBOOTED = "machine rebooted"
    DISK_FULL = "disk full"
    AGENT_CLOCK = "agent's clock stepped"
    COORDINATOR_KILLED = "coordinator killed"
    COORDINATOR_STOPPED = "coordinator stopped"
    COORDINATOR_CUT = "coordinator cut off the bus"
    COORDINATOR_UNPLUGGED = "coordinator cut off the database"
    COORDINATOR_CLOCK = "coordinator's clock stepped"
    COORDINATOR_DRIFTS = "coordinator's clock drifts"
    DATABASE_AWAY = "database away"
    DATABASE_SLOW = "database slow"
    DATABASE_TORN = "database connections torn"
    BUS_LOSES = "bus loses"
    BUS_REPEATS = "bus repeats"
    BUS_DELAYS = "bus delays and reorders"
    BUS_SPOILS = "bus truncates and corrupts"
    JETSTREAM_WIPED = "JetStream wiped"
    EVERYTHING_KILLED = "everything killed"


class Fault(Struct, frozen=True):
    """`which`: of the agents or coordinators; `amount`: how much, where that means anything."""

    at_s: float
    kind: FaultKind
    which: int
    for_s: float
    amount: float


class Submission(Struct, frozen=True):
    """`published`: through JetStream; `after`: keys of earlier ones with a condition, as "job-3:ok"."""

    at_s: float
    key: str
    spec: dict[str, Any]
    published: bool = False
    after: tuple[str, ...] = ()


class Deed(Struct, frozen=True):
    """An operation on the job under `key`, or on the node of that number."""

    at_s: float
    operation: str
    key: str = ""
    index: int | None = None
    node: int = 0
    deadline_s: float | None = None


class Ambush(Struct, frozen=True):
    """What befalls a gang that has just got its places, at its barrier or soon after.

    `placing`: which of the history, counted from 0; `rank`: whose node a fault of machines strikes. Either
    `fault`, or `operation` on its job, which is undone `for_s` later where that withholds it.
    """

    placing: int
    after_s: float
    for_s: float
    rank: int = 0
    amount: float = 0.0
    fault: FaultKind | None = None
    operation: str = ""


class Orders(Struct, frozen=True):
    """How the scheduler is set."""

    order: str = "fcfs"
    backfill: Backfill = Backfill.EASY
    policy: str = ""
    mode: Mode = Mode.ON
    rank: str = "best_fit"


class Plan(Struct, frozen=True):
    """One history to be. `pace` stretches every interval of the protocol: 1 is production's."""

    seed: int
    pace: float
    agents: int
    coordinators: int
    cores: int
    duration_s: float
    submissions: tuple[Submission, ...]
    deeds: tuple[Deed, ...]
    faults: tuple[Fault, ...]
    orders: Orders = Orders()
    ambushes: tuple[Ambush, ...] = ()

    @property
    def has_gangs(self) -> bool:
        """Whether any of its tasks is one."""
        entries = (entry for each in self.submissions for entry in each.spec.get("tasks", [each.spec]))
        return any("gang" in entry for entry in entries)

    @property
    def limits(self) -> Limits:
        """Production's, stretched."""
        normal = Limits()
        stretched = {
            name: getattr(normal, name) * self.pace
            for name in Limits.__struct_fields__
            if name.endswith(SCALED)
        }
        ageing_s = AGEING_LEASES * stretched["lease_s"]
        return replace(normal, **stretched, ageing_s=ageing_s)


def draw(seed: int, kinds: tuple[FaultKind, ...] = (), *, gangs: bool = False) -> Plan:
    """The plan of a seed; with `kinds`: one in which these, often, befall several agents and coordinators.

    With `gangs` some of its tasks are gangs, and some of these are struck where they gather.
    """
    random = Random(f"corral {seed}")
    pace = random.choice(PACES)
    lease_s = Limits().lease_s * pace
    agents = random.choice((2, 2, 3) if kinds else (1, 2, 2, 3, 3, 4, 5))
    duration_s = lease_s * random.uniform(8, 30)
    submissions = tuple(
        sorted(
            (_submission(random, number, duration_s, lease_s) for number in range(random.randint(2, 14))),
            key=lambda submission: submission.at_s,
        )
    )
    _add_people_and_wishes(Random(f"corral wishes {seed}"), submissions)
    _add_gpus(Random(f"corral gpus {seed}"), submissions)
    if gangs:
        _add_gangs(Random(f"corral gangs {seed}"), submissions, lease_s)
    faults = _faults(random, agents, duration_s, lease_s, kinds)
    coordinators = random.choice((2, 3) if kinds else (1, 2, 2, 3))
    cores = random.choice((1, 2, 4))
    scheduling = Random(f"corral {seed} scheduling")  # of its own: what it draws changes nothing else
    return Plan(
        seed=seed,
        pace=pace,
        agents=agents,
        coordinators=coordinators,
        cores=cores,
        duration_s=duration_s,
        submissions=tuple(_timed(scheduling, each, lease_s, cores) for each in submissions),
        deeds=_deeds(random, submissions, agents, duration_s),
        faults=faults,
        orders=_orders(scheduling),
        ambushes=_ambushes(Random(f"corral ambushes {seed}"), lease_s) if gangs else (),
    )


def _timed(random: Random, submission: Submission, lease_s: float, cores: int) -> Submission:
    """With a walltime that nothing exceeds, so that places can be reserved; some fill a whole node."""
    spec = dict(submission.spec)
    if "timeout" not in spec and random.random() < 0.6:
        spec["timeout"] = lease_s * random.choice((8, 8, 20))
        spec["grace"] = lease_s * 0.1
    if random.random() < 0.2:
        spec["resources"] = spec["resources"] | {"cpu": str(cores)}
    return replace(submission, spec=spec)


def _orders(random: Random) -> Orders:
    """Half of the worlds have a learned order, a third learned ranks, as if they had passed the gate."""
    return Orders(
        order=random.choice(("fcfs", "fcfs", *RULES)),
        backfill=random.choice((Backfill.EASY, Backfill.EASY, Backfill.CONSERVATIVE, Backfill.OFF)),
        policy=random.choice(("", "", "rollout", "rollout of backlog", "predicted short", "saf")),
        mode=random.choice((Mode.ON, Mode.ON, Mode.SHADOW, Mode.OFF)),
        rank=random.choice(("best_fit", "worst_fit", LEARNED)),
    )


def _submission(random: Random, number: int, duration_s: float, lease_s: float) -> Submission:
    spec = random.choice(_KINDS)(random, lease_s)
    spec["dedupe_key"] = f"job-{number}"
    spec["priority"] = random.randint(1, 10)
    spec["resources"] = {"cpu": random.choice(("500m", "1", "1")), "memory": random.choice((64, 512))}
    spec["backoff"] = lease_s * random.choice((0.02, 0.2))
    spec["backoff_max"] = lease_s * 2
    if random.random() < 0.2:
        spec["idempotent"] = True
    if random.random() < 0.15:
        spec["on_disconnect"] = "run_on"
    if random.random() < 0.3:
        spec["preemptible"] = True
    after: tuple[str, ...] = ()
    if number and random.random() < 0.25:
        condition = random.choice(("", ":ok", ":any", ":any", ":failed"))
        after = (f"job-{random.randrange(number)}{condition}",)
    published = not after and random.random() < 0.25
    return Submission(random.uniform(0, duration_s * 0.8), f"job-{number}", spec, published, after)


def _add_people_and_wishes(random: Random, submissions: tuple[Submission, ...]) -> None:
    """Other owners of lone jobs, and wishes about nodes; drawn apart, so that no other draw changes."""
    named = {key.partition(":")[0] for each in submissions for key in each.after}
    for submission in submissions:
        if not submission.after and submission.key not in named:
            submission.spec["metadata"] = {"owner": random.choice(("alice", "bob", "carol"))}
        if random.random() < 0.4:
            submission.spec["constraints"] = random.choice(_WISHES)


def _add_gpus(random: Random, submissions: tuple[Submission, ...]) -> None:
    """Whole ones, shares and models; drawn apart as well."""
    for submission in submissions:
        if random.random() < 0.5:
            submission.spec["resources"] |= random.choice(_GPUS)


def _add_gangs(random: Random, submissions: tuple[Submission, ...], lease_s: float) -> None:
    """Some tasks become gangs, whose barrier may be shorter than what befalls a node."""
    for submission in submissions:
        entries = submission.spec.get("tasks", [submission.spec])
        for entry in entries:
            if "command" in entry and "array" not in entry and random.random() < 0.5:
                gang: dict[str, Any] = {"size": random.choice((1, 2, 2, 3, 4))}
                gang["start_timeout"] = max(lease_s * random.choice((0.2, 1.0, 4.0)), 1.0)
                gang["ranks_per_node"] = random.choice((0, 0, 1, 2))
                gang["topology"] = random.choice(("", "subnet", "rack"))
                gang["restart"] = random.choice(("gang", "gang", "gang", "fail"))
                entry["gang"] = gang


def _ambushes(random: Random, lease_s: float) -> tuple[Ambush, ...]:
    """Within the messages of a start, or within a lease of it; as many people as faults."""
    found = []
    for placing in range(AMBUSHED):
        if random.random() < 0.6:
            after_s = random.choice((0.0, 0.002, 0.02, 0.2, lease_s)) * random.random()
            for_s = lease_s * random.choice((0.05, 0.3, 1.0, 3.0))
            amount, rank = random.random(), random.randrange(4)
            ambush = Ambush(placing=placing, after_s=after_s, for_s=for_s, rank=rank, amount=amount)
            if random.random() < 0.6:
                found.append(replace(ambush, fault=random.choice(AT_BARRIERS)))
            else:
                found.append(replace(ambush, operation=random.choice(_JOB_DEEDS[:6])))
    return tuple(found)


def _work(random: Random, lease_s: float, *, failures: float = 0.0, manner: str = "") -> list[str]:
    """A command: most tasks are short beside a lease, some outlive several."""
    seconds = lease_s * random.choice((0.01, 0.1, 0.5, 0.5, 2.0, 5.0))
    return ["work", f"{seconds:.3f}", f"{failures:g}", manner]


def _single(random: Random, lease_s: float) -> dict[str, Any]:
    failures = random.choice((0, 0, 0, 50, 100))
    manner = random.choice(("", "", "", "stubborn", "missing"))
    spec: dict[str, Any] = {"command": _work(random, lease_s, failures=failures, manner=manner)}
    spec["retries"] = random.choice((0, 1, 3))
    if random.random() < 0.3:
        spec["timeout"] = lease_s * random.choice((0.1, 0.6))
        spec["grace"] = lease_s * 0.1
        spec["retry_on"] = random.choice((["failed"], ["failed", "timeout"]))
    return spec


def _array(random: Random, lease_s: float) -> dict[str, Any]:
    last = random.randint(1, 12)
    limit = random.choice(("", "%1", "%3"))
    failures = random.choice((0, 0, 20))
    return {"command": _work(random, lease_s, failures=failures), "array": f"0-{last}{limit}", "retries": 2}


def _dag(random: Random, lease_s: float) -> dict[str, Any]:
    names = [f"t{number}" for number in range(random.randint(2, 5))]
    tasks: list[dict[str, Any]] = []
    for position, name in enumerate(names):
        needs = [other for other in names[:position] if random.random() < 0.5]
        failures = random.choice((0, 0, 0, 40))
        tasks.append({"name": name, "command": _work(random, lease_s, failures=failures), "needs": needs})
    return {"tasks": tasks, "retries": 1}


def _tool(random: Random, lease_s: float) -> dict[str, Any]:
    return {"tool": "wordcount", "for_each": [f"file-{n}" for n in range(random.randint(1, 4))]}


_GPUS: tuple[dict[str, Any], ...] = (
    {"gpu": 1},
    {"gpu": 2},
    {"gpu": 0.5},
    {"gpu": "250m"},
    {"gpu": "700m", "gpu_type": "t4"},
    {"gpu": 1, "gpu_type": "a100"},
    {"gpu": 0.4, "gpu_memory": "40GiB"},
)

_WISHES: tuple[dict[str, Any], ...] = (
    {"placement": "spread"},
    {"placement": "pack"},
    {"placement": "spread", "topology": "rack"},
    {"avoid": ["self"]},
    {"avoid": ["self:3"], "prefer": ["rack=a:2"]},
)
AT_BARRIERS = (
    FaultKind.AGENT_KILLED,
    FaultKind.AGENT_STOPPED,
    FaultKind.AGENT_CUT,
    FaultKind.GUARD_KILLED,
    FaultKind.GUARD_STOPPED,
    FaultKind.STATE_LOST,
    FaultKind.MACHINE_REBOOTED,
    FaultKind.COORDINATOR_KILLED,
    FaultKind.COORDINATOR_CUT,
    FaultKind.DATABASE_AWAY,
    FaultKind.BUS_LOSES,
    FaultKind.EVERYTHING_KILLED,
)
_KINDS = (_single, _single, _single, _array, _array, _dag, _tool)
_JOB_DEEDS = (
    "job.cancel",
    "job.cancel",
    "job.hold",
    "job.pause",
    "job.requeue",
    "job.retry",
    "task.cancel",
    "task.requeue",
)
GIVEN_FREE_BY = {"job.hold": "job.release", "job.pause": "job.resume"}


def _deeds(
    random: Random, submissions: tuple[Submission, ...], agents: int, duration_s: float
) -> tuple[Deed, ...]:
    """What people do; whatever withholds work is taken back before the end by the client itself."""
    deeds: list[Deed] = []
    for submission in submissions:
        if random.random() > 0.35:
            continue
        operation = random.choice(_JOB_DEEDS)
        at_s = random.uniform(submission.at_s, duration_s)
        index = random.randint(0, 3) if operation.startswith("task.") else None
        deeds.append(Deed(at_s, operation.replace("task.", "job."), submission.key, index))
        if operation in GIVEN_FREE_BY:
            again_s = random.uniform(at_s, duration_s)
            deeds.append(Deed(again_s, GIVEN_FREE_BY[operation], submission.key))
    for _ in range(random.choice((0, 0, 1, 2))):
        at_s, node = random.uniform(0, duration_s), random.randrange(agents)
        operation = random.choice(("node.drain", "node.cordon", "node.maintenance"))
        deadline_s = random.uniform(0, duration_s / 4) if random.random() < 0.5 else None
        deeds.append(Deed(at_s, operation, node=node, deadline_s=deadline_s))
        deeds.append(Deed(random.uniform(at_s, duration_s), "node.undrain", node=node))
    return tuple(sorted(deeds, key=lambda deed: deed.at_s))


def _faults(
    random: Random, agents: int, duration_s: float, lease_s: float, only: tuple[FaultKind, ...]
) -> tuple[Fault, ...]:
    """A calm history now and then; else few kinds often, or many kinds at once."""
    drawn = random.sample(list(FaultKind), random.choice((0, 1, 2, 3, 6, len(FaultKind))))
    kinds = only or drawn
    if not kinds:
        return ()
    faults = [
        Fault(
            at_s=random.uniform(0, duration_s),
            kind=random.choice(kinds),
            which=random.randrange(agents),
            for_s=lease_s * random.choice((0.05, 0.3, 0.7, 1.0, 1.3, 3.0)),
            amount=random.random(),
        )
        for _ in range(random.randint(12, 24) if only else random.randint(1, 14))
    ]
    return tuple(sorted(faults, key=lambda fault: fault.at_s))
