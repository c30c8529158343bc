"""Section 29: what the kernel is asked by netlink; that it understands is shown in test_60 and by the oracle."""

from __future__ import annotations

import random
import struct
import sys

import pytest

import pydnsmasq as p

V4, V6 = bytes((192, 0, 2, 1)), bytes.fromhex("20010db8" + "00" * 11 + "01")


def messages(data: bytes) -> list[tuple[int, int, bytes]]:
    return list(p.netlink_messages(data))


@pytest.mark.parametrize(("address", "family", "kind"), [(V4, 2, 1), (V6, 10, 2)])
def test_an_address_for_an_ipset(address: bytes, family: int, kind: int) -> None:
    ((number, serial, payload),) = messages(p.ipset_add_pack("set", address, 7))
    assert (number, serial) == (0x609, 7)
    assert payload[:4] == bytes((family, 0, 0, 0))
    outer = p.netlink_attributes(payload, 4)
    assert outer[1] == b"\6" and outer[2] == b"set\0"
    assert p.netlink_attributes(p.netlink_attributes(outer[7])[1]) == {kind: address}


def nft_elements(wire: bytes) -> list[tuple[bytes, int]]:
    """The (key, flags) of a transaction."""
    begin, add, end = messages(wire)
    assert (begin[0], add[0], end[0]) == (0x10, 0xA0C, 0x11)
    assert begin[2] == end[2] == b"\0\0\0\x0a"
    body = p.netlink_attributes(add[2], 4)[3]
    out, pos = [], 0
    while pos < len(body):
        (length,) = struct.unpack_from("=H", body, pos)
        element = p.netlink_attributes(body[pos + 4 : pos + length])
        out.append((p.netlink_attributes(element[1])[1], int.from_bytes(element.get(3, b""), "big")))
        pos += length + 3 & ~3
    return out


LAST4 = b"\xff" * 4
ELEMENTS = [
    (V4, False, [(V4, 0)]),
    (V6, False, [(V6, 0)]),
    (V4, True, [(V4, 0), (bytes((192, 0, 2, 2)), 1)]),
    (b"\0\0\0\xff", True, [(b"\0\0\0\xff", 0), (b"\0\0\1\0", 1)]),
    (LAST4, True, [(LAST4, 0)]),
]


@pytest.mark.parametrize(("address", "interval", "expected"), ELEMENTS)
def test_elements_of_nftables(address: bytes, interval: bool, expected: list[tuple[bytes, int]]) -> None:
    target = p.NftSet(1, "fw4", "vpn")
    wire = p.nft_add_pack(target, address, interval, 3)
    assert nft_elements(wire) == expected
    attributes = p.netlink_attributes(messages(wire)[1][2], 4)
    assert attributes[1] == b"fw4\0" and attributes[2] == b"vpn\0"
    assert messages(wire)[1][2][0] == 1


def test_the_kind_of_a_set_is_read() -> None:
    def attribute(kind: int, data: bytes) -> bytes:
        return struct.pack("=HH", 4 + len(data), kind) + data

    for flags, interval in ((0, False), (0x10, False), (0x14, True)):
        payload = b"\1\0\0\0" + attribute(3, flags.to_bytes(4, "big")) + attribute(5, b"\0\0\0\4")
        assert p.nft_set_unpack(payload) == (4, interval)
    assert p.nft_set_unpack(b"") == (0, False)


def test_a_connection_is_found_by_its_replies() -> None:
    for local, peer, family, kinds in ((V4, LAST4, 2, (1, 2)), (V6, V6, 10, (3, 4))):
        ((kind, serial, payload),) = messages(p.conntrack_query_pack(17, (local, 53), (peer, 4000), 9))
        assert (kind, serial, payload[0]) == (0x101, 9, family)
        reply = p.netlink_attributes(p.netlink_attributes(payload, 4)[2])
        assert p.netlink_attributes(reply[1]) == {kinds[0]: local, kinds[1]: peer}
        assert p.netlink_attributes(reply[2]) == {1: b"\x11", 2: b"\0\x35", 3: b"\x0f\xa0"}


def test_a_mark_is_read() -> None:
    assert p.conntrack_mark_unpack(b"\2\0\0\0" + struct.pack("=HH", 8, 8) + b"\0\0\1\2") == 0x102
    assert p.conntrack_mark_unpack(b"\2\0\0\0") == 0


def test_errors_are_positive_numbers() -> None:
    assert p.netlink_error(struct.pack("=i", -2)) == 2
    assert p.netlink_error(struct.pack("=i", 0) + b"the message") == 0


def test_any_bytes_are_read_to_an_end() -> None:
    dice = random.Random(29)
    for _ in range(2000):
        data = dice.randbytes(dice.randrange(80))
        for _, _, payload in messages(data):
            p.netlink_attributes(payload)
        p.netlink_attributes(data, dice.randrange(8))


SETS = [
    ("inet#fw4#s", p.NftSet(1, "fw4", "s"), "inet fw4 s", (True, True)),
    ("4#inet#fw4#s", p.NftSet(1, "fw4", "s", 4), "4 inet fw4 s", (True, False)),
    ("6#t#s", p.NftSet(2, "t", "s", 6), "6 ip t s", (False, True)),
    ("ip6#t#s", p.NftSet(10, "t", "s"), "ip6 t s", (True, True)),
]


@pytest.mark.parametrize(("text", "target", "shown", "takes"), SETS)
def test_sets_of_nftables(text: str, target: p.NftSet, shown: str, takes: tuple[bool, bool]) -> None:
    assert p.value_nft_sets(f"/a/{text}")[0].sets == (target,)
    assert str(target) == shown
    assert (target.takes(V4), target.takes(V6)) == takes


# -- bytes as the kernel was seen to take and to give them ---------------------------

LITTLE = pytest.mark.skipif(sys.byteorder != "little", reason="the bytes are those of a little-endian machine")
FW4 = p.NftSet(1, "fw4", "a4")


def tree(data: bytes, pos: int = 0) -> dict[int, object]:
    """Attributes with what is nested in them; of several elements (kind 1 or more in a list) a list by place."""
    out: dict[int, object] = {}
    while pos + 4 <= len(data):
        length, kind = struct.unpack_from("=HH", data, pos)
        inner = data[pos + 4 : pos + length]
        out[kind & 0x3FFF if kind & 0x3FFF not in out else len(out) + 1] = tree(inner) if kind & 0x8000 else inner
        pos += length + 3 & ~3
    return out


def shape(wire: bytes) -> list[tuple[int, bytes, dict[int, object]]]:
    """The messages: kind, head, attributes; without flags and serials, and the set's number, which is not needed."""
    out = []
    for kind, _, payload in messages(wire):
        attributes = tree(payload, 4)
        if kind == 0xA0C:
            attributes.pop(4, None)
        out.append((kind, payload[:4], attributes))
    return out


FIVE, FD5 = bytes((10, 0, 0, 5)), bytes.fromhex("fd00" + "00" * 13 + "05")
REQUESTS = [
    # what, ours, what the real dnsmasq sends
    ("ipset, IPv4", p.ipset_add_pack("h", FIVE, 0), """
        340000000906010000000000000000000200000005000100060000000600020068000000100007800c000180080001400a000005"""),
    ("ipset, IPv6", p.ipset_add_pack("h6", FD5, 0), """
        400000000906010000000000000000000a000000050001000600000007000200683600001c0007801800018014000240fd00000000000000
        0000000000000005"""),
    ("nftset, IPv4", p.nft_add_pack(FW4, bytes((10, 0, 0, 1)), False, 1), """
        140000001000010000000000000000000000000a400000000c0a010401000000000000000100000008000100667734000700020061340000
        080004000000000114000380100001800c000180080001000a000001140000001100010002000000000000000000000a"""),
    ("nftset, IPv6", p.nft_add_pack(p.NftSet(1, "fw4", "a6"), FD5[:15] + b"\1", False, 1), """
        140000001000010000000000000000000000000a4c0000000c0a010401000000000000000100000008000100667734000700020061360000
        0800040000000001200003801c0001801800018014000100fd000000000000000000000000000001
        140000001100010002000000000000000000000a"""),
    ("nftset, interval", p.nft_add_pack(p.NftSet(1, "fw4", "i4"), bytes((10, 0, 0, 2)), True, 1), """
        140000001000010000000000000000000000000a500000000c0a010401000000000000000100000008000100667734000700020069340000
        2c00038010000180 0c000180080001000a000002 180002800800030000000001 0c000180080001000a000003
        140000001100010002000000000000000000000a"""),
    ("nftset, what kind", p.nft_set_query_pack(p.NftSet(1, "fw4", "i4"), 77), """
        240000000a0a01004d00000000000000010000000800010066773400 0700020069340000"""),
]  # fmt: skip


@LITTLE
@pytest.mark.parametrize(("ours", "octets"), [row[1:] for row in REQUESTS], ids=[row[0] for row in REQUESTS])
def test_requests_say_what_the_real_ones_say(ours: bytes, octets: str) -> None:
    theirs = bytes.fromhex(octets)
    assert shape(ours) == shape(theirs)
    for wire in (ours, theirs):
        assert sum(16 + len(payload) + 3 & ~3 for _, _, payload in messages(wire)) == len(wire), "no rest"


@LITTLE
def test_attributes_of_an_ipset_are_flagged() -> None:
    """Nested ones, and those in network order: an ipset wants both."""
    wire = p.ipset_add_pack("h", FIVE, 0)
    assert wire[-16:] == bytes.fromhex("100007800c000180080001400a000005")


def test_requests_ask_for_an_answer() -> None:
    """Without it nobody hears whether it was done; a batch as such has none."""
    wires = p.ipset_add_pack("h", FD5, 7), p.nft_set_query_pack(FW4, 7), p.nft_add_pack(FW4, FIVE, False, 7)
    flags = [
        struct.unpack_from("=IHHI", wire, pos)[1:]
        for wire in (*wires, p.conntrack_query_pack(6, (FIVE, 1), (FIVE, 2), 7))
        for pos in starts(wire)
    ]
    assert flags == [
        (0x609, 5, 7), (0xA0A, 5, 7), (0x10, 1, 7), (0xA0C, 0x405, 7), (0x11, 1, 7), (0x101, 5, 7),
    ]  # fmt: skip


def starts(wire: bytes) -> list[int]:
    out = [0]
    for _, _, payload in messages(wire):
        out.append(out[-1] + (16 + len(payload) + 3 & ~3))
    return out[:-1]


@LITTLE
def test_answers_of_the_kernel() -> None:
    done = bytes.fromhex("2400000002000001090000001122334400000000340000000906050009000000 00000000")
    ((kind, serial, payload),) = messages(done)
    assert (kind, serial, p.netlink_error(payload)) == (p.NLMSG_ERROR, 9, 0)
    refused = bytes.fromhex("24000000020000000900000011223344ffefffff") + bytes(16)
    assert p.netlink_error(messages(refused)[0][2]) == 4097
    a_set = bytes.fromhex(
        "78000000090a00004d000000766a000001000002080001006677340007000200693400000c00100000000000000000030800030000000004"
        "080004000000000708000500000000040a000d004000020000000000040009001700130030786666666666666666383235303830653000"
        "0000080014000000 0001"
    )
    ((kind, serial, payload),) = messages(a_set)
    assert (kind, serial, p.nft_set_unpack(payload)) == (0xA09, 77, (4, True))


@LITTLE
def test_a_connection_as_the_kernel_shows_it() -> None:
    shown = bytes.fromhex(
        "a400000000010200000000007d6b0000020000003400018014000180080001007f000001080002007f0000011c0002800500010011000000"
        "06000200dc910000060003004e7e00003400028014000180080001007f000001080002007f0000011c000280050001001100000006000200"
        "4e7e000006000300dc9100000800030000000008080008000000000508000c00742f3fec08000b0000000002080007000000001d"
    )
    ((_, _, payload),) = messages(shown)
    assert p.conntrack_mark_unpack(payload) == 5
    local, peer = (bytes((127, 0, 0, 1)), 0x4E7E), (bytes((127, 0, 0, 1)), 0xDC91)
    ((_, _, asked),) = messages(p.conntrack_query_pack(17, local, peer, 1))
    assert tree(asked, 4) == {2: tree(payload, 4)[2]}, "the tuple of its replies"


def test_what_a_helper_with_rights_passes_on() -> None:
    """Requests for Netfilter: those of this section, nothing that makes or removes tables, chains, rules or sets."""
    wires = [row[1] for row in REQUESTS] + [p.netfilter_probe_pack(1), p.conntrack_query_pack(6, (V4, 1), (V4, 2), 1)]
    assert {kind for wire in wires for kind, _, _ in messages(wire)} == p.NETFILTER_KINDS
