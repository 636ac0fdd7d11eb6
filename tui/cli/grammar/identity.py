"""Verbs about who one is, and who else may come in."""

from __future__ import annotations

from tui.cli.options import add_at
from tui.cli.parser import Parser, Verbs, verb

HEADING = "machines and people"

VERBS = {
    "token": ("tui.cli.tokens", "token"),
    "join": ("tui.cli.join", "join"),
    "login": ("tui.cli.login", "login"),
    "logout": ("tui.cli.login", "logout"),
    "whoami": ("tui.cli.login", "whoami"),
    "users": ("tui.cli.people", "users"),
    "share": ("tui.cli.people", "share"),
    "connections": ("tui.cli.connections", "connections"),
}


def add(verbs: Verbs, shared: Parser) -> None:
    token = verb(
        verbs, shared, "token", "let a machine or a person in, once; see and take back what was given"
    )
    token.add_argument("action", choices=("node", "user", "list", "revoke"), metavar="node|user|list|revoke")
    token.add_argument(
        "name", nargs="?", metavar="NAME|ID", help="of the node, the user, or the token to revoke"
    )
    token.add_argument(
        "--role", choices=("readonly", "user", "operator", "admin"), help="of a new user (default: user)"
    )
    token.add_argument("--ttl", metavar="TIME", help="how long it can be used: 10m, 1h, 7d (default: 1h)")
    join = verb(
        verbs, shared, "join", "make this machine a node of a cluster elsewhere", formats=("table", "json")
    )
    join.add_argument("address", metavar="URL", help="what corral up --listen printed: tls://HOST:PORT")
    join.add_argument(
        "token",
        nargs="?",
        metavar="TOKEN",
        help="of corral token node; - reads stdin (default: CORRAL_TOKEN)",
    )
    join.add_argument(
        "--name", metavar="NODE", help="under which name (default: the token's, else the host's)"
    )
    join.add_argument("--label", action="append", default=[], metavar="NAME=VALUE", help="label of the node")
    join.add_argument("--cpu", metavar="CORES", help="offer so many, not all")
    join.add_argument("--memory", metavar="SIZE", help="offer so much, not all")
    join.add_argument("--net", metavar="RATE", help="offer so much, not the speed of its data interface")
    join.add_argument(
        "--can",
        action="append",
        metavar="CAPABILITY",
        help="it can run the tools that ask for this: text_generation; repeatable",
    )
    join.add_argument(
        "--interface",
        action="append",
        metavar="NAME=TYPE",
        help="what a network interface is for: eth1=data; the node needs it; repeatable",
    )
    login = verb(
        verbs, shared, "login", "use a cluster elsewhere from this account", formats=("table", "json")
    )
    login.add_argument(
        "address", nargs="?", metavar="URL", help="tls://HOST:PORT; without: this machine's own cluster"
    )
    login.add_argument(
        "token",
        nargs="?",
        metavar="TOKEN",
        help="of corral token user; - reads stdin (default: CORRAL_TOKEN)",
    )
    login.add_argument(
        "--nats-context",
        nargs="?",
        const="corral",
        metavar="NAME",
        help="also write a context for the nats command (default: corral)",
    )
    verb(verbs, shared, "logout", "give the login of this account back", formats=("table", "json"))
    verb(verbs, shared, "whoami", "your name and role, and how any NATS client reaches the cluster")
    add_at(verb(verbs, shared, "users", "who there is, and who has used how much of the cluster"))
    share = verb(
        verbs, shared, "share", "what somebody's part of the cluster is", formats=("table", "json", "name")
    )
    share.add_argument("user", metavar="USER")
    share.add_argument("shares", type=int, metavar="SHARES", help="as against the others' (at first 1 each)")
    verb(verbs, shared, "connections", "who is connected to the bus, from where, and how much they say")
