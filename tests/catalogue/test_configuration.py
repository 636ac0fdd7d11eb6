"""Rows of the catalogue about configuration and servers, by the command: what it says, and how it exits."""

from __future__ import annotations

from pathlib import Path

import pytest

from bus.auth import Authority
from bus.layout import write_secret
from bus.values import Role
from tui.cli import dispatch
from tui.cli.diagnostics import Exit


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine where nothing is set; returns where the user's file would be."""
    for name in ("CORRAL_CONFIG", "CORRAL_NATS_URL", "CORRAL_NATS_CREDENTIALS", "CORRAL_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setenv("CORRAL_DATA", str(tmp_path / "data"))
    folder = tmp_path / "corral"
    folder.mkdir()
    return folder / "config.toml"


@pytest.mark.parametrize(
    ("text", "mode", "words"),
    [
        ("\n\nnats = ", 0o600, "config.toml:3"),
        ('\n[nats]\nulr = "x"\n', 0o600, "config.toml:3"),
        ('[nats]\nulr = "x"\n', 0o600, "did you mean nats.url?"),
        ("\n\ndata = 3\n", 0o600, "config.toml:3"),
        ('data = "/x"\n', 0o666, "chmod o-w"),
    ],
)
def test_a_wrong_file_is_named_with_its_line(
    home: Path, capsys: pytest.CaptureFixture[str], text: str, mode: int, words: str
) -> None:
    """B115."""
    home.write_text(text)
    home.chmod(mode)
    assert dispatch.run(["jobs"]) == Exit.CONFIGURATION
    out, err = capsys.readouterr()
    assert out == "" and err.startswith("error[E_CONFIG]: ") and words in err


def test_a_file_that_was_named_must_be_there(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """B115."""
    monkeypatch.setenv("CORRAL_CONFIG", str(home.with_name("nowhere.toml")))
    assert dispatch.run(["jobs"]) == Exit.CONFIGURATION
    assert "nowhere.toml" in capsys.readouterr().err


def test_the_environment_wins_over_the_users_file_and_both_are_explained(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """B116."""
    home.write_text('[nats]\nurl = "nats://from-file:4222"\n')
    home.chmod(0o600)
    monkeypatch.setenv("CORRAL_NATS_URL", "nats://from-environment:4222")
    assert dispatch.run(["config", "explain", "nats.url"]) == Exit.OK
    out = capsys.readouterr().out
    assert "from-environment" in out and "from-file" in out
    assert dispatch.run(["config", "get", "nats.url"]) == Exit.OK
    assert capsys.readouterr().out.strip() == "nats://from-environment:4222"


@pytest.mark.parametrize(
    ("url", "code", "words"),
    [
        (
            "nats://127.0.0.1:9",
            Exit.UNAVAILABLE,
            "error[E_UNAVAILABLE]: no NATS server answers at nats://127.0.0.1:9",
        ),
        ("nats://somebody:hunter2@127.0.0.1:9", Exit.USAGE, "nats://somebody:****@127.0.0.1:9"),
    ],
)
def test_a_server_that_is_not_there_is_named(
    home: Path, capsys: pytest.CaptureFixture[str], url: str, code: Exit, words: str
) -> None:
    """B117: one line with the host, and never the password."""
    credentials = home.with_name("alice.creds")
    authority = Authority.create_or_load(home.with_name("keys"))
    write_secret(credentials, authority.mint_user("alice", Role.USER).text)
    assert dispatch.run(["jobs", "--url", url, "--credentials", str(credentials)]) == code
    out, err = capsys.readouterr()
    assert out == "" and words in err and "hunter2" not in err
    assert len(err.splitlines()) == 2
