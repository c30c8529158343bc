"""Section 42: which server is asked for which name, and how well the servers do."""

from __future__ import annotations

from typing import Any

import pytest

import pydnsmasq as p
from pure import addr, config, domain_rules, name

A, AAAA, ANY, MX, DS, TXT = p.TYPE_A, p.TYPE_AAAA, p.TYPE_ANY, p.TYPE_MX, p.TYPE_DS, p.TYPE_TXT


def said(match: Any, rules: Any) -> str:
    """Put a match into words: addresses, `local`, `nodata`, `default` or the servers."""
    if match.v4 or match.v6:
        return " ".join(p.address_format(one) for one in match.v4 + match.v6)
    if match.local:
        return "nodata" if match.literals else "local"
    if match.group is rules.default:
        return "default"
    return "to " + " ".join(server.address for server in match.group.servers)


def ask(rules: Any, asked: str, rrtype: int = A) -> str:
    return said(rules.match(name(asked).lower(), rrtype), rules)


# Lines of configuration, then `NAME TYPE -> outcome`.  The default server is always there.
MATCHES: list[tuple[str, list[str]]] = [
    ("nothing said", ["a.b A -> default", ". MX -> default", "a DS -> default"]),
    ("server=/x.test/1.1.1.1", ["x.test A -> to 1.1.1.1", "a.b.x.test MX -> to 1.1.1.1", "xx.test A -> default",
                                "test A -> default", "X.Test A -> to 1.1.1.1"]),
    ("server=/.x.test/1.1.1.1", ["x.test A -> to 1.1.1.1", "a.x.test A -> to 1.1.1.1"]),
    ("server=/x.test/y.test/1.1.1.1", ["x.test A -> to 1.1.1.1", "a.y.test A -> to 1.1.1.1", "z.test A -> default"]),
    ("server=/x.test/1.1.1.1\nserver=/x.test/2.2.2.2", ["x.test A -> to 1.1.1.1 2.2.2.2"]),
    ("server=/x.test/1.1.1.1\nserver=/x.test/1.1.1.1", ["x.test A -> to 1.1.1.1"]),
    # the longest domain wins, whatever it says
    ("server=/test/1.1.1.1\nserver=/x.test/2.2.2.2", ["a.test A -> to 1.1.1.1", "a.x.test A -> to 2.2.2.2"]),
    ("address=/test/9.9.9.9\nserver=/x.test/2.2.2.2", ["a.test A -> 9.9.9.9", "a.x.test A -> to 2.2.2.2"]),
    ("local=/test/\nserver=/x.test/2.2.2.2", ["a.test A -> local", "x.test A -> to 2.2.2.2"]),
    ("server=/test/1.1.1.1\nlocal=/x.test/", ["a.test A -> to 1.1.1.1", "x.test A -> local"]),
    ("server=/test/1.1.1.1\nserver=/x.test/#", ["a.test A -> to 1.1.1.1", "x.test A -> default"]),
    # among one domain: addresses by family, zeros, local, standard, servers
    ("address=/x/9.9.9.9\nserver=/x/1.1.1.1", ["x A -> 9.9.9.9", "x AAAA -> to 1.1.1.1", "x MX -> to 1.1.1.1"]),
    ("address=/x/9.9.9.9\naddress=/x/::9", ["x A -> 9.9.9.9", "x AAAA -> ::9", "x ANY -> 9.9.9.9 ::9",
    "x MX -> default"]),
    ("address=/x/9.9.9.9\naddress=/x/#", ["x A -> 9.9.9.9", "x MX -> default"]),
    ("address=/x/#", ["x MX -> default", "y A -> default"]),
    ("address=/x/9.9.9.9\nlocal=/x/", ["x A -> 9.9.9.9", "x AAAA -> nodata", "a.x MX -> nodata"]),
    ("address=/x/#\nlocal=/x/", ["x MX -> nodata"]),
    ("address=/x/\n", ["x A -> local", "a.x MX -> local"]),
    ("local=/x/\nserver=/x/#", ["x A -> local"]),
    ("server=/x/#\nlocal=/x/", ["x A -> local"]),
    ("server=/x/1.1.1.1\nserver=/x/#", ["x A -> default"]),
    ("server=/x/1.1.1.1\nlocal=/x/", ["x A -> local"]),
    ("address=/x/9.9.9.9\naddress=/x/9.9.9.8", ["x A -> 9.9.9.9 9.9.9.8"]),
    # a literal of the other family: on to shorter domains, then to the default servers
    ("address=/a.x/9.9.9.9\naddress=/x/::9", ["a.x AAAA -> ::9", "a.x A -> 9.9.9.9", "a.x MX -> default"]),
    ("address=/a.x/9.9.9.9\nserver=/x/1.1.1.1", ["a.x AAAA -> to 1.1.1.1", "a.x MX -> to 1.1.1.1"]),
    ("address=/a.x/9.9.9.9\nlocal=/x/", ["a.x A -> 9.9.9.9", "a.x AAAA -> local"]),
    ("address=/a.x/::9", ["a.x A -> default", "a.x AAAA -> ::9"]),
    # the whole name space
    ("address=/#/9.9.9.9", ["a.b A -> 9.9.9.9", "a A -> 9.9.9.9", "a.b AAAA -> default"]),
    ("address=/#/9.9.9.9\nserver=/x/1.1.1.1\nserver=/y/#", ["a.b A -> 9.9.9.9", "x A -> to 1.1.1.1", "y A -> default"]),
    ("address=/#/9.9.9.9\naddress=/x/::9", ["x A -> 9.9.9.9", "x AAAA -> ::9"]),
    ("address=9.9.9.9", ["a.b A -> 9.9.9.9"]),
    ("local=/#/", ["a.b A -> local", ". NS -> local"]),
    ("local=/#/\nserver=/x/#", ["a.b A -> local", "x A -> default"]),
    # names without a dot
    ("server=//1.1.1.1", ["single A -> to 1.1.1.1", "single MX -> to 1.1.1.1", "a.b A -> default", ". NS -> default",
                          "single DS -> default", "a.single DS -> default"]),
    ("server=//1.1.1.1\nserver=/single/2.2.2.2", ["single A -> to 2.2.2.2", "other A -> to 1.1.1.1"]),
    ("server=//1.1.1.1\naddress=/#/9.9.9.9", ["single A -> to 1.1.1.1", "a.b A -> 9.9.9.9"]),
    ("local=//", ["single A -> local", "a.b A -> default"]),
    # a DS question goes to the parent's servers
    ("server=/x.test/1.1.1.1", ["x.test DS -> default", "a.x.test DS -> to 1.1.1.1"]),
    ("server=/x.test/1.1.1.1\nserver=/test/2.2.2.2", ["x.test DS -> to 2.2.2.2", "test DS -> default"]),
    # patterns
    ("server=/*bad/1.1.1.1", ["bad A -> to 1.1.1.1", "verybad A -> to 1.1.1.1", "x.verybad A -> to 1.1.1.1",
                              "badly A -> default", "bad.x A -> default"]),
    ("server=/*ad.test/1.1.1.1", ["bad.test A -> to 1.1.1.1", "a.bad.test A -> to 1.1.1.1", "ad.test A -> to 1.1.1.1",
                                  "test A -> default", "bad.xtest A -> default"]),
    ("server=/*bad.test/2.2.2.2\nserver=/bad.test/1.1.1.1", ["bad.test A -> to 1.1.1.1", "a.bad.test A -> to 1.1.1.1",
                                                             "verybad.test A -> to 2.2.2.2"]),
    ("server=/*ad.test/1.1.1.1\nserver=/*bad.test/2.2.2.2", ["verybad.test A -> to 2.2.2.2", "ad.test A -> to 1.1.1.1",
                                                             "mad.test A -> to 1.1.1.1"]),
    ("server=/*bad.test/2.2.2.2\nserver=/test/1.1.1.1", ["verybad.test A -> to 2.2.2.2", "good.test A -> to 1.1.1.1"]),
    ("server=/*bad.test/2.2.2.2\nserver=/a.verybad.test/1.1.1.1", ["a.verybad.test A -> to 1.1.1.1",
                                                                   "b.verybad.test A -> to 2.2.2.2"]),
    ("server=/*.x.test/2.2.2.2", ["x.test A -> default", "y.x.test A -> to 2.2.2.2", "z.y.x.test A -> to 2.2.2.2",
                                  "xx.test A -> default"]),
    ("server=/x.test/1.1.1.1\nserver=/*.x.test/2.2.2.2", ["x.test A -> to 1.1.1.1", "y.x.test A -> to 2.2.2.2",
                                                          "z.y.x.test A -> to 2.2.2.2"]),
    ("address=/x.test/9.9.9.9\naddress=/*.x.test/::9", ["x.test A -> 9.9.9.9", "y.x.test A -> 9.9.9.9",
                                                        "y.x.test AAAA -> ::9", "x.test AAAA -> default"]),
    ("address=/*ad/9.9.9.9", ["bad A -> 9.9.9.9", "bad AAAA -> default"]),
    # the other ways to say it
    ("rev-server=10.0.0.0/8,1.1.1.1", ["4.3.2.10.in-addr.arpa PTR -> to 1.1.1.1", "10.in-addr.arpa SOA -> to 1.1.1.1",
                                       "1.11.in-addr.arpa PTR -> default"]),
    ("rev-server=10.1.2.0/23,1.1.1.1", ["9.2.1.10.in-addr.arpa PTR -> to 1.1.1.1",
    "9.3.1.10.in-addr.arpa PTR -> to 1.1.1.1",
                                        "9.4.1.10.in-addr.arpa PTR -> default"]),
    ("domain=lan,192.168.0.0/24,local", ["a.lan A -> local", "lan MX -> local", "a.b A -> default"]),
]  # fmt: skip
QUESTIONS = [(lines, question) for lines, questions in MATCHES for question in questions]


@pytest.mark.parametrize(("lines", "question"), QUESTIONS)
def test_domain_matching(lines: str, question: str) -> None:
    given = [] if lines == "nothing said" else lines.splitlines()
    rules = domain_rules(config(*given, "server=8.8.8.8", "no-resolv"))
    asked, outcome = question.split(" -> ")
    text, rrtype = asked.split()
    assert ask(rules, text, p.rr_type_parse(rrtype)) == outcome


def test_zeros_are_an_address_of_each_family() -> None:
    rules = domain_rules(config("address=/x/#", "no-resolv"))
    match = rules.match(name("a.x"), A)
    assert addr("0.0.0.0") in match.v4
    match = rules.match(name("a.x"), AAAA)
    assert addr("::") in match.v6
    match = rules.match(name("a.x"), ANY)
    assert (match.v4, match.v6) == ([addr("0.0.0.0")], [addr("::")])


def bulk(*more: str, local: bool = False, null: bool = False) -> Any:
    """Rules with block lists of a few hundred names, and lines behind them."""
    lines = [f"local=/l{number}.bulk/" for number in range(200)] if local else []
    lines += [f"address=/n{number}.bulk/#" for number in range(200)] if null else []
    settings = config(*more[: len(more) // 2], *lines, *more[len(more) // 2 :], "server=8.8.8.8", "no-resolv")
    if local:
        assert settings.bulk_local is not None, "the list was not taken in bulk"
    if null:
        assert settings.bulk_null is not None, "the list was not taken in bulk"
    return domain_rules(settings)


BULK = [
    "l7.bulk A -> local", "l7.bulk MX -> local", "a.b.l7.bulk A -> local", "L7.Bulk A -> local",
    "xl7.bulk A -> default",
    "bulk A -> default", "l777.bulk A -> default", "n7.bulk A -> 0.0.0.0", "a.n7.bulk AAAA -> ::",
    "n7.bulk MX -> default",
    "xn7.bulk A -> default", "l7.bulk DS -> default", "a.l7.bulk DS -> local",
]  # fmt: skip


@pytest.mark.parametrize("question", BULK)
def test_block_lists(question: str) -> None:
    asked, outcome = question.split(" -> ")
    text, rrtype = asked.split()
    got = ask(bulk(local=True, null=True), text, p.rr_type_parse(rrtype))
    assert outcome in got.split() or got == outcome


def test_block_lists_are_the_same_as_plain_rules() -> None:
    quick = bulk(local=True, null=True)
    slow = p.DomainRules({})
    for number in range(200):
        slow.add_server(p.UpstreamRule((p.DomainPattern(name(f"l{number}.bulk")),), "local"))
        slow.add_address(p.AddressRule((p.DomainPattern(name(f"n{number}.bulk")),), "null"))
    for text in ("l0.bulk", "l199.bulk", "n0.bulk", "x.n199.bulk", "bulk", "l200.bulk", "l.bulk", "com", "."):
        for rrtype in (A, AAAA, ANY, MX, DS):
            assert ask(quick, text, rrtype) == ask(slow, text, rrtype), (text, rrtype)


PRECEDENCE = [
    # a line beside the block lists, a question, the outcome
    ("server=/a.l7.bulk/1.1.1.1", "x.a.l7.bulk", A, "to 1.1.1.1"),
    ("server=/bulk/1.1.1.1", "x.l7.bulk", A, "local"),
    ("server=/bulk/1.1.1.1", "other.bulk", A, "to 1.1.1.1"),
    ("server=/bulk/1.1.1.1", "n7.bulk", MX, "to 1.1.1.1"),
    ("server=/l7.bulk/1.1.1.1", "l7.bulk", A, "local"),
    ("server=/l7.bulk/#", "l7.bulk", A, "local"),
    ("address=/l7.bulk/9.9.9.9", "l7.bulk", A, "9.9.9.9"),
    ("address=/l7.bulk/9.9.9.9", "l7.bulk", MX, "nodata"),
    ("address=/n7.bulk/9.9.9.9", "n7.bulk", A, "9.9.9.9"),
    ("local=/n7.bulk/", "n7.bulk", A, "0.0.0.0"),
    ("local=/n7.bulk/", "n7.bulk", MX, "nodata"),
    ("server=/n7.bulk/1.1.1.1", "n7.bulk", A, "0.0.0.0"),
    ("server=/n7.bulk/1.1.1.1", "n7.bulk", MX, "to 1.1.1.1"),
]


@pytest.mark.parametrize(("line", "asked", "rrtype", "outcome"), PRECEDENCE)
def test_block_lists_and_other_lines_keep_the_order_of_kinds(line: str, asked: str, rrtype: int, outcome: str) -> None:
    got = ask(bulk(line, local=True, null=True), asked, rrtype)
    assert outcome in got.split() or got == outcome


def test_a_name_in_both_block_lists() -> None:
    both = [line for number in range(150) for line in (f"local=/b{number}.bulk/", f"address=/b{number}.bulk/#")]
    settings = config(*both, "server=8.8.8.8", "no-resolv")
    assert settings.bulk_local is not None and settings.bulk_null is not None
    rules = domain_rules(settings)
    assert "0.0.0.0" in ask(rules, "b7.bulk", A).split()
    assert ask(rules, "b7.bulk", MX) == "nodata"


def test_the_order_of_the_configuration_is_kept() -> None:
    rules = domain_rules(
        config("server=3.3.3.3", "server=1.1.1.1", "server=2.2.2.2", "no-resolv"), b"nameserver 4.4.4.4\n"
    )
    assert [server.address for server in rules.default.servers] == ["3.3.3.3", "1.1.1.1", "2.2.2.2", "4.4.4.4"]


def test_a_server_is_in_its_group_once() -> None:
    lines = ["server=1.1.1.1", "server=1.1.1.1", "server=/#/1.1.1.1", "server=/#/1.1.1.1"]
    rules = domain_rules(config(*lines, "no-resolv"), b"nameserver 1.1.1.1\n")
    assert [server.address for server in rules.default.servers] == ["1.1.1.1"]


def test_the_same_server_for_several_domains_is_one() -> None:
    rules = domain_rules(config("server=/x/1.1.1.1", "server=/y/1.1.1.1", "server=1.1.1.1", "no-resolv"))
    groups = [rules.match(name(text), A).group for text in ("x", "y", "z")]
    assert len({id(group) for group in groups}) == 3
    assert len({id(group.servers[0]) for group in groups}) == 1


def test_servers_that_differ_in_a_detail_are_several() -> None:
    lines = [
        "server=1.1.1.1",
        "server=1.1.1.1#54",
        "server=1.1.1.1@eth0",
        "server=1.1.1.1@10.0.0.1",
        "server=fe80::1%eth0",
    ]
    rules = domain_rules(config(*lines, "no-resolv"))
    assert [server.text for server in rules.default.servers] == [
        "1.1.1.1",
        "1.1.1.1#54",
        "1.1.1.1",
        "1.1.1.1",
        "fe80::1%eth0",
    ]


def test_counters_and_health_live_on_over_a_reload() -> None:
    settings = config("server=1.1.1.1", "server=2.2.2.2", "no-resolv")
    before = domain_rules(settings)
    before.default.servers[0].queries = 7
    after = p.DomainRules(before.servers)
    for rule in settings.server[:1]:
        after.add_server(rule)
    assert after.default.servers == [before.default.servers[0]]
    assert after.default.servers[0].queries == 7
    assert len(after.servers) == 1


RESOLV = [
    (b"nameserver 1.1.1.1\nnameserver 2.2.2.2\n", ["1.1.1.1", "2.2.2.2"]),
    (b"nameserver\t1.1.1.1\r\nnameserver ::1", ["1.1.1.1", "::1"]),
    (b"server 1.1.1.1\n", ["1.1.1.1"]),
    (b"# nameserver 1.1.1.1\n;nameserver 1.1.1.1\nsearch lan\noptions edns0\n", []),
    (b"nameserver\nnameserver x\nnameserver 1.1.1\nnameservers 1.1.1.1\n", []),
    (b"nameserver fe80::1%eth0\n", ["fe80::1%eth0"]),
    (b"nameserver 1.1.1.1 # comment\n", ["1.1.1.1"]),
    (b"\xff\xfe\0\n", []),
    (b"", []),
]


@pytest.mark.parametrize(("data", "expected"), RESOLV)
def test_resolv_files(data: bytes, expected: list[str]) -> None:
    rules = domain_rules(config("no-resolv"), data)
    assert [server.text for server in rules.default.servers] == expected


# -- health ---------------------------------------------------------------------


def servers(count: int) -> list[p.Upstream]:
    return [p.Upstream(f"10.0.0.{number}", 53) for number in range(1, count + 1)]


def group_of(count: int) -> p.UpstreamGroup:
    group = p.UpstreamGroup()
    group.servers = servers(count)
    return group


def test_round_trips_are_smoothed() -> None:
    server = p.Upstream("1.1.1.1", 53)
    for turn in range(60):
        server.replied(0.02, float(turn))
    assert 0.019 < server.rtt < 0.021
    assert 19 < server.latency < 21
    server.replied(0.82, 61.0)
    assert 0.1 < server.rtt < 0.15
    assert server.last_reply == 61.0


def test_patience_follows_the_round_trip_within_bounds() -> None:
    server = p.Upstream("1.1.1.1", 53)
    for rtt, expected in ((0.001, p.UPSTREAM_PATIENCE_MIN), (0.1, 0.3), (5.0, p.UPSTREAM_PATIENCE_MAX)):
        server.rtt = rtt
        assert server.patience() == pytest.approx(expected)


def test_silence_makes_a_server_rest_for_longer_and_longer() -> None:
    server = p.Upstream("1.1.1.1", 53)
    for turn in range(p.UPSTREAM_FAILURES - 1):
        server.silent(100.0 + turn)
        assert server.rest_until == 0.0
    assert server.silent_since == 100.0
    rests = []
    for _ in range(40):
        server.silent(200.0)
        rests.append(server.rest_until - 200.0)
    assert rests == sorted(rests)
    assert 0 < rests[0] < rests[1] < rests[2]
    assert rests[-1] == p.UPSTREAM_BACKOFF_MAX
    server.replied(0.01, 300.0)
    assert (server.failures, server.rest_until) == (0, 0.0)


def test_silence_for_ever_overflows_nothing() -> None:
    server = p.Upstream("1.1.1.1", 53)
    for _ in range(3000):
        server.silent(1.0)
    assert server.rest_until == 1.0 + p.UPSTREAM_BACKOFF_MAX


def test_one_server_needs_no_choice() -> None:
    group = group_of(1)
    group.servers[0].failures = 9
    group.servers[0].rest_until = 1e9
    assert group.first(1.0, False, False) == group.servers
    group.servers[0].looped = True
    assert group.first(1.0, False, False) == []


def test_everyone_is_raced_until_one_wins() -> None:
    group = group_of(3)
    assert group.first(1.0, False, False) == group.servers
    assert group.first(1.1, False, False) == group.servers
    group.won(group.servers[2])
    assert group.first(1.2, False, False) == [group.servers[2]]


def test_the_race_is_run_again_after_some_queries() -> None:
    group = group_of(2)
    group.first(1.0, False, False)
    group.won(group.servers[0])
    sizes = [len(group.first(1.0, False, False)) for _ in range(p.FAVOURITE_QUERIES + 1)]
    assert sizes == [1] * p.FAVOURITE_QUERIES + [2]
    group.won(group.servers[1])
    assert group.first(1.0, False, False) == [group.servers[1]]


def test_the_race_is_run_again_after_some_time() -> None:
    group = group_of(2)
    group.first(1.0, False, False)
    group.won(group.servers[0])
    assert len(group.first(1.0 + p.FAVOURITE_SECONDS, False, False)) == 1
    assert len(group.first(1.1 + p.FAVOURITE_SECONDS, False, False)) == 2


def test_a_favourite_that_fell_silent_or_lost_is_raced() -> None:
    group = group_of(2)
    group.won(group.servers[0])
    group.first(1.0, False, False)
    group.won(group.servers[0])
    group.lost(group.servers[1])
    assert len(group.first(1.0, False, False)) == 1
    group.servers[0].silent(1.0)
    assert len(group.first(1.0, False, False)) == 2
    group.servers[0].replied(0.1, 2.0)
    group.won(group.servers[0])
    group.lost(group.servers[0])
    assert len(group.first(2.0, False, False)) == 2


def test_a_favourite_that_loops_is_no_more() -> None:
    group = group_of(3)
    group.first(1.0, False, False)
    group.won(group.servers[0])
    group.servers[0].looped = True
    assert group.servers[0] not in group.first(1.0, False, False)
    assert group.usable() == group.servers[1:]


def test_all_servers() -> None:
    group = group_of(3)
    group.won(group.servers[0])
    assert group.first(1.0, False, True) == group.servers
    group.servers[1].looped = True
    assert group.first(1.0, False, True) == [group.servers[0], group.servers[2]]


def test_strict_order() -> None:
    group = group_of(3)
    group.won(group.servers[2])
    assert group.first(1.0, True, False) == [group.servers[0]]
    asked = [group.servers[0]]
    group.servers[1].rtt = 9.0
    assert group.next(asked, 1.0, True) is group.servers[1]
    assert group.next(group.servers, 1.0, True) is None
    group.servers[0].rest_until = 5.0
    assert group.first(1.0, True, False) == [group.servers[1]]
    assert group.first(6.0, True, False) == [group.servers[0]]
    for server in group.servers:
        server.rest_until = 5.0
    assert group.first(1.0, True, False) == [group.servers[0]]


def test_the_next_to_ask_is_the_healthiest() -> None:
    group = group_of(4)
    one, two, three, four = group.servers
    one.rtt, two.rtt, three.rtt, four.rtt = 0.01, 0.02, 0.03, 0.001
    two.failures = 1
    four.rest_until = 10.0
    order, asked = [], []
    while (server := group.next(asked, 5.0, False)) is not None:
        order.append(server)
        asked.append(server)
    assert order == [one, three, two, four]
    assert group.next([], 11.0, False) is four
    four.looped = True
    assert group.next([one, two, three], 11.0, False) is None
