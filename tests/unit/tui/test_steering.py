"""What is asked before anything is done, the command that does the same, ghosts, and the way back."""

from __future__ import annotations

import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from bus.api import Effect, Job, Outlook, Task
from bus.bulk import VERBS, BulkSteered, Undo
from bus.fields import JOB_FIELDS
from bus.filter import parse as parse_filter
from bus.units import counted
from bus.values import JobState, NodeAdmin, Resources, TaskState
from tui.cli.dispatch import parse
from tui.client.doing import all_of, answer_text
from tui.client.fake_world import World
from tui.view.actions import ACTIONS, command_of, may_be_many
from tui.view.arguments import BLANKS, Arguments, fault_of, filled, labels_typed
from tui.view.deeds import APPLIED_S, FAILED_S, Journal, Progress
from tui.view.effects import misfit, of_outlook
from tui.view.steering import (
    steer,
    steer_all,
    steer_job,
    steer_mode,
    steer_node,
    taken_back,
    ways_back_of_all,
    with_arguments,
)

WORLD = World(seed=5, now_s=0.0, nodes=6, jobs=60)
RUNNING = next(job for job in WORLD.jobs if job.state is JobState.RUNNING)
OVER = next(job for job in WORLD.jobs if job.state is JobState.COMPLETED)
NODE = replace(WORLD.nodes[0], admin=NodeAdmin.ACTIVE)


def waiting_range(count: int) -> Task:
    return Task(
        id="7", job=7, index=10, count=count, state=TaskState.QUEUED, resources=Resources(), submitted_at=0.0
    )


def test_what_does_not_fit_is_left_out_and_told() -> None:
    asked = steer("job", "hold", [RUNNING, OVER, replace(RUNNING, number=99, held=True)])
    assert [step.target for step in asked.steps] == [str(RUNNING.number)]
    assert asked.left_out == ((str(OVER.number), "is completed already"), ("99", "is held already"))
    assert steer("job", "cancel", [OVER, OVER]).steps == ()


def test_one_alone_may_be_asked_for_whatever_its_row_says_but_is_not_taken_back() -> None:
    asked = steer_job("hold", replace(RUNNING, held=True))
    assert asked.effect == ("nothing would change: it is held already",)
    assert len(asked.steps) == 1 and asked.steps[0].back is None


def test_a_range_is_meant_as_a_whole() -> None:
    asked = steer("task", "cancel", [waiting_range(90)])
    (step,) = asked.steps
    assert (step.target, step.revision, step.row) == ("job=7 index>=10 index<100", 0, "7.10")
    assert "90 tasks never start" in asked.effect[0] and asked.question == "Cancel task 7.10 to 7.99?"
    assert shlex.split(asked.command)[-1] == step.target
    request = all_of(step)
    assert (request.noun, request.verb, request.filter, request.dry_run) == (
        "task",
        "cancel",
        step.target,
        False,
    )


@pytest.mark.parametrize(
    ("verb", "arguments", "command"),
    [
        ("cancel", Arguments(), "corral cancel {0} {1}"),
        ("priority", Arguments(priority="8"), "corral priority {0} {1} 8"),
    ],
)
def test_commands_of_several_jobs(verb: str, arguments: Arguments, command: str) -> None:
    rows = [RUNNING, replace(RUNNING, number=RUNNING.number + 1000)]
    asked = steer("job", verb, rows, arguments)
    assert asked.command == command.format(*(row.number for row in rows))


def test_commands_of_nodes_carry_their_options_quoted() -> None:
    drained = steer_node("drain", NODE, Arguments(reason="new fan; hot", deadline="10m"))
    assert shlex.split(drained.command) == [
        "corral", "drain", NODE.name, "--reason", "new fan; hot", "--deadline", "10m"
    ]  # fmt: skip
    labelled = steer_node("label", NODE, Arguments(labels="zone='a b' rack-"))
    assert shlex.split(labelled.command) == ["corral", "label", NODE.name, "zone=a b", "rack-"]


@pytest.mark.parametrize(
    ("admin", "goal", "verb"),
    [
        (NodeAdmin.ACTIVE, None, "undrain"),
        (NodeAdmin.INACTIVE, None, "cordon"),
        (NodeAdmin.DRAINING, None, "drain"),
        (NodeAdmin.DRAINING, NodeAdmin.MAINTENANCE, "maintenance"),
        (NodeAdmin.FAILED, None, ""),
    ],
)
def test_a_node_is_led_back_to_what_it_was(admin: NodeAdmin, goal: NodeAdmin | None, verb: str) -> None:
    (step,) = steer_node("label" if not verb else "cordon", replace(NODE, admin=admin, goal=goal)).steps
    if admin is NodeAdmin.INACTIVE:
        assert step.back is None  # it was so already
    elif verb:
        assert step.back is not None and step.back.verb == verb


def test_labels_and_priorities_are_led_back_to_their_old_values() -> None:
    node = replace(NODE, labels={"zone": "a", "rack": "r1"}, set_labels={"zone": "a"})
    (step,) = steer_node("label", node, Arguments(labels="zone=b rack=r2 new=1")).steps
    assert step.back is not None
    assert step.back.arguments.label_changes == {"zone": "a", "rack": None, "new": None}
    (step,) = steer_job("priority", RUNNING, Arguments(priority="high")).steps
    assert step.back is not None and step.back.arguments.priority == str(RUNNING.priority)


def test_other_arguments_make_the_question_anew() -> None:
    asked = with_arguments(steer_node("drain", NODE), Arguments(deadline="10m"))
    assert "within 10m" in asked.effect[0] and asked.command.endswith("--deadline 10m")


def test_all_that_match_are_named_by_the_filter_and_what_was_foreseen() -> None:
    foreseen = BulkSteered(matched=9, changed=7, skipped={"over": 2}, running=3, waiting=4, revision=77)
    asked = steer_all("job", "cancel", "user=me", Arguments(), foreseen)
    assert asked.question == "Cancel all 9 jobs that match user=me?"
    assert asked.effect == (
        "7 jobs of 9 would change: 3 tasks running, 4 waiting",
        "left as they are: 2 over",
    )
    assert asked.steps[0].revision == 77 and asked.command == "corral cancel --where user=me"
    nothing = steer_all("job", "cancel", "x=1", Arguments(), BulkSteered(matched=1, changed=0))
    assert nothing.steps == () and nothing.question == "Cancel the one job that matches x=1?"
    assert answer_text(replace(foreseen, left=2)).startswith("7 of 9 changed, 2 not reached")


@given(st.lists(st.integers(1, 10**8), min_size=1, max_size=900, unique=True))
def test_the_way_back_names_everybody_once_in_filters_that_are_taken(numbers: list[int]) -> None:
    undo = [Undo(verb="priority", targets=[str(number) for number in numbers], priority=3)]
    answer = BulkSteered(matched=len(numbers), changed=len(numbers), undo=undo)
    steps = ways_back_of_all("job", answer)
    named: list[object] = []
    for step in steps:
        (condition,) = parse_filter(step.target, JOB_FIELDS, me="alice", now_s=0.0)
        assert condition.field == "number" and len(condition.values) == step.count
        assert (step.verb, step.arguments.priority, step.revision) == ("priority", "3", 0)
        named += condition.values
    assert named == numbers
    back = taken_back(steer_all("job", "priority", "user=me", Arguments(priority="9"), answer), steps)
    assert back.question == f"Take back: set the priority of {counted(len(numbers), 'job')}?"
    assert back.effect == ("as it was before: priority to 3",) and back.takes_back


def test_nodes_are_led_back_by_name_to_their_labels() -> None:
    undo = [Undo(verb="label", targets=["n1", "n2"], labels={"rack": None, "zone": "a b"})]
    (step,) = ways_back_of_all("node", BulkSteered(matched=2, changed=2, undo=undo))
    assert shlex.split(command_of([step])) == [
        "corral",
        "label",
        "--where",
        "name=n1,n2",
        "rack-",
        "zone=a b",
    ]


def test_every_bulk_verb_is_an_action_of_ours() -> None:
    assert {verb for verbs in VERBS.values() for verb in verbs} <= set(ACTIONS)
    assert may_be_many("job", "cancel") and not may_be_many("task", "hold")
    assert set(BLANKS) <= set(ACTIONS)


def test_the_mode_leads_back() -> None:
    asked = steer_mode("on", before="shadow")
    assert asked.command == "corral scheduler mode on"
    assert asked.steps[0].back is not None and asked.steps[0].back.arguments.mode == "shadow"


@pytest.mark.parametrize(
    ("field", "text", "good"),
    [
        ("priority", "8", True), ("priority", "high", True), ("priority", "12", False),
        ("priority", "", False),
        ("deadline", "", True), ("deadline", "10m", True), ("deadline", "soon", False),
        ("labels", "a=b c-", True), ("labels", "a", False), ("labels", "'a", False), ("labels", "", False),
        ("labels", "-", False), ("reason", "anything", True),
    ],
)  # fmt: skip
def test_blanks_are_judged_as_one_types(field: str, text: str, good: bool) -> None:
    assert (fault_of(field, text) == "") is good


NAME = st.from_regex(r"[a-z][a-z0-9_.]{0,9}", fullmatch=True)


@given(st.dictionaries(NAME, st.none() | st.text(st.characters(codec="utf-8"), max_size=9), max_size=4))
def test_labels_come_back_from_how_they_are_typed(changes: dict[str, str | None]) -> None:
    assert filled({"labels": labels_typed(changes)}).label_changes == changes


def told_by_all_verbs() -> list[str]:
    """A command of each kind, as the console shows them."""
    told = Arguments(priority="8", labels="zone=a rack-", deadline="10m", reason="fan", note="new fan")
    of = {
        "priority": replace(told, labels="", deadline="", reason="", note=""),
        "label": Arguments(labels=told.labels),
        "resolve": Arguments(note=told.note),
        "cordon": Arguments(reason="fan"),
        "undrain": Arguments(),
    }
    drained = Arguments(deadline="10m", reason="fan")
    commands = [steer_mode("on", before="off").command]
    for noun, row in (("job", RUNNING), ("task", waiting_range(1)), ("node", NODE)):
        for verb in VERBS[noun]:
            arguments = of.get(verb, drained if noun == "node" else Arguments())
            commands.append(steer(noun, verb, [row], arguments).command)
            foreseen = BulkSteered(matched=1, changed=1)
            commands.append(steer_all(noun, verb, "state=running", arguments, foreseen).command)
    return [*commands, steer("event", "resolve", [WORLD.events[0]], of["resolve"]).command]


@pytest.mark.parametrize("command", told_by_all_verbs())
def test_a_shell_takes_every_command_that_is_shown(command: str) -> None:
    assert "\n" not in command and parse(shlex.split(command)[1:]) is not None


def test_a_ghost_is_laid_to_rest_once_the_row_has_caught_up() -> None:
    journal = Journal()
    act = journal.begin(steer_job("hold", RUNNING), now_s=100.0)
    (deed,) = act.deeds
    seen = journal.ghost("job", RUNNING, now_s=100.1)
    assert seen is not None and (seen.text, seen.tone) == ("… holding", "warn")
    held = replace(RUNNING, held=True)
    assert journal.ghost("job", held, now_s=100.2) is not None  # nobody answered yet: somebody else held it
    journal.acknowledge(deed, said="3 tasks", audit="a7", now_s=100.3)
    seen = journal.ghost("job", RUNNING, now_s=100.4)
    assert seen is not None and seen.text == "→ holding"
    assert journal.ghost("job", held, now_s=100.5) is None and deed.progress is Progress.APPLIED
    assert (
        journal.ghost("job", RUNNING, now_s=100.6) is None
    )  # it does not come back when somebody releases it
    assert journal.ghost("task", held, now_s=100.6) is None


def test_a_cancel_haunts_until_it_is_over_and_others_not_for_ever() -> None:
    journal = Journal()
    for verb, stays in (("cancel", True), ("requeue", False)):
        act = journal.begin(steer_job(verb, RUNNING), now_s=0.0)
        journal.acknowledge(act.deeds[0], said="", audit="", now_s=0.0)
        journal.settle(now_s=APPLIED_S + 1)
        assert (act.deeds[0].progress is Progress.ACKNOWLEDGED) is stays
        assert (journal.ghost("job", RUNNING, now_s=APPLIED_S + 1) is not None) is stays


def test_a_refusal_stays_for_a_while_with_its_reason() -> None:
    journal = Journal()
    act = journal.begin(steer_job("hold", RUNNING), now_s=0.0)
    journal.fail(act.deeds[0], said="E_CONFLICT: no", now_s=1.0)
    ghost = journal.ghost("job", RUNNING, now_s=2.0)
    assert ghost is not None and (ghost.text, ghost.tone) == ("✖ not held", "bad")
    assert journal.why_not("job", RUNNING) == "E_CONFLICT: no" and act.failed == act.deeds
    assert journal.ghost("job", RUNNING, now_s=FAILED_S + 2) is None
    assert journal.why_not("job", RUNNING) == "" and journal.last_reversible() is None


def test_only_what_was_done_is_taken_back() -> None:
    journal = Journal()
    other: Job = replace(RUNNING, number=RUNNING.number + 1000)
    act = journal.begin(steer("job", "hold", [RUNNING, other]), now_s=0.0)
    journal.acknowledge(act.deeds[0], said="", audit="", now_s=0.0)
    journal.fail(act.deeds[1], said="no", now_s=0.0)
    assert journal.last_reversible() is act
    back = journal.undo(act)
    assert back.command == f"corral release {RUNNING.number}" and back.effect == (
        "as it was before: release",
    )
    act.undone = True
    journal.acknowledge(journal.begin(back, now_s=1.0).deeds[0], said="", audit="", now_s=1.0)
    assert journal.last_reversible() is None  # taking back is not taken back: no going round in circles


def test_an_outlook_is_told_with_who_is_delayed() -> None:
    effect = Effect(tasks=0, wait_before_s=0, wait_after_s=0, slowdown_before=1, slowdown_after=1)
    assert of_outlook(Outlook(change="drain", effect=effect), now_s=0.0) == (
        "nothing waits that could be delayed",
    )
    same = Outlook(change="drain", effect=replace(effect, tasks=9))
    assert of_outlook(same, now_s=0.0) == ("nobody in the line (9 tasks) would start later",)
    stuck = replace(effect, tasks=9, later=4, stuck_after=2)
    assert "2 tasks would find no node any more" in of_outlook(
        Outlook(change="drain", effect=stuck), now_s=0.0
    )


@given(st.sampled_from(sorted(ACTIONS)), st.sampled_from(WORLD.jobs + WORLD.nodes + WORLD.events[:20]))
def test_every_action_can_say_whether_it_fits(verb: str, row: object) -> None:
    assert isinstance(misfit(verb, row), str)  # type: ignore[arg-type]


def test_events_are_resolved_one_by_one_with_a_note() -> None:
    noticed = replace(WORLD.events[0], id="1:e")
    change = replace(WORLD.events[1], id="0:e")
    asked = steer("event", "resolve", [noticed, change], Arguments(note="new fan"))
    assert asked.command == "corral events resolve 1:e --note 'new fan'"
    assert asked.left_out == (("0:e", "is a change, not something noticed"),)
