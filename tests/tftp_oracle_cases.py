"""Configurations and TFTP packets that are put to dnsmasq and to pydnsmasq alike.

Both serve the same directory, `$ROOT`, whose files are made by `FILES`.  A step is one
line: `[CLIENT:] VERB WORDS -> OUTCOME`.  A client is a letter, one UDP port for the whole
case; without one the step has a port of its own.  Verbs:

    get NAME                whole file, packets and all; OUTCOME is the OACK, if any, and the size
    ask NAME                a read request and what comes at once
    write NAME              a write request                raw TEXT    these bytes to port 69
    ack N, error N TEXT     to whom the answers came from  send TEXT   these bytes
    again                   wait until the last packet is repeated
    truncate, grow, vanish, replace, overwrite, restore NAME         do that to a file
    hold PORT               another program has it         hup

In NAME and TEXT %20 is a blank, and so on.  More words: `to=ADDRESS` (of the server; from
loopback addresses the client is beside it), `mode=`, `times=`, `at=CLIENT` (to that client's
partner), and any other `k=v` is a TFTP option.  OUTCOME is what dnsmasq answers, or the
beginning of it: packets as `TftpPacket` shows them, joined by ` + `, or SILENCE.

After ` ! ` stands an expected difference: what ours answers and then `~log` when the log
differs, too; a colon and the reason.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

FILES: dict[str, bytes] = {
    "f": b"hello",
    "empty": b"",
    "x20": b"x" * 20,
    "x511": b"y" * 511,
    "x512": b"A" * 512,
    "x1024": b"B" * 1024,
    "five": bytes(range(250)) * 10,
    "big": bytes(range(256)) * 256,
    "sub/g": b"inner",
    "sub/MiXed": b"upper and lower",
    "sub/mixed": b"lower",
    "sub/deep/h": b"deep",
    "with blank": b"blank",
    'q"uote': b"quote",
    "..f": b"dots",
    ".../f": b"more dots",
    "-dash": b"dash",
    "caf\xe9": b"latin",
    "%s%n": b"percent",
    "10.77.1.2/f": b"by address",
    "02-00-00-00-01-02/f": b"by MAC",
    "10.77.1.2/02-00-00-00-01-02/f": b"by both",
    "fd77:1::2/f": b"by IPv6 address",
    "text": b"a\nb\r\nc\rd\n" * 100,
    "lf600": b"\n" * 600,
    "cut1": b"x" * 511 + b"\ny",
    "cut2": b"x" * 510 + b"\ny",
    "cut3": b"x" * 511 + b"\n",
    "cut4": b"x" * 510 + b"\r\n",
    "cr": b"\r",
    "odd": b"a\r\0b\r\rc\n",
    "chg": bytes(range(250)) * 10,
    "wide": b"abcdefgh" * 65540 + b"Z",
    "hidden": b"not for all",
    "owned": b"another's",
    "owned-hidden": b"another's own",
}
# Name, owner, mode of those that are not root's and 0644.
MODES = (("hidden", "root", 0o600), ("owned", "nobody", 0o644), ("owned-hidden", "nobody", 0o640))
LINKS = (("link-in", "f"), ("link-out", "/etc/passwd"), ("sub/link-up", "../f"), ("link-none", "nothing"))


@dataclass
class TftpCase:
    """One configuration and the packets."""

    name: str
    conf: str
    steps: str
    user: str = "root"
    port: int = 0  # of DNS
    ip: tuple[str, ...] = ()  # `s:` or `c:`, then a command for ip in that namespace
    ports: bool = False  # compare the transfers' ports
    files: dict[str, str] = field(default_factory=dict)


@dataclass
class StartCase:
    """A configuration that is only started: the exit status and what the log says."""

    conf: str
    status: int | None = None  # None: it runs


ROOT = "enable-tftp\ntftp-root=$ROOT\n"

REQUESTS = """\
get f -> 5 bytes
get f mode=OcTeT -> 5 bytes
get text mode=netascii -> 1200 bytes ! 1400 bytes : a CR alone is CR NUL in netascii
get text mode=NetASCII -> 1200 bytes ! 1400 bytes : a CR alone is CR NUL in netascii
ask f mode=mail -> ERROR 4
ask f mode= -> ERROR 4
ask f mode=binary -> ERROR 4
ask f mode=octet%20 -> ERROR 4
write f -> ERROR 4 unsupported request ! ERROR 4 unsupported write request ~log : so says 2.93
write new -> ERROR 4 unsupported request ! ERROR 4 unsupported write request ~log : so says 2.93
write .. -> ERROR 4 unsupported request ! ERROR 4 unsupported write request ~log : so says 2.93
raw %00%00f%00octet%00 -> ERROR 4
raw %00%07f%00octet%00 -> ERROR 4
raw %01%01f%00octet%00 -> ERROR 4
raw %00%03%00%01xx -> ERROR 4
raw %00%04%00%01 -> ERROR 4
raw %00%05%00%00boo%00 -> ERROR 4 ! SILENCE ~log : two servers could answer errors with errors for ever
raw %00%06tsize%000%00 -> ERROR 4
raw %FF%FF%FF%FF -> ERROR 4
raw  -> SILENCE
raw %00 -> SILENCE
raw %00%01 -> ERROR 4
raw %00%01%00 -> ERROR 4
raw %00%01%00%00 -> ERROR 4
raw %00%01f%00 -> ERROR 4
raw %00%01f -> ERROR 4
raw %00%01f%00octet -> ERROR 4
raw %00%01%00octet%00 -> ERROR 4
raw %00%01f%00octet%00blksize -> ERROR 4
raw %00%01f%00octet%00tsize%000 -> ERROR 4
raw %00%01f%00x%00octet%00 -> ERROR 4
ask nope -> ERROR 1
ask no/pe -> ERROR 1
ask /nope -> ERROR 1
ask f/g -> ERROR 0
ask sub -> ERROR 0
ask sub/ -> ERROR 0
ask . -> ERROR 0
ask / -> ERROR 0
ask f/ -> ERROR 0
ask f/. -> ERROR 0
ask hidden -> ERROR 2
ask owned-hidden -> ERROR 2
get owned -> 9 bytes
get empty -> 0 bytes
get x511 -> 511 bytes
get x512 -> 512 bytes
get x1024 -> 1024 bytes
get big -> 65536 bytes
get link-in -> 5 bytes
get sub/link-up -> 5 bytes
ask link-none -> ERROR 1
ask nope tsize=0 blksize=1000 -> ERROR 1
"""

PATHS = """\
get sub/g -> 5 bytes
get /sub/g -> 5 bytes
get //sub//g -> 5 bytes
get sub\\g -> 5 bytes
get \\sub\\deep\\h -> 4 bytes
get ./f -> 5 bytes
get sub/./g -> 5 bytes
get ..f -> 4 bytes
get .../f -> 9 bytes
get -dash -> 4 bytes
get with%20blank -> 5 bytes
get q"uote -> 5 bytes
get %25s%25n -> 7 bytes
get caf%E9 -> 5 bytes
ask ../f -> ERROR 2
ask ../../etc/passwd -> ERROR 2
ask sub/../f -> ERROR 2
ask /../f -> ERROR 2
ask ..\\f -> ERROR 2
ask sub\\..\\f -> ERROR 2
ask \\..\\..\\etc\\passwd -> ERROR 2
ask a/b/../../../../etc/passwd -> ERROR 2
ask /etc/passwd -> ERROR 1
ask //etc/passwd -> ERROR 1
ask \\etc\\passwd -> ERROR 1
ask C:\\boot\\x -> ERROR 1
get $ROOT/f -> 5 bytes
get $ROOT/sub/g -> 5 bytes
get $ROOT//f -> 5 bytes
ask $ROOT -> ERROR 1
ask $ROOT/ -> ERROR 0
ask $ROOTx/f -> ERROR 1
ask /$ROOT/f -> ERROR 1
ask $ROOT/../passwd -> ERROR 2
ask $ROOT/sub/../f -> ERROR 2
ask F -> ERROR 1
ask f%20 -> ERROR 1
ask %20f -> ERROR 1
ask caf%C3%A9 -> ERROR 1
ask a%0Ab -> ERROR 1
ask a%0D%0Ab%09c -> ERROR 1
ask %1B%5B31mred -> ERROR 1
ask %7F%80%FF -> ERROR 1
ask a%25%2E%2Eb -> ERROR 1
ask *?[]{}$x`'&; -> ERROR 1
ask LONG250 -> ERROR 1
ask LONG300 -> ERROR 0
raw %00%01LONG3000%00octet%00 -> ERROR 4
ask .. -> ERROR 0 ! ERROR 2 ~log : no way up at all
ask sub/.. -> ERROR 0 ! ERROR 2 ~log : no way up at all
"""

OPTIONS = """\
get x20 blksize=8 -> OACK blksize=8, 20 bytes
get x20 blksize=0 -> OACK blksize=1, 20 bytes
get x20 blksize=1 -> OACK blksize=1, 20 bytes
get x20 blksize=7 -> OACK blksize=7, 20 bytes
get x20 blksize=20 -> OACK blksize=20, 20 bytes
get x20 blksize=10 -> OACK blksize=10, 20 bytes
get big blksize=511 -> OACK blksize=511, 65536 bytes
get big blksize=512 -> OACK blksize=512, 65536 bytes
get big blksize=513 -> OACK blksize=513, 65536 bytes
get big blksize=1024 -> OACK blksize=1024, 65536 bytes
get big blksize=1428 -> OACK blksize=1428, 65536 bytes
get big blksize=1468 -> OACK blksize=1468, 65536 bytes
get big blksize=1469 -> OACK blksize=1468, 65536 bytes
get big blksize=8192 -> OACK blksize=1468, 65536 bytes
get big blksize=65464 -> OACK blksize=1468, 65536 bytes
get big blksize=99999 -> OACK blksize=1468, 65536 bytes
get big blksize=-1 -> OACK blksize=1468, 65536 bytes
get x20 blksize=abc -> OACK blksize=1, 20 bytes
get x20 blksize=1e3 -> OACK blksize=1, 20 bytes
get x20 blksize=08 -> OACK blksize=8, 20 bytes
get x20 blksize=+8 -> OACK blksize=8, 20 bytes
get x20 blksize=%208 -> OACK blksize=8, 20 bytes
get x20 blksize=8x -> OACK blksize=8, 20 bytes
get x20 blksize= -> 20 bytes
get big tsize=0 -> OACK tsize=65536, 65536 bytes
get big tsize=5 -> OACK tsize=65536, 65536 bytes
get big tsize=x -> OACK tsize=65536, 65536 bytes
get big tsize=-1 -> OACK tsize=65536, 65536 bytes
get big tsize= -> 65536 bytes
get empty tsize=0 -> OACK tsize=0, 0 bytes
get empty blksize=8 -> OACK blksize=8, 0 bytes
get lf600 mode=netascii tsize=0 -> 1200 bytes
get lf600 mode=netascii blksize=1000 -> OACK blksize=1000, 1200 bytes
get lf600 mode=netascii windowsize=4 -> 1200 bytes
get f timeout=0 -> 5 bytes
get f timeout=256 -> 5 bytes
get f timeout=-1 -> 5 bytes
get f timeout=x -> 5 bytes
get f timeout= -> 5 bytes
get f windowsize=0 -> 5 bytes
get f windowsize= -> 5 bytes
get f rollover=0 -> 5 bytes
get f multicast= -> 5 bytes
get f foo=bar -> 5 bytes
get f foo=bar tsize=0 -> OACK tsize=5, 5 bytes
get f tsize=0 foo=bar -> OACK tsize=5, 5 bytes
get f a=1 b=2 c=3 d=4 e=5 g=6 h=7 i=8 j=9 k=10 tsize=0 -> OACK tsize=5, 5 bytes
get big BLKSIZE=600 TSize=0 -> OACK blksize=600 tsize=65536, 65536 bytes
get big blksize=600 tsize=0 -> OACK blksize=600 tsize=65536, 65536 bytes
get big tsize=0 blksize=600 -> OACK blksize=600 tsize=65536, 65536 bytes
get big blksize=600 blksize=700 -> OACK blksize=700, 65536 bytes
get f tsize=0 tsize=0 -> OACK tsize=5, 5 bytes
get f foo= tsize=0 -> 5 bytes
get f =5 tsize=0 -> 5 bytes
get f timeout=3 -> 5 bytes ! OACK timeout=3, 5 bytes : 2.93 has this option
get f timeout=1 -> 5 bytes ! OACK timeout=1, 5 bytes : 2.93 has this option
get f timeout=255 -> 5 bytes ! OACK timeout=255, 5 bytes : 2.93 has this option
get big windowsize=1 -> 65536 bytes ! OACK windowsize=1, 65536 bytes : 2.93 has this option
get big windowsize=2 -> 65536 bytes ! OACK windowsize=2, 65536 bytes : 2.93 has this option
get big windowsize=32 -> 65536 bytes ! OACK windowsize=32, 65536 bytes : 2.93 has this option
get big windowsize=33 -> 65536 bytes ! OACK windowsize=33, 65536 bytes : ours allows windows of 64 blocks
get big windowsize=64 -> 65536 bytes ! OACK windowsize=64, 65536 bytes : ours allows windows of 64 blocks
get big windowsize=65535 -> 65536 bytes ! OACK windowsize=64, 65536 bytes : ours allows windows of 64 blocks
get f WindowSize=4 TIMEOUT=2 -> 5 bytes ! OACK : 2.93 has these options
"""

CONVERSATION = """\
# lock-step, and an ACK too many at the end
a: ask x512 -> DATA 1 of 512
a: ack 1 -> DATA 2 of 0
a: ack 2 -> SILENCE
# duplicate, old and future ACKs
b: ask five -> DATA 1 of 512
b: ack 1 times=4 -> DATA 2 of 512
b: ack 1 times=4 -> SILENCE
b: ack 2 -> DATA 3 of 512
b: ack 1 times=4 -> SILENCE
b: ack 0 times=4 -> SILENCE
b: ack 3 -> DATA 4 of 512
b: ack 65535 -> SILENCE
b: ack 5 -> SILENCE
b: ack 4 -> DATA 5 of 452
b: ack 5 -> SILENCE
c: ask five -> DATA 1 of 512
c: ack 2 times=4 -> SILENCE
c: ack 5 times=4 -> SILENCE
c: ack 0 times=4 -> SILENCE
c: ack 1 -> DATA 2 of 512
c: error 0 -> SILENCE
# the OACK is answered by ACK 0 and by nothing else
d: ask five blksize=600 -> OACK blksize=600
d: ack 1 -> SILENCE
d: ack 0 times=2 -> DATA 1 of 600
d: ack 0 times=4 -> SILENCE
d: ack 1 -> DATA 2 of 600
d: ack 2 -> DATA 3 of 600
d: ack 3 -> DATA 4 of 600
d: ack 4 -> DATA 5 of 100
d: ack 5 -> SILENCE
# errors from the client
e: ask five -> DATA 1 of 512
e: error 0 User%20aborted -> SILENCE
e: ask five -> DATA 1 of 512
e: error 3 disk%20full -> SILENCE
e: ask five -> DATA 1 of 512
e: error 99 LONG200 -> SILENCE
e: ask five -> DATA 1 of 512
e: send %00%05%00%01abc -> SILENCE ! SILENCE ~log : the text is shown without its NUL, too
e: ask five -> DATA 1 of 512
e: send %00%05%00%01%00 -> SILENCE
e: ask five -> DATA 1 of 512
e: send %00%05%00%01 -> SILENCE
e: ask five -> DATA 1 of 512
e: error 1 a%0A%1B%5B31m%E9%25s -> SILENCE
e: ask five -> DATA 1 of 512
e: ack 1 -> DATA 2 of 512
e: error 4 later -> SILENCE
# odd packets to the port of a transfer
g: ask five -> DATA 1 of 512
g: send  -> SILENCE
g: send %00 -> SILENCE
g: send %00%04 -> SILENCE
g: send %00%04%00 -> SILENCE
g: send %00%03%00%01x -> SILENCE
g: send %00%06tsize%001%00 -> SILENCE
g: send %00%09%00%01 -> SILENCE
g: send %00%04%00%01extra -> DATA 2 of 512
g: send %00%01f%00octet%00 -> SILENCE
g: ack 2 -> DATA 3 of 512
g: error 0 -> SILENCE
# strangers
h: ask five -> DATA 1 of 512
i: ack 1 at=h -> ERROR 5 ignoring packet from 10.77.1.2 (TID mismatch)
i: error 0 evil at=h -> ERROR 5 ! SILENCE ~log : errors are not answered
i: send x at=h -> ERROR 5
i: send %00%01f%00octet%00 at=h -> ERROR 5
h: ack 1 -> DATA 2 of 512
h: ack 2 -> DATA 3 of 512
h: error 0 -> SILENCE
# the file is served twice at once
j: ask five -> DATA 1 of 512
k: ask five -> DATA 1 of 512
k: ack 1 -> DATA 2 of 512
j: ack 1 -> DATA 2 of 512
k: error 0 -> SILENCE
j: error 0 -> SILENCE
# the request again
l: ask five -> DATA 1 of 512
l: ask five -> DATA 1 of 512 ! DATA 1 of 512 : the transfer goes on, dnsmasq begins another from a new port
l: ack 1 -> DATA 2 of 512
l: error 0 -> SILENCE
# an unanswered packet is repeated
m: ask x512 -> DATA 1 of 512
m: again -> DATA 1 of 512
m: ack 1 -> DATA 2 of 0
m: again -> DATA 2 of 0
m: ack 2 -> SILENCE
n: ask five tsize=0 -> OACK tsize=2500
n: again -> OACK tsize=2500
n: ack 0 -> DATA 1 of 512
n: error 0 -> SILENCE
"""

WINDOWS = """\
a: ask big windowsize=4 -> DATA 1 of 512 ! OACK windowsize=4
a: ack 0 -> SILENCE ! DATA 1 of 512 + DATA 2 of 512 + DATA 3 of 512 + DATA 4 of 512
a: ack 4 -> SILENCE ! DATA 5 of 512 + DATA 6 of 512 + DATA 7 of 512 + DATA 8 of 512
# in the middle of a window: 7 and 8, which count as repeated, and two more
a: ack 6 -> SILENCE ! DATA 9 of 512 + DATA 10 of 512
a: ack 5 times=4 -> SILENCE
a: ack 99 times=4 -> SILENCE
a: ack 10 -> SILENCE ! DATA 11 of 512 + DATA 12 of 512 + DATA 13 of 512 + DATA 14 of 512
a: error 0 -> SILENCE
b: ask five blksize=600 windowsize=4 -> OACK blksize=600 ! OACK blksize=600 windowsize=4
b: ack 0 -> DATA 1 of 600 ! DATA 1 of 600 + DATA 2 of 600 + DATA 3 of 600 + DATA 4 of 600
b: ack 4 -> SILENCE ! DATA 5 of 100
b: ack 5 -> SILENCE ! SILENCE ~log
"""

SINGLE_PORT = """\
a: ask x512 -> DATA 1 of 512
a: ack 1 -> DATA 2 of 0
a: ack 2 -> SILENCE
a: ack 2 -> ERROR 4
b: ask five -> DATA 1 of 512
b: ack 1 -> DATA 2 of 512
b: ack 1 times=4 -> SILENCE
b: ack 0 times=4 -> SILENCE
b: send  -> SILENCE
b: send %00%04 -> SILENCE
b: send %00%03%00%01x -> SILENCE
b: send %00%06tsize%001%00 -> SILENCE
b: send %00%09%00%01 -> SILENCE
b: send %00%04%00%02extra -> DATA 3 of 512
# the request again: once more from the start
b: ask five -> DATA 1 of 512
b: ask x20 tsize=0 -> OACK tsize=20
b: ack 0 -> DATA 1 of 20
b: ack 1 -> SILENCE
# strangers have no transfer
c: ask five blksize=600 -> OACK blksize=600
c: ack 0 -> DATA 1 of 600
d: ack 1 at=c -> ERROR 4
d: error 0 evil at=c -> ERROR 4 ! SILENCE ~log : errors are not answered
c: ack 1 -> DATA 2 of 600
c: error 0 enough -> SILENCE
c: ack 2 -> ERROR 4
e: ask nope -> ERROR 1
e: ask f -> DATA 1 of 5
e: ack 1 -> SILENCE
get big blksize=1468 -> OACK blksize=1468, 65536 bytes
get big to=fd77:1::1 blksize=9999 -> OACK blksize=1448, 65536 bytes
write f -> ERROR 4 unsupported request ! ERROR 4 unsupported write request ~log : so says 2.93
"""

NETASCII = """\
get lf600 mode=netascii -> 1200 bytes
get cut1 mode=netascii -> 514 bytes
get cut2 mode=netascii -> 513 bytes
get cut3 mode=netascii -> 513 bytes
get cut4 mode=netascii -> 513 bytes ! 514 bytes : a CR alone is CR NUL in netascii
get x512 mode=netascii -> 512 bytes
get cr mode=netascii -> 1 bytes ! 2 bytes : a CR alone is CR NUL in netascii
get odd mode=netascii -> 9 bytes ! 12 bytes : a CR alone is CR NUL in netascii
get empty mode=netascii -> 0 bytes
get lf600 mode=netascii blksize=7 -> OACK blksize=7, 1200 bytes
get lf600 mode=netascii blksize=1 -> OACK blksize=1, 1200 bytes
a: ask lf600 mode=netascii -> DATA 1 of 512
a: again -> DATA 1 of 512
a: ack 1 -> DATA 2 of 512
a: ack 2 -> DATA 3 of 176
a: ack 3 -> SILENCE
"""

CHANGES = """\
a: ask chg -> DATA 1 of 512
grow chg
a: ack 1 -> DATA 2 of 512 ! ERROR 0 cannot read
a: ack 2 -> DATA 3 of 512 ! SILENCE
a: ack 3 -> DATA 4 of 512 ! SILENCE
a: ack 4 -> DATA 5 of 452 ! SILENCE
a: ack 5 -> SILENCE ! SILENCE
restore chg
b: ask chg -> DATA 1 of 512
overwrite chg
b: ack 1 -> DATA 2 of 512 ! ERROR 0 cannot read
b: error 0 -> SILENCE ! SILENCE
restore chg
c: ask chg -> DATA 1 of 512
replace chg
c: ack 1 -> DATA 2 of 512 ! ERROR 0 cannot read
d: ask chg -> DATA 1 of 512
d: ack 1 -> DATA 2 of 512
c: error 0 -> SILENCE ! SILENCE
d: error 0 -> SILENCE
restore chg
e: ask chg -> DATA 1 of 512
vanish chg
e: ack 1 -> DATA 2 of 512 ! ERROR 0 cannot read
ask chg -> ERROR 1
e: error 0 -> SILENCE ! SILENCE
restore chg
get chg -> 2500 bytes
"""

TRUNCATED = """\
a: ask chg -> DATA 1 of 512
truncate chg 700
a: ack 1 -> ERROR 0 cannot read
a: ack 1 -> SILENCE
restore chg
b: ask chg tsize=0 -> OACK tsize=2500
truncate chg 0
b: ack 0 -> ERROR 0 cannot read
restore chg
c: ask chg -> DATA 1 of 512
c: ack 1 -> DATA 2 of 512
truncate chg 100
c: ack 2 -> ERROR 0 cannot read
"""

SECURE = """\
get f -> 5 bytes
get owned -> 9 bytes
get sub/g -> 5 bytes
ask hidden -> ERROR 2
ask owned-hidden -> ERROR 2
ask nope -> ERROR 1
ask sub -> ERROR 0
get link-in -> 5 bytes
get sub/link-up -> 5 bytes
ask ../f -> ERROR 2
"""

UNIQUE = """\
get f -> 10 bytes
get /f -> 10 bytes
ask five -> ERROR 1
ask $ROOT/f -> ERROR 1
ask $ROOT/five -> ERROR 1
get $ROOT/10.77.1.2/f -> 10 bytes
ask ../f -> ERROR 2
get f to=fd77:1::1 -> 15 bytes
get f to=10.77.2.1 -> 5 bytes
get five to=10.77.2.1 -> 2500 bytes
get f to=127.0.0.1 -> 5 bytes
"""

TARGETS = ("10.77.1.1", "10.77.2.1", "fd77:1::1", "fd77:2::1", "127.0.0.1", "::1")


def reach(row: str, more: str = "") -> TftpCase:
    """A line `CONF with ; : y and n`, whether each of the targets answers there."""
    conf, _, answers = row.rpartition(" : ")
    steps = [
        f"get f to={target} -> 5 bytes" if answer == "y" else f"ask f to={target} -> SILENCE"
        for target, answer in zip(TARGETS, answers.split(), strict=True)
    ]
    text = conf.replace("; ", "\n")
    return TftpCase(f"reach {conf}", f"{text}\ntftp-root=$ROOT\n", "\n".join(steps) + "\n" + more)


REACH = """\
enable-tftp : y y y y y y
enable-tftp=lan0 : y n y n n n
enable-tftp=lan* : y n y n n n
enable-tftp=lan0,wan0 : y y y y n n
enable-tftp=lan0; enable-tftp=wan0 : y y y y n n
enable-tftp=lan0; no-dhcp-interface=lan0 : y n y n n n
enable-tftp=lan0; except-interface=lan0 : y n y n n n
enable-tftp=lan0; interface=wan0 : y n y n n n
enable-tftp; no-dhcp-interface=lan0 : n y n y y y
enable-tftp; no-dhcpv4-interface=lan0 : y y y y y y
enable-tftp; no-dhcpv6-interface=lan0 : y y y y y y
enable-tftp; interface=lan0 : y n y n y y
enable-tftp; except-interface=lan0 : n y n y y y
enable-tftp; except-interface=lo : y y y y n n
enable-tftp; interface=lan0; no-dhcp-interface=lan0,lo : n n n n n n
enable-tftp; listen-address=10.77.1.1 : y n n n n n
enable-tftp; listen-address=10.77.1.1,fd77:1::1; bind-interfaces : y n y n n n
enable-tftp; bind-interfaces; interface=lan0 : y n y n y y
enable-tftp; bind-dynamic; interface=lan0 : y n y n y y
enable-tftp; bind-interfaces; no-dhcp-interface=lan0 : n y n y y y
enable-tftp=lan0,wan0; bind-dynamic : y y y y n n
enable-tftp; local-service : y y y y y y
enable-tftp; tftp-single-port : y y y y y y
"""

# The largest blocks over IPv4 and IPv6 on a network of MTU 1500, on the loopback, and there with ours.
SIZES = """\
 : 1468 1448 2263 2263 65464 65464
tftp-mtu=1000 : 968 948 968 948 968 948
tftp-mtu=1500 : 1468 1448 1468 1448 1468 1448
tftp-mtu=100 : 68 48 68 48 68 48
tftp-mtu=3000 : 1468 1448 2263 2263 2968 2948
tftp-mtu=0 : 1468 1448 2263 2263 65464 65464
edns-packet-max=4096 : 1468 1448 5127 5127 65464 65464
edns-packet-max=512 : 1468 1448 1543 1543 65464 65464
edns-packet-max=4096; tftp-mtu=2000 : 1468 1448 1968 1948 1968 1948
"""


def sizes(row: str) -> TftpCase:
    """A line of the above."""
    conf, _, numbers = row.partition(" : ")
    real = numbers.split()[:4]
    ours = [*real[:2], *numbers.split()[4:]]
    steps = []
    for target, theirs, mine in zip(("10.77.1.1", "fd77:1::1", "127.0.0.1", "::1"), real, ours, strict=True):
        step = f"get big to={target} blksize=65464 -> OACK blksize={theirs}, 65536 bytes"
        if mine != theirs:
            step += f" ! OACK blksize={mine}, 65536 bytes : not bound to the size of DNS packets"
        steps.append(step)
    return TftpCase(f"sizes {conf}", ROOT + conf.replace("; ", "\n") + "\n", "\n".join(steps))


SCRIPT = {"script": '#!/bin/sh\necho "$# $*" >>$DIR/calls\nenv | grep ^DNSMASQ_ >>$DIR/calls\n'}

CASES = (
    TftpCase("requests", ROOT, REQUESTS),
    TftpCase("requests with a slash at the root's end", "enable-tftp\ntftp-root=$ROOT/\n", PATHS),
    TftpCase("paths", ROOT, PATHS),
    TftpCase("options", ROOT, OPTIONS),
    TftpCase("conversation", ROOT, CONVERSATION),
    TftpCase("single port", ROOT + "tftp-single-port\n", SINGLE_PORT),
    TftpCase("netascii", ROOT, NETASCII),
    TftpCase("windows", ROOT, re.sub("( ! .*)", r"\1 : 2.93 has this option", WINDOWS)),
    TftpCase("changes", ROOT, re.sub("( ! .*)", r"\1 ~log : what changed is not sent on", CHANGES)),
    TftpCase(
        "truncation",
        ROOT,
        TRUNCATED.replace("cannot read", "cannot read ! ERROR 0 ~log : dnsmasq gives success as the reason"),
    ),
    TftpCase("wrapping block numbers", ROOT, "get wide blksize=8 -> OACK blksize=8, 524321 bytes\n"),
    TftpCase(
        "refused OACK",
        ROOT,
        "a: ask five tsize=0 -> OACK tsize=2500\n"
        "a: error 8 no%20options -> SILENCE ! SILENCE ~log : dnsmasq takes this for a finished transfer\n"
        "b: ask f -> DATA 1 of 5\nb: error 0 enough -> SILENCE\n",
    ),
    # Names and paths
    TftpCase("lower case", ROOT + "tftp-lowercase\n", """\
get sub/MiXed -> 5 bytes
get SUB\\MIXED -> 5 bytes
get F -> 5 bytes
ask NOPE -> ERROR 1
ask LINK-NONE -> ERROR 1
ask %C4X -> ERROR 1
"""),
    TftpCase("mixed case", ROOT, """\
get sub/MiXed -> 15 bytes
get sub/mixed -> 5 bytes
ask sub/MIXED -> ERROR 1
"""),
    TftpCase("no root", "enable-tftp\n", """\
get $ROOT/f -> 5 bytes
get $ROOT//f -> 5 bytes
get .$ROOT/f -> 5 bytes
get $ROOT/sub/../f -> 5 bytes
get /../$ROOT/f -> 5 bytes
ask f -> ERROR 1
ask /nope -> ERROR 1
ask nope -> ERROR 1
ask .. -> ERROR 0
ask $ROOT -> ERROR 0
ask $ROOT/hidden -> ERROR 2
"""),
    TftpCase("roots by interface", "enable-tftp\ntftp-root=$ROOT/sub\ntftp-root=$ROOT,lan0\n", """\
get f -> 5 bytes
get $ROOT/f -> 5 bytes
get g to=10.77.2.1 -> 5 bytes
ask f to=10.77.2.1 -> ERROR 1
ask $ROOT/f to=10.77.2.1 -> ERROR 1
get g to=127.0.0.1 -> 5 bytes
get f to=fd77:1::1 -> 5 bytes
"""),
    TftpCase("a root for one interface only", "enable-tftp\ntftp-root=$ROOT,lan0\ntftp-root=$ROOT/sub,wan*\n", """\
get f -> 5 bytes
ask g -> ERROR 1
ask g to=10.77.2.1 -> ERROR 1
get $ROOT/f to=10.77.2.1 -> 5 bytes
"""),
    TftpCase("the last root wins", "enable-tftp\ntftp-root=$ROOT\ntftp-root=$ROOT/sub\n", """\
get g -> 5 bytes
ask f -> ERROR 1
"""),
    TftpCase("root that is not there", "enable-tftp\ntftp-root=$ROOT/nowhere\ntftp-no-fail\n", """\
ask f -> ERROR 1
ask nope -> ERROR 1
"""),
    TftpCase("unique root", ROOT + "tftp-unique-root\n", UNIQUE),
    TftpCase("unique root by address", ROOT + "tftp-unique-root=ip\n", UNIQUE),
    TftpCase("unique root with a slash", "enable-tftp\ntftp-root=$ROOT/\ntftp-unique-root\n", UNIQUE),
    TftpCase("unique root by MAC", ROOT + "tftp-unique-root=mac\n", """\
get f -> 6 bytes
get f to=fd77:1::1 -> 6 bytes
ask five -> ERROR 1
get $ROOT/02-00-00-00-01-02/f -> 6 bytes
get f to=10.77.2.1 -> 5 bytes
get f to=127.0.0.1 -> 5 bytes
"""),
    *(
        TftpCase(f"unique root by {first} and {second}", f"{ROOT}tftp-unique-root={first}\ntftp-unique-root={second}\n",
        """\
get f -> 7 bytes
ask five -> ERROR 1
get f to=fd77:1::1 -> 15 bytes
get f to=127.0.0.1 -> 5 bytes
""")
        for first, second in (("ip", "mac"), ("mac", "ip"))
    ),
    TftpCase("unique root of an interface", "enable-tftp\ntftp-root=$ROOT,lan0\ntftp-unique-root\n", """\
get f -> 10 bytes
ask f to=10.77.2.1 -> ERROR 1
"""),
    TftpCase("unique root without a root", "enable-tftp\ntftp-unique-root\n", """\
get $ROOT/f -> 5 bytes
ask f -> ERROR 1
"""),
    # Rights
    TftpCase("secure as root", ROOT + "tftp-secure\n", SECURE + """\
get link-out -> ! ERROR 2 ~log : with tftp-secure no link leaves the root
"""),
    TftpCase("another user", ROOT, """\
get f -> 5 bytes
get owned -> 9 bytes
get owned-hidden -> 13 bytes
ask hidden -> ERROR 2
ask sub -> ERROR 0
ask nope -> ERROR 1
""", user="nobody"),
    TftpCase("secure as another user", ROOT + "tftp-secure\n", """\
get owned -> 9 bytes
get owned-hidden -> 13 bytes
ask f -> ERROR 2
ask hidden -> ERROR 2
ask sub -> ERROR 2
ask sub/g -> ERROR 2
ask nope -> ERROR 1
ask link-in -> ERROR 2
""", user="nobody"),
    # Sizes
    TftpCase("no block sizes", ROOT + "tftp-no-blocksize\n", """\
get big blksize=600 -> 65536 bytes
get big blksize=600 tsize=0 -> OACK tsize=65536, 65536 bytes
get big blksize=600 to=fd77:1::1 -> 65536 bytes
"""),
    *map(sizes, SIZES.splitlines()),
    TftpCase("a small MTU", ROOT, """\
get big blksize=9999 -> OACK blksize=1248, 65536 bytes
get big blksize=9999 to=fd77:1::1 -> OACK blksize=1228, 65536 bytes
get big blksize=9999 to=10.77.2.1 -> OACK blksize=1468, 65536 bytes
""", ip=("s:link set lan0 mtu 1280", "c:link set up0 mtu 1280")),
    TftpCase("a large MTU", ROOT, """\
get big blksize=9999 -> OACK blksize=2263, 65536 bytes ! OACK blksize=8968 : not bound to the size of DNS packets
get big blksize=9999 to=fd77:1::1 -> OACK blksize=2263 ! OACK blksize=8948 : not bound to the size of DNS packets
get big blksize=2000 -> OACK blksize=2000, 65536 bytes
""", ip=("s:link set lan0 mtu 9000", "c:link set up0 mtu 9000")),
    # Ports and numbers
    TftpCase("range of ports", ROOT + "tftp-port-range=3000,3004\n", """\
a: ask five -> DATA 1 of 512
b: ask five -> DATA 1 of 512
c: ask five -> DATA 1 of 512
b: error 0 -> SILENCE
d: ask five -> DATA 1 of 512
d: error 0 -> SILENCE
a: error 0 -> SILENCE
get f -> 5 bytes
get f to=fd77:1::1 -> 5 bytes
c: error 0 -> SILENCE
""", ports=True),
    TftpCase("range of ports that others have", ROOT + "tftp-port-range=3000,3002\n", """\
hold 3000
hold 3002
a: ask five -> DATA 1 of 512
b: ask five -> SILENCE
a: error 0 -> SILENCE
b: ask five -> DATA 1 of 512
b: error 0 -> SILENCE
""", ports=True),
    TftpCase("range of ports, reversed", ROOT + "tftp-port-range=3002,3000\n", """\
a: ask five -> DATA 1 of 512
b: ask five -> DATA 1 of 512
a: error 0 -> SILENCE
c: ask five -> DATA 1 of 512
b: error 0 -> SILENCE
c: error 0 -> SILENCE
""", ports=True),
    TftpCase("most transfers on a single port", ROOT + "tftp-max=2\ntftp-single-port\n", """\
a: ask five -> DATA 1 of 512
b: ask five -> DATA 1 of 512
c: ask five -> SILENCE
c: ask nope -> SILENCE
a: ask x20 -> DATA 1 of 20
a: ack 1 -> SILENCE
d: ask five -> DATA 1 of 512
b: error 0 -> SILENCE
d: error 0 -> SILENCE
"""),
    TftpCase("most transfers", ROOT + "tftp-max=2\n", """\
a: ask five -> DATA 1 of 512
b: ask five -> DATA 1 of 512
c: ask five -> DATA 1 of 512 ! SILENCE : two are two with us, dnsmasq starts three
a: error 0 -> SILENCE
c: again -> DATA 1 of 512 ! SILENCE : a request that finds no room is lost, its client asks again
"""),
    # Log, script, signals
    TftpCase("quiet", ROOT + "quiet-tftp\n", """\
get f -> 5 bytes
ask nope -> ERROR 1
ask sub -> ERROR 0
ask hidden -> ERROR 2
ask ../f -> ERROR 2
write f -> ERROR 4 unsupported request ! ERROR 4 unsupported write request ~log : so says 2.93
a: ask five -> DATA 1 of 512
b: ack 1 at=a -> ERROR 5
a: error 3 full -> SILENCE
"""),
    TftpCase("script", ROOT + "dhcp-script=$DIR/script\nlog-dhcp\ndomain=lan\n", """\
get f -> 5 bytes
get /five -> 2500 bytes
get sub\\g -> 5 bytes
get $ROOT/f -> 5 bytes
get lf600 mode=netascii -> 1200 bytes
get empty -> 0 bytes
get with%20blank -> 5 bytes
get caf%E9 -> 5 bytes
get f to=fd77:1::1 -> 5 bytes
ask nope -> ERROR 1
ask hidden -> ERROR 2
write f -> ERROR 4 unsupported request ! ERROR 4 unsupported write request ~log : so says 2.93
a: ask five -> DATA 1 of 512
a: ack 1 -> DATA 2 of 512
a: error 3 full -> SILENCE
get big blksize=1000 -> OACK blksize=1000, 65536 bytes
""", files=SCRIPT),
    TftpCase("script beside DHCP", ROOT + """\
dhcp-range=10.77.1.50,10.77.1.60
dhcp-leasefile=$DIR/leases
dhcp-script=$DIR/script
log-queries
""", "get f -> 5 bytes\nget five -> 2500 bytes\n", files=SCRIPT),
    TftpCase("script for a single port", ROOT + "tftp-single-port\ndhcp-script=$DIR/script\n", """\
get f -> 5 bytes
get five -> 2500 bytes
a: ask five -> DATA 1 of 512
a: ask f -> DATA 1 of 5
a: ack 1 -> SILENCE
""", files=SCRIPT),
    TftpCase("HUP", ROOT, """\
a: ask five -> DATA 1 of 512
hup
a: ack 1 -> DATA 2 of 512
get f -> 5 bytes
a: error 0 -> SILENCE
"""),
    TftpCase("with DNS and DHCP", ROOT + "no-resolv\nno-hosts\ndhcp-leasefile=$DIR/leases\n"
    "dhcp-range=10.77.1.50,10.77.1.60\nlog-dhcp\nlog-queries\n", "get f -> 5 bytes\nask nope -> ERROR 1\n", port=53),
    # Who is served
    TftpCase("the address that was asked", ROOT, """\
get five to=10.77.2.1 blksize=9999 -> OACK blksize=1248, 2500 bytes
ask nope to=10.77.2.1 -> ERROR 1
""", ip=("c:addr del 10.77.2.2/24 dev up1", "c:route add 10.77.2.0/24 via 10.77.1.1", "s:link set lan0 mtu 1280",
         "c:link set up0 mtu 1280")),
    *map(reach, REACH.splitlines()),
    TftpCase("reach without DHCPv4", "enable-tftp\nbind-interfaces\nno-dhcpv4-interface=lan0\n", """\
ask /nope -> SILENCE ! ERROR 1 ~log : as without bind-interfaces
ask /nope to=fd77:1::1 -> SILENCE ! ERROR 1 ~log : as without bind-interfaces
ask /nope to=10.77.2.1 -> ERROR 1
"""),
    TftpCase("single port of one address", ROOT + "tftp-single-port\nbind-interfaces\n", """\
ask nope -> SILENCE ! ERROR 1 ~log : dnsmasq sends nothing there over IPv4
ask nope to=fd77:1::1 -> ERROR 1
"""),
    TftpCase("authoritative interface", ROOT + "no-resolv\nno-hosts\nauth-server=a.test,lan0\nauth-zone=z.test\n", """\
ask nope -> ERROR 1 ! SILENCE ~log : where it is authoritative 2.93 serves no files
get f to=10.77.2.1 -> 5 bytes
""", port=53),
    TftpCase("link-local addresses", ROOT, """\
ask nope to=fe80:: -> SILENCE ! ERROR 1 ~log : dnsmasq 2.90 cannot answer there
"""),
)  # fmt: skip

STARTS = (
    StartCase("enable-tftp"),
    StartCase("enable-tftp\ntftp-root=$ROOT"),
    StartCase("enable-tftp\ntftp-root=$ROOT/"),
    StartCase("enable-tftp\ntftp-root="),
    StartCase("enable-tftp\ntftp-root=$ROOT\ntftp-secure"),
    StartCase("enable-tftp\ntftp-secure\ntftp-single-port"),
    StartCase("enable-tftp\ntftp-root=$ROOT\ntftp-single-port"),
    StartCase("enable-tftp\ntftp-root=$ROOT\ntftp-root=$ROOT/sub"),
    StartCase("enable-tftp\ntftp-root=$ROOT,lan0\ntftp-root=$ROOT/sub,wan0"),
    StartCase("enable-tftp\ntftp-root=$ROOT/nowhere", 3),
    StartCase("enable-tftp\ntftp-root=$ROOT/nowhere\ntftp-no-fail"),
    StartCase("enable-tftp\ntftp-root=$ROOT/nowhere,lan0\ntftp-root=$ROOT", 3),
    StartCase("enable-tftp\ntftp-root=$ROOT/nowhere,lan0\ntftp-root=$ROOT\ntftp-no-fail"),
    StartCase("enable-tftp\ntftp-root=$ROOT/nowhere,lan0\ntftp-root=$ROOT/nowhere\ntftp-no-fail"),
    StartCase("enable-tftp\ntftp-root=$ROOT/nowhere,nosuch0", 3),
    StartCase("enable-tftp\ntftp-root=$ROOT/f", 3),
    StartCase("enable-tftp\ntftp-root=$ROOT/f\ntftp-no-fail"),
    StartCase("enable-tftp\ntftp-root=relative", 3),
    StartCase("tftp-root=$ROOT"),
    StartCase("tftp-root=$ROOT/nowhere"),
    StartCase("tftp-secure\ntftp-single-port\ntftp-max=3"),
    StartCase("enable-tftp=lan0"),
    StartCase("enable-tftp=nosuch0"),
    StartCase("enable-tftp\ntftp-unique-root=mac\ntftp-lowercase\ntftp-no-blocksize\nquiet-tftp"),
    StartCase("enable-tftp\ntftp-unique-root=other", 1),
    StartCase("enable-tftp\ntftp-port-range=3000,3009"),
    StartCase("enable-tftp\ntftp-port-range=3009,3000"),
    StartCase("enable-tftp\ntftp-port-range=3000,3999"),
    StartCase("enable-tftp\ntftp-port-range=3000,3009\ntftp-max=10"),
    StartCase("enable-tftp\ntftp-port-range=3000,3009\ntftp-max=5"),
    StartCase("enable-tftp\ntftp-port-range=3000,3009\ntftp-max=11"),
    StartCase("enable-tftp\ntftp-port-range=3000", 1),
    StartCase("enable-tftp\ntftp-port-range=0,70000", 1),
    StartCase("enable-tftp\ntftp-port-range=a,b", 1),
    StartCase("enable-tftp\ntftp-max=0"),
    StartCase("enable-tftp\ntftp-max=-1", 1),
    StartCase("enable-tftp\ntftp-max=x", 1),
    StartCase("enable-tftp\ntftp-max=1\ntftp-max=2", 1),
    StartCase("enable-tftp\ntftp-mtu=10"),
    StartCase("enable-tftp\ntftp-mtu=x", 1),
    StartCase("enable-tftp\ntftp-root=$ROOT\ndhcp-range=10.77.1.50,10.77.1.60\ndhcp-leasefile=$DIR/leases"),
)
