"""Any order of events keeps the books, and a coordinator rebuilt from the database is the same coordinator.

Hypothesis plays submissions, reports (also late, twice and wrong), silence, restarts and cancels against the
core. `World` checks the invariants after every event; a run that fails prints its steps.
"""

from __future__ import annotations

from itertools import cycle

import hypothesis.strategies as st
import msgspec
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from bus.spec import JobSpec, ResourceSpec, TaskSpec
from bus.values import NodeAdmin, NodeHealth, OnDisconnect, Outcome, Resources, Role, UserName
from coordinator.core.events import SelfChecked, Tick
from coordinator.core.plan import plan
from coordinator.core.why import ahead, blockers, waits
from tests.unit.coordinator.conftest import World
from tests.unit.coordinator.essence import essence

SPECS = [
    JobSpec(command=["true"]),
    JobSpec(command=["true"], resources=ResourceSpec(cpu=1500), priority=8),
    JobSpec(command=["true"], array="0-5", retries=1, backoff=0.5),
    JobSpec(command=["true"], array="0-3%2", retries=0),
    JobSpec(command=["true"], array="0-3", preemptible=True, priority=2),
    JobSpec(command=["true"], array="3-20:4%2", idempotent=True),
    JobSpec(command=["true"], array="0-2", on_disconnect=OnDisconnect.RUN_ON, retries=1),
    JobSpec(tool="wordcount", for_each=["/a", "/b", "/c"], retries=0),
    JobSpec(command=["true"], timeout=5.0, retry_on=["failed", "timeout"]),
    JobSpec(
        tasks=[
            TaskSpec(name="a", command=["true"], array="0-2"),
            TaskSpec(name="b", command=["true"], needs=["a"], retries=0),
            TaskSpec(name="c", command=["true"], needs=["a", "b"], array="0-1"),
        ]
    ),
    JobSpec(
        retries=0,
        retry_on=["exit:3", "signal:KILL"],
        tasks=[
            TaskSpec(name="a", command=["true"], array="0-1"),
            TaskSpec(name="b", command=["true"], needs=["a:failed"]),
            TaskSpec(name="c", command=["true"], needs=["b:any", "a:any"]),
        ],
    ),
]
CONDITIONS = ("", ":ok", ":any", ":failed")
STEERED = (NodeAdmin.ACTIVE, NodeAdmin.INACTIVE, NodeAdmin.DRAINING, NodeAdmin.MAINTENANCE)
NODES = ("n1", "n2", "n3", "n5", "n6")
OUTCOMES = [
    (Outcome.EXITED, 0),
    (Outcome.EXITED, 0),
    (Outcome.EXITED, 3),
    (Outcome.SIGNALED, None),
    (Outcome.TIMEOUT, None),
    (Outcome.CANCELLED, None),
    (Outcome.NOT_FOUND, 127),
    (Outcome.NOT_STARTED, None),
    (Outcome.LOST, None),
    (Outcome.LEASE_EXPIRED, None),
]


class Worlds(RuleBasedStateMachine):
    @initialize()
    def begin(self) -> None:
        self.world = World()
        self.past: list[tuple[str, object]] = []
        self.world.register("n1")

    def pick(self, data):
        """A placement that some node holds, or one from the past."""
        held = [(node, p) for node, placements in self.world.held.items() for p in placements.values()]
        choices = held + self.past[-20:]
        return data.draw(st.sampled_from(choices)) if choices else None

    @rule(node=st.sampled_from(NODES), cores=st.integers(1, 4), boot=st.sampled_from(["b1", "b1", "b2"]))
    def register(self, node, cores, boot) -> None:
        known = self.world.cluster.nodes.get(node)
        if known is not None and known.boot_id != boot:
            self.world.held.pop(node, None)
        self.world.register(node, capacity=Resources(cores * 1000, 4096), boot_id=boot, incarnation="first")

    @rule(spec=st.sampled_from(SPECS), owner=st.sampled_from(["alice", "bob"]))
    def submit(self, spec, owner) -> None:
        self.world.submit(spec, owner=owner)

    @rule(spec=st.sampled_from(SPECS), data=st.data())
    def submit_after(self, spec, data) -> None:
        """After any jobs that there ever were, in memory or over."""
        if self.world.number:
            earlier = st.lists(st.integers(1, self.world.number), min_size=1, max_size=3, unique=True)
            known = {job.number for job, _ in self.world.mirror.jobs.values()}
            after = [
                f"{number}{data.draw(st.sampled_from(CONDITIONS))}"
                for number in data.draw(earlier)
                if number in known
            ]
            self.world.submit(msgspec.structs.replace(spec, after=after))

    @rule()
    def schedule(self) -> None:
        self.world.schedule()

    @rule(data=st.data())
    def start(self, data) -> None:
        picked = self.pick(data)
        if picked:
            self.world.start(picked[1], node=picked[0])

    @rule(data=st.data(), how=st.sampled_from(OUTCOMES), ran=st.booleans())
    def end(self, data, how, ran) -> None:
        picked = self.pick(data)
        if picked:
            node, placement = picked
            started_at = self.world.now_s if ran else None
            self.world.end(placement, node, outcome=how[0], exit_code=how[1], started_at=started_at)
            self.past.append(picked)

    @rule(data=st.data())
    def give_back(self, data) -> None:
        picked = self.pick(data)
        if picked and picked[1].attempt in self.world.held.get(picked[0], {}):
            self.world.give_back(picked[1], picked[0])
            self.past.append(picked)

    @rule(node=st.sampled_from(NODES), forgets=st.booleans())
    def beat(self, node, forgets) -> None:
        if forgets:
            self.world.held.pop(node, None)
        self.world.beat(node)

    @rule(node=st.sampled_from(NODES))
    def confirm(self, node) -> None:
        self.world.confirm(node)

    @rule(seconds=st.sampled_from([0.05, 0.3, 2.0, 6.0, 11.0]))
    def wait(self, seconds) -> None:
        self.world.wait(seconds)

    @rule(sound=st.booleans())
    def check(self, sound) -> None:
        """The coordinator looks at itself."""
        self.world.happen(SelfChecked(bus=sound, database=True, clock=True))

    @rule(silent=st.sets(st.sampled_from(NODES), min_size=1))
    def vanish(self, silent) -> None:
        """Twenty seconds of silence of some, and of heartbeats of the others."""
        for _ in range(10):
            self.world.now_s += 2.0
            for node in set(self.world.cluster.nodes) - silent:
                self.world.beat(node)
            self.world.happen(Tick())

    @rule(data=st.data(), index=st.one_of(st.none(), st.integers(0, 7)))
    def cancel(self, data, index) -> None:
        if self.world.cluster.jobs:
            job = data.draw(st.sampled_from(sorted(self.world.cluster.jobs)))
            self.world.cancel(job, index, by="olga", role=Role.OPERATOR)

    @rule(data=st.data(), held=st.booleans())
    def hold(self, data, held) -> None:
        if self.world.cluster.jobs:
            job = data.draw(st.sampled_from(sorted(self.world.cluster.jobs)))
            self.world.hold(job, held=held, by="olga", role=Role.OPERATOR)

    @rule(data=st.data(), paused=st.booleans(), heard=st.booleans())
    def pause(self, data, paused, heard) -> None:
        if self.world.cluster.jobs:
            job = data.draw(st.sampled_from(sorted(self.world.cluster.jobs)))
            self.world.obedient = heard
            self.world.pause(job, paused=paused, by="olga", role=Role.OPERATOR)

    @rule(data=st.data(), index=st.one_of(st.none(), st.integers(0, 7)))
    def requeue(self, data, index) -> None:
        if self.world.cluster.jobs:
            job = data.draw(st.sampled_from(sorted(self.world.cluster.jobs)))
            self.world.requeue(job, index, by="olga", role=Role.OPERATOR)

    @rule(codes=st.lists(st.sampled_from([0, 1]), min_size=1, max_size=3))
    def work(self, codes) -> None:
        """A round is placed and ends, so that jobs come to their end and some of them failed."""
        self.world.schedule()
        held = [(node, p) for node, placements in self.world.held.items() for p in placements.values()]
        for (node, placement), code in zip(held, cycle(codes), strict=False):
            self.world.end(placement, node, exit_code=code)

    @rule(data=st.data(), index=st.one_of(st.none(), st.integers(0, 7)), stale=st.booleans())
    def retry(self, data, index, stale) -> None:
        """Of any job there ever was; also with rows that were read before another retry."""
        accepted = sorted(job.number for job, _ in self.world.mirror.jobs.values())
        if accepted:
            failed = [number for number in accepted if self.world.mirror.failed(number)]
            job = data.draw(st.sampled_from(failed or accepted))
            as_of = self.world.cluster.requeues - stale
            self.world.retry(job, index, by="olga", role=Role.OPERATOR, as_of=as_of)

    @rule(
        node=st.sampled_from(NODES),
        admin=st.sampled_from(STEERED),
        reason=st.sampled_from(["", "disks"]),
        deadline_s=st.sampled_from([None, None, 0.0, 3.0]),
    )
    def steer(self, node, admin, reason, deadline_s) -> None:
        self.world.steer(node, admin, reason=reason, deadline_s=deadline_s)

    @rule(data=st.data(), spec=st.sampled_from(SPECS))
    def ask(self, data, spec) -> None:
        """Whoever asks why, or for a plan, changes nothing."""
        cluster = self.world.cluster
        before = (essence(cluster), cluster.sequence, cluster.dirty, repr(cluster.nodes))
        plan(cluster, spec, UserName("alice"), now_s=self.world.now_s)
        for job in cluster.jobs.values():
            for group in job.groups:
                for index in range(group.first, group.end):
                    if waits(group, index):
                        blockers(cluster, group, index, now_s=self.world.now_s)
                        ahead(cluster, group, index)
        assert (essence(cluster), cluster.sequence, cluster.dirty, repr(cluster.nodes)) == before

    @rule()
    def lead_anew(self) -> None:
        """Another coordinator takes over, with the rows and nothing else."""
        self.world.cluster = self.world.rebuilt()

    @rule()
    def reconcile(self) -> None:
        self.world.reconcile()

    @invariant()
    def a_rebuilt_coordinator_is_the_same(self) -> None:
        if hasattr(self, "world"):
            assert essence(self.world.rebuilt()) == essence(self.world.cluster)

    def teardown(self) -> None:
        """After the last fault everything ends: nothing is forgotten in the waiting line."""
        if not hasattr(self, "world"):
            return
        world = self.world
        for job in list(world.cluster.jobs):
            world.hold(job, held=False, by="olga", role=Role.OPERATOR)
            world.pause(job, paused=False, by="olga", role=Role.OPERATOR)
        for node in list(world.cluster.nodes):
            world.steer(node, NodeAdmin.ACTIVE)
        for _ in range(200):
            if not world.cluster.jobs:
                return
            world.register("n4", capacity=Resources(64_000, 65_536))
            for node in list(world.cluster.nodes):
                world.held.setdefault(node, {})
                if world.cluster.nodes[node].health is NodeHealth.HEALTHY:
                    world.beat(node)
            world.now_s += 1.0
            world.happen(Tick())
            world.schedule()
            for node, placements in list(world.held.items()):
                for placement in list(placements.values()):
                    world.end(placement, node)
        raise AssertionError(f"jobs that never end: {sorted(world.cluster.jobs)}")


Worlds.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None, derandomize=True)
TestRandomWorlds = Worlds.TestCase
