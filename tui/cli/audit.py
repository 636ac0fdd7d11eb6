"""`audit`: who did what."""

from __future__ import annotations

from argparse import Namespace

from bus.bulk import Audited, AuditList
from tui.cli import output
from tui.cli.connect import client
from tui.cli.diagnostics import CommandError, Exit
from tui.cli.listing import Listing, Page, chosen_fields, show
from tui.view.columns import AUDIT_FIELDS, details_text
from tui.view.instants import local

AUDIT = Listing[Audited](
    noun="audit",
    fields=AUDIT_FIELDS,
    names=lambda entry: (entry.id,),
    tone=lambda entry: "warn" if entry.outcome == "refused" else "",
)


async def audit(arguments: Namespace) -> int:
    """Entries newest first; one in full where its id is given."""
    chosen = chosen_fields(AUDIT, arguments)
    async with client(arguments) as corral:
        if arguments.id:
            found = (await corral.audits(AuditList(id=arguments.id))).audits
            if not found:
                message = f"no entry {arguments.id} in the audit that you may see"
                raise CommandError(
                    "E_NOT_FOUND", message, exit=Exit.NOT_FOUND, hint="corral audit lists them"
                )
            output.each(arguments.output, found, name=lambda entry: entry.id, text=_told)
            return Exit.OK

        async def fetch(limit: int, cursor: str) -> Page[Audited]:
            answer = await corral.audits(
                AuditList(filter=arguments.filter, sort=arguments.sort, limit=limit, cursor=cursor)
            )
            return Page(answer.audits, answer.next)

        return await show(AUDIT, chosen, arguments, fetch, corral=corral)


def _told(entry: Audited) -> list[str]:
    outcome = "" if entry.outcome == "done" else f" ({entry.outcome})"
    return [
        f"{local(entry.at)}  {entry.actor}: {entry.action} {entry.object}{outcome}",
        f"details    {details_text(entry.details)}",
    ]
