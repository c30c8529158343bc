"""Section 14: the bounded reader."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest

from packets import octets
from pydnsmasq import WireError, WireReader

DATA = octets("00 01 02 03 04 05 06 07 80 ff")

# steps on DATA, what the last gives, where it stands then.
STEPS: list[tuple[str, Any, int]] = [
    ("u8", 0, 1),
    ("u8 u8 u8", 2, 3),
    ("u16", 1, 2),
    ("u16 u16", 0x0203, 4),
    ("u8 u16", 0x0102, 3),
    ("u32", 0x00010203, 4),
    ("u32 u32", 0x04050607, 8),
    ("u32 u32 u16", 0x80FF, 10),
    ("u32 u32 u8 u8", 0xFF, 10),
    ("take:0", b"", 0),
    ("take:3", b"\0\1\2", 3),
    ("take:10", DATA, 10),
    ("take:10 take:0", b"", 10),
    ("take:4 left", 6, 4),
    ("take:10 left", 0, 10),
    ("take:10 finish", None, 10),
]

REFUSED = [
    "take:11", "take:-1", "take:5 take:6", "take:10 u8", "take:9 u16", "take:7 u32", "take:10 take:1", "finish",
    "take:9 finish", "within:11", "within:-1", "take:10 within:1", "take:2 take:-2",
]  # fmt: skip


def run(reader: WireReader, steps: str) -> Any:
    result = None
    for step in steps.split():
        name, _, number = step.partition(":")
        method: Callable[..., Any] = getattr(reader, name)
        result = method(int(number)) if number else method()
    return result


@pytest.mark.parametrize(("steps", "result", "pos"), STEPS)
def test_steps(steps: str, result: Any, pos: int) -> None:
    reader = WireReader(DATA)
    assert run(reader, steps) == result
    assert reader.pos == pos


@pytest.mark.parametrize("steps", REFUSED)
def test_steps_past_the_end(steps: str) -> None:
    with pytest.raises(WireError):
        run(WireReader(DATA), steps)


@pytest.mark.parametrize("steps", ["take:11", "u8 u8 take:9", "take:9 u16", "take:8 u32", "take:1 within:10"])
def test_a_refused_step_moves_nothing(steps: str) -> None:
    reader = WireReader(DATA)
    *before, last = steps.split()
    run(reader, " ".join(before))
    pos = reader.pos
    with pytest.raises(WireError):
        run(reader, last)
    assert reader.pos == pos


@pytest.mark.parametrize(("pos", "end"), [(0, 0), (0, 10), (10, 10), (3, 7), (5, 5), (0, None), (10, None)])
def test_ranges(pos: int, end: int | None) -> None:
    reader = WireReader(DATA, pos, end)
    assert reader.left() == (10 if end is None else end) - pos
    assert reader.take(reader.left()) == DATA[pos:end]
    reader.finish()
    with pytest.raises(WireError):
        reader.u8()


@pytest.mark.parametrize(("pos", "end"), [(-1, 5), (0, 11), (6, 5), (11, None), (11, 11), (-1, None), (3, -1)])
def test_ranges_outside(pos: int, end: int | None) -> None:
    with pytest.raises(WireError):
        WireReader(DATA, pos, end)


def test_within_is_a_fence() -> None:
    outer = WireReader(DATA, 1, 9)
    inner = outer.within(4)
    assert (outer.pos, inner.pos, inner.end) == (5, 1, 5)
    assert inner.u16() == 0x0102
    with pytest.raises(WireError):
        inner.finish()
    with pytest.raises(WireError):
        inner.take(3)
    assert inner.u16() == 0x0304
    inner.finish()
    assert outer.u8() == 5
    nested = outer.within(3).within(3).within(2)
    assert nested.take(2) == b"\6\7"
    nested.finish()
    outer.finish()


def test_within_nothing() -> None:
    outer = WireReader(b"")
    inner = outer.within(0)
    inner.finish()
    outer.finish()


def test_fields_are_unsigned() -> None:
    reader = WireReader(b"\xff" * 7)
    assert (reader.u8(), reader.u16(), reader.u32()) == (255, 65535, 0xFFFFFFFF)


def test_random_walks_never_leave_the_range() -> None:
    rng = random.Random(14)
    refused = 0
    for _ in range(5000):
        data = rng.randbytes(rng.randrange(12))
        start = rng.randrange(len(data) + 1)
        end = rng.randrange(start, len(data) + 1)
        stack = [WireReader(data, start, end)]
        while stack:
            reader = stack[-1]
            pos, size = reader.pos, rng.randrange(-1, 6)
            step = rng.choice(("take", "u8", "u16", "u32", "within", "finish"))
            try:
                if step == "take":
                    assert reader.take(size) == data[pos : pos + size]
                elif step == "within":
                    stack.append(reader.within(size))
                elif step == "finish":
                    stack.pop().finish()
                else:
                    width = {"u8": 1, "u16": 2, "u32": 4}[step]
                    assert getattr(reader, step)() == int.from_bytes(data[pos : pos + width], "big")
            except WireError:
                refused += 1
                break
            assert start <= reader.pos <= reader.end <= end
    assert refused > 1000
