"""Network namespaces for the tests, with daemons and other programs in them."""

from __future__ import annotations

import contextlib
import ctypes
import os
import pathlib
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from harness import Daemon, need, wait_until

NEWNET = 0x40000000  # CLONE_NEWNET of <linux/sched.h>


@contextlib.contextmanager
def inside(name: str) -> Iterator[None]:
    """This thread is in a network namespace; the sockets that it opens stay there."""
    libc = ctypes.CDLL(None, use_errno=True)
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    there = os.open(pathlib.Path("/run/netns") / name, os.O_RDONLY)
    try:
        if libc.setns(there, NEWNET):
            raise OSError(ctypes.get_errno(), "setns")
        try:
            yield
        finally:
            if libc.setns(home, NEWNET):
                raise SystemExit("no way back to the own network namespace")
    finally:
        os.close(home)
        os.close(there)


class NetDaemon(Daemon):
    """A daemon in a network namespace."""

    namespace = ""

    def command(self) -> list[str]:
        return ["ip", "netns", "exec", self.namespace, *super().command()]


class Namespaces:
    """Network namespaces and the daemons in them; all end with `close`."""

    def __init__(self, directory: pathlib.Path, *ends: str) -> None:
        self.directory = directory
        self.names = [f"pydnsmasq-{os.getpid()}-{end}" for end in ends]
        self.daemons: list[Daemon] = []

    def setup(self) -> None:
        """Make the namespaces; without the right to do so the test is skipped."""
        try:
            for name in self.names:
                subprocess.run(["ip", "netns", "add", name], check=True, capture_output=True)
                self.ip(name, "link set lo up")
            self.connect()
        except subprocess.CalledProcessError as error:
            need(False, f"network namespaces ({error.stderr!r})")

    def connect(self) -> None:
        """Lay the links between the namespaces."""

    def close(self) -> None:
        for daemon in self.daemons:
            daemon.stop()
        for name in self.names:
            subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True)

    def ip(self, name: str, text: str) -> None:
        subprocess.run(["ip", "-n", name, *text.split()], check=True, capture_output=True)

    def link(self, ours: str, name: str, theirs: str, other: str) -> None:
        """Join two namespaces by a link that is up at both ends."""
        self.ip(name, f"link add {ours} type veth peer name {theirs} netns {other}")
        self.ip(name, f"link set {ours} up")
        self.ip(other, f"link set {theirs} up")

    def run(self, name: str, *words: str) -> subprocess.CompletedProcess[str]:
        """Run a program in a namespace to its end."""
        return subprocess.run(["ip", "netns", "exec", name, *words], capture_output=True, text=True, check=False)

    def start(self, conf: str, where: str = "", port: int = 53, ready: bool = True, **more: Any) -> Daemon:
        """Start a daemon in a namespace (the first one) and wait until it serves."""
        daemon = NetDaemon(self.directory / f"d{len(self.daemons)}", conf, port=port, **more)
        daemon.namespace = where or self.names[0]
        self.daemons.append(daemon)
        daemon.spawn()
        daemon.wait_log("started, version")
        if ready:
            time.sleep(0.3)
        return daemon

    def dig(self, target: str, name: str = "rec.test", *words: str, where: str = "") -> list[str] | None:
        """Ask with dig from the last namespace; the answers, or None when nothing came.

        Nothing is also what comes from another address than was asked.
        """
        command = ["dig", f"@{target}", "+time=1", "+tries=1", "+short", *words, name]
        done = self.run(where or self.names[-1], *command)
        return None if done.returncode else done.stdout.split()

    def dig_until(self, target: str, wanted: bool, *words: str) -> None:
        wait_until(lambda: (self.dig(target, "rec.test", *words) is not None) == wanted, 10, f"{target}: {wanted}")

    def c_library(self, name: str, resolv: pathlib.Path, *words: str) -> subprocess.CompletedProcess[str]:
        """Run a program in a namespace with `resolv` as its /etc/resolv.conf."""
        script = 'mount --make-rprivate / && mount --bind "$0" /etc/resolv.conf && exec "$@"'
        return self.run(name, "unshare", "-m", "sh", "-c", script, str(resolv), *words)


def lose(name: str, device: str, percent: float) -> None:
    """Lose packets at random on a device of a namespace: with netem, or what comes in where the kernel has none."""
    lost, gone = f"lost-{device}", f"gone-{device}"

    def done(text: str, check: bool = True, code: str = "") -> bool:
        words = [code if word == "CODE" else word for word in text.split()]
        command = ["ip", "netns", "exec", name, *words]
        return not subprocess.run(command, check=check, capture_output=True).returncode

    # A sender may hand many datagrams to the device as one: each shall be lost by itself.
    done(f"ip link set {device} gso_max_segs {1 if percent else 65535}")
    for text in (f"tc qdisc del dev {device} root", f"tc qdisc del dev {device} clsact", f"ip link del {lost}"):
        done(text, check=False)
    if not percent or done(f"tc qdisc add dev {device} root netem loss {percent}%", check=False):
        return
    # A filter of four instructions takes a random number (at 0xFFFFF038) and leads a share of the packets astray.
    kept = int((1 << 32) * (1 - percent / 100)) - 1
    for text in (
        f"ip link add {lost} type veth peer name {gone}",
        f"ip link set {lost} up",
        f"ip link set {gone} up",
        f"tc qdisc add dev {device} clsact",
        f"tc filter add dev {device} ingress bpf bytecode CODE action mirred egress redirect dev {lost}",
    ):
        done(text, code=f"4,32 0 0 {0xFFFFF038},53 0 1 {kept},6 0 0 1,6 0 0 0,")


class Net(Namespaces):
    """A router and a client, joined by two links; the client also has an address of a foreign network.

    router lan0 10.77.1.1/24, fd77:1::1/64 -- client up0 10.77.1.2/24
    router wan0 10.77.2.1/24               -- client up1 10.77.2.2/24
    client lo 192.0.2.5, which the router reaches by lan0
    """

    def __init__(self, directory: pathlib.Path) -> None:
        super().__init__(directory, "r", "c")
        self.router, self.client = self.names

    def connect(self) -> None:
        self.join("lan0", "up0")
        self.join("wan0", "up1")
        for name, text in (
            (self.router, "addr add 10.77.1.1/24 dev lan0"),
            (self.router, "addr add fd77:1::1/64 dev lan0 nodad"),
            (self.router, "addr add 10.77.2.1/24 dev wan0"),
            (self.client, "addr add 10.77.1.2/24 dev up0"),
            (self.client, "addr add fd77:1::2/64 dev up0 nodad"),
            (self.client, "addr add 10.77.2.2/24 dev up1"),
            (self.client, "addr add 192.0.2.5/32 dev lo"),
            (self.router, "route add 192.0.2.0/24 via 10.77.1.2"),
        ):
            self.ip(name, text)

    def join(self, ours: str, theirs: str) -> None:
        self.link(ours, self.router, theirs, self.client)


# -- DHCP clients --------------------------------------------------------------------

# Appends a line for each event, after it has set the address as such a script must.  What
# is in the file `names` is looked up before the event is told: a client may rely on its name.
CLIENT_SCRIPT = """#!/bin/sh
event=$(echo "$1$reason" | tr A-Z a-z)
address=$ip$new_ip_address
server=${dns:-${new_domain_name_servers:-$serverid$new_dhcp_server_identifier}}
case $event in
bound|renew|rebind|reboot)
    ip -4 addr replace "$address/24" dev up0
    [ -z "$router$new_routers" ] || ip -4 route replace default via "$router$new_routers"
    if [ -s $DIR/names ]; then
        for name in $(cat $DIR/names) "$(echo "$address" | awk -F. '{print $4"."$3"."$2"."$1".in-addr.arpa PTR"}')"; do
            dig +short +tries=1 +time=2 "@$server" $name
        done >$DIR/looked-up 2>&1
    fi ;;
deconfig|expire|fail|release|stop|nak|timeout) ip -4 addr flush dev up0 ;;
esac
echo "$event;$address;$router$new_routers;$server;$domain$new_domain_name;$lease$new_dhcp_lease_time;\\
$serverid$new_dhcp_server_identifier;$hostname$new_host_name" >>$DIR/events
"""
DHCLIENT_CONF = """initial-interval 1;
timeout 20;
retry 1;
reboot 2;
select-timeout 0;
backoff-cutoff 2;
request subnet-mask, routers, domain-name, domain-name-servers, host-name, dhcp-renewal-time, dhcp-rebinding-time;
"""
DHCPCD_CONF = "noipv4ll\nnoarp\nnodelay\nretry 1\noption domain_name_servers, domain_name, routers, host_name\n"
# dhcpcd keeps its state where no option can move it.
OWN_RUN = 'mount --bind "$0/run" /run && mount --bind "$0/state" /var/lib/dhcpcd && exec "$@"'
DHCP_CLIENTS = {
    "udhcpc": "udhcpc -f -i up0 -t 20 -T 1 -A 1 -s $DIR/script -p $DIR/pid",
    "dhclient": "dhclient -d -4 -cf $DIR/dhclient.conf -lf $DIR/leases -pf $DIR/pid -sf $DIR/script up0",
    "dhcpcd": "unshare -m sh -c OWN_RUN $DIR dhcpcd -4 -B -f $DIR/dhcpcd.conf -c $DIR/script up0",
}


@dataclass
class ClientEvent:
    """What a client's script was told; the seconds of the lease as text."""

    event: str
    address: str
    router: str
    dns: str
    domain: str
    seconds: str
    server: str
    host: str


class DhcpClient:
    """A real DHCP client on up0 of a namespace of its own, with its files in a directory of its own.

    `name` is the host name that it tells, `client_id` hex digits with colons.
    """

    def __init__(
        self, net: Namespaces, namespace: str, directory: pathlib.Path, kind: str, name: str = "", client_id: str = ""
    ) -> None:
        self.net, self.namespace, self.directory, self.kind = net, namespace, directory, kind
        self.process: subprocess.Popen[bytes] | None = None
        self.read = 0
        for part in ("run", "state"):
            (directory / part).mkdir(parents=True, exist_ok=True)
        script = directory / "script"
        script.write_text(CLIENT_SCRIPT.replace("$DIR", str(directory)))
        script.chmod(0o755)
        self.more: list[str] = []
        getattr(self, f"_identity_{kind}")(name, client_id)

    def _identity_udhcpc(self, name: str, client_id: str) -> None:
        self.more = ["-x", f"hostname:{name}"] if name else []
        if client_id:
            self.more += ["-C", "-x", "0x3d:" + client_id.replace(":", "")]

    def _identity_dhclient(self, name: str, client_id: str) -> None:
        text = DHCLIENT_CONF + (f'send host-name "{name}";\n' if name else "")
        text += f"send dhcp-client-identifier {client_id};\n" if client_id else ""
        (self.directory / "dhclient.conf").write_text(text)

    def _identity_dhcpcd(self, name: str, client_id: str) -> None:
        text = DHCPCD_CONF + (f"hostname {name}\n" if name else "") + f"clientid {client_id}\n"
        (self.directory / "dhcpcd.conf").write_text(text)

    def command(self) -> list[str]:
        words = DHCP_CLIENTS[self.kind].replace("$DIR", str(self.directory)).split()
        words = [OWN_RUN if word == "OWN_RUN" else word for word in words]
        return ["ip", "netns", "exec", self.namespace, *words, *self.more]

    def start(self) -> DhcpClient:
        with (self.directory / "output").open("ab") as output:
            self.process = subprocess.Popen(
                self.command(), stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
            )
        return self

    def events(self) -> list[ClientEvent]:
        path = self.directory / "events"
        text = path.read_text() if path.exists() else ""
        return [ClientEvent(*line.split(";")) for line in text.splitlines()[self.read :]]

    def wait(self, *wanted: str, seconds: float = 15) -> ClientEvent:
        """Wait for the next event of these kinds; those before it count as read."""

        def found() -> ClientEvent | None:
            for number, event in enumerate(self.events(), 1):
                if event.event in wanted:
                    self.read += number
                    return event
            return None

        try:
            result: ClientEvent = wait_until(found, seconds, f"{self.kind} says {wanted}")
        except AssertionError as error:
            heard = [event.event for event in self.events()]
            raise AssertionError(f"{error}; it said {heard}: {self.output()[-1500:]}") from None
        return result

    def output(self) -> str:
        return (self.directory / "output").read_text("latin-1")

    def bound(self) -> ClientEvent:
        return self.wait("bound", "reboot")

    def renew(self) -> ClientEvent:
        """Renew the lease; dhclient can only wait until it is time."""
        assert self.process is not None
        if self.kind != "dhclient":
            self.process.send_signal(signal.SIGUSR1)
        return self.wait("renew", "bound", "reboot")

    def release(self, again: bool = False) -> None:
        assert self.process is not None
        if self.kind == "dhclient":
            words = [*self.command()[:4], "dhclient", "-r", *self.command()[6:]]
            subprocess.run(words, capture_output=True, check=False)
        else:
            self.process.send_signal(signal.SIGUSR2 if self.kind == "udhcpc" else signal.SIGALRM)
        try:
            self.wait("deconfig", "stop", "release", seconds=5)
        except AssertionError:  # a client whose script ran just then may have missed the signal
            if again:
                raise
            self.release(again=True)

    def looked_up(self) -> list[str]:
        """What DNS said to the script just before the last event."""
        return (self.directory / "looked-up").read_text().splitlines()

    def stop(self) -> None:
        """End it without a word to the server, and its helpers, the only programs in its namespace."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None
        found = subprocess.run(["ip", "netns", "pids", self.namespace], capture_output=True, text=True, check=False)
        for pid in found.stdout.split():
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)
        self.net.ip(self.namespace, "-4 addr flush dev up0")
        self.net.ip(self.namespace, "-4 route flush table main")
