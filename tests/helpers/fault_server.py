"""A web server on this machine that makes the mistakes which servers and networks make."""

import contextlib
import gzip
import http.server
import re
import socket
import struct
import threading
import time

CUT = 70_000  # bytes that a bad connection brings: one chunk of 64 KiB, and some more that are lost
PIECE = 1 << 16  # bytes that a slow connection brings at a time
LEFT = {"cuts": CUT, "ignores Range and cuts": CUT, "resets": CUT, "stalls": CUT, "hangs up": 0}
LEFT["answers from a later byte and cuts"] = CUT
SHIFTS = {
    "answers from a later byte": 1000,
    "answers from a later byte and cuts": 1000,
    "answers from an earlier byte": -1000,
    "answers from a wrong byte and hides it": -1000,
}


class Handler(http.server.BaseHTTPRequestHandler):
    """Serves `server.files`, {path: bytes}, with `server.fault`; `server.asked` notes (path, Range)."""

    def do_GET(self):
        server, fault, span = self.server, self.server.fault, self.headers.get("Range")
        server.asked.append((self.path, span))
        if server.refusals:
            return self.reply(*server.refusals.pop(0))
        if fault == "redirects to a file":
            return self.reply(302, {"Location": "file:///etc/hostname"})
        if fault == "web page":
            return self.reply(200, {"Content-Type": "text/html; charset=utf-8"}, b"<html>Please log in")
        if self.path not in server.files:
            return self.reply(404)
        content = server.files[self.path]
        begin = (
            int(re.fullmatch(r"bytes=(\d+)-", span)[1])
            if span and not str(fault).startswith("ignores Range")
            else 0
        )
        if not begin:
            return self.send_file(200, {}, content)
        if begin >= len(content):
            return self.reply(416, {"Content-Range": f"bytes */{len(content)}"})
        first = begin + SHIFTS.get(fault, 0)
        told = begin if fault == "answers from a wrong byte and hides it" else first
        headers = {"Content-Range": f"bytes {told}-{len(content) - 1}/{len(content)}"}
        return self.send_file(206, headers, content[first:][: len(content) - told])

    def send_file(self, status, headers, body):
        """Reply with `body`, or with what the fault makes of it."""
        server, fault = self.server, self.server.fault
        if fault == "flips a bit":
            body = body[:-1] + bytes([body[-1] ^ 1])
        if fault == "compresses" and "gzip" in self.headers.get("Accept-Encoding", ""):
            body, headers = gzip.compress(body), headers | {"Content-Encoding": "gzip"}
        if fault in ("sends chunks and cuts", "sends chunks and ends early"):
            last = b"0\r\n\r\n" if len(body) <= CUT or "early" in fault else b""
            body = b"%x\r\n%b\r\n%b" % (len(body[:CUT]), body[:CUT], last)
            headers = headers | {"Transfer-Encoding": "chunked"}
        elif fault not in ("tells no length", "never ends"):
            headers = headers | {"Content-Length": len(body)}
        if fault == "drips":
            self.reply(status, headers)
            for at in range(0, len(body), PIECE):
                self.wfile.write(body[at : at + PIECE])
                server.go_on.wait(server.drip)
            return
        self.reply(status, headers, body[: LEFT.get(fault, len(body))])
        if fault == "resets":
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        if fault == "stalls" and len(body) > CUT:
            server.go_on.wait(10)
        while fault == "never ends":
            self.wfile.write(bytes(PIECE))

    def reply(self, status, headers=(), body=b""):
        """Send a status, headers and a body, and nothing that was not asked for."""
        self.send_response(status)
        for name, value in dict(headers).items():
            self.send_header(name, str(value))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Server(http.server.ThreadingHTTPServer):
    """The server; `refusals` are answered first, each (status, headers). `go_on` ends what it waits for."""

    def __init__(self, files):
        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.files, self.fault, self.refusals, self.asked = files, None, [], []
        self.go_on, self.drip = threading.Event(), 10.0  # seconds between two pieces, unless told to go on

    def handle_error(self, *_):
        """Say nothing: that the client has gone is wanted here."""


@contextlib.contextmanager
def serve(files):
    """Serve {path: bytes} while the block lasts."""
    with Server(files) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server
        finally:
            server.go_on.set()
            server.shutdown()
            thread.join()


def wait_until(condition, seconds=30):
    """Return as soon as `condition()` is true; fail if it never is."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it never came to that"
        time.sleep(0.005)
