"""A small S3 server: objects of one bucket, to whoever signs with its keys (AWS Signature, version 4)."""

from __future__ import annotations

import hashlib
import hmac
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

KEY_ID, SECRET = "corral-test", "a secret of the test"
_AUTHORIZATION = re.compile(
    r"AWS4-HMAC-SHA256 Credential=([^/]+)/(\d{8}/[^/]+/s3/aws4_request),"
    r" ?SignedHeaders=([^,]+), ?Signature=(\w+)"
)


class S3Server:
    """`objects`: by /bucket/key. `cut_after`: after so many bytes one answer breaks off."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.requests: list[str] = []
        self.url = ""
        self.cut_after: int | None = None


@contextmanager
def serving() -> Iterator[S3Server]:
    """A server on a free port of this machine."""
    server = S3Server()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            path = urlsplit(self.path).path
            server.requests.append(path)
            if not _is_signed(self):
                return self._answer(403, b"<Error><Code>SignatureDoesNotMatch</Code></Error>")
            found = server.objects.get(path)
            if found is None:
                return self._answer(404, b"<Error><Code>NoSuchKey</Code></Error>")
            begin = int(self.headers.get("Range", "bytes=0-").removeprefix("bytes=").split("-")[0])
            self._answer(206 if begin else 200, found[begin:], of=len(found), begin=begin)

        def _answer(self, status: int, body: bytes, *, of: int = 0, begin: int = 0) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.send_header("ETag", '"one"')
            self.send_header("Last-Modified", "Mon, 23 Nov 2026 00:00:00 GMT")
            if status == 206:
                self.send_header("Content-Range", f"bytes {begin}-{of - 1}/{of}")
            self.end_headers()
            cut, server.cut_after = server.cut_after, None
            self.wfile.write(body[:cut])
            if cut is not None:
                self.close_connection = True

        def log_message(self, format: str, *arguments: object) -> None:
            pass

    httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.url = f"http://127.0.0.1:{httpd.server_address[1]}"
    thread = threading.Thread(target=httpd.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        httpd.shutdown()
        httpd.server_close()
        thread.join()


def _is_signed(request: BaseHTTPRequestHandler) -> bool:
    match = _AUTHORIZATION.fullmatch(request.headers.get("Authorization", ""))
    if match is None or match[1] != KEY_ID:
        return False
    parts = urlsplit(request.path)
    names = match[3].split(";")
    headers = "".join(f"{name}:{(request.headers.get(name) or '').strip()}\n" for name in names)
    canonical = "\n".join(
        [
            request.command,
            parts.path,
            parts.query,
            headers,
            match[3],
            request.headers.get("x-amz-content-sha256", ""),
        ]
    )
    stamp = request.headers.get("x-amz-date", "")
    signed = "\n".join(["AWS4-HMAC-SHA256", stamp, match[2], hashlib.sha256(canonical.encode()).hexdigest()])
    key = f"AWS4{SECRET}".encode()
    for part in match[2].split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    return hmac.compare_digest(hmac.digest(key, signed.encode(), "sha256").hex(), match[4])
