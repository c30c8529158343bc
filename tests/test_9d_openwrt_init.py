"""The init script for OpenWrt and the files beside it, in a directory tree with a busybox.

The shell library of OpenWrt is played by tests/data/openwrt.  For each file of tests/data/uci the file of the same
name with `.expected` has all that a start writes; it is the contract of the init script that OpenWrt has.
"""

from __future__ import annotations

import json
import os
import pathlib
import re
import shutil
import subprocess
from dataclasses import dataclass, field
from typing import Any

import pytest

from harness import OURS_KIND, REAL, ROOT, TESTS, need, need_tool, run_program, wait_until
from netkit import DhcpClient, Namespaces

pytestmark = pytest.mark.skipif(OURS_KIND == "real", reason="about our own files")

INIT = ROOT / "init.d" / "dnsmasq.procd"
FILES = ROOT / "openwrt" / "files"
LIBRARY = TESTS / "data" / "openwrt"
UCI = TESTS / "data" / "uci"
APPLETS = "sh awk cat chown cp env grep head ln logger mkdir mv rm sed touch tr true"
FULL = (
    "IPv6 GNU-getopt no-DBus UBus no-i18n no-IDN DHCP DHCPv6 no-Lua TFTP conntrack ipset nftset auth cryptohash DNSSEC "
    "no-ID loop-detect inotify dumpfile"
)
NETWORKS = """\
loopback lo static 127.0.0.1/8 ::1
lan br-lan static 192.168.1.1/24 fd00::1
guest br-guest static 192.168.3.1/25
office eth0.4 static 10.4.0.1/22
lab eth0.5 static 10.5.255.1/255.255.254.0
tunnel tun0 static 10.6.0.1/32
wan eth1 dhcp 203.0.113.5/24
wan6 eth1 dhcpv6
"""
SHARE = "/usr/share/dnsmasq"
WORLD = {
    "/etc/config/system": "config system\n\toption hostname 'OpenWrt'\n",
    "/etc/openwrt_release": "DISTRIB_ID='OpenWrt'\nDISTRIB_RELEASE='24.10.0'\n",
    "/etc/passwd": "root:x:0:0:root:/root:/bin/sh\ndnsmasq:x:453:453:dnsmasq:/var/run/dnsmasq:/bin/false\n",
    "/etc/group": "root:x:0:\ndnsmasq:x:453:\n",
    "/etc/hosts": "127.0.0.1 localhost\n",
    "/etc/dnsmasq.conf": "# nothing\n",
    "/networks": NETWORKS,
    "/other-servers": "",
    "/tmp/resolv.conf": "nameserver 203.0.113.1\n",
    "/tmp/resolv.conf.d/resolv.conf.auto": "nameserver 203.0.113.1\n",
}
PROGRAMS = {
    "/usr/sbin/dnsmasq": '[ "$*" = --version ] && cat /version',
    "/usr/bin/udhcpc": 'eval "device=\\${$#}"\necho "$@" >>/probes\ngrep -qx "$device" /other-servers',
    "/usr/bin/nft": '[ "$*" = "-t list set inet fw4 asked" ] && printf "\\ttype ipv6_addr\\n"',
}


class Router:
    """A directory tree with a busybox; services that are on by their names, and further files."""

    def __init__(
        self, tree: pathlib.Path, uci: str, services: str = "odhcpd", files: dict[str, str] | None = None
    ) -> None:
        self.tree = tree
        busybox = shutil.which("busybox") or ""
        libraries = re.findall(r"(/\S+) \(", subprocess.run(["ldd", busybox], capture_output=True, text=True).stdout)
        for path in [busybox, *libraries]:
            self.copy(pathlib.Path(path), "/bin/busybox" if path == busybox else path)
        for applet in APPLETS.split():
            (tree / "bin" / applet).symlink_to("busybox")
        version = f"Dnsmasq version 2.93\nCompile time options: {FULL}\n"
        for path, text in {**WORLD, "/version": version, "/etc/config/dhcp": uci, **(files or {})}.items():
            self.write(path, text)
        for path, text in PROGRAMS.items():
            self.write(path, f"#!/bin/sh\n{text}\n", 0o755)
        for service in services.split():
            self.write(f"/etc/init.d/{service}", '#!/bin/sh\n[ "$1" = enabled ]\n', 0o755)
        self.copy(INIT, "/etc/init.d/dnsmasq")
        self.copy(LIBRARY / "rc.common", "/etc/rc.common")
        self.copy(FILES / "dhcp-script.sh", "/usr/lib/dnsmasq/dhcp-script.sh")
        for name in ("functions.sh", "uci.awk", "network.sh", "procd.sh"):
            self.copy(LIBRARY / name, f"/lib/{'' if name == 'functions.sh' else 'functions/'}{name}")
        for name in ("dhcpbogushostname", "rfc6761", "trust-anchors"):
            self.copy(FILES / f"{name}.conf", f"{SHARE}/{name}.conf")
        (tree / "dev").mkdir()

    def path(self, name: str) -> pathlib.Path:
        return self.tree / name.lstrip("/")

    def copy(self, source: pathlib.Path, target: str) -> None:
        self.path(target).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, self.path(target))

    def write(self, name: str, text: str, mode: int = 0o644) -> None:
        path = self.path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(mode)

    def run(self, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run a command inside."""
        return subprocess.run(
            ["chroot", str(self.tree), *words], capture_output=True, text=True, timeout=60, check=False,
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", **environment},
        )  # fmt: skip

    def init(self, *words: str, fails: bool = False) -> list[str]:
        """Run the init script; give what procd was told."""
        self.write("/recorded", "")
        done = self.run("/bin/sh", "/etc/rc.common", "/etc/init.d/dnsmasq", *words)
        assert bool(done.returncode) == fails and (fails or done.stderr == ""), done
        return self.path("/recorded").read_text().splitlines()

    def config(self, name: str = "cfg010000") -> list[str]:
        return self.path(f"/var/etc/dnsmasq.conf.{name}").read_text().splitlines()

    def written(self) -> str:
        """All that a start wrote, each file after its name; the heads that say who wrote them are left out."""
        out = ""
        for pattern in ("var/etc/*", "tmp/hosts/*", "tmp/*/extraconfig.conf", "tmp/resolv.conf"):
            for path in sorted(self.tree.glob(pattern)):
                head, _, text = path.read_text().partition("\n")
                if not head.startswith("# Made from /etc/config/dhcp by /etc/init.d/dnsmasq;"):
                    text = f"{head}\n{text}"
                out += f"==> /{path.relative_to(self.tree)}\n{text}"
        return out


@dataclass
class World:
    """What is about a router besides its UCI."""

    services: str = "odhcpd"
    files: dict[str, str] = field(default_factory=dict)


CASES = {
    "default": World(),
    "instances": World(files={"/etc/dnsmasq.visitors.conf": "# visitors\n"}),
    "pools": World(),
    "hosts": World(),
    "ipv6": World(services=""),
    "netboot": World(files={"/srv/tftp/pxelinux.0": ""}),
    "sets": World(),
    "dnssec": World(services="odhcpd sysntpd"),
    "relay": World(),
    "records": World(),
    "flags": World(),
    "off": World(),
    "values": World(
        files=dict.fromkeys(
            ("/tmp/servers.conf", "/etc/dhcp.hosts", "/etc/hosts.ads", "/srv/more/file", "/var/log/other"), ""
        )
    ),
    "classes": World(),
    "names": World(files={"/etc/own-script.sh": "", "/etc/hotplug.d/neigh/10-own": ""}),
}


def uci_text(case: str) -> str:
    return (FILES / "dhcp.conf" if case == "default" else UCI / case).read_text()


def router(tree: pathlib.Path, case: str, world: World | None = None) -> Router:
    need(os.geteuid() == 0, "root")
    need_tool("busybox", "chroot")
    world = world or CASES[case]
    return Router(tree, uci_text(case), world.services, world.files)


# -- the configuration -------------------------------------------------------------

DIRECTIVES = """
    dhcp-authoritative no-daemon domain-needed filterwin2k no-hosts no-negcache strict-order log-queries no-resolv
    localise-queries read-ethers expand-hosts enable-tftp tftp-no-fail bind-dynamic dhcp-fqdn proxy-dnssec local-service
    log-dhcp quiet-dhcp quiet-dhcp6 dhcp-sequential-ip all-servers no-ping dhcp-rapid-commit script-arp filter-AAAA
    filter-A strip-mac strip-subnet stop-dns-rebind rebind-localhost-ok bogus-priv conf-file dnssec dnssec-no-timecheck
    dnssec-check-unsigned dhcp-ignore-names enable-dbus enable-ubus log-facility cache-size dns-forward-max port
    edns-packet-max dhcp-lease-max query-port min-port max-port domain local dhcp-leasefile servers-file tftp-root
    tftp-unique-root dhcp-boot local-ttl max-ttl min-cache-ttl max-cache-ttl pxe-prompt resolv-file dhcp-hostsfile
    add-mac add-subnet conf-dir connmark-allowlist-enable server rev-server address interface except-interface
    listen-address addn-hosts bogus-nxdomain rebind-domain-ok pxe-service connmark-allowlist filter-rr cache-rr
    dhcp-option dhcp-option-force dhcp-broadcast user group dhcp-script enable-ra quiet-ra no-dhcp-interface dhcp-range
    ra-param interface-name dhcp-host dhcp-mac dhcp-vendorclass dhcp-userclass dhcp-circuitid dhcp-remoteid
    dhcp-subscrid dhcp-match dhcp-relay host-record srv-host mx-host cname dns-rr ipset nftset
""".split()


@pytest.mark.parametrize("case", CASES)
def test_what_a_start_writes(case: str, tmp_path: pathlib.Path) -> None:
    made = router(tmp_path / "tree", case)
    made.init("start")
    assert made.written() == (UCI / f"{case}.expected").read_text()


def test_every_directive_is_made() -> None:
    """The files of UCI together make each directive that the init script of OpenWrt can make, and no other."""
    made = set()
    for case in CASES:
        for part in (UCI / f"{case}.expected").read_text().split("==> "):
            if part.startswith("/var/etc/"):
                made |= {line.partition("=")[0] for line in part.splitlines()[1:]}
    assert made == set(DIRECTIVES) and len(DIRECTIVES) == 108


def test_each_file_is_a_case() -> None:
    assert {path.stem for path in UCI.iterdir()} == set(CASES)


# Directives whose value begins with a path.
WITH_PATH = "conf-(?:file|dir)|addn-hosts|resolv-file|dhcp-leasefile|servers-file|dhcp-hostsfile|tftp-root|dhcp-script"


def outside(made: Router, text: str) -> str:
    """A made configuration with the paths that it has outside of its tree, and for an account that is everywhere."""
    text = re.sub(rf"^({WITH_PATH}|log-facility)=/", rf"\1={made.tree}/", text, flags=re.M)
    return re.sub("^(user|group)=dnsmasq$", r"\1=root", text, flags=re.M)


@pytest.mark.parametrize("case", CASES)
def test_both_programs_take_it(case: str, tmp_path: pathlib.Path) -> None:
    need(REAL, "dnsmasq")
    made = router(tmp_path / "tree", case)
    made.init("start")
    for path in made.path("/var/etc").iterdir():
        text = outside(made, path.read_text())
        # Debian's dnsmasq is built without ubus.
        for kind, accepted in {"ours": text, "real": re.sub("^enable-ubus.*\n", "", text, flags=re.M)}.items():
            made.write("/conf", accepted)
            done = run_program("--test", "-C", str(made.path("/conf")), kind=kind)
            assert (done.returncode, done.stderr) == (0, "dnsmasq: syntax check OK.\n"), (kind, done.stderr, accepted)


RANGES = """
    192.168.1.1 24 100 150 = 192.168.1.100,192.168.1.249,255.255.255.0
    192.168.1.1 24 200 150 = 192.168.1.200,192.168.1.254,255.255.255.0
    192.168.1.1 24 300 10 = 192.168.1.44,192.168.1.53,255.255.255.0
    192.168.1.1 24 0 0 = 192.168.1.1,192.168.1.1,255.255.255.0
    172.16.200.9 255.255.0.0 1000 2000 = 172.16.3.232,172.16.11.183,255.255.0.0
    10.200.3.4 8 65536 1 = 10.1.0.0,10.1.0.0,255.0.0.0
    223.255.255.129 25 10 500 = 223.255.255.138,223.255.255.254,255.255.255.128
    192.0.2.1 30 1 9 = 192.0.2.1,192.0.2.2,255.255.255.252
    192.0.2.1 31 1 9 =
    192.0.2.1 255.255.255.255 1 9 =
"""


def test_ranges_of_addresses(tmp_path: pathlib.Path) -> None:
    made = router(tmp_path / "tree", "default")
    for row in RANGES.strip().splitlines():
        words, _, wanted = row.partition("=")
        done = made.run("/bin/sh", "-c", f". /etc/init.d/dnsmasq; ipv4_range {words}")
        assert (done.stdout.strip(), done.returncode, done.stderr) == (wanted.strip(), int(not wanted), ""), row


# What the program lacks, and the start of the lines that are then left out.
LACKS = {
    "DHCP": ("netboot", ("dhcp-", "pxe-")),
    "TFTP": ("netboot", ("tftp-", "enable-tftp")),
    "ipset": ("sets", ("ipset",)),
    "nftset": ("sets", ("nftset",)),
    "DHCPv6": ("ipv6", ("enable-ra", "quiet-ra", "quiet-dhcp6", "ra-param", "dhcp-relay", "dhcp-option=lan,option6")),
}


@pytest.mark.parametrize("feature", LACKS)
def test_what_the_program_lacks_is_left_out(feature: str, tmp_path: pathlib.Path) -> None:
    case, starts = LACKS[feature]
    made = router(tmp_path / "tree", case)
    made.init("start")
    before = made.config()
    made.write("/version", f"Compile time options: {FULL} ".replace(f" {feature} ", f" no-{feature} "))
    made.init("start")
    wanted = [line for line in before if not line.startswith(starts)]
    if feature == "DHCPv6":
        wanted = [re.sub("id:[^,]*,|,\\[::40]", "", line) for line in wanted if "constructor:" not in line]
    assert made.config() == wanted != before


def test_no_dnssec_in_the_program(tmp_path: pathlib.Path) -> None:
    """What was to be checked is not served unchecked."""
    made = router(tmp_path / "tree", "dnssec")
    made.write("/version", "Compile time options: IPv6 DHCP no-DNSSEC\n")
    assert made.init("start", fails=True) == [] and not list(made.path("/var/etc").glob("dnsmasq.conf.*[!0-9]"))


def test_the_features_of_our_program(tmp_path: pathlib.Path) -> None:
    """The configuration of the default image is the same with what ours says of itself."""
    made = router(tmp_path / "tree", "default")
    made.write("/version", run_program("--version").stdout)
    made.init("start")
    assert made.written() == (UCI / "default.expected").read_text()


def test_dnssec_once_the_time_is_known(tmp_path: pathlib.Path) -> None:
    made = router(tmp_path / "tree", "dnssec")
    made.write("/var/state/dnsmasqsec", "")
    made.init("start")
    assert [line for line in made.config() if "dnssec" in line] == [
        "proxy-dnssec",
        "dnssec",
        "dnssec-check-unsigned=no",
    ]


# -- starts, reloads and stops -----------------------------------------------------

SERVER = """\
open_instance cfg010000
set_param command /usr/sbin/dnsmasq -C /var/etc/dnsmasq.conf.cfg010000 -k -x /var/run/dnsmasq/dnsmasq.cfg010000.pid
set_param file /var/etc/dnsmasq.conf.cfg010000
set_param respawn
close_instance
set""".splitlines()
TWO_SERVERS = """\
open_instance home
set_param command /usr/sbin/dnsmasq -C /var/etc/dnsmasq.conf.home -k -x /var/run/dnsmasq/dnsmasq.home.pid
set_param file /var/etc/dnsmasq.conf.home
set_param netdev br-lan
set_param respawn
close_instance
open_instance visitors
set_param command /usr/sbin/dnsmasq -C /var/etc/dnsmasq.conf.visitors -k -x /var/run/dnsmasq/dnsmasq.visitors.pid
set_param file /var/etc/dnsmasq.conf.visitors
set_param netdev br-guest br-extra
set_param respawn
close_instance
set""".splitlines()
TRIGGER = "add_interface_trigger interface.* {} /etc/init.d/dnsmasq reload after 1000"


def test_start_reload_restart(tmp_path: pathlib.Path) -> None:
    made = router(tmp_path / "tree", "default")
    assert made.init("start") == SERVER
    assert made.init("reload") == [*SERVER, "send_signal dnsmasq"]
    assert made.init("restart") == ["kill", *SERVER]
    assert made.init("triggers") == ["add_reload_trigger dhcp system", TRIGGER.format("lan")]


def test_two_instances(tmp_path: pathlib.Path) -> None:
    """All, or the one that is named; that the first is off gives the second the plain name."""
    made = router(tmp_path / "tree", "instances")
    assert made.init("start") == TWO_SERVERS
    for path in made.path("/var/etc").iterdir():
        path.unlink()
    assert made.init("reload", "visitors") == [*TWO_SERVERS[6:], "send_signal dnsmasq visitors"]
    assert [path.name for path in made.path("/var/etc").iterdir()] == ["dnsmasq.conf.visitors"]
    assert "enable-ubus=dnsmasq.visitors" in made.config("visitors")
    made.write("/etc/config/dhcp", uci_text("instances").replace("'home'\n", "'home'\n\toption disabled '1'\n", 1))
    assert made.init("start") == TWO_SERVERS[6:]
    assert "enable-ubus=dnsmasq" in made.config("visitors")


def test_a_start_at_boot(tmp_path: pathlib.Path) -> None:
    """What needs a network is left out; the reload when one is up adds it."""
    made = router(tmp_path / "tree", "relay")
    assert "set_param netdev br-lan" not in made.init("boot")
    at_boot = made.config()
    made.init("reload")
    assert [line for line in made.config() if line not in at_boot] == [
        "interface=br-lan",
        "except-interface=eth1",
        "except-interface=br-extra",
        "dhcp-range=set:guest,192.168.3.100,192.168.3.126,255.255.255.128,12h",
        "dhcp-relay=192.168.1.1,10.0.0.67,eth1",
        "dhcp-relay=192.168.3.1,10.0.0.68",
    ]
    wanted = ["add_reload_trigger dhcp system", *map(TRIGGER.format, ("guest", "wan", "iot"))]
    assert made.init("triggers") == wanted


def test_the_same_again(tmp_path: pathlib.Path) -> None:
    """A reload without a change writes the same bytes, or procd would restart the server."""
    made = router(tmp_path / "tree", "values")
    made.init("start")
    before = {path: path.read_bytes() for path in made.path("/var/etc").iterdir()}
    made.init("reload")
    assert {path: path.read_bytes() for path in made.path("/var/etc").iterdir()} == before
    assert not list(made.path("/tmp/hosts").glob("*.[0-9]*[!0]"))


def test_the_resolver_of_the_router(tmp_path: pathlib.Path) -> None:
    made = router(tmp_path / "tree", "default")
    made.init("start")
    assert made.path("/tmp/resolv.conf").read_text().splitlines()[1:] == [
        "search lan", "nameserver 127.0.0.1", "nameserver ::1",
    ]  # fmt: skip
    assert made.init("stop") == ["kill"]
    assert os.readlink(made.path("/tmp/resolv.conf")) == "/tmp/resolv.conf.d/resolv.conf.auto"
    # Written anew, not through the link.
    made.init("start")
    assert made.path("/tmp/resolv.conf.d/resolv.conf.auto").read_text() == "nameserver 203.0.113.1\n"


@pytest.mark.parametrize(
    ("option", "here"),
    [
        ("option localuse '0'", False),
        ("option noresolv '1'", False),
        ("option noresolv '1'\noption localuse '1'", True),
        ("option resolvfile '/etc/own'", False),
        ("option resolvfile '/etc/own'\noption localuse '1'", True),
        ("option port '53'", True),
        ("option port '0'\noption localuse '1'", False),
        ("list notinterface 'wan'", True),
        ("list notinterface 'loopback'", False),
        ("list notinterface 'lo'\noption localuse '1'", True),
    ],
)
def test_when_the_router_asks_itself(option: str, here: bool, tmp_path: pathlib.Path) -> None:
    made = router(tmp_path / "tree", "off")
    made.write("/etc/config/dhcp", f"config dnsmasq\n{option}\n")
    made.init("start")
    assert ("127.0.0.1" in made.path("/tmp/resolv.conf").read_text()) == here
    made.init("stop")
    assert made.path("/tmp/resolv.conf").is_symlink() == here


def test_files_and_their_owners(tmp_path: pathlib.Path) -> None:
    made = router(tmp_path / "tree", "values")
    made.init("start")
    owners = {
        name: made.path(name).stat().st_uid
        for name in ("/var/run/dnsmasq", "/tmp/leases", "/var/log/dnsmasq.log", "/var/lib/misc", "/tmp/snippets")
    }
    wanted = {"/var/run/dnsmasq": 453, "/tmp/leases": 0, "/var/log/dnsmasq.log": 0, "/var/lib/misc": 0}
    assert owners == {**wanted, "/tmp/snippets": 0}
    made.write("/tmp/leases", "kept\n")
    made.init("start")
    assert made.path("/tmp/leases").read_text() == "kept\n"
    # A text that is gone takes its file along.
    made.write("/etc/config/dhcp", uci_text("values").replace("extraconftext", "other"))
    made.init("reload")
    assert not made.path("/tmp/snippets/extraconfig.conf").exists()


OF_INSTANCE = "/tmp/dnsmasq.cfg010000.d"
CONF_DIRS = {
    "22.03.5": "/tmp/dnsmasq.d",
    "23.05.2": "/tmp/dnsmasq.d",
    "24.10.1": OF_INSTANCE,
    "SNAPSHOT": OF_INSTANCE,
    "": OF_INSTANCE,
}


@pytest.mark.parametrize("release", CONF_DIRS)
def test_the_directory_of_other_packages(release: str, tmp_path: pathlib.Path) -> None:
    made = router(tmp_path / "tree", "default")
    made.write("/etc/openwrt_release", f"DISTRIB_RELEASE='{release}'\n")
    made.init("start")
    assert f"conf-dir={CONF_DIRS[release]}" in made.config() and made.path(CONF_DIRS[release]).is_dir()


# -- other servers beside ----------------------------------------------------------


ODHCPD = "config odhcpd 'odhcpd'\n\toption maindhcp '{}'\n"
WITH_V6 = {"dhcp-host=02:00:00:00:00:01,id:00:01,192.168.1.9,[::9]", "dhcp-range", "enable-ra"}
WITHOUT_V6 = {"dhcp-host=02:00:00:00:00:01,192.168.1.9", "dhcp-range"}
BESIDE = {
    "nothing": ("", "", WITH_V6),
    "odhcpd": ("odhcpd", "", WITHOUT_V6),
    "odhcpd for v6": ("odhcpd", ODHCPD.format(0), WITHOUT_V6),
    "odhcpd for all": ("odhcpd", ODHCPD.format(1), set()),
    "odhcpd for all, but off": ("", ODHCPD.format(1), WITH_V6),
    "dhcpd": ("dhcpd", "", set()),
}


@pytest.mark.parametrize("beside", BESIDE)
def test_another_program_for_dhcp(beside: str, tmp_path: pathlib.Path) -> None:
    services, more, wanted = BESIDE[beside]
    host = "\tlist mac '02:00:00:00:00:01'\n\toption duid '0001'\n\toption ip '192.168.1.9'\n\toption hostid '9'\n"
    made = router(tmp_path / "tree", "default", World(services))
    made.write("/etc/config/dhcp", uci_text("default") + f"config host\n{host}{more}")
    made.init("start")
    lines = [line for line in made.config() if line.startswith(("dhcp-host", "dhcp-range", "enable-ra"))]
    assert {line if line.startswith("dhcp-host") else line.partition("=")[0] for line in lines} == wanted


def test_another_server_on_the_link(tmp_path: pathlib.Path) -> None:
    """None is started beside it; a device that was found free is not tried again."""
    made = router(tmp_path / "tree", "default")
    made.init("start")
    probe = made.path("/probes").read_text()
    assert probe.split()[-2:] == ["-i", "br-lan"] and len(probe.splitlines()) == 1
    made.write("/other-servers", "br-lan\n")
    made.init("reload")
    assert made.path("/probes").read_text() == probe
    made.path("/var/run/dnsmasq/br-lan.dhcp").unlink()
    done = made.run("/bin/sh", "/etc/rc.common", "/etc/init.d/dnsmasq", "reload")
    assert done.returncode == 0 and "another DHCP server is on br-lan" in done.stderr
    assert not [line for line in made.config() if line.startswith("dhcp-range")]
    made.write("/etc/config/dhcp", uci_text("default").replace("'150'", "'150'\n\toption force '1'"))
    made.init("reload")
    assert [line for line in made.config() if line.startswith("dhcp-range")]


# -- the jail ----------------------------------------------------------------------

PYTHON = "/usr/lib/python3.11 /usr/lib/pydnsmasq /usr/lib/libz.so.1"
JAIL_FILES = {
    "/sbin/ujail": "",
    "/usr/lib/python3.11/os.pyc": "",
    "/usr/lib/pydnsmasq/pydnsmasq.pyc": "",
    "/usr/lib/libz.so.1": "",
    "/etc/TZ": "UTC0\n",
    "/etc/ethers": "",
    "/usr/share/libubox/jshn.sh": "",
    "/usr/bin/jshn": "",
    "/usr/bin/env": "",
    "/bin/ubus": "",
}
ACCOUNTS = "/etc/passwd /etc/group /etc/TZ /etc/hosts /etc/ethers"
CAPABILITY_LINES = [
    "set_param capabilities /etc/capabilities/dnsmasq.json",
    "set_param user dnsmasq",
    "set_param group dnsmasq",
    "set_param no_new_privs 1",
]
READS = {
    "default": "/etc/dnsmasq.conf /tmp/hosts /tmp/resolv.conf.d /tmp/dnsmasq.cfg010000.d "
    f"{SHARE}/dhcpbogushostname.conf {SHARE}/rfc6761.conf",
    "dnssec": f"/etc/dnsmasq.conf /tmp/hosts /tmp/resolv.conf.d {SHARE}/trust-anchors.conf /tmp/dnsmasq.cfg010000.d "
    f"{SHARE}/dhcpbogushostname.conf {SHARE}/rfc6761.conf",
    "netboot": f"/etc/dnsmasq.conf /srv/tftp /tmp/hosts /tmp/resolv.conf.d /tmp/dnsmasq.cfg010000.d "
    f"{SHARE}/dhcpbogushostname.conf {SHARE}/rfc6761.conf",
    "values": "/etc/dnsmasq.conf /etc/hosts.ads /srv/more /tmp/servers.conf /etc/dhcp.hosts /tmp/hosts "
    f"/tmp/resolv.conf.d /tmp/snippets {SHARE}/dhcpbogushostname.conf {SHARE}/rfc6761.conf",
    "names": "/etc/dnsmasq.conf /usr/lib/dnsmasq/dhcp-script.sh /usr/share/libubox/jshn.sh /usr/bin/jshn /bin/ubus "
    "/usr/bin/env /etc/own-script.sh /tmp/hosts /tmp/resolv.conf.d /tmp/dnsmasq.cfg010000.d "
    f"{SHARE}/dhcpbogushostname.conf {SHARE}/rfc6761.conf",
}
WRITES = {"values": "/var/log/dnsmasq.log /tmp/leases"}


@pytest.mark.parametrize("capabilities", [False, True])
@pytest.mark.parametrize("case", READS)
def test_the_jail(case: str, capabilities: bool, tmp_path: pathlib.Path) -> None:
    """Mounts, and with a file of capabilities the account; a script of the user still starts as root."""
    made = router(tmp_path / "tree", case)
    for name, text in JAIL_FILES.items():
        made.write(name, text, 0o755 if name == "/sbin/ujail" else 0o644)
    if capabilities:
        made.copy(FILES / "dnsmasq.capabilities.json", "/etc/capabilities/dnsmasq.json")
    told = made.init("start")
    jail = told[told.index("set_param respawn") + 1 : -2]
    unprivileged = capabilities and case != "names"
    reads = f"/var/etc/dnsmasq.conf.cfg010000 {READS[case]} {ACCOUNTS} {PYTHON}"
    writes = WRITES.get(case, "/tmp/dhcp.leases")
    assert jail == [
        "add_jail dnsmasq ubus log",
        *(f"add_jail_mount {path}" for path in reads.split()),
        f"add_jail_mount_rw /var/run/dnsmasq/ {writes}",
        *(CAPABILITY_LINES if unprivileged else []),
    ]
    assert {made.path(path).stat().st_uid for path in writes.split()} == {453 if unprivileged else 0}


def test_the_jail_has_the_directory_of_hosts(tmp_path: pathlib.Path) -> None:
    """Also where one file is used: mounted by itself it would stay the old one when another takes its name."""
    made = router(tmp_path / "tree", "instances")
    made.write("/sbin/ujail", "", 0o755)
    assert made.init("start").count("add_jail_mount /tmp/hosts") == 2
    assert "addn-hosts=/tmp/hosts/dhcp.visitors" in made.config("visitors")


# -- the files beside it -----------------------------------------------------------

MAC = "02:00:00:00:00:01"
# Words of the command line, and what procd hears.
EVENTS = {
    f"add {MAC} 192.168.1.7 pc": ("dhcp", f"ACTION=add MACADDR={MAC} IPADDR=192.168.1.7 HOSTNAME=pc"),
    f"old {MAC} 192.168.1.7": ("dhcp", f"ACTION=update MACADDR={MAC} IPADDR=192.168.1.7 HOSTNAME="),
    f"del {MAC} 192.168.1.7 pc": ("dhcp", f"ACTION=remove MACADDR={MAC} IPADDR=192.168.1.7 HOSTNAME=pc"),
    f"arp-add {MAC} 192.168.1.7": ("neigh", f"ACTION=add MACADDR={MAC} IPADDR=192.168.1.7"),
    f"arp-del {MAC} fd00::7": ("neigh", f"ACTION=remove MACADDR={MAC} IPADDR=fd00::7"),
    "tftp 512 192.168.1.7 /srv/a": ("tftp", "ACTION=add TFTP_SIZE=512 TFTP_ADDR=192.168.1.7 TFTP_PATH=/srv/a"),
}


def script_router(tmp_path: pathlib.Path) -> Router:
    made = router(tmp_path / "tree", "default")
    made.copy(LIBRARY / "jshn.sh", "/usr/share/libubox/jshn.sh")
    made.write("/bin/ubus", '#!/bin/sh\nprintf "%s\\n" "$@" >/ubus\n', 0o755)
    return made


@pytest.mark.parametrize("words", EVENTS)
def test_the_script_for_leases(words: str, tmp_path: pathlib.Path) -> None:
    """Told is who and what, and the variables that the server gives, whatever is in them."""
    made = script_router(tmp_path)
    more = {"DNSMASQ_INTERFACE": "br-lan", "DNSMASQ_VENDOR_CLASS": 'a "quoted" $HOME \\ `word`', "OTHER": "no"}
    done = made.run("/usr/lib/dnsmasq/dhcp-script.sh", *words.split(), **more)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    call, target, method, message = made.path("/ubus").read_text().splitlines()
    kind, wanted = EVENTS[words]
    assert (call, target, method) == ("call", f"hotplug.{kind}", "call")
    env = json.loads(message)["env"]
    count = len(wanted.split())
    assert env[:count] == wanted.split()
    assert sorted(env[count:]) == sorted(f"{name}={value}" for name, value in more.items() if name != "OTHER")


def test_the_script_of_the_user(tmp_path: pathlib.Path) -> None:
    """It runs first and sees the words; what is no event of a lease goes no further."""
    made = script_router(tmp_path)
    made.write("/etc/own-script.sh", 'echo "own: $*"\n')
    words = ("/usr/lib/dnsmasq/dhcp-script.sh", "init")
    done = made.run(*words, USER_DHCPSCRIPT="/etc/own-script.sh")
    assert (done.returncode, done.stdout, done.stderr) == (0, "own: init\n", "") and not made.path("/ubus").exists()
    done = made.run(words[0], "add", MAC, "192.168.1.7", USER_DHCPSCRIPT="/etc/own-script.sh")
    assert done.stdout == "own: add 02:00:00:00:00:01 192.168.1.7\n" and made.path("/ubus").exists()


@pytest.mark.parametrize(
    ("action", "stratum", "told"), [("stratum", "3", True), ("step", "", True), ("periodic", "3", False),
    ("unsync", "16", False), ("stratum", "16", False)],
)  # fmt: skip
def test_when_the_time_is_right(action: str, stratum: str, told: bool, tmp_path: pathlib.Path) -> None:
    """The server hears it by INT, once."""
    made = router(tmp_path / "tree", "dnssec")
    made.copy(FILES / "25-dnsmasqsec", "/25-dnsmasqsec")
    made.write("/recorded", "")
    for _ in range(2):
        done = made.run("/bin/sh", "-c", ". /25-dnsmasqsec", ACTION=action, stratum=stratum)
        assert (done.returncode, done.stderr) == (0, "")
    assert made.path("/recorded").read_text() == ("send_signal dnsmasq * INT\n" if told else "")
    assert made.path("/var/state/dnsmasqsec").exists() == told


def test_the_rights() -> None:
    """The server may have its objects on ubus and call what its script calls; it keeps three capabilities."""
    acl = json.loads((FILES / "dnsmasq_acl.json").read_text())
    assert acl["user"] == "dnsmasq" and "dnsmasq" in acl["publish"]
    assert acl["access"] == {f"hotplug.{kind}": {"methods": ["call"]} for kind in ("dhcp", "neigh", "tftp")}
    capabilities = json.loads((FILES / "dnsmasq.capabilities.json").read_text())
    three = ["CAP_NET_ADMIN", "CAP_NET_BIND_SERVICE", "CAP_NET_RAW"]
    assert capabilities == dict.fromkeys(("bounding", "effective", "ambient", "permitted", "inheritable"), three)


def test_the_keys_of_the_root() -> None:
    """They are those of dnsmasq.conf."""
    lines = re.findall("^#(trust-anchor=[.],.*)$", (ROOT / "dnsmasq.conf").read_text(), re.M)
    assert lines and re.findall("^trust-anchor=.*$", (FILES / "trust-anchors.conf").read_text(), re.M) == lines


SHELL = [INIT, FILES / "dhcp-script.sh", FILES / "25-dnsmasqsec", LIBRARY / "rc.common", *sorted(LIBRARY.glob("*.sh"))]


@pytest.mark.parametrize("path", SHELL, ids=lambda path: path.name)
def test_shellcheck(path: pathlib.Path) -> None:
    if shutil.which("shellcheck") is None:
        pytest.skip("shellcheck is missing")
    done = subprocess.run(["shellcheck", "-s", "dash", str(path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


# -- the default image, served by both programs ------------------------------------

# Names and types; "unseen" may not reach the upstream server, which would know it.
QUESTIONS = [
    f"{name} {kind}"
    for name in (
        "pc pc.lan PC.LAN nobody nobody.lan OpenWrt OpenWrt.lan localhost wpad wpad.lan up.example unseen "
        "unseen.test unseen.onion unseen.local unseen.invalid lan rebound.example looped.example gone.example"
    ).split()
    for kind in ("A", "AAAA")
] + [
    "192.168.1.1 PTR", "192.168.1.77 PTR", "10.1.2.3 PTR", "93.184.215.80 PTR", "127.0.0.1 PTR", "up.example TXT",
    "up.example MX", "up.example HTTPS",
]  # fmt: skip
UPSTREAM = """
no-resolv
no-hosts
host-record=up.example,93.184.215.80,2606:2800::80
txt-record=up.example,"two words"
mx-host=up.example,up.example,5
host-record=rebound.example,192.168.1.66
host-record=looped.example,127.0.0.1
host-record=unseen,93.184.215.81
host-record=unseen.test,93.184.215.82
host-record=unseen.onion,93.184.215.83
host-record=unseen.local,93.184.215.84
host-record=unseen.invalid,93.184.215.85
host-record=unseen.lan,93.184.215.86
"""

MAC_OF_CLIENT = "02:00:00:00:00:07"


class Lan(Namespaces):
    """A router with OpenWrt's devices, a client up0, and a server behind the router."""

    def connect(self) -> None:
        router, client, far = self.names
        self.link("br-lan", router, "up0", client)
        self.link("eth1", router, "far0", far)
        self.ip(client, "link set up0 down")
        self.ip(client, f"link set up0 address {MAC_OF_CLIENT} up")
        self.ip(router, "addr add 192.168.1.1/24 dev br-lan")
        self.ip(router, "addr add fd00::1/64 dev br-lan nodad")
        self.ip(router, "addr add 203.0.113.5/24 dev eth1")
        self.ip(far, "addr add 203.0.113.1/24 dev far0")


def served(made: Router, lan: Lan, kind: str) -> dict[str, Any]:
    """What a client gets from a program, as it starts, leases and answers."""
    router_end, client_end, _ = lan.names
    made.write("/tmp/dhcp.leases", "")
    text = outside(made, "\n".join(made.config()) + "\n")
    if kind == "real":
        text = text.replace("enable-ubus=dnsmasq\n", "")
    daemon = lan.start(
        text, router_end, kind=kind, defaults=False, args=("--log-facility=$DIR/log", "--pid-file="), ready=False
    )
    found: dict[str, Any] = {}
    clients = []
    try:
        for host, code in {"wpad": "00:77", "pc": "00:70"}.items():
            clients.append(DhcpClient(lan, client_end, lan.directory / f"{kind}-{host}", "udhcpc", host, code))
            event = clients[-1].start().bound()
            found[host] = (event.address, event.router, event.dns, event.domain, event.seconds, event.server)
            if host == "wpad":
                clients[-1].stop()
        leases = made.path("/tmp/dhcp.leases")
        wait_until(lambda: "pc" in leases.read_text(), what="the leases")
        found["leases"] = sorted(
            (line.split()[1:] for line in leases.read_text().splitlines()), key=lambda line: line[3:], reverse=True
        )
        for question in [*QUESTIONS, f"{found['pc'][0]} PTR"]:
            name, rtype = question.split()
            words = ["-x", name] if rtype == "PTR" else [name, rtype]
            shown = lan.run(client_end, "dig", "@192.168.1.1", "+time=2", "+tries=2", "+noauthority", *words).stdout
            status = re.search(r"status: (\w+)", shown)
            flags = re.search(r"flags: ([a-z ]+);", shown)
            answers = sorted(" ".join(line.split()) for line in re.findall(r"^[^;\s].*$", shown, re.M))
            found[question] = (status and status[1], flags and flags[1], answers)
    finally:
        for client in clients:
            client.stop()
        daemon.stop()
    assert "Traceback" not in daemon.stderr() + daemon.log()
    return found


def test_the_default_image_behaves_as_with_dnsmasq(tmp_path: pathlib.Path) -> None:
    need_tool("ip", "dig", "udhcpc", "dnsmasq")
    made = router(tmp_path / "tree", "default")
    made.init("start")
    lan = Lan(tmp_path, "router", "client", "far")
    try:
        lan.setup()
        lan.start(UPSTREAM, lan.names[2], kind="real")
        ours, real = (served(made, lan, kind) for kind in ("ours", "real"))
    finally:
        lan.close()
    assert {key: (ours[key], real[key]) for key in real if ours[key] != real[key]} == {}
    assert real["wpad"][3:5] == real["pc"][3:5] == ("lan", "43200")
    assert real["leases"] == [
        [MAC_OF_CLIENT, real["wpad"][0], "*", "00:77"],
        [MAC_OF_CLIENT, real["pc"][0], "pc", "00:70"],
    ]
    assert real["pc.lan A"][2] == [f"pc.lan. 0 IN A {real['pc'][0]}"] and real["wpad.lan A"][0] == "NXDOMAIN"
    assert real["up.example A"][2] == ["up.example. 0 IN A 93.184.215.80"]
