"""Another machine in two lines, tried across network namespaces: each has its own addresses and link."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.join.machines import WAIT_S, Place, needs_namespaces, one_place, until

pytestmark = needs_namespaces


@pytest.fixture(scope="module")
def place() -> Iterator[Place]:
    with one_place() as place:
        yield place


def test_two_lines_make_a_node(place: Place) -> None:
    for machine, name in ((place.one, "n1"), (place.two, "n2")):
        machine.ok("join", place.url, place.token("node"), "--name", name, "--label", f"at={name}")
    assert {name: state for name, state in place.health().items() if name in ("n1", "n2")} == {
        "n1": "healthy",
        "n2": "healthy",
    }
    secret = place.one.folder / "data" / "agents" / "n1" / "agent.creds"
    assert secret.stat().st_mode & 0o077 == 0


def test_a_taken_name_and_a_second_join_are_refused(place: Place) -> None:
    token = place.token("node")
    code, _, said = place.one("join", place.url, token, "--data", str(place.one.folder / "x"), "--name", "n2")
    assert (code, "E_CONFLICT" in said) == (6, True)
    code, _, said = place.one("join", place.url, token)
    assert (code, "already the node n1" in said) == (6, True)


def test_jobs_run_there_and_their_output_comes_back(place: Place) -> None:
    script = "ip -4 -o addr show eth0 | grep -o '10[.0-9]*/24'"
    for machine, name in ((place.one, "n1"), (place.two, "n2")):
        assert place.home.ok("run", "--node", name, "--", "sh", "-c", script) == f"{machine.address}/24\n"


def test_a_cut_link_heals_and_the_task_never_noticed(place: Place) -> None:
    watched = place.home.start("run", "--node", "n1", "--", "sh", "-c", "echo began; sleep 8; echo ended")
    assert watched.stdout is not None
    assert watched.stdout.readline() == b"began\n"
    place.one.cut(down=True)
    until(lambda: place.health()["n1"] != "healthy" or watched.poll() is not None)
    assert place.health()["n2"] == "healthy"
    place.one.cut(down=False)
    rest, _ = watched.communicate(timeout=WAIT_S)
    assert (watched.returncode, rest) == (0, b"ended\n")
    until(lambda: place.health()["n1"] == "healthy")


def test_down_and_up_there_go_on_as_the_same_node(place: Place) -> None:
    assert [process["name"] for process in place.two.document("status")["processes"]] == [
        "supervisor",
        "agent-n2",
    ]
    place.two.ok("down")
    assert place.two("status")[0] == 69
    place.two.ok("up", "--detach")
    assert place.home.ok("run", "--node", "n2", "--", "echo", "again") == "again\n"


def test_a_person_logs_in_works_and_logs_out(place: Place) -> None:
    ann = place.two
    ann.ok("login", place.url, place.token("user", "ann"), "--nats-context", own_folder=False)
    who = json.loads(ann.ok("whoami", "-o", "json", own_folder=False))
    assert (who["user"], who["role"], who["nats"]["url"]) == ("ann", "user", place.url)
    assert who["nats"]["inbox_prefix"] == "_INBOX_ann"
    assert Path(who["nats"]["credentials"]).stat().st_mode & 0o077 == 0
    context = json.loads((ann.folder / "config" / "nats" / "context" / "corral.json").read_text())
    assert (context["url"], context["creds"]) == (place.url, who["nats"]["credentials"])
    assert ann.ok("run", "--", "echo", "mine", own_folder=False) == "mine\n"
    Path(who["nats"]["credentials"]).chmod(0o644)
    code, _, said = ann("jobs", own_folder=False)
    assert (code, "E_TOKEN_MODE" in said, "chmod 600" in said) == (4, True, True)
    Path(who["nats"]["credentials"]).chmod(0o600)
    ann.ok("logout", own_folder=False)
    code, _, said = ann("whoami", own_folder=False)
    assert (code, "corral login" in said) == (4, True)


def test_who_is_revoked_is_out_within_two_seconds(place: Place) -> None:
    """B19: the open connection is closed, the next command says why."""
    bob = place.two
    bob.ok("login", place.url, place.token("user", "bob"), own_folder=False)
    following = bob.start("run", "--", "sleep", "600", own_folder=False)
    until(lambda: place.home.document("jobs", "--user", "bob")["jobs"] != [])
    tokens = {token["name"]: token["id"] for token in place.home.document("token", "list")["tokens"]}
    place.home.ok("token", "revoke", tokens["bob"])

    def is_told() -> bool:
        code, _, said = bob("jobs", own_folder=False)
        return (code, "E_TOKEN_REVOKED" in said) == (4, True)

    until(is_told)  # its servers hear of it within those two seconds, not before the command is over
    _, said_there = following.communicate(timeout=WAIT_S)
    assert following.returncode == 4, said_there
    place.home.ok("token", "revoke", tokens["n1"])
    until(lambda: place.health()["n1"] == "unreachable")
