"""Section 44: what has been proved, for how long it is kept, what goes first; and what proved ranges deny."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

import pytest

import pydnsmasq as p
from dnswire import type_code
from pure import name

NOW = 1000
SALTED = (b"\xab", 3)
SOA = (b"soa", (b"signature",), 60, NOW + 60)


def fact(expires: int = NOW + 60, kind: int = p.FACT_SECURE) -> Any:
    return p.DnssecFact(kind, expires, (b"x",))


# -- facts, signatures -------------------------------------------------------------


def test_a_fact_is_found_by_name_and_type_until_it_ends() -> None:
    store = p.DnssecStore()
    known = fact()
    store.learn(name("a"), p.TYPE_DS, known)
    assert store.fact(name("a"), p.TYPE_DS, NOW + 59) is known
    assert store.fact(name("a"), p.TYPE_DS, NOW + 60) is None
    assert store.fact(name("a"), p.TYPE_DNSKEY, NOW) is None
    assert store.fact(name("b"), p.TYPE_DS, NOW) is None
    assert store.facts() == [(name("a"), p.TYPE_DS, known)]


def test_the_facts_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(p, "DNSSEC_FACTS_MAX", 3)
    store = p.DnssecStore()
    for text in ("a", "b", "c", "a", "d"):  # learnt anew, it is young again
        store.learn(name(text), p.TYPE_DS, fact())
    assert [owner for owner, _, _ in store.facts()] == [name("c"), name("a"), name("d")]
    again = fact()
    store.learn(name("c"), p.TYPE_DS, again)
    assert len(store.facts()) == 3
    assert store.fact(name("c"), p.TYPE_DS, NOW) is again


def test_the_octets_of_facts_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(p, "DNSSEC_FACTS_OCTETS", 10)
    store = p.DnssecStore()

    def learn(text: str, *sizes: int) -> None:
        store.learn(name(text), p.TYPE_DS, p.DnssecFact(p.FACT_SECURE, NOW + 60, tuple(bytes(size) for size in sizes)))

    def known() -> list[bytes]:
        return [owner for owner, _, _ in store.facts()]

    for text, sizes in (("a", (2, 2)), ("b", (4,)), ("a", (1, 1)), ("c", ()), ("d", (4,))):
        learn(text, *sizes)
    assert known() == [name(text) for text in "bacd"]
    learn("e", 1)
    assert known() == [name(text) for text in "acde"]
    learn("f", 99)  # more than all may have: it is there, but alone
    assert known() == [name("f")]
    store.flush()
    learn("g", 10)
    learn("h")
    assert known() == [name("g"), name("h")]


def test_what_was_begun_before_a_flush_is_not_kept() -> None:
    """It may rest on what was flushed."""
    store = p.DnssecStore()
    old, new, any_ = fact(), fact(), fact()
    old.generation = store.generation
    store.flush()
    new.generation = store.generation
    for known, kept in ((old, False), (new, True), (any_, True)):
        store.learn(name("a"), p.TYPE_DS, known)
        assert (store.fact(name("a"), p.TYPE_DS, NOW) is known) is kept


def test_what_came_of_a_signature_is_remembered() -> None:
    store = p.DnssecStore()
    store.note(b"good", True)
    store.note(b"bad", False)
    assert [store.outcome(token) for token in (b"good", b"bad", b"new")] == [True, False, None]


def test_failures_do_not_drive_the_good_ones_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(p, "DNSSEC_SIGNATURES_MAX", 3)
    store = p.DnssecStore()
    for token in (b"a", b"b", b"c"):
        store.note(token, True)
    for turn in range(10):
        store.note(b"bad %d" % turn, False)
    assert [store.outcome(token) for token in (b"a", b"b", b"c")] == [True] * 3
    assert [turn for turn in range(10) if store.outcome(b"bad %d" % turn) is False] == [7, 8, 9]
    store.note(b"d", True)
    assert [store.outcome(token) for token in (b"a", b"b", b"c", b"d")] == [None, True, True, True]


def test_flush_forgets_all_but_signatures() -> None:
    store = p.DnssecStore()
    store.learn(name("a"), p.TYPE_DS, fact())
    store.note(b"good", True)
    store.add_ranges(name("z"), SOA, [nsec("a.z b.z A")])
    assert store.knows_ranges()
    store.flush()
    assert (store.facts(), store.knows_ranges(), store.zone_soa(name("z"), NOW)) == ([], False, None)
    assert store.fact(name("a"), p.TYPE_DS, NOW) is None
    assert store.outcome(b"good") is True


# -- ranges ------------------------------------------------------------------------


def made(text: str, zone: str = "z", expires: int = NOW + 60) -> Any:
    """Make a range of OWNER NEXT TYPE..., a word `optout` among the types."""
    owner, end, *types = text.split()
    codes = frozenset(type_code(word) for word in types if word != "optout")
    out = p.DnssecRange(name(zone), name(owner), p.dns_name_order(name(owner)), p.dns_name_order(name(end)), codes)
    out.opt_out, out.expires = "optout" in types, expires
    return out


def nsec(text: str, zone: str = "z", expires: int = NOW + 60) -> Any:
    return made(text, zone, expires)


def nsec3(start: bytes, end: bytes, hashing: tuple[bytes, int] = SALTED) -> Any:
    out = p.DnssecRange(name("z"), b"\4hash" + name("z"), start, end, frozenset())
    out.hashing, out.expires = hashing, NOW + 60
    return out


# Start and end, and what lies strictly inside.
COVERS = [("b", "d", "c"), ("b", "d", "bb"), ("y", "b", "z"), ("y", "b", "a"), ("b", "b", "a"), ("b", "b", "c")]
OUTSIDE = [("b", "d", "b"), ("b", "d", "d"), ("b", "d", "a"), ("b", "d", "e"), ("y", "b", "c"), ("y", "b", "y")]
OUTSIDE += [("y", "b", "b"), ("b", "b", "b")]


@pytest.mark.parametrize(("case", "inside"), [(case, True) for case in COVERS] + [(case, False) for case in OUTSIDE])
def test_what_a_range_covers(case: tuple[str, str, str], inside: bool) -> None:
    start, end, place = (text.encode() for text in case)
    assert nsec3(start, end).covers(place) is inside


def found_at(store: Any, text: str, now: int = NOW, zone: str = "z") -> str:
    one = store.range_at(name(zone), p.dns_name_order(name(text)), None, now)
    return "-" if one is None else p.dns_name_format(one.owner)


def test_the_range_at_a_place() -> None:
    store = p.DnssecStore()
    lines = ["m.z p.z A", "b.z d.z A", "x.z z A", "z b.z SOA"]  # in any order; d to m and p to x are not known
    store.add_ranges(name("z"), SOA, [nsec(text) for text in lines])
    places = "z:z *.z:z a.z:z b.z:b.z c.z:b.z x.b.z:b.z d.z:- e.z:- m.z:m.z o.z:m.z p.z:- x.z:x.z y.z:x.z w.z:-"
    for row in places.split():
        place, owner = row.split(":")
        assert found_at(store, place) == owner, place
    assert found_at(store, "c.z", zone="y") == "-"


def test_the_last_range_goes_over_the_end_of_the_zone() -> None:
    store = p.DnssecStore()
    store.add_ranges(name("z"), SOA, [nsec3(b"p", b"b")])
    for place, there in ((b"p", True), (b"q", True), (b"a", True), (b"b", False), (b"c", False)):
        assert (store.range_at(name("z"), place, SALTED, NOW) is not None) is there


def test_ranges_and_soa_end() -> None:
    store = p.DnssecStore()
    store.add_ranges(name("z"), SOA, [nsec("b.z d.z A", expires=NOW + 10), nsec("m.z p.z A")])
    assert found_at(store, "c.z", NOW + 9) == "b.z"
    assert found_at(store, "c.z", NOW + 10) == "-"
    assert found_at(store, "n.z", NOW + 59) == "m.z"
    assert store.zone_soa(name("z"), NOW + 59) == SOA
    assert store.zone_soa(name("z"), NOW + 60) is None


def test_a_range_takes_the_place_of_the_one_before() -> None:
    store = p.DnssecStore()
    store.add_ranges(name("z"), SOA, [nsec("b.z d.z A", expires=NOW + 10)])
    later = (b"new", (), 30, NOW + 90)
    store.add_ranges(name("z"), later, [nsec("b.z c.z A")])
    assert found_at(store, "b.z", NOW + 20) == "b.z"
    assert found_at(store, "c.z") == "-"
    assert store.zone_soa(name("z"), NOW) == later


def test_a_new_salt_ends_the_ranges_with_the_old_one() -> None:
    store = p.DnssecStore()
    for hashing in (SALTED, (b"\xab", 4), (b"", 4), (b"", 0)):
        store.add_ranges(name("z"), SOA, [nsec3(b"b", b"d", hashing), nsec3(b"m", b"p", hashing)])
        assert store.hashing(name("z")) == hashing
        assert store.range_at(name("z"), b"c", hashing, NOW) is not None
        assert store.range_at(name("z"), b"c", (b"\xab", 9), NOW) is None
    store.add_ranges(name("z"), SOA, [nsec("b.z d.z A")])
    assert store.hashing(name("z")) is None
    assert found_at(store, "c.z") == "b.z"
    assert store.range_at(name("z"), b"n", SALTED, NOW) is None
    assert store.hashing(name("other")) is None


def test_the_ranges_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """The zone that was not seen for longest goes, whole."""
    monkeypatch.setattr(p, "DNSSEC_RANGES_MAX", 4)
    store = p.DnssecStore()
    for zone in ("a", "b", "a", "c"):
        store.add_ranges(name(zone), SOA, [nsec(f"{label}.{zone} {label}m.{zone} A", zone) for label in "bm"])
    there = {zone: found_at(store, f"b.{zone}", zone=zone) != "-" for zone in "abc"}
    assert there == {"a": True, "b": False, "c": True}
    store.add_ranges(name("c"), SOA, [nsec(f"{label}.c {label}m.c A", "c") for label in "bmx"])
    assert (found_at(store, "b.a", zone="a"), found_at(store, "x.c", zone="c")) == ("-", "x.c")
    store.add_ranges(name("d"), SOA, [nsec(f"{label}.d {label}m.d A", "d") for label in "abcdef"])
    assert not store.knows_ranges()
    store.add_ranges(name("a"), SOA, [nsec(f"{label}.a {label}m.a A", "a") for label in "abcd"])
    assert found_at(store, "d.a", zone="a") == "d.a"  # the count is right after all this


def test_a_salt_that_changes_all_the_time_is_counted_rightly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(p, "DNSSEC_RANGES_MAX", 3)
    store = p.DnssecStore()
    for turn in range(10):
        store.add_ranges(name("z"), SOA, [nsec3(b"b", b"d", (b"", turn)), nsec3(b"m", b"p", (b"", turn))])
        assert store.range_at(name("z"), b"c", (b"", turn), NOW) is not None


def test_many_threads() -> None:
    """What is found while others write is whole."""
    store, wrong = p.DnssecStore(), []

    def run(seed: int) -> None:
        for turn in range(150):
            zone = f"z{(seed + turn) % 3}"
            store.add_ranges(name(zone), SOA, [nsec(f"b{turn}.{zone} c.{zone} A", zone)])
            one = store.range_at(name(zone), p.dns_name_order(name(f"bz.{zone}")), None, NOW)
            store.learn(name(zone), p.TYPE_DS, fact())
            store.note(b"%d" % turn, bool(turn & 1))
            if one is not None and one.zone != name(zone):
                wrong.append(one)
            if turn % 50 == 0:
                store.flush()

    threads = [threading.Thread(target=run, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


# -- denial -------------------------------------------------------------------------

CHAIN = {
    line.split()[0]: line
    for line in """
z           a.z       NS SOA MX
a.z         cut.z     A
cut.z       d.z       NS
d.z         b.ent.z   DNAME
ent.z       b.ent.z
b.ent.z     scut.z    A
scut.z      v.z       NS DS
v.z         w.z       CNAME
w.z         *.w.z
*.w.z       z         A
""".strip().splitlines()
}

# Question, the owners of the ranges that are there, and what is denied with NSEC.  RFC 4035 s.5.4, RFC 6840 s.4.
NSEC_DENIALS = """
nx.z A          b.ent.z z         no name
nx.z A          b.ent.z           -
nx.z A          z                 -
nx.z A          a.z z             -
nx.z A          scut.z v.z        -
nx.z DS         b.ent.z z         no name
x.a.z A         a.z               no name
x.y.a.z A       a.z               no name
zz.z A          *.w.z z           no name
zz.z A          *.w.z             -
ent.z A         d.z               no data
ent.z ANY       d.z               no data
ent.z DS        d.z               no data
x.ent.z A       b.ent.z d.z       no name
x.ent.z A       b.ent.z z         -
a.z MX          a.z               no data
a.z ANY         a.z               -
a.z A           a.z               -
a.z MX          z cut.z           -
v.z A           v.z               -
v.z CNAME       v.z               -
v.z DS          v.z               -
cut.z A         cut.z             -
cut.z NS        cut.z             -
cut.z DS        cut.z             no data, cut
scut.z DS       scut.z            -
scut.z A        scut.z            -
x.cut.z A       cut.z             -
x.cut.z A       cut.z z           -
x.cut.z DS      cut.z             -
d.z A           d.z               no data
d.z DNAME       d.z               -
x.d.z A         d.z               -
w.z A           v.z               no data
x.w.z A         *.w.z             -
x.w.z MX        *.w.z             no data
x.y.w.z MX      *.w.z             no data
*.w.z MX        *.w.z             no data
z DS            z                 -
z MX            z                 -
z TXT           z                 no data
"""
# The same with NSEC3, where the ranges of names between are there.  RFC 5155 s.8; `!` marks opt-out.
NSEC3_DENIALS = """
nx.z A          z b.ent.z         no name
nx.z A          z                 -
nx.z A          b.ent.z           -
nx.z A          a.z b.ent.z       -
nx.z A          z !b.ent.z        no name, insecure
nx.z A          !z b.ent.z        no name
nx.z DS         z b.ent.z         no name
nx.z DS         z !b.ent.z        no data, insecure, cut
x.nx.z A        z b.ent.z         no name
x.nx.z A        z !b.ent.z        no name, insecure
x.a.z A         a.z               no name
x.y.a.z A       a.z               no name
zz.z A          z *.w.z           no name
ent.z A         ent.z             no data
ent.z A         d.z               -
x.ent.z A       ent.z b.ent.z     no name
x.ent.z A       ent.z             -
x.ent.z A       b.ent.z           -
a.z MX          a.z               no data
a.z A           a.z               -
a.z ANY         a.z               -
v.z MX          v.z               -
cut.z A         cut.z             -
cut.z DS        cut.z             no data, cut
cut.z DS        !cut.z            no data, cut
scut.z DS       scut.z            -
x.cut.z A       cut.z             -
x.cut.z A       cut.z z           -
x.cut.z DS      !cut.z            -
d.z A           d.z               no data
x.d.z A         d.z               -
w.z A           w.z               no data
x.w.z A         w.z *.w.z         -
x.w.z MX        w.z *.w.z         no data
x.w.z MX        w.z !*.w.z        no data, insecure
x.w.z MX        *.w.z             -
x.y.w.z MX      w.z *.w.z         no data
z DS            z                 -
z TXT           z                 no data
"""
HASH = (b"\xab", 1)


def rows(table: str, mode: str) -> list[tuple[str, str, str]]:
    """Split at runs of blanks: questions, ranges, what is expected."""
    split = [[cell for cell in line.split("  ") if cell] for line in table.strip().splitlines()]
    return [(cells[0].strip(), cells[1].strip(), f"{mode}:{cells[2].strip()}") for cells in split]


def ranges_of(owners: Sequence[str], hashed: bool) -> list[Any]:
    out = []
    for word in owners:
        owner = word.lstrip("!")
        line = CHAIN[owner]
        if not hashed and owner in ("d.z", "v.z"):  # NSEC has no record of the names between
            line = {"d.z": "d.z b.ent.z DNAME", "v.z": "v.z *.w.z CNAME"}[owner]
        if hashed and owner == "d.z":
            line = "d.z ent.z DNAME"
        one = made(line + (" optout" if word.startswith("!") else ""))
        one.hashing = HASH if hashed else None
        out.append(one)
    return out


def told(denial: Any) -> str:
    if denial is None:
        return "-"
    words = ["no data" if denial.name_exists else "no name"]
    return ", ".join(words + ["insecure"] * (not denial.secure) + ["cut"] * denial.cut)


@pytest.mark.parametrize(("question", "owners", "expected"), rows(NSEC_DENIALS, "nsec") + rows(NSEC3_DENIALS, "nsec3"))
def test_what_ranges_deny(question: str, owners: str, expected: str) -> None:
    """Hashes stand in the order of names here, so that one chain serves for both; the order of ranges is nothing."""
    mode, _, wanted = expected.partition(":")
    asked, rrtype = question.split()
    ranges = ranges_of(owners.split(), mode == "nsec3")
    for given in (ranges, ranges[::-1]):
        got = p.dnssec_denial(
            name(asked), type_code(rrtype), name("z"), given, lambda text, how: p.dns_name_order(text)
        )
        assert told(got) == wanted
        assert got is None or set(got.ranges) <= set(ranges)


def test_a_wildcard_without_records_of_its_own_exists() -> None:
    """There is `x.*.z`, so `*.z` exists, and stands for every name with nothing (RFC 4592 s.2.2.2, s.3.3.1)."""
    ranges = [nsec("z x.*.z SOA"), nsec("a.z z A")]
    got = p.dnssec_denial(name("nx.z"), 1, name("z"), ranges, lambda text, how: b"")
    assert told(got) == "no data"
    assert told(p.dnssec_denial(name("nx.z"), 1, name("z"), ranges[:1], lambda text, how: b"")) == "-"


def test_ranges_with_another_salt_do_not_mix() -> None:
    ranges = ranges_of(["z", "b.ent.z"], True)
    ranges[1].hashing = (b"", 1)
    assert p.dnssec_denial(name("nx.z"), 1, name("z"), ranges, lambda text, how: p.dns_name_order(text)) is None


# Question, what is known, and what is denied from it.  RFC 8198 s.5.
LATER = [
    ("nx.z A", "b.ent.z z", "no name"),
    ("nx.z A", "b.ent.z", "-"),
    ("nx.z A", "", "-"),
    ("a.z MX", "a.z", "no data"),
    ("a.z A", "a.z", "-"),
    ("ent.z A", "d.z", "no data"),
    ("x.w.z MX", "*.w.z", "no data"),
    ("x.w.z A", "*.w.z", "-"),
    ("cut.z DS", "cut.z", "-"),  # an insecure cut: it is asked for
    ("x.cut.z A", "cut.z z", "-"),
    ("z TXT", "z", "no data"),
    ("z DS", "z", "-"),
    ("nx.y A", "z b.ent.z", "-"),
]


@pytest.mark.parametrize(("question", "owners", "expected"), LATER)
def test_what_is_denied_later(question: str, owners: str, expected: str) -> None:
    asked, rrtype = question.split()
    store = p.DnssecStore()
    ranges = ranges_of(owners.split(), False)
    if ranges:
        store.add_ranges(name("z"), SOA, ranges)
    got = p.dnssec_ranges_denial(store, name(asked), type_code(rrtype), NOW)
    assert told(got and got[1]) == expected
    assert got is None or got[0] == name("z")
    assert p.dnssec_ranges_denial(store, name(asked), type_code(rrtype), NOW + 60) is None


def test_the_closest_zone_speaks() -> None:
    """Of names in a child that has ranges of its own the parent says nothing."""
    store = p.DnssecStore()
    store.add_ranges(name("z"), SOA, [nsec("a.z z A")])
    assert p.dnssec_ranges_denial(store, name("x.c.z"), 1, NOW) is None  # the wildcard may be there
    store.add_ranges(name("z"), SOA, [nsec("z a.z SOA")])
    got = p.dnssec_ranges_denial(store, name("x.c.z"), 1, NOW)
    assert got is not None and got[0] == name("z")
    store.add_ranges(name("c.z"), SOA, [nsec("b.c.z d.c.z A", "c.z")])
    assert p.dnssec_ranges_denial(store, name("x.c.z"), 1, NOW) is None
    got = p.dnssec_ranges_denial(store, name("c.z"), type_code("DS"), NOW)
    assert got is None


def hashed_store(iterations: int) -> Any:
    """A zone of which all is known: its apex, and one range over everything else."""
    store = p.DnssecStore()
    place = p.nsec3_hash(name("z"), b"\xab", iterations)
    one = p.DnssecRange(name("z"), name("z"), place, place, frozenset((p.TYPE_SOA, p.TYPE_NS)))
    one.hashing, one.expires = (b"\xab", iterations), NOW + 60
    store.add_ranges(name("z"), SOA, [one])
    return store


def test_hashed_ranges_are_found_by_their_hash() -> None:
    store = hashed_store(2)
    for asked, rrtype, expected in (("nx.z", 1, "no name"), ("a.b.nx.z", 1, "no name"), ("z", 16, "no data")):
        got = p.dnssec_ranges_denial(store, name(asked), rrtype, NOW)
        assert told(got and got[1]) == expected
    assert p.dnssec_ranges_denial(store, name("z"), p.TYPE_SOA, NOW) is None


HASHES = [(1, 90, True), (1, 150, False), (40, 0, True), (120, 5, False)]


@pytest.mark.parametrize(("labels", "iterations", "there"), HASHES)
def test_an_answer_costs_only_so_many_hashes(labels: int, iterations: int, there: bool) -> None:
    """Beyond DNSSEC_DENIAL_HASHES the question is sent."""
    got = p.dnssec_ranges_denial(hashed_store(iterations), name("x." * labels + "z"), 1, NOW)
    assert (got is not None) is there
