"""A list that keeps its items compressed in memory, in a tenth of the room, and can only be gone through in order."""

import pickle
import zlib
from collections.abc import Iterable, Iterator
from typing import Generic, TypeVar

T = TypeVar("T")

_ITEMS_PER_GROUP = 1_024


class CompressedList(Generic[T]):
    """A list whose items are compressed in groups, and unpacked whenever it is gone through.

    Args:
        items: The first items.
    """

    def __init__(self, items: Iterable[T] = ()) -> None:
        self._compressed: list[bytes] = []
        self._last: list[T] = []
        for item in items:
            self.append(item)

    def __len__(self) -> int:
        return len(self._compressed) * _ITEMS_PER_GROUP + len(self._last)

    def __iter__(self) -> Iterator[T]:
        for group in self._compressed:
            yield from pickle.loads(zlib.decompress(group))
        yield from self._last

    def append(self, item: T) -> None:
        """Add an item, of a type that can be pickled, at the end."""
        self._last.append(item)
        if len(self._last) == _ITEMS_PER_GROUP:
            self._compressed.append(zlib.compress(pickle.dumps(self._last), 1))
            self._last = []
