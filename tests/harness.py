"""What the process tests stand on: ports, daemons, upstream mocks, clients."""

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
import struct
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import dnswire
from dnswire import DnsMessage, DnsRecord

TESTS = pathlib.Path(__file__).resolve().parent
ROOT = TESTS.parent
PROGRAM = pathlib.Path(os.environ.get("PYDNSMASQ_PROGRAM", str(ROOT / "pydnsmasq.py")))
REAL = shutil.which("dnsmasq", path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
# Set PYDNSMASQ_KIND=real to run the tests' "ours" side with the real program,
# which shows whether a table of expectations is right.
OURS_KIND = os.environ.get("PYDNSMASQ_KIND", "ours")
CI = os.environ.get("CI", "") == "true"

# Start-up and answers are awaited this long, in seconds; loaded machines are slow.
START_SECONDS = 15.0
ANSWER_SECONDS = 5.0


def need(condition: object, what: str) -> None:
    """Skip the test when a peer is missing; with CI=true that is a failure."""
    import pytest

    if condition:
        return
    if CI:
        pytest.fail(f"{what} is missing, and CI=true allows no gaps")
    pytest.skip(f"{what} is missing")


def need_tool(*names: str) -> None:
    for name in names:
        need(shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin"), name)


_handed_out: set[int] = set()


def free_port(host: str = "127.0.0.1") -> int:
    """A port free for UDP and TCP, below the range the kernel hands out.

    PYDNSMASQ_PORTS is the range of this run when several run at once.
    """
    rng = random.Random(os.urandom(8))
    low, high = map(int, os.environ.get("PYDNSMASQ_PORTS", "15000-31000").split("-"))
    for _ in range(1000):
        port = rng.randrange(low, high)
        if port in _handed_out:
            continue
        with contextlib.ExitStack() as stack:
            try:
                for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
                    sock = stack.enter_context(socket.socket(socket.AF_INET, kind))
                    sock.bind(("", port))
            except OSError:
                continue
        _handed_out.add(port)
        return port
    raise RuntimeError("no free port")


def own_loopback(number: int) -> str:
    """A loopback address that no other run of the tests on this machine uses."""
    return f"127.{64 + os.getpid() // 250 % 128}.{os.getpid() % 250 + 1}.{number}"


@contextlib.contextmanager
def port_53(zone: Zone) -> Iterator[tuple[MockUpstream, MockUpstream]]:
    """Two mocks on port 53 of loopback addresses of their own: a resolver file names no ports."""
    with contextlib.ExitStack() as stack:
        try:
            mocks = [stack.enter_context(MockUpstream(zone, own_loopback(number), port=53)) for number in (1, 2)]
        except OSError as error:
            need(False, f"port 53 ({error})")
        yield mocks[0], mocks[1]


def wait_until(check: Callable[[], Any], seconds: float = START_SECONDS, what: str = "the condition") -> Any:
    """Poll until `check` gives something true; fail loudly when it does not."""
    end = time.monotonic() + seconds
    while True:
        value = check()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"waited {seconds} s in vain for {what}")
        time.sleep(0.01)


# -- clients -------------------------------------------------------------------


def udp_raw(data: bytes, port: int, host: str = "127.0.0.1", seconds: float = ANSWER_SECONDS) -> bytes | None:
    """Send one datagram and give the first one that comes back, or None."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        sock.connect((host, port))
        sock.settimeout(seconds)
        sock.send(data)
        try:
            return sock.recv(65535)
        except (TimeoutError, ConnectionError):
            return None


def _recv_exactly(sock: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        piece = sock.recv(count - len(data))
        if not piece:
            return data
        data += piece
    return data


def tcp_raw(data: bytes, port: int, host: str = "127.0.0.1", seconds: float = ANSWER_SECONDS) -> bytes | None:
    """The same over TCP with the two length bytes; None when nothing came."""
    try:
        with socket.create_connection((host, port), timeout=seconds) as sock:
            sock.sendall(struct.pack("!H", len(data)) + data)
            head = _recv_exactly(sock, 2)
            return _recv_exactly(sock, struct.unpack("!H", head)[0]) if len(head) == 2 else None
    except (TimeoutError, ConnectionError):
        return None


def ask(
    port: int,
    name: str | bytes,
    qtype: str | int = "A",
    klass: str | int = "IN",
    *,
    host: str = "127.0.0.1",
    tcp: bool = False,
    seconds: float = ANSWER_SECONDS,
    **options: Any,
) -> DnsMessage | None:
    """Ask one question; options as `dnswire.build_query`.  None for silence."""
    data = dnswire.build_query(name, qtype, klass, **options)
    reply = (tcp_raw if tcp else udp_raw)(data, port, host, seconds)
    return None if reply is None else dnswire.parse(reply)


# -- the daemon ----------------------------------------------------------------


class StartError(AssertionError):
    """The daemon ended or stayed silent instead of starting."""


class Daemon:
    """pydnsmasq or the real dnsmasq, in the foreground, with its own directory.

    In the configuration `$DIR`, `$PORT` and the keys of `words` are replaced.
    """

    def __init__(
        self,
        directory: pathlib.Path,
        conf: str = "",
        *,
        kind: str = "ours",
        args: Sequence[str] = (),
        words: dict[str, str] | None = None,
        files: dict[str, str] | None = None,
        port: int | None = None,
        host: str = "127.0.0.1",
        foreground: str = "-k",
        defaults: bool = True,
        python: Sequence[str] = (sys.executable,),
        env: dict[str, str] | None = None,
    ) -> None:
        self.kind = OURS_KIND if kind == "ours" else kind
        self.host = host
        self.directory = directory
        directory.mkdir(parents=True, exist_ok=True)
        self.port = free_port() if port is None else port
        self.words = {"$DIR": str(directory), "$PORT": str(self.port), **(words or {})}
        for name, text in (files or {}).items():
            self.write(name, text)
        self.log_path = directory / "log"
        self.conf_path = directory / "conf"
        head = "user=root\npid-file=\nlog-facility=$DIR/log\n" if defaults else ""
        self.write("conf", head + conf)
        self.foreground = foreground
        self.python = tuple(python)
        self.args = [self._fill(item) for item in args]
        self.env = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1", **(env or {})}
        self.process: subprocess.Popen[bytes] | None = None
        self.returncode: int | None = None

    def _fill(self, text: str) -> str:
        for word, value in self.words.items():
            text = text.replace(word, value)
        return text

    def write(self, name: str, text: str) -> pathlib.Path:
        """Put a file into the daemon's directory, words replaced."""
        path = self.directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(self._fill(text).encode("latin-1"))
        return path

    def command(self) -> list[str]:
        base = program_command(self.kind, self.python)
        words = [self.foreground] if self.foreground else []
        return [*base, *words, "-C", str(self.conf_path), "-p", str(self.port), *self.args]

    # Starting and stopping

    def spawn(self) -> Daemon:
        """Start the process and wait for nothing."""
        with (self.directory / "stderr").open("wb") as stderr, (self.directory / "stdout").open("wb") as stdout:
            self.process = subprocess.Popen(
                self.command(), stdin=subprocess.DEVNULL, stdout=stdout, stderr=stderr, env=self.env
            )
        return self

    def start(self, seconds: float = START_SECONDS) -> Daemon:
        """Start and wait until a CHAOS question is answered."""
        self.spawn()
        self.wait_ready(seconds)
        return self

    def wait_ready(self, seconds: float = START_SECONDS) -> None:
        """Ask for version.bind until any answer comes."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if self.process is not None and self.process.poll() is not None:
                raise StartError(f"{self.command()} ended with {self.process.returncode}: {self.stderr()}{self.log()}")
            reply = udp_raw(dnswire.build_query("version.bind", "TXT", "CH"), self.port, self.host, seconds=2)
            if reply is not None:
                return
            time.sleep(0.01)
        self.stop()
        raise StartError(f"{self.command()} does not answer: {self.stderr()}{self.log()}")

    def signal(self, number: signal.Signals) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def alive(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def stop(self, seconds: float = 5.0) -> int | None:
        """TERM, wait, KILL when it does not listen; give the exit status."""
        if self.process is None:
            return self.returncode
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(seconds)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.returncode = self.process.returncode
        self.process = None
        return self.returncode

    def __enter__(self) -> Daemon:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    # Looking at it

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def log(self) -> str:
        return self.log_path.read_text("latin-1") if self.log_path.exists() else ""

    def stderr(self) -> str:
        path = self.directory / "stderr"
        return path.read_text("latin-1") if path.exists() else ""

    def wait_log(self, pattern: str, seconds: float = START_SECONDS, count: int = 1) -> list[str]:
        """Wait until `count` log lines match; give all matching lines."""

        def found() -> list[str]:
            lines = [line for line in self.log().splitlines() if re.search(pattern, line)]
            return lines if len(lines) >= count else []

        try:
            result: list[str] = wait_until(found, seconds, f"log line {pattern!r}")
        except AssertionError as error:
            raise AssertionError(f"{error}; the log:\n{self.log()[-3000:]}") from None
        return result

    def ask(self, name: str | bytes, qtype: str | int = "A", klass: str | int = "IN", **options: Any) -> DnsMessage:
        """Ask it; an answer must come."""
        reply = ask(self.port, name, qtype, klass, host=self.host, **options)
        assert reply is not None, f"no answer for {name!r} {qtype}; the log:\n{self.log()[-3000:]}"
        return reply

    def memory(self) -> dict[str, int]:
        """Kilobytes: VmRSS and friends, and Private_Dirty of the whole process."""
        text = pathlib.Path(f"/proc/{self.pid}/status").read_text()
        out = {m[1]: int(m[2]) for m in re.finditer(r"^(Vm\w+):\s+(\d+) kB", text, re.M)}
        rollup = pathlib.Path(f"/proc/{self.pid}/smaps_rollup").read_text()
        out.update({m[1]: int(m[2]) for m in re.finditer(r"^(\w+):\s+(\d+) kB", rollup, re.M)})
        return out

    def cpu_seconds(self) -> float:
        """CPU time of the process so far, user and system."""
        return process_cpu_seconds(self.pid)


def process_cpu_seconds(pid: int) -> float:
    """CPU time in seconds, to the nanosecond where the kernel keeps schedstat."""
    total = 0
    with contextlib.suppress(OSError, ValueError):
        for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
            total += int((task / "schedstat").read_text().split()[0])
    if total:
        return total / 1e9
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def program_command(kind: str = "ours", python: Sequence[str] = (sys.executable,)) -> list[str]:
    """The words that start either program."""
    if (OURS_KIND if kind == "ours" else kind) == "ours":
        return [*python, str(PROGRAM)]
    assert REAL is not None
    return [REAL]


def run_program(
    *args: str, kind: str = "ours", seconds: float = 20, stdin: bytes | None = None, **more: Any
) -> subprocess.CompletedProcess[str]:
    """Run either program to its end and give its output and status."""
    done = subprocess.run(
        [*program_command(kind), *args],
        input=b"" if stdin is None else stdin,
        capture_output=True,
        timeout=seconds,
        check=False,
        **more,
    )
    return subprocess.CompletedProcess(
        done.args, done.returncode, done.stdout.decode("latin-1"), done.stderr.decode("latin-1")
    )


# -- the upstream mock ---------------------------------------------------------


@dataclass
class MockReply:
    """What the mock shall say, and how it misbehaves while saying it."""

    rcode: str = "NOERROR"
    answer: list[DnsRecord] = field(default_factory=list)
    authority: list[DnsRecord] = field(default_factory=list)
    additional: list[DnsRecord] = field(default_factory=list)
    flags: str = "QR RA"
    edns: bool | None = None  # None: as the query
    options: list[tuple[int, bytes]] = field(default_factory=list)
    delay: float = 0.0
    drop: bool = False
    wrong_id: bool = False
    wrong_question: bool = False
    wrong_port: bool = False
    raw: bytes | None = None  # after the id
    truncate: bool = False  # over UDP only
    copies: int = 1

    def pack(self, query: DnsMessage, tcp: bool) -> bytes:
        if self.raw is not None:
            return struct.pack("!H", query.id) + self.raw
        question = query.question
        if self.wrong_question:
            question = [dnswire.DnsQuestion("wrong." + q.name, q.qtype, q.klass) for q in question]
        with_opt = query.edns_size is not None if self.edns is None else self.edns
        cut = self.truncate and not tcp
        return dnswire.build_reply(
            query,
            rcode=self.rcode,
            flags=self.flags + (" TC" if cut else ""),
            answer=[] if cut else self.answer,
            authority=[] if cut else self.authority,
            additional=[] if cut else self.additional,
            edns=1232 if with_opt else None,
            options=self.options,
            question=question,
            id=query.id ^ 0x5555 if self.wrong_id else None,
        )


@dataclass
class MockSeen:
    """One query as it arrived."""

    message: DnsMessage
    peer: tuple[str, int]
    tcp: bool
    when: float


Zone = Callable[[dnswire.DnsQuestion, DnsMessage], "MockReply | None"]


def table_zone(
    text: str, soa: str = "example. 300 SOA ns.example. root.example. 1 3600 600 86400 60"
) -> Callable[[dnswire.DnsQuestion, DnsMessage], MockReply]:
    """A zone from lines `name ttl TYPE data`.

    CNAMEs are followed; an existing name without the type is NODATA, an unknown
    one NXDOMAIN, both with the given SOA (none when it is empty).
    """
    records: dict[str, list[DnsRecord]] = {}
    for line in text.splitlines():
        if line.strip() and not line.startswith("#"):
            item = dnswire.record(line.strip())
            records.setdefault(item.name.lower().rstrip("."), []).append(item)
    parents = {".".join(name.split(".")[i:]) for name in records for i in range(1, name.count(".") + 1)}
    negative = [dnswire.record(soa)] if soa else []

    def zone(question: dnswire.DnsQuestion, query: DnsMessage) -> MockReply:
        answer: list[DnsRecord] = []
        name, shown = question.name.lower().rstrip("."), question.name
        for _ in range(16):
            here = records.get(name, [])
            for item in here:
                if item.rtype == question.qtype or question.qtype == "ANY":
                    answer.append(DnsRecord(shown, item.rtype, item.klass, item.ttl, item.rdata))
            alias = [item for item in here if item.rtype == "CNAME"]
            if question.qtype in ("CNAME", "ANY") or not alias:
                break
            answer.append(DnsRecord(shown, "CNAME", "IN", alias[0].ttl, alias[0].rdata))
            shown = alias[0].rdata
            name = shown.lower().rstrip(".")
        if answer and (question.qtype == "ANY" or any(item.rtype == question.qtype for item in answer)):
            return MockReply(answer=answer)
        known = name in records or name in parents
        return MockReply(rcode="NOERROR" if known else "NXDOMAIN", answer=answer, authority=list(negative))

    return zone


class MockUpstream:
    """A DNS server on loopback, UDP and TCP, that says what its zone says."""

    def __init__(self, zone: Zone | str, host: str = "127.0.0.1", port: int | None = None) -> None:
        self.zone: Zone = table_zone(zone) if isinstance(zone, str) else zone
        self.host = host
        self.port = free_port() if port is None else port
        self.seen: list[MockSeen] = []
        self.counts: Counter[str] = Counter()
        self._stop = threading.Event()
        self._end: tuple[socket.socket, ...] = ()  # the first is readable when the second is closed
        self._threads: list[threading.Thread] = []
        self._timers: list[threading.Timer] = []
        self._lock = threading.Lock()
        self._udp: socket.socket | None = None
        self._tcp: socket.socket | None = None

    @property
    def address(self) -> str:
        """As dnsmasq writes it: address#port."""
        return f"{self.host}#{self.port}"

    def names(self) -> list[str]:
        """The names asked so far, in order, lower case."""
        return [item.message.question[0].name.lower() for item in list(self.seen) if item.message.question]

    def count(self, name: str, qtype: str | None = None) -> int:
        return sum(
            1
            for item in list(self.seen)
            for asked in item.message.question
            if asked.name.lower() == name.lower() and qtype in (None, asked.qtype)
        )

    def __enter__(self) -> MockUpstream:
        return self.start()

    def start(self) -> MockUpstream:
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        self._udp = socket.socket(family, socket.SOCK_DGRAM)
        with contextlib.suppress(OSError):
            # A burst must not be lost here; only root may take this much (33 is SO_RCVBUFFORCE).
            self._udp.setsockopt(socket.SOL_SOCKET, 33, 4 << 20)
        self._udp.bind((self.host, self.port))
        self._tcp = socket.socket(family, socket.SOCK_STREAM)
        self._tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._tcp.bind((self.host, self.port))
        self._tcp.listen(64)
        self._stop.clear()
        self._end = socket.socketpair()
        for target in (self._serve_udp, self._serve_tcp):
            thread = threading.Thread(target=target, daemon=True)
            thread.start()
            self._threads.append(thread)
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        self._stop.set()
        for sock in self._end[1:]:
            sock.close()
        for thread in self._threads:
            thread.join(5)
        for timer in self._timers:
            timer.cancel()
            timer.join(2)
        self._threads, self._timers = [], []
        for sock in (self._udp, self._tcp, *self._end):
            if sock is not None:
                sock.close()
        self._udp = self._tcp = None
        self._end = ()

    def _comes(self, sock: socket.socket) -> bool:
        """Wait until the socket has something to read; False at the end of the mock."""
        if self._stop.is_set():
            return False
        ready = select.select([sock, self._end[0]], [], [])[0]
        return sock in ready and not self._stop.is_set()

    def _decide(self, data: bytes, peer: tuple[str, int], tcp: bool) -> tuple[MockReply, bytes] | None:
        try:
            query = dnswire.parse(data)
        except dnswire.DnsWireError:
            return None
        if not query.question or query.flags & dnswire.QR:
            return None
        with self._lock:
            self.seen.append(MockSeen(query, peer, tcp, time.monotonic()))
            self.counts[query.question[0].name.lower()] += 1
        reply = self.zone(query.question[0], query)
        if reply is None or reply.drop:
            return None
        return reply, reply.pack(query, tcp)

    def _serve_udp(self) -> None:
        sock = self._udp
        assert sock is not None
        while self._comes(sock):
            try:
                data, peer = sock.recvfrom(65535)
            except OSError:
                continue
            decided = self._decide(data, peer[:2], False)
            if decided is None:
                continue
            reply, packet = decided
            if reply.delay:
                timer = threading.Timer(reply.delay, self._send, (reply, packet, peer))
                timer.daemon = True
                self._timers.append(timer)
                timer.start()
            else:
                self._send(reply, packet, peer)

    def _send(self, reply: MockReply, packet: bytes, peer: Any) -> None:
        sock = self._udp
        if sock is None or self._stop.is_set():
            return
        with contextlib.suppress(OSError):
            for _ in range(reply.copies):
                if reply.wrong_port:
                    with socket.socket(sock.family, socket.SOCK_DGRAM) as other:
                        other.bind((self.host, 0))
                        other.sendto(packet, peer)
                else:
                    sock.sendto(packet, peer)

    def _serve_tcp(self) -> None:
        sock = self._tcp
        assert sock is not None
        while self._comes(sock):
            try:
                connection, peer = sock.accept()
            except OSError:
                continue
            thread = threading.Thread(target=self._serve_connection, args=(connection, peer[:2]), daemon=True)
            thread.start()
            self._threads.append(thread)

    def _serve_connection(self, connection: socket.socket, peer: tuple[str, int]) -> None:
        with connection, contextlib.suppress(OSError):
            connection.settimeout(10)
            while self._comes(connection):
                head = _recv_exactly(connection, 2)
                if len(head) < 2:
                    return
                data = _recv_exactly(connection, struct.unpack("!H", head)[0])
                decided = self._decide(data, peer, True)
                if decided is None:
                    return
                reply, packet = decided
                time.sleep(reply.delay)
                connection.sendall(struct.pack("!H", len(packet)) + packet)


@contextlib.contextmanager
def load(port: int, names: Sequence[str], gap: float = 0.0, seconds: float = 2.0) -> Iterator[LoadResult]:
    """Ask the names over and over in a thread while the block runs."""
    result = LoadResult()
    stop = threading.Event()

    def run() -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.connect(("127.0.0.1", port))
            sock.settimeout(seconds)
            number = 0
            while not stop.is_set():
                name = names[number % len(names)]
                number += 1
                _one_query(sock, name, number & 0xFFFF, result)
                if gap:
                    time.sleep(gap)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield result
    finally:
        stop.set()
        thread.join(seconds + 5)


@dataclass
class LoadResult:
    """What came of a load."""

    answered: int = 0
    lost: int = 0
    bad: list[str] = field(default_factory=list)
    slowest: float = 0.0


def _one_query(sock: socket.socket, name: str, number: int, result: LoadResult) -> None:
    began = time.monotonic()
    try:
        sock.send(dnswire.build_query(name, id=number))
        while True:
            reply = sock.recv(65535)
            if struct.unpack_from("!H", reply)[0] == number:
                break
    except (TimeoutError, ConnectionError):
        result.lost += 1
        return
    result.answered += 1
    result.slowest = max(result.slowest, time.monotonic() - began)
    if reply[3] & 15:
        result.bad.append(f"{name}: {dnswire.RCODES.get(reply[3] & 15)}")


# What most tests of the running process begin with.
ALONE = "no-resolv\nno-hosts\n"
REC = "host-record=rec.test,10.1.2.3\n"
MakeDaemon = Callable[..., Daemon]
