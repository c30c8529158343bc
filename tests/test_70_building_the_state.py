"""Section 70: resolv files, and the state that configuration and files make together."""

from __future__ import annotations

import os
import pathlib
import time

import pytest

import dnswire
import pydnsmasq
from pure import addr
from shellkit import LogLines, settings

# -- resolv files ------------------------------------------------------------------


class Resolv:
    """A ResolvWatch on files in a directory; each change gets a time of its own."""

    def __init__(self, directory: pathlib.Path, names: tuple[str, ...] = ("resolv",)) -> None:
        self.directory = directory
        self.log = LogLines()
        self._time = 1_000_000_000
        self.watch = pydnsmasq.ResolvWatch([str(directory / name) for name in names], self.log.log)

    def write(self, text: str, name: str = "resolv") -> None:
        path = self.directory / name
        path.write_text(text)
        self._time += 1
        os.utime(path, (self._time, self._time))

    def replace(self, text: str) -> None:
        self.write(text, "resolv.tmp")
        (self.directory / "resolv.tmp").rename(self.directory / "resolv")

    @property
    def servers(self) -> list[str]:
        return [rule.address for rule in self.watch.rules]

    def count(self, words: str) -> int:
        return sum(words in line for line in self.log.lines())


@pytest.fixture
def resolv(tmp_path: pathlib.Path) -> Resolv:
    made = Resolv(tmp_path)
    made.write("nameserver 10.0.0.1\n")
    assert made.watch.poll() and made.servers == ["10.0.0.1"]
    return made


def test_an_unchanged_file_is_no_news(resolv: Resolv) -> None:
    assert not resolv.watch.poll() and not resolv.watch.poll()
    assert resolv.count("reading ") == 1


def test_a_new_list_is_news(resolv: Resolv) -> None:
    resolv.write("# comment\nsearch x\nnameserver 10.0.0.2\nnameserver fd00::1\nnameserver fe80::1%lo\n")
    assert resolv.watch.poll() and resolv.servers == ["10.0.0.2", "fd00::1", "fe80::1"]
    assert resolv.watch.rules[2].scope == "lo"


TROUBLE = {
    "emptied": "",
    "comments": "# nothing here\n",
    "no servers": "search example.test\noptions edns0\n",
    "bad servers": "nameserver\nnameserver x.y\nnameserver 1.2.3\n",
    "zeros": "nameserver 0.0.0.0\nnameserver ::\n",
    "binary": "\0\1\2\3\n",
}


@pytest.mark.parametrize("text", TROUBLE.values(), ids=TROUBLE)
def test_a_file_without_servers_changes_nothing(text: str, resolv: Resolv) -> None:
    for _ in range(3):
        resolv.write(text)
        for _ in range(2):
            assert not resolv.watch.poll()
            assert resolv.servers == ["10.0.0.1"]
    assert resolv.count("no servers found in") == 1, "once is enough"
    resolv.write("nameserver 10.0.0.2\n")
    assert resolv.watch.poll() and resolv.servers == ["10.0.0.2"]
    resolv.write(text)
    assert not resolv.watch.poll() and resolv.servers == ["10.0.0.2"]
    assert resolv.count("no servers found in") == 2


@pytest.mark.parametrize("text", ["nameserver 10.0.0", "nameserver 10.0.0.1\nnameserver 10.0.0.2", "names"])
def test_a_half_written_file_waits_for_the_rest(text: str, resolv: Resolv) -> None:
    resolv.write(text)
    assert not resolv.watch.poll() and resolv.servers == ["10.0.0.1"]
    resolv.write("nameserver 10.0.0.1\nnameserver 10.0.0.23\n")
    assert resolv.watch.poll() and resolv.servers == ["10.0.0.1", "10.0.0.23"]


def test_a_file_without_a_last_newline_is_taken_in_the_end(resolv: Resolv) -> None:
    resolv.write("nameserver 10.0.0.2")
    assert not resolv.watch.poll()
    time.sleep(pydnsmasq.RESOLV_SETTLE)
    assert resolv.watch.poll() and resolv.servers == ["10.0.0.2"]
    assert not resolv.watch.poll()


def test_a_half_written_first_file_is_better_than_nothing(tmp_path: pathlib.Path) -> None:
    fresh = Resolv(tmp_path)
    fresh.write("nameserver 10.0.0.9")
    assert fresh.watch.poll() and fresh.servers == ["10.0.0.9"]


def test_a_file_that_vanishes(resolv: Resolv) -> None:
    (resolv.directory / "resolv").unlink()
    for _ in range(3):
        assert not resolv.watch.poll() and resolv.servers == ["10.0.0.1"]
    assert resolv.count("No such file") == 1
    resolv.write("nameserver 10.0.0.2\n")
    assert resolv.watch.poll() and resolv.servers == ["10.0.0.2"]


def test_a_file_that_is_replaced(resolv: Resolv) -> None:
    resolv.replace("nameserver 10.0.0.2\n")
    assert resolv.watch.poll() and resolv.servers == ["10.0.0.2"]
    resolv.replace("")
    assert not resolv.watch.poll() and resolv.servers == ["10.0.0.2"]
    resolv.replace("nameserver 10.0.0.3\n")
    assert resolv.watch.poll() and resolv.servers == ["10.0.0.3"]


def test_a_directory_that_does_not_exist_yet(tmp_path: pathlib.Path) -> None:
    late = Resolv(tmp_path / "run" / "x")
    assert not late.watch.poll() and late.servers == []
    late.directory.mkdir(parents=True)
    late.write("nameserver 10.0.0.1\n")
    assert late.watch.poll() and late.servers == ["10.0.0.1"]


def test_links_are_followed(resolv: Resolv) -> None:
    link = resolv.directory / "link"
    link.symlink_to("elsewhere")
    watch = pydnsmasq.ResolvWatch([str(link)], resolv.log.log)
    assert not watch.poll()
    resolv.write("nameserver 10.0.0.5\n", "elsewhere")
    assert watch.poll() and watch.rules[0].address == "10.0.0.5"
    resolv.write("nameserver 10.0.0.6\n", "other")
    link.unlink()
    link.symlink_to("other")
    assert watch.poll() and watch.rules[0].address == "10.0.0.6"


def test_a_directory_in_place_of_the_file(resolv: Resolv) -> None:
    path = resolv.directory / "resolv"
    path.unlink()
    path.mkdir()
    assert not resolv.watch.poll() and resolv.servers == ["10.0.0.1"]
    assert resolv.count("Is a directory") == 1


def test_of_several_files_the_newest_counts(tmp_path: pathlib.Path) -> None:
    two = Resolv(tmp_path, ("a", "b"))
    two.write("nameserver 10.0.0.1\n", "a")
    two.write("nameserver 10.0.0.2\n", "b")
    assert two.watch.poll() and two.servers == ["10.0.0.2"]
    two.write("nameserver 10.0.0.3\n", "a")
    assert two.watch.poll() and two.servers == ["10.0.0.3"]
    (tmp_path / "a").unlink()
    assert two.watch.poll() and two.servers == ["10.0.0.2"]


def test_a_huge_file_is_bounded(resolv: Resolv) -> None:
    resolv.write("nameserver 10.0.0.2\n" + "# x\n" * 200_000 + "nameserver 10.0.0.3\n")
    resolv.watch.poll()
    resolv.watch.poll()
    assert resolv.servers == ["10.0.0.2"]


def test_a_file_that_names_only_ourselves_changes_nothing(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "resolv.conf"
    watch = pydnsmasq.ResolvWatch([str(path)], pydnsmasq.Log(), lambda rule: rule.address == "127.0.0.1")
    path.write_text("nameserver 10.0.0.1\n")
    assert watch.poll() and [rule.address for rule in watch.rules] == ["10.0.0.1"]
    path.write_text("# by another program\nnameserver 127.0.0.1\n")
    assert not watch.poll() and [rule.address for rule in watch.rules] == ["10.0.0.1"]
    path.write_text("nameserver 127.0.0.1\nnameserver 10.0.0.2\n")
    assert watch.poll() and [rule.address for rule in watch.rules] == ["10.0.0.2"]


# -- the clock of signatures ------------------------------------------------------------

FLOOR = pydnsmasq.CLOCK_FLOOR
START = FLOOR + 1_000_000


class Wall:
    """The wall clock of the program, in our hands; what it stamps gets that time."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, now: float) -> None:
        self.now = now
        utime = os.utime
        monkeypatch.setattr(pydnsmasq.time, "time", lambda: self.now)
        monkeypatch.setattr(pydnsmasq.os, "utime", lambda path, times=None: utime(path, times or (self.now, self.now)))


def test_a_clock_before_this_version_is_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    wall = Wall(monkeypatch, FLOOR - 1)
    clock = pydnsmasq.SignatureClock(settings(), LogLines().log)
    clock.start()
    assert (clock.trusted, clock.poll(), clock.until_signal) == (False, False, False)
    assert clock.texts() == ["DNSSEC signature timestamps not checked until system time valid"]
    wall.now = FLOOR
    assert (clock.poll(), clock.trusted, clock.poll(), clock.texts()) == (True, True, False, [])
    wall.now = 0  # once right is right
    assert (clock.poll(), clock.trusted) == (False, True)


def test_times_wait_for_a_signal(monkeypatch: pytest.MonkeyPatch) -> None:
    Wall(monkeypatch, START)
    clock = pydnsmasq.SignatureClock(settings("dnssec-no-timecheck\n"), LogLines().log)
    clock.start()
    assert (clock.until_signal, clock.trusted) == (True, True)
    assert clock.texts() == ["DNSSEC signature timestamps not checked until receipt of SIGINT"]


def test_the_time_stamp_is_made_and_kept(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Born in 2015, it is the time of the last start or end with a right clock."""
    path = tmp_path / "stamp"
    wall = Wall(monkeypatch, 1_000_000)
    conf = settings(f"dnssec-timestamp={path}\n")
    clock = pydnsmasq.SignatureClock(conf, LogLines().log)
    clock.start()
    assert (int(path.stat().st_mtime), clock.trusted) == (pydnsmasq.DNSSEC_STAMP, False)
    clock.stamp()
    assert int(path.stat().st_mtime) == pydnsmasq.DNSSEC_STAMP  # a wrong time is not noted
    wall.now = START
    assert clock.poll()
    assert int(path.stat().st_mtime) == START
    wall.now += 500
    clock.stamp()
    assert int(path.stat().st_mtime) == START + 500
    wall.now = START + 499  # the next start, with a clock that went back
    again = pydnsmasq.SignatureClock(conf, LogLines().log)
    again.start()
    assert not again.trusted
    wall.now += 1
    assert again.poll()


def test_a_time_stamp_that_cannot_be_made(tmp_path: pathlib.Path) -> None:
    clock = pydnsmasq.SignatureClock(settings(f"dnssec-timestamp={tmp_path}/no/stamp\n"), LogLines().log)
    with pytest.raises(pydnsmasq.StartError, match="cannot create timestamp file .*/no/stamp: No such file"):
        clock.start()


def test_a_lost_time_stamp_does_no_harm(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Wall(monkeypatch, START)
    path, log = tmp_path / "stamp", LogLines()
    clock = pydnsmasq.SignatureClock(settings(f"dnssec-timestamp={path}\n"), log.log)
    clock.start()
    path.unlink()
    clock.stamp()
    assert clock.trusted and not path.exists()


@pytest.mark.parametrize(("line", "trusted"), [("", False), ("leasefile-ro\n", True)])
def test_the_lease_file_was_written_in_the_past(
    line: str, trusted: bool, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "leases"
    path.touch()
    os.utime(path, (START + 100, START + 100))
    Wall(monkeypatch, START)
    conf = settings(f"dhcp-leasefile={path}\ndhcp-range=10.0.0.1,10.0.0.9\n{line}")
    clock = pydnsmasq.SignatureClock(conf, LogLines().log)
    clock.start()
    assert clock.trusted is trusted


# -- building the state -----------------------------------------------------------


def test_local_data_from_files(tmp_path: pathlib.Path) -> None:
    (tmp_path / "one").write_text("10.0.0.1 a.test\n")
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "x").write_text("10.0.0.2 b.test\n")
    (tmp_path / "d" / "x~").write_text("10.0.0.3 c.test\n")
    log = LogLines()
    paths = f"{tmp_path}/one", f"{tmp_path}/none", "/proc/self/mem"
    conf = "no-hosts\n" + "".join(f"addn-hosts={path}\n" for path in paths) + f"hostsdir={tmp_path}/d\n"
    data = pydnsmasq.StateBuilder(log.log).local_data(settings(conf), lambda address: b"")
    assert data.exists(dnswire.pack_name("a.test")) and data.exists(dnswire.pack_name("b.test"))
    assert not data.exists(dnswire.pack_name("c.test"))
    assert f"read {tmp_path}/one - 1 names" in log.lines()
    assert any("none: No such file" in line for line in log.lines())
    assert any("/proc/self/mem" in line and "failed" in line for line in log.lines()), "an error while reading"


def test_servers_of_our_own_are_left_out() -> None:
    log = LogLines()
    config = settings("server=10.0.0.1\nserver=10.0.0.2\nserver=10.0.0.1#5353\n")
    rules = pydnsmasq.StateBuilder(log.log).rules(config, (), None, frozenset([addr("10.0.0.1")]))
    assert [(one.address, one.port) for one in rules.default.servers] == [("10.0.0.2", 53), ("10.0.0.1", 5353)]
    assert "ignoring nameserver 10.0.0.1 - local interface" in log.text()


def test_health_lives_on_over_a_reload() -> None:
    builder, config = pydnsmasq.StateBuilder(LogLines().log), settings("server=10.0.0.1\nserver=10.0.0.2\n")
    old = builder.rules(config, (), None, frozenset())
    old.default.servers[1].queries = 77
    new = builder.rules(settings("server=10.0.0.2\n"), (), old, frozenset())
    assert new.default.servers == [old.default.servers[1]] and new.default.servers[0].queries == 77
    assert len(new.servers) == 1, "servers that are gone are kept for ever"


def test_a_servers_file(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "servers"
    path.write_text("server=10.0.0.1\nnonsense\nserver=/x.test/10.0.0.2\n")
    log = LogLines()
    rules = pydnsmasq.StateBuilder(log.log).rules(settings(f"servers-file={path}\n"), (), None, frozenset())
    assert [one.address for one in rules.default.servers] == ["10.0.0.1"]
    assert f"{path}:2" in log.text() and f"reading {path}" in log.lines()
    path.unlink()
    pydnsmasq.StateBuilder(log.log).rules(settings(f"servers-file={path}\n"), (), None, frozenset())
    assert f"cannot read {path}" in log.text()


def test_a_local_domain_of_a_subnet_covers_its_reverse_zone() -> None:
    config = settings("domain=home.lan,192.168.7.0/24,local\n")
    rules = pydnsmasq.StateBuilder(pydnsmasq.Log()).rules(config, (), None, frozenset())
    for text, local in (
        ("x.home.lan", True),
        ("5.7.168.192.in-addr.arpa", True),
        ("5.8.168.192.in-addr.arpa", False),
        ("x.other.lan", False),
    ):
        assert rules.match(pydnsmasq.dns_name_parse(text), pydnsmasq.TYPE_PTR).local is local, text
