"""Section 20: names as text, as wire, compressed, reversed, and a hundred thousand hashed."""

from __future__ import annotations

import ipaddress
import random
import struct
from typing import Any

import pytest

import dnswire
from packets import CountedBytes, check_total, damaged, noise, octets
from pydnsmasq import (
    DNS_NAME_MAX,
    DNS_ROOT,
    DnsNameHashes,
    WireError,
    dns_hostname_valid,
    dns_name_format,
    dns_name_labels,
    dns_name_log,
    dns_name_order,
    dns_name_parse,
    dns_name_read,
    dns_name_text,
    dns_name_under,
    dns_reverse_address,
    dns_reverse_name,
)

# -- text and wire -------------------------------------------------------------------

LABEL63 = "l" * 63
LONGEST = f"{LABEL63}.{LABEL63}.{LABEL63}.{'l' * 61}"  # 253 characters, 255 octets

# text, wire form, and the text that comes back when it is another one
PARSED: list[tuple[str, str, str]] = [
    (".", "00", "."),
    ("", "00", "."),
    ("a", "'a 00", "a"),
    ("a.", "'a 00", "a"),
    ("www.example.com", "'www 'example 'com 00", "www.example.com"),
    ("WwW.ExAmPlE.CoM.", "'WwW 'ExAmPlE 'CoM 00", "WwW.ExAmPlE.CoM"),
    ("_sip._tcp.example", "'_sip '_tcp 'example 00", "_sip._tcp.example"),
    ("*.example", "'* 'example 00", "*.example"),
    ("1.0.0.127.in-addr.arpa", "'1 '0 '0 '127 'in-addr 'arpa 00", "1.0.0.127.in-addr.arpa"),
    (r"a\.b.c", "'a.b 'c 00", r"a\.b.c"),
    (r"\.", "'. 00", r"\."),
    (r"\..", "'. 00", r"\."),
    (r"a\\.b", r"'a\ 'b 00", r"a\\.b"),
    (r"a\\\.b", r"'a\.b 00", r"a\\\.b"),
    (r"\097\098.c", "'ab 'c 00", "ab.c"),
    (r"a\000b", "03610062 00", r"a\000b"),
    (r"a\032b", "03612062 00", r"a\032b"),
    (r"\255\128\127", "03ff807f 00", r"\255\128\127"),
    (r"\1a", "'1a 00", "1a"),
    (r"\12", "'12 00", "12"),
    (r"\1234", "027b34 00", "{4"),
    (r"\"q\"", '\'"q" 00', '"q"'),
    ("a b", "03612062 00", r"a\032b"),
    ("b\u00fccher", "0762c3bc63686572 00", r"b\195\188cher"),
    ("\udcff", "01ff 00", r"\255"),
    ("\udcff\\046", "02ff2e 00", r"\255\."),
    (LABEL63, f"'{LABEL63} 00", LABEL63),
    (LONGEST, f"'{LABEL63}*3 '{'l' * 61} 00", LONGEST),
    (LONGEST + ".", f"'{LABEL63}*3 '{'l' * 61} 00", LONGEST),
    (".".join("a" * 127), "'a*127 00", ".".join("a" * 127)),
    (r"\108" * 63, f"'{LABEL63} 00", LABEL63),
]

REFUSED = [
    "..", ".a", "a..", "a..b", "..a", ".a.", "a.b..c.d", r"\..." , r"a\.b..c",
    "l" * 64, "a." + "l" * 64, "l" * 64 + ".a", "\u00fc" * 32, r"\108" * 64,
    LONGEST + "l", "a" + LONGEST, "a." + LONGEST, ".".join("a" * 128), f"{LABEL63}." * 4, "x" * 100_000, "." * 100_000,
    "\ud800",
]  # fmt: skip

# RFC 1035 s.5.1: a backslash stands before a character, or before three digits of one octet.
BAD_ESCAPES = ["a\\", "\\", "a.\\", r"\256", r"\999", r"a\300b", "a.b\\"]


@pytest.mark.parametrize(("text", "wire", "back"), PARSED)
def test_parse_and_format(text: str, wire: str, back: str) -> None:
    assert dns_name_parse(text) == octets(wire)
    assert dns_name_format(octets(wire)) == back
    assert dns_name_parse(back) == octets(wire)


@pytest.mark.parametrize("text", REFUSED, ids=lambda text: ascii(text[:20]))
def test_parse_refuses(text: str) -> None:
    with pytest.raises(ValueError):
        dns_name_parse(text)


@pytest.mark.parametrize("text", BAD_ESCAPES)
def test_parse_refuses_escapes_of_nothing(text: str) -> None:
    with pytest.raises(ValueError):
        dns_name_parse(text)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a..b", "the name 'a..b' has an empty label"),
        ("l" * 64, "is longer than 63 characters"),
        ("a." + LONGEST, "is longer than 253 characters"),
    ],
)
def test_parse_says_what_is_wrong(text: str, words: str) -> None:
    with pytest.raises(ValueError, match="name|label") as caught:
        dns_name_parse(text)
    assert words in str(caught.value)


@pytest.mark.parametrize("length", range(250, 260))
def test_the_longest_name(length: int) -> None:
    """RFC 1035 s.3.1: 255 octets, the root's included."""
    labels = [b"\x3f" + b"x" * 63] * 3
    rest = length - 1 - 3 * 64
    labels.append(bytes([rest - 1]) + b"y" * (rest - 1))
    wire = b"".join(labels) + b"\0"
    assert len(wire) == length
    text = b".".join(label[1:] for label in labels).decode()
    if length <= 255:
        assert dns_name_parse(text) == wire
        assert dns_name_read(wire, 0, {}) == (wire, length)
    else:
        with pytest.raises(ValueError):
            dns_name_parse(text)
        with pytest.raises(WireError):
            dns_name_read(wire, 0, {})


def random_name(rng: random.Random, octet: Any = None) -> bytes:
    """A valid name of random labels; `octet` makes one octet."""
    out = bytearray()
    longest = rng.choice((1, 3, 20, 63))
    while rng.random() < 0.85:
        size = rng.randrange(1, longest + 1)
        if len(out) + size + 2 > DNS_NAME_MAX:
            break
        out.append(size)
        out += bytes(octet(rng) if octet else rng.randrange(256) for _ in range(size))
    return bytes(out) + b"\0"


def test_any_name_survives_text() -> None:
    rng = random.Random(20)
    for _ in range(20_000):
        name = random_name(rng)
        text = dns_name_format(name)
        assert text.isascii()
        assert text.isprintable()
        assert " " not in text
        assert dns_name_parse(text) == name
        assert dns_name_parse(text + ".") == name if name != DNS_ROOT else text == "."
        assert dnswire.pack_name(text) == name
        assert dnswire.unpack_name(name, 0) == (text, len(name))


def test_any_text_is_a_name_or_a_value_error() -> None:
    rng = random.Random(21)
    letters = "ab.\\019\u00e9\udc80 -_*\0"
    made = 0
    for _ in range(20_000):
        text = "".join(rng.choice(letters) for _ in range(rng.randrange(24)))
        try:
            name = dns_name_parse(text)
        except ValueError:
            continue
        made += 1
        assert dns_name_read(name, 0, {}) == (name, len(name))
        assert dns_name_parse(dns_name_format(name)) == name
    assert 1000 < made < 19_000


TEXTS = [
    ("00", b"", "."),
    ("'a 00", b"a", "a"),
    ("'WWW 'Example 00", b"WWW.Example", "www.example"),
    ("'a.b 'c 00", b"a.b.c", "<name unprintable>"),
    (r"'a\ 00", b"a\\", "<name unprintable>"),
    ("03610a62 00", b"a\nb", "<name unprintable>"),
    ("02c3a9 00", b"\xc3\xa9", "<name unprintable>"),
    ("03612062 'c 00", b"a b.c", "<name unprintable>"),
]


@pytest.mark.parametrize(("wire", "text", "log"), TEXTS)
def test_text_and_log(wire: str, text: bytes, log: str) -> None:
    assert dns_name_text(octets(wire)) == text
    assert dns_name_log(octets(wire)) == log


def test_log_never_shows_what_a_terminal_obeys() -> None:
    rng = random.Random(22)
    for _ in range(5000):
        shown = dns_name_log(random_name(rng))
        assert shown.isascii()
        assert shown.isprintable()


def test_lower_case_touches_no_length_octet() -> None:
    """RFC 4343 s.3: case is a matter of the 26 ASCII letters only."""
    for size in range(1, 64):
        name = bytes([size]) + bytes(range(0x40, 0x40 + 63))[:size] + b"\0"
        lower = name.lower()
        assert lower[0] == size
        assert dns_name_parse(dns_name_format(name).lower()) == lower
    for octet in range(256):
        name = bytes([1, octet, 0])
        expected = octet + 32 if 0x41 <= octet <= 0x5A else octet
        assert name.lower() == bytes([1, expected, 0])


# -- reading ---------------------------------------------------------------------------

# RFC 1035 s.4.1.4's example: octets 20, 40, 64, 92 hold these names.
RFC_EXAMPLE = octets("00*20 'F 'ISI 'ARPA 00 00*8 'FOO c014 00*18 c01a 00*26 00")
RFC_NAMES = [(20, "F.ISI.ARPA", 32), (40, "FOO.F.ISI.ARPA", 46), (64, "ARPA", 66), (92, ".", 93)]


@pytest.mark.parametrize(("at", "text", "after"), RFC_NAMES)
def test_the_example_of_the_rfc(at: int, text: str, after: int) -> None:
    assert dns_name_read(RFC_EXAMPLE, at, {}) == (dns_name_parse(text), after)


def test_the_example_with_one_memo() -> None:
    for order in (RFC_NAMES, RFC_NAMES[::-1]):
        memo: dict[int, Any] = {}
        for _ in range(2):
            for at, text, after in order:
                assert dns_name_read(RFC_EXAMPLE, at, memo) == (dns_name_parse(text), after)


# octets, where to read, the name, where it ended
READ = [
    ("00", 0, ".", 1),
    ("'a 00", 0, "a", 3),
    ("'a 00 'b c000", 3, "b.a", 7),
    ("'a 00 c000", 3, "a", 5),
    ("'a 00 c000 c003 c005", 7, "a", 9),
    ("'a 'b 00 c002", 5, "b", 7),
    ("'a 'b 00 c004", 5, ".", 7),
    ("'abc 00 'a c000 ff", 5, "a.abc", 9),
    ("'a 00 ffff", 0, "a", 3),
    ("0161 02c3a9 00", 0, r"a.\195\169", 6),
    (f"'{LABEL63} 00 'a c000", 65, f"a.{LABEL63}", 69),
    (f"'{LABEL63}*3 'b 00 '{'c' * 59} c000", 195, f"{'c' * 59}.{LABEL63}.{LABEL63}.{LABEL63}.b", 257),
]

# octets, where to read: no name
UNREADABLE = {
    "nothing": ("", 0),
    "at the end": ("'a 00", 3),
    "behind the end": ("'a 00", 9),
    "label without end": ("'a", 0),
    "label is cut": ("0461", 0),
    "length alone": ("3f", 0),
    "label 64": ("40" + "61" * 64 + "00", 0),
    "extended label type": ("41 00 00", 0),
    "reserved 0x80": ("80 00", 0),
    "reserved 0xbf": ("bf 00", 0),
    "half a pointer": ("'a 00 c0", 3),
    "half a pointer behind a label": ("'a 00 'b c0", 3),
    "points at itself": ("c000", 0),
    "points at itself, later": ("'a 00 c003", 3),
    "points forward": ("c002 'a 00", 0),
    "points forward behind a label": ("'a c004 'b 00", 0),
    "points behind the end": ("c0ff", 0),
    "points far behind the end": ("ffff", 0),
    "points into its own label": ("'a c000", 0),
    "points into its own label, later": ("'a 00 'bcd c004", 3),
    "two that point at each other": ("c002 c000", 2),
    "a loop of three": ("c002 c004 c000", 4),
    "points back, then forward": ("c004 'a 00 c000", 5),
    "pointer to a cut label": ("05 c000", 1),
    "pointer to a reserved label": ("80 00 c000", 2),
    "256 octets": (f"'{LABEL63}*3 '{'l' * 62} 00", 0),
    "256 octets by a pointer": (f"'{LABEL63}*3 'b 00 '{'c' * 60} c000", 195),
    "no end, all labels": ("'a*300", 0),
}


@pytest.mark.parametrize(("wire", "at", "text", "after"), READ)
def test_read(wire: str, at: int, text: str, after: int) -> None:
    data = octets(wire)
    assert dns_name_read(data, at, {}) == (dns_name_parse(text), after)
    assert dnswire.unpack_name(data, at) == (text, after)


@pytest.mark.parametrize(("wire", "at"), UNREADABLE.values(), ids=UNREADABLE)
def test_unreadable(wire: str, at: int) -> None:
    memo: dict[int, Any] = {}
    for _ in range(2):  # a failure must not leave a name behind
        with pytest.raises(WireError):
            dns_name_read(octets(wire), at, memo)
    assert at not in memo


def pointer_chain(links: int) -> bytes:
    """A name, then `links` pointers, each at the one before."""
    out = bytearray(b"\1a\0")
    for link in range(links):
        out += struct.pack("!H", 0xC000 | (0 if link == 0 else len(out) - 2))
    return bytes(out)


@pytest.mark.parametrize("links", [1, 2, 3, 16, 63, 64, 65, 66, 200, 4000])
def test_a_chain_of_pointers(links: int) -> None:
    """A short chain is followed; a long one may be refused, but takes few looks either way."""
    data = CountedBytes(pointer_chain(links))
    last = len(data) - 2
    try:
        assert dns_name_read(data, last, {}) == (b"\1a\0", last + 2)
    except WireError:
        assert links > 16
    assert data.reads <= 3 * links + 10
    memo: dict[int, Any] = {}
    for at in range(3, last + 1, 2):  # each is remembered, so the next is one jump away
        before = data.reads
        assert dns_name_read(data, at, memo) == (b"\1a\0", at + 2)
        assert data.reads - before < 8


def test_pointers_between_labels() -> None:
    """Each label is followed by a pointer at the name before."""
    data, at = bytearray(b"\0"), 0
    for number in range(1, 60):
        here = len(data)
        data += b"\1x" + struct.pack("!H", 0xC000 | at)
        at = here
        assert dns_name_read(bytes(data), at, {}) == (b"\1x" * number + b"\0", len(data))


def test_names_that_grow_by_the_memo_are_bounded() -> None:
    """Each name is a label and the name before: what is remembered counts in full."""
    data, at, number = bytearray(b"\0"), 0, 0
    memo: dict[int, Any] = {}
    assert dns_name_read(bytes(data), 0, memo) == (b"\0", 1)
    while True:
        here = len(data)
        data += b"\1x" + struct.pack("!H", 0xC000 | at)
        at = here
        number += 1
        if number > 127:
            break
        assert dns_name_read(bytes(data), at, memo)[0] == b"\1x" * number + b"\0"
    with pytest.raises(WireError):
        dns_name_read(bytes(data), at, memo)


@pytest.mark.parametrize(("size", "good"), [(58, True), (59, True), (60, False), (61, False)])
def test_the_longest_name_by_the_memo(size: int, good: bool) -> None:
    data = octets(f"'{LABEL63}*3 'b 00 '{'c' * size} c000")
    memo: dict[int, Any] = {}
    assert len(dns_name_read(data, 0, memo)[0]) == 195
    if good:
        assert len(dns_name_read(data, 195, memo)[0]) == 196 + size
    else:
        with pytest.raises(WireError):
            dns_name_read(data, 195, memo)


def test_whether_a_name_can_be_read_does_not_hang_on_what_was_read_before() -> None:
    """A pointer leads back from where it stands, remembered or not."""
    data = octets("'x c004 'a 00 c000")
    memo: dict[int, Any] = {}
    with pytest.raises(WireError):
        dns_name_read(data, 7, {})
    assert dns_name_read(data, 4, memo) == (b"\1a\0", 7)
    with pytest.raises(WireError):
        dns_name_read(data, 7, memo)


NAME_SAMPLES = [octets(wire) for wire, *_ in READ]
NAME_SAMPLES += [RFC_EXAMPLE, pointer_chain(70), octets(f"'{LABEL63}*3 '{'l' * 61} 00")]


def read_everywhere(data: bytes) -> None:
    """Read a name at every position with one memo, and check each with the other codec."""
    memo: dict[int, Any] = {}
    good = 0
    for at in range(len(data) + 2):
        try:
            name, after = dns_name_read(data, at, memo)
        except WireError:
            continue
        good += 1
        assert 0 < len(name) <= DNS_NAME_MAX
        assert at < after <= len(data)
        assert dnswire.pack_name(dnswire.unpack_name(data, at)[0]) == name
        assert dns_name_read(data, at, memo) == (name, after)
    if not good:
        raise WireError("nothing to read")


def test_reading_is_total() -> None:
    values, errors = check_total(read_everywhere, damaged(NAME_SAMPLES, 4000, 2001))
    assert values > 2000
    assert errors > 10
    assert check_total(lambda data: dns_name_read(data, 0, {}), noise(30_000, 40, 2002))[0] > 100


def test_reading_takes_few_looks() -> None:
    """With one memo, reading a name at every position of a message looks at each octet a few times."""
    samples = [*NAME_SAMPLES, octets("'a*126 00") + b"\xc0\0" * 8000, pointer_chain(8000), b"\0" + b"\xc0\0" * 8000]
    samples.append(octets("'a*126 00") + b"\xc0\2" * 8000)  # not at the start of a name
    for data in samples:
        counted = CountedBytes(data)
        memo: dict[int, Any] = {}
        at = good = 0
        while at < min(len(data), 16_384):
            try:
                at = dns_name_read(counted, at, memo)[1]
                good += 1
            except WireError:
                break
        assert good
        assert counted.reads <= 4 * len(data) + 8


def test_a_name_that_fails_fails_soon() -> None:
    hopeless = [b"\1a" * 8000, b"\1a" * 8000 + b"\xc0\0", b"\xc0\0" * 8000, b"\1a\xc0\0" * 4000, b"\x3f" * 16_000]
    for data in hopeless:
        counted = CountedBytes(data)
        with pytest.raises(WireError):
            dns_name_read(counted, len(data) & ~3 if data[0] > 63 else 0, {})
        assert counted.reads < 600


@pytest.mark.parametrize("wire", [octets("'www 'example 'com 00"), octets(f"'{LABEL63}*3 '{'l' * 61} 00")])
def test_a_name_cut_anywhere(wire: bytes) -> None:
    for size in range(len(wire)):
        with pytest.raises(WireError):
            dns_name_read(wire[:size], 0, {})


# -- relations ---------------------------------------------------------------------------

LABELS = {".": 0, "a": 1, "a.b": 2, r"a\.b": 1, ".".join("a" * 127): 127, LONGEST: 4}


@pytest.mark.parametrize(("text", "count"), LABELS.items(), ids=lambda item: str(item)[:20])
def test_labels(text: str, count: int) -> None:
    assert dns_name_labels(dns_name_parse(text)) == count


UNDER = """
a.b.c       b.c       yes
b.c         b.c       yes
a.b.c       c         yes
a.b.c       .         yes
.           .         yes
.           a         no
b.c         a.b.c     no
ab.c        b.c       no
a.b         a.c       no
xexample.c  example.c no
example.c   xexample.c no
a\\.b.c     b.c       no
a\\001b.c   b.c       no
a\\001b     b         no
a\\003com   com       no
a.\\003com  com       no
"""


@pytest.mark.parametrize("line", UNDER.strip().splitlines())
def test_under(line: str) -> None:
    name, domain, verdict = line.split()
    assert dns_name_under(dns_name_parse(name.replace("\\\\", "\\")), dns_name_parse(domain)) == (verdict == "yes")


def test_under_agrees_with_lists_of_labels() -> None:
    rng = random.Random(23)

    def few(rng: random.Random) -> int:
        return rng.choice(b"a\1\2")

    hits = 0
    for _ in range(20_000):
        name, domain = random_name(rng, few), random_name(rng, few)
        if rng.random() < 0.5:
            domain = name[rng.randrange(len(name)) :]
            try:
                if dns_name_read(domain, 0, {}) != (domain, len(domain)):
                    continue
            except WireError:
                continue
        ours, theirs = split(name), split(domain)
        expected = not theirs or ours[-len(theirs) :] == theirs
        hits += expected
        assert dns_name_under(name, domain) == expected, (name, domain)
    assert 1000 < hits < 19_000


# RFC 4034 s.6.1, and the root before them; in canonical order.
IN_ORDER = (
    r". example a.example yljkjljk.a.example Z.a.example zABC.a.EXAMPLE z.example \001.z.example *.z.example "
    r"\200.z.example a.example1 b.f"
)


def test_the_order_of_names() -> None:
    names = [dns_name_parse(text).lower() for text in IN_ORDER.split()]
    assert len(names) == 12
    mixed = random.Random(28).sample(names, 12)
    assert sorted(mixed, key=dns_name_order) == names != mixed
    assert dns_name_order(dns_name_parse("a.b.c")) == (b"c", b"b", b"a")
    assert dns_name_order(DNS_ROOT) == ()


def test_the_order_agrees_with_lists_of_labels() -> None:
    rng = random.Random(29)
    names = [random_name(rng).lower() for _ in range(500)]
    for name in names:
        assert list(dns_name_order(name)) == split(name)[::-1]


def split(name: bytes) -> list[bytes]:
    out, at = [], 0
    while name[at]:
        out.append(name[at + 1 : at + 1 + name[at]])
        at += 1 + name[at]
    return out


# -- reverse names -------------------------------------------------------------------------

ADDRESSES = """
0.0.0.0 127.0.0.1 10.0.0.1 192.168.1.254 255.255.255.255 1.2.3.4 100.64.0.1
:: ::1 fe80::1 2001:db8::ff00:42:8329 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ::ffff:1.2.3.4 fd00:1234:5678:9abc:def0::
"""


@pytest.mark.parametrize("text", ADDRESSES.split())
def test_reverse_both_ways(text: str) -> None:
    address = ipaddress.ip_address(text)
    name = dns_reverse_name(address.packed)
    assert dns_name_format(name) == address.reverse_pointer
    assert dns_reverse_address(name) == (address.packed, True)


def test_reverse_of_many() -> None:
    rng = random.Random(24)
    for size in (4, 16):
        for _ in range(2000):
            packed = rng.randbytes(size)
            assert dns_reverse_address(dns_reverse_name(packed)) == (packed, True)


# name, address, whole; or none
REVERSED = r"""
in-addr.arpa                none
10.in-addr.arpa             10.0.0.0      part
168.192.in-addr.arpa        192.168.0.0   part
0.168.192.in-addr.arpa      192.168.0.0   part
5.0.168.192.in-addr.arpa    192.168.0.5   whole
255.255.255.255.in-addr.arpa 255.255.255.255 whole
1.5.0.168.192.in-addr.arpa  none
256.0.168.192.in-addr.arpa  none
a.0.168.192.in-addr.arpa    none
-1.0.0.127.in-addr.arpa     none
1000.0.0.127.in-addr.arpa   none
0/25.2.0.192.in-addr.arpa   none
\1784.3.2.1.in-addr.arpa    none
lb._dns-sd._udp.0.0.10.in-addr.arpa none
ip6.arpa                    none
2.ip6.arpa                  2000::        part
8.b.d.0.1.0.0.2.ip6.arpa    2001:db8::    part
g.ip6.arpa                  none
10.ip6.arpa                 none
b.d.ip6.arpa                db00::        part
.                           none
arpa                        none
example.com                 none
in-addr.arpa.example        none
xin-addr.arpa               none
1.xip6.arpa                 none
"""


@pytest.mark.parametrize("line", REVERSED.strip().splitlines())
def test_reverse_names(line: str) -> None:
    name, address, *whole = line.split()
    expected = None if address == "none" else (ipaddress.ip_address(address).packed, whole == ["whole"])
    assert dns_reverse_address(dns_name_parse(name)) == expected


def test_reverse_name_with_too_many_nibbles() -> None:
    assert dns_reverse_address(dns_name_parse("0." * 33 + "ip6.arpa")) is None
    whole = dns_reverse_address(dns_name_parse("f." * 32 + "ip6.arpa"))
    assert whole == (b"\xff" * 16, True)
    assert dns_reverse_address(dns_name_parse("f." * 31 + "ip6.arpa")) == (b"\xff" * 15 + b"\xf0", False)


@pytest.mark.parametrize(
    "text",
    [r"4.3.2.1\007in-addr.arpa", r"1\007in-addr.arpa", r"1\003ip6.arpa", r"a\007in-addr.arpa", r"\007in-addr.arpa"],
)
def test_a_reverse_zone_inside_a_label_is_none(text: str) -> None:
    """The octet before `in-addr` is a letter of the label there, not its length."""
    assert dns_reverse_address(dns_name_parse(text)) is None


def test_reverse_address_is_total() -> None:
    rng = random.Random(25)
    found = 0
    for _ in range(30_000):
        head = random_name(rng, lambda rng: rng.choice(b"0123456789abcdefx/"))[:-1]
        name = head + rng.choice((b"\7in-addr\4arpa\0", b"\3ip6\4arpa\0", b"\0"))
        if len(name) > DNS_NAME_MAX:
            continue
        result = dns_reverse_address(name)
        if result is not None:
            found += 1
            packed, whole = result
            assert len(packed) in (4, 16)
            if whole:
                assert dns_name_labels(name) == (6 if len(packed) == 4 else 34)
    assert found > 1000


# -- names of hosts files ---------------------------------------------------------------------

VALID = [
    "a", "a.b", "host-1", "_x", "1", "1.2", "a_b.example.com", "a.", "a.b.", "LOCALHOST", LABEL63, LONGEST,
    LABEL63 + ".a",
]  # fmt: skip
INVALID = [
    "", ".", "..", ".a", "a..b", "a b", "a\tb", "a\nb", "a\0", "\x7f", "a/b", "l" * 64, "l" * 64 + ".a",
    "a." + LONGEST, LONGEST + "l", "a" * 100_000, "a." * 50_000, "." * 1000, "a\n", "a.\n",
]  # fmt: skip


@pytest.mark.parametrize("text", VALID, ids=lambda text: text[:20])
def test_hostname_valid(text: str) -> None:
    assert dns_hostname_valid(text) is True
    dns_name_parse(text)


@pytest.mark.parametrize("text", INVALID, ids=lambda text: ascii(text[:20]))
def test_hostname_invalid(text: str) -> None:
    assert dns_hostname_valid(text) is False


def test_the_longest_hostname_may_end_in_a_dot() -> None:
    assert dns_hostname_valid(LONGEST + ".") is True


# -- hashes -------------------------------------------------------------------------------------


def hashes(texts: list[bytes]) -> DnsNameHashes:
    out = DnsNameHashes()
    out.add_texts(texts)
    out.freeze()
    return out


@pytest.mark.parametrize("count", [0, 1, 2, 3, 15, 16, 17, 1000])
def test_hashes_of_few(count: int) -> None:
    texts = [b"name%d.example" % number for number in range(count)]
    names = hashes(texts)
    assert len(names) == count
    assert all(text in names for text in texts)
    assert b"name%d.example" % count not in names
    assert b"" not in names


def test_hashes_of_a_hundred_thousand() -> None:
    rng = random.Random(26)
    texts = [b"%x.%s" % (rng.getrandbits(64), rng.choice((b"com", b"net", b"example.org"))) for _ in range(100_000)]
    names = DnsNameHashes()
    for start in range(0, len(texts), 7000):
        names.add_texts(texts[start : start + 7000])
    names.add_texts(texts[:5000])  # twice
    assert len(names) == 105_000
    names.freeze()
    assert len(names) == len(set(texts))
    assert [text for text in texts if text not in names] == []
    others = [b"%x.invalid" % rng.getrandbits(64) for _ in range(100_000)]
    assert [text for text in others if text in names] == []
    assert [text for text in texts[:1000] if text.upper() in names or text + b"." in names] == []


def test_hashes_take_any_iterable_and_the_empty_name() -> None:
    names = DnsNameHashes()
    names.add_texts(iter((b"a", b"")))
    names.add_texts(())
    names.freeze()
    assert len(names) == 2
    assert b"" in names
    assert b"a" in names
    assert b"b" not in names


def test_hashes_at_the_edges_of_their_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """The sixteen parts cover every value that a hash can have."""
    edges = [low + shift for low in range(-(1 << 63), 1 << 63, 1 << 60) for shift in (0, 1, (1 << 60) - 1)]

    class Text(bytes):
        value = 0

        def __hash__(self) -> int:
            return self.value

    def text(value: int) -> Text:
        out = Text(b"t")
        out.value = value
        return out

    texts = [text(value) for value in edges if value != -1]  # no hash is -1
    names = hashes(list(texts))
    assert len(names) == len(texts)
    assert all(one in names for one in texts)
    assert text(edges[0] + 2) not in names
    assert text(edges[-1] - 1) not in names
