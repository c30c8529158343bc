"""Real TFTP clients in a network namespace: tftp-hpa's, atftp, curl and BusyBox's.

The server is the router of `netkit.Net`, the clients are its client.
"""

from __future__ import annotations

import contextlib
import os
import pathlib
import random
import re
import select
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pytest

import tftpwire
from harness import OURS_KIND, Daemon, need, need_tool, wait_until
from netkit import Net, lose

UNLIKE_REAL = pytest.mark.skipif(OURS_KIND == "real", reason="dnsmasq behaves otherwise here")
SERVER, SERVER6, CLIENT = "10.77.1.1", "fd77:1::1", "10.77.1.2"
MAC, FOLDER = "02:00:00:00:77:02", "02-00-00-00-77-02"
GET = {
    "tftp-hpa": "tftp $HOST -m binary $MORE -c get $NAME $OUT",
    "atftp": "atftp --tftp-timeout 1 $MORE -g -r $NAME -l $OUT $HOST",
    "curl": "curl -sSv $MORE -o $OUT $URL",
    "busybox": "busybox tftp $MORE -g -r $NAME -l $OUT $HOST",
}
PUT = {
    "tftp-hpa": "tftp $HOST -m binary -c put $OUT $NAME",
    "atftp": "atftp -p -l $OUT -r $NAME $HOST",
    "curl": "curl -sSv -T $OUT $URL",
    "busybox": "busybox tftp -p -l $OUT -r $NAME $HOST",
}
CLIENTS = list(GET)
# The client of tftp-hpa knows no options, that of BusyBox no request longer than a block.
BLKSIZE = {"atftp": ("--option", "blksize $N"), "curl": ("--tftp-blksize", "$N"), "busybox": ("-b", "$N")}
BLKSIZES = {"tftp-hpa": (0,), "busybox": (0, 64, 512, 1024, 1468, 8192, 65464)}
NETASCII = {"tftp-hpa": ("-m", "ascii"), "atftp": ("--option", "mode netascii"), "curl": ("--use-ascii",)}
WRAP8, WRAP64, BIG = 65535 * 8 + 1000, 65535 * 64 + 1000, 40_000_000
SIZES = (0, 1, 511, 512, 513, 1468, WRAP8)
FILES = {
    **{f"s{size}": random.Random(size).randbytes(size) for size in (*SIZES, 30_000, 300_000, WRAP64)},
    "big": (random.Random(1).randbytes(1 << 20) * 39)[:BIG],
    "text": "".join(f"line {number} of a text\n" * (number % 3) + "\n" for number in range(300)).encode(),
    "returns": b"one\r\ntwo\rthree\r\0four\n\r\n" * 100,
    "secret": b"only for its owner",
    f"{CLIENT}/s512": b"for one address",
    f"{FOLDER}/s513": b"for one machine",
    f"{CLIENT}/{FOLDER}/s1": b"for one machine at one address",
}


@dataclass
class Fetch:
    """A client at work."""

    kind: str
    process: subprocess.Popen[bytes]
    out: pathlib.Path
    expected: bytes

    def end(self, seconds: float = 60) -> str:
        """Wait until the whole file is here; give what the client said."""
        said = self.said(seconds)
        got = self.out.read_bytes() if self.out.exists() else b""
        assert got == self.expected, f"{self.kind}: {len(got)} octets of {len(self.expected)}; it said: {said[-1500:]}"
        assert self.process.returncode == 0, f"{self.kind}: {said[-1500:]}"
        return said

    def said(self, seconds: float = 60) -> str:
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            return self.output() + f" (killed after {seconds} s)"
        return self.output()

    def output(self) -> str:
        return self.out.with_suffix(".said").read_text("latin-1")

    @property
    def at_work(self) -> bool:
        return self.process.poll() is None


class Site(Net):
    """The network, the files to serve in `root`, and what comes in `got`."""

    def __init__(self, directory: pathlib.Path) -> None:
        super().__init__(directory)
        self.root, self.got = directory / "root", directory / "got"
        self.got.mkdir()
        self.fetches: list[Fetch] = []
        for name, content in FILES.items():
            path = self.root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        (self.root / "secret").chmod(0o600)

    def connect(self) -> None:
        super().connect()
        self.ip(self.client, f"link set up0 address {MAC}")

    def serve(self, conf: str = "", user: str = "root") -> Daemon:
        head = (
            f"user={user}\npid-file=\nlog-facility=$DIR/log\nno-resolv\nno-hosts\nenable-tftp\ntftp-root={self.root}\n"
        )
        return self.start(head + conf, defaults=False, ready=False)

    def begin(
        self,
        kind: str,
        name: str,
        size: int = 0,
        host: str = SERVER,
        more: Sequence[str] = (),
        table: dict[str, str] = GET,
    ) -> Fetch:
        """Start a client that asks for a file; a block size of 0 is not asked for."""
        need_tool(GET[kind].split(" ")[0])
        out = self.got / f"{kind}{len(self.fetches)}"
        if size:
            more = [*(word.replace("$N", str(size)) for word in BLKSIZE[kind]), *more]
        url = f"tftp://{f'[{host}]' if ':' in host else host}/{name}"
        found = {"$HOST": [host], "$URL": [url], "$OUT": [str(out)], "$NAME": [name], "$MORE": more}
        words = [one for word in table[kind].split(" ") for one in found.get(word, [word])]
        with out.with_suffix(".said").open("wb") as said:
            process = subprocess.Popen(
                ["ip", "netns", "exec", self.client, *words], stdin=subprocess.DEVNULL, stdout=said, stderr=said
            )
        self.fetches.append(Fetch(kind, process, out, FILES[name]))
        return self.fetches[-1]

    def get(self, kind: str, name: str, size: int = 0, host: str = SERVER, more: Sequence[str] = ()) -> str:
        """Fetch a file; what the client said."""
        fetch = self.begin(kind, name, size, host, more)
        said = fetch.end()
        fetch.out.unlink()
        return said

    def ports(self, daemon: Daemon) -> set[int]:
        """The UDP ports from which files are sent."""
        tables = [pathlib.Path(f"/proc/{daemon.pid}/net/{name}").read_text() for name in ("udp", "udp6")]
        found = re.findall(r"^ *\d+: [0-9A-F]+:([0-9A-F]{4}) ", "\n".join(tables), re.M)
        return {int(port, 16) for port in found} - {53, 69}

    def clear(self) -> None:
        for fetch in self.fetches:
            fetch.process.kill()
            fetch.process.wait()
        for daemon in self.daemons:
            daemon.stop()
        for path in self.got.iterdir():
            path.unlink()
        self.fetches = []


@pytest.fixture(scope="module")
def place() -> Iterator[Site]:
    need(os.geteuid() == 0, "root")
    need_tool("ip")
    # pytest keeps its own directories closed to users without rights.
    directory = pathlib.Path(tempfile.mkdtemp(prefix="pydnsmasq-"))
    directory.chmod(0o755)
    made = Site(directory)
    try:
        made.setup()
        yield made
        said = "".join(daemon.stderr() + daemon.log() for daemon in made.daemons)
        assert "Traceback" not in said and "internal error" not in said
    finally:
        made.close()
        shutil.rmtree(directory)


@pytest.fixture
def site(place: Site) -> Iterator[Site]:
    yield place
    place.clear()


every_client = pytest.mark.parametrize("kind", CLIENTS)


# -- one client ------------------------------------------------------------------------


@every_client
def test_sizes_and_block_sizes(kind: str, site: Site) -> None:
    """Files around the ends of blocks, and more than 65535 blocks."""
    site.serve()
    for blksize in BLKSIZES.get(kind, (0, 8, 512, 1024, 1468, 8192, 65464)):
        for size in (*SIZES, *([WRAP64] if blksize == 64 else [])):
            # curl takes the size 0 of a file for an error.
            more = ["--tftp-no-options"] if kind == "curl" and not size else []
            site.get(kind, f"s{size}", blksize, more=more)


@every_client
def test_more_than_65535_blocks(kind: str, site: Site) -> None:
    site.serve()
    site.get(kind, "big")


@every_client
def test_ipv6(kind: str, site: Site) -> None:
    site.serve()
    for blksize in (0, 1000, 8192) if kind in BLKSIZE else (0,):
        site.get(kind, f"s{WRAP8}", blksize, SERVER6)


@pytest.mark.parametrize("kind", NETASCII)
@pytest.mark.parametrize("name", ["text", pytest.param("returns", marks=UNLIKE_REAL)])
def test_netascii(name: str, kind: str, site: Site) -> None:
    """The ends of lines travel as CR LF, other CRs as CR NUL; curl leaves them so."""
    site.serve()
    for blksize in (0, 64, 1000) if kind in BLKSIZE else (0,):
        fetch = site.begin(kind, name, blksize, more=NETASCII[kind])
        if kind == "curl":
            fetch.expected = fetch.expected.replace(b"\r", b"\r\0").replace(b"\n", b"\r\n")
        fetch.end()


# What is asked for, and what is granted.
OPTIONS = [
    ("tsize 0", "tsize: 30000"),
    ("blksize 1000", "blksize: 1000"),
    ("blksize 65464", "blksize: 1468"),
    pytest.param("timeout 3", "timeout: 3", marks=UNLIKE_REAL),
    pytest.param("windowsize 16", "windowsize: 16", marks=UNLIKE_REAL),
    pytest.param("windowsize 64", "windowsize: 64", marks=UNLIKE_REAL),
    ("multicast", ""),
]


@pytest.mark.parametrize(("wanted", "granted"), OPTIONS)
def test_options(wanted: str, granted: str, site: Site) -> None:
    site.serve()
    more = ["--trace", "--option", wanted]
    for known in ([], ["--option", "blksize 700"]):
        if wanted.startswith("blksize") and known:
            continue
        said = site.get("atftp", "s30000", more=[*more, *known])
        oack = re.findall("received OACK <(.*)>", said)
        assert bool(oack) == bool(granted or known), said[:600]
        assert granted in "".join(oack) and "multicast" not in "".join(oack), oack


@pytest.mark.parametrize("window", [1, 2, 3, 16, 64, 1000])
def test_windows(window: int, site: Site) -> None:
    """Windows of atftp; the real dnsmasq 2.90 goes without."""
    site.serve()
    for blksize in (8, 512, 1468, 8192):
        for size in (*SIZES, 300_000):
            site.get("atftp", f"s{size}", blksize, more=["--option", f"windowsize {window}"])


def test_a_window_and_more_than_65535_blocks(site: Site) -> None:
    site.serve()
    site.get("atftp", "big", 512, more=["--option", "windowsize 16"])


# What a client makes of an error: what it says, and how it ends.
SAID = {"tftp-hpa": ("Error code $N: $TEXT", 0), "atftp": ("$TEXT", 255), "busybox": ("server error: ($N) $TEXT", 1)}
CURL_ENDS = {1: 68, 2: 69, 4: 71}


def check_refusal(fetch: Fetch, code: int, text: str) -> None:
    said = fetch.said(10)
    form, end = SAID.get(fetch.kind, ("", CURL_ENDS[code]))
    assert form.replace("$N", str(code)).replace("$TEXT", text) in said, said
    assert fetch.process.returncode == end, said


@every_client
def test_put_is_refused(kind: str, site: Site) -> None:
    text = f"unsupported{'' if OURS_KIND == 'real' else ' write'} request from {CLIENT}"
    daemon = site.serve()
    fetch = site.begin(kind, "s1", table={**PUT, kind: PUT[kind].replace("$OUT", f"{site.root}/s513")})
    check_refusal(fetch, 4, text)
    daemon.wait_log(f"{text}$")
    assert (site.root / "s1").read_bytes() == FILES["s1"]


@every_client
def test_files_that_are_not_to_be_had(kind: str, site: Site) -> None:
    """Also what is in the log, and that quiet-tftp leaves a part of it out."""
    FILES.setdefault("none", b"")
    secret = f"cannot access {site.root}/secret: Permission denied"
    for conf in ("", "quiet-tftp\n"):
        daemon = site.serve(conf)
        check_refusal(site.begin(kind, "none"), 1, f"file {site.root}/none not found for {CLIENT}")
        check_refusal(site.begin(kind, "secret"), 2, secret)
        daemon.wait_log(re.escape(secret) + "$")
        assert (f"file {site.root}/none not found for {CLIENT}\n" in daemon.log()) == (not conf)
        daemon.stop()


# -- many clients ----------------------------------------------------------------------


@pytest.mark.parametrize(("count", "name"), [(20, "s300000"), (200, "s30000"), (200, "s300000")])
def test_clients_at_once(count: int, name: str, site: Site) -> None:
    """As many as tftp-max allows, all of one file, and nobody has to ask twice."""
    daemon = site.serve(f"tftp-max={count}\n")
    fetches = [site.begin(CLIENTS[number % 4], name) for number in range(count)]
    for fetch in fetches:
        fetch.end(120)
    assert len(daemon.wait_log(f"sent {site.root}/{name} to {CLIENT}$", count=count)) == count


def test_twenty_clients_with_files_of_their_own(site: Site) -> None:
    site.serve("tftp-max=20\n")
    names = ["big", *(f"s{size}" for size in (WRAP8, WRAP64, 300_000, 30_000))]
    fetches = [site.begin(kind, name) for name in names for kind in CLIENTS]
    for fetch in fetches:
        fetch.end(120)


@UNLIKE_REAL  # it keeps places for requests that were sent twice, up to two minutes
@pytest.mark.parametrize("places", [10, 50])
def test_more_clients_than_tftp_max(places: int, site: Site) -> None:
    """Who is one too many hears nothing, asks again, and is served when its turn comes."""
    daemon = site.serve(f"tftp-max={places}\n")
    fetches = [site.begin(CLIENTS[number % 4], "s300000") for number in range(200)]
    most, end = 0, time.monotonic() + 60
    while any(fetch.at_work for fetch in fetches) and time.monotonic() < end:
        most = max(most, len(site.ports(daemon)))
        time.sleep(0.02)
    for fetch in fetches:
        fetch.end(1)
    assert 2 <= most <= places


@every_client
def test_a_client_too_many_waits_for_a_place(kind: str, site: Site) -> None:
    site.serve("tftp-max=2\n")
    with contextlib.ExitStack() as stack:
        # The real dnsmasq takes one more than it says.
        count = 3 if OURS_KIND == "real" else 2
        holders = [stack.enter_context(tftpwire.Client((SERVER, 69), site.client)) for _ in range(count)]
        for client in holders:
            client.ask(tftpwire.request("s30000"))
        assert all(client.get() for client in holders)
        fetch = site.begin(kind, "s30000")
        time.sleep(0.7)
        assert fetch.at_work and not (fetch.out.exists() and fetch.out.stat().st_size)
        holders[0].send(tftpwire.error(0, "no more"))
        fetch.end()


# -- a hard life -----------------------------------------------------------------------


def test_reloads_during_transfers(site: Site) -> None:
    daemon = site.serve()
    fetches = [site.begin(kind, "big") for kind in CLIENTS]
    for _ in range(8):
        time.sleep(0.05)
        daemon.signal(signal.SIGHUP)
    assert all(fetch.at_work for fetch in fetches)
    for fetch in fetches:
        fetch.end()


def test_packets_that_get_lost(site: Site) -> None:
    """One in twenty, both ways; each client with and without larger blocks and windows."""
    need_tool("tc")
    rows: list[tuple[str, int, list[str]]] = [(kind, 0, []) for kind in CLIENTS]
    rows += [(kind, 1000, []) for kind in BLKSIZE]
    rows += [("atftp", 512, ["--option", f"windowsize {window}"]) for window in (2, 8, 64)]
    site.serve()
    site.get("busybox", "s1")
    ends = [(site.router, "lan0"), (site.client, "up0")]
    try:
        for namespace, device in ends:
            lose(namespace, device, 5)
        fetches = [site.begin(kind, "s30000", blksize, more=more) for kind, blksize, more in rows for _ in range(3)]
        for (kind, blksize, more), fetch in zip((row for row in rows for _ in range(3)), fetches, strict=True):
            # atftp breaks off when the answer to its options comes twice, as it must when the acknowledgement is lost.
            while "unexpected OACK" in fetch.said(120):
                fetch = site.begin(kind, "s30000", blksize, more=more)
            fetch.end(120)
    finally:
        for namespace, device in ends:
            lose(namespace, device, 0)


@pytest.mark.parametrize("kind", ["atftp", "curl"])
def test_a_client_that_pauses(kind: str, site: Site) -> None:
    site.serve()
    fetch = site.begin(kind, f"s{WRAP8}", 8)
    for _ in range(2):
        time.sleep(0.3)
        assert fetch.at_work
        fetch.process.send_signal(signal.SIGSTOP)
        time.sleep(1.5)
        fetch.process.send_signal(signal.SIGCONT)
    fetch.end()


@every_client
def test_a_client_that_dies(kind: str, site: Site) -> None:
    """Its death does not disturb the others."""
    daemon = site.serve()
    other = site.begin("atftp", f"s{WRAP8}", 8)
    fetch = site.begin(kind, "big")
    wait_until(lambda: fetch.out.exists() and fetch.out.stat().st_size > 100_000, 10, "the middle of the transfer")
    fetch.process.kill()
    fetch.process.wait()
    other.end()
    site.get(kind, "s30000")
    assert daemon.alive()


# -- options of the daemon -------------------------------------------------------------


class Translator:
    """Hands what comes to port 69 on the client's loopback to the server, and from its port 69 back.

    As a translator of addresses does that knows nothing of TFTP: each client has a port
    of its own, to which nothing comes from other ports than the one it sends to.
    """

    def __init__(self, namespace: str) -> None:
        self.namespace = namespace
        self.front = tftpwire.open_socket(namespace, "127.0.0.1", 69)
        self.backs: dict[Any, socket.socket] = {}
        self.ended = False
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self) -> None:
        while not self.ended:
            for ready in select.select([self.front, *self.backs.values()], [], [], 0.1)[0]:
                with contextlib.suppress(OSError):
                    self.hand_on(ready)

    def hand_on(self, ready: socket.socket) -> None:
        if ready is self.front:
            data, client = ready.recvfrom(65536)
            if client not in self.backs:
                self.backs[client] = tftpwire.open_socket(self.namespace, CLIENT)
                self.backs[client].connect((SERVER, 69))
            self.backs[client].send(data)
        else:
            data = ready.recv(65536)
            self.front.sendto(data, next(client for client, back in self.backs.items() if back is ready))

    def close(self) -> None:
        self.ended = True
        self.thread.join()
        for sock in (self.front, *self.backs.values()):
            sock.close()


def test_single_port(site: Site) -> None:
    """No port but 69 is used; through a translator of addresses nothing else would come back."""
    daemon = site.serve("tftp-single-port\n")
    with contextlib.closing(Translator(site.client)):
        for host in (SERVER, SERVER6, "127.0.0.1"):
            fetches = [site.begin(kind, "s300000", host=host) for kind in CLIENTS]
            fetches += [site.begin(kind, f"s{WRAP8}", 1000, host) for kind in BLKSIZE]
            assert not site.ports(daemon)
            for fetch in fetches:
                fetch.end()
        daemon.stop()
        site.serve()
        assert "killed" in site.begin("busybox", "s30000", host="127.0.0.1").said(1)


def test_port_range(site: Site) -> None:
    """Three ports take three clients; the fourth gets its file after them."""
    daemon = site.serve("tftp-port-range=4001,4003\n")
    fetches = [site.begin(kind, f"s{WRAP8}", 8) for kind in ("atftp", "curl", "atftp")]
    wait_until(lambda: len(site.ports(daemon)) == 3, 2, "three transfers")
    assert site.ports(daemon) == {4001, 4002, 4003}
    fetches.append(site.begin("tftp-hpa", "s30000"))
    for fetch in fetches:
        fetch.end()


UNIQUE = [
    ("", CLIENT, "s512"),
    ("=ip", CLIENT, "s512"),
    ("=mac", FOLDER, "s513"),
    ("=ip\ntftp-unique-root=mac", f"{CLIENT}/{FOLDER}", "s1"),
]


@pytest.mark.parametrize(("how", "folder", "name"), UNIQUE)
def test_unique_root(how: str, folder: str, name: str, site: Site) -> None:
    """A client with a directory of its own sees that alone; one without sees all."""
    site.serve(f"tftp-unique-root{how}\n")
    for kind in CLIENTS:
        fetch = site.begin(kind, name)
        fetch.expected = FILES[f"{folder}/{name}"]
        fetch.end()
        check_refusal(site.begin(kind, "s30000"), 1, f"file {site.root}/{folder}/s30000 not found for {CLIENT}")
        if "mac" not in how:
            site.get(kind, name, host=SERVER6)


@every_client
def test_users_without_rights(kind: str, site: Site) -> None:
    """Nobody may read what all may read, and with tftp-secure only what is its own."""
    own = site.root / "s513"
    for conf in ("", "tftp-secure\n"):
        daemon = site.serve(conf, user="nobody")
        for name in ("s512", "s513", "secret"):
            shutil.chown(own, "nobody")
            fetch = site.begin(kind, name)
            if name == "s513" or (name == "s512" and not conf):
                fetch.end()
            else:
                check_refusal(fetch, 2, f"cannot access {site.root}/{name}: Permission denied")
        assert b"\nUid:\t0\t" not in pathlib.Path(f"/proc/{daemon.pid}/status").read_bytes()
        daemon.stop()
    shutil.chown(own, "root")


def test_script(site: Site) -> None:
    """It is told each file that went out, and of no other."""
    told, script = site.directory / "told", site.directory / "script"
    script.write_text(f'#!/bin/sh\necho "$@" >>{told}\n')
    script.chmod(0o755)
    daemon = site.serve(f"dhcp-script={script}\n")
    sizes = {"tftp-hpa": 0, "atftp": 513, "curl": 30_000, "busybox": 300_000}
    for kind, size in sizes.items():
        for host in (SERVER, SERVER6):
            more = ["--tftp-no-options"] if kind == "curl" and not size else []
            site.get(kind, f"s{size}", host=host, more=more)
        site.begin(kind, "secret").said()
    expected = [
        f"tftp {size} {address} {site.root}/s{size}" for size in sizes.values() for address in (CLIENT, "fd77:1::2")
    ]
    wait_until(lambda: told.exists() and len(told.read_text().splitlines()) >= len(expected), 10, "the script's file")
    assert sorted(told.read_text().splitlines()) == sorted(expected)
    assert len(daemon.wait_log("sent .* to fd77:1::2$", count=4)) == 4
