#!/usr/bin/python3
"""pydnsmasq: DNS, DHCP and TFTP for a small network, in one file.

The program is dnsmasq's twin: the same command line, configuration file,
signals, log lines and lease file, written in Python with nothing beside the
standard library (of it only what OpenWrt's python3-light carries).

Contents
  10  Limits
  11  Errors
  12  Tools
  13  Log
  15  Registries
  20  DNS names
  21  DNS record data
  22  DNS messages
  23  DHCPv4 messages
  26  TFTP packets
  27  Signatures
  28  ubus messages
  29  Netlink messages
  30  Settings
  31  Option values
  32  Options
  33  Configuration files
  40  Local data
  41  DNS cache
  42  Upstreams
  43  Leases
  44  DNSSEC facts
  50  DNSSEC validation
  51  DNS answers
  52  DNS authority
  53  DNS replies
  54  DHCP selection
  55  DHCPv4 options
  56  DHCPv4 exchanges
  57  DHCPv4 service
  58  DHCPv4 relaying
  59  TFTP transfers
  60  Operating system
  61  Upstream questions
  62  Upstream exchange
  63  Servers
  64  Hooks
  65  Lease file
  66  DHCP servers
  67  TFTP server
  68  ubus
  70  Building the state
  71  Daemon
  72  Main

How to read it: downward.  A section uses only sections with smaller numbers.
1x to 5x are pure: bytes, values, a clock reading and random numbers come in,
values go out (4x hold locks, nothing else).  Only 6x and 7x know an operating
system.

How a DNS packet flows
  UDP    DnsUdpServer (63) runs a loop of its own: recvmsg, a look-up of the
         query's bytes behind the id in WireAnswers (41), a send.  A hit costs
         two system calls and no parsing.
  miss   DnsService.query (63): unpack (22), then DNS_ANSWERERS (52) in order.
         A local or cached answer is packed, sent, and kept in WireAnswers.
  true   UpstreamExchange.ask (62) enters the question in the pending table and
  miss   sends it; no thread waits.  Identical questions join the entry.
  reply  the receiver thread (62) checks id, question and peer, runs
         DNS_REVIEWERS (53) over the reply, and answers every waiting client.
         Twenty times a second it looks whose patience is at its end.
  proof  With dnssec a reply goes to the thread that proves (62) before its
         review: dnssec_step (50) gives a verdict, or names DS or DNSKEY records
         that it needs.  These are asked for like any question, and what comes of
         them is kept in DnssecStore (44); then the step is done again.  Nobody
         waits, and a proof that takes long has its turns among the others.
  TCP    DnsTcpServer (63): bounded connections, a thread each, same core; the
         upstream is asked by TCP too.

How a DHCP packet flows
  Dhcp4Server (66) reads port 67 in one thread: unpack (23), network, tags and
  dhcp-host (54), the client (56), the decision (57), the options (55).  A changed lease (43) is in
  DNS (40) at once; its ACK waits in LeaseWriter (65) until the lease file is on
  disk, many replies for one write.  Then the script (64) hears of it.

How a file flows
  TftpServer (67) takes requests from port 69: unpack (26), path and options.  One
  thread waits for the sockets of all transfers; TftpTransfer (59) says for each
  packet what to send.  A lone transfer is waited for in its own socket: two system
  calls a block.

Threads
  main       signals, reload, watching files and interfaces (71)
  udp-*      one for each listening UDP socket (63)
  upstream   replies, retries, time-outs (62)
  dnssec     proofs; it begins with the first (62)
  dnssec-tcp asks once more by TCP for DS or DNSKEY records that were cut short (62)
  tcp-*      one acceptor for each listener; `tcp` for each connection (63)
  dhcp       messages, pings, ends of leases (66)
  leases     writes the lease file, sends the replies that wait for it (65)
  tftp       requests and transfers (67)
  script     hands calls to the helper process that runs the script (64)
  script-log logs what the helper sends back
  ubus       speaks to OpenWrt's bus, with enable-ubus (68)
  log        writes what the others queue (13)
Child processes: dnsmasq-script runs the script (64), dnsmasq-root does what only
root may (60).
State that several threads see has its own lock, is bounded, and never calls
out while it holds the lock; locks are taken in the order of the sections.

Reload: SIGHUP builds a new Config (30) and a new DnsState (51) aside, then one
assignment swaps them in; each packet reads the reference once.
"""

from __future__ import annotations

import binascii
import bisect
import collections
import errno
import fcntl
import functools
import gc
import grp
import heapq
import itertools
import marshal
import os
import pwd
import resource
import select
import socket
import socketserver
import stat
import struct
import sys
import threading
import time

TYPE_CHECKING = False
if not TYPE_CHECKING:  # their halves in Python cost 2 ms, a tenth of a start
    import _queue as queue
    import _signal as signal
else:
    import queue
    import signal
    import types
    from collections.abc import Callable, Container, Hashable, Iterable, Iterator, Sequence
    from dataclasses import dataclass as record
    from re import compile as Pattern  # noqa: N812
    from typing import Any, Protocol

__all__ = ["VERSION", "main"]

if __name__ == "__main__":  # a reload that comes too early must not be the end; main() installs the real handlers
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)

# ==============================================================================
# 10 Limits
#
# Every bound over foreign data, with its unit and what it stops, and the
# numbers that dnsmasq's users know as defaults.
#
# Uses nothing
# ==============================================================================

VERSION = "0.1.0"
DNSMASQ_VERSION = "2.93"  # the dialect that is spoken
PROCESS_NAME = "dnsmasq"  # in the log, whatever the file is called
# What scripts read in --version: whole tokens for what works, `no-` for what does not
COMPILE_OPTIONS = (
    "IPv6 GNU-getopt no-DBus UBus no-i18n no-IDN DHCP no-DHCPv6 no-Lua TFTP conntrack ipset nftset auth DNSSEC "
    "loop-detect dumpfile"
)  # fmt: skip

# ubus.
UBUS_MESSAGE_MAX = 1 << 20  # octets, as in libubus
UBUS_DEPTH_MAX = 8  # fields within fields
UBUS_QUEUE_MAX = 1024  # notifications that wait for the bus
UBUS_CONSULTATIONS_MAX = 256  # answers that wait for subscribers
UBUS_RESULTS_MAX = 32  # records of one answer that subscribers see
UBUS_RESULT_SECONDS = 0.1  # for what subscribers say of an address
UBUS_RESOLVED_SECONDS = 1.0  # for subscribers to do what an answer needs
UBUS_PATIENCE = 2.0  # seconds for a send to ubusd
UBUS_WAIT_MAX = 4.0  # seconds that a thread waits for subscribers, who have their time: a safety net
UBUS_RETRY_SECONDS = 5.0

# Requests of the daemon to its child that stayed root; octets, more than an answer's addresses need.
ROOT_REQUEST_MAX = 1 << 17
ROOT_PATIENCE = 1.0  # seconds for an answer of that child, which works at once

# DNS messages.
DNS_PORT = 53
DNS_HEADER_SIZE = 12  # octets
DNS_UDP_MIN = 512  # octets; RFC 1035, what a client without EDNS can take
DNS_UDP_DEFAULT = 1232  # octets; edns-packet-max
DNS_MESSAGE_MAX = 65535  # octets; TCP length field
DNS_NAME_MAX = 255  # octets on the wire; RFC 1035 s.3.1
DNS_LABEL_MAX = 63  # octets
DNS_POINTERS_MAX = 64  # compression jumps in one name; bounds the work for it
DNS_RECORDS_MAX = 4096  # records in one message; stops counts that the message cannot hold
DNS_CNAMES_MAX = 10  # CNAMEs in a reply that is cached
DNS_CHAIN_MAX = 254  # CNAME steps in an answer of our own

# Cache.
CACHE_SIZE = 150  # slots, one for each record
CACHE_SIZE_MAX = 5_000_000
CACHE_TTL_MAX = 0x7FFFFFFF  # seconds; RFC 2181 s.8
WIRE_ANSWERS_MIN = 1024  # entries; finished answers kept beside a small cache
WIRE_ANSWERS_MAX = 200_000
WIRE_QUERY_MAX = 320  # octets; longer queries are not worth a finished answer
WIRE_VARIANTS_MAX = 32  # rotations kept for one answer
STALE_WINDOW = 86_400  # seconds; use-stale-cache
REFRESH_PART = 10  # a popular name is refreshed in the last tenth of its life
REFRESH_HITS = 3  # hits since it was stored that make a name popular
REFRESH_AGAIN = 5  # seconds between two tries to refresh an entry
REFRESH_TTL_MIN = 10  # seconds; shorter lives are not refreshed ahead

# Forwarding.
CPU_SHARE_RATE = 500  # replies per second from which the threads of a question share a CPU
FORWARD_MAX = 150  # outstanding questions; dns-forward-max where it is not given
FORWARD_GROWTH = 40  # how many times FORWARD_MAX it may grow to by itself
FORWARD_BYTES = 2048  # of memory for each outstanding question, as a bound on that growth
FORWARD_TIMEOUT = 10.0  # seconds; a question nobody answered is dropped
FORWARD_WAITERS = 150  # clients joined to one outstanding question
FORWARD_RESEND = 2.0  # seconds; a duplicate of an older question is sent again
FORWARD_RETRANSMIT = 0.8  # seconds; and so is a client's own repetition
FAVOURITE_QUERIES = 50  # after so many queries all servers are raced again
FAVOURITE_SECONDS = 20.0
UPSTREAM_PORTS = 64  # sockets towards one server before they are shared; each a random port
UPSTREAM_PORT_USES = 16  # questions on one shared port; then it is never used again
UPSTREAM_PORT_QUESTIONS = 4096  # questions out at once on one port; ids are found by trial
UPSTREAM_PORT_IDLE = 1.0  # seconds after which an idle port is closed
UPSTREAM_RTT_START = 0.1  # seconds; smoothed round trip before the first reply
UPSTREAM_PATIENCE_MIN = 0.05  # seconds before the next server is asked
UPSTREAM_PATIENCE_MAX = 0.4
UPSTREAM_TICK = 0.05  # seconds at most between two looks at the timers while a question is out
UPSTREAM_FAILURES = 3  # consecutive silences that take a server out of favour
UPSTREAM_BACKOFF_MAX = 30.0  # seconds between trials of a silent server
UPSTREAM_TCP_TIMEOUT = 5.0  # seconds to connect and send
UPSTREAM_TCP_REPLY = 10.0  # seconds to wait for a reply
UPSTREAM_TCP_HURRY = 0.7  # seconds for connection and reply while another server is left
UPSTREAM_TCP_IDLE = 10.0  # seconds a connection is kept for the next question
COMPLAINT_SECONDS = 5.0  # the same complaint is logged once in this time

# TCP service.
TCP_BACKLOG = 32
TCP_IDLE = 5.0  # seconds without a byte; stops idle clients
TCP_QUERIES = 100  # queries on one connection
TCP_LIFETIME = 150.0  # seconds for one connection; stops slow clients

# Log.
LOG_QUEUE_MAX = 20_000  # lines waiting for the writer; stops memory growth on a stuck disk
LOG_LINE_MAX = 1024  # octets
LOG_PATIENCE = 0.5  # seconds that the end of the program waits for a stuck sink
SYSLOG_PATIENCE = 0.3  # seconds for a syslog daemon to take a line; the end of the program waits for two
LOG_PAUSE = 0.01  # seconds that lines are collected for one write
LOG_SERVERS_MAX = 30  # servers named at start
LOG_LOCALS_MAX = 8  # local-only domains named at start

# Answers of our own.
LOCAL_TTL = 0  # seconds
AUTH_TTL = 600  # seconds
MIN_CACHE_TTL_MAX = 3600  # seconds; min-cache-ttl
SOA_REFRESH, SOA_RETRY, SOA_EXPIRE = 1200, 180, 1_209_600

# DHCP.
DHCP4_SERVER_PORT, DHCP4_CLIENT_PORT = 67, 68
PXE_PORT = 4011
PXE_UEFI = 6  # the architectures from here on are kinds of UEFI
PXE_TYPE_FIRST = 0x8000  # of the numbers that boot items get by themselves
PXE_MENU_MAX = 252  # octets of a menu's texts, or of its servers
DHCP4_REPLY_MIN = 300  # octets; RFC 951, some clients drop what is shorter
DHCP4_SIZE_DEFAULT = 547  # octets of a message that every client can take (RFC 2131 s.2)
DHCP4_SIZE_MAX = 1472  # octets; what is longer would be cut into fragments, which many clients do not see
DHCP4_AGENT_LEAVES = 40  # octets that a relay's option must leave for ours
DHCP4_HOPS_MAX = 20  # relays on the way
DHCP_LEASE_DEFAULT = 3600  # seconds
DHCP_LEASE_MIN = 120  # seconds
DHCP_LEASES_MAX = 1000  # dhcp-lease-max where it is not given
DHCP_OFFERS_MAX = 4096  # addresses that are noted as offered, declined or pinged; stops floods of new clients
DHCP_OFFER_SECONDS = 15.0  # an address stays promised to whom it was offered
DHCP_DECLINE_SECONDS = 600  # a reserved address that a client declined is put aside
DHCP_PING_SECONDS = 1.0  # waited for an answer to an echo
DHCP_PING_CACHE = 30.0  # seconds that the result of a ping counts
DHCP_PINGS_MAX = 64  # clients that wait for a ping; beyond that addresses are offered unasked
DHCP_HELD_MAX = 4096  # replies that wait for their delay or for the disk
DHCP_COURTESY_SECONDS = 0.02  # between two looks at how busy DNS is
DHCP_COURTESY_SHARE = 0.1  # of a CPU that DNS needs before DHCP makes room
DHCP_NAP = 0.0003  # seconds after a message, when it does
DHCP_PLANS_MAX = 512  # sets of tags whose options are remembered
LEASE_STOP_SECONDS = 2.0  # that the end of the program waits for the last write
LEASE_RETRY_SECONDS = 60.0  # until a lease file that could not be written is tried again
CLOCK_FLOOR = 1_793_491_200  # seconds; a clock before this version was made (November 2026) has not been set
SCRIPT_QUEUE_MAX = 50_000  # events that wait for a slow script
SCRIPT_PATIENCE = 3.0  # seconds that the end of the program waits until the helper has them all

# TFTP.
TFTP_PORT = 69
TFTP_BLOCK = 512  # octets, where nothing else is agreed on
TFTP_BLOCK_MIN, TFTP_BLOCK_MAX = 8, 65_464  # octets; RFC 2348
TFTP_WINDOW_MAX = 64  # blocks; also what the kernel cuts apart at once
TFTP_CHUNK = 32_768  # octets of a file read at once, for each transfer
TFTP_RESEND_START = 1.0  # seconds until the first packet is sent again
TFTP_RESEND_MIN, TFTP_RESEND_MAX = 0.05, 8.0  # seconds, by the measured round trip and with back-off
TFTP_PATIENCE = 120.0  # seconds without progress that end a transfer
TFTP_SAMPLE = 0.02  # seconds between two measurements of the round trip
TFTP_LOOK = 0.001  # seconds after which a file is looked at again: is it still the same?
TFTP_LINKS_MAX = 40  # symbolic links in one path; stops loops
TFTP_PACKET_MAX = 600  # octets of a client's packet in a transfer
TFTP_REQUEST_MAX = 2048  # octets of a request
TFTP_AGAIN = 1.0  # seconds without progress after which a client that asks again is taken to begin anew
TFTP_REQUESTS = 16  # requests taken in one turn
TFTP_STAY = 0.002  # seconds that a lone transfer is waited for before all sockets are
TFTP_TURN = 0.005  # seconds that a lone transfer may keep requests waiting

# DNSSEC.
SIGNATURE_KEYS_MAX = 64  # prepared keys that are remembered, 6 KB each for P-256, 10 KB for Ed448
RSA_MODULUS_MIN, RSA_MODULUS_MAX = 512, 4096  # bits; RFC 5702 s.2
RSA_EXPONENT_MAX = 8  # octets; keys in use have up to 5 (2**32 + 1), longer ones cost over 3 ms a signature
DNSSEC_CPU_MAX = 0.4  # seconds of CPU for the proof of one answer; stops keys and signatures made to cost much
DNSSEC_TURN = 0.003  # seconds of CPU for one turn of a proof: then the others have theirs
DNSSEC_OTHERS = 0.00001  # seconds of CPU of other threads during a turn, after which the one that proves rests
DNSSEC_FACTS_MAX = 4096  # DS and DNSKEY sets that are remembered
DNSSEC_FACTS_OCTETS = 1 << 22  # in all of them together: a set may have 64 KB
DNSSEC_FACT_TTL_MIN = 5  # seconds; one that ends at once would be fetched again and again for the same proof
DNSSEC_FACT_TTL_MAX = 86_400  # seconds
DNSSEC_BOGUS_SECONDS = 10  # that a failed proof of a zone's keys counts: it is not tried for each query
DNSSEC_SIGNATURES_MAX = 4096  # good signatures that are remembered, and as many failed ones
DNSSEC_RANGES_MAX = 4096  # NSEC and NSEC3 records that are kept to answer from
DNSSEC_RANGE_OCTETS = 2048  # of such a record with its signature; longer ones are not kept
DNSSEC_DENIAL_OCTETS = 4096  # of what proves an absence and is kept with it; DO clients are sent on beyond that
DNSSEC_DENIAL_HASHES = 300  # runs of SHA-1 for an answer made from NSEC3 records; beyond that the question is sent
DNSSEC_PATIENCE = 9.0  # seconds for the whole proof of an answer: clients' last tries come then
DNSSEC_STAMP = 1_420_070_400  # seconds; what dnssec-timestamp's file is born with (2015)
DNSSEC_TCP_MAX = 20  # DS and DNSKEY questions asked by TCP at once

# Files.
RESOLV_SETTLE = 0.8  # seconds that a resolv file without a last newline must stay as it is
DIRECTORY_SETTLE = 0.05  # seconds between word of a change in a directory and the look at it
POLL_SECONDS = 1.0  # resolv files, hosts directories, interfaces
TWIN_SECONDS = 10.0  # for a server that was started by the same words to end
POLL_SECONDS_MAX = 3600.0  # of a wait for what is due at a known time
INCLUDE_DEPTH_MAX = 32  # conf-file within conf-file; stops a loop that inodes do not show
CONFIG_CHUNK = 1 << 16  # octets of a configuration file read at once
TIDY_SECONDS = 600.0  # between two runs of the garbage collector
PROBLEMS_MAX = 200  # configuration errors reported in one run

# ==============================================================================
# 11 Errors
#
# What can be wrong with bytes, with a configuration, and with the system.
#
# Uses nothing
# ==============================================================================


class PydnsmasqError(Exception):
    """Any error that this program raises on purpose."""


class WireError(PydnsmasqError):
    """Foreign bytes that do not follow their protocol."""


class ConfigError(PydnsmasqError):
    """A value that an option does not take: what is wrong, and what would be right."""

    def __init__(self, problem: str, remedy: str = "") -> None:
        super().__init__(problem)
        self.problem = problem
        self.remedy = remedy


class StartError(PydnsmasqError):
    """The daemon cannot start; `code` is the exit code (behaves as dnsmasq's)."""

    def __init__(self, code: int, problem: str) -> None:
        super().__init__(problem)
        self.code = code


class ConfigProblem:
    """One error in the configuration, with its place and its remedy."""

    __slots__ = ("place", "option", "problem", "remedy")

    def __init__(self, place: str, option: str, problem: str, remedy: str = "") -> None:
        self.place = place
        self.option = option
        self.problem = problem
        self.remedy = remedy

    def __repr__(self) -> str:
        return f"ConfigProblem({self.place!r}, {self.option!r}, {self.problem!r}, {self.remedy!r})"


EXIT_OK, EXIT_CONFIG, EXIT_NETWORK, EXIT_FILE, EXIT_MEMORY, EXIT_MISC, EXIT_SCRIPT = 0, 1, 2, 3, 4, 5, 10

# ==============================================================================
# 12 Tools
#
# Small things without knowledge of any protocol.
#
# Uses 10
# ==============================================================================

if not TYPE_CHECKING:

    class _Record:
        """What all records do; their fields are in `__slots__`, their defaults in `_defaults`."""

        __slots__ = ()
        _defaults = {}

        def __init__(self, *values, **named):
            name, names = type(self).__name__, self.__slots__
            if len(values) > len(names):
                raise TypeError(f"{name} takes {len(names)} fields, not {len(values)}")
            for field, value in zip(names, values, strict=False):
                setattr(self, field, value)
            for field in names[len(values) :]:
                if field in named:
                    setattr(self, field, named.pop(field))
                elif field in self._defaults:
                    setattr(self, field, self._defaults[field])
                else:
                    raise TypeError(f"{name} needs {field}")
            if named:
                raise TypeError(f"{name} has no field {', '.join(named)}")

        def __repr__(self):
            return f"{type(self).__name__}({', '.join(f'{name}={getattr(self, name)!r}' for name in self.__slots__)})"

        def __eq__(self, other):
            return type(self) is type(other) and all(
                getattr(self, name) == getattr(other, name) for name in self.__slots__
            )

    def record(cls):
        """Make `cls` a row of named, slotted fields from its annotations.

        A stand-in for dataclasses.dataclass, which costs 12 ms to import: fields
        in order, immutable defaults, positional or keyword construction.
        """
        names = tuple(cls.__annotations__)
        body = {
            key: value
            for key, value in cls.__dict__.items()
            if key not in names and key[:6] != "__dict" and key != "__weakref__"
        }
        defaults = {name: cls.__dict__[name] for name in names if name in cls.__dict__}
        return type(cls.__name__, (_Record,), {**body, "__slots__": names, "_defaults": defaults})

    class Pattern:
        """A regular expression that is compiled when it is first used.

        A seventh of a start goes into `re` and its patterns, and most starts need none.
        """

        __slots__ = ("_text", "findall", "finditer", "fullmatch", "match", "search", "sub")

        def __init__(self, text):
            self._text = text

        def __getattr__(self, name):
            from re import compile  # noqa: A004

            compiled = compile(self._text)
            for method in self.__slots__[1:]:
                setattr(self, method, getattr(compiled, method))
            return getattr(compiled, name)


class Complaints:
    """Say the same thing once in a while, not a thousand times.

    `due(key, now)` is the number of times that `key` came since it was last
    due, this one included, or 0 when it is too early.  Bounded: a flood of new
    keys forgets the old ones.
    """

    __slots__ = ("_seconds", "_seen")

    def __init__(self, seconds: float = COMPLAINT_SECONDS) -> None:
        self._seconds = seconds
        self._seen: dict[Hashable, list[float]] = {}

    def due(self, key: Hashable, now: float) -> int:
        """Count one more `key` at `now` seconds; tell how many to report."""
        seen = self._seen.get(key)
        if seen is None:
            if len(self._seen) >= 256:
                self._seen.clear()
            self._seen[key] = [now + self._seconds, 0]
            return 1
        seen[1] += 1
        if now < seen[0]:
            return 0
        count, seen[1] = int(seen[1]), 0
        seen[0] = now + self._seconds
        return count


def name_matches(pattern: str, name: str) -> bool:
    """Match an interface name against a pattern with an optional `*` at its end."""
    return name.startswith(pattern[:-1]) if pattern.endswith("*") else name == pattern


def printable_text(text: bytes) -> str:
    """Show foreign text in the log: what can be printed of it."""
    return "".join(chr(octet) for octet in text if 0x20 <= octet < 0x7F)


def duration_format(seconds: int) -> str:
    """Format `seconds` as dnsmasq's log does: 1h, 52m30s, 2d."""
    out = []
    for unit, size in (("d", 86_400), ("h", 3600), ("m", 60), ("s", 1)):
        count, seconds = divmod(seconds, size)
        if count:
            out.append(f"{count}{unit}")
    return "".join(out) or "0s"


# ==============================================================================
# 13 Log
#
# One queue, one writer thread, three kinds of sink (made in 60).  Callers never
# wait for a disk or a syslog daemon: lines are collected for LOG_PAUSE and
# written at once.
#
# Uses 10 12
# ==============================================================================

LOG_CRITICAL, LOG_ERROR, LOG_WARNING, LOG_INFO, LOG_DEBUG = 2, 3, 4, 6, 7


class Log:
    """Lines with a priority and a tag, queued for one writer.

    `put` appends to a list, which is atomic; the writer takes a whole prefix of
    that list at once.  A line is its text alone (tag "", LOG_INFO: the common
    case on the query path) or a tuple (priority, tag, text).
    """

    def __init__(self) -> None:
        self.sinks: list[Any] = []  # called with (time, lines); closed by whoever replaces them
        self.queries = False  # log-queries
        self.debug = False  # log-debug
        self._lines: list[Any] = []
        self._stamp = 0.0  # the time of the oldest line that waits
        self._lost = 0
        self._idle = True
        self._wake = threading.Lock()
        self._wake.acquire()
        self._writing = threading.Lock()
        self._complaints = Complaints()
        self._thread: threading.Thread | None = None

    def put(self, line: Any) -> None:
        """Queue `line`: a text, or (priority, tag, text)."""
        lines = self._lines
        if not lines:
            self._stamp = time.time()
        elif len(lines) >= LOG_QUEUE_MAX:
            self._lost += 1
            return
        lines.append(line)
        if self._idle and self._thread is not None:
            self._idle = False
            try:
                self._wake.release()
            except RuntimeError:  # another thread was quicker
                pass

    def info(self, text: str, tag: str = "") -> None:
        """Log `text` at priority info."""
        self.put((LOG_INFO, tag, text))

    def warning(self, text: str, tag: str = "") -> None:
        """Log `text` at priority warning."""
        self.put((LOG_WARNING, tag, text))

    def error(self, text: str, tag: str = "") -> None:
        """Log `text` at priority error."""
        self.put((LOG_ERROR, tag, text))

    def detail(self, text: str) -> None:
        """Log `text` for those who look for a fault (log-debug)."""
        if self.debug:
            self.put((LOG_DEBUG, "debug", text))

    def complain(self, key: Hashable, text: str, priority: int = LOG_WARNING, tag: str = "") -> None:
        """Log `text` unless a line with the same `key` was logged a moment ago."""
        count = self._complaints.due(key, time.monotonic())
        if count:
            self.put((priority, tag, text if count == 1 else f"{text} ({count} times)"))

    def failure(self, where: str, error: BaseException) -> None:
        """Log an error that should not be, with its place: one line, never a traceback."""
        trace = error.__traceback__
        while trace is not None and trace.tb_next is not None:
            trace = trace.tb_next
        place = "unknown line"
        if trace is not None and (trace.tb_lineno or 0) > 0:
            place = f"line {trace.tb_lineno} ({trace.tb_frame.f_code.co_name})"
        elif trace is not None:  # compiled without line numbers: the function's line and an offset into its code
            place = f"{trace.tb_frame.f_code.co_firstlineno}+{trace.tb_lasti}"
        self.complain(
            (where, type(error), place),
            f"internal error in {where} at {place}: {type(error).__name__}: {error}",
            LOG_ERROR,
        )

    def start(self) -> None:
        """Start the writer thread (after the last fork)."""
        self._thread = threading.Thread(target=self._run, name="log", daemon=True)
        self._thread.start()

    def flush(self) -> None:
        """Write everything that waits, in the caller's thread; give up when another writer is stuck in its sink."""
        if not self._writing.acquire(timeout=LOG_PATIENCE):
            return
        try:
            while self._lines:
                count = len(self._lines)
                batch, stamp = self._lines[:count], self._stamp
                del self._lines[:count]
                self._stamp = time.time()
                lost, count = self._lost, len(batch)
                if lost:
                    batch.append((LOG_ERROR, "", f"overflow: {lost} log entries lost"))
                taken = [self._write(sink, stamp, batch) for sink in self.sinks]
                self._lost += -lost if True in taken else count
        finally:
            self._writing.release()

    @staticmethod
    def _write(sink: Any, stamp: float, batch: list[Any]) -> bool:
        try:
            sink(stamp, batch)
        except Exception:  # a full disk, a syslog daemon that went: the service goes on
            return False
        return True

    def _run(self) -> None:
        while True:
            self._idle = True
            if not self._lines:
                self._wake.acquire()
            self._idle = False
            time.sleep(LOG_PAUSE)
            self.flush()


def log_format(stamp: float, pid: int, name: str, lines: list[Any]) -> str:
    """Format a batch as a log file's text: `Mon DD HH:MM:SS name[pid]: line`.

    A `stamp` of 0 leaves the time out, a `pid` of 0 the process id.
    """
    when = time.strftime("%b %e %H:%M:%S ", time.localtime(stamp)) if stamp else ""
    process = f"[{pid}]" if pid else ""
    prefix = f"{when}{name}{process}: "
    out = []
    for line in lines:
        if isinstance(line, str):
            text, head = line, prefix
        else:
            text, head = line[2], f"{when}{name}-{line[1]}{process}: " if line[1] else prefix
        if len(text) > LOG_LINE_MAX // 4 or not text.isprintable():
            text = _log_fit(text)
        out.append(f"{head}{text}\n")
    return "".join(out)


def _log_fit(text: str) -> str:
    """Cut a line at LOG_LINE_MAX octets; control characters in it cannot make lines of their own."""
    text = text.encode("utf-8", "replace")[:LOG_LINE_MAX].decode("utf-8", "ignore")
    return "".join(char if char.isprintable() else "?" for char in text)


# ==============================================================================
# 15 Registries
#
# Code points of DNS, the options of DHCP, and the architectures of PXE (IANA), with
# the names that log and configuration use.
#
# Uses 12
# ==============================================================================

CLASS_IN, CLASS_CH, CLASS_ANY = 1, 3, 255

RR_TYPES = {
    name: int(code)
    for name, code in (
        pair.split(":")
        for pair in (
            "A:1 NS:2 MD:3 MF:4 CNAME:5 SOA:6 MB:7 MG:8 MR:9 NULL:10 WKS:11 PTR:12 HINFO:13 MINFO:14 MX:15 TXT:16 "
            "RP:17 AFSDB:18 X25:19 ISDN:20 RT:21 NSAP:22 NSAP-PTR:23 SIG:24 KEY:25 PX:26 GPOS:27 AAAA:28 LOC:29 "
            "NXT:30 EID:31 NIMLOC:32 SRV:33 ATMA:34 NAPTR:35 KX:36 CERT:37 A6:38 DNAME:39 SINK:40 OPT:41 APL:42 "
            "DS:43 SSHFP:44 IPSECKEY:45 RRSIG:46 NSEC:47 DNSKEY:48 DHCID:49 NSEC3:50 NSEC3PARAM:51 TLSA:52 "
            "SMIMEA:53 HIP:55 NINFO:56 RKEY:57 TALINK:58 CDS:59 CDNSKEY:60 OPENPGPKEY:61 CSYNC:62 ZONEMD:63 "
            "SVCB:64 HTTPS:65 DSYNC:66 SPF:99 UINFO:100 UID:101 GID:102 UNSPEC:103 NID:104 L32:105 L64:106 LP:107 "
            "EUI48:108 EUI64:109 NXNAME:128 TKEY:249 TSIG:250 IXFR:251 AXFR:252 MAILB:253 MAILA:254 ANY:255 "
            "URI:256 CAA:257 AVC:258 DOA:259 AMTRELAY:260 RESINFO:261 WALLET:262 CLA:263 IPN:264 TA:32768 "
            "DLV:32769"
        ).split()
    )
}
_RR_TYPE_NAMES = {code: name for name, code in RR_TYPES.items()}

TYPE_A, TYPE_NS, TYPE_CNAME, TYPE_SOA, TYPE_PTR, TYPE_MX, TYPE_TXT = 1, 2, 5, 6, 12, 15, 16
TYPE_SIG, TYPE_AAAA, TYPE_SRV, TYPE_NAPTR, TYPE_OPT, TYPE_DS, TYPE_TSIG = 24, 28, 33, 35, 41, 43, 250
TYPE_DNAME, TYPE_RRSIG, TYPE_NSEC, TYPE_DNSKEY, TYPE_NSEC3 = 39, 46, 47, 48, 50
TYPE_IXFR, TYPE_AXFR, TYPE_MAILB, TYPE_ANY, TYPE_CAA = 251, 252, 253, 255, 257

NOERROR, FORMERR, SERVFAIL, NXDOMAIN, NOTIMP, REFUSED = 0, 1, 2, 3, 4, 5
RCODE_TEXTS = {FORMERR: "FORMERR", SERVFAIL: "SERVFAIL", NOTIMP: "not implemented", REFUSED: "REFUSED"}

FLAG_QR, FLAG_AA, FLAG_TC, FLAG_RD, FLAG_RA, FLAG_AD, FLAG_CD = 0x8000, 0x0400, 0x0200, 0x0100, 0x0080, 0x0020, 0x0010
EDNS_DO = 0x8000

EDNS_SUBNET, EDNS_COOKIE, EDNS_EDE, EDNS_MAC, EDNS_MAC_TEXT, EDNS_CPE_ID = 8, 10, 15, 65001, 65073, 65074

EDE_STALE, EDE_NOT_READY, EDE_BLOCKED, EDE_FILTERED = 3, 14, 15, 17
EDE_NOT_AUTHORITATIVE, EDE_NETWORK = 20, 23
EDE_OTHER, EDE_DNSKEY_ALGORITHM, EDE_INDETERMINATE, EDE_BOGUS, EDE_EXPIRED, EDE_NOT_YET_VALID = 0, 1, 5, 6, 7, 8
EDE_NO_DNSKEY, EDE_NO_RRSIG, EDE_NO_ZONE_BIT, EDE_NO_NSEC, EDE_NSEC3_ITERATIONS = 9, 10, 11, 12, 27
EDE_TEXTS = {
    0: "other", 1: "unsupported DNSKEY algorithm", 2: "unsupported DS digest", 3: "stale answer", 4: "forged",
    5: "DNSSEC indeterminate", 6: "DNSSEC bogus", 7: "DNSSEC signature expired", 8: "DNSSEC sig not yet valid",
    9: "DNSKEY missing", 10: "RRSIG missing", 11: "no zone key bit set", 12: "NSEC(3) missing", 13: "cached error",
    14: "not ready", 15: "blocked", 16: "censored", 17: "filtered", 18: "prohibited", 19: "stale NXDOMAIN",
    20: "not authoritative", 21: "not supported", 22: "no reachable authority", 23: "network error", 24: "invalid data",
    25: "signature expired before valid", 26: "too early", 27: "unsupported NSEC3 iterations value",
    28: "unable to conform to policy", 29: "synthesized",
}  # fmt: skip


def rr_type_name(code: int) -> str:
    """Name a record type for the log; `type=N` where IANA gives no name."""
    return _RR_TYPE_NAMES.get(code) or f"type={code}"


def rr_type_parse(text: str) -> int:
    """Parse a record type's name or number (0-65535); ValueError says what is wrong."""
    code = RR_TYPES.get(text.upper())
    if code is not None:
        return code
    digits = text[4:] if text[:4].upper() == "TYPE" else text
    if digits.isascii() and digits.isdigit() and len(digits) < 6 and int(digits) <= 0xFFFF:
        return int(digits)
    raise ValueError(f"'{text}' is no record type")


# DHCP options: number=name:kind, `!` where dhcp-option does not take the name.
# Kinds: addr (a list), text, domains (wire names), cstrings (16-bit counted),
# time (32-bit seconds), u8, u16, u32, raw (guessed from the value).
_DHCP4_TEXT = (
    "1=netmask:addr 2=time-offset:u32 3=router:addr 6=dns-server:addr 7=log-server:addr 9=lpr-server:addr "
    "12=hostname:text! 13=boot-file-size:u16 15=domain-name:text 16=swap-server:addr 17=root-path:text "
    "18=extension-path:text 19=ip-forward-enable:u8 20=non-local-source-routing:u8 21=policy-filter:addr "
    "22=max-datagram-reassembly:u16 23=default-ttl:u8 26=mtu:u16 27=all-subnets-local:u8 28=broadcast:addr! "
    "31=router-discovery:u8 32=router-solicitation:addr 33=static-route:addr 34=trailer-encapsulation:u8 "
    "35=arp-timeout:u32 36=ethernet-encap:u8 37=tcp-ttl:u8 38=tcp-keepalive:u32 40=nis-domain:text 41=nis-server:addr "
    "42=ntp-server:addr 43=vendor-encap:raw! 44=netbios-ns:addr 45=netbios-dd:addr 46=netbios-nodetype:u8 "
    "47=netbios-scope:raw 48=x-windows-fs:addr 49=x-windows-dm:addr 50=requested-address:addr! 51=lease-time:time! "
    "52=option-overload:raw! 53=message-type:raw! 54=server-identifier:addr! 55=parameter-request:raw! 56=message:raw! "
    "57=max-message-size:raw! 58=T1:time 59=T2:time 60=vendor-class:raw 61=client-id:raw! 64=nis+-domain:text "
    "65=nis+-server:addr 66=tftp-server:text 67=bootfile-name:text 68=mobile-ip-home:addr 69=smtp-server:addr "
    "70=pop3-server:addr 71=nntp-server:addr 74=irc-server:addr 77=user-class:raw 80=rapid-commit:raw 81=FQDN:raw! "
    "82=agent-info:raw! 91=last-transaction:time 92=associated-ip:addr 93=client-arch:u16 94=client-interface-id:raw "
    "97=client-machine-id:raw 100=posix-timezone:text 101=tzdb-timezone:text 108=ipv6-only:u32 114=captive-portal:text "
    "118=subnet-select:raw! 119=domain-search:domains 120=sip-server:raw 121=classless-static-route:raw "
    "125=vendor-id-encap:raw 150=tftp-server-address:addr 255=server-ip-address:addr"
)
_DHCP6_TEXT = (
    "1=client-id:raw! 2=server-id:raw! 3=ia-na:raw! 4=ia-ta:raw! 5=iaaddr:raw! 6=oro:raw! 7=preference:raw! "
    "12=unicast:raw! 13=status:raw! 14=rapid-commit:raw! 15=user-class:cstrings! 16=vendor-class:cstrings! "
    "17=vendor-opts:raw! 21=sip-server-domain:domains 22=sip-server:addr 23=dns-server:addr 24=domain-search:domains "
    "27=nis-server:addr 28=nis+-server:addr 29=nis-domain:domains 30=nis+-domain:domains 31=sntp-server:addr "
    "32=information-refresh-time:time 39=FQDN:domains! 41=posix-timezone:text 42=tzdb-timezone:text 56=ntp-server:ntp "
    "59=bootfile-url:text 60=bootfile-param:cstrings 103=captive-portal:text"
)


@record
class DhcpOptionRow:
    """An option of a registry; `settable`: dhcp-option takes its name."""

    number: int
    name: str
    kind: str
    settable: bool


def _dhcp_rows(text: str) -> dict[int, DhcpOptionRow]:
    rows = {}
    for item in text.split():
        number, _, rest = item.partition("=")
        name, _, kind = rest.partition(":")
        rows[int(number)] = DhcpOptionRow(int(number), name, kind.rstrip("!"), kind[-1] != "!")
    return rows


DHCP4_OPTIONS, DHCP6_OPTIONS = _dhcp_rows(_DHCP4_TEXT), _dhcp_rows(_DHCP6_TEXT)


def dhcp_option_find(family: int, name: str) -> DhcpOptionRow | None:
    """Find an option of DHCPv4 (`family` 4) or DHCPv6 (6) by its name, in any case."""
    name = name.lower()
    rows = DHCP4_OPTIONS if family == 4 else DHCP6_OPTIONS
    return next((row for row in rows.values() if row.name.lower() == name), None)


# Architectures of clients that boot from the network (option 93), by pxe-service's names.
PXE_ARCHITECTURES = (
    "x86PC", "PC98", "IA64_EFI", "Alpha", "Arc_x86", "Intel_Lean_Client", "IA32_EFI", "x86-64_EFI", "Xscale_EFI",
    "BC_EFI", "ARM32_EFI", "ARM64_EFI",
)  # fmt: skip


# ==============================================================================
# 20 DNS names
#
# A name is its wire form: length-prefixed labels and the zero octet.  Lower
# case is one `bytes.lower()`, since a length octet (0-63) is no letter.
# RFC 1035 s.3.1 and s.4.1.4, RFC 4343.
#
# Uses 10 11
# ==============================================================================

DNS_ROOT = b"\0"
_NAME_PLAIN = bytes(range(0x21, 0x7F))


def dns_name_parse(text: str) -> bytes:
    """Parse dotted `text` into wire form, keeping its case.

    Backslash escapes as in RFC 1035 s.5.1 (`\\.` and `\\DDD`); a trailing dot is
    allowed; "." and "" are the root.  ValueError says what is wrong.
    """
    if text in ("", "."):
        return DNS_ROOT
    labels = (
        text.removesuffix(".").encode("utf-8", "surrogateescape").split(b".") if "\\" not in text else _escaped(text)
    )
    out = bytearray()
    for label in labels:
        if not label:
            raise ValueError(f"the name '{text}' has an empty label")
        if len(label) > DNS_LABEL_MAX:
            raise ValueError(f"a label of '{text[:80]}' is longer than {DNS_LABEL_MAX} characters")
        out.append(len(label))
        out += label
    out.append(0)
    if len(out) > DNS_NAME_MAX:
        raise ValueError(f"the name '{text[:80]}...' is longer than {DNS_NAME_MAX - 2} characters")
    return bytes(out)


def _escaped(text: str) -> list[bytes]:
    labels = [bytearray()]
    octets = text.encode("utf-8", "surrogateescape")
    pos = 0
    while pos < len(octets):
        octet = octets[pos]
        if octet == 0x2E:
            labels.append(bytearray())
        elif octet == 0x5C:
            digits = octets[pos + 1 : pos + 4]
            whole = len(digits) == 3 and digits.isdigit()
            if not digits or (whole and int(digits) > 255):
                raise ValueError(f"the name '{text[:80]}' has a backslash before nothing that it could escape")
            if whole:
                labels[-1].append(int(digits))
                pos += 3
            else:
                labels[-1].append(digits[0])
                pos += 1
        else:
            labels[-1].append(octet)
        pos += 1
    if len(labels) > 1 and not labels[-1]:
        labels.pop()
    return [bytes(label) for label in labels]


def dns_name_format(name: bytes) -> str:
    """Format a wire name as dotted text without the final dot; the root is "."."""
    pos, labels = 0, []
    while name[pos]:
        length = name[pos]
        labels.append(name[pos + 1 : pos + 1 + length])
        pos += 1 + length
    if not labels:
        return "."
    text = b".".join(labels)
    if not text.translate(None, _NAME_PLAIN) and text.count(b".") == len(labels) - 1 and b"\\" not in text:
        return text.decode("ascii")
    return ".".join("".join(_printable(octet) for octet in label) for label in labels)


def _printable(octet: int) -> str:
    if octet in (0x2E, 0x5C):
        return "\\" + chr(octet)
    return chr(octet) if 0x21 <= octet <= 0x7E else f"\\{octet:03d}"


def dns_name_text(name: bytes) -> bytes:
    """Join the labels of a wire name with dots, nothing escaped; the root is empty."""
    return b".".join(_labels(name[:-1]))


def dns_name_log(name: bytes) -> str:
    """Format a name as the log shows it: lower case, or that it cannot be printed."""
    text = dns_name_format(name.lower())
    return text if "\\" not in text else "<name unprintable>"


def dns_name_read(data: bytes, pos: int, memo: dict[int, bytes]) -> tuple[bytes, int]:
    """Read a possibly compressed name at `pos`; give its wire form and the position behind it.

    `memo` maps positions to names already read in this message.  WireError for
    loops, pointers that do not go back, over-long names and reserved labels.
    """
    size = len(data)
    start, total, after = pos, 0, -1
    parts: list[bytes] = []
    trail: list[tuple[int, int]] = []  # targets and the parts before them: remembered, so work stays linear
    while True:
        if pos >= size:
            raise WireError("name runs over the end of the message")
        length = data[pos]
        if length == 0:
            parts.append(DNS_ROOT)
            total += 1
            pos += 1
            break
        if length < 64:
            parts.append(data[pos : pos + 1 + length])
            total += 1 + length
            pos += 1 + length
            if total >= DNS_NAME_MAX or pos > size:
                raise WireError("name is too long")
            continue
        if length < 0xC0 or pos + 2 > size:
            raise WireError("label of a reserved kind")
        target = (length & 0x3F) << 8 | data[pos + 1]
        if after < 0:
            after = pos + 2
        if target >= pos or len(trail) >= DNS_POINTERS_MAX:
            raise WireError("compression pointer does not lead back")
        trail.append((target, len(parts)))
        known = memo.get(target)
        if known is not None:
            parts.append(known)
            total += len(known)
            break
        pos = target
    if total > DNS_NAME_MAX:
        raise WireError("name is too long")
    name = b"".join(parts) if len(parts) > 1 else parts[0]
    memo[start] = name
    for at, before in trail:
        memo[at] = b"".join(parts[before:])
    return name, pos if after < 0 else after


def dns_name_suffixes(name: bytes) -> Iterator[bytes]:
    """Give `name` and each of its parents, the root last."""
    yield name
    while name[0]:
        name = name[1 + name[0] :]
        yield name


def dns_name_parent(name: bytes) -> bytes:
    """Give `name` without its first label; the root is its own parent."""
    return name[1 + name[0] :] if name[0] else name


def dns_name_order(name: bytes) -> tuple[bytes, ...]:
    """Give the key that sorts names (lower case) in canonical order: labels, the last first (RFC 4034 s.6.1)."""
    return tuple(reversed(_labels(name[:-1])))


def dns_name_labels(name: bytes) -> int:
    """Count the labels of `name`, the root not counted."""
    pos = count = 0
    while name[pos]:
        pos += 1 + name[pos]
        count += 1
    return count


def dns_name_under(name: bytes, domain: bytes) -> bool:
    """Tell whether `name` is `domain` or below it (both in lower case)."""
    if not name.endswith(domain):
        return False
    pos, start = 0, len(name) - len(domain)
    while pos < start:
        pos += 1 + name[pos]
    return pos == start


def dns_reverse_name(address: bytes) -> bytes:
    """Make the in-addr.arpa or ip6.arpa name of a packed address (RFC 1035 s.3.5, RFC 3596)."""
    if len(address) == 4:
        labels = [b"%d" % octet for octet in reversed(address)]
        return b"".join(bytes((len(label),)) + label for label in labels) + b"\7in-addr\4arpa\0"
    digits = address.hex()
    return b"".join(b"\1" + digit.encode() for digit in reversed(digits)) + b"\3ip6\4arpa\0"


def dns_reverse_address(name: bytes) -> tuple[bytes, bool] | None:
    """Read a reverse name (lower case) back: the packed address, and whether it was whole.

    Missing octets or nibbles count as zero.  None when it is no such name.
    """
    if dns_name_under(name, b"\7in-addr\4arpa\0"):
        labels = _labels(name[:-14])
        if not 0 < len(labels) < 5 or not all(
            label.isdigit() and len(label) <= 3 and int(label) < 256 for label in labels
        ):
            return None
        octets = [int(label) for label in reversed(labels)]
        return bytes(octets + [0] * (4 - len(octets))), len(octets) == 4
    if dns_name_under(name, b"\3ip6\4arpa\0"):
        labels = _labels(name[:-10])
        if not 0 < len(labels) < 33 or not all(len(label) == 1 and label in b"0123456789abcdef" for label in labels):
            return None
        digits = b"".join(reversed(labels)).decode()
        return bytes.fromhex(digits.ljust(32, "0")), len(digits) == 32
    return None


def _labels(name: bytes) -> list[bytes]:
    pos, out = 0, []
    while pos < len(name):
        out.append(name[pos + 1 : pos + 1 + name[pos]])
        pos += 1 + name[pos]
    return out


def dns_hostname_valid(text: str) -> bool:
    """Tell whether a hosts file's name may be served: labels of 1 to 63 characters, no control characters or blanks."""
    name = text.removesuffix(".")
    labels_fit = all(0 < len(label) <= DNS_LABEL_MAX for label in name.split("."))
    return labels_fit and _NO_HOSTNAME.isdisjoint(text) and len(name) < DNS_NAME_MAX - 1


def host_label_valid(text: str) -> bool:
    """Tell whether DHCP takes a text as a client's name: letters and digits, then - and _ as well."""
    return 0 < len(text) <= DNS_LABEL_MAX and text[0] not in "-_" and not text.strip(_HOST_LABEL)


_NO_HOSTNAME = frozenset(map(chr, (*range(0x21), 0x7F, 0x2F)))
_HOST_LABEL = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


def _hash64_joined(text: bytes) -> int:
    return (hash(text) << 32) | (hash(b"\0" + text) & 0xFFFFFFFF)


_hash64: Callable[[bytes], int] = hash if sys.hash_info.width >= 64 else _hash64_joined


class DnsNameHashes:
    """A large set of names as sorted 64-bit hashes: 8 octets for each name.

    Names are dotted lower-case text as bytes.  The hash is Python's own keyed
    SipHash (its key is new in each process), so a collision cannot be made from
    outside; a false positive has odds of size / 2**64.  Where Python's hashes
    have 32 bits (32-bit routers) two of them are joined.  Build with `add_texts`,
    then `freeze` once; then it is read-only.
    """

    __slots__ = ("_parts",)
    _PARTS = 16  # sorted apart, so that sorting needs little memory at once

    def __init__(self) -> None:
        from array import array  # late: few starts have such a list

        self._parts: list[array[int]] = [array("q")]

    def __len__(self) -> int:
        return sum(map(len, self._parts))

    def add_texts(self, texts: Iterable[bytes]) -> None:
        """Add names (dotted, lower case)."""
        self._parts[0].extend(map(_hash64, texts))

    def freeze(self) -> None:
        """Sort and drop duplicates; after this the set can be asked."""
        array = type(self._parts[0])
        parts = [array("q") for _ in range(self._PARTS)]
        appends = [part.append for part in parts]
        for value in self._parts[0]:
            appends[(value >> 60) + 8](value)
        self._parts = [array("q", sorted(set(part))) for part in parts]

    def __contains__(self, text: bytes) -> bool:
        value = _hash64(text)
        part = self._parts[(value >> 60) + 8]
        at = bisect.bisect_left(part, value)
        return at < len(part) and part[at] == value


# ==============================================================================
# 21 DNS record data
#
# The insides of records: which types hold names (compression, comparison), text
# for the log, and the packers that local records need.  RFC 1035 s.3.3,
# RFC 2782, RFC 3403, RFC 3597.
#
# Uses 10 11 15 20
# ==============================================================================

# Data as a sequence of parts: an int is that many octets, "n" a name that may be
# compressed (RFC 3597 s.4), "u" a name that may not, "s" a character string.
RR_LAYOUTS: dict[int, tuple[int | str, ...]] = {
    2: ("n",), 3: ("n",), 4: ("n",), 5: ("n",), 6: ("n", "n", 20), 7: ("n",), 8: ("n",), 9: ("n",), 12: ("n",),
    14: ("n", "n"), 15: (2, "n"), 17: ("u", "u"), 18: (2, "u"), 21: (2, "u"), 24: (18, "u"), 26: (2, "u", "u"),
    30: ("u",), 33: (6, "u"), 35: (4, "s", "s", "s", "u"), 36: (2, "u"), 39: ("u",), 46: (18, "u"), 47: ("u",),
}  # fmt: skip


def rdata_expand(data: bytes, start: int, length: int, rrtype: int, memo: dict[int, bytes]) -> bytes:
    """Give record data with its names uncompressed, ready to be kept apart from its message."""
    layout = RR_LAYOUTS.get(rrtype)
    end = start + length
    if layout is None:
        return data[start:end]
    out, pos = [], start
    for part in layout:
        if part in ("n", "u"):
            name, pos = dns_name_read(data, pos, memo)
            out.append(name)
            continue
        size = part if isinstance(part, int) else 1 + data[pos] if pos < end else 1
        out.append(data[pos : pos + size])
        pos += size
        if pos > end:
            raise WireError("record data is too short")
    if pos > end:
        raise WireError("a name runs over its record")
    out.append(data[pos:end])
    rdata = b"".join(out)
    if len(rdata) > DNS_MESSAGE_MAX:
        raise WireError("record data is too long without compression")
    return rdata


def rdata_names(rdata: bytes, rrtype: int) -> list[tuple[int, int, bool]]:
    """Find the names in uncompressed data: (start, end, may be compressed); none when it is not such data (dns-rr)."""
    out, pos = [], 0
    try:
        for part in RR_LAYOUTS.get(rrtype, ()):
            if part in ("n", "u"):
                start = pos
                while rdata[pos]:
                    pos += 1 + rdata[pos]
                pos += 1
                out.append((start, pos, part == "n"))
            else:
                pos += part if isinstance(part, int) else 1 + rdata[pos]
    except IndexError:
        return []
    return out


def rdata_strings(strings: Iterable[bytes]) -> bytes:
    """Pack character strings (TXT), each cut into pieces of at most 255 octets."""
    out = bytearray()
    for text in strings:
        for start in range(0, len(text), 255) if text else (0,):
            piece = text[start : start + 255]
            out.append(len(piece))
            out += piece
    return bytes(out)


def rdata_strings_read(rdata: bytes) -> list[bytes]:
    """Read character strings back."""
    pos, out = 0, []
    while pos < len(rdata):
        out.append(rdata[pos + 1 : pos + 1 + rdata[pos]])
        pos += 1 + rdata[pos]
    return out


class RdataTypes:
    """The types that a bitmap names (RFC 4034 s.4.1.2), read where they lie: there may be 65,536 of them."""

    __slots__ = ("_windows",)

    def __init__(self, bitmap: bytes) -> None:
        """Split the bitmap into its windows; WireError when it is malformed."""
        self._windows: dict[int, bytes] = {}
        pos, last = 0, -1
        while pos < len(bitmap):
            window, length = bitmap[pos], bitmap[pos + 1] if pos + 1 < len(bitmap) else 0
            octets = bitmap[pos + 2 : pos + 2 + length]
            if window <= last or not 0 < length <= 32 or len(octets) < length:
                raise WireError("type bitmap is malformed")
            self._windows[window] = octets
            last, pos = window, pos + 2 + length

    def __contains__(self, rrtype: int) -> bool:
        octets, at = self._windows.get(rrtype >> 8, b""), rrtype >> 3 & 31
        return at < len(octets) and bool(octets[at] & 0x80 >> (rrtype & 7))

    def __bool__(self) -> bool:
        return any(map(any, self._windows.values()))


def rdata_soa(mname: bytes, rname: bytes, serial: int, refresh: int, retry: int, expire: int, minimum: int) -> bytes:
    """Pack SOA data (RFC 1035 s.3.3.13); times in seconds."""
    return mname + rname + struct.pack("!5I", serial & 0xFFFFFFFF, refresh, retry, expire, minimum)


def address_format(packed: bytes) -> str:
    """Format a packed IPv4 or IPv6 address."""
    return socket.inet_ntop(socket.AF_INET if len(packed) == 4 else socket.AF_INET6, packed)


def is_address(rrtype: int, data: bytes) -> bool:
    """Tell whether record data is an address as its type wants it; foreign records may be of any length."""
    return len(data) == {TYPE_A: 4, TYPE_AAAA: 16}.get(rrtype)


def address_parse(text: str) -> bytes | None:
    """Parse an IPv4 or IPv6 address into 4 or 16 octets; None when it is neither."""
    try:
        return socket.inet_pton(socket.AF_INET6 if ":" in text else socket.AF_INET, text)
    except (OSError, ValueError):
        return None


def address_in(address: bytes, network: bytes, prefix: int) -> bool:
    """Tell whether packed `address` lies in `network`/`prefix` (same family only)."""
    if len(address) != len(network):
        return False
    shift = len(address) * 8 - prefix
    return int.from_bytes(address, "big") >> shift == int.from_bytes(network, "big") >> shift


def _shown(octet: int) -> str:
    """Show an octet of foreign text as the log may carry it."""
    return chr(octet) if 0x20 <= octet < 0x7F else f"\\{octet:03d}"


def rdata_log(rdata: bytes, rrtype: int) -> list[str]:
    """Give the texts that the log shows for a record (uncompressed data), one line each."""
    if rrtype in (TYPE_A, TYPE_AAAA) and len(rdata) == (4 if rrtype == TYPE_A else 16):
        return [address_format(rdata)]
    if rrtype == TYPE_TXT:
        return ["".join(map(_shown, text)) for text in rdata_strings_read(rdata)]
    if rrtype == TYPE_PTR and rdata.endswith(b"\0"):
        return [dns_name_log(rdata)]
    return [f"<{rr_type_name(rrtype)}>"]


# ==============================================================================
# 22 DNS messages
#
# Header, question, records, EDNS: from bytes and back.  RFC 1035 s.4, RFC 6891.
#
# Uses 10 11 15 20 21
# ==============================================================================

_HEADER = struct.Struct("!6H")
_QUESTION_TAIL = struct.Struct("!HH")
_RR_HEAD = struct.Struct("!HHIH")


class DnsRecord:
    """One record; `rdata` is uncompressed, `name` keeps its case. `end` is where it ended in its message."""

    __slots__ = ("name", "rrtype", "rrclass", "ttl", "rdata", "start", "end")

    def __init__(self, name: bytes, rrtype: int, ttl: int, rdata: bytes, rrclass: int = CLASS_IN) -> None:
        self.name = name
        self.rrtype = rrtype
        self.rrclass = rrclass
        self.ttl = ttl
        self.rdata = rdata
        self.start = self.end = 0

    def __repr__(self) -> str:
        return f"DnsRecord({dns_name_format(self.name)} {rr_type_name(self.rrtype)} {self.ttl} {self.rdata.hex()})"


class DnsQuery:
    """An unpacked query of one question.

    `name` is as asked, `key` in lower case; `question_end` is where the question
    ends in `wire`; `udp_size` is 0 without EDNS; `options` are EDNS options as
    (code, data) pairs; `signed` when a TSIG or SIG(0) record is there.
    """

    __slots__ = (
        "wire", "id", "flags", "name", "key", "rrtype", "rrclass", "question_end", "udp_size", "do", "options",
        "signed",
    )  # fmt: skip

    def __init__(self, wire: bytes, flags: int, name: bytes, rrtype: int, rrclass: int, question_end: int) -> None:
        self.wire = wire
        self.id = wire[:2]
        self.flags = flags
        self.name = name
        self.key = name.lower()
        self.rrtype = rrtype
        self.rrclass = rrclass
        self.question_end = question_end
        self.udp_size = 0
        self.do = False
        self.options: tuple[tuple[int, bytes], ...] = ()
        self.signed = False

    def option(self, code: int) -> bytes | None:
        """Give the data of the first EDNS option `code`."""
        for number, data in self.options:
            if number == code:
                return data
        return None


def dns_query_unpack(wire: bytes) -> DnsQuery:
    """Unpack a query whose header says one question and opcode QUERY; WireError for bad bytes."""
    if len(wire) < DNS_HEADER_SIZE:
        raise WireError("shorter than a header")
    _, flags, _, ancount, nscount, arcount = _HEADER.unpack_from(wire)
    pos, size = DNS_HEADER_SIZE, len(wire)
    while True:  # the usual question is not compressed: walk it without the general reader
        if pos >= size:
            raise WireError("question runs over the end")
        length = wire[pos]
        if length == 0:
            break
        if length > 63:
            raise WireError("question is compressed")
        pos += 1 + length
    pos += 1
    if pos - DNS_HEADER_SIZE > DNS_NAME_MAX or pos + 4 > size:
        raise WireError("question is too long")
    rrtype, rrclass = _QUESTION_TAIL.unpack_from(wire, pos)
    query = DnsQuery(wire, flags, wire[DNS_HEADER_SIZE:pos], rrtype, rrclass, pos + 4)
    if ancount or nscount or arcount:
        _query_extras(query, ancount + nscount, arcount)
    return query


def _query_extras(query: DnsQuery, before: int, arcount: int) -> None:
    memo: dict[int, bytes] = {}
    wire, pos = query.wire, query.question_end
    if before + arcount > DNS_RECORDS_MAX:
        raise WireError("too many records")
    for index in range(before + arcount):
        name, pos = dns_name_read(wire, pos, memo)
        if pos + 10 > len(wire):
            raise WireError("record is cut short")
        rrtype, rrclass, ttl, length = _RR_HEAD.unpack_from(wire, pos)
        pos += 10 + length
        if pos > len(wire):
            raise WireError("record data is cut short")
        if index < before:
            continue
        if rrtype == TYPE_OPT and query.udp_size:
            raise WireError("two OPT records")  # RFC 6891 s.6.1.1
        if rrtype == TYPE_OPT:
            query.udp_size = max(rrclass, DNS_UDP_MIN)
            query.do = bool(ttl & EDNS_DO)
            query.options = edns_options_unpack(wire[pos - length : pos]) if name == DNS_ROOT else ()
        elif rrtype == TYPE_TSIG or (rrtype == TYPE_SIG and wire[pos - length : pos][:2] == b"\0\0"):
            query.signed = True


def edns_options_unpack(data: bytes) -> tuple[tuple[int, bytes], ...]:
    """Split an OPT record's data into (code, data) pairs; what is cut short is dropped."""
    out, pos = [], 0
    while pos + 4 <= len(data):
        code, length = _QUESTION_TAIL.unpack_from(data, pos)
        if pos + 4 + length > len(data):
            break
        out.append((code, data[pos + 4 : pos + 4 + length]))
        pos += 4 + length
    return tuple(out)


def edns_pack(udp_size: int, do: bool, options: Iterable[tuple[int, bytes]] = (), rcode_high: int = 0) -> bytes:
    """Pack an OPT record (RFC 6891 s.6.1)."""
    data = b"".join(_QUESTION_TAIL.pack(code, len(value)) + value for code, value in options)
    return b"\0" + _RR_HEAD.pack(TYPE_OPT, udp_size, rcode_high << 24 | (EDNS_DO if do else 0), len(data)) + data


class DnsMessage:
    """An unpacked reply: sections of records, and where things stood in `wire`.

    The OPT record is kept apart in `opt`.  Each record knows its place.
    """

    __slots__ = (
        "wire",
        "flags",
        "name",
        "rrtype",
        "rrclass",
        "question_end",
        "answers",
        "authority",
        "additional",
        "opt",
        "end",
    )

    def __init__(self, wire: bytes, flags: int) -> None:
        self.wire = wire
        self.flags = flags
        self.name = DNS_ROOT
        self.rrtype = self.rrclass = 0
        self.question_end = DNS_HEADER_SIZE
        self.answers: list[DnsRecord] = []
        self.authority: list[DnsRecord] = []
        self.additional: list[DnsRecord] = []
        self.opt: DnsRecord | None = None
        self.end = 0

    @property
    def rcode(self) -> int:
        """The response code, EDNS's upper bits included."""
        return self.flags & 15 | (self.opt.ttl >> 20 & 0xFF0 if self.opt is not None else 0)

    def keep(self, section: str, wanted: Callable[[DnsRecord], bool]) -> bool:
        """Keep those records of a section (by its attribute) that are `wanted`; tell whether others went."""
        records = getattr(self, section)
        kept = [rr for rr in records if wanted(rr)]
        setattr(self, section, kept)
        return len(kept) < len(records)

    def clear(self) -> None:
        """Throw all records away but the OPT."""
        self.answers, self.authority, self.additional = [], [], []


def soa_negative_ttl(soa: DnsRecord) -> int | None:
    """Tell how many seconds an absence counts by its SOA (RFC 2308 s.5); None when the data is too short for one."""
    return min(soa.ttl, int.from_bytes(soa.rdata[-4:], "big")) if len(soa.rdata) >= 22 else None


def dns_message_unpack(wire: bytes, query: DnsQuery | None = None) -> DnsMessage:
    """Unpack a message with at most one question; WireError for bytes that do not parse.

    `query` may be given when the message is known to repeat its question.
    """
    if len(wire) < DNS_HEADER_SIZE:
        raise WireError("shorter than a header")
    _, flags, questions, ancount, nscount, arcount = _HEADER.unpack_from(wire)
    if questions > 1 or ancount + nscount + arcount > DNS_RECORDS_MAX:
        raise WireError("too many questions or records")
    message = DnsMessage(wire, flags)
    memo: dict[int, bytes] = {}
    pos = DNS_HEADER_SIZE
    if query is not None:
        message.name = memo[pos] = query.name
        message.rrtype, message.rrclass = query.rrtype, query.rrclass
        pos = message.question_end = query.question_end
    elif questions:
        message.name, pos = dns_name_read(wire, pos, memo)
        if pos + 4 > len(wire):
            raise WireError("question is cut short")
        message.rrtype, message.rrclass = _QUESTION_TAIL.unpack_from(wire, pos)
        pos += 4
        message.question_end = pos
    pos = _section_read(wire, pos, ancount, message.answers, memo)
    if nscount:
        pos = _section_read(wire, pos, nscount, message.authority, memo)
    if arcount:
        pos = _section_read(wire, pos, arcount, message.additional, memo)
        for record_ in message.additional:
            if record_.rrtype == TYPE_OPT:
                message.opt = record_
                message.additional = [other for other in message.additional if other is not record_]
                break
    message.end = pos
    return message


def _section_read(wire: bytes, pos: int, count: int, out: list[DnsRecord], memo: dict[int, bytes]) -> int:
    """Read `count` records into `out`; give the position behind them.  Each forwarded query comes by here."""
    size = len(wire)
    for _ in range(count):
        start = pos
        if wire[pos : pos + 2] == b"\xc0\x0c" and DNS_HEADER_SIZE in memo:  # the name of the question
            name, pos = memo[DNS_HEADER_SIZE], pos + 2
        elif wire[pos : pos + 1] == b"\0":  # the root, of the OPT record
            name, pos = DNS_ROOT, pos + 1
        else:
            name, pos = dns_name_read(wire, pos, memo)
        data = pos + 10
        if data > size:
            raise WireError("record is cut short")
        rrtype, rrclass, ttl, length = _RR_HEAD.unpack_from(wire, pos)
        pos = data + length
        if pos > size:
            raise WireError("record data is cut short")
        rdata = rdata_expand(wire, data, length, rrtype, memo) if rrtype in RR_LAYOUTS else wire[data:pos]
        record_ = DnsRecord(name, rrtype, ttl if ttl <= CACHE_TTL_MAX or rrtype == TYPE_OPT else 0, rdata, rrclass)
        record_.start, record_.end = start, pos
        out.append(record_)
    return pos


class DnsWriter:
    """Build a message: question first, then records by section, names compressed where the case is the same."""

    __slots__ = ("_out", "_names", "_counts")

    def __init__(self, question: bytes, name: bytes) -> None:
        """Start with the raw `question` (name, type, class), of which `name` is in wire form."""
        self._out = bytearray(DNS_HEADER_SIZE) + question
        self._counts = [1, 0, 0, 0]
        self._names: dict[bytes, int] = {}
        pos = 0
        while name[pos]:
            self._names[name[pos:]] = DNS_HEADER_SIZE + pos
            pos += 1 + name[pos]

    def add(self, section: int, name: bytes, rrtype: int, rrclass: int, ttl: int, rdata: bytes) -> None:
        """Add a record to `section` (1 answer, 2 authority, 3 additional)."""
        out = self._out
        self._name(name)
        out += _RR_HEAD.pack(rrtype, rrclass, ttl, 0)
        start = len(out)
        if rrtype in RR_LAYOUTS:
            done = 0
            for begin, end, compress in rdata_names(rdata, rrtype):
                out += rdata[done:begin]
                if compress:
                    self._name(rdata[begin:end])
                else:
                    out += rdata[begin:end]
                done = end
            out += rdata[done:]
        else:
            out += rdata
        out[start - 2 : start] = (len(out) - start).to_bytes(2, "big")
        self._counts[section] += 1

    def add_raw(self, section: int, wire: bytes) -> None:
        """Add a record that is packed already (an OPT)."""
        self._out += wire
        self._counts[section] += 1

    def _name(self, name: bytes) -> None:
        names, out, pos = self._names, self._out, 0
        while name[pos]:
            suffix = name[pos:]
            at = names.get(suffix)
            if at is not None:
                out += name[:pos] + (0xC000 | at).to_bytes(2, "big")
                return
            here = len(out) + pos
            if here < 0x4000:
                names[suffix] = here
            pos += 1 + name[pos]
        out += name

    def size(self) -> int:
        """Tell how many octets there are by now."""
        return len(self._out)

    def finish(self, query_id: bytes, flags: int) -> bytes:
        """Fill in the header and give the message."""
        _HEADER.pack_into(self._out, 0, 0, flags, *self._counts)
        self._out[:2] = query_id
        return bytes(self._out)


def _name_end(wire: bytes | bytearray, pos: int) -> int:
    """Find the position behind a name that is known to be good."""
    while 0 < wire[pos] < 64:
        pos += 1 + wire[pos]
    return pos + (1 if not wire[pos] else 2)


def dns_ttl_offsets(wire: bytes | bytearray) -> list[int]:
    """Find the TTL fields of every record except OPT, in a message that parses."""
    _, _, questions, ancount, nscount, arcount = _HEADER.unpack_from(wire)
    pos, out = DNS_HEADER_SIZE, []
    for _ in range(questions):
        pos = _name_end(wire, pos) + 4
    for _ in range(ancount + nscount + arcount):
        pos = _name_end(wire, pos)
        rrtype, _, _, length = _RR_HEAD.unpack_from(wire, pos)
        if rrtype != TYPE_OPT:
            out.append(pos + 4)
        pos += 10 + length
    return out


def dns_header_reply(wire: bytes, flags: int) -> bytes:
    """Answer a query that cannot be understood: its header alone, with `flags` and no records."""
    return wire[:2] + _HEADER.pack(0, flags, 0, 0, 0, 0)[2:]


# ==============================================================================
# 23 DHCPv4 messages
#
# BOOTP and DHCP messages: from bytes and back, with options that are split,
# joined and put into the header's fields.  IPv4 addresses are numbers here.
# RFC 951, RFC 2131 s.2, RFC 2132, RFC 3396, RFC 4702.
#
# Uses 10 11
# ==============================================================================

(
    DHCP_DISCOVER, DHCP_OFFER, DHCP_REQUEST, DHCP_DECLINE, DHCP_ACK, DHCP_NAK, DHCP_RELEASE, DHCP_INFORM,
) = range(1, 9)  # fmt: skip
DHCP_LEASEQUERY, DHCP_LEASEUNASSIGNED, DHCP_LEASEUNKNOWN, DHCP_LEASEACTIVE = range(10, 14)  # RFC 4388
BOOT_REQUEST, BOOT_REPLY = 1, 2
DHCP_BROADCAST = 0x8000

(
    OPT_PAD, OPT_NETMASK, OPT_ROUTER, OPT_DNS, OPT_HOSTNAME, OPT_DOMAIN, OPT_BROADCAST, OPT_VENDOR, OPT_REQUESTED,
    OPT_LEASE, OPT_OVERLOAD, OPT_TYPE, OPT_SERVER_ID, OPT_PARAMETERS, OPT_MESSAGE, OPT_MAX_SIZE, OPT_T1, OPT_T2,
    OPT_VENDOR_CLASS, OPT_CLIENT_ID, OPT_SNAME, OPT_FILE, OPT_USER_CLASS, OPT_RAPID_COMMIT, OPT_FQDN, OPT_AGENT,
    OPT_LAST_TRANSACTION, OPT_ASSOCIATED, OPT_ARCH, OPT_MACHINE_ID, OPT_SUBNET, OPT_VI_CLASS, OPT_VI_INFO, OPT_MUD,
    OPT_NEXT_SERVER, OPT_END,
) = (
    0, 1, 3, 6, 12, 15, 28, 43, 50, 51, 52, 53, 54, 55, 56, 57, 58, 59, 60, 61, 66, 67, 77, 80, 81, 82, 91, 92, 93,
    97, 118, 124, 125, 161, 255, 255,
)  # fmt: skip
AGENT_CIRCUIT, AGENT_REMOTE, AGENT_LINK, AGENT_SUBSCRIBER, AGENT_FLAGS, AGENT_SERVER_ID = 1, 2, 5, 6, 10, 11
FQDN_SERVER, FQDN_OVERRIDE, FQDN_WIRE, FQDN_NONE = 1, 2, 4, 8  # RFC 4702 s.2.1

_DHCP4_HEAD = struct.Struct("!4BIHHIIII16s64s128s")
_DHCP4_COOKIE = b"\x63\x82\x53\x63"
_DHCP4_SNAME, _DHCP4_FILE = 64, 128  # octets


class Dhcp4Message:
    """An unpacked message; addresses are numbers, `hardware` the first `hlen` octets of chaddr.

    `options` maps numbers to data, repeated options joined (RFC 3396); `kind` is
    the DHCP message type, 0 for BOOTP.
    """

    __slots__ = (
        "op", "htype", "hlen", "hops", "xid", "secs", "flags", "ciaddr", "yiaddr", "siaddr", "giaddr", "chaddr",
        "sname", "file", "options", "kind", "hardware", "cookie",
    )  # fmt: skip

    op: int
    htype: int
    hlen: int
    hops: int
    xid: int
    secs: int
    flags: int
    ciaddr: int
    yiaddr: int
    siaddr: int
    giaddr: int
    chaddr: bytes
    sname: bytes
    file: bytes

    def __init__(self, head: tuple[Any, ...]) -> None:
        (
            self.op, self.htype, self.hlen, self.hops, self.xid, self.secs, self.flags, self.ciaddr, self.yiaddr,
            self.siaddr, self.giaddr, self.chaddr, self.sname, self.file,
        ) = head  # fmt: skip
        self.hardware = self.chaddr[: self.hlen]
        self.options: dict[int, bytes] = {}
        self.kind = 0
        self.cookie = False

    def number(self, option: int, width: int = 4) -> int | None:
        """Give the first `width` octets of an option as a number; None when it is not there, or shorter."""
        data = self.options.get(option)
        return int.from_bytes(data[:width], "big") if data is not None and len(data) >= width else None


def dhcp4_unpack(wire: bytes) -> Dhcp4Message:
    """Unpack a message; WireError when it is too short or its hardware address too long.

    Options that run over the end are left out, with what follows them.
    """
    if len(wire) < _DHCP4_HEAD.size:
        raise WireError(f"{len(wire)} octets are too few for a BOOTP message")
    message = Dhcp4Message(_DHCP4_HEAD.unpack_from(wire))
    if message.hlen > 16:
        raise WireError(f"a hardware address of {message.hlen} octets")
    message.cookie = wire[236:240] == _DHCP4_COOKIE
    if message.cookie:
        _options_read(wire, 240, message.options)
        overload = message.number(OPT_OVERLOAD, 1) or 0
        if overload & 1:
            _options_read(message.file, 0, message.options)
        if overload & 2:
            _options_read(message.sname, 0, message.options)
        message.kind = message.number(OPT_TYPE, 1) or 0
    return message


def _options_read(data: bytes, pos: int, options: dict[int, bytes]) -> None:
    end = len(data)
    while pos < end:
        number = data[pos]
        if number == OPT_END:
            return
        if number == OPT_PAD:
            pos += 1
            continue
        if pos + 1 >= end:
            return
        start = pos + 2
        pos = start + data[pos + 1]
        if pos > end:
            return
        value = data[start:pos]
        options[number] = options[number] + value if number in options else value


def suboptions_unpack(data: bytes) -> dict[int, bytes]:
    """Split an option that holds options (82: RFC 3046, 43); what runs over the end is left out."""
    out: dict[int, bytes] = {}
    _options_read(data, 0, out)
    return out


def suboptions_pack(options: Iterable[tuple[int, bytes]]) -> bytes:
    """Pack (number, data) pairs; data longer than 255 octets is cut into several of one number."""
    return b"".join(_option_pieces(number, data) for number, data in options)


def _option_pieces(number: int, data: bytes) -> bytes:
    if len(data) < 256:
        return bytes((number, len(data))) + data
    pieces = (data[at : at + 255] for at in range(0, len(data), 255))
    return b"".join(bytes((number, len(piece))) + piece for piece in pieces)


class Dhcp4Reply:
    """A reply being made from `request`; `options` are (number, data) pairs in the order of the wire.

    `agent` is the relay's option 82, which goes last (RFC 3046 s.2.2).
    """

    __slots__ = (
        "op", "hops", "ciaddr", "yiaddr", "siaddr", "giaddr", "flags", "sname", "file", "options", "agent", "request",
        "moved", "lost",
    )  # fmt: skip

    def __init__(self, request: Dhcp4Message) -> None:
        self.request = request
        self.op = BOOT_REPLY
        self.hops = 0
        self.ciaddr, self.giaddr, self.flags = request.ciaddr, request.giaddr, request.flags
        self.yiaddr = self.siaddr = 0
        self.sname = self.file = b""
        self.options: list[tuple[int, bytes]] = []
        self.agent: bytes | None = None
        self.moved: list[tuple[int, bytes]] = []
        self.lost: list[tuple[int, bytes]] = []

    def pack(self, limit: int, overload: bool = True) -> bytes:
        """Pack into at most `limit` octets.

        With `overload` options may move into the fields `file` and `sname` where
        these are free (option 52).  Afterwards `options` are those in their usual
        place, `moved` those in the fields, `lost` those for which there is no room.
        """
        tail = b"" if self.agent is None else _option_pieces(OPT_AGENT, self.agent)
        if len(tail) > limit - _DHCP4_HEAD.size - DHCP4_AGENT_LEAVES:
            tail = b""  # RFC 3046 s.2.2: rather without it than without the rest
        room = limit - 241 - len(tail)
        body = b"".join([_option_pieces(number, data) for number, data in self.options])
        file, sname = self.file, self.sname
        if len(body) > room:
            sizes = (
                room,
                _DHCP4_FILE - 1 if overload and not file else 0,
                _DHCP4_SNAME - 1 if overload and not sname else 0,
            )
            body, in_file, in_sname = self._spread(sizes)
            file = in_file + b"\xff" if sizes[1] else file
            sname = in_sname + b"\xff" if sizes[2] else sname
        request = self.request
        head = _DHCP4_HEAD.pack(
            self.op, request.htype, request.hlen, self.hops, request.xid, request.secs, self.flags, self.ciaddr,
            self.yiaddr, self.siaddr, self.giaddr, request.chaddr, sname, file,
        )  # fmt: skip
        return (head + _DHCP4_COOKIE + body + tail + b"\xff").ljust(DHCP4_REPLY_MIN, b"\0")

    def _spread(self, sizes: tuple[int, int, int]) -> tuple[bytes, bytes, bytes]:
        """Spread the options over their usual place and the fields `file` and `sname`, of so many octets each."""
        used = (1 if sizes[1] else 0) | (2 if sizes[2] else 0)
        fields = (bytearray(), bytearray(), bytearray())
        overload = (OPT_OVERLOAD, bytes((used,))) if used else None
        kept: list[tuple[int, bytes]] = []
        groups = (kept, self.moved, self.moved, self.lost)
        for option in self.options:
            piece = _option_pieces(*option)
            reserve = 3 if overload is not None else 0
            if len(fields[0]) + len(piece) + reserve > sizes[0] and overload is not None:
                kept.append(overload)
                fields[0].extend(_option_pieces(*overload))
                overload = None
            place = next((at for at in (0, 1, 2) if len(fields[at]) + len(piece) <= sizes[at]), 3)
            groups[place].append(option)
            if place < 3:
                fields[place].extend(piece)
        self.options = kept
        return bytes(fields[0]), bytes(fields[1]), bytes(fields[2])


def fqdn_unpack(data: bytes) -> tuple[int, str]:
    """Read option 81: its flags and the name as dotted text, "" when there is none that can be read (RFC 4702)."""
    if len(data) < 3:
        return 0, ""
    flags, raw = data[0], data[3:]
    if not flags & FQDN_WIRE:
        return flags, raw.rstrip(b"\0").decode("latin-1")
    labels, pos = [], 0
    while pos < len(raw) and raw[pos]:
        label = raw[pos + 1 : pos + 1 + raw[pos]]
        if raw[pos] > DNS_LABEL_MAX or len(label) < raw[pos]:
            return flags, ""
        labels.append(label.decode("latin-1"))
        pos += 1 + raw[pos]
    return flags, ".".join(labels)


def ip4_format(address: int) -> str:
    """Format an IPv4 address that is a number."""
    return f"{address >> 24}.{address >> 16 & 255}.{address >> 8 & 255}.{address & 255}"


def ip4_number(packed: bytes) -> int:
    """Make a number of a packed IPv4 address."""
    return int.from_bytes(packed, "big")


# ==============================================================================
# 26 TFTP packets
#
# Requests, data, acknowledgements, errors and options.  RFC 1350, RFC 2347,
# RFC 764 (netascii).
#
# Uses 11 12
# ==============================================================================

# The operations, as packets begin with them.
TFTP_RRQ, TFTP_WRQ, TFTP_DATA, TFTP_ACK, TFTP_ERROR, TFTP_OACK = (bytes((0, number)) for number in range(1, 7))
# Error codes (RFC 1350 s.5); UNDEFINED: the text says what.
TFTP_UNDEFINED, TFTP_NOT_FOUND, TFTP_DENIED, TFTP_ILLEGAL, TFTP_UNKNOWN_ID = 0, 1, 2, 4, 5


@record
class TftpRequest:
    """A read request; `options` by name (lower case), the last value of each."""

    name: bytes
    netascii: bool
    options: dict[bytes, bytes]


def tftp_request_unpack(data: bytes) -> TftpRequest:
    """Unpack a read request (RFC 1350 s.5, RFC 2347); WireError for anything else."""
    if data[:2] != TFTP_RRQ or data[-1:] != b"\0":
        raise WireError("no read request")
    fields = data[2:-1].split(b"\0")
    mode = fields[1].lower() if len(fields) > 1 else b""
    if not fields[0] or mode not in (b"octet", b"netascii"):
        raise WireError("no file name, or no mode that is served")
    pairs = fields[2:]
    if b"" in pairs:  # nothing that follows an empty string is an option
        pairs = pairs[: pairs.index(b"")]
    names = [name.lower() for name in pairs[::2]]
    return TftpRequest(fields[0], mode == b"netascii", dict(zip(names, pairs[1::2], strict=False)))


def tftp_error_pack(code: int, text: str) -> bytes:
    """Pack an ERROR."""
    return TFTP_ERROR + code.to_bytes(2, "big") + text.encode("ascii", "replace") + b"\0"


def tftp_error_unpack(data: bytes) -> tuple[int, bytes]:
    """Unpack an ERROR of at least four octets: code and text."""
    return int.from_bytes(data[2:4], "big"), data[4:].partition(b"\0")[0]


def tftp_oack_pack(options: dict[str, int]) -> bytes:
    """Pack an OACK with the options that are accepted (RFC 2347)."""
    return TFTP_OACK + b"".join(f"{name}\0{value}\0".encode() for name, value in options.items())


def netascii_encode(data: bytes) -> bytes:
    """Turn a file's octets into netascii: line ends are CR LF, other CRs CR NUL (RFC 764)."""
    return data.replace(b"\r", b"\r\0").replace(b"\n", b"\r\n")


# ==============================================================================
# 27 Signatures
#
# The arithmetic of DNSSEC: is this the signature of that key over those octets?
# And the digests that go with it: key tags, DS, NSEC3.  RFC 4034, RFC 5155,
# RFC 3110 and RFC 5702 (RSA), RFC 6605 (ECDSA), RFC 8032 and RFC 8080 (EdDSA).
# All numbers here are public, so none of this needs to take constant time.
#
# Uses 10 11
# ==============================================================================

# -- digests -------------------------------------------------------------------

# Digest type of a DS: the name of its constructor in hashlib.  RFC 4034, RFC 4509, RFC 6605.
DS_DIGESTS = {1: "sha1", 2: "sha256", 4: "sha384"}
DS_DIGEST_OCTETS = {1: 20, 2: 32, 4: 48}


def _hasher(name: str) -> Callable[[bytes], Any]:
    """Give a constructor of hashlib."""
    import hashlib  # late: with OpenSSL behind it, it takes 4 ms

    constructor: Callable[[bytes], Any] = getattr(hashlib, name)
    return constructor


def octets_digest(octets: bytes) -> bytes:
    """Digest octets of whatever length, so that they can be remembered."""
    digest: bytes = _hasher("sha256")(octets).digest()
    return digest


def dnskey_tag(rdata: bytes) -> int:
    """Compute the key tag (0-65535) of DNSKEY data, whatever its octets (RFC 4034 appendix B)."""
    if rdata[3:4] == b"\1":  # RSA/MD5: the third and second octet from the end of the modulus (B.1)
        return int.from_bytes(rdata[-3:-1], "big")
    total = (sum(rdata[::2]) << 8) + sum(rdata[1::2])
    return total + (total >> 16) & 0xFFFF


def ds_supported(algorithm: int, digest_type: int) -> bool:
    """Tell whether a DS with these numbers can be checked here."""
    return algorithm in SIGNATURE_ALGORITHMS and digest_type in DS_DIGESTS


def ds_digest(owner: bytes, rdata: bytes, digest_type: int) -> bytes | None:
    """Digest a DNSKEY as its DS does (RFC 4034 s.5.1.4); None for a type that is not supported.

    `owner` is the canonical wire name (lower case), `rdata` the whole DNSKEY data.
    """
    name = DS_DIGESTS.get(digest_type)
    return _hasher(name)(owner + rdata).digest() if name else None


def nsec3_hash(name: bytes, salt: bytes, iterations: int) -> bytes:
    """Hash a canonical wire name for NSEC3: SHA-1, 20 octets (RFC 5155 s.5).

    `iterations` are the runs after the first; the caller bounds them, as each takes up to a microsecond.
    """
    sha1 = _hasher("sha1")
    digest: bytes = sha1(name + salt).digest()
    for _ in range(iterations):
        digest = sha1(digest + salt).digest()
    return digest


# -- RSA -----------------------------------------------------------------------


class _Rsa:
    """RSASSA-PKCS1-v1_5 with one hash (RFC 8017 s.8.2.2); a key is (modulus, exponent, octets of the modulus)."""

    __slots__ = ("name", "_hash", "_prefix", "_bits_min")

    def __init__(self, name: str, hash_name: str, prefix: str, bits_min: int = RSA_MODULUS_MIN) -> None:
        self.name = name
        self._hash = hash_name
        self._prefix = b"\0" + bytes.fromhex(prefix)  # the DigestInfo but for the digest, and the octet before it
        self._bits_min = bits_min

    def read_key(self, field: bytes) -> tuple[int, int, int]:
        """Read exponent and modulus (RFC 3110 s.2); WireError when they are malformed or out of bounds."""
        start = 1 if field[:1] != b"\0" else 3
        middle = start + int.from_bytes(field[:1] if start == 1 else field[1:3], "big")
        exponent, modulus = int.from_bytes(field[start:middle], "big"), int.from_bytes(field[middle:], "big")
        bits = modulus.bit_length()
        if bits < self._bits_min or len(field) - middle > RSA_MODULUS_MAX // 8:
            raise WireError("RSA modulus is too short or too long")
        if exponent < 3 or middle - start > RSA_EXPONENT_MAX or not exponent & modulus & 1:
            raise WireError("RSA exponent is too small or too long, or a number is even")
        return modulus, exponent, (bits + 7) // 8

    def verify(self, key: tuple[int, int, int], data: bytes, signature: bytes) -> bool:
        """Compare the whole encoded message, padding included, with what it must be (RFC 8017 s.9.2)."""
        modulus, exponent, size = key
        number = int.from_bytes(signature, "big")
        if len(signature) != size or number >= modulus:
            return False
        tail: bytes = self._prefix + _hasher(self._hash)(data).digest()
        return pow(number, exponent, modulus).to_bytes(size, "big") == b"\0\1".ljust(size - len(tail), b"\xff") + tail


# -- elliptic curves -----------------------------------------------------------

# Bits of a scalar that one look-up serves, for a key and for the base point.  More make a known key faster (by an
# eighth for 6) and a new one slower, and double the memory.  The base point's must be at least the keys'.
_KEY_TEETH, _BASE_TEETH = 5, 8

_Point = tuple[int, ...]  # in a curve's own coordinates, to be summed up
_Entry = tuple[int, int, int]  # a point of a table, in the form in which it is added fastest
_Comb = tuple[int, list["_Entry | None"]]  # number of columns, and the sum of teeth for each pattern of bits


class _Curve:
    """A group of points, and the sum of two multiples by combs (Lim and Lee, CRYPTO '94).

    A comb cuts a scalar into as many rows as it has teeth and adds, column by column, a point that its table has
    for each pattern of bits; one doubling between columns serves both combs.  A key's table takes longer to build
    than a signature to verify, about 1.7 times, and is kept with the key.
    """

    __slots__ = ("name", "_hash", "_p", "_order", "_size", "_zero", "_base_text", "_base")

    def __init__(self, name: str, hash_name: str, p: int, order: int, zero: _Point, base: str) -> None:
        self.name = name
        self._hash = hash_name
        self._p = p
        self._order = order
        self._zero = zero
        self._base_text = bytes.fromhex(base)  # as a key's field has it
        self._base: _Comb | None = None

    if TYPE_CHECKING:  # what each form of curve has

        def _double(self, point: _Point) -> _Point: ...

        def _add(self, point: _Point, entry: _Entry) -> _Point: ...

        def _entry(self, point: _Point, inverse: int) -> _Entry:
            """Make a table's entry; `inverse` is 1/Z."""

        def _decode(self, field: bytes) -> _Point:
            """Read a point as keys have it; WireError when it is none."""

    def _entries(self, points: list[_Point]) -> list[_Entry | None]:
        """Make entries with one inversion for all of them (Montgomery's trick)."""
        p = self._p
        products = [1]
        for point in points:
            products.append(products[-1] * point[2] % p)
        inverse = pow(products.pop(), -1, p)
        entries: list[_Entry | None] = []
        for point in reversed(points):
            entries.append(self._entry(point, inverse * products.pop() % p))
            inverse = inverse * point[2] % p
        return entries[::-1]

    def _comb(self, point: _Point, teeth: int) -> _Comb:
        columns = -(-self._order.bit_length() // teeth)
        spread = [point]
        for _ in range(teeth - 1):
            for _ in range(columns):
                point = self._double(point)
            spread.append(point)
        sums = [self._zero]
        for tooth in self._entries(spread):
            if tooth:
                sums += [self._add(point, tooth) for point in sums]
        return columns, [None, *self._entries(sums[1:])]

    def _sum(self, first: int, key: _Comb, second: int) -> _Point:
        """Compute `first` times the base point plus `second` times the key; scalars are below the order."""
        if self._base is None:  # two threads may both build it
            self._base = self._comb(self._decode(self._base_text), _BASE_TEETH)
        lanes: list[list[_Entry | None]] = []
        for scalar, teeth, (columns, table) in (first, _BASE_TEETH, self._base), (second, _KEY_TEETH, key):
            bits = f"{scalar:0{teeth * columns}b}"
            late: list[_Entry | None] = [None] * (key[0] - columns)
            lanes.append(late + [table[int(bits[column::columns], 2)] for column in range(columns)])
        double, add, point = self._double, self._add, self._zero
        for entries in zip(*lanes, strict=True):
            point = double(point)
            for entry in entries:
                if entry:
                    point = add(point, entry)
        return point


class _Ecdsa(_Curve):
    """ECDSA on y**2 = x**3 - 3*x + b, cofactor 1 (FIPS 186-4 s.6.4); a key is its comb.

    Points are Jacobian: X/Z**2, Y/Z**3.  Entries are x, y and nothing.
    """

    __slots__ = ("_b",)

    def __init__(self, name: str, hash_name: str, p: int, order: int, b: int, base: str) -> None:
        super().__init__(name, hash_name, p, order, (1, 1, 0), base)
        self._size = p.bit_length() // 8
        self._b = b

    def _double(self, point: _Point) -> _Point:
        x, y, z = point
        p = self._p
        zz = z * z % p
        yy = y * y % p
        beta = x * yy % p
        alpha = 3 * (x - zz) * (x + zz) % p
        x = (alpha * alpha - 8 * beta) % p
        return x, (alpha * (4 * beta - x) - 8 * yy * yy) % p, 2 * y * z % p

    def _add(self, point: _Point, entry: _Entry) -> _Point:
        x, y, z = point
        ex, ey, _ = entry
        if not z:
            return ex, ey, 1
        p = self._p
        zz = z * z % p
        h = (ex * zz - x) % p
        r = (ey * (zz * z % p) - y) % p
        if not h:  # the same x: the same point, or its opposite
            return self._zero if r else self._double(point)
        hh = h * h % p
        hhh = hh * h % p
        v = x * hh % p
        x = (r * r - hhh - 2 * v) % p
        return x, (r * (v - x) - y * hhh) % p, z * h % p

    def _entry(self, point: _Point, inverse: int) -> _Entry:
        square = inverse * inverse % self._p
        return point[0] * square % self._p, point[1] * square * inverse % self._p, 0

    def _decode(self, field: bytes) -> _Point:
        size, p = self._size, self._p
        x, y = int.from_bytes(field[:size], "big"), int.from_bytes(field[size:], "big")
        if len(field) != 2 * size or x >= p or y >= p or (y * y - (x * x - 3) * x - self._b) % p:
            raise WireError("no point on the curve")
        return x, y, 1

    def read_key(self, field: bytes) -> _Comb:
        """Read x and y (RFC 6605 s.4); WireError when that is no point on the curve."""
        return self._comb(self._decode(field), _KEY_TEETH)

    def verify(self, key: _Comb, data: bytes, signature: bytes) -> bool:
        """Verify r and s, each with all its octets; the hash is as long as the order."""
        size, n, p = self._size, self._order, self._p
        r, s = int.from_bytes(signature[:size], "big"), int.from_bytes(signature[size:], "big")
        if len(signature) != 2 * size or not 0 < r < n or not 0 < s < n:
            return False
        inverse = pow(s, -1, n)
        number = int.from_bytes(_hasher(self._hash)(data).digest(), "big")
        x, _, z = self._sum(number * inverse % n, key, r * inverse % n)
        zz = z * z % p  # X/ZZ is to be r modulo n, without division; infinity is (1, 1, 0) and never right
        return (x - r * zz) % p == 0 or (r + n < p and (x - (r + n) * zz) % p == 0)


class _Eddsa(_Curve):
    """EdDSA on a*x**2 + y**2 = 1 + d*x**2*y**2 (RFC 8032); a key is its field and the comb of the opposite point.

    a is a square and d is none, so that the sums have no exceptions.  Points are extended: X/Z, Y/Z, and T = X*Y/Z
    beside them.  Entries are x, y, d*x*y.
    """

    __slots__ = ("_a", "_d", "_prefix", "_lengths", "_root")

    def __init__(
        self, name: str, hash_name: str, p: int, order: int, a: int, d: int, base: str, prefix: bytes, *lengths: int
    ) -> None:
        super().__init__(name, hash_name, p, order, (0, 1, 1, 0), base)
        self._size = len(self._base_text)
        self._a = a
        self._d = d
        self._prefix = prefix  # of what is hashed
        self._lengths = lengths  # what digest() takes
        self._root = pow(2, p // 4, p) if p % 4 == 1 else 1  # of -1, where there is one

    def _double(self, point: _Point) -> _Point:
        x, y, z, _ = point
        p = self._p
        axx = self._a * x * x % p
        yy = y * y % p
        e = 2 * x * y % p
        g = axx + yy
        f = (g - 2 * z * z) % p
        h = axx - yy
        return e * f % p, g * h % p, f * g % p, e * h % p

    def _add(self, point: _Point, entry: _Entry) -> _Point:
        x, y, z, t = point
        ex, ey, dt = entry
        p = self._p
        c = t * dt % p
        xx = x * ex
        yy = y * ey
        e = ((x + y) * (ex + ey) - xx - yy) % p
        f = z - c
        g = z + c
        h = (yy - self._a * xx) % p
        return e * f % p, g * h % p, f * g % p, e * h % p

    def _entry(self, point: _Point, inverse: int) -> _Entry:
        x, y = point[0] * inverse % self._p, point[1] * inverse % self._p
        return x, y, self._d * x * y % self._p

    def _decode(self, field: bytes) -> _Point:
        """Read y and the sign of x, in their one form only (RFC 8032 s.5.1.3, s.5.2.3)."""
        p, top = self._p, 8 * self._size - 1
        number = int.from_bytes(field, "little")
        y, sign = number & (1 << top) - 1, number >> top
        if len(field) != self._size or y >= p:
            raise WireError("no point of this curve's size")
        xx = (y * y - 1) * pow(self._d * y * y - self._a, -1, p) % p
        x = pow(xx, (p + 3) // 8 if p % 8 == 5 else (p + 1) // 4, p)
        if x * x % p != xx:
            x = x * self._root % p
        if x * x % p != xx:
            raise WireError("no point on the curve")
        if x & 1 != sign:
            x = p - x
        return x, y, 1, x * y % p

    def read_key(self, field: bytes) -> tuple[bytes, _Comb]:
        """Read a point; WireError when it is not on the curve, or of an order so small that it fits any data."""
        x, y, z, t = point = self._decode(field)
        if not self._double(self._double(point))[0]:  # x is 0 for the orders 1 and 2, so now for 4 and 8 as well
            raise WireError("point of a small order")
        return field, self._comb((-x, y, z, -t), _KEY_TEETH)

    def verify(self, key: tuple[bytes, _Comb], data: bytes, signature: bytes) -> bool:
        """Verify R and S: S*B - k*A is to be R, as octets (RFC 8032 s.5.1.7, s.5.2.7, without the cofactor)."""
        size, p = self._size, self._p
        r, s = signature[:size], int.from_bytes(signature[size:], "little")
        if len(signature) != 2 * size or s >= self._order:
            return False
        field, comb = key
        digest = _hasher(self._hash)(self._prefix + r + field + data).digest(*self._lengths)
        x, y, z, _ = self._sum(s, comb, int.from_bytes(digest, "little") % self._order)
        inverse = pow(z, -1, p)
        sign = x * inverse % p & 1
        return (y * inverse % p | sign << 8 * size - 1).to_bytes(size, "little") == r


# -- all of them ---------------------------------------------------------------

# A DNSKEY's and RRSIG's algorithm (IANA), each with its name, `read_key(field)` and `verify(key, data, signature)`.
SIGNATURE_ALGORITHMS: dict[int, _Rsa | _Ecdsa | _Eddsa] = {
    5: _Rsa("RSASHA1", "sha1", "3021300906052b0e03021a05000414"),
    7: _Rsa("RSASHA1-NSEC3-SHA1", "sha1", "3021300906052b0e03021a05000414"),
    8: _Rsa("RSASHA256", "sha256", "3031300d060960864801650304020105000420"),
    10: _Rsa("RSASHA512", "sha512", "3051300d060960864801650304020305000440", 1024),  # RFC 5702 s.2.2
    13: _Ecdsa(
        "ECDSAP256SHA256", "sha256", 2**256 - 2**224 + 2**192 + 2**96 - 1,
        0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551,
        0x5AC635D8AA3A93E7B3EBBD55769886BC651D06B0CC53B0F63BCE3C3E27D2604B,
        "6b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296"
        "4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5",
    ),
    14: _Ecdsa(
        "ECDSAP384SHA384", "sha384", 2**384 - 2**128 - 2**96 + 2**32 - 1,
        0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFC7634D81F4372DDF581A0DB248B0A77AECEC196ACCC52973,
        0xB3312FA7E23EE7E4988E056BE3F82D19181D9C6EFE8141120314088F5013875AC656398D8A2ED19D2A85C8EDD3EC2AEF,
        "aa87ca22be8b05378eb1c71ef320ad746e1d3b628ba79b9859f741e082542a385502f25dbf55296c3a545e3872760ab7"
        "3617de4a96262c6f5d9e98bf9292dc29f8f41dbd289a147ce9da3113b5f0b8c00a60b1ce1d7e819d7a431d7c90ea0e5f",
    ),
    15: _Eddsa(
        "ED25519", "sha512", 2**255 - 19, 2**252 + 0x14DEF9DEA2F79CD65812631A5CF5D3ED,
        -1, 0x52036CEE2B6FFE738CC740797779E89800700A4D4141D8AB75EB4DCA135978A3,
        "58" + "66" * 31, b"",
    ),
    16: _Eddsa(
        "ED448", "shake_256", 2**448 - 2**224 - 1,
        2**446 - 0x8335DC163BB124B65129C96FDE933D8D723A70AADC873D6D54A7BB0D,
        1, -39081,
        "14fa30f25b790898adc8d74e2c13bdfdc4397ce61cffd33ad7c2a0051e9c78874098a36c7373ea4b62c7c9563720768824bcb66e71463f69"
        "00", b"SigEd448\0\0", 114,
    ),
}  # fmt: skip


@functools.lru_cache(SIGNATURE_KEYS_MAX)
def _signature_key(algorithm: int, field: bytes) -> Any:
    """Prepare a key.  A malformed one is a WireError: it is not remembered, and drives out no good one."""
    return SIGNATURE_ALGORITHMS[algorithm].read_key(field)


def signature_verify(algorithm: int, key: bytes, data: bytes, signature: bytes) -> bool:
    """Tell whether `signature` is that of `key` over `data`.

    `key` is the public key of a DNSKEY (what follows flags, protocol and algorithm), `data` what RFC 4034
    s.3.1.8.1 puts together, `signature` the last field of an RRSIG.  Whatever is malformed is False, and so is
    an algorithm that is not in SIGNATURE_ALGORITHMS.  Any thread may call this.
    """
    scheme = SIGNATURE_ALGORITHMS.get(algorithm)
    if scheme is None:
        return False
    try:
        return scheme.verify(_signature_key(algorithm, key), data, signature)
    except WireError:
        return False


# ==============================================================================
# 28 ubus messages
#
# OpenWrt's bus: blob attributes, blobmsg fields, messages, all in network order
# (libubox blob.h and blobmsg.h, ubus ubusmsg.h).
#
# Uses 10 11 12
# ==============================================================================

# Kinds of messages, attributes, status codes; those that a server uses.
UBUS_HELLO, UBUS_STATUS, UBUS_DATA, UBUS_INVOKE, UBUS_ADD_OBJECT, UBUS_NOTIFY = 0, 1, 2, 5, 6, 10
(
    UBUS_ATTR_STATUS, UBUS_ATTR_PATH, UBUS_ATTR_OBJECT, UBUS_ATTR_METHOD, UBUS_ATTR_SIGNATURE, UBUS_ATTR_DATA,
    UBUS_ATTR_ACTIVE, UBUS_ATTR_NO_REPLY, UBUS_ATTR_SUBSCRIBERS,
) = 1, 2, 3, 4, 6, 7, 9, 10, 11  # fmt: skip
UBUS_OK, UBUS_BAD_ARGUMENT, UBUS_NO_METHOD, UBUS_NOT_FOUND = 0, 2, 3, 4
BLOBMSG_ARRAY, BLOBMSG_TABLE, BLOBMSG_STRING, BLOBMSG_INT64, BLOBMSG_INT32, BLOBMSG_INT16, BLOBMSG_INT8 = range(1, 8)
_INTEGERS = {BLOBMSG_INT64: 8, BLOBMSG_INT32: 4, BLOBMSG_INT16: 2, BLOBMSG_INT8: 1}
_EXTENDED = 0x8000_0000
UBUS_HEADER_SIZE = 12  # octets; that of the envelope included


def blob_pack(kind: int, data: bytes) -> bytes:
    """Pack an attribute, with its padding."""
    return (kind << 24 | 4 + len(data)).to_bytes(4, "big") + data + bytes(-len(data) % 4)


def _blobs(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Split attributes; kinds keep the bit of blobmsg.  A length that lies ends it."""
    pos = 0
    while pos + 4 <= len(data):
        head = int.from_bytes(data[pos : pos + 4], "big")
        length = head & 0xFFFFFF
        if length < 4 or pos + length > len(data):
            return
        yield head >> 24, data[pos + 4 : pos + length]
        pos += length + 3 & ~3


def blobmsg_pack(fields: dict[str, Any]) -> bytes:
    """Pack named fields: str, int (of 32 bits), dict or list; lists have no names inside."""
    return b"".join(_field_pack(name, value) for name, value in fields.items())


def _field_pack(name: str, value: Any) -> bytes:
    label = name.encode()
    head = len(label).to_bytes(2, "big") + label + b"\0"
    if isinstance(value, str):
        kind, data = BLOBMSG_STRING, value.encode("utf-8", "replace") + b"\0"
    elif isinstance(value, dict):
        kind, data = BLOBMSG_TABLE, blobmsg_pack(value)
    elif isinstance(value, list):
        kind, data = BLOBMSG_ARRAY, b"".join(_field_pack("", one) for one in value)
    else:
        kind, data = BLOBMSG_INT32, (value & 0xFFFFFFFF).to_bytes(4, "big")
    return blob_pack(0x80 | kind, head + bytes(-len(head) % 4) + data)


def blobmsg_unpack(data: bytes, depth: int = 0) -> dict[str, Any]:
    """Unpack named fields; of what cannot be read WireError, what is of a kind unknown here is left out."""
    return dict(_fields(data, depth))


def _fields(data: bytes, depth: int) -> Iterator[tuple[str, Any]]:
    if depth > UBUS_DEPTH_MAX:
        raise WireError("fields within fields within fields")
    for kind, body in _blobs(data):
        length = int.from_bytes(body[:2], "big")
        name, value = body[2 : 2 + length], body[2 + length + 4 & ~3 :]
        if not kind & 0x80 or len(name) < length or body[2 + length : 3 + length] != b"\0":
            raise WireError("a field without a name")
        kind &= 0x7F
        if kind in (BLOBMSG_TABLE, BLOBMSG_ARRAY):
            inner = list(_fields(value, depth + 1))
            yield name.decode("utf-8", "replace"), dict(inner) if kind == BLOBMSG_TABLE else [one for _, one in inner]
        elif kind == BLOBMSG_STRING:
            yield name.decode("utf-8", "replace"), value.rstrip(b"\0").decode("utf-8", "replace")
        elif _INTEGERS.get(kind) == len(value):
            yield name.decode("utf-8", "replace"), int.from_bytes(value, "big")


@record
class UbusMessage:
    """A message of the bus: attributes by number, the last of each."""

    kind: int
    serial: int
    peer: int
    attributes: dict[int, bytes]

    def number(self, attribute: int) -> int | None:
        """Give a number, None when it is not there."""
        data = self.attributes.get(attribute)
        return int.from_bytes(data, "big") if data is not None and len(data) in (1, 4) else None

    def fields(self) -> dict[str, Any]:
        """Unpack the fields of its data; WireError."""
        return blobmsg_unpack(self.attributes.get(UBUS_ATTR_DATA, b""))


def ubus_pack(kind: int, serial: int, peer: int, *attributes: tuple[int, bytes]) -> bytes:
    """Pack a message from (attribute, data) pairs."""
    body = b"".join(blob_pack(number, data) for number, data in attributes)
    return struct.pack("!BBHI", 0, kind, serial, peer) + blob_pack(0, body)


def ubus_length(head: bytes) -> int:
    """Tell from its first UBUS_HEADER_SIZE octets how long a message is; WireError when that cannot be."""
    length = int.from_bytes(head[8:12], "big") & 0xFFFFFF
    if head[0] or length < 4 or length > UBUS_MESSAGE_MAX:
        raise WireError("no message of ubus")
    return 8 + length


def ubus_unpack(wire: bytes) -> UbusMessage:
    """Unpack a whole message."""
    _, kind, serial, peer = struct.unpack_from("!BBHI", wire)
    return UbusMessage(kind, serial, peer, {number & 0x7F: data for number, data in _blobs(wire[12:])})


def ubus_number(value: int) -> bytes:
    """Make the data of a number attribute."""
    return value.to_bytes(4, "big")


def ubus_numbers(data: bytes) -> list[int]:
    """Read a list of numbers (the subscribers of an object)."""
    return [int.from_bytes(number, "big") for _, number in _blobs(data)]


# ==============================================================================
# 29 Netlink messages
#
# What the kernel is asked by netlink: elements for the sets of ipset and
# nftables, marks of connections.  Numbers are those of the kernel's headers
# (linux/netlink.h, linux/netfilter/nfnetlink*.h, ip_set.h, nf_tables.h); lengths
# and kinds are in the machine's byte order, what Netfilter carries in the network's.
#
# Uses 12
# ==============================================================================

NLMSG_ERROR, NLMSG_DONE = 2, 3
NFT_FAMILIES = {"ip": 2, "ip6": 10, "inet": 1, "bridge": 7, "arp": 3, "netdev": 5}

_REQUEST, _ACK, _CREATE = 0x1, 0x4, 0x400
_BATCH_BEGIN, _BATCH_END = 0x10, 0x11
_CT_GET, _IPSET_ADD = 0x101, 0x609
_NFT, _NFT_GETSET, _NFT_NEWSETELEM = 0xA, 0xA0A, 0xA0C
_IPSET_PROTOCOL = 6
IPSET_NAME_MAX = 31  # characters
_NESTED = 0x8000
_NFT_SET_INTERVAL, _NFT_INTERVAL_END = 0x4, 0x1
# What a helper with more rights passes on for a daemon without them.
NETFILTER_KINDS = frozenset((_BATCH_BEGIN, _BATCH_END, _CT_GET, _IPSET_ADD, _NFT_GETSET, _NFT_NEWSETELEM))


def netlink_messages(data: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Split what a netlink socket gave into (kind, serial, payload); a length that lies ends it."""
    pos = 0
    while pos + 16 <= len(data):
        length, kind, _, serial, _ = struct.unpack_from("=IHHII", data, pos)
        if length < 16 or pos + length > len(data):
            return
        yield kind, serial, data[pos + 16 : pos + length]
        pos += length + 3 & ~3


def netlink_attributes(data: bytes, pos: int = 0) -> dict[int, bytes]:
    """Read attributes from `pos` on: kind without its flags -> payload."""
    out = {}
    while pos + 4 <= len(data):
        length, kind = struct.unpack_from("=HH", data, pos)
        if length < 4:
            break
        out[kind & 0x3FFF] = data[pos + 4 : pos + length]
        pos += length + 3 & ~3
    return out


def netlink_pack(kind: int, flags: int, serial: int, payload: bytes) -> bytes:
    """Put the header before a payload."""
    return struct.pack("=IHHII", 16 + len(payload), kind, flags, serial, 0) + payload


def netlink_error(payload: bytes) -> int:
    """Give the error number in an NLMSG_ERROR, 0 for an acknowledgement."""
    return -int.from_bytes(payload[:4], sys.byteorder, signed=True)


def _attribute(kind: int, *parts: bytes) -> bytes:
    data = b"".join(parts)
    return struct.pack("=HH", 4 + len(data), kind) + data + bytes(-len(data) % 4)


def _text(kind: int, text: str) -> bytes:
    return _attribute(kind, text.encode() + b"\0")


def _netfilter(kind: int, flags: int, serial: int, family: int, *parts: bytes, subsystem: int = 0) -> bytes:
    head = struct.pack("!BBH", family, 0, subsystem)
    return netlink_pack(kind, _REQUEST | flags, serial, head + b"".join(parts))


def ipset_add_pack(name: str, address: bytes, serial: int) -> bytes:
    """Pack an address into the ipset `name`, where it may be already."""
    family, kind = (2, 1) if len(address) == 4 else (10, 2)
    element = _attribute(1 | _NESTED, _attribute(kind | 0x4000, address))
    parts = _attribute(1, bytes((_IPSET_PROTOCOL,))), _text(2, name), _attribute(7 | _NESTED, element)
    return _netfilter(_IPSET_ADD, _ACK, serial, family, *parts)


@record
class NftSet:
    """A set of nftables as nftset names it; `family` 4 or 6 takes only such addresses, 0 all that fit."""

    table_family: int
    table: str
    name: str
    family: int = 0

    def takes(self, address: bytes) -> bool:
        """Tell whether it wants addresses of this family."""
        return self.family in (0, 4 if len(address) == 4 else 6)

    def words(self) -> str:
        """Give the words of the nft command."""
        family = next(name for name, number in NFT_FAMILIES.items() if number == self.table_family)
        return f"{family} {self.table} {self.name}"

    def __str__(self) -> str:
        """The same, behind the family of addresses that it is limited to."""
        return f"{self.family or ''} {self.words()}".lstrip()


def nft_set_query_pack(target: NftSet, serial: int) -> bytes:
    """Pack the question what kind of set it is."""
    return _netfilter(_NFT_GETSET, _ACK, serial, target.table_family, _text(1, target.table), _text(2, target.name))


def nft_set_unpack(payload: bytes) -> tuple[int, bool]:
    """Read the answer: the octets of a key, and whether the set holds intervals."""
    attributes = netlink_attributes(payload, 4)
    flags = int.from_bytes(attributes.get(3, b""), "big")
    return int.from_bytes(attributes.get(5, b""), "big"), bool(flags & _NFT_SET_INTERVAL)


def nft_add_pack(target: NftSet, address: bytes, interval: bool, serial: int) -> bytes:
    """Pack an address as element of a set; in one of intervals it ends before the next address."""
    elements = [_nft_element(address)]
    following = (int.from_bytes(address, "big") + 1).to_bytes(len(address) + 1, "big")
    if interval and not following[0]:  # the last address of all needs no end
        elements.append(_nft_element(following[1:], _attribute(3, _NFT_INTERVAL_END.to_bytes(4, "big"))))
    parts = _text(1, target.table), _text(2, target.name), _attribute(3 | _NESTED, *elements)
    return (
        _netfilter(_BATCH_BEGIN, 0, serial, 0, subsystem=_NFT)
        + _netfilter(_NFT_NEWSETELEM, _ACK | _CREATE, serial, target.table_family, *parts)
        + _netfilter(_BATCH_END, 0, serial, 0, subsystem=_NFT)
    )


def _nft_element(key: bytes, flags: bytes = b"") -> bytes:
    return _attribute(1 | _NESTED, flags, _attribute(1 | _NESTED, _attribute(1, key)))


def netfilter_probe_pack(serial: int) -> bytes:
    """Pack a transaction without content: whoever may not speak to Netfilter gets an error."""
    return b"".join(_netfilter(kind, 0, serial, 0, subsystem=_NFT) for kind in (_BATCH_BEGIN, _BATCH_END))


def conntrack_query_pack(protocol: int, local: tuple[bytes, int], peer: tuple[bytes, int], serial: int) -> bytes:
    """Pack the question for the connection whose replies go from `local` to `peer` (address, port).

    Replies are what we know: the first packet may have had another target
    before it was redirected to us.
    """
    source, target, family = (1, 2, 2) if len(local[0]) == 4 else (3, 4, 10)
    addresses = _attribute(1 | _NESTED, _attribute(source, local[0]), _attribute(target, peer[0]))
    ports = _attribute(2, local[1].to_bytes(2, "big")), _attribute(3, peer[1].to_bytes(2, "big"))
    protocol_part = _attribute(2 | _NESTED, _attribute(1, bytes((protocol,))), *ports)
    return _netfilter(_CT_GET, _ACK, serial, family, _attribute(2 | _NESTED, addresses, protocol_part))


def conntrack_mark_unpack(payload: bytes) -> int:
    """Read the mark of a connection; 0 where it has none."""
    return int.from_bytes(netlink_attributes(payload, 4).get(8, b""), "big")


# ==============================================================================
# 30 Settings
#
# What a parsed configuration is made of: one record for each kind of value, and
# the immutable Config that holds them.  Names of hosts are wire format with
# their case kept; keys for look-ups (domains of rules) are lower case already.
#
# Uses 12 29
# ==============================================================================

DOMAIN_WHOLE, DOMAIN_PARTIAL, DOMAIN_BELOW = 0, 1, 2


@record
class Network:
    """An address with a prefix length; the address is packed, its host bits are kept."""

    address: bytes
    prefix: int


@record
class DomainPattern:
    """Names that a rule covers: `name` and below (kind 0), `*name` (1), `*.name` (2).

    `name` is lower-case wire format: the root covers everything, b"" the names
    without a dot.  For kind 1 its first label is the end of a label.
    """

    name: bytes
    kind: int = 0


@record
class UpstreamRule:
    """Where questions go: kind "server", "local" (never forwarded) or "standard" (the default servers).

    Without domains the rule is for all questions.  `host` is set instead of
    `address` when the server was given by name.
    """

    domains: tuple[DomainPattern, ...]
    kind: str
    address: str = ""
    host: str = ""
    port: int = 53
    interface: str = ""
    source: str = ""
    source_port: int = 0
    place: str = ""
    scope: str = ""


@record
class AddressRule:
    """An answer for whole domains: kind "v4" or "v6" with an address, "null" (zeros), or "nxdomain"."""

    domains: tuple[DomainPattern, ...]
    kind: str
    address: bytes = b""


# Records of our own.


@record
class MxHost:
    """mx-host; without target the MX default applies."""

    name: bytes
    target: bytes | None
    preference: int = 1


@record
class SrvHost:
    """srv-host; without target the service is declared absent."""

    name: bytes
    target: bytes | None
    port: int = 1
    priority: int = 0
    weight: int = 0


@record
class TxtRecord:
    """txt-record; each string has at most 255 octets."""

    name: bytes
    strings: tuple[bytes, ...]


@record
class PtrRecord:
    """ptr-record."""

    name: bytes
    target: bytes | None


@record
class NaptrRecord:
    """naptr-record (RFC 3403)."""

    name: bytes
    order: int
    preference: int
    flags: bytes
    service: bytes
    regexp: bytes
    replacement: bytes


@record
class CaaRecord:
    """caa-record (RFC 8659)."""

    name: bytes
    flags: int
    tag: bytes
    value: bytes


@record
class DnsRr:
    """dns-rr: any type, with its data as given."""

    name: bytes
    rrtype: int
    data: bytes


@record
class HostRecord:
    """host-record; `ttl` None means local-ttl."""

    names: tuple[bytes, ...]
    ipv4: tuple[bytes, ...]
    ipv6: tuple[bytes, ...]
    ttl: int | None = None


@record
class CnameRecord:
    """cname; an alias `*.x` keeps its star label."""

    aliases: tuple[bytes, ...]
    target: bytes
    ttl: int | None = None


@record
class InterfaceName:
    """interface-name; `families` is 0 (both), 4 or 6."""

    name: bytes
    interface: str
    families: int = 0


@record
class DynamicHost:
    """dynamic-host: host parts whose network part comes from an interface."""

    name: bytes
    ipv4: bytes | None
    ipv6: bytes | None
    interface: str


@record
class SynthDomain:
    """synth-domain: names made up for the addresses from `first` to `last`."""

    domain: bytes
    first: bytes
    last: bytes
    prefix: str = ""
    sequential: bool = False


@record
class AliasRule:
    """alias: IPv4 addresses (as numbers) from `first` to `last` move into the network of `new`."""

    first: int
    last: int
    new: int
    mask: int


@record
class DomainRule:
    """domain: a domain for all, for a range of addresses, or for an interface.

    `local` asks that the domain is never forwarded; `subnet` is the network when
    the range was given as one; `from_resolv` stands for `#`.
    """

    domain: bytes
    first: bytes | None = None
    last: bytes | None = None
    interface: str = ""
    local: bool = False
    from_resolv: bool = False
    subnet: Network | None = None


@record
class AuthZone:
    """auth-zone."""

    domain: bytes
    subnets: tuple[Network, ...] = ()
    excludes: tuple[Network, ...] = ()
    interfaces: tuple[tuple[str, int], ...] = ()


@record
class AuthServer:
    """auth-server."""

    name: bytes
    interfaces: tuple[tuple[str, int], ...] = ()
    addresses: tuple[str, ...] = ()


@record
class AuthSoa:
    """auth-soa; None means the default."""

    serial: int
    hostmaster: bytes | None = None
    refresh: int | None = None
    retry: int | None = None
    expiry: int | None = None


@record
class AddSubnet:
    """add-subnet: prefix lengths, and the address to send instead of the client's."""

    v4_len: int = 0
    v4_addr: bytes | None = None
    v6_len: int = 0
    v6_addr: bytes | None = None


@record
class Umbrella:
    """umbrella: identity that is sent to Cisco's resolvers."""

    device: bytes = b""
    organisation: int = 0
    asset: int = 0


@record
class KernelSet:
    """ipset (names) and nftset: sets of the kernel that take the addresses of domains."""

    domains: tuple[DomainPattern, ...]
    sets: tuple[str | NftSet, ...]


@record
class ConnmarkAllow:
    """connmark-allowlist: name patterns that a connection mark may ask for."""

    mark: int
    mask: int
    patterns: tuple[str, ...] = ()


@record
class TrustAnchor:
    """trust-anchor: a DS record, or (without digest) a zone that is taken as unsigned."""

    name: bytes
    rrclass: int = 1
    key_tag: int = 0
    algorithm: int = 0
    digest_type: int = 0
    digest: bytes = b""


@record
class DnssecLimits:
    """dnssec-limits: work that one answer may cost."""

    signatures: int = 20
    crypto: int = 200
    queries: int = 40
    nsec3_iterations: int = 150


# DHCP, PXE, RA and TFTP.  Conditions are tags: each must be set, `!tag` must not be.


@record
class HardwareAddress:
    """A hardware address of which octets may be anything; `kind` 0 is any ARP type but the default Ethernet."""

    octets: tuple[int | None, ...]
    kind: int = 0


@record
class DhcpHost:
    """dhcp-host: identities of a client, and what it gets.

    `ipv6` holds host parts (high half zero: `[::x]`) or whole addresses with a
    prefix length of 128 or less; `lease` None is the range's, -1 for ever.
    """

    hardware: tuple[HardwareAddress, ...] = ()
    client_id: bytes | None = None
    any_client_id: bool = False
    set_tags: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    ipv4: bytes | None = None
    ipv6: tuple[Network, ...] = ()
    name: str = ""
    domain: bytes = b""
    lease: int | None = None
    ignore: bool = False
    place: str = ""


@record
class DhcpRange:
    """dhcp-range, IPv4 or IPv6 by the length of `first`; `modes` as written (static, proxy, ra-only, ...).

    `lease` in seconds, -1 for ever, None not given; `deprecated` for a preferred
    lifetime of zero.  `mask` None: taken from the interface.
    """

    first: bytes
    last: bytes
    tags: tuple[str, ...] = ()
    set_tag: str = ""
    mask: bytes | None = None
    broadcast: bytes | None = None
    prefix: int = 64
    constructor: str = ""
    modes: frozenset[str] = frozenset()
    lease: int | None = None
    deprecated: bool = False
    place: str = ""


@record
class DhcpOptionRule:
    """dhcp-option and its sisters: an option's data, for clients that meet the tags.

    `data` is ready for the wire, but addresses of the server itself stand at
    `own` (offsets into `data`; IPv6: 16 octets `::`, `fd00::` or `fe80::`).
    `encap` is the option that wraps it, `enterprise` the number of vi-encap,
    `vendor` the class text of vendor: (None: no vendor option).
    """

    number: int
    data: bytes = b""
    family: int = 4
    tags: tuple[str, ...] = ()
    encap: int = 0
    enterprise: int = 0
    vendor: bytes | None = None
    own: tuple[int, ...] = ()
    force: bool = False
    pxe: bool = False
    kind: str = "raw"
    place: str = ""


@record
class DhcpBoot:
    """dhcp-boot."""

    file: str
    tags: tuple[str, ...] = ()
    server_name: str = ""
    server: bytes | None = None
    server_host: str = ""


@record
class DhcpMatch:
    """dhcp-match: tag a client that sends an option, with a value or with any.

    `data` is compared by `kind`: "any", "hex" (from the left; None is any
    octet), "text" (anywhere), "array" (an element).
    """

    set_tag: str
    number: int
    family: int = 4
    enterprise: int = 0
    kind: str = "any"
    data: tuple[int | None, ...] = ()


@record
class DhcpTagText:
    """dhcp-vendorclass, -userclass, -circuitid, -remoteid, -subscrid: tag by octets in an option."""

    set_tag: str
    data: bytes
    enterprise: int = 0


@record
class DhcpTagMac:
    """dhcp-mac."""

    set_tag: str
    hardware: HardwareAddress


@record
class DhcpNameMatch:
    """dhcp-name-match; `prefix` when only the beginning must agree."""

    set_tag: str
    name: str
    prefix: bool = False


@record
class TagIf:
    """tag-if; a condition may end in `*`."""

    set_tags: tuple[str, ...]
    tags: tuple[str, ...]


@record
class SharedNetwork:
    """shared-network: the interface or address, and the network that is also there."""

    interface: str
    address: bytes | None
    shared: bytes


@record
class BridgeInterface:
    """bridge-interface."""

    interface: str
    aliases: tuple[str, ...]


@record
class DhcpRelay:
    """dhcp-relay and dhcp-split-relay; without server the request is sent on by broadcast or multicast."""

    local: bytes
    server: bytes | None
    port: int = 0
    interface: str = ""
    split: bool = False
    uplink: bytes | None = None


@record
class DhcpReplyDelay:
    """dhcp-reply-delay."""

    seconds: int
    tags: tuple[str, ...] = ()


@record
class DhcpDuid:
    """dhcp-duid."""

    enterprise: int
    identifier: bytes


@record
class PxePrompt:
    """pxe-prompt; `seconds` 255 waits for ever."""

    text: str
    seconds: int = 255
    tags: tuple[str, ...] = ()


@record
class PxeService:
    """pxe-service: a menu item; neither `base` nor `boot_type`: boot from the local disk."""

    arch: int
    text: str
    base: str = ""
    boot_type: int | None = None
    server: bytes | None = None
    server_host: str = ""
    tags: tuple[str, ...] = ()


@record
class RaParam:
    """ra-param: `mtu` None unchanged, 0 off; `mtu_interface` takes the MTU from there; `priority` -1, 0, 1."""

    interface: str
    interval: int = 600
    lifetime: int | None = None
    priority: int = 0
    mtu: int | None = None
    mtu_interface: str = ""


@record
class TftpRoot:
    """tftp-root."""

    path: str
    interface: str = ""


@record
class ConfDir:
    """conf-dir; names that end in `excludes` are skipped, with `includes` only those are read."""

    path: str
    excludes: tuple[str, ...] = ()
    includes: tuple[str, ...] = ()


class Config:
    """The whole configuration, immutable by agreement: an attribute for each option.

    Dashes are underscores (`no_resolv`).  A flag is a bool, an option that takes
    a value is that value or its default, one that repeats a tuple in the order
    of the configuration.  `server` holds server, local and rev-server together.
    """

    def __init__(
        self,
        values: dict[str, Any],
        given: dict[str, str] | None = None,
        files: tuple[str, ...] = (),
        not_at_work: tuple[str, ...] = (),
    ) -> None:
        """Take the values by attribute name; `given` are the options that were given, with the place of each."""
        self.__dict__.update(values)
        self.given = given or {}
        self.files = files  # read, in order
        self.not_at_work = not_at_work  # given, accepted, but not built yet

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any: ...


# ==============================================================================
# 31 Option values
#
# Converters from an option's text to the records of section 30.  Each takes one
# text and returns a value, or raises ConfigError with what is wrong and what
# would be right.  First the pieces, then DNS, then DHCP with its relatives.
#
# In these texts the characters that stood in double quotes are protected: they
# are moved to a private part of Unicode, so that a quoted comma is no separator.
# `value_text` moves them back; every leaf converter ends there.
#
# Uses 10 11 12 15 20 21 27 29 30
# ==============================================================================

_GUARD = 0x10FE00  # where protected characters live
_GUARDED = {code: _GUARD + code for code in (*range(33), *b',:.#/=@%*"\\', 127)}
_UNGUARDED = {new: old for old, new in _GUARDED.items()}
_LINE_SPECIAL = Pattern(r'(?s)"((?:[^"\\]|\\.)*)"|(")|(?:^|(?<=\s))#')
_ESCAPE = Pattern(r'\\([\\"tnbre])')
_ESCAPES = {"\\": "\\", '"': '"', "t": "\t", "n": "\n", "b": "\b", "r": "\r", "e": "\x1b"}


def line_unquote(line: str) -> str:
    """Drop quotes and the comment from a configuration line; what was quoted is protected."""
    if '"' not in line and "#" not in line:
        return line
    out, at = [], 0
    for match in _LINE_SPECIAL.finditer(line):
        if match.start() < at:
            continue
        out.append(line[at : match.start()])
        if match[2]:
            raise ConfigError('missing "', "close the quotes on the same line")
        if match[1] is None:
            return "".join(out)
        out.append(_ESCAPE.sub(lambda escape: _ESCAPES[escape[1]], match[1]).translate(_GUARDED))
        at = match.end()
    out.append(line[at:])
    return "".join(out)


def value_text(text: str) -> str:
    """Give `text` with its protected characters as they were."""
    return text if text.isascii() else text.translate(_UNGUARDED)


def value_fields(text: str) -> list[str]:
    """Split at commas; blanks around each field go."""
    return [field.strip() for field in text.split(",")]


def value_octets(text: str) -> bytes:
    """Give `text` as the octets that stood in the file."""
    return value_text(text).encode("utf-8", "surrogateescape")


def value_required(text: str) -> str:
    """Take any text but the empty one."""
    if not text:
        raise ConfigError("a value is missing")
    return value_text(text)


def _is_time(text: str) -> bool:
    return _digits(text[:-1] if text[-1:].lower() in tuple("smhdw") else text) or text.lower() == "infinite"


def _digits(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 20


def value_integer(low: int, high: int, least: int = 0, most: int = 0, empty: int | None = None) -> Callable[[str], int]:
    """Make a converter for numbers from `low` to `high`, clamped to `least` and `most` where given."""

    def parse(text: str) -> int:
        if not text and empty is not None:
            return empty
        if not _digits(text) or not low <= int(text) <= high:
            raise ConfigError(f"'{value_text(text)}' is no number from {low} to {high}")
        value = max(int(text), least)
        return min(value, most) if most else value

    return parse


_u8, _u16, _u32 = value_integer(0, 0xFF), value_integer(0, 0xFFFF), value_integer(0, 0xFFFFFFFF)


def value_number(text: str) -> int:
    """Take a number, decimal or hexadecimal after 0x."""
    try:
        return int(text, 16 if text[:2].lower() == "0x" else 10)
    except ValueError:
        raise ConfigError(f"'{value_text(text)}' is no number", "write it as 15 or 0xf") from None


def value_seconds(text: str) -> int:
    """Take a time to live in seconds."""
    if not _digits(text):
        raise ConfigError(f"'{value_text(text)}' is no number of seconds")
    return min(int(text), CACHE_TTL_MAX)


def value_words(*words: str) -> Callable[[str], str]:
    """Make a converter that takes one of `words`; without a value the first."""

    def parse(text: str) -> str:
        if text and text not in words:
            raise ConfigError(f"'{value_text(text)}' is not known here", f"one of {', '.join(words)}")
        return text or words[0]

    return parse


def value_list(text: str) -> tuple[str, ...]:
    """Take words that are separated by commas; empty ones go."""
    return tuple(value_text(field) for field in value_fields(text) if field)


def value_interfaces(text: str) -> tuple[str, ...]:
    """Take names of interfaces; no name at all stays as one empty name."""
    names = value_list(text)
    for name in names:
        if "*" in name[:-1]:
            raise ConfigError(f"'{name}': a * may only stand at the end of an interface name")
    return names or ("",)


def value_name(text: str) -> bytes:
    """Take a domain name into wire form, its case kept."""
    text = value_text(text)
    if not text.isascii():
        text = _name_ascii(text)
    if not text.isprintable():
        raise ConfigError("a control character stands in a name")
    try:
        return dns_name_parse(text)
    except ValueError as error:
        raise ConfigError(str(error)) from None


def _name_ascii(text: str) -> str:
    try:
        return text.encode("idna").decode("ascii")
    except (LookupError, UnicodeError):
        raise ConfigError(f"'{text}' is no plain ASCII name", "write the xn-- form") from None


def value_host_name(text: str) -> bytes:
    """Take a domain name that must not be empty."""
    if not text:
        raise ConfigError("a name is missing")
    return value_name(text)


def value_names(text: str) -> tuple[bytes, ...]:
    """Take domain names that are separated by commas."""
    return tuple(value_host_name(field) for field in value_fields(text))


def value_address(text: str, family: int = 0) -> bytes:
    """Take an IP address (of `family` 4 or 6) into packed form."""
    packed = address_parse(value_text(text))
    if packed is None or family and len(packed) != (4 if family == 4 else 16):
        raise ConfigError(f"'{value_text(text)}' is no {f'IPv{family}' if family else 'IP'} address")
    return packed


def value_addresses(text: str) -> tuple[str, ...]:
    """Take IP addresses that are separated by commas, as text in its usual form."""
    return tuple(address_format(value_address(field)) for field in value_fields(text))


def value_network(text: str, prefix4: int = 32, prefix6: int = 128, least: int = 0) -> Network:
    """Take address[/length]; the lengths given are the defaults."""
    host, slash, length = text.partition("/")
    address = value_address(host)
    bits = len(address) * 8
    if not slash:
        return Network(address, prefix4 if bits == 32 else prefix6)
    if not _digits(length) or not least <= int(length) <= bits:
        raise ConfigError(f"bad prefix length '{length}' for {host}", f"a number from {least} to {bits}")
    return Network(address, int(length))


def value_networks(text: str) -> tuple[Network, ...]:
    """Take one address[/length]."""
    return (value_network(text),)


def network_bounds(network: Network) -> tuple[bytes, bytes]:
    """Give the first and the last address of a network."""
    size = len(network.address)
    host = (1 << (size * 8 - network.prefix)) - 1
    value = int.from_bytes(network.address, "big")
    return (value & ~host).to_bytes(size, "big"), (value | host).to_bytes(size, "big")


def value_hex(text: str) -> bytes:
    """Take octets in hexadecimal; colons, dashes and blanks between them go."""
    digits = "".join(value_text(text).replace(":", " ").replace("-", " ").split())
    try:
        return bytes.fromhex(digits)
    except ValueError:
        raise ConfigError(f"'{value_text(text)}' is no hexadecimal data", "pairs of the digits 0-9 a-f") from None


_TIME_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
FOR_EVER = -1  # a lease without end


def value_duration(text: str) -> int:
    """Take a time: seconds, a number with s, m, h, d or w, or `infinite` (-1)."""
    if text.lower() == "infinite":
        return FOR_EVER
    number, unit = (text[:-1], text[-1:].lower()) if not _digits(text) else (text, "s")
    if not _digits(number) or unit not in _TIME_UNITS or int(number) * _TIME_UNITS[unit] > 0xFFFFFFFF:
        raise ConfigError(f"'{value_text(text)}' is no time", "write 3600, 60m, 12h, 7d or infinite")
    return int(number) * _TIME_UNITS[unit]


def _field_count(text: str, low: int, high: int, syntax: str) -> list[str]:
    fields = value_fields(text)
    if not low <= len(fields) <= high:
        missing = "missing" if len(fields) < low else "too many"
        raise ConfigError(f"{missing} fields in '{value_text(text)}'", f"write {syntax}")
    return fields + [""] * (high - len(fields))


# DNS: where questions go.


def domain_pattern(text: str) -> DomainPattern:
    """Take a domain of server=/.../: a name, `*x`, `*.x`, `#` for all, empty for dotless names."""
    if text in ("#", "*"):
        return DomainPattern(DNS_ROOT)
    text = text.strip(".")
    if not text:
        return DomainPattern(b"")
    if text[0] != "*":
        return DomainPattern(value_name(text).lower())
    if text[1] == ".":
        return DomainPattern(value_host_name(text[2:]).lower(), DOMAIN_BELOW)
    return DomainPattern(value_name(text[1:]).lower(), DOMAIN_PARTIAL)


def _domains_and_rest(text: str) -> tuple[tuple[DomainPattern, ...], str]:
    if text[:1] != "/":
        return (), text
    parts = text.split("/")
    if len(parts) < 3:
        raise ConfigError(f"no slash closes the domain in '{value_text(text)}'", f"write {value_text(text)}/...")
    return tuple(domain_pattern(part) for part in parts[1:-1]), parts[-1].strip()


def _port_of(text: str) -> tuple[str, int]:
    host, mark, port = text.partition("#")
    if mark and not (_digits(port) and 0 < int(port) <= 0xFFFF):
        raise ConfigError(f"bad port '{value_text(port)}'", "a number from 1 to 65535 after #")
    return host, int(port) if mark else 0


def _upstream(domains: tuple[DomainPattern, ...], text: str) -> UpstreamRule:
    if not text:
        return UpstreamRule(domains or (DomainPattern(DNS_ROOT),), "local")
    if text == "#":
        return UpstreamRule(domains, "standard")
    target, *extras = text.split("@")
    host, port = _port_of(target)
    host, mark, scope = host.partition("%")
    rule = UpstreamRule(domains, "server", port=port or DNS_PORT, scope=scope)
    packed = address_parse(value_text(host))
    if packed is not None:
        rule.address = address_format(packed)
    elif mark or not host:
        raise ConfigError(f"'{value_text(target)}' is no IP address")
    else:
        rule.host = dns_name_format(_server_name(host))
    for extra in extras:
        _upstream_source(rule, extra, packed)
    return rule


def _server_name(text: str) -> bytes:
    if not dns_hostname_valid(text) or text.replace(".", "").isdigit():
        raise ConfigError(f"'{value_text(text)}' is neither an address nor a host name")
    return value_host_name(text)


def _upstream_source(rule: UpstreamRule, text: str, server: bytes | None) -> None:
    host, port = _port_of(text)
    packed = address_parse(value_text(host.partition("%")[0]))
    if packed is None:
        if rule.interface or rule.source or port:
            raise ConfigError("interface can only be specified once", "write address#port@interface@source#port")
        rule.interface = value_text(host)
        return
    if rule.source or server is not None and len(server) != len(packed):
        raise ConfigError(f"'{value_text(host)}' cannot be the source", "one source address, of the server's family")
    rule.source, rule.source_port = address_format(packed), port


def value_server(text: str) -> tuple[UpstreamRule, ...]:
    """Take the value of server and local."""
    return (_upstream(*_domains_and_rest(text)),)


def value_rev_server(text: str) -> tuple[UpstreamRule, ...]:
    """Take the value of rev-server: a network, and the server for its reverse names."""
    subnet, server = _field_count(text, 1, 2, "network/length,server")
    return (_upstream(_reverse_patterns(value_network(subnet, least=1)), server),)


def _reverse_patterns(network: Network) -> tuple[DomainPattern, ...]:
    first, _ = network_bounds(network)
    step = 8 if len(first) == 4 else 4  # bits of a label
    labels = -(-network.prefix // step)
    total = len(first) * 8
    value = int.from_bytes(first, "big")
    out = []
    for number in range(1 << (labels * step - network.prefix)):
        address = value | number << (total - labels * step)
        name = dns_reverse_name(address.to_bytes(len(first), "big"))
        for _ in range(total // step - labels):
            name = name[1 + name[0] :]
        out.append(DomainPattern(name))
    return tuple(out)


def value_address_rule(text: str) -> tuple[AddressRule, ...]:
    """Take the value of address."""
    domains, rest = _domains_and_rest(text)
    domains = domains or (DomainPattern(DNS_ROOT),)
    if rest in ("", "#"):
        return (AddressRule(domains, "null" if rest else "nxdomain"),)
    packed = value_address(rest)
    return (AddressRule(domains, "v4" if len(packed) == 4 else "v6", packed),)


def value_rebind_domains(text: str) -> tuple[bytes, ...]:
    """Take the value of rebind-domain-ok: a domain, or /domain/domain/."""
    parts = text.strip("/").split("/") if text.strip("/") else [""]
    return tuple(value_name(part.strip(".")).lower() if part else b"" for part in parts)


def value_rr_types(text: str) -> tuple[int, ...]:
    """Take record types that are separated by commas, by name or number."""
    try:
        return tuple(rr_type_parse(field) for field in value_fields(text))
    except ValueError as error:
        raise ConfigError(f"bad RR type: {error}", "a name as AAAA or HTTPS, or a number to 65535") from None


def value_resolv_files(text: str) -> tuple[str, ...]:
    """Take the path of a resolver file; an empty one stands for none."""
    return (value_text(text),) if text else ()


def value_alias(text: str) -> AliasRule:
    """Take the value of alias: old[-end],new[,mask]."""
    old, new, mask_text = _field_count(text, 2, 3, "old[-end],new[,mask]")
    low, dash, high = old.partition("-")
    first, target = (int.from_bytes(value_address(part, 4), "big") for part in (low, new))
    last = int.from_bytes(value_address(high, 4), "big") if dash else first
    mask = int.from_bytes(value_address(mask_text, 4), "big") if mask_text else 0xFFFFFFFF
    if dash:
        if last < first or first & mask != last & mask:
            raise ConfigError("invalid alias range", "first to last, both inside one network of the mask")
    else:
        first &= mask
        last = first | ~mask & 0xFFFFFFFF
    return AliasRule(first, last, target, mask)


def value_add_subnet(text: str) -> AddSubnet:
    """Take the value of add-subnet: [[address/]length][,[address/]length]."""
    parts = [
        _subnet_part(field, bits) for field, bits in zip(_field_count(text, 1, 2, "v4,v6"), (32, 128), strict=True)
    ]
    return AddSubnet(*parts[0], *parts[1])


def _subnet_part(text: str, bits: int) -> tuple[int, bytes | None]:
    host, slash, length = text.rpartition("/")
    if not text:
        return 0, None
    if not _digits(length) or int(length) > bits:
        raise ConfigError(f"'{value_text(text)}' is no prefix length", f"a number from 0 to {bits}")
    return int(length), value_address(host, 4 if bits == 32 else 6) if slash else None


def value_fast_retry(text: str) -> tuple[int, int]:
    """Take the value of fast-dns-retry: first retry and end of all retries, in milliseconds."""
    fields = value_fields(text) if text else []
    first = value_integer(50, 0x7FFFFFFF)(fields[0]) if fields else 1000
    total = value_integer(0, 0x7FFFFFFF)(fields[1]) if len(fields) > 1 else 10_000
    return first, total - total % 1000


def value_umbrella(text: str) -> Umbrella:
    """Take the value of umbrella: deviceid:, orgid: and assetid: in any order."""
    out = Umbrella()
    for field in filter(None, value_fields(text)):
        key, _, value = field.partition(":")
        if key == "deviceid" and len(value_hex(value)) == 8:
            out.device = value_hex(value)
        elif key == "orgid":
            out.organisation = _u32(value)
        elif key == "assetid":
            out.asset = _u32(value)
        else:
            raise ConfigError(
                f"'{value_text(field)}' is not known here", "deviceid:16 digits, orgid:number, assetid:number"
            )
    return out


def value_kernel_sets(text: str) -> tuple[KernelSet, ...]:
    """Take the value of ipset: /domain/.../set,set."""
    return _kernel_sets(text, _ipset_name)


def _ipset_name(text: str) -> str:
    if len(text) > IPSET_NAME_MAX:
        raise ConfigError(f"'{value_text(text)}' is too long for an ipset", f"at most {IPSET_NAME_MAX} characters")
    return text


def value_nft_sets(text: str) -> tuple[KernelSet, ...]:
    """Take the value of nftset: /domain/.../[4#|6#][family#]table#set,..."""
    return _kernel_sets(text, _nft_set)


def _kernel_sets(text: str, parse: Callable[[str], str | NftSet]) -> tuple[KernelSet, ...]:
    domains, rest = _domains_and_rest(text)
    sets = tuple(parse(name) for name in value_list(rest))
    if not sets:
        raise ConfigError(f"no set is named in '{value_text(text)}'", "write /domain/set")
    return (KernelSet(domains or (DomainPattern(DNS_ROOT),), sets),)


def _nft_set(text: str) -> NftSet:
    words = text.replace("#", " ").split()
    family = int(words.pop(0)) if words[:1] in (["4"], ["6"]) else 0
    table_family = NFT_FAMILIES.get(words.pop(0)) if len(words) == 3 else NFT_FAMILIES["ip"]
    if table_family is None or len(words) != 2:
        known = ", ".join(NFT_FAMILIES)
        raise ConfigError(
            f"'{value_text(text)}' names no set of nftables", f"[4#|6#][family#]table#set, family: {known}"
        )
    return NftSet(table_family, words[0], words[1], family)


def value_connmark(text: str) -> tuple[ConnmarkAllow, ...]:
    """Take the value of connmark-allowlist: mark[/mask][,pattern[/pattern...]]."""
    numbers, patterns = _field_count(text, 1, 2, "mark[/mask][,pattern/pattern]")
    mark_text, slash, mask_text = numbers.partition("/")
    number = value_integer(1, 0xFFFFFFFF)
    mark, mask = number(mark_text), number(mask_text) if slash else 0xFFFFFFFF
    if mark & ~mask:
        raise ConfigError(f"the mark {mark} has bits outside of its mask {mask}")
    names = tuple(value_text(name) for name in patterns.split("/")) if patterns else ()
    for name in names:
        _connmark_pattern(name)
    return (ConnmarkAllow(mark, mask, names),)


def _connmark_pattern(name: str) -> None:
    labels = name.lower().split(".")
    if name == "*":
        return
    good = len(name) <= DNS_NAME_MAX - 2 and len(labels) >= 2 and all(map(_CONNMARK_LABEL.fullmatch, labels))
    if not good or "*" in labels[-1] + labels[-2] or labels[-1].isdigit() or labels[-1] == "local":
        raise ConfigError(f"bad pattern '{name}'", "two literal labels at the end, at most two * in each other label")


_CONNMARK_LABEL = Pattern(r"(?=[^*]*(?:\*[^*]*){0,2}$)(?!-)[a-z0-9*-]{1,63}(?<!-)")


# DNS: records of our own.


def value_mx(text: str) -> MxHost:
    """Take the value of mx-host."""
    name, target, preference = _field_count(text, 1, 3, "name[,target[,preference]]")
    if preference and not (_digits(preference) and int(preference) <= 0xFFFF):
        raise ConfigError(f"bad MX preference '{value_text(preference)}'", "a number from 0 to 65535")
    return MxHost(value_name(name), value_name(target) if target else None, int(preference or 1))


def value_srv(text: str) -> SrvHost:
    """Take the value of srv-host."""
    name, target, *numbers = _field_count(text, 1, 5, "_service._proto[.domain][,target[,port[,priority[,weight]]]]")
    port, priority, weight = (
        _u16(number) if number else default for number, default in zip(numbers, (1, 0, 0), strict=True)
    )
    return SrvHost(value_host_name(name), value_name(target) if target else None, port, priority, weight)


def value_txt(text: str) -> TxtRecord:
    """Take the value of txt-record; a long string becomes several."""
    name, *texts = value_fields(text)
    strings = [value_octets(part) for part in texts]
    cut = [part[start : start + 255] for part in strings for start in range(0, max(len(part), 1), 255)]
    return TxtRecord(value_host_name(name), tuple(cut))


def value_ptr(text: str) -> PtrRecord:
    """Take the value of ptr-record."""
    name, target = _field_count(text, 1, 2, "name[,target]")
    return PtrRecord(value_host_name(name), value_name(target) if target else None)


def value_naptr(text: str) -> NaptrRecord:
    """Take the value of naptr-record."""
    fields = _field_count(text, 6, 7, "name,order,preference,flags,service,regexp[,replacement]")
    flags, service, regexp = (_short(field) for field in fields[3:6])
    return NaptrRecord(
        value_host_name(fields[0]), _u16(fields[1]), _u16(fields[2]), flags, service, regexp, value_name(fields[6])
    )


def _short(text: str) -> bytes:
    octets = value_octets(text)
    if len(octets) > 255:
        raise ConfigError("a string is longer than 255 octets")
    return octets


def value_caa(text: str) -> CaaRecord:
    """Take the value of caa-record."""
    name, flags, tag, value = _field_count(text, 4, 4, "name,flags,tag,value")
    return CaaRecord(value_host_name(name), _u8(flags), _short(value_required(tag)), value_octets(value))


def value_dns_rr(text: str) -> DnsRr:
    """Take the value of dns-rr; the type may also be a name."""
    name, rrtype, data = _field_count(text, 2, 3, "name,type-number[,hex data]")
    return DnsRr(value_host_name(name), value_rr_types(rrtype)[0], value_hex(data))


def value_host_record(text: str) -> HostRecord:
    """Take the value of host-record: names, addresses and a TTL, told apart by their form."""
    names, ttl = [], None
    addresses: tuple[list[bytes], list[bytes]] = ([], [])
    for field in filter(None, value_fields(text)):
        packed = address_parse(value_text(field))
        if packed is not None:
            addresses[len(packed) == 16].append(packed)
        elif _digits(field):
            ttl = value_seconds(field)
        else:
            names.append(value_name(field))
    if not names or not (addresses[0] or addresses[1] or ttl is not None):
        raise ConfigError("bad host-record", "a name and at least one address")
    return HostRecord(tuple(names), tuple(addresses[0]), tuple(addresses[1]), ttl)


def value_cname(text: str) -> CnameRecord:
    """Take the value of cname: alias[,alias...],target[,ttl]."""
    fields = value_fields(text)
    ttl = value_seconds(fields.pop()) if len(fields) > 2 and _digits(fields[-1]) else None
    if len(fields) < 2:
        raise ConfigError("bad CNAME", "write alias,target[,ttl]")
    names = [value_host_name(field) for field in fields]
    if names[-1].lower() in (name.lower() for name in names[:-1]):
        raise ConfigError("bad CNAME: an alias of itself")
    return CnameRecord(tuple(names[:-1]), names[-1], ttl)


_FAMILIES = {"": 0, "4": 4, "6": 6}


def _interface_family(text: str) -> tuple[str, int]:
    name, _, family = value_text(text).partition("/")
    if not name or family not in _FAMILIES:
        raise ConfigError(f"bad interface '{value_text(text)}'", "write its name, or name/4 or name/6")
    return name, _FAMILIES[family]


def value_interface_name(text: str) -> InterfaceName:
    """Take the value of interface-name."""
    name, interface = _field_count(text, 2, 2, "name,interface[/4|/6]")
    return InterfaceName(value_host_name(name), *_interface_family(interface))


def value_dynamic_host(text: str) -> DynamicHost:
    """Take the value of dynamic-host: name,[ipv4],[ipv6],interface."""
    name, *fields = [field for field in value_fields(text) if field] or [""]
    found: dict[int, bytes] = {}
    for field in fields[:-1]:
        packed = value_address(field)
        found[len(packed)] = packed
    if not found:
        raise ConfigError("missing address in dynamic host", "write name,address,interface")
    if "/" in fields[-1] or address_parse(fields[-1]) is not None:
        raise ConfigError(f"bad interface '{value_text(fields[-1])}' in dynamic host")
    return DynamicHost(value_name(name), found.get(4), found.get(16), value_text(fields[-1]))


def _range_of(fields: list[str]) -> tuple[bytes, bytes, Network | None, list[str]]:
    """Take `start,end`, `net/len` or one address off `fields`; give first, last, network, the rest."""
    if "/" in fields[0]:
        network = value_network(fields[0])
        return (*network_bounds(network), network, fields[1:])
    first = value_address(fields[0])
    last = address_parse(value_text(fields[1])) if len(fields) > 1 else None
    if last is None:
        return first, first, None, fields[1:]
    if len(last) != len(first) or last < first:
        raise ConfigError("bad address range", "two addresses of one family, the lower one first")
    return first, last, None, fields[2:]


def value_synth(text: str) -> SynthDomain:
    """Take the value of synth-domain."""
    domain, *fields = value_fields(text)
    if not fields:
        raise ConfigError("missing address range", "write domain,start,end[,prefix] or domain,net/length[,prefix]")
    first, last, _, rest = _range_of(fields)
    prefix = value_text(rest[0]) if rest else ""
    sequential = prefix.endswith("*")
    if len(rest) > 1 or "*" in prefix[:-1]:
        raise ConfigError(f"bad prefix '{value_text(','.join(rest))}'")
    if sequential and len(first) == 16 and first[:8] != last[:8]:
        raise ConfigError("prefix length too small", "names with numbers need an IPv6 network of /64 or longer")
    return SynthDomain(value_host_name(domain), first, last, prefix.removesuffix("*"), sequential)


def value_domain(text: str) -> DomainRule:
    """Take the value of domain: name[,range|net/len[,local]|interface], or # for the resolver file's."""
    name, *fields = value_fields(text)
    if name == "#" and not fields:
        return DomainRule(DNS_ROOT, from_resolv=True)
    domain = value_name(name.strip("."))
    if not fields:
        return DomainRule(domain)
    if "/" not in fields[0] and address_parse(value_text(fields[0])) is None:
        if len(fields) > 1:
            raise ConfigError(f"'{value_text(fields[0])}' is no address", "write domain,start,end or domain,net/length")
        return DomainRule(domain, interface=value_text(fields[0]))
    first, last, network, rest = _range_of(fields)
    if rest not in ([], ["local"]):
        raise ConfigError(f"'{value_text(','.join(rest))}' is not known here", "only `local` may follow the range")
    return DomainRule(domain, first, last, local=bool(rest), subnet=network)


# DNS: authoritative.


def value_auth_zone(text: str) -> AuthZone:
    """Take the value of auth-zone."""
    domain, *fields = value_fields(text)
    subnets: list[Network] = []
    excludes: list[Network] = []
    interfaces = []
    for field in filter(None, fields):
        exclude = field.startswith("exclude:")
        host = field.removeprefix("exclude:").partition("/")[0]
        if address_parse(value_text(host)) is not None:
            (excludes if exclude else subnets).append(value_network(field.removeprefix("exclude:"), 24, 64))
        elif exclude:
            raise ConfigError(f"'{value_text(field)}' excludes no subnet", "write exclude:address/length")
        else:
            interfaces.append(_interface_family(field))
    return AuthZone(value_host_name(domain), tuple(subnets), tuple(excludes), tuple(interfaces))


def value_auth_server(text: str) -> AuthServer:
    """Take the value of auth-server."""
    name, *fields = value_fields(text)
    addresses = [packed for packed in (address_parse(value_text(field)) for field in fields) if packed is not None]
    interfaces = [_interface_family(field) for field in fields if field and address_parse(value_text(field)) is None]
    return AuthServer(value_host_name(name), tuple(interfaces), tuple(address_format(packed) for packed in addresses))


def value_auth_soa(text: str) -> AuthSoa:
    """Take the value of auth-soa; an @ in the mailbox counts as a dot."""
    serial, mailbox, *times = _field_count(text, 1, 5, "serial[,hostmaster[,refresh[,retry[,expiry]]]]")
    refresh, retry, expiry = (_u32(time) if time else None for time in times)
    hostmaster = value_name(mailbox.replace("@", ".")) if mailbox else None
    return AuthSoa(_u32(serial), hostmaster, refresh, retry, expiry)


# Process and log.

LOG_FACILITIES = {  # RFC 3164 s.4.1.1; what C libraries have a name for
    name: code if code < 12 else code + 4
    for code, name in enumerate(
        "kern user mail daemon auth syslog lpr news uucp cron authpriv ftp "
        "local0 local1 local2 local3 local4 local5 local6 local7".split()
    )
}


def value_log_facility(text: str) -> str:
    """Take the value of log-facility: a facility's name, a path, or - for standard error."""
    if "/" in value_text(text) or text == "-":
        return value_text(text)
    name = {"security": "auth"}.get(text.lower(), text.lower())
    if name not in LOG_FACILITIES:
        raise ConfigError(f"bad log facility '{value_text(text)}'", "daemon, local0 to local7, a path, or -")
    return name


def value_log_words(text: str) -> frozenset[str]:
    """Take the value of log-queries; proto includes extra."""
    words = {word for word in value_list(text) if word in ("extra", "proto", "auth", "only_failed")}
    return frozenset(words | {"extra"} if "proto" in words else words)


def value_default(default: str) -> Callable[[str], str]:
    """Make a converter for a text with a default."""
    return lambda text: value_text(text) or default


def value_conf_dir(text: str) -> ConfDir:
    """Take the value of conf-dir: directory[,suffix...][,*suffix...]."""
    path, *suffixes = value_list(text) or ("",)
    includes = tuple(suffix[1:] for suffix in suffixes if suffix.startswith("*"))
    return ConfDir(path, tuple(suffix for suffix in suffixes if not suffix.startswith("*")), includes)


# DHCP: tags, addresses of hardware, hosts and pools.

LEASE_FILE = "/var/lib/misc/dnsmasq.leases"
TFTP_TRANSFERS_MAX = 50
_NO_MAC = "octets in hexadecimal with colons, * for any, after 06- or another ARP type"
_MAC = Pattern(r"(?:([0-9a-fA-F]{1,2})-)?((?:[0-9a-fA-F]{1,2}|\*)(?::(?:[0-9a-fA-F]{1,2}|\*)){0,15})\Z")
_HEX_GROUPS = Pattern(r"[0-9a-fA-F]{1,2}(?::[0-9a-fA-F]{1,2})+\Z")
_HEX_PATTERN = Pattern(r"(?:[0-9a-fA-F]{1,2}|\*)(?::(?:[0-9a-fA-F]{1,2}|\*))+\Z")


def _lease_time(text: str) -> int:
    seconds = value_duration(text)
    return seconds if seconds == FOR_EVER else max(seconds, DHCP_LEASE_MIN)


def _prefixed(text: str, *prefixes: str) -> str | None:
    for prefix in prefixes:
        if text.startswith(prefix):
            return value_text(text[len(prefix) :])
    return None


def _condition(text: str) -> str:
    """Take one tag of a condition: `tag:`, `net:` or bare, `!` or `#` in front for its absence."""
    tag = _prefixed(text, "tag:", "net:")
    tag = value_text(text) if tag is None else tag
    if not tag.lstrip("!#"):
        raise ConfigError("a tag is missing", "write tag:name or tag:!name")
    return "!" + tag[1:] if tag[0] == "#" else tag


def _take_conditions(text: str) -> tuple[tuple[str, ...], list[str]]:
    """Take the leading `tag:` fields off; give them and the other fields."""
    fields = value_fields(text)
    count = next((at for at, field in enumerate(fields) if _prefixed(field, "tag:", "net:") is None), len(fields))
    if count == len(fields):
        raise ConfigError(f"only tags in '{value_text(text)}'", "a value must follow them")
    return tuple(map(_condition, fields[:count])), fields[count:]


def _set_tag(text: str) -> str:
    tag = _prefixed(text, "set:", "net:")
    tag = value_text(text) if tag is None else tag
    if not tag or ":" in tag:
        raise ConfigError(f"'{value_text(text)}' names no tag to set", "write set:name")
    return tag


def _tag_and_rest(text: str) -> tuple[str, str]:
    tag, comma, rest = text.partition(",")
    if not comma:
        raise ConfigError(f"a value is missing behind '{value_text(text)}'", "write set:tag,value")
    return _set_tag(tag.strip()), rest.strip()


def value_tag_set(text: str) -> tuple[str, ...]:
    """Take conditions that are separated by commas; none is an empty tuple."""
    return tuple(_condition(field) for field in value_fields(text)) if text else ()


def hardware_parse(text: str) -> HardwareAddress | None:
    """Take a hardware address with wildcards, or None when it does not look like one."""
    match = _MAC.match(text)
    if match is None:
        return None
    octets = tuple(None if part == "*" else int(part, 16) for part in match[2].split(":"))
    return HardwareAddress(octets, int(match[1], 16) if match[1] else 0)


_HEX_ID = Pattern(r"[0-9a-fA-F]+(?::[0-9a-fA-F]+)*\Z")


def _client_id(text: str) -> bytes:
    if _HEX_ID.match(text):
        return bytes.fromhex("".join(group.zfill(len(group) + len(group) % 2) for group in text.split(":")))
    return value_octets(value_required(text))


def _host_name(text: str) -> tuple[str, bytes]:
    text = value_text(text)
    label, _, domain = text.partition(".")
    if not host_label_valid(label) or text.replace(".", "").isdigit():
        raise ConfigError(f"bad DHCP host name '{text}'", "letters, digits, - and _, beginning with a letter or digit")
    return label, value_name(domain) if domain else b""


def _host_ipv6(text: str) -> Network:
    inside = text[1:].partition("]")
    address, slash, length = inside[0].partition("/")
    if inside[2] or slash and not (_digits(length) and int(length) <= 128):
        raise ConfigError(f"bad IPv6 prefix in '{value_text(text)}'", "write [address] or [address/length]")
    return Network(value_address(address, 6), int(length) if slash else 128)


def _host_identity(host: DhcpHost, field: str) -> bool:
    """Take a field that says who the client is or which tags count."""
    name = _prefixed(field, "id:")
    if name is not None:
        host.any_client_id = name == "*"
        host.client_id = None if name == "*" else _client_id(field[3:])
        return True
    if _prefixed(field, "set:", "net:") is not None:
        host.set_tags += (_set_tag(field),)
    elif _prefixed(field, "tag:") is not None:
        host.tags += (_condition(field),)
    elif ":" in field and field[0] != "[":
        hardware = hardware_parse(field)
        if hardware is None:
            remedy = f"write [{field}]" if address_parse(field) else _NO_MAC
            raise ConfigError(f"bad hex constant '{value_text(field)}'", remedy)
        host.hardware += (hardware,)
    else:
        return False
    return True


def value_dhcp_host(text: str) -> DhcpHost:
    """Take the value of dhcp-host; its fields are told apart by their form."""
    host = DhcpHost()
    for field in filter(None, value_fields(text)):
        if _host_identity(host, field):
            continue
        packed = address_parse(value_text(field))
        if packed is not None:
            host.ipv4 = packed
        elif field[0] == "[":
            host.ipv6 += (_host_ipv6(field),)
        elif field == "ignore":
            host.ignore = True
        elif _is_time(field):
            host.lease = _lease_time(field)
        else:
            host.name, host.domain = _host_name(field)
    if not value_required(text).strip(", "):
        raise ConfigError("a value is missing")
    return host


_RA_MODES = frozenset(("ra-only", "ra-names", "ra-advrouter", "ra-stateless", "slaac"))
_V6_MODES = _RA_MODES | {"static", "off-link"}
_RANGE_4 = "write first,last[,mask[,broadcast]][,lease]"
_RANGE_6 = "write first[,last|constructor:name][,modes][,prefix length][,lease]"
_ADDRESS_LIKE = "0123456789abcdefABCDEF.: "


def value_dhcp_range(text: str) -> DhcpRange:
    """Take the value of dhcp-range."""
    tags: list[str] = []
    set_tags: list[str] = []
    fields = value_fields(text)
    while len(fields) > 1 and (not fields[0] or fields[0].strip(_ADDRESS_LIKE)):
        field = fields.pop(0)
        if _prefixed(field, "tag:", "net:") is not None:
            tags.append(_condition(field))
        else:
            set_tags.append(_prefixed(field, "set:") or value_text(field))
    if len(set_tags) > 1:
        raise ConfigError("only one tag allowed", "a range sets one tag; conditions are written tag:name")
    if len(fields) < 2:
        raise ConfigError("bad dhcp-range", _RANGE_6 if ":" in fields[0] else _RANGE_4)
    first = value_address(fields[0])
    out = DhcpRange(first, first, tuple(tags), "".join(set_tags))
    (_range_4 if len(first) == 4 else _range_6)(out, fields[1:])
    return out


def _range_4(out: DhcpRange, fields: list[str]) -> None:
    end, *fields = [field for field in fields if field]
    if end in ("static", "proxy"):
        out.modes = frozenset((end,))
    else:
        low, high = sorted((out.first, value_address(end, 4)))
        out.first, out.last = low, high
    if fields and _is_time(fields[-1]):
        out.lease = _lease_time(fields.pop())
    if len(fields) > 2:
        raise ConfigError("bad dhcp-range", _RANGE_4)
    masks = [value_address(field, 4) for field in fields]
    out.mask = masks[0] if masks else None
    out.broadcast = masks[1] if len(masks) > 1 else None
    if out.mask is not None:
        mask = int.from_bytes(out.mask, "big")
        hosts = ~mask & 0xFFFFFFFF
        if hosts & (hosts + 1):
            raise ConfigError(f"bad netmask {fields[0]}", "ones, then zeros, as in 255.255.255.0")
        if (int.from_bytes(out.first, "big") ^ int.from_bytes(out.last, "big")) & mask:
            raise ConfigError("inconsistent DHCP range", "first and last belong into one network of the mask")


def _range_6(out: DhcpRange, fields: list[str]) -> None:
    modes = set()
    prefix = 0
    for field in fields:
        packed = address_parse(field)
        constructor = _prefixed(field, "constructor:")
        if packed is not None:
            out.last = value_address(field, 6)
        elif constructor is not None:
            out.constructor = value_required(constructor)
        elif field in _V6_MODES:
            modes.add(field)
        elif field == "deprecated":
            out.deprecated = True
        elif _digits(field) and int(field) <= 128 and not prefix:
            prefix = int(field)
        elif _is_time(field):
            out.lease = _lease_time(field)
        else:
            raise ConfigError(f"bad dhcp-range: '{value_text(field)}'", _RANGE_6)
    out.prefix, out.modes = prefix or 64, frozenset(modes)
    _range_6_check(out)


def _range_6_check(out: DhcpRange) -> None:
    if out.prefix < 64:
        raise ConfigError("prefix length must be at least 64")
    if out.prefix > 64 and out.modes & _RA_MODES:
        raise ConfigError("prefix length must be exactly 64 for RA subnets")
    if out.prefix > 64 and out.constructor:
        raise ConfigError("prefix length must be exactly 64 for subnet constructors")
    out.first, out.last = sorted((out.first, out.last))
    if not address_in(out.first, out.last, out.prefix):
        raise ConfigError("inconsistent DHCPv6 range", "first and last belong into one network of the prefix length")


# DHCP: options and what is matched against them.


@record
class _OptionHead:
    """What stands before an option's value."""

    number: int = -1
    family: int = 4
    kind: str = "raw"
    tags: tuple[str, ...] = ()
    encap: int = 0
    enterprise: int = 0
    vendor: bytes | None = None


def _head_number(head: _OptionHead, field: str, match: bool) -> bool:
    """Take the field that names the option, if `field` does."""
    name, family = field, 4
    for prefix, number in (("option:", 4), ("option6:", 6)):
        if field.startswith(prefix):
            name, family = field[len(prefix) :], number
    if name is field and not _digits(field):
        return False
    rows = DHCP4_OPTIONS if family == 4 else DHCP6_OPTIONS
    row = rows.get(int(name)) if _digits(name) else dhcp_option_find(family, value_text(name))
    if row is None and not _digits(name) or row is not None and not _digits(name) and not (match or row.settable):
        raise ConfigError(
            f"bad dhcp-option: no option '{value_text(name)}'", f"--help dhcp{'' if family == 4 else '6'} lists them"
        )
    head.number = row.number if row is not None else int(name)
    head.family = family
    if head.number > (255 if family == 4 else 0xFFFF):
        raise ConfigError(f"bad dhcp-option number {head.number}")
    head.kind = (
        row.kind if row is not None and not (head.encap or head.enterprise or head.vendor is not None) else "raw"
    )
    return True


def _head_wrapper(head: _OptionHead, field: str) -> bool:
    """Take a field that wraps the option into another one."""
    encap, enterprise, vendor = (_prefixed(field, prefix) for prefix in ("encap:", "vi-encap:", "vendor:"))
    if encap is not None:
        head.encap = _u8(encap)
    elif enterprise is not None:
        head.enterprise = _u32(enterprise)
    elif vendor is not None:
        head.vendor = value_octets(vendor)
    else:
        return False
    if (head.encap > 0) + (head.enterprise > 0) + (head.vendor is not None) > 1:
        raise ConfigError(f"inappropriate {field.partition(':')[0]}:", "only one of encap:, vi-encap: and vendor:")
    return True


def _option_head(fields: list[str], match: bool = False) -> _OptionHead:
    """Take fields off until the option is named; what is no keyword is a bare tag."""
    head = _OptionHead()
    while fields:
        field = fields.pop(0)
        if _head_number(head, field, match):
            return head
        if not _head_wrapper(head, field):
            head.tags += (_condition(field),)
        elif match:
            if not head.enterprise:
                raise ConfigError(f"inappropriate {field.partition(':')[0]}:", "only vi-encap: can be matched")
            return head
    raise ConfigError(
        "bad dhcp-option: no option is named", "write a number, option:name or option6:name before the value"
    )


_DECIMAL = Pattern(r"(?a)(-?\d{1,20})([bsi]?)\Z")
_OPTION_TIME = Pattern(r"(\d+)[mhdwMHDW]\Z")
_WIDTHS = {"b": 1, "s": 2, "i": 4}


def _option_number(text: str, width: int) -> bytes:
    match = _DECIMAL.match(text)
    time = _OPTION_TIME.match(text)
    if match is not None:
        value = int(match[1])
    elif time is not None and width == 4:
        value = value_duration(text)
    else:
        value = value_number(text)
    limit = 1 << 8 * width
    if not -limit // 2 <= value < limit:
        raise ConfigError(f"'{value_text(text)}' does not fit into {width * 8} bits")
    return (value % limit).to_bytes(width, "big")


def _option_addresses(fields: list[str], family: int) -> tuple[bytes, tuple[int, ...]]:
    """Encode addresses, and tell where the server's own are to be put in."""
    parts, own, at = [], [], 0
    for field in fields:
        field = field[1:-1] if field[:1] == "[" and field[-1:] == "]" else field
        if family == 4 and "/" in field:
            network = value_network(field)
            parts.append(bytes((network.prefix,)) + network_bounds(network)[0][: (network.prefix + 7) // 8])
        else:
            packed = value_address(field, family)
            parts.append(packed)
            if packed in _OWN_ADDRESSES:
                own.append(at)
        at += len(parts[-1])
    routes = any("/" in field for field in fields)  # where 0.0.0.0 says that there is no router (RFC 3442)
    return b"".join(parts), () if routes else tuple(own)


_OWN_ADDRESSES = frozenset((b"\0" * 4, b"\0" * 16, b"\xfd" + b"\0" * 15, b"\xfe\x80" + b"\0" * 14))


def domains_compress(names: Iterable[bytes]) -> bytes:
    """Pack wire names behind each other with pointers to earlier suffixes (RFC 3397)."""
    out = bytearray()
    seen: dict[bytes, int] = {}
    for name in names:
        while name[0] and name.lower() not in seen:
            seen[name.lower()] = len(out)
            out += name[: 1 + name[0]]
            name = name[1 + name[0] :]
        out += (0xC000 | seen[name.lower()]).to_bytes(2, "big") if name[0] else DNS_ROOT
    return bytes(out)


def _counted(fields: list[str]) -> bytes:
    octets = [value_octets(field) for field in fields]
    return b"".join(len(part).to_bytes(2, "big") + part for part in octets)


def _ntp_servers(fields: list[str]) -> bytes:
    out = b""
    for field in fields:
        packed = address_parse(value_text(field.strip("[]")))
        part = packed if packed is not None and len(packed) == 16 else value_host_name(field)
        kind = 3 if part is not packed else 2 if part[0] == 0xFF else 1
        out += struct.pack("!HH", kind, len(part)) + part
    return out


def _guess(fields: list[str], family: int) -> tuple[str, bytes, tuple[int, ...]]:
    """Tell the kind of a value by its looks, and encode it; quoted separators do not count."""
    number = _DECIMAL.match(fields[0]) if len(fields) == 1 else None
    if number is not None:
        return "array", _option_number(number[0], _WIDTHS.get(number[2]) or _width(int(number[1]))), ()
    if len(fields) == 1 and _HEX_GROUPS.match(fields[0]):
        return "hex", bytes(int(group, 16) for group in fields[0].split(":")), ()
    if family == 4 and all(field[:1] not in ("", "/") and not field.strip("0123456789./") for field in fields):
        return "array", *_option_addresses(fields, 4)
    if family == 6 and all(field[:1] == "[" and field[-1:] == "]" for field in fields):
        return "array", *_option_addresses(fields, 6)
    return "text", value_octets(",".join(fields)), ()


def _width(value: int) -> int:
    return 1 if 0 <= value < 1 << 8 else 2 if 0 <= value < 1 << 16 else 4


_KIND_WIDTHS = {"u8": 1, "u16": 2, "u32": 4}
_OPTION_ENCODERS: dict[str, Callable[[list[str]], bytes]] = {
    "text": lambda fields: value_octets(",".join(fields)),
    "cstrings": _counted,
    "ntp": _ntp_servers,
    "time": lambda fields: (value_duration(",".join(fields)) & 0xFFFFFFFF).to_bytes(4, "big"),
}


def _option_value(head: _OptionHead, fields: list[str]) -> tuple[bytes, tuple[int, ...]]:
    """Encode a value by the option's kind."""
    kind = head.kind
    if kind == "addr":
        return _option_addresses(fields[:-1] if fields[-1] == "" else fields, head.family)
    if kind in _KIND_WIDTHS:
        return b"".join(_option_number(field, _KIND_WIDTHS[kind]) for field in fields), ()
    if kind == "raw":
        if (head.family, head.number) == (4, 120) and not head.encap:
            return _sip_servers(fields)
        guessed, data, own = _guess(fields, head.family)
        head.kind = "text" if guessed == "text" else kind
        return data, own
    if kind == "domains":
        names = [value_host_name(field) for field in fields]
        return domains_compress(names) if head.family == 4 else b"".join(names), ()
    return _OPTION_ENCODERS[kind](fields), ()


def _sip_servers(fields: list[str]) -> tuple[bytes, tuple[int, ...]]:
    if all(address_parse(value_text(field)) is not None for field in fields):
        return b"\1" + _option_addresses(fields, 4)[0], ()
    return b"\0" + domains_compress([value_host_name(field) for field in fields]), ()


def value_dhcp_option(text: str) -> DhcpOptionRule:
    """Take the value of dhcp-option."""
    fields = value_fields(text)
    head = _option_head(fields)
    data, own = _option_value(head, fields) if fields and fields != [""] else (b"", ())
    if head.family == 6 and (head.encap or head.vendor is not None):
        raise ConfigError("unsupported encapsulation for IPv6 option", "only vi-encap: goes with option6:")
    limit = (
        0xFFFF
        if head.family == 6
        else 250
        if head.enterprise
        else 253
        if head.encap or head.vendor is not None
        else 255
    )
    if len(data) > limit:
        raise ConfigError(f"dhcp-option too long: {len(data)} octets", f"at most {limit}")
    return DhcpOptionRule(
        head.number, data, head.family, head.tags, head.encap, head.enterprise, head.vendor, own, kind=head.kind
    )


def value_dhcp_option_force(text: str) -> DhcpOptionRule:
    """Take the value of dhcp-option-force."""
    rule = value_dhcp_option(text)
    rule.force = True
    return rule


def value_dhcp_option_pxe(text: str) -> DhcpOptionRule:
    """Take the value of dhcp-option-pxe."""
    rule = value_dhcp_option(text)
    if rule.vendor is not None:
        raise ConfigError("inappropriate vendor:", "dhcp-option-pxe is for PXE clients anyway")
    rule.pxe = True
    return rule


def value_dhcp_match(text: str) -> DhcpMatch:
    """Take the value of dhcp-match."""
    tag, rest = _tag_and_rest(text)
    fields = value_fields(rest)
    if fields and fields[0].startswith("set:"):
        raise ConfigError("illegal dhcp-match", "exactly one tag, then the option")
    head = _option_head(fields, True)
    if head.tags:
        raise ConfigError("illegal dhcp-match", "exactly one tag, then the option")
    out = DhcpMatch(tag, head.number, head.family, head.enterprise)
    if fields and fields != [""]:
        out.kind, out.data = _match_value(head, fields)
    return out


def _match_value(head: _OptionHead, fields: list[str]) -> tuple[str, tuple[int | None, ...]]:
    octets = head.kind in ("raw", "cstrings") or (head.kind in ("u8", "u16", "u32", "time") and ":" in fields[0])
    if len(fields) == 1 and octets and _HEX_PATTERN.match(fields[0]):
        return "hex", tuple(None if part == "*" else int(part, 16) for part in fields[0].split(":"))
    if head.kind == "raw":
        kind, data, _ = _guess(fields, head.family)
        return kind, tuple(data)
    if head.kind == "domains":
        return "text", tuple(b"".join(value_host_name(field)[:-1] for field in fields))
    if head.kind in ("text", "cstrings", "ntp"):
        return "text", tuple(value_octets(",".join(fields)))
    if len(fields) > 1:
        raise ConfigError("bad value of dhcp-match", "one value in each line")
    return "array", tuple(_option_value(head, fields)[0])


def value_tag_mac(text: str) -> DhcpTagMac:
    """Take the value of dhcp-mac."""
    tag, pattern = _tag_and_rest(text)
    hardware = hardware_parse(pattern)
    if hardware is None:
        raise ConfigError(f"bad hardware address '{value_text(pattern)}'", _NO_MAC)
    return DhcpTagMac(tag, hardware)


def value_tag_vendor(text: str) -> DhcpTagText:
    """Take the value of dhcp-vendorclass."""
    tag, rest = _tag_and_rest(text)
    number, comma, after = rest.partition(",")
    enterprise = _prefixed(number, "enterprise:")
    if enterprise is None:
        return DhcpTagText(tag, value_octets(rest))
    if not comma:
        raise ConfigError("a text is missing behind enterprise:", "write set:tag,enterprise:number,text")
    return DhcpTagText(tag, value_octets(after.strip()), _u32(enterprise))


def value_tag_text(text: str) -> DhcpTagText:
    """Take the value of dhcp-userclass."""
    tag, rest = _tag_and_rest(text)
    if "," in rest:
        raise ConfigError(f"too many fields in '{value_text(text)}'", "put a text with a comma into quotes")
    return DhcpTagText(tag, value_octets(rest))


def value_tag_relay(text: str) -> DhcpTagText:
    """Take the value of dhcp-circuitid, -remoteid and -subscrid: hexadecimal with colons, or a text."""
    tag, rest = _tag_and_rest(text)
    if _HEX_GROUPS.match(rest):
        return DhcpTagText(tag, bytes(int(group, 16) for group in rest.split(":")))
    return DhcpTagText(tag, value_octets(rest))


def value_dhcp_name_match(text: str) -> DhcpNameMatch:
    """Take the value of dhcp-name-match."""
    tag, name = _tag_and_rest(text)
    name = value_required(name)
    if "*" in name[:-1]:
        raise ConfigError(f"bad name '{name}'", "a * may only stand at the end")
    return DhcpNameMatch(tag, name.removesuffix("*").lower(), name.endswith("*"))


def value_tag_if(text: str) -> TagIf:
    """Take the value of tag-if."""
    sets, tags = [], []
    for field in value_fields(text):
        if _prefixed(field, "set:") is not None:
            sets.append(_set_tag(field))
        elif _prefixed(field, "tag:", "net:") is not None:
            tags.append(_condition(field))
        else:
            raise ConfigError(f"bad tag-if: '{value_text(field)}'", "write set:tag,tag:condition")
    if not sets:
        raise ConfigError("bad tag-if", "at least one set:tag")
    return TagIf(tuple(sets), tuple(tags))


# DHCP: relays, networks, ports.


def value_lease_file(text: str) -> str:
    """Take the path of the lease file; an empty one is the default."""
    return value_text(text) or LEASE_FILE


def value_dhcp_ports(text: str) -> tuple[int, int]:
    """Take the value of dhcp-alternate-port: the server's and the client's port."""
    if not text:
        return 1067, 1068
    server, client = _field_count(text, 1, 2, "server[,client]")
    return _u16(server), _u16(client) if client else _u16(server) + 1


def value_dhcp_reply_delay(text: str) -> DhcpReplyDelay:
    """Take the value of dhcp-reply-delay."""
    tags, fields = _take_conditions(text)
    if len(fields) > 1:
        raise ConfigError(f"too many fields in '{value_text(text)}'", "write [tag:name,]seconds")
    return DhcpReplyDelay(_u16(fields[0]), tags)


def value_dhcp_proxy(text: str) -> tuple[bytes, ...]:
    """Take the value of dhcp-proxy: relays, or none for all."""
    return tuple(value_address(field, 4) for field in value_fields(text)) if text else ()


def _relay_server(text: str, local: bytes) -> tuple[bytes, int]:
    host, port = _port_of(text)
    return value_address(host, 4 if len(local) == 4 else 6), port


def value_dhcp_relay(text: str) -> DhcpRelay:
    """Take the value of dhcp-relay: local,server[#port][,interface] or local,interface."""
    first, second, interface = _field_count(text, 2, 3, "local,server[#port][,interface] or local,interface")
    local = value_address(first)
    if address_parse(second.partition("#")[0]) is None:
        if interface or not second or "*" in second:
            raise ConfigError(
                f"Bad dhcp-relay: '{value_text(second)}' is no server", "local,server[,interface] or local,interface"
            )
        return DhcpRelay(local, None, interface=value_text(second))
    return DhcpRelay(local, *_relay_server(second, local), value_text(interface))


def value_dhcp_split_relay(text: str) -> DhcpRelay:
    """Take the value of dhcp-split-relay."""
    first, second, uplink = _field_count(text, 3, 3, "local,server[#port],interface or address")
    local = value_address(first, 4)
    address = address_parse(value_text(uplink))
    if address is None and (not uplink or "*" in uplink):
        raise ConfigError("Bad dhcp-split-relay: no uplink", "an interface without *, or an address")
    server, port = _relay_server(second, local)
    return DhcpRelay(local, server, port, "" if address else value_text(uplink), True, address)


def value_shared_network(text: str) -> SharedNetwork:
    """Take the value of shared-network: interface or address, then the address of the further network."""
    first, second = _field_count(text, 2, 2, "interface or address,address")
    address, shared = address_parse(first), value_address(second)
    if address is not None and len(address) != len(shared):
        raise ConfigError("bad shared-network", "two addresses of one family")
    return SharedNetwork("" if address else value_required(first), address, shared)


def value_bridge(text: str) -> BridgeInterface:
    """Take the value of bridge-interface."""
    interface, *aliases = value_list(text) or ("",)
    if not aliases:
        raise ConfigError("bad bridge-interface", "write interface,alias[,alias...]")
    return BridgeInterface(interface, value_interfaces(",".join(aliases)))


def value_leasequery(text: str) -> tuple[Network, ...]:
    """Take the value of leasequery; nothing stands for every address."""
    return value_networks(text) if text else (Network(b"\0" * 4, 0),)


def value_dhcp_duid(text: str) -> DhcpDuid:
    """Take the value of dhcp-duid."""
    enterprise, identifier = _field_count(text, 2, 2, "enterprise,hex")
    return DhcpDuid(_u32(enterprise), value_hex(value_required(identifier)))


# Booting from the network.


def _server_or_host(text: str) -> tuple[bytes | None, str]:
    address = address_parse(value_text(text)) if text else None
    return address, "" if address is not None or not text else dns_name_format(value_name(text))


def value_dhcp_boot(text: str) -> DhcpBoot:
    """Take the value of dhcp-boot."""
    tags, fields = _take_conditions(text)
    file, name, server = _field_count(",".join(fields), 1, 3, "[tag:name,]file[,server name[,address]]")
    return DhcpBoot(value_text(file), tags, value_text(name), *_server_or_host(server))


def value_pxe_service(text: str) -> PxeService:
    """Take the value of pxe-service."""
    tags, fields = _take_conditions(text)
    arch, label, base, server = _field_count(",".join(fields), 2, 4, "architecture,text[,base name or type[,server]]")
    names = {name.lower(): number for number, name in enumerate(PXE_ARCHITECTURES)}
    number = names.get(arch.lower())
    if number is None:
        if not _digits(arch):
            raise ConfigError(f"no architecture '{value_text(arch)}'", ", ".join(PXE_ARCHITECTURES))
        number = _u16(arch)
    boot_type = _u16(base) if _digits(base) else None
    return PxeService(
        number,
        value_required(label),
        "" if boot_type is not None else value_text(base),
        boot_type,
        *_server_or_host(server),
        tags,
    )


def value_pxe_prompt(text: str) -> PxePrompt:
    """Take the value of pxe-prompt."""
    tags, fields = _take_conditions(text)
    prompt, seconds = _field_count(",".join(fields), 1, 2, "[tag:name,]text[,seconds]")
    return PxePrompt(value_text(prompt), _u8(seconds) if seconds else 255, tags)


def value_tftp_interfaces(text: str) -> tuple[str, ...]:
    """Take the value of enable-tftp: interfaces, or none for all that DHCP serves."""
    return value_interfaces(text) if text else ()


def value_tftp_root(text: str) -> TftpRoot:
    """Take the value of tftp-root."""
    path, interface = _field_count(text, 1, 2, "directory[,interface]")
    return TftpRoot(value_text(path), value_text(interface))


def value_port_range(text: str) -> tuple[int, int]:
    """Take two ports, the lower one first when done."""
    low, high = sorted(_u16(field) for field in _field_count(text, 2, 2, "low,high"))
    return low, high


# Router advertisements, DNSSEC, scripts.

_RA_SYNTAX = "write interface,[mtu:number|interface|off,][high|low,]interval[,lifetime]"
_RA_PRIORITIES = {"low": -1, "high": 1}


def value_ra_param(text: str) -> RaParam:
    """Take the value of ra-param; the interval may be left out, as the manual has it."""
    interface, *fields = value_fields(text)
    out = RaParam(value_required(interface))
    mtu = _prefixed(fields[0], "mtu:") if fields else None
    if mtu is not None:
        _ra_mtu(out, mtu)
        fields = fields[1:]
    if fields and fields[0] in _RA_PRIORITIES:
        out.priority = _RA_PRIORITIES[fields.pop(0)]
    if len(fields) > 2:
        raise ConfigError("bad RA-params", _RA_SYNTAX)
    if not all(_digits(field) for field in fields):
        raise ConfigError(f"bad RA-params: '{value_text(','.join(fields))}'", _RA_SYNTAX)
    numbers = [int(field) for field in fields]
    out.interval = min(max(numbers[0], 4), 1800) if numbers and numbers[0] else 600
    if len(numbers) > 1:
        out.lifetime = numbers[1] and min(max(numbers[1], out.interval), 9000)
    return out


def _ra_mtu(out: RaParam, text: str) -> None:
    if text == "off":
        out.mtu = 0
    elif not _digits(text):
        out.mtu_interface = value_required(text)
    elif int(text) >= 1280:
        out.mtu = int(text)
    else:
        raise ConfigError(f"bad RA-params: MTU {text}", "1280 or more, an interface, or off")


_CLASSES = {"IN": 1, "CH": 3, "HS": 4}


_ANCHOR_SYNTAX = (
    "write name[,class],key tag,algorithm,digest type,digest; or name[,class],flags,3,algorithm,key; or a name alone"
)


def value_trust_anchor(text: str) -> TrustAnchor:
    """Take the value of trust-anchor: a DS, a DNSKEY (kept as its DS), or a name alone, below which nothing is proved.

    A DNSKEY is told by the protocol 3 and the zone flag: as a DS these would be an
    algorithm that is no longer supported.
    """
    name, *fields = value_fields(text)
    rrclass = _CLASSES[fields.pop(0).upper()] if fields and fields[0].upper() in _CLASSES else 1
    if not value_text(name) or " " in value_text(name):
        raise ConfigError("bad trust anchor", _ANCHOR_SYNTAX)
    owner = value_host_name(name).lower()
    if not fields:
        return TrustAnchor(owner, rrclass)
    if len(fields) != 4:
        raise ConfigError("bad trust anchor", _ANCHOR_SYNTAX)
    if fields[1] == "3" and fields[0] in ("256", "257"):
        return _key_anchor(owner, rrclass, fields)
    try:
        digest = value_hex(value_required(fields[3]))
    except ConfigError as error:
        raise ConfigError("bad HEX in trust anchor", error.remedy) from None
    return TrustAnchor(owner, rrclass, _u16(fields[0]), _u8(fields[1]), _u8(fields[2]), digest)


def _key_anchor(owner: bytes, rrclass: int, fields: list[str]) -> TrustAnchor:
    try:
        key = binascii.a2b_base64("".join(value_text(fields[3]).split()).encode())
    except ValueError:
        key = b""
    if len(key) < 4:
        raise ConfigError("bad key in trust anchor", "the key of a DNSKEY record, in base 64")
    rdata = struct.pack("!HBB", int(fields[0]), 3, _u8(fields[2])) + key
    return TrustAnchor(owner, rrclass, dnskey_tag(rdata), rdata[3], 2, ds_digest(owner, rdata, 2) or b"")


def value_check_unsigned(text: str) -> bool:
    """Take the value of dnssec-check-unsigned: nothing, or no."""
    if text not in ("", "no"):
        raise ConfigError("bad value for dnssec-check-unsigned", "leave it out, or write no")
    return not text


def value_dnssec_limits(text: str) -> DnssecLimits:
    """Take the value of dnssec-limits; 0 keeps a default."""
    fields = _field_count(text, 1, 4, "signatures[,crypto[,queries[,nsec3 iterations]]]")
    out = DnssecLimits()
    for name, field in zip(("signatures", "crypto", "queries", "nsec3_iterations"), fields, strict=True):
        setattr(out, name, (_u32(field) if field else 0) or getattr(out, name))
    return out


def value_script(text: str) -> str | None:
    """Take the path of a program; an empty one stands for none."""
    return value_text(text) or None


# ==============================================================================
# 32 Options
#
# One row for each option: name, letter, arity, where and how often it may stand,
# its converter, default, and help.  The parser, --help, the checks and the tests
# are all made from these rows.
#
# Uses 10 12 15 30 31
# ==============================================================================

NONE, OPTIONAL, REQUIRED = "none", "optional", "required"


@record
class OptionRow:
    """What is known about one option.

    `arity` none, optional or required; `repeat` no (harmless), yes, or error;
    `where` both or cmdline; `merge` last, least, append, extend or union; `target` the
    attribute of Config; `status` works, later or refused (with `reason`).
    """

    name: str
    letter: str
    arity: str
    area: str
    repeat: str
    where: str
    parse: Callable[[str], Any] | None
    default: Any
    merge: str
    meta: str
    help: str
    target: str
    status: str
    reason: str = ""

    def short_arity(self) -> str:
        """Tell whether the letter takes a value: there is no optional value behind a letter."""
        return NONE if self.arity == NONE or self.letter in ("q", "1") else REQUIRED


# Accepted and checked, without effect yet.
_LATER = frozenset(
    (
        "umbrella", "enable-dbus", "quiet-dhcp6", "quiet-ra", "enable-ra", "ra-param", "dhcp-duid",
        "no-dhcpv6-interface",
    )
)  # fmt: skip
_REFUSED = {"dhcp-luascript": "there is no Lua in Python's standard library; use dhcp-script"}


def _status(name: str) -> str:
    return "refused" if name in _REFUSED else "later" if name in _LATER else "works"


def _row(
    name: str, letter: str, arity: str, area: str, repeat: str, parse: Callable[[str], Any] | None, default: Any,
    merge: str, meta: str, help_text: str, target: str = "", where: str = "both",
) -> OptionRow:  # fmt: skip
    return OptionRow(
        name, letter, arity, area, repeat, where, parse, default, merge, meta, help_text,
        (target or name).replace("-", "_"), _status(name), _REFUSED.get(name, ""),
    )  # fmt: skip


def _flag(name: str, letter: str, area: str, help_text: str, where: str = "both") -> OptionRow:
    return _row(name, letter, NONE, area, "no", None, False, "last", "", help_text, where=where)


def _one(
    name: str, letter: str, area: str, meta: str, parse: Callable[[str], Any], default: Any, help_text: str,
    repeat: str = "error", target: str = "",
) -> OptionRow:  # fmt: skip
    arity = OPTIONAL if meta[:2] == "[=" else REQUIRED
    return _row(name, letter, arity, area, repeat, parse, default, "last", meta, help_text, target)


def _many(
    name: str, letter: str, area: str, meta: str, parse: Callable[[str], Any], help_text: str, merge: str = "append",
    default: Any = (), target: str = "",
) -> OptionRow:  # fmt: skip
    arity = OPTIONAL if meta[:2] == "[=" else REQUIRED
    return _row(name, letter, arity, area, "yes", parse, default, merge, meta, help_text, target)


_PORT = value_integer(0, 0xFFFF)
_TEXT, _PATH, _SECONDS, _COUNT = value_text, value_required, value_seconds, value_integer(0, 0x7FFFFFFF)

# fmt: off
OPTION_ROWS: tuple[OptionRow, ...] = (
    # The program and its process.
    _flag("version", "v", "process", "print the version and what is built in, then end", "cmdline"),
    _flag("help", "w", "process", "print this list, or with `dhcp` or `dhcp6` the names of DHCP options", "cmdline"),
    _flag("test", "", "process", "check the configuration, report every error, then end", "cmdline"),
    _flag("no-daemon", "d", "process", "debug: stay in the foreground, keep the user, log to standard error too"),
    _flag("keep-in-foreground", "k", "process", "stay in the foreground, else as usual"),
    _one("user", "u", "process", "[=user]", _TEXT, "nobody", "account to run as"),
    _one("group", "g", "process", "[=group]", _TEXT, None, "group to run as"),
    _one("pid-file", "x", "process", "[=path]", _TEXT, "/var/run/dnsmasq.pid", "file for the process id; empty: none"),
    # Configuration files.
    _many("conf-file", "C", "config", "[=path]", _TEXT, "read options from a file; `-` is standard input"),
    _many("conf-dir", "7", "config", "dir[,suffix][,*suffix]", value_conf_dir,
        "read every options file of a directory"),
    _many("conf-script", "", "config", "command", _PATH, "read options from what a command prints"),
    # Log.
    _many("log-queries", "q", "log", "[=extra|proto|auth]", value_log_words, "log each query and its answer",
        "union", None),
    _one("log-facility", "8", "log", "facility|path|-", value_log_facility, None, "where the log goes"),
    _one("log-async", "", "log", "[=lines]", value_integer(0, 0x7FFFFFFF, 0, 100, 5), None,
        "queue log lines, never wait"),
    _flag("log-debug", "", "log", "log more, for finding faults"),
    _flag("log-dhcp", "", "log", "log tags and options of each DHCP exchange"),
    _flag("quiet-dhcp", "", "log", "leave out the usual DHCPv4 lines"),
    _flag("quiet-dhcp6", "", "log", "leave out the usual DHCPv6 lines"),
    _flag("quiet-ra", "", "log", "leave out the router advertisement lines"),
    _flag("quiet-tftp", "", "log", "leave out files that TFTP clients ask for in vain"),
    _one("dumpfile", "", "log", "path", _PATH, None, "append packets to a pcap file"),
    _one("dumpmask", "", "log", "number", value_number, 0xFFFFFFFF, "which kinds of packets the dump takes"),
    # Listening.
    _one("port", "p", "dns", "number", _PORT, 53, "port for DNS; 0 turns DNS off"),
    _many("interface", "i", "dns", "name,...", value_interfaces, "interfaces to serve", "extend"),
    _many("except-interface", "I", "dns", "name,...", value_interfaces, "interfaces not to serve", "extend"),
    _many("listen-address", "a", "dns", "address,...", value_addresses, "addresses to serve", "extend"),
    _one("local-service", "", "dns", "[=net|host]", value_words("net", "host"), None,
        "answer only to networks at hand"),
    _flag("bind-interfaces", "z", "dns", "a socket for each address instead of one for all"),
    _flag("bind-dynamic", "", "dns", "a socket for each address, following interfaces that come and go"),
    _one("max-tcp-connections", "", "dns", "number", value_integer(1, 0xFFFF), 20, "TCP clients served at once"),
    # Upstream servers.
    _flag("no-resolv", "R", "dns", "do not read a resolver file"),
    _many("resolv-file", "r", "dns", "[=path]", value_resolv_files, "file that names the upstream servers", "extend",
        ("/etc/resolv.conf",)),
    _flag("no-poll", "n", "dns", "do not watch the resolver files"),
    _many("server", "S", "dns", "[/domain/]address[#port]", value_server, "upstream server, for all or some domains",
        "extend"),
    _many("local", "", "dns-local", "/domain/", value_server, "domains that are never forwarded", "extend", (),
        "server"),
    _many("rev-server", "", "dns", "network/length[,server]", value_rev_server, "server for reverse names", "extend",
        (), "server"),
    _one("servers-file", "", "dns", "path", _PATH, None, "file of server lines, read again at each SIGHUP"),
    _flag("strict-order", "o", "dns", "ask upstream servers in the order given"),
    _flag("all-servers", "", "dns", "ask all upstream servers at once"),
    _flag("dns-loop-detect", "", "dns", "find upstream servers that ask us back, and leave them out"),
    _flag("clear-on-reload", "", "dns", "empty the cache when the upstream servers change"),
    _one("query-port", "Q", "dns", "number", _PORT, None, "fixed source port for upstream queries"),
    _one("min-port", "", "dns", "number", _PORT, None, "lowest source port for upstream queries"),
    _one("max-port", "", "dns", "number", _PORT, None, "highest source port for upstream queries"),
    _one("port-limit", "", "dns", "number", value_integer(1, 0xFFFF), 1, "source ports that one query may use"),
    _one("dns-forward-max", "0", "dns", "number", _COUNT, FORWARD_MAX, "upstream queries at once"),
    _one("fast-dns-retry", "", "dns", "[=ms[,ms]]", value_fast_retry, None,
        "repeat upstream queries without being asked"),
    _one("edns-packet-max", "P", "dns", "octets", value_integer(0, 0xFFFFFFFF, DNS_UDP_MIN, DNS_MESSAGE_MAX),
        DNS_UDP_DEFAULT, "largest UDP message"),
    _flag("do-0x20-encode", "", "dns", "vary the case of forwarded names against forged replies"),
    _flag("no-0x20-encode", "", "dns", "leave the case of forwarded names"),
    # What is forwarded, and what comes back.
    _flag("domain-needed", "D", "dns", "never forward names without a dot"),
    _flag("bogus-priv", "b", "dns", "never forward reverse names of private addresses"),
    _flag("filterwin2k", "f", "dns", "answer noise of Windows machines here"),
    _flag("filter-A", "", "dns", "drop IPv4 addresses from upstream answers"),
    _flag("filter-AAAA", "", "dns", "drop IPv6 addresses from upstream answers"),
    _many("filter-rr", "", "dns", "type,...", value_rr_types, "drop record types from upstream answers", "extend"),
    _many("bogus-nxdomain", "B", "dns", "address[/length]", value_networks, "answers with it do not exist", "extend"),
    _many("ignore-address", "", "dns", "address[/length]", value_networks, "answers with it are dropped", "extend"),
    _many("alias", "V", "dns", "old[-end],new[,mask]", value_alias, "change IPv4 addresses in upstream answers"),
    _flag("stop-dns-rebind", "", "dns", "drop private addresses from upstream answers"),
    _flag("rebind-localhost-ok", "", "dns", "but leave 127.0.0.0/8 and ::1"),
    _many("rebind-domain-ok", "", "dns", "domain", value_rebind_domains, "but leave answers of a domain", "extend"),
    _many("add-mac", "", "dns", "[=base64|text]", value_words("raw", "base64", "text"),
        "tell upstream the client's MAC", "last", None),
    _flag("strip-mac", "", "dns", "take MAC addresses out of clients' queries"),
    _one("add-subnet", "", "dns", "[=v4len][,v6len]", value_add_subnet, None, "tell upstream the client's network"),
    _flag("strip-subnet", "", "dns", "take client subnets out of clients' queries"),
    _one("add-cpe-id", "", "dns", "text", _PATH, None, "tell upstream an identifier"),
    _one("umbrella", "", "dns", "[=deviceid:x][,orgid:n]", value_umbrella, None, "tell Cisco Umbrella who asks"),
    # Cache.
    _one("cache-size", "c", "dns", "[=number]", value_integer(0, 0xFFFFFFFF, 0, CACHE_SIZE_MAX), CACHE_SIZE,
        "records to keep"),
    _flag("no-negcache", "N", "dns", "do not keep negative answers"),
    _many("cache-rr", "", "dns", "type,...", value_rr_types, "keep further record types", "extend"),
    _one("neg-ttl", "", "dns", "seconds", _SECONDS, 0, "life of negative answers without SOA"),
    _one("max-ttl", "", "dns", "seconds", _SECONDS, 0, "longest TTL that clients see"),
    _one("min-cache-ttl", "", "dns", "seconds", value_integer(0, CACHE_TTL_MAX, 0, MIN_CACHE_TTL_MAX), 0,
        "shortest life in the cache"),
    _one("max-cache-ttl", "", "dns", "seconds", _SECONDS, 0, "longest life in the cache"),
    _one("use-stale-cache", "", "dns", "[=seconds]", value_integer(0, 0x7FFFFFFF, empty=STALE_WINDOW), None,
        "serve what has just expired"),
    _flag("no-round-robin", "", "dns", "do not rotate addresses"),
    _flag("no-ident", "", "dns", "no names about the program itself (class CHAOS)"),
    # Names of our own.
    _flag("no-hosts", "h", "dns-local", "do not read /etc/hosts"),
    _many("addn-hosts", "H", "dns-local", "path", _PATH, "read a further hosts file or a directory of them"),
    _many("hostsdir", "", "dns-local", "dir", _PATH, "read a directory of hosts files and follow its changes"),
    _flag("expand-hosts", "E", "dns-local", "append the domain to plain names of hosts files"),
    _many("domain", "s", "dhcp4", "domain[,range]", value_domain, "domain of DHCP clients and plain names"),
    _many("domain-suffix", "s", "obsolete", "domain[,range]", value_domain, "old name of domain", target="domain"),
    _many("address", "A", "dns-local", "/domain/[address|#]", value_address_rule, "one answer for whole domains",
        "extend"),
    _many("host-record", "", "dns-local", "name,...,address", value_host_record, "addresses of a name, and back"),
    _many("dynamic-host", "", "dns-local", "name,address,interface", value_dynamic_host,
        "name in an interface's network"),
    _many("interface-name", "", "dns-local", "name,interface", value_interface_name,
        "name of an interface's addresses"),
    _many("cname", "", "dns-local", "alias,...,target[,ttl]", value_cname, "alias of a name known here"),
    _many("mx-host", "m", "dns-local", "name[,target[,pref]]", value_mx, "mail exchanger of a name"),
    _one("mx-target", "t", "dns-local", "name", value_name, None, "mail exchanger where none is named"),
    _flag("selfmx", "e", "dns-local", "each local name is its own mail exchanger"),
    _flag("localmx", "L", "dns-local", "mx-target is the mail exchanger of each local name"),
    _many("srv-host", "W", "dns-local", "_service._proto,...", value_srv, "server of a service"),
    _many("txt-record", "Y", "dns-local", "name[,text,...]", value_txt, "text of a name"),
    _many("ptr-record", "", "dns-local", "name[,target]", value_ptr, "PTR record"),
    _many("naptr-record", "", "dns-local", "name,order,pref,...", value_naptr, "NAPTR record"),
    _many("caa-record", "", "dns-local", "name,flags,tag,value", value_caa, "CAA record"),
    _many("dns-rr", "", "dns-local", "name,type[,hex]", value_dns_rr, "record of any type"),
    _many("synth-domain", "", "dns-local", "domain,range[,prefix]", value_synth, "names made from addresses"),
    _one("local-ttl", "T", "dns-local", "seconds", _SECONDS, LOCAL_TTL, "TTL of names of our own"),
    _one("dhcp-ttl", "", "dns-local", "seconds", _SECONDS, None, "TTL of names from leases"),
    _flag("localise-queries", "y", "dns-local", "prefer addresses in the network that asks"),
    # Authoritative DNS.
    _one("auth-server", "", "dns-auth", "name[,interface]", value_auth_server, None, "be the name server of zones"),
    _many("auth-zone", "", "dns-auth", "domain[,network]", value_auth_zone, "zone to be the name server of"),
    _one("auth-ttl", "", "dns-auth", "seconds", _SECONDS, AUTH_TTL, "TTL in these zones"),
    _one("auth-soa", "", "dns-auth", "serial[,mailbox,...]", value_auth_soa, None, "SOA of these zones"),
    _many("auth-sec-servers", "", "dns-auth", "name,...", value_names, "further name servers of these zones", "extend"),
    _many("auth-peer", "", "dns-auth", "address,...", value_addresses, "who may transfer these zones", "extend"),
    # DHCP: pools, clients, options.
    _many("dhcp-range", "F", "dhcp4", "first,last[,mask][,lease]", value_dhcp_range, "pool of addresses"),
    _many("dhcp-host", "G", "dhcp4", "mac,[address],[name],...", value_dhcp_host,
        "address, name and options of one client"),
    _many("dhcp-hostsfile", "", "dhcp4", "path", _PATH, "file or directory of dhcp-host values"),
    _many("dhcp-hostsdir", "", "dhcp4", "dir", _PATH, "directory of dhcp-host values whose changes are followed"),
    _flag("read-ethers", "Z", "dhcp4", "take clients' addresses from /etc/ethers"),
    _many("dhcp-option", "O", "dhcp4", "[tag:t,]number[,value]", value_dhcp_option, "option for DHCP clients"),
    _many("dhcp-option-force", "", "dhcp4", "[tag:t,]number[,value]", value_dhcp_option_force,
        "option that is sent unasked", target="dhcp-option"),
    _many("dhcp-option-pxe", "", "pxe", "[tag:t,]number[,value]", value_dhcp_option_pxe, "option for PXE clients",
        target="dhcp-option"),
    _many("dhcp-optsfile", "", "dhcp4", "path", _PATH, "file or directory of dhcp-option values"),
    _many("dhcp-optsdir", "", "dhcp4", "dir", _PATH, "directory of dhcp-option values whose changes are followed"),
    _one("dhcp-leasefile", "l", "dhcp4", "[=path]", value_lease_file, LEASE_FILE, "file of the leases"),
    _one("dhcp-lease", "l", "obsolete", "path", value_lease_file, LEASE_FILE, "old name of dhcp-leasefile",
        target="dhcp-leasefile"),
    _one("dhcp-lease-max", "X", "dhcp4", "number", _COUNT, DHCP_LEASES_MAX, "leases at once"),
    _flag("leasefile-ro", "9", "dhcp4", "leave the leases to the script"),
    _flag("dhcp-authoritative", "K", "dhcp4", "be the only DHCP server here"),
    _flag("no-ping", "5", "dhcp4", "do not probe addresses before they are offered"),
    _flag("dhcp-fqdn", "", "dhcp4", "only full names of clients in DNS"),
    _flag("dhcp-client-update", "", "dhcp4", "let clients update DNS themselves"),
    _flag("dhcp-no-override", "", "dhcp4", "leave boot file and server in their header fields"),
    _flag("dhcp-sequential-ip", "", "dhcp4", "give addresses in ascending order"),
    _flag("dhcp-ignore-clid", "", "dhcp4", "know clients by MAC only"),
    _flag("dhcp-rapid-commit", "", "dhcp4", "two messages instead of four"),
    _one("dhcp-alternate-port", "", "dhcp4", "[=server[,client]]", value_dhcp_ports,
        (DHCP4_SERVER_PORT, DHCP4_CLIENT_PORT), "other ports for DHCP"),
    _one("dhcp-reply-delay", "", "dhcp4", "[tag:t,]seconds", value_dhcp_reply_delay, None, "wait before an offer"),
    _many("bootp-dynamic", "3", "dhcp4", "[=tag:t,...]", value_tag_set, "addresses of the pool for BOOTP clients"),
    _many("dhcp-broadcast", "", "dhcp4", "[=tag:t,...]", value_tag_set, "always reply by broadcast"),
    _many("dhcp-ignore", "J", "dhcp4", "tag:t,...", value_tag_set, "clients that get nothing"),
    _many("dhcp-ignore-names", "", "dhcp4", "[=tag:t,...]", value_tag_set, "clients whose names are not taken"),
    _many("dhcp-generate-names", "", "dhcp4", "[=tag:t,...]", value_tag_set, "make names for clients without one"),
    _many("dhcp-proxy", "", "dhcp4", "[=address,...]", value_dhcp_proxy, "keep traffic going through relays"),
    _many("dhcp-relay", "", "dhcp4", "local,server[,interface]", value_dhcp_relay, "pass DHCP on to another server"),
    _many("dhcp-split-relay", "", "dhcp4", "local,server,interface", value_dhcp_split_relay,
        "pass it on by another address", target="dhcp-relay"),
    _many("shared-network", "", "dhcp4", "interface,address", value_shared_network,
        "a further network on an interface"),
    _many("bridge-interface", "", "dhcp4", "interface,alias,...", value_bridge, "interfaces that stand for another"),
    _many("no-dhcp-interface", "2", "dhcp4", "name,...", value_interfaces, "no DHCP, TFTP or RA there", "extend"),
    _many("no-dhcpv4-interface", "", "dhcp4", "name,...", value_interfaces, "no DHCPv4 there", "extend"),
    _many("no-dhcpv6-interface", "", "dhcp6", "name,...", value_interfaces, "no DHCPv6 and RA there", "extend"),
    _many("leasequery", "", "dhcp4", "[=address[/length]]", value_leasequery,
        "answer relays' questions about leases", "extend"),
    _one("dhcp-duid", "", "dhcp6", "enterprise,hex", value_dhcp_duid, None, "DUID of this server"),
    # DHCP: tags.
    _many("dhcp-mac", "4", "dhcp4", "set:t,pattern", value_tag_mac, "tag by MAC"),
    _many("dhcp-vendorclass", "U", "dhcp4", "set:t,text", value_tag_vendor, "tag by vendor class"),
    _many("dhcp-userclass", "j", "dhcp4", "set:t,text", value_tag_text, "tag by user class"),
    _many("dhcp-circuitid", "", "dhcp4", "set:t,text", value_tag_relay, "tag by the relay's circuit"),
    _many("dhcp-remoteid", "", "dhcp4", "set:t,text", value_tag_relay, "tag by the relay's remote id"),
    _many("dhcp-subscrid", "", "dhcp4", "set:t,text", value_tag_relay, "tag by the relay's subscriber"),
    _many("dhcp-match", "", "dhcp4", "set:t,option[,value]", value_dhcp_match, "tag by an option of the client"),
    _many("dhcp-name-match", "", "dhcp4", "set:t,name[*]", value_dhcp_name_match, "tag by the client's name"),
    _many("tag-if", "", "dhcp4", "set:t[,tag:t]", value_tag_if, "tag by other tags"),
    # Booting from the network.
    _many("dhcp-boot", "M", "pxe", "[tag:t,]file[,name[,address]]", value_dhcp_boot, "boot file and its server"),
    _many("pxe-service", "", "pxe", "[tag:t,]arch,text[,file]", value_pxe_service, "item of the PXE menu"),
    _many("pxe-prompt", "", "pxe", "[tag:t,]text[,seconds]", value_pxe_prompt, "prompt of the PXE menu"),
    _many("dhcp-pxe-vendor", "", "pxe", "vendor,...", value_list, "vendor classes of PXE clients", "extend",
        ("PXEClient",)),
    _many("enable-tftp", "", "tftp", "[=name,...]", value_tftp_interfaces, "serve files by TFTP", "extend", None),
    _many("tftp-root", "", "tftp", "dir[,interface]", value_tftp_root, "directory of these files"),
    _many("tftp-unique-root", "", "tftp", "[=ip|mac]", value_words("ip", "mac"), "a directory for each client"),
    _flag("tftp-secure", "", "tftp", "serve only files of the user that we run as"),
    _flag("tftp-no-fail", "", "tftp", "start even without the directory"),
    _flag("tftp-lowercase", "", "tftp", "take file names as lower case"),
    _flag("tftp-no-blocksize", "", "tftp", "keep to blocks of 512 octets"),
    _flag("tftp-single-port", "", "tftp", "use port 69 only"),
    _one("tftp-max", "", "tftp", "number", value_integer(0, 0x7FFFFFFF), TFTP_TRANSFERS_MAX, "transfers at once"),
    _one("tftp-mtu", "", "tftp", "octets", value_integer(0, 0xFFFF), None, "largest packet"),
    _one("tftp-port-range", "", "tftp", "low,high", value_port_range, None, "ports for transfers"),
    # Router advertisements.
    _flag("enable-ra", "", "ra", "advertise the router for all IPv6 pools"),
    _many("ra-param", "", "ra", "name,[mtu:n,][high|low,]seconds", value_ra_param, "how an interface is advertised"),
    # DNSSEC.
    _flag("dnssec", "", "dnssec", "check signatures"),
    _flag("proxy-dnssec", "", "dnssec", "pass on what the upstream server says of signatures"),
    _many("trust-anchor", "", "dnssec", "name[,class],tag,alg,type,hex", value_trust_anchor, "key that is trusted"),
    _flag("dnssec-debug", "", "dnssec", "answer although signatures are wrong"),
    _flag("dnssec-no-timecheck", "", "dnssec", "leave times of signatures until SIGINT"),
    _row("dnssec-check-unsigned", "", OPTIONAL, "dnssec", "no", value_check_unsigned, True, "least", "[=no]",
        "prove that unsigned is right"),
    _one("dnssec-timestamp", "", "dnssec", "path", _PATH, None, "file that tells whether the clock is right"),
    _one("dnssec-limits", "", "dnssec", "signatures,...", value_dnssec_limits, DnssecLimits(), "work for one answer"),
    # Other programs.
    _one("dhcp-script", "6", "integration", "path", value_script, None, "program that hears of leases"),
    _one("dhcp-scriptuser", "", "integration", "user", _PATH, "root", "account of that program"),
    _one("dhcp-luascript", "", "integration", "path", _PATH, None, "Lua file that hears of leases", "no"),
    _flag("script-arp", "", "integration", "the program hears of neighbours too"),
    _flag("script-on-renewal", "", "integration", "the program hears of renewals too"),
    _one("enable-dbus", "1", "integration", "[=name]", value_default("uk.org.thekelleys.dnsmasq"), None,
        "control over D-Bus"),
    _one("enable-ubus", "", "integration", "[=name]", value_default("dnsmasq"), None, "control over ubus"),
    _flag("conntrack", "", "integration", "carry connection marks over to upstream queries"),
    _one("connmark-allowlist-enable", "", "integration", "[=mask]", value_integer(1, 0xFFFFFFFF, empty=0xFFFFFFFF),
        None, "filter queries by connection mark"),
    _many("connmark-allowlist", "", "integration", "mark[/mask][,name]", value_connmark, "names for a mark", "extend"),
    _many("ipset", "", "integration", "/domain/set,...", value_kernel_sets, "addresses go into ipsets", "extend"),
    _many("nftset", "", "integration", "/domain/[4#|6#]table#set", value_nft_sets, "addresses go into nftables",
        "extend"),
)
# fmt: on

OPTIONS: dict[str, OptionRow] = {row.name: row for row in OPTION_ROWS}
OPTION_LETTERS: dict[str, OptionRow] = {row.letter: row for row in reversed(OPTION_ROWS) if row.letter}


def option_help() -> str:
    """Make the text of --help from the rows."""
    lines = []
    for row in sorted(OPTION_ROWS, key=lambda row: row.name.lower()):
        head = f"-{row.letter}, " if row.letter else "    "
        meta = row.meta if row.arity != REQUIRED else f"={row.meta}"
        note = {"works": "  ", "later": "* ", "refused": "- "}[row.status]
        lines.append(f"{head}--{row.name}{meta}".ljust(48) + f" {note}{row.help}")
    return (
        "Usage: dnsmasq [options]\n\nValid options are:\n"
        + "\n".join(lines)
        + "\n\n*  accepted and checked, has no effect yet    -  refused\n"
        + f"pydnsmasq {VERSION}; dnsmasq.conf explains each option.\n"
    )


def dhcp_option_help(family: int) -> str:
    """Make the text of --help dhcp (`family` 4) and --help dhcp6 (6): the options that have a name."""
    rows = DHCP4_OPTIONS if family == 4 else DHCP6_OPTIONS
    lines = [f"{row.number:3d} {row.name}" for row in rows.values() if row.settable]
    return f"Known DHCP{'' if family == 4 else 'v6'} options:\n" + "\n".join(lines) + "\n"


# ==============================================================================
# 33 Configuration files
#
# Command line and files become one Config.  Nothing stops at the first error:
# all are collected, each with its place and what would be right.  Files are
# reached through a ConfigSource only.
#
# Uses 10 11 12 15 20 21 27 30 31 32
# ==============================================================================

CONFIG_FILE = "/etc/dnsmasq.conf"
STANDARD_INPUT = "-"
COMMAND_LINE = "command line"  # the place of a problem there

if TYPE_CHECKING:

    class ConfigSource(Protocol):
        """The operating system as the configuration needs it (60); a dict in tests."""

        def read(self, path: str) -> Iterator[bytes]:
            """Give a file's octets in chunks; OSError when it cannot be read."""

        def identity(self, path: str) -> Hashable:
            """Give what is the same for the same file (device and inode); OSError when there is none."""

        def listdir(self, path: str) -> list[str]:
            """Give the names in a directory; OSError when it cannot be read."""

        def is_file(self, path: str) -> bool:
            """Tell whether `path` is a regular file."""

        def run(self, command: str) -> tuple[int, bytes]:
            """Run a shell command; give its exit status and what it printed."""

        def stdin(self) -> bytes:
            """Read standard input to its end."""

        def user_exists(self, name: str) -> bool:
            """Tell whether there is such an account."""

        def group_exists(self, name: str) -> bool:
            """Tell whether there is such a group."""


@record
class ConfigResult:
    """What came of a command line: a Config, or the problems; `command` is run, test, help or version."""

    config: Config | None
    problems: tuple[ConfigProblem, ...]
    exit_code: int = 0
    command: str = "run"
    topic: str = ""


_PLACE = Pattern(r"(?s)line (\d+) of (.*)\Z")


def config_problem_format(problem: ConfigProblem) -> str:
    """Format a problem for people and for grep: `FILE:LINE: what at line LINE of FILE: option; remedy`."""
    place = _PLACE.match(problem.place)
    head, where = f"{place[2]}:{place[1]}: " if place else "", ""
    if problem.place.startswith("line "):
        where = f" at {problem.place}"
    elif problem.place == COMMAND_LINE and not problem.problem.startswith(("junk", "cannot")):
        head = "bad command line options: "
    told = problem.option in problem.problem or problem.problem.startswith(("cannot", "unknown"))
    option = f": {problem.option}" if problem.option and not told else ""
    return f"{head}{problem.problem}{where}{option}" + (f"; {problem.remedy}" if problem.remedy else "")


def option_near(name: str) -> str:
    """Find the option whose name is nearest to a mistyped one, or ""."""
    name = name.lower().replace("_", "-").strip("-")
    best = min(OPTION_ROWS, key=lambda row: _distance(name, row.name.lower()))
    return best.name if _distance(name, best.name.lower()) <= max(1, len(name) // 4) else ""


def _distance(one: str, two: str) -> int:
    """Count the letters to add, drop, change or swap between two words."""
    if abs(len(one) - len(two)) > 4:
        return 99
    before: list[int] = []
    row = list(range(len(two) + 1))
    for at, letter in enumerate(one, 1):
        before, last, row = row, before, [at]
        for to, other in enumerate(two, 1):
            cost = min(before[to] + 1, row[-1] + 1, before[to - 1] + (letter != other))
            if at > 1 and to > 1 and letter == two[to - 2] and one[at - 2] == other:
                cost = min(cost, last[to - 2] + 1)
            row.append(cost)
    return row[-1]


# The command line.


@record
class _Word:
    """An option of the command line; `value` None: none given; `row` None: `problem` says why."""

    row: OptionRow | None
    value: str | None
    shown: str
    problem: str = ""
    remedy: str = ""


def command_line_words(argv: list[str]) -> Iterator[_Word]:
    """Split a command line as getopt_long does: abbreviations, joined letters, `--` ends the options."""
    words = iter(argv)
    for word in words:
        if word == "--":
            for junk in filter(None, words):
                yield _junk(junk)
        elif word[:2] == "--":
            yield _long_option(word, words)
        elif word[:1] == "-" and len(word) > 1:
            yield from _short_options(word, words)
        elif word:
            yield _junk(word)


def _junk(word: str) -> _Word:
    return _Word(None, None, "", f"junk found in command line: '{word}'", "options begin with a dash")


def _long_option(word: str, words: Iterator[str]) -> _Word:
    name, mark, text = word[2:].partition("=")
    row, problem, remedy = _find_long(name)
    value: str | None = text if mark else None
    if row is not None and row.arity == REQUIRED and value is None:
        value = next(words, None)
    return _Word(row, value, row.name if row else name, problem, remedy)


def _find_long(name: str) -> tuple[OptionRow | None, str, str]:
    rows = [OPTIONS[name]] if name in OPTIONS else [row for row in OPTION_ROWS if row.name.startswith(name)]
    if len(rows) == 1 or len({row.target for row in rows}) == 1:
        return rows[0], "", ""
    if rows:
        return (
            None,
            "the option is ambiguous",
            f"one of {', '.join(row.name for row in rows[:9])}",
        )
    near = option_near(name)
    return None, "no such option", f"did you mean '{near}'?" if near else "try --help"


def _short_options(word: str, words: Iterator[str]) -> Iterator[_Word]:
    at = 1
    while at < len(word):
        row = OPTION_LETTERS.get(word[at])
        at += 1
        if row is None:
            yield _Word(None, None, f"-{word[at - 1]}", "no such option", "try --help")
        elif row.short_arity() == NONE:
            yield _Word(row, None, row.name)
        else:
            value = word[at:] or next(words, None)
            if value is None and row.arity == OPTIONAL:
                yield _Word(None, None, row.name, "missing parameter", f"-{row.letter} needs a value")
            else:
                yield _Word(row, value, row.name)
            return


# Block lists: long runs of lines that say the same of one domain each.

_BULK_LINES = 100  # in a chunk; fewer are not worth a set
_BULK_LOCAL = Pattern(rb"(?m)^(?:local|server|address)=/([A-Za-z0-9_-][A-Za-z0-9_.-]*)/\r?\n")
_BULK_NULL = Pattern(rb"(?m)^address=/([A-Za-z0-9_-][A-Za-z0-9_.-]*)/#\r?\n")


class BlockLists:
    """Names that `local=/name/` and `address=/name/#` lines stand for, taken out of chunks of lines."""

    __slots__ = ("local", "null")

    def __init__(self) -> None:
        self.local: DnsNameHashes | None = None
        self.null: DnsNameHashes | None = None

    def take(self, block: bytes) -> bytes:
        """Take the plain lines out of `block` (whole lines); give the rest, its lines where they were."""
        if block.count(b"/", 0, 8192) < _BULK_LINES:
            return block
        local, null = _BULK_LOCAL.findall(block), _BULK_NULL.findall(block)
        if len(local) + len(null) < _BULK_LINES:
            return block
        if local and not self._add("local", local) or null and not self._add("null", null):
            return block
        if len(local) + len(null) == block.count(b"\n"):
            return b""
        return _BULK_NULL.sub(b"\n", _BULK_LOCAL.sub(b"\n", block))

    def _add(self, kind: str, names: list[bytes]) -> bool:
        text = b"\n".join(names)
        if any(wrong in b"\n%b\n" % text for wrong in (b"..", b".\n", b"\n.")):
            return False  # labels are missing: the lines tell it one by one
        if (
            max(map(len, names)) > DNS_NAME_MAX - 2
            or max(map(len, text.replace(b".", b"\n").split(b"\n"))) > DNS_LABEL_MAX
        ):
            return False
        if not text.islower():
            names = text.lower().split(b"\n")
        hashes = getattr(self, kind) or DnsNameHashes()
        hashes.add_texts(names)
        setattr(self, kind, hashes)
        return True

    def freeze(self) -> None:
        """Make the sets ready to be asked."""
        for hashes in (self.local, self.null):
            if hashes is not None:
                hashes.freeze()


def line_blocks(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Cut chunks of a file behind their last line end, so that each block is whole lines."""
    pending: list[bytes] = []
    for chunk in chunks:
        cut = chunk.rfind(b"\n") + 1
        if not cut:
            pending.append(chunk)
            continue
        yield b"".join((*pending, chunk[:cut]))
        pending = [chunk[cut:]]
    rest = b"".join(pending)
    if rest:
        yield rest + b"\n"


def config_lines(chunks: Iterable[bytes], lists: BlockLists | None = None) -> Iterator[tuple[int, str]]:
    """Give the lines that say something, with their numbers; block lists go to `lists`."""
    number = 0
    for block in line_blocks(chunks):
        if not number:
            block = block.removeprefix(b"\xef\xbb\xbf")
        count = block.count(b"\n")
        rest = lists.take(block) if lists is not None else block
        for at, raw in enumerate(rest.split(b"\n"), number + 1):
            line = raw.strip()
            if line and line[0] != 0x23:
                yield at, line.decode("utf-8", "surrogateescape")
        number += count


# Files.


class _Loader:
    """One run over command line and files; values by attribute, problems in order."""

    def __init__(self, source: ConfigSource) -> None:
        self.source = source
        self.values: dict[str, Any] = {}
        self.given: dict[str, str] = {}  # options and where they stand
        self.files: list[str] = []
        self.problems: list[ConfigProblem] = []
        self.exit_code = 0
        self.lists = BlockLists()
        self._by_line: set[str] = set()  # single options seen on the command line, by target
        self._by_file: set[str] = set()
        self._read: set[Hashable] = set()
        self._depth = 0
        self.includes: dict[str, Callable[[Any, str], None]] = {
            "conf-file": self.read_file, "conf-dir": self._read_dir, "conf-script": self._read_script,
        }  # fmt: skip

    def problem(self, place: str, option: str, problem: str, remedy: str = "", code: int = EXIT_CONFIG) -> None:
        """Note one problem; the first one decides the exit code."""
        self.exit_code = self.exit_code or code
        if len(self.problems) < PROBLEMS_MAX:
            self.problems.append(ConfigProblem(place, option, problem, remedy))

    def option(self, row: OptionRow, text: str | None, place: str, in_file: bool) -> Any:
        """Check and take one option; give its value, or None when there is a problem."""
        try:
            _check_use(row, text, in_file)
            keep = self._check_repeat(row, in_file)
            value = True if row.parse is None else row.parse(text or "")
        except ConfigError as error:
            self.problem(place, row.name, error.problem, error.remedy)
            return None
        self.given[row.name] = place
        if keep:
            self._merge(row, value, place)
        return value

    def _check_repeat(self, row: OptionRow, in_file: bool) -> bool:
        if row.repeat != "error":
            return True
        seen = self._by_file if in_file else self._by_line
        if row.target in seen:
            raise ConfigError(f"illegal repeated {'keyword' if in_file else 'flag'}", "this option may stand only once")
        seen.add(row.target)
        return in_file or row.target not in self._by_file

    def _merge(self, row: OptionRow, value: Any, place: str) -> None:
        values = self.values
        if row.merge in ("last", "least"):
            values[row.target] = value if row.merge == "last" else min(value, values.get(row.target, value))
            return
        if row.merge == "union":
            values[row.target] = values.get(row.target, frozenset()) | value
            return
        items = value if row.merge == "extend" else (value,)
        for item in items:
            if "place" in getattr(item, "__slots__", ()):
                item.place = place
        values.setdefault(row.target, []).extend(items)

    def line(self, line: str, place: str) -> None:
        """Take one line of a file."""
        if '"' in line or "#" in line:
            try:
                line = line_unquote(line)
            except ConfigError as error:
                self.problem(place, line.partition("=")[0].strip(), error.problem, error.remedy)
                return
        name, mark, text = line.partition("=")
        name = name.strip()
        row = OPTIONS.get(name)
        if row is None:
            self.problem(place, name[:80], "bad option", _name_remedy(name))
            return
        value = self.option(row, text.strip() if mark else None, place, True)
        if value is not None and row.area == "config":
            self.includes[row.name](value, place)

    def lines(self, chunks: Iterable[bytes], where: str) -> None:
        """Take the lines of a file (`of PATH`) or of a script (`in output from COMMAND`)."""
        for number, line in config_lines(chunks, self.lists):
            self.line(line, f"line {number} {where}")

    def read_file(self, path: str, place: str, optional: bool = False) -> None:
        """Read the file `path` unless it was read before."""
        if not path:
            return
        try:
            identity = STANDARD_INPUT if path == STANDARD_INPUT else self.source.identity(path)
            if identity in self._read:
                return
            self._read.add(identity)
            chunks = iter((self.source.stdin(),)) if path == STANDARD_INPUT else self.source.read(path)
            self.files.append(path)
            self._enter(chunks, f"of {path}", place)
        except FileNotFoundError as error:
            if not optional:
                self._unreadable(path, place, error)
        except OSError as error:
            self._unreadable(path, place, error)

    def _unreadable(self, path: str, place: str, error: OSError) -> None:
        self.problem(place, "conf-file", f"cannot read {path}: {error.strerror or error}", "", EXIT_FILE)

    def _enter(self, chunks: Iterable[bytes], where: str, place: str) -> None:
        if self._depth >= INCLUDE_DEPTH_MAX:
            self.problem(place, "conf-file", f"files include each other more than {INCLUDE_DEPTH_MAX} deep")
            return
        self._depth += 1
        try:
            self.lines(chunks, where)
        finally:
            self._depth -= 1

    def _read_dir(self, directory: ConfDir, place: str) -> None:
        if not directory.path:
            return
        try:
            names = self.source.listdir(directory.path)
        except OSError as error:
            self.problem(
                place, "conf-dir", f"cannot access directory {directory.path}: {error.strerror}", "", EXIT_FILE
            )
            return
        for name in conf_dir_names(names, directory):
            path = f"{directory.path.rstrip('/')}/{name}"
            if self.source.is_file(path):
                self.read_file(path, place)

    def _read_script(self, command: str, place: str) -> None:
        status, output = self.source.run(command)
        if status:
            self.problem(
                place, "conf-script", f"'{command}' ended with status {status}", "", EXIT_SCRIPT + min(status, 245)
            )
            return
        self._enter((output,), f"in output from {command}", place)

    def config(self) -> Config:
        """Make the Config from what was taken and the defaults."""
        values = dict(_DEFAULTS)
        for name, value in self.values.items():
            values[name] = tuple(value) if isinstance(value, list) else value
        self.lists.freeze()
        values["bulk_local"], values["bulk_null"] = self.lists.local, self.lists.null
        waiting = [row.name for row in OPTION_ROWS if row.name in self.given and row.status == "later"]
        waiting += [name for name, used in _PARTS_LATER.items() if used(values)]
        return Config(values, self.given, tuple(self.files), tuple(waiting))


_DEFAULTS = {row.target: row.default for row in OPTION_ROWS}
# Options that work in part: what is not at work yet, and how to find it among the values.
_PARTS_LATER: dict[str, Callable[[dict[str, Any]], bool]] = {
    "dhcp-range for IPv6": lambda values: any(len(rule.first) == 16 for rule in values["dhcp_range"]),
    "dhcp-relay for IPv6": lambda values: any(len(rule.local) == 16 for rule in values["dhcp_relay"]),
    "dhcp-option for IPv6": lambda values: any(rule.family == 6 for rule in values["dhcp_option"]),
}


def _check_use(row: OptionRow, text: str | None, in_file: bool) -> None:
    if in_file and row.where == "cmdline":
        raise ConfigError("illegal option", f"it belongs on the command line: --{row.name}")
    if row.status == "refused":
        raise ConfigError("this option is not supported", row.reason)
    if row.arity == NONE and text is not None:
        raise ConfigError("extraneous parameter", f"write {row.name} alone")
    if row.arity == REQUIRED and text is None:
        raise ConfigError("missing parameter", f"write {row.name}={row.meta}")


def _name_remedy(name: str) -> str:
    first, *more = name.split(None, 1)
    if more and first in OPTIONS:
        return f"write {first}={more[0]}"
    if name[:2] == "--" and name[2:] in OPTIONS:
        return f"in a file without dashes: {name[2:]}"
    near = option_near(name)
    return f"did you mean '{near}'?" if near else ""


def name_is_backup(name: str) -> bool:
    """Tell whether a file in a directory is to be skipped: hidden, an editor's copy, `#name#`."""
    return name[:1] == "." or name[-1:] == "~" or name[:1] == "#" and name[-1:] == "#"


def conf_dir_names(names: Iterable[str], directory: ConfDir) -> list[str]:
    """Choose the names that conf-dir reads, in order of their octets."""

    def ends(name: str, suffixes: tuple[str, ...]) -> bool:
        return any(name.endswith(suffix) and len(name) > len(suffix) for suffix in suffixes)

    chosen = [
        name
        for name in names
        if not name_is_backup(name)
        and not ends(name, directory.excludes)
        and (not directory.includes or ends(name, directory.includes))
    ]
    return sorted(chosen, key=lambda name: name.encode("utf-8", "surrogateescape"))


def config_load(argv: list[str], source: ConfigSource) -> ConfigResult:
    """Load the configuration that the words `argv` (without the program's name) ask for.

    Every problem of every file is collected; then `config` is None and
    `exit_code` what the first of them calls for.
    """
    loader = _Loader(source)
    command, place = "run", COMMAND_LINE
    conf_file: str | None = None
    words = [word for word in argv if word]
    for word in command_line_words(argv):
        row = word.row
        if row is None:
            if command != "help":
                loader.problem(place, word.shown, word.problem, word.remedy)
            continue
        if row.where == "cmdline" and word.value is None:
            if row.name != "test" and not loader.problems:
                topic = words[1] if row.name == "help" and len(words) == 2 else ""
                return ConfigResult(None, (), 0, row.name, topic)
            command = "test"
            continue
        value = loader.option(row, word.value, place, False)
        if row.name == "conf-file" and value is not None and conf_file is None:
            conf_file = value  # the first one is read when all words are done
        elif row.area == "config" and value is not None:
            loader.includes[row.name](value, place)
    if conf_file is None:
        loader.read_file(CONFIG_FILE, place, optional=True)
    else:
        loader.read_file(conf_file, place)
    if loader.problems:
        return ConfigResult(None, tuple(loader.problems), loader.exit_code, command)
    return ConfigResult(loader.config(), (), 0, command)


def servers_file_parse(
    chunks: Iterable[bytes], path: str
) -> tuple[tuple[UpstreamRule, ...], tuple[ConfigProblem, ...]]:
    """Parse a servers-file: lines of server and rev-server only; wrong lines are problems, the rest counts."""
    rules: list[UpstreamRule] = []
    problems: list[ConfigProblem] = []
    for number, line in config_lines(chunks):
        place = f"line {number} of {path}"
        name = ""
        try:
            name, mark, text = line_unquote(line).partition("=")
            name = name.strip()
            if name not in ("server", "rev-server"):
                raise ConfigError(
                    "illegal option" if name in OPTIONS else "bad option", "only server and rev-server lines here"
                )
            parse = value_server if name == "server" else value_rev_server
            found = parse(text.strip())
        except ConfigError as error:
            problems.append(ConfigProblem(place, name, error.problem, error.remedy))
            continue
        for rule in found:
            rule.place = place
        rules += found
    return tuple(rules), tuple(problems)


def config_values_parse(option: str, chunks: Iterable[bytes], path: str) -> tuple[list[Any], tuple[ConfigProblem, ...]]:
    """Parse a file whose lines are values of `option` (dhcp-hostsfile: dhcp-host); wrong lines are skipped."""
    parse = OPTIONS[option].parse
    assert parse is not None
    values: list[Any] = []
    problems: list[ConfigProblem] = []
    for number, line in config_lines(chunks):
        place = f"line {number} of {path}"
        try:
            value = parse(line_unquote(line).strip())
        except ConfigError as error:
            problems.append(ConfigProblem(place, option, error.problem, error.remedy))
            continue
        if "place" in getattr(value, "__slots__", ()):
            value.place = place
        values.append(value)
    return values, tuple(problems)


# What fits badly together.


def config_check(config: Config, source: ConfigSource) -> tuple[ConfigProblem, ...]:
    """Find the options of a whole configuration that contradict each other or the system."""
    out = []
    for check in _CHECKS:
        for option, problem, remedy in check(config):
            out.append(ConfigProblem(_line_place(config, option), option, problem, remedy))
    for option, name, known in (
        ("user", config.user, source.user_exists),
        ("group", config.group, source.group_exists),
        ("dhcp-scriptuser", config.dhcp_scriptuser, source.user_exists),
    ):
        if name and option in config.given and not known(name):
            place = _line_place(config, option)
            out.append(ConfigProblem(place, option, f"unknown user or group: {name}", "create it, or name another"))
    return tuple(out)


def _line_place(config: Config, option: str) -> str:
    """Tell in which line of a file an option stands; what contradicts may stand anywhere else."""
    place = config.given.get(option, "")
    return place if place.startswith("line ") else "configuration"


def _check_listening(config: Config) -> Iterator[tuple[str, str, str]]:
    if config.bind_interfaces and config.bind_dynamic:
        yield "bind-dynamic", "cannot set --bind-interfaces and --bind-dynamic", "keep one of the two"


def _check_ports(config: Config) -> Iterator[tuple[str, str, str]]:
    low, high = config.min_port or 1024, config.max_port or 0xFFFF
    if low > high:
        yield "max-port", f"max_port {high} cannot be smaller than min_port {low}", "swap them"
    elif config.port_limit > high - low + 1:
        yield "port-limit", "port_limit must not be larger than the range of ports", f"at most {high - low + 1}"
    if config.query_port is not None and config.conntrack:
        yield "conntrack", "cannot use --conntrack and --query-port together", "remove one of the two"


def _check_resolv(config: Config) -> Iterator[tuple[str, str, str]]:
    if config.no_poll and not config.no_resolv and len(config.resolv_file) > 1:
        yield "no-poll", "only one resolv-file allowed in no-poll mode", "remove no-poll or all but one resolv-file"


def _check_dnssec(config: Config) -> Iterator[tuple[str, str, str]]:
    if config.dnssec and config.cache_size < CACHE_SIZE:
        yield (
            "cache-size",
            "cannot reduce cache size from default when DNSSEC enabled",
            f"cache-size={CACHE_SIZE} or more",
        )


def config_start_check(config: Config) -> tuple[ConfigProblem, ...]:
    """Find what keeps the server from starting, but not --test from passing: scripts add trust anchors at the start."""
    found = _check_anchors(config) if config.dnssec else ()
    return tuple(ConfigProblem(_line_place(config, option), option, text, remedy) for option, text, remedy in found)


def _check_anchors(config: Config) -> Iterator[tuple[str, str, str]]:
    remedy = "add the trust-anchor lines of dnsmasq.conf, or conf-file= the trust-anchors.conf of your system"
    anchors = [anchor for anchor in config.trust_anchor if anchor.name == DNS_ROOT and anchor.rrclass == CLASS_IN]
    if not any(anchor.digest for anchor in anchors):
        yield "dnssec", "no root trust anchor provided for DNSSEC", remedy
    elif not any(ds_supported(anchor.algorithm, anchor.digest_type) for anchor in anchors):
        yield "trust-anchor", "no root trust anchor has an algorithm and a digest type that are known here", remedy


def _check_dhcp(config: Config) -> Iterator[tuple[str, str, str]]:
    if config.dhcp_fqdn and not any(rule.first is None and not rule.interface for rule in config.domain):
        yield "dhcp-fqdn", "there must be a default domain when --dhcp-fqdn is set", "add domain=your.domain"
    owners: dict[bytes, str] = {}
    for host in config.dhcp_host:
        if host.ipv4 is None:
            continue
        if host.ipv4 in owners:
            yield (
                "dhcp-host", f"duplicate dhcp-host IP address {address_format(host.ipv4)} at {host.place}",
                f"it is taken at {owners[host.ipv4]}",
            )  # fmt: skip
        owners[host.ipv4] = host.place


def _check_aliases(config: Config) -> Iterator[tuple[str, str, str]]:
    targets: dict[bytes, bytes] = {}
    for rule in config.cname:
        for alias in rule.aliases:
            if alias.lower() in targets:
                yield "cname", f"duplicate CNAME {dns_name_format(alias)}", "an alias has one target"
            targets[alias.lower()] = rule.target.lower()
    done: set[bytes] = set()
    for start in targets:
        path: set[bytes] = set()
        name = start
        while name in targets and name not in done and name not in path:
            path.add(name)
            name = targets[name]
        if name in path:
            yield "cname", f"CNAME loop involving {dns_name_format(name)}", "let one of the aliases go"
        done |= path


def _check_auth(config: Config) -> Iterator[tuple[str, str, str]]:
    if config.auth_zone and config.auth_server is None:
        yield "auth-zone", "--auth-server required when an auth zone is defined", "add auth-server=name,interface"


def _check_connmark(config: Config) -> Iterator[tuple[str, str, str]]:
    seen = set()
    for rule in config.connmark_allowlist:
        if (rule.mark, rule.mask) in seen:
            yield (
                "connmark-allowlist",
                f"the mark {rule.mark}/{rule.mask} is listed twice",
                "join the patterns in one line",
            )
        seen.add((rule.mark, rule.mask))


_CHECKS = (
    _check_listening, _check_ports, _check_resolv, _check_dnssec, _check_dhcp, _check_aliases, _check_auth,
    _check_connmark,
)  # fmt: skip


# ==============================================================================
# 40 Local data
#
# The one place where names live that we answer for: hosts files, records of the
# configuration, names of interfaces, and leases; forward and reverse.
# Every change makes a new generation, which empties the finished answers (41).
#
# Uses 10 12 15 20 21 30
# ==============================================================================


class LocalRecord:
    """One record of our own; `ttl` None means the default, `source` is the log's word for it."""

    __slots__ = ("rrtype", "rdata", "ttl", "source")

    def __init__(self, rrtype: int, rdata: bytes, ttl: int | None, source: str) -> None:
        self.rrtype = rrtype
        self.rdata = rdata
        self.ttl = ttl
        self.source = source


class LeaseRecord(LocalRecord):
    """A record of a lease; it lives no longer than that (`lease.expires`, seconds of the monotonic clock).

    `keys` are the names that it stands under (wire, lower case), `pointer` the one
    for PTR; there are many leases, so one record stands under all names of one.
    """

    __slots__ = ("lease", "keys", "pointer")

    def __init__(
        self, rrtype: int, rdata: bytes, ttl: int | None, lease: Any, keys: tuple[bytes, ...] = (), pointer: bytes = b""
    ) -> None:
        super().__init__(rrtype, rdata, ttl, "DHCP")
        self.lease = lease
        self.keys = keys
        self.pointer = pointer


def local_ttl(rr: LocalRecord, default: int, now: float) -> int:
    """Give the TTL to answer with: the record's own or the default, at most what a lease has left."""
    ttl = default if rr.ttl is None else rr.ttl
    if ttl and isinstance(rr, LeaseRecord) and rr.lease.expires is not None:
        return max(min(ttl, int(rr.lease.expires - now)), 0)
    return ttl


@record
class InterfaceAddress:
    """An address that an interface has; `permanent` is False for temporary, deprecated or tentative ones."""

    interface: str
    index: int
    address: bytes
    prefix: int
    permanent: bool = True
    loopback: bool = False
    label: str = ""


def synth_name_address(rule: SynthDomain, key: bytes) -> bytes | None:
    """Read the address out of a synthesised name (lower case), or None when `rule` does not make it."""
    if not dns_name_under(key, rule.domain.lower()) or len(key) == len(rule.domain):
        return None
    label = dns_name_text(key[: len(key) - len(rule.domain)] + DNS_ROOT).decode("latin-1")
    prefix = rule.prefix.lower()
    if not label.startswith(prefix) or "." in label:
        return None
    text = label[len(prefix) :]
    first, last = int.from_bytes(rule.first, "big"), int.from_bytes(rule.last, "big")
    if rule.sequential:
        if not (text.isascii() and text.isdigit()) or len(text) > 39 or int(text) > last - first:
            return None
        return (first + int(text)).to_bytes(len(rule.first), "big")
    address = address_parse(text.replace("-", "." if len(rule.first) == 4 else ":"))
    if address is None or len(address) != len(rule.first) or not first <= int.from_bytes(address, "big") <= last:
        return None
    return address


def synth_records(rules: Sequence[SynthDomain], key: bytes, rrtype: int) -> list[LocalRecord]:
    """Make the address records of a synthesised name for a question of type `rrtype` (A, AAAA or ANY)."""
    out = []
    for rule in rules:
        kind = TYPE_A if len(rule.first) == 4 else TYPE_AAAA
        address = synth_name_address(rule, key) if rrtype in (kind, TYPE_ANY) else None
        if address is not None:
            out.append(LocalRecord(kind, address, None, "config"))
    return out


def synth_address_name(rule: SynthDomain, address: bytes) -> bytes | None:
    """Make the name of `address` under `rule`, or None when it is outside."""
    first, last, value = (int.from_bytes(part, "big") for part in (rule.first, rule.last, address))
    if len(address) != len(rule.first) or not first <= value <= last:
        return None
    if rule.sequential:
        text = str(value - first)
    elif len(address) == 4:
        text = address_format(address).replace(".", "-")
    else:
        text = "-".join(address.hex()[start : start + 4] for start in range(0, 32, 4))
    label = (rule.prefix + text).encode()
    return bytes((len(label),)) + label + rule.domain if len(label) <= DNS_LABEL_MAX else None


class HostsBulk:
    """The names of a long run of hosts lines that all have one address, as hashes."""

    __slots__ = ("address", "names", "parents", "source", "count")

    def __init__(self, address: bytes, source: str) -> None:
        self.address = address
        self.names = DnsNameHashes()
        self.parents = DnsNameHashes()
        self.source = source
        self.count = 0

    def add(self, texts: list[bytes]) -> None:
        """Add dotted lower-case names that have at least one dot."""
        self.names.add_texts(texts)
        self.count += len(texts)
        parents = {text[text.index(b".") + 1 :] for text in texts}
        while parents:
            self.parents.add_texts(parents)
            parents = {text[text.index(b".") + 1 :] for text in parents if b"." in text}

    def freeze(self) -> None:
        """Sort both sets; after this they can be asked."""
        self.names.freeze()
        self.parents.freeze()


class LocalData:
    """Names and addresses of our own.

    `names` maps lower-case names to their records in order of loading,
    `_pointers` packed addresses to the first name that claimed them, or to a
    record for PTR where no record of `names` has the address.  Built aside and
    swapped in whole; only the interface names change in place
    (`set_interfaces`, one assignment each), and the names of leases.
    """

    __slots__ = (
        "names", "_pointers", "parents", "bulks", "interface_names", "interface_reverse", "lease_names", "synth",
        "_lease_addresses", "_lease_parents", "_interface_rules", "_dynamic_rules", "_turns",
    )  # fmt: skip

    def __init__(self) -> None:
        self.names: dict[bytes, tuple[LocalRecord, ...]] = {}
        self._pointers: dict[bytes, bytes | LocalRecord] = {}
        self.parents: set[bytes] = set()
        self.bulks: list[HostsBulk] = []
        self.interface_names: dict[bytes, list[LocalRecord]] = {}
        self.interface_reverse: dict[bytes, LocalRecord] = {}
        self.lease_names: dict[bytes, LeaseRecord] = {}
        self._lease_addresses: dict[bytes, LeaseRecord] = {}
        self._lease_parents: dict[bytes, int] = {}  # how many names of leases are below
        self.synth: tuple[SynthDomain, ...] = ()
        self._interface_rules: tuple[InterfaceName, ...] = ()
        self._dynamic_rules: tuple[DynamicHost, ...] = ()
        self._turns: dict[bytes, int] = {}

    def add(self, name: bytes, rrtype: int, rdata: bytes, ttl: int | None = None, source: str = "config") -> bool:
        """Add a record under `name`; False when the same record is there already."""
        key = name.lower()
        key = name if key == name else key  # one object for the two: there may be many names
        records = self.names.get(key)
        if records is None:
            self.names[key] = (LocalRecord(rrtype, rdata, ttl, source),)
            self._add_parents(key)
            return True
        if rrtype in (TYPE_A, TYPE_AAAA) and any(old.rrtype == rrtype and old.rdata == rdata for old in records):
            return False
        self.names[key] = (*records, LocalRecord(rrtype, rdata, ttl, source))
        return True

    def add_host(self, name: bytes, address: bytes, ttl: int | None, source: str) -> bool:
        """Add an address record and, for the first name of an address, its PTR."""
        added = self.add(name, TYPE_A if len(address) == 4 else TYPE_AAAA, address, ttl, source)
        self._pointers.setdefault(address, name)
        return added

    def add_pointer(self, name: bytes, address: bytes, source: str) -> None:
        """Add the PTR of an address whose name is in a bulk, unless it has one."""
        self._pointers.setdefault(address, LocalRecord(TYPE_PTR, name, None, source))

    def pointer(self, address: bytes) -> LocalRecord | None:
        """Give the PTR that a hosts file or the configuration gave to an address."""
        found = self._pointers.get(address)
        if not isinstance(found, bytes):
            return found
        rr = next(rr for rr in self.names[found.lower()] if rr.rdata == address)
        return LocalRecord(TYPE_PTR, found, rr.ttl, rr.source)

    def _add_parents(self, key: bytes) -> None:
        parents = self.parents
        while key[0]:
            key = key[1 + key[0] :]
            if key in parents or len(key) == 1:
                return
            parents.add(key)

    def find(self, key: bytes, rrtype: int) -> list[LocalRecord]:
        """Find the records of `key` (lower case) with `rrtype` (ANY: all), interface names first."""
        found: list[LocalRecord] = []
        if self.interface_names:
            found += [rr for rr in self.interface_names.get(key, ()) if rrtype in (rr.rrtype, TYPE_ANY)]
        records = self.names.get(key)
        if records is not None:
            found += records if rrtype == TYPE_ANY else [rr for rr in records if rr.rrtype == rrtype]
        lease = self.lease_names.get(key)
        if lease is not None and rrtype in (lease.rrtype, TYPE_ANY):
            found.append(lease)
        if self.bulks and rrtype in (TYPE_A, TYPE_AAAA, TYPE_ANY):
            text = dns_name_text(key)
            for bulk in self.bulks:
                kind = TYPE_A if len(bulk.address) == 4 else TYPE_AAAA
                known = any(rr.rdata == bulk.address and rr.rrtype == kind for rr in found)
                if rrtype in (kind, TYPE_ANY) and not known and text in bulk.names:
                    found.append(LocalRecord(kind, bulk.address, None, bulk.source))
        return found

    def may_know(self, key: bytes, rrtype: int) -> bool:
        """Tell quickly whether a look-up may find something: most names that are forwarded are not known at all."""
        return (
            key in self.names
            or key in self.lease_names
            or key in self.interface_names
            or rrtype in (TYPE_PTR, TYPE_ANY)
            or bool(self.bulks or self.synth)
        )

    def turn(self, key: bytes) -> int:
        """Count the look-ups of a name that has several records: which of them comes first this time."""
        turn = self._turns.get(key, 0)
        self._turns[key] = turn + 1
        return turn

    def has_data(self, key: bytes, rrtype: int) -> bool:
        """Tell whether upstream data of this name and type must not be kept: ours comes first."""
        records = self.names.get(key)
        if records is not None and any(rr.rrtype == rrtype for rr in records):
            return True
        if key in self.lease_names and self.lease_names[key].rrtype == rrtype:
            return True
        return bool(self.bulks) and rrtype in (TYPE_A, TYPE_AAAA) and bool(self.find(key, rrtype))

    def exists(self, key: bytes) -> bool:
        """Tell whether `key` or a name below it is known here."""
        if key in self.names or key in self.parents or key in self.interface_names:
            return True
        if key in self.lease_names or key in self._lease_parents:
            return True
        if self.synth and any(synth_name_address(rule, key) is not None for rule in self.synth):
            return True
        if not self.bulks:
            return False
        text = dns_name_text(key)
        return any(text in bulk.names or text in bulk.parents for bulk in self.bulks)

    def find_reverse(self, address: bytes) -> LocalRecord | None:
        """Find the PTR that a hosts file, a record or a lease gave to `address`."""
        found = self.pointer(address)
        lease = self._lease_addresses.get(address)
        if found is None and lease is not None and lease.lease.name:
            return LeaseRecord(TYPE_PTR, lease.pointer, lease.ttl, lease.lease)
        return found

    def lease_publish(
        self, lease: Any, address: bytes, names: Iterable[bytes], ttl: int | None
    ) -> list[tuple[bytes, LocalRecord]]:
        """Give a lease's names to its address; what has a name already is told: (name, record) pairs."""
        taken, keys, pointer = [], [], b""
        for name in names:
            pointer = pointer or name
            key = name.lower()
            known = [rr for rr in self.names.get(key, ()) if rr.rrtype in (TYPE_A, TYPE_CNAME)]
            if known or key in self.interface_names:
                if known and all(rr.rdata != address for rr in known):
                    taken.append((name, known[0]))
                continue
            keys.append(key)
            for parent in itertools.islice(dns_name_suffixes(key), 1, None):
                self._lease_parents[parent] = self._lease_parents.get(parent, 0) + 1
        if keys:
            pointer = keys[0] if keys[0] == pointer else pointer  # one object for the two
            record_ = self._lease_addresses[address] = LeaseRecord(TYPE_A, address, ttl, lease, tuple(keys), pointer)
            for key in keys:
                self.lease_names[key] = record_
        return taken

    def lease_withdraw(self, address: bytes) -> tuple[bytes, ...]:
        """Take the names of a lease away; give them, in lower case."""
        record_ = self._lease_addresses.pop(address, None)
        keys = record_.keys if record_ is not None else ()
        for key in keys:
            if self.lease_names.get(key) is record_:
                del self.lease_names[key]
            for parent in itertools.islice(dns_name_suffixes(key), 1, None):
                self._lease_parents[parent] -= 1
                if not self._lease_parents[parent]:
                    del self._lease_parents[parent]
        return keys

    def lease_keys(self, address: bytes) -> tuple[bytes, ...]:
        """Give the names that a lease has in DNS, in lower case."""
        record_ = self._lease_addresses.get(address)
        return record_.keys if record_ is not None else ()

    def add_config(self, config: Config, domain_of: Callable[[bytes], bytes], hostname: bytes) -> None:
        """Add every record of the configuration; `domain_of` gives an address' domain (wire) or b""."""
        for host in config.host_record:
            for name in host.names:
                for address in host.ipv4 + host.ipv6:
                    self.add_host(name, address, host.ttl, "config")
        for alias in config.cname:
            for name in alias.aliases:
                self.add(name, TYPE_CNAME, alias.target, alias.ttl)
        for text in config.txt_record:
            self.add(text.name, TYPE_TXT, rdata_strings(text.strings or (b"",)))
        for pointer in config.ptr_record:
            self.add(pointer.name, TYPE_PTR, pointer.target or DNS_ROOT)
        for rr in config.dns_rr:
            self.add(rr.name, rr.rrtype, rr.data)
        for caa in config.caa_record:
            self.add(caa.name, TYPE_CAA, bytes((caa.flags, len(caa.tag))) + caa.tag + caa.value)
        for naptr in config.naptr_record:
            fields = b"".join(bytes((len(part),)) + part for part in (naptr.flags, naptr.service, naptr.regexp))
            head = struct.pack("!HH", naptr.order, naptr.preference)
            self.add(naptr.name, TYPE_NAPTR, head + fields + naptr.replacement)
        self._add_services(config, domain_of(b""), hostname)
        self.synth = config.synth_domain
        self._interface_rules = config.interface_name
        self._dynamic_rules = config.dynamic_host

    def _add_services(self, config: Config, domain: bytes, hostname: bytes) -> None:
        for service in config.srv_host:
            name = service.name
            if domain and dns_name_labels(name) == 2:
                name = name[:-1] + domain
            numbers = struct.pack("!HHH", service.priority, service.weight, service.port)
            self.add(name, TYPE_SRV, numbers + (service.target or DNS_ROOT))
        default = config.mx_target or hostname
        for mx in config.mx_host:
            self.add(mx.name, TYPE_MX, mx.preference.to_bytes(2, "big") + (mx.target or default))
        if config.mx_target and not config.mx_host:
            self.add(hostname, TYPE_MX, b"\0\1" + config.mx_target)

    def set_interfaces(self, addresses: Sequence[InterfaceAddress]) -> None:
        """Take the present addresses of the interfaces for interface-name and dynamic-host."""
        names: dict[bytes, list[LocalRecord]] = {}
        reverse: dict[bytes, LocalRecord] = {}
        for rule in self._interface_rules:
            names.setdefault(rule.name.lower(), [])  # known, though the interface may not be there
            for at in addresses:
                if rule.interface not in (at.interface, at.label) or rule.families not in (
                    0,
                    4 if len(at.address) == 4 else 6,
                ):
                    continue
                if len(at.address) == 16 and at.address[:2] == b"\xfe\x80":
                    continue
                if at.permanent:
                    rrtype = TYPE_A if len(at.address) == 4 else TYPE_AAAA
                    names.setdefault(rule.name.lower(), []).append(LocalRecord(rrtype, at.address, None, "config"))
                reverse.setdefault(at.address, LocalRecord(TYPE_PTR, rule.name, None, "config"))
        for dynamic in self._dynamic_rules:
            for at in addresses:
                host = dynamic.ipv4 if len(at.address) == 4 else dynamic.ipv6
                if (
                    host is None
                    or dynamic.interface not in (at.interface, at.label)
                    or not at.permanent
                    or at.address[:2] == b"\xfe\x80"
                ):
                    continue
                bits = len(at.address) * 8
                mask = (1 << bits) - (1 << (bits - at.prefix))
                value = int.from_bytes(at.address, "big") & mask | int.from_bytes(host, "big") & ~mask & (
                    (1 << bits) - 1
                )
                address = value.to_bytes(len(at.address), "big")
                rrtype = TYPE_A if len(address) == 4 else TYPE_AAAA
                names.setdefault(dynamic.name.lower(), []).append(LocalRecord(rrtype, address, None, "config"))
                reverse.setdefault(address, LocalRecord(TYPE_PTR, dynamic.name, None, "config"))
        self.interface_names, self.interface_reverse = names, reverse

    def freeze(self) -> None:
        """Make bulk sets ready; the data is complete."""
        for bulk in self.bulks:
            bulk.freeze()


def domain_for(
    rules: Sequence[DomainRule], resolv_domain: bytes, interfaces: Sequence[InterfaceAddress], address: bytes
) -> bytes:
    """Find the domain for an address: the latest rule whose range or interface has it, else the last one for all."""
    general = b""
    for rule in reversed(rules):
        name = resolv_domain if rule.from_resolv else rule.domain
        if rule.interface:
            nets = (at for at in interfaces if rule.interface in (at.interface, at.label))
            if any(address_in(address, at.address, at.prefix) for at in nets):
                return name
        elif rule.first is None or rule.last is None:
            general = general or name
        elif len(rule.first) == len(address) and rule.first <= address <= rule.last:
            return name
    return general if general != DNS_ROOT else b""


class HostsReader:
    """Feed the octets of hosts files into a LocalData (behaviour: hosts(5), CRLF, comments anywhere).

    `domain_of` gives the domain to append to dotless names, or b"" for none;
    `complain` is called with a line for the log for each line that is wrong.
    """

    __slots__ = ("_data", "_domain_of", "_complain")
    _LONG = 4096  # octets; a run that is worth its own set
    _RUN = {
        address: Pattern(
            rb"(?m)^" + address.replace(b".", rb"\.") + rb"[ \t]+([a-z0-9_-]{1,63}(?:\.[a-z0-9_-]{1,63})+)[ \t]*\r?\n"
        )
        for address in (b"0.0.0.0", b"127.0.0.1", b"::", b"::1")
    }

    def __init__(self, data: LocalData, domain_of: Callable[[bytes], bytes], complain: Callable[[str], None]) -> None:
        self._data = data
        self._domain_of = domain_of
        self._complain = complain

    def read(self, chunks: Iterable[bytes], source: str) -> int:
        """Read one file, given as chunks; return the number of names that it added."""
        count, line, rest = 0, 1, b""
        bulks: dict[bytes, HostsBulk] = {}
        for chunk in chunks:
            chunk = rest + chunk
            cut = chunk.rfind(b"\n") + 1
            text, rest = chunk[:cut], chunk[cut:]
            count += self._text(text, source, line, bulks)
            line += text.count(b"\n")
        if rest:
            count += self._lines(rest, source, line)
        self._data.bulks += bulks.values()
        return count

    def _text(self, text: bytes, source: str, line: int, bulks: dict[bytes, HostsBulk]) -> int:
        middle = text.rfind(b"\n", 0, len(text) // 2) + 1  # a list begins with comments: look at a line inside
        address = text[middle : middle + 64].lstrip().partition(b" ")[0].partition(b"\t")[0]
        pattern = self._RUN.get(address)
        if pattern is None or len(text) < self._LONG:
            return self._lines(text, source, line)
        names = pattern.findall(text)
        if len(names) * 10 < text.count(b"\n") * 9:
            return self._lines(text, source, line)
        packed = address_parse(address.decode())
        assert packed is not None
        bulk = bulks.get(address)
        if bulk is None:
            bulk = bulks[address] = HostsBulk(packed, source)
            self._own_reverse(text, address, packed, source)
        bulk.add(names)
        if len(names) == text.count(b"\n"):
            return len(names)
        others = pattern.sub(b"\n", text)  # the few lines of another kind, at their places
        return len(names) + self._lines(others, source, line)

    def _own_reverse(self, text: bytes, address: bytes, packed: bytes, source: str) -> None:
        """Give the PTR of a run's address to the first name that stands beside it, whatever the form of its line."""
        first = Pattern(rb"(?m)^[ \t]*" + address.replace(b".", rb"\.") + rb"[ \t]+([^\s#]+)").search(text)
        try:
            name = dns_name_parse(first[1].decode("ascii").lower()) if first is not None else b""
        except ValueError:
            return
        if name:
            domain = self._domain_of(packed) if dns_name_labels(name) == 1 else b""
            name = name[:-1] + domain if domain else name
            self._data.add_pointer(name, packed, source)

    def _lines(self, text: bytes, source: str, first: int) -> int:
        count = 0
        for number, raw in enumerate(text.split(b"\n"), first):
            fields = raw.partition(b"#")[0].split()
            if not fields:
                continue
            address = address_parse(fields[0].decode("latin-1"))
            if address is None:
                self._complain(f"bad address at {source} line {number}")
                continue
            for field in fields[1:]:
                count += self._host(field.decode("utf-8", "surrogateescape"), address, source, number)
        return count

    def _host(self, text: str, address: bytes, source: str, line: int) -> int:
        try:
            if not dns_hostname_valid(text):
                raise ValueError
            name = dns_name_parse(text.lower().replace("\\", "\\\\"))
        except ValueError:
            self._complain(f"bad name at {source} line {line}")
            return 0
        count = 0
        if "." not in text:
            domain = self._domain_of(address)
            if domain:
                count += self._data.add_host(name[:-1] + domain, address, None, source)
        return count + self._data.add_host(name, address, None, source)


# Ranges that bogus-priv and stop-dns-rebind know (RFC 1918, 6598, 3927, 5737, 4193, 3849, 4291).
_PRIVATE_4 = tuple(
    (socket.inet_pton(socket.AF_INET, text), prefix)
    for text, prefix in (
        ("10.0.0.0", 8), ("100.64.0.0", 10), ("172.16.0.0", 12), ("192.168.0.0", 16), ("169.254.0.0", 16),
        ("192.0.2.0", 24), ("198.51.100.0", 24), ("203.0.113.0", 24), ("255.255.255.255", 32),
    )
)  # fmt: skip
_LOCAL_4 = ((b"\x7f\0\0\0", 8), (b"\0\0\0\0", 8))
_PRIVATE_6 = tuple(
    (socket.inet_pton(socket.AF_INET6, text), prefix)
    for text, prefix in (("fe80::", 10), ("fec0::", 10), ("fd00::", 8), ("2001:db8::", 32))
)
_MAPPED = b"\0" * 10 + b"\xff\xff"


def address_private(address: bytes, localhost: bool) -> bool:
    """Tell whether a packed address is private; with `localhost` loopback and zero count too."""
    if len(address) == 16:
        if address[:12] == _MAPPED:
            return address_private(address[12:], localhost)
        if any(address_in(address, network, prefix) for network, prefix in _PRIVATE_6):
            return True
        return localhost and address[:15] == b"\0" * 15 and address[15] < 2
    ranges = _PRIVATE_4 + _LOCAL_4 if localhost else _PRIVATE_4
    return any(address_in(address, network, prefix) for network, prefix in ranges)


# ==============================================================================
# 41 DNS cache
#
# Positive and negative answers by name and type, aged by the clock reading that
# the caller brings (whole seconds), and in front of them finished answers by the
# bytes of the query.  RFC 1035 s.7.4, RFC 2308, RFC 8767.
#
# Uses 10 22
# ==============================================================================

CACHE_DATA, CACHE_NODATA, CACHE_NXDOMAIN = 0, 1, 2


class CacheProof:
    """What DNSSEC says of an entry: whether it is proved, its RRSIG data, and what shows that there is no closer name.

    `records` are (name, type, data) for the authority section of who asks with
    DO; `whole` is False when such a client would miss something.
    """

    __slots__ = ("secure", "whole", "signatures", "records")

    def __init__(
        self,
        secure: bool,
        whole: bool,
        signatures: tuple[bytes, ...] = (),
        records: tuple[tuple[bytes, int, bytes], ...] = (),
    ) -> None:
        self.secure = secure
        self.whole = whole
        self.signatures = signatures
        self.records = records


class CacheEntry:
    """What is known of a name and type until `expires` (seconds of the monotonic clock).

    `key` is the name with the type behind it, the name alone when it does not
    exist.  `records` are uncompressed record data; for a negative entry `soa` is the
    (name, data, TTL when stored) that proved it, or None.
    """

    __slots__ = (
        "key",
        "rrtype",
        "kind",
        "records",
        "soa",
        "proof",
        "ttl",
        "expires",
        "turn",
        "hits",
        "used",
        "asked_again",
    )

    def __init__(self, name: bytes, rrtype: int, kind: int, records: tuple[bytes, ...], ttl: int, now: int) -> None:
        self.key = name if kind == CACHE_NXDOMAIN else name + rrtype.to_bytes(2, "big")
        self.rrtype = rrtype
        self.kind = kind
        self.records = records
        self.soa: tuple[bytes, bytes, int] | None = None
        self.proof: CacheProof | None = None
        self.ttl = ttl
        self.expires = now + ttl
        self.turn = 0
        self.hits = 0
        self.used = False
        self.asked_again = 0  # when its refresh was last tried

    @property
    def name(self) -> bytes:
        """The name, lower case."""
        return self.key if self.kind == CACHE_NXDOMAIN else self.key[:-2]

    def rotated(self) -> tuple[bytes, ...]:
        """Give the records, each call beginning one further on (round robin)."""
        records = self.records
        if len(records) < 2:
            return records
        turn = self.turn % len(records)
        self.turn = turn + 1
        return records[turn:] + records[:turn]


class DnsCache:
    """A bounded cache of records with least-recently-used eviction; `size` counts records.

    An NXDOMAIN is kept under its name alone and answers for every type.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self.inserted = 0  # records since the last flush
        self.evicted = 0  # of those, records thrown out before their time
        self._slots = 0
        self._lock = threading.Lock()
        self._entries: collections.OrderedDict[bytes, CacheEntry] = collections.OrderedDict()

    def get(self, name: bytes, rrtype: int, now: int, stale: int = -1) -> CacheEntry | None:
        """Find what is known of `name` (lower case) and `rrtype`.

        `stale` is how many seconds past its end an entry may be, -1 for none;
        the caller compares `expires`.
        """
        with self._lock:
            key = name + rrtype.to_bytes(2, "big")
            entry = self._entries.get(key)
            if entry is None:
                key = name
                entry = self._entries.get(key)
                if entry is None:
                    return None
            if entry.expires <= now and (stale < 0 or (stale and entry.expires + stale <= now)):
                self._drop(key)
                return None
            entry.used = True
            entry.hits += 1
            return entry

    def knows(self, name: bytes, rrtype: int) -> bool:
        """Tell quickly, without the lock, whether there may be an entry for a question."""
        entries = self._entries
        return name + rrtype.to_bytes(2, "big") in entries or name in entries or name + b"\0\5" in entries

    def put(self, entries: Sequence[CacheEntry], now: int) -> None:
        """Keep all of `entries`, or none when they do not fit at all."""
        need = sum(len(entry.records) or 1 for entry in entries)
        if not 0 < need <= self.size:
            return
        with self._lock:
            known = self._entries
            for entry in entries:
                if entry.kind == CACHE_DATA:  # the name exists after all, or is an alias now
                    name = entry.name
                    if name in known:
                        self._drop(name)
                    if name + b"\0\5" in known:
                        self._drop(name + b"\0\5")
                if entry.key in known:
                    self._drop(entry.key)
            if self._slots + need > self.size:
                self._shrink(now, self.size - need)
            for entry in entries:
                known[entry.key] = entry
                slots = len(entry.records) or 1
                self._slots += slots
                self.inserted += slots

    def _drop(self, key: bytes) -> None:
        self._slots -= len(self._entries.pop(key).records) or 1

    def _shrink(self, now: int, size: int) -> None:
        """Throw entries out until at most `size` slots are taken; what was used since the last look stays longer."""
        while self._slots > size:
            key = next(iter(self._entries))
            entry = self._entries[key]
            if entry.used and entry.expires > now:  # a second chance instead of a move on each hit
                entry.used = False
                self._entries.move_to_end(key)
                continue
            if entry.expires > now:
                self.evicted += len(entry.records) or 1
            self._drop(key)

    def flush(self) -> None:
        """Forget everything and start the counters anew."""
        with self._lock:
            self._entries.clear()
            self._slots = self.inserted = self.evicted = 0

    def entries(self) -> list[CacheEntry]:
        """List what is there, oldest first (for the dump)."""
        with self._lock:
            return list(self._entries.values())


class WireAnswer:
    """A finished answer without its id, in one or more rotations, good until `fresh_until`.

    TTLs are patched once a second (`renew`).  `entries` are the cache entries it
    was made of; none for local data, whose answers stay until the generation
    changes.  There are many of these: what can be worked out anew is not kept.
    """

    __slots__ = ("tail", "fresh_until", "hits", "texts", "_tails", "_turn", "_made", "_entries", "_counted")

    def __init__(
        self, variants: Sequence[bytes], now: int, entries: tuple[CacheEntry, ...], texts: tuple[str, ...]
    ) -> None:
        """Keep `variants`, whole messages that differ in their rotation, made at `now`."""
        self.hits = 0
        self.texts = texts  # the log's lines after `query[...]`
        self.tail: bytes | None = variants[0][2:] if len(variants) == 1 else None
        self._tails = tuple(wire[2:] for wire in variants) if len(variants) > 1 else ()
        self._turn = 0
        self._made = now
        self._entries = entries
        self._counted = 0
        self.fresh_until = min(now + 1.0, self._end()) if entries else _FOR_EVER

    def _end(self) -> int:
        return min([entry.expires for entry in self._entries])

    def turn(self) -> bytes:
        """Give the next rotation."""
        self._turn = turn = (self._turn + 1) % len(self._tails)
        return self._tails[turn]

    def renew(self, now: float) -> bool:
        """Patch the TTLs for the present second; False when the answer is over or its refresh is due."""
        if not self._entries:
            return False
        hits = self.hits - self._counted
        self._counted = self.hits
        for entry in self._entries:
            entry.hits += hits
            entry.used = True
        end = self._end()
        if now >= end or any(refresh_due(entry, int(now)) for entry in self._entries):
            return False
        passed = int(now) - self._made
        if passed > 0:
            self._made += passed
            if self.tail is not None:
                self.tail = _aged(self.tail, passed)
            else:
                self._tails = tuple(_aged(tail, passed) for tail in self._tails)
        self.fresh_until = min(self._made + 1.0, end)
        return True


_FOR_EVER = float("inf")


def _aged(tail: bytes, passed: int) -> bytes:
    """Take `passed` seconds off the TTLs of a message without its id."""
    out = bytearray(b"\0\0" + tail)
    for offset in dns_ttl_offsets(out):
        ttl = int.from_bytes(out[offset : offset + 4], "big")
        out[offset : offset + 4] = max(ttl - passed, 0).to_bytes(4, "big")
    return bytes(out[2:])


def refresh_time(entry: CacheEntry) -> float:
    """Tell when a popular entry should be asked for again, ahead of its end."""
    if entry.ttl < REFRESH_TTL_MIN:
        return float("inf")
    return max(entry.expires - max(entry.ttl // REFRESH_PART, 2), entry.asked_again + REFRESH_AGAIN)


def refresh_due(entry: CacheEntry, now: int) -> bool:
    """Tell whether `entry` is popular, near its end, and not yet being refreshed."""
    return entry.hits >= REFRESH_HITS and now >= refresh_time(entry)


class WireAnswers:
    """Finished answers by the query's bytes after its id.

    The receiving threads read `entries` without the lock (one dict look-up);
    only `store` and `clear` change it.
    """

    __slots__ = ("entries", "generation", "_limit", "_lock", "_retired")

    def __init__(self, cache_size: int) -> None:
        self.entries: dict[bytes, WireAnswer] = {}
        self.generation = 0
        self._limit = min(max(cache_size * 2, WIRE_ANSWERS_MIN), WIRE_ANSWERS_MAX)
        self._lock = threading.Lock()
        self._retired = 0

    def store(self, key: bytes, answer: WireAnswer, generation: int) -> None:
        """Keep `answer`, unless it was made in an older generation; when full, the oldest tenth goes."""
        if len(key) > WIRE_QUERY_MAX:
            return
        with self._lock:
            if generation != self.generation:
                return
            if len(self.entries) >= self._limit:
                for old in list(itertools.islice(self.entries, self._limit // 10 + 1)):
                    self._retired += self.entries.pop(old).hits
            old_answer = self.entries.get(key)
            if old_answer is not None:
                self._retired += old_answer.hits
            self.entries[key] = answer

    def forget(self, names: Container[bytes]) -> None:
        """Forget the answers for questions of these names (wire, lower case); those being made are not kept."""
        with self._lock:
            self.generation += 1
            for key in [key for key in self.entries if key[10 : key.index(0, 10) + 1] in names]:
                self._retired += self.entries.pop(key).hits

    def clear(self) -> None:
        """Forget all answers: a new generation."""
        with self._lock:
            self._retired += sum(answer.hits for answer in self.entries.values())
            self.generation += 1
            self.entries = {}

    def hits(self) -> int:
        """Tell how many queries were answered from here since the start."""
        with self._lock:
            return self._retired + sum(answer.hits for answer in self.entries.values())


# ==============================================================================
# 42 Upstreams
#
# Which servers there are for which domains, how well they do, and whom to ask
# next.  Matching as dnsmasq 2.93: the longest domain wins, then literal
# addresses, then "never forward", then "standard servers", then servers.
#
# Uses 10 15 20 21 30
# ==============================================================================


class Upstream:
    """A server with its counters and its health.

    `rtt` is the smoothed round trip in seconds (RFC 6298's weights); `failures`
    counts silences in a row, `silent_since` when they began; before
    `rest_until` it is only asked when nobody better is left.
    """

    __slots__ = (
        "address", "port", "scope", "interface", "source", "source_port", "queries", "retried", "failed", "nxdomain",
        "rtt", "failures", "silent_since", "rest_until", "looped", "latency", "last_reply",
    )  # fmt: skip

    def __init__(
        self, address: str, port: int, scope: str = "", interface: str = "", source: str = "", source_port: int = 0
    ) -> None:
        self.address = address
        self.port = port
        self.scope = scope
        self.interface = interface
        self.source = source
        self.source_port = source_port
        self.queries = self.retried = self.failed = self.nxdomain = 0
        self.rtt = UPSTREAM_RTT_START
        self.latency = 0.0  # milliseconds, for the statistics
        self.failures = 0
        self.silent_since = 0.0
        self.rest_until = 0.0
        self.looped = False
        self.last_reply = 0.0

    @property
    def identity(self) -> tuple[str, int, str, str, str, int]:
        """What makes it the same server after a reload."""
        return (self.address, self.port, self.scope, self.interface, self.source, self.source_port)

    @property
    def text(self) -> str:
        """The address for `forwarded ... to`: the port only when it is not 53."""
        host = f"{self.address}%{self.scope}" if self.scope else self.address
        return host if self.port == DNS_PORT else f"{host}#{self.port}"

    def replied(self, seconds: float, now: float) -> None:
        """Note a reply after `seconds`."""
        self.rtt += (seconds - self.rtt) / 8
        self.latency += (seconds * 1000 - self.latency) / 16 if self.latency else seconds * 1000
        self.failures = 0
        self.rest_until = 0.0
        self.last_reply = now

    def silent(self, now: float) -> None:
        """Note a question that it left without a reply."""
        if not self.failures:
            self.silent_since = now
        self.failures += 1
        if self.failures >= UPSTREAM_FAILURES:
            self.rest_until = now + min(2.0 ** min(self.failures - UPSTREAM_FAILURES, 16), UPSTREAM_BACKOFF_MAX)

    def patience(self) -> float:
        """Tell how many seconds to wait for it before another is asked."""
        return min(max(self.rtt * 3, UPSTREAM_PATIENCE_MIN), UPSTREAM_PATIENCE_MAX)


class UpstreamGroup:
    """The servers for one domain, and the favourite among them."""

    __slots__ = ("servers", "domain", "waiting", "_favourite", "_since", "_asked")

    def __init__(self, domain: str = "") -> None:
        self.servers: list[Upstream] = []
        self.domain = domain
        self.waiting = 0  # questions that are out (62)
        self._favourite: Upstream | None = None
        self._since = 0.0
        self._asked = 0

    def usable(self) -> list[Upstream]:
        """Give the servers that do not loop back to us."""
        return [server for server in self.servers if not server.looped]

    def first(self, now: float, strict: bool, everyone: bool) -> list[Upstream]:
        """Choose whom to send a new question to: the favourite, or everybody for a race."""
        servers = self.servers
        if len(servers) == 1:
            return [] if servers[0].looped else servers
        usable = self.usable()
        if everyone or not usable:
            return usable
        if strict:
            return [next((server for server in usable if server.rest_until <= now), usable[0])]
        favourite = self._favourite
        self._asked += 1
        race = (
            favourite is None
            or favourite.failures
            or self._asked > FAVOURITE_QUERIES
            or now - self._since > FAVOURITE_SECONDS
        )
        if favourite is None or race or favourite.looped:
            self._asked, self._since, self._favourite = 0, now, None
            return usable
        return [favourite]

    def next(self, asked: Sequence[Upstream], now: float, strict: bool) -> Upstream | None:
        """Choose whom to ask after `asked` kept silent or failed; None when all were asked."""
        left = [server for server in self.usable() if server not in asked]
        if not left:
            return None
        if strict:
            return left[0]
        return min(left, key=lambda server: (server.rest_until > now, server.failures, server.rtt))

    def won(self, server: Upstream) -> None:
        """Make `server`, whose answer came first, the favourite."""
        self._favourite = server

    def lost(self, server: Upstream) -> None:
        """Take `server` out of favour."""
        if self._favourite is server:
            self._favourite = None


class DomainNode:
    """What the configuration says of one domain."""

    __slots__ = ("v4", "v6", "null", "local", "standard", "group")

    def __init__(self) -> None:
        self.v4: list[bytes] = []
        self.v6: list[bytes] = []
        self.null = False
        self.local = False
        self.standard = False
        self.group: UpstreamGroup | None = None


class DomainMatch:
    """The outcome of a look-up: literal addresses, local only, or a group to forward to."""

    __slots__ = ("v4", "v6", "local", "group", "literals", "domain")

    def __init__(self, domain: bytes) -> None:
        self.domain = domain
        self.v4: list[bytes] = []
        self.v6: list[bytes] = []
        self.local = False
        self.literals = False  # the domain has addresses, of whatever family
        self.group: UpstreamGroup | None = None


_DOTLESS = b""


class DomainRules:
    """server=, local=, address= and block lists, ready to be asked for a name.

    Immutable once built, but for the health inside the servers.
    """

    __slots__ = (
        "default", "groups", "servers", "_nodes", "_below", "_partial", "_bulk_local", "_bulk_null", "_plain",
        "_default_match", "_known",
    )  # fmt: skip

    def __init__(self, known: dict[tuple[str, int, str, str, str, int], Upstream]) -> None:
        """`known` are the servers of the state before, whose counters and health live on."""
        self._nodes: dict[bytes, DomainNode] = {}
        self._below: dict[bytes, DomainNode] = {}
        self._partial: list[tuple[bytes, DomainNode]] = []
        self._bulk_local: DnsNameHashes | None = None
        self._bulk_null: DnsNameHashes | None = None
        self._plain = True  # neither patterns nor block lists
        self.default = UpstreamGroup()
        self._default_match = DomainMatch(DNS_ROOT)
        self._default_match.group = self.default
        self.groups: list[UpstreamGroup] = [self.default]
        self._known = known
        self.servers: dict[tuple[str, int, str, str, str, int], Upstream] = {}

    def add_bulk(self, local: DnsNameHashes | None, null: DnsNameHashes | None) -> None:
        """Take the block lists, which are sets of names."""
        self._bulk_local, self._bulk_null = local, null
        self._plain = self._plain and local is None and null is None

    def _node(self, pattern: DomainPattern) -> DomainNode:
        self._plain = self._plain and pattern.kind == DOMAIN_WHOLE
        if pattern.kind == 1:
            text = dns_name_text(pattern.name)
            for known, node in self._partial:
                if known == text:
                    return node
            node = DomainNode()
            self._partial.append((text, node))
            self._partial.sort(key=lambda item: -len(item[0]))
            return node
        table = self._below if pattern.kind == 2 else self._nodes
        node_ = table.get(pattern.name)
        if node_ is None:
            node_ = table[pattern.name] = DomainNode()
        return node_

    def add_address(self, rule: AddressRule) -> None:
        """Take an address= line."""
        for pattern in rule.domains:
            node = self._node(pattern)
            if rule.kind == "v4":
                node.v4.append(rule.address)
            elif rule.kind == "v6":
                node.v6.append(rule.address)
            elif rule.kind == "null":
                node.null = True
            else:
                node.local = True

    def add_server(self, rule: UpstreamRule) -> None:
        """Take a server=, local= or rev-server= line, or a server of a resolv file."""
        server = None
        if rule.kind == "server":
            server = Upstream(rule.address, rule.port, rule.scope, rule.interface, rule.source, rule.source_port)
            server = self.servers.get(server.identity) or self._known.get(server.identity) or server
            self.servers[server.identity] = server
        if not rule.domains:
            if server is not None and server not in self.default.servers:
                self.default.servers.append(server)
            return
        for pattern in rule.domains:
            if pattern.kind == 0 and pattern.name == DNS_ROOT and server is not None:
                if server not in self.default.servers:
                    self.default.servers.append(server)
                continue
            node = self._node(pattern)
            if rule.kind == "local":
                node.local = True
            elif server is None:
                node.standard = True
            else:
                if node.group is None:
                    node.group = UpstreamGroup(_pattern_text(pattern))
                    self.groups.append(node.group)
                if server not in node.group.servers:
                    node.group.servers.append(server)

    def match(self, key: bytes, rrtype: int) -> DomainMatch:
        """Find what is to be done with `key` (lower case): always a match, the default group at the least."""
        if rrtype == TYPE_DS:  # the parent's servers answer for a delegation
            key = dns_name_parent(key)
        if not self._nodes and self._plain:
            return self._default_match
        out = DomainMatch(DNS_ROOT)
        simple = self._plain
        offset, text = 0, b"" if simple else dns_name_text(key)
        suffix = key
        while suffix[0]:
            node = self._nodes.get(suffix) if simple else self._listed(suffix, text[offset:])
            if node is not None and self._take(out, node, suffix, rrtype):
                return out
            if not simple and self._match_patterns(out, suffix, text, offset, rrtype):
                return out
            offset += 1 + suffix[0]
            suffix = suffix[1 + suffix[0] :]
        if len(key) > 1 and key[0] + 2 == len(key) and rrtype != TYPE_DS:
            node = self._nodes.get(_DOTLESS)
            if node is not None and self._take(out, node, _DOTLESS, rrtype):
                return out
        node = self._nodes.get(DNS_ROOT)
        if node is None or not self._take(out, node, DNS_ROOT, rrtype):
            out.group = self.default
        return out

    def _listed(self, suffix: bytes, text: bytes) -> DomainNode | None:
        """Give the node of `suffix` with what the block lists say of the same name (`text`)."""
        node = self._nodes.get(suffix)
        local = self._bulk_local is not None and text in self._bulk_local
        null = self._bulk_null is not None and text in self._bulk_null
        if not local and not null:
            return node
        merged = DomainNode()
        merged.local, merged.null = local, null
        if node is not None:
            merged.v4, merged.v6, merged.standard, merged.group = node.v4, node.v6, node.standard, node.group
            merged.local, merged.null = local or node.local, null or node.null
        return merged

    def _match_patterns(self, out: DomainMatch, suffix: bytes, text: bytes, offset: int, rrtype: int) -> bool:
        """Try `*x` patterns and `*.x` patterns at one suffix of the name."""
        label_end = offset + suffix[0]
        for pattern, node in self._partial:
            at = len(text) - len(pattern)
            if offset <= at < label_end and text.endswith(pattern) and self._take(out, node, suffix, rrtype):
                return True
        parent = suffix[1 + suffix[0] :]
        below = self._below.get(parent)
        return below is not None and self._take(out, below, parent, rrtype)

    def _null(self, out: DomainMatch, domain: bytes) -> None:
        out.v4, out.v6, out.literals, out.domain = [b"\0" * 4], [b"\0" * 16], True, domain

    def _take(self, out: DomainMatch, node: DomainNode, domain: bytes, rrtype: int) -> bool:
        """Apply `node` when it has something to say for `rrtype`, by priority."""
        out.domain = domain
        out.literals = bool(node.v4 or node.v6 or node.null)
        if node.v6 and rrtype in (TYPE_AAAA, TYPE_ANY):
            out.v6 = node.v6
        if node.v4 and rrtype in (TYPE_A, TYPE_ANY):
            out.v4 = node.v4
        if out.v4 or out.v6:
            return True
        if node.null and rrtype in (TYPE_A, TYPE_AAAA, TYPE_ANY):
            self._null(out, domain)
        elif node.local:
            out.local = True
        elif node.standard:
            out.group = self.default
        elif node.group is not None:
            out.group = node.group
        else:
            return False
        return True


def _pattern_text(pattern: DomainPattern) -> str:
    if pattern.name == _DOTLESS:
        return ""
    return ("", "*", "*.")[pattern.kind] + dns_name_format(pattern.name)


def resolv_parse(data: bytes) -> list[UpstreamRule]:
    """Read the servers of a resolv file (`nameserver` and `server` lines); bad lines are skipped."""
    rules = []
    for line in data.split(b"\n"):
        words = line.split()
        if len(words) < 2 or words[0] not in (b"nameserver", b"server"):
            continue
        text, _, scope = words[1].decode("latin-1").partition("%")
        packed = address_parse(text)
        if packed is not None and packed.strip(b"\0"):
            rules.append(UpstreamRule((), "server", address_format(packed), "", scope=scope, place=""))
    return rules


# ==============================================================================
# 43 Leases
#
# Who has which IPv4 address until when: the table with its indexes, the names
# of the leases, what changed (for the lease file and the script), and the text
# of dnsmasq's lease file.  Times are seconds of the monotonic clock that the
# caller brings; only the file speaks of the wall clock.
#
# Uses 10 12 20 21 23
# ==============================================================================

LEASE_FOR_EVER = 0xFFFFFFFF  # seconds in option 51; RFC 2131 s.3.3
ETHERNET = 1  # ARP hardware type


def hardware_format(hardware: bytes, htype: int = ETHERNET) -> str:
    """Format a hardware address as the lease file does: the type in front unless it is Ethernet."""
    text = hardware.hex(":")
    return text if htype == ETHERNET and hardware else f"{htype:02x}-{text}"


class Lease:
    """One lease.  `expires` None: for ever; `length` in seconds as granted.

    `name` is the bare name, `domain` (wire) what follows it in DNS; `fixed` when
    the name comes from the configuration, so that nobody takes it over.  `known`
    is what the script hears of the client's messages.
    """

    __slots__ = (
        "address", "hardware", "htype", "client_id", "name", "domain", "fixed", "expires", "length", "interface",
        "known", "override", "relay", "agent", "vendor_class", "line", "new", "changed", "former_name",
    )  # fmt: skip

    def __init__(self, address: int) -> None:
        self.address = address
        self.hardware = b""
        self.htype = ETHERNET
        self.client_id = b""
        self.name = ""
        self.domain = b""
        self.fixed = False
        self.expires: float | None = None
        self.length = LEASE_FOR_EVER
        self.interface = ""
        self.known: dict[str, str] | None = None
        self.override = 0
        self.relay = 0
        self.agent = b""
        self.vendor_class = b""
        self.line: bytes | None = None  # as it stands in the file; None when it changed
        self.new = True
        self.changed = False
        self.former_name = ""

    @property
    def full_name(self) -> bytes:
        """The name with its domain in wire form, b"" without a domain or name."""
        return bytes((len(self.name),)) + self.name.encode() + self.domain if self.name and self.domain else b""

    @property
    def bare_name(self) -> bytes:
        """The name alone in wire form, b"" without one."""
        return bytes((len(self.name),)) + self.name.encode() + DNS_ROOT if self.name else b""

    def left(self, now: float) -> int:
        """Tell how many seconds are left, LEASE_FOR_EVER when it does not end."""
        return LEASE_FOR_EVER if self.expires is None else max(int(self.expires - now + 0.99), 0)


@record
class LeaseEvent:
    """What the script is to hear: action add, old or del; `former_name` when the lease lost that name."""

    action: str
    lease: Lease
    name: str
    former_name: str = ""
    known: dict[str, str] | None = None


class LeaseTable:
    """All leases by address, client-id, hardware address and name; newest first in the file.

    Whoever changes it, or asks for `text`, holds `lock` meanwhile.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.by_address: dict[int, Lease] = {}
        self.other_lines: list[bytes] = []  # of the file, not ours to judge: DUID and IPv6 leases
        self.serial = 0  # counts changes: what the file must have before an ACK leaves
        self.extras = False  # leasequery: agent-info and vendorclass lines
        self.fqdn = False  # dhcp-fqdn: the same name may stand in several domains
        self._by_client: dict[bytes, Lease] = {}
        self._by_hardware: dict[tuple[int, bytes], list[Lease]] = {}
        self._by_name: dict[bytes, Lease] = {}
        self._ends: list[tuple[float, int]] = []  # a heap; entries of renewed leases are stale
        self._touched: dict[int, Lease] = {}
        self._gone: list[Lease] = []
        self.lock = threading.RLock()
        self._offset = 0.0

    def __len__(self) -> int:
        return len(self.by_address)

    def find(self, hardware: bytes, htype: int, client_id: bytes) -> Lease | None:
        """Find a client's lease: by its client-id, else by its hardware address if one side has no client-id."""
        if client_id:
            lease = self._by_client.get(client_id)
            if lease is not None:
                return lease
        for lease in self._by_hardware.get((htype, hardware), ()) if hardware else ():
            if not client_id or not lease.client_id:
                return lease
        return None

    def find_hardware(self, hardware: bytes, htype: int) -> list[Lease]:
        """Find all leases of a hardware address."""
        return list(self._by_hardware.get((htype, hardware), ()))

    def add(self, address: int) -> Lease | None:
        """Make a lease for a free address; None when there are as many as may be."""
        if len(self.by_address) >= self.limit:
            return None
        lease = self.by_address[address] = Lease(address)
        self.touch(lease)
        return lease

    def remove(self, lease: Lease) -> None:
        """End a lease."""
        self.by_address.pop(lease.address, None)
        self._unindex(lease)
        self._drop_name(lease)
        self._touched.pop(lease.address, None)
        self._gone.append(lease)
        self.serial += 1

    def touch(self, lease: Lease) -> None:
        """Note that the file no longer says what the lease is."""
        lease.line = None
        self.serial += 1
        self._touched[lease.address] = lease

    def change_all(self) -> None:
        """Let the script hear of every lease, the newest first."""
        for lease in reversed(list(self.by_address.values())):
            self.change(lease)

    def change(self, lease: Lease) -> None:
        """Note a change that the script hears of."""
        lease.changed = True
        self.touch(lease)

    def set_client(self, lease: Lease, hardware: bytes, htype: int, client_id: bytes) -> bool:
        """Set who has the lease; tell whether the hardware address changed (an empty client-id keeps the old one)."""
        client_id = client_id or lease.client_id
        moved = (lease.hardware, lease.htype) != (hardware, htype)
        if not moved and lease.client_id == client_id:
            return False
        self._unindex(lease)
        lease.hardware, lease.htype, lease.client_id = hardware, htype, client_id
        self._by_hardware.setdefault((htype, hardware), []).insert(0, lease)
        if client_id:
            self._by_client[client_id] = lease
        self.touch(lease)
        return moved

    def _unindex(self, lease: Lease) -> None:
        if lease.client_id and self._by_client.get(lease.client_id) is lease:
            del self._by_client[lease.client_id]
        same = self._by_hardware.get((lease.htype, lease.hardware), [])
        if lease in same:
            same.remove(lease)
            if not same:
                del self._by_hardware[(lease.htype, lease.hardware)]

    def set_end(self, lease: Lease, length: int, now: float) -> None:
        """Let the lease run `length` seconds from `now`."""
        lease.length = length
        lease.expires = None if length == LEASE_FOR_EVER else now + length
        if lease.expires is not None:
            heapq.heappush(self._ends, (lease.expires, lease.address))
            if len(self._ends) > 4 * len(self.by_address) + 1024:
                self._rebuild_ends()
        self.touch(lease)

    def _rebuild_ends(self) -> None:
        self._ends = [(lease.expires, lease.address) for lease in self.by_address.values() if lease.expires is not None]
        heapq.heapify(self._ends)

    def expired(self, now: float) -> list[Lease]:
        """Take out the leases whose time is over."""
        out = []
        while self._ends and self._ends[0][0] <= now:
            expires, address = heapq.heappop(self._ends)
            lease = self.by_address.get(address)
            if lease is not None and lease.expires == expires:
                self.remove(lease)
                out.append(lease)
        return out

    def next_end(self) -> float:
        """Tell when to look for ended leases again."""
        return self._ends[0][0] if self._ends else float("inf")

    def pass_time(self, seconds: float) -> None:
        """Let all leases age by `seconds` that the monotonic clock did not count (the machine slept)."""
        for lease in self.by_address.values():
            if lease.expires is not None:
                lease.expires -= seconds
        self._rebuild_ends()

    # -- names --

    def name_key(self, lease: Lease) -> bytes:
        """Give what two leases may not share: the bare name, or with dhcp-fqdn the whole one."""
        return ((lease.full_name if self.fqdn else b"") or lease.bare_name).lower()

    def set_name(self, lease: Lease, name: str, domain: bytes, fixed: bool) -> Lease | None:
        """Give a lease its name ("" for none); tell which other lease lost it.

        A name that another lease has from the configuration is only given away to
        one that has it from there too; otherwise the lease stays without a name.
        """
        known = self._by_name.get(self.name_key(lease)) is lease
        if name and known and lease.name.lower() == name.lower() and lease.domain == domain:
            lease.fixed = lease.fixed or fixed
            return None
        if not name and not lease.name:
            return None
        former, had_key = lease.name, self.name_key(lease)
        if had_key and self._by_name.get(had_key) is lease:
            del self._by_name[had_key]
        lease.name, lease.domain, lease.fixed = name, domain, fixed
        loser = self._by_name.get(self.name_key(lease)) if name else None
        if loser is not None and loser.fixed and not fixed:
            lease.name, loser = "", None
        elif loser is not None:
            self.lose_name(loser)
        if lease.name:
            self._by_name[self.name_key(lease)] = lease
        if lease.name.lower() != former.lower():
            if former:
                lease.former_name = lease.former_name or former
            self.change(lease)
        return loser

    def forget_names(self) -> None:
        """Let no name belong to a lease until `set_name` is called for each of them."""
        self._by_name.clear()

    def lose_name(self, lease: Lease) -> None:
        """Take the name away from a lease."""
        lease.former_name = lease.former_name or lease.name
        self._drop_name(lease)
        lease.name, lease.fixed = "", False
        self.change(lease)

    def _drop_name(self, lease: Lease) -> None:
        key = self.name_key(lease)
        if key and self._by_name.get(key) is lease:
            del self._by_name[key]

    # -- what changed --

    def take_events(self, wanted: bool = True) -> list[LeaseEvent]:
        """Take what the script has to hear since the last time: ends, lost names, then new and changed leases.

        Where it is not `wanted`, nothing is made of it.
        """
        if not wanted:
            for lease in self._touched.values():
                lease.new = lease.changed = False
                lease.former_name, lease.known = "", None
            self._gone, self._touched = [], {}
            return []
        out = [LeaseEvent("del", lease, lease.name or lease.former_name) for lease in self._gone]
        touched = sorted(self._touched.values(), key=lambda lease: not lease.new)
        self._gone, self._touched = [], {}
        out += [
            LeaseEvent("old", lease, "", lease.former_name, lease.known)
            for lease in touched
            if lease.former_name and not lease.new
        ]
        for lease in touched:
            if lease.new or lease.changed:
                out.append(LeaseEvent("add" if lease.new else "old", lease, lease.name, known=lease.known))
            lease.new = lease.changed = False
            lease.former_name, lease.known = "", None
        return out

    # -- the file --

    def text(self, offset: float) -> bytes:
        """Write the lease file; `offset` is the wall clock less the monotonic clock, in seconds."""
        leases = list(self.by_address.values())
        leases.reverse()
        if abs(offset - self._offset) > 0.5:  # the clock was set
            self._offset = offset
            for lease in leases:
                lease.line = None
        lines = [lease.line or self._line(lease) for lease in leases]
        if self.extras:
            for lease in leases:
                for word, data in (("agent-info", lease.agent), ("vendorclass", lease.vendor_class)):
                    if data:
                        lines.append(f"{word} {ip4_format(lease.address)} {data.hex(':')}\n".encode())
        return b"".join(lines + self.other_lines)

    def _line(self, lease: Lease) -> bytes:
        end = 0 if lease.expires is None else int(lease.expires + self._offset + 0.01)
        line = (
            f"{end} {hardware_format(lease.hardware, lease.htype)} {ip4_format(lease.address)} "
            f"{lease.name or '*'} {lease.client_id.hex(':') or '*'}\n"
        ).encode()
        lease.line = line
        return line

    def read(self, text: bytes, wall: float, now: float) -> list[bytes]:
        """Take the leases of a file that was read at `wall` seconds of its clock; give the lines that make no sense."""
        bad, found, extras = [], [], []
        for match in _LEASE_LINE.finditer(text):  # one at a time: there may be many
            line = match[0]
            fields = line.split()
            if fields[0] in (b"agent-info", b"vendorclass") and len(fields) == 3:
                extras.append(fields)
            elif _lease_is_other(fields):
                self.other_lines.append(line + b"\n")
            else:
                lease = _lease_parse(fields, wall, now)
                if lease is None or lease.address in self.by_address:
                    bad.append(line)
                else:
                    self.by_address[lease.address] = lease
                    found.append(lease)
        self.by_address = {lease.address: lease for lease in reversed(found)}
        for lease in reversed(found):
            hardware, client_id = lease.hardware, lease.client_id
            lease.hardware, lease.client_id = b"?", b""
            self.set_client(lease, hardware, lease.htype, client_id)
        self._rebuild_ends()
        self._touched.clear()
        for word, address, data in extras:
            self._read_extra(word, address, data)
        return bad

    def _read_extra(self, word: bytes, address: bytes, data: bytes) -> None:
        packed = address_parse(address.decode("latin-1"))
        lease = self.by_address.get(ip4_number(packed)) if packed is not None else None
        try:
            octets = bytes.fromhex(data.decode("latin-1").replace(":", ""))
        except ValueError:
            return
        if lease is not None:
            setattr(lease, "agent" if word == b"agent-info" else "vendor_class", octets)


def _lease_is_other(fields: list[bytes]) -> bool:
    """Tell whether a line is the server's DUID or an IPv6 lease."""
    if len(fields) == 2 and fields[0] == b"duid":
        return True
    if len(fields) != 5:
        return False
    packed = address_parse(fields[2].decode("latin-1"))
    return packed is not None and len(packed) == 16


_LEASE_LINE = Pattern(rb"[^\n]*\S[^\n]*")
_LEASE_HARDWARE = Pattern(r"(?i)(?:([0-9a-f]{2})-)?((?:[0-9a-f]{1,2}(?::[0-9a-f]{1,2}){0,15})?)\Z")


def _lease_parse(fields: list[bytes], wall: float, now: float) -> Lease | None:
    try:
        end, hardware, address, name, client_id = (field.decode("ascii") for field in fields)
        match = _LEASE_HARDWARE.match(hardware)
        packed = address_parse(address)
        if match is None or packed is None or not end.isdigit() or len(end) > 12:
            return None
        lease = Lease(ip4_number(packed))
        lease.htype = int(match[1], 16) if match[1] else ETHERNET
        lease.hardware = bytes(int(part, 16) for part in match[2].split(":")) if match[2] else b""
        lease.client_id = b"" if client_id == "*" else bytes.fromhex(client_id.replace(":", ""))
        lease.name = "" if name == "*" else name.partition(".")[0]
        if len(lease.name) > DNS_LABEL_MAX:
            return None
        lease.new = False
        if int(end):
            lease.expires = now + int(end) - wall
            lease.length = max(int(end) - int(wall), 0)
        return lease
    except ValueError:
        return None


def leases_reference_time(wall: float, written: float) -> float:
    """Choose the time by which the ends in a lease file are to be read.

    A router without a battery clock starts in 1970, and its file may come from
    then or from the future: where either is implausible the moment when the file
    was written counts, so that leases have left what they had then.
    """
    return written if wall < written or written < CLOCK_FLOOR <= wall else wall


# ==============================================================================
# 44 DNSSEC facts
#
# What has been proved: of zones and their keys, of single signatures, and of the
# ranges in which there are no names; and what such ranges deny.  RFC 4035 s.5.4,
# RFC 5155 s.8, RFC 6840 s.4, RFC 8198.
#
# Uses 10 15 20 21 27
# ==============================================================================

# Kinds of facts: records that hold; a delegation without DS, or something below one; a name that is no zone of
# its own; a name that does not exist; a proof that failed.
FACT_SECURE, FACT_INSECURE, FACT_NO_CUT, FACT_NOTHING, FACT_BOGUS = range(5)


class DnssecFact:
    """What is known of the DS or DNSKEY records of a name until `expires` (seconds of the monotonic clock).

    `records` is the data of a secure set, `ede` the extended error of a bogus one,
    `notes` are warnings for the log.  `generation` is the store's in which the
    proof began (-1: any); with `own` False it was given up on another's account.
    """

    __slots__ = ("kind", "records", "ede", "expires", "notes", "generation", "own")

    def __init__(self, kind: int, expires: int, records: tuple[bytes, ...] = (), ede: int = -1) -> None:
        self.kind = kind
        self.records = records
        self.ede = ede
        self.expires = expires
        self.notes: tuple[str, ...] = ()
        self.generation = -1
        self.own = True


class DnssecRange:
    """A proved NSEC or NSEC3 record: its `owner` exists with `types`, and nothing between `start` and `end`.

    `start` and `end` are the order of names for NSEC (20), hashes for NSEC3;
    `hashing` is (salt, iterations) for NSEC3, None for NSEC.
    """

    __slots__ = (
        "zone", "owner", "start", "end", "types", "hashing", "opt_out", "rrtype", "rdata", "signatures", "ttl",
        "expires",
    )  # fmt: skip

    def __init__(self, zone: bytes, owner: bytes, start: Any, end: Any, types: RdataTypes) -> None:
        self.zone = zone
        self.owner = owner
        self.start = start
        self.end = end
        self.types = types
        self.hashing: tuple[bytes, int] | None = None
        self.opt_out = False
        self.rrtype = 0
        self.rdata = b""
        self.signatures: tuple[bytes, ...] = ()
        self.ttl = 0
        self.expires = 0

    @property
    def is_cut(self) -> bool:
        """Whether the owner is delegated to another zone."""
        return TYPE_NS in self.types and TYPE_SOA not in self.types

    @property
    def leads_away(self) -> bool:
        """Whether this zone says nothing of names below the owner: a cut, or a DNAME."""
        return self.is_cut or TYPE_DNAME in self.types

    def size(self) -> int:
        """Count the octets of it and its signatures."""
        return len(self.rdata) + sum(map(len, self.signatures))

    def covers(self, place: Any) -> bool:
        """Tell whether `place` lies strictly inside; the last range of a zone goes over its end."""
        if self.start < self.end:
            return bool(self.start < place < self.end)
        return bool(place > self.start or place < self.end)


class _ZoneRanges:
    """The ranges of one zone in order, and its SOA as (data, signature, TTL, end)."""

    __slots__ = ("starts", "ranges", "soa")

    def __init__(self) -> None:
        self.starts: list[Any] = []
        self.ranges: list[DnssecRange] = []
        self.soa = (b"", b"", 0, 0)


class DnssecStore:
    """Facts, outcomes of signatures, and ranges; each bounded, the oldest goes first.

    `check_times` is off while the clock cannot be trusted; `peaks` are the most
    queries, operations and failed signatures that one answer has cost; `anchors`
    are those of the present configuration (None: any): proofs that began with
    others are not kept.
    """

    def __init__(self) -> None:
        self.check_times = True
        self.peaks = [0, 0, 0]
        self.generation = 0
        self.anchors: dict[bytes, tuple[bytes, ...]] | None = None
        self._octets = 0  # of the records of all facts
        self._lock = threading.Lock()
        self._facts: dict[tuple[bytes, int], DnssecFact] = {}
        self._outcomes: tuple[dict[bytes, None], dict[bytes, None]] = ({}, {})  # failed, good
        self._zones: dict[bytes, _ZoneRanges] = {}
        self._count = 0  # of ranges
        self._told: set[bytes] = set()

    def first_of(self, domain: bytes) -> bool:
        """Tell whether this is the first time since the last flush that the log hears of `domain`."""
        with self._lock:
            first = domain not in self._told and len(self._told) < DNSSEC_FACTS_MAX
            self._told |= {domain} if first else set()
        return first

    def fact(self, name: bytes, rrtype: int, now: int) -> DnssecFact | None:
        """Find what is known of the DS or DNSKEY records of `name` (lower case)."""
        found = self._facts.get((name, rrtype))
        return found if found is not None and found.expires > now else None

    def learn(self, name: bytes, rrtype: int, fact: DnssecFact) -> None:
        """Keep a fact, unless the proof began in an older generation."""
        with self._lock:
            if fact.generation not in (-1, self.generation):
                return
            self._drop((name, rrtype))
            self._octets += sum(map(len, fact.records))
            while self._facts and (len(self._facts) >= DNSSEC_FACTS_MAX or self._octets > DNSSEC_FACTS_OCTETS):
                self._drop(next(iter(self._facts)))
            self._facts[name, rrtype] = fact

    def _drop(self, key: tuple[bytes, int]) -> None:
        old = self._facts.pop(key, None)
        if old is not None:
            self._octets -= sum(map(len, old.records))

    def facts(self) -> list[tuple[bytes, int, DnssecFact]]:
        """List the facts (for the dump)."""
        with self._lock:
            return [(name, rrtype, fact) for (name, rrtype), fact in self._facts.items()]

    def outcome(self, token: bytes) -> bool | None:
        """Tell what came of a signature (`token` stands for key, signature and data); None when it is new."""
        failed, good = self._outcomes
        return True if token in good else False if token in failed else None

    def note(self, token: bytes, good: bool) -> None:
        """Remember what came of a signature; failures do not drive the good ones out."""
        with self._lock:
            outcomes = self._outcomes[good]
            if len(outcomes) >= DNSSEC_SIGNATURES_MAX:
                del outcomes[next(iter(outcomes))]
            outcomes[token] = None

    def add_ranges(self, zone: bytes, soa: tuple[bytes, bytes, int, int], ranges: Sequence[DnssecRange]) -> None:
        """Keep proved ranges of `zone`, and the SOA that answers made from them carry."""
        with self._lock:
            known = self._zones.pop(zone, None) or _ZoneRanges()
            # With a new salt, or another kind of denial, what is known no longer counts.
            if known.ranges and known.ranges[0].hashing != ranges[0].hashing:
                self._count -= len(known.ranges)
                known = _ZoneRanges()
            self._zones[zone] = known  # at the end: the zone that was not seen for longest goes first
            known.soa = soa
            for one in ranges:
                at = bisect.bisect_left(known.starts, one.start)
                if at < len(known.starts) and known.starts[at] == one.start:
                    known.ranges[at] = one
                    continue
                known.starts.insert(at, one.start)
                known.ranges.insert(at, one)
                self._count += 1
            while self._count > DNSSEC_RANGES_MAX:
                oldest = next(iter(self._zones))
                self._count -= len(self._zones.pop(oldest).ranges)

    def knows_ranges(self) -> bool:
        """Tell quickly whether there are ranges at all."""
        return bool(self._zones)

    def zone_soa(self, zone: bytes, now: int) -> tuple[bytes, bytes, int, int] | None:
        """Give the SOA of a zone of which there are ranges."""
        known = self._zones.get(zone)
        return known.soa if known is not None and known.soa[3] > now else None

    def hashing(self, zone: bytes) -> tuple[bytes, int] | None:
        """Tell how a zone with ranges hashes its names; None for NSEC."""
        known = self._zones.get(zone)
        return known.ranges[0].hashing if known is not None and known.ranges else None

    def range_at(self, zone: bytes, place: Any, hashing: tuple[bytes, int] | None, now: int) -> DnssecRange | None:
        """Find the range of `zone` that begins at `place` or covers it; `hashing` is what `place` was made with."""
        with self._lock:
            known = self._zones.get(zone)
            if known is None or not known.ranges or known.ranges[0].hashing != hashing:
                return None
            found = known.ranges[bisect.bisect_right(known.starts, place) - 1]
        if found.expires <= now or not (found.start == place or found.covers(place)):
            return None
        return found

    def flush(self) -> None:
        """Forget facts and ranges: a new generation.  What came of signatures stays true, their times count anew."""
        with self._lock:
            self.generation += 1
            self._octets = 0
            self._facts.clear()
            self._zones.clear()
            self._told.clear()
            self._count = 0


# -- denial of existence ---------------------------------------------------------


class DnssecDenial:
    """A proof of absence: does the name exist, is the proof secure (not by opt-out), is the name an insecure cut."""

    __slots__ = ("name_exists", "secure", "cut", "ranges")

    def __init__(self, name_exists: bool, ranges: Sequence[DnssecRange], secure: bool = True, cut: bool = False):
        self.name_exists = name_exists
        self.ranges = ranges
        self.secure = secure
        self.cut = cut


def range_leads_below(one: DnssecRange, name: bytes) -> bool:
    """Tell whether a range's owner is a cut or a DNAME above `name`: then it says nothing of it (RFC 6840 s.4.1)."""
    return one.leads_away and one.owner != name and dns_name_under(name, one.owner)


def _at_owner(one: DnssecRange, rrtype: int, used: Sequence[DnssecRange]) -> DnssecDenial | None:
    """Read a range whose owner is the very name: the type must not be there."""
    types = one.types
    if rrtype in types or TYPE_CNAME in types or (rrtype == TYPE_ANY and types):
        return None
    if rrtype == TYPE_DS:
        if TYPE_SOA in types and one.zone != DNS_ROOT:
            return None  # the child's own record: the parent's is wanted
        return DnssecDenial(True, used, cut=one.is_cut)
    return None if one.is_cut else DnssecDenial(True, used)


def dnssec_denial(
    name: bytes,
    rrtype: int,
    zone: bytes,
    ranges: Sequence[DnssecRange],
    hasher: Callable[[bytes, tuple[bytes, int]], bytes],
) -> DnssecDenial | None:
    """Find what ranges of one zone prove of `name` and `rrtype`; None when they do not deny it.

    RFC 4035 s.5.4 with RFC 6840 s.4 (NSEC), RFC 5155 s.8 (NSEC3).
    """
    plain = [one for one in ranges if one.hashing is None]
    if plain:
        return _denial_nsec(name, rrtype, plain)
    hashing = ranges[0].hashing
    assert hashing is not None
    hashed = [one for one in ranges if one.hashing == hashing]
    return _denial_nsec3(name, rrtype, zone, hashed, lambda text: hasher(text, hashing))


def _denial_nsec(name: bytes, rrtype: int, ranges: Sequence[DnssecRange]) -> DnssecDenial | None:
    place = dns_name_order(name)
    for one in ranges:
        if one.start == place:
            return _at_owner(one, rrtype, (one,))
    cover = next((one for one in ranges if one.covers(place) and not range_leads_below(one, name)), None)
    if cover is None:
        return None
    if cover.end[: len(place)] == place:  # an empty non-terminal
        return DnssecDenial(True, (cover,))
    wildcard = (*place[: range_depth(cover, place)], b"*")
    for one in ranges:
        if one.start == wildcard:
            return _at_owner(one, rrtype, (cover, one))
        if one.covers(wildcard):  # or it is an empty non-terminal
            exists = one.end[: len(wildcard)] == wildcard
            return DnssecDenial(exists, (cover, one) if one is not cover else (cover,))
    return None


def range_depth(one: DnssecRange, place: tuple[bytes, ...]) -> int:
    """Count the labels of the closest encloser that a covering NSEC shows for a name."""
    return max(_common(place, one.start), _common(place, one.end))


def _common(first: tuple[bytes, ...], second: tuple[bytes, ...]) -> int:
    """Count the labels that two names share, from the root."""
    count = 0
    for ours, theirs in zip(first, second, strict=False):
        if ours != theirs:
            break
        count += 1
    return count


def _denial_nsec3(
    name: bytes, rrtype: int, zone: bytes, ranges: Sequence[DnssecRange], hasher: Callable[[bytes], bytes]
) -> DnssecDenial | None:
    by_hash = {one.start: one for one in ranges}
    own = by_hash.get(hasher(name))
    if own is not None:
        return _at_owner(own, rrtype, (own,))
    closer, encloser = name, None
    while closer != zone:
        parent = dns_name_parent(closer)
        encloser = by_hash.get(hasher(parent))
        if encloser is not None:
            break
        closer = parent
    if encloser is None or encloser.leads_away:
        return None
    place = hasher(closer)
    cover = next((one for one in ranges if one.covers(place)), None)
    if cover is None:
        return None
    used = (encloser, cover)
    if cover.opt_out and rrtype == TYPE_DS:
        return DnssecDenial(True, used, secure=False, cut=True)
    place = hasher(b"\1*" + dns_name_parent(closer))
    wild = by_hash.get(place)
    if wild is not None:
        found = _at_owner(wild, rrtype, (*used, wild))
    else:
        over = next((one for one in ranges if one.covers(place)), None)
        if over is None:
            return DnssecDenial(True, used, secure=False) if cover.opt_out else None
        found = DnssecDenial(False, (*used, over))
    if found is not None and cover.opt_out:
        found.secure = False
    return found


def dnssec_ranges_denial(store: DnssecStore, name: bytes, rrtype: int, now: int) -> tuple[bytes, DnssecDenial] | None:
    """Deny `name` or its `rrtype` from ranges that were proved for other answers (RFC 8198): (zone, denial)."""
    zone = next((suffix for suffix in dns_name_suffixes(name) if store.zone_soa(suffix, now) is not None), None)
    if zone is None or (rrtype == TYPE_DS and zone == name):
        return None
    hashing = store.hashing(zone)
    hashes: dict[bytes, bytes] = {}

    def hasher(text: bytes, how: tuple[bytes, int]) -> bytes:
        if text not in hashes:
            hashes[text] = nsec3_hash(text, *how)
        return hashes[text]

    if hashing is None:
        place = dns_name_order(name)
        ranges = [store.range_at(zone, place, None, now)]
        if ranges[0] is not None:
            wildcard = (*place[: range_depth(ranges[0], place)], b"*")
            ranges.append(store.range_at(zone, wildcard, None, now))
    elif (dns_name_labels(name) - dns_name_labels(zone) + 2) * (hashing[1] + 1) > DNSSEC_DENIAL_HASHES:
        return None
    else:
        ranges = _ranges_hashed(store, name, zone, hashing, now, hasher)
    known = [one for one in ranges if one is not None]
    denial = dnssec_denial(name, rrtype, zone, known, hasher) if known else None
    return (zone, denial) if denial is not None and denial.secure and not denial.cut else None


def _ranges_hashed(
    store: DnssecStore,
    name: bytes,
    zone: bytes,
    hashing: tuple[bytes, int],
    now: int,
    hasher: Callable[[bytes, tuple[bytes, int]], bytes],
) -> list[DnssecRange | None]:
    """Find the ranges for `name` and its parents up to one that exists, and for the wildcard there."""
    out: list[DnssecRange | None] = []
    for suffix in dns_name_suffixes(name):
        place = hasher(suffix, hashing)
        out.append(store.range_at(zone, place, hashing, now))
        exists = out[-1] is not None and out[-1].start == place
        if exists or suffix == zone:
            if suffix != name:
                out.append(store.range_at(zone, hasher(b"\1*" + suffix, hashing), hashing, now))
            break
    return out


# ==============================================================================
# 50 DNSSEC validation
#
# From a reply and what is known of its zones to a verdict, or to the DS or DNSKEY
# records that have to be fetched first: the caller fetches them and asks again.
# RFC 4035, RFC 5155, RFC 6840, RFC 8198, RFC 9276.
#
# Uses 10 11 15 20 21 22 27 30 40 42 44
# ==============================================================================

DNSSEC_SECURE, DNSSEC_INSECURE, DNSSEC_BOGUS, DNSSEC_ABANDONED = "SECURE", "INSECURE", "BOGUS", "ABANDONED"
DNSSEC_TRUNCATED = "TRUNCATED"
DNSSEC_TYPES = frozenset((TYPE_RRSIG, TYPE_NSEC, TYPE_NSEC3))  # only for those who ask with DO

_KEY_ZONE, _KEY_REVOKED = 0x01, 0x80  # in the octets of a DNSKEY's flags: RFC 4034 s.2.1.1, RFC 5011 s.3
# Types whose names are compared in lower case: RFC 4034 s.6.2 as RFC 6840 s.5.1 has it.
_LOWER_TYPES = frozenset(RR_LAYOUTS) - {TYPE_NSEC}


class DnssecAnchors:
    """Where trust begins (DS data by zone) and where it ends (negative anchors)."""

    __slots__ = ("zones",)

    def __init__(self, anchors: Iterable[TrustAnchor]) -> None:
        self.zones: dict[bytes, tuple[bytes, ...]] = {}
        for anchor in anchors:
            if anchor.rrclass == CLASS_IN:
                head = struct.pack("!HBB", anchor.key_tag, anchor.algorithm, anchor.digest_type)
                known = self.zones.get(anchor.name, ())
                self.zones[anchor.name] = (*known, head + anchor.digest) if anchor.digest else known

    def above(self, name: bytes) -> bytes | None:
        """Find the closest anchor at or above `name`; None when there is none, or a negative one is closer."""
        for suffix in dns_name_suffixes(name):
            anchored = self.zones.get(suffix)
            if anchored is not None:
                return suffix if anchored else None
        return None


class NeedRecords(PydnsmasqError):
    """The DS or DNSKEY records of `name` must be fetched before the proof can go on."""

    def __init__(self, name: bytes, rrtype: int) -> None:
        super().__init__()
        self.name = name
        self.rrtype = rrtype


class _Pause(PydnsmasqError):
    """Enough work for one turn; what was done is remembered."""


class _Abandoned(PydnsmasqError):
    """The proof costs more than it may."""


class DnssecWork:
    """What the proof of one client's answer has cost, and may cost.

    `clock` gives seconds of CPU of this thread; `born` is when the proof began
    (monotonic seconds).
    """

    __slots__ = ("limits", "born", "crypto", "queries", "failures", "_clock", "_used", "_began", "_busy", "hashes")

    def __init__(self, limits: DnssecLimits, clock: Callable[[], float], born: float = 0.0) -> None:
        self.limits = limits
        self.born = born
        self.crypto = self.queries = self.failures = 0
        self.hashes: dict[tuple[bytes, bytes, int], bytes] = {}
        self._clock = clock
        self._used = self._began = 0.0
        self._busy = False

    def begin(self) -> None:
        """Begin a turn."""
        self._began, self._busy = self._clock(), False

    def end(self) -> None:
        """End a turn."""
        self._used += self._clock() - self._began

    def spend(self) -> None:
        """Pay for one operation: at least one in each turn, so that there is progress."""
        turn = self._clock() - self._began
        if self.crypto >= self.limits.crypto or self._used + turn > DNSSEC_CPU_MAX:
            raise _Abandoned("per-query crypto work")
        if self._busy and turn > DNSSEC_TURN:
            raise _Pause
        self._busy = True
        self.crypto += 1

    def ask(self) -> bool:
        """Pay for one question; False when there were too many, or when the turns have cost too much."""
        self.queries += 1
        return self.queries <= self.limits.queries and self._used <= DNSSEC_CPU_MAX


class DnssecView:
    """What a proof rests on, read once: anchors, facts, servers by domain, and the time.

    `now` is the monotonic clock, `clock` the wall clock, both in whole seconds.
    """

    __slots__ = ("store", "anchors", "rules", "config", "now", "clock")

    def __init__(
        self, store: DnssecStore, anchors: DnssecAnchors, rules: DomainRules, config: Config, now: int, clock: int
    ) -> None:
        self.store = store
        self.anchors = anchors
        self.rules = rules
        self.config = config
        self.now = now
        self.clock = clock

    def overlay(self, name: bytes) -> bytes | None:
        """Give the domain at or above `name` that has servers of its own here: the public tree need not know it.

        With bogus-priv that is also the reverse name of a private address.
        """
        reverse = dns_reverse_address(name) if self.config.bogus_priv else None
        if reverse is not None and address_private(reverse[0], True):
            return name
        match = self.rules.match(name, TYPE_SOA)  # a type for which address= has no answer
        return match.domain if match.group is not self.rules.default else None


class DnssecVerdict:
    """What became of an answer: status, extended error, and the ranges that were proved on the way, with their SOA.

    `end` is the name of which the data is missing, as far as the proof goes; None
    when it is there.  `sets` tells of each set of the answer, by name and type:
    its status, the RRSIG data that proves it ("" for an alias by DNAME), its zone,
    and whether it has RRSIG records at all; `absence` is the status of what is
    denied, `denials` is what denies it, as (zone, name, type, data).
    """

    __slots__ = (
        "status", "ede", "ranges", "soa", "notes", "rewritten", "end", "sets", "absence", "denials", "generation",
    )  # fmt: skip

    def __init__(self, status: str, ede: int = -1) -> None:
        self.status = status
        self.ede = ede
        self.ranges: list[DnssecRange] = []
        self.soa: tuple[bytes, bytes, bytes, int] | None = None  # zone, data, signature, TTL; proved
        self.notes: tuple[str, ...] = ()  # warnings for the log
        self.rewritten = False  # TTLs were lowered, or records left out
        self.end: bytes | None = None
        self.sets: dict[tuple[bytes, int], tuple[str, bytes, bytes, bool]] = {}
        self.absence = ""
        self.denials: list[tuple[bytes, bytes, int, bytes]] = []
        self.generation = -1


class _Signature:
    """RRSIG data, unpacked (RFC 4034 s.3.1); `head` is what it signs of itself."""

    __slots__ = ("algorithm", "labels", "ttl", "ends", "begins", "tag", "signer", "head", "octets")

    def __init__(self, rdata: bytes, end: int) -> None:
        """`end` is where the signer's name ends."""
        _, self.algorithm, self.labels, self.ttl, self.ends, self.begins, self.tag = struct.unpack_from(
            "!HBBIIIH", rdata
        )
        self.signer = rdata[18:end].lower()
        self.head = rdata[:18] + self.signer
        self.octets = rdata[end:]


class _RrSet:
    """Records of one name (lower case) and type, with the RRSIG records over them.

    `status` is set by the first check; then `encloser` is the parent of the
    wildcard that it was made from (None: no wildcard), `signer` its zone, `good`
    the RRSIG data that proves it, `ede` why it is bogus.
    """

    __slots__ = (
        "name", "rrtype", "records", "signatures", "datas", "body", "status", "encloser", "signer", "good", "ede",
    )  # fmt: skip

    def __init__(self, name: bytes, rrtype: int) -> None:
        self.name = name
        self.rrtype = rrtype
        self.records: list[DnsRecord] = []
        self.signatures: list[DnsRecord] = []
        self.datas: list[bytes] = []  # in the form and order in which they are signed
        self.body = (b"", b"")  # what precedes each of them, and all of it together
        self.status = ""
        self.encloser: bytes | None = None
        self.signer = DNS_ROOT
        self.good = b""
        self.ede = -1


def _sets(records: Iterable[DnsRecord]) -> dict[tuple[bytes, int], _RrSet]:
    """Sort records into sets; RRSIG records go to the set that they cover."""
    out: dict[tuple[bytes, int], _RrSet] = {}
    signatures = []
    for rr in records:
        if rr.rrclass != CLASS_IN:
            continue
        if rr.rrtype == TYPE_RRSIG:
            signatures.append(rr)
            continue
        key = (rr.name.lower(), rr.rrtype)
        found = out.get(key)
        if found is None:
            found = out[key] = _RrSet(*key)
        found.records.append(rr)
    for rr in signatures:
        found = out.get((rr.name.lower(), int.from_bytes(rr.rdata[:2], "big")))
        if found is not None:
            found.signatures.append(rr)
    return out


def _signatures(found: _RrSet) -> Iterator[tuple[bytes, _Signature]]:
    """Give the RRSIG records of a set, data and unpacked; malformed ones are passed over."""
    for rr in found.signatures:
        names = rdata_names(rr.rdata, TYPE_RRSIG)
        if names:
            yield rr.rdata, _Signature(rr.rdata, names[0][1])


def _canonical(rdata: bytes, rrtype: int) -> bytes:
    """Give record data as it is signed: its names in lower case (RFC 4034 s.6.2)."""
    if rrtype not in _LOWER_TYPES:
        return rdata
    for start, end, _ in rdata_names(rdata, rrtype):
        rdata = rdata[:start] + rdata[start:end].lower() + rdata[end:]
    return rdata


def _signed_octets(found: _RrSet, signature: _Signature, owner: bytes) -> bytes:
    """Put together what a signature is made over (RFC 4034 s.3.1.8.1)."""
    head = owner + struct.pack("!HHI", found.rrtype, CLASS_IN, signature.ttl)
    if not found.datas:
        found.datas = sorted({_canonical(rr.rdata, rr.rrtype) for rr in found.records})
    if found.body[0] != head:  # most signatures are over the same
        found.body = head, b"".join([head + len(data).to_bytes(2, "big") + data for data in found.datas])
    return signature.head + found.body[1]


def _labels_signed(name: bytes) -> int:
    """Count labels as RRSIG does: the asterisk of a wildcard is none (RFC 4034 s.3.1.3)."""
    return dns_name_labels(name) - name.startswith(b"\1*")


def _usable(delegation: tuple[bytes, ...]) -> list[bytes]:
    """Choose the DS data that can be checked here; SHA-1 only where there is nothing better (RFC 4509 s.3)."""
    known = [ds for ds in delegation if ds_supported(ds[2], ds[3])]
    return [ds for ds in known if ds[3] != 1] or known


class DnssecProof:
    """The proof of a message that answers `name` (lower case) and `rrtype`, done in turns.

    Methods raise NeedRecords, _Pause and _Abandoned; sets that were judged stay so.
    `fact`: the message answers a DS or DNSKEY question of ours.  The proof of DS
    records rests on the zones above them only: else two could wait for each other.
    """

    def __init__(
        self, message: DnsMessage, name: bytes, rrtype: int, view: DnssecView, work: DnssecWork, fact: bool
    ) -> None:
        self.message = message
        self.fact = fact
        self._limit = name if fact else None
        self.name = name
        self.rrtype = rrtype
        self.view = view
        self.work = work
        self.cost = 0  # operations for this very message
        known = view.store.anchors in (None, view.anchors.zones)
        self.generation = view.store.generation if known else -2
        self.ede = EDE_BOGUS  # why the last thing failed
        self.ttl = DNSSEC_FACT_TTL_MAX
        self.rewritten = False
        self.notes: tuple[str, ...] = ()
        self.end: bytes | None = None
        self._absence = ""
        self._ranges: list[DnssecRange] | None = None
        self._ranges_ede = -1  # why some of them do not count
        self._answers = _sets(message.answers)
        self._authority = _sets(message.authority)
        self._chain: set[tuple[bytes, int]] = set()  # the sets of the answer that lead from the question to its end
        self._insecure: set[bytes] = set()  # names at and below insecure delegations
        self._digests: dict[tuple[bytes, bytes], bool] = {}  # whether a DS is that of a key
        # By the identity of a tuple of keys (which must not go then): the keys by tag and algorithm.
        self._tagged: dict[int, tuple[tuple[bytes, ...], dict[tuple[int, int], list[bytes]]]] = {}

    def _spend(self) -> None:
        self.cost += 1
        self.work.spend()

    # -- zones --

    def _fact(self, name: bytes, rrtype: int) -> DnssecFact:
        fact = self.view.store.fact(name, rrtype, self.view.now)
        if fact is None:
            raise NeedRecords(name, rrtype)
        self.ttl = min(self.ttl, fact.expires - self.view.now)
        return fact

    def _delegation(self, zone: bytes) -> DnssecFact:
        """Give the DS records of `zone`, or why there are none: an anchor, or what its parent says."""
        above = self.view.anchors.above(zone)
        if above is None:
            return DnssecFact(FACT_INSECURE, 0)
        if above == zone:
            return DnssecFact(FACT_SECURE, 0, self.view.anchors.zones[zone])
        return self._fact(zone, TYPE_DS)

    def _keys(self, zone: bytes) -> DnssecFact:
        """Give the keys that sign `zone`: secure, insecure or bogus."""
        delegation = self._delegation(zone)
        if delegation.kind == FACT_SECURE:
            return self._fact(zone, TYPE_DNSKEY) if _usable(delegation.records) else DnssecFact(FACT_INSECURE, 0)
        if delegation.kind in (FACT_NO_CUT, FACT_NOTHING):
            kind = FACT_INSECURE if self._overlaid(zone) else FACT_BOGUS
            return DnssecFact(kind, 0, ede=EDE_NO_DNSKEY)
        return delegation

    def _overlaid(self, name: bytes) -> bool:
        """Tell whether `name` lies in a domain with servers of its own to which no chain of trust leads."""
        domain = self.view.overlay(name)
        if domain is None:
            return False
        for zone in dns_name_suffixes(name):
            if zone != self._limit and self._delegation(zone).kind == FACT_SECURE:
                return False
            if zone == domain:
                break
        if dns_reverse_address(domain) is None and self.view.store.first_of(domain):
            shown = dns_name_log(domain)
            self.notes = (f"answers for {shown} are not validated: it has servers of its own, but no DS record",)
        return True

    def _unsigned(self, name: bytes) -> str:
        """Judge data without signatures at `name`: go down from the anchor to an insecure delegation."""
        view = self.view
        if name == self._limit:
            name = dns_name_parent(name)
        if dns_name_parent(name) in self._insecure and name not in view.anchors.zones:
            return DNSSEC_INSECURE
        above = view.anchors.above(name)
        if above is None or not view.config.dnssec_check_unsigned or not _usable(view.anchors.zones[above]):
            self.ttl = min(self.ttl, DNSSEC_BOGUS_SECONDS)
            return DNSSEC_INSECURE
        zones = list(itertools.takewhile(lambda suffix: suffix != above, dns_name_suffixes(name)))
        for at in range(len(zones), 0, -1):
            zone = zones[at - 1]
            fact = self._fact(zone, TYPE_DS)
            if fact.kind == FACT_INSECURE or (fact.kind == FACT_SECURE and not _usable(fact.records)):
                self._insecure.update(zones[:at])
                return DNSSEC_INSECURE
            if fact.kind == FACT_BOGUS:
                self.ede = EDE_NO_RRSIG if fact.ede == EDE_NO_NSEC and zone == name else fact.ede
                return DNSSEC_BOGUS
            if fact.kind == FACT_NOTHING:
                break
        if self._overlaid(name):
            return DNSSEC_INSECURE
        self.ede = EDE_NO_RRSIG
        return DNSSEC_BOGUS

    # -- signatures --

    def check(self, found: _RrSet) -> str:
        """Judge a set by its signatures, or by their absence."""
        if not found.status:
            if found.signatures:
                found.status = self._check_signatures(found)
            else:
                found.status = self._unsigned(_keeper(found.name, found.rrtype))
            found.ede = self.ede
        elif found.status == DNSSEC_BOGUS:
            self.ede = found.ede
        return found.status

    def _check_signatures(self, found: _RrSet) -> str:
        reason, failures = -1, 0
        above = self.view.anchors.above(_keeper(found.name, found.rrtype))
        if above is None:
            return DNSSEC_INSECURE
        for rdata, signature in _signatures(found):
            if not _signer_may(signature, found):
                continue
            if not dns_name_under(signature.signer, above):  # who is above the anchor has no say below it
                continue
            if self._limit is not None and not _is_below(self._limit, signature.signer):
                continue
            keys = self._keys(signature.signer)
            if keys.kind == FACT_INSECURE:
                return DNSSEC_INSECURE
            if keys.kind == FACT_BOGUS:
                reason = keys.ede
            elif signature.algorithm not in SIGNATURE_ALGORITHMS:
                reason = reason if reason >= 0 else EDE_DNSKEY_ALGORITHM
            elif (late := self._time(signature)) >= 0:
                reason = late
            else:
                failures = self._try_keys(found, signature, keys.records, failures)
                if failures < 0:
                    found.good = rdata
                    return DNSSEC_SECURE
                reason = reason if reason >= 0 else EDE_BOGUS if failures else EDE_NO_DNSKEY
        self.ede = reason if reason >= 0 else EDE_NO_RRSIG
        return DNSSEC_BOGUS

    def _time(self, signature: _Signature) -> int:
        """Give the extended error of a signature out of its time, -1 within (RFC 4034 s.3.1.5, serial numbers)."""
        if not self.view.store.check_times:
            return -1
        if (self.view.clock - signature.begins) & 0x80000000:
            return EDE_NOT_YET_VALID
        return EDE_EXPIRED if (signature.ends - self.view.clock) & 0x80000000 else -1

    def _candidates(self, keys: tuple[bytes, ...], tag: int, algorithm: int) -> list[bytes]:
        """Choose the keys that a signature or DS may mean; tags are worked out once, not for each of these."""
        known = self._tagged.get(id(keys))
        if known is None:
            known = self._tagged[id(keys)] = keys, {}
            for key in keys:
                known[1].setdefault((dnskey_tag(key), key[3]), []).append(key)
        return known[1].get((tag, algorithm), [])

    def _try_keys(self, found: _RrSet, signature: _Signature, keys: tuple[bytes, ...], failures: int) -> int:
        """Try every key that may have made a signature; -1 when one has, else how many failed so far."""
        candidates = self._candidates(keys, signature.tag, signature.algorithm)
        if not candidates:
            return failures
        owner, encloser = found.name, None
        if signature.labels < _labels_signed(found.name):
            encloser = found.name
            for _ in range(dns_name_labels(found.name) - signature.labels):
                encloser = dns_name_parent(encloser)
            owner = b"\1*" + encloser
        octets = _signed_octets(found, signature, owner)
        for key in candidates:
            if self._verify(key, signature, octets):
                found.encloser, found.signer = encloser, signature.signer
                self._limit_ttl(found, signature)
                return -1
            failures += 1
            self.work.failures = max(self.work.failures, failures)
            if failures > self.work.limits.signatures:
                raise _Abandoned("per-RRSet signature fails")
        return failures

    def _verify(self, key: bytes, signature: _Signature, octets: bytes) -> bool:
        store = self.view.store
        lengths = struct.pack("!HH", len(key), len(signature.octets))  # what is joined must come apart in one way only
        token = octets_digest(lengths + key + signature.octets + octets)
        good = store.outcome(token)
        if good is None:
            self._spend()
            good = signature_verify(signature.algorithm, key[4:], octets, signature.octets)
            store.note(token, good)
        return good

    def _limit_ttl(self, found: _RrSet, signature: _Signature) -> None:
        """Let no record live longer than it was signed for (RFC 4035 s.5.3.3)."""
        limit = signature.ttl
        if self.view.store.check_times:
            limit = min(limit, (signature.ends - self.view.clock) & 0xFFFFFFFF)
        for rr in found.records + found.signatures:
            if rr.ttl > limit:
                rr.ttl, self.rewritten = limit, True
            self.ttl = min(self.ttl, rr.ttl)

    # -- absence --

    def ranges(self) -> list[DnssecRange]:
        """Give the NSEC and NSEC3 records of the authority section that are proved."""
        if self._ranges is None:
            out = []
            for found in self._authority.values():
                if found.rrtype not in (TYPE_NSEC, TYPE_NSEC3) or not found.signatures:
                    continue
                if len({rr.rdata for rr in found.records}) > 1:  # the same record twice is one (RFC 2181 s.5)
                    continue
                status = self.check(found)
                if status != DNSSEC_SECURE or found.encloser is not None:
                    if status == DNSSEC_BOGUS and self.ede != EDE_NO_RRSIG:
                        self._ranges_ede = self.ede
                    continue
                made = _range_read(found, self.work.limits.nsec3_iterations)
                if isinstance(made, int):
                    self._ranges_ede = made
                elif made is not None:
                    made.ttl = min(found.records[0].ttl, self.ttl)
                    made.expires = self.view.now + made.ttl
                    out.append(made)
            self._ranges = out
        return self._ranges

    def _zone_ranges(self, name: bytes, rrtype: int) -> dict[bytes, list[DnssecRange]]:
        """Sort the ranges that may speak for `name` by zone; for DS only zones above it may."""
        out: dict[bytes, list[DnssecRange]] = {}
        for one in self.ranges():
            if dns_name_under(name, one.zone) and not (rrtype == TYPE_DS and one.zone == name and name != DNS_ROOT):
                out.setdefault(one.zone, []).append(one)
        return out

    def denied(self, name: bytes, rrtype: int) -> DnssecDenial | None:
        """Find what the message proves of the absence of `name` or its `rrtype`."""
        for zone, ranges in self._zone_ranges(name, rrtype).items():
            found = dnssec_denial(name, rrtype, zone, ranges, self.hash)
            if found is not None:
                return found
        return None

    def hash(self, name: bytes, hashing: tuple[bytes, int]) -> bytes:
        """Hash a name for NSEC3; each name is paid for once."""
        key = (name, *hashing)
        known = self.work.hashes.get(key)
        if known is None:
            self._spend()
            known = self.work.hashes[key] = nsec3_hash(name, *hashing)
        return known

    def _negative(self, name: bytes, rrtype: int) -> str:
        """Judge the absence of `rrtype` at `name`, where the alias chain ends."""
        found = self.denied(name, rrtype)
        if found is not None and not found.secure:  # by opt-out: it may exist or not
            return DNSSEC_INSECURE
        if found is not None and found.name_exists == (self.message.rcode == NOERROR):
            return DNSSEC_SECURE
        status = self._unsigned(_keeper(name, rrtype))
        if self._ranges_ede >= 0:
            self.ede = self._ranges_ede
        elif self.ede == EDE_NO_RRSIG:
            self.ede = EDE_NO_NSEC
        return status

    def _wildcard(self, found: _RrSet) -> str:
        """Judge the proof that a set made from a wildcard has no closer match (RFC 4035 s.5.3.4, RFC 5155 s.8.8)."""
        assert found.encloser is not None
        closer = found.name
        while dns_name_parent(closer) != found.encloser:
            closer = dns_name_parent(closer)
        for one in self.ranges():
            if one.zone != found.signer:
                continue
            if one.hashing is None:
                place = dns_name_order(found.name)
                depth = range_depth(one, place)  # the closest encloser must be the parent of this very wildcard
                covers = one.covers(place) and not range_leads_below(one, found.name)
                if covers and depth == dns_name_labels(found.encloser):
                    return DNSSEC_SECURE
            elif one.covers(self.hash(closer, one.hashing)):
                return DNSSEC_INSECURE if one.opt_out else DNSSEC_SECURE
        self.ede = EDE_NO_NSEC
        return DNSSEC_BOGUS

    # -- answers --

    def answer(self) -> str:
        """Judge the whole message."""
        if self.rrtype in (TYPE_RRSIG, TYPE_SIG):
            return DNSSEC_INSECURE
        statuses = set()
        end = self.end = self._chain_end()
        for key, found in self._answers.items():
            status = self._check_answer(found)
            if status == DNSSEC_SECURE and found.encloser is not None:
                status = self._wildcard(found)
            if status == DNSSEC_BOGUS:
                return status
            found.status = status  # an opt-out takes a wildcard's security away
            if key in self._chain:  # what has nothing to do with the question will be left out
                statuses.add(status)
        if end is not None:
            self._absence = self._negative(end, self.rrtype)
            statuses.add(self._absence)
        elif self.message.rcode == NXDOMAIN and statuses == {DNSSEC_SECURE}:  # beside data that is there
            self.ede = EDE_BOGUS
            return DNSSEC_BOGUS
        if DNSSEC_BOGUS in statuses:
            return DNSSEC_BOGUS
        if DNSSEC_INSECURE in statuses:
            for found in self._authority.values() if self._ranges else ():
                if found.rrtype == TYPE_SOA and found.signatures:  # it goes with the proof of an opt-out
                    self.check(found)
            return DNSSEC_INSECURE
        return self._check_authority()

    def _check_answer(self, found: _RrSet) -> str:
        """Judge a set; a CNAME without signature may follow from a DNAME (RFC 6672 s.5.3.1)."""
        if not found.status and found.rrtype == TYPE_CNAME and not found.signatures and len(found.records) == 1:
            for suffix in itertools.islice(dns_name_suffixes(found.name), 1, None):
                above = self._answers.get((suffix, TYPE_DNAME))
                if above is None:
                    continue
                alias = found.records[0]
                if found.name[: -len(suffix)] + above.records[0].rdata.lower() == alias.rdata.lower():
                    found.status = self.check(above)
                    if alias.ttl > above.records[0].ttl:
                        alias.ttl, self.rewritten = above.records[0].ttl, True
                    return found.status
        return self.check(found)

    def _chain_end(self) -> bytes | None:
        """Follow the aliases; give the name of which the data is missing, None when it is there."""
        name, sets = self.name, self._answers
        if self.rrtype == TYPE_ANY:
            self._chain = {(owner, rrtype) for owner, rrtype in sets if owner == name}
            if self._chain:
                return None
        seen = set()
        while name not in seen:
            seen.add(name)
            self._chain |= {(suffix, TYPE_DNAME) for suffix in dns_name_suffixes(dns_name_parent(name))} & sets.keys()
            if (name, self.rrtype) in sets:
                self._chain.add((name, self.rrtype))
                return None
            alias = sets.get((name, TYPE_CNAME))
            if alias is None:
                return name
            self._chain.add((name, TYPE_CNAME))
            name = alias.records[0].rdata.lower()
        return None

    def _check_authority(self) -> str:
        """Judge what stands beside a secure answer: what is not signed there makes it insecure, not bogus."""
        for found in self._authority.values():
            if found.rrtype in (TYPE_NSEC, TYPE_NSEC3):
                continue
            status = self.check(found) if found.signatures else DNSSEC_INSECURE
            if status != DNSSEC_SECURE:
                return status
        return DNSSEC_SECURE

    # -- facts --

    def judge(self) -> DnssecFact:
        """Judge the reply to a DS or DNSKEY question."""
        kind, records = self._judge_keys() if self.rrtype == TYPE_DNSKEY else self._judge_delegation()
        notes: tuple[str, ...] = ()
        if kind == FACT_BOGUS and self._overlaid(self.name):
            kind, records, self.ttl = FACT_INSECURE, (), min(self.ttl, DNSSEC_BOGUS_SECONDS)
            shown = f"Insecure {rr_type_name(self.rrtype)} reply received for {dns_name_log(self.name)}"
            notes = (f"{shown}, check domain configuration and upstream DNS server DNSSEC support",)
        if kind == FACT_BOGUS:
            self.ttl = DNSSEC_BOGUS_SECONDS
            notes = self._warning()
        expires = self.view.now + max(self.ttl, DNSSEC_FACT_TTL_MIN)
        out = DnssecFact(kind, expires, records, self.ede if kind == FACT_BOGUS else -1)
        out.notes, out.generation = notes, self.generation
        return out

    def _warning(self) -> tuple[str, ...]:
        """Warn of what makes every name fail: keys of the root, or of the zones right below it."""
        if dns_name_labels(self.name) > 1 or self.ede == EDE_OTHER:
            return ()
        what = f"{rr_type_name(self.rrtype)} of {dns_name_log(self.name)}: {EDE_TEXTS[self.ede]}"
        advice = "check the trust-anchor lines, the clock, and whether the upstream servers pass signatures on"
        return (f"DNSSEC cannot prove the {what}; {advice}",)

    def _judge_delegation(self) -> tuple[int, tuple[bytes, ...]]:
        if self.message.rcode not in (NOERROR, NXDOMAIN):
            self.ede = EDE_INDETERMINATE
            return FACT_BOGUS, ()
        found = self._answers.get((self.name, TYPE_DS))
        if found is not None:
            status = self.check(found)
            if status == DNSSEC_SECURE and found.encloser is None:
                return FACT_SECURE, tuple(rr.rdata for rr in found.records if len(rr.rdata) > 4)
            return (FACT_INSECURE if status == DNSSEC_INSECURE else FACT_BOGUS), ()
        alias = self._answers.get((self.name, TYPE_CNAME))
        if alias is not None:  # an alias is no zone
            status = self._check_answer(alias)
            if status == DNSSEC_SECURE and alias.encloser is not None:
                status = self._wildcard(alias)
            return {DNSSEC_SECURE: FACT_NO_CUT, DNSSEC_INSECURE: FACT_INSECURE}.get(status, FACT_BOGUS), ()
        denial = self.denied(self.name, TYPE_DS)
        if denial is None:
            status = self._negative(self.name, TYPE_DS)
            return (FACT_INSECURE if status == DNSSEC_INSECURE else FACT_BOGUS), ()
        for rr in self.message.authority:
            if rr.rrtype == TYPE_SOA and (ttl := soa_negative_ttl(rr)) is not None:
                self.ttl = min(self.ttl, ttl)
        if denial.cut:
            return FACT_INSECURE, ()
        return (FACT_NO_CUT if denial.name_exists else FACT_NOTHING), ()

    def _judge_keys(self) -> tuple[int, tuple[bytes, ...]]:
        """Find the keys that DS records point at, and let them vouch for the whole set (RFC 4035 s.5.2)."""
        delegation = self._delegation(self.name)
        if delegation.kind == FACT_INSECURE:
            return FACT_INSECURE, ()
        found = self._answers.get((self.name, TYPE_DNSKEY))
        if delegation.kind != FACT_SECURE or found is None:
            self.ede = EDE_NO_DNSKEY
            return FACT_BOGUS, ()
        entries, self.ede = [], EDE_NO_DNSKEY
        keys = tuple(rr.rdata for rr in found.records if len(rr.rdata) > 4 and rr.rdata[2] == 3)
        for ds in _usable(delegation.records):
            for key in self._candidates(keys, int.from_bytes(ds[:2], "big"), ds[2]):
                if (ds, key) not in self._digests:
                    self._spend()
                    self._digests[ds, key] = ds_digest(self.name, key, ds[3]) == ds[4:]
                if not self._digests[ds, key] or key in entries:
                    continue
                if _signs_zone(key):
                    entries.append(key)
                elif not key[0] & _KEY_ZONE:
                    self.ede = EDE_NO_ZONE_BIT
        if not entries:
            return FACT_BOGUS, ()
        return self._self_signed(found, tuple(entries), keys)

    def _self_signed(
        self, found: _RrSet, entries: tuple[bytes, ...], keys: tuple[bytes, ...]
    ) -> tuple[int, tuple[bytes, ...]]:
        reason, failures = -1, 0
        for _, signature in _signatures(found):
            if signature.signer != self.name or signature.labels != _labels_signed(self.name):
                continue
            late = self._time(signature)
            if late >= 0:
                reason = late
                continue
            failures = self._try_keys(found, signature, entries, failures)
            if failures < 0:
                return FACT_SECURE, tuple(key for key in keys if _signs_zone(key))
            reason = reason if reason >= 0 else EDE_BOGUS if failures else EDE_NO_DNSKEY
        self.ede = reason if reason >= 0 else EDE_NO_RRSIG
        return FACT_BOGUS, ()

    def verdict(self, status: str) -> DnssecVerdict:
        """Sum up."""
        if status == DNSSEC_BOGUS and self.ede == EDE_OTHER:
            status = DNSSEC_ABANDONED
        out = DnssecVerdict(status, -1 if status in (DNSSEC_SECURE, DNSSEC_INSECURE) else self.ede)
        if self._chain or self.end is not None:
            self._leave_out("answers", self._chain)
        if status == DNSSEC_SECURE:
            # AD speaks for all that is left (RFC 4035 s.3.2.3).
            sets = self._authority.items()
            self._leave_out("authority", {key for key, found in sets if found.status == DNSSEC_SECURE})
        out.rewritten, out.end, out.notes = self.rewritten, self.end, self.notes
        out.generation, out.absence = self.generation, self._absence
        for key, found in self._answers.items():
            out.sets[key] = (found.status, found.good, found.signer, bool(found.signatures))
        for found in self._authority.values():
            self._add_denial(out, found)
        if status == DNSSEC_SECURE and self._ranges and out.soa is not None:
            self._add_ranges(out, self._ranges, out.soa[0], out.soa[3])
        return out

    def _leave_out(self, section: str, keys: Container[tuple[bytes, int]]) -> None:
        """Take away the records of a section that belong to other sets than `keys`."""
        if self.message.keep(section, lambda rr: rr.rrclass == CLASS_IN and (rr.name.lower(), _covered(rr)) in keys):
            self.rewritten = True

    def _add_denial(self, out: DnssecVerdict, found: _RrSet) -> None:
        """Give out what a set of the authority section proves of absence."""
        first = found.records[0]
        if not found.good:
            return
        if found.rrtype == TYPE_SOA and (ttl := soa_negative_ttl(first)) is not None:
            out.soa = (found.name, first.rdata, found.good, ttl)
        elif found.rrtype in (TYPE_NSEC, TYPE_NSEC3):
            out.denials.append((found.signer, first.name, found.rrtype, first.rdata))
            out.denials.append((found.signer, first.name, TYPE_RRSIG, found.good))

    def _add_ranges(self, out: DnssecVerdict, ranges: list[DnssecRange], zone: bytes, ttl: int) -> None:
        """Give out what answers can be made from later: ranges of the zone whose SOA is there too."""
        kinds = [one for one in ranges if one.zone == zone and not one.opt_out and one.size() <= DNSSEC_RANGE_OCTETS]
        out.ranges = [one for one in kinds if one.hashing == kinds[0].hashing]
        for one in out.ranges:
            one.ttl = min(one.ttl, ttl)
            one.expires = self.view.now + one.ttl


def _covered(rr: DnsRecord) -> int:
    """Give the type of the set that a record belongs to: of an RRSIG that which it covers."""
    return rr.rrtype if rr.rrtype != TYPE_RRSIG else int.from_bytes(rr.rdata[:2], "big")


def _keeper(name: bytes, rrtype: int) -> bytes:
    """Give the name by which the zone is found that keeps records: DS records are the parent's."""
    return dns_name_parent(name) if rrtype == TYPE_DS else name


def _signs_zone(key: bytes) -> bool:
    """Tell whether a DNSKEY may sign a zone: the flag is there, and the key is not revoked."""
    return bool(key[0] & _KEY_ZONE) and not key[1] & _KEY_REVOKED


def _is_below(name: bytes, zone: bytes) -> bool:
    return name != zone and dns_name_under(name, zone)


def _signer_may(signature: _Signature, found: _RrSet) -> bool:
    """Tell whether a signature's form fits its set: signer at or above the owner, the parent for DS, labels."""
    if not dns_name_under(found.name, signature.signer) or signature.labels > _labels_signed(found.name):
        return False
    if signature.labels < dns_name_labels(signature.signer):
        return False
    return not (found.rrtype == TYPE_DS and signature.signer == found.name)


# -- ranges -----------------------------------------------------------------------


def _range_read(found: _RrSet, iterations_max: int) -> DnssecRange | int | None:
    """Read a proved NSEC or NSEC3 set; an extended error when it cannot be used here, None when it is malformed."""
    rdata = found.records[0].rdata
    try:
        if found.rrtype == TYPE_NSEC:
            end = rdata_names(rdata, TYPE_NSEC)[0][1]
            start, stop = dns_name_order(found.name), dns_name_order(rdata[:end].lower())
            out = DnssecRange(found.signer, found.name, start, stop, RdataTypes(rdata[end:]))
        else:
            made = _nsec3_read(found, rdata, iterations_max)
            if made is None or isinstance(made, int):
                return made
            out = made
    except (WireError, IndexError, ValueError, OverflowError):
        return None
    out.rrtype, out.rdata = found.rrtype, rdata
    out.signatures = (found.good,)
    return out


def _nsec3_read(found: _RrSet, rdata: bytes, iterations_max: int) -> DnssecRange | int | None:
    algorithm, flags, iterations = struct.unpack_from("!BBH", rdata.ljust(4, b"\0"))
    salt_end = 5 + rdata[4]
    next_end = salt_end + 1 + rdata[salt_end]
    label = found.name[1 : 1 + found.name[0]]
    if algorithm != 1 or flags & ~1 or rdata[salt_end] != 20 or len(rdata) < next_end or len(label) != 32:
        return None
    if dns_name_parent(found.name) != found.signer:
        return None
    if iterations > iterations_max:
        return EDE_NSEC3_ITERATIONS
    start = int(label, 32).to_bytes(20, "big")  # base32hex has the digits of Python's base 32
    out = DnssecRange(found.signer, found.name, start, rdata[salt_end + 1 : next_end], RdataTypes(rdata[next_end:]))
    out.hashing, out.opt_out = (rdata[5:salt_end], iterations), bool(flags & 1)
    return out


# -- entries -----------------------------------------------------------------------


def dnssec_step(proof: DnssecProof, view: DnssecView) -> DnssecVerdict | DnssecFact | NeedRecords | None:
    """Do a turn of a proof, from the facts that there are now.

    Gives a verdict, or for a `fact` what was proved of the DS or DNSKEY records
    asked for; NeedRecords for what is to be fetched first; None when the turn is
    over and the same is to be called again.
    """
    work = proof.work
    work.begin()
    proof.view, proof.ede = view, EDE_BOGUS
    try:
        return proof.judge() if proof.fact else proof.verdict(proof.answer())
    except NeedRecords as need:
        return need.with_traceback(None)  # its frames would hold it, and the whole proof with it
    except _Pause:
        return None
    except _Abandoned as reason:
        return dnssec_abandoned(proof, str(reason), view.now)
    finally:
        work.end()
        peaks = view.store.peaks
        peaks[:] = map(max, peaks, (work.queries, work.crypto, work.failures))


def dnssec_abandoned(proof: DnssecProof, limit: str, now: int) -> DnssecVerdict | DnssecFact:
    """Make the outcome of a proof that was given up at a `limit`.

    A fact counts for others, too, only when it was dear by itself, not when it
    came at the end of somebody's dear answer.
    """
    shown = dns_name_log(proof.name)
    notes = (f"limit exceeded: {limit}", f"validation of {shown} failed: resource limit exceeded.")
    if proof.fact:
        fact = DnssecFact(FACT_BOGUS, now + DNSSEC_BOGUS_SECONDS, ede=EDE_OTHER)
        fact.own = proof.cost >= proof.work.limits.crypto // 4 or proof.cost > proof.work.limits.signatures
        fact.notes, fact.generation = notes, proof.generation
        return fact
    verdict = DnssecVerdict(DNSSEC_ABANDONED, EDE_OTHER)
    verdict.notes = notes
    return verdict


# ==============================================================================
# 51 DNS answers
#
# From a query to an answer of our own, or to the group of servers that it has
# to be forwarded to: what the answerers of DNS_ANSWERERS (52) do.
#
# Uses 10 13 15 20 21 22 27 29 30 40 41 42 44 50
# ==============================================================================


class QueryLog:
    """The lines of one query in the log (log-queries); silent where nothing is to be logged.

    With `extra` each line begins with a serial number and the client; with
    `only_failed` lines are held until the outcome is known.
    """

    __slots__ = ("_log", "_prefix", "_held", "verb")

    def __init__(self, log: Log | None, prefix: str = "", held: bool = False, verb: str = "forwarded") -> None:
        self._log = log
        self._prefix = prefix
        self.verb = verb
        self._held: list[str] | None = [] if held else None

    def put(self, texts: Iterable[str], failed: bool = False) -> None:
        """Log lines; `failed` releases what only_failed held back."""
        if self._log is None:
            return
        if self._held is not None:
            self._held += [self._prefix + text for text in texts]
            if not failed:
                return
            for text in self._held:
                self._log.put(text)
            self._held = []
            return
        for text in texts:
            self._log.put(self._prefix + text)

    def extra_line(self, text: str) -> None:
        """Log a line that only `extra` shows."""
        if self._prefix:
            self.put((text,))

    def forwarded(self, query: DnsQuery, server: Upstream) -> None:
        """Log that the question went to `server`."""
        if self._log is not None:
            self.put((f"{self.verb} {dns_name_log(query.name)} to {server.text}",))


def query_log(state: DnsState, query: DnsQuery, client: DnsClient, serial: int) -> QueryLog:
    """Begin the log of a query: the `query[...]` line, and where the rest goes."""
    words = state.config.log_queries
    if not state.log.queries or ("auth" in words and not client.auth):
        return QUERY_LOG_SILENT
    prefix = ""
    if "extra" in words:
        proto = ("TCP " if client.tcp else "UDP ") if "proto" in words else ""
        prefix = f"{proto}{serial} {client.address}/{client.port} "
    out = QueryLog(state.log, prefix, "only_failed" in words)
    kind = "auth" if client.auth else "query"
    out.put((f"{kind}[{rr_type_name(query.rrtype)}] {dns_name_log(query.name)} from {client.address}",))
    return out


def fetch_log(state: DnsState, rrtype: int, serial: int) -> QueryLog:
    """Begin the log of a DS or DNSKEY question of our own; it is no client's."""
    words = state.config.log_queries
    if not state.log.queries or "auth" in words or "only_failed" in words:
        return QUERY_LOG_SILENT
    prefix = f"{serial} " if "extra" in words else ""
    return QueryLog(state.log, prefix, False, f"dnssec-query[{rr_type_name(rrtype)}]")


def fact_texts(name: bytes, rrtype: int, fact: DnssecFact) -> list[str]:
    """Give the lines that the query log shows for a fetched fact."""
    shown = f"reply {dns_name_log(name)} is"
    if fact.kind == FACT_BOGUS:
        return [f"{shown} BOGUS {rr_type_name(rrtype)}"]
    if rrtype == TYPE_DNSKEY:
        return [f"{shown} DNSKEY keytag {dnskey_tag(key)}, algo {key[3]}" for key in fact.records]
    if fact.kind == FACT_SECURE:
        lines = []
        for ds in fact.records:
            text = f"{shown} DS for keytag {int.from_bytes(ds[:2], 'big')}, algo {ds[2]}, digest {ds[3]}"
            lines.append(text if ds_supported(ds[2], ds[3]) else text + " (not supported)")
        return lines
    return [f"{shown} no DS" if fact.kind == FACT_INSECURE else f"{shown} no DS/cut"]


QUERY_LOG_SILENT = QueryLog(None)


class DnsMetrics:
    """Counters for the statistics; plain ints, changed by several threads without harm."""

    __slots__ = ("forwarded", "local", "stale", "auth", "unanswered", "tcp_connections", "tcp_peak")

    def __init__(self) -> None:
        self.forwarded = self.local = self.stale = self.auth = self.unanswered = 0
        self.tcp_connections = self.tcp_peak = 0


def filtered_types(config: Config) -> frozenset[int]:
    """Give the record types that filter-rr, filter-A and filter-AAAA take out of replies."""
    addresses = {TYPE_A} if config.filter_A else set()
    return frozenset(config.filter_rr) | addresses | ({TYPE_AAAA} if config.filter_AAAA else set())


def kernel_set_tables(config: Config) -> tuple[tuple[str, dict[bytes, tuple[str | NftSet, ...]]], ...]:
    """Give the sets for each domain, separately for the options ipset and nftset."""
    tables = []
    for option, rules in (("ipset", config.ipset), ("nftset", config.nftset)):
        table: dict[bytes, tuple[str | NftSet, ...]] = {}
        for rule in rules:
            for pattern in rule.domains:
                if not pattern.kind:
                    table.setdefault(pattern.name or DNS_ROOT, rule.sets)
        if table:
            tables.append((option, table))
    return tuple(tables)


def dns_path(rows: Sequence[tuple[Any, str]], config: Config) -> tuple[Any, ...]:
    """Choose the steps of a path that have work: those without options, and those of which an option is given."""
    return tuple(step for step, names in rows if not names or any(getattr(config, name) for name in names.split()))


class DnsState:
    """Everything that answering needs, built aside and swapped in as one.

    `cache`, `answers` and `metrics` live on over a reload (the cache is flushed).
    `interfaces` are the present addresses, `auth_interfaces` those that only
    serve authoritative zones.
    """

    __slots__ = (
        "config", "local", "rules", "cache", "answers", "metrics", "interfaces", "answerers", "reviewers", "serial",
        "changes", "log", "udp_max", "filters", "hostname", "trust", "anchors", "sets", "allowlist",
    )  # fmt: skip

    def __init__(
        self,
        config: Config,
        local: LocalData,
        rules: DomainRules,
        cache: DnsCache,
        answers: WireAnswers,
        metrics: DnsMetrics,
        log: Log,
        hostname: bytes = DNS_ROOT,
    ) -> None:
        self.config = config
        self.local = local
        self.rules = rules
        self.cache = cache
        self.answers = answers
        self.metrics = metrics
        self.log = log
        self.hostname = hostname
        self.interfaces: tuple[InterfaceAddress, ...] = ()
        self.answerers: tuple[Callable[[DnsAnswer], bool], ...] = ()  # chosen by the first query (52)
        self.reviewers: tuple[Callable[[Any], None], ...] = ()  # chosen by the first reply (53)
        self.serial = 1
        self.changes = 0  # of the names of leases since the start: secondaries see them by the serial
        self.udp_max = config.edns_packet_max
        self.filters = filtered_types(config)
        self.trust = DnssecStore()  # lives on over a reload, as the cache does
        self.anchors = DnssecAnchors(config.trust_anchor)
        self.sets = kernel_set_tables(config)
        self.allowlist = {(rule.mark, rule.mask): rule.patterns for rule in config.connmark_allowlist}


class DnsClient:
    """Where a query came from; `reply` sends the finished message there.

    `interface` is the name of the arrival interface ("" when it does not
    matter), `local` the packed address that was asked, `auth` whether the
    interface serves authoritative zones only; `mac` and `mark` find its hardware
    address and the mark of its connection, `marked` is what of the mark counts
    for connmark-allowlist.
    """

    __slots__ = ("address", "port", "interface", "local", "tcp", "auth", "reply", "mac", "mark", "marked")

    def __init__(self, address: str, port: int, tcp: bool, reply: Callable[[bytes], None]) -> None:
        self.address = address
        self.port = port
        self.tcp = tcp
        self.reply = reply
        self.interface = ""
        self.local = b""
        self.auth = False
        self.mac: Callable[[], bytes] | None = None
        self.mark: Callable[[], int] | None = None
        self.marked = 0


class DnsAnswer:
    """An answer being made, and what became of it.

    Answerers add records; `outcome` is "" while nobody took the query, then
    "reply", "silence" or "forward" (to `group`).  `lasting` tells that the same
    bytes would get the same answer, so that it may be kept (41).
    """

    __slots__ = (
        "query", "client", "state", "now", "outcome", "group", "rcode", "aa", "ra", "proved", "ede", "texts",
        "records", "groups", "entries", "lasting", "authority", "refresh", "additional", "_mark",
    )  # fmt: skip

    def __init__(self, query: DnsQuery, client: DnsClient, state: DnsState, now: float) -> None:
        self.query = query
        self.client = client
        self.state = state
        self.now = int(now)
        self.outcome = ""
        self.group: UpstreamGroup | None = None
        self.rcode = NOERROR
        self.aa = True
        self.ra = True
        self.proved = True  # all of it is from the cache, and proved there
        self.ede = -1
        self.texts: list[str] = []
        self.records: list[tuple[bytes, int, int, bytes]] = []  # name, type, TTL, data
        self.groups: list[tuple[int, int]] = []  # runs of records that rotate: start, count
        self._mark: int | None = None
        self.authority: list[tuple[bytes, int, int, bytes]] = []
        self.additional: list[tuple[bytes, int, int, bytes]] = []
        self.entries: list[CacheEntry] = []
        self.lasting = True
        self.refresh: list[CacheEntry] = []

    def say(self, source: str, name: bytes, value: str, proof: CacheProof | None = None) -> None:
        """Note a line for the query log."""
        if self.state.log.queries:
            signed = signed_text(self.state.config) if proof is not None and proof.secure else ""
            self.texts.append(f"{source} {dns_name_log(name)} is {value}{signed}")

    def mark(self) -> int:
        """Give the mark of the client's connection, 0 for none, -1 when nobody can tell; it is asked for once."""
        if self._mark is None:
            self._mark = self.client.mark() if self.client.mark is not None else 0
        return self._mark

    def refuse(self, rcode: int, ede: int = -1, source: str = "config") -> bool:
        """End with an error code and nothing else."""
        self.records.clear()
        self.groups.clear()
        self.rcode, self.ede, self.aa, self.outcome = rcode, ede, False, "reply"
        if self.state.log.queries:
            text = RCODE_TEXTS.get(rcode, str(rcode)) + (f" (EDE: {EDE_TEXTS[ede]})" if ede >= 0 else "")
            self.texts.append(f"{source} error is {text}")
        return True

    def add_local(self, name: bytes, records: Sequence[LocalRecord]) -> None:
        """Add records of our own for `name`, as a run that rotates."""
        default = self.state.config.local_ttl
        self.proved = False
        self._run(len(records))
        if len(records) > 1 and not self.state.config.no_round_robin:
            turn = self.state.local.turn(name.lower()) % len(records)
            records = [*records[turn:], *records[:turn]]
        for rr in records:
            self.records.append((name, rr.rrtype, local_ttl(rr, default, self.now), rr.rdata))
            if isinstance(rr, LeaseRecord):
                self.lasting = False
        if self.state.log.queries:
            for rr in records:
                for text in (
                    rdata_log(rr.rdata, rr.rrtype)
                    if rr.rrtype in (TYPE_A, TYPE_AAAA)
                    else [f"<{rr_type_name(rr.rrtype)}>"]
                ):
                    self.say(rr.source, name, text)

    def add_cached(self, name: bytes, entry: CacheEntry) -> None:
        """Add the records of a cache entry with what is left of their time."""
        ttl = max(entry.expires - self.now, 0)
        self.use(entry)
        records = entry.records if self.state.config.no_round_robin else entry.rotated()
        self._run(len(records))
        source = "cached" if ttl else "cached-stale"
        for rdata in records:
            self.records.append((name, entry.rrtype, ttl, rdata))
            if self.state.log.queries:
                if (
                    entry.rrtype == TYPE_PTR
                    and (reverse := dns_reverse_address(name.lower())) is not None
                    and reverse[1]
                ):
                    self.texts.append(f"{source} {address_format(reverse[0])} is {dns_name_log(rdata)}")
                    continue
                for text in rdata_log(rdata, entry.rrtype):
                    self.say(source, name, text, entry.proof)
        if self.query.do and entry.proof is not None:
            self.records += [(name, TYPE_RRSIG, ttl, rdata) for rdata in entry.proof.signatures]
            self._show(entry.proof, ttl)

    def _show(self, proof: CacheProof, ttl: int) -> None:
        """Add what proves absence, once, for who asks with DO."""
        for owner, rrtype, rdata in proof.records:
            if not any(row[0] == owner and row[1] == rrtype and row[3] == rdata for row in self.authority):
                self.authority.append((owner, rrtype, ttl, rdata))

    def add_negative(self, name: bytes, entry: CacheEntry) -> None:
        """Take a negative entry: its code, and its SOA while that is known."""
        self.use(entry)
        ttl = max(entry.expires - self.now, 0)
        passed = self.now - (entry.expires - entry.ttl)
        nxdomain = entry.kind == CACHE_NXDOMAIN and not self.state.local.exists(name.lower())
        self.rcode = NXDOMAIN if nxdomain else NOERROR
        if entry.soa is not None:
            owner, rdata, stored = entry.soa
            self.authority.append((owner, TYPE_SOA, max(stored - passed, 0), rdata))
        if self.query.do and entry.proof is not None:
            self._show(entry.proof, ttl)
        if self.rcode == NOERROR and entry.kind == CACHE_NXDOMAIN:  # what is proved is not what we say
            self.proved = False
        self.say("cached" if ttl else "cached-stale", name, negative_text(nxdomain, self.query.rrtype), entry.proof)

    def use(self, entry: CacheEntry) -> None:
        """Note that the answer rests on `entry`: how long it holds, and whether to ask again ahead of time."""
        self.aa = False
        self.entries.append(entry)
        self.proved = self.proved and entry.proof is not None and entry.proof.secure
        if entry.expires <= self.now:
            self.lasting, self.proved, self.ede = False, False, EDE_STALE
            if self.now >= entry.asked_again + REFRESH_AGAIN:
                self.refresh.append(entry)
            return
        if refresh_due(entry, self.now):
            self.refresh.append(entry)

    def _run(self, count: int) -> None:
        if count > 1:
            self.groups.append((len(self.records), count))

    def finish(self, keep: bool) -> list[bytes]:
        """Pack the answer: every rotation of it when it is to be kept, else the one."""
        count = 1
        if keep and self.groups and not self.state.config.no_round_robin:
            count = min(max(size for _, size in self.groups), WIRE_VARIANTS_MAX)
        return [self._pack(turn) for turn in range(count)]

    def _pack(self, turn: int) -> bytes:
        query, state = self.query, self.state
        writer = DnsWriter(query.wire[DNS_HEADER_SIZE : query.question_end], query.name)
        records = self.records
        if turn:
            records = list(records)
            for start, count in self.groups:
                cut = start + turn % count
                records[start : start + count] = records[cut : start + count] + records[start:cut]
        rrclass = query.rrclass if query.rrclass == CLASS_CH else CLASS_IN
        for section, rows in ((1, records), (2, self.authority), (3, self.additional)):
            for name, rrtype, ttl, rdata in rows:
                writer.add(section, name, rrtype, rrclass, ttl, rdata)
        opt = b""
        if query.udp_size:
            ede = [(EDNS_EDE, self.ede.to_bytes(2, "big"))] if self.ede >= 0 else []
            opt = edns_pack(state.udp_max, query.do, ede)
        flags = FLAG_QR | query.flags & (FLAG_RD | FLAG_CD) | self.rcode & 15
        flags |= (FLAG_AA if self.aa else 0) | (FLAG_RA if self.ra else 0)
        flags |= FLAG_AD if self.proved and self.entries and wants_verdict(query) else 0
        if writer.size() + len(opt) > reply_limit(query, self.client.tcp, state.udp_max):
            writer = DnsWriter(query.wire[DNS_HEADER_SIZE : query.question_end], query.name)
            flags |= FLAG_TC
        if opt:
            writer.add_raw(3, opt)
        return writer.finish(query.id, flags)


def reply_limit(query: DnsQuery, tcp: bool, udp_max: int) -> int:
    """Tell how many octets a reply to `query` may have (RFC 6891 s.6.2.3)."""
    if tcp:
        return DNS_MESSAGE_MAX
    return min(query.udp_size, max(udp_max, DNS_UDP_MIN)) if query.udp_size else DNS_UDP_MIN


def wants_verdict(query: DnsQuery) -> bool:
    """Tell whether the client understands AD, and does not check by itself (RFC 6840 s.5.7 and s.5.9)."""
    return (query.do or bool(query.flags & FLAG_AD)) and not query.flags & FLAG_CD


def signed_text(config: Config) -> str:
    """Give what log-queries=extra adds to a line of proved data."""
    return " (DNSSEC signed)" if "extra" in config.log_queries else ""


def negative_text(nxdomain: bool, rrtype: int) -> str:
    """Name a negative answer as the log does."""
    if nxdomain:
        return "NXDOMAIN"
    return "NODATA" + {TYPE_A: "-IPv4", TYPE_AAAA: "-IPv6"}.get(rrtype, "")


def own_soa(owner: bytes, state: DnsState) -> bytes:
    """Make the SOA of an empty answer of our own (the form of RFC 6303 s.3)."""
    ttl = state.config.local_ttl
    return rdata_soa(owner, b"\6nobody\7invalid\0", state.serial, SOA_REFRESH, SOA_RETRY, SOA_EXPIRE, ttl)


def answer_nodata(answer: DnsAnswer, owner: bytes) -> None:
    """End with an empty NOERROR of our own; it carries a SOA, so that clients can believe it (RFC 2308 s.2.2)."""
    answer.authority.append((owner, TYPE_SOA, answer.state.config.local_ttl, own_soa(owner, answer.state)))
    answer.outcome = "reply"


def answer_foreign(answer: DnsAnswer) -> bool:
    """Classes other than IN: CHAOS names, and refusals for what has no meaning here."""
    query = answer.query
    if query.rrclass == CLASS_IN:
        return False
    config = answer.state.config
    if query.rrclass == CLASS_ANY and config.dnssec:  # what would come could not be proved
        answer.lasting = False
        return answer.refuse(NOTIMP)
    if query.rrclass != CLASS_CH or config.no_ident:
        return False
    texts = _chaos_texts(answer, query.key) if query.rrtype in (TYPE_TXT, TYPE_ANY) else None
    if texts is not None:
        identity = query.key.startswith((b"\7version", b"\7authors", b"\x09copyright"))
        answer.records.append((query.name, TYPE_TXT, config.local_ttl if identity else 0, rdata_strings(texts)))
        answer.say("config", query.name, "<TXT>")
        answer.lasting, answer.outcome = False, "reply"
        return True
    if query.key.endswith((b"\4bind\0", b"\6server\0")) and dns_name_labels(query.key) <= 2:
        answer.lasting = False
        return answer.refuse(NOTIMP)
    return False


def _chaos_texts(answer: DnsAnswer, key: bytes) -> list[bytes] | None:
    if not key.endswith(b"\4bind\0"):
        return None
    state = answer.state
    forwarded = state.metrics.forwarded
    numbers: dict[bytes, Callable[[], int]] = {
        b"\x09cachesize": lambda: state.cache.size,
        b"\x0ainsertions": lambda: state.cache.inserted,
        b"\x09evictions": lambda: state.cache.evicted,
        b"\6misses": lambda: forwarded,
        b"\4hits": lambda: state.metrics.local + state.answers.hits(),
        b"\4auth": lambda: state.metrics.auth,
    }
    label = key[:-6]
    if label in numbers:
        return [b"%d" % numbers[label]()]
    if label == b"\7servers":
        servers = {(server.address, server.port): server for group in state.rules.groups for server in group.servers}
        return [f"{s.address}#{s.port} {s.queries} {s.failed}".encode() for s in servers.values()]
    return {
        b"\7version": [f"dnsmasq-{DNSMASQ_VERSION}".encode()],
        b"\7authors": [b"the pydnsmasq authors"],
        b"\x09copyright": [b"MIT licence, the pydnsmasq authors"],
    }.get(label)


def answer_loop_probe(answer: DnsAnswer) -> bool:
    """Swallow the probes of dns-loop-detect; the upstream that sends them back to us is out."""
    query = answer.query
    server = loop_probe_server(answer.state.rules, query.key) if query.rrtype == TYPE_TXT else None
    if server is None:
        return False
    if not server.looped:
        server.looped = True
        answer.state.log.warning(f"detected DNS forwarding loop. Server {server.text} is disabled")
    answer.outcome = "silence"
    return True


def loop_probe_name(server: Upstream) -> bytes:
    """Make the probe name of `server`: eight hexadecimal digits under test."""
    return b"\x08%08x\4test\0" % (hash(server.identity) & 0xFFFFFFFF)


def loop_probe_server(rules: DomainRules, key: bytes) -> Upstream | None:
    """Find the server whose probe name `key` is."""
    if len(key) != 15 or not key.endswith(b"\4test\0"):
        return None
    return next((server for server in rules.default.servers if loop_probe_name(server) == key), None)


def answer_records(answer: DnsAnswer) -> bool:
    """Answer from records of our own and from the cache, following aliases through both."""
    query, state = answer.query, answer.state
    if query.rrtype == TYPE_MAILB:
        answer.rcode, answer.outcome = NXDOMAIN, "reply"
        return True
    if query.rrclass != CLASS_IN or query.rrtype in (TYPE_AXFR, TYPE_IXFR):
        return False
    # Without RD only data of our own is shown: the cache is not for snooping.
    # Who asks with DO gets signatures: they are in the cache when they are checked here.
    known_whole = not query.do or bool(state.config.dnssec)
    use_cache = known_whole and bool(query.flags & FLAG_RD) and cacheable_query(query, state.config)
    known = state.local.may_know(query.key, query.rrtype)
    if not known and not (use_cache and state.cache.knows(query.key, query.rrtype)):
        return False
    name, alias = query.name, False
    for _ in range(DNS_CHAIN_MAX):
        key = name.lower()
        if _add_own(answer, name, key) or (use_cache and _add_known(answer, name, key)):
            answer.outcome = "reply"
            return True
        target = _next_alias(answer, name, key, use_cache)
        if target is None:
            break
        name, alias = target, True
    if alias and answer.aa:  # an alias of ours whose target is not known, or has no such data
        answer.outcome = "reply"
        return True
    answer.records.clear()
    answer.groups.clear()
    answer.entries.clear()
    answer.texts.clear()
    answer.refresh.clear()
    answer.authority.clear()
    answer.aa, answer.ede, answer.lasting, answer.proved = True, -1, True, True
    return False


def cacheable_query(query: DnsQuery, config: Config) -> bool:
    """Tell whether the answer depends on nothing but the question (no client data upstream)."""
    if not query.options and config.add_mac is None and config.add_subnet is None:
        return True
    if config.add_mac is not None or (config.add_subnet is not None and subnet_is_private_data(config)):
        return False
    if query.options:
        subnet = query.option(EDNS_SUBNET)
        return subnet is None or len(subnet) < 4 or config.strip_subnet or subnet[2] == 0
    return True


def subnet_is_private_data(config: Config) -> bool:
    """Tell whether add-subnet sends something of the client's own address."""
    rule = config.add_subnet
    return bool((rule.v4_len and rule.v4_addr is None) or (rule.v6_len and rule.v6_addr is None))


def _add_own(answer: DnsAnswer, name: bytes, key: bytes) -> bool:
    """Add local records of the type asked for; True when there are."""
    query, local, config = answer.query, answer.state.local, answer.state.config
    rrtype = query.rrtype
    records = local.find(key, rrtype)
    if rrtype == TYPE_PTR or (rrtype == TYPE_ANY and key.endswith(b"\4arpa\0")):
        return _add_pointer(answer, name, key, records)
    if not records and rrtype in (TYPE_A, TYPE_AAAA, TYPE_ANY):
        records = synth_records(local.synth, key, rrtype)
    if records and rrtype in (TYPE_A, TYPE_ANY) and config.localise_queries and len(records) > 1:
        records = _localised(answer, records)
    made = not records
    if not records and rrtype == TYPE_MX and (config.selfmx or config.localmx):
        hosts = local.find(key, TYPE_A) or local.find(key, TYPE_AAAA)
        if hosts:
            target = name if config.selfmx else config.mx_target or answer.state.hostname
            records = [LocalRecord(TYPE_MX, b"\0\1" + target, None, "config")]
    if rrtype == TYPE_ANY and any(rr.rrtype == TYPE_CNAME for rr in records):
        return False  # the alias is followed
    if not records:
        return False
    answer.add_local(name, records)
    if not made:
        _add_targets(answer, records)
    return True


def _add_targets(answer: DnsAnswer, records: Sequence[LocalRecord]) -> None:
    """Add the addresses that we have for the targets of MX and SRV records."""
    for rr in records:
        start = {TYPE_MX: 2, TYPE_SRV: 6}.get(rr.rrtype)
        if start is None:
            continue
        target = rr.rdata[start:]
        for rrtype in (TYPE_A, TYPE_AAAA):
            for found in answer.state.local.find(target.lower(), rrtype):
                ttl = local_ttl(found, answer.state.config.local_ttl, answer.now)
                answer.additional.append((target, rrtype, ttl, found.rdata))


def _localised(answer: DnsAnswer, records: list[LocalRecord]) -> list[LocalRecord]:
    """Keep the IPv4 addresses on the subnet of the address that was asked, when there are some (localise-queries)."""
    answer.lasting = False
    nets = [at for at in answer.state.interfaces if at.address == answer.client.local and len(at.address) == 4]
    near = [rr for rr in records if any(address_in(rr.rdata, at.address, at.prefix) for at in nets)]
    return near + [rr for rr in records if rr.rrtype != TYPE_A] if near else records


def _add_pointer(answer: DnsAnswer, name: bytes, key: bytes, records: list[LocalRecord]) -> bool:
    """Answer a reverse question: interface names, ptr-record, hosts and leases, synth-domain."""
    local = answer.state.local
    reverse = dns_reverse_address(key)
    address = reverse[0] if reverse is not None and reverse[1] else None
    found = local.interface_reverse.get(address) if address is not None else None
    if found is not None:
        records = [found]
    if not records and address is not None:
        found = local.find_reverse(address)
        if found is None:
            target = next(filter(None, (synth_address_name(rule, address) for rule in local.synth)), None)
            found = LocalRecord(TYPE_PTR, target, None, "config") if target is not None else None
        records = [found] if found is not None else []
    if not records:
        return False
    default = answer.state.config.local_ttl
    for rr in records:
        answer.records.append((name, rr.rrtype, local_ttl(rr, default, answer.now), rr.rdata))
        if isinstance(rr, LeaseRecord):
            answer.lasting = False
        if answer.state.log.queries:
            if found is not None and address is not None:
                answer.texts.append(f"{rr.source} {address_format(address)} is {dns_name_log(rr.rdata)}")
            else:
                answer.say(rr.source, name, f"<{rr_type_name(rr.rrtype)}>")
    return True


def _stale_window(config: Config) -> int:
    return -1 if config.use_stale_cache is None else int(config.use_stale_cache)


def _add_known(answer: DnsAnswer, name: bytes, key: bytes) -> bool:
    """Add what the cache knows of the type asked for, positive or negative."""
    rrtype = answer.query.rrtype
    if rrtype == TYPE_ANY:
        return False
    entry = answer.state.cache.get(key, rrtype, answer.now, _stale_window(answer.state.config))
    if entry is None or _lacks_proof(answer, entry):
        return False
    if rrtype in answer.state.filters and entry.kind != CACHE_NXDOMAIN:
        answer.use(entry)
        answer.ede, answer.proved = EDE_FILTERED, False
        answer_nodata(answer, name)
        answer.say("config", name, negative_text(False, rrtype))
    elif entry.kind == CACHE_DATA:
        answer.add_cached(name, entry)
    else:
        answer.add_negative(name, entry)
    return True


def _next_alias(answer: DnsAnswer, name: bytes, key: bytes, use_cache: bool) -> bytes | None:
    """Add the CNAME of `name`, ours or cached, and give its target."""
    if answer.query.rrtype == TYPE_CNAME:
        return None
    aliases = answer.state.local.find(key, TYPE_CNAME)
    if aliases:
        answer.add_local(name, aliases[:1])
        return aliases[0].rdata
    if not use_cache or answer.query.rrtype == TYPE_ANY:
        return None
    entry = answer.state.cache.get(key, TYPE_CNAME, answer.now, _stale_window(answer.state.config))
    if entry is None or entry.kind != CACHE_DATA or _lacks_proof(answer, entry):
        return None
    answer.add_cached(name, entry)
    return entry.records[0]


def _lacks_proof(answer: DnsAnswer, entry: CacheEntry) -> bool:
    """Tell whether a client with DO would miss something beside an entry."""
    return answer.query.do and entry.proof is not None and not entry.proof.whole


def answer_filters(answer: DnsAnswer) -> bool:
    """Answer empty what filterwin2k keeps from the outside, and what filter-rr would take away from a name we know."""
    query, state = answer.query, answer.state
    if query.rrclass != CLASS_IN:
        return False
    if query.rrtype in state.filters and not query.do and query.rrtype != TYPE_ANY and _known_otherwise(answer):
        answer.ede, answer.aa, answer.lasting = EDE_FILTERED, False, False
        answer_nodata(answer, query.name)
        answer.say("config", query.name, "NODATA")
        return True
    if not state.config.filterwin2k:
        return False
    if query.rrtype in (TYPE_SOA, TYPE_SRV) or (query.rrtype == TYPE_ANY and b"_" in query.key):
        answer_nodata(answer, query.name)
        answer.say("config", query.name, "NODATA")
        return True
    return False


def _known_otherwise(answer: DnsAnswer) -> bool:
    """Tell whether the cache has an address of another family for the name."""
    cache, key = answer.state.cache, answer.query.key
    entries = (cache.get(key, rrtype, answer.now) for rrtype in (TYPE_A, TYPE_AAAA))
    return any(entry is not None and entry.kind == CACHE_DATA for entry in entries)


def answer_private(answer: DnsAnswer) -> bool:
    """Answer reverse questions for private addresses with NXDOMAIN (bogus-priv)."""
    query, state = answer.query, answer.state
    if query.rrtype not in (TYPE_PTR, TYPE_ANY) or query.rrclass != CLASS_IN:
        return False
    reverse = dns_reverse_address(query.key)
    if reverse is None or not address_private(reverse[0], True):
        return False
    match = state.rules.match(query.key, query.rrtype)
    if match.local or match.group is not state.rules.default:
        return False
    answer.rcode, answer.outcome = NXDOMAIN, "reply"
    if state.log.queries:
        answer.texts.append(f"config {address_format(reverse[0])} is NXDOMAIN")
    return True


def answer_denied(answer: DnsAnswer) -> bool:
    """Answer that there is no such name, or no such data, from what was proved for other answers (RFC 8198)."""
    query, state = answer.query, answer.state
    if not state.trust.knows_ranges() or query.rrclass != CLASS_IN or query.rrtype in (TYPE_ANY, TYPE_RRSIG):
        return False
    if query.flags & FLAG_CD or not query.flags & FLAG_RD or not cacheable_query(query, state.config):
        return False
    if state.config.no_negcache or state.rules.match(query.key, query.rrtype).group is not state.rules.default:
        return False
    found = dnssec_ranges_denial(state.trust, query.key, query.rrtype, answer.now)
    if found is None:
        return False
    zone, denial = found
    proved = state.trust.zone_soa(zone, answer.now)
    if proved is None:  # forgotten meanwhile
        return False
    soa, soa_signature, soa_ttl, soa_end = proved
    ttl = max(min([soa_end, *(one.expires for one in denial.ranges)]) - answer.now, 0)
    kind = CACHE_NODATA if denial.name_exists else CACHE_NXDOMAIN
    entry = CacheEntry(query.key, query.rrtype, kind, (), ttl, answer.now)
    entry.soa = (zone, soa, min(soa_ttl, ttl))
    records = [(zone, TYPE_RRSIG, soa_signature)]
    for one in denial.ranges:
        records.append((one.owner, one.rrtype, one.rdata))
        records += [(one.owner, TYPE_RRSIG, rdata) for rdata in one.signatures]
    entry.proof = CacheProof(True, True, (), tuple(records))
    answer.add_negative(query.name, entry)
    answer.outcome, answer.lasting = "reply", False  # random names would fill the table of finished answers
    return True


def answer_rules(answer: DnsAnswer) -> bool:
    """Follow address=, local= and server= to literals, to a refusal, or upstream."""
    query, state = answer.query, answer.state
    # Literal addresses are for class IN; in another class only the servers of the domain count.
    match = state.rules.match(query.key, query.rrtype if query.rrclass == CLASS_IN else 0)
    if match.v4 or match.v6:
        _add_literals(answer, match)
        return True
    if match.local:
        known = match.literals or state.local.exists(query.key)
        _negative(answer, not known, match.domain)
        return True
    group = match.group
    if group is state.rules.default and state.config.domain_needed and _dotless_address(query):
        _negative(answer, not state.local.exists(query.key), query.name)
        answer.ede = EDE_NOT_READY if not group.usable() else -1
        return True
    assert group is not None
    if not group.usable():
        answer.lasting = False
        return answer.refuse(REFUSED, EDE_NOT_READY)
    answer.group, answer.outcome = group, "forward"
    return True


def _dotless_address(query: DnsQuery) -> bool:
    """Tell whether an address is asked for a name of one label."""
    return query.rrtype in (TYPE_A, TYPE_AAAA, TYPE_ANY) and len(query.key) > 1 and query.key[0] + 2 == len(query.key)


def _negative(answer: DnsAnswer, nxdomain: bool, owner: bytes) -> None:
    answer.outcome, answer.aa = "reply", False
    answer.say("config", answer.query.name, negative_text(nxdomain, answer.query.rrtype))
    if nxdomain:
        answer.rcode = NXDOMAIN
    else:
        answer_nodata(answer, owner or answer.query.name)


def _add_literals(answer: DnsAnswer, match: DomainMatch) -> None:
    rrtype = answer.query.rrtype
    ttl = answer.state.config.local_ttl
    for kind, addresses in ((TYPE_A, match.v4), (TYPE_AAAA, match.v6)):
        if rrtype in (kind, TYPE_ANY):
            for address in addresses:
                answer.records.append((answer.query.name, kind, ttl, address))
                answer.say("config", answer.query.name, address_format(address))
    answer.outcome = "reply"


# ==============================================================================
# 52 DNS authority
#
# Zones that are served authoritatively (auth-zone, auth-server): on interfaces
# that do nothing else, and in local mode for everybody; and DNS_ANSWERERS, the
# whole path of a query.
#
# Uses 10 12 15 20 21 22 30 40 51
# ==============================================================================


def _zone_of(answer: DnsAnswer, key: bytes) -> AuthZone | None:
    """Find the zone that `key` (lower case) lies in."""
    for zone in answer.state.config.auth_zone:
        if dns_name_under(key, zone.domain.lower()):
            return zone  # type: ignore[no-any-return]
    return None


def _zone_subnets(answer: DnsAnswer, zone: AuthZone) -> list[Network]:
    """Give the zone's subnets, those of its interfaces included."""
    subnets = list(zone.subnets)
    for name, families in zone.interfaces:
        for at in answer.state.interfaces:
            same = at.interface.startswith(name[:-1]) if name.endswith("*") else at.interface == name
            if same and families in (0, 4 if len(at.address) == 4 else 6):
                subnets.append(Network(at.address, at.prefix))
    return subnets


def _zone_admits(answer: DnsAnswer, zone: AuthZone, address: bytes) -> bool:
    """Tell whether an address may be shown in `zone`: inside its subnets, outside its excludes."""
    if any(address_in(address, net.address, net.prefix) for net in zone.excludes):
        return False
    subnets = _zone_subnets(answer, zone)
    return not (zone.subnets or zone.interfaces) or any(address_in(address, net.address, net.prefix) for net in subnets)


def _zone_records(answer: DnsAnswer, zone: AuthZone, key: bytes, rrtype: int, outside: bool) -> list[LocalRecord]:
    """Find what the zone has for a name and type; for the outside addresses are filtered by subnet."""
    local = answer.state.local
    records = local.find(key, rrtype)
    if not records and rrtype in (TYPE_A, TYPE_AAAA, TYPE_ANY):
        records = synth_records(local.synth, key, rrtype)
    if not outside:
        return records
    return [rr for rr in records if rr.rrtype not in (TYPE_A, TYPE_AAAA) or _zone_admits(answer, zone, rr.rdata)]


def _zone_alias(answer: DnsAnswer, zone: AuthZone, key: bytes) -> bytes | None:
    """Find the target of a cname in the zone, wildcards included; a target without a dot is in the zone."""
    local = answer.state.local
    found = local.find(key, TYPE_CNAME)
    if not found and not local.exists(key) and key[0]:
        found = local.find(b"\1*" + key[1 + key[0] :], TYPE_CNAME)
    if not found:
        return None
    target = found[0].rdata
    return target if dns_name_labels(target) > 1 else target[:-1] + zone.domain


def _zone_soa(answer: DnsAnswer, zone: AuthZone) -> bytes:
    config = answer.state.config
    server = config.auth_server.name if config.auth_server is not None else zone.domain
    soa = config.auth_soa
    serial = (soa.serial if soa is not None and soa.serial else answer.state.serial) + answer.state.changes
    master = soa.hostmaster if soa is not None and soa.hostmaster else b"\x0ahostmaster" + server
    refresh = soa.refresh if soa is not None and soa.refresh is not None else SOA_REFRESH
    retry = soa.retry if soa is not None and soa.retry is not None else SOA_RETRY
    expiry = soa.expiry if soa is not None and soa.expiry is not None else SOA_EXPIRE
    return rdata_soa(server, master, serial, refresh, retry, expiry, config.auth_ttl)


def _zone_servers(answer: DnsAnswer, reverse: bool) -> list[bytes]:
    """Name the zone's servers: ourselves when there are interfaces, then the secondaries (not for reverse zones)."""
    config = answer.state.config
    rule = config.auth_server
    own = [rule.name] if rule is not None and (rule.interfaces or rule.addresses) else []
    return own + ([] if reverse else list(config.auth_sec_servers))


def _answer_authority(answer: DnsAnswer) -> bool:
    """Answer from auth-zone: everything on an authoritative interface, names of the zones elsewhere."""
    query, config = answer.query, answer.state.config
    outside = answer.client.auth
    if not outside and (not config.auth_zone or config.localise_queries or query.rrclass != CLASS_IN):
        return False
    if outside:
        answer.ra, answer.lasting = False, False
        if query.rrclass != CLASS_IN or not query.key.endswith(b"\4arpa\0") or not _authority_reverse(answer):
            zone = _zone_of(answer, query.key) if query.rrclass == CLASS_IN else None
            if zone is None:
                return answer.refuse(REFUSED, EDE_NOT_AUTHORITATIVE, "reply")
            _authority_name(answer, zone, outside)
        return True
    zone = _zone_of(answer, query.key)
    if zone is None or (query.rrtype == TYPE_DS and query.key == zone.domain.lower()):
        return False
    _authority_name(answer, zone, outside)
    return True


def _reverse_zone(net: Network) -> bytes:
    """Name the reverse zone of a subnet, at the octet or nibble boundary above it."""
    name = dns_reverse_name(net.address)
    if len(net.address) == 4:
        for _ in range(4 - net.prefix // 8):
            name = name[1 + name[0] :]
        return name
    return name[2 * (32 - net.prefix // 4) :]


def _authority_reverse(answer: DnsAnswer) -> bool:
    """Answer below the reverse zones of the zones' subnets; False outside of them."""
    query, local = answer.query, answer.state.local
    for zone in answer.state.config.auth_zone:
        for net in _zone_subnets(answer, zone):
            origin = _reverse_zone(net)
            if not dns_name_under(query.key, origin):
                continue
            reverse = dns_reverse_address(query.key)
            found = None
            if (
                query.rrtype == TYPE_PTR
                and reverse is not None
                and reverse[1]
                and _zone_admits(answer, zone, reverse[0])
            ):
                found = _zone_pointer(local, zone, reverse[0])
            if found is not None:
                _authority_add(answer, query.name, [found])
            elif query.key == origin:
                _authority_apex(answer, zone, query.name, reverse=True)
            else:
                answer.rcode = NXDOMAIN
            _authority_close(answer, zone, origin, reverse=True)
            return True
    return False


def _zone_pointer(local: LocalData, zone: AuthZone, address: bytes) -> LocalRecord | None:
    """Find the PTR of an address whose name is in `zone`."""
    made = next(filter(None, (synth_address_name(rule, address) for rule in local.synth)), None)
    for found in (
        local.interface_reverse.get(address),
        local.find_reverse(address),
        LocalRecord(TYPE_PTR, made, None, "config") if made is not None else None,
    ):
        if found is not None and dns_name_under(found.rdata.lower(), zone.domain.lower()):
            return found
    return None


def _authority_name(answer: DnsAnswer, zone: AuthZone, outside: bool) -> None:
    """Answer for a name in `zone`, following its aliases inside the zone."""
    query = answer.query
    name, key = query.name, query.key
    for _ in range(DNS_CHAIN_MAX):
        if key == zone.domain.lower():
            _authority_apex(answer, zone, name)
        records = _zone_records(answer, zone, key, query.rrtype, outside) if query.rrtype != TYPE_CNAME else []
        if records:
            _authority_add(answer, name, records)
            break
        target = _zone_alias(answer, zone, key)
        if target is not None:
            _authority_add(answer, name, [LocalRecord(TYPE_CNAME, target, None, "config")])
        if target is None or query.rrtype == TYPE_CNAME or not dns_name_under(target.lower(), zone.domain.lower()):
            break
        name, key = target, target.lower()
    if not answer.records and key != zone.domain.lower() and not answer.state.local.exists(key):
        answer.rcode = NXDOMAIN
    if outside:
        _authority_close(answer, zone, zone.domain)
        return
    answer.outcome = "reply"
    answer.aa = key == zone.domain.lower() and query.rrtype in (TYPE_SOA, TYPE_NS)
    if not answer.records:
        answer.say("auth", query.name, negative_text(answer.rcode == NXDOMAIN, query.rrtype))


def _authority_apex(answer: DnsAnswer, zone: AuthZone, name: bytes, reverse: bool = False) -> None:
    ttl, rrtype = answer.state.config.auth_ttl, answer.query.rrtype
    if rrtype in (TYPE_SOA, TYPE_ANY, TYPE_AXFR):
        answer.records.append((name, TYPE_SOA, ttl, _zone_soa(answer, zone)))
        answer.say("auth", name, "<SOA>")
    if rrtype in (TYPE_NS, TYPE_ANY, TYPE_AXFR):
        for server in _zone_servers(answer, reverse):
            answer.records.append((name, TYPE_NS, ttl, server))
            answer.say("auth", name, "<NS>")


def _authority_add(answer: DnsAnswer, name: bytes, records: Sequence[LocalRecord]) -> None:
    ttl = answer.state.config.auth_ttl
    for rr in records:
        answer.records.append((name, rr.rrtype, ttl, rr.rdata))
        for text in rdata_log(rr.rdata, rr.rrtype):
            answer.say("auth", name, text)


def _authority_close(answer: DnsAnswer, zone: AuthZone, origin: bytes, reverse: bool = False) -> None:
    """Finish an authoritative answer: SOA of `origin` below a negative one, NS below a positive one."""
    answer.outcome = "reply"
    ttl = answer.state.config.auth_ttl
    if not answer.records:
        answer.say("auth", answer.query.name, negative_text(answer.rcode == NXDOMAIN, answer.query.rrtype))
        answer.authority.append((origin, TYPE_SOA, ttl, _zone_soa(answer, zone)))
    elif answer.query.rrtype not in (TYPE_NS, TYPE_ANY, TYPE_AXFR):
        for server in _zone_servers(answer, reverse):
            answer.authority.append((origin, TYPE_NS, ttl, server))


def _answer_transfer(answer: DnsAnswer) -> bool:
    """Give a whole zone in one message to a secondary (AXFR by TCP), or ignore the request."""
    query, config = answer.query, answer.state.config
    zone = _zone_of(answer, query.key) if query.rrtype == TYPE_AXFR and answer.client.auth else None
    if zone is None or query.key != zone.domain.lower():
        return False
    peers = {str(peer) for peer in config.auth_peer}
    if (
        (peers and answer.client.address not in peers)
        or not (peers or config.auth_sec_servers)
        or not answer.client.tcp
    ):
        answer.state.log.complain(
            ("axfr", answer.client.address), f"ignoring zone transfer request from {answer.client.address}"
        )
        answer.outcome = "silence"
        return True
    answer.ra, answer.lasting, answer.outcome = False, False, "reply"
    _authority_apex(answer, zone, zone.domain)
    local = answer.state.local
    for key in dict.fromkeys([*local.names, *local.interface_names, *local.lease_names]):
        if dns_name_under(key, zone.domain.lower()):
            records = _zone_records(answer, zone, key, TYPE_ANY, True)
            _authority_add(answer, key, [rr for rr in records if rr.rrtype != TYPE_CNAME])
            alias = _zone_alias(answer, zone, key)
            if alias is not None:
                _authority_add(answer, key, [LocalRecord(TYPE_CNAME, alias, None, "config")])
    answer.records.append((zone.domain, TYPE_SOA, config.auth_ttl, _zone_soa(answer, zone)))
    return True


def _answer_unlisted(answer: DnsAnswer) -> bool:
    """Refuse names that the mark of the client's connection does not allow (connmark-allowlist)."""
    client, state = answer.client, answer.state
    answer.lasting = False  # another connection may have another mark
    mark = answer.mark()
    if mark < 0:  # perhaps it is one that may not ask for this
        return answer.refuse(SERVFAIL)
    client.marked = mark & state.config.connmark_allowlist_enable
    if not client.marked or allowlist_admits(state.allowlist, client.marked, answer.query.key):
        return False
    return answer.refuse(REFUSED, EDE_BLOCKED)


def allowlist_admits(rules: dict[tuple[int, int], tuple[str, ...]], mark: int, name: bytes) -> bool:
    """Tell whether a connection with `mark` may ask for `name` (lower case wire form)."""
    labels = dns_name_format(name).split(".")
    host = all(map(_NAME_LABEL.fullmatch, labels))
    for (wanted, mask), patterns in rules.items():
        if mark & mask != wanted:
            continue
        if "*" in patterns or (host and any(_pattern_fits(pattern.lower(), labels) for pattern in patterns)):
            return True
    return False


_NAME_LABEL = Pattern(r"(?!-)[a-z0-9-]{1,63}(?<!-)")


def _pattern_fits(pattern: str, labels: Sequence[str]) -> bool:
    """Tell whether each label of a name fits its label of a pattern, where `*` stands for any characters."""
    theirs = pattern.split(".")
    return len(theirs) == len(labels) and all(map(_label_fits, theirs, labels))


def _label_fits(pattern: str, label: str) -> bool:
    first, *rest = pattern.split("*")
    if not rest:
        return pattern == label
    *middle, last = rest
    if len(first) + len(last) > len(label) or not (label.startswith(first) and label.endswith(last)):
        return False
    return all(part in label[len(first) : len(label) - len(last)] for part in middle)  # one at most


# The path of a query: each answerer, and the options one of which must be given for it to have work.
DNS_ANSWERERS: tuple[tuple[Callable[[DnsAnswer], bool], str], ...] = (
    (_answer_unlisted, "connmark_allowlist_enable"),
    (_answer_transfer, "auth_zone auth_server"),
    (_answer_authority, "auth_zone auth_server"),
    (answer_loop_probe, "dns_loop_detect"),
    (answer_foreign, ""),
    (answer_records, ""),
    (answer_filters, "filterwin2k filter_rr filter_A filter_AAAA"),
    (answer_private, "bogus_priv"),
    (answer_denied, "dnssec"),
    (answer_rules, ""),
)


def dns_answer(query: DnsQuery, client: DnsClient, state: DnsState, now: float) -> DnsAnswer:
    """Decide on `query`: the result's `outcome` is "reply", "silence" or "forward"."""
    if not state.answerers:
        state.answerers = dns_path(DNS_ANSWERERS, state.config)
    answer = DnsAnswer(query, client, state, now)
    for answerer in state.answerers:
        if answerer(answer):
            break
    return answer


# ==============================================================================
# 53 DNS replies
#
# The question as it goes upstream, and what is done with the reply before any
# client sees it: DNS_REVIEWERS is the path, in order.
#
# Uses 10 15 20 21 22 29 30 40 41 42 50 51
# ==============================================================================


def forward_query(query: DnsQuery, config: Config, options: Sequence[tuple[int, bytes]] = ()) -> bytes:
    """Make the message for the upstreams, without its id: the client's flags and question, and EDNS of our own.

    `options` are EDNS options that were decided for this client.  A signed query
    goes as it is (RFC 8945 s.5.5).
    """
    if query.signed:
        return query.wire[2:]
    question = query.wire[DNS_HEADER_SIZE : query.question_end]
    flags = query.flags & (FLAG_RD | FLAG_AD | FLAG_CD) | (FLAG_CD if config.dnssec_debug and config.dnssec else 0)
    if options or query.do or config.dnssec:
        opt = edns_pack(config.edns_packet_max, query.do or bool(config.dnssec), options)
    else:
        opt = b"\0\0\x29" + config.edns_packet_max.to_bytes(2, "big") + b"\0\0\0\0\0\0"
    return flags.to_bytes(2, "big") + b"\0\1\0\0\0\0\0\1" + question + opt


def own_query(question: bytes) -> DnsQuery:
    """Make a query of our own from a raw question (name, type, class)."""
    return dns_query_unpack(b"\0\0" + struct.pack("!5H", FLAG_RD, 1, 0, 0, 0) + question)


def dnssec_provable(message: DnsMessage, query: DnsQuery, config: Config) -> bool:
    """Tell whether a reply is to be proved: not what the client checks itself, nor what says nothing."""
    return (
        bool(config.dnssec)
        and query.rrclass == CLASS_IN
        and not query.flags & FLAG_CD
        and not query.signed
        and not message.flags & FLAG_TC
        and message.rcode in (NOERROR, NXDOMAIN)
    )


def reply_fits(query: DnsQuery, wire: bytes) -> bool:
    """Tell whether a reply by TCP repeats the question."""
    question = wire[DNS_HEADER_SIZE : query.question_end]
    ours = query.wire[query.question_end - 4 : query.question_end]
    return (
        len(wire) > DNS_HEADER_SIZE
        and bool(wire[2] & 0x80)
        and question[:-4].lower() == query.key
        and question[-4:] == ours
    )


def malformed_message(query: DnsQuery) -> DnsMessage:
    """Make the empty SERVFAIL, with an extended error, that stands for a reply which does not parse."""
    question = query.wire[DNS_HEADER_SIZE : query.question_end]
    message = DnsMessage(
        query.id + struct.pack("!5H", FLAG_QR | FLAG_RA | SERVFAIL, 1, 0, 0, 0) + question, FLAG_QR | SERVFAIL
    )
    message.question_end = message.end = len(message.wire)
    message.opt = DnsRecord(DNS_ROOT, TYPE_OPT, 0, struct.pack("!3H", EDNS_EDE, 2, EDE_OTHER))
    message.opt.start = message.opt.end = message.end
    return message


def forward_options(query: DnsQuery, client: DnsClient, config: Config) -> list[tuple[int, bytes]]:
    """Choose the EDNS options to send upstream: the client's, less what is stripped, plus what is added.

    Cookies are for one hop (RFC 7873) and stay here.
    """
    if not query.options and config.add_mac is None and config.add_subnet is None and config.add_cpe_id is None:
        return []
    strip = {EDNS_COOKIE}
    if config.strip_mac:
        strip |= {EDNS_MAC, EDNS_MAC_TEXT}
    if config.strip_subnet:
        strip.add(EDNS_SUBNET)
    options = [option for option in query.options if option[0] not in strip]
    present = {code for code, _ in options}
    if config.add_mac is not None:
        added = _mac_option(client.mac() if client.mac is not None else b"", config.add_mac)
        if added is not None and added[0] not in present:
            options.append(added)
    if config.add_cpe_id is not None:
        options = [option for option in options if option[0] != EDNS_CPE_ID]
        options.append((EDNS_CPE_ID, config.add_cpe_id.encode()))
    if config.add_subnet is not None and EDNS_SUBNET not in present:
        options.append((EDNS_SUBNET, _subnet_option(address_parse(client.address) or b"\0" * 4, config.add_subnet)))
    return options


def _mac_option(mac: bytes, form: str) -> tuple[int, bytes] | None:
    if not mac:
        return None
    if form == "raw":
        return EDNS_MAC, mac
    if len(mac) != 6:
        return None
    text = ":".join(f"{octet:02x}" for octet in mac).encode()
    return EDNS_MAC_TEXT, text if form == "text" else binascii.b2a_base64(mac, newline=False)


def _subnet_option(address: bytes, rule: AddSubnet) -> bytes:
    length, fixed = (rule.v4_len, rule.v4_addr) if len(address) == 4 else (rule.v6_len, rule.v6_addr)
    if fixed is not None:
        address = fixed
    bits = len(address) * 8
    value = int.from_bytes(address, "big") >> (bits - length) << (bits - length)
    kept = value.to_bytes(len(address), "big")[: (length + 7) // 8]
    return struct.pack("!HBB", 1 if len(address) == 4 else 2, length, 0) + kept


def reply_failed(reply: DnsReply) -> bool:
    """Tell whether log-queries=only_failed wants to see this reply."""
    return reply.flags & 15 != NOERROR or not reply.message.answers


class DnsReply:
    """A reply under review.

    Reviewers read `message`, may change its sections (then `rebuild`), set
    `ede`, or end it with `drop` (as if it had not come).  `texts` are lines for
    the query log.
    """

    __slots__ = (
        "message",
        "query",
        "state",
        "now",
        "server",
        "sent",
        "drop",
        "rebuild",
        "ede",
        "aa",
        "flags",
        "texts",
        "cacheable",
        "verdict",
        "altered",
        "elements",
        "replaced",
    )

    def __init__(
        self,
        message: DnsMessage,
        query: DnsQuery,
        state: DnsState,
        now: float,
        server: Upstream,
        sent: Sequence[tuple[int, bytes]],
        verdict: DnssecVerdict | None,
    ) -> None:
        self.message = message
        self.query = query
        self.state = state
        self.now = int(now)
        self.server = server
        self.sent = sent
        self.drop = False
        self.rebuild = False
        self.ede = -1
        self.aa = False
        self.flags = message.flags
        self.texts: list[str] = []
        self.verdict = verdict
        self.altered = False  # it says what we want, not what was proved
        self.replaced: dict[int, bytes] = {}  # what listeners want in the place of addresses, by place in the answer
        # For sets of the kernel, before anybody sees the reply: set, addresses, what is around one in the query log.
        self.elements: list[tuple[str | NftSet, list[bytes], tuple[str, str]]] = []
        self.cacheable = (
            query.rrclass == CLASS_IN
            and not query.flags & FLAG_CD
            and not query.signed
            and (verdict is not None if state.config.dnssec else not query.do)
            and not message.flags & FLAG_TC
            and (bool(message.flags & FLAG_RA) or bool(message.answers))
            and cacheable_query(query, state.config)
        )

    @property
    def secure(self) -> bool:
        """Whether what it says was proved."""
        return self.verdict is not None and self.verdict.status == DNSSEC_SECURE and not self.altered

    def records(self) -> list[tuple[bytes, int, int, bytes]]:
        """Give the answer's records: name, type, TTL, data."""
        return [(rr.name, rr.rrtype, rr.ttl, rr.rdata) for rr in self.message.answers]

    def empty(self, rcode: int, ede: int) -> None:
        """Throw all records away and answer `rcode`."""
        self.message.clear()
        self.flags = self.flags & ~(15 | FLAG_AD) | rcode
        self.rebuild, self.altered, self.ede = True, True, ede
        if rcode == NOERROR:
            self.explain()

    def wants(self, rr: DnsRecord) -> bool:
        """Tell whether a record says something without DNSSEC, or was asked for."""
        return rr.rrtype not in DNSSEC_TYPES or rr.rrtype == self.query.rrtype

    def explain(self) -> None:
        """Put a SOA of our own below an answer that we have emptied, so that clients can believe it."""
        name, ttl = self.query.name, self.state.config.local_ttl
        self.message.authority = [DnsRecord(name, TYPE_SOA, ttl, own_soa(name, self.state))]

    def say(self, name: bytes, value: str, source: str = "reply") -> None:
        """Note a line for the query log."""
        if self.state.log.queries:
            signed = signed_text(self.state.config) if self.secure and source == "reply" else ""
            self.texts.append(f"{source} {dns_name_log(name)} is {value}{signed}")

    def pack(self, query: DnsQuery, tcp: bool) -> bytes:
        """Make the message for the client that asked `query`; a signed one goes through as it is."""
        message = self.message
        if query.signed:
            return query.id + message.wire[2:]
        flags = self.flags & 15 | FLAG_QR | query.flags & (FLAG_RD | FLAG_CD) | FLAG_RA
        flags |= self.flags & (FLAG_TC | FLAG_AA) | (FLAG_AA if self.aa else 0)
        if self.state.config.proxy_dnssec:
            flags |= self.flags & FLAG_AD
        if self.secure and wants_verdict(query):
            flags |= FLAG_AD
        opt = self._opt(query)
        question = query.wire[DNS_HEADER_SIZE : query.question_end]
        straight = not self.rebuild and (message.opt is None or message.opt.end == message.end)
        if straight:
            body = message.wire[message.question_end : message.opt.start if message.opt is not None else message.end]
            counts = (1, len(message.answers), len(message.authority), len(message.additional) + (1 if opt else 0))
            wire = query.id + struct.pack("!5H", flags, *counts) + question + body + opt
        else:
            wire = self._rebuilt(query, flags, question, opt)
        if len(wire) > reply_limit(query, tcp, self.state.udp_max):
            counts = (1, 0, 0, 1 if opt else 0)
            wire = query.id + struct.pack("!5H", flags | FLAG_TC, *counts) + question + opt
        return wire

    def _rebuilt(self, query: DnsQuery, flags: int, question: bytes, opt: bytes) -> bytes:
        message = self.message
        writer = DnsWriter(question, query.name)
        for number, section in enumerate((message.answers, message.authority, message.additional), 1):
            for rr in section:
                writer.add(number, rr.name, rr.rrtype, rr.rrclass, rr.ttl, rr.rdata)
        if opt:
            writer.add_raw(3, opt)
        return writer.finish(query.id, flags)

    def _opt(self, query: DnsQuery) -> bytes:
        if not query.udp_size:
            return b""
        theirs = self.message.opt
        options: list[tuple[int, bytes]] = []
        if theirs is not None:
            options = [option for option in edns_options_unpack(theirs.rdata) if option[0] != EDNS_COOKIE]
        if self.ede >= 0 and (theirs is not None or self.verdict is not None):
            options.append((EDNS_EDE, self.ede.to_bytes(2, "big")))
        high = theirs.ttl >> 24 if theirs is not None and self.verdict is None else 0
        do = bool(theirs.ttl & EDNS_DO) if theirs is not None and not self.state.config.dnssec else query.do
        return edns_pack(self.state.udp_max, do, options, high)


def _review_subnet(reply: DnsReply) -> None:
    """Drop a reply whose client-subnet is not the one that was sent (RFC 7871 s.7.3)."""
    opt = reply.message.opt
    if opt is None:
        return
    theirs = next((data for code, data in edns_options_unpack(opt.rdata) if code == EDNS_SUBNET), None)
    if theirs is None or len(theirs) < 4:
        return
    ours = next((data for code, data in reply.sent if code == EDNS_SUBNET), None)
    if ours is not None and (theirs[:3] != ours[:3] or theirs[4:] != ours[4:]):
        reply.drop = True


def _review_proof(reply: DnsReply) -> None:
    """Follow the verdict of DNSSEC, and take what only DNSSEC needs away from who did not ask for it."""
    verdict, message, query = reply.verdict, reply.message, reply.query
    if message.flags & FLAG_TC and query.rrclass == CLASS_IN and not query.flags & FLAG_CD and not query.signed:
        reply.texts.append(f"validation result is {DNSSEC_TRUNCATED}")
        message.clear()
        reply.rebuild, reply.cacheable = True, False
        return
    if verdict is not None:
        _follow_verdict(reply, verdict)
    elif message.rcode > 15 and not query.flags & FLAG_CD:  # neither proved nor a plain failure
        message.opt = None
        reply.empty(SERVFAIL, EDE_OTHER)
    if not query.do:
        for section in ("answers", "authority", "additional"):
            reply.rebuild |= message.keep(section, reply.wants)


def _follow_verdict(reply: DnsReply, verdict: DnssecVerdict) -> None:
    state, query = reply.state, reply.query
    # A proved answer is packed anew: its names might point into the header, which is not the same for the client.
    reply.rebuild = reply.rebuild or reply.secure or verdict.rewritten
    for note in verdict.notes:
        state.log.complain(("dnssec", note), note)
    if verdict.status in (DNSSEC_SECURE, DNSSEC_INSECURE):
        # Of a question for signatures nothing was proved; and the anchors may have changed meanwhile.
        if query.rrtype in (TYPE_RRSIG, TYPE_SIG) or verdict.generation not in (-1, state.trust.generation):
            reply.cacheable = False
        if state.log.queries:
            reply.texts.append(f"validation result is {verdict.status}")
        if verdict.soa is not None and reply.cacheable and verdict.ranges:
            zone, rdata, signature, ttl = verdict.soa
            state.trust.add_ranges(zone, (rdata, signature, ttl, reply.now + ttl), verdict.ranges)
        return
    if state.log.queries:
        why = f" (EDE: {EDE_TEXTS[verdict.ede]})" if verdict.ede > 0 and "extra" in state.config.log_queries else ""
        reply.texts.append(f"validation {dns_name_log(query.name)} is {verdict.status}{why}")
    reply.cacheable = False
    if state.config.dnssec_debug:
        reply.ede = verdict.ede
    else:
        reply.empty(SERVFAIL, verdict.ede)


def _review_recursion(reply: DnsReply) -> None:
    """Complain of a server that will not recurse for us."""
    flags, message = reply.flags, reply.message
    if not flags & FLAG_RA and flags & 15 == NOERROR and not message.answers and reply.query.flags & FLAG_RD:
        reply.state.log.complain(
            ("recursion", reply.server.text), f"nameserver {reply.server.text} refused to do a recursive query"
        )


def _review_addresses(reply: DnsReply) -> None:
    """Apply ignore-address and bogus-nxdomain."""
    config = reply.state.config
    if reply.message.rcode != NOERROR:
        return
    for rr in reply.message.answers:
        if rr.rrtype not in (TYPE_A, TYPE_AAAA) or rr.rrclass != CLASS_IN:
            continue
        if any(address_in(rr.rdata, net.address, net.prefix) for net in config.ignore_address):
            reply.drop = True
            return
        if any(address_in(rr.rdata, net.address, net.prefix) for net in config.bogus_nxdomain):
            _bogus(reply, rr)
            return


def _bogus(reply: DnsReply, rr: DnsRecord) -> None:
    name = reply.query.key
    reply.empty(NXDOMAIN, EDE_BLOCKED)
    if reply.cacheable and rr.ttl:
        ttl = cache_ttl(rr.ttl, reply.state.config)
        reply.state.cache.put([CacheEntry(name, reply.query.rrtype, CACHE_NXDOMAIN, (), ttl, reply.now)], reply.now)
    reply.cacheable = False
    reply.say(name, "NXDOMAIN", "config")


def _review_alias(reply: DnsReply) -> None:
    """Translate addresses as `alias` says."""
    rules = reply.state.config.alias
    for rr in reply.message.answers + reply.message.additional:
        if rr.rrtype != TYPE_A or rr.rrclass != CLASS_IN or len(rr.rdata) != 4:
            continue
        value = int.from_bytes(rr.rdata, "big")
        for rule in reversed(rules):
            if rule.first <= value <= rule.last:
                translated = (
                    rule.new & rule.mask | value & ~rule.mask
                    if rule.first == rule.last or rule.mask != 0xFFFFFFFF
                    else rule.new
                )
                rr.rdata = (translated & 0xFFFFFFFF).to_bytes(4, "big")
                reply.rebuild = reply.altered = True
                reply.flags &= ~FLAG_AA
                break


def _review_rebind(reply: DnsReply) -> None:
    """Empty a reply that maps a name to a private address (stop-dns-rebind)."""
    config, query = reply.state.config, reply.query
    if query.rrtype not in (TYPE_A, TYPE_AAAA):
        return
    if any(_rebind_exempt(query.key, domain) for domain in config.rebind_domain_ok):
        return
    for rr in reply.message.answers:
        if (
            rr.rrtype == query.rrtype
            and rr.rrclass == CLASS_IN
            and address_private(rr.rdata, not config.rebind_localhost_ok)
        ):
            owner = rr.name.lower()
            reply.state.log.complain(("rebind", owner), f"possible DNS-rebind attack detected: {dns_name_log(owner)}")
            _chain(reply)  # for the log
            reply.empty(NOERROR, EDE_BLOCKED)
            reply.cacheable = False
            return


def _rebind_exempt(key: bytes, domain: bytes) -> bool:
    if domain == b"":
        return len(key) > 1 and key[0] + 2 == len(key)
    return dns_name_under(key, domain.lower())


def _review_existence(reply: DnsReply) -> None:
    """Turn NXDOMAIN for a name that we know, or that is above one, into an empty answer."""
    if reply.flags & 15 != NXDOMAIN:
        return
    key, state = reply.query.key, reply.state
    if state.local.exists(key) or state.rules.match(key, TYPE_ANY).literals:
        reply.flags = reply.flags & ~15
        reply.aa = reply.altered = True


def cache_ttl(ttl: int, config: Config) -> int:
    """Bound a TTL for the cache: max-ttl, max-cache-ttl, then min-cache-ttl."""
    for limit in (config.max_ttl, config.max_cache_ttl):
        if limit:
            ttl = min(ttl, limit)
    return max(ttl, int(config.min_cache_ttl))


_ALWAYS_CACHED = frozenset((TYPE_A, TYPE_AAAA, TYPE_PTR, TYPE_SRV))


def _review_remember(reply: DnsReply) -> None:
    """Log the reply, and keep what may be kept: the alias chain from the question, its end, nothing else."""
    message, query, config = reply.message, reply.query, reply.state.config
    rcode = reply.flags & 15
    if reply.ede == EDE_BLOCKED or (rcode == SERVFAIL and reply.verdict is not None):
        return
    if rcode not in (NOERROR, NXDOMAIN):
        if reply.state.log.queries:
            reply.texts.append(f"reply error is {RCODE_TEXTS.get(rcode, str(rcode))}")
        return
    if reply.flags & FLAG_TC and reply.state.log.queries:
        reply.texts.append("reply is truncated")
        if not message.answers:
            return
    if query.rrclass != CLASS_IN:
        return
    answers = message.answers
    if query.do and reply.verdict is not None:
        answers = [rr for rr in answers if reply.wants(rr)]
    found = [rr for rr in answers if rr.rrtype == query.rrtype and rr.rrclass == CLASS_IN]
    entries: list[CacheEntry]
    if len(found) == len(answers) and query.rrtype not in (TYPE_CNAME, TYPE_ANY):  # no alias among them
        entries, end = [], query.key
    else:
        entries, end = _chain(reply)
    found = [rr for rr in found if rr.name.lower() == end]
    if found and query.rrtype not in (TYPE_CNAME, TYPE_ANY):
        _log_records(reply, end, found)
        kept = query.rrtype in _ALWAYS_CACHED or query.rrtype in config.cache_rr or TYPE_ANY in config.cache_rr
        if kept:
            ttl = found[0].ttl if len(found) == 1 else min(rr.ttl for rr in found)
            rdatas = tuple(dict.fromkeys([rr.rdata for rr in found]))
            entries.append(CacheEntry(end, query.rrtype, CACHE_DATA, rdatas, cache_ttl(ttl, config), reply.now))
            _keep(reply, entries)
    elif not found and query.rrtype not in (TYPE_ANY, TYPE_CNAME):
        _negative_reply(reply, entries, end, rcode == NXDOMAIN)


def _chain(reply: DnsReply) -> tuple[list[CacheEntry], bytes]:
    """Follow the CNAMEs of the answer from the question: cache entries for them, and the name at the end."""
    entries: list[CacheEntry] = []
    query, config = reply.query, reply.state.config
    end = query.key
    if query.rrtype in (TYPE_CNAME, TYPE_ANY):
        for rr in reply.message.answers:
            reply.say(rr.name.lower(), f"<{rr_type_name(rr.rrtype)}>")
        return entries, end
    aliases = {
        rr.name.lower(): rr for rr in reply.message.answers if rr.rrtype == TYPE_CNAME and rr.rrclass == CLASS_IN
    }
    while len(entries) <= DNS_CNAMES_MAX:
        alias = aliases.pop(end, None)
        if alias is None:
            break
        reply.say(end, "<CNAME>")
        entries.append(CacheEntry(end, TYPE_CNAME, CACHE_DATA, (alias.rdata,), cache_ttl(alias.ttl, config), reply.now))
        end = alias.rdata.lower()
    if len(entries) > DNS_CNAMES_MAX:
        reply.cacheable = False
    return entries, end


def _log_records(reply: DnsReply, name: bytes, records: Sequence[DnsRecord]) -> None:
    if not reply.state.log.queries:
        return
    for rr in records:
        if rr.rrtype == TYPE_PTR and (reverse := dns_reverse_address(name)) is not None and reverse[1]:
            reply.texts.append(f"reply {address_format(reverse[0])} is {dns_name_log(rr.rdata)}")
            continue
        for text in rdata_log(rr.rdata, rr.rrtype):
            reply.say(name, text)


def _negative_reply(reply: DnsReply, entries: list[CacheEntry], end: bytes, nxdomain: bool) -> None:
    config, query = reply.state.config, reply.query
    reply.say(end, negative_text(nxdomain, query.rrtype))
    soa = next(
        (
            rr
            for rr in reply.message.authority
            if rr.rrtype == TYPE_SOA and dns_name_under(end, rr.name.lower()) and soa_negative_ttl(rr) is not None
        ),
        None,
    )
    if config.no_negcache or (soa is None and not config.neg_ttl):
        return
    if reply.verdict is not None and reply.verdict.end != end:  # only what was proved
        return
    if nxdomain and query.rrtype == TYPE_DS:  # the parent's word; the domain may have servers of its own here
        return
    ttl = config.neg_ttl if soa is None else soa_negative_ttl(soa) or 0
    entry = CacheEntry(
        end, query.rrtype, CACHE_NXDOMAIN if nxdomain else CACHE_NODATA, (), cache_ttl(ttl, config), reply.now
    )
    if soa is not None:
        entry.soa = (soa.name, soa.rdata, cache_ttl(soa.ttl, config))
    entries.append(entry)
    _keep(reply, entries)


def _keep(reply: DnsReply, entries: list[CacheEntry]) -> None:
    """Put all entries into the cache, or none: not beside data of our own, not without time to live."""
    if not reply.cacheable:
        return
    state = reply.state
    for entry in entries:
        if reply.verdict is not None and not reply.altered:
            entry.proof = _entry_proof(reply.verdict, entry)
        if not entry.ttl and state.config.use_stale_cache is None:
            return
        if entry.kind == CACHE_DATA and state.local.has_data(entry.name, entry.rrtype):
            return
    state.cache.put(entries, reply.now)


def _entry_proof(verdict: DnssecVerdict, entry: CacheEntry) -> CacheProof | None:
    """Choose what of the proof of a reply goes with an entry; None where there is nothing, in unsigned zones."""
    if entry.kind == CACHE_DATA:
        status, good, zone, signed = verdict.sets.get((entry.name, entry.rrtype), ("", b"", b"", False))
        if not good:  # an alias by DNAME, or signatures that prove nothing: a client with DO is sent on
            return CacheProof(status == DNSSEC_SECURE, False) if signed or status == DNSSEC_SECURE else None
        signatures: tuple[bytes, ...] = (good,)
        records = _denials_of(verdict, zone)
    else:
        status, signatures = verdict.absence, ()
        records = _denials_of(verdict, verdict.soa[0]) if verdict.soa is not None else ()
        if verdict.soa is not None:
            records += ((verdict.soa[0], TYPE_RRSIG, verdict.soa[2]),)
        elif status != DNSSEC_SECURE:
            return None
    whole = sum(len(row[2]) for row in records) <= DNSSEC_DENIAL_OCTETS
    return CacheProof(status == DNSSEC_SECURE, whole, signatures, records if whole else ())


def _denials_of(verdict: DnssecVerdict, zone: bytes) -> tuple[tuple[bytes, int, bytes], ...]:
    return tuple(row[1:] for row in verdict.denials if row[0] == zone)


def _review_replaced(reply: DnsReply) -> None:
    """Put addresses that listeners want in their places; their old signatures go."""
    for place, rdata in reply.replaced.items() if reply.message.answers else ():
        reply.message.answers[place].rdata = rdata
        reply.rebuild = reply.altered = True
    if reply.replaced:
        reply.rebuild |= reply.message.keep("answers", lambda rr: rr.rrtype != TYPE_RRSIG)


def _review_sets(reply: DnsReply) -> None:
    """Choose the sets of the kernel that take the addresses of a reply (ipset, nftset): by the name that was asked."""
    query = reply.query
    if query.rrtype not in (TYPE_A, TYPE_AAAA) or query.rrclass != CLASS_IN:
        return
    found = [rr.rdata for rr in reply.message.answers if is_address(rr.rrtype, rr.rdata) and rr.rrclass == CLASS_IN]
    for option, table in reply.state.sets if found else ():
        domain = next((name for name in dns_name_suffixes(query.key) if name in table), b"")
        for target in table.get(domain, ()):
            wanted = found if isinstance(target, str) else [one for one in found if target.takes(one)]
            shown = dns_name_log(domain) if domain != DNS_ROOT else ""
            reply.elements.append((target, wanted, (f"{option} add {target} ", f" {shown}")))


def _review_filters(reply: DnsReply) -> None:
    """Take the record types of filter-rr out of the answer."""
    filters, query, message = reply.state.filters, reply.query, reply.message
    if query.rrclass != CLASS_IN or not message.answers:
        return
    if query.rrtype == TYPE_ANY and TYPE_ANY in filters:
        kept = [rr for rr in message.answers if rr.rrtype in (TYPE_A, TYPE_AAAA, TYPE_MX, TYPE_CNAME)]
    else:
        kept = [rr for rr in message.answers if rr.rrtype not in filters]
    if len(kept) == len(message.answers):
        return
    message.answers = kept
    reply.rebuild, reply.altered, reply.ede = True, True, EDE_FILTERED
    if not kept and not any(rr.rrtype == TYPE_SOA for rr in message.authority):
        reply.explain()
    if query.rrtype in filters:
        reply.texts = []
        reply.say(query.key, negative_text(False, query.rrtype), "config")


def _review_ttl(reply: DnsReply) -> None:
    """Show no TTL above max-ttl."""
    limit = reply.state.config.max_ttl
    for section in (reply.message.answers, reply.message.authority, reply.message.additional):
        for rr in section:
            if rr.ttl > limit:
                rr.ttl = limit
                reply.rebuild = True


# The path of a reply: each reviewer, and the options one of which must be given for it to have work.
DNS_REVIEWERS: tuple[tuple[Callable[[DnsReply], None], str], ...] = (
    (_review_proof, "dnssec"),
    (_review_subnet, "add_subnet"),
    (_review_recursion, ""),
    (_review_addresses, "ignore_address bogus_nxdomain"),
    (_review_alias, "alias"),
    (_review_rebind, "stop_dns_rebind"),
    (_review_replaced, "enable_ubus"),
    (_review_sets, "ipset nftset"),
    (_review_existence, ""),
    (_review_remember, ""),
    (_review_filters, "filter_rr filter_A filter_AAAA"),
    (_review_ttl, "max_ttl"),
)


def dns_review(
    message: DnsMessage,
    query: DnsQuery,
    state: DnsState,
    now: float,
    server: Upstream,
    sent: Sequence[tuple[int, bytes]] = (),
    verdict: DnssecVerdict | None = None,
    replaced: dict[int, bytes] | None = None,
) -> DnsReply:
    """Review a reply to `query` from `server`, to whom EDNS options `sent` went; the result packs itself.

    `verdict` is that of DNSSEC, where it was to be proved (50); `replaced` are
    addresses to show in the place of those in the answer, by place.
    """
    if not state.reviewers:
        state.reviewers = dns_path(DNS_REVIEWERS, state.config)
    reply = DnsReply(message, query, state, now, server, sent, verdict)
    reply.replaced = replaced or {}
    for reviewer in state.reviewers:
        reviewer(reply)
        if reply.drop:
            break
    return reply


# ==============================================================================
# 54 DHCP selection
#
# Which tags a client has, which dhcp-host is meant for it, which ranges there
# are on its network, and which address it gets.
#
# Uses 10 11 21 23 30 40 43
# ==============================================================================


def tags_match(conditions: Iterable[str], tags: Container[str]) -> bool:
    """Tell whether every condition holds: the tag is set, or with `!` it is not."""
    for condition in conditions:
        if (condition[1:] in tags) if condition[0] == "!" else (condition not in tags):
            return False
    return True


def tags_match_any(rules: Iterable[tuple[str, ...]], tags: Container[str]) -> bool:
    """Tell whether one of several sets of conditions holds; an empty set always does."""
    return any(tags_match(conditions, tags) for conditions in rules)


def tags_expand(rules: Sequence[TagIf], tags: Iterable[str]) -> dict[str, None]:
    """Add what tag-if sets, in the order of the configuration; a condition may end in `*`."""
    out = dict.fromkeys(tags)
    for rule in rules:
        if all(_condition_holds(condition, out) for condition in rule.tags):
            out.update(dict.fromkeys(reversed(rule.set_tags)))
    return out


def _condition_holds(condition: str, tags: dict[str, None]) -> bool:
    name = condition.removeprefix("!")
    found = any(tag.startswith(name[:-1]) for tag in tags) if name[-1] == "*" else name in tags
    return found != (condition[0] == "!")


def hardware_matches(pattern: HardwareAddress, hardware: bytes, htype: int) -> bool:
    """Tell whether a hardware address fits a pattern; the default type is Ethernet."""
    octets = pattern.octets
    return (
        len(octets) == len(hardware)
        and (pattern.kind or ETHERNET) == htype
        and all(want is None or want == got for want, got in zip(octets, hardware, strict=True))
    )


class DhcpHosts:
    """Every dhcp-host, from whatever file, found by what a client says of itself; the latest line comes first."""

    def __init__(self, hosts: Sequence[DhcpHost]) -> None:
        self.hosts = hosts
        self.by_address: dict[int, DhcpHost] = {}
        self._by_client: dict[bytes, list[DhcpHost]] = {}
        self._by_hardware: dict[bytes, list[tuple[HardwareAddress, DhcpHost]]] = {}
        self._by_name: dict[str, list[DhcpHost]] = {}
        self._wild: list[tuple[int, HardwareAddress, DhcpHost]] = []
        for host in reversed(hosts):
            self._add(host)
        self._wild.sort(key=lambda row: row[0])

    def _add(self, host: DhcpHost) -> None:
        if host.ipv4 is not None:
            self.by_address.setdefault(ip4_number(host.ipv4), host)
        if host.client_id is not None:
            self._by_client.setdefault(host.client_id, []).append(host)
        for hardware in host.hardware:
            stars = hardware.octets.count(None)
            if stars:
                self._wild.append((stars, hardware, host))
            else:
                octets = bytes(octet for octet in hardware.octets if octet is not None)
                self._by_hardware.setdefault(octets, []).append((hardware, host))
        if host.name:
            self._by_name.setdefault(host.name.lower(), []).append(host)

    def find(
        self, network: DhcpNetwork | None, client_id: bytes, hardware: bytes, htype: int, tags: Container[str],
        name: str = "",
    ) -> DhcpHost | None:  # fmt: skip
        """Find a client's entry, those with fitting tags first; with `network` its address must belong there."""
        for tagged in (True, False):
            for host in self._candidates(client_id, hardware, htype, name):
                if host.tags if tagged else True:
                    here = network is None or host.ipv4 is None or network.holds(ip4_number(host.ipv4))
                    if here and tags_match(host.tags, tags):
                        return host
        return None

    def _candidates(self, client_id: bytes, hardware: bytes, htype: int, name: str) -> Iterator[DhcpHost]:
        if client_id:
            yield from self._by_client.get(client_id, ())
            if client_id[0] == 0 and len(client_id) > 1:  # dhcpcd puts a zero before a text
                yield from self._by_client.get(client_id[1:], ())
        for pattern, host in self._by_hardware.get(hardware, ()) if hardware else ():
            if (pattern.kind or ETHERNET) == htype:
                yield host
        if name:
            yield from self._by_name.get(name.lower(), ())
        for _, pattern, host in self._wild if hardware else ():
            if hardware_matches(pattern, hardware, htype):
                yield host


def host_has_hardware(host: DhcpHost, hardware: bytes, htype: int) -> bool:
    """Tell whether a hardware address is one of a dhcp-host's."""
    return any(hardware_matches(pattern, hardware, htype) for pattern in host.hardware)


# --- networks ---


class DhcpContext:
    """A dhcp-range as it stands on a network: `local` is our address there, `router` the default for option 3.

    Addresses are numbers; `router` 0: none is known.
    """

    __slots__ = ("rule", "first", "last", "mask", "broadcast", "local", "router", "lease", "static", "proxy")

    def __init__(self, rule: DhcpRange, mask: int, local: int, router: int) -> None:
        self.rule = rule
        self.first, self.last = ip4_number(rule.first), ip4_number(rule.last)
        self.mask = mask
        self.broadcast = ip4_number(rule.broadcast) if rule.broadcast else self.first & mask | ~mask & 0xFFFFFFFF
        self.local = local
        self.router = router
        self.lease = DHCP_LEASE_DEFAULT if rule.lease is None else LEASE_FOR_EVER if rule.lease < 0 else rule.lease
        self.static = "static" in rule.modes
        self.proxy = "proxy" in rule.modes

    def holds(self, address: int) -> bool:
        """Tell whether an address belongs to the network of this range."""
        return (address ^ self.first) & self.mask == 0


def _class_mask(address: int) -> int:
    """Guess a mask by the address' class, for networks that only a relay sees (RFC 791 s.3.2)."""
    return 0xFF000000 if address < 1 << 31 else 0xFFFF0000 if address < 3 << 30 else 0xFFFFFF00


def _prefix_mask(prefix: int) -> int:
    return (0xFFFFFFFF << (32 - prefix)) & 0xFFFFFFFF


class DhcpNetwork:
    """The ranges that serve one arrival: an interface, or the network of a relay."""

    __slots__ = ("contexts", "name", "local")

    def __init__(self, contexts: Sequence[DhcpContext], name: str, local: int) -> None:
        self.contexts = tuple(contexts)
        self.name = name
        self.local = local  # an address of ours, for replies that no range fits

    def holds(self, address: int) -> bool:
        """Tell whether an address belongs to one of the networks."""
        return any(context.holds(address) for context in self.contexts)

    def is_ours(self, address: int) -> bool:
        """Tell whether an address is the server's or the relay's."""
        return any(address in (context.router, context.local) for context in self.contexts)

    def available(self, address: int, tags: Container[str]) -> DhcpContext | None:
        """Find the range that an address may be given from."""
        if self.is_ours(address):
            return None
        for context in self.contexts:
            if (
                context.first <= address <= context.last
                and not (context.static or context.proxy)
                and tags_match(context.rule.tags, tags)
            ):
                return context
        return None

    def narrow(self, address: int, tags: Container[str]) -> DhcpContext | None:
        """Find the range that speaks for an address: one that has it, else a static one, else any on its network."""
        context = self.available(address, tags)
        if context is None:
            near = [
                context
                for context in self.contexts
                if context.holds(address) and not context.proxy and tags_match(context.rule.tags, tags)
            ]
            return next(iter([context for context in near if context.static] + near), None)
        return context


def network_find(
    ranges: Sequence[DhcpRange], interfaces: Sequence[InterfaceAddress], shared: Sequence[SharedNetwork],
    interface: str,
) -> DhcpNetwork:  # fmt: skip
    """Find the ranges on the networks of an interface: those of its last address first, as dnsmasq has them."""
    own = [at for at in interfaces if at.interface == interface and len(at.address) == 4]
    contexts: list[DhcpContext] = []
    left = list(ranges)
    for at in own:
        address, mask = ip4_number(at.address), _prefix_mask(at.prefix)
        found = []
        for rule in left:
            mask_there = ip4_number(rule.mask) if rule.mask is not None else mask
            if not (address ^ ip4_number(rule.first) | address ^ ip4_number(rule.last)) & mask_there:
                found.append(DhcpContext(rule, mask_there, address, address))
        left = [rule for rule in left if all(rule is not context.rule for context in found)]
        contexts = found + contexts
    shares = (_shared_context(rule, own, shared, interface) for rule in left)
    contexts += [context for context in shares if context is not None]
    return DhcpNetwork(contexts, interface, ip4_number(own[0].address) if own else 0)


def _shared_context(
    rule: DhcpRange, own: Sequence[InterfaceAddress], shared: Sequence[SharedNetwork], interface: str
) -> DhcpContext | None:
    """Make a range of another network one of this interface (shared-network); it has no default router."""
    if rule.mask is None:
        return None
    for share in shared:
        at = next((at for at in own if share.interface == interface or share.address == at.address), None)
        if at is not None:
            context = DhcpContext(rule, ip4_number(rule.mask), ip4_number(at.address), 0)
            if context.holds(ip4_number(share.shared)):
                return context
    return None


def network_of(
    ranges: Sequence[DhcpRange], interfaces: Sequence[InterfaceAddress], shared: Sequence[SharedNetwork], address: int,
    arrival: DhcpNetwork, relay: int, relays: dict[bytes, int],
) -> DhcpNetwork:  # fmt: skip
    """Find the ranges on the network of `address`: a relay's, a selected subnet, or where a client says it is.

    `relay` is the present relay (0: none), `relays` remembers the first one of each
    range, so that a client that renews without it keeps its router.
    """
    contexts = []
    here = {context.rule.first: context for context in arrival.contexts}
    for rule in ranges:
        mask = _mask_of(rule, interfaces)
        first, last = ip4_number(rule.first), ip4_number(rule.last)
        if not (address ^ first) & mask and not (address ^ last) & mask:
            if rule.first in here:
                contexts.append(here[rule.first])
                continue
            own = next(
                (ip4_number(at.address) for at in interfaces if address_in(rule.first, at.address, at.prefix)), 0
            )
            if relay:
                relays.setdefault(rule.first, own or relay)
            router = own or relays.get(rule.first, 0)
            contexts.append(DhcpContext(rule, mask, arrival.local if relay or not own else own, router))
        elif rule.mask is not None and _is_shared(rule, mask, shared, address):
            contexts.append(DhcpContext(rule, mask, arrival.local, 0))
    return DhcpNetwork(contexts, arrival.name, arrival.local)


def _is_shared(rule: DhcpRange, mask: int, shared: Sequence[SharedNetwork], address: int) -> bool:
    return any(
        share.address is not None
        and ip4_number(share.address) == address
        and not (ip4_number(share.shared) ^ ip4_number(rule.first)) & mask
        for share in shared
    )


def _mask_of(rule: DhcpRange, interfaces: Sequence[InterfaceAddress]) -> int:
    """Give a range's mask: its own, that of an interface there, or a guess by class."""
    if rule.mask is not None:
        return ip4_number(rule.mask)
    for at in interfaces:
        if len(at.address) == 4 and address_in(rule.first, at.address, at.prefix):
            return _prefix_mask(at.prefix)
    return _class_mask(ip4_number(rule.first))


# --- addresses ---


def address_hash(identity: bytes) -> int:
    """Hash a hardware address (or client-id): the SDBM function in 32 bits, by which dnsmasq spreads clients too."""
    value = 0
    for octet in identity:
        value = (octet + (value << 6) + (value << 16) - value) & 0xFFFFFFFF
    return value


class DhcpPool:
    """What is known beside leases: offers under way, declined addresses, answers to pings, counters, relays."""

    def __init__(self) -> None:
        self.relays: dict[bytes, int] = {}  # the relay that a range was first reached by: its clients' router
        self.epochs: dict[bytes, int] = {}  # of a range, by its first address: moves its clients on
        self.offers: dict[int, tuple[bytes, float]] = {}  # to whom an address is offered, until when
        self.declined: dict[int, float] = {}  # reserved addresses that a client declined, until when
        self.pinged: dict[int, tuple[bool, float]] = {}  # whether somebody answered, until when that counts

    def offer(self, address: int, identity: bytes, now: float) -> None:
        """Note an offer; a flood of clients that never come back costs bounded memory."""
        if len(self.offers) >= DHCP_OFFERS_MAX:
            for old in list(itertools.islice(self.offers, DHCP_OFFERS_MAX // 10)):
                del self.offers[old]
        self.offers.pop(address, None)
        self.offers[address] = (identity, now + DHCP_OFFER_SECONDS)

    def offered(self, address: int, identity: bytes, now: float) -> bool:
        """Tell whether an address is on offer to somebody else."""
        offer = self.offers.get(address)
        return offer is not None and offer[0] != identity and offer[1] > now

    def bump(self, context: DhcpContext) -> None:
        """Let the clients of a range get other addresses than they would."""
        self.epochs[context.rule.first] = self.epochs.get(context.rule.first, 0) + 1

    def decline(self, address: int, now: float) -> None:
        """Put a reserved address aside for a while."""
        if len(self.declined) >= DHCP_OFFERS_MAX:
            self.declined = {at: until for at, until in self.declined.items() if until > now}
        if len(self.declined) < DHCP_OFFERS_MAX:
            self.declined[address] = now + DHCP_DECLINE_SECONDS

    def was_declined(self, address: int, now: float) -> bool:
        """Tell whether a reserved address is put aside."""
        until = self.declined.get(address)
        if until is not None and until <= now:
            del self.declined[address]
        return until is not None and until > now

    def ping_result(self, address: int, alive: bool, now: float) -> None:
        """Note what a ping brought."""
        if len(self.pinged) >= DHCP_OFFERS_MAX:
            self.pinged.clear()
        self.pinged[address] = (alive, now + DHCP_PING_CACHE)

    def ping_known(self, address: int, now: float) -> bool | None:
        """Tell whether somebody has the address, as far as a recent ping says; None: ask the network."""
        result = self.pinged.get(address)
        return result[0] if result is not None and result[1] > now else None


class DhcpPing(PydnsmasqError):
    """An address has to be pinged before the choice can go on; the caller brings the result to the pool."""

    def __init__(self, address: int) -> None:
        super().__init__(ip4_format(address))
        self.address = address


class DhcpChooser:
    """Choose addresses for one client: what is free, in which order it is tried."""

    def __init__(
        self, network: DhcpNetwork, leases: LeaseTable, hosts: DhcpHosts, pool: DhcpPool, identity: bytes, now: float,
        ping: bool,
    ) -> None:  # fmt: skip
        self._network = network
        self._leases = leases
        self._hosts = hosts
        self._pool = pool
        self._identity = identity
        self._now = now
        self._ping = ping

    def free(self, address: int) -> bool:
        """Tell whether nobody has or is promised an address; DhcpPing when only the network knows."""
        if address in self._leases.by_address or address in self._hosts.by_address or self._network.is_ours(address):
            return False
        return not self._ping or not self._answers(address)

    def _answers(self, address: int) -> bool:
        known = self._pool.ping_known(address, self._now)
        if known is None:
            raise DhcpPing(address)
        return known

    def choose(self, tags: Container[str], sequential: bool) -> int | None:
        """Choose a free address: ranges whose tags fit first, then those without tags; None when all are full."""
        contexts = [context for context in self._network.contexts if not (context.static or context.proxy)]
        # One after the other, a client would be offered what the one before was: that only when nothing else is left.
        for promised in (False, True) if sequential else (True,):
            for tagged in (True, False):
                for context in contexts:
                    if bool(context.rule.tags) == tagged and tags_match(context.rule.tags, tags):
                        found = self._search(context, sequential, promised)
                        if found is not None:
                            return found
        return None

    def _search(self, context: DhcpContext, sequential: bool, promised: bool) -> int | None:
        size = context.last - context.first + 1
        start = self._start(context, sequential, size)
        leased, reserved, pool = self._leases.by_address, self._hosts.by_address, self._pool
        for step in range(size):
            address = context.first + (start + step) % size
            if address in leased or address in reserved or self._network.is_ours(address):
                continue
            if address >= 3 << 30 and address & 255 in (0, 255):  # class C: some clients cannot use these
                continue
            if not promised and pool.offered(address, self._identity, self._now):
                continue
            if not self._ping or not self._answers(address):
                return address
            if not sequential:
                pool.bump(context)
        return None

    def _start(self, context: DhcpContext, sequential: bool, size: int) -> int:
        if not sequential:
            return (address_hash(self._identity) + self._pool.epochs.get(context.rule.first, 0)) % size
        highest = max((at for at in self._leases.by_address if context.first <= at <= context.last), default=None)
        return 0 if highest is None else (highest - context.first + 1) % size


# ==============================================================================
# 55 DHCPv4 options
#
# What goes into a reply: which dhcp-option lines count for a client's tags, the
# defaults beside them, the boot fields, the wrapped options; and how options
# look in the log.  RFC 2132, RFC 3925, RFC 4702.
#
# Uses 10 12 15 20 23 30 43 54
# ==============================================================================

_DEFAULTED = frozenset((OPT_NETMASK, OPT_BROADCAST, OPT_ROUTER, OPT_DNS, OPT_DOMAIN, OPT_HOSTNAME))
# dhcp-option lines that set something else than an option of the reply, or that are not the user's to set.
_NEVER_SENT = frozenset(
    (
        OPT_PAD, OPT_OVERLOAD, OPT_MAX_SIZE, OPT_LEASE, OPT_TYPE, OPT_SERVER_ID, OPT_T1, OPT_T2, OPT_FQDN, OPT_END,
    )
)  # fmt: skip


@record
class Dhcp4Plan:
    """The option lines that count for a set of tags: plain ones by number, wrapped ones by wrapper, last line first.

    A wrapper is (enterprise, 0) or (0, option).
    """

    plain: dict[int, DhcpOptionRule]
    wrappers: dict[tuple[int, int], list[DhcpOptionRule]]
    vendors: list[DhcpOptionRule]
    boot: DhcpBoot | None


def dhcp4_plan(
    rules: Sequence[DhcpOptionRule], boots: Sequence[DhcpBoot], own: Container[str], all_tags: Container[str],
    pxe: str = "",
) -> Dhcp4Plan:  # fmt: skip
    """Choose option lines: tags without the range's first, then with it, then untagged lines; the last line wins.

    `own` are the client's tags, `all_tags` those and the range's.  `pxe`: "client" for one that boots from the
    network (dhcp-option-pxe counts, too), "proxy" when another server gives the address (nothing else counts).
    """
    plain: dict[int, DhcpOptionRule] = {}
    latest_first = [rule for rule in reversed(rules) if rule.family == 4 and (pxe or not rule.pxe)]
    fitting = [
        rule
        for rule in latest_first
        if not _wrapped(rule) and (rule.pxe or pxe != "proxy") and tags_match(rule.tags, all_tags)
    ]
    for choice in (
        [rule for rule in fitting if rule.tags and tags_match(rule.tags, own)],
        [rule for rule in fitting if rule.tags],
        fitting,
    ):
        for number in {rule.number for rule in choice} - plain.keys():
            plain[number] = next(rule for rule in choice if rule.number == number)
    order = {id(rule): at for at, rule in enumerate(latest_first)}
    plan = Dhcp4Plan(dict(sorted(plain.items(), key=lambda item: order[id(item[1])])), {}, [], None)
    for rule in latest_first:
        if _wrapped(rule) and tags_match(rule.tags, all_tags):
            if rule.vendor is not None:
                plan.vendors.append(rule)
            elif rule.pxe or pxe != "proxy":
                plan.wrappers.setdefault((rule.enterprise, rule.encap), []).append(rule)
    fit = [boot for boot in boots if tags_match(boot.tags, all_tags)]
    if fit:  # a line with tags is meant more than one without, a later one more than an earlier one
        plan.boot = max(enumerate(fit), key=lambda item: (bool(item[1].tags), item[0]))[1]
    return plan


def _wrapped(rule: DhcpOptionRule) -> bool:
    return bool(rule.encap or rule.enterprise or rule.vendor is not None)


def option_data(rule: DhcpOptionRule, local: int) -> bytes:
    """Give an option line's data with the server's address put in."""
    data = rule.data
    for at in rule.own:
        data = data[:at] + local.to_bytes(4, "big") + data[at + 4 :]
    return data


def suboption(number: int, data: bytes) -> bytes:
    """Pack a suboption of at most 255 octets."""
    return bytes((number, len(data))) + data


class Dhcp4Writer:
    """Write the options of one reply, behind those that its message type begins with.

    `wanted` are the options that the client asks for, None when it sent no list.
    """

    def __init__(
        self, reply: Dhcp4Reply, plan: Dhcp4Plan, context: DhcpContext | None, local: int,
        wanted: frozenset[int] | None, terminate: bool,
    ) -> None:  # fmt: skip
        self.reply = reply
        self.plan = plan
        self.context = context
        self.local = local
        self.wanted = wanted
        self.terminate = terminate  # the client ends its texts with NUL, so do we
        self.pxe_client = False
        self.problems: list[str] = []  # for the log

    def asked(self, number: int) -> bool:
        """Tell whether the client wants an option."""
        return self.wanted is None or number in self.wanted

    def put(self, number: int, data: bytes) -> None:
        """Add an option."""
        self.reply.options.append((number, data))

    def put_text(self, number: int, text: bytes) -> None:
        """Add an option with a text."""
        self.put(number, text + b"\0" if self.terminate else text)

    def boot(self, find: Callable[[str], int], override: bool) -> None:
        """Fill in the boot file and server: fields of the header, or options where the client asks for these."""
        reply, plan, boot = self.reply, self.plan, self.plan.boot
        reply.siaddr = self.local
        if boot is not None:
            self._boot_text(OPT_SNAME, boot.server_name, override)
            self._boot_text(OPT_FILE, boot.file, override)
            reply.siaddr = self.server(boot, find, self.local)
            return
        for number, size in ((OPT_FILE, 128), (OPT_SNAME, 64)):
            rule = plan.plain.get(number)
            if rule is not None and not rule.force and (self.wanted is None or number not in self.wanted):
                field = rule.data[: size - 1]
                if number == OPT_FILE:
                    reply.file = field
                else:
                    reply.sname = field
        server = plan.plain.get(OPT_NEXT_SERVER)
        if server is not None and len(server.data) >= 4:
            reply.siaddr = ip4_number(option_data(server, self.local)[:4])

    def server(self, rule: DhcpBoot | PxeService, find: Callable[[str], int], default: int) -> int:
        """Give the address of the server that a line names, 0 when its name is not known."""
        if rule.server is not None:
            return ip4_number(rule.server) or default
        if not rule.server_host:
            return default
        address = find(rule.server_host)
        if not address:
            self.problems.append(f"No IPv4 address found for {rule.server_host}")
        return address

    def _boot_text(self, number: int, text: str, override: bool) -> None:
        raw = text.encode("utf-8", "surrogateescape")
        if not raw:
            return
        if override and self.wanted is not None and number in self.wanted:
            self.put(number, raw + b"\0")
        elif number == OPT_FILE:
            self.name_file(text)
        else:
            self.reply.sname = raw[:63]

    def name_file(self, text: str) -> None:
        """Put the name of the boot file into its field of the header."""
        self.reply.file = text.encode("utf-8", "surrogateescape")[:127]

    def defaults(self, domain: bytes, hostname: str, dns: bool) -> None:
        """Add what clients get unless dhcp-option says otherwise: mask, broadcast, router, DNS server, names."""
        plain, context = self.plan.plain, self.context
        if context is not None:
            if OPT_NETMASK not in plain:
                self.put(OPT_NETMASK, context.mask.to_bytes(4, "big"))
            if OPT_BROADCAST not in plain and context.broadcast:
                self.put(OPT_BROADCAST, context.broadcast.to_bytes(4, "big"))
            if OPT_ROUTER not in plain and context.router and self.asked(OPT_ROUTER):
                self.put(OPT_ROUTER, context.router.to_bytes(4, "big"))
            if OPT_DNS not in plain and dns and self.asked(OPT_DNS):
                self.put(OPT_DNS, self.local.to_bytes(4, "big"))
        if OPT_DOMAIN not in plain and domain and self.asked(OPT_DOMAIN):
            self.put_text(OPT_DOMAIN, dns_name_text(domain))
        if OPT_HOSTNAME not in plain and hostname and self.asked(OPT_HOSTNAME):
            self.put_text(OPT_HOSTNAME, hostname.encode())

    def configured(self) -> None:
        """Add the plain option lines."""
        done: tuple[int, ...] = ()
        if self.plan.boot is None:  # then these options themselves have gone into the fields
            done = (OPT_FILE if self.reply.file else 0, OPT_SNAME if self.reply.sname else 0)
        for number, rule in self.plan.plain.items():
            if number in _NEVER_SENT or number in done or not (rule.force or self.asked(number)):
                continue
            if number == OPT_VENDOR_CLASS and self.pxe_client:  # such a client looks for its own class there
                continue
            data = option_data(rule, self.local)
            if not data and number in _DEFAULTED:
                continue
            if number in (OPT_SNAME, OPT_FILE) or (self.terminate and rule.kind == "text"):
                data = data[:254] + b"\0"
            self.put(number, data)

    def wrapped(self, vendor_class: bytes) -> None:
        """Add options within options: 125 for each enterprise and encap:, then vendor: for the client's class.

        What is for a PXE client's class goes with its menu (`pxe_choices`).
        """
        for (enterprise, encap), rules in self.plan.wrappers.items():
            number = encap or OPT_VI_INFO
            chosen = rules if self.asked(number) else [rule for rule in rules if rule.force]
            if chosen and encap:
                self._put_inner(number, chosen)
            elif chosen:
                self._put_enterprise(enterprise, chosen)
        if self.pxe_client:
            return
        ours = next((data for number, data in self.reply.options if number == OPT_VENDOR_CLASS), None)
        told = vendor_class if ours is None else ours  # a configured option 60 says what the client is
        rules = self._vendor_rules(told)
        if rules and (self.asked(OPT_VENDOR) or any(rule.force for rule in rules)):
            self._put_inner(OPT_VENDOR, rules)
            if ours is None:
                self.put(OPT_VENDOR_CLASS, vendor_class)

    def _vendor_rules(self, told: bytes) -> list[DhcpOptionRule]:
        return [rule for rule in self.plan.vendors if rule.vendor is not None and told and rule.vendor in told]

    def pxe_identity(self, request: Dhcp4Message, vendor: bytes) -> None:
        """Add what a PXE client knows a boot server by: its own class and machine id (PXE specification 2.1 s.2.2)."""
        self.put(OPT_VENDOR_CLASS, vendor)
        machine = request.options.get(OPT_MACHINE_ID, b"")
        if len(machine) >= 17:
            self.put(OPT_MACHINE_ID, machine[:17])

    def pxe_choices(
        self, request: Dhcp4Message, first: Sequence[bytes], prompts: Sequence[PxePrompt], always: bool
    ) -> None:
        """Add option 43: the suboptions `first`, vendor: lines for the client's class, the prompts."""
        rules = self._vendor_rules(request.options[OPT_VENDOR_CLASS])
        lines = [suboption(10, bytes((prompt.seconds,)) + _octets(prompt.text)) for prompt in reversed(prompts)]
        pieces = [*first, *self._inner(rules), *lines]
        if pieces and (always or self.asked(OPT_VENDOR) or any(rule.force for rule in rules)):
            self._put_pieces(OPT_VENDOR, pieces)

    def _put_enterprise(self, enterprise: int, rules: Iterable[DhcpOptionRule]) -> None:
        inside = b"".join(self._inner(rules))
        if len(inside) > 250:
            text = f"cannot send RFC3925 option: too many options for enterprise number {enterprise}"
            self.problems.append(text)
        else:
            self.put(OPT_VI_INFO, enterprise.to_bytes(4, "big") + bytes((len(inside),)) + inside)

    @staticmethod
    def _inner(rules: Iterable[DhcpOptionRule]) -> list[bytes]:
        return [suboption(rule.number, rule.data) for rule in rules]

    def _put_inner(self, number: int, rules: Iterable[DhcpOptionRule]) -> None:
        self._put_pieces(number, self._inner(rules))

    def _put_pieces(self, number: int, pieces: Iterable[bytes]) -> None:
        """Add suboptions with an end mark; where they are too many, several options, none of them cut."""
        piece = b""
        for inner in [*pieces, b"\xff"]:
            if len(piece) + len(inner) > 255:
                self.put(number, piece)
                piece = b""
            piece += inner
        self.put(number, piece)


# --- menus of PXE clients ---


@record
class PxeItem:
    """A pxe-service line and the number that it has on the wire, 0 for the local disk."""

    service: PxeService
    number: int


def pxe_items(services: Iterable[PxeService]) -> list[PxeItem]:
    """Number the boot items: a file gets the next free number, a type is its own."""
    free = itertools.count(PXE_TYPE_FIRST)
    return [PxeItem(one, next(free) & 0xFFFF if one.base else one.boot_type or 0) for one in services]


def _octets(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")[:250]


NO_MENU = (suboption(6, b"\x08"),)  # in place of a menu, beside the name of a file: UEFI looks for it


def pxe_menu(
    items: Sequence[PxeItem], local: int, server: Callable[[PxeService], int], prompted: bool
) -> list[bytes] | None:
    """Make the suboptions of a menu: control, servers, texts; without a configured prompt a plain one.

    `server` finds the server of an item, 0 for none.  None: the menu is too large.
    """
    servers = labels = b""
    control = 3 if items else 8  # ask the servers that are listed / take the boot file
    for item in items:
        number, text = item.number.to_bytes(2, "big"), _octets(item.service.text)
        labels += number + bytes((len(text),)) + text
        address = local if item.service.base else server(item.service)
        if address:
            servers += number + b"\1" + address.to_bytes(4, "big")
        elif item.number:
            control = 2  # look for it by broadcast
    if max(len(labels), len(servers)) > PXE_MENU_MAX:
        return None
    out = [suboption(6, bytes((control,)))]
    if not prompted:
        out.append(suboption(10, (b"\xff" if len(items) > 1 else b"\0") + b"PXE"))
    return out + [suboption(number, data) for number, data in ((8, servers), (9, labels)) if data]


def pxe_boot_item(options: dict[int, bytes]) -> tuple[int, int] | None:
    """Read which boot item a client asks for: type and layer; None when it asks for none."""
    data = suboptions_unpack(options.get(OPT_VENDOR, b"")).get(71, b"")
    return (int.from_bytes(data[:2], "big"), int.from_bytes(data[2:4], "big")) if len(data) >= 4 else None


def fqdn_pack(flags: int, name: bytes) -> bytes:
    """Pack option 81 in the form that the client used; `name` is wire format (RFC 4702 s.2)."""
    return bytes((flags, 255, 255)) + (
        name if flags & FQDN_WIRE else dns_name_text(name.removesuffix(DNS_ROOT) + DNS_ROOT)
    )


# --- the log ---

_SHOWN_DECIMAL = frozenset((OPT_TYPE, 23, 24, 35, 38, 108))  # besides numbers of 16 bits


def option_log(number: int, data: bytes) -> str:
    """Format an option for log-dhcp."""
    row = DHCP4_OPTIONS.get(number)
    name = row.name if row is not None and number != OPT_END else ""
    kind = row.kind if row is not None else "raw"
    return f"sent size:{len(data):3d} option:{number:3d} {name}  {_option_value_log(number, kind, data)}"


def _option_value_log(number: int, kind: str, data: bytes) -> str:
    if kind == "addr" and len(data) % 4 == 0:
        return ", ".join(ip4_format(int.from_bytes(data[at : at + 4], "big")) for at in range(0, len(data), 4))
    if kind == "text":
        return printable_text(data)
    if kind == "time" and len(data) == 4:
        seconds = int.from_bytes(data, "big")
        return "infinite" if seconds == LEASE_FOR_EVER else duration_format(seconds)
    if number in _SHOWN_DECIMAL or kind == "u16":
        return str(int.from_bytes(data, "big"))
    return data[:14].hex(":") + ("..." if len(data) > 14 else "")


def options_names_log(numbers: bytes) -> list[str]:
    """Format a list of requested options, in lines of about forty characters."""
    lines, line = [], ""
    for at, number in enumerate(numbers):
        row = DHCP4_OPTIONS.get(number)
        text = f"{number}:{row.name}" if row is not None and number != OPT_END else str(number)
        if at < len(numbers) - 1:
            text += ", "
        line += text
        if len(line) > 40:
            lines.append(line)
            line = ""
    return [*lines, line] if line else lines


# ==============================================================================
# 56 DHCPv4 exchanges
#
# What there is to know about one message: the network that it came from, who the
# client is, its tags, its lease and its name.  RFC 1542, RFC 2131, RFC 3004,
# RFC 3011, RFC 3046, RFC 3527, RFC 3925, RFC 4702, RFC 5107.
#
# Uses 10 12 13 15 20 21 23 30 40 43 54 55
# ==============================================================================

TAG_DHCP = "dhcp"  # of the log
TR069 = 3561  # enterprise number of the Broadband Forum


class DhcpState:
    """What DHCP decisions need of configuration and surroundings; built aside and swapped in as one.

    `own` are our addresses, `server_ids` those that clients may know us by.
    """

    def __init__(
        self, config: Config, hosts: DhcpHosts, options: Sequence[DhcpOptionRule],
        interfaces: Sequence[InterfaceAddress], local: LocalData, domain_of: Callable[[bytes], bytes], log: Log,
    ) -> None:  # fmt: skip
        self.config = config
        self.hosts = hosts
        self.options = options
        self.ranges = [rule for rule in config.dhcp_range if len(rule.first) == 4]
        self.interfaces = interfaces
        self.local = local
        self.log = log
        self.dns = config.port == DNS_PORT
        self._networks: dict[str, DhcpNetwork] = {}
        self.quiet = config.quiet_dhcp and not config.log_dhcp
        self.aliases: dict[str, str] = {
            alias: bridge.interface for bridge in config.bridge_interface for alias in bridge.aliases
        }
        self.own = {ip4_number(at.address) for at in interfaces if len(at.address) == 4}
        self.server_ids = {
            context.local for name in {at.interface for at in interfaces} for context in self.network(name).contexts
        }
        self._domain_of = domain_of
        self._plans: dict[tuple[str, ...], Dhcp4Plan] = {}
        self.pxe = bool(config.pxe_service or config.pxe_prompt)
        self.pxe_options = any(rule.pxe for rule in options)
        self.pxe_items = pxe_items(config.pxe_service)
        self.pxe_vendors = [vendor.encode() for vendor in reversed(config.dhcp_pxe_vendor)]
        self._turns: dict[str, int] = {}

    def main_interface(self, interface: str) -> str:
        """Give the interface that an arrival counts for (bridge-interface)."""
        for alias, main in self.aliases.items():
            if name_matches(alias, interface):
                return main
        return interface

    def network(self, interface: str) -> DhcpNetwork:
        """Give the ranges of an interface."""
        found = self._networks.get(interface)
        if found is None:
            found = self._networks[interface] = network_find(
                self.ranges, self.interfaces, self.config.shared_network, interface
            )
        return found

    def network_of(self, address: int, arrival: DhcpNetwork, relay: int, relays: dict[bytes, int]) -> DhcpNetwork:
        """Give the ranges on the network of an address that is not the arrival interface's."""
        shared = self.config.shared_network
        return network_of(self.ranges, self.interfaces, shared, address, arrival, relay, relays)

    def plan(self, own: dict[str, None], all_tags: dict[str, None], pxe: str = "") -> Dhcp4Plan:
        """Give the option lines for a set of tags (`pxe` as in dhcp4_plan); remembered, for clients are much alike."""
        key = (pxe, *own, "", *all_tags)
        found = self._plans.get(key)
        if found is None:
            if len(self._plans) >= DHCP_PLANS_MAX:
                self._plans.clear()
            found = self._plans[key] = dhcp4_plan(self.options, self.config.dhcp_boot, own, all_tags, pxe)
        return found

    def domain_of(self, address: int) -> bytes:
        """Give the domain of an address in wire form."""
        return self._domain_of(address.to_bytes(4, "big"))

    def name_of(self, address: int) -> str:
        """Give the bare name that hosts data has for an address, "" when its domain is not that of the address."""
        record_ = self.local.pointer(address.to_bytes(4, "big")) if self.config.port else None
        if record_ is None or not record_.rdata[0]:
            return ""
        size = 1 + record_.rdata[0]
        label, domain = record_.rdata[1:size], record_.rdata[size:]
        if domain != DNS_ROOT and domain.lower() != self.domain_of(address).lower():
            return ""
        text = label.decode("latin-1")
        return text if host_label_valid(text) else ""

    def address_of(self, name: str) -> int:
        """Find the IPv4 address of a name in hosts data, 0 when there is none."""
        return next(iter(self._addresses(name)), 0)

    def address_in_turn(self, name: str) -> int:
        """Find an address of a name, of several the next one each time."""
        addresses = self._addresses(name)[::-1]  # from the last line of the file, as dnsmasq
        turn = self._turns[name] = self._turns.get(name, 0) + 1
        return addresses[turn % len(addresses)] if addresses else 0

    def _addresses(self, name: str) -> list[int]:
        try:
            records = self.local.names.get(dns_name_parse(name).lower(), ())
        except ValueError:
            return []
        return [ip4_number(one.rdata) for one in records if one.rrtype == TYPE_A]


def _proxy_covers(rules: Sequence[tuple[bytes, ...]], relay: int) -> bool:
    """Tell whether dhcp-proxy is for a relay; a line without addresses is for all."""
    return any(not addresses or relay.to_bytes(4, "big") in addresses for addresses in rules)


def _fqdn_reply_flags(flags: int, client_updates: bool) -> int:
    """Answer the flags of option 81: the server does the updates unless dhcp-client-update (RFC 4702 s.4)."""
    out, override = flags & FQDN_WIRE, flags & FQDN_OVERRIDE
    if client_updates:
        return out | FQDN_NONE | (FQDN_OVERRIDE if flags & FQDN_SERVER else override)
    return out | FQDN_SERVER | (override if flags & FQDN_SERVER else FQDN_OVERRIDE)


def counted_strings(data: bytes) -> list[bytes]:
    """Split texts with length octets (RFC 3004); data that is not made so is one text."""
    out, pos = [], 0
    while pos < len(data):
        size = data[pos]
        if not size or pos + 1 + size > len(data):
            return [data]
        out.append(data[pos + 1 : pos + 1 + size])
        pos += 1 + size
    return out


def enterprise_data(data: bytes, enterprise: int) -> bytes | None:
    """Find an enterprise's part of option 124 or 125 (RFC 3925), None when it has none."""
    pos = 0
    while pos + 5 <= len(data):
        size = data[pos + 4]
        if int.from_bytes(data[pos : pos + 4], "big") == enterprise:
            return data[pos + 5 : pos + 5 + size]
        pos += 5 + size
    return None


def match_holds(rule: DhcpMatch, options: dict[int, bytes]) -> bool:
    """Tell whether a message has the option, and value, of a dhcp-match line."""
    if rule.enterprise:
        data = enterprise_data(options.get(OPT_VI_CLASS, b""), rule.enterprise)
    else:
        data = options.get(rule.number)
    if data is None:
        return False
    want = rule.data
    if rule.kind == "any":
        return True
    if rule.kind == "hex":
        return len(data) >= len(want) and all(a is None or a == b for a, b in zip(want, data, strict=False))
    plain = bytes(octet or 0 for octet in want)
    if rule.kind == "text":
        return plain in data
    return any(data[at : at + len(plain)] == plain for at in range(0, len(data) - len(plain) + 1, len(plain) or 1))


UNKNOWN_LEASE = "unknown lease"


@record
class Dhcp4Arrival:
    """How a message came: interface, our address there or the one it was sent to, sender (numbers)."""

    interface: str  # the main one where bridge-interface says so
    index: int
    local: int
    source: int = 0
    source_port: int = 0
    device: str = ""  # the interface itself
    unicast: bool = False
    loopback: bool = False
    pxe: bool = False  # by port 4011


@record
class Dhcp4Outcome:
    """A reply on its way: to `address` and `port`; 0.0.0.0: broadcast on the arrival interface.

    With `hardware` the client has no address yet and is reached by that one.
    `delay` in seconds.
    """

    wire: bytes
    address: int
    port: int
    hardware: bytes = b""
    htype: int = ETHERNET
    source: int = 0  # our address as the client knows it
    delay: int = 0


class Dhcp4Exchange:
    """One message and what was found out about its client."""

    __slots__ = (
        "state", "message", "arrival", "network", "now", "client_id", "lease", "identity", "tags", "all_tags", "host",
        "asked_name", "asked_domain", "name", "name_domain", "override", "echoed_id", "agent", "subnet", "lines",
        "terminate", "fqdn", "ignored", "requested", "via", "pxe_vendor", "arch", "notices",
    )  # fmt: skip

    def __init__(self, state: DhcpState, message: Dhcp4Message, arrival: Dhcp4Arrival, now: float) -> None:
        self.state = state
        self.message = message
        self.arrival = arrival
        self.now = now
        self.lines: list[tuple[int, str]] = []
        self.notices: list[tuple[str, dict[str, str]]] = []  # for the bus: kind, fields
        self.tags: dict[str, None] = {}  # without what tag-if adds
        self.all_tags: dict[str, None] = {}
        self.host: DhcpHost | None = None
        self.lease: Lease | None = None
        self.override = 0  # the server-id that a relay wants
        self.echoed_id = 0  # an address of ours on another network, by which the client knows us
        self.subnet = 0
        self.agent: bytes | None = message.options.get(OPT_AGENT)
        self.asked_name = self.asked_domain = ""
        self.name = ""
        self.name_domain = b""
        self.terminate = False
        self.fqdn: int | None = None
        self.ignored = False
        self.requested = message.number(OPT_REQUESTED) or 0
        self.client_id = b""
        self.identity = b""
        self.pxe_vendor = b""  # the class that makes this a PXE client
        self.arch = message.number(OPT_ARCH, 2)
        self.via = arrival.interface
        self.network = DhcpNetwork((), arrival.interface, arrival.local)

    def say(self, text: str, priority: int = LOG_INFO) -> None:
        """Note a line for the log, in order."""
        self.lines.append((priority, text))

    def detail(self, text: str) -> None:
        """Note a line that only log-dhcp shows."""
        if self.state.config.log_dhcp:
            self.lines.append((LOG_INFO, f"{self.message.xid} {text}"))

    def event(self, kind: str, address: int | None, text: str = "") -> None:
        """Note the line of a message: its type, the address, the client, a name or a reason."""
        state = self.state
        if state.config.enable_ubus is not None and kind in ("DHCPACK", "DHCPRELEASE") and address is not None:
            fields = {"mac": self.identity.hex(":"), "ip": ip4_format(address), "name": text}
            fields["interface"] = self.arrival.interface
            if not text or kind == "DHCPRELEASE":
                del fields["name"]
            self.notices.append((f"dhcp.{kind[4:].lower()}", fields))
        if state.quiet and kind not in ("DHCPNAK", "DHCPDECLINE") and (kind, text) != ("DHCPRELEASE", UNKNOWN_LEASE):
            return
        xid = f"{self.message.xid} " if state.config.log_dhcp else ""
        where = f"{ip4_format(address)} " if address is not None else ""
        mac = self.identity.hex(":") if self.identity else "<null>"
        self.lines.append((LOG_INFO, f"{xid}{kind}({self.arrival.interface}) {where}{mac} {text}"))

    def tag(self, *names: str) -> None:
        """Set tags."""
        for name in names:
            if name:
                self.tags[name] = None
        self.all_tags = tags_expand(self.state.config.tag_if, self.tags)

    def context_tags(self, context: DhcpContext | None) -> dict[str, None]:
        """Give all tags, that of the range included."""
        if context is None or not context.rule.set_tag:
            return self.all_tags
        return tags_expand(self.state.config.tag_if, {**self.tags, context.rule.set_tag: None})

    def reserved(self) -> int:
        """Give the address that dhcp-host names for this client, 0 for none."""
        return ip4_number(self.host.ipv4) if self.host is not None and self.host.ipv4 is not None else 0

    @property
    def boots(self) -> bool:
        """Tell whether this client boots from the network by what pxe-service and pxe-prompt say."""
        return self.state.pxe and bool(self.pxe_vendor) and self.arch is not None

    def boot_items(self, tags: Container[str]) -> list[PxeItem]:
        """Give the boot items for this client, with all its tags."""
        items = self.state.pxe_items
        return [one for one in items if one.service.arch == self.arch and tags_match(one.service.tags, tags)]

    def boot_prompts(self, tags: Container[str]) -> list[PxePrompt]:
        """Give the prompts for this client, with all its tags."""
        return [prompt for prompt in self.state.config.pxe_prompt if tags_match(prompt.tags, tags)]

    def server_id(self, context: DhcpContext | None) -> int:
        """Give our address as the client is to know it."""
        return (
            self.override
            or self.echoed_id
            or (context.local if context is not None and context.local else self.network.local)
        )

    def locate(self, relays: dict[bytes, int]) -> bool:
        """Find the network; False when there is no range for it.  `relays`: as network_of (54) wants it."""
        message, state = self.message, self.state
        if message.kind == DHCP_DISCOVER or OPT_REQUESTED in message.options:
            message.ciaddr = 0  # some clients fill it in where it has no meaning
        arrival = state.network(self.arrival.interface)
        agent = suboptions_unpack(self.agent) if self.agent else {}
        link, ours = agent.get(AGENT_LINK, b""), agent.get(AGENT_SERVER_ID, b"")
        self.subnet = ip4_number(link) if len(link) == 4 else message.number(OPT_SUBNET) or 0
        if len(ours) == 4:
            self.override = ip4_number(ours)
        network = arrival
        if self.subnet:
            network = state.network_of(self.subnet, arrival, message.giaddr, relays)
            self.via = f"with subnet selector {ip4_format(self.subnet)}"
        elif message.giaddr and message.giaddr != 0xFFFFFFFF:
            network = state.network_of(message.giaddr, arrival, message.giaddr, relays)
            self.via = f"via {ip4_format(message.giaddr)}"
        else:
            self.via = f"via {self.arrival.interface}"
            if message.ciaddr and not arrival.holds(message.ciaddr):
                network = state.network_of(message.ciaddr, arrival, 0, relays)
                network = network if network.contexts else arrival
        self.network = network
        if not network.contexts:
            if message.kind == DHCP_LEASEQUERY:
                return True
            self._complain_no_range()
            return False
        if not self.override and message.giaddr and _proxy_covers(state.config.dhcp_proxy, message.giaddr):
            self.override = message.giaddr
        if state.config.log_dhcp:
            for context in network.contexts:
                if context.static or context.proxy:
                    self.detail(f"available DHCP subnet: {ip4_format(context.first)}/{ip4_format(context.mask)}")
                else:
                    self.detail(f"available DHCP range: {ip4_format(context.first)} -- {ip4_format(context.last)}")
        return True

    def _complain_no_range(self) -> None:
        state = self.state
        own = [
            f"{address_format(at.address)}/{at.prefix}"
            for at in state.interfaces
            if at.interface == self.arrival.interface and len(at.address) == 4
        ]
        ranges = [f"{address_format(rule.first)} -- {address_format(rule.last)}" for rule in state.ranges[:4]]
        state.log.complain(
            ("no range", self.via),
            f"no address range available for DHCP request {self.via} "
            f"(addresses of {self.arrival.interface}: {', '.join(own) or 'none'}; "
            f"ranges: {', '.join(ranges) or 'none'})",
            tag=TAG_DHCP,
        )

    def recognise(self, leases: LeaseTable) -> None:
        """Find the client's lease, tags, name and dhcp-host entry."""
        message, state, config = self.message, self.state, self.state.config
        self.client_id = b"" if config.dhcp_ignore_clid else message.options.get(OPT_CLIENT_ID, b"")
        self.lease = leases.find(message.hardware, message.htype, self.client_id)
        if self.lease is not None and not self.client_id:
            self.client_id = self.lease.client_id
        self.identity = message.hardware or self.client_id
        self.tags[self.arrival.interface] = None
        if (state.pxe or state.pxe_options) and message.kind:
            told = message.options.get(OPT_VENDOR_CLASS, b"")
            self.pxe_vendor = next((vendor for vendor in state.pxe_vendors if told.startswith(vendor)), b"")
        self._tag_messages()
        if message.kind:
            self._read_names()
        hosts = state.hosts
        host = known = hosts.find(self.network, self.client_id, message.hardware, message.htype, self.all_tags)
        elsewhere = None
        if host is None:
            elsewhere = hosts.find(None, self.client_id, message.hardware, message.htype, self.all_tags)
        if host is None and self.asked_name and elsewhere is None:
            named = hosts.find(self.network, b"", b"", 0, self.all_tags, self.asked_name)
            if named is not None and named.client_id is None and not named.hardware:
                host = named
        self.host = host
        if host is not None:
            self.tag("known")
        elif elsewhere is not None:
            self.tag("known-othernet")
        self._tag_name()
        if host is not None:
            self.tag(*reversed(host.set_tags))
            if host.any_client_id:
                self.client_id = b""
            if host is known and host.name:
                self.name, self.name_domain = host.name, host.domain
        self.ignored = any(rule and tags_match(rule, self.all_tags) for rule in config.dhcp_ignore) or (
            host is not None and host.ignore
        )

    def _tag_name(self) -> None:
        """Set the tags that the client's name brings."""
        name = self.asked_name.lower()
        names = (name, f"{name}.{self.asked_domain.lower()}")
        for rule in reversed(self.state.config.dhcp_name_match) if name else ():
            if any(one.startswith(rule.name) if rule.prefix else one == rule.name for one in names):
                self.tag(rule.set_tag)

    def _tag_messages(self) -> None:
        """Set the tags that options and hardware address bring."""
        message, config, options = self.message, self.state.config, self.message.options
        tr069 = enterprise_data(options.get(OPT_VI_INFO, b""), TR069)
        names = ["cpewan-id"] if tr069 is not None and {1, 2} <= set(suboptions_unpack(tr069)) else []
        if self.agent:
            agent = suboptions_unpack(self.agent)
            for rules, number in (
                (config.dhcp_subscrid, AGENT_SUBSCRIBER),
                (config.dhcp_remoteid, AGENT_REMOTE),
                (config.dhcp_circuitid, AGENT_CIRCUIT),
            ):
                names += [rule.set_tag for rule in reversed(rules) if agent.get(number) == rule.data]
        for mac in reversed(config.dhcp_mac):
            if hardware_matches(mac.hardware, message.hardware, message.htype):
                names.append(mac.set_tag)
        names += [
            rule.set_tag for rule in reversed(config.dhcp_match) if rule.family == 4 and match_holds(rule, options)
        ]
        user_class, vendor_class = options.get(OPT_USER_CLASS, b""), options.get(OPT_VENDOR_CLASS, b"")
        plain = b"\0".join(counted_strings(user_class))
        names += [
            rule.set_tag for rule in reversed(config.dhcp_userclass) if rule.data in user_class or rule.data in plain
        ]
        names += [
            rule.set_tag for rule in reversed(config.dhcp_vendorclass) if vendor_class and rule.data in vendor_class
        ]
        self.tag(*names)
        if vendor_class:
            self.detail(f"vendor class: {printable_text(vendor_class)}")
        if user_class:
            self.detail(f"user class: {printable_text(user_class)}")

    def _read_names(self) -> None:
        """Take the name that the client has for itself: option 81, else option 12."""
        options = self.message.options
        raw = options.get(OPT_HOSTNAME, b"")
        self.terminate = raw[-1:] == b"\0"
        if len(options.get(OPT_FQDN, b"")) >= 3:
            flags, name = fqdn_unpack(options[OPT_FQDN])
            self.fqdn = _fqdn_reply_flags(flags, self.state.config.dhcp_client_update)
        else:
            name = raw.rstrip(b"\0").decode("latin-1")
        if not name:
            return
        label, _, domain = name.removesuffix(".").partition(".")
        if host_label_valid(label):
            self.asked_name, self.asked_domain = label, domain
            self.detail(f"client provides name: {printable_text(name.removesuffix('.').encode('latin-1', 'replace'))}")


# ==============================================================================
# 57 DHCPv4 service
#
# A message in, an outcome out: which reply goes where, and which lease it made,
# changed or ended.  DHCP4_HANDLERS is the table of message types.  RFC 951,
# RFC 2131, RFC 4039, RFC 4388.
#
# Uses 10 12 13 15 20 21 23 43 54 55 56
# ==============================================================================


def script_text(text: bytes) -> str:
    """Give foreign text as the script may have it: the octets themselves, cut at the first `=` or NUL."""
    return text.replace(b"\0", b"=").partition(b"=")[0].decode("utf-8", "surrogateescape")


class Dhcp4Service:
    """DHCPv4 for all networks; `state` is swapped by a reload, leases and pool live on.

    Whoever calls `handle` holds the lock of the leases.  It raises DhcpPing when
    an address has to be asked for on the network first: then call again.
    """

    def __init__(self, state: DhcpState, leases: LeaseTable, random_: Callable[[int], int]) -> None:
        self.state = state
        self.leases = leases
        self.pool = DhcpPool()
        self.metrics = dict.fromkeys(DHCP4_METRICS, 0)
        self.notify: Callable[[str, dict[str, str]], None] = lambda kind, fields: None  # tells the bus
        self._random = random_  # a number below its argument
        self.script = False  # whether anybody wants to know what clients say
        self._moved: set[bytes] = set()
        self._refused_names: list[tuple[Hashable, str]] = []

    def handle(self, message: Dhcp4Message, arrival: Dhcp4Arrival, now: float) -> Dhcp4Outcome | None:
        """Judge a request; None for silence."""
        state = self.state
        if message.op != BOOT_REQUEST or (message.hlen and not message.htype):
            return None
        self.expire(now)
        ex = Dhcp4Exchange(state, message, arrival, now)
        try:
            if not ex.locate(self.pool.relays):
                return None
            ex.recognise(self.leases)
            return self._dispatch(ex)
        except DhcpPing:
            ex.lines.clear()
            ex.notices.clear()
            raise
        finally:
            for priority, text in ex.lines:
                state.log.put((priority, TAG_DHCP, text))
            for kind, fields in ex.notices:
                self.notify(kind, fields)
            self._log_refused_names()

    def _dispatch(self, ex: Dhcp4Exchange) -> Dhcp4Outcome | None:
        """Give a message to what answers it: boot items, the proxy for PXE clients, or its type's handler."""
        kind, contexts = ex.message.kind, ex.network.contexts
        item = pxe_boot_item(ex.message.options) if ex.pxe_vendor and ex.state.pxe else None
        if item is not None and kind in (DHCP_REQUEST, DHCP_INFORM):
            return self._pxe_item(ex, *item)
        if ex.boots and (kind == DHCP_DISCOVER or (kind == DHCP_REQUEST and ex.arrival.pxe)):
            proxy = next((one for one in contexts if one.proxy and tags_match(one.rule.tags, ex.all_tags)), None)
            if proxy is not None:
                return self._pxe_proxy(ex, proxy)
        if ex.arrival.pxe:
            return None
        if any(one.proxy for one in contexts):  # there another server gives the addresses
            ours = [one for one in contexts if not one.proxy]
            if not ours:
                return None
            ex.network = DhcpNetwork(ours, ex.network.name, ex.network.local)
        handler = DHCP4_HANDLERS.get(kind)
        return handler(self, ex) if handler is not None else None

    # -- messages --

    def _discover(self, ex: Dhcp4Exchange) -> Dhcp4Outcome | None:
        config = ex.state.config
        reason, address = "", 0
        if ex.ignored:
            reason = "ignored"
        else:
            address = self._offer_address(ex)
            if not address:
                reason = "no address available" if ex.identity else "no unique-id"
        self._count("dhcp_discover")
        ex.event("DHCPDISCOVER", ex.requested or None, reason)
        if reason:
            return None
        context = ex.network.narrow(address, ex.all_tags)
        if context is None:
            return None
        self.pool.offer(address, ex.identity, ex.now)
        if config.dhcp_rapid_commit and OPT_RAPID_COMMIT in ex.message.options:
            return self._grant(ex, address, rapid=True)
        self._count("dhcp_offer")
        delay = self._delay(ex)
        self._log_tags(ex, context)
        ex.event("DHCPOFFER", address)
        name = ex.name if not ex.asked_name or ex.asked_name.lower() == ex.name.lower() else ""
        if ex.fqdn is not None:
            name = ex.name or ex.asked_name
        reply = self._begin(ex, context, DHCP_OFFER)
        reply.yiaddr = address
        writer = self._writer(ex, reply, context)
        self._finish_options(ex, writer, context, address, name, self._lease_time(ex, context))
        outcome = self._address_reply(ex, reply, context)
        outcome.delay = delay
        return outcome

    @staticmethod
    def _delay(ex: Dhcp4Exchange) -> int:
        """Give the seconds that an offer waits (dhcp-reply-delay)."""
        rule = ex.state.config.dhcp_reply_delay
        if rule is None or not tags_match(rule.tags, ex.all_tags):
            return 0
        ex.detail(f"reply delay: {rule.seconds}")
        return int(rule.seconds)

    def _offer_address(self, ex: Dhcp4Exchange) -> int:
        """Choose the address for an offer, 0 when there is none."""
        config, lease = ex.state.config, ex.lease
        network, leased, reserved = ex.network, self.leases.by_address, ex.reserved()
        if reserved and self._reserved_usable(ex, reserved):
            return reserved
        if (
            lease is not None
            and network.available(lease.address, ex.all_tags)
            and lease.address not in ex.state.hosts.by_address
        ):
            return lease.address
        if not ex.identity:
            return 0
        chooser = self._chooser(ex)
        asked = ex.requested
        if asked and asked not in leased and network.available(asked, ex.all_tags) and chooser.free(asked):
            return asked
        return chooser.choose(ex.all_tags, config.dhcp_sequential_ip) or 0

    def _chooser(self, ex: Dhcp4Exchange) -> DhcpChooser:
        ping = not ex.state.config.no_ping and not ex.arrival.loopback
        return DhcpChooser(ex.network, self.leases, ex.state.hosts, self.pool, ex.identity, ex.now, ping)

    def _reserved_usable(self, ex: Dhcp4Exchange, address: int) -> bool:
        """Tell whether a client can have its reserved address; the log says why not."""
        other = self.leases.by_address.get(address)
        reason = ""
        if other is not None and other is not ex.lease and not self._same_host(ex, other):
            reason = f"it is leased to {hardware_format(other.hardware, other.htype)}"
        elif ex.network.is_ours(address):
            reason = "it is in use by the server or relay"
        elif self.pool.was_declined(address, ex.now):
            reason = "it was previously declined"
        if reason:
            ex.say(f"not using configured address {ip4_format(address)} because {reason}", LOG_WARNING)
        return not reason

    @staticmethod
    def _same_host(ex: Dhcp4Exchange, lease: Lease) -> bool:
        return ex.host is not None and host_has_hardware(ex.host, lease.hardware, lease.htype)

    def _request(self, ex: Dhcp4Exchange) -> Dhcp4Outcome | None:
        message, config = ex.message, ex.state.config
        if ex.ignored:
            return None
        renewing = False
        reason = ""
        if OPT_REQUESTED in message.options:
            address = ex.requested
            server = message.number(OPT_SERVER_ID)
            if server is not None:  # SELECTING
                if not self._is_our_id(ex, server):
                    if not config.dhcp_authoritative:
                        return None
                    reason = "wrong server-ID"
                if ex.lease is not None and ex.lease.address != address:
                    self._end(ex.lease)
                    ex.lease = None
            else:  # INIT-REBOOT
                if ex.lease is None and not config.dhcp_authoritative:
                    return None
                if ex.lease is not None and ex.lease.address != address:
                    reason = "wrong address"
        else:  # RENEWING, REBINDING
            address, renewing = message.ciaddr, True
            lost = ex.lease is None and not config.dhcp_authoritative
            if lost or (ex.lease is not None and ex.lease.address != address):
                if not ex.arrival.unicast:
                    return None  # another server's client, perhaps
                reason = "lease not found"
        self._count("dhcp_request")
        ex.event("DHCPREQUEST", address)
        return self._grant(ex, address, reason, renewing)

    def _is_our_id(self, ex: Dhcp4Exchange, server: int) -> bool:
        """Tell whether the server-id of a request means us; one of another interface of ours is echoed."""
        if ex.override:
            return server == ex.override
        ours = [context for context in ex.network.contexts if context.local == server]
        if ours:  # the client has chosen one of our networks
            ex.network = DhcpNetwork(ours, ex.network.name, ex.network.local)
            return True
        if server in ex.state.server_ids:
            ex.echoed_id = server
            return True
        return False

    def _refusal(self, ex: Dhcp4Exchange, address: int, selecting: bool) -> str:
        """Tell why an address cannot be granted, "" when it can."""
        network, leases, host = ex.network, self.leases, ex.host
        reserved = ex.reserved()
        other = leases.by_address.get(address)
        owner = ex.state.hosts.by_address.get(address)
        if network.narrow(address, ex.all_tags) is None:
            return "wrong network"
        if not network.available(address, ex.all_tags) and (reserved != address or network.is_ours(address)):
            return "address not available"
        if (
            reserved
            and reserved != address
            and not selecting
            and not network.is_ours(reserved)
            and not self.pool.was_declined(reserved, ex.now)
            and leases.by_address.get(reserved) in (None, ex.lease)
        ):
            return "static lease available"
        if owner is not None and owner is not host:
            return "address reserved"
        if ex.lease is None and other is not None:
            if not self._same_host(ex, other):
                return "address in use"
            ex.say(f"abandoning lease to {hardware_format(other.hardware, other.htype)} of {ip4_format(address)}")
            ex.lease = other
        if not ex.identity:
            return "no unique-id"
        if ex.lease is None and len(leases) >= leases.limit:
            return "no leases left"
        return ""

    def _grant(
        self, ex: Dhcp4Exchange, address: int, reason: str = "", renewing: bool = False, rapid: bool = False
    ) -> Dhcp4Outcome | None:
        """Acknowledge an address, or refuse it."""
        if rapid and ex.lease is not None and ex.lease.address != address:
            self._end(ex.lease)
            ex.lease = None
        selecting = rapid or OPT_SERVER_ID in ex.message.options
        reason = reason or self._refusal(ex, address, selecting)
        if reason:
            return None if rapid else self._refuse(ex, address, reason)
        context = ex.network.narrow(address, ex.all_tags)
        assert context is not None
        tags = ex.context_tags(context)
        lease = ex.lease or self.leases.add(address)
        assert lease is not None  # _refusal has looked
        if lease.new or not renewing:
            self._note_client(ex, lease, tags)
        self.pool.offers.pop(address, None)
        self._log_tags(ex, context)
        name, fixed = self._lease_name(ex, address, tags)
        length, former_id = self._lease_time(ex, context), lease.client_id
        if self.leases.set_client(lease, ex.message.hardware, ex.message.htype, ex.client_id):
            lease.changed = True
        if ex.state.config.leasefile_ro and lease.client_id != former_id:
            lease.changed = True
        if ex.agent:
            lease.agent = ex.agent
        lease.vendor_class = ex.message.options.get(OPT_VENDOR_CLASS, b"")
        lease.relay = ex.message.giaddr or lease.relay
        if name:
            self._set_name(lease, name, fixed)
        former_end = lease.expires or 0.0
        self.leases.set_end(lease, length, ex.now)
        config = ex.state.config
        if (config.script_on_renewal or config.leasefile_ro) and int(lease.expires or 0) != int(former_end):
            lease.changed = True
        if lease.interface != ex.arrival.interface:
            lease.changed = lease.changed or bool(lease.interface)
            lease.interface = ex.arrival.interface
        ex.override = lease.override = ex.override or lease.override
        self._count("dhcp_ack")
        ex.event("DHCPACK", address, name)
        reply = self._begin(ex, context, DHCP_ACK)
        reply.yiaddr = address
        writer = self._writer(ex, reply, context)
        self._finish_options(ex, writer, context, address, name, length, self._fuzz(length) if renewing else 0, rapid)
        return self._address_reply(ex, reply, context)

    def _refuse(self, ex: Dhcp4Exchange, address: int, reason: str) -> Dhcp4Outcome:
        self._count("dhcp_nak")
        ex.event("DHCPNAK", address, reason)
        context = ex.network.narrow(address, ex.all_tags)
        reply = self._begin(ex, ex.network.contexts[0] if reason == "wrong address" else context, DHCP_NAK)
        reply.options.append((OPT_MESSAGE, reason.encode()))
        reply.siaddr = 0
        reply.flags |= DHCP_BROADCAST  # RFC 2131 s.4.1: the client may have no use of its address
        reply.ciaddr = 0
        return self._address_reply(ex, reply)

    def _decline(self, ex: Dhcp4Exchange) -> None:
        if not self._server_id_fits(ex) or OPT_REQUESTED not in ex.message.options:
            return
        address, now = ex.requested, ex.now
        self._count("dhcp_decline")
        ex.event("DHCPDECLINE", address)
        if ex.lease is not None and ex.lease.address == address:
            self._end(ex.lease)
        if address and ex.reserved() == address:
            ex.say(
                f"disabling DHCP static address {ip4_format(address)} for {duration_format(DHCP_DECLINE_SECONDS)}",
                LOG_WARNING,
            )
            self.pool.decline(address, now)
            return
        for context in ex.network.contexts:
            self.pool.bump(context)

    def _release(self, ex: Dhcp4Exchange) -> None:
        if not self._server_id_fits(ex):
            return
        self._count("dhcp_release")
        known = ex.lease is not None and ex.lease.address == ex.message.ciaddr
        if known and ex.lease is not None:
            self._end(ex.lease)
        ex.event("DHCPRELEASE", ex.message.ciaddr, "" if known else UNKNOWN_LEASE)

    def _server_id_fits(self, ex: Dhcp4Exchange) -> bool:
        server = ex.message.number(OPT_SERVER_ID)
        return server is not None and server in (
            {ex.override} if ex.override else {at.local for at in ex.network.contexts}
        )

    def _inform(self, ex: Dhcp4Exchange) -> Dhcp4Outcome | None:
        message = ex.message
        address = message.ciaddr
        self._count("dhcp_inform")
        ex.event("DHCPINFORM", address, "ignored" if ex.ignored else "")
        if ex.ignored or not address:
            return None
        context = ex.network.narrow(address, ex.all_tags)
        lease = ex.lease or self.leases.by_address.get(address)
        held = lease.name if lease is not None and lease is not ex.lease else ""
        name = ex.name or ex.state.name_of(address) or held or ex.asked_name
        self._count("dhcp_ack")
        self._log_tags(ex, context)
        ex.event("DHCPACK", address, name)
        reply = self._begin(ex, context, DHCP_ACK)
        writer = self._writer(ex, reply, context)
        if context is None:
            writer.local = 0
        if lease is not None and writer.asked(OPT_LEASE):
            writer.put(OPT_LEASE, lease.left(ex.now).to_bytes(4, "big"))
        self._finish_options(ex, writer, context, address, name)
        return self._address_reply(ex, reply, context, inform=True)

    def _bootp(self, ex: Dhcp4Exchange) -> Dhcp4Outcome | None:
        """Answer BOOTP (RFC 951): a reservation or an old lease, an address of the pool only with bootp-dynamic."""
        message, config = ex.message, ex.state.config
        if not message.hardware:
            return None
        ex.tag(printable_text(message.file.partition(b"\0")[0]), "bootp")
        ignored = any(rule and tags_match(rule, ex.all_tags) for rule in config.dhcp_ignore)
        if ex.host is not None and ex.host.ignore:
            address, reason = 0, "disabled"
        else:
            address, reason = (0, "ignored") if ignored else self._bootp_address(ex)
        context = ex.network.narrow(address, ex.all_tags) if address and not reason else None
        if not reason and context is None:
            reason = "wrong network"
        if not reason and ex.lease is not None and ex.lease.address != address:
            self._end(ex.lease)
            ex.lease = None
        if not reason and ex.lease is None and len(self.leases) >= self.leases.limit:
            reason = "no leases left"
        self._count("bootp")
        if reason not in ("disabled", "ignored"):
            self._log_tags(ex, context)
        ex.event("BOOTP", None if reason else address, reason)
        if reason or context is None:
            return None
        lease = ex.lease or self.leases.add(address)
        assert lease is not None
        if lease.new:
            self._count("leases_allocated_4")
        tags = ex.context_tags(context)
        name, fixed = self._lease_name(ex, address, tags)
        self.leases.set_client(lease, message.hardware, message.htype, b"")
        if name:
            self._set_name(lease, name, fixed)
        host_time = ex.host.lease if ex.host is not None else None
        self.leases.set_end(lease, LEASE_FOR_EVER if host_time is None or host_time < 0 else host_time, ex.now)
        lease.interface = ex.arrival.interface
        reply = self._begin(ex, context, 0)
        reply.yiaddr = address
        self._finish_options(ex, self._writer(ex, reply, context), context, address, name)
        return self._address_reply(ex, reply, context)

    def _bootp_address(self, ex: Dhcp4Exchange) -> tuple[int, str]:
        """Choose the address of a BOOTP client, or tell why there is none."""
        config, address = ex.state.config, ex.reserved()
        if address:
            other = self.leases.by_address.get(address)
            if other is not None and other is not ex.lease:
                if not self._same_host(ex, other):
                    return 0, "address in use"
                self._end(other)
            return address, ""
        if not tags_match_any(config.bootp_dynamic, ex.all_tags):
            return 0, "no address configured"
        if ex.lease is not None and ex.network.available(ex.lease.address, ex.all_tags):
            return ex.lease.address, ""
        address = self._chooser(ex).choose(ex.all_tags, config.dhcp_sequential_ip) or 0
        return address, "" if address else "no address available"

    def _leasequery(self, ex: Dhcp4Exchange) -> Dhcp4Outcome | None:
        """Tell a relay what is known of a lease, by address, client-id or hardware address (RFC 4388 s.6)."""
        message, config, options = ex.message, ex.state.config, ex.message.options
        source = ex.arrival.source.to_bytes(4, "big")
        if not message.giaddr or not any(address_in(source, net.address, net.prefix) for net in config.leasequery):
            return None
        self._count("dhcp_leasequery")
        client_id = options.get(OPT_CLIENT_ID, b"")
        address, lease = message.ciaddr, None
        if address:
            lease = self.leases.by_address.get(address)
        elif client_id:
            lease = self.leases.find(b"", 0, client_id)
        else:
            lease = next(iter(self.leases.find_hardware(message.hardware, message.htype)), None)
        ex.event("DHCPLEASEQUERY", address or None)
        ranges = [(ip4_number(rule.first), ip4_number(rule.last)) for rule in ex.state.ranges]
        here = address and any(first <= address <= last for first, last in ranges)
        kind = DHCP_LEASEACTIVE if lease is not None else DHCP_LEASEUNASSIGNED if here else DHCP_LEASEUNKNOWN
        name = _LEASEQUERY_NAMES[kind]
        self._count(name[1])
        ex.event(name[0], lease.address if lease is not None else address or None)
        reply = Dhcp4Reply(message)
        reply.options += [(OPT_TYPE, bytes((kind,))), (OPT_SERVER_ID, ex.server_id(None).to_bytes(4, "big"))]
        reply.agent = None
        if lease is not None:
            self._describe(ex, reply, lease)
        elif client_id:
            reply.options.append((OPT_CLIENT_ID, client_id))
        return self._address_reply(ex, reply)

    def _describe(self, ex: Dhcp4Exchange, reply: Dhcp4Reply, lease: Lease) -> None:
        """Put what was asked about a lease into a LEASEACTIVE reply."""
        reply.ciaddr = lease.address
        reply.request.hardware = lease.hardware
        reply.request.chaddr, reply.request.hlen, reply.request.htype = (
            lease.hardware.ljust(16, b"\0"), len(lease.hardware), lease.htype,
        )  # fmt: skip
        wanted = ex.message.options.get(OPT_PARAMETERS, b"")
        left, length = lease.left(ex.now), lease.length
        values = {OPT_CLIENT_ID: lease.client_id, OPT_AGENT: lease.agent, OPT_VENDOR_CLASS: lease.vendor_class}
        if left != LEASE_FOR_EVER:
            gone = max(length - left, 0)
            t1, t2 = length // 2 - gone, length * 7 // 8 - gone
            values[OPT_LAST_TRANSACTION] = gone.to_bytes(4, "big")
            values[OPT_T1] = t1.to_bytes(4, "big") if t1 > 0 else b""
            values[OPT_T2] = t2.to_bytes(4, "big") if t2 > 0 else b""
        values[OPT_LEASE] = left.to_bytes(4, "big")
        others = [
            other.address for other in self.leases.find_hardware(lease.hardware, lease.htype) if other is not lease
        ]
        values[OPT_ASSOCIATED] = (
            b"".join(other.to_bytes(4, "big") for other in [lease.address, *others]) if others else b""
        )
        values[OPT_HOSTNAME] = lease.name.encode()
        reply.options += [(number, values[number]) for number in wanted if number in values and values[number]]

    # -- booting from the network --

    def _pxe_item(self, ex: Dhcp4Exchange, number: int, layer: int) -> Dhcp4Outcome | None:
        """Tell a client which file a boot item is, and where: the layer of a file is its suffix."""
        state, address = ex.state, ex.message.ciaddr
        context = next((one for one in ex.network.contexts if address and one.holds(address)), None)
        item = next((one for one in state.pxe_items if one.number == number and one.service.base), None)
        if context is None or item is None or ex.ignored:
            return None
        if layer & 0x8000:
            ex.say("PXE BIS not supported", LOG_ERROR)
            return None
        ex.override = 0  # a boot server is known by its own address, whatever a relay wants
        reply, base = self._begin(ex, context, DHCP_ACK), item.service.base
        writer = self._writer(ex, reply, context)
        reply.yiaddr, reply.ciaddr = address, 0
        reply.siaddr = writer.server(item.service, state.address_in_turn, context.local)
        file = base if "." in base else f"{base}.{layer}"
        writer.name_file(file)
        chosen = suboption(71, number.to_bytes(2, "big") + layer.to_bytes(2, "big"))
        writer.pxe_identity(ex.message, ex.pxe_vendor)
        writer.pxe_choices(ex.message, [chosen], ex.boot_prompts(ex.all_tags), always=True)
        return self._pxe_reply(ex, reply, None, writer, printable_text(reply.file))

    def _pxe_proxy(self, ex: Dhcp4Exchange, context: DhcpContext) -> Dhcp4Outcome | None:
        """Tell a client what to boot, beside the server that gives it its address.

        UEFI takes a menu only by port 4011; the offer sends it there.
        """
        if ex.ignored:
            ex.event("PXE", None, "proxy-ignored")
            self._log_tags(ex, context)
            return None
        assert ex.arch is not None
        uefi, ex.override = ex.arch >= PXE_UEFI, 0  # as for boot items
        reply = self._begin(ex, context, DHCP_OFFER if ex.message.kind == DHCP_DISCOVER else DHCP_ACK)
        writer = self._writer(ex, reply, context, "proxy")
        boot, find = writer.plan.boot, ex.state.address_in_turn
        tags = ex.context_tags(context)
        single = self._single_item(ex, tags)
        if single is not None and ex.arrival.pxe:
            self._boot_item_fields(writer, single, find)
        elif single is None and boot is not None:
            writer.name_file(boot.file)
            reply.siaddr = writer.server(boot, find, context.local if uefi else 0)
        elif uefi:
            reply.siaddr = context.local
        writer.configured()
        writer.wrapped(b"")
        writer.pxe_identity(ex.message, ex.pxe_vendor)
        if not uefi or (ex.arrival.pxe and single is None):
            self._pxe_menu(ex, writer, tags, always=True)
        if not reply.ciaddr:
            reply.flags |= DHCP_BROADCAST
        return self._pxe_reply(ex, reply, context, writer, "proxy")

    @staticmethod
    def _single_item(ex: Dhcp4Exchange, tags: Container[str]) -> PxeItem | None:
        """Give the file for a UEFI client when there is only one: such a client has no use for a menu of one."""
        if ex.arch is None or ex.arch < PXE_UEFI:
            return None
        files = [one for one in ex.boot_items(tags) if one.service.base]
        return files[0] if len(files) == 1 else None

    @staticmethod
    def _boot_item_fields(writer: Dhcp4Writer, item: PxeItem, find: Callable[[str], int]) -> None:
        """Fill the fields of the header in for a boot item."""
        service, reply = item.service, writer.reply
        writer.name_file(service.base if "." in service.base else f"{service.base}.0")
        reply.siaddr = writer.server(service, find, writer.local)
        reply.sname = (service.server_host or ip4_format(reply.siaddr)).encode()[:63]

    @staticmethod
    def _pxe_menu(ex: Dhcp4Exchange, writer: Dhcp4Writer, tags: Container[str], always: bool) -> None:
        """Add the menu for a PXE client."""
        prompts = ex.boot_prompts(tags)
        find = ex.state.address_in_turn
        menu = pxe_menu(ex.boot_items(tags), writer.local, lambda one: writer.server(one, find, 0), bool(prompts))
        if menu is None:
            writer.problems.append("PXE menu too large")
        writer.pxe_choices(ex.message, menu or (), prompts, always)

    def _pxe_reply(
        self, ex: Dhcp4Exchange, reply: Dhcp4Reply, context: DhcpContext | None, writer: Dhcp4Writer, text: str
    ) -> Dhcp4Outcome | None:
        """Log what a PXE client is told, and send it to where its question came from."""
        self._count("pxe")
        for problem in writer.problems:
            ex.say(problem, LOG_WARNING)
        ex.event("PXE", reply.yiaddr or None, text)
        self._log_tags(ex, context)
        delay = 0 if reply.yiaddr else self._delay(ex)
        outcome = self._address_reply(ex, reply)
        arrival = ex.arrival
        if arrival.pxe:
            outcome = Dhcp4Outcome(outcome.wire, reply.ciaddr or arrival.source, arrival.source_port)
            if not outcome.address:
                return None
        outcome.delay = delay
        return outcome

    # -- pieces of replies --

    def _count(self, name: str) -> None:
        self.metrics[name] += 1

    def _begin(self, ex: Dhcp4Exchange, context: DhcpContext | None, kind: int) -> Dhcp4Reply:
        reply = Dhcp4Reply(ex.message)
        reply.hops = ex.message.hops
        reply.agent = ex.agent or None
        if kind:
            reply.options.append((OPT_TYPE, bytes((kind,))))
            reply.options.append((OPT_SERVER_ID, ex.server_id(context).to_bytes(4, "big")))
        return reply

    def _writer(self, ex: Dhcp4Exchange, reply: Dhcp4Reply, context: DhcpContext | None, pxe: str = "") -> Dhcp4Writer:
        asked = ex.message.options.get(OPT_PARAMETERS) if ex.message.kind else None
        wanted = None if asked is None else frozenset(asked)
        plan = ex.state.plan(ex.all_tags, ex.context_tags(context), pxe or ("client" if ex.pxe_vendor else ""))
        local = context.local if context is not None else ex.network.local
        writer = Dhcp4Writer(reply, plan, context, local, wanted, ex.terminate)
        writer.pxe_client = ex.boots
        return writer

    def _lease_time(self, ex: Dhcp4Exchange, context: DhcpContext) -> int:
        """Give the lease's length: the dhcp-host's or the range's, a shorter one if the client asks for it."""
        host = ex.host
        length = (
            context.lease if host is None or host.lease is None else LEASE_FOR_EVER if host.lease < 0 else host.lease
        )
        asked = ex.message.number(OPT_LEASE)
        return length if asked is None else min(length, max(asked, DHCP_LEASE_MIN))

    def _fuzz(self, length: int) -> int:
        """Spread renewals: a few seconds of up to an eighth of T1."""
        return 0 if length == LEASE_FOR_EVER else self._random(length // 16 + 1)

    @staticmethod
    def _put_renewal(writer: Dhcp4Writer, length: int, fuzz: int) -> None:
        """Add T1 and T2 (RFC 2131 s.4.4.5), which options 58 and 59 may set."""
        times = [length // 2, length * 7 // 8]
        for at, number in enumerate((OPT_T1, OPT_T2)):
            rule = writer.plan.plain.get(number)
            if rule is not None and len(rule.data) == 4 and 0 < ip4_number(rule.data) < length:
                times[at] = ip4_number(rule.data)
        times[0] = min(times[0], times[1] - 1)
        fuzz = min(fuzz, times[0] // 8)
        writer.put(OPT_T1, (times[0] - fuzz).to_bytes(4, "big"))
        writer.put(OPT_T2, (times[1] - fuzz).to_bytes(4, "big"))

    def _finish_options(
        self, ex: Dhcp4Exchange, writer: Dhcp4Writer, context: DhcpContext | None, address: int, name: str,
        length: int = 0, fuzz: int = 0, rapid: bool = False,
    ) -> None:  # fmt: skip
        """Add everything behind the server-id, for a lease of `length` seconds (0: none); then the log tells it."""
        reply, state = writer.reply, ex.state
        if length:
            writer.put(OPT_LEASE, length.to_bytes(4, "big"))
        if rapid:
            writer.put(OPT_RAPID_COMMIT, b"")
        writer.boot(state.address_of, not state.config.dhcp_no_override)
        tags = ex.context_tags(context) if writer.pxe_client else {}
        single = self._single_item(ex, tags) if writer.pxe_client else None
        told = single is not None and writer.plan.boot is None and OPT_FILE not in writer.plan.plain
        if single is not None and told:
            self._boot_item_fields(writer, single, state.address_in_turn)
        if ex.subnet:
            writer.put(OPT_SUBNET, ex.subnet.to_bytes(4, "big"))
        if length and length != LEASE_FOR_EVER:
            self._put_renewal(writer, length, fuzz)
        domain = state.domain_of(address)
        writer.defaults(domain, name, state.dns)
        if ex.fqdn is not None and name:
            label = name.encode()
            whole = bytes((len(label),)) + label + domain
            writer.put(OPT_FQDN, fqdn_pack(ex.fqdn, whole))
        writer.configured()
        writer.wrapped(ex.message.options.get(OPT_VENDOR_CLASS, b""))
        if writer.pxe_client:
            writer.pxe_identity(ex.message, ex.pxe_vendor)
            if single is None:
                self._pxe_menu(ex, writer, tags, always=False)
            else:
                writer.pxe_choices(ex.message, NO_MENU if told else (), ex.boot_prompts(tags), always=False)
        if tags_match_any(state.config.dhcp_broadcast, ex.all_tags):
            reply.flags |= DHCP_BROADCAST
        if ex.message.kind:
            self._log_requested(ex)
        for text in writer.problems:
            ex.say(text, LOG_WARNING)

    def _address_reply(
        self, ex: Dhcp4Exchange, reply: Dhcp4Reply, context: DhcpContext | None = None, inform: bool = False
    ) -> Dhcp4Outcome:
        """Pack a reply and decide where it goes (RFC 2131 s.4.1)."""
        message, arrival, config = ex.message, ex.arrival, ex.state.config
        asked = message.number(OPT_MAX_SIZE, 2) or 0
        limit = min(max(DHCP4_SIZE_DEFAULT, asked - 29), DHCP4_SIZE_MAX) if message.kind else DHCP4_REPLY_MIN
        wire = reply.pack(limit, not config.dhcp_no_override and OPT_PARAMETERS in message.options)
        self._log_reply(ex, reply)
        server_port, client_port = config.dhcp_alternate_port
        if message.giaddr == 0xFFFFFFFF:  # a tool of this network that asks about leases
            return Dhcp4Outcome(wire, arrival.source, arrival.source_port)
        source = context.local if context is not None else 0
        if message.giaddr:
            return Dhcp4Outcome(wire, message.giaddr, server_port)
        if reply.ciaddr:
            trusted = arrival.source and arrival.source_port and (inform or arrival.source == reply.ciaddr)
            return Dhcp4Outcome(
                wire, arrival.source if trusted else reply.ciaddr, arrival.source_port if trusted else client_port
            )
        if reply.flags & DHCP_BROADCAST or not message.hardware or not reply.yiaddr:
            return Dhcp4Outcome(wire, 0, client_port, source=source)
        return Dhcp4Outcome(wire, reply.yiaddr, client_port, message.hardware, message.htype, source)

    # -- names --

    def _lease_name(self, ex: Dhcp4Exchange, address: int, tags: dict[str, None]) -> tuple[str, bool]:
        """Choose a lease's name: dhcp-host's, that of the address in hosts data, the client's, or one that is made up.

        Gives the name, and whether nobody may take it over.
        """
        config = ex.state.config
        if ex.name:
            self._check_domain(ex, address, ex.name, dns_name_format(ex.name_domain) if ex.name_domain else "")
            return ex.name, True
        if not ex.message.kind:  # BOOTP clients say nothing of names
            return "", False
        known = ex.state.name_of(address)
        if known:
            return known, True
        if ex.asked_name and not tags_match_any(config.dhcp_ignore_names, tags):
            self._check_domain(ex, address, ex.asked_name, ex.asked_domain)
            return ex.asked_name, False
        if ex.message.hardware and tags_match_any(config.dhcp_generate_names, tags):
            return ex.message.hardware.hex("-"), False
        return "", False

    @staticmethod
    def _check_domain(ex: Dhcp4Exchange, address: int, name: str, asked: str) -> None:
        """Say that a domain is ignored which came with a name and is not the address' own."""
        domain = ex.state.domain_of(address)
        if asked and asked.lower() != (dns_name_format(domain).lower() if domain else ""):
            shown = printable_text(asked.encode("latin-1", "replace"))
            ex.say(f"Ignoring domain {shown} for DHCP host name {name}", LOG_WARNING)

    def _set_name(self, lease: Lease, name: str, fixed: bool) -> None:
        """Name a lease and put it into DNS."""
        state = self.state
        domain, former = state.domain_of(lease.address), (lease.name, lease.domain)
        loser = self.leases.set_name(lease, name, domain, fixed)
        if loser is not None:
            self.withdraw(loser)
        if former != (lease.name, lease.domain) or not state.local.lease_keys(lease.address.to_bytes(4, "big")):
            self.withdraw(lease)
            self.publish(lease)

    def publish(self, lease: Lease) -> None:
        """Put a lease's names into DNS unless something else has them there."""
        state, config = self.state, self.state.config
        if not lease.name or not config.port:
            return
        names = [lease.full_name] if lease.full_name else []
        if not (config.dhcp_fqdn and names):
            names.append(lease.bare_name)
        packed = lease.address.to_bytes(4, "big")
        for name, record_ in state.local.lease_publish(lease, packed, names, config.dhcp_ttl):
            text, whose = dns_name_format(name), f"the DHCP lease of {ip4_format(lease.address)}"
            if record_.rrtype == TYPE_A:
                held = f"{record_.source} with address {address_format(record_.rdata)}"
                text = f"not giving name {text} to {whose} because the name exists in {held}"
            else:
                text = f"{text} is a CNAME, not giving it to {whose}"
            self._refused_names.append((("name", name, packed), text))
        self._note_names(packed, state.local.lease_keys(packed))

    def _log_refused_names(self) -> None:
        refused, self._refused_names = self._refused_names, []
        for key, text in refused:
            self.state.log.complain(key, text, tag=TAG_DHCP)

    def withdraw(self, lease: Lease) -> None:
        """Take a lease's names out of DNS."""
        packed = lease.address.to_bytes(4, "big")
        self._note_names(packed, self.state.local.lease_withdraw(packed))

    def _note_names(self, address: bytes, keys: Iterable[bytes]) -> None:
        for key in keys:
            self._moved.update(dns_name_suffixes(key))
            self._moved.add(dns_reverse_name(address))

    def take_names(self) -> set[bytes]:
        """Take the names whose DNS answers may have changed since the last time (wire, lower case)."""
        moved = self._moved
        if moved:
            self._moved = set()
        return moved

    def use(self, state: DhcpState, named: bool = True) -> None:
        """Take a new state; the leases' names go into its local data, unless `rename_all` does that next."""
        moved = named and state.local is not self.state.local
        self.state = state
        self.leases.fqdn = bool(state.config.dhcp_fqdn)
        for lease in self.leases.by_address.values() if moved else ():
            self.publish(lease)
        self._log_refused_names()

    def rename_all(self) -> None:
        """After a reload: names and domains from the new configuration and hosts files."""
        state = self.state
        self.leases.forget_names()
        for lease in list(self.leases.by_address.values()):
            self.withdraw(lease)
            host = state.hosts.find(None, lease.client_id, lease.hardware, lease.htype, ())
            fits = host is not None and host.name and (host.ipv4 is None or ip4_number(host.ipv4) == lease.address)
            name, fixed = (host.name, True) if fits and host is not None else (state.name_of(lease.address), True)
            if not name:
                name, fixed = lease.name, False
            lease.fixed = False
            self.leases.set_name(lease, name, state.domain_of(lease.address), fixed)
        for lease in self.leases.by_address.values():
            self.publish(lease)
        self._log_refused_names()

    def _end(self, lease: Lease) -> None:
        self.withdraw(lease)
        self.leases.remove(lease)

    def expire(self, now: float) -> int:
        """End the leases whose time is over; tell how many there were."""
        gone = self.leases.expired(now)
        for lease in gone:
            self.withdraw(lease)
        self.metrics["leases_pruned_4"] += len(gone)
        return len(gone)

    # -- what the script and the log are told --

    def _note_client(self, ex: Dhcp4Exchange, lease: Lease, tags: dict[str, None]) -> None:
        """Keep what the client says of itself for the script (variables without DNSMASQ_)."""
        lease.changed = True
        if lease.new:
            self._count("leases_allocated_4")
        if not self.script:
            return
        options = ex.message.options
        tr069 = suboptions_unpack(enterprise_data(options.get(OPT_VI_INFO, b""), TR069) or b"")
        agent = suboptions_unpack(ex.agent or b"")
        known = {
            "VENDOR_CLASS": script_text(options.get(OPT_VENDOR_CLASS, b"")),
            "CPEWAN_OUI": script_text(tr069.get(1, b"")),
            "CPEWAN_SERIAL": script_text(tr069.get(2, b"")),
            "CPEWAN_CLASS": script_text(tr069.get(3, b"")),
            "SUPPLIED_HOSTNAME": script_text(options.get(OPT_HOSTNAME, b"")),
            "CIRCUIT_ID": script_text(agent.get(AGENT_CIRCUIT, b"")),
            "SUBSCRIBER_ID": script_text(agent.get(AGENT_SUBSCRIBER, b"")),
            "REMOTE_ID": script_text(agent.get(AGENT_REMOTE, b"")),
            "REQUESTED_OPTIONS": ",".join(map(str, options.get(OPT_PARAMETERS, b""))),
            "MUD_URL": script_text(options.get(OPT_MUD, b"")),
            "TAGS": " ".join(reversed(tags)),
        }
        for at, text in enumerate(counted_strings(options.get(OPT_USER_CLASS, b""))):
            known[f"USER_CLASS{at}"] = script_text(text)
        lease.known = {name: value for name, value in known.items() if value}

    def _log_tags(self, ex: Dhcp4Exchange, context: DhcpContext | None) -> None:
        if ex.state.config.log_dhcp:
            ex.detail(f"tags: {', '.join(reversed(ex.context_tags(context)))}")

    def _log_requested(self, ex: Dhcp4Exchange) -> None:
        if ex.state.config.log_dhcp:
            for line in options_names_log(ex.message.options.get(OPT_PARAMETERS, b"")):
                ex.detail(f"requested options: {line}")

    def _log_reply(self, ex: Dhcp4Exchange, reply: Dhcp4Reply) -> None:
        for number, _ in reply.lost:
            ex.say(f"cannot send DHCP/BOOTP option {number}: no space left in packet", LOG_WARNING)
        if not ex.state.config.log_dhcp:
            return
        if reply.file:
            ex.detail(f"bootfile name: {printable_text(reply.file)}")
        if reply.sname:
            ex.detail(f"server name: {printable_text(reply.sname)}")
        for number, data in reply.moved:
            ex.detail(option_log(number, data))
        if reply.siaddr:
            ex.detail(f"next server: {ip4_format(reply.siaddr)}")
        if reply.flags & DHCP_BROADCAST and not reply.ciaddr:
            ex.detail("broadcast response")
        for number, data in reply.options + ([(OPT_AGENT, reply.agent)] if reply.agent is not None else []):
            ex.detail(option_log(number, data))


DHCP4_METRICS = (  # dnsmasq's names, `actve` included
    "bootp", "pxe", "dhcp_ack", "dhcp_decline", "dhcp_discover", "dhcp_inform", "dhcp_nak", "dhcp_offer",
    "dhcp_release", "dhcp_request", "leases_allocated_4", "leases_pruned_4", "dhcp_leasequery",
    "dhcp_lease_unassigned", "dhcp_lease_actve", "dhcp_lease_unknown",
)  # fmt: skip
_LEASEQUERY_NAMES = {
    DHCP_LEASEACTIVE: ("DHCPLEASEACTIVE", "dhcp_lease_actve"),
    DHCP_LEASEUNASSIGNED: ("DHCPLEASEUNASSIGNED", "dhcp_lease_unassigned"),
    DHCP_LEASEUNKNOWN: ("DHCPLEASEUNKNOWN", "dhcp_lease_unknown"),
}
DHCP4_HANDLERS: dict[int, Callable[[Dhcp4Service, Dhcp4Exchange], Dhcp4Outcome | None]] = {
    0: Dhcp4Service._bootp,
    DHCP_DISCOVER: Dhcp4Service._discover,
    DHCP_REQUEST: Dhcp4Service._request,
    DHCP_DECLINE: Dhcp4Service._decline,
    DHCP_RELEASE: Dhcp4Service._release,
    DHCP_INFORM: Dhcp4Service._inform,
    DHCP_LEASEQUERY: Dhcp4Service._leasequery,
}


# ==============================================================================
# 58 DHCPv4 relaying
#
# Between a client's network and a server elsewhere: what is sent on, and what
# comes back.  RFC 1542 s.4, RFC 3046, RFC 3527, RFC 5107.
#
# Uses 10 23 30
# ==============================================================================


def relay_request(wire: bytes, rule: DhcpRelay, uplink: int, index: int, unicast: bool = False) -> bytes | None:
    """Make what a relay sends on of a client's message (RFC 1542 s.4.1.1); None: not to be relayed.

    `uplink` is our address towards the server, for dhcp-split-relay (RFC 3527,
    RFC 5107); `unicast` how the message came (RFC 5010).
    """
    message = dhcp4_unpack(wire)
    local = ip4_number(rule.local)
    if message.op != BOOT_REQUEST or message.hops > DHCP4_HOPS_MAX:
        return None
    if message.giaddr and message.giaddr in (local, uplink if rule.split else local):
        return None  # it has been here
    out = bytearray(wire)
    out[3] = message.hops + 1
    if not message.giaddr:
        out[24:28] = (uplink if rule.split else local).to_bytes(4, "big")
        if rule.split and message.cookie and OPT_AGENT not in message.options:
            agent = suboptions_pack(
                (
                    (AGENT_LINK, rule.local),
                    (AGENT_SERVER_ID, rule.local),
                    (AGENT_FLAGS, b"\x80" if unicast else b"\0"),
                    (AGENT_REMOTE, index.to_bytes(4, "big")),
                )
            )
            end = _options_end(wire)
            out[end:] = bytes((OPT_AGENT, len(agent))) + agent + b"\xff"
    return bytes(out).ljust(len(wire), b"\0")


def _options_end(wire: bytes) -> int:
    """Find where the option 255 of a message stands, or would."""
    pos = 240
    while pos < len(wire) and wire[pos] != OPT_END:
        pos += 1 if wire[pos] == OPT_PAD else 2 + (wire[pos + 1] if pos + 1 < len(wire) else 0)
    return min(pos, len(wire))


def relay_reply(wire: bytes) -> tuple[Dhcp4Message, bytes, int]:
    """Take a server's reply to a relayed message: the message, the bytes for the client, and the interface index.

    The option that dhcp-split-relay added is taken out again; the index is 0 when there was none.
    """
    message = dhcp4_unpack(wire)
    agent = suboptions_unpack(message.options.get(OPT_AGENT, b""))
    index = agent.get(AGENT_REMOTE, b"")
    if AGENT_LINK not in agent or AGENT_SERVER_ID not in agent or len(index) != 4:
        return message, wire, 0
    pos, end = 240, _options_end(wire)
    out = bytearray(wire[:240])
    while pos + 1 < end:
        size = 1 if wire[pos] == OPT_PAD else 2 + wire[pos + 1]
        if wire[pos] != OPT_AGENT:
            out += wire[pos : pos + size]
        pos += size
    return message, bytes(out + b"\xff").ljust(DHCP4_REPLY_MIN, b"\0"), int.from_bytes(index, "big")


# ==============================================================================
# 59 TFTP transfers
#
# Which file a request means, what is negotiated, and the conversation: packets
# in, packets out.  RFC 1350, RFC 2347, RFC 2348, RFC 2349, RFC 7440.
#
# Uses 10 11 12 26 30
# ==============================================================================


class TftpRefusal(PydnsmasqError):
    """Why there is no (further) transfer: the code and text that the client and the log get."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code
        self.text = text

    def pack(self) -> bytes:
        """Pack the ERROR that says so."""
        return tftp_error_pack(self.code, self.text)


# --- names of files ---


def tftp_root(config: Config, interface: str) -> str:
    """Give the directory for requests that come in on an interface, "" for none; the last line counts."""
    roots: dict[str, str] = {root.interface: root.path for root in config.tftp_root}
    return roots.get(interface, roots.get("", ""))


def tftp_subdirectories(config: Config, address: str, hardware: bytes) -> list[str]:
    """Give the directories of a client's own that may follow the root (tftp-unique-root), one within the other."""
    out = []
    if "ip" in config.tftp_unique_root:
        out.append(address)
    if "mac" in config.tftp_unique_root and hardware:
        out.append(hardware.hex("-"))
    return out


def tftp_path(config: Config, root: str, name: bytes) -> str:
    """Make the path of the file that a request names; TftpRefusal for a way out of the root.

    Octets that are no UTF-8 become surrogates, as os.fsdecode() makes them.
    """
    name = name.replace(b"\\", b"/")
    if config.tftp_lowercase:
        name = name.lower()
    text: str = name.decode("utf-8", "surrogateescape")
    if not root:
        return text if text[0] == "/" else f"/{text}"
    base = root if root[-1] == "/" else f"{root}/"
    path: str = text if text.startswith(base) else base + text.removeprefix("/")
    if "/../" in f"{path}/":
        raise TftpRefusal(TFTP_DENIED, f"cannot access {tftp_path_text(path)}: Permission denied")
    return path


def tftp_path_text(path: str) -> str:
    """Show a path in the log and in errors."""
    return printable_text(path.encode("utf-8", "surrogateescape"))


# --- options ---

_TFTP_NUMBER = Pattern(rb"\s*([+-]?\d{1,20})")


def _tftp_number(text: bytes) -> int:
    """Read a number as C's atoi does, but without overflow."""
    match = _TFTP_NUMBER.match(text)
    return int(match[1]) if match is not None else 0


@record
class TftpTerms:
    """What a transfer was agreed on: octets in a block, blocks in a window, the client's wish for time-outs (0: none).

    `accepted` are the options for the OACK.
    """

    block: int
    window: int
    timeout: int
    accepted: dict[str, int]


def tftp_terms(config: Config, request: TftpRequest, size: int, mtu: int, ipv6: bool) -> TftpTerms:
    """Negotiate: blksize, tsize, timeout, windowsize, in this order (RFC 2348, RFC 2349, RFC 7440).

    `mtu` is that of the client's interface, 0 for unknown: blocks never need fragments.
    """
    options = request.options
    accepted: dict[str, int] = {}
    terms = TftpTerms(TFTP_BLOCK, 1, 0, accepted)
    if b"blksize" in options and not config.tftp_no_blocksize:
        asked = _tftp_number(options[b"blksize"])
        most = _block_max(min(mtu or 0xFFFF, config.tftp_mtu or 0xFFFF), ipv6)
        accepted["blksize"] = terms.block = most if asked < 0 else max(1, min(asked, most))
    if b"tsize" in options and not request.netascii:
        accepted["tsize"] = size
    if b"timeout" in options and 1 <= _tftp_number(options[b"timeout"]) <= 255:
        accepted["timeout"] = terms.timeout = _tftp_number(options[b"timeout"])
    if b"windowsize" in options and not request.netascii and _tftp_number(options[b"windowsize"]) > 0:
        accepted["windowsize"] = terms.window = min(_tftp_number(options[b"windowsize"]), TFTP_WINDOW_MAX)
    return terms


def _block_max(mtu: int, ipv6: bool) -> int:
    return max(min(mtu - (52 if ipv6 else 32), TFTP_BLOCK_MAX), TFTP_BLOCK_MIN)


# --- the conversation ---

if TYPE_CHECKING:

    class TftpSource(Protocol):
        """A file that is being sent."""

        def read(self, offset: int, size: int) -> bytes:
            """Give octets; fewer only at the end.  TftpRefusal when the file is not what it was."""

        def check(self) -> None:
            """Raise TftpRefusal when the file is not what it was."""


class NetasciiSource:
    """A source as netascii, read from its beginning to its end; what was left behind is not kept."""

    def __init__(self, source: TftpSource) -> None:
        self._source = source
        self.check = source.check
        self._raw = 0  # octets of the file that were taken
        self._start = 0  # where the text that is kept begins
        self._text = b""

    def read(self, offset: int, size: int) -> bytes:
        """Give octets of the text, at an offset that never goes back behind the last one."""
        self._text = self._text[offset - self._start :]
        self._start = offset
        while len(self._text) < size:
            piece = self._source.read(self._raw, TFTP_CHUNK)
            if not piece:
                break
            self._raw += len(piece)
            self._text += netascii_encode(piece)
        return self._text[:size]


class TftpTransfer:
    """One file on its way to one client, in windows of one or more blocks.

    Blocks count from 1 without wrapping; block 0 is the OACK.  The methods return
    the datagrams to send; all of a window but the last have the same size.
    `outcome` is "" until the transfer is "sent", has "failed", or the client was
    only "asking" for the size; `line` is what the log should say besides.
    `progress` is when the client last acknowledged anything.  `due` is when on_timer wants to be called.
    """

    __slots__ = (
        "outcome", "line", "due", "terms", "_source", "_oack", "_block", "_window", "_acked", "_sent", "_last",
        "_chunk", "_chunk_at", "_chunk_size", "_sent_at", "progress", "_looked", "_sample_at", "_trip", "_spread",
        "_repeats", "_wait",
    )  # fmt: skip

    def __init__(self, source: TftpSource, terms: TftpTerms) -> None:
        self.outcome = self.line = ""
        self.terms = terms
        self._source = source
        self._oack = tftp_oack_pack(terms.accepted) if terms.accepted else b""
        self._block, self._window = terms.block, terms.window
        self._acked = self._sent = -1 if self._oack else 0
        self._last = sys.maxsize  # the number of the last block, once it was read
        self._chunk, self._chunk_at = b"", 1  # behind the first block: nothing was read yet
        once = self._block * self._window  # whole windows are read ahead where they are small
        self._chunk_size = once * (TFTP_CHUNK // once) if once <= TFTP_CHUNK else max(
            self._block, TFTP_CHUNK // self._block * self._block
        )  # fmt: skip
        self.due = self._sent_at = self.progress = self._looked = self._sample_at = 0.0
        self._trip = self._spread = 0.0  # smoothed round trip and its deviation, in seconds (RFC 6298)
        self._repeats = 0  # retransmissions since the last progress
        self._wait = 0.0  # seconds until the next one
        self._repeated(0)

    def start(self, now: float) -> Sequence[bytes]:
        """Begin: the OACK or the first block.  Also for a request that comes again before it was answered."""
        self.progress = self.progress or now
        self._sent = self._acked
        return self._send(now)

    @property
    def begun(self) -> bool:
        """Tell whether the client has acknowledged anything."""
        return self._acked > (-1 if self._oack else 0)

    @property
    def complete(self) -> bool:
        """Tell whether everything was sent; perhaps the last acknowledgement is missing."""
        return self._sent == self._last

    def on_packet(self, data: bytes, now: float) -> Sequence[bytes]:
        """Take a packet of the client's.

        Only what is new moves the transfer on: an acknowledgement that comes twice
        is not answered twice (RFC 1123 s.4.2.3.1).
        """
        if data[:2] != TFTP_ACK or len(data) < 4:
            return self._on_error(data) if data[:2] == TFTP_ERROR and len(data) >= 4 else ()
        step = ((data[2] << 8 | data[3]) - self._acked) & 0xFFFF
        if not 0 < step <= self._sent - self._acked:
            return self._on_gap(now) if not step and self._window > 1 and self.begun else ()
        if self._repeats:
            self._repeated(0)
        elif now >= self._sample_at:
            self._sample(now)
        self._acked += step
        self.progress = now
        if self._acked == self._last:
            self.outcome = "sent"
            return ()
        self._sent = self._acked  # in the middle of a window: what follows was lost (RFC 7440 s.4)
        return self._send(now)

    def _on_error(self, data: bytes) -> Sequence[bytes]:
        code, text = tftp_error_unpack(data)
        self.line = f"error {code} {printable_text(text)} received"
        # No harm when it has everything but has not said so; firmware breaks off when it knows the size.
        self.outcome = "sent" if self.complete else "asking" if self._sent == 0 else "failed"
        return ()

    def _on_gap(self, now: float) -> Sequence[bytes]:
        """Begin the window again: its first block was lost.  Once: many packets may say so."""
        if now - self._sent_at < (self._trip / 2 or TFTP_RESEND_MIN):
            return ()
        self._sent = self._acked
        self._repeated(self._repeats + 1)
        return self._send(now)

    def on_refused(self, now: float) -> None:
        """Hear that nobody is at the client's port: the end, unless something came from there just now."""
        if not self.begun or now - self.progress >= TFTP_AGAIN:
            self.outcome = "sent" if self.begun and self.complete else "failed"

    def on_timer(self, now: float) -> Sequence[bytes]:
        """Send again what was not acknowledged in time, ever more slowly; give up at last."""
        if now - self.progress >= TFTP_PATIENCE:
            self.outcome = "sent" if self.complete else "failed"
            return ()
        if now < self.due:
            return ()
        self._repeated(self._repeats + 1)
        self._sent = self._acked
        return self._send(now)

    def _sample(self, now: float) -> None:
        """Learn the round trip, now and then (RFC 6298 s.2; Karn: not from what was sent twice)."""
        trip = now - self._sent_at
        if self._trip:
            self._spread += (abs(self._trip - trip) - self._spread) / 4
            self._trip += (trip - self._trip) / 8
        else:
            self._trip, self._spread = trip, trip / 2
        self._sample_at = now + TFTP_SAMPLE
        self._repeated(0)

    def _repeated(self, times: int) -> None:
        """Choose how long to wait for an answer to what was sent once or, with `times`, again."""
        self._repeats = times
        asked = self.terms.timeout
        once = max(self._trip + 4 * self._spread, TFTP_RESEND_MIN) if self._trip else asked or TFTP_RESEND_START
        self._wait = min(once * (1 << min(times, 10)), asked or TFTP_RESEND_MAX, TFTP_PATIENCE / 2)

    def _send(self, now: float) -> Sequence[bytes]:
        """Give the blocks that the window has room for."""
        self._sent_at = now
        self.due = now + self._wait
        if self._acked < 0:
            self._sent = 0
            return (self._oack,)
        try:
            if now - self._looked > TFTP_LOOK:
                self._looked = now
                self._source.check()
            if self._window == 1:
                return (self._read(self._acked + 1),)
            out = []
            while self._sent < min(self._acked + self._window, self._last):
                out.append(self._read(self._sent + 1))
            return out
        except TftpRefusal as refusal:
            self.outcome, self.line = "failed", refusal.text
            return (refusal.pack(),)

    def _read(self, number: int) -> bytes:
        """Make a block; a short one is the last."""
        at, size = (number - 1) * self._block - self._chunk_at, self._block
        data = self._chunk[at : at + size] if at >= 0 else b""
        if len(data) < size and (at < 0 or len(self._chunk) == self._chunk_size):
            self._chunk_at = (number - 1) * size
            self._chunk = self._source.read(self._chunk_at, self._chunk_size)
            data = self._chunk[:size]
        if len(data) < size:
            self._last = number
        self._sent = number
        return TFTP_DATA + (number & 0xFFFF).to_bytes(2, "big") + data


# ==============================================================================
# 60 Operating system
#
# Files, interfaces, log sinks, privileges: everything that is Linux and nothing
# that is a protocol of ours.  Works without /proc and /sys (netlink instead).
#
# Uses 10 11 13 20 29 33 40
# ==============================================================================

# Constants that the socket module lacks on some Python versions; the same on every Linux architecture.
IP_PKTINFO, IPV6_RECVPKTINFO, IPV6_PKTINFO = 8, 49, 50
_RTM_GETLINK, _RTM_GETADDR, _RTM_GETNEIGH = 18, 22, 30
_RTM_NEWLINK, _RTM_NEWADDR, _RTM_NEWNEIGH = 16, 20, 28
_NLM_REQUEST_DUMP = 0x301
_SOL_NETLINK, _NETLINK_CAP_ACK, _NETLINK_NETFILTER = 270, 10, 12
_RTMGRP = 0x1 | 0x10 | 0x100 | 0x40 | 0x400  # links, addresses and routes of both families
_F_NOTIFY, _DN_CHANGES = 1026, 0x02 | 0x04 | 0x08 | 0x10 | 0x8000_0000  # modify, create, delete, rename; always
_NUD_PRESENT = 0x02 | 0x04 | 0x08 | 0x10 | 0x80  # reachable, stale, delay, probe, permanent
_IFF_UP, _IFF_LOOPBACK = 0x1, 0x8
_IFA_TEMPORARY, _IFA_DADFAILED, _IFA_DEPRECATED, _IFA_TENTATIVE = 0x01, 0x08, 0x20, 0x40


class SystemSource:
    """The file system and the user database, as section 33 wants them.

    Relative paths keep the meaning that they had at the start, also after the
    daemon has gone to the root directory.
    """

    _base = os.getcwd()

    def _path(self, path: str) -> str:
        return os.path.join(self._base, path)

    def read(self, path: str) -> Iterator[bytes]:
        """Give a file in chunks; OSError when it cannot be opened or read."""
        with open(self._path(path), "rb", buffering=0) as file:
            while chunk := file.read(CONFIG_CHUNK):
                yield chunk

    def identity(self, path: str) -> tuple[int, int]:
        """Give what tells two files apart: device and inode."""
        status = os.stat(self._path(path))
        return status.st_dev, status.st_ino

    def listdir(self, path: str) -> list[str]:
        """List a directory, unsorted."""
        return os.listdir(self._path(path))

    def is_file(self, path: str) -> bool:
        """Tell whether `path` is a regular file."""
        return os.path.isfile(self._path(path))

    def files(self, path: str) -> list[str]:
        """Give the files that a path stands for: itself, or those of a directory; OSError."""
        path = self._path(path)
        return directory_files(path) if os.path.isdir(path) else [path]

    def run(self, command: str) -> tuple[int, bytes]:
        """Run a shell command; give its exit code and its output."""
        reader, writer = os.pipe()
        pid = os.fork()
        if not pid:
            os.dup2(writer, 1)
            os.closerange(3, 256)
            try:
                os.execv("/bin/sh", ["sh", "-c", command])
            finally:
                os._exit(127)
        os.close(writer)
        with os.fdopen(reader, "rb") as stream:
            output = stream.read()
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), output

    def stdin(self) -> bytes:
        """Read standard input to its end."""
        return sys.stdin.buffer.read()

    def user_exists(self, name: str) -> bool:
        """Tell whether there is a user `name`."""
        return user_find(name) is not None

    def group_exists(self, name: str) -> bool:
        """Tell whether there is a group `name`."""
        return group_find(name) is not None


def user_find(name: str) -> tuple[int, int] | None:
    """Find a user's id and primary group."""
    try:
        entry = pwd.getpwnam(name)
    except (KeyError, ValueError):
        return None
    return entry.pw_uid, entry.pw_gid


def group_find(name: str) -> int | None:
    """Find a group's id."""
    try:
        return grp.getgrnam(name).gr_gid
    except (KeyError, ValueError):
        return None


def directory_files(path: str) -> list[str]:
    """List the files of a hosts directory: no dot files, no `~` at the end, no `#...#`; sorted."""
    path = os.path.join(SystemSource._base, path)
    names = sorted(name for name in os.listdir(path) if not name_is_backup(name))
    return [full for full in (os.path.join(path, name) for name in names) if os.path.isfile(full)]


def directories_signs(directories: Iterable[str]) -> dict[str, int]:
    """Take what tells whether a file of some directories has changed."""
    signs: dict[str, int] = {}
    for directory in directories:
        try:
            paths = directory_files(directory)
        except OSError:
            continue
        for path in paths:
            try:
                status = os.stat(path)
            except OSError:  # it has gone meanwhile
                continue
            signs[path] = status.st_mtime_ns + status.st_size + status.st_ino
    return signs


def hostname_read() -> bytes:
    """Give this machine's name in wire form, the root when it has none that is valid."""
    try:
        return dns_name_parse(socket.gethostname())
    except ValueError:
        return DNS_ROOT


def resolv_domain_read(paths: Sequence[str]) -> bytes:
    """Give the first entry of the `search` or `domain` line of the resolv file (domain=#)."""
    for path in paths[:1]:
        try:
            with open(path, "rb") as file:
                lines = file.read(1 << 16).split(b"\n")
        except OSError:
            return b""
        for line in lines:
            words = line.split()
            if len(words) > 1 and words[0] in (b"search", b"domain"):
                try:
                    return dns_name_parse(words[1].decode("latin-1"))
                except ValueError:
                    return b""
    return b""


class DirectoryWatch:
    """Has SIGIO sent when something changes in a directory (dnotify), so that nobody has to wait for the next look.

    A kernel without it, or a directory that is not there, is no error: looking
    from time to time finds everything.
    """

    def __init__(self) -> None:
        self._descriptors: list[int] = []

    def follow(self, directories: Iterable[str]) -> None:
        """Follow these directories, and no others any more."""
        for fd in self._descriptors:
            os.close(fd)
        self._descriptors = []
        for directory in directories:
            try:
                fd = os.open(os.path.join(SystemSource._base, directory), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
                self._descriptors.append(fd)
                fcntl.fcntl(fd, _F_NOTIFY, _DN_CHANGES)
            except OSError:
                continue


def error_text(error: OSError) -> str:
    """Give the system's words for an error."""
    return error.strerror or str(error)


# --- netlink ---


def _netlink_dump(kind: int, family: int) -> list[tuple[int, bytes]]:
    """Ask the kernel for all objects of a kind: (message type, payload) pairs; empty where netlink is refused."""
    out: list[tuple[int, bytes]] = []
    try:
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, 0) as sock:
            sock.bind((0, 0))
            sock.settimeout(2.0)
            sock.send(netlink_pack(kind, _NLM_REQUEST_DUMP, 1, struct.pack("=B15x", family)))
            while True:
                for message, _, payload in netlink_messages(sock.recv(1 << 17)):
                    if message in (NLMSG_DONE, NLMSG_ERROR):
                        return out
                    out.append((message, payload))
    except OSError:
        return out


def interfaces_read() -> tuple[InterfaceAddress, ...]:
    """Read the addresses of all interfaces that are up."""
    links: dict[int, tuple[str, int]] = {}
    for message, data in _netlink_dump(_RTM_GETLINK, 0):
        if message == _RTM_NEWLINK and len(data) >= 16:
            _, _, index, flags = struct.unpack_from("=BxHiI", data)
            links[index] = (netlink_attributes(data, 16).get(3, b"").rstrip(b"\0").decode("utf-8", "replace"), flags)
    out = []
    for message, data in _netlink_dump(_RTM_GETADDR, 0):
        if message != _RTM_NEWADDR or len(data) < 8:
            continue
        family, prefix, flags, _, index = struct.unpack_from("=BBBBI", data)
        attributes = netlink_attributes(data, 8)
        address = attributes.get(2, attributes.get(1, b""))
        name, link_flags = links.get(index, ("", 0))
        if len(address) not in (4, 16) or not name or not link_flags & _IFF_UP:
            continue
        if 8 in attributes:
            flags = int.from_bytes(attributes[8], sys.byteorder)
        permanent = len(address) == 4 or not flags & (
            _IFA_TEMPORARY | _IFA_DADFAILED | _IFA_DEPRECATED | _IFA_TENTATIVE
        )
        label = attributes.get(3, b"").rstrip(b"\0").decode("utf-8", "replace")
        out.append(InterfaceAddress(name, index, address, prefix, permanent, bool(link_flags & _IFF_LOOPBACK), label))
    return tuple(out)


def neighbour_mac(address: bytes) -> bytes:
    """Look an address up in the kernel's neighbour table; b"" when it is not there."""
    family = socket.AF_INET if len(address) == 4 else socket.AF_INET6
    for message, data in _netlink_dump(_RTM_GETNEIGH, family):
        if message == _RTM_NEWNEIGH and len(data) >= 12:
            attributes = netlink_attributes(data, 12)
            if attributes.get(1) == address:
                return attributes.get(2, b"")
    return b""


def neighbours_read() -> dict[bytes, bytes]:
    """Read the hardware addresses of all neighbours that the kernel knows to be there."""
    out = {}
    for message, data in _netlink_dump(_RTM_GETNEIGH, 0):
        if message == _RTM_NEWNEIGH and len(data) >= 12 and int.from_bytes(data[8:10], sys.byteorder) & _NUD_PRESENT:
            attributes = netlink_attributes(data, 12)
            if attributes.get(1) and any(attributes.get(2, b"")):
                out[attributes[1]] = attributes[2]
    return out


def netlink_monitor() -> socket.socket | None:
    """Open a socket that becomes readable when interfaces or addresses change; None where that is refused."""
    try:
        sock = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK, 0)
        sock.bind((0, _RTMGRP))
    except OSError:
        return None
    return sock


# --- who holds a port ---


def _links_of(pid: str) -> set[str]:
    """Read what the descriptors of a process point to; descriptors and processes may vanish meanwhile."""
    out = set()
    try:
        for fd in os.listdir(f"/proc/{pid}/fd"):
            try:
                out.add(os.readlink(f"/proc/{pid}/fd/{fd}"))
            except OSError:
                continue
    except OSError:
        pass
    return out


def port_holder(port: int, tcp: bool) -> str:
    """Name the processes that hold a local port, as far as /proc tells: "held by named (pid 612)"."""
    inodes = set()
    for table in ("tcp", "tcp6") if tcp else ("udp", "udp6"):
        try:
            with open(f"/proc/net/{table}", encoding="utf-8") as file:
                rows = [line.split() for line in file][1:]
        except OSError:
            continue
        inodes |= {
            f"socket:[{row[9]}]"
            for row in rows
            if int(row[1].rpartition(":")[2], 16) == port and (not tcp or row[3] == "0A")
        }
    holders = []
    for pid in filter(str.isdigit, os.listdir("/proc") if inodes else ()):
        if not inodes.isdisjoint(_links_of(pid)):
            try:
                with open(f"/proc/{pid}/comm", encoding="utf-8", errors="replace") as file:
                    holders.append(f"{file.read().strip()} (pid {pid})")
            except OSError:  # it has ended meanwhile
                continue
    return f"held by {', '.join(holders)}" if holders else ""


# --- log sinks ---


class FileSink:
    """A log file, opened anew on SIGUSR2; "-" is standard error.  `pid` 0 and not `times` leave those out."""

    def __init__(self, path: str, pid: Callable[[], int], name: str, times: bool = True) -> None:
        self.path = path
        self._pid = pid
        self._name = name
        self._times = times
        self._fd = 2
        if path != "-":
            self.reopen()

    def reopen(self) -> None:
        """Open the file (again); OSError when that fails, and the old one stays."""
        if self.path == "-":
            return
        fd = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o640)
        if self._fd > 2:  # keep the number: the writer may be using it
            os.dup2(fd, self._fd, inheritable=False)
            os.close(fd)
        else:
            self._fd = fd

    def close(self) -> None:
        """Close the file."""
        if self._fd > 2:
            os.close(self._fd)
            self._fd = 2

    def own(self, uid: int, gid: int) -> None:
        """Give the file to the account that the daemon runs as."""
        if self._fd > 2 and stat.S_ISREG(os.fstat(self._fd).st_mode):
            os.fchown(self._fd, uid, -1)
            if gid == 0:
                os.fchmod(self._fd, 0o660)

    def __call__(self, stamp: float, lines: list[Any]) -> None:
        """Write a batch of lines; a partial write is completed."""
        data = log_format(stamp if self._times else 0.0, self._pid(), self._name, lines).encode("utf-8", "replace")
        while data:
            data = data[os.write(self._fd, data) :]


class SyslogSink:
    """The local syslog daemon, by /dev/log; connected again after it went away."""

    def __init__(self, facility: int, pid: Callable[[], int], name: str) -> None:
        self._facility = facility
        self._pid = pid
        self._name = name
        self._sock: socket.socket | None = None

    def close(self) -> None:
        """Close the socket."""
        if self._sock is not None:
            self._sock.close()
            self._sock = None

    def _connected(self) -> socket.socket:
        if self._sock is None:
            sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
            sock.settimeout(SYSLOG_PATIENCE)
            try:
                sock.connect("/dev/log")
            except OSError:
                sock.close()
                raise
            self._sock = sock
        return self._sock

    def __call__(self, stamp: float, lines: list[Any]) -> None:
        """Send each line as a datagram (RFC 3164)."""
        for line in lines:
            priority = LOG_INFO if isinstance(line, str) else line[0]
            data = f"<{self._facility * 8 + priority}>{log_format(stamp, self._pid(), self._name, [line])}".rstrip("\n")
            try:
                self._connected().send(data.encode("utf-8", "replace"))
            except OSError:
                if self._sock is not None:
                    self._sock.close()
                    self._sock = None
                raise


# --- process ---


def descriptors_raise() -> int:
    """Raise the soft limit of open files to the hard one (at most 65536); give the limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    want = 65_536 if hard == resource.RLIM_INFINITY else min(hard, 65_536)
    if soft < want:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (want, hard))
            return want
        except (OSError, ValueError):
            pass
    return soft


class CpuShare:
    """Has threads that hand the interpreter to each other keep to one CPU while they do so often.

    Between two CPUs each hand-over of a system call costs a wake-up of the other
    one: of a forwarded query's time more than all that is done for it.  Threads
    that are seldom in each other's way are left to the system.
    """

    def __init__(self) -> None:
        self._threads: set[threading.Thread] = set()
        self._cpus = os.sched_getaffinity(0)
        self._together = False

    def join(self) -> None:
        """Take the calling thread in."""
        self._threads.add(threading.current_thread())

    def weigh(self, rate: float) -> None:
        """Judge by the hand-overs per second."""
        together = rate > CPU_SHARE_RATE
        if together == self._together:
            return
        self._together = together
        self._threads = {thread for thread in list(self._threads) if thread.is_alive()}
        for thread in self._threads:
            try:
                os.sched_setaffinity(thread.native_id or 0, {max(self._cpus)} if together else self._cpus)
            except OSError:  # it may not: all stays as it is
                return


def memory_available() -> int:
    """Tell how many octets of memory are free for use, 64 MiB when the system does not say."""
    try:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError):
        return 64 << 20


def process_rename(name: str) -> None:
    """Set the process' name for ps and pidof, where /proc is."""
    try:
        with open("/proc/self/comm", "w", encoding="utf-8") as file:
            file.write(name)
    except OSError:
        pass


def _process_text(pid: int | str, what: str) -> bytes:
    """Read a file of /proc about a process, b"" when it has none (any more)."""
    try:
        with open(f"/proc/{pid}/{what}", "rb") as file:
            return file.read()
    except OSError:
        return b""


def _is_twin(pid: int, owner: int, arguments: Sequence[str]) -> bool:
    """Tell whether a process is this program, started by the same words in the same network namespace.

    `owner` is the account that has the pid file, as the server was to run as.
    """
    words, own = (_process_text(one, "cmdline").split(b"\0")[:-1] for one in (pid, "self"))
    name, count = _process_text(pid, "comm"), len(words) - len(arguments)
    return (
        pid != os.getpid()
        and 1 <= count <= 8  # the interpreter, its flags, the script
        and words[0] == own[0]
        and words[count:] == [os.fsencode(word) for word in arguments]
        and name == _process_text("self", "comm")
        and (bool(arguments) or name == b"dnsmasq\n")
        and os.stat(f"/proc/{pid}").st_uid in (os.getuid(), owner)
        and os.readlink(f"/proc/{pid}/ns/net") == os.readlink("/proc/self/ns/net")
    )


def twin_end(pid_file: str, arguments: Sequence[str]) -> int:
    """End a server that was started by the same words and stands in our pid file; give its process id, or 0.

    It is for those who know a server by its executable (libvirtd, start-stop-daemon):
    they do not know ours again, as it is Python, and start another.
    """
    try:
        # No symbolic link, and no pipe that nobody writes to: the directory may be another account's.
        fd = os.open(pid_file, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
        with os.fdopen(fd, "rb", buffering=0) as file:
            pid, owner = int(file.read(16) or b""), os.fstat(fd).st_uid
        if not _is_twin(pid, owner, arguments):
            return 0
        os.kill(pid, signal.SIGTERM)
    except (OSError, ValueError):
        return 0
    deadline = time.monotonic() + TWIN_SECONDS
    while time.monotonic() < deadline:
        state = _process_text(pid, "stat").rpartition(b") ")[2][:1]
        if state in (b"", b"Z", b"X"):  # only now its sockets are surely closed
            break
        time.sleep(0.05)
    return pid


def pid_file_write(path: str, owner: tuple[int, int] | None) -> None:
    """Write the process id to `path`, removing what was there; the file belongs to `owner` (uid, gid)."""
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
    try:
        os.write(fd, b"%d\n" % os.getpid())
        if owner is not None and os.getuid() == 0:
            os.fchown(fd, owner[0], owner[1])
    finally:
        os.close(fd)


def children_reap() -> None:
    """Take notice of children that have ended; to process 1 those of others come, too."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:  # there are none
        pass


def child_settle(name: str, channel: socket.socket, keep_output: bool = False) -> None:
    """Make a forked child one that only knows `channel`: no signals, no other descriptors, a name of its own."""
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(number, signal.SIG_IGN)
    process_rename(name)
    null = os.open(os.devnull, os.O_RDWR)
    for fd in (0,) if keep_output else (0, 1, 2):
        os.dup2(null, fd)
    os.closerange(3, channel.fileno())
    os.closerange(channel.fileno() + 1, resource.getrlimit(resource.RLIMIT_NOFILE)[0])


class RootHelper:
    """A child that stays root and does for the daemon, which does not, what needs root.

    Addresses that appear later are to be bound (bind-dynamic, a reload), sets of
    the kernel filled, connections marked; Python cannot keep a single capability.
    A socket travels as a descriptor: what is done to it there is done to it here.
    The child knows the three requests of Rights, and ends with the daemon.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._serial = 0
        self._channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._channel.settimeout(ROOT_PATIENCE)
        self._pid = os.fork()
        if not self._pid:
            self._channel.close()
            try:
                self._serve(theirs)
            finally:
                os._exit(0)
        theirs.close()

    @staticmethod
    def _serve(channel: socket.socket) -> None:
        child_settle("dnsmasq-root", channel)
        rights = Rights()
        while True:
            request, descriptors, _, _ = socket.recv_fds(channel, ROOT_REQUEST_MAX, 1)
            if not request:
                return
            code, out = 0, b""
            try:
                out = rights.serve(request[4:], descriptors)
            except (OSError, ValueError, struct.error) as error:
                code = max(getattr(error, "errno", 0) or 0, 0) or errno.EIO
            for descriptor in descriptors:
                os.close(descriptor)
            channel.send(request[:4] + code.to_bytes(4, "big") + out)

    def ask(self, request: bytes, sock: socket.socket | None = None) -> bytes:
        """Have a request served by the child; OSError as it came there."""
        with self._lock:
            self._serial = self._serial + 1 & 0xFFFFFFFF
            tag = self._serial.to_bytes(4, "big")
            socket.send_fds(self._channel, [tag + request], [] if sock is None else [sock.fileno()])
            reply = self._channel.recv(ROOT_REQUEST_MAX)
            while reply and reply[:4] != tag:  # an answer that came too late for its request
                reply = self._channel.recv(ROOT_REQUEST_MAX)
        code = int.from_bytes(reply[4:8], "big") if reply else errno.EPIPE
        if code:
            raise OSError(code, os.strerror(code))
        return reply[8:]


class Rights:
    """What a plain account may not do: tried here, else done by the child that stayed root."""

    def __init__(self) -> None:
        self.helper: RootHelper | None = None
        self._lock = threading.Lock()
        self._netlink: socket.socket | None = None

    def bind(self, sock: socket.socket, target: tuple[Any, ...]) -> None:
        """Bind a socket to an address; OSError."""
        try:
            sock.bind(target)
        except PermissionError:
            if self.helper is None:
                raise
            scope = target[3] if len(target) > 3 else 0
            self.helper.ask(f"bind {target[0]} {target[1]} {scope}".encode(), sock)

    def mark(self, sock: socket.socket, mark: int) -> None:
        """Give what a socket sends a mark; OSError."""
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, struct.pack("=I", mark))
        except PermissionError:
            if self.helper is None:
                raise
            self.helper.ask(f"mark {mark}".encode(), sock)

    def netfilter(self, request: bytes) -> bytes:
        """Send messages to Netfilter, and give its answers, which are there when it is done; OSError."""
        if self.helper is not None:
            return self.helper.ask(b"netfilter " + request)
        with self._lock:
            if self._netlink is None:
                kind = socket.SOCK_RAW | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK
                self._netlink = socket.socket(socket.AF_NETLINK, kind, _NETLINK_NETFILTER)
                self._netlink.setsockopt(_SOL_NETLINK, _NETLINK_CAP_ACK, 1)
            self._netlink.send(request)
            out = []
            try:
                while True:
                    out.append(self._netlink.recv(1 << 16))
            except BlockingIOError:
                return b"".join(out)

    def serve(self, request: bytes, descriptors: Sequence[int]) -> bytes:
        """Do what the daemon asks for, in the child; OSError."""
        word, _, rest = request.partition(b" ")
        if word == b"netfilter":
            if any(kind not in NETFILTER_KINDS for kind, _, _ in netlink_messages(rest)):
                raise PermissionError(errno.EPERM, "not for us")
            return self.netfilter(rest)
        if len(descriptors) != 1:
            raise OSError(errno.EBADF, "no socket")
        with socket.socket(fileno=os.dup(descriptors[0])) as sock:
            if word == b"mark":
                self.mark(sock, int(rest))
            else:
                address, port, scope = rest.decode().split(" ")
                sock.bind((address, int(port), 0, int(scope)) if ":" in address else (address, int(port)))
        return b""


# Errors of ipset beyond those of the system (linux/netfilter/ipset/ip_set.h).
_IPSET_PROTOCOL_ERROR = 4097
_SET_TEXTS = {
    4352: "the set is full",
    errno.ENFILE: "the set is full",
    errno.EMEDIUMTYPE: "its elements are no addresses",
}


class Netfilter:
    """The kernel's sets that take addresses, and the marks of its connections."""

    def __init__(self, rights: Rights, log: Log) -> None:
        self._rights = rights
        self._log = log
        self._serials = itertools.count(1)

    def check(self) -> None:
        """See whether Netfilter may be spoken to; StartError when not."""
        try:
            code, _ = self._ask(netfilter_probe_pack)
        except OSError as error:
            code = error.errno or errno.EIO
        if code == errno.EPERM:
            raise StartError(EXIT_MISC, "process is missing required capability NET_ADMIN")

    def connection_mark(self, tcp: bool, local: tuple[bytes, int], peer: tuple[bytes, int]) -> int:
        """Give the mark of the connection that a query came by, 0 where there is none; -1 when nobody can tell."""
        protocol = socket.IPPROTO_TCP if tcp else socket.IPPROTO_UDP
        try:
            code, found = self._ask(conntrack_query_pack, protocol, local, peer)
            blind = code == errno.EPERM
        except OSError as error:
            code, found, blind = error.errno or errno.EIO, b"", True
        if found:
            return conntrack_mark_unpack(found)
        if code:
            text = f"Conntrack connection mark retrieval failed: {os.strerror(code)}"
            self._log.complain(("conntrack", code), text, LOG_ERROR)
        return -1 if blind else 0

    def add(self, target: str | NftSet, addresses: Sequence[bytes]) -> list[bytes]:
        """Put addresses into an ipset (a name) or a set of nftables; give those that it took.

        Errors are logged, but not that a set is for the other family.
        """
        taken = []
        for address in addresses:
            try:
                code = self._ipset(target, address) if isinstance(target, str) else self._nft(target, address)
            except OSError as error:
                code = error.errno or errno.EIO
            if not code:
                taken.append(address)
            elif code != errno.EAFNOSUPPORT:
                text = f"ipset {target}" if isinstance(target, str) else f"nftset {target.words()}"
                shown = f"{text} Error: {_SET_TEXTS.get(code) or os.strerror(code)}"
                self._log.complain((text, code), shown, LOG_ERROR)
        return taken

    def _ipset(self, name: str, address: bytes) -> int:
        """Add to an ipset; one of the other family leaves it, which is no error."""
        code, _ = self._ask(ipset_add_pack, name, address)
        return 0 if code == _IPSET_PROTOCOL_ERROR else code

    def _nft(self, target: NftSet, address: bytes) -> int:
        """Add to a set of nftables.

        Its kind is asked for each time: in a set that was made anew as one of
        intervals an address without an end would stand for all that follow it.
        """
        code, found = self._ask(nft_set_query_pack, target)
        if not found:
            return code or errno.ENOENT
        octets, interval = nft_set_unpack(found)
        if octets != len(address):
            return errno.EAFNOSUPPORT if octets in (4, 16) else errno.EMEDIUMTYPE
        code, _ = self._ask(nft_add_pack, target, address, interval)
        return 0 if interval and code in (errno.EEXIST, errno.ENOTEMPTY) else code  # an interval has it already

    def _ask(self, pack: Callable[..., bytes], *values: Any) -> tuple[int, bytes]:
        """Ask what `pack` makes of `values` and a serial; give the first error, 0 for none, and what was found."""
        code, found = 0, b""
        for kind, _, payload in netlink_messages(self._rights.netfilter(pack(*values, next(self._serials)))):
            if kind == NLMSG_ERROR:
                code = code or netlink_error(payload)
            else:
                found = found or payload
        return code, found


def privileges_drop(uid: int, gid: int) -> None:
    """Become another account, with no supplementary groups."""
    os.setgroups([])
    os.setgid(gid)
    os.setuid(uid)


# Bits of dumpmask.
DUMP_QUERY, DUMP_REPLY, DUMP_UPSTREAM_QUERY, DUMP_UPSTREAM_REPLY = 0x01, 0x02, 0x04, 0x08


class PacketDump:
    """A pcap file of raw IP packets (link type 101), for dumpfile."""

    def __init__(self, path: str, mask: int) -> None:
        self.mask = mask
        self._lock = threading.Lock()
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        header = struct.pack("=IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65_535, 101)
        fifo = stat.S_ISFIFO(os.fstat(self._fd).st_mode)
        present = b"" if fifo else os.pread(self._fd, 24, 0)
        if present and present[:4] != header[:4]:
            os.close(self._fd)
            raise StartError(EXIT_FILE, f"dump file {path} exists, and is no pcap file of this machine")
        if not present:
            os.write(self._fd, header)

    def write(
        self, kind: int, payload: bytes, source: tuple[bytes, int], target: tuple[bytes, int], now: float
    ) -> None:
        """Add a UDP packet of `kind` (a bit of dumpmask) unless the mask leaves it out."""
        if not self.mask & kind:
            return
        udp = struct.pack("!4H", source[1], target[1], 8 + len(payload), 0) + payload
        if len(source[0]) == 4 and len(target[0]) == 4:
            packet = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(udp), 0, 0, 64, 17, 0) + source[0] + target[0]
            total = sum(struct.unpack("!10H", packet))
            total = (total & 0xFFFF) + (total >> 16)
            packet = packet[:10] + (~(total + (total >> 16)) & 0xFFFF).to_bytes(2, "big") + packet[12:] + udp
        else:
            packet = (
                struct.pack("!IHBB", 0x60000000, len(udp), 17, 64)
                + source[0].rjust(16, b"\0")
                + target[0].rjust(16, b"\0")
                + udp
            )
        head = struct.pack("=IIII", int(now), int(now % 1 * 1_000_000), len(packet), len(packet))
        with self._lock:
            try:
                os.write(self._fd, head + packet)
            except OSError:  # a full disk costs the dump, not the service
                self.mask = 0


# ==============================================================================
# 61 Upstream questions
#
# A question that is out, the sockets that lead to upstream servers, and those who
# have a word in a reply before it leaves: proofs, listeners.
#
# Uses 10 22 30 42 44 50 51
# ==============================================================================


def upstream_socket(
    server: Upstream,
    config: Config,
    kind: int,
    port: int,
    random: Callable[[int], bytes],
    patience: float = 0.0,
    prepare: Callable[[socket.socket], None] | None = None,
) -> socket.socket:
    """Open a socket that is connected to `server`, from the source that it or the configuration wants; OSError.

    A fixed source `port` is shared by the sockets towards several servers: they
    are connected, so the kernel tells them apart.  `patience` is for TCP,
    `prepare` has its turn before the first packet.
    """
    v6 = ":" in server.address
    flags = socket.SOCK_CLOEXEC | (socket.SOCK_NONBLOCK if kind == socket.SOCK_DGRAM else 0)
    sock = socket.socket(socket.AF_INET6 if v6 else socket.AF_INET, kind | flags)
    try:
        if server.interface:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, server.interface.encode() + b"\0")
        any_address = server.source or ("::" if v6 else "0.0.0.0")
        if port:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if server.source or port:
            sock.bind((any_address, port))
        elif kind == socket.SOCK_DGRAM and (config.min_port or config.max_port):
            _bind_between(sock, any_address, config.min_port or 1024, config.max_port or 65_535, random)
        if patience:
            sock.settimeout(patience)
        if prepare is not None:
            prepare(sock)
        scope = socket.if_nametoindex(server.scope) if server.scope else 0
        sock.connect((server.address, server.port, 0, scope) if v6 else (server.address, server.port))
    except BaseException:
        sock.close()
        raise
    return sock


def _bind_between(sock: socket.socket, address: str, low: int, high: int, random: Callable[[int], bytes]) -> None:
    """Bind to a random free port of a range; a small range is walked from a random start."""
    span = high - low + 1
    start = int.from_bytes(random(4), "big") % span
    for step in range(min(span, 100)):
        offset = (start + step) % span if span < 30 else int.from_bytes(random(4), "big") % span
        try:
            sock.bind((address, low + offset))
            return
        except OSError as error:
            if error.errno not in (errno.EADDRINUSE, errno.EACCES):
                raise
    raise OSError(errno.EADDRINUSE, f"no free port between {low} and {high}")


def tcp_message_read(sock: socket.socket, deadline: float) -> bytes | None:
    """Read one length-prefixed message (RFC 1035 s.4.2.2); None at the end, OSError after `deadline`."""
    head = _read_exactly(sock, 2, deadline)
    return _read_exactly(sock, int.from_bytes(head, "big"), deadline) if head is not None else None


def _read_exactly(sock: socket.socket, count: int, deadline: float) -> bytes | None:
    parts = []
    while count:
        left = deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        sock.settimeout(left)
        part = sock.recv(count)
        if not part:
            return None
        parts.append(part)
        count -= len(part)
    return b"".join(parts)


class PendingQuestion:
    """A question that was sent upstream, and everyone who waits for its answer.

    `tail` is the message behind its id as it was sent; `attempts` are the
    (socket, id) pairs for each server (one, or up to port-limit), `sent` the time
    (monotonic) when each was last sent to, `settled` the servers that are done
    with it; `failure` is the best bad reply so far.
    """

    __slots__ = (
        "key", "query", "state", "group", "tail", "question", "waiters", "attempts", "sent", "settled", "born",
        "resent", "retry_in", "retry_at", "patience", "failure", "done", "options", "proving", "fetch", "log", "mark",
    )  # fmt: skip

    def __init__(
        self, key: Hashable, query: DnsQuery, state: DnsState, group: UpstreamGroup, tail: bytes, now: float
    ) -> None:
        self.key = key
        self.query = query
        self.state = state
        self.group = group
        self.tail = tail
        self.question = tail[10 : 10 + query.question_end - DNS_HEADER_SIZE]
        self.waiters: list[tuple[DnsQuery, DnsClient, QueryLog]] = []
        self.attempts: dict[Upstream, list[tuple[UpstreamSocket, bytes]]] = {}
        self.sent: dict[Upstream, float] = {}
        self.settled: set[Upstream] = set()
        self.born = self.resent = now
        self.retry_in = 0.0
        self.retry_at = now + UPSTREAM_PATIENCE_MAX
        retry = state.config.fast_dns_retry
        self.patience = retry[1] / 1000 if retry is not None else FORWARD_TIMEOUT
        self.failure: tuple[DnsMessage, Upstream] | None = None
        self.done = False
        self.options: Sequence[tuple[int, bytes]] = ()
        self.proving = False  # a reply is there, and being proved
        self.fetch: DnssecWork | None = None  # our own question for the proof of something else
        self.log = QUERY_LOG_SILENT  # of a question without waiters
        self.mark = 0  # of the client's connection, for ours (conntrack)

    def open_servers(self, now: float) -> bool:
        """Tell whether a server that was asked may still answer in good time."""
        return any(server not in self.settled and now - when < server.patience() for server, when in self.sent.items())


class UpstreamSocket:
    """A connected UDP socket towards one server, with the questions that are out on it by id.

    `uses` counts down: a random port serves a few questions at most, and while
    the load is low just one (the next question finds few ports open and takes
    a new one).  Opening a socket for each question costs four
    system calls, more than everything else that is done for it.
    """

    __slots__ = ("sock", "fd", "server", "questions", "uses", "last", "pool")

    def __init__(self, sock: socket.socket, server: Upstream, now: float, pool: Hashable) -> None:
        self.pool = pool  # where those like it are
        self.sock = sock
        self.fd = sock.fileno()
        self.server = server
        self.questions: dict[bytes, PendingQuestion] = {}
        self.uses = UPSTREAM_PORT_USES
        self.last = now


class DnssecJob:
    """A reply whose proof is under way: `finish` takes the verdict, or the fact when it is a DS or DNSKEY set."""

    __slots__ = ("state", "work", "finish", "_proof")

    def __init__(
        self,
        message: DnsMessage,
        query: DnsQuery,
        state: DnsState,
        work: DnssecWork | None,
        finish: Callable[[Any], None],
    ) -> None:
        """`work` is that of the answer for which DS or DNSKEY records were fetched, None for a client's answer."""
        self.state = state
        self.work = work or DnssecWork(state.config.dnssec_limits, time.thread_time, time.monotonic())
        self.finish = finish
        self._proof = DnssecProof(message, query.key, query.rrtype, self._view(), self.work, work is not None)

    def _view(self) -> DnssecView:
        state = self.state
        now, clock = int(time.monotonic()), int(time.time())
        return DnssecView(state.trust, state.anchors, state.rules, state.config, now, clock)

    def turn(self) -> DnssecVerdict | DnssecFact | NeedRecords | None:
        """Do a turn of the proof."""
        return dnssec_step(self._proof, self._view())

    def abandon(self, limit: str) -> None:
        """Give up at a limit."""
        self.finish(dnssec_abandoned(self._proof, limit, int(time.monotonic())))


class DnsListener:
    """Who hears of answers before clients do; nobody, where there is no bus (68)."""

    silent = True  # whether there is nothing to ask

    def results(self, message: DnsMessage, done: Callable[[dict[int, bytes]], None]) -> bool:
        """Show the addresses of a reply; True when `done` gets, soon, those that replace them, by place."""
        return False

    def refused(self, mark: int, name: bytes) -> None:
        """Tell of a name that a connection with a mark was refused."""

    def resolved(self, mark: int, records: Sequence[tuple[bytes, int, int, bytes]], done: Callable[[], None]) -> bool:
        """Tell what a connection with a mark is about to hear; True when `done` is called, soon, for it to leave."""
        return False


def wait_for(ask: Callable[[Callable[..., None]], bool], seconds: float) -> Any:
    """Ask something and wait for what `done` gets, in a thread that may; None where nothing comes."""
    outcome: queue.SimpleQueue[Any] = queue.SimpleQueue()
    if not ask(lambda value=None: outcome.put(value)):
        return None
    try:
        return outcome.get(timeout=seconds)
    except queue.Empty:
        return None


# ==============================================================================
# 62 Upstream exchange
#
# Questions on their way: the pending table, a random port and id for each, one
# receiver thread that also looks after time-outs, the thread that proves; and the
# blocking exchange by TCP that TCP clients' threads use.
#
# Uses 10 11 13 15 21 22 30 41 42 44 50 51 53 60 61
# ==============================================================================


class UpstreamExchange:
    """Ask upstream servers; one instance, its receiver in a thread of its own.

    The lock guards the tables and is never held while a client is answered.
    """

    def __init__(
        self, log: Log, dump: PacketDump | None, descriptors: int, rights: Rights, netfilter: Netfilter
    ) -> None:
        self._log = log
        self.dump = dump
        self._rights = rights
        self._netfilter = netfilter
        self.listener = DnsListener()
        self.cpus = CpuShare()
        self._replies = 0  # since the last sweep, which was then
        self._swept_at = 0.0
        self._lock = threading.Lock()
        self._pending: dict[Hashable, PendingQuestion] = {}
        self._sockets: dict[int, UpstreamSocket] = {}
        self._pools: dict[Hashable, list[UpstreamSocket]] = {}  # by server, or by server and mark
        self._expire_at = 0.0
        self._epoll = select.epoll()
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._epoll.register(self._wake, select.EPOLLIN)
        self._asleep = False
        self._stopping = False
        self._sweep_at = 0.0
        self._idle_tcp: dict[Upstream, list[tuple[socket.socket, float]]] = {}
        self._growth = min(FORWARD_MAX * FORWARD_GROWTH, descriptors // 2, memory_available() // 16 // FORWARD_BYTES)
        self._ports = max(1, min(UPSTREAM_PORTS, descriptors // 8))  # clients and files need descriptors too
        self._own_port = 0  # chosen by the system, for query-port=0
        self.ignored = 0  # replies with a wrong id, question or form
        self.serials = itertools.count(1)  # of queries, for the log
        self._jobs: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()  # for the thread that proves
        self._prover: threading.Thread | None = None
        self._fetches: dict[tuple[bytes, int], list[DnssecJob]] = {}  # who waits for DS or DNSKEY records
        self._fetches_tcp = 0  # threads that ask by TCP, and what waits for them
        self._fetches_cut: collections.deque[tuple[PendingQuestion, Upstream]] = collections.deque()
        self._random = b""
        self._random_at = 0

    # -- asking --

    def ask(self, answer: DnsAnswer, record_: QueryLog) -> bytes | None:
        """Send the question of `answer` upstream, or join it to the same one under way.

        Returns a refusal to send at once, or None: the client is answered later.
        """
        query, client, state, group = answer.query, answer.client, answer.state, answer.group
        assert group is not None
        options = forward_options(query, client, state.config)
        key = self._key(query, options)
        mark = self._mark(answer)
        if mark:
            key = (mark, key)
        now = time.monotonic()
        again, fresh = False, None
        with self._lock:
            pending = self._pending.get(key)
            if pending is not None:
                again = self._join(pending, query, client, record_, now)
            elif self._has_room(group, state.config):
                tail = forward_query(query, state.config, options)
                if state.config.do_0x20_encode and not state.config.no_0x20_encode:
                    tail = self._randomised(tail, query)
                fresh = self._enter(key, query, state, group, tail, now)
                fresh.options, fresh.mark = options, mark
                fresh.waiters.append((query, client, record_))
        if pending is not None:
            if again and not pending.proving:
                self._send_all(pending, group.usable(), now, record_)
            return None
        if fresh is None:
            self._complain_full(group, state)
            return self._refuse(answer)
        servers = group.first(now, state.config.strict_order, state.config.all_servers)
        if self._send_all(fresh, servers, now, record_) or self._try_next(fresh, now) or not self._forget(fresh):
            return None
        return self._refuse(answer, EDE_NETWORK)

    @staticmethod
    def _mark(answer: DnsAnswer) -> int:
        """Give the mark that questions for a client carry, 0 for none (conntrack)."""
        return max(answer.mark(), 0) if answer.state.config.conntrack else 0

    def _refuse(self, answer: DnsAnswer, ede: int = -1) -> bytes:
        answer.state.metrics.unanswered += 1
        answer.refuse(REFUSED, ede)
        answer.lasting = False
        return answer.finish(False)[0]

    @staticmethod
    def _key(query: DnsQuery, options: Sequence[tuple[int, bytes]]) -> Hashable:
        """Make what two questions must share to be asked as one."""
        if query.signed:
            return query.wire[2:]
        if options:
            return query.key, query.rrtype, query.rrclass, query.flags & 0x7970, query.do, tuple(options)
        return query.key + query.wire[query.question_end - 4 : query.question_end], query.flags & 0x7970, query.do

    def refresh(self, entry: CacheEntry, state: DnsState) -> None:
        """Ask for a cache entry again without a client who waits."""
        self._ask_unattended(entry.name + entry.rrtype.to_bytes(2, "big") + b"\0\1", state, None)

    def probe(self, server: Upstream, name: bytes, state: DnsState) -> None:
        """Send a TXT question for `name` to one server (dns-loop-detect)."""
        self._ask_unattended(name + b"\0\x10\0\1", state, server)

    def _ask_unattended(self, question: bytes, state: DnsState, server: Upstream | None) -> None:
        query = own_query(question)
        group = state.rules.default if server is not None else state.rules.match(query.key, query.rrtype).group
        if group is None or not group.servers:
            return
        now = time.monotonic()
        key = self._key(query, ())
        with self._lock:
            if key in self._pending or not self._has_room(group, state.config):
                return
            pending = self._enter(key, query, state, group, forward_query(query, state.config), now)
        servers = [server] if server is not None else group.first(now, state.config.strict_order, False)
        if not self._send_all(pending, servers, now, QUERY_LOG_SILENT):
            self._forget(pending)

    def _enter(
        self, key: Hashable, query: DnsQuery, state: DnsState, group: UpstreamGroup, tail: bytes, now: float
    ) -> PendingQuestion:
        pending = self._pending[key] = PendingQuestion(key, query, state, group, tail, now)
        group.waiting += 1
        return pending

    def _join(
        self, pending: PendingQuestion, query: DnsQuery, client: DnsClient, record_: QueryLog, now: float
    ) -> bool:
        """Add a waiter; True when the question is to be sent to everyone again."""
        known = any(
            waiter.id == query.id and at.address == client.address and at.port == client.port
            for waiter, at, _ in pending.waiters
        )
        if not known and len(pending.waiters) < FORWARD_WAITERS:
            pending.waiters.append((query, client, record_))
            record_.extra_line("reply query is duplicate")
        if now - pending.resent < (FORWARD_RETRANSMIT if known else FORWARD_RESEND):
            return False
        pending.resent = now
        return True

    def _limit(self, group: UpstreamGroup, config: Config) -> int:
        """Tell how many questions may be out for a group: more by itself while its servers answer."""
        base = int(config.dns_forward_max)
        alive = any(server.last_reply and not server.failures for server in group.servers)
        return max(base, self._growth) if alive else base

    def _has_room(self, group: UpstreamGroup, config: Config) -> bool:
        """Tell whether one more question may be sent: for the group, and for all groups together."""
        if group.waiting < config.dns_forward_max and len(self._pending) < self._growth:
            return True
        limit = self._limit(group, config)
        return group.waiting < limit and len(self._pending) < max(limit, self._growth) * 2

    def _complain_full(self, group: UpstreamGroup, state: DnsState) -> None:
        now = time.monotonic()
        limit = self._limit(group, state.config)
        silent = [
            f"{s.text} silent for {int(now - s.silent_since)} s" if s.failures else f"{s.text} has not answered yet"
            for s in group.servers
            if s.failures or not s.last_reply
        ]
        cause = f"; {', '.join(silent)}" if silent else ""
        where = f" to {group.domain}" if group.domain else ""
        self._log.complain(
            ("full", group.domain),
            f"Maximum number of concurrent DNS queries{where} reached (max: {limit}){cause}, {group.waiting} waiting",
        )

    def _random_bytes(self, count: int) -> bytes:
        """Take random octets of the system from a small stock (lock held)."""
        at = self._random_at
        if at + count > len(self._random):
            self._random, at = os.urandom(512), 0
        self._random_at = at + count
        return self._random[at : at + count]

    def _randomised(self, tail: bytes, query: DnsQuery) -> bytes:
        """Flip the case of up to 32 letters of the question at random (0x20; lock held)."""
        bits = int.from_bytes(self._random_bytes(4), "big")
        out = bytearray(tail)
        for pos in range(10, 10 + len(query.name)):
            if bits and (0x41 <= out[pos] <= 0x5A or 0x61 <= out[pos] <= 0x7A):
                out[pos] ^= (bits & 1) << 5
                bits >>= 1
        return bytes(out)

    # -- sending --

    def _send_all(self, pending: PendingQuestion, servers: Sequence[Upstream], now: float, record_: QueryLog) -> bool:
        """Send to each of `servers` that is not done with the question; False when nothing could be sent."""
        sent = False
        for server in servers:
            if server in pending.settled:
                continue
            record_.forwarded(pending.query, server)  # first: the reply may be quicker than this thread
            sent = self._send(pending, server, now) or sent
        if sent:
            pending.state.metrics.forwarded += pending.fetch is None
            if not pending.retry_in:
                retry = pending.state.config.fast_dns_retry
                if len(servers) > 1:
                    pending.retry_in = min(server.patience() for server in pending.sent)
                elif retry is not None and len(pending.group.servers) == 1:
                    pending.retry_in = retry[0] / 1000
                else:
                    pending.retry_in = servers[0].patience()
                pending.retry_at = now + pending.retry_in
                if self._asleep:
                    self._asleep = False
                    self._wake_up()
        return sent

    def _wake_up(self) -> None:
        os.eventfd_write(self._wake, 1)

    def _send(self, pending: PendingQuestion, server: Upstream, now: float) -> bool:
        """Send to one server, again from the same port with the same id; False when the system refuses."""
        try:
            with self._lock:
                if pending.done:
                    return False
                tries = pending.attempts.setdefault(server, [])
                if len(tries) < pending.state.config.port_limit:
                    tries.append(self._attempt(pending, server, now))
                channel, number = tries[-1]
                again = server in pending.sent
                pending.sent[server] = now
            if server.source_port and pending.state.config.conntrack:  # shared, as ports of their own cannot be
                with self._lock:
                    self._rights.mark(channel.sock, pending.mark)
                    self._transmit(channel.sock, number + pending.tail)
            else:
                self._transmit(channel.sock, number + pending.tail)
        except OSError as error:
            server.failed += 1
            server.silent(now)
            pending.group.lost(server)
            pending.sent.setdefault(server, 0.0)
            pending.settled.add(server)
            self._log.complain(
                ("send", server.text, error.errno), f"failed to send to {server.text}: {error_text(error)}", LOG_ERROR
            )
            return False
        if again:
            server.retried += 1
        server.queries += 1
        if self.dump is not None:
            self._dump(DUMP_UPSTREAM_QUERY, number + pending.tail, channel, True)
        return True

    @staticmethod
    def _transmit(sock: socket.socket, wire: bytes) -> None:
        try:
            sock.send(wire)
        except ConnectionRefusedError:  # the answer to something older on this socket
            sock.send(wire)

    def _attempt(self, pending: PendingQuestion, server: Upstream, now: float) -> tuple[UpstreamSocket, bytes]:
        """Give a question a port and an id towards a server (lock held)."""
        mark = 0 if server.source_port else pending.mark
        channel = self._channel(server, pending.state.config, now, mark)
        number = self._random_bytes(2)
        while number in channel.questions:
            number = self._random_bytes(2)
        channel.questions[number] = pending
        channel.last = now
        return channel, number

    def _channel(self, server: Upstream, config: Config, now: float, mark: int) -> UpstreamSocket:
        """Choose the socket for a new question: a new one on a random port while few are open, else one of those.

        What goes out with a mark has sockets of its own.
        """
        pool = (server, mark) if mark else server
        open_ = self._pools.setdefault(pool, [])
        fixed = bool(server.source_port) or (config.query_port is not None and not server.source)
        if open_ and (fixed or len(open_) >= self._ports):
            channel = open_[self._random_bytes(1)[0] % len(open_)]
            channel.uses -= 1
            if channel.uses <= 0 and not fixed:
                open_.remove(channel)  # serves what is out on it, then closes
            if len(channel.questions) < UPSTREAM_PORT_QUESTIONS:
                return channel
        try:
            port = self._fixed_port(server, config) if fixed else 0
            prepare = functools.partial(self._rights.mark, mark=mark) if mark else None
            sock = upstream_socket(server, config, socket.SOCK_DGRAM, port, self._random_bytes, prepare=prepare)
        except OSError:
            if open_:  # a port range or the descriptors are used up: share
                return open_[self._random_bytes(1)[0] % len(open_)]
            del self._pools[pool]
            raise
        channel = UpstreamSocket(sock, server, now, pool)
        open_.append(channel)
        self._sockets[channel.fd] = channel
        self._epoll.register(channel.fd, select.EPOLLIN)
        return channel

    def _fixed_port(self, server: Upstream, config: Config) -> int:
        """Give the source port that the server or query-port asks for; query-port=0 is one of the system's choice."""
        port = server.source_port or int(config.query_port)
        if port:
            return port
        if not self._own_port:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
                sock.bind(("0.0.0.0", 0))
                self._own_port = int(sock.getsockname()[1])
        return self._own_port

    def _release(self, channel: UpstreamSocket, number: bytes) -> None:
        """Forget a question on a socket, and close the socket when it has served its time (lock held)."""
        channel.questions.pop(number, None)
        if channel.uses <= 0 and not channel.questions and channel not in self._pools.get(channel.pool, ()):
            self._close(channel)

    def _close(self, channel: UpstreamSocket) -> None:
        if self._sockets.pop(channel.fd, None) is None:
            return
        open_ = self._pools.get(channel.pool)
        if open_ is not None and channel in open_:
            open_.remove(channel)
        if not open_:
            self._pools.pop(channel.pool, None)
        channel.sock.close()

    def _sweep(self, now: float) -> None:
        """Close what has been idle for a moment: UDP ports are not used again, TCP connections are not kept."""
        self.cpus.weigh(self._replies / max(now - self._swept_at, UPSTREAM_PORT_IDLE))
        self._replies, self._swept_at = 0, now
        with self._lock:
            for channel in list(self._sockets.values()):
                if not channel.questions and now - channel.last > UPSTREAM_PORT_IDLE:
                    self._close(channel)
            for server, idle in list(self._idle_tcp.items()):
                for sock, since in list(idle):
                    if now - since > UPSTREAM_TCP_IDLE:
                        idle.remove((sock, since))
                        sock.close()
                if not idle:
                    del self._idle_tcp[server]

    def _forget(self, pending: PendingQuestion) -> bool:
        """Take a question off the tables; False when that was done before."""
        with self._lock:
            if pending.done:
                return False
            pending.done = True
            pending.group.waiting -= 1
            if self._pending.get(pending.key) is pending:
                del self._pending[pending.key]
            for tries in pending.attempts.values():
                for channel, number in tries:
                    self._release(channel, number)
        return True

    # -- receiving --

    def run(self) -> None:
        """Receive replies and keep time until `stop`: the body of the receiver thread."""
        self.cpus.join()
        while not self._stopping:
            try:
                self._turn()
            except Exception as error:  # nothing that a server sends may end this thread
                self._log.failure("upstream", error)

    def stop(self) -> None:
        """End the receiver thread."""
        self._stopping = True
        self._wake_up()

    def _turn(self) -> None:
        timeout = UPSTREAM_TICK
        if not self._pending:
            self._asleep = True
            if not self._pending:  # none was added meanwhile
                timeout = UPSTREAM_PORT_IDLE if self._sockets or self._idle_tcp else -1.0
        events = self._epoll.poll(timeout)
        self._asleep = False
        for fd, _ in events:
            channel = self._sockets.get(fd)
            if channel is not None:
                self._receive(channel)
            elif fd == self._wake:
                os.eventfd_read(fd)
        now = time.monotonic()
        if now >= self._expire_at:
            self._expire_at = now + UPSTREAM_TICK
            self._expire(now)
        if now >= self._sweep_at:
            self._sweep_at = now + UPSTREAM_PORT_IDLE
            self._sweep(now)

    def _receive(self, channel: UpstreamSocket) -> None:
        try:
            wire = channel.sock.recv(DNS_MESSAGE_MAX)
        except BlockingIOError:
            return
        except OSError:  # refused: nobody listens there
            self._refused(channel)
            return
        pending = channel.questions.get(wire[:2])
        if pending is None or len(wire) < DNS_HEADER_SIZE or not self._fits(pending, wire):
            self.ignored += 1
            return
        if self.dump is not None:
            self._dump(DUMP_UPSTREAM_REPLY, wire, channel, False)
        self._replies += 1
        self._reply(pending, channel.server, wire, time.monotonic())

    def _fits(self, pending: PendingQuestion, wire: bytes) -> bool:
        """Tell whether a reply repeats our question: to the letter with 0x20, else whatever the case."""
        if not wire[2] & 0x80 or wire[4:6] != b"\0\1":
            return False
        theirs, ours = wire[DNS_HEADER_SIZE : DNS_HEADER_SIZE + len(pending.question)], pending.question
        if theirs == ours:
            return True
        if pending.state.config.do_0x20_encode and not pending.state.config.no_0x20_encode:
            self._log.complain(
                "0x20", "a reply does not repeat the case of its question; a server that cannot, or a forgery"
            )
            return False
        return theirs[:-4].lower() == ours[:-4].lower() and theirs[-4:] == ours[-4:]

    def _reply(self, pending: PendingQuestion, server: Upstream, wire: bytes, now: float) -> None:
        server.replied(now - pending.sent.get(server, now), now)
        pending.settled.add(server)
        if pending.proving:
            return
        try:
            message = dns_message_unpack(wire, pending.query)
        except WireError:
            self._conclude(pending, malformed_message(pending.query), server)
            return
        rcode = message.flags & 15
        if rcode in (SERVFAIL, REFUSED):
            server.failed += rcode == SERVFAIL
            if rcode == REFUSED:
                pending.group.lost(server)
            if pending.failure is None or pending.failure[0].flags & 15 == REFUSED:
                pending.failure = (message, server)
            self._settle(pending, now)
            return
        if rcode in (NOERROR, NXDOMAIN):
            server.nxdomain += rcode == NXDOMAIN
            pending.group.won(server)
        self._conclude(pending, message, server)

    def _settle(self, pending: PendingQuestion, now: float) -> None:
        """A server is done without a good answer: ask another, wait for those that are out, or pass the failure on."""
        if pending.proving:
            return
        if self._try_next(pending, now) or pending.open_servers(now) or pending.failure is None:
            return
        self._conclude(pending, *pending.failure)

    def _conclude(self, pending: PendingQuestion, message: DnsMessage, server: Upstream) -> None:
        """Take a reply: to its proof where there is to be one, else to everyone who waits."""
        pending.proving = True
        if pending.fetch is not None and message.flags & FLAG_TC:
            self._fetch_by_tcp(pending, server)
        elif pending.fetch is not None:
            self._prove_fetch(pending, message)
        elif dnssec_provable(message, pending.query, pending.state.config):
            finish = functools.partial(self._deliver, pending, message, server)
            self._prove(DnssecJob(message, pending.query, pending.state, None, finish))
        else:
            self._deliver(pending, message, server, None)

    def _deliver(
        self, pending: PendingQuestion, message: DnsMessage, server: Upstream, verdict: DnssecVerdict | None
    ) -> None:
        """Show a reply to who listens, then answer."""
        listener = self.listener
        if not listener.silent:
            try:
                go_on = functools.partial(self._answer_all, pending, message, server, verdict)
                if listener.results(message, go_on):
                    return
            except Exception as error:  # the client has its answer all the same
                self._log.failure("listener", error)
        self._answer_all(pending, message, server, verdict)

    def _answer_all(
        self,
        pending: PendingQuestion,
        message: DnsMessage,
        server: Upstream,
        verdict: DnssecVerdict | None,
        replaced: dict[int, bytes] | None = None,
    ) -> None:
        """Review a reply and answer everyone who waits, unless the reply is dropped."""
        now = time.monotonic()
        reply = dns_review(message, pending.query, pending.state, now, server, pending.options, verdict, replaced)
        pending.proving = False
        if reply.drop or not self._forget(pending):
            return
        self._fill_sets(reply)
        for query, client, record_ in pending.waiters:
            if client.marked:
                send = functools.partial(self._send_reply, reply, query, client, record_)
                if self.listener.resolved(client.marked, reply.records(), send):
                    continue
            self._send_reply(reply, query, client, record_)

    def _send_reply(self, reply: DnsReply, query: DnsQuery, client: DnsClient, record_: QueryLog) -> None:
        try:
            record_.put(reply.texts, reply_failed(reply))
            client.reply(reply.pack(query, client.tcp))
        except OSError:  # that client cannot be reached
            pass
        except Exception as error:  # the others still get theirs
            self._log.failure("upstream", error)

    def _fill_sets(self, reply: DnsReply) -> None:
        """Put addresses into sets of the kernel before the reply leaves; what was taken goes into the query log."""
        lines = []
        for target, addresses, around in reply.elements:
            lines += [address_format(one).join(around) for one in self._netfilter.add(target, addresses)]
        if lines and reply.state.log.queries:
            reply.texts = lines + reply.texts

    def _refused(self, channel: UpstreamSocket) -> None:
        """Take an ICMP refusal as a silence that has come at once."""
        now = time.monotonic()
        server = channel.server
        server.silent(now)
        server.failed += 1
        with self._lock:
            questions = list(dict.fromkeys(channel.questions.values()))
        for pending in questions:
            pending.settled.add(server)
            pending.group.lost(server)
            self._settle(pending, now)

    def _try_next(self, pending: PendingQuestion, now: float) -> bool:
        """Send to a server that was not asked yet; False when there is none that can be sent to."""
        while True:
            server = pending.group.next(list(pending.sent), now, pending.state.config.strict_order)
            if server is None:
                return False
            record_ = pending.waiters[0][2] if pending.waiters else pending.log
            if self._send_all(pending, [server], now, record_):
                return True

    def _expire(self, now: float) -> None:
        """Serve the questions whose time is up: another server, everyone again, or the end.

        The table is in order of birth, so the look ends at the first young one:
        a heap of timers costs each question more than these looks.
        """
        with self._lock:
            due = []
            for pending in self._pending.values():
                if now - pending.born < UPSTREAM_PATIENCE_MIN:
                    break
                if now >= pending.retry_at:
                    due.append(pending)
        for pending in due:
            # What is being proved has its time; but nothing is for ever.
            if pending.done or (pending.proving and now - pending.born < 2 * DNSSEC_PATIENCE):
                continue
            if now - pending.born >= pending.patience:
                self._give_up(pending, now)
                continue
            for server, when in pending.sent.items():
                if server not in pending.settled and now - when >= server.patience() * 0.9:
                    server.silent(now)
                    pending.group.lost(server)
            if self._try_next(pending, now):
                pending.retry_in = max(pending.retry_in, min(server.patience() for server in pending.sent))
            elif pending.failure is not None and not pending.open_servers(now):
                self._conclude(pending, *pending.failure)
                continue
            else:
                self._again(pending, now)
                pending.retry_in *= 2
            pending.retry_at = min(now + pending.retry_in, pending.born + pending.patience)

    def _again(self, pending: PendingQuestion, now: float) -> None:
        """Send once more to whoever has not replied, and to those that refused: they may be back."""
        if pending.failure is None and all(server in pending.settled for server in pending.sent):
            pending.settled.clear()
        for server in list(pending.sent):
            if server not in pending.settled:
                self._send(pending, server, now)

    def _give_up(self, pending: PendingQuestion, now: float) -> None:
        if pending.failure is not None:
            self._conclude(pending, *pending.failure)
        elif pending.fetch is not None:
            self._fetch_failed(pending)
        elif self._forget(pending):
            pending.state.metrics.unanswered += 1
            for server in pending.sent:
                server.failed += server not in pending.settled

    def _dump(self, kind: int, wire: bytes, channel: UpstreamSocket, outward: bool) -> None:
        assert self.dump is not None
        ours = channel.sock.getsockname()
        ends = (
            (address_parse(ours[0].partition("%")[0]) or b"", ours[1]),
            (address_parse(channel.server.address) or b"", channel.server.port),
        )
        source, target = ends if outward else ends[::-1]
        self.dump.write(kind, wire, source, target, time.time())

    # -- proving --

    def _prove(self, job: DnssecJob) -> None:
        """Have the thread that proves do a turn of `job`."""
        self._soon(functools.partial(self._turn_job, job))

    def _soon(self, work: Callable[[], None]) -> None:
        """Have `work` done by the thread that proves; it begins with the first."""
        self._jobs.put(work)
        if self._prover is None:
            with self._lock:
                if self._prover is None:
                    self._prover = threading.Thread(target=self._run_proofs, name="dnssec", daemon=True)
                    self._prover.start()

    def _run_proofs(self) -> None:
        """Work in turns: the body of the thread that proves."""
        while True:
            work = self._jobs.get()
            try:
                work()
            except Exception as error:  # nothing that a server sends may end this thread
                self._log.failure("dnssec", error)

    def _turn_job(self, job: DnssecJob) -> None:
        try:
            began, others = time.monotonic(), time.process_time() - time.thread_time()
            outcome = job.turn()
            # Who answers clients gives the interpreter away with each system call, and a thread that computes keeps
            # it for a millisecond: a thousand answers a second in place of fifty thousand.  They go first.
            if time.process_time() - time.thread_time() - others > DNSSEC_OTHERS:
                time.sleep((time.monotonic() - began) / 3)
            if outcome is None:
                self._prove(job)
            elif isinstance(outcome, NeedRecords):
                self._fetch(outcome, job)
            else:
                job.finish(outcome)
        except Exception as error:
            self._log.failure("dnssec", error)
            job.abandon("internal error")

    def _fetch(self, need: NeedRecords, job: DnssecJob) -> None:
        """Ask for DS or DNSKEY records; who needs the same waits for the same question."""
        now = time.monotonic()
        late = now - job.work.born > DNSSEC_PATIENCE
        if late or not job.work.ask():
            job.abandon("time for a proof" if late else "per-query subqueries")
            return
        key = (need.name, need.rrtype)
        waiting = self._fetches.get(key)
        if waiting is not None:
            waiting.append(job)
            return
        self._fetches[key] = [job]
        try:
            self._send_fetch(key, job, now)
        except BaseException:
            self._fetches.pop(key, None)
            raise

    def _send_fetch(self, key: tuple[bytes, int], job: DnssecJob, now: float) -> None:
        name, rrtype = key
        state = job.state
        query = own_query(name + rrtype.to_bytes(2, "big") + b"\0\1")
        group = state.rules.match(name, rrtype).group
        if group is None:  # answered here, for nobody to check
            state.trust.learn(name, rrtype, DnssecFact(FACT_INSECURE, int(now) + DNSSEC_BOGUS_SECONDS))
            self._go_on(key)
            return
        with self._lock:
            pending = self._enter(("fetch", *key), query, state, group, forward_query(query, state.config), now)
        pending.fetch = job.work
        pending.patience = max(job.work.born + DNSSEC_PATIENCE - now, 1.0)
        pending.log = fetch_log(state, rrtype, next(self.serials)) if state.log.queries else QUERY_LOG_SILENT
        servers = group.first(now, bool(state.config.strict_order), False)
        if not self._send_all(pending, servers, now, pending.log) and not self._try_next(pending, now):
            self._fetch_failed(pending)

    def _fetched(self, pending: PendingQuestion, fact: DnssecFact) -> None:
        """Take the fact that a fetch ends with (in the thread that proves)."""
        if not self._forget(pending):
            return
        name, rrtype = pending.query.key, pending.query.rrtype
        for note in fact.notes:
            self._log.complain(("dnssec", note), note)
        pending.log.put(fact_texts(name, rrtype, fact))
        if fact.own and fact.generation != -2:
            pending.state.trust.learn(name, rrtype, fact)
            self._go_on((name, rrtype))
        else:  # it failed for want of what that one answer might still cost: others try by themselves
            self._go_on((name, rrtype), pending.fetch)

    def _go_on(self, key: tuple[bytes, int], spent: DnssecWork | None = None) -> None:
        """Let those go on who wait for a fact, but for the answer that has `spent` what it may."""
        for job in self._fetches.pop(key, ()):
            if job.work is spent:
                job.abandon("work for one answer")
            else:
                self._prove(job)

    def _fetch_failed(self, pending: PendingQuestion) -> None:
        """Nobody answers a question of ours: what needs it cannot be proved for a while."""
        expires = int(time.monotonic()) + DNSSEC_BOGUS_SECONDS
        self._soon(functools.partial(self._fetched, pending, DnssecFact(FACT_BOGUS, expires, ede=EDE_INDETERMINATE)))

    def _fetch_by_tcp(self, pending: PendingQuestion, server: Upstream) -> None:
        """Ask again by TCP for what did not fit, in a thread that ends when nothing more waits for it."""
        with self._lock:
            self._fetches_cut.append((pending, server))
            if self._fetches_tcp >= DNSSEC_TCP_MAX:
                return
            self._fetches_tcp += 1
        try:
            threading.Thread(target=self._run_tcp, name="dnssec-tcp", daemon=True).start()
        except RuntimeError:  # no room for another thread
            self._run_tcp()

    def _run_tcp(self) -> None:
        while True:
            with self._lock:
                if not self._fetches_cut:
                    self._fetches_tcp -= 1
                    return
                pending, server = self._fetches_cut.popleft()
            message = None
            left = pending.born + pending.patience - time.monotonic()
            try:
                if left > 0:
                    config, mark = pending.state.config, pending.mark
                    message = self._exchange_tcp(pending.query, config, server, pending.tail, left, mark)
            except Exception as error:
                self._log.failure("dnssec-tcp", error)
            if message is None:
                self._fetch_failed(pending)
            else:
                self._prove_fetch(pending, message)

    def _prove_fetch(self, pending: PendingQuestion, message: DnsMessage) -> None:
        """Prove the reply to a question of ours."""
        finish = functools.partial(self._fetched, pending)
        self._prove(DnssecJob(message, pending.query, pending.state, pending.fetch, finish))

    def _prove_waiting(self, message: DnsMessage, query: DnsQuery, state: DnsState) -> DnssecVerdict | None:
        """Prove a reply for a thread that waits anyway (a TCP client's)."""
        if not dnssec_provable(message, query, state.config):
            return None

        def ask(done: Callable[..., None]) -> bool:
            self._prove(DnssecJob(message, query, state, None, done))
            return True

        return wait_for(ask, DNSSEC_PATIENCE) or DnssecVerdict(DNSSEC_ABANDONED, EDE_OTHER)

    # -- TCP, in the client's thread --

    def ask_tcp(self, answer: DnsAnswer, record_: QueryLog) -> bytes:
        """Ask by TCP and wait for the reply; a server that is slow has little time while another is left."""
        query, state, group = answer.query, answer.state, answer.group
        assert group is not None
        options = forward_options(query, answer.client, state.config)
        tail = forward_query(query, state.config, options)
        mark = self._mark(answer)
        best: DnsReply | None = None
        asked: list[Upstream] = []
        strict = state.config.strict_order
        first = group.first(time.monotonic(), strict, False)
        server: Upstream | None = min(first, key=lambda one: (one.failures, one.rtt)) if first else None
        while server is not None:
            asked.append(server)
            record_.forwarded(query, server)
            state.metrics.forwarded += 1
            following = group.next(asked, time.monotonic(), strict)
            hurry = UPSTREAM_TCP_HURRY if following is not None else 0.0
            message = self._exchange_tcp(query, state.config, server, tail, hurry, mark)
            now = time.monotonic()
            if message is None:
                server.failed += 1
                server.silent(now)
                group.lost(server)
            else:
                verdict = self._prove_waiting(message, query, state)
                replaced = wait_for(functools.partial(self.listener.results, message), UBUS_WAIT_MAX)
                reply = dns_review(message, query, state, now, server, options, verdict, replaced)
                best = reply if not reply.drop else best
                if not reply.drop and reply.flags & 15 not in (SERVFAIL, REFUSED):
                    group.won(server)
                    break
            server = following
        if best is None:
            return self._refuse(answer, EDE_NETWORK)
        self._fill_sets(best)
        if answer.client.marked:
            told = functools.partial(self.listener.resolved, answer.client.marked, best.records())
            wait_for(told, UBUS_WAIT_MAX)
        record_.put(best.texts, reply_failed(best))
        return best.pack(query, True)

    def _exchange_tcp(
        self, query: DnsQuery, config: Config, server: Upstream, tail: bytes, hurry: float, mark: int
    ) -> DnsMessage | None:
        """Ask one server by TCP, over an idle connection first; None when there is no reply (in `hurry` seconds).

        A connection with a mark serves one question.
        """
        number = os.urandom(2)
        wire = number + tail
        server.queries += 1
        for reuse in (True, False) if not mark else (False,):
            began = time.monotonic()
            sock = self._tcp_socket(server, config, reuse, hurry, mark)
            if sock is None:
                continue
            try:
                sock.sendall(len(wire).to_bytes(2, "big") + wire)
                reply = tcp_message_read(sock, began + (hurry or UPSTREAM_TCP_REPLY))
                if reply is None or reply[:2] != number or not reply_fits(query, reply):
                    sock.close()
                    continue
            except OSError:
                sock.close()
                continue
            now = time.monotonic()
            server.replied(now - began, now)
            if mark:
                sock.close()
            else:
                with self._lock:
                    self._idle_tcp.setdefault(server, []).append((sock, now))
            try:
                return dns_message_unpack(reply)
            except WireError:
                return malformed_message(query)
        return None

    def _tcp_socket(
        self, server: Upstream, config: Config, reuse: bool, hurry: float, mark: int
    ) -> socket.socket | None:
        """Give an idle connection (`reuse`) or a new one; None when there is none."""
        if reuse:
            with self._lock:
                idle = self._idle_tcp.get(server)
                return idle.pop()[0] if idle else None
        try:
            prepare = functools.partial(self._rights.mark, mark=mark) if mark else None
            patience = hurry or UPSTREAM_TCP_TIMEOUT
            return upstream_socket(server, config, socket.SOCK_STREAM, 0, os.urandom, patience, prepare)
        except OSError as error:
            self._log.detail(f"TCP to {server.text}: {error_text(error)}")
            self._log.complain(
                ("tcp", server.text), f"failed to connect to {server.text} by TCP: {error_text(error)}", LOG_ERROR
            )
            return None


# ==============================================================================
# 63 Servers
#
# Listening sockets: who may ask, the UDP loop that answers from finished answers
# with two system calls, bounded TCP connections, and the way from a query's
# bytes to a reply.
#
# Uses 10 11 12 13 15 20 21 22 30 40 41 51 52 60 61 62
# ==============================================================================

_MSG_TRUNC = int(socket.MSG_TRUNC)  # a plain number: the enumeration's `&` costs a microsecond
_CONTROL_SPACE = 64  # octets for the packet info of either family
_ARRIVALS_MAX = 1024  # remembered (interface, address) pairs
_PEERS_MAX = 4096  # remembered clients
_PEER_OFTEN = 8  # slow queries that make it worth to look for the plain way of replying


def interface_admits(config: Config, at: InterfaceAddress | None, interface: str, address: bytes) -> bool:
    """Tell whether queries to `address` on `interface` are served (interface, listen-address, except-interface)."""
    names = [interface] + ([at.label, at.interface] if at is not None else [])
    listed = address_format(address) in config.listen_address if address else False
    if config.interface or config.listen_address:
        loopback = bool(config.interface) and (interface == "lo" or (at is not None and at.loopback))
        if (
            not listed
            and not loopback
            and not any(name_matches(pattern, name) for pattern in config.interface for name in names)
        ):
            return False
    return listed or not any(name_matches(pattern, name) for pattern in config.except_interface for name in names)


def auth_admits(config: Config, interface: str, address: bytes) -> bool:
    """Tell whether an interface or address belongs to auth-server."""
    rule = config.auth_server
    if rule is None:
        return False
    family = 4 if len(address) == 4 else 6
    if any(name_matches(pattern, interface) and families in (0, family) for pattern, families in rule.interfaces):
        return True
    return bool(address) and address_format(address) in rule.addresses


@record
class Listener:
    """An address to listen on: "0.0.0.0", "::" or one of ours; `scope` is the interface index for link-local ones."""

    address: str
    port: int
    scope: int = 0

    @property
    def key(self) -> tuple[str, int, int]:
        """What makes two listeners the same."""
        return (self.address, self.port, self.scope)

    @property
    def family(self) -> socket.AddressFamily:
        """The socket family."""
        return socket.AF_INET6 if ":" in self.address else socket.AF_INET

    @property
    def target(self) -> tuple[Any, ...]:
        """The address for bind()."""
        return (self.address, self.port, 0, self.scope) if ":" in self.address else (self.address, self.port)


def listeners_choose(config: Config, port: int, addresses: Sequence[InterfaceAddress]) -> list[Listener]:
    """Choose what to listen on: the wildcards, or with bind-interfaces and bind-dynamic each admitted address."""
    host_only = config.local_service == "host" and service_is_local(config)
    if not (config.bind_interfaces or config.bind_dynamic or host_only):
        return [Listener("0.0.0.0", port), Listener("::", port)]
    out: dict[tuple[str, int, int], Listener] = {}
    for at in addresses:
        admitted = at.loopback if host_only else interface_admits(config, at, at.interface, at.address)
        if admitted or auth_admits(config, at.interface, at.address):
            scope = at.index if len(at.address) == 16 and at.address[:2] == b"\xfe\x80" else 0
            listener = Listener(address_format(at.address), port, scope)
            out[listener.key] = listener
    present = {at.address for at in addresses}
    for text in config.listen_address:
        packed = address_parse(text)
        if (
            packed is not None
            and packed not in present
            and (config.bind_interfaces or (len(packed) == 4 and packed[0] == 127))
        ):
            listener = Listener(text, port)
            out[listener.key] = listener
    return list(out.values())


def service_is_local(config: Config) -> bool:
    """Tell whether local-service applies: it yields to every explicit choice of interfaces."""
    chosen = config.interface or config.except_interface or config.listen_address or config.auth_server is not None
    return config.local_service is not None and not chosen


def packet_info_ask(sock: socket.socket) -> None:
    """Have the kernel say with each packet by which interface it came, and to which address."""
    if sock.family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.setsockopt(socket.IPPROTO_IPV6, IPV6_RECVPKTINFO, 1)
    else:
        sock.setsockopt(socket.IPPROTO_IP, IP_PKTINFO, 1)


def packet_info_read(info: bytes) -> tuple[int, bytes, list[tuple[int, int, bytes]]]:
    """Give interface index, address and the control data that makes a reply leave from that address."""
    if len(info) == 20:
        local, index = info[:16], int.from_bytes(info[16:], sys.byteorder)
        scope = index if local[:2] == b"\xfe\x80" else 0
        return index, local, [(socket.IPPROTO_IPV6, IPV6_PKTINFO, local + struct.pack("=I", scope))]
    local = info[4:8]
    control = [(socket.IPPROTO_IP, IP_PKTINFO, struct.pack("=I4s4x", 0, local))]
    return int.from_bytes(info[:4], sys.byteorder), local, control


def arrival_find(
    interfaces: Sequence[InterfaceAddress], index: int, local: bytes
) -> tuple[str, InterfaceAddress | None]:
    """Find the interface that a packet counts for, "" for none, and the address of ours that stands for it there."""
    near = local[:2] == b"\xfe\x80"
    holder = next((at for at in interfaces if at.address == local and (not near or index in (0, at.index))), None)
    arrived = next((at for at in interfaces if at.index == index), holder)
    if arrived is not None and arrived.loopback and holder is not None and not holder.loopback:
        arrived = holder  # from this machine to an address of another interface
    interface = arrived.interface if arrived is not None else ""
    return interface, holder if holder is not None and holder.interface == interface else arrived


def listener_failed(log: Log, listener: Listener, error: OSError, tcp: bool, fatal: bool, tag: str = "") -> None:
    """Say what is wrong with a listening socket that cannot be opened; StartError when that is `fatal`."""
    if error.errno in (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL) and ":" in listener.address:
        return  # no IPv6 here
    where = "" if listener.address in ("0.0.0.0", "::") else f"{listener.address} "
    text = f"failed to create listening socket for {where}port {listener.port}: {error_text(error)}"
    port = f"{'TCP' if tcp else 'UDP'} port {listener.port}"
    if error.errno == errno.EADDRINUSE and (holder := port_holder(listener.port, tcp)):
        text += f"; {port} is {holder}"
    if error.errno in (errno.EACCES, errno.EPERM):
        text += f"; {port} is for root only, start as root"
    if fatal and error.errno != errno.EADDRNOTAVAIL:
        raise StartError(EXIT_NETWORK, text)
    log.complain(("listen", listener.key), text, tag=tag)


class Arrival:
    """What the packet info of a query means: admitted or not, and how to reply from the address that was asked."""

    __slots__ = ("admitted", "control", "interface", "index", "local", "auth")

    def __init__(
        self,
        admitted: bool,
        control: list[tuple[int, int, bytes]],
        interface: str,
        index: int,
        local: bytes,
        auth: bool,
    ) -> None:
        self.admitted = admitted
        self.control = control
        self.interface = interface
        self.index = index
        self.local = local
        self.auth = auth


class UdpPeer:
    """A client of a UDP socket: how it reached us, and whether a reply needs the source address spelled out.

    It does not where the kernel would choose the same address by itself, and
    saying so for each packet costs a tenth of an answer's time.
    """

    __slots__ = ("info", "arrival", "plain", "queries")

    def __init__(self, info: bytes, arrival: Arrival) -> None:
        self.info = info
        self.arrival = arrival
        self.plain = False
        self.queries = 0  # that took the slow way


class DnsService:
    """The way from a query's bytes to a reply, for all listening sockets.

    `state` is swapped by a reload; each query reads it once.
    """

    def __init__(
        self,
        state: DnsState,
        exchange: UpstreamExchange,
        log: Log,
        dump: PacketDump | None,
        rights: Rights,
        netfilter: Netfilter,
    ) -> None:
        self.state = state
        self.exchange = exchange
        self.rights = rights
        self.netfilter = netfilter
        self.log = log
        self.dump = dump
        self.dropped = 0  # datagrams that were no queries
        self.connections: dict[int, TcpConnection] = {}  # of all listeners
        self.connections_lock = threading.Lock()
        self._serials = exchange.serials

    def query(self, data: bytes, client: DnsClient) -> bytes | None:
        """Answer a query; None for silence, or when the client is answered later."""
        if len(data) < DNS_HEADER_SIZE or data[2] & 0x80:
            self.dropped += 1
            return None
        opcode = data[2] >> 3 & 15
        flags = FLAG_QR | (data[2] & 0x79) << 8
        if opcode:
            self.log.complain(("opcode", client.address), f"non-query opcode {opcode} from {client.address}", LOG_ERROR)
            return dns_header_reply(data, flags | FLAG_RA | NOTIMP)
        if data[4:6] != b"\0\1":
            return dns_header_reply(data, flags | FLAG_RA | REFUSED)
        try:
            query = dns_query_unpack(data)
        except WireError:
            return dns_header_reply(data, flags | FLAG_RA | REFUSED)
        return self._answer(query, client)

    def _answer(self, query: DnsQuery, client: DnsClient) -> bytes | None:
        state = self.state
        generation = state.answers.generation
        now = time.monotonic()
        answer = dns_answer(query, client, state, now)
        record_ = query_log(state, query, client, next(self._serials)) if state.log.queries else QUERY_LOG_SILENT
        for entry in answer.refresh:
            entry.asked_again = int(now)
            self.exchange.refresh(entry, state)
        if answer.outcome == "forward":
            return self.exchange.ask_tcp(answer, record_) if client.tcp else self.exchange.ask(answer, record_)
        if answer.outcome == "silence":
            return None
        if client.marked and answer.ede == EDE_BLOCKED:
            self.exchange.listener.refused(client.marked, query.key)
        if client.auth:
            state.metrics.auth += 1
        elif answer.ede == EDE_STALE:
            state.metrics.stale += 1
        else:
            state.metrics.local += 1
        keep = answer.lasting and not client.tcp and not client.auth and self._worth_keeping(query)
        variants = answer.finish(keep)
        record_.put(answer.texts, bool(answer.rcode) or not answer.records)
        if keep:
            texts: tuple[str, ...] = ()
            if state.log.queries:
                texts = (f"query[{rr_type_name(query.rrtype)}] {dns_name_log(query.name)}", *answer.texts)
            kept = WireAnswer(variants, int(now), tuple(answer.entries), texts)
            state.answers.store(query.wire[2:], kept, generation)
        if client.marked and answer.records:
            told = functools.partial(self.exchange.listener.resolved, client.marked, answer.records)
            if client.tcp:
                wait_for(told, UBUS_WAIT_MAX)
            elif told(functools.partial(client.reply, variants[0])):
                return None
        return variants[0]

    def _worth_keeping(self, query: DnsQuery) -> bool:
        """Tell whether the same bytes are likely to come again: no random case, no cookie, no dump of packets."""
        plain = self.dump is None and not query.options and query.name == query.key
        return plain and not self.state.config.log_queries

    def client_mac(self, address: str) -> bytes:
        """Find a client's hardware address, for add-mac."""
        packed = address_parse(address.partition("%")[0])
        return neighbour_mac(packed) if packed is not None else b""

    def client_mark(self, client: DnsClient, port: int) -> int:
        """Find the mark of the connection that a client's query to our `port` came by."""
        peer = address_parse(client.address.partition("%")[0])
        if peer is None:
            return 0
        return self.netfilter.connection_mark(client.tcp, (client.local, port), (peer, client.port))


class DnsUdpServer(socketserver.UDPServer):
    """A UDP listener with a loop of its own in place of socketserver's select and handler objects.

    The general loop costs more than a whole answer here: a third of the queries
    per second.  Each packet that is no plain repetition goes to DnsService.
    """

    max_packet_size = 4096
    allow_reuse_address = False

    def __init__(
        self,
        listener: Listener,
        service: DnsService,
        admit: Callable[[int, bytes], Arrival],
        on_link: Callable[[int, str], bool],
    ) -> None:
        """Bind; `admit` judges (interface index, local address), `on_link` whether a client is a direct neighbour."""
        self.address_family = listener.family
        self.listener = listener
        self.peer_check: Callable[[str], bool] | None = None  # local-service
        self._admit = admit
        self._on_link = on_link
        self._service = service
        self._stopping = False
        self.cpu_clock: int | None = None  # of the thread that serves
        self._arrivals: dict[bytes, Arrival] = {}
        self._peers: dict[str, UdpPeer] = {}
        super().__init__(listener.target, socketserver.DatagramRequestHandler)

    def server_bind(self) -> None:
        """Bind, and ask for packet info."""
        sock = self.socket
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        packet_info_ask(sock)
        self._service.rights.bind(sock, self.listener.target)
        self.server_address = self.listener.target

    def forget_arrivals(self) -> None:
        """Judge interfaces and clients anew: something changed."""
        self._arrivals.clear()
        self._peers.clear()

    def serve_forever(self, poll_interval: float = 0.5) -> None:
        """Answer until `stop`: the body of a receiver thread."""
        self._service.exchange.cpus.join()
        if hasattr(time, "pthread_getcpuclockid"):
            self.cpu_clock = time.pthread_getcpuclockid(threading.get_ident())
        sock, service, peers = self.socket, self._service, self._peers
        receive, send, send_plain, size = sock.recvmsg, sock.sendmsg, sock.sendto, self.max_packet_size
        answers, log, clock = service.state.answers, service.log, time.monotonic
        while not self._stopping:
            try:
                data, control, flags, peer = receive(size, _CONTROL_SPACE)
                known = peers.get(peer[0])
                if known is None or known.info != control[0][2]:
                    known = self._meet(control[0][2], peer[0])
                    if known is None:
                        continue
                answer, now = answers.entries.get(data[2:]), clock()
                if answer is None or (now >= answer.fresh_until and not answer.renew(now)) or known.arrival.auth:
                    self._slow(data, known, peer, flags)
                    continue
                answer.hits += 1
                if known.plain:
                    send_plain(data[:2] + (answer.tail or answer.turn()), peer)
                else:
                    send((data[:2], answer.tail or answer.turn()), known.arrival.control, 0, peer)
                if log.queries and answer.texts:
                    _log_hit(log, answer.texts, peer[0])
            except OSError as error:
                if error.errno in (errno.EBADF, errno.ENOTSOCK):
                    return
                log.complain(("udp", error.errno), f"failed to answer a query: {error_text(error)}", LOG_ERROR)
            except Exception as error:  # nothing that a client sends may end this thread
                if not self._stopping:  # closing wakes recvmsg with nothing in hand
                    log.failure("udp", error)

    def _meet(self, info: bytes, address: str) -> UdpPeer | None:
        """Judge a client that is new, or that came another way; None when it is not served."""
        arrival = self._arrivals.get(info)
        if arrival is None:
            arrival = self._arrive(info)
        if not arrival.admitted or (self.peer_check is not None and not self.peer_check(address)):
            return None
        if len(self._peers) >= _PEERS_MAX:
            self._peers.clear()
        known = self._peers[address] = UdpPeer(info, arrival)
        return known

    def _arrive(self, info: bytes) -> Arrival:
        """Judge packet info that was not seen before."""
        index, local, control = packet_info_read(info)
        arrival = self._admit(index, local)
        arrival.control = control
        if len(self._arrivals) < _ARRIVALS_MAX:
            self._arrivals[info] = arrival
        return arrival

    def _weigh(self, known: UdpPeer, peer: tuple[Any, ...]) -> None:
        """Find out, for a client that asks often, whether the kernel replies from the right address by itself."""
        known.queries += 1
        if known.queries != _PEER_OFTEN or not self._on_link(known.arrival.index, peer[0]):
            return
        try:
            with socket.socket(self.address_family, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
                sock.connect(peer)  # chooses a source address; sends nothing
                known.plain = address_parse(sock.getsockname()[0].partition("%")[0]) == known.arrival.local
        except OSError:
            pass

    def _slow(self, data: bytes, known: UdpPeer, peer: tuple[Any, ...], flags: int) -> None:
        """Answer a query that is no plain repetition."""
        if not peer[1] or flags & _MSG_TRUNC:  # port 0 cannot be answered, and nobody asks in so many octets
            return
        self._weigh(known, peer)
        arrival = known.arrival
        client = DnsClient(peer[0], peer[1], False, functools.partial(self._send, known, peer))
        client.interface, client.local, client.auth = arrival.interface, arrival.local, arrival.auth
        config = self._service.state.config
        if config.add_mac is not None:
            client.mac = functools.partial(self._service.client_mac, peer[0])
        if config.conntrack or config.connmark_allowlist_enable is not None:
            client.mark = functools.partial(self._service.client_mark, client, self.listener.port)
        if self._service.dump is not None:
            self._dump(DUMP_QUERY, data, arrival, peer)
        wire = self._service.query(data, client)
        if wire is not None:
            self._send(known, peer, wire)

    def _send(self, known: UdpPeer, peer: tuple[Any, ...], wire: bytes) -> None:
        if known.plain:
            self.socket.sendto(wire, peer)
        else:
            self.socket.sendmsg((wire,), known.arrival.control, 0, peer)
        if self._service.dump is not None:
            self._dump(DUMP_REPLY, wire, known.arrival, peer)

    def _dump(self, kind: int, wire: bytes, arrival: Arrival, peer: tuple[Any, ...]) -> None:
        assert self._service.dump is not None
        theirs, ours = (address_parse(peer[0].partition("%")[0]) or b"", peer[1]), (arrival.local, self.listener.port)
        source, target = (theirs, ours) if kind == DUMP_QUERY else (ours, theirs)
        self._service.dump.write(kind, wire, source, target, time.time())

    def stop(self) -> None:
        """End the loop and close the socket."""
        self._stopping = True
        try:
            self.socket.shutdown(socket.SHUT_RDWR)  # wakes a blocked recvmsg, though the socket is not connected
        except OSError:
            pass
        self.server_close()


def _log_hit(log: Log, texts: tuple[str, ...], address: str) -> None:
    """Log a query that was answered from a finished answer."""
    log.put(f"{texts[0]} from {address}")
    for text in texts[1:]:
        log.put(text)


class TcpConnection:
    """A client's connection; `idle` while it is between two queries."""

    __slots__ = ("server", "sock", "peer", "idle", "since")

    def __init__(self, server: DnsTcpServer, sock: socket.socket, peer: tuple[Any, ...]) -> None:
        self.server = server
        self.sock = sock
        self.peer = peer
        self.idle = True
        self.since = time.monotonic()


class DnsTcpServer(socketserver.TCPServer):
    """A TCP listener: one thread for each of a bounded number of connections.

    When all are taken, the connection that has been idle for longest makes room.
    """

    allow_reuse_address = True
    request_queue_size = TCP_BACKLOG

    def __init__(self, listener: Listener, service: DnsService, admit: Callable[[int, bytes], Arrival]) -> None:
        self.address_family = listener.family
        self.listener = listener
        self._service = service
        self._admit = admit
        self._stopping = False
        self._connections = service.connections
        self._lock = service.connections_lock
        self.peer_check: Callable[[str], bool] | None = None
        super().__init__(listener.target, socketserver.StreamRequestHandler)

    def server_bind(self) -> None:
        """Bind."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if self.address_family == socket.AF_INET6:
            self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        self._service.rights.bind(self.socket, self.listener.target)
        self.server_address = self.listener.target

    def serve_forever(self, poll_interval: float = 0.5) -> None:
        """Accept until `stop`: the body of the acceptor's thread."""
        log = self._service.log
        while not self._stopping:
            try:
                sock, peer = self.socket.accept()
            except OSError as error:
                if self._stopping or error.errno in (errno.EBADF, errno.EINVAL, errno.ENOTSOCK):
                    return
                log.complain(("accept", error.errno), f"failed to accept a connection: {error_text(error)}", LOG_ERROR)
                if error.errno in (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM):
                    self._make_room(0)
                    time.sleep(0.1)
                continue
            try:
                self._open(sock, peer)
            except Exception as error:
                sock.close()
                log.failure("tcp", error)

    def _open(self, sock: socket.socket, peer: tuple[Any, ...]) -> None:
        limit = self._service.state.config.max_tcp_connections
        if not self._make_room(limit):
            sock.close()
            return
        connection = TcpConnection(self, sock, peer)
        with self._lock:
            self._connections[id(connection)] = connection
        metrics = self._service.state.metrics
        metrics.tcp_connections += 1
        metrics.tcp_peak = max(metrics.tcp_peak, len(self._connections))
        try:
            threading.Thread(target=self._serve, args=(connection,), name="tcp", daemon=True).start()
        except RuntimeError:  # no memory or no process left for a thread
            with self._lock:
                self._connections.pop(id(connection), None)
            sock.close()
            self._service.log.complain("thread", "failed to start a thread for a TCP client", LOG_ERROR)

    def _make_room(self, limit: int) -> bool:
        """Wait shortly for a place below `limit`, cutting idle connections; False when none came free."""
        for _ in range(20):
            with self._lock:
                if len(self._connections) < max(limit, 1):
                    return True
                idle = [one for one in self._connections.values() if one.idle]
                victim = min(idle, key=lambda one: one.since, default=None)
            if victim is not None:
                self._cut(victim)
            time.sleep(0.005 if victim is not None else 0.05)
        return False

    @staticmethod
    def _cut(connection: TcpConnection) -> None:
        try:
            connection.sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass

    def _serve(self, connection: TcpConnection) -> None:
        """Serve one connection: the body of its thread."""
        try:
            with connection.sock:
                self._converse(connection)
        except OSError:
            pass
        except Exception as error:  # nothing that a client sends may go further
            self._service.log.failure("tcp", error)
        finally:
            with self._lock:
                self._connections.pop(id(connection), None)

    def _converse(self, connection: TcpConnection) -> None:
        sock, peer, service = connection.sock, connection.peer, self._service
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        local = address_parse(sock.getsockname()[0].partition("%")[0]) or b""
        arrival = self._admit(0, local)
        if not arrival.admitted or (self.peer_check is not None and not self.peer_check(peer[0])):
            return
        client = DnsClient(peer[0], peer[1], True, lambda wire: None)
        client.interface, client.local, client.auth = arrival.interface, local, arrival.auth
        client.mac = functools.partial(service.client_mac, peer[0])
        client.mark = functools.partial(service.client_mark, client, self.listener.port)
        end = time.monotonic() + TCP_LIFETIME
        for _ in range(TCP_QUERIES):
            connection.idle, connection.since = True, time.monotonic()
            data = tcp_message_read(sock, min(connection.since + TCP_IDLE, end))
            if data is None:
                return
            connection.idle = False
            wire = service.query(data, client)
            if wire is None and len(data) < DNS_HEADER_SIZE:
                return
            if wire is not None:
                sock.settimeout(TCP_IDLE)
                sock.sendall(len(wire).to_bytes(2, "big") + wire)

    def stop(self) -> None:
        """Stop accepting, and cut all connections."""
        self._stopping = True
        try:
            self.socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.server_close()
        with self._lock:
            connections = [one for one in self._connections.values() if one.server is self]
        for connection in connections:
            self._cut(connection)


# ==============================================================================
# 64 Hooks
#
# The program that hears of leases and neighbours (dhcp-script): a helper process
# that keeps its rights runs it, one call at a time.
#
# Uses 10 12 13 21 23 43 60
# ==============================================================================


@record
class ScriptCall:
    """One run of the script: its arguments and the variables that are set for it."""

    arguments: list[str]
    variables: dict[str, str]


def lease_call(event: LeaseEvent, domain: str, log_dhcp: bool, now: float, wall: float) -> ScriptCall:
    """Make the call for an event of a lease, with dnsmasq's arguments and variables."""
    lease = event.lease
    arguments = [event.action, hardware_format(lease.hardware, lease.htype), ip4_format(lease.address)]
    if event.name:
        arguments.append(event.name)
    left = lease.left(now)
    variables = {
        "INTERFACE": lease.interface,
        "LEASE_EXPIRES": "0" if lease.expires is None else str(int(lease.expires - now + wall + 0.5)),
        "CLIENT_ID": lease.client_id.hex(":"),
        "DOMAIN": domain if event.name or event.former_name else "",
        "OLD_HOSTNAME": event.former_name,
        "RELAY_ADDRESS": ip4_format(lease.relay) if lease.relay else "",
        "DATA_MISSING": "1" if event.known is None else "",
        "LOG_DHCP": "1" if log_dhcp else "",
        **(event.known or {}),
    }
    if event.action != "del" and left != LEASE_FOR_EVER:
        variables["TIME_REMAINING"] = str(left)
    return ScriptCall(arguments, {f"DNSMASQ_{name}": value for name, value in variables.items() if value})


class ScriptHelper:
    """Runs the script in a child process that was forked before the daemon gave up its rights.

    `put` queues a call and never waits.  One thread hands the calls over, another
    logs what comes back; the child keeps the calls that it has not come to.
    """

    def __init__(self, path: str, account: tuple[int, int] | None, keep_output: bool, log: Log) -> None:
        """Fork; `account` (uid, gid) runs the script, `keep_output` leaves its output to the terminal."""
        self._log = log
        self._calls: collections.deque[ScriptCall | None] = collections.deque()
        self._wake = threading.Semaphore(0)
        self._gone = False
        self._thread: threading.Thread | None = None
        self._ours, theirs = socket.socketpair()
        if os.fork():
            theirs.close()
            return
        self._ours.close()
        try:
            _ScriptRunner(theirs, path, account, keep_output).serve()
        finally:
            os._exit(0)

    def start(self) -> None:
        """Start the threads (after the last fork)."""
        self._thread = threading.Thread(target=self._hand_over, name="script", daemon=True)
        self._thread.start()
        threading.Thread(target=self._listen, name="script-log", daemon=True).start()

    def put(self, call: ScriptCall | None) -> None:
        """Queue a call; a script that is far too slow loses the newest ones."""
        if self._gone:
            return
        if len(self._calls) >= SCRIPT_QUEUE_MAX and call is not None:
            text = f"dhcp-script is too slow: {SCRIPT_QUEUE_MAX} events wait, one is dropped"
            self._log.complain("script queue", text)
            return
        self._calls.append(call)
        self._wake.release()

    def _hand_over(self) -> None:
        while True:
            self._wake.acquire()
            call = self._calls.popleft()
            try:
                if call is None:
                    self._ours.shutdown(socket.SHUT_WR)
                    return
                self._ours.sendall(_script_frame((call.arguments, call.variables)))
            except OSError as error:
                self._gone = True
                self._calls.clear()
                self._log.error(f"the helper for dhcp-script is gone: {error_text(error)}")
                return

    def _listen(self) -> None:
        frames = _ScriptFrames(self._ours)
        try:
            while True:
                frames.fill()
                for priority, tag, text in frames.take():
                    self._log.put((int(priority), str(tag), str(text)))
        except OSError:  # the helper has ended
            return

    def stop(self) -> None:
        """Hand over what waits; the helper finishes it by itself, also when we have ended."""
        self.put(None)
        if self._thread is not None:
            self._thread.join(SCRIPT_PATIENCE)


def _script_frame(value: Any) -> bytes:
    data = marshal.dumps(value)
    return len(data).to_bytes(4, "big") + data


class _ScriptFrames:
    """Values that come over a stream socket, each after its length."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._data = b""

    def fill(self) -> None:
        """Receive what is there, or wait for something; OSError at the end."""
        piece = self._sock.recv(1 << 16)
        if not piece:
            raise OSError(errno.EPIPE, os.strerror(errno.EPIPE))
        self._data += piece

    def take(self) -> list[Any]:
        """Take the values that are whole."""
        out, pos, data = [], 0, self._data
        while len(data) - pos >= 4:
            end = pos + 4 + int.from_bytes(data[pos : pos + 4], "big")
            if end > len(data):
                break
            out.append(marshal.loads(data[pos + 4 : end]))
            pos = end
        self._data = data[pos:]
        return out


class _ScriptRunner:
    """The child's side: takes calls, runs the script for one after the other, sends its output and its end."""

    def __init__(self, channel: socket.socket, path: str, account: tuple[int, int] | None, keep_output: bool) -> None:
        self._channel = channel
        self._path = path
        self._account = account
        self._keep_output = keep_output
        self._environment = {name: value for name, value in os.environ.items() if name[:8] != "DNSMASQ_"}
        self._frames = _ScriptFrames(channel)
        self._calls: collections.deque[Any] = collections.deque()
        self._ended = False

    def serve(self) -> None:
        """Run calls until the daemon is gone and the last of them is done."""
        os.chdir("/")
        child_settle("dnsmasq-script", self._channel, self._keep_output)
        while self._calls or not self._ended:
            if self._calls:
                self._call(*self._calls.popleft())
            else:
                self._take_calls()

    def _take_calls(self) -> None:
        try:
            self._frames.fill()
        except OSError:
            self._ended = True
        self._calls += self._frames.take()

    def _say(self, priority: int, tag: str, text: str) -> None:
        try:
            self._channel.sendall(_script_frame((priority, tag, text)))
        except OSError:  # the daemon has ended; what it asked for is still done
            pass

    def _say_lines(self, lines: Iterable[bytes]) -> None:
        for line in lines:
            self._say(LOG_DEBUG, "script", line.rstrip(b"\r").decode("utf-8", "replace"))

    def _call(self, arguments: list[str], variables: dict[str, str]) -> None:
        reader, writer = os.pipe()
        failed_reader, failed_writer = os.pipe()
        pid = os.fork()
        if not pid:
            try:
                self._become(arguments, variables, writer)
            except OSError as error:
                os.write(failed_writer, error_text(error).encode())
            finally:
                os._exit(127)
        os.close(writer)
        os.close(failed_writer)
        status = self._attend(pid, reader)
        reason = os.read(failed_reader, 4096).decode()
        os.close(reader)
        os.close(failed_reader)
        if reason:
            self._say(LOG_ERROR, "", f"failed to execute {self._path}: {reason}")
        elif os.WIFSIGNALED(status):
            self._say(LOG_WARNING, "", f"script process killed by signal {os.WTERMSIG(status)}")
        elif os.WEXITSTATUS(status):
            self._say(LOG_WARNING, "", f"script process exited with status {os.WEXITSTATUS(status)}")

    def _attend(self, pid: int, reader: int) -> int:
        """Log the script's output until it ends, and take further calls meanwhile; give its wait status."""
        poll = select.poll()
        poll.register(reader, select.POLLIN)
        rest, open_, watched = b"", True, not self._ended
        while True:
            if watched:
                poll.register(self._channel.fileno(), select.POLLIN if len(self._calls) < SCRIPT_QUEUE_MAX else 0)
            ready = {fd for fd, _ in poll.poll(100)}
            if self._channel.fileno() in ready:
                self._take_calls()
            if self._ended and watched:
                poll.unregister(self._channel.fileno())
                watched = False
            if open_ and reader in ready:
                piece = os.read(reader, 1 << 16)
                open_ = bool(piece)
                *lines, rest = (rest + (piece or b"\n" if rest else piece)).split(b"\n")
                self._say_lines(lines)
            if not open_:
                return os.waitpid(pid, 0)[1]
            if not ready:  # something that the script left behind may hold its output open
                done, status = os.waitpid(pid, os.WNOHANG)
                if done:
                    self._say_lines([rest] if rest else [])
                    return status

    def _become(self, arguments: list[str], variables: dict[str, str], writer: int) -> None:
        """Turn into the script."""
        for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
            signal.signal(number, signal.SIG_DFL)
        if not self._keep_output:
            os.dup2(writer, 1)
            os.dup2(writer, 2)
        if self._account is not None and os.getuid() == 0 and self._account[0] != 0:
            privileges_drop(*self._account)
        environment = {**self._environment, **variables}
        os.execve(self._path, [os.path.basename(self._path), *arguments], environment)


class NeighbourWatch:
    """Notices who comes and goes in the kernel's neighbour tables (script-arp)."""

    def __init__(self) -> None:
        self._known = neighbours_read()

    def changes(self) -> list[ScriptCall]:
        """Give the calls for what changed since the last look."""
        now = neighbours_read()
        out = []
        for address, hardware in self._known.items():
            if now.get(address) != hardware:
                out.append(ScriptCall(["arp-del", hardware.hex(":"), address_format(address)], {}))
        for address, hardware in now.items():
            if self._known.get(address) != hardware:
                out.append(ScriptCall(["arp-add", hardware.hex(":"), address_format(address)], {}))
        self._known = now
        return out


# ==============================================================================
# 65 Lease file
#
# The lease file on disk, and the thread that writes it before replies go out.
#
# Uses 10 13 43 60
# ==============================================================================

_COPY_END = b"# whole\n"  # the last line of a copy that was written to its end
_NO_RENAME = frozenset((errno.EBUSY, errno.EXDEV, errno.EACCES, errno.EPERM, errno.EROFS, errno.EOPNOTSUPP))


class LeaseFile:
    """The lease file on disk: never half a file, whatever happens.

    Normally a new file is written beside it, synced, and renamed over it.  Where
    that is refused (the directory belongs to root and we no longer do, the file is
    a mount point) it is rewritten in place, and until that is done a copy lies
    beside it, if there was a place for one.
    """

    def __init__(self, path: str, account: tuple[int, int] | None) -> None:
        """Open or create the file while we may; `account` will write it.  OSError when that fails."""
        self.path = os.path.realpath(path)
        self._new = f"{self.path}.new"
        self._copy_path = f"{self.path}.copy"
        self._fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        self._copy = -1
        self._in_place = False
        status = os.fstat(self._fd)
        self.written = status.st_mtime if status.st_size else time.time()
        if account is not None and os.getuid() == 0:
            _give(self._fd, account)
            if not _may_create(os.path.dirname(self.path), *account):
                self._in_place = True
                self._copy = self._copy_open(account)

    def _copy_open(self, account: tuple[int, int]) -> int:
        try:
            fd = os.open(self._copy_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError:  # no place for a copy
            return -1
        _give(fd, account)
        return fd

    def read(self) -> bytes:
        """Read the leases; where the last rewrite in place was cut off, from the copy, and finish it."""
        try:
            copy = _read_whole(self._copy_path)
        except OSError:
            copy = b""
        if not copy.endswith(_COPY_END):
            return _read_whole(self.path)
        text = copy[: -len(_COPY_END)]
        _overwrite(self._fd, text)
        return text

    def write(self, text: bytes) -> None:
        """Put `text` on disk; when this returns it is there to stay.  OSError leaves the old text."""
        if not self._in_place:
            try:
                self._replace(text)
                return
            except OSError as error:
                if error.errno not in _NO_RENAME:
                    raise
                self._in_place = True
                self._copy = self._copy_open((os.getuid(), os.getgid()))
        if self._copy >= 0:
            os.ftruncate(self._copy, 0)  # what is left of an older copy must not end this one
            _overwrite(self._copy, text + _COPY_END)
        self._follow()
        _overwrite(self._fd, text)
        if self._copy >= 0:
            os.ftruncate(self._copy, 0)

    def _follow(self) -> None:
        """Open the file again if something else lies under its name by now."""
        status = os.fstat(self._fd)
        try:
            named = os.stat(self.path)
        except FileNotFoundError:
            named = None
        except OSError:  # a directory that this account cannot enter: what is open is all there is
            return
        if named is None or (named.st_dev, named.st_ino) != (status.st_dev, status.st_ino):
            fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
            os.close(self._fd)
            self._fd = fd

    def _replace(self, text: bytes) -> None:
        fd = os.open(self._new, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
        try:
            os.fchmod(fd, stat.S_IMODE(os.fstat(self._fd).st_mode))
            _write_all(fd, text)
            os.fsync(fd)
            os.rename(self._new, self.path)
        except OSError:
            os.close(fd)
            _unlink(self._new)
            raise
        os.close(self._fd)
        self._fd = fd  # should the directory be out of reach one day, this is the file that has the name
        _unlink(self._copy_path)  # of an earlier run that wrote in place
        try:
            directory = os.open(os.path.dirname(self.path), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                os.fsync(directory)
            finally:
                os.close(directory)
        except OSError:  # some file systems cannot, some directories are not ours to read
            pass

    def keep_bad(self, lines: Sequence[bytes]) -> str:
        """Keep lines that make no sense in a file beside this one; give its path."""
        path = f"{self.path}.bad"
        with open(path, "ab") as file:
            file.write(b"".join(line + b"\n" for line in lines))
        return path


def _may_create(directory: str, uid: int, gid: int) -> bool:
    """Tell whether an account may create files in a directory."""
    status = os.stat(directory)
    if uid == 0:
        return True
    bits = (
        status.st_mode >> 6 if status.st_uid == uid else status.st_mode >> 3 if status.st_gid == gid else status.st_mode
    )
    return bits & 3 == 3 and not status.st_mode & stat.S_ISVTX


def _give(fd: int, account: tuple[int, int]) -> None:
    try:
        os.fchown(fd, account[0], account[1])
    except OSError:  # a file system without owners; the open descriptor does
        pass


def _unlink(path: str) -> None:
    try:
        os.unlink(path)
    except OSError:
        pass


def _read_whole(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()


def _write_all(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def _overwrite(fd: int, data: bytes) -> None:
    """Rewrite a file in place; it is grown first, so that a full disk costs nothing of it."""
    try:
        os.posix_fallocate(fd, 0, len(data) or 1)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise
    os.lseek(fd, 0, os.SEEK_SET)
    _write_all(fd, data)
    os.ftruncate(fd, len(data))
    os.fsync(fd)


class LeaseWriter:
    """Writes the lease file in a thread of its own, and lets replies go when their leases are in it.

    All replies that came while one write ran share the next one, so the rate of
    leases does not depend on how long a write takes.
    """

    def __init__(self, file: LeaseFile, leases: LeaseTable, send: Callable[[Any], None], log: Log) -> None:
        self._file = file
        self._leases = leases
        self._send = send
        self._log = log
        self._waiting: list[Any] = []
        self._condition = threading.Condition(threading.Lock())
        self._wanted = False
        self._retry_at = 0.0
        self._stopping = False
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Start the thread (after the last fork: from Python 3.13 on a fork spoils those that have not begun)."""
        self._thread = threading.Thread(target=self._run, name="leases", daemon=True)
        self._thread.start()

    def put(self, delivery: Any) -> None:
        """Send a reply as soon as everything that is in the table now is on disk."""
        with self._condition:
            if len(self._waiting) < DHCP_HELD_MAX:
                self._waiting.append(delivery)
            self._wanted = True
            self._condition.notify()

    def poke(self) -> None:
        """Write what has changed without a reply that waits for it."""
        with self._condition:
            self._wanted = True
            self._condition.notify()

    def _run(self) -> None:
        while True:
            with self._condition:
                while not self._wanted:
                    if self._stopping:
                        return
                    left = self._retry_at - time.monotonic() if self._retry_at else None
                    if left is not None and left <= 0:
                        break
                    self._condition.wait(left)
                replies, self._waiting, self._wanted = self._waiting, [], False
            try:
                self._commit()
            except Exception as error:  # nothing may end this thread: replies wait for it
                self._log.failure("leases", error)
            for reply in replies:
                try:
                    self._send(reply)
                except Exception as error:
                    self._log.failure("leases", error)

    def _commit(self) -> None:
        with self._leases.lock:
            text = self._leases.text(time.time() - time.monotonic())
        try:
            self._file.write(text)
        except OSError as error:
            self._retry_at = time.monotonic() + LEASE_RETRY_SECONDS
            self._log.complain(
                "lease file",
                f"failed to write {self._file.path}: {error_text(error)} (retry in {LEASE_RETRY_SECONDS:.0f} s)",
                LOG_ERROR,
            )
            return
        if self._retry_at:
            self._retry_at = 0.0
            self._log.info(f"{self._file.path} is written again")

    def stop(self) -> None:
        """Write what is left, and end."""
        with self._condition:
            self._stopping = True
            self._wanted = self._wanted or self._retry_at > 0
            self._condition.notify()
        if self._thread is not None:
            self._thread.join(LEASE_STOP_SECONDS)


# ==============================================================================
# 66 DHCP servers
#
# The socket on port 67, pings, packets to clients without an address, and what is
# read from files for DHCP.
#
# Uses 10 11 12 13 20 21 23 30 31 33 40 43 54 56 57 58 60 63 64 65
# ==============================================================================


@record
class Dhcp4Delivery:
    """A reply with the interface that it leaves by."""

    outcome: Dhcp4Outcome
    interface: str
    index: int
    source: int  # our address there
    pxe: bool = False  # from port 4011


def udp_frame(payload: bytes, source: tuple[int, int], target: tuple[int, int]) -> bytes:
    """Make an IPv4 packet with a UDP datagram between (address, port) pairs (RFC 768, RFC 791)."""
    length = 8 + len(payload)
    udp = struct.pack("!HHHH", source[1], target[1], length, 0) + payload
    pseudo = struct.pack("!IIHH", source[0], target[0], 17, length)
    udp = udp[:6] + (_checksum(pseudo + udp) or 0xFFFF).to_bytes(2, "big") + udp[8:]
    head = struct.pack("!BBHHHBBHII", 0x45, 0xC0, 20 + length, 0, 0, 64, 17, 0, source[0], target[0])
    return head[:10] + _checksum(head).to_bytes(2, "big") + head[12:] + udp


def _checksum(data: bytes) -> int:
    """Compute the Internet checksum (RFC 1071)."""
    data += b"\0" * (len(data) & 1)
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total & 0xFFFF) + (total >> 16)
    return ~(total + (total >> 16)) & 0xFFFF


class Dhcp4Sender:
    """Everything that DHCP sends; the packet socket is opened while we may.  Used by several threads."""

    def __init__(self, sock: socket.socket, server_port: int, log: Log) -> None:
        self.sock = sock
        self.pxe_sock = sock  # on port 4011, where there is one
        self._port = server_port
        self._log = log
        try:
            self._packets: socket.socket | None = socket.socket(
                socket.AF_PACKET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC, 0
            )
        except OSError:  # then clients without an address are answered by broadcast
            self._packets = None

    def send(self, delivery: Dhcp4Delivery) -> None:
        """Send a reply; what goes wrong is logged."""
        outcome, sock = delivery.outcome, self.pxe_sock if delivery.pxe else self.sock
        try:
            if outcome.hardware and self._unicast(delivery):
                return
            routed = bool(outcome.address and not outcome.hardware)
            if routed and not outcome.source:
                sock.sendto(outcome.wire, (ip4_format(outcome.address), outcome.port))
                return
            index, target = (0, ip4_format(outcome.address)) if routed else (delivery.index, "255.255.255.255")
            info = struct.pack("=iI4x", index, socket.htonl(outcome.source or delivery.source))
            control = [(socket.IPPROTO_IP, IP_PKTINFO, info)]
            sock.sendmsg([outcome.wire], control, 0, (target, outcome.port))
        except OSError as error:
            where = ip4_format(outcome.address) if outcome.address else f"255.255.255.255 on {delivery.interface}"
            self._log.complain(
                ("dhcp send", where), f"Error sending DHCP packet to {where}: {error_text(error)}", tag=TAG_DHCP
            )

    def _unicast(self, delivery: Dhcp4Delivery) -> bool:
        """Send to a client that does not have its address yet; False: broadcast instead."""
        outcome = delivery.outcome
        if self._packets is None or len(outcome.hardware) > 8 or outcome.htype != ETHERNET:
            return False
        frame = udp_frame(outcome.wire, (delivery.source, self._port), (outcome.address, outcome.port))
        try:
            self._packets.sendto(frame, (delivery.interface, 0x0800, 0, 0, outcome.hardware))
        except OSError:
            return False
        return True


class Pinger:
    """Asks with ICMP echo whether an address is in use (RFC 792); nobody waits for it."""

    def __init__(self) -> None:
        """Open the raw socket; OSError without the right to."""
        self.sock = socket.socket(
            socket.AF_INET, socket.SOCK_RAW | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK, socket.IPPROTO_ICMP
        )
        self._id = os.getpid() & 0xFFFF

    def send(self, address: int) -> None:
        """Send an echo request; what cannot be sent will not be answered."""
        head = struct.pack("!BBHHH", 8, 0, 0, self._id, 1)
        packet = head[:2] + _checksum(head).to_bytes(2, "big") + head[4:]
        try:
            self.sock.sendto(packet, (ip4_format(address), 0))
        except OSError:
            pass

    def answers(self) -> set[int]:
        """Read the addresses that answered since the last time."""
        out = set()
        for _ in range(DHCP_PINGS_MAX):
            try:
                packet, peer = self.sock.recvfrom(256)
            except OSError:
                break
            head = (packet[0] & 15) * 4 if packet else 0
            if packet[head : head + 1] == b"\0" and packet[head + 4 : head + 6] == self._id.to_bytes(2, "big"):
                out.add(ip4_number(socket.inet_aton(peer[0])))
        return out


class Courtesy:
    """Tells whether DHCP should make room for DNS: while many clients boot, the others go on asking for names.

    Two busy threads hand the interpreter over at each system call, and the one with
    the longer turns, DHCP, would get most of it.
    """

    def __init__(self) -> None:
        self._since = 0.0
        self._used = 0.0
        self._busy = False

    def due(self, now: float, dns_seconds: Callable[[], float]) -> bool:
        """Look now and then how much of the time DNS needed."""
        if now - self._since > DHCP_COURTESY_SECONDS:
            used = dns_seconds()
            self._busy = used - self._used > DHCP_COURTESY_SHARE * (now - self._since)
            self._since, self._used = now, used
        return self._busy


class Dhcp4Server(socketserver.UDPServer):
    """The socket on port 67 with a loop of its own: messages, pings, delayed replies, ends of leases.

    All decisions are made in its thread, under the lock of the leases.
    """

    max_packet_size = 4096
    allow_reuse_address = False

    def __init__(self, config: Config, service: Dhcp4Service, log: Log) -> None:
        self.service = service
        self.writer: LeaseWriter | None = None
        self.forget: Callable[[set[bytes]], None] = lambda names: None  # drops finished DNS answers
        self.dns_seconds: Callable[[], float] = lambda: 0.0  # of CPU that DNS has used so far
        self._courtesy = Courtesy()
        self.script: ScriptHelper | None = None
        self._log = log
        self._bind_one = bool(config.bind_interfaces or config.bind_dynamic)
        self._only = only_interface(config, service.state.interfaces)
        self.bound_to = ""
        self._bound_index = 0
        self._stopping = False
        self._timers: list[tuple[float, int, Callable[[], None]]] = []
        self._timer_serial = itertools.count()
        self._pinging: dict[int, list[tuple[Dhcp4Message, Dhcp4Arrival]]] = {}
        self._names: dict[int, str] = {}
        self._wake_in, self._wake_out = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._jobs: collections.deque[Callable[[], None]] = collections.deque()
        self._shift = _clock_shift()
        port = config.dhcp_alternate_port[0]
        super().__init__(("0.0.0.0", port), socketserver.DatagramRequestHandler)
        self.bind: Callable[[socket.socket, tuple[str, int]], None] = lambda sock, target: sock.bind(target)
        self._port = port
        self._own: dict[tuple[bytes, int], socket.socket] = {}  # by address of ours and port
        self._poll = select.poll()
        self.sender = Dhcp4Sender(self.socket, port, log)
        self._follow_addresses()
        self.pinger: Pinger | None = None
        try:
            self.pinger = None if config.no_ping else Pinger()
        except OSError as error:
            log.warning(f"cannot ping addresses before they are offered: {error_text(error)}", TAG_DHCP)

    def server_bind(self) -> None:
        """Bind; several servers may share the port where each keeps to its interface."""
        sock = self.socket
        self._prepare(sock)
        if self._only and self._bind_one:
            try:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, self._only.encode())
                self.bound_to = self._only
                self._bound_index = self._index_of(self._only)
            except OSError:  # the interface is not there yet
                pass
        sock.bind(self.server_address)

    def _prepare(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        sock.setsockopt(socket.IPPROTO_IP, IP_PKTINFO, 1)
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, 0xC0)
        if self._bind_one:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)

    def _bind_again(self) -> None:
        """Take a new socket for an interface that went and came back under its name."""
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        try:
            self._prepare(sock)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, self.bound_to.encode())
            self.bind(sock, ("0.0.0.0", self._port))
        except OSError as error:
            sock.close()
            text = f"error binding DHCP socket to device {self.bound_to}: {error_text(error)}"
            self._log.complain(("dhcp bind", self.bound_to), text, tag=TAG_DHCP)
            return
        old, self.socket = self.socket, sock
        self.sender.sock = sock
        self._bound_index = self._index_of(self.bound_to)
        self._poll.register(sock.fileno(), select.POLLIN)
        self._drop(old)
        while self._own:
            self._drop(self._own.popitem()[1])

    def _drop(self, sock: socket.socket) -> None:
        self._poll.unregister(sock.fileno())
        sock.close()

    @staticmethod
    def _index_of(interface: str) -> int:
        try:
            return socket.if_nametoindex(interface)
        except OSError:
            return 0

    def addresses_changed(self) -> None:
        """Look at our addresses again, in the thread that serves."""
        self.run_soon(self._follow_addresses)

    def _follow_addresses(self) -> None:
        """Listen on port 4011, where boot menus are asked for.

        Where several servers share a port, listen on each address that we serve, too.
        All of them get what is broadcast, but of the wildcard sockets only one
        gets what is sent to an address; the kernel prefers a socket of its own.
        """
        state, menus = self.service.state, (b"\0\0\0\0", PXE_PORT)
        wanted = {menus} if state.pxe else set()
        if self.bound_to and self._index_of(self.bound_to) not in (0, self._bound_index):
            self._bind_again()
        if self._bind_one and not self.bound_to:
            ports = (self._port, PXE_PORT) if state.pxe else (self._port,)
            served = [at for at in state.interfaces if len(at.address) == 4 and not at.loopback]
            admitted = {at.address for at in served if dhcp_admits(state.config, state.interfaces, at.interface)}
            wanted |= set(itertools.product(admitted, ports))
        for key in self._own.keys() - wanted:
            self._drop(self._own.pop(key))
        for key in wanted - self._own.keys():
            own = self._open(*key)
            if own is not None:
                self._own[key] = own
        self.sender.pxe_sock = self._own.get(menus, self.socket)

    def _open(self, address: bytes, port: int) -> socket.socket | None:
        """Open one more socket; None, with word in the log, when that fails."""
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        try:
            self._prepare(sock)
            if self.bound_to:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, self.bound_to.encode())
            self.bind(sock, (address_format(address), port))
        except OSError as error:
            sock.close()
            text = f"no socket for DHCP to {address_format(address)} port {port}: {error_text(error)}"
            self._log.complain(("dhcp bind", address, port), text, tag=TAG_DHCP)
            return None
        self._poll.register(sock.fileno(), select.POLLIN)
        return sock

    def run_soon(self, job: Callable[[], None]) -> None:
        """Have `job` run in this thread."""
        self._jobs.append(job)
        try:
            os.write(self._wake_out, b"\0")
        except OSError:  # it is awake
            pass

    def stop(self) -> None:
        """End the loop."""
        self._stopping = True
        self.run_soon(lambda: None)

    def serve_forever(self, poll_interval: float = 0.5) -> None:
        """Serve until `stop`: the body of the DHCP thread."""
        for fd in [self.socket.fileno(), self._wake_in] + ([self.pinger.sock.fileno()] if self.pinger else []):
            self._poll.register(fd, select.POLLIN)
        while not self._stopping:
            try:
                ready = {fd for fd, _ in self._poll.poll(self._patience())}
                if self._wake_in in ready:
                    os.read(self._wake_in, 4096)
                    self._run_jobs()
                if self.pinger is not None and self.pinger.sock.fileno() in ready:
                    for address in self.pinger.answers():
                        self._ping_done(address, True)
                if self.socket.fileno() in ready:
                    self._receive(self.socket, False)
                for (_, port), sock in self._own.items():
                    if sock.fileno() in ready:
                        self._receive(sock, port == PXE_PORT)
                self._run_timers()
            except Exception as error:  # nothing that a client sends may end this thread
                self._log.failure("dhcp", error)

    def _run_jobs(self) -> None:
        while self._jobs:
            try:
                self._jobs.popleft()()
            except Exception as error:  # the next one has nothing to do with it
                self._log.failure("dhcp", error)

    def _patience(self) -> float:
        """Give the milliseconds until something has to be done."""
        due = self.service.leases.next_end()
        if self._timers:
            due = min(due, self._timers[0][0])
        return min(max(due - time.monotonic(), 0), POLL_SECONDS_MAX) * 1000 + 1

    def _receive(self, sock: socket.socket, pxe: bool) -> None:
        """Take what waits in a socket, at most so many messages that timers are not late."""
        for _ in range(64):
            try:
                data, control, _, peer = sock.recvmsg(self.max_packet_size, 64)
            except BlockingIOError:
                return
            except OSError as error:
                self._log.complain(
                    ("dhcp receive", error.errno), f"failed to receive DHCP: {error_text(error)}", tag=TAG_DHCP
                )
                return
            try:
                self._message(data, control[0][2], peer, pxe)
            except WireError:
                continue  # no BOOTP message
            if self._courtesy.due(time.monotonic(), self.dns_seconds):
                time.sleep(DHCP_NAP)

    def _arrival(self, info: bytes, peer: tuple[str, int]) -> Dhcp4Arrival | None:
        """Tell how a message came; None when DHCP is not served there."""
        index, local, target = int.from_bytes(info[:4], sys.byteorder), ip4_number(info[4:8]), ip4_number(info[8:12])
        state = self.service.state
        name = next((at.interface for at in state.interfaces if at.index == index), "") or self._name(index)
        loopback = name == "lo"
        if loopback:  # a tool on this machine, perhaps: it means the interface whose address it used
            at = next((at for at in state.interfaces if ip4_number(at.address) == target and not at.loopback), None)
            name, index, loopback = (at.interface, at.index, False) if at is not None else (name, index, True)
        if not dhcp_admits(state.config, state.interfaces, state.main_interface(name)):
            if all(at.interface != name or len(at.address) == 16 for at in state.interfaces) and name:
                text = f"DHCP packet received on {name} which has no address"
                self._log.complain(("no address", name), text, tag=TAG_DHCP)
            return None
        own = next(
            (ip4_number(at.address) for at in state.interfaces if at.interface == name and len(at.address) == 4), 0
        )
        source = ip4_number(socket.inet_aton(peer[0]))
        unicast = target != 0xFFFFFFFF and target in state.own
        main = state.main_interface(name)
        return Dhcp4Arrival(main, index, own or local, source, peer[1], name, unicast, loopback)

    def _name(self, index: int) -> str:
        try:
            return socket.if_indextoname(index)
        except OSError:
            return ""

    def _message(self, data: bytes, info: bytes, peer: tuple[str, int], pxe: bool = False) -> None:
        arrival = self._arrival(info, peer)
        if arrival is None:
            return
        arrival.pxe = pxe
        message = dhcp4_unpack(data)
        if not pxe and self.service.state.config.dhcp_relay and self._relay(data, message, arrival):
            return
        if self.service.state.ranges and message.op == BOOT_REQUEST:
            self._judge(message, arrival)

    def _judge(self, message: Dhcp4Message, arrival: Dhcp4Arrival) -> None:
        now = time.monotonic()
        leases = self.service.leases
        with leases.lock:
            before = leases.serial
            try:
                outcome = self.service.handle(message, arrival, now)
            except DhcpPing as wanted:
                self._ping(wanted.address, message, arrival)
                return
            changed = leases.serial != before
            if changed:
                self.settle()
        if outcome is None:
            if changed and self.writer is not None:
                self.writer.poke()
            return
        source = outcome.source or arrival.local
        delivery = Dhcp4Delivery(outcome, arrival.device, arrival.index, source, arrival.pxe)
        if changed and self.writer is not None:
            self.writer.put(delivery)
        elif outcome.delay:
            if len(self._timers) < DHCP_HELD_MAX:  # beyond that it is a flood, and no loss
                self._later(outcome.delay, functools.partial(self.sender.send, delivery))
        else:
            self.sender.send(delivery)

    def settle(self) -> None:
        """Tell the script what changed, and let no finished DNS answer outlive it."""
        service = self.service
        events = service.leases.take_events(self.script is not None)
        names = service.take_names()
        if names:
            self.forget(names)
        if self.script is None:
            return
        now, wall, config = time.monotonic(), time.time(), service.state.config
        for event in events:
            domain = service.state.domain_of(event.lease.address)
            text = dns_name_format(domain) if domain else ""
            self.script.put(lease_call(event, text, config.log_dhcp, now, wall))

    # -- timers --

    def _later(self, seconds: float, job: Callable[[], None]) -> None:
        heapq.heappush(self._timers, (time.monotonic() + seconds, next(self._timer_serial), job))

    def _run_timers(self) -> None:
        now = time.monotonic()
        while self._timers and self._timers[0][0] <= now:
            heapq.heappop(self._timers)[2]()
        if now >= self.service.leases.next_end():
            self.tick(now)

    def tick(self, now: float) -> None:
        """End leases, and notice a clock that was set or a machine that slept; any thread."""
        service = self.service
        (wall, counted), (known_wall, known_counted) = _clock_shift(), self._shift
        slept = counted - known_counted if counted - known_counted > 1.0 else 0.0
        clock_set = abs(wall - known_wall - slept) > 2.0
        with service.leases.lock:
            before = service.leases.serial
            if slept:
                service.leases.pass_time(slept)
            if clock_set and service.leases.by_address:
                self._log.info("the clock was set: the ends of leases are written anew", TAG_DHCP)
                service.leases.serial += 1
            self._shift = (wall if clock_set else known_wall + slept, known_counted + slept)
            service.expire(now)
            changed = service.leases.serial != before
            if changed:
                self.settle()
        if changed and self.writer is not None:
            self.writer.poke()

    # -- pings --

    def _ping(self, address: int, message: Dhcp4Message, arrival: Dhcp4Arrival) -> None:
        """Ask for an address; the message is judged again when the answer is known."""
        waiting = self._pinging.get(address)
        if self.pinger is None or (waiting is None and len(self._pinging) >= DHCP_PINGS_MAX):
            self.service.pool.ping_result(address, False, time.monotonic())
            self._jobs.append(functools.partial(self._judge, message, arrival))
            self.run_soon(lambda: None)
            return
        if waiting is None:
            self._pinging[address] = [(message, arrival)]
            self.pinger.send(address)
            self._later(DHCP_PING_SECONDS, functools.partial(self._ping_done, address, False))
        elif all(other.hardware != message.hardware for other, _ in waiting) and len(waiting) < DHCP_PINGS_MAX:
            waiting.append((message, arrival))

    def _ping_done(self, address: int, alive: bool) -> None:
        waiting = self._pinging.pop(address, None)
        if waiting is None:
            return
        self.service.pool.ping_result(address, alive, time.monotonic())
        for message, arrival in waiting:
            self._judge(message, arrival)

    # -- relaying --

    def _relay(self, data: bytes, message: Dhcp4Message, arrival: Dhcp4Arrival) -> bool:
        """Pass a message on as a relay; True when it is nobody else's then."""
        state = self.service.state
        rules = [rule for rule in state.config.dhcp_relay if len(rule.local) == 4]
        if message.op == BOOT_REPLY:
            self._relay_back(data, arrival, rules)
            return True
        port = state.config.dhcp_alternate_port
        relayed = False
        for rule in rules:
            at = next((at for at in state.interfaces if at.address == rule.local), None)
            if at is None or at.interface != arrival.interface:
                continue
            wire = relay_request(data, rule, self._uplink(rule), at.index, arrival.unicast)
            if wire is None:
                continue
            target = Dhcp4Outcome(wire, ip4_number(rule.server) if rule.server else 0, rule.port or port[0])
            target.source = self._uplink(rule) if rule.split else ip4_number(rule.local)  # by which servers know us
            index = arrival.index
            if rule.server is None:
                index = next((at.index for at in state.interfaces if at.interface == rule.interface), 0)
            self.sender.send(Dhcp4Delivery(target, rule.interface or arrival.interface, index, ip4_number(rule.local)))
            relayed = True
            if state.config.log_dhcp:
                where = address_format(rule.server) if rule.server else f"broadcast via {rule.interface}"
                self._log.info(f"DHCP relay at {address_format(rule.local)} -> {where}", TAG_DHCP)
        return relayed

    def _uplink(self, rule: DhcpRelay) -> int:
        """Give our address towards the server of a split relay."""
        if rule.uplink is not None:
            return ip4_number(rule.uplink)
        at = next(
            (at for at in self.service.state.interfaces if at.interface == rule.interface and len(at.address) == 4),
            None,
        )
        return ip4_number(at.address) if at is not None else ip4_number(rule.local)

    def _relay_back(self, data: bytes, arrival: Dhcp4Arrival, rules: Sequence[DhcpRelay]) -> None:
        message, wire, index = relay_reply(data)
        state = self.service.state
        for rule in rules:
            relay = self._uplink(rule) if rule.split else ip4_number(rule.local)
            if relay != message.giaddr or (
                rule.interface and not rule.split and not name_matches(rule.interface, arrival.interface)
            ):
                continue
            at = next((at for at in state.interfaces if at.address == rule.local and index in (0, at.index)), None)
            if at is None:
                continue
            port = state.config.dhcp_alternate_port[1]
            outcome = Dhcp4Outcome(wire, 0, port)
            if message.ciaddr:
                outcome.address = message.ciaddr
            elif not message.flags & DHCP_BROADCAST and message.hardware and message.yiaddr:
                outcome.address, outcome.hardware, outcome.htype = message.yiaddr, message.hardware, message.htype
            self.sender.send(Dhcp4Delivery(outcome, at.interface, at.index, ip4_number(rule.local)))
            return


def _clock_shift() -> tuple[float, float]:
    """Give how far the wall clock and the clock that counts sleep are ahead of the monotonic one."""
    monotonic = time.monotonic()
    return time.time() - monotonic, time.clock_gettime(time.CLOCK_BOOTTIME) - monotonic


def _dhcp_forbidden(config: Config, interface: str) -> bool:
    patterns = (*config.no_dhcp_interface, *config.no_dhcpv4_interface)
    return any(name_matches(pattern, interface) for pattern in patterns)


def only_interface(config: Config, interfaces: Sequence[InterfaceAddress]) -> str:
    """Give the one interface that the configuration names, "" when there may be more."""
    names = {name for name in config.interface if not _dhcp_forbidden(config, name)}
    if not config.interface and config.bind_interfaces:
        names = {at.interface for at in interfaces if address_format(at.address) in config.listen_address}
    return next(iter(names)) if len(names) == 1 and "*" not in "".join(names) else ""


def dhcp_admits(config: Config, interfaces: Sequence[InterfaceAddress], interface: str) -> bool:
    """Tell whether DHCP is served on an interface."""
    if _dhcp_forbidden(config, interface):
        return False
    addresses = [at for at in interfaces if at.interface == interface and len(at.address) == 4]
    return any(interface_admits(config, at, interface, at.address) for at in addresses)


# --- files ---


class DhcpFiles:
    """Reads what DHCP takes from files: dhcp-hostsfile, dhcp-optsfile, their directories, /etc/ethers."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self.signs: dict[str, int] = {}
        self._good: dict[tuple[str, str], list[Any]] = {}  # what files said that could be read
        self._fresh: Container[str] | None = None  # the files that are named in the log when they are read; None: all

    def hosts(self, config: Config) -> list[DhcpHost]:
        """Give all dhcp-host entries, the earliest first."""
        out = [dhcp_host_copy(host) for host in config.dhcp_host]  # addresses are taken away and added below
        for entry in self._ethers("/etc/ethers") if config.read_ethers else ():
            same = next((host for host in out if entry.hardware[0] in host.hardware), None)
            if same is None:
                out.append(entry)
            else:  # the two lines say together what is known of this client
                same.ipv4, same.name = entry.ipv4 or same.ipv4, entry.name or same.name
        for path in (*config.dhcp_hostsfile, *config.dhcp_hostsdir):
            out += self._values("dhcp-host", path)
        return self._distinct(out)

    def _distinct(self, hosts: list[DhcpHost]) -> list[DhcpHost]:
        """Drop an address that several entries claim from the later ones: two clients cannot have it."""
        owners: dict[bytes, DhcpHost] = {}
        for host in hosts:
            if host.ipv4 is not None and owners.setdefault(host.ipv4, host) is not host:
                self._log.warning(
                    f"duplicate dhcp-host IP address {address_format(host.ipv4)} at {host.place}, "
                    f"it is taken at {owners[host.ipv4].place}", TAG_DHCP,
                )  # fmt: skip
                host.ipv4 = None
        return hosts

    def options(self, config: Config) -> list[DhcpOptionRule]:
        """Give all dhcp-option entries, the earliest first."""
        out = list(config.dhcp_option)
        for path in (*config.dhcp_optsfile, *config.dhcp_optsdir):
            out += self._values("dhcp-option", path)
        return out

    def _values(self, option: str, path: str) -> list[Any]:
        out = []
        try:
            paths = SystemSource().files(path)
        except OSError as error:
            self._log.error(f"cannot read {path}: {error_text(error)}", TAG_DHCP)
            return []
        for file in paths:
            try:
                values, problems = config_values_parse(option, SystemSource().read(file), file)
            except OSError as error:
                old = self._good.get((option, file), []) if error.errno != errno.ENOENT else []
                stays = "; what it said before stays in use" if old else ""
                self._log.error(f"cannot read {file}: {error_text(error)}{stays}", TAG_DHCP)
                out += old
                continue
            self._good[(option, file)] = values
            for problem in problems:
                self._log.error(config_problem_format(problem))
            if self._fresh is None or file in self._fresh:
                self._log.info(f"read {file}", TAG_DHCP)
            out += values
        return out

    def _ethers(self, path: str) -> list[DhcpHost]:
        out = []
        try:
            with open(path, "rb") as file:
                lines = file.read().split(b"\n")
        except OSError as error:
            self._log.error(f"failed to read {path}: {error_text(error)}", TAG_DHCP)
            return []
        for number, line in enumerate(lines, 1):
            fields = line.decode("utf-8", "replace").partition("#")[0].split()
            if not fields or fields[0][0] == "+":
                continue
            place = f"{path} line {number}"
            hardware = hardware_parse(fields[0])
            if hardware is None or len(hardware.octets) != 6 or None in hardware.octets or len(fields) < 2:
                self._log.error(f"bad line at {place}", TAG_DHCP)
                continue
            address = address_parse(fields[1])
            if address is None and _ETHERS_NAME.match(fields[1]) and fields[1].strip("0123456789."):
                name, _, domain = fields[1].removesuffix(".").partition(".")
                wire = dns_name_parse(domain) if domain else b""
                out.append(DhcpHost((hardware,), any_client_id=True, name=name, domain=wire, place=place))
            elif address is not None and len(address) == 4:
                out.append(DhcpHost((hardware,), any_client_id=True, ipv4=address, place=place))
            else:
                self._log.error(f"bad address at {place}", TAG_DHCP)
        self._log.info(f"read {path} - {len(out)} addresses", TAG_DHCP)
        return out

    def moved(self, config: Config) -> bool:
        """Tell whether a file of a directory that is followed has changed since the last look."""
        signs = directories_signs((*config.dhcp_hostsdir, *config.dhcp_optsdir))
        self._fresh = {path for path in signs if signs[path] != self.signs.get(path)}
        changed, self.signs = signs != self.signs, signs
        return changed

    def begin(self, config: Config) -> None:
        """Begin to read everything, and to follow the directories."""
        self.moved(config)
        self._fresh = None


_ETHERS_NAME = Pattern(r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}(\.[A-Za-z0-9_-]{1,63})*\.?\Z")


def hosts_with_addresses(hosts: Sequence[DhcpHost], find: Callable[[str], int], log: Log) -> list[DhcpHost]:
    """Give entries that have a name and no address the address that hosts data has for the name."""
    taken = {host.ipv4 for host in hosts if host.ipv4 is not None}
    out = [dhcp_host_copy(host) for host in hosts]
    for host in out:
        if not host.name or host.ipv4 is not None or host.ipv6:
            continue
        domain = f".{dns_name_format(host.domain)}" if host.domain else ""
        packed = find(host.name + domain).to_bytes(4, "big")
        if packed == b"\0" * 4:
            continue
        if packed in taken:
            log.warning(
                f"duplicate IP address {address_format(packed)} ({host.name}) in dhcp-config directive", TAG_DHCP
            )
            continue
        taken.add(packed)
        host.ipv4 = packed
    return out


def dhcp_host_copy(host: DhcpHost) -> DhcpHost:
    """Copy an entry, so that what is done to it does not change the configuration."""
    return DhcpHost(**{name: getattr(host, name) for name in DhcpHost.__annotations__})


def dhcp_texts(config: Config) -> list[str]:
    """Describe ranges and relays for the log at start."""
    ranges = [_range_text(rule) for rule in config.dhcp_range if len(rule.first) == 4]
    return ranges + [_relay_text(rule) for rule in config.dhcp_relay if len(rule.local) == 4]


def _relay_text(rule: DhcpRelay) -> str:
    port = f"#{rule.port}" if rule.port else ""
    target = f" to {address_format(rule.server)}{port}" if rule.server is not None else ""
    via = f" via {rule.interface}" if rule.interface else ""
    return f"DHCP relay from {address_format(rule.local)}{target}{via}"


def _range_text(rule: DhcpRange) -> str:
    first, last = address_format(rule.first), address_format(rule.last)
    lease = DHCP_LEASE_DEFAULT if rule.lease is None else rule.lease
    time_text = "infinite" if lease < 0 else duration_format(lease)
    if "proxy" in rule.modes:
        return f"DHCP, proxy on subnet {first}"
    if "static" in rule.modes:
        return f"DHCP, static leases only on {first}, lease time {time_text}"
    return f"DHCP, IP range {first} -- {last}, lease time {time_text}"


class DhcpRuntime:
    """DHCP as it runs: the leases with their file, the service with its socket, reload and end."""

    def __init__(self, config: Config, account: tuple[int, int] | None, state: DhcpState, log: Log) -> None:
        """Open the lease file and the socket while we may; StartError when that fails.

        `state` is made anew by `rebuild` as soon as there are leases to name.
        """
        self._log = log
        self.leases = LeaseTable(config.dhcp_lease_max)
        self.leases.extras = bool(config.leasequery)
        self.leases.fqdn = bool(config.dhcp_fqdn)
        self.service = Dhcp4Service(state, self.leases, lambda below: int.from_bytes(os.urandom(4), "big") % below)
        self._file: LeaseFile | None = self._open_file(config, account)
        text, reference = self._stored(config)
        now = time.monotonic()
        bad = self.leases.read(text, reference, now)
        if bad:
            self._report_bad(bad)
        if len(self.leases) > config.dhcp_lease_max:
            log.warning(
                f"{len(self.leases)} stored leases are more than dhcp-lease-max={config.dhcp_lease_max}", TAG_DHCP
            )
        try:
            self.server = Dhcp4Server(config, self.service, log)
        except OSError as error:
            raise StartError(
                EXIT_NETWORK, f"failed to bind DHCP server socket: {error_text(error)}{_bind_remedy(config, error)}"
            ) from None
        if self._file is not None:
            self.server.writer = LeaseWriter(self._file, self.leases, self.server.sender.send, log)

    @staticmethod
    def _open_file(config: Config, account: tuple[int, int] | None) -> LeaseFile | None:
        if config.leasefile_ro or not config.dhcp_range:
            return None
        try:
            return LeaseFile(config.dhcp_leasefile, account)
        except OSError as error:
            raise StartError(
                EXIT_FILE, f"cannot open or create lease file {config.dhcp_leasefile}: {error_text(error)}"
            ) from None

    def _stored(self, config: Config) -> tuple[bytes, float]:
        """Read the stored leases, and the time by which their ends are meant."""
        if self._file is None:
            if not config.dhcp_script:
                return b"", time.time()
            status, text = SystemSource().run(f"{config.dhcp_script} init")
            if status in (126, 127):  # the shell's own words are on standard error
                raise StartError(EXIT_FILE, f"cannot run lease-init script {config.dhcp_script}")
            if status:
                raise StartError(EXIT_SCRIPT + status, f"lease-init script returned exit code {status}")
            return text, time.time()
        text = self._file.read()
        wall = time.time()
        reference = leases_reference_time(wall, self._file.written)
        if abs(reference - wall) > 1.0:
            self._log.warning(
                "the clock is not set: leases have left what they had when their file was written", TAG_DHCP
            )
        return text, reference

    def _report_bad(self, bad: Sequence[bytes]) -> None:
        for line in bad[:10]:
            self._log.warning(
                f"ignoring invalid line in lease database: {line[:200].decode('utf-8', 'replace')}", TAG_DHCP
            )
        try:
            if self._file is not None:
                self._log.warning(f"{len(bad)} such lines are kept in {self._file.keep_bad(bad)}", TAG_DHCP)
        except OSError as error:
            self._log.error(f"cannot keep them: {error_text(error)}", TAG_DHCP)

    def start(self, script: ScriptHelper | None, forget: Callable[[set[bytes]], None]) -> None:
        """Start the threads; `forget` drops finished DNS answers for names."""
        self.server.forget = forget
        self.server.script = script
        self.service.script = script is not None
        with self.leases.lock:
            self.service.expire(time.monotonic())
            for lease in self.leases.by_address.values():
                packed, interfaces = lease.address.to_bytes(4, "big"), self.service.state.interfaces
                at = next((at for at in interfaces if address_in(packed, at.address, at.prefix)), None)
                lease.interface = at.interface if at is not None else ""
            self.leases.change_all()
            self.service.rename_all()
            self.server.settle()
        if self.server.bound_to:
            self._log.info(f"DHCP, sockets bound exclusively to interface {self.server.bound_to}", TAG_DHCP)
        if self.server.writer is not None:
            self.server.writer.start()
            self.server.writer.poke()
        threading.Thread(target=self.server.serve_forever, name="dhcp", daemon=True).start()

    def rebuild(self, state: DhcpState, renamed: bool) -> None:
        """Swap a new state in; `renamed`: configuration and hosts files were read again, so names may change."""
        with self.leases.lock:
            self.service.use(state, named=not renamed)
            self.leases.limit = state.config.dhcp_lease_max
            if renamed:
                self.leases.change_all()
                self.service.rename_all()
            self.server.settle()
        self.server.addresses_changed()
        if renamed and self.server.writer is not None:
            self.server.writer.poke()

    def stop(self) -> None:
        """End the threads; the lease file is up to date then."""
        self.server.stop()
        if self.server.writer is not None:
            self.server.writer.stop()


def _bind_remedy(config: Config, error: OSError) -> str:
    """Tell who holds the port, or who may have it."""
    port = config.dhcp_alternate_port[0]
    if error.errno in (errno.EACCES, errno.EPERM):
        return f"; UDP port {port} is for root only, start as root"
    holder = port_holder(port, False)
    return f"; UDP port {port} is {holder}" if holder else ""


# ==============================================================================
# 67 TFTP server
#
# Port 69, a port for each transfer, and the files.
#
# Uses 10 11 12 13 21 26 30 40 59 60 63 64
# ==============================================================================

TAG_TFTP = "tftp"  # of the log
_UDP_SEGMENT = 103  # of level IPPROTO_UDP; socket.UDP_SEGMENT is not there in any Python that counts
_SIOCGIFMTU = 0x8921
_OPEN_FILE = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY
_MSG_DONTWAIT = int(socket.MSG_DONTWAIT)  # a plain number, as _MSG_TRUNC in 62


# --- files ---


class TftpFile:
    """An open file that is sent to one or more clients; `sign` is what it looked like when it was opened."""

    def __init__(self, fd: int, status: os.stat_result, shown: str) -> None:
        self.fd = fd
        self.sign = _file_sign(status)
        self.size = status.st_size
        self.users = 0
        self._shown = shown

    def read(self, offset: int, size: int) -> bytes:
        """Give octets; TftpRefusal when the file is not what it was."""
        self.check()
        try:
            return os.pread(self.fd, size, offset)
        except OSError as error:
            raise TftpRefusal(TFTP_UNDEFINED, f"cannot read {self._shown}: {error_text(error)}") from None

    def check(self) -> None:
        """Raise TftpRefusal when the file was changed, cut or removed: what is sent would be half of each."""
        status = os.fstat(self.fd)
        if _file_sign(status) != self.sign:
            raise TftpRefusal(TFTP_UNDEFINED, f"cannot read {self._shown}: the file has changed")
        if not status.st_nlink:
            raise TftpRefusal(TFTP_UNDEFINED, f"cannot read {self._shown}: the file was removed")


def _file_sign(status: os.stat_result) -> tuple[int, int, int, int]:
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


class TftpFiles:
    """The files that are being sent, one descriptor for each however many clients want it."""

    def __init__(self) -> None:
        self._open: dict[tuple[int, int, int, int], TftpFile] = {}

    def open(self, path: str, root: str, secure: bool, client: str) -> TftpFile:
        """Open what a client asked for; TftpRefusal.  With `secure` symbolic links do not lead out of `root`."""
        shown = tftp_path_text(path)
        try:
            fd = open_beneath(root, path) if secure and root else os.open(path, _OPEN_FILE)
        except (FileNotFoundError, ValueError):  # a name with NUL
            raise TftpRefusal(TFTP_NOT_FOUND, f"file {shown} not found for {client}") from None
        except PermissionError as error:
            raise TftpRefusal(TFTP_DENIED, f"cannot access {shown}: {error_text(error)}") from None
        except OSError as error:
            raise TftpRefusal(TFTP_UNDEFINED, f"cannot read {shown}: {error_text(error)}") from None
        try:
            return self._take(fd, shown, secure)
        except TftpRefusal:
            os.close(fd)
            raise

    def _take(self, fd: int, shown: str, secure: bool) -> TftpFile:
        """Judge the file behind a descriptor: nobody can exchange it any more."""
        status, uid = os.fstat(fd), os.geteuid()
        if not status.st_mode & stat.S_IROTH if not uid else secure and status.st_uid != uid:
            raise TftpRefusal(TFTP_DENIED, f"cannot access {shown}: {os.strerror(errno.EACCES)}")
        if stat.S_ISDIR(status.st_mode):
            raise TftpRefusal(TFTP_UNDEFINED, f"cannot read {shown}: {os.strerror(errno.EISDIR)}")
        if not stat.S_ISREG(status.st_mode):
            raise TftpRefusal(TFTP_UNDEFINED, f"cannot read {shown}: it is no file")
        file = self._open.get(_file_sign(status))
        if file is None:
            file = TftpFile(fd, status, shown)
            self._open[file.sign] = file
        else:
            os.close(fd)
        file.users += 1
        return file

    def release(self, file: TftpFile) -> None:
        """Let go of a file; the last one closes it."""
        file.users -= 1
        if not file.users:
            del self._open[file.sign]
            os.close(file.fd)


def open_beneath(root: str, path: str) -> int:
    """Open what is below a directory, one component after the other, so that no link and no race leads out of it.

    OSError, PermissionError for a way out.  Needs neither /proc nor openat2().
    """
    base = os.path.realpath(root)
    rest = path[len(root) :].split("/")[::-1]
    stack = [os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)]
    links = 0
    try:
        while rest:
            part = rest.pop()
            if part == "..":
                if len(stack) == 1:
                    raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
                os.close(stack.pop())
            if part in ("", ".", ".."):
                continue
            fd = os.open(part, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=stack[-1])
            stack.append(fd)
            mode = os.fstat(fd).st_mode
            if stat.S_ISLNK(mode):
                target = os.readlink("", dir_fd=fd)
                os.close(stack.pop())
                links += 1
                if links > TFTP_LINKS_MAX:
                    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
                if target[0] == "/":
                    if not f"{target}/".startswith(f"{base}/"):
                        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
                    target = target[len(base) :]
                    while len(stack) > 1:
                        os.close(stack.pop())
                rest += target.split("/")[::-1]
            elif not rest and not stat.S_ISDIR(mode):
                return os.open(part, _OPEN_FILE | os.O_NOFOLLOW, dir_fd=stack[-2])
        return os.open(".", _OPEN_FILE, dir_fd=stack[-1])
    finally:
        for fd in stack:
            os.close(fd)


# --- the network ---


class TftpListener(socketserver.UDPServer):
    """A socket on port 69."""

    allow_reuse_address = False

    def __init__(self, listener: Listener, bind: Callable[[socket.socket, tuple[Any, ...]], None]) -> None:
        self.address_family = listener.family
        self.listener = listener
        self._bind = bind
        super().__init__(listener.target, socketserver.DatagramRequestHandler)

    def server_bind(self) -> None:
        """Bind, and ask for packet info."""
        packet_info_ask(self.socket)
        self._bind(self.socket, self.listener.target)
        self.server_address = self.listener.target


@record
class TftpClient:
    """Who sent a request, and how it came: to which address of ours (packed), by which interface."""

    peer: tuple[Any, ...]
    local: bytes
    index: int
    interface: str
    listener: TftpListener
    control: list[tuple[int, int, bytes]]  # that makes replies leave from this address

    @property
    def address(self) -> str:
        """The client's address without a scope."""
        return str(self.peer[0]).partition("%")[0]

    @property
    def ours(self) -> tuple[Any, ...]:
        """Our address, for bind() to any port."""
        text = address_format(self.local)
        near = self.local[:2] == b"\xfe\x80"
        return (text, 0, 0, self.index if near else 0) if len(self.local) == 16 else (text, 0)


def _datagrams_send(send: Callable[..., int], packets: Sequence[bytes], more: tuple[Any, ...]) -> bool:
    """Send the blocks of a window in few calls, the kernel cuts them apart (udp(7), UDP_SEGMENT); False: it cannot.

    A third more throughput on a wire, and half the CPU time.
    """
    size = len(packets[0])
    several = max(1, min(64, 65_000 // size))
    control, flags, *where = more
    try:
        for at in range(0, len(packets), several):
            segment = (socket.IPPROTO_UDP, _UDP_SEGMENT, struct.pack("=H", size))
            send(packets[at : at + several], [*control, segment], flags, *where)
    except OSError as error:  # anything else: what is lost comes again
        return error.errno not in (errno.EIO, errno.EINVAL, errno.EMSGSIZE, errno.EOPNOTSUPP, errno.ENOPROTOOPT)
    return True


class TftpPort:
    """A port of a transfer's own, connected to the client; a second socket on it takes what strangers send."""

    __slots__ = ("sock", "strangers", "receive", "_send", "_whole")

    def __init__(self, client: TftpClient, ports: tuple[int, int] | None) -> None:
        """Bind; OSError when no port of the range is free."""
        family = client.listener.address_family
        self.sock = sock = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        self.strangers = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        self.receive, self._send = sock.recv, sock.send
        self._whole = True  # windows go to the kernel in one piece
        try:
            _bind_in_range(sock, client.ours, ports)
            for one in (sock, self.strangers):
                one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self.strangers.bind(sock.getsockname())
            sock.connect(client.peer)
            # The thread waits in this socket when there is no other transfer.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("@ll", 0, int(TFTP_STAY * 1e6)))
        except OSError:
            self.close()
            raise

    def send(self, packets: Sequence[bytes]) -> None:
        """Send datagrams; what cannot be sent counts as lost."""
        if len(packets) > 1 and self._whole:
            self._whole = _datagrams_send(self.sock.sendmsg, packets, ([], _MSG_DONTWAIT))
            if self._whole:
                return
        try:
            for packet in packets:
                self._send(packet, _MSG_DONTWAIT)
        except OSError:
            return

    def close(self) -> None:
        """Close both sockets."""
        self.sock.close()
        self.strangers.close()


def _bind_in_range(sock: socket.socket, local: tuple[Any, ...], ports: tuple[int, int] | None) -> None:
    if ports is None:
        sock.bind(local)
        return
    for port in range(ports[0], ports[1] + 1):
        try:
            sock.bind((local[0], port, *local[2:]))
            return
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
    raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))


class TftpSharedPort:
    """Port 69 as the port of a transfer (tftp-single-port)."""

    __slots__ = ("_client",)

    def __init__(self, client: TftpClient) -> None:
        self._client = client

    def send(self, packets: Sequence[bytes]) -> None:
        """Send datagrams; what cannot be sent counts as lost."""
        send, control, peer = self._client.listener.socket.sendmsg, self._client.control, self._client.peer
        if len(packets) > 1 and _datagrams_send(send, packets, (control, _MSG_DONTWAIT, peer)):
            return
        try:
            for packet in packets:
                send([packet], control, _MSG_DONTWAIT, peer)
        except OSError:
            return

    def close(self) -> None:
        """The port stays."""


class TftpRun:
    """A transfer as it runs: its conversation, its port, its file."""

    __slots__ = ("client", "transfer", "port", "file", "path", "request", "key", "ended")

    def __init__(
        self, client: TftpClient, transfer: TftpTransfer, port: TftpPort | TftpSharedPort, file: TftpFile,
        path: str, request: bytes,
    ) -> None:  # fmt: skip
        self.client = client
        self.transfer = transfer
        self.port = port
        self.file = file
        self.path = path
        self.request = request
        self.key = (client.peer, client.local)
        self.ended = False


class TftpWorker:
    """The thread for all transfers: it waits for all of their sockets at once.

    Two of them on two processors were measured to send no more than one.
    """

    def __init__(self, finish: Callable[[TftpRun], None], log: Log) -> None:
        self.runs: dict[TftpRun, None] = {}
        self._finish = finish
        self._log = log
        self._poll = select.epoll()
        self._handlers: dict[int, Callable[[], None]] = {}  # by descriptor
        self._next = float("inf")  # when a transfer wants to send again
        self._jobs: collections.deque[Callable[[], None]] = collections.deque()
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self.watch(self._wake, self._run_jobs)

    def start(self) -> None:
        """Start the thread."""
        threading.Thread(target=self.serve, name="tftp", daemon=True).start()

    def watch(self, fd: int, handler: Callable[[], None]) -> None:
        """Have `handler` called whenever there is something to read."""
        self._handlers[fd] = handler
        self._poll.register(fd, select.EPOLLIN)

    def forget(self, fd: int) -> None:
        """Let go of a descriptor that is about to be closed."""
        self._handlers.pop(fd, None)
        self._poll.unregister(fd)

    def soon(self, job: Callable[[], None]) -> None:
        """Have `job` run in this thread."""
        self._jobs.append(job)
        os.eventfd_write(self._wake, 1)

    def _run_jobs(self) -> None:
        os.eventfd_read(self._wake)
        for _ in range(len(self._jobs)):
            try:
                self._jobs.popleft()()
            except Exception as error:  # the next one has nothing to do with it
                self._log.failure("tftp", error)

    def take(self, run: TftpRun) -> None:
        """Begin with a transfer."""
        self.runs[run] = None
        if isinstance(run.port, TftpPort):
            self.watch(run.port.sock.fileno(), functools.partial(self.attend, run, run.port))
            self.watch(run.port.strangers.fileno(), functools.partial(self._stranger, run.port.strangers))
        self.go_on(run, run.transfer.start(time.monotonic()))

    def drop(self, run: TftpRun) -> None:
        """Be done with a transfer."""
        del self.runs[run]
        if isinstance(run.port, TftpPort):
            self.forget(run.port.sock.fileno())
            self.forget(run.port.strangers.fileno())
        run.port.close()

    def go_on(self, run: TftpRun, packets: Sequence[bytes]) -> None:
        """Send what a transfer wants to send; end it when it is over."""
        if packets:
            run.port.send(packets)
        if run.transfer.outcome:
            self._finish(run)
        elif run.transfer.due < self._next:
            self._next = run.transfer.due

    def serve(self, goes_on: Callable[[], bool] = lambda: True) -> None:
        """Serve, for ever unless `goes_on` says otherwise: the body of the thread."""
        while goes_on():
            try:
                self._turn()
            except Exception as error:  # nothing that a client sends may end this thread
                self._log.failure("tftp", error)

    def _turn(self) -> None:
        for fd, _ in self._poll.poll(max(self._next - time.monotonic(), 0) if self.runs else None):
            handler = self._handlers.get(fd)
            if handler is not None:
                handler()
        if self.runs and time.monotonic() >= self._next:
            self._timers()

    def attend(self, run: TftpRun, port: TftpPort) -> None:
        """Take a packet of a transfer.  If that is the only one, stay for its next packets: it saves a call for each.

        Of the time that a block takes on a fast wire the saved call is a tenth.
        """
        transfer, flags, until = run.transfer, _MSG_DONTWAIT, 0.0
        while True:
            try:
                data = port.receive(TFTP_PACKET_MAX, flags)
            except ConnectionRefusedError:
                transfer.on_refused(time.monotonic())
                self.go_on(run, ())
                return
            except OSError:  # nothing (more)
                break
            now = time.monotonic()
            packets = transfer.on_packet(data, now)
            if packets:
                port.send(packets)
            if transfer.outcome:
                self._finish(run)
                return
            if len(self.runs) > 1 or now >= (until := until or now + TFTP_TURN):
                break
            flags = 0
        if transfer.due < self._next:
            self._next = transfer.due

    def _timers(self) -> None:
        """Let the transfers send again what was lost."""
        now = time.monotonic()
        for run in list(self.runs):
            self.go_on(run, run.transfer.on_timer(now))
        self._next = min((run.transfer.due for run in self.runs), default=float("inf"))

    def _stranger(self, sock: socket.socket) -> None:
        """Answer who has nothing to do with the transfer on this port (RFC 1350 s.4)."""
        try:
            data, peer = sock.recvfrom(TFTP_PACKET_MAX, _MSG_DONTWAIT)
            if data[:2] == TFTP_ERROR:  # errors are not answered: two servers could go on for ever
                return
            text = f"ignoring packet from {peer[0]} (TID mismatch)"
            self._log.complain(("tftp stranger", peer[0]), text, tag=TAG_TFTP)
            sock.sendto(tftp_error_pack(TFTP_UNKNOWN_ID, text), _MSG_DONTWAIT, peer)
        except OSError:
            return


class TftpServer:
    """All of TFTP: requests, and the transfers that come of them.

    A reload swaps `config` and `interfaces`; each request reads them once.
    """

    def __init__(
        self, config: Config, interfaces: Sequence[InterfaceAddress], log: Log,
        bind: Callable[[socket.socket, tuple[Any, ...]], None],
    ) -> None:  # fmt: skip
        self.config = config
        self.interfaces = interfaces
        self.script: ScriptHelper | None = None
        self.hardware_of: Callable[[bytes], bytes] = neighbour_mac  # by address (packed)
        self._log = log
        self._bind = bind
        self._files = TftpFiles()
        self._by_peer: dict[tuple[tuple[Any, ...], bytes], TftpRun] = {}  # by client and our address
        self._worker = TftpWorker(self._finish, log)
        self._listeners: dict[int, TftpListener] = {}  # by descriptor

    # -- listening --

    def use(self, config: Config, interfaces: Sequence[InterfaceAddress]) -> None:
        """Take a new configuration, or new interfaces; transfers go on."""
        self.config, self.interfaces = config, interfaces
        self._worker.soon(functools.partial(self.listen, fatal=False))

    def listen(self, fatal: bool) -> None:
        """Open what is missing of the listeners, close what is no longer wanted; StartError when `fatal`."""
        wanted = {one.key: one for one in tftp_listeners(self.config, self.interfaces)}
        present = {one.listener.key: fd for fd, one in self._listeners.items()}
        for key in present.keys() - wanted.keys():
            self._worker.forget(present[key])
            self._listeners.pop(present[key]).server_close()
        for key in wanted.keys() - present.keys():
            try:
                server = TftpListener(wanted[key], self._bind)
            except OSError as error:
                listener_failed(self._log, wanted[key], error, False, fatal, TAG_TFTP)
                continue
            self._listeners[server.fileno()] = server
            self._worker.watch(server.fileno(), functools.partial(self._requests, server))

    def announce(self) -> None:
        """Say at start what is served, and which directories cannot be used (tftp-no-fail)."""
        config, log = self.config, self._log
        root = tftp_root(config, "")
        secure = "secure mode" if config.tftp_secure else ""
        single = "single port mode" if config.tftp_single_port else ""
        log.info(f"TFTP {f'root is {root}' if root else 'enabled'} {secure} {single}", TAG_TFTP)
        for one, _ in tftp_roots_missing(config):
            log.warning(f"warning: {'TFTP directory ' if one.interface else ''}{one.path} inaccessible", TAG_TFTP)
        if self._most() < config.tftp_max:
            log.warning(f"restricting maximum simultaneous TFTP transfers to {self._most()}", TAG_TFTP)

    def _most(self) -> int:
        """Give the greatest number of transfers at once: tftp-max, as far as ports and descriptors go."""
        config = self.config
        most: int = config.tftp_max
        if not config.tftp_single_port:
            most = min(most, max(1, resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 8))
            if config.tftp_port_range is not None:
                most = min(most, config.tftp_port_range[1] - config.tftp_port_range[0] + 1)
        return max(most, 1)

    def start(self) -> None:
        """Start the thread."""
        self._worker.start()

    # -- requests --

    def _requests(self, listener: TftpListener) -> None:
        """Take what waits on port 69, at most so much that transfers are not kept waiting."""
        for _ in range(TFTP_REQUESTS):
            try:
                data, control, _, peer = listener.socket.recvmsg(TFTP_REQUEST_MAX, 64, _MSG_DONTWAIT)
            except OSError:
                return
            arrival = packet_info_read(control[0][2])
            run = self._by_peer.get((peer, arrival[1]))
            if run is not None and self._belongs(run, data):
                continue
            if len(self._by_peer) >= self._most():
                # A request that finds no room is lost: its client asks again.  If it waited, it would often be
                # answered when its client has given up, or was served since, and take the place of one that is there.
                continue
            client = self._client(listener, peer, arrival)
            if client is not None:
                self._request(client, data)

    def _client(
        self, listener: TftpListener, peer: tuple[Any, ...], arrival: tuple[int, bytes, list[tuple[int, int, bytes]]]
    ) -> TftpClient | None:
        """Tell how a request came, by its packet info; None when TFTP is not served there."""
        index, local, control = arrival
        interface, at = arrival_find(self.interfaces, index, local)
        if not tftp_admits(self.config, at, interface, local):
            return None
        return TftpClient(peer, local, index, interface, listener, control)

    def _belongs(self, run: TftpRun, data: bytes) -> bool:
        """Give a packet to the transfer that its client has; False when it is something new."""
        transfer, now = run.transfer, time.monotonic()
        if data[:2] != TFTP_RRQ:
            if isinstance(run.port, TftpPort):
                return False
            self._worker.go_on(run, transfer.on_packet(data, now))
            return True
        if data == run.request and not transfer.begun:
            self._worker.go_on(run, transfer.start(now))  # the answer was lost, or the client is in a hurry
            return True
        if data == run.request and isinstance(run.port, TftpPort) and now - transfer.progress < TFTP_AGAIN:
            return True  # it waited in port 69 behind the one that was answered
        self._replace(run)
        return False

    def _replace(self, run: TftpRun) -> None:
        """End a transfer whose client begins anew; its last words may still wait in the port."""
        if isinstance(run.port, TftpPort):
            self._worker.attend(run, run.port)
        if run.ended:
            return
        if run.transfer.complete:
            run.transfer.outcome = "sent"
            self._finish(run)
        else:
            self._close(run)

    def _request(self, client: TftpClient, data: bytes) -> None:
        """Begin a transfer, or say why not."""
        try:
            run = self._begin(client, data)
        except TftpRefusal as refusal:
            if not (refusal.code == TFTP_NOT_FOUND and self.config.quiet_tftp):
                self._log.complain(("tftp", refusal.text), refusal.text, LOG_ERROR, TAG_TFTP)
            TftpSharedPort(client).send([refusal.pack()])
            return
        if run is not None:
            self._by_peer[run.key] = run
            self._worker.take(run)

    def _begin(self, client: TftpClient, data: bytes) -> TftpRun | None:
        config = self.config
        try:
            request = tftp_request_unpack(data)
        except WireError:
            if len(data) < 2 or data[:2] == TFTP_ERROR:  # as for strangers: no answer
                return None
            what = "write request" if data[:2] == TFTP_WRQ else "request"
            raise TftpRefusal(TFTP_ILLEGAL, f"unsupported {what} from {client.address}") from None
        top = tftp_root(config, client.interface)
        root = self._root(client, top)
        path = tftp_path(config, root, request.name)
        file = self._files.open(path, top, bool(config.tftp_secure), client.address)
        try:
            port = TftpSharedPort(client) if config.tftp_single_port else TftpPort(client, config.tftp_port_range)
        except OSError as error:
            self._files.release(file)
            free = error.errno == errno.EADDRINUSE
            text = "unable to get free port for TFTP" if free else f"no port for TFTP: {error_text(error)}"
            self._log.complain(("tftp port", error.errno), text, LOG_ERROR, TAG_TFTP)
            return None
        ipv6 = client.listener.address_family == socket.AF_INET6
        terms = tftp_terms(config, request, file.size, interface_mtu(client.interface), ipv6)
        transfer = TftpTransfer(NetasciiSource(file) if request.netascii else file, terms)
        return TftpRun(client, transfer, port, file, path, data)

    def _root(self, client: TftpClient, root: str) -> str:
        """Go down to the client's own directory where there is one (tftp-unique-root)."""
        if not root or not self.config.tftp_unique_root:
            return root
        packed = address_parse(client.address)
        hardware = self.hardware_of(packed) if packed is not None and "mac" in self.config.tftp_unique_root else b""
        for part in tftp_subdirectories(self.config, client.address, hardware):
            inside = root + part if root[-1] == "/" else f"{root}/{part}"
            root = inside if os.path.isdir(inside) else root
        return root

    # -- ends --

    def _finish(self, run: TftpRun) -> None:
        """Log the end of a transfer, and tell the script."""
        where, shown = run.client.address, tftp_path_text(run.path)
        if run.transfer.line:
            line = run.transfer.line
            self._log.info(f"{line} from {where}" if line[-8:] == "received" else line, TAG_TFTP)
        sent = run.transfer.outcome == "sent"
        if run.transfer.outcome != "asking":
            self._log.info(f"{'sent' if sent else 'failed sending'} {shown} to {where}", TAG_TFTP)
        if sent and self.script is not None:
            self.script.put(ScriptCall(["tftp", str(run.file.size), where, run.path], {}))
        self._close(run)

    def _close(self, run: TftpRun) -> None:
        run.ended = True
        self._worker.drop(run)
        self._files.release(run.file)
        del self._by_peer[run.key]


def tftp_roots_missing(config: Config) -> list[tuple[TftpRoot, str]]:
    """Give the directories of tftp-root that cannot be used, with the reason."""
    out = []
    roots = [root for root in config.tftp_root if root.path and config.enable_tftp is not None]
    for root in sorted(roots, key=lambda root: bool(root.interface)):
        try:
            os.close(os.open(root.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))
        except OSError as error:
            out.append((root, error_text(error)))
    return out


def tftp_admits(config: Config, at: InterfaceAddress | None, interface: str, address: bytes) -> bool:
    """Tell whether TFTP requests to an address that come in by an interface are served."""
    if auth_admits(config, interface, address):
        return False
    if config.enable_tftp:
        return any(name_matches(pattern, interface) for pattern in config.enable_tftp)
    if any(name_matches(pattern, interface) for pattern in config.no_dhcp_interface):
        return False
    return interface_admits(config, at, interface, address)


def tftp_listeners(config: Config, interfaces: Sequence[InterfaceAddress]) -> list[Listener]:
    """Choose what to listen on: as for DNS, less the addresses where TFTP is not served."""
    refused = {address_format(at.address) for at in interfaces if not tftp_admits(config, at, at.interface, at.address)}
    return [one for one in listeners_choose(config, TFTP_PORT, interfaces) if one.address not in refused]


def interface_mtu(name: str) -> int:
    """Ask for an interface's MTU, 0 when it is not known."""
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
            reply = fcntl.ioctl(sock.fileno(), _SIOCGIFMTU, struct.pack("16sI12x", name.encode()[:15], 0))
        return int(struct.unpack("16sI12x", reply)[1])
    except OSError:
        return 0


# ==============================================================================
# 68 ubus
#
# The daemon on OpenWrt's bus (enable-ubus): an object with its counters, a word
# to subscribers of leases and marks, and an object whose subscribers see
# addresses before clients do.  One thread speaks; nobody else waits for the bus.
#
# Uses 10 11 13 15 20 21 22 28 31 60 61
# ==============================================================================

UBUS_PATHS = ("/var/run/ubus/ubus.sock", "/var/run/ubus.sock")
# The counters of `metrics` in dnsmasq's order, its slip of the pen included.
METRICS = (
    "dns_cache_inserted", "dns_cache_live_freed", "dns_queries_forwarded", "dns_auth_answered", "dns_local_answered",
    "dns_stale_answered", "dns_unanswered", "dnssec_max_crypto_use", "dnssec_max_sig_fail", "dnssec_max_work", "bootp",
    "pxe", "dhcp_ack", "dhcp_decline", "dhcp_discover", "dhcp_inform", "dhcp_nak", "dhcp_offer", "dhcp_release",
    "dhcp_request", "noanswer", "leases_allocated_4", "leases_pruned_4", "leases_allocated_6", "leases_pruned_6",
    "tcp_connections", "dhcp_leasequery", "dhcp_lease_unassigned", "dhcp_lease_actve", "dhcp_lease_unknown",
)  # fmt: skip
_ARGUMENTS = {"mark": BLOBMSG_INT32, "mask": BLOBMSG_INT32, "patterns": BLOBMSG_ARRAY}


class Consultation:
    """Notifications whose subscribers have a moment to answer, before `done` gets what they said."""

    def __init__(self, limit: float, count: int, done: Callable[[list[dict[str, Any]]], None]) -> None:
        """`limit` in seconds for all `count` notifications."""
        self.deadline = time.monotonic() + limit
        self.done = done
        self.answers: list[dict[str, Any]] = [{} for _ in range(count)]
        self.open: dict[int, tuple[int, set[int] | None]] = {}  # by serial: its place, who has yet to answer


class UbusClient(DnsListener):
    """Holds the connection to ubusd, and comes back to it for ever; `run` is the body of its thread."""

    silent = False

    def __init__(
        self,
        name: str,
        metrics: Callable[[], dict[str, int]],
        allow: Callable[[int, int, tuple[str, ...]], None] | None,
        log: Log,
    ) -> None:
        """`metrics` gives the counters, `allow` takes a list for connmark-allowlist."""
        self._objects = [name, f"{name}.dns"]
        self._metrics = metrics
        self._allow = allow
        self._log = log
        self._sock: socket.socket | None = None
        self._buffer = bytearray()
        self._ids: dict[int, int] = {}  # of objects: the bus's number -> place in _objects
        self._listening = [False, False]  # whether an object has subscribers
        self._adding: dict[int, int] = {}  # serials of requests for objects
        self._serial = 0
        self._jobs: collections.deque[Callable[[], None]] = collections.deque(maxlen=UBUS_QUEUE_MAX)
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._poll = select.poll()
        self._poll.register(self._wake, select.POLLIN)
        self._consultations: list[Consultation] = []
        self._warned = False

    # -- what others call, from any thread --

    def notify(self, kind: str, fields: dict[str, Any]) -> None:
        """Tell the subscribers of the main object."""
        if self._listening[0]:
            self._soon(lambda: self._tell(kind, fields))

    def results(self, message: DnsMessage, done: Callable[[dict[int, bytes]], None]) -> bool:
        """Show the addresses of a reply; `done` gets those that replace them, by their places in the answer."""
        if not self._listening[1]:
            return False
        shown = [
            (place, rr)
            for place, rr in enumerate(message.answers)
            if is_address(rr.rrtype, rr.rdata) and rr.rrclass == CLASS_IN
        ][:UBUS_RESULTS_MAX]
        notices = [
            {
                "name": dns_name_log(rr.name.lower()),
                "ttl": rr.ttl,
                "type": rr_type_name(rr.rrtype),
                "address": address_format(rr.rdata),
            }
            for _, rr in shown
        ]
        return self._consult(1, "dns_result", notices, UBUS_RESULT_SECONDS, lambda said: done(_replaced(shown, said)))

    def refused(self, mark: int, name: bytes) -> None:
        """Tell that a connection with a mark asked for a name that it may not have."""
        self.notify("connmark-allowlist.refused", {"mark": mark, "name": dns_name_log(name)})

    def resolved(self, mark: int, records: Sequence[tuple[bytes, int, int, bytes]], done: Callable[[], None]) -> bool:
        """Tell what a connection with a mark is about to hear: (name, type, TTL, data) each."""
        notices = [
            {
                "mark": mark,
                "name": dns_name_log(name),
                "value": dns_name_log(rdata) if rrtype == TYPE_CNAME else address_format(rdata),
                "ttl": ttl,
            }
            for name, rrtype, ttl, rdata in records
            if rrtype == TYPE_CNAME or is_address(rrtype, rdata)
        ][:UBUS_RESULTS_MAX]
        kind = "connmark-allowlist.resolved"
        return self._listening[0] and self._consult(0, kind, notices, UBUS_RESOLVED_SECONDS, lambda said: done())

    def _consult(
        self, place: int, kind: str, notices: list[Any], limit: float, done: Callable[[list[dict[str, Any]]], None]
    ) -> bool:
        """Send notices and gather the answers; False when nobody is to be waited for."""
        if not notices or len(self._consultations) >= UBUS_CONSULTATIONS_MAX:
            return False
        one = Consultation(limit, len(notices), done)
        self._consultations.append(one)
        if not self._listening[place]:  # the connection has just been lost
            try:
                self._consultations.remove(one)
                return False
            except ValueError:  # and that was noticed
                return True
        self._soon(functools.partial(self._begin, one, place, kind, notices))
        return True

    def _soon(self, job: Callable[[], None]) -> None:
        self._jobs.append(job)
        os.eventfd_write(self._wake, 1)

    # -- the thread --

    def run(self) -> None:
        """Connect, serve, and begin again: the body of the thread."""
        while True:
            try:
                self._connect()
                self._serve()
            except (OSError, WireError) as error:
                self._lose(error)
            except Exception as error:  # nothing that comes from the bus may end this thread
                self._lose(None)
                self._log.failure("ubus", error)
            time.sleep(UBUS_RETRY_SECONDS)

    def _connect(self) -> None:
        failure = OSError(errno.ENOENT, os.strerror(errno.ENOENT))
        for path in UBUS_PATHS:
            sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
            sock.settimeout(UBUS_PATIENCE)
            try:
                sock.connect(path)
            except OSError as error:
                sock.close()
                failure = error
                continue
            self._sock = sock
            self._poll.register(sock, select.POLLIN)
            return
        raise failure

    def _lose(self, error: Exception | None) -> None:
        """Forget all that the connection knew; whoever waits goes on."""
        if self._sock is not None:
            self._poll.unregister(self._sock)
            self._sock.close()
        self._sock = None
        self._jobs.clear()
        self._buffer.clear()
        self._ids.clear()
        self._adding.clear()
        self._listening = [False, False]
        for one in list(self._consultations):
            self._finish(one)
        if error is not None and not self._warned:
            self._warned = True
            text = error_text(error) if isinstance(error, OSError) else str(error)
            self._log.warning(f"Cannot connect to UBus: {text}; trying again from time to time")

    def _serve(self) -> None:
        assert self._sock is not None
        for place, name in enumerate(self._objects):
            self._add_object(place, name)
        while True:
            ready = {fd for fd, _ in self._poll.poll(self._patience())}
            if self._wake in ready:
                os.eventfd_read(self._wake)
                while self._jobs:
                    self._jobs.popleft()()
            if self._sock.fileno() in ready:
                data = self._sock.recv(1 << 16)
                if not data:
                    raise OSError(errno.ECONNRESET, "connection lost")
                self._buffer += data
                self._take_messages()
            now = time.monotonic()
            for one in [one for one in self._consultations if now >= one.deadline]:
                self._finish(one)

    def _patience(self) -> float:
        """Tell for how many milliseconds nothing is due, -1 for ever."""
        first = min((one.deadline for one in list(self._consultations)), default=None)
        return -1 if first is None else max((first - time.monotonic()) * 1000, 0) + 1

    def _take_messages(self) -> None:
        while len(self._buffer) >= UBUS_HEADER_SIZE:
            length = ubus_length(bytes(self._buffer[:UBUS_HEADER_SIZE]))
            if len(self._buffer) < length:
                return
            message = ubus_unpack(bytes(self._buffer[:length]))
            del self._buffer[:length]
            handler = _UBUS_HANDLERS.get(message.kind)
            if handler is not None:
                handler(self, message)

    def _send(self, kind: int, peer: int, *attributes: tuple[int, bytes], serial: int | None = None) -> int:
        assert self._sock is not None
        if serial is None:
            serial = self._serial = self._serial % 0xFFFF + 1
        self._sock.sendall(ubus_pack(kind, serial, peer, *attributes))
        return serial

    def _add_object(self, place: int, name: str) -> None:
        methods: dict[str, dict[str, int]] = {"metrics": {}} if not place else {}
        if not place and self._allow is not None:
            methods["set_connmark_allowlist"] = _ARGUMENTS
        path, signature = (UBUS_ATTR_PATH, name.encode() + b"\0"), (UBUS_ATTR_SIGNATURE, blobmsg_pack(methods))
        self._adding[self._send(UBUS_ADD_OBJECT, 0, path, signature)] = place

    # -- what comes --

    def _on_data(self, message: UbusMessage) -> None:
        place = self._adding.get(message.serial) if not message.peer else None
        number = message.number(UBUS_ATTR_OBJECT)
        if place is not None and number is not None:
            self._ids[number] = place
            return
        one, at, waiting = self._find(message.serial)
        if one is not None and waiting is not None and message.peer in waiting:
            try:
                one.answers[at].update(message.fields())
            except WireError:  # it said nothing, then
                return

    def _on_status(self, message: UbusMessage) -> None:
        place = self._adding.pop(message.serial, None) if not message.peer else None
        code = message.number(UBUS_ATTR_STATUS) or 0
        if place is not None:
            if code:
                text = "Invalid argument" if code == UBUS_BAD_ARGUMENT else f"status {code}"
                self._log.complain(("ubus", place), f"Cannot add object {self._objects[place]} to UBus: {text}")
            elif not place:
                self._log.info("UBus support enabled: connected to system bus")
            return
        one, at, waiting = self._find(message.serial)
        if one is None:
            return
        if waiting is None:  # from ubusd, in the name of our object: who will answer
            if message.peer not in self._ids:
                return
            waiting = set(ubus_numbers(message.attributes.get(UBUS_ATTR_SUBSCRIBERS, b"")))
            one.open[message.serial] = at, waiting
        else:
            waiting.discard(message.peer)
        if not waiting:
            del one.open[message.serial]
        if not one.open:
            self._finish(one)

    def _on_notify(self, message: UbusMessage) -> None:
        """Learn whether an object of ours has subscribers."""
        place = self._ids.get(message.number(UBUS_ATTR_OBJECT) or 0)
        if place is not None:
            self._listening[place] = bool(message.number(UBUS_ATTR_ACTIVE))

    def _on_invoke(self, message: UbusMessage) -> None:
        number = message.number(UBUS_ATTR_OBJECT) or 0
        method = message.attributes.get(UBUS_ATTR_METHOD, b"").rstrip(b"\0").decode("latin-1")
        object_ = (UBUS_ATTR_OBJECT, ubus_number(number))
        code = UBUS_NO_METHOD if number in self._ids else UBUS_NOT_FOUND
        if self._ids.get(number) == 0 and method == "metrics":
            data = (UBUS_ATTR_DATA, blobmsg_pack(self._metrics()))
            self._send(UBUS_DATA, message.peer, object_, data, serial=message.serial)
            code = UBUS_OK
        elif self._ids.get(number) == 0 and method == "set_connmark_allowlist" and self._allow is not None:
            code = self._set_allowlist(message)
        if not message.number(UBUS_ATTR_NO_REPLY):
            status = (UBUS_ATTR_STATUS, ubus_number(code))
            self._send(UBUS_STATUS, message.peer, status, object_, serial=message.serial)

    def _set_allowlist(self, message: UbusMessage) -> int:
        assert self._allow is not None
        try:
            fields = {"mask": 0xFFFFFFFF, "patterns": [], **message.fields()}
            mark, mask, patterns = fields.get("mark"), fields["mask"], fields["patterns"]
            if not (isinstance(mark, int) and isinstance(mask, int) and isinstance(patterns, list)):
                return UBUS_BAD_ARGUMENT
            if not all(isinstance(one, str) and one and not {"/", ","} & set(one) for one in patterns):
                return UBUS_BAD_ARGUMENT
            (rule,) = value_connmark(f"{mark}/{mask}" + (f",{'/'.join(patterns)}" if patterns else ""))
        except (WireError, ConfigError):
            return UBUS_BAD_ARGUMENT
        self._allow(rule.mark, rule.mask, rule.patterns)
        return UBUS_OK

    # -- notifications --

    def _send_notice(self, place: int, kind: str, fields: dict[str, Any], silent: bool) -> int:
        number = next((number for number, at in self._ids.items() if at == place), 0)
        attributes = [(UBUS_ATTR_OBJECT, ubus_number(number)), (UBUS_ATTR_METHOD, kind.encode() + b"\0")]
        if silent:
            attributes.append((UBUS_ATTR_NO_REPLY, b"\1"))
        return self._send(UBUS_NOTIFY, number, *attributes, (UBUS_ATTR_DATA, blobmsg_pack(fields)))

    def _tell(self, kind: str, fields: dict[str, Any]) -> None:
        self._send_notice(0, kind, fields, True)

    def _begin(self, one: Consultation, place: int, kind: str, notices: list[dict[str, Any]]) -> None:
        if one not in self._consultations:  # the connection was lost meanwhile
            return
        for at, fields in enumerate(notices):
            one.open[self._send_notice(place, kind, fields, False)] = at, None

    def _find(self, serial: int) -> tuple[Consultation | None, int, set[int] | None]:
        for one in self._consultations:
            if serial in one.open:
                return one, *one.open[serial]
        return None, 0, None

    def _finish(self, one: Consultation) -> None:
        try:
            self._consultations.remove(one)
        except ValueError:  # who asked has taken it back
            return
        try:
            one.done(one.answers)
        except OSError:  # that client cannot be reached
            pass
        except Exception as error:  # the bus has nothing to do with it
            self._log.failure("ubus", error)


def _replaced(shown: Sequence[tuple[int, DnsRecord]], answers: Sequence[dict[str, Any]]) -> dict[int, bytes]:
    """Choose what subscribers want in the place of addresses: another one of the same family."""
    out = {}
    for (place, rr), said in zip(shown, answers, strict=True):
        packed = address_parse(str(said.get("address", "")))
        if packed is not None and len(packed) == len(rr.rdata) and packed != rr.rdata:
            out[place] = packed
    return out


_UBUS_HANDLERS: dict[int, Callable[[UbusClient, UbusMessage], None]] = {
    UBUS_DATA: UbusClient._on_data,
    UBUS_STATUS: UbusClient._on_status,
    UBUS_NOTIFY: UbusClient._on_notify,
    UBUS_INVOKE: UbusClient._on_invoke,
}


# ==============================================================================
# 70 Building the state
#
# What configuration, hosts files, servers-file and resolv file say, put together
# for DNS; and what is watched beside: the resolv files, and whether the clock is
# right (DNSSEC).
#
# Uses 10 11 13 20 21 30 31 33 40 42 60
# ==============================================================================


class ResolvWatch:
    """The resolv files: which one counts, and its last good list of servers.

    A file that vanishes, is empty, or is being written never takes the servers
    away: the last good list stays until there is a better one.
    """

    def __init__(
        self, paths: Sequence[str], log: Log, own: Callable[[UpstreamRule], bool] = lambda rule: False
    ) -> None:
        """Watch `paths`; a server that is ourselves (`own`) counts as none."""
        self.paths = tuple(paths)
        self._own = own
        self.rules: list[UpstreamRule] = []
        self._log = log
        self._seen: dict[str, tuple[int, int, int] | None] = {}
        self._half_since = 0.0  # when a half-written file was first seen
        self._complained: dict[str, str] = {}
        self._read_once = False

    def poll(self) -> bool:
        """Look at the files; True when there is a new list of servers."""
        signs = {path: self._sign(path) for path in self.paths}
        if signs == self._seen and not self._half_since and self._read_once:
            return False
        self._seen, self._read_once = signs, True
        newest = sorted((sign[0], path) for path, sign in signs.items() if sign is not None)
        return any(self._load(path) for _, path in newest[-1:])

    def _sign(self, path: str) -> tuple[int, int, int] | None:
        try:
            status = os.stat(path)
        except OSError as error:
            self._complain(path, f"failed to access {path}: {error_text(error)}")
            return None
        return status.st_mtime_ns, status.st_ino, status.st_size

    def _load(self, path: str) -> bool:
        try:
            with open(path, "rb") as file:
                data = file.read(1 << 16)
        except OSError as error:
            self._complain(path, f"failed to read {path}: {error_text(error)}")
            return False
        if data and not data.endswith(b"\n") and self.rules:  # perhaps in mid-write: taken when it stays so
            self._half_since = self._half_since or time.monotonic()
            if time.monotonic() - self._half_since < RESOLV_SETTLE:
                return False
        self._half_since = 0.0
        rules = [rule for rule in resolv_parse(data) if not self._own(rule)]
        if not rules:
            self._complain(path, f"no servers found in {path}, will retry")
            return False
        self._complained.pop(path, None)
        self._log.info(f"reading {path}")
        self.rules = rules
        return True

    def _complain(self, path: str, text: str) -> None:
        if self._complained.get(path) != text:
            self._complained[path] = text
            self._log.warning(text)


class SignatureClock:
    """Whether the times of signatures can be checked: does this machine know what time it is?

    They are not checked until INT (dnssec-no-timecheck), and not while the clock
    is before a time that has surely passed: that of this version, of the lease
    file, of the file of dnssec-timestamp.
    """

    def __init__(self, config: Config, log: Log) -> None:
        self._log = log
        self._path = config.dnssec_timestamp
        self.until_signal = bool(config.dnssec_no_timecheck)
        files = [config.dhcp_leasefile] if config.dhcp_range and not config.leasefile_ro else []
        self._passed = max([CLOCK_FLOOR, *map(_written, files)])
        self.trusted = False

    def start(self) -> None:
        """Make the time stamp where there is none, and look at the clock; StartError when it cannot be made."""
        if self._path:
            try:
                if not os.path.exists(self._path):
                    os.close(os.open(self._path, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o644))
                    os.utime(self._path, (DNSSEC_STAMP, DNSSEC_STAMP))
                self._passed = max(self._passed, _written(self._path))
            except OSError as error:
                remedy = "make it, and give it to the user that the server runs as"
                text = f"cannot create timestamp file {self._path}: {error_text(error)}; {remedy}"
                raise StartError(EXIT_CONFIG, text) from None
        self.poll()

    def poll(self) -> bool:
        """Look at the clock; True when it has just become right."""
        if self.trusted or time.time() < self._passed:
            return False
        self.trusted = True
        self.stamp()
        return True

    def stamp(self) -> None:
        """Note the time in the file of dnssec-timestamp, when it is right."""
        if self._path and self.trusted:
            try:
                os.utime(self._path)
            except OSError as error:  # an old stamp does no harm
                self._log.warning(f"cannot set the time of {self._path}: {error_text(error)}")

    def texts(self) -> list[str]:
        """Give the lines for the log at start."""
        out = ["DNSSEC signature timestamps not checked until receipt of SIGINT"] if self.until_signal else []
        if not self.trusted:
            out.append("DNSSEC signature timestamps not checked until system time valid")
        return out


def _written(path: str) -> int:
    try:
        return int(os.stat(path).st_mtime)
    except OSError:
        return 0


class StateBuilder:
    """Build a DnsState from a Config and the files that it names."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._hosts: dict[str, str] = {}  # addresses of servers that were given by name

    def local_data(self, config: Config, domain_of: Callable[[bytes], bytes]) -> LocalData:
        """Load the records of the configuration and all hosts files."""
        data = LocalData()
        data.add_config(config, domain_of, hostname_read())
        expand = domain_of if config.expand_hosts else lambda address: b""
        reader = HostsReader(data, expand, self._log.error)
        paths = [] if config.no_hosts else ["/etc/hosts"]
        for path in reversed(config.addn_hosts):
            paths.append(path)
        for path in paths + list(config.hostsdir):
            for file in self._expanded(path):
                self._read(reader, file)
        if not paths and not config.hostsdir:
            self._log.info("cleared cache")
        data.freeze()
        return data

    def _expanded(self, path: str) -> list[str]:
        try:
            return SystemSource().files(path)
        except OSError as error:
            self._log.error(f"failed to read {path}: {error_text(error)}")
            return []

    def _read(self, reader: HostsReader, path: str) -> None:
        try:
            count = reader.read(SystemSource().read(path), path)
        except OSError as error:
            self._log.error(f"failed to load names from {path}: {error_text(error)}")
            return
        self._log.info(f"read {path} - {count} names")

    def rules(
        self, config: Config, resolv: Sequence[UpstreamRule], known: DomainRules | None, own: frozenset[bytes]
    ) -> DomainRules:
        """Make the domain rules: configuration, servers-file, then the servers of the resolv file.

        `own` are the addresses of this machine: a server there on our own port would be ourselves.
        """
        rules = DomainRules(known.servers if known is not None else {})
        rules.add_bulk(config.bulk_local, config.bulk_null)
        for address in config.address:
            rules.add_address(address)
        for rule in itertools.chain(config.server, self._servers_file(config), resolv):
            if rule.kind == "server" and rule.port == config.port and address_parse(rule.address) in own:
                self._log.complain(("own", rule.address), f"ignoring nameserver {rule.address} - local interface")
                continue
            rules.add_server(self._resolved(rule))
        for domain in config.domain:
            if domain.local and domain.domain != DNS_ROOT:
                rules.add_server(UpstreamRule((DomainPattern(domain.domain.lower(), 0),), "local"))
            if domain.local and domain.subnet is not None:
                for rule in value_rev_server(f"{address_format(domain.subnet.address)}/{domain.subnet.prefix}"):
                    rules.add_server(rule)
        return rules

    def _resolved(self, rule: UpstreamRule) -> UpstreamRule:
        """Give a rule with an address; a host name is looked up once (StartError when that fails)."""
        if not rule.host:
            return rule
        address = self._hosts.get(rule.host)
        if address is None:
            try:
                found = socket.getaddrinfo(rule.host.encode(), rule.port, type=socket.SOCK_DGRAM)
            except (OSError, UnicodeError) as error:
                raise StartError(
                    EXIT_CONFIG, f"cannot resolve the server name {rule.host} ({rule.place}): {error}"
                ) from None
            address = self._hosts[rule.host] = str(found[0][4][0]).partition("%")[0]
        return UpstreamRule(
            rule.domains,
            rule.kind,
            address,
            "",
            rule.port,
            rule.interface,
            rule.source,
            rule.source_port,
            rule.place,
            rule.scope,
        )

    def _servers_file(self, config: Config) -> Sequence[UpstreamRule]:
        path = config.servers_file
        if not path:
            return ()
        try:
            rules, problems = servers_file_parse(SystemSource().read(path), path)
        except OSError as error:
            self._log.error(f"cannot read {path}: {error_text(error)}")
            return ()
        for problem in problems:
            self._log.error(config_problem_format(problem))
        self._log.info(f"reading {path}")
        return rules


# ==============================================================================
# 71 Daemon
#
# From a configuration to a running service: binding, daemonising, watching
# files and interfaces, signals, reload, statistics.
#
# Uses 10 11 12 13 15 20 21 23 27 30 31 33 40 41 44 51 54 56 60 62 63 64 66 67 68 70
# ==============================================================================

_NEED_RESTART = (
    "user", "group", "pid_file", "port", "no_daemon", "keep_in_foreground", "dumpfile", "dhcp_leasefile",
    "leasefile_ro", "dhcp_script", "dhcp_scriptuser", "script_arp", "dhcp_alternate_port", "no_ping",
    "dnssec_no_timecheck", "dnssec_timestamp", "enable_ubus",
)  # fmt: skip


# What is imported when it is first needed; another account may not reach Python's library.
_LATE_MODULES = ("array", "re")


def _speaks_to_netfilter(config: Config) -> bool:
    marks = config.conntrack or config.connmark_allowlist_enable is not None
    return bool(config.port and (marks or config.ipset or config.nftset))


class Daemon:
    """The running program: owns the sockets, the threads and the state; its loop is the main thread."""

    def __init__(self, config: Config, load: Callable[[], ConfigResult], name: str, log: Log) -> None:
        self.config = config
        self._load = load  # reads the configuration again
        self._log = log
        self._port = config.port  # stays until a restart
        self._name = name
        self._builder = StateBuilder(log)
        self._metrics = DnsMetrics()
        self._cache = DnsCache(config.cache_size)
        self._answers = WireAnswers(config.cache_size)
        self._interfaces: tuple[InterfaceAddress, ...] = ()
        self._udp: dict[tuple[str, int, int], DnsUdpServer] = {}
        self._tcp: dict[tuple[str, int, int], DnsTcpServer] = {}
        self._resolv = ResolvWatch((), log)
        self._serial = int(time.time())
        self._file_sink: FileSink | None = None
        self._dump: PacketDump | None = None
        self._pid_file = ""
        self._service: DnsService
        self._running = True
        self._signals: collections.deque[int] = collections.deque(maxlen=64)
        self._hosts_signs: dict[str, int] = {}
        self._status = -1  # where the parent waits for word of the start
        self._tidied = time.monotonic()
        self._committed = False  # the start can no longer fail: signals wait for the main loop
        self._netlink: socket.socket | None = None
        self._started = False
        self._dhcp: DhcpRuntime | None = None
        self._name_changes = 0  # of leases
        self._dhcp_files = DhcpFiles(log)
        self._dhcp_lists: tuple[list[DhcpHost], list[DhcpOptionRule]] = ([], [])
        self._script: ScriptHelper | None = None
        self._neighbours: NeighbourWatch | None = None
        self._directories = DirectoryWatch()
        self._tftp: TftpServer | None = None
        self._trust = DnssecStore()
        self._clock: SignatureClock | None = None
        self._rights = Rights()
        self._netfilter = Netfilter(self._rights, log)
        self._allowed: dict[tuple[int, int], tuple[str, ...]] = {}  # lists of connmark-allowlist that came by ubus

    # -- start --

    def start(self) -> None:
        """Bind, go to the background, drop privileges, start the threads; StartError when that fails."""
        config = self.config
        self._open_logs(config)
        descriptors = descriptors_raise()
        self._netlink = netlink_monitor()
        self._interfaces = interfaces_read()
        self._check_interfaces(config)
        if config.dumpfile:
            try:
                self._dump = PacketDump(config.dumpfile, config.dumpmask)
            except OSError as error:
                raise StartError(EXIT_FILE, f"cannot open dump file {config.dumpfile}: {error_text(error)}") from None
        self._resolv = self._watch(config)
        self._resolv.poll()
        account = self._account(config)
        exchange = UpstreamExchange(self._log, self._dump, descriptors, self._rights, self._netfilter)
        state = self._build(config)
        self._service = DnsService(state, exchange, self._log, self._dump, self._rights, self._netfilter)
        if config.port:
            self._listen(config, fatal=True)
        if any(len(rule.first) == 4 for rule in config.dhcp_range) or any(
            len(rule.local) == 4 for rule in config.dhcp_relay
        ):
            self._dhcp_files.begin(config)
            self._dhcp = DhcpRuntime(config, account, self._dhcp_state(config, state.local, True), self._log)
        if config.enable_tftp is not None:
            self._tftp = TftpServer(config, self._interfaces, self._log, self._rights.bind)
            self._tftp.listen(fatal=True)
        self._background(config, account)
        self._log.start()
        self._announce(config)
        self._go(config, exchange)
        if self._status >= 0:
            self._detach()

    def _go(self, config: Config, exchange: UpstreamExchange) -> None:
        """Start the threads."""
        threading.stack_size(1 << 18)
        if self._script is not None:
            self._script.start()
            self._neighbours = NeighbourWatch() if config.script_arp else None
        if self._dhcp is not None:
            self._dhcp.server.dns_seconds = self._dns_seconds
            self._dhcp.server.bind = self._rights.bind
            self._dhcp.start(self._script, self._forget_names)
            self._forget_names(set())  # the first serial of a zone is one more, as dnsmasq's
        if self._tftp is not None:
            self._tftp.script, self._tftp.hardware_of = self._script, self._hardware
            self._tftp.start()
        threading.Thread(target=exchange.run, name="upstream", daemon=True).start()
        for udp in self._udp.values():
            self._serve(udp)
        for tcp in self._tcp.values():
            self._serve(tcp)
        self._directories.follow((*config.hostsdir, *config.dhcp_hostsdir, *config.dhcp_optsdir))
        if config.enable_ubus is not None:
            self._join_bus(config, exchange)
        self._started = True
        self._probe_loops()

    def _join_bus(self, config: Config, exchange: UpstreamExchange) -> None:
        """Be an object on ubus, and tell it what happens."""
        allow = self._allow if config.connmark_allowlist_enable is not None else None
        bus = UbusClient(config.enable_ubus, self.counters, allow, self._log)
        exchange.listener = bus
        if self._dhcp is not None:
            self._dhcp.service.notify = bus.notify
        threading.Thread(target=bus.run, name="ubus", daemon=True).start()

    def _allow(self, mark: int, mask: int, patterns: tuple[str, ...]) -> None:
        """Take a list of names for a connection mark from the bus; it outlives a reload."""
        self._allowed[mark, mask] = patterns
        self._service.state.allowlist = {**self._service.state.allowlist, **self._allowed}

    def _watch(self, config: Config) -> ResolvWatch:
        paths = () if config.no_resolv or not config.port else config.resolv_file
        return ResolvWatch(paths, self._log, self._is_own)

    def _is_own(self, rule: UpstreamRule) -> bool:
        """Tell whether a server of a resolv file is this very program."""
        address = address_parse(rule.address)
        if rule.port != self._port or all(at.address != address for at in self._interfaces):
            return False
        self._log.complain(("own", rule.address), f"ignoring nameserver {rule.address} - local interface")
        return True

    def _build(self, config: Config) -> DnsState:
        self._hosts_signs = directories_signs(config.hostsdir)
        local = self._builder.local_data(config, self._domains(config)) if config.port else LocalData()
        return self._state(config, local)

    def _domains(self, config: Config) -> Callable[[bytes], bytes]:
        """Give the function that finds the domain of an address."""
        from_resolv = any(rule.from_resolv for rule in config.domain)
        found = resolv_domain_read(config.resolv_file) if from_resolv else b""
        return functools.partial(domain_for, config.domain, found, self._interfaces)

    def _dhcp_state(self, config: Config, local: LocalData, reread: bool) -> DhcpState:
        """Make what DHCP decides by; `reread`: the files that it names too."""
        files = self._dhcp_files
        if reread:
            self._dhcp_lists = files.hosts(config), files.options(config)
        hosts, options = self._dhcp_lists
        state = DhcpState(config, DhcpHosts(()), options, self._interfaces, local, self._domains(config), self._log)
        known = hosts_with_addresses(hosts, state.address_of, self._log) if config.port else hosts
        state.hosts = DhcpHosts(known)
        return state

    def _hardware(self, address: bytes) -> bytes:
        """Find the hardware address of a neighbour: by its lease, else as the kernel knows it."""
        if self._dhcp is not None and len(address) == 4:
            lease = self._dhcp.leases.by_address.get(ip4_number(address))
            if lease is not None and lease.hardware:
                return lease.hardware
        return neighbour_mac(address)

    def _dns_seconds(self) -> float:
        """Add up the CPU time that the threads for DNS over UDP have used."""
        total = 0.0
        for udp in list(self._udp.values()):
            try:
                total += time.clock_gettime(udp.cpu_clock) if udp.cpu_clock is not None else 0.0
            except OSError:  # the thread has ended
                continue
        return total

    def _forget_names(self, names: set[bytes]) -> None:
        """Drop finished DNS answers: names of leases have changed (an alias of one of them may be anything)."""
        self._name_changes += 1
        self._service.state.changes = self._name_changes
        if self.config.cname:
            self._answers.clear()
        else:
            self._answers.forget(names)

    def _state(self, config: Config, local: LocalData) -> DnsState:
        """Put a state together from local data, the present servers and interfaces."""
        old = self._service.state if hasattr(self, "_service") else None
        own = frozenset(at.address for at in self._interfaces)
        rules = self._builder.rules(config, self._resolv.rules, old.rules if old is not None else None, own)
        state = DnsState(config, local, rules, self._cache, self._answers, self._metrics, self._log, hostname_read())
        local.set_interfaces(self._interfaces)
        state.interfaces, state.trust = self._interfaces, self._trust
        state.serial, state.changes = self._serial, self._name_changes
        state.allowlist.update(self._allowed)
        return state

    def _check_interfaces(self, config: Config) -> None:
        present = {at.interface for at in self._interfaces} | {at.label for at in self._interfaces}
        for name in config.interface:
            if not any(name_matches(name, one) for one in present):
                self._log.warning(f"warning: interface {name} does not currently exist")

    def _open_logs(self, config: Config) -> None:
        log = self._log
        log.queries = config.log_queries is not None
        log.debug = config.log_debug
        sinks: list[FileSink | SyslogSink] = []
        file_sink = None
        facility = config.log_facility
        if facility is not None and (facility == "-" or "/" in facility):
            try:
                file_sink = FileSink(
                    facility, os.getpid, self._name, not (facility == "-" and config.keep_in_foreground)
                )
            except OSError as error:
                raise StartError(EXIT_FILE, f"cannot open log {facility}: {error_text(error)}") from None
            sinks.append(file_sink)
        else:
            number = LOG_FACILITIES[facility or ("local0" if config.no_daemon else "daemon")]
            sinks.append(SyslogSink(number, os.getpid, self._name))
        if config.no_daemon and facility != "-":
            sinks.append(FileSink("-", lambda: 0, self._name, False))
        old, log.sinks, self._file_sink = log.sinks, list(sinks), file_sink
        for sink in old:
            sink.close()

    def _account(self, config: Config) -> tuple[int, int] | None:
        """Choose the account to run as: (uid, gid), or None to stay."""
        if config.no_daemon or os.getuid() != 0:
            return None
        name = config.user
        user = user_find(name) if name else (0, 0)
        if user is None:
            raise StartError(EXIT_CONFIG, f"unknown user or group: {name}")
        group = user[1]
        if config.group:
            found = group_find(config.group)
            if found is None:
                raise StartError(EXIT_CONFIG, f"unknown user or group: {config.group}")
            group = found
        elif config.group is None:
            dip = group_find("dip")
            group = group if dip is None else dip
        return user[0], group

    def _background(self, config: Config, account: tuple[int, int] | None) -> None:
        """Fork twice unless told to stay; write the pid file; become the other account."""
        if not (config.keep_in_foreground or config.no_daemon):
            self._fork()
        self._committed = True
        if not config.no_daemon:
            os.chdir("/")
            self._pid_file = config.pid_file
            if self._pid_file:
                try:
                    pid_file_write(self._pid_file, account)
                except OSError as error:
                    if os.getuid() == 0:
                        raise StartError(
                            EXIT_FILE, f"failed to open pidfile {self._pid_file}: {error_text(error)}"
                        ) from None
        if config.dhcp_script and (self._dhcp is not None or self._tftp is not None or config.script_arp):
            user = user_find(config.dhcp_scriptuser)
            self._script = ScriptHelper(config.dhcp_script, user, bool(config.no_daemon), self._log)
        self._become(config, account)

    def _become(self, config: Config, account: tuple[int, int] | None) -> None:
        """Give root's rights up, and look whether what is left is enough."""
        if account is not None and account != (0, 0):
            if self._file_sink is not None and self._file_sink.path != "-":
                self._file_sink.own(*account)
            try:
                low = 0 < self._port < 1024 or self._tftp is not None
                wanted = _speaks_to_netfilter(config) or (low and (config.bind_dynamic or config.bind_interfaces))
                if account[0] and wanted:
                    self._rights.helper = RootHelper()
                for module in (*_LATE_MODULES, *(["hashlib"] if config.dnssec else [])):
                    __import__(module)
                privileges_drop(*account)
            except OSError as error:
                raise StartError(EXIT_MISC, f"failed to change user-id: {error_text(error)}") from None
        if _speaks_to_netfilter(config):
            self._netfilter.check()
        for root, reason in () if config.tftp_no_fail else tftp_roots_missing(config):
            raise StartError(EXIT_FILE, f"TFTP directory {root.path} inaccessible: {reason}")
        self._signature_clock(config)

    def _signature_clock(self, config: Config) -> None:
        """Begin to watch the clock, when signatures are checked."""
        if config.dnssec and self._clock is None:
            self._clock = SignatureClock(config, self._log)
            self._clock.start()
            self._trust.check_times = self._clock.trusted and not self._clock.until_signal

    def _check_times(self, text: str) -> None:
        """Say that the time is right now; from here on everything is proved anew."""
        assert self._clock is not None
        self._log.info(text)
        self._trust.check_times = self._clock.trusted and not self._clock.until_signal
        self._trust.flush()
        self._cache.flush()
        self._answers.clear()
        self._log.info("cleared cache")

    def _fork(self) -> None:
        """Go to the background; the first process waits for word and leaves with the right code."""
        reader, writer = os.pipe()
        if os.fork():
            os.close(writer)
            with os.fdopen(reader, "rb") as stream:
                word = stream.read()
            if word[:1] == b"\0":
                os._exit(EXIT_OK)
            sys.stderr.write(word[1:].decode("utf-8", "replace"))
            sys.stderr.flush()
            os._exit(word[0] if word else EXIT_MISC)
        os.close(reader)
        os.setsid()
        if os.fork():
            os._exit(EXIT_OK)
        self._status = writer

    def _detach(self) -> None:
        """Tell the waiting parent that all is well, and let go of the terminal."""
        null = os.open(os.devnull, os.O_RDWR)
        keep_stderr = any(isinstance(sink, FileSink) and sink.path == "-" for sink in self._log.sinks)
        for fd in (0, 1) if keep_stderr else (0, 1, 2):
            os.dup2(null, fd)
        os.close(null)
        os.write(self._status, b"\0")
        os.close(self._status)
        self._status = -1

    def report_failure(self, error: StartError) -> bool:
        """Send a failed start's code and words to the waiting parent; False when there is none."""
        if self._status < 0:
            return False
        os.write(self._status, bytes((error.code,)) + f"\n{self._name}: {error}\n".encode())
        os.close(self._status)
        self._status = -1
        return True

    def _announce(self, config: Config) -> None:
        log = self._log
        if not config.port:
            log.info(f"started, version {DNSMASQ_VERSION} DNS disabled")
        elif config.cache_size:
            log.info(f"started, version {DNSMASQ_VERSION} cachesize {config.cache_size}")
        else:
            log.info(f"started, version {DNSMASQ_VERSION} cache disabled")
        if service_is_local(config) and config.port:
            log.info("DNS service limited to local subnets")
        log.info(f"compile time options: {COMPILE_OPTIONS}")
        self._announce_oddities(config)
        if config.log_async:
            log.info(f"asynchronous logging enabled, queue limit is {config.log_async} messages")
        if config.dnssec and config.port:
            self._announce_dnssec(config)
        self._announce_servers(config)
        for text in dhcp_texts(config):
            log.info(text, TAG_DHCP)
        if self._tftp is not None:
            self._tftp.announce()

    def _announce_dnssec(self, config: Config) -> None:
        trusting = "" if config.dnssec_check_unsigned else " but all unsigned answers are trusted"
        lines = [f"DNSSEC validation enabled{trusting}"]
        lines += self._clock.texts() if self._clock is not None else []
        for anchor in reversed(config.trust_anchor):
            shown = dns_name_format(anchor.name) if anchor.name != DNS_ROOT else "<root>"
            if anchor.digest:
                lines.append(f"configured with trust anchor for {shown} keytag {anchor.key_tag}")
                length = DS_DIGEST_OCTETS.get(anchor.digest_type, len(anchor.digest))
                if len(anchor.digest) != length:
                    wrong = f"has a digest of {len(anchor.digest)} octets, not {length}: no key will fit it"
                    self._log.warning(f"trust anchor for {shown} keytag {anchor.key_tag} {wrong}")
            else:
                lines.append(f"configured with negative trust anchor for {shown}")
        for line in lines:
            self._log.info(line)

    def _announce_oddities(self, config: Config) -> None:
        log = self._log
        if config.not_at_work:
            log.warning(f"accepted but not at work yet in pydnsmasq {VERSION}: {', '.join(config.not_at_work)}")
        if any("proxy" in rule.modes for rule in config.dhcp_range) and not (config.pxe_service or config.pxe_prompt):
            text = "dhcp-range with proxy serves nobody without a pxe-service or pxe-prompt line"
            log.warning(text, TAG_DHCP)
        if config.no_resolv and "resolv-file" in config.given:
            log.warning("warning: ignoring resolv-file flag because no-resolv is set")
        if config.cache_size > 10_000:
            log.warning("cache size greater than 10000 may cause performance issues, and is unlikely to be useful.")

    def _announce_servers(self, config: Config) -> None:
        if not config.port:
            return
        log, rules = self._log, self._service.state.rules
        shown = 0
        for group in rules.groups:
            for server in group.servers:
                shown += 1
                if shown > LOG_SERVERS_MAX:
                    continue
                where = (
                    f" for domain {group.domain}"
                    if group.domain
                    else " for unqualified names"
                    if group is not rules.default
                    else ""
                )
                via = f"(via {server.interface})" if server.interface else ""
                log.info(f"using nameserver {server.address}#{server.port}{via}{where}")
        if shown > LOG_SERVERS_MAX:
            log.info("more servers are defined but not logged")
        locals_ = [pattern for rule in reversed(config.server) if rule.kind == "local" for pattern in rule.domains]
        for pattern in locals_[:LOG_LOCALS_MAX]:
            log.info(
                "using only locally-known addresses for "
                + (dns_name_format(pattern.name) if pattern.name else "unqualified names")
            )
        more = len(locals_) - LOG_LOCALS_MAX + sum(map(len, filter(None, (config.bulk_local, config.bulk_null))))
        if more > 0:
            log.info(f"using {more} more local addresses")
        for rule in config.server:
            for pattern in rule.domains if rule.kind == "standard" else ():
                log.info(f"using standard nameservers for {dns_name_format(pattern.name)}")
        if not shown and not self._resolv.paths:
            log.warning("warning: no upstream servers configured")

    # -- listening --

    def _listen(self, config: Config, fatal: bool) -> None:
        """Open what is missing of the chosen listeners, close what is no longer wanted."""
        wanted = {listener.key: listener for listener in listeners_choose(config, self._port, self._interfaces)}
        for table in (self._udp, self._tcp):
            for key in [key for key in table if key not in wanted]:
                table.pop(key).stop()
        for key, listener in wanted.items():
            self._open(listener, key, fatal)
        self._admission(config)

    def _open(self, listener: Listener, key: tuple[str, int, int], fatal: bool) -> None:
        try:
            if key not in self._udp:
                udp = self._udp[key] = DnsUdpServer(listener, self._service, self._arrival, self._on_link)
                self._log.detail(f"listening on {listener.address} port {listener.port}")
                if self._started:
                    self._serve(udp)
        except OSError as error:
            listener_failed(self._log, listener, error, False, fatal)
        try:
            if key not in self._tcp:
                tcp = self._tcp[key] = DnsTcpServer(listener, self._service, self._arrival)
                if self._started:
                    self._serve(tcp)
        except OSError as error:
            listener_failed(self._log, listener, error, True, fatal)

    def _serve(self, server: DnsUdpServer | DnsTcpServer) -> None:
        name = f"{'udp' if isinstance(server, DnsUdpServer) else 'tcp'}-{server.listener.address}"
        threading.Thread(target=server.serve_forever, name=name, daemon=True).start()

    def _admission(self, config: Config) -> None:
        """Tell the listeners that interfaces, or who may ask, have changed."""
        check = self._near if service_is_local(config) and config.local_service == "net" else None
        for udp in self._udp.values():
            udp.peer_check = check
            udp.forget_arrivals()
        for tcp in self._tcp.values():
            tcp.peer_check = check

    def _near(self, text: str) -> bool:
        """Tell whether a client is on a subnet of ours (local-service)."""
        address = address_parse(text.partition("%")[0])
        if address is not None and len(address) == 16 and address[:2] == b"\xfe\x80":
            return True
        if address is not None and any(address_in(address, at.address, at.prefix) for at in self._interfaces):
            return True
        self._log.complain("local-service", f"ignoring query from non-local network {text}")
        return False

    def _on_link(self, index: int, text: str) -> bool:
        """Tell whether a client is a neighbour on an interface, and whether we would hear of routes that change."""
        address = address_parse(text.partition("%")[0])
        if self._netlink is None or address is None:
            return False
        return any(at.index == index and address_in(address, at.address, at.prefix) for at in self._interfaces)

    def _arrival(self, index: int, local: bytes) -> Arrival:
        """Judge a query by the interface it came in on and the address that it was sent to."""
        config = self.config
        if local[:12] == b"\0" * 10 + b"\xff\xff":
            local = local[12:]
        interface, at = arrival_find(self._interfaces, index, local)
        auth = auth_admits(config, interface, local)
        admitted = auth or interface_admits(config, at, interface, local)
        return Arrival(admitted, [], interface, index, local, auth)

    # -- the main thread --

    def run(self) -> int:
        """Serve signals and changes until the end; give the exit code."""
        reader, writer = os.pipe()
        os.set_blocking(writer, False)
        os.set_blocking(reader, False)
        signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
        watched = [reader] + ([self._netlink.fileno()] if self._netlink is not None else [])
        code = self._take_signals()  # those that came during the start
        while self._running:
            ready, _, _ = select.select(watched, [], [], POLL_SECONDS)
            try:
                if reader in ready:
                    os.read(reader, 512)
                code = self._take_signals()
                if self._netlink is not None and self._netlink.fileno() in ready:
                    self._interfaces_changed()
                self._poll_files()
                self._tidy()
                if os.getpid() == 1:
                    children_reap()
            except Exception as error:  # the daemon outlives whatever goes wrong here
                self._log.failure("main", error)
        return code

    def _tidy(self) -> None:
        """Collect what errors and reloads may have left in cycles, once in a while."""
        now = time.monotonic()
        if now - self._tidied > TIDY_SECONDS:
            self._tidied = now
            gc.collect()

    def take_signal(self, number: int, frame: object) -> None:
        """Note a signal; the main loop acts on it.  TERM ends a start that is under way, INT too with -d."""
        ends = number == signal.SIGTERM or (number == signal.SIGINT and self.config.no_daemon)
        if ends and not self._committed:
            os._exit(EXIT_MISC)
        self._signals.append(number)

    def _take_signals(self) -> int:
        seen = set()
        code = EXIT_OK
        while self._signals:
            seen.add(self._signals.popleft())
        if signal.SIGTERM in seen:
            self._stop("exiting on receipt of SIGTERM")
        elif signal.SIGINT in seen and self.config.no_daemon:
            self._stop("exiting on receipt of SIGINT")
            code = EXIT_MISC
        elif signal.SIGINT in seen and self._clock is not None and self._clock.until_signal:
            self._clock.until_signal = False
            self._check_times("now checking DNSSEC signature timestamps")
        if signal.SIGIO in seen:  # a file of a directory is being written: a moment, and it is whole
            time.sleep(DIRECTORY_SETTLE)
        if signal.SIGHUP in seen:
            self.reload()
        if signal.SIGUSR1 in seen:
            self.statistics()
        if signal.SIGUSR2 in seen and self._file_sink is not None:
            try:
                self._log.flush()
                self._file_sink.reopen()
            except OSError as error:
                self._log.error(
                    f"failed to open {self._file_sink.path} again: {error_text(error)}; the old file stays in use"
                )
        return code

    def _stop(self, text: str) -> None:
        self._running = False
        self._log.info(text)
        for udp in self._udp.values():
            udp.stop()
        for tcp in self._tcp.values():
            tcp.stop()
        if self._dhcp is not None:
            self._dhcp.stop()
        if self._script is not None:
            self._script.stop()
        if self._clock is not None:
            self._clock.stamp()
        if self._pid_file:
            try:
                os.unlink(self._pid_file)
            except OSError:
                pass
        self._log.flush()

    # -- changes --

    def reload(self) -> None:
        """Read everything again, aside; swap it in only when it is whole."""
        result = self._load()
        problems = list(result.problems)
        if result.config is not None and not problems:
            problems += (*config_check(result.config, SystemSource()), *config_start_check(result.config))
        config = result.config
        if config is None or problems:
            for problem in problems:
                self._log.error(config_problem_format(problem))
            self._log.error("the configuration is not reloaded, the old one stays in use")
            if result.exit_code != EXIT_FILE:
                return
            config = self.config  # not to be read for this account: hosts and servers files are read all the same
        try:
            self._swap(config)
        except (StartError, MemoryError, ImportError) as error:
            reason = str(error) or "could not get memory"
            self._log.error(f"{reason}; the configuration is not reloaded, the old one stays in use")

    def _check_rights(self, config: Config, old: Config) -> None:
        """See whether this account may do what has come into the configuration; StartError or ImportError when not."""
        if _speaks_to_netfilter(config) and not _speaks_to_netfilter(old):
            try:
                self._netfilter.check()
            except StartError as error:
                raise StartError(error.code, f"{error}: sets and connection marks need a restart") from None
        if config.dnssec:
            __import__("hashlib")  # now, if at all: this account may not reach Python's library

    def _swap(self, config: Config) -> None:
        old, old_watch = self.config, self._resolv
        if self._dhcp is None and any(len(rule.first) == 4 for rule in config.dhcp_range):
            self._log.warning("dhcp-range has come into the configuration; that needs a restart")
        if (config.enable_tftp is None) != (old.enable_tftp is None):
            self._log.warning("enable-tftp has come into the configuration or left it; that needs a restart")
        for option in _NEED_RESTART:
            if getattr(config, option) != getattr(old, option):
                self._log.warning(f"{option.replace('_', '-')} has changed in the configuration; that needs a restart")
        self._check_rights(config, old)
        self._serial += 1
        self._interfaces = interfaces_read()
        watch = self._watch(config)
        if watch.paths == old_watch.paths:
            watch = old_watch
            if config.no_poll:
                watch.poll()
        else:
            watch.rules = old_watch.rules
            watch.poll()
        self._resolv = watch
        try:
            state = self._build(config)
        except BaseException:
            self._resolv = old_watch
            raise
        self.config = config
        self._cache.size = config.cache_size
        self._log.queries = config.log_queries is not None
        self._log.debug = config.log_debug
        if config.log_facility != old.log_facility:
            self._relog(config)
        self._signature_clock(config)
        self._use(state, reread=True)
        self._directories.follow((*config.hostsdir, *config.dhcp_hostsdir, *config.dhcp_optsdir))
        self._cache.flush()
        self._trust.flush()
        if config.dnssec and (config.dnssec, config.trust_anchor) != (old.dnssec, old.trust_anchor):
            self._announce_dnssec(config)
        if old.port:
            self._listen(config, fatal=False)
        self._tftp_use(config)
        gc.freeze()  # what was loaded stays: no use in walking it

    def _tftp_use(self, config: Config) -> None:
        """Let TFTP know of a new configuration or of new interfaces; transfers go on."""
        if self._tftp is not None:
            self._tftp.use(config, self._interfaces)

    def _relog(self, config: Config) -> None:
        try:
            self._open_logs(config)
        except StartError as error:
            self._log.error(str(error))

    def _use(self, state: DnsState, reread: bool = False) -> None:
        """Swap a state in; finished answers of the old one are gone.  `reread`: DHCP's files are read again too."""
        if self._dhcp is not None:
            if reread:
                self._dhcp_files.begin(state.config)
            self._dhcp.rebuild(self._dhcp_state(state.config, state.local, reread), reread)
        self._trust.anchors = state.anchors.zones
        self._service.state = state
        state.allowlist = {**state.allowlist, **self._allowed}  # what the bus said meanwhile
        self._answers.clear()

    def _poll_files(self) -> None:
        config = self.config
        if self._dhcp is not None:
            self._dhcp.server.tick(time.monotonic())
        if self._neighbours is not None and self._script is not None:
            for call in self._neighbours.changes():
                self._script.put(call)
        if self._dhcp is not None and (config.dhcp_hostsdir or config.dhcp_optsdir) and self._dhcp_files.moved(config):
            self._dhcp.rebuild(self._dhcp_state(config, self._service.state.local, True), False)
        if not config.port:
            return
        if self._clock is not None and self._clock.poll():
            self._check_times("system time considered valid, now checking DNSSEC signature timestamps.")
        if not config.no_poll and self._resolv.poll():
            self._servers_changed()
        if config.hostsdir and self._hosts_moved(config):
            self._use(self._build(config))

    def _hosts_moved(self, config: Config) -> bool:
        signs = directories_signs(config.hostsdir)
        moved, self._hosts_signs = signs != self._hosts_signs, signs
        return moved

    def _servers_changed(self) -> None:
        state = self._state(self.config, self._service.state.local)
        self._use(state)
        if self.config.clear_on_reload:
            self._cache.flush()
            self._trust.flush()
        self._announce_servers(self.config)
        self._probe_loops()

    def _probe_loops(self) -> None:
        if not self.config.dns_loop_detect:
            return
        state = self._service.state
        for server in state.rules.default.servers:
            server.looped = False
            self._service.exchange.probe(server, loop_probe_name(server), state)

    def _interfaces_changed(self) -> None:
        assert self._netlink is not None
        try:
            while self._netlink.recv(1 << 16):
                pass
        except OSError:
            pass
        addresses = interfaces_read()
        if addresses == self._interfaces:  # a route then
            for udp in self._udp.values():
                udp.forget_arrivals()
            return
        self._interfaces = addresses
        self._use(self._state(self.config, self._service.state.local))
        self._tftp_use(self.config)
        if not self.config.port:
            return
        if self.config.bind_dynamic or self.config.bind_interfaces:
            self._listen(self.config, fatal=False)
        self._admission(self.config)

    # -- statistics --

    def statistics(self) -> None:
        """Log the block of SIGUSR1."""
        log, state, metrics = self._log, self._service.state, self._metrics
        log.info(f"time {int(time.time())}")
        if not self.config.port:
            return
        cache = state.cache
        log.info(
            f"cache size {cache.size}, {cache.evicted}/{cache.inserted} "
            "cache insertions re-used unexpired cache entries."
        )
        log.info(
            f"queries forwarded {metrics.forwarded}, queries answered locally {metrics.local + state.answers.hits()}"
        )
        if self.config.use_stale_cache is not None:
            log.info(f"queries answered from stale cache {metrics.stale}")
        log.info(f"queries for authoritative zones {metrics.auth}")
        if self.config.dnssec:
            queries, crypto, failures = self._trust.peaks
            log.info(f"DNSSEC per-query subqueries HWM {queries}")
            log.info(f"DNSSEC per-query crypto work HWM {crypto}")
            log.info(f"DNSSEC per-RRSet signature fails HWM {failures}")
        used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        log.info(f"pool memory in use {used}, max {used}, allocated {used}")
        in_use = len(self._service.connections)
        log.info(
            f"child processes for TCP requests: in use {in_use}, highest since last SIGUSR1 {metrics.tcp_peak}, "
            f"max allowed {self.config.max_tcp_connections}."
        )
        metrics.tcp_peak = in_use
        if self._service.exchange.ignored:
            log.info(f"replies ignored (wrong id, question or form): {self._service.exchange.ignored}")
        if metrics.unanswered or self._service.dropped:
            log.info(f"queries unanswered {metrics.unanswered}, datagrams that were no queries {self._service.dropped}")
        for server in dict.fromkeys(server for group in state.rules.groups for server in group.servers):
            log.info(
                f"server {server.address}#{server.port}: queries sent {server.queries}, retried {server.retried}, "
                f"failed {server.failed}, nxdomain replies {server.nxdomain}, avg. latency {int(server.latency)}ms"
            )
        if log.queries or self.config.no_daemon:
            self._dump_cache(state)

    def counters(self) -> dict[str, int]:
        """Give the counters that the bus shows, under dnsmasq's names."""
        state, metrics = self._service.state, self._metrics
        queries, crypto, failures = self._trust.peaks
        known = {
            "dns_cache_inserted": self._cache.inserted,
            "dns_cache_live_freed": self._cache.evicted,
            "dns_queries_forwarded": metrics.forwarded,
            "dns_auth_answered": metrics.auth,
            "dns_local_answered": metrics.local + state.answers.hits(),
            "dns_stale_answered": metrics.stale,
            "dns_unanswered": metrics.unanswered,
            "dnssec_max_crypto_use": crypto,
            "dnssec_max_sig_fail": failures,
            "dnssec_max_work": queries,
            "tcp_connections": metrics.tcp_connections,
            **(self._dhcp.service.metrics if self._dhcp is not None else {}),
        }
        return {name: known.get(name, 0) for name in METRICS}

    def _dump_cache(self, state: DnsState) -> None:
        log, now = self._log, int(time.monotonic())
        log.info("Host                                     Address                        Flags      Expires")
        for key, records in list(state.local.names.items()):
            for rr in records:
                if rr.rrtype in (TYPE_A, TYPE_AAAA, TYPE_CNAME):
                    kind = {TYPE_A: "4", TYPE_AAAA: "6", TYPE_CNAME: "C"}[rr.rrtype]
                    value = dns_name_format(rr.rdata) if kind == "C" else address_format(rr.rdata)
                    origin = "C" if rr.source == "config" else "H"
                    log.info(f"{dns_name_format(key):<40} {value:<30} {kind}F I   {origin}")
        for key, lease in list(state.local.lease_names.items()):
            flags = "4FR D" if key == lease.keys[0] else "4F  D"
            left = None if lease.lease.expires is None else lease.lease.expires - now
            log.info(_dump_line(dns_name_format(key), address_format(lease.rdata), flags, left))
        for bulk in state.local.bulks:
            log.info(f"({bulk.count} names of {bulk.source} with the address {address_format(bulk.address)})")
        for entry in state.cache.entries():
            log.info(cache_line(entry, now))
        for name, rrtype, fact in state.trust.facts():
            for line in fact_lines(name, rrtype, fact, now):
                log.info(line)


def _dump_line(name: str, value: str, flags: str, left: float | None) -> str:
    """Format a line of the dump; `left` seconds until its end, None for ever."""
    ends = "" if left is None else time.strftime("%a %b %e %H:%M:%S %Y", time.localtime(time.time() + left))
    return f"{name:<40} {value:<30} {flags:<10} {ends}"


def cache_line(entry: CacheEntry, now: int) -> str:
    """Format a cache entry for the dump: name, value, flags, time of its end."""
    kind = {TYPE_A: "4", TYPE_AAAA: "6", TYPE_CNAME: "C"}.get(entry.rrtype, "T")
    flags = f"{kind if entry.kind != CACHE_NXDOMAIN else ' '}F"
    if entry.kind != CACHE_DATA:
        flags += "   N" + ("X" if entry.kind == CACHE_NXDOMAIN else "")
    if entry.proof is not None and entry.proof.secure:
        flags = f"{flags:<9}V"
    values = rdata_log(entry.records[0], entry.rrtype) if entry.records else [""]
    value = dns_name_format(entry.records[0]) if entry.rrtype == TYPE_CNAME else values[0] if values else ""
    return _dump_line(dns_name_format(entry.name), value, flags, entry.expires - now)


def fact_lines(name: bytes, rrtype: int, fact: DnssecFact, now: int) -> list[str]:
    """Format DS or DNSKEY records, or their proved absence, for the dump."""
    kind = "S" if rrtype == TYPE_DS else "K"
    flags = (
        f"{kind}F       V"
        if fact.kind == FACT_SECURE
        else f"{kind}F   N   " + ("V" if fact.kind != FACT_BOGUS else " ")
    )
    rows = [""]
    if fact.kind == FACT_SECURE:
        firsts = [(row, int.from_bytes(row[:2], "big")) for row in fact.records]  # a DS's tag, a DNSKEY's flags
        if rrtype == TYPE_DS:
            rows = [f"{first:5} {row[2]:3} {row[3]:3}" for row, first in firsts]
        else:
            rows = [f"{dnskey_tag(row):5} {row[3]:3} {first:3}" for row, first in firsts]
    shown = dns_name_format(name) if name != DNS_ROOT else "<Root>"
    return [_dump_line(shown, row, flags, fact.expires - now) for row in rows]


# ==============================================================================
# 72 Main
#
# The command: what to print, what to check, when to run.
#
# Uses 10 11 13 30 32 33 60 71
# ==============================================================================


def version_text() -> str:
    """Make the text of --version; its first two lines are a contract with scripts."""
    return (
        f"Dnsmasq version {DNSMASQ_VERSION}  Copyright (c) 2026 the pydnsmasq authors\n"
        f"Compile time options: {COMPILE_OPTIONS}\n\n"
        f"This is pydnsmasq {VERSION}, which speaks the language of dnsmasq {DNSMASQ_VERSION}.\n"
        "It comes with no warranty; its licence is MIT, see the file LICENSE.\n"
    )


def help_text(topic: str) -> str:
    """Make the text of --help, or of `--help dhcp` and `--help dhcp6`."""
    if topic in ("dhcp", "dhcp6"):
        return str(dhcp_option_help(6 if topic == "dhcp6" else 4))
    return option_help()


def _start_afresh(code: types.CodeType) -> None:
    """Started from source: compile once, then go on in an interpreter that only loads the result.

    The compiler leaves 26 MB behind that Python never gives back, more than the
    whole service needs.  `code`, the module's own, goes over in a file that lives
    in memory.  On the way argv[0] becomes `dnsmasq` where the program is called
    so (a script's argv[0] is the interpreter), for pidof and for those who look
    there; only for a system interpreter, which does not find its library by it.
    Without /proc everything stays as it is.
    """
    script = sys.argv[0]
    if script.startswith(_MEMORY_FILE):
        fd = int(script[len(_MEMORY_FILE) :])
        if os.readlink(script).startswith("/memfd:dnsmasq"):
            process_rename("dnsmasq")
        os.close(fd)
        for name in _THRIFT if os.environ.pop(_THRIFTY, None) is not None else ():
            del os.environ[name]  # a script inherits what we were given, nothing else
        return
    flags = sys.orig_argv[1 : len(sys.orig_argv) - len(sys.argv)]
    if script.endswith(".pyc") or "-m" in flags or not sys.executable or not os.path.isdir(_MEMORY_FILE):
        return
    name = os.path.basename(script)
    magic: bytes = sys.modules["_frozen_importlib_external"].MAGIC_NUMBER
    try:
        fd = os.memfd_create(name, 0)
        with os.fdopen(os.dup(fd), "wb") as file:
            file.write(magic + bytes(12) + marshal.dumps(code))
        renamed = name == "dnsmasq" and sys.executable.startswith("/usr/bin/") and "/" in script
        first = script if renamed else sys.orig_argv[0]
        thrift = {} if _THRIFT.keys() & os.environ.keys() else {**_THRIFT, _THRIFTY: "1"}
        command = [first, "-sS", *flags, f"{_MEMORY_FILE}{fd}", *sys.argv[1:]]
        os.execve(sys.executable, command, {**os.environ, **thrift})
    except (OSError, AttributeError):  # a C library without memfd_create, for one
        return


_MEMORY_FILE = "/proc/self/fd/"
# Has the GNU C library give large buffers back, 8 MB with 30,000 leases: it would rather keep them.
_THRIFT = {"MALLOC_MMAP_THRESHOLD_": "131072", "MALLOC_TRIM_THRESHOLD_": "131072"}
_THRIFTY = "PYDNSMASQ_THRIFT"


def _signals_install(handler: Callable[[int, Any], None]) -> None:
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2, signal.SIGIO):
        signal.signal(number, handler)
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)


def _starting_signal(number: int, frame: object) -> None:
    """Before there is a daemon, TERM ends the start, everything else has no effect."""
    if number == signal.SIGTERM:
        os._exit(EXIT_MISC)


def _print(text: str) -> int:
    """Write to standard output; a reader that went away is no error."""
    try:
        print(text, end="", flush=True)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    return EXIT_OK


def _problems_print(problems: Iterable[ConfigProblem]) -> None:
    for problem in problems:
        sys.stderr.write(f"dnsmasq: {config_problem_format(problem)}\n")
    sys.stderr.flush()


def main(argv: list[str] | None = None) -> int:
    """Run the command line `argv` (without the program's name); give the exit code."""
    arguments = sys.argv[1:] if argv is None else argv
    if arguments in (["--version"], ["-v"]):
        return _print(version_text())
    _signals_install(_starting_signal)
    source = SystemSource()
    result = config_load(arguments, source)
    if result.command == "version":
        return _print(version_text())
    if result.command == "help":
        return _print(help_text(result.topic))
    problems = list(result.problems)
    if result.config is not None and not problems:
        problems += config_check(result.config, source)
    late = config_start_check(result.config) if result.config is not None else ()
    if result.command != "test":
        problems += late
    if result.config is None or problems:
        sys.stderr.write("\n")
        _problems_print(problems)
        return result.exit_code or EXIT_CONFIG
    if result.command == "test":
        _problems_print(late)
        sys.stderr.write("dnsmasq: syntax check OK.\n")
        return EXIT_OK
    return _serve(result.config, arguments, source)


def _start_failed(daemon: Daemon, log: Log, error: Exception) -> int:
    """Say why there is no service, in the log and to whoever waits for the start; give the exit code."""
    if isinstance(error, MemoryError):
        error = StartError(EXIT_MEMORY, "could not get memory")
    elif not isinstance(error, StartError):
        log.failure("start", error)
        error = StartError(EXIT_MISC, f"internal error: {type(error).__name__}: {error}")
    log.error(str(error))
    log.put((LOG_CRITICAL, "", "FAILED to start up"))
    if log.sinks:
        log.flush()
    if not daemon.report_failure(error):
        sys.stderr.write(f"\ndnsmasq: {error}\n")
    return error.code


def _serve(config: Config, arguments: list[str], source: SystemSource) -> int:
    os.umask(0o022)
    sys.setswitchinterval(0.001)  # a list that loads must not hold the packets up for long
    log = Log()
    # The same words mean the same server only when no file is named from the present directory.
    twin = twin_end(config.pid_file, arguments) if all(map(os.path.isabs, config.files)) else 0
    if twin:
        log.info(f"taking over from process {twin}, which was started by the same command line")
    threading.excepthook = lambda args: log.failure(
        args.thread.name if args.thread else "?", args.exc_value or OSError()
    )
    daemon = Daemon(config, functools.partial(config_load, arguments, source), PROCESS_NAME, log)
    _signals_install(daemon.take_signal)
    try:
        daemon.start()
    except Exception as error:
        return _start_failed(daemon, log, error)
    # Nothing on the packets' way makes cycles: the collector would only walk the cache again and again.
    gc.freeze()
    gc.disable()
    code = daemon.run()
    sys.stdout.flush()
    os._exit(code)  # the threads of the service hold nothing that needs an orderly end


if __name__ == "__main__":
    if not {"--test", "--help", "-w", "--version", "-v"} & set(sys.argv[1:]):
        _start_afresh(sys._getframe().f_code)
    sys.exit(main())
