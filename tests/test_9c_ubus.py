"""enable-ubus: the daemon on OpenWrt's bus.

The bus is the stand-in of ubuswire.py, or with UBUSD=/path/to/ubusd a real one; what
the stand-in answers was recorded from a real one.
"""

from __future__ import annotations

import contextlib
import functools
import os
import pathlib
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import ubuswire
from harness import ALONE, OURS_KIND, REC, TESTS, Daemon, MakeDaemon, MockUpstream, need, need_tool, wait_until
from netkit import DhcpClient, Net
from ubuswire import INVALID_ARGUMENT, METHOD_NOT_FOUND, NOT_FOUND, OK, Bus, Message, Typed, Ubusd, attribute, one_field

pytestmark = pytest.mark.skipif(OURS_KIND == "real", reason="the dnsmasq here is built without UBus")
UBUSD = os.environ.get("UBUSD", "")
STAND_IN = pytest.mark.skipif(bool(UBUSD), reason="only the stand-in does this")
# Starts the program with the bus at another path, and hurries it.
ELSEWHERE = """
import importlib.util, sys
spec = importlib.util.spec_from_file_location("pydnsmasq", sys.argv[2])
sys.modules["pydnsmasq"] = module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
module.UBUS_PATHS, module.UBUS_RETRY_SECONDS = (sys.argv[1],), 0.1
sys.exit(module.main(sys.argv[3:]))
"""
METRICS = """
dns_cache_inserted dns_cache_live_freed dns_queries_forwarded dns_auth_answered dns_local_answered dns_stale_answered
dns_unanswered dnssec_max_crypto_use dnssec_max_sig_fail dnssec_max_work bootp pxe dhcp_ack dhcp_decline dhcp_discover
dhcp_inform dhcp_nak dhcp_offer dhcp_release dhcp_request noanswer leases_allocated_4 leases_pruned_4
leases_allocated_6 leases_pruned_6 tcp_connections dhcp_leasequery dhcp_lease_unassigned dhcp_lease_actve
dhcp_lease_unknown
""".split()
ZONE = """
one.test 300 A 10.1.0.1
two.test 60 A 10.1.0.2
two.test 60 A 10.1.0.3
six.test 300 AAAA fd00::6
text.test 300 TXT "words"
alias.test 300 CNAME one.test
"""
WARNING = "Cannot connect to UBus"


class Station:
    """A place for a bus, which is there between `start` and `stop`, and for what is connected to it."""

    def __init__(self) -> None:
        # Names of sockets are short: pytest's own directories are not.
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="ubus-"))
        self.path = self.directory / "ubus.sock"
        self.server: Ubusd | subprocess.Popen[bytes] | None = None
        self.buses: list[Bus] = []

    def start(self, path: pathlib.Path | None = None) -> Station:
        self.path = path or self.path
        self.path.parent.mkdir(exist_ok=True)
        if not UBUSD:
            self.server = Ubusd(self.path).start()
            return self
        self.server = subprocess.Popen([UBUSD, "-s", str(self.path)])
        wait_until(self.path.exists, what="ubusd's socket")
        return self

    def stop(self) -> None:
        if isinstance(self.server, Ubusd):
            self.server.stop()
            ours = {bus.id for bus in self.buses}
            assert [item for item in self.server.bad if item[0] not in ours] == []
        elif self.server is not None:
            self.server.kill()
            self.server.wait()
            self.path.unlink()
        self.server = None

    def close(self) -> None:
        for bus in self.buses:
            bus.close()
        try:
            self.stop()
        finally:
            shutil.rmtree(self.directory)

    def bus(self) -> Bus:
        """Another client."""
        self.buses.append(Bus(self.path))
        return self.buses[-1]

    @property
    def stand_in(self) -> Ubusd:
        assert isinstance(self.server, Ubusd)
        return self.server

    def sent(self, kind: str) -> list[Message]:
        """What clients have said to the stand-in."""
        return [item for client in list(self.stand_in.everybody) for item in list(client.seen) if item.kind == kind]

    @property
    def python(self) -> tuple[str, ...]:
        """What starts the program for this place."""
        return (sys.executable, "-c", ELSEWHERE, str(self.path))


@pytest.fixture
def station() -> Iterator[Station]:
    place = Station()
    try:
        yield place
    finally:
        place.close()


@pytest.fixture
def serve(station: Station, make: MakeDaemon) -> Callable[..., tuple[Daemon, Bus]]:
    """Start a bus and a daemon on it; both with a client of the bus, once the objects are there."""

    def started(conf: str = ALONE + REC, name: str = "") -> tuple[Daemon, Bus]:
        station.start()
        option = f"enable-ubus={name}\n" if name else "enable-ubus\n"
        daemon: Daemon = make(conf + option, python=station.python).start()
        bus = station.bus()
        bus.wait_object((name or "dnsmasq") + ".dns")
        return daemon, bus

    return started


# -- the stand-in is as ubusd ------------------------------------------------------


def replay(path: pathlib.Path) -> None:
    """Say what was recorded, and compare what comes."""
    clients: dict[str, socket.socket] = {}
    drawn: dict[bytes, bytes] = {}
    for line in (TESTS / "data" / "ubus" / "exchange.txt").read_text().splitlines():
        if line.startswith("#"):
            continue
        way, who, text = line.split()
        if who not in clients:
            clients[who] = socket.socket(socket.AF_UNIX)
            clients[who].settimeout(ubuswire.SECONDS)
            clients[who].connect(str(path))
        if text == "end":
            if way == ">":
                clients[who].close()
            else:
                assert ubuswire.read_message(clients[who]) is None, line
            continue
        data = bytes.fromhex(text)
        if way == ">":
            clients[who].sendall(re.sub(rb"I\d\d\d", lambda found: drawn[found[0]], data))
            continue
        got = ubuswire.read_message(clients[who])
        assert got is not None, line
        for found in re.finditer(rb"I\d\d\d", data):
            drawn.setdefault(found[0], got[found.start() : found.end()])
        assert got == re.sub(rb"I\d\d\d", lambda found: drawn[found[0]], data), line
    for sock in clients.values():
        sock.close()
    assert len(set(drawn.values())) == len(drawn) == 10


def test_the_bus_answers_as_recorded(station: Station) -> None:
    station.start()
    replay(station.path)
    if not UBUSD:
        assert len(station.stand_in.bad) == 1
        station.stand_in.bad.clear()


def test_fields_are_read_as_they_are_written() -> None:
    values = {"s": "é", "n": -1, "big": 1 << 40, "yes": True, "t": {"f": 0.5, "u": None}, "a": ["x", [], {}], "e": ""}
    data = ubuswire.fields(values)
    assert ubuswire.unfields(data) == {**values, "n": 0xFFFFFFFF, "yes": 1}
    for end in range(1, len(data)):
        with contextlib.suppress(ubuswire.UbusWireError):
            assert set(ubuswire.unfields(data[:end])) < set(values)


# -- objects and methods -----------------------------------------------------------


@pytest.mark.parametrize("name", ["", "dnsmasq.guest"])
def test_the_objects(serve: Any, name: str) -> None:
    daemon, bus = serve(name=name)
    name = name or "dnsmasq"
    assert bus.objects() == {name: {"metrics": {}}, f"{name}.dns": {}}
    daemon.wait_log("UBus support enabled")
    assert daemon.ask("rec.test").rdatas("A") == ["10.1.2.3"]
    assert WARNING not in daemon.log()


def test_metrics(serve: Any) -> None:
    with MockUpstream(ZONE) as mock:
        daemon, bus = serve(f"{ALONE}{REC}server={mock.address}\n")
        before = metrics(bus)
        for name in ("one.test", "rec.test", "two.test"):
            daemon.ask(name)
        daemon.ask("rec.test", tcp=True)
        after = metrics(bus)
    changed = {name: after[name] - before[name] for name in METRICS if after[name] != before[name]}
    # Starting asked for version.bind until there was an answer.
    assert changed == {
        "dns_cache_inserted": 3,
        "dns_queries_forwarded": 2,
        "dns_local_answered": 2,
        "tcp_connections": 1,
    }


def metrics(bus: Bus) -> dict[str, int]:
    """What `metrics` tells: thirty numbers of 32 bits in dnsmasq's order."""
    status, (data,) = bus.call("dnsmasq", "metrics", {})
    assert status == OK
    assert ubuswire.types(data) == [(name, ubuswire.INT32) for name in METRICS]
    return ubuswire.unfields(data)


@pytest.mark.parametrize(
    ("path", "method", "data", "status"),
    [
        ("dnsmasq", "metrics", None, OK),
        ("dnsmasq", "metrics", {"unknown": 1}, OK),
        ("dnsmasq", "metrics", b"not fields at all", OK),
        ("dnsmasq", "Metrics", {}, METHOD_NOT_FOUND),
        ("dnsmasq", "", {}, METHOD_NOT_FOUND),
        ("dnsmasq", "set_connmark_allowlist", {"mark": 1}, METHOD_NOT_FOUND),
        ("dnsmasq.dns", "metrics", {}, METHOD_NOT_FOUND),
        ("dnsmasq.", "metrics", {}, NOT_FOUND),
    ],
)
def test_calls(serve: Any, path: str, method: str, data: Any, status: int) -> None:
    _, bus = serve()
    assert bus.call(path, method, data)[0] == status


ALLOWLISTS: list[tuple[Any, int]] = [
    ({"mark": 1, "mask": 255, "patterns": ["*.one.test", "two.test"]}, OK),
    ({"mark": 1, "patterns": ["*"]}, OK),
    ({"mark": Typed(ubuswire.INT64, struct.pack(">Q", 0xFFFFFFFF)), "patterns": ["a.test"]}, OK),
    ({"mark": 1, "patterns": ["a.test"], "more": "of no interest"}, OK),
    ({"mark": 0, "patterns": ["a.test"]}, INVALID_ARGUMENT),
    ({"mask": 1, "patterns": ["a.test"]}, INVALID_ARGUMENT),
    ({"mark": 1, "mask": 0, "patterns": ["a.test"]}, INVALID_ARGUMENT),
    ({"mark": 4, "mask": 3, "patterns": ["a.test"]}, INVALID_ARGUMENT),
    ({"mark": "1", "patterns": ["a.test"]}, INVALID_ARGUMENT),
    ({"mark": {}, "patterns": ["a.test"]}, INVALID_ARGUMENT),
    ({"mark": 1, "patterns": "a.test"}, INVALID_ARGUMENT),
    ({"mark": 1, "patterns": [5]}, INVALID_ARGUMENT),
    ({"mark": 1, "patterns": [["a.test"]]}, INVALID_ARGUMENT),
    ({"mark": 1, "patterns": ["test"]}, INVALID_ARGUMENT),
    ({"mark": 1, "patterns": ["a.*"]}, INVALID_ARGUMENT),
    ({"mark": 1, "patterns": [""]}, INVALID_ARGUMENT),
    ({"mark": 1, "patterns": ["a.test", "b.test,c.test"]}, INVALID_ARGUMENT),
    ({"mark": 1, "patterns": ["a.test/b.test"]}, INVALID_ARGUMENT),
    ({"mark": 1, "patterns": ["a.test", "\udcff.test"]}, INVALID_ARGUMENT),
    ({}, INVALID_ARGUMENT),
    (None, INVALID_ARGUMENT),
]


def test_set_connmark_allowlist(serve: Any) -> None:
    daemon, bus = serve(f"{ALONE}{REC}connmark-allowlist-enable\n")
    arguments = {"mark": ubuswire.INT32, "mask": ubuswire.INT32, "patterns": ubuswire.ARRAY}
    assert bus.objects()["dnsmasq"] == {"metrics": {}, "set_connmark_allowlist": arguments}
    wrong = {str(data): got for data, want in ALLOWLISTS if (got := set_list(bus, data)) != want}
    assert wrong == {}
    assert daemon.ask("rec.test").rdatas("A") == ["10.1.2.3"]


def set_list(bus: Bus, data: Any) -> int:
    status, answers = bus.call("dnsmasq", "set_connmark_allowlist", data)
    assert answers == []
    return status


# -- results of DNS ----------------------------------------------------------------


def test_results(serve: Any) -> None:
    """Subscribers see addresses that come from upstream, one by one, and nothing else."""
    with MockUpstream(ZONE) as mock:
        daemon, bus = serve(f"{ALONE}{REC}server={mock.address}\n")
        bus.subscribe("dnsmasq.dns")
        for name, qtype in (("One.test", "A"), ("two.test", "A"), ("six.test", "AAAA"), ("alias.test", "A")):
            assert daemon.ask(name, qtype).rcode == "NOERROR"
        for name, qtype in (("text.test", "TXT"), ("none.test", "A"), ("rec.test", "A")):
            daemon.ask(name, qtype)
        daemon.ask("two.test", "AAAA", tcp=True)
        two = sorted(daemon.ask("two.test", tcp=True).rdatas("A"))
    assert two == ["10.1.0.2", "10.1.0.3"]
    events = bus.wait(5, "dns_result")
    assert {event.name for event in bus.events} == {"dns_result"} and not any(event.no_reply for event in events)
    text, number = ubuswire.STRING, ubuswire.INT32
    assert events[0].types == [("name", text), ("ttl", number), ("type", text), ("address", text)]
    seen = [tuple(event.data[key] for key in ("name", "type", "address", "ttl")) for event in events[:5]]
    assert seen[0] == ("one.test", "A", "10.1.0.1", 300)
    assert sorted(seen[1:3]) == [("two.test", "A", "10.1.0.2", 60), ("two.test", "A", "10.1.0.3", 60)]
    assert seen[3:] == [("six.test", "AAAA", "fd00::6", 300), ("one.test", "A", "10.1.0.1", 300)]


REPLIES: list[tuple[Any, str]] = [
    ({"address": "10.9.9.9"}, "10.9.9.9"),
    ({"address": "10.9.9.9", "more": {"of": ["no", "interest"]}}, "10.9.9.9"),
    ({}, "10.1.0.1"),
    ({"address": "10.1.0.1"}, "10.1.0.1"),
    ({"address": "fd00::9"}, "10.1.0.1"),
    ({"address": "10.9.9.999"}, "10.1.0.1"),
    ({"address": ""}, "10.1.0.1"),
    ({"address": 168430089}, "10.1.0.1"),
    ({"address": ["10.9.9.9"]}, "10.1.0.1"),
    ({"Address": "10.9.9.9"}, "10.1.0.1"),
    (METHOD_NOT_FOUND, "10.1.0.1"),
    (None, "10.1.0.1"),
]


def test_replies(serve: Any) -> None:
    """A subscriber may give another address of the same family; whatever else it says changes nothing."""
    replies = iter([reply for reply, _ in REPLIES])
    zone = "".join(f"n{number}.test 300 A 10.1.0.1\n" for number in range(len(REPLIES)))
    with MockUpstream(zone) as mock:
        daemon, bus = serve(f"{ALONE}server={mock.address}\n")
        bus.subscribe("dnsmasq.dns", lambda _: next(replies))
        got = [daemon.ask(f"n{number}.test").rdatas("A") for number in range(len(REPLIES))]
    assert got == [[address] for _, address in REPLIES]


@pytest.mark.parametrize("tcp", [False, True])
def test_replies_are_for_one_record_each(serve: Any, tcp: bool) -> None:
    def reply(data: dict[str, Any]) -> dict[str, Any]:
        return {"10.1.0.2": {"address": "10.9.0.2"}, "fd00::6": {"address": "fd00::9"}}.get(data["address"], {})

    with MockUpstream(ZONE) as mock:
        daemon, bus = serve(f"{ALONE}server={mock.address}\n")
        bus.subscribe("dnsmasq.dns", reply)
        assert sorted(daemon.ask("two.test", tcp=tcp).rdatas("A")) == ["10.1.0.3", "10.9.0.2"]
        assert daemon.ask("six.test", "AAAA", tcp=tcp).rdatas("AAAA") == ["fd00::9"]
        assert daemon.ask("alias.test", tcp=tcp).rdatas("A") == ["10.1.0.1"]


def test_several_subscribers(serve: Any, station: Station) -> None:
    """All are heard and waited for; one that says nothing does not keep the answer back for long."""
    with MockUpstream(ZONE) as mock:
        daemon, bus = serve(f"{ALONE}server={mock.address}\n")
        others = [station.bus(), station.bus()]
        bus.subscribe("dnsmasq.dns", lambda _: {"address": "10.9.9.9"})
        others[0].subscribe("dnsmasq.dns", lambda _: {})
        assert daemon.ask("one.test").rdatas("A") == ["10.9.9.9"]
        others[1].subscribe("dnsmasq.dns", lambda _: None)
        assert len(daemon.ask("two.test").rdatas("A")) == 2
        others[1].close()
        assert daemon.ask("six.test", "AAAA").rdatas("AAAA") == ["fd00::6"]
    assert len(others[0].wait(4)) == 4 and len(others[1].events) == 2


def test_without_subscribers(serve: Any, station: Station) -> None:
    """Nothing is sent when nobody listens, before and after."""
    with MockUpstream(ZONE) as mock:
        daemon, bus = serve(f"{ALONE}server={mock.address}\ncache-size=0\n")
        daemon.ask("one.test")
        mine = bus.subscribe("dnsmasq.dns")
        daemon.ask("one.test")
        assert len(bus.wait()) == 1
        assert bus.unsubscribe(mine) == OK
        metrics(bus)  # what was said to the daemon before has arrived by now
        daemon.ask("one.test")
        metrics(bus)
    assert len(bus.events) == 1
    if not UBUSD:
        assert len(station.sent("NOTIFY")) == 1


# -- DHCP and marks of connections -------------------------------------------------


@pytest.fixture
def net(tmp_path: pathlib.Path) -> Iterator[Net]:
    need_tool("ip")
    world = Net(tmp_path / "net")
    try:
        world.setup()
        yield world
    finally:
        world.close()


def start_in(net: Net, station: Station, conf: str) -> Bus:
    """Start a bus, and a daemon in the router's namespace; a client of the bus."""
    station.start()
    net.start(f"{ALONE}enable-ubus\n{conf}", python=station.python, ready=False)
    bus = station.bus()
    bus.wait_object("dnsmasq.dns")
    return bus


def test_leases(net: Net, station: Station) -> None:
    need_tool("udhcpc")
    net.ip(net.client, "link set up0 address 02:00:00:00:01:11")
    net.ip(net.client, "addr flush dev up0")
    net.ip(net.client, "addr flush dev up1")
    conf = "interface=lan0\nno-ping\ndhcp-authoritative\nleasefile-ro\ndhcp-range=10.77.1.50,10.77.1.59,1h\n"
    bus = start_in(net, station, conf)
    bus.subscribe("dnsmasq")
    lease = {"mac": "02:00:00:00:01:11", "interface": "lan0"}
    text = ubuswire.STRING
    for number, host in enumerate(("box", "")):
        directory = net.directory / f"client{number}"
        client = DhcpClient(net, net.client, directory, "udhcpc", host, "" if host else "ff:01:02:03")
        try:
            lease["ip"] = client.start().bound().address
            acked = bus.wait(1, "dhcp.ack")[-1]
            client.release()
            released = bus.wait(1, "dhcp.release")[-1]
        finally:
            client.stop()
        assert acked.data == {**lease, **({"name": host} if host else {})}
        assert acked.types == [(key, text) for key in ("mac", "ip", "name", "interface") if key in acked.data]
        assert {**released.data, **lease} == released.data and acked.no_reply and released.no_reply
        bus.events.clear()
    counted = metrics(bus)
    shown = {name: counted[name] for name in METRICS if "dhcp" in name and counted[name]}
    assert shown == {"dhcp_discover": 2, "dhcp_offer": 2, "dhcp_request": 2, "dhcp_ack": 2, "dhcp_release": 2}


MARKS = """
table inet marks {
    chain incoming {
        type filter hook prerouting priority -150
        udp dport 53 ip saddr 10.77.1.2 ct mark set 5
    }
}
"""


def test_marks(net: Net, station: Station) -> None:
    """What a marked connection is refused and what it is about to hear."""
    need_tool("nft", "dig")
    rules = net.directory / "rules"
    rules.parent.mkdir(exist_ok=True)
    rules.write_text(MARKS)
    done = net.run(net.router, "nft", "-f", str(rules))
    need(not done.returncode, f"marks of connections ({done.stderr})")
    bus = start_in(
        net, station, "connmark-allowlist-enable\nhost-record=rec.test,10.1.2.3\nhost-record=no.test,10.1.2.4\n"
    )
    bus.subscribe("dnsmasq")
    assert net.dig("10.77.1.1", "rec.test", "+comments") is not None
    refused = bus.wait(1, "connmark-allowlist.refused")[0]
    assert refused.data == {"mark": 5, "name": "rec.test"} and refused.no_reply
    assert refused.types == [("mark", ubuswire.INT32), ("name", ubuswire.STRING)]
    assert set_list(bus, {"mark": 5, "patterns": ["rec.test"]}) == OK
    assert net.dig("10.77.1.1", "rec.test") == ["10.1.2.3"]
    resolved = bus.wait(1, "connmark-allowlist.resolved")[0]
    assert resolved.data == {"mark": 5, "name": "rec.test", "value": "10.1.2.3", "ttl": 0} and not resolved.no_reply
    kinds = [ubuswire.INT32, ubuswire.STRING, ubuswire.STRING, ubuswire.INT32]
    assert [kind for _, kind in resolved.types] == kinds
    assert net.dig("10.77.1.1", "no.test") == []
    assert bus.wait(2, "connmark-allowlist.refused")[1].data["name"] == "no.test"


# -- a bus that is not there, goes, or is of no use --------------------------------


@pytest.mark.parametrize("name", ["ubus/ubus.sock", "ubus.sock"])
def test_the_usual_places(station: Station, make: MakeDaemon, name: str) -> None:
    script = 'mount --make-rprivate / && mount --bind "$0" /run && exec "$@"'
    words = ("unshare", "-m", "sh", "-c", script, str(station.directory))
    need(not subprocess.run([*words, "true"], check=False, capture_output=True).returncode, "mounts")
    station.start(station.directory / name)
    make(f"{ALONE}enable-ubus\n", python=(*words, sys.executable)).start()
    station.bus().wait_object("dnsmasq")


def test_no_bus_at_start(station: Station, make: MakeDaemon) -> None:
    """One warning, and the bus is found when it comes."""
    daemon = make(f"{ALONE}{REC}enable-ubus\n", python=station.python).start()
    daemon.wait_log(WARNING)
    time.sleep(0.5)  # some more tries
    assert daemon.ask("rec.test").rdatas("A") == ["10.1.2.3"]
    station.start().bus().wait_object("dnsmasq.dns")
    daemon.wait_log("UBus support enabled")
    assert daemon.log().count(WARNING) == 1


def test_the_bus_is_restarted(serve: Any, station: Station) -> None:
    """The objects come back, without the subscribers of old."""
    with MockUpstream(ZONE) as mock:
        daemon, bus = serve(f"{ALONE}server={mock.address}\n")
        bus.subscribe("dnsmasq.dns", lambda _: {"address": "10.9.9.9"})
        for name in ("one.test", "alias.test"):
            assert daemon.ask(name).rdatas("A") == ["10.9.9.9"]
            station.stop()
            assert len(daemon.ask("two.test").rdatas("A")) == 2
            bus = station.start().bus()
            bus.wait_object("dnsmasq.dns")
            assert metrics(bus)["dns_queries_forwarded"] >= 2
            assert daemon.ask("six.test", "AAAA").rdatas("AAAA") == ["fd00::6"]
            bus.subscribe("dnsmasq.dns", lambda _: {"address": "10.9.9.9"})
    assert "Traceback" not in daemon.log()


def test_the_daemon_goes(serve: Any) -> None:
    daemon, bus = serve()
    bus.subscribe("dnsmasq")
    assert daemon.stop() == 0
    bus.wait_gone("dnsmasq")
    assert bus.objects() == {}


def test_reload(serve: Any) -> None:
    daemon, bus = serve()
    bus.subscribe("dnsmasq")
    daemon.signal(signal.SIGHUP)
    daemon.wait_log("cleared cache|read ")
    assert metrics(bus) and bus.gone == []


@pytest.mark.parametrize("names", [("dnsmasq",), ("dnsmasq.dns",), ("dnsmasq", "dnsmasq.dns")])
def test_names_that_are_taken(station: Station, make: MakeDaemon, names: tuple[str, ...]) -> None:
    """Each is told once; what can be had is had, DNS goes on, and the bus is not flooded."""
    bus = station.start().bus()
    for name in names:
        assert bus.request("ADD_OBJECT", {"OBJPATH": name, "SIGNATURE": b""})[-1].status == OK
    daemon = make(f"{ALONE}{REC}enable-ubus\n", python=station.python).start()
    for name in names:
        daemon.wait_log(f"Cannot add object {re.escape(name)} to UBus: Invalid argument")
    for name in {"dnsmasq", "dnsmasq.dns"} - set(names):
        station.bus().wait_object(name)
    time.sleep(0.3)
    assert daemon.ask("rec.test").rdatas("A") == ["10.1.2.3"]
    assert len(re.findall("Cannot add object", daemon.log())) == len(names)
    if not UBUSD:
        assert len(station.sent("ADD_OBJECT")) < len(names) + 20


@STAND_IN
def test_publishing_is_refused(station: Station, make: MakeDaemon) -> None:
    """ubusd answers so when its ACL does not let the user publish."""
    station.start().stand_in.refused.add("dnsmasq.dns")
    daemon = make(f"{ALONE}{REC}enable-ubus\n", python=station.python).start()
    daemon.wait_log("Cannot add object dnsmasq.dns to UBus: Invalid argument")
    assert metrics(station.bus())


@STAND_IN
@pytest.mark.parametrize("reads", [True, False])
def test_a_bus_that_is_silent(station: Station, make: MakeDaemon, reads: bool) -> None:
    """DNS goes on and the daemon can be ended."""
    with socket.socket(socket.AF_UNIX) as sock:
        if reads:
            station.start().stand_in.greets = False
        else:
            sock.bind(str(station.path))
            sock.listen(1)
        daemon = make(f"{ALONE}{REC}enable-ubus\n", python=station.python).start()
        assert daemon.ask("rec.test").rdatas("A") == ["10.1.2.3"]
        assert daemon.stop() == 0


DEEP = b""
for _ in range(3000):
    DEEP = attribute(ubuswire.TABLE, b"\0\1a\0" + DEEP, extended=True)


def invoke(**attrs: Any) -> bytes:
    return Message("INVOKE", 7, 4711, {name.upper(): value for name, value in attrs.items()}).pack()


HOSTILE: dict[str, Callable[[int], bytes]] = {
    "garbage": lambda mine: bytes(range(1, 256)),
    "zeros": lambda mine: bytes(4096),
    "another version": lambda mine: b"\1" + invoke(objid=mine, method="metrics")[1:],
    "no length": lambda mine: struct.pack(">BBHII", 0, 5, 7, 9, 0),
    "too long": lambda mine: struct.pack(">BBHII", 0, 5, 7, 9, 0xFFFFFF) + bytes(9),
    "unknown kind": lambda mine: struct.pack(">BBHII", 0, 200, 7, 9, 4),
    "another greeting": lambda mine: Message("HELLO", 0, 9).pack(),
    "no method": lambda mine: invoke(objid=mine, data={}),
    "no object": lambda mine: invoke(method="metrics"),
    "foreign object": lambda mine: invoke(objid=mine ^ 1, method="metrics", data={}),
    "long method": lambda mine: invoke(objid=mine, method="\udcff" * 100000, data={}),
    "no end of a string": lambda mine: struct.pack(">BBHII", 0, 5, 7, 9, 12) + attribute(4, b"\xff" * 4),
    "short object": lambda mine: struct.pack(">BBHII", 0, 5, 7, 9, 12) + attribute(3, b"\1"),
    "attribute of no length": lambda mine: struct.pack(">BBHIII", 0, 5, 7, 9, 8, 3 << 24),
    "attribute beyond the end": lambda mine: struct.pack(">BBHIII", 0, 5, 7, 9, 8, 3 << 24 | 4096),
    "deep": lambda mine: invoke(objid=mine, method="set_connmark_allowlist", data=DEEP),
    "large": lambda mine: invoke(objid=mine, method="set_connmark_allowlist", data=one_field("mark", "x" * 1000000)),
    "many": lambda mine: invoke(
        objid=mine, method="set_connmark_allowlist", data={"mark": 1, "patterns": ["a.test"] * 20000 + [""]}
    ),
    "not fields": lambda mine: invoke(objid=mine, method="set_connmark_allowlist", data=b"\0\0\0\0"),
    "a name that lies": lambda mine: invoke(
        objid=mine, method="set_connmark_allowlist", data=attribute(5, b"\xff\xffmark\0\0\0\0\0\1", extended=True)
    ),
    "answers to nothing": lambda mine: b"".join(
        Message(kind, seq, mine, {"OBJID": mine, "STATUS": 0, "SUBSCRIBERS": [1, 2]}).pack()
        for kind in ("STATUS", "DATA")
        for seq in range(5)
    ),
    "nobody's subscribers": lambda mine: Message("NOTIFY", 1, 0, {"OBJID": 5, "ACTIVE": 1}).pack(),
    "activity of no kind": lambda mine: Message("NOTIFY", 1, 0, {"OBJID": mine}).pack(),
    "an end of nothing": lambda mine: Message("UNSUBSCRIBE", 1, 0, {"OBJID": mine, "TARGET": 5}).pack(),
    "a length that is not even": lambda mine: (
        struct.pack(">BBHII", 0, 1, 7, 9, 21) + attribute(1, bytes(4)) + attribute(3, bytes(4)) + b"x"
    ),
}


NO_MESSAGES = ("garbage", "zeros", "another version", "no length", "too long")


@STAND_IN
def test_hostile_messages(serve: Any, station: Station) -> None:
    """Whatever comes, DNS is answered and the objects are there, or are there again soon."""
    daemon, _ = serve(f"{ALONE}{REC}connmark-allowlist-enable\n")
    for what, build in HOSTILE.items():
        bus = station.bus()
        mine = bus.wait_object("dnsmasq")
        owner = station.stand_in.owner("dnsmasq")
        owner.send(build(mine))
        assert daemon.ask("rec.test").rdatas("A") == ["10.1.2.3"], what
        wait_until(functools.partial(answers, bus), what=f"the daemon after {what}")
        if what not in NO_MESSAGES:
            assert station.stand_in.owner("dnsmasq") is owner, f"the connection is lost after {what}"
        bus.close()
    assert "Traceback" not in daemon.log() + daemon.stderr()
    assert daemon.log().count(WARNING) == 1


def answers(bus: Bus) -> bool:
    """Whether the daemon answers a call; it may lose its connection right now."""
    found = bus.lookup("dnsmasq")
    if "dnsmasq" not in found:
        return False
    number = found["dnsmasq"].objid
    try:
        return bool(bus.request("INVOKE", {"OBJID": number, "METHOD": "metrics"}, number, 0.5)[-1].status == OK)
    except AssertionError:
        return False


@STAND_IN
def test_pieces(station: Station, make: MakeDaemon) -> None:
    """Messages come in any pieces."""
    daemon = make(f"{ALONE}enable-ubus\n", python=station.python)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.settimeout(15)
        listening.bind(str(station.path))
        listening.listen(1)
        daemon.spawn()
        sock, _ = listening.accept()
        with sock:
            sock.settimeout(ubuswire.SECONDS)
            numbers: dict[str, int] = {}
            say = Message("HELLO", 0, 4711).pack()
            for _ in range(2):
                data = ubuswire.read_message(sock)
                assert data is not None
                added = ubuswire.parse(data)
                assert (added.kind, added.peer) == ("ADD_OBJECT", 0)
                numbers[added.objpath] = 2000 + len(numbers)
                attrs = {"OBJID": numbers[added.objpath], "OBJTYPE": 9}
                say += (
                    Message("DATA", added.seq, 0, attrs).pack() + Message("STATUS", added.seq, 0, {"STATUS": 0}).pack()
                )
            say += invoke(objid=numbers["dnsmasq"], method="metrics", data={})
            for place in range(len(say)):
                sock.sendall(say[place : place + 1])
            told = [ubuswire.parse(ubuswire.read_message(sock) or b"") for _ in range(2)]
    assert [(item.kind, item.seq, item.peer, item.objid) for item in told] == [
        ("DATA", 7, 4711, numbers["dnsmasq"]),
        ("STATUS", 7, 4711, numbers["dnsmasq"]),
    ]
