"""What a file is, by its first bytes: what its name claims is never asked."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.core.media import HEAD_BYTES, media_type

KNOWN = (
    (b"", "text/plain"),
    (b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR", "image/png"),
    (b"\xff\xd8\xff\xe0\x00\x10JFIF", "image/jpeg"),
    (b"BM\x36\x00\x00\x00", "image/bmp"),
    (b"BM is a text", "text/plain"),
    (b"\x1f\x8b\x08\x00", "application/gzip"),
    (b"PK\x03\x04\x14\x00", "application/zip"),
    (b"%PDF-1.7\n", "application/pdf"),
    (b"RIFF\x24\x00\x00\x00WAVEfmt ", "audio/wave"),
    (b"RIFF\x24\x00\x00\x00ODD!", "application/octet-stream"),
    (b"RIFF is short", "text/plain"),
    (b"x" * 257 + b"ustar\x0000", "application/x-tar"),
    (b"\x00\x00\x00\x18ftypmp42", "video/mp4"),
    (b"\x93NUMPY\x01\x00", "application/x-npy"),
    (b"\x00\x01\x02", "application/octet-stream"),
    (b"epoch,loss\n1,0.5\n", "text/plain"),
    ("żółć".encode(), "text/plain"),
    (b"\xff\xfeh\x00i\x00", "text/plain"),
    (b'  {"loss": 1}', "application/json"),
    (b"[ini]\nx = 1", "text/plain"),
    (b"<!DOCTYPE html><p>", "text/html"),
    (b"\xef\xbb\xbf \n<script>alert(1)</script>", "text/html"),
    (b"<!-- hidden --><b>x", "text/html"),
    (b"<Html>", "text/html"),
    (b"<htmlx>", "text/plain"),
    (b'<?xml version="1.0"?><note/>', "text/xml"),
    (b'<?xml version="1.0"?><svg xmlns="x">', "image/svg+xml"),
    (b"<svg onload=alert(1)>", "image/svg+xml"),
    (b'<?xml version="1.0"?><html xmlns="http://www.w3.org/1999/xhtml">', "text/html"),
    (b'<svg><foreignObject><x:html>', "text/html"),
)  # fmt: skip


@pytest.mark.parametrize(("head", "kind"), KNOWN, ids=lambda value: ascii(value)[:30])
def test_known_beginnings(head: bytes, kind: str) -> None:
    assert media_type(head) == kind


@given(st.binary(max_size=40), st.binary(max_size=100))
def test_what_lies_behind_the_head_changes_nothing(head: bytes, more: bytes) -> None:
    full = head.ljust(HEAD_BYTES, b"x")
    assert media_type(full) == media_type(full + more)
