"""The codes of addresses that a cluster is asked to call. Part of `bus.codes`."""

from __future__ import annotations

from bus.code import Code

WEBHOOK_CODES: dict[str, Code] = {
    "E_URL": Code(
        "not an address that may be called",
        "Webhooks go to http:// and https:// addresses of hosts that the setting webhooks.hosts names, and to"
        " public addresses alone unless it names the network; never through a redirect.",
        "corral config explain webhooks.hosts; docs/guides/webhooks.md",
    ),
}
