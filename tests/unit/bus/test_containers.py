"""Names of images and mounts: as registries and paths allow, and nothing that is an option to a runtime."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus.containers import Mount, is_image, parse_mount

DIGEST = "sha256:" + "0a" * 32
SQL = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._/:@-]*\Z")
"""The check of the column `jobs.image`: whatever is accepted must go in there."""


@pytest.mark.parametrize(
    "image",
    [
        "busybox", "python:3.11", "library/python:3.11-slim", "registry:5000/team/app", f"a/b@{DIGEST}",
        "Registry.Example.org/a_b/c--d:Tag_1.x", f"localhost/x:1@{DIGEST}", "oci-archive:/srv/Images/a.tar",
        "docker-archive:/srv/a.tar", "x" * 500,
    ],
)  # fmt: skip
def test_images_as_registries_name_them(image: str) -> None:
    assert is_image(image)
    assert SQL.match(image)


@pytest.mark.parametrize(
    "image",
    [
        "", "x; rm -rf /", "../../x", "x" * 501, "-x", "--rm", "a b", "a\n", "a$b", "A", "a//b", "a/", "/a",
        "a:", "a:b:c", "a@b", "a..b", "oci-archive:a", "oci-archive:/a/../b", "dir:/etc", "dir:etc", "docker://a",
        "é", "a@sha256:0A",
    ],
)  # fmt: skip
def test_what_is_no_image(image: str) -> None:
    assert not is_image(image)


@given(st.text(max_size=40))
def test_whatever_is_accepted_is_no_option_and_can_be_stored(text: str) -> None:
    if is_image(text):
        assert SQL.match(text) and not text.startswith("-")


@pytest.mark.parametrize(
    ("text", "mount"),
    [
        ("/data", Mount("/data", "/data")),
        ("/data:ro", Mount("/data", "/data", True)),
        ("/data:rw", Mount("/data", "/data")),
        ("/data:/in", Mount("/data", "/in")),
        ("/a b:/in:ro", Mount("/a b", "/in", True)),
    ],
)
def test_mounts(text: str, mount: Mount) -> None:
    assert parse_mount(text) == mount


@pytest.mark.parametrize(
    "text",
    [
        "",
        "data",
        "/a/../b",
        "/a:b",
        "/a:/b:/c",
        "/a:/b:rx",
        "/a:/",
        "/",
        "/a,b",
        "/a\n",
        "ro",
        ":ro",
        "/" + "x" * 1024,
    ],
)
def test_what_is_no_mount(text: str) -> None:
    with pytest.raises(ValueError, match="mount"):
        parse_mount(text)
