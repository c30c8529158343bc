"""Section 53: the question as it goes upstream, and what becomes of the reply."""

from __future__ import annotations

import random
import struct
from collections.abc import Sequence
from typing import Any

import pytest

import dnswire
import pydnsmasq as p
from dnssecwire import CLOCK, Reply, Zone, passed_on, tree, validating
from pure import NOW, Back, Pure, addr, name

SOA = "example 300 SOA ns.example root.example 1 3600 600 86400 60"
MAC = bytes.fromhex("0102030405ff")


def upstream(*lines: str, **how: Any) -> Pure:
    return Pure("server=9.9.9.9", *lines, **how)


def entries(pure: Pure) -> dict[tuple[str, str], Any]:
    """What is in the cache, by name and type."""
    return {(p.dns_name_format(one.name), dnswire.type_name(one.rrtype)): one for one in pure.cache.entries()}


def lives(pure: Pure) -> dict[tuple[str, str], int]:
    return {key: entry.expires - int(NOW) for key, entry in entries(pure).items()}


# -- the question upstream ----------------------------------------------------------------


def forwarded(pure: Pure, how: dict[str, Any], who: str = "192.168.1.50", mac: bytes = MAC) -> dnswire.DnsMessage:
    query = pure.query("Name.Example", "MX", **how)
    client = pure.client(who)
    client.mac = lambda: mac
    options = p.forward_options(query, client, pure.config)
    return dnswire.parse(b"\0\7" + p.forward_query(query, pure.config, options))


def test_the_question_goes_with_edns_of_our_own() -> None:
    seen = forwarded(upstream(), {})
    assert (seen.id, seen.flags, seen.edns_size, seen.edns_flags) == (7, 0x0100, 1232, 0)
    assert seen.question == [dnswire.DnsQuestion("Name.Example", "MX")]
    assert forwarded(upstream("edns-packet-max=4096"), {"edns": 512}).edns_size == 4096


FLAGS = [("RD", "RD"), ("", ""), ("RD CD", "RD CD"), ("RD AD", "RD AD"), ("RD AA RA TC", "RD")]


@pytest.mark.parametrize(("asked", "sent"), FLAGS)
def test_header_bits_upstream(asked: str, sent: str) -> None:
    assert forwarded(upstream(), {"flags": asked}).flag_names() == sent


def test_do_goes_upstream() -> None:
    assert forwarded(upstream(), {"do": True}).edns_flags == 0x8000


def subnet(family: int, length: int, octets: str) -> tuple[int, bytes]:
    return 8, struct.pack("!HBB", family, length, 0) + bytes.fromhex(octets)


V4, V6 = "192.168.77.50", "fd00:1:2:3:4:5:6:7"
THEIRS = [(8, b"\0\1\x18\0\1\2\3"), (65001, b"theirs"), (12, b"pad"), (10, b"12345678"), (65074, b"cpe")]
OPTIONS: list[tuple[list[str], str, list[tuple[int, bytes]], list[tuple[int, bytes]]]] = [
    # lines, the client, its options, what goes upstream
    ([], V4, [], []),
    ([], V4, THEIRS, [THEIRS[0], THEIRS[1], THEIRS[2], THEIRS[4]]),
    (["strip-mac"], V4, THEIRS, [THEIRS[0], THEIRS[2], THEIRS[4]]),
    (["strip-mac"], V4, [(65073, b"text")], []),
    (["strip-subnet"], V4, THEIRS, [THEIRS[1], THEIRS[2], THEIRS[4]]),
    (["add-mac"], V4, [], [(65001, MAC)]),
    (["add-mac"], V4, [THEIRS[1]], [THEIRS[1]]),
    (["add-mac", "strip-mac"], V4, [THEIRS[1]], [(65001, MAC)]),
    (["add-mac=text"], V4, [], [(65073, b"01:02:03:04:05:ff")]),
    (["add-mac=base64"], V4, [], [(65073, b"AQIDBAX/")]),
    (["add-cpe-id=box"], V4, [], [(65074, b"box")]),
    (["add-cpe-id=box"], V4, THEIRS[4:], [(65074, b"box")]),
    (["add-subnet"], V4, [], [subnet(1, 0, "")]),
    (["add-subnet"], V6, [], [subnet(2, 0, "")]),
    (["add-subnet=24,96"], V4, [], [subnet(1, 24, "c0a84d")]),
    (["add-subnet=24,96"], V6, [], [subnet(2, 96, "fd0000010002000300040005")]),
    (["add-subnet=32,128"], V4, [], [subnet(1, 32, "c0a84d32")]),
    (["add-subnet=20"], V4, [], [subnet(1, 20, "c0a840")]),
    (["add-subnet=20"], V6, [], [subnet(2, 0, "")]),
    (["add-subnet=1.2.3.4/24"], V4, [], [subnet(1, 24, "010203")]),
    (["add-subnet=24"], V4, THEIRS[:1], THEIRS[:1]),
    (["add-subnet=24", "strip-subnet"], V4, THEIRS[:1], [subnet(1, 24, "c0a84d")]),
]


@pytest.mark.parametrize(("lines", "who", "given", "sent"), OPTIONS)
def test_options_upstream(
    lines: list[str], who: str, given: list[tuple[int, bytes]], sent: list[tuple[int, bytes]]
) -> None:
    assert forwarded(upstream(*lines), {"options": given} if given else {}, who).edns_options == sent


def test_without_an_address_there_is_no_mac() -> None:
    assert forwarded(upstream("add-mac"), {}, mac=b"").edns_options == []
    pure = upstream("add-mac")
    assert p.forward_options(pure.query("x"), pure.client(), pure.config) == []


@pytest.mark.parametrize("line", ["add-mac=text", "add-mac=base64"])
def test_text_forms_are_for_addresses_of_six_octets(line: str) -> None:
    assert forwarded(upstream(line), {}, mac=bytes(20)).edns_options == []


def signed_query(asked: str) -> bytes:
    wire = dnswire.build_query(asked, "A", id=0x1234, edns=1400)
    tsig = dnswire.pack_name("key") + struct.pack("!HHIH", 250, 255, 0, 5) + b"\1\2\3\4\5"
    return wire[:10] + b"\0\2" + wire[12:] + tsig


def test_a_signed_query_goes_as_it_is() -> None:
    wire = signed_query("x.example")
    query = p.dns_query_unpack(wire)
    assert p.forward_query(query, upstream("add-mac").config, [(65001, MAC)]) == wire[2:]


def test_a_signed_reply_comes_back_as_it_is() -> None:
    pure = upstream("max-ttl=5")
    query = p.dns_query_unpack(signed_query("x.example"))
    plain = dnswire.build_reply(
        dnswire.parse(query.wire),
        answer=[dnswire.record("x.example 60 A 5.5.5.5")],
        edns=4096,
        id=0x9999,
        options=[(10, b"12345678")],
    )
    tsig = dnswire.pack_name("key") + struct.pack("!HHIH", 250, 255, 0, 3) + b"\1\2\3"
    wire = plain[:10] + b"\0\2" + plain[12:] + tsig
    reply = p.dns_review(p.dns_message_unpack(wire), query, pure.state, pure.now, p.Upstream("9.9.9.9", 53))
    packed = reply.pack(query, True)
    assert packed[:2] == b"\x12\x34"
    assert packed[4:] == wire[4:]


# -- the reply, plainly -----------------------------------------------------------------------


def test_a_plain_reply() -> None:
    pure = upstream()
    back = pure.reply("X.Example", "A", "X.Example 60 A 5.5.5.5", "X.Example 60 A 5.5.5.6")
    assert back.records == ["X.Example 60 IN A 5.5.5.5", "X.Example 60 IN A 5.5.5.6"]
    assert (back.packed().flag_names(), back.packed().edns_size) == ("QR RD RA", None)
    assert back.lines == ["reply x.example is 5.5.5.5", "reply x.example is 5.5.5.6"]
    assert lives(pure) == {("x.example", "A"): 60}
    assert pure.ask("x.example").rdatas[0] == "5.5.5.5"


def test_each_waiting_client_gets_its_own_form() -> None:
    pure = upstream("edns-packet-max=1400")
    back = pure.reply("x.example", "A", "x.example 60 A 5.5.5.5")
    other = p.dns_query_unpack(dnswire.build_query("X.EXAMPLE", "A", id=77, edns=4096, flags="RD CD"))
    seen = back.packed(question=other)
    assert (seen.id, seen.question[0].name, seen.edns_size) == (77, "X.EXAMPLE", 1400)
    assert seen.flag_names() == "QR RD RA CD"
    assert [item.rdata for item in seen.answer] == ["5.5.5.5"]


REPLY_FLAGS = [
    ("QR RA", [], "QR RD RA"), ("QR", [], "QR RD RA"), ("QR AA RA", [], "QR AA RD RA"), ("QR RA AD", [], "QR RD RA"),
    ("QR RA AD", ["proxy-dnssec"], "QR RD RA AD"), ("QR RA CD", [], "QR RD RA"), ("QR RA TC", [], "QR TC RD RA"),
]  # fmt: skip


@pytest.mark.parametrize(("flags", "lines", "expected"), REPLY_FLAGS)
def test_header_bits_of_a_reply(flags: str, lines: list[str], expected: str) -> None:
    back = upstream(*lines).reply("x.example", "A", "x.example 60 A 5.5.5.5", flags=flags)
    assert back.packed().flag_names() == expected


OPTS = [
    # EDNS upstream, of the client, options upstream; then size for the client and options
    (None, None, [], None, []), (1232, None, [], None, []), (None, 1232, [], 1232, []), (4096, 512, [], 1232, []),
    (4096, 1232, [(10, b"12345678"), (12, b"x")], 1232, [(12, b"x")]),
]  # fmt: skip


@pytest.mark.parametrize(("theirs", "ours", "options", "size", "shown"), OPTS)
def test_the_opt_record(
    theirs: int | None,
    ours: int | None,
    options: list[tuple[int, bytes]],
    size: int | None,
    shown: list[tuple[int, bytes]],
) -> None:
    pure = upstream()
    query = {} if ours is None else {"edns": ours}
    back = pure.reply("x.example", "A", "x.example 60 A 5.5.5.5", edns=theirs, options=options, query=query,
                      additional=["y.example 60 A 6.6.6.6"])  # fmt: skip
    seen = back.packed()
    assert (seen.edns_size, seen.edns_options) == (size, shown)
    assert [str(item) for item in seen.additional] == ["y.example 60 IN A 6.6.6.6"]


def test_an_opt_record_in_the_middle() -> None:
    query = upstream().query("x.example", edns=1232)
    extra = dnswire.record("y.example 60 A 6.6.6.6").pack()
    reply = dnswire.build_reply(dnswire.parse(query.wire), answer=[dnswire.record("x.example 60 A 5.5.5.5")], edns=4096)
    wire = reply[:10] + b"\0\2" + reply[12:] + extra
    for edns in ({}, {"edns": 1232}):
        seen = upstream().reply("x.example", "A", raw=wire, query=edns).packed()
        assert [str(item) for item in seen.additional] == ["y.example 60 IN A 6.6.6.6"]
        assert seen.edns_size == edns.get("edns")


def test_octets_behind_a_reply_are_not_passed_on() -> None:
    query = upstream().query("x.example")
    wire = dnswire.build_reply(dnswire.parse(query.wire), answer=[dnswire.record("x.example 60 A 5.5.5.5")]) + b"junk"
    assert upstream().reply("x.example", "A", raw=wire).records == ["x.example 60 IN A 5.5.5.5"]


@pytest.mark.parametrize(
    ("edns", "tcp", "whole"), [(None, False, False), (1232, False, True), (None, True, True), (512, False, False)]
)
def test_too_large_for_the_client(edns: int | None, tcp: bool, whole: bool) -> None:
    pure = upstream()
    text = " ".join(f'"{letter * 200}"' for letter in "abcd")
    query = {} if edns is None else {"edns": edns}
    back = pure.reply("x.example", "TXT", f"x.example 60 TXT {text}", query=query)
    seen = back.packed(tcp)
    assert (seen.has("TC"), bool(seen.answer)) == (not whole, whole)
    assert seen.edns_size == (1232 if edns else None)
    assert seen.rcode == "NOERROR"


@pytest.mark.parametrize(("rcode", "line"), [
    ("SERVFAIL", "reply error is SERVFAIL"), ("REFUSED", "reply error is REFUSED"), ("FORMERR",
    "reply error is FORMERR"),
    ("NOTIMP", "reply error is not implemented"),
])  # fmt: skip
def test_errors_are_passed_on_and_not_kept(rcode: str, line: str) -> None:
    pure = upstream("neg-ttl=60")
    back = pure.reply("x.example", rcode=rcode)
    assert (back.packed().rcode, back.lines, entries(pure)) == (rcode, [line], {})


def test_a_truncated_reply_is_passed_with_its_data_and_not_kept() -> None:
    pure = upstream("neg-ttl=60")
    back = pure.reply("x.example", "A", "x.example 60 A 5.5.5.5", flags="QR RA TC")
    assert (back.records, entries(pure)) == (["x.example 60 IN A 5.5.5.5"], {})
    assert "reply is truncated" in back.lines
    assert pure.reply("x.example", flags="QR RA TC").lines == ["reply is truncated"]


# -- what is kept --------------------------------------------------------------------------------

KEPT: list[tuple[list[str], str, list[str], dict[tuple[str, str], int]]] = [
    # lines, question, answers; what is in the cache and for how long
    ([], "x.example A", ["x.example 60 A 5.5.5.5"], {("x.example", "A"): 60}),
    ([], "x.example AAAA", ["x.example 60 AAAA 2606::1"], {("x.example", "AAAA"): 60}),
    ([], "x.example SRV", ["x.example 60 SRV 1 2 3 t.example"], {("x.example", "SRV"): 60}),
    ([], "1.0.0.1.in-addr.arpa PTR", ["1.0.0.1.in-addr.arpa 60 PTR one.example"], {("1.0.0.1.in-addr.arpa",
    "PTR"): 60}),
    ([], "x.example MX", ["x.example 60 MX 1 m.example"], {}),
    ([], "x.example TXT", ['x.example 60 TXT "a"'], {}),
    (["cache-rr=MX"], "x.example MX", ["x.example 60 MX 1 m.example"], {("x.example", "MX"): 60}),
    (["cache-rr=MX"], "x.example TXT", ['x.example 60 TXT "a"'], {}),
    (["cache-rr=ANY"], "x.example TXT", ['x.example 60 TXT "a"'], {("x.example", "TXT"): 60}),
    ([], "x.example ANY", ["x.example 60 A 5.5.5.5"], {}),
    ([], "x.example CNAME", ["x.example 60 CNAME y.example"], {}),
    # the least of several TTLs
    ([], "x.example A", ["x.example 60 A 5.5.5.5", "x.example 50 A 5.5.5.6"], {("x.example", "A"): 50}),
    # chains
    ([], "x.example A", ["x.example 70 CNAME y.example", "y.example 80 CNAME z.test", "z.test 90 A 5.5.5.5"],
     {("x.example", "CNAME"): 70, ("y.example", "CNAME"): 80, ("z.test", "A"): 90}),
    ([], "x.example A", ["z.test 90 A 5.5.5.5", "y.example 80 CNAME z.test", "x.example 70 CNAME y.example"],
     {("x.example", "CNAME"): 70, ("y.example", "CNAME"): 80, ("z.test", "A"): 90}),
    # records that nobody asked for
    ([], "x.example A", ["x.example 60 A 5.5.5.5", "bank.test 60 A 6.6.6.6"], {("x.example", "A"): 60}),
    ([], "x.example A", ["bank.test 60 A 6.6.6.6"], {}),
    ([], "x.example A", ["x.example 60 AAAA 2606::1"], {}),
    ([], "x.example A", ["x.example 70 CNAME y.example", "bank.test 60 A 6.6.6.6"], {}),
    ([], "x.example A", ["bank.test 70 CNAME y.example", "x.example 60 A 6.6.6.6"], {("x.example", "A"): 60}),
    # a loop, and more aliases than are kept
    ([], "x.example A", ["x.example 70 CNAME y.example", "y.example 70 CNAME x.example"], {}),
    ([], "c0.x A", [*(f"c{n}.x 70 CNAME c{n + 1}.x" for n in range(11)), "c11.x 60 A 5.5.5.5"], {}),
    # no time to live
    ([], "x.example A", ["x.example 0 A 5.5.5.5"], {}),
    ([], "x.example A", ["x.example 0 CNAME y.example", "y.example 60 A 5.5.5.5"], {}),
    ([], "x.example A", ["x.example 60 CNAME y.example", "y.example 0 A 5.5.5.5"], {}),
    (["use-stale-cache"], "x.example A", ["x.example 0 A 5.5.5.5"], {("x.example", "A"): 0}),
    # bounds
    (["max-ttl=30"], "x.example A", ["x.example 60 A 5.5.5.5"], {("x.example", "A"): 30}),
    (["max-cache-ttl=20"], "x.example A", ["x.example 60 A 5.5.5.5"], {("x.example", "A"): 20}),
    (["max-cache-ttl=20", "max-ttl=10"], "x.example A", ["x.example 60 A 5.5.5.5"], {("x.example", "A"): 10}),
    (["min-cache-ttl=100"], "x.example A", ["x.example 60 A 5.5.5.5"], {("x.example", "A"): 100}),
    (["min-cache-ttl=100", "max-cache-ttl=20"], "x.example A", ["x.example 60 A 5.5.5.5"], {("x.example", "A"): 100}),
    (["min-cache-ttl=9999"], "x.example A", ["x.example 60 A 5.5.5.5"], {("x.example", "A"): 3600}),
    (["max-cache-ttl=20"], "x.example A", ["x.example 5 A 5.5.5.5"], {("x.example", "A"): 5}),
]  # fmt: skip


@pytest.mark.parametrize(("lines", "question", "answers", "kept"), KEPT)
def test_what_is_kept(lines: list[str], question: str, answers: list[str], kept: dict[tuple[str, str], int]) -> None:
    asked, qtype = question.split()
    pure = upstream(*lines)
    pure.reply(asked, qtype, *answers)
    assert lives(pure) == kept


NOT_KEPT: list[tuple[list[str], dict[str, Any]]] = [
    ([], {"query": {"flags": "RD CD"}}), ([], {"query": {"do": True}}), ([], {"query": {"klass": "CH"}}),
    ([], {"query": {"options": [(8, b"\0\1\x18\0\1\2\3")]}}), (["add-mac"], {}), (["add-subnet=24"], {}),
    (["cache-size=0"], {"size": 0}),
]  # fmt: skip


@pytest.mark.parametrize(("lines", "how"), NOT_KEPT)
def test_what_is_never_kept(lines: list[str], how: dict[str, Any]) -> None:
    how = dict(how)
    pure = upstream(*lines, cache_size=how.pop("size", 150))
    back = pure.reply("x.example", "A", "x.example 60 A 5.5.5.5", **how)
    assert entries(pure) == {}
    assert back.records[0].endswith(" A 5.5.5.5")


@pytest.mark.parametrize("lines", [["add-subnet"], ["add-subnet=1.2.3.0/24"], ["add-cpe-id=x"], ["strip-subnet"]])
def test_what_says_nothing_of_the_client_is_kept(lines: list[str]) -> None:
    pure = upstream(*lines)
    pure.reply("x.example", "A", "x.example 60 A 5.5.5.5")
    assert lives(pure) == {("x.example", "A"): 60}


def test_all_or_nothing() -> None:
    pure = upstream(cache_size=2)
    pure.reply("x.example", "A", "x.example 60 CNAME y.example", "y.example 60 A 5.5.5.5", "y.example 60 A 5.5.5.6")
    assert entries(pure) == {}


def test_data_of_our_own_keeps_the_whole_reply_out() -> None:
    pure = upstream(hosts="10.0.0.1 y.example\n")
    back = pure.reply("x.example", "A", "x.example 60 CNAME y.example", "y.example 60 A 5.5.5.5")
    assert entries(pure) == {}
    assert back.records == ["x.example 60 IN CNAME y.example", "y.example 60 IN A 5.5.5.5"]
    pure.reply("x.example", "AAAA", "x.example 60 CNAME y.example", "y.example 60 AAAA 2606::1")
    assert set(entries(pure)) == {("x.example", "CNAME"), ("y.example", "AAAA")}


def test_additional_and_authority_records_are_not_kept() -> None:
    pure = upstream("cache-rr=ANY")
    pure.reply("x.example", "A", "x.example 60 A 5.5.5.5", authority=["example 60 NS ns.bank.test"],
               additional=["ns.bank.test 60 A 6.6.6.6", "x.example 60 AAAA 2606::1"])  # fmt: skip
    assert set(entries(pure)) == {("x.example", "A")}


def test_the_first_client_sees_the_first_ttl() -> None:
    back = upstream("min-cache-ttl=100").reply("x.example", "A", "x.example 60 A 5.5.5.5")
    assert back.records == ["x.example 60 IN A 5.5.5.5"]


def test_max_ttl_is_shown_everywhere() -> None:
    pure = upstream("max-ttl=30")
    back = pure.reply("x.example", "A", "x.example 60 A 5.5.5.5", "x.example 20 A 5.5.5.6",
                      authority=["example 600 NS ns.example"], additional=["ns.example 600 A 6.6.6.6"])  # fmt: skip
    seen = back.packed()
    assert [item.ttl for item in seen.answer + seen.authority + seen.additional] == [30, 20, 30, 30]


# -- negative replies -----------------------------------------------------------------------------

NEGATIVE: list[tuple[list[str], str, str, list[str], list[str], dict[tuple[str, str], int]]] = [
    # lines, question, rcode, answers, authority, kept
    ([], "x.example A", "NXDOMAIN", [], [SOA], {("x.example", "A"): 60}),
    ([], "x.example A", "NOERROR", [], [SOA], {("x.example", "A"): 60}),
    ([], "x.example MX", "NOERROR", [], [SOA], {("x.example", "MX"): 60}),
    ([], "x.example A", "NOERROR", [], ["example 30 SOA ns.example root.example 1 2 3 4 60"], {("x.example", "A"): 30}),
    ([], "x.example A", "NXDOMAIN", [], [], {}),
    ([], "x.example A", "NXDOMAIN", [], ["bank.test 300 SOA a b 1 2 3 4 60"], {}),
    ([], "x.example A", "NXDOMAIN", [], ["ample 300 SOA a b 1 2 3 4 60"], {}),
    ([], "x.example A", "NXDOMAIN", [], ["a.x.example 300 SOA a b 1 2 3 4 60"], {}),
    (["neg-ttl=44"], "x.example A", "NXDOMAIN", [], [], {("x.example", "A"): 44}),
    (["neg-ttl=44"], "x.example A", "NXDOMAIN", [], [SOA], {("x.example", "A"): 60}),
    (["no-negcache"], "x.example A", "NXDOMAIN", [], [SOA], {}),
    (["no-negcache", "neg-ttl=44"], "x.example A", "NOERROR", [], [], {}),
    (["max-cache-ttl=20"], "x.example A", "NXDOMAIN", [], [SOA], {("x.example", "A"): 20}),
    ([], "x.example A", "NOERROR", ["x.example 70 CNAME y.example"], [SOA],
     {("x.example", "CNAME"): 70, ("y.example", "A"): 60}),
    ([], "x.example A", "NXDOMAIN", ["x.example 70 CNAME y.example"], [SOA],
     {("x.example", "CNAME"): 70, ("y.example", "A"): 60}),
    ([], "x.example A", "NXDOMAIN", ["x.example 70 CNAME y.test"], [SOA], {}),
    ([], "x.example ANY", "NOERROR", [], [SOA], {}),
]  # fmt: skip


@pytest.mark.parametrize(("lines", "question", "rcode", "answers", "authority", "kept"), NEGATIVE)
def test_negative_replies(
    lines: list[str],
    question: str,
    rcode: str,
    answers: list[str],
    authority: list[str],
    kept: dict[tuple[str, str], int],
) -> None:
    asked, qtype = question.split()
    pure = upstream(*lines)
    back = pure.reply(asked, qtype, *answers, authority=authority, rcode=rcode)
    assert lives(pure) == kept
    assert back.packed().rcode == rcode
    for key, entry in entries(pure).items():
        if key[1] != "CNAME":
            assert entry.kind == (p.CACHE_NXDOMAIN if rcode == "NXDOMAIN" else p.CACHE_NODATA)


def test_a_negative_answer_comes_back_from_the_cache_with_its_soa() -> None:
    pure = upstream()
    back = pure.reply("x.example", authority=[SOA], rcode="NXDOMAIN")
    assert back.lines == ["reply x.example is NXDOMAIN"]
    pure.now += 5
    seen = pure.ask("x.example", "MX")
    assert (seen.rcode, seen.authority) == ("NXDOMAIN", [SOA.replace(" 300 ", " 295 IN ")])
    back = pure.reply("y.example", "AAAA", authority=[SOA])
    assert back.lines == ["reply y.example is NODATA-IPv6"]
    assert pure.ask("y.example", "MX").outcome == "forward"


KNOWN = [
    (["txt-record=x.example,t"], "x.example", True), (["txt-record=a.x.example,t"], "x.example", True),
    (["address=/x.example/1.2.3.4"], "x.example", True), (["address=/x.example/1.2.3.4"], "a.x.example", True),
    (["address=/x.example/#"], "x.example", True), (["server=/x.example/1.1.1.1"], "x.example", False), ([],
    "x.example", False),
    (["txt-record=x.example,t"], "a.x.example", False),
]  # fmt: skip


@pytest.mark.parametrize(("lines", "asked", "known"), KNOWN)
def test_a_name_that_is_known_here_does_exist(lines: list[str], asked: str, known: bool) -> None:
    pure = upstream(*lines)
    for _ in range(2):
        back = pure.reply(asked, "MX", authority=[SOA], rcode="NXDOMAIN")
        seen = back.packed()
        assert (seen.rcode, seen.has("AA")) == (("NOERROR", True) if known else ("NXDOMAIN", False))
        assert len(seen.authority) == 1
    again = pure.ask(asked, "MX")
    assert again.rcode == ("NOERROR" if known else "NXDOMAIN")


# -- replacing what is said ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "line", ["bogus-nxdomain=5.5.5.5", "bogus-nxdomain=5.5.0.0/16", "bogus-nxdomain=1.1.1.1,5.5.5.5/32"]
)
def test_bogus_nxdomain(line: str) -> None:
    lines = [f"bogus-nxdomain={one}" for one in line.partition("=")[2].split(",")]
    pure = upstream(*lines)
    back = pure.reply("x.example", "A", "x.example 40 CNAME y.example", "y.example 30 A 5.5.5.5", query={"edns": 1232})
    seen = back.packed()
    assert (seen.rcode, seen.answer, seen.authority, seen.ede) == ("NXDOMAIN", [], [], [15])
    assert back.lines == ["config x.example is NXDOMAIN"]
    assert lives(pure) == {("x.example", "A"): 30}
    assert pure.ask("x.example", "MX").rcode == "NXDOMAIN"
    assert pure.reply("z.example", "A", "z.example 30 A 6.6.6.6").packed().rcode == "NOERROR"


def test_bogus_nxdomain_for_ipv6_and_without_edns() -> None:
    pure = upstream("bogus-nxdomain=2606::/32")
    back = pure.reply("x.example", "AAAA", "x.example 30 AAAA 2606:0:1::1", edns=None, query={"edns": 1232})
    assert (back.packed().rcode, back.packed().ede) == ("NXDOMAIN", [])


def test_ignore_address() -> None:
    pure = upstream("ignore-address=5.5.5.0/24")
    back = pure.reply("x.example", "A", "x.example 30 A 5.5.5.5")
    assert back.dropped
    assert entries(pure) == {}
    assert not pure.reply("x.example", "A", "x.example 30 A 5.5.6.5").dropped
    assert not pure.reply("x.example", "A", rcode="NXDOMAIN").dropped


ALIASES = [
    (["alias=5.5.5.5,6.6.6.6"], "5.5.5.5", "6.6.6.6"), (["alias=5.5.5.5,6.6.6.6"], "5.5.5.6", "5.5.5.6"),
    (["alias=5.5.5.0,6.6.6.0,255.255.255.0"], "5.5.5.77", "6.6.6.77"),
    (["alias=5.5.5.10-5.5.5.20,6.6.6.0,255.255.255.0"], "5.5.5.15", "6.6.6.15"),
    (["alias=5.5.5.10-5.5.5.20,6.6.6.0,255.255.255.0"], "5.5.5.21", "5.5.5.21"),
    (["alias=5.5.5.5,6.6.6.6", "alias=5.5.5.0,7.7.7.0,255.255.255.0"], "5.5.5.5", "7.7.7.5"),
    (["alias=5.5.5.5,6.6.6.6", "alias=6.6.6.6,7.7.7.7"], "5.5.5.5", "6.6.6.6"),
]  # fmt: skip


@pytest.mark.parametrize(("lines", "given", "shown"), ALIASES)
def test_alias(lines: list[str], given: str, shown: str) -> None:
    pure = upstream(*lines)
    back = pure.reply("x.example", "A", f"x.example 30 A {given}", additional=[f"y.example 30 A {given}"])
    assert back.records == [f"x.example 30 IN A {shown}"]
    assert [item.rdata for item in back.packed().additional] == [shown]
    assert pure.ask("x.example").rdatas == [shown]


@pytest.mark.parametrize(("given", "aa"), [("5.5.5.5", False), ("5.5.5.6", True)])
def test_alias_takes_the_authority_away(given: str, aa: bool) -> None:
    back = upstream("alias=5.5.5.5,6.6.6.6").reply("x.example", "A", f"x.example 30 A {given}", flags="QR AA RA")
    assert back.packed().has("AA") is aa


REBIND = [
    ([], "x.example A", ["x.example 60 A 192.168.1.1"], True), ([], "x.example A", ["x.example 60 A 8.8.8.8"], False),
    ([], "x.example A", ["x.example 60 CNAME y.test", "y.test 60 A 10.0.0.1"], True),
    ([], "x.example AAAA", ["x.example 60 AAAA fd00::1"], True),
    ([], "x.example AAAA", ["x.example 60 AAAA ::ffff:192.168.1.1"], True),
    ([], "x.example AAAA", ["x.example 60 AAAA fc00::1"], False), ([], "x.example A",
    ["x.example 60 A 127.0.0.1"], True),
    ([], "x.example A", ["x.example 60 A 0.0.0.0"], True),
    (["rebind-localhost-ok"], "x.example A", ["x.example 60 A 127.0.0.1"], False),
    (["rebind-localhost-ok"], "x.example AAAA", ["x.example 60 AAAA ::1"], False),
    (["rebind-localhost-ok"], "x.example A", ["x.example 60 A 10.0.0.1"], True),
    (["rebind-domain-ok=example"], "x.example A", ["x.example 60 A 10.0.0.1"], False),
    (["rebind-domain-ok=/a/example/"], "x.example A", ["x.example 60 A 10.0.0.1"], False),
    (["rebind-domain-ok=ample"], "x.example A", ["x.example 60 A 10.0.0.1"], True),
    (["rebind-domain-ok=//"], "single A", ["single 60 A 10.0.0.1"], False),
    (["rebind-domain-ok=//"], "x.example A", ["x.example 60 A 10.0.0.1"], True),
    ([], "x.example ANY", ["x.example 60 A 10.0.0.1"], False),
]  # fmt: skip


@pytest.mark.parametrize(("lines", "question", "answers", "blocked"), REBIND)
def test_rebinding(lines: list[str], question: str, answers: list[str], blocked: bool) -> None:
    asked, qtype = question.split()
    pure = upstream("stop-dns-rebind", *lines)
    back = pure.reply(asked, qtype, *answers, query={"edns": 1232})
    seen = back.packed()
    assert seen.rcode == "NOERROR"
    assert bool(seen.answer) is not blocked
    assert seen.ede == ([15] if blocked else [])
    warnings = [line for line in pure.log.texts() if "rebind" in line]
    named = answers[-1].split()[0]
    assert warnings == ([f"possible DNS-rebind attack detected: {named}"] if blocked else [])
    if blocked:
        assert entries(pure) == {}
        assert seen.additional == []


FILTERS = [
    (["filter-A"], "x.example A", ["x.example 60 A 5.5.5.5"], []),
    (["filter-AAAA"], "x.example AAAA", ["x.example 60 AAAA 2606::1"], []),
    (["filter-AAAA"], "x.example A", ["x.example 60 A 5.5.5.5"], ["x.example 60 IN A 5.5.5.5"]),
    (["filter-rr=MX,TXT"], "x.example TXT", ['x.example 60 TXT "a"'], []),
    (["filter-rr=HTTPS"], "x.example HTTPS", ["x.example 60 HTTPS \\# 0001"], []),
    (["filter-AAAA"], "x.example AAAA", ["x.example 60 CNAME y.example", "y.example 60 AAAA 2606::1"],
     ["x.example 60 IN CNAME y.example"]),
    (["filter-A"], "x.example ANY", ["x.example 60 A 5.5.5.5", 'x.example 60 TXT "a"'], ['x.example 60 IN TXT "a"']),
    (["filter-rr=ANY"], "x.example ANY", ["x.example 60 A 5.5.5.5", 'x.example 60 TXT "a"', "x.example 60 MX 1 m"],
     ["x.example 60 IN A 5.5.5.5", "x.example 60 IN MX 1 m"]),
    (["filter-rr=ANY"], "x.example TXT", ['x.example 60 TXT "a"'], ['x.example 60 IN TXT "a"']),
]  # fmt: skip


@pytest.mark.parametrize(("lines", "question", "answers", "left"), FILTERS)
def test_filters(lines: list[str], question: str, answers: list[str], left: list[str]) -> None:
    asked, qtype = question.split()
    pure = upstream(*lines)
    back = pure.reply(asked, qtype, *answers, query={"edns": 1232})
    seen = back.packed()
    assert (back.records, seen.rcode) == (left, "NOERROR")
    assert seen.ede == ([17] if len(left) < len(answers) else [])
    if left and "CNAME" not in left[0]:
        assert seen.authority == []


def test_filtered_data_is_kept_whole() -> None:
    pure = upstream("filter-AAAA")
    pure.reply("x.example", "AAAA", "x.example 60 CNAME y.example", "y.example 60 AAAA 2606::1")
    assert lives(pure) == {("x.example", "CNAME"): 60, ("y.example", "AAAA"): 60}
    seen = pure.ask("x.example", "AAAA", edns=1232)
    assert (seen.rdatas, seen.rcode, seen.message.ede) == (["y.example"], "NOERROR", [17])


def test_a_filter_leaves_other_classes_alone() -> None:
    back = upstream("filter-A").reply("x.example", "A", "x.example 60 A 5.5.5.5", query={"klass": "CH"})
    assert len(back.records) == 1


@pytest.mark.parametrize(("lines", "qtype", "record"), [
    (["filter-AAAA"], "AAAA", "x.example 60 AAAA 2606::1"), (["filter-rr=TXT"], "TXT", 'x.example 60 TXT "a"'),
    (["stop-dns-rebind"], "A", "x.example 60 A 10.0.0.1"),
])  # fmt: skip
def test_what_we_empty_carries_a_soa(lines: list[str], qtype: str, record: str) -> None:
    pure = upstream(*lines)
    back = pure.reply("x.example", qtype, record)
    assert [item.rtype for item in back.packed().authority] == ["SOA"]
    if entries(pure):
        assert len(pure.ask("x.example", qtype).authority) == 1


# -- sets of the kernel -------------------------------------------------------------------

V4A, V4B, V6A = "10.1.0.1", "10.1.0.2", "fd00::1"
CHAIN = ["c.x.test 60 CNAME b.y.test", f"b.y.test 60 A {V4A}", f"b.y.test 60 A {V4B}"]
TO_SETS: list[tuple[str, list[str], str, list[str], list[str]]] = [
    # what, lines, question, answers, what goes into sets: SET ADDRESS DOMAIN
    ("all addresses, each set", ["ipset=/x.test/s,t"], "c.x.test A", CHAIN,
     [f"ipset add s {V4A} x.test", f"ipset add s {V4B} x.test", f"ipset add t {V4A} x.test",
      f"ipset add t {V4B} x.test"]),
    ("the name that was asked counts", ["ipset=/y.test/s"], "c.x.test A", CHAIN, []),
    ("ipset comes first", ["nftset=/x.test/inet#f#n", "ipset=/x.test/s"], "x.test A", [f"x.test 60 A {V4A}"],
     [f"ipset add s {V4A} x.test", f"nftset add inet f n {V4A} x.test"]),
    ("the longest domain", ["ipset=/test/s", "ipset=/a.x.test/t", "ipset=/x.test/u", "nftset=/test/f#n"],
     "b.x.test A", [f"b.x.test 60 A {V4A}"], [f"ipset add u {V4A} x.test", f"nftset add ip f n {V4A} test"]),
    ("whole labels", ["ipset=/x.test/s"], "ax.test A", [f"ax.test 60 A {V4A}"], []),
    ("letters do not matter", ["ipset=/X.Test/s"], "A.x.TEST A", [f"A.x.TEST 60 A {V4A}"],
     [f"ipset add s {V4A} x.test"]),
    ("the first line", ["ipset=/x.test/s", "ipset=/x.test/t"], "x.test A", [f"x.test 60 A {V4A}"],
     [f"ipset add s {V4A} x.test"]),
    ("every name", ["ipset=/#/s", "ipset=t"], "x.test A", [f"x.test 60 A {V4A}"], [f"ipset add s {V4A} "]),
    ("every name by two slashes", ["ipset=//s"], "x.test A", [f"x.test 60 A {V4A}"], [f"ipset add s {V4A} "]),
    ("every other name", ["nftset=/#/f#n", "nftset=/x.test/f#m"], "x.test A", [f"x.test 60 A {V4A}"],
     [f"nftset add ip f m {V4A} x.test"]),
    ("a star stands for nothing", ["ipset=/*.x.test/s"], "a.x.test A", [f"a.x.test 60 A {V4A}"], []),
    ("families", ["nftset=/x.test/4#f#n,6#inet#f#m,f#o"], "x.test A", [f"x.test 60 A {V4A}", f"x.test 60 AAAA {V6A}"],
     [f"nftset add 4 ip f n {V4A} x.test", f"nftset add 6 inet f m {V6A} x.test", f"nftset add ip f o {V4A} x.test",
      f"nftset add ip f o {V6A} x.test"]),
    ("an ipset is asked for both", ["ipset=/x.test/s"], "x.test AAAA", [f"x.test 60 AAAA {V6A}"],
     [f"ipset add s {V6A} x.test"]),
    ("names with a sign of their own", ["ipset=/x.test/50%d"], "x.test A", [f"x.test 60 A {V4A}"],
     [f"ipset add 50%d {V4A} x.test"]),
    ("TTL 0", ["ipset=/x.test/s"], "x.test A", [f"x.test 0 A {V4A}"], [f"ipset add s {V4A} x.test"]),
    ("only addresses are asked for", ["ipset=/x.test/s"], "x.test ANY", [f"x.test 60 A {V4A}"], []),
    ("no address", ["ipset=/x.test/s"], "x.test TXT", ["x.test 60 TXT one"], []),
    ("another kind of answer", ["ipset=/x.test/s"], "x.test A", ["x.test 60 TXT one"], []),
    ("alias", ["ipset=/x.test/s", "alias=10.1.0.1,10.9.9.9"], "x.test A", [f"x.test 60 A {V4A}"],
     ["ipset add s 10.9.9.9 x.test"]),
    ("filtered for the client alone", ["ipset=/x.test/s", "filter-A"], "x.test A", [f"x.test 60 A {V4A}"],
     [f"ipset add s {V4A} x.test"]),
    ("bogus-nxdomain", ["ipset=/x.test/s", "bogus-nxdomain=10.1.0.1"], "x.test A", [f"x.test 60 A {V4A}"], []),
    ("ignore-address", ["ipset=/x.test/s", "ignore-address=10.1.0.1"], "x.test A", [f"x.test 60 A {V4A}"], []),
    ("stop-dns-rebind", ["ipset=/x.test/s", "stop-dns-rebind"], "x.test A", [f"x.test 60 A {V4A}"], []),
]  # fmt: skip


class TakesAll:
    """A Netfilter whose sets take all addresses."""

    def add(self, target: Any, addresses: Sequence[bytes]) -> list[bytes]:
        return list(addresses)


def elements(reviewed: Any) -> list[str]:
    """What goes into sets, as the query log has it."""
    exchange = object.__new__(p.UpstreamExchange)
    exchange._netfilter = TakesAll()
    before = list(reviewed.texts)
    exchange._fill_sets(reviewed)
    return reviewed.texts[: len(reviewed.texts) - len(before)]


@pytest.mark.parametrize(
    ("lines", "question", "answers", "expected"), [row[1:] for row in TO_SETS], ids=[row[0] for row in TO_SETS]
)
def test_addresses_for_sets(lines: list[str], question: str, answers: list[str], expected: list[str]) -> None:
    asked, qtype = question.split()
    back = upstream(*lines).reply(asked, qtype, *answers)
    assert elements(back.reviewed) == expected


@pytest.mark.parametrize("how", [{"flags": "RD CD"}, {"do": True}, {"edns": 512}])
def test_what_else_a_client_asks_for_does_not_matter(how: dict[str, Any]) -> None:
    back = upstream("ipset=/x.test/s").reply("x.test", "A", f"x.test 60 A {V4A}", query=how)
    assert elements(back.reviewed) == [f"ipset add s {V4A} x.test"]


def test_only_answers_count_and_only_of_the_internet() -> None:
    pure = upstream("ipset=/x.test/s")
    more = {"authority": [f"x.test 60 A {V4A}"], "additional": [f"x.test 60 A {V4B}"]}
    assert not elements(pure.reply("x.test", "A", "x.test 60 TXT one", **more).reviewed)
    for asked, answered, taken in ((1, 1, 1), (1, 3, 0), (3, 3, 0), (3, 1, 0)):
        question = pure.query("x.test", klass=asked)
        wire = dnswire.build_reply(dnswire.parse(question.wire), answer=[dnswire.record(f"x.test 60 A {V4A}")])
        message = p.dns_message_unpack(wire)
        message.answers[0].rrclass = answered
        reviewed = p.dns_review(message, question, pure.state, pure.now, p.Upstream("9.9.9.9", 53))
        assert len(elements(reviewed)) == taken


def test_what_comes_from_the_cache_goes_into_no_set() -> None:
    pure = upstream("ipset=/x.test/s")
    assert elements(pure.reply("x.test", "A", f"x.test 60 A {V4A}").reviewed)
    assert pure.ask("x.test", "A").rdatas == [V4A]


def test_addresses_in_the_place_of_others() -> None:
    """What subscribers of the bus say is shown, and goes into the sets; it is no longer what was proved."""
    pure = upstream("ipset=/x.test/s\nenable-ubus")
    question = pure.query("c.x.test")
    wire = dnswire.build_reply(dnswire.parse(question.wire), answer=[dnswire.record(one) for one in CHAIN])
    reviewed = p.dns_review(
        p.dns_message_unpack(wire),
        question,
        pure.state,
        pure.now,
        p.Upstream("9.9.9.9", 53),
        replaced={2: addr("10.7.7.7")},
    )
    assert elements(reviewed) == [f"ipset add s {V4A} x.test", "ipset add s 10.7.7.7 x.test"]
    shown = dnswire.parse(reviewed.pack(question, False))
    assert shown.rdatas() == ["b.y.test", V4A, "10.7.7.7"] and reviewed.altered
    assert pure.ask("c.x.test").rdatas == ["b.y.test", V4A, "10.7.7.7"]


# -- client subnet, recursion ------------------------------------------------------------------------

SENT = [subnet(1, 24, "010203")]
SUBNETS: list[tuple[list[tuple[int, bytes]], bool]] = [
    ([], False), ([(8, b"\0\1\x18\0\1\2\3")], False), ([(8, b"\0\1\x18\x10\1\2\3")], False),
    ([(8, b"\0\1\x18\0\1\2\4")], True), ([(8, b"\0\1\x10\0\1\2")], True), ([(8, b"\0\2\x18\0\1\2\3")], True),
    ([(8, b"\0")], False),
]  # fmt: skip


@pytest.mark.parametrize(("options", "dropped"), SUBNETS)
def test_a_reply_for_another_subnet_is_dropped(options: list[tuple[int, bytes]], dropped: bool) -> None:
    back = upstream("add-subnet=24").reply("x.example", "A", "x.example 60 A 5.5.5.5", options=options, sent=SENT)
    assert back.dropped is dropped


def test_a_server_that_does_not_recurse_is_named() -> None:
    pure = upstream("neg-ttl=60")
    back = pure.reply("x.example", flags="QR", authority=["example 60 NS ns.example"])
    assert back.packed().rcode == "NOERROR"
    assert "nameserver 9.9.9.9 refused to do a recursive query" in pure.log.texts()
    assert entries(pure) == {}


# -- DNSSEC ------------------------------------------------------------------------------------------------

CLIENTS = [  # how it asks, AD, whether DNSSEC records are left
    ({}, False, False), ({"edns": 1232}, False, False), ({"flags": "RD AD"}, True, False), ({"do": True}, True, True),
    ({"flags": "RD CD"}, False, False), ({"flags": "RD AD CD"}, False, False),
    ({"flags": "RD CD", "do": True}, False, True),
]  # fmt: skip


@pytest.mark.parametrize("kind", ["nsec", "nsec3"])
@pytest.mark.parametrize("asked", ["www.z.tld", "nx.z.tld", "x.w.z.tld", "far.z.tld"])
@pytest.mark.parametrize(("how", "ad", "signed"), CLIENTS)
def test_what_of_a_proved_reply_is_passed_on(
    kind: str, asked: str, how: dict[str, Any], ad: bool, signed: bool
) -> None:
    world = tree(kind)
    pure = validating(world, "log-queries")
    back = passed_on(pure, world, asked, "A", **how)
    message = back.packed()
    assert (message.has("AD"), message.has("CD")) == (ad, "CD" in str(how))
    assert message.rcode == ("NXDOMAIN" if asked.startswith("nx") else "NOERROR")
    kinds = {item.rtype for item in message.answer + message.authority}
    assert bool(kinds & {"RRSIG", "NSEC", "NSEC3"}) is signed
    assert ("validation result is SECURE" in back.lines) is ("CD" not in str(how))
    assert bool(entries(pure)) is ("CD" not in str(how))


@pytest.mark.parametrize("asked", ["host.u.z.tld", "nx.u.z.tld"])
def test_an_insecure_reply_is_passed_on(asked: str) -> None:
    world = tree()
    pure = validating(world, "log-queries=extra")
    back = passed_on(pure, world, asked, "A", flags="RD AD", edns=1232)
    assert (back.packed().has("AD"), back.packed().ede) == (False, [])
    assert back.lines[0] == "validation result is INSECURE"
    assert not any("signed" in line for line in back.lines)


@pytest.mark.parametrize("rtype", ["RRSIG", "NSEC"])
def test_who_asks_for_dnssec_records_gets_them(rtype: str) -> None:
    world = tree()
    z = world.zones[name("z.tld")]
    www = name("www.z.tld")
    reply = Reply(www, dnswire.type_code(rtype), 0, z.denying(www))
    message = passed_on(validating(world), world, "www.z.tld", rtype, reply).packed()
    assert [item.rtype for item in message.answer] == [rtype]


BAD = [
    ("", 6, "validation www.z.tld is BOGUS"),
    ("log-queries=extra", 6, "validation www.z.tld is BOGUS (EDE: DNSSEC bogus)"),
]


def forged(world: Any) -> Reply:
    reply: Reply = world.reply("www.z.tld")
    return reply.change(lambda rr: rr.rrtype == 1, rdata=b"\6\6\6\6")


@pytest.mark.parametrize(("line", "ede", "text"), BAD)
@pytest.mark.parametrize("how", [{"edns": 1232}, {"do": True}, {"flags": "RD AD", "edns": 512}])
def test_a_bogus_reply_is_a_failure(line: str, ede: int, text: str, how: dict[str, Any]) -> None:
    world = tree()
    pure = validating(world, line or "log-queries")
    back = passed_on(pure, world, "www.z.tld", "A", forged(world), **how)
    message = back.packed()
    assert (message.rcode, message.has("AD"), message.ede) == ("SERVFAIL", False, [ede])
    assert (message.answer, message.authority, message.additional) == ([], [], [])
    assert [one.lower() for one in back.lines] == [text.lower()]
    assert entries(pure) == {}


def test_a_bogus_reply_goes_to_who_checks_himself() -> None:
    world = tree()
    pure = validating(world)
    back = passed_on(pure, world, "www.z.tld", "A", forged(world), flags="RD CD")
    assert (back.packed().rcode, "6.6.6.6" in back.packed().rdatas("A")) == ("NOERROR", True)
    assert entries(pure) == {}


def test_dnssec_debug_passes_bogus_data() -> None:
    world = tree()
    pure = validating(world, "dnssec-debug", "log-queries")
    back = passed_on(pure, world, "www.z.tld", "A", forged(world), flags="RD AD", edns=1232)
    message = back.packed()
    assert (message.rcode, message.has("AD"), message.ede) == ("NOERROR", False, [6])
    assert "6.6.6.6" in message.rdatas("A")
    assert back.lines[0] == "validation www.z.tld is BOGUS"
    assert entries(pure) == {}


def test_a_proof_that_was_given_up_is_a_failure_and_said() -> None:
    world = tree()
    pure = validating(world, "dnssec-limits=20,1", "log-queries")
    back = passed_on(pure, world, "www.z.tld", "A", edns=1232)
    assert (back.packed().rcode, back.packed().ede) == ("SERVFAIL", [0])
    assert back.lines == ["validation www.z.tld is ABANDONED"]


def test_a_truncated_reply_is_emptied() -> None:
    world = tree()
    pure = validating(world, "log-queries")
    query = pure.query("www.z.tld")
    wire = bytearray(world.reply("www.z.tld").wire)
    wire[2] |= 2
    message = p.dns_message_unpack(bytes(wire))
    back = Back(p.dns_review(message, query, pure.state, pure.now, p.Upstream("9.9.9.9", 53)), query)
    packed = back.packed()
    assert (packed.has("TC"), packed.answer, back.lines[0]) == (True, [], "validation result is TRUNCATED")
    assert entries(pure) == {}


def test_nothing_outlives_its_signature() -> None:
    """In the message, and in the cache."""
    world = tree()
    z: Zone = world.zones[name("z.tld")]
    www = name("www.z.tld")
    reply = Reply(www, 1, 0, z.rrset(www, 1, ends=CLOCK + 30))
    pure = validating(world)
    back = passed_on(pure, world, "www.z.tld", "A", reply)
    assert {item.ttl for item in back.packed().answer} == {30}
    assert lives(pure) == {("www.z.tld", "A"): 30}


def test_a_name_of_ours_that_is_denied_elsewhere_is_not_proved_empty() -> None:
    """NXDOMAIN becomes an empty answer, which nobody has signed."""
    world = tree()
    pure = validating(world, "host-record=nx.z.tld,10.0.0.1", "log-queries=extra")
    back = passed_on(pure, world, "nx.z.tld", "MX", flags="RD AD")
    assert (back.packed().rcode, back.packed().has("AD")) == ("NOERROR", False)
    assert not any("signed" in line for line in back.lines)


def test_a_denied_delegation_does_not_hide_a_domain_with_servers_of_its_own() -> None:
    """Who checks by himself asks for DS records: the public tree says that there is no such name, and is right."""
    world = tree()
    pure = validating(world, "server=/corp.tld/127.0.0.1")
    assert passed_on(pure, world, "corp.tld", "DS").packed().rcode == "NXDOMAIN"
    for asked in ("corp.tld", "www.corp.tld"):
        assert pure.ask(asked).outcome == "forward"


CHANGED = [
    ("filter-A", "www.z.tld A"), ("bogus-nxdomain=192.0.2.1", "www.z.tld A"),
    ("alias=192.0.2.1,10.0.0.1", "www.z.tld A"),
    ("ignore-address=192.0.2.1", "www.z.tld A"), ("filter-A", "alias.z.tld A"),
]  # fmt: skip


@pytest.mark.parametrize(("line", "question"), CHANGED)
def test_what_we_change_is_not_proved(line: str, question: str) -> None:
    """Neither now nor from the cache: AD would be a lie."""
    world = tree()
    pure = validating(world, line)
    asked, qtype = question.split()
    back = passed_on(pure, world, asked, qtype, flags="RD AD")
    assert back.dropped or not back.packed().has("AD")
    seen = pure.ask(asked, qtype, flags="RD AD")
    assert seen.outcome != "reply" or "AD" not in seen.flags.split()


# -- the log ----------------------------------------------------------------------------------------------

LOGGED = [
    ("x.example A", ["X.example 60 CNAME y.example", "y.example 60 A 5.5.5.5"],
     ["reply x.example is <CNAME>", "reply y.example is 5.5.5.5"]),
    ("x.example TXT", ['x.example 60 TXT "one" "two"'], ["reply x.example is one", "reply x.example is two"]),
    ("x.example MX", ["x.example 60 MX 1 m"], ["reply x.example is <MX>"]),
    ("1.0.0.1.in-addr.arpa PTR", ["1.0.0.1.in-addr.arpa 60 PTR one.example"], ["reply 1.0.0.1 is one.example"]),
    ("x.example CNAME", ["x.example 60 CNAME y.example"], ["reply x.example is <CNAME>"]),
]  # fmt: skip


@pytest.mark.parametrize(("question", "answers", "lines"), LOGGED)
def test_lines_of_a_reply(question: str, answers: list[str], lines: list[str]) -> None:
    asked, qtype = question.split()
    assert upstream().reply(asked, qtype, *answers).lines == lines


def test_only_failed() -> None:
    pure = upstream()
    assert p.reply_failed(pure.reply("x.example", rcode="SERVFAIL").reviewed)
    assert p.reply_failed(pure.reply("x.example", authority=[SOA]).reviewed)
    assert not p.reply_failed(pure.reply("x.example", "A", "x.example 60 A 5.5.5.5").reviewed)


# -- nothing escapes ------------------------------------------------------------------------------------------


def test_any_reply_is_a_message_or_a_wire_error() -> None:
    lines = ["stop-dns-rebind", "alias=5.5.5.5,6.6.6.6", "bogus-nxdomain=7.7.7.7", "ignore-address=8.8.8.8",
    "max-ttl=9",
             "filter-rr=ANY,TXT", "cache-rr=ANY", "add-subnet=24", "neg-ttl=5"]  # fmt: skip
    pure = upstream(*lines, hosts="10.0.0.1 x.example\n")
    dice = random.Random(53)
    query = pure.query("x.example", "A", edns=1232)
    base = dnswire.build_reply(
        dnswire.parse(query.wire),
        answer=[dnswire.record(text) for text in ("x.example 60 CNAME y.example", "y.example 60 A 5.5.5.5",
        "y.example 9 MX 1 m")],
        authority=[dnswire.record(SOA)], additional=[dnswire.record('t 1 TXT "x"')], edns=1232, options=SENT,
    )  # fmt: skip
    understood = 0
    for _ in range(6000):
        wire = bytearray(base)
        for _ in range(dice.randrange(1, 4)):
            wire[dice.randrange(2, len(wire))] = dice.choice((0, 1, 5, 6, 12, 255, 0xC0, dice.randrange(256)))
        wire[4:6] = b"\0\1"
        wire[12 : query.question_end] = query.wire[12 : query.question_end]
        raw = bytes(wire) if dice.randrange(5) else bytes(wire[: dice.randrange(query.question_end, len(wire))])
        try:
            message = p.dns_message_unpack(raw)
        except p.WireError:
            continue
        understood += 1
        reply = p.dns_review(message, query, pure.state, pure.now, p.Upstream("9.9.9.9", 53), SENT)
        if not reply.drop:
            for tcp in (True, False):
                dnswire.parse(reply.pack(query, tcp))
        assert sum(len(entry.records) or 1 for entry in pure.cache.entries()) <= 150
    assert understood > 1000
    assert not any(
        addr("5.5.5.5") in entry.records for entry in pure.cache.entries() if entry.name == name("x.example")
    )
