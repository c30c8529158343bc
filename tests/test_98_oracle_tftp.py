"""The same configuration, files and TFTP packets through dnsmasq and through pydnsmasq.

Each program has a pair of network namespaces of its own, alike down to the MAC
addresses (`netkit.Net`); both serve the same directory.  The cases and their
language are in `tftp_oracle_cases.py`.
"""

from __future__ import annotations

import contextlib
import os
import pathlib
import re
import shutil
import signal
import socket
import tempfile
import time
import urllib.parse
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import Any

import pytest

import tftpwire
from harness import OURS_KIND, REAL, Daemon, need, need_tool, wait_until
from netkit import Namespaces, Net, NetDaemon
from test_95_oracle_dhcp import list_differences
from tftp_oracle_cases import CASES, FILES, LINKS, MODES, STARTS, StartCase, TftpCase
from tftpwire import Client, TftpError, TftpWireError, Transfer

SILENCE_SECONDS = 0.08
REPLY_SECONDS = 8.0
LOG_SECONDS = 2.0
SERVER = "10.77.1.1"
MORE_WORDS = ("to", "mode", "at", "times")


# -- reading the cases ---------------------------------------------------------------


@dataclass
class Step:
    """One line of a case."""

    text: str
    client: str  # empty: one of its own
    verb: str
    words: list[str]
    more: dict[str, str]
    options: list[tuple[bytes, bytes]]
    outcome: str
    ours: str | None = None  # another outcome
    log_differs: bool = False
    reason: str = ""


def steps_of(case: TftpCase, root: str = "$ROOT") -> list[Step]:
    lines = case.steps.replace("$ROOT", root).splitlines()
    return [read_step(line) for line in lines if line.strip() and not line.startswith("#")]


def read_step(line: str) -> Step:
    rest, _, difference = line.partition(" ! ")
    ours, _, reason = difference.partition(" : ")
    rest, _, outcome = rest.partition(" ->")
    client, colon, tail = rest.partition(": ")
    verb, *words = (tail if colon else rest).split(" ")
    step = Step(line, client if colon else "", verb, [], {}, [], outcome.strip())
    for word in words:
        key, equals, value = word.partition("=")
        if equals and key in MORE_WORDS:
            step.more[key] = value
        elif equals and verb in ("get", "ask", "write"):
            step.options.append((octets(key), octets(value)))
        else:
            step.words.append(word)
    if difference:
        step.log_differs = ours.endswith("~log")
        step.ours, step.reason = ours.removesuffix("~log").strip(), reason
    return step


def octets(text: str) -> bytes:
    """Text with %XX; LONGn is a long name."""
    text = re.sub(r"LONG(\d+)", lambda found: "L" * int(found[1]), text)
    return urllib.parse.unquote_to_bytes(text.encode("latin-1"))


# -- the files -----------------------------------------------------------------------


class Tree:
    """The directory that both serve."""

    def __init__(self) -> None:
        self.root = pathlib.Path(tempfile.mkdtemp(prefix="pydnsmasq-tftp-"))
        self.root.chmod(0o755)

    def fill(self) -> None:
        for name, content in FILES.items():
            path = self.path(name)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            if not os.path.exists(path) or self.read(name) != content:
                self.restore(name)
        for name, owner, mode in MODES:
            shutil.chown(self.path(name), owner)
            os.chmod(self.path(name), mode)
        for name, target in LINKS:
            with contextlib.suppress(FileExistsError):
                os.symlink(target, self.path(name))

    def path(self, name: str) -> bytes:
        return os.fsencode(self.root) + b"/" + name.encode("latin-1")

    def read(self, name: str) -> bytes:
        with open(self.path(name), "rb") as file:
            return file.read()

    def restore(self, name: str) -> None:
        self.vanish(name)
        with open(self.path(name), "wb") as file:
            file.write(FILES[name])
        os.chmod(self.path(name), 0o644)

    def vanish(self, name: str) -> None:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.path(name))

    def truncate(self, name: str, size: str) -> None:
        os.truncate(self.path(name), int(size))

    def grow(self, name: str) -> None:
        with open(self.path(name), "ab") as file:
            file.write(b"more" * 700)

    def overwrite(self, name: str) -> None:
        with open(self.path(name), "r+b") as file:
            file.write(b"over" * 500)

    def replace(self, name: str) -> None:
        self.vanish(name)
        with open(self.path(name), "wb") as file:
            file.write(b"NEW" * 900)
        os.chmod(self.path(name), 0o644)


# -- the two sides -------------------------------------------------------------------


class World(Net):
    """A server's namespace, the router, and a client's; both links have known MAC addresses."""

    def __init__(self, directory: pathlib.Path, label: str) -> None:
        Namespaces.__init__(self, directory, f"tftp-{label}-s", f"tftp-{label}-c")
        self.label = label
        self.router, self.client = self.names

    def connect(self) -> None:
        for name in self.names:
            self.run(name, "sh", "-c", "for i in all default; do echo 0 >/proc/sys/net/ipv6/conf/$i/accept_dad; done")
        super().connect()
        self.ip(self.router, "addr add fd77:2::1/64 dev wan0 nodad")
        self.ip(self.client, "addr add fd77:2::2/64 dev up1 nodad")
        self.index = self.run(self.client, "cat", "/sys/class/net/up0/ifindex").stdout.strip()

    def link(self, ours: str, name: str, theirs: str, other: str) -> None:
        number = 1 if ours == "lan0" else 2
        mac = f"02:00:00:00:0{number}:0"
        self.ip(name, f"link add {ours} address {mac}1 type veth peer name {theirs} address {mac}2 netns {other}")
        self.ip(name, f"link set {ours} up")
        self.ip(other, f"link set {theirs} up")

    def client_of(self, target: str) -> Client:
        """A client for that address of the server, beside it when it is a loopback address."""
        where = self.router if target in ("127.0.0.1", "::1") else self.client
        if target == "fe80::":
            return Client(("fe80::ff:fe00:101", 69, 0, int(self.index)), where)
        return Client((target, 69), where)


@dataclass
class Side:
    """One of the two programs in its world."""

    world: World
    daemon: Daemon
    clients: dict[str, Client] = field(default_factory=dict)
    seen: dict[str, set[bytes]] = field(default_factory=dict)  # what each client has received
    lines: int = 0
    complaints: set[str] = field(default_factory=set)
    held: list[socket.socket] = field(default_factory=list)
    strays: list[str] = field(default_factory=list)  # what came when nothing was to come

    def client(self, step: Step) -> Client:
        name = step.client
        if name not in self.clients:
            self.clients[name] = self.world.client_of(step.more.get("to", SERVER))
        return self.clients[name]

    def drop(self, name: str) -> None:
        self.seen.pop(name, None)
        if name in self.clients:
            self.clients.pop(name).sock.close()

    def new_lines(self) -> list[str]:
        """What the log says of TFTP since the last look."""
        lines = [line for line in self.daemon.log().splitlines() if "dnsmasq-tftp[" in line]
        fresh, self.lines = lines[self.lines :], len(lines)
        return [line for line in (line.partition("]: ")[2] for line in fresh) if not self.repeated(line)]

    def repeated(self, line: str) -> bool:
        """Complaints that dnsmasq makes again and again: once in a while is enough for us."""
        line = re.sub(r" \(\d+ times\)$", "", line)
        if not re.match("unsupported|file .* not found|cannot |ignoring packet|unable to get", line):
            return False
        if line in self.complaints:
            return True
        self.complaints.add(line)
        return False

    def calls(self) -> list[str]:
        """What the script was told."""
        path = self.daemon.directory / "calls"
        return path.read_text("latin-1").splitlines() if path.exists() else []

    def close(self) -> None:
        for name in list(self.clients):
            self.drop(name)
        for sock in self.held:
            sock.close()
        self.daemon.stop()


def start(world: World, case: TftpCase, root: pathlib.Path, directory: pathlib.Path, kind: str) -> Side:
    head = f"user={case.user}\npid-file=\nlog-facility=$DIR/log\n"
    daemon = NetDaemon(
        directory,
        head + case.conf,
        kind=kind,
        words={"$ROOT": str(root)},
        files=case.files,
        port=case.port,
        defaults=False,
    )
    daemon.namespace = world.router
    for name in case.files:
        (directory / name).chmod(0o755)
    daemon.spawn()
    return Side(world, daemon)


@pytest.fixture(scope="module")
def tree() -> Iterator[Tree]:
    made = Tree()
    yield made
    shutil.rmtree(made.root)


@pytest.fixture(scope="module")
def worlds(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[World, World]]:
    need(REAL, "dnsmasq")
    need(os.geteuid() == 0, "root")
    need_tool("ip")
    made = tuple(World(tmp_path_factory.mktemp(label), label) for label in ("real", "ours"))
    try:
        for world in made:
            world.setup()
        yield made[0], made[1]
    finally:
        for world in made:
            world.close()


@pytest.fixture
def sides(
    request: pytest.FixtureRequest, worlds: tuple[World, World], tree: Tree, tmp_path: pathlib.Path
) -> Iterator[tuple[Side, Side]]:
    case: TftpCase = request.param
    tree.fill()
    made: list[Side] = []
    try:
        for world, kind in zip(worlds, ("real", "ours"), strict=True):
            for text in case.ip:
                world.ip(world.names["sc".index(text[0])], text[2:])
            made.append(start(world, case, tree.root, tmp_path / world.label, kind))
        for side in made:
            side.daemon.wait_log("TFTP (root|enabled)", 15)
        yield made[0], made[1]
    finally:
        for side in made:
            side.close()
            for text in reversed(case.ip):
                side.world.ip(side.world.names["sc".index(text[0])], undo(text[2:]))


def undo(text: str) -> str:
    """The command for ip that takes back another."""
    if " mtu " in text:
        return re.sub(r"mtu \d+", "mtu 1500", text)
    return text.replace(" add ", " DEL ").replace(" del ", " add ").replace(" DEL ", " del ")


# -- doing and comparing -------------------------------------------------------------


@dataclass
class Result:
    """What a step gave on one side, as text for the table and as a list to compare."""

    outcome: str
    items: list[Any]


def shown(raw: bytes) -> str:
    try:
        return str(tftpwire.parse(raw))
    except TftpWireError as error:
        return f"{error}: {raw!r}"


def transfer(side: Side, step: Step) -> Result:
    """Read a whole file; the packets in their order, each once."""
    client = side.client(step)
    run = Transfer(client, octets(step.words[0]), step.more.get("mode", "octet"), step.options, REPLY_SECONDS)
    try:
        content = run.run()
    except TftpError as error:
        return Result(str(error), [str(error)])
    size = f"{len(content)} bytes"
    packets: list[Any] = []
    for packet in run.seen:
        if not packets or packet != packets[-1]:
            packets.append(packet)
    return Result(f"{run.oack}, {size}" if run.oack else size, [*packets, bytes(content)])


def packet_of(step: Step) -> bytes:
    if step.verb in ("ask", "write"):
        kind = "RRQ" if step.verb == "ask" else "WRQ"
        return tftpwire.request(octets(step.words[0]), octets(step.more.get("mode", "octet")), step.options, kind)
    if step.verb == "ack":
        return tftpwire.ack(int(step.words[0]))
    if step.verb == "error":
        return tftpwire.error(int(step.words[0]), octets(" ".join(step.words[1:])))
    return octets(" ".join(step.words))


def send(side: Side, step: Step) -> None:
    client, packet = side.client(step), packet_of(step)
    while (raw := client.receive(0)) is not None:
        if raw not in side.seen.get(step.client, ()):
            side.strays.append(f"{step.client}: {shown(raw)}")
    if step.verb in ("ask", "write", "raw"):
        side.seen.pop(step.client, None)
        client.ask(packet)
        return
    if "at" in step.more:
        client.peer = side.clients[step.more["at"]].peer
    for _ in range(int(step.more.get("times", 1))):
        client.send(packet)


def collect(side: Side, step: Step, silence: float, wanted: bool, ports: bool) -> Result:
    """The replies.  What comes once more is a retransmission, which comes when it pleases; twice more is too much."""
    client = side.client(step)
    replies: list[tuple[bytes, str]] = []
    seen = side.seen.setdefault(step.client, set())
    repeats: list[bytes] = []
    wait = REPLY_SECONDS if wanted else silence
    while (raw := client.receive(wait)) is not None:
        reply = raw, f"{client.source[0]} {port_of(client, raw, ports)}"
        if step.verb == "again":
            return Result(shown(raw), [reply])
        if raw in seen and raw not in repeats:
            repeats.append(raw)
            continue
        if raw[:2] != b"\0\5":
            seen.add(raw)
        replies.append(reply)
        wait = silence
        if len(replies) > 100:
            break
    return Result(" + ".join(shown(raw) for raw, _ in replies) or "SILENCE", replies)


def port_of(client: Client, raw: bytes, exact: bool) -> str:
    """Say from which port a packet came."""
    if raw[:2] == b"\0\5":
        return "any"  # dnsmasq takes a new port to refuse a request, ours does not
    port = str(client.source[1]) if exact else "69" if client.source[1] == 69 else "other"
    return f"{port} {'same' if client.source == client.peer else 'new'}"


def put(step: Step, sides: tuple[Side, Side], ports: bool) -> tuple[Result, Result]:
    """Send on both sides, then look what comes."""
    if step.verb == "get":
        return transfer(sides[0], step), transfer(sides[1], step)
    if step.verb != "again":
        for side in sides:
            send(side, step)
    wanted = step.outcome != "SILENCE"
    real = collect(sides[0], step, SILENCE_SECONDS, wanted, ports)
    if step.ours is not None and OURS_KIND != "real":
        wanted = step.ours != "SILENCE"
    # Both got the packet at the same time: most of the silence is over.
    return real, collect(sides[1], step, SILENCE_SECONDS / 3, wanted, ports)


def fits(outcome: str, wanted: str) -> bool:
    """Tell whether these are the packets whose beginnings the table has."""
    pairs = list(zip_longest(outcome.split(" + "), wanted.split(" + "), fillvalue="none"))
    return all(left.startswith(right) for left, right in pairs)


def compare_packets(step: Step, sides: tuple[Side, Side], case: TftpCase) -> list[str]:
    real, ours = put(step, sides, case.ports)
    found = []
    if not fits(real.outcome, step.outcome):
        found.append(f"the table is wrong: dnsmasq gives {real.outcome}")
    if step.ours is not None and OURS_KIND != "real":
        if not fits(ours.outcome, step.ours):
            found.append(f"ours should give {step.ours}, gives {ours.outcome}")
        if "bytes" in step.ours and "mode" not in step.more and real.items[-1] != ours.items[-1]:
            found.append("ours sends something else")
    elif real.outcome != ours.outcome:
        found.append(f"dnsmasq {real.outcome}, ours {ours.outcome}")
    elif real.items != ours.items:
        pairs = zip(real.items, ours.items, strict=False)
        number, pair = next(((n, pair) for n, pair in enumerate(pairs) if pair[0] != pair[1]), (-1, ((), ())))
        found.append(f"item {number}: dnsmasq {str(pair[0])[:300]}, ours {str(pair[1])[:300]}")
    if not step.client:
        for side in sides:
            side.drop("")
    return found


def compare_lines(
    what: str, theirs: Callable[[], list[str]], mine: Callable[[], list[str]], least: int = 0
) -> list[str]:
    """Two growing lists that shall be the same in the end, with that many lines at least."""
    wanted, got = theirs(), mine()
    end = time.monotonic() + LOG_SECONDS
    while (wanted != got or len(got) < least) and time.monotonic() < end:
        time.sleep(0.01)
        wanted += theirs()
        got += mine()
    return list_differences(what, wanted, got)


def run_step(step: Step, sides: tuple[Side, Side], case: TftpCase, tree: Tree) -> list[str]:
    if step.verb in ("truncate", "grow", "vanish", "replace", "overwrite", "restore"):
        getattr(tree, step.verb)(*step.words)
        return []
    if step.verb == "hold":
        for side in sides:
            side.held.append(tftpwire.open_socket(side.world.router, "0.0.0.0", int(step.words[0])))
        return []
    if step.verb == "hup":
        for side in sides:
            side.daemon.signal(signal.SIGHUP)
        time.sleep(0.3)
        return []
    found = compare_packets(step, sides, case)
    if step.log_differs and OURS_KIND != "real":
        time.sleep(0.1)
        for side in sides:
            side.new_lines()
    else:
        # That a file has been sent is told when its last acknowledgement has come.
        sent = step.verb == "get" and step.outcome.endswith("bytes")
        found += compare_lines("log", sides[0].new_lines, sides[1].new_lines, int(sent))
    return [f"{step.text}: {item}" for item in found]


def compare_calls(real: Side, ours: Side) -> list[str]:
    with contextlib.suppress(AssertionError):
        wait_until(lambda: real.calls() == ours.calls(), 2)
    return list_differences("script", real.calls(), ours.calls())


@pytest.mark.parametrize("sides", CASES, indirect=True, ids=[case.name.replace(" ", "-") for case in CASES])
def test_same_conversation(sides: tuple[Side, Side], tree: Tree, request: pytest.FixtureRequest) -> None:
    case: TftpCase = request.node.callspec.params["sides"]
    found = compare_lines("start", sides[0].new_lines, sides[1].new_lines)
    for step in steps_of(case, str(tree.root)):
        found += run_step(step, sides, case, tree)
        if not all(side.daemon.alive() for side in sides):
            break
    if case.files:
        assert sides[0].calls() or not case.files, "dnsmasq has run no script"
        found += compare_calls(*sides)
    for side in sides:
        found += [f"{side.world.label}, too late: {item}" for item in side.strays]
        if not side.daemon.alive():
            found.append(f"{side.world.label} is dead: {side.daemon.log()[-1000:]}{side.daemon.stderr()[-1000:]}")
        assert "Traceback" not in side.daemon.stderr() + side.daemon.log(), "\n".join(found)
    assert not found, "\n" + "\n".join(found)


# -- starting ------------------------------------------------------------------------


def said(side: Side) -> list[str]:
    """What the log says of TFTP at the start."""
    lines = [re.sub(r"^.*?(dnsmasq\S*)\[\d+\]: ", r"\1: ", line) for line in side.daemon.log().splitlines()]
    return [line for line in lines if re.match("dnsmasq-tftp: |dnsmasq: TFTP directory", line)]


@pytest.mark.parametrize("row", STARTS, ids=[case.conf.replace("\n", ",") for case in STARTS])
def test_same_start(row: StartCase, worlds: tuple[World, World], tree: Tree, tmp_path: pathlib.Path) -> None:
    tree.fill()
    case = TftpCase("start", row.conf, "")
    sides = [
        start(world, case, tree.root, tmp_path / kind, kind)
        for world, kind in zip(worlds, ("real", "ours"), strict=True)
    ]
    try:
        for side in sides:
            process = side.daemon.process
            assert process is not None
            if row.status is None:
                wait_until(lambda daemon=side.daemon: "started, version" in daemon.log() or not daemon.alive(), 15)
                assert side.daemon.alive(), side.daemon.stderr() + side.daemon.log()
            else:
                assert process.wait(15) == row.status, f"{side.world.label}: {side.daemon.log()}{side.daemon.stderr()}"
        with contextlib.suppress(AssertionError):
            wait_until(lambda: said(sides[0]) == said(sides[1]), LOG_SECONDS)
        assert said(sides[1]) == said(sides[0])
    finally:
        for side in sides:
            side.close()


# -- the table and its helpers -------------------------------------------------------


def test_the_table_is_large_enough() -> None:
    steps = [step for case in CASES for step in steps_of(case)]
    assert len(CASES) >= 60 and len({case.name for case in CASES}) == len(CASES)
    assert sum(bool(step.outcome) for step in steps) >= 500
    assert all(step.ours is None or step.reason for step in steps)


def test_the_codec_reads_what_it_wrote() -> None:
    options = [(b"blksize", b"8"), (b"tsize", b"0")]
    for raw, text in (
        (tftpwire.request("f", "octet", options), "RRQ blksize=8 tsize=0"),
        (tftpwire.data(65537, b"abc"), "DATA 1 of 3"),
        (tftpwire.ack(65536), "ACK 0"),
        (tftpwire.error(2, "no"), "ERROR 2 no"),
        (tftpwire.oack(options), "OACK blksize=8 tsize=0"),
    ):
        assert str(tftpwire.parse(raw)) == text


@pytest.mark.parametrize(
    "raw",
    [b"", b"\0\1", b"\0\7\0\0", b"\0\4\0\1x", b"\0\5\0\1no", b"\0\6a\0", b"\0\6a\0b", b"\0\1f\0", b"\0\1f\0m\0o\0"],
)
def test_the_codec_refuses(raw: bytes) -> None:
    with pytest.raises(TftpWireError):
        tftpwire.parse(raw)
