"""Faults and floods against the running process: it answers what it knows, and goes on."""

from __future__ import annotations

import contextlib
import os
import pathlib
import random
import re
import signal
import socket
import struct
import subprocess
import time
from collections.abc import Callable

import pytest

import dnswire
from dnswire import DnsMessage, DnsQuestion
from harness import (
    ALONE,
    OURS_KIND,
    REC,
    Daemon,
    MakeDaemon,
    MockReply,
    MockUpstream,
    ask,
    free_port,
    load,
    need,
    port_53,
    udp_raw,
    wait_until,
)

pytestmark = pytest.mark.skipif(OURS_KIND == "real", reason="about our own daemon")


def known(question: DnsQuestion, query: DnsMessage) -> MockReply:
    return MockReply(answer=[dnswire.record(f"{question.name} 300 A 198.18.0.1")])


def silent(question: DnsQuestion, query: DnsMessage) -> None:
    return None


def still_well(daemon: Daemon, seconds: float = 1.0) -> None:
    """After what was on its way it answers from memory within a second, by UDP and by TCP."""
    for tcp in (False, True):
        wait_until(lambda: ask(daemon.port, "rec.test", tcp=tcp, seconds=seconds), 8, "an answer")  # noqa: B023
        reply = ask(daemon.port, "rec.test", tcp=tcp, seconds=seconds)
        assert reply is not None and reply.rdatas() == ["10.1.2.3"], f"tcp {tcp}; {daemon.log()[-2000:]}"
    assert daemon.alive()


# -- bad packets -------------------------------------------------------------------


NAME = dnswire.pack_name("rec.test")


def header(rng: random.Random, questions: int = 1, flags: int = 0x0100, extra: int = 0) -> bytes:
    return struct.pack("!6H", rng.randrange(65536), flags, questions, 0, 0, extra)


def random_bytes(rng: random.Random) -> bytes:
    return rng.randbytes(rng.randrange(0, 600))


def random_body(rng: random.Random) -> bytes:
    return header(rng, rng.choice((1, 1, 2, 65535)), rng.randrange(65536), rng.choice((0, 1, 9))) + random_bytes(rng)


def truncated(rng: random.Random) -> bytes:
    good = dnswire.build_query("some.name.rec.test", edns=1232, options=[(10, b"12345678"), (8, b"\0\1\x18\0\1\2\3")])
    return good[: rng.randrange(len(good))]


def looping(rng: random.Random) -> bytes:
    target = rng.choice((12, 13, 14, 0x3FFF, rng.randrange(0x4000)))
    return header(rng) + rng.choice((b"", b"\1a", b"\3abc\1b")) + struct.pack("!H", 0xC000 | target) + b"\0\1\0\1"


def oversized(rng: random.Random) -> bytes:
    return dnswire.build_query("rec.test") + rng.randbytes(rng.randrange(500, 9000))


def many_questions(rng: random.Random) -> bytes:
    count = rng.randrange(2, 200)
    return header(rng, count) + (NAME + b"\0\1\0\1") * rng.choice((1, count))


def wrong_opcode(rng: random.Random) -> bytes:
    return header(rng, flags=rng.randrange(1, 16) << 11 | 0x0100) + NAME + b"\0\1\0\1"


def wrong_class(rng: random.Random) -> bytes:
    return header(rng) + NAME + struct.pack("!HH", rng.randrange(65536), rng.choice((0, 2, 3, 4, 254, 255, 65535)))


def odd_labels(rng: random.Random) -> bytes:
    name = b"".join(
        bytes([length]) + rng.randbytes(length) for length in (rng.randrange(1, 64) for _ in range(rng.randrange(1, 6)))
    )
    return header(rng) + name + rng.choice((b"\0", b"\x40", b"\x80", b"")) + b"\0\1\0\1"


def odd_edns(rng: random.Random) -> bytes:
    body = rng.randbytes(rng.randrange(0, 60))
    length = rng.choice((len(body), rng.randrange(65536)))
    opt = b"\0" + struct.pack("!HHIH", 41, rng.randrange(65536), rng.randrange(2**32), length) + body
    count = rng.choice((1, 1, 2, 3))
    return header(rng, extra=count) + NAME + b"\0\1\0\1" + opt * count


def mutated(rng: random.Random) -> bytes:
    data = bytearray(dnswire.build_query("rec.test", edns=1232, options=[(3, b"")]))
    for _ in range(rng.randrange(1, 6)):
        data[rng.randrange(len(data))] = rng.randrange(256)
    return bytes(data)


MORE = "log-queries=extra\nadd-subnet=24,64\nadd-mac\ndo-0x20-encode\n"
MAKERS = [
    random_bytes, random_body, truncated, looping, oversized, many_questions, wrong_opcode, wrong_class, odd_labels,
    odd_edns, mutated,
]  # fmt: skip


@pytest.mark.parametrize("maker", MAKERS, ids=lambda maker: maker.__name__)
@pytest.mark.parametrize("more", ["", MORE], ids=["", "more"])
def test_bad_packets_over_udp(maker: Callable[[random.Random], bytes], more: str, make: MakeDaemon) -> None:
    rng = random.Random(f"udp {maker.__name__} {more}")
    with MockUpstream(known) as up:
        daemon = make(ALONE + REC + f"server={up.address}\n" + more).start()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.connect(("127.0.0.1", daemon.port))
            sock.setblocking(False)
            for number in range(2000):
                data = maker(rng)
                with contextlib.suppress(OSError):
                    sock.send(data)
                with contextlib.suppress(BlockingIOError):
                    while True:
                        dnswire.parse(sock.recv(65535))  # whatever comes back is a message
                if number % 200 == 0:
                    assert ask(daemon.port, "rec.test", seconds=2) is not None
        still_well(daemon)
        assert "internal error" not in daemon.log()


@pytest.mark.parametrize("maker", MAKERS, ids=lambda maker: maker.__name__)
def test_bad_packets_over_tcp(maker: Callable[[random.Random], bytes], make: MakeDaemon) -> None:
    rng = random.Random(f"tcp {maker.__name__}")
    with MockUpstream(known) as up:
        daemon = make(ALONE + REC + f"server={up.address}\n").start()
        for _ in range(60):
            with socket.create_connection(("127.0.0.1", daemon.port), timeout=2) as sock, contextlib.suppress(OSError):
                for _ in range(20):
                    data = maker(rng)
                    length = len(data) if rng.random() < 0.9 else rng.randrange(65536)
                    sock.sendall(struct.pack("!H", length) + data)
        still_well(daemon)
        assert "internal error" not in daemon.log()


def test_unframed_garbage_over_tcp(make: MakeDaemon) -> None:
    rng = random.Random(93)
    daemon = make().start()
    for _ in range(300):
        with socket.create_connection(("127.0.0.1", daemon.port), timeout=2) as sock, contextlib.suppress(OSError):
            sock.sendall(rng.randbytes(rng.randrange(1, 3000)))
    still_well(daemon)


# -- floods ------------------------------------------------------------------------


def test_2000_idle_connections(make: MakeDaemon) -> None:
    """Whoever only connects takes no place from those who ask."""
    daemon = make().start()
    daemon.ask("rec.test")
    with contextlib.ExitStack() as stack:
        for number in range(2000):
            sock = stack.enter_context(socket.socket())
            sock.setblocking(False)
            with contextlib.suppress(BlockingIOError, ConnectionError):
                sock.connect(("127.0.0.1", daemon.port))
            if number % 100 == 0:
                assert ask(daemon.port, "rec.test", seconds=1) is not None
        still_well(daemon, 2.0)
        assert len(list(pathlib.Path(f"/proc/{daemon.pid}/task").iterdir())) < 60
        assert len(list(pathlib.Path(f"/proc/{daemon.pid}/fd").iterdir())) < 100
    still_well(daemon)


def test_20000_misses_towards_a_dead_upstream(make: MakeDaemon) -> None:
    with MockUpstream(silent) as up:
        daemon = make(ALONE + REC + f"server={up.address}\n").start()
        daemon.ask("rec.test")
        before = daemon.memory()["VmRSS"]
        with load(daemon.port, ["rec.test"], gap=0.005) as result:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
                sock.connect(("127.0.0.1", daemon.port))
                for number in range(20_000):
                    with contextlib.suppress(OSError):
                        sock.send(dnswire.build_query(f"m{number}.test", id=number & 0xFFFF))
                    if number % 50 == 0:
                        time.sleep(0.002)
            wait_until(lambda: ask(daemon.port, "rec.test", seconds=1), 10, "an answer")
        # A datagram may be lost in a full buffer of the kernel; an answer may not be late.
        assert result.answered > 20 and result.lost <= 3 and result.slowest < 1.0, result
        daemon.wait_log(r"Maximum number of concurrent DNS queries reached \(max: \d+\)")
        time.sleep(5.2)  # the same complaint is not repeated sooner
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            for number in range(7000):
                sock.sendto(dnswire.build_query(f"again{number}.test"), ("127.0.0.1", daemon.port))
                if number % 50 == 0:
                    time.sleep(0.002)
        daemon.wait_log(r"Maximum number of concurrent DNS queries reached \(max: \d+\).*silent for \d+ s")
        assert daemon.memory()["VmRSS"] - before < 60_000
        assert len(list(pathlib.Path(f"/proc/{daemon.pid}/fd").iterdir())) < 600


def test_the_same_name_20000_times_towards_a_dead_upstream(make: MakeDaemon) -> None:
    with MockUpstream(silent) as up:
        daemon = make(ALONE + REC + f"server={up.address}\n").start()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.connect(("127.0.0.1", daemon.port))
            for number in range(20_000):
                with contextlib.suppress(OSError):
                    sock.send(dnswire.build_query("same.test", id=number & 0xFFFF))
                if number % 50 == 0:
                    time.sleep(0.01)
        still_well(daemon)
        assert len(up.seen) < 200, "each copy of a question costs a packet"


def test_a_flood_of_names_over_tcp(make: MakeDaemon) -> None:
    """All places taken by questions to a dead server: UDP answers, and TCP is free again in a while."""
    with MockUpstream(silent) as up:
        daemon = make(ALONE + REC + f"server={up.address}\n").start()
        with contextlib.ExitStack() as stack:
            for number in range(40):
                sock = stack.enter_context(socket.create_connection(("127.0.0.1", daemon.port), timeout=2))
                data = dnswire.build_query(f"t{number}.test")
                with contextlib.suppress(OSError):
                    sock.sendall(struct.pack("!H", len(data)) + data)
            for _ in range(20):
                assert ask(daemon.port, "rec.test", seconds=1) is not None
        wait_until(lambda: ask(daemon.port, "rec.test", tcp=True, seconds=1), 40, "a place for TCP")


# -- what the system runs out of -----------------------------------------------------


def test_running_out_of_descriptors(make: MakeDaemon) -> None:
    shell = ("/bin/sh", "-c", 'ulimit -n 64; exec "$0" "$@"')
    with MockUpstream(lambda q, m: MockReply(answer=[dnswire.record(f"{q.name} 300 A 198.18.0.1")], delay=0.3)) as up:
        import sys

        conf = ALONE + REC + f"server={up.address}\nmax-tcp-connections=200\n"
        daemon = make(conf, python=(*shell, sys.executable)).start()
        limits = pathlib.Path(f"/proc/{daemon.pid}/limits").read_text()
        assert re.search(r"Max open files +64 +64", limits)
        with contextlib.ExitStack() as stack:
            for _ in range(120):
                sock = stack.enter_context(socket.socket())
                sock.setblocking(False)
                with contextlib.suppress(BlockingIOError, ConnectionError):
                    sock.connect(("127.0.0.1", daemon.port))
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
                for number in range(300):
                    sock.sendto(dnswire.build_query(f"d{number}.test"), ("127.0.0.1", daemon.port))
            for _ in range(20):
                assert ask(daemon.port, "rec.test", seconds=1) is not None
                time.sleep(0.02)
            daemon.wait_log("Too many open files")
        wait_until(lambda: (ask(daemon.port, "after.test", seconds=1) or DnsMessage()).rdatas(), 15, "forwarding again")
        wait_until(lambda: ask(daemon.port, "rec.test", tcp=True, seconds=1), 15, "TCP again")
        still_well(daemon)
        cpu = daemon.cpu_seconds()
        time.sleep(1)
        assert daemon.cpu_seconds() - cpu < 0.5, "it spins"


def test_a_full_device_under_the_log(make: MakeDaemon) -> None:
    daemon = make(ALONE + REC + "log-queries\npid-file=\nuser=root\nlog-facility=/dev/full\n", defaults=False).start()
    for number in range(300):
        assert ask(daemon.port, "rec.test", seconds=1, id=number) is not None
    daemon.signal(signal.SIGHUP)
    still_well(daemon)
    began = time.monotonic()
    assert daemon.stop() == 0 and time.monotonic() - began < 1


def test_a_full_disk_under_the_log(make: MakeDaemon, tmp_path: pathlib.Path) -> None:
    """A file system of 64 KiB fills up; when there is room again the log goes on and tells what was lost."""
    need(os.geteuid() == 0, "root")
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "none", str(disk)], check=False).returncode:
        need(False, "mounts")
    try:
        (disk / "ballast").write_bytes(b"x" * 50_000)
        conf = f"log-queries\npid-file=\nuser=root\nlog-facility={disk}/log\n"
        daemon = make(ALONE + REC + conf, defaults=False).start()
        for number in range(1000):
            assert ask(daemon.port, "rec.test", seconds=1, id=number) is not None
        time.sleep(0.2)
        (disk / "ballast").unlink()
        daemon.ask("rec.test")
        wait_until(lambda: "log entries lost" in (disk / "log").read_text(), 3, "the count of what was lost")
        daemon.stop()
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=False)


def test_a_hosts_file_that_cannot_be_read(make: MakeDaemon) -> None:
    daemon = make(ALONE + REC + "addn-hosts=/proc/self/mem\naddn-hosts=$DIR\naddn-hosts=/dev/null/x\n").start()
    still_well(daemon)
    daemon.wait_log("failed to load names from /proc/self/mem: ")
    daemon.wait_log("failed to load names from /dev/null/x: ")


def test_a_hosts_file_that_may_not_be_read_any_more(make: MakeDaemon) -> None:
    need(os.geteuid() == 0, "root")
    directory = pathlib.Path("/tmp") / f"pydnsmasq-faults-{os.getpid()}"
    conf = "user=nobody\npid-file=\nlog-facility=$DIR/log\n" + ALONE + REC + "addn-hosts=$DIR/hosts\n"
    daemon = Daemon(directory, conf, defaults=False, files={"hosts": "10.0.0.1 a.test\n"})
    try:
        directory.chmod(0o755)
        daemon.start()
        wait_until(lambda: daemon.ask("a.test").rdatas() == ["10.0.0.1"], 3, "the hosts file")
        (directory / "hosts").chmod(0)
        time.sleep(0.3)
        daemon.signal(signal.SIGHUP)
        daemon.wait_log("failed to load names from .*hosts: Permission denied")
        still_well(daemon)
        (directory / "hosts").chmod(0o644)
        daemon.signal(signal.SIGHUP)
        wait_until(lambda: daemon.ask("a.test").rdatas() == ["10.0.0.1"], 3, "the names again")
    finally:
        daemon.stop()
        for path in directory.iterdir():
            path.unlink()
        directory.rmdir()


# -- reloads and resolver files under load --------------------------------------------


def test_200_reloads_under_load(make: MakeDaemon) -> None:
    """Local, cached and forwarded names over UDP, a connection over TCP: not one question is lost."""
    with MockUpstream(known) as up:
        files = {"hosts": "".join(f"10.2.{i >> 8}.{i & 255} h{i}.test\n" for i in range(3000))}
        daemon = make(ALONE + REC + f"server={up.address}\naddn-hosts=$DIR/hosts\n", files=files).start()
        time.sleep(0.3)
        names = ["rec.test", "h2999.test", "a.test"] + [f"n{i}.test" for i in range(200)]
        with load(daemon.port, names, seconds=5) as one, load(daemon.port, names[::-1], seconds=5) as two:
            for number in range(200):
                daemon.signal(signal.SIGHUP)
                time.sleep(0.01)
                if number % 20 == 0:
                    assert ask(daemon.port, "rec.test", tcp=True, seconds=5) is not None
            time.sleep(0.5)
        assert (one.lost, one.bad, two.lost, two.bad) == (0, [], 0, [])
        assert one.answered > 100 and two.answered > 100
        still_well(daemon)


def test_reloads_of_a_broken_configuration_under_load(make: MakeDaemon) -> None:
    with MockUpstream(known) as up:
        daemon = make(ALONE + REC + f"server={up.address}\n").start()
        time.sleep(0.3)
        daemon.conf_path.write_text(daemon.conf_path.read_text() + "nonsense\nport=x\n")
        with load(daemon.port, ["rec.test", "a.test"] + [f"n{i}.test" for i in range(50)], seconds=5) as result:
            for _ in range(30):
                daemon.signal(signal.SIGHUP)
                time.sleep(0.02)
        assert (result.lost, result.bad) == (0, [])
        assert f"{daemon.conf_path}:" in daemon.log()
        still_well(daemon)


def test_all_signals_at_once(make: MakeDaemon) -> None:
    rng = random.Random(5)
    daemon = make(ALONE + REC + "log-queries\n").start()
    time.sleep(0.3)
    with load(daemon.port, ["rec.test"], seconds=5) as result:
        for _ in range(500):
            daemon.signal(rng.choice([signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGINT, signal.SIGPIPE]))
            time.sleep(0.001)
    assert (result.lost, result.bad) == (0, [])
    still_well(daemon)
    began = time.monotonic()
    assert daemon.stop() == 0 and time.monotonic() - began < 1


def test_a_resolver_file_that_is_empty_for_five_seconds(make: MakeDaemon) -> None:
    """NetworkManager's gap: not one query fails, and the new list is in use a second later."""
    with port_53(known) as (one, two):
        daemon = make("no-hosts\nresolv-file=$DIR/resolv\n", files={"resolv": f"nameserver {one.host}\n"}).start()
        path = daemon.directory / "resolv"
        assert daemon.ask("warm.test").rdatas() == ["198.18.0.1"]
        names = [f"n{i}.test" for i in range(5000)]
        with load(daemon.port, names, gap=0.01) as result:
            path.write_text("")
            time.sleep(5)
            path.write_text(f"nameserver {two.host}\n")
            wait_until(lambda: two.seen, 3, "the new server within a second")
            time.sleep(0.3)
        assert (result.lost, result.bad) == (0, []) and result.answered > 100
        assert len([line for line in daemon.log().splitlines() if "no servers found" in line]) == 1
        assert one.seen


def test_a_resolver_file_that_is_replaced_by_rename(make: MakeDaemon) -> None:
    with port_53(known) as (one, two):
        daemon = make("no-hosts\nresolv-file=$DIR/resolv\n", files={"resolv": f"nameserver {one.host}\n"}).start()
        names = [f"n{i}.test" for i in range(5000)]
        with load(daemon.port, names, gap=0.01) as result:
            for number in range(4):
                fresh = daemon.directory / "resolv.new"
                fresh.write_text(f"nameserver {(two, one)[number % 2].host}\n")
                fresh.rename(daemon.directory / "resolv")
                before = len((two, one)[number % 2].seen)
                wait_until(lambda: len((two, one)[number % 2].seen) > before, 3, "the other server")  # noqa: B023
        assert (result.lost, result.bad) == (0, [])


def test_a_resolver_file_whose_directory_comes_later(make: MakeDaemon) -> None:
    with port_53(known) as (one, _):
        daemon = make("no-hosts\nresolv-file=$DIR/run/x/resolv\n").start()
        assert daemon.ask("early.test").rcode == "REFUSED"
        daemon.write("run/x/resolv", f"nameserver {one.host}\n")
        wait_until(lambda: daemon.ask("late.test").rdatas() == ["198.18.0.1"], 3, "the list")


def test_a_server_that_answers_with_nonsense(make: MakeDaemon) -> None:
    """Random replies of a lying server: whoever asks gets an error or silence, never a crash."""
    rng = random.Random(17)

    def lying(question: DnsQuestion, query: DnsMessage) -> MockReply:
        good = known(question, query).pack(query, False)
        if rng.random() < 0.5:
            return MockReply(raw=good[2:12] + rng.randbytes(rng.randrange(0, 300)))
        wire = bytearray(good)
        for _ in range(4):
            wire[rng.randrange(2, len(wire))] = rng.randrange(256)
        return MockReply(raw=bytes(wire[2:]))

    with MockUpstream(lying) as up:
        daemon = make(ALONE + REC + f"server={up.address}\nlog-queries\nbogus-nxdomain=1.2.3.4\n").start()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            for number in range(2000):
                sock.sendto(dnswire.build_query(f"l{number}.test", edns=1232), ("127.0.0.1", daemon.port))
                if number % 20 == 0:
                    time.sleep(0.005)
        for number in range(20):
            ask(daemon.port, f"t{number}.test", tcp=True, seconds=0.3)
        still_well(daemon)
        assert "internal error" not in daemon.log()


def test_a_taken_port_comes_free(make: MakeDaemon) -> None:
    """bind-dynamic does not end because of one address; the port's holder is named."""
    port = free_port()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as holder:
        holder.bind(("127.0.0.2", port))
        daemon = make(ALONE + REC + "bind-interfaces\nlisten-address=127.0.0.1\n", port=port).start()
        daemon.conf_path.write_text(daemon.conf_path.read_text().replace("=127.0.0.1", "=127.0.0.1,127.0.0.2"))
        time.sleep(0.3)
        daemon.signal(signal.SIGHUP)
        daemon.wait_log(r"127\.0\.0\.2 port \d+.*held by .*\(pid \d+\)")
        still_well(daemon)
    daemon.signal(signal.SIGHUP)
    query = dnswire.build_query("rec.test")
    wait_until(lambda: udp_raw(query, port, "127.0.0.2", 0.3), 3, "the address that came free")
