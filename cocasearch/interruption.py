"""Ctrl-C at a moment that suits: what must change together is changed together or not at all."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def uninterrupted() -> Iterator[None]:
    """A block that a Ctrl-C does not cut in two: it takes effect when the block is done."""
    handler = signal.getsignal(signal.SIGINT)
    # Signals reach the main thread alone, and there is nothing to hold back where they are ignored.
    if not callable(handler) or threading.current_thread() is not threading.main_thread():
        yield
        return
    arrived: list[tuple[int, FrameType | None]] = []
    signal.signal(signal.SIGINT, lambda number, frame: arrived.append((number, frame)))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)
    for number, frame in arrived[:1]:
        handler(number, frame)
