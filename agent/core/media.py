"""What a file is, judged by its first bytes and never by its name. Pure.

After the WHATWG standard "MIME Sniffing" (sections 6 and 7), which browsers follow too: so what we call an
image no browser will run as a page. Added to it are the formats that tasks leave. A type that could run
scripts (text/html, image/svg+xml) is found before plain text; what is neither known nor text is octets.
"""

from __future__ import annotations

import re

HEAD_BYTES = 1445
"""How much of a file is looked at: the standard's resource header."""

OCTETS = "application/octet-stream"
TEXT = "text/plain"
HTML = "text/html"

_MAGIC: tuple[tuple[bytes, str], ...] = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"BM", "image/bmp"),
    (b"II*\x00", "image/tiff"),
    (b"MM\x00*", "image/tiff"),
    (b"\x00\x00\x01\x00", "image/x-icon"),
    (b"%PDF-", "application/pdf"),
    (b"%!PS-Adobe-", "application/postscript"),
    (b"\x1f\x8b\x08", "application/gzip"),
    (b"BZh", "application/x-bzip2"),
    (b"\xfd7zXZ\x00", "application/x-xz"),
    (b"\x28\xb5\x2f\xfd", "application/zstd"),
    (b"PK\x03\x04", "application/zip"),
    (b"PK\x05\x06", "application/zip"),
    (b"7z\xbc\xaf\x27\x1c", "application/x-7z-compressed"),
    (b"Rar!\x1a\x07", "application/vnd.rar"),
    (b"OggS\x00", "application/ogg"),
    (b"ID3", "audio/mpeg"),
    (b"fLaC", "audio/flac"),
    (b"MThd\x00\x00\x00\x06", "audio/midi"),
    (b"\x1aE\xdf\xa3", "video/webm"),
    (b"SQLite format 3\x00", "application/vnd.sqlite3"),
    (b"\x89HDF\r\n\x1a\n", "application/x-hdf5"),
    (b"\x93NUMPY", "application/x-npy"),
    (b"PAR1", "application/vnd.apache.parquet"),
    (b"ARROW1", "application/vnd.apache.arrow.file"),
    (b"\x7fELF", "application/x-elf"),
    (b"MZ", "application/x-msdownload"),
    (b"\x00asm", "application/wasm"),
    (b"wOF2", "font/woff2"),
    (b"wOFF", "font/woff"),
)
_RIFF = {b"WEBP": "image/webp", b"WAVE": "audio/wave", b"AVI ": "video/avi"}

_TAGS = (
    b"!DOCTYPE HTML", b"HTML", b"HEAD", b"SCRIPT", b"IFRAME", b"H1", b"DIV", b"FONT", b"TABLE", b"A",
    b"STYLE", b"TITLE", b"B", b"BODY", b"BR", b"P", b"!--",
)  # fmt: skip
_HTML = re.compile(rb"<(?:" + b"|".join(re.escape(tag) for tag in _TAGS) + rb")(?:[ >\t\n\x0c\r/]|$)", re.I)
_SPACE = b"\t\n\x0c\r "
_MARKS = (b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")
_BINARY = re.compile(rb"[\x00-\x08\x0b\x0e-\x1a\x1c-\x1f]")


def media_type(head: bytes) -> str:
    """The type of a file whose first HEAD_BYTES (or all, if it is shorter) are `head`."""
    head = head[:HEAD_BYTES]
    if not head:
        return TEXT
    marked = head.startswith(_MARKS)
    text = head[3:] if head.startswith(_MARKS[0]) else head
    text = text.lstrip(_SPACE)
    page = _page(text)
    if page:
        return page
    found = _binary(head)
    if found:
        return found
    if not marked and _BINARY.search(head):
        return OCTETS
    return "application/json" if text[:1] in (b"{", b"[") and b'"' in text else TEXT


def _page(text: bytes) -> str:
    """HTML and XML, in front of which space may stand."""
    if _HTML.match(text) or text[:3] == b"<!-":
        return HTML
    if text.startswith(b"<?xml") or text[:4].lower() == b"<svg":
        if re.search(rb"<(?:\w+:)?html", text, re.I):
            return HTML
        return "image/svg+xml" if re.search(rb"<svg[\s>]", text, re.I) else "text/xml"
    return ""


def _binary(head: bytes) -> str:
    if head[:4] == b"RIFF" and head[8:12] in _RIFF:
        return _RIFF[head[8:12]]
    if head[257:262] == b"ustar":
        return "application/x-tar"
    if head[4:8] == b"ftyp":
        return "video/mp4"
    is_text = not _BINARY.search(head)
    for magic, kind in _MAGIC:  # a short mark could be the first letters of a text
        if head.startswith(magic) and not (is_text and len(magic) <= 3):
            return kind
    return ""
