"""The page's web server: Python's own, four addresses, answers to this machine alone.

Nothing is uploaded and nothing is fetched from elsewhere, so that the page works offline and a
hostile page in the same browser cannot use it: the Host header is checked against DNS rebinding,
and what the browser says was asked for by another site is refused. A request has one time for all
of it, and where too many connections wait one more ends the oldest.
"""

from __future__ import annotations

import contextlib
import errno
import io
import json
import re
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from zoo.core.errors import ZooError
from zoo.explore.serve.studio import Studio

PAGE = Path(__file__).with_name("page.html")
LOOPBACK = ("127.0.0.1", "localhost", "::1")
_OWN_HOST = re.compile(r"(127\.0\.0\.1|localhost|\[::1\])(:[0-9]{1,5})?", re.IGNORECASE)
REQUEST_SECONDS = 10.0
"""In which a client has to have sent its request, however slowly it sends it."""
ANSWER_SECONDS = 30.0
MOST_CONNECTIONS = 64
_SECURITY = {
    "Content-Security-Policy": (
        "default-src 'none'; img-src 'self' blob: data:; connect-src 'self'; "
        "script-src 'unsafe-inline'; "
        "style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


class Server(ThreadingHTTPServer):
    """Serves one studio; `serve_forever` runs it, `url` is where.

    Args:
        host: address to listen on; 127.0.0.1 is reached from this machine alone.
        port: 0 takes any free one.

    Raises:
        ZooError: the address or port cannot be used.
    """

    daemon_threads = True

    def __init__(self, studio: Studio, host: str = "127.0.0.1", port: int = 7860) -> None:
        self.studio = studio
        self.host = host
        self._connections = 0
        self._waiting: dict[socket.socket, None] = {}  # for their request, the oldest first
        self._lock = threading.Lock()
        if ":" in host:
            self.address_family = socket.AF_INET6
        if not 0 <= port <= 65535:
            raise ZooError(f"port={port} must be from 0 to 65535 (0 takes any free one).")
        try:
            super().__init__((host, port), _Handler)
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise ZooError(
                    f"port={port} is in use (perhaps by another task=serve): try port={port + 1}, "
                    "or port=0 for any free one."
                ) from error
            raise ZooError(f"cannot listen on {host}:{port}: {error.strerror or error}.") from error

    @property
    def url(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.server_address[1]}/"

    def accepts(self, host_header: str) -> bool:
        """Whether a request names this server as a browser on this machine would."""
        if self.host not in LOOPBACK:
            return True  # opened to others on purpose, under whatever name they know it by
        return _OWN_HOST.fullmatch(host_header) is not None

    def process_request(self, request: Any, client_address: Any) -> None:
        """Answer a connection in a thread of its own, of which there are not too many."""
        with self._lock:
            full = self._connections >= MOST_CONNECTIONS
            oldest = next(iter(self._waiting), None) if full else None
            if oldest is not None:
                del self._waiting[oldest]
                with contextlib.suppress(OSError):  # its thread sees the end of it
                    oldest.shutdown(socket.SHUT_RDWR)
            accepted = not full or oldest is not None
            if accepted:
                self._connections += 1
                self._waiting[request] = None
        if accepted:
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            with self._lock:
                self._connections -= 1
                self._waiting.pop(request, None)

    def has_asked(self, request: Any) -> None:
        """Note that a connection has sent its request, and is not to be ended for another."""
        with self._lock:
            self._waiting.pop(request, None)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Stay silent: a client has gone, or sends what nobody reads."""


class _Timed(io.RawIOBase):
    """What a client sends, up to a moment that no client puts off by sending a little."""

    def __init__(self, connection: socket.socket, seconds: float) -> None:
        self._connection = connection
        self._end = time.monotonic() + seconds

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        left = self._end - time.monotonic()
        if left <= 0:
            raise TimeoutError("a request took too long")
        self._connection.settimeout(left)
        return self._connection.recv_into(buffer)


class _Handler(BaseHTTPRequestHandler):
    server: Server

    def setup(self) -> None:
        super().setup()
        self.rfile = io.BufferedReader(_Timed(self.connection, REQUEST_SECONDS))

    def parse_request(self) -> bool:
        right = super().parse_request()
        self.server.has_asked(self.connection)
        self.connection.settimeout(ANSWER_SECONDS)
        return right

    def _is_from_another_site(self) -> bool:
        """Whether the browser says so; a link to the page itself may come from anywhere."""
        site = self.headers.get("Sec-Fetch-Site", "none").lower()
        link = self.path == "/" and self.headers.get("Sec-Fetch-Mode", "").lower() == "navigate"
        return site not in ("none", "same-origin") and not link

    def do_GET(self) -> None:
        if len(self.headers.get_all("Host", [])) > 1 or not self.server.accepts(
            self.headers.get("Host", "")
        ):
            self._answer(403, "text/plain", b"this server answers to its own address only\n")
            return
        if self._is_from_another_site():
            self._answer(403, "text/plain", b"this server answers to its own page only\n")
            return
        try:
            address = urlsplit(self.path)
            if address.path == "/":
                self._answer(200, "text/html; charset=utf-8", PAGE.read_bytes())
            elif address.path == "/models":
                self._json(200, self.server.studio.describe())
            elif address.path in ("/model", "/image"):
                query = parse_qs(address.query, max_num_fields=50)
                values = {name: texts[-1] for name, texts in query.items()}
                if address.path == "/model":
                    self._json(200, self.server.studio.describe_model(values))
                else:
                    self._answer(200, "image/png", self.server.studio.render(values))
            else:
                self._json(404, {"error": f"there is nothing at {address.path[:60]}."})
        except (ZooError, ValueError) as error:
            self._json(400, {"error": str(error)})
        except (BrokenPipeError, ConnectionResetError):  # the browser moved on
            self.close_connection = True
        except Exception as error:
            self._json(500, {"error": f"{type(error).__name__}: {error}"})

    def _json(self, status: int, value: object) -> None:
        self._answer(status, "application/json", json.dumps(value).encode())

    def _answer(self, status: int, kind: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        for name, value in _SECURITY.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Stay silent: every move of a slider is a request."""
