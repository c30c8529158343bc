"""What the tests of the shell's sections stand on: configurations from text, an exchange, a log that can be read."""

from __future__ import annotations

import os
import queue
import threading
import time
from typing import Any

import dnswire
import pydnsmasq
from harness import wait_until
from pure import DictSource


def settings(text: str = "") -> Any:
    """The Config of a configuration file."""
    result = pydnsmasq.config_load(["-C", "conf"], DictSource({"conf": text.encode()}))
    assert result.config is not None, [repr(problem) for problem in result.problems]
    return result.config


class LogLines:
    """A log whose lines are read with `lines()`."""

    def __init__(self) -> None:
        self.log = pydnsmasq.Log()
        self._lines: list[str] = []
        self.log.sinks = [self._take]

    def _take(self, stamp: float, lines: list[Any]) -> None:
        self._lines += [line if isinstance(line, str) else line[2] for line in lines]

    def lines(self) -> list[str]:
        self.log.flush()
        return list(self._lines)

    def text(self) -> str:
        return "\n".join(self.lines())


class Waiter:
    """A client of the exchange; `reply` waits for its message."""

    def __init__(self, first: bytes | None) -> None:
        self.queue: queue.Queue[bytes] = queue.Queue()
        self.began = time.monotonic()
        self.took = 0.0
        if first is not None:
            self.queue.put(first)

    def reply(self, seconds: float = 3.0) -> dnswire.DnsMessage | None:
        try:
            data = self.queue.get(timeout=seconds)
        except queue.Empty:
            return None
        self.took = time.monotonic() - self.began
        return dnswire.parse(data)


class Exchange:
    """An UpstreamExchange with its thread, its state made from a configuration text."""

    def __init__(self, text: str, descriptors: int = 4096) -> None:
        self.log = LogLines()
        self.config = settings(text)
        self.rights = pydnsmasq.Rights()
        self.netfilter = pydnsmasq.Netfilter(self.rights, self.log.log)
        self.exchange = pydnsmasq.UpstreamExchange(self.log.log, None, descriptors, self.rights, self.netfilter)
        rules = pydnsmasq.DomainRules({})
        for rule in self.config.server:
            rules.add_server(rule)
        local = pydnsmasq.LocalData()
        local.freeze()
        self.state = pydnsmasq.DnsState(
            self.config,
            local,
            rules,
            pydnsmasq.DnsCache(self.config.cache_size),
            pydnsmasq.WireAnswers(self.config.cache_size),
            pydnsmasq.DnsMetrics(),
            self.log.log,
        )
        self._thread = threading.Thread(target=self.exchange.run, daemon=True)

    @property
    def servers(self) -> list[Any]:
        return list(self.state.rules.default.servers)

    def __enter__(self) -> Exchange:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.exchange.stop()
        self._thread.join(5)
        assert not self._thread.is_alive(), "the receiver does not end"
        for channel in list(self.exchange._sockets.values()):
            channel.sock.close()
        for idle in self.exchange._idle_tcp.values():
            for sock, _ in idle:
                sock.close()
        self.exchange._epoll.close()
        os.close(self.exchange._wake)
        assert "internal error in upstream" not in self.log.text()

    def ask(
        self, name: str | bytes, qtype: str = "A", *, client: str = "127.0.0.9", port: int = 1000, tcp: bool = False,
        mark: int = 0, **options: Any,
    ) -> Waiter:  # fmt: skip
        """Put a question as a client would, past everything local; `mark` is that of its connection."""
        wire = dnswire.build_query(name, qtype, **options)
        waiter = Waiter(None)
        peer = pydnsmasq.DnsClient(client, port, tcp, waiter.queue.put)
        peer.mark, peer.marked = lambda: mark, mark
        answer = pydnsmasq.dns_answer(pydnsmasq.dns_query_unpack(wire), peer, self.state, time.monotonic())
        silent = pydnsmasq.QUERY_LOG_SILENT
        if answer.outcome != "forward":
            waiter.queue.put(answer.finish(False)[0])
            return waiter
        first = self.exchange.ask_tcp(answer, silent) if tcp else self.exchange.ask(answer, silent)
        if first is not None:
            waiter.queue.put(first)
        return waiter

    def get(self, name: str | bytes, qtype: str = "A", **options: Any) -> dnswire.DnsMessage:
        """Ask and wait for the answer."""
        reply = self.ask(name, qtype, **options).reply()
        assert reply is not None, f"no answer for {name!r}; the log: {self.log.text()}"
        return reply

    def quiet(self) -> None:
        """Wait until nothing is out."""
        wait_until(lambda: not self.exchange._pending, 12, "an empty table")


def descriptors() -> int:
    """How many descriptors this process has open."""
    return len(os.listdir("/proc/self/fd"))
