"""Section 29: what the kernel is asked by netlink; that it understands is shown in test_60 and by the oracle."""

from __future__ import annotations

import random
import struct

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
