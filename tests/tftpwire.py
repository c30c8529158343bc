"""A small TFTP codec and client for the tests; RFC 1350, 2347, 2348, 2349 and 7440.

Written apart from the program on purpose: a mistake made in one must not be
repeated by the other.  `Client` is one UDP port, in a network namespace if need be;
`Transfer` reads a file as a well-behaved client would, in lock-step or by windows,
and keeps all packets.
"""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from netkit import inside

OPCODES = {1: "RRQ", 2: "WRQ", 3: "DATA", 4: "ACK", 5: "ERROR", 6: "OACK"}
CODES = {name: number for number, name in OPCODES.items()}
Options = Iterable[tuple[str | bytes, str | bytes | int]]


class TftpWireError(ValueError):
    """The bytes are not a TFTP packet."""


def _octets(value: str | bytes | int) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode()


def _strings(*values: str | bytes | int) -> bytes:
    return b"".join(_octets(value) + b"\0" for value in values)


def request(name: str | bytes, mode: str | bytes = "octet", options: Options = (), kind: str = "RRQ") -> bytes:
    pairs = [item for pair in options for item in pair]
    return struct.pack("!H", CODES[kind]) + _strings(name, mode, *pairs)


def data(block: int, payload: bytes) -> bytes:
    return struct.pack("!HH", 3, block & 0xFFFF) + payload


def ack(block: int) -> bytes:
    return struct.pack("!HH", 4, block & 0xFFFF)


def error(code: int, text: str | bytes = "") -> bytes:
    return struct.pack("!HH", 5, code) + _strings(text)


def oack(options: Options) -> bytes:
    return struct.pack("!H", 6) + _strings(*(item for pair in options for item in pair))


@dataclass
class TftpPacket:
    """A packet taken apart; only the fields of its kind are set."""

    kind: str
    block: int = 0
    payload: bytes = b""
    code: int = 0
    text: bytes = b""
    name: bytes = b""
    mode: bytes = b""
    options: list[tuple[bytes, bytes]] = field(default_factory=list)

    def value(self, name: str) -> int | None:
        """An option as a number; its name is found in any case."""
        wanted = name.lower().encode()
        return next((int(value) for key, value in self.options if key.lower() == wanted), None)

    def __str__(self) -> str:
        if self.kind == "DATA":
            return f"DATA {self.block} of {len(self.payload)}"
        if self.kind == "ACK":
            return f"ACK {self.block}"
        if self.kind == "ERROR":
            return f"ERROR {self.code} {self.text.decode('latin-1')}"
        return " ".join([self.kind, *(b"=".join(pair).decode("latin-1") for pair in self.options)])


def parse(raw: bytes) -> TftpPacket:
    """Read a packet strictly: all strings end with NUL, and nothing follows them."""
    if len(raw) < 4:
        raise TftpWireError("too short")
    number, block = struct.unpack_from("!HH", raw)
    kind = OPCODES.get(number)
    if kind is None:
        raise TftpWireError(f"opcode {number}")
    if kind == "DATA":
        return TftpPacket(kind, block, raw[4:])
    if kind == "ACK":
        if len(raw) > 4:
            raise TftpWireError("something after an ACK")
        return TftpPacket(kind, block)
    *words, rest = raw[4 if kind == "ERROR" else 2 :].split(b"\0")
    if rest:
        raise TftpWireError("a string without its NUL")
    if kind == "ERROR":
        if len(words) != 1:
            raise TftpWireError("not one text")
        return TftpPacket(kind, code=block, text=words[0])
    out = TftpPacket(kind)
    if kind != "OACK":
        if len(words) < 2:
            raise TftpWireError("no mode")
        out.name, out.mode, *words = words
    if len(words) % 2:
        raise TftpWireError("an option without value")
    out.options = list(zip(words[::2], words[1::2], strict=True))
    return out


# -- sockets -------------------------------------------------------------------------


def open_socket(namespace: str = "", host: str = "127.0.0.1", port: int = 0) -> socket.socket:
    """A UDP socket, bound, in a network namespace: it stays there when this thread is back in its own."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with inside(namespace) if namespace else contextlib.nullcontext():
        sock = socket.socket(family, socket.SOCK_DGRAM)
    try:
        # A window of large blocks must not be lost here; only root may take this much (33 is SO_RCVBUFFORCE).
        sock.setsockopt(socket.SOL_SOCKET, 33 if os.geteuid() == 0 else socket.SO_RCVBUF, 4 << 20)
        sock.bind((host, port))
    except OSError:
        sock.close()
        raise
    return sock


class Client:
    """One UDP port of a client.

    `server` is where a request goes, `peer` whence the first answer came, `source` whence the last one.
    """

    def __init__(self, server: tuple[Any, ...], namespace: str = "", host: str = "", port: int = 0) -> None:
        self.server = server
        self.peer: tuple[Any, ...] | None = None
        self.source: tuple[Any, ...] = ()
        self.sock = open_socket(namespace, host or ("::" if ":" in server[0] else "0.0.0.0"), port)

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.sock.close()

    @property
    def port(self) -> int:
        return int(self.sock.getsockname()[1])

    def ask(self, packet: bytes) -> None:
        """Send to the port of requests; who answers next is the peer."""
        self.peer = None
        self.sock.sendto(packet, self.server)

    def send(self, packet: bytes) -> None:
        """Send to whom the answers came from."""
        assert self.peer is not None, "nobody has answered"
        self.sock.sendto(packet, self.peer)

    def receive(self, seconds: float = 5.0) -> bytes | None:
        """The next packet; None when time is up."""
        self.sock.settimeout(max(seconds, 0.0001))
        try:
            raw, self.source = self.sock.recvfrom(65536)
        except (TimeoutError, BlockingIOError, ConnectionError):
            return None
        self.peer = self.peer or self.source
        return raw

    def get(self, seconds: float = 5.0) -> TftpPacket | None:
        raw = self.receive(seconds)
        return None if raw is None else parse(raw)


class TftpError(AssertionError):
    """The server ended the transfer, or fell silent."""


@dataclass
class Transfer:
    """A whole file, read by a client that follows the rules."""

    client: Client
    name: str | bytes
    mode: str = "octet"
    options: Options = ()
    seconds: float = 5.0  # how long to wait for a packet
    oack: TftpPacket | None = None
    blocks: int = 0
    content: bytearray = field(default_factory=bytearray)
    seen: list[TftpPacket] = field(default_factory=list)
    last_ack: bool = True  # False: leave out the ACK of the last block

    def run(self) -> bytes:
        """Read the file to its end and give it."""
        self.client.ask(request(self.name, self.mode, self.options))
        packet = self._next()
        size, window = 512, 1
        if packet.kind == "OACK":
            self.oack = packet
            size, window = packet.value("blksize") or 512, packet.value("windowsize") or 1
            self.client.send(ack(0))
            packet = self._next()
        since = 0
        while True:
            since = self._block(packet, since, window, size)
            if len(packet.payload) < size and packet.block == self.blocks & 0xFFFF:
                return bytes(self.content)
            packet = self._next()

    def _block(self, packet: TftpPacket, since: int, window: int, size: int) -> int:
        """Take a block, acknowledge when it is time; give how many wait for their ACK."""
        if packet.kind != "DATA":
            raise TftpError(str(packet))
        if packet.block != (self.blocks + 1) & 0xFFFF:
            if since:  # something is lost: what is there is acknowledged
                self.client.send(ack(self.blocks))
            return 0
        self.blocks += 1
        self.content += packet.payload
        last = len(packet.payload) < size
        if since + 1 < window and not last:
            return since + 1
        if self.last_ack or not last:
            self.client.send(ack(self.blocks))
        return 0

    def _next(self) -> TftpPacket:
        packet = self.client.get(self.seconds)
        if packet is None:
            raise TftpError(f"silence after {self.blocks} blocks")
        self.seen.append(packet)
        if packet.kind == "ERROR":
            raise TftpError(str(packet))
        return packet


def fetch(server: tuple[Any, ...], name: str | bytes, namespace: str = "", **more: Any) -> bytes:
    """Read a file with a port of its own; `more` as for `Transfer`."""
    with Client(server, namespace) as client:
        return Transfer(client, name, **more).run()


def wait_silence(client: Client, seconds: float) -> list[TftpPacket]:
    """All that comes within that time."""
    end, found = time.monotonic() + seconds, []
    while (left := end - time.monotonic()) > 0:
        packet = client.get(left)
        if packet is not None:
            found.append(packet)
    return found
