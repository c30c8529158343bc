"""Section 58: what a relay sends on, and what comes back."""

from __future__ import annotations

import random
from typing import Any

import pytest

import dhcpwire
import pydnsmasq as p
from pure import config, dhcp_message, number, octets

PLAIN = "dhcp-relay=10.5.0.1,10.9.0.2"
SPLIT = "dhcp-split-relay=10.5.0.1,10.9.0.2,wan0"
UPLINK = number("10.9.0.1")
LINK, SERVER_ID, INDEX = "05040a050001", "0b040a050001", "020400000003"  # of interface 3
AGENT = LINK + SERVER_ID + "0a01{flag}" + INDEX


def rule_of(line: str) -> Any:
    return config("no-resolv", line).dhcp_relay[0]


def request(words: str, line: str = PLAIN, **fields: Any) -> dhcpwire.DhcpMessage | None:
    message = dhcp_message(words.split())
    for name, value in fields.items():
        setattr(message, name, value)
    wire = p.relay_request(message.pack(), rule_of(line), UPLINK, 3, "uni" in words.split())
    return dhcpwire.parse(wire) if wire is not None else None


# -- towards the server ------------------------------------

# Line, packet -> giaddr, hops; - when it is not sent on.
SENT: list[tuple[str, str, str]] = [
    (PLAIN, "discover m1", "10.5.0.1 1"), (PLAIN, "discover m1 hops=3", "10.5.0.1 4"),
    (PLAIN, "discover m1 hops=20", "10.5.0.1 21"), (PLAIN, "discover m1 hops=21", "-"),
    (PLAIN, "discover m1 hops=255", "-"), (PLAIN, "bootp m1", "10.5.0.1 1"),
    # from another relay; and what we have relayed ourselves
    (PLAIN, "discover m1 gi=10.7.0.1 hops=1", "10.7.0.1 2"), (PLAIN, "discover m1 gi=10.5.0.1 hops=1", "-"),
    (PLAIN, "discover m1 op=2", "-"), (PLAIN, "request m1 ci=10.5.0.60", "10.5.0.1 1"),
    (SPLIT, "discover m1", "10.9.0.1 1"), (SPLIT, "discover m1 gi=10.7.0.1", "10.7.0.1 1"),
    (SPLIT, "discover m1 hops=21", "-"), (SPLIT, "discover m1 gi=10.5.0.1", "-"),
    (SPLIT, "discover m1 gi=10.9.0.1 hops=1", "-"),
]  # fmt: skip


@pytest.mark.parametrize(("line", "words", "expected"), SENT)
def test_what_is_sent_on(line: str, words: str, expected: str) -> None:
    seen = request(words, line)
    assert (f"{seen.giaddr} {seen.hops}" if seen is not None else "-") == expected


def test_nothing_else_is_changed() -> None:
    words = "discover m1 xid=77 secs=9 bcast ci=10.5.0.9 name=pc prl=1,3 circuit='ab vendor=x"
    before, after = dhcp_message(words.split()), request(words)
    assert after is not None
    for name in ("op", "htype", "hlen", "xid", "secs", "flags", "ciaddr", "yiaddr", "siaddr", "options"):
        assert getattr(after, name) == getattr(before, name), name
    assert after.chaddr.startswith(before.chaddr)


@pytest.mark.parametrize("tail", ["ff", "ff" + "00" * 60, "", "0000", "0c", "0cff70"])
def test_the_rest_of_the_message_is_untouched(tail: str) -> None:
    wire = dhcp_message(["discover", "m1"]).pack()[:-1] + bytes.fromhex(tail)
    out = p.relay_request(wire, rule_of(PLAIN), UPLINK, 3)
    assert out is not None
    assert (out[:3], out[4:24], out[28:]) == (wire[:3], wire[4:24], wire[28:])


# -- dhcp-split-relay ------------------------------------


@pytest.mark.parametrize(("words", "agent"), [
    ("discover m1", AGENT.format(flag="00")), ("discover m1 bcast", AGENT.format(flag="00")),
    ("discover m1 name=pc prl=1,3", AGENT.format(flag="00")), ("request m1 ci=10.5.0.60", AGENT.format(flag="00")),
    ("request m1 uni ci=10.5.0.60", AGENT.format(flag="80")),  # RFC 5010: how it came
    ("discover m1 circuit='ab", "01026162"),  # another's stays
    ("discover m1 gi=10.7.0.1", "-"),
])  # fmt: skip
def test_what_split_relay_adds(words: str, agent: str) -> None:
    seen = request(words, SPLIT)
    assert seen is not None
    data = seen.value(82)
    assert (data.hex() if data is not None else "-") == agent
    assert seen.ended
    before = [pair for pair in dhcp_message(words.split()).options if pair[0] != 82]
    assert [pair for pair in seen.options if pair[0] not in (0, 82)] == before
    assert seen.options[-1][0] == 82 or data is None or words.endswith("'ab")


@pytest.mark.parametrize("tail", ["ff", "ff" + "00" * 60, "", "0000", "0000ff", "0c0270630000ff0000"])
def test_where_the_option_goes(tail: str) -> None:
    wire = dhcp_message(["discover", "m1"]).pack()[:-1] + bytes.fromhex(tail)
    out = p.relay_request(wire, rule_of(SPLIT), UPLINK, 3)
    assert out is not None
    seen = p.dhcp4_unpack(out)
    assert seen.options[82].hex() == AGENT.format(flag="00")
    assert (seen.kind, seen.options.get(12, b"")) == (p.DHCP_DISCOVER, b"pc" if "7063" in tail else b"")


def test_bootp_has_no_place_for_it() -> None:
    wire = dhcp_message(["bootp", "m1"]).pack()[:236] + bytes(64)
    out = p.relay_request(wire, rule_of(SPLIT), UPLINK, 3)
    assert out is not None
    assert (out[24:28], out[236:]) == (UPLINK.to_bytes(4, "big"), bytes(64))


@pytest.mark.parametrize("padding", [0, 30, 60, 200])
def test_a_message_stays_as_long_as_it_was(padding: int) -> None:
    """300 octets at least: RFC 1542 s.2.1; some servers drop what is shorter."""
    wire = dhcp_message(["discover", "m1"]).pack().ljust(300, b"\0") + bytes(padding)
    out = p.relay_request(wire, rule_of(SPLIT), UPLINK, 3)
    assert out is not None
    assert len(out) >= 300
    assert len(out) >= len(wire)


# -- towards the client ------------------------------------


def answer(*options: tuple[int, bytes], **fields: Any) -> bytes:
    message = dhcpwire.DhcpMessage(op=2, xid=7, yiaddr="10.5.0.60", giaddr="10.9.0.1", options=[(53, b"\2"), *options])
    for name, value in fields.items():
        setattr(message, name, value)
    return message.pack().ljust(300, b"\0")


@pytest.mark.parametrize(("agent", "index"), [
    (AGENT.format(flag="80"), 3), (AGENT.format(flag="00"), 3), ("", 0), ("01026162", 0),
    (LINK + SERVER_ID, 0), (SERVER_ID + INDEX, 0), (LINK + INDEX, 0), (LINK + SERVER_ID + "02020003", 0),
])  # fmt: skip
def test_what_comes_back(agent: str, index: int) -> None:
    wire = answer((54, bytes(4)), (82, octets(agent)), (3, bytes(4)))
    message, out, found = p.relay_reply(wire)
    assert (found, message.yiaddr, message.giaddr) == (index, number(".60"), UPLINK)
    seen = dhcpwire.parse(out)
    kept = [54, 3] if index else [54, 82, 3]
    assert [code for code, _ in seen.options] == [53, *kept]
    assert (len(out), seen.ended) == (300, True)
    assert out == wire or index


def test_what_was_sent_on_comes_back_the_same() -> None:
    sent = request("discover m1 name=pc", SPLIT)
    assert sent is not None
    wire = answer((54, bytes(4)), (201, b"x" * 200), (82, sent.value(82) or b""))
    _, out, index = p.relay_reply(wire)
    assert index == 3
    assert [code for code, _ in dhcpwire.parse(out).options] == [53, 54, 201]


@pytest.mark.parametrize("tail", ["", "35", "3504", "0c02", "00", "0035", "52", "5204"])
def test_replies_that_end_too_soon(tail: str) -> None:
    """An option 82 of ours, and then nothing that ends properly."""
    agent = octets(AGENT.format(flag="80"))
    head = answer()[:240]
    _, out, index = p.relay_reply(head + b"\x35\1\2" + bytes((82, len(agent))) + agent + octets(tail))
    assert index == 3
    seen = p.dhcp4_unpack(out)
    assert (seen.kind, 82 in seen.options) == (p.DHCP_OFFER, False)


@pytest.mark.parametrize("wire", [b"", bytes(235), bytes((2, 1, 17)) + bytes(300)], ids=len)
def test_what_is_no_message(wire: bytes) -> None:
    with pytest.raises(p.WireError):
        p.relay_reply(wire)
    with pytest.raises(p.WireError):
        p.relay_request(wire, rule_of(PLAIN), UPLINK, 3)


def test_any_octets_are_relayed_or_not() -> None:
    dice = random.Random(58)
    seeds = [
        answer((54, bytes(4)), (82, octets(AGENT.format(flag="80"))), (3, bytes(4))),
        dhcp_message("discover m1 name=pc circuit='ab".split()).pack(),
        dhcp_message("request m1 prl=1,3".split()).pack(),
    ]  # fmt: skip
    rules = [rule_of(PLAIN), rule_of(SPLIT)]
    errors = 0
    for _ in range(6000):
        out = bytearray(dice.choice(seeds))
        for _ in range(dice.randrange(6)):
            out[dice.choice((0, 2, 3, 24, *range(236, len(out))))] = dice.choice(
                (0, 1, 2, 82, 255, dice.randrange(256))
            )
        wire = bytes(out[: dice.randrange(len(out))] if dice.random() < 0.3 else out)
        try:
            message, back, index = p.relay_reply(wire)
            assert 0 <= index < 1 << 32
            assert p.dhcp4_unpack(back).xid == message.xid
            for rule in rules:
                sent = p.relay_request(wire, rule, UPLINK, 3)
                assert sent is None or p.dhcp4_unpack(sent).hops == message.hops + 1
        except p.WireError:
            errors += 1
    assert errors > 100
