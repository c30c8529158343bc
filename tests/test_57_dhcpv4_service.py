"""Section 57: a message in, an outcome out.

The scripts are read by `Dhcp.play`; an address `.60` is 10.5.0.60, client m1 has the
hardware address 02:aa:00:00:00:01, whose own place in the usual range is .128.
"""

from __future__ import annotations

import random
from typing import Any

import pytest

import dhcpwire
import pydnsmasq as p
from pure import NOW, RANGE, Dhcp, at, dhcp_message, mac, number, octets

SIX = "dhcp-range=10.6.0.50,10.6.0.150,255.255.255.0"
NINE = "dhcp-range=10.9.0.50,10.9.0.150"
RESERVED = "dhcp-host=02:aa:00:00:00:09,10.5.0.66"
HOST = "dhcp-host=02:aa:00:00:00:01,10.5.0.66,pc"


# -- REQUEST: every state of RFC 2131 s.4.3.2 --------------------------------------------

# Before it, the request, what dhcp-authoritative makes of it after a bar.
STATES = """
SELECTING
    : sid=.1 req=.70 -> ACK .70
    dora m2 req=.70: sid=.1 req=.70 -> NAK address in use
    : sid=.1 req=.20 -> NAK address not available
    : sid=.1 req=10.8.0.60 -> NAK wrong network
    : sid=.1 req=10.9.0.60 -> NAK wrong network
    : sid=.1 req=.1 -> NAK address not available
    : sid=.1 req=.66 -> NAK address reserved
    dora m1 req=.70: sid=.1 req=.71 -> ACK .71
    : sid=.77 req=.70 -> SILENCE | NAK wrong server-ID
    : sid=10.9.0.1 req=.70 -> ACK .70
INIT-REBOOT without a lease
    : req=.70 -> SILENCE | ACK .70
    : req=.66 -> SILENCE | NAK address reserved
    : req=.20 -> SILENCE | NAK address not available
    : req=.1 -> SILENCE | NAK address not available
    dora m2 req=.70: req=.70 -> SILENCE | NAK address in use
    : req=10.8.0.60 -> SILENCE | NAK wrong network
INIT-REBOOT with a lease
    dora m1 req=.70: req=.70 -> ACK .70
    dora m1 req=.70: req=.71 -> NAK wrong address
    dora m1 req=.70: req=10.8.0.60 -> NAK wrong address
RENEWING: to our address
    dora m1 req=.70: uni ci=.70 -> ACK .70
    : uni ci=.70 -> NAK lease not found | ACK .70
    : uni ci=.20 -> NAK lease not found | NAK address not available
    : uni ci=10.8.0.60 -> NAK lease not found | NAK wrong network
    dora m2 req=.70: uni ci=.70 -> NAK lease not found | NAK address in use
    dora m1 req=.70: uni ci=.71 -> NAK lease not found
    dora m1 req=.70: uni ci=.71 req=.72 -> NAK wrong address
    dora m1 req=.70: uni ci=.71 req=.70 -> ACK .70
REBINDING: to everybody
    dora m1 req=.70: ci=.70 -> ACK .70
    : ci=.70 -> SILENCE | ACK .70
    : ci=.20 -> SILENCE | NAK address not available
    : ci=10.8.0.60 -> SILENCE | NAK wrong network
    dora m1 req=.70: ci=.71 -> SILENCE
    dora m2 req=.70: ci=.70 -> SILENCE | NAK address in use
"""


def states() -> list[Any]:
    rows, heading = [], ""
    for line in STATES.strip().splitlines():
        if not line.startswith(" "):
            heading = line.partition(":")[0]
            continue
        before, _, rest = line.strip().partition(": ") if ": " in line else ("", "", line.strip()[1:])
        words, _, outcomes = rest.partition(" -> ")
        plain, _, strict = outcomes.partition(" | ")
        for lines, expected in (((), plain), (("dhcp-authoritative",), strict or plain)):
            name = f"{heading} {before}: {words}{' authoritative' if lines else ''}"
            rows.append(pytest.param(lines, before.strip(": "), words.strip(), expected, id=name))
    return rows


@pytest.mark.parametrize(("lines", "before", "words", "expected"), states())
def test_request(lines: tuple[str, ...], before: str, words: str, expected: str) -> None:
    dhcp = Dhcp(RANGE, NINE, RESERVED, *lines)
    if before:
        assert dhcp.do(before).startswith("ACK")
    dhcp.do_log()
    assert dhcp.send(f"request m1 {words}") == expected
    lines_ = dhcp.do_log().split("|")
    if expected == "SILENCE":
        assert lines_ == [""]
    else:
        kind, _, rest = expected.partition(" ")
        assert [line.partition("(")[0] for line in lines_] == ["DHCPREQUEST", f"DHCP{kind}"]
        assert lines_[-1].endswith(f"02:aa:00:00:00:01 {rest}" if kind == "NAK" else "02:aa:00:00:00:01")


REQUESTS: list[tuple[str, list[str], str]] = [
    ("what was chosen anew ends the old lease", [], """
        dora m1 req=.70 -> ACK .70
        request m1 sid=.1 req=.71 -> ACK .71
        leases -> m1 .71 * *
        events -> del .70 *; add .71 *"""),
    ("even when the new one cannot be had", [], """
        dora m2 req=.71
        dora m1 req=.70 -> ACK .70
        request m1 sid=.1 req=.71 -> NAK address in use
        leases -> m2 .71 * *"""),
    ("who chose another server keeps what he had", [], """
        dora m1 req=.70 -> ACK .70
        request m1 sid=.77 req=.71 -> SILENCE
        leases -> m1 .70 * *"""),
    ("a client with a reservation may choose another address", [HOST], "request m1 sid=.1 req=.80 -> ACK .80"),
    ("but it is called back", [HOST], """
        request m1 sid=.1 req=.80 -> ACK .80
        request m1 uni ci=.80 -> NAK static lease available
        request m1 req=.80 -> NAK static lease available
        discover m1 -> OFFER .66"""),
    ("not while somebody else has it", [HOST], """
        request m1 sid=.1 req=.80 -> ACK .80
        request m2 sid=.1 req=.66 -> NAK address reserved
        discover m1 -> OFFER .66"""),
    ("no address at all", [], "request m1 -> SILENCE\nrequest m1 sid=.1 -> SILENCE"),
    ("a wrong address of option 50's length", [], "request m1 sid=.1 o50=0a05 -> NAK wrong network"),
    ("no client", ["dhcp-authoritative"], "request - sid=.1 req=.70 -> NAK no unique-id"),
    ("no hardware address, but a client-id", [], """
        dora - clid='abc -> ACK .68
        leases -> 01- .68 * 61:62:63
        to -> 0.0.0.0:68"""),
    ("no leases left", ["dhcp-lease-max=1"], """
        dora m1 req=.70 -> ACK .70
        discover m2 req=.71 -> OFFER .71
        request m2 sid=.1 req=.71 -> NAK no leases left
        request m1 sid=.1 req=.72 -> ACK .72
        release m1 sid=.1 ci=.72
        request m2 sid=.1 req=.71 -> ACK .71"""),
    ("ignored", ["dhcp-host=02:aa:00:00:00:01,ignore", "dhcp-authoritative"],
     "request m1 sid=.1 req=.70 -> SILENCE\nlog ->"),
    ("the server's own address is reserved by mistake", ["dhcp-host=02:aa:00:00:00:01,10.5.0.1"],
     "request m1 sid=.1 req=.1 -> NAK address not available"),
    ("another client of the same entry takes over", ["dhcp-host=02:aa:00:00:00:01,02:aa:00:00:00:02,10.5.0.66"], """
        dora m1 -> ACK .66
        log
        discover m2 -> OFFER .66
        request m2 sid=.1 req=.66 -> ACK .66
        log -> DHCPDISCOVER(lan0) 02:aa:00:00:00:02
        | DHCPOFFER(lan0) 10.5.0.66 02:aa:00:00:00:02
        | DHCPREQUEST(lan0) 10.5.0.66 02:aa:00:00:00:02
        | abandoning lease to 02:aa:00:00:00:01 of 10.5.0.66
        | DHCPACK(lan0) 10.5.0.66 02:aa:00:00:00:02
        leases -> m2 .66 * *
        events -> add .66 *"""),
    ("a client with another client-id is another client", [], """
        dora m1 clid=0101 -> ACK .128
        dora m1 clid=0202 -> ACK .129
        request m1 clid=0101 uni ci=.128 -> ACK .128
        leases -> m1 .129 * 02:02; m1 .128 * 01:01"""),
    ("a client-id moves to another card", [], """
        dora m1 clid=0101 -> ACK .128
        events
        request m2 clid=0101 uni ci=.128 -> ACK .128
        leases -> m2 .128 * 01:01
        events -> old .128 *"""),
    ("id:* makes a client of its cards", ["dhcp-host=02:aa:00:00:00:01,id:*,10.5.0.66"], """
        dora m1 clid=0101 -> ACK .66
        dora m1 clid=0202 -> ACK .66
        leases -> m1 .66 * *"""),
]  # fmt: skip


@pytest.mark.parametrize(("lines", "script"), [row[1:] for row in REQUESTS], ids=[row[0] for row in REQUESTS])
def test_requests(lines: list[str], script: str) -> None:
    Dhcp(*lines).play(script)


# -- DISCOVER ----------------------------------------------------------------------------

OFFERS: list[tuple[str, list[str], str]] = [
    ("by the hash of the hardware address", [], "discover m1 -> OFFER .128\ndiscover m2 -> OFFER .129\nleases ->"),
    ("not by the client-id", [], "discover m1 clid='abc -> OFFER .128"),
    ("without hardware by the client-id", [], "discover - clid='abc -> OFFER .68"),
    ("of nobody", [], "discover - -> SILENCE\nlog -> DHCPDISCOVER(lan0) <null> no unique-id"),
    ("a wish", [], """
        discover m1 req=.60 -> OFFER .60
        log -> DHCPDISCOVER(lan0) 10.5.0.60 02:aa:00:00:00:01
        | DHCPOFFER(lan0) 10.5.0.60 02:aa:00:00:00:01"""),
    ("the ends of a range", [], "discover m1 req=.50 -> OFFER .50\ndiscover m1 req=.150 -> OFFER .150"),
    ("wishes that cannot be", [RESERVED], """
        dora m2 req=.60
        discover m1 req=.60 -> OFFER .128
        discover m1 req=.66 -> OFFER .128
        discover m1 req=.1 -> OFFER .128
        discover m1 req=.49 -> OFFER .128
        discover m1 req=10.8.0.60 -> OFFER .128"""),
    ("one's own lease counts for more", [], "dora m1 req=.60\ndiscover m1 req=.70 -> OFFER .60"),
    ("a lease that lies outside now", ["dhcp-range=10.5.0.50,10.5.0.59"], "discover m1 -> OFFER .53"),
    ("the full range", ["dhcp-range=10.5.0.50,10.5.0.50"], """
        dora m2 -> ACK .50
        log
        discover m1 -> SILENCE
        log -> DHCPDISCOVER(lan0) 02:aa:00:00:00:01 no address available"""),
    ("ignored", ["dhcp-ignore=tag:lan0"],
     "discover m1 -> SILENCE\nlog -> DHCPDISCOVER(lan0) 02:aa:00:00:00:01 ignored"),
    ("reserved", [HOST], "discover m1 -> OFFER .66\ndiscover m1 req=.60 -> OFFER .66\ndora m1 -> ACK .66"),
    ("reserved outside of the ranges", ["dhcp-host=02:aa:00:00:00:01,10.5.0.20"], "dora m1 -> ACK .20"),
    ("reserved on another net", ["dhcp-host=02:aa:00:00:00:01,10.9.0.20,pc"], """
        dora m1 -> ACK .128
        get 12 -> -"""),
    ("reserved, but leased", ["dhcp-host=02:aa:00:00:00:01,10.5.0.66"], """
        dora m1 -> ACK .66
        log
        leases -> m1 .66 * *"""),
    ("the server's own", ["dhcp-host=02:aa:00:00:00:01,10.5.0.1"], """
        discover m1 -> OFFER .128
        log -> not using configured address 10.5.0.1 because it is in use by the server or relay
        | DHCPDISCOVER(lan0) 02:aa:00:00:00:01
        | DHCPOFFER(lan0) 10.5.0.128 02:aa:00:00:00:01"""),
    ("only static", ["dhcp-range=10.5.0.0,static", HOST], """
        discover m1 -> OFFER .66
        discover m2 -> SILENCE
        log
        request m2 sid=.1 req=.60 -> NAK address not available"""),
    ("one after the other", ["dhcp-sequential-ip"], """
        dora m1 -> ACK .50
        dora m2 -> ACK .51
        dora m3 -> ACK .52
        release m2 sid=.1 ci=.51
        dora m4 -> ACK .53"""),
    ("one after the other, and back at once", ["dhcp-sequential-ip"], """
        dora m1 -> ACK .50
        release m1 sid=.1 ci=.50
        discover m2 -> OFFER .50"""),
    ("one after the other, all at once", ["dhcp-sequential-ip"],
     "discover m1 -> OFFER .50\ndiscover m2 -> OFFER .51\ndiscover m1 -> OFFER .50\nwait 16\ndiscover m3 -> OFFER .50"),
    ("a range for tags", [RANGE, "dhcp-range=tag:v,10.5.0.200,10.5.0.200", "dhcp-vendorclass=set:v,phone"],
     """
        discover m1 vendor=phone -> OFFER .200
        discover m1 -> OFFER .128
        request m1 sid=.1 req=.200 -> NAK address not available"""),
    ("rapid commit", ["dhcp-rapid-commit"], """
        discover m1 rapid= -> ACK .128
        order -> 53 54 51 80 58 59 1 28 3 6
        log -> DHCPDISCOVER(lan0) 02:aa:00:00:00:01
        | DHCPACK(lan0) 10.5.0.128 02:aa:00:00:00:01
        discover m2 -> OFFER .129
        leases -> m1 .128 * *"""),
    ("rapid commit is off", [], "discover m1 rapid= -> OFFER .128"),
    ("rapid commit of another address", ["dhcp-rapid-commit", HOST], """
        request m1 sid=.1 req=.80 -> ACK .80
        discover m1 rapid= -> ACK .66
        leases -> m1 .66 pc *"""),
    ("rapid commit when there are no leases left", ["dhcp-rapid-commit", "dhcp-lease-max=1"], """
        dora m2 -> ACK .129
        discover m1 rapid= -> SILENCE"""),
    ("a delay", ["dhcp-reply-delay=tag:known,2", HOST], "discover m1 -> OFFER .66"),
]  # fmt: skip


@pytest.mark.parametrize(("lines", "script"), [row[1:] for row in OFFERS], ids=[row[0] for row in OFFERS])
def test_offers(lines: list[str], script: str) -> None:
    Dhcp(*lines).play(script)


def test_a_reservation_that_another_has() -> None:
    dhcp = Dhcp(leases=b"1800003600 02:aa:00:00:00:02 10.5.0.66 * *\n")
    dhcp.service.use(dhcp.state(HOST))
    dhcp.play("""
        discover m1 -> OFFER .128
        log -> not using configured address 10.5.0.66 because it is leased to 02:aa:00:00:00:02
        | DHCPDISCOVER(lan0) 02:aa:00:00:00:01
        | DHCPOFFER(lan0) 10.5.0.128 02:aa:00:00:00:01
        request m1 sid=.1 req=.66 -> NAK address in use
        request m2 uni ci=.66 -> NAK address reserved
        discover m2 -> OFFER .129""")  # fmt: skip


@pytest.mark.parametrize(("packet", "delay"), [
    ("discover m1", 2), ("discover m2", 0), ("request m1 sid=.1 req=.66", 0), ("inform m1 ci=.66", 0),
])  # fmt: skip
def test_only_offers_are_delayed(packet: str, delay: int) -> None:
    dhcp = Dhcp("dhcp-reply-delay=tag:known,2", HOST)
    dhcp.send(packet)
    assert dhcp.outcome.delay == delay


# -- pings -------------------------------------------------------------------------------

PINGS: list[tuple[str, list[str], str]] = [
    ("nobody answers", [], """
        discover m1 -> PING .128
        log ->
        ping .128 dead
        discover m1 -> OFFER .128
        wait 29
        discover m1 -> OFFER .128
        wait 2
        discover m1 -> PING .128"""),
    ("somebody answers", [], """
        discover m1 -> PING .128
        ping .128 alive
        discover m1 -> PING .129
        ping .129 dead
        discover m1 -> OFFER .129
        discover m2 -> PING .130"""),
    ("a wish", [], """
        discover m1 req=.60 -> PING .60
        ping .60 alive
        discover m1 req=.60 -> PING .128
        ping .128 dead
        discover m1 req=.60 -> OFFER .128"""),
    ("not for reserved addresses", [HOST], "discover m1 -> OFFER .66"),
    ("not for one's own lease", [], "request m1 sid=.1 req=.60 -> ACK .60\ndiscover m1 -> OFFER .60"),
    ("not for a request", [], "request m1 sid=.1 req=.60 -> ACK .60"),
    ("one after the other", ["dhcp-sequential-ip"], "discover m1 -> PING .50\nping .50 alive\ndiscover m1 -> PING .51"),
    ("BOOTP", ["bootp-dynamic"], "bootp m1 -> PING .128\nping .128 dead\nbootp m1 -> BOOTP .128"),
]  # fmt: skip


@pytest.mark.parametrize(("lines", "script"), [row[1:] for row in PINGS], ids=[row[0] for row in PINGS])
def test_pings(lines: list[str], script: str) -> None:
    Dhcp(*lines, ping=True).play(script)


def test_a_message_that_waits_for_a_ping_is_counted_once() -> None:
    dhcp = Dhcp(ping=True)
    dhcp.play("""
        discover m1 -> PING .128
        ping .128 alive
        discover m1 -> PING .129
        ping .129 dead
        discover m1 -> OFFER .129""")
    assert (dhcp.service.metrics["dhcp_discover"], dhcp.service.metrics["dhcp_offer"]) == (1, 1)


def test_there_is_nobody_to_ping_on_the_loopback() -> None:
    dhcp = Dhcp(ping=True)
    message = p.dhcp4_unpack(dhcp_message(["discover", "m1"]).pack())
    arrival = p.Dhcp4Arrival("lan0", 1, number(".1"), 0, 68, loopback=True)
    assert dhcp.service.handle(message, arrival, NOW) is not None


# -- DECLINE, RELEASE --------------------------------------------------------------------

ENDS: list[tuple[str, list[str], str]] = [
    ("a declined address", [], """
        dora m1 -> ACK .128
        events
        log
        decline m1 sid=.1 req=.128 -> SILENCE
        log -> DHCPDECLINE(lan0) 10.5.0.128 02:aa:00:00:00:01
        leases ->
        events -> del .128 *
        discover m1 -> OFFER .129
        discover m2 -> OFFER .130"""),
    ("another's address", [], """
        dora m2 -> ACK .129
        decline m1 sid=.1 req=.129 -> SILENCE
        leases -> m2 .129 * *"""),
    ("to another server", [], """
        dora m1 -> ACK .128
        log
        decline m1 sid=.77 req=.128 -> SILENCE
        decline m1 req=.128 -> SILENCE
        log ->
        leases -> m1 .128 * *"""),
    ("a reserved address", ["dhcp-host=02:aa:00:00:00:01,10.5.0.66"], """
        dora m1 -> ACK .66
        log
        decline m1 sid=.1 req=.66
        log -> DHCPDECLINE(lan0) 10.5.0.66 02:aa:00:00:00:01
        | disabling DHCP static address 10.5.0.66 for 10m
        discover m1 -> OFFER .128
        log -> not using configured address 10.5.0.66 because it was previously declined
        | DHCPDISCOVER(lan0) 02:aa:00:00:00:01
        | DHCPOFFER(lan0) 10.5.0.128 02:aa:00:00:00:01
        discover m2 -> OFFER .129
        request m1 sid=.1 req=.66 -> ACK .66
        release m1 sid=.1 ci=.66
        wait 601
        discover m1 -> OFFER .66"""),
    ("all ranges move on", [RANGE, "dhcp-range=tag:t,10.5.0.200,10.5.0.240", "dhcp-vendorclass=set:t,x"], """
        discover m1 vendor=x -> OFFER .213
        decline m1 sid=.1 req=.70
        discover m1 -> OFFER .129
        discover m1 vendor=x -> OFFER .214"""),
    ("a released address", [], """
        dora m1 name=pc -> ACK .128
        events
        log
        release m1 sid=.1 ci=.128 -> SILENCE
        log -> DHCPRELEASE(lan0) 10.5.0.128 02:aa:00:00:00:01
        leases ->
        events -> del .128 pc
        dns pc -> -"""),
    ("what is not had", [], """
        release m1 sid=.1 ci=.80 -> SILENCE
        log -> DHCPRELEASE(lan0) 10.5.0.80 02:aa:00:00:00:01 unknown lease"""),
    ("another's", [], """
        dora m2 -> ACK .129
        release m1 sid=.1 ci=.129
        leases -> m2 .129 * *"""),
    ("released to another server", [], """
        dora m1 -> ACK .128
        release m1 sid=.77 ci=.128
        release m1 ci=.128
        leases -> m1 .128 * *"""),
    ("it ends by itself", [], """
        dora m1 name=pc -> ACK .128
        events
        wait 3599
        leases -> m1 .128 pc *
        wait 1
        leases ->
        events -> del .128 pc
        dns pc -> -
        ptr .128 -> -
        discover m2 req=.128 -> OFFER .128"""),
]  # fmt: skip


@pytest.mark.parametrize(("lines", "script"), [row[1:] for row in ENDS], ids=[row[0] for row in ENDS])
def test_ends_of_leases(lines: list[str], script: str) -> None:
    Dhcp(*lines).play(script)


# -- the reply ---------------------------------------------------------------------------

ORDERS: list[tuple[str, list[str], str, str]] = [
    ("without a list", ["domain=lan.test"], "dora m1 name=pc", "53 54 51 58 59 1 28 3 6 15 12"),
    ("an empty list", ["domain=lan.test"], "dora m1 name=pc o55=", "53 54 51 58 59 1 28"),
    ("the order of the list does not matter", ["domain=lan.test"], "dora m1 name=pc prl=12,15,6,3",
     "53 54 51 58 59 1 28 3 6 15 12"),
    ("an offer", ["domain=lan.test"], "discover m1 name=pc", "53 54 51 58 59 1 28 3 6 15"),
    ("an offer with a name of ours", ["domain=lan.test", HOST], "discover m1", "53 54 51 58 59 1 28 3 6 15 12"),
    ("the client calls itself so, too", [HOST], "discover m1 name=PC", "53 54 51 58 59 1 28 3 6 12"),
    ("it calls itself something else", [HOST], "discover m1 name=tv", "53 54 51 58 59 1 28 3 6"),
    ("acknowledged all the same", [HOST], "dora m1 name=tv", "53 54 51 58 59 1 28 3 6 12"),
    ("for ever", ["dhcp-range=10.5.0.50,10.5.0.150,infinite"], "dora m1", "53 54 51 1 28 3 6"),
    ("boot", ["dhcp-boot=f,s"], "dora m1 prl=66,67", "53 54 51 66 67 58 59 1 28"),
    ("option 81", ["domain=lan.test"], "dora m1 fqdn=1:pc prl=3", "53 54 51 58 59 1 28 3 81"),
    ("option 82", [], "dora m1 circuit='ab gi=10.5.0.2 prl=3", "53 54 51 58 59 1 28 3 82"),
    ("option 118", [], "dora m1 subnet=10.5.0.0 prl=3", "53 54 51 118 58 59 1 28 3"),
    ("all", ["dhcp-boot=f,s", "domain=lan.test", "dhcp-option=201,x", "dhcp-option=vi-encap:9,1,x",
             "dhcp-option=encap:206,1,x", "dhcp-option=vendor:AB,1,x", "dhcp-option=202,y"],
     "dora m1 subnet=10.5.0.0 circuit='ab fqdn=1:pc vendor=AB gi=10.5.0.2",
     "53 54 51 118 58 59 1 28 3 6 15 12 81 202 201 206 125 43 60 82"),
    ("another port for DNS", ["port=5353"], "dora m1", "53 54 51 58 59 1 28 3"),
]  # fmt: skip


@pytest.mark.parametrize(("lines", "packet", "order"), [row[1:] for row in ORDERS], ids=[row[0] for row in ORDERS])
def test_the_order_of_options(lines: list[str], packet: str, order: str) -> None:
    Dhcp(*lines).play(f"{packet}\norder -> {order}")


REPLIES: list[tuple[str, list[str], str]] = [
    ("to the client that has no address yet", [], """
        dora m1
        to -> .128:68 02aa00000001
        head yi si ci flags -> .128 .1 0.0.0.0 0"""),
    ("to all when it asks for that", [], "dora m1 bcast\nto -> 0.0.0.0:68\nhead flags yi -> 8000 .128"),
    ("to all when we want it", ["dhcp-broadcast"], "dora m1\nto -> 0.0.0.0:68\nhead flags -> 8000"),
    ("to all of a tag", ["dhcp-broadcast=tag:known", HOST], """
        dora m1
        to -> 0.0.0.0:68
        dora m2
        to -> .129:68 02aa00000002"""),
    ("to the address that it has", [], """
        dora m1
        request m1 uni ci=.128 -> ACK .128
        to -> .128:68
        head ci yi -> .128 .128
        request m1 uni ci=.128 sport=1068
        to -> .128:1068
        request m1 uni ci=.128 from=.99 sport=1068
        to -> .128:68"""),
    ("to the relay", [SIX], """
        dora m1 gi=10.6.0.2 bcast -> ACK 10.6.0.128
        to -> 10.6.0.2:67
        head gi flags -> 10.6.0.2 8000
        get 3 1 28 54 -> 0a060002 ffffff00 0a0600ff 0a050001
        request m1 gi=10.6.0.2 ci=10.6.0.128
        to -> 10.6.0.2:67"""),
    ("what is echoed", [], "discover m1 secs=77 hops=3 flags=1 htype=1\nhead secs hops flags htype hlen -> 4d 3 1 1 6"),
    ("ciaddr of a DISCOVER means nothing", [], "discover m1 ci=.99 -> OFFER .128\nhead ci -> 0.0.0.0"),
    ("boot fields", ["dhcp-boot=f,s,10.5.0.9"], "dora m1 prl=3\nhead file sname si -> 'f 's .9"),
    ("other ports", ["dhcp-alternate-port"], "dora m1\nto -> .128:1068 02aa00000001"),
    ("a refusal goes to all", [], """
        request m1 sid=.1 req=10.8.0.60 -> NAK wrong network
        to -> 0.0.0.0:68
        order -> 53 54 56
        head yi si ci flags -> 0.0.0.0 0.0.0.0 0.0.0.0 8000"""),
    ("or to the relay", [SIX], """
        request m1 sid=.1 req=10.8.0.60 gi=10.6.0.2 circuit='ab -> NAK wrong network
        to -> 10.6.0.2:67
        order -> 53 54 56 82
        head flags -> 8000"""),
    ("link selection", [SIX], """
        discover m1 gi=10.5.0.2 link=10.6.0.0 -> OFFER 10.6.0.128
        get 118 82 -> 0a060000 05040a060000
        to -> .2:67"""),
    ("server-id override", [SIX], """
        dora m1 gi=10.6.0.2 over=10.6.0.3 -> ACK 10.6.0.128
        get 54 -> 0a060003
        head si -> .1"""),
    ("dhcp-proxy", [SIX, "dhcp-proxy"], """
        dora m1 gi=10.6.0.2 -> ACK 10.6.0.128
        get 54 -> 0a060002
        request m1 uni ci=10.6.0.128 -> ACK 10.6.0.128
        get 54 -> 0a060002"""),
    ("a server-id of ours elsewhere comes back", [RANGE, NINE], """
        request m1 sid=10.9.0.1 req=.60 -> ACK .60
        get 54 -> 0a090001"""),
    ("NUL at the end of texts", ["domain=lan.test", "dhcp-option=17,/root"], """
        dora m1 name=pc~
        get 12 15 17 -> 706300 6c616e2e7465737400 2f726f6f7400
        dora m1 name=pc
        get 12 15 17 -> 'pc 'lan.test '/root"""),
]  # fmt: skip


@pytest.mark.parametrize(("lines", "script"), [row[1:] for row in REPLIES], ids=[row[0] for row in REPLIES])
def test_replies(lines: list[str], script: str) -> None:
    Dhcp(*lines).play(script)


# Option 57, DHCP or not -> the largest reply.
@pytest.mark.parametrize(("words", "most"), [
    ("discover m1", 547), ("discover m1 size=100", 547), ("discover m1 size=576", 547), ("discover m1 size=600", 571),
    ("discover m1 size=1024", 995), ("discover m1 size=1500", 1471), ("discover m1 o57=05", 547),
    ("discover m1 size=9000", 1472), ("discover m1 size=65535", 1472), ("bootp m1", 300),
])  # fmt: skip
def test_the_size_of_a_reply(words: str, most: int) -> None:
    """No reply is longer than the client takes, and none needs fragments on an Ethernet."""
    lines = [f"dhcp-option={code},{'x' * 24}" for code in range(162, 254)]
    dhcp = Dhcp(*lines, "dhcp-no-override", HOST)
    dhcp.send(words)
    assert most - 26 < len(dhcp.outcome.wire) <= most
    assert len([text for text in dhcp.log.texts() if text.startswith("cannot send DHCP/BOOTP option 1")]) > 5


def test_options_move_into_free_fields() -> None:
    lines = [f"dhcp-option={code},{'x' * 60}" for code in (201, 202, 203, 204, 205, 206)]
    dhcp = Dhcp(*lines)
    dhcp.play("discover m1 prl=3,201,202,203,204,205,206 -> OFFER .128")
    seen = p.dhcp4_unpack(dhcp.outcome.wire)
    assert {code for code in seen.options if code > 200} == {201, 202, 203, 204, 205, 206}
    assert 52 in seen.options
    dhcp.service.use(dhcp.state(*lines, "dhcp-no-override"))
    dhcp.play("discover m1 prl=3,201,202,203,204,205,206 -> OFFER .128")
    assert 52 not in p.dhcp4_unpack(dhcp.outcome.wire).options
    assert "cannot send DHCP/BOOTP option 201: no space left in packet" in dhcp.log.texts()


# -- how long ----------------------------------------------------------------------------

TEN = "dhcp-host=02:aa:00:00:00:01,10m"
# Lines, what is asked for -> option 51, T1, T2.
LENGTHS: list[tuple[list[str], str, str]] = [
    ([], "", "3600 1800 3150"), ([], "lease=120", "120 60 105"), ([], "lease=0", "120 60 105"),
    ([], "lease=119", "120 60 105"), ([], "lease=121", "121 60 105"), ([], "lease=3600", "3600 1800 3150"),
    ([], "lease=3601", "3600 1800 3150"), ([], f"lease={0xFFFFFFFF}", "3600 1800 3150"),
    ([], "o51=00", "3600 1800 3150"),
    (["dhcp-range=10.5.0.50,10.5.0.150,infinite"], "", "infinite - -"),
    (["dhcp-range=10.5.0.50,10.5.0.150,infinite"], "lease=600", "600 300 525"),
    (["dhcp-range=10.5.0.50,10.5.0.150,infinite"], f"lease={0xFFFFFFFF}", "infinite - -"),
    ([TEN], "", "600 300 525"), ([TEN], "lease=3600", "600 300 525"), ([TEN], "lease=300", "300 150 262"),
    (["dhcp-host=02:aa:00:00:00:01,2h"], "", "7200 3600 6300"),
    (["dhcp-host=02:aa:00:00:00:01,infinite"], "", "infinite - -"),
    # options 58 and 59
    (["dhcp-option=58,100", "dhcp-option=59,200"], "", "3600 100 200"),
    (["dhcp-option=T1,10m", "dhcp-option=T2,2h"], "", "3600 600 3150"),
    (["dhcp-option=T1,50m", "dhcp-option=T2,20m"], "", "3600 1199 1200"),
    (["dhcp-option=T1,58m"], "", "3600 3149 3150"), (["dhcp-option=T1,70m"], "", "3600 1800 3150"),
    (["dhcp-option=T2,20m"], "", "3600 1199 1200"), (["dhcp-option=59,3"], "", "3600 2 3"),
    (["dhcp-option=tag:x,T1,10m"], "", "3600 1800 3150"),
]  # fmt: skip


def times(dhcp: Dhcp) -> str:
    values = [dhcp.reply.value(code) if dhcp.reply else None for code in (51, 58, 59)]
    numbers = [int.from_bytes(data, "big") if data is not None else None for data in values]
    return " ".join("-" if one is None else "infinite" if one == 0xFFFFFFFF else str(one) for one in numbers)


def t_names(lines: list[str]) -> list[str]:
    return [line.replace("T1", "option:T1").replace("T2", "option:T2") for line in lines]


@pytest.mark.parametrize(("lines", "words", "expected"), LENGTHS)
def test_how_long_a_lease_lasts(lines: list[str], words: str, expected: str) -> None:
    dhcp = Dhcp(*t_names(lines))
    for packet in (f"discover m1 {words}", f"request m1 sid=.1 req=. {words}"):
        dhcp.send(packet)
        assert times(dhcp) == expected
    left = dhcp.table.by_address[number(".128")].left(NOW)
    assert ("infinite" if left == p.LEASE_FOR_EVER else str(left)) == expected.split()[0]


@pytest.mark.parametrize(("lines", "dice", "expected"), [
    ([], 0, "3600 1800 3150"), ([], 225, "3600 1575 2925"), ([], 100, "3600 1700 3050"),
    (["dhcp-option=T1,80", "dhcp-option=T2,90"], 225, "3600 70 80"),
    (["dhcp-range=10.5.0.50,10.5.0.150,infinite"], 5, "infinite - -"),
    (["dhcp-option=59,1"], 225, "3600 0 1"),
])  # fmt: skip
def test_renewals_are_spread(lines: list[str], dice: int, expected: str) -> None:
    dhcp, limits = Dhcp(*t_names(lines)), []

    def roll(below: int) -> int:
        limits.append(below)
        return min(dice, below - 1)

    dhcp.dice = roll
    dhcp.play("dora m1 -> ACK .128\nrequest m1 req=.128 -> ACK .128")
    assert limits == []
    for packet in ("request m1 ci=.128", "request m1 uni ci=.128"):
        dhcp.play(f"{packet} -> ACK .128")
        assert times(dhcp) == expected
    assert all(limit == 226 for limit in limits)


def test_a_renewal_begins_anew() -> None:
    Dhcp().play("""
        dora m1 -> ACK .128
        wait 1800
        request m1 uni ci=.128 -> ACK .128
        wait 3599
        leases -> m1 .128 * *
        wait 1
        leases ->""")


# -- INFORM ------------------------------------------------------------------------------

INFORMS: list[tuple[str, list[str], str]] = [
    ("plain", ["domain=lan.test"], """
        inform m1 ci=.2 -> ACK 0.0.0.0
        order -> 53 54 1 28 3 6 15
        head ci yi si -> .2 0.0.0.0 .1
        to -> .2:68
        log -> DHCPINFORM(lan0) 10.5.0.2 02:aa:00:00:00:01
        | DHCPACK(lan0) 10.5.0.2 02:aa:00:00:00:01
        leases ->"""),
    ("the flag makes no difference", [], "inform m1 ci=.2 bcast\nto -> .2:68\nhead flags -> 8000"),
    ("through a relay", [SIX], "inform m1 ci=10.6.0.9 gi=10.6.0.2\nto -> 10.6.0.2:67"),
    ("without an address", [], "inform m1 -> SILENCE\nlog -> DHCPINFORM(lan0) 0.0.0.0 02:aa:00:00:00:01"),
    ("of a foreign network", ["domain=lan.test", "dhcp-option=201,x"], """
        inform m1 ci=10.8.0.2 -> ACK 0.0.0.0
        order -> 53 54 15 201
        head si -> 0.0.0.0"""),
    ("ignored", ["dhcp-ignore=tag:lan0"], """
        inform m1 ci=.99 -> SILENCE
        log -> DHCPINFORM(lan0) 10.5.0.99 02:aa:00:00:00:01 ignored"""),
    ("the lease's time, if it is asked for or there is no list", [], """
        dora m1
        wait 600
        inform m1 ci=.128
        order -> 53 54 51 1 28 3 6
        get 51 -> 00000bb8
        inform m1 ci=.128 prl=3
        order -> 53 54 1 28 3
        inform m1 ci=.128 prl=51
        order -> 53 54 51 1 28
        inform m2 ci=.128 prl=51
        order -> 53 54 51 1 28"""),
    ("names: the configuration's", [HOST], "inform m1 ci=.66\nget 12 -> 'pc"),
    ("names: the client's own", [], "inform m1 ci=.99 name=tv\nget 12 -> 'tv"),
    ("names: another client's lease", [], "dora m2 name=tv\ninform m1 ci=.129\nget 12 -> 'tv"),
]  # fmt: skip


@pytest.mark.parametrize(("lines", "script"), [row[1:] for row in INFORMS], ids=[row[0] for row in INFORMS])
def test_inform(lines: list[str], script: str) -> None:
    Dhcp(*lines).play(script)


def test_inform_and_the_hosts_file() -> None:
    Dhcp(hosts="10.5.0.99 box\n").play("inform m1 ci=.99 name=tv\nget 12 -> 'box")


# -- BOOTP -------------------------------------------------------------------------------

BOOTPS: list[tuple[str, list[str], str]] = [
    ("a reservation", [HOST, "domain=lan.test"], """
        bootp m1 -> BOOTP .66
        order -> 1 28 3 6 15 12
        head yi si -> .66 .1
        log -> BOOTP(lan0) 10.5.0.66 02:aa:00:00:00:01
        leases -> m1 .66 pc *
        events -> add .66 pc
        wait 1000000
        leases -> m1 .66 pc *"""),
    ("with a time", ["dhcp-host=02:aa:00:00:00:01,10.5.0.66,10m"], "bootp m1 -> BOOTP .66\nwait 601\nleases ->"),
    ("without", [], "bootp m1 -> SILENCE\nlog -> BOOTP(lan0) 02:aa:00:00:00:01 no address configured"),
    ("of the pool", ["bootp-dynamic"], "bootp m1 -> BOOTP .128\nbootp m1 -> BOOTP .128\nleases -> m1 .128 * *"),
    ("of the pool for some", ["bootp-dynamic=tag:known", "dhcp-host=02:aa:00:00:00:01"],
     "bootp m1 -> BOOTP .128\nbootp m2 -> SILENCE"),
    ("a full pool", ["bootp-dynamic", "dhcp-range=10.5.0.50,10.5.0.50"], """
        bootp m1 -> BOOTP .50
        log
        bootp m2 -> SILENCE
        log -> BOOTP(lan0) 02:aa:00:00:00:02 no address available"""),
    ("ignored", ["dhcp-host=02:aa:00:00:00:01,ignore"],
     "bootp m1 -> SILENCE\nlog -> BOOTP(lan0) 02:aa:00:00:00:01 disabled"),
    ("BOOTP is not wanted", [HOST, "dhcp-ignore=tag:bootp"], "bootp m1 -> SILENCE\ndiscover m1 -> OFFER .66"),
    ("no hardware address", ["bootp-dynamic"], "bootp - -> SILENCE\nlog ->"),
    ("no leases left", [HOST, "dhcp-lease-max=1"], """
        dora m2
        log
        bootp m1 -> SILENCE
        log -> BOOTP(lan0) 02:aa:00:00:00:01 no leases left"""),
    ("tags", [HOST, "dhcp-option=tag:bootp,201,x", "dhcp-option=tag:pxe.x,202,y"],
     "bootp m1 file='pxe.x -> BOOTP .66\nget 201 202 -> 'x 'y"),
    ("it had another address", ["bootp-dynamic"], """
        dora m1 req=.60 -> ACK .60
        bootp m1 -> BOOTP .60
        wait 4000
        leases -> m1 .60 * *"""),
    ("it had another address than its own", [HOST], """
        request m1 sid=.1 req=.80 -> ACK .80
        bootp m1 -> BOOTP .66
        leases -> m1 .66 pc *"""),
]  # fmt: skip


@pytest.mark.parametrize(("lines", "script"), [row[1:] for row in BOOTPS], ids=[row[0] for row in BOOTPS])
def test_bootp(lines: list[str], script: str) -> None:
    Dhcp(*lines).play(script)


def test_bootp_without_the_cookie() -> None:
    dhcp = Dhcp(HOST)
    message = p.dhcp4_unpack(dhcp_message(["bootp", "m1"]).pack()[:236] + bytes(64))
    outcome = dhcp.service.handle(message, dhcp.arrival([], dhcp_message(["bootp", "m1"])), NOW)
    assert outcome is not None
    assert len(outcome.wire) == 300
    assert dhcpwire.parse(outcome.wire).yiaddr == "10.5.0.66"


# -- LEASEQUERY (RFC 4388) ---------------------------------------------------------------

ASK = "prl=51,61,82,91,92,58,59,12,60"
QUERIES: list[tuple[str, list[str], str]] = [
    ("not wanted", [SIX], "leasequery m1 gi=10.6.0.2 ci=10.6.0.60 -> SILENCE"),
    ("without a relay", [SIX, "leasequery"], "leasequery m1 ci=.60 -> SILENCE"),
    ("who may ask", [SIX, "leasequery=10.6.0.0/24"], """
        leasequery m1 gi=10.6.0.2 ci=10.6.0.60 -> LEASEUNASSIGNED 10.6.0.60
        leasequery m1 gi=10.7.0.2 ci=10.6.0.60 -> SILENCE"""),
    ("unassigned, unknown", [SIX, RANGE, "leasequery"], """
        leasequery m1 gi=10.6.0.2 ci=10.6.0.60 -> LEASEUNASSIGNED 10.6.0.60
        leasequery m1 gi=10.6.0.2 ci=.60 -> LEASEUNASSIGNED .60
        leasequery m1 gi=10.6.0.2 ci=10.8.0.60 -> LEASEUNKNOWN 10.8.0.60
        leasequery m1 gi=10.6.0.2 -> LEASEUNKNOWN 0.0.0.0
        order -> 53 54
        leasequery - gi=10.6.0.2 clid='abc -> LEASEUNKNOWN 0.0.0.0
        get 61 -> 'abc
        to -> 10.6.0.2:67"""),
    ("by address", [SIX, "leasequery"], f"""
        dora m1 gi=10.6.0.2 clid='abc name=pc vendor=VC circuit='ab -> ACK 10.6.0.128
        wait 600
        log
        leasequery - gi=10.6.0.2 ci=10.6.0.128 {ASK} -> LEASEACTIVE 10.6.0.128
        log -> DHCPLEASEQUERY(lan0) 10.6.0.128 <null>
        | DHCPLEASEACTIVE(lan0) 10.6.0.128 <null>
        order -> 53 54 51 61 82 91 58 59 12 60
        get 51 61 82 91 58 59 12 60 -> 00000bb8 'abc 01026162 00000258 000004b0 000009f6 'pc 'VC
        head hlen chaddr htype ci yi -> 6 02aa00000001 1 10.6.0.128 0.0.0.0
        wait 2700
        leasequery - gi=10.6.0.2 ci=10.6.0.128 {ASK} -> LEASEACTIVE 10.6.0.128
        order -> 53 54 51 61 82 91 12 60"""),
    ("by client-id, by hardware", [SIX, "leasequery"], """
        dora m1 gi=10.6.0.2 clid='abc
        leasequery m9 gi=10.6.0.2 clid='abc -> LEASEACTIVE 10.6.0.128
        leasequery m1 gi=10.6.0.2 -> LEASEACTIVE 10.6.0.128
        order -> 53 54
        leasequery m2 gi=10.6.0.2 -> LEASEUNKNOWN 0.0.0.0"""),
    ("several leases of one hardware address", [SIX, "leasequery"], """
        dora m1 gi=10.6.0.2 clid='abc
        dora m1 gi=10.6.0.2 clid='abd -> ACK 10.6.0.129
        leasequery m1 gi=10.6.0.2 prl=92 -> LEASEACTIVE 10.6.0.129
        get 92 -> 0a0600810a060080"""),
    ("for ever", ["dhcp-range=10.6.0.50,10.6.0.150,255.255.255.0,infinite", "leasequery"], f"""
        dora m1 gi=10.6.0.2
        leasequery m1 gi=10.6.0.2 {ASK} -> LEASEACTIVE 10.6.0.128
        order -> 53 54 51
        get 51 -> ffffffff"""),
    ("a tool of this network", [RANGE, "leasequery"], """
        leasequery m1 gi=255.255.255.255 from=.9 sport=5555 ci=.60 -> LEASEUNASSIGNED .60
        to -> .9:5555"""),
]  # fmt: skip


@pytest.mark.parametrize(("lines", "script"), [row[1:] for row in QUERIES], ids=[row[0] for row in QUERIES])
def test_leasequery(lines: list[str], script: str) -> None:
    Dhcp(*lines).play(script)


# -- names, and DNS ----------------------------------------------------------------------

DOMAIN = "domain=lan.test"
NAMES: list[tuple[str, list[str], str, str]] = [
    ("the client's own", [DOMAIN], "", """
        dora m1 name=pc -> ACK .128
        get 12 -> 'pc
        dns pc pc.lan.test PC.LAN.test -> .128 .128 .128
        ptr .128 -> pc.lan.test
        leases -> m1 .128 pc *"""),
    ("without a domain", [], "", "dora m1 name=pc\ndns pc pc.lan.test -> .128 -\nptr .128 -> pc"),
    ("the domain of the address", [DOMAIN, "domain=special.test,10.5.0.128"], "", """
        dora m1 name=pc
        get 15 -> 'special.test
        dora m2 name=tv
        get 15 -> 'lan.test
        ptr .128 .129 -> pc.special.test tv.lan.test"""),
    ("with its own domain", [DOMAIN], "", """
        dora m1 name=pc.LAN.test
        log -> DHCPDISCOVER(lan0) 02:aa:00:00:00:01
        | DHCPOFFER(lan0) 10.5.0.128 02:aa:00:00:00:01
        | DHCPREQUEST(lan0) 10.5.0.128 02:aa:00:00:00:01
        | DHCPACK(lan0) 10.5.0.128 02:aa:00:00:00:01 pc
        get 12 -> 'pc"""),
    ("with another", [DOMAIN], "", """
        dora m1 name=pc.other.test
        get 12 -> 'pc
        log -> DHCPDISCOVER(lan0) 02:aa:00:00:00:01
        | DHCPOFFER(lan0) 10.5.0.128 02:aa:00:00:00:01
        | DHCPREQUEST(lan0) 10.5.0.128 02:aa:00:00:00:01
        | Ignoring domain other.test for DHCP host name pc
        | DHCPACK(lan0) 10.5.0.128 02:aa:00:00:00:01 pc
        dns pc.lan.test pc.other.test -> .128 -"""),
    ("only whole names", [DOMAIN, "dhcp-fqdn"], "", "dora m1 name=pc\ndns pc pc.lan.test -> - .128"),
    ("one name in two domains", [DOMAIN, "domain=special.test,10.5.0.128", "dhcp-fqdn"], "", """
        dora m1 name=pc
        dora m2 name=pc
        dns pc.special.test pc.lan.test -> .128 .129"""),
    ("taken over", [DOMAIN], "", """
        dora m1 name=pc
        events
        dora m2 name=PC
        leases -> m2 .129 PC *; m1 .128 * *
        dns pc pc.lan.test -> .129 .129
        ptr .128 .129 -> - PC.lan.test
        events -> old .128 */pc; add .129 PC; old .128 *"""),
    ("not from the configuration's owner", [DOMAIN, HOST], "", """
        dora m1
        dora m2 name=pc
        get 12 -> 'pc
        leases -> m2 .129 * *; m1 .66 pc *
        dns pc -> .66"""),
    ("but by it", [DOMAIN, HOST], "", """
        dora m2 name=pc
        dora m1
        leases -> m1 .66 pc *; m2 .129 * *
        dns pc -> .66"""),
    ("a new name", [DOMAIN], "", """
        dora m1 name=pc
        events
        request m1 uni ci=.128 name=tv
        events -> old .128 */pc; old .128 tv
        dns pc tv -> - .128
        ptr .128 -> tv.lan.test"""),
    ("no name any more keeps the old", [DOMAIN], "", "dora m1 name=pc\nrequest m1 uni ci=.128\ndns pc -> .128"),
    ("in the hosts file at another address", [DOMAIN], "10.5.0.9 pc.lan.test pc\n", """
        dora m1 name=pc
        leases -> m1 .128 pc *
        dns pc pc.lan.test -> .9 .9
        ptr .128 -> -"""),
    ("in the hosts file at this address", [DOMAIN], "10.5.0.128 box.lan.test box\n", """
        dora m1 name=pc
        get 12 -> 'box
        leases -> m1 .128 box *
        dns box pc -> .128 -
        ptr .128 -> box.lan.test"""),
    ("in the hosts file with another domain", [DOMAIN], "10.5.0.128 box.other.test\n", """
        dora m1 name=pc
        leases -> m1 .128 pc *
        dns pc box.other.test -> .128 .128
        ptr .128 -> box.other.test"""),
    ("an alias has it", [DOMAIN, "cname=pc.lan.test,x.lan.test"], "", """
        dora m1 name=pc
        dns pc pc.lan.test -> .128 -"""),
    ("ignored names", [DOMAIN, "dhcp-ignore-names"], "",
     "dora m1 name=pc\nget 12 -> -\ndns pc -> -\nleases -> m1 .128 * *"),
    ("ignored, but not the configuration's", [DOMAIN, "dhcp-ignore-names", HOST], "", "dora m1 name=tv\nget 12 -> 'pc"),
    ("ignored for some", ["dhcp-ignore-names=tag:known", "dhcp-host=02:aa:00:00:00:01"], "",
     "dora m1 name=pc\nget 12 -> -\ndora m2 name=tv\nget 12 -> 'tv"),
    ("made up", [DOMAIN, "dhcp-generate-names"], "", """
        dora m1
        get 12 -> '02-aa-00-00-00-01
        dns 02-aa-00-00-00-01 -> .128
        dora m2 name=pc
        get 12 -> 'pc"""),
    ("ignored and made up", ["dhcp-generate-names", "dhcp-ignore-names"], "",
     "dora m1 name=pc\nget 12 -> '02-aa-00-00-00-01"),
    ("made up for some", ["dhcp-generate-names=tag:known"], "", "dora m1\nget 12 -> -"),
    ("option 81", [DOMAIN], "", """
        discover m1 fqdn=0:pc
        get 81 -> 03ffff70632e6c616e2e74657374
        dora m1 fqdn=1:pc name=tv
        get 12 81 -> 'pc 01ffff70632e6c616e2e74657374
        dora m1 fqdn=4:pc.
        get 81 -> 07ffff027063036c616e047465737400"""),
    ("option 81 without a domain", [], "", "dora m1 fqdn=0:pc\nget 81 -> 03ffff7063"),
    ("option 81 says nothing", [DOMAIN], "", "dora m1 fqdn=0: name=pc\nget 12 81 -> - -"),
    ("no DNS", ["port=0", DOMAIN], "", "dora m1 name=pc\nget 12 -> 'pc\ndns pc -> -"),
    ("freed by its end", [DOMAIN], "", """
        dora m1 name=pc
        release m1 sid=.1 ci=.128
        dora m2 name=pc
        dns pc -> .129"""),
]  # fmt: skip


@pytest.mark.parametrize(("lines", "hosts", "script"), [row[1:] for row in NAMES], ids=[row[0] for row in NAMES])
def test_names(lines: list[str], hosts: str, script: str) -> None:
    Dhcp(*lines, hosts=hosts).play(script)


@pytest.mark.parametrize(("lines", "hosts", "texts"), [
    ([], "10.5.0.9 pc.lan.test pc\n", [
        "pc.lan.test to the DHCP lease of 10.5.0.128 because the name exists in /etc/hosts with address 10.5.0.9",
        "pc to the DHCP lease of 10.5.0.128 because the name exists in /etc/hosts with address 10.5.0.9"]),
    (["host-record=pc,10.5.0.9"], "", [
        "pc to the DHCP lease of 10.5.0.128 because the name exists in config with address 10.5.0.9"]),
    (["cname=pc.lan.test,x"], "", ["pc.lan.test is a CNAME, not giving it to the DHCP lease of 10.5.0.128"]),
])  # fmt: skip
def test_names_that_are_taken_are_told_behind_the_ack(lines: list[str], hosts: str, texts: list[str]) -> None:
    dhcp = Dhcp(DOMAIN, *lines, hosts=hosts)
    dhcp.send("request m1 sid=.1 req=.128 name=pc")
    ack, *told = dhcp.do_log().split("|")[1:]
    assert ack == "DHCPACK(lan0) 10.5.0.128 02:aa:00:00:00:01 pc"
    assert [text.removeprefix("not giving name ") for text in told] == texts


@pytest.mark.parametrize("hosts", ["10.5.0.128 b\xfcro\n", "10.5.0.128 " + "\xfc" * 31 + "\n", "10.5.0.128 a_b-c\n"])
def test_names_of_hosts_files_are_wire_names(hosts: str) -> None:
    """Whatever a hosts file says, what DNS and option 81 get is a name."""
    dhcp = Dhcp(DOMAIN, hosts=hosts)
    dhcp.send("request m1 sid=.1 req=.128 fqdn=4:pc.")
    for key in dhcp.local.lease_names:
        assert list(p.dns_name_suffixes(key))[-1] == b"\0"
        assert p.dns_name_parse(p.dns_name_format(key)) == key
    for lease in dhcp.table.by_address.values():
        wire = lease.bare_name
        assert not wire or (wire[0] == len(wire) - 2 and wire[-1] == 0)
        assert p.LeaseTable(9).read(dhcp.table.text(0.0), 0.0, 0.0) == []


def test_which_finished_answers_have_to_go() -> None:
    dhcp = Dhcp(DOMAIN)
    dhcp.send("request m1 sid=.1 req=.128 name=pc")
    moved = {p.dns_name_format(one) for one in dhcp.service.take_names()}
    assert {"pc", "pc.lan.test", "lan.test", "128.0.5.10.in-addr.arpa"} <= moved
    assert dhcp.service.take_names() == set()
    dhcp.send("request m1 uni ci=.128 name=pc")
    assert dhcp.service.take_names() == set()
    dhcp.send("release m1 sid=.1 ci=.128")
    assert {"pc", "pc.lan.test", "128.0.5.10.in-addr.arpa"} <= {
        p.dns_name_format(one) for one in dhcp.service.take_names()
    }


# -- reload, start -----------------------------------------------------------------------

STORED = b"""1800003600 02:aa:00:00:00:02 10.5.0.129 tv *
1800003600 02:aa:00:00:00:01 10.5.0.128 pc *
"""
AFTERWARDS: list[tuple[str, list[str], str, list[str], str, str]] = [
    ("nothing new", [DOMAIN], "", [DOMAIN], "", "dns pc.lan.test tv.lan.test -> .128 .129\nevents ->"),
    ("another domain", [DOMAIN], "", ["domain=new.test"], "", "dns pc.lan.test pc.new.test pc -> - .128 .128"),
    ("a name of the hosts file", [DOMAIN], "", [DOMAIN], "10.5.0.128 box\n", """
        leases -> m2 .129 tv *; m1 .128 box *
        dns box pc -> .128 -
        events -> old .128 */pc; old .128 box"""),
    ("a name that the hosts file has elsewhere", [DOMAIN], "", [DOMAIN], "10.5.0.9 pc\n",
     "dns pc pc.lan.test -> .9 .128"),
    ("a name of the configuration", [DOMAIN], "", [DOMAIN, "dhcp-host=02:aa:00:00:00:01,box"], "",
     "dns box pc -> .128 -"),
    ("one's name is another's now", [], "", ["dhcp-host=02:aa:00:00:00:02,pc"], "",
     "leases -> m2 .129 pc *; m1 .128 * *\ndns pc tv -> .129 -"),
    ("no domain: who comes later takes a name over", [], "", [], "", """
        dora m3 name=pc
        leases -> m3 .130 pc *; m2 .129 tv *; m1 .128 * *
        dns pc -> .130"""),
    ("a domain: just so", [DOMAIN], "", [DOMAIN], "", """
        dora m3 name=pc
        leases -> m3 .130 pc *; m2 .129 tv *; m1 .128 * *
        dns pc -> .130"""),
    ("dhcp-fqdn is new", [DOMAIN], "", [DOMAIN, "dhcp-fqdn"], "", """
        dns pc pc.lan.test -> - .128
        dora m3 name=pc
        leases -> m3 .130 pc *; m2 .129 tv *; m1 .128 * *"""),
    ("dhcp-fqdn is over", [DOMAIN, "dhcp-fqdn"], "", [DOMAIN], "", """
        dns pc pc.lan.test -> .128 .128
        dora m3 name=pc
        leases -> m3 .130 pc *; m2 .129 tv *; m1 .128 * *"""),
]  # fmt: skip


@pytest.mark.parametrize(
    ("lines", "hosts", "later", "later_hosts", "script"),
    [row[1:] for row in AFTERWARDS],
    ids=[row[0] for row in AFTERWARDS],
)
def test_after_a_reload(lines: list[str], hosts: str, later: list[str], later_hosts: str, script: str) -> None:
    dhcp = Dhcp(*lines, hosts=hosts, leases=STORED)
    dhcp.service.use(dhcp.state(*later, hosts=later_hosts))
    dhcp.service.rename_all()
    dhcp.play(script)


@pytest.mark.parametrize(("lines", "expected"), [([], ".128"), ([DOMAIN], ".128"), ([DOMAIN, "dhcp-fqdn"], "-")])
def test_stored_names_are_in_dns_at_start(lines: list[str], expected: str) -> None:
    Dhcp(*lines, leases=STORED).play(f"dns pc -> {expected}")


def test_names_stay_in_dns_when_only_the_interfaces_change() -> None:
    dhcp = Dhcp(DOMAIN, leases=STORED)
    state = dhcp.state(DOMAIN)
    dhcp.service.use(state)
    dhcp.play("dns pc tv.lan.test -> .128 .129\nptr .128 -> pc.lan.test")


# -- what the script hears ---------------------------------------------------------------

RICH = (
    "vendor=MSFT=5.0 user=036162630464656667 name=pc.lan.test prl=1,3,6,12 circuit=6162 remote=636465 subscr='zz "
    "o161='https://mud.x/y gi=10.5.0.2"
)


def test_what_a_client_says_of_itself() -> None:
    dhcp = Dhcp(DOMAIN, "dhcp-vendorclass=set:vc,MSFT")
    dhcp.send(f"request m1 sid=.1 req=.128 o125=00000de90b0103616263020164030178 {RICH}")
    (event,) = dhcp.table.take_events()
    assert event.known == {
        "VENDOR_CLASS": "MSFT", "SUPPLIED_HOSTNAME": "pc.lan.test", "CIRCUIT_ID": "ab", "REMOTE_ID": "cde",
        "SUBSCRIBER_ID": "zz", "REQUESTED_OPTIONS": "1,3,6,12", "MUD_URL": "https://mud.x/y",
        "TAGS": "vc cpewan-id lan0",
        "USER_CLASS0": "abc", "USER_CLASS1": "defg", "CPEWAN_OUI": "abc",
        "CPEWAN_SERIAL": "d", "CPEWAN_CLASS": "x",
    }  # fmt: skip
    assert p.ip4_format(event.lease.relay) == "10.5.0.2", "which stays: the client may renew without it"


@pytest.mark.parametrize(
    ("text", "shown"), [("'abc", "abc"), ("'a=b", "a"), ("'a~b", "a"), ("61ff0a62", "a\udcff\nb"), ("", "")]
)
def test_texts_for_the_script(text: str, shown: str) -> None:
    assert p.script_text(octets(text) if text else b"") == shown


RENEWAL = "dora m1\nevents\nwait 2\nrequest m1 uni ci=.128"
SCRIPTED: list[tuple[str, list[str], str]] = [
    ("a renewal is no news", [], "dora m1\nevents\nrequest m1 uni ci=.128\nevents ->"),
    ("unless one wants it", ["script-on-renewal"], f"{RENEWAL}\nevents -> old .128 *"),
    ("or the script keeps the leases", ["leasefile-ro"], f"{RENEWAL}\nevents -> old .128 *"),
    ("but an end that stays is none", ["script-on-renewal"], f"{RENEWAL.replace('wait 2', 'wait 0')}\nevents ->"),
    ("to choose again is", [], "dora m1\nevents\nrequest m1 sid=.1 req=.128\nevents -> old .128 *"),
    ("to start again is", [], "dora m1\nevents\nrequest m1 req=.128\nevents -> old .128 *"),
    ("another interface is", [], "dora m1\nevents\nrequest m1 uni ci=.128 on=wan0\nevents -> old .128 *"),
    ("an offer is none", [], "discover m1\nevents ->"),
    ("nor a refusal", [], "request m1 sid=.1 req=10.8.0.9\nevents ->"),
]  # fmt: skip


@pytest.mark.parametrize(("lines", "script"), [row[1:] for row in SCRIPTED], ids=[row[0] for row in SCRIPTED])
def test_events(lines: list[str], script: str) -> None:
    Dhcp(RANGE, NINE, *lines).play(script)


def test_nobody_listens() -> None:
    dhcp = Dhcp()
    dhcp.service.script = False
    dhcp.send(f"request m1 sid=.1 req=.128 {RICH}")
    assert [event.known for event in dhcp.table.take_events()] == [None]


# -- the log -----------------------------------------------------------------------------

LOGS: list[tuple[str, list[str], str, list[str]]] = [
    ("all of it", ["log-dhcp", DOMAIN, "dhcp-vendorclass=set:msft,MSFT", "dhcp-boot=pxelinux.0,bootsrv,10.5.0.66"],
     "discover m1 vendor=MSFT_5.0 user='acct fqdn=1:joe.lan.test prl=1,3,12 bcast circuit='abc", [
         "4097 available DHCP range: 10.5.0.50 -- 10.5.0.150", "4097 vendor class: MSFT 5.0", "4097 user class: acct",
         "4097 client provides name: joe.lan.test", "4097 DHCPDISCOVER(lan0) 02:aa:00:00:00:01 ",
         "4097 tags: msft, lan0",
         "4097 DHCPOFFER(lan0) 10.5.0.128 02:aa:00:00:00:01 ",
         "4097 requested options: 1:netmask, 3:router, 12:hostname",
         "4097 bootfile name: pxelinux.0", "4097 server name: bootsrv", "4097 next server: 10.5.0.66",
         "4097 broadcast response", "4097 sent size:  1 option: 53 message-type  2",
         "4097 sent size:  4 option: 54 server-identifier  10.5.0.1", "4097 sent size:  4 option: 51 lease-time  1h",
         "4097 sent size:  4 option: 58 T1  30m", "4097 sent size:  4 option: 59 T2  52m30s",
         "4097 sent size:  4 option:  1 netmask  255.255.255.0", "4097 sent size:  4 option: 28 broadcast  10.5.0.255",
         "4097 sent size:  4 option:  3 router  10.5.0.1", "4097 sent size:  3 option: 12 hostname  joe",
         "4097 sent size: 15 option: 81 FQDN  01:ff:ff:6a:6f:65:2e:6c:61:6e:2e:74:65:73...",
         "4097 sent size:  5 option: 82 agent-info  01:03:61:62:63"]),
    ("a refusal", ["log-dhcp"], "request m1 sid=.1 req=10.8.0.60", [
        "4097 available DHCP range: 10.5.0.50 -- 10.5.0.150", "4097 DHCPREQUEST(lan0) 10.8.0.60 02:aa:00:00:00:01 ",
        "4097 DHCPNAK(lan0) 10.8.0.60 02:aa:00:00:00:01 wrong network", "4097 broadcast response",
        "4097 sent size:  1 option: 53 message-type  6", "4097 sent size:  4 option: 54 server-identifier  10.5.0.1",
        "4097 sent size: 13 option: 56 message  77:72:6f:6e:67:20:6e:65:74:77:6f:72:6b"]),
    ("BOOTP", ["log-dhcp"], "bootp m1", ["4097 available DHCP range: 10.5.0.50 -- 10.5.0.150", "4097 tags: bootp, lan0",
                                         "4097 BOOTP(lan0) 02:aa:00:00:00:01 no address configured"]),
    ("a release", ["log-dhcp"], "release m1 sid=.1 ci=.80", [
        "4097 available DHCP range: 10.5.0.50 -- 10.5.0.150",
        "4097 DHCPRELEASE(lan0) 10.5.0.80 02:aa:00:00:00:01 unknown lease"]),
    ("quiet", ["quiet-dhcp"], "request m1 sid=.1 req=.60", []),
    ("quiet, but for refusals", ["quiet-dhcp"], "request m1 sid=.1 req=10.8.0.60", [
        "DHCPNAK(lan0) 10.8.0.60 02:aa:00:00:00:01 wrong network"]),
    ("quiet also of the ignored", ["quiet-dhcp", "dhcp-ignore=tag:lan0"], "discover m1", []),
]  # fmt: skip


@pytest.mark.parametrize(("lines", "packet", "texts"), [row[1:] for row in LOGS], ids=[row[0] for row in LOGS])
def test_the_log(lines: list[str], packet: str, texts: list[str]) -> None:
    dhcp = Dhcp(*lines)
    dhcp.send(packet)
    assert dhcp.log.texts() == texts


@pytest.mark.parametrize("words", ["discover m1 op=2", "offer m1", "ack m1", "nak m1", "discover m1 o53=63"])
def test_what_is_not_for_a_server(words: str) -> None:
    dhcp = Dhcp()
    message = dhcp_message(words.split())
    if "o53" in words:
        message.options[:] = [(53, b"\x63")]
    unpacked = p.dhcp4_unpack(message.pack())
    assert dhcp.service.handle(unpacked, dhcp.arrival([], message), NOW) is None
    assert dhcp.log.texts() == []


def test_what_is_counted() -> None:
    dhcp = Dhcp(HOST, "leasequery")
    dhcp.play("""
        dora m1
        discover m2
        request m2 sid=.1 req=10.8.0.9
        decline m1 sid=.1 req=.66
        inform m2 ci=.9
        release m2 sid=.1 ci=.9
        bootp m1
        dora m3
        wait 4000
        leasequery m1 gi=.2 ci=.60
        leasequery m1 gi=.2 ci=10.8.0.60
        leasequery m1 gi=.2""")
    counted = {name: count for name, count in dhcp.service.metrics.items() if count}
    assert counted == {
        "dhcp_discover": 3, "dhcp_offer": 3, "dhcp_request": 3, "dhcp_ack": 3, "dhcp_nak": 1, "dhcp_decline": 1,
        "dhcp_inform": 1, "dhcp_release": 1, "bootp": 1, "leases_allocated_4": 3, "leases_pruned_4": 1,
        "dhcp_leasequery": 3, "dhcp_lease_unassigned": 1, "dhcp_lease_unknown": 1, "dhcp_lease_actve": 1,
    }  # fmt: skip


# -- nothing else than WireError and DhcpPing --------------------------------------------

EVERYTHING = """log-dhcp
domain=lan.test
domain=special.test,10.5.0.100,10.5.0.120
dhcp-range=set:r,10.5.0.50,10.5.0.150,10m
dhcp-range=10.6.0.50,10.6.0.60,255.255.255.0,infinite
dhcp-range=10.9.0.0,static
dhcp-range=tag:vc,10.5.0.200,10.5.0.210
dhcp-host=02:aa:00:00:00:01,10.5.0.66,pc,set:h
dhcp-host=02:aa:00:00:00:02,10.9.0.66,tv
dhcp-host=02:aa:00:00:00:03,ignore
dhcp-host=id:abc,radio,infinite
dhcp-host=box,10.5.0.67
dhcp-host=02:aa:*:*:*:07,id:*,set:wild
dhcp-option=42,0.0.0.0
dhcp-option=121,10.8.0.0/16,10.5.0.3
dhcp-option=119,a.test,b.test
dhcp-option=vendor:MS,1,x
dhcp-option=encap:206,1,x
dhcp-option-force=vi-encap:9,1,x
dhcp-option=tag:r,201,long
dhcp-boot=file,server,10.5.0.9
dhcp-vendorclass=set:vc,MS
dhcp-userclass=set:uc,a
dhcp-match=set:m,93,7
dhcp-mac=set:k,02:aa:*:*:*:*
dhcp-name-match=set:n,pc*
dhcp-circuitid=set:c,ab
tag-if=set:t,tag:vc,tag:!uc
dhcp-ignore-names=tag:uc
dhcp-generate-names=tag:k
dhcp-broadcast=tag:m
dhcp-proxy=10.6.0.2
bootp-dynamic=tag:k
leasequery
dhcp-rapid-commit
dhcp-authoritative
script-on-renewal
dhcp-client-update
dhcp-lease-max=30""".splitlines()
SEEDS = [
    "discover m1 name=pc prl=1,3,6,12,15,28,42,43,60,66,67,119,121,125,201,206",
    "discover m2 rapid= fqdn=4:tv.lan.test.",
    "request m4 sid=.1 req=.70 vendor=MSFT", "request m1 req=.66 name=pc", "request m4 uni ci=.70 user='abc",
    "decline m4 sid=.1 req=.70", "release m4 sid=.1 ci=.70", "inform m5 ci=.9 prl=51,12", "bootp m4 file='x",
    "leasequery m4 gi=10.6.0.2 ci=.70 prl=51,61,82,91,92,58,59", "discover m6 gi=10.6.0.2 circuit='ab link=10.5.0.0",
    "request m6 gi=10.6.0.2 over=10.6.0.3 sid=10.6.0.3 req=10.6.0.55 clid='abc",
    "discover m7 subnet=10.6.0.0 size=1500",
    "discover m8 o125=00000de90b0103616263020164030178 o124=0000000903616263 o93=0007 lease=300 bcast",
    "discover - clid='abc",
]  # fmt: skip


def mutated(dice: random.Random, wire: bytes) -> bytes:
    """Change a packet a little, or much: octets, options of any number and size, its length."""
    out = bytearray(wire)
    for _ in range(dice.choice((0, 1, 1, 2, 4, 10))):
        out[dice.randrange(len(out))] = dice.choice((0, 1, 255, dice.randrange(256)))
    if dice.random() < 0.7:
        end = out.rfind(b"\xff") if b"\xff" in out[240:] else len(out)
        pairs = [(dice.choice(CODES), dice.choice((0, 1, 2, 3, 4, 5, 8, 30, 255))) for _ in range(5)]
        out[end:] = b"".join(bytes((code, size)) + dice.randbytes(size) for code, size in pairs) + b"\xff"
    if dice.random() < 0.1:
        del out[dice.randrange(len(out)) :]
    return bytes(out)


CODES = [
    12, 43, 50, 51, 52, 53, 54, 55, 57, 58, 60, 61, 66, 67, 77, 80, 81, 82, 93, 97, 118, 124, 125, 161, *range(1, 255),
]  # fmt: skip


def check_reply(wire: bytes) -> None:
    seen = dhcpwire.parse(wire)
    assert seen.op == 2
    assert seen.ended
    assert 300 <= len(wire) <= 1472
    assert seen.kind() in ("OFFER", "ACK", "NAK", "BOOTP", "LEASEUNASSIGNED", "LEASEUNKNOWN", "LEASEACTIVE")


@pytest.mark.parametrize("seed", [1, 2])
def test_ten_thousand_packets(seed: int) -> None:
    dhcp, dice = Dhcp(*EVERYTHING, ping=True, hosts="10.5.0.67 box\n10.5.0.110 hosted\n"), random.Random(seed)
    messages = [dhcp_message(line.split()) for line in SEEDS]
    replies = refused = pings = 0
    for _ in range(5000):
        message = dice.choice(messages)
        message.chaddr = mac(f"m{dice.randrange(40)}") if message.hlen else b""
        wire = mutated(dice, message.pack())
        words = [dice.choice(("on=lan0", "on=wan0", "on=lan9")), *dice.choice((["uni"], []))]
        dhcp.now += dice.random()
        try:
            outcome = dhcp.service.handle(p.dhcp4_unpack(wire), dhcp.arrival(words, message), dhcp.now)
        except p.WireError:
            refused += 1
            continue
        except p.DhcpPing as ping:
            dhcp.service.pool.ping_result(ping.address, dice.random() < 0.1, dhcp.now)
            pings += 1
            continue
        if outcome is not None:
            replies += 1
            check_reply(outcome.wire)
        if dice.random() < 0.05:
            dhcp.now += dice.choice((10, 100, 700))
            dhcp.service.expire(dhcp.now)
            dhcp.table.take_events()
    assert min(replies, refused, pings) > 100
    check_table(dhcp)


def check_table(dhcp: Dhcp) -> None:
    """After whatever happened: the names in DNS are those of the leases, and the file reads back."""
    leases = dhcp.table.by_address
    assert len(leases) <= dhcp.table.limit
    named = {lease.name.lower() for lease in leases.values() if lease.name}
    assert len(named) == sum(bool(lease.name) for lease in leases.values())
    for key, rr in dhcp.local.lease_names.items():
        assert p.dns_name_format(key).partition(".")[0] in named
        assert p.ip4_number(rr.rdata) in leases
    again = p.LeaseTable(1000)
    assert again.read(dhcp.table.text(0.0), 0.0, 0.0) == []
    assert set(again.by_address) == set(leases)
    assert all(text.isprintable() for text in dhcp.log.texts())


@pytest.mark.parametrize("lines", [[], ["domain=lan.test"], ["domain=lan.test", "dhcp-fqdn"], ["dhcp-sequential-ip"]])
def test_any_life_of_a_network(lines: list[str]) -> None:
    """Clients that come, rename themselves, go and forget: nobody shares an address or a name."""
    dhcp, dice = Dhcp(*lines, "dhcp-range=10.5.0.50,10.5.0.69", HOST, "dhcp-lease-max=15"), random.Random(57)
    for _ in range(1500):
        client = f"m{dice.randrange(25)}"
        name = dice.choice(("", "name=a", "name=B", "name=b", "name=pc", f"name={client}"))
        last = dhcp.last.get(client, "10.5.0.60")
        dhcp.do(dice.choice((
            f"dora {client} {name}", f"dora {client} {name}", f"request {client} uni ci={last} {name}",
            f"release {client} sid=.1 ci={last}", f"decline {client} sid=.1 req={last}", f"request {client} req={last}",
            f"wait {dice.randrange(900)}", "events", f"discover {client} req=.{dice.randrange(45, 75)}",
        )))  # fmt: skip
        addresses = [lease.hardware for lease in dhcp.table.by_address.values()]
        assert len(addresses) == len(set(addresses))
    check_table(dhcp)
    dhcp.now += 10_000
    dhcp.service.expire(dhcp.now)
    assert (dhcp.local.lease_names, dhcp.local._lease_addresses, len(dhcp.table)) == ({}, {}, 0)
    assert dhcp.local._lease_parents == {}


def test_an_interface_with_several_addresses() -> None:
    dhcp = Dhcp(
        RANGE, "dhcp-range=10.7.0.50,10.7.0.150", interfaces=[at("lan0", "10.5.0.1", 24), at("lan0", "10.7.0.1", 24)]
    )  # fmt: skip
    dhcp.play("""
        dora m1 -> ACK 10.7.0.128
        get 54 3 -> 0a070001 0a070001
        dora m2 req=10.5.0.60 -> ACK .60
        get 54 3 -> 0a050001 0a050001""")


# -- booting from the network ------------------------------------

BIOS = "pxe-service=x86PC,Bios,pxelinux"
EFI = "pxe-service=x86-64_EFI,Efi,grub.efi"
BOTH = [BIOS, EFI]
BESIDE = "dhcp-range=10.5.0.0,proxy"
NAMES = "10.5.0.9 srv\n"


def menu(*texts: str) -> str:
    """Option 43 with a menu of files, without a prompt."""
    servers = b"".join(bytes((128, at, 1, 10, 5, 0, 1)) for at in range(len(texts)))
    labels = b"".join(bytes((128, at, len(text))) + text.encode() for at, text in enumerate(texts))
    prompt = b"\x0a\4" + (b"\xff" if len(texts) > 1 else b"\0") + b"PXE"
    parts = [b"\6\1\3", prompt, bytes((8, len(servers))), servers, bytes((9, len(labels))), labels, b"\xff"]
    return b"".join(parts).hex()


BIOS_43 = menu("Bios")

# Lines, a script.
BOOTS: list[tuple[str, list[str], str]] = [
    ("an address and a menu", BOTH, f"""
        discover m1 pxe=0 -> OFFER .128
        order -> 53 54 51 58 59 1 28 3 6 60 97 43
        get 60 97 43 -> 'PXEClient {'00' * 17} {BIOS_43}
        head file si sname -> empty .1 empty
        request m1 pxe=0 sid=.1 req=.128 -> ACK .128
        get 60 97 43 -> 'PXEClient {'00' * 17} {BIOS_43}
        request m1 pxe=0 uni ci=.128 -> ACK .128
        get 43 -> {BIOS_43}
        inform m1 pxe=0 ci=.128 -> ACK 0.0.0.0
        get 43 -> {BIOS_43}"""),
    ("who is no boot ROM", BOTH, """
        discover m1 -> OFFER .128
        get 60 97 43 -> - - -
        discover m1 vendor=PXEClient -> OFFER .128
        get 60 97 43 -> - - -
        bootp m1 vendor=PXEClient o93=0000 -> SILENCE"""),
    ("the menu only to who asks for it", BOTH, "discover m1 pxe=0 prl=1,3 -> OFFER .128\nget 60 43 -> 'PXEClient -"),
    ("no service for it", BOTH, "discover m1 pxe=9 -> OFFER .128\nget 43 -> 0601080a0400505845ff"),
    ("the only file of UEFI needs no menu", BOTH, """
        discover m1 pxe=7 -> OFFER .128
        get 60 43 -> 'PXEClient 060108ff
        head file si sname -> 'grub.efi .1 '10.5.0.1
        request m1 pxe=7 sid=.1 req=.128 -> ACK .128
        head file si -> 'grub.efi .1"""),
    ("unless dhcp-boot says otherwise", [*BOTH, "dhcp-boot=other.efi,,10.5.0.9"], """
        discover m1 pxe=7 -> OFFER .128
        head file si sname -> 'other.efi .9 empty"""),
    ("a name without a dot is a name with its layer", ["pxe-service=7,Efi,grub"],
     "discover m1 pxe=7 -> OFFER .128\nhead file -> 'grub.0"),
    ("its server", ["pxe-service=7,Efi,grub.efi,srv"],
     "discover m1 pxe=7 -> OFFER .128\nhead file si sname -> 'grub.efi .9 'srv"),
    ("a server that is not known", ["pxe-service=7,Efi,grub.efi,nobody"], """
        discover m1 pxe=7 -> OFFER .128
        head file si sname -> 'grub.efi 0.0.0.0 'nobody
        log -> DHCPDISCOVER(lan0) 02:aa:00:00:00:01
        | DHCPOFFER(lan0) 10.5.0.128 02:aa:00:00:00:01
        | No IPv4 address found for nobody"""),
    ("two files of UEFI are a menu", [EFI, "pxe-service=7,Two,b.efi"], f"""
        discover m1 pxe=7 -> OFFER .128
        head file -> empty
        get 43 -> {menu("Efi", "Two")}"""),
    ("tags of the range count", ["dhcp-range=set:r,10.5.0.50,10.5.0.150", "pxe-service=tag:r,0,In,a",
                                 "pxe-service=tag:!r,0,Out,b"],
     f"discover m1 pxe=0 -> OFFER .128\nget 43 -> {menu('In')}"),
    ("too large a menu", [f"pxe-service=0,{'x' * 200},a", f"pxe-service=0,{'y' * 60},b"], """
        discover m1 pxe=0 -> OFFER .128
        get 60 43 -> 'PXEClient -
        log -> DHCPDISCOVER(lan0) 02:aa:00:00:00:01
        | DHCPOFFER(lan0) 10.5.0.128 02:aa:00:00:00:01
        | PXE menu too large"""),
    ("a configured class is not told to a boot ROM", [*BOTH, "dhcp-option-force=60,HTTPClient"],
     "discover m1 pxe=0 -> OFFER .128\nget 60 -> 'PXEClient\ndiscover m2 -> OFFER .129\nget 60 -> 'HTTPClient"),
    ("options for boot ROMs", [*BOTH, "dhcp-option-pxe=209,a"], """
        discover m1 pxe=0 -> OFFER .128
        get 209 -> 'a
        discover m2 -> OFFER .129
        get 209 -> -"""),
    # the item that was chosen
    ("a boot item", BOTH, """
        dora m1 pxe=0 -> ACK .128
        log
        request m1 pxe=0 ci=.128 item=32768.0 dport=4011 -> ACK .128
        order -> 53 54 60 97 43
        get 43 -> 470480000000ff
        head file si sname ci yi flags -> 'pxelinux.0 .1 empty 0.0.0.0 .128 0
        to -> .128:68
        log -> PXE(lan0) 10.5.0.128 02:aa:00:00:00:01 pxelinux.0"""),
    ("by its layer", BOTH, "request m1 pxe=0 ci=.60 item=32768.3 dport=4011 -> ACK .60\nhead file -> 'pxelinux.3"),
    ("a name with a dot has no layers", BOTH,
     "request m1 pxe=0 ci=.60 item=32769.3 dport=4011 -> ACK .60\nhead file -> 'grub.efi"),
    ("by port 67, by INFORM", BOTH, """
        request m1 pxe=0 ci=.60 item=32768.0 -> ACK .60
        to -> .60:68 02aa00000001
        inform m1 pxe=0 ci=.60 item=32768.0 -> ACK .60"""),
    ("to where it came from", BOTH, """
        request m1 pxe=0 ci=.60 item=32768.0 dport=4011 sport=4011 from=.61 -> ACK .60
        to -> .61:4011"""),
    ("its server", ["pxe-service=0,A,a,10.5.0.9", "pxe-service=0,B,b,srv", "pxe-service=0,C,c,0.0.0.0"], """
        request m1 pxe=0 ci=.60 item=32768.0 dport=4011
        head si -> .9
        request m1 pxe=0 ci=.60 item=32769.0 dport=4011
        head si -> .9
        request m1 pxe=0 ci=.60 item=32770.0 dport=4011
        head si -> .1"""),
    ("dhcp-boot does not matter, nor options", [*BOTH, "dhcp-boot=x,y,10.5.0.9", "dhcp-option-force=209,a"], """
        request m1 pxe=0 ci=.60 item=32768.0 dport=4011 -> ACK .60
        head file si sname -> 'pxelinux.0 .1 empty
        order -> 53 54 60 97 43"""),
    ("prompts", [*BOTH, "pxe-prompt=Go,1"],
     "request m1 pxe=0 ci=.60 item=32768.0 -> ACK .60\nget 43 -> 4704800000000a0301476fff"),
    ("no architecture is needed", BOTH, """
        request m1 vendor=PXEClient ci=.60 o43=470480000000ff dport=4011 -> ACK .60
        get 60 97 -> 'PXEClient -"""),
    ("what is no boot item of ours", [*BOTH, "pxe-service=0,T,7,10.5.0.9", "pxe-service=0,L"], """
        request m1 pxe=0 ci=.60 item=32770.0 dport=4011 -> SILENCE
        request m1 pxe=0 ci=.60 item=7.0 dport=4011 -> SILENCE
        request m1 pxe=0 ci=.60 item=0.0 dport=4011 -> SILENCE
        request m1 pxe=0 item=32768.0 dport=4011 -> SILENCE
        request m1 pxe=0 ci=10.8.0.60 item=32768.0 dport=4011 -> SILENCE
        request m1 vendor=other ci=.60 o43=470480000000ff dport=4011 -> SILENCE
        log ->"""),
    ("no BIS", BOTH, "request m1 pxe=0 ci=.60 item=32768.32768 dport=4011 -> SILENCE\nlog -> PXE BIS not supported"),
    ("ignored", [*BOTH, "dhcp-host=02:aa:00:00:00:01,ignore"],
     "request m1 pxe=0 ci=.60 item=32768.0 dport=4011 -> SILENCE\nlog ->"),
    ("a DISCOVER with one is a DISCOVER", BOTH, "discover m1 pxe=0 item=32768.0 -> OFFER .128"),
    ("nobody asks that of a server without services", [], "request m1 pxe=0 ci=.60 item=32768.0 -> SILENCE"),
    # port 4011, where this server gives the addresses
    ("port 4011 gives no addresses", BOTH, """
        discover m1 pxe=0 dport=4011 -> SILENCE
        request m1 pxe=0 sid=.1 req=.60 dport=4011 -> SILENCE
        inform m1 ci=.60 dport=4011 -> SILENCE
        dora m1 -> ACK .128
        release m1 ci=.128 sid=.1 dport=4011 -> SILENCE
        bootp m2 dport=4011 -> SILENCE
        leases -> m1 .128 * *"""),
    # beside another server
    ("a proxy", [BESIDE, *BOTH], f"""
        discover m1 pxe=0 -> OFFER 0.0.0.0
        order -> 53 54 60 97 43
        get 43 -> {BIOS_43}
        head flags yi ci si file -> 8000 0.0.0.0 0.0.0.0 0.0.0.0 empty
        to -> 0.0.0.0:68
        log -> PXE(lan0) 02:aa:00:00:00:01 proxy
        request m1 pxe=0 ci=.77 dport=4011 -> ACK 0.0.0.0
        get 43 -> {BIOS_43}
        head ci -> .77
        to -> .77:68
        leases ->
        events ->"""),
    ("gives no addresses", [BESIDE, *BOTH], """
        discover m1 -> SILENCE
        discover m1 vendor=PXEClient -> SILENCE
        request m1 pxe=0 sid=.1 req=.60 -> SILENCE
        request m1 pxe=0 ci=.60 -> SILENCE
        inform m1 pxe=0 ci=.60 -> SILENCE
        inform m1 pxe=0 ci=.60 dport=4011 -> SILENCE
        bootp m1 -> SILENCE
        release m1 sid=.1 ci=.60 -> SILENCE
        decline m1 sid=.1 req=.60 -> SILENCE
        log ->"""),
    ("a proxy without services", [BESIDE, "dhcp-boot=f"], "discover m1 pxe=0 -> SILENCE"),
    ("dhcp-boot for BIOS", [BESIDE, BIOS, "dhcp-boot=b.0,sn,10.5.0.9"], """
        discover m1 pxe=0 -> OFFER 0.0.0.0
        head file si sname -> 'b.0 .9 empty"""),
    ("without a server's address BIOS gets none", [BESIDE, BIOS, "dhcp-boot=b.0"],
     "discover m1 pxe=0 -> OFFER 0.0.0.0\nhead file si -> 'b.0 0.0.0.0"),
    ("but UEFI does", [BESIDE, BIOS, "dhcp-boot=b.efi"],
     "discover m1 pxe=7 -> OFFER 0.0.0.0\nhead file si -> 'b.efi .1"),
    ("UEFI is sent to port 4011", [BESIDE, *BOTH], """
        discover m1 pxe=7 -> OFFER 0.0.0.0
        order -> 53 54 60 97
        head file si -> empty .1
        request m1 pxe=7 ci=.77 dport=4011 -> ACK 0.0.0.0
        order -> 53 54 60 97
        head file si sname -> 'grub.efi .1 '10.5.0.1"""),
    ("and has its menu there", [BESIDE, EFI, "pxe-service=7,Two,b"], """
        discover m1 pxe=7 -> OFFER 0.0.0.0
        order -> 53 54 60 97
        request m1 pxe=7 ci=.77 dport=4011 -> ACK 0.0.0.0
        order -> 53 54 60 97 43
        head file si -> empty .1"""),
    ("only options for boot ROMs", [BESIDE, BIOS, "dhcp-option-force=209,a", "dhcp-option-pxe=210,b"], """
        discover m1 pxe=0 -> OFFER 0.0.0.0
        order -> 53 54 210 60 97 43"""),
    ("ignored by tags", [BESIDE, BIOS, "dhcp-ignore=tag:!known"], """
        discover m1 pxe=0 -> SILENCE
        log -> PXE(lan0) 02:aa:00:00:00:01 proxy-ignored
        request m1 pxe=0 ci=.77 dport=4011 -> SILENCE
        log -> PXE(lan0) 02:aa:00:00:00:01 proxy-ignored"""),
    ("quiet", [BESIDE, BIOS, "quiet-dhcp"], "discover m1 pxe=0 -> OFFER 0.0.0.0\nlog ->"),
    ("by a relay", [BESIDE, BIOS], "discover m1 pxe=0 gi=.250 -> OFFER 0.0.0.0\nto -> .250:67"),
    ("its items", [BESIDE, *BOTH], """
        request m1 pxe=0 ci=.77 item=32768.0 dport=4011 -> ACK .77
        head file si -> 'pxelinux.0 .1"""),
    ("an answer that has nowhere to go", [BESIDE, *BOTH], "request m1 pxe=0 dport=4011 from=0.0.0.0 -> SILENCE"),
    ("to the client's address, whoever sent it", [BESIDE, *BOTH], """
        request m1 pxe=0 ci=.77 dport=4011 from=.78 sport=5000 -> ACK 0.0.0.0
        to -> .77:5000"""),
    ("to where it came from, with no address", [BESIDE, *BOTH], """
        request m1 pxe=0 dport=4011 from=.78 sport=5000 -> ACK 0.0.0.0
        to -> .78:5000"""),
    ("tags of the proxy's range", ["dhcp-range=set:px,10.5.0.0,proxy", "pxe-service=tag:px,0,A,a",
                                   "dhcp-boot=tag:px,f"],
     f"discover m1 pxe=0 -> OFFER 0.0.0.0\nhead file -> 'f\nget 43 -> {menu('A')}"),
    ("another net's proxy", ["dhcp-range=10.9.0.0,proxy", RANGE, BIOS], """
        discover m1 pxe=0 -> OFFER .128
        discover m1 on=wan0 pxe=0 -> OFFER 0.0.0.0
        discover m1 on=wan0 -> SILENCE"""),
    ("a proxy and addresses in one net", [RANGE, BESIDE, BIOS], """
        discover m1 pxe=0 -> OFFER 0.0.0.0
        request m1 pxe=0 ci=.77 dport=4011 -> ACK 0.0.0.0
        discover m1 -> OFFER .128
        request m1 pxe=0 sid=.1 req=.128 -> ACK .128"""),
]  # fmt: skip


@pytest.mark.parametrize(("lines", "script"), [row[1:] for row in BOOTS], ids=[row[0] for row in BOOTS])
def test_booting(lines: list[str], script: str) -> None:
    Dhcp(*lines, hosts=NAMES).play(script)


def test_delayed_proxies() -> None:
    dhcp = Dhcp(BESIDE, BIOS, "dhcp-reply-delay=3")
    for line in ("discover m1 pxe=0", "request m1 pxe=0 ci=.77 dport=4011"):
        dhcp.send(line)
        assert dhcp.outcome.delay == 3


def test_proxies_are_counted() -> None:
    dhcp = Dhcp(BESIDE, BIOS)
    for line in ("discover m1 pxe=0", "request m1 pxe=0 ci=.77 dport=4011", "discover m1"):
        dhcp.send(line)
    assert dhcp.service.metrics["pxe"] == 2 and sum(dhcp.service.metrics.values()) == 2


def test_any_boot_rom() -> None:
    """Whatever a ROM sends, on either port: a well-made reply or silence; a proxy leases nothing."""
    lines = [*BOTH, "pxe-prompt=Go", "pxe-service=0,T,7,srv", "dhcp-boot=f", "dhcp-option=vendor:PXEClient,1,00:01",
             "dhcp-option-pxe=210,b", EFI.replace("Efi", "Two")]  # fmt: skip
    dice, replies = random.Random(4011), 0
    for first in ([BESIDE], [RANGE], [RANGE, BESIDE], [BESIDE, RANGE]):
        dhcp = Dhcp(*first, *lines, hosts=NAMES)
        for _ in range(400):
            words = [
                dice.choice(("discover", "request", "inform", "release", "bootp")), f"m{dice.randrange(9)}",
                dice.choice(("", "pxe=0", "pxe=7", "pxe=9", "vendor=PXEClient", "vendor=PXEClient o93=000700")),
                dice.choice(("", "ci=.60", "ci=10.9.0.60", "req=.60", "gi=.250", "gi=10.8.0.1")),
                dice.choice(("", "item=32768.0", "item=32770.1", "item=7.65535", f"o43={dice.randbytes(6).hex()}",
                             "o43=4704800000", "o43=47ff", "o43=4700ff")),
                dice.choice(("", "dport=4011", "dport=4011 sport=4011 from=.61")),
                dice.choice(("", "prl=1,3,43", "prl=1", "o97=0011", "size=600")),
            ]  # fmt: skip
            answer = dhcp.send(" ".join(filter(None, words)))
            if answer != "SILENCE":
                replies += 1
                check_reply(dhcp.outcome.wire)
                assert dhcp.outcome.address or "dport" not in " ".join(words)
        assert not dhcp.table.by_address or first != [BESIDE]
    assert replies > 200


# -- what the bus hears ------------------------------------------------------------------

LEASED = {"mac": "02:aa:00:00:00:01", "ip": "10.5.0.70", "interface": "lan0"}
NOTICES: list[tuple[str, list[str], str, list[tuple[str, dict[str, str]]]]] = [
    ("a lease", [], "dora m1 req=.70", [("dhcp.ack", LEASED)]),
    ("its name", [], "dora m1 req=.70 name=pc", [("dhcp.ack", LEASED | {"name": "pc"})]),
    ("the name of dhcp-host", ["dhcp-host=02:aa:00:00:00:01,10.5.0.70,box"], "dora m1",
     [("dhcp.ack", LEASED | {"name": "box"})]),
    ("renewed", [], "dora m1 req=.70\nrequest m1 uni ci=.70", [("dhcp.ack", LEASED)] * 2),
    ("released, without its name", [], "dora m1 req=.70 name=pc\nrelease m1 sid=.1 ci=.70",
     [("dhcp.ack", LEASED | {"name": "pc"}), ("dhcp.release", LEASED)]),
    ("released, of no lease", [], "release m1 sid=.1 ci=.70", [("dhcp.release", LEASED)]),
    ("refused", [], "request m1 sid=.1 req=10.8.0.60", []),
    ("declined", [], "dora m1 req=.70\ndecline m1 sid=.1 req=.70", [("dhcp.ack", LEASED)]),
    ("offered", [], "discover m1", []),
    ("informed", [], "inform m1 ci=.70 from=.70 uni", [("dhcp.ack", LEASED)]),
    ("in one step", ["dhcp-rapid-commit"], "discover m1 rapid= req=.70", [("dhcp.ack", LEASED)]),
]  # fmt: skip


@pytest.mark.parametrize("quiet", [[], ["quiet-dhcp"]])
@pytest.mark.parametrize(("lines", "script", "expected"), [row[1:] for row in NOTICES], ids=[row[0] for row in NOTICES])
def test_notices(lines: list[str], script: str, expected: list[Any], quiet: list[str]) -> None:
    heard: list[tuple[str, dict[str, str]]] = []
    for more, wanted in (([], []), (["enable-ubus"], expected)):
        dhcp = Dhcp(RANGE, NINE, *lines, *quiet, *more)
        dhcp.service.notify = lambda kind, fields: heard.append((kind, fields))
        dhcp.play(script)
        assert heard == wanted
    for _, fields in heard:
        assert list(fields) == [one for one in ("mac", "ip", "name", "interface") if one in fields]


def test_a_ping_is_no_reason_to_tell_twice() -> None:
    heard: list[str] = []
    dhcp = Dhcp(RANGE, "enable-ubus", "dhcp-rapid-commit", ping=True)
    dhcp.service.notify = lambda kind, fields: heard.append(kind)
    assert dhcp.send("discover m1 rapid=").startswith("PING") and not heard
