"""People: what each has used and waits for; for admins the tokens, and who is connected."""

from __future__ import annotations

from textual import on
from textual.binding import Binding

from bus.api import Token
from bus.housekeeping import Connection
from bus.people import User
from bus.values import Role
from tui.client.pages import Slice
from tui.client.session import Deltas
from tui.client.source import Source
from tui.screens.jobs import JobsScreen
from tui.screens.listing import ListScreen, ShortList
from tui.view.amounts import mebibytes
from tui.view.equipment import CONNECTIONS, TOKENS, USERS, token_state, user_facts
from tui.view.facts import fact
from tui.view.instants import local
from tui.view.lines import Line
from tui.widgets.virtual_table import VirtualTable

ADMINS = frozenset({"tokens", "connections"})


class UsersScreen(ShortList, ListScreen[User]):
    """Enter on somebody shows their jobs. Who is no operator sees themselves."""

    BINDINGS = [
        Binding("t", "tokens", "tokens", id="users.tokens"),
        Binding("o", "connections", "connections", id="users.connections"),
    ]
    listing = USERS
    crumb = "users"
    empty = "Nobody yet.\n\nAn admin lets people in: corral token user NAME"

    async def fetch(self, source: Source, *, cursor: str, limit: int, known: str = "") -> Slice[User]:
        """All of them at once."""
        answer = await source.users(known=known, at=self.console.moment)
        suspended = sum(not user.active for user in answer.users)
        states = {"suspended": suspended} if suspended else {}
        return Slice(answer.users, "", len(answer.users), states, answer.tag, answer.unchanged)

    def absorb(self, deltas: Deltas) -> bool:
        """What people hold follows from their jobs."""
        return bool(deltas.jobs)

    def preview(self, row: User) -> list[Line]:
        """Their standing."""
        return user_facts(row, now_s=self.now_s)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Tokens and connections are the admins'."""
        if action in ADMINS and self.role is not Role.ADMIN:
            return False
        return super().check_action(action, parameters)

    @on(VirtualTable.Selected)
    def open_jobs(self) -> None:
        """Their jobs."""
        if (user := self.table.row) is not None:
            self.app.push_screen(JobsScreen(filter=f"user={user.name}"))

    def action_tokens(self) -> None:
        """The tokens that let people and machines in."""
        self.app.push_screen(TokensScreen())

    def action_connections(self) -> None:
        """Who is connected now."""
        self.app.push_screen(ConnectionsScreen())


class TokensScreen(ShortList, ListScreen[Token]):
    """Which there are, and what became of them. The secret was told once, to who made it."""

    past_note = "tokens as of now"
    listing = TOKENS
    crumb = "tokens"
    empty = "No tokens.\n\nIn a shell: corral token user NAME"

    async def fetch(self, source: Source, *, cursor: str, limit: int, known: str = "") -> Slice[Token]:
        """All of them at once."""
        answer = await source.tokens()
        return Slice(answer.tokens, "", len(answer.tokens))

    def absorb(self, deltas: Deltas) -> bool:
        """Nothing on the feed tells of them."""
        return False

    def preview(self, row: Token) -> list[Line]:
        """The token in full."""
        glyph, word, tone = token_state(row, self.console.now_s)
        return [
            fact("token", row.id),
            fact("state", f"{glyph} {word}", tone),
            fact("for", f"{row.kind} {row.name or ''}"),
            fact("made", f"{local(row.created_at)} by {row.created_by}"),
            fact("expires", local(row.expires_at)),
            fact("used", local(row.used_at)),
            fact("revoked", local(row.revoked_at)),
            Line(""),
            Line(f"corral token revoke {row.id}", "idle"),
        ]


class ConnectionsScreen(ShortList, ListScreen[Connection]):
    """Everybody who is connected to the bus, longest first."""

    past_note = "connections as of now"
    listing = CONNECTIONS
    crumb = "connections"
    empty = "Nobody is connected that the server could name."

    async def fetch(self, source: Source, *, cursor: str, limit: int, known: str = "") -> Slice[Connection]:
        """As many as the server names."""
        answer = await source.connections()
        return Slice(answer.connections, "", answer.total)

    def absorb(self, deltas: Deltas) -> bool:
        """Nothing on the feed tells of them."""
        return False

    def preview(self, row: Connection) -> list[Line]:
        """What went to and fro."""
        return [
            fact("who", f"{row.name} ({row.peer})"),
            fact("program", row.program),
            fact("from", row.address),
            fact("since", local(row.since)),
            fact("sent", f"{mebibytes(row.bytes_in / 2**20)} in {row.messages_in:,} messages"),
            fact("got", f"{mebibytes(row.bytes_out / 2**20)} in {row.messages_out:,} messages"),
            fact("listens", f"to {row.subscriptions} subjects"),
        ]
