"""Neighbouring versions work together and people are told; what is further apart stays outside."""

from __future__ import annotations

import pytest

from bus.errors import ApiError
from bus.messages import RegisterReply
from bus.values import NodeName
from coordinator.skew import TooFarApart, check_version
from tests.unit.coordinator.shell import running_shell


@pytest.mark.parametrize("theirs", ["1.4.0", "1.4.17", "1.4.0rc1", "1.4"])
def test_our_own_version_is_not_worth_a_word(theirs: str) -> None:
    assert check_version(theirs, ours="1.4.2", node="n1") == ""


@pytest.mark.parametrize(
    ("theirs", "word"), [("1.3.9", "older"), ("1.5.0", "newer"), ("x", "unknown"), ("", "unknown")]
)
def test_neighbours_are_told_of(theirs: str, word: str) -> None:
    told = check_version(theirs, ours="1.4.0", node="n1")
    assert word in told and "n1" in told


@pytest.mark.parametrize("theirs", ["1.2.9", "1.6.0", "0.4.0", "2.4.0", "2.0.0"])
def test_whoever_is_further_away_is_refused(theirs: str) -> None:
    with pytest.raises(TooFarApart) as refused:
        check_version(theirs, ours="1.4.0", node="n1")
    error = refused.value.error
    assert (error.code, error.field, error.expected) == ("E_VERSION", "/version", "1.3 to 1.5")


def test_a_coordinator_that_is_no_release_compares_nothing() -> None:
    assert check_version("9.9.9", ours="", node="n1") == ""


@pytest.mark.contract("S1.30")
async def test_an_old_agent_joins_with_a_warning_and_one_too_old_does_not() -> None:
    async with running_shell(version="0.4.0") as shell:
        agent = await shell.agent("n1", version="0.3.0")
        assert shell.cluster.nodes[NodeName("n1")].version == "0.3.0"
        (event,) = [each for each in shell.records if each.event_type == "version_skew"]
        assert (event.severity, event.node) == ("warning", "n1")
        with pytest.raises(ApiError, match="more than one minor version") as refused:
            await shell.agent("n2", version="0.2.9")
        assert refused.value.error.code == "E_VERSION"
        assert "n2" not in shell.cluster.nodes
        with pytest.raises(ApiError, match="older than its coordinator"):
            await agent.register(version="0.3.0", protocol=0)
        with pytest.raises(ApiError, match="newer than its coordinator"):
            await agent.register(version="0.5.0", protocol=2)
        assert isinstance(await agent.register(version="0.4.0"), RegisterReply)
        assert shell.cluster.nodes[NodeName("n1")].version == "0.4.0"
