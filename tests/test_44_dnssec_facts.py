"""Section 44: what has been proved, for how long it is kept, and what goes first."""

from __future__ import annotations

import pydnsmasq as p
from pure import name

NOW = 1000


def fact(expires: int = NOW + 60, kind: int = p.FACT_SECURE) -> p.DnssecFact:
    return p.DnssecFact(kind, expires, (b"x",))


def test_a_fact_is_found_by_name_and_type_until_it_ends() -> None:
    store = p.DnssecStore()
    known = fact()
    store.learn(name("a"), p.TYPE_DS, known)
    assert store.fact(name("a"), p.TYPE_DS, NOW + 59) is known
    assert store.fact(name("a"), p.TYPE_DS, NOW + 60) is None
    assert store.fact(name("a"), p.TYPE_DNSKEY, NOW) is None
    assert store.fact(name("b"), p.TYPE_DS, NOW) is None
    assert store.facts() == [(name("a"), p.TYPE_DS, known)]


def test_what_came_of_a_signature_is_remembered() -> None:
    store = p.DnssecStore()
    store.note(b"good", True)
    store.note(b"bad", False)
    assert [store.outcome(token) for token in (b"good", b"bad", b"new")] == [True, False, None]
