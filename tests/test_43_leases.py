"""Section 43: the table of leases, their names, what changed, and the text of the lease file."""

from __future__ import annotations

import random
from typing import Any

import pytest

import pydnsmasq as p
from pure import NOW, WALL, mac, name, number, short

LAN = name("lan.test")


class Table(p.LeaseTable):
    """A table whose leases are named by the last number of their address."""

    def make(self, address: str, client: str = "", client_id: bytes = b"", *, ends: int = 3600) -> Any:
        lease = self.add(number(address))
        assert lease is not None
        self.set_client(lease, mac(client or "m" + address[1:]), 1, client_id)
        self.set_end(lease, ends, NOW)
        return lease

    def named(self, address: str, asked: str, domain: bytes = LAN, fixed: bool = False) -> Any:
        return self.set_name(self.at(address) or self.make(address), asked, domain, fixed)

    def at(self, address: str) -> Any:
        return self.by_address.get(number(address))

    def events(self) -> list[str]:
        out = []
        for event in self.take_events():
            former = f"/{event.former_name}" if event.former_name else ""
            out.append(f"{event.action} {short(event.lease.address)} {event.name or '*'}{former}")
        return out

    def names(self) -> dict[str, str]:
        return {short(lease.address): lease.name for lease in self.by_address.values()}


def table(limit: int = 100, fqdn: bool = False) -> Table:
    made = Table(limit)
    made.fqdn = fqdn
    return made


def texts(made: Table, offset: float = WALL - NOW) -> list[str]:
    return made.text(offset).decode().splitlines()


# -- who has which ------------------------------------

# Leases: address, client, client-id; then who asks -> which he has.
FOUND: list[tuple[str, list[tuple[str, str, bytes]], list[tuple[str, bytes, str]]]] = [
    ("by hardware address", [(".50", "m1", b"")], [("m1", b"", ".50"), ("m1", b"x", ".50"), ("m2", b"", "-")]),
    ("by client-id, wherever", [(".50", "m1", b"x")], [("m1", b"x", ".50"), ("m2", b"x", ".50"), ("m2", b"y", "-")]),
    ("no client-id in the message", [(".50", "m1", b"x")], [("m1", b"", ".50")]),
    ("another client-id", [(".50", "m1", b"x")], [("m1", b"y", "-")]),
    ("client-id before hardware", [(".50", "m1", b""), (".51", "m2", b"x")], [("m1", b"x", ".51"), ("m1", b"", ".50")]),
    ("two of one hardware", [(".50", "m1", b"x"), (".51", "m1", b"y")],
     [("m1", b"x", ".50"), ("m1", b"y", ".51"), ("m1", b"", ".51"), ("m1", b"z", "-")]),
    ("one with, one without", [(".50", "m1", b"x"), (".51", "m1", b"")], [("m1", b"z", ".51"), ("m1", b"x", ".50")]),
    ("without a hardware address", [(".50", "-", b"x"), (".51", "-", b"")], [("-", b"x", ".50"), ("-", b"", "-")]),
]  # fmt: skip


@pytest.mark.parametrize(("leases", "asked"), [row[1:] for row in FOUND], ids=[row[0] for row in FOUND])
def test_a_client_is_found(leases: list[tuple[str, str, bytes]], asked: list[tuple[str, bytes, str]]) -> None:
    made = table()
    for address, client, client_id in leases:
        made.make(address, client, client_id)
    for client, client_id, expected in asked:
        found = made.find(mac(client), 1, client_id)
        assert (short(found.address) if found else "-") == expected, (client, client_id)


def test_the_type_of_the_hardware_counts() -> None:
    made = table()
    lease = made.make(".50", "m1")
    assert made.find(mac("m1"), 6, b"") is None
    assert made.set_client(lease, mac("m1"), 6, b"")
    assert made.find(mac("m1"), 6, b"") is lease
    assert made.find(mac("m1"), 1, b"") is None


def test_all_leases_of_a_hardware_address_the_latest_first() -> None:
    made = table()
    for address, client_id in ((".50", b"x"), (".51", b"y"), (".52", b"z")):
        made.make(address, "m1", client_id)
    made.remove(made.at(".51"))
    assert [short(lease.address) for lease in made.find_hardware(mac("m1"), 1)] == [".52", ".50"]
    assert made.find_hardware(mac("m2"), 1) == []


# Client, client-id: before, set, after; whether the hardware address changed.
MOVES = [
    (("m1", b""), ("m1", b""), ("m1", b""), False), (("m1", b""), ("m1", b"x"), ("m1", b"x"), False),
    (("m1", b"x"), ("m1", b""), ("m1", b"x"), False), (("m1", b"x"), ("m2", b""), ("m2", b"x"), True),
    (("m1", b"x"), ("m2", b"y"), ("m2", b"y"), True), (("m1", b"x"), ("m1", b"y"), ("m1", b"y"), False),
]  # fmt: skip


@pytest.mark.parametrize(("before", "setting", "after", "moved"), MOVES)
def test_who_has_it_may_change(
    before: tuple[str, bytes], setting: tuple[str, bytes], after: tuple[str, bytes], moved: bool
) -> None:
    made = table()
    lease = made.make(".50", *before)
    serial = made.serial
    assert made.set_client(lease, mac(setting[0]), 1, setting[1]) is moved
    assert (lease.hardware, lease.client_id) == (mac(after[0]), after[1])
    assert (made.serial > serial) is (before != after)
    for client, client_id in {before, after}:
        expected = lease if client == after[0] or (client_id and client_id == after[1]) else None
        assert made.find(mac(client), 1, client_id if client_id == after[1] else b"") is expected


def test_there_are_no_more_than_may_be() -> None:
    made = table(3)
    assert [made.add(address) is not None for address in range(5)] == [True, True, True, False, False]
    made.remove(made.by_address[1])
    assert made.add(7) is not None
    assert made.add(8) is None
    assert len(made) == 3


def test_what_is_removed_is_gone_everywhere() -> None:
    made = table()
    made.make(".50", "m1", b"x")
    made.named(".50", "pc")
    made.remove(made.at(".50"))
    assert len(made) == 0
    assert made.find(mac("m1"), 1, b"x") is None
    assert made.find_hardware(mac("m1"), 1) == []
    assert made._by_name.get(name("pc")) is None
    assert texts(made) == []
    assert made.expired(NOW + 10_000) == []
    assert made.make(".50", "m2").new


# -- time ------------------------------------


@pytest.mark.parametrize(("length", "after", "left"), [
    (3600, 0, 3600), (3600, 1, 3599), (3600, 1.5, 3599), (3600, 3599.5, 1), (3600, 3600, 0), (3600, 4000, 0),
    (p.LEASE_FOR_EVER, 10**7, p.LEASE_FOR_EVER),
])  # fmt: skip
def test_what_is_left(length: int, after: float, left: int) -> None:
    lease = table().make(".50", ends=length)
    assert lease.left(NOW + after) == left
    assert lease.length == length


def test_leases_end_in_their_time() -> None:
    made = table()
    for address, ends in ((".50", 100), (".51", 50), (".52", p.LEASE_FOR_EVER), (".53", 150)):
        made.make(address, ends=ends)
    assert made.expired(NOW + 49.9) == []
    assert [short(lease.address) for lease in made.expired(NOW + 50)] == [".51"]
    made.set_end(made.at(".50"), 200, NOW + 90)  # renewed
    assert made.expired(NOW + 149) == []
    assert [short(lease.address) for lease in made.expired(NOW + 149_000)] == [".53", ".50"]
    assert list(made.by_address) == [number(".52")]


def test_an_end_may_be_taken_away() -> None:
    made = table()
    made.set_end(made.make(".50", ends=100), p.LEASE_FOR_EVER, NOW)
    assert made.expired(NOW + 1000) == []


def test_the_heap_of_ends_does_not_grow_with_renewals() -> None:
    made = table()
    lease = made.make(".50", ends=100)
    for second in range(5000):
        made.set_end(lease, 100, NOW + second)
    assert len(made._ends) < 1100
    assert made.expired(NOW + 5098) == []
    assert made.expired(NOW + 5099) == [lease]


def test_a_machine_that_slept() -> None:
    made = table()
    lease, other = made.make(".50", ends=100), made.make(".51", ends=p.LEASE_FOR_EVER)
    made.pass_time(60)
    assert (lease.left(NOW), other.expires) == (40, None)
    assert made.expired(NOW + 39) == []
    assert made.expired(NOW + 40) == [lease]


# -- names ------------------------------------

# What is set (address, name, F: from the configuration) -> names, who lost his.
SETTINGS: list[tuple[str, list[str], dict[str, str], list[str]]] = [
    ("one", [".50 pc"], {".50": "pc"}, []),
    ("again", [".50 pc", ".50 PC"], {".50": "pc"}, []),
    ("another", [".50 pc", ".50 tv"], {".50": "tv"}, []),
    ("none any more", [".50 pc", ".50 "], {".50": ""}, []),
    ("the second takes over", [".50 pc", ".51 pc"], {".50": "", ".51": "pc"}, [".50"]),
    ("in any case", [".50 pc", ".51 PC"], {".50": "", ".51": "PC"}, [".50"]),
    ("back again", [".50 pc", ".51 pc", ".50 pc"], {".50": "pc", ".51": ""}, [".50", ".51"]),
    ("not from the configuration's", [".50 pc F", ".51 pc"], {".50": "pc", ".51": ""}, []),
    ("the configuration's takes over", [".50 pc", ".51 pc F"], {".50": "", ".51": "pc"}, [".50"]),
    ("two of the configuration", [".50 pc F", ".51 pc F"], {".50": "", ".51": "pc"}, [".50"]),
    ("it becomes the configuration's", [".50 pc", ".50 pc F", ".51 pc"], {".50": "pc", ".51": ""}, []),
    ("who loses keeps nothing of before", [".50 pc F", ".51 tv", ".51 pc"], {".50": "pc", ".51": ""}, []),
    ("a name that became free", [".50 pc", ".50 tv", ".51 pc"], {".50": "tv", ".51": "pc"}, []),
    ("three", [".50 a", ".51 b", ".52 c", ".50 c", ".51 a"], {".50": "c", ".51": "a", ".52": ""}, [".52"]),
]  # fmt: skip


@pytest.mark.parametrize(("settings", "expected", "losers"), [r[1:] for r in SETTINGS], ids=[r[0] for r in SETTINGS])
@pytest.mark.parametrize("domain", [LAN, b""], ids=["domain", "none"])
def test_names(settings: list[str], expected: dict[str, str], losers: list[str], domain: bytes) -> None:
    made, lost = table(), []
    for setting in settings:
        address, asked, *fixed = setting.split(" ")
        loser = made.named(address, asked, domain, bool(fixed))
        lost += [short(loser.address)] if loser is not None else []
    assert (made.names(), lost) == (expected, losers)
    for lease in made.by_address.values():
        if lease.name:
            assert made._by_name.get(name(lease.name.lower())) is lease
    held = {lease.name.lower() for lease in made.by_address.values() if lease.name}
    assert set(made._by_name) == {name(one) for one in held}


def test_wire_names() -> None:
    lease = table().make(".50")
    assert (lease.full_name, lease.bare_name) == (b"", b"")
    lease.name = "pc"
    assert (lease.full_name, lease.bare_name) == (b"", name("pc"))
    lease.domain = LAN
    assert (lease.full_name, lease.bare_name) == (name("pc.lan.test"), name("pc"))


def test_with_dhcp_fqdn_the_domains_are_apart() -> None:
    made, other = table(fqdn=True), name("other.test")
    assert made.named(".50", "pc", LAN) is None
    assert made.named(".51", "pc", other) is None
    assert made.names() == {".50": "pc", ".51": "pc"}
    assert made._by_name.get(name("pc.lan.test")) is made.at(".50")
    loser = made.named(".52", "PC", name("LAN.test"))
    assert loser is made.at(".50")
    assert made._by_name.get(name("pc.other.test")) is made.at(".51")


def test_a_name_without_a_domain_counts_alone_with_dhcp_fqdn() -> None:
    made = table(fqdn=True)
    made.named(".50", "pc", b"")
    assert made.named(".51", "pc", LAN) is None
    assert made.named(".52", "pc", b"") is made.at(".50")


# -- what the script hears ------------------------------------


def test_events_of_a_life() -> None:
    made = table()
    made.named(".50", "pc")
    assert made.events() == ["add .50 pc"]
    assert made.events() == []
    made.set_end(made.at(".50"), 3600, NOW + 9)  # a renewal is no news
    assert made.events() == []
    made.change(made.at(".50"))
    assert made.events() == ["old .50 pc"]
    made.remove(made.at(".50"))
    assert made.events() == ["del .50 pc"]


def test_a_name_that_is_taken_over() -> None:
    made = table()
    made.named(".50", "pc")
    made.events()
    made.named(".51", "pc")
    assert made.events() == ["old .50 */pc", "add .51 pc", "old .50 *"]
    made.named(".50", "tv")
    assert made.events() == ["old .50 tv"]
    made.named(".50", "radio")
    assert made.events() == ["old .50 */tv", "old .50 radio"]


def test_ends_come_first() -> None:
    made = table()
    for address in (".50", ".51", ".52"):
        made.named(address, "n" + address[1:])
    assert made.events() == ["add .50 n50", "add .51 n51", "add .52 n52"]
    made.named(".53", "n51")
    made.remove(made.at(".50"))
    made.change(made.at(".52"))
    assert made.events() == ["del .50 n50", "old .51 */n51", "add .53 n51", "old .51 *", "old .52 n52"]


def test_who_lost_a_name_and_ends_is_told_by_it() -> None:
    made = table()
    made.named(".50", "pc")
    made.events()
    made.named(".51", "pc")
    made.remove(made.at(".50"))
    assert made.events() == ["del .50 pc", "add .51 pc"]


def test_at_start_and_after_a_reload_all_are_told() -> None:
    made = table()
    for address in (".50", ".51", ".52"):
        made.make(address)
    made.events()
    made.change_all()
    assert made.events() == ["old .52 *", "old .51 *", "old .50 *"]


def test_what_a_client_said_is_told_once() -> None:
    made = table()
    lease = made.make(".50")
    lease.known = {"VENDOR_CLASS": "x"}
    assert [event.known for event in made.take_events()] == [{"VENDOR_CLASS": "x"}]
    made.change(lease)
    assert [event.known for event in made.take_events()] == [None]


def test_every_change_counts() -> None:
    made, seen = table(), []
    for step in (
        lambda: made.make(".50"), lambda: made.named(".50", "pc"), lambda: made.set_end(made.at(".50"), 9, NOW),
        lambda: made.change(made.at(".50")), lambda: made.remove(made.at(".50")),
    ):  # fmt: skip
        step()
        seen.append(made.serial)
    assert seen == sorted(set(seen))


# -- the file ------------------------------------

END = int(WALL) + 3600
GOOD = [
    f"{END} 02:aa:00:00:00:01 10.5.0.50 pc *",
    f"{END} 02:aa:00:00:00:02 10.5.0.51 * 01:02:aa:00:00:00:02",
    "0 02:aa:00:00:00:03 10.5.0.52 * *",
    f"{END} 06-00:11:22:33:44:55:66:77 10.5.0.53 ib ff:00",
    f"{END} 20- 10.5.0.54 * ff:61:62",
    f"{END} 01- 10.5.0.55 * 61",
    f"{END} " + ":".join(["ab"] * 16) + " 10.5.0.56 sixteen *",
    f"{END} 02:aa:00:00:00:08 172.16.0.9 elsewhere " + ":".join(["0f"] * 200),
]
OTHERS = [
    "duid 00:01:00:01:2c:00:00:00:02:aa:00:00:00:01",
    f"{END} 1234 fd00::50 six 00:01:00:01:2c:00:00:00:02:aa:00:00:00:02",
    f"{END} T77 fd00::51 * 00:03:00:01:02:aa:00:00:00:03",
]


def lines(*rows: str) -> bytes:
    return "".join(row + "\n" for row in rows).encode()


def read(text: bytes, wall: float = WALL, extras: bool = False) -> tuple[Table, list[bytes]]:
    made = table()
    made.extras = extras
    return made, made.read(text, wall, NOW)


def test_what_was_written_is_read_and_written_the_same() -> None:
    made, bad = read(lines(*GOOD, *OTHERS))
    assert bad == []
    assert texts(made) == GOOD + OTHERS
    again, bad = read(made.text(WALL - NOW))
    assert (bad, texts(again)) == ([], GOOD + OTHERS)


def test_the_newest_stands_first_and_a_renewal_keeps_its_place() -> None:
    made, _ = read(lines(*GOOD))
    made.make(".90", ends=3600)
    made.set_end(made.at(".51"), 7200, NOW)
    rows = [text.split()[2] for text in texts(made)]
    assert rows == ["10.5.0.90", *[row.split()[2] for row in GOOD]]
    assert texts(made)[2].split()[0] == str(END + 3600)


def test_fields_of_a_read_lease() -> None:
    made, _ = read(lines(*GOOD))
    lease = made.at(".53")
    assert (lease.htype, lease.hardware.hex(), lease.client_id, lease.name) == (6, "0011223344556677", b"\xff\0", "ib")
    assert (lease.left(NOW), lease.length, lease.new, lease.changed) == (3600, 3600, False, False)
    assert (made.at(".52").expires, made.at(".52").left(NOW)) == (None, p.LEASE_FOR_EVER)
    assert (made.at(".54").htype, made.at(".54").hardware) == (0x20, b"")
    assert made.find(mac("m2"), 1, b"\1" + mac("m2")) is made.at(".51")
    assert made.find(b"", 1, b"\x61") is made.at(".55")
    assert made.events() == []


BAD = [
    "", " ", "x",
    f"{END} 02:aa:00:00:00:01 10.5.0.50 pc",
    f"{END} 02:aa:00:00:00:01 10.5.0.50 pc * more",
    f"x{END} 02:aa:00:00:00:01 10.5.0.50 pc *",
    "-1 02:aa:00:00:00:01 10.5.0.50 pc *",
    "1800003600.5 02:aa:00:00:00:01 10.5.0.50 pc *",
    "9999999999999 02:aa:00:00:00:01 10.5.0.50 pc *",
    f"{END} 02:aa:00:00:00:0x 10.5.0.50 pc *",
    f"{END} 02:aa::00:00:01 10.5.0.50 pc *",
    f"{END} {':'.join(['ab'] * 17)} 10.5.0.50 pc *",
    f"{END} 1-02:aa:00:00:00:01 10.5.0.50 pc *",
    f"{END} 02:aa:00:00:00:01 10.5.0 pc *",
    f"{END} 02:aa:00:00:00:01 10.5.0.300 pc *",
    f"{END} 02:aa:00:00:00:01 10.5.0.50 p\xe4 *",
    f"{END} 02:aa:00:00:00:01 10.5.0.50 pc 0x",
    f"{END} 02:aa:00:00:00:01 10.5.0.50 pc zz",
    "duid", "duid 00 01", "agent-info 10.5.0.50", "\0\1\2\3",
]  # fmt: skip


@pytest.mark.parametrize("row", BAD)
def test_bad_lines_are_told_and_the_others_count(row: str) -> None:
    made, bad = read(lines(GOOD[1], row, GOOD[2]))
    assert bad == ([row.encode()] if row.strip() else [])
    assert texts(made) == [GOOD[1], GOOD[2]]


@pytest.mark.parametrize("given", ["x" * 64, "x" * 300, "a.b", ".", "-", "a/b"])
def test_a_name_that_no_lease_can_have_harms_nothing(given: str) -> None:
    """Whatever stands there, the names of all leases can be put into DNS afterwards."""
    made, _ = read(lines(f"{END} 02:aa:00:00:00:01 10.5.0.50 {given} *"))
    for lease in list(made.by_address.values()):
        made.set_name(lease, lease.name, LAN, False)
        assert len(lease.bare_name) <= 65
        assert p.dns_name_parse(p.dns_name_format(lease.full_name)) == lease.full_name if lease.name else True


def test_an_address_that_stands_twice() -> None:
    again = f"{END} 02:aa:00:00:00:09 10.5.0.50 tv *"
    made, bad = read(lines(GOOD[0], again))
    assert (texts(made), bad) == ([GOOD[0]], [again.encode()])
    assert made.find(mac("m9"), 1, b"") is None


@pytest.mark.parametrize("text", [b"", b"\n", b"\n\n  \n", b"\0", b"\xff" * 100])
def test_files_without_leases(text: bytes) -> None:
    made, bad = read(text)
    assert (len(made), made.text(0.0)) == (0, b"")
    assert len(bad) == (1 if text.strip() else 0)


def test_other_line_ends() -> None:
    made, bad = read("\r\n".join(GOOD[:3]).encode())
    assert (texts(made), bad) == (GOOD[:3], [])


def test_upper_case_and_single_digits() -> None:
    made, _ = read(lines(f"{END} 2:AA:0:0:0:1 10.5.0.50 PC FF:0A"))
    assert texts(made) == [f"{END} 02:aa:00:00:00:01 10.5.0.50 PC ff:0a"]


EXTRA = [
    f"{END} 02:aa:00:00:00:01 10.5.0.50 pc *", "agent-info 10.5.0.50 01:02:61:62", "vendorclass 10.5.0.50 4d:53",
]  # fmt: skip


def test_what_leasequery_keeps() -> None:
    made, bad = read(lines(*EXTRA), extras=True)
    assert bad == []
    assert (made.at(".50").agent, made.at(".50").vendor_class) == (b"\1\2ab", b"MS")
    assert texts(made) == EXTRA
    made.extras = False
    assert texts(made) == EXTRA[:1]


@pytest.mark.parametrize("row", ["agent-info 10.5.0.99 01", "agent-info x 01", "agent-info 10.5.0.50 zz",
                                 "vendorclass fd00::1 01", "agent-info 10.5.0.50 *"])  # fmt: skip
def test_extras_of_nobody(row: str) -> None:
    made, bad = read(lines(EXTRA[0], row), extras=True)
    assert (texts(made), bad) == (EXTRA[:1], [])


# Seconds: of the wall clock when it was read and when it is written, both with the monotonic clock at NOW.
@pytest.mark.parametrize(("read_at", "written_at", "expected"), [
    (WALL, WALL, END), (WALL, WALL + 1000, END + 1000), (WALL, WALL - 1000, END - 1000), (WALL + 600, WALL, END - 600),
    (WALL + 0.4, WALL + 0.4, END),
])  # fmt: skip
def test_the_wall_clock_is_only_in_the_file(read_at: float, written_at: float, expected: int) -> None:
    made, _ = read(lines(GOOD[0]), read_at)
    assert texts(made, written_at - NOW)[0].split()[0] == str(expected)
    assert texts(made, WALL + 5 - NOW)[0] != texts(made, WALL - NOW)[0]


def test_lines_are_kept_until_something_changes() -> None:
    made, _ = read(lines(*GOOD))
    made.text(WALL - NOW)
    before = [lease.line for lease in made.by_address.values()]
    assert None not in before
    made.text(WALL - NOW + 0.0004)  # two clocks are never read at one moment
    assert all(a is b for a, b in zip(before, (lease.line for lease in made.by_address.values()), strict=True))
    made.named(".51", "tv")
    assert texts(made)[1] == GOOD[1].replace(" * ", " tv ")


# The present, when the file was written -> which counts.
FLOOR = p.CLOCK_FLOOR
TIMES = [
    (WALL, WALL - 1000, WALL), (WALL, WALL, WALL), (WALL, WALL + 1000, WALL + 1000), (100.0, WALL, WALL),
    (WALL, 100.0, 100.0), (200.0, 100.0, 200.0), (100.0, 200.0, 200.0), (FLOOR + 1.0, FLOOR - 1.0, FLOOR - 1.0),
    (FLOOR + 2.0, FLOOR + 1.0, FLOOR + 2.0),
]  # fmt: skip


@pytest.mark.parametrize(("wall", "written", "expected"), TIMES)
def test_the_time_by_which_a_file_is_read(wall: float, written: float, expected: float) -> None:
    assert p.leases_reference_time(wall, written) == expected


def test_a_router_that_wakes_in_1970() -> None:
    written = WALL
    made, _ = read(lines(GOOD[0]), p.leases_reference_time(60.0, written))
    assert made.at(".50").left(NOW) == 3600


def test_any_file_is_read() -> None:
    dice = random.Random(43)
    whole = lines(*GOOD, *OTHERS, *EXTRA)
    for _ in range(1500):
        out = bytearray(whole)
        for _ in range(dice.randrange(12)):
            at = dice.randrange(len(out))
            out[at : at + dice.randrange(3)] = dice.choice((b"", b" ", b"\n", b":", b"*", b"\xff", b"0", b"f"))
        made, bad = read(bytes(out[: dice.randrange(len(out))]), extras=True)
        text = made.text(WALL - NOW)
        again, worse = read(text, extras=True)
        assert worse == []
        assert again.text(WALL - NOW) == text
        assert all(line in bytes(out) for line in bad)


def test_any_life_leaves_the_indexes_right() -> None:
    dice = random.Random(44)
    made, now = table(40), NOW
    for _ in range(4000):
        now += dice.random() * 5
        made.expired(now)
        address = f".{dice.randrange(50, 70)}"
        lease = made.at(address)
        step = dice.randrange(6)
        if lease is None:
            made.make(address, f"m{dice.randrange(15)}", dice.choice((b"", address.encode())))
        elif step == 0:
            made.remove(lease)
        elif step in (1, 2):
            made.set_name(lease, dice.choice(("", "a", "B", "b", "c")), dice.choice((LAN, b"")), dice.random() < 0.3)
        elif step == 3:
            made.set_end(lease, dice.choice((5, 30, p.LEASE_FOR_EVER)), now)
        elif step == 4:
            made.set_client(lease, mac(f"m{dice.randrange(15)}"), 1, b"")
        else:
            made.take_events()
        leases = list(made.by_address.values())
        names = [one.name.lower() for one in leases if one.name]
        assert len(names) == len(set(names))
        assert set(map(id, made._by_name.values())) == {id(one) for one in leases if one.name}
        assert sum(map(len, made._by_hardware.values())) == len(leases)
        assert {id(one) for one in made._by_client.values()} == {id(one) for one in leases if one.client_id}
    assert len(read(made.text(WALL - NOW))[0]) == len(made)
