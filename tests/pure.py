"""Put the program's pure parts together by hand: no sockets, no clock, no files.

`Pure(lines)` is a whole DNS state made of configuration lines and hosts texts;
`Dhcp(lines)` a whole DHCPv4 service, to which packets are put as lines of words.
Questions, packets and replies are made and read with the tests' own codecs.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import dhcpwire
import dnswire
import pydnsmasq as p

NOW = 1000.0
CLIENT = "192.168.1.50"
CONFIG_PATH = "/pure.conf"
NO_SERVERS = "no-resolv"


class DictSource:
    """A ConfigSource over a dict from paths to octets."""

    def __init__(self, files: dict[str, bytes]) -> None:
        self.files = files

    def read(self, path: str) -> Iterator[bytes]:
        if path not in self.files:
            raise FileNotFoundError(2, "No such file or directory", path)
        yield self.files[path]

    def identity(self, path: str) -> str:
        if path not in self.files:
            raise FileNotFoundError(2, "No such file or directory", path)
        return path

    def listdir(self, path: str) -> list[str]:
        raise FileNotFoundError(2, "No such file or directory", path)

    def is_file(self, path: str) -> bool:
        return path in self.files

    def run(self, command: str) -> tuple[int, bytes]:
        return 1, b""

    def stdin(self) -> bytes:
        return b""

    def user_exists(self, name: str) -> bool:
        return True

    def group_exists(self, name: str) -> bool:
        return True


def config(*lines: str) -> Any:
    """Load configuration lines; an AssertionError names what is wrong with them."""
    text = "".join(line + "\n" for line in lines).encode()
    result = p.config_load(["-C", CONFIG_PATH], DictSource({CONFIG_PATH: text}))
    assert result.config is not None, result.problems
    return result.config


def name(text: str) -> bytes:
    """Text to a wire name."""
    return dnswire.pack_name(text)


def addr(text: str) -> bytes:
    """Text to a packed address."""
    return socket.inet_pton(socket.AF_INET6 if ":" in text else socket.AF_INET, text)


def at(interface: str, address: str, prefix: int, **fields: Any) -> Any:
    """An address of an interface."""
    return p.InterfaceAddress(interface, 1, addr(address), prefix, **fields)


class LogLines(p.Log):
    """A log that keeps its lines; time stands still for repeated complaints."""

    def __init__(self) -> None:
        super().__init__()
        self.queries = True

    def put(self, line: Any) -> None:
        self._lines.append(line)

    def texts(self) -> list[str]:
        return [line if isinstance(line, str) else line[2] for line in self._lines]


def domain_of(settings: Any) -> Any:
    """The domain for every address: the last `domain=` line."""
    rules = settings.domain
    return lambda address: rules[-1].domain if rules else b""


def local_data(
    settings: Any, hosts: Sequence[tuple[str, str]] = (), hostname: bytes = b"\6router\0", log: LogLines | None = None
) -> Any:
    """Local data of a configuration and of hosts files given as (path, text)."""
    data = p.LocalData()
    data.add_config(settings, domain_of(settings), hostname)
    expand = domain_of(settings) if settings.expand_hosts else lambda address: b""
    reader = p.HostsReader(data, expand, (log or LogLines()).error)
    for path, text in hosts:
        reader.read([text.encode("utf-8", "surrogateescape")], path)
    data.freeze()
    return data


def domain_rules(settings: Any, resolv: bytes = b"") -> Any:
    """The domain rules of a configuration and a resolv file."""
    rules = p.DomainRules({})
    rules.add_bulk(settings.bulk_local, settings.bulk_null)
    for rule in settings.address:
        rules.add_address(rule)
    for server in [*settings.server, *p.resolv_parse(resolv)]:
        rules.add_server(server)
    for domain in settings.domain:
        if domain.local:
            rules.add_server(p.UpstreamRule((p.DomainPattern(domain.domain.lower(), 0),), "local"))
    return rules


class Seen:
    """What became of a question."""

    def __init__(self, answer: Any, texts: list[str]) -> None:
        self.answer = answer
        self.outcome: str = answer.outcome
        self.lines = texts
        self.wires: list[bytes] = answer.finish(answer.lasting) if self.outcome == "reply" else []
        self.message = dnswire.parse(self.wires[0]) if self.wires else dnswire.DnsMessage()
        if self.wires:
            assert self.message.trailing == 0
        self.rcode = self.message.rcode if self.wires else ""
        self.flags = self.message.flag_names()
        self.records = [str(item) for item in self.message.answer]
        self.rdatas = [item.rdata for item in self.message.answer]
        self.authority = [str(item) for item in self.message.authority]

    @property
    def servers(self) -> list[str]:
        """The addresses of the group that a forwarded question goes to."""
        return [server.address for server in self.answer.group.servers]


class Pure:
    """A DNS state by hand, with a clock that only moves when it is told to."""

    def __init__(
        self,
        *lines: str,
        hosts: str | Sequence[tuple[str, str]] = (),
        interfaces: Sequence[Any] = (),
        resolv: bytes = b"",
        hostname: str = "router",
        cache_size: int = 150,
    ) -> None:
        self.now = NOW
        self.log = LogLines()
        self.config = config(*lines)
        files = [("/etc/hosts", hosts)] if isinstance(hosts, str) else list(hosts)
        self.local = local_data(self.config, files, name(hostname), self.log)
        self.local.set_interfaces(interfaces)
        self.rules = domain_rules(self.config, resolv)
        self.cache = p.DnsCache(cache_size)
        self.answers = p.WireAnswers(cache_size)
        self.metrics = p.DnsMetrics()
        self.state = p.DnsState(
            self.config, self.local, self.rules, self.cache, self.answers, self.metrics, self.log, name(hostname)
        )
        self.state.interfaces = tuple(interfaces)
        self.state.serial = 77

    def client(self, address: str = CLIENT, tcp: bool = False, auth: bool = False, interface: str = "eth0") -> Any:
        made = p.DnsClient(address, 5353, tcp, lambda wire: None)
        made.auth, made.interface = auth, interface
        mine = [one.address for one in self.state.interfaces if one.interface == interface and len(one.address) == 4]
        made.local = mine[0] if mine else b""
        return made

    def query(self, asked: str, qtype: str = "A", **how: Any) -> Any:
        """An unpacked query."""
        return p.dns_query_unpack(dnswire.build_query(asked, qtype, id=0x1234, **how))

    def ask(
        self, asked: str, qtype: str = "A", *, tcp: bool = False, auth: bool = False, who: str = CLIENT,
        interface: str = "eth0", **how: Any,
    ) -> Seen:  # fmt: skip
        """Ask a question now; give what became of it."""
        client = self.client(who, tcp, auth, interface)
        answer = p.dns_answer(self.query(asked, qtype, **how), client, self.state, self.now)
        assert answer.outcome in ("reply", "silence", "forward"), answer.outcome
        return Seen(answer, list(answer.texts))

    def reply(
        self, asked: str, qtype: str = "A", *records: str, sent: Sequence[tuple[int, bytes]] = (), raw: bytes = b"",
        authority: Sequence[str] = (), additional: Sequence[str] = (), query: dict[str, Any] | None = None, **how: Any,
    ) -> Back:  # fmt: skip
        """Review a reply of an upstream to a question that was forwarded."""
        how.setdefault("edns", 1232)
        question = self.query(asked, qtype, **(query or {}))
        wire = raw or dnswire.build_reply(
            dnswire.parse(question.wire),
            answer=[dnswire.record(item) for item in records],
            authority=[dnswire.record(item) for item in authority],
            additional=[dnswire.record(item) for item in additional],
            **how,
        )
        message = p.dns_message_unpack(wire)
        server = p.Upstream("9.9.9.9", 53)
        reviewed = p.dns_review(message, question, self.state, self.now, server, sent)
        return Back(reviewed, question)


class Back:
    """A reviewed reply."""

    def __init__(self, reviewed: Any, question: Any) -> None:
        self.reviewed = reviewed
        self.question = question
        self.dropped: bool = reviewed.drop
        self.lines: list[str] = list(reviewed.texts)

    def packed(self, tcp: bool = False, question: Any = None) -> dnswire.DnsMessage:
        """The message for the client (or for another client's `question`), parsed."""
        message = dnswire.parse(self.reviewed.pack(question or self.question, tcp))
        assert message.trailing == 0
        return message

    @property
    def records(self) -> list[str]:
        return [str(item) for item in self.packed().answer]


# -- DHCPv4 ---------------------------------------------------------------------------------

RANGE = "dhcp-range=10.5.0.50,10.5.0.150,1h"
SHORT = "10.5.0"  # the network that an address `.60` is in
LAN, WAN = at("lan0", "10.5.0.1", 24), at("wan0", "10.9.0.1", 24)
CLIENTS = b"\2\xaa\0\0\0"  # the first five octets of a client's address
WALL = 1_800_000_000.0  # of the wall clock when the other says NOW


def ip(text: str) -> str:
    """An address; `.60` is one of the usual network."""
    return SHORT + text if text.startswith(".") else text


def number(text: str) -> int:
    """An address as a number."""
    return int.from_bytes(addr(ip(text)), "big")


def short(address: int | str) -> str:
    """An address as `ip` reads it."""
    text = p.ip4_format(address) if isinstance(address, int) else address
    return text.removeprefix(SHORT) if text.startswith(SHORT + ".") else text


def mac(word: str) -> bytes:
    """`m7` is client number 7; else hex digits, `-` for none."""
    return CLIENTS + bytes((int(word[1:]),)) if re.fullmatch(r"m\d+", word) else bytes.fromhex(word.strip("-"))


def shown(data: bytes | None) -> str:
    """Octets as text after a quote where they are printable, else as hex."""
    if data is None:
        return "-"
    return "'" + data.decode() if data and all(0x20 < octet < 0x7F for octet in data) else data.hex() or "empty"


def octets(text: str) -> bytes:
    """Text after a quote (`_` is a blank, `~` a NUL), else hex digits."""
    if text.startswith("'"):
        return text[1:].replace("_", " ").replace("~", "\0").encode("latin-1")
    return bytes.fromhex(text)


def packed(text: str) -> bytes:
    return addr(ip(text))


def name_octets(text: str) -> bytes:
    """A name as it is; `~` is a NUL."""
    return text.replace("~", "\0").encode("latin-1")


def fqdn(text: str) -> bytes:
    """FLAGS:NAME, or FLAGS:NAME. for the wire format's end mark; hex flags."""
    flags, _, asked = text.partition(":")
    if not int(flags, 16) & 4:
        return bytes((int(flags, 16), 0, 0)) + name_octets(asked)
    labels = [name_octets(label) for label in asked.rstrip(".").split(".") if label]
    wire = b"".join(bytes((len(label),)) + label for label in labels)
    return bytes((int(flags, 16), 0, 0)) + wire + (b"\0" if asked.endswith(".") else b"")


# Words of a packet, as in dhcp_oracle_cases.py.
DHCP_OPTIONS: dict[str, tuple[int, Callable[[str], bytes]]] = {
    "req": (50, packed), "sid": (54, packed), "subnet": (118, packed), "name": (12, name_octets),
    "vendor": (60, lambda text: octets("'" + text)), "user": (77, octets), "clid": (61, octets),
    "prl": (55, lambda text: bytes(map(int, text.split(",")))),
    "lease": (51, lambda text: int(text).to_bytes(4, "big")),
    "size": (57, lambda text: int(text).to_bytes(2, "big")), "rapid": (80, octets), "fqdn": (81, fqdn),
}  # fmt: skip
DHCP_AGENT: dict[str, tuple[int, Callable[[str], bytes]]] = {
    "circuit": (1, octets), "remote": (2, octets), "link": (5, packed), "subscr": (6, octets), "over": (11, packed),
}  # fmt: skip
DHCP_HEAD = {"ci": "ciaddr", "yi": "yiaddr", "si": "siaddr", "gi": "giaddr"}


def dhcp_message(words: Sequence[str]) -> dhcpwire.DhcpMessage:
    """Make a packet of words: KIND CLIENT [word or word=value]..."""
    hardware = mac(words[1])
    message = dhcpwire.DhcpMessage(xid=4097, chaddr=hardware, hlen=len(hardware))
    kind = dhcpwire.TYPES.get(words[0].upper(), 0)
    message.options += [(53, bytes((kind,)))] if kind else []
    agent = b""
    for word in words[2:]:
        key, _, value = word.partition("=")
        if key in DHCP_OPTIONS:
            code, convert = DHCP_OPTIONS[key]
            message.options.append((code, convert(value)))
        elif key in DHCP_AGENT:
            code, convert = DHCP_AGENT[key]
            agent += bytes((code, len(convert(value)))) + convert(value)
        elif re.fullmatch(r"o\d+", key):
            message.options.append((int(key[1:]), octets(value)))
        elif key in DHCP_HEAD:
            setattr(message, DHCP_HEAD[key], ip(value))
        elif key == "pxe":  # what a boot ROM for that architecture tells of itself
            vendor = b"PXEClient:Arch:%05d:UNDI:002001" % int(value)
            message.options += [(60, vendor), (93, int(value).to_bytes(2, "big")), (97, bytes(17))]
        elif key == "item":  # TYPE.LAYER of a boot menu
            kind_, layer = (int(part).to_bytes(2, "big") for part in value.split("."))
            message.options.append((43, b"\x47\x04" + kind_ + layer + b"\xff"))
        elif key == "bcast":
            message.flags = 0x8000
        elif key in ("sname", "file"):
            setattr(message, key, octets(value))
        elif key not in ("on", "from", "sport", "dport", "uni"):
            setattr(message, key, int(value))
    if agent:
        message.options.append((82, agent))
    return message


class Dhcp:
    """DHCPv4 by hand, with a clock that only moves when it is told to; without a range among `lines` it has RANGE.

    `play` runs a script of lines `COMMAND -> WHAT IS EXPECTED`; the methods `do_...` are the commands.
    """

    def __init__(
        self, *lines: str, hosts: str = "", interfaces: Sequence[Any] = (LAN, WAN), leases: bytes = b"",
        ping: bool = False,
    ) -> None:  # fmt: skip
        self.now = NOW
        self.log = LogLines()
        self.table = p.LeaseTable(0)
        self.interfaces = tuple(interfaces)
        state = self.state(*lines, hosts=hosts, ping=ping)
        self.table.limit, self.table.fqdn = self.config.dhcp_lease_max, bool(self.config.dhcp_fqdn)
        self.table.extras = bool(self.config.leasequery)
        self.dice: Callable[[int], int] = lambda below: 0
        self.service = p.Dhcp4Service(state, self.table, lambda below: self.dice(below))
        self.service.script = True
        if leases:
            assert self.table.read(leases, WALL, self.now) == []
            self.service.rename_all()
            self.table.take_events()
        self.outcome: Any = None
        self.reply: dhcpwire.DhcpMessage | None = None
        self.last: dict[str, str] = {}
        self._logged = 0

    def state(self, *lines: str, hosts: str = "", ping: bool = False) -> Any:
        """Make a state of configuration lines and the text of a hosts file."""
        extra = [] if any(line.startswith("dhcp-range") for line in lines) else [RANGE]
        self.config = config("no-resolv", *([] if ping else ["no-ping"]), *extra, *lines)
        domain_of = lambda address: p.domain_for(self.config.domain, b"", self.interfaces, address)  # noqa: E731
        self.local = local_data(self.config, [("/etc/hosts", hosts)] if hosts else [], log=self.log)
        return p.DhcpState(
            self.config, p.DhcpHosts(self.config.dhcp_host), self.config.dhcp_option, self.interfaces, self.local,
            domain_of, self.log,
        )  # fmt: skip

    def arrival(self, words: Sequence[str], message: dhcpwire.DhcpMessage) -> Any:
        """Tell how a packet came: `on=`, `from=`, `sport=`, `dport=`, `uni`."""
        given = dict(word.partition("=")[::2] for word in words)
        interface = given.get("on", "lan0")
        own = next((int.from_bytes(one.address, "big") for one in self.interfaces if one.interface == interface), 0)
        relayed = message.giaddr != "0.0.0.0"
        source = given.get("from", message.giaddr if relayed else message.ciaddr)
        port = int(given.get("sport", "67" if relayed else "68"))
        unicast = "uni" in given or relayed
        return p.Dhcp4Arrival(
            interface, 1, own, number(source), port, unicast=unicast, pxe=given.get("dport") == "4011"
        )

    def send(self, line: str) -> str:
        """Put a packet to the service; tell what came back."""
        words = [word.replace("=.", f"={self.last.get(line.split()[1], '')}") if word.endswith("=.") else word
                 for word in line.split()]  # fmt: skip
        message = dhcp_message(words)
        self.outcome = self.reply = None
        try:
            unpacked = p.dhcp4_unpack(message.pack().ljust(300, b"\0"))
            self.outcome = self.service.handle(unpacked, self.arrival(words, message), self.now)
        except p.DhcpPing as ping:
            return f"PING {short(ping.address)}"
        if self.outcome is None:
            return "SILENCE"
        reply = self.reply = dhcpwire.parse(self.outcome.wire)
        assert (reply.op, reply.xid, reply.ended, reply.rest.strip(b"\0")) == (2, message.xid, True, b"")
        kind = reply.kind()
        if kind == "NAK":
            return f"NAK {(reply.value(56) or b'').decode()}"
        address = reply.yiaddr if kind in ("OFFER", "ACK", "BOOTP") else reply.ciaddr
        if address != "0.0.0.0":
            self.last[words[1]] = address
        return f"{kind} {short(address)}"

    def play(self, script: str) -> None:
        """Run a script; `->` without anything behind expects nothing, a line without it anything.

        Lines that begin with a bar go on where the one before ended.
        """
        wrong = []
        for line in re.sub(r"\n *\| ", "|", script.strip()).splitlines():
            command, arrow, hoped = line.strip().partition(" ->")
            seen = self.do(command).strip()
            right = not arrow or seen == hoped.strip()
            wrong.append(f"    {command} -> {seen}" if right else f"BAD {command} -> {seen}\n    EXPECTED {hoped}")
        assert not any(line.startswith("BAD") for line in wrong), "\n" + "\n".join(wrong)

    def do(self, command: str) -> str:
        """Run one command."""
        word, _, rest = command.partition(" ")
        method = getattr(self, f"do_{word}", None)
        result: str = method(*rest.split()) if method is not None else self.send(command)
        return result

    def do_dora(self, client: str, *words: str) -> str:
        """Discover, and request what was offered."""
        offer = self.send(f"discover {client} {' '.join(words)}")
        if not offer.startswith("OFFER"):
            return offer
        sid = p.ip4_format(int.from_bytes(self.reply.value(54) or b"", "big")) if self.reply else ""
        again = [word for word in words if not word.startswith("req=")]
        return self.send(f"request {client} req=. sid={sid} {' '.join(again)}")

    def do_wait(self, seconds: str) -> str:
        """Let time pass, and leases end."""
        self.now += float(seconds)
        self.service.expire(self.now)
        return ""

    def do_ping(self, address: str, result: str) -> str:
        """Bring the result of a ping: alive or dead."""
        self.service.pool.ping_result(number(address), result == "alive", self.now)
        return ""

    def do_events(self) -> str:
        """What the script hears: ACTION ADDRESS NAME, and the name that was lost after a slash."""
        texts = []
        for event in self.table.take_events():
            former = f"/{event.former_name}" if event.former_name else ""
            texts.append(f"{event.action} {short(event.lease.address)} {event.name or '*'}{former}")
        return "; ".join(texts)

    def do_leases(self) -> str:
        """The lease file without its times."""
        lines = [line.split() for line in self.table.text(WALL - NOW).decode().splitlines()]
        clients = {CLIENTS.hex(":") + f":{at:02x}": f"m{at}" for at in range(256)}
        return "; ".join(f"{clients.get(row[1], row[1])} {short(row[2])} {' '.join(row[3:])}" for row in lines)

    def do_dns(self, *names: str) -> str:
        """What A records we have for names."""
        found = [[short(p.ip4_number(rr.rdata)) for rr in self.local.find(name(one).lower(), 1)] for one in names]
        return " ".join(",".join(one) or "-" for one in found)

    def do_ptr(self, *addresses: str) -> str:
        """What names addresses have."""
        found = [self.local.find_reverse(packed(one)) for one in addresses]
        return " ".join(p.dns_name_format(rr.rdata) if rr is not None else "-" for rr in found)

    def do_order(self) -> str:
        """The numbers of the reply's options, in their order."""
        return " ".join(str(code) for code, _ in self.reply.options) if self.reply else "-"

    def do_get(self, *codes: str) -> str:
        """Options of the reply."""
        return " ".join(shown(self.reply.value(int(code))) for code in codes) if self.reply else "-"

    def do_head(self, *fields: str) -> str:
        """Fields of the reply's header."""
        values = [getattr(self.reply, DHCP_HEAD.get(field, field)) for field in fields]
        return " ".join(
            short(one) if isinstance(one, str) else shown(one.rstrip(b"\0")) if isinstance(one, bytes) else f"{one:x}"
            for one in values
        )

    def do_to(self) -> str:
        """Where the reply goes."""
        out = self.outcome
        return f"{short(out.address)}:{out.port}" + (f" {out.hardware.hex()}" if out.hardware else "") if out else "-"

    def do_log(self) -> str:
        """The log lines since the last time, without blanks at their ends; a bar between them."""
        texts = self.log.texts()
        new, self._logged = texts[self._logged :], len(texts)
        return "|".join(text.rstrip() for text in new)
