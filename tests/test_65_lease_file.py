"""Section 65: the lease file, whatever happens to the machine, and the thread that writes it."""

from __future__ import annotations

import contextlib
import errno
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import types
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import pydnsmasq
from harness import need, wait_until
from shellkit import LogLines, descriptors

NOBODY = 65534


# -- the lease file: what is on disk -----------------------------------------------

OLD = b"".join(b"1800000000 02:aa:00:00:00:%02x 10.5.0.%d old * \n" % (at, at) for at in range(40))
NEW = b"".join(b"1800000001 02:aa:00:00:01:%02x 10.5.1.%d a-new-name *\n" % (at, at) for at in range(60))
SHORT = b"1800000002 02:aa:00:00:02:01 10.5.2.1 s *\n"
TEXTS = {"grows": (OLD, NEW), "shrinks": (NEW, SHORT), "from nothing": (b"", NEW), "to nothing": (OLD, b"")}


class Cut(BaseException):
    """The machine stops here: no handler runs, nothing is tidied up."""


# What changes a file or a directory; `write` is cut off in its middle.
STEPS = "write ftruncate truncate fsync fdatasync rename replace unlink link posix_fallocate fchmod".split()


class Disk:
    """os, with the power switch: at step `at` (from 0) everything stops; errors by call; a note of each step."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._monkeypatch = monkeypatch
        self.errors: dict[str, int] = {}
        self.room = 1 << 40  # octets that fit on the disk
        self.at: int | None = None
        self.steps: list[str] = []
        for name in STEPS:
            if hasattr(os, name):
                monkeypatch.setattr(os, name, self._step(name, getattr(os, name)))

    def _step(self, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def step(*args: Any, **more: Any) -> Any:
            cut = self.at is not None and len(self.steps) == self.at
            self.steps.append(name)
            if cut and name != "write":
                raise Cut
            if name in self.errors:
                raise OSError(self.errors[name], os.strerror(self.errors[name]))
            if name == "write":
                return self._write(real, args[0], args[1], cut)
            if name == "posix_fallocate" and args[1] + args[2] > self.room:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return real(*args, **more)

        return step

    def _write(self, real: Callable[..., int], fd: int, data: bytes, cut: bool) -> int:
        if cut:
            real(fd, data[: len(data) // 2])
            raise Cut
        fits = max(self.room - os.lseek(fd, 0, os.SEEK_CUR), 0)
        if data and not fits:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        some = len(data) if len(data) < 1000 else len(data) // 2  # a write may always be a partial one
        return real(fd, data[: min(fits, some)])

    def refuse_renames(self, code: int) -> None:
        """Refuse them from now on, or with 0 let them work."""
        self.errors = {"rename": code, "replace": code} if code else {}

    def cut_at(self, step: int | None) -> None:
        self.at, self.steps = step, [] if step is not None else self.steps


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    return Disk(monkeypatch)


_opened: list[Any] = []


def lease_file(path: pathlib.Path, account: tuple[int, int] | None = None) -> Any:
    file = pydnsmasq.LeaseFile(str(path), account)
    _opened.append(file)
    return file


@pytest.fixture(autouse=True)
def _lease_files_are_closed() -> Iterator[None]:
    """A daemon has one for its whole life; tests have hundreds."""
    yield
    close_files()


def close_files() -> None:
    while _opened:
        file = _opened.pop()
        for fd in (file._fd, file._copy):
            if fd >= 0:
                os.close(fd)


def found(path: pathlib.Path) -> bytes:
    """What the next start finds."""
    result: bytes = lease_file(path).read()
    return result


def was_cut(file: Any, disk: Disk, step: int, text: bytes) -> bool:
    """Write with a cut at a step; False when the write was over before."""
    disk.cut_at(step)
    try:
        file.write(text)
    except Cut:
        return True
    finally:
        disk.cut_at(None)
    return False


NO_RENAME = {"mount point": errno.EBUSY, "root's directory": errno.EACCES, "other device": errno.EXDEV}
MODES = {"by rename": 0, "in place": errno.EBUSY}


def prepared(path: pathlib.Path, disk: Disk, mode: int, text: bytes) -> Any:
    """A lease file that holds `text`, in a place where renaming works or does not."""
    disk.refuse_renames(mode)
    file = lease_file(path)
    file.write(text)
    return file


@pytest.mark.parametrize("mode", MODES.values(), ids=MODES)
def test_what_is_written_is_there(mode: int, tmp_path: pathlib.Path, disk: Disk) -> None:
    path = tmp_path / "leases"
    file = prepared(path, disk, mode, b"")
    for text in (OLD, NEW, SHORT, b"", OLD):
        file.write(text)
        assert path.read_bytes() == text and found(path) == text
    left = {one.name for one in tmp_path.iterdir()} - {"leases", "leases.copy"}
    assert not left
    assert not (tmp_path / "leases.copy").exists() or not (tmp_path / "leases.copy").read_bytes()


@pytest.mark.parametrize("mode", MODES.values(), ids=MODES)
@pytest.mark.parametrize(("old", "new"), TEXTS.values(), ids=TEXTS)
def test_cut_off_at_any_step(old: bytes, new: bytes, mode: int, tmp_path: pathlib.Path, disk: Disk) -> None:
    """Wherever the power fails, the next start finds the old leases or the new ones, whole."""
    outcomes, step, cut = set(), 0, True
    while cut:
        path = tmp_path / str(step) / "leases"
        path.parent.mkdir()
        cut = was_cut(prepared(path, disk, mode, old), disk, step, new)
        outcomes.add(found(path))
        step += 1
    assert outcomes == {old, new} and step > 3


@pytest.mark.parametrize("later", MODES.values(), ids=[f"then {name}" for name in MODES])
@pytest.mark.parametrize("mode", MODES.values(), ids=MODES)
def test_cut_off_twice(mode: int, later: int, tmp_path: pathlib.Path, disk: Disk) -> None:
    """What one failure left over does no harm at the next; nor when the file is moved elsewhere in between."""
    bad, first, cut = [], 0, True
    while cut:
        second, again = 0, True
        while again:
            path = tmp_path / f"{first}-{second}" / "leases"
            path.parent.mkdir()
            cut = was_cut(prepared(path, disk, mode, OLD), disk, first, NEW)
            before = found(path)
            disk.refuse_renames(later)
            again = was_cut(lease_file(path), disk, second, SHORT)
            if found(path) not in ((before, SHORT) if again else (SHORT,)):
                bad.append((first, second))
            second += 1
            close_files()
        first += 1
    assert first > 3 and second > 3
    assert not bad, f"cut off at steps {bad[:10]}"


@pytest.mark.parametrize("mode", MODES.values(), ids=MODES)
def test_everything_is_synced(mode: int, tmp_path: pathlib.Path, disk: Disk) -> None:
    """A reply may leave when `write` returns: nothing waits in memory by then, and a new name is in its directory."""
    file = prepared(tmp_path / "leases", disk, mode, OLD)
    assert not was_cut(file, disk, 1000, NEW)
    steps = [step for number, step in enumerate(disk.steps) if step != "write" or disk.steps[number - 1] != "write"]
    if not mode:
        steps = [step for step in steps if step not in ("unlink", "fchmod")]
        assert steps == ["write", "fsync", "rename", "fsync"]
        return
    writes = [number for number, step in enumerate(steps) if step == "write"]
    assert len(writes) == 2, "the copy, then the file"
    assert "fsync" in steps[writes[0] : writes[1]], "the copy is on disk before the file is touched"
    assert "fsync" in steps[writes[1] :], "the file is on disk before the copy goes"
    assert steps[writes[1] :].index("fsync") < max(
        number for number, step in enumerate(steps[writes[1] :]) if step.endswith("truncate")
    )


@pytest.mark.parametrize("code", NO_RENAME.values(), ids=NO_RENAME)
def test_where_renaming_is_refused(code: int, tmp_path: pathlib.Path, disk: Disk) -> None:
    path = tmp_path / "leases"
    path.write_bytes(OLD)
    inode = path.stat().st_ino
    disk.refuse_renames(code)
    file = lease_file(path)
    file.write(NEW)
    assert path.read_bytes() == NEW and path.stat().st_ino == inode
    assert not (tmp_path / "leases.new").exists()


@pytest.mark.parametrize("code", [errno.EBUSY, errno.EACCES, errno.EROFS, errno.EPERM])
def test_renaming_that_works_no_longer(code: int, tmp_path: pathlib.Path, disk: Disk) -> None:
    """The directory changes hands, or was read-only for a while: what is written still goes into the file."""
    path = tmp_path / "leases"
    file = lease_file(path)
    file.write(OLD)
    disk.refuse_renames(code)
    with contextlib.suppress(OSError):
        file.write(NEW)
        assert path.read_bytes() == NEW, "nothing was said, and nothing written"
    disk.refuse_renames(0)
    file.write(SHORT)
    assert path.read_bytes() == SHORT and found(path) == SHORT


def test_a_file_that_was_replaced_by_somebody_else(tmp_path: pathlib.Path, disk: Disk) -> None:
    """An editor renames its own over it while the daemon runs: that one is written from then on."""
    path = tmp_path / "leases"
    file = prepared(path, disk, errno.EBUSY, OLD)
    (tmp_path / "edited").write_bytes(SHORT)
    disk.refuse_renames(0)
    os.rename(tmp_path / "edited", path)
    with contextlib.suppress(OSError):
        file.write(NEW)
    assert path.read_bytes() == NEW


@pytest.mark.parametrize("room", [0, 1, 700, len(OLD), len(OLD) + 7, len(NEW) - 1])
@pytest.mark.parametrize("mode", MODES.values(), ids=MODES)
def test_a_full_disk(mode: int, room: int, tmp_path: pathlib.Path, disk: Disk) -> None:
    """The error is told, nothing is lost by it, and when there is room again all is well."""
    path = tmp_path / "leases"
    file = prepared(path, disk, mode, OLD)
    disk.room = room
    with pytest.raises(OSError, match="No space left"):
        file.write(NEW)
    assert path.read_bytes() == OLD and found(path) == OLD
    assert not (tmp_path / "leases.new").exists(), "half a file takes up room"
    disk.room = 1 << 40
    file.write(NEW)
    assert path.read_bytes() == NEW and found(path) == NEW


@pytest.mark.parametrize("room", [len(OLD), len(OLD) + 7, len(NEW) - 1])
def test_a_full_disk_and_no_place_for_a_copy(room: int, tmp_path: pathlib.Path, disk: Disk,
                                             monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    monkeypatch.setattr(pydnsmasq.LeaseFile, "_copy_open", lambda self, account: -1)
    path = tmp_path / "leases"
    file = prepared(path, disk, errno.EACCES, OLD)
    assert not (tmp_path / "leases.copy").exists()
    disk.room = room
    with pytest.raises(OSError, match="No space left"):
        file.write(NEW)
    assert found(path) == OLD
    disk.room = 1 << 40
    file.write(SHORT)
    assert found(path) == SHORT


@pytest.mark.parametrize(("step", "code"), [("fsync", errno.EIO), ("write", errno.EIO), ("rename", errno.ENOSPC)])
def test_a_bad_disk(step: str, code: int, tmp_path: pathlib.Path, disk: Disk) -> None:
    """An error that has nothing to do with renaming is told, and does not change how the file is written."""
    path = tmp_path / "leases"
    file = prepared(path, disk, 0, OLD)
    before = descriptors()
    disk.errors[step] = code
    for _ in range(3):
        with pytest.raises(OSError):
            file.write(NEW)
    disk.refuse_renames(0)
    assert descriptors() == before and found(path) == OLD
    assert not was_cut(file, disk, 1000, NEW)
    assert "rename" in disk.steps and path.read_bytes() == NEW


def test_a_directory_that_cannot_be_synced(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some file systems know no fsync of a directory: the file is written all the same."""
    real = os.fsync

    def fsync(fd: int) -> None:
        if os.path.isdir(f"/proc/self/fd/{fd}"):
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        real(fd)

    need(os.path.isdir("/proc/self/fd"), "/proc")
    monkeypatch.setattr(os, "fsync", fsync)
    path = tmp_path / "leases"
    file = lease_file(path)
    for text in (OLD, NEW):
        file.write(text)
        assert found(path) == text


def test_a_directory_that_cannot_be_read(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The account may create files there and not list it: writing goes on by name."""
    real = os.open

    def opened(path: Any, flags: int, *more: Any, **named: Any) -> int:
        if flags & os.O_DIRECTORY:
            raise OSError(errno.EACCES, os.strerror(errno.EACCES))
        return real(path, flags, *more, **named)

    path = tmp_path / "leases"
    file = lease_file(path)
    monkeypatch.setattr(os, "open", opened)
    for text in (OLD, NEW, SHORT):
        file.write(text)
        assert path.read_bytes() == text


def test_a_file_keeps_its_permissions(tmp_path: pathlib.Path) -> None:
    """Who made it readable for few, or writable for a group, finds it so afterwards."""
    for mode in (0o600, 0o640, 0o664):
        path = tmp_path / f"{mode:o}"
        path.touch()
        path.chmod(mode)
        lease_file(path).write(OLD)
        assert path.stat().st_mode & 0o7777 == mode


def test_a_new_file_is_for_all_to_read(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "leases"
    file = lease_file(path)
    assert path.read_bytes() == b"" and path.stat().st_mode & 0o777 == 0o644
    file.write(OLD)
    assert path.stat().st_mode & 0o777 == 0o644


def test_a_symbolic_link_stays_one(tmp_path: pathlib.Path) -> None:
    (tmp_path / "flash").mkdir()
    target, link = tmp_path / "flash" / "leases", tmp_path / "leases"
    for present in (True, False):
        if present:
            target.write_bytes(OLD)
        link.symlink_to("flash/leases")
        file = lease_file(link)
        assert file.read() == (OLD if present else b"")
        file.write(NEW)
        assert link.is_symlink() and target.read_bytes() == NEW and not target.is_symlink()
        assert [one.name for one in (tmp_path / "flash").iterdir()] == ["leases"]
        assert [one.name for one in tmp_path.iterdir() if one.is_file()] == ["leases"]
        link.unlink()
        target.unlink()


@pytest.mark.parametrize("name", ["none/leases", "", "file/leases"])
def test_a_place_that_cannot_be(name: str, tmp_path: pathlib.Path) -> None:
    (tmp_path / "file").touch()
    before = descriptors()
    with pytest.raises(OSError):
        lease_file(tmp_path / name)
    assert descriptors() == before


def test_when_it_was_written(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "leases"
    assert abs(lease_file(path).written - time.time()) < 5, "an empty file says nothing"
    os.utime(path, (1000, 1000))
    assert abs(lease_file(path).written - time.time()) < 5
    path.write_bytes(OLD)
    os.utime(path, (1000, 1000))
    assert lease_file(path).written == 1000


def test_lines_that_make_no_sense_are_kept(tmp_path: pathlib.Path) -> None:
    file = lease_file(tmp_path / "leases")
    assert file.keep_bad([b"one \xff", b"two"]) == str(tmp_path / "leases.bad")
    file.keep_bad([b"three"])
    assert (tmp_path / "leases.bad").read_bytes() == b"one \xff\ntwo\nthree\n"


# -- whose file it is --------------------------------------------------------------

# (owner, group, mode) of a directory -> whether account 1000:100 may create files there.
DIRECTORIES = [
    ((0, 0, 0o755), False),
    ((0, 0, 0o777), True),
    ((0, 0, 0o1777), False),  # nor rename over a file of somebody else
    ((1000, 0, 0o755), True),
    ((1000, 0, 0o555), False),
    ((1000, 0, 0o077), False),
    ((0, 100, 0o775), True),
    ((0, 100, 0o757), False),
    ((0, 100, 0o720), False),  # write without search
    ((0, 0, 0o772), False),
]


@pytest.mark.parametrize(("row", "expected"), DIRECTORIES)
def test_may_create(row: tuple[int, int, int], expected: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    status = types.SimpleNamespace(st_uid=row[0], st_gid=row[1], st_mode=0o40000 | row[2])
    monkeypatch.setattr(os, "stat", lambda path: status)
    assert pydnsmasq._may_create("/some/where", 1000, 100) is expected
    assert pydnsmasq._may_create("/some/where", 0, 0) is True


@pytest.fixture
def open_place() -> Iterator[pathlib.Path]:
    """A directory of root that every account can reach."""
    directory = pathlib.Path(tempfile.mkdtemp(prefix="pydnsmasq-leases-", dir="/tmp"))
    directory.chmod(0o755)
    yield directory
    shutil.rmtree(directory)


DROPPED = """
import os, sys, pydnsmasq
file = pydnsmasq.LeaseFile(sys.argv[1], (65534, 65534))
pydnsmasq.privileges_drop(65534, 65534)
for text in (b"one\\n" * 50, b"two\\n"):
    file.write(text)
    assert open(sys.argv[1], "rb").read() == text
    assert pydnsmasq.LeaseFile(sys.argv[1], None).read() == text
"""


def run_apart(source: str, path: pathlib.Path) -> None:
    """Run a program in a process of its own, which may change its account; it must end well."""
    root = str(pathlib.Path(pydnsmasq.__file__).parent)
    done = subprocess.run(
        [sys.executable, "-c", source, str(path)], capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": root, "PYTHONDONTWRITEBYTECODE": "1"},
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("owner", [0, NOBODY])
def test_an_account_that_is_not_root(owner: int, open_place: pathlib.Path) -> None:
    """As root the file is opened, as another account it is written: in a directory of its own, or of root."""
    need(os.geteuid() == 0, "root")
    os.chown(open_place, owner, -1)
    path = open_place / "leases"
    run_apart(DROPPED, path)
    assert path.read_bytes() == b"two\n" and path.stat().st_uid == NOBODY
    names = {one.name: one.stat().st_uid for one in open_place.iterdir()}
    assert names == ({"leases": NOBODY} if owner else {"leases": NOBODY, "leases.copy": NOBODY})


BEHIND = """
import os, sys, pydnsmasq
file = pydnsmasq.LeaseFile(sys.argv[1], (65534, 65534))
pydnsmasq.privileges_drop(65534, 65534)
for text in (b"one\\n" * 50, b"two\\n"):
    file.write(text)
"""


@pytest.mark.parametrize("owner", [0, NOBODY])
def test_an_account_that_cannot_reach_the_file(owner: int, open_place: pathlib.Path) -> None:
    """The file was opened as root, in a directory that is shut to others: it is written by what is open."""
    need(os.geteuid() == 0, "root")
    path = open_place / "shut" / "inner" / "leases"
    path.parent.mkdir(parents=True)
    path.parent.parent.chmod(0o700)
    os.chown(path.parent, owner, -1)
    path.write_bytes(OLD)
    run_apart(BEHIND, path)
    assert path.read_bytes() == b"two\n" and found(path) == b"two\n"


def test_an_account_cut_off(open_place: pathlib.Path, disk: Disk) -> None:
    """In root's directory the file is rewritten in place from the first time on, and a cut does no harm there."""
    need(os.geteuid() == 0, "root")
    step, cut = 0, True
    while cut:
        path = open_place / str(step) / "leases"
        path.parent.mkdir()
        file = lease_file(path, (NOBODY, NOBODY))
        file.write(OLD)
        cut = was_cut(file, disk, step, NEW)
        assert lease_file(path, (NOBODY, NOBODY)).read() in (OLD, NEW)
        step += 1
    assert step > 3 and not {"rename", "replace"} & set(disk.steps)


def test_a_file_system_without_owners(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On FAT, or NFS as a stranger, the file cannot be given away; it is open and can be written."""

    def refused(*_: object) -> None:
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    for name in ("chown", "fchown"):
        monkeypatch.setattr(os, name, refused)
    monkeypatch.setattr(os, "getuid", lambda: 0)
    path = tmp_path / "leases"
    file = lease_file(path, (1000, 1000))
    file.write(OLD)
    assert path.read_bytes() == OLD


# -- the writer --------------------------------------------------------------------


class FakeFile:
    """A lease file whose writes are told and may be held up or fail."""

    path = "/some/leases"

    def __init__(self) -> None:
        self.texts: list[bytes] = []
        self.events: list[str] = []
        self.gate = threading.Event()
        self.gate.set()
        self.error: Exception | None = None

    def write(self, text: bytes) -> None:
        self.events.append("begin")
        assert self.gate.wait(5)
        if self.error is not None:
            self.events.append("failed")
            raise self.error
        self.texts.append(text)
        self.events.append("written")


class WriterKit:
    """A LeaseWriter on a FakeFile and a real table; replies are noted in the order of the file's events."""

    def __init__(self) -> None:
        self.file = FakeFile()
        self.log = LogLines()
        self.table = pydnsmasq.LeaseTable(5000)
        self.sent: list[str] = []
        self.writer = pydnsmasq.LeaseWriter(self.file, self.table, self.send, self.log.log)
        self.writer.start()

    def send(self, reply: Any) -> None:
        self.sent.append(reply)
        self.file.events.append(reply)

    def lease(self, number: int) -> None:
        with self.table.lock:
            lease = self.table.add(0x0A050000 + number)
            self.table.set_client(lease, bytes((2, 0xAA, 0, 0, number >> 8, number & 255)), 1, b"")
            self.table.set_end(lease, 3600, time.monotonic())

    def put(self, number: int) -> None:
        """A lease and its reply."""
        self.lease(number)
        self.writer.put(f"reply {number}")

    def wait_sent(self, count: int) -> None:
        wait_until(lambda: len(self.sent) >= count, 5, f"{count} replies")

    @property
    def writes(self) -> int:
        return self.file.events.count("begin")


@pytest.fixture
def writer() -> Iterator[WriterKit]:
    kit = WriterKit()
    yield kit
    kit.file.gate.set()
    kit.writer.stop()
    wait_until(lambda: not kit.writer._thread.is_alive(), 5, "the writer's end")


def has(text: bytes, number: int) -> bool:
    return f" 10.5.{number >> 8}.{number & 255} ".encode() in text


def test_a_reply_leaves_after_its_lease_is_written(writer: WriterKit) -> None:
    for number in range(20):
        writer.put(number)
        writer.wait_sent(number + 1)
        assert has(writer.file.texts[-1], number)
        assert writer.file.events == ["begin", "written", f"reply {number}"]
        writer.file.events.clear()


def test_no_reply_leaves_while_the_disk_is_slow(writer: WriterKit) -> None:
    writer.file.gate.clear()
    writer.put(1)
    wait_until(lambda: writer.writes, 5, "the write to begin")
    writer.put(2)
    time.sleep(0.1)
    assert writer.sent == []
    writer.file.gate.set()
    writer.wait_sent(2)
    assert writer.file.events == ["begin", "written", "reply 1", "begin", "written", "reply 2"]
    assert not has(writer.file.texts[0], 2) and has(writer.file.texts[1], 2)


def test_many_replies_share_a_write(writer: WriterKit) -> None:
    writer.file.gate.clear()
    writer.put(0)
    wait_until(lambda: writer.writes, 5, "the write to begin")
    for number in range(1, 501):
        writer.put(number)
    writer.file.gate.set()
    writer.wait_sent(501)
    assert writer.sent == [f"reply {number}" for number in range(501)], "in their order"
    assert writer.writes == 2
    assert all(has(writer.file.texts[1], number) for number in range(501))


def test_putting_is_quick(writer: WriterKit) -> None:
    """The DHCP thread never waits for the disk."""
    writer.file.gate.clear()
    began = time.monotonic()
    for number in range(100):
        writer.put(number)
        writer.writer.poke()
    assert time.monotonic() - began < 2 and writer.sent == []


def test_a_change_without_a_reply_is_written(writer: WriterKit) -> None:
    writer.lease(7)
    writer.writer.poke()
    wait_until(lambda: writer.file.texts and has(writer.file.texts[-1], 7), 5, "the write")
    assert writer.sent == []


def test_a_flood_is_bounded(writer: WriterKit, monkeypatch: pytest.MonkeyPatch) -> None:
    """Clients repeat themselves: replies beyond the bound are lost, leases are not."""
    monkeypatch.setattr(pydnsmasq, "DHCP_HELD_MAX", 3)
    writer.file.gate.clear()
    writer.put(0)
    wait_until(lambda: writer.writes, 5, "the write to begin")
    for number in range(1, 10):
        writer.put(number)
    writer.file.gate.set()
    wait_until(lambda: len(writer.file.texts) == 2, 5, "both writes")
    writer.put(20)
    writer.wait_sent(5)
    assert writer.sent == [f"reply {number}" for number in (0, 1, 2, 3, 20)]
    assert has(writer.file.texts[1], 9)


def failing(code: int) -> OSError:
    return OSError(code, os.strerror(code))


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS])
def test_a_disk_that_fails_does_not_stop_dhcp(code: int, writer: WriterKit, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pydnsmasq, "LEASE_RETRY_SECONDS", 0.3)
    writer.file.error = failing(code)
    began = time.monotonic()
    writer.put(1)
    writer.wait_sent(1)
    assert writer.file.events == ["begin", "failed", "reply 1"]
    assert writer.log.lines() == [f"failed to write /some/leases: {os.strerror(code)} (retry in 0 s)"]
    writer.file.error = None
    wait_until(lambda: writer.file.texts, 5, "the retry")
    assert time.monotonic() - began >= 0.3 and has(writer.file.texts[0], 1)
    wait_until(lambda: writer.log.lines()[1:] == ["/some/leases is written again"], 2, "good news")
    time.sleep(0.4)
    assert writer.writes == 2, "once it is written there is nothing to retry"


def test_the_retry_is_a_minute_away(writer: WriterKit) -> None:
    writer.file.error = failing(errno.ENOSPC)
    writer.put(1)
    writer.wait_sent(1)
    assert writer.log.text().endswith("No space left on device (retry in 60 s)")
    time.sleep(0.2)
    assert writer.writes == 1
    writer.put(2)  # but whatever comes tries again at once
    writer.wait_sent(2)
    assert writer.writes == 2 and writer.log.text().count("failed to write") == 1, "said once in a while"


def test_an_error_that_should_not_be(writer: WriterKit) -> None:
    writer.file.error = RuntimeError("what is this")
    writer.put(1)
    writer.wait_sent(1)
    assert "internal error in leases" in writer.log.text() and "what is this" in writer.log.text()
    writer.file.error = None
    writer.put(2)
    writer.wait_sent(2)
    assert has(writer.file.texts[-1], 1) and has(writer.file.texts[-1], 2)


def test_a_reply_that_cannot_be_sent(writer: WriterKit) -> None:
    """Whatever goes wrong with one reply, the next ones leave."""
    send = writer.writer._send

    def odd(reply: Any) -> None:
        if reply == "reply 1":
            raise ValueError("odd reply")
        send(reply)

    writer.writer._send = odd
    writer.file.gate.clear()
    writer.put(0)
    wait_until(lambda: writer.writes, 5, "the write to begin")
    for number in (1, 2):
        writer.put(number)
    writer.file.gate.set()
    writer.wait_sent(2)
    writer.put(3)
    writer.wait_sent(3)
    assert writer.sent == ["reply 0", "reply 2", "reply 3"]


def test_stop_writes_what_is_left(writer: WriterKit) -> None:
    writer.file.gate.clear()
    writer.put(1)
    wait_until(lambda: writer.writes, 5, "the write to begin")
    writer.put(2)
    writer.lease(3)
    writer.writer.poke()
    threading.Timer(0.2, writer.file.gate.set).start()
    writer.writer.stop()
    assert not writer.writer._thread.is_alive()
    assert has(writer.file.texts[-1], 3) and writer.sent == ["reply 1", "reply 2"]


def test_stop_tries_once_more_what_failed(writer: WriterKit) -> None:
    writer.file.error = failing(errno.ENOSPC)
    writer.put(1)
    writer.wait_sent(1)
    writer.file.error = None
    writer.writer.stop()
    assert writer.file.texts and has(writer.file.texts[-1], 1)


def test_stop_does_not_wait_for_a_stuck_disk(writer: WriterKit, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pydnsmasq, "LEASE_STOP_SECONDS", 0.3)
    writer.file.gate.clear()
    writer.put(1)
    wait_until(lambda: writer.writes, 5, "the write to begin")
    began = time.monotonic()
    writer.writer.stop()
    assert time.monotonic() - began < 3
    assert writer.sent == []


def test_stop_with_nothing_to_do_writes_nothing(writer: WriterKit) -> None:
    writer.writer.stop()
    assert writer.writes == 0


def test_lines_that_did_not_change_are_not_made_anew(writer: WriterKit) -> None:
    """While the clock runs as it should, a write costs as much as its changes, not as there are leases."""
    for number in range(3):
        writer.lease(number)
    writer.writer.poke()
    wait_until(lambda: writer.file.texts, 5, "the first write")
    before = [lease.line for lease in writer.table.by_address.values()]
    for number in range(3, 8):
        writer.put(number)
        writer.wait_sent(number - 2)
    after = [lease.line for lease in writer.table.by_address.values()][:3]
    assert all(one is other for one, other in zip(before, after, strict=True))
