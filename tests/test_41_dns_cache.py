"""Section 41: what is remembered, for how long, and what goes first; finished answers by their bytes."""

from __future__ import annotations

import random
import threading

import pytest

import dnswire
import pydnsmasq as p
from pure import Pure, addr, name

T = 1000


def data(asked: str, *addresses: str, ttl: int = 60, now: int = T, rrtype: int = p.TYPE_A) -> p.CacheEntry:
    return p.CacheEntry(name(asked), rrtype, p.CACHE_DATA, tuple(map(addr, addresses)), ttl, now)


def negative(asked: str, kind: int, ttl: int = 60, now: int = T, rrtype: int = p.TYPE_A) -> p.CacheEntry:
    return p.CacheEntry(name(asked), rrtype, kind, (), ttl, now)


def alias(asked: str, target: str, ttl: int = 60, now: int = T) -> p.CacheEntry:
    return p.CacheEntry(name(asked), p.TYPE_CNAME, p.CACHE_DATA, (name(target),), ttl, now)


def kinds(cache: p.DnsCache, asked: str, now: int = T) -> dict[int, int | None]:
    types = (p.TYPE_A, p.TYPE_AAAA, p.TYPE_CNAME, p.TYPE_MX)
    got = {rrtype: cache.get(name(asked), rrtype, now) for rrtype in types}
    return {rrtype: None if entry is None else entry.kind for rrtype, entry in got.items()}


# -- the cache ------------------------------------------------------------------


def test_what_is_put_is_found() -> None:
    cache = p.DnsCache(10)
    entry = data("a", "1.1.1.1", "2.2.2.2")
    cache.put([entry], T)
    assert cache.get(name("a"), p.TYPE_A, T) is entry
    assert cache.get(name("a"), p.TYPE_AAAA, T) is None
    assert cache.get(name("b"), p.TYPE_A, T) is None
    assert (cache.inserted, cache.evicted) == (2, 0)


@pytest.mark.parametrize(("later", "there"), [(0, True), (59, True), (60, False), (600, False)])
def test_entries_end_with_their_ttl(later: int, there: bool) -> None:
    cache = p.DnsCache(10)
    cache.put([data("a", "1.1.1.1", ttl=60)], T)
    assert (cache.get(name("a"), p.TYPE_A, T + later) is not None) is there
    assert bool(cache.entries()) is there


STALE = [(-1, 60, False), (30, 60, True), (30, 89, True), (30, 90, False), (0, 1_000_000, True), (86400, 61, True)]


@pytest.mark.parametrize(("window", "later", "there"), STALE)
def test_stale_window(window: int, later: int, there: bool) -> None:
    cache = p.DnsCache(10)
    cache.put([data("a", "1.1.1.1", ttl=60)], T)
    assert (cache.get(name("a"), p.TYPE_A, T + later, window) is not None) is there


def test_nxdomain_answers_for_every_type_and_nodata_for_one() -> None:
    cache = p.DnsCache(10)
    cache.put([negative("x", p.CACHE_NXDOMAIN, rrtype=p.TYPE_MX)], T)
    assert set(kinds(cache, "x").values()) == {p.CACHE_NXDOMAIN}
    cache.put([negative("d", p.CACHE_NODATA, rrtype=p.TYPE_MX)], T)
    assert kinds(cache, "d") == {p.TYPE_A: None, p.TYPE_AAAA: None, p.TYPE_CNAME: None, p.TYPE_MX: p.CACHE_NODATA}


def test_data_of_any_type_ends_an_nxdomain() -> None:
    cache = p.DnsCache(10)
    cache.put([negative("x", p.CACHE_NXDOMAIN)], T)
    cache.put([data("x", "::1", rrtype=p.TYPE_AAAA)], T)
    assert kinds(cache, "x") == {p.TYPE_A: None, p.TYPE_AAAA: p.CACHE_DATA, p.TYPE_CNAME: None, p.TYPE_MX: None}


def test_addresses_end_an_alias_of_the_same_name() -> None:
    cache = p.DnsCache(10)
    cache.put([alias("x", "y")], T)
    cache.put([data("x", "1.1.1.1")], T)
    assert kinds(cache, "x")[p.TYPE_CNAME] is None


def test_a_new_entry_takes_the_place_of_the_old() -> None:
    cache = p.DnsCache(3)
    for turn in range(20):
        cache.put([data("a", f"1.1.1.{turn}", "2.2.2.2", "3.3.3.3")], T)
    assert len(cache.entries()) == 1
    entry = cache.get(name("a"), p.TYPE_A, T)
    assert entry is not None and entry.records[0] == addr("1.1.1.19")
    assert cache.evicted == 0


def test_slots_are_records() -> None:
    cache = p.DnsCache(5)
    cache.put([data("a", "1.1.1.1", "1.1.1.2")], T)
    cache.put([data("b", "1.1.1.1", "1.1.1.2")], T)
    cache.put([negative("c", p.CACHE_NODATA)], T)
    assert [entry.name for entry in cache.entries()] == [name("a"), name("b"), name("c")]
    cache.put([data("d", "1.1.1.1")], T)
    assert [entry.name for entry in cache.entries()] == [name("b"), name("c"), name("d")]
    assert cache.evicted == 2


def test_a_used_entry_has_a_second_chance() -> None:
    cache = p.DnsCache(3)
    for asked in "abc":
        cache.put([data(asked, "1.1.1.1")], T)
    cache.get(name("a"), p.TYPE_A, T)
    cache.put([data("d", "1.1.1.1")], T)
    assert {entry.name for entry in cache.entries()} == {name("a"), name("c"), name("d")}
    for asked in "efg":  # its chance is used up
        cache.put([data(asked, "1.1.1.1")], T)
    assert {entry.name for entry in cache.entries()} == {name("e"), name("f"), name("g")}


def test_when_all_were_used_the_oldest_goes() -> None:
    cache = p.DnsCache(3)
    for asked in "abc":
        cache.put([data(asked, "1.1.1.1")], T)
        cache.get(name(asked), p.TYPE_A, T)
    cache.put([data("d", "1.1.1.1")], T)
    assert len(cache.entries()) == 3
    assert cache.get(name("d"), p.TYPE_A, T) is not None


def test_what_is_over_goes_without_being_counted() -> None:
    cache = p.DnsCache(2)
    cache.put([data("a", "1.1.1.1", ttl=1)], T)
    cache.get(name("a"), p.TYPE_A, T)
    cache.put([data("b", "1.1.1.1")], T)
    cache.put([data("c", "1.1.1.1", now=T + 5)], T + 5)
    assert {entry.name for entry in cache.entries()} == {name("b"), name("c")}
    assert cache.evicted == 0


@pytest.mark.parametrize("size", [0, 1, 2])
def test_all_or_nothing(size: int) -> None:
    cache = p.DnsCache(size)
    cache.put([alias("a", "b"), data("b", "1.1.1.1", "1.1.1.2")], T)
    assert cache.entries() == []
    assert cache.inserted == 0
    cache.put([], T)


def test_flush() -> None:
    cache = p.DnsCache(3)
    for asked in "abcd":
        cache.put([data(asked, "1.1.1.1")], T)
    assert (cache.inserted, cache.evicted) == (4, 1)
    cache.flush()
    assert (cache.entries(), cache.inserted, cache.evicted) == ([], 0, 0)
    cache.put([data("a", "1.1.1.1", "1.1.1.2", "1.1.1.3")], T)
    assert len(cache.entries()) == 1


def test_rotation() -> None:
    entry = data("a", "1.1.1.1", "2.2.2.2", "3.3.3.3")
    firsts = [entry.rotated()[0] for _ in range(7)]
    assert firsts == [addr(f"{n}.{n}.{n}.{n}") for n in (1, 2, 3, 1, 2, 3, 1)]
    assert set(entry.rotated()) == set(entry.records)
    assert data("b", "1.1.1.1").rotated() == (addr("1.1.1.1"),)


def test_it_never_grows_past_its_size_and_keeps_count() -> None:
    cache, dice = p.DnsCache(50), random.Random(41)
    now = T
    for _ in range(5000):
        now += dice.randrange(2)
        asked, count = f"n{dice.randrange(80)}", dice.randrange(1, 6)
        choice = dice.randrange(6)
        if choice == 0:
            entries = [negative(asked, p.CACHE_NXDOMAIN, dice.randrange(30), now)]
        elif choice == 1:
            entries = [negative(asked, p.CACHE_NODATA, dice.randrange(30), now)]
        elif choice == 2:
            entries = [alias(asked, "t", 9, now), data("t", *(f"1.1.1.{n}" for n in range(count)), now=now)]
        elif choice == 3:
            cache.get(name(asked), dice.choice((p.TYPE_A, p.TYPE_CNAME)), now)
            continue
        else:
            entries = [data(asked, *(f"1.1.1.{n}" for n in range(count)), ttl=dice.randrange(60), now=now)]
        cache.put(entries, now)
        assert sum(len(entry.records) or 1 for entry in cache.entries()) <= 50
        for entry in entries:
            assert cache.get(entry.name, entry.rrtype, now, 0) is not None


def test_many_threads_leave_it_in_order() -> None:
    cache, errors = p.DnsCache(100), []

    def work(seed: int) -> None:
        dice = random.Random(seed)
        try:
            for _ in range(2000):
                asked = f"n{dice.randrange(300)}"
                if dice.randrange(2):
                    cache.put([data(asked, "1.1.1.1", "1.1.1.2")], T)
                else:
                    cache.get(name(asked), p.TYPE_A, T + dice.randrange(100))
        except Exception as error:  # pragma: no cover
            errors.append(error)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert sum(len(entry.records) for entry in cache.entries()) <= 100


# -- refresh ahead --------------------------------------------------------------

REFRESH = [
    # ttl, hits, seconds after, due
    (300, p.REFRESH_HITS, 269, False),
    (300, p.REFRESH_HITS, 270, True),
    (300, p.REFRESH_HITS - 1, 299, False),
    (20, p.REFRESH_HITS, 17, False),
    (20, p.REFRESH_HITS, 18, True),
    (p.REFRESH_TTL_MIN - 1, 99, p.REFRESH_TTL_MIN - 2, False),
]


@pytest.mark.parametrize(("ttl", "hits", "after", "due"), REFRESH)
def test_when_a_popular_entry_is_refreshed(ttl: int, hits: int, after: int, due: bool) -> None:
    entry = data("a", "1.1.1.1", ttl=ttl)
    entry.hits = hits
    assert p.refresh_due(entry, T + after) is due


# -- finished answers -------------------------------------------------------------


def finished(pure: Pure, asked: str, qtype: str = "A", **how: object) -> p.WireAnswer:
    """Keep the answer to a question as the receiving thread would."""
    seen = pure.ask(asked, qtype, **how)
    answer = seen.answer
    assert answer.lasting
    return p.WireAnswer(seen.wires, int(pure.now), tuple(answer.entries), tuple(seen.lines))


def ttls(answer: p.WireAnswer) -> list[int]:
    message = dnswire.parse(b"\0\0" + (answer.tail or answer.turn()))
    return [item.ttl for item in message.answer + message.authority]


def test_ttls_of_a_finished_answer_go_down_by_the_second() -> None:
    pure = Pure("server=1.1.1.1")
    pure.cache.put([alias("a", "b", 100), data("b", "1.1.1.1", ttl=50)], T)
    answer = finished(pure, "a")
    assert ttls(answer) == [100, 50]
    assert answer.fresh_until == T + 1
    for now, expected in ((T + 1.0, [99, 49]), (T + 1.9, [99, 49]), (T + 2.0, [98, 48]), (T + 40.2, [60, 10])):
        assert answer.renew(now)
        assert ttls(answer) == expected
        assert now < answer.fresh_until <= int(now) + 1
    assert answer.renew(T + 49.5)
    assert ttls(answer) == [51, 1]
    assert not answer.renew(T + 50.0)


def test_a_finished_answer_with_edns_keeps_its_opt() -> None:
    pure = Pure("server=1.1.1.1")
    pure.cache.put([data("a", "1.1.1.1", ttl=50)], T)
    answer = finished(pure, "a", edns=1400)
    before = dnswire.parse(b"\0\0" + (answer.tail or b""))
    assert answer.renew(T + 10.0)
    after = dnswire.parse(b"\0\0" + (answer.tail or b""))
    assert (before.edns_size, before.edns_flags) == (after.edns_size, after.edns_flags) == (p.DNS_UDP_DEFAULT, 0)
    assert [item.ttl for item in after.answer] == [40]


def test_a_finished_negative_answer_ages_too() -> None:
    pure = Pure("server=1.1.1.1")
    entry = negative("x.zone", p.CACHE_NXDOMAIN, 60)
    soa = p.rdata_soa(name("ns.zone"), name("root.zone"), 1, 2, 3, 4, 5)
    entry.soa = (name("zone"), soa, 300)
    pure.cache.put([entry], T)
    answer = finished(pure, "x.zone")
    assert ttls(answer) == [300]
    assert answer.renew(T + 20.0)
    assert ttls(answer) == [280]
    assert not answer.renew(T + 60.0), "it ends with the entry, not with the SOA"


def test_answers_of_our_own_stay() -> None:
    answer = finished(Pure("local-ttl=9", "no-resolv", hosts="10.0.0.1 h\n"), "h")
    assert answer.fresh_until == float("inf")
    assert ttls(answer) == [9]


def test_a_finished_answer_turns_through_every_rotation() -> None:
    addresses = [f"10.0.0.{number}" for number in range(1, 5)]
    pure = Pure("no-resolv", hosts="".join(f"{address} h\n" for address in addresses))
    seen = pure.ask("h")
    answer = p.WireAnswer(seen.wires, T, (), ())
    assert answer.tail is None
    first = [item.rdata for item in dnswire.parse(seen.wires[0]).answer]
    orders = [first] + [[item.rdata for item in dnswire.parse(b"\0\0" + answer.turn()).answer] for _ in range(7)]
    assert [order[0] for order in orders[:4]] != [first[0]] * 4
    assert {order[0] for order in orders[:4]} == set(addresses)
    assert [order[0] for order in orders[4:]] == [order[0] for order in orders[:4]]
    assert all(sorted(order) == addresses for order in orders)


def test_every_rotation_ages() -> None:
    pure = Pure("server=1.1.1.1")
    pure.cache.put([data("a", "1.1.1.1", "2.2.2.2", "3.3.3.3", ttl=50)], T)
    answer = finished(pure, "a")
    assert answer.renew(T + 7.0)
    assert [ttls(answer) for _ in range(4)] == [[43] * 3] * 4


def test_hits_make_a_finished_answer_popular_and_end_it_for_a_refresh() -> None:
    pure = Pure("server=1.1.1.1")
    entry = data("a", "1.1.1.1", ttl=100)
    pure.cache.put([entry], T)
    answer = finished(pure, "a")
    entry.used, entry.hits = False, 0
    answer.hits = p.REFRESH_HITS
    assert answer.renew(T + 50.0)
    assert entry.hits == p.REFRESH_HITS
    assert entry.used, "an entry that is only asked through its finished answer must not be evicted first"
    assert not answer.renew(T + 91.0)
    seen = None
    pure.now = T + 91.0
    seen = pure.ask("a")
    assert seen.answer.refresh == [entry]


def test_an_unpopular_answer_is_not_refreshed() -> None:
    pure = Pure("server=1.1.1.1")
    pure.cache.put([data("a", "1.1.1.1", ttl=100)], T)
    answer = finished(pure, "a")
    assert answer.renew(T + 91.0)
    pure.now = T + 91.0
    assert pure.ask("a").answer.refresh == []


def kept(number: int) -> p.WireAnswer:
    return p.WireAnswer([b"\0\0" + bytes(20) + b"%d" % number], T, (), ())


def test_answers_of_an_older_generation_are_not_kept() -> None:
    answers = p.WireAnswers(150)
    generation = answers.generation
    answers.store(b"one", kept(1), generation)
    answers.clear()
    assert answers.entries == {}
    answers.store(b"two", kept(2), generation)
    assert answers.entries == {}
    answers.store(b"two", kept(2), answers.generation)
    assert list(answers.entries) == [b"two"]


def test_long_queries_are_not_kept() -> None:
    answers = p.WireAnswers(150)
    answers.store(b"x" * (p.WIRE_QUERY_MAX + 1), kept(1), answers.generation)
    assert answers.entries == {}


def test_the_oldest_go_when_it_is_full() -> None:
    answers = p.WireAnswers(0)
    for number in range(p.WIRE_ANSWERS_MIN + 1):
        answers.store(b"%d" % number, kept(number), answers.generation)
    assert len(answers.entries) < p.WIRE_ANSWERS_MIN
    assert b"0" not in answers.entries
    assert b"%d" % p.WIRE_ANSWERS_MIN in answers.entries
    for number in range(10 * p.WIRE_ANSWERS_MIN):
        answers.store(b"y%d" % number, kept(number), answers.generation)
        assert len(answers.entries) <= p.WIRE_ANSWERS_MIN


def test_hits_are_counted_over_the_end_of_answers() -> None:
    answers = p.WireAnswers(0)
    one = kept(1)
    answers.store(b"one", one, answers.generation)
    one.hits = 5
    assert answers.hits() == 5
    two = kept(2)
    answers.store(b"one", two, answers.generation)
    two.hits = 2
    assert answers.hits() == 7
    answers.clear()
    assert answers.hits() == 7
    for number in range(2 * p.WIRE_ANSWERS_MIN):
        answer = kept(number)
        answers.store(b"%d" % number, answer, answers.generation)
        answer.hits = 1
    assert answers.hits() == 7 + 2 * p.WIRE_ANSWERS_MIN


# Questions that were answered, the names that moved -> what is still there.
FORGOTTEN = [
    ("a b.lan lan", "", "a b.lan lan"), ("a b.lan lan", "a", "b.lan lan"), ("a b.lan lan", "b.lan lan", "a"),
    ("a b.lan lan", "an b .", "a b.lan lan"), ("a:AAAA a:A a:edns b", "a", "b"),
    ("60.0.5.10.in-addr.arpa:PTR a", "60.0.5.10.in-addr.arpa", "a"), (". a", ".", "a"),
]  # fmt: skip


@pytest.mark.parametrize(("questions", "names", "left"), FORGOTTEN)
def test_answers_for_names_that_moved_are_forgotten(questions: str, names: str, left: str) -> None:
    answers, keys = p.WireAnswers(150), {}
    for number, question in enumerate(questions.split()):
        asked, _, how = question.partition(":")
        wire = dnswire.build_query(
            asked, "A" if how in ("", "edns") else how, id=1, edns=1232 if how == "edns" else None
        )  # fmt: skip
        keys[wire[2:]] = question
        answers.store(wire[2:], kept(number), answers.generation)
        answers.entries[wire[2:]].hits = 1
    generation = answers.generation
    answers.forget({name(one).lower() for one in names.split()})
    assert [keys[key] for key in answers.entries] == left.split()
    assert answers.hits() == len(questions.split())
    answers.store(b"late", kept(9), generation)  # it was being made meanwhile
    assert b"late" not in answers.entries
