"""Section 67: files and ways out of their directory, the ports, and many transfers in one thread."""

from __future__ import annotations

import contextlib
import errno
import os
import pathlib
import random
import socket
import stat
import sys
import threading
import time
import types
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import pydnsmasq as p
import tftpwire
from harness import free_port, need, wait_until
from shellkit import LogLines, descriptors, settings

ROOT = os.geteuid() == 0
SECRET, PUBLIC = b"secret\n", b"public\n"
ADDRESS = "127.0.0.1"


@pytest.fixture
def fds() -> Iterator[None]:
    """No descriptor is left open."""
    before = descriptors()
    yield
    assert descriptors() == before


def refused(open_: Callable[[], Any]) -> tuple[int, str]:
    with pytest.raises(p.TftpRefusal) as caught:
        open_()
    return caught.value.code, caught.value.text


# -- files ------------------------------------


class Tree:
    """A root with files in it, and secrets beside it."""

    def __init__(self, base: pathlib.Path) -> None:
        self.base, self.root, self.out = base, base / "root", base / "out"
        for directory in (self.root / "sub" / "deep", self.out / "deep", base / "rootless"):
            directory.mkdir(parents=True)
        for file in ("f", "F", "sub/f", "sub/deep/f", "a b", "..f", "caf\xe9"):
            (self.root / file).write_bytes(PUBLIC)
        for file in ("out/f", "out/deep/f", "rootless/f", "f"):
            (base / file).write_bytes(SECRET)
        for name, target in {
            # these stay inside
            "in": "sub/f", "in-dir": "sub", "in-chain": "in", "in-up": "sub/../f", "sub/up": "../f", "sub/up-dir": "..",
            "in-abs": f"{self.root}/sub/f", "in-abs-dir": f"{self.root}/sub", "in-dot": "./././f",
            "sub/deep/in-abs": f"{self.root}/a b",
            # these lead out
            "out": "../out/f", "out-dir": "../out", "out-chain": "out-dir/f", "out-chain2": "out-chain",
            "out-abs": f"{self.out}/f", "out-abs-dir": str(self.out), "out-root": "/", "out-up": "sub/../../out/f",
            "sub/out": "../../out/f", "out-twin": f"{base}/rootless/f", "out-back": "../root/../out/f",
            "out-proc": "/proc/self/root", "out-abs-up": f"{self.root}/../out/f", "sub/deep/out": "../../..",
            # these lead nowhere
            "loop": "loop", "loop1": "loop2", "loop2": "loop1", "gone": "nothing", "sub/loop": "../sub/loop/x",
        }.items():  # fmt: skip
            (self.root / name).symlink_to(target)
        self.files = p.TftpFiles()

    def get(self, name: str, secure: bool = True, lines: str = "", root: str = "") -> bytes:
        """Ask for a file as a request does; its octets."""
        root = root or str(self.root)
        path = p.tftp_path(settings(lines), root, name.encode("latin-1"))
        file = self.files.open(path, root, secure, "10.0.0.9")
        try:
            return bytes(file.read(0, 1000))
        finally:
            self.files.release(file)


@pytest.fixture
def tree(tmp_path: pathlib.Path) -> Tree:
    return Tree(tmp_path)


INSIDE = [
    "f", "/f", "//f", "./f", "sub/f", "sub//f", "sub/./f", "sub\\f", "a b", "..f", "sub/deep/f", "in", "in-dir/f",
    "in-chain", "in-up", "sub/up", "sub/up-dir/f", "in-abs", "in-abs-dir/deep/f", "in-dot", "in-dir/up",
    "in-dir/up-dir/in-dir/f", "sub/up-dir/sub/up-dir/sub/f", "sub/deep/in-abs",
]  # fmt: skip


@pytest.mark.parametrize("secure", [False, True])
@pytest.mark.usefixtures("fds")
def test_files_inside(tree: Tree, secure: bool) -> None:
    """Links may lead wherever they like as long as they stay."""
    for name in INSIDE:
        assert tree.get(name, secure) == PUBLIC, name
        assert tree.get(f"{tree.root}/{name}", secure) == PUBLIC, name
        assert tree.get(name, secure, root=f"{tree.root}/") == PUBLIC, name
    assert tree.get("SUB\\F", secure, "tftp-lowercase") == PUBLIC


def attacks(tree: Tree) -> list[str]:
    """Names that want to be somewhere else."""
    targets = ["out/f", "f", "rootless/f", "etc/passwd", "out/deep/f"]
    out = []
    for target in targets:
        for up in range(1, 5):
            for step in ("../", "..\\", "..//", ".././", "/../", "\\..\\", "sub/../../", "sub\\..\\..\\", "./../"):
                out.append(step * up + target)
        out += [f"/{target}", f"{tree.base}/{target}", f"\\{tree.base}\\{target}", f"{tree.root}/../{target}",
                f"{tree.root}\\..\\{target}", f"{tree.root}less/{target}", f"//{tree.base}/{target}",
                f"{tree.root}/sub/../../{target}", f"..{tree.base}/{target}", f"f\0/../../{target}",
                f"/..{tree.root}/../{target}"]  # fmt: skip
        for link in ("out-dir", "out-abs-dir", "out-root", "out-proc", f"out-root/{tree.base}", "sub/deep/out",
                     f"out-proc/{tree.base}", "in-dir/deep/out", "sub/deep/out/out", "sub/up-dir/out-dir"):  # fmt: skip
            out += [
                f"{link}/{target}",
                f"{link}/{target.rpartition('/')[2]}",
                f"{link}/./{target}",
                f"{link}//{target}",
            ]
    links = ["out", "out-chain", "out-chain2", "out-abs", "out-up", "sub/out", "out-twin", "out-back", "out-abs-up"]
    out += [*links, *(f"in-dir/../{one}" for one in links), *(f"sub/up-dir/{one}" for one in links)]
    return out + [one + "\0" for one in links] + [one + "/" for one in links]


@pytest.mark.usefixtures("fds")
def test_there_is_no_way_out(tree: Tree) -> None:
    """Some hundred attacks: with tftp-secure none of them reads a secret, and each is answered."""
    tried = attacks(tree)
    assert len(tried) > 200
    # Without links nothing would be worth attacking: see that they work.
    reached = 0
    for name in tried:
        for secure in (True, False):
            try:
                got = tree.get(name, secure)
            except p.TftpRefusal as refusal:
                assert refusal.code in (0, 1, 2) and "\0" not in refusal.text
                continue
            assert got == PUBLIC or not secure, name
            linked = any(part.startswith("out") for part in name.replace("\\", "/").split("/"))
            assert got == PUBLIC or linked, name
            reached += got != PUBLIC
    assert reached > 50


@pytest.mark.parametrize("name", ["out", "out-dir/f", "out-abs", "out-twin", "out-abs-up", "out-root/etc/passwd"])
def test_links_that_lead_out_are_refused(tree: Tree, name: str) -> None:
    assert refused(lambda: tree.get(name)) == (2, f"cannot access {tree.root}/{name}: Permission denied")
    if "passwd" not in name:
        assert tree.get(name, secure=False) == SECRET


@pytest.mark.parametrize(("name", "code", "text"), [
    ("nothing", 1, "file {}/nothing not found for 10.0.0.9"),
    ("sub/nothing", 1, "file {}/sub/nothing not found for 10.0.0.9"),
    ("gone", 1, "file {}/gone not found for 10.0.0.9"),
    ("sub", 0, "cannot read {}/sub: Is a directory"), ("sub/", 0, "cannot read {}/sub/: Is a directory"),
    ("/", 0, "cannot read {}/: Is a directory"), (".", 0, "cannot read {}/.: Is a directory"),
    ("in-dir", 0, "cannot read {}/in-dir: Is a directory"), ("f/x", 0, "cannot read {}/f/x: Not a directory"),
    ("f/", 0, "cannot read {}/f/: Not a directory"),
    ("loop", 0, "cannot read {}/loop: Too many levels of symbolic links"),
    ("loop1", 0, "cannot read {}/loop1: Too many levels of symbolic links"),
    ("sub/loop", 0, "cannot read {}/sub/loop: Too many levels of symbolic links"),
    ("x" * 300, 0, "cannot read {}/" + "x" * 300 + ": File name too long"),
    ("a\nb\xe9", 1, "file {}/ab not found for 10.0.0.9"), ("f\0", 1, "file {}/f not found for 10.0.0.9"),
])  # fmt: skip
@pytest.mark.parametrize("secure", [False, True])
@pytest.mark.usefixtures("fds")
def test_what_cannot_be_read(tree: Tree, secure: bool, name: str, code: int, text: str) -> None:
    assert refused(lambda: tree.get(name, secure)) == (code, text.format(tree.root))


@pytest.mark.parametrize("secure", [False, True])
@pytest.mark.usefixtures("fds")
def test_what_is_no_file(tree: Tree, secure: bool) -> None:
    """Pipes, sockets and devices: nobody waits for them, and nothing is read from them."""
    os.mkfifo(tree.root / "pipe", 0o644)
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(tree.root / "socket"))
    (tree.root / "socket").chmod(0o644)
    names = {"pipe": "it is no file", "socket": "No such device or address"}
    if ROOT:
        os.mknod(tree.root / "zero", stat.S_IFCHR | 0o644, os.makedev(1, 5))
        (tree.root / "zero").chmod(0o644)
        names["zero"] = "it is no file"
    for name, reason in names.items():
        code, text = refused(lambda: tree.get(name, secure))  # noqa: B023
        assert code == 0 and text.startswith(f"cannot read {tree.root}/{name}: ")
        assert text.endswith((reason, "Permission denied")) or name == "zero"  # a file system without devices


@pytest.mark.parametrize("secure", [False, True])
@pytest.mark.usefixtures("fds")
def test_the_rights_of_others_count_for_root(tree: Tree, secure: bool) -> None:
    need(ROOT, "root")
    for mode, served in ((0o644, True), (0o604, True), (0o640, False), (0o600, False), (0o004, True)):
        (tree.root / "f").chmod(mode)
        os.chown(tree.root / "f", 1234, 1234)
        if served:
            assert tree.get("f", secure) == PUBLIC
        else:
            assert refused(lambda: tree.get("f", secure)) == (2, f"cannot access {tree.root}/f: Permission denied")


@pytest.mark.usefixtures("fds")
def test_others_serve_their_own_files_only(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    """tftp-secure without root: the owner counts, not the rights; and not the owner of a link."""
    need(ROOT, "root")
    monkeypatch.setattr(p.os, "geteuid", lambda: 1234)
    os.chown(tree.root / "in", 1234, 1234, follow_symlinks=False)
    (tree.root / "f").chmod(0o600)
    os.chown(tree.root / "f", 1234, 0)
    assert tree.get("f") == tree.get("f", secure=False) == tree.get("in", secure=False) == PUBLIC
    assert refused(lambda: tree.get("in")) == (2, f"cannot access {tree.root}/in: Permission denied")
    assert refused(lambda: tree.get("sub/f"))[0] == 2


def test_the_root_may_be_a_link(tree: Tree) -> None:
    link = tree.base / "link"
    link.symlink_to("root")
    for name in INSIDE:
        assert tree.get(name, root=str(link)) == PUBLIC, name
    for name in attacks(tree):
        with contextlib.suppress(p.TftpRefusal):
            assert tree.get(name, root=str(link)) == PUBLIC, name


# -- races ------------------------------------


def swap(tree: Tree, what: str) -> Callable[[], None]:
    """Make something that, when called, puts a way out where there was none."""
    root, out = tree.root, tree.out

    def exchange(path: pathlib.Path, target: pathlib.Path) -> None:
        if not path.is_symlink():
            path.rename(tree.base / "aside")
            path.symlink_to(target)

    def move() -> None:
        if not (out / "moved").exists():
            (root / "sub" / "deep").rename(out / "moved")

    return {
        "the file": lambda: exchange(root / "sub" / "deep" / "f", out / "f"),
        "its directory": lambda: exchange(root / "sub" / "deep", out),
        "a directory above": lambda: exchange(root / "sub", out),
        "the root": lambda: exchange(root, out),
        "moved away": move,
    }[what]


class Interrupted:
    """The module os; before its call number `at` that looks at a file something happens."""

    def __init__(self, at: int, happens: Callable[[], None]) -> None:
        self.calls, self.at, self.happens = 0, at, happens

    def __getattr__(self, name: str) -> Any:
        found = getattr(os, name)
        if name not in ("open", "fstat", "readlink", "stat", "lstat"):
            return found

        def call(*arguments: Any, **more: Any) -> Any:
            if self.calls == self.at:
                self.happens()
            self.calls += 1
            return found(*arguments, **more)

        return call


@pytest.mark.parametrize("what", ["the file", "its directory", "a directory above", "the root", "moved away"])
@pytest.mark.parametrize("name", ["sub/deep/f", "in-abs-dir/deep/f", "sub/up-dir/sub/deep/f"])
@pytest.mark.usefixtures("fds")
def test_whatever_happens_between_two_looks(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, name: str, what: str
) -> None:
    """The walk to a file is interrupted at every place: it never comes to what lies outside."""
    at, calls = 0, 1
    while at <= calls:
        tree = Tree(tmp_path / str(at))
        watch = Interrupted(at, swap(tree, what))
        with monkeypatch.context() as patch:
            patch.setattr(p, "os", watch)
            try:
                path = f"{tree.root}/{name}"
                file = tree.files.open(path, str(tree.root), True, "10.0.0.9")
                # Before the first look the root is what it is.
                assert os.pread(file.fd, 100, 0) == PUBLIC or (what == "the root" and at < 2), at
                tree.files.release(file)
            except p.TftpRefusal:
                pass
        calls, at = watch.calls, at + 1
    assert at > 8


@pytest.mark.usefixtures("fds")
def test_a_race_against_a_swapping_thread(tree: Tree) -> None:
    """A directory is a link to the secrets every other moment; two thousand requests never see one."""
    here, aside, link = tree.root / "d", tree.root / "d.real", tree.root / "d.link"
    here.mkdir()
    (here / "f").write_bytes(PUBLIC)
    link.symlink_to(tree.out)
    over, turns = threading.Event(), [0]

    def run() -> None:
        while not over.is_set():
            here.rename(aside)
            link.rename(here)
            here.rename(link)
            aside.rename(here)
            turns[0] += 1

    seen = {PUBLIC: 0}
    interval = sys.getswitchinterval()
    thread = threading.Thread(target=run)
    thread.start()
    sys.setswitchinterval(1e-5)
    try:
        for _ in range(2000):
            with contextlib.suppress(p.TftpRefusal):
                got = tree.get("d/f")
                seen[got] = seen.get(got, 0) + 1
    finally:
        sys.setswitchinterval(interval)
        over.set()
        thread.join()
    assert set(seen) == {PUBLIC} and turns[0] > 10


# -- files that are shared, files that change ------------------------------------


@pytest.mark.usefixtures("fds")
def test_one_descriptor_for_a_file(tree: Tree) -> None:
    before, path, root = descriptors(), str(tree.root / "f"), str(tree.root)
    opened = [tree.files.open(one, root, True, "x") for one in (path, path, f"{root}/./f", f"{root}/in-up")]
    assert len({id(one) for one in opened}) == 1 and opened[0].users == 4 and descriptors() == before + 1
    other = tree.files.open(f"{root}/sub/f", root, True, "x")
    assert other is not opened[0] and descriptors() == before + 2
    for one in opened[1:]:
        tree.files.release(one)
    assert opened[0].read(0, 100) == PUBLIC
    tree.files.release(opened[0])
    tree.files.release(other)
    assert descriptors() == before and tree.files._open == {}
    again = tree.files.open(path, root, True, "x")
    assert again.read(0, 3) == PUBLIC[:3] and again.read(3, 100) == PUBLIC[3:] and again.read(100, 9) == b""
    tree.files.release(again)


def stamp(path: pathlib.Path) -> None:
    """Time passes for a file, also where its clock is coarse."""
    now = path.stat().st_mtime_ns + 10_000_000
    os.utime(path, ns=(now, now))


def replace(path: pathlib.Path) -> None:
    (path.parent / "new").write_bytes(PUBLIC)
    (path.parent / "new").rename(path)


def cut_secretly(path: pathlib.Path) -> None:
    """Its time is what it was."""
    before = path.stat().st_mtime_ns
    os.truncate(path, 3)
    os.utime(path, ns=(before, before))


CHANGES: dict[str, Callable[[pathlib.Path], Any]] = {
    "cut secretly": cut_secretly,
    "cut": lambda path: os.truncate(path, 3),
    "emptied": lambda path: path.write_bytes(b""),
    "grown": lambda path: os.truncate(path, 60_000),
    "touched": stamp,
    "replaced": replace,
    "removed": pathlib.Path.unlink,
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
@pytest.mark.usefixtures("fds")
def test_a_file_that_changes(tree: Tree, change: Callable[[pathlib.Path], Any]) -> None:
    path, root = tree.root / "f", str(tree.root)
    old = tree.files.open(str(path), root, True, "x")
    old.check()
    change(path)
    for look in (old.check, lambda: old.read(0, 10)):
        code, text = refused(look)
        assert code == 0 and text.startswith(f"cannot read {path}: the file ")
    if path.exists():
        new = tree.files.open(str(path), root, True, "x")
        assert new is not old and new.size == path.stat().st_size
        new.check()
        tree.files.release(new)
    tree.files.release(old)


# -- a server on loopback ------------------------------------

LO = p.InterfaceAddress("lo", socket.if_nametoindex("lo"), socket.inet_aton(ADDRESS), 8, loopback=True)
CONTENT = random.Random(66).randbytes(100_000)


class Script:
    """Notes what the script would hear."""

    def __init__(self) -> None:
        self.calls: list[list[str]] = []

    def put(self, call: Any) -> None:
        self.calls.append(call.arguments)
        assert call.variables == {}


def close(server: Any) -> None:
    """Give back what a daemon has until it ends."""
    for listener in server._listeners.values():
        listener.server_close()
    server._worker._poll.close()
    os.close(server._worker._wake)


class Server:
    """A TftpServer whose thread the test can end; port 69 is another one."""

    def __init__(self, root: pathlib.Path, text: str = "", interfaces: Any = (LO,)) -> None:
        self.root = root
        (root / "f").write_bytes(CONTENT)
        (root / "small").write_bytes(b"12345")
        self.log = LogLines()
        self.patch = pytest.MonkeyPatch()
        self.port = free_port()
        self.patch.setattr(p, "TFTP_PORT", self.port)
        self.text = text
        self.before = descriptors()
        self.server = p.TftpServer(self.config(text), interfaces, self.log.log, lambda sock, target: sock.bind(target))
        self.script = self.server.script = Script()  # type: ignore[assignment]
        self.server.listen(fatal=True)
        self.idle = descriptors()
        self._over = False
        self.turns = 0
        self._thread = threading.Thread(target=self.server._worker.serve, args=(self._goes_on,), daemon=True)

    def config(self, text: str) -> Any:
        return settings(f"enable-tftp\n{'' if 'tftp-root' in text else f'tftp-root={self.root}'}\n{text}\n")

    def _goes_on(self) -> bool:
        self.turns += 1
        return not self._over

    def use(self, text: str = "", interfaces: Any = None) -> None:
        """Reload; wait until it is done."""
        done = threading.Event()
        server = self.server
        server.use(self.config(text), server.interfaces if interfaces is None else interfaces)
        server._worker.soon(done.set)
        assert done.wait(5)

    def __enter__(self) -> Server:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over = True
        self.server._worker.soon(lambda: None)
        self._thread.join(5)
        assert not self._thread.is_alive(), "the loop does not end"
        for run in list(self.server._by_peer.values()):
            self.server._close(run)
        assert descriptors() == self.idle, "transfers leave descriptors behind"
        close(self.server)
        assert descriptors() == self.before
        self.patch.undo()
        assert "internal error" not in self.log.text()

    def client(self, host: str = ADDRESS) -> tftpwire.Client:
        return tftpwire.Client((host, self.port))

    def fetch(self, name: str = "f", host: str = ADDRESS, **more: Any) -> bytes:
        return tftpwire.fetch((host, self.port), name, **more)

    def stalled(self, name: str = "f") -> tftpwire.Client:
        """A client that asks, and then says no more."""
        client = self.client()
        client.ask(tftpwire.request(name))
        first = client.get()
        assert first is not None and str(first) == "DATA 1 of 512"
        return client

    def transfers(self) -> int:
        return len(self.server._by_peer)

    def wait_idle(self) -> None:
        wait_until(lambda: not self.transfers(), 5, "the end of all transfers")


OPTIONS: list[dict[str, int]] = [
    {}, {"blksize": 1468}, {"blksize": 65464}, {"windowsize": 4}, {"blksize": 1468, "windowsize": 16},
    {"blksize": 65464, "windowsize": 3}, {"blksize": 1000, "windowsize": 64, "tsize": 0, "timeout": 2}, {"blksize": 8},
]  # fmt: skip


def words(options: dict[str, int]) -> str:
    return " ".join(f"{key}={value}" for key, value in options.items())


@pytest.mark.parametrize("single", ["", "tftp-single-port"])
@pytest.mark.parametrize("options", OPTIONS, ids=words)
def test_a_file_arrives(tmp_path: pathlib.Path, options: dict[str, int], single: str) -> None:
    with Server(tmp_path, single) as server:
        for host in (ADDRESS, "::1"):
            assert server.fetch(host=host, options=options.items()) == CONTENT
            server.wait_idle()
        assert descriptors() == server.idle
        assert server.log.lines() == [f"sent {tmp_path}/f to {host}" for host in (ADDRESS, "::1")]
        assert server.script.calls == [["tftp", "100000", host, f"{tmp_path}/f"] for host in (ADDRESS, "::1")]


@pytest.mark.parametrize("single", ["", "tftp-single-port"])
def test_a_kernel_that_does_not_cut_windows(
    tmp_path: pathlib.Path, single: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = []
    monkeypatch.setattr(p, "_datagrams_send", lambda *_: bool(tried.append(1)))
    with Server(tmp_path, single) as server:
        assert server.fetch(options=[("blksize", 1000), ("windowsize", 16)]) == CONTENT
    assert len(tried) == 1 or single, "one refusal is enough"


def test_a_window_that_the_kernel_refuses_goes_in_pieces(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(p, "_UDP_SEGMENT", 9999)
    monkeypatch.setattr(p.TftpTransfer, "on_timer", lambda *_: ())  # nothing is sent twice
    with Server(tmp_path) as server:
        assert server.fetch(options=[("blksize", 1000), ("windowsize", 16)]) == CONTENT


def test_refusals_by_the_wire(tmp_path: pathlib.Path) -> None:
    """The client and the log hear the same; nothing stays open."""
    (tmp_path / "dir").mkdir()
    cases: dict[bytes, str | None] = {
        tftpwire.request("nothing"): f"ERROR 1 file {tmp_path}/nothing not found for {ADDRESS}",
        tftpwire.request("dir"): f"ERROR 0 cannot read {tmp_path}/dir: Is a directory",
        tftpwire.request("../x"): f"ERROR 2 cannot access {tmp_path}/../x: Permission denied",
        tftpwire.request("f", kind="WRQ"): f"ERROR 4 unsupported write request from {ADDRESS}",
        tftpwire.request("f", "mail"): f"ERROR 4 unsupported request from {ADDRESS}",
        tftpwire.request("f" * 3000): f"ERROR 4 unsupported request from {ADDRESS}",
        tftpwire.ack(1): f"ERROR 4 unsupported request from {ADDRESS}",
        b"\0": None,
        b"": None,
        # An ERROR is never answered with an ERROR: two servers would talk for ever.
        tftpwire.error(4, "unsupported request"): None,
        b"\0\5": None,
    }
    with Server(tmp_path) as server:
        for packet, expected in cases.items():
            with server.client() as client:
                client.ask(packet)
                client.ask(tftpwire.request("small"))
                seen = client.get()
                if expected is None:
                    assert str(seen) == "DATA 1 of 5", packet
                else:
                    assert str(seen) == expected
                    assert expected.split(maxsplit=2)[2] in server.log.lines()
        assert server.server._files._open.keys() <= {p._file_sign(os.stat(tmp_path / "small"))}


def test_quiet(tmp_path: pathlib.Path) -> None:
    with Server(tmp_path, "quiet-tftp") as server:
        with pytest.raises(tftpwire.TftpError, match="not found"):
            server.fetch("nothing")
        with pytest.raises(tftpwire.TftpError, match="denied"):
            server.fetch("../nothing")
        assert server.log.lines() == [f"cannot access {tmp_path}/../nothing: Permission denied"]


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_file_that_changes_ends_the_transfer(tmp_path: pathlib.Path, change: Callable[[pathlib.Path], Any]) -> None:
    with Server(tmp_path) as server, server.stalled() as client:
        change(tmp_path / "f")
        time.sleep(0.01)
        client.send(tftpwire.ack(1))
        seen = client.get()
        assert seen is not None and seen.kind == "ERROR" and seen.code == 0
        assert seen.text.decode().startswith(f"cannot read {tmp_path}/f: the file ")
        server.wait_idle()
        assert server.log.lines() == [seen.text.decode(), f"failed sending {tmp_path}/f to {ADDRESS}"]
        assert server.script.calls == []


ENDS: dict[str, tuple[str, bytes, list[str], list[str]]] = {
    "sent": ("small", tftpwire.ack(1), ["sent small to 127.0.0.1"], ["small"]),
    "broken off": ("f", tftpwire.error(8, "no"),
                   ["error 8 no received from 127.0.0.1", "failed sending f to 127.0.0.1"], []),
    "broken off with everything": ("small", tftpwire.error(0, "x"),
                                   ["error 0 x received from 127.0.0.1", "sent small to 127.0.0.1"], ["small"]),
}  # fmt: skip


@pytest.mark.parametrize("single", ["", "tftp-single-port"])
@pytest.mark.parametrize(("name", "packet", "lines", "called"), ENDS.values(), ids=ENDS)
def test_ends(
    tmp_path: pathlib.Path, name: str, packet: bytes, lines: list[str], called: list[str], single: str
) -> None:
    with Server(tmp_path, single) as server, server.client() as client:
        client.ask(tftpwire.request(name))
        assert client.get() is not None
        client.send(packet)
        server.wait_idle()
        assert [line.replace(f"{tmp_path}/", "") for line in server.log.lines()] == lines
        assert [call[3].removeprefix(f"{tmp_path}/") for call in server.script.calls] == called
        assert server.server._files._open == {}


def test_only_the_size_was_asked_for(tmp_path: pathlib.Path) -> None:
    """Firmware does that at each boot: it is no failure."""
    with Server(tmp_path) as server, server.client() as client:
        client.ask(tftpwire.request("f", options=[("tsize", 0)]))
        assert str(client.get()) == "OACK tsize=100000"
        client.send(tftpwire.error(8, "User aborted the transfer"))
        server.wait_idle()
        assert server.log.lines() == [f"error 8 User aborted the transfer received from {ADDRESS}"]


@pytest.mark.parametrize("single", ["", "tftp-single-port"])
def test_a_client_that_went_away_is_given_up(
    tmp_path: pathlib.Path, single: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its port is closed: what comes back of that ends nothing else, and does not keep the thread busy."""
    monkeypatch.setattr(p, "TFTP_PATIENCE", 0.4)
    monkeypatch.setattr(p, "TFTP_RESEND_START", 0.05)
    with Server(tmp_path, single) as server:
        server.stalled().__exit__()
        assert server.fetch() == CONTENT
        server.turns = 0
        server.wait_idle()
        wait_until(lambda: len(server.log.lines()) == 2, 3, "two lines")
        assert server.log.lines() == [f"sent {tmp_path}/f to {ADDRESS}", f"failed sending {tmp_path}/f to {ADDRESS}"]
        assert server.turns < 100


# -- wrong ports ------------------------------------


def test_strangers_do_no_harm(tmp_path: pathlib.Path) -> None:
    with Server(tmp_path) as server, server.stalled() as client, server.client() as stranger:
        stranger.server = client.peer  # type: ignore[assignment]
        for packet in (tftpwire.ack(1), b"x", tftpwire.request("f"), tftpwire.data(1, b"x"), b"\0\4\0\1" + bytes(3000)):
            stranger.ask(packet)
            assert str(stranger.get()) == f"ERROR 5 ignoring packet from {ADDRESS} (TID mismatch)"
            assert stranger.source == client.peer
        stranger.ask(tftpwire.error(0, "die"))
        assert stranger.get(0.1) is None, "an ERROR is not answered"
        client.send(tftpwire.ack(1))
        assert str(client.get()) == "DATA 2 of 512"
        assert server.log.lines() == [f"ignoring packet from {ADDRESS} (TID mismatch)"], "once is enough"
        client.send(tftpwire.error(0))


def test_a_flood_of_strangers_is_survived(tmp_path: pathlib.Path) -> None:
    with Server(tmp_path) as server, server.client() as client, server.client() as stranger:
        read = tftpwire.Transfer(client, "f", options=[("blksize", 100)])
        thread = threading.Thread(target=read.run)
        thread.start()
        wait_until(lambda: client.peer is not None, 5, "the first answer")
        while thread.is_alive():
            stranger.sock.sendto(tftpwire.ack(random.randrange(65536)), client.peer or ())
            stranger.receive(0.0001)
        thread.join()
        assert read.content == CONTENT and read.blocks == 1001


# -- requests that come again ------------------------------------


def test_a_request_that_comes_twice_is_one_transfer(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(p.TftpTransfer, "on_timer", lambda *_: ())  # answers are answers to requests
    with Server(tmp_path) as server, server.client() as client:
        for _ in range(3):
            client.ask(tftpwire.request("f"))
        seen = []
        for _ in range(3):
            seen.append((str(client.get()), client.source))
        assert len(set(seen)) == 1 and server.transfers() == 1
        for number in range(1, 197):
            client.send(tftpwire.ack(number))
            if number < 196:
                assert str(client.get()).startswith(f"DATA {number + 1} of")
        server.wait_idle()
        assert client.get(0.05) is None


@pytest.mark.parametrize("single", ["", "tftp-single-port"])
@pytest.mark.parametrize("name", ["f", "small"])
def test_who_begins_anew_is_served_anew(
    tmp_path: pathlib.Path, single: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Boot ROMs always use the same port."""
    monkeypatch.setattr(p, "TFTP_AGAIN", 0.0)
    with Server(tmp_path, single) as server, server.stalled() as client:
        client.send(tftpwire.ack(1))
        assert str(client.get()) == "DATA 2 of 512"
        client.ask(tftpwire.request(name))
        assert str(client.get()).startswith("DATA 1 of")
        expected = CONTENT if name == "f" else b"12345"
        assert tftpwire.Transfer(client, name).run() == expected


@pytest.mark.parametrize("ends", range(3))
def test_who_begins_anew_is_sent_to_again(tmp_path: pathlib.Path, ends: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is lost is sent again."""
    monkeypatch.setattr(p, "TFTP_RESEND_START", 0.05)
    monkeypatch.setattr(p, "interface_mtu", lambda name: time.sleep(0.02) or 1500)
    with Server(tmp_path) as server, contextlib.ExitStack() as stack:
        clients = [stack.enter_context(server.stalled()) for _ in range(3)]
        for client in clients:
            client.send(tftpwire.ack(1))
        clients[ends].send(tftpwire.error(0))
        wait_until(lambda: server.transfers() == 2, 5, "the end of one")
        for client in clients[:ends] + clients[ends + 1 :]:
            while client.get(0.02) is not None:
                pass
            client.ask(tftpwire.request("small"))
            assert [str(client.get(2)) for _ in range(3)] == ["DATA 1 of 5"] * 3
            client.send(tftpwire.ack(1))


def test_copies_of_a_request_do_no_harm(tmp_path: pathlib.Path) -> None:
    """A client repeats itself before it is answered; its copies must not break what was begun."""
    with (
        Server(tmp_path, "tftp-max=2") as server,
        server.stalled() as one,
        server.stalled() as two,
        server.client() as client,
    ):
        one.send(tftpwire.error(0))
        wait_until(lambda: server.transfers() == 1, 5, "room")
        for _ in range(3):
            client.ask(tftpwire.request("f"))
        assert str(client.get()) == "DATA 1 of 512"
        client.send(tftpwire.ack(1))
        assert "DATA 2 of 512" in [str(client.get(0.3)) for _ in range(4)]  # with a DATA 1 for each early copy
        two.send(tftpwire.error(0))
        time.sleep(0.05)
        client.send(tftpwire.ack(2))
        from_peer = []
        while (packet := client.get(0.3)) is not None:
            if client.source == client.peer:
                from_peer.append(str(packet))
        assert "DATA 3 of 512" in from_peer  # DATA 2 may have been sent again before


@pytest.mark.parametrize("single", ["", "tftp-single-port"])
def test_answers_come_from_the_address_that_was_asked(tmp_path: pathlib.Path, single: str) -> None:
    with Server(tmp_path, single) as server, server.client("127.0.0.2") as client:
        for name in ("nothing", "small"):
            client.ask(tftpwire.request(name))
            assert client.get() is not None and client.source[0] == "127.0.0.2"


def test_another_address_of_ours_is_another_server(tmp_path: pathlib.Path) -> None:
    """A client that gets no answer from one address tries the next, from the same port: it hears from that one."""
    with Server(tmp_path) as server, server.stalled() as client:
        client.server = ("127.0.0.2", server.port)
        client.ask(tftpwire.request("f"))
        assert str(client.get()) == "DATA 1 of 512"
        assert client.source[0] == "127.0.0.2"


# -- limits ------------------------------------


def test_full_and_free_again(tmp_path: pathlib.Path) -> None:
    """Beyond tftp-max requests are lost, all kinds of them; who asks again when there is room is served."""
    with Server(tmp_path, "tftp-max=3") as server, contextlib.ExitStack() as stack:
        busy = [stack.enter_context(server.stalled()) for _ in range(3)]
        waiting = [stack.enter_context(server.client()) for _ in range(4)]
        for client, packet in zip(waiting, ["f", "small", "nothing", "f"], strict=True):
            client.ask(tftpwire.request(packet))
        assert [client.get(0.05) for client in waiting] == [None] * 4
        assert server.transfers() == 3
        for client, number in zip(busy, range(3), strict=True):
            client.send(tftpwire.ack(1))
            assert str(client.get()) == "DATA 2 of 512", number
        busy[0].send(tftpwire.error(0))
        wait_until(lambda: server.transfers() == 2, 5, "room")
        assert waiting[0].get(0.05) is None
        for client, packet, answer in (
            (waiting[2], "nothing", "ERROR 1"), (waiting[1], "small", "DATA 1 of 5"), (waiting[0], "f", "None"),
        ):  # fmt: skip
            client.ask(tftpwire.request(packet))
            assert str(client.get(0.3)).startswith(answer)


def test_full_with_a_single_port(tmp_path: pathlib.Path) -> None:
    """There a request that finds no room is lost; transfers and repeated requests go on."""
    with Server(tmp_path, "tftp-max=2\ntftp-single-port") as server, contextlib.ExitStack() as stack:
        one, two = (stack.enter_context(server.stalled()) for _ in range(2))
        late = stack.enter_context(server.client())
        late.ask(tftpwire.request("small"))
        assert late.get(0.05) is None
        one.send(tftpwire.ack(1))
        assert str(one.get()) == "DATA 2 of 512" and one.source[1] == server.port
        two.ask(tftpwire.request("f"))
        assert str(two.get()) == "DATA 1 of 512"
        one.ask(tftpwire.request("f"))
        assert str(one.get()) == "DATA 1 of 512"
        one.send(tftpwire.error(0))
        wait_until(lambda: server.transfers() == 1, 5, "room")
        assert late.get(0.05) is None
        late.ask(tftpwire.request("small"))
        assert str(late.get()) == "DATA 1 of 5"


def test_an_ack_without_a_transfer_on_the_single_port(tmp_path: pathlib.Path) -> None:
    with Server(tmp_path, "tftp-single-port") as server, server.client() as client:
        client.ask(tftpwire.ack(1))
        assert str(client.get()) == f"ERROR 4 unsupported request from {ADDRESS}"


@pytest.mark.parametrize("after", ["tftp-max=2", "tftp-max=1\ntftp-single-port"])
def test_a_reload_while_all_places_are_taken(tmp_path: pathlib.Path, after: str) -> None:
    with Server(tmp_path, "tftp-max=1") as server, server.stalled() as busy, server.client() as late:
        late.ask(tftpwire.request("small"))
        server.use(after)
        if "single" in after:
            busy.send(tftpwire.error(0))
            wait_until(lambda: f"failed sending {tmp_path}/f to {ADDRESS}" in server.log.lines(), 5, "a free place")
        if late.get(0.5) is None:
            late.ask(tftpwire.request("small"))
            assert str(late.get(2)) == "DATA 1 of 5"


def free_range(count: int) -> int:
    """So many ports in a row that are free."""
    while True:
        first = free_port()
        with contextlib.ExitStack() as stack, contextlib.suppress(OSError):
            for port in range(first, first + count):
                stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)).bind((ADDRESS, port))
            return first


def test_ports_of_a_range(tmp_path: pathlib.Path) -> None:
    """The lowest free one is taken; what others hold is passed over; then there is none."""
    first = free_range(3)
    with contextlib.ExitStack() as stack:
        taken = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        taken.bind((ADDRESS, first + 1))
        server = stack.enter_context(Server(tmp_path, f"tftp-port-range={first + 2},{first}"))
        assert server.server._most() == 3
        clients = [stack.enter_context(server.stalled()) for _ in range(2)]
        assert [client.source[1] for client in clients] == [first, first + 2]
        late = stack.enter_context(server.client())
        late.ask(tftpwire.request("small"))
        assert late.get(0.1) is None
        wait_until(lambda: server.log.lines() == ["unable to get free port for TFTP"], 3, "the line")
        clients[0].send(tftpwire.error(0))
        wait_until(lambda: server.transfers() == 1, 3, "a free port")
        late.ask(tftpwire.request("small"))
        assert str(late.get()) == "DATA 1 of 5" and late.source[1] == first


@pytest.mark.parametrize(("lines", "most"), [
    ("", 50), ("tftp-max=7", 7), ("tftp-port-range=3000,3009", 10), ("tftp-port-range=3000,3000", 1),
    ("tftp-port-range=3000,3009\ntftp-max=4", 4), ("tftp-port-range=3000,3009\ntftp-single-port", 50),
    ("tftp-max=0", 1), ("tftp-max=5000", 125), ("tftp-max=5000\ntftp-single-port", 5000),
])  # fmt: skip
def test_how_many_at_once(lines: str, most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(p.resource, "getrlimit", lambda which: (1000, 1000))
    server = p.TftpServer(settings(f"enable-tftp\n{lines}\n"), (), LogLines().log, lambda sock, target: None)
    close(server)
    assert server._most() == most


def test_no_descriptors_left(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No socket for a transfer: it is said, and the file is closed."""
    with Server(tmp_path) as server, server.client() as client:
        port = p.TftpPort.__init__

        def failing(*_: object) -> None:
            raise OSError(errno.EMFILE, "Too many open files")

        monkeypatch.setattr(p.TftpPort, "__init__", failing)
        client.ask(tftpwire.request("f"))
        wait_until(lambda: server.log.lines() == ["no port for TFTP: Too many open files"], 3, "the line")
        assert server.server._files._open == {}
        monkeypatch.setattr(p.TftpPort, "__init__", port)
        assert server.fetch() == CONTENT


def test_a_request_is_served_while_another_transfer_is_busy(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One client asks for block after block without a pause; others have their whole file meanwhile."""
    monkeypatch.setattr(p, "TFTP_STAY", 0.9)  # longer than this client ever needs
    with Server(tmp_path) as server, server.client() as client:
        (tmp_path / "long").touch()
        os.truncate(tmp_path / "long", 4_000_000)
        over, done = threading.Event(), threading.Event()

        def run() -> None:
            client.ask(tftpwire.request("long", options=[("blksize", 8)]))
            packet = client.get()
            while packet is not None and not over.is_set():
                client.send(tftpwire.ack(packet.block))
                packet = client.get()
            client.send(tftpwire.error(0))
            done.set()

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        try:
            wait_until(server.transfers, 5, "the first transfer")
            for _ in range(3):
                assert server.fetch("small") == b"12345"
            assert not done.is_set()
        finally:
            over.set()
            thread.join(20)


def test_many_at_once(tmp_path: pathlib.Path) -> None:
    with Server(tmp_path, "tftp-max=24") as server:
        got: list[bytes] = []

        def run(number: int) -> None:
            with server.client() as client:
                options = [("blksize", 300 + number), ("windowsize", number % 5 + 1)]
                got.append(tftpwire.Transfer(client, "f", options=options, seconds=20).run())

        threads = [threading.Thread(target=run, args=(number,)) for number in range(24)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        assert got == [CONTENT] * 24
        server.wait_idle()
        assert server.server._files._open == {} and descriptors() == server.idle


@pytest.mark.parametrize("single", ["", "tftp-single-port"])
def test_garbage_by_the_thousand(tmp_path: pathlib.Path, single: str) -> None:
    dice = random.Random(69)
    pieces = [
        b"\0",
        b"\0\1",
        b"\0\2",
        b"\0\4",
        b"\0\5",
        b"f",
        b"f\0octet\0",
        b"small",
        b"blksize\09\0",
        b"\xff",
        b"/..",
    ]
    with Server(tmp_path, f"tftp-max=5\n{single}") as server:
        clients = [server.client() for _ in range(20)]
        for _ in range(2000):
            client = dice.choice(clients)
            packet = b"".join(dice.choice(pieces) for _ in range(dice.randrange(8)))
            near = client.peer if client.peer and dice.random() < 0.5 else client.server
            client.sock.sendto(packet, near)
            client.receive(0.0001)
            assert server.transfers() <= 5
        for client in clients:
            client.send(tftpwire.error(0)) if client.peer else None
            client.__exit__()
        for run in list(server.server._by_peer.values()):
            run.transfer.due = run.transfer.progress = 0.0  # long ago
        server.server._worker._next = 0.0
        server.server._worker.soon(lambda: None)
        wait_until(lambda: server.transfers() < 5, 5, "room")
        assert server.fetch() == CONTENT


# -- roots ------------------------------------


def test_directories_of_clients(tmp_path: pathlib.Path) -> None:
    lines = "tftp-unique-root=mac\ntftp-unique-root=ip"
    with Server(tmp_path, lines) as server:
        server.server.hardware_of = lambda packed: b"\2\0\0\0\0\1" if packed == socket.inet_aton(ADDRESS) else b""
        assert server.fetch("small") == b"12345"
        (tmp_path / "02-00-00-00-00-01").mkdir()
        (tmp_path / "02-00-00-00-00-01" / "small").write_bytes(b"by mac")
        assert server.fetch("small") == b"by mac"
        inside = tmp_path / ADDRESS / "02-00-00-00-00-01"
        inside.parent.mkdir()
        (inside.parent / "small").write_bytes(b"by ip")
        assert server.fetch("small") == b"by ip"
        inside.mkdir()
        (inside / "small").write_bytes(b"by both")
        assert server.fetch("small") == server.fetch(f"{inside}/small") == b"by both"
        with pytest.raises(tftpwire.TftpError, match="ERROR 1"):
            server.fetch("f")
        with pytest.raises(tftpwire.TftpError, match="ERROR 2"):
            server.fetch("../small")
        assert server.fetch("f", host="::1") == CONTENT


def test_directories_of_clients_are_within_the_root(tmp_path: pathlib.Path) -> None:
    """With tftp-secure a directory that is a link to elsewhere does not count as one of the root's."""
    outside = tmp_path / "out"
    (tmp_path / "root").mkdir()
    outside.mkdir()
    (outside / "small").write_bytes(SECRET)
    with Server(tmp_path / "root", "tftp-unique-root\ntftp-secure") as server:
        (tmp_path / "root" / ADDRESS).symlink_to("../out")
        with pytest.raises(tftpwire.TftpError, match="ERROR"):
            server.fetch("small")


def test_roots_of_interfaces(tmp_path: pathlib.Path) -> None:
    with Server(tmp_path, f"tftp-root=/nowhere\ntftp-root={tmp_path},lo\ntftp-root=/else,eth0") as server:
        assert server.fetch() == CONTENT


def test_no_root(tmp_path: pathlib.Path) -> None:
    with Server(tmp_path, 'tftp-root=""') as server:
        assert (
            server.fetch(f"{tmp_path}/f")
            == server.fetch(f"{tmp_path}/x/../f".lstrip("/").replace("x/../", ""))
            == CONTENT
        )


def test_the_mtu_of_the_interface(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(p, "interface_mtu", lambda name: {"lo": 1400}[name])
    with Server(tmp_path) as server:
        for host, size in ((ADDRESS, 1368), ("::1", 1348)):
            with server.client(host) as client:
                read = tftpwire.Transfer(client, "f", options=[("blksize", 65464)])
                assert read.run() == CONTENT and read.oack is not None and read.oack.value("blksize") == size


def test_interface_mtu() -> None:
    assert p.interface_mtu("lo") == int(pathlib.Path("/sys/class/net/lo/mtu").read_text())
    assert p.interface_mtu("none-such") == p.interface_mtu("") == p.interface_mtu("x" * 40) == 0


def test_roots_that_are_missing(tmp_path: pathlib.Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    lines = f"tftp-root={tmp_path}\ntftp-root={tmp_path}/none\ntftp-root={tmp_path}/file,eth0\n"
    found = [(root.path, root.interface, why) for root, why in p.tftp_roots_missing(settings("enable-tftp\n" + lines))]
    assert found == [
        (f"{tmp_path}/none", "", "No such file or directory"), (f"{tmp_path}/file", "eth0", "Not a directory"),
    ]  # fmt: skip
    assert p.tftp_roots_missing(settings(lines)) == [], "without enable-tftp nobody needs them"


# Lines -> what is said at start.
ANNOUNCED: list[tuple[str, list[str]]] = [
    ("", ["TFTP enabled  "]),
    ("tftp-root=/", ["TFTP root is /  "]),
    ("tftp-root=/\ntftp-secure", ["TFTP root is / secure mode "]),
    ("tftp-root=/\ntftp-single-port", ["TFTP root is /  single port mode"]),
    ("tftp-root=/\ntftp-single-port\ntftp-secure", ["TFTP root is / secure mode single port mode"]),
    ("tftp-root=/,eth0", ["TFTP enabled  "]),
    ("tftp-root=/none\ntftp-root=/no,eth0",
     ["TFTP root is /none  ", "warning: /none inaccessible", "warning: TFTP directory /no inaccessible"]),
    ("tftp-root=/\ntftp-port-range=3000,3009",
     ["TFTP root is /  ", "restricting maximum simultaneous TFTP transfers to 10"]),
]  # fmt: skip


@pytest.mark.parametrize(("lines", "expected"), ANNOUNCED)
def test_what_is_said_at_start(lines: str, expected: list[str]) -> None:
    log = LogLines()
    server = p.TftpServer(settings(f"enable-tftp\n{lines}\n"), (), log.log, lambda sock, target: None)
    server.announce()
    close(server)
    assert log.lines() == expected


# -- who is served, and where ------------------------------------

ETH0 = p.InterfaceAddress("eth0", 7, socket.inet_aton("10.0.0.1"), 24)
# Lines -> whether requests by lo and by eth0 are served.
ADMITTED: list[tuple[str, bool, bool]] = [
    ("enable-tftp", True, True), ("enable-tftp=eth0", False, True), ("enable-tftp=eth1", False, False),
    ("enable-tftp=eth*", False, True), ("enable-tftp=lo,eth0", True, True),
    ("enable-tftp=eth1\nenable-tftp=eth0", False, True),
    ("enable-tftp\ninterface=eth0", True, True), ("enable-tftp\ninterface=eth1", True, False),
    ("enable-tftp\nexcept-interface=eth0", True, False), ("enable-tftp\nexcept-interface=lo", False, True),
    ("enable-tftp\nlisten-address=10.0.0.1", False, True), ("enable-tftp\nno-dhcp-interface=eth0", True, False),
    ("enable-tftp=eth0\nno-dhcp-interface=eth0\nexcept-interface=eth0\ninterface=eth1", False, True),
    ("enable-tftp=eth0\nauth-server=a.test,eth0", False, False),
    ("enable-tftp\nauth-server=a.test,eth0\nauth-zone=a.test", True, False),
]  # fmt: skip


@pytest.mark.parametrize(("lines", "lo", "eth0"), ADMITTED)
def test_who_is_served(lines: str, lo: bool, eth0: bool) -> None:
    config = settings(lines + "\n")
    assert p.tftp_admits(config, LO, "lo", LO.address) is lo
    assert p.tftp_admits(config, ETH0, "eth0", ETH0.address) is eth0
    own = settings(lines + "\nbind-interfaces\n")
    hosts = {one.address for one in p.tftp_listeners(own, (LO, ETH0))}
    listed = "=eth" not in lines.partition("\n")[0] or "interface=eth1" not in lines
    if listed:  # the DNS server's own choice of addresses counts first
        assert hosts == {host for host, served in ((ADDRESS, lo), ("10.0.0.1", eth0)) if served}
    assert {one.address for one in p.tftp_listeners(config, (LO, ETH0))} == {"0.0.0.0", "::"}


def test_how_a_request_came() -> None:
    """Interface and address of ours; from this machine it is the interface that has the address."""
    six = p.InterfaceAddress("eth0", 7, socket.inet_pton(socket.AF_INET6, "fe80::1"), 64)
    server = p.TftpServer(settings("enable-tftp=eth0\n"), (LO, ETH0, six), LogLines().log, lambda sock, target: None)
    close(server)
    listeners = [types.SimpleNamespace(address_family=family) for family in (socket.AF_INET, socket.AF_INET6)]
    for index, local, peer, expected in (
        (7, "10.0.0.1", ("10.0.0.9", 2000), ("eth0", "10.0.0.9", ("10.0.0.1", 0))),
        (7, "10.0.0.77", ("10.0.0.9", 2000), ("eth0", "10.0.0.9", ("10.0.0.77", 0))),
        (LO.index, "10.0.0.1", ("10.0.0.1", 2000), ("eth0", "10.0.0.1", ("10.0.0.1", 0))),
        (LO.index, ADDRESS, (ADDRESS, 2000), None),
        (99, "10.0.0.77", ("10.0.0.9", 2000), None),
        (7, "fe80::1", ("fe80::9%eth0", 2000, 0, 7), ("eth0", "fe80::9", ("fe80::1", 0, 0, 7))),
        (7, "fd00::1", ("fd00::9", 2000, 0, 0), ("eth0", "fd00::9", ("fd00::1", 0, 0, 0))),
    ):
        number, ipv6 = index.to_bytes(4, sys.byteorder), ":" in local
        packed = socket.inet_pton(socket.AF_INET6 if ipv6 else socket.AF_INET, local)
        info = packed + number if ipv6 else number + packed + packed
        client = server._client(listeners[ipv6], peer, p.packet_info_read(info))
        assert (client and (client.interface, client.address, client.ours)) == expected, (index, local)


def test_who_is_not_served_hears_nothing(tmp_path: pathlib.Path) -> None:
    with Server(tmp_path) as server, server.client() as client:
        server.server.config = settings("enable-tftp=eth0\n")
        client.ask(tftpwire.request("f"))
        client.ask(tftpwire.request("f", kind="WRQ"))
        assert client.get(0.1) is None and server.log.lines() == [] and server.transfers() == 0


def test_listeners_follow_the_addresses(tmp_path: pathlib.Path) -> None:
    """bind-dynamic: an address comes and goes; transfers go on."""
    two = p.InterfaceAddress("lo", LO.index, socket.inet_aton("127.0.0.2"), 8, loopback=True)
    with Server(tmp_path, "bind-dynamic", (LO,)) as server, server.client("127.0.0.2") as client:
        client.ask(tftpwire.request("f"))
        assert client.get(0.1) is None
        server.use("bind-dynamic", (LO, two))
        assert tftpwire.Transfer(client, "small").run() == b"12345"
        with server.stalled() as busy:
            server.use("bind-dynamic", (LO,))
            client.ask(tftpwire.request("f"))
            assert client.get(0.1) is None
            busy.send(tftpwire.ack(1))
            assert str(busy.get()) == "DATA 2 of 512"
        assert server.fetch() == CONTENT


@pytest.mark.parametrize(("number", "words_"), [
    (errno.EADDRINUSE, "Address already in use"), (errno.EACCES, "for root only, start as root"),
])  # fmt: skip
def test_a_port_that_cannot_be_had(number: int, words_: str) -> None:
    log = LogLines()

    def bind(sock: socket.socket, target: Any) -> None:
        raise OSError(number, os.strerror(number))

    server = p.TftpServer(settings("enable-tftp\n"), (LO,), log.log, bind)
    before = descriptors()
    with pytest.raises(p.StartError) as caught:
        server.listen(fatal=True)
    assert caught.value.code == p.EXIT_NETWORK and words_ in str(caught.value)
    server.listen(fatal=False)
    assert words_ in log.text() and descriptors() == before
    close(server)


def test_nothing_ends_a_thread() -> None:
    log, turns = LogLines(), [ValueError("oops"), KeyError("again"), SystemExit()]
    server = p.TftpServer(settings("enable-tftp\n"), (LO,), log.log, lambda sock, target: None)
    close(server)

    def turn() -> None:
        raise turns.pop(0)

    server._worker._turn = turn  # type: ignore[method-assign]
    with pytest.raises(SystemExit):
        server._worker.serve()
    assert "oops" in log.text() and "again" in log.text()


def test_datagrams_of_a_window() -> None:
    """The kernel cuts them apart where they were put together, the last one may be shorter."""
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as near,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as far,
    ):
        far.bind((ADDRESS, 0))
        far.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        far.settimeout(3)
        near.connect(far.getsockname())
        for count, size, last in (
            (1, 10, 10),
            (2, 1472, 3),
            (64, 516, 516),
            (64, 12, 4),
            (100, 516, 4),
            (2, 40_000, 9),
        ):
            packets = [bytes((number,)) * size for number in range(count - 1)] + [b"z" * last]
            assert p._datagrams_send(near.sendmsg, packets, ([], p._MSG_DONTWAIT))
            assert [far.recv(65536) for _ in packets] == packets
        assert not p._datagrams_send(near.sendmsg, [b"x"], ([(socket.IPPROTO_UDP, 9999, b"")], 0))
        blocked = types.SimpleNamespace()

        def full(*_: object) -> int:
            blocked.seen = True
            raise BlockingIOError

        assert p._datagrams_send(full, [b"x", b"y"], ([], 0)) and blocked.seen, "what is lost comes again"
