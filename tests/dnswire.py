"""A small DNS codec for the tests.

Written apart from the program on purpose: a mistake made in one must not be
repeated by the other.  It is simple, not fast, and trusts nobody but the test.
"""

from __future__ import annotations

import ipaddress
import random
import struct
from dataclasses import dataclass, field
from typing import Any

TYPES = {
    "A": 1, "NS": 2, "CNAME": 5, "SOA": 6, "WKS": 11, "PTR": 12, "HINFO": 13, "MX": 15, "TXT": 16, "RP": 17,
    "AFSDB": 18, "SIG": 24, "KEY": 25, "AAAA": 28, "LOC": 29, "SRV": 33, "NAPTR": 35, "KX": 36, "CERT": 37,
    "DNAME": 39, "OPT": 41, "DS": 43, "SSHFP": 44, "RRSIG": 46, "NSEC": 47, "DNSKEY": 48, "NSEC3": 50, "TLSA": 52,
    "SVCB": 64, "HTTPS": 65, "SPF": 99, "TKEY": 249, "TSIG": 250, "IXFR": 251, "AXFR": 252, "MAILB": 253,
    "MAILA": 254, "ANY": 255, "URI": 256, "CAA": 257,
}  # fmt: skip
TYPE_NAMES = {code: name for name, code in TYPES.items()}
CLASSES = {"IN": 1, "CH": 3, "HS": 4, "NONE": 254, "ANY": 255}
CLASS_NAMES = {code: name for name, code in CLASSES.items()}
RCODES = {0: "NOERROR", 1: "FORMERR", 2: "SERVFAIL", 3: "NXDOMAIN", 4: "NOTIMP", 5: "REFUSED", 16: "BADVERS"}
RCODE_NUMBERS = {name: code for code, name in RCODES.items()}
QR, AA, TC, RD, RA, AD, CD = 0x8000, 0x0400, 0x0200, 0x0100, 0x0080, 0x0020, 0x0010
FLAG_NAMES = {"QR": QR, "AA": AA, "TC": TC, "RD": RD, "RA": RA, "AD": AD, "CD": CD}


class DnsWireError(ValueError):
    """The bytes are not a DNS message."""


def type_code(name: str | int) -> int:
    """Give the number of a record type: a name, TYPEnnn or a number."""
    if isinstance(name, int):
        return name
    if name in TYPES:
        return TYPES[name]
    return int(name[4:] if name.startswith("TYPE") else name)


def type_name(code: int) -> str:
    return TYPE_NAMES.get(code, f"TYPE{code}")


def class_code(name: str | int) -> int:
    return name if isinstance(name, int) else CLASSES[name]


# -- names ---------------------------------------------------------------------


def pack_name(name: str | bytes) -> bytes:
    """Text to wire form; `\\DDD` and `\\.` are escapes; no compression."""
    if isinstance(name, bytes):
        return name
    labels: list[bytearray] = [bytearray()]
    index = 0
    while index < len(name):
        char = name[index]
        if char == "\\" and name[index + 1 : index + 4].isdigit():
            labels[-1].append(int(name[index + 1 : index + 4]))
            index += 4
            continue
        if char == "\\":
            index += 1
            labels[-1] += name[index].encode("latin-1")
        elif char == ".":
            labels.append(bytearray())
        else:
            labels[-1] += char.encode("latin-1")
        index += 1
    return b"".join(bytes([len(label)]) + bytes(label) for label in labels if label) + b"\0"


def _label_text(label: bytes) -> str:
    out = []
    for byte in label:
        char = chr(byte)
        if char in ".\\":
            out.append("\\" + char)
        elif 33 <= byte <= 126:
            out.append(char)
        else:
            out.append(f"\\{byte:03d}")
    return "".join(out)


def unpack_name(data: bytes, at: int) -> tuple[str, int]:
    """Read a name, following pointers; give the text and where it ended."""
    labels, end, jumps = [], -1, 0
    while True:
        if at >= len(data):
            raise DnsWireError("name runs off the end")
        length = data[at]
        if length >= 0xC0:
            if at + 1 >= len(data):
                raise DnsWireError("pointer runs off the end")
            end = at + 2 if end < 0 else end
            at = (length & 0x3F) << 8 | data[at + 1]
            jumps += 1
            if jumps > 100:
                raise DnsWireError("pointers loop")
            continue
        if length > 63:
            raise DnsWireError("strange label")
        at += 1
        if length == 0:
            return ".".join(labels) or ".", at if end < 0 else end
        labels.append(_label_text(data[at : at + length]))
        at += length


# -- record data ---------------------------------------------------------------


def _pack_string(text: str) -> bytes:
    raw = text.encode("latin-1")
    return bytes([len(raw)]) + raw


def _split_quoted(text: str) -> list[str]:
    """Split on blanks; double quotes hold a string together."""
    out, word, quoted, seen = [], "", False, False
    for char in text:
        if char == '"':
            quoted, seen = not quoted, True
        elif char == " " and not quoted:
            if word or seen:
                out.append(word)
            word, seen = "", False
        else:
            word += char
    return out + [word] if word or seen else out


def _pack_soa(words: list[str]) -> bytes:
    return pack_name(words[0]) + pack_name(words[1]) + struct.pack("!5I", *map(int, words[2:7]))


def _pack_naptr(words: list[str]) -> bytes:
    head = struct.pack("!HH", int(words[0]), int(words[1]))
    return head + b"".join(map(_pack_string, words[2:5])) + pack_name(words[5])


_PACKERS: dict[str, Any] = {
    "A": lambda w: ipaddress.IPv4Address(w[0]).packed,
    "AAAA": lambda w: ipaddress.IPv6Address(w[0]).packed,
    "NS": lambda w: pack_name(w[0]),
    "CNAME": lambda w: pack_name(w[0]),
    "DNAME": lambda w: pack_name(w[0]),
    "PTR": lambda w: pack_name(w[0]),
    "MX": lambda w: struct.pack("!H", int(w[0])) + pack_name(w[1]),
    "SRV": lambda w: struct.pack("!3H", *map(int, w[:3])) + pack_name(w[3]),
    "TXT": lambda w: b"".join(map(_pack_string, w)),
    "HINFO": lambda w: b"".join(map(_pack_string, w)),
    "SOA": _pack_soa,
    "NAPTR": _pack_naptr,
    "CAA": lambda w: bytes([int(w[0])]) + _pack_string(w[1]) + w[2].encode(),
}


def pack_rdata(rtype: str, text: str) -> bytes:
    """Presentation text to bytes; `\\# hex` for what has no packer."""
    if text.startswith("\\#"):
        return bytes.fromhex(text[2:])
    result: bytes = _PACKERS[rtype](_split_quoted(text))
    return result


def _strings(raw: bytes) -> list[str]:
    out, at = [], 0
    while at < len(raw):
        out.append('"' + raw[at + 1 : at + 1 + raw[at]].decode("latin-1") + '"')
        at += 1 + raw[at]
    return out


def _text_soa(data: bytes, at: int, raw: bytes) -> str:
    mname, at = unpack_name(data, at)
    rname, at = unpack_name(data, at)
    return " ".join([mname, rname, *map(str, struct.unpack_from("!5I", data, at))])


def _text_naptr(data: bytes, at: int, raw: bytes) -> str:
    order, preference = struct.unpack_from("!HH", raw)
    at += 4
    words = []
    for _ in range(3):
        words.append('"' + data[at + 1 : at + 1 + data[at]].decode("latin-1") + '"')
        at += 1 + data[at]
    return f"{order} {preference} {' '.join(words)} {unpack_name(data, at)[0]}"


def _text_srv(data: bytes, at: int, raw: bytes) -> str:
    return " ".join([*map(str, struct.unpack_from("!3H", raw)), unpack_name(data, at + 6)[0]])


def _text_name(data: bytes, at: int, raw: bytes) -> str:
    return unpack_name(data, at)[0]


_TEXTS: dict[str, Any] = {
    "A": lambda data, at, raw: str(ipaddress.IPv4Address(raw)),
    "AAAA": lambda data, at, raw: str(ipaddress.IPv6Address(raw)),
    "NS": _text_name,
    "CNAME": _text_name,
    "DNAME": _text_name,
    "PTR": _text_name,
    "MX": lambda data, at, raw: f"{struct.unpack_from('!H', raw)[0]} {unpack_name(data, at + 2)[0]}",
    "SRV": _text_srv,
    "TXT": lambda data, at, raw: " ".join(_strings(raw)),
    "HINFO": lambda data, at, raw: " ".join(_strings(raw)),
    "SOA": _text_soa,
    "NAPTR": _text_naptr,
    "CAA": lambda data, at, raw: f'{raw[0]} "{raw[2 : 2 + raw[1]].decode()}" "{raw[2 + raw[1] :].decode("latin-1")}"',
}


# -- records -------------------------------------------------------------------


@dataclass(frozen=True, order=True)
class DnsRecord:
    """One record, its data as text."""

    name: str
    rtype: str
    klass: str
    ttl: int
    rdata: str

    def pack(self) -> bytes:
        raw = pack_rdata(self.rtype, self.rdata)
        head = struct.pack("!HHIH", type_code(self.rtype), class_code(self.klass), self.ttl, len(raw))
        return pack_name(self.name) + head + raw

    def __str__(self) -> str:
        return f"{self.name} {self.ttl} {self.klass} {self.rtype} {self.rdata}"


def record(text: str) -> DnsRecord:
    """Read `name ttl TYPE data`, class IN understood."""
    name, ttl, rtype, *rest = text.split(" ", 3)
    return DnsRecord(name, rtype, "IN", int(ttl), rest[0] if rest else "")


@dataclass(frozen=True)
class DnsQuestion:
    """One question."""

    name: str
    qtype: str
    klass: str = "IN"


@dataclass
class DnsMessage:
    """A parsed message; `raw` holds the bytes it came from."""

    id: int = 0
    flags: int = 0
    question: list[DnsQuestion] = field(default_factory=list)
    answer: list[DnsRecord] = field(default_factory=list)
    authority: list[DnsRecord] = field(default_factory=list)
    additional: list[DnsRecord] = field(default_factory=list)
    edns_size: int | None = None
    edns_flags: int = 0
    edns_options: list[tuple[int, bytes]] = field(default_factory=list)
    raw: bytes = b""
    trailing: int = 0

    @property
    def rcode(self) -> str:
        number = self.flags & 15
        return RCODES.get(number, str(number))

    @property
    def opcode(self) -> int:
        return self.flags >> 11 & 15

    @property
    def ede(self) -> list[int]:
        """The codes of the extended errors."""
        return [struct.unpack_from("!H", data)[0] for code, data in self.edns_options if code == 15 and len(data) > 1]

    def flag_names(self) -> str:
        return " ".join(name for name, bit in FLAG_NAMES.items() if self.flags & bit)

    def has(self, flag: str) -> bool:
        return bool(self.flags & FLAG_NAMES[flag])

    def rdatas(self, rtype: str | None = None) -> list[str]:
        return [item.rdata for item in self.answer if rtype in (None, item.rtype)]


def pack_edns(size: int, flags: int = 0, options: list[tuple[int, bytes]] | None = None) -> bytes:
    body = b"".join(struct.pack("!HH", code, len(data)) + data for code, data in options or [])
    return b"\0" + struct.pack("!HHIH", 41, size, flags, len(body)) + body


def build_query(
    name: str | bytes,
    qtype: str | int = "A",
    klass: str | int = "IN",
    *,
    id: int | None = None,
    flags: str = "RD",
    opcode: int = 0,
    edns: int | None = None,
    do: bool = False,
    options: list[tuple[int, bytes]] | None = None,
) -> bytes:
    """Make a query; `edns` is the advertised size, None for no OPT."""
    bits = sum(FLAG_NAMES[word] for word in flags.split()) | opcode << 11
    with_opt = edns is not None or do or options is not None
    number = random.randrange(65536) if id is None else id
    data = struct.pack("!6H", number, bits, 1, 0, 0, int(with_opt))
    data += pack_name(name) + struct.pack("!HH", type_code(qtype), class_code(klass))
    return data + (pack_edns(edns or 1232, 0x8000 if do else 0, options) if with_opt else b"")


def _unpack_record(data: bytes, at: int) -> tuple[int, DnsRecord, tuple[int, int, int, bytes], int]:
    name, at = unpack_name(data, at)
    if at + 10 > len(data):
        raise DnsWireError("record runs off the end")
    code, klass, ttl, length = struct.unpack_from("!HHIH", data, at)
    at += 10
    raw = data[at : at + length]
    if len(raw) < length:
        raise DnsWireError("record data runs off the end")
    rtype = type_name(code)
    try:
        text = _TEXTS[rtype](data, at, raw) if rtype in _TEXTS and raw else "\\# " + raw.hex()
    except (ValueError, struct.error, IndexError):
        text = "\\# " + raw.hex()
    item = DnsRecord(name, rtype, CLASS_NAMES.get(klass, f"CLASS{klass}"), ttl, text)
    return code, item, (code, klass, ttl, raw), at + length


def _read_edns(message: DnsMessage, klass: int, ttl: int, raw: bytes) -> None:
    message.edns_size, message.edns_flags = klass, ttl
    at = 0
    while at + 4 <= len(raw):
        code, length = struct.unpack_from("!HH", raw, at)
        message.edns_options.append((code, raw[at + 4 : at + 4 + length]))
        at += 4 + length


def parse(data: bytes) -> DnsMessage:
    """Read a message; raise DnsWireError when it is none."""
    if len(data) < 12:
        raise DnsWireError("no header")
    number, flags, questions, *counts = struct.unpack_from("!6H", data)
    message = DnsMessage(number, flags, raw=data)
    at = 12
    for _ in range(questions):
        name, at = unpack_name(data, at)
        if at + 4 > len(data):
            raise DnsWireError("question runs off the end")
        qtype, klass = struct.unpack_from("!HH", data, at)
        message.question.append(DnsQuestion(name, type_name(qtype), CLASS_NAMES.get(klass, f"CLASS{klass}")))
        at += 4
    for section, count in zip((message.answer, message.authority, message.additional), counts, strict=True):
        for _ in range(count):
            code, item, (_, klass, ttl, raw), at = _unpack_record(data, at)
            if code == 41:
                _read_edns(message, klass, ttl, raw)
            else:
                section.append(item)
    message.trailing = len(data) - at
    return message


def build_reply(
    query: DnsMessage,
    *,
    rcode: str = "NOERROR",
    flags: str = "QR RA",
    answer: list[DnsRecord] | None = None,
    authority: list[DnsRecord] | None = None,
    additional: list[DnsRecord] | None = None,
    edns: int | None = None,
    options: list[tuple[int, bytes]] | None = None,
    question: list[DnsQuestion] | None = None,
    id: int | None = None,
) -> bytes:
    """Answer a parsed query; RD and the question are copied unless given."""
    bits = sum(FLAG_NAMES[word] for word in flags.split()) | query.flags & (RD | CD) | RCODE_NUMBERS[rcode]
    asked = query.question if question is None else question
    sections = [answer or [], authority or [], additional or []]
    extra = b"" if edns is None else pack_edns(edns, 0, options)
    counts = [len(section) for section in sections]
    counts[2] += bool(extra)
    data = struct.pack("!6H", query.id if id is None else id, bits, len(asked), *counts)
    for item in asked:
        code = CLASSES[item.klass] if item.klass in CLASSES else int(item.klass[5:])
        data += pack_name(item.name) + struct.pack("!HH", type_code(item.qtype), code)
    return data + b"".join(item.pack() for section in sections for item in section) + extra


def reverse_name(address: str) -> str:
    """The in-addr.arpa or ip6.arpa name of an address, without a final dot."""
    return ipaddress.ip_address(address).reverse_pointer
