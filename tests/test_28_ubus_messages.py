"""Section 28: messages of OpenWrt's bus, against bytes as libubus writes them and against hostile ones."""

from __future__ import annotations

import random
from typing import Any

import pytest

import pydnsmasq as p
import ubuswire

ME, CALLER, THEIRS = 0x1C4F3A02, 0x6AAABBCC, 0x53D0A911
ACK = {"mac": "02:00:00:00:00:01", "ip": "192.168.1.100", "name": "box", "interface": "br-lan"}
ACK_HEX = """
    8300001e 00036d61 63000000 30323a30 303a3030 3a30303a 30303a30 31000000 8300001a 00026970 00000000 3139322e
    3136382e 312e3130 30000000 83000010 00046e61 6d650000 626f7800 83000017 0009696e 74657266 61636500 62722d6c
    616e0000"""
ARGUMENTS = {"mark": p.BLOBMSG_INT32, "mask": p.BLOBMSG_INT32, "patterns": p.BLOBMSG_ARRAY}
METHODS = {"metrics": {}, "set_connmark_allowlist": ARGUMENTS}
PATH, SIGNATURE = p.UBUS_ATTR_PATH, p.UBUS_ATTR_SIGNATURE
OBJECT, METHOD, DATA, STATUS = p.UBUS_ATTR_OBJECT, p.UBUS_ATTR_METHOD, p.UBUS_ATTR_DATA, p.UBUS_ATTR_STATUS
ROOT = [(12, b"root\0"), (13, b"root\0")]  # user and group of a caller

# Name, the message in words: kind, serial, peer, attributes in their order; its bytes.
MESSAGES: list[tuple[str, tuple[Any, ...], str]] = [
    ("hello", (p.UBUS_HELLO, 0, 0x7D5E6F10), "00000000 7d5e6f10 00000004"),
    ("an object", (p.UBUS_ADD_OBJECT, 1, 0, (PATH, b"dnsmasq\0"), (SIGNATURE, p.blobmsg_pack(METHODS))), """
        00060001 00000000 00000078 0200000c 646e736d 61737100 06000068 82000010 00076d65 74726963 73000000 82000054
        00167365 745f636f 6e6e6d61 726b5f61 6c6c6f77 6c697374 00000000 85000010 00046d61 726b0000 00000005 85000010
        00046d61 736b0000 00000005 85000014 00087061 74746572 6e730000 00000001"""),
    ("an object without methods", (p.UBUS_ADD_OBJECT, 2, 0, (PATH, b"dnsmasq.dns\0"), (SIGNATURE, b"")), """
        00060002 00000000 00000018 02000010 646e736d 6173712e 646e7300 06000004"""),
    ("its number", (p.UBUS_DATA, 1, 0, (OBJECT, p.ubus_number(ME)), (5, p.ubus_number(0x2A6B0C33))), """
        00020001 00000000 00000014 03000008 1c4f3a02 05000008 2a6b0c33"""),
    ("it is well", (p.UBUS_STATUS, 1, 0, (STATUS, p.ubus_number(0))), "00010001 00000000 0000000c 01000008 00000000"),
    ("a lease", (p.UBUS_NOTIFY, 3, ME, (OBJECT, p.ubus_number(ME)), (METHOD, b"dhcp.ack\0"),
                 (p.UBUS_ATTR_NO_REPLY, b"\1"), (DATA, p.blobmsg_pack(ACK))),
     "000a0003 1c4f3a02 0000008c 03000008 1c4f3a02 0400000d 64686370 2e61636b 00000000 0a000005 01000000 07000068"
     + ACK_HEX),
    ("a lease, as a subscriber hears of it",
     (p.UBUS_INVOKE, 3, 0x7D5E6F10, (p.UBUS_ATTR_NO_REPLY, b"\1"), (OBJECT, p.ubus_number(THEIRS)),
      (METHOD, b"dhcp.ack\0"), *ROOT, (DATA, p.blobmsg_pack(ACK))),
     "00050003 7d5e6f10 000000a4 0a000005 01000000 03000008 53d0a911 0400000d 64686370 2e61636b 00000000 0c000009"
     "726f6f74 00000000 0d000009 726f6f74 00000000 07000068" + ACK_HEX),
    ("a first subscriber", (p.UBUS_NOTIFY, 1, 0, (OBJECT, p.ubus_number(ME)), (p.UBUS_ATTR_ACTIVE, b"\1")), """
        000a0001 00000000 00000014 03000008 1c4f3a02 09000005 01000000"""),
    ("a call", (p.UBUS_INVOKE, 2, CALLER, (OBJECT, p.ubus_number(ME)), (METHOD, b"metrics\0"), *ROOT, (DATA, b"")), """
        00050002 6aaabbcc 00000034 03000008 1c4f3a02 0400000c 6d657472 69637300 0c000009 726f6f74 00000000 0d000009
        726f6f74 00000000 07000004"""),
    ("its answer", (p.UBUS_DATA, 2, CALLER, (OBJECT, p.ubus_number(ME)),
                    (DATA, p.blobmsg_pack({"dns_cache_inserted": 7}))), """
        00020002 6aaabbcc 00000030 03000008 1c4f3a02 07000024 85000020 0012646e 735f6361 6368655f 696e7365 72746564
        00000000 00000007"""),
    ("its end", (p.UBUS_STATUS, 2, CALLER, (STATUS, p.ubus_number(0)), (OBJECT, p.ubus_number(ME))), """
        00010002 6aaabbcc 00000014 01000008 00000000 03000008 1c4f3a02"""),
]  # fmt: skip


@pytest.mark.parametrize(("words", "octets"), [row[1:] for row in MESSAGES], ids=[row[0] for row in MESSAGES])
def test_messages(words: tuple[Any, ...], octets: str) -> None:
    wire = bytes.fromhex(octets)
    assert p.ubus_pack(*words) == wire
    assert p.ubus_length(wire[: p.UBUS_HEADER_SIZE]) == len(wire)
    message = p.ubus_unpack(wire)
    assert (message.kind, message.serial, message.peer) == words[:3]
    assert message.attributes == dict(words[3:])


def test_what_a_message_says() -> None:
    message = p.ubus_unpack(bytes.fromhex({row[0]: row[2] for row in MESSAGES}["a lease"]))
    assert message.number(OBJECT) == ME and message.number(p.UBUS_ATTR_NO_REPLY) == 1
    assert message.fields() == ACK
    assert message.number(STATUS) is None and message.number(METHOD) is None, "not there, or no number"
    assert p.ubus_unpack(p.ubus_pack(p.UBUS_STATUS, 1, 0)).fields() == {}


def test_the_last_of_two_attributes_counts() -> None:
    wire = p.ubus_pack(p.UBUS_STATUS, 1, 0, (STATUS, p.ubus_number(4)), (STATUS, p.ubus_number(6)))
    assert p.ubus_unpack(wire).number(STATUS) == 6


def test_subscribers() -> None:
    assert p.ubus_numbers(b"") == []
    assert p.ubus_numbers(bytes.fromhex("00000008 53d0a911 00000008 1c4f3a02")) == [THEIRS, ME]


def test_a_length_that_is_not_even() -> None:
    """ubusd passes on what it says, and no padding behind it."""
    wire = bytes.fromhex("000a0001 00000000 00000011 03000008 1c4f3a02 09000005 01")
    assert p.ubus_length(wire[:12]) == len(wire)
    assert p.ubus_unpack(wire).number(p.UBUS_ATTR_ACTIVE) == 1


# Heads that can be no message, and the lengths of those that can.
HEADS: list[tuple[str, int | None]] = [
    ("00020001 00000000 00000004", 12),
    ("00020001 00000000 00000011", 25),  # as long as it says, without padding
    ("00ff0001 00000000 00000004", 12),  # a kind from the future
    ("00020001 00000000 80000010", 24),  # the bit of blobmsg
    ("00020001 00000000 00100000", 8 + (1 << 20)),
    ("00020001 00000000 00100001", None),
    ("00020001 00000000 00ffffff", None),
    ("00020001 00000000 00000003", None),
    ("00020001 00000000 00000000", None),
    ("01020001 00000000 00000010", None),  # another version
]  # fmt: skip


@pytest.mark.parametrize(("head", "length"), HEADS)
def test_lengths(head: str, length: int | None) -> None:
    if length is not None:
        assert p.ubus_length(bytes.fromhex(head)) == length
        return
    with pytest.raises(p.WireError):
        p.ubus_length(bytes.fromhex(head))


# -- fields ------------------------------------------------------------------------

PACKED: list[dict[str, Any]] = [
    {},
    {"a": ""},
    {"a": "text", "bc": 1, "def": "x" * 300},
    {"n": 0, "m": 0xFFFFFFFF},
    {"patterns": ["a.b", "*.c.d"], "none": []},
    {"table": {"x": 1, "inner": {"y": ["z", 2]}}, "empty": {}},
    {"umlaut": "zoë", "zoë": 1},
]


@pytest.mark.parametrize("fields", PACKED)
def test_fields_come_back(fields: dict[str, Any]) -> None:
    data = p.blobmsg_pack(fields)
    assert len(data) % 4 == 0
    assert p.blobmsg_unpack(data) == fields
    assert data == ubuswire.fields(fields), "as the tests' own writer has it"
    assert ubuswire.unfields(data) == fields


def test_numbers_have_32_bits() -> None:
    assert p.blobmsg_unpack(p.blobmsg_pack({"big": (7 << 32) + 5, "less": -1})) == {"big": 5, "less": 0xFFFFFFFF}


typed = ubuswire.Typed
READ: list[tuple[str, Any, Any]] = [
    # what, a value of the tests' own writer, what is read; None: it is left out
    ("int64", typed(ubuswire.INT64, (0xFFFFFFFF).to_bytes(8, "big")), 0xFFFFFFFF),
    ("int32", typed(ubuswire.INT32, b"\x80\0\0\1"), 0x80000001),
    ("int16", typed(ubuswire.INT16, b"\1\2"), 258),
    ("int8", typed(ubuswire.INT8, b"\1"), 1),
    ("true", True, 1),
    ("int32 of 8 octets", typed(ubuswire.INT32, bytes(8)), None),
    ("int64 of 4 octets", typed(ubuswire.INT64, bytes(4)), None),
    ("int8 of none", typed(ubuswire.INT8, b""), None),
    ("double", 1.5, None),
    ("null", None, None),
    ("a kind unknown", typed(0x55, b"abcd"), None),
    ("a string with no end", typed(ubuswire.STRING, b"abc"), "abc"),
    ("an empty string", typed(ubuswire.STRING, b""), ""),
    ("no UTF-8", typed(ubuswire.STRING, b"a\xff\0"), "a\ufffd"),
    ("a string with an end inside", typed(ubuswire.STRING, b"a\0b\0"), "a\0b"),
    ("a list with a null", ["a", None, "b"], ["a", "b"]),
    ("an empty table", {}, {}),
]  # fmt: skip


@pytest.mark.parametrize(("value", "expected"), [row[1:] for row in READ], ids=[row[0] for row in READ])
def test_kinds_of_fields(value: Any, expected: Any) -> None:
    data = ubuswire.fields({"first": 1, "it": value, "last": "z"})
    assert p.blobmsg_unpack(data) == {"first": 1, **({} if expected is None else {"it": expected}), "last": "z"}


BAD = [
    ("not of blobmsg", "03000008 00000000"),
    ("the name is longer than the field", "8300000c 00ff6100 62000000"),
    ("the name has no end", "8300000c 00016162 63640000"),
    ("no room for a name", "83000004"),
    ("half a length", "83000005 00000000"),
    ("within a list", "8100000c 00016100 03000004"),
    ("within a table", "8200000c 00016100 83000004"),
]


@pytest.mark.parametrize("octets", [row[1] for row in BAD], ids=[row[0] for row in BAD])
def test_bad_fields(octets: str) -> None:
    with pytest.raises(p.WireError):
        p.blobmsg_unpack(bytes.fromhex(octets))


def test_lengths_that_lie_end_the_fields() -> None:
    good = p.blobmsg_pack({"a": 1})
    for lie in ("83000000", "83000003", "83ffffff 00016100", "830000"):
        assert p.blobmsg_unpack(good + bytes.fromhex(lie)) == {"a": 1}
    # A length within a list that reaches beyond it takes nothing from behind it.
    inner = bytes.fromhex("83000014 00000000 6162")
    assert p.blobmsg_unpack(p.blob_pack(0x81, b"\0\1l\0" + inner) + good) == {"l": [], "a": 1}


@pytest.mark.parametrize("kind", [p.BLOBMSG_TABLE, p.BLOBMSG_ARRAY])
def test_depth_is_bounded(kind: int) -> None:
    def nested(depth: int) -> bytes:
        data = p.blobmsg_pack({"a": 1})
        for _ in range(depth):
            data = p.blob_pack(0x80 | kind, b"\0\1a\0" + data)
        return data

    assert p.blobmsg_unpack(nested(p.UBUS_DEPTH_MAX)) != {}
    for depth in (p.UBUS_DEPTH_MAX + 1, 1000):
        with pytest.raises(p.WireError):
            p.blobmsg_unpack(nested(depth))


def test_any_bytes_give_a_value_or_a_wire_error() -> None:
    dice = random.Random(28)
    samples = [bytes.fromhex(row[2]) for row in MESSAGES]
    samples += [p.ubus_pack(5, 1, 2, (DATA, ubuswire.fields(fields))) for fields in PACKED]
    seen = {"value": 0, "error": 0}
    for turn in range(4000):
        wire = bytearray(dice.choice(samples) if turn % 4 else bytes(12) + dice.randbytes(dice.randrange(90)))
        for _ in range(dice.randrange(1, 5)):
            wire[dice.randrange(8, len(wire))] = dice.choice((0, 1, 3, 4, 8, 0x7F, 0x80, 0xFF, dice.randrange(256)))
        message = p.ubus_unpack(bytes(wire[: dice.randrange(12, len(wire) + 1)]))
        for number in range(16):
            message.number(number)
        p.ubus_numbers(message.attributes.get(p.UBUS_ATTR_SUBSCRIBERS, bytes(wire[12:])))
        for read in (message.fields, lambda wire=wire: p.blobmsg_unpack(bytes(wire[12:]))):
            try:
                assert isinstance(read(), dict)
                seen["value"] += 1
            except p.WireError:
                seen["error"] += 1
    assert min(seen.values()) > 500, seen
