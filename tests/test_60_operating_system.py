"""Section 60: files, interfaces, log sinks, processes."""

from __future__ import annotations

import os
import pathlib
import resource
import select
import shutil
import socket
import stat
import struct
import subprocess
import sys

import pytest

import pydnsmasq
from harness import free_port, need, wait_until
from shellkit import descriptors

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
