#!/usr/bin/env python3
"""pydnsmasq beside the real dnsmasq, on loopback (DHCP and TFTP: in namespaces of its own), in the same run.

    tests/bench/bench.py [--seconds S] [--rounds N] [NAME ...]

They take turns within each round; medians of the rounds are compared, for TFTP
with the better of dnsmasq and tftpd-hpa.
Ratios above 1 are good for what is "per second", below 1 for everything else.
CPU is that of the daemon alone, its children included.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import os
import pathlib
import py_compile
import random
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

import dnswire  # noqa: E402
import netkit  # noqa: E402
from harness import OURS_KIND, PROGRAM, REAL, Daemon, free_port, process_cpu_seconds, udp_raw  # noqa: E402

PEERS = ("real", "tftpd-hpa")
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

    def add(self, what: str, side: str, value: float) -> None:
        self.values.setdefault(what, {}).setdefault(side, []).append(value)

    def medians(self) -> dict[str, dict[str, float]]:
        return {what: {side: statistics.median(v) for side, v in sides.items()} for what, sides in self.values.items()}

    def show(self) -> None:
        print(f"\n{self.name}")
        for what, sides in self.medians().items():
            best = max if "per second" in what else min
            cells = "  ".join(f"{side} {value:>12,.2f}" for side, value in sides.items())
            spread = self.values[what].get("ours", [])
            extent = ""
            if len(spread) > 1:
                bests = {side: best(values) for side, values in self.values[what].items()}
                extent = f"  (ours {min(spread):,.2f} to {max(spread):,.2f}{ratio(bests, best, '; best ones')})"
            print(f"  {what:<48} {cells}{ratio(sides, best)}{extent}", flush=True)


def ratio(sides: dict[str, float], best: Callable[..., str], before: str = " ") -> str:
    """Us beside the best of the others."""
    peer = best((side for side in PEERS if side in sides), key=lambda side: sides[side], default="")
    return f"{before} ours/{peer} {sides['ours'] / sides[peer]:.2f}" if sides.get(peer) and "ours" in sides else ""


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


def measure(options: Options, result: Result, side: str, daemon: Daemon, data: pathlib.Path, *more: str) -> None:
    before = cpu_seconds(daemon)
    run = dnsperf(options, daemon.port, data, *more)
    cpu = cpu_seconds(daemon) - before
    result.add("queries per second", side, run.rate)
    result.add("CPU microseconds per query", side, cpu / max(run.completed, 1) * 1e6)
    result.add("lost", side, run.lost)


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


# -- TFTP ------------------------------------------------------------------------

TFTP_SIDES = (*PEERS, "ours")
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


BENCHES: dict[str, Callable[[Options, Result], None]] = {
    "cached": bench_cached,
    "logged": bench_logged,
    "hosts": bench_hosts,
    "forward": bench_forward,
    "mixed": bench_mixed,
    "start": bench_start,
    "lists": bench_lists,
    "names": bench_names,
    "million": bench_million,
    "leases": bench_leases,
    "tftp": bench_tftp,
    "tftploss": bench_tftploss,
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
