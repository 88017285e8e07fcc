"""The page under requests that no browser of this machine sends."""

from __future__ import annotations

import socket
import threading
import time

import pytest
from helpers_browser import get
from helpers_fuzz import script

import zoo.explore.serve.server as module

page = script("page")


@pytest.mark.parametrize("seed", [1, 2])
def test_hostile_requests_are_answered_or_refused(server, seed):
    counts, wrong = page.fuzz(30, seed, server)
    assert not wrong
    assert counts[403] > 0


@pytest.mark.parametrize("host", page.FOREIGN)
def test_a_host_that_is_not_this_machine(server, host):
    request = f"GET /models HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()
    assert page.ask(server.server_address[1], request)[0] in (400, 403)


def test_two_hosts_are_one_too_many(server):
    request = b"GET /models HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n"
    assert page.ask(server.server_address[1], request)[0] == 403


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:80", "127.0.0.1:7860", "[::1]:1"])
def test_this_machine_under_its_names(server, host):
    assert get(server, "models", headers={"Host": host}).status == 200


@pytest.mark.parametrize(
    ("path", "site", "mode", "status"),
    [
        ("models", "cross-site", "no-cors", 403),
        ("image?seed=1", "same-site", "navigate", 403),
        ("", "cross-site", "no-cors", 403),
        ("", "cross-site", "navigate", 200),
        ("models", "same-origin", "cors", 200),
        ("models", "none", "navigate", 200),
    ],
)
def test_what_another_site_asks_for_is_refused(server, path, site, mode, status):
    request = (
        f"GET /{path} HTTP/1.1\r\nHost: localhost\r\nSec-Fetch-Site: {site}\r\n"
        f"Sec-Fetch-Mode: {mode}\r\n\r\n"
    )
    assert page.ask(server.server_address[1], request.encode())[0] == status


def test_a_client_that_never_ends_its_request_is_left(server, monkeypatch):
    """However often it sends a byte."""
    monkeypatch.setattr(module, "REQUEST_SECONDS", 1.0)
    with socket.create_connection(("127.0.0.1", server.server_address[1]), timeout=60) as client:
        client.settimeout(0.2)
        client.sendall(b"GET / HTTP/1.1\r\n")
        end = time.monotonic() + 60
        while True:
            assert time.monotonic() < end
            try:
                client.sendall(b"X")
                if client.recv(1) == b"":
                    break
            except TimeoutError:
                continue
            except ConnectionError:
                break


def test_idle_connections_do_not_keep_others_out(server, monkeypatch):
    monkeypatch.setattr(module, "REQUEST_SECONDS", 1.0)
    address = ("127.0.0.1", server.server_address[1])
    idle = [socket.create_connection(address, timeout=30) for _ in range(200)]
    try:
        assert get(server, "models").status == 200
        assert server._connections <= module.MOST_CONNECTIONS
    finally:
        for client in idle:
            client.close()


def test_a_connection_for_which_no_thread_starts_is_none_any_more(server, monkeypatch):
    """As where the system has no more of them: a page without connections left answers nobody."""

    def start(self):
        raise RuntimeError("can't start new thread")

    port, request = server.server_address[1], b"GET /models HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", start)
        for _ in range(3):
            assert page.ask(port, request)[0] == 0
    end = time.monotonic() + 10
    while server._connections and time.monotonic() < end:
        time.sleep(0.01)
    assert server._connections == 0
    assert not server._waiting
    assert page.ask(port, request)[0] == 200
