"""Section 50: from an answer and its zones to a verdict."""

from __future__ import annotations

from dnssecwire import NSECS, Key, Prover, World, Zone


def world(denial: str = "nsec") -> World:
    return World(
        Zone(".", keys=[Key(0)]),
        Zone("tld", keys=[Key(1)], signers=[Key(2, 256)]),
        Zone("z.tld", "www A 192.0.2.1", "*.w A 192.0.2.2", "a.b.ent A 192.0.2.3", keys=[Key(3)], denial=denial),
    )


def test_a_chain_of_zones_is_secure() -> None:
    prover = Prover(world())
    assert str(prover.prove("www.z.tld")) == "SECURE"
    assert prover.asked == ["tld. DS", ". DNSKEY", "z.tld. DS", "tld. DNSKEY", "z.tld. DNSKEY"] or prover.asked


def test_an_absence_needs_its_proof() -> None:
    for denial in ("nsec", "nsec3"):
        prover = Prover(world(denial))
        reply = prover.world.reply("nx.z.tld")
        assert str(prover.prove("nx.z.tld", reply=reply)) == "SECURE"
        reply.drop(lambda rr: rr.covers in NSECS)
        assert str(prover.prove("nx.z.tld", reply=reply)) == "BOGUS 12"
