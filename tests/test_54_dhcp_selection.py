"""Section 54: tags, dhcp-host entries, networks and ranges, and which address a client gets."""

from __future__ import annotations

import random
from typing import Any

import pytest

import pydnsmasq as p
from pure import NOW, RANGE, addr, at, config, ip, mac, number, short

LAN0 = at("lan0", "10.5.0.1", 24)

# -- tags ------------------------------------


@pytest.mark.parametrize(("conditions", "tags", "holds"), [
    ("", "", True), ("", "a", True), ("a", "a", True), ("a", "", False), ("a b", "a", False), ("a b", "b a c", True),
    ("!a", "", True), ("!a", "a", False), ("a !b", "a", True), ("a !b", "a b", False), ("A", "a", False),
    ("a*", "ab", False), ("!a*", "ab", True),
])  # fmt: skip
def test_conditions(conditions: str, tags: str, holds: bool) -> None:
    assert p.tags_match(conditions.split(), set(tags.split())) is holds
    assert p.tags_match_any([tuple(conditions.split())], set(tags.split())) is holds


@pytest.mark.parametrize(("rules", "tags", "holds"), [
    ([], "a", False), ([()], "", True), ([("a",), ("b",)], "b", True), ([("a",), ("b",)], "c", False),
    ([("a", "b"), ("!a",)], "a", False),
])  # fmt: skip
def test_alternatives(rules: list[tuple[str, ...]], tags: str, holds: bool) -> None:
    assert p.tags_match_any(rules, set(tags.split())) is holds


# tag-if lines, the tags before -> after, in order.
TAG_IFS = [
    ([], "a b", "a b"),
    (["set:x,tag:a"], "a", "a x"), (["set:x,tag:a"], "b", "b"), (["set:x,set:y,tag:a"], "a", "a y x"),
    (["set:x,tag:a,tag:b"], "b a", "b a x"), (["set:x,tag:a,tag:b"], "a", "a"),
    (["set:x,tag:!a"], "", "x"), (["set:x,tag:!a"], "a", "a"), (["set:x,tag:a,tag:!b"], "a b", "a b"),
    (["set:x"], "", "x"),
    # the order of the configuration
    (["set:x,tag:a", "set:y,tag:x"], "a", "a x y"), (["set:y,tag:x", "set:x,tag:a"], "a", "a x"),
    (["set:x,tag:a", "set:x,tag:b"], "a b", "a b x"),
    # wildcards, here only
    (["set:x,tag:ab*"], "abc", "abc x"), (["set:x,tag:ab*"], "ab", "ab x"), (["set:x,tag:ab*"], "ac", "ac"),
    (["set:x,tag:!ab*"], "abc", "abc"), (["set:x,tag:!ab*"], "ac", "ac x"), (["set:x,tag:*"], "q", "q x"),
    (["set:x,tag:eth*,tag:!eth1"], "eth0", "eth0 x"), (["set:x,tag:eth*,tag:!eth1"], "eth1", "eth1"),
    (["set:x,tag:!*"], "", "x"),
]  # fmt: skip


@pytest.mark.parametrize(("lines", "tags", "expected"), TAG_IFS)
def test_tag_if(lines: list[str], tags: str, expected: str) -> None:
    rules = config("no-resolv", *(f"tag-if={line}" for line in lines)).tag_if
    assert list(p.tags_expand(rules, tags.split())) == expected.split()


# -- dhcp-host ------------------------------------


@pytest.mark.parametrize(("pattern", "hardware", "htype", "matches"), [
    ("02:aa:00:00:00:01", "02aa00000001", 1, True), ("02:aa:00:00:00:01", "02aa00000002", 1, False),
    ("02:aa:00:00:00:01", "02aa00000001", 6, False), ("06-02:aa:00:00:00:01", "02aa00000001", 6, True),
    ("06-02:aa:00:00:00:01", "02aa00000001", 1, False), ("01-02:aa:00:00:00:01", "02aa00000001", 1, True),
    ("02:aa:*:*:*:01", "02aa12345601", 1, True), ("02:aa:*:*:*:01", "02aa12345602", 1, False),
    ("02:aa:*:*:*:*", "02aa123456", 1, False), ("02:aa:*:*:*:*", "02aa1234567801", 1, False),
    ("*:*:*:*:*:*", "02aa00000001", 1, True), ("*:*:*:*:*:*", "", 1, False),
])  # fmt: skip
def test_hardware_patterns(pattern: str, hardware: str, htype: int, matches: bool) -> None:
    rule = config("no-resolv", f"dhcp-mac=set:x,{pattern}").dhcp_mac[0].hardware
    assert p.hardware_matches(rule, bytes.fromhex(hardware), htype) is matches


def network(*ranges: str, interfaces: tuple[Any, ...] = (LAN0,), interface: str = "lan0", shared: Any = ()) -> Any:
    settings = config("no-resolv", *(f"dhcp-range={text}" for text in ranges), *shared)
    return p.network_find(settings.dhcp_range, interfaces, settings.shared_network, interface)


# dhcp-host lines; client-id, hardware, tags, name -> the set: tag of the entry that is his, - for none.
HOSTS: list[tuple[str, list[str], list[tuple[str, str, str, str, str]]]] = [
    ("client-id before hardware", ["id:01:02,set:A", "02:aa:00:00:00:01,set:B"],
     [("0102", "m1", "", "", "A"), ("", "m1", "", "", "B"), ("03", "m1", "", "", "B"), ("0102", "m2", "", "", "A")]),
    ("a text, with dhcpcd's zero or without", ["id:xyz,set:A"],
     [("78797a", "m1", "", "", "A"), ("0078797a", "m1", "", "", "A"), ("0178797a", "m1", "", "", "-"),
      ("00", "m1", "", "", "-"), ("7879", "m1", "", "", "-")]),
    ("the later line", ["02:aa:00:00:00:01,set:A", "02:aa:00:00:00:01,set:B"], [("", "m1", "", "", "B")]),
    ("the exact one before a pattern", ["02:aa:00:00:00:01,set:A", "02:aa:00:00:00:*,set:B"],
     [("", "m1", "", "", "A"), ("", "m2", "", "", "B")]),
    ("fewest stars", ["02:aa:00:00:00:*,set:A", "02:aa:*:*:*:01,set:B", "02:aa:00:*:00:*,set:C"],
     [("", "m1", "", "", "A"), ("", "02aa00050001", "", "", "C"), ("", "02aa11223301", "", "", "B"),
      ("", "02aa00ff00ff", "", "", "C"), ("", "02aa11223302", "", "", "-")]),
    ("as many stars, the later line", ["02:aa:00:*:*:*,set:A", "02:aa:*:*:00:*,set:B"], [("", "m1", "", "", "B")]),
    ("with tags before without", ["02:aa:00:00:00:01,tag:t,set:A", "02:aa:00:00:00:01,set:B"],
     [("", "m1", "t", "", "A"), ("", "m1", "", "", "B"), ("", "m1", "u", "", "B")]),
    ("with tags, even by a pattern", ["02:aa:00:00:00:*,tag:t,set:A", "02:aa:00:00:00:01,set:B"],
     [("", "m1", "t", "", "A"), ("", "m1", "", "", "B")]),
    ("without a tag", ["02:aa:00:00:00:01,tag:!t,set:A"], [("", "m1", "", "", "A"), ("", "m1", "t", "", "-")]),
    ("by name in any case", ["pc,10.5.0.60,set:A"], [("", "m1", "", "PC", "A"), ("", "m1", "", "tv", "-")]),
    ("hardware before name", ["pc,10.5.0.60,set:A", "02:aa:00:00:00:01,set:B"],
     [("", "m1", "", "pc", "B"), ("", "m2", "", "pc", "A")]),
    ("name before pattern", ["pc,10.5.0.60,set:A", "02:aa:*:*:*:*,set:B"],
     [("", "m1", "", "pc", "A"), ("", "m1", "", "", "B")]),
    ("several addresses of hardware", ["02:aa:00:00:00:01,02:aa:00:00:00:02,set:A"],
     [("", "m1", "", "", "A"), ("", "m2", "", "", "A"), ("", "m3", "", "", "-")]),
    ("an address of another network", ["02:aa:00:00:00:01,10.9.0.60,set:A"], [("", "m1", "", "", "-")]),
    ("one here, one there", ["02:aa:00:00:00:01,10.5.0.60,set:A", "02:aa:00:00:00:01,10.9.0.60,set:B"],
     [("", "m1", "", "", "A")]),
    ("ARP types", ["06-02:aa:00:00:00:01,set:A"], [("", "m1", "", "", "-")]),
    ("no identity", ["10.5.0.60,set:A"], [("", "m1", "", "", "-"), ("", "-", "", "", "-")]),
]  # fmt: skip


@pytest.mark.parametrize(("lines", "asked"), [row[1:] for row in HOSTS], ids=[row[0] for row in HOSTS])
def test_the_entry_of_a_client(lines: list[str], asked: list[tuple[str, str, str, str, str]]) -> None:
    hosts = p.DhcpHosts(config("no-resolv", *(f"dhcp-host={line}" for line in lines)).dhcp_host)
    here = network("10.5.0.50,10.5.0.150")
    for client_id, client, tags, name, expected in asked:
        found = hosts.find(here, bytes.fromhex(client_id), mac(client), 1, set(tags.split()), name)
        assert (found.set_tags[0] if found else "-") == expected, (client_id, client, tags, name)


def test_an_entry_elsewhere_is_found_without_a_network() -> None:
    hosts = p.DhcpHosts(config("no-resolv", "dhcp-host=02:aa:00:00:00:01,10.9.0.60").dhcp_host)
    assert hosts.find(network("10.5.0.50,10.5.0.150"), b"", mac("m1"), 1, ()) is None
    assert hosts.find(None, b"", mac("m1"), 1, ()) is hosts.hosts[0]
    assert hosts.by_address == {number("10.9.0.60"): hosts.hosts[0]}


def test_many_entries_are_found_at_once() -> None:
    lines = [f"dhcp-host=02:bb:00:00:{at >> 8:02x}:{at & 255:02x},10.5.{at >> 8}.{at & 255}" for at in range(300, 3300)]
    hosts = p.DhcpHosts(config("no-resolv", *lines).dhcp_host)
    for at_ in (300, 1000, 3299):
        found = hosts.find(None, b"", bytes((2, 0xBB, 0, 0, at_ >> 8, at_ & 255)), 1, ())
        assert found is not None
        assert hosts.by_address[number(f"10.5.{at_ >> 8}.{at_ & 255}")] is found


@pytest.mark.parametrize(("client", "has"), [("m1", True), ("m2", True), ("m3", False), ("02bb00000007", True)])
def test_whose_hardware_it_is(client: str, has: bool) -> None:
    line = "dhcp-host=02:aa:00:00:00:01,02:aa:00:00:00:02,02:bb:*:*:*:*,10.5.0.60"
    assert p.host_has_hardware(config("no-resolv", line).dhcp_host[0], mac(client), 1) is has


# -- networks ------------------------------------


def described(found: Any) -> list[str]:
    return [
        f"{short(one.first)}-{short(one.last)} {p.ip4_format(one.mask)} {short(one.broadcast)} "
        f"local {short(one.local)} router {short(one.router)}" for one in found.contexts
    ]  # fmt: skip


def ours(text: str) -> str:
    """A range with the usual rest."""
    return f"{text} 255.255.255.0 .255 local .1 router .1"


# Ranges, the interfaces, the arrival -> contexts.
NETWORKS: list[tuple[str, list[str], list[str], str, list[str]]] = [
    ("the mask of the interface", ["10.5.0.50,10.5.0.150"], ["lan0 10.5.0.1/24"], "lan0", [ours(".50-.150")]),
    ("its own mask", ["10.5.0.50,10.5.0.150,255.255.0.0"], ["lan0 10.5.9.1/24"], "lan0",
     [".50-.150 255.255.0.0 10.5.255.255 local 10.5.9.1 router 10.5.9.1"]),
    ("its own broadcast", ["10.5.0.50,10.5.0.150,255.255.255.0,10.5.0.200"], ["lan0 10.5.0.1/24"], "lan0",
     [".50-.150 255.255.255.0 .200 local .1 router .1"]),
    ("another network", ["10.6.0.50,10.6.0.150"], ["lan0 10.5.0.1/24"], "lan0", []),
    ("another interface", ["10.5.0.50,10.5.0.150"], ["lan0 10.5.0.1/24", "wan0 10.9.0.1/24"], "wan0", []),
    ("half outside", ["10.5.0.50,10.5.1.150"], ["lan0 10.5.0.1/24"], "lan0", []),
    ("the order of the configuration", ["10.5.0.100,10.5.0.110", "10.6.0.5,10.6.0.9", "10.5.0.20,10.5.0.30"],
     ["lan0 10.5.0.1/24"], "lan0", [ours(".100-.110"), ours(".20-.30")]),
    ("two addresses, two networks", ["10.5.0.50,10.5.0.150", "10.9.0.5,10.9.0.9"],
     ["lan0 10.5.0.1/24", "lan0 10.9.0.1/16"], "lan0",
     ["10.9.0.5-10.9.0.9 255.255.0.0 10.9.255.255 local 10.9.0.1 router 10.9.0.1", ours(".50-.150")]),
    ("two addresses, one network", ["10.5.0.50,10.5.0.150"], ["lan0 10.5.0.1/24", "lan0 10.5.0.2/24"], "lan0",
     [ours(".50-.150")]),
    ("IPv6 does not count", ["10.5.0.50,10.5.0.150"], ["lan0 fd00::1/64"], "lan0", []),
    ("no address", ["10.5.0.50,10.5.0.150"], [], "lan0", []),
]  # fmt: skip


@pytest.mark.parametrize(
    ("ranges", "interfaces", "arrival", "expected"), [row[1:] for row in NETWORKS], ids=[row[0] for row in NETWORKS]
)
def test_ranges_of_an_interface(ranges: list[str], interfaces: list[str], arrival: str, expected: list[str]) -> None:
    made = []
    for text in interfaces:
        interface, _, address = text.partition(" ")
        made.append(at(interface, address.split("/")[0], int(address.split("/")[1])))
    found = network(*ranges, interfaces=tuple(made), interface=arrival)
    assert described(found) == expected
    assert found.name == arrival


SHARED: list[tuple[list[str], list[str]]] = [
    (["shared-network=lan0,10.6.0.0"], ["10.6.0.5-10.6.0.9 255.255.255.0 10.6.0.255 local .1 router 0.0.0.0"]),
    (["shared-network=10.5.0.1,10.6.0.0"], ["10.6.0.5-10.6.0.9 255.255.255.0 10.6.0.255 local .1 router 0.0.0.0"]),
    (["shared-network=10.5.0.9,10.6.0.0"], []), (["shared-network=wan0,10.6.0.0"], []),
    (["shared-network=lan0,10.7.0.0"], []), ([], []),
]  # fmt: skip


@pytest.mark.parametrize(("shared", "expected"), SHARED)
def test_shared_networks(shared: list[str], expected: list[str]) -> None:
    found = network("10.5.0.50,10.5.0.150", "10.6.0.5,10.6.0.9,255.255.255.0", shared=shared)
    assert described(found) == [ours(".50-.150"), *expected]
    if expected:
        assert described(network("10.6.0.5,10.6.0.9", shared=shared)) == []  # the mask has to be given


# Ranges, shared-network, the address (of a relay) -> contexts.
RELAYED: list[tuple[list[str], list[str], str, list[str]]] = [
    (["10.6.0.50,10.6.0.150,255.255.255.0"], [], "10.6.0.2",
     ["10.6.0.50-10.6.0.150 255.255.255.0 10.6.0.255 local .1 router 10.6.0.2"]),
    (["10.6.0.50,10.6.0.150,255.255.255.0"], [], "10.6.1.2", []),
    (["10.5.0.50,10.5.0.150"], [], "10.5.0.2", [ours(".50-.150")]),
    # without a mask it is guessed by class
    (["10.6.0.50,10.6.0.150"], [], "10.99.0.2",
     ["10.6.0.50-10.6.0.150 255.0.0.0 10.255.255.255 local .1 router 10.99.0.2"]),
    (["172.16.0.50,172.16.0.150"], [], "172.16.99.2",
     ["172.16.0.50-172.16.0.150 255.255.0.0 172.16.255.255 local .1 router 172.16.99.2"]),
    (["192.168.9.50,192.168.9.150"], [], "192.168.8.2", []),
    (["192.168.9.50,192.168.9.150"], [], "192.168.9.2",
     ["192.168.9.50-192.168.9.150 255.255.255.0 192.168.9.255 local .1 router 192.168.9.2"]),
    # shared-network by the relay's address
    (["10.7.0.50,10.7.0.150,255.255.255.0"], ["shared-network=10.6.0.2,10.7.0.0"], "10.6.0.2",
     ["10.7.0.50-10.7.0.150 255.255.255.0 10.7.0.255 local .1 router 0.0.0.0"]),
    (["10.7.0.50,10.7.0.150,255.255.255.0"], ["shared-network=lan0,10.7.0.0"], "10.6.0.2", []),
]  # fmt: skip


@pytest.mark.parametrize(("ranges", "shared", "address", "expected"), RELAYED)
def test_ranges_of_a_relay(ranges: list[str], shared: list[str], address: str, expected: list[str]) -> None:
    settings = config("no-resolv", *(f"dhcp-range={text}" for text in ranges), *shared)
    arrival = p.network_find(settings.dhcp_range, (LAN0,), (), "lan0")
    relay = number(address)
    found = p.network_of(settings.dhcp_range, (LAN0,), settings.shared_network, relay, arrival, relay, {})
    assert described(found) == expected


def test_who_renews_without_the_relay_keeps_its_router() -> None:
    ranges, relays = config("no-resolv", "dhcp-range=10.6.0.50,10.6.0.150,255.255.255.0").dhcp_range, {}
    arrival = p.network_find(ranges, (LAN0,), (), "lan0")
    routers = []
    for relay in ("0.0.0.0", "10.6.0.2", "0.0.0.0", "10.6.0.3"):
        found = p.network_of(ranges, (LAN0,), (), number("10.6.0.60"), arrival, number(relay), relays)
        routers.append(p.ip4_format(found.contexts[0].router))
    assert routers == ["0.0.0.0", "10.6.0.2", "10.6.0.2", "10.6.0.2"]


# Range, tags; what may be given of it, and which range speaks for an address (S: a static one).
SPEAKERS: list[tuple[list[str], str, list[tuple[str, str, str]]]] = [
    (["10.5.0.50,10.5.0.150"], "",
     [(".49", "-", ".50"), (".50", ".50", ".50"), (".150", ".50", ".50"), (".151", "-", ".50"), (".1", "-", ".50"),
      ("10.6.0.60", "-", "-")]),
    (["10.5.0.50,10.5.0.59", "10.5.0.60,10.5.0.69"], "", [(".65", ".60", ".60"), (".70", "-", ".50")]),
    (["10.5.0.50,10.5.0.59", "10.5.0.0,static"], "", [(".55", ".50", ".50"), (".70", "-", ".0")]),
    (["10.5.0.0,static"], "", [(".55", "-", ".0")]),
    (["10.5.0.0,proxy"], "", [(".55", "-", "-")]),
    (["tag:t,10.5.0.50,10.5.0.59"], "t", [(".55", ".50", ".50")]),
    (["tag:t,10.5.0.50,10.5.0.59"], "", [(".55", "-", "-")]),
    (["tag:t,10.5.0.0,static", "10.5.0.50,10.5.0.59"], "", [(".70", "-", ".50")]),
    (["10.5.0.50,10.5.0.59", "tag:t,10.5.0.0,static"], "t", [(".70", "-", ".0")]),
]  # fmt: skip


@pytest.mark.parametrize(("ranges", "tags", "rows"), SPEAKERS)
def test_which_range_speaks_for_an_address(ranges: list[str], tags: str, rows: list[tuple[str, str, str]]) -> None:
    here = network(*ranges)
    for address, given, speaks in rows:
        found = [here.available(number(address), set(tags.split())), here.narrow(number(address), set(tags.split()))]
        assert [short(one.first) if one else "-" for one in found] == [given, speaks], address


@pytest.mark.parametrize(("lease", "seconds"), [
    ("", 3600), (",1h", 3600), (",10m", 600), (",infinite", p.LEASE_FOR_EVER), (",1m", 120), (",2d", 172800),
])  # fmt: skip
def test_how_long_a_range_lends(lease: str, seconds: int) -> None:
    assert network(f"10.5.0.50,10.5.0.150{lease}").contexts[0].lease == seconds


# -- addresses ------------------------------------

# Hardware address -> the address that dnsmasq 2.90 offers from 10.77.1.10 to 10.77.1.250.
HASHED = """79b97f4a7c15 78, 7372fe94f82a 243, 6d2c7ddf743f 184, 66e5fd29f054 46, 609f7c746c69 228, 5a58fbbee87e 152,
54127b096493 223, 4dcbfa53e0a8 196, 4785799e5cbd 152, 413ef8e8d8d2 76, 3af8783354e7 196, 34b1f77dd0fc 120,
2e6b76c84d11 93, 2824f612c926 147, 21de755d453b 137, 1b97f4a7c150 61, 155173f23d65 17, 0f0af33cb97a 56,
08c47287358f 61, 027df1d1b1a4 226, 7c37711c2db9 136, 75f0f066a9ce 109, 6faa6fb125e3 50, 6963eefba1f8 215,
001122334455 99, ffffffffffff 54, 0a0b0c0d0e0f1011 207, 0001 11, 02000000aa01 33"""


@pytest.mark.parametrize(("hardware", "last"), [row.split() for row in HASHED.split(",")])
def test_addresses_are_chosen_as_dnsmasq_does(hardware: str, last: str) -> None:
    assert 10 + p.address_hash(bytes.fromhex(hardware)) % 241 == int(last)
    chosen = Choice("10.77.1.10,10.77.1.250", at("lan0", "10.77.1.1", 24), client=hardware)
    assert chosen() == f"10.77.1.{last}"


def test_the_hash_of_nothing_and_of_much() -> None:
    assert p.address_hash(b"") == 0
    assert p.address_hash(b"\1") == 1
    assert p.address_hash(b"\1\0") == 65599
    assert 0 <= p.address_hash(b"\xff" * 300) < 1 << 32


class Choice:
    """A choice to be made, among ranges that are separated by blanks."""

    def __init__(self, ranges: str, interface: Any = LAN0, client: str = "m1", hosts: tuple[str, ...] = ()) -> None:
        settings = config(
            "no-resolv", *(f"dhcp-range={one}" for one in ranges.split()), *(f"dhcp-host={host}" for host in hosts)
        )
        self.network = p.network_find(settings.dhcp_range, (interface,), (), "lan0")
        self.leases = p.LeaseTable(100_000)
        self.hosts = p.DhcpHosts(settings.dhcp_host)
        self.pool = p.DhcpPool()
        self.client = mac(client)
        self.now = NOW
        self.ping = False

    def lease(self, *addresses: str) -> Choice:
        for address in addresses:
            assert self.leases.add(number(address))
        return self

    def chooser(self) -> Any:
        return p.DhcpChooser(self.network, self.leases, self.hosts, self.pool, self.client, self.now, self.ping)

    def __call__(self, tags: str = "", sequential: bool = False) -> str:
        try:
            found = self.chooser().choose(set(tags.split()), sequential)
        except p.DhcpPing as ping:
            assert str(ping) == p.ip4_format(ping.address)
            return f"ping {short(ping.address)}"
        return short(found) if found is not None else "-"


def home(last: int, first: int = 50, size: int = 101) -> str:
    """A client whose own place in a range is `last`."""
    return next(
        mac_ for mac_ in (f"02cc0000{at:04x}" for at in range(1 << 16))
        if first + p.address_hash(bytes.fromhex(mac_)) % size == last
    )  # fmt: skip


# Range, the client's own place, what is leased, what is reserved -> what he gets.
TAKEN: list[tuple[str, int, list[str], list[str], str]] = [
    (".50,.59", 53, [], [], ".53"), (".50,.59", 53, [".53"], [], ".54"), (".50,.59", 53, [".53", ".54"], [], ".55"),
    (".50,.59", 59, [".59"], [], ".50"), (".50,.59", 58, [".58", ".59", ".50"], [], ".51"),
    (".50,.59", 53, [], [".53"], ".54"), (".50,.59", 53, [".54"], [".53", ".55"], ".56"),
    (".50,.59", 53, [f".{last}" for last in range(50, 60)], [], "-"),
    (".50,.59", 53, [f".{last}" for last in range(50, 60) if last != 52], [], ".52"),
    (".50,.59", 53, [f".{last}" for last in range(50, 59)], [".59"], "-"),
    (".1,.10", 1, [], [], ".2"),  # the server itself
    (".1,.1", 1, [], [], "-"), (".77,.77", 77, [], [], ".77"),
]  # fmt: skip


@pytest.mark.parametrize(("span", "own", "leased", "reserved", "expected"), TAKEN)
def test_what_is_taken_is_passed_over(
    span: str, own: int, leased: list[str], reserved: list[str], expected: str
) -> None:
    first, last = (int(text[1:]) for text in span.split(","))
    hosts = tuple(f"02:bb:00:00:00:{at:02x},{ip(text)}" for at, text in enumerate(reserved))
    choice = Choice(
        ",".join(ip(text) for text in span.split(",")), client=home(own, first, last - first + 1), hosts=hosts
    )
    assert choice.lease(*leased)() == expected


# Network, range, the client's place in it -> what he gets: only class C has no .0 and no .255.
ENDS = [
    ("10.5.0.1/16", "10.5.1.250,10.5.2.5", 5, "10.5.1.255"), ("10.5.0.1/16", "10.5.1.250,10.5.2.5", 6, "10.5.2.0"),
    ("172.16.0.1/16", "172.16.5.250,172.16.6.5", 5, "172.16.5.255"),
    ("192.168.0.1/16", "192.168.5.250,192.168.6.5", 5, "192.168.6.1"),
    ("192.168.0.1/16", "192.168.5.250,192.168.6.5", 6, "192.168.6.1"),
    ("192.168.0.1/16", "192.168.5.250,192.168.6.5", 4, "192.168.5.254"),
    ("192.168.0.1/16", "192.168.5.255,192.168.6.0", 0, "-"),
]  # fmt: skip


@pytest.mark.parametrize(("interface", "span", "place", "expected"), ENDS)
def test_addresses_that_end_in_0_and_255(interface: str, span: str, place: int, expected: str) -> None:
    address, prefix = interface.split("/")
    size = number(span.split(",")[1]) - number(span.split(",")[0]) + 1
    choice = Choice(span, at("lan0", address, int(prefix)), home(place, 0, size))
    assert choice() == expected


# Ranges, tags, what is leased -> the choice, with the own place first in each range.
ORDERS: list[tuple[str, str, list[str], str]] = [
    ("10.5.0.50,10.5.0.50 10.5.0.60,10.5.0.60", "", [], ".50"),
    ("10.5.0.50,10.5.0.50 10.5.0.60,10.5.0.60", "", [".50"], ".60"),
    ("10.5.0.50,10.5.0.50 10.5.0.60,10.5.0.60", "", [".50", ".60"], "-"),
    ("10.5.0.50,10.5.0.50 tag:t,10.5.0.60,10.5.0.60", "t", [], ".60"),
    ("10.5.0.50,10.5.0.50 tag:t,10.5.0.60,10.5.0.60", "", [], ".50"),
    ("10.5.0.50,10.5.0.50 tag:t,10.5.0.60,10.5.0.60", "", [".50"], "-"),
    ("10.5.0.50,10.5.0.50 tag:t,10.5.0.60,10.5.0.60", "t", [".60"], ".50"),
    ("tag:!t,10.5.0.50,10.5.0.50 10.5.0.60,10.5.0.60", "t", [], ".60"),
    ("tag:!t,10.5.0.50,10.5.0.50 10.5.0.60,10.5.0.60", "", [], ".50"),
    ("tag:t,tag:u,10.5.0.50,10.5.0.50", "t", [], "-"),
    ("10.5.0.0,static", "", [], "-"), ("10.5.0.0,proxy", "", [], "-"),
]  # fmt: skip


@pytest.mark.parametrize(("ranges", "tags", "leased", "expected"), ORDERS)
def test_the_order_of_ranges(ranges: str, tags: str, leased: list[str], expected: str) -> None:
    assert Choice(ranges).lease(*leased)(tags) == expected


@pytest.mark.parametrize(("leased", "expected"), [
    ([], ".50"), ([".50"], ".51"), ([".50", ".51", ".52"], ".53"), ([".50", ".52", ".53"], ".54"), ([".59"], ".50"),
    ([".59", ".50"], ".51"), ([".90"], ".50"), ([f".{last}" for last in range(50, 60)], "-"),
    ([f".{last}" for last in range(50, 60) if last != 54], ".54"),
])  # fmt: skip
def test_one_after_the_other(leased: list[str], expected: str) -> None:
    assert Choice("10.5.0.50,10.5.0.59").lease(*leased)(sequential=True) == expected


# -- promises, declined addresses ------------------------------------


def test_an_offer_takes_nothing_away() -> None:
    choice = Choice("10.5.0.50,10.5.0.59", client=home(53, 50, 10))
    choice.pool.offer(number(".53"), mac("m9"), NOW)
    assert choice() == ".53"


def test_in_a_row_what_is_offered_to_another_is_passed_over_for_a_while() -> None:
    choice = Choice("10.5.0.50,10.5.0.59")
    choice.pool.offer(number(".50"), mac("m9"), NOW)
    choice.pool.offer(number(".51"), choice.client, NOW)
    assert choice(sequential=True) == ".51"
    choice.pool.offers.clear()
    choice.pool.offer(number(".50"), mac("m9"), NOW)
    choice.now += p.DHCP_OFFER_SECONDS - 0.1
    assert choice(sequential=True) == ".51"
    choice.now += 0.2
    assert choice(sequential=True) == ".50"


def test_in_a_row_a_promise_is_broken_before_there_is_none() -> None:
    choice = Choice("10.5.0.50,10.5.0.52").lease(".51")
    for last in (50, 51, 52):
        choice.pool.offer(number(f".{last}"), mac("m9"), NOW)
    assert choice(sequential=True) == ".52"


def test_promises_are_bounded() -> None:
    pool = p.DhcpPool()
    for address in range(3 * p.DHCP_OFFERS_MAX):
        pool.offer(address, mac("m1"), NOW)
        pool.decline(address, NOW)
        pool.ping_result(address, False, NOW)
        assert max(len(pool.offers), len(pool.declined), len(pool.pinged)) <= p.DHCP_OFFERS_MAX
    assert pool.offered(3 * p.DHCP_OFFERS_MAX - 1, mac("m2"), NOW)
    assert not pool.offered(0, mac("m2"), NOW)


def test_a_declined_address_is_put_aside_for_ten_minutes() -> None:
    pool = p.DhcpPool()
    pool.decline(7, NOW)
    assert [pool.was_declined(7, NOW + after) for after in (0, 599, 600, 0)] == [True, True, False, False]
    assert not pool.was_declined(8, NOW)


def test_declined_addresses_that_are_over_make_room() -> None:
    pool = p.DhcpPool()
    for address in range(p.DHCP_OFFERS_MAX):
        pool.decline(address, NOW)
    later = NOW + p.DHCP_DECLINE_SECONDS + 1
    pool.decline(99_999, later)
    assert pool.was_declined(99_999, later)


def test_a_counter_moves_the_clients_of_its_range() -> None:
    choice = Choice("10.5.0.50,10.5.0.59 10.5.0.70,10.5.0.79", client=home(58, 50, 10))
    first, second = choice.network.contexts
    seen = []
    for _ in range(4):
        seen.append(choice())
        choice.pool.bump(first)
    choice.pool.bump(second)
    assert seen == [".58", ".59", ".50", ".51"]
    assert choice() == ".52"


# -- pings ------------------------------------


def pinging(own: int, alive: set[int], size: int = 10) -> tuple[Choice, list[str], str]:
    """Choose with pings; give the choice, what was asked, and what was chosen."""
    choice = Choice(f"10.5.0.50,10.5.0.{49 + size}", client=home(own, 50, size))
    choice.ping = True
    asked = []
    for _ in range(50):
        chosen = choice()
        if not chosen.startswith("ping "):
            return choice, asked, chosen
        asked.append(chosen[5:])
        choice.pool.ping_result(number(chosen[5:]), int(chosen[6:]) in alive, choice.now)
    raise AssertionError("it does not end")


@pytest.mark.parametrize(("own", "alive", "asked", "chosen"), [
    (53, set(), [".53"], ".53"), (53, {53}, [".53", ".54"], ".54"),
    (53, {53, 54, 55}, [".53", ".54", ".55", ".56"], ".56"),
    (59, {59}, [".59", ".50"], ".50"),
])  # fmt: skip
def test_an_address_is_asked_for_before_it_is_offered(own: int, alive: set[int], asked: list[str], chosen: str) -> None:
    choice, seen, got = pinging(own, alive)
    assert (seen, got) == (asked, chosen)
    # who answered moves all clients of the range on
    assert choice.pool.epochs.get(addr("10.5.0.50"), 0) == len(alive)


def test_when_everybody_answers_there_is_none() -> None:
    choice, asked, chosen = pinging(51, {50, 51, 52}, 3)
    assert (sorted(set(asked)), chosen) == ([".50", ".51", ".52"], "-")
    assert len(asked) == 3
    choice.now += p.DHCP_PING_CACHE + 1
    assert choice().startswith("ping ")


def test_a_result_counts_for_half_a_minute() -> None:
    choice, _, _ = pinging(53, set())
    choice.now += p.DHCP_PING_CACHE - 1
    assert choice() == ".53"
    choice.now += 2
    assert choice() == "ping .53"


def test_leased_addresses_are_not_asked_for() -> None:
    choice = Choice("10.5.0.50,10.5.0.59", client=home(53, 50, 10)).lease(".53")
    choice.ping = True
    assert choice() == "ping .54"


@pytest.mark.parametrize(("address", "free"), [(".60", True), (".61", False), (".62", False), (".1", False)])
def test_whether_a_wanted_address_is_free(address: str, free: bool) -> None:
    choice = Choice("10.5.0.1,10.5.0.150", hosts=("02:bb:00:00:00:01,10.5.0.62",)).lease(".61")
    assert choice.chooser().free(number(address)) is free
    choice.ping = True
    if free:
        with pytest.raises(p.DhcpPing):
            choice.chooser().free(number(address))
        choice.pool.ping_result(number(address), True, NOW)
        assert not choice.chooser().free(number(address))
    else:
        assert not choice.chooser().free(number(address))


def test_random_ranges_are_filled_to_the_last_address() -> None:
    dice = random.Random(54)
    for _ in range(30):
        first, size = dice.randrange(2, 200), dice.randrange(1, 50)
        choice = Choice(f"10.5.0.{first},10.5.0.{first + size - 1}")
        sequential, seen = dice.random() < 0.3, []
        for at_ in range(size):
            choice.client = dice.randbytes(6)
            seen.append(choice(sequential=sequential))
            choice.lease(seen[-1])
            assert len(seen) == at_ + 1
        assert sorted(map(number, seen)) == [number(f".{last}") for last in range(first, first + size)]
        assert choice(sequential=sequential) == "-"


def test_the_range_of_the_other_tests_is_the_usual() -> None:
    assert described(p.network_find(config("no-resolv", RANGE).dhcp_range, (LAN0,), (), "lan0")) == [ours(".50-.150")]
