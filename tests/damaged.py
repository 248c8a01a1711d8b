"""Damaged copies of a file without end, seeded: what disks, half downloads and people who mean harm make of it."""

import json
import random
from collections.abc import Callable, Iterator
from typing import Any

_ODD_VALUES: list[Any] = [
    None, True, -1, 0, 2**63, 10**300, 1e308, 0.5, "", "x" * 5_000, "\ud800", "../../x", [], {}, [[]], [None], {"x": 1},
]  # fmt: skip
_ODD_JSON = ["NaN", "-Infinity", "1e999", "9" * 5_000, "[" * 100_000, '{"a":' * 100_000, "[" * 900 + "]" * 900, '"\\ud800"']


def damaged_copies(whole: bytes, count: int, seed: int) -> Iterator[bytes]:
    """Copies with bytes changed, cut off, or, where the file is JSON or lines of it, with other values in it."""
    dice = random.Random(seed)
    yield b""
    damages: list[Callable[[bytes, random.Random], bytes]] = [_cut, _change, _insert]
    if whole.lstrip()[:1] in (b"{", b"["):
        damages += [_other_value, _other_value, _odd_json, _odd_json]
    for _ in range(count - 1):
        yield dice.choice(damages)(whole, dice)


def _cut(whole: bytes, dice: random.Random) -> bytes:
    return whole[: dice.randrange(len(whole))]


def _change(whole: bytes, dice: random.Random) -> bytes:
    content = bytearray(whole)
    for _ in range(dice.randrange(1, 20)):
        content[dice.randrange(len(content))] = dice.choice((0, 9, 10, 34, 92, 127, 255, dice.randrange(256)))
    return bytes(content)


def _insert(whole: bytes, dice: random.Random) -> bytes:
    at = dice.randrange(len(whole))
    return whole[:at] + dice.choice((dice.randbytes(50), b"9" * 5_000, b"[" * 50_000, b"\n", b"\t", b",")) + whole[at:]


def _other_value(whole: bytes, dice: random.Random) -> bytes:
    return _with(whole, dice, json.dumps(dice.choice(_ODD_VALUES)))


def _odd_json(whole: bytes, dice: random.Random) -> bytes:
    return _with(whole, dice, dice.choice(_ODD_JSON))


def _with(whole: bytes, dice: random.Random, value: str) -> bytes:
    """A document, or one line of several, with one value in it replaced, or all of it."""
    text = whole.decode()
    try:
        documents = [json.loads(text)]
    except ValueError:
        documents = [json.loads(line) for line in text.splitlines() if line]
    at = dice.randrange(len(documents))
    documents[at] = _replaced(documents[at], dice)
    return "\n".join(json.dumps(document) for document in documents).replace(json.dumps(_MARK), value).encode()


_MARK = "<the value that is replaced>"


def _replaced(value: Any, dice: random.Random) -> Any:
    if isinstance(value, dict | list) and value and dice.random() < 0.9:
        keys: list[Any] = list(value) if isinstance(value, dict) else list(range(len(value)))
        key = dice.choice(keys)
        changed = dict(value) if isinstance(value, dict) else list(value)
        changed[key] = _replaced(value[key], dice)
        return changed
    return _MARK
