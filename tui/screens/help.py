"""The keys, by where they work."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Static

TEXT = """\
everywhere   ?  this help        q  leave (the cluster goes on running)
             Esc or -  back      1  overview
tables       j k or arrows  move    g G  first, last    Enter  open
overview     2  nodes   3  jobs   C  cancel the job under the cursor
tasks        l or Enter  output of the task   C  cancel it
output       e  stdout or stderr   arrows, PgUp, PgDn  scroll

States       ◌ pending  ○ queued  ◔ assigned  ▶ running  ✔ completed
             ✖ failed  ◷ timeout  ⊘ cancelled  ↻ retrying  ⇄ moved to another node
First line   N nodes up/all   R running   P waiting   F failed tasks"""


class Help(ModalScreen[None]):
    """Any of the closing keys leaves it."""

    BINDINGS = [Binding("escape,question_mark,q,enter", "dismiss", "close")]

    def compose(self) -> ComposeResult:
        """One page."""
        with VerticalScroll(classes="box"):
            yield Static(TEXT, markup=False)
