"""Section 13: the queue, its bound, its writer, sinks that fail, and the text of a log file."""

from __future__ import annotations

import threading
import time
import types
from collections.abc import Iterator
from typing import Any

import pytest

import pydnsmasq
from pydnsmasq import LOG_LINE_MAX, LOG_QUEUE_MAX, Log, log_format

WAIT = 20.0  # seconds; only a broken program takes so long


class Sink:
    """Keep what is written; fail as often as told."""

    def __init__(self, failures: int = 0) -> None:
        self.failures = failures
        self.batches: list[list[Any]] = []
        self.stamps: list[float] = []
        self.written = threading.Event()

    def __call__(self, stamp: float, lines: list[Any]) -> None:
        if self.failures:
            self.failures -= 1
            raise OSError(28, "No space left on device")
        self.stamps.append(stamp)
        self.batches.append(list(lines))
        self.written.set()

    @property
    def lines(self) -> list[Any]:
        return [line for batch in self.batches for line in batch]


def log_with(*sinks: Sink) -> Log:
    log = Log()
    log.sinks.extend(sinks)
    return log


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> types.SimpleNamespace:
    """The program's clock, to be set by hand: `wall` and `mono`."""
    hands = types.SimpleNamespace(wall=1000.0, mono=50.0)
    fake = types.SimpleNamespace(
        time=lambda: hands.wall, monotonic=lambda: hands.mono, sleep=time.sleep,
        strftime=time.strftime, localtime=time.localtime,
    )  # fmt: skip
    monkeypatch.setattr(pydnsmasq, "time", fake)
    return hands


@pytest.fixture
def utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "UTC")
        time.tzset()
        yield
    time.tzset()


# -- lines and priorities ----------------------------------------------------------

PRIORITIES = {
    "LOG_CRITICAL": 2, "LOG_ERROR": 3, "LOG_WARNING": 4, "LOG_INFO": 6, "LOG_DEBUG": 7,
}  # fmt: skip


@pytest.mark.parametrize(("name", "number"), PRIORITIES.items())
def test_priorities_are_those_of_syslog(name: str, number: int) -> None:
    assert getattr(pydnsmasq, name) == number  # RFC 3164 s.4.1.1


@pytest.mark.parametrize(("method", "priority"), [("info", 6), ("warning", 4), ("error", 3)])
def test_methods_queue_their_priority(method: str, priority: int) -> None:
    sink = Sink()
    log = log_with(sink)
    getattr(log, method)("plain")
    getattr(log, method)("tagged", "dhcp")
    assert sink.batches == []
    log.flush()
    assert sink.batches == [[(priority, "", "plain"), (priority, "dhcp", "tagged")]]


def test_put_takes_a_text_or_a_tuple() -> None:
    sink = Sink()
    log = log_with(sink)
    log.put("query[A] a from 127.0.0.1")
    log.put((7, "tftp", "sent"))
    log.flush()
    assert sink.lines == ["query[A] a from 127.0.0.1", (7, "tftp", "sent")]


def test_a_new_log_is_quiet() -> None:
    log = Log()
    assert (log.sinks, log.queries, log.debug) == ([], False, False)
    log.flush()


# -- flush ---------------------------------------------------------------------------


def test_flush_keeps_the_order_and_leaves_nothing() -> None:
    sink = Sink()
    log = log_with(sink)
    for number in range(500):
        log.put(f"line {number}")
    log.flush()
    log.flush()
    assert sink.batches == [[f"line {number}" for number in range(500)]]


def test_flush_writes_what_a_sink_itself_brings_about() -> None:
    sink = Sink()
    log = log_with(sink)

    def nosy(stamp: float, lines: list[Any]) -> None:
        if "first" in lines:
            log.put("second")

    log.sinks.append(nosy)
    log.put("first")
    log.flush()
    assert sink.batches == [["first"], ["second"]]


def test_every_sink_gets_every_line() -> None:
    sinks = [Sink(), Sink(), Sink()]
    log = log_with(*sinks)
    log.info("a")
    log.flush()
    log.info("b")
    log.flush()
    assert [sink.lines for sink in sinks] == [[(6, "", "a"), (6, "", "b")]] * 3


def test_a_batch_bears_the_time_of_its_first_line(clock: Any) -> None:
    sink = Sink()
    log = log_with(sink)
    for wall, text in ((1000.0, "a"), (1000.5, "b"), (1001.0, "c")):
        clock.wall = wall
        log.put(text)
    clock.wall = 1002.0
    log.flush()
    clock.wall = 1010.0
    log.put("d")
    clock.wall = 1011.0
    log.flush()
    assert sink.batches == [["a", "b", "c"], ["d"]]
    assert sink.stamps == [1000.0, 1010.0]


# -- the bound -----------------------------------------------------------------------


@pytest.mark.parametrize("over", [0, 1, 2, 5000])
def test_the_queue_is_bounded_and_says_what_was_lost(over: int) -> None:
    sink = Sink()
    log = log_with(sink)
    for number in range(LOG_QUEUE_MAX + over):
        log.put(str(number))
    log.flush()
    assert sink.lines[:LOG_QUEUE_MAX] == [str(number) for number in range(LOG_QUEUE_MAX)]
    assert sink.lines[LOG_QUEUE_MAX:] == ([(3, "", f"overflow: {over} log entries lost")] if over else [])
    log.put("after")
    log.flush()
    assert sink.lines[-1] == "after"
    assert len(sink.lines) == LOG_QUEUE_MAX + bool(over) + 1


def test_after_an_overflow_the_queue_takes_lines_again() -> None:
    sink = Sink()
    log = log_with(sink)
    for _ in range(3):
        for number in range(LOG_QUEUE_MAX + 10):
            log.put(str(number))
        log.flush()
    assert [line for line in sink.lines if isinstance(line, tuple)] == [(3, "", "overflow: 10 log entries lost")] * 3


# -- sinks that fail -----------------------------------------------------------------


def test_a_failing_sink_is_survived_and_the_loss_is_told() -> None:
    sink = Sink(failures=1)
    log = log_with(sink)
    for number in range(7):
        log.put(str(number))
    log.flush()
    assert sink.lines == []
    log.put("again")
    log.flush()
    assert sink.lines == ["again", (3, "", "overflow: 7 log entries lost")]
    log.put("more")
    log.flush()
    assert sink.lines[2:] == ["more"]


def test_the_loss_adds_up_while_a_sink_keeps_failing() -> None:
    sink = Sink(failures=3)
    log = log_with(sink)
    for count in (3, 2, 4):
        for number in range(count):
            log.put(str(number))
        log.flush()
    log.put("again")
    log.flush()
    assert sink.lines == ["again", (3, "", "overflow: 9 log entries lost")]


def test_a_failing_sink_does_not_silence_the_next() -> None:
    broken, sound = Sink(failures=10**9), Sink()
    log = log_with(broken, sound)
    log.put("a")
    log.put("b")
    log.flush()
    assert sound.lines == ["a", "b"]
    assert broken.lines == []


def test_flush_frees_its_lock_after_a_failure() -> None:
    log = log_with(Sink(failures=1))
    log.put("a")
    log.flush()
    done = threading.Event()

    def again() -> None:
        log.put("b")
        log.flush()
        done.set()

    thread = threading.Thread(target=again, daemon=True)
    thread.start()
    assert done.wait(WAIT)


# -- complaints and failures ---------------------------------------------------------


def test_complain_says_the_same_once_in_a_while(clock: Any) -> None:
    sink = Sink()
    log = log_with(sink)
    for tenths in range(110):
        clock.mono = 50.0 + tenths / 10
        log.complain(("full", "10.0.0.1"), "queue is full")
    log.complain("other", "something else", pydnsmasq.LOG_ERROR)
    log.flush()
    assert sink.lines == [
        (4, "", "queue is full"),
        (4, "", "queue is full (50 times)"),
        (4, "", "queue is full (50 times)"),
        (3, "", "something else"),
    ]


def test_complain_does_not_count_to_one(clock: Any) -> None:
    sink = Sink()
    log = log_with(sink)
    for mono in (50.0, 60.0):
        clock.mono = mono
        log.complain("key", "text")
    log.flush()
    assert sink.lines == [(4, "", "text")] * 2


def inner_that_fails() -> None:
    raise ValueError("seven")


def outer_that_fails() -> None:
    inner_that_fails()


def test_failure_is_one_line_with_its_place() -> None:
    sink = Sink()
    log = log_with(sink)
    for _ in range(3):
        try:
            outer_that_fails()
        except ValueError as error:
            log.failure("udp", error)
    log.flush()
    line = inner_that_fails.__code__.co_firstlineno + 1
    assert sink.lines == [(3, "", f"internal error in udp at line {line} (inner_that_fails): ValueError: seven")]


def test_failure_of_an_error_that_was_never_raised() -> None:
    sink = Sink()
    log = log_with(sink)
    log.failure("tcp", KeyError("k"))
    log.flush()
    assert sink.lines == [(3, "", "internal error in tcp at unknown line: KeyError: 'k'")]


def test_failures_of_two_kinds_are_both_told() -> None:
    sink = Sink()
    log = log_with(sink)
    for where, error in (("a", KeyError("k")), ("b", KeyError("k")), ("a", ValueError("k")), ("a", KeyError("k"))):
        log.failure(where, error)
    log.flush()
    assert len(sink.lines) == 3


# -- the writer ------------------------------------------------------------------------


def test_the_writer_writes_what_waited_before_it_started() -> None:
    sink = Sink()
    log = log_with(sink)
    log.put("early")
    log.start()
    assert sink.written.wait(WAIT)
    assert sink.lines == ["early"]


def test_the_writer_writes_again_and_again() -> None:
    sink = Sink()
    log = log_with(sink)
    log.start()
    for number in range(20):
        sink.written.clear()
        log.put(str(number))
        assert sink.written.wait(WAIT), number
    assert sink.lines == [str(number) for number in range(20)]


def test_the_writer_survives_a_failing_sink() -> None:
    sink = Sink(failures=1)
    failed = threading.Event()
    log = log_with(sink)
    log.sinks.append(lambda stamp, lines: failed.set())
    log.start()
    log.put("lost")
    assert failed.wait(WAIT)
    log.flush()
    log.put("kept")
    assert sink.written.wait(WAIT)
    assert sink.lines[0] == "kept"


def test_the_writer_does_not_keep_the_process() -> None:
    log = Log()
    log.start()
    threads = [thread for thread in threading.enumerate() if thread.name == "log"]
    assert threads
    assert all(thread.daemon for thread in threads)


def test_put_never_waits_for_a_sink_that_hangs() -> None:
    entered, release = threading.Event(), threading.Event()
    sink = Sink()

    def stuck(stamp: float, lines: list[Any]) -> None:
        entered.set()
        assert release.wait(WAIT)

    log = log_with()
    log.sinks[:] = [stuck, sink]
    log.start()
    log.put("first")
    assert entered.wait(WAIT)
    done = threading.Event()

    def flood() -> None:
        for number in range(LOG_QUEUE_MAX + 5):
            log.put(str(number))
        done.set()

    threading.Thread(target=flood, daemon=True).start()
    assert done.wait(WAIT)
    assert sink.lines == []
    release.set()
    log.flush()
    assert sink.lines[0] == "first"
    assert sink.lines[-1] == (3, "", "overflow: 5 log entries lost")
    assert len(sink.lines) == LOG_QUEUE_MAX + 2


def test_flush_gives_up_on_a_writer_that_is_stuck(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody who ends the program waits for a disk that hangs."""
    monkeypatch.setattr(pydnsmasq, "LOG_PATIENCE", 0.01)
    entered, release = threading.Event(), threading.Event()

    def stuck(stamp: float, lines: list[Any]) -> None:
        entered.set()
        assert release.wait(WAIT)

    log = Log()
    log.sinks.append(stuck)
    log.start()
    log.put("first")
    assert entered.wait(WAIT)
    done = threading.Event()

    def last_words() -> None:
        log.put("second")
        log.flush()
        done.set()

    threading.Thread(target=last_words, daemon=True).start()
    assert done.wait(WAIT / 2)
    assert not release.is_set()
    release.set()


def test_many_threads_lose_nothing_and_keep_their_order() -> None:
    sink = Sink()
    log = log_with(sink)
    log.start()
    threads = [
        threading.Thread(target=lambda who=who: [log.put(f"{who} {number}") for number in range(2000)], daemon=True)
        for who in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(WAIT)
    log.flush()
    assert len(sink.lines) == 16_000
    for who in range(8):
        own = [line for line in sink.lines if line.startswith(f"{who} ")]
        assert own == [f"{who} {number}" for number in range(2000)]


# -- the text of a log file ------------------------------------------------------------

FORMATS: list[tuple[float, int, list[Any], str]] = [
    (0, 0, ["a"], "dnsmasq: a\n"),
    (0, 0, [], ""),
    (0, 42, ["a", "b"], "dnsmasq[42]: a\ndnsmasq[42]: b\n"),
    (0, 42, [(6, "dhcp", "a"), (4, "", "b")], "dnsmasq-dhcp[42]: a\ndnsmasq[42]: b\n"),
    (0, 0, [(6, "tftp", "a")], "dnsmasq-tftp: a\n"),
    (1_700_000_000, 7, ["a"], "Nov 14 22:13:20 dnsmasq[7]: a\n"),
    (1_700_000_000.999, 7, ["a"], "Nov 14 22:13:20 dnsmasq[7]: a\n"),
    (1_709_251_199, 7, [(3, "dhcp", "x")], "Feb 29 23:59:59 dnsmasq-dhcp[7]: x\n"),
    (1_704_067_200, 0, ["new year"], "Jan  1 00:00:00 dnsmasq: new year\n"),
    (1_704_067_200, 1, ["a", (6, "tftp", "b")], "Jan  1 00:00:00 dnsmasq[1]: a\nJan  1 00:00:00 dnsmasq-tftp[1]: b\n"),
]


@pytest.mark.parametrize(("stamp", "pid", "lines", "text"), FORMATS)
@pytest.mark.usefixtures("utc")
def test_format(stamp: float, pid: int, lines: list[Any], text: str) -> None:
    assert log_format(stamp, pid, "dnsmasq", lines) == text


@pytest.mark.parametrize("tag", ["", "dhcp"])
def test_a_line_is_cut_at_its_bound(tag: str) -> None:
    whole, over = "x" * LOG_LINE_MAX, "x" * LOG_LINE_MAX + "y"
    head = f"d-{tag}: " if tag else "d: "
    for line in (whole, over):
        assert log_format(0, 0, "d", [(6, tag, line)]) == f"{head}{whole}\n"
    assert log_format(0, 0, "d", [over]) == f"d: {whole}\n"


def test_the_bound_of_a_line_is_in_octets() -> None:
    line = log_format(0, 0, "", ["\u00e9" * LOG_LINE_MAX]).removeprefix(": ").removesuffix("\n")
    assert len(line.encode()) <= LOG_LINE_MAX


@pytest.mark.parametrize("foreign", ["a\nb", "a\rb", "a\0b", "a\x1b[2Jb"])
@pytest.mark.parametrize("tag", ["", "dhcp"])
def test_foreign_text_cannot_make_a_line_of_its_own(foreign: str, tag: str) -> None:
    for line in (foreign, (6, tag, foreign)):
        text = log_format(0, 0, "d", [line])
        assert text.endswith("\n")
        assert text[:-1].isprintable()


def test_details_are_for_log_debug_only() -> None:
    log = Log()
    log.detail("hidden")
    log.debug = True
    log.detail("shown")
    assert log._lines == [(7, "debug", "shown")]
