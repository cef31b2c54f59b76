"""A scripted OpenAI-compatible endpoint on loopback: it streams what it is told, slowly, in pieces, or breaks."""

import json
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.asked.append(body)
        script = self.server.script
        status = script["statuses"].pop(0) if script.get("statuses") else 200
        if status != 200:
            self._refuse(status)
            return
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        try:
            for piece in script["pieces"]:
                time.sleep(script.get("pause_s", 0))
                self._send({"choices": [{"index": 0, "delta": {"content": piece}, "finish_reason": None}]})
            if not script.get("dies"):
                self._send({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
                self.wfile.write(b"data: [DONE]\n\n")
        except (BrokenPipeError, ConnectionResetError):
            self.server.hung_up.set()
        self.close_connection = True

    def _send(self, chunk: dict) -> None:
        whole = {"id": "x", "object": "chat.completion.chunk", "created": 0, "model": "m", **chunk}
        self.wfile.write(f"data: {json.dumps(whole)}\n\n".encode())
        self.wfile.flush()

    def _refuse(self, status: int) -> None:
        raw = json.dumps({"error": {"message": f"scripted {status}"}}).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Retry-After", "0")
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)

    def log_message(self, *_):
        pass


@contextmanager
def scripted(**script):
    """(base_url, server): `pieces` to stream, `pause_s` before each, `dies` without an end, `statuses` refused with."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.script, server.asked, server.hung_up = script, [], threading.Event()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1", server
    finally:
        server.shutdown()
        server.server_close()
