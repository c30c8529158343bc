"""Section 60: files, interfaces, log sinks, processes."""

from __future__ import annotations

import os
import pathlib
import random
import resource
import select
import shutil
import socket
import stat
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import pydnsmasq
from harness import free_port, need, need_tool, wait_until
from netkit import Namespaces, inside
from shellkit import LogLines, descriptors

ROOT_ONLY = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


# -- the file system as a source ---------------------------------------------------


def test_source_reads_files_in_chunks(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "file"
    data = os.urandom(pydnsmasq.CONFIG_CHUNK * 2 + 17)
    path.write_bytes(data)
    chunks = list(pydnsmasq.SystemSource().read(str(path)))
    assert b"".join(chunks) == data and len(chunks) == 3


def test_source_on_what_is_not_there(tmp_path: pathlib.Path) -> None:
    source, path = pydnsmasq.SystemSource(), str(tmp_path / "none")
    for call in (lambda: list(source.read(path)), lambda: source.identity(path), lambda: source.listdir(path)):
        with pytest.raises(FileNotFoundError):
            call()
    assert not source.is_file(path) and not source.is_file(str(tmp_path))


def test_source_keeps_relative_paths(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After the daemon has gone to / a relative path still means the same file."""
    (tmp_path / "conf").write_text("here")
    monkeypatch.setattr(pydnsmasq.SystemSource, "_base", str(tmp_path))
    monkeypatch.chdir("/")
    assert b"".join(pydnsmasq.SystemSource().read("conf")) == b"here"


def test_source_identity_sees_through_names(tmp_path: pathlib.Path) -> None:
    (tmp_path / "a").write_text("x")
    (tmp_path / "b").symlink_to("a")
    os.link(tmp_path / "a", tmp_path / "c")
    (tmp_path / "d").write_text("x")
    source = pydnsmasq.SystemSource()
    kinds = {source.identity(str(tmp_path / name)) for name in "abc"}
    assert len(kinds) == 1 and source.identity(str(tmp_path / "d")) not in kinds


@pytest.mark.parametrize(
    ("command", "code", "output"),
    [("echo a; echo b", 0, b"a\nb\n"), ("exit 7", 7, b""), ("echo x; false", 1, b"x\n"), ("kill -9 $$", -9, b"")],
)
def test_source_runs_commands(command: str, code: int, output: bytes) -> None:
    before = descriptors()
    assert pydnsmasq.SystemSource().run(command) == (code, output)
    assert descriptors() == before


def test_users_and_groups() -> None:
    source = pydnsmasq.SystemSource()
    assert source.user_exists("root") and not source.user_exists("no-such-user-here")
    assert pydnsmasq.user_find("root") == (0, 0)
    assert pydnsmasq.group_find("no-such-group-here") is None
    assert pydnsmasq.user_find("nul\0name") is None and pydnsmasq.group_find("nul\0name") is None
    assert not source.group_exists("")


HOSTS_NAMES = {
    "b": True,
    "a": True,
    "c.conf": True,
    "#half": True,
    "half#": True,
    ".hidden": False,
    "backup~": False,
    "#auto#": False,
}


def test_directory_files(tmp_path: pathlib.Path) -> None:
    for name in HOSTS_NAMES:
        (tmp_path / name).write_text("")
    (tmp_path / "sub").mkdir()
    (tmp_path / "dangling").symlink_to("nowhere")
    (tmp_path / "link").symlink_to("a")
    found = [os.path.basename(path) for path in pydnsmasq.directory_files(str(tmp_path))]
    assert found == sorted([name for name, wanted in HOSTS_NAMES.items() if wanted] + ["link"])
    with pytest.raises(OSError):
        pydnsmasq.directory_files(str(tmp_path / "none"))


def test_error_text() -> None:
    assert pydnsmasq.error_text(OSError(2, "No such file or directory")) == "No such file or directory"
    assert pydnsmasq.error_text(OSError("words")) == "words"


# -- interfaces --------------------------------------------------------------------


def test_interfaces_are_those_of_the_kernel() -> None:
    addresses = pydnsmasq.interfaces_read()
    loopback = [at for at in addresses if at.address == b"\x7f\0\0\1"]
    assert loopback and loopback[0].interface == "lo" and loopback[0].loopback and loopback[0].prefix == 8
    for at in addresses:
        assert socket.if_nametoindex(at.interface) == at.index
        assert len(at.address) in (4, 16) and 0 <= at.prefix <= len(at.address) * 8


def test_interfaces_agree_with_ip() -> None:
    need(shutil.which("ip"), "ip")
    shown = subprocess.run(["ip", "-o", "addr", "show", "up"], capture_output=True, text=True, check=True).stdout
    theirs = {(line.split()[1], line.split()[3].split("/")[0]) for line in shown.splitlines() if "inet" in line}
    ours = {(at.interface, pydnsmasq.address_format(at.address)) for at in pydnsmasq.interfaces_read()}
    assert ours == theirs


def test_interfaces_where_netlink_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    class Refused(socket.socket):
        def __init__(self, *_: object) -> None:
            raise PermissionError(1, "Operation not permitted")

        def __del__(self) -> None: ...

    monkeypatch.setattr(pydnsmasq.socket, "socket", Refused)
    assert pydnsmasq.interfaces_read() == ()
    assert pydnsmasq.netlink_monitor() is None
    assert pydnsmasq.neighbour_mac(b"\x7f\0\0\1") == b""
    assert pydnsmasq.neighbours_read() == {}


def test_netlink_monitor_is_silent_until_something_changes() -> None:
    sock = pydnsmasq.netlink_monitor()
    assert sock is not None
    with sock:
        assert select.select([sock], [], [], 0.05)[0] == []
        with pytest.raises(BlockingIOError):
            sock.recv(1000)


def test_neighbour_of_nobody() -> None:
    assert pydnsmasq.neighbour_mac(socket.inet_aton("192.0.2.99")) == b""
    assert pydnsmasq.neighbour_mac(b"\x20\x01\x0d\xb8" + b"\0" * 12) == b""


REACHABLE, STALE, FAILED, NOARP, PERMANENT, INCOMPLETE = 0x02, 0x04, 0x20, 0x40, 0x80, 0x01
HARDWARE = b"\2\0\0\0\0\1"


def neighbour(address: bytes, hardware: bytes | None, state: int) -> tuple[int, bytes]:
    """A message of the neighbour table (RTM_NEWNEIGH)."""
    data = struct.pack("=BxxxiHBB", 2 if len(address) == 4 else 10, 1, state, 0, 0)
    data += struct.pack("=HH", 4 + len(address), 1) + address
    if hardware is not None:
        data += struct.pack("=HH", 4 + len(hardware), 2) + hardware + b"\0" * (-len(hardware) % 4)
    return 28, data


NEIGHBOURS: list[tuple[str, tuple[int, bytes], bool]] = [
    ("answers", neighbour(b"\x0a\0\0\1", HARDWARE, REACHABLE), True),
    ("answered", neighbour(b"\x0a\0\0\1", HARDWARE, STALE), True),
    ("set by hand", neighbour(b"\x0a\0\0\1", HARDWARE, PERMANENT), True),
    ("IPv6", neighbour(b"\xfe\x80" + b"\0" * 13 + b"\1", HARDWARE, REACHABLE), True),
    ("does not answer", neighbour(b"\x0a\0\0\1", HARDWARE, FAILED), False),
    ("has not answered", neighbour(b"\x0a\0\0\1", None, INCOMPLETE), False),
    ("no address needed", neighbour(b"\xe0\0\0\1", HARDWARE, NOARP), False),
    ("loopback", neighbour(b"\x7f\0\0\1", b"\0" * 6, REACHABLE), False),
    ("another message", (29, neighbour(b"\x0a\0\0\1", HARDWARE, REACHABLE)[1]), False),
    ("cut off", (28, neighbour(b"\x0a\0\0\1", HARDWARE, REACHABLE)[1][:11]), False),
]


@pytest.mark.parametrize(("message", "there"), [row[1:] for row in NEIGHBOURS], ids=[row[0] for row in NEIGHBOURS])
def test_neighbours(message: tuple[int, bytes], there: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    other = neighbour(b"\x0a\0\0\x63", b"\2\0\0\0\0\x63", STALE)
    monkeypatch.setattr(pydnsmasq, "_netlink_dump", lambda kind, family: [message, other])
    found = pydnsmasq.neighbours_read()
    assert found.pop(b"\x0a\0\0\x63") == b"\2\0\0\0\0\x63"
    assert list(found.values()) == [HARDWARE] * there


def test_neighbours_agree_with_ip() -> None:
    need(shutil.which("ip"), "ip")

    def agree() -> bool:
        shown = subprocess.run(["ip", "neigh", "show"], capture_output=True, text=True, check=True).stdout
        rows = [line.split() for line in shown.splitlines() if "lladdr" in line]
        present = {"REACHABLE", "STALE", "DELAY", "PROBE", "PERMANENT"}
        theirs = {(row[0], row[row.index("lladdr") + 1]) for row in rows if present & set(row)}
        ours = pydnsmasq.neighbours_read()
        return theirs == {(pydnsmasq.address_format(at), hardware.hex(":")) for at, hardware in ours.items()}

    wait_until(agree, 3, "the same neighbours")  # they come and go


# -- what tells that a directory has changed ---------------------------------------


def test_directories_signs(tmp_path: pathlib.Path) -> None:
    for name in ("a", "b", ".hidden", "old~"):
        (tmp_path / name).write_text("x")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "c").write_text("x")
    places = [str(tmp_path), str(tmp_path / "none"), str(tmp_path / "other")]
    before = pydnsmasq.directories_signs(places)
    assert sorted(before) == [str(tmp_path / name) for name in ("a", "b", "other/c")]
    assert pydnsmasq.directories_signs(places) == before
    status = (tmp_path / "a").stat()
    (tmp_path / "a").write_text("y")
    os.utime(tmp_path / "a", ns=(status.st_atime_ns, status.st_mtime_ns + 1))
    after = pydnsmasq.directories_signs(places)
    assert {path for path in before if before[path] != after[path]} == {str(tmp_path / "a")}
    (tmp_path / "new").write_text("x")
    (tmp_path / "new").rename(tmp_path / "b")
    assert pydnsmasq.directories_signs(places)[str(tmp_path / "b")] != after[str(tmp_path / "b")]


def test_signs_where_a_file_goes_meanwhile(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that vanishes between the list and the look does not hide the others."""
    for name in ("a", "b", "c"):
        (tmp_path / name).write_text("x")
    listed = pydnsmasq.directory_files(str(tmp_path))
    (tmp_path / "b").unlink()
    monkeypatch.setattr(pydnsmasq, "directory_files", lambda path: listed)
    assert sorted(pydnsmasq.directories_signs([str(tmp_path)])) == [str(tmp_path / "a"), str(tmp_path / "c")]


ATTRIBUTE_ROWS = [
    (b"", {}),
    (b"\x08\0\x01\0abcd", {1: b"abcd"}),
    (b"\x05\0\x01\0a\0\0\0\x08\0\x02\0wxyz", {1: b"a", 2: b"wxyz"}),
    (b"\x08\0\x01\x80abcd", {1: b"abcd"}),  # a flag bit in the type
    (b"\x03\0\x01\0abcd", {}),  # a length below its own header must not loop
    (b"\0\0\0\0\0\0\0\0", {}),
    (b"\xff\xff\x01\0ab", {1: b"ab"}),
]


@pytest.mark.parametrize(("data", "expected"), ATTRIBUTE_ROWS)
def test_netlink_attributes(data: bytes, expected: dict[int, bytes]) -> None:
    assert pydnsmasq.netlink_attributes(data) == expected


# -- who holds a port --------------------------------------------------------------


@pytest.mark.parametrize("tcp", [False, True])
def test_port_holder(tcp: bool) -> None:
    port = free_port()
    assert pydnsmasq.port_holder(port, tcp) == ""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM if tcp else socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", port))
        if tcp:
            sock.listen()
        words = pydnsmasq.port_holder(port, tcp)
        assert words.startswith("held by ") and f"(pid {os.getpid()})" in words
        assert pydnsmasq.port_holder(port, not tcp) == ""


def test_port_holder_of_a_child() -> None:
    port = free_port()
    code = f"import socket; s=socket.socket(socket.AF_INET6); s.bind(('::1',{port})); s.listen(); print(flush=1)"
    with subprocess.Popen([sys.executable, "-c", code + "; input()"], stdin=-1, stdout=-1) as child:
        assert child.stdout is not None
        child.stdout.readline()
        words = pydnsmasq.port_holder(port, True)
        child.kill()
    assert f"(pid {child.pid})" in words


# -- log sinks ---------------------------------------------------------------------


def test_file_sink(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "log"
    sink = pydnsmasq.FileSink(str(path), lambda: 77, "dnsmasq", False)
    sink(0.0, ["one", (3, "dhcp", "two")])
    assert path.read_text() == "dnsmasq[77]: one\ndnsmasq-dhcp[77]: two\n"
    assert path.stat().st_mode & 0o777 == 0o640
    path.rename(tmp_path / "log.1")
    sink(0.0, ["three"])
    assert not path.exists()
    before = descriptors()
    sink.reopen()
    sink(0.0, ["four"])
    assert descriptors() == before, "the old file stays open"
    assert path.read_text() == "dnsmasq[77]: four\n" and (tmp_path / "log.1").read_text().endswith("three\n")
    os.close(sink._fd)


def test_file_sink_keeps_the_old_file_when_the_new_one_fails(tmp_path: pathlib.Path) -> None:
    directory = tmp_path / "d"
    directory.mkdir()
    sink = pydnsmasq.FileSink(str(directory / "log"), lambda: 1, "dnsmasq", False)
    directory.rename(tmp_path / "moved")
    with pytest.raises(OSError):
        sink.reopen()
    sink(0.0, ["still"])
    assert (tmp_path / "moved" / "log").read_text() == "dnsmasq[1]: still\n"
    os.close(sink._fd)


def test_file_sink_refuses_what_it_cannot_open(tmp_path: pathlib.Path) -> None:
    with pytest.raises(OSError):
        pydnsmasq.FileSink(str(tmp_path), lambda: 1, "dnsmasq")


def test_file_sink_survives_odd_text(tmp_path: pathlib.Path) -> None:
    sink = pydnsmasq.FileSink(str(tmp_path / "log"), lambda: 0, "dnsmasq", False)
    sink(0.0, ["\udc80 lone surrogate", "x" * 100_000])
    lines = (tmp_path / "log").read_bytes().splitlines()
    assert len(lines) == 2 and len(lines[1]) <= pydnsmasq.LOG_LINE_MAX + 20
    os.close(sink._fd)


def test_file_sink_completes_partial_writes(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sink = pydnsmasq.FileSink(str(tmp_path / "log"), lambda: 0, "dnsmasq", False)
    real = os.write
    monkeypatch.setattr(pydnsmasq.os, "write", lambda fd, data: real(fd, data[:3]))
    sink(0.0, ["a line that takes several writes"])
    monkeypatch.undo()
    assert (tmp_path / "log").read_text() == "dnsmasq: a line that takes several writes\n"
    os.close(sink._fd)


def test_a_full_disk_raises_for_the_log_to_count() -> None:
    sink = pydnsmasq.FileSink("/dev/full", lambda: 0, "dnsmasq")
    with pytest.raises(OSError):
        sink(0.0, ["line"])
    os.close(sink._fd)


@ROOT_ONLY
def test_file_sink_gives_only_files_away(tmp_path: pathlib.Path) -> None:
    """A log file goes to the account; a device such as /dev/null keeps its owner."""
    sink = pydnsmasq.FileSink(str(tmp_path / "log"), lambda: 1, "dnsmasq")
    sink.own(65534, 65534)
    assert (tmp_path / "log").stat().st_uid == 65534
    os.close(sink._fd)
    device = tmp_path / "null"
    try:
        os.mknod(device, stat.S_IFCHR | 0o600, os.makedev(1, 3))
        sink = pydnsmasq.FileSink(str(device), lambda: 1, "dnsmasq")
    except OSError:
        pytest.skip("no device nodes here")
    sink.own(65534, 65534)
    assert device.stat().st_uid == 0
    os.close(sink._fd)


FACILITIES = [("daemon", 3), ("DAEMON", 3), ("kern", 0), ("local0", 16), ("local7", 23), ("ftp", 11), ("cron", 9)]


@pytest.mark.parametrize(("name", "number"), FACILITIES)
def test_facilities(name: str, number: int) -> None:
    assert pydnsmasq.LOG_FACILITIES[pydnsmasq.value_log_facility(name)] == number


def test_no_such_facility() -> None:
    for name in ("local8", "", "ntp"):
        with pytest.raises(pydnsmasq.ConfigError):
            pydnsmasq.value_log_facility(name)


def test_syslog_sink(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = str(tmp_path / "log")
    real = socket.socket

    class Elsewhere(real):
        def connect(self, address: object) -> None:
            super().connect(path if address == "/dev/log" else address)

    monkeypatch.setattr(pydnsmasq.socket, "socket", Elsewhere)
    sink = pydnsmasq.SyslogSink(3, lambda: 5, "dnsmasq")
    before = descriptors()
    with pytest.raises(OSError):
        sink(0.0, ["nobody listens"])
    assert descriptors() == before
    with real(socket.AF_UNIX, socket.SOCK_DGRAM) as server:
        server.bind(path)
        server.settimeout(2)
        sink(0.0, ["plain", (3, "dhcp", "an error")])
        assert server.recv(1000) == b"<30>dnsmasq[5]: plain"
        assert server.recv(1000) == b"<27>dnsmasq-dhcp[5]: an error"
    os.unlink(path)
    with pytest.raises(OSError):
        sink(0.0, ["it went away"])
    with real(socket.AF_UNIX, socket.SOCK_DGRAM) as server:
        server.bind(path)
        server.settimeout(2)
        sink(0.0, ["back again"])
        assert server.recv(1000).endswith(b"back again")
    assert sink._sock is not None
    sink._sock.close()


# -- the process -------------------------------------------------------------------


def test_descriptors_are_raised() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    code = (
        "import resource, pydnsmasq\n"
        f"resource.setrlimit(resource.RLIMIT_NOFILE, (64, {min(hard, 512) if hard > 0 else 512}))\n"
        "print(pydnsmasq.descriptors_raise(), resource.getrlimit(resource.RLIMIT_NOFILE)[0])\n"
    )
    path = str(pathlib.Path(pydnsmasq.__file__).parent)
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env={**os.environ, "PYTHONPATH": path}, check=True
    )
    assert done.stdout == "512 512\n"
    assert resource.getrlimit(resource.RLIMIT_NOFILE) == (soft, hard)


def test_memory_available_is_plausible(monkeypatch: pytest.MonkeyPatch) -> None:
    assert 1 << 20 < pydnsmasq.memory_available() < 1 << 50

    def unknown(name: str) -> int:
        raise ValueError(name)

    monkeypatch.setattr(pydnsmasq.os, "sysconf", unknown)
    assert pydnsmasq.memory_available() == 64 << 20


def test_pid_file(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "pid"
    path.symlink_to(tmp_path / "target")
    (tmp_path / "target").write_text("precious")
    pydnsmasq.pid_file_write(str(path), None)
    assert path.read_text() == f"{os.getpid()}\n" and not path.is_symlink()
    assert (tmp_path / "target").read_text() == "precious"
    pydnsmasq.pid_file_write(str(path), None)  # what was there goes
    with pytest.raises(OSError):
        pydnsmasq.pid_file_write(str(tmp_path / "no" / "pid"), None)


@ROOT_ONLY
def test_pid_file_belongs_to_the_account(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "pid"
    pydnsmasq.pid_file_write(str(path), (65534, 65534))
    assert (path.stat().st_uid, path.stat().st_mode & 0o777) == (65534, 0o644)


@ROOT_ONLY
def test_privileges_are_gone_for_good() -> None:
    code = (
        "import os, pydnsmasq\n"
        "pydnsmasq.privileges_drop(65534, 65534)\n"
        "print(os.getresuid(), os.getresgid(), os.getgroups())\n"
        "try:\n os.setuid(0)\nexcept OSError: print('gone')\n"
    )
    path = str(pathlib.Path(pydnsmasq.__file__).parent)
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env={**os.environ, "PYTHONPATH": path}, check=True
    )
    assert done.stdout == "(65534, 65534, 65534) (65534, 65534, 65534) []\ngone\n"


# -- what needs root -----------------------------------------------------------------


RIGHTS = """
import errno, os, socket, sys
import pydnsmasq as p

def refused(code, call, *arguments):
    try:
        call(*arguments)
    except OSError as error:
        assert error.errno == code, error
    else:
        raise AssertionError("nothing was refused")

MESSAGE = p.netfilter_probe_pack(1)
TABLE = p.netlink_pack(0xA00, 5, 2, b"\\1\\0\\0\\0")  # makes a table of nftables
rights = p.Rights()
netfilter = p.Netfilter(rights, p.Log())
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
six = socket.socket(socket.AF_INET6, socket.SOCK_STREAM)
"""
DONE_BY_A_HELPER = """
rights.helper = helper = p.RootHelper()
p.privileges_drop(65534, 65534)
refused(errno.EACCES, sock.bind, ("127.0.0.1", 53))
rights.bind(sock, ("127.0.0.1", 53))
assert sock.getsockname() == ("127.0.0.1", 53)
rights.bind(six, ("::1", 53, 0, 0))
assert six.getsockname()[:2] == ("::1", 53)
rights.mark(sock, 0xFFFFFFFE)
assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_MARK) & 0xFFFFFFFF == 0xFFFFFFFE
assert rights.netfilter(MESSAGE) == b""
netfilter.check()
with socket.socket() as other:
    refused(errno.EADDRNOTAVAIL, rights.bind, other, ("192.0.2.7", 53))
    rights.bind(other, ("127.0.0.1", 0))  # for this our own rights will do
REMOVE = p.netlink_pack(0xA02, 5, 2, bytes(4))
for request in TABLE, REMOVE, MESSAGE + TABLE, MESSAGE + REMOVE, p.netlink_pack(0x102, 5, 2, bytes(4)):
    refused(errno.EPERM, rights.netfilter, request)
for request in b"bind 127.0.0.1 54 0", b"mark 1":
    refused(errno.EBADF, helper.ask, request)
assert rights.netfilter(MESSAGE) == b"", "after all that it still serves"
"""
NOT_WITHOUT_ONE = """
os.setgroups([])
os.setgid(65534)
os.setuid(65534)
refused(errno.EACCES, rights.bind, sock, ("127.0.0.1", 53))
refused(errno.EPERM, rights.mark, sock, 7)
try:
    netfilter.check()
except p.StartError as error:
    assert error.code == 5 and "process is missing required capability NET_ADMIN" in str(error), error
else:
    raise AssertionError("Netfilter may be spoken to")
assert netfilter.add("set", [bytes(4)]) == [] == netfilter.add(p.NftSet(1, "t", "s"), [bytes(4)])
assert netfilter.connection_mark(False, (bytes(4), 53), (bytes(4), 4000)) == -1
"""
NOT_NEEDED_BY_ROOT = """
rights.bind(sock, ("127.0.0.1", 53))
rights.mark(sock, 7)
assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_MARK) == 7
netfilter.check()
"""
A_HELPER_THAT_DIES = """
rights.helper = helper = p.RootHelper()
rights.netfilter(MESSAGE)  # it has settled then
before = len(os.listdir(f"/proc/{helper._pid}/fd"))
for _ in range(20):
    refused(errno.EADDRNOTAVAIL, helper.ask, b"bind 192.0.2.7 0 0", sock)
    helper.ask(b"mark 3", sock)
assert len(os.listdir(f"/proc/{helper._pid}/fd")) == before, "it keeps what it is given"
assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_MARK) == 3
os.kill(helper._pid, 9)
os.waitpid(helper._pid, 0)
for _ in range(2):
    refused(errno.EPIPE, rights.netfilter, MESSAGE)
    refused(errno.EPIPE, helper.ask, b"mark 4", sock)
assert netfilter.add("set", [bytes(4)]) == []
assert netfilter.connection_mark(False, (bytes(4), 53), (bytes(4), 4000)) == -1
"""
A_HELPER_OUTLIVES_NOBODY = """
helper = p.RootHelper()
print(helper._pid)
"""


@pytest.fixture(scope="module")
def net(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Namespaces]:
    need_tool("ip", "nft", "ipset")
    made = Namespaces(tmp_path_factory.mktemp("net"), "nf")
    try:
        made.setup()
        yield made
    finally:
        made.close()


def script(net: Namespaces, text: str) -> str:
    """Run a program in the namespace; what it prints."""
    path = str(pathlib.Path(pydnsmasq.__file__).parent)
    done = net.run(net.names[0], "timeout", "60", "env", f"PYTHONPATH={path}", sys.executable, "-c", RIGHTS + text)
    assert done.returncode == 0, done.stderr
    return done.stdout


@ROOT_ONLY
@pytest.mark.parametrize(
    "text",
    [DONE_BY_A_HELPER, NOT_WITHOUT_ONE, NOT_NEEDED_BY_ROOT, A_HELPER_THAT_DIES],
    ids=["done by a helper", "not without one", "not needed by root", "a helper that dies"],
)
def test_rights(net: Namespaces, text: str) -> None:
    script(net, text)


@ROOT_ONLY
def test_a_helper_ends_with_its_daemon(net: Namespaces) -> None:
    pid = script(net, A_HELPER_OUTLIVES_NOBODY).strip()

    def gone() -> bool:
        try:
            return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
        except OSError:
            return True

    wait_until(gone, 5, "the end of the helper")


# -- sets and marks of the kernel ------------------------------------------------------

RULES = """
flush ruleset
table inet f {
    set a4 { type ipv4_addr; }
    set a6 { type ipv6_addr; }
    set i4 { type ipv4_addr; flags interval; elements = { 10.9.0.0/16 }; }
    set i6 { type ipv6_addr; flags interval; }
    set merged { type ipv4_addr; flags interval; auto-merge; elements = { 10.0.0.0-10.0.0.3 }; }
    set small { type ipv4_addr; size 1; }
    set timed { type ipv4_addr; flags timeout; timeout 1h; }
    set pair { type ipv4_addr . inet_service; }
    set port { type inet_service; }
    set fixed { type ipv4_addr; flags constant; elements = { 10.0.0.9 }; }
    map m4 { type ipv4_addr : ipv4_addr; }
    chain seen {
        type filter hook output priority -150
        udp dport 5000 ct mark set 5
        tcp dport 5000 ct mark set 0xfffffffe
    }
}
add table ip f
add set ip f a4 { type ipv4_addr; }
add table bridge f
add set bridge f a4 { type ipv4_addr; }
"""
IPSETS = """
create h hash:ip
create h6 hash:ip family inet6
create nets hash:net
create bits bitmap:ip range 10.0.0.0-10.0.0.255
create small hash:ip maxelem 1 hashsize 64
create ports hash:ip,port
"""


def nft(name: str, family: str = "inet", limit: int = 0, table: str = "f") -> pydnsmasq.NftSet:
    return pydnsmasq.NftSet(pydnsmasq.NFT_FAMILIES[family], table, name, limit)


class Sets:
    """The kernel's sets in a namespace, and a Netfilter that fills them."""

    def __init__(self, net: Namespaces) -> None:
        self._net = net
        self.log = LogLines()
        self.netfilter = self.inside(lambda: pydnsmasq.Netfilter(pydnsmasq.Rights(), self.log.log))
        self.inside(self.netfilter.check)  # opens its socket, which stays where it is

    def inside(self, call: Callable[[], Any]) -> Any:
        """Call something in the namespace."""
        with inside(self._net.names[0]):
            return call()

    def do(self, *words: str, text: str = "") -> None:
        command = ["ip", "netns", "exec", self._net.names[0], *words]
        subprocess.run(command, input=text, text=True, check=True, capture_output=True)

    def has(self, target: str | pydnsmasq.NftSet, address: str) -> bool:
        words = (
            ["ipset", "test", target, address]
            if isinstance(target, str)
            else ["nft", "get", "element", *target.words().split(), f"{{ {address} }}"]
        )
        return not self._net.run(self._net.names[0], *words).returncode

    def add(self, target: str | pydnsmasq.NftSet, *addresses: str) -> list[str]:
        taken = self.netfilter.add(target, [packed(one) for one in addresses])
        return [pydnsmasq.address_format(one) for one in taken]


def packed(address: str) -> bytes:
    return socket.inet_pton(socket.AF_INET6 if ":" in address else socket.AF_INET, address)


@pytest.fixture
def sets(net: Namespaces) -> Iterator[Sets]:
    if os.geteuid():
        pytest.skip("needs root")
    made = Sets(net)
    made.do("nft", "-f", "-", text=RULES)
    net.run(net.names[0], "ipset", "destroy")
    made.do("ipset", "restore", text=IPSETS)
    yield made
    sock = made.netfilter._rights._netlink
    assert sock is not None
    sock.close()


ONE, TWO, SIX, LAST = "10.0.0.1", "10.0.0.2", "fd00::1", "255.255.255.255"
SIX_LAST = "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"
IN_SETS: list[tuple[Any, str, str, str, str]] = [
    # set, addresses, those that are taken, those that must not be in the set, words of the log
    (nft("a4"), f"{ONE} {TWO} {ONE}", f"{ONE} {TWO} {ONE}", "10.0.0.3", ""),
    (nft("a4"), f"{ONE} {SIX} {TWO}", f"{ONE} {TWO}", "", ""),
    (nft("a6"), f"{ONE} {SIX}", SIX, "", ""),
    (nft("a4", "ip"), ONE, ONE, "", ""),
    (nft("a4", "bridge"), ONE, ONE, "", ""),
    (nft("i4"), f"{TWO} {ONE} {TWO}", f"{TWO} {ONE} {TWO}", "10.0.0.0 10.0.0.3 255.255.255.254", ""),
    (nft("i4"), f"0.0.0.0 {LAST}", f"0.0.0.0 {LAST}", "0.0.0.1 255.255.255.254", ""),
    (nft("i4"), f"10.9.0.7 10.8.255.255 10.10.0.0 {SIX}", "10.9.0.7 10.8.255.255 10.10.0.0", "10.8.255.254 10.10.0.1",
     ""),
    (nft("i6"), f"{SIX} {SIX_LAST} ::", f"{SIX} {SIX_LAST} ::", "fd00:: fd00::2 ::1", ""),
    (nft("merged"), f"10.0.0.4 {TWO}", f"10.0.0.4 {TWO}", "10.0.0.5 9.255.255.255", ""),
    (nft("timed"), f"{ONE} {ONE}", f"{ONE} {ONE}", "", ""),
    (nft("small"), f"{ONE} {TWO}", ONE, TWO, "nftset inet f small Error: the set is full"),
    (nft("fixed"), ONE, "", ONE, "nftset inet f fixed Error: "),
    (nft("pair"), ONE, "", "", "nftset inet f pair Error: its elements are no addresses"),
    (nft("port"), ONE, "", "", "nftset inet f port Error: its elements are no addresses"),
    (nft("m4"), ONE, "", "", "nftset inet f m4 Error: "),
    (nft("gone"), f"{ONE} {TWO}", "", "", "nftset inet f gone Error: No such file or directory"),
    (nft("a4", "ip6", 6), SIX, "", "", "nftset ip6 f a4 Error: No such file or directory"),
    (nft("a4", table="gone"), ONE, "", "", "nftset inet gone a4 Error: No such file or directory"),
    ("h", f"{ONE} {TWO} {ONE}", f"{ONE} {TWO} {ONE}", "10.0.0.3", ""),
    ("h6", f"{SIX} {SIX_LAST}", f"{SIX} {SIX_LAST}", "fd00::2", ""),
    ("nets", ONE, ONE, "10.0.0.3", ""),
    ("bits", f"{ONE} {TWO}", f"{ONE} {TWO}", "10.0.0.3", ""),
    ("small", f"{ONE} {TWO}", ONE, TWO, "ipset small Error: the set is full"),
    ("gone", f"{ONE} {TWO}", "", "", "ipset gone Error: No such file or directory"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("target", "addresses", "taken", "out", "words"), IN_SETS, ids=[f"{row[0]} {row[1][:24]}" for row in IN_SETS]
)
def test_addresses_in_sets(sets: Sets, target: Any, addresses: str, taken: str, out: str, words: str) -> None:
    assert sets.add(target, *addresses.split()) == taken.split()
    for address in taken.split():
        assert sets.has(target, address), address
    for address in out.split():
        assert not sets.has(target, address), address
    lines = sets.log.lines()
    assert len(lines) == bool(words) and all(line.startswith(words) for line in lines), lines


def test_a_set_for_the_other_family_is_no_error(sets: Sets) -> None:
    """dnsmasq says of an ipset that it added all; the kernel leaves out what does not fit."""
    assert sets.add("h", ONE, SIX, TWO) == [ONE, SIX, TWO] and sets.add("ports", ONE) == [ONE]
    assert sets.has("h", ONE) and sets.has("h", TWO)
    assert sets.add(nft("a4"), SIX) == []
    assert not sets.log.lines()


def test_a_set_that_is_not_there_is_told_once(sets: Sets) -> None:
    for _ in range(5):
        assert sets.add("gone", ONE) == [] == sets.add(nft("gone"), TWO, SIX)
    assert len(sets.log.lines()) == 2
    sets.do("nft", "add set inet f gone { type ipv4_addr; }")
    sets.do("ipset", "create", "gone", "hash:ip")
    assert sets.add("gone", ONE) == [ONE] and sets.add(nft("gone"), TWO) == [TWO]


def test_a_set_that_is_made_anew_as_another_kind(sets: Sets) -> None:
    """Without its end an address in a set of intervals would stand for all that follow it."""
    target = nft("a4")
    for flags, address in (("", ONE), ("flags interval;", TWO), ("", ONE), ("flags interval; auto-merge;", TWO)):
        sets.do("nft", "-f", "-", text=f"delete set inet f a4\nadd set inet f a4 {{ type ipv4_addr; {flags} }}")
        assert sets.add(target, address) == [address]
        assert sets.has(target, address)
        assert not any(sets.has(target, other) for other in ("10.0.0.3", "10.0.0.4", "128.0.0.1", LAST))
    sets.do("nft", "-f", "-", text="delete set inet f a4\nadd set inet f a4 { type ipv6_addr; }")
    assert sets.add(target, ONE, SIX) == [SIX]


def test_marks_of_connections(sets: Sets) -> None:
    local, other = (packed("127.0.0.1"), 5000), (packed("127.0.0.1"), 5001)

    def talk() -> dict[bool, Any]:
        out = {}
        for tcp, kind in ((False, socket.SOCK_DGRAM), (True, socket.SOCK_STREAM)):
            with socket.socket(socket.AF_INET, kind) as server, socket.socket(socket.AF_INET, kind) as client:
                server.bind(("127.0.0.1", 5000))
                if tcp:
                    server.listen()
                client.connect(("127.0.0.1", 5000))
                client.send(b"x")
                out[tcp] = (packed("127.0.0.1"), client.getsockname()[1])
        return out

    peers = sets.inside(talk)
    mark = sets.netfilter.connection_mark
    assert mark(False, local, peers[False]) == 5
    assert mark(True, local, peers[True]) == 0xFFFFFFFE
    assert not sets.log.lines()
    assert mark(True, other, peers[False]) == mark(False, other, peers[False]) == 0
    assert mark(False, (packed("::1"), 5000), (packed("::1"), 5000)) == 0
    assert sets.log.lines() == ["Conntrack connection mark retrieval failed: No such file or directory"]


def test_threads_do_not_get_each_other_s_answers(sets: Sets) -> None:
    names = [nft("a4"), nft("i4"), nft("gone"), "h", "gone"]
    wrong: list[Any] = []

    def work(seed: int) -> None:
        dice = random.Random(seed)
        for _ in range(150):
            target, address = dice.choice(names), f"10.{dice.randrange(9)}.{dice.randrange(256)}.{dice.randrange(256)}"
            taken = sets.add(target, address)
            if bool(taken) == ("gone" in str(target)):
                wrong.append((target, address, taken))

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


# -- dump files --------------------------------------------------------------------


def read_pcap(data: bytes) -> list[bytes]:
    assert struct.unpack_from("=IHHiIII", data) == (0xA1B2C3D4, 2, 4, 0, 0, 65535, 101)
    at, out = 24, []
    while at < len(data):
        _, _, kept, length = struct.unpack_from("=IIII", data, at)
        assert kept == length
        out.append(data[at + 16 : at + 16 + kept])
        at += 16 + kept
    return out


def ip_sum(packet: bytes) -> int:
    total = sum(struct.unpack("!10H", packet[:20]))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total


def test_packet_dump(tmp_path: pathlib.Path) -> None:
    path = str(tmp_path / "dump")
    v6 = socket.inet_pton(socket.AF_INET6, "fd00::1")
    for _ in range(2):  # the second time it goes on where the first ended
        dump = pydnsmasq.PacketDump(path, 0x05)
        dump.write(0x01, b"query", (b"\x0a\0\0\1", 1111), (b"\x0a\0\0\2", 53), 1000.25)
        dump.write(0x02, b"left out", (b"\x0a\0\0\1", 1111), (b"\x0a\0\0\2", 53), 1000.5)
        dump.write(0x04, b"six", (v6, 1111), (b"\x0a\0\0\2", 53), 1001.0)
        os.close(dump._fd)
    packets = read_pcap((tmp_path / "dump").read_bytes())
    assert len(packets) == 4
    four, six = packets[:2]
    assert four[0] == 0x45 and ip_sum(four) == 0xFFFF and four[12:20] == b"\x0a\0\0\1\x0a\0\0\2"
    assert struct.unpack_from("!HHH", four, 20) == (1111, 53, 13) and four[28:] == b"query"
    assert six[0] >> 4 == 6 and six[8:24] == v6 and six.endswith(b"six") and len(six) == 40 + 8 + 3


def test_packet_dump_refuses_a_foreign_file(tmp_path: pathlib.Path) -> None:
    (tmp_path / "dump").write_text("something else entirely")
    before = descriptors()
    with pytest.raises(pydnsmasq.StartError) as caught:
        pydnsmasq.PacketDump(str(tmp_path / "dump"), 1)
    assert caught.value.code == 3 and descriptors() == before
    assert (tmp_path / "dump").read_text() == "something else entirely"


def test_a_full_disk_ends_the_dump_only(tmp_path: pathlib.Path) -> None:
    dump = pydnsmasq.PacketDump(str(tmp_path / "dump"), 0xFF)
    full = os.open("/dev/full", os.O_WRONLY)
    os.dup2(full, dump._fd)
    os.close(full)
    for _ in range(2):
        dump.write(0x01, b"query", (b"\x0a\0\0\1", 1111), (b"\x0a\0\0\2", 53), 1.0)
    assert dump.mask == 0
    os.close(dump._fd)


def test_threads_that_work_together_share_a_cpu() -> None:
    """While they do so often; another load gives them all CPUs back, and one that has ended is no hindrance."""
    before, ended, done = os.sched_getaffinity(0), threading.Event(), threading.Event()
    share = pydnsmasq.CpuShare()
    gone = threading.Thread(target=share.join)
    gone.start()
    gone.join()
    seen: list[set[int]] = []

    def work() -> None:
        share.join()
        done.set()
        ended.wait(5)

    thread = threading.Thread(target=work)
    thread.start()
    done.wait(5)
    for rate in (10.0, 10_000.0, 9_000.0, 0.0):
        share.weigh(rate)
        seen.append(os.sched_getaffinity(thread.native_id or 0))
    ended.set()
    thread.join()
    assert seen == [before, {max(before)}, {max(before)}, before]
    assert os.sched_getaffinity(0) == before, "others stay where they are"
