"""Section 40: hosts files, records of the configuration, interfaces, private ranges."""

from __future__ import annotations

import random
from typing import Any

import pytest

import dnswire
import pydnsmasq as p
from pure import LogLines, addr, at, config, local_data, name


def hosts(text: str | bytes, domain: bytes = b"", source: str = "/etc/hosts") -> tuple[Any, list[str], int]:
    """Read one hosts file; give the data, the complaints and the count."""
    data, said = p.LocalData(), []
    octets = text.encode() if isinstance(text, str) else text
    count = p.HostsReader(data, lambda address: domain, said.append).read([octets], source)
    data.freeze()
    return data, said, count


def found(data: Any, asked: str, rrtype: int = p.TYPE_A) -> list[str]:
    return [p.rdata_log(rr.rdata, rr.rrtype)[0] for rr in data.find(name(asked).lower(), rrtype)]


def owner(data: Any, address: str) -> str | None:
    rr = data.find_reverse(addr(address))
    return None if rr is None else p.dns_name_format(rr.rdata)


# -- hosts files ---------------------------------------------------------------

PLAIN = [
    ("one name", "10.0.0.1 a.lan\n", {"a.lan": ["10.0.0.1"]}, 1),
    ("several names", "10.0.0.1 a b c\n", {"a": ["10.0.0.1"], "b": ["10.0.0.1"], "c": ["10.0.0.1"]}, 3),
    ("tabs and runs of blanks", "10.0.0.1\t \ta  \t b\t\n", {"a": ["10.0.0.1"], "b": ["10.0.0.1"]}, 2),
    ("leading blanks", "   10.0.0.1 a\n", {"a": ["10.0.0.1"]}, 1),
    ("CRLF", "10.0.0.1 a\r\n10.0.0.2 b\r\n", {"a": ["10.0.0.1"], "b": ["10.0.0.2"]}, 2),
    ("no last newline", "10.0.0.1 a\n10.0.0.2 b", {"a": ["10.0.0.1"], "b": ["10.0.0.2"]}, 2),
    ("comment line", "# 10.0.0.9 z\n10.0.0.1 a\n", {"a": ["10.0.0.1"], "z": []}, 1),
    ("comment behind", "10.0.0.1 a # b c\n", {"a": ["10.0.0.1"], "b": []}, 1),
    ("comment inside a token", "10.0.0.1 abc#def\n", {"abc": ["10.0.0.1"], "abc#def": []}, 1),
    ("blank lines", "\n\n \n10.0.0.1 a\n\n", {"a": ["10.0.0.1"]}, 1),
    ("case does not matter", "10.0.0.1 Host.LAN\n", {"host.lan": ["10.0.0.1"], "HOST.lan": ["10.0.0.1"]}, 1),
    ("several addresses", "10.0.0.1 a\n10.0.0.2 a\n", {"a": ["10.0.0.1", "10.0.0.2"]}, 2),
    ("duplicates are dropped", "10.0.0.1 a\n10.0.0.1 a a\n10.0.0.1 A\n", {"a": ["10.0.0.1"]}, 1),
    ("an address alone", "10.0.0.1\n10.0.0.2 b\n", {"b": ["10.0.0.2"]}, 1),
    ("underscore and hyphen", "10.0.0.1 a_b.c-d\n", {"a_b.c-d": ["10.0.0.1"]}, 1),
    ("trailing dot", "10.0.0.1 a.lan.\n", {"a.lan": ["10.0.0.1"]}, 1),
]


@pytest.mark.parametrize(("text", "expected", "count"), [row[1:] for row in PLAIN], ids=[row[0] for row in PLAIN])
def test_hosts_lines(text: str, expected: dict[str, list[str]], count: int) -> None:
    data, said, got = hosts(text)
    assert {asked: found(data, asked) for asked in expected} == expected
    assert said == []
    assert got == count


def test_both_families() -> None:
    data, said, count = hosts("10.0.0.1 a\nfd00::1 a\nfe80::1 b\n")
    assert found(data, "a") == ["10.0.0.1"]
    assert found(data, "a", p.TYPE_AAAA) == ["fd00::1"]
    assert found(data, "b", p.TYPE_A) == []
    assert sorted(found(data, "a", p.TYPE_ANY)) == ["10.0.0.1", "fd00::1"]
    assert (said, count) == ([], 3)


BAD = [
    ("300.0.0.1 a\n10.0.0.2 b\n", ["bad address at /etc/hosts line 1"]),
    ("10.0.0.1 a\nnonsense b\n\n10.0.0 c\n", ["bad address at /etc/hosts line 2", "bad address at /etc/hosts line 4"]),
    ("10.0.0.1 a..b c\n", ["bad name at /etc/hosts line 1"]),
    ("10.0.0.1 " + "x" * 64 + " c\n", ["bad name at /etc/hosts line 1"]),
    ("10.0.0.1 " + ".".join(["x" * 60] * 5) + " c\n", ["bad name at /etc/hosts line 1"]),
    ("10.0.0.1 .b c\n", ["bad name at /etc/hosts line 1"]),
    ("\xff\xfe 10.0.0.1\n", ["bad address at /etc/hosts line 1"]),
]


@pytest.mark.parametrize(("text", "expected"), BAD)
def test_bad_hosts_lines_are_named_and_skipped(text: str, expected: list[str]) -> None:
    data, said, _ = hosts(text)
    assert said == expected
    if " c\n" in text and "10.0.0 c" not in text:
        assert found(data, "c") == ["10.0.0.1"]


def test_line_numbers_go_on_across_chunks() -> None:
    data, said = p.LocalData(), []
    reader = p.HostsReader(data, lambda address: b"", said.append)
    reader.read([b"10.0.0.1 a\n10.0.", b"0.2 b\nbad c\n10.0.0.3", b" d\nworse e"], "F")
    assert found(data, "b") == ["10.0.0.2"]
    assert found(data, "d") == ["10.0.0.3"]
    assert said == ["bad address at F line 3", "bad address at F line 5"]


def test_expansion_puts_the_qualified_name_first() -> None:
    data, _, count = hosts("10.0.0.1 a b\n10.0.0.2 c.other\n", name("lan"))
    assert found(data, "a") == found(data, "a.lan") == found(data, "b.lan") == ["10.0.0.1"]
    assert found(data, "c.other.lan") == []
    assert owner(data, "10.0.0.1") == "a.lan"
    assert count == 5


def test_the_domain_of_an_address_decides_its_expansion() -> None:
    data = p.LocalData()
    reader = p.HostsReader(data, lambda address: name("six") if len(address) == 16 else b"", lambda text: None)
    reader.read([b"10.0.0.1 a\nfd00::1 a\n"], "F")
    assert owner(data, "10.0.0.1") == "a"
    assert owner(data, "fd00::1") == "a.six"


def test_the_first_name_of_an_address_owns_its_ptr() -> None:
    settings = config("host-record=rec.lan,10.0.0.1", "host-record=late.lan,10.0.0.3", "no-resolv")
    data = local_data(settings, [("/etc/hosts", "10.0.0.1 a\n10.0.0.2 b c\n"), ("/more", "10.0.0.2 d\n10.0.0.4 e\n")])
    expected = {"10.0.0.1": "rec.lan", "10.0.0.2": "b", "10.0.0.3": "late.lan", "10.0.0.4": "e", "10.0.0.5": None}
    assert {address: owner(data, address) for address in expected} == expected
    assert data.find_reverse(addr("10.0.0.4")).source == "/more"


# -- long runs of one address ---------------------------------------------------


def slow(text: bytes, monkeypatch: pytest.MonkeyPatch) -> Any:
    with monkeypatch.context() as patch:
        patch.setattr(p.HostsReader, "_LONG", 1 << 40)
        return hosts(text)


def run_of(address: str, count: int = 600, end: str = "\n") -> str:
    return "".join(f"{address} ads{number}.x{number % 7}.example{end}" for number in range(count))


RUNS = [
    ("plain", run_of("0.0.0.0")),
    ("CRLF", run_of("0.0.0.0", end="\r\n")),
    ("loopback", run_of("127.0.0.1")),
    ("six", run_of("::")),
    ("six loopback", run_of("::1")),
    ("with a head", "# head\n127.0.0.1 localhost\n::1 localhost\n\n" + run_of("0.0.0.0")),
    ("head of the same address", "127.0.0.1 localhost\n127.0.0.1 local.domain\n" + run_of("127.0.0.1")),
    ("head in upper case", "0.0.0.0 UPPER.example\n" + run_of("0.0.0.0")),
    ("two names on a line", run_of("0.0.0.0") + "0.0.0.0 one.example two.example\n" + run_of("0.0.0.0", 300)),
    ("comments behind", run_of("0.0.0.0") + "0.0.0.0 late.example # why\n" + run_of("0.0.0.0", 300)),
    ("duplicates", run_of("0.0.0.0") + run_of("0.0.0.0")),
    ("duplicates of another form", run_of("0.0.0.0") + "0.0.0.0 ads1.x1.example # again\n"),
    ("other addresses between", run_of("0.0.0.0") + "10.0.0.1 ads1.x1.example\n" + run_of("0.0.0.0", 300)),
    ("bad lines between", run_of("0.0.0.0") + "bad ads1.x1.example\n0.0.0.0 a..b\n" + run_of("0.0.0.0", 300)),
]
ASKED = ["ads1.x1.example", "ads599.x4.example", "ads600.x5.example", "localhost", "local.domain", "upper.example",
         "one.example", "two.example", "late.example", "x1.example", "example", "a.ads1.x1.example",
         "none.example"]  # fmt: skip


@pytest.mark.parametrize("text", [row[1] for row in RUNS], ids=[row[0] for row in RUNS])
def test_a_long_run_is_the_same_as_the_plain_way(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    octets = text.encode()
    quick, quick_said, _ = hosts(octets)
    plain, plain_said, _ = slow(octets, monkeypatch)
    assert quick.bulks, "the run was not taken in bulk"
    assert not plain.bulks
    assert quick_said == plain_said
    for asked in ASKED:
        for rrtype in (p.TYPE_A, p.TYPE_AAAA, p.TYPE_ANY, p.TYPE_MX):
            assert sorted(found(quick, asked, rrtype)) == sorted(found(plain, asked, rrtype)), (asked, rrtype)
        assert quick.exists(name(asked)) == plain.exists(name(asked)), asked
        assert quick.has_data(name(asked), p.TYPE_A) == plain.has_data(name(asked), p.TYPE_A), asked
    for address in ("0.0.0.0", "127.0.0.1", "::", "::1", "10.0.0.1"):
        assert owner(quick, address) == owner(plain, address), address


def test_two_lists_with_the_same_name_give_one_record() -> None:
    data = p.LocalData()
    reader = p.HostsReader(data, lambda address: b"", lambda text: None)
    for path in ("/one", "/two"):
        reader.read([run_of("0.0.0.0").encode()], path)
    data.freeze()
    assert len(data.bulks) == 2
    assert found(data, "ads1.x1.example") == ["0.0.0.0"]


def test_a_name_in_a_plain_file_and_in_a_list_gives_one_record() -> None:
    data = p.LocalData()
    reader = p.HostsReader(data, lambda address: b"", lambda text: None)
    reader.read([b"0.0.0.0 ads1.x1.example\n"], "/etc/hosts")
    reader.read([run_of("0.0.0.0").encode()], "/list")
    data.freeze()
    assert found(data, "ads1.x1.example") == ["0.0.0.0"]


@pytest.mark.parametrize("bad", ["x" * 70 + ".example", ".".join(["x" * 60] * 5), "x" * 4000])
def test_a_bad_name_in_a_long_run_harms_nobody(bad: str) -> None:
    data, said, _ = hosts(f"0.0.0.0 {bad}\n{run_of('0.0.0.0')}".encode())
    assert said in ([], ["bad name at /etc/hosts line 1"])
    assert found(data, "ads1.x1.example") == ["0.0.0.0"]
    assert owner(data, "0.0.0.0") in (None, "ads0.x0.example")


def test_a_long_run_and_expansion(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "127.0.0.1 localhost\n" + run_of("127.0.0.1")
    quick, _, quick_count = hosts(text, name("lan"))
    monkeypatch.setattr(p.HostsReader, "_LONG", 1 << 40)
    plain, _, plain_count = hosts(text, name("lan"))
    assert quick_count == plain_count
    for asked in ("localhost", "localhost.lan", "ads1.x1.example", "ads1.x1.example.lan"):
        assert found(quick, asked) == found(plain, asked), asked
    assert owner(quick, "127.0.0.1") == owner(plain, "127.0.0.1") == "localhost.lan"


@pytest.mark.parametrize(
    "octets", [b"\n" * 5000, b" " * 9000 + b"\n", b"\0" * 9000, b"0.0.0.0 " * 999, b"0.0.0.0\n" * 999]
)
def test_odd_long_files(octets: bytes) -> None:
    data, _, count = hosts(octets)
    assert (data.names, data.bulks, count) == ({}, [], 0) or b"0.0.0.0 " in octets


def test_a_long_run_cut_anywhere_is_the_same() -> None:
    octets = ("127.0.0.1 localhost\n" + run_of("0.0.0.0", 2000)).encode()
    dice = random.Random(4)
    for _ in range(5):
        cut = dice.randrange(len(octets))
        data = p.LocalData()
        count = p.HostsReader(data, lambda address: b"", lambda text: None).read([octets[:cut], octets[cut:]], "F")
        data.freeze()
        assert count == 2001
        for number in range(0, 2000, 97):
            assert found(data, f"ads{number}.x{number % 7}.example") == ["0.0.0.0"]


def test_any_octets_are_read_without_an_error() -> None:
    dice = random.Random(40)
    for _ in range(300):
        octets = bytes(dice.choice(b"0.1:a#\n\r\t \xff\xc3\xa9\\") for _ in range(dice.randrange(200)))
        hosts(octets)
    hosts(bytes(dice.randrange(256) for _ in range(20_000)))


# -- records of the configuration -------------------------------------------------


def test_every_kind_of_record() -> None:
    data = local_data(
        config(
            "host-record=h.lan,h2.lan,10.0.0.1,fd00::1,60", "cname=c1.lan,c2.lan,h.lan,30", "txt-record=t.lan,one,two",
            "txt-record=bare.lan", "ptr-record=p.lan,target.lan", "mx-host=m.lan,mail.lan,7", "mx-host=m2.lan",
            "srv-host=_a._tcp.lan,s.lan,1,2,3", "srv-host=_none._tcp.lan", "naptr-record=n.lan,1,2,u,sip,!a!b!",
            "caa-record=a.lan,0,issue,ca.example", "dns-rr=r.lan,65,00:01", "no-resolv",
        ),
        hostname=name("me.lan"),
    )  # fmt: skip
    assert found(data, "h2.lan") == ["10.0.0.1"]
    assert [rr.ttl for rr in data.find(name("h.lan"), p.TYPE_AAAA)] == [60]
    assert [(rr.rdata, rr.ttl) for rr in data.find(name("c2.lan"), p.TYPE_CNAME)] == [(name("h.lan"), 30)]
    expected = {
        ("t.lan", p.TYPE_TXT): b"\3one\3two", ("bare.lan", p.TYPE_TXT): b"\0",
        ("p.lan", p.TYPE_PTR): name("target.lan"),
        ("m.lan", p.TYPE_MX): b"\0\7" + name("mail.lan"), ("m2.lan", p.TYPE_MX): b"\0\1" + name("me.lan"),
        ("_a._tcp.lan", p.TYPE_SRV): b"\0\2\0\3\0\1" + name("s.lan"),
        ("n.lan", p.TYPE_NAPTR): b"\0\1\0\2\1u\3sip\5!a!b!\0",
        ("a.lan", p.TYPE_CAA): b"\0\5issueca.example", ("r.lan", 65): b"\0\1",
    }  # fmt: skip
    assert {key: data.find(name(key[0]), key[1])[0].rdata for key in expected} == expected
    assert data.find(name("_none._tcp.lan"), p.TYPE_SRV)[0].rdata.endswith(b"\0")


def test_services_of_two_labels_get_the_domain() -> None:
    data = local_data(config("srv-host=_ldap._tcp,s.lan,389", "domain=lan", "no-resolv"))
    assert data.find(name("_ldap._tcp.lan"), p.TYPE_SRV)
    assert not data.find(name("_ldap._tcp"), p.TYPE_SRV)


def test_mx_target() -> None:
    data = local_data(config("mx-target=mail.lan", "mx-host=m.lan", "no-resolv"))
    assert data.find(name("m.lan"), p.TYPE_MX)[0].rdata == b"\0\1" + name("mail.lan")
    data = local_data(config("mx-target=mail.lan", "no-resolv"), hostname=name("me"))
    assert data.find(name("me"), p.TYPE_MX)[0].rdata == b"\0\1" + name("mail.lan")


def test_parents_of_names_exist() -> None:
    data = local_data(config("txt-record=a.b.c.lan,x", "no-resolv"), [("/etc/hosts", "10.0.0.1 h.d.lan\n")])
    there = ["a.b.c.lan", "b.c.lan", "c.lan", "lan", "h.d.lan", "d.lan"]
    assert [asked for asked in there if not data.exists(name(asked))] == []
    assert [asked for asked in ("x.lan", "x.h.d.lan", "an", "other") if data.exists(name(asked))] == []
    assert not data.exists(b"\0")


# -- synth-domain -----------------------------------------------------------------

SYNTH = [
    # value, name (under syn.lan), address or None, and whether the address makes that name
    ("10.7.7.0/24,ip-", "ip-10-7-7-9", "10.7.7.9", True),
    ("10.7.7.0/24,ip-", "IP-10-7-7-9", "10.7.7.9", False),
    ("10.7.7.0/24,ip-", "ip-10-7-8-9", None, False),
    ("10.7.7.0/24,ip-", "ip-10-7-7-256", None, False),
    ("10.7.7.0/24,ip-", "10-7-7-9", None, False),
    ("10.7.7.0/24,ip-", "ip-10-7-7", None, False),
    ("10.7.7.0/24,ip-", "ip-", None, False),
    ("10.7.7.0/24,ip-", "x.ip-10-7-7-9", None, False),
    ("10.7.7.0/24", "10-7-7-9", "10.7.7.9", True),
    ("10.7.7.5,10.7.7.8,a", "a10-7-7-5", "10.7.7.5", True),
    ("10.7.7.5,10.7.7.8,a", "a10-7-7-8", "10.7.7.8", True),
    ("10.7.7.5,10.7.7.8,a", "a10-7-7-9", None, False),
    ("10.7.7.5,10.7.7.8,a", "a10-7-7-4", None, False),
    ("10.7.7.5,10.7.7.8,h*", "h0", "10.7.7.5", True),
    ("10.7.7.5,10.7.7.8,h*", "h3", "10.7.7.8", True),
    ("10.7.7.5,10.7.7.8,h*", "h4", None, False),
    ("10.7.7.5,10.7.7.8,h*", "h", None, False),
    ("10.7.7.5,10.7.7.8,h*", "h-1", None, False),
    ("10.7.7.5,10.7.7.8,h*", "h99999999999999999999999999999999", None, False),
    ("10.7.7.5,10.7.7.8,h*", "h\\178", None, False),  # latin-1 superscript two
    ("10.7.7.5,10.7.7.8,h*", "h\\2551", None, False),
    ("fd00::/64,v-", "v-fd00-0000-0000-0000-0000-0000-0000-0001", "fd00::1", True),
    ("fd00::/64,v-", "v-fd00--1", "fd00::1", False),
    ("fd00::/64,v-", "v-fd01--1", None, False),
    ("fd00::/64,v*", "v5", "fd00::5", True),
]


@pytest.mark.parametrize(("value", "label", "address", "both_ways"), SYNTH)
def test_synth_domain(value: str, label: str, address: str | None, both_ways: bool) -> None:
    rule = config(f"synth-domain=syn.lan,{value}", "no-resolv").synth_domain[0]
    got = p.synth_name_address(rule, name(f"{label}.syn.lan").lower())
    assert got == (addr(address) if address else None)
    if address and both_ways:
        assert p.synth_address_name(rule, addr(address)) == name(f"{label}.syn.lan")


def test_synth_domain_keeps_to_its_domain_and_range() -> None:
    rule = config("synth-domain=syn.lan,10.7.7.0/24,ip-", "no-resolv").synth_domain[0]
    assert p.synth_name_address(rule, name("syn.lan")) is None
    assert p.synth_name_address(rule, name("ip-10-7-7-9.other.lan")) is None
    assert p.synth_name_address(rule, name("ip-10-7-7-9.xsyn.lan")) is None
    assert p.synth_address_name(rule, addr("10.7.8.1")) is None
    assert p.synth_address_name(rule, addr("fd00::1")) is None


def test_any_label_under_a_synth_domain_is_harmless() -> None:
    rules = [
        config(f"synth-domain=s,{value}", "no-resolv").synth_domain[0] for value in ("10.0.0.0/8,p*", "fd00::/64,p")
    ]
    dice = random.Random(41)
    for _ in range(2000):
        label = b"p" + bytes(dice.choice(b"0123456789-:.abf\xb2\xb9\xbd\0 ") for _ in range(dice.randrange(1, 40)))
        for rule in rules:
            p.synth_name_address(rule, bytes((len(label),)) + label + b"\1s\0")


# -- interfaces -------------------------------------------------------------------

PRESENT = [
    at("eth0", "192.168.1.5", 24, label="eth0:1"),
    at("eth0", "fd00::5", 64),
    at("eth0", "fd00::77", 64, permanent=False),
    at("eth0", "fe80::5", 64),
    at("eth1", "10.0.0.5", 8),
]


def interface_data(*lines: str) -> Any:
    data = local_data(config(*lines, "no-resolv"))
    data.set_interfaces(PRESENT)
    return data


def reverse(data: Any, address: str) -> str | None:
    rr = data.interface_reverse.get(addr(address))
    return None if rr is None else p.dns_name_format(rr.rdata)


INTERFACE_NAMES = [
    ("interface-name=if.lan,eth0", ["192.168.1.5"], ["fd00::5"]),
    ("interface-name=if.lan,eth0/4", ["192.168.1.5"], []),
    ("interface-name=if.lan,eth0/6", [], ["fd00::5"]),
    ("interface-name=IF.Lan,eth1", ["10.0.0.5"], []),
    ("interface-name=if.lan,eth0:1", ["192.168.1.5"], []),
    ("interface-name=if.lan,eth", [], []),
    ("dynamic-host=if.lan,0.0.0.8,eth0", ["192.168.1.8"], []),
    ("dynamic-host=if.lan,1.2.3.4,eth1", ["10.2.3.4"], []),
    ("dynamic-host=if.lan,::9,eth0", [], ["fd00::9"]),
    ("dynamic-host=if.lan,0.0.0.8,::9,eth0", ["192.168.1.8"], ["fd00::9"]),
    ("dynamic-host=if.lan,0.0.0.8,none0", [], []),
]


@pytest.mark.parametrize(("line", "four", "six"), INTERFACE_NAMES)
def test_names_of_interfaces(line: str, four: list[str], six: list[str]) -> None:
    data = interface_data(line)
    assert found(data, "if.lan") == four
    assert found(data, "if.lan", p.TYPE_AAAA) == six
    for address in four + six:
        assert (reverse(data, address) or "").lower() == "if.lan"


def test_passing_addresses_are_only_in_reverse() -> None:
    data = interface_data("interface-name=if.lan,eth0")
    assert reverse(data, "fd00::77") == "if.lan"
    assert reverse(data, "fe80::5") is None


def test_the_first_name_of_an_interface_owns_the_ptr() -> None:
    data = interface_data("interface-name=a.lan,eth0", "interface-name=b.lan,eth0")
    assert found(data, "b.lan") == ["192.168.1.5"]
    assert reverse(data, "192.168.1.5") == "a.lan"


def test_interfaces_follow_changes() -> None:
    data = interface_data("interface-name=if.lan,eth0/4")
    data.set_interfaces([at("eth0", "192.168.2.6", 24)])
    assert found(data, "if.lan") == ["192.168.2.6"]
    assert reverse(data, "192.168.1.5") is None
    data.set_interfaces([])
    assert found(data, "if.lan") == []
    assert data.exists(name("if.lan")), "a configured name exists while its interface has no address"


# -- leases ---------------------------------------------------------------------------


def lease_of(address: str, left: float | None = 3600, asked: str = "pc") -> Any:
    """A lease with a name, or a whole name."""
    made = p.Lease(int.from_bytes(addr(address), "big"))
    made.expires = None if left is None else 1000 + left
    made.name, _, domain = asked.partition(".")
    made.domain = name(domain) if domain else b""
    return made


def publish(data: Any, address: str, *names: str, ttl: int | None = None) -> list[str]:
    """Publish names for an address; tell what was refused, and because of what."""
    refused = data.lease_publish(
        lease_of(address, asked=names[0] if names else ""), addr(address), [name(one) for one in names], ttl
    )
    return [f"{p.dns_name_format(one)} {p.rdata_log(rr.rdata, rr.rrtype)[0]} {rr.source}" for one, rr in refused]


# The record's TTL, the default, what the lease has left -> the TTL to answer with.
TTLS: list[tuple[int | None, int, float | None, int]] = [
    (None, 0, 3600, 0), (None, 60, 3600, 60), (77, 60, 3600, 77), (0, 60, 3600, 0), (77, 0, 50.9, 50), (None, 60, 9, 9),
    (77, 0, 0.5, 0), (77, 0, 0, 0), (77, 0, -5, 0), (77, 0, None, 77), (None, 60, None, 60),
]  # fmt: skip


@pytest.mark.parametrize(("ttl", "default", "left", "expected"), TTLS)
def test_no_ttl_outlives_a_lease(ttl: int | None, default: int, left: float | None, expected: int) -> None:
    rr = p.LeaseRecord(p.TYPE_A, addr("10.5.0.60"), ttl, lease_of("10.5.0.60", left))
    assert (p.local_ttl(rr, default, 1000.0), rr.source) == (expected, "DHCP")
    plain = p.LocalRecord(p.TYPE_A, addr("10.5.0.60"), ttl, "config")
    assert p.local_ttl(plain, default, 1000.0) == (default if ttl is None else ttl)


def test_names_of_a_lease() -> None:
    data = p.LocalData()
    assert publish(data, "10.5.0.60", "PC.lan.test", "PC") == []
    assert found(data, "pc.LAN.test") == found(data, "pc") == ["10.5.0.60"]
    assert found(data, "pc", p.TYPE_ANY) == ["10.5.0.60"]
    assert found(data, "pc", p.TYPE_AAAA) == []
    assert owner(data, "10.5.0.60") == "PC.lan.test"
    assert list(data.lease_keys(addr("10.5.0.60"))) == [name("pc.lan.test"), name("pc")]
    assert [data.exists(name(one)) for one in ("pc.lan.test", "lan.test", "test", "pc", "tv", "x.pc")] == [True] * 4 + [
        False
    ] * 2
    assert (data.has_data(name("pc"), p.TYPE_A), data.has_data(name("pc"), p.TYPE_AAAA)) == (True, False)
    assert (data.may_know(name("pc"), p.TYPE_A), data.may_know(name("tv"), p.TYPE_A)) == (True, False)


def test_names_of_a_lease_go_with_it() -> None:
    data = p.LocalData()
    publish(data, "10.5.0.60", "pc.lan.test", "pc")
    publish(data, "10.5.0.61", "tv.lan.test", "tv")
    assert list(data.lease_withdraw(addr("10.5.0.60"))) == [name("pc.lan.test"), name("pc")]
    assert list(data.lease_withdraw(addr("10.5.0.60"))) == []
    assert (found(data, "pc"), owner(data, "10.5.0.60"), len(data.lease_keys(addr("10.5.0.60")))) == ([], None, 0)
    assert (found(data, "tv"), data.exists(name("lan.test")), data.exists(name("pc.lan.test"))) == (
        ["10.5.0.61"],
        True,
        False,
    )
    data.lease_withdraw(addr("10.5.0.61"))
    assert not data.exists(name("lan.test"))
    assert data._lease_parents == {}


def test_a_name_moves_to_another_lease() -> None:
    data = p.LocalData()
    publish(data, "10.5.0.60", "pc")
    publish(data, "10.5.0.61", "pc")
    data.lease_withdraw(addr("10.5.0.60"))
    assert (found(data, "pc"), owner(data, "10.5.0.61"), owner(data, "10.5.0.60")) == (["10.5.0.61"], "pc", None)


# What is there already, the names of a lease of 10.5.0.60 -> what is refused; A of pc.lan, of pc; PTR.
CONFLICTS: list[tuple[str, list[str], str, list[str], list[str], list[str], str]] = [
    ("at another address", [], "10.5.0.9 pc.lan pc\n",
     ["pc.lan 10.5.0.9 /etc/hosts", "pc 10.5.0.9 /etc/hosts"], ["10.5.0.9"], ["10.5.0.9"], "-"),
    ("one of the two", [], "10.5.0.9 pc\n", ["pc 10.5.0.9 /etc/hosts"], ["10.5.0.60"], ["10.5.0.9"], "pc.lan"),
    ("at the same address", [], "10.5.0.60 pc\n", [], ["10.5.0.60"], ["10.5.0.60"], "pc"),
    ("another name of the address", [], "10.5.0.60 box\n", [], ["10.5.0.60"], ["10.5.0.60"], "box"),
    ("IPv6 is no hindrance", [], "fd00::9 pc\n", [], ["10.5.0.60"], ["10.5.0.60"], "pc.lan"),
    ("in the configuration", ["host-record=pc,10.5.0.9"], "", ["pc 10.5.0.9 config"], ["10.5.0.60"], ["10.5.0.9"],
     "pc.lan"),
    ("an alias", ["cname=pc.lan,x"], "", ["pc.lan <CNAME> config"], [], ["10.5.0.60"], "pc.lan"),
    ("a text is no hindrance", ["txt-record=pc,x"], "", [], ["10.5.0.60"], ["10.5.0.60"], "pc.lan"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("lines", "text", "refused", "qualified", "bare", "pointer"),
    [r[1:] for r in CONFLICTS],
    ids=[r[0] for r in CONFLICTS],
)
def test_what_is_ours_already_stays(
    lines: list[str], text: str, refused: list[str], qualified: list[str], bare: list[str], pointer: str
) -> None:
    data = local_data(config("no-resolv", *lines), [("/etc/hosts", text)])
    assert publish(data, "10.5.0.60", "pc.lan", "pc") == refused
    assert (found(data, "pc.lan"), found(data, "pc")) == (qualified, bare)
    assert (owner(data, "10.5.0.60") or "-") == pointer
    before = local_data(config("no-resolv", *lines), [("/etc/hosts", text)])
    data.lease_withdraw(addr("10.5.0.60"))
    assert (found(data, "pc.lan"), found(data, "pc")) == (found(before, "pc.lan"), found(before, "pc"))
    assert owner(data, "10.5.0.60") == owner(before, "10.5.0.60")


def test_a_name_of_an_interface_is_no_lease_s() -> None:
    data = local_data(config("no-resolv", "interface-name=pc,lan0"))
    data.set_interfaces([at("lan0", "10.5.0.1", 24)])
    assert publish(data, "10.5.0.60", "pc.lan", "PC") == []
    assert (found(data, "pc"), found(data, "pc.lan")) == (["10.5.0.1"], ["10.5.0.60"])


def test_leases_that_come_and_go_leave_nothing() -> None:
    data, dice = p.LocalData(), random.Random(40)
    here: dict[str, list[str]] = {}
    for _ in range(3000):
        address = f"10.5.0.{dice.randrange(20)}"
        if address in here:
            data.lease_withdraw(addr(address))
            del here[address]
        else:
            taken = {one for names in here.values() for one in names}
            label = dice.choice("abcdefgh")
            names = [one for one in (f"{label}.lan.test", f"{label}.test", label) if one not in taken]
            publish(data, address, *names)
            here[address] = names
        for names in here.values():
            assert all(data.exists(name(one)) for one in names)
        assert len(data.lease_names) == sum(map(len, here.values()))
    for address in list(here):
        data.lease_withdraw(addr(address))
    assert (data.lease_names, data._lease_addresses, data._lease_parents) == ({}, {}, {})


def test_a_lease_that_loses_its_name_has_no_ptr_meanwhile() -> None:
    """Questions come while names move: no PTR is better than one of no octets."""
    data, lease = p.LocalData(), lease_of("10.5.0.60")
    data.lease_publish(lease, addr("10.5.0.60"), [name("pc")], None)
    lease.name = ""
    assert owner(data, "10.5.0.60") is None


# domain lines, the address -> its domain.
DOMAINS = [
    ([], "10.5.0.60", ""), (["lan.test"], "10.5.0.60", "lan.test"), (["lan.test"], "fd00::1", "lan.test"),
    (["a.test", "b.test"], "10.5.0.60", "b.test"), (["a.test", "b.test,10.5.0.0/24"], "10.5.0.60", "b.test"),
    (["a.test", "b.test,10.5.0.0/24"], "10.5.1.60", "a.test"),
    (["b.test,10.5.0.0/24", "a.test"], "10.5.0.60", "b.test"),
    (["b.test,10.5.0.0/24", "c.test,10.5.0.60"], "10.5.0.60", "c.test"),
    (["c.test,10.5.0.60", "b.test,10.5.0.0/24"], "10.5.0.60", "b.test"),
    (["b.test,10.5.0.50,10.5.0.60"], "10.5.0.60", "b.test"), (["b.test,10.5.0.50,10.5.0.60"], "10.5.0.61", ""),
    (["six.test,fd00::/64", "a.test"], "fd00::1", "six.test"),
    (["six.test,fd00::/64", "a.test"], "10.5.0.60", "a.test"),
    (["four.test,32.1.0.0,32.2.0.0", "a.test"], "2001:db8::1", "a.test"),
    (["if.test,lan0", "a.test"], "10.5.0.60", "if.test"), (["if.test,lan0", "a.test"], "10.6.0.60", "a.test"),
    (["if.test,wan0", "a.test"], "10.5.0.60", "a.test"), (["#"], "10.5.0.60", "resolv.test"),
]  # fmt: skip


@pytest.mark.parametrize(("lines", "address", "expected"), DOMAINS)
def test_the_domain_of_an_address(lines: list[str], address: str, expected: str) -> None:
    rules = config(*(f"domain={line}" for line in lines)).domain
    found_ = p.domain_for(rules, name("resolv.test"), [at("lan0", "10.5.0.1", 24)], addr(address))
    assert found_ == (name(expected) if expected else b"")


# -- private ranges ---------------------------------------------------------------

PRIVATE = """10.0.0.0 10.255.255.255 100.64.0.0 100.127.255.255 172.16.0.0 172.31.255.255 192.168.0.0 192.168.255.255
169.254.0.1 192.0.2.1 198.51.100.1 203.0.113.255 255.255.255.255 fe80::1 febf::1 fec0::1 feff::1 fd00::1 fdff::1
2001:db8::1 ::ffff:10.0.0.1 ::ffff:192.168.1.1"""
LOCAL = "127.0.0.1 127.255.255.255 0.0.0.0 0.255.255.255 ::1 :: ::ffff:127.0.0.1 ::ffff:0.0.0.1"
PUBLIC = """9.255.255.255 11.0.0.0 100.63.255.255 100.128.0.0 172.15.255.255 172.32.0.0 192.167.255.255 192.169.0.0
169.253.255.255 169.255.0.0 192.0.3.0 198.51.101.0 203.0.114.0 255.255.255.254 1.0.0.0 128.0.0.1 fc00::1 fcff::1
2001:db9::1 ff02::1 ::2 ::ffff:8.8.8.8 2606::1"""


def test_private_ranges() -> None:
    for localhost in (True, False):
        assert [text for text in PRIVATE.split() if not p.address_private(addr(text), localhost)] == []
        assert [text for text in PUBLIC.split() if p.address_private(addr(text), localhost)] == []
        assert [text for text in LOCAL.split() if p.address_private(addr(text), localhost) is not localhost] == []


def test_log_lines_of_the_helper_are_those_of_the_program() -> None:
    log = LogLines()
    log.error("wrong")
    log.put("plain")
    assert log.texts() == ["wrong", "plain"]
    assert dnswire.pack_name("a.b") == p.dns_name_parse("a.b")
