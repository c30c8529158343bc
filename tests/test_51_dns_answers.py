"""Section 51: the order of answering, and what the answers look like on the wire."""

from __future__ import annotations

import random
from typing import Any

import pytest

import dnswire
import pydnsmasq as p
from dnssecwire import RRSIG, Prover, passed_on, tree, validating
from pure import NOW, Pure, addr, at, name

HOSTS = "10.1.1.1 host1 Host1.lan\n10.1.1.2 host2\nfd00::2 host2\n10.1.1.3 multi\n10.1.1.4 multi\n10.1.1.5 multi\n"
LINES = """server=8.8.8.8
local-ttl=33
domain-needed
bogus-priv
host-record=rec.lan,10.2.2.2,fd00::22,77
cname=al.lan,rec.lan
cname=al2.lan,al.lan
cname=out.lan,nowhere.example,44
mx-host=mxl.lan,mail.lan,5
srv-host=_ldap._tcp.lan,ldap.lan,389,1,2
txt-record=t.lan,one,two words
ptr-record=9.9.9.10.in-addr.arpa,ptr.lan
ptr-record=1.1.1.10.in-addr.arpa,first.lan
naptr-record=n.lan,10,20,u,sip,!a!b!,rep.lan
caa-record=caa.lan,0,issue,ca.example
dns-rr=rr.lan,65,00:01:00:00
synth-domain=syn.lan,10.7.7.0/24,ip-
interface-name=if.lan,eth0
address=/addr.test/1.2.3.4
address=/addr6.test/::5
address=/null.test/#
address=/nx.test/
local=/loc.test/
local=/lan/
server=/corp.test/9.9.9.9
server=//7.7.7.7""".splitlines()
INTERFACES = [at("eth0", "192.168.1.1", 24), at("eth0", "fd00::ff", 64), at("eth1", "10.1.1.9", 30)]


def standard(*more: str, **how: Any) -> Pure:
    return Pure(*LINES, *more, hosts=HOSTS, interfaces=INTERFACES, **how)


# `NAME TYPE` -> outcome, flags, records (the owner left out where it is the name asked), log texts.
SCENES: list[tuple[str, str, str, list[str], list[str]]] = [
    ("host1 A", "NOERROR", "AA", ["33 A 10.1.1.1"], ["/etc/hosts host1 is 10.1.1.1"]),
    ("HOST1.lan A", "NOERROR", "AA", ["33 A 10.1.1.1"], ["/etc/hosts host1.lan is 10.1.1.1"]),
    ("host2 AAAA", "NOERROR", "AA", ["33 AAAA fd00::2"], ["/etc/hosts host2 is fd00::2"]),
    ("host2 ANY", "NOERROR", "AA", ["33 A 10.1.1.2", "33 AAAA fd00::2"],
     ["/etc/hosts host2 is 10.1.1.2", "/etc/hosts host2 is fd00::2"]),
    ("rec.lan A", "NOERROR", "AA", ["77 A 10.2.2.2"], ["config rec.lan is 10.2.2.2"]),
    ("rec.lan AAAA", "NOERROR", "AA", ["77 AAAA fd00::22"], ["config rec.lan is fd00::22"]),
    ("al.lan A", "NOERROR", "AA", ["33 CNAME rec.lan", "rec.lan 77 A 10.2.2.2"],
     ["config al.lan is <CNAME>", "config rec.lan is 10.2.2.2"]),
    ("al2.lan AAAA", "NOERROR", "AA", ["33 CNAME al.lan", "al.lan 33 CNAME rec.lan", "rec.lan 77 AAAA fd00::22"],
     ["config al2.lan is <CNAME>", "config al.lan is <CNAME>", "config rec.lan is fd00::22"]),
    ("al2.lan CNAME", "NOERROR", "AA", ["33 CNAME al.lan"], ["config al2.lan is <CNAME>"]),
    ("al2.lan MX", "NOERROR", "AA", ["33 CNAME al.lan", "al.lan 33 CNAME rec.lan"],
     ["config al2.lan is <CNAME>", "config al.lan is <CNAME>"]),
    ("out.lan A", "NOERROR", "AA", ["44 CNAME nowhere.example"], ["config out.lan is <CNAME>"]),
    ("mxl.lan MX", "NOERROR", "AA", ["33 MX 5 mail.lan"], ["config mxl.lan is <MX>"]),
    ("_ldap._tcp.lan SRV", "NOERROR", "AA", ["33 SRV 1 2 389 ldap.lan"], ["config _ldap._tcp.lan is <SRV>"]),
    ("t.lan TXT", "NOERROR", "AA", ['33 TXT "one" "two words"'], ["config t.lan is <TXT>"]),
    ("t.lan ANY", "NOERROR", "AA", ['33 TXT "one" "two words"'], ["config t.lan is <TXT>"]),
    ("n.lan NAPTR", "NOERROR", "AA", ['33 NAPTR 10 20 "u" "sip" "!a!b!" rep.lan'], ["config n.lan is <NAPTR>"]),
    ("caa.lan CAA", "NOERROR", "AA", ['33 CAA 0 "issue" "ca.example"'], ["config caa.lan is <CAA>"]),
    ("rr.lan HTTPS", "NOERROR", "AA", ["33 HTTPS \\# 00010000"], ["config rr.lan is <HTTPS>"]),
    ("ip-10-7-7-9.syn.lan A", "NOERROR", "AA", ["33 A 10.7.7.9"], ["config ip-10-7-7-9.syn.lan is 10.7.7.9"]),
    ("if.lan A", "NOERROR", "AA", ["33 A 192.168.1.1"], ["config if.lan is 192.168.1.1"]),
    # reverse: interface-name, ptr-record, hosts, synth-domain, then bogus-priv
    ("1.1.168.192.in-addr.arpa PTR", "NOERROR", "AA", ["33 PTR if.lan"], ["config 192.168.1.1 is if.lan"]),
    ("1.1.1.10.in-addr.arpa PTR", "NOERROR", "AA", ["33 PTR first.lan"], []),
    ("2.1.1.10.in-addr.arpa PTR", "NOERROR", "AA", ["33 PTR host2"], ["/etc/hosts 10.1.1.2 is host2"]),
    ("2.2.2.10.in-addr.arpa PTR", "NOERROR", "AA", ["77 PTR rec.lan"], ["config 10.2.2.2 is rec.lan"]),
    ("9.7.7.10.in-addr.arpa PTR", "NOERROR", "AA", ["33 PTR ip-10-7-7-9.syn.lan"],
     ["config 10.7.7.9 is ip-10-7-7-9.syn.lan"]),
    ("77.1.1.10.in-addr.arpa PTR", "NXDOMAIN", "AA", [], ["config 10.1.1.77 is NXDOMAIN"]),
    ("10.in-addr.arpa PTR", "NXDOMAIN", "AA", [], ["config 10.0.0.0 is NXDOMAIN"]),
    ("127.in-addr.arpa PTR", "NXDOMAIN", "AA", [], ["config 127.0.0.0 is NXDOMAIN"]),
    # domain rules
    ("x.addr.test A", "NOERROR", "AA", ["33 A 1.2.3.4"], ["config x.addr.test is 1.2.3.4"]),
    ("addr.test ANY", "NOERROR", "AA", ["33 A 1.2.3.4"], ["config addr.test is 1.2.3.4"]),
    ("addr6.test AAAA", "NOERROR", "AA", ["33 AAAA ::5"], ["config addr6.test is ::5"]),
    ("null.test A", "NOERROR", "AA", ["33 A 0.0.0.0"], ["config null.test is 0.0.0.0"]),
    ("null.test AAAA", "NOERROR", "AA", ["33 AAAA ::"], ["config null.test is ::"]),
    ("x.loc.test A", "NXDOMAIN", "", [], ["config x.loc.test is NXDOMAIN"]),
    ("loc.test TXT", "NXDOMAIN", "", [], ["config loc.test is NXDOMAIN"]),
    ("x.nx.test MX", "NXDOMAIN", "", [], ["config x.nx.test is NXDOMAIN"]),
    ("unknown.lan A", "NXDOMAIN", "", [], ["config unknown.lan is NXDOMAIN"]),
    ("rec.lan TXT", "NOERROR", "", [], ["config rec.lan is NODATA"]),
    ("lan A", "NOERROR", "", [], ["config lan is NODATA-IPv4"]),
    ("t.lan AAAA", "NOERROR", "", [], ["config t.lan is NODATA-IPv6"]),
    # for ever unknown
    ("x.example MAILB", "NXDOMAIN", "AA", [], []),
    ("host1 MAILB", "NXDOMAIN", "AA", [], []),
]  # fmt: skip


@pytest.mark.parametrize(("question", "rcode", "aa", "records", "lines"), SCENES, ids=[row[0] for row in SCENES])
def test_answers_of_our_own(question: str, rcode: str, aa: str, records: list[str], lines: list[str]) -> None:
    asked, qtype = question.split()
    seen = standard().ask(asked, qtype)
    assert seen.outcome == "reply"
    assert seen.rcode == rcode
    assert seen.flags == f"QR {aa} RD RA".replace("  ", " ")
    shown = [text.replace(" IN ", " ").removeprefix(f"{asked} ") for text in seen.records]
    assert shown == records
    if lines:
        assert [line.replace(asked, asked.lower()) for line in seen.lines] == lines
    assert seen.answer.lasting


FORWARDS = [
    ("x.example A", ["8.8.8.8"]), ("a.corp.test MX", ["9.9.9.9"]), ("single A", ["7.7.7.7"]), (". NS", ["8.8.8.8"]),
    ("host1 TXT", ["7.7.7.7"]), ("host1.x A", ["8.8.8.8"]), ("addr.test AAAA", ["8.8.8.8"]), ("addr.test TXT",
    ["8.8.8.8"]),
    ("null.test MX", ["8.8.8.8"]), ("9.9.9.9.in-addr.arpa PTR", ["8.8.8.8"]), ("10.in-addr.arpa SOA", ["8.8.8.8"]),
    ("in-addr.arpa PTR", ["8.8.8.8"]), ("ip6.arpa PTR", ["8.8.8.8"]), ("1.in-addr.arpa PTR", ["8.8.8.8"]),
    ("host1 AXFR", ["7.7.7.7"]), ("x.example IXFR", ["8.8.8.8"]), ("localhost A", ["7.7.7.7"]), ("x.onion A",
    ["8.8.8.8"]),
]  # fmt: skip


@pytest.mark.parametrize(("question", "servers"), FORWARDS)
def test_what_is_forwarded_and_to_whom(question: str, servers: list[str]) -> None:
    asked, qtype = question.split()
    seen = standard().ask(asked, qtype)
    assert (seen.outcome, seen.outcome and seen.servers) == ("forward", servers)
    assert seen.lines == []


def test_ours_beats_address_local_and_server() -> None:
    rules = ["address=/x.test/9.9.9.9", "local=/y.test/", "server=/z.test/1.1.1.1", "address=/a.test/9.9.9.9"]
    pure = Pure(*rules, "txt-record=x.test,t", "cname=a.test,x.test",
                hosts="10.0.0.1 x.test y.test z.test\n")  # fmt: skip
    for asked in ("x.test", "y.test", "z.test"):
        assert pure.ask(asked).rdatas == ["10.0.0.1"]
    assert pure.ask("x.test", "TXT").rdatas == ['"t"']
    assert pure.ask("a.test").rdatas == ["x.test", "10.0.0.1"]


def test_what_is_cached_beats_the_address_table() -> None:
    pure = Pure("address=/x.test/9.9.9.9", "server=1.1.1.1")
    pure.cache.put([p.CacheEntry(name("x.test"), p.TYPE_A, p.CACHE_DATA, (addr("5.5.5.5"),), 60, int(NOW))], int(NOW))
    assert pure.ask("x.test").rdatas == ["5.5.5.5"]


def test_hosts_beat_the_cache() -> None:
    pure = Pure("server=1.1.1.1", hosts="10.0.0.1 x.test\n")
    pure.cache.put([p.CacheEntry(name("x.test"), p.TYPE_A, p.CACHE_DATA, (addr("5.5.5.5"),), 60, int(NOW))], int(NOW))
    assert pure.ask("x.test").rdatas == ["10.0.0.1"]


# -- empty answers -----------------------------------------------------------------


@pytest.mark.parametrize(("asked", "qtype"), [("rec.lan", "TXT"), ("lan", "A"), ("_x.y", "SRV"), ("y", "SOA")])
def test_an_empty_answer_of_our_own_carries_a_soa(asked: str, qtype: str) -> None:
    seen = standard("filterwin2k").ask(asked, qtype)
    assert (seen.rcode, seen.records) == ("NOERROR", [])
    assert len(seen.authority) == 1
    assert " SOA " in seen.authority[0]
    owner = seen.message.authority[0].name
    assert asked == owner or asked.endswith("." + owner)


def test_an_nxdomain_of_our_own_carries_no_soa() -> None:
    assert standard().ask("x.loc.test").authority == []


FILTERWIN = [
    ("x.example", "SOA", True), ("x.example", "SRV", True), ("_l.x.example", "SRV", True), ("x.example", "ANY", False),
    ("_l.x.example", "ANY", True), ("x.example", "TXT", False), ("_l.x.example", "A", False),
]  # fmt: skip


@pytest.mark.parametrize(("asked", "qtype", "kept"), FILTERWIN)
def test_filterwin2k(asked: str, qtype: str, kept: bool) -> None:
    seen = Pure("filterwin2k", "server=1.1.1.1").ask(asked, qtype)
    assert seen.outcome == ("reply" if kept else "forward")
    if kept:
        assert (seen.rcode, seen.records) == ("NOERROR", [])
    assert Pure("server=1.1.1.1").ask(asked, qtype).outcome == "forward"


def test_filterwin2k_leaves_ours_alone() -> None:
    pure = Pure("filterwin2k", "server=1.1.1.1", "srv-host=_l.x.example,s,1")
    assert pure.ask("_l.x.example", "SRV").rdatas == ["0 0 1 s"]


# -- domain-needed, no servers -------------------------------------------------------

NEEDED = [("single", "A", True), ("single", "AAAA", True), ("single", "ANY", True), ("single", "MX", False),
          ("a.b", "A", False), (".", "A", False)]  # fmt: skip


@pytest.mark.parametrize(("asked", "qtype", "kept"), NEEDED)
def test_domain_needed(asked: str, qtype: str, kept: bool) -> None:
    seen = Pure("domain-needed", "server=1.1.1.1").ask(asked, qtype)
    assert seen.outcome == ("reply" if kept else "forward")
    if kept:
        assert (seen.rcode, seen.flags) == ("NXDOMAIN", "QR RD RA")
        assert seen.lines == ["config single is NXDOMAIN"]


def test_domain_needed_and_a_known_name() -> None:
    seen = Pure("domain-needed", "server=1.1.1.1", hosts="10.0.0.1 single\n").ask("single", "AAAA")
    assert (seen.rcode, seen.lines) == ("NOERROR", ["config single is NODATA-IPv6"])


@pytest.mark.parametrize("edns", [None, 1232])
def test_without_servers_there_is_a_refusal(edns: int | None) -> None:
    pure = Pure("no-resolv", "server=/x.test/1.1.1.1")
    seen = pure.ask("a.example", edns=edns)
    assert (seen.rcode, seen.flags, seen.records) == ("REFUSED", "QR RD RA", [])
    assert seen.message.ede == ([14] if edns else [])
    assert seen.message.edns_size == (1232 if edns else None)
    assert seen.lines == ["config error is REFUSED (EDE: not ready)"]
    assert not seen.answer.lasting
    assert pure.ask("a.x.test").outcome == "forward"


def test_a_server_that_loops_is_no_server() -> None:
    pure = Pure("server=1.1.1.1")
    pure.rules.default.servers[0].looped = True
    assert pure.ask("a.example").rcode == "REFUSED"


# -- bogus-priv ----------------------------------------------------------------------

BOGUS = [
    ("10.in-addr.arpa", True), ("1.0.0.10.in-addr.arpa", True), ("254.169.in-addr.arpa", True),
    ("0.in-addr.arpa", True),
    ("255.255.255.255.in-addr.arpa", True), ("8.e.f.ip6.arpa", True), ("d.f.ip6.arpa", True), ("c.f.ip6.arpa", False),
    ("8.8.8.8.in-addr.arpa", False), ("x.10.in-addr.arpa", False), ("1.0.0.0.10.in-addr.arpa", False),
    ("300.10.in-addr.arpa", False), ("1.0.0.10.in-addr.arpa.x", False),
    ("0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.ip6.arpa", True),
    ("1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.ip6.arpa", True),
]  # fmt: skip


@pytest.mark.parametrize(("asked", "kept"), BOGUS)
def test_bogus_priv(asked: str, kept: bool) -> None:
    pure = Pure("bogus-priv", "server=1.1.1.1")
    for qtype in ("PTR", "ANY"):
        seen = pure.ask(asked, qtype)
        assert (seen.outcome, seen.rcode) == (("reply", "NXDOMAIN") if kept else ("forward", "")), qtype
    assert pure.ask(asked, "SOA").outcome == "forward"
    assert Pure("server=1.1.1.1").ask(asked, "PTR").outcome == "forward"


def test_bogus_priv_leaves_zones_with_a_server_alone() -> None:
    pure = Pure("bogus-priv", "server=1.1.1.1", "rev-server=10.0.0.0/8,2.2.2.2", "server=/168.192.in-addr.arpa/#")
    assert pure.ask("1.0.0.10.in-addr.arpa", "PTR").servers == ["2.2.2.2"]
    assert pure.ask("1.0.16.172.in-addr.arpa", "PTR").rcode == "NXDOMAIN"


# -- CHAOS, classes -------------------------------------------------------------------

CHAOS = [
    ("version.bind", "TXT", '"dnsmasq-2.93"', 33), ("VERSION.BIND", "TXT", '"dnsmasq-2.93"', 33),
    ("version.bind", "ANY", '"dnsmasq-2.93"', 33), ("cachesize.bind", "TXT", '"150"', 0),
    ("insertions.bind", "TXT", '"0"', 0), ("evictions.bind", "TXT", '"0"', 0), ("misses.bind", "TXT", '"5"', 0),
    ("hits.bind", "TXT", '"6"', 0), ("auth.bind", "TXT", '"7"', 0),
]  # fmt: skip


@pytest.mark.parametrize(("asked", "qtype", "text", "ttl"), CHAOS)
def test_chaos_names(asked: str, qtype: str, text: str, ttl: int) -> None:
    pure = standard()
    pure.metrics.forwarded, pure.metrics.local, pure.metrics.auth = 5, 6, 7
    seen = pure.ask(asked, qtype, klass="CH")
    assert seen.records == [f"{asked} {ttl} CH TXT {text}"]
    assert (seen.flags, seen.answer.lasting) == ("QR AA RD RA", False)


def test_chaos_servers() -> None:
    pure = standard()
    pure.rules.default.servers[0].queries, pure.rules.default.servers[0].failed = 44, 2
    texts = pure.ask("servers.bind", "TXT", klass="CH").rdatas[0]
    assert '"8.8.8.8#53 44 2"' in texts
    assert '"9.9.9.9#53 0 0"' in texts


@pytest.mark.parametrize("asked", ["authors.bind", "copyright.bind"])
def test_chaos_identity(asked: str) -> None:
    assert standard().ask(asked, "TXT", klass="CH").records[0].startswith(f"{asked} 33 CH TXT ")


@pytest.mark.parametrize("asked", ["bind", "server"])
def test_bare_chaos_names_are_not_implemented(asked: str) -> None:
    seen = standard().ask(asked, "TXT", klass="CH")
    assert (seen.rcode, seen.flags) == ("NOTIMP", "QR RD RA")


def test_no_ident() -> None:
    assert Pure("no-ident", "server=1.1.1.1").ask("version.bind", "TXT", klass="CH").outcome == "forward"


@pytest.mark.parametrize("klass", ["CH", "HS"])
@pytest.mark.parametrize("asked", ["host1", "addr.test", "x.example", "rec.lan.", "al.lan."])
def test_other_classes_get_nothing_of_ours(klass: str, asked: str) -> None:
    pure = Pure(*[line for line in LINES if line != "local=/lan/"], hosts=HOSTS)
    seen = pure.ask(asked.rstrip("."), "A", klass=klass)
    assert seen.outcome == "forward"


def test_other_classes_stay_inside_too() -> None:
    assert standard().ask("x.loc.test", "A", klass="CH").rcode == "NXDOMAIN"


# -- round robin, localise-queries ------------------------------------------------------


def orders(pure: Pure, asked: str, count: int, **how: Any) -> list[str]:
    return [pure.ask(asked, **how).rdatas[0] for _ in range(count)]


def test_hosts_records_turn_on_each_look_up() -> None:
    expected = ["10.1.1.3", "10.1.1.4", "10.1.1.5"] * 2
    assert orders(standard(), "multi", 6) == expected
    assert orders(standard(), "multi", 6, tcp=True) == expected
    assert orders(standard(), "Multi", 6, edns=1232) == expected


def test_the_log_has_the_order_of_the_answer() -> None:
    pure = standard()
    for _ in range(3):
        seen = pure.ask("multi")
        assert seen.lines == [f"/etc/hosts multi is {address}" for address in seen.rdatas]


def test_cached_records_turn_on_each_look_up() -> None:
    pure = Pure("server=1.1.1.1")
    addresses = tuple(addr(f"5.5.5.{number}") for number in range(3))
    pure.cache.put([p.CacheEntry(name("x.test"), p.TYPE_A, p.CACHE_DATA, addresses, 60, int(NOW))], int(NOW))
    assert orders(pure, "x.test", 4) == ["5.5.5.0", "5.5.5.1", "5.5.5.2", "5.5.5.0"]


def test_no_round_robin() -> None:
    pure = standard("no-round-robin")
    assert orders(pure, "multi", 4) == ["10.1.1.3"] * 4
    assert len(pure.ask("multi").wires) == 1


def test_every_rotation_for_keeping_has_all_records() -> None:
    seen = standard().ask("multi")
    assert len(seen.wires) == 3
    parsed = [[item.rdata for item in dnswire.parse(wire).answer] for wire in seen.wires]
    assert {order[0] for order in parsed} == {"10.1.1.3", "10.1.1.4", "10.1.1.5"}
    assert all(sorted(order) == ["10.1.1.3", "10.1.1.4", "10.1.1.5"] for order in parsed)


def test_the_alias_stays_in_front_of_what_turns() -> None:
    pure = Pure("cname=al,multi", "no-resolv", hosts=HOSTS)
    for wire in pure.ask("al").wires:
        assert [item.rtype for item in dnswire.parse(wire).answer] == ["CNAME", "A", "A", "A"]


LOCALISE = [("eth1", ["10.1.1.8"]), ("eth0", ["192.168.1.8"]), ("eth9", ["10.1.1.8", "172.16.0.1", "192.168.1.8"])]


@pytest.mark.parametrize(("interface", "expected"), LOCALISE)
def test_localise_queries(interface: str, expected: list[str]) -> None:
    text = "10.1.1.8 h\n192.168.1.8 h\n172.16.0.1 h\nfd00::8 h\n10.1.1.8 one\n"
    pure = Pure("localise-queries", "no-resolv", hosts=text, interfaces=INTERFACES)
    seen = pure.ask("h", interface=interface)
    assert sorted(seen.rdatas) == expected
    assert not seen.answer.lasting, "another interface gets another answer to the same bytes"
    assert pure.ask("one", interface="eth0").rdatas == ["10.1.1.8"]
    assert pure.ask("h", "AAAA", interface=interface).rdatas == ["fd00::8"]
    plain = Pure("no-resolv", hosts=text, interfaces=INTERFACES)
    assert len(plain.ask("h", interface=interface).rdatas) == 3


# -- MX of our own ------------------------------------------------------------------------

MX_CASES = [
    (["selfmx"], "host1", ["1 host1"]),
    (["localmx"], "host1", ["1 router"]),
    (["localmx", "mx-target=mail.lan"], "host1", ["1 mail.lan"]),
    (["selfmx", "localmx", "mx-target=mail.lan"], "host1", ["1 host1"]),
    (["selfmx", "mx-host=host1,other.lan,9"], "host1", ["9 other.lan"]),
    (["selfmx"], "nobody.example", None),
    ([], "host1", None),
]


@pytest.mark.parametrize(("lines", "asked", "expected"), MX_CASES)
def test_mail_of_local_names(lines: list[str], asked: str, expected: list[str] | None) -> None:
    seen = Pure(*lines, "server=1.1.1.1", hosts=HOSTS).ask(asked, "MX")
    if expected is None:
        assert seen.outcome == "forward"
    else:
        assert seen.rdatas == expected


# -- records that do not fit their type --------------------------------------------------------


@pytest.mark.parametrize("rrtype", ["MX", "SOA", "CNAME", "NS", "PTR", "SRV", "NAPTR", "A", "AAAA", "TXT", "HTTPS"])
@pytest.mark.parametrize("octets", ["00", "ff", "0001ff", "05616263", ""])
def test_raw_records_are_served_as_they_are(rrtype: str, octets: str) -> None:
    pure = Pure(f"dns-rr=x.lan,{p.RR_TYPES[rrtype]}" + (f",{octets}" if octets else ""), "server=1.1.1.1")
    for qtype in (rrtype, "ANY", "A"):
        seen = pure.ask("x.lan", qtype)
        if qtype != "A":
            assert seen.outcome == "reply"
            raw = seen.wires[0]
            assert raw.endswith(len(bytes.fromhex(octets)).to_bytes(2, "big") + bytes.fromhex(octets))


# -- aliases ------------------------------------------------------------------------------------


def test_a_long_chain_ends() -> None:
    chain = [f"cname=c{number}.x,c{number + 1}.x" for number in range(250)]
    pure = Pure(*chain, "host-record=c250.x,10.0.0.1", "no-resolv")
    seen = pure.ask("c0.x", tcp=True)
    assert seen.rdatas[-1] == "10.0.0.1"
    assert len(seen.rdatas) == 251


def test_an_endless_chain_in_the_cache_ends() -> None:
    pure = Pure("server=1.1.1.1")
    entries = [
        p.CacheEntry(name(one), p.TYPE_CNAME, p.CACHE_DATA, (name(two),), 60, int(NOW))
        for one, two in ("ab", "bc", "ca")
    ]
    pure.cache.put(entries, int(NOW))
    assert pure.ask("a", tcp=True).outcome == "forward"


def test_our_alias_to_a_cached_name() -> None:
    pure = Pure("cname=al.lan,x.example", "server=1.1.1.1", "local-ttl=9")
    pure.cache.put(
        [p.CacheEntry(name("x.example"), p.TYPE_A, p.CACHE_DATA, (addr("5.5.5.5"),), 60, int(NOW))], int(NOW)
    )
    seen = pure.ask("al.lan")
    assert [text.replace(" IN", "") for text in seen.records] == ["al.lan 9 CNAME x.example", "x.example 60 A 5.5.5.5"]
    assert "AA" not in seen.flags.split()


def test_a_cached_alias_to_our_name() -> None:
    pure = Pure("server=1.1.1.1", hosts="10.0.0.1 h.lan\n")
    pure.cache.put(
        [p.CacheEntry(name("x.example"), p.TYPE_CNAME, p.CACHE_DATA, (name("h.lan"),), 60, int(NOW))], int(NOW)
    )
    assert pure.ask("x.example").rdatas == ["h.lan", "10.0.0.1"]


def test_half_a_chain_is_forwarded_whole() -> None:
    pure = Pure("server=1.1.1.1")
    pure.cache.put(
        [p.CacheEntry(name("x.test"), p.TYPE_CNAME, p.CACHE_DATA, (name("y.test"),), 60, int(NOW))], int(NOW)
    )
    seen = pure.ask("x.test")
    assert (seen.outcome, seen.lines, seen.answer.records, seen.answer.refresh) == ("forward", [], [], [])


# -- leases ------------------------------------------------------------------------------------


def leased(*lines: str, left: float | None = 3600, **how: Any) -> Pure:
    """A state in which pc.lan.test and pc are names of a lease of 10.5.0.60."""
    pure = Pure("server=1.1.1.1", *lines, **how)
    lease = p.Lease(int.from_bytes(addr("10.5.0.60"), "big"))
    lease.expires = None if left is None else NOW + left
    lease.name, lease.domain = "pc", name("lan.test")
    pure.local.lease_publish(lease, addr("10.5.0.60"), [name("pc.lan.test"), name("pc")], pure.config.dhcp_ttl)
    return pure


@pytest.mark.parametrize(("lines", "left", "ttl"), [
    ([], 3600, 0), (["local-ttl=9"], 3600, 9), (["dhcp-ttl=77"], 3600, 77), (["dhcp-ttl=77", "local-ttl=9"], 3600, 77),
    (["dhcp-ttl=0", "local-ttl=9"], 3600, 0), (["dhcp-ttl=77"], 30, 30), (["dhcp-ttl=77"], None, 77),
])  # fmt: skip
def test_leases_are_answered(lines: list[str], left: float | None, ttl: int) -> None:
    pure = leased(*lines, left=left)
    for asked, qtype, data in (("PC.lan.test", "A", "10.5.0.60"), ("60.0.5.10.in-addr.arpa", "PTR", "pc.lan.test")):
        seen = pure.ask(asked, qtype)
        assert (seen.rcode, seen.flags) == ("NOERROR", "QR AA RD RA")
        assert [text.replace(" IN ", " ") for text in seen.records] == [f"{asked} {ttl} {qtype} {data}"]
        shown = "10.5.0.60 is pc.lan.test" if qtype == "PTR" else "pc.lan.test is 10.5.0.60"
        assert seen.lines == [f"DHCP {shown}"]


@pytest.mark.parametrize("question", ["pc A", "60.0.5.10.in-addr.arpa PTR", "al.lan.test A"])
def test_a_finished_answer_does_not_outlive_a_lease(question: str) -> None:
    """Its TTL would stay as it was made: such an answer is made anew, or has no TTL at all."""
    pure = leased("dhcp-ttl=77", "cname=al.lan.test,pc.lan.test", left=100)
    answer = pure.ask(*question.split()).answer
    assert not answer.lasting
    pure.now += 60
    assert pure.ask(*question.split()).records[-1].split()[1] == "40"


@pytest.mark.parametrize(("lines", "asked", "qtype", "outcome"), [
    ([], "pc", "AAAA", "forward"), ([], "pc.lan.test", "TXT", "forward"), ([], "no.lan.test", "A", "forward"),
    (["local=/lan.test/"], "no.lan.test", "A", "NXDOMAIN"), (["local=/lan.test/"], "pc.lan.test", "AAAA", "NOERROR"),
    (["local=/test/"], "lan.test", "A", "NOERROR"), (["domain=lan.test,10.5.0.0/24,local"], "no.lan.test", "A",
     "NXDOMAIN"),
    (["cname=al.lan.test,pc.lan.test"], "al.lan.test", "A", "NOERROR"),
])  # fmt: skip
def test_what_leases_do_not_answer(lines: list[str], asked: str, qtype: str, outcome: str) -> None:
    seen = leased(*lines).ask(asked, qtype)
    assert (seen.rcode if seen.outcome == "reply" else seen.outcome) == outcome


# -- from the cache -----------------------------------------------------------------------------


def cached(*lines: str, ttl: int = 60, **how: Any) -> Pure:
    """A state with x.test in its cache: A, and a NODATA for AAAA with its SOA; n.test does not exist."""
    pure = Pure("server=1.1.1.1", *lines, **how)
    now = int(NOW)
    soa = (name("test"), p.rdata_soa(name("ns.test"), name("root.test"), 1, 2, 3, 4, 5), 300)
    nodata = p.CacheEntry(name("x.test"), p.TYPE_AAAA, p.CACHE_NODATA, (), ttl, now)
    nxdomain = p.CacheEntry(name("n.test"), p.TYPE_A, p.CACHE_NXDOMAIN, (), ttl, now)
    nodata.soa = nxdomain.soa = soa
    pure.cache.put([p.CacheEntry(name("x.test"), p.TYPE_A, p.CACHE_DATA, (addr("5.5.5.5"),), ttl, now)], now)
    pure.cache.put([nodata], now)
    pure.cache.put([nxdomain], now)
    return pure


def test_cached_data() -> None:
    pure = cached()
    pure.now += 10.7
    seen = pure.ask("X.Test")
    assert seen.records == ["X.Test 50 IN A 5.5.5.5"]
    assert (seen.flags, seen.lines) == ("QR RD RA", ["cached x.test is 5.5.5.5"])


@pytest.mark.parametrize(("asked", "qtype", "rcode", "line"), [
    ("x.test", "AAAA", "NOERROR", "cached x.test is NODATA-IPv6"),
    ("n.test", "A", "NXDOMAIN", "cached n.test is NXDOMAIN"),
    ("n.test", "TXT", "NXDOMAIN", "cached n.test is NXDOMAIN"),
])  # fmt: skip
def test_cached_negatives(asked: str, qtype: str, rcode: str, line: str) -> None:
    pure = cached()
    pure.now += 10
    seen = pure.ask(asked, qtype)
    assert (seen.rcode, seen.flags, seen.lines) == (rcode, "QR RD RA", [line])
    assert seen.authority == ["test 290 IN SOA ns.test root.test 1 2 3 4 5"]


def test_a_name_that_came_to_be_known_is_no_longer_missing() -> None:
    pure = cached(hosts="10.0.0.1 below.n.test\n")
    assert pure.ask("n.test", "TXT").rcode == "NOERROR"


@pytest.mark.parametrize(("how", "outcome"), [
    ({}, "reply"), ({"flags": "RD CD"}, "reply"), ({"flags": "RD AD"}, "reply"), ({"edns": 1232}, "reply"),
    ({"edns": 1232, "do": True}, "forward"), ({"flags": ""}, "forward"), ({"klass": "CH"}, "forward"),
    ({"options": [(8, b"\0\1\x18\0\1\2\3")]}, "forward"), ({"options": [(8, b"\0\1\0\0")]}, "reply"),
    ({"options": [(10, b"12345678")]}, "reply"), ({"options": [(65001, b"123456")]}, "reply"),
])  # fmt: skip
def test_who_is_answered_from_the_cache(how: dict[str, Any], outcome: str) -> None:
    pure = cached()
    seen = pure.ask("x.test", **how)
    assert seen.outcome == outcome
    if outcome == "reply":
        assert ("CD" in seen.flags.split()) is ("CD" in str(how))
        assert "AD" not in seen.flags.split()


PRIVACY = [
    (["add-mac"], True), (["add-mac=text"], True), (["add-subnet=24,64"], True), (["add-subnet=24"], True),
    (["add-subnet"], False), (["add-subnet=1.2.3.0/24,::/0"], False), (["add-cpe-id=me"], False), ([], False),
    (["strip-subnet"], False), (["strip-mac"], False),
]  # fmt: skip


@pytest.mark.parametrize(("lines", "bypassed"), PRIVACY)
def test_data_about_the_client_bypasses_the_cache(lines: list[str], bypassed: bool) -> None:
    pure = cached(*lines)
    assert pure.ask("x.test").outcome == ("forward" if bypassed else "reply")


def test_a_subnet_that_is_stripped_bypasses_nothing() -> None:
    assert cached("strip-subnet").ask("x.test", options=[(8, b"\0\1\x18\0\1\2\3")]).outcome == "reply"


def test_any_is_not_answered_from_the_cache() -> None:
    assert cached().ask("x.test", "ANY").outcome == "forward"


@pytest.mark.parametrize(("lines", "after", "outcome"), [
    ([], 60, "forward"), (["use-stale-cache"], 60, "reply"), (["use-stale-cache=30"], 89, "reply"),
    (["use-stale-cache=30"], 90, "forward"), (["use-stale-cache=0"], 10_000_000, "reply"),
    (["use-stale-cache"], 60 + 86_400, "forward"),
])  # fmt: skip
def test_stale_answers(lines: list[str], after: int, outcome: str) -> None:
    pure = cached(*lines)
    pure.now += after
    seen = pure.ask("x.test", edns=1232)
    assert seen.outcome == outcome
    if outcome == "reply":
        assert seen.records == ["x.test 0 IN A 5.5.5.5"]
        assert (seen.message.ede, seen.lines) == ([3], ["cached-stale x.test is 5.5.5.5"])
        assert not seen.answer.lasting
        assert [entry.name for entry in seen.answer.refresh] == [name("x.test")]


@pytest.mark.parametrize("line", ["filter-A", "filter-rr=A"])
def test_filtered_types_are_kept_but_not_shown(line: str) -> None:
    pure = cached(line, hosts="10.0.0.1 h\n")
    seen = pure.ask("x.test", edns=1232)
    assert (seen.rcode, seen.records, seen.message.ede) == ("NOERROR", [], [17])
    assert pure.ask("h").rdatas == ["10.0.0.1"]


def test_refresh_of_what_is_popular_and_near_its_end() -> None:
    pure = cached(ttl=300)
    for _ in range(p.REFRESH_HITS + 1):
        assert pure.ask("x.test").answer.refresh == []
    pure.now += 280
    assert [entry.rrtype for entry in pure.ask("x.test").answer.refresh] == [p.TYPE_A]
    assert pure.ask("n.test").answer.refresh == []


# -- from the cache, with DNSSEC ------------------------------------------------------------------

SIGNED = [
    "www.z.tld A", "www.z.tld MX", "nx.z.tld A", "ent.z.tld A", "x.w.z.tld A", "x.w.z.tld MX", "alias.z.tld A",
    "far.z.tld A", "far.z.tld MX", "dangling.z.tld A", "x.al.z.tld A", "www.d.z.tld A", "nx.d.z.tld A", "u.z.tld DS",
    "s.z.tld DS", "nx.z.tld DS", "host.u.z.tld A", "nx.u.z.tld A", "out.z.tld A", "z.tld DNSKEY",
]  # fmt: skip


@pytest.mark.parametrize("kind", ["nsec", "nsec3", "optout"])
@pytest.mark.parametrize("question", SIGNED)
def test_what_a_validator_gets_from_the_cache(question: str, kind: str) -> None:
    """It can prove as much as with the answer itself; if not, it is asked for again."""
    asked, qtype = question.split()
    world = tree(kind)
    pure = validating(world, "cache-rr=ANY")
    passed_on(pure, world, asked, qtype)
    pure.now += 10
    seen = pure.ask(asked, qtype, do=True)
    if seen.outcome == "reply":
        expected = str(Prover(world).prove(asked, qtype))
        assert str(Prover(world).prove(asked, qtype, seen.wires[0])) == expected
        assert ("AD" in seen.flags.split()) is (expected == "SECURE")
    else:
        assert (seen.outcome, "d.z.tld" in asked or qtype in ("DS", "DNSKEY")) == ("forward", True)


BITS = [({}, False, False), ({"flags": "RD AD"}, True, False), ({"do": True}, True, True),
        ({"edns": 1232}, False, False),
        ({"flags": "RD CD"}, False, False), ({"flags": "RD AD CD"}, False, False)]  # fmt: skip


@pytest.mark.parametrize("question", ["www.z.tld A", "www.z.tld TXT", "nx.z.tld A", "x.w.z.tld A", "alias.z.tld A"])
@pytest.mark.parametrize(("how", "ad", "signed"), BITS)
def test_who_learns_that_cached_data_is_proved(question: str, how: dict[str, Any], ad: bool, signed: bool) -> None:
    """RFC 6840 s.5.7, s.5.8; RFC 4035 s.3.2.1: no DNSSEC records for who did not ask for them."""
    asked, qtype = question.split()
    world = tree()
    pure = validating(world)
    passed_on(pure, world, asked, qtype)
    seen = pure.ask(asked, qtype, **how)
    assert ("AD" in seen.flags.split(), "CD" in seen.flags.split()) == (ad, "CD" in str(how))
    message = dnswire.parse(seen.wires[0])
    kinds = {item.rtype for item in message.answer + message.authority}
    assert bool(kinds & {"RRSIG", "NSEC"}) is signed


@pytest.mark.parametrize(("asked", "kept"), [("host.u.z.tld", True), ("out.z.tld", True)])
def test_insecure_data_has_no_ad(asked: str, kept: bool) -> None:
    world = tree()
    pure = validating(world, "log-queries=extra")
    passed_on(pure, world, asked)
    seen = pure.ask(asked, flags="RD AD")
    assert (seen.outcome == "reply", "AD" in seen.flags.split()) == (kept, False)
    assert not any("signed" in line for line in seen.lines if "<CNAME>" not in line)


def test_a_question_for_every_class_is_refused_where_answers_are_proved() -> None:
    pure = validating(tree())
    assert (pure.ask("www.z.tld", klass="ANY").outcome, pure.ask("www.z.tld").outcome) == ("reply", "forward")
    assert pure.ask("www.z.tld", klass="ANY").rcode == "NOTIMP"
    assert Pure("server=9.9.9.9").ask("www.z.tld", klass="ANY").outcome == "forward"


def test_one_insecure_part_takes_ad_away() -> None:
    """An alias that is proved, to a target that is not."""
    world = tree()
    pure = validating(world, "cname=ours.z.tld,www.z.tld")
    passed_on(pure, world, "out.z.tld", "A")
    passed_on(pure, world, "www.z.tld", "A")
    for asked, ad in (("out.z.tld", False), ("www.z.tld", True), ("ours.z.tld", False)):
        assert ("AD" in pure.ask(asked, flags="RD AD").flags.split()) is ad


def test_stale_data_is_not_proved() -> None:
    world = tree()
    pure = validating(world, "use-stale-cache")
    passed_on(pure, world, "www.z.tld")
    pure.now += 10_000
    seen = pure.ask("www.z.tld", flags="RD AD")
    assert (seen.outcome, "AD" in seen.flags.split()) == ("reply", False)


def test_the_log_tells_what_is_proved() -> None:
    world = tree()
    for line, suffix in (("log-queries", ""), ("log-queries=extra", " (DNSSEC signed)")):
        pure = validating(world, line)
        for asked, value in (("www.z.tld", "192.0.2.1"), ("nx.z.tld", "NXDOMAIN"), ("alias.z.tld", "<CNAME>")):
            passed_on(pure, world, asked)
            lines = [text for text in pure.ask(asked).lines if value in text]
            assert lines[0].endswith(value + suffix), lines


def denying(
    kind: str, *lines: str, known: tuple[str, ...] = ("nx.z.tld", "zz.z.tld", "x.w.z.tld", "b.ent.z.tld")
) -> Pure:
    """A state that has passed on some denials."""
    world = tree(kind)
    pure = validating(world, *lines)
    for asked in known:
        passed_on(pure, world, asked, "TXT")
    return pure


@pytest.mark.parametrize("kind", ["nsec", "nsec3"])
def test_what_is_denied_without_a_question_upstream(kind: str) -> None:
    """RFC 8198: the answer is proved, whole, and no longer-lived than its parts."""
    world = tree(kind)
    pure = denying(kind)
    pure.now += 10
    seen = 0
    for text in ("ny", "a.nx", "x.y.zz", "nx.w", "u.nx", "b.zz", "nz"):
        asked = f"{text}.z.tld"
        plain, full = pure.ask(asked, "AAAA", flags="RD AD"), pure.ask(asked, "AAAA", do=True)
        assert plain.outcome == full.outcome
        if plain.outcome != "reply":
            continue
        seen += 1
        truth = world.reply(asked, "AAAA")
        assert (plain.rcode, plain.flags, full.flags) == (
            ("NOERROR", "NXDOMAIN")[truth.rcode // 3],
            *["QR RD RA AD"] * 2,
        )
        assert str(Prover(world).prove(asked, "AAAA", full.wires[0])) == "SECURE"
        assert [item.split()[3] for item in plain.authority] == ["SOA"]
        assert {int(item.split()[1]) for item in full.authority} == {50}
        assert plain.answer.lasting is False
    assert seen > 3


NOT_DENIED = [
    ("", {}, True), ("no-negcache", {}, False), ("server=/z.tld/1.1.1.1", {}, False), ("local=/nz.z.tld/", {}, True),
    ("", {"flags": "RD CD"}, False), ("", {"flags": ""}, False), ("", {"klass": "CH"}, False),
    ("", {"options": [(8, b"\0\1\x18\0\1\2\3")]}, False),
]  # fmt: skip


@pytest.mark.parametrize(("line", "how", "denied"), NOT_DENIED)
def test_who_is_denied_without_a_question_upstream(line: str, how: dict[str, Any], denied: bool) -> None:
    pure = denying("nsec", *filter(None, [line]))
    seen = pure.ask("ny.z.tld", "AAAA", **how)
    assert (seen.outcome == "reply" and seen.rcode == "NXDOMAIN") is denied


def test_what_is_ours_is_not_denied() -> None:
    pure = denying("nsec", "address=/ny.z.tld/10.0.0.1", "host-record=nz.z.tld,10.0.0.2", "txt-record=na.z.tld,x")
    assert pure.ask("ny.z.tld").rdatas == ["10.0.0.1"]
    assert pure.ask("nz.z.tld").rdatas == ["10.0.0.2"]
    seen = pure.ask("nz.z.tld", "AAAA", flags="RD AD")
    assert (seen.rcode, "AD" in seen.flags.split()) == ("NOERROR", False)
    assert pure.ask("na.z.tld", "TXT").rdatas == ['"x"']
    assert pure.ask("na.z.tld", "A").rcode == "NOERROR"


def test_denial_ends_with_its_parts() -> None:
    pure = denying("nsec3")
    assert pure.ask("ny.z.tld").rcode == "NXDOMAIN"
    pure.now += 60
    assert pure.ask("ny.z.tld").outcome == "forward"


def test_a_changed_answer_teaches_nothing() -> None:
    world = tree()
    pure = validating(world)
    reply = world.reply("nx.z.tld", "TXT").change(lambda rr: rr.rrtype == RRSIG, rdata=lambda rr: rr.rdata[:-1] + b"x")
    back = passed_on(pure, world, "nx.z.tld", "TXT", reply)
    assert back.packed().rcode == "SERVFAIL"
    assert pure.ask("ny.z.tld").outcome == "forward"
    assert pure.ask("nx.z.tld", "TXT").outcome == "forward"


# -- size, EDNS, flags ------------------------------------------------------------------------------

BIG = [f"txt-record=big.lan,{'x' * 250},{'y' * 250},{'z' * 250},{'w' * 250}", "no-resolv"]
SIZES = [
    # EDNS of the client, TCP, edns-packet-max, truncated
    (None, False, None, True), (512, False, None, True), (1000, False, None, True), (1232, False, None, False),
    (4096, False, None, False), (4096, False, 1000, True), (4096, False, 512, True), (None, True, None, False),
    (512, True, 512, False), (0, False, None, True), (65535, False, 1500, False),
]  # fmt: skip


@pytest.mark.parametrize(("edns", "tcp", "most", "truncated"), SIZES)
def test_size_and_truncation(edns: int | None, tcp: bool, most: int | None, truncated: bool) -> None:
    pure = Pure(*BIG, *([f"edns-packet-max={most}"] if most else []))
    seen = pure.ask("big.lan", "TXT", edns=edns, tcp=tcp) if edns != 0 else None
    if seen is None:
        wire = dnswire.build_query("big.lan", "TXT", id=1) + dnswire.pack_edns(0)
        query = p.dns_query_unpack(wire[:11] + b"\1" + wire[12:])
        answer = p.dns_answer(query, pure.client(), pure.state, pure.now)
        message = dnswire.parse(answer.finish(True)[0])
    else:
        message = seen.message
    assert message.has("TC") is truncated
    assert bool(message.answer) is not truncated
    if edns is not None:
        assert message.edns_size == (most or 1232)
        assert len(message.raw) <= 65535 if tcp else max(512, min(edns, most or 1232))
    else:
        assert message.edns_size is None


def test_the_size_is_kept_to_the_octet() -> None:
    for extra in range(60):
        pure = Pure(f"txt-record=big.lan,{'x' * 250},{'y' * (160 + extra)}", "no-resolv")
        seen = pure.ask("big.lan", "TXT")
        assert len(seen.wires[0]) <= 512
        full = len(pure.ask("big.lan", "TXT", tcp=True).wires[0])
        assert seen.message.has("TC") is (full > 512)


@pytest.mark.parametrize("flags", ["", "RD", "RD CD", "CD", "RD AD", "RD AD CD"])
def test_header_bits_come_back(flags: str) -> None:
    seen = standard().ask("host1", flags=flags)
    back = set(seen.flags.split())
    assert ("RD" in back, "CD" in back, "AD" in back) == ("RD" in flags, "CD" in flags, False)
    assert {"QR", "AA", "RA"} <= back
    assert seen.message.id == 0x1234


def test_do_comes_back() -> None:
    pure = standard()
    assert pure.ask("host1", edns=1232).message.edns_flags == 0
    assert pure.ask("host1", edns=1232, do=True).message.edns_flags == 0x8000
    assert pure.ask("host1").message.edns_size is None


def test_the_question_comes_back_as_it_was_written() -> None:
    seen = standard().ask("hOsT1.LaN")
    assert seen.message.question[0].name == "hOsT1.LaN"
    assert seen.message.answer[0].name == "hOsT1.LaN"


def test_ede_is_for_clients_with_edns() -> None:
    pure = cached("use-stale-cache")
    pure.now += 100
    assert pure.ask("x.test").message.ede == []


# -- loops ---------------------------------------------------------------------------------------------


def test_a_loop_is_found_by_its_probe() -> None:
    pure = Pure("dns-loop-detect", "server=1.1.1.1", "server=2.2.2.2")
    one, two = pure.rules.default.servers
    probe = p.dns_name_format(p.loop_probe_name(two))
    assert probe.endswith(".test")
    assert len(probe) == 13
    seen = pure.ask(probe, "TXT")
    assert seen.outcome == "silence"
    assert (one.looped, two.looped) == (False, True)
    assert [line for line in pure.log.texts() if "2.2.2.2" in line and "loop" in line]
    assert pure.ask("a.example").answer.group.usable() == [one]


@pytest.mark.parametrize(("lines", "asked", "qtype"), [
    (["server=1.1.1.1"], "probe", "TXT"), (["dns-loop-detect", "server=1.1.1.1"], "probe", "A"),
    (["dns-loop-detect", "server=1.1.1.1"], "00000000.test", "TXT"),
    (["dns-loop-detect", "server=1.1.1.1"], "zzzzzzzz.test", "TXT"),
])  # fmt: skip
def test_what_is_no_probe_is_forwarded(lines: list[str], asked: str, qtype: str) -> None:
    pure = Pure(*lines)
    if asked == "probe":
        asked = p.dns_name_format(p.loop_probe_name(pure.rules.default.servers[0]))
    assert pure.ask(asked, qtype).outcome == "forward"
    assert not pure.rules.default.servers[0].looped


# -- the log of a query -----------------------------------------------------------------------------------

QUERY_LINES = [
    ("log-queries", "host1", "A", "query[A] host1 from 192.168.1.50", ""),
    ("log-queries", "HOST1.Lan", "AAAA", "query[AAAA] host1.lan from 192.168.1.50", ""),
    ("log-queries", ".", "NS", "query[NS] . from 192.168.1.50", ""),
    ("log-queries", "x", "TYPE65000", "query[type=65000] x from 192.168.1.50", ""),
    ("log-queries", "x", "HTTPS", "query[HTTPS] x from 192.168.1.50", ""),
    ("log-queries", "a\\000b", "A", "query[A] <name unprintable> from 192.168.1.50", ""),
    ("log-queries=extra", "host1", "A", "7 192.168.1.50/5353 query[A] host1 from 192.168.1.50", "7 192.168.1.50/5353 "),
    ("log-queries=proto", "host1", "A", "UDP 7 192.168.1.50/5353 query[A] host1 from 192.168.1.50",
     "UDP 7 192.168.1.50/5353 "),
]  # fmt: skip


@pytest.mark.parametrize(("line", "asked", "qtype", "expected", "prefix"), QUERY_LINES)
def test_query_lines(line: str, asked: str, qtype: str, expected: str, prefix: str) -> None:
    pure = Pure(line, "server=1.1.1.1")
    query = pure.query(asked, qtype)
    log = p.query_log(pure.state, query, pure.client(), 7)
    log.put(["config x is y"])
    assert pure.log.texts() == [expected, f"{prefix}config x is y"]
    pure.log._lines.clear()
    log.forwarded(query, pure.rules.default.servers[0])
    shown = expected.partition("] ")[2].removesuffix(" from 192.168.1.50")
    assert pure.log.texts() == [f"{prefix}forwarded {shown} to 1.1.1.1"]
    pure.log._lines.clear()
    log.extra_line("reply query is duplicate")
    assert pure.log.texts() == ([f"{prefix}reply query is duplicate"] if prefix else [])


def test_only_failed_holds_lines_until_they_matter() -> None:
    pure = Pure("log-queries=only_failed", "server=1.1.1.1")
    log = p.query_log(pure.state, pure.query("x"), pure.client(), 1)
    log.put(["good"])
    assert pure.log.texts() == []
    log = p.query_log(pure.state, pure.query("y"), pure.client(), 2)
    log.put(["bad"], True)
    assert pure.log.texts() == ["query[A] y from 192.168.1.50", "bad"]
    log.put(["later"], True)
    assert pure.log.texts()[2:] == ["later"]


def test_auth_logs_only_the_auth_engine() -> None:
    pure = Pure("log-queries=auth", "server=1.1.1.1")
    p.query_log(pure.state, pure.query("x"), pure.client(), 1).put(["one"])
    assert pure.log.texts() == []
    p.query_log(pure.state, pure.query("x"), pure.client(auth=True), 1).put(["two"])
    assert pure.log.texts()[-1] == "two"


def test_without_log_queries_no_text_is_made() -> None:
    pure = standard()
    pure.log.queries = False
    for asked, qtype in (("host1", "A"), ("2.1.1.10.in-addr.arpa", "PTR"), ("x.loc.test", "A"), ("al2.lan", "A")):
        assert pure.ask(asked, qtype).lines == []


# -- nothing escapes ----------------------------------------------------------------------------------------


def test_any_question_is_decided() -> None:
    pure = standard("selfmx", "localise-queries", "filterwin2k", "dns-loop-detect", "synth-domain=s,10.0.0.0/8,p*")
    dice = random.Random(51)
    tails = [b"", name("lan")[:-1], name("in-addr.arpa")[:-1], name("ip6.arpa")[:-1], b"\1s", name("syn.lan")[:-1],
             name("bind")[:-1], name("test")[:-1], name("10.in-addr.arpa")[:-1]]  # fmt: skip
    letters = b"pi-0123456789abf_*.:\xb2\xb9\0\xff "
    for _ in range(4000):
        labels = []
        for _ in range(dice.randrange(4)):
            text = bytes(dice.choice(letters) for _ in range(dice.randrange(1, 20)))
            labels.append(bytes((len(text),)) + text)
        asked = b"".join(labels) + dice.choice(tails) + b"\0"
        qtype = dice.choice((1, 28, 12, 16, 5, 15, 33, 6, 255, 252, 43, 0, 41, 65535))
        klass = dice.choice((1, 1, 1, 1, 3, 255, 0))
        wire = b"\0\1\1\0\0\1\0\0\0\0\0\0" + asked + qtype.to_bytes(2, "big") + klass.to_bytes(2, "big")
        answer = p.dns_answer(p.dns_query_unpack(wire), pure.client(), pure.state, pure.now)
        assert answer.outcome in ("reply", "forward", "silence")
        if answer.outcome == "reply":
            dnswire.parse(answer.finish(True)[0])


# -- sets of the kernel ------------------------------------------------------------------------------

TABLES = [
    ([], ()),
    (["ipset=/a.test/b.c/x,y"], (("ipset", {"a.test": ("x", "y"), "b.c": ("x", "y")}),)),
    (["ipset=/A.test/x", "ipset=/a.TEST/y"], (("ipset", {"a.test": ("x",)}),)),
    (["ipset=/#/x", "ipset=y"], (("ipset", {".": ("x",)}),)),
    (["ipset=/*.a.test/*b.test/c.test/x"], (("ipset", {"c.test": ("x",)}),)),
    (["nftset=/a.test/t#s", "ipset=/b.test/x"], (("ipset", {"b.test": ("x",)}), ("nftset", {"a.test": ("ip t s",)}))),
    (["nftset=/a.test/t#s,6#inet#t#v"], (("nftset", {"a.test": ("ip t s", "6 inet t v")}),)),
]


@pytest.mark.parametrize(("lines", "expected"), TABLES)
def test_sets_of_domains(lines: list[str], expected: Any) -> None:
    found = p.kernel_set_tables(Pure(*lines).config)
    shown = [
        (option, {p.dns_name_format(domain) or ".": tuple(map(str, sets)) for domain, sets in table.items()})
        for option, table in found
    ]
    assert tuple(shown) == expected
