"""Section 56: what there is to know about one message."""

from __future__ import annotations

import random
from typing import Any

import pytest

import pydnsmasq as p
from pure import NOW, Dhcp, config, dhcp_message, name, number, octets, short


def exchange(packet: str, *lines: str, leases: str = "", **how: Any) -> Any:
    """Judge a packet as far as this section does; None when there is no range for it."""
    dhcp = Dhcp(*lines, leases=leases.encode(), **how)
    message = dhcp_message(packet.split())
    made = p.Dhcp4Exchange(
        dhcp.service.state, p.dhcp4_unpack(message.pack()), dhcp.arrival(packet.split(), message), NOW
    )  # fmt: skip
    if not made.locate({}):
        return None
    made.recognise(dhcp.table)
    return made


# -- parts of options ------------------------------------


@pytest.mark.parametrize(("data", "parts"), [
    ("", []), ("0161", ["a"]), ("03616263", ["abc"]), ("0161026263", ["a", "bc"]), ("'acct", ["acct"]),
    ("0361", ["\3a"]), ("0161ff", ["\1a\xff"]), ("00", ["\0"]), ("016100", ["\1a\0"]), ("0161056263", ["\1a\5bc"]),
])  # fmt: skip
def test_counted_strings(data: str, parts: list[str]) -> None:
    assert p.counted_strings(octets(data)) == [part.encode("latin-1") for part in parts]


@pytest.mark.parametrize(("data", "enterprise", "expected"), [
    ("", 9, None), ("0000000900", 9, ""), ("00000009020102", 9, "0102"), ("00000009020102", 8, None),
    ("00000008010100000009020304", 9, "0304"), ("000000090401", 9, "01"), ("000000", 9, None), ("00000009", 9, None),
    ("00000de9020102", 3561, "0102"), ("00000008ff01", 9, None),
])  # fmt: skip
def test_enterprise_data(data: str, enterprise: int, expected: str | None) -> None:
    found = p.enterprise_data(octets(data), enterprise)
    assert (None if found is None else found.hex()) == expected


@pytest.mark.parametrize(("text", "shown"), [
    (b"", ""), (b"MSFT 5.0", "MSFT 5.0"), (b"a\0b\n\x7f\x80\xffc", "abc"), (b"\x1b[31m", "[31m"), ("\xe4".encode(), ""),
])  # fmt: skip
def test_printable_text(text: bytes, shown: str) -> None:
    assert p.printable_text(text) == shown


# dhcp-match, the option of the message (none: it is not there) -> whether it holds.
MATCHES: list[tuple[str, int, str | None, bool]] = [
    ("60", 60, "'x", True), ("60", 60, "", True), ("60", 60, None, False), ("60", 61, "'x", False),
    ("option:vendor-class", 60, "'x", True),
    # hex stands at the left, with wildcards
    ("60,01:02", 60, "0102", True), ("60,01:02", 60, "010203", True), ("60,01:02", 60, "000102", False),
    ("60,01:02", 60, "01", False), ("60,01:*:03", 60, "01ff03", True), ("60,01:*:03", 60, "01ff04", False),
    ("60,*:*:03", 60, "0102", False),
    # text anywhere
    ("60,PXE", 60, "'PXEClient", True), ("60,PXE", 60, "'xPXEx", True), ("60,PXE", 60, "'pxe", False),
    ("60,PXE", 60, "'PX", False),
    # elements
    ("93,7", 93, "0007", True), ("93,7", 93, "00000007", True), ("93,7", 93, "0700", False),
    ("93,7", 93, "0008", False), ("option:client-arch,6", 93, "0006", True),
    ("93,10", 93, "0007000a", True), ("93,00:0a", 93, "000a0007", True), ("93,00:0a", 93, "0007000a", False),
    ("93,00:0a:00:07", 93, "000a0007", True), ("93,00:0a:00:07", 93, "000a", False),
    ("42,10.5.0.9", 42, "0a0500010a050009", True), ("42,10.5.0.9", 42, "000a05000900", False),
    ("42,10.5.0.9", 42, "0a05", False),
    ("vi-encap:9,abc", 124, "0000000903616263", True), ("vi-encap:9,abc", 124, "0000000803616263", False),
    ("vi-encap:9,abc", 60, "'abc", False), ("vi-encap:9", 124, "0000000900", True),
]  # fmt: skip


@pytest.mark.parametrize(("rule", "code", "data", "holds"), MATCHES)
def test_dhcp_match(rule: str, code: int, data: str | None, holds: bool) -> None:
    made = config("no-resolv", f"dhcp-match=set:t,{rule}").dhcp_match[0]
    assert p.match_holds(made, {} if data is None else {code: octets(data)}) is holds


# -- tags ------------------------------------

TR069 = "o125=00000de90b0103616263020164030178"
# Lines, the packet -> all tags in the order in which they were set.
TAGS: list[tuple[str, list[str], str, str]] = [
    ("the interface", [], "discover m1", "lan0"),
    ("TR-069", [], f"discover m1 {TR069}", "lan0 cpewan-id"),
    ("TR-069 without a serial number", [], "discover m1 o125=00000de9050103616263", "lan0"),
    ("circuit", ["dhcp-circuitid=set:c,ab"], "discover m1 circuit='ab", "lan0 c"),
    ("another circuit", ["dhcp-circuitid=set:c,ab"], "discover m1 circuit='abc", "lan0"),
    ("hex", ["dhcp-remoteid=set:r,01:02"], "discover m1 remote=0102", "lan0 r"),
    ("subscriber", ["dhcp-subscrid=set:s,me"], "discover m1 subscr='me", "lan0 s"),
    ("no relay", ["dhcp-circuitid=set:c,ab"], "discover m1", "lan0"),
    ("hardware", ["dhcp-mac=set:h,02:aa:*:*:*:*"], "discover m1", "lan0 h"),
    ("other hardware", ["dhcp-mac=set:h,02:bb:*:*:*:*"], "discover m1", "lan0"),
    ("vendor class", ["dhcp-vendorclass=set:v,MSFT"], "discover m1 vendor=MSFT_5.0", "lan0 v"),
    ("in its case", ["dhcp-vendorclass=set:v,MSFT"], "discover m1 vendor=msft", "lan0"),
    ("enterprises are for DHCPv6", ["dhcp-vendorclass=set:v,enterprise:9,MS"], "discover m1 vendor=MSFT", "lan0 v"),
    ("user class", ["dhcp-userclass=set:u,acct"], "discover m1 user='acct", "lan0 u"),
    ("counted user classes", ["dhcp-userclass=set:u,acct"], "discover m1 user=01610461636374", "lan0 u"),
    ("option", ["dhcp-match=set:m,60"], "discover m1 vendor=x", "lan0 m"),
    ("known", ["dhcp-host=02:aa:00:00:00:01"], "discover m1", "lan0 known"),
    ("known elsewhere", ["dhcp-host=02:aa:00:00:00:01,10.9.0.60,set:h"], "discover m1", "lan0 known-othernet"),
    ("tags of the entry", ["dhcp-host=02:aa:00:00:00:01,set:a,set:b"], "discover m1", "lan0 known b a"),
    ("name", ["dhcp-name-match=set:n,pc"], "discover m1 name=PC", "lan0 n"),
    ("name's beginning", ["dhcp-name-match=set:n,pc*"], "discover m1 name=pc7", "lan0 n"),
    ("the whole name", ["dhcp-name-match=set:n,pc"], "discover m1 name=pc7", "lan0"),
    ("option 81's name", ["dhcp-name-match=set:n,pc"], "discover m1 fqdn=0:pc.lan name=tv", "lan0 n"),
    ("tag-if at the end", ["tag-if=set:x,tag:lan0"], "discover m1", "lan0 x"),
    ("tag-if by all", ["tag-if=set:x,tag:known,tag:v", "dhcp-vendorclass=set:v,a", "dhcp-host=02:aa:00:00:00:01"],
     "discover m1 vendor=a", "lan0 v known x"),
    ("in this order", ["dhcp-host=02:aa:00:00:00:01,set:h", "dhcp-vendorclass=set:v,a", "dhcp-userclass=set:u,a",
                       "dhcp-match=set:m,60", "dhcp-mac=set:k,02:aa:*:*:*:*", "dhcp-circuitid=set:c,a"],
     "discover m1 vendor=a user='a circuit='a", "lan0 c k m u v known h"),
    ("once", ["dhcp-vendorclass=set:v,a", "dhcp-vendorclass=set:v,b"], "discover m1 vendor=ab", "lan0 v"),
]  # fmt: skip


@pytest.mark.parametrize(("lines", "packet", "expected"), [row[1:] for row in TAGS], ids=[row[0] for row in TAGS])
def test_tags(lines: list[str], packet: str, expected: str) -> None:
    assert list(exchange(packet, *lines).all_tags) == expected.split()


def test_the_tag_of_the_range_is_set_late() -> None:
    made = exchange("discover m1", "dhcp-range=set:r,10.5.0.50,10.5.0.150", "tag-if=set:x,tag:r")
    assert list(made.all_tags) == ["lan0"]
    assert list(made.context_tags(made.network.contexts[0])) == ["lan0", "r", "x"]
    assert list(made.context_tags(None)) == ["lan0"]


IGNORED: list[tuple[list[str], str, bool]] = [
    (["dhcp-ignore=tag:!known"], "discover m1", True), (["dhcp-ignore=tag:known"], "discover m1", False),
    (["dhcp-host=02:aa:00:00:00:01,ignore"], "discover m1", True),
    (["dhcp-host=02:aa:00:00:00:01"], "discover m1", False),
    (["dhcp-host=02:aa:00:00:00:*,ignore", "dhcp-host=02:aa:00:00:00:01"], "discover m1", False),
    (["dhcp-ignore=tag:lan0,tag:v", "dhcp-vendorclass=set:v,a"], "discover m1 vendor=a", True),
    (["dhcp-ignore=tag:lan0,tag:v", "dhcp-vendorclass=set:v,a"], "discover m1 vendor=b", False),
    (["dhcp-ignore=tag:x", "dhcp-ignore=tag:lan0"], "discover m1", True),
    (["dhcp-host=id:*,ignore"], "discover m1 clid='abc", False),
]  # fmt: skip


@pytest.mark.parametrize(("lines", "packet", "ignored"), IGNORED)
def test_who_is_ignored(lines: list[str], packet: str, ignored: bool) -> None:
    assert exchange(packet, *lines).ignored is ignored


# -- where it came from ------------------------------------

FIVE = "dhcp-range=10.5.0.50,10.5.0.150"
SIX = "dhcp-range=10.6.0.50,10.6.0.150,255.255.255.0"
NINE = "dhcp-range=10.9.0.50,10.9.0.150"

# The packet -> first addresses of the ranges, server-id, how it came.
PLACES: list[tuple[str, str, str, str]] = [
    ("discover m1", ".50", ".1", "via lan0"), ("discover m1 on=wan0", "10.9.0.50", "10.9.0.1", "via wan0"),
    ("discover m1 gi=10.6.0.2", "10.6.0.50", ".1", "via 10.6.0.2"),
    ("discover m1 gi=10.5.0.2", ".50", ".1", "via 10.5.0.2"),
    ("discover m1 gi=10.7.0.2", "-", "", "via 10.7.0.2"),
    ("discover m1 subnet=10.6.0.0", "10.6.0.50", ".1", "with subnet selector 10.6.0.0"),
    ("discover m1 subnet=10.7.0.0", "-", "", "with subnet selector 10.7.0.0"),
    ("discover m1 gi=10.5.0.2 link=10.6.0.0", "10.6.0.50", ".1", "with subnet selector 10.6.0.0"),
    ("discover m1 gi=10.5.0.2 link=10.6.0.0 subnet=10.9.0.0", "10.6.0.50", ".1", "with subnet selector 10.6.0.0"),
    ("discover m1 gi=10.6.0.2 over=10.6.0.3", "10.6.0.50", "10.6.0.3", "via 10.6.0.2"),
    ("request m1 ci=10.6.0.60", "10.6.0.50", ".1", "via lan0"), ("request m1 ci=10.5.0.60", ".50", ".1", "via lan0"),
    ("request m1 ci=10.7.0.60", ".50", ".1", "via lan0"),
    ("request m1 ci=10.6.0.60 req=10.5.0.60", ".50", ".1", "via lan0"),  # who asks for one has none
    ("discover m1 ci=10.6.0.60", ".50", ".1", "via lan0"),
    ("discover m1 o118=0a06", ".50", ".1", "via lan0"),  # too short to be an address
    ("discover m1 gi=255.255.255.255", ".50", ".1", "via lan0"),
]  # fmt: skip


@pytest.mark.parametrize(("packet", "ranges", "server", "via"), PLACES)
def test_the_network_of_a_message(packet: str, ranges: str, server: str, via: str) -> None:
    made = exchange(packet, FIVE, SIX, NINE)
    if ranges == "-":
        assert made is None
        dhcp = Dhcp(FIVE, SIX, NINE)
        dhcp.send(packet)
        text = f"no address range available for DHCP request {via}"
        assert [line for line in dhcp.log.texts() if line.startswith(text)]
        return
    assert " ".join(short(context.first) for context in made.network.contexts) == ranges
    assert short(made.server_id(made.network.contexts[0])) == server
    assert made.via == via


@pytest.mark.parametrize(("line", "packet", "server"), [
    ("dhcp-proxy", "discover m1 gi=10.6.0.2", "10.6.0.2"), ("dhcp-proxy=10.6.0.2", "discover m1 gi=10.6.0.2",
     "10.6.0.2"),
    ("dhcp-proxy=10.6.0.3", "discover m1 gi=10.6.0.2", ".1"), ("dhcp-proxy", "discover m1", ".1"),
    ("dhcp-proxy", "discover m1 gi=10.6.0.2 over=10.6.0.9", "10.6.0.9"),
])  # fmt: skip
def test_who_the_client_takes_for_the_server(line: str, packet: str, server: str) -> None:
    made = exchange(packet, FIVE, SIX, line)
    assert short(made.server_id(made.network.contexts[0])) == server


def test_the_complaint_names_what_there_is() -> None:
    dhcp = Dhcp("dhcp-range=10.7.0.50,10.7.0.150,255.255.255.0")
    dhcp.play("discover m1 -> SILENCE\ndiscover m2 -> SILENCE")
    texts = dhcp.log.texts()
    assert len(texts) == 1
    assert "via lan0" in texts[0]
    assert "10.5.0.1/24" in texts[0]
    assert "10.7.0.50 -- 10.7.0.150" in texts[0]


@pytest.mark.parametrize(("interface", "main"), [
    ("lan0", "lan0"), ("tap0", "lan0"), ("vnet7", "lan0"), ("vnet", "lan0"), ("tap1", "tap1"), ("xvnet7", "xvnet7"),
])  # fmt: skip
def test_bridge_interface(interface: str, main: str) -> None:
    dhcp = Dhcp("bridge-interface=lan0,tap0,vnet*")
    assert dhcp.service.state.main_interface(interface) == main


# -- the names that clients have ------------------------------------

# The packet -> name, domain.
NAMES = [
    ("name=pc", "pc", ""), ("name=PC", "PC", ""), ("name=pc.lan.test", "pc", "lan.test"), ("name=pc.", "pc", ""),
    ("name=a_b", "a_b", ""), ("name=ab-", "ab-", ""), ("name=1ab", "1ab", ""), ("name=123", "123", ""),
    (f"name={'x' * 63}", "x" * 63, ""), (f"name={'x' * 64}", "", ""), ("name=_ab", "", ""), ("name=-ab", "", ""),
    ("name=a_b", "a_b", ""), ("name=.ab", "", ""), ("name=a/b", "", ""), ("name=*", "", ""), ("name=\xe4", "", ""),
    ("name=a..b", "a", ".b"), ("name=ab~", "ab", ""), ("name=~", "", ""), ("o12=", "", ""), ("o12=612062", "", ""),
    # option 81 counts for more, even when it says nothing that can be used
    ("name=a fqdn=0:b", "b", ""), ("name=a fqdn=0:", "", ""), ("name=a fqdn=0:-", "", ""), ("name=a o81=0000", "a", ""),
    ("fqdn=4:pc.lan.test.", "pc", "lan.test"), ("fqdn=4:pc", "pc", ""), ("fqdn=1:pc.lan", "pc", "lan"),
    ("fqdn=0:.", "", ""), ("fqdn=4:.", "", ""), ("o81=04000003612e6200", "a", "b"),
]  # fmt: skip


@pytest.mark.parametrize(("words", "label", "domain"), NAMES)
def test_the_name_that_a_client_has_for_itself(words: str, label: str, domain: str) -> None:
    made = exchange(f"request m1 {words}")
    assert (made.asked_name, made.asked_domain) == (label, domain)


# Flags of option 81 -> those of the reply; with dhcp-client-update.
FLAGS = [
    (0x00, 0x03, 0x08), (0x01, 0x01, 0x0A), (0x02, 0x03, 0x0A), (0x03, 0x03, 0x0A), (0x04, 0x07, 0x0C),
    (0x05, 0x05, 0x0E), (0x08, 0x03, 0x08), (0x09, 0x01, 0x0A), (0x0C, 0x07, 0x0C), (0x0D, 0x05, 0x0E),
    (0xFF, 0x07, 0x0E),
]  # fmt: skip


@pytest.mark.parametrize(("flags", "ours", "theirs"), FLAGS)
def test_who_updates_dns(flags: int, ours: int, theirs: int) -> None:
    assert exchange(f"request m1 fqdn={flags:x}:pc").fqdn == ours
    assert exchange(f"request m1 fqdn={flags:x}:pc", "dhcp-client-update").fqdn == theirs


@pytest.mark.parametrize(("words", "ends"), [("", False), ("name=pc", False), ("name=pc~", True), ("name=~", True)])
def test_whether_texts_end_with_nul(words: str, ends: bool) -> None:
    assert exchange(f"request m1 {words}").terminate is ends


# -- who it is ------------------------------------

LEASE = "1800003600 02:aa:00:00:00:01 10.5.0.60 pc 01:61:62\n"
# Lines, the packet -> client-id, lease, reserved address, configured name.
IDENTITIES: list[tuple[list[str], str, str, str, str, str]] = [
    ([], "request m1", "016162", ".60", "0.0.0.0", ""), ([], "request m1 clid=016162", "016162", ".60", "0.0.0.0", ""),
    ([], "request m2 clid=016162", "016162", ".60", "0.0.0.0", ""), ([], "request m2", "", "-", "0.0.0.0", ""),
    ([], "request m1 clid=77", "77", "-", "0.0.0.0", ""), ([], "request m1 clid=", "016162", ".60", "0.0.0.0", ""),
    (["dhcp-ignore-clid"], "request m1 clid=77", "016162", ".60", "0.0.0.0", ""),
    (["dhcp-host=02:aa:00:00:00:01,id:*,10.5.0.66,tv"], "request m1 clid=016162", "", ".60", ".66", "tv"),
    (["dhcp-host=id:01:61:62,10.5.0.66,tv"], "request m1", "016162", ".60", ".66", "tv"),
    (["dhcp-host=02:aa:00:00:00:01,10.9.0.66,tv"], "request m1", "016162", ".60", "0.0.0.0", ""),
    (["dhcp-host=tv,10.5.0.66"], "request m2 name=TV", "", "-", ".66", "-"),
    (["dhcp-host=02:bb:00:00:00:01,tv", "dhcp-host=tv,10.5.0.66"], "request m2 name=tv", "", "-", ".66", "-"),
    (["dhcp-host=tv,10.5.0.66", "dhcp-host=02:bb:00:00:00:01,tv"], "request m2 name=tv", "", "-", "0.0.0.0", ""),
    (["dhcp-host=pc,10.5.0.66", "dhcp-host=02:*:*:*:*:*,tv"], "request m2 name=pc", "", "-", "0.0.0.0", "tv"),
    (["dhcp-host=02:bb:00:00:00:01,tv,10.5.0.66"], "request m2 name=tv", "", "-", "0.0.0.0", ""),
    (["dhcp-host=tv,10.5.0.66", "dhcp-host=02:aa:00:00:00:02,pc"], "request m2 name=tv", "", "-", "0.0.0.0", "pc"),
    (["dhcp-host=02:aa:00:00:00:01,pc.lan.test", "domain=lan.test"], "request m1", "016162", ".60", "0.0.0.0", "pc"),
]  # fmt: skip


@pytest.mark.parametrize(("lines", "packet", "client_id", "lease", "reserved", "host"), IDENTITIES)
def test_who_it_is(lines: list[str], packet: str, client_id: str, lease: str, reserved: str, host: str) -> None:
    made = exchange(packet, *lines, leases=LEASE)
    assert made.client_id.hex() == client_id
    assert (short(made.lease.address) if made.lease else "-", short(made.reserved())) == (lease, reserved)
    if host != "-":  # by its own name: either way it is called so
        assert made.name == host


@pytest.mark.parametrize(("packet", "identity"), [
    ("request m1 clid='abc", "02aa00000001"), ("request - clid='abc", "616263"), ("request -", ""),
    ("request 0102030405060708 htype=6", "0102030405060708"),
])  # fmt: skip
def test_what_a_client_is_counted_by(packet: str, identity: str) -> None:
    assert exchange(packet).identity.hex() == identity


# -- lines for the log ------------------------------------


def test_details_are_for_log_dhcp() -> None:
    packet = "discover m1 vendor=MSFT_5.0 user=04616363740162 name=joe fqdn=0:joe.lan.test"
    assert exchange(packet).lines == []
    made = exchange(packet, "log-dhcp", FIVE, "dhcp-range=10.5.0.0,static")
    assert [text for _, text in made.lines] == [
        "4097 available DHCP range: 10.5.0.50 -- 10.5.0.150", "4097 available DHCP subnet: 10.5.0.0/255.255.255.0",
        "4097 vendor class: MSFT 5.0", "4097 user class: acctb",
        "4097 client provides name: joe.lan.test",
    ]  # fmt: skip


@pytest.mark.parametrize(("lines", "packet", "kind", "address", "text", "expected"), [
    ([], "discover m1", "DHCPDISCOVER", None, "", "DHCPDISCOVER(lan0) 02:aa:00:00:00:01 "),
    ([], "discover m1", "DHCPACK", ".60", "pc", "DHCPACK(lan0) 10.5.0.60 02:aa:00:00:00:01 pc"),
    ([], "discover -", "DHCPDISCOVER", None, "no unique-id", "DHCPDISCOVER(lan0) <null> no unique-id"),
    (["log-dhcp"], "discover m1", "DHCPOFFER", ".60", "", "4097 DHCPOFFER(lan0) 10.5.0.60 02:aa:00:00:00:01 "),
    (["quiet-dhcp"], "discover m1", "DHCPOFFER", ".60", "", None),
    (["quiet-dhcp"], "discover m1", "DHCPNAK", ".60", "wrong network",
     "DHCPNAK(lan0) 10.5.0.60 02:aa:00:00:00:01 wrong network"),
    (["quiet-dhcp", "log-dhcp"], "discover m1", "DHCPOFFER", ".60", "",
     "4097 DHCPOFFER(lan0) 10.5.0.60 02:aa:00:00:00:01 "),
])  # fmt: skip
def test_the_line_of_a_message(
    lines: list[str], packet: str, kind: str, address: str | None, text: str, expected: str | None
) -> None:
    made = exchange(packet, *lines)
    made.lines.clear()
    made.event(kind, number(address) if address else None, text)
    assert [line for _, line in made.lines] == ([expected] if expected else [])


# -- the state ------------------------------------


def test_plans_are_remembered_and_bounded() -> None:
    state = Dhcp("dhcp-option=tag:t1,201,x").service.state
    first = state.plan({"t1": None}, {"t1": None})
    assert first is state.plan({"t1": None}, {"t1": None})
    assert 201 in first.plain
    for number_ in range(3 * p.DHCP_PLANS_MAX):
        state.plan({f"q{number_}": None}, {f"q{number_}": None})
        assert len(state._plans) <= p.DHCP_PLANS_MAX
    assert state.plan({"a": None}, {"a": None, "b": None}) is not state.plan(
        {"a": None, "b": None}, {"a": None, "b": None}
    )


@pytest.mark.parametrize(("lines", "hosts", "expected"), [
    ([], "10.5.0.60 pc\n", "pc"), ([], "10.5.0.60 pc.lan.test\n", ""),
    (["domain=lan.test"], "10.5.0.60 pc.LAN.test\n", "pc"),
    (["domain=lan.test"], "10.5.0.60 pc.other.test\n", ""), (["domain=lan.test"], "10.5.0.60 pc\n", "pc"),
    (["domain=lan.test"], "10.5.0.61 pc\n", ""), (["port=0"], "10.5.0.60 pc\n", ""),
    (["host-record=tv,10.5.0.60"], "10.5.0.60 pc\n", "tv"),
])  # fmt: skip
def test_names_of_addresses_in_hosts_data(lines: list[str], hosts: str, expected: str) -> None:
    assert Dhcp(*lines, hosts=hosts).service.state.name_of(number(".60")) == expected


@pytest.mark.parametrize(
    ("asked", "expected"), [("tftp", ".9"), ("TFTP", ".9"), ("other", "0.0.0.0"), ("a..b", "0.0.0.0")]
)
def test_addresses_of_names(asked: str, expected: str) -> None:
    assert short(Dhcp(hosts="10.5.0.9 tftp\n").service.state.address_of(asked)) == expected


def test_the_domain_of_an_address() -> None:
    state = Dhcp("domain=lan.test", "domain=special.test,10.5.0.128").service.state
    assert state.domain_of(number(".128")) == name("special.test")
    assert state.domain_of(number(".129")) == name("lan.test")
    assert Dhcp().service.state.domain_of(number(".60")) == b""


def test_option_6_is_for_port_53() -> None:
    assert (Dhcp().service.state.dns, Dhcp("port=5353").service.state.dns) == (True, False)


def test_any_options_are_recognised() -> None:
    lines = [line for row in TAGS for line in row[1]]
    dhcp = Dhcp("log-dhcp", "domain=lan.test", FIVE, SIX, *dict.fromkeys(lines))
    dice = random.Random(56)
    codes = (12, 43, 50, 51, 54, 55, 57, 60, 61, 77, 81, 82, 93, 118, 124, 125, 161)
    for _ in range(2000):
        message = dhcp_message(["discover", f"m{dice.randrange(20)}"])
        message.options += [(dice.choice(codes), dice.randbytes(dice.choice((0, 1, 3, 4, 9, 40)))) for _ in range(5)]
        message.giaddr = dice.choice(("0.0.0.0", "10.6.0.2", "10.99.0.1", "255.255.255.255"))
        message.hlen = dice.randrange(17)
        arrival = dhcp.arrival(["discover"], message)
        made = p.Dhcp4Exchange(dhcp.service.state, p.dhcp4_unpack(message.pack()), arrival, NOW)
        if made.locate({}):
            made.recognise(dhcp.table)
            assert made.asked_name.isascii()
        assert all(text.isascii() and text.isprintable() for _, text in made.lines)


# -- clients that boot from the network ------------------------------------

SERVICES = ["pxe-service=x86PC,Bios,a", "pxe-service=tag:t,x86PC,Tagged,b", "pxe-service=tag:!t,x86PC,Others,c",
            "pxe-service=7,Efi,d.efi"]  # fmt: skip
ROM = "vendor=PXEClient:Arch:00000 o93=0000"
# Lines, the packet -> the class that makes it one, whether it boots.
BOOTING: list[tuple[str, list[str], str, str, bool]] = [
    ("a boot ROM", SERVICES, f"discover m1 {ROM}", "PXEClient", True),
    ("a prompt is enough", ["pxe-prompt=Go"], f"discover m1 {ROM}", "PXEClient", True),
    ("without any service", [], f"discover m1 {ROM}", "", False),
    ("the class alone", SERVICES, "discover m1 vendor=PXEClient o93=0000", "PXEClient", True),
    ("no architecture", SERVICES, "discover m1 vendor=PXEClient", "PXEClient", False),
    ("half an architecture", SERVICES, "discover m1 vendor=PXEClient o93=00", "PXEClient", False),
    ("several architectures", SERVICES, "discover m1 vendor=PXEClient o93=00070010", "PXEClient", True),
    ("another class", SERVICES, "discover m1 vendor=pxeclient o93=0000", "", False),
    ("not at its beginning", SERVICES, "discover m1 vendor=XPXEClient o93=0000", "", False),
    ("no class", SERVICES, "discover m1 o93=0000", "", False),
    ("classes of one's own", [*SERVICES, "dhcp-pxe-vendor=HW,HW-Client"], "discover m1 vendor=HW-Client:x o93=0000",
     "HW-Client", True),
    ("replace the usual one", [*SERVICES, "dhcp-pxe-vendor=HW"], f"discover m1 {ROM}", "", False),
    ("the last that fits", [*SERVICES, "dhcp-pxe-vendor=HW-Client,HW"], "discover m1 vendor=HW-Client:x o93=0000", "HW",
     True),
    ("BOOTP", SERVICES, f"bootp m1 {ROM}", "", False),
    ("options for PXE clients, but no services", ["dhcp-option-pxe=201,a"], f"discover m1 {ROM}", "PXEClient", False),
]  # fmt: skip


@pytest.mark.parametrize(("lines", "packet", "vendor", "boots"), [r[1:] for r in BOOTING], ids=[r[0] for r in BOOTING])
def test_who_boots(lines: list[str], packet: str, vendor: str, boots: bool) -> None:
    made = exchange(packet, *lines)
    assert (made.pxe_vendor.decode(), made.boots) == (vendor, boots)


@pytest.mark.parametrize(("arch", "tags", "expected"), [
    ("0000", [], ["Bios", "Others"]), ("0000", ["t"], ["Bios", "Tagged"]), ("0007", [], ["Efi"]), ("0009", [], []),
    ("00070000", [], ["Efi"]), ("", [], []),
])  # fmt: skip
def test_boot_items_for_a_client(arch: str, tags: list[str], expected: list[str]) -> None:
    made = exchange(f"discover m1 vendor=PXEClient {f'o93={arch}' if arch else ''}", *SERVICES)
    assert [one.service.text for one in made.boot_items(tags)] == expected


def test_addresses_of_a_boot_server_in_turn() -> None:
    """Of several addresses each gets its share; a name that is not known has none."""
    hosts = "10.5.0.7 boot\n10.5.0.8 boot\n10.5.0.9 boot\nfd00::1 boot six\n"
    state = Dhcp(hosts=hosts).service.state
    found = [short(p.ip4_format(state.address_in_turn("boot"))) for _ in range(6)]
    assert sorted(found[:3]) == sorted(found[3:]) == [".7", ".8", ".9"] and found[:3] == found[3:]
    assert state.address_in_turn("BOOT") and state.address_of("boot") == state.address_of("boot") != 0
    for none in ("nobody", "six", "", "a..b", "x" * 70):
        assert state.address_in_turn(none) == state.address_of(none) == 0
