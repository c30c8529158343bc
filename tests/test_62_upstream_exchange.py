"""Section 62: questions on their way, towards mock upstreams on loopback."""

from __future__ import annotations

import os
import random
import socket
import threading
import time
from collections.abc import Callable

import pytest

import dnswire
import pydnsmasq
from dnswire import DnsMessage, DnsQuestion
from harness import MockReply, MockUpstream, free_port, wait_until
from shellkit import Exchange, Waiter, descriptors, settings

Zone = Callable[[DnsQuestion, DnsMessage], "MockReply | None"]


def saying(address: str, **more: object) -> Zone:
    """A server that knows every name, at one address."""
    return lambda question, query: MockReply(answer=[dnswire.record(f"{question.name} 300 A {address}")], **more)  # type: ignore[arg-type]


def failing(rcode: str, delay: float = 0.0) -> Zone:
    return lambda question, query: MockReply(rcode=rcode, delay=delay)


def silent(question: DnsQuestion, query: DnsMessage) -> None:
    return None


def servers(*mocks: MockUpstream) -> str:
    return "no-resolv\n" + "".join(f"server={mock.address}\n" for mock in mocks)


ONE, TWO = "198.18.0.1", "198.18.0.2"


# -- whom to ask -------------------------------------------------------------------


def test_a_question_and_its_answer() -> None:
    with MockUpstream(saying(ONE)) as up, Exchange(servers(up)) as exchange:
        reply = exchange.get("Www.Example.TEST", id=0x1234)
        assert reply.id == 0x1234 and reply.rdatas() == [ONE] and reply.has("RA") and reply.has("RD")
        assert reply.question[0].name == "Www.Example.TEST"
        sent = up.seen[0].message
        assert sent.id != 0x1234 and sent.edns_size == 1232 and sent.has("RD")
        exchange.quiet()
        server = exchange.servers[0]
        assert (server.queries, server.failed, server.retried, server.failures) == (1, 0, 0, 0)
        assert exchange.state.metrics.forwarded == 1


def test_the_first_question_is_a_race_and_the_winner_the_favourite() -> None:
    with (
        MockUpstream(saying(ONE, delay=0.1)) as slow,
        MockUpstream(saying(TWO)) as quick,
        Exchange(servers(slow, quick)) as exchange,
    ):
        assert exchange.get("first.test").rdatas() == [TWO]
        wait_until(lambda: slow.count("first.test") == quick.count("first.test") == 1, 2, "both questions")
        for number in range(20):
            assert exchange.get(f"n{number}.test").rdatas() == [TWO]
        # On a loaded machine an answer may be late enough to ask the other too.
        assert len(slow.seen) <= 5 and len(quick.seen) == 21


def test_all_are_raced_again_after_50_questions() -> None:
    with (
        MockUpstream(saying(ONE, delay=0.05)) as slow,
        MockUpstream(saying(TWO)) as quick,
        Exchange(servers(slow, quick)) as exchange,
    ):
        for number in range(pydnsmasq.FAVOURITE_QUERIES + 5):
            exchange.get(f"n{number}.test")
        # Two races; on a loaded machine an answer may also be late enough to ask the other.
        assert 2 <= len(slow.seen) <= 10


def test_all_are_raced_again_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pydnsmasq, "FAVOURITE_SECONDS", 0.2)
    with (
        MockUpstream(saying(ONE, delay=0.05)) as slow,
        MockUpstream(saying(TWO)) as quick,
        Exchange(servers(slow, quick)) as exchange,
    ):
        exchange.get("a.test")
        exchange.get("b.test")
        wait_until(lambda: slow.seen, 2, "the first race")
        time.sleep(0.25)
        exchange.get("c.test")
        wait_until(lambda: slow.count("c.test") == 1, 2, "the second race")


def test_all_servers_asks_everybody_each_time() -> None:
    with (
        MockUpstream(saying(ONE, delay=0.05)) as one,
        MockUpstream(saying(ONE, delay=0.05)) as two,
        Exchange(servers(one, two) + "all-servers\n") as exchange,
    ):
        for number in range(5):
            exchange.get(f"n{number}.test")
        wait_until(lambda: len(one.seen) == len(two.seen) == 5, 2, "all questions")


def test_strict_order_asks_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    # On a busy machine the first may be late.
    for name in ("UPSTREAM_PATIENCE_MIN", "UPSTREAM_PATIENCE_MAX"):
        monkeypatch.setattr(pydnsmasq, name, 3.0)
    with (
        MockUpstream(saying(ONE, delay=0.01)) as one,
        MockUpstream(saying(TWO)) as two,
        Exchange(servers(one, two) + "strict-order\n") as exchange,
    ):
        for number in range(60):
            assert exchange.get(f"n{number}.test").rdatas() == [ONE]
        assert not two.seen


def test_strict_order_goes_on_to_the_next() -> None:
    with (
        MockUpstream(failing("REFUSED")) as one,
        MockUpstream(saying(TWO)) as two,
        Exchange(servers(one, two) + "strict-order\n") as exchange,
    ):
        assert exchange.get("a.test").rdatas() == [TWO]
        assert one.count("a.test") == 1
        assert exchange.get("b.test").rdatas() == [TWO]


def test_a_server_for_a_domain() -> None:
    with MockUpstream(saying(ONE)) as one, MockUpstream(saying(TWO)) as two:
        conf = f"no-resolv\nserver={one.address}\nserver=/inner.test/{two.address}\n"
        with Exchange(conf) as exchange:
            assert exchange.get("x.inner.test").rdatas() == [TWO]
            assert exchange.get("x.outer.test").rdatas() == [ONE]
            assert one.names() == ["x.outer.test"] and two.names() == ["x.inner.test"]


# -- silence -----------------------------------------------------------------------


def test_silence_of_the_favourite_is_answered_by_the_next_within_a_second() -> None:
    dead: set[int] = set()

    def zone(number: int, address: str) -> Zone:
        return lambda question, query: None if number in dead else saying(address)(question, query)

    with MockUpstream(zone(1, ONE)) as one, MockUpstream(zone(2, TWO)) as two, Exchange(servers(one, two)) as exchange:
        for victim in (1, 2):
            dead.clear()
            for number in range(5):
                exchange.get(f"warm{victim}-{number}.test")
            dead.add(victim)
            for number in range(60):
                waiter = exchange.ask(f"dead{victim}-{number}.test")
                reply = waiter.reply(3)
                assert reply is not None and reply.rcode == "NOERROR"
                assert waiter.took < 1.0, f"{waiter.took:.2f} s"


def test_a_dead_server_is_not_asked_every_time() -> None:
    with MockUpstream(silent) as dead, MockUpstream(saying(TWO)) as alive, Exchange(servers(dead, alive)) as exchange:
        for number in range(40):
            exchange.get(f"n{number}.test")
            time.sleep(0.01)
        assert len(dead.seen) < 20 and len(alive.seen) >= 40


def test_a_server_that_comes_back_is_used_again() -> None:
    state = {"dead": True}

    def zone(question: DnsQuestion, query: DnsMessage) -> MockReply | None:
        return None if state["dead"] else saying(ONE)(question, query)

    with MockUpstream(zone) as up, Exchange(servers(up)) as exchange:
        waiter = exchange.ask("early.test")
        wait_until(lambda: exchange.servers[0].failures >= 2, 5, "failures")
        state["dead"] = False
        # The question that waits is sent again, and answered.
        reply = waiter.reply(5)
        assert reply is not None and reply.rdatas() == [ONE]
        assert exchange.servers[0].failures == 0 and exchange.servers[0].retried >= 1
        assert exchange.get("later.test").rdatas() == [ONE]


def test_retries_use_the_same_port_and_id() -> None:
    with MockUpstream(silent) as up, Exchange(servers(up)) as exchange:
        exchange.ask("again.test")
        wait_until(lambda: len(up.seen) >= 3, 5, "two retries")
        assert len({(item.peer, item.message.id) for item in up.seen}) == 1


def test_fast_dns_retry_sets_the_pace() -> None:
    with MockUpstream(silent) as up, Exchange(servers(up) + "fast-dns-retry=100,1000\n") as exchange:
        names = [f"again{number}.test" for number in range(10)]
        for name in names:
            exchange.ask(name)
        wait_until(lambda: all(up.count(name) >= 3 for name in names), 5, "two retries")
        times = [[item.when for item in up.seen if item.message.question[0].name == name] for name in names]
        # On a busy machine some come late.
        assert 0.08 < min(later - first for first, later, *_ in times) < 0.3


def test_a_question_nobody_answers_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pydnsmasq, "FORWARD_TIMEOUT", 0.6)
    with MockUpstream(silent) as up, Exchange(servers(up)) as exchange:
        waiter = exchange.ask("gone.test")
        wait_until(lambda: not exchange.exchange._pending, 3, "the end")
        assert waiter.reply(0.05) is None
        assert exchange.state.metrics.unanswered == 1 and exchange.servers[0].failed == 1
        # Its name can be asked again, and its port is closed in a while.
        exchange.ask("gone.test")
        assert len(exchange.exchange._pending) == 1
        wait_until(lambda: not exchange.exchange._pending, 3, "the end")
        wait_until(lambda: not exchange.exchange._sockets, 4, "closed ports")


def test_icmp_refusal_goes_to_the_next_at_once() -> None:
    with MockUpstream(saying(TWO, delay=0.02)) as up:
        conf = f"no-resolv\nserver=127.0.0.1#{free_port()}\nserver={up.address}\nstrict-order\n"
        took = []
        with Exchange(conf) as exchange:
            for number in range(10):
                waiter = exchange.ask(f"n{number}.test")
                reply = waiter.reply(2)
                assert reply is not None and reply.rdatas() == [TWO]
                took.append(waiter.took)
        # Sooner than the patience with a silent server would end, but for some on a busy machine.
        assert sorted(took)[6] < 0.2


def test_icmp_refusal_by_the_only_server() -> None:
    port = free_port()
    with Exchange(f"no-resolv\nserver=127.0.0.1#{port}\n") as exchange:
        waiter = exchange.ask("a.test")
        time.sleep(0.1)
        with MockUpstream(saying(ONE), port=port):
            reply = waiter.reply(5)
        assert reply is not None and reply.rdatas() == [ONE], "a server that starts late is not found"


def test_an_unreachable_favourite_does_not_stop_the_others() -> None:
    """The favourite cannot even be sent to (its source address is not ours): the other answers."""
    with MockUpstream(saying(ONE)) as one, MockUpstream(saying(TWO)) as two:
        conf = f"no-resolv\nserver={one.address}@203.0.113.77\nserver={two.address}\n"
        with Exchange(conf) as exchange:
            bad = exchange.servers[0]
            exchange.state.rules.default.won(bad)
            exchange.state.rules.default._since = time.monotonic()
            assert exchange.get("a.test").rdatas() == [TWO]
            assert exchange.get("b.test").rdatas() == [TWO]
            assert "failed to send" in exchange.log.text()


def test_no_server_can_be_reached() -> None:
    with Exchange("no-resolv\nserver=127.0.0.1#9@203.0.113.77\n") as exchange:
        reply = exchange.get("a.test", edns=1232)
        assert reply.rcode == "REFUSED" and reply.ede == [23]
        assert not exchange.exchange._pending


# -- good and bad answers ----------------------------------------------------------


@pytest.mark.parametrize("rcode", ["SERVFAIL", "REFUSED"])
@pytest.mark.parametrize("good", ["NOERROR", "NXDOMAIN"])
@pytest.mark.parametrize("more", ["", "all-servers\n", "strict-order\n"])
def test_good_answers_beat_bad_ones(rcode: str, good: str, more: str) -> None:
    def slow(question: DnsQuestion, query: DnsMessage) -> MockReply:
        reply = saying(TWO, delay=0.05)(question, query)
        assert reply is not None
        if good == "NXDOMAIN":
            reply.rcode, reply.answer = "NXDOMAIN", []
        return reply

    with MockUpstream(failing(rcode)) as bad, MockUpstream(slow) as up, Exchange(servers(bad, up) + more) as exchange:
        for number in range(3):
            assert exchange.get(f"n{number}.test").rcode == good


def test_the_favourite_fails_and_the_other_knows() -> None:
    state = {"bad": False}

    def turning(question: DnsQuestion, query: DnsMessage) -> MockReply | None:
        return MockReply(rcode="SERVFAIL") if state["bad"] else saying(ONE)(question, query)

    with (
        MockUpstream(turning) as one,
        MockUpstream(saying(TWO, delay=0.05)) as two,
        Exchange(servers(one, two)) as exchange,
    ):
        assert exchange.get("a.test").rdatas() == [ONE]
        state["bad"] = True
        assert exchange.get("b.test").rdatas() == [TWO]


@pytest.mark.parametrize(
    ("rcodes", "expected"),
    [
        (("SERVFAIL", "SERVFAIL"), "SERVFAIL"),
        (("REFUSED", "REFUSED"), "REFUSED"),
        (("REFUSED", "SERVFAIL"), "SERVFAIL"),
        (("SERVFAIL", "REFUSED"), "SERVFAIL"),
    ],
)
def test_when_all_fail_the_client_hears_of_it(rcodes: tuple[str, str], expected: str) -> None:
    with (
        MockUpstream(failing(rcodes[0])) as one,
        MockUpstream(failing(rcodes[1], 0.03)) as two,
        Exchange(servers(one, two)) as exchange,
    ):
        waiter = exchange.ask("a.test")
        reply = waiter.reply()
        assert reply is not None and reply.rcode == expected and waiter.took < 1.0


@pytest.mark.parametrize("rcode", ["SERVFAIL", "REFUSED"])
def test_one_fails_and_the_other_is_silent(rcode: str) -> None:
    """With two upstreams of which one is dead no query takes over a second, also when the news are bad."""
    with MockUpstream(failing(rcode)) as one, MockUpstream(silent) as two, Exchange(servers(one, two)) as exchange:
        waiter = exchange.ask("a.test")
        reply = waiter.reply(3)
        assert reply is not None, "the client waits for the dead server"
        assert reply.rcode == rcode and waiter.took < 1.0


def test_one_fails_and_the_other_refuses_the_port() -> None:
    with MockUpstream(failing("SERVFAIL", 0.05)) as one:
        conf = f"no-resolv\nserver={one.address}\nserver=127.0.0.1#{free_port()}\n"
        with Exchange(conf) as exchange:
            waiter = exchange.ask("a.test")
            reply = waiter.reply(3)
            assert reply is not None, "the client waits for a server that has said no"
            assert reply.rcode == "SERVFAIL" and waiter.took < 1.0


def test_other_rcodes_are_passed_on() -> None:
    with MockUpstream(failing("NOTIMP")) as up, Exchange(servers(up)) as exchange:
        assert exchange.get("a.test").rcode == "NOTIMP"


# -- merging -----------------------------------------------------------------------


def test_identical_questions_are_asked_once() -> None:
    with MockUpstream(saying(ONE, delay=0.2)) as up, Exchange(servers(up)) as exchange:
        waiters = [exchange.ask("same.test", id=number, port=2000 + number) for number in range(50)]
        for number, waiter in enumerate(waiters):
            reply = waiter.reply()
            assert reply is not None and reply.id == number and reply.rdatas() == [ONE]
        assert up.count("same.test") == 1
        assert all(waiter.queue.empty() for waiter in waiters), "somebody was answered twice"


def test_merged_clients_get_their_own_letters_and_flags() -> None:
    with MockUpstream(saying(ONE, delay=0.2)) as up, Exchange(servers(up)) as exchange:
        first = exchange.ask("same.test", id=1, port=1)
        second = exchange.ask("SAME.test", id=2, port=2)
        third = exchange.ask("same.test", id=3, port=3, edns=4096)
        replies = [waiter.reply() for waiter in (first, second, third)]
        assert [reply.question[0].name for reply in replies if reply] == ["same.test", "SAME.test", "same.test"]
        assert [reply.edns_size is None for reply in replies if reply] == [True, True, False]
        assert up.count("same.test") == 1


DIFFERENT = [
    ("another type", {"qtype": "AAAA"}),
    ("another class", {"klass": 5}),
    ("DO", {"do": True}),
    ("CD", {"flags": "RD CD"}),
    ("no RD", {"flags": ""}),
]


@pytest.mark.parametrize(("what", "options"), DIFFERENT, ids=[row[0] for row in DIFFERENT])
def test_what_differs_is_not_merged(what: str, options: dict[str, object]) -> None:
    with MockUpstream(saying(ONE, delay=0.2)) as up, Exchange(servers(up)) as exchange:
        first = exchange.ask("same.test", port=1)
        second = exchange.ask("same.test", port=2, **options)  # type: ignore[arg-type]
        assert first.reply() is not None and second.reply() is not None
        assert up.count("same.test") == 2


def test_a_retransmission_goes_to_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pydnsmasq, "FORWARD_RETRANSMIT", 0.05)
    monkeypatch.setattr(pydnsmasq, "UPSTREAM_PATIENCE_MAX", 5.0)
    with (
        MockUpstream(saying(ONE, delay=0.3)) as one,
        MockUpstream(saying(TWO, delay=0.1)) as two,
        Exchange(servers(one, two)) as exchange,
    ):
        assert exchange.get("warm.test").rdatas() == [TWO]
        two.zone = silent
        exchange.servers[1].rtt = 2.0  # so that patience with it outlasts what follows
        asked = len(one.seen)
        exchange.ask("again.test", id=7, port=7)
        time.sleep(0.1)
        assert len(one.seen) == asked
        exchange.ask("again.test", id=7, port=7)
        wait_until(lambda: len(one.seen) > asked, 2, "the other server is asked")
        exchange.quiet()


def test_retransmissions_do_not_multiply_ids() -> None:
    """Each (port, id) that is out for one question is one more lot in a forger's lottery."""
    with MockUpstream(silent) as up, Exchange(servers(up)) as exchange:
        for _ in range(60):
            exchange.ask("victim.test", id=7, port=7)
        time.sleep(0.2)
        assert len({(item.peer[1], item.message.id) for item in up.seen}) <= 3
        assert len(up.seen) < 10, "each retransmission costs a packet"


def test_late_duplicates_do_not_multiply_ids(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pydnsmasq, "FORWARD_RESEND", 0.0)
    with MockUpstream(silent) as up, Exchange(servers(up)) as exchange:
        for number in range(300):
            exchange.ask("victim.test", id=number, port=number + 1)
        time.sleep(0.2)
        assert len({(item.peer[1], item.message.id) for item in up.seen}) <= 3
        pending = list(exchange.exchange._pending.values())
        assert len(pending) == 1 and len(pending[0].waiters) <= pydnsmasq.FORWARD_WAITERS


def test_a_resend_that_fails_leaves_the_others_waiting() -> None:
    """One client's retransmission cannot be sent: those who wait for the same answer still get it."""
    with MockUpstream(saying(ONE, delay=0.4)) as up, Exchange(servers(up)) as exchange:
        first = exchange.ask("same.test", id=1, port=1)
        other = exchange.ask("same.test", id=2, port=2)
        real = pydnsmasq.UpstreamExchange._send
        exchange.exchange._send = lambda *_: False  # type: ignore[method-assign]
        exchange.ask("same.test", id=1, port=1)
        exchange.exchange._send = real.__get__(exchange.exchange)
        assert other.reply(2) is not None and first.reply(2) is not None


# -- what is ignored ---------------------------------------------------------------


def _after_lies(lie: MockReply | None, conf: str = "", forge: bytes = b"") -> tuple[DnsMessage | None, int]:
    """The first reply is a lie, the retry gets the truth; gives the reply and how many were ignored."""
    truth = saying(ONE)
    told: set[str] = set()

    def zone(question: DnsQuestion, query: DnsMessage) -> MockReply | None:
        if question.name.lower() not in told and lie is not None:
            told.add(question.name.lower())
            lie.answer = [dnswire.record(f"{question.name} 300 A 203.0.113.66")]
            return lie
        return truth(question, query)

    with MockUpstream(zone) as up, Exchange(servers(up) + conf) as exchange:
        reply = exchange.ask("Letters.Of.A.Long.Name.For.Case.test").reply(3)
        return reply, exchange.exchange.ignored


@pytest.mark.parametrize(
    ("lie", "counted"),
    [
        (MockReply(wrong_id=True), True),
        (MockReply(wrong_question=True), True),
        (MockReply(wrong_port=True), False),  # the kernel keeps these from us
        (MockReply(flags="RA"), True),  # no reply at all
        (MockReply(raw=b""), True),
        (MockReply(raw=b"\x81"), True),
        (MockReply(raw=b"\x81\x80\0\0\0\0\0\0\0\0"), True),
    ],
    ids=["id", "question", "port", "QR", "id alone", "short", "no question"],
)
def test_lies_are_ignored(lie: MockReply, counted: bool) -> None:
    reply, ignored = _after_lies(lie)
    assert reply is not None and reply.rdatas() == [ONE]
    assert (ignored > 0) == counted


def test_a_reply_from_another_address_is_ignored() -> None:
    ports: list[int] = []

    def zone(question: DnsQuestion, query: DnsMessage) -> MockReply | None:
        if not ports:
            ports.append(up.seen[-1].peer[1])
            forged = dnswire.build_reply(query, answer=[dnswire.record(f"{question.name} 300 A 203.0.113.66")])
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
                other.bind(("127.0.0.2", 0))
                other.sendto(forged, ("127.0.0.1", ports[0]))
            return None
        return saying(ONE)(question, query)

    with MockUpstream(zone) as up, Exchange(servers(up)) as exchange:
        assert exchange.get("a.test").rdatas() == [ONE]


def test_a_late_reply_hits_nobody() -> None:
    with MockUpstream(saying(ONE, copies=3)) as up, Exchange(servers(up)) as exchange:
        waiter = exchange.ask("a.test")
        assert waiter.reply() is not None
        wait_until(lambda: exchange.exchange.ignored == 2, 2, "two ignored copies")
        assert waiter.queue.empty()


def test_0x20_shuffles_the_case() -> None:
    name = "abcdefghijklmnopqrstuvwxyz.example.test"
    with MockUpstream(saying(ONE)) as up, Exchange(servers(up) + "do-0x20-encode\n") as exchange:
        for _ in range(4):
            reply = exchange.get(name, "A")
            assert reply.question[0].name == name and reply.rdatas() == [ONE]
            exchange.state.cache.flush()
        shown = [item.message.question[0].name for item in up.seen]
        assert {text.lower() for text in shown} == {name} and len(set(shown)) > 1 and name not in shown[:1] + shown[1:2]


def test_0x20_refuses_another_case() -> None:
    def lowering(question: DnsQuestion, query: DnsMessage) -> MockReply:
        query.question[0] = DnsQuestion(question.name.lower(), question.qtype, question.klass)
        reply = saying(ONE)(question, query)
        assert reply is not None
        return reply

    with MockUpstream(lowering) as up, Exchange(servers(up) + "do-0x20-encode\n") as exchange:
        assert exchange.ask("abcdefghijklmnopqrstuvwxyz.test").reply(0.5) is None
        assert exchange.exchange.ignored > 0 and "case" in exchange.log.text()
    with MockUpstream(lowering) as up, Exchange(servers(up)) as exchange:
        assert exchange.get("ABCDEF.test").rdatas() == [ONE]


def test_truncated_answers_are_passed_with_the_flag() -> None:
    with MockUpstream(saying(ONE, truncate=True)) as up, Exchange(servers(up)) as exchange:
        reply = exchange.get("a.test")
        assert reply.has("TC") and reply.rcode == "NOERROR"
        assert exchange.state.cache.inserted == 0


def test_an_answer_too_large_for_the_client() -> None:
    def large(question: DnsQuestion, query: DnsMessage) -> MockReply:
        return MockReply(answer=[dnswire.record(f"{question.name} 300 A 198.18.1.{i}") for i in range(60)])

    with MockUpstream(large) as up, Exchange(servers(up)) as exchange:
        small = exchange.get("Large.test")
        assert small.has("TC") and not small.answer and len(small.raw) <= 512
        exchange.state.cache.flush()
        assert len(exchange.get("Large.test", edns=1232).raw) <= 1232
        exchange.state.cache.flush()
        assert len(exchange.get("Large.test", tcp=True).answer) == 60


def _question(name: str) -> bytes:
    return dnswire.pack_name(name) + b"\0\1\0\1"


MALFORMED = {
    "answer runs off": b"\x81\x80\0\1\0\1\0\0\0\0" + _question("a.test") + b"\xc0\x0c\0\1\0\1\0\0",
    "looping pointer": b"\x81\x80\0\1\0\1\0\0\0\0" + _question("a.test") + b"\xc0\x18\0\1\0\1\0\0\0\1\0\4abcd",
    "data runs off": b"\x81\x80\0\1\0\1\0\0\0\0" + _question("a.test") + b"\xc0\x0c\0\1\0\1\0\0\0\1\0\x40abcd",
    "60,000 answers": b"\x81\x80\0\1\xea\x60\0\0\0\0" + _question("a.test"),
    "two OPT": b"\x81\x80\0\1\0\0\0\0\0\2" + _question("a.test") + b"\0\0\x29\4\xd0\0\0\0\0\0\0" * 2,
    "reserved label": b"\x81\x80\0\1\0\1\0\0\0\0" + _question("a.test") + b"\x80\0\0\1\0\1\0\0\0\1\0\4abcd",
}


@pytest.mark.parametrize("raw", MALFORMED.values(), ids=MALFORMED)
@pytest.mark.parametrize("tcp", [False, True])
def test_a_malformed_reply_is_servfail(raw: bytes, tcp: bool) -> None:
    with MockUpstream(lambda question, query: MockReply(raw=raw)) as up, Exchange(servers(up)) as exchange:
        reply = exchange.get("a.test", tcp=tcp)
        if raw is MALFORMED["two OPT"]:  # some let that pass
            assert reply.rcode in ("SERVFAIL", "NOERROR")
        else:
            assert reply.rcode == "SERVFAIL" and not reply.answer
        assert reply.question[0].name == "a.test"
        assert exchange.state.cache.inserted == 0


def test_random_replies_hurt_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """Mutated replies with a right id and question from a fixed seed: each question is answered or dropped, no more."""
    monkeypatch.setattr(pydnsmasq, "FORWARD_TIMEOUT", 2.0)
    rng = random.Random(61)

    def mutating(question: DnsQuestion, query: DnsMessage) -> MockReply:
        good = saying(ONE)(question, query)
        assert good is not None
        wire = bytearray(good.pack(query, False))
        head = 12 + len(dnswire.pack_name(question.name)) + 4
        for _ in range(rng.randrange(1, 6)):
            wire[rng.randrange(3 if rng.random() < 0.3 else head, len(wire))] = rng.randrange(256)
        return MockReply(raw=bytes(wire[2 : rng.randrange(12, len(wire) + 1)]), copies=1)

    with MockUpstream(mutating) as up, Exchange(servers(up)) as exchange:
        waiters = []
        for number in range(1500):
            waiters.append(exchange.ask(f"m{number}.test"))
            if number % 20 == 0:
                time.sleep(0.01)
        # A server that sends little of use may get fewer questions at once: some are refused.
        wait_until(lambda: len(up.seen) >= 750, 10, "most questions")
        wait_until(lambda: sum(not waiter.queue.empty() for waiter in waiters) > 300, 5, "some answers")
        up.zone = saying(ONE)
        exchange.quiet()
        assert exchange.get("after.test").rdatas() == [ONE]


# -- source ports ------------------------------------------------------------------


def _ports(up: MockUpstream) -> list[int]:
    return [item.peer[1] for item in up.seen if not item.tcp]


def test_source_ports_and_ids_are_random() -> None:
    with MockUpstream(saying(ONE)) as up, Exchange(servers(up)) as exchange:
        for number in range(200):
            exchange.get(f"n{number}.test")
        ports, ids = _ports(up), [item.message.id for item in up.seen]
        assert len(set(ids)) > 190
        assert len(set(ports)) >= pydnsmasq.UPSTREAM_PORTS
        assert max(ports.count(port) for port in ports) <= pydnsmasq.UPSTREAM_PORT_USES + 1
        assert sorted(set(ports)) != list(range(min(ports), min(ports) + len(set(ports))))
        assert len(exchange.exchange._sockets) <= pydnsmasq.UPSTREAM_PORTS + 1


def test_slow_questions_have_a_port_each(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pydnsmasq, "UPSTREAM_PORT_IDLE", 0.05)
    with MockUpstream(saying(ONE)) as up, Exchange(servers(up)) as exchange:
        for number in range(20):
            exchange.get(f"n{number}.test")
            time.sleep(0.08)
        assert len(set(_ports(up))) > 17


def test_idle_ports_are_closed() -> None:
    with MockUpstream(saying(ONE)) as up, Exchange(servers(up)) as exchange:
        before = descriptors()
        for number in range(100):
            exchange.get(f"n{number}.test")
        assert descriptors() > before
        wait_until(lambda: not exchange.exchange._sockets, 5, "closed ports")
        assert descriptors() == before and not exchange.exchange._pools


def test_a_port_range_is_kept() -> None:
    low = free_port()
    with MockUpstream(saying(ONE)) as up:
        conf = servers(up) + f"min-port={low}\nmax-port={low + 40}\n"
        with Exchange(conf) as exchange:
            for number in range(40):
                exchange.get(f"n{number}.test")
        ports = set(_ports(up))
        assert ports <= set(range(low, low + 41)) and len(ports) >= 10


def test_min_port_alone() -> None:
    with MockUpstream(saying(ONE)) as up, Exchange(servers(up) + "min-port=50000\n") as exchange:
        for number in range(30):
            exchange.get(f"n{number}.test")
        assert min(_ports(up)) >= 50000 and len(set(_ports(up))) > 10


def test_a_full_port_range_is_a_complaint_and_no_end() -> None:
    low = free_port()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken, MockUpstream(saying(ONE)) as up:
        taken.bind(("0.0.0.0", low))
        with Exchange(servers(up) + f"min-port={low}\nmax-port={low}\n") as exchange:
            assert exchange.get("a.test").rcode == "REFUSED"
            assert "failed to send" in exchange.log.text()
            taken.close()
            assert exchange.get("b.test").rdatas() == [ONE]


def test_more_questions_than_a_small_range_has_ports() -> None:
    low = free_port()
    with (
        MockUpstream(saying(ONE, delay=0.2)) as up,
        Exchange(servers(up) + f"min-port={low}\nmax-port={low + 3}\n") as exchange,
    ):
        waiters = [exchange.ask(f"n{number}.test") for number in range(20)]
        replies = [waiter.reply() for waiter in waiters]
        assert all(reply is not None and reply.rcode == "NOERROR" for reply in replies)


def test_query_port() -> None:
    port = free_port()
    with MockUpstream(saying(ONE)) as up, Exchange(servers(up) + f"query-port={port}\n") as exchange:
        for number in range(30):
            exchange.get(f"n{number}.test")
        assert set(_ports(up)) == {port}
        assert len({item.message.id for item in up.seen}) > 25


def test_query_port_towards_several_servers() -> None:
    port = free_port()
    with MockUpstream(saying(ONE, delay=0.05)) as one, MockUpstream(saying(ONE, delay=0.05)) as two:
        conf = servers(one) + f"server={two.address}\nall-servers\nquery-port={port}\n"
        with Exchange(conf) as exchange:
            for number in range(5):
                exchange.get(f"n{number}.test")
            wait_until(lambda: len(one.seen) == len(two.seen) == 5, 1, "both servers are asked")
            assert set(_ports(one)) == set(_ports(two)) == {port}


def test_source_address_and_port_of_a_server() -> None:
    port = free_port()
    with MockUpstream(saying(ONE)) as up:
        with Exchange(f"no-resolv\nserver={up.address}@127.0.0.5#{port}\n") as exchange:
            exchange.get("a.test")
            exchange.get("b.test")
        assert {item.peer for item in up.seen} == {("127.0.0.5", port)}
    with MockUpstream(saying(ONE)) as up, Exchange(f"no-resolv\nserver={up.address}@127.0.0.5\n") as exchange:
        for number in range(10):
            exchange.get(f"n{number}.test")
        assert {item.peer[0] for item in up.seen} == {"127.0.0.5"} and len(set(_ports(up))) > 5
        exchange.get("tcp.test", tcp=True)
        assert {item.peer[0] for item in up.seen} == {"127.0.0.5"}


def test_sockets_of_fixed_ports_go_with_their_server() -> None:
    """Servers of a resolv file come and go: each must not leave a socket behind for ever."""
    with Exchange("no-resolv\nserver=127.0.0.1#9\nquery-port=0\n") as exchange:
        before = descriptors()
        for number in range(6):
            with MockUpstream(saying(ONE)) as up:
                port = free_port()
                rules = pydnsmasq.DomainRules({})
                config = settings(servers(up) + f"query-port={port}\n")
                for rule in config.server:
                    rules.add_server(rule)
                exchange.state.rules, exchange.state.config = rules, config
                assert exchange.get(f"n{number}.test").rdatas() == [ONE]
        time.sleep(2.5 * pydnsmasq.UPSTREAM_PORT_IDLE)
        assert descriptors() <= before + 2


# -- how many may wait -------------------------------------------------------------


def _fill(exchange: Exchange, count: int, domain: str = "fill.test", first: int = 0) -> tuple[int, list[Waiter]]:
    """Ask many names; give how many were refused at once."""
    waiters = [exchange.ask(f"n{first + number}.{domain}", port=number % 60000 + 1) for number in range(count)]
    replies = [dnswire.parse(waiter.queue.queue[0]) for waiter in waiters if not waiter.queue.empty()]
    return sum(reply.rcode == "REFUSED" for reply in replies), waiters


def test_the_table_grows_while_servers_are_alive(monkeypatch: pytest.MonkeyPatch) -> None:
    # On a busy machine 400 questions take longer than a server may be silent.
    monkeypatch.setattr(pydnsmasq, "UPSTREAM_PATIENCE_MAX", 5.0)
    with MockUpstream(saying(ONE, delay=2.0)) as up, Exchange(servers(up)) as exchange:
        exchange.servers[0].rtt = 2.0  # known to be slow, and alive
        exchange.servers[0].last_reply = time.monotonic()
        refused, waiters = _fill(exchange, 400)
        assert refused == 0 and len(exchange.exchange._pending) == 400
        assert sum(waiter.reply(10) is not None for waiter in waiters) == 400
        assert "Maximum number" not in exchange.log.text()


def test_the_growth_is_bounded_by_descriptors() -> None:
    with MockUpstream(silent) as up, Exchange(servers(up), descriptors=500) as exchange:
        refused, _ = _fill(exchange, 400)
        assert refused >= 400 - 250
        assert len(exchange.exchange._pending) <= 250


def test_a_dead_server_does_not_get_the_growth() -> None:
    with MockUpstream(silent) as up, Exchange(servers(up)) as exchange:
        exchange.servers[0].silent(time.monotonic())
        refused, _ = _fill(exchange, 400)
        assert refused == 400 - pydnsmasq.FORWARD_MAX


def test_the_complaint_names_the_cause() -> None:
    with MockUpstream(silent) as up, Exchange(servers(up) + "dns-forward-max=20\n") as exchange:
        exchange.servers[0].silent(time.monotonic() - 7)
        refused, _ = _fill(exchange, 300)
        assert refused == 280
        lines = [line for line in exchange.log.lines() if "Maximum number" in line]
        assert len(lines) == 1, "once is enough"
        assert lines[0].startswith("Maximum number of concurrent DNS queries reached (max: 20)")
        assert exchange.servers[0].text in lines[0] and "silent for 7 s" in lines[0] and "20 waiting" in lines[0]


def test_the_complaint_names_the_domain() -> None:
    with MockUpstream(silent) as up:
        conf = f"no-resolv\nserver=/fill.test/{up.address}\ndns-forward-max=20\n"
        with Exchange(conf) as exchange:
            exchange.state.rules.groups[1].servers[0].silent(time.monotonic())
            _fill(exchange, 40)
            assert "Maximum number of concurrent DNS queries to fill.test reached (max: 20)" in exchange.log.text()


def test_a_dead_domain_does_not_starve_the_others() -> None:
    with MockUpstream(silent) as dead, MockUpstream(saying(ONE)) as alive:
        conf = f"no-resolv\nserver=/fill.test/{dead.address}\nserver={alive.address}\n"
        with Exchange(conf, descriptors=400) as exchange:
            refused, _ = _fill(exchange, 600)
            assert refused > 0
            for number in range(20):
                assert exchange.get(f"n{number}.other.test").rdatas() == [ONE]


def test_cause_and_effect_end_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """When a dead server comes back, the table empties and all is well again."""
    monkeypatch.setattr(pydnsmasq, "FORWARD_TIMEOUT", 3.0)
    state = {"dead": True}

    def zone(question: DnsQuestion, query: DnsMessage) -> MockReply | None:
        return None if state["dead"] else saying(ONE)(question, query)

    with MockUpstream(zone) as up, Exchange(servers(up)) as exchange:
        _fill(exchange, 300)
        time.sleep(0.5)
        state["dead"] = False
        exchange.quiet()
        refused, waiters = _fill(exchange, 100, first=1000)
        assert refused == 0 and all(waiter.reply() is not None for waiter in waiters)


def test_running_out_of_descriptors() -> None:
    """No socket to be had: a refusal and a log line, and all is well when there are some again."""
    with MockUpstream(saying(ONE)) as up, Exchange(servers(up)) as exchange:
        real = pydnsmasq.upstream_socket

        def none_left(*_: object, **__: object) -> socket.socket:
            raise OSError(24, "Too many open files")

        pydnsmasq.upstream_socket = none_left  # type: ignore[assignment]
        try:
            assert exchange.get("a.test").rcode == "REFUSED"
            assert exchange.get("b.test", tcp=True).rcode == "REFUSED"
        finally:
            pydnsmasq.upstream_socket = real
        assert "Too many open files" in exchange.log.text()
        assert exchange.get("a.test").rdatas() == [ONE]


# -- refreshing --------------------------------------------------------------------


def _cached(exchange: Exchange, name: str) -> pydnsmasq.CacheEntry:
    exchange.get(name)
    key = dnswire.pack_name(name)
    entry = exchange.state.cache.get(key, 1, int(time.monotonic()))
    assert entry is not None
    return entry


def test_refresh_renews_an_entry() -> None:
    with MockUpstream(saying(ONE)) as up, Exchange(servers(up)) as exchange:
        entry = _cached(exchange, "a.test")
        up.zone = saying(TWO)
        exchange.exchange.refresh(entry, exchange.state)
        exchange.quiet()
        fresh = exchange.state.cache.get(dnswire.pack_name("a.test"), 1, int(time.monotonic()))
        assert fresh is not None and fresh is not entry and fresh.records == (socket.inet_aton(TWO),)


@pytest.mark.parametrize("way", ["silence", "full table", "no socket"])
def test_a_refresh_that_fails_is_tried_again(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stale entry whose refresh came to nothing is asked for again by later queries."""
    monkeypatch.setattr(pydnsmasq, "FORWARD_TIMEOUT", 0.5)
    monkeypatch.setattr(pydnsmasq, "REFRESH_AGAIN", 1)
    conf = "dns-forward-max=5\nuse-stale-cache\n"
    with MockUpstream(silent) as up, Exchange(servers(up) + conf) as exchange:
        service = pydnsmasq.DnsService(
            exchange.state, exchange.exchange, exchange.log.log, None, exchange.rights, exchange.netfilter
        )
        now = int(time.monotonic())
        entry = pydnsmasq.CacheEntry(dnswire.pack_name("a.test"), 1, 0, (socket.inet_aton(ONE),), 60, now - 100)
        exchange.state.cache.put([entry], now - 100)

        def ask() -> list[str]:
            client = pydnsmasq.DnsClient("127.0.0.9", 1000, False, lambda wire: None)
            wire = service.query(dnswire.build_query("a.test"), client)
            return [] if wire is None else dnswire.parse(wire).rdatas()

        if way == "full table":
            exchange.servers[0].silent(time.monotonic())
            _fill(exchange, 10)
        with monkeypatch.context() as patch:
            if way == "no socket":
                patch.setattr(exchange.exchange, "_send", lambda *_: False)
            assert ask() == [ONE]
        exchange.quiet()
        up.zone = saying(TWO)
        wait_until(lambda: ask() == [TWO], 5, "the new address")


# -- TCP ---------------------------------------------------------------------------


def test_tcp_questions_go_by_tcp_and_reuse_the_connection() -> None:
    with MockUpstream(saying(ONE)) as up, Exchange(servers(up)) as exchange:
        for number in range(5):
            assert exchange.get(f"n{number}.test", tcp=True).rdatas() == [ONE]
        assert all(item.tcp for item in up.seen) and len({item.peer for item in up.seen}) == 1
        assert len({item.message.id for item in up.seen}) > 1
        assert exchange.state.metrics.forwarded == 5 and exchange.servers[0].queries == 5


def test_a_connection_that_the_server_closed_is_replaced() -> None:
    with MockUpstream(saying(ONE)) as up, Exchange(servers(up)) as exchange:
        exchange.get("a.test", tcp=True)
        up.stop()
        up.start()
        assert exchange.get("b.test", tcp=True).rdatas() == [ONE]
        assert exchange.servers[0].failed == 0


def test_tcp_goes_on_to_the_next_server() -> None:
    with (
        MockUpstream(failing("SERVFAIL")) as bad,
        MockUpstream(saying(TWO)) as good,
        Exchange(servers(bad, good) + "strict-order\n") as exchange,
    ):
        assert exchange.get("a.test", tcp=True).rdatas() == [TWO]
    with MockUpstream(saying(TWO)) as good:
        conf = f"no-resolv\nserver=127.0.0.1#{free_port()}\nserver={good.address}\nstrict-order\n"
        with Exchange(conf) as exchange:
            waiter = exchange.ask("a.test", tcp=True)
            reply = waiter.reply()
            assert reply is not None and reply.rdatas() == [TWO] and waiter.took < 1.0


def test_tcp_when_nobody_answers() -> None:
    with Exchange(f"no-resolv\nserver=127.0.0.1#{free_port()}\n") as exchange:
        reply = exchange.get("a.test", tcp=True, edns=1232)
        assert reply.rcode == "REFUSED" and reply.ede == [23]


def test_tcp_servfail_is_passed_when_all_fail() -> None:
    with MockUpstream(failing("SERVFAIL")) as up, Exchange(servers(up)) as exchange:
        assert exchange.get("a.test", tcp=True).rcode == "SERVFAIL"


class Stuck:
    """A server that accepts connections and never says a word."""

    def __init__(self) -> None:
        self.port = free_port()
        self._sock = socket.socket()
        self._sock.bind(("127.0.0.1", self.port))
        self._sock.listen(50)

    def __enter__(self) -> Stuck:
        return self

    def __exit__(self, *_: object) -> None:
        self._sock.close()


def test_a_stuck_tcp_server_costs_one_slow_query_at_most() -> None:
    """Its silence over TCP counts as silence: the next question goes to the other server first."""
    with Stuck() as stuck, MockUpstream(saying(TWO)) as up:
        conf = f"no-resolv\nserver=127.0.0.1#{stuck.port}\nserver={up.address}\n"
        with Exchange(conf) as exchange:
            exchange.servers[0].rtt = 0.01  # looks the better one
            first = exchange.ask("a.test", tcp=True)
            assert first.reply() is not None
            second = exchange.ask("b.test", tcp=True)
            reply = second.reply()
            assert reply is not None and reply.rdatas() == [TWO]
            assert second.took < 1.0, f"{second.took:.1f} s"
            assert first.took < 12.0


def test_a_stuck_tcp_server_does_not_keep_the_client_waiting() -> None:
    """With two upstreams of which one is dead no query takes over a second, by TCP neither."""
    with Stuck() as stuck, MockUpstream(saying(TWO)) as up:
        conf = f"no-resolv\nserver=127.0.0.1#{stuck.port}\nserver={up.address}\n"
        with Exchange(conf) as exchange:
            exchange.servers[0].rtt = 0.01
            began = time.monotonic()
            assert exchange.get("a.test", tcp=True).rdatas() == [TWO]
            assert time.monotonic() - began < 1.0, f"{time.monotonic() - began:.1f} s"


@pytest.mark.parametrize("lie", [MockReply(wrong_id=True), MockReply(wrong_question=True)], ids=["id", "question"])
def test_tcp_lies_are_not_believed(lie: MockReply) -> None:
    lie.answer = [dnswire.record("a.test 300 A 203.0.113.66")]
    with MockUpstream(lambda question, query: lie) as up, Exchange(servers(up)) as exchange:
        reply = exchange.get("a.test", tcp=True)
        assert reply.rcode in ("REFUSED", "SERVFAIL") and not reply.answer
        assert exchange.state.cache.inserted == 0


def test_idle_connections_are_closed_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pydnsmasq, "UPSTREAM_TCP_IDLE", 0.2)
    with MockUpstream(saying(ONE, delay=0.1)) as up, Exchange(servers(up)) as exchange:
        threads = [
            threading.Thread(target=exchange.get, args=(f"n{number}.test",), kwargs={"tcp": True})
            for number in range(10)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        exchange.get("udp.test")
        wait_until(lambda: not any(exchange.exchange._idle_tcp.values()), 4, "closed connections")


def test_tcp_fills_the_cache() -> None:
    with MockUpstream(saying(ONE)) as up, Exchange(servers(up)) as exchange:
        exchange.get("a.test", tcp=True)
        assert exchange.get("a.test").rdatas() == [ONE] and len(up.seen) == 1


# -- reading messages --------------------------------------------------------------


def test_tcp_message_read() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(b"\0\3ab")
        threading.Timer(0.1, theirs.sendall, (b"c\0\0",)).start()
        assert pydnsmasq.tcp_message_read(ours, time.monotonic() + 2) == b"abc"
        assert pydnsmasq.tcp_message_read(ours, time.monotonic() + 2) == b""
        began = time.monotonic()
        with pytest.raises(OSError):
            pydnsmasq.tcp_message_read(ours, time.monotonic() + 0.2)
        assert 0.1 < time.monotonic() - began < 1
        theirs.sendall(b"\0\3a")
        theirs.shutdown(socket.SHUT_WR)
        assert pydnsmasq.tcp_message_read(ours, time.monotonic() + 2) is None


def test_a_trickle_does_not_extend_the_deadline() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        stop = threading.Event()

        def trickle() -> None:
            theirs.sendall(b"\0\x40")
            while not stop.wait(0.05):
                theirs.sendall(b"x")

        thread = threading.Thread(target=trickle)
        thread.start()
        began = time.monotonic()
        with pytest.raises(OSError):
            pydnsmasq.tcp_message_read(ours, began + 0.4)
        assert time.monotonic() - began < 1
        stop.set()
        thread.join()


def test_bind_between_walks_a_small_range() -> None:
    low = free_port()
    config = settings(f"min-port={low}\nmax-port={low + 4}\n")
    server = pydnsmasq.Upstream("127.0.0.1", 9)
    socks = [pydnsmasq.upstream_socket(server, config, socket.SOCK_DGRAM, 0, os.urandom) for _ in range(5)]
    try:
        assert {sock.getsockname()[1] for sock in socks} == set(range(low, low + 5))
        with pytest.raises(OSError):
            pydnsmasq.upstream_socket(server, config, socket.SOCK_DGRAM, 0, os.urandom)
    finally:
        for sock in socks:
            sock.close()


def test_a_failed_socket_is_closed() -> None:
    before = descriptors()
    for server in (
        pydnsmasq.Upstream("127.0.0.1", 9, interface="nosuch0"),
        pydnsmasq.Upstream("127.0.0.1", 9, source="203.0.113.77"),
        pydnsmasq.Upstream("fe80::1", 9, scope="nosuch0"),
    ):
        for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
            with pytest.raises(OSError):
                pydnsmasq.upstream_socket(server, settings(), kind, 0, os.urandom)
    assert descriptors() == before


# -- marks of connections ------------------------------------------------------------


class Marked(Exchange):
    """An exchange with conntrack, which notes the marks that its sockets get."""

    def __init__(self, text: str) -> None:
        super().__init__(text + "conntrack\n")
        self.marks: list[int] = []
        self.error: OSError | None = None
        self.rights.mark = self._mark

    def _mark(self, sock: socket.socket, mark: int) -> None:
        if sock.type == socket.SOCK_STREAM:  # the first packet has it, too
            with pytest.raises(OSError):
                sock.getpeername()
        self.marks.append(mark)
        if self.error is not None:
            raise self.error


def test_questions_of_other_marks_are_not_merged() -> None:
    with MockUpstream(saying(ONE, delay=0.2)) as up, Marked(servers(up)) as exchange:
        waiters = [exchange.ask("same.test", mark=mark, port=port) for port, mark in enumerate((0, 5, 6, 5, 0, 5))]
        assert all((reply := waiter.reply()) is not None and reply.rdatas() == [ONE] for waiter in waiters)
        assert up.count("same.test") == 3 and sorted(exchange.marks) == [5, 6]


def test_without_conntrack_marks_do_not_count() -> None:
    with MockUpstream(saying(ONE, delay=0.2)) as up, Exchange(servers(up)) as exchange:
        exchange.rights.mark = lambda sock, mark: pytest.fail("a mark")
        waiters = [exchange.ask("same.test", mark=mark, port=mark) for mark in range(5)]
        assert all(waiter.reply() is not None for waiter in waiters)
        assert up.count("same.test") == 1


def test_marked_questions_have_sockets_of_their_own() -> None:
    with MockUpstream(saying(ONE)) as up, Marked(servers(up)) as exchange:
        exchange.get("plain.test")
        for number in range(20):
            assert exchange.get(f"n{number}.test", mark=7).rdatas() == [ONE]
        assert set(exchange.marks) == {7}
        assert _ports(up)[0] not in _ports(up)[1:]
        wait_until(lambda: not exchange.exchange._pools, 5, "the end of idle sockets")


def test_marked_questions_take_no_more_sockets_than_others() -> None:
    with MockUpstream(silent) as up, Marked(servers(up)) as exchange:
        exchange.exchange._ports = 4
        for number in range(40):
            exchange.ask(f"n{number}.test", mark=7)
        assert len(exchange.exchange._sockets) == len(exchange.marks) == 4


def test_marked_sockets_of_silent_servers_are_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pydnsmasq, "FORWARD_TIMEOUT", 0.6)
    with MockUpstream(silent) as one, MockUpstream(silent) as two, Marked(servers(one, two)) as exchange:
        before = descriptors()
        for mark in range(1, 9):
            exchange.ask("gone.test", mark=mark)
        assert descriptors() > before
        exchange.quiet()
        wait_until(lambda: not exchange.exchange._sockets, 5, "closed ports")
        assert descriptors() == before
        # Each question kept its port and id for all that was sent again.
        assert len({(item.peer, item.message.id) for item in [*one.seen, *two.seen]}) == len(exchange.marks)


@pytest.mark.parametrize("mark", [0, 5])
def test_a_fixed_port_is_shared_by_questions_that_are_out(mark: int) -> None:
    """Its socket has the mark of the question that goes out; replies find their questions."""
    port, marks = free_port(), [mark and mark + number for number in range(4)]
    with (
        MockUpstream(saying(ONE, delay=0.1)) as up,
        Marked(f"no-resolv\nserver={up.address}@127.0.0.1#{port}\n") as exchange,
    ):
        waiters = [exchange.ask(f"n{number}.test", mark=one) for number, one in enumerate(marks)]
        assert all((reply := waiter.reply()) is not None and reply.rdatas() == [ONE] for waiter in waiters)
        assert set(_ports(up)) == {port} and len(up.seen) == 4, "replies reach another socket"
        assert exchange.get("plain.test").rdatas() == [ONE]
        assert exchange.marks[:4] == marks and set(exchange.marks[4:]) == {0}


def test_a_mark_that_cannot_be_set() -> None:
    with MockUpstream(saying(ONE)) as up, Marked(servers(up)) as exchange:
        exchange.error = PermissionError(1, "Operation not permitted")
        before = descriptors()
        for tcp in (False, True):
            assert exchange.get("a.test", mark=7, tcp=tcp).rcode == "REFUSED"
        assert descriptors() == before and not up.seen and "Operation not permitted" in exchange.log.text()
        assert exchange.get("b.test").rdatas() == [ONE]


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
@pytest.mark.parametrize("mark", [0, 5, 0xFFFFFFFE])
def test_the_mark_of_a_socket(mark: int) -> None:
    with MockUpstream(silent) as up, Exchange(servers(up) + "conntrack\n") as exchange:
        exchange.ask("a.test", mark=mark)
        (channel,) = exchange.exchange._sockets.values()
        assert channel.sock.getsockopt(socket.SOL_SOCKET, socket.SO_MARK) & 0xFFFFFFFF == mark


def test_marked_connections_serve_one_question() -> None:
    with MockUpstream(saying(ONE)) as up, Marked(servers(up)) as exchange:
        before = descriptors()
        for number in range(5):
            assert exchange.get(f"n{number}.test", tcp=True, mark=number + 1).rdatas() == [ONE]
        assert exchange.marks == [1, 2, 3, 4, 5]
        wait_until(lambda: descriptors() <= before, 5, "the end of both sides")
        assert len({item.peer[1] for item in up.seen}) == 5
        for name in ("a.test", "b.test"):
            exchange.get(name, tcp=True)
        exchange.get("c.test", tcp=True, mark=6)
        ports = [item.peer[1] for item in up.seen[5:]]
        assert ports[0] == ports[1] != ports[2], "the connection that was open has another mark"


# -- who hears of answers --------------------------------------------------------------


class Ears(pydnsmasq.DnsListener):
    """A listener that keeps what it hears; who asks waits until `go`, if it is to."""

    silent = False

    def __init__(self, replaced: dict[int, bytes] | None = None, waits: bool = True) -> None:
        self.replaced, self.waits = replaced or {}, waits
        self.shown: list[list[str]] = []
        self.told: list[tuple[int, list[tuple[object, ...]]]] = []
        self.open: list[Callable[[], None]] = []

    def results(self, message: pydnsmasq.DnsMessage, done: Callable[[dict[int, bytes]], None]) -> bool:
        self.shown.append([pydnsmasq.address_format(rr.rdata) for rr in message.answers])
        self.open.append(lambda: done(self.replaced))
        return self.waits

    def resolved(self, mark: int, records: object, done: Callable[[], None]) -> bool:
        self.told.append((mark, list(records)))  # type: ignore[call-overload]
        self.open.append(done)
        return self.waits

    def go(self, count: int = 1) -> None:
        wait_until(lambda: len(self.open) >= count, 5, "somebody who waits")
        while self.open:
            self.open.pop()()


NEW = socket.inet_aton("198.18.7.7")


def test_a_listener_sees_addresses_and_replaces_them() -> None:
    with MockUpstream(saying(ONE)) as up, Exchange(servers(up) + "enable-ubus\n") as exchange:
        exchange.exchange.listener = ears = Ears({0: NEW})
        waiters = [exchange.ask("a.test", port=port) for port in range(3)]
        wait_until(lambda: ears.shown, 5, "the word")
        late = exchange.ask("a.test", port=9)
        assert all(waiter.reply(0.05) is None for waiter in waiters)
        ears.go()
        for waiter in (*waiters, late):
            reply = waiter.reply()
            assert reply is not None and reply.rdatas() == ["198.18.7.7"]
        assert ears.shown == [[ONE]] and up.count("a.test") == 1
        assert exchange.get("a.test").rdatas() == ["198.18.7.7"], "from the cache"
        exchange.quiet()


def test_a_listener_that_does_not_care() -> None:
    with MockUpstream(saying(ONE)) as up, Exchange(servers(up)) as exchange:
        exchange.exchange.listener = ears = Ears({0: NEW}, waits=False)
        for tcp in (False, True):
            assert exchange.get(f"{tcp}.test", tcp=tcp, mark=7).rdatas() == [ONE]
        assert ears.shown == [[ONE]] * 2 and [mark for mark, _ in ears.told] == [7, 7]


def test_a_reply_is_shown_once() -> None:
    """Others that come meanwhile, from servers that were asked as well, say nothing new."""
    with (
        MockUpstream(saying(ONE)) as one,
        MockUpstream(saying(ONE, delay=0.05)) as two,
        Exchange(servers(one, two) + "all-servers\n") as exchange,
    ):
        exchange.exchange.listener = ears = Ears()
        waiter = exchange.ask("a.test")
        wait_until(lambda: one.seen and two.seen, 5, "both questions")
        time.sleep(0.2)
        assert ears.shown == [[ONE]]
        ears.go()
        assert waiter.reply() is not None and waiter.reply(0.05) is None


def test_a_listener_replaces_addresses_by_tcp(monkeypatch: pytest.MonkeyPatch) -> None:
    with MockUpstream(saying(ONE)) as up, Exchange(servers(up) + "enable-ubus\n") as exchange:
        exchange.exchange.listener = ears = Ears({0: NEW})
        helper = threading.Thread(target=ears.go)
        helper.start()
        assert exchange.get("a.test", tcp=True).rdatas() == ["198.18.7.7"]
        helper.join()
        monkeypatch.setattr(pydnsmasq, "UBUS_RESULT_SECONDS", 0.05)
        assert exchange.get("b.test", tcp=True).rdatas() == [ONE], "it says nothing"


def test_what_marked_clients_hear_is_told_before() -> None:
    with MockUpstream(saying(ONE, delay=0.1)) as up, Exchange(servers(up)) as exchange:
        exchange.exchange.listener = ears = Ears()
        ears.results = lambda message, done: False
        plain, marked = exchange.ask("a.test", port=1), exchange.ask("a.test", port=2, mark=7)
        assert plain.reply() is not None, "it is no business of those without a mark"
        assert marked.reply(0.05) is None
        ears.go()
        reply = marked.reply()
        assert reply is not None and reply.rdatas() == [ONE]
        assert ears.told == [(7, [(dnswire.pack_name("a.test"), 1, 300, socket.inet_aton(ONE))])]
        assert up.count("a.test") == 1


def test_what_marked_clients_hear_by_tcp(monkeypatch: pytest.MonkeyPatch) -> None:
    with MockUpstream(saying(ONE)) as up, Exchange(servers(up)) as exchange:
        exchange.exchange.listener = ears = Ears()
        ears.results = lambda message, done: False
        helper = threading.Thread(target=ears.go)
        helper.start()
        assert exchange.get("a.test", tcp=True, mark=7).rdatas() == [ONE]
        helper.join()
        monkeypatch.setattr(pydnsmasq, "UBUS_RESOLVED_SECONDS", 0.05)
        assert exchange.get("b.test", tcp=True, mark=8).rdatas() == [ONE], "not for ever"
        assert [mark for mark, _ in ears.told] == [7, 8]
