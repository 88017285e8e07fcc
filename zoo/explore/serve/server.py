"""The web server of the page, based on `http.server`, which answers to this machine only.

The page loads nothing from elsewhere and therefore works offline. A hostile page in the same
browser cannot use the server: the Host header is checked, against DNS rebinding, and requests that
the browser attributes to another site are refused. Each request must arrive within a time limit,
and if too many connections are waiting, a new one ends the oldest. Only pictures to project can be
uploaded, one at a time. Their bytes, pixels and processing time are limited, and they are not
stored.
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
from collections.abc import Iterator, Mapping
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
"""The time within which a client must have sent its whole request."""
ANSWER_SECONDS = 30.0
"""The longest time that sending a part of an answer may block."""
MOST_CONNECTIONS = 64
"""The most connections at a time."""
MOST_BYTES = 2**24
"""The most bytes of a picture to project."""
UPLOADED = "application/octet-stream"
"""The content type of uploads. Forms of other sites cannot send it, and scripts of other sites need
permission by a CORS preflight request."""
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
    """The web server of one studio, run by `serve_forever`.

    Args:
        studio: the studio that answers requests.
        host: the address to listen on; 127.0.0.1 can be reached from this machine only.
        port: the port; 0 takes any free one.

    Raises:
        ZooError: the address or port cannot be used.
    """

    daemon_threads = True
    request_queue_size = 128  # with the default of 5, further clients would retry after seconds

    def __init__(self, studio: Studio, host: str = "127.0.0.1", port: int = 7860) -> None:
        self.studio = studio
        self.host = host
        self.projecting = threading.Lock()  # held during an upload and its projection
        self._connections = 0
        self._waiting: dict[socket.socket, None] = {}  # whose request is incomplete, oldest first
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
        """The address of the page."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.server_address[1]}/"

    def accepts(self, host_header: str) -> bool:
        """Whether the Host header of a request is one that a browser on this machine sends."""
        if self.host not in LOOPBACK:
            return True  # opened to other machines on purpose, whatever name they use
        return _OWN_HOST.fullmatch(host_header) is not None

    def process_request(self, request: Any, client_address: Any) -> None:
        """Answer a connection in its own thread, with a limit on the number of connections."""
        with self._lock:
            full = self._connections >= MOST_CONNECTIONS
            oldest = next(iter(self._waiting), None) if full else None
            if oldest is not None:
                del self._waiting[oldest]
                with contextlib.suppress(OSError):  # its thread notices and ends
                    oldest.shutdown(socket.SHUT_RDWR)
            accepted = not full or oldest is not None
            if accepted:
                self._connections += 1
                self._waiting[request] = None
        if not accepted:
            self.shutdown_request(request)
            return
        try:
            super().process_request(request, client_address)
        except Exception:  # no thread could be started, so the connection is closed
            self._release(request)
            raise

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Answer a connection, and release it afterwards."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._release(request)

    def _release(self, request: Any) -> None:
        with self._lock:
            self._connections -= 1
            self._waiting.pop(request, None)

    def mark_received(self, request: Any) -> None:
        """Record that the request of a connection is complete, so that it is no longer ended."""
        with self._lock:
            self._waiting.pop(request, None)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore the error: the client has left or has sent an invalid request."""


def _values(query: str) -> dict[str, str]:
    """Parse a query string; if a name occurs repeatedly, its last value counts."""
    return {name: texts[-1] for name, texts in parse_qs(query, max_num_fields=50).items()}


class _Timed(io.RawIOBase):
    """The bytes of a request, with a deadline that slow clients cannot extend."""

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
        valid = super().parse_request()
        if not valid or self.command != "POST":  # a POST request has yet to send its body
            self._mark_received()
        return valid

    def _mark_received(self) -> None:
        self.server.mark_received(self.connection)
        self.connection.settimeout(ANSWER_SECONDS)

    def _is_from_another_site(self) -> bool:
        """Whether the browser attributes the request to another site.

        Links to the page itself may come from anywhere.
        """
        site = self.headers.get("Sec-Fetch-Site", "none").lower()
        link = self.path == "/" and self.headers.get("Sec-Fetch-Mode", "").lower() == "navigate"
        if self.command == "POST":  # older browsers send only the header Origin
            link = False
            origin = self.headers.get("Origin", "")
            if origin and origin != f"http://{self.headers.get('Host', '')}":
                return True
        return site not in ("none", "same-origin") and not link

    def _is_refused(self) -> bool:
        """Answer a request for another server or from another site; whether it was one."""
        if len(self.headers.get_all("Host", [])) > 1 or not self.server.accepts(
            self.headers.get("Host", "")
        ):
            self._answer(403, "text/plain", b"this server answers to its own address only\n")
            return True
        if self._is_from_another_site():
            self._answer(403, "text/plain", b"this server answers to its own page only\n")
            return True
        return False

    def do_GET(self) -> None:
        if self._is_refused():
            return
        with self._errors_answered():
            address = urlsplit(self.path)
            if address.path == "/":
                self._answer(200, "text/html; charset=utf-8", PAGE.read_bytes())
            elif address.path == "/models":
                self._json(200, {**self.server.studio.describe(), "most_bytes": MOST_BYTES})
            elif address.path in ("/model", "/image"):
                values = _values(address.query)
                if address.path == "/model":
                    self._json(200, self.server.studio.describe_model(values))
                else:
                    self._answer(200, "image/png", self.server.studio.render(values))
            else:
                self._json(404, {"error": f"there is nothing at {address.path[:60]}."})

    def do_POST(self) -> None:
        if self._is_refused():
            return
        with self._errors_answered():
            address = urlsplit(self.path)
            if address.path != "/project":
                self._json(404, {"error": f"uploads to {address.path[:60]} are not accepted."})
                self._read_the_rest()
            elif not self.server.projecting.acquire(blocking=False):
                self._json(503, {"error": "another picture is being projected: try again soon."})
            else:
                try:
                    picture = self._upload()
                    if picture is not None:
                        self._project(_values(address.query), picture)
                finally:
                    self.server.projecting.release()

    def _upload(self) -> bytes | None:
        """Return the body of a request; if it is refused, answer and return None."""
        length = self.headers.get("Content-Length", "")
        if self.headers.get("Content-Type", "") != UPLOADED:
            self._json(415, {"error": f"a picture must be uploaded as {UPLOADED}."})
            self._read_the_rest()
        elif not re.fullmatch("[0-9]{1,18}", length):
            self._json(411, {"error": "an upload needs the header Content-Length."})
        elif not 1 <= int(length) <= MOST_BYTES:
            limits = f"it must have 1 to {MOST_BYTES:,} bytes ({MOST_BYTES >> 20} MB)"
            self._json(
                413, {"error": f"a picture of {int(length):,} bytes is not accepted: {limits}."}
            )
            self._read_the_rest()
        else:
            picture = self.rfile.read(int(length))
            self._mark_received()
            if len(picture) == int(length):
                return picture
            self._json(
                400, {"error": f"only {len(picture):,} of {int(length):,} bytes were received."}
            )
        return None

    def _read_the_rest(self) -> None:
        """Read a small body that was refused, as closing the connection can lose the answer."""
        length = self.headers.get("Content-Length", "")
        if re.fullmatch("[0-9]{1,4}", length):
            self.rfile.read(int(length))

    def _project(self, values: dict[str, str], picture: bytes) -> None:
        """Project a picture, answering with a line of JSON for each update of the search."""
        begun = False

        def send(update: Mapping[str, Any]) -> None:
            nonlocal begun
            if not begun:  # the picture is valid; later errors are sent as lines
                self._head(200, "application/x-ndjson")
                begun = True
            self.wfile.write(json.dumps(update).encode() + b"\n")

        try:
            self.server.studio.project(values, picture, send)
        except OSError:  # the browser closed the connection
            raise
        except Exception as error:
            if not begun:
                raise
            send({"error": str(error)})

    @contextlib.contextmanager
    def _errors_answered(self) -> Iterator[None]:
        """Answer errors that occur in the `with` block."""
        try:
            yield
        except (ZooError, ValueError) as error:
            self._json(400, {"error": str(error)})
        except (BrokenPipeError, ConnectionResetError, TimeoutError):  # the browser has left
            self.close_connection = True
        except Exception as error:
            self._json(500, {"error": f"{type(error).__name__}: {error}"})

    def _json(self, status: int, value: object) -> None:
        self._answer(status, "application/json", json.dumps(value).encode())

    def _answer(self, status: int, kind: str, body: bytes) -> None:
        self._head(status, kind, len(body))
        self.wfile.write(body)

    def _head(self, status: int, kind: str, length: int | None = None) -> None:
        """Send the head of an answer; one without a length ends with its connection."""
        self.send_response(status)
        self.send_header("Content-Type", kind)
        if length is not None:
            self.send_header("Content-Length", str(length))
        for name, value in _SECURITY.items():
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Log nothing, since every move of a slider is a request."""
