#!/usr/bin/env python3
"""Receives the bridge's webhooks and checks their signature. Needs nothing but Python.

    ARIA_WEBHOOKS_SECRET=... python3 examples/webhook_receiver.py 9000

The header `Aria-Signature` is `t=UNIX_SECONDS,v1=HEX`, where HEX is HMAC-SHA256 over `UNIX_SECONDS.BODY` with the shared secret.
"""

import hashlib
import hmac
import json
import os
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

SECRET = os.environ["ARIA_WEBHOOKS_SECRET"].encode()
# Older ones are refused: a recorded request must not be sent again.
TOLERANCE_SECONDS = 300
MAX_BODY_BYTES = 2 * 1024 * 1024


def genuine(header: str, body: bytes) -> bool:
    parts = dict(part.split("=", 1) for part in header.split(",") if "=" in part)
    if not parts.get("t", "").isdigit() or abs(time.time() - int(parts["t"])) > TOLERANCE_SECONDS:
        return False
    expected = hmac.new(SECRET, parts["t"].encode() + b"." + body, hashlib.sha256).hexdigest()
    return hmac.compare_digest(expected.encode(), parts.get("v1", "").encode())


class Receiver(BaseHTTPRequestHandler):
    seen = set()  # The same webhook may come more than once.

    def do_POST(self):
        length = int(self.headers.get("Content-Length", 0))
        if length > MAX_BODY_BYTES:
            return self.answer(413)
        body = self.rfile.read(length)
        if not genuine(self.headers.get("Aria-Signature", ""), body):
            return self.answer(403)
        event = json.loads(body)
        if event["id"] not in self.seen:
            self.seen.add(event["id"])
            print(event["type"], event["data"].get("call_sid"), flush=True)
        self.answer(204)

    def answer(self, status):
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()


if __name__ == "__main__":
    server = ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1]) if len(sys.argv) > 1 else 9000), Receiver)
    print(f"listening on http://127.0.0.1:{server.server_port}/", flush=True)
    server.serve_forever()
