"""Section 10: the numbers that standards fix, how bounds relate, and that each is used."""

from __future__ import annotations

import ast
import re

import pytest

import pydnsmasq
from harness import PROGRAM

FIXED = """
DNS_PORT            53          RFC 1035 s.4.2
DNS_HEADER_SIZE     12          RFC 1035 s.4.1.1
DNS_UDP_MIN         512         RFC 1035 s.4.2.1
DNS_UDP_DEFAULT     1232        DNS flag day 2020
DNS_MESSAGE_MAX     65535       RFC 1035 s.4.2.2
DNS_NAME_MAX        255         RFC 1035 s.3.1
DNS_LABEL_MAX       63          RFC 1035 s.3.1
CACHE_TTL_MAX       2147483647  RFC 2181 s.8
CACHE_SIZE          150         the manual, cache-size
FORWARD_MAX         150         the manual, dns-forward-max
STALE_WINDOW        86400       the manual, use-stale-cache
MIN_CACHE_TTL_MAX   3600        the manual, min-cache-ttl
AUTH_TTL            600         the manual, auth-ttl
LOCAL_TTL           0           the manual, local-ttl
SOA_REFRESH         1200        the manual, auth-soa
SOA_RETRY           180         the manual, auth-soa
SOA_EXPIRE          1209600     the manual, auth-soa
"""

ORDERS = """
DNS_HEADER_SIZE < DNS_UDP_MIN < DNS_UDP_DEFAULT < DNS_MESSAGE_MAX
DNS_HEADER_SIZE + DNS_NAME_MAX + 4 < WIRE_QUERY_MAX < DNS_UDP_MIN
DNS_LABEL_MAX < DNS_NAME_MAX < DNS_UDP_MIN
DNS_CNAMES_MAX < DNS_CHAIN_MAX < DNS_RECORDS_MAX < DNS_MESSAGE_MAX
CACHE_SIZE < WIRE_ANSWERS_MIN < WIRE_ANSWERS_MAX < CACHE_SIZE_MAX
UPSTREAM_PATIENCE_MIN < UPSTREAM_RTT_START < UPSTREAM_PATIENCE_MAX < FORWARD_TIMEOUT
FORWARD_RESEND < FORWARD_TIMEOUT < UPSTREAM_BACKOFF_MAX
UPSTREAM_TCP_TIMEOUT <= UPSTREAM_TCP_REPLY
UPSTREAM_PORT_USES < UPSTREAM_PORT_QUESTIONS < 65536
TCP_IDLE < TCP_LIFETIME
LOG_PAUSE < POLL_SECONDS
SOA_RETRY < SOA_REFRESH < SOA_EXPIRE
"""


def rows(table: str) -> list[list[str]]:
    return [line.split(None, 2) for line in table.strip().splitlines()]


def section_ten() -> dict[str, int]:
    """The names that section 10 assigns, with their lines."""
    text = PROGRAM.read_text("utf-8")
    first = text[: text.index("\n# 10 Limits")].count("\n")
    last = text[: text.index("\n# 11 Errors")].count("\n")
    out = {}
    for node in ast.parse(text).body:
        if isinstance(node, ast.Assign) and first < node.lineno < last:
            out |= {name.id: node.lineno for name in ast.walk(node.targets[0]) if isinstance(name, ast.Name)}
    return out


@pytest.mark.parametrize(("name", "value", "source"), rows(FIXED), ids=[row[0] for row in rows(FIXED)])
def test_what_a_standard_or_the_manual_fixes(name: str, value: str, source: str) -> None:
    assert getattr(pydnsmasq, name) == int(value), source


@pytest.mark.parametrize("order", ORDERS.strip().splitlines())
def test_bounds_fit_together(order: str) -> None:
    assert eval(order, dict(vars(pydnsmasq)))


def test_every_bound_is_a_sane_number() -> None:
    names = section_ten()
    assert len(names) > 60
    for name in names:
        value = getattr(pydnsmasq, name)
        if isinstance(value, str):
            assert value
        else:
            assert type(value) in (int, float), name
            assert value >= 0, name
            assert value > 0 or name == "LOCAL_TTL", name


def test_every_bound_bounds_something() -> None:
    text = PROGRAM.read_text("utf-8")
    unused = [name for name in section_ten() if len(re.findall(rf"\b{name}\b", text)) < 2]
    assert not unused


def test_versions() -> None:
    assert re.fullmatch(r"\d+\.\d+\.\d+", pydnsmasq.VERSION)
    assert re.fullmatch(r"2\.\d+", pydnsmasq.DNSMASQ_VERSION)


def test_compile_options_are_words_that_scripts_can_search() -> None:
    words = pydnsmasq.COMPILE_OPTIONS.split()
    bare = [word.removeprefix("no-").lower() for word in words]
    assert len(set(bare)) == len(bare)
    assert " ".join(words) == pydnsmasq.COMPILE_OPTIONS
    # Scripts look for these as substrings, whatever stands before them.
    assert "no-ipset" not in words and "no-nftset" not in words
    assert {"ipv6", "dhcp", "dhcpv6", "tftp", "auth", "dnssec"} <= set(bare)
