"""GraphiQL in a browser, from this machine alone: its assets fetched once, a token always ready.

The page's server hands out tokens, so it listens on 127.0.0.1 and answers only pages of its own: a foreign Host (DNS
rebinding) or Origin is refused.
"""

import base64
import contextlib
import hashlib
import http.client
import io
import json
import shutil
import subprocess
import tarfile
import tempfile
import threading
import urllib.parse
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from handlers.local import demo, people
from handlers.local.emulator import HOST, require_free
from handlers.local.home import TOOLS
from handlers.local.people import Role
from handlers.local.stack import Stack

ASSETS = TOOLS / "graphiql"

# GraphiQL 5 ships nothing a page can load without a bundler; 3.9 does. Versions and hashes as npm publishes them.
PACKAGES = {
    "graphiql@3.9.0": (
        "sha512-rJYFlHdBbug9+YbFSwRVvgfPjCayC7wHecZkx/qB4XLuQPFQZw/yB9pmHFtOJV6RiNBBHro3u1GdocKa3YcGRA==",
        ("graphiql.min.js", "graphiql.min.css"),
    ),
    "react@18.3.1": (
        "sha512-wS+hAgJShR0KhEvPJArfuPVN1+Hz1t0Y6n5jLrGQbkb4urgPE/0Rve+1kMB1v/oWgHgm4WIcV+i7F2pTVj+2iQ==",
        ("umd/react.production.min.js",),
    ),
    "react-dom@18.3.1": (
        "sha512-5m4nQKp+rZRb09LNH59GM4BxTh9251/ylbKIbpe7TpGxfJ+9kv6BLkLBXIjjspbgbnIBNqlI23tRnTWT0snUIw==",
        ("umd/react-dom.production.min.js",),
    ),
}
FETCH_SECONDS_MAX = 120
# As the template's BodyBytesMax allows at most; the API itself refuses less.
BODY_BYTES_MAX = 4_194_304
# Said to each side by its own server, not handed on.
HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "content-length", "host", "date", "server"}

PAGE_FILES = {
    "/": ("graphiql.html", "text/html; charset=utf-8"),
    "/page.js": ("graphiql.js", "text/javascript; charset=utf-8"),
}
CONTENT_TYPES = {".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8"}
# Nothing is loaded from anywhere else, and no other page may frame this one. The editor builds its styles as it goes.
POLICY = (
    "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src 'self' data:; "
    "frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
)


def fetched() -> bool:
    """Have GraphiQL's files in `.local/graphiql`; False when they are not there and cannot be fetched."""
    wanted = [Path(name).name for _, names in PACKAGES.values() for name in names]
    if all((ASSETS / name).exists() for name in wanted):
        return True
    if shutil.which("npm") is None:
        return False
    with tempfile.TemporaryDirectory() as folder:
        for package, (integrity, names) in PACKAGES.items():
            try:
                subprocess.run(
                    ["npm", "pack", "--silent", "--pack-destination", folder, package],
                    check=True, capture_output=True, cwd=folder, timeout=FETCH_SECONDS_MAX, stdin=subprocess.DEVNULL,
                )  # fmt: skip
            except (subprocess.CalledProcessError, subprocess.TimeoutExpired):
                return False
            content = Path(folder, f"{package.replace('@', '-')}.tgz").read_bytes()
            digest = f"sha512-{base64.b64encode(hashlib.sha512(content).digest()).decode()}"
            assert digest == integrity, f"{package} is not what was reviewed: {digest}"
            ASSETS.mkdir(parents=True, exist_ok=True)
            with tarfile.open(fileobj=io.BytesIO(content)) as archive:
                for name in names:
                    member = archive.extractfile(f"package/{name}")
                    assert member is not None
                    # Written elsewhere and moved, for another stack may be fetching the same.
                    unfinished = Path(folder, Path(name).name)
                    unfinished.write_bytes(member.read())
                    shutil.move(unfinished, ASSETS / unfinished.name)
    return True


@contextlib.contextmanager
def bound(port: int) -> Iterator["PageServer"]:
    """The page's port, taken before anything slow begins. Raises LocalStackError when somebody else has it."""
    require_free(port, "PORT")
    server = PageServer((HOST, port), _Page)
    try:
        yield server
    finally:
        server.server_close()


@contextlib.contextmanager
def served(server: "PageServer", stack: Stack) -> Iterator[None]:
    """Answer the page's requests in the background."""
    server.stack = stack
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()


class PageServer(ThreadingHTTPServer):
    """Serves the page for one stack, on one port of this machine."""

    daemon_threads = True
    stack: Stack

    @property
    def own_hosts(self) -> set[str]:
        """The names under which a browser on this machine reaches it."""
        return {f"{HOST}:{self.server_port}", f"localhost:{self.server_port}"}


class _Page(BaseHTTPRequestHandler):
    server: PageServer
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        path = urllib.parse.urlsplit(self.path).path
        if not self._is_own():
            self._answer(403, b"This page answers only itself.\n", "text/plain")
        elif path == "/graphql":
            self._hand_on()
        elif path in PAGE_FILES:
            name, content_type = PAGE_FILES[path]
            self._answer(200, Path(__file__).with_name(name).read_bytes(), content_type)
        elif path == "/first-query":
            self._answer(200, demo.FIRST_QUERY.encode(), "text/plain; charset=utf-8")
        elif path.startswith("/token/") and path.removeprefix("/token/") in set(Role):
            token = self.server.stack.token(path.removeprefix("/token/"))
            answer = {"token": token, "expiresAt": people.expires_at(token)}
            self._answer(200, json.dumps(answer).encode(), "application/json")
        elif path.startswith("/assets/") and (file := ASSETS / Path(path).name).is_file():
            self._answer(200, file.read_bytes(), CONTENT_TYPES[file.suffix])
        else:
            self._answer(404, b"Not here.\n", "text/plain")

    def do_POST(self) -> None:
        if not self._is_own():
            self._answer(403, b"This page answers only itself.\n", "text/plain")
        elif urllib.parse.urlsplit(self.path).path == "/graphql":
            self._hand_on()
        else:
            self._answer(404, b"Not here.\n", "text/plain")

    def _is_own(self) -> bool:
        origin = self.headers.get("Origin", "").removeprefix("http://")
        return self.headers.get("Host") in self.server.own_hosts and origin in {"", *self.server.own_hosts}

    def _hand_on(self) -> None:
        """Pass the request to the API and its answer back, both as they are."""
        announced = self.headers.get("Content-Length") or "0"
        if not announced.isdecimal():
            self.close_connection = True
            self._answer(400, b"What length?\n", "text/plain")
            return
        length = int(announced)
        if length > BODY_BYTES_MAX:
            self.close_connection = True
            self._answer(413, b"Too large.\n", "text/plain")
            return
        body = self.rfile.read(length)
        target = urllib.parse.urlsplit(self.server.stack.graphql_url)
        query = urllib.parse.urlsplit(self.path).query
        assert target.hostname is not None
        connection = http.client.HTTPConnection(target.hostname, target.port, timeout=60)
        try:
            connection.request(
                self.command,
                target.path + (f"?{query}" if query else ""),
                body or None,
                {name: value for name, value in self.headers.items() if name.lower() not in HOP_BY_HOP},
            )
            response = connection.getresponse()
            content = response.read()
        except OSError:
            self._answer(502, b"The local AWS does not answer.\n", "text/plain")
            return
        finally:
            connection.close()
        self.send_response(response.status)
        for name, value in response.getheaders():
            if name.lower() not in HOP_BY_HOP:
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _answer(self, status: int, content: bytes, content_type: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("Content-Security-Policy", POLICY)
        self.send_header("X-Content-Type-Options", "nosniff")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def log_message(self, *_args: Any) -> None:
        """Quiet: the terminal holds the tokens and the first query."""
