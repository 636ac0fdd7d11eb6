"""The verb for addresses that are called when something happens."""

from __future__ import annotations

from tui.cli.options import whole
from tui.cli.parser import Parser, Verbs, verb

HEADING = "notifications"

VERBS = {"webhook": ("tui.cli.webhooks", "webhook")}

ACTIONS = ("add", "ls", "list", "show", "rm", "enable", "test", "deliveries", "redeliver")


def add(verbs: Verbs, shared: Parser) -> None:
    webhook = verb(
        verbs,
        shared,
        "webhook",
        "have an address called, signed, when jobs end or nodes fall silent",
        formats=("table", "json", "jsonl", "name"),
    )
    webhook.add_argument("action", choices=ACTIONS, metavar="ACTION", help=f"one of {', '.join(ACTIONS)}")
    webhook.add_argument(
        "what", nargs="?", metavar="URL|ID", help="add: the address; redeliver: a delivery; else a webhook"
    )
    webhook.add_argument(
        "--on", metavar="EVENTS", help="add: job.failed,node.lost,…; docs/guides/webhooks.md lists them"
    )
    webhook.add_argument(
        "--job",
        type=whole("--job", least=1, most=10**18 - 1),
        metavar="JOB",
        help="add: of jobs only this one, by its number",
    )
    webhook.add_argument(
        "--user", metavar="NAME", help="add: of jobs only this user's; ls: only whose webhooks"
    )
    webhook.add_argument(
        "--tag", metavar="NAME=VALUE", help="add: of jobs only those that have it in their metadata"
    )
    webhook.add_argument(
        "--secret-file", metavar="FILE", help="add: what signs (default: one is made, and shown once)"
    )
    webhook.add_argument(
        "--limit",
        type=whole("--limit", least=1, most=1000),
        default=20,
        metavar="N",
        help="deliveries: so many, newest first (default: %(default)s)",
    )
