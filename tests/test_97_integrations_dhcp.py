"""The command lines of the programs that run dnsmasq for DHCP, each as two instances on one machine.

server br0 10.1.0.1/24, a bridge: clients a b
server br1 10.2.0.1/24, a bridge: clients c d
server br2 10.3.0.1/24, br3 10.4.0.1/24: nobody
"""

from __future__ import annotations

import contextlib
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence

import pytest

import dhcpwire
from dhcpwire import Datagram, DhcpMessage, RawClient
from harness import OURS_KIND, START_SECONDS, Daemon, need, need_tool, program_command, wait_until
from netkit import DhcpClient, Namespaces, NetDaemon

UNLIKE_REAL = pytest.mark.skipif(OURS_KIND == "real", reason="dnsmasq behaves otherwise here")
UNICASTS = 10


# -- the programs ------------------------------------------------------------------

# What stands for a leaseshelper keeps the lease file that leasefile-ro keeps dnsmasq from writing.
HELPER = """#!/bin/sh
[ "$VIR_BRIDGE_NAME" = $IF ] || exit 1
touch $DIR/leases
case $1 in
init) cat $DIR/leases; exit ;;
esac
grep -v " $3 " $DIR/leases >$DIR/kept
[ "$1" = del ] || echo "$DNSMASQ_LEASE_EXPIRES $2 $3 ${4:-*} ${DNSMASQ_CLIENT_ID:-*}" >>$DIR/kept
mv $DIR/kept $DIR/leases
"""
FILES = {
    "libvirt": {
        "helper": HELPER,
        "conf": """\
strict-order
no-resolv
domain=net$N.test
expand-hosts
pid-file=$DIR/pid
except-interface=lo
bind-dynamic
interface=$IF
dhcp-option=option:mtu,1400
dhcp-range=$NET.2,$NET.254,255.255.255.0
dhcp-no-override
dhcp-authoritative
dhcp-lease-max=253
dhcp-hostsfile=$DIR/hosts
addn-hosts=$DIR/more
""",
        "hosts": "02:00:00:00:00:99,$NET.77,other\n",
        "more": "$NET.9\tfoo\n",
    },
    "OpenWrt": {
        "conf": """\
dhcp-authoritative
domain-needed
localise-queries
read-ethers
expand-hosts
bind-dynamic
local-service
edns-packet-max=1232
domain=lan
local=/lan/
addn-hosts=$DIR/hosts
dhcp-leasefile=$DIR/leases
dhcp-script=/bin/true
script-arp
no-resolv
dhcp-broadcast=tag:needs-broadcast
conf-dir=$DIR/dnsmasq.d
user=nobody
dhcp-ignore-names=tag:dhcp_bogus_hostname
dhcp-name-match=set:dhcp_bogus_hostname,wpad
bogus-priv
except-interface=lo
interface=$IF
dhcp-mac=set:needs-broadcast,02:00:00:00:00:*
dhcp-range=set:lan,$NET.100,$NET.249,255.255.255.0,12h
no-dhcp-interface=br2
""",
        "hosts/odhcpd": "# nothing\n",
        "dnsmasq.d/empty": "",
    },
    "Incus": {"raw": "", "hosts/default_c1": "02:00:00:00:00:99,$NET.77,other\n"},
    "Multipass": {"conf": "", "hosts": ""},
    "Neutron": {
        "hosts": "02:00:00:00:00:11,set:port-1,guest.test,$NET.60\n02:00:00:00:01:13,guest.test,$NET.61,set:port-2\n",
        "more": "$NET.9\tfoo.test foo\n",
        "opts": "tag:subnet-1,option:dns-server,$NET.1\ntag:subnet-1,option:router,$NET.1\n",
    },
    "Proxmox": {
        "conf.d/00-default.conf": """\
except-interface=lo
bind-dynamic
no-hosts
dhcp-leasefile=$DIR/leases
dhcp-hostsfile=$DIR/ethers
dhcp-ignore=tag:!known
dhcp-option=26,1500
dhcp-option=252,"\\n"
dhcp-option=vendor:MSFT,2,1i
dhcp-name-match=set:wpad-ignore,wpad
dhcp-ignore-names=tag:wpad-ignore
""",
        "conf.d/10-a.conf": "interface=$IF\ndhcp-range=set:a,$NET.0,static,255.255.255.0,infinite\n",
        "conf.d/10-b.conf": "interface=$OTHER\ndhcp-range=set:b,$FAR.0,static,255.255.255.0,infinite\n",
        "conf.d/raw.bak": "nonsense\n",
        "ethers": "02:00:00:00:00:11,$NET.60\n02:00:00:00:01:13,$NET.61\n02:00:00:00:07:*,set:asks\n",
    },
    "f18m": {
        "conf": """\
no-poll
user=root
keep-in-foreground
interface=$IF,
bind-interfaces
except-interface=lo
domain=lan   # a comment
no-hosts
no-resolv
no-ping
dhcp-leasefile=$DIR/leases
dhcp-script=/bin/true
script-on-renewal
dhcp-range=$IF,$NET.50,$NET.99,255.255.255.0,2m
dhcp-option=$IF,3,$NET.1 # the router
log-dhcp
""",
    },
}  # fmt: skip
BASIC = "--strict-order --bind-interfaces --except-interface=lo --dhcp-leasefile=$DIR/leases "
COMMANDS = {
    "libvirt": "--conf-file=$DIR/conf --leasefile-ro --dhcp-script=$DIR/helper",
    "OpenWrt": "-C $DIR/conf -k -x $DIR/pid",
    "NetworkManager": f"{BASIC} --conf-file=/dev/null --no-hosts --keep-in-foreground --clear-on-reload --no-resolv"
    " --listen-address=$NET.1 --dhcp-range=$NET.10,$NET.254,60m --dhcp-option=option:router,$NET.1"
    " --dhcp-option=option:dns-server,$NET.1 --dhcp-option-force=43,ANDROID_METERED --pid-file=$DIR/pid",
    "Incus": f"{BASIC} --keep-in-foreground --pid-file= --no-ping --interface=$IF --dhcp-rapid-commit --no-negcache"
    " --quiet-dhcp --quiet-dhcp6 --quiet-ra --dhcp-ignore-clid --listen-address=$NET.1 --dhcp-no-override"
    " --dhcp-authoritative --dhcp-hostsfile=$DIR/hosts --dhcp-option-force=26,1400 --dhcp-range $NET.2,$NET.254,1h"
    " -s incus --interface-name _gateway.incus,$IF -S /incus/ --conf-file=$DIR/raw -u nobody --no-resolv",
    "lxc-net": f"{BASIC} --conf-file=/dev/null -s lxc -S /lxc/ -u nobody --pid-file=$DIR/pid --listen-address $NET.1"
    " --dhcp-range $NET.2,$NET.254 --dhcp-lease-max=253 --dhcp-no-override --interface=$IF --dhcp-authoritative",
    "Multipass": f"{BASIC} --keep-in-foreground --pid-file=$DIR/pid --domain=multipass --local=/multipass/"
    " --interface=$IF --listen-address=$NET.1 --no-ping --dhcp-authoritative --dhcp-hostsfile=$DIR/hosts"
    " --dhcp-ignore-clid --dhcp-range $NET.2,$NET.254,infinite --conf-file=$DIR/conf",
    "Neutron": "--no-hosts EMPTY --pid-file=$DIR/pid --dhcp-hostsfile=$DIR/hosts --addn-hosts=$DIR/more"
    " --dhcp-optsfile=$DIR/opts --dhcp-leasefile=$DIR/leases --dhcp-match=set:ipxe,175 --dhcp-userclass=set:ipxe6,iPXE"
    " --local-service --bind-dynamic --interface=$IF --except-interface=lo --conf-file=/dev/null --server=$NET.99"
    " --dhcp-range=set:subnet-1,$NET.0,static,255.255.255.0,86400s --dhcp-option-force=option:mtu,1450"
    " --dhcp-lease-max=65536 --domain=test --log-queries --log-dhcp",
    "Proxmox": "-k --conf-dir=$DIR/conf.d,*.conf --conf-file=/dev/null --pid-file=$DIR/pid --no-resolv --local-service",
    "f18m": "-C $DIR/conf --pid-file=$DIR/pid",
}  # fmt: skip
DAEMONS = ("libvirt", "lxc-net", "Neutron")  # what goes into the background
# dnsmasq binds to a device only for one interface that is named; else the kernel gives each
# unicast packet to any one of the instances.
LOSES_UNICASTS = ("NetworkManager", "Proxmox")


class Program(NetDaemon):
    """An instance as an integration runs it, with its command line and nothing else."""

    def __init__(self, directory: pathlib.Path, name: str, number: int) -> None:
        words = {"$NET": f"10.{number + 1}.0", "$FAR": f"10.{number + 3}.0", "$IF": f"br{number}", "$N": str(number)}
        words["$OTHER"] = f"br{number + 2}"
        env = {"VIR_BRIDGE_NAME": f"br{number}"}
        super().__init__(directory, defaults=False, words=words, files=FILES.get(name, {}), port=53, env=env)
        self.name, self.number, self.net = name, number, words["$NET"]
        for path in (directory, *directory.iterdir()):
            path.chmod(0o777)
        self.write("conf", FILES.get(name, {}).get("conf", ""))
        self.words_given = ["" if word == "EMPTY" else self._fill(word) for word in COMMANDS[name].split()]
        self.words_given.append(f"--log-facility={self.log_path}")

    def command(self) -> list[str]:
        return ["ip", "netns", "exec", self.namespace, *program_command(self.kind, self.python), *self.words_given]

    @property
    def pid(self) -> int:
        return int((self.directory / "pid").read_text()) if self.name in DAEMONS else super().pid

    def launch(self) -> None:
        """Start it; what goes into the background has its pid file when the parent ends."""
        self.stop()
        self.spawn()
        assert self.process is not None
        if self.name in DAEMONS:
            assert self.process.wait(START_SECONDS) == 0, self.stderr()
            assert pathlib.Path(f"/proc/{self.pid}").exists()

    def end(self, how: signal.Signals) -> None:
        """End it by a signal; one in the background may stay on as a zombie where nobody reaps."""
        pid = self.pid
        stat = pathlib.Path(f"/proc/{pid}/stat")
        os.kill(pid, how)
        if self.name not in DAEMONS:
            assert self.process is not None
            self.process.wait(3)
        wait_until(lambda: not stat.exists() or ") Z " in stat.read_text(), 3, f"the end of {self.name}")

    def leases(self) -> dict[str, list[str]]:
        """The rows of the lease file by address."""
        path = self.directory / "leases"
        rows = [line.split(" ") for line in path.read_text().splitlines()] if path.exists() else []
        assert all(len(row) == 5 for row in rows), rows
        return {row[2]: row for row in rows}

    def await_lease(self, address: str) -> list[str]:
        """The row of a lease; where a script writes the file it takes a moment."""
        row: list[str] = wait_until(lambda: self.leases().get(address), 3, f"{self.name}: {address} in the file")
        return row

    def await_end(self) -> None:
        try:
            wait_until(lambda: not self.leases(), 3, f"{self.name}: the end of all leases")
        except AssertionError as error:
            raise AssertionError(f"{error}; the log:\n{self.log()[-3000:]}") from None


class Host(Namespaces):
    """The network above."""

    def __init__(self, directory: pathlib.Path) -> None:
        super().__init__(directory, *(f"host-{end}" for end in "habcd"))
        self.h, self.a, self.b, self.c, self.d = self.names
        self.clients: list[DhcpClient] = []

    def connect(self) -> None:
        for number in range(4):
            self.bridge(number)
        for number, name in enumerate((self.a, self.b, self.c, self.d), 11):
            self.link(f"port{number}", self.h, "up0", name)
            self.ip(name, f"link set up0 address 02:00:00:00:0{number > 12:d}:{number}")
        self.join()

    def bridge(self, number: int) -> None:
        self.ip(self.h, f"link add br{number} address 02:00:00:00:0{number}:01 type bridge")
        self.ip(self.h, f"link set br{number} up")
        self.ip(self.h, f"addr add 10.{number + 1}.0.1/24 dev br{number}")

    def join(self) -> None:
        for port in range(11, 15):
            self.ip(self.h, f"link set port{port} master br{port > 12:d}")

    def programs(self, name: str) -> list[Program]:
        made = [Program(self.directory / f"{name}{number}", name, number) for number in (0, 1)]
        for program in made:
            program.namespace = self.h
        self.daemons += made
        return made

    def client(self, where: str, kind: str = "udhcpc", name: str = "") -> DhcpClient:
        need_tool(kind)
        client = DhcpClient(self, where, self.directory / f"client{len(self.clients)}", kind, name)
        self.clients.append(client)
        return client

    def pids(self) -> list[int]:
        """The processes on the server."""
        done = subprocess.run(["ip", "netns", "pids", self.h], capture_output=True, text=True, check=True)
        return [int(word) for word in done.stdout.split()]

    def kill(self) -> None:
        for pid in self.pids():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def clear(self) -> None:
        for client in self.clients:
            client.stop()
        for daemon in self.daemons:
            daemon.stop()
        self.kill()
        for number in range(4):
            self.run(self.h, "ip", "link", "del", f"br{number}")
            self.bridge(number)
        self.join()


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    need(os.geteuid() == 0, "root")
    need_tool("ip", "dig")
    made = Host(tmp_path_factory.mktemp("host"))
    try:
        made.setup()
        yield made
    finally:
        made.kill()
        made.close()


@pytest.fixture
def host(house: Host) -> Iterator[Host]:
    # pytest keeps its own directories closed to users without rights.
    house.directory = pathlib.Path(tempfile.mkdtemp(prefix="pydnsmasq-"))
    house.directory.chmod(0o755)
    house.daemons, house.clients = [], []
    yield house
    house.clear()
    said = "".join(daemon.stderr() + daemon.log() for daemon in house.daemons)
    shutil.rmtree(house.directory)
    assert "Traceback" not in said and "internal error" not in said


@contextlib.contextmanager
def raw_client(where: str) -> Iterator[RawClient]:
    raw = RawClient(where, "up0")
    try:
        yield raw
    finally:
        raw.process.kill()
        raw.close()


def inform(raw: RawClient, number: int, net: str = "10.1.0", to_mac: bytes = b"\2\0\0\0\0\1") -> None:
    """Send a DHCPINFORM by unicast, from an address of its own."""
    mac, address = b"\2\0\0\0\7" + bytes((number % 256,)), f"{net}.{210 + number % 40}"
    raw.own(address, mac)
    message = DhcpMessage(xid=number, ciaddr=address, chaddr=mac, options=[(53, b"\x08")])
    raw.send("up0", Datagram(message.pack(), to_mac, mac, address, f"{net}.1").pack())


def acknowledged(raw: RawClient, seconds: float, count: int) -> set[int]:
    """The numbers of the messages that are answered, until they are so many or time is up."""
    found: set[int] = set()
    end = time.monotonic() + seconds
    while len(found) < count and (got := raw.receive(max(0.0, end - time.monotonic()))) is not None:
        frame = dhcpwire.parse_frame(got[1])
        reply = dhcpwire.parse(frame.payload) if frame else None
        if reply is not None and reply.kind() == "ACK":
            found.add(reply.xid)
    return found


def unicasts(where: str, number: int) -> int:
    """How many of `UNICASTS` are answered."""
    with raw_client(where) as raw:
        for turn in range(UNICASTS):
            inform(raw, turn, f"10.{number + 1}.0", bytes((2, 0, 0, 0, number, 1)))
        return len(acknowledged(raw, 1.5, UNICASTS))


def await_name(host: Host, program: Program, client: DhcpClient, address: str) -> None:
    def known() -> bool:
        return host.dig(program.net + ".1", "guest", where=client.namespace) == [address]

    wait_until(known, 5, f"{program.name}: the name after a restart")


# -- two of a kind -------------------------------------------------------------------


@pytest.mark.parametrize("name", COMMANDS)
def test_two_instances_on_one_machine(name: str, host: Host) -> None:
    """Each serves its own bridge; after a kill and a restart all is as before."""
    programs = host.programs(name)
    for program in programs:
        program.launch()
    clients = [host.client(where, name="guest").start() for where in (host.a, host.c)]
    told = [client.bound() for client in clients]
    rows = []
    for client, event, program in zip(clients, told, programs, strict=True):
        assert event.address.startswith(program.net + ".") and event.server == event.router == program.net + ".1"
        rows.append(program.await_lease(event.address))
        assert host.dig(program.net + ".1", "guest", where=client.namespace) == [event.address]
    assert [row[3] for row in rows] == ["guest", "guest"]

    lossy = OURS_KIND == "real" and name in LOSES_UNICASTS
    if not lossy:
        assert [unicasts(host.b, 0), unicasts(host.d, 1)] == [UNICASTS, UNICASTS]

    for program, how in zip(programs, (signal.SIGKILL, signal.SIGTERM), strict=True):
        program.end(how)
    wait_until(lambda: not host.pids(), 3, "no process left")
    for program, event, row in zip(programs, told, rows, strict=True):
        assert program.leases()[event.address] == row
        program.launch()
    for program, client, event in zip(programs, clients, told, strict=True):
        await_name(host, program, client, event.address)
        if not lossy:
            assert client.renew().address == event.address
            client.release()
            program.await_end()
            assert not host.dig(program.net + ".1", "guest", where=client.namespace)


# -- interfaces that come and go -------------------------------------------------------

# Options, whether the bridge is there at the start.
WAYS = [
    ("interface=br0", True),
    ("interface=br0", False),
    pytest.param("bind-dynamic\ninterface=br0", True, marks=UNLIKE_REAL),
    ("bind-dynamic\ninterface=br0", False),
    ("bind-dynamic\nlisten-address=10.1.0.1", True),
    pytest.param("bind-interfaces\ninterface=br0", True, marks=UNLIKE_REAL),
    pytest.param("bind-interfaces\ninterface=br0", False, marks=UNLIKE_REAL),
    ("bind-interfaces\nlisten-address=10.1.0.1", True),
]
ONE = "no-resolv\nno-hosts\nno-ping\ndhcp-leasefile=$DIR/leases\nhost-record=rec.test,10.1.2.3\n"


@pytest.mark.parametrize(("lines", "there"), WAYS)
def test_a_bridge_that_is_made_anew(lines: str, there: bool, host: Host) -> None:
    if not there:
        host.ip(host.h, "link del br0")
    conf = ONE + f"except-interface=lo\n{lines}\ndhcp-range=10.1.0.50,10.1.0.99,1h\n"
    start(host, conf)
    if there:
        host.ip(host.h, "link del br0")
        time.sleep(0.2)
    host.bridge(0)
    host.join()
    wait_until(lambda: host.dig("10.1.0.1", where=host.h) == ["10.1.2.3"], 5, "DNS")
    client = host.client(host.a).start()
    address = client.bound().address
    assert client.renew().address == address
    if "listen-address" in lines:
        return
    # Renumbered: a new client hears of the new address.
    host.ip(host.h, "addr flush dev br0")
    host.ip(host.h, "addr add 10.1.0.129/24 dev br0")
    time.sleep(0.3)
    told = host.client(host.b).start().bound()
    assert told.server == told.router == told.dns == "10.1.0.129"


def start(host: Host, conf: str, words: Sequence[str] = ()) -> Daemon:
    """Start one on the server that runs as nobody, by way of other words such as setpriv."""
    daemon = Wrapped(host.directory / f"d{len(host.daemons)}", conf, port=53)
    daemon.conf_path.write_text(daemon.conf_path.read_text().replace("user=root\n", "user=nobody\n"))
    daemon.directory.chmod(0o777)
    daemon.namespace, daemon.wrapper = host.h, list(words)
    host.daemons.append(daemon)
    daemon.spawn()
    daemon.wait_log("started, version")
    time.sleep(0.3)
    return daemon


class Wrapped(NetDaemon):
    """A daemon that another program starts."""

    wrapper: Sequence[str] = ()

    def command(self) -> list[str]:
        words = super().command()
        return [*words[:4], *self.wrapper, *words[4:]]


# Capabilities that are left to root, and to a user who is none.
FEW = ["-net_admin", "-net_raw", "-net_admin,-net_raw"]
AMBIENT = ["+net_bind_service", "+net_admin,+net_raw,+net_bind_service"]


@UNLIKE_REAL
@pytest.mark.parametrize("capabilities", FEW + AMBIENT)
def test_few_capabilities(capabilities: str, host: Host) -> None:
    """As in a container or under a hardened unit: what is missing is done without."""
    need_tool("setpriv")
    words = ["setpriv", "--bounding-set", capabilities, "--inh-caps", "-all"]
    if capabilities in AMBIENT:
        given = "-all," + capabilities
        words = ["setpriv", "--reuid", "nobody", "--clear-groups", "--inh-caps", given, "--ambient-caps", capabilities]
        words += ["--bounding-set", given]
    conf = ONE + "bind-dynamic\ninterface=br0\ndhcp-range=10.1.0.50,10.1.0.99,1h\n"
    start(host, conf, [*words, "--"])
    client = host.client(host.a, name="guest").start()
    address = client.bound().address
    assert host.dig("10.1.0.1", "guest", where=host.a) == [address] and client.renew().address == address
    # An address that comes later is served as well.
    host.ip(host.h, "addr add 10.1.7.1/24 dev br0")
    wait_until(lambda: host.dig("10.1.7.1", where=host.h) == ["10.1.2.3"], 3, "DNS at a new address")


def test_a_lease_file_that_is_out_of_reach(host: Host) -> None:
    """A directory above it is closed to the daemon's user while it runs: what is open is written."""
    above = host.directory / "above"
    (above / "here").mkdir(parents=True)
    (above / "here").chmod(0o777)
    conf = ONE.replace("$DIR/leases", f"{above}/here/leases") + "interface=br0\ndhcp-range=10.1.0.50,10.1.0.99,1h\n"
    start(host, conf)
    told = [host.client(host.a).start().bound().address]
    above.chmod(0o700)
    told.append(host.client(host.b).start().bound().address)
    rows = (above / "here" / "leases").read_text().splitlines()
    assert {row.split(" ")[2] for row in rows} == set(told)


# -- reloads -----------------------------------------------------------------------

HOSTS = 2000


def write_ports(directory: pathlib.Path, turn: int) -> None:
    """Replace the files of a network with many ports, as Neutron does; the last port is ours."""
    rows = [(f"fa:16:3e:00:{n // 250:02x}:{n % 250:02x}", f"10.1.{n // 250 + 1}.{n % 250 + 1}") for n in range(HOSTS)]
    rows.append(("02:00:00:00:00:11", f"10.1.0.{60 + turn}"))
    hosts = [f"{mac},host-{ip.replace('.', '-')}.test,{ip},set:port-{n}" for n, (mac, ip) in enumerate(rows)]
    more = [f"{ip}\thost-{ip.replace('.', '-')}.test host-{ip.replace('.', '-')}" for _, ip in rows]
    opts = ["tag:subnet-1,option:router,10.1.0.1", f"tag:port-{HOSTS},option:domain-name,turn{turn}.test"]
    for name, lines in (("hosts", hosts), ("more", more), ("opts", opts)):
        path = directory / (name + ".new")
        path.write_text("\n".join(lines) + "\n")
        path.rename(directory / name)


@UNLIKE_REAL  # 2.90 dies of SIGABRT on a reload of dhcp-optsfile
def test_many_reloads_lose_no_packet(host: Host) -> None:
    need_tool("dhcp_release")
    program = host.programs("Neutron")[0]
    host.ip(host.h, "addr flush dev br0")
    host.ip(host.h, "addr add 10.1.0.1/16 dev br0")
    program.words_given = [word.replace("255.255.255.0", "255.255.0.0") for word in program.words_given]
    write_ports(program.directory, 0)
    program.launch()
    client = host.client(host.a, name="guest").start()
    told = client.bound()
    assert (told.address, told.domain) == ("10.1.0.60", "turn0.test")
    answered: set[int] = set()
    with raw_client(host.b) as raw:
        for number in range(200):
            inform(raw, number)
            if number % 20 == 10:
                write_ports(program.directory, number // 20 + 1)
                os.kill(program.pid, signal.SIGHUP)
            answered |= acknowledged(raw, 0.01, 200)
        answered |= acknowledged(raw, 2, 200 - len(answered))
    assert len(answered) == 200
    names = ["host-10-1-0-70.test", f"host-10-1-{(HOSTS - 1) // 250 + 1}-250"]
    wait_until(lambda: host.dig("10.1.0.1", names[0], where=host.a), 5, "the last reload")
    assert host.dig("10.1.0.1", names[1], where=host.a)
    # The old lease is let go of from the server's own namespace; the client gets what the file says now.
    mac, client_id = "02:00:00:00:00:11", "01:02:00:00:00:00:11"
    assert host.run(host.h, "dhcp_release", "br0", "10.1.0.60", mac, "01:99").returncode == 0
    program.wait_log(r"DHCPRELEASE\(br0\) 10.1.0.60 .* unknown lease")
    assert list(program.leases()) == ["10.1.0.60"]
    assert host.run(host.h, "dhcp_release", "br0", "10.1.0.60", mac, client_id).returncode == 0
    program.await_end()
    client.stop()
    told = host.client(host.a).start().bound()
    assert (told.address, told.domain, told.host) == ("10.1.0.70", "turn10.test", "host-10-1-0-70")
