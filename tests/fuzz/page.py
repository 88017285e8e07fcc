"""Hostile requests to the page of task=serve: each is answered or refused, in time.

python tests/fuzz/page.py --requests 200 --seed 0
"""

from __future__ import annotations

import argparse
import random
import socket
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "support")]

FOREIGN = (
    "evil.example", "localhost@evil.example", "evil@localhost", "a:b@localhost", "localhost#",
    "localhost#.evil.example", "localhost/", "localhost/@evil", "localhost?", "localhost\\@evil",
    "127.0.0.1.evil.example", "127.0.0.1@evil", "[::1]@evil", "[::1", "localhost:80:80",
    "localhost:x", "localhost:999999", "", " ", "0.0.0.0", "127.1", "2130706433", "localhost.",
    "localhost\x00", "locälhost", "localhost, evil.example", "x" * 5000,
)  # fmt: skip
"""Host headers of nobody on this machine."""
PATHS = (
    "/", "/models", "/model?model=0", "/image?seed=1", "/image?seed=1&n=4", "/image?raw=1&seed=3",
)  # fmt: skip
KEYS = ("seed", "seed2", "n", "label", "truncation", "mix", "d0", "d1", "c0", "model", "raw", "x",
        "", "seed[]", "__proto__", "%00")  # fmt: skip
VALUES = (
    "0", "-1", "1e9", "nan", "inf", "9" * 4000, "", "abc", "%3Cscript%3E", "../../etc/passwd",
    "%2e%2e%2f", "1;2", "true", "None", "0x10", "%00", "\xe9", "1.5", "100", "999999999999",
    "'", '"', "${x}", "{{7*7}}", "[]", "+1", "1_0", "\u0663",
)  # fmt: skip
UPLOADED = "application/octet-stream"
METHODS = (
    "POST",
    "PUT",
    "DELETE",
    "OPTIONS",
    "TRACE",
    "CONNECT",
    "HEAD",
    "get",
    "\x00",
    "G" * 9000,
)
MOST_SECONDS = 25.0
"""That an answer may take, under the load of a test machine."""


def request(rng: random.Random) -> tuple[str, bytes, set[int]]:
    """A request in words, its bytes, and the answers that are right; 0 is a closed connection."""
    kind = rng.choice(("host", "site", "query", "query", "path", "method", "header", "rubbish",
                       "upload", "upload"))  # fmt: skip
    path, host, extra, method = rng.choice(PATHS), "localhost", "", "GET"
    right = {200}
    if kind == "host":
        host = rng.choice(FOREIGN)
        right = {403, 400, 431}
    elif kind == "site":
        site = rng.choice(("cross-site", "same-site", "Cross-Site", "x"))
        path = rng.choice(PATHS[1:])
        extra, right = f"Sec-Fetch-Site: {site}\r\nSec-Fetch-Mode: no-cors\r\n", {403}
    elif kind == "query":
        pairs = [f"{rng.choice(KEYS)}={rng.choice(VALUES)}" for _ in range(rng.choice((1, 2, 60)))]
        path = f"{rng.choice(('/image', '/model', '/models'))}?{'&'.join(pairs)}"
        right = {200, 400, 414}
    elif kind == "path":
        path = rng.choice(
            ("/../page.html", "//evil.example/", "/image/..", "/etc/passwd", "/%2e%2e/x", "x",
             "http://evil.example/", "http://[", "/" + "a" * 70_000, "/models/", "*", "/\x00")
        )  # fmt: skip
        right = {200, 400, 403, 404, 414}
    elif kind == "method":
        method, right = rng.choice(METHODS), {400, 404, 414, 501, 505, 0}
    elif kind == "upload":
        return upload(rng)
    elif kind == "header":
        extra = rng.choice(
            ("Host: evil.example\r\n", "X: y\r\n" * 500, f"X: {'y' * 70_000}\r\n", ": \r\n",
             "Content-Length: 99999999999\r\n", "Transfer-Encoding: chunked\r\n",
             "Range: bytes=0-\r\n", "Expect: 100-continue\r\n", "Connection: keep-alive\r\n")
        )  # fmt: skip
        right = {200, 400, 403, 417, 431}
    else:
        data = bytes(rng.randrange(256) for _ in range(rng.choice((0, 1, 10, 3000))))
        return kind, data + rng.choice((b"", b"\r\n\r\n")), {0, 200, 400, 414, 431, 501, 505}
    head = f"{method} {path} HTTP/1.1\r\nHost: {host}\r\n{extra}\r\n"
    return f"{kind}: {head[:100]!r}", head.encode("utf-8", "replace"), right


def upload(rng: random.Random) -> tuple[str, bytes, set[int]]:
    """A picture to project that is none, or is sent as no page would send it."""
    body = bytes(rng.randrange(256) for _ in range(rng.choice((0, 1, 3000))))
    body = rng.choice((b"", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF89a", b"II*\0")) + body
    length = rng.choice((str(len(body)), str(len(body) + 9), "-1", "x", "9" * 30, "0x10", "\u0661"))
    kind = rng.choice((UPLOADED, "text/plain", "multipart/form-data"))
    site = rng.choice(("", "Origin: null\r\n", "Sec-Fetch-Site: cross-site\r\n"))
    path = rng.choice(("/project", "/project?model=99", "/project?label=x", "/project/", "/image"))
    head = (
        f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {kind}\r\n"
        f"Content-Length: {length}\r\n{site}\r\n"
    )
    right = {403} if site else {400, 404, 411, 413, 415, 0}
    return f"upload: {head[:100]!r}", head.encode() + body, right


def ask(port: int, data: bytes, limit: float = MOST_SECONDS) -> tuple[int, bytes]:
    """The status of an answer, 0 where there is none, and the answer."""
    with socket.create_connection(("127.0.0.1", port), timeout=limit) as client:
        try:
            client.sendall(data)
            client.shutdown(socket.SHUT_WR)
            answer = b""
            while part := client.recv(65536):
                answer += part
        except TimeoutError:
            raise
        except OSError:  # the other end has closed
            return 0, b""
    words = answer.split(b" ", 2)
    return (int(words[1]) if len(words) > 1 and words[1].isdigit() else 0), answer


def fuzz(count: int, seed: int, server: Any) -> tuple[Counter[int], list[str]]:
    """Counts of answers, and the requests that were answered wrongly, late or not at all."""
    rng, counts, wrong = random.Random(seed), Counter[int](), []
    port = server.server_address[1]
    for _ in range(count):
        words, data, right = request(rng)
        start = time.monotonic()
        try:
            status, answer = ask(port, data)
        except TimeoutError:
            wrong.append(f"{words}: no answer in {MOST_SECONDS} s")
            continue
        counts[status] += 1
        if status not in right:
            wrong.append(f"{words}: {status}")
        if b"Traceback" in answer or b"root:" in answer:
            wrong.append(f"{words}: says too much")
        if time.monotonic() - start > MOST_SECONDS:
            wrong.append(f"{words}: {time.monotonic() - start:.0f} s")
    status, _ = ask(port, b"GET /models HTTP/1.1\r\nHost: localhost\r\n\r\n")
    if status != 200:
        wrong.append(f"afterwards /models is {status}")
    return counts, wrong


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    from helpers import make_checkpoint

    import zoo
    from zoo.explore.serve.server import Server
    from zoo.explore.serve.studio import Studio

    start = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        model = zoo.load(make_checkpoint(Path(folder) / "a.ckpt"))
        with Server(Studio([model]), port=0) as server:
            threading.Thread(target=server.serve_forever, daemon=True).start()
            counts, wrong = fuzz(given.requests, given.seed, server)
            server.shutdown()
    for line in wrong:
        print(line)
    answers = ", ".join(f"{status}: {n}" for status, n in sorted(counts.items()))
    seconds = f"{time.monotonic() - start:.0f} s"
    print(f"{given.requests} requests, seed {given.seed}: {answers}; {len(wrong)} wrong; {seconds}")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
