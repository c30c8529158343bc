"""Validation against a signed hierarchy, beside a validating unbound and the real dnsmasq."""

from __future__ import annotations

import base64
import itertools
import os
import pathlib
import re
import signal
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from dnssec_cases import CASES, LOGGED, REASONS, SETUPS, DnssecCase, Outcome, Setup, only, read_cases
from dnssec_zones import TOOLS, Break, Hierarchy
from dnswire import DnsMessage
from harness import (
    OURS_KIND,
    REAL,
    Daemon,
    MakeDaemon,
    MockReply,
    MockUpstream,
    ask,
    free_port,
    need,
    need_tool,
    run_program,
    table_zone,
    wait_until,
)

# The relay is asked by one program at a time, so nobody waits for long.
SECONDS = 10.0
PROOFS = {"RRSIG", "NSEC", "NSEC3"}


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hierarchy]:
    need_tool(*TOOLS)
    with Hierarchy(tmp_path_factory.mktemp("dnssec")).running() as hierarchy:
        yield hierarchy


class Peers:
    """The programs that answer the table's questions; each is started when it is first asked."""

    def __init__(self, rig: Hierarchy, directory: pathlib.Path) -> None:
        self.rig, self.directory = rig, directory
        self.daemons: dict[str, Daemon] = {}
        self.ports: dict[str, int] = {}

    def port(self, kind: str) -> int:
        if kind not in self.ports and kind == "unbound":
            self.ports[kind] = self.rig.validator()
        elif kind not in self.ports:
            if kind == "dnsmasq":
                need(REAL, "dnsmasq")
            real = "real" if kind == "dnsmasq" else "ours"
            daemon = Daemon(
                self.directory / kind, self.rig.configuration("cache-size=2000\nlog-queries=extra\n"), kind=real
            )
            self.daemons[kind] = daemon.start()
            self.ports[kind] = daemon.port
        return self.ports[kind]

    def forget(self, kind: str) -> None:
        """Empty the cache; unbound makes no use of what it knows."""
        if kind in self.daemons:
            daemon = self.daemons[kind]
            count = daemon.log().count("cleared cache")
            daemon.signal(signal.SIGHUP)
            daemon.wait_log("cleared cache", count=count + 1)

    def stop(self) -> None:
        for daemon in self.daemons.values():
            daemon.stop()
        for daemon in self.daemons.values():
            assert "Traceback" not in daemon.stderr() + daemon.log()


@pytest.fixture(scope="module")
def peers(rig: Hierarchy, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Peers]:
    made = Peers(rig, tmp_path_factory.mktemp("peers"))
    yield made
    made.stop()


# How a question is asked: header flags and EDNS.
WAYS: dict[str, dict[str, Any]] = {
    "ad": {"flags": "RD AD", "edns": 1232},
    "do": {"edns": 1232, "do": True},
    "plain": {},
    "cd": {"flags": "RD CD", "edns": 1232, "do": True},
    "nocheck": {"flags": "RD CD"},
    "tcp": {"flags": "RD AD", "edns": 1232, "tcp": True},
}


SILENT = DnsMessage()
silences: list[str] = []


def ask_fully(port: int, case: DnssecCase, way: str = "") -> DnsMessage:
    """Ask over UDP, and over TCP when the answer was cut; give SILENT when nothing came."""
    # When nothing works, hundreds of rows shall not wait as long as one.
    options = {"seconds": SECONDS if len(silences) < 10 else 0.5, **WAYS[way or case.way]}
    reply = ask(port, case.name, case.qtype, **options)
    if reply is not None and reply.has("TC"):
        reply = ask(port, case.name, case.qtype, **{**options, "tcp": True})
    silences.extend([case.name] if reply is None else [])
    return reply or SILENT


def records(reply: DnsMessage, qtype: str) -> int:
    return sum(qtype in (item.rtype, "ANY") for item in reply.answer)


def outcome_of(reply: DnsMessage, qtype: str) -> Outcome:
    status = "SILENCE" if reply is SILENT else reply.rcode
    if status == "NOERROR":
        status = "OK" if records(reply, qtype) else "NODATA"
    return Outcome(status, reply.has("AD"))


def errors_fit(case: DnssecCase, reply: DnsMessage) -> bool:
    codes = [str(code) for code in reply.ede]
    if reply.rcode in ("NOERROR", "NXDOMAIN") and any(outcome.status == "SERVFAIL" for outcome in case.outcomes):
        return not codes
    return all(code in case.ede for code in codes or ["-"])


def proofs(reply: DnsMessage) -> set[str]:
    return PROOFS & {item.rtype for item in reply.answer + reply.authority + reply.additional}


KINDS = ("ours", "dnsmasq", "unbound")
# What runs as ours may be the real program; then it is held to what is known of it.
LIKE = {"ours": "dnsmasq" if OURS_KIND == "real" else "ours"}


def rows(cases: list[DnssecCase], *kinds: str) -> list[object]:
    return [
        pytest.param(kind, case, id=f"{kind}-{case}")
        for kind in kinds
        for case in cases
        if case.expected(LIKE.get(kind, kind)) and not (kind == "dnsmasq" and OURS_KIND == "real")
    ]


def complaint(kind: str, port: int, case: DnssecCase) -> str:
    """Ask, and say what is not as the row has it."""
    reply = ask_fully(port, case)
    expected = case.expected(LIKE.get(kind, kind))
    outcome = outcome_of(reply, case.qtype)
    if outcome not in expected:
        return f"{case}: {kind} says {outcome}, not {' or '.join(map(str, expected))}; EDE {reply.ede}"
    count = records(reply, case.qtype)
    if case.counts and outcome.status == "OK" and count not in case.counts:
        return f"{case}: {count} records"
    if LIKE.get(kind, kind) == "ours" and not errors_fit(case, reply):
        return f"{case}: EDE {reply.ede}, expected {'/'.join(case.ede)}"
    if LIKE.get(kind, kind) == "ours" and not WAYS[case.way].get("do") and not proofs(reply) <= {case.qtype}:
        return f"{case}: {proofs(reply)} for a client without DO"
    return ""


@pytest.mark.parametrize(("kind", "case"), rows(CASES, *KINDS))
def test_verdicts(peers: Peers, kind: str, case: DnssecCase) -> None:
    """A client that understands AD sees the verdict, and why, if it is bad."""
    port = peers.port(kind)
    if case.fresh:
        peers.forget(kind)
    assert not complaint(kind, port, case)


@pytest.mark.parametrize(("kind", "case"), rows([case for case in CASES if not case.once and not case.fresh], "ours"))
def test_other_clients(rig: Hierarchy, peers: Peers, kind: str, case: DnssecCase) -> None:
    """The same question again, with DO, plainly, with CD, and with AD from the cache."""
    expected = case.expected(LIKE.get(kind, kind))
    port = peers.port(kind)

    signed = ask_fully(port, case, "do")
    assert outcome_of(signed, case.qtype) in expected
    if signed.has("AD"):
        assert "RRSIG" in proofs(signed)

    plain = ask_fully(port, case, "plain")
    assert outcome_of(plain, case.qtype).status in {outcome.status for outcome in expected}
    assert not plain.has("AD")
    assert plain.edns_size is None
    if LIKE[kind] == "ours":
        # 2.90 leaves the proofs in when names are compressed in an unlucky way.
        assert proofs(plain) <= {case.qtype}

    unchecked = ask_fully(port, case, "cd")
    upstream = ask_fully(rig.relay.port, case, "do")
    if LIKE[kind] == "ours":
        # 2.90 makes NODATA of NXDOMAIN for names whose DS it remembers.
        assert outcome_of(unchecked, case.qtype).status == outcome_of(upstream, case.qtype).status
    assert unchecked.has("CD")
    assert not unchecked.has("AD")

    again = ask_fully(port, case, "ad")
    assert outcome_of(again, case.qtype) in expected


# -- options, and upstreams that fail --------------------------------------------------

PRIVATE = """
www.private.nsec 300 A 198.18.77.1
host.lan 300 A 198.18.77.2
alias.lan 300 CNAME host.lan
1.0.0.10.in-addr.arpa 300 PTR host.lan
"""


def setup_conf(rig: Hierarchy, setup: Setup, mock: MockUpstream) -> str:
    key = rig.zones["."].keys[0]
    anchor = rig.anchor()
    words = {
        "$ROOT": anchor,
        "$KEY": f"trust-anchor=.,257,3,{key.algorithm},{base64.b64encode(key.rdata[4:]).decode()}\n",
        "$WRONG": "trust-anchor=" + rig.zones["alg8.nsec"].keys[0].ds(2).join([".,", "\n"]).replace(" ", ","),
        "$ISLAND": rig.anchor("island.ins.nsec"),
        "$MOCK": mock.address,
    }
    conf = setup.conf
    for word, value in words.items():
        conf = conf.replace(word, value)
    if setup.rooted or "trust-anchor" in conf:
        conf += "dnssec\n"
    return f"no-resolv\nno-hosts\nlog-queries=extra\nserver={rig.relay.address}\n{conf}{anchor if setup.rooted else ''}"


@pytest.fixture
def private() -> Iterator[MockUpstream]:
    with MockUpstream(table_zone(PRIVATE)) as mock:
        yield mock


def setups() -> list[object]:
    return [
        pytest.param(kind, setup, id=f"{kind}-{setup.name.replace(' ', '-')}")
        for setup in SETUPS
        for kind in ("ours", "dnsmasq")
        if setup.real or (kind == "ours" and OURS_KIND != "real")
        if kind == "ours" or OURS_KIND != "real"
    ]


@pytest.mark.parametrize(("kind", "setup"), setups())
def test_setups(rig: Hierarchy, peers: Peers, private: MockUpstream, make: MakeDaemon, kind: str, setup: Setup) -> None:
    if setup.conf or not setup.rooted:
        port = make(setup_conf(rig, setup, private), kind="real" if kind == "dnsmasq" else "ours").start().port
    else:
        # Those that need no options of their own share a daemon.
        port = peers.port(kind)
        peers.forget(kind)
    rig.relay.change = setup.change
    try:
        complaints = [complaint(kind, port, case) for case in read_cases(setup.rows)]
    finally:
        rig.relay.change = None
        peers.forget(kind)
    assert not any(complaints), "\n" + "\n".join(filter(None, complaints))


# -- one after the other ----------------------------------------------------------------


def check(daemon: Daemon, text: str) -> None:
    """Ask the rows, and hold the daemon to them."""
    complaints = [complaint("ours", daemon.port, case) for case in read_cases(text)]
    assert not any(complaints), "\n" + "\n".join(filter(None, complaints))


@pytest.fixture
def ours(rig: Hierarchy, make: MakeDaemon) -> Callable[[str], Daemon]:
    """Start a daemon that validates, with more options."""
    return lambda more="": make(rig.configuration(more), kind="ours").start()


def test_times_are_checked_after_int(ours: MakeDaemon) -> None:
    daemon = ours("dnssec-no-timecheck\n")
    check(daemon, "expired.broken.nsec A = OK AD\nfuture.broken.nsec A = OK AD\nbadsig.broken.nsec A = SERVFAIL ede=6")
    daemon.wait_log("DNSSEC signature timestamps not checked until receipt of SIGINT")
    daemon.signal(signal.SIGINT)
    daemon.wait_log("now checking DNSSEC signature timestamps")
    check(daemon, "expired.broken.nsec A = SERVFAIL ede=7\nfuture.broken.nsec A = SERVFAIL ede=8")
    check(daemon, "www.good.nsec A = OK AD")


def test_times_are_not_checked_before_the_stamp(ours: MakeDaemon, tmp_path: pathlib.Path) -> None:
    stamp = tmp_path / "stamp"
    stamp.touch()
    os.utime(stamp, (time.time() + 3600, time.time() + 3600))
    daemon = ours(f"dnssec-timestamp={stamp}\n")
    check(daemon, "expired.broken.nsec A = OK AD\nbadsig.broken.nsec A = SERVFAIL ede=6\nwww.good.nsec A = OK AD")


def test_times_are_checked_when_the_stamp_has_passed(ours: MakeDaemon, tmp_path: pathlib.Path) -> None:
    stamp = tmp_path / "stamp"
    stamp.touch()
    os.utime(stamp, (time.time() + 5, time.time() + 5))
    daemon = ours(f"dnssec-timestamp={stamp}\n")
    late = time.time() > stamp.stat().st_mtime  # a slow start: then there is nothing to wait for

    def checked() -> bool:
        daemon.ask("badsig.broken.nsec")  # never cached, so there is a signature to check
        return late or "system time considered valid, now checking DNSSEC signature timestamps." in daemon.log()

    wait_until(checked, what="the stamp to pass")
    check(daemon, "expired.broken.nsec A = SERVFAIL ede=7\nwww.good.nsec A = OK AD")
    assert stamp.stat().st_mtime <= time.time()


def test_a_new_stamp_is_old(ours: MakeDaemon, tmp_path: pathlib.Path) -> None:
    stamp = tmp_path / "new"
    daemon = ours(f"dnssec-timestamp={stamp}\n")
    check(daemon, "expired.broken.nsec A = SERVFAIL ede=7\nwww.good.nsec A = OK AD")
    assert time.time() - stamp.stat().st_mtime < 3600


def test_anchors_are_wanted() -> None:
    """Without an anchor of the root nothing could be proved; 2.90 takes one that it cannot use."""
    anchors = ["", "--trust-anchor=good.nsec,1,8,2,abcd"]
    if OURS_KIND != "real":
        anchors += ["--trust-anchor=.,1,8,99,abcd", "--trust-anchor=."]
    for anchor in anchors:
        done = run_program("-k", "--no-resolv", "--dnssec", "-p", str(free_port()), *filter(None, [anchor]))
        assert done.returncode == 1
        assert "no root trust anchor" in done.stderr


def test_answers_from_the_cache(rig: Hierarchy, ours: MakeDaemon) -> None:
    """What is proved once is not asked for again; a client with DO gets the signatures too."""
    daemon = ours("")
    text = """
    www.good.nsec3 A = OK AD
    nx.good.nsec3 A = NXDOMAIN AD
    www.good.nsec3 AAAA = OK AD
    alias.good.nsec3 A = OK AD
    www.ins.nsec3 A = OK
    """
    check(daemon, text)
    before = len(rig.relay.seen)
    check(daemon, text)
    check(daemon, text.replace(" =", " plain =").replace(" AD", ""))
    assert len(rig.relay.seen) == before
    check(daemon, text.replace(" =", " do ="))
    if OURS_KIND != "real":
        # 2.90 forwards these, which the issue leaves open.
        assert len(rig.relay.seen) == before
    reply = daemon.ask("www.good.nsec3", "A", do=True, edns=1232)
    assert [item.rtype for item in reply.answer] == ["A", "RRSIG"]


def test_keys_are_asked_for_once(rig: Hierarchy, ours: MakeDaemon) -> None:
    daemon = ours("")
    before = len(rig.relay.seen)
    check(daemon, "www.d2.d1.nsec A = OK AD\nmail.d2.d1.nsec A = OK AD\nwww.d1.nsec A = OK AD\nzz.d1.nsec A = OK AD")
    asked = [(seen.message.question[0].name, seen.message.question[0].qtype) for seen in rig.relay.seen[before:]]
    chain = [(zone, qtype) for zone in ("nsec", "d1.nsec", "d2.d1.nsec") for qtype in ("DS", "DNSKEY")]
    assert sorted(pair for pair in asked if pair[1] != "A") == sorted([*chain, (".", "DNSKEY")])


@pytest.mark.skipif(OURS_KIND == "real", reason="2.90 does not do it")
def test_denials_are_used_again(rig: Hierarchy, ours: MakeDaemon) -> None:
    """What a proved NSEC or NSEC3 denies need not be asked for (RFC 8198), unless it opts out."""
    daemon = ours("")
    check(daemon, "nx.good.nsec A = NXDOMAIN AD\nwww.good.nsec TXT = NODATA AD\nwww.good.nsec3 TXT = NODATA AD")
    check(daemon, "nx.good.optout A = NXDOMAIN")
    before = len(rig.relay.seen)
    check(daemon, "nx1.good.nsec AAAA = NXDOMAIN AD\nnx.nx2.good.nsec MX do = NXDOMAIN AD")
    check(daemon, "www.good.nsec HINFO = NODATA AD\nwww.good.nsec3 HINFO = NODATA AD")
    assert len(rig.relay.seen) == before
    check(daemon, "nx.ns.good.nsec A = NXDOMAIN AD\nmail.good.nsec A = OK AD\nwww.good.nsec AAAA = OK AD")
    check(daemon, "nx1.good.optout A = NXDOMAIN")
    assert rig.relay.count("nx1.good.optout", "A") == 1
    # Those that begin at a cut, at a DNAME or near a wildcard say nothing of what is below.
    check(
        daemon, "ins0.nsec A = NXDOMAIN AD\nwww.ins.nsec A = OK\nwww.island.ins.nsec A = OK\nnx.ins.nsec A = NXDOMAIN"
    )
    check(daemon, "dn0.alias.nsec A = NXDOMAIN AD\nwww.dn.alias.nsec A = OK AD")
    check(daemon, "z.y.w.wild.nsec A = NXDOMAIN AD\nany.w.wild.nsec A = OK AD\nz.w.wild.nsec3 TXT = OK AD")


def test_bogus_answers_are_not_kept(rig: Hierarchy, ours: MakeDaemon) -> None:
    """Neither the refusal nor, for a client with CD, the data."""
    daemon = ours("")
    for way in ("cd", "nocheck"):
        check(daemon, f"badsig.broken.nsec A {way} = OK\nbadsig.broken.nsec A = SERVFAIL ede=6")
        check(daemon, f"fake.broken.nsec A {way} = NXDOMAIN\nmail.broken.nsec A {way} = NODATA")
    check(daemon, "forged.broken3.nsec A nocheck = OK\nforged.broken3.nsec A plain = SERVFAIL ede=-")
    before = rig.relay.count("badsig.broken.nsec", "A")
    check(daemon, "badsig.broken.nsec A = SERVFAIL ede=6\nbadsig.broken.nsec A cd = OK")
    assert rig.relay.count("badsig.broken.nsec", "A") == before + 2


@pytest.mark.parametrize(
    "change",
    [
        only("DNSKEY", lambda b: b.unsign()),
        only("DS", lambda b: MockReply(rcode="SERVFAIL")),
        only("DS", lambda b: MockReply(drop=True)),
        only("DNSKEY", lambda b: MockReply(drop=True)),
    ],
    ids=["unsigned keys", "DS SERVFAIL", "DS lost", "keys lost"],
)
def test_what_was_broken_heals(rig: Hierarchy, ours: MakeDaemon, change: Callable[[Break], MockReply | None]) -> None:
    """While the chain fails, nothing gets through; when the cache is empty it is tried again."""
    daemon = ours("fast-dns-retry=100,1000\n")
    rig.relay.change = change
    try:
        for name in ("www.good.nsec", "www.ins.nsec"):
            reply = ask(daemon.port, name, "A", flags="RD AD", edns=1232, seconds=2.5)
            assert reply is None or reply.rcode == "SERVFAIL"
    finally:
        rig.relay.change = None
    daemon.signal(signal.SIGHUP)
    daemon.wait_log("cleared cache", count=2)
    check(daemon, "www.good.nsec A = OK AD\nwww.ins.nsec A = OK\nnosig.broken.nsec A = SERVFAIL ede=10")


@pytest.mark.skipif(OURS_KIND == "real", reason="2.90 leaves the TTL of what it passes on")
def test_lives_are_bounded(ours: MakeDaemon) -> None:
    """By the signed TTL, and by what is left of the signature's life."""
    daemon = ours("")
    for name, most in (("ttl.broken.nsec", 300), ("soon.broken.nsec", 90)):
        for _ in range(2):
            reply = daemon.ask(name, "A", flags="RD AD", edns=1232)
            assert reply.has("AD")
            assert 0 < min(item.ttl for item in reply.answer) <= most


def test_what_goes_upstream(rig: Hierarchy, ours: MakeDaemon) -> None:
    """DO always, CD only for those who ask for it, or with dnssec-debug."""
    for more, cd in (("", False), ("dnssec-debug\n", True)):
        daemon = ours(more)
        before = len(rig.relay.seen)
        check(daemon, "www.good.nsec A plain = OK\nmail.good.nsec A = OK AD")
        seen = [item.message for item in rig.relay.seen[before:]]
        assert len(seen) >= 6
        assert all(message.edns_flags & 0x8000 and message.has("CD") == cd for message in seen)


def test_limits_are_logged(ours: MakeDaemon) -> None:
    for limits, what in (("20,1", "crypto work"), ("20,200,1", "subqueries")):
        daemon = ours(f"dnssec-limits={limits}\nlog-queries\n")
        check(daemon, "www.good.nsec A = SERVFAIL ede=0/6")
        daemon.wait_log(f"limit exceeded: per-query {what}")
        daemon.wait_log(r"validation of \S+ failed: resource limit exceeded\.")
        daemon.wait_log("validation www.good.nsec is ABANDONED")


# -- the log ---------------------------------------------------------------------------


def settled(daemon: Daemon, numbers: Iterator[int] = itertools.count()) -> list[str]:  # noqa: B008
    """The log when all that was asked is written: it is, when a later question's line is there."""
    name = f"n{next(numbers)}.of.test"
    daemon.ask(name)
    daemon.wait_log(re.escape(f"config {name}"))
    return daemon.log().splitlines()


def log_lines(daemon: Daemon, relay: str, text: str) -> set[str]:
    """Ask, and give the lines that this makes, without dates and addresses."""
    before = len(settled(daemon))
    name, qtype = text.split()
    daemon.ask(name, qtype, flags="RD AD", edns=1232, seconds=SECONDS)
    return {
        re.sub(r"^\w{3} [ \d]\d [\d:]{8} dnsmasq\[\d+\]: ", "", line).replace(relay, "UP")
        for line in settled(daemon)[before:]
        if "of.test" not in line
    }


CHAIN_LINE = re.compile(r"dnssec-|DNSKEY|DS$|DS for|no DS|SERVFAIL")


def test_log_lines(rig: Hierarchy, make: MakeDaemon) -> None:
    """Ours logs the same steps as dnsmasq, maybe in another order."""
    need(REAL, "dnsmasq")
    conf = rig.configuration("log-queries\nlocal=/of.test/\n")
    real, ours = (make(conf, kind=kind).start() for kind in ("real", "ours"))
    found = []
    for row in LOGGED:
        text, _, reason = row.partition(" ! ")
        wanted, got = (log_lines(daemon, rig.relay.address, text) for daemon in (real, ours))
        if reason:
            assert reason in REASONS
            wanted, got = ({line for line in lines if not CHAIN_LINE.search(line)} for lines in (wanted, got))
        if wanted != got:
            found.append(f"{text}: missing {sorted(wanted - got)}, extra {sorted(got - wanted)}")
    assert not found, "\n" + "\n".join(found)


def test_the_table_is_large_enough() -> None:
    assert len(CASES) >= 150
    assert len({(case.name, case.qtype) for case in CASES}) == len(CASES)


def test_differences_are_differences() -> None:
    for case in CASES:
        for peer, (outcome, _) in case.peers.items():
            assert peer in KINDS
            assert outcome not in case.outcomes or len(case.outcomes) > 1, f"{case}: no difference to {peer}"
