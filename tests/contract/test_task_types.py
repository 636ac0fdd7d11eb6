"""The coordinator judges inputs without asking the database: both must name the same keys."""

from __future__ import annotations

import pytest

from coordinator.core.task_types import REQUIRED_INPUT
from tests.contract.conftest import Contract


@pytest.mark.contract("S4.30")
async def test_the_standard_types_need_the_same_keys_in_both(corral: Contract) -> None:
    rows = await corral.rows("select name, required_input from corral.task_types where standard")
    assert {name: tuple(keys) for name, keys in rows} == REQUIRED_INPUT
