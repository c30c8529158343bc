"""Section 71: names and domains at start, reload, statistics, DHCP in the running daemon."""

from __future__ import annotations

import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import types

import pytest

import dhcpwire
import dnswire
import pydnsmasq
from harness import (
    ALONE,
    OURS_KIND,
    PROGRAM,
    REC,
    Daemon,
    MakeDaemon,
    MockReply,
    MockUpstream,
    ask,
    free_port,
    load,
    need,
    wait_until,
)
from shellkit import LogLines, settings

pytestmark = pytest.mark.skipif(OURS_KIND == "real", reason="about our own daemon")


# -- domains and names -------------------------------------------------------------


def packed(text: str) -> bytes:
    return socket.inet_pton(socket.AF_INET6 if ":" in text else socket.AF_INET, text)


DOMAINS = """
domain=early.test
domain=net.test,10.1.0.0/16
domain=range.test,10.1.5.10,10.1.5.20
domain=six.test,fd00::/64
domain=late.test
"""


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("10.1.0.1", "net.test"),
        ("10.1.5.10", "range.test"),
        ("10.1.5.20", "range.test"),
        ("10.1.5.21", "net.test"),
        ("10.2.0.1", "late.test"),
        ("fd00::77", "six.test"),
        ("fd00:0:0:1::77", "late.test"),
        ("192.0.2.1", "late.test"),
    ],
)
def test_domain_for(address: str, expected: str) -> None:
    rules = settings(DOMAINS).domain
    assert pydnsmasq.domain_for(rules, b"", (), packed(address)) == dnswire.pack_name(expected)


def test_domain_of_the_resolv_file(tmp_path: pathlib.Path) -> None:
    rules = settings("domain=#\n").domain
    name = dnswire.pack_name("from.test")
    assert pydnsmasq.domain_for(rules, name, (), packed("10.0.0.1")) == name
    assert pydnsmasq.domain_for((), b"", (), packed("10.0.0.1")) == b""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("search one.test two.test\n", "one.test"),
        ("domain one.test\n", "one.test"),
        ("nameserver 1.2.3.4\nsearch x.test\n", "x.test"),
        ("search\n", ""),
        ("", ""),
        ("search " + "x" * 70 + ".test\n", ""),
    ],
)
def test_resolv_domain_read(text: str, expected: str, tmp_path: pathlib.Path) -> None:
    path = tmp_path / "resolv"
    path.write_text(text)
    wanted = dnswire.pack_name(expected) if expected else b""
    assert pydnsmasq.resolv_domain_read([str(path)]) == wanted
    assert pydnsmasq.resolv_domain_read([str(tmp_path / "none")]) == b""


@pytest.mark.parametrize(("name", "valid"), [("host", True), ("a.b.test", True), ("x" * 70, False), ("", True)])
def test_hostname_read(name: str, valid: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pydnsmasq.socket, "gethostname", lambda: name)
    expected = dnswire.pack_name(name) if valid and name else b"\0"
    assert pydnsmasq.hostname_read() == expected


def test_cache_line() -> None:
    name = dnswire.pack_name("a.test")
    entry = pydnsmasq.CacheEntry(name, 1, pydnsmasq.CACHE_DATA, (b"\x0a\0\0\1",), 300, 1000)
    assert re.match(r"a\.test +10\.0\.0\.1 +4F +\w{3} \w{3} [ \d]\d ", pydnsmasq.cache_line(entry, 1000))
    negative = pydnsmasq.CacheEntry(name, 28, pydnsmasq.CACHE_NXDOMAIN, (), 300, 1000)
    assert re.match(r"a\.test +F +NX ", pydnsmasq.cache_line(negative, 1000))


def test_fact_lines() -> None:
    """As dnsmasq dumps DS and DNSKEY records: tag, algorithm, digest or flags."""
    owner = dnswire.pack_name("z.tld")
    key = b"\1\1\3\x08" + bytes(60)
    tag = pydnsmasq.dnskey_tag(key)
    secure, insecure, no_cut, bogus = (
        pydnsmasq.FACT_SECURE, pydnsmasq.FACT_INSECURE, pydnsmasq.FACT_NO_CUT, pydnsmasq.FACT_BOGUS,
    )  # fmt: skip
    rows = [
        (owner, 43, secure, (b"\x25\x1d\x0d\2" + bytes(32),), [r"z\.tld +9501  13   2 +SF       V "]),
        (owner, 48, secure, (key,), [rf"z\.tld +{tag}   8 257 +KF       V "]),
        (
            b"\0",
            48,
            secure,
            (key, b"\1\0\3\x0d" + bytes(9)),
            [rf"<Root> +{tag}   8 257 +KF", r"<Root> +\d+  13 256 +KF"],
        ),
        (owner, 43, insecure, (), [r"z\.tld {67}SF   N   V "]),
        (owner, 43, no_cut, (), [r"z\.tld {67}SF   N   V "]),
        (owner, 43, bogus, (), [r"z\.tld {67}SF   N     "]),
        (owner, 48, bogus, (), [r"z\.tld {67}KF   N     "]),
    ]
    for name, rrtype, kind, records, patterns in rows:
        lines = pydnsmasq.fact_lines(name, rrtype, pydnsmasq.DnssecFact(kind, 1300, records), 1000)
        assert len(lines) == len(patterns)
        for line, pattern in zip(lines, patterns, strict=True):
            assert re.match(pattern, line), line
            assert re.search(r" \w{3} \w{3} [ \d]\d \d\d:\d\d:\d\d \d{4}$", line)


def test_cache_lines_of_proved_data() -> None:
    entry = pydnsmasq.CacheEntry(dnswire.pack_name("a.test"), 1, pydnsmasq.CACHE_DATA, (b"\x0a\0\0\1",), 300, 1000)
    for proof, flags in ((None, "4F "), (False, "4F "), (True, "4F       V ")):
        entry.proof = None if proof is None else pydnsmasq.CacheProof(proof, True)
        assert re.match(rf"a\.test +10\.0\.0\.1 +{flags} *\w{{3}} ", pydnsmasq.cache_line(entry, 1000))
    negative = pydnsmasq.CacheEntry(dnswire.pack_name("a.test"), 28, pydnsmasq.CACHE_NXDOMAIN, (), 300, 1000)
    negative.proof = pydnsmasq.CacheProof(True, True)
    assert re.match(r"a\.test +F   NX  V ", pydnsmasq.cache_line(negative, 1000))


# -- the running daemon: reload ----------------------------------------------------


def hup(daemon: Daemon, pattern: str) -> None:
    daemon.signal(signal.SIGHUP)
    daemon.wait_log(pattern)


BROKEN = {
    "unknown option": "nonsense\n",
    "bad value": "port=abc\n",
    "missing quote": 'txt-record=x,"half\n',
    "missing include": "conf-file=$DIR/nowhere\n",
    "conflict": "bind-interfaces\nbind-dynamic\n",
    "unknown user": "user=no-such-user-here\n",
}


@pytest.mark.parametrize("text", BROKEN.values(), ids=BROKEN)
def test_a_broken_configuration_changes_nothing(text: str, make: MakeDaemon) -> None:
    daemon = make(ALONE + REC).start()
    good = daemon.conf_path.read_text()
    daemon.write("conf", good.replace("10.1.2.3", "10.9.9.9") + text)
    hup(daemon, "not reloaded")
    assert daemon.ask("rec.test").rdatas() == ["10.1.2.3"]
    daemon.write("conf", good.replace("10.1.2.3", "10.9.9.9"))
    daemon.signal(signal.SIGHUP)
    wait_until(lambda: daemon.ask("rec.test").rdatas() == ["10.9.9.9"], 5, "the mended file")


def test_a_removed_configuration_changes_nothing(make: MakeDaemon) -> None:
    daemon = make().start()
    daemon.conf_path.unlink()
    hup(daemon, "not reloaded")
    assert str(daemon.conf_path) in daemon.log() and daemon.ask("rec.test").rdatas() == ["10.1.2.3"]


def test_a_log_file_that_cannot_be_opened_does_not_end_the_log(make: MakeDaemon) -> None:
    """A reload names an impossible log file: the old one stays in use, and says so."""
    daemon = make(REC + ALONE).start()
    text = daemon.conf_path.read_text()
    directory = str(daemon.directory)
    daemon.conf_path.write_text(text.replace(f"{directory}/log", f"{directory}/none/log") + "log-queries\n")
    daemon.signal(signal.SIGHUP)
    daemon.wait_log("none/log")
    daemon.ask("still.here.test")
    daemon.conf_path.write_text(text)
    before = len(daemon.log())
    daemon.signal(signal.SIGUSR1)
    wait_until(lambda: "cache size" in daemon.log()[before:], 3, "statistics in the log")


def test_another_log_file_after_a_reload(make: MakeDaemon) -> None:
    daemon = make(REC + ALONE + "log-queries\n").start()
    descriptors = pathlib.Path(f"/proc/{daemon.pid}/fd")
    before = len(list(descriptors.iterdir()))
    text = daemon.conf_path.read_text()
    for number in range(5):
        daemon.conf_path.write_text(text.replace(f"{daemon.directory}/log", f"{daemon.directory}/log{number}"))
        daemon.signal(signal.SIGHUP)
        path = daemon.directory / f"log{number}"
        wait_until(path.exists, 3, "the new file")
        daemon.ask("rec.test")
        wait_until(lambda: "rec.test" in (daemon.directory / f"log{number}").read_text(), 3, "the line")  # noqa: B023
    # The pipe of a thread that had not begun may have come on top.
    wait_until(lambda: len(list(descriptors.iterdir())) <= before + 3, 3, "old log files to be closed")


def test_what_needs_a_restart_is_said(make: MakeDaemon) -> None:
    daemon = make("pid-file=\nuser=root\nlog-facility=$DIR/log\n" + ALONE + REC, defaults=False).start()
    text = daemon.conf_path.read_text()
    daemon.conf_path.write_text(text.replace("pid-file=", f"pid-file={daemon.directory}/pid"))
    hup(daemon, "pid-file.*restart")
    assert not (daemon.directory / "pid").exists()


def test_listeners_follow_a_reload(make: MakeDaemon) -> None:
    daemon = make(ALONE + REC + "bind-interfaces\nlisten-address=127.0.0.1,127.0.0.2\n").start()
    for tcp in (False, True):
        assert ask(daemon.port, "rec.test", host="127.0.0.2", tcp=tcp, seconds=2) is not None
    with socket.create_connection(("127.0.0.2", daemon.port), timeout=3) as old:
        text = daemon.conf_path.read_text()
        daemon.conf_path.write_text(text.replace("127.0.0.2", "127.0.0.3"))
        daemon.signal(signal.SIGHUP)
        wait_until(lambda: ask(daemon.port, "rec.test", host="127.0.0.3", seconds=0.3), 5, "the new address")
        assert ask(daemon.port, "rec.test", host="127.0.0.3", tcp=True, seconds=2) is not None
        for tcp in (False, True):
            assert ask(daemon.port, "rec.test", host="127.0.0.2", tcp=tcp, seconds=0.3) is None
        assert old.recv(1) == b""
    assert daemon.ask("rec.test").rdatas() == ["10.1.2.3"]


def test_a_reload_leaks_nothing(make: MakeDaemon) -> None:
    daemon = make(ALONE + REC + "bind-interfaces\nlisten-address=127.0.0.1,127.0.0.2\n").start()
    base = pathlib.Path(f"/proc/{daemon.pid}")
    text = daemon.conf_path.read_text()

    def turn(number: int) -> None:
        daemon.conf_path.write_text(text.replace("127.0.0.2", f"127.0.0.{number % 2 + 2}") + f"local-ttl={number}\n")
        daemon.signal(signal.SIGHUP)
        wait_until(lambda: daemon.ask("rec.test").answer[0].ttl == number, 5, "the reload")

    turn(1)
    time.sleep(0.5)  # the listeners change after the answers do
    before = len(list((base / "fd").iterdir())), len(list((base / "task").iterdir()))
    for number in range(2, 12):
        turn(number)
    wait_until(lambda: len(list((base / "task").iterdir())) <= before[1], 3, "as many threads as before")
    assert len(list((base / "fd").iterdir())) <= before[0]


def test_a_configuration_only_root_may_read(make: MakeDaemon) -> None:
    """As another user the file cannot be read again: hosts files are, and the log says what is wrong."""
    need(os.geteuid() == 0, "root")
    conf = "user=nobody\npid-file=\nlog-facility=$DIR/log\n" + ALONE + "addn-hosts=$DIR/hosts\n"
    directory = pathlib.Path("/tmp") / f"pydnsmasq-test-{os.getpid()}"
    daemon = Daemon(directory, conf, defaults=False, files={"hosts": "10.0.0.1 a.test\n"})
    try:
        directory.chmod(0o755)
        daemon.conf_path.chmod(0o600)
        daemon.start()
        daemon.write("hosts", "10.0.0.2 a.test\n")
        hup(daemon, re.escape(str(daemon.conf_path)))
        wait_until(lambda: daemon.ask("a.test").rdatas() == ["10.0.0.2"], 3, "the new hosts file")
    finally:
        daemon.stop()
        for path in directory.iterdir():
            path.unlink()
        directory.rmdir()


def test_hostsdir_is_watched(make: MakeDaemon) -> None:
    daemon = make(ALONE + "hostsdir=$DIR/hosts.d\n", files={"hosts.d/a": "10.0.0.1 a.test\n"}).start()
    assert daemon.ask("a.test").rdatas() == ["10.0.0.1"]
    time.sleep(1.2)
    daemon.write("hosts.d/b", "10.0.0.2 b.test\n")
    wait_until(lambda: daemon.ask("b.test").rdatas() == ["10.0.0.2"], 4, "the new file")
    (daemon.directory / "hosts.d" / "a").unlink()
    wait_until(lambda: not daemon.ask("a.test").rdatas(), 4, "the end of the old file")


def test_a_hostsdir_that_fills_later(make: MakeDaemon) -> None:
    daemon = make(ALONE + "hostsdir=$DIR/hosts.d\n")
    (daemon.directory / "hosts.d").mkdir()
    daemon.start()
    daemon.write("hosts.d/b", "10.0.0.2 b.test\n")
    wait_until(lambda: daemon.ask("b.test").rdatas() == ["10.0.0.2"], 4, "the first file, right after the start")


def test_an_empty_hostsdir_is_quiet(make: MakeDaemon) -> None:
    """Nothing changes there: nothing is read again."""
    daemon = make(ALONE + "addn-hosts=$DIR/hosts\nhostsdir=$DIR/hosts.d\n", files={"hosts": "10.0.0.1 a\n"})
    (daemon.directory / "hosts.d").mkdir()
    daemon.start()
    time.sleep(3.5)
    assert daemon.log().count("hosts - 1 names") == 1


def test_new_interfaces_are_taken_though_a_name_does_not_resolve(monkeypatch: pytest.MonkeyPatch) -> None:
    """server=NAME cannot be looked up at the moment when an interface appears: the interface counts all the same."""
    log, config = LogLines(), settings(ALONE + "bind-dynamic\nserver=localhost#5353\n")
    daemon = pydnsmasq.Daemon(config, lambda: None, "dnsmasq", log.log)
    daemon._service = types.SimpleNamespace(state=daemon._build(config))
    listened: list[object] = []
    monkeypatch.setattr(daemon, "_listen", lambda *_, **__: listened.append(daemon._interfaces))
    address = pydnsmasq.InterfaceAddress("eth9", 9, packed("10.9.0.1"), 24)
    monkeypatch.setattr(pydnsmasq, "interfaces_read", lambda: (address,))

    def failing(*_: object, **__: object) -> None:
        raise socket.gaierror(-3, "Temporary failure in name resolution")

    monkeypatch.setattr(pydnsmasq.socket, "getaddrinfo", failing)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        daemon._netlink = ours
        for _ in range(2):
            try:
                daemon._interfaces_changed()
            except pydnsmasq.StartError:
                continue  # the main loop logs that
    assert listened == [(address,)]


def test_nothing_in_an_ordinary_life_is_an_internal_error(make: MakeDaemon) -> None:
    daemon = make(ALONE + REC + "bind-interfaces\nlisten-address=127.0.0.1,127.0.0.2\n").start()
    daemon.ask("rec.test", tcp=True)
    text = daemon.conf_path.read_text()
    daemon.conf_path.write_text(text.replace("127.0.0.2", "127.0.0.3"))
    daemon.signal(signal.SIGHUP)
    wait_until(lambda: ask(daemon.port, "rec.test", host="127.0.0.3", seconds=0.3), 5, "the new address")
    time.sleep(0.1)
    assert daemon.stop() == 0
    assert "internal error" not in daemon.log()


# -- statistics --------------------------------------------------------------------


def test_statistics_of_several_servers(make: MakeDaemon) -> None:
    def refusing(question: dnswire.DnsQuestion, query: dnswire.DnsMessage) -> MockReply:
        return MockReply(rcode="SERVFAIL")

    with MockUpstream("a.test 60 A 198.18.0.1") as up, MockUpstream(refusing) as bad:
        daemon = make(ALONE + REC + f"server={up.address}\nserver=/bad.test/{bad.address}\n").start()
        for name in ("a.test", "a.test", "x.test", "y.bad.test", "rec.test"):
            daemon.ask(name)
        daemon.ask("rec.test", tcp=True)
        daemon.signal(signal.SIGUSR1)
        lines = daemon.wait_log("server .*queries sent", count=2)
        assert f"{up.address}: queries sent 2, retried 0, failed 0, nxdomain replies 1," in lines[0]
        assert f"{bad.address}: queries sent 1, retried 0, failed 1, nxdomain replies 0," in lines[1]
        log = daemon.log()
        assert "queries forwarded 3," in log and "highest since last SIGUSR1 1, max allowed 20." in log
        local = re.search(r"queries answered locally (\d+)", log)
        assert local and int(local[1]) >= 3


def test_ignored_replies_are_counted(make: MakeDaemon) -> None:
    with MockUpstream(lambda question, query: MockReply(wrong_id=True)) as up:
        daemon = make(ALONE + f"server={up.address}\n").start()
        assert ask(daemon.port, "a.test", seconds=0.3) is None
        daemon.signal(signal.SIGUSR1)
        daemon.wait_log(r"replies ignored .*: [1-9]")


def test_statistics_list_the_cache_with_log_queries(make: MakeDaemon) -> None:
    with MockUpstream("a.test 60 A 198.18.0.1") as up:
        daemon = make(ALONE + REC + f"log-queries\nserver={up.address}\n").start()
        daemon.ask("a.test")
        daemon.signal(signal.SIGUSR1)
        daemon.wait_log(r"a\.test +198\.18\.0\.1 +4F")
        daemon.wait_log(r"rec\.test +10\.1\.2\.3 +4F")


# -- the start and the end ---------------------------------------------------------


def test_a_stuck_log_does_not_keep_it_from_ending(make: MakeDaemon) -> None:
    """Nobody reads the pipe that is standard error: queries are answered, and TERM ends it."""
    daemon = make(ALONE + REC + "log-queries\npid-file=\nuser=root\nlog-facility=-\n", defaults=False)
    reader, writer = os.pipe()
    daemon.process = subprocess.Popen(daemon.command(), stdin=subprocess.DEVNULL, stderr=writer, env=daemon.env)
    os.close(writer)
    try:
        daemon.wait_ready()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.connect(("127.0.0.1", daemon.port))
            sock.settimeout(2)
            for number in range(4000):
                sock.send(dnswire.build_query("rec.test", id=number))
                assert sock.recv(1000)
        began = time.monotonic()
        daemon.process.terminate()
        daemon.process.wait(5)
        assert time.monotonic() - began < 2
    except subprocess.TimeoutExpired:
        daemon.process.kill()
        pytest.fail("TERM does not end it while its log is stuck")
    finally:
        os.close(reader)


def test_term_right_after_the_start_removes_the_pid_file(tmp_path: pathlib.Path) -> None:
    """As soon as there is a pid file, TERM is a clean end."""
    pid_file = tmp_path / "pid"
    for _ in range(12):
        words = [sys.executable, str(PROGRAM), "-k", "-C", "/dev/null", "-R", "-h", "-u", "root"]
        process = subprocess.Popen(
            [*words, "-p", str(free_port()), "-x", str(pid_file), "-8", "/dev/null"], stderr=subprocess.DEVNULL
        )
        end = time.monotonic() + 10
        while not (pid_file.exists() and pid_file.stat().st_size) and time.monotonic() < end:
            pass
        process.terminate()
        assert process.wait(5) == 0
        assert not pid_file.exists()


def test_hup_right_after_the_start_is_not_lost(tmp_path: pathlib.Path) -> None:
    """As soon as there is a pid file, HUP reads the configuration again."""
    for number in range(8):
        daemon = Daemon(
            tmp_path / f"h{number}",
            "user=root\npid-file=$DIR/pid\nlog-facility=$DIR/log\n" + ALONE + REC,
            defaults=False,
        )
        daemon.spawn()
        try:
            path = daemon.directory / "pid"
            end = time.monotonic() + 10
            while not (path.exists() and path.stat().st_size) and time.monotonic() < end:
                pass
            daemon.conf_path.write_text(daemon.conf_path.read_text().replace("10.1.2.3", "10.9.9.9"))
            daemon.signal(signal.SIGHUP)
            daemon.wait_ready()
            wait_until(lambda: daemon.ask("rec.test").rdatas() == ["10.9.9.9"], 3, "the reload")  # noqa: B023
        finally:
            daemon.stop()


def test_a_server_given_by_a_name_that_fails_later(make: MakeDaemon) -> None:
    """A reload with a server's name that cannot be resolved keeps what there is."""
    with MockUpstream(lambda q, m: MockReply(answer=[dnswire.record(f"{q.name} 60 A 198.18.0.1")])) as up:
        daemon = make(ALONE + REC + f"server=localhost#{up.port}\n").start()
        assert daemon.ask("a.test").rdatas() == ["198.18.0.1"]
        text = daemon.conf_path.read_text()
        daemon.conf_path.write_text(text.replace("localhost", "no.such.name.invalid"))
        daemon.signal(signal.SIGHUP)
        with load(daemon.port, ["rec.test", "a.test"], gap=0.01) as result:
            daemon.wait_log("no.such.name.invalid", seconds=30)
        assert (result.lost, result.bad) == (0, [])
        assert daemon.ask("b.test").rdatas() == ["198.18.0.1"]


# -- what the bus sees and changes ---------------------------------------------------


def idle(text: str) -> pydnsmasq.Daemon:
    """A daemon with its state, which has not been started."""
    config = settings(ALONE + text)
    daemon = pydnsmasq.Daemon(config, lambda: None, "dnsmasq", LogLines().log)
    daemon._service = types.SimpleNamespace(state=daemon._build(config))
    return daemon


def test_counters() -> None:
    daemon = idle("")
    assert daemon.counters() == dict.fromkeys(pydnsmasq.METRICS, 0)
    cache, metrics = daemon._cache, daemon._metrics
    cache.inserted, cache.evicted = 1, 2
    metrics.forwarded, metrics.auth, metrics.local, metrics.stale, metrics.unanswered = 3, 4, 5, 6, 7
    metrics.tcp_connections = 8
    daemon._service.state.answers._retired = 100
    daemon._trust.peaks = [9, 10, 11]
    dhcp = {name: 20 + number for number, name in enumerate(pydnsmasq.DHCP4_METRICS)}
    daemon._dhcp = types.SimpleNamespace(service=types.SimpleNamespace(metrics=dhcp))
    expected = {
        "dns_cache_inserted": 1, "dns_cache_live_freed": 2, "dns_queries_forwarded": 3, "dns_auth_answered": 4,
        "dns_local_answered": 105, "dns_stale_answered": 6, "dns_unanswered": 7, "tcp_connections": 8,
        "dnssec_max_work": 9, "dnssec_max_crypto_use": 10, "dnssec_max_sig_fail": 11, **dhcp,
        "noanswer": 0, "leases_allocated_6": 0, "leases_pruned_6": 0,
    }  # fmt: skip
    assert daemon.counters() == expected
    assert tuple(daemon.counters()) == pydnsmasq.METRICS


def test_lists_for_marks_outlive_a_reload() -> None:
    text = "connmark-allowlist-enable\nconnmark-allowlist=1,a.b\nconnmark-allowlist=2/2,c.d\n"
    daemon, every = idle(text), 0xFFFFFFFF
    before = daemon._service.state
    known = before.allowlist
    daemon._allow(3, every, ("e.f",))
    daemon._allow(2, 2, ("*",))
    daemon._allow(1, every, ())
    wanted = {(1, every): (), (2, 2): ("*",), (3, every): ("e.f",)}
    assert before.allowlist == wanted
    assert known == {(1, every): ("a.b",), (2, 2): ("c.d",)}, "whoever reads it meanwhile sees it whole"
    assert daemon._build(settings(ALONE + text)).allowlist == wanted
    assert daemon._build(settings(ALONE + "connmark-allowlist-enable\nconnmark-allowlist=4,g.h\n")).allowlist == {
        **wanted, (4, every): ("g.h",),
    }  # fmt: skip


# -- DHCP --------------------------------------------------------------------------

MACS = [bytes((2, 0xAA, 0, 0, 0, at)) for at in range(10)]
SERVER_ID = b"\x7f\0\0\1"


class DhcpDaemon:
    """A daemon that serves DHCP on loopback; giaddr 255.255.255.255 has its answers come back to the sender."""

    def __init__(self, make: MakeDaemon, conf: str = "", **more: object) -> None:
        self.ports = free_port(), free_port()
        self.daemon = make(
            f"{ALONE}interface=lo\ndhcp-range=127.0.5.50,127.0.5.99,255.0.0.0,1h\ndomain=lan.test\n"
            f"dhcp-alternate-port={self.ports[0]},{self.ports[1]}\ndhcp-leasefile=$DIR/leases\n{conf}",
            **more,
        )
        self.leases = self.daemon.directory / "leases"

    def send(self, kind: str, mac: bytes, *options: tuple[int, bytes], **fields: str) -> dhcpwire.DhcpMessage:
        fields = {"giaddr": "255.255.255.255", **fields}
        head = (53, bytes((dhcpwire.TYPES[kind],)))
        message = dhcpwire.DhcpMessage(xid=7, chaddr=mac, options=[head, *options], **fields)  # type: ignore[arg-type]
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.bind(("127.0.0.2", 0))
            sock.settimeout(4)
            sock.sendto(message.pack(), ("127.0.0.1", self.ports[0]))
            return dhcpwire.DhcpMessage() if kind == "RELEASE" else dhcpwire.parse(sock.recv(4096))

    def bind(self, mac: bytes, name: str = "") -> str:
        """Get a lease; its address, which is in the file by now."""
        options = [(12, name.encode())] if name else []
        offer = self.send("DISCOVER", mac, *options)
        ack = self.send("REQUEST", mac, (54, SERVER_ID), (50, socket.inet_aton(offer.yiaddr)), *options)
        assert (offer.kind(), ack.kind(), ack.yiaddr) == ("OFFER", "ACK", offer.yiaddr)
        assert f" {mac.hex(':')} {ack.yiaddr} {name or '*'} *\n" in self.leases.read_text()
        return ack.yiaddr

    def release(self, mac: bytes, address: str) -> None:
        self.send("RELEASE", mac, (54, SERVER_ID), ciaddr=address)

    def offered(self, mac: bytes) -> str:
        return self.send("DISCOVER", mac).yiaddr

    def option(self, number: int) -> bytes | None:
        return self.send("DISCOVER", MACS[9], (55, bytes((number,)))).value(number)


def test_a_lease_has_its_name_in_dns(make: MakeDaemon) -> None:
    dhcp = DhcpDaemon(make)
    daemon = dhcp.daemon.start()
    assert daemon.ask("pc.lan.test").rdatas() == []
    address = dhcp.bind(MACS[1], "pc")
    for name in ("pc.lan.test", "pc", "PC.Lan.Test"):
        assert daemon.ask(name).rdatas() == [address]
    assert daemon.ask(f"{'.'.join(reversed(address.split('.')))}.in-addr.arpa", "PTR").rdatas() == ["pc.lan.test"]
    daemon.signal(signal.SIGHUP)
    time.sleep(0.3)
    assert daemon.ask("pc.lan.test").rdatas() == [address], "also after a reload"
    dhcp.release(MACS[1], address)
    wait_until(lambda: not daemon.ask("pc.lan.test").rdatas(), 3, "the end of the name")
    wait_until(lambda: not dhcp.leases.read_text(), 3, "the end of the lease in the file")


def test_leases_outlive_the_daemon(make: MakeDaemon) -> None:
    """Whether it ends well or is killed: what was acknowledged is there, with its name."""
    dhcp = DhcpDaemon(make)
    daemon = dhcp.daemon.start()
    for number, end in ((1, "stop"), (2, "kill")):
        address = dhcp.bind(MACS[number], f"pc{number}")
        if end == "kill":
            daemon.signal(signal.SIGKILL)
            assert daemon.process is not None
            daemon.process.wait(5)
        daemon.stop()
        daemon.start()
        assert daemon.ask(f"pc{number}.lan.test").rdatas() == [address]
        assert dhcp.offered(MACS[number]) == address
    assert len(dhcp.leases.read_text().splitlines()) == 2
    # The file that is to replace the old one may still be on its way.
    names = dhcp.leases.parent
    wait_until(lambda: [path.name for path in names.iterdir() if "leases" in path.name] == ["leases"], 3, "one file")


def test_dhcp_files_are_read_again(make: MakeDaemon) -> None:
    dhcp = DhcpDaemon(
        make,
        "dhcp-hostsfile=$DIR/hosts\ndhcp-optsfile=$DIR/opts\ndhcp-option=42,10.0.0.1\n",
        files={"hosts": f"{MACS[1].hex(':')},127.0.5.91\n", "opts": "17,one\n"},
    )
    daemon = dhcp.daemon.start()
    assert dhcp.offered(MACS[1]) == "127.0.5.91" and dhcp.option(17) == b"one"
    daemon.write("hosts", f"oops!,,,\n{MACS[1].hex(':')},127.0.5.92\n")
    daemon.write("opts", "17,two\n")
    text = daemon.conf_path.read_text()
    daemon.conf_path.write_text(text.replace("42,10.0.0.1", "42,10.0.0.2"))
    daemon.signal(signal.SIGHUP)
    wait_until(lambda: dhcp.offered(MACS[1]) == "127.0.5.92", 5, "the new reservation")
    assert dhcp.option(17) == b"two" and dhcp.option(42) == b"\x0a\0\0\2"
    daemon.wait_log(r"line 1 of .*/hosts")
    daemon.conf_path.write_text(text + "nonsense\n")
    daemon.signal(signal.SIGHUP)
    daemon.wait_log("not reloaded")
    assert dhcp.offered(MACS[1]) == "127.0.5.92" and dhcp.option(42) == b"\x0a\0\0\2"


def test_dhcp_directories_are_watched(make: MakeDaemon) -> None:
    dhcp = DhcpDaemon(
        make,
        "dhcp-hostsdir=$DIR/hosts.d\ndhcp-optsdir=$DIR/opts.d\n",
        files={"hosts.d/a": f"{MACS[1].hex(':')},127.0.5.91\n", "opts.d/a": "17,one\n"},
    )
    daemon = dhcp.daemon.start()
    assert dhcp.offered(MACS[1]) == "127.0.5.91" and dhcp.option(17) == b"one"
    daemon.write("hosts.d/b", f"{MACS[2].hex(':')},127.0.5.92\n")
    wait_until(lambda: dhcp.offered(MACS[2]) == "127.0.5.92", 4, "the new file")
    assert dhcp.offered(MACS[1]) == "127.0.5.91"
    daemon.write("opts.d/a", "17,two\n")
    wait_until(lambda: dhcp.option(17) == b"two", 4, "the changed file")
    (daemon.directory / "hosts.d" / "a").unlink()
    wait_until(lambda: dhcp.offered(MACS[1]) != "127.0.5.91", 4, "the end of the old file")


def test_the_name_of_a_reservation_follows_the_hosts_files(make: MakeDaemon) -> None:
    """dhcp-host=MAC,name takes the address that a hosts file has for the name, at the start and at each reload."""
    dhcp = DhcpDaemon(
        make,
        f"dhcp-host={MACS[1].hex(':')},pc\naddn-hosts=$DIR/hosts\ndhcp-hostsdir=$DIR/hosts.d\n",
        files={"hosts": "127.0.5.93 pc\n", "hosts.d/a": "\n"},
    )
    daemon = dhcp.daemon.start()
    assert dhcp.offered(MACS[1]) == "127.0.5.93"
    daemon.write("hosts", "127.0.5.94 pc\n")
    daemon.signal(signal.SIGHUP)
    wait_until(lambda: dhcp.offered(MACS[1]) == "127.0.5.94", 4, "the new address")
    daemon.write("hosts.d/b", f"{MACS[2].hex(':')},127.0.5.95\n")
    wait_until(lambda: dhcp.offered(MACS[2]) == "127.0.5.95", 4, "the new file")
    assert dhcp.offered(MACS[1]) == "127.0.5.94"


EVENTS = """#!/bin/sh
[ -e $DIR/slow ] && sleep 0.3
echo "$* $DNSMASQ_DOMAIN" >>$DIR/events
"""


def scripted(make: MakeDaemon, conf: str = "") -> DhcpDaemon:
    dhcp = DhcpDaemon(make, f"dhcp-script=$DIR/script\n{conf}")
    dhcp.daemon.write("script", EVENTS).chmod(0o755)
    return dhcp


def events(dhcp: DhcpDaemon) -> list[str]:
    path = dhcp.daemon.directory / "events"
    return path.read_text().splitlines() if path.exists() else []


def test_a_script_hears_of_everything(make: MakeDaemon) -> None:
    dhcp = scripted(make)
    daemon = dhcp.daemon.start()
    one, two = dhcp.bind(MACS[1], "pc"), dhcp.bind(MACS[2])
    first, second = f"{MACS[1].hex(':')} {one} pc lan.test", f"{MACS[2].hex(':')} {two} "
    expected = [f"add {first}", f"add {second}"]
    wait_until(lambda: events(dhcp) == expected, 5, f"two leases: {events(dhcp)}")
    daemon.signal(signal.SIGHUP)
    expected += [f"old {second}", f"old {first}"]
    wait_until(lambda: events(dhcp) == expected, 5, "the reload, newest first")
    dhcp.release(MACS[1], one)
    expected += [f"del {first}"]
    wait_until(lambda: events(dhcp) == expected, 5, "the release")
    daemon.stop()
    daemon.start()
    expected += [f"old {second}"]
    wait_until(lambda: events(dhcp) == expected, 5, "the start")
    assert "internal error" not in daemon.log()


def test_the_end_waits_for_no_script_and_loses_none(make: MakeDaemon) -> None:
    dhcp = scripted(make)
    daemon = dhcp.daemon.start()
    daemon.write("slow", "")
    for number in range(5):
        dhcp.bind(MACS[number])
    assert len(events(dhcp)) < 4
    began = time.monotonic()
    assert daemon.stop() == 0
    assert time.monotonic() - began < 1.2
    wait_until(lambda: len(events(dhcp)) == 5, 5, "all events")
    assert [line.split()[1] for line in events(dhcp)] == [mac.hex(":") for mac in MACS[:5]]


def test_accounts(make: MakeDaemon) -> None:
    """The daemon gives its rights up, and writes a lease file that it could not open; the script keeps them."""
    need(os.geteuid() == 0, "root")
    place = pathlib.Path(tempfile.mkdtemp(prefix="pydnsmasq-script-", dir="/tmp"))
    place.chmod(0o755)
    (place / "script").write_text("#!/bin/sh\necho run by $(id -u)\n")
    (place / "script").chmod(0o755)
    nobody = pydnsmasq.user_find("nobody")
    assert nobody is not None
    try:
        for conf, expected in (("", 0), ("dhcp-scriptuser=nobody\n", nobody[0])):
            dhcp = DhcpDaemon(
                make, f"dhcp-script={place}/script\nuser=nobody\npid-file=\nlog-facility=-\n{conf}", defaults=False
            )
            dhcp.daemon.directory.chmod(0o700)
            daemon = dhcp.daemon.start()
            assert f"\nUid:\t{nobody[0]}\t" in pathlib.Path(f"/proc/{daemon.pid}/status").read_text()
            dhcp.bind(MACS[1])
            dhcp.bind(MACS[2])
            wait_until(lambda: daemon.stderr().count(f"run by {expected}\n") == 2, 5, "two runs")  # noqa: B023
            assert daemon.stop() == 0 and "failed" not in daemon.stderr()
            assert len(dhcp.leases.read_text().splitlines()) == 2
    finally:
        shutil.rmtree(place)


def test_a_full_disk_does_not_stop_dhcp(make: MakeDaemon) -> None:
    dhcp = DhcpDaemon(make)
    daemon = dhcp.daemon.start()
    first = dhcp.bind(MACS[1])
    (dhcp.leases.parent / "leases.new").mkdir()  # nothing can be written beside the file
    offer = dhcp.send("DISCOVER", MACS[2])
    ack = dhcp.send("REQUEST", MACS[2], (54, SERVER_ID), (50, socket.inet_aton(offer.yiaddr)))
    assert ack.kind() == "ACK"
    daemon.wait_log(r"failed to write .*/leases: .*retry in 60 s")
    assert first in dhcp.leases.read_text()
    (dhcp.leases.parent / "leases.new").rmdir()
    dhcp.bind(MACS[3])
    daemon.wait_log("is written again")
    assert len(dhcp.leases.read_text().splitlines()) == 3
    assert "internal error" not in daemon.log()


def test_dhcp_without_dns(make: MakeDaemon) -> None:
    dhcp = DhcpDaemon(make, "port=0\n", port=0)
    daemon = dhcp.daemon.spawn()
    daemon.wait_log("DHCP, IP range 127.0.5.50 -- 127.0.5.99, lease time 1h")
    assert dhcp.bind(MACS[1])
    daemon.signal(signal.SIGHUP)
    time.sleep(0.3)
    assert dhcp.bind(MACS[2]) and daemon.stop() == 0
    assert "internal error" not in daemon.log()
