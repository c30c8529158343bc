"""Section 50: from an answer and its zones to a verdict.  What is expected is what the RFCs say of each case."""

from __future__ import annotations

import base64
import random
import struct
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest

import pydnsmasq as p
from dnssecwire import (
    CLOCK,
    CNAME,
    DAY,
    DNAME,
    DNSKEY,
    DS,
    NOW,
    NS,
    NSEC,
    NSEC3,
    NSECS,
    ROOT,
    RRSIG,
    SOA,
    A,
    Key,
    Prover,
    Reply,
    Rr,
    World,
    Zone,
    ancestors,
    anchor,
    bitmap,
    tree,
)
from dnswire import pack_name as name
from dnswire import type_code

Z, S, U = name("z.tld"), name("s.z.tld"), name("u.z.tld")
WWW = name("www.z.tld")
MX, TXT = 15, 16
KINDS = ("nsec", "nsec3", "optout")
EVIL = b"\6\6\6\6"


def zone(world: World, text: str = "z.tld") -> Zone:
    return world.zones[name(text)]


def verdict(world: World, asked: str, rrtype: str = "A", reply: Reply | None = None, *lines: str) -> str:
    """Prove an answer with nothing remembered."""
    return str(Prover(world, *lines).prove(asked, rrtype, reply))


# -- what is whole ------------------------------------------------------------------

# Question, and the verdict with NSEC, NSEC3 and NSEC3 with opt-out.  Opt-out leaves open whether there is an unsigned
# delegation where a name is denied: no AD (RFC 5155 s.9.2).
WHOLE = """
www.z.tld A             SECURE    SECURE    SECURE
WWW.Z.tld A             SECURE    SECURE    SECURE
www.z.tld MX            SECURE    SECURE    SECURE
nx.z.tld A              SECURE    SECURE    INSECURE
a.b.nx.z.tld A          SECURE    SECURE    INSECURE
nx.www.z.tld A          SECURE    SECURE    INSECURE
ent.z.tld A             SECURE    SECURE    SECURE
b.ent.z.tld MX          SECURE    SECURE    SECURE
nx.ent.z.tld A          SECURE    SECURE    INSECURE
x.w.z.tld A             SECURE    SECURE    INSECURE
x.y.w.z.tld A           SECURE    SECURE    INSECURE
x.w.z.tld MX            SECURE    SECURE    INSECURE
*.w.z.tld A             SECURE    SECURE    SECURE
w.z.tld A               SECURE    SECURE    SECURE
x.al.z.tld A            SECURE    SECURE    INSECURE
alias.z.tld A           SECURE    SECURE    SECURE
alias.z.tld CNAME       SECURE    SECURE    SECURE
alias.z.tld MX          SECURE    SECURE    SECURE
far.z.tld A             SECURE    SECURE    SECURE
far.z.tld MX            SECURE    SECURE    SECURE
dangling.z.tld A        SECURE    SECURE    INSECURE
out.z.tld A             INSECURE  INSECURE  INSECURE
out.z.tld MX            INSECURE  INSECURE  INSECURE
in.u.z.tld A            INSECURE  INSECURE  INSECURE
loop.z.tld A            SECURE    SECURE    SECURE
www.d.z.tld A           SECURE    SECURE    SECURE
nx.d.z.tld A            SECURE    SECURE    INSECURE
back.d.z.tld A          SECURE    SECURE    INSECURE
d.z.tld DNAME           SECURE    SECURE    SECURE
d.z.tld A               SECURE    SECURE    SECURE
www.s.z.tld A           SECURE    SECURE    SECURE
s.z.tld A               SECURE    SECURE    SECURE
nx.s.z.tld A            SECURE    SECURE    INSECURE
s.z.tld DS              SECURE    SECURE    SECURE
s.z.tld DNSKEY          SECURE    SECURE    SECURE
host.u.z.tld A          INSECURE  INSECURE  INSECURE
nx.u.z.tld A            INSECURE  INSECURE  INSECURE
u.z.tld A               INSECURE  INSECURE  INSECURE
u.z.tld DS              SECURE    SECURE    INSECURE
www.z.tld DS            SECURE    SECURE    SECURE
nx.z.tld DS             SECURE    SECURE    INSECURE
z.tld DS                SECURE    SECURE    SECURE
z.tld SOA               SECURE    SECURE    SECURE
z.tld NS                SECURE    SECURE    SECURE
z.tld MX                SECURE    SECURE    SECURE
z.tld DNSKEY            SECURE    SECURE    SECURE
nx A                    SECURE    SECURE    SECURE
tld DNSKEY              SECURE    SECURE    SECURE
. DNSKEY                SECURE    SECURE    SECURE
. NS                    SECURE    SECURE    SECURE
. MX                    SECURE    SECURE    SECURE
www.z.tld RRSIG         INSECURE  INSECURE  INSECURE
"""


def cases() -> list[tuple[str, str, str, str]]:
    rows = [line.split() for line in WHOLE.strip().splitlines()]
    return [(kind, row[0], row[1], row[2 + at]) for at, kind in enumerate(KINDS) for row in rows]


@pytest.mark.parametrize(("kind", "asked", "rrtype", "expected"), cases())
def test_whole_answers(kind: str, asked: str, rrtype: str, expected: str) -> None:
    """From nothing, and again with what is known then."""
    prover = Prover(tree(kind))
    assert str(prover.prove(asked, rrtype)) == expected
    fetched = len(prover.asked)
    assert str(prover.prove(asked, rrtype)) == expected
    assert len(prover.asked) == fetched


ORDER = [
    ("www.z.tld A", "z.tld. DS|tld. DS|. DNSKEY|tld. DNSKEY|z.tld. DNSKEY"),
    ("host.u.z.tld A", "tld. DS|. DNSKEY|z.tld. DS|tld. DNSKEY|u.z.tld. DS|z.tld. DNSKEY"),
    ("nx A", ". DNSKEY"),
    ("www.z.tld RRSIG", ""),
]


@pytest.mark.parametrize(("question", "fetched"), ORDER)
def test_nothing_is_fetched_in_vain(question: str, fetched: str) -> None:
    prover = Prover(tree())
    prover.prove(*question.split())
    assert sorted(prover.asked) == sorted(fetched.split("|") if fetched else [])


def test_any_takes_what_is_there() -> None:
    world = tree()
    z = zone(world)
    reply = Reply(WWW, 255, answer=[*z.rrset(WWW, A), *z.denying(WWW)])
    assert verdict(world, "www.z.tld", "ANY", reply) == "SECURE"
    assert verdict(world, "www.z.tld", "ANY", reply.change(lambda rr: rr.rrtype == A, rdata=EVIL)) == "BOGUS 6"
    assert verdict(world, "www.z.tld", "ANY", Reply(WWW, 255, authority=z.denying(WWW))) == "BOGUS 12"
    ent = Reply(name("ent.z.tld"), 255, authority=z.denying(name("ent.z.tld")))
    assert verdict(world, "ent.z.tld", "ANY", ent) == "SECURE"


# -- absence --------------------------------------------------------------------------

# What is denied, or is made from a wildcard: each record of the proof is needed.
NEEDED = """
www.z.tld MX|nx.z.tld A|a.b.nx.z.tld A|nx.www.z.tld A|ent.z.tld A|nx.ent.z.tld A|x.w.z.tld A|x.y.w.z.tld A|x.w.z.tld MX
x.al.z.tld A|far.z.tld MX|dangling.z.tld A|nx.d.z.tld A|s.z.tld A|nx.s.z.tld A|u.z.tld DS|www.z.tld DS|nx.z.tld DS
z.tld MX|back.d.z.tld A
"""
QUESTIONS = [tuple(item.split()) for item in NEEDED.replace("\n", "|").split("|") if item]
ABSENT = [(kind, *question) for kind in ("nsec", "nsec3") for question in QUESTIONS]


@pytest.mark.parametrize(("kind", "asked", "rrtype"), ABSENT)
def test_each_record_of_a_proof_is_needed(kind: str, asked: str, rrtype: str) -> None:
    """Without it, without its signature, and with another signature the answer is bogus."""
    prover = Prover(tree(kind))
    answer = prover.world.reply(asked, rrtype)
    owners = {rr.owner for rr in answer.authority if rr.rrtype in NSECS}
    assert owners
    for owner in owners:
        here = lambda rr, owner=owner: rr.owner == owner and rr.covers in NSECS  # noqa: E731
        signed = lambda rr, here=here: rr.rrtype == RRSIG and here(rr)  # noqa: E731
        last = lambda rr: rr.rdata[:-1] + bytes((rr.rdata[-1] ^ 1,))  # noqa: E731
        for edit in (
            lambda reply, here=here: reply.drop(here),
            lambda reply, signed=signed: reply.drop(signed),
            lambda reply, signed=signed, last=last: reply.change(signed, rdata=last),
        ):
            got = str(prover.prove(asked, rrtype, edit(prover.world.reply(asked, rrtype))))
            assert got in ("BOGUS 12", "BOGUS 6"), (owner, edit)
        assert str(prover.prove(asked, rrtype, prover.world.reply(asked, rrtype).drop(here))) == "BOGUS 12"


OPT_OUT = [
    ("www MX", "BOGUS 12"),
    ("ent A", "BOGUS 12"),
    ("nx A", "INSECURE"),
    ("x.w MX", "INSECURE"),
    ("w A", "BOGUS 12"),
]


@pytest.mark.parametrize(("question", "expected"), OPT_OUT)
def test_without_a_proof_an_opt_out_range_may_hide_an_unsigned_zone(question: str, expected: str) -> None:
    asked, rrtype = question.replace(" ", ".z.tld ").split()
    world = tree("optout")
    assert verdict(world, asked, rrtype, world.reply(asked, rrtype).drop(lambda rr: rr.covers in NSECS)) == expected


@pytest.mark.parametrize("kind", ["nsec", "nsec3"])
@pytest.mark.parametrize("question", ["www MX", "ent A", "x.w MX", "alias MX", "www DS", "u DS", "s A"])
def test_a_name_that_exists_is_not_denied_by_the_code(kind: str, question: str) -> None:
    """NXDOMAIN above a proof that only the data is missing."""
    asked, rrtype = question.replace(" ", ".z.tld ").split()
    world = tree(kind)
    reply = world.reply(asked, rrtype)
    reply.rcode = 3
    assert verdict(world, asked, rrtype, reply) == "BOGUS 12"


@pytest.mark.parametrize("kind", ["nsec", "nsec3"])
def test_the_code_says_what_is_proved(kind: str) -> None:
    """NOERROR above a proof that there is no such name."""
    world = tree(kind)
    for asked in ("nx.z.tld", "dangling.z.tld"):
        reply = world.reply(asked)
        reply.rcode = 0
        assert verdict(world, asked, "A", reply) == "BOGUS 12"


def test_data_is_not_denied_by_the_code() -> None:
    """NXDOMAIN above data that is there and proved; an unsigned zone may answer as it likes."""
    world = tree()
    for asked, expected in (("www.z.tld", "BOGUS 6"), ("alias.z.tld", "BOGUS 6"), ("host.u.z.tld", "INSECURE")):
        reply = world.reply(asked)
        reply.rcode = 3
        assert verdict(world, asked, "A", reply) == expected


@pytest.mark.parametrize("kind", ["nsec", "nsec3"])
@pytest.mark.parametrize("asked", ["www.z.tld", "nx.z.tld", "x.w.z.tld", "ent.z.tld"])
def test_a_record_twice_is_one_record(kind: str, asked: str) -> None:
    """RFC 2181 s.5."""
    world = tree(kind)
    reply = world.reply(asked)
    reply.answer += reply.answer
    reply.authority += reply.authority
    assert verdict(world, asked, "A", reply) == "SECURE"


NSEC3_FORMS: list[tuple[str, Callable[[bytes], bytes], str]] = [
    ("whole", lambda data: data, "SECURE"),
    ("another hash", lambda data: b"\2" + data[1:], "BOGUS 12"),
    ("unknown flags", lambda data: data[:1] + b"\2" + data[2:], "BOGUS 12"),
    ("another salt", lambda data: data[:4] + b"\1\xab" + data[5:], "BOGUS 12"),
    ("other iterations", lambda data: data[:2] + b"\0\1" + data[4:], "BOGUS 12"),
    ("too many iterations", lambda data: data[:2] + b"\0\x97" + data[4:], "BOGUS 27"),
    ("a longer hash", lambda data: data[:5] + b"\x15" + data[6:26] + b"\0" + data[26:], "BOGUS 12"),
    ("no hash", lambda data: data[:5] + b"\0" + data[26:], "BOGUS 12"),
    ("a bad bitmap", lambda data: data + b"\0", "BOGUS 12"),
]


@pytest.mark.parametrize(("change", "expected"), [pytest.param(*row[1:], id=row[0]) for row in NSEC3_FORMS])
def test_forms_of_nsec3(change: Callable[[bytes], bytes], expected: str) -> None:
    """One of the records of a denial, well signed, in another form (RFC 5155 s.8.1, s.8.2)."""
    world = tree("nsec3")
    z = zone(world)
    reply = world.reply("nx.z.tld")
    first = next(rr for rr in reply.authority if rr.rrtype == NSEC3)
    reply.drop(lambda rr: rr.owner == first.owner)
    data = change(first.rdata)
    reply.authority += [first._replace(rdata=data), *z.sign(first.owner, NSEC3, [data], 60)]
    assert verdict(world, "nx.z.tld", "A", reply) == expected


@pytest.mark.parametrize("owner", ["%s.sub.z.tld", "x%s.z.tld", "%s.s.z.tld", "*.z.tld"])
def test_nsec3_at_another_place(owner: str) -> None:
    """Hashes stand right below the apex."""
    world = tree("nsec3")
    z = zone(world)
    reply = Reply(name("www.z.tld"), MX)
    (first,) = [rr for rr in z.denying(WWW) if rr.rrtype == NSEC3]
    elsewhere = name(owner.replace("%s", first.owner[1:33].decode()))
    reply.authority = [first._replace(owner=elsewhere), *z.sign(elsewhere, NSEC3, [first.rdata], 60)]
    assert verdict(world, "www.z.tld", "MX", reply) == "BOGUS 12"


def test_hashes_in_capitals() -> None:
    world = tree("nsec3")
    reply = world.reply("nx.z.tld").change(lambda rr: rr.covers == NSEC3, owner=lambda rr: rr.owner.upper())
    assert verdict(world, "nx.z.tld", "A", reply) == "SECURE"


def denied(world: World, text: str, rrtype: int, rcode: int, *sets: list[Rr]) -> Reply:
    """Make a denial by hand."""
    return Reply(name(text), rrtype, rcode, authority=[*zone(world).rrset(Z, SOA), *(rr for one in sets for rr in one)])


def nsec3_of(z: Zone, encloser: str, closer: str) -> list[Rr]:
    """Deny by NSEC3 what is below `encloser`, as if there were nothing but that."""
    wild = b"\1*" + name(encloser)
    return z.denying(name(encloser), name(closer), wild)


def false_proofs(kind: str) -> list[tuple[str, Callable[[World], tuple[str, str, Reply]]]]:
    """Proofs of which every record is good and which prove nothing: RFC 6840 s.4.1, s.4.3, s.4.4; RFC 5155 s.8.9."""

    def below(text: str, above: str, rcode: int) -> Callable[[World], tuple[str, str, Reply]]:
        def make(world: World) -> tuple[str, str, Reply]:
            z = zone(world)
            proof = z.denying(name(above)) if kind == "nsec" else nsec3_of(z, above, text)
            return text, "A", denied(world, text, A, rcode, proof)

        return make

    def at(text: str, rrtype: str, owner: str, by: str, rcode: int = 0) -> Callable[[World], tuple[str, str, Reply]]:
        def make(world: World) -> tuple[str, str, Reply]:
            return text, rrtype, denied(world, text, type_code(rrtype), rcode, zone(world, by).denying(name(owner)))

        return make

    return [
        ("a cut above denies the name", below("nx.s.z.tld", "s.z.tld", 3)),
        ("a cut above denies the data", below("www.s.z.tld", "s.z.tld", 0)),
        ("an unsigned cut above denies a signed name", below("z.u.z.tld", "u.z.tld", 3)),
        ("a DNAME above denies the name", below("www.d.z.tld", "d.z.tld", 3)),
        ("the parent denies data at a cut", at("s.z.tld", "A", "s.z.tld", "z.tld")),
        ("the child denies its DS", at("s.z.tld", "DS", "s.z.tld", "s.z.tld")),
        ("the child denies what it has", at("s.z.tld", "SOA", "s.z.tld", "s.z.tld")),
        ("the data is there", at("www.z.tld", "A", "www.z.tld", "z.tld")),
        ("an alias is there", at("alias.z.tld", "A", "alias.z.tld", "z.tld")),
        ("another name", at("www.z.tld", "MX", "wwx.z.tld", "z.tld")),
        ("another zone", at("www.z.tld", "MX", "www.other.tld", "other.tld")),
        ("another zone denies the name", at("www.z.tld", "MX", "www.other.tld", "other.tld", 3)),
        ("another zone denies a cut", at("z.tld", "DS", "www.other.tld", "other.tld", 3)),
        ("a wildcard with the data", at("x.w.z.tld", "A", "*.w.z.tld", "z.tld")),
    ]


FALSE = [
    pytest.param(kind, make, id=f"{kind}: {text}") for kind in ("nsec", "nsec3") for text, make in false_proofs(kind)
]


@pytest.mark.parametrize(("kind", "make"), FALSE)
def test_what_proves_nothing(kind: str, make: Callable[[World], tuple[str, str, Reply]]) -> None:
    world = tree(kind)
    asked, rrtype, reply = make(world)
    insecure = asked.endswith("u.z.tld")  # whatever is below an unsigned cut
    assert verdict(world, asked, rrtype, reply) == ("INSECURE" if insecure else "BOGUS 12")


def test_the_proof_of_a_wildcard_is_no_proof_of_another_name() -> None:
    """A NSEC that was made from a wildcard itself says nothing (its labels tell)."""
    world = tree()
    z = zone(world)
    wild, shown = name("*.w.z.tld"), name("x.w.z.tld")
    (data,) = [rr.rdata for rr in z.denying(wild) if rr.rrtype == NSEC]
    forged = [Rr(shown, NSEC, 60, data), *z.sign(wild, NSEC, [data], 60, shown=shown)]
    assert verdict(world, "x.w.z.tld", "MX", denied(world, "x.w.z.tld", MX, 0, forged)) == "BOGUS 12"


def test_a_zone_does_not_deny_itself() -> None:
    """What stands at its apex is for the parent to say, whatever the child covers."""
    world = tree()
    data = b"\1a" + Z + bitmap([A])
    forged = [Rr(b"\2zz" + Z, NSEC, 60, data), *zone(world).sign(b"\2zz" + Z, NSEC, [data], 60)]
    for code in (0, 3):
        assert verdict(world, "z.tld", "DS", denied(world, "z.tld", DS, code, forged)) == "BOGUS 12"


def test_a_zone_does_not_sign_its_own_ds() -> None:
    world = tree()
    datas = [Key(6).ds(Z)]
    reply = Reply(Z, DS, answer=[Rr(Z, DS, 300, datas[0]), *zone(world).sign(Z, DS, datas, 300)])
    assert verdict(world, "z.tld", "DS", reply) == "BOGUS 10"


def test_the_reason_of_a_proof_that_does_not_count() -> None:
    """The late one was looked at before the keys of the other were there."""
    world = tree()
    late = [rr for rr in zone(world).denying(name("nx.z.tld")) if rr.rrtype == NSEC]
    late += [signature for rr in late for signature in zone(world).sign(rr.owner, NSEC, [rr.rdata], 60, ends=CLOCK - 1)]
    reply = denied(world, "nx.z.tld", A, 3, late, zone(world, "s.z.tld").denying(S))
    assert verdict(world, "nx.z.tld", "A", reply) == "BOGUS 7"


def test_two_nsec_records_of_one_name_do_not_count() -> None:
    world = tree()
    z = zone(world)
    both = [b"\3wwx" + Z + bitmap([A]), b"\3wwy" + Z + bitmap([A])]
    forged = [Rr(WWW, NSEC, 60, data) for data in both] + z.sign(WWW, NSEC, both, 60)
    assert verdict(world, "www.z.tld", "MX", denied(world, "www.z.tld", MX, 0, forged)) == "BOGUS 12"


# Names that `*.z.tld` does not stand for, though NSEC records show that they are not there: something closer exists.
CLOSER = ["nx.www", "b.ent", "ent", "nx.ent", "x.w", "www", "nx.s", "nx.d"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("text", CLOSER)
def test_a_wildcard_stands_for_no_name_with_a_closer_match(kind: str, text: str) -> None:
    """RFC 4592 s.3.3.1, RFC 4035 s.5.3.4: whatever record of the zone is put beside it."""
    world = tree(kind)
    z = zone(world)
    z.add("* A 203.0.113.1")
    asked = name(f"{text}.z.tld")
    for near in {asked, *(asked[at:] for at in range(len(asked) - len(Z)) if asked[at:] in z.names())}:
        answer = z.rrset(b"\1*" + Z, A, asked)
        reply = Reply(asked, A, answer=answer, authority=z.denying(asked, near, name("nx." + text + ".z.tld")))
        assert verdict(world, f"{text}.z.tld", "A", reply).startswith("BOGUS")


def test_another_zone_does_not_prove_that_there_is_no_closer_match() -> None:
    """Hashes of one zone lie anywhere between those of another."""
    world = tree("nsec3")
    zone(world).add("* A 203.0.113.1")
    for text in ("other.tld", "s.z.tld"):
        other = zone(world, text)
        other.denial = "nsec3"
        reply = Reply(WWW, A, answer=zone(world).rrset(b"\1*" + Z, A, WWW), authority=other.denying(WWW))
        assert verdict(world, "www.z.tld", "A", reply) == "BOGUS 12"


def test_a_wildcard_stands_for_names_without_a_closer_match() -> None:
    for kind in ("nsec", "nsec3"):
        world = tree(kind)
        zone(world).add("* A 203.0.113.1")
        for asked in ("nx.z.tld", "a.b.nx.z.tld", "zzz.z.tld"):
            assert verdict(world, asked) == "SECURE"


ITERATIONS = [
    (0, "", "SECURE"),
    (1, "ab", "SECURE"),
    (150, "ab" * 255, "SECURE"),
    (151, "", "BOGUS 27"),
    (2500, "", "BOGUS 27"),
]


@pytest.mark.parametrize(("iterations", "salt", "expected"), ITERATIONS)
def test_iterations_of_nsec3(iterations: int, salt: str, expected: str) -> None:
    """RFC 9276 s.3.2; what needs no denial is not touched."""
    world = tree("nsec3", iterations=iterations, salt=bytes.fromhex(salt))
    assert verdict(world, "nx.z.tld") == expected
    assert verdict(world, "www.z.tld") == "SECURE"


def test_the_limit_of_iterations_can_be_set() -> None:
    world = tree("nsec3", iterations=10)
    assert verdict(world, "nx.z.tld", "A", None, "dnssec-limits=0,0,0,9") == "BOGUS 27"
    assert verdict(world, "nx.z.tld", "A", None, "dnssec-limits=0,0,0,10") == "SECURE"


# -- signatures -------------------------------------------------------------------------


def resigned(world: World, asked: bytes = WWW, rdatas: Sequence[bytes] = (), **how: Any) -> Reply:
    """Answer an address with a signature of another form."""
    z = zone(world)
    datas = list(rdatas or z.sets[asked, A])
    how.setdefault("key", z.signers[0])
    ttl = how.pop("signed_ttl", 300)
    signature = z.rrsig(how.pop("owner", asked), A, datas, ttl, shown=asked, **how)
    return Reply(asked, A, answer=[*(Rr(asked, A, 300, data) for data in datas), signature._replace(ttl=300)])


WRAP = 2**32  # times of signatures are serial numbers (RFC 4034 s.3.1.5)
FORMS: list[tuple[dict[str, Any], str]] = [
    ({}, "SECURE"),
    ({"rdatas": [EVIL], "key": Key(6)}, "BOGUS 9"),  # nobody's key
    ({"key": Key(6), "tag": Key(3).tag}, "BOGUS 6"),
    ({"signer": name("other.tld")}, "BOGUS 10"),
    ({"signer": name("other.tld"), "key": Key(5)}, "BOGUS 10"),
    ({"signer": S, "key": Key(4)}, "BOGUS 10"),
    ({"signer": WWW}, "BOGUS 9"),
    ({"signer": name("tld")}, "BOGUS 9"),
    ({"signer": ROOT}, "BOGUS 9"),
    ({"labels": 4}, "BOGUS 10"),
    ({"labels": 255}, "BOGUS 10"),
    ({"labels": 2}, "BOGUS 6"),
    ({"labels": 1}, "BOGUS 10"),
    ({"labels": 0}, "BOGUS 10"),
    ({"owner": b"\1*" + Z}, "BOGUS 12"),  # truly made from a wildcard, but the name is there
    ({"tag": Key(3).tag ^ 1}, "BOGUS 9"),
    ({"algorithm": 10}, "BOGUS 9"),
    ({"algorithm": 13}, "BOGUS 9"),
    ({"algorithm": 0}, "BOGUS 1"),
    ({"algorithm": 3}, "BOGUS 1"),
    ({"algorithm": 253}, "BOGUS 1"),
    ({"begins": CLOCK}, "SECURE"),
    ({"begins": CLOCK + 1}, "BOGUS 8"),
    ({"ends": CLOCK}, "SECURE"),
    ({"ends": CLOCK - 1}, "BOGUS 7"),
    ({"begins": CLOCK - 2**31 + 1}, "SECURE"),
    ({"begins": CLOCK - 2**31 - 1}, "BOGUS 8"),
    ({"ends": CLOCK + 2**31 - 1}, "SECURE"),
    ({"ends": CLOCK + 2**31 + 1}, "BOGUS 7"),
    ({"begins": 0, "ends": WRAP - 1}, "BOGUS 7"),
]


@pytest.mark.parametrize(("how", "expected"), FORMS)
def test_forms_of_a_signature(how: dict[str, Any], expected: str) -> None:
    world = tree()
    assert verdict(world, "www.z.tld", "A", resigned(world, **how)) == expected


def test_the_parents_signature_will_do_where_it_is_good() -> None:
    """The parent could delegate to whom it likes anyway; but not above an anchor (see below)."""
    world = tree()
    reply = resigned(world, signer=name("tld"), key=Key(2, 256))
    assert verdict(world, "www.z.tld", "A", reply) in ("SECURE", "BOGUS 10")


@pytest.mark.parametrize("clock", [2**32 - 100, 2**32, 2**32 + 100])
def test_the_clock_may_pass_the_end_of_serial_numbers(clock: int) -> None:
    world = tree()
    prover = Prover(world)
    prover.prove("www.z.tld")  # the keys, while their signatures are good
    prover.clock = clock
    good = {"begins": 2**32 - 3600, "ends": 2**32 + 3600}
    for change, expected in (({}, "SECURE"), ({"ends": 2**32 - 101}, "BOGUS 7"), ({"begins": 2**32 + 101}, "BOGUS 8")):
        assert str(prover.prove("www.z.tld", "A", resigned(world, **(good | change)))) == expected


def test_times_are_not_looked_at_while_the_clock_is_not_trusted() -> None:
    world = tree()
    prover = Prover(world)
    prover.store.check_times = False
    for times in ({"ends": CLOCK - 1}, {"begins": CLOCK + 1}):
        assert str(prover.prove("www.z.tld", "A", resigned(world, **times))) == "SECURE"
    prover.store.check_times = True
    assert str(prover.prove("www.z.tld", "A", resigned(world, ends=CLOCK - 1))) == "BOGUS 7"


# TTL of the records, the original TTL that is signed, seconds to the signature's end: what is left.
TTLS = [(300, 300, DAY, 300), (9999, 300, DAY, 300), (10, 300, DAY, 10), (300, 300, 60, 60), (9999, 300, 0, 0)]


@pytest.mark.parametrize(("ttl", "signed", "left", "expected"), TTLS)
def test_no_record_outlives_its_signature(ttl: int, signed: int, left: int, expected: int) -> None:
    """RFC 4035 s.5.3.3."""
    world = tree()
    reply = resigned(world, signed_ttl=signed, ends=CLOCK + left).change(lambda rr: True, ttl=ttl)
    proved = Prover(world).prove("www.z.tld", "A", reply)
    assert str(proved) == "SECURE"
    assert [rr.ttl for rr in proved.message.answers] == [expected] * 3
    assert proved.outcome.rewritten is (ttl != expected)


def last_changed(rr: Rr) -> bytes:
    return rr.rdata[:-1] + bytes((rr.rdata[-1] ^ 0x40,))


def is_a(rr: Rr) -> bool:
    return rr.rrtype == A


def is_signature(rr: Rr) -> bool:
    return rr.rrtype == RRSIG


SMALL: list[tuple[str, Callable[[Reply], Any], str]] = [
    ("data", lambda reply: reply.change(is_a, rdata=EVIL), "BOGUS 6"),
    ("one of two", lambda reply: reply.change(lambda rr: rr.rdata == b"\xc0\0\2\1", rdata=EVIL), "BOGUS 6"),
    ("one is missing", lambda reply: reply.answer.pop(0), "BOGUS 6"),
    ("one more", lambda reply: reply.answer.append(Rr(WWW, A, 300, EVIL)), "BOGUS 6"),
    ("one twice", lambda reply: reply.answer.insert(1, reply.answer[0]), "SECURE"),
    ("another order", lambda reply: reply.answer.reverse(), "SECURE"),
    ("no signature", lambda reply: reply.drop(is_signature), "BOGUS 10"),
    ("a bad signature", lambda reply: reply.change(is_signature, rdata=last_changed), "BOGUS 6"),
    ("a short signature", lambda reply: reply.change(is_signature, rdata=lambda rr: rr.rdata[:-1]), "BOGUS 6"),
    ("an empty signature", lambda reply: reply.change(is_signature, rdata=lambda rr: rr.rdata[:-128]), "BOGUS 6"),
    ("a long signature", lambda reply: reply.change(is_signature, rdata=lambda rr: rr.rdata + b"\0"), "BOGUS 6"),
    ("of another type", lambda reply: reply.change(
        is_signature, rdata=lambda rr: b"\0\x10" + rr.rdata[2:]), "BOGUS 10"),
    ("at another name", lambda reply: reply.change(is_signature, owner=name("wwx.z.tld")), "BOGUS 10"),
    ("all at another name", lambda reply: reply.change(lambda rr: True, owner=name("wwx.z.tld")), "BOGUS 6"),
    ("capitals", lambda reply: reply.change(lambda rr: True, owner=name("wWw.Z.tLD")), "SECURE"),
    ("a bad and a good signature", lambda reply: reply.answer.insert(0, reply.answer[-1]._replace(
        rdata=last_changed(reply.answer[-1]))), "SECURE"),
    ("a good and a bad signature", lambda reply: reply.answer.append(reply.answer[-1]._replace(
        rdata=last_changed(reply.answer[-1]))), "SECURE"),
    ("an unsigned set beside it", lambda reply: reply.answer.append(Rr(WWW, TXT, 300, b"\1x")), "BOGUS 10"),
    ("an unsigned set of another name", lambda reply: reply.answer.append(Rr(name("x.z.tld"), A, 9, EVIL)), "BOGUS 10"),
    ("an unsigned set of an unsigned zone", lambda reply: reply.answer.append(Rr(b"\1x" + U, A, 9, EVIL)), "SECURE"),
    ("unsigned servers beside it", lambda reply: reply.authority.append(Rr(Z, NS, 9, WWW)), "INSECURE"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "expected"), [pytest.param(*row[1:], id=row[0]) for row in SMALL])
def test_small_changes(change: Callable[[Reply], Any], expected: str) -> None:
    """What is secure has lost what does not belong to it."""
    world = tree()
    reply = world.reply("www.z.tld")
    truth = data_of([(rr.owner, rr.rrtype, rr.rdata) for rr in reply.answer])
    change(reply)
    proved = Prover(world).prove("www.z.tld", "A", reply)
    assert str(proved) == expected
    if expected == "SECURE":
        assert data_of(canonical(proved.message.answers)) == truth


def test_what_does_not_belong_to_the_answer_is_left_out() -> None:
    """AD speaks for all that is there (RFC 4035 s.3.2.3)."""
    world = tree()
    z = zone(world)
    reply = world.reply("alias.z.tld")
    whole = len(reply.answer)
    reply.answer += z.rrset(name("wwx.z.tld"), TXT)
    reply.authority = [*z.rrset(Z, NS), *z.denying(WWW), Rr(Z, RRSIG, 9, b"\0\x10" + bytes(40))]
    proved = Prover(world).prove("alias.z.tld", "A", reply)
    assert str(proved) == "SECURE"
    assert {rr.name for rr in proved.message.answers} == {name("alias.z.tld"), WWW}
    assert len(proved.message.answers) == whole
    assert {rr.rrtype for rr in proved.message.authority} == {NS, RRSIG}
    assert len(proved.message.authority) == 2
    assert proved.outcome.rewritten


def test_what_belongs_to_the_answer_is_left() -> None:
    for kind in KINDS[:2]:
        world = tree(kind)
        for asked, rrtype in QUESTIONS:
            proved = Prover(world).prove(asked, rrtype)
            reply = world.reply(asked, rrtype)
            assert len(proved.message.answers) == len(reply.answer)
            assert len(proved.message.authority) == len(reply.authority)
            assert not proved.outcome.rewritten


def test_records_of_another_class_are_left_out() -> None:
    world = tree()
    reply = world.reply("www.z.tld")
    reply.answer.insert(0, Rr(WWW, A, 9, EVIL))
    wire = bytearray(reply.wire)
    at = 12 + len(WWW) + 4 + len(WWW) + 2
    wire[at : at + 2] = b"\0\3"
    proved = Prover(world).prove("www.z.tld", "A", bytes(wire))
    assert str(proved) == "SECURE"
    assert EVIL not in [rr.rdata for rr in proved.message.answers]


def test_signatures_of_different_forms() -> None:
    """Each is over a text of its own: another TTL, or the name of a wildcard."""
    world = tree()
    good = resigned(world)
    for other in (resigned(world, key=Key(6), signed_ttl=77, tag=Key(3).tag), resigned(world, owner=b"\1*" + Z)):
        for answer in (good.answer + other.answer[-1:], good.answer[:-1] + other.answer[-1:] + good.answer[-1:]):
            got = verdict(world, "www.z.tld", "A", Reply(WWW, A, answer=answer))
            assert got == "SECURE" or (got == "BOGUS 12" and answer[-1] is good.answer[-1])


def test_signed_servers_beside_an_answer() -> None:
    world = tree()
    reply = world.reply("www.z.tld")
    reply.authority = zone(world).rrset(Z, NS)
    assert verdict(world, "www.z.tld", "A", reply) == "SECURE"
    assert verdict(world, "www.z.tld", "A", reply.change(lambda rr: rr.rrtype == NS, rdata=WWW)) == "BOGUS 6"


def test_a_signature_is_not_taken_for_other_data_with_the_same_octets() -> None:
    """What is remembered of a signature is of this data: the end of one field is not the beginning of the next.

    A zone has a record with the octets over which a signature for another name would be made; the end of the good
    data is shifted into the field of the signature.
    """
    world = tree()
    z, prover = zone(world), Prover(world)
    wanted = z.rrsig(WWW, A, [EVIL], 300, Key(3)).rdata[:-128]
    octets = wanted + WWW + struct.pack("!HHIH", A, 1, 300, 4) + EVIL
    user = name("user.z.tld")
    z.sets[user, 65280] = [octets]
    reply = world.reply("user.z.tld", 65280)
    assert str(prover.prove("user.z.tld", 65280, reply)) == "SECURE"
    (rrsig,) = [rr.rdata for rr in reply.answer if rr.rrtype == RRSIG]
    begin = rrsig[:-128] + user + struct.pack("!HHIH", 65280, 1, 300, len(octets))
    forged = Reply(WWW, A, answer=[Rr(WWW, A, 300, EVIL), Rr(WWW, RRSIG, 300, wanted + rrsig[-128:] + begin)])
    assert str(prover.prove("www.z.tld", "A", forged)) == "BOGUS 6"


# Types whose names are compared in lower case (RFC 6840 s.5.1), and some that are signed as they are.
CASES = {
    "MX": (True, b"\0\1" + name("Mail.X")), "NS": (True, name("Ns.X")), "SRV": (True, bytes(6) + name("Srv.X")),
    "SOA": (True, name("Ns.X") + name("H.X") + bytes(20)), "PTR": (True, name("P.X")), "RP": (True, name("A.X") * 2),
    "DNAME": (True, name("D.X")), "KX": (True, b"\0\1" + name("Kx.X")), "AFSDB": (True, b"\0\1" + name("A.X")),
    "NAPTR": (True, b"\0\1\0\1\1u\1a\1b" + name("N.X")), "TXT": (False, b"\1X"), "SVCB": (False, b"\0\1" + name("S.X")),
    "HTTPS": (False, b"\0\1" + name("S.X")), "TYPE65280": (False, name("U.X")),
    "NSEC": (False, name("N.X") + b"\0\1\x40"), "HINFO": (False, b"\1A\1B"),
}  # fmt: skip


@pytest.mark.parametrize("rrtype", CASES)
def test_names_in_data_are_signed_in_lower_case(rrtype: str) -> None:
    lowered, data = CASES[rrtype]
    world = tree()
    z, code, owner = zone(world), type_code(rrtype), name("t.z.tld")
    for signed, expected in ((data.lower(), lowered), (data, not lowered)):
        reply = Reply(owner, code, answer=[Rr(owner, code, 300, data), *z.sign(owner, code, [signed], 300)])
        assert verdict(world, "t.z.tld", rrtype, reply) == ("SECURE" if expected else "BOGUS 6")


# -- DNAME, aliases -----------------------------------------------------------------------

DNAMES: list[tuple[str, Callable[[Reply], Any], str]] = [
    ("whole", lambda reply: reply, "SECURE"),
    ("the alias leads elsewhere", lambda reply: reply.change(
        lambda rr: rr.rrtype == CNAME, rdata=name("evil.s.z.tld")), "BOGUS 10"),
    ("no DNAME", lambda reply: reply.drop(lambda rr: rr.covers == DNAME), "BOGUS 10"),
    ("an unsigned DNAME", lambda reply: reply.drop(lambda rr: rr.covers == DNAME and is_signature(rr)), "BOGUS 10"),
    ("another DNAME", lambda reply: reply.change(lambda rr: rr.rrtype == DNAME, rdata=U), "BOGUS"),
    ("two aliases", lambda reply: reply.answer.append(Rr(reply.name, CNAME, 9, name("evil.tld"))), "BOGUS 10"),
    ("the target is another", lambda reply: reply.change(is_a, rdata=EVIL), "BOGUS 6"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "expected"), [pytest.param(*row[1:], id=row[0]) for row in DNAMES])
def test_dname(change: Callable[[Reply], Any], expected: str) -> None:
    world = tree()
    reply = world.reply("www.d.z.tld")
    change(reply)
    assert verdict(world, "www.d.z.tld", "A", reply).startswith(expected)


def test_the_alias_of_a_dname_lives_no_longer_than_that() -> None:
    """RFC 6672 s.3.1."""
    world = tree()
    reply = world.reply("www.d.z.tld").change(lambda rr: rr.rrtype == CNAME, ttl=9999)
    proved = Prover(world).prove("www.d.z.tld", "A", reply)
    assert (str(proved), {rr.ttl for rr in proved.message.answers}) == ("SECURE", {300})


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("target", ["www.z.tld", "z.tld", "u2.z.tld", "www.s.z.tld", "www.other.tld"])
def test_an_alias_of_an_unsigned_zone_makes_its_target_not_insecure(target: str, first: bool) -> None:
    answer = [Rr(b"\2in" + U, CNAME, 9, name(target)), Rr(b"\4host" + U, A, 9, EVIL), Rr(name(target), A, 9, EVIL)]
    reply = Reply(b"\2in" + U, A, answer=answer if first else answer[::-1])
    assert verdict(tree(), "in.u.z.tld", "A", reply) == "BOGUS 10"


def test_an_alias_without_its_target_is_no_answer() -> None:
    world = tree()
    reply = world.reply("alias.z.tld")
    reply.drop(lambda rr: rr.covers == A)
    assert verdict(world, "alias.z.tld", "A", reply) == "BOGUS 12"
    reply = world.reply("far.z.tld").change(is_a, rdata=EVIL)
    assert verdict(world, "far.z.tld", "A", reply) == "BOGUS 6"


def test_data_of_another_name_is_no_answer() -> None:
    world = tree()
    reply = world.reply("www.s.z.tld")
    reply.name = WWW
    assert verdict(world, "www.z.tld", "A", reply) == "BOGUS 12"


# -- the chain of zones --------------------------------------------------------------------

ZKEY = Key(3)


def ds(*digests: str) -> list[bytes]:
    """Give DS data of z.tld's key: a digest type, `!` for a wrong digest, `@n` for algorithm n."""
    out = []
    for text in digests:
        digest, _, algorithm = text.rstrip("!").partition("@")
        data = ZKEY.ds(Z, int(digest))
        data = data[:2] + bytes((int(algorithm or 8), data[3])) + data[4:]
        out.append(data[:-1] + bytes((data[-1] ^ 1,)) if text.endswith("!") else data)
    return out


DELEGATIONS = [
    ("1", "SECURE"),  # SHA-1 where there is nothing better
    ("2", "SECURE"),
    ("4", "SECURE"),
    ("1 2", "SECURE"),
    ("1! 2", "SECURE"),
    ("1 2!", "BOGUS 9"),  # RFC 4509 s.3
    ("1 4!", "BOGUS 9"),
    ("2! 4", "SECURE"),
    ("2!", "BOGUS 9"),
    ("99", "INSECURE"),
    ("3", "INSECURE"),
    ("0", "INSECURE"),
    ("99 2", "SECURE"),
    ("99 2!", "BOGUS 9"),
    ("2@99", "INSECURE"),
    ("2@3", "INSECURE"),
    ("2@99 2", "SECURE"),
    ("2@99 1", "SECURE"),  # the better digest is of an algorithm that nobody knows
    ("2@13", "BOGUS 9"),
    ("2@10 99", "BOGUS 9"),
    ("99 2@99", "INSECURE"),
]


@pytest.mark.parametrize(("digests", "expected"), DELEGATIONS)
def test_ds_sets(digests: str, expected: str) -> None:
    """RFC 4035 s.5.2: a zone of which nothing can be checked is as unsigned."""
    world = tree()
    zone(world, "tld").sets[Z, DS] = ds(*digests.split())
    assert verdict(world, "www.z.tld") == expected
    assert verdict(world, "nx.z.tld") == expected
    bare = world.reply("www.z.tld").drop(is_signature)
    assert verdict(world, "www.z.tld", "A", bare) in (expected, "BOGUS 10")
    if expected == "INSECURE":
        assert verdict(world, "www.z.tld", "A", bare) == expected
    else:
        assert verdict(world, "www.z.tld", "A", bare).startswith("BOGUS")


KSK, ZSK = Key(3), Key(6, 256)
# Keys that sign the keys, keys that sign the rest, and the verdict; the DS is of the first.
KEY_SETS: list[tuple[str, list[Key], list[Key], str]] = [
    ("one key", [KSK], [KSK], "SECURE"),
    ("two keys", [KSK], [ZSK], "SECURE"),
    ("no entry point", [replace(KSK, flags=256)], [ZSK], "SECURE"),
    ("strange flags", [replace(KSK, flags=0xFE7F & ~0x80 | 0x100)], [ZSK], "SECURE"),
    ("revoked entry", [replace(KSK, flags=385)], [ZSK], "BOGUS 9"),
    ("entry without the zone bit", [replace(KSK, flags=1)], [ZSK], "BOGUS 11"),
    ("entry with another protocol", [replace(KSK, protocol=2)], [ZSK], "BOGUS 9"),
    ("revoked signer", [KSK], [replace(ZSK, flags=384)], "BOGUS 9"),
    ("signer without the zone bit", [KSK], [replace(ZSK, flags=0)], "BOGUS 9"),
    ("signer with another protocol", [KSK], [replace(ZSK, protocol=4)], "BOGUS 9"),
    ("a twin of the signer", [KSK], [ZSK], "SECURE"),
]


@pytest.mark.parametrize(("keys", "signers", "expected"), [pytest.param(*row[1:], id=row[0]) for row in KEY_SETS])
def test_key_sets(keys: list[Key], signers: list[Key], expected: str) -> None:
    assert verdict(tree(keys=keys, signers=signers), "www.z.tld") == expected


def test_what_is_not_in_the_key_set_signs_nothing() -> None:
    world = tree()
    zone(world).signers = [ZSK]
    assert verdict(world, "www.z.tld") == "BOGUS 9"


def of(rrtype: int) -> Callable[[Rr], bool]:
    return lambda rr: rr.covers == rrtype


def signed_of(rrtype: int) -> Callable[[Rr], bool]:
    return lambda rr: rr.covers == rrtype and rr.rrtype == RRSIG


def emptied(reply: Reply) -> None:
    reply.answer, reply.authority = [], []


def failed(_: World, reply: Reply) -> None:
    emptied(reply)
    reply.rcode = 2


def by_child(world: World, reply: Reply) -> None:
    """The DS set, signed by the child."""
    reply.answer = [rr for rr in reply.answer if rr.rrtype == DS]
    datas = [rr.rdata for rr in reply.answer]
    reply.answer += zone(world).sign(Z, DS, datas, 300)


def childs_word(world: World, reply: Reply) -> None:
    """What the child says of its own DS: nothing is there."""
    reply.answer, reply.authority = [], [*zone(world).rrset(Z, SOA), *zone(world).denying(Z)]


def childs_alias(world: World, reply: Reply) -> None:
    reply.answer = [Rr(Z, CNAME, 9, S), *zone(world).sign(Z, CNAME, [S], 9)]


def unsigned_alias(world: World, reply: Reply) -> None:
    reply.answer = [Rr(Z, CNAME, 9, S)]


def by_wildcard(world: World, reply: Reply) -> None:
    """DS data that belongs to a wildcard of the parent."""
    datas = [Key(6).ds(Z)]
    tld = zone(world, "tld")
    reply.answer = [Rr(Z, DS, 300, datas[0]), *tld.sign(name("*.tld"), DS, datas, 300, shown=Z)]


def by_zsk_only(world: World, reply: Reply) -> None:
    """The keys of tld, signed by the one of them that no DS is of."""
    tld = zone(world, "tld")
    reply.answer = tld.rrset(tld.name, DNSKEY, keys=tld.signers)


def other_keys(world: World, reply: Reply) -> None:
    tld = zone(world, "tld")
    reply.answer = [
        Rr(tld.name, DNSKEY, 300, Key(6).rdata),
        *tld.sign(tld.name, DNSKEY, [Key(6).rdata], 300, keys=[Key(6)]),
    ]


def late_keys(world: World, reply: Reply) -> None:
    tld = zone(world, "tld")
    reply.answer = tld.rrset(tld.name, DNSKEY, ends=CLOCK - 1)


def early_ds(world: World, reply: Reply) -> None:
    reply.answer = zone(world, "tld").rrset(Z, DS, begins=CLOCK + 1)


def keys_of_wildcard(world: World, reply: Reply) -> None:
    """Signed with too few labels."""
    tld = zone(world, "tld")
    reply.answer = tld.rrset(tld.name, DNSKEY, labels=0)


def keys_by_other_signer(world: World, reply: Reply) -> None:
    tld = zone(world, "tld")
    reply.answer = tld.rrset(tld.name, DNSKEY, signer=ROOT)


def rcode(number: int) -> Callable[[World, Reply], None]:
    def change(_: World, reply: Reply) -> None:
        reply.rcode = number

    return change


def edit(change: Callable[[Reply], Any]) -> Callable[[World, Reply], None]:
    return lambda world, reply: change(reply)


FAULTS: list[tuple[str, str, Callable[[World, Reply], None], str]] = [
    ("nothing", "z.tld. DS", edit(lambda reply: None), "SECURE"),
    ("DS: empty", "z.tld. DS", edit(emptied), "BOGUS 12"),
    ("DS: empty above", "tld. DS", edit(emptied), "BOGUS 12"),
    ("DS: SERVFAIL", "z.tld. DS", rcode(2), "BOGUS 5"),
    ("DS: REFUSED above", "tld. DS", rcode(5), "BOGUS 5"),
    ("DS: unsigned", "z.tld. DS", edit(lambda reply: reply.drop(is_signature)), "BOGUS 10"),
    ("DS: one more", "z.tld. DS", edit(lambda reply: reply.answer.append(Rr(Z, DS, 9, Key(6).ds(Z)))), "BOGUS 6"),
    ("DS: another", "z.tld. DS", edit(lambda reply: reply.change(
        lambda rr: rr.rrtype == DS, rdata=Key(6).ds(Z))), "BOGUS"),
    ("DS: early", "z.tld. DS", early_ds, "BOGUS 8"),
    ("DS: signed by the child", "z.tld. DS", by_child, "BOGUS 10"),
    ("DS: denied by the child", "z.tld. DS", childs_word, "BOGUS 12"),
    ("DS: an alias signed by the child", "z.tld. DS", childs_alias, "BOGUS"),
    ("DS: an alias without signature", "z.tld. DS", unsigned_alias, "BOGUS"),
    ("DS: of a wildcard", "z.tld. DS", by_wildcard, "BOGUS"),
    ("keys: empty", "tld. DNSKEY", edit(emptied), "BOGUS 9"),
    ("keys: SERVFAIL", "tld. DNSKEY", failed, "BOGUS 9"),
    ("keys: empty above", ". DNSKEY", edit(emptied), "BOGUS 9"),
    ("keys: unsigned", "tld. DNSKEY", edit(lambda reply: reply.drop(is_signature)), "BOGUS 10"),
    ("keys: one more", "tld. DNSKEY", edit(
        lambda reply: reply.answer.append(Rr(reply.name, DNSKEY, 9, Key(6).rdata))), "BOGUS 6"),
    ("keys: others", "tld. DNSKEY", other_keys, "BOGUS 9"),
    ("keys: not signed by the entry", "tld. DNSKEY", by_zsk_only, "BOGUS 9"),
    ("keys: late", "tld. DNSKEY", late_keys, "BOGUS 7"),
    ("keys: too few labels", "tld. DNSKEY", keys_of_wildcard, "BOGUS 10"),
    ("keys: another signer", "tld. DNSKEY", keys_by_other_signer, "BOGUS 10"),
    ("keys: bad signature", "tld. DNSKEY", edit(
        lambda reply: reply.change(is_signature, rdata=last_changed)), "BOGUS 6"),
]  # fmt: skip


@pytest.mark.parametrize(("asked", "fault", "expected"), [pytest.param(*row[1:], id=row[0]) for row in FAULTS])
@pytest.mark.parametrize("question", ["www.z.tld A", "nx.z.tld A", "www.z.tld MX"])
def test_a_broken_chain(asked: str, fault: Callable[[World, Reply], None], expected: str, question: str) -> None:
    prover = Prover(tree())
    prover.edits[asked] = lambda reply: fault(prover.world, reply)
    if question.endswith(" A") and "nx" not in question:
        assert str(prover.prove(*question.split())).startswith(expected)
    for _ in range(2):  # a failed proof is remembered, too
        assert str(prover.prove(*question.split())).startswith(expected.split()[0])
    prover.now += p.DNSSEC_BOGUS_SECONDS
    prover.edits.clear()
    assert str(prover.prove(*question.split())) == "SECURE"


@pytest.mark.parametrize("fault", [row for row in FAULTS if row[1] == "z.tld. DS"], ids=lambda row: row[0])
@pytest.mark.parametrize("denial", KINDS)
def test_a_broken_ds_answer_makes_no_zone_insecure(fault: Any, denial: str) -> None:
    """Neither signed nor unsigned data gets through."""
    prover = Prover(tree(denial))
    prover.edits["z.tld. DS"] = lambda reply: fault[2](prover.world, reply)
    bare = prover.world.reply("www.z.tld").drop(is_signature).change(is_a, rdata=EVIL)
    assert str(prover.prove("www.z.tld", "A", bare)).startswith("BOGUS")


def test_two_zones_do_not_wait_for_each_other() -> None:
    """The DS answer of each carries a record that the other has signed: neither proof asks for the other."""
    world = tree()
    for ours, theirs in (("z.tld", "other.tld"), ("other.tld", "z.tld")):
        prover = Prover(world)
        for here, there in ((ours, theirs), (theirs, ours)):
            reply = Reply(name(here), DS, authority=zone(world, there).denying(name(there)))
            prover.edits[f"{here}. DS"] = lambda _, reply=reply: reply
        assert str(prover.prove(f"www.{ours}")).startswith("BOGUS")


@pytest.mark.parametrize(("asked", "code"), [("z.tld. DS", 2), ("tld. DS", 5)])
def test_unsigned_data_below_a_broken_chain(asked: str, code: int) -> None:
    """The reason is that of what failed first."""
    prover = Prover(tree())
    prover.edits[asked] = lambda reply: rcode(code)(prover.world, reply)
    bare = prover.world.reply("www.z.tld").drop(is_signature)
    assert str(prover.prove("www.z.tld", "A", bare)) == "BOGUS 5"


def test_below_a_name_that_is_not_there_nothing_is_asked() -> None:
    prover = Prover(tree())
    reply = Reply(name("c.b.a.nx.z.tld"), A, answer=[Rr(name("c.b.a.nx.z.tld"), A, 300, EVIL)])
    assert str(prover.prove("c.b.a.nx.z.tld", "A", reply)) == "BOGUS 10"
    assert [asked for asked in prover.asked if asked.endswith("DS")] == ["tld. DS", "z.tld. DS", "nx.z.tld. DS"]


def test_keys_are_signed_by_any_that_a_ds_is_of() -> None:
    """Two entries, one of which signs; and two signatures, one of which is bad."""
    world = tree(keys=[Key(3), Key(6)], signers=[Key(7, 256)])
    zone(world).keys = [Key(6)]
    assert verdict(world, "www.z.tld") == "SECURE"


def test_facts_last_as_long_as_what_they_rest_on() -> None:
    prover = Prover(tree())
    zone(prover.world, "tld").ttl = 120
    prover.prove("www.z.tld")
    ends = {(owner, rrtype): fact.expires - NOW for owner, rrtype, fact in prover.store.facts()}
    assert ends == {
        (name("tld"), DS): 300, (ROOT, DNSKEY): 300, (name("tld"), DNSKEY): 120, (Z, DS): 120, (Z, DNSKEY): 120,
    }  # fmt: skip
    prover.now += 120
    prover.asked.clear()
    assert str(prover.prove("www.z.tld")) == "SECURE"
    assert sorted(prover.asked) == ["tld. DNSKEY", "z.tld. DNSKEY", "z.tld. DS"]


def test_the_absence_of_ds_lasts_as_long_as_the_soa_says() -> None:
    prover = Prover(tree(minimum=30))
    prover.prove("host.u.z.tld")
    fact = prover.store.fact(U, DS, NOW)
    assert fact is not None and (fact.kind, fact.expires) == (p.FACT_INSECURE, NOW + 30)


KINDS_OF_FACTS = [
    ("s.z.tld DS", p.FACT_SECURE), ("u.z.tld DS", p.FACT_INSECURE), ("www.z.tld DS", p.FACT_NO_CUT),
    ("ent.z.tld DS", p.FACT_NO_CUT), ("x.w.z.tld DS", p.FACT_NO_CUT), ("nx.z.tld DS", p.FACT_NOTHING),
    ("alias.z.tld DS", p.FACT_NO_CUT), ("x.u.z.tld DS", p.FACT_INSECURE), ("z.tld DNSKEY", p.FACT_SECURE),
    ("www.d.z.tld DS", p.FACT_NO_CUT), ("x.al.z.tld DS", p.FACT_NO_CUT),
]  # fmt: skip


@pytest.mark.parametrize("denial", ["nsec", "nsec3"])
@pytest.mark.parametrize(("question", "kind"), KINDS_OF_FACTS)
def test_kinds_of_facts(denial: str, question: str, kind: int) -> None:
    prover = Prover(tree(denial))
    asked, rrtype = question.split()
    work = p.DnssecWork(prover.config.dnssec_limits, prover.cpu)
    assert prover.fetch(name(asked), type_code(rrtype), work).kind == kind


def test_the_alias_of_a_wildcard_hides_no_delegation() -> None:
    """A replay, without a proof that the name is not there."""
    prover = Prover(tree())
    z = zone(prover.world)
    z.sets[b"\1*" + Z, CNAME] = [WWW]
    prover.edits["s.z.tld. DS"] = lambda reply: replace(reply, answer=z.rrset(b"\1*" + Z, CNAME, S), authority=[])
    work = p.DnssecWork(prover.config.dnssec_limits, prover.cpu)
    fact = prover.fetch(S, DS, work)
    assert (fact.kind, fact.ede) == (p.FACT_BOGUS, 12)


# -- anchors, overlays ----------------------------------------------------------------------


def island() -> World:
    """A signed zone below an unsigned one."""
    return World(
        Zone(".", keys=[Key(0)]),
        Zone("ins"),
        Zone("island.ins", "www A 192.0.2.1", "u NS ns", keys=[Key(3)]),
        Zone("s.island.ins", "www A 192.0.2.1", keys=[Key(4)]),
        without_ds=["island.ins", "ins"],
    )


def test_an_island_is_insecure_without_an_anchor_of_its_own() -> None:
    world = island()
    assert verdict(world, "www.island.ins") == "INSECURE"
    assert verdict(world, "www.s.island.ins") == "INSECURE"
    assert verdict(world, "www.island.ins", "A", world.reply("www.island.ins").change(is_a, rdata=EVIL)) == "INSECURE"


def anchored(world: World, *texts: str) -> list[str]:
    return [line for text in (".", *texts) for line in anchor(zone(world, text)).splitlines()]


def test_an_island_with_an_anchor() -> None:
    prover = Prover(island(), *anchored(island(), "island.ins"))
    world = prover.world
    for asked in ("www.island.ins", "nx.island.ins", "www.s.island.ins", "nx.s.island.ins"):
        assert str(prover.prove(asked)) == "SECURE"
    assert set(prover.asked) == {"island.ins. DNSKEY", "s.island.ins. DS", "s.island.ins. DNSKEY"}
    assert str(prover.prove("www.ins")) == "INSECURE"
    for asked in ("www.island.ins", "www.s.island.ins"):
        assert str(prover.prove(asked, "A", world.reply(asked).change(is_a, rdata=EVIL))) == "BOGUS 6"
        assert str(prover.prove(asked, "A", world.reply(asked).drop(is_signature))).startswith("BOGUS")


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize(
    ("alias", "target"), [("a.ins", "island.ins"), ("a.ins", "www.island.ins"), ("ins", "island.ins")]
)
def test_an_alias_of_an_unsigned_zone_leads_into_an_island(alias: str, target: str, first: bool) -> None:
    """That the one is insecure says nothing of the other."""
    prover = Prover(island(), *anchored(island(), "island.ins"))
    answer = [Rr(name(alias), CNAME, 9, name(target)), Rr(name(target), A, 9, EVIL)]
    reply = Reply(name(alias), A, answer=answer if first else answer[::-1])
    assert str(prover.prove(alias, "A", reply)) == "BOGUS 10"


@pytest.mark.parametrize("signer", ["ins", ".", "island.ins"])
@pytest.mark.parametrize("asked", ["www.island.ins", "www.s.island.ins", "s.island.ins"])
def test_an_unsigned_zone_above_an_anchor_makes_nothing_insecure(asked: str, signer: str) -> None:
    """Whoever forges can name any signer: none above the anchor counts."""
    prover = Prover(island(), *anchored(island(), "island.ins"))
    owner = name(asked)
    forged = zone(prover.world, signer).rrsig(owner, A, [EVIL], 300, Key(9))
    reply = Reply(owner, A, answer=[Rr(owner, A, 300, EVIL), forged])
    assert str(prover.prove(asked, "A", reply)).startswith("BOGUS")


def test_a_negative_anchor_above_an_anchor_makes_nothing_insecure_below_that() -> None:
    prover = Prover(tree(), *anchored(tree(), "z.tld"), "trust-anchor=tld")
    forged = zone(prover.world, "tld").rrsig(WWW, A, [EVIL], 300, Key(9))
    assert str(prover.prove("www.z.tld", "A", Reply(WWW, A, answer=[Rr(WWW, A, 9, EVIL), forged]))).startswith("BOGUS")
    assert str(prover.prove("www.z.tld")) == "SECURE"
    assert str(prover.prove("www.other.tld")) == "INSECURE"


def test_below_a_negative_anchor_nothing_is_asked() -> None:
    prover = Prover(tree(), *anchored(tree()), "trust-anchor=z.tld")
    for asked in ("www.z.tld", "nx.z.tld", "www.s.z.tld", "z.tld"):
        assert str(prover.prove(asked)) == "INSECURE"
        assert str(prover.prove(asked, "A", prover.world.reply(asked).drop(is_signature))) == "INSECURE"
    assert str(prover.prove("www.z.tld", "A", prover.world.reply("www.z.tld").change(is_a, rdata=EVIL))) == "INSECURE"
    assert prover.asked == []
    assert str(prover.prove("www.other.tld")) == "SECURE"


def test_anchors() -> None:
    made = [("a.", b"\1"), ("b.a.", b""), ("c.b.a.", b"\2"), ("a.", b"\3")]
    anchors = p.DnssecAnchors([p.TrustAnchor(name(text), 1, 7, 8, 2, digest) for text, digest in made])
    anchors.zones |= p.DnssecAnchors([p.TrustAnchor(name("ch."), 3, 7, 8, 2, b"\1")]).zones
    assert anchors.zones[name("a")] == (b"\0\7\x08\2\1", b"\0\7\x08\2\3")
    found = [("a.", "a."), ("x.a.", "a."), ("b.a.", None), ("x.b.a.", None), ("y.x.c.b.a.", "c.b.a."), (".", None)]
    for text, zone_ in [*found, ("ba.", None), ("x.ch.", None)]:
        assert anchors.above(name(text)) == (None if zone_ is None else name(zone_)), text


def anchor_of(text: str, data: bytes) -> str:
    return f"trust-anchor={text},{int.from_bytes(data[:2], 'big')},{data[2]},{data[3]},{data[4:].hex()}"


ANCHORS = [
    ("2!", "BOGUS 9"), ("2! 4", "SECURE"), ("99", "INSECURE"), ("2@99", "INSECURE"), ("99 2", "SECURE"),
    ("1", "SECURE"),
]  # fmt: skip


@pytest.mark.parametrize(("digests", "expected"), ANCHORS)
def test_sets_of_anchors(digests: str, expected: str) -> None:
    prover = Prover(tree(), *anchored(tree()), *(anchor_of("z.tld", data) for data in ds(*digests.split())))
    assert str(prover.prove("www.z.tld")) == expected
    bare = prover.world.reply("www.z.tld").drop(is_signature)
    unsigned = str(prover.prove("www.z.tld", "A", bare))
    assert unsigned == expected if expected == "INSECURE" else unsigned.startswith("BOGUS")


def test_an_anchor_may_be_the_key_itself() -> None:
    for key, expected in ((Key(0), "SECURE"), (Key(6), "BOGUS 9")):
        line = f"trust-anchor=.,257,3,8,{base64.b64encode(key.rdata[4:]).decode()}"
        assert verdict(tree(), "www.z.tld", "A", None, line) == expected


def hidden() -> World:
    """The public tree does not know corp.tld, and knows local.tld as signed."""
    world = tree()
    world.zones[name("corp.tld")] = Zone("corp.tld", "www A 10.0.0.1")
    for net in ("10", "11"):
        world.zones[name(f"{net}.in-addr.arpa")] = Zone(f"{net}.in-addr.arpa", "1.0.0 PTR x.corp.tld")
    return world


OVERLAYS = [
    ("www.corp.tld", "", "BOGUS 10"),
    ("www.corp.tld", "server=/corp.tld/127.0.0.1", "INSECURE"),
    ("www.corp.tld", "server=/tld/127.0.0.1", "BOGUS 10"),
    ("www.corp.tld", "server=/tld/127.0.0.1|server=/corp.tld/#", "BOGUS 10"),
    ("www.corp.tld", "server=/www.tld/127.0.0.1", "BOGUS 10"),
    ("nx.corp.tld", "", "BOGUS 12"),
    ("nx.corp.tld", "server=/corp.tld/127.0.0.1", "INSECURE"),
    ("www.corp.tld", "dnssec-check-unsigned=no", "INSECURE"),
    ("nx.corp.tld", "dnssec-check-unsigned=no", "INSECURE"),
    ("www.corp.tld", "trust-anchor=corp.tld", "INSECURE"),
    ("1.0.0.10.in-addr.arpa", "", "BOGUS"),
    ("1.0.0.10.in-addr.arpa", "bogus-priv", "INSECURE"),
    ("1.0.0.11.in-addr.arpa", "bogus-priv", "BOGUS"),
    ("1.0.0.11.in-addr.arpa", "server=/11.in-addr.arpa/127.0.0.1", "INSECURE"),
    ("1.0.0.11.in-addr.arpa", "server=/11.in-addr.arpa/127.0.0.1|bogus-priv", "INSECURE"),
    ("www.z.tld", "server=/z.tld/127.0.0.1", "SECURE"),
    ("www.z.tld", "dnssec-check-unsigned=no", "SECURE"),
]


@pytest.mark.parametrize(("asked", "lines", "expected"), OVERLAYS)
def test_zones_that_the_public_tree_does_not_know(asked: str, lines: str, expected: str) -> None:
    rrtype = "PTR" if asked.endswith("arpa") else "A"
    world = hidden()
    reply = world.reply(asked, rrtype)
    for hidden_ in ("corp.tld", "10.in-addr.arpa", "11.in-addr.arpa"):  # nobody finds them from the root
        del world.zones[name(hidden_)]
    prover = Prover(world, *anchored(world), *filter(None, lines.split("|")))
    assert str(prover.prove(asked, rrtype, reply)).startswith(expected)


@pytest.mark.parametrize(("line", "expected"), [("", "BOGUS 9"), ("server=/corp.tld/127.0.0.1", "INSECURE")])
def test_a_signed_zone_that_the_public_tree_does_not_know(line: str, expected: str) -> None:
    world = hidden()
    world.zones[name("corp.tld")].keys = world.zones[name("corp.tld")].signers = [Key(9)]
    reply = world.reply("www.corp.tld")
    del world.zones[name("corp.tld")]
    assert verdict(world, "www.corp.tld", "A", reply, *anchored(world), *filter(None, [line])) == expected


LOOSE = ["server=/z.tld/127.0.0.1", "dnssec-check-unsigned=no"]


@pytest.mark.parametrize("line", LOOSE)
def test_wrong_signatures_are_bogus_even_so(line: str) -> None:
    prover = Prover(tree(), *anchored(tree()), line)
    assert str(prover.prove("www.z.tld", "A", prover.world.reply("www.z.tld").change(is_a, rdata=EVIL))) == "BOGUS 6"


@pytest.mark.parametrize("line", LOOSE)
@pytest.mark.parametrize("code", [0, 2])
def test_one_failure_does_not_make_a_zone_insecure_for_long(line: str, code: int) -> None:
    prover = Prover(tree(), *anchored(tree()), line)

    def fail(reply: Reply) -> None:
        emptied(reply)
        reply.rcode = code

    prover.edits["z.tld. DS"] = fail
    prover.prove("www.z.tld")
    fact = prover.store.fact(Z, DS, NOW)
    assert fact is not None and fact.expires <= NOW + p.DNSSEC_BOGUS_SECONDS
    prover.now += p.DNSSEC_BOGUS_SECONDS
    prover.edits.clear()
    assert str(prover.prove("www.z.tld")) == "SECURE"


def test_an_overlay_of_which_a_ds_answer_is_wrong_is_insecure() -> None:
    prover = Prover(tree(), *anchored(tree()), "server=/z.tld/127.0.0.1")
    prover.edits["z.tld. DS"] = lambda reply: emptied(reply)
    assert str(prover.prove("www.z.tld")) == "INSECURE"


# -- work -----------------------------------------------------------------------------------


class Meter:
    """CPU time: each look costs a little."""

    def __init__(self, step: float) -> None:
        self.step, self.time = step, 0.0

    def __call__(self) -> float:
        self.time += self.step
        return self.time


def test_work_is_done_in_turns_and_ends() -> None:
    """What a turn has found out is not done again."""
    for asked in ("www.z.tld", "a.b.c.nx.z.tld"):
        prover = Prover(tree("nsec3"), *anchored(tree()), cpu=Meter(p.DNSSEC_TURN * 0.26))
        assert str(prover.prove(asked)) == "SECURE"
        quick = Prover(tree("nsec3"))
        proved = quick.prove(asked)
        assert prover.store.peaks[1] == quick.store.peaks[1] == proved.work.crypto
        assert prover.asked == quick.asked


def test_a_turn_ends_when_its_time_is_over() -> None:
    world = tree("nsec3")
    warm = Prover(world)
    assert str(warm.prove("a.b.c.nx.z.tld")) == "SECURE"
    warm.store._outcomes[1].clear()
    warm.cpu = Meter(p.DNSSEC_TURN * 0.3)
    proved = warm.prove("a.b.c.nx.z.tld")
    assert (str(proved), proved.turns > 2) == ("SECURE", True)
    warm.store._outcomes[1].clear()
    warm.cpu = Meter(0.0)
    assert warm.prove("a.b.c.nx.z.tld").turns == 1


def test_a_proof_that_takes_too_long_is_given_up() -> None:
    prover = Prover(tree("nsec3"), cpu=Meter(p.DNSSEC_CPU_MAX / 4))
    proved = prover.prove("nx.z.tld")
    assert str(proved) == "ABANDONED 0"
    warm = Prover(tree())
    warm.prove("www.z.tld")
    for step, expected in ((p.DNSSEC_CPU_MAX / 60, "SECURE"), (p.DNSSEC_CPU_MAX / 15, "ABANDONED 0")):
        warm.cpu = Meter(step)
        warm.store._outcomes[1].clear()
        reply = Reply(name("n0.z.tld"), A, answer=chain_without_end(warm.world, 10))
        assert str(warm.prove("n0.z.tld", "A", reply)) == expected


def test_each_turn_does_something() -> None:
    """However little time a turn has."""
    warm = Prover(tree())
    warm.prove("www.z.tld")
    warm.store._outcomes[1].clear()
    warm.cpu = Meter(p.DNSSEC_TURN * 1.1)
    assert str(warm.prove("www.z.tld")) == "SECURE"


@pytest.mark.parametrize(
    ("limits", "expected"),
    [("0,0,5", "SECURE"), ("0,0,4", "ABANDONED 0"), ("0,9", "SECURE"), ("0,8", "ABANDONED 0"), ("0,1", "ABANDONED 0")],
)
def test_limits(limits: str, expected: str) -> None:
    """www.z.tld needs five questions, six signatures and three digests of keys."""
    assert verdict(tree(), "www.z.tld", "A", None, *anchored(tree()), f"dnssec-limits={limits}") == expected


def test_a_dear_answer_does_not_make_zones_bogus_for_others() -> None:
    """Only what is dear by itself does."""
    prover = Prover(tree())
    reply = Reply(name("n0.z.tld"), A, answer=chain_without_end(prover.world, 191, name("www.other.tld")))
    assert str(prover.prove("n0.z.tld", "A", reply)) == "ABANDONED 0"  # at the keys of other.tld
    assert "other.tld. DNSKEY" in prover.asked
    assert p.FACT_BOGUS not in [fact.kind for _, _, fact in prover.store.facts()]
    assert str(prover.prove("www.other.tld")) == "SECURE"

    def bad_first(reply: Reply) -> None:
        good = reply.answer[-1]
        bad = [good._replace(rdata=good.rdata[:-2] + struct.pack("!H", turn)) for turn in range(30)]
        reply.answer = [*reply.answer[:-1], *bad, good]

    prover = Prover(tree())
    prover.edits["z.tld. DNSKEY"] = bad_first
    assert str(prover.prove("www.z.tld")).startswith(("ABANDONED", "BOGUS"))
    fact = prover.store.fact(Z, DNSKEY, NOW)
    assert fact is not None and (fact.kind, fact.expires) == (p.FACT_BOGUS, NOW + p.DNSSEC_BOGUS_SECONDS)


def many_bad(world: World, count: int) -> Reply:
    """An answer with that many bad signatures before the good one."""
    reply = world.reply("www.z.tld")
    good = reply.answer[-1]
    bad = [good._replace(rdata=good.rdata[:-2] + struct.pack("!H", turn)) for turn in range(count)]
    reply.answer = [*reply.answer[:-1], *bad, good]
    return reply


@pytest.mark.parametrize(
    ("limit", "count", "expected"), [(0, 20, "SECURE"), (0, 21, "ABANDONED 0"), (3, 3, "SECURE"), (3, 4, "ABANDONED 0")]
)
def test_signatures_that_fail(limit: int, count: int, expected: str) -> None:
    """CVE-2023-50387: a set may cost so many failures."""
    world = tree()
    prover = Prover(world, *anchored(world), f"dnssec-limits={limit}")
    for _ in range(2):  # remembered failures count, too
        proved = prover.prove("www.z.tld", "A", many_bad(world, count))
        assert str(proved) == expected
    assert prover.store.peaks[2] == min(count, (limit or 20) + 1)


def test_keys_with_one_tag() -> None:
    """The twins come first; each signature is tried with each of them."""
    twins = [Key(6, 256).twin(turn) for turn in range(19)]
    assert len({key.tag for key in twins}) == 1
    world = tree(signers=[Key(6, 256)])
    z = zone(world)
    z.sets[Z, DNSKEY] = [Key(3).rdata, *(key.rdata for key in twins), Key(6, 256).rdata]
    proved = Prover(world).prove("www.z.tld")
    assert str(proved) == "SECURE"
    assert 0 < proved.work.failures < 20
    reply = many_bad(world, 2)
    assert verdict(world, "www.z.tld", "A", reply) == "ABANDONED 0"


def test_entries_with_one_tag() -> None:
    """A DS finds its key among twins."""
    world = tree()
    z = zone(world)
    z.sets[Z, DNSKEY] = [*(Key(3).twin(turn).rdata for turn in range(10)), Key(3).rdata]
    assert verdict(world, "www.z.tld") == "SECURE"


def chain_without_end(world: World, count: int, target: bytes = WWW) -> list[Rr]:
    """Aliases n0, n1... of z.tld, and their target."""
    owners = [name(f"n{at}.z.tld") for at in range(count)]
    for owner, after in zip(owners, [*owners[1:], target], strict=True):
        zone(world).sets[owner, CNAME] = [after]
    return [rr for owner in owners for rr in zone(world).rrset(owner, CNAME)] + world.reply(target).answer


def test_all_work_together_is_bounded() -> None:
    """200 operations, then it is over."""
    world = tree()
    proved = Prover(world).prove("n0.z.tld", "A", Reply(name("n0.z.tld"), A, answer=chain_without_end(world, 220)))
    assert (str(proved), proved.work.crypto) == ("ABANDONED 0", 200)


def test_a_proof_that_was_given_up() -> None:
    prover = Prover(tree())
    message = p.dns_message_unpack(prover.world.reply(Z, DS).wire)
    work = p.DnssecWork(prover.config.dnssec_limits, prover.cpu)
    fact, verdict_ = (
        p.dnssec_abandoned(p.DnssecProof(message, Z, DS, prover.view(), work, fact), "x", NOW) for fact in (True, False)
    )
    assert (fact.kind, fact.expires, fact.ede) == (p.FACT_BOGUS, NOW + p.DNSSEC_BOGUS_SECONDS, 0)
    assert (verdict_.status, verdict_.ede) == ("ABANDONED", 0)
    expected = ("limit exceeded: x", "validation of z.tld failed: resource limit exceeded.")
    assert fact.notes == verdict_.notes == expected


# -- hostile data ---------------------------------------------------------------------------


def pieces(data: bytes) -> list[bytes]:
    return [data[:end] for end in (0, 1, 2, 3, 4, 5, 17, 18, 19, len(data) // 2) if end < len(data)]


def hostile() -> list[tuple[int, bytes]]:
    """Record data that is cut short, or whose insides do not fit."""
    world = tree("nsec3")
    z = zone(world)
    samples = {rr.rrtype: rr.rdata for rr in [*z.rrset(WWW, A), *z.denying(WWW), *z.rrset(Z, DNSKEY), *z.rrset(S, DS)]}
    out = [(rrtype, data) for rrtype, sample in samples.items() for data in pieces(sample)]
    nsec3 = samples[NSEC3]
    head = nsec3[:4]
    out += [(NSEC3, data) for data in (
        head + b"\xff" + nsec3[5:], head + b"\0\0", head + b"\0\x13" + bytes(19), head + b"\0\x15" + bytes(21),
        head + b"\0\xff" + bytes(20), nsec3 + b"\0", nsec3 + b"\0\0", nsec3 + b"\0\x21" + bytes(33), b"\2" + nsec3[1:],
        nsec3[:1] + b"\2" + nsec3[2:],
    )]  # fmt: skip
    following = name("a.z.tld")
    out += [(NSEC, following + data) for data in (
        b"", b"\0", b"\0\0", b"\0\x21" + bytes(33), b"\0\1", b"\1\1\x40\0\1\x40", b"\0\1\x40\0\1\x40", b"\0\x20\x40",
    )]  # fmt: skip
    rrsig = samples[RRSIG]
    out += [
        (RRSIG, data)
        for data in (rrsig[:18] + b"\x3fab", rrsig[:18] + b"\0", rrsig[:18] + name("x." * 20), b"\0\1" * 9)
    ]
    return [*out, (CNAME, b""), (CNAME, b"\0\0"), (DNAME, b""), (DNAME, b"\0"), (SOA, b"\0"), (SOA, bytes(22))]


HOSTILE = hostile()


def put(reply: Reply, owner: bytes, rrtype: int, data: bytes) -> bytes | None:
    """Put a record into both sections; None when no such message gets as far as here."""
    changed = replace(reply, answer=[*reply.answer, Rr(owner, rrtype, 9, data)])
    changed.authority = [Rr(owner, rrtype, 9, data), *reply.authority]
    try:
        p.dns_message_unpack(changed.wire)
    except p.WireError:
        return None
    return changed.wire


@pytest.mark.parametrize("question", ["www.z.tld A", "nx.z.tld A", "z.tld DNSKEY", "s.z.tld DS", "host.u.z.tld A"])
def test_hostile_data(question: str) -> None:
    """Whatever stands there without a signature makes nothing secure, and no exception."""
    asked, rrtype = question.split()
    prover = Prover(tree("nsec3"))
    reply = prover.world.reply(asked, rrtype)
    label = b"\x20" + b"v" * 32
    for code, data in HOSTILE:
        for owner in (name(asked), label + Z, b"\x01x" + Z, ROOT):
            wire = put(reply, owner, code, data)
            if wire is not None:
                got = prover.prove(asked, rrtype, wire).outcome.status
                assert got in ("SECURE", "BOGUS", "INSECURE", "ABANDONED")
                lone = code not in (RRSIG, NSEC, NSEC3)
                assert not (lone and got == "SECURE"), (code, data.hex(), owner)


@pytest.mark.parametrize("code", sorted({code for code, _ in HOSTILE}))
def test_hostile_data_well_signed(code: int) -> None:
    """The zone itself is hostile."""
    world = tree("nsec3")
    z, prover = zone(world), Prover(tree("nsec3"))
    for _, data in [row for row in HOSTILE if row[0] == code]:
        for owner in (b"\x20" + b"v" * 32 + Z, b"\x20" + b"w" * 32 + Z, b"\1x" + Z, Z, b"\x03_+ " + Z):
            signed = [Rr(owner, code, 9, data), *z.sign(owner, code, [data], 9)]
            for reply in (Reply(b"\1x" + Z, A, 3, [], signed), Reply(owner, code, 0, signed, signed)):
                try:
                    p.dns_message_unpack(reply.wire)
                except p.WireError:
                    continue
                assert prover.prove(reply.name, reply.rrtype, reply).outcome.status != "" or owner


@pytest.mark.parametrize("asked", ["z.tld. DS", "z.tld. DNSKEY", "tld. DNSKEY", ". DNSKEY"])
def test_hostile_data_in_the_chain(asked: str) -> None:
    for code, data in HOSTILE:
        prover = Prover(tree())
        wires: list[bytes | None] = []

        def change(reply: Reply, code: int = code, data: bytes = data, wires: Any = wires) -> Reply:
            wires.append(put(reply, reply.name, code, data))
            return replace(reply, answer=[*reply.answer, Rr(reply.name, code, 9, data)]) if wires[-1] else reply

        prover.edits[asked] = change
        assert prover.prove("www.z.tld").outcome.status in ("SECURE", "BOGUS")


def data_of(records: Sequence[Any]) -> set[tuple[bytes, int, bytes]]:
    """What a client takes from records: all but signatures."""
    return {(rr[0].lower(), rr[1], rr[2]) for rr in records if rr[1] != RRSIG}


def canonical(records: Sequence[Any]) -> list[tuple[bytes, int, bytes]]:
    return [(rr.name, rr.rrtype, p._canonical(rr.rdata, rr.rrtype)) for rr in records]


MUTATED = ["www.z.tld A", "nx.z.tld A", "x.w.z.tld A", "www.d.z.tld A", "far.z.tld MX", "ent.z.tld A"]


@pytest.mark.parametrize("kind", ["nsec", "nsec3"])
@pytest.mark.parametrize("question", MUTATED)
def test_no_changed_octet_is_secure(kind: str, question: str) -> None:
    """Each octet is changed once; what is secure then says nothing that the whole answer does not say."""
    dice = random.Random(question + kind)
    asked, rrtype = question.split()
    prover = Prover(tree(kind))
    reply = prover.world.reply(asked, rrtype)
    whole = reply.wire
    assert str(prover.prove(asked, rrtype, reply)) == "SECURE"
    truth = data_of([(rr.owner, rr.rrtype, rr.rdata) for rr in reply.answer])
    beside = data_of([(rr.owner, rr.rrtype, rr.rdata) for rr in reply.authority])
    statuses = set()
    for at in range(12 + len(reply.name) + 4, len(whole)):
        wire = bytearray(whole)
        wire[at] ^= dice.randrange(1, 256)
        try:
            proved = prover.prove(asked, rrtype, bytes(wire))
        except p.WireError:
            continue
        status = proved.outcome.status
        statuses.add(status)
        if status == "SECURE":
            assert data_of(canonical(proved.message.answers)) == truth, (at, wire[at])
            assert data_of(canonical(proved.message.authority)) <= beside, (at, wire[at])
        if reply.answer and not reply.authority:
            assert status != "INSECURE", (at, wire[at])
    assert "BOGUS" in statuses


@pytest.mark.parametrize("asked", ["s.z.tld. DS", "s.z.tld. DNSKEY"])
def test_no_changed_octet_of_the_chain_does_harm(asked: str) -> None:
    """A zone stays secure by its own records, or is bogus: never insecure, never by others."""
    dice = random.Random(asked)
    prover = Prover(tree())
    owner, rrtype = name(asked.split()[0]), type_code(asked.split()[1])
    work = p.DnssecWork(prover.config.dnssec_limits, prover.cpu)
    truth = prover.fetch(owner, rrtype, work)
    assert truth.kind == p.FACT_SECURE
    reply = prover.world.reply(owner, rrtype)
    for at in range(12 + len(owner) + 4, len(reply.wire)):
        wire = bytearray(reply.wire)
        wire[at] ^= dice.randrange(1, 256)
        try:
            p.dns_message_unpack(bytes(wire))
        except p.WireError:
            continue
        work = p.DnssecWork(prover.config.dnssec_limits, prover.cpu)
        fact = prover._prove(owner, rrtype, bytes(wire), work, ((owner, rrtype),)).outcome
        assert (fact.kind, sorted(fact.records)) == (
            p.FACT_SECURE,
            sorted(truth.records),
        ) or fact.kind == p.FACT_BOGUS, at


# -- replay --------------------------------------------------------------------------------------

LABELS = "www nx w x ent b a d s u al * host zz 0 alias wwx wwy ns far dangling out loop z w2 y".split()


def random_names(dice: random.Random, count: int, *apexes: str) -> list[bytes]:
    return [name(".".join([*dice.choices(LABELS, k=dice.randrange(4)), dice.choice(apexes)])) for _ in range(count)]


class Replayer:
    """Somebody without a key: puts answers together from what the zones have signed, and adds what nobody has."""

    def __init__(self, kind: str) -> None:
        self.world = tree(kind)
        zone(self.world).add("*.w MX 1 m.z.tld", "x.y.w2 A 192.0.2.7", "*.far CNAME nx.other.tld")
        self.zones = [one for one in self.world.zones.values() if one.keys]
        self.sets = [(one, *key) for one in self.zones for key in one.sets if key[1] == DS or one.cut(key[0]) is None]
        self.wild = [row for row in self.sets if row[1].startswith(b"\1*")]

    def reply(self, dice: random.Random, truth: Reply) -> Reply:
        asked = truth.name
        reply = Reply(asked, truth.rrtype, truth.rcode if dice.random() < 0.6 else dice.choice([0, 3]))
        reply.answer = list(truth.answer) if dice.random() < 0.4 else []
        reply.authority = list(truth.authority) if dice.random() < 0.3 else []
        for one, owner, rrtype in dice.choices(self.sets, k=dice.choice([0, 0, 0, 1, 1, 2])):
            reply.answer += one.rrset(owner, rrtype)
        one, owner, rrtype = dice.choice(self.wild)
        if dice.random() < 0.4 and asked != owner[2:] and asked.endswith(owner[2:]):
            reply.answer += one.rrset(owner, rrtype, asked)
        if dice.random() < 0.2:  # and some of his own
            owner = dice.choice([asked, *random_names(dice, 2, "z.tld", "u.z.tld")])
            reply.answer.append(
                dice.choice([Rr(owner, A, 9, EVIL), Rr(owner, CNAME, 9, WWW), Rr(owner, CNAME, 9, asked)])
            )
            dice.shuffle(reply.answer)
        for one in dice.choices(self.zones, k=dice.choice([0, 1, 1, 2, 3])):
            near = dice.choice([*ancestors(asked), *random_names(dice, 1, "z.tld", "s.z.tld", "other.tld")])
            reply.authority += one.denying(near if dice.random() < 0.7 else b"\1*" + near)
        return reply


@pytest.mark.parametrize("kind", KINDS)
def test_replayed_records_say_nothing_but_the_truth(kind: str) -> None:
    """What is secure is what the zones themselves answer; what is insecure is so by itself."""
    dice, replayer = random.Random(5155), Replayer(kind)
    prover, seen = Prover(replayer.world), {"SECURE": 0, "BOGUS": 0, "INSECURE": 0}
    for asked in random_names(dice, 400, "z.tld", "z.tld", "z.tld", "s.z.tld", "u.z.tld", "other.tld", "tld", "."):
        truth = replayer.world.reply(asked, dice.choice([A, A, A, MX, TXT, CNAME, DS, NS, SOA, DNSKEY]))
        reply = replayer.reply(dice, truth)
        proved = prover.prove(asked, truth.rrtype, reply)
        status = proved.outcome.status
        seen[status] += 1
        if status == "SECURE":
            left = data_of(canonical(proved.message.answers))
            wanted = data_of([(rr.owner, rr.rrtype, rr.rdata) for rr in truth.answer])
            assert (left, reply.rcode) == (wanted, truth.rcode)
        elif status == "INSECURE" and kind != "optout" and not any(rr.owner.endswith(U) for rr in reply.answer):
            assert str(prover.prove(asked, truth.rrtype, truth)) == "INSECURE"
    assert min(seen.values()) > 20


# -- what answers are made from later (RFC 8198) ----------------------------------------------


def remember(prover: Prover, asked: str | bytes, rrtype: str | int = A) -> None:
    """Prove an answer and keep its ranges."""
    outcome = prover.prove(asked, rrtype).outcome
    if outcome.ranges:
        owner, rdata, signature, ttl = outcome.soa
        prover.store.add_ranges(owner, (rdata, signature, ttl, NOW + ttl), outcome.ranges)


@pytest.mark.parametrize("kind", ["nsec", "nsec3"])
def test_what_is_denied_later_is_what_the_zone_itself_denies(kind: str) -> None:
    dice = random.Random(8198)
    prover = Prover(tree(kind))
    for asked in random_names(dice, 50, "z.tld"):
        remember(prover, asked, dice.choice([A, MX]))
    found = 0
    for asked in random_names(dice, 400, "z.tld"):
        rrtype = dice.choice([A, TXT, CNAME, DS, NS])
        denial = p.dnssec_ranges_denial(prover.store, asked, rrtype, NOW)
        if denial is None:
            continue
        found += 1
        truth = prover.world.reply(asked, rrtype)
        assert (truth.answer, truth.rcode) == ([], 0 if denial[1].name_exists else 3), (asked, rrtype)
        proof = []
        for one in dict.fromkeys(denial[1].ranges):
            proof.append(Rr(one.owner, one.rrtype, 60, one.rdata))
            proof += [Rr(one.owner, RRSIG, 60, data) for data in one.signatures]
        answer = Reply(asked, rrtype, truth.rcode, authority=proof)
        assert str(prover.prove(asked, rrtype, answer)) == "SECURE"
    assert found > 100


def test_what_opt_out_leaves_open_is_not_denied_later() -> None:
    prover = Prover(tree("optout"))
    for asked in ("nx.z.tld", "a.nx.z.tld", "ent.z.tld"):
        remember(prover, asked)
    remember(prover, "www.z.tld", MX)
    for asked in ("nx.z.tld", "ny.z.tld", "u.z.tld", "host.u.z.tld", "x.w.z.tld"):
        assert p.dnssec_ranges_denial(prover.store, name(asked), A, NOW) is None


def test_ranges_come_with_their_soa_and_end_in_time() -> None:
    prover = Prover(tree(minimum=30))
    outcome = prover.prove("nx.z.tld").outcome
    assert outcome.soa[:2] + outcome.soa[3:] == (Z, zone(prover.world).sets[Z, SOA][0], 30)
    assert {(one.zone, one.ttl, one.expires) for one in outcome.ranges} == {(Z, 30, NOW + 30)}
    assert prover.prove("www.z.tld").outcome.ranges == []
    assert Prover(tree("optout")).prove("www.z.tld", "MX").outcome.ranges == []
    world = tree()
    zone(world).add("*.far CNAME nx.other.tld")  # a proof of z.tld, too, but the SOA of other.tld
    outcome = Prover(world).prove("x.far.z.tld").outcome
    assert {one.zone for one in outcome.ranges} == {outcome.soa[0]} == {name("other.tld")}
    without = prover.world.reply("nx.z.tld").drop(of(SOA))
    outcome = prover.prove("nx.z.tld", "A", without).outcome
    assert (outcome.status, outcome.ranges, outcome.soa) == ("SECURE", [], None)
    unsigned = prover.world.reply("nx.z.tld").drop(signed_of(SOA))
    outcome = prover.prove("nx.z.tld", "A", unsigned).outcome
    assert (outcome.status, outcome.ranges) == ("INSECURE", [])


def test_only_what_is_proved_is_given_out_as_a_proof() -> None:
    """Beside the proof of an opt-out stand a record without signature and one with a bad one."""
    world = tree("optout")
    reply = world.reply("nx.z.tld")
    good = {(rr.owner, rr.rdata) for rr in reply.authority if rr.covers == NSEC3}
    junk = [rr._replace(owner=b"\x20" + b"u" * 32 + Z) for rr in reply.authority if rr.rrtype == NSEC3][:1]
    bad = [rr._replace(owner=b"\x20" + b"v" * 32 + Z) for rr in reply.authority if rr.covers == NSEC3][:2]
    reply.authority += junk + bad
    outcome = Prover(world).prove("nx.z.tld", "A", reply).outcome
    assert outcome.status == "INSECURE"
    assert {(owner, data) for _, owner, _, data in outcome.denials} == good
    assert outcome.soa is not None
    reply.drop(lambda rr: rr.rrtype == RRSIG and rr.covers == SOA)
    assert Prover(world).prove("nx.z.tld", "A", reply).outcome.soa is None


def test_a_zone_with_both_kinds_of_denial() -> None:
    """NSEC and NSEC3 records in one answer: whatever is kept of them, it is kept without an accident."""
    world = tree()
    reply = world.reply("nx.www.z.tld")
    zone(world).denial = "nsec3"
    for rr in world.reply("nx.www.z.tld").authority:
        reply.authority.append(rr)
    outcome = Prover(world).prove("nx.www.z.tld", "A", reply).outcome
    assert outcome.status == "SECURE"
    owner, rdata, signatures, ttl = outcome.soa
    store = p.DnssecStore()
    store.add_ranges(owner, (rdata, signatures, ttl, NOW + ttl), outcome.ranges)
    store.add_ranges(owner, (rdata, signatures, ttl, NOW + ttl), outcome.ranges[::-1])
    assert p.dnssec_ranges_denial(store, name("nx.www.z.tld"), A, NOW) is not None


# -- what is to be proved at all, and the log -------------------------------------------------


@pytest.mark.parametrize(
    ("how", "flags", "expected"),
    [
        ({}, 0x8180, True), ({}, 0x8183, True), ({}, 0x8182, False), ({}, 0x8185, False), ({}, 0x8380, False),
        ({"flags": "RD CD"}, 0x8180, False), ({"do": True}, 0x8180, True), ({"klass": "CH"}, 0x8180, False),
    ],
)  # fmt: skip
def test_which_replies_are_proved(how: dict[str, Any], flags: int, expected: bool) -> None:
    import dnswire

    query = p.dns_query_unpack(dnswire.build_query("x", **how))
    message = p.DnsMessage(b"", flags)
    assert p.dnssec_provable(message, query, Prover(tree()).config) is expected


def test_texts_of_facts() -> None:
    def texts(rrtype: int, kind: int, *records: bytes) -> list[str]:
        return p.fact_texts(Z, rrtype, p.DnssecFact(kind, 0, records))

    key = Key(3)
    assert texts(DNSKEY, p.FACT_SECURE, key.rdata) == [f"reply z.tld is DNSKEY keytag {key.tag}, algo 8"]
    shown = f"reply z.tld is DS for keytag {key.tag}, algo"
    digests = [f"{shown} 8, digest 2", f"{shown} 8, digest 9 (not supported)", f"{shown} 99, digest 2 (not supported)"]
    assert texts(DS, p.FACT_SECURE, *ds("2", "9", "2@99")) == digests
    assert texts(DS, p.FACT_INSECURE) == ["reply z.tld is no DS"]
    assert texts(DS, p.FACT_NO_CUT) == texts(DS, p.FACT_NOTHING) == ["reply z.tld is no DS/cut"]
    assert texts(DS, p.FACT_BOGUS) == ["reply z.tld is BOGUS DS"]
    assert texts(DNSKEY, p.FACT_BOGUS) == ["reply z.tld is BOGUS DNSKEY"]
