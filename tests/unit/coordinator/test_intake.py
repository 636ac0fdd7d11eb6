"""What a spec means, and everything that is wrong with one at once (catalogue C)."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus.spec import Constraints, JobSpec, ResourceSpec, TaskSpec
from bus.values import Resources
from coordinator.core.checks import FAULTS_MAX, find_cycle
from coordinator.core.conditions import Condition, Need
from coordinator.core.intake import Derived, derive


def codes(**fields) -> set[str]:
    derived = derive(JobSpec(**fields), "alice")
    assert isinstance(derived, tuple), derived
    return {fault.code for fault in derived}


def parts(**fields):
    derived = derive(JobSpec(**fields), "alice")
    assert isinstance(derived, Derived), derived
    return derived.parts


@pytest.mark.contract("S0.3", "S0.57")
def test_one_command_is_one_task() -> None:
    derived = derive(JobSpec(command=["/bin/echo", "hi"]), "alice")
    assert isinstance(derived, Derived)
    assert derived.tasks == 1 and derived.name == "echo"
    (part,) = derived.parts
    assert part.settings.resources == Resources(1000, 64)


@pytest.mark.contract("S0.2", "S0.38")
def test_an_array_is_one_group_of_many() -> None:
    (part,) = parts(command=["true"], array="10-99:10%3")
    assert part.count == 9 and part.limit == 3
    assert part.values.array.index_of(8) == 90


@pytest.mark.contract("S0.2")
def test_each_task_finds_the_settings_of_its_part() -> None:
    tasks = [
        TaskSpec(name="a", command=["true"], array="0-3", grace=1.0),
        TaskSpec(name="b", command=["false"], grace=2.0),
    ]
    derived = derive(JobSpec(tasks=tasks), "alice")
    assert isinstance(derived, Derived) and derived.tasks == 5
    assert [derived.settings_of(index).grace_s for index in (0, 3, 4)] == [1.0, 1.0, 2.0]
    with pytest.raises(IndexError):
        derived.settings_of(5)


def test_a_matrix_is_one_group_whose_elements_know_their_combination() -> None:
    (part,) = parts(command=["true"], matrix={"lr": [0.1, 1e-3], "model": ["s", "l"]}, max_parallel=3)
    assert part.count == 4 and part.limit == 3
    assert part.values.matrix.at(1) == {"lr": 0.1, "model": "l"}


@pytest.mark.contract("S0.22", "S0.23")
def test_a_tool_over_files_is_one_task_a_file_and_a_merge() -> None:
    derived = derive(JobSpec(tool="wordcount", for_each=["/a", "/b"]), "alice")
    assert isinstance(derived, Derived)
    mapping, merging = derived.parts
    assert (mapping.name, mapping.count, merging.name, merging.count) == ("map", 2, "merge", 1)
    assert merging.needs == (Need("map", Condition.OK),) and merging.settings.tool == "wordcount_merge"
    assert derived.tasks == 3 and derived.name == "wordcount"


def test_named_tool_entries_name_their_merge() -> None:
    mapping, merging = parts(tasks=[TaskSpec(name="count", tool="wordcount", for_each=["/a"])])
    assert (mapping.name, merging.name) == ("count", "count-merge")


def test_a_tool_without_items_is_one_task() -> None:
    (part,) = parts(tool="wordcount", input={"text": "a b a"})
    assert part.count == 1 and part.input == {"text": "a b a"}


def test_tasks_take_from_the_job_what_they_leave_out() -> None:
    one, two, three = parts(
        env={"A": "1"},
        workdir="/tmp",
        timeout=60.0,
        grace="5",
        retries=1,
        tasks=[
            TaskSpec(command=["a"]),
            TaskSpec(command=["b"]),
            TaskSpec(
                command=["c"],
                env={"B": "2"},
                timeout="1h",
                grace=1.0,
                retries=0,
                stdin="x",
                resources=ResourceSpec(cpu="500m", memory="1GiB", net="1Gbit", storage="2GiB"),
            ),
        ],
    )
    assert one.settings is two.settings
    assert one.settings.env == {"A": "1"} and one.settings.timeout_s == 60.0
    assert three.settings.env == {"A": "1", "B": "2"}
    assert three.settings.timeout_s == 3600.0 and three.settings.max_retries == 0
    assert three.settings.resources == Resources(500, 1024, 0, 2048, 1000)


def test_derivation_is_deterministic() -> None:
    spec = JobSpec(tasks=[TaskSpec(name=f"t{i}", command=["true"]) for i in range(20)])
    assert derive(spec, "alice") == derive(spec, "alice")


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({}, "E_REQUIRED"),  # B32
        ({"command": []}, "E_COMMAND"),  # B34
        ({"command": [""]}, "E_COMMAND"),
        ({"command": ["a\0b"]}, "E_CHAR"),
        ({"command": ["x" * 200_000]}, "E_TOO_LARGE"),  # B35
        ({"command": ["true"], "tool": "wordcount"}, "E_FIELD"),
        ({"tool": "wordcuont"}, "E_TYPE_UNKNOWN"),  # B52
        ({"tool": "AB"}, "E_TYPE_NAME"),  # B51
        ({"tool": "summarization"}, "E_TYPE_UNKNOWN"),
        ({"tool": "translation", "input": {"text": "a", "target_lang": "th"}}, "E_INPUT"),  # B53
        ({"command": ["true"], "input": {}}, "E_INPUT"),
        ({"command": ["true"], "priority": "urgent"}, "E_RANGE"),  # B49
        ({"command": ["true"], "backoff": -1.0}, "E_RANGE"),  # B48
        ({"command": ["true"], "name": "   "}, "E_NAME"),
        ({"command": ["true"], "workdir": "tmp"}, "E_PATH"),  # B38
        ({"command": ["true"], "workdir": "/a/../b"}, "E_PATH"),
        ({"command": ["true"], "resources": ResourceSpec(cpu=0)}, "E_RANGE"),  # B39
        ({"command": ["true"], "resources": ResourceSpec(memory="4 parsecs")}, "E_UNIT"),  # B40
        ({"command": ["true"], "resources": ResourceSpec(gpu=-1)}, "E_RANGE"),
        ({"command": ["true"], "timeout": "1:99:00"}, "E_DURATION"),  # B44
        ({"command": ["true"], "array": "5-1"}, "E_ARRAY"),  # B45
        ({"command": ["true"], "array": "0-9", "for_each": ["a"]}, "E_FIELD"),
        ({"command": ["true"], "for_each": []}, "E_ARRAY"),
        ({"command": ["true"], "for_each": ["/x/*.txt"]}, "E_ARRAY"),
        ({"command": ["true"], "retries": 11}, "E_RANGE"),  # B47
        ({"command": ["true"], "backoff": 9.0, "backoff_max": 1.0}, "E_RANGE"),  # B48
        ({"command": ["true"], "priority": 0}, "E_RANGE"),  # B49
        ({"command": ["true"], "name": ""}, "E_NAME"),  # B55
        ({"command": ["true"], "name": "x" * 129}, "E_NAME"),
        ({"command": ["true"], "name": "a\x1b[2J"}, "E_NAME"),  # B56
        ({"command": ["true"], "name": "a\u202eb"}, "E_NAME"),
        ({"command": ["true"], "constraints": Constraints(labels={"a=b": "c"})}, "E_LABEL"),  # B57
        ({"command": ["true"], "constraints": Constraints(labels={"a": "x" * 257})}, "E_LABEL"),
        ({"command": ["true"], "constraints": Constraints(labels={"a": "\u202e"})}, "E_LABEL"),
        (
            {"command": ["true"], "constraints": Constraints(labels={f"k{i}": "" for i in range(65)})},
            "E_LABEL",
        ),
        ({"command": ["true"], "constraints": Constraints(nodes=["A B"])}, "E_CONSTRAINT"),
        ({"command": ["true"], "env": {"A=B": "1"}}, "E_ENV"),  # B63
        ({"command": ["true"], "env": {"LD_PRELOAD": "x"}}, "E_ENV"),
        ({"command": ["true"], "env": {"CORRAL_X": "x"}}, "E_ENV"),
        ({"command": ["true"], "env": {"A": "x\0"}}, "E_ENV"),
        ({"command": ["true"], "dedupe_key": "k" * 129}, "E_KEY"),  # B18
        ({"command": ["true"], "retry_on": ["rain"]}, "E_ENUM"),
        ({"command": ["true"], "v": 99}, "E_VERSION"),  # B10
        ({"tasks": []}, "E_REQUIRED"),
        ({"command": ["true"], "tasks": [TaskSpec(command=["true"])]}, "E_FIELD"),
        ({"tasks": [TaskSpec(name="a b", command=["true"])]}, "E_NAME"),
        ({"tasks": [TaskSpec(name="a", command=["x"]), TaskSpec(name="a", command=["x"])]}, "E_NAME_CLASH"),
        ({"tasks": [TaskSpec(command=["x"], needs=["b"])]}, "E_NOT_FOUND"),
        ({"tasks": [TaskSpec(name="ab", command=["x"], needs=["ab"])]}, "E_CYCLE"),  # B59
        ({"tasks": [TaskSpec(command=["x"])] * 10_001}, "E_TOO_MANY"),
        ({"tasks": [TaskSpec(command=["x"], array="0-999999")] * 2}, "E_ARRAY"),
    ],
)
def test_bad_specs_are_refused(fields, code) -> None:
    assert code in codes(**fields)


@pytest.mark.contract("S4.25")
@pytest.mark.parametrize(
    ("fields", "where", "said"),
    [
        ({"cron": "@daily"}, "/cron", "only a schedule repeats"),
        ({"zone": "Asia/Bangkok"}, "/zone", "zone without cron"),
        ({"overlap": "skip"}, "/overlap", "overlap without cron"),
        ({"array": "0-3", "for_each": ["a"]}, "/for_each", "array and for_each exclude each other"),
        ({"array": "0-3", "matrix": {"a": [1]}}, "/matrix", "array and matrix exclude each other"),
        ({"max_parallel": 2}, "/max_parallel", "nothing to bound"),
        ({"array": "0-3%2", "max_parallel": 2}, "/max_parallel", "the array says % already"),
        ({"matrix": {"a b": [1]}}, "/matrix", ""),
    ],
)
def test_what_does_not_go_together_is_named(fields: dict[str, object], where: str, said: str) -> None:
    faults = derive(JobSpec(command=["true"], **fields), "alice")
    assert isinstance(faults, tuple), faults
    assert [fault for fault in faults if fault.field == where and said in fault.message], faults


@pytest.mark.parametrize(("word", "priority"), [("low", 2), ("normal", 5), ("high", 8), (1, 1), (10, 10)])
def test_priorities_have_names(word: int | str, priority: int) -> None:
    derived = derive(JobSpec(command=["true"], priority=word), "alice")
    assert isinstance(derived, Derived) and derived.priority == priority


def test_missing_input_is_told_in_the_contracts_words() -> None:
    faults = derive(JobSpec(tool="translation", input={"text": "a", "target_lang": "th"}), "alice")
    assert isinstance(faults, tuple)
    assert faults[0].message == 'Missing required input key "source_lang" for task type "translation"'
    assert [fault.code for fault in faults] == ["E_INPUT", "E_TYPE_UNKNOWN"]


def test_faults_of_ten_thousand_tasks_are_a_few_and_quick() -> None:
    tasks = [TaskSpec(name=f"t{i}", command=["x"], needs=[f"u{i}"]) for i in range(10_000)]
    faults = derive(JobSpec(tasks=tasks), "alice")
    assert isinstance(faults, tuple) and len(faults) == FAULTS_MAX


def test_a_long_circle_is_shown_in_part() -> None:
    tasks = [TaskSpec(name=f"t{i}", command=["x"], needs=[f"t{(i + 1) % 100}"]) for i in range(100)]
    (fault,) = derive(JobSpec(tasks=tasks), "alice")  # type: ignore[misc]
    assert fault.code == "E_CYCLE" and "… -> t" in fault.got and len(fault.got) < 100


def test_a_command_lends_its_name_only_if_that_can_be_shown() -> None:
    derived = derive(JobSpec(command=["/bin/\x1b[2J"]), "alice")
    assert isinstance(derived, Derived) and derived.name == "job"


def test_near_names_are_suggested() -> None:
    faults = derive(
        JobSpec(tasks=[TaskSpec(name="train", command=["x"]), TaskSpec(command=["x"], needs=["trian"])]),
        "alice",
    )
    assert isinstance(faults, tuple) and faults[0].hint == "did you mean train?"
    assert faults[0].field == "/tasks/1/needs"


@pytest.mark.contract("S3.1")
def test_names_of_any_script_are_fine() -> None:
    derived = derive(JobSpec(command=["true"], name="วิเคราะห์ข้อมูล 🚀"), "alice")
    assert isinstance(derived, Derived) and derived.name == "วิเคราะห์ข้อมูล 🚀"


def test_a_job_named_by_nothing_has_a_name() -> None:
    derived = derive(JobSpec(tasks=[TaskSpec(tool="wordcount", input={"text": "a"})]), "alice")
    assert isinstance(derived, Derived) and derived.name == "job"


def test_a_chain_of_ten_thousand_is_no_cycle() -> None:
    needs = {str(i): [str(i - 1)] for i in range(1, 10_000)} | {"0": []}
    assert find_cycle(needs) is None
    assert find_cycle(needs | {"0": ["9999"]}) is not None


@given(st.dictionaries(st.integers(0, 8).map(str), st.lists(st.integers(0, 8).map(str), max_size=3)))
def test_a_cycle_found_is_a_cycle(needs) -> None:
    cycle = find_cycle(needs)
    if cycle is None:
        order: list[str] = []
        left = {name: [n for n in wants if n in needs] for name, wants in needs.items()}
        while left:
            free = [name for name, wants in left.items() if not set(wants) & set(left)]
            assert free, "a cycle was missed"
            for name in free:
                order.append(name)
                del left[name]
    else:
        assert cycle[0] == cycle[-1] and len(cycle) > 1
        assert all(after in needs[before] for before, after in pairwise(cycle))
