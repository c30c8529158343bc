"""Section 61: sockets towards upstream servers, and messages by TCP."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable

import pytest

import dnswire
import pydnsmasq as p
from pure import Pure
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


# -- questions, and who has a word in their replies ------------------------------------


def test_a_question_waits_while_a_server_may_answer() -> None:
    state = Pure("server=127.0.0.1#5", "server=127.0.0.2#5").state
    query = p.dns_query_unpack(dnswire.build_query("A.test", "AAAA", id=7))
    tail = p.forward_query(query, state.config, ())
    pending = p.PendingQuestion("key", query, state, state.rules.default, tail, 100.0)
    assert pending.question == b"\1A\4test\0\0\x1c\0\1"
    assert (pending.mark, pending.waiters, pending.patience) == (0, [], p.FORWARD_TIMEOUT)
    one, two = state.rules.default.servers
    assert not pending.open_servers(100.0), "nobody was asked"
    pending.sent = {one: 100.0, two: 100.0 + one.patience()}
    later = 100.01 + one.patience()
    assert pending.open_servers(later)
    pending.settled = {two}
    assert not pending.open_servers(later) and pending.open_servers(later - 0.02)


def test_the_patience_of_a_question_is_set() -> None:
    state = Pure("server=127.0.0.1#5", "fast-dns-retry=100,1500").state
    query = p.dns_query_unpack(dnswire.build_query("a.test"))
    pending = p.PendingQuestion("key", query, state, state.rules.default, bytes(40), 0.0)
    assert p.FORWARD_TIMEOUT != pending.patience == state.config.fast_dns_retry[1] / 1000


def test_a_proof_takes_turns_and_can_be_given_up() -> None:
    anchor = ".,20326,8,2," + "E06D44B80B8F1D39A95C0B0D7C65D08458E880409BBC683457104237C7F8EC8D"
    state = Pure("server=127.0.0.1#5", "dnssec", f"trust-anchor={anchor}").state
    query = p.dns_query_unpack(dnswire.build_query("a.test"))
    wire = dnswire.build_reply(dnswire.parse(query.wire), answer=[dnswire.record("a.test 60 A 192.0.2.1")])
    outcome: list[p.DnssecVerdict] = []
    job = p.DnssecJob(p.dns_message_unpack(wire), query, state, None, outcome.append)
    assert isinstance(job.turn(), p.NeedRecords) and not outcome
    job.abandon("work")
    assert [verdict.status for verdict in outcome] == [p.DNSSEC_ABANDONED]


def test_nobody_listens_where_there_is_no_bus() -> None:
    listener, unused = p.DnsListener(), lambda *_: pytest.fail("somebody is called")
    message = p.dns_message_unpack(dnswire.build_reply(dnswire.parse(dnswire.build_query("a.test"))))
    assert not listener.results(message, unused) and not listener.resolved(5, [], unused)
    listener.refused(5, b"\1a\0")


WAITS = [
    # what asking does with `done`, what comes of it
    ("nothing, and says so", lambda done: False, None),
    ("answers at once", lambda done: done("now") or True, "now"),
    ("only calls", lambda done: done() or True, None),
    ("answers in a while", lambda done: threading.Timer(0.05, done, ["then"]).start() or True, "then"),
    ("twice", lambda done: done("first") or done("second") or True, "first"),
    ("says no in spite of its answer", lambda done: done("now") or False, None),
]


@pytest.mark.parametrize(("ask", "expected"), [row[1:] for row in WAITS], ids=[row[0] for row in WAITS])
def test_waiting(ask: Callable[[Callable[..., None]], bool], expected: object) -> None:
    assert p.wait_for(ask, 5) == expected


def test_nobody_waits_for_ever() -> None:
    assert p.wait_for(lambda done: True, 0.02) is None
