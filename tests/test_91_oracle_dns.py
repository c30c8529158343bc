"""The same configuration and packets through dnsmasq and through pydnsmasq."""

from __future__ import annotations

import pathlib
import re
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest

import dnswire
from dnswire import DnsMessage, DnsQuestion, DnsRecord
from harness import ANSWER_SECONDS, OURS_KIND, REAL, Daemon, MockReply, MockUpstream, need, table_zone, tcp_raw, udp_raw
from oracle_cases import CASES, RAW, SOA, ZONE, ZONE2, OracleCase

SILENCE_SECONDS = 0.4


@dataclass
class Question:
    """One line of a case."""

    text: str
    packet: bytes = b""
    tcp: bool = False
    to: str = ""
    seconds: float = ANSWER_SECONDS
    sleep: float = 0.0
    allowed: tuple[str, ...] = ()
    reason: str = ""

    def ignored(self) -> tuple[str, ...]:
        """The starts of complaints that are expected: the words after `~`."""
        return tuple(word[1:].replace("_", " ") for word in self.allowed if word.startswith("~"))


def _one_question(line: str) -> Iterator[Question]:
    line, _, difference = line.partition(" ! ")
    words = line.split()
    allowed, _, reason = difference.partition(" : ")
    question = Question(line, allowed=tuple(allowed.split()), reason=reason)
    if words[0] == "sleep":
        yield Question(line, sleep=float(words[1]))
        return
    if words[0] == "raw":
        question.packet, question.seconds = RAW[words[1]], SILENCE_SECONDS
        yield question
        return
    options: dict[str, str] = dict(word.partition("=")[::2] for word in words[2:] if not word.startswith("*"))
    flags = ["RD"] if "rd0" not in options else []
    flags += [word.upper() for word in ("ad", "cd") if word in options]
    question.tcp = "tcp" in options
    question.to = options.get("to", "")
    question.seconds = float(options.get("wait", ANSWER_SECONDS))
    edns_options = None
    if "opt" in options:
        code, _, data = options["opt"].partition(":")
        edns_options = [(int(code), bytes.fromhex(data))]
    question.packet = dnswire.build_query(
        words[0],
        words[1],
        options.get("class", "IN"),
        id=7,
        flags=" ".join(flags),
        edns=int(options["edns"]) if "edns" in options else None,
        do="do" in options,
        options=edns_options,
    )
    for _ in range(next((int(word[1:]) for word in words if word.startswith("*")), 1)):
        yield question


def questions_of(case: OracleCase) -> list[Question]:
    return [question for line in case.questions.splitlines() if line.strip() for question in _one_question(line)]


# -- the upstream that both sides see --------------------------------------------


def _special(name: str) -> MockReply | None:
    """Names that misbehave."""
    answer = [DnsRecord(name, "A", "IN", 60, "198.18.5.5")]
    other = [DnsRecord("other.example.com", "A", "IN", 60, "198.18.5.5")]
    table: dict[str, MockReply] = {
        "servfail": MockReply(rcode="SERVFAIL"),
        "refused": MockReply(rcode="REFUSED"),
        "formerr": MockReply(rcode="FORMERR"),
        "notimp": MockReply(rcode="NOTIMP"),
        "nora": MockReply(flags="QR", answer=answer),
        "aa": MockReply(flags="QR AA RA", answer=answer),
        "ad": MockReply(flags="QR RA AD", answer=answer),
        "noopt": MockReply(answer=answer, edns=False),
        "ede": MockReply(answer=answer, options=[(15, b"\0\x16")]),
        "lie": MockReply(answer=other, wrong_question=True),
        "wrongid": MockReply(answer=answer, wrong_id=True),
        "wrongport": MockReply(answer=answer, wrong_port=True),
        "garbage": MockReply(raw=b"\x81\x80\0\1\0\5\0\0\0\0\7garbage\7example\3com\0\0\1\0\1\xff\xff"),
        "trunc": MockReply(answer=answer, truncate=True),
    }
    first, _, rest = name.lower().partition(".")
    return table.get(first) if rest == "example.com" else None


def oracle_zone(text: str):  # type: ignore[no-untyped-def]
    base = table_zone(text, SOA)

    def zone(question: DnsQuestion, query: DnsMessage) -> MockReply:
        reply = _special(question.name) or base(question, query)
        if question.name.lower() == "huge.example.com" and not reply.truncate:
            reply.truncate = (query.edns_size or 512) < 4096
        return reply

    return zone


@dataclass
class Side:
    """One of the two programs with its own upstreams."""

    daemon: Daemon
    up: MockUpstream
    two: MockUpstream
    lines: int = 0

    def seen(self) -> int:
        return len(self.up.seen) + len(self.two.seen)

    def new_lines(self) -> list[str]:
        lines = self.daemon.log().splitlines()
        new, self.lines = lines[self.lines :], len(lines)
        return [self.normal(line) for line in new]

    def normal(self, line: str) -> str:
        """A log line without what two runs cannot have in common.

        Upper case goes too: 2.93 logs names in lower case, 2.90 as they came.
        """
        line = re.sub(r"^\w{3} [ \d]\d [\d:]{8} dnsmasq\[\d+\]: ", "", line)
        line = line.replace(self.up.address, "UP").replace(self.two.address, "TWO")
        line = line.replace(str(self.daemon.directory), "DIR")
        return re.sub(r"^((?:UDP |TCP )?\d+ \S+)/\d+ ", r"\1/PORT ", line).lower()


@pytest.fixture
def sides(request: pytest.FixtureRequest, tmp_path: pathlib.Path) -> Iterator[tuple[Side, Side]]:
    need(REAL, "dnsmasq")
    case: OracleCase = request.param
    made: list[Side] = []
    try:
        for label, kind in (("real", "real"), ("ours", "ours")):
            up, two = MockUpstream(oracle_zone(ZONE)).start(), MockUpstream(oracle_zone(ZONE2)).start()
            daemon = Daemon(
                tmp_path / label,
                case.conf.replace("port=$PORT\n", ""),
                kind=kind,
                words={"$UP": up.address, "$TWO": two.address},
                files=case.files,
                host=case.host,
            )
            made.append(Side(daemon, up, two))
            daemon.spawn()
        for side in made:
            side.daemon.wait_ready()
            # The log is written apart from the answers: wait for the line of the first one.
            logged = "version.bind from" if re.search("^log-queries", case.conf, re.M) else "started, version"
            side.daemon.wait_log(logged)
        time.sleep(0.05)
        for side in made:
            side.new_lines()
        yield made[0], made[1]
    finally:
        for side in made:
            side.daemon.stop()
            side.up.stop()
            side.two.stop()


# -- comparing ---------------------------------------------------------------------


def ask_raw(side: Side, question: Question) -> bytes | None:
    send = tcp_raw if question.tcp else udp_raw
    reply = send(question.packet, side.daemon.port, question.to or side.daemon.host, question.seconds)
    if reply is not None:
        # servers.bind tells ports; both sides' are made the same (all have five digits).
        for upstream, shown in ((side.up, b"127.0.0.1#11111"), (side.two, b"127.0.0.1#22222")):
            reply = reply.replace(upstream.address.encode(), shown)
        reply = re.sub(rb"dnsmasq-2\.\d\d", b"dnsmasq-2.xx", reply)
    return reply


def ask_sides(sides: tuple[Side, Side], question: Question) -> list[DnsMessage | str | None]:
    """Ask both at once: where one is silent the other mostly is so too."""
    with ThreadPoolExecutor(2) as pool:
        return [read_reply(data) for data in pool.map(lambda side: ask_raw(side, question), sides)]


def read_reply(data: bytes | None) -> DnsMessage | str | None:
    if data is None:
        return None
    try:
        return dnswire.parse(data)
    except dnswire.DnsWireError as error:
        return f"{error} in {data.hex()}"


def outcome(reply: DnsMessage | str | None) -> str:
    if isinstance(reply, DnsMessage):
        high = reply.edns_flags >> 24
        return "BADVERS" if high == 1 and reply.rcode == "NOERROR" else reply.rcode
    if reply is None:
        return "SILENCE"
    # Not parsable as a whole: a bad question echoed; the header still counts.
    return dnswire.RCODES.get(int(reply.rpartition(" ")[2][7], 16), "?")


NAME_TYPES = {"CNAME", "PTR", "NS", "MX", "SRV", "SOA"}


def _data(item: DnsRecord) -> str:
    """The data, names in lower case: compression may change their case."""
    return item.rdata.lower() if item.rtype in NAME_TYPES else item.rdata


def shape(records: list[DnsRecord]) -> list[tuple[str, str, str, str]]:
    """Aliases in their order, then the rest sorted: dnsmasq rotates."""
    rows = [(item.name.lower(), item.rtype, item.klass, _data(item)) for item in records]
    return [row for row in rows if row[1] == "CNAME"] + sorted(row for row in rows if row[1] != "CNAME")


def ttls(records: list[DnsRecord]) -> dict[tuple[str, str, str], int]:
    return {(item.name.lower(), item.rtype, _data(item)): item.ttl for item in records}


def _same_ttl(key: tuple[str, str, str], theirs: int, mine: int) -> bool:
    """Within a second; a SOA may show the shorter life that RFC 2308 s.3 gives a negative answer."""
    return abs(theirs - mine) <= 1 or (key[1] == "SOA" and mine <= theirs)


def own_soa(real: DnsMessage, ours: DnsMessage) -> bool:
    """Ours gives an empty answer of its own making a SOA, dnsmasq does not."""
    empty = real.rcode == "NOERROR" and all(item.rtype == "CNAME" for item in real.answer)
    return empty and not real.authority and [item.rtype for item in ours.authority] == ["SOA"]


def differences(real: DnsMessage, ours: DnsMessage) -> list[str]:
    found = []

    def compare(what: str, left: object, right: object) -> None:
        if left != right:
            found.append(f"{what}: dnsmasq {left}, ours {right}")

    compare("rcode", real.rcode, ours.rcode)
    compare("flags", real.flag_names(), ours.flag_names())
    compare("opcode", real.opcode, ours.opcode)
    compare("id", real.id, ours.id)
    compare("question", real.question, ours.question)
    compare("trailing bytes", real.trailing, ours.trailing)
    compare("EDNS size", real.edns_size, ours.edns_size)
    compare("EDNS flags", real.edns_flags, ours.edns_flags)
    compare("EDE", real.ede, ours.ede)
    sections = ["answer", "additional"] + ([] if own_soa(real, ours) else ["authority"])
    for section in sections:
        left, right = getattr(real, section), getattr(ours, section)
        compare(section, shape(left), shape(right))
        if shape(left) == shape(right):
            theirs, mine = ttls(left), ttls(right)
            if not all(_same_ttl(key, theirs[key], mine[key]) for key in theirs):
                compare(f"{section} TTL", theirs, mine)
    return found


def compare_question(question: Question, real: Side, ours: Side) -> list[str]:
    counts = real.seen(), ours.seen()
    left, right = ask_sides((real, ours), question)
    if question.allowed and not question.ignored():
        if OURS_KIND == "real":
            return []
        fine = "ANY" in question.allowed or outcome(right) in question.allowed
        return [] if fine else [f"ours {outcome(right)}, allowed {question.allowed}: {question.reason}"]
    if isinstance(left, DnsMessage) and isinstance(right, DnsMessage):
        found = differences(left, right)
    else:
        found = [] if left == right else [f"dnsmasq {left}, ours {right}"]
    if real.seen() == counts[0] or ours.seen() == counts[1]:
        time.sleep(0.02)  # what is refreshed is asked for after the reply
    asked = real.seen() > counts[0], ours.seen() > counts[1]
    if asked[0] != asked[1] and question.seconds > SILENCE_SECONDS:
        found.append(f"upstream asked: dnsmasq {asked[0]}, ours {asked[1]}")
    return found


def compare_logs(real: Side, ours: Side) -> list[str]:
    wanted = sorted(real.new_lines())
    got: list[str] = []
    end = time.monotonic() + 0.5
    while True:
        got += ours.new_lines()
        if sorted(got) == wanted:
            return []
        if time.monotonic() > end:
            missing = sorted((Counter(wanted) - Counter(got)).elements())
            extra = sorted((Counter(got) - Counter(wanted)).elements())
            return [f"log lines missing {missing}, extra {extra}"]
        time.sleep(0.02)


@pytest.mark.parametrize("sides", CASES, indirect=True, ids=[case.name.replace(" ", "-") for case in CASES])
def test_same_answers(sides: tuple[Side, Side], request: pytest.FixtureRequest) -> None:
    real, ours = sides
    case: OracleCase = request.node.callspec.params["sides"]
    found = []
    for question in questions_of(case):
        if question.sleep:
            time.sleep(question.sleep)
            continue
        complaints = compare_question(question, real, ours)
        ignored = question.ignored()
        if case.log and (not question.allowed or ignored and "log" not in ignored):
            complaints += compare_logs(real, ours)
        elif case.log:
            time.sleep(0.05)
            real.new_lines()
            ours.new_lines()
        complaints = [complaint for complaint in complaints if not ignored or not complaint.startswith(ignored)]
        found += [f"{question.text}: {complaint}" for complaint in complaints]
    assert not found, "\n" + "\n".join(found)


def test_the_table_is_large_enough() -> None:
    assert len(CASES) >= 40
    assert sum(len(questions_of(case)) for case in CASES) >= 400
    assert sum(case.log for case in CASES) >= 10
    assert len({case.name for case in CASES}) == len(CASES)


def test_expected_differences_have_reasons() -> None:
    for case in CASES:
        for question in questions_of(case):
            assert bool(question.allowed) == bool(question.reason), f"{case.name}: {question.text}"
