"""Packets for the codec tests: readable hex, and seeded damage to good packets."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from pydnsmasq import WireError

# Octets that mean something to some protocol: lengths at their edges, pointers, all ones.
SPECIAL = (0, 1, 2, 3, 0x0C, 0x29, 0x3F, 0x40, 0x7F, 0x80, 0xBF, 0xC0, 0xC1, 0xFE, 0xFF)


def octets(text: str) -> bytes:
    """Read hex with blanks and `#` comments; a word `'abc` is its length and its letters.

    `word*N` repeats a word N times.
    """
    out = bytearray()
    for line in text.splitlines():
        for item in line.partition("#")[0].split():
            word, times = re.fullmatch(r"(.+?)(?:\*(\d+))?", item).groups()  # type: ignore[union-attr]
            piece = bytes([len(word) - 1]) + word[1:].encode("latin-1") if word[0] == "'" else bytes.fromhex(word)
            out += piece * int(times or 1)
    return bytes(out)


def captures(text: str) -> dict[str, tuple[bytes, list[str]]]:
    """Read blocks `== title`, octets, `--`, lines of text."""
    out = {}
    for block in text.split("\n== ")[1:]:
        title, _, rest = block.partition("\n")
        wire, _, lines = rest.partition("\n--\n")
        out[title] = octets(wire), [line.strip() for line in lines.splitlines() if line.strip()]
    return out


def _flip(packet: bytearray, rng: random.Random, others: Sequence[bytes]) -> None:
    packet[rng.randrange(len(packet))] ^= 1 << rng.randrange(8)


def _special(packet: bytearray, rng: random.Random, others: Sequence[bytes]) -> None:
    packet[rng.randrange(len(packet))] = rng.choice(SPECIAL)


def _point(packet: bytearray, rng: random.Random, others: Sequence[bytes]) -> None:
    at = rng.randrange(len(packet))
    packet[at : at + 2] = (0xC000 | rng.randrange(min(len(packet), 0x4000))).to_bytes(2, "big")


def _cut(packet: bytearray, rng: random.Random, others: Sequence[bytes]) -> None:
    del packet[rng.randrange(len(packet)) :]


def _drop(packet: bytearray, rng: random.Random, others: Sequence[bytes]) -> None:
    at = rng.randrange(len(packet))
    del packet[at : at + rng.randrange(1, 9)]


def _insert(packet: bytearray, rng: random.Random, others: Sequence[bytes]) -> None:
    at = rng.randrange(len(packet))
    packet[at:at] = rng.randbytes(rng.randrange(1, 9))


def _splice(packet: bytearray, rng: random.Random, others: Sequence[bytes]) -> None:
    other = rng.choice(others)
    packet[rng.randrange(len(packet)) :] = other[rng.randrange(len(other)) :]


_DAMAGES = (_flip, _special, _special, _point, _point, _cut, _drop, _insert, _splice)


def damaged(samples: Sequence[bytes], count: int, seed: int) -> Iterator[bytes]:
    """Give `count` packets, each a sample with one to four damages; the same for the same seed."""
    rng = random.Random(seed)
    for _ in range(count):
        packet = bytearray(rng.choice(samples))
        for _ in range(rng.randrange(1, 5)):
            if packet:
                rng.choice(_DAMAGES)(packet, rng, samples)
        yield bytes(packet)


def noise(count: int, longest: int, seed: int) -> Iterator[bytes]:
    """Give `count` packets of nothing but random octets."""
    rng = random.Random(seed)
    for _ in range(count):
        yield rng.randbytes(rng.randrange(longest + 1))


def check_total(unpack: Callable[[bytes], Any], packets: Iterable[bytes]) -> tuple[int, int]:
    """Unpack every packet: a value or WireError, nothing else; give how many of each."""
    values = errors = 0
    for packet in packets:
        try:
            unpack(packet)
            values += 1
        except WireError:
            errors += 1
        except Exception as error:
            raise AssertionError(f"{error!r} for {packet.hex()}") from error
    return values, errors


class CountedBytes(bytes):
    """Octets that count how often they are read, so that loops are found without a clock."""

    reads = 0

    def __getitem__(self, key: Any) -> Any:
        self.reads += 1
        return bytes.__getitem__(self, key)
