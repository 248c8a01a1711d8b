"""The memory that images take while they are decoded, shared by all threads of the process."""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Condition

from cocasearch.images.decode_limits import BYTES_IN_FLIGHT


class MemoryBudget:
    """So many bytes; who needs some waits until enough of them are free.

    Args:
        size: Bytes. What needs as many or more has all of them, and is alone.
    """

    def __init__(self, size: int) -> None:
        self._size, self._free, self._freed = size, size, Condition()

    @contextmanager
    def taking(self, size: int) -> Iterator[None]:
        """A block that needs `size` bytes. A thread that is in one must not enter another."""
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
"""That of all images in the process."""
