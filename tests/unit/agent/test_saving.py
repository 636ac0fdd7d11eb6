"""When an entry of CORRAL_CHECKPOINT_DIR is a checkpoint: told, or unchanged by two looks, once."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.core.notes import Save, hear
from agent.core.saving import Saving, Wanted, due, is_watched, settle, step_of


def look(saving: Saving, entries: dict[str, str], *, now_s: float = 0.0, over: bool = False) -> list[str]:
    """Paths that are taken; all of them are settled."""
    found = due(saving, entries, now_s=now_s, over=over)
    for wanted in found:
        settle(saving, wanted, now_s=now_s)
    return [wanted.path for wanted in found]


@pytest.mark.parametrize(
    ("path", "step"),
    [
        ("step-1200", 1200),
        ("epoch=3-step=120.ckpt", 120),
        ("deep7/model-4.pt", 4),
        ("deep7/model.pt", None),
        ("model", None),
        ("model-" + "9" * 16, None),
    ],
)
def test_the_last_number_of_a_name_is_its_step(path: str, step: int | None) -> None:
    assert step_of(path) == step


@pytest.mark.parametrize("name", [".step-1", "step-1.tmp", "step-1.part"])
def test_what_is_being_written_is_not_looked_at(name: str) -> None:
    assert not is_watched(name)
    assert is_watched("step-1")


def test_two_equal_looks_make_a_checkpoint_once() -> None:
    saving = Saving()
    assert look(saving, {"step-1": "a"}) == []
    assert look(saving, {"step-1": "b"}) == []  # somebody wrote into it
    assert look(saving, {"step-1": "b"}) == ["step-1"]
    assert look(saving, {"step-1": "b"}) == []
    assert look(saving, {"step-1": "c"}) == []
    assert look(saving, {"step-1": "c"}) == ["step-1"]


def test_after_the_end_one_look_is_enough() -> None:
    saving = Saving()
    assert look(saving, {"step-2": "a", "step-1": "a"}, over=True) == ["step-1", "step-2"]


def test_what_is_told_is_taken_at_once_with_what_was_said() -> None:
    save = Save(path="latest", step=7, shard=True, metrics={"loss": 0.5})
    saving = Saving(told={"latest": save})
    (missing,) = due(saving, {}, now_s=0, over=False)
    assert "no such file" in missing.fault
    (wanted,) = due(saving, {"latest": "a"}, now_s=0, over=False)
    assert wanted == Wanted(path="latest", stamp="a", step=7, shard=True, metrics={"loss": 0.5})
    settle(saving, wanted, now_s=0)
    assert look(saving, {"latest": "a"}) == []
    # the same file, told again with its next content
    saving.told["latest"] = Save(path="latest", step=8)
    assert look(saving, {"latest": "b"}) == ["latest"]


def test_without_a_step_it_is_refused_once() -> None:
    saving = Saving(told={"told": Save(path="told", step=None)})
    found = due(saving, {"told": "a", "found": "a"}, now_s=0, over=True)
    assert [(one.path, bool(one.fault)) for one in found] == [("found", True), ("told", True)]
    for one in found:
        settle(saving, one, now_s=0)
    assert look(saving, {"told": "a", "found": "a"}, over=True) == []
    (named,) = due(
        Saving(told={"step-3": Save(path="step-3", step=None)}), {"step-3": "a"}, now_s=0, over=False
    )
    assert named.step == 3


def test_a_folder_in_which_one_was_told_is_none_itself() -> None:
    saving = Saving(told={"run-1/step-5": Save(path="run-1/step-5", step=None)})
    assert look(saving, {"run-1": "a", "run-1/step-5": "a"}, over=True) == ["run-1/step-5"]


def test_at_most_one_that_is_found_in_an_interval_and_the_newest() -> None:
    saving = Saving(interval_s=60.0)
    entries = {"step-1": "a", "step-2": "a"}
    assert look(saving, entries) == []
    assert look(saving, entries, now_s=1) == ["step-2"]
    entries["step-3"] = "a"
    assert [look(saving, entries, now_s=now_s) for now_s in (2, 3, 60)] == [[], [], []]
    assert look(saving, entries, now_s=61) == ["step-3"]
    entries["step-4"] = "a"
    assert look(saving, entries, now_s=62, over=True) == ["step-4"]  # the last one is always kept
    saving.told["step-5"] = Save(path="step-5", step=None)
    assert look(saving, entries | {"step-5": "a"}, now_s=63) == ["step-5"]  # so is what is told


@given(st.lists(st.dictionaries(st.sampled_from(["step-1", "step-2"]), st.sampled_from("abc")), max_size=8))
def test_no_content_is_taken_twice_in_a_row(looks: list[dict[str, str]]) -> None:
    saving, taken = Saving(), {}
    for now, entries in enumerate(looks):
        for path in look(saving, entries, now_s=now):
            assert taken.get(path) != entries[path]
            taken[path] = entries[path]


def test_lines_tell_of_checkpoints() -> None:
    heard = hear(
        b'{"checkpoint": "step-2", "step": 2, "metrics": {"loss": 1}, "shard": true}\n'
        b'{"checkpoint": "step-3"}\n{"checkpoint": 4}\n{"checkpoint": "x", "step": -1}\n{"shard": true}\n',
        values_max=100,
    )
    assert heard.saves == [
        Save(path="step-2", step=2, shard=True, metrics={"loss": 1.0}),
        Save(path="step-3", step=None),
    ]
    assert heard.faults == 3
    assert [(value.name, value.step) for value in heard.values] == [("loss", 2)]
