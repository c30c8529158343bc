"""Section 21: the insides of records: names in them, strings, addresses, texts for the log."""

from __future__ import annotations

import ipaddress
import random
import struct
from typing import Any

import pytest

import dnswire
from packets import check_total, damaged, noise, octets
from pydnsmasq import (
    RR_LAYOUTS,
    RR_TYPES,
    RdataTypes,
    WireError,
    address_format,
    address_in,
    address_parse,
    dns_name_parse,
    dns_name_read,
    rdata_expand,
    rdata_log,
    rdata_names,
    rdata_soa,
    rdata_strings,
    rdata_strings_read,
)

# -- which types hold names -------------------------------------------------------------

# RFC 3597 s.4: the types of RFC 1035 whose names may be compressed, and those
# whose names are read compressed but never written so.
COMPRESSIBLE = "NS MD MF CNAME SOA MB MG MR PTR MINFO MX"
READ_ONLY = "RP AFSDB RT SIG PX NXT NAPTR KX SRV DNAME RRSIG NSEC"


def test_layouts_are_those_of_the_rfc() -> None:
    layouts = {code for code, layout in RR_LAYOUTS.items() if "n" in layout}
    assert layouts == {RR_TYPES[name] for name in COMPRESSIBLE.split()}
    others = {code for code, layout in RR_LAYOUTS.items() if "u" in layout}
    assert others == {RR_TYPES[name] for name in READ_ONLY.split()}
    assert not layouts & others
    for layout in RR_LAYOUTS.values():
        assert all(part in ("n", "u", "s") or (isinstance(part, int) and part > 0) for part in layout)


@pytest.mark.parametrize("name", "A TXT HINFO AAAA SVCB HTTPS NSEC3 DS DNSKEY TLSA CAA URI NULL OPT TSIG".split())
def test_types_that_are_carried_as_they_are(name: str) -> None:
    assert RR_TYPES[name] not in RR_LAYOUTS
    data = b"\xc0\0\xc0\xff\xff"
    assert rdata_expand(data, 0, 4, RR_TYPES[name], {}) == data[:4]
    assert rdata_names(data, RR_TYPES[name]) == []


# Before the data stand two names: at 0 `example.com`, at 13 `www.example.com`.
BEFORE = octets("'example 'com 00 'www c000")

# type, data, expanded, its names as text; a row may go on, indented
EXPANDED = """
NS     'ns1 c000            | 'ns1 'example 'com 00                           | ns1.example.com
NS     c00d                 | 'www 'example 'com 00                           | www.example.com
NS     00                   | 00                                              | .
CNAME  'Mixed c008          | 'Mixed 'com 00                                  | Mixed.com
PTR    'host 'lan 00        | 'host 'lan 00                                   | host.lan
DNAME  c008                 | 'com 00                                         | com
MX     000a 'mail c000      | 000a 'mail 'example 'com 00                     | mail.example.com
MX     0000 00              | 0000 00                                         | .
SOA    'ns c000 'root c000 00000001 00000e10 00000258 00015180 0000003c
       | 'ns 'example 'com 00 'root 'example 'com 00 00000001 00000e10 00000258 00015180 0000003c
       | ns.example.com root.example.com
MINFO  c000 c00d            | 'example 'com 00 'www 'example 'com 00          | example.com www.example.com
RP     c000 00              | 'example 'com 00 00                             | example.com .
AFSDB  0001 c000            | 0001 'example 'com 00                           | example.com
RT     0001 c00d            | 0001 'www 'example 'com 00                      | www.example.com
KX     0001 c000            | 0001 'example 'com 00                           | example.com
PX     0001 c000 c008       | 0001 'example 'com 00 'com 00                   | example.com com
SRV    0000 0005 13c4 'sip c000 | 0000 0005 13c4 'sip 'example 'com 00        | sip.example.com
NAPTR  0064 0032 's 'SIP+D2T 00 '_sip c000
       | 0064 0032 's 'SIP+D2T 00 '_sip 'example 'com 00 | _sip.example.com
NAPTR  0064 0032 00 00 '!^.*$!sip:a@b! 00 | 0064 0032 00 00 '!^.*$!sip:a@b! 00 | .
RRSIG  00010802 00000e10 5f000000 5e000000 1234 c000 aabbccdd
       | 00010802 00000e10 5f000000 5e000000 1234 'example 'com 00 aabbccdd | example.com
SIG    00010802 00000e10 5f000000 5e000000 1234 c000
       | 00010802 00000e10 5f000000 5e000000 1234 'example 'com 00 | example.com
NSEC   c00d 0006400000000003 | 'www 'example 'com 00 0006400000000003         | www.example.com
NXT    c000 6000000a        | 'example 'com 00 6000000a                       | example.com
"""


def expanded_rows() -> list[tuple[str, bytes, bytes, list[str]]]:
    out = []
    for line in EXPANDED.strip().replace("\n  ", " ").splitlines():
        first, whole, names = line.split("|")
        rrtype, data = first.split(None, 1)
        out.append((rrtype, octets(data), octets(whole), names.split()))
    return out


ROWS = expanded_rows()
IDS = [f"{row[0]} {' '.join(row[3])}" for row in ROWS]


@pytest.mark.parametrize(("rrtype", "data", "whole", "names"), ROWS, ids=IDS)
def test_expand(rrtype: str, data: bytes, whole: bytes, names: list[str]) -> None:
    code = RR_TYPES[rrtype]
    message = BEFORE + data + b"\xee" * 9  # what follows does not belong to it
    memo: dict[int, Any] = {}
    for at in (0, 13, 0):  # with nothing, one name and both names read before
        assert rdata_expand(message, len(BEFORE), len(data), code, memo.copy()) == whole
        dns_name_read(message, at, memo)
    assert rdata_expand(whole, 0, len(whole), code, {}) == whole
    spans = rdata_names(whole, code)
    assert [whole[start:end] for start, end, _ in spans] == [dns_name_parse(name) for name in names]
    assert {may for *_, may in spans} == {rrtype in COMPRESSIBLE.split()}


@pytest.mark.parametrize(("rrtype", "data", "whole", "names"), ROWS, ids=IDS)
def test_data_cut_anywhere(rrtype: str, data: bytes, whole: bytes, names: list[str]) -> None:
    """Whether the message ends or only the record, a part that is needed is missed."""
    code = RR_TYPES[rrtype]
    needed = len(data) - {"RRSIG": 4, "NSEC": 8, "NXT": 4}.get(rrtype, 0)
    for size in range(needed):
        for message in (BEFORE + data[:size], BEFORE + data):
            with pytest.raises(WireError):
                rdata_expand(message, len(BEFORE), size, code, {})
    for size in range(needed, len(data) + 1):
        rdata_expand(BEFORE + data[:size], len(BEFORE), size, code, {})


def test_expanded_data_still_fits_a_record() -> None:
    """A record's length is 16 bits: data that grows over them when its name is written out is refused."""
    name = octets(f"'{'l' * 63}*3 '{'l' * 61} 00")
    for rrtype, head in (("NSEC", b""), ("MX", b"\0\1"), ("RRSIG", b"s" * 18), ("NS", b"")):
        start = len(name)
        for rest, good in ((60_000, True), (65_535 - len(head) - 255, True), (65_536 - len(head) - 255, False)):
            data = head + b"\xc0\0" + b"x" * rest
            message = name + data
            if good:
                whole = rdata_expand(message, start, len(data), RR_TYPES[rrtype], {})
                assert len(whole) == len(head) + 255 + rest
            else:
                with pytest.raises(WireError):
                    rdata_expand(message, start, len(data), RR_TYPES[rrtype], {})


def expand_as(rrtype: int) -> Any:
    def unpack(message: bytes) -> None:
        whole = rdata_expand(message, len(BEFORE), max(0, len(message) - len(BEFORE)), rrtype, {})
        if len(message) < len(BEFORE):
            raise WireError("too short to count")
        # What was expanded is sound: its names are found, and expanding again changes nothing.
        for start, end, _ in rdata_names(whole, rrtype):
            assert dnswire.pack_name(dnswire.unpack_name(whole, start)[0]) == whole[start:end]
        assert rdata_expand(whole, 0, len(whole), rrtype, {}) == whole

    return unpack


@pytest.mark.parametrize("rrtype", sorted(RR_LAYOUTS))
def test_expanding_is_total(rrtype: int) -> None:
    samples = [BEFORE + data for name, data, _, _ in ROWS if RR_TYPES[name] == rrtype] or [BEFORE + b"\xc0\0"]
    values, errors = check_total(expand_as(rrtype), damaged(samples, 1200, 2100 + rrtype))
    assert values > 10
    assert errors > 10
    check_total(expand_as(rrtype), (BEFORE + tail for tail in noise(600, 40, 2200 + rrtype)))


@pytest.mark.parametrize("rrtype", sorted(RR_LAYOUTS))
def test_looking_for_names_is_total(rrtype: int) -> None:
    """Data of records of one's own (dns-rr) is whatever its owner wrote: dnsmasq serves it as it is."""

    def look(data: bytes) -> None:
        at = 0
        for start, end, _ in rdata_names(data, rrtype):
            assert at <= start < end <= len(data)
            at = end

    samples = [whole for name, _, whole, _ in ROWS if RR_TYPES[name] == rrtype] or [b"\1a\0"]
    check_total(look, damaged(samples, 600, 2300 + rrtype))
    check_total(look, noise(300, 30, 2400 + rrtype))


# -- character strings --------------------------------------------------------------------

STRINGS: list[tuple[list[bytes], str]] = [
    ([], ""),
    ([b""], "00"),
    ([b"", b""], "00 00"),
    ([b"a"], "'a"),
    ([b"abc", b"de"], "'abc 'de"),
    ([b"x" * 255], "ff" + "78" * 255),
    ([b"x" * 256], "ff" + "78" * 255 + "0178"),
    ([b"x" * 510], ("ff" + "78" * 255) * 2),
    ([b"x" * 511, b"", b"y"], ("ff" + "78" * 255) * 2 + "0178 00 0179"),
    ([b"\0\xff"], "0200ff"),
]


@pytest.mark.parametrize(("strings", "wire"), STRINGS, ids=lambda item: str(item)[:30])
def test_strings(strings: list[bytes], wire: str) -> None:
    data = octets(wire)
    assert rdata_strings(strings) == data
    pieces = [text[at : at + 255] for text in strings for at in (range(0, len(text), 255) if text else (0,))]
    assert rdata_strings_read(data) == pieces
    assert b"".join(rdata_strings_read(data)) == b"".join(strings)


def test_strings_both_ways() -> None:
    rng = random.Random(210)
    for _ in range(2000):
        strings = [rng.randbytes(rng.randrange(256)) for _ in range(rng.randrange(6))]
        assert rdata_strings_read(rdata_strings(strings)) == strings


@pytest.mark.parametrize("wire", ["01", "05 6162", "'a 05 62", "ff"])
def test_strings_that_are_cut_short(wire: str) -> None:
    """What is there is shown; nothing is read twice and nothing fails."""
    data = octets(wire)
    texts = rdata_strings_read(data)
    assert sum(map(len, texts)) + len(texts) == len(data)


def test_reading_strings_is_total() -> None:
    for data in noise(20_000, 60, 211):
        texts = rdata_strings_read(data)
        assert sum(map(len, texts)) + len(texts) == len(data)


# -- type bitmaps -------------------------------------------------------------------------

# Bitmap, its types.  The third is the example of RFC 4034 s.4.3.
BITMAPS: list[tuple[str, list[int]]] = [
    ("", []),
    ("00 01 40", [1]),
    ("00 06 40 01 00 00 00 03 04 1b 00*26 20", [1, 15, 46, 47, 1234]),
    ("00 01 80", [0]),
    ("00 20 00*31 01", [255]),
    ("ff 20 00*31 01", [65535]),
    ("00 01 01 01 01 01 ff 01 01", [7, 263, 65287]),
    ("00 01 00", []),  # no bit: a server that wastes octets
]
MALFORMED = ["00", "00 00", "00 21 00*33", "00 20 00*31", "00 02 40", "00 01 40 00 01 40", "01 01 40 00 01 40",
             "00 01 40 01", "00 01 40 01 00", "00 ff 40"]  # fmt: skip


@pytest.mark.parametrize(("wire", "types"), BITMAPS)
def test_bitmaps(wire: str, types: list[int]) -> None:
    assert {one for one in range(65536) if one in RdataTypes(octets(wire))} == set(types)


@pytest.mark.parametrize("wire", MALFORMED)
def test_malformed_bitmaps(wire: str) -> None:
    with pytest.raises(WireError):
        RdataTypes(octets(wire))


def test_reading_bitmaps_is_total() -> None:
    samples = [octets(wire) for wire, _ in BITMAPS if wire]
    values, errors = check_total(RdataTypes, [*damaged(samples, 4000, 46), *noise(1000, 60, 47)])
    assert values > 100 < errors


# -- SOA --------------------------------------------------------------------------------------


def test_soa() -> None:
    data = rdata_soa(b"\2ns\0", b"\4root\0", 2024010101, 1200, 180, 1209600, 600)
    assert data == octets("'ns 00 'root 00 78a3f175 000004b0 000000b4 00127500 00000258")
    assert dnswire.pack_rdata("SOA", "ns root 2024010101 1200 180 1209600 600") == data


def test_soa_serial_wraps() -> None:
    """RFC 1982: serials count modulo 2**32."""
    for serial in (0, 0xFFFFFFFF, 0x100000000, 0x1FFFFFFFF, -1):
        assert rdata_soa(b"\0", b"\0", serial, 0, 0, 0, 0)[2:6] == struct.pack("!I", serial % 2**32)


# -- addresses ----------------------------------------------------------------------------------

PARSED = """
0.0.0.0              00000000
127.0.0.1            7f000001
255.255.255.255      ffffffff
::                   00000000000000000000000000000000
::1                  00000000000000000000000000000001
fe80::1              fe800000000000000000000000000001
2001:db8::A          20010db800000000000000000000000a
::ffff:1.2.3.4       00000000000000000000ffff01020304
1:2:3:4:5:6:7:8      00010002000300040005000600070008
"""
NO_ADDRESSES = [
    "", ".", ":", "1", "1.2.3", "1.2.3.4.5", "1.2.3.256", "1.2.3.-4", "1.2.3.4 ", " 1.2.3.4", "1.2.3.4\0", "1.2.3.4/8",
    "a.b.c.d", ":::", "::1::", "1:2:3:4:5:6:7", "1:2:3:4:5:6:7:8:9", "fe80::1%lo", "::g", "12345::", "[::1]", "::1\n",
    "1.2.3.4\n", "\u0661.2.3.4", "\ud800", "\udc80::", "x" * 100_000, "0x7f.0.0.1", "127.1",
]  # fmt: skip


@pytest.mark.parametrize("line", PARSED.strip().splitlines())
def test_address_both_ways(line: str) -> None:
    text, packed = line.split()
    assert address_parse(text) == bytes.fromhex(packed)
    assert address_format(bytes.fromhex(packed)) == text.lower()


@pytest.mark.parametrize("text", NO_ADDRESSES, ids=lambda text: ascii(text[:20]))
def test_no_address(text: str) -> None:
    assert address_parse(text) is None


def test_addresses_agree_with_another_library() -> None:
    rng = random.Random(212)
    for size in (4, 16):
        for _ in range(2000):
            packed = bytes(rng.choice((0, 0, 1, 255, rng.randrange(256))) for _ in range(size))
            text = address_format(packed)
            assert ipaddress.ip_address(text).packed == packed
            assert address_parse(text) == packed


NETWORKS = """
10.0.0.1        10.0.0.0       8    in
10.0.0.1        10.0.0.0       32   out
10.0.0.1        10.0.0.1       32   in
10.0.0.1        10.9.9.9       8    in
11.0.0.1        10.9.9.9       8    out
1.2.3.4         0.0.0.0        0    in
172.31.255.255  172.16.0.0     12   in
172.32.0.0      172.16.0.0     12   out
192.168.1.129   192.168.1.128  25   in
192.168.1.127   192.168.1.128  25   out
fe80::1         fe80::         10   in
febf::1         fe80::         10   in
fec0::1         fe80::         10   out
::1             ::             0    in
::1             ::1            128  in
::2             ::1            128  out
1.2.3.4         ::             0    out
::1             0.0.0.0        0    out
::ffff:1.2.3.4  1.2.3.4        32   out
"""


@pytest.mark.parametrize("line", NETWORKS.strip().splitlines())
def test_address_in(line: str) -> None:
    address, network, prefix, verdict = line.split()
    packed = [ipaddress.ip_address(text).packed for text in (address, network)]
    assert address_in(packed[0], packed[1], int(prefix)) == (verdict == "in")


def test_address_in_agrees_with_another_library() -> None:
    rng = random.Random(213)
    hits = 0
    for _ in range(3000):
        size = rng.choice((4, 16))
        address, prefix = rng.randbytes(size), rng.randrange(size * 8 + 1)
        network = bytearray(address)
        network[rng.randrange(size)] ^= 1 << rng.randrange(8)
        parent = ipaddress.ip_network((bytes(network), prefix), strict=False)
        expected = ipaddress.ip_address(address) in parent
        hits += expected
        assert address_in(address, bytes(network), prefix) == expected
    assert 500 < hits < 2500


# -- what the log shows ------------------------------------------------------------------------------

LOGGED: list[tuple[str, str, list[str]]] = [
    ("A", "7f000001", ["127.0.0.1"]),
    ("A", "7f0000", ["<A>"]),
    ("A", "", ["<A>"]),
    ("A", "00*16", ["<A>"]),
    ("AAAA", "00*15 01", ["::1"]),
    ("AAAA", "7f000001", ["<AAAA>"]),
    ("TXT", "'abc 'de", ["abc", "de"]),
    ("TXT", "00", [""]),
    ("TXT", "", []),
    ("PTR", "'Host 'LAN 00", ["host.lan"]),
    ("PTR", "00", ["."]),
    ("PTR", "'a.b 00", ["<name unprintable>"]),
    ("MX", "000a 'm 00", ["<MX>"]),
    ("SOA", "", ["<SOA>"]),
    ("HTTPS", "0001 00", ["<HTTPS>"]),
]


@pytest.mark.parametrize(("rrtype", "wire", "texts"), LOGGED)
def test_log(rrtype: str, wire: str, texts: list[str]) -> None:
    assert rdata_log(octets(wire), RR_TYPES[rrtype]) == texts


def test_log_of_a_type_without_a_name() -> None:
    assert rdata_log(b"", 65280) == ["<type=65280>"]


def test_log_is_total_and_fit_for_a_terminal() -> None:
    """Text of foreign records has no control characters, whatever they hold."""
    for number, data in enumerate(noise(6000, 40, 214)):
        for text in rdata_log(data, (1, 28, 16, 6, 15, 33, 65, 47, 46)[number % 9]):
            assert text == "" or text.isprintable(), text


def test_log_of_a_name_that_is_none() -> None:
    """A PTR record given as dns-rr may hold anything."""
    for data in (b"", b"\5ab", b"\xc0\x0c", b"\1a"):
        assert len(rdata_log(data, RR_TYPES["PTR"])) == 1
