"""Signed zones in memory, and the loop that proves what they answer: no sockets, no clock, no tools.

A `Zone` signs with RSA and SHA-256 and answers as its name server would (RFC 4035 s.3, RFC 5155 s.7); a `World` is a
tree of zones seen through a resolver; a `Prover` fetches what a proof asks for.  Faults are edits of a `Reply`.
"""

from __future__ import annotations

import functools
import hashlib
import struct
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import dnswire
import pydnsmasq as p
from dnswire import pack_name, pack_rdata, type_code
from pure import Back, Pure, config, domain_rules

NOW, CLOCK = 1000, 1_800_000_000  # the monotonic and the wall clock
DAY = 86_400
ROOT = b"\0"
A, NS, CNAME, SOA, DNAME, DS, RRSIG, NSEC, DNSKEY, NSEC3 = 1, 2, 5, 6, 39, 43, 46, 47, 48, 50
NSECS = (NSEC, NSEC3)

# -- keys ------------------------------------------------------------------------

# Primes of 512 bits that are 2 modulo 3: this much above the number that _prime begins with.
_OFFSETS = (
    148, 1894, 982, 1132, 192, 338, 134, 56, 178, 344, 880, 1252, 1502, 320, 424, 374, 150, 834, 904, 194, 174, 38,
    250, 1932,
)  # fmt: skip
_DIGEST_INFO = bytes.fromhex("003031300d060960864801650304020105000420")


def _prime(index: int) -> int:
    return (int.from_bytes(hashlib.sha512(b"prime %d" % index).digest(), "big") | 3 << 510 | 1) + _OFFSETS[index]


@functools.lru_cache(None)
def rsa_sign(number: int, data: bytes) -> bytes:
    """Sign with key `number` (exponent 3): PKCS #1 v1.5, SHA-256."""
    first, second = _prime(2 * number), _prime(2 * number + 1)
    tail = _DIGEST_INFO + hashlib.sha256(data).digest()
    text = int.from_bytes(b"\0\1".ljust(128 - len(tail), b"\xff") + tail, "big")
    ours = pow(text, pow(3, -1, first - 1), first)
    theirs = pow(text, pow(3, -1, second - 1), second)
    return (theirs + (ours - theirs) * pow(second, -1, first) % first * second).to_bytes(128, "big")


@dataclass(frozen=True)
class Key:
    """A DNSKEY; `octets` stands for the public key where it is to be another than that of `number`."""

    number: int
    flags: int = 257
    protocol: int = 3
    algorithm: int = 8
    octets: bytes = b""

    @property
    def rdata(self) -> bytes:
        modulus = (_prime(2 * self.number) * _prime(2 * self.number + 1)).to_bytes(128, "big")
        head = struct.pack("!HBB", self.flags, self.protocol, self.algorithm)
        return head + (self.octets or b"\1\3" + modulus)

    @property
    def tag(self) -> int:
        """The key tag, as the program in RFC 4034 appendix B works it out."""
        total = 0
        for index, octet in enumerate(self.rdata):
            total += octet if index & 1 else octet << 8
        return (total + (total >> 16 & 0xFFFF)) & 0xFFFF

    def ds(self, owner: bytes, digest: int = 2) -> bytes:
        """Give the data of the DS that points at this key."""
        made = {1: hashlib.sha1, 2: hashlib.sha256, 4: hashlib.sha384}.get(digest, hashlib.sha256)
        return struct.pack("!HBB", self.tag, self.algorithm, digest) + made(owner + self.rdata).digest()

    def twin(self, turn: int = 0) -> Key:
        """Give another key of the same tag: two words of the modulus change places."""
        octets, at = self.rdata[4:], 20 + 4 * turn
        swapped = octets[:at] + octets[at + 2 : at + 4] + octets[at : at + 2] + octets[at + 4 :]
        return replace(self, octets=swapped)


# -- names -------------------------------------------------------------------------


def parent(name: bytes) -> bytes:
    return name[1 + name[0] :]


def ancestors(name: bytes) -> Iterator[bytes]:
    """Give the name, then each name above it, up to the root."""
    while True:
        yield name
        if name == ROOT:
            return
        name = parent(name)


def labels(name: bytes) -> list[bytes]:
    return [one[1 : 1 + one[0]] for one in ancestors(name)][:-1]


def order(name: bytes) -> list[bytes]:
    """The canonical order of names (RFC 4034 s.6.1)."""
    return [label.lower() for label in reversed(labels(name))]


def under(name: bytes, above: bytes) -> bool:
    return above in ancestors(name)


def hashed(name: bytes, salt: bytes, iterations: int) -> bytes:
    """RFC 5155 s.5."""
    digest = name.lower()
    for _ in range(iterations + 1):
        digest = hashlib.sha1(digest + salt).digest()
    return digest


def base32hex(digest: bytes) -> bytes:
    bits = f"{int.from_bytes(digest, 'big'):0160b}"
    return b"".join(b"%c" % b"0123456789abcdefghijklmnopqrstuv"[int(bits[at : at + 5], 2)] for at in range(0, 160, 5))


def bitmap(types: Iterable[int]) -> bytes:
    """RFC 4034 s.4.1.2."""
    windows: dict[int, bytearray] = {}
    for code in sorted(types):
        window = windows.setdefault(code >> 8, bytearray())
        window.extend(bytes((code >> 3 & 31) + 1 - len(window)))
        window[code >> 3 & 31] |= 0x80 >> (code & 7)
    return b"".join(bytes((number, len(window))) + bytes(window) for number, window in windows.items())


# -- messages -----------------------------------------------------------------------


class Rr(NamedTuple):
    """One record."""

    owner: bytes
    rrtype: int
    ttl: int
    rdata: bytes

    @property
    def covers(self) -> int:
        """The type that an RRSIG is over."""
        return int.from_bytes(self.rdata[:2], "big") if self.rrtype == RRSIG else self.rrtype


@dataclass
class Reply:
    """What a resolver that does not validate answers."""

    name: bytes
    rrtype: int
    rcode: int = 0
    answer: list[Rr] = field(default_factory=list)
    authority: list[Rr] = field(default_factory=list)

    @property
    def wire(self) -> bytes:
        head = struct.pack("!6H", 1, 0x8180 | self.rcode, 1, len(self.answer), len(self.authority), 0)
        wire = head + self.name + struct.pack("!HH", self.rrtype, 1)
        for rr in self.answer + self.authority:
            wire += rr.owner + struct.pack("!HHIH", rr.rrtype, 1, rr.ttl, len(rr.rdata)) + rr.rdata
        return wire

    def drop(self, unwanted: Callable[[Rr], bool]) -> Reply:
        """Take records away from both sections."""
        self.answer = [rr for rr in self.answer if not unwanted(rr)]
        self.authority = [rr for rr in self.authority if not unwanted(rr)]
        return self

    def change(self, wanted: Callable[[Rr], bool], **fields: Any) -> Reply:
        """Change fields of records; a function is given the record."""

        def changed(rr: Rr) -> Rr:
            return rr._replace(**{key: value(rr) if callable(value) else value for key, value in fields.items()})

        self.answer = [changed(rr) if wanted(rr) else rr for rr in self.answer]
        self.authority = [changed(rr) if wanted(rr) else rr for rr in self.authority]
        return self


# -- zones ---------------------------------------------------------------------------


class Zone:
    """A zone; records are lines `OWNER TYPE DATA` with owners below the apex, `@` is the apex itself.

    `keys` sign the keys, `signers` (the same unless given) everything else; without keys the zone is not signed.
    `denial` is nsec, nsec3 or optout.
    """

    def __init__(
        self, text: str, *lines: str, keys: Iterable[Key] = (), signers: Iterable[Key] = (), denial: str = "nsec",
        salt: bytes = b"", iterations: int = 0, ttl: int = 300, minimum: int = 60,
    ) -> None:  # fmt: skip
        self.name = pack_name(text)
        self.keys = list(keys)
        self.signers = list(signers) or self.keys
        self.denial, self.salt, self.iterations, self.ttl = denial, salt, iterations, ttl
        self.sets: dict[tuple[bytes, int], list[bytes]] = {}
        self.add("@ NS ns", f"@ SOA ns h 1 2 3 4 {minimum}", *lines)
        if self.keys:
            every = dict.fromkeys(key.rdata for key in self.keys + self.signers)
            self.sets[self.name, DNSKEY] = list(every)

    def full(self, text: str) -> bytes:
        """Give the name of an owner."""
        return self.name if text == "@" else pack_name(text)[:-1] + self.name

    def add(self, *lines: str) -> None:
        """Add records."""
        for line in lines:
            owner, rtype, *data = line.split(" ", 2)
            rdata = pack_rdata(rtype, data[0] if data else "")
            self.sets.setdefault((self.full(owner), type_code(rtype)), []).append(rdata)

    # -- what there is --

    def cut(self, name: bytes) -> bytes | None:
        """Find the delegation at or above a name."""
        for one in reversed(list(ancestors(name))):
            if one != self.name and under(one, self.name) and (one, NS) in self.sets:
                return one
        return None

    def types(self, owner: bytes) -> set[int]:
        """The types that are signed for at `owner`, for its NSEC or NSEC3."""
        found = {rrtype for name, rrtype in self.sets if name == owner}
        return found & {NS, DS} if self.cut(owner) == owner else found

    def owners(self) -> set[bytes]:
        """All names with records here, cuts included."""
        return {name for name, _ in self.sets if self.cut(name) in (None, name)}

    def names(self) -> set[bytes]:
        """All names, those between included (RFC 4592 s.2.2)."""
        return {one for name in self.owners() for one in ancestors(name) if under(one, self.name)}

    def has(self, name: bytes) -> bool:
        return name in self.names()

    def encloser(self, name: bytes) -> bytes:
        """The closest name above that exists."""
        return next(one for one in ancestors(name) if self.has(one))

    # -- signatures --

    def sign(self, owner: bytes, rrtype: int, rdatas: Iterable[bytes], ttl: int, **other: Any) -> list[Rr]:
        """Make the signatures of a set; `other` overrides fields of theirs."""
        keys = other.pop("keys", self.keys if rrtype == DNSKEY else self.signers)
        return [self.rrsig(owner, rrtype, rdatas, ttl, key, **other) for key in keys]

    def rrsig(
        self,
        owner: bytes,
        rrtype: int,
        rdatas: Iterable[bytes],
        ttl: int,
        key: Key,
        *,
        shown: bytes = b"",
        **other: Any,
    ) -> Rr:
        """Make one signature (RFC 4034 s.3.1); `shown` is the owner that it stands at."""
        count = len(labels(owner)) - (labels(owner)[:1] == [b"*"])
        made = {
            "algorithm": key.algorithm, "labels": count, "ttl": ttl, "ends": CLOCK + DAY, "begins": CLOCK - 3600,
            "tag": key.tag, "signer": self.name,
        } | other  # fmt: skip
        head = struct.pack("!HBBIIIH", rrtype, *(int(value) & 0xFFFFFFFF for value in list(made.values())[:6]))
        head += made["signer"]
        body = b"".join(
            owner + struct.pack("!HHIH", rrtype, 1, made["ttl"], len(data)) + data for data in sorted(set(rdatas))
        )
        return Rr(shown or owner, RRSIG, ttl, head + rsa_sign(key.number, head + body))

    def rrset(self, owner: bytes, rrtype: int, shown: bytes = b"", **other: Any) -> list[Rr]:
        """Give a set with its signatures; `shown` is the name that a wildcard stands for."""
        rdatas = self.sets[owner, rrtype]
        out = [Rr(shown or owner, rrtype, self.ttl, data) for data in rdatas]
        signed = self.keys and (self.cut(owner) != owner or rrtype == DS)
        return out + (self.sign(owner, rrtype, rdatas, self.ttl, shown=shown, **other) if signed else [])

    # -- denial --

    def chain(self) -> list[tuple[Any, bytes, bytes, bytes]]:
        """Give (place, owner, data, name) of all NSEC or NSEC3 records in their order."""
        if self.denial == "nsec":
            owners = sorted(self.owners(), key=order)
            return [
                (order(owner), owner, after + bitmap(self.types(owner) | {NSEC, RRSIG}), owner)
                for owner, after in zip(owners, owners[1:] + owners[:1], strict=True)
            ]
        names = self.names()
        if self.denial == "optout":
            names -= {name for name in names if self.cut(name) == name and (name, DS) not in self.sets}
            names = {one for name in names if self.types(name) for one in ancestors(name) if under(one, self.name)}
        hashes = {hashed(name, self.salt, self.iterations): name for name in names}
        places = sorted(hashes)
        head = struct.pack("!BBHB", 1, self.denial == "optout", self.iterations, len(self.salt)) + self.salt
        out: list[tuple[Any, bytes, bytes, bytes]] = []
        for place, after in zip(places, places[1:] + places[:1], strict=True):
            types = self.types(hashes[place])
            types |= {RRSIG} if types - {NS} else set()
            owner = b"\x20" + base32hex(place) + self.name
            out.append((place, owner, head + b"\x14" + after + bitmap(types), hashes[place]))
        return out

    def place(self, name: bytes) -> Any:
        return order(name) if self.denial == "nsec" else hashed(name, self.salt, self.iterations)

    def denying(self, *names: bytes) -> list[Rr]:
        """Give the NSEC or NSEC3 records that are at these names or cover them, each once."""
        if not self.keys:
            return []
        chain, out = self.chain(), {}
        for name in names:
            place = self.place(name)
            found = [one for one in chain if one[0] <= place][-1:] or chain[-1:]
            out[found[0][1]] = found[0][2]
        rrtype = NSEC if self.denial == "nsec" else NSEC3
        ttl = min(self.ttl, 60)
        sets = [[Rr(name, rrtype, ttl, data), *self.sign(name, rrtype, [data], ttl)] for name, data in out.items()]
        return [rr for found in sets for rr in found]

    def _proof(self, name: bytes, what: str) -> list[Rr]:
        """The records that deny: `nodata` at a name, its `type` at the wildcard, the `name`, or a `closer` match."""
        encloser = self.encloser(name)
        nexter = next((one for one in ancestors(name) if one != ROOT and parent(one) == encloser), name)
        wild = b"\1*" + encloser
        if self.denial == "nsec":
            wanted = {"nodata": (name,), "type": (name, wild), "name": (name, wild), "closer": (name,)}[what]
        else:
            hidden = what == "nodata" and self.place(name) not in [one[0] for one in self.chain()]  # by opt-out
            while hidden and self.place(encloser) not in [one[0] for one in self.chain()]:
                nexter, encloser = encloser, parent(encloser)
            wanted = {
                "nodata": (encloser, nexter if hidden else encloser), "type": (encloser, nexter, wild),
                "name": (encloser, nexter, wild), "closer": (nexter,),
            }[what]  # fmt: skip
        return self.denying(*wanted)

    # -- answers --

    def answer(self, reply: Reply, name: bytes) -> bytes | None:
        """Add what the zone's server answers for `name` and the reply's type; give the target of an alias."""
        soa = self.rrset(self.name, SOA)
        alias = next((one for one in ancestors(name) if one != name and (one, DNAME) in self.sets), None)
        if alias is not None and under(alias, self.name):
            target = name[: -len(alias)] + self.sets[alias, DNAME][0]
            reply.answer += [*self.rrset(alias, DNAME), Rr(name, CNAME, self.ttl, target)]
            return target if reply.rrtype != CNAME else None
        owner, extra = name, []
        if not self.has(name):
            owner = b"\1*" + self.encloser(name)
            if not self.has(owner):
                reply.rcode = 3
                reply.authority += soa + self._proof(name, "name")
                return None
            extra = self._proof(name, "closer")
        for rrtype in (reply.rrtype, CNAME):
            if (owner, rrtype) in self.sets:
                reply.answer += self.rrset(owner, rrtype, name if owner != name else b"")
                reply.authority += extra
                return self.sets[owner, CNAME][0] if rrtype == CNAME != reply.rrtype else None
        reply.authority += soa + self._proof(name, "nodata" if owner == name else "type")
        return None


class World:
    """A tree of zones; the DS of a signed zone stands in the zone above, unless its name is among `without_ds`."""

    def __init__(self, *zones: Zone, without_ds: Iterable[str] = ()) -> None:
        self.zones = {zone.name: zone for zone in zones}
        for zone in zones:
            if zone.name != ROOT:
                above = self.zone(parent(zone.name))
                above.sets[zone.name, NS] = [b"\2ns" + zone.name]
                if zone.keys and zone.name not in map(pack_name, without_ds):
                    above.sets[zone.name, DS] = [key.ds(zone.name) for key in zone.keys]

    def zone(self, name: bytes | str) -> Zone:
        """Find the zone that a name is in."""
        wire = pack_name(name)
        return next(self.zones[one] for one in ancestors(wire) if one in self.zones)

    def reply(self, name: bytes | str, rrtype: str | int = A) -> Reply:
        """Resolve, aliases included."""
        reply = Reply(pack_name(name), type_code(rrtype))
        target: bytes | None = reply.name.lower()
        for _ in range(12):
            if target is None:
                break
            above = parent(target) if reply.rrtype == DS and target != ROOT else target
            target = self.zone(above).answer(reply, target)
        return reply


LINES = """
www A 192.0.2.1
www A 192.0.2.2
wwx TXT x
alias CNAME www.z.tld
far CNAME www.other.tld
dangling CNAME nx.z.tld
out CNAME host.u.z.tld
loop CNAME pool.z.tld
pool CNAME loop.z.tld
*.w A 192.0.2.3
*.al CNAME www.z.tld
a.b.ent A 192.0.2.4
d DNAME s.z.tld
"""


def tree(denial: str = "nsec", **how: Any) -> World:
    """Make z.tld with LINES, its signed child s.z.tld, its unsigned child u.z.tld, other.tld, and what is above.

    `how` are arguments of z.tld.
    """
    return World(
        Zone(".", keys=[Key(0)]),
        Zone("tld", keys=[Key(1)], signers=[Key(2, 256)]),
        Zone("other.tld", "www A 198.51.100.1", keys=[Key(5)]),
        Zone("z.tld", *LINES.strip().splitlines(), denial=denial, **({"keys": [Key(3)]} | how)),
        Zone("s.z.tld", "www A 192.0.2.5", "back CNAME nx.z.tld", keys=[Key(4)], denial=denial),
        Zone("u.z.tld", "host A 192.0.2.6", "in CNAME www.z.tld"),
    )


# -- proofs ---------------------------------------------------------------------------


@dataclass
class Proved:
    """What came of a proof: status, extended error, and what it has cost."""

    outcome: Any
    work: Any
    message: Any
    turns: int

    def __str__(self) -> str:
        status: str = self.outcome.status
        return status if self.outcome.ede < 0 else f"{status} {self.outcome.ede}"


class Prover:
    """The loop around section 50: fetches from a world, remembers in a store.

    `edits` change the replies to DS and DNSKEY questions, by (name, type) as `example. DS`.
    """

    def __init__(self, world: World, *lines: str, cpu: Callable[[], float] = lambda: 0.0) -> None:
        self.world = world
        if not any(line.startswith("trust-anchor") for line in lines):
            lines += tuple(anchor(world.zones[ROOT]).splitlines())
        self.config = config("dnssec", *lines)
        self.rules = domain_rules(self.config)
        self.anchors = p.DnssecAnchors(self.config.trust_anchor)
        self.store = p.DnssecStore()
        self.now, self.clock, self.cpu = NOW, CLOCK, cpu
        self.asked: list[str] = []
        self.edits: dict[str, Callable[[Reply], Any]] = {}

    def view(self) -> Any:
        return p.DnssecView(self.store, self.anchors, self.rules, self.config, self.now, self.clock)

    def prove(self, name: str | bytes, rrtype: str | int = A, reply: Reply | bytes | None = None) -> Proved:
        """Prove what the world, or `reply`, answers."""
        wire = reply if isinstance(reply, bytes) else (reply or self.world.reply(name, rrtype)).wire
        work = p.DnssecWork(self.config.dnssec_limits, self.cpu)
        return self._prove(pack_name(name).lower(), type_code(rrtype), wire, work, ())

    def fetch(self, name: bytes, rrtype: int, work: Any, stack: tuple[tuple[bytes, int], ...] = ()) -> Any:
        """Fetch and judge DS or DNSKEY records."""
        asked = f"{dnswire.unpack_name(name, 0)[0].rstrip('.')}. {dnswire.type_name(rrtype)}"
        assert (name, rrtype) not in stack, f"the proof of {asked} waits for itself"
        self.asked.append(asked)
        reply = self.world.reply(name, rrtype)
        changed = self.edits.get(asked, lambda reply: None)(reply)
        proved = self._prove(name, rrtype, (changed or reply).wire, work, (*stack, (name, rrtype)))
        if proved.outcome.own:
            self.store.learn(name, rrtype, proved.outcome)
        return proved.outcome

    def _prove(self, name: bytes, rrtype: int, wire: bytes, work: Any, stack: tuple[tuple[bytes, int], ...]) -> Proved:
        message = p.dns_message_unpack(wire)
        proof = p.DnssecProof(message, name, rrtype, self.view(), work, bool(stack))
        for turn in range(10_000):
            outcome = p.dnssec_step(proof, self.view())
            if isinstance(outcome, p.NeedRecords):
                if work.ask() and self.fetch(outcome.name, outcome.rrtype, work, stack).own:
                    continue
                outcome = p.dnssec_abandoned(proof, "subqueries", self.now)
            if outcome is not None:
                return Proved(outcome, work, message, turn + 1)
        raise AssertionError("no end of turns")


def anchor(zone: Zone, digest: int = 2) -> str:
    """The lines of configuration that trust a zone's keys."""
    text, _ = dnswire.unpack_name(zone.name, 0)
    out = []
    for key in zone.keys:
        head = f"{key.tag},{key.algorithm},{digest}"
        out.append(f"trust-anchor={text},{head},{key.ds(zone.name, digest)[4:].hex()}")
    return "\n".join(out)


def validating(world: World, *lines: str) -> Pure:
    """A DNS state that proves what it passes on."""
    return Pure("dnssec", *anchor(world.zones[ROOT]).splitlines(), "server=9.9.9.9", "log-queries", *lines)


def passed_on(pure: Pure, world: World, asked: str, rrtype: str = "A", reply: Reply | None = None, **how: Any) -> Back:
    """Prove and review what the world, or `reply`, answers to a question with the given flags."""
    query = pure.query(asked, rrtype, **how)
    prover = Prover(world)
    prover.config, prover.rules, prover.anchors = pure.config, pure.rules, pure.state.anchors
    prover.store, prover.now = pure.state.trust, int(pure.now)
    message, verdict = p.dns_message_unpack((reply or world.reply(asked, rrtype)).wire), None
    if p.dnssec_provable(message, query, pure.config):
        proved = prover.prove(asked, rrtype, reply)
        message, verdict = proved.message, proved.outcome
    return Back(p.dns_review(message, query, pure.state, pure.now, p.Upstream("9.9.9.9", 53), (), verdict), query)
