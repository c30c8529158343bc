"""Section 52: zones that are served authoritatively, and the whole path of a query."""

from __future__ import annotations

from typing import Any

import pytest

import pydnsmasq as p
from pure import Pure, Seen, at, name

LINES = """server=8.8.8.8
local-ttl=33
auth-server=ns.z.test,eth9
auth-zone=z.test,192.168.1.0/24,exclude:192.168.1.200/29,fd00::/64
auth-zone=w.test
auth-soa=5
auth-sec-servers=sec.test
host-record=rec.z.test,192.168.1.10,fd00::10,77
host-record=out.z.test,10.0.0.1
host-record=both.z.test,10.0.0.1
host-record=both.z.test,192.168.1.11
host-record=gone.z.test,192.168.1.201
host-record=z.test,192.168.1.2
host-record=any.w.test,10.9.9.9
cname=al.z.test,h
cname=al2.z.test,al.z.test
cname=*.wild.z.test,h
cname=far.z.test,www.example
mx-host=z.test,mail.z.test,5
txt-record=t.z.test,one
txt-record=there.wild.z.test,x
srv-host=_x._tcp.z.test,rec.z.test,5,1,2
caa-record=z.test,0,issue,ca.example
dns-rr=rr.z.test,65,0001
naptr-record=n.z.test,1,2,u,s,!a!b!
synth-domain=s.z.test,192.168.1.0/24,ip-
interface-name=if.z.test,eth0
address=/addr.z.test/9.9.9.9""".splitlines()
HOSTS = "192.168.1.5 foo\n192.168.1.6 h.z.test\n192.168.1.7 deep.er.z.test\nfd00::6 h.z.test\n"
INTERFACES = [at("eth0", "192.168.1.1", 24), at("eth9", "203.0.113.5", 24)]
SOA = "SOA ns.z.test hostmaster.ns.z.test 5 1200 180 1209600 600"
NS = ["z.test 600 NS ns.z.test", "z.test 600 NS sec.test"]
REVERSE = "1.168.192.in-addr.arpa"


def zones(*more: str, **how: Any) -> Pure:
    return Pure(*LINES, *more, hosts=HOSTS, interfaces=INTERFACES, **how)


def plain(texts: list[str]) -> list[str]:
    return [text.replace(" IN ", " ") for text in texts]


OUTSIDE: list[tuple[str, str, list[str], list[str]]] = [
    # question, rcode, answers, authority
    ("h.z.test A", "NOERROR", ["h.z.test 600 A 192.168.1.6"], NS),
    ("h.z.test AAAA", "NOERROR", ["h.z.test 600 AAAA fd00::6"], NS),
    ("H.Z.Test A", "NOERROR", ["H.Z.Test 600 A 192.168.1.6"], NS),
    ("rec.z.test A", "NOERROR", ["rec.z.test 600 A 192.168.1.10"], NS),
    ("z.test SOA", "NOERROR", [f"z.test 600 {SOA}"], NS),
    ("z.test NS", "NOERROR", NS, []),
    ("z.test A", "NOERROR", ["z.test 600 A 192.168.1.2"], NS),
    ("z.test MX", "NOERROR", ["z.test 600 MX 5 mail.z.test"], NS),
    ("z.test CAA", "NOERROR", ['z.test 600 CAA 0 "issue" "ca.example"'], NS),
    ("t.z.test TXT", "NOERROR", ['t.z.test 600 TXT "one"'], NS),
    ("_x._tcp.z.test SRV", "NOERROR", ["_x._tcp.z.test 600 SRV 1 2 5 rec.z.test"], NS),
    ("rr.z.test HTTPS", "NOERROR", ["rr.z.test 600 HTTPS \\# 0001"], NS),
    ("if.z.test A", "NOERROR", ["if.z.test 600 A 192.168.1.1"], NS),
    ("ip-192-168-1-9.s.z.test A", "NOERROR", ["ip-192-168-1-9.s.z.test 600 A 192.168.1.9"], NS),
    # aliases: a target without a dot is in the zone, wildcards work here
    ("al.z.test A", "NOERROR", ["al.z.test 600 CNAME h.z.test", "h.z.test 600 A 192.168.1.6"], NS),
    ("al2.z.test A", "NOERROR",
     ["al2.z.test 600 CNAME al.z.test", "al.z.test 600 CNAME h.z.test", "h.z.test 600 A 192.168.1.6"], NS),
    ("al.z.test CNAME", "NOERROR", ["al.z.test 600 CNAME h.z.test"], NS),
    ("q.wild.z.test A", "NOERROR", ["q.wild.z.test 600 CNAME h.z.test", "h.z.test 600 A 192.168.1.6"], NS),
    ("q.wild.z.test CNAME", "NOERROR", ["q.wild.z.test 600 CNAME h.z.test"], NS),
    ("there.wild.z.test A", "NOERROR", [], [f"z.test 600 {SOA}"]),
    ("far.z.test A", "NOERROR", ["far.z.test 600 CNAME www.example"], NS),
    # negative: SOA; a name with something at or below it exists
    ("t.z.test A", "NOERROR", [], [f"z.test 600 {SOA}"]),
    ("er.z.test A", "NOERROR", [], [f"z.test 600 {SOA}"]),
    ("wild.z.test A", "NOERROR", [], [f"z.test 600 {SOA}"]),
    ("nope.z.test A", "NXDOMAIN", [], [f"z.test 600 {SOA}"]),
    ("foo.z.test A", "NXDOMAIN", [], [f"z.test 600 {SOA}"]),
    ("x.h.z.test A", "NXDOMAIN", [], [f"z.test 600 {SOA}"]),
    ("addr.z.test A", "NXDOMAIN", [], [f"z.test 600 {SOA}"]),
    ("z.test AAAA", "NOERROR", [], [f"z.test 600 {SOA}"]),
    # addresses outside the subnets, or excluded, are not shown
    ("out.z.test A", "NOERROR", [], [f"z.test 600 {SOA}"]),
    ("gone.z.test A", "NOERROR", [], [f"z.test 600 {SOA}"]),
    ("both.z.test A", "NOERROR", ["both.z.test 600 A 192.168.1.11"], NS),
    # a zone without subnets has no filter
    ("any.w.test A", "NOERROR", ["any.w.test 600 A 10.9.9.9"], ["w.test 600 NS ns.z.test", "w.test 600 NS sec.test"]),
    ("w.test SOA", "NOERROR", [f"w.test 600 {SOA}"], ["w.test 600 NS ns.z.test", "w.test 600 NS sec.test"]),
    # reverse: only names of the zone
    (f"6.{REVERSE} PTR", "NOERROR", [f"6.{REVERSE} 600 PTR h.z.test"], [f"{REVERSE} 600 NS ns.z.test"]),
    (f"9.{REVERSE} PTR", "NOERROR", [f"9.{REVERSE} 600 PTR ip-192-168-1-9.s.z.test"], [f"{REVERSE} 600 NS ns.z.test"]),
    (f"1.{REVERSE} PTR", "NOERROR", [f"1.{REVERSE} 600 PTR if.z.test"], [f"{REVERSE} 600 NS ns.z.test"]),
    (f"{REVERSE} SOA", "NOERROR", [f"{REVERSE} 600 {SOA}"], [f"{REVERSE} 600 NS ns.z.test"]),
    (f"{REVERSE} NS", "NOERROR", [f"{REVERSE} 600 NS ns.z.test"], []),
    # not ours
    ("x.elsewhere A", "REFUSED", [], []),
    ("test SOA", "REFUSED", [], []),
    ("xz.test A", "REFUSED", [], []),
    ("9.9.9.9.in-addr.arpa PTR", "REFUSED", [], []),
    (". NS", "REFUSED", [], []),
]  # fmt: skip


@pytest.mark.parametrize(("question", "rcode", "records", "authority"), OUTSIDE, ids=[row[0] for row in OUTSIDE])
def test_on_an_authoritative_interface(question: str, rcode: str, records: list[str], authority: list[str]) -> None:
    asked, qtype = question.split()
    seen = zones().ask(asked, qtype, auth=True)
    assert seen.outcome == "reply"
    assert seen.rcode == rcode
    assert plain(seen.records) == records
    assert plain(seen.authority) == authority
    assert seen.message.additional == []
    assert seen.flags == ("QR RD" if rcode == "REFUSED" else "QR AA RD")
    assert not seen.answer.lasting


def test_lines_in_the_log() -> None:
    pure = zones()
    assert pure.ask("al.z.test", auth=True).lines == ["auth al.z.test is <CNAME>", "auth h.z.test is 192.168.1.6"]
    assert pure.ask("z.test", "SOA", auth=True).lines == ["auth z.test is <SOA>"]
    assert pure.ask("z.test", "NS", auth=True).lines == ["auth z.test is <NS>"] * 2
    assert pure.ask("nope.z.test", auth=True).lines == ["auth nope.z.test is NXDOMAIN"]
    assert pure.ask("t.z.test", "AAAA", auth=True).lines == ["auth t.z.test is NODATA-IPv6"]


def test_other_classes_are_refused() -> None:
    for klass in ("CH", "ANY"):
        assert zones().ask("h.z.test", klass=klass, auth=True).rcode == "REFUSED"
    assert zones().ask("version.bind", "TXT", klass="CH", auth=True).rcode == "REFUSED"


def test_the_world_is_not_served_from_the_cache_or_upstream() -> None:
    pure = zones("auth-zone=only.test")
    pure.reply("x.example", "A", "x.example 60 A 5.5.5.5")
    assert pure.ask("x.example").outcome == "reply"
    assert pure.ask("x.example", auth=True).rcode == "REFUSED"
    assert pure.ask("foo", auth=True).rcode == "REFUSED"


SOA_LINES = [
    ([], "SOA ns.z 77 1200 180 1209600 600"),
    (["auth-soa=9"], "SOA ns.z 9 1200 180 1209600 600"),
    (["auth-soa=9,root@z,1,2,3"], "SOA ns.z 9 1 2 3 600"),
    (["auth-soa=9,,1"], "SOA ns.z 9 1 180 1209600 600"),
    (["auth-ttl=44"], "SOA ns.z 77 1200 180 1209600 44"),
]


@pytest.mark.parametrize(("lines", "expected"), SOA_LINES)
def test_soa(lines: list[str], expected: str) -> None:
    pure = Pure("auth-server=ns.z,eth9", "auth-zone=z", "no-resolv", *lines)
    for seen in (pure.ask("z", "SOA", auth=True).records, pure.ask("nope.z", auth=True).authority):
        words = seen[0].split()
        assert " ".join([words[3], words[4], *words[6:]]) == expected
        assert words[5] == ("root.z" if "root" in "".join(lines) else "hostmaster.ns.z")


def test_without_interfaces_only_the_secondaries_are_name_servers() -> None:
    pure = Pure("auth-server=ns.z", "auth-zone=z", "auth-sec-servers=a.sec,b.sec", "no-resolv")
    assert pure.ask("z", "NS", auth=True).rdatas == ["a.sec", "b.sec"]


# -- subnets ------------------------------------------------------------------------------


SUBNETS = [
    # auth-zone value behind the domain, addresses shown of 192.168.1.6 10.0.0.1 fd00::6
    ("", "192.168.1.6 10.0.0.1 fd00::6"),
    (",192.168.1.0/24", "192.168.1.6"),
    (",192.168.1.6", "192.168.1.6"),
    (",10.0.0.0/8,fd00::/64", "10.0.0.1 fd00::6"),
    (",exclude:10.0.0.0/8", "192.168.1.6 fd00::6"),
    (",0.0.0.0/0,exclude:192.168.1.6/32", "10.0.0.1"),
    (",eth0", "192.168.1.6 fd00::6"),
    (",eth0/4", "192.168.1.6"),
    (",eth0/6", "fd00::6"),
    (",eth*", "192.168.1.6 10.0.0.1 fd00::6"),
    (",nothing0", ""),
]


@pytest.mark.parametrize(("value", "shown"), SUBNETS)
def test_which_addresses_a_zone_shows(value: str, shown: str) -> None:
    interfaces = [at("eth0", "192.168.1.1", 24), at("eth0", "fd00::1", 64), at("eth1", "10.0.0.254", 24)]
    pure = Pure("auth-server=ns.z,eth9", f"auth-zone=z{value}", "no-resolv", interfaces=interfaces,
                hosts="192.168.1.6 h.z\n10.0.0.1 h.z\nfd00::6 h.z\n")  # fmt: skip
    got = pure.ask("h.z", "A", auth=True).rdatas + pure.ask("h.z", "AAAA", auth=True).rdatas
    assert sorted(got) == sorted(shown.split())


NETS = [
    ("10.1.2.0/23", "1.10.in-addr.arpa", "9.2.1.10.in-addr.arpa"),
    ("10.1.2.0/24", "2.1.10.in-addr.arpa", "9.2.1.10.in-addr.arpa"),
    ("10.1.2.128/25", "2.1.10.in-addr.arpa", "200.2.1.10.in-addr.arpa"),
    ("10.0.0.0/8", "10.in-addr.arpa", "9.2.1.10.in-addr.arpa"),
    ("fd00::/16", "0.0.d.f.ip6.arpa", None),
    ("fd00::/14", "0.d.f.ip6.arpa", None),
]


@pytest.mark.parametrize(("net", "origin", "below"), NETS)
def test_reverse_zones_end_at_a_label(net: str, origin: str, below: str | None) -> None:
    pure = Pure("auth-server=ns.z,eth9", f"auth-zone=z,{net}", "no-resolv")
    seen = pure.ask(origin, "SOA", auth=True)
    assert (seen.rcode, len(seen.records)) == ("NOERROR", 1)
    if below:
        seen = pure.ask(below, "PTR", auth=True)
        assert seen.rcode == "NXDOMAIN"
        assert seen.message.authority[0].name == origin
    assert pure.ask("8.8.8.8.in-addr.arpa", "PTR", auth=True).rcode == "REFUSED"
    assert pure.ask("arpa", "SOA", auth=True).rcode == "REFUSED"


# -- local mode ------------------------------------------------------------------------------

LOCAL: list[tuple[str, str, list[str]]] = [
    ("h.z.test A", "NOERROR", ["h.z.test 600 A 192.168.1.6"]),
    ("al.z.test A", "NOERROR", ["al.z.test 600 CNAME h.z.test", "h.z.test 600 A 192.168.1.6"]),
    ("q.wild.z.test A", "NOERROR", ["q.wild.z.test 600 CNAME h.z.test", "h.z.test 600 A 192.168.1.6"]),
    ("t.z.test A", "NOERROR", []),
    ("nope.z.test A", "NXDOMAIN", []),
]


@pytest.mark.parametrize(("question", "rcode", "records"), LOCAL)
def test_local_mode(question: str, rcode: str, records: list[str]) -> None:
    asked, qtype = question.split()
    seen = zones().ask(asked, qtype)
    assert (seen.outcome, seen.rcode, plain(seen.records), seen.authority) == ("reply", rcode, records, [])
    assert seen.flags == "QR RD RA"


def test_local_mode_ends_at_the_zone() -> None:
    pure = zones()
    assert pure.ask("x.elsewhere").outcome == "forward"
    assert pure.ask("z.test", "DS").outcome == "forward"
    assert pure.ask("version.bind", "TXT", klass="CH").rcode == "NOERROR"
    assert pure.ask("foo").rdatas == ["192.168.1.5"]


def test_local_mode_leaves_reverse_names_alone() -> None:
    pure = zones()
    assert pure.ask(f"5.{REVERSE}", "PTR").records == [f"5.{REVERSE} 33 IN PTR foo"]
    assert pure.ask(f"6.{REVERSE}", "PTR").records == [f"6.{REVERSE} 33 IN PTR h.z.test"]
    assert pure.ask("8.8.8.8.in-addr.arpa", "PTR").outcome == "forward"


def test_localise_queries_ends_local_mode() -> None:
    pure = zones("localise-queries")
    assert pure.ask("h.z.test").records == ["h.z.test 33 IN A 192.168.1.6"]
    assert pure.ask("nope.z.test").outcome == "forward"
    assert pure.ask("nope.z.test", auth=True).rcode == "NXDOMAIN"


# -- zone transfer -------------------------------------------------------------------------------

PEERS = [
    # lines, the peer, TCP, whether it gets the zone
    (["auth-sec-servers=sec"], "1.1.1.1", True, True), ([], "1.1.1.1", True, False),
    (["auth-peer=1.1.1.1"], "1.1.1.1", True, True), (["auth-peer=1.1.1.1"], "1.1.1.2", True, False),
    (["auth-sec-servers=sec", "auth-peer=1.1.1.1"], "1.1.1.2", True, False), (["auth-sec-servers=sec"],
    "1.1.1.1", False, False),
    (["auth-peer=fd00::1"], "fd00::1", True, True),
]  # fmt: skip


@pytest.mark.parametrize(("lines", "who", "tcp", "given"), PEERS)
def test_who_gets_a_zone(lines: list[str], who: str, tcp: bool, given: bool) -> None:
    pure = Pure("auth-server=ns.z,eth9", "auth-zone=z", "no-resolv", *lines)
    seen = pure.ask("z", "AXFR", auth=True, tcp=tcp, who=who)
    assert seen.outcome == ("reply" if given else "silence")
    complaints = [line for line in pure.log.texts() if "zone transfer" in line]
    assert complaints == ([] if given else [f"ignoring zone transfer request from {who}"])


def test_what_is_in_a_transfer() -> None:
    seen = zones("host-record=if.z.test,192.168.1.77").ask("z.test", "AXFR", auth=True, tcp=True)
    records = plain(seen.records)
    assert records[0] == records[-1] == f"z.test 600 {SOA}"
    assert records[1:3] == NS
    inside = records[3:-1]
    assert len(inside) == len(set(inside))
    for one in ("h.z.test 600 A 192.168.1.6", "h.z.test 600 AAAA fd00::6", "both.z.test 600 A 192.168.1.11",
                "if.z.test 600 A 192.168.1.1", "if.z.test 600 A 192.168.1.77", "z.test 600 MX 5 mail.z.test",
                't.z.test 600 TXT "one"', "_x._tcp.z.test 600 SRV 1 2 5 rec.z.test"):  # fmt: skip
        assert one in inside, one
    assert not [one for one in inside if "10.0.0.1" in one or "192.168.1.201" in one or "w.test" in one or "foo" in one]
    assert not [one for one in inside if " SOA " in one or " NS " in one]
    assert seen.flags == "QR AA RD"


def test_aliases_in_a_transfer_are_whole() -> None:
    records = plain(zones().ask("z.test", "AXFR", auth=True, tcp=True).records)
    assert "al.z.test 600 CNAME h.z.test" in records
    assert "far.z.test 600 CNAME www.example" in records


@pytest.mark.parametrize("asked", ["h.z.test", "elsewhere", "test"])
def test_transfers_are_for_the_apex(asked: str) -> None:
    seen = zones().ask(asked, "AXFR", auth=True, tcp=True)
    assert seen.outcome == "reply"
    assert seen.records == []


def test_on_the_inside_a_transfer_is_a_question_like_any() -> None:
    assert zones().ask("x.example", "AXFR", tcp=True).outcome == "forward"


# -- the path ------------------------------------------------------------------------------------


def test_the_path_is_in_its_order() -> None:
    names = [one.__name__.strip("_") for one, _ in p.DNS_ANSWERERS]
    wanted = ["answer_transfer", "answer_authority", "answer_loop_probe", "answer_foreign", "answer_records",
              "answer_filters", "answer_private", "answer_rules"]  # fmt: skip
    assert [one for one in names if one in wanted] == wanted


# -- names that the mark of a connection allows ----------------------------------------------------

RULES = [
    "connmark-allowlist=16/240,*.ok.test",
    "connmark-allowlist=32/32,*.bad.test/x.test",
    "connmark-allowlist=64/64,*",
]
ANSWERS = ["host-record=a.ok.test,10.0.0.1", "host-record=_u.ok.test,10.0.0.2", "server=8.8.8.8"]
ENABLED = "connmark-allowlist-enable"


def marked(mark: int | None, asked: str, *lines: str, qtype: str = "A", **how: Any) -> tuple[Any, Any]:
    """Ask by a connection with a mark (None: nobody can tell); what became of it, and the client."""
    pure = Pure(*lines, *ANSWERS)
    client = pure.client()
    client.mark = None if mark is None else lambda: mark
    answer = p.dns_answer(pure.query(asked, qtype, **how), client, pure.state, pure.now)
    return Seen(answer, list(answer.texts)), client


ALLOWED = [
    # mask of -enable, mark, name, whether it may be asked for
    ("", 0, "any.test", True), ("", None, "any.test", True),
    ("", 0x10, "a.ok.test", True), ("", 0x10, "A.OK.Test", True), ("", 0x10, "a.bad.test", False),
    ("", 0x10, "ok.test", False), ("", 0x10, "a.b.ok.test", False),
    ("", 0x20, "a.bad.test", True), ("", 0x20, "a.ok.test", False), ("", 0x20, "x.test", True),
    ("", 0x30, "a.bad.test", True), ("", 0x30, "a.ok.test", False),
    ("", 0x05, "a.ok.test", False), ("", 0x110, "a.ok.test", True), ("", 0x50, "any.test", True),
    ("", 0x40, ".", True), ("", 0x40, "_u.ok.test", True), ("", 0x10, "_u.ok.test", False), ("", 0x10, ".", False),
    ("=240", 0x05, "any.test", True), ("=240", 0x100, "any.test", True), ("=240", 0x110, "a.ok.test", True),
    ("=240", 0x110, "any.test", False), ("=240", 0x30, "a.ok.test", False), ("=240", 0x30, "a.bad.test", True),
    ("=15", 0x10, "any.test", True), ("=16", 0x30, "a.ok.test", True), ("=16", 0x30, "a.bad.test", False),
]  # fmt: skip


@pytest.mark.parametrize(("mask", "mark", "asked", "allowed"), ALLOWED)
def test_marks_allow_names(mask: str, mark: int | None, asked: str, allowed: bool) -> None:
    seen, client = marked(mark, asked, ENABLED + mask, *RULES)
    assert (seen.rcode != "REFUSED") == allowed
    assert client.marked == (mark or 0) & int(mask[1:] or 0xFFFFFFFF)
    assert not seen.answer.lasting, "another connection may have another mark"


@pytest.mark.parametrize(
    ("lines", "refused"),
    [
        ([], False),
        (RULES, False),
        ([ENABLED], True),
        ([ENABLED, "connmark-allowlist=6"], True),
        ([ENABLED, "connmark-allowlist=6", "connmark-allowlist=6/6,a.b"], True),
        ([ENABLED, "connmark-allowlist=6", "connmark-allowlist=6/6,any.test"], False),
        ([ENABLED, "connmark-allowlist=7,*"], True),
    ],
)
def test_what_no_rule_allows_is_refused(lines: list[str], refused: bool) -> None:
    assert (marked(6, "any.test", *lines)[0].rcode == "REFUSED") == refused


KINDS = [
    ("a.ok.test", "A"),
    ("a.ok.test", "ANY"),
    ("1.0.0.10.in-addr.arpa", "PTR"),
    ("version.bind", "TXT"),
    (".", "NS"),
]


@pytest.mark.parametrize(("asked", "qtype"), KINDS)
def test_the_mark_is_looked_at_before_everything_else(asked: str, qtype: str) -> None:
    how = {"klass": 3} if qtype == "TXT" else {}
    lines = [ENABLED, "connmark-allowlist=1,b.test"]
    seen, _ = marked(1, asked, *lines, qtype=qtype, edns=4096, flags="RD CD AD", do=True, **how)
    message = seen.message
    assert (message.rcode, message.flag_names(), seen.records) == ("REFUSED", "QR RD RA CD", [])
    assert (message.edns_size, message.edns_flags, message.edns_options) == (1232, 0x8000, [(15, b"\0\x0f")])
    assert [question.name for question in message.question] == [asked]
    assert seen.lines == ["config error is REFUSED (EDE: blocked)"]
    assert marked(1, asked, *lines, qtype=qtype, **how)[0].message.edns_size is None


FITS = [
    # pattern, names that fit, names that do not
    ("*", "a a.b . _x.y -a.b", ""),
    ("a.test", "a.test", "b.test a.a.test test xa.test a.tes a.test.more a"),
    ("*.a.test", "x.a.test xn--a.a.test", "a.test x.y.a.test _x.a.test -x.a.test x-.a.test x.a x.a.test.more"),
    ("*.*.a.test", "x.y.a.test", "x.a.test x.y.z.a.test"),
    ("a*.b.test", "a.b.test ab.b.test a-b.b.test", "b.b.test ba.b.test a.a.b.test a-.b.test"),
    ("*a.b.test", "a.b.test xa.b.test", "ab.b.test"),
    ("a*a.b.test", "aa.b.test axa.b.test", "a.b.test"),
    ("*x*.b.test", "x.b.test axb.b.test xx.b.test", "ab.b.test"),
    ("a*b*.b.test", "ab.b.test axbx.b.test abb.b.test", "a.b.test ba.b.test"),
    ("*b*c.b.test", "bc.b.test abxc.b.test bcc.b.test", "cb.b.test c.b.test"),
    ("a*b*b.b.test", "abb.b.test axbyb.b.test", "ab.b.test"),
    ("**.b.test", "x.b.test", "b.test x.y.b.test"),
    ("*-a.b.test", "x-a.b.test", "a.b.test -a.b.test"),
    ("A.B.test", "a.b.test", ""),
]  # fmt: skip


@pytest.mark.parametrize(("pattern", "good", "bad"), FITS)
def test_patterns_and_names(pattern: str, good: str, bad: str) -> None:
    for asked, expected in [*((one, True) for one in good.split()), *((one, False) for one in bad.split())]:
        key = name(asked).lower()
        assert p.allowlist_admits({(1, 1): (pattern,)}, 1, key) == expected, asked
        assert p.allowlist_admits({(1, 3): (), (1, 1): ("z.z", pattern)}, 1, key) == expected, "rules are joined"
        assert not p.allowlist_admits({(2, 3): (pattern,)}, 1, key), "of another mark"


def test_odd_octets_in_names_fit_no_pattern() -> None:
    rules = {(1, 1): ("*.*.test", "*.a.test")}
    for label in (b"a.b", b"\0", b"a\n", b"\xff", b"*", b" ", "ſ".encode()):
        assert not p.allowlist_admits(rules, 1, bytes((len(label),)) + label + name("a.test"))


def test_a_mark_is_asked_for_once_for_a_query() -> None:
    """The kernel is asked for it, by a child where root was given up: allowlist and conntrack share the answer."""
    asked: list[int] = []
    client = p.DnsClient("192.0.2.1", 4000, False, lambda wire: None)
    client.mark = lambda: asked.append(1) or 7
    pure = Pure("")
    answer = p.DnsAnswer(pure.query("a.test"), client, pure.state, pure.now)
    assert (answer.mark(), answer.mark(), len(asked)) == (7, 7, 1)
