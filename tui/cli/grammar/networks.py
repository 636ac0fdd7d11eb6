"""Verbs for the networks that nodes are in, and the interfaces by which they are."""

from __future__ import annotations

from tui.cli.options import whole
from tui.cli.parser import Parser, Verbs, verb

HEADING = "networks"

VERBS = {
    "network": ("tui.cli.networks", "network"),
    "topology": ("tui.cli.networks", "topology"),
}

TYPES = ("ethernet", "infiniband", "roce", "omni_path")
FORMS = ("table", "json", "jsonl", "name")


def add(verbs: Verbs, shared: Parser) -> None:
    about = "network interfaces: what for, how fast, in which network, and whether they have a link"
    network = verb(verbs, shared, "network", about, formats=FORMS)
    network.add_argument("action", choices=("ls", "list"), metavar="ls")
    network.add_argument("--filter", default="", metavar="COND", help="of these nodes: 'label.rack=r01'")
    network.add_argument(
        "--limit",
        type=whole("--limit", least=1, most=10_000),
        default=500,
        metavar="N",
        help="at most so many (default: %(default)s)",
    )
    about = "networks that gangs are kept together by: declare, see, forget"
    topology = verb(verbs, shared, "topology", about, formats=FORMS)
    topology.add_argument("action", choices=("create", "ls", "list", "rm"), metavar="create|ls|rm")
    topology.add_argument("name", nargs="?", metavar="NAME")
    topology.add_argument("--subnet", metavar="SUBNET", help="create: such as 10.1.0.0/16 or fd00:1::/64")
    topology.add_argument("--bandwidth", metavar="RATE", help="create: of one link, such as 10Gbit")
    topology.add_argument(
        "--type",
        choices=TYPES,
        default="ethernet",
        metavar="TYPE",
        help="create: ethernet, infiniband, roce or omni_path (default: %(default)s)",
    )
    topology.add_argument(
        "--mtu", type=whole("--mtu", least=68, most=65_535), default=1500, metavar="BYTES",
        help="create: that its interfaces should have (default: %(default)s)",
    )  # fmt: skip
    topology.add_argument(
        "--share", type=whole("--share", least=1, most=100), default=100, metavar="PERCENT",
        help="create: of each link, that tasks may be given; the rest is for others (default: %(default)s)",
    )  # fmt: skip
    topology.add_argument("--vlan", type=whole("--vlan", least=1, most=4094), metavar="N", help="create")
    topology.add_argument("--latency", type=float, metavar="MS", help="create: between two nodes, in ms")
    topology.add_argument("--declared", action="store_true", help="ls: without those that are guessed")
