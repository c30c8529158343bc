"""Section 68: the daemon on OpenWrt's bus, against a stand-in of ubusd."""

from __future__ import annotations

import contextlib
import pathlib
import queue
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import dnswire
import pydnsmasq as p
from harness import wait_until
from shellkit import LogLines
from ubuswire import INT32, INT64, STRING, Bus, Message, Reply, Typed, Ubusd, read_message, types, unfields

NAME, DNS = "dnsmasq", "dnsmasq.dns"
# In the order in which dnsmasq shows them.
COUNTERS = """
dns_cache_inserted dns_cache_live_freed dns_queries_forwarded dns_auth_answered dns_local_answered dns_stale_answered
dns_unanswered dnssec_max_crypto_use dnssec_max_sig_fail dnssec_max_work bootp pxe dhcp_ack dhcp_decline dhcp_discover
dhcp_inform dhcp_nak dhcp_offer dhcp_release dhcp_request noanswer leases_allocated_4 leases_pruned_4 leases_allocated_6
leases_pruned_6 tcp_connections dhcp_leasequery dhcp_lease_unassigned dhcp_lease_actve dhcp_lease_unknown
""".split()


class Rig:
    """A UbusClient in its thread, and the bus that it is on."""

    def __init__(self, directory: pathlib.Path) -> None:
        self.bus = Ubusd(directory / "bus")
        self.log = LogLines()
        self.counters: Callable[[], dict[str, int]] = lambda: dict.fromkeys(p.METRICS, 0)
        self.allowed: list[tuple[int, int, tuple[str, ...]]] = []
        self.client = p.UbusClient(NAME, lambda: self.counters(), self._allow, self.log.log)
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.done: queue.Queue[Any] = queue.Queue()
        self._peers: list[Bus] = []

    def _allow(self, mark: int, mask: int, patterns: tuple[str, ...]) -> None:
        self.allowed.append((mark, mask, patterns))

    def _run(self) -> None:
        with contextlib.suppress(SystemExit):
            self.client.run()

    def close(self) -> None:
        def end() -> None:
            raise SystemExit

        self.client._connect = end
        for peer in self._peers:
            peer.close()
        self.bus.stop()
        if self.thread.ident is not None:
            self.thread.join(5)
            assert not self.thread.is_alive(), "its thread does not end"
        assert not self.bus.bad, "what libubus would not have sent"

    def start(self) -> Rig:
        self.bus.start()
        self.thread.start()
        return self

    def peer(self) -> Bus:
        """Another program on the bus."""
        self._peers.append(Bus(self.bus.path))
        return self._peers[-1]

    def subscriber(self, path: str, reply: Reply | None = None) -> Bus:
        """A program that is subscribed, of which the client knows."""
        peer = self.peer()
        peer.subscribe(path, reply)
        wait_until(lambda: self.client._listening[path == DNS], 5, "the word that there is a subscriber")
        return peer

    def sent(self, kind: str) -> list[Message]:
        """What the client has sent, over all its connections."""
        return [message for client in list(self.bus.everybody) for message in list(client.seen) if message.kind == kind]

    def results(self, *records: str) -> bool:
        """Show a reply; what comes of it goes to `done`."""
        return self.client.results(reply(*records), self.done.put)

    def resolved(self, *records: str) -> bool:
        rows = [(rr.name, rr.rrtype, rr.ttl, rr.rdata) for rr in reply(*records).answers]
        return self.client.resolved(7, rows, lambda: self.done.put("done"))


@pytest.fixture
def rig(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Rig]:
    made = Rig(tmp_path)
    monkeypatch.setattr(p, "UBUS_PATHS", (str(tmp_path / "none"), str(made.bus.path)))
    monkeypatch.setattr(p, "UBUS_RETRY_SECONDS", 0.02)
    for limit in ("UBUS_RESULT_SECONDS", "UBUS_RESOLVED_SECONDS"):  # a busy machine is slow
        monkeypatch.setattr(p, limit, 30.0)
    yield made
    made.close()


def reply(*records: str) -> Any:
    query = dnswire.parse(dnswire.build_query("x.test", "A"))
    return p.dns_message_unpack(dnswire.build_reply(query, answer=[dnswire.record(text) for text in records]))


def four(text: str) -> bytes:
    return socket.inet_aton(text)


# -- the objects -------------------------------------------------------------------


@pytest.mark.parametrize("allow", [False, True])
def test_objects_and_their_methods(rig: Rig, allow: bool) -> None:
    if not allow:
        rig.client._allow = None
    peer = rig.start().peer()
    peer.wait_object(DNS)
    methods: dict[str, Any] = {"metrics": {}}
    if allow:
        methods["set_connmark_allowlist"] = {"mark": 5, "mask": 5, "patterns": 1}
    assert peer.objects() == {NAME: methods, DNS: {}}
    assert peer.call(NAME, "set_connmark_allowlist", {"mark": 1})[0] == (0 if allow else 3)
    wait_until(lambda: "UBus support enabled: connected to system bus" in rig.log.text(), 5, "the line")


def test_metrics_in_order_as_numbers_of_32_bits(rig: Rig) -> None:
    values = {name: number for number, name in enumerate(COUNTERS)} | {"dhcp_lease_unknown": (1 << 32) + 5}
    rig.counters = lambda: {name: values[name] for name in p.METRICS}
    peer = rig.start().peer()
    peer.wait_object(NAME)
    for data in (None, {}, {"some": "thing"}, b"\xff\xff\xff\xff"):
        status, (answer,) = peer.call(NAME, "metrics", data)
        assert status == 0
        assert types(answer) == [(name, INT32) for name in COUNTERS]
        assert unfields(answer) == values | {"dhcp_lease_unknown": 5}
    rig.bus.bad.clear()  # the caller's


@pytest.mark.parametrize(("path", "method"), [(NAME, "nosuch"), (NAME, ""), (DNS, "metrics"), (DNS, "x\xff")])
def test_methods_that_are_not_there(rig: Rig, path: str, method: str) -> None:
    peer = rig.start().peer()
    peer.wait_object(DNS)
    assert peer.call(path, method) == (3, [])


def test_an_object_that_is_not_ours(rig: Rig) -> None:
    rig.start().peer().wait_object(DNS)
    owner = rig.bus.owner(NAME)
    owner.send(Message("INVOKE", 9, 0x77, {"OBJID": 5, "METHOD": "metrics"}))
    wait_until(lambda: rig.sent("STATUS"), 5, "an answer")
    (answer,) = rig.sent("STATUS")
    assert (answer.seq, answer.peer, answer.status, answer.objid) == (9, 0x77, 4, 5)


def test_a_call_that_wants_no_answer(rig: Rig) -> None:
    peer = rig.start().peer()
    number = peer.wait_object(NAME)
    attributes = {"NO_REPLY": 1, "OBJID": number, "METHOD": "nosuch"}
    rig.bus.owner(NAME).send(Message("INVOKE", 9, 0x77, attributes))
    assert peer.call(NAME, "metrics")[0] == 0
    assert [message.seq for message in rig.sent("STATUS") if message.seq == 9] == []


def test_a_refused_name_is_told_and_not_asked_for_over_and_over(rig: Rig) -> None:
    rig.bus.refused = {NAME, DNS}
    rig.start()
    wait_until(lambda: f"Cannot add object {DNS} to UBus: Invalid argument" in rig.log.text(), 5, "the line")
    assert f"Cannot add object {NAME} to UBus: Invalid argument" in rig.log.text()
    time.sleep(0.2)
    assert len(rig.sent("ADD_OBJECT")) < 40  # a few for each UBUS_RETRY_SECONDS at most


def test_one_refused_name_does_not_hinder_the_other(rig: Rig) -> None:
    rig.bus.refused = {NAME}
    rig.start()
    peer = rig.subscriber(DNS)
    assert rig.results("x.test 60 A 192.0.2.1") and rig.done.get(timeout=5) == {}
    assert list(peer.lookup()) == [DNS]
    rig.client._listening[0] = True  # whoever is told so in error sends nothing amiss
    rig.client.notify("dhcp.ack", {"ip": "1.2.3.4"})
    assert rig.results("x.test 60 A 192.0.2.1") and rig.done.get(timeout=5) == {}


# -- notifications -----------------------------------------------------------------

LEASE = {"mac": "02:00:00:00:00:01", "ip": "192.168.1.100", "name": "box", "interface": "br-lan"}


def test_notifications_go_out_while_there_are_subscribers(rig: Rig) -> None:
    peer = rig.start().peer()
    peer.wait_object(DNS)
    rig.client.notify("dhcp.ack", LEASE)
    assert not rig.client._jobs
    first = rig.subscriber(NAME)
    rig.client.notify("dhcp.ack", LEASE)
    (event,) = first.wait()
    assert (event.name, event.data, event.no_reply) == ("dhcp.ack", LEASE, True)
    assert event.types == [(name, STRING) for name in LEASE]
    first.close()
    wait_until(lambda: not rig.client._listening[0], 5, "the word that nobody is left")
    rig.client.notify("dhcp.release", LEASE)
    second = rig.subscriber(NAME)
    rig.client.notify("dhcp.release", LEASE)
    second.wait(name="dhcp.release")
    assert len(rig.sent("NOTIFY")) == 2
    assert not rig.client._listening[1], "of the other object nobody has heard"


def test_a_refused_name_is_told(rig: Rig) -> None:
    rig.start()
    peer = rig.subscriber(NAME)
    rig.client.refused(0xFFFFFFFF, dnswire.pack_name("bad.test"))
    (event,) = peer.wait()
    assert (event.name, event.no_reply) == ("connmark-allowlist.refused", True)
    assert event.data == {"mark": 0xFFFFFFFF, "name": "bad.test"}
    assert event.types == [("mark", INT32), ("name", STRING)]


def test_waiting_notifications_are_bounded(rig: Rig) -> None:
    rig.client._listening = [True, True]
    for number in range(p.UBUS_QUEUE_MAX + 500):
        rig.client.notify("dhcp.ack", {"ip": str(number)})
    assert len(rig.client._jobs) == p.UBUS_QUEUE_MAX


# -- what subscribers say of addresses ---------------------------------------------

A, CNAME, AAAA = "b.test 60 A 192.0.2.1", "X.test 30 CNAME b.test", "b.test 61 AAAA 2001:db8::1"


def test_without_subscribers_nobody_waits(rig: Rig) -> None:
    rig.start().peer().wait_object(DNS)
    assert not rig.results(A)
    rig.subscriber(NAME)
    assert not rig.results(A), "those of the other object"
    assert not rig.sent("NOTIFY")


@pytest.mark.parametrize("records", [[], [CNAME], ["x.test 60 TXT one"]])
def test_replies_without_addresses_are_not_shown(rig: Rig, records: list[str]) -> None:
    rig.start()
    rig.subscriber(DNS)
    assert not rig.results(*records) and not rig.client._consultations


def test_addresses_are_shown_before_the_answer(rig: Rig) -> None:
    rig.start()
    peer = rig.subscriber(DNS)
    assert rig.results(CNAME, A, AAAA)
    assert rig.done.get(timeout=5) == {}
    events = peer.wait(2)
    assert [(event.name, event.no_reply) for event in events] == [("dns_result", False)] * 2
    kinds = [("name", STRING), ("ttl", INT32), ("type", STRING), ("address", STRING)]
    assert [event.types for event in events] == [kinds] * 2
    assert [event.data for event in events] == [
        {"name": "b.test", "ttl": 60, "type": "A", "address": "192.0.2.1"},
        {"name": "b.test", "ttl": 61, "type": "AAAA", "address": "2001:db8::1"},
    ]
    assert not rig.client._consultations


SAID: list[tuple[Any, dict[int, bytes]]] = [
    # what a subscriber answers for the A record at place 1
    ({"address": "198.51.100.7"}, {1: four("198.51.100.7")}),
    ({"other": 1, "address": "198.51.100.7"}, {1: four("198.51.100.7")}),
    ({"address": "192.0.2.1"}, {}),  # as it was
    ({"address": "2001:db8::7"}, {}),  # of the other family
    ({"address": "no address"}, {}),
    ({"address": "198.51.100.7%lo"}, {}),
    ({"address": "198.51.100.7#53"}, {}),
    ({"address": ""}, {}),
    ({"address": 7}, {}),
    ({"address": ["198.51.100.7"]}, {}),
    ({"address": {"address": "198.51.100.7"}}, {}),
    ({"address": Typed(STRING, b"198.51.100.7\0rest\0")}, {}),
    ({"address": Typed(STRING, b"\xff\xfe\0")}, {}),
    ({}, {}),
    (0, {}),
    (6, {}),
]


@pytest.mark.parametrize(("answer", "expected"), SAID)
def test_what_subscribers_say_replaces_addresses(rig: Rig, answer: Any, expected: dict[int, bytes]) -> None:
    rig.start()
    rig.subscriber(DNS, lambda fields: answer)
    assert rig.results(CNAME, A)
    assert rig.done.get(timeout=5) == expected
    rig.bus.bad.clear()  # the subscriber's


def test_each_address_has_its_own_answer(rig: Rig) -> None:
    rig.start()
    six = socket.inet_pton(socket.AF_INET6, "2001:db8::7")
    said = {"192.0.2.2": {"address": "198.51.100.2"}, "2001:db8::1": {"address": "2001:db8::7"}}
    rig.subscriber(DNS, lambda fields: said.get(fields["address"], 0))
    assert rig.results(CNAME, A, "b.test 60 A 192.0.2.2", AAAA)
    assert rig.done.get(timeout=5) == {2: four("198.51.100.2"), 3: six}


def test_a_silent_subscriber_has_its_time(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(p, "UBUS_RESULT_SECONDS", 0.2)
    rig.start()
    rig.subscriber(DNS, lambda fields: None)
    rig.subscriber(DNS, lambda fields: {"address": "198.51.100.7"})
    began = time.monotonic()
    assert rig.results(A)
    assert rig.done.get(timeout=5) == {0: four("198.51.100.7")}, "what others said counts"
    assert time.monotonic() - began >= 0.2, "the silent one was not waited for"
    assert not rig.client._consultations


def test_all_subscribers_are_waited_for(rig: Rig) -> None:
    rig.start()
    late = threading.Event()
    rig.subscriber(DNS)
    rig.subscriber(DNS, lambda fields: {"address": "198.51.100.7"} if late.wait(10) else None)
    assert rig.results(A)
    with pytest.raises(queue.Empty):
        rig.done.get(timeout=0.1)
    late.set()
    assert rig.done.get(timeout=5) == {0: four("198.51.100.7")}


def test_only_the_first_of_many_addresses_are_shown(rig: Rig) -> None:
    rig.start()
    peer = rig.subscriber(DNS)
    assert rig.results(*(f"x.test 60 A 192.0.2.{number}" for number in range(p.UBUS_RESULTS_MAX + 5)))
    assert rig.done.get(timeout=5) == {}
    assert len(peer.wait(p.UBUS_RESULTS_MAX)) == p.UBUS_RESULTS_MAX == len(rig.sent("NOTIFY"))


def test_those_who_wait_are_bounded(rig: Rig) -> None:
    rig.client._listening = [True, True]
    for _ in range(p.UBUS_CONSULTATIONS_MAX):
        assert rig.results(A)
    assert not rig.results(A) and not rig.resolved(A)


def test_an_error_of_who_waits_is_not_the_bus_s(rig: Rig) -> None:
    rig.start()
    rig.subscriber(DNS)

    def fail(replaced: dict[int, bytes]) -> None:
        raise ValueError("mine")

    assert rig.client.results(reply(A), fail)
    assert rig.results(A) and rig.done.get(timeout=5) == {}
    assert "internal error in ubus" in rig.log.text() and len(rig.bus.everybody) == 2


def test_what_a_marked_client_is_about_to_hear(rig: Rig) -> None:
    rig.start()
    assert not rig.resolved(A), "nobody listens"
    peer = rig.subscriber(NAME)
    assert not rig.resolved("x.test 60 TXT one") and not rig.resolved()
    assert rig.resolved(CNAME, "x.test 60 TXT one", A, AAAA)
    assert rig.done.get(timeout=5) == "done"
    events = peer.wait(3)
    assert [(event.name, event.no_reply) for event in events] == [("connmark-allowlist.resolved", False)] * 3
    assert events[0].types == [("mark", INT32), ("name", STRING), ("value", STRING), ("ttl", INT32)]
    assert [tuple(event.data.values()) for event in events] == [
        (7, "x.test", "b.test", 30), (7, "b.test", "192.0.2.1", 60), (7, "b.test", "2001:db8::1", 61),
    ]  # fmt: skip


@pytest.mark.parametrize("answer", [0, 9, {"some": "thing"}])
def test_any_answer_lets_a_marked_client_go_on(rig: Rig, answer: Any) -> None:
    rig.start()
    rig.subscriber(NAME, lambda fields: answer)
    assert rig.resolved(A) and rig.done.get(timeout=5) == "done"


def test_a_marked_client_waits_no_longer_than_it_must(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(p, "UBUS_RESOLVED_SECONDS", 0.1)
    rig.start()
    rig.subscriber(NAME, lambda fields: None)
    assert rig.resolved(A) and rig.done.get(timeout=5) == "done"


# -- hostile messages --------------------------------------------------------------


def consultation(rig: Rig) -> tuple[Bus, int]:
    """Show an address to a subscriber that is silent; another program, and the serial of the notification."""
    rig.subscriber(DNS, lambda fields: None)
    stranger = rig.peer()
    assert rig.results(A)
    wait_until(lambda: any(waiting for one in rig.client._consultations for _, waiting in one.open.values()), 5)
    return stranger, rig.sent("NOTIFY")[-1].seq


def test_strangers_are_not_heard(rig: Rig) -> None:
    """Any program may send an answer to anybody; the bus only sees to it that it names an object of its own."""
    stranger, serial = consultation(rig.start())
    mine = stranger.request("ADD_OBJECT")[0].objid
    target = rig.bus.owner(NAME).id
    for number in (serial, serial + 1, 0, 1, 2):
        lie = {"OBJID": mine, "DATA": {"address": "203.0.113.66"}}
        stranger.send(Message("DATA", number, target, lie))
        stranger.send(Message("STATUS", number, target, {"STATUS": 0, "OBJID": mine, "SUBSCRIBERS": [mine]}))
    assert stranger.call(NAME, "metrics")[0] == 0
    assert rig.done.empty() and len(rig.client._consultations) == 1
    subscriber = rig._peers[0]
    subscriber.send(Message("STATUS", serial, target, {"STATUS": 0, "OBJID": next(iter(subscriber._objects))}))
    assert rig.done.get(timeout=5) == {}


def test_strangers_name_no_subscribers(rig: Rig) -> None:
    """Who answers is said by the bus alone, also when a stranger is quicker."""
    rig.start()
    rig.subscriber(DNS)
    stranger = rig.peer()
    mine = stranger.request("ADD_OBJECT")[0].objid
    owner = rig.bus.owner(NAME)
    with rig.bus._lock:  # the notification lies with the bus
        assert rig.results(A)
        wait_until(lambda: any(one.open for one in rig.client._consultations), 5)
        serial = next(iter(rig.client._consultations[0].open))
        owner.send(Message("STATUS", serial, mine, {"STATUS": 0, "OBJID": mine, "SUBSCRIBERS": [mine]}))
        owner.send(Message("DATA", serial, mine, {"OBJID": mine, "DATA": {"address": "203.0.113.66"}}))
        owner.send(Message("STATUS", serial, mine, {"STATUS": 0, "OBJID": mine}))
        time.sleep(0.1)
    assert rig.done.get(timeout=5) == {}


def test_strangers_do_not_answer_for_the_bus(rig: Rig) -> None:
    """What is said of a request for an object comes from nobody's object."""
    client, attributes = rig.client, {3: b"\0\0\4\1", 1: b"\0\0\0\2"}
    client._adding[1] = 0
    for kind, handler in ((p.UBUS_DATA, client._on_data), (p.UBUS_STATUS, client._on_status)):
        handler(p.UbusMessage(kind, 1, 0x401, attributes))
    assert client._adding == {1: 0} and not client._ids and not rig.log.lines()
    client._on_data(p.UbusMessage(p.UBUS_DATA, 1, 0, attributes))
    assert client._ids == {0x401: 0}


def test_bad_fields_of_a_subscriber_count_as_none(rig: Rig) -> None:
    rig.start()
    peer = rig.subscriber(DNS, lambda fields: None)
    assert rig.results(A)
    peer.wait()
    serial, target = rig.sent("NOTIFY")[-1].seq, rig.bus.owner(NAME).id
    mine = next(iter(peer._objects))
    for data in (b"\x83\0\0\x0c\0\xffa\0", b"\3\0\0\4", b"\xff" * 40):
        peer.send(Message("DATA", serial, target, {"OBJID": mine, "DATA": data}))
    peer.send(Message("DATA", serial, target, {"OBJID": mine, "DATA": {"address": "198.51.100.7"}}))
    peer.send(Message("STATUS", serial, target, {"STATUS": 0, "OBJID": mine}))
    assert rig.done.get(timeout=5) == {0: four("198.51.100.7")}
    rig.bus.bad.clear()  # ours were meant


def test_late_answers_are_for_nobody(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(p, "UBUS_RESULT_SECONDS", 0.05)
    late = threading.Event()
    rig.start()
    rig.subscriber(DNS, lambda fields: {"address": "203.0.113.66"} if late.wait(10) else None)
    assert rig.results(A) and rig.done.get(timeout=5) == {}
    monkeypatch.setattr(p, "UBUS_RESULT_SECONDS", 0.5)
    assert rig.results("other.test 60 A 192.0.2.9")
    late.set()
    assert rig.done.get(timeout=5) == {0: four("203.0.113.66")}, "of the second"
    assert rig.done.empty()


def test_messages_in_pieces_and_many_at_once(rig: Rig) -> None:
    number = rig.start().peer().wait_object(NAME)
    owner = rig.bus.owner(NAME)
    call = Message("INVOKE", 0, 0x77, {"OBJID": number, "METHOD": "nosuch"})

    def wire(serial: int) -> bytes:
        call.seq = serial
        return call.pack()

    for serial in (101, 102):
        for octet in wire(serial):
            owner.send(bytes((octet,)))
    odd = bytes.fromhex("00020001 00000000 00000011 03000008 1c4f3a02 09000005 01")  # ends without padding
    owner.send(odd + b"".join(map(wire, range(103, 200))) + odd + wire(200)[:9])
    owner.send(wire(200)[9:])
    wait_until(lambda: len(rig.sent("STATUS")) == 100, 5, "all answers")
    assert [message.seq for message in rig.sent("STATUS")] == list(range(101, 201))


ODD = [
    # what is no request to us, and ends nothing
    Message("PING", 5, 5), Message("LOOKUP", 5, 5), Message("UNSUBSCRIBE", 5, 0, {"OBJID": 5, "TARGET": 6}),
    Message("MONITOR", 5, 5), Message("HELLO", 0, 99), Message("STATUS", 5, 5), Message("DATA", 5, 5),
    Message("NOTIFY", 5, 0, {"ACTIVE": 1}), Message("NOTIFY", 5, 0, {"OBJID": 77, "ACTIVE": 1}),
    bytes.fromhex("00ff0001 00000000 00000004"), bytes.fromhex("00020001 00000000 0000000c 03000003 00000000"),
]  # fmt: skip


def test_what_nobody_asked_for_is_passed_over(rig: Rig) -> None:
    peer = rig.start().peer()
    peer.wait_object(DNS)
    for odd in ODD:
        rig.bus.owner(NAME).send(odd)
    assert peer.call(NAME, "metrics")[0] == 0
    assert rig.client._listening == [False, False] and len(rig.bus.everybody) == 2


NO_MESSAGES = ["01020001 00000000 00000010", "00020001 00000000 00000003", "00020001 00000000 00ffffff"]


@pytest.mark.parametrize("octets", NO_MESSAGES)
def test_what_is_no_message_ends_the_connection(rig: Rig, octets: str) -> None:
    rig.start().peer().wait_object(DNS)
    first = rig.bus.owner(NAME)
    first.send(bytes.fromhex(octets))
    again(rig, first)


def again(rig: Rig, first: Any) -> None:
    """Wait until both objects are there by another connection."""

    def there() -> bool:
        with contextlib.suppress(AssertionError):
            return rig.bus.owner(NAME) is rig.bus.owner(DNS) is not first
        return False

    wait_until(there, 5, "the objects")


def test_an_error_within_ends_the_connection_only(rig: Rig) -> None:
    def fail() -> dict[str, int]:
        raise KeyError("counter")

    good, rig.counters = rig.counters, fail
    peer = rig.start().peer()
    number = peer.wait_object(NAME)
    first = rig.bus.owner(NAME)
    peer.send(Message("INVOKE", 900, number, {"OBJID": number, "METHOD": "metrics"}))
    again(rig, first)
    assert "internal error in ubus" in rig.log.text()
    rig.counters = good
    assert peer.call(NAME, "metrics")[0] == 0


# -- lost connections --------------------------------------------------------------


def test_a_lost_connection_frees_who_waits(rig: Rig) -> None:
    consultation(rig.start())
    rig.subscriber(NAME, lambda fields: None)
    assert rig.resolved(A)
    rig.bus.stop()
    assert {str(rig.done.get(timeout=5)) for _ in range(2)} == {"{}", "done"}
    assert not rig.results(A) and not rig.resolved(A) and not rig.client._consultations


def test_who_was_freed_elsewhere_does_not_end_the_thread(rig: Rig) -> None:
    """A thread that has seen the connection go takes its consultation back while the others are freed."""
    rig.client._listening = [False, True]
    waiting = rig.client._consultations

    def first(replaced: dict[int, bytes]) -> None:
        del waiting[-1]

    assert rig.client.results(reply(A), first) and rig.results(A)
    rig.client._lose(None)
    assert not waiting


@pytest.mark.parametrize("lost", [False, True])
def test_a_connection_that_goes_while_somebody_asks(rig: Rig, lost: bool) -> None:
    """Another thread has just seen that there are subscribers: it is answered once, by one or by the other."""

    class Going(list[bool]):
        looks = 0

        def __getitem__(self, place: Any) -> Any:
            self.looks += 1
            if self.looks == 2 and lost:
                rig.client._lose(None)
            return self.looks == 1

    rig.client._listening = Going((True, True))
    assert rig.results(A) == lost
    assert rig.done.qsize() == lost and not rig.client._consultations and not rig.client._jobs


def test_what_waits_for_a_lost_connection_is_not_sent(rig: Rig) -> None:
    rig.client._listening = [True, True]
    assert rig.results(A)
    job = rig.client._jobs[0]
    rig.client.notify("dhcp.ack", LEASE)
    rig.client._lose(None)
    assert not rig.client._jobs and rig.done.get_nowait() == {}
    job()  # there is nothing to send it by


def test_the_client_comes_back(rig: Rig) -> None:
    rig.start()
    peer = rig.subscriber(NAME)
    first = rig.bus.owner(NAME)
    first.send(bytes.fromhex("00020001 00000000 0000ffff 03000008"))  # of a message that never comes
    rig.bus.stop()
    wait_until(lambda: not rig.client._listening[0], 5, "the end")
    rig.client.notify("dhcp.ack", LEASE)
    time.sleep(0.1)  # some attempts
    rig.bus.start()
    again(rig, first)
    assert peer.ended
    assert not rig.client._listening[0], "subscribers are gone with the bus"
    rig.client.notify("dhcp.ack", LEASE)
    peer = rig.subscriber(NAME)
    rig.client.notify("dhcp.release", LEASE)
    assert [event.name for event in peer.wait()] == ["dhcp.release"]
    assert rig.log.text().count("Cannot connect to UBus") == 1, "one line is enough"
    assert rig.log.text().count("connected to system bus") == 2


def test_a_bus_that_comes_later(rig: Rig) -> None:
    rig.thread.start()
    wait_until(lambda: "Cannot connect to UBus: No such file or directory" in rig.log.text(), 5, "the warning")
    rig.bus.start()
    again(rig, None)


def test_the_first_path_is_preferred(rig: Rig, tmp_path: pathlib.Path) -> None:
    with Ubusd(tmp_path / "none") as other:
        rig.start()
        wait_until(lambda: len([message for one in other.everybody for message in one.seen]) == 2, 5, "the objects")
        assert not rig.bus.everybody


class Rude:
    """A bus that says what it must for `active` objects, and reads no more; `closes` at once instead."""

    def __init__(self, path: pathlib.Path, closes: bool = False) -> None:
        self.count = 0
        self._closes = closes
        self._kept: list[socket.socket] = []
        self._sock = socket.socket(socket.AF_UNIX)
        self._sock.bind(str(path))
        self._sock.listen()
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                sock, _ = self._sock.accept()
                self._kept.append(sock)
                self.count += 1
                if self._closes:
                    sock.close()
                    continue
                with contextlib.suppress(ConnectionError):
                    self._talk(sock)

    def _talk(self, sock: socket.socket) -> None:
        for number in (1001, 1002):
            wire = read_message(sock)
            if wire is None:
                return
            serial = int.from_bytes(wire[2:4], "big")
            for kind, attributes in (
                ("DATA", {"OBJID": number}),
                ("STATUS", {"STATUS": 0}),
                ("NOTIFY", {"OBJID": number, "ACTIVE": 1}),
            ):
                sock.sendall(Message(kind, serial, 0, attributes).pack())

    def close(self) -> None:
        self._sock.shutdown(socket.SHUT_RDWR)
        for sock in (self._sock, *self._kept):
            sock.close()


def test_a_bus_that_does_not_read_is_left(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(p, "UBUS_PATIENCE", 0.05)
    with contextlib.closing(Rude(rig.bus.path)) as rude:
        rig.thread.start()
        wait_until(lambda: rig.client._listening == [True, True], 5, "the objects")
        assert rig.results(A)
        for _ in range(20):
            rig.client.notify("dhcp.ack", {"name": "x" * 60_000})
        assert rig.done.get(timeout=10) == {}
        wait_until(lambda: rude.count > 1, 10, "another connection")
    rig.bus.path.unlink()


def test_a_bus_that_hangs_up_is_asked_from_time_to_time(rig: Rig) -> None:
    """It does so with accounts without a name."""
    with contextlib.closing(Rude(rig.bus.path, closes=True)) as rude:
        rig.thread.start()
        wait_until(lambda: rude.count >= 3, 5, "some attempts")
        assert rig.log.text().count("Cannot connect to UBus") == 1
    rig.bus.path.unlink()


# -- set_connmark_allowlist --------------------------------------------------------

ALL = 0xFFFFFFFF
LISTS: list[tuple[Any, tuple[int, int, tuple[str, ...]] | None]] = [
    ({"mark": 5}, (5, ALL, ())),
    ({"mark": 5, "patterns": []}, (5, ALL, ())),
    ({"mark": 5, "patterns": ["*"]}, (5, ALL, ("*",))),
    ({"mark": 5, "patterns": ["a.b"]}, (5, ALL, ("a.b",))),
    ({"mark": 5, "mask": 0xFF, "patterns": ["a.b", "*.c.d"]}, (5, 0xFF, ("a.b", "*.c.d"))),
    ({"mask": 5, "mark": 5}, (5, 5, ())),
    ({"mark": ALL, "mask": ALL}, (ALL, ALL, ())),
    ({"mark": 5, "other": "field"}, (5, ALL, ())),
    # as the command line sends what is too large for a signed number
    ({"mark": Typed(INT64, (0x80000001).to_bytes(8, "big"))}, (0x80000001, ALL, ())),
    ({"mark": 5, "mask": Typed(INT64, ALL.to_bytes(8, "big"))}, (5, ALL, ())),
    ({}, None),
    ({"mask": 5}, None),
    ({"mark": 0}, None),
    ({"mark": 5, "mask": 0}, None),
    ({"mark": 5, "mask": 4}, None),
    ({"mark": Typed(INT64, (1 << 32).to_bytes(8, "big"))}, None),
    ({"mark": 5, "mask": Typed(INT64, (1 << 32).to_bytes(8, "big"))}, None),
    ({"mark": "5"}, None),
    ({"mark": 5, "mask": "255"}, None),
    ({"mark": "5/255,a.b"}, None),
    ({"mark": 5, "mask": "255,a.b"}, None),
    ({"mark": [5]}, None),
    ({"mark": 5, "mask": {"a": 5}}, None),
    ({"mark": 5, "patterns": "a.b"}, None),
    ({"mark": 5, "patterns": 1}, None),
    ({"mark": 5, "patterns": {"a": "a.b"}}, None),
    ({"mark": 5, "patterns": ["a.b", 1]}, None),
    ({"mark": 5, "patterns": [["a.b"]]}, None),
    ({"mark": 5, "patterns": [""]}, None),
    ({"mark": 5, "patterns": ["a.b", ""]}, None),
    ({"mark": 5, "patterns": ["a.b", "*.d"]}, None),
    ({"mark": 5, "patterns": ["a.b/c.d"]}, None),
    ({"mark": 5, "patterns": ["a.b,c.d"]}, None),
    ({"mark": 5, "patterns": ["a.b\0c"]}, None),
    ({"mark": 5, "patterns": ["a.b\U0010fe2c"]}, None),
    (b"\xff\xff\xff\xff", None),
    (b"\x03\0\0\x08abcd", None),
]  # fmt: skip


@pytest.fixture(scope="module")
def lists(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Rig, Bus]]:
    made = Rig(tmp_path_factory.mktemp("bus"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(p, "UBUS_PATHS", (str(made.bus.path),))
        patch.setattr(p, "UBUS_RETRY_SECONDS", 0.02)
        peer = made.start().peer()
        peer.wait_object(NAME)
        yield made, peer
        made.bus.bad.clear()  # ours were meant
        made.close()


@pytest.mark.parametrize(("fields", "expected"), LISTS)
def test_lists_of_names_for_marks(lists: tuple[Rig, Bus], fields: Any, expected: Any) -> None:
    rig, peer = lists
    rig.allowed.clear()
    assert peer.call(NAME, "set_connmark_allowlist", fields) == (2 if expected is None else 0, [])
    assert rig.allowed == ([] if expected is None else [expected])
