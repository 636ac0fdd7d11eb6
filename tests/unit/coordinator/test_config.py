"""The configuration is read once, and says which file and key is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from bus.auth import Authority
from bus.layout import Layout
from bus.setting_files import Files
from bus.settings import load
from bus.values import Role
from coordinator.config import ConfigError, EnsuredUser, Keep, load_config
from coordinator.own_servers import Addresses, own_servers
from coordinator.serve import rebuild
from coordinator.store.rows import Snapshot
from coordinator.supervisor.access import Access

NOTHING = Snapshot(next_number=1, users=[], nodes=[], jobs=[], tasks=[], attempts=[])
LEAST = 'nats_url = "nats://x"\ncredentials = "/c"\ndsn = "postgresql://x"\n'


def write(folder: Path, text: str) -> Path:
    path = Layout(folder).coordinator
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_the_least_that_is_needed(tmp_path: Path) -> None:
    write(tmp_path, LEAST)
    config = load_config(tmp_path)
    assert (config.order, config.rank, config.users, config.timeseries_dsn) == ("fcfs", "best_fit", (), None)


def test_users_that_must_exist(tmp_path: Path) -> None:
    write(tmp_path, LEAST + '[[users]]\nname = "alice"\nrole = "admin"\n')
    assert load_config(tmp_path).users == (EnsuredUser("alice", Role.ADMIN),)


def test_the_supervisor_writes_what_is_set(tmp_path: Path) -> None:
    environment = {
        "CORRAL_JOBS_KEEP_FAILED": "0",
        "CORRAL_JOBS_KEEP_CANCELLED": "7",
        "CORRAL_SCHEDULER_AGEING": "60",
        "CORRAL_SCHEDULER_FAIR_SHARE_HALF_LIFE": "2",
        "CORRAL_SCHEDULER_DETERMINISTIC": "on",
    }
    servers = own_servers(load(environment=environment, files=Files(tmp_path / "u", tmp_path / "s")))
    assert servers.keep == Keep(completed=30, failed=0, cancelled=7)
    layout = Layout(tmp_path)
    access = Access(layout, authority=Authority.create_or_load(layout.keys), url="nats://x")
    access.write_coordinator_config(Addresses("postgresql://x", "postgresql://y"), servers)
    config = load_config(tmp_path)
    assert (config.keep, config.ageing_min) == (servers.keep, 60)
    rebuilt = rebuild(NOTHING, config, now_s=0.0)
    assert rebuilt.limits.ageing_s == 3600.0
    assert rebuilt.deterministic
    assert rebuilt.shares.half_life_s == 2 * 86_400.0


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("nats_url =\n", "line 1"),
        ('nats_url = "x"', "credentials"),
        (LEAST + 'oder = "sjf"\n', "oder"),
        (LEAST + "rank = 1\n", "rank"),
        (LEAST + "ageing_min = 0\n", "ageing_min"),
        (LEAST + "unreachable_after_s = 4\n", "unreachable_after_s"),
        (LEAST + "[keep]\nfailed = -1\n", "keep.failed"),
        (LEAST + '[[users]]\nname = "a"\nrole = "king"\n', "king"),
    ],
)
def test_what_is_wrong_is_named_with_its_file(tmp_path: Path, text: str, what: str) -> None:
    path = write(tmp_path, text)
    with pytest.raises(ConfigError) as caught:
        load_config(tmp_path)
    assert str(path) in str(caught.value) and what in str(caught.value)


def test_a_missing_file_says_how_to_get_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="corral up"):
        load_config(tmp_path)
