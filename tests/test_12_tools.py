"""Section 12: the record decorator, complaints, names of interfaces, durations."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest

import pydnsmasq
from pydnsmasq import Complaints, duration_format, name_matches, record


@record
class Pair:
    """Two things."""

    left: int
    right: str = "r"

    LIMIT = 7

    @property
    def both(self) -> str:
        return f"{self.left}{self.right}"

    @classmethod
    def zero(cls) -> Pair:
        return cls(0)

    @staticmethod
    def fixed() -> int:
        return 3


@record
class Twin:
    left: int
    right: str = "r"


@record
class Loud:
    """Keeps its own repr and equality."""

    value: int

    def __repr__(self) -> str:
        return "Loud!"

    def __eq__(self, other: object) -> bool:
        return True

    __hash__ = None  # type: ignore[assignment]


@record
class Empty:
    """No field at all."""


@record
class AllDefaults:
    """Only defaults."""

    a: tuple[int, ...] = ()
    b: bytes = b""
    c: int | None = None


MADE = [
    (lambda: Pair(1), "Pair(left=1, right='r')"),
    (lambda: Pair(1, "x"), "Pair(left=1, right='x')"),
    (lambda: Pair(1, right="x"), "Pair(left=1, right='x')"),
    (lambda: Pair(right="x", left=2), "Pair(left=2, right='x')"),
    (lambda: Pair(left=2), "Pair(left=2, right='r')"),
    (lambda: Pair.zero(), "Pair(left=0, right='r')"),
    (lambda: Empty(), "Empty()"),
    (lambda: AllDefaults(), "AllDefaults(a=(), b=b'', c=None)"),
    (lambda: AllDefaults(b=b"x"), "AllDefaults(a=(), b=b'x', c=None)"),
    (lambda: Loud(1), "Loud!"),
]

REFUSED = [
    (lambda: Pair(), "Pair needs left"),
    (lambda: Pair(right="x"), "Pair needs left"),
    (lambda: Pair(1, "x", 3), "Pair takes 2 fields, not 3"),
    (lambda: Pair(1, middle=3), "Pair has no field middle"),
    (lambda: Pair(1, left=3), "Pair has no field left"),
    (lambda: Empty(1), "Empty takes 0 fields, not 1"),
    (lambda: Empty(a=1), "Empty has no field a"),
]


@pytest.mark.parametrize(("make", "text"), MADE, ids=[text for _, text in MADE])
def test_record_is_made_and_shown(make: Any, text: str) -> None:
    assert repr(make()) == text


@pytest.mark.parametrize(("make", "text"), REFUSED)
def test_record_refuses_what_does_not_fit(make: Any, text: str) -> None:
    with pytest.raises(TypeError) as caught:
        make()
    assert str(caught.value) == text


def test_record_keeps_what_the_class_had() -> None:
    assert Pair.__name__ == "Pair"
    assert Pair.__qualname__ == "Pair"
    assert Pair.__module__ == __name__
    assert Pair.__doc__ == "Two things."
    assert Pair.LIMIT == 7
    assert Pair(4, "x").both == "4x"
    assert Pair.fixed() == 3
    assert isinstance(Pair(1), Pair)


def test_record_is_slotted() -> None:
    pair = Pair(1)
    assert not hasattr(pair, "__dict__")
    with pytest.raises(AttributeError):
        pair.middle = 1  # type: ignore[attr-defined]
    pair.left = 5
    assert pair == Pair(5)


def test_record_equality_is_by_type_and_fields() -> None:
    assert Pair(1, "a") == Pair(1, "a")
    assert Pair(1, "a") != Pair(2, "a")
    assert Pair(1, "a") != Pair(1, "b")
    assert Pair(1) != Twin(1)
    assert Pair(1) != (1, "r")
    assert Loud(1) == Loud(2)
    assert Empty() == Empty()


def test_record_with_equality_has_no_hash() -> None:
    with pytest.raises(TypeError):
        hash(Pair(1))


def test_records_do_not_share_what_they_hold() -> None:
    one, two = Pair(1), Pair(2)
    one.right = "changed"
    assert two.right == "r"
    assert Pair(3).right == "r"


def test_record_can_be_copied() -> None:
    pair = Pair(1, "x")
    assert copy.copy(pair) == pair
    assert copy.copy(pair) is not pair
    assert pickle.loads(pickle.dumps(pair)) == pair


def program_records() -> list[type]:
    """The records that the program itself is made of."""
    return [
        kind
        for kind in vars(pydnsmasq).values()
        if isinstance(kind, type)
        and kind.__module__ == "pydnsmasq"
        and issubclass(kind, pydnsmasq._Record)
        and kind is not pydnsmasq._Record
    ]


def test_the_program_is_made_of_records() -> None:
    assert len(program_records()) > 20


@pytest.mark.parametrize("kind", program_records(), ids=lambda kind: kind.__name__)
def test_every_record_of_the_program(kind: Any) -> None:
    names = kind.__slots__
    assert names == tuple(kind.__annotations__)
    marks = [object() for _ in names]
    item = kind(*marks)
    assert [getattr(item, name) for name in names] == marks
    assert kind(**dict(zip(names, marks, strict=True))) == item
    assert kind.__doc__
    with pytest.raises(TypeError):
        kind(*marks, None)
    if names:
        assert kind(*marks[:-1], object()) != item


# Defaults are shared by all, so they must not be of a kind that changes.
@pytest.mark.parametrize("kind", program_records(), ids=lambda kind: kind.__name__)
def test_defaults_cannot_change(kind: Any) -> None:
    needed = 0
    while True:
        try:
            item = kind(*[None] * needed)
            break
        except TypeError:
            needed += 1
    for name in kind.__slots__[needed:]:
        assert not isinstance(getattr(item, name), (list, dict, set, bytearray)), name


# -- complaints ------------------------------------------------------------------

# time, key, how many to report; the pause is five seconds.
COMPLAINTS = """
100.0  a  1
100.1  a  0
100.2  b  1
104.9  a  0
105.0  a  3
105.1  b  0
105.2  b  2
109.9  a  0
110.0  a  2
200.0  a  1
200.0  a  0
199.0  a  0
300.0  a  3
"""


def test_complaints_by_the_clock() -> None:
    complaints = Complaints(5.0)
    for line in COMPLAINTS.split("\n"):
        if line:
            now, key, count = line.split()
            assert complaints.due(key, float(now)) == int(count), line


def test_complaints_never_lose_a_count() -> None:
    complaints = Complaints(5.0)
    assert sum(complaints.due("x", now / 10) for now in range(501)) == 501


def test_complaints_are_bounded_and_new_keys_are_heard() -> None:
    complaints = Complaints(5.0)
    assert [complaints.due(("flood", number), 0.0) for number in range(10_000)] == [1] * 10_000
    assert len(complaints._seen) <= 256


def test_complaints_default_pause() -> None:
    complaints = Complaints()
    assert complaints.due("k", 0.0) == 1
    assert complaints.due("k", pydnsmasq.COMPLAINT_SECONDS - 0.01) == 0
    assert complaints.due("k", pydnsmasq.COMPLAINT_SECONDS) == 2


# -- durations -------------------------------------------------------------------

DURATIONS = {
    0: "0s", 1: "1s", 59: "59s", 60: "1m", 61: "1m1s", 119: "1m59s", 3599: "59m59s", 3600: "1h", 3601: "1h1s",
    3150: "52m30s", 5400: "1h30m", 86_399: "23h59m59s", 86_400: "1d", 172_800: "2d", 90_061: "1d1h1m1s",
    604_800: "7d", 0xFFFFFFFE: "49710d6h28m14s",
}  # fmt: skip


@pytest.mark.parametrize(("seconds", "text"), DURATIONS.items())
def test_duration(seconds: int, text: str) -> None:
    assert duration_format(seconds) == text


def test_durations_differ_and_add_up() -> None:
    sizes = {"d": 86_400, "h": 3600, "m": 60, "s": 1}
    for seconds in [*range(0, 200_000, 37), *range(7200)]:
        text, total, number = duration_format(seconds), 0, ""
        for char in text:
            if char.isdigit():
                number += char
            else:
                total += int(number) * sizes[char]
                number = ""
        assert total == seconds, text


@pytest.mark.parametrize(("pattern", "name", "matches"), [
    ("eth0", "eth0", True), ("eth0", "eth1", False), ("eth0", "eth00", False), ("eth0", "", False),
    ("eth*", "eth0", True), ("eth*", "eth", True), ("eth*", "et", False), ("eth*", "veth0", False), ("*", "", True),
    ("*", "lo", True), ("e*0", "eth0", False), ("e*0", "e*0", True), ("eth**", "eth*1", True), ("eth**", "eth1", False),
    ("", "", True), ("", "x", False), ("Eth*", "eth0", False),
])  # fmt: skip
def test_names_of_interfaces(pattern: str, name: str, matches: bool) -> None:
    assert name_matches(pattern, name) is matches
