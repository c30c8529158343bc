"""Real clients in network namespaces: the C library, dig, interfaces that come and go."""

from __future__ import annotations

import os
import pathlib
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator

import pytest

from harness import OURS_KIND, need, need_tool, wait_until
from netkit import Net

REC = "no-hosts\nhost-record=rec.test,10.1.2.3,fd01::3\n"
ALONE = "no-resolv\n" + REC
UNLIKE_REAL = pytest.mark.skipif(OURS_KIND == "real", reason="dnsmasq behaves otherwise here")


@pytest.fixture
def net(tmp_path: pathlib.Path) -> Iterator[Net]:
    need(os.geteuid() == 0, "root")
    need_tool("ip", "dig", "unshare", "getent")
    made = Net(tmp_path)
    try:
        made.setup()
        yield made
    finally:
        made.close()
    for daemon in made.daemons:
        assert "Traceback" not in daemon.stderr() + daemon.log()


ANSWER = ["10.1.2.3"]


# -- ordinary clients ----------------------------------------------------------------


def test_dig_over_both_transports_and_families(net: Net) -> None:
    net.start(ALONE)
    for target in ("10.77.1.1", "10.77.2.1", "fd77:1::1"):
        for words in ((), ("+tcp",), ("+noedns",), ("+bufsize=4096",), ("+dnssec",)):
            assert net.dig(target, "rec.test", *words) == ANSWER, f"{target} {words}"
    assert net.dig("10.77.1.1", "rec.test", "-t", "AAAA") == ["fd01::3"]
    assert net.dig("127.0.0.1", where=net.router) == ANSWER
    assert net.dig("::1", where=net.router) == ANSWER


def test_link_local_addresses(net: Net) -> None:
    net.start(ALONE)
    shown = subprocess.run(
        ["ip", "-n", net.router, "-6", "-o", "addr", "show", "dev", "lan0", "scope", "link"],
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    found = re.search(r"(fe80::\S+)/64", shown)
    assert found
    wait_until(lambda: net.dig(f"{found[1]}%up0") == ANSWER, 5, "an answer after duplicate detection")
    if OURS_KIND == "ours":
        assert net.dig(f"{found[1]}%up0", "rec.test", "+tcp") == ANSWER


def test_the_c_library_through_etc_resolv_conf(net: Net) -> None:
    """nameserver 127.0.0.1 in /etc/resolv.conf, a forwarder behind it, a server behind that."""
    need("dns" in pathlib.Path("/etc/nsswitch.conf").read_text(), "dns in nsswitch.conf")
    need(pathlib.Path("/etc/resolv.conf").exists(), "an /etc/resolv.conf to mount on")
    net.start("no-resolv\nno-hosts\nhost-record=far.test,10.8.0.1,fd08::1\ncname=alias.test,far.test\n", net.client)
    (net.directory / "upstream").write_text("nameserver 10.77.1.2\n")
    net.start(REC + f"resolv-file={net.directory}/upstream\nlocal-ttl=60\n")
    resolv = net.directory / "resolv.conf"
    resolv.write_text("nameserver 127.0.0.1\n")
    for name, expected in (
        ("rec.test", {"10.1.2.3", "fd01::3"}),
        ("far.test", {"10.8.0.1", "fd08::1"}),
        ("alias.test", {"10.8.0.1", "fd08::1"}),
    ):
        done = net.c_library(net.router, resolv, "getent", "ahosts", name)
        assert {line.split()[0] for line in done.stdout.splitlines()} == expected, f"{name}: {done}"
    assert net.c_library(net.router, resolv, "getent", "hosts", "10.1.2.3").stdout.split()[1] == "rec.test"
    assert net.c_library(net.router, resolv, "getent", "ahosts", "nosuch.test").returncode == 2
    resolv.write_text("nameserver 127.0.0.1\noptions use-vc edns0\n")
    assert "10.8.0.1" in net.c_library(net.router, resolv, "getent", "ahosts", "far.test").stdout


def test_our_own_address_in_the_resolver_file_is_no_upstream(net: Net) -> None:
    """resolv.conf names this very machine: it is left out, not asked in circles."""
    (net.directory / "resolv").write_text("nameserver 127.0.0.1\nnameserver 10.77.1.1\n")
    daemon = net.start(REC + f"resolv-file={net.directory}/resolv\n")
    assert net.dig("10.77.1.1") == ANSWER
    assert net.dig("10.77.1.1", "other.test") == []
    assert "ignoring nameserver 127.0.0.1 - local interface" in daemon.log()
    assert "ignoring nameserver 10.77.1.1 - local interface" in daemon.log()


# -- replies come from the address that was asked ------------------------------------


def test_replies_come_from_the_address_that_was_asked(net: Net) -> None:
    net.ip(net.router, "addr add 10.77.1.200/24 dev lan0")
    net.start(ALONE)
    for target in ("10.77.1.1", "10.77.1.200", "10.77.2.1"):
        for source in ("10.77.1.2", "10.77.2.2", "192.0.2.5"):
            for words in (("+noedns", "+nocookie"), ("+tcp",)):
                if source == "192.0.2.5" and target == "10.77.2.1":
                    continue
                assert net.dig(target, "rec.test", "-b", source, *words) == ANSWER, f"{target} from {source} {words}"


def test_a_route_that_changes_does_not_change_the_source(net: Net) -> None:
    """A client that asks often, then the kernel prefers another source address towards it."""
    net.ip(net.router, "addr add 10.77.1.200/24 dev lan0")
    net.start(ALONE + "".join(f"host-record=n{number}.test,10.1.2.3\n" for number in range(12)))
    plain = ("+noedns", "+nocookie")
    for number in range(12):
        assert net.dig("10.77.1.1", f"n{number}.test", *plain) == ANSWER
    for _ in range(3):
        assert net.dig("10.77.1.1", "n1.test", *plain) == ANSWER
        assert net.dig("10.77.1.200", "n1.test", *plain) == ANSWER
    net.ip(net.router, "route replace 10.77.1.0/24 dev lan0 src 10.77.1.200")
    time.sleep(0.5)
    for _ in range(3):
        assert net.dig("10.77.1.1", "n1.test", *plain) == ANSWER
        assert net.dig("10.77.1.200", "n1.test", *plain) == ANSWER
        assert net.dig("10.77.1.1", "n2.test", *plain) == ANSWER


# -- who is served -----------------------------------------------------------------


BINDING = ["", "bind-interfaces\n", "bind-dynamic\n"]


@pytest.mark.parametrize("binding", BINDING)
@pytest.mark.parametrize("rule", ["except-interface=wan0", "interface=lan0", "listen-address=10.77.1.1,127.0.0.1"])
def test_only_one_side_is_served(rule: str, binding: str, net: Net) -> None:
    net.start(f"{ALONE}{rule}\n{binding}")
    assert net.dig("10.77.1.1") == ANSWER and net.dig("10.77.1.1", "rec.test", "+tcp") == ANSWER
    assert net.dig("10.77.2.1") is None and net.dig("10.77.2.1", "rec.test", "+tcp") is None
    assert net.dig("127.0.0.1", where=net.router) == ANSWER
    if not rule.startswith("listen"):
        assert net.dig("10.77.1.1", where=net.router) == ANSWER, "from the router itself"


@UNLIKE_REAL
def test_an_address_of_the_served_side_by_way_of_the_other(net: Net) -> None:
    """The packet comes in on the interface that is not served, for the address of the one that is."""
    net.start(ALONE + "except-interface=wan0\n")
    net.ip(net.client, "route add 10.77.1.1/32 via 10.77.2.1 dev up1")
    assert net.dig("10.77.1.1", "rec.test", "-b", "10.77.2.2") is None


def test_local_service_refuses_foreign_sources(net: Net) -> None:
    daemon = net.start(ALONE + "local-service\n")
    assert net.dig("10.77.1.1") == ANSWER and net.dig("10.77.2.1", "rec.test", "-b", "10.77.2.2") == ANSWER
    assert net.dig("fd77:1::1") == ANSWER
    for words in ((), ("+tcp",)):
        assert net.dig("10.77.1.1", "rec.test", "-b", "192.0.2.5", *words) is None
    assert net.dig("10.77.1.1", "rec.test", "+tcp") == ANSWER
    daemon.wait_log("ignoring query from non-local network 192.0.2.5")


def test_without_local_service_foreign_sources_are_served(net: Net) -> None:
    net.start(ALONE)
    assert net.dig("10.77.1.1", "rec.test", "-b", "192.0.2.5") == ANSWER


def test_local_service_host_listens_on_loopback_only(net: Net) -> None:
    net.start(ALONE + "local-service=host\n")
    assert net.dig("127.0.0.1", where=net.router) == ANSWER
    assert net.dig("10.77.1.1") is None


@UNLIKE_REAL
def test_local_service_follows_new_addresses(net: Net) -> None:
    net.start(ALONE + "local-service\n")
    assert net.dig("10.77.1.1", "rec.test", "-b", "192.0.2.5") is None
    net.ip(net.router, "addr add 192.0.2.1/24 dev lan0")
    wait_until(lambda: net.dig("10.77.1.1", "rec.test", "-b", "192.0.2.5") == ANSWER, 5, "the new subnet")
    net.ip(net.router, "addr del 192.0.2.1/24 dev lan0")
    wait_until(lambda: net.dig("10.77.1.1", "rec.test", "-b", "192.0.2.5") is None, 5, "the old state")


# -- interfaces that come and go -----------------------------------------------------


def _late(net: Net) -> None:
    net.join("late0", "up2")
    net.ip(net.client, "addr add 10.77.3.2/24 dev up2")
    net.ip(net.router, "addr add 10.77.3.1/24 dev late0")


@pytest.mark.parametrize("conf", ["bind-dynamic\n", "bind-dynamic\ninterface=late0\n", "interface=late0\n", ""])
def test_an_interface_that_appears_later(conf: str, net: Net) -> None:
    daemon = net.start(ALONE + conf)
    assert net.dig("127.0.0.1", where=net.router) == ANSWER
    _late(net)
    net.dig_until("10.77.3.1", True)
    net.dig_until("10.77.3.1", True, "+tcp")
    assert (net.dig("10.77.1.1") == ANSWER) == ("late0" not in conf)
    net.ip(net.router, "link del late0")
    time.sleep(0.3)
    assert net.dig("127.0.0.1", where=net.router) == ANSWER
    _late(net)
    net.dig_until("10.77.3.1", True)
    assert daemon.alive()


def test_addresses_that_come_and_go(net: Net) -> None:
    daemon = net.start(ALONE + "bind-dynamic\ninterface=lan0\n")
    for _ in range(3):
        net.ip(net.router, "addr add 10.77.1.50/24 dev lan0")
        net.dig_until("10.77.1.50", True)
        net.ip(net.router, "addr del 10.77.1.50/24 dev lan0")
        wait_until(lambda: "10.77.1.50" not in _listening(net), 5, "the end of the listener")
        assert net.dig("10.77.1.1") == ANSWER
    net.ip(net.router, "link set lan0 down")
    time.sleep(0.3)
    assert net.dig("127.0.0.1", where=net.router) == ANSWER
    net.ip(net.router, "link set lan0 up")
    net.dig_until("10.77.1.1", True)
    assert daemon.alive() and "internal error" not in daemon.log()


def _listening(net: Net) -> str:
    need(shutil.which("ss"), "ss")
    command = ["ip", "netns", "exec", net.router, "ss", "-lnut"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


@UNLIKE_REAL
def test_flapping_leaves_nothing_behind(net: Net) -> None:
    daemon = net.start(ALONE + "bind-dynamic\n")
    base = pathlib.Path(f"/proc/{daemon.pid}")
    counts: list[tuple[int, int]] = []

    def at_rest() -> bool:
        """Nothing has been opened or closed for half a second, and no address waits to be found unique."""
        counts.append((len(list((base / "fd").iterdir())), len(list((base / "task").iterdir()))))
        calm = len(counts) > 50 and len(set(counts[-50:])) == 1
        if calm and net.run(net.router, "ip", "-6", "addr", "show", "tentative").stdout.strip():
            counts.clear()
            return False
        return calm

    wait_until(at_rest, what="rest after the start")
    before = counts[-1]
    for _ in range(30):
        net.ip(net.router, "addr add 10.77.1.60/24 dev lan0")
        net.ip(net.router, "link set wan0 down")
        net.ip(net.router, "addr del 10.77.1.60/24 dev lan0")
        net.ip(net.router, "link set wan0 up")
    net.dig_until("10.77.2.1", True)
    net.dig_until("10.77.1.1", True)
    counts.clear()
    wait_until(at_rest, what="rest after the changes")
    assert counts[-1][0] <= before[0] and counts[-1][1] <= before[1]


def test_a_late_interface_as_another_user(net: Net) -> None:
    """Port 53 on an address that comes after privileges are gone."""
    conf = "user=nobody\npid-file=\nlog-facility=$DIR/log\nbind-dynamic\n"
    daemon = net.start(ALONE + conf, defaults=False)
    assert net.dig("10.77.1.1") == ANSWER
    status = pathlib.Path(f"/proc/{daemon.pid}/status").read_text()
    assert not re.search(r"^Uid:\t0\b", status, re.M), "still root"
    _late(net)
    wait_until(lambda: net.dig("10.77.3.1") == ANSWER, 5, "the late address")


@UNLIKE_REAL
def test_bind_interfaces_follows_a_reload(net: Net) -> None:
    daemon = net.start(ALONE + "bind-interfaces\ninterface=lan0\n")
    assert net.dig("10.77.2.1") is None
    daemon.conf_path.write_text(daemon.conf_path.read_text().replace("lan0", "wan0"))
    daemon.signal(signal.SIGHUP)
    net.dig_until("10.77.2.1", True)
    assert net.dig("10.77.1.1") is None


def test_interface_names_follow_the_addresses(net: Net) -> None:
    net.start(ALONE + "interface-name=router.test,lan0\n")
    assert set(net.dig("10.77.1.1", "router.test") or ()) == {"10.77.1.1"}
    net.ip(net.router, "addr add 10.77.1.70/24 dev lan0")
    wait_until(lambda: "10.77.1.70" in (net.dig("10.77.1.1", "router.test") or ()), 5, "the new address")


@UNLIKE_REAL
def test_a_server_behind_an_interface_that_comes_back(net: Net) -> None:
    """The only way to the upstream goes and comes again: forwarding does too."""
    net.start("no-resolv\nno-hosts\naddress=/far.test/10.8.0.1\n", net.client)
    daemon = net.start(ALONE + "server=10.77.2.2@wan0\n")
    asked: Callable[[str], object] = lambda name: net.dig("10.77.1.1", f"{name}.far.test")  # noqa: E731
    assert asked("a") == ["10.8.0.1"]
    net.ip(net.router, "link set wan0 down")
    time.sleep(0.3)
    assert asked("b") in (None, []) and net.dig("10.77.1.1") == ANSWER
    net.ip(net.router, "link set wan0 up")
    wait_until(lambda: asked(f"c{time.monotonic_ns()}") == ["10.8.0.1"], 10, "forwarding")
    assert daemon.alive()
