"""The list of what was done from a console."""

from __future__ import annotations

from tui.view.amounts import NONE
from tui.view.deeds import SIGNS, Deed, Progress
from tui.view.fields import Field
from tui.view.grid import GridColumn
from tui.view.instants import local_short
from tui.view.listings import Listing

_TONES = {
    Progress.PENDING: "wait",
    Progress.ACKNOWLEDGED: "busy",
    Progress.APPLIED: "ok",
    Progress.FAILED: "bad",
}

DEEDS: Listing[Deed] = Listing(
    noun="deeds",
    columns=(
        GridColumn(
            field=Field("at", "WHEN", lambda deed, now_s: local_short(deed.at_s, now_s=now_s)), priority=2
        ),
        GridColumn(field=Field("mark", "S", lambda deed, _: SIGNS[deed.progress], tinted=True)),
        GridColumn(
            field=Field("progress", "STATE", lambda deed, _: str(deed.progress), tinted=True), priority=1
        ),
        GridColumn(field=Field("command", "COMMAND", lambda deed, _: deed.command), least=20, most=60),
        GridColumn(field=Field("said", "ANSWER", lambda deed, _: deed.said), priority=3, least=12, most=80),
        GridColumn(
            field=Field("audit", "AUDIT", lambda deed, _: deed.audit or NONE),
            priority=4,
            most=36,
            optional=True,
        ),
    ),
    key=lambda deed: f"{deed.at_s} {deed.step.noun} {deed.step.target}",
    tone=lambda deed: _TONES[deed.progress],
)
