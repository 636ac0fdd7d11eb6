"""Who wins, and that every fault names its place: file and line, variable or flag."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus.setting_files import Files, SettingsError, line_of
from bus.setting_kinds import MASK, Kind, convert, masked
from bus.settings import SETTINGS, Source, load, misspelt_variables

USER, SYSTEM = "user.toml", "system.toml"


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path / USER, tmp_path / SYSTEM)


def write(path: Path, text: str, mode: int = 0o600) -> None:
    path.write_text(text)
    path.chmod(mode)


def fault(files: Files, **environment: str) -> SettingsError:
    with pytest.raises(SettingsError) as caught:
        load(environment=environment, files=files)
    assert caught.value.error.code == "E_CONFIG"
    return caught.value


def test_flag_environment_user_file_system_file_default(files: Files) -> None:
    """B116."""
    write(files.user, '[nats]\nurl = "nats://user:1"\n')
    write(files.system, '[nats]\nurl = "nats://system:1"\n')
    environment = {"CORRAL_NATS_URL": "nats://environment:1"}
    said = load({"nats.url": "nats://flag:1"}, environment=environment, files=files).said["nats.url"]
    assert [each.source for each in said] == list(Source)
    assert [each.value for each in said[:4]] == [
        f"nats://{name}:1" for name in ("flag", "environment", "user", "system")
    ]
    assert [each.where for each in said] == [
        "--url", "CORRAL_NATS_URL", f"{files.user}:2", f"{files.system}:2", "",
    ]  # fmt: skip
    for count in range(1, 5):  # without the strongest ones, the next one wins
        flags = {"nats.url": "nats://flag:1"} if count < 1 else {}
        left = load(flags, environment=environment if count < 2 else {}, files=files)
        if count >= 3:
            files.user.unlink(missing_ok=True)
            left = load(environment={}, files=files)
        if count == 4:
            files.system.unlink()
            left = load(environment={}, files=files)
        assert left.source("nats.url").source is list(Source)[count]


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("a = ", 1, "not TOML"),
        ("# fine\n\n[nats\n", 3, "not TOML"),
        ("[nats]\nurl = 1\nurl = 2\n", 3, "not TOML"),
        ("[nats]\n# x\nulr = 'nats://a:1'\n", 3, "unknown key nats.ulr"),
        ("agents = 2\nnats.url = 7\n", 2, "wrong value of nats.url"),
        ("agents = 65", 1, "wrong value of agents"),
        ("agents = true", 1, "wrong value of agents"),
        ("agents = -1", 1, "wrong value of agents"),
        ("\n\nagents = '''\n3\n'''", 3, "wrong value of agents"),
        ("[database]\ndsn = 'mysql://u@h/x'", 2, "wrong value of database.dsn"),
        ("[nats]\nurl = 'nats://u:p@h:1'", 2, "wrong value of nats.url"),
        ("[nats]\nurl = 'nats://h:99999'", 2, "wrong value of nats.url"),
        ("nats = 3", 1, "unknown key nats"),
        ("data = {x = 1}", 1, "wrong value of data"),
    ],
)
def test_a_wrong_file_names_its_line(files: Files, text: str, line: int, words: str) -> None:
    """B115."""
    write(files.user, text)
    error = fault(files).error
    assert error.field == f"{files.user}:{line}"
    assert words in error.message


def test_an_unknown_key_is_told_the_nearest(files: Files) -> None:
    write(files.user, '[nats]\nurrl = "nats://a:1"\n')
    assert fault(files).error.hint == "did you mean nats.url?"


def test_a_file_that_anybody_could_have_written_is_refused(files: Files) -> None:
    write(files.user, "", 0o666)
    assert fault(files).error.hint == f"chmod o-w {files.user}"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_file_of_somebody_else_is_refused(files: Files) -> None:
    write(files.user, "")
    os.chown(files.user, 12345, 12345)
    assert "belongs to somebody else" in fault(files).error.message


def test_a_password_must_not_be_readable(files: Files) -> None:
    text = "[database]\ndsn = 'postgresql://u:geheim@h/x'"
    write(files.user, text, 0o644)
    error = fault(files)
    assert error.error.field == f"{files.user}:2" and "geheim" not in str(error.error)
    write(files.user, text.replace(":geheim", ""), 0o644)
    assert load(environment={}, files=files).text("database.dsn") == "postgresql://u@h/x"


def test_a_named_file_must_exist(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="no such file"):
        load(environment={"CORRAL_CONFIG": str(tmp_path / "none.toml")})


def test_a_home_of_nobody_is_a_fault_and_no_crash(files: Files) -> None:
    assert fault(files, CORRAL_DATA="~nobody-of-that-name/x").error.field == "CORRAL_DATA"
    with pytest.raises(SettingsError):
        load(environment={"CORRAL_CONFIG": "~nobody-of-that-name/x"})


def test_no_file_at_all_is_fine(files: Files) -> None:
    assert {said[0].source for said in load(environment={}, files=files).said.values()} == {Source.DEFAULT}


def test_a_wrong_variable_names_itself_and_no_password(files: Files) -> None:
    assert fault(files, CORRAL_AGENTS="two").error.field == "CORRAL_AGENTS"
    for seconds in ("4", "601", "10.5", "ten"):
        found = fault(files, CORRAL_NODES_UNREACHABLE_AFTER=seconds).error
        assert found.expected == "a whole number from 5 to 600"
    for wrong in ("postgres//u:geheim@h/x", "postgresql://u:ge/geheim@h/x", "postgresql://u:x@geheim@h"):
        assert "geheim" not in str(fault(files, CORRAL_DATABASE_DSN=wrong).error)


def test_a_relative_path_lies_beside_its_file(files: Files) -> None:
    write(files.user, 'data = "here"')
    assert load(environment={}, files=files).text("data") == str(files.user.parent / "here")


def test_variables_that_nothing_reads() -> None:
    assert misspelt_variables({"CORRAL_NATS_ULR": "", "CORRAL_JOB_ID": "", "CORRAL_DATA": ""}) == [
        ("CORRAL_NATS_ULR", "CORRAL_NATS_URL")
    ]


@given(st.text(alphabet=st.characters(codec="utf-8"), max_size=60))
def test_any_value_is_taken_or_refused_with_what_is_expected(text: str) -> None:
    for setting in SETTINGS.values():
        try:
            convert(setting.kind, text, choices=setting.choices)
        except ValueError as error:
            assert str(error)


@given(st.from_regex(r"[A-Za-z0-9!$%&'()*+,;=:.~_-]{6,20}", fullmatch=True))
def test_no_password_is_shown(password: str) -> None:
    for text in (
        f"postgresql://u:{password}@h:1/x",
        f"postgresql://u@h/x?password={password.replace('&', '_')}",
    ):
        shown = masked(Kind.DSN, text)
        assert MASK in shown and password not in shown


@given(
    st.lists(
        st.sampled_from(["# x", "", "agents = 3", 'data = """a\nb"""', "[nats]"]), max_size=6, unique=True
    )
)
def test_a_key_is_found_on_its_line_whatever_surrounds_it(before: list[str]) -> None:
    before.sort(key=lambda line: line == "[nats]")  # a table's keys end with the next table
    text = "\n".join([*before, "[output]", "  x = 1"])
    assert line_of(text, "output.x") == text.count("\n") + 1


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("text_generation", "text_generation"),
        ("b1,a2,b1", "b1,a2"),
        (["text_generation", "translation"], "text_generation,translation"),
        ([], ""),
    ],
)
def test_capabilities_are_a_list_or_a_text(said: object, meant: str) -> None:
    assert convert(Kind.CAPABILITIES, said) == meant


@pytest.mark.parametrize(
    "said", ["", "a", "a" * 51, "Upper", "a b", "ok,", "ok\n", ["ok,no"], ["ok", 1], 3, {"a": 1}]
)
def test_other_capabilities_are_refused(said: object) -> None:
    with pytest.raises(ValueError, match="2 to 50"):
        convert(Kind.CAPABILITIES, said)


@pytest.mark.parametrize(
    ("said", "meant"),
    [("eth1=data", "eth1=data"), (["eth1=data", "ib0=cluster"], "eth1=data,ib0=cluster"), ([], "")],
)
def test_interfaces_are_pairs(said: object, meant: str) -> None:
    assert convert(Kind.INTERFACES, said) == meant


@pytest.mark.parametrize(
    "said", ["", "eth1", "eth1=", "=data", "eth1=fast", "a/b=data", ["x" * 16 + "=data"], 3, [1]]
)
def test_other_interfaces_are_refused(said: object) -> None:
    with pytest.raises(ValueError, match="eth1=data"):
        convert(Kind.INTERFACES, said)


def test_capabilities_of_a_file(files: Files) -> None:
    write(files.user, '[agent]\ncan = ["text_generation", "translation"]\n')
    assert load(environment={}, files=files).text("agent.can") == "text_generation,translation"
    write(files.user, '[agent]\ncan = ["text generation"]\n')
    assert fault(files).error.field == f"{files.user}:2"


@pytest.mark.parametrize(
    ("kind", "most"),
    [(Kind.RATE, 9999), (Kind.HOURS, 8760), (Kind.DAYS, 9999)],
    ids=["rate", "hours", "days"],
)
def test_paces_are_whole_numbers(kind: Kind, most: int) -> None:
    assert (convert(kind, 0), convert(kind, str(most))) == (0, most)
    for said in (-1, most + 1, 1.5, "1.5", "fast", True):
        with pytest.raises(ValueError, match=f"whole number from 0 to {most}"):
            convert(kind, said)
