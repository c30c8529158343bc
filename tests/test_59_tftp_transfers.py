"""Section 59: which file a request means, what is agreed on, and the conversation.

Conversations are scripts of lines `COMMAND -> WHAT COMES BACK`, read by `Talk.play`.
"""

from __future__ import annotations

import random
import tracemalloc
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import pydnsmasq as p
import tftpwire
from pure import config
from test_26_tftp_packets import netascii_decode

# -- names of files ------------------------------------

# Lines, the root, the name -> the path; `!` and a path: refused, and the path in the text.
PATHS: list[tuple[str, str, str, str]] = [
    ("", "/r", "f", "/r/f"),
    ("", "/r/", "f", "/r/f"),
    ("", "/r", "/f", "/r/f"),
    ("", "/r", "//f", "/r//f"),
    ("", "/r", "//sub//g", "/r//sub//g"),
    ("", "/r", "/", "/r/"),
    ("", "/r", "./f", "/r/./f"),
    ("", "/r", "f ", "/r/f "),
    ("", "/r", "\\f", "/r/f"),
    ("", "/r", "sub\\g", "/r/sub/g"),
    ("", "/r", "\\sub\\\\g", "/r/sub//g"),
    ("", "/r", "F", "/r/F"),
    ("tftp-lowercase", "/r", "Sub\\F\xc9", "/r/sub/f\xc9"),
    # a name that begins with the root is taken as it is
    ("", "/r", "/r/f", "/r/f"),
    ("", "/r/", "/r/f", "/r/f"),
    ("", "/r", "\\r\\f", "/r/f"),
    ("", "/r", "/r", "/r/r"),
    ("", "/r", "/rx/f", "/r/rx/f"),
    ("", "/r", "r/f", "/r/r/f"),
    ("tftp-lowercase", "/r", "/R/F", "/r/f"),
    ("", "/r", "/etc/passwd", "/r/etc/passwd"),
    # no way out
    ("", "/r", "../f", "!/r/../f"),
    ("", "/r", "..", "!/r/.."),
    ("", "/r", "/..", "!/r/.."),
    ("", "/r", "sub/..", "!/r/sub/.."),
    ("", "/r", "sub/../f", "!/r/sub/../f"),
    ("", "/r", "..\\f", "!/r/../f"),
    ("", "/r", "sub\\..\\..\\f", "!/r/sub/../../f"),
    ("", "/r", "//../f", "!/r//../f"),
    ("", "/r", "/r/../f", "!/r/../f"),
    ("", "/r", "/r/../r/f", "!/r/../r/f"),
    ("tftp-lowercase", "/r", "..\\F", "!/r/../f"),
    ("", "/r", "../a\n\x1b\xe9", "!/r/../a"),
    # these are names like others
    ("", "/r", "..f", "/r/..f"),
    ("", "/r", "f..", "/r/f.."),
    ("", "/r", ".../f", "/r/.../f"),
    ("", "/r", "a..b/f", "/r/a..b/f"),
    ("", "/r", ".", "/r/."),
    ("", "/r", "%2e%2e/f", "/r/%2e%2e/f"),
    ("", "/r", ".. /f", "/r/.. /f"),
    # no root: the whole machine
    ("", "", "f", "/f"),
    ("", "", "/f", "/f"),
    ("", "", "//f", "//f"),
    ("", "", "../f", "/../f"),
    ("", "", "sub\\..\\f", "/sub/../f"),
    ("", "rel", "f", "rel/f"),
]


@pytest.mark.parametrize(("lines", "root", "name", "expected"), PATHS)
def test_paths(lines: str, root: str, name: str, expected: str) -> None:
    settings, raw = config(*lines.split()), name.encode("latin-1")
    if expected[0] != "!":
        path = p.tftp_path(settings, root, raw)
        assert path.encode("utf-8", "surrogateescape") == expected.encode("latin-1")
        return
    with pytest.raises(p.TftpRefusal) as caught:
        p.tftp_path(settings, root, raw)
    assert (caught.value.code, caught.value.text) == (2, f"cannot access {expected[1:]}: Permission denied")
    assert str(tftpwire.parse(caught.value.pack())) == f"ERROR 2 {caught.value.text}"


def test_no_path_leads_out_of_the_root() -> None:
    """Judged by a walk of the test's own over twenty thousand names."""
    dice, settings = random.Random(59), (config(), config("tftp-lowercase"))
    pieces = ["..", ".", "/", "\\", "r", "R", "a", "\xe9", " ", "...", "etc", "%2e"]
    for _ in range(20_000):
        name = "".join(dice.choice(pieces) for _ in range(dice.randrange(1, 9))).encode("latin-1")
        try:
            path = p.tftp_path(dice.choice(settings), "/r/R", name)
        except p.TftpRefusal:
            continue
        depth = 0
        assert path.startswith("/r/R/")
        for part in path.removeprefix("/r/R/").split("/"):
            depth += {"..": -1, ".": 0, "": 0}.get(part, 1)
            assert depth >= 0, (name, path)


@pytest.mark.parametrize(("roots", "interface", "root"), [
    ("", "eth0", ""), ("/a", "eth0", "/a"), ("/a /b", "eth0", "/b"), ("/a /b,eth0", "eth0", "/b"),
    ("/b,eth0 /a", "eth0", "/b"), ("/b,eth0 /a", "eth1", "/a"), ("/b,eth0", "eth1", ""),
    ("/b,eth0 /c,eth0", "eth0", "/c"), ("/b,eth0", "", ""), ("/b,eth", "eth0", ""), ("/a /b,eth0", "", "/a"),
])  # fmt: skip
def test_roots(roots: str, interface: str, root: str) -> None:
    assert p.tftp_root(config(*(f"tftp-root={one}" for one in roots.split())), interface) == root


@pytest.mark.parametrize(("lines", "hardware", "expected"), [
    ("", "020000000001", []), ("tftp-unique-root", "020000000001", ["10.0.0.2"]),
    ("tftp-unique-root=ip", "", ["10.0.0.2"]), ("tftp-unique-root=mac", "0200000000AB", ["02-00-00-00-00-ab"]),
    ("tftp-unique-root=mac", "", []), ("tftp-unique-root=mac tftp-unique-root=ip", "02ff", ["10.0.0.2", "02-ff"]),
])  # fmt: skip
def test_directories_of_a_clients_own(lines: str, hardware: str, expected: list[str]) -> None:
    found = p.tftp_subdirectories(config(*lines.split()), "10.0.0.2", bytes.fromhex(hardware))
    assert found == expected


# -- what is agreed on ------------------------------------

# Lines, options (`netascii` stands for the mode), MTU, IPv6 -> the OACK.  The file has 5000 octets.
TERMS: list[tuple[str, str, int, bool, str]] = [
    ("", "", 1500, False, ""),
    ("", "netascii", 1500, False, ""),
    # blksize as C's atoi reads it
    ("", "blksize=1024", 1500, False, "blksize=1024"),
    ("", "blksize=512", 1500, False, "blksize=512"),
    ("", "blksize=7", 1500, False, "blksize=7"),
    ("", "blksize=0", 1500, False, "blksize=1"),
    ("", "blksize=abc", 1500, False, "blksize=1"),
    ("", "blksize=1e3", 1500, False, "blksize=1"),
    ("", "blksize=+8", 1500, False, "blksize=8"),
    ("", "blksize=08", 1500, False, "blksize=8"),
    ("", "blksize=8x", 1500, False, "blksize=8"),
    ("", "blksize=_8", 1500, False, "blksize=8"),
    ("", "blksize=-1", 1500, False, "blksize=1468"),
    ("", "blksize=\u0663", 1500, False, "blksize=1"),
    ("", f"blksize={'9' * 400}", 1500, False, "blksize=1468"),
    # blocks never need fragments
    ("", "blksize=65464", 1500, False, "blksize=1468"),
    ("", "blksize=65464", 1500, True, "blksize=1448"),
    ("", "blksize=65464", 1280, False, "blksize=1248"),
    ("", "blksize=65464", 1280, True, "blksize=1228"),
    ("", "blksize=65464", 9000, False, "blksize=8968"),
    ("", "blksize=65464", 65536, False, "blksize=65464"),
    ("", "blksize=65464", 0, False, "blksize=65464"),
    ("", "blksize=70000", 0, True, "blksize=65464"),
    ("tftp-mtu=1000", "blksize=9999", 1500, False, "blksize=968"),
    ("tftp-mtu=1000", "blksize=9999", 1500, True, "blksize=948"),
    ("tftp-mtu=1000", "blksize=9999", 0, False, "blksize=968"),
    ("tftp-mtu=3000", "blksize=9999", 1500, False, "blksize=1468"),
    ("tftp-mtu=0", "blksize=9999", 1500, False, "blksize=1468"),
    ("tftp-mtu=30", "blksize=9999", 1500, False, "blksize=8"),
    ("tftp-no-blocksize", "blksize=1024", 1500, False, ""),
    ("tftp-no-blocksize", "blksize=1024 tsize=0 windowsize=4", 1500, False, "tsize=5000 windowsize=4"),
    # tsize
    ("", "tsize=0", 1500, False, "tsize=5000"),
    ("", "tsize=x", 1500, False, "tsize=5000"),
    ("", "tsize=0 netascii", 1500, False, ""),
    ("", "blksize=100 tsize=0 netascii", 1500, False, "blksize=100"),
    # timeout
    ("", "timeout=1", 1500, False, "timeout=1"),
    ("", "timeout=255", 1500, False, "timeout=255"),
    ("", "timeout=0", 1500, False, ""),
    ("", "timeout=256", 1500, False, ""),
    ("", "timeout=-1", 1500, False, ""),
    ("", "timeout=x", 1500, False, ""),
    ("", "timeout=3 netascii", 1500, False, "timeout=3"),
    # windowsize
    ("", "windowsize=1", 1500, False, "windowsize=1"),
    ("", "windowsize=64", 1500, False, "windowsize=64"),
    ("", "windowsize=65", 1500, False, "windowsize=64"),
    ("", "windowsize=65535", 1500, False, "windowsize=64"),
    ("", "windowsize=0", 1500, False, ""),
    ("", "windowsize=-1", 1500, False, ""),
    ("", "windowsize=4 netascii", 1500, False, ""),
    # the order is always the same; nothing else is accepted
    ("", "windowsize=2 timeout=3 tsize=0 blksize=99", 1500, False, "blksize=99 tsize=5000 timeout=3 windowsize=2"),
    ("", "rollover=0 multicast=1 blksize2=512 tsize=0", 1500, False, "tsize=5000"),
]


def request(options: str) -> Any:
    """A request with `name=value` words as options."""
    words = dict(word.partition("=")[::2] for word in options.split() if word != "netascii")
    pairs = {key.encode(): value.replace("_", " ").encode() for key, value in words.items()}
    return p.TftpRequest(b"f", "netascii" in options.split(), pairs)


@pytest.mark.parametrize(("lines", "options", "mtu", "ipv6", "expected"), TERMS)
def test_terms(lines: str, options: str, mtu: int, ipv6: bool, expected: str) -> None:
    terms = p.tftp_terms(config(*lines.split()), request(options), 5000, mtu, ipv6)
    assert " ".join(f"{key}={value}" for key, value in terms.accepted.items()) == expected
    accepted = terms.accepted
    assert terms.block == accepted.get("blksize", 512)
    assert terms.window == accepted.get("windowsize", 1) and terms.timeout == accepted.get("timeout", 0)


# -- the conversation ------------------------------------

NOW = 500.0


def content(size: int) -> bytes:
    """Octets that differ from block to block."""
    return b"".join(at.to_bytes(4, "big") for at in range(size // 4 + 1))[:size]


class Source:
    """A file; `trouble` is why it can no longer be read."""

    def __init__(self, size: int | bytes) -> None:
        self.content = content(size) if isinstance(size, int) else size
        self.trouble = ""
        self.reads = 0

    def read(self, offset: int, size: int) -> bytes:
        self.check()
        self.reads += 1
        return self.content[offset : offset + size]

    def check(self) -> None:
        if self.trouble:
            raise p.TftpRefusal(0, self.trouble)


class Sparse(Source):
    """A huge file, to be read block by block; all its octets are the same few in memory."""

    def __init__(self, size: int, block: int) -> None:
        super().__init__(0)
        self.size, self.block = size, bytes(block)

    def read(self, offset: int, size: int) -> bytes:
        assert offset == self.reads * len(self.block) and size == len(self.block)
        self.reads += 1
        return self.block if offset + size <= self.size else self.block[: self.size - offset]


class Talk:
    """A transfer with a clock that only moves when it is told to; `play` runs a script.

    What comes back: numbers of blocks (a dot behind the last one), OACK, E and the code of an error, the
    outcome after a bar.  What is sent is checked: blocks have the octets of the file.
    """

    def __init__(self, size: int | bytes, options: str = "blksize=8", source: Any = None) -> None:
        self.source = source or Source(size)
        self.now = NOW
        self.out = 0  # datagrams that were sent
        terms = p.tftp_terms(config(), request(options), len(self.source.content), 0, False)
        self.block, self.netascii = terms.block, "netascii" in options
        self.transfer = p.TftpTransfer(p.NetasciiSource(self.source) if self.netascii else self.source, terms)
        self.text = ""  # of the last ERROR

    def do(self, command: str) -> str:
        word, *rest = command.split(maxsplit=1)
        result: str = getattr(self, f"do_{word}")(*rest)
        return result

    def play(self, script: str) -> None:
        wrong = []
        for line in script.strip().splitlines():
            command, arrow, hoped = line.strip().partition(" ->")
            seen = self.do(command).strip()
            right = not arrow or seen == hoped.strip()
            wrong.append(f"    {command} -> {seen}" if right else f"BAD {command} -> {seen}\n    EXPECTED {hoped}")
        assert not any(line.startswith("BAD") for line in wrong), "\n" + "\n".join(wrong)

    def shown(self, packets: Any) -> str:
        self.out += len(packets)
        texts = [self._packet(packet) for packet in packets]
        outcome = self.transfer.outcome
        return " ".join(texts) + (f" | {outcome}" if outcome else "")

    def _packet(self, wire: bytes) -> str:
        packet = tftpwire.parse(wire)
        if packet.kind == "ERROR":
            self.text = packet.text.decode()
            return f"E{packet.code}"
        if packet.kind == "OACK":
            return "OACK"
        whole = self.source.content
        at = (packet.block - 1) * self.block
        if not self.netascii and len(whole) < self.block * 0xFFFF:
            assert packet.payload == whole[at : at + self.block]
        return f"{packet.block}{'' if len(packet.payload) == self.block else '.'}"

    def put(self, packet: bytes) -> str:
        return self.shown(self.transfer.on_packet(packet, self.now))

    def do_start(self) -> str:
        """The request comes, perhaps again."""
        return self.shown(self.transfer.start(self.now))

    def do_ack(self, numbers: str) -> str:
        """ACKs at once."""
        return " ".join(filter(None, (self.put(tftpwire.ack(int(number))) for number in numbers.split())))

    def do_error(self, words: str) -> str:
        code, _, text = words.partition(" ")
        return self.put(tftpwire.error(int(code), text))

    def do_raw(self, digits: str = "") -> str:
        return self.put(bytes.fromhex(digits))

    def do_after(self, seconds: str) -> str:
        """Time passes without a timer."""
        self.now += float(seconds)
        return ""

    def do_wait(self, seconds: str) -> str:
        """Time passes, and the timer looks once."""
        self.now += float(seconds)
        return self.shown(self.transfer.on_timer(self.now))

    def do_ticks(self, count: str) -> str:
        """Let the timer come when it wants to: after how many seconds, and what it sends."""
        out = []
        for _ in range(int(count)):
            left = self.transfer.due - self.now
            out.append(f"{left:.4g}: {self.do_wait(str(left))}")
            if self.transfer.outcome:
                break
        return " ".join(out)

    def do_trouble(self, text: str) -> str:
        """The file is no longer what it was."""
        self.source.trouble = text
        return ""

    def do_line(self) -> str:
        return str(self.transfer.line)

    def do_said(self) -> str:
        return self.text


W4 = "blksize=8 windowsize=4"

# The options, the size of the file, the script.
TALKS: dict[str, tuple[str, int, str]] = {
    "lock-step": ("", 1100, """
        start -> 1
        ack 1 -> 2
        ack 2 -> 3.
        ack 3 -> | sent
        line ->"""),
    "an empty file": ("", 0, "start -> 1.\nack 1 -> | sent"),
    "a file of one octet": ("", 1, "start -> 1.\nack 1 -> | sent"),
    "a full block is followed by an empty one": ("", 512, "start -> 1\nack 1 -> 2.\nack 2 -> | sent"),
    "an OACK first": ("blksize=8", 12, "start -> OACK\nack 0 -> 1\nack 1 -> 2.\nack 2 -> | sent"),
    "an OACK and an empty file": ("blksize=8", 0, "start -> OACK\nack 0 -> 1.\nack 1 -> | sent"),
    "an OACK is not the file": ("tsize=0", 600, "start -> OACK\nack 1 ->\nack 0 -> 1"),
    "blocks of one octet": ("blksize=1", 2, "start -> OACK\nack 0 -> 1\nack 1 -> 2\nack 2 -> 3.\nack 3 -> | sent"),
    "what is old or of the future is not answered": ("", 4000, """
        start -> 1
        ack 0 ->
        ack 2 ->
        ack 65535 ->
        ack 1 -> 2
        ack 2 -> 3
        ack 1 1 0 1 2 ->
        ack 4 5 6 ->
        ack 3 -> 4"""),
    "ACKs that come twice double nothing": ("", 4000, """
        start -> 1
        ack 1 1 -> 2
        ack 2 1 2 -> 3
        ack 3 3 3 3 -> 4
        ack 4 -> 5"""),
    "an ACK with something behind it": ("", 600, "start -> 1\nraw 00040001657874726100 -> 2."),
    "other packets are not answered": ("", 600, """
        start -> 1
        raw ->
        raw 00 ->
        raw 0004 ->
        raw 000400 ->
        raw 000300016869 ->
        raw 0001660000 ->
        raw 0002660000 ->
        raw 0006626c6b73697a650038 ->
        raw 00070001 ->
        raw 01040001 ->
        raw ff050001 ->
        ack 1 -> 2."""),
    "the request comes again before it was answered": ("", 600, """
        start -> 1
        start -> 1
        ack 1 1 -> 2.
        ack 2 -> | sent"""),
    "also with options": ("blksize=8", 12, "start -> OACK\nstart -> OACK\nack 0 0 -> 1\nack 1 -> 2."),
    # what is lost
    "a lost block": ("", 1100, "start -> 1\nwait 0.5 ->\nwait 0.5 -> 1\nack 1 -> 2\nack 2 -> 3.\nack 3 -> | sent"),
    "a lost ACK": ("", 1100, """
        start -> 1
        after 0.001
        ack 1 -> 2
        ack 1 ->
        ticks 1 -> 0.05: 2
        ack 1 1 ->
        ack 2 -> 3."""),
    "a lost OACK": ("blksize=8", 12, "start -> OACK\nticks 2 -> 1: OACK 2: OACK\nack 0 -> 1\nack 1 -> 2."),
    "a lost ACK of the OACK": ("blksize=8", 12, """
        start -> OACK
        ticks 1 -> 1: OACK
        ack 0 0 -> 1
        ack 0 ->
        ack 1 -> 2."""),
    "the block behind the OACK is lost": ("blksize=8", 12, """
        start -> OACK
        after 0.2
        ack 0 -> 1
        ack 0 0 ->
        ticks 1 -> 0.6: 1"""),
    # time-outs
    "ever more slowly": ("", 600, "start -> 1\nticks 5 -> 1: 1 2: 1 4: 1 8: 1 8: 1"),
    "given up": ("", 600, """
        start -> 1
        ticks 18 -> 1: 1 2: 1 4: 1 8: 1 8: 1 8: 1 8: 1 8: 1 8: 1 8: 1 8: 1 8: 1 8: 1 8: 1 8: 1 8: 1 8: 1 8:  | failed
        line ->"""),
    "given up, but only the last ACK is missing": ("", 600, """
        start -> 1
        ack 1 -> 2.
        wait 119.9 -> 2.
        ack 1 ->
        wait 0.2 -> | sent
        line ->"""),
    "given up at the OACK": ("tsize=0", 600, "start -> OACK\nwait 119.9 -> OACK\nwait 99 -> | failed"),
    "no progress, whatever comes": ("", 2000, """
        start -> 1
        ack 1 -> 2
        wait 60 -> 2
        ack 1 0 77 ->
        wait 59.9 -> 2
        ack 1 ->
        wait 9 -> | failed"""),
    "progress begins the time anew": ("", 2000, """
        start -> 1
        wait 119.9 -> 1
        ack 1 -> 2
        wait 119.9 -> 2
        wait 9 -> | failed"""),
    "the client's own time-out": ("timeout=3", 600, """
        start -> OACK
        ticks 4 -> 3: OACK 3: OACK 3: OACK 3: OACK
        ack 0 -> 1
        ticks 3 -> 3: 1 3: 1 3: 1"""),
    "but two minutes are the end": ("timeout=255", 600, """
        start -> OACK
        ticks 3 -> 60: OACK 60:  | failed"""),
    "the round trip is measured": ("", 4000, """
        start -> 1
        after 0.1
        ack 1 -> 2
        ticks 4 -> 0.3: 2 0.6: 2 1.2: 2 2.4: 2"""),
    "and again": ("", 4000, """
        start -> 1
        after 0.1
        ack 1 -> 2
        after 0.1
        ack 2 -> 3
        ticks 2 -> 0.25: 3 0.5: 3"""),
    "and smoothed": ("", 4000, """
        start -> 1
        after 0.1
        ack 1 -> 2
        after 0.5
        ack 2 -> 3
        ticks 2 -> 0.7: 3 1.4: 3"""),
    "not from what was sent twice": ("", 4000, """
        start -> 1
        after 0.1
        ack 1 -> 2
        ticks 1 -> 0.3: 2
        after 0.01
        ack 2 -> 3
        ticks 1 -> 0.3: 3"""),
    "never sooner than that": ("", 4000, "start -> 1\nafter 0.0001\nack 1 -> 2\nticks 3 -> 0.05: 2 0.1: 2 0.2: 2"),
    "never later than that": ("", 4000, "start -> 1\nafter 5\nack 1 -> 2\nticks 2 -> 8: 2 8: 2"),
    "the client's own time-out bounds it": ("timeout=1", 4000, """
        start -> OACK
        after 0.1
        ack 0 -> 1
        ticks 5 -> 0.3: 1 0.6: 1 1: 1 1: 1 1: 1"""),
    "progress ends the slowness": ("", 4000, """
        start -> 1
        after 0.1
        ack 1 -> 2
        ticks 3 -> 0.3: 2 0.6: 2 1.2: 2
        ack 2 -> 3
        ticks 1 -> 0.3: 3"""),
    # errors
    "the client breaks off": ("", 4000, """
        start -> 1
        ack 1 -> 2
        error 8 no thanks -> | failed
        line -> error 8 no thanks received"""),
    "it only asked for the size": ("tsize=0", 4000, """
        start -> OACK
        error 8 bye -> | asking
        line -> error 8 bye received"""),
    "not any more": ("tsize=0", 4000, "start -> OACK\nack 0 -> 1\nerror 0 x -> | failed"),
    "it breaks off when it has everything": ("", 100, """
        start -> 1.
        error 3 full -> | sent
        line -> error 3 full received"""),
    "what it says is foreign": ("", 4000, """
        start -> 1
        raw 0005000161620a1b5b6dff -> | failed
        line -> error 1 ab[m received"""),
    "it says nothing": ("", 4000, "start -> 1\nraw 00050001 -> | failed\nline -> error 1  received"),
    # the file
    "the file changes": ("", 40_000, """
        start -> 1
        trouble half of each
        after 0.01
        ack 1 -> E0 | failed
        line -> half of each
        said -> half of each"""),
    "it changes while the client is away": ("", 40_000, """
        start -> 1
        trouble gone
        ticks 1 -> 1: E0 | failed
        line -> gone"""),
    "it changes behind the OACK": ("tsize=0", 4000, "start -> OACK\ntrouble gone\nack 0 -> E0 | failed"),
    "the last block is out, what becomes of the file is all the same": ("", 10, """
        start -> 1.
        trouble gone
        ack 1 -> | sent"""),
    # windows
    "windows": (W4, 82, """
        start -> OACK
        ack 0 -> 1 2 3 4
        ack 4 -> 5 6 7 8
        ack 8 -> 9 10 11.
        ack 11 -> | sent"""),
    "a window's end": (W4, 32, "start -> OACK\nack 0 -> 1 2 3 4\nack 4 -> 5.\nack 5 -> | sent"),
    "an ACK in mid-window": (W4, 400, """
        start -> OACK
        ack 0 -> 1 2 3 4
        ack 2 -> 3 4 5 6
        ack 3 -> 4 5 6 7
        ack 7 -> 8 9 10 11"""),
    "in mid-window at the end": (W4, 20, "start -> OACK\nack 0 -> 1 2 3.\nack 1 -> 2 3.\nack 2 -> 3.\nack 3 -> | sent"),
    "an old one, one of the future": (W4, 400, """
        start -> OACK
        ack 1 4 ->
        ack 0 -> 1 2 3 4
        ack 4 -> 5 6 7 8
        ack 3 9 0 1 65535 ->
        ack 8 -> 9 10 11 12"""),
    "the first block of a window is lost": (W4, 400, """
        start -> OACK
        after 0.1
        ack 0 -> 1 2 3 4
        after 0.1
        ack 4 -> 5 6 7 8
        after 0.1
        ack 4 -> 5 6 7 8
        ack 4 4 4 ->
        after 0.04
        ack 4 ->
        after 0.02
        ack 4 -> 5 6 7 8
        ack 8 -> 9 10 11 12"""),
    "a lost window": (W4, 400, """
        start -> OACK
        after 0.1
        ack 0 -> 1 2 3 4
        ticks 2 -> 0.3: 1 2 3 4 0.6: 1 2 3 4
        ack 4 -> 5 6 7 8"""),
    "an ACK that comes twice on the way": (W4, 400, """
        start -> OACK
        after 0.1
        ack 0 0 -> 1 2 3 4
        after 0.1
        ack 4 4 4 4 -> 5 6 7 8"""),
    "ACKs of an OACK that was sent twice": (W4, 400, """
        start -> OACK
        ticks 1 -> 1: OACK
        after 0.1
        ack 0 0 -> 1 2 3 4
        ack 0 ->"""),
    "a window before the OACK's ACK is none": (W4, 400, "start -> OACK\nack 65535 ->\nack 4 ->\nticks 1 -> 1: OACK"),
    "a window and an empty file": (W4, 0, "start -> OACK\nack 0 -> 1.\nack 1 -> | sent"),
    "given up in a window with its last block": (W4, 20, """
        start -> OACK
        ack 0 -> 1 2 3.
        ack 1 -> 2 3.
        wait 119.9 -> 2 3.
        wait 9 -> | sent"""),
    "given up in a window": (W4, 400, "start -> OACK\nack 0 -> 1 2 3 4\nwait 119.9 -> 1 2 3 4\nwait 9 -> | failed"),
    "the file changes in a window": (W4, 400, """
        start -> OACK
        ack 0 -> 1 2 3 4
        trouble gone
        after 0.01
        ack 4 -> E0 | failed"""),
}  # fmt: skip


@pytest.mark.parametrize(("options", "size", "script"), TALKS.values(), ids=TALKS)
def test_conversation(options: str, size: int, script: str) -> None:
    Talk(size, options).play(script)


@pytest.mark.parametrize("window", [1, 2, 3, 4, 7, 64])
@pytest.mark.parametrize("size", [0, 1, 7, 8, 9, 31, 32, 33, 511, 512, 513])
def test_the_whole_file_arrives(size: int, window: int) -> None:
    got, sent = fetch(Talk(size, f"blksize=8 windowsize={window}"))
    assert got == content(size) and sent == size // 8 + 2, "an OACK and each block once"


def fetch(talk: Talk, lose: Callable[[], bool] = lambda: False) -> tuple[bytes, int]:
    """Read the file as a client of the rules would; `lose` tells what gets lost on the way, each way."""
    got, acked, since = bytearray(), 0, 0  # since the last ACK
    block, window = talk.transfer.terms.block, talk.transfer.terms.window
    way: list[bytes] = list(talk.transfer.start(talk.now))
    while not talk.transfer.outcome:
        out = []
        for wire in way:
            talk.out += 1
            packet = tftpwire.parse(wire)
            if lose():
                continue
            if packet.kind == "OACK":
                if not acked:
                    out.append(0)
                continue
            assert packet.kind == "DATA", packet
            if packet.block == (acked + 1) & 0xFFFF:
                acked, since = acked + 1, since + 1
                got += packet.payload
                if len(packet.payload) < block or since == window:
                    out.append(acked)
                    since = 0
            elif since or window == 1 or packet.block == acked & 0xFFFF:
                out.append(acked)
                since = 0
        way = []
        talk.now += 0.01
        for number in out:
            if not lose() and not talk.transfer.outcome:
                way += talk.transfer.on_packet(tftpwire.ack(number), talk.now)
        if not way and not talk.transfer.outcome:
            since = 0
            talk.now = max(talk.now, talk.transfer.due)
            way += talk.transfer.on_timer(talk.now)
    return bytes(got), talk.out


@pytest.mark.parametrize("options", ["blksize=100", "blksize=100 windowsize=4", "blksize=1000 windowsize=64", ""])
@pytest.mark.parametrize("part", [0.01, 0.05, 0.2])
def test_on_a_bad_line_every_octet_arrives(part: float, options: str) -> None:
    for seed in range(5):  # the files are larger than what is read at once
        dice = random.Random(seed)
        talk = Talk(70_123 + seed * 977, options)
        got, _ = fetch(talk, lambda: dice.random() < part)  # noqa: B023
        assert got[: len(talk.source.content)] == talk.source.content
        assert talk.transfer.outcome == "sent" and len(got) == len(talk.source.content)


# -- large files ------------------------------------


@pytest.mark.parametrize("window", [1, 3, 64])
def test_block_numbers_wrap(window: int) -> None:
    """65535 is followed by 0, twice, and what is left and right of it is neither lost nor taken for old."""
    size = 0x20000 + 77
    talk = Talk(size, f"blksize=1 windowsize={window}")
    assert fetch(talk) == (content(size), size + 2)


def test_at_the_wrap() -> None:
    talk = Talk(0x10000 + 50, "blksize=1 windowsize=4")
    talk.do("start")
    for number in range(0, 65532, 4):
        talk.do(f"ack {number}")
    talk.play("""
        ack 65532 -> 65533 65534 65535 0
        ack 65534 -> 65535 0 1 2
        ack 0 -> 1 2 3 4
        ack 65535 65534 ->
        after 0.1
        ack 65535 5 ->
        ack 4 -> 5 6 7 8
        ack 65534 0 3 ->""")


def lengths(talk: Talk) -> Iterator[int]:
    """Take a file without keeping it: the lengths of its blocks."""
    packets: Any = talk.transfer.start(talk.now)
    done = 0
    while not talk.transfer.outcome:
        for packet in packets:
            if packet[:2] == p.TFTP_DATA:
                done += 1
                assert int.from_bytes(packet[2:4], "big") == done & 0xFFFF
                yield len(packet) - 4
        packets = talk.transfer.on_packet(tftpwire.ack(done), talk.now)


def taken(talk: Talk) -> tuple[int, int]:
    """Take a file: its length, and the most memory that was needed meanwhile."""
    tracemalloc.start()
    try:
        return sum(lengths(talk)), tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_more_than_four_gigabytes() -> None:
    """The numbers wrap, the places in the file do not; memory does not grow with the file."""
    size = (1 << 32) + 100_000
    talk = Talk(0, "blksize=65464 windowsize=64", Sparse(size, 65464))
    total, peak = taken(talk)
    assert (total, talk.transfer.outcome, talk.source.reads) == (size, "sent", 65610)
    assert peak < 20_000_000


@pytest.mark.parametrize("options", ["", "blksize=1468", "blksize=8192 windowsize=3", "blksize=65464"])
def test_a_file_is_read_in_pieces(options: str) -> None:
    """Not once for each small block, and never again what was sent."""
    talk = Talk(300_000, options)
    got, _ = fetch(talk)
    assert got == talk.source.content and talk.source.reads <= 300_000 // 16_000


# -- netascii ------------------------------------


@pytest.mark.parametrize("options", ["netascii", "netascii blksize=7", "netascii blksize=8", "netascii blksize=1"])
def test_netascii_across_blocks(options: str) -> None:
    """Pairs may stand in two blocks; what the client puts together reads as the file."""
    dice = random.Random(764)
    for size in (0, 1, 5, 100, 600):
        plain = bytes(dice.choice(b"\r\n\0ab") for _ in range(size))
        got, _ = fetch(Talk(plain, options))
        assert netascii_decode(got) == plain
    for plain in (b"x" * 511 + b"\n", b"x" * 512, b"\n" * 256, b"\r" * 255 + b"ab"):
        got, _ = fetch(Talk(plain, options))
        assert netascii_decode(got) == plain


def test_netascii_on_a_bad_line() -> None:
    for seed in range(5):
        dice = random.Random(seed)
        plain = bytes(dice.choice(b"\r\nab") for _ in range(70_000))  # more than is read at once
        got, _ = fetch(Talk(plain, "netascii"), lambda: dice.random() < 0.1)  # noqa: B023
        assert netascii_decode(got) == plain


def test_netascii_text_is_not_kept() -> None:
    total, peak = taken(Talk(b"\n" * 3_000_000, "netascii"))
    assert total == 6_000_000 and peak < 1_000_000


def test_a_file_in_netascii_that_changes() -> None:
    Talk(b"\n" * 70_000, "netascii").play("start -> 1\ntrouble gone\nafter 0.1\nack 1 -> E0 | failed\nline -> gone")


# -- hostile clients ------------------------------------


def hostile(dice: random.Random, talk: Talk) -> bytes:
    """A packet that may or may not make sense."""
    near = talk.transfer._acked + dice.choice((0, 0, 1, 1, 2, 3, -1, -2, 4, 64, 65, 1000, 32768, 65535))
    kind = dice.randrange(12)
    if kind < 8:
        return tftpwire.ack(near)
    if kind == 8:
        return bytes(dice.choice((0, 0, 0, 1, 4, 6, 255)) for _ in range(dice.randrange(12)))
    return dice.choice([
        tftpwire.data(near, b"x" * 9), tftpwire.oack([("blksize", 9)]), tftpwire.request("f"), b"\0\4", b"\0\4\0", b"",
        b"\0\4\0\1" + bytes(600), b"\0\5", b"\1\4\0\1",
    ])  # fmt: skip


@pytest.mark.parametrize("options", ["", "blksize=1", "blksize=8 windowsize=4", "tsize=0 windowsize=64 blksize=9",
                                     "netascii", "timeout=1 blksize=100"])  # fmt: skip
def test_any_packets_in_any_state(options: str) -> None:
    """They give packets or an outcome; and no more packets than windows for what came and for the timers."""
    outcomes = set()
    for seed in range(150):
        dice = random.Random(seed)
        talk = Talk(dice.choice((0, 1, 8, 500, 512, 40_000)), options)
        talk.do("start")
        came = 1
        for _ in range(80):
            came += 1
            if dice.random() < 0.1:
                talk.do(f"wait {dice.choice((0.01, 0.1, 1, 9))}")
            elif dice.random() < 0.01:
                talk.put(tftpwire.error(dice.randrange(9), "x"))
            else:
                talk.put(hostile(dice, talk))
            if dice.random() < 0.003:
                talk.do("trouble gone")
            assert talk.out <= came * talk.transfer.terms.window
            assert talk.transfer.due > 0
            if talk.transfer.outcome:
                break
        outcomes.add(talk.transfer.outcome)
    assert {"sent", "failed"} <= outcomes <= {"sent", "failed", "asking", ""}


@pytest.mark.parametrize("options", ["", "blksize=8", "blksize=8 windowsize=4", "blksize=8 windowsize=64"])
def test_a_thousand_copies_of_an_ack_give_one_answer(options: str) -> None:
    """No Sorcerer's Apprentice: whatever comes at one moment is answered once."""
    talk = Talk(1_000_000, options)
    talk.do("start")
    for number in range(0 if options else 1, 1000, talk.transfer.terms.window):
        talk.now += 0.02
        before = talk.out
        for _ in range(30):
            talk.do(f"ack {number}")
        assert talk.out - before == talk.transfer.terms.window


@pytest.mark.parametrize(("options", "command"), [("", "start"), (W4, "start"), (W4, "ack 0")])
def test_repetitions_are_no_progress(options: str, command: str) -> None:
    """Whoever only repeats himself is given up like one who is silent."""
    talk = Talk(4000, options)
    talk.do("start")
    talk.do("after 0.1")
    if command != "start":
        talk.do(command)
    for _ in range(130):
        talk.do("wait 1")
        if talk.transfer.outcome:
            break
        talk.do(command)
    assert talk.transfer.outcome == "failed"


def test_every_ack_twice_on_the_whole_way() -> None:
    """Also where every packet comes twice, each block is sent once."""
    for window in (1, 4):
        talk = Talk(5000, f"blksize=8 windowsize={window}")
        way = list(talk.transfer.start(talk.now))
        sent = len(way)
        while way:
            talk.now += 0.05
            last = max(tftpwire.parse(packet).block for packet in way)
            way = []
            for _ in range(2):
                if not talk.transfer.outcome:
                    way += talk.transfer.on_packet(tftpwire.ack(last), talk.now)
                talk.now += 0.001
            sent += len(way)
        assert talk.transfer.outcome == "sent" and sent == 5000 // 8 + 2
