"""Section 61: sockets towards upstream servers, and messages by TCP."""

from __future__ import annotations

import os
import socket
import threading
import time

import pytest

import pydnsmasq as p
from shellkit import settings


def server(text: str) -> p.Upstream:
    rules = p.DomainRules({})
    for rule in settings(f"server={text}").server:
        rules.add_server(rule)
    return rules.default.servers[0]


def bound(kind: int) -> socket.socket:
    sock = socket.socket(socket.AF_INET, kind)
    sock.bind(("127.0.0.1", 0))
    return sock


def test_a_socket_is_connected_and_does_not_wait() -> None:
    with bound(socket.SOCK_DGRAM) as peer:
        target = server(f"127.0.0.1#{peer.getsockname()[1]}")
        with p.upstream_socket(target, settings(""), socket.SOCK_DGRAM, 0, os.urandom) as sock:
            assert sock.getpeername() == peer.getsockname() and not sock.getblocking()


def test_the_source_is_the_servers() -> None:
    with bound(socket.SOCK_DGRAM) as peer:
        target = server(f"127.0.0.1#{peer.getsockname()[1]}@127.0.0.7")
        with p.upstream_socket(target, settings(""), socket.SOCK_DGRAM, 0, os.urandom) as sock:
            assert sock.getsockname()[0] == "127.0.0.7"


def test_ports_are_between_the_bounds() -> None:
    config = settings("min-port=40000\nmax-port=40005")
    with bound(socket.SOCK_DGRAM) as peer:
        target = server(f"127.0.0.1#{peer.getsockname()[1]}")
        for _ in range(20):
            with p.upstream_socket(target, config, socket.SOCK_DGRAM, 0, os.urandom) as sock:
                assert 40000 <= sock.getsockname()[1] <= 40005


def test_preparing_comes_before_the_connection() -> None:
    seen = []
    with bound(socket.SOCK_STREAM) as peer:
        peer.listen()
        target = server(f"127.0.0.1#{peer.getsockname()[1]}")

        def prepare(sock: socket.socket) -> None:
            with pytest.raises(OSError):
                sock.getpeername()
            seen.append(sock.gettimeout())

        p.upstream_socket(target, settings(""), socket.SOCK_STREAM, 0, os.urandom, 1.5, prepare).close()
    assert seen == [1.5]


def test_a_failure_closes_the_socket() -> None:
    before = set(os.listdir("/proc/self/fd"))

    def prepare(sock: socket.socket) -> None:
        raise PermissionError

    with pytest.raises(PermissionError):
        p.upstream_socket(server("127.0.0.1#5"), settings(""), socket.SOCK_DGRAM, 0, os.urandom, prepare=prepare)
    assert set(os.listdir("/proc/self/fd")) == before


MESSAGES = [
    ([b"\0\3abc"], b"abc"),
    ([b"\0", b"\3a", b"bc"], b"abc"),
    ([b"\0\0"], b""),
    ([b"\0\3ab"], None),
    ([b"\0"], None),
    ([], None),
]


@pytest.mark.parametrize(("parts", "expected"), MESSAGES)
def test_messages_by_tcp(parts: list[bytes], expected: bytes | None) -> None:
    ours, theirs = socket.socketpair()

    def send() -> None:
        for part in parts:
            theirs.send(part)
        theirs.close()

    thread = threading.Thread(target=send)
    thread.start()
    with ours:
        assert p.tcp_message_read(ours, time.monotonic() + 5) == expected
    thread.join()


def test_a_message_that_does_not_come_ends_at_the_deadline() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.send(b"\0\3a")
        with pytest.raises(TimeoutError):
            p.tcp_message_read(ours, time.monotonic() + 0.05)
