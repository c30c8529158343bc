"""Section 66: the DHCP socket with its timers and pings, relaying, what DHCP reads from files."""

from __future__ import annotations

import contextlib
import errno
import functools
import os
import pathlib
import socket
import struct
import sys
import threading
import time
import types
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import dhcpwire
import pydnsmasq
from dhcpwire import DhcpMessage
from harness import free_port, need, wait_until
from shellkit import LogLines, settings


def ip(text: str) -> int:
    return int.from_bytes(socket.inet_aton(text), "big")


# -- packets -----------------------------------------------------------------------


def folded(data: bytes) -> int:
    """The ones' complement sum of 16-bit words, 0xffff when a checksum inside is right."""
    total = sum(struct.unpack(f"!{(len(data) + 1) // 2}H", data + b"\0" * (len(data) & 1)))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total


@pytest.mark.parametrize("size", [0, 1, 2, 299, 300, 547, 1471, 1472])
def test_udp_frame(size: int) -> None:
    payload = bytes((at * 7 + size) & 255 for at in range(size))
    packet = pydnsmasq.udp_frame(payload, (ip("10.5.0.1"), 67), (ip("10.5.0.50"), 68))
    assert len(packet) == 28 + size
    assert packet[:2] == b"\x45\xc0" and packet[8:10] == b"\x40\x11", "version 4, a network control packet, TTL 64, UDP"
    assert packet[6:8] == b"\0\0", "no fragment, and one may be made of it"
    assert struct.unpack_from("!H", packet, 2)[0] == len(packet) and folded(packet[:20]) == 0xFFFF
    seen = dhcpwire.parse_frame(b"\0" * 12 + b"\x08\0" + packet)
    assert seen is not None and seen.payload == payload
    assert (seen.from_ip, seen.from_port, seen.to_ip, seen.to_port) == ("10.5.0.1", 67, "10.5.0.50", 68)
    assert folded(packet[12:20] + struct.pack("!HH", 17, 8 + size) + packet[20:]) == 0xFFFF


def test_a_udp_checksum_of_zero() -> None:
    """0 would mean that there is none: it is sent as 0xffff."""
    ends = (ip("10.5.0.1"), 67), (ip("10.5.0.50"), 68)
    bare = pydnsmasq.udp_frame(b"\0\0", *ends)
    missing = struct.unpack_from("!H", bare, 26)[0]  # the word that makes the sum full
    packet = pydnsmasq.udp_frame(struct.pack("!H", missing), *ends)
    assert packet[26:28] == b"\xff\xff"


CHECKSUMS = [
    (b"", 0xFFFF),
    (b"\0\0", 0xFFFF),
    (b"\xff\xff", 0),
    (b"\0\1\xf2\3\xf4\xf5\xf6\xf7", 0x220D),
    (b"\1", 0xFEFF),
]


@pytest.mark.parametrize(("data", "expected"), CHECKSUMS)
def test_checksum(data: bytes, expected: int) -> None:
    assert pydnsmasq._checksum(data) == expected


# -- a server on loopback ----------------------------------------------------------


class Clock:
    """The three clocks of the machine, as far as the program looks; `pass_`, `step` and `sleep` move them."""

    CLOCK_BOOTTIME = time.CLOCK_BOOTTIME

    def __init__(self) -> None:
        self.mono, self.wall, self.boot = 10_000.0, 1_800_000_000.0, 10_500.0

    def monotonic(self) -> float:
        return self.mono

    def time(self) -> float:
        return self.wall

    def clock_gettime(self, which: int) -> float:
        assert which == self.CLOCK_BOOTTIME
        return self.boot

    def pass_(self, seconds: float) -> None:
        self.mono += seconds
        self.wall += seconds
        self.boot += seconds

    def step(self, seconds: float) -> None:
        """Somebody sets the clock."""
        self.wall += seconds

    def sleep(self, seconds: float) -> None:
        """The machine is suspended."""
        self.wall += seconds
        self.boot += seconds

    def __getattr__(self, name: str) -> Any:
        return getattr(time, name)


class FakePinger:
    """Notes what is pinged; who answers is said by the test."""

    def __init__(self) -> None:
        self.sock, self.far = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.sent: list[str] = []
        self.alive: set[int] = set()

    def send(self, address: int) -> None:
        self.sent.append(pydnsmasq.ip4_format(address))

    def answers(self) -> set[int]:
        self.sock.recv(10)
        return self.alive

    def answer(self, *addresses: str) -> None:
        """Let echo replies arrive."""
        self.alive = {ip(text) for text in addresses}
        self.far.send(b"!")


LAN = pydnsmasq.InterfaceAddress("lan0", socket.if_nametoindex("lo"), socket.inet_aton("127.0.0.1"), 8)
WAN = pydnsmasq.InterfaceAddress("wan0", 9999, socket.inet_aton("10.9.0.1"), 24)
RANGE = "dhcp-range=127.0.5.50,127.0.5.149,255.0.0.0,1h\n"
MAC = bytes.fromhex("02aa00000000")


def mac(number: int) -> bytes:
    return MAC[:4] + number.to_bytes(2, "big")


class Server:
    """A Dhcp4Server whose loop turns by hand; loopback plays the part of an interface lan0.

    What it sends is noted; with `live` its own thread serves and really sends.
    """

    def __init__(
        self, text: str = RANGE, interfaces: Any = (LAN, WAN), live: bool = False, pinger: bool = False
    ) -> None:
        self.ports = free_port(), free_port()
        base = f"no-hosts\ndhcp-alternate-port={self.ports[0]},{self.ports[1]}\n"
        self.config = settings(base + ("" if pinger else "no-ping\n") + text)
        self.log = LogLines()
        local = pydnsmasq.LocalData()
        local.freeze()
        self.state = pydnsmasq.DhcpState(
            self.config, pydnsmasq.DhcpHosts(self.config.dhcp_host), self.config.dhcp_option, interfaces, local,
            lambda address: b"", self.log.log,
        )  # fmt: skip
        self.table = pydnsmasq.LeaseTable(self.config.dhcp_lease_max)
        self.service = pydnsmasq.Dhcp4Service(self.state, self.table, lambda below: 0)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(pydnsmasq, "Pinger", FakePinger)  # a raw socket is not for everybody
            self.server = pydnsmasq.Dhcp4Server(self.config, self.service, self.log.log)
        self.sent: list[Any] = []
        self.pinger: FakePinger | None = self.server.pinger
        if not live:
            self.server.sender.send = self.sent.append
        self._thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        if live:
            self._thread.start()

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *_: object) -> None:
        self.server.stop()
        if self._thread.is_alive():
            self._thread.join(5)
            assert not self._thread.is_alive(), "the loop does not end"
        close_server(self.server)
        assert "internal error" not in self.log.text()

    def judge(self, kind: str, client: bytes, interface: str = "lan0", **fields: Any) -> None:
        """Let a message arrive, past the socket."""
        message = pydnsmasq.dhcp4_unpack(dhcp(kind, client, **fields).pack())
        at = next((at for at in self.state.interfaces if at.interface == interface), LAN)
        arrival = pydnsmasq.Dhcp4Arrival(interface, at.index, int.from_bytes(at.address, "big"), device=interface)
        self.server._judge(message, arrival)
        self.turn()

    def turn(self) -> None:
        """What the loop does besides receiving."""
        while self.server._jobs:
            self.server._jobs.popleft()()
        self.server._run_timers()

    def bind(self, number: int, seconds: int = 0) -> int:
        """Give a client a lease; its address."""
        options = [(51, seconds.to_bytes(4, "big"))] if seconds else []
        self.judge("DISCOVER", mac(number))
        offered = self.replies()[-1].yiaddr
        self.judge("REQUEST", mac(number), options=[(54, LAN.address), (50, socket.inet_aton(offered)), *options])
        assert self.replies()[-1].kind() == "ACK"
        return ip(offered)

    def replies(self) -> list[DhcpMessage]:
        return [dhcpwire.parse(delivery.outcome.wire) for delivery in self.sent]

    def said(self) -> list[str]:
        """The replies in short: type and address."""
        return [f"{reply.kind()} {reply.yiaddr}" for reply in self.replies()]


def close_server(server: Any) -> None:
    """Give back what a daemon has until it ends."""
    server.server_close()
    os.close(server._wake_in)
    os.close(server._wake_out)
    pinger, own = server.pinger, server._own.values()
    for sock in (server.sender._packets, pinger and pinger.sock, getattr(pinger, "far", None), *own):
        if sock is not None:
            sock.close()


def dhcp(kind: str, client: bytes, options: Any = (), **fields: Any) -> DhcpMessage:
    options = [(53, bytes((dhcpwire.TYPES[kind],))), *options]
    return DhcpMessage(hlen=len(client), chaddr=client, xid=0x1234, options=options, **fields)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(pydnsmasq, "time", made)
    return made


class Client:
    """A client with an address on loopback; giaddr 255.255.255.255 has answers come back to it."""

    def __init__(self, server: Server | Runtime, host: str = "127.0.0.2") -> None:
        self.server = server
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.bind((host, 0))
        self.sock.settimeout(3)

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.sock.close()

    def put(self, data: bytes) -> None:
        self.sock.sendto(data, ("127.0.0.1", self.server.ports[0]))

    def ask(self, kind: str, client: bytes, options: Any = ()) -> DhcpMessage | None:
        self.put(dhcp(kind, client, options, giaddr="255.255.255.255").pack())
        try:
            return dhcpwire.parse(self.sock.recv(4096))
        except TimeoutError:
            return None

    def bind(self, number: int) -> str:
        offer = self.ask("DISCOVER", mac(number))
        assert offer is not None and offer.kind() == "OFFER"
        ack = self.ask("REQUEST", mac(number), [(54, LAN.address), (50, socket.inet_aton(offer.yiaddr))])
        assert ack is not None and ack.kind() == "ACK" and ack.yiaddr == offer.yiaddr
        return ack.yiaddr


def test_a_lease_by_the_wire() -> None:
    with Server(live=True) as server, Client(server) as client:
        first = client.bind(1)
        assert client.bind(2) != first and client.bind(1) == first
        assert [lease.hardware for lease in server.table.by_address.values()] == [mac(1), mac(2)]


def test_an_ack_is_in_the_file_before_it_leaves(tmp_path: pathlib.Path) -> None:
    with Server(live=True) as server, Client(server) as client:
        file = pydnsmasq.LeaseFile(str(tmp_path / "leases"), None)
        writer = pydnsmasq.LeaseWriter(file, server.table, server.server.sender.send, server.log.log)
        writer.start()
        server.server.writer = writer
        for number in range(20):
            address = client.bind(number)
            assert f" {address} * *\n" in (tmp_path / "leases").read_text()
        writer.stop()
        os.close(file._fd)


GARBAGE = [
    b"", b"\1", b"\0" * 235, b"\xff" * 300, b"\1\1\6\0" + b"\0" * 232, b"\1\1\x11\0" + b"\0" * 400,
    dhcp("DISCOVER", mac(9)).pack()[:250], b"\2" + dhcp("DISCOVER", mac(9)).pack()[1:],
    dhcp("DISCOVER", mac(9)).pack()[:240] + b"\x35\xff\1", b"\1\1\6\0" + os.urandom(4000),
]  # fmt: skip


def test_garbage_is_survived() -> None:
    with Server(live=True) as server, Client(server) as client:
        for data in GARBAGE * 3:
            client.put(data)
        assert client.bind(1)
        assert "internal error" not in server.log.text() and "failed" not in server.log.text()


def test_a_burst_is_served() -> None:
    """More than one look at the socket takes: nobody is forgotten."""
    with Server(live=True) as server, Client(server) as client:
        for number in range(200):
            client.put(dhcp("DISCOVER", mac(number), giaddr="255.255.255.255").pack())
        seen = set()
        for _ in range(90):
            seen.add(dhcpwire.parse(client.sock.recv(4096)).chaddr[:6])
        assert len(seen) >= 90


def test_an_error_in_one_message_does_not_end_the_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    with Server(live=True) as server, Client(server) as client:
        handle = server.service.handle

        def broken(message: Any, *more: Any) -> Any:
            if message.hardware == mac(13):
                raise ZeroDivisionError("planted")
            return handle(message, *more)

        monkeypatch.setattr(server.service, "handle", broken)
        client.put(dhcp("DISCOVER", mac(13)).pack())
        assert client.bind(1)
        assert "internal error in dhcp" in server.log.text() and "planted" in server.log.text()
        server.log._lines.clear()


def test_jobs_run_in_the_thread() -> None:
    with Server(live=True) as server:
        done: list[str] = []

        def noting(text: str) -> None:
            done.append(f"{text} {threading.current_thread().name}")

        for text in "abc":
            server.server.run_soon(functools.partial(noting, text))
        wait_until(lambda: len(done) == 3, 3, "the jobs")
        assert done == [f"{text} {server._thread.name}" for text in "abc"]


def test_a_job_that_fails_does_not_hold_up_the_next() -> None:
    with Server() as server:
        done: list[int] = []
        server.server.run_soon(lambda: 1 // 0)
        server.server.run_soon(lambda: done.append(1))
        server._thread.start()
        wait_until(lambda: done, 3, "the job behind it")
        server.log.lines()
        server.log._lines.clear()


def test_the_end_is_quick() -> None:
    took = []
    for _ in range(3):
        server = Server(live=True)
        time.sleep(0.05)
        began = time.monotonic()
        server.__exit__()
        took.append(time.monotonic() - began)
    assert min(took) < 0.5


# -- who is served -----------------------------------------------------------------

LO = pydnsmasq.InterfaceAddress("lo", 1, socket.inet_aton("127.0.0.1"), 8, True, True)
SIX = pydnsmasq.InterfaceAddress("six0", 5, b"\xfd" + b"\0" * 15, 64)
EVERY = (LO, LAN, WAN, SIX)
ADMITTED = [
    ("", "lo lan0 wan0"),
    ("interface=lan0", "lo lan0"),
    ("interface=lan0\nexcept-interface=lo", "lan0"),
    ("except-interface=lan0", "lo wan0"),
    ("no-dhcp-interface=lan0", "lo wan0"),
    ("no-dhcp-interface=lan", "lo lan0 wan0"),
    ("no-dhcp-interface=w*", "lo lan0"),
    ("no-dhcpv4-interface=wan0", "lo lan0"),
    ("no-dhcpv6-interface=wan0", "lo lan0 wan0"),
    ("listen-address=10.9.0.1", "wan0"),
    ("interface=lan0\nno-dhcp-interface=lan0", "lo"),
    ("interface=six0", "lo"),
]


@pytest.mark.parametrize(("text", "expected"), ADMITTED, ids=[row[0].replace("\n", " ") for row in ADMITTED])
def test_dhcp_admits(text: str, expected: str) -> None:
    config = settings(text)
    names = [at.interface for at in EVERY] + ["none0"]
    assert [name for name in names if pydnsmasq.dhcp_admits(config, EVERY, name)] == expected.split()


def pktinfo(index: int, local: str, target: str) -> bytes:
    return index.to_bytes(4, sys.byteorder) + socket.inet_aton(local) + socket.inet_aton(target)


# (configuration, index, address it was sent to, sender) -> interface, our address there, whether meant for us alone.
ARRIVALS: list[tuple[str, int, str, str, tuple[str, str, bool] | None]] = [
    ("", LAN.index, "255.255.255.255", "0.0.0.0", ("lan0", "127.0.0.1", False)),
    ("", LAN.index, "127.0.0.1", "127.0.0.9", ("lan0", "127.0.0.1", True)),
    ("", WAN.index, "10.9.0.1", "10.8.0.1", ("wan0", "10.9.0.1", True)),
    ("", WAN.index, "10.9.0.255", "10.9.0.7", ("wan0", "10.9.0.1", False)),
    ("", WAN.index, "127.0.0.1", "10.9.0.7", ("wan0", "10.9.0.1", True)),
    ("except-interface=wan0\n", WAN.index, "10.9.0.1", "10.9.0.7", None),
    ("no-dhcp-interface=wan0\n", WAN.index, "255.255.255.255", "0.0.0.0", None),
    ("no-dhcp-interface=lan0\n", WAN.index, "255.255.255.255", "0.0.0.0", ("wan0", "10.9.0.1", False)),
    ("", 77777, "10.9.0.1", "10.9.0.7", None),
    ("bridge-interface=wan0,lan*\nno-dhcp-interface=wan0\n", LAN.index, "255.255.255.255", "0.0.0.0", None),
    ("bridge-interface=wan0,lan*\n", LAN.index, "255.255.255.255", "0.0.0.0", ("wan0", "127.0.0.1", False)),
]


@pytest.mark.parametrize(("text", "index", "target", "peer", "expected"), ARRIVALS)
def test_arrivals(text: str, index: int, target: str, peer: str, expected: tuple[str, str, bool] | None) -> None:
    with Server(RANGE + text) as server:
        arrival = server.server._arrival(pktinfo(index, "127.0.0.1", target), (peer, 1068))
        if expected is None:
            assert arrival is None
            return
        assert (arrival.interface, pydnsmasq.ip4_format(arrival.local), arrival.unicast) == expected
        assert (arrival.source, arrival.source_port, arrival.index) == (ip(peer), 1068, index)


def test_a_tool_on_this_machine_means_the_interface_that_it_asks() -> None:
    with Server(RANGE, (LO, WAN)) as server:
        arrival = server.server._arrival(pktinfo(1, "10.9.0.1", "10.9.0.1"), ("10.9.0.1", 2000))
        assert (arrival.interface, arrival.index, arrival.loopback) == ("wan0", WAN.index, False)
        arrival = server.server._arrival(pktinfo(1, "127.0.0.1", "127.0.0.1"), ("127.0.0.1", 2000))
        assert (arrival.interface, arrival.loopback) == ("lo", True)


def test_who_is_not_served_hears_nothing() -> None:
    with Server(RANGE + "no-dhcp-interface=lan0\n", live=True) as server, Client(server) as client:
        client.sock.settimeout(0.3)
        assert client.ask("DISCOVER", mac(1)) is None
        assert not server.table.by_address and server.log.lines() == []


@pytest.mark.parametrize(("text", "shared"), [("", False), ("bind-interfaces\n", True), ("bind-dynamic\n", True)])
def test_the_port_may_be_shared_by_those_who_keep_to_an_interface(text: str, shared: bool) -> None:
    with Server(RANGE + text) as server:
        second = settings(f"{RANGE}{text}no-ping\ndhcp-alternate-port={server.ports[0]},{server.ports[1]}\n")
        try:
            other = pydnsmasq.Dhcp4Server(second, server.service, server.log.log)
        except OSError as error:
            assert not shared and error.errno == errno.EADDRINUSE
            return
        close_server(other)
        assert shared


# -- port 4011 ---------------------------------------------------------------------

MENU = "pxe-service=x86PC,Boot,pxelinux\n"
ITEM = [(60, b"PXEClient:Arch:00000"), (93, b"\0\0"), (43, b"\x47\4\x80\0\0\0\xff")]  # the first one


@pytest.fixture
def menus(monkeypatch: pytest.MonkeyPatch) -> int:
    """The port where boot menus are asked for."""
    port = free_port()
    monkeypatch.setattr(pydnsmasq, "PXE_PORT", port)
    return port


def ask_menu(client: Client, port: int, seconds: float = 3) -> tuple[DhcpMessage, int] | None:
    """Ask for a boot item; the answer, and the port that it came from."""
    client.sock.settimeout(seconds)
    client.sock.sendto(dhcp("REQUEST", mac(1), ITEM, ciaddr="127.0.5.60").pack(), ("127.0.0.1", port))
    try:
        data, peer = client.sock.recvfrom(4096)
    except (TimeoutError, ConnectionError):
        return None
    return dhcpwire.parse(data), int(peer[1])


@pytest.mark.parametrize("text", ["", "bind-interfaces\n", "bind-dynamic\n"])
def test_boot_menus_by_the_wire(text: str, menus: int) -> None:
    """The answer comes from the port that was asked, to the one that asked; the other port serves as ever."""
    with Server(RANGE + MENU + text, (LAN,), live=True) as server, Client(server) as client:
        seen = ask_menu(client, menus)
        assert seen is not None and seen[1] == menus
        assert (seen[0].kind(), seen[0].file.rstrip(b"\0"), seen[0].siaddr) == ("ACK", b"pxelinux.0", "127.0.0.1")
        seen = ask_menu(client, server.ports[0], 0.2)
        assert seen is None, "by port 67 it goes to the client's port 68"
        assert client.bind(1)
        own = {(socket.inet_ntoa(address), port) for address, port in server.server._own}
        assert own == {("0.0.0.0", menus)} | ({("127.0.0.1", server.ports[0]), ("127.0.0.1", menus)} if text else set())
        assert server.log.text().count("PXE(lan0)") == 2


def test_no_port_for_menus_without_services(menus: int) -> None:
    with Server(RANGE, live=True) as server, Client(server) as client:
        assert ask_menu(client, menus, 0.1) is None and not server.server._own
        assert server.server.sender.pxe_sock is server.server.socket


def with_lines(server: Server, text: str) -> Any:
    """The state after a reload with other lines."""
    old = server.state
    config = settings(f"no-ping\ndhcp-alternate-port={server.ports[0]},{server.ports[1]}\n{text}")
    return pydnsmasq.DhcpState(
        config, old.hosts, config.dhcp_option, old.interfaces, old.local, lambda address: b"", server.log.log
    )


@pytest.mark.parametrize("text", ["", "bind-dynamic\n"])
def test_a_reload_that_brings_services(text: str, menus: int) -> None:
    with Server(RANGE + text, (LAN,), live=True) as server, Client(server) as client:
        assert ask_menu(client, menus, 0.1) is None
        for lines, answered in ((MENU, True), ("", False), (MENU, True)):
            server.service.state = with_lines(server, RANGE + text + lines)
            server.server.addresses_changed()
            seen = wait_until(lambda: ask_menu(client, menus, 0.2), 3, "an answer") if answered else None
            assert answered == (seen is not None) and (answered or ask_menu(client, menus, 0.1) is None)
        assert client.bind(1)


def test_a_port_for_menus_that_is_taken(menus: int) -> None:
    """It is said, and addresses are given all the same."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("0.0.0.0", menus))
        with Server(RANGE + MENU, (LAN,), live=True) as server, Client(server) as client:
            assert f"no socket for DHCP to 0.0.0.0 port {menus}: Address already in use" in server.log.text()
            assert client.bind(1)


def test_menus_keep_to_their_interface(menus: int) -> None:
    """bind-interfaces with one interface: both sockets are bound to it, also when it was gone and came back."""
    need(os.geteuid() == 0, "root")
    lo = pydnsmasq.InterfaceAddress("lo", LAN.index, LAN.address, 8)
    with Server(RANGE + MENU + "bind-interfaces\ninterface=lo\n", (lo,)) as server:
        if not server.server.bound_to:  # loopback does not count as one
            server.server.bound_to = "lo"
        (first,) = server.server._own.values()
        server.server._poll.register(server.server.socket.fileno())
        server.server._bound_index = 0
        server.server._bind_again()
        server.server._follow_addresses()
        (again,) = server.server._own.values()
        assert again is not first and first.fileno() < 0
        assert server.server.sender.pxe_sock is again and server.server.sender.sock is server.server.socket
        for sock in (again, server.server.socket):
            assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, 16).rstrip(b"\0") == b"lo"


def test_what_asks_for_menus_is_not_relayed(menus: int) -> None:
    with Server(RANGE + MENU + "dhcp-relay=127.0.0.1,10.77.0.9\n", (LAN,)) as server:
        data = dhcp("REQUEST", mac(1), ITEM, ciaddr="127.0.5.60").pack()
        info = pktinfo(LAN.index, "127.0.0.1", "127.0.0.1")
        server.server._message(data, info, ("127.0.0.2", 68), True)
        (sent,) = server.sent
        assert sent.pxe and dhcpwire.parse(sent.outcome.wire).file.rstrip(b"\0") == b"pxelinux.0"


# -- timers ------------------------------------------------------------------------


def test_leases_end(clock: Clock) -> None:
    with Server() as server:
        early, late = server.bind(1, 600), server.bind(2)
        poked: list[int] = []
        server.server.writer = types.SimpleNamespace(poke=lambda: poked.append(1), put=server.sent.append)
        for seconds, left in ((599, {early, late}), (2, {late}), (2990, {late}), (20, set())):
            clock.pass_(seconds)
            server.turn()
            assert set(server.table.by_address) == left
        assert len(poked) == 2, "the file is written when a lease ends, and only then"


def test_a_freed_address_is_given_again(clock: Clock) -> None:
    with Server("dhcp-range=127.0.5.50,127.0.5.50,255.0.0.0,1h\n") as server:
        address = server.bind(1)
        server.judge("DISCOVER", mac(2))
        assert len(server.sent) == 2, "full"
        clock.pass_(3601)
        server.turn()
        assert server.bind(2) == address


def test_delayed_offers(clock: Clock) -> None:
    with Server(RANGE + "dhcp-reply-delay=2\n") as server:
        server.judge("DISCOVER", mac(1))
        server.turn()
        clock.pass_(1.0)
        server.judge("DISCOVER", mac(2))
        assert server.sent == []
        clock.pass_(1.01)
        server.turn()
        assert [reply.chaddr[:6] for reply in server.replies()] == [mac(1)]
        clock.pass_(1.01)
        server.turn()
        assert [reply.chaddr[:6] for reply in server.replies()] == [mac(1), mac(2)]
        offer = server.replies()[0]
        server.judge("REQUEST", mac(1), options=[(54, LAN.address), (50, socket.inet_aton(offer.yiaddr))])
        assert server.replies()[2].kind() == "ACK", "that is not delayed"


def test_a_delayed_offer_by_the_wire() -> None:
    with Server(RANGE + "dhcp-reply-delay=1\n", live=True) as server, Client(server) as client:
        began = time.monotonic()
        assert client.ask("DISCOVER", mac(1)) is not None
        assert 0.95 < time.monotonic() - began < 3


def test_delayed_replies_are_bounded(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pydnsmasq, "DHCP_HELD_MAX", 4)
    with Server(RANGE + "dhcp-reply-delay=2\n") as server:
        for number in range(10):
            server.judge("DISCOVER", mac(number))
        clock.pass_(3)
        server.turn()
        assert len(server.sent) == 4


# -- clocks ------------------------------------------------------------------------


def ends(server: Server, clock: Clock) -> list[int]:
    """What the lease file would say now."""
    text = server.table.text(clock.wall - clock.mono)
    return sorted(int(line.split()[0]) for line in text.splitlines())


@pytest.mark.parametrize("seconds", [-1_700_000_000, -86_400, -3600, -3, 3, 3600, 86_400, 300_000_000])
def test_a_clock_that_is_set(seconds: int, clock: Clock) -> None:
    """What is left of a lease does not change, nor does any lease end; the file gets the new ends."""
    with Server() as server:
        address = server.bind(1)
        forever = server.bind(2)
        server.table.set_end(server.table.by_address[forever], pydnsmasq.LEASE_FOR_EVER, clock.mono)
        poked: list[int] = []
        server.server.writer = types.SimpleNamespace(poke=lambda: poked.append(1))
        before, length = ends(server, clock), server.table.by_address[address].left(clock.mono)
        for part in (0.5, 0.5):
            clock.pass_(part)
            server.turn()
        assert poked == []
        clock.step(seconds)
        server.server.tick(clock.mono)
        assert poked == [1] and "the clock was set" in server.log.text()
        assert set(server.table.by_address) == {address, forever}
        assert server.table.by_address[address].left(clock.mono) == length - 1
        assert ends(server, clock) == [0, before[1] + seconds]
        clock.pass_(length - 2)
        server.server.tick(clock.mono)
        assert address in server.table.by_address
        clock.pass_(2)
        server.server.tick(clock.mono)
        assert set(server.table.by_address) == {forever}, "at its time by the clock that runs on"
        assert poked == [1, 1]


@pytest.mark.parametrize("seconds", [0.0, 0.4, -0.4, 1.5, -1.5])
def test_a_clock_that_is_slewed(seconds: float, clock: Clock) -> None:
    with Server() as server:
        server.bind(1)
        poked: list[int] = []
        server.server.writer = types.SimpleNamespace(poke=lambda: poked.append(1))
        clock.step(seconds)
        clock.pass_(1)
        server.server.tick(clock.mono)
        assert poked == [] and "clock" not in server.log.text()


def test_a_clock_that_is_set_where_there_are_no_leases(clock: Clock) -> None:
    with Server() as server:
        clock.step(86_400)
        server.server.tick(clock.mono)
        assert server.log.lines() == []
        clock.pass_(1)
        server.bind(1)
        server.server.tick(clock.mono)
        assert "the clock was set" not in server.log.text()


@pytest.mark.parametrize(("slept", "left"), [(600, 3000), (3500, 100), (3700, None)])
def test_a_machine_that_slept(slept: int, left: int | None, clock: Clock) -> None:
    """Clients' leases went on while the machine was suspended: they end when the clients think so."""
    with Server() as server:
        address = server.bind(1)
        before = ends(server, clock)
        clock.sleep(slept)
        server.server.tick(clock.mono)
        assert "the clock was set" not in server.log.text()
        lease = server.table.by_address.get(address)
        assert (lease and lease.left(clock.mono)) == left
        assert ends(server, clock) == (before if left else [])


def test_many_short_sleeps(clock: Clock) -> None:
    """A machine that dozes off between two looks: what is too short to count alone adds up."""
    with Server() as server:
        address = server.bind(1)
        for _ in range(100):
            clock.pass_(1)
            clock.sleep(0.9)
            server.server.tick(clock.mono)
        assert abs(server.table.by_address[address].left(clock.mono) - (3600 - 190)) <= 2


# -- pings -------------------------------------------------------------------------

FEW = "dhcp-range=127.0.5.50,127.0.5.59,255.0.0.0,1h\n"


def fitting(address: str, count: int, size: int = 10) -> list[int]:
    """Clients whose hash leads them to an address of the range above."""
    start = (ip(address) - ip("127.0.5.50")) % size
    return [number for number in range(5000) if pydnsmasq.address_hash(mac(number)) % size == start][:count]


@pytest.fixture
def pings(clock: Clock) -> Iterator[Server]:
    with Server(FEW, pinger=True) as server:
        yield server


def later(server: Server, clock: Clock, seconds: float = 0.0) -> None:
    """Let the time of a ping pass."""
    clock.pass_(seconds or pydnsmasq.DHCP_PING_SECONDS + 0.01)
    server.turn()


def test_an_address_is_pinged_before_it_is_offered(pings: Server, clock: Clock) -> None:
    (client,) = fitting("127.0.5.53", 1)
    pings.judge("DISCOVER", mac(client))
    assert pings.pinger and pings.pinger.sent == ["127.0.5.53"] and pings.sent == []
    later(pings, clock, pydnsmasq.DHCP_PING_SECONDS - 0.1)
    assert pings.sent == []
    later(pings, clock, 0.11)
    assert pings.said() == ["OFFER 127.0.5.53"]
    assert [line.split("(")[0] for line in pings.log.lines()] == ["DHCPDISCOVER", "DHCPOFFER"], "each line once"


def test_the_result_counts_for_a_while(pings: Server, clock: Clock) -> None:
    (client,) = fitting("127.0.5.53", 1)
    for seconds, asked in ((0.0, 1), (5.0, 1), (pydnsmasq.DHCP_PING_CACHE, 2)):
        clock.pass_(seconds)
        pings.judge("DISCOVER", mac(client))
        later(pings, clock)
        assert pings.pinger and len(pings.pinger.sent) == asked
    assert pings.said() == ["OFFER 127.0.5.53"] * 3


def test_a_repeated_question_gets_one_answer(pings: Server, clock: Clock) -> None:
    (client,) = fitting("127.0.5.53", 1)
    for _ in range(4):
        pings.judge("DISCOVER", mac(client))
        clock.pass_(0.2)
    later(pings, clock)
    assert pings.pinger and pings.pinger.sent == ["127.0.5.53"]
    assert pings.said() == ["OFFER 127.0.5.53"]


def test_two_clients_wait_for_the_same_address(pings: Server, clock: Clock) -> None:
    """One ping tells both, and who comes first has it: the other is offered another one."""
    one, two = fitting("127.0.5.53", 2)
    for client in (one, two):
        pings.judge("DISCOVER", mac(client))
    assert pings.pinger and pings.pinger.sent == ["127.0.5.53"]
    later(pings, clock)
    assert pings.said() == ["OFFER 127.0.5.53"] * 2, "an offer promises nothing (but in sequence)"
    assert [reply.chaddr[:6] for reply in pings.replies()] == [mac(one), mac(two)]
    for client in (two, one):
        pings.judge("REQUEST", mac(client), options=[(54, LAN.address), (50, socket.inet_aton("127.0.5.53"))])
    assert pings.said()[2:] == ["ACK 127.0.5.53", "NAK 0.0.0.0"]
    pings.judge("DISCOVER", mac(one))
    later(pings, clock)
    assert pings.pinger.sent == ["127.0.5.53", "127.0.5.54"] and pings.said()[-1] == "OFFER 127.0.5.54"


def test_two_clients_wait_in_sequence(clock: Clock) -> None:
    """With dhcp-sequential-ip all want the next free one: the first gets it, for the second the next is asked."""
    with Server(FEW + "dhcp-sequential-ip\n", pinger=True) as server:
        for client in (1, 2):
            server.judge("DISCOVER", mac(client))
        assert server.pinger and server.pinger.sent == ["127.0.5.50"]
        later(server, clock)
        assert server.pinger.sent == ["127.0.5.50", "127.0.5.51"]
        later(server, clock)
        assert server.said() == ["OFFER 127.0.5.50", "OFFER 127.0.5.51"]
        assert [reply.chaddr[:6] for reply in server.replies()] == [mac(1), mac(2)]


def test_an_address_that_answers_is_not_offered(pings: Server, clock: Clock) -> None:
    client, other = fitting("127.0.5.53", 2)
    pings.judge("DISCOVER", mac(client))
    pings.server._ping_done(ip("127.0.5.53"), True)
    assert pings.pinger and pings.pinger.sent == ["127.0.5.53", "127.0.5.54"] and pings.sent == []
    later(pings, clock)
    pings.judge("DISCOVER", mac(other))
    assert len(pings.pinger.sent) in (2, 3) and "127.0.5.53" not in pings.pinger.sent[1:], "it is known to be taken"
    later(pings, clock)
    assert [text.split()[0] for text in pings.said()] == ["OFFER"] * 2
    assert "OFFER 127.0.5.53" not in pings.said() and pings.said()[0] == "OFFER 127.0.5.54"


def test_a_whole_range_that_answers(pings: Server, clock: Clock) -> None:
    pings.judge("DISCOVER", mac(1))
    assert pings.pinger
    for number in range(10):
        assert len(pings.pinger.sent) == number + 1
        pings.server._ping_done(ip(pings.pinger.sent[-1]), True)
    assert len(set(pings.pinger.sent)) == 10 and pings.sent == []
    assert "no address available" in pings.log.text()


def test_a_late_answer_changes_nothing(pings: Server, clock: Clock) -> None:
    (client,) = fitting("127.0.5.53", 1)
    pings.judge("DISCOVER", mac(client))
    later(pings, clock)
    pings.server._ping_done(ip("127.0.5.53"), True)
    pings.server._ping_done(ip("127.0.5.99"), True)
    assert pings.said() == ["OFFER 127.0.5.53"]


def test_what_is_not_pinged(clock: Clock) -> None:
    """Reservations, leases that go on, and what a client already asks to have."""
    with Server(FEW + f"dhcp-host={mac(7).hex(':')},127.0.5.80\n", pinger=True) as server:
        assert server.bind(7) == ip("127.0.5.80")
        (client,) = fitting("127.0.5.53", 1)
        server.judge("REQUEST", mac(client), options=[(54, LAN.address), (50, socket.inet_aton("127.0.5.53"))])
        server.judge("DISCOVER", mac(client))
        assert server.pinger and server.pinger.sent == []
        assert server.said()[-2:] == ["ACK 127.0.5.53", "OFFER 127.0.5.53"]


def test_a_requested_address_is_pinged(pings: Server, clock: Clock) -> None:
    (client,) = fitting("127.0.5.53", 1)
    wish = [(50, socket.inet_aton("127.0.5.58"))]
    pings.judge("DISCOVER", mac(client), options=wish)
    pings.server._ping_done(ip("127.0.5.58"), True)
    later(pings, clock)
    assert pings.pinger and pings.pinger.sent == ["127.0.5.58", "127.0.5.53"]
    assert pings.said() == ["OFFER 127.0.5.53"]


def test_a_flood_is_not_pinged(pings: Server, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond a number of pings at once addresses are offered unasked; those under way go on."""
    monkeypatch.setattr(pydnsmasq, "DHCP_PINGS_MAX", 2)
    for address in ("127.0.5.51", "127.0.5.53", "127.0.5.55"):
        pings.judge("DISCOVER", mac(fitting(address, 1)[0]))
    assert pings.pinger and pings.pinger.sent == ["127.0.5.51", "127.0.5.53"]
    assert pings.said() == ["OFFER 127.0.5.55"]
    later(pings, clock)
    assert sorted(pings.said()) == [f"OFFER 127.0.5.{last}" for last in (51, 53, 55)]


def test_the_waiting_line_is_bounded(pings: Server, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    clients = fitting("127.0.5.53", 6)
    monkeypatch.setattr(pydnsmasq, "DHCP_PINGS_MAX", 3)
    for client in clients:
        pings.judge("DISCOVER", mac(client))
    assert len(pings.server._pinging[ip("127.0.5.53")]) == 3


def test_a_ping_ends_though_many_replies_are_delayed(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """Delayed replies fill their queue: the pings' time runs out all the same."""
    monkeypatch.setattr(pydnsmasq, "DHCP_HELD_MAX", 3)
    with Server(FEW + "dhcp-reply-delay=tag:slow,9\ndhcp-mac=set:slow,02:aa:00:00:*:*\n", pinger=True) as server:
        for number in range(5):
            server.judge(
                "REQUEST", mac(number), options=[(54, LAN.address), (50, socket.inet_aton(f"127.0.5.5{number}"))]
            )
        for number in range(5):  # those have their leases, and are not pinged
            server.judge("DISCOVER", mac(number))
        sent = len(server.sent)
        other = bytes.fromhex("02bb00000001")
        server.judge("DISCOVER", other)
        assert server.pinger and len(server.pinger.sent) == 1
        later(server, clock)
        assert [reply.chaddr[:6] for reply in server.replies()[sent:]] == [other]
        assert server.server._pinging == {}


def test_without_a_pinger_offers_come_at_once(clock: Clock) -> None:
    """It was not wanted, or not to be had."""
    (client,) = fitting("127.0.5.53", 1)
    with Server(FEW) as server:
        server.judge("DISCOVER", mac(client))
        assert server.said() == ["OFFER 127.0.5.53"]
    with Server(FEW, pinger=True) as server:
        pinger, server.server.pinger = server.server.pinger, None
        server.judge("DISCOVER", mac(client))
        assert server.said() == ["OFFER 127.0.5.53"]
        server.server.pinger = pinger


def test_no_right_to_ping(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(pydnsmasq, "Pinger", refused)
    kit = Server()
    kit.__exit__()
    config = settings(f"{RANGE}dhcp-alternate-port={free_port()},{free_port()}\n")
    server = pydnsmasq.Dhcp4Server(config, kit.service, kit.log.log)
    assert server.pinger is None
    assert kit.log.lines() == ["cannot ping addresses before they are offered: Operation not permitted"]
    close_server(server)


def test_an_answer_by_the_wire(monkeypatch: pytest.MonkeyPatch) -> None:
    """The loop hears an echo reply at once, and pings the next address."""
    monkeypatch.setattr(pydnsmasq, "DHCP_PING_SECONDS", 1.0)
    with Server(FEW, pinger=True) as server:
        (client,) = fitting("127.0.5.53", 1)
        server._thread.start()
        with Client(server) as asking:
            asking.put(dhcp("DISCOVER", mac(client)).pack())
            assert server.pinger is not None
            pinger = server.pinger
            wait_until(lambda: pinger.sent == ["127.0.5.53"], 3, "the ping")
            pinger.answer("127.0.5.53")
            wait_until(lambda: pinger.sent == ["127.0.5.53", "127.0.5.54"], 0.9, "the next ping")
            wait_until(lambda: server.said() == ["OFFER 127.0.5.54"], 3, "the offer")


def pinger_or_skip() -> Any:
    try:
        return pydnsmasq.Pinger()
    except OSError as error:
        return need(False, f"a raw socket ({error})")


def test_real_pings() -> None:
    mine, other = pinger_or_skip(), pinger_or_skip()
    with mine.sock, other.sock:
        other._id ^= 1
        mine.send(ip("127.0.0.1"))
        mine.send(ip("127.0.0.77"))
        seen: set[int] = set()

        def both() -> bool:
            seen.update(mine.answers())
            return len(seen) == 2

        wait_until(both, 3, "two answers")
        assert seen == {ip("127.0.0.1"), ip("127.0.0.77")}
        assert other.answers() == set(), "answers to somebody else's pings"
        mine.send(ip("240.0.0.1"))  # cannot be sent: nothing happens
        assert mine.answers() == set()


# -- sending -----------------------------------------------------------------------


@contextlib.contextmanager
def sender(port: int = 0) -> Iterator[tuple[Any, LogLines]]:
    log = LogLines()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        sock.bind(("0.0.0.0", port))
        made = pydnsmasq.Dhcp4Sender(sock, sock.getsockname()[1], log.log)
        yield made, log
        if made._packets is not None:
            made._packets.close()


def delivery(address: str, port: int, **more: Any) -> Any:
    outcome = pydnsmasq.Dhcp4Outcome(b"payload" * 50, ip(address), port, **more)
    return pydnsmasq.Dhcp4Delivery(outcome, "lo", 1, ip("127.0.0.1"))


def received(address: str, deliver: Callable[[int], Any], options: tuple[int, ...] = ()) -> tuple[bytes, str, str]:
    """What arrives at a port of an address; and what was logged."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock, sender() as (made, log):
        sock.bind((address, 0))
        sock.settimeout(2)
        made.send(deliver(sock.getsockname()[1]))
        data, peer = sock.recvfrom(4096)
        assert peer[1] == made._port
        return data, peer[0], log.text()


def test_a_reply_to_an_address() -> None:
    data, source, log = received("127.0.0.5", lambda port: delivery("127.0.0.5", port))
    assert (data, log) == (b"payload" * 50, "") and source.startswith("127.")


def test_a_reply_to_a_client_without_an_address() -> None:
    """By a packet of our own making: the kernel need not know where the address is."""
    need(os.geteuid() == 0, "root")
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0800)) as sock, sender() as (made, log):
        sock.bind(("lo", 0x0800))
        sock.settimeout(2)
        made.send(delivery("10.123.0.6", 1068, hardware=b"\2\0\0\0\0\x77"))
        seen = None
        while seen is None or seen.to_port != 1068:
            seen = dhcpwire.parse_frame(sock.recv(4096))
    assert seen.payload == b"payload" * 50 and log.lines() == []
    assert (seen.from_ip, seen.from_port, seen.to_ip) == ("127.0.0.1", made._port, "10.123.0.6")
    assert seen.to_mac == b"\2\0\0\0\0\x77"


NOT_BY_FRAME: dict[str, dict[str, Any]] = {
    "a reply that is broadcast": {},
    "other hardware than Ethernet": {"hardware": b"\2" * 6, "htype": 6},
    "too long an address": {"hardware": b"\2" * 16},
}


@pytest.mark.parametrize("more", NOT_BY_FRAME.values(), ids=NOT_BY_FRAME)
def test_broadcast(more: dict[str, Any]) -> None:
    address = "127.0.0.6" if more else "0.0.0.0"
    data, source, log = received("", lambda port: delivery(address, port, **more))
    assert (data, source, log) == (b"payload" * 50, "127.0.0.1", "")


def test_without_a_packet_socket_replies_are_broadcast(monkeypatch: pytest.MonkeyPatch) -> None:
    real = socket.socket

    def opened(family: int = socket.AF_INET, *more: Any, **named: Any) -> Any:
        if family == socket.AF_PACKET:
            raise PermissionError(errno.EPERM, "Operation not permitted")
        return real(family, *more, **named)

    monkeypatch.setattr(pydnsmasq.socket, "socket", opened)
    monkeypatch.setattr(pydnsmasq, "socket", pydnsmasq.socket)
    with real(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        made = pydnsmasq.Dhcp4Sender(sock, 67, LogLines().log)
    assert made._packets is None
    monkeypatch.undo()
    with real(socket.AF_INET, socket.SOCK_DGRAM) as sock, sender() as (made, log):
        made._packets, packets = None, made._packets
        if packets is not None:
            packets.close()
        sock.bind(("", 0))
        sock.settimeout(2)
        made.send(delivery("127.0.0.6", sock.getsockname()[1], hardware=b"\2" * 6))
        assert sock.recv(4096) == b"payload" * 50 and log.lines() == []


def test_what_cannot_be_sent_is_said() -> None:
    with sender() as (made, log):
        for _ in range(3):
            made.send(delivery("127.0.0.9", 0))
        broken = delivery("0.0.0.0", 68)
        broken.index = 99_999
        made.send(broken)
    assert log.lines() == [
        "Error sending DHCP packet to 127.0.0.9: Invalid argument",
        "Error sending DHCP packet to 255.255.255.255 on lo: No such device",
    ]


# -- relaying ----------------------------------------------------------------------

OUTSIDE = "10.77.0.9"  # a server elsewhere
RELAY = f"dhcp-relay=127.0.0.1,{OUTSIDE}\n"


def arrive(server: Server, message: DhcpMessage, index: int = LAN.index, target: str = "255.255.255.255",
           peer: tuple[str, int] = ("0.0.0.0", 68)) -> list[Any]:  # fmt: skip
    """Let a datagram arrive; what is sent because of it."""
    before = len(server.sent)
    server.server._message(message.pack(), pktinfo(index, "127.0.0.1", target), peer)
    server.turn()
    return server.sent[before:]


def where(one: Any) -> str:
    outcome = one.outcome
    mac_text = f" {outcome.hardware.hex(':')}" if outcome.hardware else ""
    return f"{pydnsmasq.ip4_format(outcome.address)}:{outcome.port}{mac_text} {one.interface} {one.index}"


def test_a_request_is_relayed() -> None:
    with Server(RELAY) as server:
        (sent,) = arrive(server, dhcp("DISCOVER", mac(1), [(55, b"\1\3\6"), (12, b"pc")], hops=2, secs=9, flags=0x8000))
        assert where(sent).startswith(f"{OUTSIDE}:{server.ports[0]} ")
        relayed = dhcpwire.parse(sent.outcome.wire)
        assert (relayed.op, relayed.hops, relayed.giaddr) == (1, 3, "127.0.0.1")
        assert (relayed.xid, relayed.secs, relayed.flags, relayed.chaddr[:6]) == (0x1234, 9, 0x8000, mac(1))
        assert relayed.options == [(53, b"\1"), (55, b"\1\3\6"), (12, b"pc")]


def test_a_request_of_another_relay_keeps_its_address() -> None:
    with Server(RELAY) as server:
        (sent,) = arrive(server, dhcp("DISCOVER", mac(1), giaddr="10.1.2.3", hops=1))
        relayed = dhcpwire.parse(sent.outcome.wire)
        assert (relayed.giaddr, relayed.hops) == ("10.1.2.3", 2)


NOT_RELAYED: dict[str, tuple[str, int, dict[str, Any]]] = {
    "it goes in circles": (RELAY, LAN.index, {"hops": 21}),
    "we relayed it": (RELAY, LAN.index, {"giaddr": "127.0.0.1"}),
    "from another interface": (RELAY, WAN.index, {}),
    "an address that we have not": (f"dhcp-relay=10.200.0.1,{OUTSIDE}\n", LAN.index, {}),
    "not served there": (RELAY + "no-dhcp-interface=lan0\n", LAN.index, {}),
}


@pytest.mark.parametrize(("text", "index", "fields"), NOT_RELAYED.values(), ids=NOT_RELAYED)
def test_what_is_not_relayed(text: str, index: int, fields: dict[str, Any]) -> None:
    with Server(text) as server:
        assert arrive(server, dhcp("DISCOVER", mac(1), **fields), index) == []


def test_several_servers_and_ports() -> None:
    with Server(RELAY + "dhcp-relay=127.0.0.1,10.77.0.10#6767\ndhcp-relay=10.9.0.1,10.77.0.11\n") as server:
        sent = arrive(server, dhcp("DISCOVER", mac(1)))
        assert [where(one).split()[0] for one in sent] == [f"{OUTSIDE}:{server.ports[0]}", "10.77.0.10:6767"]
        sent = arrive(server, dhcp("DISCOVER", mac(1)), WAN.index)
        assert [where(one).split()[0] for one in sent] == [f"10.77.0.11:{server.ports[0]}"]
        assert dhcpwire.parse(sent[0].outcome.wire).giaddr == "10.9.0.1"


def test_relayed_by_broadcast_on_another_interface() -> None:
    with Server("dhcp-relay=127.0.0.1,wan0\n") as server:
        (sent,) = arrive(server, dhcp("DISCOVER", mac(1)))
        assert where(sent) == f"0.0.0.0:{server.ports[0]} wan0 {WAN.index}"


# (fields of a server's reply) -> where it goes.
RELAYED_BACK: dict[str, tuple[dict[str, Any], str]] = {
    "to a client without an address": ({"yiaddr": "127.0.5.60"}, f"127.0.5.60:PORT {mac(1).hex(':')} lan0 {LAN.index}"),
    "broadcast": ({"yiaddr": "127.0.5.60", "flags": 0x8000}, f"0.0.0.0:PORT lan0 {LAN.index}"),
    "refused": ({"flags": 0x8000}, f"0.0.0.0:PORT lan0 {LAN.index}"),
    "refused without the flag": ({}, f"0.0.0.0:PORT lan0 {LAN.index}"),
    "renewed": ({"yiaddr": "127.0.5.60", "ciaddr": "127.0.5.60"}, f"127.0.5.60:PORT lan0 {LAN.index}"),
}


@pytest.mark.parametrize(("fields", "expected"), RELAYED_BACK.values(), ids=RELAYED_BACK)
def test_replies_are_relayed_back(fields: dict[str, Any], expected: str) -> None:
    with Server(RELAY) as server:
        reply = dhcp(
            "OFFER", mac(1), [(54, b"\x0a\x4d\0\x09"), (51, b"\0\0\x0e\x10")], op=2, giaddr="127.0.0.1", **fields
        )
        (sent,) = arrive(server, reply, WAN.index, "127.0.0.1", (OUTSIDE, 67))
        assert where(sent) == expected.replace("PORT", str(server.ports[1]))
        back = dhcpwire.parse(sent.outcome.wire)
        assert back.options == reply.options and back.yiaddr == reply.yiaddr and back.chaddr[:6] == mac(1)


@pytest.mark.parametrize("giaddr", ["0.0.0.0", "10.200.0.1", "127.0.0.2"])
def test_replies_for_other_relays_are_dropped(giaddr: str) -> None:
    with Server(RELAY + RANGE) as server:
        reply = dhcp("OFFER", mac(1), op=2, giaddr=giaddr, yiaddr="127.0.5.60")
        assert arrive(server, reply, WAN.index, "127.0.0.1", (OUTSIDE, 67)) == []


def test_what_is_relayed_is_not_answered_too() -> None:
    """The client would hear of two servers."""
    with Server(RELAY + RANGE) as server:
        sent = arrive(server, dhcp("DISCOVER", mac(1)))
        assert [dhcpwire.parse(one.outcome.wire).kind() for one in sent] == ["DISCOVER"]


def test_a_split_relay() -> None:
    """What it adds for the server it takes out again; the client hears of nothing."""
    with Server(f"dhcp-split-relay=127.0.0.1,{OUTSIDE},10.9.0.1\n") as server:
        (sent,) = arrive(server, dhcp("DISCOVER", mac(1)))
        relayed = dhcpwire.parse(sent.outcome.wire)
        assert relayed.giaddr == "10.9.0.1"
        agent = relayed.value(82)
        assert agent is not None
        parts = dict(dhcpwire.parse_options(agent)[0])
        assert parts[5] == parts[11] == LAN.address
        reply = dhcp("OFFER", mac(1), [(51, b"\0\0\1\0"), (82, agent)], op=2, giaddr="10.9.0.1", yiaddr="127.0.5.60")
        (back,) = arrive(server, reply, WAN.index, "10.9.0.1", (OUTSIDE, 67))
        assert where(back).endswith(f"lan0 {LAN.index}")
        assert [number for number, _ in dhcpwire.parse(back.outcome.wire).options] == [53, 51]


def test_relayed_clients_are_served(clock: Clock) -> None:
    """Behind a relay elsewhere: the reply goes to the relay, from the range of its network."""
    with Server(RANGE + "dhcp-range=10.50.0.10,10.50.0.20,255.255.255.0,1h\n") as server:
        (sent,) = arrive(server, dhcp("DISCOVER", mac(1), giaddr="10.50.0.1"), WAN.index, "10.9.0.1", ("10.50.0.1", 67))
        assert where(sent).startswith(f"10.50.0.1:{server.ports[0]} ")
        assert dhcpwire.parse(sent.outcome.wire).yiaddr.startswith("10.50.0.")


# -- what DHCP reads from files ----------------------------------------------------


class Files:
    """DhcpFiles on a directory; its log and what it gives, in short."""

    def __init__(self, directory: pathlib.Path) -> None:
        self.directory = directory
        self.log = LogLines()
        self.files = pydnsmasq.DhcpFiles(self.log.log)

    def write(self, name: str, text: str) -> pathlib.Path:
        path = self.directory / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(text.encode("latin-1"))
        return path

    def hosts(self, text: str) -> list[str]:
        return shown(self.files.hosts(settings(text.replace("$DIR", str(self.directory)))))

    def options(self, text: str) -> list[int]:
        return [rule.number for rule in self.files.options(settings(text.replace("$DIR", str(self.directory))))]

    def ethers(self, text: str) -> list[str]:
        return shown(self.files._ethers(str(self.write("ethers", text))))

    def lines(self) -> list[str]:
        lines = [line.replace(str(self.directory), "$DIR") for line in self.log.lines()]
        self.log._lines.clear()
        return lines


def shown(hosts: Any) -> list[str]:
    out = []
    for host in hosts:
        macs = [":".join("*" if octet is None else f"{octet:02x}" for octet in one.octets) for one in host.hardware]
        address = [socket.inet_ntoa(host.ipv4)] if host.ipv4 is not None else []
        out.append(" ".join(macs + address + ([host.name] if host.name else [])))
    return out


@pytest.fixture
def files(tmp_path: pathlib.Path) -> Files:
    return Files(tmp_path)


M1, M2, M3 = "02:aa:00:00:00:01", "02:aa:00:00:00:02", "02:aa:00:00:00:03"


def test_hosts_from_everywhere(files: Files) -> None:
    files.write("one", f"{M2},10.0.0.2,two\n\n# a comment\n   \n")
    files.write("many/b", f"{M3},10.0.0.3\n")
    files.write("many/a", f"{M2},10.0.0.4,four # and why\n")
    for name in (".hidden", "old~", "#auto#"):
        files.write(f"many/{name}", f"{M1},10.9.9.9\n")
    found = files.hosts(f"dhcp-host={M1},10.0.0.1\ndhcp-hostsfile=$DIR/one\ndhcp-hostsfile=$DIR/many\n")
    assert found == [f"{M1} 10.0.0.1", f"{M2} 10.0.0.2 two", f"{M2} 10.0.0.4 four", f"{M3} 10.0.0.3"]
    assert files.lines() == ["read $DIR/one", "read $DIR/many/a", "read $DIR/many/b"]


def test_options_from_everywhere(files: Files) -> None:
    files.write("opts", "option:router,10.0.0.1\n42,10.0.0.2\ntag:x,option:domain-name,x.test\n")
    files.write("many/z", "6,10.0.0.3\n")
    files.write("many/y", "66,name\n")
    text = "dhcp-option=3,10.0.0.9\ndhcp-optsfile=$DIR/opts\ndhcp-optsdir=$DIR/many\n"
    assert files.options(text) == [3, 3, 42, 15, 66, 6]
    assert files.lines() == ["read $DIR/opts", "read $DIR/many/y", "read $DIR/many/z"]


BAD_LINES = {
    "hosts": ("dhcp-hostsfile", f"{M1},10.0.0.1\nnon!sense,,\n{M2},10.0.0.300\n{M3},10.0.0.3\n", (2, 3)),
    "a host directory": ("dhcp-hostsdir", f"{M1},10.0.0.1\n\n{M2},10.0.0.2,bad_name!\n", (3,)),
    "options": ("dhcp-optsfile", "option:router,10.0.0.1\noption:no-such-option,1\n42,here\n", (2, 3)),
    "an option directory": ("dhcp-optsdir", "\n\n300,1\n3,10.0.0.1\n", (3,)),
}


@pytest.mark.parametrize(("option", "text", "bad"), BAD_LINES.values(), ids=BAD_LINES)
def test_a_wrong_line_is_named_and_skipped(option: str, text: str, bad: tuple[int, ...], files: Files) -> None:
    files.write("some.d/file", text)
    path = "$DIR/some.d" if option.endswith("dir") else "$DIR/some.d/file"
    read = files.options if "opts" in option else files.hosts
    good = [line for line in text.splitlines() if line]
    assert len(read(f"{option}={path}\n")) == len(good) - len(bad)
    lines = files.lines()
    for number, line in zip(bad, lines, strict=False):
        assert line.startswith(f"$DIR/some.d/file:{number}: ") and f"line {number} of $DIR/some.d/file" in line
    assert lines[len(bad) :] == ["read $DIR/some.d/file"]


@pytest.mark.parametrize("option", ["dhcp-hostsfile", "dhcp-optsfile"])
def test_a_file_that_is_missing(option: str, files: Files) -> None:
    read = files.options if "opts" in option else files.hosts
    assert read(f"{option}=$DIR/none\n") == []
    assert files.lines() == ["cannot read $DIR/none: No such file or directory"]


@pytest.mark.parametrize("option", ["dhcp-hostsdir", "dhcp-optsdir"])
def test_a_directory_that_vanishes(option: str, files: Files) -> None:
    path = files.write("some.d/file", "")
    config = settings(f"{option}={files.directory}/some.d\n")
    path.unlink()
    path.parent.rmdir()
    assert files.files.hosts(config) == [] and files.files.options(config) == []
    assert len(files.lines()) == 1 and files.files.moved(config) is False


def test_hosts_by_a_relative_path(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    """A relative path keeps the meaning that it had at the start, for a file and for a directory."""
    files.write("one", f"{M1},10.0.0.1\n")
    files.write("many/a", f"{M2},10.0.0.2\n")
    monkeypatch.setattr(pydnsmasq.SystemSource, "_base", str(files.directory))
    monkeypatch.chdir("/")
    found = files.hosts("dhcp-hostsfile=one\ndhcp-hostsfile=many\n")
    assert found == [f"{M1} 10.0.0.1", f"{M2} 10.0.0.2"]


def test_an_address_of_two_clients(files: Files) -> None:
    files.write("hosts", f"{M2},10.0.0.1,two\n{M3},10.0.0.3\n")
    found = files.hosts(f"dhcp-host={M1},10.0.0.1\ndhcp-hostsfile=$DIR/hosts\n")
    assert found == [f"{M1} 10.0.0.1", f"{M2} two", f"{M3} 10.0.0.3"]
    assert files.lines() == [
        "read $DIR/hosts",
        "duplicate dhcp-host IP address 10.0.0.1 at line 1 of $DIR/hosts, it is taken at line 1 of conf",
    ]


MOVES: dict[str, Callable[[pathlib.Path], object]] = {
    "written": lambda path: (path / "a").write_text(f"{M1},10.0.0.2\n"),
    "longer": lambda path: (path / "a").write_text(f"{M1},10.0.0.1,name\n"),
    "touched": lambda path: os.utime(path / "a", (5, 5)),
    "new": lambda path: (path / "b").write_text(""),
    "removed": lambda path: (path / "a").unlink(),
    "renamed": lambda path: (path / "a").rename(path / "c"),
    "replaced": lambda path: ((path / ".a").write_text(f"{M2},10.0.0.1\n"), (path / ".a").rename(path / "a")),
}
STILL: dict[str, Callable[[pathlib.Path], object]] = {
    "nothing": lambda path: None,
    "read": lambda path: (path / "a").read_text(),
    "hidden": lambda path: (path / ".b").write_text("x"),
    "a backup": lambda path: (path / "a~").write_text("x"),
}


@pytest.mark.parametrize("option", ["dhcp-hostsdir", "dhcp-optsdir"])
@pytest.mark.parametrize("change", [*MOVES, *STILL])
def test_a_directory_that_is_followed(change: str, option: str, files: Files) -> None:
    files.write("some.d/a", f"{M1},10.0.0.1\n" if "hosts" in option else "3,10.0.0.1\n")
    config = settings(f"{option}={files.directory}/some.d\n")
    assert files.files.moved(config) is True, "at first everything is new"
    assert files.files.moved(config) is False
    (MOVES | STILL)[change](files.directory / "some.d")
    assert files.files.moved(config) is (change in MOVES)
    assert files.files.moved(config) is False


def test_only_directories_that_are_to_be_followed_are(files: Files) -> None:
    files.write("some.d/a", "")
    config = settings(f"dhcp-hostsfile={files.directory}/some.d\n")
    assert files.files.moved(config) is False


# -- /etc/ethers -------------------------------------------------------------------

# ethers(5): a line -> an entry, or None for one that is refused.
ETHERS: list[tuple[str, str | None]] = [
    (f"{M1} 10.0.0.1", f"{M1} 10.0.0.1"),
    (f"{M1}\t10.0.0.1  # a comment", f"{M1} 10.0.0.1"),
    (f"  {M1}   pc  ", f"{M1} pc"),
    ("2:aa:0:0:0:4 10.0.0.1", "02:aa:00:00:00:04 10.0.0.1"),
    (f"{M1.upper()} pc", f"{M1} pc"),
    (f"{M1} pc more words", f"{M1} pc"),
    (M1, None),
    ("02:aa:00:00:00 10.0.0.1", None),
    ("02:aa:00:00:00:01:02 10.0.0.1", None),
    ("02:aa:00:00:00:zz 10.0.0.1", None),
    ("02:aa:00:00:00:* 10.0.0.1", None),
    ("10.0.0.1 pc", None),
    (f"{M1} 10.5.0.300", None),
    (f"{M1} fd00::1", None),
    (f"{M1} \xff\xfe", None),
]
ETHERS_SKIPPED = ["", "   ", "# comment", "+", "+@netgroup", "\t# x", f"#{M1} 10.0.0.1"]


@pytest.mark.parametrize(("line", "expected"), ETHERS)
def test_ethers(line: str, expected: str | None, files: Files) -> None:
    found = files.ethers(f"# first\n{line}\n{M3} 10.0.0.3\n")
    assert found == ([] if expected is None else [expected]) + [f"{M3} 10.0.0.3"]
    lines = files.lines()
    assert lines[-1] == f"read $DIR/ethers - {len(found)} addresses"
    if expected is None:
        assert len(lines) == 2 and lines[0].startswith("bad ") and lines[0].endswith(" at $DIR/ethers line 2")
    else:
        assert len(lines) == 1


@pytest.mark.parametrize("line", ETHERS_SKIPPED)
def test_ethers_skips(line: str, files: Files) -> None:
    assert files.ethers(f"{line}\n") == []
    assert files.lines() == ["read $DIR/ethers - 0 addresses"]


def test_ethers_that_are_missing(files: Files) -> None:
    assert files.files._ethers(f"{files.directory}/none") == []
    assert files.lines() == ["failed to read $DIR/none: No such file or directory"]


def test_ethers_are_for_any_client_id(files: Files) -> None:
    path = files.write("ethers", f"{M1} 10.0.0.1\n{M2} pc\n")
    one, two = files.files._ethers(str(path))
    assert one.any_client_id and two.any_client_id
    assert str(path) in one.place and "line 1" in one.place and "line 2" in two.place


# -- names that hosts data knows ---------------------------------------------------


def with_addresses(text: str, known: dict[str, str]) -> tuple[list[str], list[str]]:
    log = LogLines()
    hosts = settings(text).dhcp_host
    found = pydnsmasq.hosts_with_addresses(hosts, lambda name: ip(known.get(name, "0.0.0.0")), log.log)
    return shown(found), log.lines()


PC = {"pc": "10.0.0.7"}
NAMED: list[tuple[str, str, list[str], str]] = [
    ("has none", f"dhcp-host={M1},pc\n", [f"{M1} 10.0.0.7 pc"], ""),
    ("has one", f"dhcp-host={M1},pc,10.0.0.9\n", [f"{M1} 10.0.0.9 pc"], ""),
    ("unknown", f"dhcp-host={M1},other\n", [f"{M1} other"], ""),
    ("no name", f"dhcp-host={M1},set:x\n", [M1], ""),
    (
        "reserved already",
        f"dhcp-host={M1},10.0.0.7\ndhcp-host={M2},pc\n",
        [f"{M1} 10.0.0.7", f"{M2} pc"],
        "duplicate IP address 10.0.0.7 (pc) in dhcp-config directive",
    ),
    (
        "reserved further down",
        f"dhcp-host={M2},pc\ndhcp-host={M1},10.0.0.7\n",
        [f"{M2} pc", f"{M1} 10.0.0.7"],
        "duplicate IP address 10.0.0.7 (pc) in dhcp-config directive",
    ),
]


@pytest.mark.parametrize(("text", "expected", "said"), [row[1:] for row in NAMED], ids=[row[0] for row in NAMED])
def test_hosts_with_addresses(text: str, expected: list[str], said: str) -> None:
    assert with_addresses(text, PC) == (expected, [said] if said else [])


def test_the_configuration_stays_as_it_is() -> None:
    """Hosts files are read again and again: what one look found does not stick to the configuration."""
    config, log = settings(f"dhcp-host={M1},pc\n"), LogLines()
    for address in ("10.0.0.7", "10.0.0.8", "0.0.0.0"):
        found = pydnsmasq.hosts_with_addresses(config.dhcp_host, lambda name: ip(address), log.log)  # noqa: B023
        assert shown(found) == [f"{M1} {address} pc".replace("0.0.0.0 ", "")]
    assert config.dhcp_host[0].ipv4 is None


def test_a_duplicate_in_a_directory(files: Files) -> None:
    """A file cannot take an address away from the configuration, whatever is read again."""
    files.write("hosts.d/a", f"{M1},10.0.0.1\n")
    config = settings(f"dhcp-host={M2},10.0.0.1\ndhcp-hostsdir={files.directory}/hosts.d\n")
    assert shown(files.files.hosts(config)) == [f"{M2} 10.0.0.1", M1]
    files.write("hosts.d/a", "")
    assert shown(files.files.hosts(config)) == [f"{M2} 10.0.0.1"]
    assert config.dhcp_host[0].ipv4 is not None


# -- DHCP as it runs ---------------------------------------------------------------


class Runtime:
    """A DhcpRuntime on loopback with its lease file; scripts are noted."""

    def __init__(
        self, directory: pathlib.Path, text: str = "", stored: bytes | None = None, start: bool = True
    ) -> None:
        self.path = directory / "leases"
        if stored is not None:
            self.path.write_bytes(stored)
        self.ports = free_port(), free_port()
        base = f"no-ping\ndhcp-leasefile={self.path}\n"
        ports = "" if "alternate-port" in text else f"dhcp-alternate-port={self.ports[0]},{self.ports[1]}\n"
        self.config = settings(base + ports + RANGE + text)
        self.log = LogLines()
        self.calls: list[str] = []
        local = pydnsmasq.LocalData()
        local.freeze()
        hosts = pydnsmasq.DhcpHosts(self.config.dhcp_host)
        self.state = pydnsmasq.DhcpState(
            self.config, hosts, self.config.dhcp_option, (LAN, WAN), local, lambda address: b"\3lan\0", self.log.log
        )
        self.forgotten: set[bytes] = set()
        self.runtime = pydnsmasq.DhcpRuntime(self.config, None, self.state, self.log.log)
        if start:
            self.start()

    def start(self) -> None:
        script = types.SimpleNamespace(put=lambda call: self.calls.append(" ".join(call.arguments)))
        self.runtime.start(script, self.forgotten.update)

    def close(self) -> None:
        self.runtime.stop()
        self.runtime.server.stop()
        wait_until(lambda: not [one for one in threading.enumerate() if one.name in ("dhcp", "leases")], 5, "the end")
        close_server(self.runtime.server)
        if self.runtime._file is not None:
            os.close(self.runtime._file._fd)
        assert "internal error" not in self.log.text()

    def __enter__(self) -> Runtime:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def left(self, address: str) -> int:
        return int(self.runtime.leases.by_address[ip(address)].left(time.monotonic()))


def line(address: str, end: float, name: str = "*", number: int = 1) -> bytes:
    return f"{int(end)} {mac(number).hex(':')} {address} {name} *\n".encode()


def test_stored_leases_go_on(tmp_path: pathlib.Path) -> None:
    now = time.time()
    stored = (
        line("127.0.5.60", now + 1000, "pc", 1) + line("10.77.7.7", now + 50, "*", 2) + line("127.0.5.61", 0, "*", 3)
    )
    with Runtime(tmp_path, stored=stored) as kit:
        assert 998 <= kit.left("127.0.5.60") <= 1000 and kit.left("127.0.5.61") == pydnsmasq.LEASE_FOR_EVER
        assert kit.calls == [
            f"old {mac(1).hex(':')} 127.0.5.60 pc",
            f"old {mac(2).hex(':')} 10.77.7.7",
            f"old {mac(3).hex(':')} 127.0.5.61",
        ]
        interfaces = [lease.interface for lease in kit.runtime.leases.by_address.values()]
        assert sorted(interfaces) == ["", "lan0", "lan0"]
        assert dnsname("pc.lan") in kit.state.local.lease_names
    assert kit.path.read_bytes() == stored, "also after the end, in its order"


def dnsname(text: str) -> bytes:
    return b"".join(bytes((len(label),)) + label.encode() for label in text.split(".")) + b"\0"


def test_what_ended_meanwhile(tmp_path: pathlib.Path) -> None:
    now = time.time()
    stored = line("127.0.5.60", now - 5, "pc", 1) + line("127.0.5.61", now + 500, "*", 2)
    with Runtime(tmp_path, stored=stored) as kit:
        assert kit.calls == [f"del {mac(1).hex(':')} 127.0.5.60 pc", f"old {mac(2).hex(':')} 127.0.5.61"]
    assert kit.path.read_bytes() == line("127.0.5.61", now + 500, "*", 2)


# (the clock, when the file was written, an end in it) -> what is left; times from 2025-01-01 on unless negative.
FLOOR = pydnsmasq.CLOCK_FLOOR
CLOCKS = [
    ("as usual", FLOOR + 5000, FLOOR + 4000, FLOOR + 6000, 1000),
    ("written this second", FLOOR + 5000, FLOOR + 5000, FLOOR + 6000, 1000),
    ("a router in 1970", 40, FLOOR + 4000, FLOOR + 5000, 1000),
    ("a clock that went back", FLOOR + 1000, FLOOR + 4000, FLOOR + 5000, 1000),
    ("a file of 1970", FLOOR + 5000, 100, 1100, 1000),
    ("both in 1970", 200, 100, 1100, 900),
]


@pytest.mark.parametrize(
    ("wall", "written", "end", "left"), [row[1:] for row in CLOCKS], ids=[row[0] for row in CLOCKS]
)
def test_leases_and_clocks(wall: int, written: int, end: int, left: int, clock: Clock, tmp_path: pathlib.Path) -> None:
    """Where clock and file cannot both be right, leases have left what they had when the file was written."""
    clock.wall = float(wall)
    path = tmp_path / "leases"
    path.write_bytes(line("127.0.5.60", end))
    os.utime(path, (written, written))
    kit = Runtime(tmp_path, start=False)
    try:
        assert kit.runtime.leases.by_address[ip("127.0.5.60")].left(clock.mono) == left
        strange = wall < written or written < FLOOR <= wall
        assert ("the clock is not set" in kit.log.text()) == strange
    finally:
        close_server(kit.runtime.server)
        os.close(kit.runtime._file._fd)


def test_lines_that_make_no_sense(tmp_path: pathlib.Path) -> None:
    now = time.time()
    good, other = line("127.0.5.60", now + 500), b"duid 00:01:02\n1800000000 77 fd00::1 six *\n"
    bad = [
        b"nonsense",
        b"12 34",
        b"x 02:aa:00:00:00:01 127.0.5.61 * *",
        line("127.0.5.60", now).rstrip(),
        b"\xff\0 half",
    ]
    with Runtime(tmp_path, stored=bad[0] + b"\n" + good + other + b"\n".join(bad[1:])) as kit:
        assert list(kit.runtime.leases.by_address) == [ip("127.0.5.60")]
    assert kit.path.read_bytes() == good + other
    assert (tmp_path / "leases.bad").read_bytes().splitlines() == bad
    text = kit.log.text()
    assert text.count("ignoring invalid line in lease database: ") == len(bad)
    assert f"{len(bad)} such lines are kept in {tmp_path}/leases.bad" in text


def test_a_flood_of_bad_lines(tmp_path: pathlib.Path) -> None:
    with Runtime(tmp_path, stored=os.urandom(60_000)) as kit:
        assert kit.log.text().count("ignoring invalid line") <= 10
    with Runtime(tmp_path) as kit:
        assert "invalid" not in kit.log.text(), "they are told, and kept, once"


def test_more_leases_than_may_be(tmp_path: pathlib.Path) -> None:
    """They are kept: clients have them."""
    now = time.time()
    stored = b"".join(line(f"127.0.5.{60 + at}", now + 500, "*", at) for at in range(5))
    with Runtime(tmp_path, "dhcp-lease-max=3\n", stored) as kit:
        assert len(kit.runtime.leases) == 5
        assert "5 stored leases are more than dhcp-lease-max=3" in kit.log.text()


def test_the_file_at_the_end(tmp_path: pathlib.Path) -> None:
    with Runtime(tmp_path) as kit:
        with Client(kit) as client:
            address = client.bind(4)
        release = dhcp("RELEASE", mac(4), [(54, LAN.address)], ciaddr=address)
        with Client(kit) as client:
            client.put(release.pack())
            wait_until(lambda: not kit.runtime.leases.by_address, 3, "the release")
    assert kit.path.read_bytes() == b""
    assert kit.calls == [f"add {mac(4).hex(':')} {address}", f"del {mac(4).hex(':')} {address}"]


def refusal(directory: pathlib.Path, text: str = "") -> Any:
    with pytest.raises(pydnsmasq.StartError) as caught:
        Runtime(directory, text)
    return caught.value


def test_a_lease_file_that_cannot_be(tmp_path: pathlib.Path) -> None:
    error = refusal(tmp_path / "none")
    assert error.code == pydnsmasq.EXIT_FILE
    assert str(error) == f"cannot open or create lease file {tmp_path}/none/leases: No such file or directory"


def test_a_port_that_is_taken(tmp_path: pathlib.Path) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("0.0.0.0", 0))
        port = sock.getsockname()[1]
        error = refusal(tmp_path, f"dhcp-alternate-port={port},{port}\n")
    assert error.code == pydnsmasq.EXIT_NETWORK
    assert str(error).startswith("failed to bind DHCP server socket: Address already in use")
    assert f"UDP port {port} is held by" in str(error) and f"(pid {os.getpid()})" in str(error)


def script(directory: pathlib.Path, text: str) -> str:
    path = directory / "script"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return f"leasefile-ro\ndhcp-script={path}\n"


def test_a_script_that_keeps_the_leases(tmp_path: pathlib.Path) -> None:
    stored = line("127.0.5.60", time.time() + 500, "pc").decode().strip()
    with Runtime(tmp_path, script(tmp_path, f'[ "$*" = init ] && echo "{stored}"')) as kit:
        assert 498 <= kit.left("127.0.5.60") <= 500
        assert kit.calls == [f"old {mac(1).hex(':')} 127.0.5.60 pc"]
        with Client(kit) as client:
            client.bind(7)
    assert not kit.path.exists() and not list(tmp_path.glob("leases*"))


def test_a_script_that_fails(tmp_path: pathlib.Path) -> None:
    error = refusal(tmp_path, script(tmp_path, "exit 7"))
    assert error.code == pydnsmasq.EXIT_SCRIPT + 7
    assert str(error) == "lease-init script returned exit code 7"


def test_no_file_and_no_script(tmp_path: pathlib.Path) -> None:
    with Runtime(tmp_path, "leasefile-ro\n") as kit, Client(kit) as client:
        assert client.bind(1)
    assert list(tmp_path.iterdir()) == []


TEXTS_AT_START = [
    ("dhcp-range=10.0.0.1,10.0.0.9,1h", "DHCP, IP range 10.0.0.1 -- 10.0.0.9, lease time 1h"),
    ("dhcp-range=10.0.0.1,10.0.0.9,90m", "DHCP, IP range 10.0.0.1 -- 10.0.0.9, lease time 1h30m"),
    ("dhcp-range=10.0.0.1,10.0.0.9,infinite", "DHCP, IP range 10.0.0.1 -- 10.0.0.9, lease time infinite"),
    ("dhcp-range=10.0.0.1,10.0.0.9,1m", "DHCP, IP range 10.0.0.1 -- 10.0.0.9, lease time 2m"),
    ("dhcp-range=10.0.0.1,10.0.0.9", "DHCP, IP range 10.0.0.1 -- 10.0.0.9, lease time 1h"),
    ("dhcp-range=10.0.0.0,static", "DHCP, static leases only on 10.0.0.0, lease time 1h"),
    ("dhcp-range=10.0.0.0,proxy", "DHCP, proxy on subnet 10.0.0.0"),
    ("dhcp-relay=10.0.0.1,10.1.0.1", "DHCP relay from 10.0.0.1 to 10.1.0.1"),
    ("dhcp-relay=10.0.0.1,10.1.0.1,eth0", "DHCP relay from 10.0.0.1 to 10.1.0.1 via eth0"),
]


@pytest.mark.parametrize(("text", "expected"), TEXTS_AT_START)
def test_texts_at_start(text: str, expected: str) -> None:
    assert pydnsmasq.dhcp_texts(settings(text)) == [expected]
