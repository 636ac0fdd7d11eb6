"""What is learned: each note once, kept with its batch, and known bit for bit by whoever leads next."""

from __future__ import annotations

import io
import pickle
import zipfile

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus.spec import ResourceSpec
from bus.values import Outcome, Resources, UserName
from coordinator.core.effects import (
    AnswerChanged,
    EventRecord,
    ExperienceRecord,
    LearnedState,
    LearningNotes,
)
from coordinator.core.events import LearnedBrought, ModeAsked, PolicyChosen, SnapshotDue
from coordinator.core.learning import (
    forget_learned,
    note_experience,
    restore_learned,
    situation,
    snapshot,
)
from coordinator.core.model import Cluster
from coordinator.core.scheduler import kept, places
from coordinator.core.scheduler.after_state import START
from coordinator.core.scheduler.arrays import pack
from coordinator.core.scheduler.explain import Explanation
from coordinator.core.scheduler.exploring import EPSILON_FIRST, EPSILON_LEAST
from coordinator.core.scheduler.learner import REWARDS, Learner, Situation, reward
from coordinator.core.scheduler.planner import Asked, Planner
from coordinator.core.scheduler.policies import Mode
from coordinator.core.scheduler.predict import Predictor
from coordinator.core.scheduler.qlearning import QTable
from coordinator.core.scheduler.values import epsilon
from coordinator.perform import joined_notes
from tests.unit.coordinator.conftest import World
from tests.unit.coordinator.essence import essence

OLGA = UserName("olga")
WHOLE = ResourceSpec(cpu="2")
"""Of the node that `World.register` makes."""


def ran(world: World, tasks: int = 3, *, seconds: float = 20.0) -> None:
    """A job of so many tasks that run one after the other."""
    world.submit(array=f"0-{tasks - 1}", command=["true"], resources=WHOLE, timeout="1m")
    for _ in range(tasks):
        (placement,) = world.schedule()
        world.start(placement)
        world.now_s += seconds
        world.end(placement)


def experiences(world: World) -> list[ExperienceRecord]:
    return [each for each in world.effects if isinstance(each, ExperienceRecord)]


def test_every_task_that_ran_is_an_experience() -> None:
    world = World()
    world.register()
    ran(world, 2)
    (last,) = experiences(world)
    it = last.experience
    assert it.reward == reward(20.0, 20.0) == -2.0  # it waited for the first
    assert it.over and it.after is None and it.action.node == "n1" and it.action.order == "fcfs"
    assert it.before is not None and it.before.queue == 1
    assert it.before.load == 1.0  # as of a moment before, when the first still held all
    assert it.run_s == 20.0 and it.job.user == "alice" and it.job.requested_s == 60.0
    assert it.priority == 1.0  # the mean before it was −1
    assert world.cluster.planner.decisions == 2 and world.cluster.planner.reward_avg == -1.5


def test_what_others_wait_behind_goes_on() -> None:
    world = World()
    world.register()
    world.submit(command=["true"], resources=WHOLE)
    world.submit(command=["true"])
    (placement,) = world.schedule()
    world.start(placement)
    world.now_s += 5.0
    world.end(placement)
    (found,) = experiences(world)
    assert not found.experience.over and found.experience.after is not None
    assert found.experience.after.load == 1.0


def test_decisions_of_older_leaders_have_no_state() -> None:
    world = World()
    world.register()
    world.submit(command=["true"])
    (placement,) = world.schedule()
    next(world.cluster.attempts()).decided = None
    world.start(placement)
    world.end(placement)
    (found,) = experiences(world)
    assert found.experience.before is None and found.experience.action.order == "fcfs"


def test_decisions_that_were_read_back_have_the_state_that_they_had() -> None:
    world = World()
    world.register()
    world.submit(command=["true"])
    (placement,) = world.schedule()
    attempt = next(world.cluster.attempts())
    had = attempt.decided
    attempt.decided = msgspec.json.decode(msgspec.json.encode(had), type=Explanation)
    world.start(placement)
    world.end(placement)
    (found,) = experiences(world)
    assert found.experience.before == Situation(*had.state) and had.state[0] == 1


def test_what_never_ran_teaches_nothing() -> None:
    world = World()
    world.register()
    world.submit(command=["true"])
    (placement,) = world.schedule()
    world.end(placement, outcome=Outcome.NOT_STARTED, started_at=None)
    assert not experiences(world) and world.cluster.planner.decisions == 0
    (again,) = world.schedule()
    note_experience(world.cluster, next(world.cluster.attempts()), now_s=world.now_s)
    assert again.attempt.fence == 2 and world.cluster.planner.decisions == 0


@pytest.mark.parametrize("snapshots", [False, True])
@pytest.mark.contract("S0.54")
def test_the_next_leader_knows_the_same(snapshots: bool) -> None:
    world = World()
    world.register()
    ran(world)
    if snapshots:
        world.happen(SnapshotDue("interval"))
        assert not world.happen(SnapshotDue("again")) and not world.effects
        ran(world, 2, seconds=1 / 3)
    world.submit(command=["true"])
    world.schedule()
    before = kept.digest(world.cluster.planner)
    rebuilt = world.rebuilt()
    assert kept.digest(rebuilt.planner) == before
    assert essence(rebuilt) == essence(world.cluster)
    (attempt,) = rebuilt.attempts()
    assert attempt.decided is not None and attempt.decided.state


def test_a_snapshot_amid_the_notes_of_one_batch_is_gone_on_from() -> None:
    """A batch writes all its notes as one row; what the snapshot has already is not learned twice."""
    world = World()
    world.register()
    ran(world, 2)
    before = tuple(world.mirror.notes)
    state = snapshot(world.cluster, "amid", now_s=world.now_s)
    ran(world, 2, seconds=3)
    (joined,) = joined_notes(world.mirror.notes)
    assert len(before) < len(world.mirror.notes) and joined.last == world.cluster.planner.sequence
    again = Cluster()
    restore_learned(again, state, (joined,))
    assert kept.digest(again.planner) == kept.digest(world.cluster.planner)


def test_missing_and_unreadable_notes_are_refused() -> None:
    world = World()
    world.register()
    ran(world)
    notes = tuple(world.mirror.notes)
    with pytest.raises(kept.Unreadable, match="missing"):
        restore_learned(Cluster(), None, notes[1:])
    broken = LearningNotes(at=0.0, last=1, notes=b'[["rumour"]]')
    with pytest.raises(kept.Unreadable, match="notes up to 1"):
        restore_learned(Cluster(), None, (broken,))
    cluster = Cluster(policy="sjf")
    forget_learned(cluster, None, notes)
    assert cluster.planner.sequence == notes[-1].last and not cluster.policy
    forget_learned(cluster, None, ())
    assert cluster.planner.sequence == 0


def test_modes_are_kept_and_told() -> None:
    world = World()
    world.cluster.evidence = {"windows": 16}
    world.happen(ModeAsked(mode=Mode.SHADOW, by=OLGA, reply=1))
    assert world.answer(AnswerChanged).tasks == 0
    (told,) = [each for each in world.effects if isinstance(each, EventRecord)]
    assert (told.event_type, told.details["evidence"]) == ("scheduler_mode", {"windows": 16})
    assert world.rebuilt().mode is Mode.SHADOW
    world.happen(ModeAsked(mode=Mode.SHADOW, by=OLGA))
    assert not world.effects


def test_a_verdict_is_an_event_with_its_evidence() -> None:
    world = World()
    table = QTable(rules=("short",), values={"queue 1": {"short": -1.5}})
    weights = places.write(START, [(1000, 64, 1, 500)])
    world.happen(PolicyChosen(policy="sjf", evidence={"t": -3.0}, table=table, weights=weights))
    placing, told = (each for each in world.effects if isinstance(each, EventRecord))
    assert placing.event_type == "scheduler_placement"
    assert told.message == "sjf orders tasks instead of fcfs (static)"
    assert told.details["evidence"] == {"t": -3.0}
    (state,) = [each for each in world.effects if isinstance(each, LearnedState)]
    assert state.q_table == {"queue 1": {"short": -1.5}} and state.reason == "policy sjf"
    rebuilt = world.rebuilt()
    assert rebuilt.policy == "sjf" and rebuilt.evidence == {"t": -3.0} and rebuilt.planner.weights == weights
    table = QTable(rules=("short",), values={"queue 1": {"short": -2.0}})
    world.happen(PolicyChosen(policy="sjf", evidence={"t": -2.5}, table=table))
    (state,) = world.effects
    assert isinstance(state, LearnedState) and state.reason == "replay", "the same acts, by another table"
    rebuilt = world.rebuilt()
    assert rebuilt.evidence == {"t": -2.5}
    assert kept.digest(rebuilt.planner) == kept.digest(world.cluster.planner)
    world.happen(
        ModeAsked(mode=Mode.SHADOW, by=OLGA), PolicyChosen(policy="", evidence={}), SnapshotDue("stop")
    )
    text = [each.message for each in world.effects if isinstance(each, EventRecord)][-1]
    assert text == "fcfs (static) would order (mode shadow) tasks instead of sjf"


def test_what_is_brought_is_learned_on_from() -> None:
    there, here = World(), World()
    for world in (there, here):
        world.register()
        ran(world)
    ran(there)
    document = kept.dump(there.cluster.planner)
    here.happen(LearnedBrought(learner=document, by=OLGA, reply=1))
    assert here.answer(AnswerChanged).tasks == 0
    assert here.cluster.planner.decisions == 6
    here.happen(LearnedBrought(learner=document, by=OLGA))
    ran(here)
    assert kept.digest(here.rebuilt().planner) == kept.digest(here.cluster.planner)


def test_a_policy_that_this_version_does_not_have_does_not_act() -> None:
    world = World()
    world.happen(PolicyChosen(policy="sjf", evidence={"t": -3.0}))
    (state,) = [each for each in world.effects if isinstance(each, LearnedState)]
    for policy, acts in (("sjf", "sjf"), ("of tomorrow", "")):
        cluster = Cluster()
        restore_learned(cluster, msgspec.structs.replace(state, policy=policy), ())
        assert (cluster.policy, cluster.evidence) == (acts, {"t": -3.0})


def test_what_was_trained_elsewhere_is_not_judged_here() -> None:
    world = World()
    world.register()
    planted, judged = places.write(-START, [(100, 64, 1, 500)]), places.write(START, [(100, 64, 1, 500)])
    brought = Learner()
    brought.place_by(planted, gpus=8)
    table = QTable(rules=("short",))
    brought.table = QTable(rules=("heavy",), values={"x": {"heavy": -9.0}})
    world.happen(LearnedBrought(learner=kept.dump(brought), by=OLGA))
    planner = world.cluster.planner
    assert planner.weights == b"" and planner.table == brought.table
    assert planner.explained is not None and planner.explained.learner.weights.tolist() == (-START).tolist()
    world.happen(PolicyChosen(policy="predicted by table", evidence={}, table=table, weights=judged))
    begun = world.cluster.planner.explained
    world.happen(LearnedBrought(learner=kept.dump(brought), by=OLGA))
    planner = world.cluster.planner
    assert (planner.weights, planner.table) == (judged, table)
    world.happen(LearnedBrought(learner=kept.dump(Learner()), by=OLGA))
    assert world.cluster.planner.weights == judged and begun is not world.cluster.planner.explained
    own = kept.dump(world.cluster.planner)
    world.happen(LearnedBrought(learner=own, by=OLGA))
    assert kept.dump(world.cluster.planner) == own
    assert world.rebuilt().planner.weights == judged


def test_notes_of_a_batch_are_one_row() -> None:
    first, second = (LearningNotes(at=float(last), last=last, notes=b"[%d]" % last) for last in (1, 2))
    assert joined_notes([]) == []
    (joined,) = joined_notes([first, second])
    assert joined == LearningNotes(at=2.0, last=2, notes=b"[1,2]")


jobs = st.builds(
    Asked,
    st.floats(0, 1e9),
    st.text(max_size=4),
    st.integers(1, 64),
    st.integers(1, 10**6),
    st.floats(0.01, 1e6),
)


@given(st.lists(st.tuples(jobs, st.floats(0, 1e6)), max_size=20))
def test_what_is_dumped_is_loaded_bit_for_bit(ended: list[tuple[Asked, float]]) -> None:
    learner = Learner()
    for job, run_s in ended:
        learner.note_arrival(job)
        learner.note_end(job, run_s)
    document = kept.dump(learner)
    loaded = kept.load(document)
    assert kept.dump(loaded) == document
    assert loaded.predictor == learner.predictor and loaded.recent == learner.recent
    assert loaded.recent.maxlen == learner.recent.maxlen


def test_nothing_that_is_learned_is_left_out() -> None:
    assert vars(Planner()).keys() == {"predictor", "recent", "table"}
    assert vars(Learner()).keys() - vars(Planner()).keys() == {
        "rewards", "reward_total", "weights", "explained", "requests", "sequence", "decisions", "forecasts",
        "_noted",
    }  # fmt: skip
    assert msgspec.json.decode(kept.dump(Learner()))["predictor"].keys() == set(Predictor.__struct_fields__)


@pytest.mark.contract("S0.52")
def test_exploring_fades_and_never_is_where_all_is_deterministic() -> None:
    cluster = Cluster()
    learner = cluster.planner
    assert learner.epsilon == EPSILON_FIRST and learner.reward_avg is None
    learner.decisions = 1_000_000
    assert learner.epsilon == epsilon(cluster) == snapshot(cluster, "why", now_s=0.0).epsilon == EPSILON_LEAST
    cluster.deterministic = True
    assert epsilon(cluster) == snapshot(cluster, "why", now_s=0.0).epsilon == 0.0


def test_the_mean_is_of_the_newest_rewards() -> None:
    world = World()
    world.register()
    learner = world.cluster.planner
    ran(world, 1)
    for reward_got in (-2.0, *[-4.0] * REWARDS):
        note = experiences(world)[0].experience
        learner.note(msgspec.structs.replace(note, reward=reward_got))
    assert learner.reward_avg == -4.0 and len(learner.rewards) == REWARDS


@pytest.mark.contract("S0.51")
@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_pickle_is_refused_by_name(protocol: int) -> None:
    for value in ({"a": [1]}, [1, 2], Asked(0.0, "u", 1, 1, 1.0)):
        data = pickle.dumps(value, protocol=protocol)
        for read in (kept.load, kept.unpack):
            with pytest.raises(kept.Unreadable) as caught:
                read(data)
            assert caught.value.code == "E_PICKLE"


def test_archives_hold_numbers_and_nothing_else() -> None:
    arrays = {"w": np.linspace(0.0, 1.0, 7), "b": np.array([1e-300])}
    read = kept.unpack(pack(arrays))
    assert all(np.array_equal(read[name], arrays[name]) for name in arrays)
    objects, named = io.BytesIO(), io.BytesIO()
    np.savez(objects, a=np.array([{}], dtype=object))
    with zipfile.ZipFile(named, "w") as archive:
        archive.writestr("data.pkl", b"x")
    for data, code in (
        (objects.getvalue(), "E_PICKLE"),
        (named.getvalue(), "E_PICKLE"),
        (b"PK\x03\x04 and no more", "E_LEARNED"),
        (b"neither", "E_LEARNED"),
        (b"neither.", "E_LEARNED"),
    ):
        with pytest.raises(kept.Unreadable) as caught:
            kept.unpack(data)
        assert caught.value.code == code


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"schema": "corral-learner-9"}, "schema"),
        ({"predictor": {}}, "other fields"),
        ({"more": 1}, "not a learner's JSON"),
        ({"rewards": ["x"]}, "not a learner's JSON"),
    ],
)
def test_what_is_no_learner_is_refused(change: dict[str, object], text: str) -> None:
    document = msgspec.json.decode(kept.dump(Learner())) | change
    with pytest.raises(kept.Unreadable, match=text) as caught:
        kept.load(msgspec.json.encode(document))
    assert caught.value.code == "E_LEARNED"


def test_a_cluster_without_nodes_or_arrivals_has_a_situation() -> None:
    cluster = Cluster()
    assert situation(cluster, now_s=1.0) == (0, 0.0, 0.0, 0.0)
    world = World()
    world.register(capacity=Resources(2000, 4096))
    world.submit(command=["true"])
    assert situation(world.cluster, now_s=world.now_s).queue == 1
    world.schedule()
    assert situation(world.cluster, now_s=world.now_s).queue == 1, "as of the last second"
    assert situation(world.cluster, now_s=world.now_s + 1.0).load == 0.5
