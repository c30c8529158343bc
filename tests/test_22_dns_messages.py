"""Section 22: whole messages from bytes and back, with EDNS, cut, damaged, compressed and large."""

from __future__ import annotations

import random
import struct
from typing import Any

import pytest

import dnswire
from packets import CountedBytes, captures, check_total, damaged, noise, octets
from pydnsmasq import (
    CLASS_IN,
    DNS_RECORDS_MAX,
    DnsMessage,
    DnsQuery,
    DnsRecord,
    DnsWriter,
    WireError,
    dns_header_reply,
    dns_message_unpack,
    dns_name_format,
    dns_name_parse,
    dns_query_unpack,
    dns_ttl_offsets,
    edns_options_unpack,
    edns_pack,
    rr_type_name,
)

# -- queries ---------------------------------------------------------------------------

# Captures of queries, and what is in them: name type class flags size do version options signed
QUERIES = """
== plain
1234 0100 0001 0000 0000 0000  'www 'example 'com 00  0001 0001
--
www.example.com A 1 0100 size=0 do=0 v=0

== the case is kept
0000 0110 0001 0000 0000 0000  'WwW 'ExAmPlE 00  001c 0001
--
WwW.ExAmPlE AAAA 1 0110 size=0 do=0 v=0

== root
ffff 0000 0001 0000 0000 0000  00  0002 0001
--
. NS 1 0000 size=0 do=0 v=0

== class CH
0001 0100 0001 0000 0000 0000  'version 'bind 00  0010 0003
--
version.bind TXT 3 0100 size=0 do=0 v=0

== EDNS, as dig sends it
00aa 0120 0001 0000 0000 0001  'a 00  0001 0001  00 0029 04d0 00008000 000c 000a 0008 0102030405060708
--
a A 1 0120 size=1232 do=1 v=0 10=0102030405060708

== EDNS, as a stub resolver sends it
00aa 0100 0001 0000 0000 0001  'a 00  0001 0001  00 0029 1000 00000000 0000
--
a A 1 0100 size=4096 do=0 v=0

== EDNS with several options, one twice, one empty
00aa 0100 0001 0000 0000 0001  'a 00  0001 0001
00 0029 0200 00000000 0019  0008 0007 00011800c00002  000c 0000  fde9 0002 aabb  fde9 0000
--
a A 1 0100 size=512 do=0 v=0 8=00011800c00002 12= 65001=aabb 65001=

== EDNS with a size under the least (RFC 6891 s.6.2.3: as 512)
00aa 0100 0001 0000 0000 0001  'a 00  0001 0001  00 0029 0000 00000000 0000
--
a A 1 0100 size=512 do=0 v=0

== EDNS with a size of 511
00aa 0100 0001 0000 0000 0001  'a 00  0001 0001  00 0029 01ff 00000000 0000
--
a A 1 0100 size=512 do=0 v=0

== EDNS with the largest size
00aa 0100 0001 0000 0000 0001  'a 00  0001 0001  00 0029 ffff 00000000 0000
--
a A 1 0100 size=65535 do=0 v=0

== EDNS of version 1, with an upper response code and reserved flags
00aa 0100 0001 0000 0000 0001  'a 00  0001 0001  00 0029 04d0 ff017fff 0000
--
a A 1 0100 size=1232 do=0 v=1

== EDNS whose option runs over the end
00aa 0100 0001 0000 0000 0001  'a 00  0001 0001  00 0029 04d0 00000000 000b  0003 0000  000a 0008 010203
--
a A 1 0100 size=1232 do=0 v=0 3=

== EDNS with three octets too many
00aa 0100 0001 0000 0000 0001  'a 00  0001 0001  00 0029 04d0 00000000 0007  0003 0000  000a00
--
a A 1 0100 size=1232 do=0 v=0 3=

== an address behind the OPT, and one before
00aa 0100 0001 0000 0000 0003  'a 00  0001 0001
c00c 0001 0001 00000000 0004 01020304  00 0029 04d0 00000000 0000  c00c 0001 0001 00000000 0004 01020304
--
a A 1 0100 size=1232 do=0 v=0

== records in the other sections, an OPT among them that is none
00aa 0100 0001 0001 0001 0001  'a 00  0001 0001
c00c 0001 0001 00000000 0004 01020304  00 0029 04d0 00008000 0000  00 0029 0600 00000000 0000
--
a A 1 0100 size=1536 do=0 v=0

== TSIG
00aa 0100 0001 0000 0000 0001  'a 00  0001 0001  'key 00 00fa 00ff 00000000 0003 010203
--
a A 1 0100 size=0 do=0 v=0 signed

== SIG(0) behind an OPT
00aa 0100 0001 0000 0000 0002  'a 00  0001 0001  00 0029 04d0 00000000 0000
00 0018 00ff 00000000 0014 0000 0d 00 00000000 5f000000 5e000000 1234 00 ff
--
a A 1 0100 size=1232 do=0 v=0 signed

== an old SIG that covers A is no signature of the message
00aa 0100 0001 0000 0000 0001  'a 00  0001 0001
00 0018 00ff 00000000 0014 0001 0d 00 00000000 5f000000 5e000000 1234 00 ff
--
a A 1 0100 size=0 do=0 v=0

== octets behind the message
00aa 0100 0001 0000 0000 0000  'a 00  0001 0001  dead beef
--
a A 1 0100 size=0 do=0 v=0

== label octets of every kind
00aa 0100 0001 0000 0000 0000  0400ff2e5c 'b 00  fffe fffd
--
\\000\\255\\.\\\\.b type=65534 65533 0100 size=0 do=0 v=0
"""
QUERY_CAPTURES = captures(QUERIES)


def query_text(query: DnsQuery) -> str:
    words = [
        dns_name_format(query.name), rr_type_name(query.rrtype), str(query.rrclass), f"{query.flags:04x}",
        f"size={query.udp_size}", f"do={int(query.do)}",
    ]  # fmt: skip
    words += [f"v={getattr(query, 'edns_version', 0)}"]
    words += [f"{code}={data.hex()}" for code, data in query.options]
    return " ".join(words + (["signed"] if query.signed else []))


@pytest.mark.parametrize("title", QUERY_CAPTURES)
def test_query(title: str) -> None:
    wire, (text,) = QUERY_CAPTURES[title]
    query = dns_query_unpack(wire)
    if not hasattr(query, "edns_version"):
        text = text.replace("v=1", "v=0")
    assert query_text(query) == text
    assert query.wire == wire
    assert query.id == wire[:2]
    assert query.key == query.name.lower()
    assert wire[12 : query.question_end] == query.name + struct.pack("!HH", query.rrtype, query.rrclass)
    for code in {code for code, _ in query.options}:
        assert query.option(code) == next(data for number, data in query.options if number == code)
    assert query.option(4242) is None


@pytest.mark.parametrize("title", QUERY_CAPTURES)
def test_query_cut_anywhere(title: str) -> None:
    wire = QUERY_CAPTURES[title][0].removesuffix(b"\xde\xad\xbe\xef")
    for size in range(12, len(wire)):
        with pytest.raises(WireError):
            dns_query_unpack(wire[:size])


def test_query_shorter_than_a_header() -> None:
    for size in range(12):
        with pytest.raises(WireError):
            dns_query_unpack(b"\0" * size)


HEAD = "00aa 0100 0001 0000 0000 0000"
LONG = "'" + "l" * 63
BAD_QUERIES = {
    "nothing behind the header": HEAD,
    "a name without end": f"{HEAD} 'a",
    "a name alone": f"{HEAD} 'a 00",
    "half a type": f"{HEAD} 'a 00 00",
    "half a class": f"{HEAD} 'a 00 0001 00",
    "a pointer": f"{HEAD} c00c 0001 0001",
    "a pointer behind a label": f"{HEAD} 'a c00c 0001 0001",
    "an extended label": f"{HEAD} 41 00*9 0001 0001",
    "a reserved label": f"{HEAD} 80 00*200 0001 0001",
    "a label of 64": f"{HEAD} 40 61*64 00 0001 0001",
    "a name of 256 octets": f"{HEAD} {LONG}*3 '{'l' * 62} 00 0001 0001",
    "a name of a thousand octets": f"{HEAD} {LONG}*16 00 0001 0001",
    "a record that is not there": "00aa 0100 0001 0000 0000 0001 'a 00 0001 0001",
    "an answer that is not there": "00aa 0100 0001 0001 0000 0000 'a 00 0001 0001",
    "65535 records that are not there": "00aa 0100 0001 ffff ffff ffff 'a 00 0001 0001",
    "a record with a name that loops": "00aa 0100 0001 0000 0000 0001 'a 00 0001 0001 c013 0001 0001 00000000 0000",
    "a record with a forward pointer": "00aa 0100 0001 0000 0000 0001 'a 00 0001 0001 c014 0000 0001 00000000 0000",
    "a record that runs over the end": "00aa 0100 0001 0000 0000 0001 'a 00 0001 0001 00 0029 04d0 00000000 0001",
    "a record without a length": "00aa 0100 0001 0000 0000 0001 'a 00 0001 0001 00 0029 04d0 00000000",
}


@pytest.mark.parametrize("wire", BAD_QUERIES.values(), ids=BAD_QUERIES)
def test_bad_query(wire: str) -> None:
    with pytest.raises(WireError):
        dns_query_unpack(octets(wire))


def test_the_longest_question() -> None:
    query = dns_query_unpack(octets(f"{HEAD} {LONG}*3 '{'l' * 61} 00 0001 0001"))
    assert len(query.name) == 255
    assert query.question_end == 12 + 255 + 4


def test_two_opts_are_refused() -> None:
    """RFC 6891 s.6.1.1: FORMERR."""
    opt = "00 0029 04d0 00000000 0000"
    wire = octets(f"00aa 0100 0001 0000 0000 0002 'a 00 0001 0001 {opt} {opt}")
    with pytest.raises(WireError):
        dns_query_unpack(wire)


def test_an_opt_with_a_name_brings_no_options() -> None:
    """RFC 6891 s.6.1.2: its name is the root."""
    wire = octets("00aa 0100 0001 0000 0000 0001 'a 00 0001 0001 'x 00 0029 04d0 00000000 0004 0003 0000")
    assert dns_query_unpack(wire).options == ()


def test_an_empty_sig_is_no_signature() -> None:
    """Octets behind a record of no octets are not its data."""
    for tail in ("", "0000", "00"):
        wire = octets(f"{HEAD[:-1]}1 'a 00 0001 0001 00 0018 00ff 00000000 0000 {tail}")
        assert not dns_query_unpack(wire).signed


MANY = [(1, True), (1000, True), (DNS_RECORDS_MAX, True), (DNS_RECORDS_MAX + 1, False)]


@pytest.mark.parametrize(("count", "good"), MANY)
def test_a_query_with_many_records(count: int, good: bool) -> None:
    wire = octets(f"{HEAD[:-4]}{count:04x} 'a 00 0001 0001") + octets("c00c 0001 0001 00000000 0000") * count
    if good:
        assert dns_query_unpack(wire).question_end == 19
    else:
        with pytest.raises(WireError):
            dns_query_unpack(wire)


def unpack_any_query(data: bytes) -> None:
    query = dns_query_unpack(data)
    assert 17 <= query.question_end <= len(data)
    assert query.udp_size == 0 or 512 <= query.udp_size <= 65535
    assert len(query.name) <= 255
    dns_name_format(query.name)
    repr(query.options)


def test_unpacking_queries_is_total() -> None:
    samples = [wire for wire, _ in QUERY_CAPTURES.values()]
    whole = (packet for packet in damaged(samples, 30_000, 2201) if len(packet) >= 12)
    values, errors = check_total(unpack_any_query, whole)
    assert values > 5000
    assert errors > 5000
    head = octets("00aa 0100 0001 0000 0000 0001")
    check_total(unpack_any_query, (head + tail for tail in noise(10_000, 60, 2202)))


# -- EDNS ------------------------------------------------------------------------------------

OPTIONS: list[tuple[str, list[tuple[int, str]]]] = [
    ("", []),
    ("00", []),
    ("000a00", []),
    ("000a 0000", [(10, "")]),
    ("000a 0001", []),
    ("000a 0001 ff", [(10, "ff")]),
    ("000a 0001 ff 00", [(10, "ff")]),
    ("000a 0001 ff 0008 0000", [(10, "ff"), (8, "")]),
    ("000a 0001 ff 0008 0002 00", [(10, "ff")]),
    ("ffff ffff", []),
    ("0000 0000 0000 0000", [(0, ""), (0, "")]),
]


@pytest.mark.parametrize(("wire", "options"), OPTIONS)
def test_edns_options(wire: str, options: list[tuple[int, str]]) -> None:
    assert edns_options_unpack(octets(wire)) == tuple((code, bytes.fromhex(data)) for code, data in options)


PACKED = [
    ((1232, False), "00 0029 04d0 00 00 0000 0000"),
    ((4096, True), "00 0029 1000 00 00 8000 0000"),
    ((512, True, [(15, b"\0\x12")]), "00 0029 0200 00 00 8000 0006 000f 0002 0012"),
    ((65535, False, [(8, b""), (10, b"abc")], 1), "00 0029 ffff 01 00 0000 000b 0008 0000 000a 0003 616263"),
    ((1232, False, (), 255), "00 0029 04d0 ff 00 0000 0000"),
]


@pytest.mark.parametrize(("arguments", "wire"), PACKED)
def test_edns_pack(arguments: tuple[Any, ...], wire: str) -> None:
    assert edns_pack(*arguments) == octets(wire)


def test_edns_both_ways() -> None:
    rng = random.Random(220)
    for _ in range(3000):
        options = tuple((rng.randrange(65536), rng.randbytes(rng.randrange(20))) for _ in range(rng.randrange(5)))
        size, do, high = rng.randrange(65536), rng.random() < 0.5, rng.randrange(256)
        opt = edns_pack(size, do, options, high)
        assert edns_options_unpack(opt[11:]) == options
        query = dns_query_unpack(octets("00aa 0100 0001 0000 0000 0001 'a 00 0001 0001") + opt)
        assert (query.udp_size, query.do, query.options) == (max(size, 512), do, options)
        message = dns_message_unpack(octets("00aa 8183 0001 0000 0000 0001 'a 00 0001 0001") + opt)
        assert message.rcode == high << 4 | 3
        parsed = dnswire.parse(octets("00aa 8183 0000 0000 0000 0001") + opt)
        assert (parsed.edns_size, tuple(parsed.edns_options)) == (size, options)


def test_edns_options_of_noise() -> None:
    for data in noise(20_000, 30, 2203):
        total = sum(4 + len(value) for _, value in edns_options_unpack(data))
        assert total <= len(data)


# -- replies -----------------------------------------------------------------------------------

# Captures of replies, and their records: section, name, type, class, ttl, data in hex or as text
REPLIES = r"""
== an address
1234 8180 0001 0001 0000 0000  'www 'example 'com 00 0001 0001
c00c 0001 0001 0000012c 0004 5db8d822
--
? www.example.com A 1
1 www.example.com A 1 300 93.184.216.34

== a chain of aliases, each pointing into the one before
1234 8180 0001 0003 0000 0000  'www 'example 'com 00 0001 0001
c00c 0005 0001 00000e10 0006 'cdn c010        # at 33, data at 45
c02d 0005 0001 0000003c 000c '03 'eu 'net 00 00   # one octet too many behind the name
c03f 0001 0001 0000001e 0004 c0000201
--
? www.example.com A 1
1 www.example.com CNAME 1 3600 cdn.example.com
1 cdn.example.com CNAME 1 60 \# 02303302657503 6e657400 00
1 03.eu.net A 1 30 192.0.2.1

== a name that does not exist
1234 8583 0001 0000 0001 0000  'nope 'example 00 0001 0001
c011 0006 0001 00000e10 0020  'ns c011 'root c011  00000001 000004b0 000000b4 00127500 0000003c
--
? nope.example A 1
2 example SOA 1 3600 ns.example root.example 1 1200 180 1209600 60

== mail, with the addresses beside it
1234 8180 0001 0002 0000 0002  'example 00 000f 0001
c00c 000f 0001 00000e10 0006 000a 'a c00c
c00c 000f 0001 00000e10 0006 0014 'b c00c
c027 0001 0001 00000e10 0004 0a000001
c039 001c 0001 00000e10 0010 20010db8 00*11 01
--
? example MX 1
1 example MX 1 3600 10 a.example
1 example MX 1 3600 20 b.example
3 a.example A 1 3600 10.0.0.1
3 b.example AAAA 1 3600 2001:db8::1

== a service, its name compressed although it should not be
1234 8180 0001 0001 0000 0000  '_sip '_tcp 'lan 00 0021 0001
c00c 0021 0001 0000003c 000a  0000 0005 13c4 'x c016
--
? _sip._tcp.lan SRV 1
1 _sip._tcp.lan SRV 1 60 0 5 5060 x.lan

== text with quotes and a zero
1234 8180 0001 0001 0000 0000  't 00 0010 0001
c00c 0010 0001 00000000 0009  'a"b 00 0300ff5c
--
? t TXT 1
1 t TXT 1 0 \# 03612262 00 0300ff5c

== TTLs with the first bit set count as zero (RFC 2181 s.8)
1234 8180 0001 0003 0000 0000  't 00 0001 0001
c00c 0001 0001 7fffffff 0004 01020304
c00c 0001 0001 80000000 0004 01020305
c00c 0001 0001 ffffffff 0004 01020306
--
? t A 1
1 t A 1 2147483647 1.2.3.4
1 t A 1 0 1.2.3.5
1 t A 1 0 1.2.3.6

== EDNS with an extended error and a response code above 15 (BADVERS)
1234 8180 0001 0000 0000 0001  't 00 0001 0001
00 0029 04d0 01 00 8000 0006  000f 0002 0012
--
? t A 1
rcode 16
opt 1232 01008000 000f00020012

== EDNS between two addresses
1234 8180 0001 0000 0000 0003  't 00 0001 0001
c00c 0001 0001 00000001 0004 01020304  00 0029 04d0 00000000 0000  c00c 0001 0001 00000002 0004 01020305
--
? t A 1
3 t A 1 1 1.2.3.4
3 t A 1 2 1.2.3.5
opt 1232 00000000

== no question
1234 8181 0000 0001 0000 0000  't 00 0001 0001 00000001 0004 01020304
--
rcode 1
1 t A 1 1 1.2.3.4

== a header alone
1234 8185 0000 0000 0000 0000
--
rcode 5

== types without a name, no data, class ANY
1234 8180 0001 0002 0000 0000  't 00 00ff 00ff
c00c ff00 0001 00000001 0000
c00c 0001 00ff 00000001 0000
--
? t ANY 255
1 t type=65280 1 1 \#
1 t A 255 1 \#

== the root and its servers
1234 8580 0001 0001 0000 0000  00 0002 0001
00 0002 0001 0007e900 0014 'a 'root-servers 'net 00
--
? . NS 1
1 . NS 1 518400 a.root-servers.net

== signatures and the name that comes next
1234 8180 0001 0000 0002 0000  'b 'example 00 0001 0001
c00c 002f 0001 0000003c 000b  'd c00e 0005 4000000003
c00c 002e 0001 0000003c 0018  002f0802 0000003c 5f000000 5e000000 1234 c00e aabbccdd
--
? b.example A 1
2 b.example NSEC 1 60 \# 0164 076578616d706c65 00 0005 4000000003
2 b.example RRSIG 1 60 \# 002f0802 0000003c 5f000000 5e000000 1234 076578616d706c65 00 aabbccdd

== octets behind the message
1234 8180 0001 0001 0000 0000  't 00 0001 0001  c00c 0001 0001 00000001 0004 01020304 dead beef
--
? t A 1
1 t A 1 1 1.2.3.4

== a pointer at the root of the question
1234 8180 0001 0001 0000 0000  't 00 0001 0001  c00e 0002 0001 00000001 0002 c00e
--
? t A 1
1 . NS 1 1 .
"""
REPLY_CAPTURES = captures(REPLIES)


def expected_data(rrtype: str, text: str) -> bytes:
    """Data as the line of a capture says: hex, or text that the other codec packs."""
    if text.startswith("\\#"):
        return bytes.fromhex(text[2:])
    return dnswire.pack_rdata(rrtype, text)


def expected_record(line: str) -> tuple[Any, ...]:
    section, name, rrtype, rrclass, ttl, *data = line.split(" ", 5)
    code = int(rrtype[5:]) if rrtype.startswith("type=") else dnswire.type_code(rrtype)
    return int(section), dns_name_parse(name), code, int(rrclass), int(ttl), expected_data(rrtype, "".join(data))


def records(message: DnsMessage) -> list[tuple[Any, ...]]:
    return [
        (number, one.name, one.rrtype, one.rrclass, one.ttl, one.rdata)
        for number, section in enumerate((message.answers, message.authority, message.additional), 1)
        for one in section
    ]


@pytest.mark.parametrize("title", REPLY_CAPTURES)
def test_reply(title: str) -> None:
    wire, lines = REPLY_CAPTURES[title]
    message = dns_message_unpack(wire)
    assert message.wire == wire
    assert message.flags == int.from_bytes(wire[2:4], "big")
    assert records(message) == [expected_record(line) for line in lines if line[0] in "123"]
    question = [line for line in lines if line[0] == "?"]
    if question:
        shown = f"? {dns_name_format(message.name)} {rr_type_name(message.rrtype)} {message.rrclass}"
        assert [shown] == question
        assert wire[12 : message.question_end].endswith(struct.pack("!HH", message.rrtype, message.rrclass))
    else:
        assert (message.name, message.rrtype, message.question_end) == (b"\0", 0, 12)
    rcode = [int(line.split()[1]) for line in lines if line.startswith("rcode")]
    assert message.rcode == (rcode[0] if rcode else message.flags & 15)
    opts = [line.split()[1:] for line in lines if line.startswith("opt")]
    if opts:
        opt = message.opt
        assert opt is not None
        assert [str(opt.rrclass), f"{opt.ttl:08x}", *([opt.rdata.hex()] if opt.rdata else [])] == opts[0]
    else:
        assert message.opt is None
    assert message.end == len(wire.removesuffix(b"\xde\xad\xbe\xef"))


@pytest.mark.parametrize("title", REPLY_CAPTURES)
def test_places_of_records(title: str) -> None:
    """Records stand one behind the other, from the question to the end."""
    message = dns_message_unpack(REPLY_CAPTURES[title][0])
    every = [*message.answers, *message.authority, *message.additional, *([message.opt] if message.opt else [])]
    at = message.question_end
    for one in sorted(every, key=lambda one: one.start):
        assert one.start == at
        at = one.end
    assert at == message.end


@pytest.mark.parametrize("title", REPLY_CAPTURES)
def test_reply_cut_anywhere(title: str) -> None:
    wire = REPLY_CAPTURES[title][0].removesuffix(b"\xde\xad\xbe\xef")
    for size in range(len(wire)):
        with pytest.raises(WireError):
            dns_message_unpack(wire[:size])


BAD_REPLIES = {
    "two questions": "1234 8180 0002 0000 0000 0000 't 00 0001 0001 't 00 0001 0001",
    "65535 questions": "1234 8180 ffff 0000 0000 0000 't 00 0001 0001",
    "65535 of everything": "1234 8180 0001 ffff ffff ffff 't 00 0001 0001",
    "a question that loops": "1234 8180 0001 0000 0000 0000 c00c 0001 0001",
    "an owner that loops": "1234 8180 0001 0001 0000 0000 't 00 0001 0001 c013 0001 0001 00000000 0000",
    "an owner that points into its record": "1234 8180 0001 0001 0000 0000 't 00 0001 0001 "
    "c01d 0001 0001 00000000 0001 00",
    "data that loops": "1234 8180 0001 0001 0000 0000 't 00 0001 0001 c00c 0005 0001 00000000 0002 c01f",
    "an alias without data": "1234 8180 0001 0001 0000 0000 't 00 0001 0001 c00c 0005 0001 00000000 0000",
    "an alias that runs over its record": "1234 8180 0001 0002 0000 0000 't 00 0001 0001 "
    "c00c 0005 0001 00000000 0001 'abc 00 00 0001 0001 00000000 0000",
    "an alias whose pointer is cut by its record": "1234 8180 0001 0001 0000 0000 't 00 0001 0001 "
    "c00c 0005 0001 00000000 0001 c00c",
    "an MX without a name": "1234 8180 0001 0001 0000 0000 't 00 0001 0001 c00c 000f 0001 00000000 0002 000a",
    "an SOA without its times": "1234 8180 0001 0000 0001 0000 't 00 0001 0001 c00c 0006 0001 00000000 0004 c00c c00c",
    "an SRV of three octets": "1234 8180 0001 0001 0000 0000 't 00 0001 0001 c00c 0021 0001 00000000 0003 000000",
    "a NAPTR whose string is too long": "1234 8180 0001 0001 0000 0000 't 00 0001 0001 "
    "c00c 0023 0001 00000000 0007 0001 0001 ff 00 00",
    "an RRSIG without a signer": "1234 8180 0001 0001 0000 0000 't 00 0001 0001 c00c 002e 0001 00000000 0012 00*18",
    "a name of 256 octets by pointers": f"1234 8180 0001 0001 0000 0000 {LONG}*3 00 0001 0001 "
    f"'{'l' * 62} c00c 0001 0001 00000000 0000",
}


@pytest.mark.parametrize("wire", BAD_REPLIES.values(), ids=BAD_REPLIES)
def test_bad_reply(wire: str) -> None:
    with pytest.raises(WireError):
        dns_message_unpack(octets(wire))


def test_a_record_that_grows_over_its_length() -> None:
    """65,535 octets hold a record whose data, names written out, is longer than a record can be."""
    head = octets(f"1234 8180 0001 0001 0000 0000 {LONG}*3 '{'l' * 61} 00 0001 0001 c00c 002f 0001 00000000")
    data = b"\xc0\x0c" + b"\x01" * (65_535 - len(head) - 4)
    wire = head + struct.pack("!H", len(data)) + data
    assert len(wire) == 65_535
    try:
        message = dns_message_unpack(wire)
    except WireError:
        return
    writer = DnsWriter(wire[12 : message.question_end], message.name)
    for _, name, rrtype, rrclass, ttl, rdata in records(message):
        writer.add(1, name, rrtype, rrclass, ttl, rdata)


@pytest.mark.parametrize(("count", "good"), MANY)
def test_a_reply_with_many_records(count: int, good: bool) -> None:
    wire = octets(f"1234 8180 0001 {count:04x} 0000 0000 't 00 0001 0001")
    wire += b"".join(octets("c00c 0001 0001 0000003c 0000") for _ in range(count))
    if good:
        assert len(dns_message_unpack(wire).answers) == count
        assert len(dns_ttl_offsets(wire)) == count
    else:
        with pytest.raises(WireError):
            dns_message_unpack(wire)


def test_the_hardest_message_takes_a_bounded_number_of_looks() -> None:
    """Thousands of records whose names all point at the same long one."""
    wire = bytearray(octets("1234 8180 0001 0000 0000 0000 't 00 0001 0001"))
    chain = octets("'a*126 00")
    wire += b"\0" + struct.pack("!HHIH", 16, 1, 60, len(chain)) + chain
    pointer = struct.pack("!H", 0xC000 | (len(wire) - len(chain)))
    count = 1
    while count < DNS_RECORDS_MAX and len(wire) + 16 <= 65_535:
        wire += pointer + struct.pack("!HHIH", 14, 1, 60, 4) + pointer * 2
        count += 1
    struct.pack_into("!H", wire, 6, count)
    counted = CountedBytes(wire)
    assert len(dns_message_unpack(counted).answers) == count
    assert counted.reads < count * 3 * 4 + 500


def unpack_any_reply(data: bytes) -> None:
    message = dns_message_unpack(data)
    assert 12 <= message.question_end <= message.end <= len(data)
    assert 0 <= message.rcode < 4096
    for one in [*message.answers, *message.authority, *message.additional]:
        assert len(one.name) <= 255
        assert one.ttl <= 0x7FFFFFFF or one.rrtype == 41
        assert repr(one)
    if len(data) < 400:
        again(message)


def again(message: DnsMessage) -> None:
    """Pack a message anew and read it back: the same records."""
    question = message.name + struct.pack("!HH", message.rrtype, message.rrclass)
    writer = DnsWriter(question, message.name)
    for section, name, rrtype, rrclass, ttl, rdata in records(message):
        writer.add(section, name, rrtype, rrclass, ttl, rdata)
    wire = writer.finish(message.wire[:2], message.flags)
    back = dns_message_unpack(wire)
    # An OPT in a wrong place may move into the right one.
    assert [row for row in records(back) if row[2] != 41] == [row for row in records(message) if row[2] != 41]
    assert back.question_end == 12 + len(question)
    assert len(dns_ttl_offsets(wire)) == sum(row[2] != 41 for row in records(back))


def test_unpacking_replies_is_total() -> None:
    samples = [wire for wire, _ in REPLY_CAPTURES.values()]
    values, errors = check_total(unpack_any_reply, damaged(samples, 30_000, 2204))
    assert values > 3000
    assert errors > 5000
    head = octets("1234 8180 0001 0001 0001 0001 't 00 0001 0001")
    check_total(unpack_any_reply, (head + tail for tail in noise(5000, 80, 2205)))
    check_total(unpack_any_reply, noise(5000, 40, 2206))


def test_queries_and_replies_agree_on_questions() -> None:
    for wire, _ in QUERY_CAPTURES.values():
        query, message = dns_query_unpack(wire), dns_message_unpack(wire)
        assert (query.name, query.rrtype, query.rrclass, query.flags, query.question_end) == (
            message.name, message.rrtype, message.rrclass, message.flags, message.question_end
        )  # fmt: skip


# -- TTLs ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("title", REPLY_CAPTURES)
def test_ttl_offsets(title: str) -> None:
    wire = REPLY_CAPTURES[title][0]
    message = dns_message_unpack(wire)
    offsets = dns_ttl_offsets(wire)
    found = [struct.unpack_from("!I", wire, at)[0] for at in offsets]
    assert [ttl if ttl < 1 << 31 else 0 for ttl in found] == [row[4] for row in records(message)]


def test_ttl_offsets_of_whatever_was_unpacked() -> None:
    """A reply that is taken from upstream may be kept as it came, so its TTLs must be found in it."""
    samples = [wire for wire, _ in REPLY_CAPTURES.values()]
    good = 0
    for wire in damaged(samples, 10_000, 2207):
        try:
            message = dns_message_unpack(wire)
        except WireError:
            continue
        every = sum(row[2] != 41 for row in records(message))
        assert len(dns_ttl_offsets(wire)) == every, wire.hex()
        good += 1
    assert good > 1000


def test_ttl_offsets_behind_a_chain_of_pointers() -> None:
    """Eighty aliases, each pointing at the data of the one before: read once, it can be read again."""
    wire = bytearray(octets("1234 8180 0001 0051 0000 0000 'a 00 0001 0001"))
    target = 12
    for _ in range(80):
        wire += b"\0" + struct.pack("!HHIHH", 5, 1, 60, 2, 0xC000 | target)
        target = len(wire) - 2
    wire += struct.pack("!HHHIH", 0xC000 | target, 1, 1, 60, 4) + b"\1\2\3\4"
    try:
        dns_message_unpack(bytes(wire))
    except WireError:
        return
    assert len(dns_ttl_offsets(bytes(wire))) == 81


# -- the writer ------------------------------------------------------------------------------------


def written(question: str, rows: list[tuple[int, str, str, str]], flags: int = 0x8180) -> bytes:
    """Pack records `(section, name, type, data)` under a question for an address."""
    name = dns_name_parse(question)
    writer = DnsWriter(name + b"\0\1\0\1", name)
    for section, owner, rrtype, data in rows:
        writer.add(section, dns_name_parse(owner), dnswire.type_code(rrtype), CLASS_IN, 60, expected_data(rrtype, data))
    wire = writer.finish(b"\x12\x34", flags)
    assert writer.size() == len(wire)
    return wire


WRITTEN = """
== the owner of the answer is the question
1 www.example.com A 10.0.0.1
--
1234 8180 0001 0001 0000 0000  'www 'example 'com 00 0001 0001  c00c 0001 0001 0000003c 0004 0a000001

== a parent of the question
2 example.com NS ns1.example.com
--
1234 8180 0001 0000 0001 0000  'www 'example 'com 00 0001 0001  c010 0002 0001 0000003c 0006 'ns1 c010

== names of data are used by what follows
1 www.example.com CNAME a.b.net
1 a.b.net A 10.0.0.1
3 c.b.net A 10.0.0.2
--
1234 8180 0001 0002 0000 0001  'www 'example 'com 00 0001 0001  c00c 0005 0001 0000003c 0009 'a 'b 'net 00
c02d 0001 0001 0000003c 0004 0a000001  'c c02f 0001 0001 0000003c 0004 0a000002

== a service's target is not compressed (RFC 2782), but its owner is
1 _sip.example.com SRV 0 5 5060 www.example.com
--
1234 8180 0001 0001 0000 0000  'www 'example 'com 00 0001 0001
'_sip c010 0021 0001 0000003c 0017  0000 0005 13c4 'www 'example 'com 00

== another case is another spelling (RFC 4343 s.4: the case is kept), so it is no pointer
1 www.EXAMPLE.com A 10.0.0.1
3 x.EXAMPLE.com A 10.0.0.1
--
1234 8180 0001 0001 0000 0001  'www 'example 'com 00 0001 0001
'www 'EXAMPLE c018 0001 0001 0000003c 0004 0a000001  'x c025 0001 0001 0000003c 0004 0a000001

== the root is never a pointer
2 . NS .
--
1234 8180 0001 0000 0001 0000  'www 'example 'com 00 0001 0001  00 0002 0001 0000003c 0001 00

== an SOA, both names compressed
2 com SOA a.com b.com 1 2 3 4 5
--
1234 8180 0001 0000 0001 0000  'www 'example 'com 00 0001 0001
c018 0006 0001 0000003c 001c  'a c018 'b c018 00000001 00000002 00000003 00000004 00000005

== data that only looks like a name stays
1 com TXT "www" "example" "com" ""
--
1234 8180 0001 0001 0000 0000  'www 'example 'com 00 0001 0001  c018 0010 0001 0000003c 0011 'www 'example 'com 00
"""


def written_rows() -> dict[str, tuple[list[tuple[int, str, str, str]], bytes]]:
    out = {}
    for block in WRITTEN.split("\n== ")[1:]:
        title, _, rest = block.partition("\n")
        lines, _, wire = rest.partition("\n--\n")
        rows = [line.split(" ", 3) for line in lines.splitlines()]
        out[title] = ([(int(row[0]), row[1], row[2], row[3]) for row in rows], octets(wire))
    return out


@pytest.mark.parametrize(("rows", "wire"), written_rows().values(), ids=written_rows())
def test_writer(rows: list[tuple[int, str, str, str]], wire: bytes) -> None:
    assert written("www.example.com", rows).hex() == wire.hex()


def test_writer_under_the_root() -> None:
    assert written(".", [(1, ".", "A", "1.2.3.4")]) == octets(
        "1234 8180 0001 0001 0000 0000 00 0001 0001 00 0001 0001 0000003c 0004 01020304"
    )


def test_writer_with_raw_records_and_sizes() -> None:
    name = b"\1a\0"
    writer = DnsWriter(name + b"\0\1\0\1", name)
    assert writer.size() == 19
    writer.add(1, name, 1, 1, 5, b"\1\2\3\4")
    assert writer.size() == 35
    writer.add_raw(3, edns_pack(1232, True))
    assert writer.size() == 46
    message = dns_message_unpack(writer.finish(b"\xab\xcd", 0x8580))
    assert message.wire[:4] == octets("abcd 8580")
    assert (len(message.answers), len(message.additional)) == (1, 0)
    assert message.opt is not None
    assert message.opt.rrclass == 1232


def test_writer_does_not_point_past_14_bits() -> None:
    """RFC 1035 s.4.1.4: a pointer has 14 bits; a name that stands later is written out again."""
    name = b"\1q\0"
    writer = DnsWriter(name + b"\0\x10\0\1", name)
    owners = [dns_name_parse(f"n{number}.example.net") for number in range(200)]
    for owner in owners:
        writer.add(1, owner, 16, 1, 60, b"\xc8" + b"x" * 200)
    for owner in owners:
        writer.add(1, owner, 1, 1, 60, b"\1\2\3\4")
    late = dns_name_parse("late.other.org")
    for _ in range(2):
        writer.add(1, late, 1, 1, 60, b"\1\2\3\4")
    wire = writer.finish(b"\0\0", 0x8180)
    assert len(wire) > 0x4000
    assert [one.name for one in dns_message_unpack(wire).answers] == owners * 2 + [late] * 2
    assert wire.count(late) == 2
    assert [item.name for item in dnswire.parse(wire).answer][-1] == "late.other.org"


@pytest.mark.parametrize("shift", range(-4, 5))
def test_writer_at_the_edge_of_14_bits(shift: int) -> None:
    name = b"\1q\0"
    writer = DnsWriter(name + b"\0\x10\0\1", name)
    writer.add(1, name, 10, 1, 60, b"x" * (0x4000 - 19 - 12 + shift))
    assert writer.size() == 0x4000 + shift
    owner = dns_name_parse("a.b")
    for _ in range(3):
        writer.add(1, owner, 1, 1, 60, b"\1\2\3\4")
    answers = dns_message_unpack(writer.finish(b"\0\0", 0x8180)).answers
    assert [one.name for one in answers[1:]] == [owner] * 3


# Data of a record of one's own (dns-rr) is served as it was given, whatever its type.
ODD_DATA = ["", "00", "0001", "000a05", "c00c", "0161", "ff", "3f61", "0001 c00c", "01"]


@pytest.mark.parametrize("rrtype", ["NS", "CNAME", "MX", "SOA", "PTR", "SRV", "NAPTR", "DNAME", "RRSIG", "NSEC"])
@pytest.mark.parametrize("data", ODD_DATA)
def test_writer_takes_odd_data(rrtype: str, data: str) -> None:
    name, rdata = b"\1q\0", bytes.fromhex(data)
    writer = DnsWriter(name + b"\0\1\0\1", name)
    writer.add(1, name, dnswire.type_code(rrtype), 1, 60, rdata)
    wire = writer.finish(b"\0\0", 0x8180)
    assert wire.endswith(struct.pack("!H", len(rdata)) + rdata)


def random_rows(rng: random.Random) -> list[tuple[int, str, str, str]]:
    labels = ["a", "b", "www", "Example", "example", "EXAMPLE", "com", "net", "x" * 63, r"d\.t", r"\000"]

    def name() -> str:
        return ".".join(rng.choice(labels) for _ in range(rng.randrange(4))) or "."

    def data(rrtype: str) -> str:
        return {
            "A": "10.0.0.1",
            "MX": f"{rng.randrange(99)} {name()}",
            "SRV": f"0 0 {rng.randrange(65536)} {name()}",
            "SOA": f"{name()} {name()} 1 2 3 4 5",
            "NAPTR": f'1 2 "s" "SIP" "" {name()}',
            "TXT": '"abc" "def"',
        }.get(rrtype) or name()

    out = []
    for section in sorted(rng.choices((1, 2, 3), k=rng.randrange(12))):
        rrtype = rng.choice(("A", "NS", "CNAME", "DNAME", "PTR", "MX", "SRV", "SOA", "NAPTR", "TXT"))
        out.append((section, name(), rrtype, data(rrtype)))
    return out


def test_writer_and_two_readers_agree() -> None:
    """What is written compressed is read alike by the program and by the other codec."""
    rng = random.Random(221)
    shorter = 0
    for _ in range(3000):
        rows = random_rows(rng)
        wire = written("www.example.com", rows)
        message = dns_message_unpack(wire)
        assert len(records(message)) == len(rows)
        for got, (section, owner, rrtype, data) in zip(records(message), rows, strict=True):
            code = dnswire.type_code(rrtype)
            assert got == (section, dns_name_parse(owner), code, CLASS_IN, 60, expected_data(rrtype, data))
        parsed = dnswire.parse(wire)
        theirs = [*parsed.answer, *parsed.authority, *parsed.additional]
        assert [item.name for item in theirs] == [dns_name_format(row[1]) for row in records(message)]
        assert [dnswire.type_code(item.rtype) for item in theirs] == [row[2] for row in records(message)]
        assert parsed.trailing == 0
        plain = 33 + sum(
            10 + len(dns_name_parse(owner)) + len(expected_data(rrtype, data)) for _, owner, rrtype, data in rows
        )
        assert len(wire) <= plain
        shorter += len(wire) < plain
    assert shorter > 2000


def test_replies_of_the_other_codec() -> None:
    """Uncompressed messages of the other codec are read, and packed no longer than they were."""
    rng = random.Random(222)
    for _ in range(500):
        rows = [row for row in random_rows(rng) if row[2] != "NAPTR"]
        query = dnswire.parse(dnswire.build_query("www.example.com", id=1))
        by_section = {
            number: [dnswire.DnsRecord(row[1], row[2], "IN", 60, row[3]) for row in rows if row[0] == number]
            for number in (1, 2, 3)
        }
        wire = dnswire.build_reply(
            query, answer=by_section[1], authority=by_section[2], additional=by_section[3], edns=1232
        )
        message = dns_message_unpack(wire)
        assert [row[:3] for row in records(message)] == [
            (section, dns_name_parse(name), dnswire.type_code(rrtype)) for section, name, rrtype, _ in rows
        ]
        assert message.opt is not None
        again(message)


# -- small things --------------------------------------------------------------------------------------


HEADERS = ["0000 0100 0001 0000 0000 0000", "ffff 7fff ffff ffff ffff ffff ffff", "1234 2800 0000 0000 0000 0000"]


@pytest.mark.parametrize("wire", HEADERS)
def test_header_reply(wire: str) -> None:
    data = octets(wire)
    assert dns_header_reply(data, 0x8184) == data[:2] + octets("8184 0000 0000 0000 0000")


def test_record_shows_itself() -> None:
    one = DnsRecord(b"\1a\0", 1, 60, b"\1\2\3\4")
    assert repr(one) == "DnsRecord(a A 60 01020304)"
    assert (one.rrclass, one.start, one.end) == (CLASS_IN, 0, 0)
