"""Questions about the hierarchy of `dnssec_zones`, and what a validator must say.

    NAME TYPE [WAY] = OUTCOME [ede=CODES] [n=COUNT] [once|fresh] [ ! PEER OUTCOME : REASON ]...

An OUTCOME is OK (records of the type came), NODATA, SILENCE or an rcode, then AD when it is
proved; `|` stands between outcomes that are equally right.  `ede` lists the extended errors
that fit a SERVFAIL; where none is given there must be none.  `n` counts the records of the
type.  `once` rows are dear and asked in one way only, `fresh` ones with an empty cache, since
what it knows would answer them rightly; the others are asked with AD, with DO, plainly and with
CD; or in one WAY: ad, do, plain, cd, nocheck, tcp.  `$B` stands for broken.nsec (NSEC) and for broken3.nsec (NSEC3).

After `!` stands what a peer, dnsmasq 2.90 or unbound, says instead, and why (see REASONS); ANY:
it is not asked.  Extended errors are not compared: 2.90 always says 6, and unbound words some otherwise.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import dnswire
from dnssec_zones import Break
from harness import MockReply

REASONS = {
    "opt-out": "it sets AD though the span opts out, which RFC 5155 s.9.2 forbids",
    "iterations": "it takes a zone with too many iterations for insecure (RFC 9276 allows both)",
    "records": "so many records in a set are too many for it",
    "wildcard": "2.90 looks for a proof that the wildcard itself is not there",
    "two-kinds": "2.90 wants both proofs, one by NSEC and one by NSEC3, in one kind",
    "dname": "2.90 does not see that the alias comes from a DNAME",
    "skew": "it allows clocks to differ by a part of the signature's life",
    "fewer": "it tries fewer signatures",
    "longer": "it tries for longer than a test can wait",
    "drops": "it drops what was not asked for",
    "anew": "it asks for each alias anew, and so finds neither chain nor loop",
    "soa": "an unsigned SOA beside a whole proof is bogus to it",
    "sha1": "it lets a SHA-1 digest do beside a SHA-256 one that fails, which RFC 4509 s.3 forbids",
    "revoked": "it lets a revoked key do, which RFC 5011 s.2.1 forbids",
    "bitmap": "it does not look at the malformed end of the list of types",
    "next-name": "2.90 takes an NSEC to deny the name that it leads to",
    "no-wildcard": "2.90 does not ask for the proof about the wildcard",
    "no-encloser": "2.90 does not ask for the closest encloser",
    "cut": "2.90 takes the parent's word about names at and below a cut, and a DNAME's about those below it",
    "rcode": "2.90 proves that the type is not there, and passes on that the name is not",
    "rcode-right": "it puts the rcode right",
    "encloser": "2.90 does not look whether the wildcard is that of the closest encloser",
    "odd-keys": "one malformed key spoils the others for it",
    "overlay": "2.90 validates nothing of a domain that has servers of its own; 2.92 does where a chain of trust leads",
    "unsigned-parent": "2.90 wants a proof from the unsigned parent too",
    "covers": "2.90 does not look which names the NSEC3 covers",
    "signer": "ours asks for the DS of the zone that signs, and for those above it; 2.90 for each label from the top",
    "expired": "2.90 looks at the times before it asks for the key; ours knows the key from then on",
    "unchecked": "2.90 goes on to ask for proof",
    "debug": "2.90 shows no AD",
    "failed": "ours logs each DS or DNSKEY that failed, 2.90 some",
    "keys": "so many keys are too many for it",
}

GOOD = """
. SOA = OK AD
. DNSKEY = OK AD
. NS = OK AD
nsec DS = OK AD
nsec3 DNSKEY = OK AD n=2
www.good.nsec A = OK AD
www.good.nsec AAAA = OK AD
www.good.nsec3 A = OK AD
www.good.optout A = OK AD
good.nsec MX = OK AD
good.nsec NS = OK AD
alias.good.nsec A = OK AD
alias.good.nsec3 AAAA = OK AD
a.ent.good.nsec TXT = OK AD
WWW.Good.NSEC A = OK AD
nosuchtld A = NXDOMAIN AD
nx.good.nsec A = NXDOMAIN AD
nx.www.good.nsec A = NXDOMAIN AD
nx.good.nsec3 A = NXDOMAIN AD
nx.www.good.nsec3 A = NXDOMAIN AD
nx.good.optout A = NXDOMAIN ! dnsmasq NXDOMAIN AD : opt-out
www.good.nsec TXT = NODATA AD
www.good.nsec3 TXT = NODATA AD
www.good.optout TXT = NODATA AD
ent.good.nsec A = NODATA AD
ent.good.nsec3 A = NODATA AD
ent.good.optout A = NODATA AD
www.good.nsec NSEC = OK AD
www.good.nsec ANY = OK AD
www.good.nsec RRSIG = OK
1.1.18.198.in-addr.arpa PTR = OK AD
9.1.18.198.in-addr.arpa PTR = NXDOMAIN AD
1.0.0.10.in-addr.arpa PTR = NXDOMAIN AD
"""

ALGORITHMS = """
www.alg5.nsec A = OK AD
www.alg7.nsec A = OK AD
www.alg8.nsec A = OK AD
www.alg10.nsec A = OK AD
www.alg13.nsec A = OK AD
www.alg14.nsec A = OK AD
www.alg15.nsec A = OK AD
www.alg16.nsec A = OK AD
nx.alg5.nsec A = NXDOMAIN AD
nx.alg7.nsec A = NXDOMAIN AD
nx.alg10.nsec A = NXDOMAIN AD
nx.alg13.nsec A = NXDOMAIN AD
nx.alg14.nsec A = NXDOMAIN AD
nx.alg15.nsec A = NXDOMAIN AD
nx.alg16.nsec A = NXDOMAIN AD
www.two-algs.nsec A = OK AD
mail.two-algs.nsec A = OK AD
www.one-of-two.nsec A = OK AD
www.digest1.nsec A = OK AD
www.digest2.nsec A = OK AD
www.digest4.nsec A = OK AD
www.digests.nsec A = OK AD
www.digest99.nsec A = OK ede=-/2
www.digest99-2.nsec A = OK AD
www.digest-1bad.nsec A = OK AD
www.digest-2bad.nsec A = SERVFAIL ede=9 ! dnsmasq OK AD : sha1 ! unbound OK AD : sha1
www.alg253.nsec A = OK ede=-/1
www.alg253-13.nsec A = OK AD
www.alg14-13.nsec A = OK AD
www.alg14-only.nsec A = SERVFAIL ede=9/6
"""

INSECURE = """
www.good.plain A = OK
nx.good.plain A = NXDOMAIN
plain NS = OK
plain DS = NODATA AD
good.plain DS = NODATA ! dnsmasq SERVFAIL : unsigned-parent
www.nods.nsec A = OK
nods.nsec DS = NODATA AD
nods.nsec DNSKEY = OK
. DS = NODATA AD
nosuch.optout A = NXDOMAIN ! dnsmasq NXDOMAIN AD : opt-out
www.ins.nsec A = OK
www.ins.nsec3 A = OK
www.ins.optout A = OK
www.ins.nsec TXT = NODATA
nx.ins.nsec A = NXDOMAIN
nx.ins.optout A = NXDOMAIN
ins.nsec DS = NODATA AD
ins.nsec3 DS = NODATA AD
ins.optout DS = NODATA ! dnsmasq NODATA AD : opt-out
www.island.ins.nsec A = OK
island.ins.nsec DNSKEY = OK
nx.island.ins.nsec A = NXDOMAIN
www.ins.d1.nsec A = OK
www.ins.d2.d1.nsec A = OK
"""

DEPTH = """
www.d1.nsec A = OK AD
www.d2.d1.nsec A = OK AD
www.d3.d2.d1.nsec A = OK AD
www.a.b.c.d1.nsec A = OK AD
nx.a.b.c.d1.nsec A = NXDOMAIN AD
b.c.d1.nsec A = NODATA AD
b.c.d1.nsec DS = NODATA AD
d3.d2.d1.nsec DS = OK AD
nx.d3.d2.d1.nsec A = NXDOMAIN AD
www.n150.nsec A = OK AD
nx.n150.nsec A = NXDOMAIN AD
www.high.nsec A = OK AD
nx.high.nsec A = SERVFAIL ede=27 ! unbound NXDOMAIN : iterations
www.high.nsec TXT = SERVFAIL ede=27 ! unbound NODATA : iterations
"""

TYPES = """
all.types.nsec A = OK AD
all.types.nsec AAAA = OK AD
all.types.nsec MX = OK AD n=2
all.types.nsec TXT = OK AD
all.types.nsec SRV = OK AD
all.types.nsec NAPTR = OK AD
all.types.nsec SVCB = OK AD
all.types.nsec HTTPS = OK AD
all.types.nsec CAA = OK AD
all.types.nsec HINFO = OK AD
all.types.nsec RP = OK AD
all.types.nsec AFSDB = OK AD
all.types.nsec KX = OK AD
all.types.nsec SSHFP = OK AD
all.types.nsec TLSA = OK AD
all.types.nsec LOC = OK AD
all.types.nsec URI = OK AD
all.types.nsec TYPE65280 = OK AD
all.types.nsec TYPE1234 = OK AD
all.types.nsec ANY = OK AD
all.types.nsec PTR = NODATA AD
_sip._tcp.types.nsec SRV = OK AD n=2
manya.types.nsec A = OK AD n=5
types.nsec SOA = OK AD
types3.nsec TYPE51 = OK AD
high.types.nsec TYPE65534 = OK AD
high.types.nsec TYPE65533 = NODATA AD
high.types.nsec TXT = NODATA AD
upper.names.nsec A = OK AD
UPPER.NAMES.NSEC A = OK AD
mixed.case.names.nsec A = OK AD
esc\\.dot.names.nsec A = OK AD
sp\\032ace.names.nsec A = OK AD
zero\\000x.names.nsec A = OK AD
hi\\255.names.nsec A = OK AD
under_score.names.nsec A = OK AD
x.star.names.nsec A = OK AD
tocase.names.nsec A = OK AD
mx.names.nsec MX = OK AD
pt.names.nsec PTR = OK AD
soup.names.nsec SRV = OK AD
$LONG.names.nsec TXT = OK AD
$LONG.names.nsec A = NODATA AD
mid.huge.nsec TXT = OK AD n=5
big.huge.nsec TXT = OK AD n=40
many.huge.nsec A = OK AD n=150 ! dnsmasq SERVFAIL : records
"""

WILD = """
any.w.wild.nsec A = OK AD
any.more.w.wild.nsec A = OK AD
any.w.wild.nsec TXT = OK AD
any.w.wild.nsec3 A = OK AD
any.more.w.wild.nsec3 A = OK AD
any.w.wild.optout A = OK ! dnsmasq OK AD : opt-out
any.w.wild.nsec AAAA = NODATA AD
any.w.wild.nsec3 AAAA = NODATA AD
any.w.wild.optout AAAA = NODATA ! dnsmasq NODATA AD : opt-out
any.w2.wild.nsec A = NODATA AD
any.w2.wild.nsec MX = OK AD
*.w.wild.nsec A = OK AD ! dnsmasq SERVFAIL : wildcard
*.w.wild.nsec3 A = OK AD ! dnsmasq SERVFAIL : wildcard
z.y.w.wild.nsec A = NXDOMAIN AD
z.y.w.wild.nsec3 A = NXDOMAIN AD
y.w.wild.nsec A = NODATA AD
y.w.wild.nsec3 A = NODATA AD
any.c.wild.nsec A = OK AD
any.c.wild.nsec3 A = OK AD
any.c.wild.nsec CNAME = OK AD
any.o.wild.nsec A = OK AD
any.o.wild.nsec TXT = NODATA AD ! dnsmasq SERVFAIL : two-kinds
any.s.wild.nsec A = OK
b.*.ast.wild.nsec A = OK AD
"""

ALIAS = """
c1.alias.nsec A = OK AD
c1.alias.nsec CNAME = OK AD
c1.alias.nsec TXT = NODATA AD
to-n3.alias.nsec A = OK AD
to-ins.alias.nsec A = OK
to-optout.alias.nsec A = OK
to-plain.alias.nsec A = OK
to-bogus.alias.nsec A = SERVFAIL ede=9/6
to-broken.alias.nsec A = SERVFAIL ede=6
to-nx.alias.nsec A = NXDOMAIN AD
to-nx3.alias.nsec A = NXDOMAIN AD
to-nodata.alias.nsec A = NODATA AD
to-wild.alias.nsec A = OK AD
to-dname.alias.nsec A = OK AD ! dnsmasq SERVFAIL : dname
dn.alias.nsec DNAME = OK AD
www.dn.alias.nsec A = OK AD ! dnsmasq SERVFAIL : dname
www.dn.alias.nsec TXT = NODATA AD ! dnsmasq SERVFAIL : dname
nx.dn.alias.nsec A = NXDOMAIN AD ! dnsmasq SERVFAIL : dname
www.dn3.alias.nsec A = OK AD ! dnsmasq SERVFAIL : dname
www.dnself.alias.nsec A = OK AD ! dnsmasq SERVFAIL : dname
www.dnins.alias.nsec A = OK ! dnsmasq SERVFAIL : dname
www.dnbad.alias.nsec A = SERVFAIL ede=9/6
far1.alias.nsec A = OK AD
loop1.alias.nsec A = SERVFAIL ede=-/6
selfloop.alias.nsec A = SERVFAIL ede=-/6
to-sec.ins.nsec A = OK
to-bogus.ins.nsec A = SERVFAIL ede=9/6
"""

POSITIVE = """
www.$B A = OK AD
expired.$B A = SERVFAIL ede=7
stale.$B A = SERVFAIL ede=7 ! unbound OK AD : skew
future.$B A = SERVFAIL ede=8
badsig.$B A = SERVFAIL ede=6
badtag.$B A = SERVFAIL ede=6/9
badalg.$B A = SERVFAIL ede=6/9/1
nosig.$B A = SERVFAIL ede=10
below.nosig.$B A = SERVFAIL ede=10/12
strip-all.$B A = SERVFAIL ede=10/12
forged.$B A = SERVFAIL ede=6
sibling.$B A = SERVFAIL ede=6/9/10
parent.$B A = SERVFAIL ede=6/9/10
child.$B A = SERVFAIL ede=6/9/10
labels-more.$B A = SERVFAIL ede=6/10
labels-less.$B A = SERVFAIL ede=6/12
ttl.$B A = OK AD
origttl.$B A = SERVFAIL ede=6
covers.$B A = SERVFAIL ede=10
two-sigs.$B A = OK AD
two-bad.$B A = SERVFAIL ede=6
few-bad.$B A = OK AD once ! unbound SERVFAIL : fewer
many-bad.$B A = SERVFAIL ede=0 once ! unbound ANY : longer
upper.$B A = OK AD
duplicate.$B A = OK AD n=1/2
short.$B A = SERVFAIL ede=6
empty.$B A = SERVFAIL ede=6
extra.$B A = SERVFAIL ede=10/6 ! unbound OK AD : drops
badalias.$B A = SERVFAIL ede=6
chain15.$B A = OK AD ! unbound ANY : anew
loop1.$B A = NODATA AD ! unbound ANY : anew
chain250.broken.nsec A = SERVFAIL ede=0 once ! unbound ANY : anew
"""

NEGATIVE = """
nx.$B A = NXDOMAIN AD
nx-noproof.$B A = SERVFAIL ede=12 fresh
nx-nosig.$B A = SERVFAIL ede=10/12 fresh
nx-nosoasig.$B A = NXDOMAIN fresh ! unbound SERVFAIL : soa
nx-apexonly.$B A = SERVFAIL ede=12/6 fresh
nx-bare.$B A = SERVFAIL ede=12/10 fresh
nx-child.$B A = SERVFAIL ede=12/6 fresh
aliat.broken.nsec A = SERVFAIL ede=12/6
under.dn.broken.nsec A = SERVFAIL ede=12/6 ! dnsmasq NXDOMAIN AD : cut
under.dn.broken3.nsec A = SERVFAIL ede=12/6
flip.$B A = SERVFAIL ede=6/12 ! dnsmasq NXDOMAIN AD : rcode
flip.broken.nsec TXT = SERVFAIL ede=6/12 ! dnsmasq NXDOMAIN AD : rcode ! unbound NODATA AD : rcode-right
flip.broken3.nsec TXT = SERVFAIL ede=6/12 ! dnsmasq NXDOMAIN AD : rcode
z.y.bw.$B A = SERVFAIL ede=6/12 ! dnsmasq OK AD : encloser
nx-sibling.$B A = SERVFAIL ede=12/6 fresh
mail.$B A = SERVFAIL ede=12/6
mail.$B TXT = SERVFAIL ede=12 fresh
mail.$B MX = SERVFAIL ede=12/6
noproof.bw.$B A = SERVFAIL ede=12/6 fresh
wrongproof.bw.$B A = SERVFAIL ede=12/6 fresh
ok.bw.$B A = OK AD
noproof.bw2.$B TXT = SERVFAIL ede=12 fresh
noproof.bc.$B A = SERVFAIL ede=12/6 fresh
www.ins.$B A = SERVFAIL ede=12/6/10
nosig.$B TXT = SERVFAIL ede=10/12 fresh
fake.broken.nsec A = SERVFAIL ede=12/6 ! dnsmasq NXDOMAIN AD : next-name
fake.broken.nsec AAAA = SERVFAIL ede=12/6 ! dnsmasq NXDOMAIN AD : next-name
zz.broken.nsec A = SERVFAIL ede=12/6 ! dnsmasq NXDOMAIN AD : next-name
a.ent.broken.nsec A = SERVFAIL ede=12/6 ! dnsmasq NODATA AD : next-name
fake.broken3.nsec A = SERVFAIL ede=12/6
fake.broken3.nsec AAAA = SERVFAIL ede=12/6
zz.broken3.nsec A = SERVFAIL ede=12/6
a.ent.broken3.nsec A = SERVFAIL ede=12/6
nx-nowild.broken.nsec A = SERVFAIL ede=12/6 fresh ! dnsmasq NXDOMAIN AD : no-wildcard
x.y.bw.broken.nsec A = SERVFAIL ede=12/6 ! dnsmasq OK AD : next-name
x.y.bw.broken3.nsec A = SERVFAIL ede=12/6
cuthere.$B A = SERVFAIL ede=12/6
www.sub.$B A = SERVFAIL ede=12/6 ! dnsmasq NXDOMAIN AD : cut
sub.$B MX = SERVFAIL ede=12/6 ! dnsmasq NODATA AD : cut
nx-nowild3.broken3.nsec A = SERVFAIL ede=12/6 fresh ! dnsmasq NXDOMAIN AD : no-wildcard
nx-noencloser.broken3.nsec A = SERVFAIL ede=12/6 fresh ! dnsmasq NXDOMAIN AD : no-encloser
nx-nonext.broken3.nsec A = SERVFAIL ede=12/6 fresh
nx-salt.broken3.nsec A = SERVFAIL ede=12/6 fresh
nx-hash.broken3.nsec A = SERVFAIL ede=12/6 fresh
nx-flags.broken3.nsec A = SERVFAIL ede=12/6 fresh
nx-iterations.broken3.nsec A = SERVFAIL ede=12/6 fresh
nx-many.broken3.nsec A = SERVFAIL ede=27 fresh ! unbound NXDOMAIN : iterations
nx-owner.broken3.nsec A = SERVFAIL ede=12/6 fresh
nx-shorthash.broken3.nsec A = SERVFAIL ede=12/6 fresh
nx-bitmap.$B A = SERVFAIL ede=12/6 fresh ! dnsmasq NXDOMAIN AD : bitmap ! unbound NXDOMAIN AD : bitmap
nx-nonext.broken.nsec A = SERVFAIL ede=12/6/0 fresh
nx-noproof.brokeno.nsec A = SERVFAIL ede=12/6 fresh
nx.brokeno.nsec A = NXDOMAIN ! dnsmasq NXDOMAIN AD : opt-out
ok.bw.brokeno.nsec A = OK ! dnsmasq OK AD : opt-out
nosig.brokeno.nsec A = SERVFAIL ede=10
fake.brokeno.nsec A = SERVFAIL ede=12/6
noproof.bw.brokeno.nsec A = SERVFAIL ede=12/6 fresh
www.ins.brokeno.nsec A = SERVFAIL ede=12/6/10
"""

CHAIN = """
www.dsbad.nsec A = SERVFAIL ede=9/6
www.dsbad.nsec3 A = SERVFAIL ede=9/6
dsbad.nsec DNSKEY = SERVFAIL ede=9/6
dsbad.nsec DS = OK AD
nx.dsbad.nsec A = SERVFAIL ede=9/6/12
www.nokey.nsec A = SERVFAIL ede=9/10/12
www.nokey.nsec3 A = SERVFAIL ede=9/10/12
www.dk-nosig.nsec A = SERVFAIL ede=10/9/6
www.dk-badsig.nsec A = SERVFAIL ede=6/9
www.dk-expired.nsec A = SERVFAIL ede=7
www.dk-lost.nsec A = SERVFAIL ede=9
www.dk-nozone.nsec A = SERVFAIL ede=11
www.dk-revoked.nsec A = SERVFAIL ede=9/6 ! dnsmasq OK AD : revoked ! unbound OK AD : revoked
www.dk-proto.nsec A = SERVFAIL ede=9/6
www.dk-other.nsec A = SERVFAIL ede=9/6
www.dk-servfail.nsec A = SERVFAIL ede=6/9
www.ds-nosig.nsec A = SERVFAIL ede=10/12
www.ds-badsig.nsec A = SERVFAIL ede=6
www.ds-cut.nsec A = SERVFAIL ede=12/10
mail.ds-cut.nsec A = SERVFAIL ede=12/6
www.ds-childproof.nsec A = SERVFAIL ede=12/6/10
mail.ds-childproof.nsec A = SERVFAIL ede=12/6/10
www.ds-servfail.nsec A = SERVFAIL ede=6/5
www.ds-steal.nsec A = SERVFAIL ede=12/6/10
www.ds-steal.nsec3 A = SERVFAIL ede=12/6/10
www.ds-steal.optout A = SERVFAIL ede=12/6/10 ! dnsmasq OK : covers
www.ds-sibling.nsec A = SERVFAIL ede=12/6/10
www.twokeys.nsec A = OK AD
www.oddkeys.nsec A = OK AD ! dnsmasq SERVFAIL : odd-keys
www.manykeys.nsec A = OK AD once ! dnsmasq SERVFAIL : keys
www.keytrap.nsec A = SERVFAIL ede=0 once ! unbound ANY : longer
www.keytrap15.nsec A = SERVFAIL ede=0 once ! unbound ANY : longer
www.bigexp.nsec A = SERVFAIL ede=6/9/1/0 once
$DEEP.$B A = SERVFAIL ede=0/10/12 once ! unbound ANY : longer
"""

SECTIONS = {
    "good": GOOD,
    "algorithms": ALGORITHMS,
    "insecure": INSECURE,
    "depth": DEPTH,
    "types": TYPES,
    "wild": WILD,
    "alias": ALIAS,
    "positive": POSITIVE,
    "negative": NEGATIVE,
    "chain": CHAIN,
}
WORDS = {"$DEEP": ".".join(str(number) for number in range(60)), "$LONG": ".".join(char * 63 for char in "lmn")}


@dataclass(frozen=True)
class Outcome:
    """What an answer amounts to."""

    status: str
    ad: bool = False

    def __str__(self) -> str:
        return self.status + (" AD" if self.ad else "")


@dataclass(frozen=True)
class DnssecCase:
    """One row."""

    name: str
    qtype: str
    outcomes: tuple[Outcome, ...]
    ede: tuple[str, ...] = ("-",)
    counts: tuple[int, ...] = ()
    once: bool = False
    fresh: bool = False
    peers: dict[str, tuple[Outcome | None, str]] = field(default_factory=dict)
    way: str = "ad"

    def __str__(self) -> str:
        return f"{self.name[-60:]}-{self.qtype}"

    def expected(self, kind: str) -> tuple[Outcome, ...]:
        """The outcomes allowed to a program; empty when it is not asked."""
        if kind not in self.peers:
            return self.outcomes
        other = self.peers[kind][0]
        return () if other is None else (other,)


def read_outcome(text: str) -> Outcome | None:
    words = text.split()
    return None if words[0] == "ANY" else Outcome(words[0], "AD" in words[1:])


def read_case(line: str) -> DnssecCase:
    row, *differences = line.split(" ! ")
    question, _, right = row.partition(" = ")
    name, qtype, way = (question + " ad").split()[:3]
    words = dict(word.partition("=")[::2] for word in right.replace("|", " | ").split() if "=" in word)
    outcomes = [
        read_outcome(" ".join(w for w in part.split() if "=" not in w and w not in ("once", "fresh")))
        for part in right.split("|")
    ]
    peers = {}
    for text in differences:
        claim, _, reason = text.partition(" : ")
        peer, _, outcome = claim.partition(" ")
        peers[peer] = (read_outcome(outcome), REASONS[reason])
    return DnssecCase(
        name,
        qtype,
        tuple(outcome for outcome in outcomes if outcome),
        tuple(words.get("ede", "-").split("/")),
        tuple(int(number) for number in words.get("n", "").split("/") if number),
        "once" in right.split(),
        "fresh" in right.split(),
        peers,
        way,
    )


def read_cases(text: str) -> list[DnssecCase]:
    cases = []
    for line in map(str.strip, text.strip().splitlines()):
        for zone in ("broken.nsec", "broken3.nsec") if "$B" in line else ("",):
            row = line
            for word, value in {**WORDS, "$B": zone}.items():
                row = row.replace(word, value)
            cases.append(read_case(row))
    return cases


CASES = [case for text in SECTIONS.values() for case in read_cases(text)]

# Questions whose log lines are compared with those of dnsmasq, one after the other from an empty cache.  After `!`
# stands why the lines about DS and DNSKEY differ; the others must be the same even then.
LOGGED = """
www.good.nsec A
www.good.nsec A
mail.good.nsec A
nx.good.nsec A
nx.good.nsec A
www.good.nsec TXT
good.nsec MX
good.nsec DNSKEY
ins.nsec DS
www.good.nsec RRSIG
www.good.nsec3 A
ent.good.nsec3 A
www.ins.nsec A
www.ins.nsec3 A
www.ins.optout A
www.good.plain A ! signer
www.island.ins.nsec A ! signer
www.alg253.nsec A
www.digest99.nsec A
www.two-algs.nsec A
c1.alias.nsec A
to-ins.alias.nsec A
to-nx.alias.nsec A
any.w.wild.nsec A
www.d3.d2.d1.nsec A
www.a.b.c.d1.nsec A ! signer
1.1.18.198.in-addr.arpa PTR ! signer
all.types.nsec TXT
all.types.nsec SRV
expired.broken.nsec A ! expired
badsig.broken.nsec A ! expired
forged.broken.nsec A
nosig.broken.nsec A
www.dsbad.nsec A
www.dk-nosig.nsec A ! failed
www.ds-badsig.nsec A ! failed
www.ds-servfail.nsec A ! failed
""".strip().splitlines()


# -- options, and upstreams that fail ------------------------------------------------


@dataclass(frozen=True)
class Setup:
    """A configuration, what the relay does to every answer, and rows.

    In `conf` stand for lines of their own: $ROOT the anchor of the root (which is there without
    saying when `rooted`), $KEY the same as a DNSKEY, $WRONG one that fits no key, $ISLAND one for
    the signed zone below an unsigned one.  $MOCK is a server with unsigned data.
    """

    name: str
    conf: str
    rows: str
    change: Callable[[Break], MockReply | None] | None = None
    rooted: bool = True
    real: bool = True


def only(qtype: str, what: Callable[[Break], object]) -> Callable[[Break], MockReply | None]:
    """Change the answers to questions of one type."""

    def change(b: Break) -> MockReply | None:
        made = what(b) if b.question.qtype == qtype else None
        return made if isinstance(made, MockReply) else None

    return change


def no_edns(b: Break) -> MockReply | None:
    return MockReply(rcode="FORMERR", edns=False) if b.query.edns_size is not None else None


def claim_ad(b: Break) -> None:
    b.flags = "QR RA AD"


def ask_by_tcp(b: Break) -> None:
    b.truncate = True


def no_tcp(b: Break) -> MockReply | None:
    b.truncate = True
    return MockReply(drop=True) if b.tcp else None


def bare(b: Break) -> None:
    b.unsign()
    b.drop("DS", "NSEC", "NSEC3")


def garbage(b: Break) -> MockReply:
    """An answer to the question that breaks off in its first record."""
    question = b.query.raw[12 : 16 + len(dnswire.pack_name(b.question.name))]
    return MockReply(raw=b"\x81\x80\0\1\0\5\0\0\0\0" + question + b"\xc0\x0c\0\1")


EVERY = """
www.good.nsec A = SERVFAIL ede=$E
www.good.nsec3 A do = SERVFAIL ede=$E
nx.good.nsec A = SERVFAIL ede=$E
www.ins.nsec A = SERVFAIL ede=$E
"""


def every(codes: str, others: str = "") -> str:
    """Rows that all fail, or come to other outcomes that are as safe."""
    return EVERY.replace("$E", codes).replace("= ", "= " + others)


SETUPS = [
    Setup("stripped", "", every("10/12"), lambda b: b.unsign()),
    Setup("stripped bare", "", every("10/12"), bare),
    Setup("DS stripped", "", every("12/10"), only("DS", bare)),
    Setup("DS unsigned", "", every("12/10"), only("DS", lambda b: b.unsign())),
    Setup("DS SERVFAIL", "", every("5/6/9"), only("DS", lambda b: MockReply(rcode="SERVFAIL"))),
    Setup("DS REFUSED", "", every("5/6/9/0"), only("DS", lambda b: MockReply(rcode="REFUSED"))),
    Setup("DS NOTIMP", "", every("5/6/9/0"), only("DS", lambda b: MockReply(rcode="NOTIMP"))),
    Setup("DS garbage", "", every("5/6/9/0/-"), only("DS", garbage)),
    Setup("DS of another", "", every("5/6/9/10/12/0"), only("DS", lambda b: b.steal("good.nsec3", "DS"))),
    Setup("DNSKEY SERVFAIL", "", every("5/6/9"), only("DNSKEY", lambda b: MockReply(rcode="SERVFAIL"))),
    Setup("DNSKEY empty", "", every("9/6"), only("DNSKEY", lambda b: MockReply())),
    Setup("SERVFAIL", "", every("-/6"), lambda b: MockReply(rcode="SERVFAIL")),
    Setup("no EDNS", "", every("-/10/12/6", "FORMERR|"), no_edns),
    Setup("no OPT", "", every("-/10/12"), lambda b: MockReply(answer=b.message.answer[:1], edns=False)),
    Setup("garbage", "", every("0/-"), garbage),
    Setup("truncated for good", "fast-dns-retry=200,1000\n", every("-/0/5/6/9/22/23", "SILENCE|REFUSED|"), no_tcp),
    Setup(
        "truncated",
        "",
        """
        www.good.nsec A = OK AD
        www.good.nsec A tcp = OK AD
        nx.good.nsec3 A do = NXDOMAIN AD
        www.ins.nsec A = OK
        badsig.broken.nsec A = SERVFAIL ede=6
        """,
        ask_by_tcp,
    ),
    Setup(
        "keys only by TCP",
        "",
        """
        www.good.nsec A = OK AD
        nx.good.nsec3 A do = NXDOMAIN AD
        www.ins.nsec A = OK
        """,
        only("DNSKEY", ask_by_tcp),
    ),
    Setup(
        "claims AD",
        "",
        """
        www.good.nsec A plain = OK
        www.good.nsec A = OK AD
        www.good.plain A = OK
        www.good.plain A do = OK
        forged.broken.nsec A = SERVFAIL ede=6
        forged.broken.nsec A cd = OK
        www.ins.nsec A = OK
        """,
        claim_ad,
    ),
    Setup(
        "proxy without validation",
        "proxy-dnssec\n",
        "www.good.plain A plain = OK AD\nforged.broken.nsec A = OK AD\n",
        claim_ad,
        rooted=False,
    ),
    Setup("proxy and validation", "proxy-dnssec\n", "www.good.nsec A = OK AD\nforged.broken.nsec A = SERVFAIL ede=6\n"),
    Setup("neither", "", "www.good.nsec A do = OK\nforged.broken.nsec A = OK\n", claim_ad, rooted=False),
    Setup(
        "unsigned unchecked",
        "dnssec-check-unsigned=no\n",
        """
        www.good.nsec A = OK AD
        nosig.broken.nsec A = OK ! dnsmasq SERVFAIL : unchecked
        badsig.broken.nsec A = SERVFAIL ede=6
        expired.broken.nsec A = SERVFAIL ede=7
        www.dsbad.nsec A = SERVFAIL ede=9/6
        www.ins.nsec A = OK
        """,
    ),
    Setup(
        "stripped and unchecked",
        "dnssec-check-unsigned=no\n",
        """
        www.good.nsec A = OK ! dnsmasq SERVFAIL : unchecked
        nx.good.nsec A = NXDOMAIN ! dnsmasq SERVFAIL : unchecked
        www.ins.nsec A = OK ! dnsmasq SERVFAIL : unchecked
        """,
        lambda b: b.unsign(),
    ),
    Setup(
        "debug",
        "dnssec-debug\n",
        """
        www.good.nsec A = OK AD
        badsig.broken.nsec A = OK ede=6/9/-
        expired.broken.nsec A = OK ede=7
        nx-noproof.broken.nsec A = NXDOMAIN ede=12
        www.ins.nsec A = OK
        """,
    ),
    Setup(
        "negative anchors",
        "trust-anchor=dsbad.nsec\ntrust-anchor=broken.nsec\n",
        """
        www.dsbad.nsec A = OK
        badsig.broken.nsec A = OK
        nx-noproof.broken.nsec A = NXDOMAIN
        www.sub.broken.nsec MX = NODATA
        www.broken3.nsec A = OK AD
        badsig.broken3.nsec A = SERVFAIL ede=6
        www.good.nsec A = OK AD
        """,
        real=False,
    ),
    Setup(
        "key as anchor",
        "$KEY",
        "www.good.nsec A = OK AD\nwww.dsbad.nsec A = SERVFAIL ede=9/6\n",
        rooted=False,
        real=False,
    ),
    Setup("two anchors", "$ROOT$WRONG", "www.good.nsec A = OK AD\nwww.ins.nsec A = OK\n", rooted=False),
    Setup("wrong anchor", "$WRONG", every("9/6"), rooted=False),
    Setup("unknown digest too", "$ROOTtrust-anchor=.,1234,8,99,abcd\n", "www.good.nsec A = OK AD\n", rooted=False),
    Setup(
        "island",
        "$ISLAND",
        """
        www.island.ins.nsec A = OK AD
        nx.island.ins.nsec A = NXDOMAIN AD
        www.ins.nsec A = OK
        www.good.nsec A = OK AD
        """,
    ),
    Setup(
        "overlay",
        "server=/private.nsec/$MOCK\nserver=/lan/$MOCK\nserver=/10.in-addr.arpa/$MOCK\n",
        """
        www.private.nsec A = SERVFAIL ede=10 ! dnsmasq OK : overlay
        nx.private.nsec A = SERVFAIL ede=12 ! dnsmasq NXDOMAIN : overlay
        host.lan A = OK
        nx.lan A = NXDOMAIN
        1.0.0.10.in-addr.arpa PTR = OK
        alias.lan A = OK
        nosuchtld A = NXDOMAIN AD
        www.good.nsec A = OK AD
        nosig.broken.nsec A = SERVFAIL ede=10
        """,
    ),
    Setup("bogus-priv", "bogus-priv\n", "1.0.0.10.in-addr.arpa PTR = NXDOMAIN\n1.1.18.198.in-addr.arpa PTR = OK AD\n"),
    Setup(
        "bogus-priv and a server",
        "bogus-priv\nserver=/10.in-addr.arpa/$MOCK\n",
        "1.0.0.10.in-addr.arpa PTR = OK\n1.0.168.192.in-addr.arpa PTR = NXDOMAIN\n",
    ),
    Setup("little work", "dnssec-limits=20,1\n", "www.good.nsec A = SERVFAIL ede=0/6\n"),
    Setup("few questions", "dnssec-limits=20,200,1\n", "www.good.nsec A = SERVFAIL ede=0/6\n"),
    Setup("few iterations", "dnssec-limits=0,0,0,10\n", "www.n150.nsec A = OK AD\nnx.n150.nsec A = SERVFAIL ede=27\n"),
    Setup("one failure", "dnssec-limits=1\n", "www.good.nsec A = OK AD\nfew-bad.broken.nsec A = SERVFAIL ede=0/6\n"),
    Setup(
        "filters",
        "filter-A\n",
        """
        www.good.nsec A = NODATA|NODATA AD ede=17
        www.good.nsec AAAA = OK AD
        badsig.broken.nsec A = SERVFAIL ede=6
        """,
    ),
    Setup("rebind", "stop-dns-rebind\n", "rfc1918.private.nsec A = NODATA ede=15\nwww.private.nsec A = OK AD\n"),
    Setup(
        "bogus-nxdomain", "bogus-nxdomain=198.18.1.2\n", "www.good.nsec A = NXDOMAIN ede=15\nmail.good.nsec A = OK AD\n"
    ),
    Setup(
        "local names",
        "host-record=own.good.nsec,198.18.9.9\naddress=/all.dsbad.nsec/198.18.9.9\ncname=cn.good.nsec,www.good.nsec\n",
        """
        own.good.nsec A = OK
        own.good.nsec A do = OK
        all.dsbad.nsec A = OK
        www.good.nsec A = OK AD
        cn.good.nsec A = OK
        """,
    ),
]
