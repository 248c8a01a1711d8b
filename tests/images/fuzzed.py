"""Broken files without end: those of the zoo with bytes changed, cut off or taken from another; seeded."""

import random
from collections.abc import Iterator
from pathlib import Path

from images import zoo

_EDGES = (0, 1, 0x7FFF, 0x8000, 0xFFFF, 60_000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)  # where sizes and offsets overflow


def fuzzed_files(count: int, *, seed: int) -> Iterator[tuple[str, bytes]]:
    """Name and content of broken files, of every kind in the zoo in turn; some happen to be whole."""
    dice = random.Random(seed)
    whole = [specimen for specimen in zoo.specimens() if not specimen.reason]
    dice.shuffle(whole)
    for number in range(count):
        specimen = whole[number % len(whole)]
        damage = dice.choice((_change_head, _change_bytes, _overflow, _cut, _splice))
        content = damage(bytearray(specimen.content), dice.choice(whole).content, dice)
        yield f"{number}-{Path(specimen.name).name[-40:]}", bytes(content)


def _change_head(content: bytearray, _: bytes, dice: random.Random) -> bytearray:
    for _ in range(dice.randrange(1, 20)):
        content[dice.randrange(min(len(content), 400))] = dice.choice((0, 1, 127, 128, 255, dice.randrange(256)))
    return content


def _change_bytes(content: bytearray, _: bytes, dice: random.Random) -> bytearray:
    for _ in range(dice.randrange(1, 60)):
        content[dice.randrange(len(content))] = dice.randrange(256)
    return content


def _overflow(content: bytearray, _: bytes, dice: random.Random) -> bytearray:
    at, length = dice.randrange(len(content)), dice.choice((2, 4))
    value = dice.choice(_EDGES) % 256**length
    content[at : at + length] = value.to_bytes(length, dice.choice(("big", "little")))
    return content


def _cut(content: bytearray, _: bytes, dice: random.Random) -> bytearray:
    return content[: dice.randrange(1, len(content))]


def _splice(content: bytearray, other: bytes, dice: random.Random) -> bytearray:
    at, start = dice.randrange(len(content)), dice.randrange(len(other))
    piece = other[start : dice.randrange(start, len(other)) + 1]
    return content[:at] + piece + (content[at:] if dice.random() < 0.5 else b"")
