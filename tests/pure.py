"""Put the program's pure parts together by hand: no sockets, no clock, no files.

`Pure(lines)` is a whole DNS state made of configuration lines and hosts texts.
Questions and replies are made and read with the tests' own codec.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator, Sequence
from typing import Any

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

    def is_dir(self, path: str) -> bool:
        return False

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
