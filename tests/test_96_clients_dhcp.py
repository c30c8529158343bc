"""Real DHCP clients, relays and scripts in network namespaces, and what must not hurt them.

server lan0 10.77.1.1/24, a bridge: clients c1 c2 c3, and the relay's up0 10.77.1.2/24
server wan0 10.77.2.1/24 -- client w
relay  down0 10.77.5.1/24 -- client d
"""

from __future__ import annotations

import contextlib
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

import pytest

import dhcpwire
import dnswire
from dhcp_oracle_cases import DhcpCase
from dhcpwire import COOKIE, Datagram, DhcpMessage, RawClient
from harness import OURS_KIND, REAL, Daemon, need, need_tool, wait_until
from netkit import DhcpClient, Namespaces, NetDaemon
from packets import damaged
from test_95_oracle_dhcp import (
    DhcpDaemon,
    Exchange,
    Side,
    World,
    build,
    exchanges_of,
    mac_of,
    put,
    run_other,
    server_mac,
)

UNLIKE_REAL = pytest.mark.skipif(OURS_KIND == "real", reason="dnsmasq behaves otherwise here")
KINDS = ("udhcpc", "dhclient", "dhcpcd")
QUIET = "no-resolv\nno-hosts\nno-ping\ndhcp-leasefile=$DIR/leases\n"
# Renewal after two seconds, rebinding after four: dhclient cannot be told to renew.
HASTY = "dhcp-option=58,2\ndhcp-option=59,4\n"
RANGE = "dhcp-range=10.77.1.50,10.77.1.59,1h\n"
POOL = QUIET + RANGE + "domain=lan\nlocal=/lan/\n"


class Lan(Namespaces):
    """The network above."""

    def __init__(self, directory: pathlib.Path) -> None:
        super().__init__(directory, *(f"lan-{end}" for end in ("s", "c1", "c2", "c3", "w", "r", "d")))
        self.server, self.c1, self.c2, self.c3, self.w, self.relay, self.d = self.names
        self.clients: list[DhcpClient] = []
        self.mounts: list[pathlib.Path] = []

    def connect(self) -> None:
        self.ip(self.server, "link add lan0 address 02:00:00:00:01:01 type bridge")
        self.ip(self.server, "link set lan0 up")
        for number, name in enumerate((self.c1, self.c2, self.c3, self.relay), 11):
            self.link(f"port{number}", self.server, "up0", name)
            self.ip(name, f"link set up0 address 02:00:00:00:01:{number}")
            self.ip(self.server, f"link set port{number} master lan0")
        self.link("wan0", self.server, "up0", self.w)
        self.link("down0", self.relay, "up0", self.d)
        self.ip(self.w, "link set up0 address 02:00:00:00:02:11")
        self.ip(self.d, "link set up0 address 02:00:00:00:05:11")
        for name, text in (
            (self.server, "addr add 10.77.1.1/24 dev lan0"),
            (self.server, "addr add 10.77.2.1/24 dev wan0"),
            (self.relay, "addr add 10.77.1.2/24 dev up0"),
            (self.relay, "addr add 10.77.5.1/24 dev down0"),
            (self.server, "route add 10.77.5.0/24 via 10.77.1.2"),
        ):
            self.ip(name, text)
        self.run(self.relay, "sh", "-c", "echo 1 >/proc/sys/net/ipv4/ip_forward")

    def prepare(self, conf: str = POOL, **more: Any) -> NetDaemon:
        """Make a daemon on the server with its files; `launch` starts it."""
        daemon = NetDaemon(self.directory / f"d{len(self.daemons)}", conf, port=53, **more)
        daemon.namespace = self.server
        self.daemons.append(daemon)
        return daemon

    def launch(self, daemon: Daemon) -> None:
        """Start a daemon, and wait until it has said what it serves; its log begins anew."""
        with contextlib.suppress(FileNotFoundError):
            daemon.log_path.unlink()
        daemon.spawn()
        daemon.wait_log("DHCP, ")

    def serve(self, conf: str = POOL, **more: Any) -> Daemon:
        daemon = self.prepare(conf, **more)
        self.launch(daemon)
        return daemon

    def mount(self, kind: str, place: pathlib.Path, options: str) -> None:
        """Mount something that is taken away at the end."""
        words = ["mount", "-t", kind, "-o", options, "none", str(place)]
        need(not subprocess.run(words, check=False, capture_output=True).returncode, "mounts")
        self.mounts.append(place)

    def client(self, kind: str = "udhcpc", where: str = "", name: str = "", client_id: str = "") -> DhcpClient:
        need_tool(kind)
        directory = self.directory / f"client{len(self.clients)}"
        client = DhcpClient(self, where or self.c1, directory, kind, name, client_id)
        self.clients.append(client)
        return client

    def clear(self) -> None:
        for client in self.clients:
            client.stop()
        for daemon in self.daemons:
            daemon.stop()
        self.ip(self.server, "neigh flush all")

    def unmount(self) -> None:
        for place in reversed(self.mounts):
            subprocess.run(["umount", "-l", str(place)], check=False, capture_output=True)

    def ask(self, name: str, *words: str) -> list[str] | None:
        """Ask the server in its own namespace."""
        return self.dig("127.0.0.1", name, *words, where=self.server)


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lan]:
    need(os.geteuid() == 0, "root")
    need_tool("ip", "dig", "unshare", "getent")
    made = Lan(tmp_path_factory.mktemp("lan"))
    try:
        made.setup()
        yield made
    finally:
        made.close()


@pytest.fixture
def lan(house: Lan, tmp_path: pathlib.Path) -> Iterator[Lan]:
    house.directory, house.daemons, house.clients, house.mounts = tmp_path, [], [], []
    yield house
    house.clear()
    said = [daemon.stderr() + daemon.log() for daemon in house.daemons]
    house.unmount()
    assert not [text for text in said if "Traceback" in text or "internal error" in text]


def leases(daemon: Daemon) -> dict[str, list[str]]:
    """The IPv4 leases in the file by their addresses; a lease that is there twice fails."""
    path = daemon.directory / "leases"
    rows = [line.split(" ") for line in path.read_text("latin-1").splitlines()] if path.exists() else []
    rows = [row for row in rows if len(row) == 5 and ":" not in row[2]]
    assert len({row[2] for row in rows}) == len(rows), rows
    return {row[2]: row for row in rows}


def reverse(address: str) -> str:
    return ".".join(reversed(address.split("."))) + ".in-addr.arpa"


# -- a lease and its name ------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_a_lease_from_its_begin_to_its_end(kind: str, lan: Lan) -> None:
    """The name answers when the client hears of its lease, and not any more after the release."""
    daemon = lan.serve(POOL + HASTY)
    client = lan.client(kind, name="laptop")
    (client.directory / "names").write_text("laptop laptop.lan")
    resolv = lan.directory / "resolv.conf"
    resolv.write_text("nameserver 10.77.1.1\n")
    assert lan.ask("laptop.lan") == [] and lan.ask("laptop") == []

    told = client.start().bound()
    address = told.address
    assert address in leases(daemon), "the lease is in the file before the client hears of it"
    assert re.fullmatch(r"10\.77\.1\.5\d", address)
    assert client.looked_up() == [address, address, "laptop.lan."]
    assert (told.router, told.dns, told.domain, told.seconds) == ("10.77.1.1", "10.77.1.1", "lan", "3600")
    assert told.server == "10.77.1.1" and told.host in ("", "laptop")
    row = leases(daemon)[address]
    assert row[1] == "02:00:00:00:01:11" and row[3] == "laptop"
    assert row[4] == ("*" if kind == "dhclient" else "01:02:00:00:00:01:11")
    assert abs(int(row[0]) - time.time() - 3600) < 5
    for name in ("laptop.lan", "LAPTOP.LAN", address):
        done = lan.c_library(lan.c1, resolv, "getent", "hosts", name)
        assert done.stdout.lower().split()[:2] == [address, "laptop.lan"], f"{name}: {done}"

    time.sleep(1)
    assert client.renew().address == address
    assert int(leases(daemon)[address][0]) > int(row[0])
    client.release()
    daemon.wait_log(f"DHCPRELEASE.lan0. {address} ")
    assert lan.ask("laptop.lan") == [] and lan.ask("laptop") == [] and lan.ask(reverse(address), "-t", "PTR") == []
    assert lan.c_library(lan.server, resolv, "getent", "hosts", "laptop.lan").returncode == 2
    wait_until(lambda: not leases(daemon), 2, "an empty lease file")


@pytest.mark.parametrize("kind", KINDS)
def test_a_changed_range(kind: str, lan: Lan) -> None:
    """The server comes back with another range: a renewal is refused, and the client takes a new address."""
    daemon = lan.serve(POOL + HASTY)
    client = lan.client(kind).start()
    first = client.bound().address
    daemon.stop()
    daemon.write("conf", daemon.conf_path.read_text().replace("10.77.1.50,10.77.1.59", "10.77.1.150,10.77.1.159"))
    daemon.spawn()
    if kind != "dhclient":
        assert client.process is not None
        client.process.send_signal(signal.SIGUSR1)
    second = client.wait("bound", seconds=20).address
    assert first.startswith("10.77.1.5") and second.startswith("10.77.1.15")
    daemon.wait_log(f"DHCPNAK.lan0. {first} ")
    wait_until(lambda: list(leases(daemon)) == [second], 2, "one lease in the file")


RESTARTS = [(signal.SIGTERM, "udhcpc"), (signal.SIGKILL, "udhcpc"), (signal.SIGKILL, "dhcpcd")]


@pytest.mark.parametrize(("how", "kind"), RESTARTS)
def test_a_restart_of_the_server(how: signal.Signals, kind: str, lan: Lan) -> None:
    daemon = lan.serve(POOL + HASTY)
    client = lan.client(kind, name="laptop").start()
    address = client.bound().address
    row = leases(daemon)[address]
    daemon.signal(how)
    assert daemon.process is not None
    daemon.process.wait(5)
    assert leases(daemon)[address] == row
    daemon.spawn()
    daemon.wait_log("started, version", count=2)
    wait_until(lambda: lan.ask("laptop.lan") == [address], 3, "the name of a lease from the file")
    assert lan.ask(reverse(address), "-t", "PTR") == ["laptop.lan."]
    assert client.renew().address == address
    assert leases(daemon)[address][1:] == row[1:]


@pytest.mark.parametrize("kind", ["dhclient", "dhcpcd"])
def test_rebinding(kind: str, lan: Lan) -> None:
    """Renewals do not get through to the server; the broadcast that follows is answered."""
    daemon = lan.serve(POOL + HASTY.replace("59,4", "59,3"))
    client = lan.client(kind, name="laptop").start()
    address = client.bound().address
    lan.ip(lan.c1, "route add unreachable 10.77.1.1")
    before = leases(daemon)[address][0]
    # dhclient calls it a renewal as long as it has not given up on one.
    assert client.wait("rebind", "renew").address == address
    assert leases(daemon)[address][0] > before


@pytest.mark.parametrize("kind", ["dhclient", "dhcpcd"])
def test_a_client_that_starts_again(kind: str, lan: Lan) -> None:
    """It remembers its address and asks for it (INIT-REBOOT)."""
    daemon = lan.serve()
    client = lan.client(kind, name="laptop").start()
    address = client.bound().address
    client.stop()
    client.start()
    assert client.wait("reboot").address == address
    assert list(leases(daemon)) == [address]
    assert len(daemon.wait_log("DHCPDISCOVER")) == 1


# -- who gets what -------------------------------------------------------------------

MAC = "02:00:00:00:01:11"
NAMED = "laptop"
CLID = "00:63:6c:69:31"
# The lines, the client's name and client-id; the address and the name it gets.
RESERVATIONS = [
    (f"dhcp-host={MAC},10.77.1.100", "", "", "10.77.1.100", "*"),
    (f"dhcp-host={MAC},10.77.1.100,box", "", "", "10.77.1.100", "box"),
    (f"dhcp-host={MAC},10.77.1.100,box", NAMED, "", "10.77.1.100", "box"),
    (f"dhcp-host={MAC},box", NAMED, "", "10.77.1.5", "box"),
    ("dhcp-host=02:00:00:00:01:*,10.77.1.100", "", "", "10.77.1.100", "*"),
    (f"dhcp-host=02:00:00:00:01:*,10.77.1.99\ndhcp-host={MAC},10.77.1.100", "", "", "10.77.1.100", "*"),
    ("dhcp-host=02:00:00:00:01:12,10.77.1.99", "", "", "10.77.1.5", "*"),
    (f"dhcp-host=02:00:00:00:01:12,{MAC},10.77.1.100", "", "", "10.77.1.100", "*"),
    (f"dhcp-host=id:{CLID},10.77.1.101,box", "", CLID, "10.77.1.101", "box"),
    ("dhcp-host=id:cli1,10.77.1.101", "", CLID, "10.77.1.101", "*"),
    (f"dhcp-host=id:{CLID},10.77.1.101\ndhcp-host={MAC},10.77.1.100", "", CLID, "10.77.1.101", "*"),
    (f"dhcp-host=id:{CLID},10.77.1.101", "", "01:02:03:04", "10.77.1.5", "*"),
    ("dhcp-host=laptop,10.77.1.102", NAMED, "", "10.77.1.102", "laptop"),
    ("dhcp-host=laptop,10.77.1.102", "other", "", "10.77.1.5", "other"),
    ("dhcp-host=laptop,10.77.1.102,2h", NAMED, "", "10.77.1.102", "laptop"),
    (f"dhcp-host={MAC},set:mine\ndhcp-range=tag:mine,10.77.1.110,10.77.1.119", NAMED, "", "10.77.1.11", "laptop"),
    (f"dhcp-host={MAC},laptop\nhost-record=laptop.lan,laptop,10.77.1.103", "", "", "10.77.1.103", "laptop"),
    (f"dhcp-host={MAC},infinite", NAMED, "", "10.77.1.5", "laptop"),
    ("dhcp-generate-names", "", "", "10.77.1.5", "02-00-00-00-01-11"),
    ("dhcp-ignore-names", NAMED, "", "10.77.1.5", "*"),
]  # fmt: skip


@pytest.mark.parametrize(("lines", "name", "client_id", "address", "lease_name"), RESERVATIONS)
def test_reservations(lines: str, name: str, client_id: str, address: str, lease_name: str, lan: Lan) -> None:
    kind = KINDS[RESERVATIONS.index((lines, name, client_id, address, lease_name)) % len(KINDS)]
    daemon = lan.serve(f"{POOL}{lines}\n")
    told = lan.client(kind, name=name, client_id=client_id).start().bound()
    row = leases(daemon)[told.address]
    assert told.address.startswith(address) and row[3] == lease_name
    assert (row[0] == "0") == ("infinite" in lines)
    assert told.seconds == {"2h": "7200", "infinite": "4294967295"}.get(lines.rpartition(",")[2], "3600")
    if lease_name != "*":
        assert lan.ask(f"{lease_name}.lan") == [told.address]
    assert lan.ask(reverse(told.address), "-t", "PTR") == ([] if lease_name == "*" else [f"{lease_name}.lan."])


# -- relays ------------------------------------------------------------------------

# The relay and the kind of the server behind it.
RELAYS = [
    ("dhcrelay", "ours"),
    ("dhcrelay -a", "ours"),
    ("ours", "real"),
    ("real", "ours"),
    ("ours", "ours"),
]


def start_relay(lan: Lan, program: str) -> subprocess.Popen[bytes] | None:
    """Start a relay; a process when it is none of the daemons."""
    if program in ("ours", "real"):
        conf = "no-resolv\nno-hosts\ndhcp-relay=10.77.5.1,10.77.1.1\nlog-dhcp\n"
        lan.start(conf, lan.relay, kind=program).wait_log("DHCP relay from 10.77.5.1 to 10.77.1.1")
        return None
    need_tool("dhcrelay")
    command = ["ip", "netns", "exec", lan.relay, *program.split(), "-d", "-4", "--no-pid", "-id", "down0", "-iu", "up0"]
    output = (lan.directory / "relay").open("wb")
    with output:
        process = subprocess.Popen([*command, "10.77.1.1"], stdin=subprocess.DEVNULL, stdout=output, stderr=output)
    wait_until(lambda: "Sending on" in (lan.directory / "relay").read_text(), 5, "dhcrelay")
    return process


@pytest.mark.parametrize(("program", "server"), RELAYS)
def test_a_relay_in_the_middle(program: str, server: str, lan: Lan) -> None:
    conf = QUIET + RANGE + "dhcp-range=10.77.5.50,10.77.5.59,255.255.255.0,1h\ndomain=lan\nlocal=/lan/\n"
    daemon = lan.serve(conf, kind=server)
    relay = start_relay(lan, program)
    try:
        client = lan.client("udhcpc", lan.d, name="faraway")
        (client.directory / "names").write_text("faraway.lan")
        told = client.start().bound()
        assert told.address.startswith("10.77.5.5") and (told.router, told.dns) == ("10.77.5.1", "10.77.1.1")
        assert client.looked_up() == [told.address, "faraway.lan."]
        before = leases(daemon)[told.address]
        time.sleep(1)
        assert client.renew().address == told.address
        assert leases(daemon)[told.address][0] > before[0]
        client.release()
        wait_until(lambda: not leases(daemon), 3, "the end of the lease")
        assert lan.ask("faraway.lan") == []
    finally:
        if relay is not None:
            relay.kill()
            relay.wait()


# -- several interfaces and ranges -----------------------------------------------------

# Options; whether a client on lan0 and one on wan0 gets a lease, and the domain it hears.
BOTH = "dhcp-range=10.77.2.50,10.77.2.59,1h\n"
SIDES = [
    ("", "lan", "lan"),
    ("domain=far.test,10.77.2.0/24", "lan", "far.test"),
    ("interface=lan0", "lan", None),
    ("except-interface=lan0", None, "lan"),
    ("no-dhcp-interface=wan0", "lan", None),
    ("interface=lan0\ninterface=wan0\nbind-interfaces", "lan", "lan"),
    ("bind-dynamic\ninterface=wan0", None, "lan"),
    ("dhcp-option=tag:wan0,option:domain-name,tagged.test", "lan", "tagged.test"),
    ("dhcp-ignore=tag:lan0", None, "lan"),
    ("dhcp-ignore=tag:!known\ndhcp-host=02:00:00:00:02:11", None, "lan"),
]


@pytest.mark.parametrize(("lines", "near", "far"), SIDES)
def test_several_interfaces(lines: str, near: str | None, far: str | None, lan: Lan) -> None:
    lan.serve(f"{POOL}{BOTH}{lines}\n")
    clients = [lan.client("udhcpc", where).start() for where in (lan.c1, lan.w)]
    for client, domain, net in zip(clients, (near, far), ("10.77.1.5", "10.77.2.5"), strict=True):
        if domain is not None:
            told = client.bound()
            assert told.address.startswith(net) and told.domain == domain
            assert told.server == told.router == net[:-1] + "1"
    time.sleep(0.3)
    for client, domain in zip(clients, (near, far), strict=True):
        assert domain is not None or not [event for event in client.events() if event.event == "bound"]


def test_ranges_of_one_subnet_are_filled_one_after_another(lan: Lan) -> None:
    daemon = lan.serve(QUIET + "dhcp-range=10.77.1.50,10.77.1.50,1h\ndhcp-range=10.77.1.60,10.77.1.61,1h\n")
    clients = [lan.client(kind, where).start() for kind, where in zip(KINDS, (lan.c1, lan.c2, lan.c3), strict=True)]
    got = [client.bound().address for client in clients]
    assert sorted(got) == ["10.77.1.50", "10.77.1.60", "10.77.1.61"] == sorted(leases(daemon))


def test_an_address_that_somebody_uses_is_not_offered(lan: Lan) -> None:
    conf = QUIET.replace("no-ping\n", "") + "dhcp-range=10.77.1.50,10.77.1.51,1h\ndhcp-sequential-ip\n"
    lan.serve(conf)
    lan.ip(lan.c2, "addr add 10.77.1.50/24 dev up0")
    try:
        assert lan.client().start().bound().address == "10.77.1.51"
    finally:
        lan.ip(lan.c2, "addr del 10.77.1.50/24 dev up0")


# -- names -------------------------------------------------------------------------


def test_cached_answers_do_not_survive(lan: Lan) -> None:
    """What an upstream said of the name and the address is forgotten with the lease, and the lease when it ends."""
    upstream = "no-resolv\nno-hosts\nlisten-address=127.0.0.1\nbind-interfaces\n"
    upstream += "host-record=laptop.lan,198.18.0.1,3600\nhost-record=other.test,10.77.1.50,3600\n"
    lan.start(upstream, port=5353)
    lan.serve(
        "no-resolv\nserver=127.0.0.1#5353\nno-hosts\nno-ping\ndhcp-leasefile=$DIR/leases\ndomain=lan\n"
        "dhcp-range=10.77.1.50,10.77.1.50,1h\ninterface=lan0\nbind-interfaces\n"
    )
    pointer = (reverse("10.77.1.50"), "-t", "PTR")
    client = lan.client(name="laptop")
    for _ in range(2):
        for _ in range(2):
            assert lan.ask("laptop.lan") == ["198.18.0.1"] and lan.ask(*pointer) == ["other.test."]
        assert lan.ask("laptop") == []
        client.start().bound()
        for _ in range(2):
            assert lan.ask("laptop.lan") == ["10.77.1.50"] == lan.ask("laptop")
            # dnsmasq 2.90 goes on with the upstream's.
            assert OURS_KIND == "real" or lan.ask(*pointer) == ["laptop.lan."]
        client.release()
        wait_until(lambda: lan.ask("laptop.lan") == ["198.18.0.1"], 1, "the upstream's answer")
        client.stop()


@pytest.mark.parametrize("restart", [False, True])
def test_the_last_client_with_a_name_has_it(restart: bool, lan: Lan) -> None:
    daemon = lan.serve()
    first, second = (lan.client("udhcpc", where, "laptop") for where in (lan.c1, lan.c2))
    addresses = [first.start().bound().address]
    if restart:
        daemon.stop()
        lan.launch(daemon)
    addresses.append(second.start().bound().address)
    assert lan.ask("laptop.lan") == [addresses[1]]
    assert [lan.ask(reverse(address), "-t", "PTR") for address in addresses] == [[], ["laptop.lan."]]
    assert [leases(daemon)[address][3] for address in addresses] == ["*", "laptop"]
    second.release()
    wait_until(lambda: lan.ask("laptop.lan") == [], 1, "the end of the name")
    first.renew()
    assert lan.ask("laptop.lan") == [addresses[0]]


def test_the_same_name_in_two_domains(lan: Lan) -> None:
    lan.serve(f"{POOL}{BOTH}dhcp-fqdn\ndomain=far.test,10.77.2.0/24\n")
    near, far = (lan.client("udhcpc", where, "laptop").start().bound().address for where in (lan.c1, lan.w))
    assert lan.ask("laptop.lan") == [near] and lan.ask("laptop.far.test") == [far] and lan.ask("laptop") == []
    assert lan.ask(reverse(near), "-t", "PTR") == ["laptop.lan."]
    assert lan.ask(reverse(far), "-t", "PTR") == ["laptop.far.test."]


def test_a_name_that_a_hosts_entry_has_stays_there(lan: Lan) -> None:
    daemon = lan.serve(POOL + "host-record=laptop.lan,laptop,10.9.9.9\n")
    address = lan.client(name="laptop").start().bound().address
    assert lan.ask("laptop.lan") == ["10.9.9.9"] and lan.ask(reverse("10.9.9.9"), "-t", "PTR") == ["laptop.lan."]
    daemon.wait_log(f"not giving name laptop.* to the DHCP lease of {address}")


# -- tools on the same host ------------------------------------------------------------


@pytest.mark.parametrize("kind", ["udhcpc", "dhclient"])
def test_dhcp_release(kind: str, lan: Lan) -> None:
    need_tool("dhcp_release", "dhcp_lease_time")
    daemon = lan.serve()
    address = lan.client(kind, name="laptop").start().bound().address
    row = leases(daemon)[address]
    left = lan.run(lan.server, "dhcp_lease_time", address).stdout
    assert re.match(r"59m5\ds|1h", left), left
    lan.run(lan.server, "dhcp_release", "lan0", address, "02:00:00:00:01:99", *row[4:])
    lan.run(lan.server, "dhcp_release", "lan0", address.replace(".5", ".4"), MAC, *row[4:])
    time.sleep(0.2)
    if row[4] == "*":
        assert address in leases(daemon), "released for another client"
    lan.run(lan.server, "dhcp_release", "lan0", address, MAC, *row[4:])
    wait_until(lambda: not leases(daemon), 2, "the end of the lease")
    assert lan.ask("laptop.lan") == []


# -- what the script hears, from dnsmasq and from us -----------------------------------

# Tells its arguments, its surroundings and all its environment; `init` gives the lease file.
SCRIPT = """#!/bin/sh
{
    for word in "$0" "$@"; do printf 'argument %s\\n' "$word"; done
    printf 'directory %s\\nmask %s\\nuser %s\\n' "$(pwd)" "$(umask)" "$(id -u -g -G -z 2>/dev/null || id)"
    grep -E '^(SigBlk|CapEff):' /proc/self/status
    printf 'input %s\\n' "$(readlink /proc/self/fd/0)"
    for at in 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15; do [ -e /proc/$$/fd/$at ] && printf 'open %s\\n' $at; done
    env -0 | tr '\\n\\0' '?\\n' | sort
    echo
} >>$DIR/heard
[ "$1" = init ] && cat $DIR/stored
echo "said by $1"
exit 0
"""
SCRIPTED = QUIET + RANGE + "dhcp-script=$DIR/script\n"
LIFE = """
dora m1 name=laptop
request m1 ci=. name=laptop
request m1 ci=. name=desktop
dora m2
dora m3 name=desktop
request m3 ci=. clid=0163
hup
restart
release m3 ci=. sid=10.77.1.1
dora m4 name=laptop
decline m4 req=. sid=10.77.1.1
inform m1 ci=.
dora m1 name=laptop
release m1 ci=. sid=10.77.1.1
"""
YOUTH = LIFE.partition("restart")[0]
RICH = (
    "prl=1,3,6,15,42,252 vendor=MSFT%205.0 user=0463616d310463616d32 o161='https://mud.test/light.json "
    "o125=00000de916010653636f7265310206313233343536030443504531"
)
# Title, configuration, exchanges as in dhcp_oracle_cases.py, files.
SCRIPT_CASES = [
    DhcpCase("life", SCRIPTED, LIFE),
    DhcpCase("domain", SCRIPTED + "domain=lan\ndomain=far.test,10.77.1.50,10.77.1.55\n", YOUTH),
    DhcpCase("every renewal", SCRIPTED + "script-on-renewal\n", YOUTH.replace("\nrequest", "\nsleep 1.1\nrequest")),
    DhcpCase("no names", SCRIPTED + "dhcp-ignore-names\nlog-dhcp\n", "dora m1 name=one\nrequest m1 ci=. name=other\n"),
    DhcpCase("fqdn", SCRIPTED + "domain=lan\n", "dora m1 fqdn=5:laptop.lan. name=other\ndora m2 fqdn=1:pc\n"),
    DhcpCase("never ends", SCRIPTED.replace("1h", "infinite"), "dora m1\nhup\nrelease m1 ci=. sid=10.77.1.1\n"),
    DhcpCase(
        "tags",
        SCRIPTED + "dhcp-vendorclass=set:ms,MSFT\ndhcp-userclass=set:cam,cam1\n"
        "dhcp-host=02:00:00:00:aa:01,set:mine,box\n"
        "tag-if=set:both,tag:ms,tag:cam\ndhcp-mac=set:two,02:00:00:00:aa:02\n",
        f"dora m1 {RICH}\ndora m2 {RICH} name=pc\ndora m3\n",
    ),
    DhcpCase("rich", SCRIPTED, f"dora m1 {RICH} name=pc clid=ff001122\nrequest m1 ci=. {RICH} name=pq clid=ff001122\n"),
    DhcpCase(
        "odd text",
        SCRIPTED,
        "dora m1 name=a=b vendor=x%3dy%00z\ndora m2 name=-bad vendor=%01%ff%20\ndora m3 name=two.lan user='\n"
        "dora m4 name=under_score o161='%0a\ndora m5 vendor=\ndora m6 name=tail. vendor=%c3%a9\n",
    ),
    DhcpCase(
        "relay",
        SCRIPTED + "dhcp-range=10.77.5.50,10.77.5.59,255.255.255.0,1h\n",
        "dora m1 gi=10.77.5.1 hops=1 circuit='port7 remote=0102ff subscr='me name=faraway\n"
        "request m1 ci=. from=10.77.5.50 name=nearer\n",
    ),
    DhcpCase(
        "bootp and others",
        SCRIPTED + "bootp-dynamic\ndhcp-host=02:00:00:00:aa:02,10.77.1.70,boot\n",
        "bootp m1\nbootp m2\ndora 0200000000aa03 htype=6 clid=0102 bcast\nrelease m2 ci=10.77.1.70 sid=10.77.1.1\n",
    ),
    DhcpCase(
        "rapid and ignored",
        SCRIPTED + "dhcp-rapid-commit\ndhcp-ignore=tag:mine\ndhcp-host=02:00:00:00:aa:02,set:mine\n",
        "discover m1 rapid= name=quick -> ACK\ndiscover m2 name=lost -> SILENCE\n",
    ),
    DhcpCase(
        "from the file",
        SCRIPTED,
        "hup\nsleep 3\ndora m5 name=held\nrequest m2 ci=10.77.1.52 name=gone -> SILENCE\n",
        {
            "leases": "$HOUR 02:00:00:00:aa:01 10.77.1.51 held 01:02\n$SOON 02:00:00:00:aa:02 10.77.1.52 gone *\n"
            "$PAST 02:00:00:00:aa:03 10.77.1.53 past *\n0 02:00:00:00:aa:04 10.77.1.54 * *\n"
        },
    ),
    DhcpCase(
        "from the script",
        SCRIPTED + "leasefile-ro\n",
        # An end that did not move, to the second, is no news.
        "hup\ndora m1 name=held clid=0102\nsleep 1.1\nrequest m1 ci=. name=held clid=0102\nsleep 1.1\n"
        "request m1 ci=. name=new clid=0102\n"
        "dora m2 name=held\nrelease m2 ci=. sid=10.77.1.1\nrestart\ndora m3\n",
        {"stored": "$HOUR 02:00:00:00:aa:01 10.77.1.51 held 01:02\n$PAST 02:00:00:00:aa:03 10.77.1.53 past *\n"},
    ),
    DhcpCase(
        "reload gives names",
        SCRIPTED + "dhcp-hostsfile=$DIR/list\n",
        "dora m1\ndora m2 name=own\nwrite list\nhup\nrequest m1 ci=.\n",
        {"list": ""},
        {"list": "02:00:00:00:aa:01,given\n02:00:00:00:aa:02,other\n"},
    ),
    DhcpCase("another user", SCRIPTED + "dhcp-scriptuser=nobody\n", "dora m1 name=pc\nrelease m1 ci=. sid=10.77.1.1\n"),
    DhcpCase(
        "not as root",
        "user=nobody\npid-file=\nlog-facility=$DIR/log\n" + SCRIPTED,
        "dora m1 name=pc\nhup\nrelease m1 ci=. sid=10.77.1.1\nrestart\ndora m1\n",
    ),
    DhcpCase("short lease", SCRIPTED.replace("1h", "2m"), "dora m1\nsleep 2\nrequest m1 ci=. name=x\n"),
]  # fmt: skip
DURATIONS = ("DNSMASQ_LEASE_EXPIRES", "DNSMASQ_LEASE_LENGTH", "DNSMASQ_TIME_REMAINING")


@dataclass
class Heard:
    """One run of the script: all that it told but times, and the times."""

    lines: list[str]
    times: list[int]

    @classmethod
    def parse(cls, text: str, side: Side) -> Heard:
        lines = text.replace(str(side.daemon.directory), "DIR").split("\n")
        pairs = [line.partition("=") for line in lines]
        times = [int(value) for name, _, value in pairs if name in DURATIONS]
        return cls([name if name in DURATIONS else name + sep + value for name, sep, value in pairs], times)

    def short(self) -> list[str]:
        return [line for line in self.lines if re.match("argument|DNSMASQ_", line)][1:]

    def like(self, other: Heard) -> bool:
        # How a duration is rounded, and how long each side took.
        near = all(abs(left - right) <= 2 for left, right in zip(self.times, other.times, strict=False))
        return self.lines == other.lines and near


def heard(side: Side) -> list[Heard]:
    path = side.daemon.directory / "heard"
    text = path.read_text("latin-1") if path.exists() else ""
    return [Heard.parse(item, side) for item in text.split("\n\n")[:-1]]


def heard_differences(left: list[Heard], right: list[Heard]) -> list[str]:
    found = []
    for number, (real, ours) in enumerate(zip_longest(left, right), 1):
        if real is None or ours is None:
            found.append(f"event {number} only " + (f"dnsmasq: {real.short()}" if real else f"ours: {ours.short()}"))
        elif not real.like(ours):
            missing = [line for line in real.lines if line not in ours.lines]
            extra = [line for line in ours.lines if line not in real.lines]
            times = f"times {real.times} {ours.times}"
            found.append(f"event {number} {real.lines[1:5]}: missing {missing} extra {extra} {times}")
    return found


def settled_differences(sides: tuple[Side, Side], done: list[int], ordered: bool = True) -> list[str]:
    """What differs in the events after the first `done`, when both sides have had time to come to rest."""
    time.sleep(0.1)
    end = time.monotonic() + 1.2
    while True:
        events = [heard(side)[count:] for side, count in zip(sides, done, strict=True)]
        found = heard_differences(*(item if ordered else unordered(item) for item in events))
        if not found or time.monotonic() > end:
            done[:] = [done[0] + len(events[0]), done[1] + len(events[1])]
            return found
        time.sleep(0.02)


def unordered(events: list[Heard]) -> list[Heard]:
    """Events that tell of all leases: dnsmasq turns their order with every start, and may tell the first one twice."""
    found = {"\n".join(event.lines): event for event in events}
    return [found[key] for key in sorted(found)]


def converse(exchange: Exchange, number: int, sides: tuple[Side, Side], memory: dict[str, str]) -> None:
    """Put a packet of the case to both sides and remember which address came."""
    replies = put(build(exchange.words, number, memory), sides, exchange)
    kinds = ["SILENCE" if reply is None else reply.message.kind() for reply in replies]
    assert set(kinds) == {exchange.outcome} or exchange.outcome == "ANY", f"{exchange.text}: {kinds}"
    if replies[0] is not None and replies[0].message.yiaddr != "0.0.0.0":
        memory[exchange.words[1]] = replies[0].message.yiaddr


@pytest.fixture(scope="module")
def worlds() -> Iterator[tuple[World, World]]:
    need(REAL, "dnsmasq")
    need(os.geteuid() == 0, "root")
    need_tool("ip")
    made = World("real"), World("ours")
    try:
        for world in made:
            world.setup()
        yield made
    finally:
        for world in made:
            world.close()


@pytest.fixture
def public() -> Iterator[pathlib.Path]:
    """A directory that every user can enter."""
    path = pathlib.Path(tempfile.mkdtemp(prefix="pydnsmasq-"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


def start_sides(case: DhcpCase, worlds: tuple[World, World], public: pathlib.Path) -> tuple[Side, Side]:
    now = int(time.time())
    words = {"$SOON": str(now + 3), "$HOUR": str(now + 3600), "$PAST": str(now - 60)}
    made = []
    for world, kind in zip(worlds, ("real", "ours"), strict=True):
        files = {"script": SCRIPT, "heard": "", **case.files}
        defaults = not case.conf.startswith("user=")
        daemon = DhcpDaemon(
            public / world.label, case.conf, kind=kind, words=words, files=files, port=53, defaults=defaults
        )
        (daemon.directory / "script").chmod(0o755)
        (daemon.directory / "heard").chmod(0o666)
        daemon.namespace = world.name("s")
        made.append(Side(world, daemon))
    return made[0], made[1]


def logged_last(side: Side) -> str:
    """The last word of the script in the log."""
    said = re.findall(r"dnsmasq-script\[\d+\]: (.*)", side.daemon.log())
    return str(said[-1]) if said else ""


@pytest.mark.parametrize("case", SCRIPT_CASES, ids=[case.name.replace(" ", "-") for case in SCRIPT_CASES])
def test_the_script_hears_the_same(case: DhcpCase, worlds: tuple[World, World], public: pathlib.Path) -> None:
    sides = start_sides(case, worlds, public)
    memory: dict[str, str] = {}
    found: list[str] = []
    done = [0, 0]
    try:
        for side in sides:
            side.spawn()
        for side in sides:
            side.wait()
        for number, exchange in enumerate([Exchange("start", ["sleep", "0.2"]), *exchanges_of(case)]):
            if exchange.is_packet:
                converse(exchange, number, sides, memory)
            else:
                run_other(exchange.words, case, sides)
            ordered = exchange.text not in ("start", "hup", "restart")
            found += [f"{exchange.text}: {item}" for item in settled_differences(sides, done, ordered)]
        for side in sides:
            told = [f"said by {item.lines[1].split()[1]}" for item in heard(side)]
            last = [text for text in told if text != "said by init"][-1]
            wait_until(lambda: logged_last(side) == last, 2, last)  # noqa: B023
            side.daemon.stop()
        found += [f"end: {item}" for item in settled_differences(sides, done)]
        assert not found, "\n".join(found)
    finally:
        for side in sides:
            side.daemon.stop()
    assert "Traceback" not in sides[1].daemon.stderr() + sides[1].daemon.log()


# What happens in the neighbour table of lan0, and what the script hears; every step adds another neighbour.
NEIGHBOURS = [
    (("replace 10.77.1.31 lladdr 02:00:00:00:bb:31",), ("arp-add 02:00:00:00:bb:31 10.77.1.31",)),
    (("replace 10.77.1.32 lladdr 02:00:00:00:bb:32",), ("arp-add 02:00:00:00:bb:32 10.77.1.32",)),
    (
        ("del 10.77.1.31 lladdr 02:00:00:00:bb:31", "replace 10.77.1.33 lladdr 02:00:00:00:bb:33"),
        ("arp-add 02:00:00:00:bb:33 10.77.1.33", "arp-del 02:00:00:00:bb:31 10.77.1.31"),
    ),
    (
        ("replace fd77::9 lladdr 02:00:00:00:bb:33", "replace 10.77.1.34 lladdr 02:00:00:00:bb:34"),
        ("arp-add 02:00:00:00:bb:33 fd77::9", "arp-add 02:00:00:00:bb:34 10.77.1.34"),
    ),
]


def test_neighbours_that_come_and_go(worlds: tuple[World, World], public: pathlib.Path) -> None:
    """script-arp: dnsmasq looks when a client asks whose hardware address it needs and does not know."""
    conf = "server=127.0.0.1#5353\nadd-mac\nscript-arp\n" + SCRIPTED
    sides = start_sides(DhcpCase("neighbours", conf, ""), worlds, public)
    query = dnswire.build_query("x.test", id=7)
    seen = 0
    try:
        for side in sides:
            side.spawn()
            side.wait()
        for number, (changes, told) in enumerate(NEIGHBOURS, 1):
            frame = Datagram(query, mac_of("02000000bb3" + str(number)), from_ip=f"10.77.1.3{number}", to_port=53)
            frame.to_mac, frame.to_ip = server_mac(1), "10.77.1.1"
            for side in sides:
                for change in changes:
                    side.world.ip("s", f"neigh {change} dev lan0" + (" nud reachable" if "replace" in change else ""))
                side.world.peer.send("up0", frame.pack())
            found = wait_until(lambda: neighbour_calls(sides, seen, len(told)), 10, f"{told}")  # noqa: B023
            assert found == [list(told)] * 2
            seen += len(told)
        assert not heard_differences(heard(sides[0])[:2], heard(sides[1])[:2])
    finally:
        for side in sides:
            side.daemon.stop()


def neighbour_calls(sides: tuple[Side, Side], seen: int, count: int) -> list[list[str]]:
    """The sorted arguments of the calls after the first `seen`, when both sides have `count` of them."""
    calls = [[" ".join(line[9:] for line in item.lines[1:4]) for item in heard(side)[seen:]] for side in sides]
    return [sorted(side) for side in calls] if min(map(len, calls)) >= count else []


# What the script does, and what must be in the log.
BAD_SCRIPTS = [
    ("sleep 4", ""),
    ("exit 3", "script process exited with status 3"),
    ("kill -9 $$", "script process killed by signal 9"),
    ("yes | head -c 20000", "y"),
    ("echo one; echo; printf 'no end'; printf '\\377\\001\\n'", "no end"),
    ("rm $0; exit 0", "failed to execute"),
    ("cat >/dev/null; echo end of input", "end of input"),
    ("exec >&- 2>&-; sleep 1", ""),
]


@pytest.mark.parametrize(("action", "line"), BAD_SCRIPTS)
def test_bad_scripts_do_not_stop_dhcp(action: str, line: str, lan: Lan) -> None:
    text = "#!/bin/sh\n" + action.replace("$0", f"{lan.directory}/d0/script") + "\n"
    daemon = lan.prepare(SCRIPTED, files={"script": text})
    (daemon.directory / "script").chmod(0o755)
    lan.launch(daemon)
    began = time.monotonic()
    clients = [lan.client("udhcpc", where).start() for where in (lan.c1, lan.c2)]
    got = {client.bound().address for client in clients}
    assert time.monotonic() - began < 3.9 and set(leases(daemon)) == got
    assert lan.ask("version.bind", "-c", "CH", "-t", "TXT")
    if line:
        daemon.wait_log(re.escape(line))
    for client in clients:
        client.renew()
        client.release()
    began = time.monotonic()
    status = daemon.stop(3)
    # dnsmasq waits for the script.
    assert OURS_KIND == "real" or (status == 0 and time.monotonic() - began < 3.5)


# -- faults of the lease file ------------------------------------------------------------

MACS = [bytes((2, 0, 0, 1, number >> 8, number & 255)) for number in range(1000)]
WIDE = "dhcp-range=10.77.1.20,10.77.1.250,1h\n"


def acquire(
    raw: RawClient, macs: Sequence[bytes], enough: int = 1 << 30, seconds: float = 8, window: int = 20
) -> dict[bytes, str]:
    """Let clients get leases, some at a time; give who was acknowledged what, when all were, or enough."""
    waiting, asking, done = list(reversed(macs)), 0, {}
    end = time.monotonic() + seconds
    while len(done) < min(len(macs), enough) and time.monotonic() < end:
        while waiting and asking < window:
            asking += 1
            message = DhcpMessage(xid=7, chaddr=waiting.pop(), options=[(53, b"\1")])
            raw.send("up0", Datagram(message.pack(), from_mac=message.chaddr).pack())
        reply = next_reply(raw, 0.5)
        if reply is None:
            asking = 0
        elif reply.kind() == "OFFER":
            options = [(53, b"\3"), (50, socket.inet_aton(reply.yiaddr)), (54, reply.value(54) or b"")]
            message = DhcpMessage(xid=7, chaddr=reply.chaddr[:6], options=options)
            raw.send("up0", Datagram(message.pack(), from_mac=message.chaddr).pack())
        elif reply.kind() == "ACK":
            asking -= 1
            done[reply.chaddr[:6]] = reply.yiaddr
    return done


def next_reply(raw: RawClient, seconds: float) -> DhcpMessage | None:
    got = raw.receive(seconds)
    frame = dhcpwire.parse_frame(got[1]) if got else None
    return dhcpwire.parse(frame.payload) if frame else None


def late_acks(raw: RawClient) -> dict[bytes, str]:
    """Acknowledgements that are still on their way."""
    found = {}
    while (reply := next_reply(raw, 0.3)) is not None:
        if reply.kind() == "ACK":
            found[reply.chaddr[:6]] = reply.yiaddr
    return found


@pytest.fixture
def raw(lan: Lan) -> Iterator[RawClient]:
    client = RawClient(lan.c3, "up0")
    yield client
    client.process.kill()  # what it has not been asked for is of no use
    client.close()


def in_file(daemon: Daemon, acked: dict[bytes, str]) -> list[str]:
    """Acknowledged leases that the file does not have."""
    rows = leases(daemon)
    return [address for mac, address in acked.items() if rows.get(address, ["", ""])[1] != mac.hex(":")]


def prepare_disk(lan: Lan, conf: str, options: str = "size=128k", **more: Any) -> tuple[pathlib.Path, Daemon]:
    """A daemon whose lease file is alone on a small file system; `leases` is a link to it."""
    daemon = lan.prepare(conf.replace("$DIR/leases", "$DIR/disk/leases"), **more)
    disk = daemon.directory / "disk"
    disk.mkdir()
    lan.mount("tmpfs", disk, options)
    (daemon.directory / "leases").symlink_to("disk/leases")
    return disk, daemon


@UNLIKE_REAL
def test_a_full_disk_under_the_lease_file(lan: Lan, raw: RawClient) -> None:
    """What was in the file stays there, clients are served, and all is written when there is room again."""
    disk, daemon = prepare_disk(lan, QUIET + WIDE)
    lan.launch(daemon)
    early = acquire(raw, MACS[:60])
    before = (disk / "leases").read_bytes()
    ballast = disk / "ballast"
    with contextlib.suppress(OSError), ballast.open("wb", buffering=0) as file:
        while True:
            file.write(b"x" * 4096)
    late = acquire(raw, MACS[60:160], seconds=4)
    assert lan.ask("version.bind", "-c", "CH", "-t", "TXT"), "DNS goes on"
    assert (disk / "leases").read_bytes() == before, "the old text is whole"
    assert len(early) == 60 and not in_file(daemon, early)
    ballast.unlink()
    assert len(acquire(raw, MACS[160:162])) == 2
    wait_until(lambda: not in_file(daemon, {**early, **late}), 3, "all leases in the file")
    assert len({*early.values(), *late.values()}) == len(early) + len(late)


def test_a_lease_file_that_vanishes_under_another_mount(lan: Lan, raw: RawClient) -> None:
    """For a while nothing can be written where the file is; afterwards it has all leases again."""
    disk, daemon = prepare_disk(lan, QUIET + WIDE + "domain=lan\n")
    lan.launch(daemon)
    client = lan.client(name="laptop")
    address = client.start().bound().address
    lan.mount("tmpfs", disk, "ro")
    assert client.renew().address == address
    acked = acquire(raw, MACS[:5])
    assert len(acked) == 5 and lan.ask("laptop.lan") == [address]
    subprocess.run(["umount", str(disk)], check=True)
    acked |= acquire(raw, MACS[5:6])
    wait_until(lambda: (disk / "leases").exists() and not in_file(daemon, acked), 3, "all leases in the file")
    assert address in leases(daemon)
    client.release()
    wait_until(lambda: address not in leases(daemon), 3, "the end of a lease")


# Who writes, the mode of the directory and of the file in it ("" for none), and what is done in the directory.
PLACES = [
    ("root", "0755", "", ""),
    ("root", "0755", "0644", "mount --bind ../elsewhere leases"),
    ("root", "0755", "0644", "mkdir there; mv leases there; ln -s there/leases leases"),
    ("nobody", "0755", "0600", ""),
    ("nobody", "0755", "0444", ""),
    ("nobody", "0755", "", ""),
    ("nobody", "0755", "0644", "mount --bind ../elsewhere leases"),
    ("nobody", "0777", "", ""),
    ("nobody", "1777", "0600", ""),
    ("nobody", "0700,uid=65534", "", ""),
]


@pytest.mark.parametrize(("user", "mode", "file_mode", "shell"), PLACES)
def test_places_of_the_lease_file(user: str, mode: str, file_mode: str, shell: str, lan: Lan, raw: RawClient) -> None:
    """Every acknowledged lease is in the file, and read at the next start."""
    conf = f"pid-file=\nlog-facility=$DIR/log\nuser={user}\n" + QUIET + WIDE
    disk, daemon = prepare_disk(lan, conf, f"mode={mode}", defaults=False, files={"elsewhere": ""})
    for path in (daemon.directory, *daemon.directory.parents[:3]):
        path.chmod(0o755)
    if file_mode:
        (disk / "leases").touch()
        (disk / "leases").chmod(int(file_mode, 8))
    need(not subprocess.run(["sh", "-ec", shell], cwd=disk, check=False).returncode, "mounts")
    if "mount" in shell:
        lan.mounts.append(disk / "leases")
    lan.launch(daemon)
    acked = acquire(raw, MACS[:30])
    assert len(acked) == 30 and not in_file(daemon, acked)
    daemon.signal(signal.SIGKILL)
    assert daemon.process is not None
    daemon.process.wait()
    assert not in_file(daemon, acked)
    lan.launch(daemon)
    again = acquire(raw, MACS[:60])
    assert {mac: again[mac] for mac in acked} == acked
    assert len(set(again.values())) == 60
    assert not in_file(daemon, again), f"{leases(daemon)} {daemon.log()}"
    assert "failed to write" not in daemon.log()


# Lines of a lease file; `good` ones come first.
GOOD_LINES = """\
$HOUR 02:00:00:00:aa:01 10.77.1.21 one 01:02
0 02:00:00:00:aa:02 10.77.1.22 * *
$HOUR 06-00:11 10.77.1.23 three ff:00
$HOUR 02:00:00:00:aa:04 10.9.9.9 far *
$HOUR 02:00:00:00:aa:05 10.77.1.25 under_score 74:65:78:74
"""
BAD_LINES = """\
rubbish
1 2 3
$HOUR 02:00:00:00:aa:11 10.77.1.300 name *
$HOUR 02:00:00:00:zz:12 10.77.1.32 name
x 02:00:00:00:aa:13
$HOUR 02:00:00:00:aa:14 not-an-address name *
\xff\xfe\x01 \x02
""" + "long" * 1000 + "\n"  # fmt: skip
OTHER_LINES = """\
duid 00:01:00:01:1c:2b:3a:49:02:00:00:00:01:01
$HOUR 12345 fd00::10 six 00:01:00:01:aa:bb
$HOUR T77 fd00::11 * 00:03:00:01:02:00:00:00:00:01
"""


def _hour(text: str) -> str:
    return text.replace("$HOUR", str(int(time.time()) + 3600))


@UNLIKE_REAL
def test_lines_that_cannot_be_read_are_kept_aside(lan: Lan) -> None:
    text = _hour(GOOD_LINES + BAD_LINES + OTHER_LINES)
    daemon = lan.serve(QUIET + WIDE + "domain=lan\n", files={"leases": text})
    assert lan.ask("one.lan") == ["10.77.1.21"]
    client = lan.client().start().bound()
    rows = leases(daemon)
    for line in _hour(GOOD_LINES).splitlines():
        assert rows[line.split()[2]][1:] == line.split()[1:]
    assert client.address in rows
    now = (daemon.directory / "leases").read_text("latin-1")
    for line in OTHER_LINES.replace("$HOUR ", "").splitlines():
        assert f"{line}\n" in now, "the lines of DHCPv6"
    beside = [path for path in daemon.directory.glob("leases*") if path.name != "leases"]
    kept = "".join(path.read_text("latin-1") for path in beside)
    for line in BAD_LINES.replace("$HOUR ", "").splitlines():
        assert line in kept, f"gone: {line!r}"
    daemon.wait_log("ignoring invalid line in lease database: rubbish")


def test_good_lines_survive_a_restart(lan: Lan) -> None:
    daemon = lan.serve(QUIET + WIDE + "domain=lan\n", files={"leases": _hour(GOOD_LINES)})
    for _ in range(2):
        assert lan.ask("one.lan") == ["10.77.1.21"] and lan.ask("three.lan") == ["10.77.1.23"]
        assert lan.ask(reverse("10.77.1.25"), "-t", "PTR") == ["under_score.lan."]
        rows = leases(daemon)
        for line in _hour(GOOD_LINES).splitlines():
            assert rows[line.split()[2]][1:] == line.split()[1:]
        daemon.stop()
        lan.launch(daemon)


@pytest.mark.parametrize("place", ["/proc/no/leases", "$DIR", "$DIR/no/leases", "/dev/full/leases"])
def test_a_lease_file_that_cannot_be(place: str, lan: Lan) -> None:
    daemon = lan.prepare(QUIET.replace("$DIR/leases", place) + WIDE).spawn()
    assert daemon.process is not None and daemon.process.wait(10) == 3
    assert "lease file" in daemon.stderr() and place.replace("$DIR", str(daemon.directory)) in daemon.stderr()


def test_no_lease_file_at_all(lan: Lan) -> None:
    daemon = lan.serve(QUIET.replace("dhcp-leasefile=$DIR/leases", "leasefile-ro") + RANGE + "domain=lan\n")
    address = lan.client(name="laptop").start().bound().address
    assert lan.ask("laptop.lan") == [address] and not (daemon.directory / "leases").exists()


@UNLIKE_REAL
def test_killed_under_load(lan: Lan, raw: RawClient) -> None:
    """Every acknowledged lease is in the file, whenever the process dies; no address has two clients."""
    daemon = lan.serve(QUIET + WIDE)
    acked: dict[bytes, str] = {}
    for turn in range(4):
        acked |= acquire(raw, MACS[turn * 50 : turn * 50 + 50], enough=5 + 11 * turn)
        daemon.signal(signal.SIGKILL)
        assert daemon.process is not None
        daemon.process.wait()
        acked |= late_acks(raw)
        assert not in_file(daemon, acked), f"turn {turn}"
        lan.launch(daemon)
    acked |= acquire(raw, MACS[:200], seconds=15)
    assert len(acked) == 200 == len(set(acked.values())) and not in_file(daemon, acked)


# -- files that are read again -------------------------------------------------------------

BROKEN_FILES = ["\0\1\xff" * 500, "no such thing,,,\n[[[\n", "x" * 70_000, f"{MAC},10.77.1.999\n", "02:00\n" * 2000]


@pytest.mark.parametrize("text", BROKEN_FILES, ids=range(len(BROKEN_FILES)))
def test_broken_files_at_a_reload(text: str, lan: Lan) -> None:
    """What is wrong in a file is told, what is right counts, and nothing stops."""
    conf = QUIET.replace("no-hosts\n", "no-hosts\naddn-hosts=$DIR/hosts\n") + RANGE + "dhcp-hostsfile=$DIR/list\n"
    conf += "domain=lan\ndhcp-optsfile=$DIR/options\n"
    good = {"list": f"{MAC},10.77.1.55,box\n", "hosts": "10.9.9.9 srv.lan\n", "options": "15,opt.test\n"}
    daemon = lan.serve(conf, files=good)
    client = lan.client().start()
    told = client.bound()
    assert (told.address, told.domain) == ("10.77.1.55", "opt.test") and lan.ask("srv.lan") == ["10.9.9.9"]
    for name in good:
        daemon.write(name, text)
    daemon.signal(signal.SIGHUP)
    daemon.wait_log(r"(bad|invalid|error|extraneous|missing|illegal).*(line|at)|read .*list", 3)
    assert lan.client("udhcpc", lan.c2).start().bound().address
    client.renew()
    for name, content in good.items():
        daemon.write(name, content)
    daemon.signal(signal.SIGHUP)
    wait_until(lambda: lan.ask("srv.lan") == ["10.9.9.9"] and lan.ask("box.lan") == ["10.77.1.55"], 3, "the good ones")
    assert client.renew().domain == "opt.test"


def test_additions_in_a_directory_count_at_once(lan: Lan) -> None:
    daemon = lan.serve(POOL + "dhcp-hostsdir=$DIR/more\ndhcp-optsdir=$DIR/opts\n", files={"more/a": "", "opts/a": ""})
    client = lan.client(name="laptop")
    assert client.start().bound().address.startswith("10.77.1.5")
    client.release()
    client.stop()
    daemon.write("more/b", f"{MAC},10.77.1.100,box\n")
    daemon.write("opts/b", "option:domain-name,opt.test\n")
    daemon.wait_log("more/b")
    time.sleep(0.1)
    told = client.start().wait("bound")
    assert (told.address, told.domain) == ("10.77.1.100", "opt.test") and lan.ask("box.lan") == ["10.77.1.100"]
    client.release()
    client.stop()
    # A file that is moved in, with a line for another client.
    daemon.write("aside", "02:00:00:00:01:12,10.77.1.101\n").rename(daemon.directory / "more" / "c")
    daemon.wait_log("more/c")
    time.sleep(0.1)
    assert lan.client("udhcpc", lan.c2).start().bound().address == "10.77.1.101"


# -- foreign bytes -----------------------------------------------------------------------

# What a client calls itself; what the lease file says, and the name that DNS has.
ROGUE_NAMES = [
    (b"plain", "plain"), (b"UPPER", "UPPER"), (b"a-b_c", "a-b_c"), (b"../x", "*"), (b"a/b", "*"), (b"a b", "*"),
    (b"a\x01b", "*"), (b"a\nb", "*"), (b"a\rb 10.0.0.1", "*"), (b"\x00", "*"), (b"tail\x00", "tail"),
    (b"in\x00side", "in|*"), (b"*", "*"), (b"-a", "*"), (b"_a", "*"), (b".", "*"), (b"..", "*"), (b".lan", "*"),
    (b"pc.lan", "pc"), (b"pc.lan.", "pc"), (b"pc.other", "pc"), (b"pc..lan", "pc"), (b"\xc3\xa9", "*"),
    (b"\xff\xff", "*"), (b"x" * 63, "x" * 63), (b"x" * 64, "*"), (b"x" * 255, "*"), (b"%s%n%d", "*"),
    (b"$(id)", "*"), (b"`id`", "*"), (b"a;b", "*"), (b"a=b", "*"), (b"1234", "1234"),
    (b"10.77.1.1", "10"), (b"router", "router"), (b"localhost", "localhost"), (b"x.router.lan", "x"),
]  # fmt: skip


def test_rogue_names(lan: Lan, raw: RawClient) -> None:
    """Nothing but a host name gets into the file, the script, the log or DNS."""
    daemon = lan.serve(QUIET + WIDE + "domain=lan\nhost-record=router,router.lan,10.77.1.1\n")
    wrong = []
    for number, (name, expected) in enumerate(ROGUE_NAMES):
        message = DhcpMessage(xid=number, chaddr=MACS[number], options=[(53, b"\3"), (12, name)])
        message.options += [(50, socket.inet_aton(f"10.77.1.{number + 30}")), (54, socket.inet_aton("10.77.1.1"))]
        raw.send("up0", Datagram(message.pack(), from_mac=message.chaddr).pack())
        reply = next_reply(raw, 2)
        rows = leases(daemon)
        got = rows.get(f"10.77.1.{number + 30}", ["", "", "", "no lease"])[3]
        if reply is None or reply.kind() != "ACK" or got not in expected.split("|"):
            wrong.append((name, expected, got, reply))
    assert not wrong
    assert lan.ask("router.lan") == ["10.77.1.1"] and lan.ask("pc.lan")
    assert all(re.fullmatch(r"[ -~]*", line) for line in daemon.log().splitlines()), "bytes in the log"
    daemon.stop()
    lan.launch(daemon)
    assert len(leases(daemon)) == len(ROGUE_NAMES)


def discover(number: int, **fields: Any) -> DhcpMessage:
    fields.setdefault("options", [(53, b"\1")])
    return DhcpMessage(xid=0x5000 + number, chaddr=MACS[number], **fields)


def tail(data: bytes) -> bytes:
    """A DISCOVER whose options are followed by these octets instead of an end."""
    return DhcpMessage(xid=1, chaddr=MACS[0], options=[(53, b"\1")], ended=False).pack() + data


OVERLOADED = discover(1, file=b"\x0c\xff" * 64, sname=b"\x0c\xff" * 32, options=[(53, b"\1"), (52, b"\3")])
# Title, octets, what must come: an OFFER, nothing, or anything.
ODD_PACKETS = [
    ("good", discover(1).pack(), "OFFER"),
    ("empty", b"", "SILENCE"),
    ("one octet", b"\1", "SILENCE"),
    ("header without cookie", discover(1).pack()[:236], "ANY"),
    ("cut in the header", discover(1).pack()[:200], "SILENCE"),
    ("cookie only", discover(1).pack()[:240], "ANY"),
    ("wrong cookie", discover(1).pack().replace(COOKIE, b"\x63\x82\x53\x64"), "SILENCE"),
    ("reply", discover(1, op=2).pack(), "SILENCE"),
    ("operation 0", discover(1, op=0).pack(), "SILENCE"),
    ("hlen 17", discover(1, hlen=17).pack(), "SILENCE"),
    ("hlen 255", discover(1, hlen=255).pack(), "SILENCE"),
    ("hlen 0", discover(1, hlen=0).pack(), "SILENCE"),
    ("hlen 0 with an id", discover(1, hlen=0, flags=0x8000, options=[(53, b"\1"), (61, b"\0abc")]).pack(), "OFFER"),
    ("hlen 16", discover(1, hlen=16, flags=0x8000).pack(), "OFFER"),
    ("hops 255", discover(1, hops=255).pack(), "ANY"),
    ("no end", tail(b""), "OFFER"),
    ("option without length", tail(b"\x0c"), "ANY"),
    ("option past the end", tail(b"\x0c\xffabc"), "ANY"),
    ("length 0", tail(b"\x0c\0\x3d\0\x37\0\x51\0\x52\0\x32\0\x36\0\x33\0\x4d\0\x3c\0\xff"), "OFFER"),
    ("type twice", tail(b"\x35\1\3\xff"), "ANY"),
    ("type of length 0", discover(1, options=[(53, b"")]).pack(), "ANY"),
    ("type 0", discover(1, options=[(53, b"\0")]).pack(), "SILENCE"),
    ("type 99", discover(1, options=[(53, b"\x63")]).pack(), "SILENCE"),
    ("short address asked for", tail(b"\x32\1\x0a\xff"), "OFFER"),
    ("short lease time", tail(b"\x33\1\1\xff"), "ANY"),
    ("lease time 0", tail(b"\x33\4\0\0\0\0\xff"), "OFFER"),
    ("maximum size 0", tail(b"\x39\2\0\0\xff"), "OFFER"),
    ("maximum size of one octet", tail(b"\x39\1\1\xff"), "ANY"),
    ("agent option that overruns", tail(b"\x52\4\1\xff\2\2\xff"), "ANY"),
    ("agent option of 255", tail(b"\x52\xff" + b"\1\xfd" + b"x" * 253 + b"\xff"), "ANY"),
    ("vendor option that overruns", tail(b"\x7d\x05\0\0\1\0\xff\xff"), "OFFER"),
    ("vendor class that overruns", tail(b"\x7c\x05\0\0\1\0\xff\xff"), "OFFER"),
    ("user class that overruns", tail(b"\x4d\2\xffa\xff"), "OFFER"),
    ("FQDN of flags only", tail(b"\x51\1\5\xff"), "OFFER"),
    ("FQDN with a label that overruns", tail(b"\x51\5\5\0\0\x3fa\xff"), "OFFER"),
    ("FQDN with a pointer", tail(b"\x51\5\5\0\0\xc0\0\xff"), "OFFER"),
    ("PXE option that overruns", tail(b"\x3c\x09PXEClient\x2b\3\x47\xff\0\xff"), "OFFER"),
    ("overload of the options", tail(b"\x34\1\3\xff"), "ANY"),
    ("overload of nonsense", OVERLOADED.pack(), "ANY"),
    ("500 pads", tail(b"\0" * 500 + b"\xff"), "OFFER"),
    ("200 request lists", tail(b"\x37\1\3" * 200 + b"\xff"), "OFFER"),
    ("all octets asked for", tail(b"\x37\xff" + bytes(range(1, 256)) + b"\xff"), "OFFER"),
    ("relay from nowhere", discover(1, giaddr="192.0.2.1").pack(), "SILENCE"),
    ("relay broadcast", discover(1, giaddr="255.255.255.255").pack(), "ANY"),
    ("relay that is us", discover(1, giaddr="10.77.1.1").pack(), "ANY"),
    ("as long as can be", tail((b"\xe0\xff" + b"x" * 255) * 4 + b"\xff"), "OFFER"),
]  # fmt: skip


def test_odd_packets(lan: Lan, raw: RawClient) -> None:
    daemon = lan.serve(QUIET + WIDE + "log-dhcp\npxe-service=x86PC,boot,file\ndhcp-match=set:x,option:client-arch,0\n")
    wrong = []
    for title, octets, expected in ODD_PACKETS:
        raw.send("up0", Datagram(octets, from_mac=MACS[1]).pack())
        reply = next_reply(raw, 0.15 if expected != "OFFER" else 2)
        got = "SILENCE" if reply is None else reply.kind()
        if expected not in ("ANY", got):
            wrong.append(f"{title}: {got}, not {expected}")
        while next_reply(raw, 0):
            pass
    assert not wrong, "\n".join(wrong)
    assert lan.client().start().bound() and "internal error" not in daemon.log()


def samples() -> list[bytes]:
    """Good messages of all kinds, with all options that are read."""
    agent = b"\1\4port\2\6\2\0\0\0\0\1\5\4\x0a\x4d\5\1\x06\2me\x0b\4\x0a\x4d\1\1"
    rich = [
        (12, b"laptop"), (60, b"PXEClient:Arch:00000:UNDI:002001"), (61, b"\1\2\0\1\0\0\7"), (77, b"\4cam1\4cam2"),
        (81, b"\5\0\0\6laptop\3lan\0"), (93, b"\0\0"), (94, b"\1\2\1"), (97, bytes(17)), (55, bytes(range(1, 130))),
        (57, b"\5\xdc"), (51, b"\0\0\x0e\x10"), (118, b"\x0a\x4d\1\0"), (124, b"\0\0\x0d\xe9\4\3abc"),
        (125, b"\0\0\x0d\xe9\x0c\1\6AABBCC\2\2S1"), (43, b"\x47\4\0\0\0\0"), (161, b"https://mud.test/x"), (80, b""),
    ]  # fmt: skip
    asked, server = (50, socket.inet_aton("10.77.1.60")), (54, socket.inet_aton("10.77.1.1"))
    out = []
    for kind in (1, 3, 3, 4, 7, 8, 10, 0):
        head = [(53, bytes((kind,)))] if kind else []
        for more in ([], [asked, server], rich, [asked, *rich], [*rich, server, (82, agent)]):
            for fields in ({}, {"ciaddr": "10.77.1.60"}, {"giaddr": "10.77.5.1"}, {"flags": 0x8000, "hops": 3}):
                out.append(DhcpMessage(xid=9, chaddr=MACS[kind], options=head + more, **fields).pack())
    return out


HEAVY = (
    "dhcp-range=10.77.5.20,10.77.5.250,255.255.255.0,1h\ndomain=lan\nlog-dhcp\ndhcp-authoritative\nbootp-dynamic\n"
    "dhcp-rapid-commit\npxe-service=x86PC,boot,file\npxe-prompt=now,1\ndhcp-boot=file,server,10.77.1.1\n"
    "dhcp-userclass=set:cam,cam1\ndhcp-vendorclass=set:pxe,PXE\ndhcp-circuitid=set:p,port\ndhcp-option=119,a.test,b.test\n"
    "dhcp-match=set:e,vi-encap:3561,S1\ndhcp-option=cam,252,http://x\ndhcp-option=vendor:PXEClient,1,0.0.0.0\n"
    "dhcp-name-match=set:lap,lap*\ntag-if=set:z,tag:lap,tag:!p\ndhcp-host=02:00:00:00:01:11,10.77.1.15\n"
)  # fmt: skip


def settle(raw: RawClient, number: int) -> bool:
    """Wait until a good DISCOVER is answered, and so all before it has been read; on a busy machine one gets lost."""
    options = [(53, b"\1"), (50, socket.inet_aton("10.77.1.16"))]
    message = DhcpMessage(xid=0xBEEF0000 + number, chaddr=b"\2\0\0\2\2\2", options=options)
    for _ in range(3):
        raw.send("up0", Datagram(message.pack(), from_mac=message.chaddr).pack())
        end = time.monotonic() + 3
        while time.monotonic() < end:
            reply = next_reply_or_noise(raw, 3)
            if reply is not None and reply.xid == message.xid:
                return True
    return False


def next_reply_or_noise(raw: RawClient, seconds: float) -> DhcpMessage | None:
    try:
        return next_reply(raw, seconds)
    except dhcpwire.DhcpWireError:
        return None


def test_damaged_packets_by_the_ten_thousand(lan: Lan, raw: RawClient) -> None:
    conf = QUIET + WIDE + HEAVY + "dhcp-host=02:00:00:02:02:02,10.77.1.16\n"
    conf += "" if OURS_KIND == "real" else "leasequery\n"
    daemon = lan.serve(conf)
    before = daemon.memory()["VmRSS"]
    for number, packet in enumerate(damaged(samples(), 12_000, seed=96)):
        raw.send("up0", Datagram(packet, from_mac=MACS[3]).pack())
        if number % 25 == 0:
            assert settle(raw, number), f"no answer after packet {number}: {packet.hex()}\n{daemon.log()[-1500:]}"
    assert daemon.alive() and daemon.memory()["VmRSS"] - before < 20_000
    assert "internal error" not in daemon.log()
    assert lan.client().start().bound().address == "10.77.1.15"
    daemon.stop()
    lan.launch(daemon)
    assert lan.client("udhcpc", lan.c1).start().wait("bound").address == "10.77.1.15"


@pytest.mark.parametrize("ping", [False, pytest.param(True, marks=UNLIKE_REAL)])
def test_a_flood_of_discovers_from_new_clients(ping: bool, lan: Lan, raw: RawClient) -> None:
    quiet = QUIET.replace("no-ping\n", "") if ping else QUIET
    daemon = lan.serve(quiet + RANGE + "dhcp-host=02:00:00:02:02:02,10.77.1.16\ndhcp-generate-names\n")
    memory, client = [], lan.client()
    for turn in range(3):
        for number in range(4000):
            mac = b"\2" + turn.to_bytes(1, "big") + number.to_bytes(4, "big")
            options = [(53, b"\1"), (61, b"\xff" + mac * 8), (12, b"flood")]
            message = DhcpMessage(xid=number, chaddr=mac, options=options)
            raw.send("up0", Datagram(message.pack(), from_mac=mac).pack())
            if number % 40 == 0:
                assert settle(raw, number)
            if (turn, number) == (1, 1000):
                client.start()
        memory.append(daemon.memory()["VmRSS"])
    assert client.bound()
    assert memory[2] - memory[0] < 3000, memory
    assert len(leases(daemon)) == 1
