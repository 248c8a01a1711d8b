"""A limit on the memory of images that are being decoded, shared by all threads of the process."""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Condition

from cocasearch.images.decode_limits import BYTES_IN_FLIGHT


class MemoryBudget:
    """A number of bytes that threads take from; one that needs more than are free waits.

    Args:
        size: Bytes in all. Whoever needs as many or more gets all of them, and works alone.
    """

    def __init__(self, size: int) -> None:
        self._size, self._free, self._freed = size, size, Condition()

    @contextmanager
    def taking(self, size: int) -> Iterator[None]:
        """Hold `size` bytes during a block. A thread that is in one must not enter another."""
        taken = min(size, self._size)
        with self._freed:
            self._freed.wait_for(lambda: self._free >= taken)
            self._free -= taken
        try:
            yield
        finally:
            with self._freed:
                self._free += taken
                self._freed.notify_all()


DECODING = MemoryBudget(BYTES_IN_FLIGHT)
"""The budget of all images in the process."""
