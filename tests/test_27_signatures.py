"""Section 27: signatures, key tags, DS and NSEC3 digests, by the RFCs, by OpenSSL, by bind9, and by forgers.

tests/data/signatures.txt holds signatures that OpenSSL's command line made, with a new key on each line:
algorithm, key, number of the first message (see `message`), signatures.  It was made by
`python tests/test_27_signatures.py > tests/data/signatures.txt`.
"""

from __future__ import annotations

import base64
import calendar
import functools
import hashlib
import math
import pathlib
import random
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

import dnswire
import pydnsmasq as p
from harness import PROGRAM, TESTS, need_tool

verify = p.signature_verify
DATA = TESTS / "data" / "signatures.txt"
ALGORITHMS = (5, 7, 8, 10, 13, 14, 15, 16)
CURVES = ALGORITHMS[4:]


def message(number: int) -> bytes:
    """What the stored signature of this number is over."""
    return hashlib.shake_128(b"%d" % number).digest(1 + number % 200)


def readable(algorithm: int, field: bytes) -> bool:
    """Whether a key is taken at all."""
    try:
        p.SIGNATURE_ALGORITHMS[algorithm].read_key(field)
    except p.WireError:
        assert not verify(algorithm, field, b"", b"")
        return False
    return True


# -- the examples of the RFCs ------------------------------------------------------------

KEY_8 = "AwEAAcFcGsaxxdgiuuGmCkVImy4h99CqT7jwY3pexPGcnUFtR2Fh36BponcwtkZ4cAgtvd4Qs8PkxUdp6p/DlUmObdk="
KEY_10 = (
    "AwEAAdHoNTOW+et86KuJOWRDp1pndvwb6Y83nSVXXyLA3DLroROUkN6X0O6pnWnjJQujX/AyhqFDxj13tOnD9u/1kTg7cV6rklMrZDtJCQ5PCl/D"
    "7QNPsgVsMu1J2Q8gpMpztNFLpPBz1bWXjDtaR7ZQBlZ3PFY12ZTSncorffcGmhOL"
)
KEY_13 = "GojIhhXUN/u4v54ZQqGSnyhWJwaubCvTmeexv7bR6edbkrSqQpF64cYbcB7wNcP+e+MAnLr+Wi9xMWyQLc8NAA=="
KEY_14 = (
    "xKYaNhWdGOfJ+nPrL8/arkwf2EY3MDJ+SErKivBVSum1w/egsXvSADtNJhyem5RCOpgQ6K8X1DRSEkrbYQ+OB+v8/uX45NBwY8rp65F6Glur8I/m"
    "lVNgF6W/qTI37m40"
)
KEYS_15 = "l02Woi0iS8Aa25FQkUd9RMzZHJpBoRQwAQEX1SxZJA4=", "zPnZ/QwEe7S8C5SPz2OfS5RR40ATk2/rYnE9xHIEijs="
KEYS_16 = (
    "3kgROaDjrh0H2iuixWBrc8g2EpBBLCdGzHmn+G2MpTPhpj/OiBVHHSfPodx1FYYUcJKm1MDpJtIA",
    "kkreGWoccSDmUBGAe7+zsbG6ZAFQp+syPmYUurBRQc3tDjeMCJcVMRDmgcNLp5HlHAMy12VoISsA",
)
KEY_20326 = (
    "AwEAAaz/tAm8yTn4Mfeh5eyI96WSVexTBAvkMgJzkKTOiW1vkIbzxeF3+/4RgWOq7HrxRixHlFlExOLAJr5emLvN7SWXgnLh4+B5xQlNVz8Og8kv"
    "ArMtNROxVQuCaSnIDdD5LKyWbRd2n9WGe2R8PzgCmr3EgVLrjyBxWezF0jLHwVN8efS3rCj/EWgvIWgb9tarpVUDK/b58Da+sqqls3eNbuv7pr+e"
    "oZG+SrDK6nWeL3c6H5Apxz7LjVc1uTIdsIXxuOLYA4/ilBmSVIzuDWfdRUfhHdY6+cn8HFRm+2hM8AnXGXws9555KrUB5qihylGa8subX2Nn6UwN"
    "R1AkUTV74bU="
)
KEY_38696 = (
    "AwEAAa96jeuknZlaeSrvyAJj6ZHv28hhOKkx3rLGXVaC6rXTsDc449/cidltpkyGwCJNnOAlFNKF2jBosZBU5eeHspaQWOmOElZsjICMQMC3aeHb"
    "GiShvZsx4wMYSjH8e7Vrhbu6irwCzVBApESjbUdpWWmEnhathWu1jo+siFUiRAAxm9qyJNg/wOZqqzL/dL/q8PkcRU5oUKEpUge71M3ej2/7CPqp"
    "dVwuMoTvoB+ZOT4YeGyxMvHmbrxlFzGOHOijtzN+u1TQNatX2XBuzZNQ1K+s2CXkPIZo7s6JgZyvaBevYtxPvYLw4z9mR7K2vaF18UYH9Z9GNUUe"
    "ayffKC73PYc="
)

# Key, record, RRSIG: RFC 5702 s.6, RFC 6605 s.6, RFC 8080 s.6 (with erratum 4935).
EXAMPLES = [
    (KEY_8, "www.example.net 3600 A 192.0.2.91", "8 3 3600 20300101000000 20000101000000 9033 example.net",
     "kRCOH6u7l0QGy9qpC9l1sLncJcOKFLJ7GhiUOibu4teYp5VE9RncriShZNz85mwlMgNEacFYK/lPtPiVYP4bwg=="),
    (KEY_10, "www.example.net 3600 A 192.0.2.91", "10 3 3600 20300101000000 20000101000000 3740 example.net",
     ("tsb4wnjRUDnB1BUi+t6TMTXThjVnG+eCkWqjvvjhzQL1d0YRoOe0CbxrVDYd0xDtsuJRaeUw1ep94PzEWzr0iGYgZBWm/zpq+9fOuagYJRfDqfRe"
     "KBzMweOLDiNa8iP5g9vMhpuv6OPlvpXwm9Sa9ZXIbNl1MBGk0fthPgxdDLw=")),
    (KEY_13, "www.example.net 3600 A 192.0.2.1", "13 3 3600 20100909100439 20100812100439 55648 example.net",
     "qx6wLYqmh+l9oCKTN6qIc+bw6ya+KJ8oMz0YP107epXAyGmt+3SNruPFKG7tZoLBLlUzGGus7ZwmwWep666VCw=="),
    (KEY_14, "www.example.net 3600 A 192.0.2.1", "14 3 3600 20100909102025 20100812102025 10771 example.net",
     ("/L5hDKIvGDyI1fcARX3z65qrmPsVz73QD1Mr5CEqOiLP95hxQouuroGCeZOvzFaxsT8Glr74hbavRKayJNuydCuzWTSSPdz7wnqXL5bdcJzusdnI"
     "0RSMROxxwGipWcJm")),
    (KEYS_15[0], "example.com 3600 MX 10 mail.example.com", "15 2 3600 1440021600 1438207200 3613 example.com",
     "oL9krJun7xfBOIWcGHi7mag5/hdZrKWw15jPGrHpjQeRAvTdszaPD+QLs3fx8A4M3e23mRZ9VrbpMngwcrqNAg=="),
    (KEYS_15[1], "example.com 3600 MX 10 mail.example.com", "15 2 3600 1440021600 1438207200 35217 example.com",
     "zXQ0bkYgQTEFyfLyi9QoiY6D8ZdYo4wyUhVioYZXFdT410QPRITQSqJSnzQoSm5poJ7gD7AQR0O7KuI5k2pcBg=="),
    (KEYS_16[0], "example.com 3600 MX 10 mail.example.com", "16 2 3600 1440021600 1438207200 9713 example.com",
     ("3cPAHkmlnxcDHMyg7vFC34l0blBhuG1qpwLmjInI8w1CMB29FkEAIJUA0amxWndkmnBZ6SKiwZSAxGILn/NBtOXft0+Gj7FSvOKxE/07+4RQvE58"
     "1N3Aj/JtIyaiYVdnYtyMWbSNyGEY2213WKsJlwEA")),
    (KEYS_16[1], "example.com 3600 MX 10 mail.example.com", "16 2 3600 1440021600 1438207200 38353 example.com",
     ("E1/oLjSGIbmLny/4fcgM1z4oL6aqo+izT3urCyHyvEp4Sp8Syg1eI+lJ57CSnZqjJP41O/9l4m0AsQ4f7qI1gVnML8vWWiyW2KXhT9kuAICUSxv5"
     "OWbf81Rq7Yu60npabODB0QFPb/rkW3kUZmQ0YQUA")),
]  # fmt: skip


def seconds(text: str) -> int:
    return calendar.timegm(time.strptime(text, "%Y%m%d%H%M%S")) if len(text) == 14 else int(text)


def example(number: int) -> tuple[int, bytes, bytes, bytes]:
    """Algorithm, key, signed octets and signature of an example."""
    key, record, fields, signature = EXAMPLES[number]
    owner, ttl, kind, rdata = record.split(" ", 3)
    algorithm, labels, original, expires, begins, tag, signer = fields.split()
    head = struct.pack(
        "!HBBIIIH", dnswire.type_code(kind), int(algorithm), int(labels), int(original), seconds(expires),
        seconds(begins), int(tag),
    )  # fmt: skip
    octets = dnswire.pack_rdata(kind, rdata)
    entry = dnswire.pack_name(owner) + struct.pack("!HHIH", dnswire.type_code(kind), 1, int(ttl), len(octets)) + octets
    data = head + dnswire.pack_name(signer) + entry
    return int(algorithm), base64.b64decode(key), data, base64.b64decode(signature)


@pytest.mark.parametrize("number", range(len(EXAMPLES)))
def test_examples(number: int) -> None:
    """The RFCs' own signatures hold, for their key, data and algorithm only."""
    algorithm, key, data, signature = example(number)
    assert verify(algorithm, key, data, signature)
    assert not verify(algorithm, key, data + b"\0", signature)
    assert not verify(algorithm, key, data[:-1], signature)
    assert [other for other in range(256) if verify(other, key, data, signature)] == [algorithm]
    others = [example(other)[1] for other in range(len(EXAMPLES)) if other != number]
    assert not any(verify(algorithm, other, data, signature) for other in others)


def test_table() -> None:
    """The algorithms and digests that there are, by number."""
    assert {number: row.name for number, row in p.SIGNATURE_ALGORITHMS.items()} == {
        5: "RSASHA1", 7: "RSASHA1-NSEC3-SHA1", 8: "RSASHA256", 10: "RSASHA512", 13: "ECDSAP256SHA256",
        14: "ECDSAP384SHA384", 15: "ED25519", 16: "ED448",
    }  # fmt: skip
    assert sorted(p.DS_DIGESTS) == [1, 2, 4]
    digests = {kind: p.ds_digest(b"", b"", kind) for kind in p.DS_DIGESTS}
    assert {kind: len(digest or b"") for kind, digest in digests.items()} == p.DS_DIGEST_OCTETS


# Flags, algorithm, key, tag, and a DS: owner, digest type, digest.
RFC4034_KEY = (
    "AQOeiiR0GOMYkDshWoSKz9XzfwJr1AYtsmx3TGkJaNXVbfi/2pHm822aJ5iI9BMzNXxeYCmZDRD99WYwYqUSdjMmmAphXdvxegXd/M5+X7OrzKBa"
    "MbCVdFLUUh6DhweJBjEVv5f2wwjM9XzcnOf+EPbtG9DMBmADjFDc2w/rljwvFw=="
)
DIGESTS = [
    (256, 5, RFC4034_KEY, 60485, "dskey.example.com", 1, "2bb183af5f22588179a53b0a98631fad1a292118"),
    (256, 5, RFC4034_KEY, 60485, "dskey.example.com", 2,
     "d4b7d520e7bb5f0f67674a0cceb1e3e0614b93c4f9e99b8383f6a1e4469da50a"),
    (257, 8, KEY_20326, 20326, ".", 2, "e06d44b80b8f1d39a95c0b0d7c65d08458e880409bbc683457104237c7f8ec8d"),
    (257, 8, KEY_38696, 38696, ".", 2, "683d2d0acb8c9b712a1948b27f741219298d0a450d612c483af444a4c0fb2b16"),
    (257, 13, KEY_13, 55648, "example.net", 2, "b4c8c1fe2e7477127b27115656ad6256f424625bf5c1e2770ce6d6e37df61d17"),
    (257, 14, KEY_14, 10771, "example.net", 4,
     "72d7b62976ce06438e9c0bf319013cf801f09ecc84b8d7e9495f27e305c6a9b0563a9b5f4d288405c3008a946df983d6"),
    (257, 15, KEYS_15[0], 3613, "example.com", 2, "3aa5ab37efce57f737fc1627013fee07bdf241bd10f3b1964ab55c78e79a304b"),
    (257, 15, KEYS_15[1], 35217, "example.com", 2, "401781b934e392de492ec77ae2e15d70f6575a1c0bc59c5275c04ebe80c6614c"),
    (257, 16, KEYS_16[0], 9713, "example.com", 2, "6ccf18d5bc5d7fc2fceb1d59d17321402f2aa8d368048db93dd811f5cb2b19c7"),
    (257, 16, KEYS_16[1], 38353, "example.com", 2, "645ff078b3568f5852b70cb60e8e696cc77b75bfaaffc118cf79cbda1ba28af4"),
]  # fmt: skip


@pytest.mark.parametrize(("flags", "algorithm", "key", "tag", "owner", "kind", "digest"), DIGESTS)
def test_key_tags_and_ds(flags: int, algorithm: int, key: str, tag: int, owner: str, kind: int, digest: str) -> None:
    """Tags and digests of keys in the RFCs, and of the root's."""
    rdata = struct.pack("!HBB", flags, 3, algorithm) + base64.b64decode(key)
    assert p.dnskey_tag(rdata) == tag
    found = p.ds_digest(dnswire.pack_name(owner), rdata, kind)
    assert found is not None and found.hex() == digest
    assert [p.ds_digest(b"\0", rdata, other) for other in (0, 3, 5, 6, 255, 65535)] == [None] * 6


def slow_tag(rdata: bytes) -> int:
    """The key tag as RFC 4034 appendix B writes it."""
    total = 0
    for at, octet in enumerate(rdata):
        total += octet if at & 1 else octet << 8
    total += total >> 16 & 0xFFFF
    return total & 0xFFFF


def test_key_tags_of_any_octets() -> None:
    """Odd and even lengths, all lengths to nothing, sums that carry, and algorithm 1's own rule."""
    dice = random.Random(27)
    every = [b"", b"\xff" * 65531, b"\xff" * 65532, bytes(9), b"\1", b"\1\2\3"]
    every += [dice.randbytes(dice.randrange(600)) for _ in range(300)]
    for rdata in every:
        expected = slow_tag(rdata) if rdata[3:4] != b"\1" else int.from_bytes(rdata[-3:-1], "big")
        assert p.dnskey_tag(rdata) == expected
    assert p.dnskey_tag(bytes.fromhex("01000301 0301000 1 abcdef12".replace(" ", ""))) == 0xCDEF


# RFC 5155 appendix A: salt aabbccdd, 12 more iterations.
NSEC3 = """
example              0p9mhaveqvm6t7vbl5lop2u3t2rp3tom
a.example            35mthgpgcu1qg68fab165klnsnk3dpvl
ai.example           gjeqe526plbf1g8mklp59enfd789njgi
ns1.example          2t7b4g4vsa5smi47k61mv5bv1a22bojr
ns2.example          q04jkcevqvmu85r014c7dkba38o0ji5r
w.example            k8udemvp1j2f7eg6jebps17vp3n8i58h
*.w.example          r53bq7cc2uvmubfu5ocmm6pers9tk9en
x.w.example          b4um86eghhds6nea196smvmlo4ors995
y.w.example          ji6neoaepv8b5o6k4ev33abha8ht9fgc
x.y.w.example        2vptu5timamqttgl4luu9kg21e0aor3s
xx.example           t644ebqk9bibcna874givr6joj62mlhv
"""
BASE32HEX = str.maketrans("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", "0123456789abcdefghijklmnopqrstuv")


def base32hex(octets: bytes) -> str:
    return base64.b32encode(octets).decode().translate(BASE32HEX)


def test_nsec3_hashes() -> None:
    for line in NSEC3.split("\n")[1:-1]:
        name, expected = line.split()
        assert base32hex(p.nsec3_hash(dnswire.pack_name(name), bytes.fromhex("aabbccdd"), 12)) == expected
    assert p.nsec3_hash(b"\0", b"", 0) == hashlib.sha1(b"\0").digest()
    assert p.nsec3_hash(b"\0", b"ab", 1) == hashlib.sha1(hashlib.sha1(b"\0ab").digest() + b"ab").digest()


def test_digests_of_anything() -> None:
    for octets in (b"", b"a", bytes(70_000)):
        assert p.octets_digest(octets) == hashlib.sha256(octets).digest()


# -- OpenSSL's signatures ------------------------------------------------------------------


def stored(algorithm: int) -> Iterator[tuple[bytes, int, list[bytes]]]:
    """The file's lines for an algorithm: key, first number, signatures."""
    for line in DATA.read_text().splitlines():
        fields = line.split()
        if int(fields[0]) == algorithm:
            yield base64.b64decode(fields[1]), int(fields[2]), [base64.b64decode(field) for field in fields[3:]]


def flipped(octets: bytes, bit: int) -> bytes:
    at = bit % (8 * len(octets))
    return (int.from_bytes(octets, "big") ^ 1 << at).to_bytes(len(octets), "big")


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_signatures_of_openssl(algorithm: int) -> None:
    """Each holds; with one wrong bit, or for another message or a damaged key, none does."""
    dice = random.Random(algorithm)
    count = 0
    for key, first, signatures in stored(algorithm):
        for number, signature in enumerate(signatures, first):
            data = message(number)
            assert verify(algorithm, key, data, signature), number
            assert not verify(algorithm, key, data, flipped(signature, dice.getrandbits(20))), number
            count += 1
        assert not verify(algorithm, key, message(first + 1), signatures[0])
        assert not verify(algorithm, key, flipped(message(first + 1), dice.getrandbits(20)), signatures[1])
        assert not verify(algorithm, flipped(key, dice.getrandbits(20)), message(first), signatures[0])
    assert count >= (40 if algorithm < 13 else 240)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_every_bit_of_a_signature_counts(algorithm: int) -> None:
    key, first, signatures = next(stored(algorithm))
    step = 1 if algorithm < 13 else 5
    for bit in range(0, 8 * len(signatures[0]), step):
        assert not verify(algorithm, key, message(first), flipped(signatures[0], bit)), bit


# This and what follows made the data file.
def openssl(*arguments: str | pathlib.Path) -> bytes:
    return subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True).stdout


def rsa_field(modulus: int, exponent: int) -> bytes:
    """A key as RFC 3110 has it."""
    octets = exponent.to_bytes((exponent.bit_length() + 7) // 8, "big")
    return bytes((len(octets),)) + octets + modulus.to_bytes((modulus.bit_length() + 7) // 8, "big")


OPENSSL_DIGESTS = {5: "-sha1", 7: "-sha1", 8: "-sha256", 10: "-sha512", 13: "-sha256", 14: "-sha384"}
OPENSSL_KINDS = {
    13: ("EC", "ec_paramgen_curve:P-256"), 14: ("EC", "ec_paramgen_curve:P-384"), 15: ("ED25519",), 16: ("ED448",),
}  # fmt: skip
KEY_SIZES = {13: 64, 14: 96, 15: 32, 16: 57}
RSA_KINDS = [
    (512, 65537), (768, 3), (1024, 65537), (1025, 2**32 + 1), (1031, 17), (1280, 65537), (2048, 65537), (2048, 3),
    (2049, 65537), (3072, 65537), (4096, 65537), (4096, 2**63 + 29),
]  # fmt: skip


def openssl_key(algorithm: int, path: pathlib.Path, bits: int = 0, exponent: int = 0) -> bytes:
    """Make a private key at `path`; give the field of the DNSKEY."""
    kind = OPENSSL_KINDS.get(algorithm) or ("RSA", f"rsa_keygen_bits:{bits}", f"rsa_keygen_pubexp:{exponent}")
    options = [word for option in kind[1:] for word in ("-pkeyopt", option)]
    openssl("genpkey", "-algorithm", kind[0], *options, "-out", path)
    if algorithm in KEY_SIZES:
        return openssl("pkey", "-in", path, "-pubout", "-outform", "DER")[-KEY_SIZES[algorithm] :]
    modulus = openssl("rsa", "-in", path, "-noout", "-modulus").split(b"=")[1]
    return rsa_field(int(modulus, 16), exponent)


def openssl_sign(algorithm: int, path: pathlib.Path, data: bytes) -> bytes:
    """Sign, and give the signature in the form of an RRSIG."""
    source = path.with_suffix(".data")
    source.write_bytes(data)
    if algorithm in (15, 16):
        return openssl("pkeyutl", "-sign", "-rawin", "-inkey", path, "-in", source)
    signature = openssl("dgst", OPENSSL_DIGESTS[algorithm], "-sign", path, source)
    if algorithm < 13:
        return signature
    size = KEY_SIZES[algorithm] // 2
    middle = 4 + signature[3]  # 30 LENGTH 02 LENGTH r 02 LENGTH s
    numbers = signature[4:middle], signature[middle + 2 :]
    return b"".join(number.lstrip(b"\0").rjust(size, b"\0") for number in numbers)


def make_rows(directory: pathlib.Path, keys: int, each: int) -> Iterator[str]:
    """The lines of the data file."""
    number = 0
    for algorithm in ALGORITHMS:
        kinds = [kind for kind in RSA_KINDS if algorithm != 10 or kind[0] >= 1024]
        if algorithm >= 13:
            kinds = [(0, 0)] * keys
        for bits, exponent in kinds:
            path = directory / "key"
            key = openssl_key(algorithm, path, bits, exponent)
            signatures = [openssl_sign(algorithm, path, message(number + more)) for more in range(each)]
            fields = [base64.b64encode(field).decode() for field in (key, *signatures)]
            yield " ".join((str(algorithm), fields[0], str(number), *fields[1:]))
            number += each


# -- bind9's zones ---------------------------------------------------------------------------

ZONE = "\n".join(
    ["$TTL 300", "@ SOA ns a 1 2 3 4 5", "@ NS ns", "ns A 192.0.2.1", "ns A 192.0.2.2", "ns AAAA 2001:db8::1"]
    + ["* TXT one two", "mx.deep MX 10 ns", "sub NS ns.sub", "ns.sub A 192.0.2.9", ""]
)


def raw_zone(octets: bytes) -> Iterator[tuple[bytes, int, int, list[bytes]]]:
    """The record sets of a zone in bind9's raw format: owner, type, TTL, data."""
    pos = 24
    while pos < len(octets):
        length, _, kind, _, ttl, count, size = struct.unpack_from("!IHHHIIH", octets, pos)
        end, pos = pos + length, pos + 20
        owner, pos = octets[pos : pos + size], pos + size
        rows = []
        for _ in range(count):
            size = int.from_bytes(octets[pos : pos + 2], "big")
            rows.append(octets[pos + 2 : pos + 2 + size])
            pos += 2 + size
        assert pos == end
        yield owner, kind, ttl, rows


@pytest.mark.parametrize(("algorithms", "denial"), [
    (ALGORITHMS, ""), ((7, 8, 13), "-3 c0ffee -H 7"), ((15,), "-3 - -H 0"),
])  # fmt: skip
def test_zones_of_bind(tmp_path: pathlib.Path, algorithms: tuple[int, ...], denial: str) -> None:
    """A zone signed with a new key of each algorithm: all its signatures, tags, DS digests and NSEC3 names."""
    need_tool("dnssec-keygen", "dnssec-signzone", "dnssec-dsfromkey")

    def run(*arguments: str) -> str:
        return subprocess.run(arguments, cwd=tmp_path, check=True, capture_output=True, text=True).stdout

    apex = dnswire.pack_name("example.test")
    tags = {}
    for algorithm in algorithms:
        bits = ("-b", "1024") if algorithm < 13 else ()
        key = run("dnssec-keygen", "-q", "-a", str(algorithm), *bits, "example.test").strip()
        tags[algorithm] = int(key.rpartition("+")[2])
        number, *fields = (tmp_path / f"{key}.key").read_text().partition(" DNSKEY ")[2].split()
        rdata = struct.pack("!HBB", int(number), 3, algorithm) + base64.b64decode("".join(fields[2:]))
        ds = run("dnssec-dsfromkey", "-a", "SHA-1", "-a", "SHA-256", "-a", "SHA-384", key)
        for line in ds.splitlines():
            tag, _, kind, *digest = line.partition(" DS ")[2].split()
            assert p.dnskey_tag(rdata) == int(tag)
            found = p.ds_digest(apex, rdata, int(kind))
            assert found is not None and found.hex().upper() == "".join(digest)
    (tmp_path / "zone").write_text(ZONE)
    run("dnssec-signzone", "-q", "-P", "-S", *denial.split(), "-O", "raw", "-o", "example.test", "zone")
    sets = list(raw_zone((tmp_path / "zone.signed").read_bytes()))
    known = {(owner, kind): rows for owner, kind, _, rows in sets if kind != 46}
    keys = {rdata[3]: rdata[4:] for rdata in known[apex, 48]}
    assert sorted(keys) == list(algorithms)
    held = dict.fromkeys(algorithms, 0)
    for owner, _, _, signatures in (row for row in sets if row[1] == 46):
        for rdata in signatures:
            kind, algorithm, _, ttl = struct.unpack_from("!HBBI", rdata)
            head = owner.lower() + struct.pack("!HHI", kind, 1, ttl)
            data = b"".join(head + len(row).to_bytes(2, "big") + row for row in sorted(known[owner, kind]))
            end = 18 + len(apex)
            assert int.from_bytes(rdata[16:18], "big") == tags[algorithm]
            assert verify(algorithm, keys[algorithm], rdata[:end] + data, rdata[end:])
            assert not verify(algorithm, keys[algorithm], rdata[:end] + data + b"\0", rdata[end:])
            held[algorithm] += 1
    assert min(held.values()) > 10
    if not denial:
        return
    names = {owner for owner, kind in known if kind != 50} | {dnswire.pack_name("deep.example.test")}
    names -= {dnswire.pack_name("ns.sub.example.test")}  # below a delegation, not signed
    hashes = {owner[1:33].decode().lower() for owner, kind in known if kind == 50}
    salt, count = bytes.fromhex(denial.split()[1].strip("-")), int(denial.split()[3])
    assert hashes == {base32hex(p.nsec3_hash(name, salt, count)) for name in names}


# -- the same arithmetic, as in textbooks ------------------------------------------------------


class Weierstrass:
    """Affine points of y**2 = x**3 - 3*x + b, None for infinity; and the signer."""

    def __init__(self, size: int, prime: int, order: int, b: str, x: str, y: str, hash_name: str) -> None:
        self.size, self.p, self.n, self.b, self.hash = size, prime, order, int(b, 16), hash_name
        self.g = int(x, 16), int(y, 16)

    def add(self, one: tuple[int, int] | None, two: tuple[int, int] | None) -> tuple[int, int] | None:
        if one is None or two is None:
            return one or two
        if one == two:
            slope = (3 * one[0] ** 2 - 3) * pow(2 * one[1], -1, self.p)
        elif one[0] == two[0]:
            return None
        else:
            slope = (two[1] - one[1]) * pow(two[0] - one[0], -1, self.p)
        x = (slope**2 - one[0] - two[0]) % self.p
        return x, (slope * (one[0] - x) - one[1]) % self.p

    def times(self, scalar: int, point: tuple[int, int] | None) -> tuple[int, int] | None:
        total = None
        for bit in bin(scalar % self.n)[2:]:
            total = self.add(total, total)
            if bit == "1":
                total = self.add(total, point)
        return total

    def lift(self, x: int) -> tuple[int, int] | None:
        """A point with this x, where there is one."""
        yy = (x**3 - 3 * x + self.b) % self.p
        y = pow(yy, (self.p + 1) // 4, self.p)
        return (x, y) if y * y % self.p == yy else None

    def digest(self, data: bytes) -> int:
        return int.from_bytes(hashlib.new(self.hash, data).digest(), "big")

    def pack(self, *numbers: int) -> bytes:
        return b"".join(number.to_bytes(self.size, "big") for number in numbers)

    def field(self, point: tuple[int, int] | None) -> bytes:
        assert point is not None
        return self.pack(*point)

    def key_for(self, data: bytes, r: int, s: int, point: tuple[int, int] | None) -> bytes:
        """The key with which (r, s) over `data` leads to `point`: (s*R - e*G) / r."""
        base = self.times(-self.digest(data), self.g)
        return self.field(self.times(pow(r, -1, self.n), self.add(self.times(s, point), base)))


P256 = Weierstrass(
    32, 2**256 - 2**224 + 2**192 + 2**96 - 1, 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551,
    "5ac635d8aa3a93e7b3ebbd55769886bc651d06b0cc53b0f63bce3c3e27d2604b",
    "6b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296",
    "4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5", "sha256",
)  # fmt: skip
P384 = Weierstrass(
    48, 2**384 - 2**128 - 2**96 + 2**32 - 1,
    0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFC7634D81F4372DDF581A0DB248B0A77AECEC196ACCC52973,
    "b3312fa7e23ee7e4988e056be3f82d19181d9c6efe8141120314088f5013875ac656398d8a2ed19d2a85c8edd3ec2aef",
    "aa87ca22be8b05378eb1c71ef320ad746e1d3b628ba79b9859f741e082542a385502f25dbf55296c3a545e3872760ab7",
    "3617de4a96262c6f5d9e98bf9292dc29f8f41dbd289a147ce9da3113b5f0b8c00a60b1ce1d7e819d7a431d7c90ea0e5f", "sha384",
)  # fmt: skip


class Edwards:
    """Affine points of a*x**2 + y**2 = 1 + d*x**2*y**2; and the signer."""

    def __init__(self, size: int, prime: int, order: int, a: int, d: int, y: int, challenge: str) -> None:
        self.size, self.p, self.n, self.a, self.d, self.challenge = size, prime, order, a, d, challenge
        base = self.lift(y)
        assert base is not None
        self.g = base

    def add(self, one: tuple[int, int], two: tuple[int, int]) -> tuple[int, int]:
        (x1, y1), (x2, y2), p = one, two, self.p
        both = self.d * x1 * x2 * y1 * y2 % p
        inverse = pow(1 - both * both, -1, p)  # of both divisors, 1 + both and 1 - both
        x = (x1 * y2 + x2 * y1) * (1 - both) * inverse % p
        return x, (y1 * y2 - self.a * x1 * x2) * (1 + both) * inverse % p

    def times(self, scalar: int, point: tuple[int, int]) -> tuple[int, int]:
        total = 0, 1
        for bit in bin(scalar)[2:]:
            total = self.add(total, total)
            if bit == "1":
                total = self.add(total, point)
        return total

    def lift(self, y: int) -> tuple[int, int] | None:
        """The point with this y and an even x, where there is one."""
        p = self.p
        xx = (y * y - 1) * pow(self.d * y * y - self.a, -1, p) % p
        x = pow(xx, (p + 3) // 8 if p % 8 == 5 else (p + 1) // 4, p)
        if p % 8 == 5 and x * x % p != xx:
            x = x * pow(2, (p - 1) // 4, p) % p
        if x * x % p != xx:
            return None
        return (p - x if x & 1 else x), y

    def field(self, point: tuple[int, int]) -> bytes:
        x, y = point
        return (y | (x & 1) << 8 * self.size - 1).to_bytes(self.size, "little")

    def hashed(self, r: bytes, key: bytes, data: bytes) -> int:
        if self.challenge == "sha512":
            digest = hashlib.sha512(r + key + data).digest()
        else:
            digest = hashlib.shake_256(b"SigEd448\0\0" + r + key + data).digest(114)
        return int.from_bytes(digest, "little") % self.n

    def sign(self, secret: int, nonce: int, key: bytes, data: bytes, r: bytes = b"") -> bytes:
        """Sign as the key `key`, with R in the form of `r` where one is given."""
        r = r or self.field(self.times(nonce, self.g))
        return r + ((nonce + self.hashed(r, key, data) * secret) % self.n).to_bytes(self.size, "little")

    def torsion(self) -> list[tuple[int, int]]:
        """The points of a small order: the multiples of one whose order is the cofactor."""
        order = 8 if self.a == -1 else 4
        for y in range(2, 100):
            point = self.lift(y)
            small = self.times(self.n, point) if point else (0, 1)
            if self.times(order // 2, small) != (0, 1):
                return [self.times(number, small) for number in range(order)]
        raise AssertionError("no point of a small order")


ED25519 = Edwards(
    32, 2**255 - 19, 2**252 + 27742317777372353535851937790883648493, -1,
    -121665 * pow(121666, -1, 2**255 - 19), 4 * pow(5, -1, 2**255 - 19) % (2**255 - 19), "sha512",
)  # fmt: skip
ED448 = Edwards(
    57, 2**448 - 2**224 - 1, 2**446 - 13818066809895115352007386748515426880336692474882178609894547503885, 1, -39081,
    int("2988192100784814926760179304439306734375440401540802420959282413723315061898358760035368786554187847339823032335"
        "03462500531545062832660"), "shake256",
)  # fmt: skip
SHORT: dict[int, Weierstrass] = {13: P256, 14: P384}
TWISTED: dict[int, Edwards] = {15: ED25519, 16: ED448}


@pytest.mark.parametrize("algorithm", CURVES)
def test_sums(algorithm: int) -> None:
    """u*G + v*Q for multiples Q of G: points that meet within the sums, and any scalars."""
    row: Any = p.SIGNATURE_ALGORITHMS[algorithm]
    curve: Any = SHORT.get(algorithm) or TWISTED[algorithm]
    n, prime, dice = curve.n, curve.p, random.Random(algorithm)

    def times(scalar: int) -> tuple[int, int] | None:
        """A multiple of G, in few steps near 0 and near n."""
        scalar = (scalar + n // 2) % n - n // 2
        point = curve.times(abs(scalar), curve.g)
        if scalar < 0:
            return (point[0], prime - point[1]) if algorithm in SHORT else (prime - point[0], point[1])
        return point  # type: ignore[no-any-return]

    tooth = 2 ** -(-n.bit_length() // 5)
    for secret in (1, 2, n - 1, tooth, dice.randrange(n)):
        field = curve.field(times(secret))
        comb = row.read_key(field) if algorithm in SHORT else row.read_key(field)[1]
        sign = 1 if algorithm in SHORT else -1  # EdDSA needs the opposite point
        pairs = [(u, v) for u in (0, 1, 2, 5) for v in (0, 1, 2, 5, n - 1)] if secret in (1, 2, n - 1) else []
        for u, v in [*pairs, (secret, 1), (secret, n - 1), (tooth, 1), (n - 1, n - 1), (dice.randrange(n), 3)]:
            x, y, z = row._sum(u, comb, v)[:3]
            powers = (-2, -3) if algorithm in SHORT else (-1, -1)
            found = (x * pow(z, powers[0], prime) % prime, y * pow(z, powers[1], prime) % prime) if z else None
            assert found == times(u + sign * v * secret), (secret, u, v)


# -- ECDSA -------------------------------------------------------------------------------------


@pytest.mark.parametrize("algorithm", SHORT)
def test_odd_keys_and_nonces(algorithm: int) -> None:
    """Keys and nonces next to 0, to the order and to powers of two bring the sums to their exceptions."""
    curve = SHORT[algorithm]
    n, columns = curve.n, -(-curve.n.bit_length() // 5)
    odd = [1, 2, n - 1, n - 2, (n + 1) // 2, 2**columns, 2 ** (2 * columns) + 1, n - 2**columns, 2**32]
    points = {scalar: curve.times(scalar, curve.g) for scalar in odd}
    dice = random.Random(1)
    for secret in odd:
        key = curve.field(points[secret])
        for nonce in odd:
            data = dice.randbytes(20)
            point = points[nonce]
            assert point
            r = point[0] % n
            s = (curve.digest(data) + r * secret) * pow(nonce, -1, n) % n
            assert verify(algorithm, key, data, curve.pack(r, s))
            assert verify(algorithm, key, data, curve.pack(r, n - s))  # the same by the formulas
            assert not verify(algorithm, key, data, curve.pack(r, s ^ 1))
            assert not verify(algorithm, key, data + b"\0", curve.pack(r, s))


@pytest.mark.parametrize("algorithm", SHORT)
def test_sums_that_meet(algorithm: int) -> None:
    """The two halves of the sum are the same point, or opposite ones: infinity is no signature."""
    curve = SHORT[algorithm]
    n, dice = curve.n, random.Random(2)
    for nonce in (2, 3, dice.randrange(n), n - 1):
        data = dice.randbytes(20)
        e, point = curve.digest(data), curve.times(nonce, curve.g)
        assert point
        r = point[0] % n
        secret = e * pow(r, -1, n) % n  # so that e*G = r*Q
        signature = curve.pack(r, 2 * e * pow(nonce, -1, n) % n)
        assert verify(algorithm, curve.field(curve.times(secret, curve.g)), data, signature)
        opposite = curve.field(curve.times(-secret, curve.g))
        for s in (1, r, n - 1, dice.randrange(n)):
            assert not verify(algorithm, opposite, data, curve.pack(r, s))


@pytest.mark.parametrize("algorithm", SHORT)
def test_r_is_x_modulo_the_order(algorithm: int) -> None:
    """x may be r or r + n, where that is below p; r itself is below n."""
    curve = SHORT[algorithm]
    n, prime, data = curve.n, curve.p, b"data"
    r = next(r for r in range(1, 100) if curve.lift(r + n) and curve.lift(r))
    for x, taken in ((r, r), (r + n, r)):
        key = curve.key_for(data, taken, 7, curve.lift(x))
        assert verify(algorithm, key, data, curve.pack(taken, 7))
        assert not verify(algorithm, key, data, curve.pack(taken + n, 7))
        assert not verify(algorithm, key, data, curve.pack(taken, 7 + n))
        assert not verify(algorithm, key, data, curve.pack(taken) + b"\7")
        assert not verify(algorithm, key, data, curve.pack(taken) + b"\0" + curve.pack(7))
    # r + n lies behind p here, and is the same as x there
    x = next(x for x in range(1, 100) if curve.lift(x) and x + prime - n > 0)
    wrapped = x + prime - n
    assert not verify(algorithm, curve.key_for(data, wrapped, 7, curve.lift(x)), data, curve.pack(wrapped, 7))


@pytest.mark.parametrize("algorithm", SHORT)
def test_ecdsa_numbers_out_of_range(algorithm: int) -> None:
    curve = SHORT[algorithm]
    key, first, signatures = next(stored(algorithm))
    size, data, top = curve.size, message(first), 2 ** (8 * curve.size) - 1
    r, s = (int.from_bytes(part, "big") for part in (signatures[0][:size], signatures[0][size:]))
    assert verify(algorithm, key, data, curve.pack(r, s))
    odd = (0, 1, curve.n - 1, curve.n, curve.n + 1, curve.p - 1, curve.p, top)
    for one in (*odd, r):
        for two in (*odd, s):
            assert verify(algorithm, key, data, curve.pack(one, two)) == ((one, two) == (r, s))
    both = [number.to_bytes(size + 1, "big") for number in (r, s)]
    der = b"".join(b"\2" + bytes((len(part),)) + part for part in both)
    for wrong in (
        b"", signatures[0][:-1], signatures[0] + b"\0", b"\0" + signatures[0], b"".join(both), signatures[0][:size],
        b"\x30" + bytes((len(der),)) + der, signatures[0] * 2, bytes(2 * size),
    ):  # fmt: skip
        assert not verify(algorithm, key, data, wrong)


# Points whose x or y is so small that it has a second form with as many octets.
SMALL_Y = {
    13: (0xD7325D7646CD60D80A92738CEB345F844CFFAF35841022CAB176F692DE8DE1D7, 5),
    14: (0x2261B2BF605C22F2F3AEF6338719B2C486388AD5240719A5257315969EF01BA27F0A104C89704773A81FDABEE6AB5C78, 1),
}


@pytest.mark.parametrize("algorithm", SHORT)
def test_ecdsa_keys(algorithm: int) -> None:
    """Only points of the curve are keys, each in its one form."""
    curve = SHORT[algorithm]
    good, size = curve.field(curve.g), curve.size
    x, y = curve.g
    small = next(point for point in map(curve.lift, range(1, 100)) if point)
    right = [good, curve.pack(x, curve.p - y), curve.pack(*SMALL_Y[algorithm]), curve.pack(*small)]
    wrong = [
        b"", b"\0", good[:-1], good + b"\0", b"\0" + good, b"\4" + good, b"\2" + good[:size], good[:size], good * 2,
        bytes(2 * size), b"\xff" * (2 * size), curve.pack(0, 1), curve.pack(1, 0), curve.pack(y, x),
        curve.pack(x, y ^ 1), curve.pack(x ^ 1, y), curve.pack(x, curve.p), curve.pack(curve.p, y),
        curve.pack(small[0] + curve.p, small[1]), curve.pack(SMALL_Y[algorithm][0], SMALL_Y[algorithm][1] + curve.p),
        SHORT[27 - algorithm].field(SHORT[27 - algorithm].g), good[size:] + good[:size],
        good[:size] + b"\0" + good[size:], bytes(65536),
    ]  # fmt: skip
    assert [field for field in right if not readable(algorithm, field)] == []
    assert [field for field in wrong if readable(algorithm, field)] == []


# -- EdDSA -------------------------------------------------------------------------------------


@pytest.mark.parametrize("algorithm", TWISTED)
def test_odd_secrets(algorithm: int) -> None:
    """Secrets and nonces next to 0 and to the order; R may be the neutral point."""
    curve = TWISTED[algorithm]
    dice = random.Random(3)
    odd = [0, 1, 2, curve.n - 1, (curve.n + 1) // 2, 2**90]
    fields = {scalar: curve.field(curve.times(scalar, curve.g)) for scalar in odd}
    for secret in odd[1:]:
        key = fields[secret]
        for nonce in odd:
            data = dice.randbytes(20)
            signature = curve.sign(secret, nonce, key, data, fields[nonce])
            assert verify(algorithm, key, data, signature)
            assert not verify(algorithm, key, data + b"\0", signature)
            s = int.from_bytes(signature[curve.size :], "little")
            more = (s + curve.n).to_bytes(curve.size, "little")
            assert not verify(algorithm, key, data, signature[: curve.size] + more)
            assert not verify(algorithm, key, data, flipped(signature, 7))  # the last octet's top bit
    for wrong in (b"", signature[:-1], signature + b"\0", b"\0" + signature, signature[: curve.size],
                  bytes(2 * curve.size), b"\xff" * (2 * curve.size)):  # fmt: skip
        assert not verify(algorithm, key, data, wrong)


@pytest.mark.parametrize("algorithm", TWISTED)
def test_r_has_one_form(algorithm: int) -> None:
    """The neutral point in other forms, hashed and signed in them: y + p, a sign without x, both."""
    curve = TWISTED[algorithm]
    key = curve.field(curve.times(5, curve.g))
    sign = 1 << 8 * curve.size - 1
    for number, expected in ((1, True), (1 + curve.p, False), (1 | sign, False), (1 + curve.p | sign, False)):
        r = number.to_bytes(curve.size, "little")
        assert verify(algorithm, key, b"data", curve.sign(5, 0, key, b"data", r)) == expected


@pytest.mark.parametrize("algorithm", TWISTED)
def test_keys_of_mixed_order(algorithm: int) -> None:
    """Without the cofactor in the equation, such keys' signatures hold as k is a multiple of it."""
    curve = TWISTED[algorithm]
    torsion = curve.torsion()
    key = curve.field(curve.add(curve.times(9, curve.g), torsion[1]))
    seen = set()
    for number in range(40):
        data = b"%d" % number
        signature = curve.sign(9, 4, key, data)
        expected = curve.hashed(signature[: curve.size], key, data) % len(torsion) == 0
        assert verify(algorithm, key, data, signature) == expected
        seen.add(expected)
    assert seen == {True, False}


@pytest.mark.parametrize("algorithm", TWISTED)
def test_eddsa_keys(algorithm: int) -> None:
    """Points of small orders fit every signature and are no keys, nor is what has another form."""
    curve = TWISTED[algorithm]
    size, prime = curve.size, curve.p
    good = curve.field(curve.times(3, curve.g))
    small = [y for y in range(2, 19) if curve.lift(y)]
    right = [good, curve.field(curve.g), flipped(good, 7), *(y.to_bytes(size, "little") for y in small)]
    wrong = [curve.field(point) for point in curve.torsion()]
    wrong += [flipped(field, 7) for field in wrong]
    wrong += [(y + prime).to_bytes(size, "little") for y in small]
    wrong += [y.to_bytes(size, "little") for y in range(2, 19) if y not in small]
    wrong += [b"", b"\0", good[:-1], good + b"\0", b"\0" + good, good * 2, b"\xff" * size, bytes(65536)]
    wrong += [flipped(good, bit) for bit in range(7)] if size == 57 else []
    assert len(set(wrong)) > 20 and len(small) > 3
    assert [field for field in right if not readable(algorithm, field)] == []
    assert [field for field in wrong if readable(algorithm, field)] == []
    # what a key of a small order would be good for
    neutral = curve.field((0, 1))
    assert not verify(algorithm, neutral, b"any", neutral + bytes(size))


# -- RSA ---------------------------------------------------------------------------------------


SMALL_PRIMES = math.prod(number for number in range(3, 2000) if all(number % less for less in range(2, number)))


def prime(bits: int, dice: random.Random, exponent: int) -> int:
    """A prime number that begins with the bits 11, where p - 1 is prime to the exponent."""
    while True:
        number = dice.getrandbits(bits - 2) | 1 | 3 << bits - 2
        if number % exponent != 1 and math.gcd(number, SMALL_PRIMES) == 1 and pow(2, number - 1, number) == 1:
            return number


@functools.cache
class RsaKey:
    """A private key with a modulus of `bits`."""

    def __init__(self, bits: int, exponent: int = 65537) -> None:
        dice = random.Random(bits)
        one, two = prime(bits // 2, dice, exponent), prime(bits - bits // 2, dice, exponent)
        self.n, self.e = one * two, exponent
        self.d = pow(exponent, -1, (one - 1) * (two - 1))
        self.size = (self.n.bit_length() + 7) // 8
        self.field = rsa_field(self.n, exponent)

    def sign(self, encoded: bytes) -> bytes:
        return pow(int.from_bytes(encoded, "big"), self.d, self.n).to_bytes(self.size, "big")


INFO = {
    5: ("sha1", "3021300906052b0e03021a05000414"), 8: ("sha256", "3031300d060960864801650304020105000420"),
    10: ("sha512", "3051300d060960864801650304020305000440"),
}  # fmt: skip


def padded(tail: bytes, size: int, head: bytes = b"\0\1", filler: bytes = b"\xff") -> bytes:
    return head + filler * (size - len(head) - 1 - len(tail)) + b"\0" + tail


def wrong_forms(algorithm: int, data: bytes, size: int) -> Iterator[tuple[str, bytes]]:
    """Encoded messages that others took for right, and shouldn't have."""
    name, text = INFO[algorithm]
    info, digest = bytes.fromhex(text), hashlib.new(name, data).digest()
    whole, right = info + digest, padded(info + digest, size)
    bare = bytes.fromhex(text[4:8].replace(text[6:8], f"{int(text[6:8], 16) - 2:02x}") + text[8:-8])  # without NULL
    no_null = bytes((0x30, len(bare) + 2 + len(digest))) + bare + info[-2:] + digest
    yield "garbage behind the digest", (b"\0\1" + b"\xff" * 8 + b"\0" + whole).ljust(size, b"\x5a")
    yield "zeros behind the digest", (b"\0\1" + b"\xff" * 8 + b"\0" + whole).ljust(size, b"\0")
    yield "one octet behind the digest", padded(whole + b"\0", size)
    yield "no padding", (b"\0\1\0" + whole).rjust(size, b"\0")
    yield "block type 2", padded(whole, size, b"\0\2")
    yield "block type 0", padded(whole, size, b"\0\0", b"\0")
    yield "block type 3", padded(whole, size, b"\0\3")
    yield "first octet", padded(whole, size, b"\1\1")
    yield "padding with zeros", padded(whole, size, filler=b"\0")
    yield "padding with another octet", right[:5] + b"\xfe" + right[6:]
    yield "padding ends early", right[:10] + b"\0" + right[11:]
    yield "no zero behind the padding", right.replace(b"\xff\0", b"\xff\xff", 1)
    yield "no NULL", padded(no_null, size)
    yield "another parameter", padded(whole.replace(b"\5\0", b"\4\0"), size)
    yield "another OID", padded(whole.replace(info[6:8], bytes((info[6], info[7] ^ 1))), size)
    yield "long length", padded(b"\x30\x81" + whole[1:], size)
    yield "indefinite length", padded(b"\x30\x80" + whole[2:] + b"\0\0", size)
    yield "the digest alone", padded(digest, size)
    yield "half a digest", padded(info + digest[:-1], size)
    yield "an empty digest", padded(info, size)
    yield "another digest", padded(info + hashlib.new(name, data + b"\0").digest(), size)
    other = next(number for number in INFO if number != algorithm)
    yield "another hash", padded(bytes.fromhex(INFO[other][1]) + hashlib.new(INFO[other][0], data).digest(), size)
    yield "zero", bytes(size)
    yield "one", b"\1".rjust(size, b"\0")


@pytest.mark.parametrize("algorithm", INFO)
@pytest.mark.parametrize("exponent", [3, 65537])
def test_wrong_paddings(algorithm: int, exponent: int) -> None:
    """Only the one encoded message is right, whatever is signed properly."""
    key, data = RsaKey(1024, exponent), b"data"
    name, text = INFO[algorithm]
    right = padded(bytes.fromhex(text) + hashlib.new(name, data).digest(), key.size)
    assert verify(algorithm, key.field, data, key.sign(right))
    forms = dict(wrong_forms(algorithm, data, key.size))
    assert len(forms) > 20 and all(len(form) == key.size and form != right for form in forms.values())
    assert [what for what, form in forms.items() if verify(algorithm, key.field, data, key.sign(form))] == []


def test_cube_root_forgery() -> None:
    """With exponent 3, a number whose cube begins as the right message does (Bleichenbacher, 2006)."""
    start = b"\0\1\xff\xff\xff\xff\xff\xff\xff\xff\0" + bytes.fromhex(INFO[8][1]) + hashlib.sha256(b"data").digest()
    target = int.from_bytes(start.ljust(256, b"\xff"), "big")
    root = 1 << (target.bit_length() + 2) // 3
    while root**3 > target:
        root = (2 * root + target // root**2) // 3
    assert (root**3).to_bytes(256, "big").startswith(start)
    assert not verify(8, rsa_field(2**2048 - 1, 3), b"data", root.to_bytes(256, "big"))


def test_rsa_signature_lengths() -> None:
    """A signature is as long as the modulus, zeros in front included, and below it as a number."""
    key = RsaKey(1028)
    assert key.size == 129
    info = bytes.fromhex(INFO[8][1])
    seen = set()
    for number in range(200):
        data = b"%d" % number
        signature = key.sign(padded(info + hashlib.sha256(data).digest(), key.size))
        assert verify(8, key.field, data, signature)
        short = signature.lstrip(b"\0")
        seen.add(len(short))
        more = (int.from_bytes(signature, "big") + key.n).to_bytes(key.size, "big")
        for wrong in (b"\0" + signature, signature + b"\0", signature[:-1], signature[1:], b"", more):
            assert not verify(8, key.field, data, wrong)
        assert len(short) == key.size or not verify(8, key.field, data, short)
        if len(seen) > 1:
            break
    assert len(seen) > 1


def test_rsa_keys() -> None:
    """Which exponents and moduli are taken."""
    n, huge = RsaKey(1024).n, 2**4096 - 1
    for bits, algorithm, taken in (
        (511, 8, False), (512, 8, True), (512, 5, True), (512, 7, True), (1023, 10, False), (1024, 10, True),
        (1023, 8, True), (4096, 8, True), (4096, 10, True), (4097, 8, False), (4097, 5, False), (65536, 8, False),
    ):  # fmt: skip
        assert readable(algorithm, rsa_field((1 << bits) - 1, 65537)) == taken, (bits, algorithm)
    for exponent, taken in (
        (0, False), (1, False), (2, False), (3, True), (4, False), (17, True), (65536, False), (65537, True),
        (2**32 + 1, True), (2**64 - 1, True), (2**64 + 1, False), (2**2000 + 1, False), (n, False),
    ):  # fmt: skip
        assert readable(8, rsa_field(n, exponent)) == taken, exponent
    octets = n.to_bytes(128, "big")
    for field, taken in (
        (b"\3\1\0\1" + octets, True), (b"\0\0\3\1\0\1" + octets, True), (b"\4\0\1\0\1" + octets, True),
        (b"\3\1\0\1" + octets[:-1] + b"\0", False), (b"\3\1\0\1" + octets[:-1] + b"\2", False),
        (b"\3\1\0\1", False), (b"\3\1\0", False), (b"\3", False), (b"", False), (b"\0", False), (b"\0\0", False),
        (b"\0\0\0", False), (b"\0\0\0" + octets, False), (b"\0\xff\xff" + octets, False), (b"\xff" + octets, False),
        (b"\1\3" + bytes(65000), False), (bytes(65536), False), (b"\xff" * 65536, False),
        (b"\x09" + bytes(8) + b"\3" + octets, False), (b"\3\1\0\1" + bytes(1000) + octets, False),
        (b"\3\1\0\1\0" + huge.to_bytes(512, "big"), False), (b"\3\1\0\1" + huge.to_bytes(512, "big"), True),
    ):  # fmt: skip
        assert readable(8, field) == taken, field[:8]
    for key in (RsaKey(512), RsaKey(1024, 3)):
        signature = key.sign(padded(bytes.fromhex(INFO[8][1]) + hashlib.sha256(b"data").digest(), key.size))
        assert verify(8, key.field, b"data", signature)
        assert verify(8, b"\0\0" + key.field, b"data", signature)
        assert not verify(10, key.field, b"data", signature)
    # exponent 1: the message is its own signature
    right = padded(bytes.fromhex(INFO[8][1]) + hashlib.sha256(b"data").digest(), 128)
    assert not verify(8, rsa_field(n, 1), b"data", right)


# -- anything ----------------------------------------------------------------------------------


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_any_octets_are_no_signature(algorithm: int) -> None:
    """Pieces of keys and signatures, zeros, ones and noise, of all lengths: False, and nothing is raised."""
    dice = random.Random(algorithm + 100)
    key, first, signatures = next(stored(algorithm))
    good = [key, signatures[0], message(first), b"", b"\0", b"\xff" * 64, bytes(57), b"\0\0\3", b"\3\1\0\1"]

    def octets() -> bytes:
        parts = [dice.choice(good)[dice.choice((0, 0, 1, 2, 32)) :] for _ in range(dice.choice((1, 1, 1, 2, 3)))]
        text = bytearray(b"".join(parts))
        for _ in range(dice.choice((0, 1, 1, 5)) if text else 0):
            text[dice.randrange(len(text))] = dice.choice((0, 1, 255, dice.randrange(256)))
        return bytes(text[: dice.choice((len(text), len(text), dice.randrange(len(text) + 1)))])

    for _ in range(300):
        fields = octets() if dice.random() < 0.7 else key, octets(), octets()
        if fields != (key, message(first), signatures[0]):
            assert verify(algorithm, *fields) is False
    for size in range(140):
        assert verify(algorithm, dice.randbytes(size), b"", dice.randbytes(size)) is False


def test_unknown_algorithms() -> None:
    for algorithm in (-1, 0, 1, 2, 3, 4, 6, 9, 11, 12, 17, 23, 252, 253, 254, 255, 65535):
        assert verify(algorithm, b"key", b"data", b"signature") is False


def test_malformed_keys_drive_out_no_good_one() -> None:
    """What is remembered is bounded, and only good keys are in it."""
    cache = p._signature_key
    for key, first, signatures in stored(5):
        assert verify(5, key, message(first), signatures[0])
    before = cache.cache_info().currsize
    for number in range(200):
        assert not verify(13, b"%64d" % number, b"", b"")
    assert cache.cache_info().currsize == before
    for number in range(200):
        verify(8, rsa_field(2**600 + 2 * number + 1, 3), b"", b"")
    assert cache.cache_info().currsize == cache.cache_info().maxsize == p.SIGNATURE_KEYS_MAX


def test_threads() -> None:
    """Tables are made while others ask for them too."""
    rows = [(algorithm, *next(stored(algorithm))) for algorithm in CURVES]
    for algorithm in CURVES:
        p.SIGNATURE_ALGORITHMS[algorithm]._base = None  # type: ignore[union-attr]
    p._signature_key.cache_clear()
    verdicts: list[bool] = []

    def ask() -> None:
        verdicts.extend(verify(number, key, message(first), found[0]) for number, key, first, found in rows)

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        threads = [threading.Thread(target=ask) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert verdicts == [True] * 16


def test_hashes_without_openssl() -> None:
    """The hashes that Python brings along are enough, as on a router."""
    program = (
        "import sys; sys.modules['_hashlib'] = None; sys.path.insert(0, sys.argv[1]); import importlib\n"
        "p = importlib.import_module(sys.argv[2]); assert 'hashlib' not in sys.modules\n"
        "for line in sys.stdin:\n"
        "    number, *fields = line.split()\n"
        "    print(p.signature_verify(int(number), *map(bytes.fromhex, fields)), end=' ')\n"
        "print([len(p.ds_digest(b'', b'', kind)) for kind in p.DS_DIGESTS], p.nsec3_hash(b'', b'', 0).hex())\n"
    )
    lines = []
    for algorithm in ALGORITHMS:
        key, first, signatures = next(stored(algorithm))
        lines.append(f"{algorithm} {key.hex()} {message(first + 1).hex()} {signatures[1].hex()}")
    command = [sys.executable, "-B", "-S", "-c", program, str(PROGRAM.parent), PROGRAM.stem]
    result = subprocess.run(command, input="\n".join(lines), capture_output=True, text=True, check=False)
    expected = "True " * len(ALGORITHMS) + f"[20, 32, 48] {hashlib.sha1(b'').hexdigest()}\n"
    assert (result.stdout, result.stderr) == (expected, "")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as directory:
        for row in make_rows(pathlib.Path(directory), 60, 4):
            print(row)
