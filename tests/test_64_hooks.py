"""Section 64: the script for leases and neighbours, run by a helper process."""

from __future__ import annotations

import os
import pathlib
import shutil
import signal
import socket
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from typing import Any

import pytest

import pydnsmasq
from harness import need, need_tool, process_cpu_seconds, wait_until

NOW, WALL = 5000.0, 1_800_000_000.0


# -- what the script is told -------------------------------------------------------


def lease(**fields: Any) -> Any:
    made = pydnsmasq.Lease(0x0A050032)
    made.hardware, made.interface, made.expires = bytes.fromhex("02aa00000001"), "lan0", NOW + 3600
    for name, value in fields.items():
        setattr(made, name, value)
    return made


def call_of(
    action: str, name: str = "", former: str = "", known: dict[str, str] | None = None, domain: str = "",
    log: bool = False, **fields: Any,
) -> tuple[list[str], dict[str, str]]:  # fmt: skip
    event = pydnsmasq.LeaseEvent(action, lease(**fields), name, former, known)
    call = pydnsmasq.lease_call(event, domain, log, NOW, WALL)
    assert all(key.startswith("DNSMASQ_") for key in call.variables)
    return call.arguments, {key.removeprefix("DNSMASQ_"): value for key, value in call.variables.items()}


MAC, IP = "02:aa:00:00:00:01", "10.5.0.50"
ENDS = {"LEASE_EXPIRES": "1800003600"}
LEFT = {**ENDS, "TIME_REMAINING": "3600", "INTERFACE": "lan0"}
RICH = {"VENDOR_CLASS": "MSFT", "TAGS": "vc lan0", "USER_CLASS0": "abc", "SUPPLIED_HOSTNAME": "pc"}
# (what happened, arguments after the action, variables); behaviours part 19.
CALLS: dict[str, tuple[dict[str, Any], str, dict[str, str]]] = {
    "new": ({"action": "add", "known": RICH}, f"{MAC} {IP}", {**LEFT, **RICH}),
    "named": (
        {"action": "add", "name": "pc", "domain": "lan.test", "known": {}},
        f"{MAC} {IP} pc",
        {**LEFT, "DOMAIN": "lan.test"},
    ),
    "a domain needs a name": ({"action": "add", "domain": "lan.test", "known": {}}, f"{MAC} {IP}", LEFT),
    "at start or reload": ({"action": "old", "name": "pc"}, f"{MAC} {IP} pc", {**LEFT, "DATA_MISSING": "1"}),
    "lost its name": (
        {"action": "old", "former": "pc", "domain": "lan.test"},
        f"{MAC} {IP}",
        {**LEFT, "OLD_HOSTNAME": "pc", "DOMAIN": "lan.test", "DATA_MISSING": "1"},
    ),
    "released": (
        {"action": "del", "name": "pc"},
        f"{MAC} {IP} pc",
        {**ENDS, "INTERFACE": "lan0", "DATA_MISSING": "1"},
    ),
    "long over": (
        {"action": "del", "expires": NOW - 100, "interface": ""},
        f"{MAC} {IP}",
        {"LEASE_EXPIRES": "1799999900", "DATA_MISSING": "1"},
    ),
    "for ever": (
        {"action": "add", "expires": None, "known": {}},
        f"{MAC} {IP}",
        {"LEASE_EXPIRES": "0", "INTERFACE": "lan0"},
    ),
    "client-id": (
        {"action": "add", "client_id": b"\1\2\xaa\0\0\0\1", "known": {}},
        f"{MAC} {IP}",
        {**LEFT, "CLIENT_ID": "01:02:aa:00:00:00:01"},
    ),
    "log-dhcp": ({"action": "add", "known": {}, "log": True}, f"{MAC} {IP}", {**LEFT, "LOG_DHCP": "1"}),
    "other hardware": ({"action": "add", "known": {}, "htype": 6}, f"06-{MAC} {IP}", LEFT),
    "no hardware address": ({"action": "add", "known": {}, "hardware": b"", "htype": 32}, f"20- {IP}", LEFT),
    "over this very second": (
        {"action": "old", "expires": NOW, "known": {}},
        f"{MAC} {IP}",
        {"LEASE_EXPIRES": "1800000000", "TIME_REMAINING": "0", "INTERFACE": "lan0"},
    ),
}


@pytest.mark.parametrize(("event", "arguments", "variables"), CALLS.values(), ids=CALLS)
def test_lease_call(event: dict[str, Any], arguments: str, variables: dict[str, str]) -> None:
    assert call_of(**event) == ([event["action"], *arguments.split(" ")], variables)


# -- neighbours --------------------------------------------------------------------

A, B, V6 = socket.inet_aton("10.0.0.1"), socket.inet_aton("10.0.0.2"), socket.inet_pton(socket.AF_INET6, "fe80::1")
ONE, TWO = bytes.fromhex("020000000001"), bytes.fromhex("020000000002")
NEIGHBOURS: list[tuple[dict[bytes, bytes], dict[bytes, bytes], list[str]]] = [
    ({}, {}, []),
    ({A: ONE}, {A: ONE}, []),
    ({}, {A: ONE}, ["arp-add 02:00:00:00:00:01 10.0.0.1"]),
    ({A: ONE}, {}, ["arp-del 02:00:00:00:00:01 10.0.0.1"]),
    ({A: ONE}, {A: TWO}, ["arp-del 02:00:00:00:00:01 10.0.0.1", "arp-add 02:00:00:00:00:02 10.0.0.1"]),
    ({A: ONE, B: TWO}, {B: TWO, V6: ONE}, ["arp-del 02:00:00:00:00:01 10.0.0.1", "arp-add 02:00:00:00:00:01 fe80::1"]),
]


@pytest.mark.parametrize(("before", "after", "expected"), NEIGHBOURS)
def test_neighbours(
    before: dict[bytes, bytes], after: dict[bytes, bytes], expected: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pydnsmasq, "neighbours_read", lambda: dict(before))
    watch = pydnsmasq.NeighbourWatch()
    assert watch.changes() == [], "who is there at the start is no news"
    monkeypatch.setattr(pydnsmasq, "neighbours_read", lambda: dict(after))
    calls = watch.changes()
    assert [" ".join(call.arguments) for call in calls] == expected
    assert all(call.variables == {} for call in calls)
    assert watch.changes() == [], "news is told once"


# -- the helper --------------------------------------------------------------------

# What keeps a script from ending until the test lets it.
GATE = "echo >$GATE.began; while [ ! -e $GATE ]; do sleep 0.01; done"
# Writes a line for each run: what it was called, its arguments, and what surrounds it.
TELL = """#!/bin/sh
echo "${0##*/}|$*|$DNSMASQ_TAGS|$DNSMASQ_LEFTOVER|$INHERITED|$(pwd)|$(cat)" >>"$OUT"
"""


class Kit:
    """ScriptHelpers that end with the test, their log and their process ids."""

    def __init__(self, directory: pathlib.Path) -> None:
        self.directory = directory
        self.out = directory / "out"
        self.rows: list[tuple[int, str, str]] = []
        self.log = pydnsmasq.Log()
        self.log.sinks = [lambda stamp, lines: self.rows.extend(lines)]
        self.made: list[tuple[Any, int]] = []

    def script(self, text: str, name: str = "script") -> str:
        """Write a script; `$OUT` in it is the file that `lines` reads, `$GATE` one that may be waited for."""
        path = self.directory / name
        text = text if text.startswith("#!") else f"#!/bin/sh\n{text}\n"
        path.write_text(text.replace("$OUT", str(self.out)).replace("$GATE", str(self.directory / "gate")))
        path.chmod(0o755)
        return str(path)

    def open_gate(self) -> None:
        (self.directory / "gate").touch()

    def helper(
        self, path: str, account: tuple[int, int] | None = None, keep_output: bool = False, start: bool = True
    ) -> Any:
        pids: list[int] = []
        fork = os.fork

        def noting() -> int:
            pid = fork()
            if pid:
                pids.append(pid)
            return pid

        os.fork = noting
        try:
            with warnings.catch_warnings():  # of Python 3.12: other threads are no matter here
                warnings.simplefilter("ignore", DeprecationWarning)
                made = pydnsmasq.ScriptHelper(path, account, keep_output, self.log)
        finally:
            os.fork = fork
        self.made.append((made, pids[0]))
        if start:
            made.start()
        return made

    @property
    def pid(self) -> int:
        return self.made[-1][1]

    def wait_began(self) -> None:
        """Wait until a script stands before the gate."""
        wait_until((self.directory / "gate.began").exists, 5, "the first run")

    def lines(self) -> list[str]:
        return self.out.read_text("latin-1").splitlines() if self.out.exists() else []

    def said(self) -> list[tuple[int, str, str]]:
        self.log.flush()
        return self.rows

    def texts(self) -> list[str]:
        return [text for _, _, text in self.said()]

    def ended(self, seconds: float = 5.0) -> None:
        """Wait for the end of the last helper's process."""
        helper, pid = self.made.pop()
        try:
            wait_until(lambda: os.waitpid(pid, os.WNOHANG)[0], seconds, "the helper's end")
        except AssertionError:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            raise
        finally:
            helper._ours.close()

    def close(self) -> None:
        self.open_gate()
        for helper, _ in list(self.made):
            helper.stop()
        while self.made:
            self.ended()


@pytest.fixture
def kit(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Kit]:
    monkeypatch.setenv("INHERITED", "yes")
    monkeypatch.setenv("DNSMASQ_LEFTOVER", "of another dnsmasq")
    made = Kit(tmp_path)
    yield made
    made.close()


def call(*arguments: str, **variables: str) -> Any:
    return pydnsmasq.ScriptCall(list(arguments), {f"DNSMASQ_{name}": text for name, text in variables.items()})


def test_what_a_script_finds(kit: Kit) -> None:
    helper = kit.helper(kit.script(TELL, "tell.sh"))
    helper.put(call("add", MAC, IP, "pc", TAGS="a b"))
    helper.put(call("del", MAC, IP, ""))
    wait_until(lambda: len(kit.lines()) == 2, 5, "two runs")
    assert kit.lines() == [f"tell.sh|add {MAC} {IP} pc|a b||yes|/|", f"tell.sh|del {MAC} {IP} |||yes|/|"]
    assert kit.said() == []


def test_a_script_is_called_by_its_last_name(kit: Kit) -> None:
    need(os.path.exists("/proc/self/cmdline"), "/proc")
    helper = kit.helper(sys.executable)  # tells its own first word
    helper.put(call("-c", "print(open('/proc/self/cmdline').read().split(chr(0))[0])"))
    wait_until(kit.texts, 5, "the first word")
    assert kit.texts() == [os.path.basename(sys.executable)]


OUTPUT: dict[str, tuple[str, list[str]]] = {
    "both ways": ("echo out; echo err >&2; echo more", ["out", "err", "more"]),
    "no line end": ("printf 'a\\nb'", ["a", "b"]),
    "carriage returns": ("printf 'a\\r\\nb\\r\\n'", ["a", "b"]),
    "empty lines": ("printf '\\n\\nx\\n'", ["", "", "x"]),
    "not text": ("printf '\\377\\376\\n'", ["\ufffd\ufffd"]),
    "nothing": (":", []),
    "closed": ("exec >&- 2>&-", []),
    "much": ("i=0; while [ $i -lt 300 ]; do echo line $i; i=$((i+1)); done", [f"line {i}" for i in range(300)]),
}


@pytest.mark.parametrize(("script", "expected"), OUTPUT.values(), ids=OUTPUT)
def test_output_goes_to_the_log(script: str, expected: list[str], kit: Kit) -> None:
    helper = kit.helper(kit.script(f"{script}\necho done >>$OUT"))
    helper.put(call("add"))
    wait_until(kit.lines, 5, "the run")
    wait_until(lambda: len(kit.said()) >= len(expected), 5, "its output")
    assert kit.said() == [(pydnsmasq.LOG_DEBUG, "script", text) for text in expected]


NO_FILE, REFUSED = "No such file or directory", "Permission denied"
ENDINGS: dict[str, tuple[str, str]] = {
    "success": ("exit 0", ""),
    "status": ("exit 3", "script process exited with status 3"),
    "like a failed exec": ("exit 127", "script process exited with status 127"),
    "signal": ("kill -9 $$", "script process killed by signal 9"),
    # What the helper ignores a script need not.
    "term": ("kill -TERM $$; exit 1", "script process killed by signal 15"),
    "hup": ("kill -HUP $$; exit 1", "script process killed by signal 1"),
    "pipe": ("kill -PIPE $$; exit 1", "script process killed by signal 13"),
}


@pytest.mark.parametrize(("script", "expected"), ENDINGS.values(), ids=ENDINGS)
def test_how_it_ended(script: str, expected: str, kit: Kit) -> None:
    helper = kit.helper(kit.script(f"echo ran >>$OUT\n{script}"))
    helper.put(call("add"))
    wait_until(lambda: len(kit.lines()) == 1, 5, "the first run")
    helper.put(call("add"))
    wait_until(lambda: len(kit.lines()) == 2, 5, "a second run")
    if expected:
        wait_until(lambda: len(kit.said()) == 2, 5, "both lines")
    assert kit.said() == [(pydnsmasq.LOG_WARNING, "", expected)] * 2 * bool(expected)


def test_a_script_that_cannot_be_run(kit: Kit) -> None:
    rows = {
        str(kit.directory / "missing"): NO_FILE,
        str(kit.directory): REFUSED,
        str(kit.directory / "text"): REFUSED,
        kit.script("#!/no/such/interpreter\n", "odd"): NO_FILE,
    }
    (kit.directory / "text").write_text("echo\n")
    for path in rows:
        kit.helper(path).put(call("add"))
        wait_until(lambda: len(kit.said()) == 1, 5, "a word")
        assert kit.rows.pop() == (pydnsmasq.LOG_ERROR, "", f"failed to execute {path}: {rows[path]}")


def test_a_script_that_appears_later(kit: Kit) -> None:
    helper = kit.helper(str(kit.directory / "script"))
    helper.put(call("add"))
    wait_until(kit.texts, 5, "the complaint")
    kit.script("echo here >>$OUT")
    helper.put(call("add"))
    wait_until(lambda: kit.lines() == ["here"], 5, "the run")


def test_a_nul_does_not_end_the_helper(kit: Kit) -> None:
    helper = kit.helper(kit.script("echo $1 >>$OUT"))
    helper.put(call("a\0b"))
    helper.put(call("next"))
    wait_until(lambda: kit.lines() == ["next"], 5, "the next run")


def test_a_hanging_script_keeps_nobody_waiting(kit: Kit) -> None:
    """Calls are queued at once, and run in their order, one at a time, when the script goes on."""
    helper = kit.helper(kit.script(f"{GATE}; echo $1 >>$OUT"))
    began = time.monotonic()
    for number in range(120):
        helper.put(call(str(number)))
    assert time.monotonic() - began < 2
    assert kit.lines() == []
    kit.open_gate()
    wait_until(lambda: len(kit.lines()) == 120, 10, "all runs")
    assert kit.lines() == [str(number) for number in range(120)]


def test_a_queue_without_end_is_none(kit: Kit, monkeypatch: pytest.MonkeyPatch) -> None:
    """A script that hangs for days costs bounded memory: the newest events are lost, what was taken is run in order."""
    monkeypatch.setattr(pydnsmasq, "SCRIPT_QUEUE_MAX", 5)
    helper = kit.helper(kit.script(f"echo $1 >>$OUT; {GATE}"))
    end = time.monotonic() + 5
    number = 0
    while not kit.texts() and time.monotonic() < end:
        helper.put(call(str(number), TAGS="x" * 5000))
        number += 1
        time.sleep(0.001)
    for _ in range(100):
        helper.put(call("lost"))
    assert kit.texts() == ["dhcp-script is too slow: 5 events wait, one is dropped"], "said once, not 100 times"
    assert len(helper._calls) <= 5
    kit.open_gate()
    wait_until(lambda: len(kit.lines()) == number - 1, 10, "the rest")
    helper.put(call("last"))
    wait_until(lambda: len(kit.lines()) == number, 5, "room again")
    assert kit.lines() == [*map(str, range(number - 1)), "last"]


def test_what_a_script_leaves_behind_holds_nobody_up(kit: Kit) -> None:
    """A process in the background that kept the output open is not waited for."""
    helper = kit.helper(kit.script(f"echo $1; ({GATE}) & echo $1 >>$OUT"))
    for name in "abc":
        helper.put(call(name))
    wait_until(lambda: kit.lines() == ["a", "b", "c"], 3, "the next runs")
    wait_until(lambda: kit.texts() == ["a", "b", "c"], 3, "their output")


def test_signals_are_for_the_daemon(kit: Kit) -> None:
    """Who signals a process group, or pkills a name, does not lose the helper."""
    helper = kit.helper(kit.script("echo $1 >>$OUT"))
    helper.put(call("before"))
    wait_until(kit.lines, 5, "it is at work")
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2):
        os.kill(kit.pid, number)
    helper.put(call("after"))
    wait_until(lambda: kit.lines() == ["before", "after"], 5, "the next run")


def fds(pid: int) -> dict[int, str]:
    return {int(fd): os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")}


def test_foreign_descriptors_are_closed(kit: Kit) -> None:
    """The helper keeps no socket and no file of the daemon open, nor does a script get one."""
    need(os.path.isdir("/proc/self/fd"), "/proc")
    with socket.socket() as listener, open(os.devnull) as file:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        high = os.dup(file.fileno())
        os.set_inheritable(high, True)
        os.set_inheritable(listener.fileno(), True)
        helper = kit.helper(shutil.which("ls") or "/bin/ls")
        os.close(high)
        port = listener.getsockname()[1]
        helper.put(call("/proc/self/fd"))
        wait_until(lambda: len(kit.texts()) >= 4, 5, "the list")
    assert kit.texts() == ["0", "1", "2", "3"], "3 is the directory that is listed"
    wait_until(lambda: len(fds(kit.pid)) == 4, 3, "the helper to be at rest")
    held = fds(kit.pid)
    assert {held.pop(fd) for fd in (0, 1, 2)} == {os.devnull}
    assert next(iter(held.values())).startswith("socket:")
    with socket.socket() as again:
        again.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        again.bind(("127.0.0.1", port))


def test_debugging_leaves_the_output_alone(kit: Kit, capfd: pytest.CaptureFixture[str]) -> None:
    helper = kit.helper(kit.script("echo to you; echo and you >&2; echo done >>$OUT"), keep_output=True)
    helper.put(call("add"))
    wait_until(kit.lines, 5, "the run")
    seen = capfd.readouterr()
    assert (seen.out, seen.err, kit.texts()) == ("to you\n", "and you\n", [])


# -- whose rights it has -----------------------------------------------------------


@pytest.fixture
def open_place() -> Iterator[pathlib.Path]:
    """A directory that every account can reach."""
    directory = pathlib.Path(tempfile.mkdtemp(prefix="pydnsmasq-hooks-", dir="/tmp"))
    directory.chmod(0o755)
    yield directory
    shutil.rmtree(directory)


def test_a_script_runs_as_its_account(open_place: pathlib.Path, kit: Kit) -> None:
    need(os.geteuid() == 0, "root")
    need_tool("id")
    kit.directory, kit.out = open_place, open_place / "out"
    path = kit.script("echo $(id -u) $(id -g) $(id -G)")
    for account, expected in (((65534, 65533), "65534 65533 65533"), ((0, 0), None), (None, None)):
        kit.helper(path, account).put(call("add"))
        wait_until(lambda: len(kit.said()) == 1, 5, "the account")
        text = kit.rows.pop()[2]
        assert text == expected if expected else text.startswith("0 0 ")


def test_the_helper_keeps_its_own_rights(open_place: pathlib.Path, kit: Kit) -> None:
    """A second script is run as the same account as the first: the helper did not become it for good."""
    need(os.geteuid() == 0, "root")
    kit.directory, kit.out = open_place, open_place / "out"
    helper = kit.helper(kit.script("id -u"), (65534, 65534))
    for _ in range(3):
        helper.put(call("add"))
    wait_until(lambda: len(kit.said()) == 3, 5, "three runs")
    assert kit.texts() == ["65534"] * 3
    status = pathlib.Path(f"/proc/{kit.pid}/status").read_text()
    assert "\nUid:\t0\t0\t0\t0\n" in status


def test_an_account_that_may_not_run_it(open_place: pathlib.Path, kit: Kit) -> None:
    need(os.geteuid() == 0, "root")
    kit.directory, kit.out = open_place, open_place / "out"
    path = kit.script("echo never")
    os.chmod(path, 0o700)
    kit.helper(path, (65534, 65534)).put(call("add"))
    wait_until(kit.texts, 5, "the complaint")
    assert kit.texts() == [f"failed to execute {path}: {REFUSED}"]


def test_without_root_the_account_is_as_it_is(kit: Kit, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who is not root cannot change accounts, and runs the script all the same."""
    monkeypatch.setattr(os, "getuid", lambda: 1000)
    kit.helper(kit.script("echo ran >>$OUT"), (65534, 65534)).put(call("add"))
    wait_until(kit.lines, 5, "the run")
    assert kit.lines() == ["ran"] and kit.texts() == []


# -- the end -----------------------------------------------------------------------


@pytest.mark.parametrize("count", [0, 1, 150])
def test_stop_hands_over_what_waits(count: int, kit: Kit) -> None:
    """The daemon ends at once; the helper runs everything, in order, and ends by itself."""
    helper = kit.helper(kit.script(f"{GATE}; echo $1 >>$OUT"))
    for number in range(count):
        helper.put(call(str(number), TAGS="some tags that make it as long as a call is"))
    if count:
        kit.wait_began()
    began = time.monotonic()
    helper.stop()
    assert time.monotonic() - began < 1
    helper._ours.close()  # as by the end of the daemon
    kit.open_gate()
    kit.ended(15)
    assert kit.lines() == [str(number) for number in range(count)]
    assert [text for text in kit.texts() if "gone" in text] == []


def test_stop_while_events_come_and_go(kit: Kit) -> None:
    """Nothing is lost, doubled or turned round when the end comes while the thread is at work."""
    for turn in range(6):
        kit.out.unlink(missing_ok=True)
        kit.directory.joinpath("gate").touch()
        helper = kit.helper(kit.script("echo $1 >>$OUT"))
        for number in range(12):
            helper.put(call(str(number)))
        wait_until(lambda: len(kit.lines()) >= 1 + turn, 5, "some runs")  # noqa: B023
        helper.stop()
        helper._ours.close()
        kit.ended()
        assert kit.lines() == [str(number) for number in range(12)]


def test_the_helper_ends_with_the_daemon(kit: Kit) -> None:
    helper = kit.helper(kit.script("sleep 0.1; echo $1 >>$OUT"))
    helper.put(call("last"))
    wait_until(lambda: not helper._calls, 5, "the call to go out")
    time.sleep(0.05)
    helper._ours.shutdown(socket.SHUT_RDWR)  # as by a KILL
    kit.ended()
    assert kit.lines() == ["last"], "what it was told is done all the same"


def test_after_the_end_the_helper_waits_in_peace(kit: Kit) -> None:
    """The daemon has ended while a script hangs: the helper sleeps until that is over, and does the rest."""
    helper = kit.helper(kit.script(f"({GATE}) & {GATE}; echo $1 >>$OUT"))
    helper.put(call("one"))
    helper.put(call("two"))
    kit.wait_began()
    helper.stop()
    helper._ours.shutdown(socket.SHUT_RDWR)
    time.sleep(0.1)
    before = process_cpu_seconds(kit.pid)
    time.sleep(0.4)
    assert process_cpu_seconds(kit.pid) - before < 0.1
    kit.open_gate()
    kit.ended()
    assert kit.lines() == ["one", "two"]


def test_a_helper_that_died(kit: Kit) -> None:
    """The daemon says so, and neither waits for it nor keeps what it would have told it."""
    helper = kit.helper(kit.script("echo $1 >>$OUT"))
    os.kill(kit.pid, signal.SIGKILL)
    os.waitid(os.P_PID, kit.pid, os.WEXITED | os.WNOWAIT)
    helper.put(call("add"))
    wait_until(kit.texts, 5, "the complaint")
    for _ in range(1000):
        helper.put(call("add"))
    assert len(helper._calls) < 10, "calls pile up that nobody will take"
    time.sleep(0.05)
    assert [row[0] for row in kit.said()] == [pydnsmasq.LOG_ERROR]
    assert kit.texts()[0].startswith("the helper for dhcp-script is gone: ")
    began = time.monotonic()
    helper.stop()
    assert time.monotonic() - began < 1


def test_an_end_before_the_start(kit: Kit) -> None:
    """The start fails after the fork: the helper ends, and nothing hangs."""
    helper = kit.helper(kit.script("echo $1 >>$OUT"), start=False)
    began = time.monotonic()
    helper.stop()
    assert time.monotonic() - began < 1
    helper._ours.close()
    kit.ended()
