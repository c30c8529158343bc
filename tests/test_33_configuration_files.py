"""Section 33: command line and files, all with a machine that is a dict."""

from __future__ import annotations

import random
from collections.abc import Hashable, Iterator

import pytest

import pydnsmasq as p


class Machine:
    """Files by path; directories are what lies under them; `links` are further names of files."""

    def __init__(self, files: dict[str, str] | None = None, links: dict[str, str] | None = None) -> None:
        self.files = files or {}
        self.links = links or {}
        self.users = {"nobody", "root"}
        self.scripts: dict[str, tuple[int, bytes]] = {}
        self.input = b""
        self.reads: list[str] = []
        self.chunk = 1 << 18

    def identity(self, path: str) -> Hashable:
        path = self.links.get(path, path)
        if path not in self.files:
            raise FileNotFoundError(2, "No such file or directory")
        return path

    def read(self, path: str) -> Iterator[bytes]:
        path = self.links.get(path, path)
        self.reads.append(path)
        data = self.files[path].encode("utf-8", "surrogateescape")
        if data == b"forbidden":
            raise PermissionError(13, "Permission denied")
        return (data[at : at + self.chunk] for at in range(0, len(data), self.chunk))

    def listdir(self, path: str) -> list[str]:
        names = [name[len(path) + 1 :] for name in self.files if name.startswith(path + "/")]
        if not names:
            raise FileNotFoundError(2, "No such file or directory")
        return sorted({name.partition("/")[0] for name in names}, reverse=True)

    def is_file(self, path: str) -> bool:
        return path in self.files

    def run(self, command: str) -> tuple[int, bytes]:
        return self.scripts[command]

    def stdin(self) -> bytes:
        return self.input

    def user_exists(self, name: str) -> bool:
        return name in self.users

    group_exists = user_exists


def load(argv: list[str], files: dict[str, str] | None = None) -> p.ConfigResult:
    return p.config_load(argv, Machine(files))


def good(argv: list[str], files: dict[str, str] | None = None) -> p.Config:
    result = load(argv, files)
    assert result.problems == () and result.config is not None and result.exit_code == 0
    return result.config


def texts(result: p.ConfigResult) -> list[str]:
    return [p.config_problem_format(problem) for problem in result.problems]


# The command line.

COMMAND_LINES = [  # words, attribute, value
    ([], "port", 53),
    ([""], "port", 53),
    (["--port=5353"], "port", 5353),
    (["--port", "5353"], "port", 5353),
    (["-p", "5353"], "port", 5353),
    (["-p5353"], "port", 5353),
    (["-kdp5353"], "port", 5353),
    (["-kd"], "no_daemon", True),
    (["--no-da"], "no_daemon", True),
    (["--no-daemon", ""], "no_daemon", True),
    (["--listen-address", "10.0.3.1"], "listen_address", ("10.0.3.1",)),
    (["--pid-file"], "pid_file", ""),
    (["--pid-file="], "pid_file", ""),
    (["-x", "/run/x"], "pid_file", "/run/x"),
    (["--dhcp-leasefile="], "dhcp_leasefile", "/var/lib/misc/dnsmasq.leases"),
    (["--dhcp-lease", "/l"], "dhcp_leasefile", "/l"),
    (["--user"], "user", ""),
    (["--log-queries"], "log_queries", frozenset()),
    (["-q", "--log-queries=auth"], "log_queries", frozenset(("auth",))),
    (["--log-queries=proto", "--log-queries=auth"], "log_queries", frozenset(("auth", "extra", "proto"))),
    (["--domain=a", "-s", "b"], "domain", (p.DomainRule(b"\1a\0"), p.DomainRule(b"\1b\0"))),
    (["--txt-record=a,\"x"], "txt_record", (p.TxtRecord(b"\1a\0", (b'"x',)),)),
    (["--enable-tftp"], "enable_tftp", ()),
    (["--resolv-file=/a", "-r", "/b"], "resolv_file", ("/a", "/b")),
    (["--resolv-file="], "resolv_file", ()),
    (["--dhcp-option-force=43,x"], "dhcp_option", None),
    (["--dnssec-check-unsigned=no", "--dnssec-check-unsigned"], "dnssec_check_unsigned", False),
]  # fmt: skip


@pytest.mark.parametrize(("argv", "attribute", "value"), COMMAND_LINES)
def test_command_line(argv: list[str], attribute: str, value: object) -> None:
    found = getattr(good(argv), attribute)
    assert value is None or found == value


BAD_COMMAND_LINES = [
    (["junk"], "junk found in command line"),
    (["--", "-k"], "junk found in command line"),
    (["--log-queries", "extra"], "junk found in command line"),
    (["--no-d"], "ambiguous"),
    (["--frobnicate"], "no such option"),
    (["--no-reslov"], "did you mean 'no-resolv'?"),
    (["-%"], "no such option"),
    (["--no-hosts=1"], "extraneous parameter"),
    (["-p"], "missing parameter"),
    (["-u"], "missing parameter"),
    (["-C"], "missing parameter"),
    (["--port", "5", "--port=6"], "illegal repeated flag"),
    (["-q=extra"], "no such option"),
    (["--port=x"], "'x' is no number from 0 to 65535"),
    (["-C", "/none"], "cannot read /none: No such file or directory"),
]


@pytest.mark.parametrize(("argv", "words"), BAD_COMMAND_LINES)
def test_bad_command_line(argv: list[str], words: str) -> None:
    result = load(argv)
    assert result.config is None and result.exit_code == (3 if "/none" in argv else 1)
    assert any(words in text for text in texts(result))
    assert all(problem.place == "command line" for problem in result.problems)


@pytest.mark.parametrize(
    ("argv", "command", "topic"),
    [
        (["--version"], "version", ""),
        (["-v", "junk"], "version", ""),
        (["--help"], "help", ""),
        (["-w", "dhcp"], "help", "dhcp"),
        (["--help", "dhcp6"], "help", "dhcp6"),
        (["--test"], "test", ""),
        (["-k"], "run", ""),
    ],
)
def test_commands(argv: list[str], command: str, topic: str) -> None:
    result = load(argv)
    assert (result.command, result.topic, result.exit_code) == (command, topic, 0)


# Lines of files.

LINES = [  # text of the file, attribute, value
    ("no-resolv", "no_resolv", True),
    ("  no-resolv\t", "no_resolv", True),
    ("no-resolv # why not", "no_resolv", True),
    (" port = 54 ", "port", 54),
    ("port=54\r\nno-hosts\r\n", "port", 54),
    ("\n\n# port=1\n port=2", "port", 2),
    ("\ufeffport=54", "port", 54),
    ("txt-record=a,\"b,c\",\"d # e\" # f", "txt_record", (p.TxtRecord(b"\1a\0", (b"b,c", b"d # e")),)),
    ("txt-record=a," + "x" * 5000, "port", 53),
    ("txt-record=a,\udcff", "txt_record", (p.TxtRecord(b"\1a\0", (b"\xff",)),)),
    ("interface=a,b, # two", "interface", ("a", "b")),
    ("server=1.2.3.4\nlocal=/a/\nrev-server=1.2.3.0/24", "server", None),
    ("filter-rr=A\nfilter-rr=28,ANY", "filter_rr", (1, 28, 255)),
    ("user=a\n", "user", "a"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "attribute", "value"), LINES)
@pytest.mark.parametrize("chunk", [1, 7, 1 << 18])
def test_lines(text: str, attribute: str, value: object, chunk: int) -> None:
    machine = Machine({"/etc/dnsmasq.conf": text})
    machine.chunk = chunk
    config = p.config_load([], machine).config
    assert config is not None
    assert value is None or getattr(config, attribute) == value
    assert config.files == ("/etc/dnsmasq.conf",)


BAD_LINES = [  # line, what the report has
    ("no-reslov", ["bad option at line 1 of /c", "did you mean 'no-resolv'?"]),
    ("frobnicate=1", ["bad option at line 1 of /c"]),
    ("--port=53", ["bad option", "without dashes: port"]),
    ("port 53", ["bad option", "write port=53"]),
    ("no-hosts=1", ["extraneous parameter at line 1 of /c", "write no-hosts alone"]),
    ("port", ["missing parameter at line 1 of /c", "write port=number"]),
    ("port=1\nport=2", ["illegal repeated keyword at line 2 of /c"]),
    ("dhcp-lease=/a\ndhcp-leasefile=/b", ["illegal repeated keyword at line 2 of /c"]),
    ("version", ["illegal option at line 1 of /c", "--version"]),
    ("txt-record=a,\"b", ['missing " at line 1 of /c']),
    ("dhcp-luascript=/a", ["no Lua"]),
    ("conf-file=/none", ["cannot read /none"]),
    ("conf-dir=/none", ["cannot access directory /none"]),
    ("Port=1", ["did you mean 'port'?"]),
    ("cache_size=1", ["did you mean 'cache-size'?"]),
]  # fmt: skip


@pytest.mark.parametrize(("text", "words"), BAD_LINES)
def test_bad_lines(text: str, words: list[str]) -> None:
    result = load(["-C", "/c"], {"/c": text})
    assert result.config is None and result.exit_code == (3 if "none" in text else 1)
    report = texts(result)
    assert len(report) == 1
    assert all(word in report[0] for word in words)
    assert report[0].startswith("/c:")


def test_every_problem_of_every_file_is_reported() -> None:
    files = {"/a": "no-reslov\nport=x\nconf-file=/b\nlog-async=z", "/b": "foo\n\nserver=/x"}
    result = load(["--frob", "-C", "/a", "--cache-size=q"], files)
    assert [(problem.place, problem.option) for problem in result.problems] == [
        ("command line", "frob"), ("command line", "cache-size"), ("line 1 of /a", "no-reslov"), ("line 2 of /a",
        "port"),
        ("line 1 of /b", "foo"), ("line 3 of /b", "server"), ("line 4 of /a", "log-async"),
    ]  # fmt: skip


def test_problems_are_bounded() -> None:
    assert len(load(["-C", "/a"], {"/a": "foo\n" * 10_000}).problems) == p.PROBLEMS_MAX


# Files that include files.


def test_the_first_conf_file_is_read_last() -> None:
    files = {"/a": "server=1.1.1.1", "/b": "server=2.2.2.2", "/etc/dnsmasq.conf": "server=9.9.9.9"}
    config = good(["-C", "/a", "--conf-file=/b", "--server=3.3.3.3"], files)
    assert [rule.address for rule in config.server] == ["2.2.2.2", "3.3.3.3", "1.1.1.1"]
    assert config.files == ("/b", "/a")
    assert [rule.place for rule in config.server] == ["line 1 of /b", "command line", "line 1 of /a"]


def test_the_default_file() -> None:
    files = {"/etc/dnsmasq.conf": "port=99", "/dev/null": ""}
    assert good([], files).port == 99
    assert good([], {}).port == 53
    assert good(["--conf-file="], files).port == 53
    assert good(["-C", "/dev/null"], files).port == 53
    assert good(["--port=1"], files).port == 99  # a file overrides the command line
    assert load([], {"/etc/dnsmasq.conf": "forbidden"}).exit_code == 3


def test_an_option_seen_in_a_file_beats_a_later_word() -> None:
    files = {"/d/x": "port=99", "/e": ""}
    assert good(["--conf-dir=/d", "--port=1", "-C", "/e"], files).port == 99


def test_loops_and_links_end() -> None:
    machine = Machine(
        {"/a": "conf-file=/b\nserver=1.1.1.1", "/b": "conf-file=/a\nconf-file=/link\nserver=2.2.2.2"}, {"/link": "/a"}
    )
    result = p.config_load(["-C", "/a"], machine)
    assert result.config is not None
    assert [rule.address for rule in result.config.server] == ["2.2.2.2", "1.1.1.1"]
    assert machine.reads == ["/a", "/b"]


def test_nesting_is_bounded() -> None:
    files = {f"/{number}": f"conf-file=/{number + 1}" for number in range(100)}
    files["/100"] = ""
    assert "deep" in texts(load(["-C", "/0"], files))[0]


def test_standard_input_is_read_once() -> None:
    machine = Machine()
    machine.input = b"server=1.1.1.1\nconf-file=-\n"
    config = p.config_load(["-C", "-"], machine).config
    assert config is not None and len(config.server) == 1


DIRECTORY = ["a", "b.conf", "c~", ".d", "#e#", "#f", "g.bak", ".conf", "B", "h.conf.bak", "\u00fc"]


@pytest.mark.parametrize(
    ("value", "names"),
    [
        ("/d", ["#f", "B", "a", "b.conf", "g.bak", "h.conf.bak", "\u00fc"]),
        ("/d,.bak", ["#f", "B", "a", "b.conf", "\u00fc"]),
        ("/d,*.conf", ["b.conf"]),
        ("/d,*.conf,*.bak,.conf.bak", ["b.conf", "g.bak"]),
        ("/d,a", ["#f", "B", "a", "b.conf", "g.bak", "h.conf.bak", "\u00fc"]),
    ],
)
def test_conf_dir_names(value: str, names: list[str]) -> None:
    assert p.conf_dir_names(DIRECTORY, p.value_conf_dir(value)) == names


def test_conf_dir_reads_in_order_and_not_below() -> None:
    files = {"/d/b": "server=2.2.2.2", "/d/a": "server=1.1.1.1", "/d/c~": "junk", "/d/sub/x": "junk", "/d/.e": "junk"}
    config = good(["-7", "/d"], files)
    assert [rule.address for rule in config.server] == ["1.1.1.1", "2.2.2.2"]
    assert config.files == ("/d/a", "/d/b")


def test_conf_script() -> None:
    machine = Machine({"/a": "conf-script=make it"})
    machine.scripts["make it"] = (0, b"port=77\n")
    config = p.config_load(["-C", "/a"], machine).config
    assert config is not None and config.port == 77
    machine.scripts["make it"] = (0, b"\nfrob\n")
    assert texts(p.config_load(["-C", "/a"], machine)) == ["bad option at line 2 in output from make it: frob"]
    machine.scripts["make it"] = (3, b"port=77\n")
    assert p.config_load(["-C", "/a"], machine).exit_code == 13


# Block lists.


def rules_of(config: p.Config) -> tuple[set[str], set[str], int]:
    local = {p.dns_name_format(rule.domains[0].name) for rule in config.server if rule.kind == "local"}
    local |= {p.dns_name_format(rule.domains[0].name) for rule in config.address if rule.kind == "nxdomain"}
    null = {p.dns_name_format(rule.domains[0].name) for rule in config.address if rule.kind == "null"}
    return local, null, len(config.server) + len(config.address)


@pytest.mark.parametrize("seed", range(8))
def test_the_fast_path_says_what_the_slow_one_says(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = random.Random(seed)
    forms = ["local=/{}/", "server=/{}/", "address=/{}/", "address=/{}/#"]
    others = [
        "# {}",
        "",
        "server=/{}/1.2.3.4",
        "local=/{}/#",
        "  local=/{}/",
        "address=/{}/x.y/#",
        "local=/*.{}/",
        "local=/.{}/",
        "no-hosts",
    ]
    lines = []
    for number in range(3000):
        name = f"{rng.choice(['Host', 'x-', '_a', ''])}{number}{rng.choice(['.com', '.B.net', ''])}"
        lines.append(rng.choice(forms if rng.random() < 0.97 else others).format(name))
    files = {"/a": rng.choice(["\n", "\r\n"]).join(lines) + rng.choice(["", "\n"])}
    machine = Machine(files)
    machine.chunk = rng.choice([4000, 20_000, 1 << 18])
    fast = p.config_load(["-C", "/a"], machine).config
    monkeypatch.setattr(p, "_BULK_LINES", 1 << 30)
    slow = p.config_load(["-C", "/a"], Machine(files)).config
    assert fast is not None and slow is not None
    assert fast.bulk_local is not None and fast.bulk_null is not None and slow.bulk_local is None
    local, null, count = rules_of(slow)
    some_local, some_null, few = rules_of(fast)
    assert few < count / 4
    assert local == some_local | {name for name in local if name.encode() in fast.bulk_local}
    assert null == some_null | {name for name in null if name.encode() in fast.bulk_null}
    assert not any(f"other{number}.com".encode() in fast.bulk_local for number in range(1000))
    assert len(fast.bulk_local) + len(fast.bulk_null) + few >= count
    assert fast.no_hosts == slow.no_hosts


def test_numbers_of_lines_stay_right_beside_block_lists() -> None:
    lines = [f"local=/a{number}.b/" for number in range(5000)]
    lines[1234] = "frob"
    lines[4321] = "local=/a..b/"
    result = load(["-C", "/a"], {"/a": "\n".join(lines)})
    assert [problem.place for problem in result.problems] == ["line 1235 of /a", "line 4322 of /a"]


@pytest.mark.parametrize("name", ["a" * 64 + ".b", ".".join(["a" * 60] * 5), "a..b"])
def test_wrong_names_in_block_lists_are_found(name: str) -> None:
    lines = [f"local=/a{number}.b/" for number in range(300)] + [f"local=/{name}/"]
    assert load(["-C", "/a"], {"/a": "\n".join(lines) + "\n"}).problems[0].place == "line 301 of /a"


# Other files.


def test_servers_file() -> None:
    text = b"# x\nserver=1.2.3.4\nserver=/a/5.6.7.8 # y\nrev-server=1.2.3.0/24,9.9.9.9\n"
    text += b"local=/b/\nport=1\nfrob\nserver=1.2.3.4#x\n"
    rules, problems = p.servers_file_parse([text[:20], text[20:]], "/s")
    assert [rule.address for rule in rules] == ["1.2.3.4", "5.6.7.8", "9.9.9.9"]
    assert rules[1].place == "line 3 of /s"
    assert [(problem.place, problem.problem.partition(":")[0]) for problem in problems] == [
        ("line 5 of /s", "illegal option"), ("line 6 of /s", "illegal option"), ("line 7 of /s", "bad option"),
        ("line 8 of /s", "bad port 'x'"),
    ]  # fmt: skip


def test_files_of_values() -> None:
    text = b"11:22:33:44:55:66,1.2.3.4,foo\n# x\n\nzz:zz,foo\nid:00:01,bar,[fd00::1] # y\n"
    hosts, problems = p.config_values_parse("dhcp-host", [text], "/h")
    assert [host.name for host in hosts] == ["foo", "bar"] and hosts[1].place == "line 5 of /h"
    assert [problem.place for problem in problems] == ["line 4 of /h"]
    options, problems = p.config_values_parse("dhcp-option", [b"tag:x,option:router,1.2.3.4\n"], "/o")
    assert options[0].number == 3 and problems == ()


# What does not fit together.

CONFLICTS = [
    ("bind-interfaces\nbind-dynamic", "bind-dynamic", "cannot set --bind-interfaces and --bind-dynamic"),
    ("min-port=3000\nmax-port=2000", "max-port", "smaller than min_port"),
    ("max-port=500", "max-port", "smaller than min_port"),
    ("min-port=3000\nmax-port=3001\nport-limit=3", "port-limit", "range"),
    ("query-port=5\nconntrack", "conntrack", "together"),
    ("resolv-file=/a\nresolv-file=/b\nno-poll", "no-poll", "only one resolv-file"),
    ("dnssec\ntrust-anchor=.,1,8,2,aa\ncache-size=10", "cache-size", "DNSSEC"),
    ("dhcp-fqdn", "dhcp-fqdn", "default domain"),
    ("dhcp-fqdn\ndomain=a,1.2.3.0/24", "dhcp-fqdn", "default domain"),
    ("dhcp-host=11:22:33:44:55:66,1.2.3.4\ndhcp-host=x,1.2.3.4", "dhcp-host", "duplicate dhcp-host IP address 1.2.3.4"),
    ("cname=a,b\ncname=A,c", "cname", "duplicate CNAME"),
    ("cname=a,b\ncname=b,c\ncname=c,a", "cname", "loop"),
    ("auth-zone=a", "auth-zone", "--auth-server required"),
    ("connmark-allowlist=1,a.b\nconnmark-allowlist=1,c.d", "connmark-allowlist", "twice"),
    ("user=frob", "user", "unknown user"),
    ("group=frob", "group", "unknown user or group"),
    ("dhcp-scriptuser=frob", "dhcp-scriptuser", "unknown user"),
]
NO_CONFLICTS = [
    "bind-dynamic", "min-port=3000", "max-port=2000", "resolv-file=/a\nno-poll",
    "resolv-file=/a\nresolv-file=/b\nno-poll\nno-resolv",
    "dnssec\ntrust-anchor=.,1,8,2,aa", "dhcp-fqdn\ndomain=a", "cname=a,b\ncname=c,b\ncname=b,d", "user=\ngroup=",
    "user=nobody",
    "auth-server=a\nauth-zone=b", "query-port=5", "cname=*.a,b.a",
]  # fmt: skip


def test_what_only_a_start_needs() -> None:
    for text, words in (
        ("dnssec", "no root trust anchor provided"),
        ("dnssec\ntrust-anchor=.,1,8,99,aa", "algorithm and a digest type that are known"),
        ("dnssec\ntrust-anchor=.,CH,1,8,2,aa", "no root trust anchor provided"),
    ):
        config = good(["-C", "/a"], {"/a": text})
        assert p.config_check(config, Machine()) == ()
        (problem,) = p.config_start_check(config)
        assert words in problem.problem and problem.remedy and problem.place.endswith(" of /a")
    assert p.config_start_check(good(["-C", "/a"], {"/a": "dnssec\ntrust-anchor=.,1,8,2,aa"})) == ()


@pytest.mark.parametrize(("text", "option", "words"), CONFLICTS)
def test_conflicts(text: str, option: str, words: str) -> None:
    found = p.config_check(good(["-C", "/a"], {"/a": text}), Machine())
    assert [problem.option for problem in found] == [option]
    assert words in found[0].problem and found[0].remedy


@pytest.mark.parametrize("text", NO_CONFLICTS)
def test_no_conflicts(text: str) -> None:
    assert p.config_check(good(["-C", "/a"], {"/a": text}), Machine()) == ()


def test_what_is_not_at_work_is_named() -> None:
    config = good(["--enable-ra", "--no-hosts", "--enable-ubus"])
    assert config.not_at_work == ("enable-ra",)
    assert set(config.given) == {"enable-ra", "no-hosts", "enable-ubus"}
    parts = ["--dhcp-range=fd00::1,fd00::9", "--dhcp-range=10.0.0.1,proxy", "--dhcp-option=option6:dns-server,[::]"]
    assert good(parts).not_at_work == ("dhcp-range for IPv6", "dhcp-option for IPv6")
    assert good(["--dhcp-range=10.0.0.1,10.0.0.9", "--dhcp-option=3,10.0.0.1"]).not_at_work == ()


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ("no-reslov", "no-resolv"), ("noresolv", "no-resolv"), ("adress", "address"), ("sever", "server"), ("cname-",
        "cname"),
        ("dhcp-rage", "dhcp-range"), ("log-querys", "log-queries"), ("NO-HOSTS", "no-hosts"), ("filter-aaaa",
        "filter-AAAA"),
        ("qqqqqqq", ""), ("", ""),
    ],
)  # fmt: skip
def test_near_names(wrong: str, right: str) -> None:
    assert p.option_near(wrong) == right


# What other programs start us with.

STARTED_BY = {
    "NetworkManager dns": """
        --no-resolv --keep-in-foreground --no-hosts --bind-interfaces --pid-file=/run/NetworkManager/dnsmasq.pid
        --listen-address=127.0.0.1 --cache-size=400 --clear-on-reload --conf-file=/dev/null --proxy-dnssec
        --enable-dbus=org.freedesktop.NetworkManager.dnsmasq
    """,
    "NetworkManager shared": """
        --conf-file=/dev/null --no-hosts --keep-in-foreground --bind-interfaces --except-interface=lo
        --clear-on-reload --strict-order --listen-address=10.42.0.1 --dhcp-range=10.42.0.10,10.42.0.254,60m
        --dhcp-option=option:router,10.42.0.1 --dhcp-option=option:dns-server,10.42.0.1
        --dhcp-option=option:domain-search,a.b --dhcp-option-force=43,ANDROID_METERED --dhcp-leasefile=/l
        --pid-file=/p --log-dhcp --log-queries
    """,
    "Incus": """
        --keep-in-foreground --strict-order --bind-interfaces --except-interface=lo --pid-file= --no-ping
        --interface=br0 --dhcp-rapid-commit --no-negcache --quiet-dhcp --quiet-dhcp6 --quiet-ra --dhcp-ignore-clid
        --listen-address=10.1.1.1 --dhcp-no-override --dhcp-authoritative --dhcp-leasefile=/l --dhcp-hostsfile=/h
        --dhcp-option-force=26,1500 --dhcp-range 10.1.1.2,10.1.1.254,1h --dhcp-range fd00::2,fd00::ff,64,1h
        --dhcp-range ::,constructor:br0,ra-stateless,ra-names --enable-ra -s incus --interface-name _gateway.incus,br0
        -S /incus/ --conf-file= -u nobody -g nogroup
    """,
    "Neutron": """
        --no-hosts --no-resolv --pid-file=/p --dhcp-hostsfile=/h --addn-hosts=/a --dhcp-optsfile=/o
        --dhcp-leasefile=/l --dhcp-match=set:ipxe,175 --dhcp-userclass=set:ipxe6,iPXE --local-service --bind-dynamic
        --bridge-interface=tapx,tap* --dhcp-range=set:tag0,10.0.0.0,static,255.255.255.0,86400s
        --dhcp-option-force=option:mtu,1450 --dhcp-lease-max=256 --conf-file= --server=1.2.3.4 --domain=openstacklocal
        --dhcp-broadcast --log-queries --log-dhcp --log-facility=/log
    """,
    "Neutron probe": "--test --dhcp-host=tag:foo",
    "lxc-net": """
        --conf-file=/dev/null -s lxc -S /lxc/ --no-ping -u nobody --strict-order --bind-interfaces --pid-file=/p
        --listen-address 10.0.3.1 --dhcp-range 10.0.3.2,10.0.3.254 --dhcp-lease-max=253 --dhcp-no-override
        --except-interface=lo --interface=lxcbr0 --dhcp-leasefile=/l --dhcp-authoritative --dhcp-range=fd00::1,ra-only
        --listen-address fd00::1
    """,
    "create_ap": "-C /dev/null -x /p -l /l -p 5353",
    "Multipass": """
        --keep-in-foreground --strict-order --bind-interfaces --pid-file --domain=multipass --local=/multipass/
        --dhcp-ignore-clid --dhcp-range 10.0.0.2,10.0.0.9,infinite --conf-file=/dev/null
    """,
    "libvirt": "--conf-file=/dev/null --leasefile-ro --dhcp-script=/usr/lib/libvirt/libvirt_leaseshelper",
    "OpenWrt": "-C /dev/null -k -x /var/run/dnsmasq/dnsmasq.cfg01411c.pid",
    "Debian": """
        -x /run/dnsmasq/dnsmasq.pid -u nobody -7 /etc/dnsmasq.d,.dpkg-dist,.dpkg-old,.dpkg-new --local-service
        --trust-anchor=.,20326,8,2,E06D44B80B8F1D39A95C0B0D7C65D08458E880409BBC683457104237C7F8EC8D
    """,
}


@pytest.mark.parametrize("program", STARTED_BY)
def test_started_by(program: str) -> None:
    files = {"/dev/null": "", "/etc/dnsmasq.d/a": ""}
    good([*STARTED_BY[program].split(), ""], files)


FILES_OF = {
    "OpenWrt": """
dhcp-authoritative
domain-needed
localise-queries
read-ethers
enable-ubus=dnsmasq
expand-hosts
bind-dynamic
local-service
cache-size=1000
edns-packet-max=1232
domain=lan
local=/lan/
addn-hosts=/tmp/hosts
dhcp-leasefile=/tmp/dhcp.leases
resolv-file=/tmp/resolv.conf.d/resolv.conf.auto
stop-dns-rebind
rebind-localhost-ok
rebind-domain-ok=plex.direct
dhcp-broadcast=tag:needs-broadcast
user=dnsmasq
group=dnsmasq
dhcp-ignore-names=tag:dhcp_bogus_hostname
dhcp-name-match=set:dhcp_bogus_hostname,localhost
bogus-priv
server=/onion/

dhcp-range=set:lan,192.168.1.100,192.168.1.249,255.255.255.0,12h
dhcp-range=tag:x,set:lan,192.168.1.100,static,255.255.255.0,12h
no-dhcp-interface=eth1
enable-ra
quiet-ra
ra-param=br-lan,high,0,7200
ra-param=br-lan,0,7200
dhcp-range=set:lan,::1000,::ffff,constructor:br-lan,ra-stateless,ra-names
dhcp-range=set:lan,::,static,constructor:br-lan,12h
dhcp-range=set:lan,::,constructor:br-lan,ra-only,ra-names
dhcp-range=set:lan,::1000,::ffff,constructor:br-lan,slaac,ra-names,12h
dhcp-option=lan,option6:dns-server,[fd00::1]
dhcp-option=lan,option6:domain-search,lan
dhcp-option=lan,3,192.168.1.1
dhcp-option-force=tag:x,6,1.1.1.1
interface-name=router.lan,br-lan
dhcp-host=tag:x,00:11:22:33:44:55,66:77:88:99:AA:BB,id:00:01:02,set:lan,set:y,192.168.1.5,[::5],name,12h
dhcp-boot=tag:id,pxelinux.0,server,192.168.1.2
dhcp-boot=net:id,pxelinux.0
dhcp-mac=id,00:11:22:*:*:*
dhcp-vendorclass=set:id,value
dhcp-userclass=set:id,value
dhcp-circuitid=set:id,value
dhcp-remoteid=set:id,value
dhcp-subscrid=set:id,value
dhcp-match=set:id,60,value
dhcp-relay=192.168.1.1,10.0.0.1,eth1
host-record=a.lan,b.lan,192.168.1.7,fd00::7
srv-host=_sip._tcp.lan,sip.lan,5060,10,20
mx-host=lan,mail.lan,10
cname=a.lan,b.lan
dns-rr=a.lan,65,0001000003000302
ipset=/a.com/b.com/set1,set2
nftset=/a.com/4#inet#fw4#set
connmark-allowlist-enable
connmark-allowlist=1/255,*.a.com/b.c
dnssec-check-unsigned=no
dhcp-script=/usr/lib/dnsmasq/dhcp-script.sh
script-arp
""",
    "libvirt": """
strict-order
port=0
server=/a.b/1.2.3.4
server=/c.d/#
no-resolv
local=/net/
local=//
domain=net
expand-hosts
domain-needed
pid-file=/run/x.pid
except-interface=lo
bind-dynamic
interface=virbr0
dhcp-option=3
ra-param=*,0,0
txt-record=a,b
srv-host=_a._b.net,,1,2,3
dhcp-range=192.168.122.2,192.168.122.254,255.255.255.0,7200s
dhcp-range=fd00::2,fd00::ff,64
dhcp-range=192.168.122.1,static
dhcp-range=fd00::1,static,64
dhcp-range=fd00::1,ra-only
dhcp-no-override
dhcp-authoritative
enable-tftp
tftp-root=/srv
dhcp-boot=pxe,,192.168.122.1
dhcp-lease-max=253
dhcp-hostsfile=/h
addn-hosts=/a
dhcp-option=option:mtu,1400
enable-ra
""",
    "Pi-hole": """
hostsdir=/etc/pihole/hosts
rev-server=192.168.0.0/24,192.168.0.1
server=/lan/192.168.0.1
use-stale-cache=3600
log-queries=extra
log-async
except-interface=nonexisting
trust-anchor=.,20326,8,2,E06D44B80B8F1D39A95C0B0D7C65D08458E880409BBC683457104237C7F8EC8D
trust-anchor=.,38696,8,2,683D2D0ACB8C9B712A1948B27F741219298D0A450D612C483AF444A4C0FB2B16
dhcp-range=::,constructor:eth0,ra-names,ra-stateless,64
dhcp-option=option6:dns-server,[::]
dhcp-name-match=set:hostname-ignore,wpad
dhcp-ignore-names=tag:hostname-ignore
""",
    "others": """
no-poll
user=root
keep-in-foreground
log-facility=/tmp/dnsmasq.log
interface=a,b,
script-on-renewal # why
dhcp-range=eth0,10.0.0.2,10.0.0.9,255.255.255.0,1h
dhcp-ignore=tag:!known
dhcp-range=set:zone-10.0.0.0-24,10.0.0.0,static,255.255.255.0,infinite
dhcp-option=tag:zone,252,"\\n"
dhcp-option=vendor:MSFT,2,1i
dhcp-match=ipxe,175
dhcp-match=set:efi,option:client-arch,7
dhcp-boot=tag:efi,tag:!ipxe,snponly.efi
dhcp-boot=/undionly.kpxe,10.0.0.1
dhcp-vendorclass=set:pxe6,enterprise:343,PXEClient
dhcp-option=tag:pxe6,option6:bootfile-url,tftp://[fd00::1]/snponly.efi
dhcp-option=6
""",
}


@pytest.mark.parametrize("program", FILES_OF)
def test_files_of(program: str) -> None:
    good(["-C", "/a"], {"/a": FILES_OF[program]})
