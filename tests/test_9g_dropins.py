"""Programs of Debian that start dnsmasq, run for real with this program as their /usr/sbin/dnsmasq.

Each runs in a house of its own: namespaces for mounts, processes and the network, overlays over /etc,
/usr and /var, nothing in /run and /tmp.  Nothing of the machine changes.  A DHCP client lives next door
and is plugged into the bridge or the device of the program.
"""

from __future__ import annotations

import contextlib
import os
import pathlib
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from typing import NamedTuple

import pytest

from harness import OURS_KIND, PROGRAM, REAL, START_SECONDS, need, need_tool, wait_until
from netkit import ClientEvent, DhcpClient, Namespaces

REAL_RUNS = OURS_KIND == "real"
MAC, CLIENT_ID = "02:00:00:00:00:11", "01:02:00:00:00:00:11"

# -- the house ---------------------------------------------------------------------------

# Words: a directory, the program, what says that all is ready.  The last process, the first of its
# namespace, has no children of its own: the kernel buries whoever is left to it.
SETUP = """
set -e
mount -t tmpfs tmpfs "$0"
mount -t sysfs -o ro sysfs /sys
for part in etc usr var; do
    mkdir "$0/$part" "$0/$part.work"
    mount -t overlay -o "lowerdir=/$part,upperdir=$0/$part,workdir=$0/$part.work" overlay /$part
done
mkdir "$0/dev" && cd /dev
for node in null zero full random urandom tty; do
    : >"$0/dev/$node"
    mount --bind $node "$0/dev/$node"
done
cp "$1" /usr/sbin/dnsmasq.new
mv -f /usr/sbin/dnsmasq.new /usr/sbin/dnsmasq
chmod 755 /usr/sbin/dnsmasq
mount --rbind "$0/dev" /dev
mount -t tmpfs tmpfs /run
mount -t tmpfs tmpfs /tmp
chmod 1777 /tmp
mkdir /run/lock /run/dbus
rm -rf /var/log/*
[ -s /etc/machine-id ] || echo 0123456789abcdef0123456789abcdef >/etc/machine-id
ip link set lo up
busybox syslogd -O /var/log/all
exec /usr/bin/python3 -c '
import signal
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
open("/run/ready", "w").close()
while True:
    signal.pause()
' </dev/null
"""


class House(Namespaces):
    """A machine with this program as its dnsmasq, and a DHCP client beside it."""

    def __init__(self, directory: pathlib.Path) -> None:
        super().__init__(directory, "guest")
        self.guest = self.names[0]
        self.programs: list[subprocess.Popen[bytes]] = []
        self.pid = 0
        self.client = DhcpClient(self, self.guest, directory / "client", "udhcpc", "guest")

    def connect(self) -> None:
        (self.directory / "house").mkdir()
        program = REAL if REAL_RUNS else str(PROGRAM)
        kinds = "--mount --net --pid --ipc --uts --fork --kill-child --mount-proc".split()
        words = ["unshare", *kinds, "sh", "-c", SETUP, str(self.directory / "house"), str(program)]
        outer = self.spawn("setup", words)
        children = pathlib.Path(f"/proc/{outer.pid}/task/{outer.pid}/children")

        def ready() -> bool:
            if outer.poll() is not None:
                need(False, f"a house of namespaces and overlays ({self.output('setup')})")
            self.pid = int(children.read_text() or 0)
            return self.pid != 0 and self.path("/run/ready").exists()

        wait_until(ready, START_SECONDS, "the house")

    def close(self) -> None:
        if self.client.process is not None:
            self.client.stop()
        for process in reversed(self.programs):
            process.kill()
            process.wait()
        super().close()

    # Programs in it

    def spawn(self, name: str, words: list[str]) -> subprocess.Popen[bytes]:
        with (self.directory / f"{name}.out").open("ab") as out:
            process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=out, stderr=out, cwd="/")
        self.programs.append(process)
        return process

    def output(self, name: str) -> str:
        return (self.directory / f"{name}.out").read_text("latin-1")

    def words(self, text: str) -> list[str]:
        return ["nsenter", "-t", str(self.pid), "-m", "-n", "-p", "-i", "-u", *shlex.split(text)]

    def start(self, name: str, text: str) -> None:
        """Start a program that stays in the foreground; its output is kept."""
        self.spawn(name, self.words(text))

    def do(self, text: str, status: int = 0) -> str:
        """Run a program to its end and give what it said.

        What it leaves in the background holds its output: the output goes to a file.
        """
        with (self.directory / "said").open("w+b") as out:
            words = self.words(text)
            done = subprocess.run(
                words, stdin=subprocess.DEVNULL, stdout=out, stderr=out, cwd="/", timeout=60, check=False
            )
            out.seek(0)
            said = out.read().decode("latin-1")
        assert done.returncode == status, f"{text}: {done.returncode}: {said}\n{self.log()[-3000:]}"
        return said

    # Files in it

    def path(self, name: str) -> pathlib.Path:
        """A path of its own, seen from here."""
        return pathlib.Path(f"/proc/{self.pid}/root{name}")

    def write(self, name: str, text: str) -> None:
        path = self.path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(0o600)
        path.parent.chmod(0o755)

    def read(self, name: str) -> str:
        path = self.path(name)
        return path.read_text("latin-1") if path.exists() else ""

    def log(self) -> str:
        return self.read("/var/log/all")

    # The servers and the client

    def servers(self) -> set[int]:
        """The processes in it that are called dnsmasq, as `pgrep` tells."""
        done = subprocess.run(self.words("pgrep -x dnsmasq"), capture_output=True, text=True, check=False)
        return {int(word) for word in done.stdout.split()}

    def await_servers(self) -> set[int]:
        found: set[int] = wait_until(self.servers, what="a server")
        return found

    def await_none(self) -> None:
        wait_until(lambda: not self.servers(), what=f"the end of all servers; the log:\n{self.log()[-2000:]}")

    def device(self, name: str) -> None:
        """Make a device whose other end is the client's."""
        self.ip(self.guest, f"link add up0 address {MAC} type veth peer name {name} netns {self.pid}")
        self.ip(self.guest, "link set up0 up")

    def plug(self, bridge: str) -> None:
        self.device("port0")
        self.do(f"ip link set port0 master {bridge} up")

    def lease(self) -> ClientEvent:
        """Have the client ask for a lease, as if it were switched on."""
        self.client.stop()
        return self.client.start().bound()

    def knows(self, server: str, name: str, address: str) -> None:
        """Wait until the client is told this address."""
        wait_until(lambda: self.dig(server, name) == [address], 5, f"{name} at {server}: {self.dig(server, name)}")


@pytest.fixture
def house(tmp_path: pathlib.Path) -> Iterator[House]:
    need(os.geteuid() == 0, "root")
    need_tool("ip", "unshare", "nsenter", "busybox", "udhcpc", "pgrep", "dig", "/usr/bin/python3")
    made = House(tmp_path)
    try:
        made.setup()
        yield made
        said = made.log()
    finally:
        made.close()
    assert "Traceback" not in said and "internal error" not in said


# -- libvirt -----------------------------------------------------------------------------

NETWORK = """<network>
  <name>net</name>
  <forward mode='nat'/>
  <bridge name='virbr0' stp='off' delay='0'/>
  <domain name='virt.test' localOnly='yes'/>
  <dns><host ip='10.1.0.9'><hostname>fixed</hostname></host></dns>
  <ip address='10.1.0.1' netmask='255.255.255.0'>
    <tftp root='/run'/>
    <dhcp><range start='10.1.0.100' end='10.1.0.199'/><bootp file='boot'/></dhcp>
  </ip>
  <ip family='ipv6' address='fd00:1::1' prefix='64'/>
</network>
"""
RESERVED = f"<host mac='{MAC}' name='kept' ip='10.1.0.77'/>"


class Libvirt:
    """libvirtd for networks alone."""

    def __init__(self, house: House) -> None:
        need_tool("libvirtd", "virsh", "iptables")
        self.house = house
        # The driver for machines wants accounts and tries every qemu first: networks do without it.
        house.do("sh -c 'rm -rf /etc/libvirt /usr/lib/*/libvirt/connection-driver/libvirt_driver_qemu.so'")
        house.write("/etc/libvirt/libvirtd.conf", 'auth_unix_ro = "none"\nauth_unix_rw = "none"\n')
        house.path("/var/log/libvirt").mkdir()
        self.start()

    def start(self) -> None:
        self.house.do("libvirtd -d -p /run/libvirtd.pid")

    def stop(self) -> None:
        self.house.do(f"kill {self.house.read('/run/libvirtd.pid')}")
        gone = ["pgrep", "-x", "libvirtd"]
        wait_until(
            lambda: subprocess.run(self.house.words(shlex.join(gone)), capture_output=True).returncode, 10, "its end"
        )

    def virsh(self, text: str) -> str:
        return self.house.do("virsh -c network:///system " + text)

    def update(self, section: str, xml: str) -> None:
        self.virsh(f"net-update net add {section} {shlex.quote(xml)} --live --config")

    def begin(self) -> None:
        self.house.write("/run/net.xml", NETWORK)
        self.virsh("net-define /run/net.xml")
        self.virsh("net-start net")
        self.house.plug("virbr0")

    def lease(self, host: str) -> str:
        """The client's address, as the client and libvirt know it."""
        address = self.house.lease().address
        expected = [[MAC, "ipv4", f"{address}/24", host, CLIENT_ID]]
        wait_until(lambda: self._rows() == expected, 5, "the lease in libvirt's list")  # its script runs after the ACK
        return address

    def _rows(self) -> list[list[str]]:
        lines = self.virsh("net-dhcp-leases net").splitlines()
        return [line.split()[2:] for line in lines if MAC in line]


def test_libvirt(house: House) -> None:
    libvirt = Libvirt(house)
    libvirt.begin()
    address = libvirt.lease("guest")
    assert address.startswith("10.1.0.1")
    for name, known in (("guest.virt.test", address), ("fixed", "10.1.0.9")):
        house.knows("10.1.0.1", name, known)

    libvirt.update("ip-dhcp-host", RESERVED)
    libvirt.update("dns-host", "<host ip='10.1.0.8'><hostname>later</hostname></host>")
    house.knows("10.1.0.1", "later", "10.1.0.8")
    assert libvirt.lease("kept") == "10.1.0.77"

    libvirt.virsh("net-destroy net")
    house.await_none()
    libvirt.virsh("net-start net")
    house.do("ip link set port0 master virbr0 up")
    assert libvirt.lease("kept") == "10.1.0.77"


def test_libvirtd_is_started_again(house: House) -> None:
    """It knows the server that its forerunner started, or has one that it knows, and rules it as before."""
    libvirt = Libvirt(house)
    libvirt.begin()
    address = libvirt.lease("guest")
    libvirt.stop()
    house.knows("10.1.0.1", "guest.virt.test", address)
    libvirt.start()
    libvirt.update("dns-host", "<host ip='10.1.0.8'><hostname>later</hostname></host>")
    house.knows("10.1.0.1", "later", "10.1.0.8")
    assert libvirt.lease("guest") == address
    libvirt.virsh("net-destroy net")
    house.await_none()
    libvirt.virsh("net-start net")


# -- NetworkManager ------------------------------------------------------------------------

NM_CONF = """[main]
plugins=keyfile
auth-polkit=false
dns=$DNS
no-auto-default=*
[logging]
level=DEBUG
"""
NM_CONNECTION = """[connection]
id=$METHOD
type=ethernet
interface-name=lan0
autoconnect=false
[ipv4]
method=$METHOD
address1=10.42.7.1/24
dns=$SERVER
[ipv6]
method=disabled
"""


def network_manager(house: House, dns: str) -> None:
    """Start it with a bus of its own; without udev it takes every device as it is when /sys is read-only."""
    need_tool("NetworkManager", "nmcli", "dbus-daemon")
    house.do("sh -c 'rm -rf /etc/NetworkManager /usr/lib/NetworkManager/conf.d'")
    house.write("/etc/NetworkManager/NetworkManager.conf", NM_CONF.replace("$DNS", dns))
    for method, server in (("shared", ""), ("manual", "192.0.2.1")):
        text = NM_CONNECTION.replace("$METHOD", method).replace("$SERVER", server)
        house.write(f"/etc/NetworkManager/system-connections/{method}.nmconnection", text)
    for part in ("", "-shared"):
        house.write(f"/etc/NetworkManager/dnsmasq{part}.d/own", "host-record=own.test,10.1.2.3\n")
    house.device("lan0")
    house.do("dbus-daemon --system --fork")
    house.start("nm", "NetworkManager --debug")
    wait_until(lambda: "lan0" in house.do("sh -c 'nmcli -t device || :'"), what="NetworkManager")


def test_network_manager_shares_a_connection(house: House) -> None:
    network_manager(house, "none")
    house.do("nmcli con up shared")
    told = house.lease()
    assert (told.server, told.router, told.dns) == ("10.42.7.1",) * 3
    for name, address in (("guest", told.address), ("own.test", "10.1.2.3")):
        house.knows("10.42.7.1", name, address)
    row = house.read("/var/lib/NetworkManager/dnsmasq-lan0.leases").split()
    assert row[1:] == [MAC, told.address, "guest", CLIENT_ID]
    assert "dnsmasq-manager: dnsmasq exited" not in house.output("nm")
    # It hears of the end of one and starts another.
    house.do("sh -c 'kill -9 $(cat /run/nm-dnsmasq-lan0.pid)'")
    wait_until(lambda: "dnsmasq-manager: dnsmasq died" in house.output("nm"), what=house.output("nm")[-900:])
    house.do("nmcli con up shared")
    assert house.lease().address == told.address
    house.do("nmcli con down shared")
    house.await_none()


def test_network_manager_asks_by_it(house: House) -> None:
    """With dns=dnsmasq: its command line is taken, and the server serves.

    Its servers come over D-Bus, and NetworkManager waits for a name there, so this is not all that it needs.
    """
    network_manager(house, "dnsmasq")
    house.do("nmcli con up manual")
    house.await_servers()
    wait_until(lambda: "10.1.2.3" in house.do("sh -c 'dig +short @127.0.0.1 own.test || :'"), what="an answer")
    assert "--proxy-dnssec --enable-dbus=org.freedesktop.NetworkManager.dnsmasq --conf-dir=" in house.output("nm")


# -- lxc-net -----------------------------------------------------------------------------

LXC_NET = "/usr/libexec/lxc/lxc-net"
LXC_PID = "/run/lxc/dnsmasq.pid"


def test_lxc_net(house: House) -> None:
    """Its script ends the server by kill -9."""
    need(pathlib.Path(LXC_NET).exists(), LXC_NET)
    house.write("/etc/default/lxc-net", 'USE_LXC_BRIDGE="true"\nLXC_DOMAIN="lxc"\n')
    house.path("/etc/default/lxc-net").chmod(0o644)
    house.do(f"{LXC_NET} start")
    house.plug("lxcbr0")
    told = house.lease()
    assert told.server == told.router == "10.0.3.1"
    for name in ("guest", "guest.lxc"):
        house.knows("10.0.3.1", name, told.address)
    row = house.read("/var/lib/misc/dnsmasq.lxcbr0.leases")
    for actions in ("stop start", "restart", "force-reload"):
        before = house.read(LXC_PID)
        for action in actions.split():
            house.do(f"{LXC_NET} {action}")
        assert house.read(LXC_PID) not in ("", before)
        house.do("ip link set port0 master lxcbr0 up")
        assert house.read("/var/lib/misc/dnsmasq.lxcbr0.leases") == row
        house.knows("10.0.3.1", "guest.lxc", told.address)
    assert house.lease().address == told.address
    house.do(f"{LXC_NET} stop")
    house.await_none()


# -- Debian's own scripts ------------------------------------------------------------------

PID_FILE = "/run/dnsmasq/dnsmasq.pid"
INIT = "/etc/init.d/dnsmasq"
HELPER = "/usr/share/dnsmasq/systemd-helper"
RESOLVCONF = '#!/bin/sh\necho "$* $(cat)" >>/run/resolvconf.log\n'


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """What Debian's package dnsmasq holds, its server not installed: that would start."""
    need_tool("apt-get", "dpkg")
    directory = tmp_path_factory.mktemp("package")
    words = ["apt-get", "-o", "APT::Sandbox::User=root", "download", "dnsmasq"]
    done = subprocess.run(words, cwd=directory, capture_output=True, text=True, check=False)
    if done.returncode:  # what apt knows of the archive is missing, or old
        subprocess.run(["apt-get", "update"], capture_output=True, check=False)
        done = subprocess.run(words, cwd=directory, capture_output=True, text=True, check=False)
    found = list(directory.glob("*.deb"))
    need(done.returncode == 0 and found, f"Debian's package dnsmasq ({done.stderr})")
    subprocess.run(["dpkg", "-x", str(found[0]), str(directory / "files")], check=True)
    return directory / "files"


@pytest.fixture
def debian(house: House, package: pathlib.Path) -> House:
    """The house with the package's files in their places, and a resolvconf that writes down what it is told."""
    for part in ("/etc", "/usr/share"):
        shutil.copytree(package / part[1:], house.path(part), symlinks=True, dirs_exist_ok=True)
    house.write("/usr/sbin/resolvconf", RESOLVCONF)
    house.path("/usr/sbin/resolvconf").chmod(0o755)
    house.write("/etc/dnsmasq.d/own", "no-resolv\nno-hosts\nhost-record=own.test,10.1.2.3\n")
    house.path("/etc/dnsmasq.d/own").chmod(0o644)
    if "dnsmasq:" not in house.read("/etc/passwd"):  # the package would add it
        house.do("useradd --system --gid nogroup --home-dir /var/lib/misc dnsmasq")
    return house


# Action, its exit status, and afterwards: the old server, a new one or none.  start-stop-daemon looks for
# an executable, which is the interpreter: it takes the server that runs for something else.
ACTIONS = [
    ("status", 3, "none"),
    ("start", 0, "new"),
    ("status", 0 if REAL_RUNS else 1, "old"),
    ("start", 0, "old" if REAL_RUNS else "new"),
    ("dump-stats", 0, "old"),
    ("restart", 0, "new"),
    ("force-reload", 0, "new"),
    ("broken restart", 1, "old"),
    ("stop", 0, "none"),
    ("broken start", 1, "none"),
    ("status", 3, "none"),
    ("stop", 0, "none"),
]


def test_the_init_script_of_debian(debian: House) -> None:
    old = ""
    for number, (action, status, wanted) in enumerate(ACTIONS):
        broken = action.startswith("broken")
        if broken:
            debian.write("/etc/dnsmasq.d/broken", "nonsense\n")
        debian.do(f"{INIT} {action.split()[-1]}", status)
        debian.path("/etc/dnsmasq.d/broken").unlink(missing_ok=True)
        new = debian.read(PID_FILE).strip()
        now = "none" if not new else "old" if new == old else "new"
        assert (number, action, now) == (number, action, wanted), debian.log()
        assert debian.servers() == ({int(new)} if new else set())
        if new:
            assert "10.1.2.3" in debian.do("dig +short @127.0.0.1 own.test")
        old = new
    assert "queries forwarded" in debian.log()  # what dump-stats is for
    told = debian.read("/run/resolvconf.log").splitlines()
    assert set(told) == {"-a lo.dnsmasq nameserver 127.0.0.1", "-d lo.dnsmasq "}


def test_the_systemd_helper_of_debian(debian: House) -> None:
    """Its actions in the order of the unit, for the plain one and for an instance as Proxmox makes them."""
    debian.path("/run/dnsmasq").mkdir()
    for action in ("checkconfig", "exec", "start-resolvconf", "stop-resolvconf"):
        debian.do(f"{HELPER} {action}")
    assert debian.servers() == {int(debian.read(PID_FILE))}
    assert "10.1.2.3" in debian.do("dig +short @127.0.0.1 own.test")
    told = debian.read("/run/resolvconf.log").splitlines()
    assert told == ["-a lo.dnsmasq nameserver 127.0.0.1", "-d lo.dnsmasq "]
    debian.do("pkill -x dnsmasq")
    debian.await_none()

    debian.write("/etc/dnsmasq.d/broken", "nonsense\n")
    for action in ("checkconfig", "exec"):
        debian.do(f"{HELPER} {action}", 1)
    assert not debian.servers()

    bridge(debian)
    debian.write("/etc/default/dnsmasq.zone", PROXMOX_DEFAULT)
    for name, text in PROXMOX_FILES.items():
        debian.write(f"/etc/dnsmasq.d/zone/{name}", text)
        debian.path(f"/etc/dnsmasq.d/zone/{name}").chmod(0o644)
    for action in ("checkconfig zone", "exec zone"):
        debian.do(f"{HELPER} {action}")
    assert debian.servers() == {int(debian.read("/run/dnsmasq/dnsmasq.zone.pid"))}
    assert debian.lease().address == "10.1.0.77"
    release(debian, "10.1.0.77", "/run/zone.leases")


PROXMOX_DEFAULT = """CONFIG_DIR='/etc/dnsmasq.d/zone,*.conf'
DNSMASQ_OPTS="--conf-file=/dev/null --enable-dbus=uk.org.thekelleys.dnsmasq.zone"
"""
PROXMOX_FILES = {
    "00-default.conf": """\
except-interface=lo
enable-ra
quiet-ra
bind-dynamic
no-hosts
dhcp-leasefile=/run/zone.leases
dhcp-hostsfile=/etc/dnsmasq.d/zone/ethers
dhcp-ignore=tag:!known
dhcp-option=26,1500
ra-param=*,mtu:1500,0
dhcp-option=252,"\\n"
dhcp-option=vendor:MSFT,2,1i
dhcp-name-match=set:wpad-ignore,wpad
dhcp-ignore-names=tag:wpad-ignore
""",
    "10-net.conf": "interface=br0\ndhcp-range=set:net,10.1.0.0,static,255.255.255.0,infinite\n",
    "ethers": f"{MAC},10.1.0.77\n",
    "10-net.conf.bak": "nonsense\n",
}


# -- command lines of what Debian 12 has no package for ------------------------------------


class Row(NamedTuple):
    """A command line, its files in /run/own, whether it has names and where it keeps its leases."""

    words: str
    files: dict[str, str] = {}
    name: str = "guest"
    leases: str = "/run/own/leases"


COMMON = (
    "--keep-in-foreground --strict-order --bind-interfaces --except-interface=lo --interface=br0"
    " --listen-address=10.1.0.1 --dhcp-no-override --dhcp-authoritative --dhcp-leasefile=/run/own/leases"
    " --dhcp-hostsfile=/run/own/hosts --dhcp-ignore-clid"
)
ROWS = {
    "Incus": Row(
        f"{COMMON} --pid-file= --no-ping --dhcp-rapid-commit --no-negcache --quiet-dhcp --quiet-dhcp6 --quiet-ra"
        " --dhcp-option-force=26,1400 --dhcp-range 10.1.0.2,10.1.0.254,1h --listen-address=fd00:1::1 --enable-ra"
        " --dhcp-range ::,constructor:br0,ra-stateless,ra-names -s incus --interface-name _gateway.incus,br0"
        " -S /incus/ --conf-file=/run/own/raw -u nobody -g nogroup",
        {"raw": "", "hosts/default_c1": "02:00:00:00:00:99,10.1.0.77,other\n"},
        "guest.incus",
    ),
    "Multipass": Row(
        f"{COMMON} --pid-file --domain=multipass --local=/multipass/ --dhcp-range 10.1.0.2,10.1.0.254,infinite"
        " --conf-file=/run/own/conf",
        {"conf": "", "hosts": ""},
        "guest.multipass",
    ),
    "Neutron": Row(
        "--no-hosts '' --pid-file=/run/own/pid --dhcp-hostsfile=/run/own/hosts --addn-hosts=/run/own/more"
        " --dhcp-optsfile=/run/own/opts --dhcp-leasefile=/run/own/leases --dhcp-match=set:ipxe,175"
        " --dhcp-userclass=set:ipxe6,iPXE --local-service --bind-dynamic --bridge-interface=br0,tap*"
        " --dhcp-range=set:subnet-1,10.1.0.0,static,255.255.255.0,86400s --dhcp-option-force=option:mtu,1450"
        " --dhcp-range=set:subnet-2,fd00:1::,static,64,86400s"
        " --dhcp-lease-max=16777216 --conf-file= --server=10.1.0.99 --domain=openstacklocal",
        {
            "hosts": f"{MAC},host-10-1-0-77.openstacklocal,10.1.0.77,set:port-1\n"
            "fa:16:3e:00:00:01,host-10-1-0-78.openstacklocal,10.1.0.78,set:port-2\n",
            "more": "10.1.0.77\thost-10-1-0-77.openstacklocal host-10-1-0-77\n",
            "opts": "tag:subnet-1,option:dns-server,10.1.0.1\ntag:subnet-1,option:router,10.1.0.1\n"
            "tag:subnet-1,option:classless-static-route,169.254.169.254/32,10.1.0.1,0.0.0.0/0,10.1.0.1\n",
        },
        "host-10-1-0-77.openstacklocal",
    ),
    "create_ap": Row(
        "-C /run/own/conf -x /run/own/pid -l /run/own/leases -p 5353",
        {
            "conf": "listen-address=10.1.0.1\nbind-dynamic\ndhcp-range=10.1.0.1,10.1.0.254,255.255.255.0,24h\n"
            "dhcp-option-force=option:router,10.1.0.1\ndhcp-option-force=option:dns-server,10.1.0.1\nno-hosts\n"
            "dhcp-option-force=option:mtu,1500\n"
        },
    ),
    "Waydroid": Row(
        "-u nobody --strict-order --bind-interfaces --pid-file=/run/own/pid --listen-address 10.1.0.1"
        " --dhcp-range 10.1.0.2,10.1.0.254 --dhcp-lease-max=253 --dhcp-no-override --except-interface=lo"
        " --interface=br0 --conf-file=/dev/null --dhcp-leasefile=/var/lib/misc/dnsmasq.br0.leases --dhcp-authoritative",
        leases="/var/lib/misc/dnsmasq.br0.leases",
    ),
}


def bridge(house: House) -> None:
    for text in ("add br0 type bridge", "set br0 up"):
        house.do(f"ip link {text}")
    for address in ("10.1.0.1/24", "fd00:1::1/64"):
        house.do(f"ip addr add {address} dev br0 nodad")
    house.plug("br0")


def release(house: House, address: str, leases: str) -> None:
    """Let go of a lease from the server's own machine, as Neutron does when a port is gone."""
    need_tool("dhcp_release")
    house.client.stop()
    assert f" {MAC} {address} " in house.read(leases)
    house.do(f"dhcp_release br0 {address} {MAC} {CLIENT_ID}")
    wait_until(lambda: address not in house.read(leases), 5, f"the end of the lease: {house.log()[-2000:]}")


@pytest.mark.parametrize("name", ROWS)
def test_a_command_line(name: str, house: House) -> None:
    """Of a program that comes as a snap, a service of a cloud or from elsewhere: Debian 12 has none of them to run."""
    row = ROWS[name]
    for file, text in row.files.items():
        house.write(f"/run/own/{file}", text)
        house.path(f"/run/own/{file}").chmod(0o644)
    house.path("/run/own").mkdir(exist_ok=True)
    house.path("/run/own").chmod(0o777)
    bridge(house)
    assert house.do("env PATH=/sbin:/usr/sbin dnsmasq --test " + row.words) == "dnsmasq: syntax check OK.\n"
    if "--keep-in-foreground" in row.words:
        house.start("server", "env PATH=/sbin:/usr/sbin dnsmasq " + row.words)
    else:
        house.do("env PATH=/sbin:/usr/sbin dnsmasq " + row.words)
    if "-p 5353" in row.words:
        need_tool("iptables")
        for protocol in ("udp", "tcp"):
            house.do(f"iptables -t nat -A PREROUTING -i br0 -p {protocol} --dport 53 -j REDIRECT --to-ports 5353")
    told = house.lease()
    house.knows("10.1.0.1", row.name, told.address)
    release(house, told.address, row.leases)
    with contextlib.suppress(AssertionError):
        house.do("pkill -TERM -x dnsmasq")
    house.await_none()


def test_what_neutron_asks_before(house: House) -> None:
    """Whether tags in dhcp-host are known, and the version."""
    house.do("env PATH=/sbin:/usr/sbin dnsmasq --test --dhcp-host=tag:foo")
    words = house.do("env PATH=/sbin:/usr/sbin dnsmasq --version").split(" ")
    assert words[:2] == ["Dnsmasq", "version"] and float(words[2]) > 2.67
