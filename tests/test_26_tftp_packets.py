"""Section 26: TFTP packets, there and back; any bytes are a value or a WireError."""

from __future__ import annotations

import random

import pytest

import pydnsmasq as p
import tftpwire

# What follows the opcode, `|` for NUL -> name, netascii, options; none: it is no read request.
REQUESTS: list[tuple[str, tuple[str, bool, dict[str, str]] | None]] = [
    ("f|octet|", ("f", False, {})),
    ("f|netascii|", ("f", True, {})),
    ("f|OcTeT|", ("f", False, {})),
    ("f|NETASCII|", ("f", True, {})),
    (" a b |octet|", (" a b ", False, {})),
    ("dir\\f%s\n\xe9|octet|", ("dir\\f%s\n\xe9", False, {})),
    ("f|octet|blksize|8|", ("f", False, {"blksize": "8"})),
    ("f|octet|BlkSize|8|TSIZE|0|", ("f", False, {"blksize": "8", "tsize": "0"})),
    ("f|octet|a|1|b|2|a|3|", ("f", False, {"a": "3", "b": "2"})),
    ("f|octet|A|1|a|2|", ("f", False, {"a": "2"})),
    ("f|octet|tsize|", ("f", False, {})),
    ("f|octet|blksize|8|tsize|", ("f", False, {"blksize": "8"})),
    ("f|octet|blksize|OcTeT|", ("f", False, {"blksize": "OcTeT"})),
    # an empty string is the end
    ("f|octet|blksize||tsize|0|", ("f", False, {})),
    ("f|octet||0|tsize|0|", ("f", False, {})),
    ("f|octet|a|1||tsize|0|", ("f", False, {"a": "1"})),
    ("f|octet|a|1|||||", ("f", False, {"a": "1"})),
    ("f|octet||", ("f", False, {})),
    # what is no request
    ("f|octet", None),
    ("f|octet|blksize|8", None),
    ("f|", None),
    ("f", None),
    ("", None),
    ("|", None),
    ("||", None),
    ("|octet|", None),
    ("f||", None),
    ("f|mail|", None),
    ("f|binary|", None),
    ("f|octets|", None),
    ("f|oct|et|", None),
    ("f| octet|", None),
]


@pytest.mark.parametrize(("text", "expected"), REQUESTS)
def test_read_requests(text: str, expected: tuple[str, bool, dict[str, str]] | None) -> None:
    wire = b"\0\1" + text.replace("|", "\0").encode("latin-1")
    if expected is None:
        with pytest.raises(p.WireError):
            p.tftp_request_unpack(wire)
        return
    name, netascii, options = expected
    pairs = {key.encode(): value.encode() for key, value in options.items()}
    assert p.tftp_request_unpack(wire) == p.TftpRequest(name.encode("latin-1"), netascii, pairs)


@pytest.mark.parametrize(
    "opcode", ["", "00", "01", "0000", "0002", "0003", "0004", "0005", "0006", "0007", "0100", "0101"]
)
def test_other_packets_are_no_requests(opcode: str) -> None:
    rest = b"f\0octet\0" if len(opcode) == 4 else b""
    with pytest.raises(p.WireError):
        p.tftp_request_unpack(bytes.fromhex(opcode) + rest)


def test_requests_there_and_back() -> None:
    """A thousand requests by the tests' own codec mean what was put in."""
    dice = random.Random(26)

    def text(least: int = 1) -> bytes:
        return bytes(dice.randrange(1, 256) for _ in range(dice.randrange(least, 30)))

    for _ in range(1000):
        name, mode = text(), dice.choice(["octet", "netascii", "Octet", "NetASCII"])
        options = [(text().lower(), text()) for _ in range(dice.randrange(6))]
        upper = [(key.swapcase(), value) for key, value in options]
        found = p.tftp_request_unpack(tftpwire.request(name, mode, dice.choice([options, upper])))
        assert found == p.TftpRequest(name, mode.lower() == "netascii", dict(options))


def test_any_bytes_are_a_request_or_a_wire_error() -> None:
    dice = random.Random(62)
    pieces = [b"\0", b"\0\1", b"\0\2", b"octet", b"netascii", b"f", b"blksize", b"tsize", b"512", b"\xff", b"A" * 600]
    taken = 0
    for _ in range(5000):
        start = dice.choice([b"\0\1", b"\0\1f\0octet\0", b""])
        wire = start + b"".join(dice.choice(pieces) for _ in range(dice.randrange(9)))
        try:
            found = p.tftp_request_unpack(wire)
        except p.WireError:
            continue
        taken += 1
        assert found.name and b"\0" not in found.name and all(b"\0" not in key for key in found.options)
        assert all(key == key.lower() and key and value for key, value in found.options.items())
    assert taken > 200


@pytest.mark.parametrize(("code", "text", "wire"), [
    (1, "file /a not found for 10.0.0.1", "file /a not found for 10.0.0.1"), (0, "", ""), (65535, "x", "x"),
    (2, "caf\xe9 \u20ac", "caf? ?"),
])  # fmt: skip
def test_errors_there_and_back(code: int, text: str, wire: str) -> None:
    packed = p.tftp_error_pack(code, text)
    seen = tftpwire.parse(packed)
    assert (seen.kind, seen.code, seen.text) == ("ERROR", code, wire.encode())
    assert p.tftp_error_unpack(packed) == (code, wire.encode())


@pytest.mark.parametrize(("rest", "expected"), [
    ("0008", (8, b"")), ("000861", (8, b"a")), ("000800", (8, b"")), ("00086100620063", (8, b"a")),
    ("ffff" + "41" * 600, (65535, b"A" * 600)), ("0001ff0a1b", (1, b"\xff\n\x1b")),
])  # fmt: skip
def test_errors_of_all_kinds(rest: str, expected: tuple[int, bytes]) -> None:
    assert p.tftp_error_unpack(b"\0\5" + bytes.fromhex(rest)) == expected


def test_accepted_options() -> None:
    options = {"blksize": 1468, "tsize": 5_000_000_000, "timeout": 3, "windowsize": 64}
    seen = tftpwire.parse(p.tftp_oack_pack(options))
    assert seen.kind == "OACK" and seen.options == [(key.encode(), b"%d" % value) for key, value in options.items()]
    assert p.tftp_oack_pack({}) == b"\0\6"


@pytest.mark.parametrize("word", [0, 1, 255, 256, 65535])
def test_words(word: int) -> None:
    number = word.to_bytes(2, "big")
    assert p.TFTP_DATA + number + b"x" == tftpwire.data(word, b"x")
    assert p.TFTP_ACK + number == tftpwire.ack(word)


# -- netascii ------------------------------------


def netascii_decode(data: bytes) -> bytes:
    """Read netascii strictly: CR stands before LF or NUL only, LF after CR only (RFC 764)."""
    out, pos = bytearray(), 0
    while pos < len(data):
        if data[pos] == 13:
            pair = data[pos : pos + 2]
            assert pair in (b"\r\n", b"\r\0"), pair
            out.append(10 if pair == b"\r\n" else 13)
            pos += 2
            continue
        assert data[pos] != 10, "a bare LF"
        out.append(data[pos])
        pos += 1
    return bytes(out)


@pytest.mark.parametrize(("plain", "encoded"), [
    (b"", b""), (b"a", b"a"), (b"a\n", b"a\r\n"), (b"a\r", b"a\r\0"), (b"\r\n", b"\r\0\r\n"), (b"\n\n", b"\r\n\r\n"),
    (b"\r\r\n\0", b"\r\0\r\0\r\n\0"), (b"\0", b"\0"), (b"\xff\xc3\xa9", b"\xff\xc3\xa9"),
])  # fmt: skip
def test_netascii(plain: bytes, encoded: bytes) -> None:
    assert p.netascii_encode(plain) == encoded
    assert netascii_decode(encoded) == plain


def test_any_text_survives_netascii() -> None:
    dice = random.Random(764)
    for _ in range(2000):
        plain = bytes(dice.choice(b"\r\n\0ab\xff") for _ in range(dice.randrange(40)))
        assert netascii_decode(p.netascii_encode(plain)) == plain
