"""What an agent says of its host, as the database can hold it."""

from __future__ import annotations

import pytest

from coordinator.store.node_rows import address, host_name


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8::1", "2001:db8::1"),
        ("fe80::8c01:3eff:fe6f:175c%br-cor", "fe80::8c01:3eff:fe6f:175c"),
        ("999.1.1.1", None),
        ("%eth0", None),
        ("", None),
        (None, None),
    ],
)
def test_an_address_is_one_that_inet_holds(text: str | None, kept: str | None) -> None:
    assert address(text) == kept


@pytest.mark.parametrize(
    ("reported", "kept"), [("box.lab", "box.lab"), ("a b", "node-1"), ("", "node-1"), ("x" * 300, "node-1")]
)
def test_a_host_name_is_legal_or_made_of_the_nodes(reported: str, kept: str) -> None:
    assert host_name(reported, "node_1") == kept
