"""A small DHCPv4 codec for the tests, and a client of raw frames inside a network namespace.

Written apart from the program on purpose: a mistake made in one must not be
repeated by the other.  Run as a program it is the far end of `RawClient`: it
takes lines on standard input, `send IFACE HEX`, `arp ADDRESS MAC` (answer for
that address), `forget` (answer for none) and `dns HOST HEX`, and gives lines
`frame IFACE HEX` and `dns HEX` on standard output.
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
import struct
import subprocess
import sys
import time
from dataclasses import dataclass, field

COOKIE = b"\x63\x82\x53\x63"
BROADCAST_MAC = b"\xff" * 6
TYPES = {
    "DISCOVER": 1, "OFFER": 2, "REQUEST": 3, "DECLINE": 4, "ACK": 5, "NAK": 6, "RELEASE": 7, "INFORM": 8,
    "LEASEQUERY": 10, "LEASEUNASSIGNED": 11, "LEASEUNKNOWN": 12, "LEASEACTIVE": 13,
}  # fmt: skip
TYPE_NAMES = {number: name for name, number in TYPES.items()}
_HEADER = struct.Struct("!4BIHH4s4s4s4s16s64s128s")
_PACKET_OUTGOING = 4  # of <linux/if_packet.h>; Python has the name, too, but not on every platform


class DhcpWireError(ValueError):
    """The bytes are not a DHCP message."""


@dataclass
class DhcpMessage:
    """A BOOTP message; addresses as text, options in their order."""

    op: int = 1
    htype: int = 1
    hlen: int = 6
    hops: int = 0
    xid: int = 0
    secs: int = 0
    flags: int = 0
    ciaddr: str = "0.0.0.0"
    yiaddr: str = "0.0.0.0"
    siaddr: str = "0.0.0.0"
    giaddr: str = "0.0.0.0"
    chaddr: bytes = b""
    sname: bytes = b""
    file: bytes = b""
    options: list[tuple[int, bytes]] = field(default_factory=list)
    ended: bool = True  # with an end option
    rest: bytes = b""  # what follows the end option

    def pack(self) -> bytes:
        addresses = [socket.inet_aton(text) for text in (self.ciaddr, self.yiaddr, self.siaddr, self.giaddr)]
        head = _HEADER.pack(
            self.op, self.htype, self.hlen, self.hops, self.xid, self.secs, self.flags, *addresses,
            self.chaddr, self.sname, self.file,
        )  # fmt: skip
        return head + COOKIE + pack_options(self.options) + (b"\xff" if self.ended else b"") + self.rest

    def value(self, code: int) -> bytes | None:
        """The first option with that number."""
        return next((data for number, data in self.options if number == code), None)

    def kind(self) -> str:
        """The message type by name; BOOTP when there is none."""
        data = self.value(53)
        return "BOOTP" if data is None else TYPE_NAMES.get(data[0], str(data[0])) if len(data) == 1 else "?"


def pack_options(options: list[tuple[int, bytes]]) -> bytes:
    """Options one after another; more than 255 bytes are cut into several (RFC 3396)."""
    out = b""
    for code, data in options:
        pieces = [data[at : at + 255] for at in range(0, len(data), 255)] or [b""]
        for piece in pieces:
            out += bytes((code,)) if code == 0 else bytes((code, len(piece))) + piece
    return out


def parse_options(data: bytes) -> tuple[list[tuple[int, bytes]], bool, bytes]:
    """The options, whether an end option came, and what follows it."""
    found: list[tuple[int, bytes]] = []
    at = 0
    while at < len(data):
        code = data[at]
        if code == 255:
            return found, True, data[at + 1 :]
        if code == 0:
            found.append((0, b""))
            at += 1
            continue
        if at + 2 > len(data) or at + 2 + data[at + 1] > len(data):
            raise DhcpWireError(f"option {code} is cut off")
        found.append((code, data[at + 2 : at + 2 + data[at + 1]]))
        at += 2 + data[at + 1]
    return found, False, b""


def parse(data: bytes) -> DhcpMessage:
    if len(data) < _HEADER.size:
        raise DhcpWireError(f"{len(data)} bytes only")
    parts = _HEADER.unpack_from(data)
    numbers, addresses, tail = parts[:7], [socket.inet_ntoa(item) for item in parts[7:11]], parts[11:]
    message = DhcpMessage(*numbers, *addresses, *tail)
    body = data[_HEADER.size :]
    if body[:4] != COOKIE:
        message.ended, message.rest = False, body
        return message
    message.options, message.ended, message.rest = parse_options(body[4:])
    return message


# -- frames --------------------------------------------------------------------


@dataclass
class Datagram:
    """A UDP datagram in an Ethernet frame."""

    payload: bytes
    to_mac: bytes = BROADCAST_MAC
    from_mac: bytes = b"\2\0\0\0\0\1"
    from_ip: str = "0.0.0.0"
    to_ip: str = "255.255.255.255"
    from_port: int = 68
    to_port: int = 67

    def pack(self) -> bytes:
        udp = struct.pack("!4H", self.from_port, self.to_port, 8 + len(self.payload), 0) + self.payload
        addresses = socket.inet_aton(self.from_ip) + socket.inet_aton(self.to_ip)
        head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(udp), 0, 0, 64, 17, 0) + addresses
        head = head[:10] + struct.pack("!H", _checksum(head)) + head[12:]
        return self.to_mac + self.from_mac + b"\x08\0" + head + udp

    def target(self) -> str:
        """Where it goes and whence it comes, in one line."""
        route = f"{self.from_ip}:{self.from_port} -> {self.to_ip}:{self.to_port}"
        return f"{self.from_mac.hex(':')} -> {self.to_mac.hex(':')}, {route}"


def _checksum(data: bytes) -> int:
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total & 0xFFFF) + (total >> 16)
    return ~(total + (total >> 16)) & 0xFFFF


def parse_frame(frame: bytes) -> Datagram | None:
    """The UDP datagram in a frame; None when there is none, or a fragment of one."""
    if len(frame) < 42 or frame[12:14] != b"\x08\0" or frame[23] != 17 or frame[20] & 0x3F or frame[21]:
        return None
    start = 14 + (frame[14] & 15) * 4
    from_port, to_port, length, _ = struct.unpack_from("!4H", frame, start)
    addresses = socket.inet_ntoa(frame[26:30]), socket.inet_ntoa(frame[30:34])
    return Datagram(frame[start + 8 : start + length], frame[:6], frame[6:12], *addresses, from_port, to_port)


def _arp_answer(frame: bytes, owned: dict[bytes, bytes]) -> bytes | None:
    """The answer to an ARP request for an address that we own."""
    if frame[12:22] != b"\x08\x06\0\1\x08\0\6\4\0\1" or frame[38:42] not in owned:
        return None
    mac = owned[frame[38:42]]
    return frame[6:12] + mac + frame[12:20] + b"\0\2" + mac + frame[38:42] + frame[22:32]


# -- the client ----------------------------------------------------------------


class RawClient:
    """Sends and receives frames in a network namespace, by a process that lives there."""

    def __init__(self, namespace: str, *interfaces: str) -> None:
        command = ["ip", "netns", "exec", namespace, sys.executable, __file__, *interfaces]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)
        self._buffer = b""
        self._frames: list[tuple[str, bytes]] = []
        assert self._line(time.monotonic() + 10) == ["ready"], "the client does not start"

    def close(self) -> None:
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.close()
        self.process.wait(5)
        self.process.stdout.close()

    def _say(self, *words: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(" ".join(words).encode() + b"\n")

    def _line(self, end: float) -> list[str]:
        """The words of the next line; none when time is up."""
        assert self.process.stdout is not None
        while b"\n" not in self._buffer:
            if not select.select([self.process.stdout], [], [], max(0.0, end - time.monotonic()))[0]:
                return []
            piece = os.read(self.process.stdout.fileno(), 1 << 16)
            assert piece, "the client in the namespace is gone"
            self._buffer += piece
        line, _, self._buffer = self._buffer.partition(b"\n")
        return line.decode().split()

    def send(self, interface: str, frame: bytes) -> None:
        self._say("send", interface, frame.hex())

    def own(self, address: str, mac: bytes) -> None:
        """Answer ARP requests for an address from now on."""
        self._say("arp", address, mac.hex())

    def forget(self) -> None:
        self._say("forget")

    def receive(self, seconds: float) -> tuple[str, bytes] | None:
        """The next frame with a reply and its interface; None when time is up."""
        end = time.monotonic() + seconds
        while not self._frames:
            words = self._line(end)
            if not words:
                return None
            if words[0] == "frame":
                self._frames.append((words[1], bytes.fromhex(words[2])))
        return self._frames.pop(0)

    def ask_dns(self, host: str, query: bytes) -> bytes | None:
        """Put a question to port 53 by UDP."""
        self._say("dns", host, query.hex())
        while True:
            words = self._line(time.monotonic() + 5)
            assert words, "no word from the client in the namespace"
            if words[0] == "dns":
                return bytes.fromhex(words[1]) if len(words) > 1 else None
            self._frames.append((words[1], bytes.fromhex(words[2])))


def _ask_dns(host: str, query: bytes) -> bytes:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(2)
        sock.connect((host, 53))
        sock.send(query)
        with contextlib.suppress(OSError):
            return sock.recv(65535)
    return b""


class _FarEnd:
    """The process in the namespace."""

    def __init__(self, interfaces: list[str]) -> None:
        self.sockets: dict[str, socket.socket] = {}
        self.owned: dict[bytes, bytes] = {}
        for name in interfaces:
            sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
            sock.bind((name, 3))
            self.sockets[name] = sock

    def say(self, *words: str) -> None:
        sys.stdout.write(" ".join(words) + "\n")
        sys.stdout.flush()

    def command(self, words: list[str]) -> None:
        if words[0] == "send":
            self.sockets[words[1]].send(bytes.fromhex(words[2]))
        elif words[0] == "arp":
            self.owned[socket.inet_aton(words[1])] = bytes.fromhex(words[2])
        elif words[0] == "forget":
            self.owned.clear()
        elif words[0] == "dns":
            self.say("dns", _ask_dns(words[1], bytes.fromhex(words[2])).hex())

    def frame(self, name: str, sock: socket.socket) -> None:
        try:
            data, sender = sock.recvfrom(65535)
        except OSError:
            return  # the interface is down
        if sender[2] == _PACKET_OUTGOING:
            return
        answer = _arp_answer(data, self.owned)
        if answer is not None:
            sock.send(answer)
            return
        seen = parse_frame(data)
        if seen is not None and seen.payload[:1] == b"\2" and seen.from_port != 53:
            self.say("frame", name, data.hex())

    def run(self) -> None:
        self.say("ready")
        pending = b""
        while True:
            ready = select.select([sys.stdin, *self.sockets.values()], [], [])[0]
            for name, sock in self.sockets.items():
                if sock in ready:
                    self.frame(name, sock)
            if sys.stdin in ready:
                piece = os.read(sys.stdin.fileno(), 1 << 16)
                if not piece:
                    return
                *lines, pending = (pending + piece).split(b"\n")
                for line in lines:
                    self.command(line.decode().split())


if __name__ == "__main__":
    _FarEnd(sys.argv[1:]).run()
