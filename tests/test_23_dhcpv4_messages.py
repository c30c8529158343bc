"""Section 23: BOOTP and DHCP messages, from bytes and back."""

from __future__ import annotations

import random
from typing import Any

import pytest

import dhcpwire
import pydnsmasq as p
from pure import number, octets

HEAD = 236
COOKIE = dhcpwire.COOKIE


def message(*options: tuple[int, bytes], **fields: Any) -> dhcpwire.DhcpMessage:
    made = dhcpwire.DhcpMessage(chaddr=b"\2\xaa\0\0\0\1", options=list(options))
    for name, value in fields.items():
        setattr(made, name, value)
    return made


def unpacked(*options: tuple[int, bytes], **fields: Any) -> Any:
    return p.dhcp4_unpack(message(*options, **fields).pack())


def reply(*options: tuple[int, bytes], request: Any = None, **fields: Any) -> Any:
    made = p.Dhcp4Reply(request or unpacked((53, b"\3")))
    made.options += options
    for name, value in fields.items():
        setattr(made, name, value)
    return made


def packed(made: Any, limit: int, overload: bool = True) -> tuple[bytes, list[int]]:
    """Pack a reply; give its octets and the numbers of the options that found no room."""
    wire = made.pack(limit, overload)
    return wire, [code for code, _ in made.lost]


# -- the header ------------------------------------

FIELDS = {
    "op": 1, "htype": 6, "hlen": 8, "hops": 3, "xid": 0xDEADBEEF, "secs": 77, "flags": 0x8001,
    "ciaddr": "10.5.0.9", "yiaddr": "10.5.0.10", "siaddr": "255.255.255.255", "giaddr": "0.0.0.1",
    "chaddr": bytes(range(16)), "sname": b"s" * 64, "file": b"f" * 128,
}  # fmt: skip


def test_every_field_of_the_header() -> None:
    seen = unpacked((53, b"\1"), **FIELDS)
    for name, value in FIELDS.items():
        assert getattr(seen, name) == (number(value) if isinstance(value, str) else value), name
    assert (seen.hardware, seen.kind, seen.cookie) == (bytes(range(8)), p.DHCP_DISCOVER, True)


@pytest.mark.parametrize("hlen", range(17))
def test_lengths_of_hardware_addresses(hlen: int) -> None:
    assert unpacked(hlen=hlen, chaddr=bytes(range(1, 17))).hardware == bytes(range(1, hlen + 1))


REFUSED = [b"", b"\1", bytes(HEAD - 1), bytes((1, 1, 17)) + bytes(HEAD), bytes((1, 1, 255)) + bytes(HEAD)]


@pytest.mark.parametrize("wire", REFUSED, ids=len)
def test_what_is_no_message(wire: bytes) -> None:
    with pytest.raises(p.WireError):
        p.dhcp4_unpack(wire)


@pytest.mark.parametrize("tail", [b"", b"\x63", b"\x63\x82\x53", b"\x63\x82\x53\x64\x35\1\1\xff", bytes(64)])
def test_without_the_cookie_it_is_bootp(tail: bytes) -> None:
    seen = p.dhcp4_unpack(message().pack()[:HEAD] + tail)
    assert (seen.cookie, seen.kind, seen.options) == (False, 0, {})


# -- options from the wire ------------------------------------

# What follows the cookie -> the options.
AREAS: list[tuple[str, dict[int, str]]] = [
    ("", {}), ("ff", {}), ("00", {}), ("0000ff", {}), ("ff350101", {}),
    ("350101ff", {53: "01"}),
    ("350101", {53: "01"}),
    ("3501010c027063ff", {53: "01", 12: "'pc"}),
    ("00350101000c02706300ff", {53: "01", 12: "'pc"}),
    ("350101ff0c027063", {53: "01"}),
    ("5000ff", {80: ""}),
    # the length runs over the end, or is not there
    ("35", {}), ("3501", {}), ("3501010c", {53: "01"}), ("3501010c0370", {53: "01"}), ("3501010cff70ff", {53: "01"}),
    # what is repeated is joined (RFC 3396)
    ("0c0170350101 0c0163ff", {12: "'pc", 53: "01"}),
    ("0c000c0263640c00ff", {12: "'cd"}),
    ("370101 370103 37020c0fff", {55: "01030c0f"}),
]  # fmt: skip


@pytest.mark.parametrize(("area", "expected"), AREAS)
def test_options_of_the_wire(area: str, expected: dict[int, str]) -> None:
    seen = p.dhcp4_unpack(message().pack()[:HEAD] + COOKIE + bytes.fromhex(area))
    assert seen.options == {code: octets(text) for code, text in expected.items()}
    assert p.suboptions_unpack(bytes.fromhex(area)) == seen.options


# Option 52, what stands in `file` and `sname` -> option 12.  The order is options, file, sname.
OVERLOADS = [
    ("01", "0c0162ff", "0c0163ff", "'ab"), ("02", "0c0162ff", "0c0163ff", "'ac"),
    ("03", "0c0162ff", "0c0163ff", "'abc"),
    ("00", "0c0162ff", "0c0163ff", "'a"), ("04", "0c0162ff", "0c0163ff", "'a"), ("", "0c0162ff", "0c0163ff", "'a"),
    ("03", "0c016200", "0c0163", "'abc"), ("03", "ff0c0162", "0c0163ff", "'ac"), ("03", "0cff62", "0c0163ff", "'ac"),
    ("01", "340103", "0c0163ff", "'a"),  # 52 itself counts only among the options
    ("ff", "0c0162ff", "0c0163ff", "'abc"),
]  # fmt: skip


@pytest.mark.parametrize(("overload", "file", "sname", "expected"), OVERLOADS)
def test_options_in_the_fields(overload: str, file: str, sname: str, expected: str) -> None:
    seen = unpacked(
        (52, bytes.fromhex(overload)), (12, b"a"), file=bytes.fromhex(file), sname=bytes.fromhex(sname)
    )  # fmt: skip
    assert seen.options[12] == octets(expected)


def test_the_message_type_may_stand_in_a_field() -> None:
    assert unpacked((52, b"\1"), file=b"\x35\1\3\xff").kind == p.DHCP_REQUEST


@pytest.mark.parametrize(("data", "width", "expected"), [
    ("0a050001", 4, 0x0A050001), ("0a0500", 4, None), ("", 4, None), ("0a05000199", 4, 0x0A050001),
    ("0578", 2, 1400), ("05", 2, None), ("05", 1, 5), ("", 1, None),
])  # fmt: skip
def test_numbers_of_options(data: str, width: int, expected: int | None) -> None:
    seen = unpacked((50, bytes.fromhex(data)))
    assert seen.number(50, width) == expected
    assert seen.number(51, width) is None


@pytest.mark.parametrize("size", [0, 1, 254, 255, 256, 509, 510, 511, 1000])
def test_suboptions_of_any_size_come_back(size: int) -> None:
    data = bytes(at % 251 for at in range(size))
    wire = p.suboptions_pack([(1, data), (2, b"x")])
    assert p.suboptions_unpack(wire) == {1: data, 2: b"x"}
    assert dhcpwire.parse_options(wire + b"\xff")[1]
    assert len(wire) == size + 2 * max(1, -(-size // 255)) + 3


# -- replies ------------------------------------


def test_a_reply_is_made_from_its_request() -> None:
    request = unpacked((53, b"\1"), **{**FIELDS, "secs": 77})
    made = reply((53, b"\2"), request=request, yiaddr=number(".60"), siaddr=number(".1"), hops=3)
    wire, lost = packed(made, 548)
    seen = dhcpwire.parse(wire)
    kept = ("htype", "hlen", "hops", "xid", "secs", "flags", "ciaddr", "giaddr", "chaddr")
    assert {name: getattr(seen, name) for name in kept} == {name: FIELDS[name] for name in kept}
    assert (seen.op, seen.yiaddr, seen.siaddr, seen.sname.strip(b"\0"), seen.file.strip(b"\0")) == (
        2, "10.5.0.60", "10.5.0.1", b"", b"",
    )  # fmt: skip
    assert (seen.options, lost) == ([(53, b"\2")], [])


@pytest.mark.parametrize(("size", "expected"), [
    (0, 300), (1, 300), (56, 300), (57, 300), (58, 301), (59, 302), (255, 498), (256, 501), (300, 545),
])  # fmt: skip
def test_a_reply_has_300_octets_at_least(size: int, expected: int) -> None:
    wire, lost = packed(reply((224, bytes(size))), 1000)
    assert (len(wire), lost) == (expected, [])
    assert dhcpwire.parse(wire).ended


@pytest.mark.parametrize("size", [256, 510, 511, 600])
def test_long_options_are_cut_into_several(size: int) -> None:
    data = bytes(at % 251 for at in range(size))
    wire, _ = packed(reply((224, data)), 1400)
    options = dhcpwire.parse(wire).options
    assert [len(part) for _, part in options] == [255] * (size // 255) + ([size % 255] if size % 255 else [])
    assert p.dhcp4_unpack(wire).options[224] == data


def sizes(*lengths: int) -> list[tuple[int, bytes]]:
    return [(201 + at, bytes((at + 1,)) * length) for at, length in enumerate(lengths)]


# Lengths of the options 201, 202, ... -> where they stand; a limit of 348 leaves 107 octets, 104 with option 52.
PLACES: list[tuple[str, list[int], dict[str, Any], tuple[str, str, str, list[int]]]] = [
    ("all fit", [105], {}, ("201", "-", "-", [])),
    ("the next goes into file", [100, 10], {}, ("201 52=3", "202", "", [])),
    ("a smaller one still fits", [90, 50, 10], {}, ("201 52=3 203", "202", "", [])),
    ("file, then sname", [100, 120, 50], {}, ("201 52=3", "202", "203", [])),
    ("file to the octet", [100, 125], {}, ("201 52=3", "202", "", [])),
    ("past the octet", [100, 126], {}, ("201 52=3", "", "", [202])),
    ("sname to the octet", [100, 125, 61], {}, ("201 52=3", "202", "203", [])),
    ("past it", [100, 125, 62], {}, ("201 52=3", "202", "", [203])),
    ("several in one field", [100, 30, 30, 30], {}, ("201 52=3", "202 203 204", "", [])),
    ("what is lost does not stop the rest", [100, 130, 50], {}, ("201 52=3", "203", "", [202])),
    ("file is taken", [100, 50], {"file": b"boot"}, ("201 52=2", "'boot", "202", [])),
    ("sname is taken", [100, 50], {"sname": b"srv"}, ("201 52=1", "202", "'srv", [])),
    ("both are taken", [100, 50], {"sname": b"srv", "file": b"boot"}, ("201", "'boot", "'srv", [202])),
    ("a field that is too small", [100, 62], {"file": b"boot"}, ("201 52=2", "'boot", "", [202])),
    ("not allowed", [100, 50, 3], {"overload": False}, ("201 203", "-", "-", [202])),
    ("the option of the relay keeps its room", [90, 10], {"agent": b"relay"}, ("201 52=3 82", "202", "", [])),
    ("and is last", [10], {"agent": b"relay"}, ("201 82", "-", "-", [])),
]  # fmt: skip


@pytest.mark.parametrize(("lengths", "how", "expected"), [row[1:] for row in PLACES], ids=[row[0] for row in PLACES])
def test_where_options_find_room(
    lengths: list[int], how: dict[str, Any], expected: tuple[str, str, str, list[int]]
) -> None:
    how = dict(how)
    overload = how.pop("overload", True)
    wire, lost = packed(reply(*sizes(*lengths), **how), 348, overload)
    seen = dhcpwire.parse(wire)
    assert len(wire) <= 348
    texts = [f"{code}={data[0]}" if code == 52 else str(code) for code, data in seen.options]
    fields = []
    used = (seen.value(52) or b"\0")[0]
    for field, bit in ((seen.file, 1), (seen.sname, 2)):
        if used & bit:
            inside, ended, rest = dhcpwire.parse_options(field)
            assert (ended, rest.strip(b"\0")) == (True, b"")
            fields.append(" ".join(str(code) for code, _ in inside))
        else:
            fields.append("'" + field.rstrip(b"\0").decode() if field.strip(b"\0") else "-")
    assert (" ".join(texts), *fields, lost) == expected


def test_what_was_overloaded_is_read_again() -> None:
    dice = random.Random(23)
    for _ in range(500):
        options = [(code, dice.randbytes(dice.choice((0, 3, 20, 60, 120, 255, 300)))) for code in range(201, 209)]
        limit, agent = dice.choice((300, 348, 548, 1472)), dice.choice((None, b"", b"\1\2ab"))
        wire, lost = packed(reply((53, b"\5"), *options, agent=agent), limit, dice.random() < 0.8)
        assert max(len(wire), 300) <= limit
        seen = p.dhcp4_unpack(wire).options
        kept = {53: b"\5", **{code: data for code, data in options if code not in lost}}
        kept.update({82: agent} if agent is not None else {})
        assert {code: data for code, data in seen.items() if code != 52} == kept
        assert set(lost) | set(seen) >= set(range(201, 209))


@pytest.mark.parametrize(("size", "limit"), [
    (0, 300), (40, 300), (0, 548), (255, 548), (280, 548), (255, 1472), (1000, 1472), (200, 300), (600, 548),
    (2000, 1472),
])  # fmt: skip
def test_a_large_relay_option_harms_nothing(size: int, limit: int) -> None:
    """The message type is what no reply can be without."""
    wire, _ = packed(reply((53, b"\5"), (54, b"\x0a\5\0\1"), (51, bytes(4)), agent=bytes(size)), limit)
    assert len(wire) <= limit
    assert dhcpwire.parse(wire).kind() == "ACK"


# -- names and addresses ------------------------------------

# Option 81 -> its flags, the name.
NAMES: list[tuple[bytes, int, str]] = [
    (b"", 0, ""), (b"\1\0", 0, ""), (b"\1\0\0", 1, ""), (b"\1\0\0pc", 1, "pc"),
    (b"\0\0\0pc.lan.test", 0, "pc.lan.test"),
    (b"\0\0\0pc\0\0", 0, "pc"), (b"\0\0\0.", 0, "."), (b"\0\0\0pc.", 0, "pc."), (b"\x08\xff\xff\xe4", 8, "\xe4"),
    # in wire format, with or without the end
    (b"\5\xff\xff\2pc\0", 5, "pc"), (b"\4\0\0\2pc", 4, "pc"), (b"\4\0\0\2pc\3lan\4test\0", 4, "pc.lan.test"),
    (b"\4\0\0\0", 4, ""), (b"\4\0\0", 4, ""), (b"\4\0\0\3pc", 4, ""), (b"\4\0\0\2pc\0\3abc", 4, "pc"),
    (b"\4\0\0\x3f" + b"x" * 63, 4, "x" * 63), (b"\4\0\0\x40" + b"x" * 64, 4, ""), (b"\4\0\0\xc0\x0c", 4, ""),
    (b"\4\0\0\3a.b\0", 4, "a.b"), (b"\xff\0\0\2pc", 255, "pc"),
]  # fmt: skip


@pytest.mark.parametrize(("data", "flags", "name"), NAMES)
def test_names_of_option_81(data: bytes, flags: int, name: str) -> None:
    assert p.fqdn_unpack(data) == (flags, name)


def test_any_octets_of_option_81() -> None:
    dice = random.Random(81)
    for _ in range(3000):
        flags, name = p.fqdn_unpack(dice.randbytes(dice.randrange(40)))
        assert 0 <= flags < 256
        assert all(ord(letter) < 256 for letter in name)


@pytest.mark.parametrize("text", ["0.0.0.0", "10.5.0.60", "255.255.255.255", "192.0.2.1", "1.2.3.4"])
def test_addresses(text: str) -> None:
    assert p.ip4_format(number(text)) == text
    assert p.ip4_number(number(text).to_bytes(4, "big")) == number(text)


# The constants, by the names of the registry (15).
CONSTANTS = """NETMASK=netmask ROUTER=router DNS=dns-server HOSTNAME=hostname DOMAIN=domain-name BROADCAST=broadcast
VENDOR=vendor-encap REQUESTED=requested-address LEASE=lease-time OVERLOAD=option-overload TYPE=message-type
SERVER_ID=server-identifier PARAMETERS=parameter-request MESSAGE=message MAX_SIZE=max-message-size T1=T1 T2=T2
VENDOR_CLASS=vendor-class CLIENT_ID=client-id SNAME=tftp-server FILE=bootfile-name USER_CLASS=user-class
RAPID_COMMIT=rapid-commit FQDN=FQDN AGENT=agent-info LAST_TRANSACTION=last-transaction ASSOCIATED=associated-ip
ARCH=client-arch SUBNET=subnet-select VI_INFO=vendor-id-encap NEXT_SERVER=server-ip-address"""


@pytest.mark.parametrize(("constant", "name"), [pair.split("=") for pair in CONSTANTS.split()])
def test_numbers_of_options_are_those_of_the_registry(constant: str, name: str) -> None:
    row = p.dhcp_option_find(4, name)
    assert row is not None
    assert row.number == getattr(p, f"OPT_{constant}")


def test_numbers_of_messages() -> None:
    for name, kind in dhcpwire.TYPES.items():
        assert getattr(p, f"DHCP_{name}") == kind


# -- nothing else than WireError ------------------------------------


def test_any_octets_are_a_message_or_an_error() -> None:
    dice = random.Random(2131)
    good = message((53, b"\1"), (55, b"\1\3\6"), (12, b"pc"), (82, b"\1\2ab"), (52, b"\3"), (61, b"\1abc")).pack()
    values = errors = 0
    for _ in range(10_000):
        if dice.random() < 0.1:
            wire = dice.randbytes(dice.randrange(400))
        else:
            out = bytearray(good + dice.randbytes(dice.randrange(30)))
            for _ in range(dice.randrange(8)):
                out[dice.randrange(len(out))] = dice.randrange(256)
            wire = bytes(out[: dice.randrange(len(out))] if dice.random() < 0.2 else out)
        try:
            seen = p.dhcp4_unpack(wire)
        except p.WireError:
            errors += 1
            continue
        values += 1
        assert len(seen.hardware) == seen.hlen <= 16
        assert sum(map(len, seen.options.values())) <= len(wire)
        again, lost = packed(p.Dhcp4Reply(seen), 548)
        assert (len(again), lost) == (300, [])
    assert min(values, errors) > 500
