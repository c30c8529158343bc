"""Section 63: who may ask, what is listened on, the UDP loop, TCP bounds."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

import dnswire
import pydnsmasq
from harness import free_port, wait_until
from shellkit import Exchange, descriptors, settings

V4 = socket.inet_aton


def v6(text: str) -> bytes:
    return socket.inet_pton(socket.AF_INET6, text)


def at(interface: str, address: str, index: int = 0, prefix: int = 24, label: str = "") -> Any:
    packed = v6(address) if ":" in address else V4(address)
    number = index or {"lo": 1, "eth0": 2, "eth1": 3, "wlan0": 4}.get(interface, 9)
    return pydnsmasq.InterfaceAddress(interface, number, packed, prefix, True, interface == "lo", label)


LO, LO6 = at("lo", "127.0.0.1", prefix=8), at("lo", "::1", prefix=128)
ETH0, ETH1 = at("eth0", "10.0.0.1"), at("eth1", "10.0.1.1")
LINK0 = at("eth0", "fe80::1", prefix=64)
ALIAS = at("eth0", "10.0.2.1", label="eth0:1")
WLAN = at("wlan0", "10.0.3.1")
ALL = (LO, LO6, ETH0, LINK0, ALIAS, ETH1, WLAN)

NAMES = {"lo": LO, "lo6": LO6, "eth0": ETH0, "link0": LINK0, "alias": ALIAS, "eth1": ETH1, "wlan0": WLAN}


@pytest.mark.parametrize(
    ("pattern", "name", "expected"),
    [
        ("eth0", "eth0", True),
        ("eth0", "eth01", False),
        ("eth*", "eth0", True),
        ("eth*", "eth", True),
        ("eth*", "weth0", False),
        ("*", "anything", True),
        ("et*0", "eth0", False),
        ("", "", True),
    ],
)
def test_name_matches(pattern: str, name: str, expected: bool) -> None:
    assert pydnsmasq.name_matches(pattern, name) == expected


# Which of the addresses above are served; behaviours part 7.
ADMITTED = [
    ("", "lo lo6 eth0 link0 alias eth1 wlan0"),
    ("interface=eth0", "lo lo6 eth0 link0 alias"),
    ("interface=eth0:1", "lo lo6 alias"),
    ("interface=eth*", "lo lo6 eth0 link0 alias eth1"),
    ("interface=nosuch0", "lo lo6"),
    ("interface=lo", "lo lo6"),
    ("interface=eth0\nexcept-interface=lo", "eth0 link0 alias"),
    ("except-interface=eth1", "lo lo6 eth0 link0 alias wlan0"),
    ("except-interface=eth*", "lo lo6 wlan0"),
    ("interface=eth*\nexcept-interface=eth1", "lo lo6 eth0 link0 alias"),
    ("interface=eth1\nexcept-interface=eth1", "lo lo6"),
    ("listen-address=10.0.0.1", "eth0"),
    ("listen-address=10.0.0.1,127.0.0.1", "lo eth0"),
    ("listen-address=10.0.0.1\nexcept-interface=eth0", "eth0"),
    ("listen-address=10.0.0.1\ninterface=eth1", "lo lo6 eth0 eth1"),
    ("listen-address=::1", "lo6"),
    ("listen-address=fe80::1", "link0"),
    ("listen-address=192.0.2.7", ""),
]


@pytest.mark.parametrize(("text", "expected"), ADMITTED, ids=[row[0].replace("\n", " ") for row in ADMITTED])
def test_interface_admits(text: str, expected: str) -> None:
    config = settings(text)
    admitted = [
        name for name, one in NAMES.items() if pydnsmasq.interface_admits(config, one, one.interface, one.address)
    ]
    assert admitted == expected.split()


def test_an_unknown_address_on_a_known_interface() -> None:
    assert pydnsmasq.interface_admits(settings(""), None, "", V4("10.9.9.9"))
    assert not pydnsmasq.interface_admits(settings("interface=eth0"), None, "", V4("10.9.9.9"))
    assert pydnsmasq.interface_admits(settings("interface=eth0"), None, "eth0", V4("10.9.9.9"))
    assert not pydnsmasq.interface_admits(settings("listen-address=10.0.0.1"), ETH0, "eth0", V4("10.9.9.9"))


# What is listened on; "*" are the two wildcards.
LISTENED = [
    ("", "*"),
    ("interface=eth0", "*"),
    ("listen-address=10.0.0.1", "*"),
    ("local-service", "*"),
    ("local-service=host", "127.0.0.1 ::1"),
    ("local-service=host\ninterface=eth0", "*"),
    ("bind-interfaces", "127.0.0.1 ::1 10.0.0.1 fe80::1%2 10.0.2.1 10.0.1.1 10.0.3.1"),
    ("bind-dynamic", "127.0.0.1 ::1 10.0.0.1 fe80::1%2 10.0.2.1 10.0.1.1 10.0.3.1"),
    ("bind-dynamic\ninterface=eth1", "127.0.0.1 ::1 10.0.1.1"),
    ("bind-dynamic\ninterface=eth0:1", "127.0.0.1 ::1 10.0.2.1"),
    ("bind-dynamic\ninterface=eth1\nexcept-interface=lo", "10.0.1.1"),
    ("bind-interfaces\nlisten-address=10.0.0.1", "10.0.0.1"),
    ("bind-interfaces\nlisten-address=10.0.0.1\nexcept-interface=eth0", "10.0.0.1"),
    ("bind-interfaces\nlisten-address=127.0.0.53", "127.0.0.53"),
    ("bind-dynamic\nlisten-address=127.0.0.53", "127.0.0.53"),
    ("bind-interfaces\nlisten-address=192.0.2.7", "192.0.2.7"),
    ("bind-dynamic\nlisten-address=192.0.2.7", ""),
    ("bind-interfaces\nlisten-address=::1", "::1"),
    ("bind-dynamic\nlisten-address=0:0:0:0:0:0:0:1", "::1"),
    ("bind-dynamic\ninterface=nosuch0\nexcept-interface=lo", ""),
]


@pytest.mark.parametrize(("text", "expected"), LISTENED, ids=[row[0].replace("\n", " ") for row in LISTENED])
def test_listeners_choose(text: str, expected: str) -> None:
    chosen = pydnsmasq.listeners_choose(settings(text), 5353, ALL)
    shown = [one.address + (f"%{one.scope}" if one.scope else "") for one in chosen]
    assert sorted(shown) == sorted(expected.replace("*", "0.0.0.0 ::").split())
    assert len({one.key for one in chosen}) == len(chosen) and {one.port for one in chosen} <= {5353}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("local-service", True),
        ("local-service=host", True),
        ("", False),
        ("local-service\ninterface=eth0", False),
        ("local-service\nexcept-interface=eth0", False),
        ("local-service\nlisten-address=127.0.0.1", False),
        ("local-service\nauth-server=ns.test,eth1", False),
    ],
)
def test_local_service_yields(text: str, expected: bool) -> None:
    assert pydnsmasq.service_is_local(settings(text)) == expected


@pytest.mark.parametrize(
    ("rule", "interface", "address", "expected"),
    [
        ("auth-server=ns.test,eth1", "eth1", "10.0.1.1", True),
        ("auth-server=ns.test,eth1", "eth0", "10.0.0.1", False),
        ("auth-server=ns.test,eth1/4", "eth1", "fe80::1", False),
        ("auth-server=ns.test,eth1/6", "eth1", "fe80::1", True),
        ("auth-server=ns.test,10.0.0.1", "eth0", "10.0.0.1", True),
        ("auth-server=ns.test,10.0.0.1", "eth0", "10.0.0.2", False),
        ("", "eth1", "10.0.1.1", False),
    ],
)
def test_auth_admits(rule: str, interface: str, address: str, expected: bool) -> None:
    packed = v6(address) if ":" in address else V4(address)
    assert pydnsmasq.auth_admits(settings(rule), interface, packed) == expected


# -- the service -------------------------------------------------------------------


class Service:
    """DnsService and its two servers on a loopback port, on local data."""

    def __init__(self, text: str = "", host: str = "127.0.0.1", connections: int = 20) -> None:
        conf = f"no-resolv\nno-hosts\nhost-record=rec.test,10.1.2.3,fd00::3\nmax-tcp-connections={connections}\n{text}"
        self.kit = Exchange(conf)
        self.kit.state.local = local = pydnsmasq.LocalData()
        local.add_config(self.kit.config, lambda address: b"", pydnsmasq.DNS_ROOT)
        local.freeze()
        self.service = pydnsmasq.DnsService(
            self.kit.state, self.kit.exchange, self.kit.log.log, None, self.kit.rights, self.kit.netfilter
        )
        self.port = free_port()
        self.host = host
        self.admitted = True
        self.judged: set[bytes] = set()
        listener = pydnsmasq.Listener(host, self.port)
        self.udp = pydnsmasq.DnsUdpServer(listener, self.service, self.arrival, lambda index, peer: True)
        self.tcp = pydnsmasq.DnsTcpServer(listener, self.service, self.arrival)
        self._threads = [threading.Thread(target=one.serve_forever, daemon=True) for one in (self.udp, self.tcp)]

    def arrival(self, index: int, local: bytes) -> Any:
        self.judged.add(local)
        return pydnsmasq.Arrival(self.admitted, [], "lo", index, local, False)

    def __enter__(self) -> Service:
        self.kit.__enter__()
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.udp.stop()
        self.tcp.stop()
        for thread in self._threads:
            thread.join(3)
            assert not thread.is_alive(), "a server's loop does not end"
        wait_until(lambda: not self.in_use(), 8, "the end of all connections")
        self.kit.__exit__()

    def in_use(self) -> int:
        return len(self.service.connections)

    def connect(self) -> socket.socket:
        return socket.create_connection((self.host, self.port), timeout=5)


QUERY = dnswire.build_query("rec.test", id=0x1111)


def framed(data: bytes) -> bytes:
    return struct.pack("!H", len(data)) + data


def read_reply(sock: socket.socket) -> dnswire.DnsMessage | None:
    """One answer from a connection, None when it was closed."""
    data = b""
    try:
        while len(data) < 2 or len(data) < 2 + struct.unpack_from("!H", data)[0]:
            want = 2 - len(data) if len(data) < 2 else 2 + struct.unpack_from("!H", data)[0] - len(data)
            piece = sock.recv(want)
            if not piece:
                return None
            data += piece
    except (ConnectionError, TimeoutError):
        return None
    return dnswire.parse(data[2:])


def udp_ask(service: Service, data: bytes = QUERY, host: str = "", seconds: float = 2) -> bytes | None:
    host = host or service.host
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.connect((host, service.port))
        sock.settimeout(seconds)
        sock.send(data)
        try:
            return sock.recv(65535)
        except TimeoutError:
            return None


HEADERS = [
    # what, packet, rcode or None for silence
    ("empty", b"", None),
    ("eleven octets", b"\0" * 11, None),
    ("a reply", b"\1\2\x81\x80\0\1\0\0\0\0\0\0" + QUERY[12:], None),
    ("opcode 1", b"\1\2\x09\0\0\1\0\0\0\0\0\0" + QUERY[12:], "NOTIMP"),
    ("opcode 4", b"\1\2\x21\0\0\1\0\0\0\0\0\0" + QUERY[12:], "NOTIMP"),
    ("opcode 5", b"\1\2\x29\0\0\1\0\0\0\0\0\0" + QUERY[12:], "NOTIMP"),
    ("no question", b"\1\2\1\0\0\0\0\0\0\0\0\0", "REFUSED"),
    ("two questions", b"\1\2\1\0\0\2\0\0\0\0\0\0" + QUERY[12:] * 2, "REFUSED"),
    ("65,535 questions", b"\1\2\1\0\xff\xff\0\0\0\0\0\0" + QUERY[12:], "REFUSED"),
    ("question cut", b"\1\2\1\0\0\1\0\0\0\0\0\0" + QUERY[12:-1], "REFUSED"),
    ("header only", b"\1\2\1\0\0\1\0\0\0\0\0\0", "REFUSED"),
    ("name loops", b"\1\2\1\0\0\1\0\0\0\0\0\0\xc0\x0c\0\1\0\1", "REFUSED"),
    ("reserved label", b"\1\2\1\0\0\1\0\0\0\0\0\0\x80abc\0\0\1\0\1", "REFUSED"),
    ("name too long", b"\1\2\1\0\0\1\0\0\0\0\0\0" + (b"\x3f" + b"a" * 63) * 4 + b"\0\0\1\0\1", "REFUSED"),
    ("additional that is not there", b"\1\2\1\0\0\1\0\0\0\0\0\1" + QUERY[12:], "REFUSED"),
    ("the plain query", QUERY, "NOERROR"),
]  # fmt: skip


@pytest.mark.parametrize(("what", "data", "rcode"), HEADERS, ids=[row[0] for row in HEADERS])
@pytest.mark.parametrize("tcp", [False, True])
def test_what_bad_packets_get(what: str, data: bytes, rcode: str | None, tcp: bool) -> None:
    with Service() as service:
        if tcp:
            with service.connect() as sock:
                sock.sendall(framed(data))
                sock.settimeout(0.3)
                reply = read_reply(sock)
        else:
            raw = udp_ask(service, data, seconds=0.3)
            reply = None if raw is None else dnswire.parse(raw)
        assert (None if reply is None else reply.rcode) == rcode
        if reply is not None:
            assert reply.id == struct.unpack_from("!H", data)[0] and reply.has("QR")
            assert reply.opcode == data[2] >> 3 & 15
        else:
            assert service.service.dropped == 1
        assert udp_ask(service) is not None


def test_an_answer_from_memory_keeps_the_id() -> None:
    with Service() as service:
        for number in range(20):
            raw = udp_ask(service, dnswire.build_query("rec.test", id=number))
            assert raw is not None
            reply = dnswire.parse(raw)
            assert reply.id == number and reply.rdatas() == ["10.1.2.3"]
        assert service.kit.state.answers.hits() >= 19


def test_a_client_that_is_not_admitted_hears_nothing() -> None:
    service = Service()
    service.admitted = False
    with service:
        assert udp_ask(service, seconds=0.3) is None
        with service.connect() as sock:
            sock.sendall(framed(QUERY))
            assert read_reply(sock) is None
        service.admitted = True
        assert udp_ask(service, seconds=0.3) is None, "the judgement was kept"
        service.udp.forget_arrivals()
        assert udp_ask(service) is not None


def test_local_service_checks_each_client_once() -> None:
    asked: list[str] = []

    def check(address: str) -> bool:
        asked.append(address)
        return address == "127.0.0.1"

    with Service() as service:
        service.udp.peer_check = check
        service.tcp.peer_check = check
        for _ in range(5):
            assert udp_ask(service) is not None
        assert asked == ["127.0.0.1"]
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.bind(("127.0.0.2", 0))
            sock.settimeout(0.3)
            sock.sendto(QUERY, (service.host, service.port))
            with pytest.raises(TimeoutError):
                sock.recv(1000)
        with socket.socket() as sock:
            sock.settimeout(2)
            sock.bind(("127.0.0.2", 0))
            sock.connect((service.host, service.port))
            assert read_reply(sock) is None


@pytest.mark.parametrize(("wildcard", "hosts"), [("0.0.0.0", ["127.0.0.1", "127.0.0.9"]), ("::", ["::1"])])
def test_replies_leave_from_the_address_that_was_asked(wildcard: str, hosts: list[str]) -> None:
    with Service(host=wildcard) as service:
        for host in hosts * 2:
            raw = udp_ask(service, host=host)  # the socket is connected: another source is not heard
            assert raw is not None and (v6(host) if ":" in host else V4(host)) in service.judged
        # Also for a client that asks often, and from one address to another without a pause.
        for number in range(40):
            name = f"rec{number}.test" if number % 2 else "rec.test"
            for host in hosts:
                assert udp_ask(service, dnswire.build_query(name), host) is not None, f"{number} to {host}"
        for _ in range(2):
            for host in hosts:
                for _ in range(12):
                    assert udp_ask(service, dnswire.build_query("rec.test", "AAAA"), host) is not None


def test_stopping_ends_the_loops_at_once_and_quietly() -> None:
    for host in ("127.0.0.1", "0.0.0.0", "::"):
        before = descriptors()
        service = Service(host=host)
        with service:
            udp_ask(service, host="::1" if ":" in host else "127.0.0.1")
            began = time.monotonic()
        assert time.monotonic() - began < 2.0
        assert service.kit.log.lines() == []
        assert descriptors() <= before


def test_an_error_inside_does_not_end_the_loop() -> None:
    with Service() as service:
        real, service.service._answer = service.service._answer, lambda *_: 1 // 0  # type: ignore[assignment]
        assert udp_ask(service, dnswire.build_query("new.test"), seconds=0.2) is None
        with service.connect() as sock:
            sock.sendall(framed(QUERY))
            assert read_reply(sock) is None
        service.service._answer = real  # type: ignore[method-assign]
        assert udp_ask(service) is not None
        wait_until(lambda: service.kit.log.text().count("ZeroDivisionError") == 2, 3, "two complaints")
        lines = [line for line in service.kit.log.lines() if "ZeroDivisionError" in line]
        assert len(lines) == 2 and all("\n" not in line and "Traceback" not in line for line in lines)
        service.kit.log._lines.clear()


# -- TCP bounds --------------------------------------------------------------------


@contextlib.contextmanager
def connections(service: Service, count: int) -> Iterator[list[socket.socket]]:
    socks: list[socket.socket] = []
    try:
        for _ in range(count):
            socks.append(service.connect())
        yield socks
    finally:
        for sock in socks:
            sock.close()


def test_several_questions_on_one_connection() -> None:
    with Service() as service, service.connect() as sock:
        for number in range(5):
            sock.sendall(framed(dnswire.build_query("rec.test", id=number)))
            reply = read_reply(sock)
            assert reply is not None and reply.id == number
        assert service.in_use() == 1
        assert service.kit.state.metrics.tcp_connections == 1


def test_pipelined_questions_in_odd_pieces() -> None:
    stream = b"".join(framed(dnswire.build_query("rec.test", id=number)) for number in range(30))
    for step in (1, 7, 64, len(stream)):
        with Service() as service, service.connect() as sock:
            for at_ in range(0, len(stream), step):
                sock.sendall(stream[at_ : at_ + step])
            for number in range(30):
                reply = read_reply(sock)
                assert reply is not None and reply.id == number


def test_100_questions_are_the_end() -> None:
    with Service() as service, service.connect() as sock:
        for number in range(pydnsmasq.TCP_QUERIES):
            sock.sendall(framed(dnswire.build_query("rec.test", id=number)))
            assert read_reply(sock) is not None
        with contextlib.suppress(OSError):
            sock.sendall(framed(QUERY))
        assert read_reply(sock) is None


def test_idle_connections_are_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pydnsmasq, "TCP_IDLE", 0.3)
    with Service() as service, service.connect() as sock:
        sock.sendall(framed(QUERY))
        assert read_reply(sock) is not None
        began = time.monotonic()
        assert sock.recv(1) == b"" and 0.2 < time.monotonic() - began < 5
        wait_until(lambda: service.in_use() == 0, 2, "a free place")


def test_slow_writers_are_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    """An octet now and then does not keep a connection alive."""
    monkeypatch.setattr(pydnsmasq, "TCP_IDLE", 0.5)
    with Service() as service, service.connect() as sock:
        began = time.monotonic()
        sock.settimeout(0.1)
        cut = False
        while time.monotonic() - began < 4 and not cut:
            try:
                sock.sendall(b"\0")
                cut = sock.recv(1) == b""
            except TimeoutError:
                continue
            except ConnectionError:
                cut = True
        assert cut and time.monotonic() - began < 2.5


def test_slow_readers_are_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pydnsmasq, "TCP_IDLE", 0.3)
    monkeypatch.setattr(pydnsmasq, "TCP_QUERIES", 10**9)
    big = "".join(f"txt-record=big.test,{'x' * 200}{number}\n" for number in range(200))
    with Service(big) as service, service.connect() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.settimeout(0.5)
        question = framed(dnswire.build_query("big.test", "TXT"))
        with contextlib.suppress(OSError):
            for _ in range(3000):
                sock.sendall(question)
        wait_until(lambda: service.in_use() == 0, 5, "the slow reader's end")
        assert udp_ask(service) is not None


def test_long_connections_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pydnsmasq, "TCP_LIFETIME", 0.5)
    with Service() as service, service.connect() as sock:
        began = time.monotonic()
        while time.monotonic() - began < 3:
            try:
                sock.sendall(framed(QUERY))
            except OSError:
                break
            if read_reply(sock) is None:
                break
            time.sleep(0.05)
        assert time.monotonic() - began < 2


def test_the_oldest_idle_connection_makes_room() -> None:
    with Service(connections=4) as service, connections(service, 4) as socks:
        for number, sock in enumerate(socks):
            sock.sendall(framed(QUERY))
            assert read_reply(sock) is not None
            time.sleep(0.02 * (number + 1))
        # The first is used again, so that the second has been idle for longest.
        socks[0].sendall(framed(QUERY))
        assert read_reply(socks[0]) is not None
        with service.connect() as fifth:
            fifth.sendall(framed(QUERY))
            assert read_reply(fifth) is not None
            socks[1].settimeout(2)
            assert read_reply(socks[1]) is None
            for sock in (socks[0], socks[2], socks[3]):
                sock.sendall(framed(QUERY))
                assert read_reply(sock) is not None, "the wrong one was cut"


def test_half_a_question_counts_as_idle() -> None:
    with Service(connections=2) as service, connections(service, 2) as socks:
        for sock in socks:
            sock.sendall(b"\0\x40half")
        with service.connect() as third:
            third.sendall(framed(QUERY))
            assert read_reply(third) is not None


def test_many_idle_connections_take_few_threads() -> None:
    with Service() as service:
        threads = threading.active_count()
        with connections(service, 100):
            assert service.in_use() <= 21
            assert threading.active_count() <= threads + 22
            assert udp_ask(service, seconds=1) is not None
            with service.connect() as sock:
                sock.sendall(framed(QUERY))
                assert read_reply(sock) is not None


def test_busy_connections_are_not_cut() -> None:
    """When all places are at work a new connection is closed, and nobody who waits for an answer loses it."""
    with Service(connections=2) as service:
        real = service.service.query
        go = threading.Event()

        def slow(data: bytes, client: Any) -> bytes | None:
            go.wait(5)
            return real(data, client)

        service.service.query = slow  # type: ignore[method-assign]
        with connections(service, 2) as socks:
            for sock in socks:
                sock.sendall(framed(QUERY))
            busy = service.service.connections
            wait_until(lambda: [one.idle for one in list(busy.values())] == [False, False], 2, "busy places")
            with service.connect() as third:
                assert read_reply(third) is None
            go.set()
            assert all(read_reply(sock) is not None for sock in socks)


def test_the_limit_is_for_all_listeners_together() -> None:
    """max-tcp-connections bounds the program, not each address that it listens on."""
    with Service(connections=3) as service:
        second = pydnsmasq.DnsTcpServer(pydnsmasq.Listener("127.0.0.2", service.port), service.service, service.arrival)
        thread = threading.Thread(target=second.serve_forever, daemon=True)
        thread.start()
        socks = []
        try:
            for host in ["127.0.0.1", "127.0.0.2"] * 3:
                socks.append(socket.create_connection((host, service.port), timeout=2))
            time.sleep(0.5)
            assert service.in_use() <= 3
        finally:
            for sock in socks:
                sock.close()
            second.stop()
            thread.join(3)


def test_no_thread_to_be_had(monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection whose thread cannot start is closed and takes no place."""
    with Service(connections=2) as service:

        class NoThread:
            def __init__(self, **_: object) -> None: ...

            def start(self) -> None:
                raise RuntimeError("can't start new thread")

        monkeypatch.setattr(pydnsmasq.threading, "Thread", NoThread)
        for _ in range(3):
            with service.connect() as sock:
                assert read_reply(sock) is None
        monkeypatch.undo()
        wait_until(lambda: service.in_use() == 0, 1, "no place taken")
        with service.connect() as sock:
            sock.sendall(framed(QUERY))
            assert read_reply(sock) is not None
        service.kit.log.lines()
        service.kit.log._lines.clear()


def test_nothing_is_left_of_many_connections() -> None:
    with Service() as service:
        before = descriptors()
        for number in range(100):
            sock = service.connect()
            if number % 3:
                sock.sendall(framed(QUERY) if number % 3 == 1 else b"\0")
            sock.close()
        wait_until(lambda: service.in_use() == 0, 8, "no connection")
        wait_until(lambda: descriptors() <= before, 8, "no descriptor")


def test_a_client_that_half_closes_gets_its_answer() -> None:
    with Service() as service, service.connect() as sock:
        sock.sendall(framed(QUERY))
        sock.shutdown(socket.SHUT_WR)
        assert read_reply(sock) is not None and read_reply(sock) is None


# -- marks of connections ------------------------------------------------------------

LISTS = "connmark-allowlist-enable=255\nconnmark-allowlist=5,rec.test/*.up.test\nconnmark-allowlist=7,*\n"


class Told(pydnsmasq.DnsListener):
    """A listener that keeps what it is told; whoever is to wait for it waits until `go`."""

    silent = False

    def __init__(self, waits: bool) -> None:
        self.waits = waits
        self.refusals: list[tuple[int, bytes]] = []
        self.answers: list[tuple[int, list[Any]]] = []
        self.open: list[Any] = []

    def refused(self, mark: int, name: bytes) -> None:
        self.refusals.append((mark, name))

    def resolved(self, mark: int, records: Any, done: Any) -> bool:
        self.answers.append((mark, list(records)))
        self.open.append(done)
        return self.waits

    def go(self) -> None:
        wait_until(lambda: self.open, 5, "somebody who waits")
        self.open.pop()()


@contextlib.contextmanager
def marking(text: str, mark: int, waits: bool = False) -> Iterator[tuple[Service, Told, list[Any]]]:
    """A service whose clients' connections have a mark; what is told, and which connections were looked for."""
    sought: list[Any] = []
    with Service(text) as service:

        def find(*connection: Any) -> int:
            sought.append(connection)
            return mark

        service.service.netfilter.connection_mark = find
        service.service.exchange.listener = told = Told(waits)
        yield service, told, sought


def ask_by(service: Service, name: str, tcp: bool) -> dnswire.DnsMessage | None:
    wire = dnswire.build_query(name, id=7)
    if not tcp:
        raw = udp_ask(service, wire)
        return None if raw is None else dnswire.parse(raw)
    with service.connect() as sock:
        sock.sendall(framed(wire))
        return read_reply(sock)


@pytest.mark.parametrize("tcp", [False, True])
def test_marks_are_found_by_the_connection(tcp: bool) -> None:
    with marking(LISTS, 7) as (service, _, sought):
        kind = socket.SOCK_STREAM if tcp else socket.SOCK_DGRAM
        with socket.socket(socket.AF_INET, kind) as sock:
            sock.settimeout(5)
            sock.connect(("127.0.0.1", service.port))
            sock.send(framed(QUERY) if tcp else QUERY)
            sock.recv(1000)
            port = sock.getsockname()[1]
        local = V4("127.0.0.1")
        assert sought == [(tcp, (local, service.port), (local, port))]


@pytest.mark.parametrize("tcp", [False, True])
@pytest.mark.parametrize("text", ["", "conntrack\n", "connmark-allowlist=5,a.b\n"])
def test_nobody_looks_for_marks_in_vain(text: str, tcp: bool) -> None:
    """An answer of our own needs none, unless names are allowed by marks."""
    with marking(text, 7) as (service, told, sought):
        reply = ask_by(service, "rec.test", tcp)
        assert reply is not None and reply.rdatas() == ["10.1.2.3"]
        assert not sought and not told.refusals and not told.answers


@pytest.mark.parametrize("tcp", [False, True])
def test_a_name_that_a_mark_may_not_have(tcp: bool) -> None:
    with marking(LISTS, 0x105) as (service, told, _):
        reply = ask_by(service, "Bad.test", tcp)
        assert reply is not None and reply.rcode == "REFUSED"
        assert told.refusals == [(5, dnswire.pack_name("bad.test"))] and not told.answers


def test_answers_are_not_kept_for_other_marks() -> None:
    with marking(LISTS, 7) as (service, told, _):
        for mark, rcode in ((7, "NOERROR"), (6, "REFUSED"), (0x100, "NOERROR"), (5, "NOERROR"), (6, "REFUSED")):
            service.service.netfilter.connection_mark = lambda *connection, mark=mark: mark
            raw = udp_ask(service)
            assert raw is not None and dnswire.parse(raw).rcode == rcode
        assert told.refusals == [(6, dnswire.pack_name("rec.test"))] * 2
        assert [mark for mark, _ in told.answers] == [7, 5], "the one without a mark that counts is not told of"


@pytest.mark.parametrize("waits", [False, True])
@pytest.mark.parametrize("tcp", [False, True])
def test_what_a_mark_hears_of_our_own_is_told(tcp: bool, waits: bool) -> None:
    with marking(LISTS, 5, waits) as (service, told, _):
        helper = threading.Thread(target=told.go)
        helper.start()
        reply = ask_by(service, "rec.test", tcp)
        helper.join()
        assert reply is not None and reply.rdatas() == ["10.1.2.3"]
        ((mark, records),) = told.answers
        assert (mark, [(name, rrtype, rdata) for name, rrtype, _, rdata in records]) == (
            5,
            [(dnswire.pack_name("rec.test"), 1, V4("10.1.2.3"))],
        )


def test_a_listener_delays_its_own_client_only() -> None:
    with marking(LISTS, 5, waits=True) as (service, told, _):
        assert udp_ask(service, seconds=0.1) is None
        service.service.netfilter.connection_mark = lambda *connection: 0
        assert udp_ask(service) is not None
        told.go()


def test_a_listener_by_tcp_is_not_waited_for_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pydnsmasq, "UBUS_RESOLVED_SECONDS", 0.05)
    with marking(LISTS, 5, waits=True) as (service, told, _):
        reply = ask_by(service, "rec.test", True)
        assert reply is not None and reply.rdatas() == ["10.1.2.3"] and told.open


def test_an_answer_without_records_is_not_told() -> None:
    with marking("local=/up.test/\n" + LISTS, 5) as (service, told, _):
        reply = ask_by(service, "x.up.test", False)
        assert reply is not None and reply.rcode == "NXDOMAIN"
        assert not told.answers and not told.refusals
