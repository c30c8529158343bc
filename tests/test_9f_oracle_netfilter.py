"""Sets of the kernel and marks of connections, by dnsmasq and by pydnsmasq.

Each program has a network namespace of its own, alike in its sets and rules, with
its upstream server and its clients in it.  The mark of a client's connection goes
with the loopback address that it asks.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import pydnsmasq as p
import pytest

from dnswire import DnsMessage
from harness import OURS_KIND, REAL, Daemon, MockUpstream, ask, need, need_tool, program_command, wait_until
from netkit import Namespaces
from test_95_oracle_dhcp import list_differences

KINDS = ("real", "ours")
OURS = OURS_KIND == "ours"
NEWNET = 0x40000000  # CLONE_NEWNET of <linux/sched.h>
UPSTREAM, ANSWERED = "127.0.1.1", 8.0
MARKS = (0, 5, 6, 7, 0x10, 0x15, 0x20, 0x30, 0x40, 0x50, 0x80, 0x110, 0x100, 0x80000007)


def address_of(mark: int, six: bool = False) -> str:
    """The address of the server that gives a client's connection this mark."""
    number = MARKS.index(mark) + 1
    return f"::1:{number}" if six else f"127.0.2.{number}"


# -- the worlds ------------------------------------------------------------------------


@contextlib.contextmanager
def inside(namespace: str) -> Iterator[None]:
    """This thread's new sockets are in a network namespace."""
    libc = ctypes.CDLL(None, use_errno=True)
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    there = os.open(pathlib.Path("/run/netns") / namespace, os.O_RDONLY)
    try:
        if libc.setns(there, NEWNET):
            raise OSError(ctypes.get_errno(), "setns")
        try:
            yield
        finally:
            if libc.setns(home, NEWNET):
                raise SystemExit("no way back to the own network namespace")
    finally:
        os.close(home)
        os.close(there)


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
        self.nft(f"flush ruleset\n{RULESET}")
        self.run(self.name, "ipset", "destroy")
        self.do("ipset", "restore", text="".join(f"create {line}\n" for line in IPSETS.strip().splitlines()))

    def run_daemon(self, conf: str, upstream: MockUpstream | None = None, ready: bool = True, **more: Any) -> Daemon:
        server = f"server={upstream.address}\n" if upstream else ""
        daemon = self.start(f"no-resolv\nno-hosts\nlog-queries\n{server}{conf}", kind=self.kind, ready=False, **more)
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
        asked = {"qtype": "A", "klass": "IN", "flags": "RD"}
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
        """What the daemon has logged since the last look, without time and process."""
        lines = self.daemons[-1].log().splitlines()
        fresh, self.lines = lines[self.lines :], len(lines)
        return [line for line in (line.partition("]: ")[2] for line in fresh) if re.search(wanted, line)]

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
    """An element as nft's JSON has it, as text."""
    if isinstance(item, str):
        return item
    if "elem" in item:
        mark = " expires" if 0 < item["elem"].get("expires", 0) <= 100 else ""
        return element(item["elem"]["val"]) + mark
    if "prefix" in item:
        return f"{item['prefix']['addr']}/{item['prefix']['len']}"
    low, high = item["range"]
    return f"{low}-{high}"


def contents(world: World) -> dict[str, list[str]]:
    """What is in the sets: `name` of ipset, `family table name` of nftables, those that are not empty."""
    found: dict[str, list[str]] = {}
    for line in world.do("ipset", "save").splitlines():
        word, name, item, *more = line.split()
        if word == "add":
            timed = more[:1] == ["timeout"] and 0 < int(more[1]) <= 100
            found.setdefault(name, []).append(item + (" expires" if timed else ""))
    for entry in json.loads(world.do("nft", "-j", "list", "ruleset"))["nftables"]:
        one = entry.get("set", {})
        if one.get("elem"):
            name = f"{one['family']} {one['table']} {one['name']}"
            found[name] = [element(item) for item in one["elem"]]
    return {name: sorted(items) for name, items in found.items()}


# Addresses of names in every zone of the tables: a label `1-2-3-4` is that address, others are below.
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
V4, V6 = "inet fw4 v4", "inet fw4 v6"


@dataclass
class SetCase:
    """Questions, and what is in the sets after them; some are there from the start."""

    questions: str
    sets: dict[str, str]
    ours: dict[str, str] | None = None  # where ours differs
    reason: str = ""

    def wanted(self, kind: str) -> dict[str, list[str]]:
        sets = self.sets if self.ours is None or kind == "real" or not OURS else self.ours
        found = dict(THERE)
        found.update({name: items.split("; ") for name, items in sets.items()})
        return {name: sorted(items) for name, items in found.items()}


THERE = {"inet fw4 range4": ["10.9.0.0/16"], "inet fw4 merged": ["10.8.0.0/30"], "inet fw4 s_fixed": ["1.2.3.4"]}
CASES = {
    "ipset and nftset": SetCase("one.h.test", {"h": "10.0.0.1", V4: "10.0.0.1"}),
}


def normal(line: str) -> str:
    return re.sub(r"\(\d+ times\)$", "", line).rstrip()


@pytest.fixture
def served(twins: Twins) -> Twins:
    """Both with the sets of the table, which are empty."""
    if twins.conf != SETS_CONF:
        twins.start(SETS_CONF, SETS_ZONE)
    else:
        twins.each(World.clear)
    return twins


@pytest.mark.parametrize("name", CASES)
def test_the_sets(served: Twins, name: str) -> None:
    """What each question leaves in the sets, and in the log."""
    case = CASES[name]
    for world in served.worlds:
        world.new_lines()
        for question in case.questions.split("; "):
            world.ask(question)
    found = served.each(contents)
    lines = served.each(lambda world: world.new_lines("ipset|nftset|nft"))
    assert found[0] == case.wanted("real") and found[1] == case.wanted("ours")
