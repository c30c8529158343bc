"""The real process: command line, signals, files, upstreams, load."""

from __future__ import annotations

import os
import pathlib
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable

import pytest

import dnswire
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
    port_53,
    program_command,
    run_program,
    table_zone,
    udp_raw,
    wait_until,
)

UNLIKE_REAL = pytest.mark.skipif(OURS_KIND == "real", reason="dnsmasq behaves otherwise here")


def any_address(question: dnswire.DnsQuestion, query: dnswire.DnsMessage) -> MockReply:
    """An upstream that knows every name."""
    return MockReply(answer=[dnswire.record(f"{question.name} 300 A 198.18.0.1")])


# -- the command line ------------------------------------------------------------


def test_version() -> None:
    done = run_program("--version")
    lines = done.stdout.splitlines()
    assert done.returncode == 0 and done.stderr == ""
    assert re.match(r"Dnsmasq version \d+\.\d+  \S", lines[0])
    assert lines[1].startswith("Compile time options: ")


@UNLIKE_REAL
def test_version_is_2_93_and_says_who_it_is() -> None:
    output = run_program("--version").stdout
    assert output.startswith("Dnsmasq version 2.93  ")
    assert output.split(" ")[2] == "2.93"
    assert "pydnsmasq" in output
    assert "no-ipset" not in output and "no-nftset" not in output
    assert run_program("-v").stdout == output


def test_help() -> None:
    done = run_program("--help")
    assert done.returncode == 0 and "--addn-hosts" in done.stdout and "-p, --port" in done.stdout
    assert "3 router" in run_program("--help", "dhcp").stdout
    assert run_program("-w").returncode == 0


@pytest.mark.parametrize(
    "arguments",
    [
        ["--test", "-C", "/dev/null"],
        ["--test", "--conf-file=/dev/null"],
        ["--test", "--conf-file="],
        ["", "--test", "-C", "/dev/null", ""],
        ["--test", "-C/dev/null", "-p5353", "-kR"],
        ["--test", "-C", "/dev/null", "--listen-address", "127.0.0.1", "--pid-file"],
        ["--test", "-C", "/dev/null", "--pid-file=", "--log-queries", "--log-queries=extra"],
        ["--test", "-C", "/dev/null", "--no-re", "--bind-i"],
        ["--test", "-C", "/dev/null", "-S", "/dom/", "-s", "dom", "-x", "f", "-u", "root", "-q", "-8", "-"],
        ["--test", "-C", "/dev/null", "--dhcp-host=tag:foo"],
        ["--test", "-C", "/dev/null", "--"],
    ],
    ids=" ".join,
)
def test_accepted_command_lines(arguments: list[str]) -> None:
    done = run_program(*arguments)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "dnsmasq: syntax check OK.\n")


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["junk"], 1, "junk found in command line"),
        (["--test", "-C", "/dev/null", "--", "junk"], 1, "junk found in command line"),
        (["--nosuchoption"], 1, "bad command line options"),
        (["-p"], 1, ""),
        (["-p", "70000", "--test", "-C", "/dev/null"], 1, ""),
        (["--bogus-priv=1", "--test", "-C", "/dev/null"], 1, ""),
        (["-p", "5", "-p", "6", "--test", "-C", "/dev/null"], 1, "illegal repeated flag"),
        (["--test", "-C", "/no/such/file"], 3, "/no/such/file"),
        (["--test", "-C", "/dev/null", "--conf-dir=/no/such"], 3, "/no/such"),
        (["-k", "-C", "/dev/null", "-u", "nosuchuser", "-x", "", "-p", "$PORT"], 1, "nosuchuser"),
        (["-k", "-C", "/dev/null", "-x", "/no/such/pid", "-u", "root", "-p", "$PORT"], 3, "/no/such/pid"),
        (["-k", "-C", "/dev/null", "-x", "", "-8", "/no/such/log", "-p", "$PORT"], 3, "/no/such/log"),
        (["-k", "-C", "/dev/null", "-x", "", "-z", "--bind-dynamic", "-p", "$PORT"], 1, "bind-dynamic"),
        (["-k", "-C", "/dev/null", "-x", "", "--min-port=10", "--max-port=5", "-p", "$PORT"], 1, "port"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_refused_command_lines(arguments: list[str], code: int, words: str) -> None:
    if "-u" in arguments or "-x" in arguments:
        need(os.geteuid() == 0, "root")
    done = run_program(*[item.replace("$PORT", str(free_port())) for item in arguments])
    assert done.returncode == code, done.stderr
    assert words in done.stderr and "Traceback" not in done.stderr


@UNLIKE_REAL
def test_the_check_tells_every_error(tmp_path: pathlib.Path) -> None:
    main, more = tmp_path / "main.conf", tmp_path / "more.conf"
    main.write_text(f"no-resov\nport=53\nport=abc\nconf-file={more}\nbogus-priv=yes\n")
    more.write_text("# fine\naddress=/x/nonsense\n")
    done = run_program("--test", "-C", str(main))
    assert done.returncode == 1
    for words in (f"{main}:1", "did you mean 'no-resolv'?", f"{main}:3", f"{main}:5", f"{more}:2"):
        assert words in done.stderr, f"{words} not in {done.stderr}"


@UNLIKE_REAL
@pytest.mark.parametrize("text", ["bind-interfaces\nbind-dynamic\n", "min-port=9\nmax-port=5\n", "user=nosuchuser\n"])
def test_the_check_finds_conflicts(text: str, tmp_path: pathlib.Path) -> None:
    conf = tmp_path / "conf"
    conf.write_text(text)
    assert run_program("--test", "-C", str(conf)).returncode == 1


def test_configuration_from_standard_input() -> None:
    assert run_program("--test", "-C", "-", stdin=b"port=5353\n").returncode == 0
    assert run_program("--test", "-C", "-", stdin=b"port=nonsense\n").returncode == 1


# -- a process's life ------------------------------------------------------------


def _read_pid(path: pathlib.Path) -> int:
    text = path.read_text()
    assert re.fullmatch(r"\d+\n", text)
    return int(text)


def _ended(pid: int) -> bool:
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def test_in_the_background(tmp_path: pathlib.Path) -> None:
    port, pid_file, log = free_port(), tmp_path / "pid", tmp_path / "log"
    conf = tmp_path / "conf"
    user = "user=root\n" if os.geteuid() == 0 else ""
    conf.write_text(f"{user}pid-file={pid_file}\nlog-facility={log}\n{ALONE}{REC}")
    done = run_program("-C", str(conf), "-p", str(port))
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    pid = _read_pid(pid_file)
    try:
        # The parent left when sockets were bound: the first question is answered.
        reply = ask(port, "rec.test", seconds=3)
        assert reply is not None and reply.rdatas() == ["10.1.2.3"]
        status = pathlib.Path(f"/proc/{pid}/status").read_text()
        assert os.getsid(pid) != os.getsid(0)
        assert pathlib.Path(f"/proc/{pid}/cwd").resolve() == pathlib.Path("/")
        assert re.search(r"^PPid:\t(\d+)$", status, re.M)[1] != str(os.getpid())  # type: ignore[index]
        assert pid_file.stat().st_mode & 0o777 == 0o644
    finally:
        os.kill(pid, signal.SIGTERM)
        began = time.monotonic()
        wait_until(lambda: _ended(pid), 5, "the end")
    assert time.monotonic() - began < 1
    assert not pid_file.exists()
    assert "exiting on receipt of SIGTERM" in log.read_text()


def test_the_parent_tells_of_failure(tmp_path: pathlib.Path) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        port = free_port()
        sock.bind(("", port))
        done = run_program("-C", "/dev/null", "-p", str(port), f"--pid-file={tmp_path / 'pid'}")
    assert done.returncode == 2
    assert str(port) in done.stderr
    assert not (tmp_path / "pid").exists()


@UNLIKE_REAL
def test_the_same_command_line_takes_over(tmp_path: pathlib.Path) -> None:
    """libvirtd knows a server by its executable: after its own restart it starts another with the same words."""
    port, pid_file, log = free_port(), tmp_path / "pid", tmp_path / "log"
    (tmp_path / "conf").write_text(f"{ALONE}port={port}\nuser=root\nlog-facility={log}\n")
    words = ["-C", str(tmp_path / "conf"), f"--pid-file={pid_file}", "--host-record=a.test,192.0.2.1"]
    assert run_program(*words).returncode == 0
    first = _read_pid(pid_file)
    try:
        other = run_program(*words, "--no-hosts")
        assert other.returncode == 2 and not _ended(first), "other words: it is not the same server"
        pid_file.write_text(f"{first}\n")  # which the other one had taken away
        assert run_program(*words).returncode == 0
        second = _read_pid(pid_file)
        assert second != first and _ended(first)
        words_of_it = f"taking over from process {first}"
        first = second
        wait_until(lambda: words_of_it in log.read_text(), what=words_of_it)
        reply = ask(port, "a.test")
        assert reply is not None and reply.rdatas() == ["192.0.2.1"]
    finally:
        os.kill(first, signal.SIGTERM)
        wait_until(lambda: _ended(first), what="its end")


@UNLIKE_REAL
def test_nobody_is_taken_over_for_names_from_the_present_directory(tmp_path: pathlib.Path) -> None:
    port, pid_file = free_port(), tmp_path / "pid"
    (tmp_path / "conf").write_text(f"{ALONE}port={port}\nuser=root\nlog-facility={tmp_path}/log\n")
    words = ["-C", "conf", f"--pid-file={pid_file}"]
    assert run_program(*words, cwd=tmp_path).returncode == 0
    first = _read_pid(pid_file)
    try:
        assert run_program(*words, cwd=tmp_path).returncode == 2
        assert not _ended(first)
    finally:
        os.kill(first, signal.SIGTERM)
        wait_until(lambda: _ended(first), what="its end")


@UNLIKE_REAL
def test_a_taken_port_names_its_holder() -> None:
    port = free_port()
    code = f"import socket,time; s=socket.socket(); s.bind(('',{port})); s.listen(); print(flush=True); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        done = run_program("-k", "-C", "/dev/null", "-p", str(port), "-x", "")
        holder.kill()
    assert done.returncode == 2
    assert str(holder.pid) in done.stderr, done.stderr


def test_term_ends_it_within_a_second(make: MakeDaemon) -> None:
    daemon = make("pid-file=$DIR/pid\nuser=root\nlog-facility=$DIR/log\n" + ALONE + REC, defaults=False).start()
    assert _read_pid(daemon.directory / "pid") == daemon.pid
    began = time.monotonic()
    assert daemon.stop() == 0
    assert time.monotonic() - began < 1
    assert "exiting on receipt of SIGTERM" in daemon.log()
    assert not (daemon.directory / "pid").exists()


def test_interrupt(make: MakeDaemon) -> None:
    daemon = make().start()
    daemon.signal(signal.SIGINT)
    time.sleep(0.2)
    assert daemon.alive() and daemon.ask("rec.test").rdatas() == ["10.1.2.3"]
    debug = make(foreground="-d").start()
    debug.signal(signal.SIGINT)
    assert debug.process is not None and debug.process.wait(3) == 5


@UNLIKE_REAL
def test_early_signals_do_not_kill(make: MakeDaemon) -> None:
    """From the first line of the program, long before it serves, HUP and INT do no harm."""
    daemon = make().spawn()
    status = pathlib.Path(f"/proc/{daemon.pid}/status")

    def minds() -> bool:
        """Python itself catches INT, so only that both are ignored, or that HUP is caught, is the program's doing."""
        masks = {key: int(mask, 16) for key, mask in re.findall(r"^Sig(Ign|Cgt):\t(\w+)$", status.read_text(), re.M)}
        both = 1 << signal.SIGINT - 1 | 1 << signal.SIGHUP - 1
        return masks["Ign"] & both == both or bool(masks["Cgt"] & 1 << signal.SIGHUP - 1)

    wait_until(minds, what="signal handlers")
    for number in [signal.SIGHUP, signal.SIGINT] * 50:
        daemon.signal(number)
        time.sleep(0.005)
    daemon.wait_ready()
    assert daemon.ask("rec.test").rdatas() == ["10.1.2.3"]


def test_debug_mode_writes_to_stderr_and_no_pid_file(make: MakeDaemon) -> None:
    daemon = make("pid-file=$DIR/pid\nlog-queries\n" + ALONE + REC, defaults=False, foreground="-d").start()
    daemon.ask("rec.test")
    wait_until(lambda: "dnsmasq: config rec.test is 10.1.2.3\n" in daemon.stderr(), 3, "the line")
    assert not (daemon.directory / "pid").exists()
    wait_until(lambda: re.search(r"^dnsmasq: started, version \S+ cachesize 150$", daemon.stderr(), re.M), 3, "it")


def test_log_to_stderr_has_no_time_in_the_foreground(make: MakeDaemon) -> None:
    daemon = make("pid-file=\nuser=root\nlog-facility=-\n" + ALONE + REC, defaults=False).start()
    wait_until(lambda: re.match(r"dnsmasq\[\d+\]: \S", daemon.stderr()), 3, "a line")
    wait_until(lambda: re.search(r"^dnsmasq\[\d+\]: started, version", daemon.stderr(), re.M), 3, "the line")


def test_start_up_lines(make: MakeDaemon) -> None:
    conf = "server=/a.b/192.0.2.1\nserver=/c.d/#\nlocal=/e.f/\naddress=/g.h/1.2.3.4\nserver=//192.0.2.2\n"
    conf += "server=192.0.2.3#77\nserver=192.0.2.4@lo\nlocal-service\naddn-hosts=$DIR/hosts\naddn-hosts=$DIR/none\n"
    daemon = make(ALONE + conf, files={"hosts": "10.0.0.1 a b c\nbad x\n10.0.0.2 " + "d" * 64 + "\n"}).start()
    daemon.wait_log("read .*hosts")
    time.sleep(0.2)
    lines = [re.sub(r"^.*?\]: ", "", line).rstrip() for line in daemon.log().splitlines()]
    for line in (
        "using nameserver 192.0.2.1#53 for domain a.b",
        "using standard nameservers for c.d",
        "using only locally-known addresses for e.f",
        "using nameserver 192.0.2.2#53 for unqualified names",
        "using nameserver 192.0.2.3#77",
        "using nameserver 192.0.2.4#53(via lo)",
        "DNS service limited to local subnets",
        f"read {daemon.directory}/hosts - 3 names",
        f"bad address at {daemon.directory}/hosts line 2",
        f"bad name at {daemon.directory}/hosts line 3",
        f"failed to load names from {daemon.directory}/none: No such file or directory",
    ):
        assert line in lines, f"{line!r} not in\n" + "\n".join(lines)


def test_statistics(make: MakeDaemon) -> None:
    with MockUpstream("a.test 60 A 198.18.0.1") as up:
        daemon = make(ALONE + REC + f"server={up.address}\n").start()
        for name in ("a.test", "a.test", "rec.test", "x.test"):
            daemon.ask(name)
        daemon.signal(signal.SIGUSR1)
        daemon.wait_log(r"server .*queries sent")
        log = daemon.log()
        for pattern in (
            r": time \d+$",
            r": cache size 150, 0/\d+ cache insertions re-used unexpired cache entries\.$",
            r": queries forwarded 2, queries answered locally \d+$",
            r": queries for authoritative zones 0$",
            rf": server {re.escape(up.address)}: queries sent 2, retried 0, failed 0, nxdomain replies 1, avg",
        ):
            assert re.search(pattern, log, re.M), f"{pattern} not in\n{log}"


def test_log_file_is_reopened(make: MakeDaemon) -> None:
    daemon = make("log-queries\n" + ALONE + REC).start()
    daemon.ask("rec.test")
    daemon.wait_log("rec.test is 10.1.2.3")
    daemon.log_path.rename(daemon.directory / "log.1")
    daemon.signal(signal.SIGUSR2)
    wait_until(daemon.log_path.exists, 3, "a new log file")
    daemon.ask("rec.test")
    daemon.wait_log("rec.test is 10.1.2.3")


@UNLIKE_REAL
def test_process_name(tmp_path: pathlib.Path) -> None:
    """Under the name dnsmasq it shows as dnsmasq to pidof and in argv[0]."""
    need(os.access("/usr/bin/python3", os.X_OK), "/usr/bin/python3")
    version = subprocess.run(["/usr/bin/python3", "-c", "import sys; print(sys.version_info >= (3, 10))"],
                             capture_output=True, text=True, check=True).stdout  # fmt: skip
    need(version == "True\n", "a system Python of 3.10 or newer")
    link, port = tmp_path / "dnsmasq", free_port()
    shutil.copy(PROGRAM, link)
    link.chmod(0o755)
    words = ["-k", "-C", "/dev/null", "-R", "-h", "-x", "", "-p", str(port), "-8", "/dev/null"]
    process = subprocess.Popen([str(link), *words])
    try:
        wait_until(lambda: ask(port, "version.bind", "TXT", "CH", seconds=1), 10, "an answer")
        assert pathlib.Path(f"/proc/{process.pid}/comm").read_text() == "dnsmasq\n"
        argv = pathlib.Path(f"/proc/{process.pid}/cmdline").read_bytes().split(b"\0")
        assert os.path.basename(argv[0]) == b"dnsmasq"
    finally:
        process.terminate()
        process.wait(5)


@UNLIKE_REAL
@pytest.mark.parametrize(
    "conf",
    [
        "interface=nosuch0\n",
        "interface=nosuch0\nbind-dynamic\n",
        "interface=nosuch0\nbind-interfaces\n",
        "listen-address=127.0.0.1,10.99.99.99\nbind-interfaces\n",
        "resolv-file=$DIR/no/such/dir/resolv.conf\n",
        "resolv-file=$DIR/dangling\n",
        "addn-hosts=$DIR/none\nhostsdir=$DIR/none.d\n",
        "servers-file=$DIR/none\n",
    ],
    ids=lambda text: text.strip().replace("\n", " ").replace("$DIR/", ""),
)
def test_missing_things_are_not_the_end(conf: str, make: MakeDaemon) -> None:
    daemon = make(("" if "resolv-file" in conf else "no-resolv\n") + "no-hosts\n" + REC + conf)
    (daemon.directory / "dangling").symlink_to(daemon.directory / "nowhere")
    daemon.start()
    assert daemon.ask("rec.test").rdatas() == ["10.1.2.3"]
    daemon.wait_log(r"nosuch0|10\.99\.99\.99|resolv\.conf|dangling|none")


# -- reloading -------------------------------------------------------------------


def test_reload_reads_hosts_again(make: MakeDaemon) -> None:
    daemon = make(ALONE + "addn-hosts=$DIR/hosts\n", files={"hosts": "10.0.0.1 a.test\n"}).start()
    assert daemon.ask("a.test").rdatas() == ["10.0.0.1"]
    daemon.write("hosts", "10.0.0.2 a.test\n10.0.0.3 b.test\n")
    daemon.signal(signal.SIGHUP)
    wait_until(lambda: daemon.ask("b.test").rdatas() == ["10.0.0.3"], 5, "the new file")
    assert daemon.ask("a.test").rdatas() == ["10.0.0.2"]


@UNLIKE_REAL
def test_reload_reads_the_configuration_again(make: MakeDaemon) -> None:
    daemon = make().start()
    daemon.conf_path.write_text(daemon.conf_path.read_text() + "host-record=new.test,10.1.2.4\nlocal-ttl=77\n")
    daemon.signal(signal.SIGHUP)
    wait_until(lambda: daemon.ask("new.test").rdatas() == ["10.1.2.4"], 5, "the new configuration")
    assert daemon.ask("rec.test").answer[0].ttl == 77


@UNLIKE_REAL
def test_a_broken_configuration_changes_nothing(make: MakeDaemon) -> None:
    daemon = make().start()
    good = daemon.conf_path.read_text()
    daemon.conf_path.write_text(good.replace("10.1.2.3", "10.9.9.9") + "nonsense\n")
    daemon.signal(signal.SIGHUP)
    line = len(good.splitlines()) + 1
    daemon.wait_log(rf"{re.escape(str(daemon.conf_path))}:{line}\b")
    assert daemon.ask("rec.test").rdatas() == ["10.1.2.3"]
    daemon.conf_path.write_text(good.replace("10.1.2.3", "10.9.9.9"))
    daemon.signal(signal.SIGHUP)
    wait_until(lambda: daemon.ask("rec.test").rdatas() == ["10.9.9.9"], 5, "the mended configuration")


@UNLIKE_REAL
def test_200_reloads_under_load_lose_nothing(make: MakeDaemon) -> None:
    with MockUpstream(any_address) as up:
        daemon = make(ALONE + REC + f"server={up.address}\n").start()
        names = ["rec.test", "a.test"] + [f"n{i}.test" for i in range(300)]
        with load(daemon.port, names) as result:
            for _ in range(200):
                daemon.signal(signal.SIGHUP)
                time.sleep(0.01)
            time.sleep(0.3)
        assert daemon.alive()
        assert (result.lost, result.bad) == (0, []) and result.answered > 200
        assert daemon.ask("rec.test").rdatas() == ["10.1.2.3"]


@UNLIKE_REAL
def test_a_block_list_loads_while_queries_are_answered(make: MakeDaemon) -> None:
    count = 150_000
    files = {"block.conf": "".join(f"local=/b{i}.block.test/\n" for i in range(count))}
    daemon = make(ALONE + REC + "conf-file=$DIR/block.conf\n", files=files).start(60)
    assert daemon.ask(f"x.b{count - 1}.block.test").rcode == "NXDOMAIN"
    daemon.write("block.conf", files["block.conf"] + "host-record=done.test,10.1.1.1\n")
    with load(daemon.port, ["rec.test"], gap=0.002) as result:
        daemon.signal(signal.SIGHUP)
        wait_until(lambda: daemon.ask("done.test").rcode == "NOERROR", 60, "the new list")
    assert (result.lost, result.bad) == (0, [])
    assert result.slowest < 1.0, f"a query waited {result.slowest:.2f} s"


# -- upstreams -------------------------------------------------------------------


def _unseen(result_of: Callable[[str], dnswire.DnsMessage | None], seconds: float, tag: str) -> tuple[list[str], float]:
    """Ask names never seen for some seconds; give the failures and the slowest."""
    failures, slowest, number = [], 0.0, 0
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        began = time.monotonic()
        reply = result_of(f"{tag}{number}.test")
        slowest = max(slowest, time.monotonic() - began)
        if reply is None or reply.rcode != "NOERROR":
            failures.append(f"{tag}{number}: {reply.rcode if reply else 'silence'}")
        number += 1
        time.sleep(0.01)
    return failures, slowest


@UNLIKE_REAL
@pytest.mark.parametrize("way", ["emptied", "removed", "half written"])
def test_a_resolver_file_in_trouble_fails_no_query(way: str, make: MakeDaemon) -> None:
    with port_53(any_address) as (first, second):
        daemon = make("no-hosts\nresolv-file=$DIR/resolv\n", files={"resolv": f"nameserver {first.host}\n"}).start()
        assert daemon.ask("before.test").rcode == "NOERROR"
        path = daemon.directory / "resolv"
        if way == "removed":
            path.unlink()
        else:
            path.write_text("" if way == "emptied" else "# wri")
        # NetworkManager leaves the file empty for five seconds.
        gap = 5.2 if way == "emptied" else 1.5
        failures, _ = _unseen(lambda name: ask(daemon.port, name, seconds=2), gap, "gap")
        assert failures == []
        fresh = daemon.directory / "resolv.new"
        fresh.write_text(f"nameserver {second.host}\n")
        fresh.rename(path)
        time.sleep(1.0)
        before = len(second.seen)
        failures, _ = _unseen(lambda name: ask(daemon.port, name, seconds=2), 0.3, "after")
        assert failures == [] and len(second.seen) > before


@UNLIKE_REAL
def test_one_of_two_upstreams_dies(make: MakeDaemon) -> None:
    """No query takes over a second, whichever of the two falls silent."""
    dead: set[int] = set()

    def zone_of(number: int) -> Callable[[dnswire.DnsQuestion, dnswire.DnsMessage], MockReply | None]:
        return lambda question, query: None if number in dead else any_address(question, query)

    with MockUpstream(zone_of(1)) as one, MockUpstream(zone_of(2)) as two:
        daemon = make(ALONE + f"server={one.address}\nserver={two.address}\n").start()
        for number in (1, 2):
            for warm in range(10):
                daemon.ask(f"warm{number}-{warm}.test")
            dead.clear()
            dead.add(number)
            failures, slowest = _unseen(lambda name: ask(daemon.port, name, seconds=3), 1.5, f"dead{number}-")
            assert failures == []
            assert slowest < 1.0


def test_an_upstream_that_refuses_the_port(make: MakeDaemon) -> None:
    with MockUpstream(any_address) as up:
        daemon = make(ALONE + f"server=127.0.0.1#{free_port()}\nserver={up.address}\n").start()
        failures, slowest = _unseen(lambda name: ask(daemon.port, name, seconds=3), 0.5, "refused")
        assert failures == [] and slowest < 1.0


@UNLIKE_REAL
def test_noerror_beats_servfail(make: MakeDaemon) -> None:
    def failing(question: dnswire.DnsQuestion, query: dnswire.DnsMessage) -> MockReply:
        return MockReply(rcode="SERVFAIL")

    def slow(question: dnswire.DnsQuestion, query: dnswire.DnsMessage) -> MockReply:
        reply = any_address(question, query)
        reply.delay = 0.05
        return reply

    with MockUpstream(failing) as bad, MockUpstream(slow) as good:
        daemon = make(ALONE + f"all-servers\nserver={bad.address}\nserver={good.address}\n").start()
        for number in range(5):
            assert daemon.ask(f"n{number}.test").rcode == "NOERROR"


def test_identical_questions_are_asked_once(make: MakeDaemon) -> None:
    def slow(question: dnswire.DnsQuestion, query: dnswire.DnsMessage) -> MockReply:
        reply = any_address(question, query)
        reply.delay = 0.1
        return reply

    with MockUpstream(slow) as up:
        daemon = make(ALONE + f"server={up.address}\n").start()
        socks = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(20)]
        try:
            for number, sock in enumerate(socks):
                sock.settimeout(3)
                sock.sendto(dnswire.build_query("same.test", id=number), ("127.0.0.1", daemon.port))
            for number, sock in enumerate(socks):
                reply = dnswire.parse(sock.recv(4096))
                assert reply.id == number and reply.rdatas() == ["198.18.0.1"]
        finally:
            for sock in socks:
                sock.close()
        assert up.count("same.test") == 1


def test_ports_and_ids_are_not_reused(make: MakeDaemon) -> None:
    with MockUpstream(any_address) as up:
        daemon = make(ALONE + f"server={up.address}\n").start()
        for number in range(40):
            daemon.ask(f"p{number}.test")
        assert len({item.peer[1] for item in up.seen}) > 20
        assert len({item.message.id for item in up.seen}) > 35


def test_case_is_kept_for_the_client(make: MakeDaemon) -> None:
    def mirror(question: dnswire.DnsQuestion, query: dnswire.DnsMessage) -> MockReply:
        return any_address(question, query)

    with MockUpstream(mirror) as up:
        conf = ALONE + f"server={up.address}\n" + ("do-0x20-encode\n" if OURS_KIND == "ours" else "")
        daemon = make(conf).start()
        name = "MixedCase.example.TEST"
        assert daemon.ask(name).question[0].name == name
        if OURS_KIND == "ours":
            asked = up.seen[0].message.question[0].name
            assert asked.lower() == name.lower()


def test_idle_connections_do_not_hinder(make: MakeDaemon) -> None:
    daemon = make().start()
    socks = []
    try:
        for _ in range(300):
            sock = socket.socket()
            sock.setblocking(False)
            socks.append(sock)
            try:
                sock.connect(("127.0.0.1", daemon.port))
            except BlockingIOError:
                continue
        for _ in range(50):
            assert daemon.ask("rec.test", seconds=1).rdatas() == ["10.1.2.3"]
    finally:
        for sock in socks:
            sock.close()


def test_misses_towards_a_dead_upstream_do_not_hinder(make: MakeDaemon) -> None:
    with MockUpstream(lambda question, query: None) as up:
        daemon = make(ALONE + REC + f"server={up.address}\n").start()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            for number in range(5000):
                sock.sendto(dnswire.build_query(f"m{number}.test"), ("127.0.0.1", daemon.port))
                if number % 250 == 0:
                    assert daemon.ask("rec.test", seconds=2).rdatas() == ["10.1.2.3"]
        wait_until(lambda: ask(daemon.port, "rec.test", seconds=1), 5, "an answer after the flood")
        daemon.wait_log("Maximum number of concurrent DNS queries reached")


def test_garbage_hurts_nobody(make: MakeDaemon) -> None:
    rng = random.Random(20260121)
    with MockUpstream(any_address) as up:
        daemon = make(ALONE + REC + f"server={up.address}\n").start()
        good = dnswire.build_query("rec.test", edns=1232)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.connect(("127.0.0.1", daemon.port))
            for number in range(3000):
                if number % 2:
                    packet = bytearray(good)
                    for _ in range(rng.randrange(1, 5)):
                        packet[rng.randrange(len(packet))] = rng.randrange(256)
                    data = bytes(packet[: rng.randrange(1, len(packet) + 1)])
                else:
                    data = rng.randbytes(rng.randrange(0, 200))
                sock.send(data)
                if number % 100 == 0:
                    assert udp_raw(good, daemon.port) is not None
        wait_until(lambda: ask(daemon.port, "rec.test", seconds=1), 5, "an answer after the garbage")
        assert daemon.alive()


def test_garbage_over_tcp_hurts_nobody(make: MakeDaemon) -> None:
    rng = random.Random(7)
    daemon = make().start()
    for _ in range(60):
        with socket.create_connection(("127.0.0.1", daemon.port), timeout=2) as sock:
            sock.sendall(rng.randbytes(rng.randrange(1, 100)))
    assert daemon.ask("rec.test", tcp=True).rdatas() == ["10.1.2.3"]


def test_several_questions_on_one_connection(make: MakeDaemon) -> None:
    daemon = make().start()
    query = dnswire.build_query("rec.test")
    with socket.create_connection(("127.0.0.1", daemon.port), timeout=3) as sock:
        for piece in (b"\0", bytes([len(query)]) + query[:5], query[5:] + bytes([0, len(query)]) + query):
            sock.sendall(piece)
            time.sleep(0.05)
        data = b""
        while len(data) < 2 * (2 + 42):
            data += sock.recv(4096)
    size = data[0] << 8 | data[1]
    assert dnswire.parse(data[2 : 2 + size]).rdatas() == ["10.1.2.3"]
    assert dnswire.parse(data[4 + size :]).rdatas() == ["10.1.2.3"]


# -- listening -------------------------------------------------------------------


def test_replies_leave_from_the_address_that_was_asked(make: MakeDaemon) -> None:
    daemon = make().start()
    for host in ("127.0.0.1", "127.0.0.2", "127.7.7.7"):
        # A connected socket hears nothing from another address.
        assert daemon_answers(daemon, host)
    assert daemon_answers(daemon, "::1")


def daemon_answers(daemon: Daemon, host: str) -> bool:
    return ask(daemon.port, "rec.test", host=host, seconds=1) is not None


def test_listen_address_binds_and_filters(make: MakeDaemon) -> None:
    for more in ("", "bind-interfaces\n", "bind-dynamic\n"):
        daemon = make(ALONE + REC + "listen-address=127.0.0.2\n" + more, host="127.0.0.2").start()
        assert daemon_answers(daemon, "127.0.0.2")
        assert ask(daemon.port, "rec.test", host="127.0.0.3", seconds=0.3) is None, more
        daemon.stop()


def test_bound_daemons_share_a_port(make: MakeDaemon) -> None:
    port = free_port()
    first = make(ALONE + "host-record=x.test,10.0.0.1\nbind-interfaces\nlisten-address=127.0.0.1\n", port=port).start()
    second = make(
        ALONE + "host-record=x.test,10.0.0.2\nbind-interfaces\nlisten-address=127.0.0.2\n", port=port, host="127.0.0.2"
    ).start()
    assert (first.ask("x.test").rdatas(), second.ask("x.test").rdatas()) == (["10.0.0.1"], ["10.0.0.2"])


def test_port_0_turns_dns_off(make: MakeDaemon) -> None:
    daemon = make(port=0).spawn()
    daemon.wait_log("DNS disabled")
    assert daemon.stop() == 0


@UNLIKE_REAL
def test_as_process_1_without_proc_and_sys(tmp_path: pathlib.Path) -> None:
    need(os.geteuid() == 0 and shutil.which("unshare"), "root and unshare")
    port = free_port()
    words = " ".join(program_command())
    script = "mount --make-rprivate / && umount -l /proc && { umount -l /sys || true; } && "
    script += f"exec {words} -k -C /dev/null -R -h -u root -x '' -p {port} --host-record=rec.test,10.1.2.3"
    process = subprocess.Popen(["unshare", "-m", "-p", "-f", "sh", "-c", script], stderr=subprocess.PIPE)
    try:
        time.sleep(0.2)
        if process.poll() is not None and b"unshare" in (process.stderr.read() if process.stderr else b""):
            pytest.skip("no namespaces here")
        reply = wait_until(lambda: ask(port, "rec.test", seconds=1), 10, "an answer")
        assert reply.rdatas() == ["10.1.2.3"]
    finally:
        subprocess.run(["pkill", "-TERM", "-P", str(process.pid)], check=False)
        time.sleep(0.3)
        process.kill()
        process.communicate()


def test_the_table_zone_of_the_mock() -> None:
    """The tests' own upstream says what it should."""
    zone = table_zone("a.test 5 CNAME b.test\nb.test 5 A 10.0.0.1")
    query = dnswire.parse(dnswire.build_query("a.test"))
    assert [item.rtype for item in zone(query.question[0], query).answer] == ["CNAME", "A"]
