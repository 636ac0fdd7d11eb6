"""Volumes steered: what would come of it, the command that does the same, when a row has caught up."""

from __future__ import annotations

import shlex

import pytest
from msgspec.structs import replace

from bus.mounts import AccessMode
from bus.volumes import PoolEntry, PoolNode, Snapshot, VolumeCopy, VolumeEntry
from tui.cli.dispatch import parse
from tui.client.doing import pool_of, volume_of
from tui.view.actions import ACTIONS, Step
from tui.view.arguments import BLANKS, Arguments, blanks_of_create, blanks_of_pool, fault_of, filled
from tui.view.deeds import Journal
from tui.view.effects import has_come
from tui.view.steering import steer, steer_create, steer_create_pool
from tui.view.volume_effects import newest_snapshot

VOLUME = VolumeEntry(
    name="data", id="1", pool="fast", size_mib=1_024, mode=AccessMode.READ_WRITE_ONCE, state="ready",
    node="n1", owner="alice", used=3 * 2**20,
    snapshots=[
        Snapshot(name="b", ready=True, created_at=2.0), Snapshot(name="a", ready=True, created_at=1.0),
    ],
    copies=[VolumeCopy(node="n2", state="active")],
)  # fmt: skip
GONE = replace(VOLUME, state="deleted", deleted_at=1.0)
BUSY = replace(VOLUME, tasks=["7.0", "8.0"], writers=["7.0"])
WISH = Arguments(
    name="data", pool="fast", size="1GiB", access="ReadWriteMany", node="n1", path="/a b", source="x@y",
    storage_class="w", shared="yes", snapshots="@daily keep 7", backup="yes", backup_pool="far", copies="2",
)  # fmt: skip
KEPT = Arguments(snapshots="@daily keep 7", backup="yes", backup_pool="far", copies="2")
KEEPS = replace(VOLUME, policy="@daily keep 7", backup_pool="far", backup_copies=2)
POOL = PoolEntry(
    name="fast", type="replicated", path="/srv/{node}", total_mib=2048, used_mib=0, tier="ssd", encrypt=True,
    replicas=2, nodes=[PoolNode(node="n1"), PoolNode(node="n2")],
)  # fmt: skip
VERBS = ("remove", "undelete", "snapshot", "unsnapshot", "restore", "promote")


@pytest.mark.parametrize(
    ("verb", "arguments", "command"),
    [
        ("snapshot", Arguments(snapshot="a"), "corral volume snapshot data a"),
        ("unsnapshot", Arguments(snapshot="a"), "corral volume unsnapshot data a"),
        ("restore", Arguments(snapshot="a"), "corral volume restore data a"),
        ("remove", Arguments(), "corral volume rm data"),
        ("remove", Arguments(now="yes"), "corral volume rm data --now"),
        ("undelete", Arguments(), "corral volume undelete data"),
        ("promote", Arguments(), "corral volume promote data"),
    ],
)
def test_a_shell_takes_the_command_that_is_shown(verb: str, arguments: Arguments, command: str) -> None:
    assert steer("volume", verb, [VOLUME], arguments).command == command
    assert parse(shlex.split(command)[1:]) is not None
    other = replace(VOLUME, name="other")
    both = steer("volume", verb, [VOLUME, other] if verb != "undelete" else [GONE], arguments)
    assert len(both.command.splitlines()) == len(both.steps), "one volume a command"


def test_a_volume_to_be_made_is_what_the_command_would_make() -> None:
    asked = steer_create(WISH)
    words = shlex.split(asked.command)
    options = vars(parse(words[1:]))
    assert (options["name"], options["pool"], options["size"], options["mode"]) == (
        "data", "fast", "1GiB", "ReadWriteMany",
    )  # fmt: skip
    assert (options["path"], options["source"], options["storage_class"]) == ("/a b", "x@y", "w")
    assert options["shared"] and options["node"] == "n1"
    assert options["backup"] and options["snapshots"] == "@daily keep 7"
    wanted = volume_of(WISH)
    assert (wanted.name, wanted.path, wanted.shared, wanted.mode) == (
        "data", "/a b", True, AccessMode.READ_WRITE_MANY,
    )  # fmt: skip
    assert asked.effect == (
        "1GiB of pool fast on n1, as x@y is; everybody's tasks may have it",
        "snapshots @daily keep 7, kept on 2 other nodes, too, in pool far",
    )
    assert (wanted.snapshots, wanted.backup) == ("@daily keep 7", True)
    assert (wanted.backup_pool, wanted.backup_copies) == ("far", 2)
    assert (options["backup_pool"], options["copies"]) == ("far", 2)
    bare = Arguments(name="d", pool="p", size="20")
    assert steer_create(bare).effect == ("20 of pool p where most room is, empty; for your tasks alone",)
    assert volume_of(bare).mode is AccessMode.READ_WRITE_ONCE and volume_of(bare).backup_copies == 1
    assert steer_create(bare).command == "corral volume create d --pool p --size 20"
    assert all(fault_of(each.field, str(getattr(WISH, each.field))) == "" for each in blanks_of_create([]))
    assert filled({each.field: str(getattr(WISH, each.field)) for each in blanks_of_create([])}) == WISH


@pytest.mark.parametrize(
    ("field", "text"),
    [
        ("name", ""), ("name", "Data"), ("name", "a.b"), ("pool", ""), ("size", ""), ("size", "much"),
        ("access", "rw"), ("source", "x"), ("source", "@y"), ("source", "x@"), ("shared", "no"),
        ("snapshots", "daily"), ("snapshots", "@daily keep 0"), ("backup", "no"),
        ("copies", "0"), ("copies", "6"), ("copies", "two"), ("replicas", "101"),
        ("nodes", ""), ("nodes", "a,,b"),
        ("compress", "no"), ("encrypt", "no"), ("now", "y"), ("snapshot", ""), ("snapshot", "a b"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_while_one_types(field: str, text: str) -> None:
    assert fault_of(field, text).startswith("expected ")


def test_what_would_come_of_it_names_who_keeps_it_from_being_done() -> None:
    def effect(verb: str, row: VolumeEntry, arguments: Arguments = Arguments(snapshot="a")) -> str:  # noqa: B008
        return "\n".join(steer("volume", verb, [row], arguments).effect)

    assert "kept as a" in effect("snapshot", VOLUME) and "refused" not in effect("snapshot", VOLUME)
    assert effect("snapshot", BUSY).endswith("refused while tasks write to it: 7.0")
    assert "there: a, b" in effect("restore", BUSY) and "while tasks have it: 7.0, 8.0" in effect(
        "restore", BUSY
    )
    assert "a is gone for ever" in effect("unsnapshot", VOLUME)
    assert "1 volume, 3 MiB used: gone after" in effect("remove", VOLUME, Arguments())
    assert "nothing brings it back" in effect("remove", VOLUME, Arguments(now="yes"))
    assert effect("undelete", GONE) == "1 volume there again, as before"
    assert "only the lost node has is lost" in effect("promote", VOLUME)


def test_volumes_to_which_it_does_not_fit_are_left_out() -> None:
    bare = replace(VOLUME, name="bare", snapshots=[], copies=[])
    rows = [VOLUME, GONE, bare]
    left = {verb: steer("volume", verb, rows, Arguments(snapshot="a")).left_out for verb in VERBS}
    assert left == {
        "remove": (("data", "is deleted already"),),
        "undelete": (("data", "is not deleted"), ("bare", "is not deleted")),
        "snapshot": (("data", "is deleted: bring it back first"),),
        "unsnapshot": (("data", "is deleted: bring it back first"), ("bare", "has no snapshots")),
        "restore": (("data", "is deleted: bring it back first"), ("bare", "has no snapshots")),
        "promote": (("data", "is deleted: bring it back first"), ("bare", "has no copies")),
    }
    assert set(VERBS) | {"create"} <= set(ACTIONS) and {"snapshot", "restore"} <= set(BLANKS)


@pytest.mark.parametrize(
    ("verb", "arguments", "row", "come"),
    [
        ("create", WISH, VOLUME, True),
        ("create", WISH, replace(VOLUME, state="making"), False),
        ("snapshot", Arguments(snapshot="a"), VOLUME, True),
        ("snapshot", Arguments(snapshot="z"), VOLUME, False),
        ("unsnapshot", Arguments(snapshot="a"), VOLUME, False),
        ("unsnapshot", Arguments(snapshot="z"), VOLUME, True),
        ("restore", Arguments(snapshot="a"), replace(VOLUME, state="making"), False),
        ("promote", Arguments(), VOLUME, True),
        ("set", Arguments(), VOLUME, True),
        ("set", KEPT, VOLUME, False),
        ("set", KEPT, KEEPS, True),
        ("set", replace(KEPT, copies=""), KEEPS, False),
        (
            "set",
            Arguments(snapshots="@daily keep 7", backup="yes"),
            replace(KEEPS, backup_pool="fast", backup_copies=1),
            True,
        ),
        ("remove", Arguments(), VOLUME, False),
        ("remove", Arguments(), GONE, True),
        ("undelete", Arguments(), VOLUME, True),
    ],
)
def test_a_row_says_when_it_has_come(verb: str, arguments: Arguments, row: VolumeEntry, come: bool) -> None:
    step = Step(noun="volume", verb=verb, target="data", arguments=arguments)
    assert has_come(step, row) is come


def test_what_leads_back() -> None:
    journal = Journal()

    def back(verb: str, row: VolumeEntry, arguments: Arguments) -> str:
        act = journal.begin(steer("volume", verb, [row], arguments), now_s=0.0)
        journal.acknowledge(act.deeds[0], said="", audit="", now_s=0.0)
        return "\n".join(step.verb for step in act.ways_back)

    assert back("remove", VOLUME, Arguments()) == "undelete"
    assert back("remove", VOLUME, Arguments(now="yes")) == ""
    assert back("snapshot", VOLUME, Arguments(snapshot="c")) == "unsnapshot"
    assert journal.undo(journal.acts[0]).command == "corral volume unsnapshot data c"
    assert [back(verb, VOLUME, Arguments(snapshot="a")) for verb in ("restore", "unsnapshot")] == ["", ""]


def test_the_newest_snapshot_that_is_there() -> None:
    assert newest_snapshot(VOLUME) == "b"
    taken = replace(VOLUME, snapshots=[*VOLUME.snapshots, Snapshot(name="c", ready=False, created_at=3.0)])
    assert newest_snapshot(taken) == "b" and newest_snapshot(replace(VOLUME, snapshots=[])) == ""


def test_policies_are_all_said_and_lead_back_to_what_they_were() -> None:
    asked = steer("volume", "set", [VOLUME, KEEPS], KEPT)
    assert asked.effect == (
        "snapshots @daily keep 7; each is kept on 2 other nodes of pool far; what there is stays",
        "now: none",
        "now: snapshots @daily keep 7, backed up in pool far on 2 nodes",
    )
    command = "corral volume set data --snapshots '@daily keep 7' --backup --backup-pool far --copies 2"
    assert asked.command == command
    options = vars(parse(shlex.split(command)[1:]))
    assert (options["snapshots"], options["backup"], options["backup_pool"], options["copies"]) == (
        "@daily keep 7", True, "far", 2,
    )  # fmt: skip
    none = steer("volume", "set", [KEEPS], Arguments())
    assert none.command == "corral volume set data --snapshots '' --no-backup"
    assert none.effect[0] == "no snapshots by the clock any more; what there is stays"
    assert vars(parse(shlex.split(none.command)[1:]))["backup"] is False
    (back,) = [step.back for step in none.steps]
    assert back is not None and back.arguments == KEPT
    unwise = steer("volume", "set", [VOLUME], Arguments(backup="yes"))
    assert unwise.effect[-1] == "refused: what is backed up is what the clock has taken"
    assert "another node of the same pool" in unwise.effect[0]
    assert steer("volume", "set", [GONE, VOLUME], KEPT).left_out == (
        ("data", "is deleted: bring it back first"),
    )


def test_a_pool_that_is_removed_is_made_again_as_it_was() -> None:
    gone = steer("pool", "pool_remove", [POOL])
    assert gone.command == "corral pool rm fast" and "refused" not in " ".join(gone.effect)
    used = steer("pool", "pool_remove", [replace(POOL, volumes=2), replace(POOL, name="b")])
    assert used.effect[1] == "refused while volumes are in it: fast" and len(used.command.splitlines()) == 2
    (step,) = gone.steps
    assert step.back is not None and step.back.verb == "pool_create"
    wanted = pool_of("fast", step.back.arguments)
    assert (wanted.type, wanted.nodes, wanted.path, wanted.size) == (
        "replicated", ["n1", "n2"], "/srv/{node}", "1024MiB",
    )  # fmt: skip
    assert (wanted.tier, wanted.encrypt, wanted.compress, wanted.replicas) == ("ssd", True, False, 2)
    again = steer_create_pool(replace(step.back.arguments, name="fast"))
    options = vars(parse(shlex.split(again.command)[1:]))
    assert (options["name"], options["nodes"], options["replicas"], options["type"], options["encrypt"]) == (
        "fast", "n1,n2", 2, "replicated", True,
    )  # fmt: skip
    assert again.effect == (
        "1024MiB on each of 2 nodes, encrypted at rest; each volume lies on 2 nodes",
        "folder /srv/{node}",
    )
    (made,) = again.steps
    assert made.back is not None and made.back.verb == "pool_remove"
    assert has_come(made, POOL) and not has_come(step, POOL)
    bare = pool_of("b", Arguments(nodes="n1", path="/b", size="1GiB", pool_type="replicated"))
    assert (bare.replicas, bare.tier) == (2, "standard")
    assert pool_of("b", Arguments(nodes="n1", path="/b", size="1GiB")).replicas == 1
    said = {each.field: str(getattr(step.back.arguments, each.field)) for each in blanks_of_pool([])}
    assert filled(said | {"name": "fast"}) == replace(step.back.arguments, name="fast")
