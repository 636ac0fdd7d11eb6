"""Coordinators under a supervisor: one, and with `corral up --standby` another that waits to take its place.

Only the leader listens on the bus, so each says in a file how it is (`coordinator.presence`); of the one
that leads it is also asked whether it answers. Who goes on saying something is not taken for hung, however
late its answers are: it, or the machine, has much to do, and killing it would only add to that.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

from bus.layout import Layout
from bus.supervision import CoordinatorRole, CoordinatorState, read_coordinator_state
from coordinator.supervisor.child import Launch, python
from coordinator.supervisor.keeper import Service, Unhealthy

COORDINATOR = "coordinator"
STANDBY = "coordinator-2"

EXIT_NOT_LEADER = 75
"""It has lost the leadership: no failure, it stands by with its next start."""

ASK_TIMEOUT_S = 4.0
"""Below the keeper's own bound, which would take a late answer for silence."""

SILENT_S = 5.0
"""It speaks each second."""

HUNG_AFTER_S = 30.0


def coordinator_service(
    layout: Layout,
    name: str,
    *,
    prepare: Callable[[], Awaitable[None]],
    ask: Callable[[], Awaitable[None]],
    needs: tuple[str, ...],
) -> Service:
    """`prepare` writes its configuration (LaunchFailed), `ask` asks whoever leads (Unhealthy)."""
    path = layout.coordinator_state(name)

    async def launch() -> Launch:
        await prepare()
        path.unlink(missing_ok=True)
        return python(layout, name, "coordinator", "serve", str(layout.data), "--name", name)

    async def probe() -> str:
        state = read_coordinator_state(path)
        if state is None or state.role is CoordinatorRole.STARTING:
            raise Unhealthy("not up yet")
        age_s = time.monotonic() - state.said_s
        if age_s > SILENT_S:
            raise Unhealthy(f"no word of it for {age_s:.0f} s", silent=True)
        if state.trouble:
            raise Unhealthy(f"{role_text(state)}: {state.trouble}")
        if state.role is CoordinatorRole.LEADING:
            try:
                async with asyncio.timeout(ASK_TIMEOUT_S):
                    await ask()
            except TimeoutError:
                raise Unhealthy(f"{role_text(state)}: no answer within {ASK_TIMEOUT_S:g} s") from None
        return role_text(state)

    return Service(
        name=name,
        launch=launch,
        probe=probe,
        needs=needs,
        hung_after_s=HUNG_AFTER_S,
        calm_codes=(EXIT_NOT_LEADER,),
    )


def role_text(state: CoordinatorState) -> str:
    """For people: "leading, epoch 7"."""
    return f"{state.role}, epoch {state.epoch}" if state.role is CoordinatorRole.LEADING else str(state.role)
