"""Verbs for pools and the volumes in them."""

from __future__ import annotations

from tui.cli.options import whole
from tui.cli.parser import Parser, Verbs, verb

HEADING = "storage"

VERBS = {
    "pool": ("tui.cli.storage", "pool"),
    "volume": ("tui.cli.storage", "volume"),
}

FORMS = ("table", "json", "jsonl", "name")
POOL_ACTIONS = ("create", "ls", "list", "show", "rm")
VOLUME_ACTIONS = (
    *("create", "ls", "list", "show", "set", "rm", "undelete"),
    *("snapshot", "unsnapshot", "backup", "backups", "unbackup", "restore", "promote"),
)
MODES = ("ReadWriteOnce", "ReadOnlyMany", "ReadWriteMany")


def add(verbs: Verbs, shared: Parser) -> None:
    pool = verb(verbs, shared, "pool", "folders of nodes in which volumes may lie", formats=FORMS)
    pool.add_argument("action", choices=POOL_ACTIONS, metavar="create|ls|show|rm")
    pool.add_argument("name", nargs="?", metavar="NAME")
    pool.add_argument(
        "--type", default="local", metavar="TYPE", help="of create: local (default), replicated, …"
    )
    pool.add_argument("--nodes", metavar="A,B", help="of create: the nodes that have the folder")
    pool.add_argument("--path", metavar="PATH", help="of create: the folder, on each of them")
    pool.add_argument("--size", metavar="SIZE", help='of create: what volumes may have on each, "10GiB"')
    pool.add_argument("--tier", default="standard", metavar="TIER", help="of create: nvme, ssd, standard…")
    pool.add_argument("--compress", action="store_true", help="of create: at rest, with Zstandard")
    pool.add_argument("--encrypt", action="store_true", help="of create: at rest, with a key on the nodes")
    pool.add_argument(
        "--replicas",
        type=whole("--replicas", least=1, most=100),
        default=None,
        metavar="N",
        help="of create: on how many nodes each volume lies (default: 1; 2 of a replicated pool)",
    )
    volume = verb(verbs, shared, "volume", "folders that outlive the tasks which use them", formats=FORMS)
    volume.add_argument("action", choices=VOLUME_ACTIONS, metavar="ACTION", help=", ".join(VOLUME_ACTIONS))
    volume.add_argument("name", nargs="?", metavar="NAME")
    volume.add_argument("snapshot", nargs="?", metavar="SNAPSHOT", help="or BACKUP; of those, and restore")
    volume.add_argument(
        "--at", default=None, metavar="TIME", help="of restore: the newest snapshot of then (2h ago: 2h)"
    )
    volume.add_argument(
        "--snapshots",
        default=None,
        metavar="WHEN",
        help='of create and set: by the clock, "@daily keep 7" (set "": none)',
    )
    volume.add_argument("--pool", metavar="POOL", help="of create, ls, backup; restore of a lost one")
    volume.add_argument("--size", metavar="SIZE", help='of create: "10GiB"')
    volume.add_argument("--mode", choices=MODES, default=MODES[0], help="of create: who may write")
    volume.add_argument(
        "--node", default="", metavar="NODE", help="of create (default: most room), and restore"
    )
    volume.add_argument("--path", default="", metavar="PATH", help="of create: where tasks find it")
    volume.add_argument("--from", dest="source", default="", metavar="VOLUME@SNAPSHOT", help="of create")
    volume.add_argument("--class", dest="storage_class", default="", metavar="WORD", help="of create")
    volume.add_argument("--shared", action="store_true", help="of create: everybody's tasks may have it")
    volume.add_argument(
        "--backup",
        action="store_true",
        default=None,
        help="of create and set: keep what --snapshots takes on another node too",
    )
    volume.add_argument(
        "--no-backup", dest="backup", action="store_false", help="of set: no more, what there is stays"
    )
    volume.add_argument(
        "--backup-pool",
        default=None,
        metavar="POOL",
        help="of create and set (default: its own)",
    )
    volume.add_argument(
        "--copies",
        type=whole("--copies", least=1, most=5),
        default=None,
        metavar="N",
        help="of create, set and backup: on how many nodes a backup lies (default: 1)",
    )
    volume.add_argument("--now", action="store_true", help="of rm: at once, without the days of grace")
    volume.add_argument("--lost", action="store_true", help="of rm --now: wait for no lost node (operators)")
    volume.add_argument("--deleted", action="store_true", help="of ls: those that are not gone yet, too")
    volume.add_argument("--no-wait", action="store_true", help="of create, snapshot, backup, restore")
