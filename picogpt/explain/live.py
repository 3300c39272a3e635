"""The page, served: another prompt, another token, and a model that learns while one looks.

It is for the user who started it: on 127.0.0.1 alone, at an address with a secret in it, and only if the
browser asks for that host by name, so that no other site can have its own name lead here (DNS rebinding).
Nothing else is served, no file is read for a request, and nothing of a request is run.
"""

import hmac
import json
import logging
import secrets
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

from picogpt.explain.gather import gather
from picogpt.explain.learning import Turns
from picogpt.explain.page import SERVED, page
from picogpt.explain.prompts import FIRST
from picogpt.generate import Choice, generate
from picogpt.system import command

log = logging.getLogger("picogpt")
MOST = 128  # tokens in a page: attention grows with their square
LONGEST = 100_000  # bytes of a request
HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": SERVED + "; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


@dataclass
class Asked:
    """What an address asks for: a prompt or its ids, how many tokens to add, and how to choose them."""

    prompt: str = FIRST
    ids: tuple = ()  # instead of the prompt
    n: int = 8
    temperature: float = 0.0

    @classmethod
    def from_query(cls, query, usual):
        """Return what stands in an address; `usual` holds for the rest. ValueError for what cannot be."""
        given = {key: values[-1] for key, values in parse_qs(query, keep_blank_values=True).items()}
        given["prompt"] = given.get("prompt", "" if "ids" in given else usual.prompt).replace("\r\n", "\n")
        kinds = dict(prompt=str, ids=whole_numbers, n=int, temperature=float)
        asked = cls(n=usual.n, temperature=usual.temperature)
        for key, kind in kinds.items():
            try:
                setattr(asked, key, kind(given[key]) if key in given else getattr(asked, key))
            except ValueError:
                raise ValueError(f"{key} cannot be {given[key]!r}") from None
        if asked.n < 0:
            raise ValueError(f"n must not be negative, as is {asked.n}")
        return asked


def whole_numbers(text):
    """Return the numbers of a text such as 3,1,2."""
    return tuple(int(word) for word in text.split(","))


class Live:
    """A model, and the pages of what it does with the prompts that it is asked about."""

    def __init__(self, params, hparams, encoder, name, usual):
        """`usual` is what an address that asks for nothing is answered with."""
        self.params, self.hparams, self.encoder, self.name = params, hparams, encoder, name
        self.usual, self.learning = usual, None
        self.computing = Turns()  # one at a time, as each uses all cores

    def learn_from(self, learning):
        """Show also a model that learns, see learning.py; None: none."""
        self.learning = learning
        if learning:
            self.computing = learning.computing

    def ids_of(self, asked):
        """Return the given ids, and those with the new ones. ValueError if a page cannot show them."""
        ids = list(asked.ids) or self.encoder.encode(asked.prompt) or [self.encoder.start]
        most = min(MOST, self.hparams["n_ctx"])
        if len(ids) + asked.n > most:
            raise ValueError(
                f"{len(ids)} tokens and {asked.n} new ones are more than the {most} that a page can show"
            )
        choice = Choice(temperature=asked.temperature, seed=0)
        return ids, ids + generate(self.params, self.hparams["n_head"], [ids], asked.n, choice)[0]

    def answer(self, path, query):
        """Return the page for an address, and whether it is what was asked for."""
        asked, says = self.usual, ""
        with self.computing:
            try:
                asked = Asked.from_query(query, self.usual)
                given, ids = self.ids_of(asked)
            except ValueError as error:
                says = command.sentence(error)
                given, ids = self.ids_of(self.usual)
            data = gather(self.params, self.hparams, self.encoder, ids, len(given), self.name)
        prompt = asked.prompt or self.encoder.decode(given)
        live = dict(path=path, prompt=prompt, n=asked.n, temperature=asked.temperature, says=says)
        return page(data | dict(live=live | dict(learning=self.learning is not None)), SERVED), not says


def serve(live, port=0):
    """Return a server of the pages of `live`, and its address; `serve_forever` starts it."""
    secret = "/" + secrets.token_urlsafe(24) + "/"

    class Handler(BaseHTTPRequestHandler):
        """Answers at the secret path, and there alone."""

        server_version, sys_version, timeout = "picogpt", "", 60

        def do_GET(self):
            """Send the page, or how the learning stands."""
            address = urlsplit(self.path)
            if not self.is_known(address.path):
                return
            if address.path.endswith("/learning"):
                self.send(200, json.dumps(live.learning.report()), "application/json")
                return
            content, good = live.answer(secret, address.query)
            self.send(200 if good else 400, content, "text/html")

        def do_POST(self):
            """Do to the learning what the body says; nothing else can be changed."""
            if not self.is_known(urlsplit(self.path).path, posts=True):
                return
            try:
                length = int(self.headers.get("Content-Length", ""))
                if not 0 <= length <= LONGEST:
                    raise ValueError("the request is too long")
                live.learning.do(**json.loads(self.rfile.read(length)))
            except (ValueError, TypeError) as error:
                self.send(400, json.dumps(dict(error=command.sentence(error))), "application/json")
            else:
                self.send(200, json.dumps(live.learning.report()), "application/json")

        def is_known(self, path, posts=False):
            """Return whether the request comes for us, by our own page if it posts; else refuse it."""
            hosts = {f"{name}:{self.server.server_port}" for name in ("127.0.0.1", "localhost")}
            host, origin = self.headers.get("Host", ""), self.headers.get("Origin")
            ours = {secret + "learning"} if live.learning else set()
            ours = ours if posts else ours | {secret}
            if host not in hosts or (posts and origin != f"http://{host}"):
                self.send(403, "this address is for the one who started it", "text/plain")
            elif not any(hmac.compare_digest(path.encode(), known.encode()) for known in ours):
                self.send(404, "there is nothing here", "text/plain")
            else:
                return True
            return False

        def send(self, code, content, kind):
            """Send an answer."""
            content = content.encode()
            self.send_response(code)
            for key, value in HEADERS.items():
                self.send_header(key, value)
            self.send_header("Content-Type", f"{kind}; charset=utf-8")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format, *args):
            """Say nothing: the terminal is not for every request."""

    class Server(ThreadingHTTPServer):
        """Ends with the program, whatever it is answering."""

        daemon_threads = True

        def handle_error(self, request, client_address):
            """Note in the log what went wrong; a browser that has left is nothing wrong."""
            log.debug("a request failed", exc_info=True)

    server = Server(("127.0.0.1", port), Handler)
    return server, f"http://127.0.0.1:{server.server_port}{secret}"
