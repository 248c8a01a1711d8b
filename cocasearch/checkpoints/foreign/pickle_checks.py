"""A check of pickled weights before they are read, for what reading them would take in time and memory.

`weights_only` keeps a file from running anything; it does not keep a few bytes from filling the memory, or a tuple of
tuples of tuples from being hashed for hours.
"""

import pickletools
import warnings
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import IO, Any

from cocasearch.errors import CocaSearchError

MOST_BYTES = 4_000_000  # the names and shapes of ten thousand tensors take half of that
_MOST_HASHED = 10_000_000
_DEEPEST = 100
# What torch allows and no weights need: each makes much out of little.
_GROWING = {"builtins bytearray", "__builtin__ bytearray", "_codecs encode", "collections Counter"}


_ATOM = (1, 0)
"""The cost of hashing an object: steps in all, and steps within each other."""


def _operations(stream: IO[bytes]) -> Iterator[tuple[pickletools.OpcodeInfo, Any, int | None]]:
    """The operations of a pickle; what Python thinks of escapes in damaged text is no matter of its reader."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        yield from pickletools.genops(stream)


def refuse_slow_pickle(file: Path, stream: IO[bytes]) -> None:
    """Make sure that the pickle that begins at the stream's position can be read in reasonable time and space.

    Raises:
        CocaSearchError: It may take too much.
        ValueError, IndexError: It is not a pickle.
    """
    stack: list[tuple[int, int] | None] = []  # None is a mark
    memo: dict[object, tuple[int, int] | None] = {}
    begin, fetched = stream.tell(), 0
    for operation, argument, position in _operations(stream):
        name, made = operation.name, _ATOM
        if "PUT" in name:
            memo[argument] = stack[-1]
            continue
        if "GET" in name:
            made = memo.get(argument) or _ATOM
            fetched += made[0]
        count, to_mark, leaves = _effect(operation)
        taken = []
        while to_mark and (top := stack.pop()) is not None:
            taken.append(top)
        for _ in range(count):
            taken.append(stack.pop() or _ATOM)
        if name.startswith("TUPLE"):
            made = 1 + sum(steps for steps, _ in taken), 1 + max((depth for _, depth in taken), default=0)
        is_slow = fetched > _MOST_HASHED or made[1] > _DEEPEST or (position or 0) - begin > MOST_BYTES
        if is_slow or (name == "GLOBAL" and argument in _GROWING):
            raise CocaSearchError(f"{file} is not loaded: it would take more time or memory than any weights do")
        stack += [made if is_object else None for is_object in leaves]


@cache
def _effect(operation: pickletools.OpcodeInfo) -> tuple[int, bool, list[bool]]:
    """The number of objects that an operation takes, whether it takes all down to a mark, and what it leaves."""
    before, leaves = operation.stack_before, [kind is not pickletools.markobject for kind in operation.stack_after]
    count = sum(kind not in (pickletools.stackslice, pickletools.markobject) for kind in before)
    return count, pickletools.stackslice in before, leaves
