"""An upstream that lies about signed zones, and validators that ask us: nothing forged is believed or stays.

Truth is what a validating unbound says of the same hierarchy while nobody lies.
"""

from __future__ import annotations

import concurrent.futures
import itertools
import random
import signal
import struct
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest

import dnswire
from dnssec_zones import TOOLS, Break, Hierarchy, sign_rrset
from dnswire import DnsMessage, DnsRecord, record
from harness import Daemon, MakeDaemon, MockReply, ask, need_tool, udp_raw, wait_until

# A failed proof is kept for ten seconds; machines are slow.
SECONDS, FORGOTTEN = 20.0, 40.0
CACHE = "cache-size=2000\n"
ROOT_SOA = ". 86400 SOA a.root. h. 1 2 3 4 86400"
ERRORS = ("SERVFAIL", "REFUSED", "FORMERR", "NOTIMP")

Question = tuple[str, str]
Truth = tuple[str, bool, frozenset[tuple[str, str, str]]]  # rcode, AD, what is answered


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hierarchy]:
    need_tool(*TOOLS)
    with Hierarchy(tmp_path_factory.mktemp("lies"), first=30).running() as hierarchy:
        yield hierarchy


@pytest.fixture
def daemon(rig: Hierarchy, make: MakeDaemon) -> Iterator[Daemon]:
    """A daemon behind a relay that is honest again at the end."""
    yield make(rig.configuration(CACHE)).start()
    rig.relay.change = None


def parts(reply: DnsMessage) -> Truth:
    """What an answer says, signatures aside."""
    found = {(item.name.lower(), item.rtype, item.rdata.lower()) for item in reply.answer if item.rtype != "RRSIG"}
    return reply.rcode, reply.has("AD"), frozenset(found)


def say(port: int, question: Question, **options: Any) -> Truth:
    """Ask; over TCP when the answer did not fit."""
    options = {"flags": "RD AD", "seconds": SECONDS, **options}
    reply = ask(port, *question, **options)
    if reply is not None and reply.has("TC"):
        reply = ask(port, *question, **{**options, "tcp": True})
    assert reply is not None, f"no answer to {question}"
    return parts(reply)


def say_all(port: int, questions: list[Question], threads: int = 6) -> dict[Question, Truth]:
    with concurrent.futures.ThreadPoolExecutor(threads) as pool:
        return dict(zip(questions, pool.map(lambda question: say(port, question), questions), strict=True))


def read(zones: str, names: str) -> list[Question]:
    """Each `name/TYPE` below each zone, `@` being the zone."""
    pairs = [name.split("/") for name in names.split()]
    return [(zone if at == "@" else f"{at}.{zone}", rtype) for zone in zones.split() for at, rtype in pairs]


QUESTIONS = (
    read(
        "good.nsec good.nsec3 good.optout alg14.nsec alg15.nsec d3.d2.d1.nsec types3.nsec",
        "www/A www/TXT @/MX @/DS @/DNSKEY alias/A nowhere/A x.y.nowhere/AAAA ent/A x.www/A",
    )
    + read(
        "wild.nsec wild.nsec3 wild.optout",
        "any.w/A any.w/AAAA q.y.w/A q.c/A q.o/A q.o/TXT q.s/A b.x.ast/A q.w2/A x.sub.w2/A",
    )
    + read(
        "alias.nsec",
        "c1/A to-n3/A to-ins/A to-nx/A to-nx3/A to-nodata/A to-wild/A to-dname/A to-dname/MX www.dn/A www.dn/AAAA "
        "nowhere.dn/A www.dn3/A c1.dnself/A far1/A",
    )
    + read("ins.nsec ins.optout good.plain nods.nsec", "www/A nowhere/A @/DS ent/A")
    + read("nsec nsec3 optout", "nowhere/A nowhere/DS @/DS")
)


@pytest.fixture(scope="module")
def truth(rig: Hierarchy) -> dict[Question, Truth]:
    return say_all(rig.validator(), [*QUESTIONS, ("mail.sub.broken.nsec", "A")])


# -- lies without end ------------------------------------------------------------


class Liar:
    """Changes answers at random: records, sections, names, codes, bits; mixes in what others said or signed."""

    def __init__(self, rig: Hierarchy, seed: int) -> None:
        self.zones = rig.zones
        self.rng = random.Random(seed)
        self.heard: list[DnsMessage] = []
        self.lock = threading.Lock()

    def __call__(self, b: Break) -> MockReply | None:
        with self.lock:
            rng, message = self.rng, b.message
            if len(self.heard) < 200:
                self.heard.append(replace(message))
            if rng.random() < 0.2:
                return None
            for _ in range(rng.choice((1, 1, 2, 3))):
                rng.choice(self.WAYS)(self, b, rng.choice(self.heard))
            made = b.reply()
            assert made is not None
            if rng.random() < 0.25:
                made = MockReply(raw=self.flipped(made.pack(b.query, b.tcp))[2:])
            made.copies = rng.choice((1, 1, 1, 2))
            return made

    def flipped(self, wire: bytes) -> bytes:
        """Turn bits behind the question's name."""
        out = bytearray(wire)
        for _ in range(self.rng.choice((1, 1, 2, 9))):
            out[self.rng.randrange(2, len(out))] ^= 1 << self.rng.randrange(8)
        return bytes(out)

    def section(self, b: Break) -> list[DnsRecord]:
        """A copy of a section that may be changed."""
        name = self.rng.choice(("answer", "answer", "authority"))
        setattr(b.message, name, list(getattr(b.message, name)))
        found: list[DnsRecord] = getattr(b.message, name)
        return found

    def shuffle(self, b: Break, other: DnsMessage) -> None:
        records, rng = self.section(b), self.rng
        rng.shuffle(records)
        records += rng.choices(records, k=1) if records and rng.random() < 0.3 else []
        del records[: rng.choice((0, 1, 2))]

    def move(self, b: Break, other: DnsMessage) -> None:
        whole = [*b.message.answer, *b.message.authority]
        at = self.rng.randrange(len(whole) + 1)
        b.message.answer, b.message.authority = whole[:at], whole[at:]

    def swap_signatures(self, b: Break, other: DnsMessage) -> None:
        records = self.section(b)
        places = [at for at, item in enumerate(records) if item.rtype == "RRSIG"]
        if len(places) > 1:
            one, two = self.rng.sample(places, 2)
            first, second = records[one], records[two]
            records[one], records[two] = replace(second, name=first.name), replace(first, name=second.name)

    def change_record(self, b: Break, other: DnsMessage) -> None:
        records, rng = self.section(b), self.rng
        if records:
            at = rng.randrange(len(records))
            item = records[at]
            name = rng.choice((item.name, item.name.upper(), b.name, b.zone.name))
            records[at] = replace(item, name=name, ttl=rng.choice((0, 1, item.ttl, 86400, 2**31 - 1)))

    def replay(self, b: Break, other: DnsMessage) -> None:
        if self.rng.random() < 0.5:
            b.message.authority = list(other.authority)
        if self.rng.random() < 0.4:
            b.message.answer, b.message.flags = list(other.answer), other.flags
        if self.rng.random() < 0.2:
            b.message.authority = [*b.message.authority, *other.authority]

    def rename(self, b: Break, other: DnsMessage) -> None:
        b.message.answer = [replace(item, name=b.name) for item in other.answer]

    def code(self, b: Break, other: DnsMessage) -> None:
        b.message.flags = b.message.flags & ~15 | self.rng.choice((0, 3, 3, 2))

    def forge(self, b: Break, other: DnsMessage) -> None:
        text = self.rng.choice(("A 6.6.6.6", "CNAME evil.good.plain.", "CNAME www.good.nsec."))
        made = record(f"{b.name} 9999 {text}")
        if self.rng.random() < 0.5:  # with the signature that was there
            b.edit(lambda item: replace(item, rdata=made.rdata) if item.rtype == made.rtype else item)
            return
        b.message.answer = [made] if self.rng.random() < 0.5 else [*b.message.answer, made]

    def strip(self, b: Break, other: DnsMessage) -> None:
        b.unsign() if self.rng.random() < 0.5 else b.drop("NSEC", "NSEC3")

    def cut(self, b: Break, other: DnsMessage) -> None:
        b.truncate = True

    def sign_own(self, b: Break, other: DnsMessage) -> None:
        """Add what the liar's own zone signs, in the name of others too."""
        rng, key = self.rng, self.zones["broken.nsec"].keys[0]
        nsec = dnswire.pack_name(rng.choice(("broken.nsec", "zzz.nsec", b.name))) + b"\0\1\0"
        texts = ["A 6.6.6.6", f"CNAME {b.name}", f"NSEC \\# {nsec.hex()}", f"DNSKEY \\# {key.rdata.hex()}"]
        owner = rng.choice(("x.broken.nsec", "broken.nsec", b.name, b.zone.name))
        made = record(f"{owner} 9999 {rng.choice(texts)}")
        signer = rng.choice(("", "", "nsec", b.zone.name, "."))
        where = self.section(b)
        where += [made, sign_rrset([made], self.zones, zone="broken.nsec", signer=signer)]

    WAYS = (
        shuffle, move, swap_signatures, change_record, replay, rename, code, forge, strip, cut, sign_own,
    )  # fmt: skip


@pytest.mark.parametrize("seed", (1, 2))
def test_random_lies(rig: Hierarchy, daemon: Daemon, truth: dict[Question, Truth], seed: int) -> None:
    """With AD goes the truth alone; without it no lie about a signed zone; later all is as it was."""
    rng = random.Random(seed)
    # What opt-out leaves open anybody may fill in: only proved truth is safe from lies.
    signed = [question for question in QUESTIONS if truth[question][1]]
    rig.relay.change = Liar(rig, seed)
    ways: tuple[dict[str, Any], ...] = ({}, {}, {"do": True, "edns": 4096}, {"tcp": True})
    wrong = []

    def lied(question: Question) -> None:
        rcode, proved, said = say(daemon.port, question, **rng.choice(ways))
        true_code, _, true = truth[question]
        owners = {question[0].lower(), *(name for name, _, _ in true)}
        said = frozenset(item for item in said if item[0] in owners and item[1] != "DNAME")
        same = rcode == true_code and said == {item for item in true if item[1] != "DNAME"}
        if not same and (proved or rcode in ("NOERROR", "NXDOMAIN")):
            wrong.append((question, rcode, proved, said))

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        for _ in range(8):  # keys and cuts are asked for, and lied about, anew
            list(pool.map(lied, rng.sample(signed, 90)))
            daemon.signal(signal.SIGHUP)
    assert not wrong
    rig.relay.change = None
    for question in signed:
        come_back(daemon, question, truth[question])
    assert "internal" not in daemon.log()


def come_back(daemon: Daemon, question: Question, true: Truth) -> None:
    """Wait until the answer is right."""
    wait_until(lambda: same(say(daemon.port, question), true), FORGOTTEN, f"{question} to be {true}")


def same(said: Truth, true: Truth) -> bool:
    """Compare answers; those from a cache need not show a DNAME."""
    without = [frozenset(item for item in one[2] if item[1] != "DNAME") for one in (said, true)]
    return said[:2] == true[:2] and without[0] == without[1]


# -- what one lie leaves behind ----------------------------------------------------

Change = Callable[[Break], Any]


def with_tsig(name: str, qtype: str) -> bytes:
    """A question with a TSIG record that nobody can check."""
    query = bytearray(dnswire.build_query(name, qtype))
    query[10:12] = b"\0\1"
    data = dnswire.pack_name("hmac-sha256") + bytes(6) + b"\x01\x2c" + struct.pack("!H", 32) + bytes(38)
    return bytes(query) + dnswire.pack_name("key") + struct.pack("!HHIH", 250, 255, 0, len(data)) + data


def answer(*lines: str, rcode: str = "NOERROR", soa: str = ROOT_SOA) -> Change:
    """Answer these records, unsigned, with a SOA that anybody can write."""
    return lambda b: MockReply(rcode=rcode, answer=[record(line) for line in lines], authority=[record(soa)])


def from_wildcard(b: Break) -> None:
    """Answer with an alias that the zone's own wildcard would give, but for which there is no wildcard."""
    zone = b.zone.parent
    assert zone is not None
    made = record(f"{b.name} 300 CNAME www.{zone.name}")
    signature = sign_rrset([made], b.hierarchy.zones, zone=zone.name, labels=2, owner=f"*.{zone.name}")
    b.message.answer, b.message.authority = [made, signature], []


def long_alias(b: Break) -> None:
    b.edit(lambda item: replace(item, ttl=99999) if item.rtype == "CNAME" else item)


def alien(b: Break) -> None:
    """Put what is authentic, but was not asked for, beside a proof of absence."""
    b.message.answer = b.fetch("all.types.nsec", "A").answer


def forged_proof(b: Break) -> None:
    forged = record(f"{b.name} 300 NSEC \\# {(dnswire.pack_name(b.zone.name) + bytes((0, 1, 0))).hex()}")
    b.message.authority = [*b.message.authority, forged]


@dataclass
class Lie:
    """Lies by `name TYPE`, the questions that bring them in, and the questions that must not suffer."""

    lies: dict[str, Change]
    asked: str
    unharmed: str
    tsig: bool = False


LIES = {
    "alias-by-rrsig-question": Lie(
        {
            "www.good.nsec RRSIG": answer("www.good.nsec. 9999 CNAME evil.good.plain."),
            "evil.good.plain A": answer("evil.good.plain. 9999 A 6.6.6.6"),
        },
        "evil.good.plain A, www.good.nsec RRSIG",
        "www.good.nsec A",
    ),
    "nothing-by-rrsig-question": Lie(
        {"www.alg14.nsec RRSIG": answer(rcode="NXDOMAIN")}, "www.alg14.nsec RRSIG", "www.alg14.nsec A"
    ),
    "data-beside-alias": Lie(
        {"x.good.plain A": answer("x.good.plain. 99 A 6.6.6.6", "x.good.plain. 99 CNAME www.alg15.nsec.")},
        "x.good.plain A",
        "www.alg15.nsec A",
    ),
    "two-aliases": Lie(
        {
            "y.good.plain A": answer(
                "y.good.plain. 99 CNAME a.good.plain.",
                "y.good.plain. 99 CNAME www.good.nsec3.",
                "a.good.plain. 99 A 6.6.6.6",
            )
        },
        "y.good.plain A",
        "www.good.nsec3 A",
    ),
    "unproved-by-tsig": Lie(
        {"www.types3.nsec A": answer("www.types3.nsec. 9999 A 6.6.6.6")},
        "www.types3.nsec A",
        "www.types3.nsec A",
        tsig=True,
    ),
    "absent-but-no-error": Lie(
        {"nowhere.good.nsec A": lambda b: setattr(b.message, "flags", b.message.flags & ~15)},
        "nowhere.good.nsec A",
        "nowhere.good.nsec A",
    ),
    "wildcard-for-ds": Lie({"sub.broken.nsec DS": from_wildcard}, "mail.sub.broken.nsec A", "mail.sub.broken.nsec A"),
    "ds-servfail": Lie(
        {"wild.nsec3 DS": lambda b: MockReply(rcode="SERVFAIL")}, "any.w.wild.nsec3 A", "any.w.wild.nsec3 A"
    ),
    "keys-lost": Lie(
        {"wild.optout DNSKEY": answer(rcode="NXDOMAIN")}, "any.w.wild.optout A", "any.w.wild.optout A"
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def lied_to(rig: Hierarchy, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """A daemon that was told all of LIES once."""
    with Daemon(tmp_path_factory.mktemp("lied"), rig.configuration(CACHE)) as daemon:
        for lie in LIES.values():
            rig.relay.change = lambda b, lies=lie.lies: lies.get(f"{b.name} {b.question.qtype}", lambda b: None)(b)
            for text in lie.asked.split(", "):
                name, qtype = text.split()
                if lie.tsig:
                    assert udp_raw(with_tsig(name, qtype), daemon.port, seconds=SECONDS) is not None
                else:
                    assert ask(daemon.port, name, qtype, flags="RD AD", seconds=SECONDS) is not None
        rig.relay.change = None
        yield daemon
        assert "internal" not in daemon.log() + daemon.stderr()


@pytest.mark.parametrize("lie", LIES.values(), ids=LIES)
def test_lie_does_not_stay(lied_to: Daemon, truth: dict[Question, Truth], lie: Lie) -> None:
    """Once the lies have ended the answers are right again, as soon as a failed proof may be tried anew."""
    name, qtype = lie.unharmed.split()
    come_back(lied_to, (name, qtype), truth[name, qtype])


def test_alias_of_dname_lives_as_long_as_it(rig: Hierarchy, daemon: Daemon) -> None:
    """The alias that follows from a DNAME is not signed: its time to live is the DNAME's (RFC 6672 s.5.3.1)."""
    rig.relay.change = lambda b: long_alias(b) if b.name == "www.dn.alias.nsec" else None
    for _ in range(2):
        reply = daemon.ask("www.dn.alias.nsec", flags="RD AD", seconds=SECONDS)
        assert max(item.ttl for item in reply.answer) <= 300
        assert reply.has("AD")


@pytest.mark.parametrize(("name", "change"), (("ent.good.nsec", alien), ("mail.good.nsec", forged_proof)))
def test_nothing_else_beside_proved_data(rig: Hierarchy, daemon: Daemon, name: str, change: Change) -> None:
    """What goes out with AD was asked for, and proved."""
    rig.relay.change = lambda b: change(b) if b.name == name else None
    for _ in range(2):
        reply = daemon.ask(name, "A", do=True, edns=4096, seconds=SECONDS)
        foreign = [item for item in reply.answer if item.name != name]
        forged = [item for item in reply.authority if item.name == name and item.rtype == "NSEC"]
        assert not (foreign or forged) or not reply.has("AD")


def test_work_is_not_charged_to_another_zone(rig: Hierarchy, daemon: Daemon) -> None:
    """A zone whose signatures cost all that one answer may cost does no harm to the zone that its alias points to."""

    def dear(b: Break) -> None:
        if b.name != "dear.broken.nsec":
            return
        names = [b.name, *(f"a{number}.broken.nsec" for number in range(8)), "www.good.nsec3"]
        b.message.answer, b.message.flags = [], b.message.flags & ~15
        for left, right in itertools.pairwise(names):
            alias = record(f"{left} 300 CNAME {right}")
            bad = [spoilt(b, alias, number) for number in range(20)]
            b.message.answer += [alias, *bad, sign_rrset([alias], rig.zones, zone="broken.nsec")]
        b.message.answer += b.fetch("www.good.nsec3", "A").answer

    rig.relay.change = dear
    say(daemon.port, ("dear.broken.nsec", "A"), tcp=True)
    assert say(daemon.port, ("www.good.nsec3", "A"))[:2] == ("NOERROR", True)


def spoilt(b: Break, item: DnsRecord, number: int) -> DnsRecord:
    return sign_rrset([item], b.hierarchy.zones, zone=b.zone.name, spoil=1 + number + 100 * len(b.message.answer))


# -- validators that ask us ----------------------------------------------------------


def test_validator_behind(rig: Hierarchy, daemon: Daemon, truth: dict[Question, Truth]) -> None:
    """A validator finds the same through us as without us: what we pass on, what we cached, what we made of proofs."""

    def differences(port: int) -> list[tuple[Question, Truth, Truth]]:
        said = say_all(port, QUESTIONS)
        return [
            (question, said[question], truth[question]) for question in QUESTIONS if said[question] != truth[question]
        ]

    def behind() -> int:
        return rig.validator(upstream=daemon.port)

    assert not differences(behind())
    assert not differences(behind())
    assert not [found for found in differences(daemon.port) if not same(*found[1:])]
    daemon.signal(signal.SIGHUP)
    say_all(daemon.port, QUESTIONS)
    assert not differences(behind())


# -- many at once -----------------------------------------------------------------------


def test_many_at_once(rig: Hierarchy, daemon: Daemon, truth: dict[Question, Truth]) -> None:
    """Many cold questions with reloads and lost DS and DNSKEY replies: each has an answer, later the right one."""
    rng = random.Random(3)

    def lossy(b: Break) -> MockReply | None:
        return MockReply(drop=True) if b.question.qtype in ("DS", "DNSKEY") and rng.random() < 0.3 else None

    rig.relay.change = lossy
    questions = [
        (f"n{number}.{zone}", "A") for number in range(10) for zone in ("good.nsec", "wild.nsec3", "alg15.nsec")
    ]
    with concurrent.futures.ThreadPoolExecutor(50) as pool:
        asked = [pool.submit(say, daemon.port, question) for question in questions + QUESTIONS]
        for number in (signal.SIGHUP, signal.SIGUSR1, signal.SIGINT, signal.SIGHUP):
            time.sleep(0.2)
            daemon.signal(number)
        assert all(done.result()[0] in ("NOERROR", "NXDOMAIN", *ERRORS) for done in asked)
    rig.relay.change = None
    for question in QUESTIONS:
        come_back(daemon, question, truth[question])
    assert "internal" not in daemon.log()
