"""Where things lie, and that a secret which others can read is no secret."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from bus.errors import CredentialsError
from bus.layout import (
    ClientSettings,
    Layout,
    default_data_dir,
    read_client_settings,
    read_secret,
    write_client_settings,
    write_secret,
)
from bus.subjects import SubjectError


def test_the_data_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CORRAL_DATA", "/srv/pool")
    assert default_data_dir() == Path("/srv/pool")
    monkeypatch.delenv("CORRAL_DATA")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert default_data_dir() == Path("/var/lib/corral")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setenv("XDG_DATA_HOME", "/home/a/share")
    assert default_data_dir() == Path("/home/a/share/corral")
    monkeypatch.delenv("XDG_DATA_HOME")
    monkeypatch.setenv("HOME", "/home/a")
    assert default_data_dir() == Path("/home/a/.local/share/corral")


def test_every_path_lies_below_the_folder() -> None:
    layout = Layout(Path("/d"))
    paths = [
        layout.nats,
        layout.postgres,
        layout.keys,
        layout.client,
        layout.supervisor,
        layout.coordinator,
        layout.logs,
        layout.credentials("alice"),
        layout.agent("n1"),
        layout.agent_credentials("n1"),
        layout.log("coordinator"),
    ]
    assert len(set(paths)) == len(paths)
    assert all(path.is_relative_to("/d") for path in paths)


@pytest.mark.parametrize("name", ["..", "a/b", "", "A", "a\n", "."])
def test_names_cannot_leave_the_folder(name: str) -> None:
    layout = Layout(Path("/d"))
    for path in (layout.credentials, layout.agent, layout.log):
        with pytest.raises(SubjectError):
            path(name)


def test_settings_round_trip_and_are_secret(tmp_path: Path) -> None:
    layout = Layout(tmp_path / "data")
    settings = ClientSettings(url="nats://127.0.0.1:1", credentials="/c", user="alice")
    write_client_settings(layout, settings)
    write_client_settings(layout, settings)
    assert layout.client.stat().st_mode & 0o777 == 0o600
    assert read_client_settings(layout) == settings
    assert [path.name for path in layout.data.iterdir()] == ["client.json"]


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o660])
def test_a_secret_that_others_can_read_is_refused(tmp_path: Path, mode: int) -> None:
    """B76."""
    path = tmp_path / "x.creds"
    write_secret(path, "secret")
    assert read_secret(path) == "secret"
    path.chmod(mode)
    with pytest.raises(CredentialsError) as caught:
        read_secret(path)
    assert caught.value.code == "E_TOKEN_MODE"
    assert "chmod 600" in caught.value.hint


def test_two_programs_may_write_a_secret_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One begins and ends while the other has not put its own in place yet: both succeed, nothing is left."""
    path, fsync = tmp_path / "x.creds", os.fsync

    def other_program(descriptor: int) -> None:
        monkeypatch.setattr(os, "fsync", fsync)
        with monkeypatch.context() as other:
            other.setattr(os, "getpid", lambda: 1)
            write_secret(path, "other")
        assert read_secret(path) == "other"
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", other_program)
    write_secret(path, "mine")
    assert read_secret(path) == "mine"
    assert [each.name for each in tmp_path.iterdir()] == ["x.creds"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_a_secret_of_another_account_is_theirs_from_the_start(tmp_path: Path) -> None:
    path = tmp_path / "x.conf"
    write_secret(path, "secret", owner=(65_534, 65_534))
    assert (path.stat().st_uid, path.stat().st_gid) == (65_534, 65_534)
    assert path.stat().st_mode & 0o777 == 0o600


def test_what_cannot_be_read_is_said(tmp_path: Path) -> None:
    with pytest.raises(CredentialsError) as caught:
        read_secret(tmp_path / "none")
    assert caught.value.code == "E_AUTH"
    layout = Layout(tmp_path)
    write_secret(layout.client, "{")
    with pytest.raises(CredentialsError) as caught:
        read_client_settings(layout)
    assert caught.value.code == "E_CONFIG"


def test_what_a_killed_writer_left_of_a_secret_goes(tmp_path: Path) -> None:
    old, fresh, other = (tmp_path / name for name in (".s.1.part", ".s.2.part", ".t.1.part"))
    for path in (old, fresh, other):
        path.write_text("half of a secr")
    for path in (old, other):
        os.utime(path, (0, 0))
    write_secret(tmp_path / "s", "secret")
    assert sorted(path.name for path in tmp_path.iterdir()) == [".s.2.part", ".t.1.part", "s"]
