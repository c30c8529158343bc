"""Sets of the kernel and marks of connections, by dnsmasq and by pydnsmasq.

Each program has a network namespace of its own, alike in its sets and rules, with
its upstream server and its clients in it.  The mark of a client's connection goes
with the loopback address that it asks.
"""

from __future__ import annotations

import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pytest

import pydnsmasq as p
from dnswire import DnsMessage
from harness import (
    OURS_KIND,
    REAL,
    START_SECONDS,
    Daemon,
    MockUpstream,
    ask,
    free_port,
    need,
    need_tool,
    run_program,
    wait_until,
)
from netkit import Namespaces, NetDaemon, inside

KINDS = ("real", "ours")
OURS = OURS_KIND == "ours"
UPSTREAM, ANSWERED = "127.0.1.1", 8.0
END_OF_LOG = "query[TXT] cachesize.bind"
MARKS = (0, 5, 6, 7, 0x10, 0x15, 0x20, 0x30, 0x40, 0x50, 0x80, 0x110, 0x100, 0x80000007)
# Marks by the address that is asked; what goes to the upstream server is noted with its mark.
MARKING = """
table inet marks {
 set seen { type inet_proto . mark; size 100; flags dynamic; }
 chain early {
  type filter hook output priority -300;
  ip daddr 127.0.3.1 notrack
  ip saddr 127.0.3.1 notrack
 }
 chain out {
  type filter hook output priority -150;
  meta l4proto { tcp, udp } th dport 53 ct mark set ip daddr map { V4 }
  meta l4proto { tcp, udp } th dport 53 ct mark set ip6 daddr map { V6 }
  ip daddr 192.0.2.53 ct mark set 5
  ip daddr 127.0.1.1 th dport 5300 add @seen { meta l4proto . meta mark }
 }
}
table ip nat {
 chain out {
  type nat hook output priority -100;
  ip daddr 192.0.2.53 redirect
 }
}
"""


def address_of(mark: int, six: bool = False) -> str:
    """The address of the server that gives a client's connection this mark."""
    number = MARKS.index(mark) + 1
    return f"::1:{number}" if six else f"127.0.2.{number}"


# -- the worlds ------------------------------------------------------------------------


for word, six in (("V4", False), ("V6", True)):
    MARKING = MARKING.replace(word, ", ".join(f"{address_of(mark, six)} : {mark}" for mark in MARKS))


class World(Namespaces):
    """A namespace with sets and rules for one of the programs, and its upstream server."""

    def __init__(self, directory: pathlib.Path, kind: str) -> None:
        super().__init__(directory, f"nf-{kind}")
        self.kind = kind
        self.name = self.names[0]
        self.lines = 0  # of the daemon's log, read so far

    def connect(self) -> None:
        for number in range(1, len(MARKS) + 1):
            self.ip(self.name, f"addr add ::1:{number}/128 dev lo nodad")
            self.ip(self.name, f"addr add 127.0.2.{number}/32 dev lo")
        self.ip(self.name, "route add 192.0.2.0/24 dev lo src 127.0.0.1")

    def do(self, *words: str, text: str | None = None) -> str:
        """Run a program here; a kernel that cannot do it skips the test."""
        done = subprocess.run(
            ["ip", "netns", "exec", self.name, *words], input=text, capture_output=True, text=True, check=False
        )
        need(not done.returncode, f"{words[0]} {' '.join(words[1:])} ({done.stderr.strip()})")
        return done.stdout

    def nft(self, text: str) -> None:
        self.do("nft", "-f", "-", text=text)

    def clear(self) -> None:
        """The sets as they are at first; those of nftables are new ones."""
        self.nft(f"flush ruleset\n{RULESET}{MARKING}")
        self.run(self.name, "ipset", "destroy")
        self.do("ipset", "restore", text="".join(f"create {line}\n" for line in IPSETS.strip().splitlines()))

    def run_daemon(self, conf: str, upstream: MockUpstream | None = None, ready: bool = True, **more: Any) -> Daemon:
        server = f"server={upstream.address}\n" if upstream else ""
        daemon = self.start(
            f"no-resolv\nno-hosts\nlog-queries=extra\n{server}{conf}", kind=self.kind, ready=False, **more
        )
        self.lines = 0
        if ready:
            wait_until(lambda: self.ask("version.bind TXT CH", seconds=1.0), 15, f"an answer of {self.kind}")
            self.new_lines()
        return daemon

    def upstream(self, zone: str, port: int = 5300) -> MockUpstream:
        with inside(self.name):
            return MockUpstream(zone, UPSTREAM, port).start()

    def ask(self, question: str, seconds: float = ANSWERED, **more: Any) -> DnsMessage | None:
        """Ask `name [type] [class] [tcp] [edns] [do] [flag] [mark=number] [mark6=number]`."""
        name, *words = question.split()
        asked: dict[str, Any] = {"qtype": "A", "klass": "IN", "flags": "RD"}
        for word in words:
            key, equals, value = word.partition("=")
            if equals:
                more["host"] = address_of(int(value, 0), key == "mark6")
            elif word in ("tcp", "do"):
                more[word] = True
            elif word == "edns":
                more["edns"] = 1232
            elif word in ("AD", "CD"):
                asked["flags"] += f" {word}"
            else:
                asked["klass" if word == "CH" else "qtype"] = word
        with inside(self.name):
            return ask(53, name, **asked, **more, seconds=seconds)

    def new_lines(self, wanted: str = "") -> list[str]:
        """What the daemon has logged since the last look, without time and process; it may come a little late."""
        daemon = self.daemons[-1]
        count = daemon.log().count(END_OF_LOG)
        self.ask("cachesize.bind TXT CH")
        wait_until(lambda: daemon.log().count(END_OF_LOG) > count, what="the end of the log")
        lines = daemon.log().splitlines()
        fresh, self.lines = [line.partition("]: ")[2] for line in lines[self.lines :]], len(lines)
        # Without its number and client a line is a bare one.
        fresh = [re.sub(r"^bare: \d+ [\w.:]+/\d+ ", "", f"bare: {line}") for line in fresh]
        return [line for line in fresh if re.search(wanted, line)]

    def reload(self) -> None:
        """Let the daemon forget what it knows."""
        daemon = self.daemons[-1]
        count = daemon.log().count("cleared cache")
        daemon.signal(signal.SIGHUP)
        daemon.wait_log("cleared cache", count=count + 1)

    def seen(self) -> set[str]:
        """The protocols and marks of what went to the upstream server, which are forgotten then."""
        shown = json.loads(self.do("nft", "-j", "list", "set", "inet", "marks", "seen"))["nftables"][-1]["set"]
        self.do("nft", "flush", "set", "inet", "marks", "seen")
        return {element(item) for item in shown.get("elem", [])}

    def quit(self) -> None:
        """End the daemon."""
        self.daemons.pop().stop()


@dataclass
class Twins:
    """Both worlds; what is done is done in both."""

    worlds: tuple[World, World]
    upstreams: list[MockUpstream] = field(default_factory=list)
    conf: str = ""  # of the daemons

    def each(self, action: Callable[[World], Any]) -> tuple[Any, Any]:
        return action(self.worlds[0]), action(self.worlds[1])

    def start(self, conf: str, zone: str = "", **more: Any) -> None:
        """Start both with an empty rule set and the sets."""
        self.stop()
        self.conf = conf
        self.each(World.clear)
        for world in self.worlds:
            upstream = world.upstream(zone) if zone else None
            self.upstreams += [upstream] if upstream else []
            world.run_daemon(conf, upstream, **more)

    def stop(self) -> None:
        self.conf = ""
        for world in self.worlds:
            while world.daemons:
                world.quit()
        for upstream in self.upstreams:
            upstream.stop()
        self.upstreams.clear()


def make_twins(directory: Callable[[str], pathlib.Path]) -> Iterator[Twins]:
    need(REAL, "dnsmasq")
    need(os.geteuid() == 0, "root")
    need_tool("ip", "nft", "ipset")
    made = Twins((World(directory("real"), "real"), World(directory("ours"), "ours")))
    try:
        made.each(lambda world: world.setup())
        yield made
    finally:
        made.stop()
        made.each(lambda world: world.close())


@pytest.fixture(scope="module")
def twins(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Twins]:
    yield from make_twins(tmp_path_factory.mktemp)


# -- the sets --------------------------------------------------------------------------

IPSETS = """
h hash:ip
h6 hash:ip family inet6
net hash:net
net6 hash:net family inet6
timed hash:ip timeout 100
bits bitmap:ip range 10.0.0.0/24
small hash:ip maxelem 2
ports hash:ip,port
list list:set
deep hash:ip
every hash:ip
"""
RULESET = """
table inet fw4 {
 set v4 { type ipv4_addr; }
 set v6 { type ipv6_addr; }
 set s_deep { type ipv4_addr; }
 set range4 { type ipv4_addr; flags interval; elements = { 10.9.0.0/16 } }
 set range6 { type ipv6_addr; flags interval; }
 set merged { type ipv4_addr; flags interval; auto-merge; elements = { 10.8.0.0/30 } }
 set s_timed { type ipv4_addr; flags timeout; timeout 100s; }
 set s_timed_range { type ipv4_addr; flags interval, timeout; timeout 100s; }
 set s_dynamic { type ipv4_addr; flags dynamic, timeout; timeout 100s; }
 set counted { type ipv4_addr; counter; }
 set s_small { type ipv4_addr; size 2; }
 set s_fixed { type ipv4_addr; flags constant; elements = { 1.2.3.4 } }
 set s_pair { type ipv4_addr . inet_service; }
 set s_port { type inet_service; }
 map s_marks { type ipv4_addr : mark; }
 set s_every { type ipv4_addr; }
}
table ip four {
 set s { type ipv4_addr; }
}
table ip6 six {
 set s { type ipv6_addr; }
}
table bridge br {
 set s { type ipv4_addr; }
}
table arp ar {
 set s { type ipv4_addr; }
}
table netdev nd {
 set s { type ipv4_addr; }
}
"""


def element(item: Any) -> str:
    """An element as nft's JSON has it, as text; with a star when its time runs out."""
    if isinstance(item, str):
        return item
    if "elem" in item:
        return element(item["elem"]["val"]) + ("*" if 0 < item["elem"].get("expires", 0) <= 100 else "")
    if "prefix" in item:
        return f"{item['prefix']['addr']}/{item['prefix']['len']}"
    low, high = item["range"] if "range" in item else item["concat"]
    return f"{low}-{high}"


def contents(world: World) -> dict[str, set[str]]:
    """What is in the sets that are not empty: `name` of ipset, `@name` of fw4, `family.table.name`."""
    found: dict[str, set[str]] = {}
    for line in world.do("ipset", "save").splitlines():
        word, name, item, *more = line.split()
        if word == "add":
            timed = more[:1] == ["timeout"] and 0 < int(more[1]) <= 100
            found.setdefault(name, set()).add(item + "*" * timed)
    for entry in json.loads(world.do("nft", "-j", "list", "sets"))["nftables"]:
        one = entry.get("set", {})
        if one.get("elem") and one["table"] != "marks":
            name = f"{one['family']}.{one['table']}.{one['name']}".replace("inet.fw4.", "@")
            found[name] = {element(item) for item in one["elem"]}
    return found


# Questions of the table below and their answers.
SETS_CONF = """
ipset=/h.test/h
ipset=/Family.test/h,h6,net,net6
ipset=/timed.test/timed
ipset=/bits.test/bits
ipset=/small.test/small
ipset=/wrong.test/ports,list,h
ipset=/deep.h.test/deep
ipset=/twice.test/h
ipset=/twice.test/net
ipset=/several.test/.dots.test./h, net
ipset=/*.star.test/h
ipset=/#/every
nftset=/v4.test/4#inet#fw4#v4
nftset=/both.test/4#inet#fw4#v4,6#inet#fw4#v6
nftset=/deep.v4.test/4#inet#fw4#s_deep
nftset=/range.test/4#inet#fw4#range4,6#inet#fw4#range6
nftset=/merged.test/4#inet#fw4#merged
nftset=/timed.nft.test/4#inet#fw4#s_timed,4#inet#fw4#s_timed_range,4#inet#fw4#s_dynamic
nftset=/counted.test/4#inet#fw4#counted
nftset=/few.test/4#inet#fw4#s_small
nftset=/families.test/4#four#s,4#ip#four#s,6#ip6#six#s,4#bridge#br#s,4#arp#ar#s,4#netdev#nd#s
nftset=/fixed.test/4#inet#fw4#s_fixed
nftset=/pair.test/4#inet#fw4#s_pair
nftset=/port.test/4#inet#fw4#s_port
nftset=/map.test/4#inet#fw4#s_marks
nftset=/nowhere.test/4#inet#fw4#nosuch,4#inet#nosuch#v4,4#inet#fw4#v4
nftset=/anyfamily.test/inet#fw4#v4,inet#fw4#v6
nftset=/h.test/4#inet#fw4#v4
nftset=/#/4#inet#fw4#s_every
address=/config.h.test/10.1.1.1
host-record=record.h.test,10.1.1.2
alias=10.66.0.0,10.67.0.0,255.255.0.0
bogus-nxdomain=10.1.2.3
ignore-address=10.1.2.4
filter-rr=MX
"""
SETS_ZONE = """
one.h.test 300 A 10.0.0.1
two.h.test 300 A 10.0.0.2
two.h.test 300 A 10.0.0.3
sub.deep.h.test 300 A 10.0.0.4
deep.h.test 300 A 10.0.0.5
h.test 300 A 10.0.0.6
oh.test 300 A 10.0.0.7
Upper.H.test 300 A 10.0.0.8
alias.h.test 300 CNAME target.v4.test
target.v4.test 300 A 10.0.0.9
alias.other.test 300 CNAME one.h.test
one.h.test 300 AAAA fd00::1
aliased.h.test 300 A 10.66.0.1
bogus.h.test 300 A 10.1.2.3
ignored.h.test 300 A 10.1.2.4
zero.h.test 0 A 10.0.0.10
mail.h.test 300 MX 5 one.h.test
short.h.test 1 A 10.0.0.11
tcp.h.test 300 A 10.0.0.12
family.test 300 A 10.0.0.20
family.test 300 AAAA fd00::20
timed.test 300 A 10.0.0.21
bits.test 300 A 10.0.0.22
bits.test 300 A 10.5.0.22
small.test 300 A 10.0.0.23
small.test 300 A 10.0.0.24
small.test 300 A 10.0.0.25
wrong.test 300 A 10.0.0.26
twice.test 300 A 10.0.0.27
several.test 300 A 10.0.0.28
x.dots.test 300 A 10.0.0.29
x.star.test 300 A 10.0.0.30
any.other.test 300 A 10.0.0.31
v4.test 300 A 10.0.1.1
v4.test 300 AAAA fd00::1:1
both.test 300 A 10.0.1.2
both.test 300 AAAA fd00::1:2
x.deep.v4.test 300 A 10.0.1.3
range.test 300 A 10.0.1.4
range.test 300 A 10.0.1.5
range.test 300 AAAA fd00::1:4
in.range.test 300 A 10.9.5.5
mixed.range.test 300 A 10.0.1.6
mixed.range.test 300 A 10.9.5.6
mixed.range.test 300 A 10.0.1.7
edge.range.test 300 A 255.255.255.255
edge.range.test 300 A 10.10.0.0
edge.range.test 300 A 10.8.255.255
edge.range.test 300 AAAA ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff
in.merged.test 300 A 10.8.0.1
out.merged.test 300 A 10.8.0.9
timed.nft.test 300 A 10.0.1.10
counted.test 300 A 10.0.1.11
few.test 300 A 10.0.1.12
two.few.test 300 A 10.0.1.13
two.few.test 300 A 10.0.1.14
families.test 300 A 10.0.1.15
families.test 300 AAAA fd00::1:15
fixed.test 300 A 10.0.1.16
pair.test 300 A 10.0.1.17
port.test 300 A 10.0.1.18
map.test 300 A 10.0.1.19
nowhere.test 300 A 10.0.1.20
anyfamily.test 300 A 10.0.1.21
anyfamily.test 300 AAAA fd00::1:21
"""
# A question, and what the sets have then that they had not at the start.
CASES = """
one.h.test; one.h.test -> h=10.0.0.1 @v4=10.0.0.1
two.h.test; one.h.test AAAA -> h=10.0.0.2,10.0.0.3 @v4=10.0.0.2,10.0.0.3
two.h.test tcp -> h=10.0.0.2,10.0.0.3 @v4=10.0.0.2,10.0.0.3
tcp.h.test tcp; tcp.h.test -> h=10.0.0.12 @v4=10.0.0.12
sub.deep.h.test; deep.h.test; h.test; oh.test -> h=10.0.0.6 deep=10.0.0.4,10.0.0.5 every=10.0.0.7 \
    @v4=10.0.0.4,10.0.0.5,10.0.0.6 @s_every=10.0.0.7
UPPER.h.TEST -> h=10.0.0.8 @v4=10.0.0.8
alias.h.test -> h=10.0.0.9 @v4=10.0.0.9
alias.other.test -> every=10.0.0.1 @s_every=10.0.0.1
one.h.test ANY ->
mail.h.test MX ->
aliased.h.test -> h=10.67.0.1 @v4=10.67.0.1
bogus.h.test ->
ignored.h.test ->
config.h.test; record.h.test ->
zero.h.test; zero.h.test -> h=10.0.0.10 @v4=10.0.0.10
one.h.test CD; two.h.test do -> h=10.0.0.1,10.0.0.2,10.0.0.3 @v4=10.0.0.1,10.0.0.2,10.0.0.3
family.test; family.test AAAA -> h=10.0.0.20 h6=fd00::20 net=10.0.0.20 net6=fd00::20 @s_every=10.0.0.20
timed.test -> timed=10.0.0.21* @s_every=10.0.0.21
bits.test -> bits=10.0.0.22 @s_every=10.0.0.22,10.5.0.22
small.test -> small=10.0.0.23,10.0.0.24 @s_every=10.0.0.23,10.0.0.24,10.0.0.25
wrong.test -> h=10.0.0.26 @s_every=10.0.0.26
twice.test -> h=10.0.0.27 @s_every=10.0.0.27
several.test; x.dots.test -> h=10.0.0.28,10.0.0.29 net=10.0.0.28,10.0.0.29 @s_every=10.0.0.28,10.0.0.29
x.star.test -> every=10.0.0.30 @s_every=10.0.0.30
any.other.test -> every=10.0.0.31 @s_every=10.0.0.31
v4.test; v4.test AAAA -> every=10.0.1.1 @v4=10.0.1.1
both.test; both.test AAAA -> every=10.0.1.2 @v4=10.0.1.2 @v6=fd00::1:2
both.test tcp; both.test AAAA tcp -> every=10.0.1.2 @v4=10.0.1.2 @v6=fd00::1:2
x.deep.v4.test -> every=10.0.1.3 @s_deep=10.0.1.3
range.test; range.test AAAA -> every=10.0.1.4,10.0.1.5 @range4=10.0.1.4,10.0.1.5 @range6=fd00::1:4
in.range.test -> every=10.9.5.5
mixed.range.test -> every=10.0.1.6,10.0.1.7,10.9.5.6 @range4=10.0.1.6,10.0.1.7
edge.range.test; edge.range.test AAAA -> every=10.10.0.0,10.8.255.255,255.255.255.255 \
    @range4=10.10.0.0,10.8.255.255,255.255.255.255 @range6=ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff
in.merged.test; out.merged.test -> every=10.8.0.1,10.8.0.9 @merged=10.8.0.9
timed.nft.test -> every=10.0.1.10 @s_dynamic=10.0.1.10* @s_timed=10.0.1.10* @s_timed_range=10.0.1.10*
counted.test -> every=10.0.1.11 @counted=10.0.1.11
few.test; two.few.test -> every=10.0.1.12,10.0.1.13,10.0.1.14 @s_small=10.0.1.12,10.0.1.13
families.test; families.test AAAA -> every=10.0.1.15 ip.four.s=10.0.1.15 ip6.six.s=fd00::1:15 \
    bridge.br.s=10.0.1.15 arp.ar.s=10.0.1.15 netdev.nd.s=10.0.1.15
fixed.test -> every=10.0.1.16
pair.test -> every=10.0.1.17
port.test -> every=10.0.1.18
map.test -> every=10.0.1.19
nowhere.test -> every=10.0.1.20 @v4=10.0.1.20
anyfamily.test; anyfamily.test AAAA -> every=10.0.1.21 @v4=10.0.1.21 @v6=fd00::1:21
"""
# Lines of the log that only dnsmasq has (-), or we (+), and why.
LOG_DIFFERENCES = {
    "bits.test": ("-ipset add bits 10.5.0.22 bits.test", "it is not in the set"),
    "small.test": ("-ipset add small 10.0.0.25 small.test", "it is not in the set"),
    "in.range.test": ("+nftset add 4 inet fw4 range4 10.9.5.5 range.test", "it is in the set, as part of an interval"),
    "mixed.range.test": ("+nftset add 4 inet fw4 range4 10.9.5.6 range.test", "as before"),
    "families.test; families.test AAAA": (
        "-nftset add 4 four s 10.0.1.15 families.test; +nftset add 4 ip four s 10.0.1.15 families.test",
        "the family that nft takes for granted is told",
    ),
}


def cases() -> list[tuple[str, dict[str, set[str]]]]:
    found = []
    for line in CASES.replace("\\\n", "").strip().splitlines():
        questions, _, sets = line.partition(" ->")
        pairs = [item.split("=") for item in sets.split()]
        found.append((questions, {name: set(items.split(",")) for name, items in pairs}))
    return found


@pytest.fixture
def served(twins: Twins) -> Twins:
    """Both with the sets of the table as they are at first, and empty caches."""
    if twins.conf != SETS_CONF:
        twins.start(SETS_CONF, SETS_ZONE)
    else:
        twins.each(World.clear)
        twins.each(World.reload)
    twins.each(World.new_lines)
    return twins


@pytest.mark.parametrize(("questions", "wanted"), cases())
def test_what_is_in_the_sets(served: Twins, questions: str, wanted: dict[str, set[str]]) -> None:
    """What questions leave in the sets, and the log says of them; in which order it says so is free."""
    there = contents(served.worlds[0])
    for name in wanted:
        wanted[name] |= there.get(name, set())
    lines: list[Counter[str]] = []
    for world in served.worlds:
        for question in questions.split("; "):
            world.ask(question, seconds=0.3 if question == "ignored.h.test" else ANSWERED)
        assert contents(world) == {**there, **wanted}, world.kind
        lines.append(Counter(world.new_lines("(ipset|nftset) add ")))
    differences = LOG_DIFFERENCES.get(questions, ("", ""))[0] if OURS else ""
    missing = Counter(item[1:] for item in differences.split("; ") if item.startswith("-"))
    extra = Counter(item[1:] for item in differences.split("; ") if item.startswith("+"))
    assert lines[0] - lines[1] == missing and lines[1] - lines[0] == extra


# What both say when an address cannot be added; ours once in a while, and in other words where they are given.
ERRORS = [
    ("nowhere.test", "nftset inet fw4 nosuch Error: No such file or directory", ""),
    ("nowhere.test", "nftset inet nosuch v4 Error: No such file or directory", ""),
    ("few.test; two.few.test", "nftset inet fw4 s_small Error: Could not process rule: Too many open files in system",
     "nftset inet fw4 s_small Error: the set is full"),
    ("map.test", "nftset inet fw4 s_marks Error: Could not process rule: Invalid argument",
     "nftset inet fw4 s_marks Error: Invalid argument"),
    ("pair.test", "nftset inet fw4 s_pair Error: invalid data type, expected concatenation of",
     "nftset inet fw4 s_pair Error: its elements are no addresses"),
    ("port.test", "nftset inet fw4 s_port Error: Could not resolve service",
     "nftset inet fw4 s_port Error: its elements are no addresses"),
    ("small.test", "", "ipset small Error: the set is full"),
]  # fmt: skip


def test_what_cannot_be_added(served: Twins) -> None:
    served.start(SETS_CONF, SETS_ZONE)  # what was said once is not said again
    for world in served.worlds:
        questions = {question for row in ERRORS for question in row[0].split("; ")}
        for question in sorted(questions):
            world.ask(question)
        lines = world.new_lines("Error: ")
        for _, real, ours in ERRORS:
            wanted = real if world.kind == "real" or not OURS else ours or real
            assert not wanted or [line.startswith(f"bare: {wanted}") for line in lines].count(True) == 1, wanted


def test_a_set_that_comes_later(served: Twins) -> None:
    """What is missing is told at each answer by dnsmasq, once by us; when it is there it is used."""
    served.start(
        "nftset=/late.test/4#inet#fw4#late\nipset=/late.test/late\n",
        "".join(f"n{number}.late.test 300 A 10.2.0.{number}\n" for number in range(8)),
    )
    for world in served.worlds:
        for number in range(5):
            world.ask(f"n{number}.late.test")
        told = len(world.new_lines("^bare: nftset inet fw4 late Error: No such file"))
        assert told == (1 if world.kind == "ours" and OURS else 5)
        world.nft("add set inet fw4 late { type ipv4_addr; }")
        world.do("ipset", "create", "late", "hash:ip")
        world.ask("n5.late.test")
        assert contents(world)["@late"] == contents(world)["late"] == {"10.2.0.5"}


def test_a_set_that_is_made_anew_as_another_kind(served: Twins) -> None:
    """A firewall's reload: the new set holds intervals, then a set of the other family, then none."""
    served.start(
        "nftset=/v4.test/inet#fw4#v4\n",
        "".join(
            f"n{number}.v4.test 300 {kind} {address}{number}\n"
            for number in range(1, 8)
            for kind, address in (("A", "10.2.0."), ("AAAA", "fd00::"))
        ),
    )
    for world in served.worlds:
        world.ask("n1.v4.test")
        for kind, number, record, wanted in (
            ("ipv4_addr; flags interval", 2, "A", {"10.2.0.2"}),
            ("ipv6_addr", 3, "AAAA", {"fd00::3"}),
            ("ipv6_addr; flags interval", 4, "AAAA", {"fd00::4"}),
            ("ipv4_addr", 5, "A", {"10.2.0.5"}),
        ):
            world.nft(f"delete set inet fw4 v4\nadd set inet fw4 v4 {{ type {kind}; }}")
            world.ask(f"n{number}.v4.test {record}")
            assert contents(world).get("@v4") == wanted, (world.kind, kind)


def test_1000_addresses(served: Twins) -> None:
    """100 answers of ten addresses each, for a plain set, a set of intervals and an ipset."""
    zone = "".join(f"n{number // 10}.many.test 300 A 10.3.{number // 250}.{number % 250}\n" for number in range(1000))
    served.start("nftset=/many.test/4#inet#fw4#v4,4#inet#fw4#range4\nipset=/many.test/h\n", zone)
    world = served.worlds[1]
    for number in range(100):
        reply = world.ask(f"n{number}.many.test{'' if number % 10 else ' tcp'}")
        assert reply is not None and len(reply.answer) == 10
    found = contents(world)
    assert found["@v4"] == found["h"] == found["@range4"] - {"10.9.0.0/16"}
    assert found["h"] == {f"10.3.{number // 250}.{number % 250}" for number in range(1000)}


def children(pid: int) -> list[int]:
    """The processes whose parent this one is."""
    found = subprocess.run(["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, text=True, check=False)
    return [int(word) for word in found.stdout.split()]


def test_the_set_is_filled_before_the_answer_leaves(served: Twins) -> None:
    """The order of what the program tells the kernel."""
    need_tool("strace")
    for world in served.worlds:
        output = world.directory / f"strace-{world.kind}"
        daemon = world.daemons[-1]
        words = f"ip netns exec {world.name} strace -f -s 1000 -e trace=network -o {output}".split()
        for pid in (daemon.pid, *children(daemon.pid)):
            words += ["-p", str(pid)]
        tracer = subprocess.Popen(words, stderr=subprocess.PIPE, text=True)
        assert tracer.stderr is not None
        try:
            for _ in range(words.count("-p")):
                assert "attached" in tracer.stderr.readline()
            world.ask("one.h.test")
        finally:
            tracer.send_signal(signal.SIGINT)
            tracer.wait(10)
            tracer.stderr.close()
        order = [
            what
            for line in output.read_text().splitlines()
            for what, pattern in (
                ("question", r"recv\w+\(.*\\3one\\1h\\4test"),
                ("ipset", r"send\w*\(.*IPSET_CMD_ADD"),
                ("nft", r"send\w*\(.*NFT_MSG_NEWSETELEM"),
                ("answer", r"send\w*\(.*\\201\\200\\0\\1\\0\\1.*\\3one\\1h\\4test"),
            )
            if re.search(pattern, line)
        ]
        assert [what for what in order if what != "question"] == ["ipset", "nft", "answer"], (world.kind, order)


# -- marks of connections --------------------------------------------------------------

MARK_ZONE = """
a.test 300 A 10.0.0.1
b.test 300 A 10.0.0.2
c.test 300 A 10.0.0.3
a.ok.test 300 A 10.0.0.4
x.y.ok.test 300 A 10.0.0.5
b.bad.test 300 A 10.0.0.6
alias.ok.test 300 CNAME b.bad.test
alias.bad.test 300 CNAME a.ok.test
text.ok.test 300 TXT "text"
1.0.0.10.in-addr.arpa 300 PTR a.ok.test
"""
# Questions, and what goes to the upstream server with which marks.
MARKED = """
a.test mark=5 -> udp-5
a.test tcp mark=5 -> tcp-5
a.test mark6=6 -> udp-6
a.test tcp mark6=6 -> tcp-6
a.test mark=0x80000007 -> udp-2147483655
a.test tcp mark=0x80000007 -> tcp-2147483655
a.test mark=0 -> udp-0
a.test tcp mark=0 -> tcp-0
a.test -> udp-0
a.test mark=5; a.test mark=6; a.test tcp mark=7 -> udp-5
a.test mark=5; b.test mark=6; c.test -> udp-0 udp-5 udp-6
nosuch.test AAAA mark=5 -> udp-5
"""


def marked() -> list[tuple[str, set[str]]]:
    pairs = [line.split(" -> ") for line in MARKED.strip().splitlines()]
    return [(questions, set(marks.split())) for questions, marks in pairs]


def serve(twins: Twins, conf: str) -> None:
    """Start both with these lines, or empty their caches."""
    if twins.conf != conf:
        twins.start(conf, MARK_ZONE)
    else:
        twins.each(World.reload)
    twins.each(World.seen)
    twins.each(World.new_lines)


@pytest.mark.parametrize(("questions", "wanted"), marked())
def test_marks_are_carried_to_the_upstream_server(twins: Twins, questions: str, wanted: set[str]) -> None:
    serve(twins, "conntrack\n")
    for world in twins.worlds:
        for question in questions.split("; "):
            assert world.ask(question) is not None
        assert world.seen() == wanted, world.kind
        assert world.new_lines("ark") == []


def test_connections_that_are_not_tracked(twins: Twins) -> None:
    """They have no mark, which dnsmasq tells once."""
    serve(twins, "conntrack\nconnmark-allowlist-enable\n")
    for world in twins.worlds:
        for name in ("a", "b"):
            reply = world.ask(f"{name}.test", host="127.0.3.1")
            assert reply is not None and reply.rcode == "NOERROR"
        assert world.seen() == {"udp-0"}


def test_connections_that_were_redirected(twins: Twins) -> None:
    """A client that asked another server has its mark for us, while dnsmasq does not find the connection."""
    serve(twins, "conntrack\nconnmark-allowlist-enable\nconnmark-allowlist=5,*.ok.test\n")
    for world in twins.worlds:
        ours = world.kind == "ours" and OURS
        reply = world.ask("a.ok.test", host="192.0.2.53")
        assert reply is not None and reply.rcode == "NOERROR"
        assert world.seen() == {"udp-5" if ours else "udp-0"}
        reply = world.ask("b.bad.test", host="192.0.2.53")
        assert reply is not None and reply.rcode == ("REFUSED" if ours else "NOERROR")


ALLOW_CONF = """
connmark-allowlist-enable
connmark-allowlist=5,*.ok.test/lit.a.test/*x*.b.test/w*w.c.test/*.*.d.test/a.*.e.test/a*.f.test/localhost.test
connmark-allowlist=6
connmark-allowlist=7,*
host-record=own.ok.test,own.bad.test,10.5.5.5
address=/a.test/b.test/c.test/d.test/e.test/f.test/1.1.1.1
"""
MASK_CONF = """
connmark-allowlist-enable=240
connmark-allowlist=16/240,*.ok.test
connmark-allowlist=32/32,*.bad.test
connmark-allowlist=64/64,*
"""
ALLOWED = """
a.ok.test mark=5 -> NOERROR
a.ok.test AAAA mark=5 -> NOERROR
A.OK.Test mark=5 -> NOERROR
nosuch.ok.test mark=5 -> NXDOMAIN
ok.test mark=5 -> REFUSED
x.y.ok.test mark=5 -> REFUSED
b.bad.test mark=5 -> REFUSED
b.bad.test mark=5 edns -> REFUSED
b.bad.test mark=5 do -> REFUSED
b.bad.test mark=5 AD -> REFUSED
b.bad.test mark=5 CD -> REFUSED
b.bad.test mark6=5 -> REFUSED
a.ok.test mark6=5 -> NOERROR
b.bad.test mark=5 tcp -> REFUSED
b.bad.test mark=5 tcp edns -> REFUSED
a.ok.test mark=5 tcp -> NOERROR
a.ok.test mark6=5 tcp -> NOERROR
b.bad.test mark6=5 tcp -> REFUSED
alias.ok.test mark=5 -> NOERROR
alias.bad.test mark=5 -> REFUSED
1.0.0.10.in-addr.arpa PTR mark=5 -> REFUSED
text.ok.test TXT mark=5 -> NOERROR
text.bad.test TXT mark=5 -> REFUSED
a.bad.test ANY mark=5 -> REFUSED
own.ok.test mark=5 -> NOERROR
own.bad.test mark=5 -> REFUSED
. NS mark=5 -> REFUSED
version.bind TXT CH mark=5 -> REFUSED
a_b.ok.test mark=5 -> REFUSED
-a.ok.test mark=5 -> REFUSED
a-.ok.test mark=5 -> REFUSED
single mark=5 -> REFUSED
a.ok.1 mark=5 -> REFUSED
a.local mark=5 -> REFUSED
*.ok.test mark=5 -> REFUSED
lit.a.test mark=5 -> NOERROR
x.lit.a.test mark=5 -> REFUSED
x.b.test mark=5 -> NOERROR
axb.b.test mark=5 -> NOERROR
axbxc.b.test mark=5 -> NOERROR
b.b.test mark=5 -> REFUSED
x.y.b.test mark=5 -> REFUSED
ww.c.test mark=5 -> NOERROR
wow.c.test mark=5 -> NOERROR
w.c.test mark=5 -> REFUSED
x.d.test mark=5 -> REFUSED
x.y.d.test mark=5 -> NOERROR
x.y.z.d.test mark=5 -> REFUSED
a.b.e.test mark=5 -> NOERROR
a.e.test mark=5 -> REFUSED
a.b.c.e.test mark=5 -> REFUSED
a.f.test mark=5 -> NOERROR
ab.f.test mark=5 -> NOERROR
ba.f.test mark=5 -> REFUSED
a.ok.test mark=6 -> REFUSED
a.ok.test mark=16 -> REFUSED
own.ok.test mark=16 -> REFUSED
b.bad.test mark=7 -> NOERROR
a_b.a.test mark=7 -> NOERROR
b.bad.test mark=0 -> NOERROR
b.bad.test -> NOERROR
"""
MASKED = """
a.ok.test mark=0; b.bad.test mark=0 -> NOERROR NOERROR
a.ok.test mark=5; b.bad.test mark=5 -> NOERROR NOERROR
a.ok.test mark=0x10; b.bad.test mark=0x10 -> NOERROR REFUSED
a.ok.test mark=0x15; b.bad.test mark=0x15 -> NOERROR REFUSED
a.ok.test mark=0x20; b.bad.test mark=0x20 -> REFUSED NOERROR
a.ok.test mark=0x30; b.bad.test mark=0x30 -> REFUSED NOERROR
a.ok.test mark=0x40; b.bad.test mark=0x40 -> NOERROR NOERROR
a.ok.test mark=0x50; b.bad.test mark=0x50 -> NOERROR NOERROR
a.ok.test mark=0x80; b.bad.test mark=0x80 -> REFUSED REFUSED
a.ok.test mark=0x110; b.bad.test mark=0x110 -> NOERROR REFUSED
a.ok.test mark=0x100; b.bad.test mark=0x100 -> NOERROR NOERROR
"""
WITHOUT_RULES = "a.ok.test mark=5; a.ok.test mark=0; a.ok.test -> REFUSED NOERROR NOERROR"
WITHOUT_FILTER = "a.ok.test mark=5; b.bad.test mark=5 -> NOERROR NOERROR"
LISTS = [
    *((ALLOW_CONF, line) for line in ALLOWED.strip().splitlines()),
    *((MASK_CONF, line) for line in MASKED.strip().splitlines()),
    ("connmark-allowlist-enable\n", WITHOUT_RULES),
    ("connmark-allowlist=5,*.ok.test\n", WITHOUT_FILTER),
]


@pytest.mark.parametrize(("conf", "line"), LISTS)
def test_what_a_mark_may_ask(twins: Twins, conf: str, line: str) -> None:
    """The whole answers, and what the log says of those that are refused."""
    serve(twins, conf)
    questions, _, codes = line.partition(" -> ")
    answers: tuple[list[bytes], list[bytes]] = ([], [])
    lines = []
    for world, found in zip(twins.worlds, answers, strict=True):
        for question, code in zip(questions.split("; "), codes.split(), strict=True):
            reply = world.ask(question, id=0x1234)
            assert reply is not None and reply.rcode == code, world.kind
            found.append(without_ttls(reply))
        said = world.new_lines("REFUSED")
        lines.append(said[:1] if " tcp" in questions else said)  # dnsmasq tells it twice
    assert answers[0] == answers[1]
    assert lines[0] == lines[1]
    assert len(lines[0]) == codes.count("REFUSED")


def without_ttls(reply: DnsMessage) -> bytes:
    """The packet of a refusal; of others, where a second may have gone by, only the kind."""
    return reply.raw if reply.rcode == "REFUSED" else repr((reply.rcode, sorted(reply.rdatas()))).encode()


# -- options ---------------------------------------------------------------------------

MANY = ".".join(["a" * 49] * 5)
OPTIONS = [
    *(f"ipset={value}" for value in """/x/s x /x //s /x/s, /x/s,,t /x/,s /#/s /x/y/z/s # /*.x/s
        /.x./s /x/-s""".split()),
    *(f"nftset={value}" for value in "/x/t#s /x/4#t#s /x/inet#t#s,6#inet#t#s /x/4#netdev#t#s /#/t#s".split()),
    *(f"connmark-allowlist-enable={value}" for value in "1 4294967295 0 0x10 4294967296 -1 x 5,6".split()),
    *(f"connmark-allowlist={value}" for value in """0,a.b 1 1,a.b 1/1,a.b 2/1,a.b 1/0,a.b 0x1,a.b 4294967296,a.b
        1/4294967296,a.b x,a.b 1/x,a.b 1/,a.b /1,a.b 4294967295,a.b""".split()),
    *(f"connmark-allowlist=1,{value}" for value in f"""* a a.b a.b/ /a.b a.b//c.d a.b/c.d *.b *.a.b **.a.b *x*.a.b
        *x*y*.a.b x*.a.b a.*.b.c a.* a.*b *.*.*.a.b a..b .a.b a.b. a_b.c _x.a.b -a.b a-.b ab-.c.d A.B xn--a.b
        1.2.3.4 a.1 a.b1 a.1b a.com x.local local x.localhost *.in-addr.arpa {'a' * 63}.b {'a' * 64}.b {MANY}.bb
        {MANY}aaaa.bb a.b,c.d # a#.b.c a.b/* */a.b ** ab.c-d a.-b *-a.b.c a*-.b.c a.b/a.b""".split()),
    "ipset", "ipset=", "ipset=/x/", "nftset", "nftset=", "nftset=/x/", "conntrack", "conntrack=1", "connmark-allowlist",
    "connmark-allowlist=", "connmark-allowlist-enable",
    "connmark-allowlist=1,a.b\nconnmark-allowlist=1,c.d", "connmark-allowlist=1,a.b\nconnmark-allowlist=1/3,c.d",
    "connmark-allowlist-enable\nconnmark-allowlist-enable=2",
]  # fmt: skip
# What dnsmasq takes and we refuse, as it can never work or is not what it looks like.
STRICTER = {"ipset=/x"}


@pytest.mark.parametrize("text", OPTIONS)
def test_which_values_are_taken(text: str, tmp_path: pathlib.Path) -> None:
    need(REAL, "dnsmasq")
    conf = tmp_path / "conf"
    conf.write_text(text + "\n")
    done = subprocess.run([str(REAL), "--test", "-C", str(conf)], capture_output=True, text=True, check=False)
    source = p.SystemSource()
    result = p.config_load(["-C", str(conf)], source)
    taken = result.config is not None and not result.problems and not p.config_check(result.config, source)
    assert taken == (not done.returncode and text not in STRICTER), (done.stderr, result.problems)


# -- rights ----------------------------------------------------------------------------


class Lesser(NetDaemon):
    """A daemon that a program starts which takes rights away."""

    before: tuple[str, ...] = ()

    def command(self) -> list[str]:
        words = super().command()
        return [*words[:4], *self.before, *words[4:]]


NOBODY = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")
PLAIN = (*NOBODY, "--inh-caps=+net_bind_service", "--ambient-caps=+net_bind_service")
AMBIENT = (*NOBODY, "--inh-caps=+net_bind_service,+net_admin", "--ambient-caps=+net_bind_service,+net_admin")
STARTS = {
    "root": ("root", ()),
    "root that becomes nobody": ("nobody", ()),
    "nobody with ambient rights": ("nobody", AMBIENT),
    "nobody without": ("nobody", PLAIN),
    "root without": ("nobody", ("setpriv", "--bounding-set=-net_admin")),
}
RIGHTS_CONF = """user=USER
pid-file=
no-resolv
no-hosts
log-facility=-
log-queries
"""
RIGHTS = {
    "ipset": ("ipset=/a.test/h\n", {"h": {"10.0.0.1"}}, "udp-0 tcp-0"),
    "nftset": ("nftset=/a.test/inet#fw4#v4,inet#fw4#range6\n", {"@v4": {"10.0.0.1"}}, "udp-0 tcp-0"),
    "conntrack": ("conntrack\n", {}, "udp-5 tcp-5"),
}


@pytest.fixture
def readable() -> Iterator[pathlib.Path]:
    """A directory that every account may read."""
    made = pathlib.Path(tempfile.mkdtemp(prefix="pydnsmasq-netfilter-"))
    made.chmod(0o755)
    yield made
    shutil.rmtree(made)


@pytest.mark.parametrize("start", STARTS)
@pytest.mark.parametrize("use", RIGHTS)
def test_rights(twins: Twins, readable: pathlib.Path, start: str, use: str) -> None:
    """Who serves, with what is left of root's rights; who cannot is told at the start."""
    need_tool("setpriv")
    user, before = STARTS[start]
    conf, sets, marks = RIGHTS[use]
    twins.stop()
    twins.each(World.clear)
    for world in twins.worlds:
        there = contents(world)
        upstream = world.upstream(MARK_ZONE)
        daemon = Lesser(readable / world.kind, RIGHTS_CONF.replace("USER", user) + conf, kind=world.kind, port=53,
                        defaults=False, args=["-S", upstream.address])  # fmt: skip
        daemon.namespace, daemon.before = world.name, before
        daemon.log_path = daemon.directory / "stderr"
        daemon.spawn()
        try:
            if "without" in start:
                assert daemon.process is not None and daemon.process.wait(START_SECONDS) == 5
                assert "process is missing required capability NET_ADMIN" in daemon.stderr()
                continue
            wait_until(partial(world.ask, "version.bind TXT CH", 0.5), START_SECONDS, "an answer")
            world.seen()
            assert identity(daemon.pid) == ({0} if user == "root" else {65534})
            for question in ("a.test mark=5", "x.a.test mark=5 tcp"):
                assert world.ask(question) is not None
            assert contents(world) == {**there, **sets} and world.seen() == set(marks.split())
            helpers = [pid for pid in children(daemon.pid) if identity(pid) == {0}]
            assert len(helpers) == (1 if start == "root that becomes nobody" and world.kind == "ours" and OURS else 0)
        finally:
            daemon.stop()
            upstream.stop()
        for pid in helpers:
            wait_until(partial(gone, pid), 5, "the helper's end")


def gone(pid: int) -> bool:
    """Tell whether a process has ended, though nobody may have asked yet how."""
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def identity(pid: int) -> set[int]:
    """The accounts of a process: real, effective, saved and that of files."""
    text = pathlib.Path(f"/proc/{pid}/status").read_text()
    return {int(word) for word in re.findall(r"^Uid:(.*)$", text, re.M)[0].split()}


@pytest.mark.skipif(not OURS, reason="dnsmasq keeps no right to read marks for this alone")
def test_the_filter_works_without_root(twins: Twins, readable: pathlib.Path) -> None:
    world = twins.worlds[1]
    twins.stop()
    world.clear()
    conf = RIGHTS_CONF.replace("USER", "nobody") + "address=/#/1.1.1.1\n" + ALLOW_CONF
    daemon = Lesser(readable / "ours", conf, port=53, defaults=False)
    daemon.namespace = world.name
    try:
        daemon.spawn()
        wait_until(lambda: world.ask("a.ok.test", 0.5), START_SECONDS, "an answer")
        for question, code in (("x.test mark=5", "REFUSED"), ("x.test mark=5 tcp", "REFUSED"), ("x.test", "NOERROR")):
            reply = world.ask(question)
            assert reply is not None and reply.rcode == code, question
    finally:
        daemon.stop()


@pytest.mark.skipif(not OURS, reason="about our helper")
def test_the_helper_that_stayed_root_ends(twins: Twins, readable: pathlib.Path) -> None:
    """Answers go on without the sets, and the log tells why once."""
    world = twins.worlds[1]
    twins.stop()
    world.clear()
    conf = RIGHTS_CONF.replace("USER", "nobody") + "address=/own.test/1.1.1.1\n" + RIGHTS["ipset"][0]
    upstream = world.upstream(MARK_ZONE.replace("a.test", "b.a.test"))
    daemon = Lesser(readable / "ours", conf, port=53, defaults=False, args=["-S", upstream.address])
    daemon.namespace, daemon.log_path = world.name, daemon.directory / "stderr"
    try:
        daemon.spawn()
        wait_until(partial(world.ask, "own.test", 0.5), START_SECONDS, "an answer")
        (helper,) = [pid for pid in children(daemon.pid) if identity(pid) == {0}]
        os.kill(helper, signal.SIGKILL)
        for number in range(6):
            reply = world.ask(f"b.a.test{' tcp' * (number % 2)}")
            assert reply is not None and reply.rdatas() == ["10.0.0.1"]
            count = daemon.log().count("cleared cache")
            daemon.signal(signal.SIGHUP)
            daemon.wait_log("cleared cache", count=count + 1)
        # At first the channel breaks, then it is broken.
        assert 1 <= len(re.findall("ipset h Error: ", daemon.log())) <= 2 and "Traceback" not in daemon.log()
    finally:
        daemon.stop()
        upstream.stop()


def test_conntrack_and_query_port(twins: Twins, tmp_path: pathlib.Path) -> None:
    """They do not go together, even when the port is any."""
    for kind in KINDS:
        for port in (0, 5555):
            conf = tmp_path / f"conf-{kind}-{port}"
            conf.write_text(f"conntrack\nquery-port={port}\nport={free_port()}\nno-resolv\npid-file=\n")
            done = run_program("-k", "-C", str(conf), kind=kind)
            assert done.returncode == 1
            assert re.search("cannot use --conntrack (and|AND) --query-port", done.stderr)
