"""What comes with the program, tried as its readers would: dnsmasq.conf, README.md, start scripts, licence."""

from __future__ import annotations

import contextlib
import grp
import os
import pathlib
import pwd
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator

import pytest

import dnswire
import pydnsmasq as p
from dnssec_zones import TOOLS, Hierarchy
from harness import (
    OURS_KIND,
    PROGRAM,
    REAL,
    ROOT,
    Daemon,
    MockReply,
    MockUpstream,
    ask,
    free_port,
    need,
    need_tool,
    run_program,
    wait_until,
)
from pure import Dhcp, at, dhcp_message

pytestmark = pytest.mark.skipif(OURS_KIND == "real", reason="about our own files")

CONF = ROOT / "dnsmasq.conf"
README = (ROOT / "README.md").read_text()
INIT = ROOT / "init.d" / "dnsmasq"
EXAMPLES = [line[1:] for line in CONF.read_text().splitlines() if re.match(r"#[a-z0-9]", line)]
# Not for a file, or another name of something that is there.
NOT_IN_FILE = {"version", "help", "test", "domain-suffix", "dhcp-lease"}


def option_name(line: str) -> str:
    return line.partition("=")[0]


# -- dnsmasq.conf ------------------------------------------------------------------


def test_the_file_as_it_is() -> None:
    done = run_program("--test", "-C", str(CONF))
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "dnsmasq: syntax check OK.\n")
    config = p.config_load(["-C", str(CONF)], p.SystemSource()).config
    assert config is not None and set(config.given) <= {"conf-file"}


def test_its_lines_are_blank_comment_or_example() -> None:
    for number, line in enumerate(CONF.read_text().splitlines(), 1):
        assert line == "" or re.match(r"#( |$|[a-z0-9]|={70})", line), (number, line)
        assert (len(line) <= 80 or line.startswith("#trust-anchor=")) and line.isascii(), (number, line)
    names = [option_name(line) for line in EXAMPLES]
    assert set(names) <= set(p.OPTIONS), set(names) - set(p.OPTIONS)


def test_its_contents_are_its_headings() -> None:
    text = CONF.read_text()
    contents = re.findall(r"^#   ( \d|\d\d)  (\S.*)$", text, re.M)
    headings = re.findall(r"^# ={70,}\n# ( \d|\d\d)  (\S.*)\n# ={70,}$", text, re.M)
    assert contents and contents == headings


def test_every_option_that_works_is_in_the_file() -> None:
    works = {row.name for row in p.OPTION_ROWS if row.status == "works"} - NOT_IN_FILE
    assert works - {option_name(line) for line in EXAMPLES} == set()


def test_no_example_of_what_does_not_work() -> None:
    assert [line for line in EXAMPLES if p.OPTIONS[option_name(line)].status != "works"] == []


def test_its_last_part_names_what_does_not_work() -> None:
    """Each option that is not built yet is named, or covered by `begin with x-`."""
    part = re.split(r"^# \d\d  What is not at work yet$", CONF.read_text(), flags=re.M)[1]
    begins = tuple(re.findall(r"begin\s(?:#\s+)?with ([a-z0-9]+-)", part))
    for row in p.OPTION_ROWS:
        named = re.search(rf"(?<![\w-]){re.escape(row.name)}(?![\w-])", part) is not None
        if row.status == "works":
            assert not named, row.name
        elif row.area != "obsolete":
            assert named or row.name.startswith(begins), row.name


def here(line: str, directory: pathlib.Path) -> str:
    """An example with its paths, accounts and port replaced by some that exist on this machine."""
    name, mark, value = line.partition("=")
    if name in ("conf-file", "addn-hosts", "servers-file", "resolv-file", "dhcp-hostsfile", "dhcp-optsfile"):
        path = directory / name
        path.touch()
        value = str(path)
    elif name in ("conf-dir", "hostsdir", "dhcp-hostsdir", "dhcp-optsdir"):
        path = directory / (name + ".d")
        path.mkdir(exist_ok=True)
        value = str(path) + "".join(value.partition(",")[1:])
    elif name == "tftp-root":
        value = str(directory) + "".join(value.partition(",")[1:])
    elif name in ("log-facility", "dumpfile", "pid-file", "dhcp-leasefile", "dnssec-timestamp"):
        value = str(directory / name)
    elif name == "dhcp-script":
        value = shutil.which("true") or "/bin/true"
    elif name in ("user", "dhcp-scriptuser") and value not in {entry.pw_name for entry in pwd.getpwall()}:
        value = pwd.getpwuid(os.getuid()).pw_name
    elif name == "group" and value not in {entry.gr_name for entry in grp.getgrall()}:
        value = grp.getgrgid(os.getgid()).gr_name
    return name + mark + value


NEEDS = {  # what the text of an example says that it needs
    "auth-zone": "auth-server=ns.home.example,wan0",
    "dhcp-fqdn": "domain=home.example",
    "dnssec": "trust-anchor=.,20326,8,2," + "E0" * 32,
}


@pytest.mark.parametrize("line", EXAMPLES)
def test_an_example_alone(line: str, tmp_path: pathlib.Path) -> None:
    conf = tmp_path / "conf"
    conf.write_text(here(line, tmp_path) + "\n" + NEEDS.get(option_name(line), "") + "\n")
    source = p.SystemSource()
    result = p.config_load(["-C", str(conf)], source)
    assert result.problems == () and result.config is not None
    assert p.config_check(result.config, source) == ()
    assert option_name(line) in result.config.given


# The keys of the root zone, as IANA publishes them.
ROOT_KEYS = {
    2017: "AwEAAaz/tAm8yTn4Mfeh5eyI96WSVexTBAvkMgJzkKTOiW1vkIbzxeF3+/4RgWOq7HrxRixHlFlExOLAJr5emLvN7SWXgnLh4+B5xQlNVz8O"
    "g8kvArMtNROxVQuCaSnIDdD5LKyWbRd2n9WGe2R8PzgCmr3EgVLrjyBxWezF0jLHwVN8efS3rCj/EWgvIWgb9tarpVUDK/b58Da+sqqls3eNbuv7"
    "pr+eoZG+SrDK6nWeL3c6H5Apxz7LjVc1uTIdsIXxuOLYA4/ilBmSVIzuDWfdRUfhHdY6+cn8HFRm+2hM8AnXGXws9555KrUB5qihylGa8subX2Nn"
    "6UwNR1AkUTV74bU=",
    2024: "AwEAAa96jeuknZlaeSrvyAJj6ZHv28hhOKkx3rLGXVaC6rXTsDc449/cidltpkyGwCJNnOAlFNKF2jBosZBU5eeHspaQWOmOElZsjICMQMC3"
    "aeHbGiShvZsx4wMYSjH8e7Vrhbu6irwCzVBApESjbUdpWWmEnhathWu1jo+siFUiRAAxm9qyJNg/wOZqqzL/dL/q8PkcRU5oUKEpUge71M3ej2/7"
    "CPqpdVwuMoTvoB+ZOT4YeGyxMvHmbrxlFzGOHOijtzN+u1TQNatX2XBuzZNQ1K+s2CXkPIZo7s6JgZyvaBevYtxPvYLw4z9mR7K2vaF18UYH9Z9G"
    "NUUeayffKC73PYc=",
}


def test_the_anchors_are_those_of_the_root() -> None:
    """In dnsmasq.conf and in the README: the DS of the root's keys, worked out from these."""
    lines = [line for line in EXAMPLES if line.startswith("trust-anchor=.,")]
    anchors = [p.value_trust_anchor(line.partition("=")[2]) for line in lines]
    assert anchors == [p.value_trust_anchor(f".,257,3,8,{key}") for key in ROOT_KEYS.values()]
    assert blocks("DNSSEC", "ini")[0].splitlines() == ["dnssec", *lines]


def test_the_two_forms_of_an_anchor() -> None:
    """The DS and the DNSKEY of dnsmasq.conf are of one key, the example of RFC 8080 s.6.1."""
    anchors = [line.partition("=")[2] for line in EXAMPLES if re.match(r"trust-anchor=\w+\.example,", line)]
    ds, key = [p.value_trust_anchor(text.replace("lab.example", "corp.example")) for text in anchors]
    assert (ds, ds.key_tag) == (key, 3613)


QUESTIONS = {  # what the text of the examples promises
    "nas.home.example A": "198.51.100.10",
    "nas.home.example AAAA": "2001:db8:1::10",
    "www.home.example A": "198.51.100.10",
    "printer.home.example A": "198.51.100.20",
    "a.printer.home.example AAAA": "2001:db8:1::20",
    "ads.example A": "0.0.0.0",
    "ads.example AAAA": "::",
    "x.tracker.example A": "NXDOMAIN",
    "nowhere.home.example A": "NXDOMAIN",
    "20.100.51.198.in-addr.arpa PTR": "printer.home.example",
    "10.100.51.198.in-addr.arpa PTR": "nas",
    "10.0.168.192.in-addr.arpa PTR": "NXDOMAIN",
    "home.example MX": "mail.home.example",
    "_ldap._tcp.corp.example SRV": "ldap.corp.example",
    "home.example TXT": "v=spf1 mx -all",
    "host-198-51-100-64.home.example A": "198.51.100.64",
    "64.100.51.198.in-addr.arpa PTR": "host-198-51-100-64.home.example",
    "plain A": "NXDOMAIN",
}


@pytest.mark.parametrize(
    ("without", "foreground"),
    [
        ({"bind-interfaces", "keep-in-foreground", "leasefile-ro", "query-port"}, "-k"),
        ({"bind-dynamic", "no-daemon", "conntrack"}, "-d"),
        ({"bind-interfaces", "bind-dynamic", "no-daemon", "leasefile-ro", "query-port"}, "-k"),
    ],
    ids=["bind-dynamic", "bind-interfaces", "wildcard"],
)
def test_all_examples_together(without: set[str], foreground: str, tmp_path: pathlib.Path) -> None:
    """Everything switched on at once starts, and answers as the text says."""
    tmp_path.chmod(0o755)
    left_out = {*without, "port", "log-facility", "no-ident", "no-daemon", "pid-file", "cache-size"}
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as tftp:
            tftp.bind(("0.0.0.0", p.TFTP_PORT))
    except OSError:  # not root, or there is another TFTP server
        left_out.add("enable-tftp")
    if os.geteuid():
        left_out |= {"ipset", "nftset", "conntrack", "connmark-allowlist-enable"}
    # An address literal or a server for all plain names would hide what the questions are about.
    lines = [here(line, tmp_path) for line in EXAMPLES if option_name(line) not in left_out]
    lines = [line for line in lines if line not in ("server=//192.0.2.53", "user=nobody", "group=daemon")]
    daemon = Daemon(tmp_path, "\n".join(lines) + "\n", foreground=foreground)
    daemon.spawn()
    try:
        reply = wait_until(lambda: not daemon.alive() or ask(daemon.port, "nas.home.example", seconds=1), 20)
        assert reply is not True, daemon.stderr() + daemon.log()
        wrong = {}
        for question, expected in QUESTIONS.items():
            name, kind = question.split()
            got = daemon.ask(name, kind)
            text = " ".join(str(record) for record in got.answer)
            found = got.rcode == expected if expected.isupper() else expected in text
            if not found:
                wrong[question] = (expected, got.rcode, text)
        assert wrong == {}
        daemon.wait_log(r"query\[A\] nas\.home\.example")
        log = daemon.log()
        assert "Traceback" not in log + daemon.stderr()
        assert "not at work yet" not in log and "internal error" not in log
        assert "DHCP, IP range 198.51.100.100 -- 198.51.100.199, lease time 12h" in log
        assert ("TFTP root is" in log) == ("enable-tftp" not in left_out)
        assert (tmp_path / "dhcp-leasefile").exists() == ("leasefile-ro" in without)
        daemon.signal(signal.SIGHUP)
        assert daemon.ask("nas.home.example").answer
        daemon.wait_log("read .*/addn-hosts", count=2)
    finally:
        daemon.stop()


# -- README.md ---------------------------------------------------------------------


def blocks(heading: str, kind: str) -> list[str]:
    """The examples of a kind (sh, ini) under a heading."""
    return re.findall(rf"^```{kind}\n(.*?)^```$", part(heading), re.M | re.S)


def part(heading: str) -> str:
    """What is under a heading."""
    found = re.search(rf"^## {re.escape(heading)}\n(.*?)(?=^## |\Z)", README, re.M | re.S)
    assert found is not None, heading
    return found[1]


def commands(heading: str) -> list[str]:
    """The lines of the shell examples under a heading, continued lines joined, comments left out."""
    text = "\n".join(blocks(heading, "sh")).replace("\\\n", " ")
    return [line for line in text.splitlines() if line and not line.startswith("#")]


def table(heading: str) -> list[list[str]]:
    """The rows of all tables under a heading, without the heads."""
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in part(heading).splitlines() if line[:1] == "|"
    ]
    heads = [number for number, row in enumerate(rows) if set(row[0]) == {"-"}]
    return [row for number, row in enumerate(rows) if number not in heads and number + 1 not in heads]


def test_it_names_what_is_there() -> None:
    there = {path.name for path in ROOT.iterdir() if path.name[0] != "." and path.name != "__pycache__"}
    for name in there - {"README.md"}:
        assert re.search(rf"`{re.escape(name)}/?`", README), name
    for row in table("What is where"):
        name = re.fullmatch(r"`([^`]+)`", row[0])
        assert name is not None and (ROOT / name[1]).exists(), row
    assert {row[0].strip("`/") for row in table("What is where")} >= there - {"LICENSE", "README.md"}


def test_paths_in_it_exist() -> None:
    for name in re.findall(r"`((?:tests|init\.d|openwrt)/[^`\s]*)`", README):
        assert (ROOT / name).exists(), name


def test_options_in_it_exist() -> None:
    for row in table("What differs from dnsmasq"):
        for name in re.findall(r"`([^`]+)`", row[0]):
            assert name in p.OPTIONS, name
    for name in re.findall(r"(?<=[\s`])--([a-z][a-z0-9-]+)", README.partition("## Put it")[0]):
        assert name in p.OPTIONS, name


FEATURES = {  # words of a row of the table, areas of the options
    "DNS forwarding": {"dns"},
    "Local names": {"dns-local"},
    "Authoritative zones": {"dns-auth"},
    "Configuration files": {"config"},
    "DHCP for IPv4": {"dhcp4"},
    "DHCP for IPv6": {"dhcp6", "ra"},
    "TFTP": {"tftp", "pxe"},
    "DNSSEC": {"dnssec"},
}


@pytest.mark.parametrize("words", FEATURES)
def test_its_table_of_features_is_true(words: str) -> None:
    (row,) = [row for row in table("What works") if row[0].startswith(words)]
    rows = [item for item in p.OPTION_ROWS if item.area in FEATURES[words] and item.target != "domain"]
    statuses = [item.status for item in rows]
    usual = max(set(statuses), key=statuses.count)
    assert row[1].startswith("works" if usual == "works" else "options are accepted"), (row, usual)
    # The few others have a row of their own, or belong to DHCP as well.
    assert {item.name for item in rows if item.status != usual} <= {"umbrella", "dhcp-boot"}


@pytest.mark.parametrize("words", ["Scripts", "Sets of the firewall", "OpenWrt's bus", "D-Bus"])
def test_its_rows_of_single_options_are_true(words: str) -> None:
    (row,) = [row for row in table("What works") if row[0].startswith(words)]
    statuses = {p.OPTIONS[name].status for name in re.findall(r"`([^`]+)`", row[0]) if name in p.OPTIONS}
    assert statuses == {"works" if row[1] == "works" else "later"}


def test_compile_time_options_are_what_works() -> None:
    tokens = p.COMPILE_OPTIONS.split()
    for token, area in (("DHCP", "dhcp4"), ("DHCPv6", "dhcp6"), ("TFTP", "tftp"), ("DNSSEC", "dnssec")):
        works = {row.status for row in p.OPTION_ROWS if row.area == area and row.target != "domain"} == {"works"}
        assert (token in tokens, f"no-{token}" in tokens) == (works, not works)
    for token, option in (
        ("DBus", "enable-dbus"),
        ("UBus", "enable-ubus"),
        ("conntrack", "conntrack"),
        ("loop-detect", "dns-loop-detect"),
        ("dumpfile", "dumpfile"),
        ("auth", "auth-zone"),
        ("ipset", "ipset"),
        ("nftset", "nftset"),
    ):
        assert (token in tokens) == (p.OPTIONS[option].status == "works"), token
    assert "no-ipset" not in tokens and "no-nftset" not in tokens


def test_exit_codes_are_those_of_the_program() -> None:
    words = {int(re.match(r"\d+", row[0])[0]): row[1] for row in table("Exit codes")}  # type: ignore[index]
    assert set(words) == {
        p.EXIT_OK, p.EXIT_CONFIG, p.EXIT_NETWORK, p.EXIT_FILE, p.EXIT_MEMORY, p.EXIT_MISC, p.EXIT_SCRIPT,
    }  # fmt: skip
    assert "configuration" in words[p.EXIT_CONFIG] and "network" in words[p.EXIT_NETWORK]
    assert "file" in words[p.EXIT_FILE] and "memory" in words[p.EXIT_MEMORY] and "command" in words[p.EXIT_SCRIPT]


def test_no_talk_of_the_makers_tools() -> None:
    """Files that ship say nothing of where they were made."""
    for path in [CONF, INIT, ROOT / "README.md", *(ROOT / "openwrt").rglob("*")]:
        if path.is_file():
            assert not re.search(r"/work/|/home/|/root/", path.read_text()), path


@contextlib.contextmanager
def first_command(port: int, *more: str) -> Iterator[subprocess.Popen[bytes]]:
    """The README's first command, word for word but for the port, with `more` behind it."""
    (line,) = [line for line in commands("Try it") if "pydnsmasq.py" in line]
    words = [str(port) if word == "5300" else word for word in shlex.split(line)]
    assert words[:2] == ["python3", "pydnsmasq.py"] and str(port) in words
    words[:2] = [sys.executable, str(PROGRAM)]
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen([*words, *more], cwd=ROOT, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
        try:
            wait_until(lambda: ask(port, "version.bind", "TXT", "CH", seconds=1), what="the first command")
            yield process
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(5)
            output.seek(0)
            process.terminal = output.read().decode()  # type: ignore[attr-defined]


def test_the_first_command() -> None:
    """Start, ask by the line of Python, ask again: an address, `cached`, nothing alarming, an end by Ctrl-C."""
    port = free_port()
    (line,) = [line for line in commands("Try it") if line.startswith("python3 -c")]
    question = [sys.executable, *shlex.split(line.replace("5300", str(port)))[1:]]

    def zone(question: dnswire.DnsQuestion, query: dnswire.DnsMessage) -> MockReply:
        return MockReply(answer=[dnswire.record(f"{question.name} 300 A 198.18.0.1")])

    with MockUpstream(zone) as upstream, first_command(port, "-R", "-S", f"127.0.0.1#{upstream.port}") as process:
        for _ in range(2):
            done = subprocess.run(question, capture_output=True, text=True, timeout=10, check=True)
            assert (done.stdout, done.stderr) == ("198.18.0.1\n", "")
    terminal = process.terminal  # type: ignore[attr-defined]
    assert "forwarded example.com" in terminal and "cached example.com is 198.18.0.1" in terminal
    assert not re.search("overflow|lost|error|Traceback|fail", terminal), terminal


def test_the_line_of_python_without_an_answer() -> None:
    """No upstream server: the line of Python says so, and prints no made-up address."""
    port = free_port()
    (line,) = [line for line in commands("Try it") if line.startswith("python3 -c")]
    with first_command(port, "-R", "--local=/com/"):
        done = subprocess.run(
            [sys.executable, *shlex.split(line.replace("5300", str(port)))[1:]],
            capture_output=True, text=True, timeout=10, check=False,
        )  # fmt: skip
    assert "no address" in done.stdout and not re.search(r"\d+\.\d+", done.stdout)


def test_the_check_before_taking_over(tmp_path: pathlib.Path) -> None:
    (line,) = [line for line in commands("Put it in the place of dnsmasq") if "--test" in line]
    (tmp_path / "dnsmasq.conf").write_text("domain-needed\n")
    directory = tmp_path / "dnsmasq.d"
    directory.mkdir()
    (directory / "local.conf").write_text("cache-size=1000\n")
    (directory / "old.dpkg-old").write_text("nonsense\n")
    words = shlex.split(line.replace("/etc/", f"{tmp_path}/"))
    assert words[:2] == ["python3", "pydnsmasq.py"]
    done = run_program(*words[2:])
    assert (done.returncode, done.stderr) == (0, "dnsmasq: syntax check OK.\n")
    (directory / "local.conf").write_text("cache-sise=1000\nno-resolve\n")
    done = run_program(*words[2:])
    assert done.returncode == 1
    assert "did you mean 'cache-size'?" in done.stderr and "did you mean 'no-resolv'?" in done.stderr


# -- booting from the network --------------------------------------------------------

PAGE = "Boot a machine over the network"


def recipe(words: str) -> list[str]:
    """The examples of the paragraph of dnsmasq.conf that begins with these words."""
    (lines,) = re.findall(rf"^# Recipe: {words}.*\n(?:# .*\n)*((?:#\w.*\n)+)", CONF.read_text(), re.M)
    return [line[1:] for line in lines.splitlines()]


def boot_conf(marker: str = "", *without: str) -> list[str]:
    """The README's boot.conf; or with the change that has `marker`, in place of the lines that begin like `without`."""
    first, *changes = [block.splitlines() for block in blocks(PAGE, "ini")]
    if not marker:
        return first
    (change,) = [lines for lines in changes if marker in "\n".join(lines)]
    places = [number for number, line in enumerate(first) if line.startswith(without or "dhcp-leasefile")]
    kept = [line for line in first[places[0] :] if not line.startswith(without or "=")]
    return first[: places[0]] + change + kept


RANGE = "dhcp-range=198.51.100.100,198.51.100.199"
PXE = "vendor=PXEClient"
IPXE = "vendor=PXEClient o175=b10101"
PI = "b827eb010203"
BOOTS = {  # configuration; a machine: its address, option 93 and what else it sends, what it gets, or "!" and what not
    "dnsmasq.conf, recipes of a range": (
        [RANGE, *recipe("BIOS and UEFI"), *recipe("iPXE"), *recipe("UEFI that loads")],
        {
            f"m1 o93=0000 {PXE}": "undionly.kpxe",
            f"m1 o93=0007 {PXE}": "snponly.efi",
            f"m1 o93=0009 {PXE}": "snponly.efi",
            f"m1 o93=000b {PXE}": "snponly-arm64.efi",
            f"m1 o93=0000 {IPXE}": "boot.ipxe",
            f"m1 o93=0007 {IPXE}": "boot.ipxe",
            "m1 o93=0010 vendor=HTTPClient": "http://198.51.100.6/ipxe.efi HTTPClient",
        },
    ),
    "dnsmasq.conf, recipe of the proxy": (
        [*recipe("iPXE"), *recipe("another DHCP server")],
        {
            f"m1 o93=0000 {PXE}": "Boot_with_iPXE",
            f"m1 o93=0000 {IPXE}": "boot.ipxe 198.51.100.1",
            f"m1 o93=0007 ci=198.51.100.77 {PXE}": "snponly.efi 198.51.100.1",
            f"m1 o93=0007 {IPXE}": "boot.ipxe 198.51.100.1",
        },
    ),
    "dnsmasq.conf, recipe of the Raspberry Pi": (
        [RANGE, *recipe("Raspberry Pi")],
        {f"{PI} o93=0000 {PXE}": "Raspberry_Pi_Boot 198.51.100.1", f"m1 o93=0000 {PXE}": "!Raspberry_Pi_Boot"},
    ),
    "README": (
        boot_conf(),
        {
            f"m1 o93=0000 {PXE}": "undionly.kpxe 192.168.77.1",
            f"m1 o93=0007 {PXE}": "snponly.efi 192.168.77.1",
            f"m1 o93=0000 {IPXE}": "boot.ipxe 192.168.77.1",
            f"m1 o93=0007 {IPXE}": "boot.ipxe 192.168.77.1",
        },
    ),
    "README, beside another server": (
        boot_conf("proxy", "dhcp-range", "dhcp-authoritative", "dhcp-boot"),
        {
            f"m1 o93=0000 {PXE}": "iPXE",
            f"m1 o93=0000 {IPXE}": "boot.ipxe 192.168.77.1",
            f"m1 o93=0007 ci=192.168.77.77 {PXE}": "snponly.efi 192.168.77.1",
            f"m1 o93=0007 {IPXE}": "boot.ipxe 192.168.77.1",
        },
    ),
    "README, a menu": (
        boot_conf("pxe-prompt"),
        {
            f"m1 o93=0000 {PXE}": "Press_F8 Install_Debian Boot_from_the_disk",
            f"m1 o93=0007 {PXE}": "snponly.efi !Install_Debian",
            f"m1 o93=0000 {IPXE}": "boot.ipxe !Install_Debian",
        },
    ),
    "README, Secure Boot": (
        boot_conf("dhcp-no-override", "dhcp-boot=tag:efi,"),
        {
            f"m1 o93=0000 {PXE} prl=66,67": "undionly.kpxe",
            f"m1 o93=0007 {PXE} prl=66,67": "debian-installer/amd64/bootnetx64.efi",
        },
    ),
    "README, HTTP": (
        boot_conf("HTTPClient"),
        {
            "m1 o93=0010 vendor=HTTPClient": "http://192.168.77.1/snponly.efi HTTPClient",
            f"m1 o93=0007 {PXE}": "snponly.efi",
            f"m1 o93=0007 {IPXE}": "boot.ipxe",
        },
    ),
    "README, Raspberry Pi": (
        boot_conf("tag:pi", "dhcp-boot=undionly"),
        {
            f"{PI} o93=0000 {PXE}": "Raspberry_Pi_Boot 192.168.77.1",
            f"m1 o93=0000 {PXE}": "undionly.kpxe !Raspberry_Pi_Boot",
            f"m1 o93=0007 {PXE}": "snponly.efi",
            f"m1 o93=0000 {IPXE}": "boot.ipxe",
        },
    ),
    "README, Raspberry Pi alone": (
        boot_conf("pxe-service=0", "dhcp-boot"),
        {f"m1 o93=0000 {PXE}": "Raspberry_Pi_Boot 192.168.77.1"},
    ),
}


@pytest.mark.parametrize(("lines", "machines"), BOOTS.values(), ids=BOOTS)
def test_what_machines_boot(lines: list[str], machines: dict[str, str]) -> None:
    """The recipes have machines boot what their text says."""
    server = re.sub(r".*=([\d.]+\.)\d+,.*", r"\g<1>1", next(line for line in lines if "dhcp-range" in line))
    for machine, expected in machines.items():
        dhcp = Dhcp(*lines, interfaces=[at("lan0", server, 24)])
        kind = "discover"
        if "ci=" in machine:  # by port 4011
            kind, arrival = "request", dhcp.arrival([], dhcp_message(["request", "m1"]))
            arrival.pxe = True
            dhcp.arrival = lambda words, message, arrival=arrival: arrival  # type: ignore[method-assign]
        dhcp.send(f"{kind} {machine}")
        reply = dhcp.reply
        assert reply is not None, machine
        assert "dhcp-no-override" not in lines or reply.value(67) is None, machine
        fields = [reply.file.decode(), reply.siaddr, *(data.decode("latin-1") for _, data in reply.options)]
        for text in [word.replace("_", " ") for word in expected.split()]:
            assert any(text.lstrip("!") in field for field in fields) != text.startswith("!"), (machine, text, fields)


@pytest.mark.parametrize("lines", [boot for boot, _ in BOOTS.values()], ids=BOOTS)
def test_boot_files_are_sound(lines: list[str], tmp_path: pathlib.Path) -> None:
    conf = tmp_path / "conf"
    conf.write_text("".join(line + "\n" for line in lines))
    done = run_program("--test", "-C", str(conf))
    assert (done.returncode, done.stderr) == (0, "dnsmasq: syntax check OK.\n")


# -- the licence -------------------------------------------------------------------


def test_the_licence_is_mit() -> None:
    text = " ".join((ROOT / "LICENSE").read_text().split())
    assert text.startswith("MIT License Copyright (c) ")
    for words in (
        "Permission is hereby granted, free of charge, to any person obtaining a copy",
        "The above copyright notice and this permission notice shall be included in all copies",
        'THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND',
    ):
        assert words in text
    assert "MIT" in README and "PKG_LICENSE:=MIT" in (ROOT / "openwrt" / "Makefile").read_text()


# -- scripts -----------------------------------------------------------------------

START_FILES = [path for path in sorted(INIT.parent.iterdir()) if path.suffix != ".service"]
START_FILES.append(ROOT / "openwrt" / "test.sh")
SHELL_FILES = [*START_FILES, ROOT / "tests" / "run", ROOT / ".ci" / "run"]


@pytest.mark.parametrize("path", SHELL_FILES, ids=lambda path: "/".join(path.parts[-2:]))
def test_a_script_is_sound(path: pathlib.Path) -> None:
    shell = "bash" if "bash" in path.read_text().splitlines()[0] else "sh"
    need(shutil.which(shell), shell)
    subprocess.run([shell, "-n", str(path)], check=True, timeout=20)
    assert os.access(path, os.X_OK)


@pytest.mark.parametrize("path", START_FILES, ids=lambda path: path.name)
def test_shellcheck(path: pathlib.Path) -> None:
    if shutil.which("shellcheck") is None:
        pytest.skip("shellcheck is missing")
    dialect = [] if "shellcheck shell=" in path.read_text() else ["-s", "sh"]
    done = subprocess.run(["shellcheck", *dialect, str(path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_launcher_is_python() -> None:
    text = (ROOT / "openwrt" / "files" / "dnsmasq.launcher").read_text()
    compile(text, "dnsmasq.launcher", "exec")
    assert text.startswith("#!/usr/bin/python3 -sS\n")  # no env: a jail takes in the first path of this line


def test_the_package_has_the_programs_version() -> None:
    makefile = (ROOT / "openwrt" / "Makefile").read_text()
    assert re.search(r"^PKG_VERSION:=(.*)$", makefile, re.M)[1] == p.VERSION  # type: ignore[index]


# -- the machine of a Debian user --------------------------------------------------


class Machine:
    """This machine with private copies of what an installation changes, and a network of its own."""

    DIRECTORIES: tuple[str, ...] = ("/etc", "/usr/sbin", "/var/lib/dpkg")
    MORE = ""  # further commands that make it
    UNSHARE: tuple[str, ...] = ("unshare", "-m", "-n", "-p", "-f", "--mount-proc")
    FIRST = "exec /usr/bin/python3 -c 'import signal as s; s.signal(s.SIGCHLD, s.SIG_IGN); s.pause()'"

    def __init__(self) -> None:
        script = "set -e; mount -t tmpfs none /run; ip link set lo up\n"
        script += "mkdir -p /run/under && mount -t tmpfs none /run/under\n"
        for number, directory in enumerate(self.DIRECTORIES):
            base = f"/run/under/{number}"
            script += f"mkdir -p {base}/u {base}/w\n"
            script += f"mount -t overlay none -o lowerdir={directory},upperdir={base}/u,workdir={base}/w {directory}\n"
        script += f"{self.MORE}echo ready; {self.FIRST}\n"
        self._holder = subprocess.Popen(
            [*self.UNSHARE, "sh", "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        assert self._holder.stdout is not None and self._holder.stderr is not None
        if self._holder.stdout.readline() != b"ready\n":
            error = self._holder.stderr.read().decode()
            self.close()
            pytest.skip(f"no private mounts here: {error.strip()}")
        children = pathlib.Path(f"/proc/{self._holder.pid}/task/{self._holder.pid}/children").read_text()
        self._inside = int(children.split()[0])
        self.run("mkdir", "-p", "/run/source/init.d", "/etc/dnsmasq.d")
        self.copy(PROGRAM, "/run/source/pydnsmasq.py")
        self.copy(INIT, "/run/source/init.d/dnsmasq")

    def copy(self, source: pathlib.Path, target: str) -> None:
        self.write(target, source.read_text())
        self.run("chmod", "755", target)

    def write(self, path: str, text: str) -> None:
        self.run("sh", "-c", 'cat >"$1"', "sh", path, text=text)

    def run(self, *words: str, text: str = "", check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a command inside; give its output, both streams together, and its exit code."""
        inside = ["nsenter", "-t", str(self._inside), "-m", "-n", "-p", "--wdns=/run", *words]
        environment = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C"}
        done = subprocess.run(
            inside, input=text, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60,
            check=False, env=environment,
        )  # fmt: skip
        assert not check or done.returncode == 0, (words, done.returncode, done.stdout)
        return done

    def ask(self, name: str, port: int = 53) -> str:
        """The address of a name, "" when there is none, "silence" when nobody answers."""
        code = (
            "import socket as s,sys\nu=s.socket(s.AF_INET,s.SOCK_DGRAM);u.settimeout(1)\n"
            "u.connect(('127.0.0.1',int(sys.argv[1])))\n"
            "try: u.send(bytes.fromhex(sys.argv[2])); r=u.recv(512)\n"
            "except OSError: print('silence')\n"
            "else: print(s.inet_ntoa(r[-4:]) if r[7] else '')"
        )
        query = dnswire.build_query(name).hex()
        return self.run("/usr/bin/python3", "-c", code, str(port), query).stdout.strip()

    def close(self) -> None:
        """End every process inside: with the first one of a process namespace all others go."""
        inside = getattr(self, "_inside", 0)
        if inside:
            with contextlib.suppress(ProcessLookupError):
                os.kill(inside, signal.SIGKILL)
        self._holder.kill()
        self._holder.communicate()


@pytest.fixture
def machine() -> Iterator[Machine]:
    if not pathlib.Path("/etc/debian_version").exists():
        pytest.skip("the start script is for Debian")
    need(os.geteuid() == 0 and shutil.which("unshare") and shutil.which("nsenter"), "root, unshare and nsenter")
    if not shutil.which("ip"):
        pytest.skip("ip is missing")
    python = subprocess.run(
        ["/usr/bin/python3", "-c", "import sys; print(sys.version_info >= (3, 10))"], capture_output=True, check=False
    )
    if python.stdout != b"True\n":
        pytest.skip("there is no /usr/bin/python3 that is new enough")
    made = Machine()
    yield made
    made.close()


Script = Callable[..., tuple[int, str]]
PID_FILE = "/run/dnsmasq/dnsmasq.pid"


@pytest.fixture
def script(machine: Machine) -> Script:
    """The start script, with its settings for a copy of the program in /run/bin on a high port."""
    machine.run("mkdir", "-p", "/run/bin")
    machine.copy(PROGRAM, "/run/bin/dnsmasq")
    machine.write("/run/conf", "port=25353\nno-resolv\nno-hosts\naddn-hosts=/run/hosts\nlog-facility=/run/log\n")
    machine.write("/run/hosts", "10.1.2.3 rec.test\n")
    settings = "DAEMON=/run/bin/dnsmasq\nDNSMASQ_OPTS='-C /run/conf'\nDNSMASQ_USER=nobody\nIGNORE_RESOLVCONF=yes\n"
    machine.write("/etc/default/dnsmasq", settings)

    def call(action: str) -> tuple[int, str]:
        done = machine.run("/run/source/init.d/dnsmasq", action, check=False)
        return done.returncode, done.stdout

    return call


def test_start_status_reload_restart_stop(machine: Machine, script: Script) -> None:
    assert script("status") == (3, "dnsmasq is not running\n")
    code, text = script("start")
    assert code == 0, text
    assert "Starting DNS forwarder and DHCP server: dnsmasq" in text
    assert machine.ask("rec.test", 25353) == "10.1.2.3"  # at once: start returns when it listens
    pid = machine.run("cat", PID_FILE).stdout.strip()
    assert machine.run("cat", f"/proc/{pid}/comm").stdout == "dnsmasq\n"
    assert machine.run("stat", "-c", "%U", f"/proc/{pid}").stdout == "nobody\n"
    assert script("status") == (0, f"dnsmasq is running, process {pid}\n")
    code, text = script("start")
    assert code == 0 and "already running" in text
    assert machine.run("cat", PID_FILE).stdout.strip() == pid

    for action in ("reload", "force-reload"):
        address = {"reload": "10.1.2.4", "force-reload": "10.1.2.5"}[action]
        machine.write("/run/hosts", f"{address} rec.test\n")
        code, text = script(action)
        assert code == 0, text
        wait_until(lambda address=address: machine.ask("rec.test", 25353) == address, 5, action)
    assert script("status")[1] == f"dnsmasq is running, process {pid}\n"
    assert script("checkconfig")[0] == 0 and script("dump-stats")[0] == 0
    wait_until(lambda: "queries forwarded" in machine.run("cat", "/run/log").stdout, 5, "the statistics")

    code, text = script("restart")
    assert code == 0, text
    new = machine.run("cat", PID_FILE).stdout.strip()
    assert new != pid and machine.ask("rec.test", 25353) == "10.1.2.5"
    assert machine.run("test", "-d", f"/proc/{pid}", check=False).returncode == 1
    assert script("try-restart")[0] == 0 and machine.ask("rec.test", 25353) == "10.1.2.5"

    code, text = script("stop")
    assert code == 0, text
    assert machine.ask("rec.test", 25353) == "silence"
    assert machine.run("test", "-e", PID_FILE, check=False).returncode == 1
    assert script("status")[0] == 3
    code, text = script("stop")
    assert code == 0 and "not running" in text
    assert script("reload")[0] == 7
    assert script("try-restart")[0] == 0 and script("status")[0] == 3


def test_a_restart_is_refused_while_the_configuration_is_wrong(machine: Machine, script: Script) -> None:
    assert script("start")[0] == 0
    machine.write("/run/conf", "port=25353\nno-resolv\ncache-sise=5\n")
    code, text = script("restart")
    assert code == 6 and "/run/conf:3" in text and "did you mean 'cache-size'?" in text
    assert script("checkconfig")[0] == 6
    assert script("status")[0] == 0 and machine.ask("rec.test", 25353) == "10.1.2.3"
    assert script("reload")[0] == 0
    wait_until(lambda: "/run/conf:3" in machine.run("cat", "/run/log").stdout, 5, "the error in the log")
    assert machine.ask("rec.test", 25353) == "10.1.2.3"
    assert script("stop")[0] == 0
    code, text = script("start")
    assert code == 1 and "cache-sise" in text
    assert script("status")[0] == 3


def test_what_else_the_script_says(machine: Machine, script: Script) -> None:
    code, text = script("nonsense")
    assert code == 2 and "start|stop|restart|try-restart|reload|force-reload|status|checkconfig|dump-stats" in text
    machine.run("mkdir", "-p", "/run/dnsmasq")
    machine.write(PID_FILE, "1\n")  # another process has that number by now
    code, text = script("status")
    assert code == 1 and PID_FILE in text
    assert script("start")[0] == 0 and machine.ask("rec.test", 25353) == "10.1.2.3"
    pid = machine.run("cat", PID_FILE).stdout.strip()
    machine.run("kill", "-KILL", pid)
    wait_until(lambda: script("status")[0] == 1, 5, "the end")
    assert script("stop")[0] == 0 and script("status")[0] == 3
    default = machine.run("cat", "/etc/default/dnsmasq").stdout
    machine.write("/etc/default/dnsmasq", default + "ENABLED=0\n")
    code, text = script("start")
    assert code == 0 and "ENABLED=0" in text and script("status")[0] == 3
    machine.write("/etc/default/dnsmasq", default + "DAEMON=/run/bin/missing\n")
    assert script("start")[0] == 5 and script("stop")[0] == 0


def test_settings_of_the_script(machine: Machine, script: Script) -> None:
    """Interfaces, cache size and directory of the settings reach the program."""
    machine.run("mkdir", "-p", "/run/conf.d")
    machine.write("/run/conf.d/more", "host-record=dir.test,10.9.9.9\n")
    machine.write("/run/conf.d/old.dpkg-old", "nonsense\n")
    default = machine.run("cat", "/etc/default/dnsmasq").stdout
    more = "CONFIG_DIR=/run/conf.d,.dpkg-old\nCACHESIZE=77\nDNSMASQ_INTERFACE='lo nosuch0'\nDNSMASQ_EXCEPT=nosuch1\n"
    machine.write("/etc/default/dnsmasq", default + more)
    code, text = script("start")
    assert code == 0, text
    assert machine.ask("dir.test", 25353) == "10.9.9.9"
    log = machine.run("cat", "/run/log").stdout
    assert "cachesize 77" in log and "nosuch0" in log
    assert script("stop")[0] == 0


def test_the_root_keys_reach_the_program(machine: Machine, script: Script) -> None:
    """The line `dnssec` is enough where the system has the root's DS records; whatever else stands in their file."""
    machine.write("/run/conf", "port=25353\nno-resolv\ndnssec\nlog-facility=/run/log\n")
    default = machine.run("cat", "/etc/default/dnsmasq").stdout
    machine.write("/etc/default/dnsmasq", default + "ROOT_DS=/run/nowhere\n")
    assert script("checkconfig")[0] == 0, "as with dnsmasq, the anchors may come at the start"
    code, text = script("start")
    assert code != 0 and "no root trust anchor" in text
    machine.write("/etc/default/dnsmasq", default + "ROOT_DS=/run/root.ds\n")
    first, second = "E0" * 32, "68" * 32
    machine.write("/run/root.ds", f"; the root\n.\t172800 IN DS 20326 8 2 {first} \n\n. IN DS  38696 8 2 {second}\n")
    code, text = script("start")
    assert code == 0, text
    for tag in ("20326", "38696"):
        line = f"configured with trust anchor for <root> keytag {tag}"
        wait_until(lambda line=line: line in machine.run("cat", "/run/log").stdout, 5, line)
    assert script("stop")[0] == 0


def test_taking_over_and_going_back(machine: Machine) -> None:
    """The README's commands word for word, with the start script in the place of systemd."""
    if shutil.which("dpkg-divert") is None or not os.path.exists("/usr/sbin/dnsmasq"):
        pytest.skip("the package dnsmasq-base is not installed")
    before = machine.run("sha256sum", "/usr/sbin/dnsmasq").stdout
    machine.write("/etc/dnsmasq.conf", "no-resolv\nhost-record=rec.test,10.1.2.3\n")
    for line in commands("Put it in the place of dnsmasq"):
        words = shlex.split(line.removeprefix("sudo "))
        if words[0] == "systemctl":
            assert words == ["systemctl", "restart", "dnsmasq"]
            words = ["./init.d/dnsmasq", "restart"]
        done = machine.run("sh", "-c", 'cd source && exec "$@"', "sh", *words)
        if words[0] == "install":
            assert machine.run("/usr/sbin/dnsmasq", "--version").stdout == p.version_text()
            assert machine.run("/usr/sbin/dnsmasq.distrib", "--version").stdout != p.version_text()
        if words[-1] == "restart":
            assert machine.ask("rec.test") == "10.1.2.3", done.stdout
    assert machine.run("sha256sum", "/usr/sbin/dnsmasq").stdout == before
    assert machine.run("test", "-e", "/usr/sbin/dnsmasq.distrib", check=False).returncode == 1


# -- the first DHCP network --------------------------------------------------------

WALK = (  # how a command of the README begins (without sudo), what it must print
    ("ip netns exec client udhcpc", r"lease of 192\.168\.77\.(\d+) obtained from 192\.168\.77\.1, lease time 43200"),
    ("ip netns exec server dig", r"^192\.168\.77\.(\d+)\n$"),
    ("cat", r"^\d{10} (..:){5}.. 192\.168\.77\.\d+ laptop \S+\n$"),
    ("ip -n client link set eth0 address", r"^$"),
    ("ip netns exec client udhcpc", r"lease of 192\.168\.77\.20 obtained"),
    ("ip netns exec server dig", r"^192\.168\.77\.20\n$"),
)


def test_the_first_dhcp_network(machine: Machine) -> None:
    """The README's file and commands word for word, on a machine where nobody is disturbed."""
    for tool in ("ip", "udhcpc", "dig"):
        need(shutil.which(tool), tool)
    (conf,) = blocks("Your first DHCP network", "ini")
    machine.write("/run/first.conf", conf.replace("/tmp/", "/run/"))
    machine.run("cp", "/run/source/pydnsmasq.py", "/run")
    resolvers = machine.run("cat", "/etc/resolv.conf", check=False).stdout
    printed: list[tuple[str, str]] = []
    lines = commands("Your first DHCP network")
    cleaning = lines.index("sudo ip netns del client")
    for line in lines[:cleaning]:
        command = line.removeprefix("sudo ").replace("/tmp/", "/run/")
        if " -d " in command:
            machine.run("sh", "-c", f"{command} >server.log 2>&1 & echo $! >server.pid")
            wait_until(lambda: "DHCP, IP range" in machine.run("cat", "server.log").stdout, 10, "the server")
            printed.clear()
            continue
        printed.append((command, machine.run("sh", "-c", command).stdout))
    assert len(printed) == len(WALK)
    for (command, text), (begins, expected) in zip(printed, WALK, strict=True):
        assert command.startswith(begins) and re.search(expected, text), (command, text)
    log = machine.run("cat", "server.log").stdout
    assert re.search(r"DHCPACK\(lan0\) 192\.168\.77\.\d+ \S+ laptop\n", log)
    assert not re.search("Traceback|internal error|interface lan0", log), log
    machine.run("sh", "-c", "kill -INT $(cat server.pid)")
    for line in commands("Your first DHCP network")[cleaning:]:
        machine.run("sh", "-c", line.removeprefix("sudo ").replace("/tmp/", "/run/"))
    assert machine.run("ip", "netns").stdout == ""
    assert machine.run("cat", "/etc/resolv.conf", check=False).stdout == resolvers


def test_some_domains_through_a_vpn(machine: Machine) -> None:
    """The README's file, line and commands word for word; the VPN is a cable that ends nowhere."""
    need_tool("ip", "nft", "dig", "dnsmasq")
    page = "Some domains through a VPN"
    (rules,), (line,) = blocks(page, "nft"), blocks(page, "ini")
    machine.write("/run/vpn.nft", rules)
    for command in (
        "ip link add wg0 type veth peer name far",
        "ip link set far up",
        "ip link set wg0 up",
        "ip address add 10.9.0.2/24 dev wg0",
        f"{REAL} -C /dev/null -R -h -p 5400 -x '' -u root -A /example.com/203.0.113.7 -A /example.com/2001:db8::7",
    ):
        machine.run("sh", "-c", command)
    machine.write("/run/conf", f"no-resolv\nserver=127.0.0.1#5400\nuser=nobody\npid-file=/run/pid\n{line}")
    machine.copy(PROGRAM, "/run/dnsmasq")
    nft, *routes, asking, looking = [text.removeprefix("sudo ") for text in commands(page)]
    for command in (f"cd /run && {nft}", *routes, "/run/dnsmasq -C /run/conf"):
        machine.run("sh", "-c", command)
    assert machine.run("sh", "-c", asking).stdout == "203.0.113.7\n"
    assert machine.run("sh", "-c", f"{asking} AAAA").stdout == "2001:db8::7\n"
    assert "203.0.113.7 }" in machine.run("sh", "-c", looking).stdout
    assert "2001:db8::7 }" in machine.run("sh", "-c", looking.replace("4", "6")).stdout
    for address in ("203.0.113.7", "2001:db8::7"):
        assert " dev wg0 " in machine.run("ip", "route", "get", address, "mark", "1").stdout


@pytest.mark.slow
@pytest.mark.parametrize("firmware", ["BIOS", "UEFI"])
def test_a_boot_over_the_network(machine: Machine, firmware: str) -> None:
    """The README's files and commands word for word, but what is booted in the end is no system."""
    for tool in ("ip", "qemu-system-x86_64"):
        need(shutil.which(tool), tool)
    for path in ("/usr/lib/ipxe/snponly.efi", "/usr/share/ovmf/OVMF.fd"):
        need(os.path.exists(path), path)
    conf, (script,) = blocks(PAGE, "ini")[0], blocks(PAGE, "ipxe")
    machine.run("mount", "-t", "tmpfs", "none", "/srv")
    machine.run("cp", "/run/source/pydnsmasq.py", "/run")
    machine.write("/run/boot.conf", conf.replace("/tmp/", "/run/"))
    lines = [line.removeprefix("sudo ").replace("/tmp/", "/run/") for line in commands(PAGE)]
    expected = ["boot.ipxe", *re.findall(r"debian-installer/\S+", script)][:2]
    for line in lines:
        if line.startswith("cp -r /usr/lib/debian-installer"):
            machine.run("mkdir", "-p", f"/srv/tftp/{os.path.dirname(expected[1])}")
            machine.write(f"/srv/tftp/{expected[1]}", "no kernel\n")
            machine.write("/srv/tftp/boot.ipxe", script)
        elif " -d " in line:
            machine.run("sh", "-c", f"{line} >server.log 2>&1 & echo $! >server.pid")
            wait_until(lambda: "TFTP root is" in machine.run("cat", "server.log").stdout, 10, "the server")
        elif "qemu" in line and "apt-get" not in line:
            if firmware == "BIOS":
                line = re.sub(r"-bios \S+", "", line).replace(",romfile=", "")
            else:
                expected.insert(0, "snponly.efi")
            machine.run("sh", "-c", f"{line} </dev/null >serial 2>&1 & echo $! >qemu.pid")
            wait_until(
                lambda: f"sent /srv/tftp/{expected[-1]} " in machine.run("cat", "server.log").stdout, 120, "boot"
            )
            machine.run("sh", "-c", "kill $(cat qemu.pid); kill -INT $(cat server.pid)")
        elif not re.search("apt-get|/media/card|12345678", line):
            machine.run("sh", "-c", line)
    log = machine.run("cat", "server.log").stdout
    # A busy machine may ask twice, and a loader that runs does not always leave time for its last acknowledgement.
    sent = list(dict.fromkeys(re.findall(r"sent /srv/tftp/(\S+) to", log)))
    assert sent in (expected, expected[-2:]), log
    assert machine.run("ip", "netns").stdout == ""


DNSSEC_WALK = (  # what the README asks, what the hierarchy of the tests has in its place; flags and all that follows
    ("dig @127.0.0.1 example.com", "www.good.nsec", r"status: NOERROR.*flags:[^;]* ad;.*\sA\s+198\."),
    ("dig @127.0.0.1 dnssec-failed.org", "www.dsbad.nsec", r"status: SERVFAIL.*EDE: 9 \(DNSKEY Missing\)"),
    ("dig @127.0.0.1 +cd dnssec-failed.org", "www.dsbad.nsec", r"status: NOERROR.*flags:[^;]* cd;.*\sA\s+198\."),
)


def test_the_first_signed_answers(tmp_path: pathlib.Path) -> None:
    """The README's lines and commands about DNSSEC, with another root, other names and another port."""
    need_tool("dig", *TOOLS)
    assert commands("DNSSEC") == [line for line, _, _ in DNSSEC_WALK]
    (tmp_path / "zones").mkdir()
    hierarchy = Hierarchy(tmp_path / "zones")
    hierarchy.zones = {name: hierarchy.zones[name] for name in (".", "nsec", "good.nsec", "dsbad.nsec")}
    try:
        try:
            hierarchy.start()
        except PermissionError as error:
            need(False, f"port 53 ({error})")
        with Daemon(tmp_path, hierarchy.configuration()) as daemon:
            daemon.wait_log("DNSSEC validation enabled")
            for line, name, expected in DNSSEC_WALK:
                words = ["dig", "-p", str(daemon.port), "+tries=1", "+time=10", *line.split()[1:-1], name]
                done = subprocess.run(words, capture_output=True, text=True, timeout=15, check=True)
                assert re.search(expected, done.stdout, re.S), (line, done.stdout, daemon.log())
    finally:
        hierarchy.stop()


def test_the_script_in_it(tmp_path: pathlib.Path) -> None:
    """The script of the README says what its text says."""
    (text,) = re.findall(r"^```sh\n(#!/bin/sh\n.*?)^```$", README, re.M | re.S)
    script = tmp_path / "script"
    script.write_text(text)
    script.chmod(0o755)
    words = ["02:00:5e:00:53:01", "192.168.77.20", "printer"]
    environment = {**os.environ, "DNSMASQ_LEASE_EXPIRES": "1800000000"}
    for action, expected in {"add": "printer (192.168.77.20) is here until 1800000000\n", "old": "", "del": ""}.items():
        done = subprocess.run(
            [str(script), action, *words], env=environment, capture_output=True, text=True, check=True, timeout=10
        )
        assert (done.stdout, done.stderr) == (expected, "")


# -- found by trying ---------------------------------------------------------------


def test_a_start_in_the_background_lets_go_of_its_output(machine: Machine) -> None:
    """Whoever captures the output of the start sees its end, also with the helper that stays root."""
    machine.write("/run/conf", "no-resolv\nbind-dynamic\nhost-record=rec.test,10.1.2.3\npid-file=/run/pid\n")
    machine.copy(PROGRAM, "/run/dnsmasq")
    try:
        machine.run("timeout", "10", "sh", "-c", "/run/dnsmasq -C /run/conf 2>&1 | cat")
        assert machine.ask("rec.test") == "10.1.2.3"
    finally:
        machine.run("sh", "-c", "kill $(cat /run/pid)", check=False)


def test_no_resolv_alone_warns_of_nothing(tmp_path: pathlib.Path) -> None:
    with Daemon(tmp_path, "no-resolv\n") as daemon:
        daemon.wait_log("started")
        daemon.stop()
        assert "resolv-file" not in daemon.log()


@pytest.mark.slow
def test_out_of_memory(tmp_path: pathlib.Path) -> None:
    hosts = tmp_path / "hosts"
    with hosts.open("w") as stream:
        stream.writelines(f"10.{n >> 16 & 255}.{n >> 8 & 255}.{n & 255} a{n}.test\n" for n in range(400_000))
    words = ["-k", "-C", "/dev/null", "-x", "", "-R", "-u", "root", "-8", "-", "-p", str(free_port()), "-H", str(hosts)]
    limited = ["sh", "-c", 'ulimit -v 100000; exec "$@"', "sh", sys.executable, str(PROGRAM), *words]
    done = subprocess.run(limited, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == p.EXIT_MEMORY, done.stderr[-500:]
    assert "Traceback" not in done.stderr and "memory" in done.stderr
