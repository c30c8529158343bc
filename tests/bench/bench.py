#!/usr/bin/env python3
"""pydnsmasq beside the real dnsmasq, on loopback (DHCP and TFTP: in namespaces of its own), in the same run.

    tests/bench/bench.py [--seconds S] [--rounds N] [NAME ...]

They take turns within each round; medians of the rounds are compared, for TFTP
also with tftpd-hpa, for DNSSEC also with unbound.
Ratios above 1 are good for what is "per second", below 1 for everything else.
CPU is that of the daemon alone, its children included.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import inspect
import io
import itertools
import json
import lzma
import os
import pathlib
import py_compile
import random
import re
import shutil
import signal
import statistics
import struct
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

import light_blocker  # noqa: E402

import dnssec_zones  # noqa: E402
import dnswire  # noqa: E402
import netkit  # noqa: E402
from dnswire import DnsRecord  # noqa: E402
from harness import (  # noqa: E402
    OURS_KIND,
    PROGRAM,
    REAL,
    Daemon,
    MockReply,
    ask,
    free_port,
    process_cpu_seconds,
    udp_raw,
)

PEERS = ("real", "tftpd-hpa", "unbound")
SIDES = ("real", "ours")
ALONE = "no-resolv\nno-hosts\n"
NAMES = 2000


@dataclass
class Options:
    """What the command line says."""

    seconds: float = 3.0
    rounds: int = 5
    clients: int = 1
    outstanding: int = 100
    lines: int = 500_000
    directory: pathlib.Path = pathlib.Path("/tmp")
    python: tuple[str, ...] = ("python3",)


@dataclass
class Result:
    """Figures of one bench: what -> side -> one value per round."""

    name: str
    values: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    targets: dict[str, float] = field(default_factory=dict)  # where figures may be no higher than that

    def add(self, what: str, side: str, value: float) -> None:
        self.values.setdefault(what, {}).setdefault(side, []).append(value)

    def medians(self) -> dict[str, dict[str, float]]:
        return {what: {side: statistics.median(v) for side, v in sides.items()} for what, sides in self.values.items()}

    def show(self) -> None:
        print(f"\n{self.name}")
        if self.targets:
            self.show_table()
            return
        for what, sides in self.medians().items():
            best = max if "per second" in what else min
            cells = "  ".join(f"{side} {value:>12,.2f}" for side, value in sides.items())
            spread = self.values[what].get("ours", [])
            extent = ""
            if len(spread) > 1:
                bests = {side: best(values) for side, values in self.values[what].items()}
                extent = f"  (ours {min(spread):,.2f} to {max(spread):,.2f}{ratio(bests, '; best ones')})"
            print(f"  {what:<48} {cells}{ratio(sides)}{extent}", flush=True)

    def show_table(self) -> None:
        """Print a table as README has them, the targets beside the figures."""
        medians = self.medians()
        sides = list(dict.fromkeys(side for cells in medians.values() for side in cells))
        print("| what | at most | " + " | ".join(sides) + " |")
        print("|---" * (2 + len(sides)) + "|")
        for what, cells in medians.items():
            shown = [f"{cells[side]:,.2f}" if side in cells else "" for side in sides]
            target = f"{self.targets[what]:g}" if what in self.targets else ""
            print(f"| {what} | {target} | {' | '.join(shown)} |", flush=True)


def ratio(sides: dict[str, float], before: str = " ") -> str:
    """Us beside each of the others."""
    parts = [f" ours/{peer} {sides['ours'] / sides[peer]:.2f}" for peer in PEERS if "ours" in sides and sides.get(peer)]
    return before + "".join(parts) if parts else ""


# -- tools -----------------------------------------------------------------------


def tree(pid: int) -> list[int]:
    """The process and its living descendants."""
    out, todo = [], [pid]
    while todo:
        one = todo.pop()
        out.append(one)
        with contextlib.suppress(OSError):
            for task in pathlib.Path(f"/proc/{one}/task").iterdir():
                todo += map(int, (task / "children").read_text().split())
    return out


def cpu_seconds(daemon: Daemon) -> float:
    """CPU of the daemon, its children alive and its children gone."""
    return cpu_of(daemon.pid)


def cpu_of(first: int) -> float:
    total = 0.0
    for pid in tree(first):
        with contextlib.suppress(OSError):
            total += process_cpu_seconds(pid)
            fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            total += (int(fields[13]) + int(fields[14])) / os.sysconf("SC_CLK_TCK")
    return total


def memory(pid: int) -> dict[str, float]:
    """Megabytes resident, and privately dirty where the kernel tells."""
    out = {}
    text = pathlib.Path(f"/proc/{pid}/status").read_text()
    match = re.search(r"VmRSS:\s+(\d+)", text)
    out["RSS MB"] = int(match[1]) / 1024 if match else 0.0
    for name in ("smaps_rollup", "smaps"):
        with contextlib.suppress(OSError):
            text = pathlib.Path(f"/proc/{pid}/{name}").read_text()
            out["private dirty MB"] = sum(map(int, re.findall(r"Private_Dirty:\s+(\d+)", text))) / 1024
            break
    return out


@contextlib.contextmanager
def daemons(options: Options, conf: str, upstream: Daemon | None = None) -> Iterator[dict[str, Daemon]]:
    """Both programs with the same configuration, started."""
    made: dict[str, Daemon] = {}
    server = f"server=127.0.0.1#{upstream.port}\n" if upstream else ""
    try:
        for side in SIDES:
            directory = pathlib.Path(tempfile.mkdtemp(prefix=f"{side}-", dir=options.directory))
            made[side] = Daemon(directory, ALONE + server + conf, kind=side, python=options.python).start(120)
        yield made
    finally:
        for daemon in made.values():
            daemon.stop()


@contextlib.contextmanager
def fast_upstream(options: Options) -> Iterator[Daemon]:
    """The fastest answerer at hand: dnsmasq with one address for all names."""
    directory = pathlib.Path(tempfile.mkdtemp(prefix="up-", dir=options.directory))
    conf = ALONE + "address=/#/198.18.0.1\nlocal-ttl=3600\n"
    with Daemon(directory, conf, kind="real") as daemon:
        yield daemon


@dataclass
class Run:
    """What dnsperf tells."""

    completed: int
    lost: int
    seconds: float

    @property
    def rate(self) -> float:
        return self.completed / self.seconds if self.seconds else 0.0


def dnsperf_start(
    options: Options, port: int, data: pathlib.Path, *more: str, inside: tuple[str, ...] = ()
) -> subprocess.Popen[str]:
    words = [*inside, "dnsperf", "-s", "127.0.0.1", "-p", str(port), "-d", str(data), "-c", str(options.clients)]
    words += ["-q", str(options.outstanding), "-t", "3", *more]
    return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def dnsperf_end(process: subprocess.Popen[str]) -> Run:
    output, _ = process.communicate(timeout=600)

    def number(pattern: str) -> float:
        match = re.search(pattern + r":\s+([\d.]+)", output)
        if match is None:
            raise RuntimeError(f"dnsperf said: {output[-600:]}")
        return float(match[1])

    return Run(int(number("Queries completed")), int(number("Queries lost")), number(r"Run time \(s\)"))


def dnsperf(options: Options, port: int, data: pathlib.Path, *more: str) -> Run:
    return dnsperf_end(dnsperf_start(options, port, data, *more))


def write_names(path: pathlib.Path, names: list[str]) -> pathlib.Path:
    path.write_text("".join(f"{name} A\n" for name in names))
    return path


def measure(
    options: Options, result: Result, side: str, daemon: Daemon, data: pathlib.Path, *more: str, label: str = ""
) -> Run:
    before = cpu_seconds(daemon)
    run = dnsperf(options, daemon.port, data, *more)
    cpu = cpu_seconds(daemon) - before
    result.add(label + "queries per second", side, run.rate)
    result.add(label + "CPU microseconds per query", side, cpu / max(run.completed, 1) * 1e6)
    result.add(label + "lost", side, run.lost)
    return run


# -- the benches -----------------------------------------------------------------


def cached_with(options: Options, result: Result, conf: str) -> None:
    names = write_names(options.directory / "cached", [f"host{i}.cached.test" for i in range(NAMES)])
    with fast_upstream(options) as upstream, daemons(options, "cache-size=10000\n" + conf, upstream) as made:
        for daemon in made.values():
            dnsperf(options, daemon.port, names, "-n", "2")
        for _ in range(options.rounds):
            for side in SIDES:
                measure(options, result, side, made[side], names, "-l", str(options.seconds))
                if "log-queries" in conf:
                    os.truncate(made[side].log_path, 0)


def bench_cached(options: Options, result: Result) -> None:
    """cached answers over UDP, 2,000 names"""
    cached_with(options, result, "")


def bench_logged(options: Options, result: Result) -> None:
    """cached answers over UDP with log-queries to a file"""
    cached_with(options, result, "log-queries\n")


def bench_hosts(options: Options, result: Result) -> None:
    """answers from a hosts file over UDP, 2,000 names"""
    hosts = options.directory / "hosts"
    hosts.write_text("".join(f"10.0.{i >> 8}.{i & 255} host{i}.hosts.test\n" for i in range(NAMES)))
    names = write_names(options.directory / "hostnames", [f"host{i}.hosts.test" for i in range(NAMES)])
    with daemons(options, f"addn-hosts={hosts}\n") as made:
        for _ in range(options.rounds):
            for side in SIDES:
                measure(options, result, side, made[side], names, "-l", str(options.seconds))


def unseen(rng: random.Random, count: int) -> list[str]:
    """Names that nobody asked for yet."""
    return [f"{rng.getrandbits(48):012x}.unseen.test" for _ in range(count)]


def bench_forward(options: Options, result: Result) -> None:
    """forwarding of names never seen, fast upstream"""
    # The default configuration: with a large cache dnsmasq's hash chains grow so
    # long on names that are alike that it gets five times slower.
    count, rng = int(options.seconds * 60_000), random.Random(2)
    with fast_upstream(options) as upstream, daemons(options, "", upstream) as made:
        for _ in range(options.rounds):
            data = write_names(options.directory / "unseen", unseen(rng, count))
            for side in SIDES:
                measure(options, result, side, made[side], data, "-l", str(options.seconds), "-n", "1")


def zipf_names(rng: random.Random, count: int) -> list[str]:
    weights = [1 / (rank + 1) for rank in range(NAMES)]
    return rng.choices([f"host{i}.cached.test" for i in range(NAMES)], weights, k=count)


def bench_mixed(options: Options, result: Result) -> None:
    """mixed load: Zipf hits, 10 % misses, 20 % EDNS, 5 % TCP"""
    rng = random.Random(1)
    total = int(options.seconds * 15_000)
    parts: list[tuple[str, float, list[str]]] = [
        ("plain", 0.75, []), ("edns", 0.20, ["-e"]), ("tcp", 0.05, ["-m", "tcp", "-c", "2", "-q", "2", "-t", "0.25"]),
    ]  # fmt: skip
    with fast_upstream(options) as upstream, daemons(options, "cache-size=10000\n", upstream) as made:
        for _ in range(options.rounds):
            files = []
            for label, share, more in parts:
                names = zipf_names(rng, int(total * share))
                for index in rng.sample(range(len(names)), len(names) // 10):
                    names[index] = unseen(rng, 1)[0]
                files.append((write_names(options.directory / label, names), more))
            for side in SIDES:
                _mixed_run(options, result, side, made[side], files)


def _mixed_run(
    options: Options, result: Result, side: str, daemon: Daemon, files: list[tuple[pathlib.Path, list[str]]]
) -> None:
    before = cpu_seconds(daemon)
    running = [dnsperf_start(options, daemon.port, data, "-n", "1", *more) for data, more in files]
    runs = [dnsperf_end(process) for process in running]
    cpu = cpu_seconds(daemon) - before
    completed = sum(run.completed for run in runs)
    # dnsmasq closes a connection after 100 queries, which dnsperf waits out: the
    # rate is that of the UDP clients beside the TCP one, the CPU is that of all.
    udp = [run for run, (_, more) in zip(runs, files, strict=True) if "tcp" not in more]
    wall = max(run.seconds for run in udp)
    result.add("UDP queries per second", side, sum(run.completed for run in udp) / wall)
    result.add("CPU microseconds per query", side, cpu / max(completed, 1) * 1e6)
    result.add("lost", side, sum(run.lost for run in runs))


def compiled(options: Options) -> pathlib.Path:
    """The program byte-compiled, in a directory of its own."""
    path = options.directory / "pydnsmasq.pyc"
    version = subprocess.run([*options.python, "-c", "import sys; print(sys.version_info[:2])"],
                             capture_output=True, text=True, check=True).stdout  # fmt: skip
    if version.strip() == str(sys.version_info[:2]):
        py_compile.compile(str(PROGRAM), str(path), doraise=True)
    else:
        code = f"import py_compile; py_compile.compile({str(PROGRAM)!r}, {str(path)!r}, doraise=True)"
        subprocess.run([*options.python, "-c", code], check=True)
    return path


def start_to_answer(command: list[str], conf: pathlib.Path) -> tuple[float, dict[str, float]]:
    """Seconds from start to the first answer, and the memory then."""
    port = free_port()
    query = dnswire.build_query("version.bind", "TXT", "CH")
    began = time.monotonic()
    process = subprocess.Popen([*command, "-k", "-C", str(conf), "-p", str(port)], stderr=subprocess.DEVNULL)
    try:
        while udp_raw(query, port, seconds=0.5) is None:
            if process.poll() is not None or time.monotonic() - began > 300:
                raise RuntimeError(f"{command} did not start")
            time.sleep(0.001)
        taken = time.monotonic() - began
        time.sleep(0.2)
        return taken, memory(process.pid)
    finally:
        process.terminate()
        process.wait(10)


def commands(options: Options) -> dict[str, list[str]]:
    assert REAL is not None
    out = {"real": [REAL]}
    if OURS_KIND == "ours":
        out["ours"] = [*options.python, "-S", str(compiled(options))]
        out["ours from source"] = [*options.python, "-S", "-B", str(PROGRAM)]
    else:
        out["ours"] = [REAL]
    return out


def _plain_conf(options: Options, text: str = "") -> pathlib.Path:
    path = options.directory / "conf"
    path.write_text(f"user=root\npid-file=\nlog-facility={options.directory}/log\n{ALONE}{text}")
    return path


def bench_start(options: Options, result: Result) -> None:
    """start to the first answer, and idle memory (ours byte-compiled, and from source)"""
    conf = _plain_conf(options)
    for _ in range(options.rounds):
        for side, command in commands(options).items():
            taken, used = start_to_answer(command, conf)
            result.add("seconds to the first answer", side, taken)
            for what, value in used.items():
                result.add("idle " + what, side, value)
    process = subprocess.Popen([*options.python, "-S", "-c", "import time; print(flush=True); time.sleep(60)"],
                               stdout=subprocess.PIPE)  # fmt: skip
    assert process.stdout is not None
    process.stdout.readline()
    for what, value in memory(process.pid).items():
        result.add("idle " + what, "bare python3 -S", value)
    process.kill()
    process.communicate()


LISTS: dict[str, Callable[[int], str]] = {
    "local=/x/": lambda i: f"local=/b{i}.ads{i % 977}.test/\n",
    "address=/x/#": lambda i: f"address=/b{i}.ads{i % 977}.test/#\n",
    "hosts 0.0.0.0": lambda i: f"0.0.0.0 b{i}.ads{i % 977}.test\n",
}


def bench_lists(options: Options, result: Result) -> None:
    """block lists of 500,000 lines: start to first answer, and memory"""
    for label, line in LISTS.items():
        path = options.directory / "list"
        path.write_text("".join(map(line, range(options.lines))))
        conf = _plain_conf(options, f"{'addn-hosts' if 'hosts' in label else 'conf-file'}={path}\n")
        for _ in range(min(options.rounds, 3)):
            for side, command in commands(options).items():
                if side in SIDES:
                    taken, used = start_to_answer(command, conf)
                    result.add(f"{label} seconds", side, taken)
                    for what, value in used.items():
                        result.add(f"{label} {what}", side, value)


def bench_names(options: Options, result: Result) -> None:
    """memory that 10,000 cached names take"""
    data = write_names(options.directory / "ten", [f"n{i}.ten.test" for i in range(10_000)])
    with fast_upstream(options) as upstream, daemons(options, "cache-size=10000\n", upstream) as made:
        for side in SIDES:
            before = memory(made[side].pid)
            for _ in range(2):
                dnsperf(options, made[side].port, data, "-n", "1", "-q", "50")
            for what, value in memory(made[side].pid).items():
                result.add(f"10,000 names, added {what}", side, value - before[what])


def bench_million(options: Options, result: Result) -> None:
    """memory over 1,000,000 distinct queries"""
    with fast_upstream(options) as upstream, daemons(options, "", upstream) as made:
        for part in range(10):
            numbers = range(part * 100_000, (part + 1) * 100_000)
            data = write_names(options.directory / "million", [f"n{i}.million.test" for i in numbers])
            for side in SIDES:
                dnsperf(options, made[side].port, data, "-n", "1")
                if part in (0, 4, 9):
                    result.add(f"RSS MB after {part + 1}00,000", side, memory(made[side].pid)["RSS MB"])


# -- DHCP ------------------------------------------------------------------------

LEASES = (1_000, 10_000, 30_000)
DHCP_SECONDS = 5
DHCP_DROPS = 0.01
DHCP_CLIENTS = 30_000
DHCP_CONF = """dhcp-range=10.66.0.10,10.66.249.255,255.255.0.0,12h
no-ping
dhcp-leasefile=$DIR/leases
dhcp-lease-max=100000
"""
# Asks in the daemon's namespace until it answers, and tells when (the clock is the machine's).
PROBE = """import socket, sys, time
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sock.connect(("127.0.0.1", int(sys.argv[1])))
sock.settimeout(0.02)
print("ready", flush=True)
while True:
    try:
        sock.send(bytes.fromhex(sys.argv[2]))
        sock.recv(4096)
        break
    except OSError:
        time.sleep(0.001)
print(time.monotonic())
"""


class NetDaemon(Daemon):
    """A daemon in a network namespace."""

    inside: tuple[str, ...] = ()

    def command(self) -> list[str]:
        return [*self.inside, *super().command()]


class Network:
    """A server's namespace (lan0, 10.66.0.1/16) and a client's (up0, 10.66.255.2/16)."""

    def __init__(self) -> None:
        self.server, self.client = (f"pydnsmasq-{os.getpid()}-{side}" for side in ("bs", "bc"))

    def inside(self, name: str) -> tuple[str, ...]:
        return ("ip", "netns", "exec", name)

    def __enter__(self) -> Network:
        try:
            for text in (
                f"netns add {self.server}",
                f"netns add {self.client}",
                f"-n {self.server} link add lan0 type veth peer name up0 netns {self.client}",
                f"-n {self.server} addr add 10.66.0.1/16 dev lan0",
                f"-n {self.client} addr add 10.66.255.2/16 dev up0",
                f"-n {self.server} link set lo up",
                f"-n {self.server} link set lan0 up",
                f"-n {self.client} link set up0 up",
            ):
                subprocess.run(["ip", *text.split()], check=True)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for name in (self.server, self.client):
            subprocess.run(["ip", "netns", "del", name], check=False, stderr=subprocess.DEVNULL)


def lease_lines(count: int, named: bool = False) -> str:
    """A lease file of other clients than perfdhcp's, their addresses strewn over the range."""
    expiry, rng = int(time.time()) + 43_200, random.Random(count)
    out = []
    for i, place in enumerate(rng.sample(range(10, 250 * 256), count)):
        mac = f"02:66:00:{i >> 16:02x}:{i >> 8 & 255:02x}:{i & 255:02x}"
        name = f"host{i}" if named else "*"
        out.append(f"{expiry} {mac} 10.66.{place >> 8}.{place & 255} {name} 01:{mac}\n")
    return "".join(out)


@contextlib.contextmanager
def dhcp_daemon(options: Options, net: Network, side: str, leases: str, conf: str = "") -> Iterator[Daemon]:
    """One program serving leases, with those in its file from before; it has nothing more to do at start."""
    directory = pathlib.Path(tempfile.mkdtemp(prefix=f"{side}-", dir=options.directory))
    daemon = NetDaemon(directory, ALONE + DHCP_CONF + conf, kind=side, python=options.python, files={"leases": leases})
    daemon.inside = net.inside(net.server)
    try:
        daemon.spawn().wait_log("started, version", 120)
        wait_idle(daemon.pid)
        yield daemon
    finally:
        daemon.stop()
        shutil.rmtree(directory)


def wait_idle(pid: int) -> float:
    """Wait until a process uses no more CPU, and give what it used; dnsmasq is busy for seconds after its "started"."""
    used = -1.0
    for _ in range(400):
        time.sleep(0.3)
        now = cpu_of(pid)
        if now - used < 0.02:
            return now
        used = now
    raise RuntimeError(f"process {pid} does not get idle")


@dataclass
class DhcpRun:
    """What perfdhcp tells: four-way exchanges begun and ended well."""

    begun: int
    ended: int

    @property
    def drops(self) -> float:
        return 1 - self.ended / self.begun if self.begun else 1.0


def perfdhcp_start(options: Options, net: Network, rate: float, seconds: float) -> subprocess.Popen[str]:
    # Of its own accord perfdhcp counts MAC addresses up; the hash then leads neighbours to
    # the same address, and a refused one of them would count as dropped.
    macs, rng = options.directory / "macs", random.Random(3)
    macs.write_text("".join(f"02:77:{rng.randbytes(4).hex(':')}\n" for _ in range(DHCP_CLIENTS)))
    words = [*net.inside(net.client), "perfdhcp", "-4", "-r", str(max(1, round(rate))), "-p", str(round(seconds))]
    words += ["-M", str(macs), "-W", "1000000", "-l", "up0"]
    return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def perfdhcp_end(process: subprocess.Popen[str]) -> DhcpRun:
    try:
        output, _ = process.communicate(timeout=DHCP_SECONDS + 60)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        return DhcpRun(0, 0)
    sent = re.findall(r"^sent packets: (\d+)", output, re.M)  # of DISCOVER-OFFER, then of REQUEST-ACK
    received = re.findall(r"^received packets: (\d+)", output, re.M)
    if len(sent) != 2 or len(received) != 2:
        raise RuntimeError(f"perfdhcp said: {output[-600:]}")
    return DhcpRun(int(sent[0]), int(received[1]))


def highest_rate(works: Callable[[float], bool], start: float) -> None:
    """Try rates up to the highest that works, to 9 %: by doubling or halving, then between."""
    low = high = start
    if works(start):
        while high < 16_000 and works(high := low * 2):
            low = high
    else:
        while low > 2 and not works(low := high / 2):
            high = low
    for _ in range(3):
        middle = (low * high) ** 0.5
        low, high = (middle, high) if works(middle) else (low, middle)


def dhcp_rate(options: Options, result: Result, net: Network, side: str, leases: int, start: float) -> float:
    """The highest rate of exchanges under 1 % of which are dropped, each tried on a lease file of the same size."""

    def works(rate: float) -> bool:
        with dhcp_daemon(options, net, side, lease_lines(leases)) as daemon:
            before = cpu_seconds(daemon)
            run = perfdhcp_end(perfdhcp_start(options, net, rate, DHCP_SECONDS))
            cpu = cpu_seconds(daemon) - before
        good = run.drops < DHCP_DROPS and run.begun > 0.97 * rate * DHCP_SECONDS
        if good:
            used[rate] = cpu / run.ended * 1e6
        return good

    used: dict[float, float] = {}
    highest_rate(works, start)
    rate = max(used, default=1.0)
    result.add(f"exchanges per second, {leases:,} leases", side, rate)
    result.add(f"CPU microseconds each, {leases:,} leases", side, used.get(rate, 0.0))
    return rate


def dhcp_start(options: Options, result: Result, net: Network, side: str, leases: int) -> float:
    """Start on such a lease file: seconds to the first DNS answer; gives the megabytes resident."""
    directory = pathlib.Path(tempfile.mkdtemp(prefix=f"{side}-", dir=options.directory))
    (directory / "leases").write_text(lease_lines(leases))
    conf = _plain_conf(options, DHCP_CONF.replace("$DIR", str(directory)))
    port, query = free_port(), dnswire.build_query("version.bind", "TXT", "CH").hex()
    inside = net.inside(net.server)
    asking = [*inside, sys.executable, "-c", PROBE, str(port), query]
    probe = subprocess.Popen(asking, stdout=subprocess.PIPE, text=True)
    assert probe.stdout is not None
    probe.stdout.readline()
    began = time.monotonic()
    process = subprocess.Popen([*inside, *commands(options)[side], "-k", "-C", str(conf), "-p", str(port)])
    try:
        output, _ = probe.communicate(timeout=120)
        result.add(f"seconds to the first answer, {leases:,} leases", side, float(output) - began)
        result.add(f"CPU seconds to start, {leases:,} leases", side, wait_idle(process.pid))
        return memory(process.pid)["RSS MB"]
    finally:
        for one in (probe, process):
            one.terminate()
            one.wait(10)
        shutil.rmtree(directory)


def dhcp_beside_dns(options: Options, result: Result, net: Network, side: str, rate: float, what: str) -> None:
    """Cached answers per second while leases are given at that rate."""
    directory = pathlib.Path(tempfile.mkdtemp(prefix="up-", dir=options.directory))
    names = write_names(options.directory / "cached", [f"host{i}.cached.test" for i in range(NAMES)])
    upstream = NetDaemon(directory, ALONE + "address=/#/198.18.0.1\nlocal-ttl=3600\n", kind="real")
    upstream.inside = inside = net.inside(net.server)
    conf = f"cache-size=10000\nserver=127.0.0.1#{upstream.port}\n"
    try:
        upstream.spawn().wait_log("started, version")
        with dhcp_daemon(options, net, side, lease_lines(LEASES[0]), conf) as daemon:
            dnsperf_end(dnsperf_start(options, daemon.port, names, "-n", "2", inside=inside))
            begun = perfdhcp_start(options, net, rate, DHCP_SECONDS)
            time.sleep(0.5)
            run = dnsperf_end(dnsperf_start(options, daemon.port, names, "-l", str(DHCP_SECONDS - 1), inside=inside))
            dhcp = perfdhcp_end(begun)
    finally:
        upstream.stop()
    result.add(f"{what}: DNS per second", side, run.rate)
    result.add(f"{what}: DNS lost", side, run.lost)
    result.add(f"{what}: DHCP per second", side, dhcp.ended / DHCP_SECONDS)


def bench_leases(options: Options, result: Result) -> None:
    """DHCP: four-way exchanges of new clients, leases in a file, no-ping (needs root and perfdhcp)"""
    if os.geteuid() != 0 or shutil.which("perfdhcp") is None:
        print("leases: skipped, needs root and perfdhcp", file=sys.stderr)
        return
    last: dict[tuple[str, int], float] = {}
    with Network() as net:
        for _ in range(min(options.rounds, 3)):
            for before, leases in zip((0, *LEASES), LEASES, strict=False):
                for side in SIDES:
                    start = last.get((side, leases), last.get((side, before), 250.0))
                    last[side, leases] = dhcp_rate(options, result, net, side, leases, start)
            for side in SIDES:
                empty, full = (dhcp_start(options, result, net, side, leases) for leases in (0, LEASES[-1]))
                result.add(f"RSS MB of {LEASES[-1]:,} leases", side, full - empty)
            for side in SIDES:
                dhcp_beside_dns(options, result, net, side, last[side, LEASES[0]], "DHCP at its limit")
                dhcp_beside_dns(options, result, net, side, last["real", LEASES[0]], "DHCP at real's limit")


# -- the size on a router ----------------------------------------------------------

SIZE_TARGETS = {
    (SIZE_IDLE := "private memory idle, MB over a bare interpreter"): 6,
    (SIZE_LOADED := "the same with 1,000 leases, 10,000 hosts lines, cache of 10,000 full"): 20,
    (SIZE_FLASH := "flash, KB, xz in blocks of 256 KB (squashfs)"): 220,
    (SIZE_DOWNLOAD := "the same as tar.gz (download)"): 220,
    (SIZE_CPU := "CPU milliseconds to the first answer, over a bare interpreter"): 25,
    (SIZE_CPU_BEST := "the same, lowest of all starts"): 25,
    (SIZE_WAKE := "wake-ups per second when idle (DNS, DHCP, TFTP)"): 1,
    (SIZE_CALLS := "system calls for a cached answer"): 2,
}
SIZE_CONF = DHCP_CONF + "enable-tftp\ntftp-root=$DIR\ncache-size=10000\n"
SIZE_IDLE_SECONDS = 10
ROOT = HERE.parent.parent
# Runs what it is given with only the modules of python3-light; without arguments it is the bare interpreter.
LIGHT_PROGRAM = """import sys
LIGHT, ALWAYS = frozenset({names!r}), ()
{blocker}
sys.meta_path.insert(0, Blocker())
del sys.argv[0]
if sys.argv:
    with open(sys.argv[0]) as file:
        code = compile(file.read(), sys.argv[0], "exec")
    exec(code, {{"__name__": "__main__", "__file__": sys.argv[0]}})
else:
    import time

    time.sleep(600)
"""
# Asks for one thing many times, each time when the last answer is there.
ASKER = """import socket, sys
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sock.connect(("127.0.0.1", int(sys.argv[1])))
sock.settimeout(5)
for _ in range(int(sys.argv[3])):
    sock.send(bytes.fromhex(sys.argv[2]))
    sock.recv(4096)
"""


def pythons() -> dict[str, str]:
    """The interpreters at hand, by version."""
    out = {}
    home = pathlib.Path(os.environ.get("PYENV_ROOT", "~/.pyenv")).expanduser() / "versions"
    for minor in range(10, 15):
        found = [*map(str, home.glob(f"3.{minor}.*/bin/python3")), shutil.which(f"python3.{minor}") or ""]
        works = (one for one in found if one and subprocess.run([one, "-c", ""], check=False).returncode == 0)
        python = next(works, None)
        if python:
            out[f"3.{minor}"] = python
    return out


@dataclass
class Installed:
    """A program as on a router, and the idle process that its figures stand over."""

    command: tuple[str, ...]
    bare: tuple[str, ...]
    files: list[pathlib.Path]


def install(options: Options, version: str, python: str) -> Installed:
    """Lay out what the package installs, compiled for this Python."""
    root = options.directory / version
    library = root / "lib" / "pydnsmasq"
    (root / "sbin").mkdir(parents=True)
    library.mkdir(parents=True)
    launcher = shutil.copy(ROOT / "openwrt" / "files" / "dnsmasq.launcher", root / "sbin" / "dnsmasq")
    subprocess.run([python, str(ROOT / "openwrt" / "compile.py"), str(PROGRAM), str(library)], check=True)
    names = sorted(light_blocker.LIGHT | light_blocker.ALWAYS)
    light = root / "light.py"
    light.write_text(LIGHT_PROGRAM.format(names=names, blocker=inspect.getsource(light_blocker.Blocker)))
    subprocess.run([python, "-m", "compileall", "-qb", str(light)], check=True)
    bare = (python, "-sS", str(light.with_suffix(".pyc")))
    init = ROOT / "init.d" / "dnsmasq.procd"
    return Installed((*bare, str(launcher)), bare, [*library.iterdir(), *(ROOT / "openwrt" / "files").iterdir(), init])


def flash(result: Result, version: str, files: list[pathlib.Path]) -> None:
    """What all files take, as in an image and as in a package."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        for path in files:
            tar.add(path, path.name)
    result.add(SIZE_DOWNLOAD, version, len(packed.getvalue()) / 1024)
    data = b"".join(path.read_bytes() for path in files)
    octets = sum(len(lzma.compress(data[at : at + (1 << 18)])) for at in range(0, len(data), 1 << 18))
    result.add(SIZE_FLASH, version, octets / 1024)


class SizeDaemon(NetDaemon):
    """A program as it is installed, in the server's namespace."""

    program: tuple[str, ...] = ()

    def command(self) -> list[str]:
        return [*self.inside, *self.program, "-k", "-C", str(self.conf_path), "-p", str(self.port)]


@contextlib.contextmanager
def size_daemon(
    options: Options, net: Network, program: tuple[str, ...], conf: str = "", leases: str = ""
) -> Iterator[SizeDaemon]:
    directory = pathlib.Path(tempfile.mkdtemp(prefix="size-", dir=options.directory))
    daemon = SizeDaemon(directory, ALONE + SIZE_CONF + conf, files={"leases": leases})
    daemon.inside, daemon.program = net.inside(net.server), program
    try:
        yield daemon
    finally:
        daemon.stop()
        shutil.rmtree(directory)


@contextlib.contextmanager
def sleeper(net: Network, words: tuple[str, ...]) -> Iterator[int]:
    """The process that has no work at all, when it has started."""
    process = subprocess.Popen([*net.inside(net.server), *words])
    try:
        time.sleep(0.3)
        yield process.pid
    finally:
        process.kill()
        process.wait()


def switches(pid: int) -> int:
    """How often its threads went to sleep so far: as often they woke up."""
    texts = ((task / "status").read_text() for task in pathlib.Path(f"/proc/{pid}/task").iterdir())
    return sum(int(text.partition("\nvoluntary_ctxt_switches:")[2].split()[0]) for text in texts)


def first_answer(options: Options, net: Network, program: tuple[str, ...]) -> float:
    """CPU seconds until a new process has answered."""
    with size_daemon(options, net, program) as daemon:
        query = dnswire.build_query("version.bind", "TXT", "CH").hex()
        asking = [*daemon.inside, sys.executable, "-c", PROBE, str(daemon.port), query]
        with subprocess.Popen(asking, stdout=subprocess.PIPE, text=True) as probe:
            assert probe.stdout is not None
            probe.stdout.readline()
            daemon.spawn()
            probe.communicate(timeout=60)
            return process_cpu_seconds(daemon.pid)


def calls_for_answers(daemon: Daemon, inside: tuple[str, ...], name: str, count: int) -> float:
    """System calls for each of so many cached answers, those of an idle daemon included."""
    summary = daemon.directory / "calls"
    words = ["strace", "-c", "-f", "-p", str(daemon.pid), "-o", str(summary)]
    with subprocess.Popen(words, stderr=subprocess.PIPE, text=True) as tracer:
        assert tracer.stderr is not None
        tracer.stderr.readline()  # attached
        asking = [*inside, sys.executable, "-c", ASKER, str(daemon.port), dnswire.build_query(name).hex(), str(count)]
        subprocess.run(asking, check=True)
        tracer.send_signal(signal.SIGINT)
        tracer.communicate()
    counts = re.findall(r"^ *[\d.]+ +[\d.]+ +\d+ +(\d+)(?: +\d+)? +(?!total)[a-z]\w*$", summary.read_text(), re.M)
    return sum(map(int, counts)) / count


def size_loaded(
    options: Options, net: Network, result: Result, side: str, program: tuple[str, ...], bare: float
) -> None:
    """Memory when all is full, and what a cached answer costs."""
    hosts = options.directory / "hosts"
    hosts.write_text("".join(f"10.7.{i >> 8}.{i & 255} host{i}.hosts.test\n" for i in range(10_000)))
    names = write_names(options.directory / "full", [f"n{i}.cached.test" for i in range(10_000)])
    inside = net.inside(net.server)
    directory = pathlib.Path(tempfile.mkdtemp(prefix="up-", dir=options.directory))
    upstream = NetDaemon(directory, ALONE + "address=/#/198.18.0.1\nlocal-ttl=3600\n", kind="real")
    upstream.inside = inside
    conf = f"server=127.0.0.1#{upstream.port}\naddn-hosts={hosts}\n"
    try:
        upstream.spawn().wait_log("started, version")
        with size_daemon(options, net, program, conf, lease_lines(1000, named=True)) as daemon:
            daemon.spawn().wait_log("started, version")
            wait_idle(daemon.pid)
            dnsperf_end(dnsperf_start(options, daemon.port, names, "-n", "2", "-q", "50", inside=inside))
            result.add(SIZE_LOADED, side, memory(daemon.pid)["private dirty MB"] - bare)
            if shutil.which("strace"):
                result.add(SIZE_CALLS, side, calls_for_answers(daemon, inside, "n9999.cached.test", 1000))
    finally:
        upstream.stop()


def size_of(options: Options, net: Network, result: Result, side: str, installed: Installed) -> None:
    """Memory and wake-ups of one program; dnsmasq's memory is all that it has."""
    bare = 0.0
    if installed.files:
        flash(result, side, installed.files)
        with sleeper(net, installed.bare) as pid:
            bare = memory(pid)["private dirty MB"]
    with size_daemon(options, net, installed.command) as daemon:
        daemon.spawn().wait_log("started, version")
        time.sleep(2)
        result.add(SIZE_IDLE, side, memory(daemon.pid)["private dirty MB"] - bare)
        before = switches(daemon.pid)
        time.sleep(SIZE_IDLE_SECONDS)
        result.add(SIZE_WAKE, side, (switches(daemon.pid) - before) / SIZE_IDLE_SECONDS)
    size_loaded(options, net, result, side, installed.command, bare)


def bench_size(options: Options, result: Result) -> None:
    """the size on a router: as the package installs it, with the modules of python3-light, on each Python found"""
    assert REAL is not None
    sides = {version: install(options, version, python) for version, python in pythons().items()}
    sides["dnsmasq"] = Installed((REAL,), ("sleep", "600"), [])
    result.targets = SIZE_TARGETS
    result.values = {what: {} for what in SIZE_TARGETS}
    with Network() as net:
        for side, installed in sides.items():
            size_of(options, net, result, side, installed)
        bare: dict[str, list[float]] = {}
        taken: dict[str, list[float]] = {}
        for _ in range(options.rounds * 4):
            for side, installed in sides.items():
                with sleeper(net, installed.bare) as pid:
                    bare.setdefault(side, []).append(process_cpu_seconds(pid))
                taken.setdefault(side, []).append(first_answer(options, net, installed.command))
    for side, values in taken.items():
        result.add(SIZE_CPU, side, (statistics.median(values) - statistics.median(bare[side])) * 1e3)
        result.add(SIZE_CPU_BEST, side, (min(values) - min(bare[side])) * 1e3)


# -- TFTP ------------------------------------------------------------------------

TFTP_SIDES = ("real", "tftpd-hpa", "ours")
TFTP_CONF = "enable-tftp\ntftp-root={root}\ntftp-max=100\nbind-interfaces\nlisten-address=127.0.0.{n},10.66.0.{n}\n"
TFTP_ADDRESSES = {"loopback": "127.0.0.{n}", "veth": "10.66.0.{n}"}
TFTP_FILES = {"128k": 1 << 17, "256k": 1 << 18, "8m": 8 << 20, "16m": 16 << 20, "64m": 64 << 20}


@dataclass(frozen=True)
class TftpRun:
    """What is fetched, and how."""

    label: str
    file: str
    blksize: int
    window: int = 1
    clients: int = 1

    @property
    def size(self) -> int:
        return TFTP_FILES[self.file] * self.clients


TFTP_RUNS = (
    TftpRun("512", "16m", 512),
    TftpRun("1468", "64m", 1468),
    TftpRun("8192", "64m", 8192),
    TftpRun("1468, window 16", "64m", 1468, 16),
    TftpRun("1468, 20 clients", "8m", 1468, 1, 20),
)
# Small files, as dnsmasq and tftpd-hpa pause for a second or more at each loss, and for us a large one.
TFTP_LOSSES = {
    percent: (
        TftpRun("1468", small, 1468),
        TftpRun("1468, window 16", small, 1468, 16),
        TftpRun("1468, window 16, 16 MB", "16m", 1468, 16),
    )
    for percent, small in ((1, "256k"), (5, "128k"))
}
# In C, and in Python with two system calls a block; what is fetched is checked.
TFTP_CLIENTS = ("atftp", "python")


@dataclass
class TftpSide:
    """A TFTP server on 127.0.0.n and 10.66.0.n; tftpd-hpa needs a process for each."""

    number: int
    pids: list[int]

    def cpu(self) -> float:
        return sum(map(cpu_of, self.pids))

    def resident(self) -> float:
        """Megabytes of the largest of its processes, at its peak."""
        most = 0.0
        for pid in (one for first in self.pids for one in tree(first)):
            with contextlib.suppress(OSError):
                match = re.search(r"VmHWM:\s+(\d+)", pathlib.Path(f"/proc/{pid}/status").read_text())
                most = max(most, int(match[1]) / 1024 if match else 0.0)
        return most


class TftpNet(Network):
    """The servers in one namespace; their files, some of random octets and one with nothing but a hole."""

    def __init__(self, options: Options) -> None:
        super().__init__()
        self.options = options
        self.root = options.directory / "tftp"
        self.sides: dict[str, TftpSide] = {}
        self.sums: dict[str, int] = {}
        self.stack = contextlib.ExitStack()

    def __enter__(self) -> TftpNet:
        super().__enter__()
        try:
            # Large frames: dnsmasq never fragments, tftpd-hpa does, and 8192 octets shall be one packet for all.
            subprocess.run(["ip", "-n", self.server, "link", "set", "lan0", "mtu", "9000"], check=True)
            subprocess.run(["ip", "-n", self.client, "link", "set", "up0", "mtu", "9000"], check=True)
            self.root.mkdir(exist_ok=True)
            for name, size in TFTP_FILES.items():
                data = os.urandom(size)
                (self.root / name).write_bytes(data)
                self.sums[name] = zlib.crc32(data)
            with (self.root / "1g").open("wb") as file:
                file.truncate(1 << 30)
            for number, side in enumerate(TFTP_SIDES, 11):
                subprocess.run(
                    ["ip", "-n", self.server, "addr", "add", f"10.66.0.{number}/16", "dev", "lan0"], check=True
                )
                self.sides[side] = TftpSide(number, (self.hpa if side == "tftpd-hpa" else self.daemon)(side, number))
            time.sleep(0.5)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self.stack.close()
        finally:
            super().__exit__()

    def hpa(self, side: str, number: int) -> list[int]:
        pids = []
        for address in TFTP_ADDRESSES.values():
            words = ["in.tftpd", "-L", "-4", "-s", "-a", address.format(n=number) + ":69", str(self.root)]
            process = subprocess.Popen([*self.inside(self.server), *words])
            self.stack.callback(process.wait)
            self.stack.callback(process.terminate)
            pids.append(process.pid)
        return pids

    def daemon(self, side: str, number: int) -> list[int]:
        conf = ALONE + TFTP_CONF.format(root=self.root, n=number)
        directory = pathlib.Path(tempfile.mkdtemp(prefix=f"{side}-", dir=self.options.directory))
        daemon = NetDaemon(directory, conf, kind=side, python=self.options.python)
        daemon.inside = self.inside(self.server)
        self.stack.callback(daemon.stop)
        daemon.spawn().wait_log("started, version", 30)
        return [daemon.pid]

    def fetch(self, client: str, way: str, side: str, run: TftpRun) -> float:
        """Seconds that it took; what came is what the file holds."""
        address = TFTP_ADDRESSES[way].format(n=self.sides[side].number)
        inside = self.inside(self.server if way == "loopback" else self.client)
        seconds, sums = (self.by_python if client == "python" else self.by_atftp)(inside, address, run)
        assert sums == [self.sums[run.file]] * run.clients, f"{side}: {run} came damaged or not at all"
        return seconds

    def by_python(self, inside: tuple[str, ...], address: str, run: TftpRun) -> tuple[float, list[int]]:
        words = [sys.executable, "-S", str(HERE / "tftpget.py"), address, run.file]
        words += [str(number) for number in (run.blksize, run.window, run.clients)]
        done = subprocess.run([*inside, *words], stdout=subprocess.PIPE, text=True, check=True, timeout=600)
        came = [json.loads(line) for line in done.stdout.splitlines()]
        seconds = max(one["ended"] for one in came) - min(one["began"] for one in came)
        return seconds, [one["crc"] for one in came]

    def by_atftp(self, inside: tuple[str, ...], address: str, run: TftpRun) -> tuple[float, list[int]]:
        words = [*inside, "atftp", "--tftp-timeout", "1", "--option", f"blksize {run.blksize}"]
        words += ["--option", f"windowsize {run.window}"] if run.window > 1 else []
        targets = [self.options.directory / f"got{number}" for number in range(run.clients)]
        began = time.monotonic()
        running = [
            subprocess.Popen([*words, "-g", "-r", run.file, "-l", str(target), address], stderr=subprocess.DEVNULL)
            for target in targets
        ]
        codes = [process.wait(600) for process in running]
        seconds = time.monotonic() - began
        assert not any(codes), f"atftp ended with {codes}"
        return seconds, [zlib.crc32(target.read_bytes()) for target in targets]


@contextlib.contextmanager
def tftp_net(options: Options) -> Iterator[TftpNet | None]:
    if os.geteuid() != 0 or not shutil.which("in.tftpd") or not shutil.which("atftp"):
        print("tftp: skipped, needs root, tftpd-hpa and atftp", file=sys.stderr)
        yield None
        return
    with TftpNet(options) as net:
        yield net


def tftp_memory(net: TftpNet, result: Result) -> None:
    """Peaks after small files and after a large one, which must not matter."""
    for side, server in net.sides.items():
        result.add("peak RSS MB, files of 64 MB", side, server.resident())
    for side, server in net.sides.items():
        address = TFTP_ADDRESSES["loopback"].format(n=server.number)
        words = [sys.executable, "-S", str(HERE / "tftpget.py"), address, "1g", "8192"]
        process = subprocess.Popen([*net.inside(net.server), *words], stdout=subprocess.DEVNULL)
        most = 0.0
        while process.poll() is None:
            most = max(most, server.resident())
            time.sleep(0.5)
        assert process.returncode == 0
        result.add("peak RSS MB, a file of 1 GB", side, most)


def bench_tftp(options: Options, result: Result) -> None:
    """TFTP on loopback and over veth: one client, windows, 20 clients at once (needs root)"""
    with tftp_net(options) as net:
        for turn in range(options.rounds if net else 0):
            assert net is not None
            for way, run, client, side in itertools.product(TFTP_ADDRESSES, TFTP_RUNS, TFTP_CLIENTS, TFTP_SIDES):
                before = net.sides[side].cpu()
                seconds = net.fetch(client, way, side, run)
                used = net.sides[side].cpu() - before
                what = f"{way}, {run.label}, {client}"
                result.add(f"{what}: MB per second", side, run.size / seconds / 1e6)
                if side != "tftpd-hpa":  # which forgets what its children used
                    result.add(f"{what}: CPU s of 64 MB", side, used * (64 << 20) / run.size)
            if not turn:
                tftp_memory(net, result)


def bench_tftploss(options: Options, result: Result) -> None:
    """TFTP with packets lost both ways (needs root)"""
    for percent, runs in TFTP_LOSSES.items():
        with tftp_net(options) as net:
            if net is None:
                return
            netkit.lose(net.server, "lan0", percent)
            netkit.lose(net.client, "up0", percent)
            for _, run, side in itertools.product(range(min(options.rounds, 3)), runs, TFTP_SIDES):
                if run.file == "16m" and side != "ours":
                    continue
                seconds = net.fetch("python", "veth", side, run)
                result.add(f"{percent} % lost, {run.label}: kB per second", side, run.size / seconds / 1e3)


# -- DNSSEC ----------------------------------------------------------------------

SIGNED_ZONES, SIGNED_ALGORITHMS = 100, (8, 13, 15)
ROOM = "cache-size=10000\ndns-forward-max=1000\n"
# What a validator has at hand when it begins: nothing.  All ask the same resolver, which knows everything already.
SIGNED_PHASES = {
    "a name in each of 100 new zones": ("n0",),
    "more names in these zones": ("n1", "n2"),
}
VERIFY = """import base64, collections, hashlib, importlib.util, json, sys, time
spec = importlib.util.spec_from_file_location("program", sys.argv[1])
program = sys.modules["program"] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(program)
cases = collections.defaultdict(list)
for line in open(sys.argv[2]):
    number, key, first, *signatures = line.split()
    key = base64.b64decode(key)
    for at, text in enumerate(signatures, int(first)):
        data = hashlib.shake_128(b"%d" % at).digest(1 + at % 200)
        cases[int(number), len(key) // 32 * 256].append((int(number), key, data, base64.b64decode(text)))
wanted = {"RSA-1024": (8, 1024), "RSA-2048": (8, 2048), "P-256": (13, 512), "P-384": (14, 768), "Ed25519": (15, 256),
          "Ed448": (16, 256)}
rates = {}
for label, which in wanted.items():
    for how, keys in ("known", 32), ("new", 0):
        known = set(sorted({case[1] for case in cases[which]})[:32])
        few = [case for case in cases[which] if case[1] in known]
        if keys:
            for case in few:
                program.signature_verify(*case)
        done, began = 0, time.process_time()
        while (taken := time.process_time() - began) < float(sys.argv[3]):
            if not keys:
                program._signature_key.cache_clear()
            assert program.signature_verify(*few[done % len(few)])
            done += 1
        rates[f"{label}, {how} key: verifications per second"] = done / taken
print(json.dumps(rates))
"""
# Asks for a name every two milliseconds; for each line that comes, says how long the answers took since the last.
LATENCY = """import json, select, socket, sys, time
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sock.connect(("127.0.0.1", int(sys.argv[1])))
sock.settimeout(5)
query, times = bytes.fromhex(sys.argv[2]), []
while True:
    if select.select([sys.stdin], [], [], 0.002)[0]:
        if not sys.stdin.readline():
            break
        times.sort()
        at = [times[min(int(len(times) * share), len(times) - 1)] * 1e3 if times else 0 for share in (0.5, 0.99, 1)]
        print(json.dumps(at), flush=True)
        times = []
    began = time.monotonic()
    sock.send(query)
    try:
        sock.recv(4096)
    except TimeoutError:
        pass
    times.append(time.monotonic() - began)
"""


class Unbound(Daemon):
    """A validating unbound; its configuration is unbound's own."""

    def command(self) -> list[str]:
        return [dnssec_zones.find_tool("unbound"), "-d", "-c", str(self.conf_path)]


@contextlib.contextmanager
def signed_zones(options: Options) -> Iterator[dnssec_zones.Hierarchy | None]:
    """Zones of several algorithms, one of 2,000 names, and one below which `Traps` invents others."""
    missing = [tool for tool in dnssec_zones.TOOLS if not shutil.which(tool, path=dnssec_zones.PATH)]
    if os.geteuid() != 0 or missing:
        print(f"DNSSEC: skipped, needs root and {', '.join(missing or dnssec_zones.TOOLS)}", file=sys.stderr)
        yield None
        return
    names = [f"z{i}.tld" for i in range(SIGNED_ZONES)]
    algorithms = itertools.cycle(SIGNED_ALGORITHMS)
    dnssec_zones.ZONES = ". 8k,8z nsec -\ntld 13 nsec 2\nevil 8 nsec 2\nmany.tld 8 nsec 2\n" + "".join(
        f"{name} {next(algorithms)} nsec 2\n" for name in names
    )
    dnssec_zones.CONTENT = dict.fromkeys(names, "".join(f"n{i} A 198.18.9.{i}\n" for i in range(10)))
    dnssec_zones.CONTENT["many.tld"] = "".join(f"host{i} A 198.18.{i >> 8}.{i & 255}\n" for i in range(NAMES))
    zones = dnssec_zones.Hierarchy(pathlib.Path(tempfile.mkdtemp(prefix="zones-", dir=options.directory)))
    zones.relay = Traps(zones)
    before = pathlib.Path.cwd()
    os.chdir(zones.directory)  # dnssec-signzone leaves files where it stands
    try:
        zones.start()
        os.chdir(before)
        yield zones
    finally:
        os.chdir(before)
        zones.stop()


def behind(port: int, anchor: str = "") -> str:
    """A configuration with one server, which validates when there is an anchor."""
    return f"server=127.0.0.1#{port}\n{ROOM}" + ("dnssec\n" + anchor if anchor else "")


def signed_names(options: Options, zones: dnssec_zones.Hierarchy, *labels: str) -> pathlib.Path:
    """A file with these names of each zone, all of which the resolver knows, and DS and DNSKEY too."""
    names = [f"{label}.{zone}" for zone in zones.zones if zone[0] == "z" for label in labels]
    path = write_names(options.directory / "-".join(labels), names)
    more = options.directory / "more"
    more.write_text("".join(f"{zone} {rtype}\n" for zone in zones.zones for rtype in ("DS", "DNSKEY")))
    for data in (path, more):
        dnsperf(options, zones.resolver_port, data, "-D", "-n", "2", "-q", "10")
    return path


@contextlib.contextmanager
def validators(options: Options, zones: dnssec_zones.Hierarchy) -> Iterator[dict[str, Daemon]]:
    """Both programs and unbound, started with nothing known."""
    key = zones.zones["."].keys[0].ds(2)
    text = f'{dnssec_zones.UNBOUND}module-config: "validator iterator"\ntrust-anchor: ". IN DS {key}"\n'
    text += f"forward-zone:\nname: .\nforward-addr: 127.0.0.1@{zones.resolver_port}\n"
    directory = pathlib.Path(tempfile.mkdtemp(prefix="unbound-", dir=options.directory))
    with (
        daemons(options, behind(zones.resolver_port, zones.anchor())) as made,
        Unbound(directory, text, defaults=False) as unbound,
    ):
        yield {**made, "unbound": unbound}


def proved(daemon: Daemon, name: str) -> bool:
    """Tell whether it says AD."""
    return bool(daemon.ask(name, do=True).has("AD"))


def bench_dnssec(options: Options, result: Result) -> None:
    """names validated, in zones of RSA-1024, P-256 and Ed25519 below one of P-256 (needs root, bind9 tools, nsd)"""
    with signed_zones(options) as zones:
        if zones is None:
            return
        files = {phase: signed_names(options, zones, *labels) for phase, labels in SIGNED_PHASES.items()}
        for _ in range(options.rounds):
            with validators(options, zones) as made:
                for (phase, data), (side, daemon) in itertools.product(files.items(), made.items()):
                    before = cpu_seconds(daemon)
                    run = dnsperf(options, daemon.port, data, "-n", "1", "-q", "20")
                    cpu = cpu_seconds(daemon) - before
                    result.add(f"{phase}: CPU ms each", side, cpu / max(run.completed, 1) * 1e3)
                    result.add(f"{phase}: names per second", side, run.rate)
                    result.add(f"{phase}: lost", side, run.lost)
                for side, daemon in made.items():
                    assert proved(daemon, "n1.z7.tld"), f"{side} does not validate"


def bench_signed(options: Options, result: Result) -> None:
    """cached answers of a signed zone over UDP, 2,000 names, RSA-1024: without dnssec, with it, and to a DO client"""
    with signed_zones(options) as zones, contextlib.ExitStack() as stack:
        if zones is None:
            return
        names = write_names(options.directory / "cached", [f"host{i}.many.tld" for i in range(NAMES)])
        plain = stack.enter_context(daemons(options, behind(zones.resolver_port)))
        proving = stack.enter_context(daemons(options, behind(zones.resolver_port, zones.anchor())))
        runs = {"no dnssec": (plain, ()), "dnssec": (proving, ()), "dnssec, DO client": (proving, ("-D",))}
        for made, more in runs.values():
            for side in SIDES:
                dnsperf(options, made[side].port, names, "-n", "2", "-q", "20", *more)
        assert all(proved(daemon, "host7.many.tld") for daemon in proving.values())
        for _ in range(options.rounds):
            for side in SIDES:
                rates = {}
                for label, (made, more) in runs.items():
                    time_ = ("-l", str(options.seconds), *more)
                    rates[label] = measure(options, result, side, made[side], names, *time_, label=label + ": ").rate
                for label in list(runs)[1:]:
                    result.add(f"{label}: part of the rate without", side, rates[label] / rates["no dnssec"])


def bench_dnssecmem(options: Options, result: Result) -> None:
    """memory after 1,000 names of 100 signed zones, without dnssec and with it"""
    with signed_zones(options) as zones:
        if zones is None:
            return
        data = signed_names(options, zones, *(f"n{i}" for i in range(10)))
        for _ in range(min(options.rounds, 3)):
            for label, anchor in (("no dnssec", ""), ("dnssec", zones.anchor())):
                with daemons(options, behind(zones.resolver_port, anchor)) as made:
                    for side in SIDES:
                        before = memory(made[side].pid)
                        dnsperf(options, made[side].port, data, "-n", "1", "-q", "20")
                        for what, value in memory(made[side].pid).items():
                            result.add(f"{label}, before: {what}", side, before[what])
                            result.add(f"{label}, 1,000 names: {what}", side, value)


def bench_verify(options: Options, result: Result) -> None:
    """signatures verified in a second of CPU of one core, with keys that are known and with new ones"""
    data = HERE.parent / "data" / "signatures.txt"
    for _ in range(options.rounds):
        words = [*options.python, "-S", "-c", VERIFY, str(PROGRAM), str(data), str(options.seconds / 3)]
        done = subprocess.run(words, stdout=subprocess.PIPE, text=True, check=True)
        for what, value in json.loads(done.stdout).items():
            result.add(what, "ours", value)


# What hostile zones do; the first are those of KeyTrap.  Each shows one way to make a validator work.

P384 = 2**384 - 2**128 - 2**96 + 2**32 - 1
P384_B = 0xB3312FA7E23EE7E4988E056BE3F82D19181D9C6EFE8141120314088F5013875AC656398D8A2ED19D2A85C8EDD3EC2AEF
P448, D448 = 2**448 - 2**224 - 1, -39081
TAG = 4242


def hostile_key(rng: random.Random, algorithm: int, tag: int | None = None) -> bytes:
    """A key that nobody has the other half of, each dear to try; with a `tag`, flags are chosen to make it."""
    while True:
        if algorithm == 8:  # the longest modulus, and an exponent of eight octets
            field = b"\x08\xff" + rng.randbytes(6) + b"\xff\xff" + rng.randbytes(510) + b"\xff"
        elif algorithm == 14:
            x = rng.randrange(P384)
            square = (x**3 - 3 * x + P384_B) % P384
            y = pow(square, (P384 + 1) // 4, P384)
            if y * y % P384 != square:
                continue
            field = x.to_bytes(48, "big") + y.to_bytes(48, "big")
        else:
            y = rng.randrange(P448)
            square = (y * y - 1) * pow(D448 * y * y - 1, -1, P448) % P448
            if pow(square, (P448 + 1) // 4, P448) ** 2 % P448 != square:
                continue
            field = y.to_bytes(57, "little")
        head = struct.pack("!BB", 3, algorithm)
        flags = 0x100 if tag is None else (tag - dnssec_zones.key_tag(b"\0\0" + head + field)) % 65535
        key = struct.pack("!H", flags) + head + field
        if flags & 0x180 == 0x100 and tag in (None, dnssec_zones.key_tag(key)):
            return key


NOISE: dict[int, Callable[[random.Random], bytes]] = {
    8: lambda rng: b"\0" + rng.randbytes(511),
    14: lambda rng: b"\0" + rng.randbytes(47) + b"\0" + rng.randbytes(47),
    16: lambda rng: rng.randbytes(112) + b"\0\0",
}


@dataclass
class Lure:
    """A question that leads into a trap, asked so many times."""

    name: str
    tcp: bool = True
    times: int = 1


class Traps(dnssec_zones.Relay):
    """A relay that answers for zones below `evil` from a table, made beforehand so that it costs nothing then."""

    def __init__(self, hierarchy: dnssec_zones.Hierarchy) -> None:
        super().__init__(hierarchy)
        self.table: dict[tuple[str, str], bytes] = {}
        self.rng = random.Random(4)

    def pass_on(self, question: dnswire.DnsQuestion, query: dnswire.DnsMessage) -> MockReply | None:
        raw = self.table.get((question.name.lower(), question.qtype))
        if raw is None:
            return super().pass_on(question, query)
        fits = self.tcp_now.value or len(raw) + 2 <= (query.edns_size or 512)
        return MockReply(raw=raw) if fits else MockReply(truncate=True)

    # Tools

    def say(
        self, name: str, qtype: str, answer: list[DnsRecord], authority: list[DnsRecord] | None = None, rcode: str = ""
    ) -> None:
        query = dnswire.parse(dnswire.build_query(name, qtype, do=True))
        made = dnswire.build_reply(query, rcode=rcode or "NOERROR", answer=answer, authority=authority, edns=1232)
        self.table[name, qtype] = made[2:]

    def signed(self, records: list[DnsRecord], zone: str) -> list[DnsRecord]:
        return [*records, dnssec_zones.sign_rrset(records, self.hierarchy.zones, zone="evil", signer=zone)]

    def noise(self, records: list[DnsRecord], zone: str, algorithm: int, tags: list[int]) -> list[DnsRecord]:
        """A signature that fits nothing for each tag of a key."""
        shape = dnssec_zones.sign_rrset(
            records, self.hierarchy.zones, zone="evil", signer=zone, tag=0xABCD, algorithm=algorithm, cut=0
        )
        made = (shape.rdata.replace("abcd", f"{tag:04x}", 1) + NOISE[algorithm](self.rng).hex() for tag in tags)
        return [DnsRecord(shape.name, "RRSIG", "IN", 300, text) for text in made]

    def hostile(self, zone: str, keys: list[bytes] | None = None, ds: list[bytes] | None = None) -> None:
        """A zone whose true key is that of `evil`, between others."""
        true = dnssec_zones.ZoneKey(zone, self.hierarchy.zones["evil"].keys[0].rdata, pathlib.Path())
        tag, algorithm, digest, octets = true.ds(2).split()
        datas = [*(ds or []), struct.pack("!HBB", int(tag), int(algorithm), int(digest)) + bytes.fromhex(octets)]
        self.say(zone, "DS", self.signed([self.record(zone, "DS", data) for data in datas], "evil"))
        shown = [self.record(zone, "DNSKEY", data) for data in (*(keys or []), true.rdata)]
        self.say(zone, "DNSKEY", self.signed(shown, zone))

    @staticmethod
    def record(name: str, rtype: str, data: bytes) -> DnsRecord:
        return DnsRecord(name, rtype, "IN", 300, "\\# " + data.hex())

    # The traps; each makes a zone, and gives the name to ask an address for.

    def colliding(self, zone: str, algorithm: int) -> Lure:
        """25 keys of one tag, and as many signatures."""
        self.hostile(zone, [hostile_key(self.rng, algorithm, TAG) for _ in range(25)])
        records = [self.record(f"www.{zone}", "A", b"\1\2\3\4")]
        self.say(f"www.{zone}", "A", self.noise(records, zone, algorithm, [TAG] * 25) + self.signed(records, zone))
        return Lure(f"www.{zone}")

    def aliases(self, zone: str, algorithm: int) -> Lure:
        """Aliases, each with as many bad signatures as are forgiven, each of a key of its own, and a good one."""
        count = 5 if algorithm == 8 else 12
        keys = [hostile_key(self.rng, algorithm) for _ in range(19 * count)]
        self.hostile(zone, keys)
        answer: list[DnsRecord] = []
        for number in range(count):
            records = [DnsRecord(f"c{number}.{zone}", "CNAME", "IN", 300, f"c{number + 1}.{zone}")]
            tags = [dnssec_zones.key_tag(key) for key in keys[19 * number :][:19]]
            answer += self.noise(records, zone, algorithm, tags) + self.signed(records, zone)
        self.say(f"c0.{zone}", "A", answer + self.signed([self.record(f"c{count}.{zone}", "A", b"\1\2\3\4")], zone))
        return Lure(f"c0.{zone}")

    def hashes(self, zone: str) -> Lure:
        """NSEC3 with 150 iterations and the longest salt, for a name of a hundred labels."""
        self.hostile(zone)
        salt, name = self.rng.randbytes(255), "a." * 110 + zone
        own = dnssec_zones.nsec3_hash(zone, 150, salt)
        label = base64.b32hexencode(own).decode().lower()
        data = struct.pack("!BBHB", 1, 0, 150, 255) + salt + b"\x14" + own + b"\0\1\x22"  # NS and SOA
        proof = self.signed([self.record(f"{label}.{zone}", "NSEC3", data)], zone)
        soa = [DnsRecord(zone, "SOA", "IN", 300, f"ns.{zone} root.{zone} 1 3600 600 86400 60")]
        self.say(name, "A", [], proof + self.signed(soa, zone), "NXDOMAIN")
        return Lure(name)

    def addresses(self, zone: str) -> Lure:
        """As many addresses as one message can hold, with some bad signatures."""
        self.hostile(zone, [hostile_key(self.rng, 8, TAG)])
        records = [self.record(f"www.{zone}", "A", struct.pack("!I", number << 8)) for number in range(1500)]
        self.say(f"www.{zone}", "A", self.noise(records, zone, 8, [TAG] * 19) + self.signed(records, zone))
        return Lure(f"www.{zone}")

    def pairs(self, zone: str) -> Lure:
        """As many DS and as many keys as messages can hold, none of which fit."""
        keys = [struct.pack("!HBBH", 0x100, 3, 8, number) for number in range(2000)]
        self.hostile(zone, keys, [struct.pack("!HBBB", 40_000 + number, 8, 2, 0) for number in range(2000)])
        self.say(f"www.{zone}", "A", self.signed([self.record(f"www.{zone}", "A", b"\1\2\3\4")], zone))
        return Lure(f"www.{zone}")

    def deep(self, zone: str) -> Lure:
        """Thousands of unsigned aliases far below the zone, and no name between is a zone but the lowest, unsigned."""
        self.hostile(zone)
        name = zone
        for _ in range(100):
            name = "a." + name
            self.say(name, "DS", self.signed([DnsRecord(name, "CNAME", "IN", 300, zone)], zone))
        nsec = dnswire.pack_name(zone) + b"\0\6\x20\0\0\0\0\3"  # NS, RRSIG, NSEC
        self.say(name, "DS", [], self.signed([self.record(name, "NSEC", nsec)], zone))
        self.say(name, "A", [])
        self.pad(name, "A", 5, 3000)
        return Lure(name, times=5)

    def pad(self, name: str, qtype: str, rtype: int, count: int) -> None:
        """Add records to an answer whose names end in that of the question; aliases all lead there."""
        raw = self.table[name, qtype]
        answers = struct.unpack_from("!H", raw, 4)[0]
        head = bytearray(raw[: 14 + len(dnswire.pack_name(name))])
        head[4:6] = struct.pack("!H", answers + count)
        data = struct.pack("!HH", 2, 0xC00C) if rtype == 5 else b"\0\4\1\2\3\4"
        more = (struct.pack("!BHHHHI", 2, at + 0x6161, 0xC00C, rtype, 1, 300) + data for at in range(count))
        self.table[name, qtype] = bytes(head) + b"".join(more) + raw[len(head) :]

    def parents(self, zone: str) -> Lure:
        """A name so far below that all questions are spent, each answer as long as can be."""
        self.hostile(zone)
        name = zone
        for _ in range(60):
            name = "a." + name
            self.say(name, "DS", self.signed([DnsRecord(name, "CNAME", "IN", 300, zone)], zone))
            self.pad(name, "DS", 1, 3000)
        self.say(name, "A", [self.record(name, "A", b"\1\2\3\4")])
        return Lure(name)

    def bitmaps(self, zone: str) -> Lure:
        """Proofs with all 65,536 types in their bitmaps."""
        self.hostile(zone)
        full = b"".join(bytes((window, 32)) + b"\xff" * 32 for window in range(256))
        owners = [zone, *(f"n{number}.{zone}" for number in range(7))]
        proof = []
        for owner, after in zip(owners, [*owners[1:], zone], strict=True):
            types = b"\0\1\x22" if owner == zone else full  # NS and SOA
            proof += self.signed([self.record(owner, "NSEC", dnswire.pack_name(after) + types)], zone)
        soa = [DnsRecord(zone, "SOA", "IN", 300, f"ns.{zone} root.{zone} 1 3600 600 86400 60")]
        self.say(f"a.{zone}", "A", [], proof + self.signed(soa, zone), "NXDOMAIN")
        return Lure(f"a.{zone}")


TRAPS: dict[str, Callable[[Traps, str], Lure]] = {
    "25 keys and signatures, RSA-4096": lambda traps, zone: traps.colliding(zone, 8),
    "25 keys and signatures, P-384": lambda traps, zone: traps.colliding(zone, 14),
    "25 keys and signatures, Ed448": lambda traps, zone: traps.colliding(zone, 16),
    "aliases, RSA-4096": lambda traps, zone: traps.aliases(zone, 8),
    "aliases, P-384": lambda traps, zone: traps.aliases(zone, 14),
    "aliases, Ed448": lambda traps, zone: traps.aliases(zone, 16),
    "NSEC3, 150 iterations": Traps.hashes,
    "1,500 addresses": Traps.addresses,
    "2,000 DS and 2,000 keys": Traps.pairs,
    "3,000 unsigned aliases": Traps.deep,
    "DS answers of 50 kB": Traps.parents,
    "NSEC of all types": Traps.bitmaps,
}
TRAPS_EACH = 6  # zones of each kind


def first_in_line(pid: int) -> None:
    """Let a process go before all others, where that is allowed: what else the machine does shall not count."""
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(OSError):
            os.sched_setscheduler(int(task.name), os.SCHED_RR, os.sched_param(1))


class Latency:
    """A client beside: `mark` tells the median, the 99th percentile and the most of its milliseconds since the last."""

    def __init__(self, daemon: Daemon, name: str) -> None:
        words = [sys.executable, "-S", "-c", LATENCY, str(daemon.port), dnswire.build_query(name).hex()]
        self.process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        first_in_line(self.process.pid)

    def mark(self) -> list[float]:
        assert self.process.stdin is not None and self.process.stdout is not None
        print(file=self.process.stdin, flush=True)
        out: list[float] = json.loads(self.process.stdout.readline())
        return out

    def stop(self) -> None:
        self.process.kill()
        self.process.communicate()

    def add(self, result: Result, label: str, side: str) -> None:
        for what, value in zip(("p50", "p99", "most"), self.mark(), strict=True):
            result.add(f"{label}: others wait, ms, {what}", side, value)


def fall(daemon: Daemon, lure: Lure) -> float:
    """Ask; gives the CPU seconds of the dearest time."""
    most = 0.0
    for _ in range(lure.times):
        before = cpu_seconds(daemon)
        ask(daemon.port, lure.name, tcp=lure.tcp, seconds=30)
        time.sleep(0.05)
        most = max(most, cpu_seconds(daemon) - before)
    return most


@contextlib.contextmanager
def all_traps(daemon: Daemon, lures: dict[str, list[Lure]], first: int) -> Iterator[None]:
    """Four clients that ask for two of each kind, over and over."""
    chosen = [lure for some in lures.values() for lure in some[first : first + 2]]
    ended = threading.Event()

    def bait(part: list[Lure]) -> None:
        for lure in itertools.cycle(part):
            if ended.is_set():
                return
            ask(daemon.port, lure.name, tcp=lure.tcp, seconds=30)

    threads = [threading.Thread(target=bait, args=(chosen[at::4],)) for at in range(4)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        ended.set()
        for thread in threads:
            thread.join()


def trapped(options: Options, result: Result, side: str, daemon: Daemon, lures: dict[str, list[Lure]]) -> None:
    """One trap after the other, then all at once beside a load."""
    names = write_names(options.directory / "cached", [f"host{i}.many.tld" for i in range(NAMES)])
    dnsperf(options, daemon.port, names, "-n", "2", "-q", "20")
    first_in_line(daemon.pid)
    rate = dnsperf(options, daemon.port, names, "-l", str(options.seconds)).rate
    result.add("idle: cached answers per second", side, rate)
    result.add("idle: RSS MB", side, memory(daemon.pid)["RSS MB"])
    latency = Latency(daemon, "host1.many.tld")
    try:
        time.sleep(1.0)
        latency.mark()  # of the load
        time.sleep(1.0)
        latency.add(result, "idle", side)
        for label, some in lures.items():
            most = max(fall(daemon, lure) for lure in some[:2])
            result.add(f"{label}: CPU ms a query", side, most * 1e3)
            latency.add(result, label, side)
        with all_traps(daemon, lures, 2):
            latency.mark()
            dnsperf(options, daemon.port, names, "-l", str(options.seconds / 2), "-Q", "2000")
            latency.add(result, "all at once, 2,000 others a second", side)
        with all_traps(daemon, lures, 4):
            rate = dnsperf(options, daemon.port, names, "-l", str(options.seconds / 2)).rate
            result.add("all at once: cached answers per second", side, rate)
        result.add("in the end: RSS MB", side, memory(daemon.pid)["RSS MB"])
    finally:
        latency.stop()


def bench_keytrap(options: Options, result: Result) -> None:
    """hostile zones: CPU of a query (0.5 s is the most that is allowed), and how long cached answers wait (20 ms)"""
    with signed_zones(options) as zones:
        if zones is None:
            return
        traps = zones.relay
        assert isinstance(traps, Traps)
        lures = {
            label: [make(traps, f"t{kind}-{number}.evil") for number in range(TRAPS_EACH)]
            for kind, (label, make) in enumerate(TRAPS.items())
        }
        for _ in range(min(options.rounds, 3)):
            with daemons(options, behind(traps.port, zones.anchor())) as made:
                for side in SIDES:
                    trapped(options, result, side, made[side], lures)


BENCHES: dict[str, Callable[[Options, Result], None]] = {
    "cached": bench_cached,
    "logged": bench_logged,
    "hosts": bench_hosts,
    "forward": bench_forward,
    "mixed": bench_mixed,
    "start": bench_start,
    "size": bench_size,
    "lists": bench_lists,
    "names": bench_names,
    "million": bench_million,
    "leases": bench_leases,
    "tftp": bench_tftp,
    "tftploss": bench_tftploss,
    "dnssec": bench_dnssec,
    "signed": bench_signed,
    "dnssecmem": bench_dnssecmem,
    "verify": bench_verify,
    "keytrap": bench_keytrap,
}


def terminated(*_: object) -> None:
    """End so that namespaces and daemons go; timeout(1) sends the signal twice."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    sys.exit(143)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    known = ", ".join(BENCHES) + " (all but million when none is given)"
    parser.add_argument("names", nargs="*", metavar="NAME", help=known)
    parser.add_argument("--seconds", type=float, default=3.0, help="length of each run (3)")
    parser.add_argument("--rounds", type=int, default=5, help="rounds whose median counts (5)")
    parser.add_argument("--clients", type=int, default=1, help="dnsperf clients (1)")
    parser.add_argument("--outstanding", type=int, default=100, help="dnsperf queries in flight (100)")
    parser.add_argument("--lines", type=int, default=500_000, help="lines of a block list")
    parser.add_argument("--python", default=sys.executable, help="the interpreter for pydnsmasq")
    parser.add_argument("--json", metavar="FILE", help="write the medians there too")
    words = parser.parse_args()
    unknown = set(words.names) - set(BENCHES)
    if unknown:
        parser.error(f"no bench {', '.join(sorted(unknown))}; there are {', '.join(BENCHES)}")
    if REAL is None:
        parser.error("dnsmasq is not installed")
    signal.signal(signal.SIGTERM, terminated)
    everything = {}
    with tempfile.TemporaryDirectory(prefix="bench-") as directory:
        os.chmod(directory, 0o755)
        options = Options(
            words.seconds, words.rounds, words.clients, words.outstanding, words.lines, pathlib.Path(directory),
            tuple(words.python.split()),
        )  # fmt: skip
        for name in words.names or [name for name in BENCHES if name != "million"]:
            result = Result(f"{name}: {(BENCHES[name].__doc__ or '').strip()}")
            BENCHES[name](options, result)
            result.show()
            everything[name] = result.medians()
    if words.json:
        pathlib.Path(words.json).write_text(json.dumps(everything, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
