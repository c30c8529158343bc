"""ubus for the tests: messages, a client of the bus, and a stand-in for ubusd; written from the protocol.

Written apart from the program on purpose: a mistake made in one must not be repeated by
the other.  `Bus` is a client that calls, subscribes and listens; it speaks with the
stand-in and with a real ubusd alike.  `Ubusd` is the stand-in, in threads; it keeps every
message, can refuse, fall silent and say what no ubusd would say.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import pathlib
import random
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

KINDS = (
    "HELLO", "STATUS", "DATA", "PING", "LOOKUP", "INVOKE", "ADD_OBJECT", "REMOVE_OBJECT", "SUBSCRIBE", "UNSUBSCRIBE",
    "NOTIFY", "MONITOR",
)  # fmt: skip
# The attributes by number; how each is written.
ATTRIBUTES = dict(enumerate((
    ("STATUS", "int32"), ("OBJPATH", "string"), ("OBJID", "int32"), ("METHOD", "string"), ("OBJTYPE", "int32"),
    ("SIGNATURE", "fields"), ("DATA", "fields"), ("TARGET", "int32"), ("ACTIVE", "int8"), ("NO_REPLY", "int8"),
    ("SUBSCRIBERS", "ids"), ("USER", "string"), ("GROUP", "string"),
), 1))  # fmt: skip
NUMBERS = {name: number for number, (name, _) in ATTRIBUTES.items()}
OK, INVALID_COMMAND, INVALID_ARGUMENT, METHOD_NOT_FOUND, NOT_FOUND, NO_DATA, PERMISSION_DENIED = range(7)
ARRAY, TABLE, STRING, INT64, INT32, INT16, INT8, DOUBLE = range(1, 9)
INTEGERS = {INT64: ">q", INT32: ">I", INT16: ">H", INT8: ">B", DOUBLE: ">d"}
EXTENDED = 0x80000000
LARGEST = 1 << 20  # of an envelope
SYSTEM_EVENT = 1  # the object that takes registrations for events
SECONDS = 5.0


class UbusWireError(ValueError):
    """The bytes are not what ubus speaks."""


# -- blobs and their fields --------------------------------------------------------


def attribute(number: int, data: bytes, extended: bool = False) -> bytes:
    """One attribute with its padding."""
    head = struct.pack(">I", (EXTENDED if extended else 0) | number << 24 | (len(data) + 4))
    return head + data + b"\0" * (-len(data) % 4)


def attributes(data: bytes) -> Iterator[tuple[int, bool, bytes]]:
    """Number, extended bit and content of each attribute; the padding must be there and be zero."""
    while data:
        if len(data) < 4:
            raise UbusWireError(f"a rest of {data!r}")
        head = int.from_bytes(data[:4], "big")
        size = head & 0xFFFFFF
        end = size + -size % 4
        if size < 4 or end > len(data) or any(data[size:end]):
            raise UbusWireError(f"an attribute of {size} bytes in {data[:64]!r}")
        yield head >> 24 & 0x7F, bool(head & EXTENDED), data[4:size]
        data = data[end:]


@dataclass(frozen=True)
class Typed:
    """A value of a type that no Python value stands for, or with bytes that no value would give."""

    kind: int
    data: bytes


def _value(value: Any) -> Typed:
    if isinstance(value, Typed):
        return value
    if value is None:
        return Typed(0, b"")
    if isinstance(value, bool):
        return Typed(INT8, bytes([value]))
    if isinstance(value, int):
        small = -(1 << 31) <= value < 1 << 32
        return Typed(INT32, struct.pack(">I", value & 0xFFFFFFFF)) if small else Typed(INT64, struct.pack(">q", value))
    if isinstance(value, float):
        return Typed(DOUBLE, struct.pack(">d", value))
    if isinstance(value, dict):
        return Typed(TABLE, fields(value))
    if isinstance(value, list):
        return Typed(ARRAY, b"".join(one_field("", item) for item in value))
    return Typed(STRING, str(value).encode("utf-8", "surrogateescape") + b"\0")


def one_field(name: str, value: Any) -> bytes:
    octets = name.encode()
    head = struct.pack(">H", len(octets)) + octets + b"\0"
    item = _value(value)
    return attribute(item.kind, head + b"\0" * (-len(head) % 4) + item.data, extended=True)


def fields(values: dict[str, Any]) -> bytes:
    """A table as on the wire: int is int32 when it fits, bool is int8."""
    return b"".join(one_field(name, value) for name, value in values.items())


def _unfield(data: bytes) -> tuple[str, bytes]:
    if len(data) < 4:
        raise UbusWireError(f"a field of {data!r}")
    end = 2 + int.from_bytes(data[:2], "big")
    start = end + 1 + -(end + 1) % 4
    if start > len(data) or any(data[end:start]):
        raise UbusWireError(f"a name in {data[:64]!r}")
    return data[2:end].decode(), data[start:]


def read_fields(data: bytes) -> Iterator[tuple[str, int, Any]]:
    """Name, type and value of each field; everything must be as libubox writes it."""
    for kind, extended, content in attributes(data):
        name, rest = _unfield(content)
        value: Any = None
        if not extended or (kind == 0 and rest):
            raise UbusWireError(f"not a field: {content!r}")
        if kind in INTEGERS:
            try:
                (value,) = struct.unpack(INTEGERS[kind], rest)
            except struct.error as error:
                raise UbusWireError(f"{name}: {error}") from None
        elif kind == STRING:
            if rest[-1:] != b"\0" or b"\0" in rest[:-1]:
                raise UbusWireError(f"{name}: a string of {rest!r}")
            value = rest[:-1].decode("utf-8", "surrogateescape")
        elif kind == TABLE:
            value = unfields(rest)
        elif kind == ARRAY:
            value = [item for _, _, item in read_fields(rest)]
        elif kind:
            raise UbusWireError(f"{name}: type {kind}")
        yield name, kind, value


def unfields(data: bytes) -> dict[str, Any]:
    out: dict[str, Any] = {}
    for name, _, value in read_fields(data):
        if not name or name in out:
            raise UbusWireError(f"a table with {name!r} {'twice' if name else 'as a name'}")
        out[name] = value
    return out


def types(data: bytes) -> list[tuple[str, int]]:
    """The names and types of fields, in order."""
    return [(name, kind) for name, kind, _ in read_fields(data)]


# -- messages ----------------------------------------------------------------------


@dataclass
class Message:
    """One message; DATA and SIGNATURE are kept as bytes, in the order in which the attributes came."""

    kind: str
    seq: int = 0
    peer: int = 0
    attrs: dict[str, Any] = field(default_factory=dict)

    def pack(self) -> bytes:
        body = b"".join(self._attribute(name, value) for name, value in self.attrs.items())
        head = struct.pack(">BBHI", 0, KINDS.index(self.kind), self.seq, self.peer)
        return head + struct.pack(">I", len(body) + 4) + body

    @staticmethod
    def _attribute(name: str, value: Any) -> bytes:
        how = ATTRIBUTES[NUMBERS[name]][1]
        if how == "int32":
            data = struct.pack(">I", value)
        elif how == "int8":
            data = bytes([value])
        elif how == "string":
            data = value.encode("utf-8", "surrogateescape") + b"\0"
        elif how == "ids":
            data = b"".join(attribute(0, struct.pack(">I", number)) for number in value)
        else:
            data = value if isinstance(value, bytes) else fields(value)
        return attribute(NUMBERS[name], data)

    def __getattr__(self, name: str) -> Any:
        """An attribute by its name in lower case, None when it is not there."""
        if name.upper() not in NUMBERS:
            raise AttributeError(name)
        return self.attrs.get(name.upper())


def parse(data: bytes) -> Message:
    """A whole message; whatever libubus would never write is an error."""
    version, kind, seq, peer, size = struct.unpack(">BBHII", data[:12])
    if version or kind >= len(KINDS) or size != len(data) - 8:
        raise UbusWireError(f"the head {data[:12].hex()} before {len(data) - 12} bytes")
    attrs: dict[str, Any] = {}
    for number, extended, content in attributes(data[12:]):
        if number not in ATTRIBUTES or extended:
            raise UbusWireError(f"attribute {number}")
        name, how = ATTRIBUTES[number]
        attrs[name] = _attribute_value(how, content)
    return Message(KINDS[kind], seq, peer, attrs)


def _attribute_value(how: str, content: bytes) -> Any:
    size = {"int32": 4, "int8": 1}.get(how)
    if size is not None:
        if len(content) != size:
            raise UbusWireError(f"{how} of {len(content)} bytes")
        return int.from_bytes(content, "big")
    if how == "string":
        if content[-1:] != b"\0":
            raise UbusWireError(f"a string of {content!r}")
        return content[:-1].decode("utf-8", "surrogateescape")
    if how == "ids":
        return [int.from_bytes(item, "big") for _, _, item in attributes(content)]
    return content


def read_message(sock: socket.socket) -> bytes | None:
    """The bytes of the next message; None at the end."""
    data = b""
    wanted = 12
    while len(data) < wanted:
        try:
            piece = sock.recv(wanted - len(data))
        except OSError:
            return None
        if not piece:
            return None
        data += piece
        if len(data) == 12:
            wanted = 8 + (int.from_bytes(data[8:12], "big") & 0xFFFFFF)
            if not 12 <= wanted <= LARGEST + 8:
                return None
    return data


# -- a client ----------------------------------------------------------------------

Reply = Callable[[dict[str, Any]], "dict[str, Any] | int | None"]


@dataclass
class Event:
    """A notification or an event as it came."""

    object: str  # what was subscribed to; empty for an event
    name: str
    data: dict[str, Any]
    types: list[tuple[str, int]]
    no_reply: bool


class Bus:
    """A client of the bus at a path; what it hears is in `events`."""

    def __init__(self, path: str | pathlib.Path) -> None:
        self.events: list[Event] = []
        self.gone: list[str] = []  # paths whose owner is no more
        self._seq = itertools.count(1)
        self._replies: dict[int, list[Message]] = {}
        self._objects: dict[int, tuple[str, Reply | None]] = {}
        self._targets: dict[int, str] = {}
        self._news = threading.Condition()
        self._sock = socket.socket(socket.AF_UNIX)
        self._sock.settimeout(SECONDS)
        self._sock.connect(str(path))
        hello = read_message(self._sock)
        if hello is None or parse(hello).kind != "HELLO":
            raise UbusWireError(f"{hello!r} is no greeting")
        self.id = parse(hello).peer
        self._sock.settimeout(None)
        self.ended = False
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def __enter__(self) -> Bus:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)
        self._thread.join(SECONDS)
        self._sock.close()

    def send(self, message: Message | bytes) -> None:
        self._sock.sendall(message if isinstance(message, bytes) else message.pack())

    def request(
        self, kind: str, attrs: dict[str, Any] | None = None, peer: int = 0, seconds: float = SECONDS
    ) -> list[Message]:
        """Send a request; all its answers, the last of which is the status."""
        seq = next(self._seq) & 0xFFFF
        message = Message(kind, seq, peer, attrs or {})
        with self._news:
            self._replies[seq] = []
        self.send(message)

        def done() -> bool:
            return self.ended or any(item.kind == "STATUS" for item in self._replies[seq])

        with self._news:
            assert self._news.wait_for(done, seconds), f"no answer to {message}"
            return self._replies.pop(seq)

    def _read(self) -> None:
        while (data := read_message(self._sock)) is not None:
            self._take(parse(data))
        with self._news:
            self.ended = True
            self._news.notify_all()

    def _take(self, message: Message) -> None:
        if message.kind == "INVOKE":
            self._heard(message)
        with self._news:
            if message.kind == "UNSUBSCRIBE":
                self.gone.append(self._targets.get(message.target, ""))
            elif message.kind in ("STATUS", "DATA"):
                self._replies.setdefault(message.seq, []).append(message)
            self._news.notify_all()

    def _heard(self, message: Message) -> None:
        target, reply = self._objects.get(message.objid, ("", None))
        data = message.data or b""
        event = Event(target, message.method, unfields(data), types(data), bool(message.no_reply))
        with self._news:
            self.events.append(event)
            self._news.notify_all()
        answer = reply(event.data) if reply is not None else OK
        if message.no_reply or answer is None:
            return
        if isinstance(answer, dict):
            self.send(Message("DATA", message.seq, message.peer, {"OBJID": message.objid, "DATA": answer}))
        status = answer if isinstance(answer, int) else OK
        self.send(Message("STATUS", message.seq, message.peer, {"STATUS": status, "OBJID": message.objid}))

    def wait(self, count: int = 1, name: str = "", seconds: float = SECONDS) -> list[Event]:
        """Wait until so many events (of this name) have come; all of them."""

        def found() -> list[Event]:
            return [event for event in self.events if name in ("", event.name)]

        with self._news:
            assert self._news.wait_for(lambda: len(found()) >= count, seconds), f"{name!r} x {count}: {self.events}"
            return found()

    def wait_gone(self, path: str) -> None:
        with self._news:
            assert self._news.wait_for(lambda: path in self.gone, SECONDS), f"{path} has not gone"

    def lookup(self, pattern: str = "") -> dict[str, Message]:
        """The objects that fit, by their paths."""
        found = self.request("LOOKUP", {"OBJPATH": pattern} if pattern else {})
        return {item.objpath: item for item in found if item.kind == "DATA"}

    def objects(self) -> dict[str, dict[str, dict[str, int]]]:
        """Each path, its methods, and the arguments of each with their types."""
        return {path: unfields(item.signature) for path, item in self.lookup().items()}

    def wait_object(self, path: str, seconds: float = 15.0) -> int:
        """Wait until an object is there; its number."""
        end = time.monotonic() + seconds
        while path not in (found := self.lookup()):
            assert time.monotonic() < end, f"{path} is not among {list(found)}"
            time.sleep(0.02)
        number: int = found[path].objid
        return number

    def call(self, path: str, method: str, data: dict[str, Any] | bytes | None = None) -> tuple[int, list[bytes]]:
        """Call a method; the status and the fields of each answer, as bytes."""
        found = self.lookup(path)
        if path not in found:
            return NOT_FOUND, []
        number = found[path].objid
        more = {} if data is None else {"DATA": data}
        answers = self.request("INVOKE", {"OBJID": number, "METHOD": method, **more}, number)
        assert answers, "the connection has ended"
        return answers[-1].status, [item.data for item in answers if item.kind == "DATA"]

    def listen(self, pattern: str = "*") -> None:
        """Hear the events that fit."""
        answers = self.request("ADD_OBJECT")
        data = {"object": answers[0].objid, "pattern": pattern}
        attrs = {"OBJID": SYSTEM_EVENT, "METHOD": "register", "DATA": data}
        assert self.request("INVOKE", attrs, SYSTEM_EVENT)[-1].status == OK

    def subscribe(self, path: str, reply: Reply | None = None) -> int:
        """Subscribe to an object; `reply` gives the answer: fields, a status, or None for silence."""
        number = self.wait_object(path)
        mine: int = self.request("ADD_OBJECT")[0].objid
        self._objects[mine] = (path, reply)
        self._targets[number] = path
        status = self.request("SUBSCRIBE", {"OBJID": mine, "TARGET": number})[-1].status
        assert status == OK, f"subscribing to {path}: {status}"
        return mine

    def unsubscribe(self, mine: int) -> int:
        path = self._objects.pop(mine)[0]
        number = next(target for target, name in self._targets.items() if name == path)
        status: int = self.request("UNSUBSCRIBE", {"OBJID": mine, "TARGET": number})[-1].status
        return status


# -- the stand-in for ubusd ----------------------------------------------------------


@dataclass(eq=False)
class Client:
    """A connection of the stand-in."""

    sock: socket.socket
    id: int
    seen: list[Message] = field(default_factory=list)
    raw: list[bytes] = field(default_factory=list)

    def send(self, message: Message | bytes) -> None:
        with contextlib.suppress(OSError):
            self.sock.sendall(message if isinstance(message, bytes) else message.pack())


@dataclass(eq=False)
class Thing:
    """An object of the stand-in."""

    id: int
    owner: Client | None = None
    path: str = ""
    type: int = 0
    signature: bytes = b""
    subscribers: list[Thing] = field(default_factory=list)  # the newest first
    patterns: list[str] = field(default_factory=list)
    changes: int = 0


class Ubusd:
    """The stand-in: a bus at a path, until `stop`."""

    def __init__(self, path: str | pathlib.Path) -> None:
        self.path = pathlib.Path(path)
        self.refused: set[str] = set()  # paths that nobody may publish
        self.greets = True  # False: connections are taken and nothing is said
        self.bad: list[tuple[int, str]] = []  # from whom and what no libubus would have sent
        self.clients: list[Client] = []
        self.everybody: list[Client] = []
        self._things: dict[int, Thing] = {}
        self._lock = threading.RLock()
        self._listening: socket.socket | None = None
        self._events = itertools.count(1)

    def __enter__(self) -> Ubusd:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> Ubusd:
        self._listening = socket.socket(socket.AF_UNIX)
        self._listening.bind(str(self.path))
        os.chmod(self.path, 0o666)
        self._listening.listen(16)
        threading.Thread(target=self._accept, args=(self._listening,), daemon=True).start()
        return self

    def stop(self) -> None:
        """End it as if it were killed: connections close, the socket's name stays away."""
        if self._listening is None:
            return
        with contextlib.suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self._listening = None
        self.path.unlink(missing_ok=True)
        with self._lock:
            for client in self.clients:
                with contextlib.suppress(OSError):
                    client.sock.shutdown(socket.SHUT_RDWR)
            self.clients.clear()
            self._things.clear()

    def owner(self, path: str) -> Client:
        """The connection that owns an object."""
        with self._lock:
            for thing in self._things.values():
                if thing.path == path and thing.owner is not None:
                    return thing.owner
        raise AssertionError(f"nobody owns {path}")

    def _accept(self, listening: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                sock, _ = listening.accept()
                client = Client(sock, random.randrange(1024, 1 << 32))
                with self._lock:
                    self.clients.append(client)
                    self.everybody.append(client)
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: Client) -> None:
        if self.greets:
            client.send(Message("HELLO", 0, client.id))
        while (data := read_message(client.sock)) is not None:
            with self._lock:
                client.raw.append(data)
                try:
                    message = parse(data)
                except UbusWireError as error:
                    self.bad.append((client.id, str(error)))
                    message = Message(KINDS[min(data[1], 11)], *struct.unpack(">HI", data[2:8]))
                for name in ("DATA", "SIGNATURE"):
                    try:
                        unfields(message.attrs.get(name, b""))
                    except UbusWireError as error:
                        self.bad.append((client.id, str(error)))
                client.seen.append(message)
                self._handle(client, message)
        with self._lock:
            for thing in [item for item in reversed(self._things.values()) if item.owner is client]:
                self._remove(thing)
            if client in self.clients:
                self.clients.remove(client)
        client.sock.close()

    def _handle(self, client: Client, message: Message) -> None:
        status = getattr(self, f"_on_{message.kind.lower()}", lambda *_: INVALID_COMMAND)(client, message)
        if status is not None:
            client.send(Message("STATUS", message.seq, message.peer, {"STATUS": status}))

    def _answer(self, client: Client, message: Message, **attrs: Any) -> None:
        data = {name.upper(): value for name, value in attrs.items()}
        client.send(Message("DATA", message.seq, message.peer, data))

    def _on_ping(self, client: Client, message: Message) -> int:
        client.send(Message("DATA", message.seq, message.peer, message.attrs))
        return OK

    def _on_add_object(self, client: Client, message: Message) -> int:
        path = message.objpath or ""
        if path and (path in self.refused or any(thing.path == path for thing in self._things.values())):
            return INVALID_ARGUMENT
        thing = Thing(random.randrange(1024, 1 << 32), client, path)
        more = {}
        if message.signature is not None:
            thing.type, thing.signature = random.randrange(1024, 1 << 32), message.signature
            more = {"objtype": thing.type}
        self._things[thing.id] = thing
        self._told("add", thing)
        self._answer(client, message, objid=thing.id, **more)
        return OK

    def _on_remove_object(self, client: Client, message: Message) -> int:
        thing = self._things.get(message.objid or 0)
        if thing is None or thing.owner is not client:
            return INVALID_ARGUMENT if message.objid is None else PERMISSION_DENIED if thing else NOT_FOUND
        self._answer(client, message, objid=thing.id, **({"objtype": thing.type} if thing.type else {}))
        self._remove(thing)
        return OK

    def _remove(self, thing: Thing) -> None:
        for other in self._things.values():
            while thing in other.subscribers:
                other.subscribers.remove(thing)
                self._changed(other)
        while thing.subscribers:
            subscriber = thing.subscribers.pop(0)
            subscriber.changes += 1
            attrs = {"OBJID": subscriber.id, "TARGET": thing.id}
            if subscriber.owner is not None:
                subscriber.owner.send(Message("UNSUBSCRIBE", subscriber.changes & 0xFFFF, 0, attrs))
            self._changed(thing)
        self._told("remove", thing)
        del self._things[thing.id]

    def _changed(self, thing: Thing) -> None:
        """Tell the owner that the last subscriber has gone; nothing while there are others."""
        if not thing.subscribers:
            self._say_active(thing, 0)

    @staticmethod
    def _say_active(thing: Thing, active: int) -> None:
        thing.changes += 1
        if thing.owner is not None:
            attrs = {"OBJID": thing.id, "ACTIVE": active}
            thing.owner.send(Message("NOTIFY", thing.changes & 0xFFFF, 0, attrs))

    def _told(self, what: str, thing: Thing) -> None:
        """The event that a path has come or gone."""
        if not thing.path:
            return
        name = f"ubus.object.{what}"
        for other in list(self._things.values()):
            fits = any(
                pattern == name or name.startswith(pattern[:-1]) and "*" in pattern for pattern in other.patterns
            )
            if fits and other.owner is not None:
                attrs = {"OBJID": other.id, "METHOD": name, "DATA": {"id": thing.id, "path": thing.path}}
                other.owner.send(Message("INVOKE", next(self._events) & 0xFFFF, 0, attrs))

    def _on_lookup(self, client: Client, message: Message) -> int:
        found = sorted((thing.path, thing) for thing in self._things.values() if thing.path and thing.type)
        pattern = message.objpath
        if pattern == "":
            return INVALID_ARGUMENT
        if pattern is not None:
            star = pattern.endswith("*")
            found = [item for item in found if item[0] == pattern or star and item[0].startswith(pattern[:-1])]
        for path, thing in found:
            attrs = {"objpath": path, "objid": thing.id, "objtype": thing.type, "signature": thing.signature}
            self._answer(client, message, **attrs)
        return NOT_FOUND if pattern and not found else OK

    def _invoke(self, client: Client, thing: Thing, message: Message, no_reply: bool = False) -> None:
        attrs: dict[str, Any] = {"NO_REPLY": 1} if no_reply else {}
        attrs.update(OBJID=thing.id, METHOD=message.method, USER="root", GROUP="root")
        if message.data is not None:
            attrs["DATA"] = message.data
        if thing.owner is not None:
            thing.owner.send(Message("INVOKE", message.seq, client.id, attrs))

    def _on_invoke(self, client: Client, message: Message) -> int | None:
        if message.objid is None or message.method is None:
            return INVALID_ARGUMENT
        if message.objid == SYSTEM_EVENT:
            return self._register(client, unfields(message.data))
        thing = self._things.get(message.objid)
        if thing is None:
            return NOT_FOUND
        self._invoke(client, thing, message)
        return None

    def _register(self, client: Client, data: dict[str, Any]) -> int:
        thing = self._things.get(data["object"])
        if thing is None or thing.owner is not client:
            return NOT_FOUND if thing is None else PERMISSION_DENIED
        thing.patterns.append(data["pattern"])
        return OK

    def _on_notify(self, client: Client, message: Message) -> int | None:
        if message.objid is None or message.method is None:
            return INVALID_ARGUMENT
        thing = self._things.get(message.objid)
        if thing is None or thing.owner is not client:
            return NOT_FOUND if thing is None else PERMISSION_DENIED
        if not message.no_reply:
            ids = [item.id for item in thing.subscribers]
            attrs = {"OBJID": thing.id, "SUBSCRIBERS": ids, "STATUS": OK}
            client.send(Message("STATUS", message.seq, message.peer, attrs))
        for subscriber in thing.subscribers:
            self._invoke(client, subscriber, message, bool(message.no_reply))
        return None

    def _on_status(self, client: Client, message: Message) -> None:
        """Pass an answer on, unless it is not the sender's or tells nothing."""
        thing = self._things.get(message.objid or 0)
        if thing is None or thing.owner is not client or getattr(message, message.kind.lower()) is None:
            return
        for other in self.clients:
            if other.id == message.peer:
                other.send(Message(message.kind, message.seq, thing.id, message.attrs))

    _on_data = _on_status

    def _on_subscribe(self, client: Client, message: Message) -> int:
        if message.objid is None or message.target is None:
            return INVALID_ARGUMENT
        mine, target = self._things.get(message.objid), self._things.get(message.target)
        if mine is None or target is None:
            return NOT_FOUND
        if mine.owner is not client or target.owner is client:
            return INVALID_ARGUMENT
        target.subscribers.insert(0, mine)
        if len(target.subscribers) == 1:
            self._say_active(target, 1)
        return OK

    def _on_unsubscribe(self, client: Client, message: Message) -> int:
        if message.objid is None or message.target is None:
            return INVALID_ARGUMENT
        mine, target = self._things.get(message.objid), self._things.get(message.target)
        if mine is None or target is None or mine not in target.subscribers:
            return NOT_FOUND
        if mine.owner is not client:
            return INVALID_ARGUMENT
        target.subscribers.remove(mine)
        self._changed(target)
        return OK
