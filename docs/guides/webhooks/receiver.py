"""Prints what a cluster tells by webhook, and refuses what is not signed: receiver.py SECRET-FILE [PORT]."""

import base64
import hashlib
import hmac
import json
import sys
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

TEXT = Path(sys.argv[1]).read_text().strip()
KEY = base64.b64decode(TEXT.removeprefix("whsec_")) if TEXT.startswith("whsec_") else TEXT.encode()
SEEN = set()


class Receiver(BaseHTTPRequestHandler):
    def do_POST(self):
        ident, at = self.headers.get("webhook-id", ""), self.headers.get("webhook-timestamp", "0")
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        digest = hmac.new(KEY, f"{ident}.{at}.".encode() + body, hashlib.sha256).digest()
        meant = "v1," + base64.b64encode(digest).decode()
        signed = hmac.compare_digest(self.headers.get("webhook-signature", "").encode(), meant.encode())
        if not signed or abs(time.time() - int(at)) > 300:
            self.send_error(401, "not signed, or too long ago")
            return
        if ident not in SEEN:  # the same may come twice
            SEEN.add(ident)
            told = json.loads(body)
            about = told.get("job") or told.get("node") or {}
            sys.stdout.write(f"{told['event']} {about.get('number') or about.get('name') or ''}\n")
            sys.stdout.flush()
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_):
        pass


HTTPServer(("127.0.0.1", int(sys.argv[2]) if len(sys.argv) > 2 else 8070), Receiver).serve_forever()
