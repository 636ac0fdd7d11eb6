"""Whatever keeps an answer is said with what would bring one: a role, another version, patience."""

from __future__ import annotations

from importlib.metadata import version

import pytest

from bus.api import Whoami
from bus.errors import (
    ApiError,
    CorralError,
    DecodeError,
    Disconnected,
    Error,
    NoResponders,
    RequestTimeout,
    TooLarge,
)
from bus.values import Role
from tui.view.refusals import OTHER_VERSION, trouble_of, waiting_text

ALICE = Whoami(user="alice", role=Role.READONLY, version=version("corral"))
NEWER = Whoami(user="alice", role=Role.ADMIN, version="9.0.0")


def refused(code: str, **more: str) -> ApiError:
    return ApiError(Error(code=code, message="no", **more))


@pytest.mark.parametrize(
    ("expected", "what", "helps"),
    [
        ("user or above", "needs user, you are readonly (alice)", "ask a user"),
        ("operator or above", "needs operator, you are readonly (alice)", "ask an operator"),
        ("admin or above", "needs admin, you are readonly (alice)", "ask an admin;"),
        ("", "E_FORBIDDEN: no", "ask an admin;"),
        ("seer or above", "E_FORBIDDEN: no; expected seer or above", "ask an admin;"),
    ],
)
def test_who_may_not_hears_who_may(expected: str, what: str, helps: str) -> None:
    found = trouble_of(refused("E_FORBIDDEN", expected=expected), me=ALICE)
    assert found.what == what
    assert found.help.startswith(helps) and "ctrl-r" in found.help


def test_before_anybody_knows_who_asks_it_is_the_coordinators_word() -> None:
    found = trouble_of(refused("E_FORBIDDEN", expected="operator or above"))
    assert found.what == "E_FORBIDDEN: no; expected operator or above"


@pytest.mark.parametrize(
    "error",
    [
        DecodeError([Error(code="E_ENUM", message="unknown state frozen")]),
        refused("E_VERSION"),
        refused("E_SUBJECT"),
    ],
)
def test_another_version_is_named(error: CorralError) -> None:
    found = trouble_of(error, me=NEWER)
    assert f"(the coordinator is 9.0.0, this console {version('corral')})" in found.what
    assert found.help == OTHER_VERSION
    assert "9.0.0" not in trouble_of(error, me=ALICE).what


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (RequestTimeout("none within 5 s"), "no answer in time (none within 5 s); asked again soon"),
        (NoResponders("job.list"), "nobody answers (job.list); asked again soon"),
        (Disconnected(""), "nobody answers (Disconnected); asked again soon"),
        (refused("E_UNAVAILABLE", hint="try again"), "E_UNAVAILABLE: no (try again); ctrl-r asks again"),
        (refused("E_TOO_OFTEN"), "E_TOO_OFTEN: no; ctrl-r asks again"),
        (TooLarge("9 MiB"), "9 MiB; ctrl-r asks again"),
    ],
)
def test_what_passes_is_asked_again(error: CorralError, words: str) -> None:
    assert str(trouble_of(error, me=ALICE)).startswith(words)


def test_waiting_is_told_in_whole_seconds() -> None:
    assert [waiting_text(waited_s) for waited_s in (0.0, 1.2, 61.0)] == [
        "",
        "◐ waiting 1 s",
        "◐ waiting 61 s",
    ]
