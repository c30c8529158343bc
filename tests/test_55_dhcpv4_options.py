"""Section 55: which option lines count, what goes into a reply, and how options look in the log."""

from __future__ import annotations

import random
from typing import Any

import pytest

import dhcpwire
import pydnsmasq as p
from pure import at, config, dhcp_message, number, octets, shown

LAN0 = at("lan0", "10.5.0.1", 24)
ALL_ASKED = tuple(range(1, 255))


def plan_of(lines: list[str], own: str = "", range_tag: str = "") -> Any:
    """A plan for configuration lines; without `=` a line is a dhcp-option."""
    settings = config("no-resolv", *(line if "=" in line else f"dhcp-option={line}" for line in lines))
    return p.dhcp4_plan(settings.dhcp_option, settings.dhcp_boot, own.split(), [*own.split(), *range_tag.split()])


class Written:
    """A reply with the options that a writer put into it."""

    def __init__(
        self, *lines: str, own: str = "", range_tag: str = "", wanted: tuple[int, ...] | None = None,
        vendor: str = "", terminate: bool = False, domain: str = "", hostname: str = "", dns: bool = True,
        context: bool = True, override: bool = True, boot: bool = False,
    ) -> None:  # fmt: skip
        settings = config("no-resolv", "dhcp-range=10.5.0.50,10.5.0.150")
        here = p.network_find(settings.dhcp_range, (LAN0,), (), "lan0").contexts[0] if context else None
        self.reply = p.Dhcp4Reply(p.dhcp4_unpack(dhcp_message(["discover", "m1"]).pack()))
        asked = frozenset(wanted) if wanted is not None else None
        plan = plan_of(list(lines), own, range_tag)
        writer = p.Dhcp4Writer(self.reply, plan, here, number(".1"), asked, terminate)
        if boot:
            writer.boot(lambda name: number(".77") if name == "tftp" else 0, override)
        writer.defaults(p.dns_name_parse(domain) if domain else b"", hostname, dns)
        writer.configured()
        writer.wrapped(vendor.encode())
        self.options = [(code, bytes(data)) for code, data in self.reply.options]

    @property
    def texts(self) -> list[str]:
        return [f"{code}:{shown(data)}" for code, data in self.options if code not in (1, 28)]

    @property
    def numbers(self) -> list[int]:
        return [code for code, _ in self.options]


# -- which lines count ------------------------------------

# Lines `TAGS NUMBER VALUE`, the client's tags, the range's tag -> what counts, in the order of the reply.
CHOICES: list[tuple[str, str, str, str, str]] = [
    ("the last line", "- 201 a; - 201 b", "", "", "201:b"),
    ("with its place", "- 201 a; - 202 b; - 201 c", "", "", "201:c 202:b"),
    ("the last line first", "- 201 a; - 202 b; - 203 c", "", "", "203:c 202:b 201:a"),
    ("tags before none", "t 201 a; - 201 b", "t", "", "201:a"),
    ("tags before none, whatever the order", "- 201 b; t 201 a", "t", "", "201:a"),
    ("no tags", "t 201 a; - 201 b", "u", "", "201:b"),
    ("the last line with tags", "t 201 a; u 201 b", "t u", "", "201:b"),
    ("the last that fits", "t 201 a; u 201 b", "t", "", "201:a"),
    ("all tags", "t,u 201 a; - 201 b", "t", "", "201:b"),
    ("not a tag", "!t 201 a; - 201 b", "", "", "201:a"),
    ("but a tag", "!t 201 a; - 201 b", "t", "", "201:b"),
    ("the range's tag", "r 201 a; - 201 b", "", "r", "201:a"),
    ("the client's tags before the range's", "t 201 a; r 201 b", "t", "r", "201:a"),
    ("also with both tags in one line", "t 201 a; t,r 201 b", "t", "r", "201:a"),
    ("another number by the range's tag", "t 201 a; r 202 b; - 203 c", "t", "r", "203:c 202:b 201:a"),
    ("what the range forbids", "!r 201 a; r 201 b", "", "r", "201:b"),
    ("also where nothing else is left", "!r 201 a; - 202 b", "", "r", "202:b"),
    ("tags do not change places", "t 201 a; - 202 b; t 203 c", "t", "", "203:c 202:b 201:a"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("lines", "own", "range_tag", "expected"), [r[1:] for r in CHOICES], ids=[r[0] for r in CHOICES]
)
def test_which_lines_count(lines: str, own: str, range_tag: str, expected: str) -> None:
    made = []
    for line in lines.split("; "):
        tags, code, value = line.split()
        made.append(",".join([*(f"tag:{tag}" for tag in tags.split(",") if tag != "-"), code, value]))
    written = Written(*made, own=own, range_tag=range_tag, context=False)
    assert written.texts == [text.replace(":", ":'") for text in expected.split()]


BOOTS: list[tuple[list[str], str, str]] = [
    (["a"], "", "a"), (["a", "b"], "", "b"), (["tag:t,a", "b"], "t", "a"), (["tag:t,a", "b"], "", "b"),
    (["tag:t,a", "tag:u,b", "c"], "t u", "b"), (["tag:t,a"], "", "-"), (["tag:!t,a", "b"], "", "a"), ([], "", "-"),
]  # fmt: skip


@pytest.mark.parametrize(("lines", "tags", "file"), BOOTS)
def test_which_dhcp_boot_counts(lines: list[str], tags: str, file: str) -> None:
    boot = plan_of([f"dhcp-boot={line}" for line in lines], tags).boot
    assert (boot.file if boot else "-") == file


# -- the defaults ------------------------------------

DEFAULTS = "1:ffffff00 28:0a0500ff 3:0a050001 6:0a050001 15:'lan.test 12:'pc"


@pytest.mark.parametrize(("lines", "wanted", "numbers"), [
    ([], None, [1, 28, 3, 6, 15, 12]), ([], (), [1, 28]), ([], (3,), [1, 28, 3]), ([], (12, 6, 1), [1, 28, 6, 12]),
    # a line of the configuration takes the default's place away
    (["3,10.5.0.254"], None, [1, 28, 6, 15, 12, 3]), (["201,x", "6,10.5.0.2", "1,255.0.0.0"], None,
     [28, 3, 15, 12, 1, 6, 201]),
    (["3,10.5.0.254"], (6,), [1, 28, 6]),
    # without a value it suppresses, those six only
    (["3"], None, [1, 28, 6, 15, 12]), (["1", "28", "3", "6", "15", "12"], None, []),
    (["201"], None, [1, 28, 3, 6, 15, 12, 201]),
    (["tag:t,3"], None, [1, 28, 3, 6, 15, 12]), (["3,10.5.0.254", "3"], None, [1, 28, 6, 15, 12]),
])  # fmt: skip
def test_defaults(lines: list[str], wanted: tuple[int, ...] | None, numbers: list[int]) -> None:
    assert Written(*lines, wanted=wanted, domain="lan.test", hostname="pc").numbers == numbers


def test_values_of_defaults() -> None:
    written = Written(domain="lan.test", hostname="pc")
    assert [f"{code}:{shown(data)}" for code, data in written.options] == DEFAULTS.split()
    assert Written(context=False, domain="lan.test", hostname="pc").numbers == [15, 12]
    assert Written(dns=False).numbers == [1, 28, 3]


# -- lines of the configuration ------------------------------------


@pytest.mark.parametrize(("line", "wanted", "expected"), [
    ("201,x", None, ["201:'x"]), ("201,x", (201,), ["201:'x"]), ("201,x", (202,), []), ("201,x", (), []),
    ("dhcp-option-force=201,x", (202,), ["201:'x"]), ("dhcp-option-force=201,x", (), ["201:'x"]),
    ("208", None, ["208:empty"]),
    # the server's own address
    ("42,0.0.0.0", None, ["42:0a050001"]), ("42,10.5.0.9,0.0.0.0", None, ["42:0a0500090a050001"]),
    # never sent: some set something else
    ("58,100", None, []), ("59,100", None, []), ("dhcp-option-force=58,100", None, []), ("255,10.5.0.9", None, []),
    # texts for the boot have an end mark
    ("66,srv", (66,), ["66:73727600"]), ("67,file", (67,), ["67:66696c6500"]), ("17,/root", (17,), ["17:'/root"]),
])  # fmt: skip
def test_configured_lines(line: str, wanted: tuple[int, ...] | None, expected: list[str]) -> None:
    assert Written(line, wanted=wanted, context=False).texts == expected


@pytest.mark.parametrize(("line", "expected"), [
    ("17,/root", "17:2f726f6f7400"), ("42,10.5.0.9", "42:0a050009"), ("66,srv", "66:73727600"),
    ("15,lan.test", "15:6c616e2e7465737400"),
])  # fmt: skip
def test_who_ends_his_texts_with_nul_gets_them_so(line: str, expected: str) -> None:
    code = int(expected.partition(":")[0])
    assert expected in Written(line, wanted=(code,), terminate=True).texts


def test_default_texts_end_with_nul_too() -> None:
    assert Written(terminate=True, wanted=(12, 15), domain="lan", hostname="pc").texts == ["15:6c616e00", "12:706300"]


@pytest.mark.parametrize("code", [51, 53, 54])
def test_what_the_server_says_stands_there_once(code: int) -> None:
    """A client joins options that are there twice (RFC 3396 s.7): eight octets of lease time mean nothing to it."""
    text = f"dhcp-option={code},10.5.0.9" if code == 54 else f"dhcp-option={code},99"
    result = p.config_load(["-C", "/x", "--" + text], _Nothing())
    if result.config is not None:
        assert code not in Written(text, context=False).numbers


class _Nothing:
    """A ConfigSource with one empty file."""

    def read(self, path: str) -> list[bytes]:
        return [b"no-resolv\n"]

    def identity(self, path: str) -> str:
        return path


# -- boot ------------------------------------

# Lines, the request list -> options, file, sname, next server.
BOOTING: list[tuple[list[str], tuple[int, ...] | None, str, str, str, str]] = [
    ([], None, "", "", "", ".1"),
    (["dhcp-boot=f,s,10.5.0.9"], None, "", "f", "s", ".9"), (["dhcp-boot=f,s,10.5.0.9"], (3,), "", "f", "s", ".9"),
    (["dhcp-boot=f,s,10.5.0.9"], (66, 67), "66:7300 67:6600", "", "", ".9"),
    (["dhcp-boot=f,s,10.5.0.9"], (67,), "67:6600", "", "s", ".9"), (["dhcp-boot=f"], None, "", "f", "", ".1"),
    (["dhcp-boot=f,s,tftp"], None, "", "f", "s", ".77"), (["dhcp-boot=f,s,unknown"], None, "", "f", "s", "0.0.0.0"),
    # without dhcp-boot its options do the same
    (["67,f", "66,s"], None, "", "f", "s", ".1"), (["67,f", "66,s"], (3,), "", "f", "s", ".1"),
    (["67,f", "66,s"], (66, 67), "66:7300 67:6600", "", "", ".1"),
    (["dhcp-option-force=67,f"], (3,), "67:6600", "", "", ".1"),
    (["255,10.5.0.9"], None, "", "", "", ".9"), (["option:server-ip-address,10.5.0.9"], None, "", "", "", ".9"),
    (["255,0.0.0.0"], None, "", "", "", ".1"),
    # with it both may be there
    (["dhcp-boot=f", "67,g"], (67,), "67:6600 67:6700", "", "", ".1"),
]  # fmt: skip


@pytest.mark.parametrize(("lines", "wanted", "options", "file", "sname", "server"), BOOTING)
def test_booting(
    lines: list[str], wanted: tuple[int, ...] | None, options: str, file: str, sname: str, server: str
) -> None:
    written = Written(*lines, wanted=wanted, context=False, boot=True)
    reply = written.reply
    assert (reply.file, reply.sname, reply.siaddr) == (file.encode(), sname.encode(), number(server))
    assert written.texts == options.split()


def test_dhcp_no_override_keeps_the_fields() -> None:
    written = Written("dhcp-boot=f,s", wanted=(66, 67), override=False, boot=True, context=False)
    assert (written.reply.file, written.reply.sname, written.texts) == (b"f", b"s", [])


def test_long_names_are_cut_to_their_fields() -> None:
    written = Written(f"dhcp-boot={'f' * 200},{'s' * 100}", boot=True)
    assert (written.reply.file, written.reply.sname) == (b"f" * 127, b"s" * 63)
    written = Written(f"67,{'f' * 200}", f"66,{'s' * 100}", boot=True)
    assert (written.reply.file, written.reply.sname) == (b"f" * 127, b"s" * 63)


# -- options in options ------------------------------------

# Lines, the client's vendor class, the request list -> options.
WRAPPED: list[tuple[str, list[str], str, tuple[int, ...] | None, list[str]]] = [
    ("enterprises", ["vi-encap:5,1,x", "vi-encap:6,1,y", "vi-encap:5,2,z"], "", None,
     ["125:0000000506" + "02017a010178", "125:0000000603010179"]),
    ("enterprises that nobody asked for", ["vi-encap:5,1,x"], "", (3,), []),
    ("forced", ["dhcp-option-force=vi-encap:5,1,x"], "", (3,), ["125:0000000503010178"]),
    ("encap", ["encap:206,1,x", "encap:206,2,y"], "", None, ["206:020179010178ff"]),
    ("encap asked for", ["encap:206,1,x"], "", (206,), ["206:010178ff"]), ("not", ["encap:206,1,x"], "", (3,), []),
    ("vendor", ["vendor:MSFT,1,x", "vendor:MSFT,2,y", "vendor:MSFT,3,z"], "MSFT 5.0", None,
     ["43:03017a020179010178ff", "60:'MSFT 5.0".replace(" ", " ")]),
    ("a vendor anywhere in the class", ["vendor:AB,1,x"], "xABx", (43,), ["43:010178ff", "60:'xABx"]),
    ("asked for", ["vendor:AB,1,x"], "AB", (43,), ["43:010178ff", "60:'AB"]),
    ("option 60 alone asked for", ["vendor:AB,1,x"], "AB", (60,), []),
    ("neither", ["vendor:AB,1,x"], "AB", (3,), []), ("forced", ["dhcp-option-force=vendor:AB,1,x"], "AB", (3,),
     ["43:010178ff", "60:'AB"]),
    ("another class", ["vendor:AB,1,x"], "CD", None, []), ("no class", ["vendor:AB,1,x"], "", None, []),
    ("any class", ["vendor:,1,x"], "CD", None, ["43:010178ff", "60:'CD"]),
    ("no class at all", ["vendor:,1,x"], "", None, []),
    ("integers", ["vendor:MSFT,2,1i"], "MSFT", None, ["43:020400000001ff", "60:'MSFT"]),
    ("raw and vendor", ["43,01:02:03", "vendor:AB,1,x"], "AB", None, ["43:010203", "43:010178ff", "60:'AB"]),
    ("in this order", ["vendor:AB,1,x", "encap:206,1,x", "vi-encap:5,1,x", "201,q"], "AB", None,
     ["201:'q", "125:0000000503010178", "206:010178ff", "43:010178ff", "60:'AB"]),
    ("tags", ["tag:t,vendor:AB,1,x", "vendor:AB,2,y"], "AB", None, ["43:020179ff", "60:'AB"]),
    ("empty ones", ["vendor:AB,1"], "AB", None, ["43:0100ff", "60:'AB"]),
]  # fmt: skip


@pytest.mark.parametrize(
    ("lines", "vendor", "wanted", "expected"), [row[1:] for row in WRAPPED], ids=[row[0] for row in WRAPPED]
)
def test_options_in_options(lines: list[str], vendor: str, wanted: tuple[int, ...] | None, expected: list[str]) -> None:
    written = Written(*lines, vendor=vendor, wanted=wanted, context=False)
    assert [(code, data.hex()) for code, data in written.options] == [
        (int(code), octets(text).replace(b"_", b" ").hex()) for code, _,
        text in (row.partition(":") for row in expected)
    ]  # fmt: skip


def inside(data: bytes) -> list[tuple[int, bytes]]:
    found, _, _ = dhcpwire.parse_options(data)
    return found


@pytest.mark.parametrize("lengths", [
    [200, 200, 50], [252, 10], [253], [120, 120, 9], [251, 251, 251], [100] * 7, [0] * 100, [253, 0, 253], [1] * 90,
], ids=str)  # fmt: skip
def test_many_suboptions_are_spread_over_several_options(lengths: list[int]) -> None:
    """No suboption is cut: a client that does not join options reads each one."""
    lines = [f"encap:206,{at},{'x' * size}" if size else f"encap:206,{at}" for at, size in enumerate(lengths, 1)]
    written = Written(*lines, context=False)
    pieces = [data for code, data in written.options if code == 206]
    assert all(0 < len(piece) <= 255 for piece in pieces)
    assert [pair for piece in pieces for pair in inside(piece)] == [
        (at, b"x" * size) for at, size in reversed(list(enumerate(lengths, 1)))
    ]
    assert b"".join(pieces).endswith(b"\xff")
    assert len(pieces) <= (sum(lengths) + 2 * len(lengths) + 1) // 200 + 2


@pytest.mark.parametrize("lengths", [[200], [200, 40], [200, 200], [250, 250, 250], [100] * 5], ids=str)
def test_the_length_of_an_enterprise_is_true(lengths: list[int]) -> None:
    """Enterprise number, length, data, again and again (RFC 3925 s.4); dnsmasq sends none where they are over 255."""
    lines = [f"vi-encap:9,{at},{'x' * size}" for at, size in enumerate(lengths, 1)]
    data = b"".join(data for code, data in Written(*lines, context=False).options if code == 125)
    found: list[tuple[int, bytes]] = []
    while data:
        assert data[:4] == b"\0\0\0\x09"
        size = data[4]
        assert len(data) >= 5 + size
        found += inside(data[5 : 5 + size])
        data = data[5 + size :]
    expected = [(at, b"x" * size) for at, size in enumerate(lengths, 1)]
    assert sorted(found) == expected or (not found and sum(lengths) > 240)


@pytest.mark.parametrize(("flags", "expected"), [
    (1, b"\1\xff\xffpc.lan.test"), (5, b"\5\xff\xff\2pc\3lan\4test\0"), (0x0A, b"\x0a\xff\xffpc.lan.test"),
])  # fmt: skip
def test_option_81_is_written_as_it_was_read(flags: int, expected: bytes) -> None:
    wire = p.dns_name_parse("pc.lan.test")
    assert p.fqdn_pack(flags, wire) == expected
    assert p.fqdn_unpack(p.fqdn_pack(flags, wire)) == (flags, "pc.lan.test")


# -- the log ------------------------------------

LOGGED = [
    (53, "02", "  1 option: 53 message-type  2"), (54, "0a050001", "  4 option: 54 server-identifier  10.5.0.1"),
    (51, "00000e10", "  4 option: 51 lease-time  1h"), (58, "00000708", "  4 option: 58 T1  30m"),
    (59, "00000c4e", "  4 option: 59 T2  52m30s"), (1, "ffffff00", "  4 option:  1 netmask  255.255.255.0"),
    (81, "01ffff6a6f652e6c616e2e74657374", " 15 option: 81 FQDN  01:ff:ff:6a:6f:65:2e:6c:61:6e:2e:74:65:73..."),
    (210, "04d2", "  2 option:210   04:d2"),
    (209, "'a_string_here", " 13 option:209   61:20:73:74:72:69:6e:67:20:68:65:72:65"),
    (43, "010203", "  3 option: 43 vendor-encap  01:02:03"),
    (100, "'EST5EDT", "  7 option:100 posix-timezone  EST5EDT"),
    (2, "fffff1f0", "  4 option:  2 time-offset  ff:ff:f1:f0"), (19, "01", "  1 option: 19 ip-forward-enable  01"),
    (26, "0578", "  2 option: 26 mtu  1400"), (42, "0a0500090a050001", "  8 option: 42 ntp-server  10.5.0.9, 10.5.0.1"),
    (119, "01610474657374000162c002", " 12 option:119 domain-search  01:61:04:74:65:73:74:00:01:62:c0:02"),
    (60, "'MSFT_5.0", "  8 option: 60 vendor-class  4d:53:46:54:20:35:2e:30"),
    (82, "010361626302027a7a", "  9 option: 82 agent-info  01:03:61:62:63:02:02:7a:7a"),
    (118, "0a050000", "  4 option:118 subnet-select  0a:05:00:00"),
    (56, "'address_in_use_by_x", " 19 option: 56 message  61:64:64:72:65:73:73:20:69:6e:20:75:73:65..."),
    (15, "'lan.test", "  8 option: 15 domain-name  lan.test"), (12, "'pc", "  2 option: 12 hostname  pc"),
    (80, "", "  0 option: 80 rapid-commit  "), (3, "", "  0 option:  3 router  "),
    (51, "ffffffff", "  4 option: 51 lease-time  infinite"), (66, "'srv~", "  4 option: 66 tftp-server  srv"),
    # not as their kind wants them
    (3, "0a0500", "  3 option:  3 router  0a:05:00"), (51, "0e10", "  2 option: 51 lease-time  0e:10"),
    (53, "", "  0 option: 53 message-type  "),
    (15, "ff0a41", "  3 option: 15 domain-name  A"),
]  # fmt: skip


@pytest.mark.parametrize(("code", "data", "text"), LOGGED)
def test_options_in_the_log(code: int, data: str, text: str) -> None:
    if (code, data) != (53, ""):
        assert p.option_log(code, octets(data)) == f"sent size:{text}"
    else:
        assert p.option_log(code, b"").startswith("sent size:")


@pytest.mark.parametrize("code", range(256))
def test_every_option_has_a_line(code: int) -> None:
    dice = random.Random(code)
    row = p.DHCP4_OPTIONS.get(code)
    for data in (b"", b"\0", bytes(4), b"\xff" * 4, *(dice.randbytes(dice.randrange(256)) for _ in range(5))):
        text = p.option_log(code, data)
        assert text.startswith(f"sent size:{len(data):3d} option:{code:3d} ")
        assert text.isascii()
        assert text.isprintable()
        if row is not None and code not in (82, 255):
            assert f" {row.name}  " in text


# The request list of a client -> the lines: one ends when it is longer than 40 letters.
REQUESTED: list[tuple[list[int], list[str]]] = [
    ([], []), ([1], ["1:netmask"]), ([208], ["208"]), ([255], ["255"]), ([1, 3], ["1:netmask, 3:router"]),
    ([1, 28, 2, 3, 15, 6, 12, 26, 42, 121, 119, 17, 19, 100, 224, 120, 43, 125, 208, 209, 210, 51, 58, 59, 44],
     ["1:netmask, 28:broadcast, 2:time-offset, 3:router, ", "15:domain-name, 6:dns-server, 12:hostname, ",
      "26:mtu, 42:ntp-server, 121:classless-static-route, ", "119:domain-search, 17:root-path, 19:ip-forward-enable, ",
      "100:posix-timezone, 224, 120:sip-server, ", "43:vendor-encap, 125:vendor-id-encap, 208, ",
      "209, 210, 51:lease-time, 58:T1, 59:T2, 44:netbios-ns"]),
]  # fmt: skip


@pytest.mark.parametrize(("codes", "lines"), REQUESTED, ids=["nothing", "one", "unknown", "end", "two", "many"])
def test_requested_options_in_the_log(codes: list[int], lines: list[str]) -> None:
    assert [line.strip(", ") for line in p.options_names_log(bytes(codes))] == [line.strip(", ") for line in lines]
    assert "".join(p.options_names_log(bytes(codes))) == "".join(lines)


def test_any_request_list_has_lines_of_a_fair_length() -> None:
    dice = random.Random(55)
    for _ in range(300):
        codes = dice.randbytes(dice.randrange(256))
        lines = p.options_names_log(codes)
        assert all(0 < len(line) < 75 for line in lines)
        assert [int(word.partition(":")[0]) for word in "".join(lines).split(", ") if word] == list(codes)


def test_every_line_that_dhcp_option_takes_can_be_sent() -> None:
    values = {"addr": "10.5.0.9", "text": "word", "domains": "a.test", "time": "1h", "raw": "01:02:03"}
    for row in p.DHCP4_OPTIONS.values():
        if not row.settable or row.number in (58, 59, 80, 81, 255):
            continue
        value = {"120": "10.5.0.9", "121": "10.8.0.0/16,10.5.0.3"}.get(str(row.number), values.get(row.kind, "1"))
        written = Written(f"option:{row.name},{value}", wanted=ALL_ASKED)
        assert row.number in written.numbers, row
        assert written.numbers.count(row.number) == 1


# -- booting from the network ------------------------------------


def octets_of(text: str) -> bytes:
    """Words in hex, or text after a quote."""
    return b"".join(octets(word) for word in text.split())


# Lines -> what counts for another client, for one that boots, for one that is served beside another server.
PXE_LINES: list[tuple[str, list[str], tuple[str, str, str]]] = [
    ("for PXE clients only", ["dhcp-option-pxe=201,a"], ("", "201", "201")),
    ("for all", ["dhcp-option=201,a"], ("201", "201", "")),
    ("the last line", ["dhcp-option=201,a", "dhcp-option-pxe=201,b"], ("201:a", "201:b", "201:b")),
    ("the last line, the other way", ["dhcp-option-pxe=201,b", "dhcp-option=201,a"], ("201:a", "201:a", "201:b")),
    ("tags", ["dhcp-option-pxe=tag:t,201,a"], ("", "", "")),
    ("forced", ["dhcp-option-force=201,a"], ("201", "201", "")),
    ("wrapped", ["dhcp-option-pxe=encap:175,1,b", "dhcp-option=encap:175,2,a"], ("w2", "w2 w1", "w1")),
    ("vendor:", ["dhcp-option=vendor:PXEClient,1,a"], ("v1", "v1", "v1")),
    ("enterprise", ["dhcp-option-pxe=vi-encap:9,1,b", "dhcp-option=vi-encap:9,2,b"], ("w2", "w2 w1", "w1")),
    ("the boot file", ["dhcp-boot=f", "dhcp-boot=tag:t,g"], ("bf", "bf", "bf")),
]


@pytest.mark.parametrize(("lines", "expected"), [row[1:] for row in PXE_LINES], ids=[row[0] for row in PXE_LINES])
def test_which_lines_count_for_pxe_clients(lines: list[str], expected: tuple[str, str, str]) -> None:
    settings = config("no-resolv", *lines)
    for kind, hoped in zip(("", "client", "proxy"), expected, strict=True):
        plan = p.dhcp4_plan(settings.dhcp_option, settings.dhcp_boot, [], [], kind)
        named = ":" in hoped
        found = [f"{code}:{rule.data.decode()}" if named else str(code) for code, rule in plan.plain.items()]
        found += [f"w{rule.number}" for rules in plan.wrappers.values() for rule in rules]
        found += [f"v{rule.number}" for rule in plan.vendors] + ([f"b{plan.boot.file}"] if plan.boot else [])
        assert " ".join(found) == hoped, kind


def items(*services: str) -> Any:
    return p.pxe_items(config("no-resolv", *(f"pxe-service={one}" for one in services)).pxe_service)


def test_numbers_of_boot_items() -> None:
    """A file gets the next free number, whatever its architecture and tags; a type is its own, the disk 0."""
    found = items("0,A,a", "0,B,5", "0,C", "7,D,d", "0,E,0", "tag:t,0,F,f.0,10.0.0.9", "0,G,65535")
    assert [one.number for one in found] == [0x8000, 5, 0, 0x8001, 0, 0x8002, 65535]
    many = p.pxe_items([p.PxeService(0, "x", "f")] * 0x8001)
    assert all(0 <= one.number <= 0xFFFF for one in many) and many[0x7FFF].number == 0xFFFF


ONE, TWO = "0a050001", "0a050009"  # our address, another server's
# Services, whether there is a prompt -> the suboptions, `none` where the menu is too large.
MENUS: list[tuple[str, list[str], bool, str]] = [
    ("nothing for this client", [], False, "060108 0a0400 'PXE"),
    ("and a prompt", [], True, "060108"),
    ("a file", ["0,Boot,a"], False, f"060103 0a0400 'PXE 0807 800001 {ONE} 0907 800004 'Boot"),
    ("files", ["0,A,a", "0,B,b"], False,
     f"060103 0a04ff 'PXE 080e 800001 {ONE} 800101 {ONE} 0908 800001 'A 800101 'B"),
    ("and a prompt", ["0,A,a"], True, f"060103 0807 800001 {ONE} 0904 800001 'A"),
    ("its server matters later", ["0,A,a,10.5.0.9"], True, f"060103 0807 800001 {ONE} 0904 800001 'A"),
    ("a type with a server", ["0,A,7,10.5.0.9"], True, f"060103 0807 000701 {TWO} 0904 000701 'A"),
    ("by name", ["0,A,7,srv"], True, f"060103 0807 000701 {TWO} 0904 000701 'A"),
    ("a type without", ["0,A,7"], True, "060102 0904 000701 'A"),
    ("an unknown name", ["0,A,7,nobody"], True, "060102 0904 000701 'A"),
    ("a file and a type without", ["0,B,b", "0,A,7"], True, f"060102 0807 800001 {ONE} 0908 800001 'B 000701 'A"),
    ("the local disk", ["0,A,0"], True, "060103 0904 000001 'A"),
    ("the local disk, too", ["0,A"], False, "060103 0a0400 'PXE 0904 000001 'A"),
    ("text that is no ASCII", ["0,\u00e4,a"], True, f"060103 0807 800001 {ONE} 0905 800002 c3a4"),
    ("as large as may be", [f"0,{'x' * 249},5,10.5.0.9"], True, f"060103 0807 000501 {TWO} 09fc 0005f9 '{'x' * 249}"),
    ("too large a text", [f"0,{'x' * 250},5"], True, "none"),
    ("too large together", [f"0,{'x' * 123},5", f"0,{'x' * 124},5"], True, "none"),
    ("too many servers", ["0,x,5,10.5.0.9"] * 37, True, "none"),
]  # fmt: skip


@pytest.mark.parametrize(("services", "prompted", "expected"), [r[1:] for r in MENUS], ids=[r[0] for r in MENUS])
def test_menus(services: list[str], prompted: bool, expected: str) -> None:
    def server(rule: Any) -> int:
        if rule.server is not None:
            return int.from_bytes(rule.server, "big")
        return {"srv": number(".9")}.get(rule.server_host, 0)

    found = p.pxe_menu(items(*services), number(".1"), server, prompted)
    assert (found is None) == (expected == "none")
    if found is not None:
        assert b"".join(found) == octets_of(expected)
        assert all(one[1] == len(one) - 2 for one in found)


@pytest.mark.parametrize(("data", "expected"), [
    (None, None), ("", None), ("ff", None), ("470480000000ff", (0x8000, 0)), ("4704800000ff", (0x8000, 255)),
    ("47048000000a", (0x8000, 10)), ("060103 470400070003 ff", (7, 3)), ("470280 00", None), ("4703800000", None),
    ("470580000001ff", (0x8000, 1)), ("47ff80000000", None), ("48 04 80000000", None), ("0000 470400010002", (1, 2)),
])  # fmt: skip
def test_boot_items_asked_for(data: str | None, expected: tuple[int, int] | None) -> None:
    assert p.pxe_boot_item({} if data is None else {43: bytes.fromhex(data)}) == expected


def test_any_bytes_are_a_boot_item_or_none() -> None:
    dice = random.Random(71)
    for _ in range(3000):
        data = bytes(dice.choice((71, 4, 0, 255, 1, 128)) for _ in range(dice.randrange(12)))
        found = p.pxe_boot_item({43: data})
        assert found is None or all(0 <= one <= 0xFFFF for one in found)


class Booted:
    """What a writer says to a PXE client."""

    def __init__(self, *lines: str, packet: str = "discover m1 pxe=0", wanted: tuple[int, ...] | None = None) -> None:
        self.settings = config("no-resolv", *lines)
        self.request = p.dhcp4_unpack(dhcp_message(packet.split()).pack())
        self.reply = p.Dhcp4Reply(self.request)
        plan = p.dhcp4_plan(self.settings.dhcp_option, self.settings.dhcp_boot, [], [], "client")
        asked = frozenset(wanted) if wanted is not None else None
        self.writer = p.Dhcp4Writer(self.reply, plan, None, number(".1"), asked, False)
        self.writer.pxe_client = True

    @property
    def texts(self) -> list[str]:
        return [f"{code}:{shown(bytes(data))}" for code, data in self.reply.options]


@pytest.mark.parametrize(("machine", "expected"), [
    ("", []), ("o97=00", []), (f"o97={'11' * 16}", []), (f"o97={'11' * 17}", [f"97:{'11' * 17}"]),
    (f"o97={'11' * 17}22", [f"97:{'11' * 17}"]),
])  # fmt: skip
def test_who_we_are_to_a_pxe_client(machine: str, expected: list[str]) -> None:
    booted = Booted(packet=f"discover m1 vendor=PXEClient:x {machine}")
    booted.writer.pxe_identity(booted.request, b"PXEClient")
    assert booted.texts == ["60:'PXEClient", *expected]


VENDOR = "dhcp-option=vendor:PXEClient,1,00:01"
FORCED = "dhcp-option-force=vendor:PXEClient,1,00:01"
PROMPT = "pxe-prompt=Press,9"
# Lines, what is asked for, whether it is always said, the first suboption -> option 43.
CHOSEN: list[tuple[str, list[str], tuple[int, ...] | None, bool, str, str]] = [
    ("nothing to say", [], None, True, "", ""),
    ("a menu", [], None, False, "060103", "060103ff"),
    ("asked for", [], (43,), False, "060103", "060103ff"),
    ("not asked for", [], (1,), False, "060103", ""),
    ("not asked for, but always", [], (1,), True, "060103", "060103ff"),
    ("vendor lines", [VENDOR], None, False, "060103", "060103 01020001 ff"),
    ("of other vendors", ["dhcp-option=vendor:HW,1,00:01"], None, False, "060103", "060103 ff"),
    ("forced", [FORCED], (1,), False, "060103", "060103 01020001 ff"),
    ("prompts, the last first", [PROMPT, "pxe-prompt=B"], None, False, "060103", "060103 0a02ff'B 0a0609'Press ff"),
    ("only a prompt", ["pxe-prompt=B,0"], None, False, "", "0a0200'B ff"),
    ("only vendor lines", [VENDOR, "dhcp-option=vendor:PXEClient,2,00:02"], None, False, "", "02020002 01020001 ff"),
    ("a long prompt", [f"pxe-prompt={'x' * 300}"], None, True, "", f"0afbff '{'x' * 250} ff"),
]  # fmt: skip


@pytest.mark.parametrize(("lines", "wanted", "always", "first", "expected"), [r[1:] for r in CHOSEN],
                         ids=[r[0] for r in CHOSEN])  # fmt: skip
def test_option_43(lines: list[str], wanted: tuple[int, ...] | None, always: bool, first: str, expected: str) -> None:
    booted = Booted(*lines, wanted=wanted)
    pieces = [bytes.fromhex(first)] if first else []
    booted.writer.pxe_choices(booted.request, pieces, booted.settings.pxe_prompt, always)
    hoped = octets_of(expected.replace("'", " '"))
    assert [bytes(data) for _, data in booted.reply.options] == ([hoped] if hoped else [])
    assert all(code == 43 for code, _ in booted.reply.options)


@pytest.mark.parametrize("size", [100, 240, 247, 248, 249, 250, 251, 252, 253])
def test_a_long_option_43_is_split_between_suboptions(size: int) -> None:
    booted = Booted("pxe-prompt=Press")
    first = [b"\x09" + bytes((size,)) + b"x" * size, b"\6\1\3"]
    booted.writer.pxe_choices(booted.request, first, booted.settings.pxe_prompt, True)
    parts = [bytes(data) for _, data in booted.reply.options]
    assert b"".join(parts) == b"".join(first) + b"\x0a\6\xffPress\xff"
    for part in parts:
        pos = 0
        while pos < len(part) and part[pos] != 255:
            pos += 2 + part[pos + 1]
        assert len(part) <= 255 and pos in (len(part), len(part) - 1), "a suboption is cut"


# The line's server -> its address, what is said in the log.
SERVERS: list[tuple[str, str, str]] = [
    ("", ".1", ""), (",10.5.0.9", ".9", ""), (",0.0.0.0", ".1", ""), (",tftp", ".77", ""),
    (",nobody", "0.0.0.0", "No IPv4 address found for nobody"),
]  # fmt: skip


@pytest.mark.parametrize(("server", "address", "said"), SERVERS)
def test_servers_of_boot_items(server: str, address: str, said: str) -> None:
    booted = Booted(f"pxe-service=0,Boot,a{server}")
    found = booted.writer.server(
        booted.settings.pxe_service[0], lambda name: number(".77") if name == "tftp" else 0, number(".1")
    )
    assert found == number(address) and booted.writer.problems == ([said] if said else [])
