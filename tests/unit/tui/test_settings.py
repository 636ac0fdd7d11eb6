"""What is written into console.toml is read from it, what its owner wrote stays, and a fault is told."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tui.settings import (
    Settings,
    SettingsError,
    View,
    delete_view,
    parse_settings,
    read_settings,
    save_theme,
    save_view,
)
from tui.view.modes import MODE_DIGITS

OWN = """\
# mine
[keys]
"jobs.cancel" = "X"  # not C

[views.'old']
mode = "jobs"

[views.other]
mode = "nodes"
"""
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
NAMES = st.from_regex(r"[A-Za-z0-9_-]{1,8}", fullmatch=True)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "corral" / "console.toml"


def test_without_a_file_nothing_is_chosen(path: Path) -> None:
    assert read_settings(path) == Settings()


def test_what_is_saved_is_read_and_what_was_written_stays(path: Path) -> None:
    path.parent.mkdir()
    path.write_text(OWN)
    save_theme(path, "corral-light")
    save_view(path, "old", View("events", "severity>=warning"))
    save_theme(path, "corral-safe")
    delete_view(path, "other")
    text = path.read_text()
    assert text.count("theme") == 1 and '# mine\n[keys]\n"jobs.cancel" = "X"  # not C\n' in text
    assert read_settings(path) == Settings(
        "corral-safe", {"jobs.cancel": "X"}, {"old": View("events", "severity>=warning")}
    )


def test_a_linked_file_stays_where_it_is(path: Path, tmp_path: Path) -> None:
    path.parent.mkdir()
    real = tmp_path / "dotfiles.toml"
    real.write_text("")
    path.symlink_to(real)
    save_theme(path, "corral-mono")
    assert path.is_symlink() and "corral-mono" in real.read_text()


@given(st.lists(st.tuples(NAMES, st.sampled_from(list(MODE_DIGITS)), TEXTS, TEXTS), max_size=4), TEXTS)
def test_any_view_and_theme_survive(
    tmp_path_factory: pytest.TempPathFactory, views: list[tuple[str, str, str, str]], theme: str
) -> None:
    path = tmp_path_factory.mktemp("settings") / "console.toml"
    path.write_text(OWN)
    expected = dict(parse_settings(OWN).views)
    for name, mode, condition, sort in views:
        expected[name] = View(mode, condition, sort)
        save_view(path, name, expected[name])
        save_theme(path, theme)
    settings = read_settings(path)
    assert settings.views == expected and settings.faults == ()
    assert not views or settings.theme == theme


@pytest.mark.parametrize(
    ("text", "faults"),
    [
        ('\nthme = "x"\n', ("console.toml, line 2: no such setting: thme; theme?",)),
        ("theme = 3\n", ("console.toml, line 1: theme is a text",)),
        ('[keys]\n"jobs.cancel" = 1\n', ("console.toml, line 2: jobs.cancel is a text",)),
        ("keys = 1\n", ("console.toml, line 1: keys is a table",)),
        (
            '[views.x]\nmode = "jbs"\n',
            (f"console.toml, line 1: view x: mode is one of {', '.join(MODE_DIGITS)}; jobs?",),
        ),
        (
            '[views.x]\nmode = "jobs"\nsrt = "a"\n',
            ("console.toml, line 3: no such setting: srt; sort?",),
        ),
        (
            '[views."x y"]\nmode = "jobs"\n',
            ("console.toml, line 1: a view's name has letters, digits, _ and - only: x y",),
        ),
    ],
)
def test_each_fault_is_told_with_its_line(text: str, faults: tuple[str, ...]) -> None:
    assert parse_settings(text + '[views.good]\nmode = "jobs"\n').faults == faults
    assert parse_settings(text + '[views.good]\nmode = "jobs"\n').views["good"] == View("jobs")


def test_what_is_no_toml_is_told_and_not_written_over(path: Path) -> None:
    path.parent.mkdir()
    path.write_text("theme = \n")
    (fault,) = read_settings(path).faults
    assert "line 1" in fault and "none of it is used" in fault
    with pytest.raises(SettingsError, match="cannot change"):
        save_view(path, "mine", View("jobs"))
    assert path.read_text() == "theme = \n"


def test_what_cannot_be_edited_as_text_is_left_alone(path: Path) -> None:
    path.parent.mkdir()
    path.write_text('views = {mine = {mode = "jobs"}}\n')
    with pytest.raises(SettingsError):
        delete_view(path, "mine")
    with pytest.raises(SettingsError, match="letters"):
        save_view(path, "no name", View("jobs"))
    assert path.read_text() == 'views = {mine = {mode = "jobs"}}\n'


def test_a_table_within_a_text_is_not_taken_for_one(path: Path) -> None:
    path.parent.mkdir()
    path.write_text('[views.mine]\nmode = "jobs"\nfilter = """\n[views.mine]\n[x]"""\n')
    with pytest.raises(SettingsError):
        delete_view(path, "mine")


def test_a_folder_in_its_place_is_told(path: Path) -> None:
    path.mkdir(parents=True)
    assert read_settings(path).faults


def test_detach_keys_are_kept_and_what_is_none_is_told_with_its_line(path: Path) -> None:
    assert parse_settings("detach_keys = 'ctrl-],q'").detach_keys == "ctrl-],q"
    assert parse_settings("detach_keys = ''").detach_keys == ""
    for wrong in ("'escape'", "7", "['ctrl-p']"):
        settings = parse_settings(f"theme = 'x'\ndetach_keys = {wrong}")
        assert settings.detach_keys == "ctrl-p,ctrl-q" and settings.theme == "x"
        (fault,) = settings.faults
        assert fault.startswith("console.toml, line 2: detach_keys: not a key: ") and "ctrl-p,ctrl-q" in fault
    path.parent.mkdir()
    path.write_text("detach_keys = 'ctrl-],q'  # as screen has it\n")
    save_theme(path, "corral-light")
    assert read_settings(path).detach_keys == "ctrl-],q"
