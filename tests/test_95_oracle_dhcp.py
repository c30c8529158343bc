"""The same configuration and DHCPv4 packets through dnsmasq and through pydnsmasq.

Each program has a pair of network namespaces of its own, a server's and a
client's, alike down to the MAC addresses:

    server lan0 10.77.1.1/24 -- client up0 10.77.1.2/24
    server wan0 10.77.2.1/24 -- client up1 10.77.2.2/24
    10.77.5.0/24 to 10.77.7.0/24 are behind 10.77.1.2, a relay
"""

from __future__ import annotations

import contextlib
import os
import pathlib
import re
import socket
import struct
import subprocess
import time
import urllib.parse
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import pytest

import dhcpwire
import dnswire
from dhcp_oracle_cases import CASES as DHCP_CASES
from dhcp_oracle_cases import DhcpCase
from dhcpwire import Datagram, DhcpMessage, RawClient
from harness import OURS_KIND, REAL, Daemon, need, need_tool, wait_until
from pxe_oracle_cases import CASES as PXE_CASES
from test_91_oracle_dns import differences as dns_differences
from test_91_oracle_dns import read_reply

CASES = [*DHCP_CASES, *PXE_CASES]
SILENCE_SECONDS = 0.1  # what comes later is found by the next look at the frames
REPLY_SECONDS = 8.0
OUR_SECONDS = 3.0  # after the other's reply
LOG_SECONDS = 2.0
OURS_ALONE = "dhcp-range with proxy serves nobody"  # a line of the log
ENOUGH = 40  # complaints, after which a case ends
LINKS = {"up0": ("lan0", "10.77.1", 1), "up1": ("wan0", "10.77.2", 2)}
RELAYED = ("10.77.5.0/24", "10.77.6.0/24", "10.77.7.0/24")


# -- reading the cases ---------------------------------------------------------------


@dataclass
class Exchange:
    """One line of a case: a packet or something else to do."""

    text: str
    words: list[str]
    outcome: str = ""
    allowed: tuple[str, ...] = ()
    reason: str = ""

    @property
    def is_packet(self) -> bool:
        return self.words[0] in PACKETS

    def ignored(self) -> tuple[str, ...]:
        """The starts of complaints that are expected."""
        return starts(self.allowed)


def starts(words: Iterable[str]) -> tuple[str, ...]:
    """The words after `~`, with blanks."""
    return tuple(word[1:].replace("_", " ") for word in words if word.startswith("~"))


PACKETS = {name.lower(): name for name in dhcpwire.TYPES} | {"bootp": ""}


HOPED_FOR = {
    "discover": "OFFER", "request": "ACK", "inform": "ACK", "bootp": "BOOTP",
    "decline": "SILENCE", "release": "SILENCE", "leasequery": "SILENCE",
}  # fmt: skip


def exchanges_of(case: DhcpCase) -> list[Exchange]:
    found = []
    for line in case.exchanges.splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        rest, _, difference = line.partition(" ! ")
        allowed, _, reason = difference.partition(" : ")
        rest, _, outcome = rest.partition(" -> ")
        words = rest.split()
        if words[0] == "dora":
            offer, ack = outcome.split() or ("OFFER", "ACK")
            second = [word for word in words[1:] if not word.startswith(("req=", "sid="))]
            second[1:1] = ["req=.", *[word for word in words if word.startswith("sid=")]]
            if not any(word.startswith("sid=") for word in words):
                second.insert(1, "sid=10.77.2.1" if "on=up1" in words else "sid=10.77.1.1")
            found.append(Exchange(line, ["discover", *words[1:]], offer, tuple(allowed.split()), reason))
            found.append(Exchange(line, ["request", *second], ack, tuple(allowed.split()), reason))
        else:
            outcome = outcome.strip() or HOPED_FOR.get(words[0], "")
            found.append(Exchange(line, words, outcome, tuple(allowed.split()), reason))
    return found


# -- building packets ----------------------------------------------------------------


def _number(text: str, size: int) -> bytes:
    return int(text).to_bytes(size, "big")


def _list(text: str) -> bytes:
    return bytes(int(word) for word in text.split(",")) if text else b""


def _text(text: str) -> bytes:
    return urllib.parse.unquote_to_bytes(text)


def _any(text: str) -> bytes:
    """Text after a quote, else hex digits."""
    return _text(text[1:]) if text.startswith("'") else bytes.fromhex(text)


def _fqdn(text: str) -> bytes:
    """FLAGS:NAME; with flag 4 a name in wire format, which no dot at the end leaves open."""
    flags, _, name = text.partition(":")
    number = int(flags, 16)
    if not number & 4:
        return bytes((number, 0, 0)) + _text(name)
    labels = [_text(label) for label in name.rstrip(".").split(".") if label]
    wire = b"".join(bytes((len(label),)) + label for label in labels)
    return bytes((number, 0, 0)) + wire + (b"\0" if name.endswith(".") else b"")


OPTION_WORDS = {
    "req": (50, socket.inet_aton), "sid": (54, socket.inet_aton), "subnet": (118, socket.inet_aton),
    "name": (12, _text), "vendor": (60, _text), "user": (77, _text), "domain": (15, _text), "clid": (61, bytes.fromhex),
    "prl": (55, _list), "lease": (51, lambda text: _number(text, 4)), "size": (57, lambda text: _number(text, 2)),
    "rapid": (80, bytes.fromhex), "fqdn": (81, _fqdn),
}  # fmt: skip
AGENT_WORDS = {
    "circuit": (1, _any), "remote": (2, _any), "link": (5, socket.inet_aton), "subscr": (6, _any),
    "over": (11, socket.inet_aton),
}  # fmt: skip
MACHINE_ID = bytes(range(17))


def _pxe(text: str) -> list[tuple[int, bytes]]:
    """What a boot ROM for that architecture tells of itself."""
    arch = int(text)
    vendor = b"PXEClient:Arch:%05d:UNDI:002001" % arch
    return [(60, vendor), (93, struct.pack("!H", arch)), (94, b"\1\2\1"), (97, MACHINE_ID)]


def _item(text: str) -> list[tuple[int, bytes]]:
    """TYPE.LAYER of an item of the PXE menu."""
    return [(43, b"\x47\4" + struct.pack("!2H", *map(int, text.split("."))) + b"\xff")]


SEVERAL_OPTIONS = {"pxe": _pxe, "item": _item}
ADDRESS_WORDS = {"ci": "ciaddr", "yi": "yiaddr", "si": "siaddr", "gi": "giaddr"}
NUMBER_WORDS = ("hops", "secs", "flags", "htype", "op")
CONTROL_WORDS = ("on", "to", "from", "sport", "dport")
FLAG_WORDS = ("bcast", "uni", "noend", "nopad")


def mac_of(word: str) -> bytes:
    """`m7` is the client's MAC number 7; else hex digits."""
    found = re.fullmatch(r"m(\d+)", word)
    return b"\2\0\0\0\xaa" + bytes((int(found[1]),)) if found else bytes.fromhex(word.replace(":", ""))


@dataclass
class Packet:
    """A packet that is ready to be sent on an interface, and the addresses where its sender may be reached."""

    message: DhcpMessage
    interface: str
    frame: bytes
    owned: list[str]


def build(words: list[str], number: int, memory: dict[str, str]) -> Packet:
    """Make the packet of a line; `.` stands for the address that the MAC was last given."""
    mac = mac_of(words[1])
    pairs = [(key, value) for key, _, value in (word.partition("=") for word in words[2:])]
    pairs = [(key, memory.get(words[1], "0.0.0.0") if value == "." else value) for key, value in pairs]
    given = dict(pairs)
    message = DhcpMessage(xid=0x1000 + number, chaddr=mac, hlen=len(mac), flags=0x8000 if "bcast" in given else 0)
    if words[0] != "bootp":
        message.options.append((53, bytes((dhcpwire.TYPES[PACKETS[words[0]]],))))
    agent = b""
    for key, value in pairs:
        if key in OPTION_WORDS:
            code, convert = OPTION_WORDS[key]
            message.options.append((code, convert(value)))
        elif key in AGENT_WORDS:
            code, convert = AGENT_WORDS[key]
            agent += bytes((code, len(convert(value)))) + convert(value)
        elif key in SEVERAL_OPTIONS:
            message.options += SEVERAL_OPTIONS[key](value)
        elif re.fullmatch(r"o\d+", key):
            message.options.append((int(key[1:]), _any(value)))
        else:
            _header_word(message, key, value)
    if agent:
        message.options.append((82, agent))
    return _envelope(message, given)


def _header_word(message: DhcpMessage, key: str, value: str) -> None:
    if key in ADDRESS_WORDS:
        setattr(message, ADDRESS_WORDS[key], value)
    elif key in NUMBER_WORDS:
        setattr(message, key, int(value))
    elif key in ("sname", "file"):
        setattr(message, key, _any(value))
    elif key == "noend":
        message.ended = False
    else:
        assert key in CONTROL_WORDS or key in FLAG_WORDS, f"unknown word {key}"


def _envelope(message: DhcpMessage, given: dict[str, str]) -> Packet:
    interface = given.get("on", "up0")
    _, net, number = LINKS[interface]
    relayed = message.giaddr != "0.0.0.0"
    data = message.pack()
    if "nopad" not in given:
        data = data.ljust(300, b"\0")
    frame = Datagram(data, from_mac=message.chaddr[:6].ljust(6, b"\0"))
    frame.from_ip = given.get("from", message.giaddr if relayed else message.ciaddr)
    frame.to_ip = given.get("to", f"{net}.1" if relayed or "uni" in given else "255.255.255.255")
    frame.from_port = int(given.get("sport", 67 if relayed else 68))
    frame.to_port = int(given.get("dport", 67))
    if frame.to_ip != "255.255.255.255":
        frame.to_mac = server_mac(number)
    owned = {message.ciaddr, message.ciaddr if relayed else frame.from_ip} - {"0.0.0.0"}
    return Packet(message, interface, frame.pack(), sorted(owned))


def server_mac(number: int) -> bytes:
    return bytes((2, 0, 0, 0, number, 1))


def client_mac(number: int) -> bytes:
    return bytes((2, 0, 0, 0, number, 2))


# -- the two sides -------------------------------------------------------------------


class DhcpDaemon(Daemon):
    """A daemon in a network namespace; with etc/ethers among its files it has an /etc of its own."""

    namespace = ""

    def command(self) -> list[str]:
        words = ["ip", "netns", "exec", self.namespace]
        own_etc = self.directory / "etc"
        if own_etc.exists():
            for name in ("passwd", "group"):
                (own_etc / name).write_bytes((pathlib.Path("/etc") / name).read_bytes())
            words += ["sh", "-c", f'mount --bind {own_etc} /etc && exec "$@"', "-"]
        return [*words, *super().command()]


@dataclass
class World:
    """Two namespaces, joined by two links, and a client of raw frames."""

    label: str
    peer: RawClient = field(init=False)

    def name(self, end: str) -> str:
        return f"pydnsmasq-{os.getpid()}-{self.label}-{end}"

    def ip(self, end: str, text: str) -> None:
        subprocess.run(["ip", "-n", self.name(end), *text.split()], check=True, capture_output=True)

    def setup(self) -> None:
        for end in "sc":
            subprocess.run(["ip", "netns", "add", self.name(end)], check=True, capture_output=True)
            self.ip(end, "link set lo up")
        for up, (lan, net, number) in LINKS.items():
            macs = [mac.hex(":") for mac in (server_mac(number), client_mac(number))]
            self.ip("s", f"link add {lan} address {macs[0]} type veth peer name {up} address {macs[1]}")
            self.ip("s", f"link set {up} netns {self.name('c')}")
            for end, name, host in (("s", lan, 1), ("c", up, 2)):
                self.ip(end, f"addr add {net}.{host}/24 dev {name}")
                self.ip(end, f"link set {name} up")
        for subnet in RELAYED:
            self.ip("s", f"route add {subnet} via 10.77.1.2")
            self.ip("c", f"addr add {subnet.replace('.0/', '.1/')} dev lo")
        self.peer = RawClient(self.name("c"), *LINKS)

    def close(self) -> None:
        if hasattr(self, "peer"):
            self.peer.close()
        for end in "sc":
            subprocess.run(["ip", "netns", "del", self.name(end)], check=False, capture_output=True)

    def refresh(self) -> None:
        """No neighbours, no frames left over from the case before."""
        self.ip("s", "neigh flush all")
        self.peer.forget()
        while self.peer.receive(0):
            pass


@dataclass
class Side:
    """One of the two programs in its world."""

    world: World
    daemon: DhcpDaemon
    lines: int = 0
    strays: list[str] = field(default_factory=list)
    complaints: set[str] = field(default_factory=set)

    def new_lines(self) -> list[str]:
        whole, _, _ = self.daemon.log().rpartition("\n")  # the last line may be half written
        lines = [line for line in whole.splitlines() if "dnsmasq-dhcp[" in line and OURS_ALONE not in line]
        fresh, self.lines = lines[self.lines :], len(lines)
        return [line for line in map(self.normal, fresh) if not self.repeated(line)]

    def repeated(self, line: str) -> bool:
        """Complaints that dnsmasq makes again and again: once is enough for us."""
        if not re.match("not giving name|.* is a CNAME, not|Ignoring duplicate|no address range", line):
            return False
        if line in self.complaints:
            return True
        self.complaints.add(line)
        return False

    def normal(self, line: str) -> str:
        """A log line without time, process id and directory."""
        line = re.sub(r"^\w{3} [ \d]\d [\d:]{8} dnsmasq-dhcp\[\d+\]: ", "", line)
        # Renewals have timers with a random part.
        line = re.sub(r"(size: +4 option: +(?:58|59) \S+ +)\S+$", r"\1TIME", line)
        line = re.sub(r"(option: 51 lease-time  )59m5[89]s$", r"\g<1>1h", line)
        # Of an empty option dnsmasq shows bytes that are not its own; ours tells more about missing ranges.
        line = re.sub(r"(sent size: +0 option: *\d+ \S*).*$", r"\1", line)
        line = re.sub(r"^(no address range .*) \(addresses of .*$", r"\1", line)
        line = line.replace("agent-id", "agent-info")  # its name in 2.93
        return line.replace(str(self.daemon.directory), "DIR")

    def spawn(self) -> None:
        self.world.refresh()
        self.lines = 0
        with contextlib.suppress(FileNotFoundError):
            self.daemon.log_path.unlink()
        self.daemon.spawn()

    def wait(self) -> None:
        self.daemon.wait_log("started, version", 15)
        if "dhcp-range" in self.daemon.conf_path.read_text("latin-1"):
            self.daemon.wait_log("DHCP, ")

    def sockets(self) -> list[str]:
        """Where DHCP, PXE and TFTP listen."""
        words = ["ip", "netns", "exec", self.world.name("s"), "ss", "-Huln"]
        lines = subprocess.run(words, capture_output=True, text=True, check=True).stdout.splitlines()
        return sorted(found for line in lines if re.search(r":(67|69|1067|4011)$", found := line.split()[3]))

    def leases(self) -> list[list[str]]:
        path = self.daemon.directory / "leases"
        return [line.split(" ") for line in path.read_text("latin-1").splitlines()] if path.exists() else []


@pytest.fixture(scope="module")
def worlds() -> Iterator[tuple[World, World]]:
    need(REAL, "dnsmasq")
    need(os.geteuid() == 0, "root")
    need_tool("ip")
    made = World("real"), World("ours")
    try:
        try:
            for world in made:
                world.setup()
        except subprocess.CalledProcessError as error:
            need(False, f"network namespaces ({error.stderr!r})")
        yield made
    finally:
        for world in made:
            world.close()


@pytest.fixture
def sides(
    request: pytest.FixtureRequest, worlds: tuple[World, World], tmp_path: pathlib.Path
) -> Iterator[tuple[Side, Side]]:
    case: DhcpCase = request.param
    now = int(time.time())
    made = []
    try:
        for world, kind in zip(worlds, ("real", "ours"), strict=True):
            for text in case.ip:
                world.ip(text[0], text[2:])
            daemon = DhcpDaemon(
                tmp_path / world.label,
                case.conf,
                kind=kind,
                words={"$SOON": str(now + 3), "$HOUR": str(now + 3600), "$PAST": str(now - 60)},
                files=case.files,
                port=53,
            )
            daemon.namespace = world.name("s")
            made.append(Side(world, daemon))
            made[-1].spawn()
        for side in made:
            side.wait()
        yield made[0], made[1]
    finally:
        for side in made:
            side.daemon.stop()
            for text in reversed(case.ip):
                side.world.ip(text[0], text[2:].replace(" add ", " del "))


# -- comparing -----------------------------------------------------------------------


@dataclass
class Reply:
    """What came back for one packet."""

    frame: Datagram
    interface: str
    message: DhcpMessage

    def fields(self) -> dict[str, object]:
        """All that must be the same on both sides, timers apart."""
        message = self.message
        names = "op htype hlen hops xid secs flags ciaddr yiaddr siaddr giaddr ended".split()
        out: dict[str, object] = {name: getattr(message, name) for name in names}
        out["chaddr"] = message.chaddr.hex()
        out["target"] = f"{self.interface} {self.frame.target()}"
        overload = (message.value(52) or b"\0")[0]
        for name, bit in (("file", 1), ("sname", 2)):
            data = getattr(message, name)
            out[name] = shown(dhcpwire.parse_options(data)[0]) if overload & bit else data.rstrip(b"\0")
            out[f"{name} bytes"] = data
        out["type"] = message.kind()
        out["length"] = len(self.frame.payload)
        out["padding"] = message.rest.strip(b"\0")
        return out


TIMERS = (51, 58, 59, 91)


def shown(options: list[tuple[int, bytes]]) -> list[str]:
    return [f"{code}={'TIMER' if code in TIMERS else data.hex()}" for code, data in options]


def receive(side: Side, xid: int, seconds: float) -> Reply | None:
    end = time.monotonic() + seconds
    while True:
        got = side.world.peer.receive(max(0.0, end - time.monotonic()))
        if got is None:
            return None
        frame = dhcpwire.parse_frame(got[1])
        assert frame is not None
        message = dhcpwire.parse(frame.payload)
        if message.xid == xid:
            return Reply(frame, got[0], message)
        side.strays.append(f"{message.kind()} {message.xid:x} {frame.target()}")


def put(packet: Packet, sides: tuple[Side, Side], exchange: Exchange) -> tuple[Reply | None, Reply | None]:
    """Send a packet on both sides and collect the replies."""
    for side in sides:
        for address in packet.owned:
            side.world.peer.own(address, packet.message.chaddr)
        side.world.peer.send(packet.interface, packet.frame)
    silent = exchange.outcome == "SILENCE"
    real = receive(sides[0], packet.message.xid, SILENCE_SECONDS if silent else REPLY_SECONDS)
    # Both got the packet at the same time: silence of the one needs no second wait.
    free = real is None or "ANY" in exchange.allowed
    return real, receive(sides[1], packet.message.xid, 0.05 if free else OUR_SECONDS)


def same_timer(real: int, ours: int, code: int, lease: int, renewal: bool) -> bool:
    """Within two seconds; renewal and rebinding times of a renewal are a little earlier, at random."""
    slack = lease // 8 if renewal and code in (58, 59) else 0
    return abs(real - ours) <= 2 + slack or real == ours


def timers(message: DhcpMessage) -> list[tuple[int, int]]:
    return [(code, int.from_bytes(data, "big")) for code, data in message.options if code in TIMERS]


def list_differences(what: str, real: list[str], ours: list[str]) -> list[str]:
    """What one list has and the other has not, or else that the order is another."""
    if real == ours:
        return []
    missing, extra = Counter(real) - Counter(ours), Counter(ours) - Counter(real)
    if not missing and not extra:
        return [f"{what} order: dnsmasq {real}, ours {ours}"]
    return [f"{what}: missing {list(missing.elements())}, extra {list(extra.elements())}"]


def reply_differences(real: Reply, ours: Reply, renewal: bool) -> list[str]:
    left, right = real.fields(), ours.fields()
    found = [f"{name}: dnsmasq {left[name]}, ours {right[name]}" for name in left if left[name] != right[name]]
    options = list_differences("options", shown(real.message.options), shown(ours.message.options))
    found += options
    if not options:
        pairs = list(zip(timers(real.message), timers(ours.message), strict=True))
        lease = dict(timers(real.message)).get(51, 0)
        if not all(same_timer(theirs, mine, code, lease, renewal) for (code, theirs), (_, mine) in pairs):
            found.append(f"timers: dnsmasq, ours {pairs}")
    return found


def compare_packet(exchange: Exchange, packet: Packet, sides: tuple[Side, Side], memory: dict[str, str]) -> list[str]:
    replies = put(packet, sides, exchange)
    kinds = ["SILENCE" if reply is None else reply.message.kind() for reply in replies]
    found = []
    if kinds[0] != exchange.outcome:
        found.append(f"the table is wrong: dnsmasq gives {kinds[0]}")
    if replies[0] is not None and replies[0].message.yiaddr != "0.0.0.0":
        memory[exchange.words[1]] = replies[0].message.yiaddr
    if kinds[0] != kinds[1]:
        return [*found, f"reply: dnsmasq {kinds[0]}, ours {kinds[1]}"]
    if replies[0] is None or replies[1] is None:
        return found
    return found + reply_differences(replies[0], replies[1], packet.message.ciaddr != "0.0.0.0")


def compare_logs(real: Side, ours: Side, ignored: tuple[str, ...] = ()) -> list[str]:
    """What differs in the new lines, when both sides have had time to write them."""
    wanted, got = real.new_lines(), ours.new_lines()
    end = time.monotonic() + LOG_SECONDS
    while (found := kept(list_differences("log", wanted, got), ignored)) and time.monotonic() < end:
        time.sleep(0.01)
        wanted += real.new_lines()
        got += ours.new_lines()
    return found


def _same_lease(left: list[str], right: list[str]) -> bool:
    if not (left[0].isdigit() and right and right[0].isdigit()):
        return left == right
    near = left[0] == right[0] or "0" not in (left[0], right[0]) and abs(int(left[0]) - int(right[0])) <= 2
    return near and left[1:] == right[1:]


def _same_leases(real: Side, ours: Side) -> bool:
    """The same leases, in any order."""
    left, right = (sorted(side.leases(), key=lambda words: words[2:3]) for side in (real, ours))
    return len(left) == len(right) and all(_same_lease(a, b) for a, b in zip(left, right, strict=True))


def compare_leases(real: Side, ours: Side) -> list[str]:
    what = "lease order"
    try:
        wait_until(lambda: _same_leases(real, ours), 1)
    except AssertionError:
        what = "lease file"
    left, right = real.leases(), ours.leases()
    if what == "lease order" and [words[2:3] for words in left] == [words[2:3] for words in right]:
        return []
    return [f"{what}: dnsmasq {left}, ours {right}"]


def ask_both(server: str, real: Side, ours: Side, name: str, qtype: str) -> list[str]:
    query = dnswire.build_query(name, qtype, id=7)
    replies = [read_reply(side.world.peer.ask_dns(server, query)) for side in (real, ours)]
    if isinstance(replies[0], dnswire.DnsMessage) and isinstance(replies[1], dnswire.DnsMessage):
        found = dns_differences(replies[0], replies[1])
    else:
        found = [] if replies[0] == replies[1] else [f"dnsmasq {replies[0]}, ours {replies[1]}"]
    return [f"DNS {name} {qtype}: {item}" for item in found]


def compare_names(case: DhcpCase, real: Side, ours: Side) -> list[str]:
    """Ask for all names and addresses of the leases, bare and in their domains."""
    domains = re.findall(r"^domain=([a-z.]+)", case.conf, re.M)
    found = []
    for words in real.leases():
        if len(words) != 5 or not re.fullmatch(r"[\d.]+", words[2]):
            continue
        found += ask_both(case.dns, real, ours, ".".join(reversed(words[2].split("."))) + ".in-addr.arpa", "PTR")
        if words[3] != "*":
            for name in [words[3], *(f"{words[3]}.{domain}" for domain in dict.fromkeys(domains))]:
                found += ask_both(case.dns, real, ours, name, "A")
    return found


def compare_sockets(real: Side, ours: Side) -> list[str]:
    return list_differences("sockets", real.sockets(), ours.sockets())


def run_other(words: list[str], case: DhcpCase, sides: tuple[Side, Side]) -> list[str]:
    """A line that is no packet: sleep, dns, leases, sockets, write, watch, hup, restart."""
    if words[0] == "sleep":
        time.sleep(float(words[1]))
    elif words[0] == "dns":
        return ask_both(case.dns, *sides, words[1], words[2])
    elif words[0] in ("leases", "sockets"):
        return compare_leases(*sides) if words[0] == "leases" else compare_sockets(*sides)
    elif words[0] in ("write", "watch"):
        for side in sides:
            side.daemon.write(words[1], case.later[words[1]])
        for side in sides if words[0] == "watch" else ():
            side.daemon.wait_log(f"read {side.daemon.directory}/{words[1]}")
    elif words[0] == "hup":
        for side in sides:
            side.daemon.signal(1)  # type: ignore[arg-type]
        time.sleep(0.3)
    elif words[0] == "restart":
        for step in (lambda side: side.daemon.stop(), Side.spawn, Side.wait):
            for side in sides:
                step(side)
    else:
        raise AssertionError(f"unknown line {words}")
    return []


def run_exchange(
    exchange: Exchange, number: int, case: DhcpCase, sides: tuple[Side, Side], memory: dict[str, str]
) -> list[str]:
    if exchange.is_packet:
        packet = build(exchange.words, number, memory)
        complaints = compare_packet(exchange, packet, sides, memory)
    else:
        complaints = run_other(exchange.words, case, sides)
    ignored = exchange.ignored()
    if "ANY" in exchange.allowed or "log" in ignored:
        time.sleep(0.05)
        for side in sides:
            side.new_lines()
    else:
        complaints += compare_logs(*sides)
    if "ANY" in exchange.allowed and OURS_KIND != "real":
        return []
    return [f"{' '.join(exchange.words)}: {item}" for item in kept(complaints, ignored + starts(case.differs.split()))]


def kept(complaints: list[str], ignored: tuple[str, ...]) -> list[str]:
    return [item for item in complaints if not ignored or not item.startswith(ignored)]


@pytest.mark.parametrize("sides", CASES, indirect=True, ids=[case.name.replace(" ", "-") for case in CASES])
def test_same_conversation(sides: tuple[Side, Side], request: pytest.FixtureRequest) -> None:
    case: DhcpCase = request.node.callspec.params["sides"]
    memory: dict[str, str] = {}
    ignored = starts(case.differs.split())
    # Directories are read in any order.
    found = [f"start: {item}" for item in compare_logs(*sides, (*ignored, "log order"))]
    for number, exchange in enumerate(exchanges_of(case)):
        found += run_exchange(exchange, number, case, sides, memory)
        if len(found) >= ENOUGH or not sides[1].daemon.alive():
            break
    found += [f"end: {item}" for item in kept(compare_leases(*sides) + compare_names(case, *sides), ignored)]
    for side in sides:
        receive(side, 0, 0)
    if sides[0].strays != sides[1].strays:
        found.append(f"replies more: dnsmasq {sides[0].strays}, ours {sides[1].strays}")
    for side in sides:
        if not side.daemon.alive():
            found.append(f"{side.world.label} is dead: {side.daemon.log()[-1000:]}{side.daemon.stderr()[-1000:]}")
        assert "Traceback" not in side.daemon.stderr() + side.daemon.log(), "\n".join(found)
    assert not found, "\n" + "\n".join(found)


def test_the_table_is_large_enough() -> None:
    for cases, number, packets in ((DHCP_CASES, 35, 100), (PXE_CASES, 40, 200)):
        assert len(cases) >= number
        assert sum(exchange.is_packet for case in cases for exchange in exchanges_of(case)) >= packets
    assert len({case.name for case in CASES}) == len(CASES)


def test_expected_differences_have_reasons() -> None:
    for case in CASES:
        for exchange in exchanges_of(case):
            assert bool(exchange.allowed) == bool(exchange.reason), f"{case.name}: {exchange.text}"
        assert not case.differs or " : " in case.differs, case.name


def test_the_codec_reads_what_it_wrote() -> None:
    message = DhcpMessage(
        xid=struct.unpack("!I", b"abcd")[0], chaddr=b"\2\0\0\0\0\7", options=[(53, b"\1"), (12, b"x" * 300)]
    )
    got = dhcpwire.parse(message.pack())
    assert got.options == [(53, b"\1"), (12, b"x" * 255), (12, b"x" * 45)] and got.kind() == "DISCOVER"
    frame = Datagram(message.pack(), to_ip="10.0.0.1")
    again = dhcpwire.parse_frame(frame.pack())
    assert again is not None and again.payload == frame.payload and again.to_ip == "10.0.0.1"
