"""A signed hierarchy of zones, its servers, and a relay that breaks what it passes on.

Made anew for each run: keys and signatures by bind9's tools; four nsd on
loopback addresses for root, top level, second level and the rest; an unbound
that resolves and does not validate; the relay, which is the upstream of whoever validates.
The relay passes answers on unless a rule (see RULES) names the question.

By hand, until interrupted:  python tests/dnssec_zones.py DIRECTORY
"""

from __future__ import annotations

import base64
import concurrent.futures
import contextlib
import functools
import hashlib
import os
import pathlib
import random
import shutil
import signal
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import dnswire
from dnswire import DnsMessage, DnsRecord
from harness import MockReply, MockUpstream, free_port, need, own_loopback, tcp_raw, udp_raw, wait_until

TOOLS = ("dnssec-keygen", "dnssec-signzone", "ldns-signzone", "nsd", "unbound")
PATH = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
ALGORITHMS = {
    5: "RSASHA1", 7: "NSEC3RSASHA1", 8: "RSASHA256", 10: "RSASHA512", 13: "ECDSAP256SHA256", 14: "ECDSAP384SHA384",
    15: "ED25519", 16: "ED448",
}  # fmt: skip

# -- the zones -------------------------------------------------------------------

# zone, keys, denial, and what stands as DS at the parent.
#   keys    algorithms of keys that sign everything; `8k 8z` are key-signing and zone-signing
#   denial  nsec, nsec3, nsec3:ITERATIONS:SALT, optout (NSEC3 with opt-out); - for an unsigned zone
#   DS      digest types of the first key, or of key n with `n/`; `99` is one that nobody knows;
#           `2!` has a digest with a wrong bit; `alg253`, `alg14` name an algorithm that is not there; - for none
ZONES = """
.                       8k,8z     nsec            -
nsec                    13        nsec            2
nsec3                   8k,8z     nsec3:5:ab      2
optout                  13        optout          2
plain                   -         -               -
in-addr.arpa            13        nsec            2
good.nsec               13        nsec            2
good.nsec3              8         nsec3           2
good.optout             15        optout          2
good.plain              13        nsec            -
alg5.nsec               5         nsec            2
alg7.nsec               7         nsec3:3:cafe    2
alg8.nsec               8k,8z     nsec            2
alg10.nsec              10        nsec            2
alg13.nsec              13        nsec3           2
alg14.nsec              14        nsec            4
alg15.nsec              15        nsec            2
alg16.nsec              16        nsec            2
two-algs.nsec           8,13      nsec            2,1/2
one-of-two.nsec         8,13      nsec            1/2
digest1.nsec            13        nsec            1
digest2.nsec            13        nsec            2
digest4.nsec            13        nsec            4
digests.nsec            13        nsec            1,2,4
digest99.nsec           13        nsec            99
digest99-2.nsec         13        nsec            99,2
digest-1bad.nsec        13        nsec            1!,2
digest-2bad.nsec        13        nsec            1,2!
dsbad.nsec              13        nsec            2!
dsbad.nsec3             13        nsec3           2!
alg253.nsec             13        nsec            alg253
alg253-13.nsec          13        nsec            alg253,2
alg14-13.nsec           13        nsec            alg14,2
alg14-only.nsec         13        nsec            alg14
nods.nsec               13        nsec            -
ins.nsec                -         -               -
ins.nsec3               -         -               -
ins.optout              -         -               -
island.ins.nsec         13        nsec            2
nokey.nsec              -         -               2
nokey.nsec3             -         -               2
types.nsec              13        nsec            2
types3.nsec             13        nsec3:1:aabb    2
wild.nsec               13        nsec            2
wild.nsec3              8         nsec3           2
wild.optout             13        optout          2
alias.nsec              13        nsec            2
d1.nsec                 13        nsec            2
d2.d1.nsec              14        nsec3           4
d3.d2.d1.nsec           15        nsec            2
a.b.c.d1.nsec           8         nsec            1
ins.d1.nsec             -         -               -
ins.d2.d1.nsec          -         -               -
high.nsec               8         nsec3:500:ab    2
n150.nsec               13        nsec3:150:-     2
names.nsec              13        nsec            2
huge.nsec               8         nsec            2
broken.nsec             8         nsec            2
sub.broken.nsec         8         nsec            2
ins.broken.nsec         -         -               -
broken3.nsec            8         nsec3:1:ab      2
sub.broken3.nsec        8         nsec3:1:ab      2
ins.broken3.nsec        -         -               -
brokeno.nsec            8         optout          2
ins.brokeno.nsec        -         -               -
dk-nosig.nsec           8         nsec            2
dk-badsig.nsec          8         nsec            2
dk-expired.nsec         8         nsec            2
dk-lost.nsec            8         nsec            2
dk-nozone.nsec          8         nsec            2
dk-revoked.nsec         8         nsec            2
dk-proto.nsec           8         nsec            2
dk-other.nsec           8         nsec            2
ds-nosig.nsec           8         nsec            2
ds-badsig.nsec          8         nsec            2
ds-cut.nsec             8         nsec            2
ds-childproof.nsec      8         nsec            2
ds-servfail.nsec        8         nsec            2
ds-sibling.nsec         8         nsec            2
ds-steal.nsec           8         nsec            2
ds-steal.nsec3          8         nsec            2
ds-steal.optout         8         nsec            2
dk-servfail.nsec        8         nsec            2
keytrap.nsec            8         nsec            2
keytrap15.nsec          8         nsec            2
bigexp.nsec             8         nsec            2
manykeys.nsec           8         nsec            2
twokeys.nsec            8         nsec            2
oddkeys.nsec            8         nsec            2
private.nsec            8         nsec            2
"""

# What every zone below the top level holds, besides its SOA and its servers.
COMMON = """
@ A 198.18.1.1
@ MX 10 mail
@ TXT "apex"
www A 198.18.1.2
www AAAA 2400::2
mail A 198.18.1.3
alias CNAME www
a.ent TXT "below an empty name"
zz A 198.18.1.26
"""

# What single zones hold besides.
X250 = "x" * 250
CONTENT: dict[str, str] = {
    "in-addr.arpa": """
1.1.18.198 PTR good.nsec.
2.1.18.198 PTR www.good.nsec.
""",
    "types.nsec": f"""
all A 198.18.1.4
all AAAA 2400::4
all MX 10 Mail.Types.nsec.
all MX 20 mail.good.nsec3.
all TXT "one" "two words" "semi;colon"
all SRV 1 2 5060 Sip.types.nsec.
all NAPTR 1 2 "u" "sip" "!a!b!" Rep.types.nsec.
all SVCB 1 svc.types.nsec. alpn="h2,h3" port=8443
all HTTPS 1 . alpn="h2" ipv4hint=198.18.1.4
all CAA 0 issue "ca.example"
all HINFO "cpu" "os"
all RP Mbox.types.nsec. Txt.types.nsec.
all AFSDB 1 Afs.types.nsec.
all KX 1 Kx.types.nsec.
all SSHFP 1 1 {"ab" * 20}
all TLSA 3 1 1 {"cd" * 32}
all LOC 52 14 05 N 00 08 50 E 10m
all URI 10 1 "https://example.net/"
all TYPE65280 \\# 4 01020304
all TYPE1234 \\# 0
high TYPE65534 \\# 1 00
high A 198.18.1.5
deleg NS ns.deleg
deleg NS ns.good.nsec.
ns.deleg A 198.18.1.9
_sip._tcp SRV 1 2 5060 www
_sip._tcp SRV 2 2 5061 mail
manya A 198.18.2.1
manya A 198.18.2.2
manya A 198.18.2.3
manya A 198.18.2.10
manya A 198.18.2.200
""",
    "wild": """
*.w A 198.18.3.1
*.w TXT "wild"
x.y.w A 198.18.3.2
*.c CNAME www
*.o CNAME www.good.nsec3.
*.s CNAME www.ins.nsec.
b.*.ast A 198.18.3.4
sub.w2 A 198.18.3.5
*.w2 MX 10 mail
""",
    "alias.nsec": """
c1 CNAME c2
c2 CNAME c3
c3 CNAME www
to-n3 CNAME www.good.nsec3.
to-ins CNAME www.ins.nsec.
to-optout CNAME www.ins.optout.
to-plain CNAME www.good.plain.
to-bogus CNAME www.dsbad.nsec.
to-broken CNAME badsig.broken.nsec.
to-nx CNAME nowhere.good.nsec.
to-nx3 CNAME nowhere.good.nsec3.
to-nodata CNAME txt-only.alias.nsec.
txt-only TXT "only"
to-wild CNAME any.w.wild.nsec.
to-dname CNAME www.dn.alias.nsec.
dn DNAME good.nsec.
dn3 DNAME good.nsec3.
dnins DNAME ins.nsec.
dnbad DNAME dsbad.nsec.
dnself DNAME alias.nsec.
far1 CNAME far1.d2.d1.nsec.
loop1 CNAME loop2
loop2 CNAME loop1
selfloop CNAME selfloop
""",
    "ins.nsec": "to-sec CNAME www.good.nsec.\nto-bogus CNAME www.dsbad.nsec.\n",
    "d2.d1.nsec": "far1 CNAME far1.d3.d2.d1.nsec.\n",
    "d3.d2.d1.nsec": "far1 CNAME www.good.optout.\n",
    "names.nsec": """
UPPER A 198.18.4.1
MiXed.CaSe A 198.18.4.2
esc\\.dot A 198.18.4.3
sp\\032ace A 198.18.4.4
zero\\000x A 198.18.4.5
hi\\255 A 198.18.4.6
under_score A 198.18.4.7
*.STAR A 198.18.4.8
tocase CNAME UPPER.Names.NSEC.
mx MX 10 MAIL.Names.NSEC.
pt PTR MiXed.Case.names.NSEC.
soup SRV 1 1 1 WWW.names.nsec.
"""
    f'{"l" * 63}.{"m" * 63}.{"n" * 63} TXT "long"\n',
    "huge.nsec": "".join(f'big TXT "{n:04} {X250}"\n' for n in range(40))
    + "".join(f"many A 198.18.{5 + n // 200}.{n % 200 + 1}\n" for n in range(150))
    + "".join(f'mid TXT "{n:04} {X250}"\n' for n in range(5)),
    "private.nsec": "rfc1918 A 10.1.2.3\n",
}
# One name for each way to break an answer: RULES say how.
BROKEN_NAMES = (
    "soon expired future badsig badtag badalg nosig forged sibling parent child labels-more labels-less ttl origttl "
    "covers two-sigs two-bad many-bad few-bad upper duplicate short empty extra strip-all below.nosig stale"
).split()
BROKEN = "".join(f"{name} A 198.18.6.{number}\n" for number, name in enumerate(BROKEN_NAMES, 1)) + (
    "*.bw A 198.18.6.200\nx.y.bw A 198.18.6.201\n*.bw2 A 198.18.6.202\nbadalias CNAME badsig\ncuthere A 198.18.6.203\n"
    "fake A 198.18.6.204\n*.bc CNAME www\naliat CNAME www\nflip A 198.18.6.205\ndn DNAME good.nsec.\n"
)
for _zone in ("wild.nsec", "wild.nsec3", "wild.optout"):
    CONTENT[_zone] = CONTENT["wild"]
for _zone in ("broken.nsec", "broken3.nsec", "brokeno.nsec"):
    CONTENT[_zone] = BROKEN


# Zones whose DS points to a key with odd flags or an odd protocol number.
ODD_KEYS = {"dk-nozone.nsec": (0x0001, 3), "dk-revoked.nsec": (0x0181, 3), "dk-proto.nsec": (0x0101, 4)}


# -- keys ------------------------------------------------------------------------


def key_tag(rdata: bytes) -> int:
    """The tag of a DNSKEY's data (RFC 4034 appendix B)."""
    total = sum(byte << 8 if index % 2 == 0 else byte for index, byte in enumerate(rdata))
    return (total + (total >> 16)) & 0xFFFF


@dataclass
class ZoneKey:
    """A key: its DNSKEY data and where its private half lies."""

    zone: str
    rdata: bytes
    private: pathlib.Path

    @property
    def path(self) -> pathlib.Path:
        return self.private.with_suffix("")

    @property
    def tag(self) -> int:
        return key_tag(self.rdata)

    @property
    def algorithm(self) -> int:
        return self.rdata[3]

    def ds(self, digest: int, *, spoil: bool = False, algorithm: int | None = None) -> str:
        """The DS data for the key."""
        name = {1: "sha1", 2: "sha256", 4: "sha384", 99: "sha256"}[digest]
        raw = bytearray(hashlib.new(name, dnswire.pack_name(self.zone.lower()) + self.rdata).digest())
        raw[0] ^= spoil
        return f"{self.tag} {algorithm or self.algorithm} {digest} {raw.hex().upper()}"

    def sign_rsa(self, data: bytes) -> bytes:
        """Sign with SHA-256; only RSA keys can."""
        n, p, q, dp, dq, inverse = rsa_numbers(self.private)
        size = (n.bit_length() + 7) // 8
        tail = bytes.fromhex("003031300d060960864801650304020105000420") + hashlib.sha256(data).digest()
        block = int.from_bytes(b"\0\1" + b"\xff" * (size - 2 - len(tail)) + tail, "big")
        first, second = pow(block, dp, p), pow(block, dq, q)
        return (second + (first - second) * inverse % p * q).to_bytes(size, "big")


@functools.cache
def rsa_numbers(private: pathlib.Path) -> tuple[int, ...]:
    """What it takes to sign quickly (RFC 8017 s.5.1.2), from a private key's file."""
    fields = dict(line.split(": ", 1) for line in private.read_text().splitlines() if ": " in line)
    names = ("Modulus", "Prime1", "Prime2", "Exponent1", "Exponent2", "Coefficient")
    return tuple(int.from_bytes(base64.b64decode(fields[name]), "big") for name in names)


@dataclass
class SignedZone:
    """A row of ZONES and what was made of it."""

    name: str
    keys_text: str
    denial: str
    ds_text: str
    number: int
    parent: SignedZone | None = None
    keys: list[ZoneKey] = field(default_factory=list)
    odd: ZoneKey | None = None  # shown in place of the first key

    @property
    def depth(self) -> int:
        return 0 if self.parent is None else self.parent.depth + 1

    @property
    def dotted(self) -> str:
        return self.name if self.name == "." else self.name + "."

    def under(self, label: str) -> str:
        return f"{label}." if self.name == "." else f"{label}.{self.name}."

    def ds(self) -> list[str]:
        """The data of the DS records at the parent."""
        out = []
        for item in self.ds_text.split(","):
            which, _, digest = item.rpartition("/")
            if item == "-":
                continue
            key = self.odd or self.keys[int(which or 0)]
            if digest.startswith("alg"):
                out.append(key.ds(2, algorithm=int(digest[3:])))
            else:
                out.append(key.ds(int(digest.rstrip("!")), spoil=digest.endswith("!")))
        return out


def read_zones() -> dict[str, SignedZone]:
    zones: dict[str, SignedZone] = {}
    for number, line in enumerate(ZONES.strip().splitlines()):
        name, keys, denial, ds = line.split()
        zone = SignedZone(name, keys, denial, ds, number)
        if name != ".":
            labels = name.split(".")
            uppers = (".".join(labels[index:]) for index in range(1, len(labels)))
            zone.parent = next((zones[upper] for upper in uppers if upper in zones), zones["."])
        zones[name] = zone
    return zones


# -- the hierarchy -----------------------------------------------------------------


class Hierarchy:
    """The zones, their servers and the relay; all in one directory, all ended by `stop`."""

    def __init__(self, directory: pathlib.Path, first: int = 20) -> None:
        self.directory = directory
        self.zones = read_zones()
        self.addresses = [own_loopback(first + number) for number in range(4)]
        self.resolver_port = free_port()
        self.processes: list[subprocess.Popen[bytes]] = []
        self.relay = Relay(self)

    # Making

    def build(self) -> None:
        """Make keys, then zones, then sign them."""
        for part in ("keys", "zones"):
            (self.directory / part).mkdir(parents=True, exist_ok=True)
        with concurrent.futures.ThreadPoolExecutor(os.cpu_count() or 2) as pool:
            list(pool.map(self.make_keys, self.zones.values()))
            list(pool.map(self.make_zone, self.zones.values()))

    def make_keys(self, zone: SignedZone) -> None:
        # An unsigned zone with a DS at its parent has a key that nobody sees.
        texts = zone.keys_text if zone.keys_text != "-" or zone.ds_text == "-" else "13"
        for text in texts.split(",") if texts != "-" else ():
            algorithm = int(text.rstrip("kz"))
            words = ["-q", "-K", str(self.directory / "keys"), "-a", ALGORITHMS[algorithm]]
            words += ["-b", "1024" if zone.parent else "2048"] if algorithm in (5, 7, 8, 10) else []
            words += [] if text.endswith("z") else ["-f", "KSK"]
            base = run_tool("dnssec-keygen", *words, zone.dotted).strip()
            path = self.directory / "keys" / base
            line = [text for text in path.with_name(base + ".key").read_text().splitlines() if " DNSKEY " in text][0]
            flags, protocol, number, *public = line.split(" DNSKEY ")[1].split()
            rdata = struct.pack("!HBB", int(flags), int(protocol), int(number)) + base64.b64decode("".join(public))
            zone.keys.append(ZoneKey(zone.name, rdata, path.with_name(base + ".private")))
        if zone.name in ODD_KEYS:
            head = struct.pack("!HB", *ODD_KEYS[zone.name])
            zone.odd = replace(zone.keys[0], rdata=head + zone.keys[0].rdata[3:])

    def zone_text(self, zone: SignedZone) -> str:
        server = "a.root." if zone.name == "." else zone.under("ns")
        lines = [
            f"$ORIGIN {zone.dotted}",
            "$TTL 300",
            f"@ SOA {server} hostmaster 1 3600 600 86400 60",
            f"@ NS {server}",
            f"{server} A {self.address(zone)}",
        ]
        if zone.depth > 1 or zone.name == "in-addr.arpa":
            lines += [COMMON if zone.depth > 1 else "", CONTENT.get(zone.name, "")]
        for child in self.zones.values():
            if child.parent is zone:
                lines += [f"{child.dotted} NS {child.under('ns')}", f"{child.under('ns')} A {self.address(child)}"]
                lines += [f"{child.dotted} DS {text}" for text in child.ds()]
        if zone.keys_text != "-":
            lines += [dnskey_line(key) for key in zone.keys]
        return "\n".join(lines) + "\n"

    def make_zone(self, zone: SignedZone) -> None:
        path = self.zone_path(zone)
        path.write_text(self.zone_text(zone))
        if zone.keys_text == "-":
            return
        unsigned = path.rename(path.with_suffix(".unsigned"))
        keys = [str(key.path) for key in zone.keys]
        denial, _, more = zone.denial.partition(":")
        iterations, _, salt = more.partition(":")
        if int(iterations or 0) > 150:
            # dnssec-signzone makes no zone with so many.
            options = ["-n", "-t", iterations, "-s", salt or "-", "-o", zone.dotted]
            run_tool("ldns-signzone", *options, "-f", str(path), str(unsigned), *keys)
            return
        # A split key signs its part; the others sign everything.
        words = ["-q", "-P", "-o", zone.dotted, "-f", str(path)] + ["-x" if "k" in zone.keys_text else "-z"]
        if denial != "nsec":
            words += ["-3", salt or "-", "-H", iterations or "0"] + (["-A"] if denial == "optout" else [])
        words += ["-d", str(self.directory)]  # where the DS sets go
        run_tool("dnssec-signzone", *words, str(unsigned), *keys)

    def zone_path(self, zone: SignedZone) -> pathlib.Path:
        return self.directory / "zones" / f"{zone.number}.zone"

    def address(self, zone: SignedZone) -> str:
        return self.addresses[min(zone.depth, 3)]

    # Running

    @contextlib.contextmanager
    def running(self) -> Iterator[Hierarchy]:
        """The hierarchy, from start to stop; needed where port 53 is to be had."""
        try:
            try:
                yield self.start()
            except PermissionError as error:
                need(False, f"port 53 ({error})")
        finally:
            self.stop()

    def start(self) -> Hierarchy:
        self.build()
        self.write_configurations()
        for number in range(len(self.addresses)):
            self.spawn("nsd", "-d", "-c", str(self.directory / f"nsd-{number}.conf"))
        self.spawn("unbound", "-d", "-c", str(self.directory / "resolver.conf"))
        for address in self.addresses:
            wait_until(lambda address=address: self.answers(53, address), 15, f"nsd on {address}")
        wait_until(lambda: self.answers(self.resolver_port), 15, "the resolver")
        self.relay.start()
        return self

    def answers(self, port: int, host: str = "127.0.0.1") -> bool:
        reply = udp_raw(dnswire.build_query(".", "SOA"), port, host, 0.5)
        return reply is not None and dnswire.parse(reply).rcode in ("NOERROR", "REFUSED")

    def spawn(self, program: str, *words: str) -> subprocess.Popen[bytes]:
        with (self.directory / f"{program}-{len(self.processes)}.log").open("wb") as output:
            process = subprocess.Popen(
                [find_tool(program), *words], stdin=subprocess.DEVNULL, stdout=output, stderr=output
            )
        self.processes.append(process)
        return process

    def write_configurations(self) -> None:
        for number, address in enumerate(self.addresses):
            text = NSD.replace("$DIR", str(self.directory)).replace("$ADDRESS", address).replace("$N", str(number))
            for zone in self.zones.values():
                if min(zone.depth, 3) == number:
                    text += f'zone:\nname: "{zone.dotted}"\nzonefile: "{self.zone_path(zone)}"\n'
            (self.directory / f"nsd-{number}.conf").write_text(text)
        (self.directory / "hints").write_text(f". 3600000 NS a.root.\na.root. 3600000 A {self.addresses[0]}\n")
        self.write_unbound(
            "resolver.conf", self.resolver_port, f'module-config: "iterator"\nroot-hints: {self.directory}/hints\n'
        )

    def write_unbound(self, name: str, port: int, more: str) -> pathlib.Path:
        path = self.directory / name
        path.write_text(UNBOUND.replace("$DIR", str(self.directory)).replace("$PORT", str(port)) + more)
        return path

    def validator(self, more: str = "", upstream: int = 0) -> int:
        """Start an unbound that validates what the relay says, or who listens on port `upstream`; give its port."""
        port = free_port()
        anchors = "".join(f'trust-anchor: ". IN DS {key.ds(2)}"\n' for key in self.zones["."].keys[:1])
        forward = f"forward-zone:\nname: .\nforward-addr: {self.relay.host}@{upstream or self.relay.port}\n"
        text = f'module-config: "validator iterator"\n{anchors}{more}{forward}'
        path = self.write_unbound(f"validator-{port}.conf", port, text)
        self.spawn("unbound", "-d", "-c", str(path))
        wait_until(lambda: udp_raw(dnswire.build_query(".", "SOA"), port, seconds=2), 15, "the validator")
        return port

    def stop(self) -> None:
        self.relay.stop()
        for process in self.processes:
            process.terminate()
        for process in self.processes:
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    # What the validators are told

    def anchor(self, zone: str = ".", digest: int = 2) -> str:
        """A trust-anchor line with a DS."""
        return f"trust-anchor={zone},{self.zones[zone].keys[0].ds(digest).replace(' ', ',')}\n"

    def configuration(self, more: str = "") -> str:
        """What a daemon needs to validate behind the relay."""
        return f"no-resolv\nno-hosts\nserver={self.relay.address}\ndnssec\n{self.anchor()}{more}"


NSD = """server:
ip-address: $ADDRESS
username: ""
chroot: ""
zonesdir: ""
database: ""
pidfile: "$DIR/nsd-$N.pid"
xfrdfile: ""
zonelistfile: "$DIR/nsd-$N.list"
xfrdir: "$DIR"
server-count: 1
reuseport: no
round-robin: no
rrl-ratelimit: 0
rrl-whitelist-ratelimit: 0
refuse-any: no
ipv4-edns-size: 4096
remote-control:
control-enable: no
"""
UNBOUND = """server:
interface: 127.0.0.1@$PORT
directory: "$DIR"
chroot: ""
username: ""
pidfile: ""
use-syslog: no
do-daemonize: no
do-ip6: no
do-not-query-localhost: no
access-control: 127.0.0.0/8 allow
unblock-lan-zones: yes
num-threads: 1
ede: yes
aggressive-nsec: no
harden-below-nxdomain: no
trust-anchor-signaling: no
edns-buffer-size: 1232
rrset-roundrobin: no
"""


def dnskey_line(key: ZoneKey) -> str:
    flags, protocol, algorithm = struct.unpack_from("!HBB", key.rdata)
    return f"@ DNSKEY {flags} {protocol} {algorithm} {base64.b64encode(key.rdata[4:]).decode()}"


def find_tool(name: str) -> str:
    return shutil.which(name, path=PATH) or name


def run_tool(name: str, *words: str) -> str:
    done = subprocess.run([find_tool(name), *words], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{name} {' '.join(words)}: {done.stderr}")
    return done.stdout


# -- the relay ---------------------------------------------------------------------


class Relay(MockUpstream):
    """Asks the resolver and passes on what it says, unless a rule changes it.

    Tests may set `change`, which comes after the rules and sees every answer: it edits the
    `Break`, or gives a MockReply of its own.
    """

    def __init__(self, hierarchy: Hierarchy) -> None:
        super().__init__(self.pass_on)
        self.hierarchy = hierarchy
        self.rules = read_rules(hierarchy.zones)
        self.change: Callable[[Break], MockReply | None] | None = None
        self.tcp_now = threading.local()
        self.made: dict[tuple[str, str, int], DnsMessage] = {}  # what the rules made: signing is slow

    def _decide(self, data: bytes, peer: tuple[str, int], tcp: bool) -> tuple[MockReply, bytes] | None:
        self.tcp_now.value = tcp
        return super()._decide(data, peer, tcp)

    def pass_on(self, question: dnswire.DnsQuestion, query: DnsMessage) -> MockReply | None:
        name = question.name.lower()
        rule = self.rules.get((name, question.qtype)) or self.rules.get((name, "*"))
        if rule is None and self.change is None:
            send = tcp_raw if self.tcp_now.value else udp_raw
            raw = send(query.raw, self.hierarchy.resolver_port, seconds=10)
            return None if raw is None else MockReply(raw=raw[2:])
        key = (name, question.qtype, query.edns_flags)
        work = Break(self.hierarchy, query, self.tcp_now.value, self.made.get(key))
        for change in (rule if key not in self.made else None, self.change):
            made = change(work) if change is not None else None
            if isinstance(made, MockReply):
                return made
            if change is rule:
                self.made[key] = replace(work.message)
        return work.reply()


class Break:
    """An answer on its way, and the tools to spoil it."""

    def __init__(self, hierarchy: Hierarchy, query: DnsMessage, tcp: bool, made: DnsMessage | None) -> None:
        self.hierarchy = hierarchy
        self.query = query
        self.tcp = tcp
        self.flags = "QR RA"
        self.truncate = False
        self.question = query.question[0]
        self.name = self.question.name.lower()
        self.message = replace(made) if made else self.fetch(self.name, self.question.qtype)
        labels = self.name.split(".")
        zones = hierarchy.zones
        self.zone = next(
            (zones[n] for n in (".".join(labels[i:]) for i in range(len(labels))) if n in zones), zones["."]
        )

    def fetch(self, name: str, qtype: str) -> DnsMessage:
        """What the resolver really says."""
        do = bool(self.query.edns_flags & 0x8000)
        raw = tcp_raw(dnswire.build_query(name, qtype, do=do, edns=4096), self.hierarchy.resolver_port, seconds=10)
        assert raw is not None, f"the resolver is silent about {name} {qtype}"
        return dnswire.parse(raw)

    def reply(self) -> MockReply | None:
        made = MockReply(
            rcode=self.message.rcode,
            answer=self.message.answer,
            authority=self.message.authority,
            additional=self.message.additional,
            flags=self.flags,
        )
        size = len(made.pack(self.query, True))
        made.truncate = self.truncate or size > max(512, self.query.edns_size or 512)
        return made

    # Tools

    def keep(self, wanted: Callable[[DnsRecord], bool]) -> None:
        """Keep only the records that are wanted."""
        for section in ("answer", "authority"):
            setattr(self.message, section, [item for item in getattr(self.message, section) if wanted(item)])

    def unsign(self, *covered: str) -> None:
        """Take away signatures: all, or those over some types."""
        self.keep(lambda item: item.rtype != "RRSIG" or (bool(covered) and covers(item) not in covered))

    def drop(self, *types: str, owner: str = "") -> None:
        """Take away records of some types with their signatures; all owners or one."""
        self.keep(
            lambda item: (
                (covers(item) if item.rtype == "RRSIG" else item.rtype) not in types
                or bool(owner)
                and item.name.lower() != owner
            )
        )

    def drop_nsec3(self, name: str) -> None:
        """Take away the NSEC3 that matches or covers a name."""
        _, iterations, salt = self.zone.denial.split(":")
        wanted = nsec3_hash(name, int(iterations), bytes.fromhex(salt))

        def hit(item: DnsRecord) -> bool:
            raw = bytes.fromhex(item.rdata[3:])
            owner = base32_hex(item.name.partition(".")[0])
            after = raw[6 + raw[4] :][: raw[5 + raw[4]]]
            return owner == wanted or owner < wanted < after or after <= owner and not after <= wanted <= owner

        hits = {item.name for item in self.message.authority if item.rtype == "NSEC3" and hit(item)}
        self.keep(lambda item: item.name not in hits)

    def steal(self, name: str, qtype: str, rcode: str = "", answer: bool = True) -> None:
        """Say what belongs to another question."""
        other = self.fetch(name, qtype)
        self.message.authority = other.authority
        if answer:
            self.message.answer = other.answer
        self.message.flags = other.flags
        if rcode:
            self.rcode(rcode)

    def rcode(self, rcode: str) -> None:
        self.message.flags = self.message.flags & ~15 | dnswire.RCODE_NUMBERS[rcode]

    def borrow(self, name: str) -> None:
        """Answer with another name's records as if they were ours."""
        self.message.answer = [replace(item, name=self.name) for item in self.fetch(name, self.question.qtype).answer]

    def edit(self, change: Callable[[DnsRecord], DnsRecord]) -> None:
        """Change each record of the answer."""
        self.message.answer = [change(item) for item in self.message.answer]

    def forge(self, data: str) -> None:
        """Change what the records of the asked type say."""
        self.edit(lambda item: replace(item, rdata=data) if item.rtype == self.question.qtype else item)

    def spoil(self, rtype: str = "") -> None:
        """Turn a bit of the signatures in the answer."""
        self.edit(
            lambda item: (
                replace(item, rdata=item.rdata[:-1] + f"{int(item.rdata[-1], 16) ^ 1:x}")
                if item.rtype == "RRSIG" and covers(item) == (rtype or self.question.qtype)
                else item
            )
        )

    def sign(self, *, keep: bool = False, first: bool = False, **changes: object) -> None:
        """Sign the records of the asked type, with changes (see sign_rrset), and put that for what was there."""
        rtype = self.question.qtype
        records = [item for item in self.message.answer if item.rtype == rtype]
        if not records or not self.query.edns_flags & 0x8000:
            return
        made = sign_rrset(records, self.hierarchy.zones, **{"zone": self.zone.name, **changes})  # type: ignore[arg-type]
        rest = [item for item in self.message.answer if keep or item.rtype != "RRSIG" or covers(item) != rtype]
        self.message.answer = [made, *rest] if first else [*rest, made]

    def add(self, text: str) -> None:
        self.message.answer = [*self.message.answer, dnswire.record(text)]

    def bad_signatures(self, count: int, tag: int | None = None, algorithm: int = 8, **how: bool) -> None:
        """Add signatures that fit nothing."""
        for number in range(count):
            self.sign(keep=True, first=True, tag=tag, algorithm=algorithm, spoil=number + 1, **how)

    def alter(self, rtype: str, change: Callable[[bytes], bytes], owner: Callable[[str], str] = str) -> None:
        """Change the data of proofs in the authority section and sign them anew."""
        made: list[DnsRecord] = []
        for item in self.message.authority:
            if item.rtype == rtype:
                raw = change(bytes.fromhex(item.rdata[3:]))
                item = replace(item, name=owner(item.name), rdata="\\# " + raw.hex())
                made += [item, sign_rrset([item], self.hierarchy.zones, zone=self.zone.name)]
            elif covers(item) != rtype:
                made.append(item)
        self.message.authority = made

    def chain(self, count: int) -> None:
        """Answer with so many signed aliases that end at www."""
        zone = self.zone.name
        names = [self.name, *(f"c{number}.{zone}" for number in range(count - 1)), f"www.{zone}"]
        www = self.fetch(names[-1], self.question.qtype).answer
        self.aliases(names, www)

    def loop(self) -> None:
        """Answer with two signed aliases that point to each other."""
        other = f"loop2.{self.zone.name}"
        self.aliases([self.name, other, self.name], [])

    def aliases(self, names: list[str], end: list[DnsRecord]) -> None:
        records = [DnsRecord(left, "CNAME", "IN", 300, right) for left, right in zip(names, names[1:], strict=False)]
        signed = [(item, sign_rrset([item], self.hierarchy.zones, zone=self.zone.name)) for item in records]
        self.message.answer = [item for pair in signed for item in pair] + end
        self.message.authority = []
        self.message.flags &= ~15

    def keys(self, *keys: bytes, **changes: object) -> None:
        """Show these keys in place of the true ones, signed anew."""
        if self.message.answer:
            shape = self.message.answer[0]
            self.message.answer = [DnsRecord(shape.name, "DNSKEY", "IN", shape.ttl, "\\# " + key.hex()) for key in keys]
            self.sign(**changes)


def base32_hex(label: str) -> bytes:
    table = str.maketrans("0123456789ABCDEFGHIJKLMNOPQRSTUV", "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567")
    return base64.b32decode(label.upper().translate(table))


def nsec3_hash(name: str, iterations: int, salt: bytes) -> bytes:
    data = dnswire.pack_name(name.lower())
    for _ in range(iterations + 1):
        data = hashlib.sha1(data + salt).digest()
    return data


def covers(item: DnsRecord) -> str:
    """The type that a signature covers; the empty text for other records."""
    return dnswire.type_name(int(item.rdata[3:7], 16)) if item.rtype == "RRSIG" else ""


NAMES_INSIDE = {"NS", "CNAME", "DNAME", "PTR", "MX", "SRV", "SOA"}


def sign_rrset(
    records: Sequence[DnsRecord],
    zones: dict[str, SignedZone],
    *,
    zone: str,
    signer: str = "",
    inception: int = -3600,
    expiration: int = 86400 * 20,
    labels: int | None = None,
    tag: int | None = None,
    algorithm: int | None = None,
    ttl: int | None = None,
    shown_ttl: int | None = None,
    owner: str = "",
    rtype: str = "",
    spoil: int = 0,
    cut: int | None = None,
    upper: bool = False,
) -> DnsRecord:
    """Sign with the first key of `zone`; the rest is what the signature says, true or not.

    `owner` is the name that is signed, `spoil` makes a signature of noise, `cut` shortens it,
    `upper` writes the signer in capitals, `shown_ttl` is the original TTL shown but not signed.
    """
    key = zones[zone].keys[0]
    first = records[0]
    owner = (owner or first.name).lower()
    count = 0 if owner == "." else owner.rstrip(".").count(".") + 1 - owner.startswith("*.")
    now = int(time.time())
    code = dnswire.type_code(rtype or first.rtype)
    ttl = first.ttl if ttl is None else ttl
    wire_signer = dnswire.pack_name((signer or zone).lower())

    def head(original: int) -> bytes:
        return struct.pack(
            "!HBBIIIH",
            code,
            algorithm or key.algorithm,
            count if labels is None else labels,
            original,
            now + expiration,
            now + inception,
            key.tag if tag is None else tag,
        )

    datas = sorted(
        dnswire.pack_rdata(item.rtype, item.rdata.lower() if item.rtype in NAMES_INSIDE else item.rdata)
        for item in {item.rdata: item for item in records}.values()
    )
    wire_owner = dnswire.pack_name(owner) + struct.pack("!HHI", dnswire.type_code(first.rtype), 1, ttl)
    body = b"".join(wire_owner + struct.pack("!H", len(data)) + data for data in datas)
    signature = key.sign_rsa(head(ttl) + wire_signer + body)
    if spoil:
        signature = random.Random(spoil).randbytes(64 if algorithm == 15 else len(signature))
    shown = wire_signer.upper() if upper else wire_signer
    raw = head(ttl if shown_ttl is None else shown_ttl) + shown + signature[:cut]
    return DnsRecord(first.name, "RRSIG", "IN", first.ttl, "\\# " + raw.hex())


# -- keys that nobody made -----------------------------------------------------------


def with_tag(rdata: bytes, tag: int) -> bytes:
    """The data with two of its last bytes chosen so that its tag is as wanted."""
    at = (len(rdata) - 2) & ~1
    missing = tag - key_tag(rdata[:at] + b"\0\0" + rdata[at + 2 :])
    for step in (-1, 0, 1):
        tried = rdata[:at] + struct.pack("!H", (missing + step) & 0xFFFF) + rdata[at + 2 :]
        if key_tag(tried) == tag:
            return tried
    raise ValueError("no key data with this tag")


def fake_keys(count: int, tag: int, algorithm: int = 8, seed: int = 1) -> list[bytes]:
    """Zone keys of noise that share a tag."""
    rng = random.Random(seed)
    head = struct.pack("!HBB", 256, 3, algorithm)
    out = []
    while len(out) < count:
        body = rng.randbytes(32) if algorithm == 15 else b"\3\1\0\1" + b"\xc0" + rng.randbytes(127)
        made = with_tag(head + body[:-2] + b"\0\0", tag)
        if algorithm == 15 or made[-1] & 1:
            out.append(made)
    return out


def big_exponent_key(tag: int, bits: int = 4096) -> bytes:
    """An RSA key whose exponent is as long as its modulus: dear to try."""
    rng = random.Random(2)
    size = bits // 8
    body = b"\0" + struct.pack("!H", size) + b"\xff" + rng.randbytes(size - 1) + b"\xff" + rng.randbytes(size - 1)
    return with_tag(struct.pack("!HBB", 256, 3, 8) + body, tag)


# -- what is broken, and how -----------------------------------------------------------

DAY = 86400
# Keys without a key, with points off their curve, with exponent or modulus of nothing.
ODD_DATA = [
    bytes.fromhex(text)
    for text in (
        "01000308 0100030d 0100030f 01000310 010003fd 010003fe0a",
        f"0100030d{'11' * 64} 0100030d{'00' * 64} 0100030e{'ff' * 96} 0100030f{'ff' * 32} 01000310{'ff' * 57}",
        f"0100030800 010003080000 0100030801 010003080103 0100030801{'00' * 65} 01000308ff{'03' * 20}",
    )
    for text in text.split()
]
Change = Callable[[Break], "MockReply | None"]


def _many_keys(b: Break) -> None:
    key = b.zone.keys[0]
    others = [fake_keys(1, tag, seed=tag)[0] for tag in range(1000, 1100) if tag != key.tag]
    b.keys(*others, key.rdata)


def _keytrap_keys(b: Break) -> None:
    key = b.zone.keys[0]
    b.keys(*fake_keys(60, key.tag), key.rdata)
    b.bad_signatures(60)


def _odd_key(b: Break) -> None:
    assert b.zone.odd is not None
    b.keys(b.zone.odd.rdata, tag=b.zone.odd.tag)


def _odd_tag(b: Break) -> None:
    assert b.zone.odd is not None
    b.sign(tag=b.zone.odd.tag)


# `NAME TYPE`: the change.  `$B` is each of the broken zones, `$P` its parent, `$Z` the zone's name.
RULES: dict[str, Callable[[Break], object]] = {
    "expired.$B A": lambda b: b.sign(inception=-40 * DAY, expiration=-10 * DAY),
    "stale.$B A": lambda b: b.sign(inception=-40 * DAY, expiration=-60),
    "future.$B A": lambda b: b.sign(inception=10 * DAY, expiration=40 * DAY),
    "soon.$B A": lambda b: b.sign(expiration=90),
    "badsig.$B A": lambda b: b.spoil(),
    "badtag.$B A": lambda b: b.sign(tag=b.zone.keys[0].tag ^ 1),
    "badalg.$B A": lambda b: b.sign(algorithm=13),
    "nosig.$B A": lambda b: b.unsign(),
    "nosig.$B TXT": lambda b: b.unsign(),
    "below.nosig.$B A": lambda b: b.unsign(),
    "strip-all.$B *": lambda b: (b.unsign(), b.drop("NSEC", "NSEC3")),
    "forged.$B A": lambda b: b.forge("198.18.66.66"),
    "sibling.$B A": lambda b: b.sign(zone="alg8.nsec"),
    "parent.$B A": lambda b: b.sign(zone="alg8.nsec", signer=b.zone.name),
    "child.$B A": lambda b: b.sign(signer="child." + b.zone.name),
    "labels-more.$B A": lambda b: b.sign(labels=4),
    "labels-less.$B A": lambda b: b.sign(labels=2, owner="*." + b.zone.name),
    "ttl.$B A": lambda b: (b.sign(), b.edit(lambda item: replace(item, ttl=9999))),
    "origttl.$B A": lambda b: b.sign(shown_ttl=9999),
    "covers.$B A": lambda b: b.sign(rtype="AAAA"),
    "two-sigs.$B A": lambda b: b.bad_signatures(1),
    "two-bad.$B A": lambda b: (b.spoil(), b.bad_signatures(1)),
    "few-bad.$B A": lambda b: b.bad_signatures(10),
    "many-bad.$B A": lambda b: b.bad_signatures(40),
    "upper.$B A": lambda b: b.sign(upper=True),
    "duplicate.$B A": lambda b: setattr(b.message, "answer", b.message.answer[:1] + b.message.answer),
    "short.$B A": lambda b: b.sign(cut=10),
    "empty.$B A": lambda b: b.sign(cut=0),
    "extra.$B A": lambda b: b.add(f"www.{b.zone.name} 300 A 198.18.66.67"),
    "badalias.$B A": lambda b: b.spoil("CNAME"),
    "to-broken.alias.nsec A": lambda b: b.spoil(),
    "mail.two-algs.nsec A": lambda b: b.keep(lambda item: item.rtype != "RRSIG" or item.rdata[7:9] == "08"),
    "chain15.$B A": lambda b: b.chain(15),
    "chain250.$B A": lambda b: b.chain(250),
    "loop1.$B A": lambda b: b.loop(),
    # Names that are not there, and what should prove it.
    "nx-noproof.$B *": lambda b: b.drop("NSEC", "NSEC3"),
    "nx-nosig.$B *": lambda b: b.unsign("NSEC", "NSEC3"),
    "nx-nosoasig.$B *": lambda b: b.unsign("SOA"),
    "nx-nowild.$B *": lambda b: b.drop("NSEC", owner=b.zone.name),
    "nx-nowild3.broken3.nsec *": lambda b: b.drop_nsec3("*." + b.zone.name),
    "nx-noencloser.broken3.nsec *": lambda b: b.drop_nsec3(b.zone.name),
    "nx-nonext.broken3.nsec *": lambda b: b.drop_nsec3(b.name),
    "nx-apexonly.$B *": lambda b: b.keep(lambda item: item.name.lower() == b.zone.name),
    "nx-bare.$B *": lambda b: b.keep(lambda item: False),
    "nx-child.$B *": lambda b: b.steal(f"nowhere.sub.{b.zone.name}", "A"),
    "nx-sibling.$B *": lambda b: b.steal("nx-sibling.alg8.nsec", "A"),
    "fake.$B A": lambda b: b.steal(f"fakd.{b.zone.name}", "A"),
    "fake.$B AAAA": lambda b: b.steal(f"fakd.{b.zone.name}", "A"),
    "mail.$B A": lambda b: b.steal(f"mail.{b.zone.name}", "AAAA"),
    "aliat.$B A": lambda b: b.steal(f"aliat0.{b.zone.name}", "A", "NOERROR"),
    "flip.$B TXT": lambda b: b.rcode("NXDOMAIN"),
    "flip.$B A": lambda b: b.rcode("NXDOMAIN"),
    "under.dn.$B A": lambda b: b.steal(f"dn0.{b.zone.name}", "A"),
    "mail.$B TXT": lambda b: b.drop("NSEC", "NSEC3"),
    "mail.$B MX": lambda b: b.steal(f"www.{b.zone.name}", "TXT"),
    "zz.$B A": lambda b: b.steal(f"zy.{b.zone.name}", "A", "NXDOMAIN"),
    "a.ent.$B A": lambda b: b.steal(f"ent.{b.zone.name}", "A"),
    # Proofs that are signed, and strange.
    "nx-salt.broken3.nsec *": lambda b: b.alter("NSEC3", lambda raw: raw[:5] + b"\xcd" + raw[6:]),
    "nx-hash.broken3.nsec *": lambda b: b.alter("NSEC3", lambda raw: b"\2" + raw[1:]),
    "nx-flags.broken3.nsec *": lambda b: b.alter("NSEC3", lambda raw: raw[:1] + b"\x80" + raw[2:]),
    "nx-iterations.broken3.nsec *": lambda b: b.alter("NSEC3", lambda raw: raw[:2] + b"\0\7" + raw[4:]),
    "nx-many.broken3.nsec *": lambda b: b.alter("NSEC3", lambda raw: raw[:2] + b"\xff\xff" + raw[4:]),
    "nx-owner.broken3.nsec *": lambda b: b.alter("NSEC3", bytes, lambda name: "not-base32." + name.partition(".")[2]),
    "nx-shorthash.broken3.nsec *": lambda b: b.alter("NSEC3", lambda raw: raw[:6] + b"\x05" + raw[7:12]),
    "nx-bitmap.broken3.nsec *": lambda b: b.alter("NSEC3", lambda raw: raw + b"\0\xff\1"),
    "nx-bitmap.broken.nsec *": lambda b: b.alter("NSEC", lambda raw: raw + b"\0\xff\1"),
    "nx-nonext.broken.nsec *": lambda b: b.alter("NSEC", lambda raw: raw[:3]),
    # The parent's proof about the cut says nothing of what is below it.
    "cuthere.$B A": lambda b: b.steal(b.zone.name + "0." + parent_of(b.zone), "A", "NXDOMAIN"),
    "www.sub.$B A": lambda b: b.steal(f"sub0.{upper_zone(b)}", "A", "NXDOMAIN"),
    "sub.$B MX": lambda b: b.steal(f"sub0.{upper_zone(b)}", "A", "NOERROR"),
    # Wildcards without the proof that the name itself is not there.
    "noproof.bw.$B A": lambda b: b.drop("NSEC", "NSEC3"),
    "wrongproof.bw.$B A": lambda b: b.steal(f"mail.{b.zone.name}", "TXT", answer=False),
    "z.y.bw.$B A": lambda b: (b.borrow(f"any.bw.{b.zone.name}"), b.rcode("NOERROR")),
    "x.y.bw.$B A": lambda b: b.steal(f"any.bw.{b.zone.name}", "A"),
    "noproof.bc.$B A": lambda b: b.drop("NSEC", "NSEC3"),
    "noproof.bw2.$B TXT": lambda b: b.drop("NSEC", "NSEC3"),
    # A delegation that is said to be insecure, or not to be.
    "ins.$B DS": lambda b: b.drop("NSEC", "NSEC3"),
    **{
        f"ds-steal.{tld} DS": lambda b: b.steal("ins." + parent_of(b.zone), "DS") for tld in ("nsec", "nsec3", "optout")
    },
    **{f"www.ds-steal.{tld} A": lambda b: b.unsign() for tld in ("nsec", "nsec3", "optout")},
    "ds-sibling.nsec DS": lambda b: b.steal("ins.d1.nsec", "DS"),
    "www.ds-sibling.nsec A": lambda b: b.unsign(),
    # Keys and DS.
    "dk-nosig.nsec DNSKEY": lambda b: b.unsign(),
    "dk-badsig.nsec DNSKEY": lambda b: b.spoil(),
    "dk-expired.nsec DNSKEY": lambda b: b.sign(inception=-40 * DAY, expiration=-10 * DAY),
    "dk-lost.nsec DNSKEY": lambda b: b.steal("dk-lost.nsec", "AAAA"),
    "dk-other.nsec DNSKEY": lambda b: b.keys(
        b.hierarchy.zones["alg8.nsec"].keys[0].rdata, zone="alg8.nsec", signer=b.name
    ),
    "dk-servfail.nsec DNSKEY": lambda b: MockReply(rcode="SERVFAIL"),
    **{f"dk-{how}.nsec DNSKEY": _odd_key for how in ("nozone", "revoked", "proto")},
    **{f"www.dk-{how}.nsec A": _odd_tag for how in ("nozone", "revoked", "proto")},
    "ds-nosig.nsec DS": lambda b: b.unsign(),
    "ds-badsig.nsec DS": lambda b: b.spoil(),
    "ds-cut.nsec DS": lambda b: (b.unsign(), b.drop("DS")),
    "www.ds-cut.nsec A": lambda b: b.unsign(),
    "ds-childproof.nsec DS": lambda b: b.steal("ds-childproof.nsec", "AAAA"),
    "www.ds-childproof.nsec A": lambda b: b.unsign(),
    "ds-servfail.nsec DS": lambda b: MockReply(rcode="SERVFAIL"),
    # Work without end.
    "keytrap.nsec DNSKEY": _keytrap_keys,
    "www.keytrap.nsec A": lambda b: b.bad_signatures(60),
    "keytrap15.nsec DNSKEY": lambda b: b.keys(*fake_keys(60, 4242, 15), b.zone.keys[0].rdata),
    "www.keytrap15.nsec A": lambda b: (b.unsign(), b.bad_signatures(60, 4242, 15)),
    "bigexp.nsec DNSKEY": lambda b: b.keys(big_exponent_key(777), b.zone.keys[0].rdata),
    "www.bigexp.nsec A": lambda b: (b.unsign(), b.bad_signatures(5, 777)),
    "manykeys.nsec DNSKEY": _many_keys,
    "twokeys.nsec DNSKEY": lambda b: b.keys(*fake_keys(1, b.zone.keys[0].tag), b.zone.keys[0].rdata),
    "oddkeys.nsec DNSKEY": lambda b: b.keys(*ODD_DATA, b.zone.keys[0].rdata),
    f"{'.'.join(str(n) for n in range(60))}.$B A": lambda b: (
        b.borrow(f"www.{b.zone.name}"),
        b.unsign(),
        b.drop("NSEC", "NSEC3"),
        b.rcode("NOERROR"),
    ),
}


def parent_of(zone: SignedZone) -> str:
    return zone.parent.name if zone.parent is not None else "."


def upper_zone(b: Break) -> str:
    return parent_of(b.zone)


def read_rules(zones: dict[str, SignedZone]) -> dict[tuple[str, str], Change]:
    rules: dict[tuple[str, str], Change] = {}
    for text, change in RULES.items():
        for broken in ("broken.nsec", "broken3.nsec", "brokeno.nsec") if "$B" in text else ("",):
            name, qtype = text.replace("$B", broken).split()
            rules[name, qtype] = change  # type: ignore[assignment]
    return rules


def main() -> None:
    """Keep a hierarchy up until interrupted, and say how to use it."""
    hierarchy = Hierarchy(pathlib.Path(sys.argv[1]).absolute())
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    began = time.monotonic()
    try:
        hierarchy.start()
        print(f"# up after {time.monotonic() - began:.1f} s; Ctrl-C ends it")
        print(f"# the resolver without validation and without rules: 127.0.0.1#{hierarchy.resolver_port}")
        print(f"# a validating unbound for comparison: 127.0.0.1#{hierarchy.validator()}")
        print(hierarchy.configuration(), flush=True)
        while True:
            time.sleep(3600)
    except KeyboardInterrupt:
        pass
    finally:
        hierarchy.stop()


if __name__ == "__main__":
    main()
