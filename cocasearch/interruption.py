"""Ctrl-C and SIGTERM, held back until a moment at which a job may end.

What must change together is then changed together or not at all.
"""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

_ENDING: tuple[int, ...] = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def uninterrupted() -> Iterator[None]:
    """A block that Ctrl-C and a handled SIGTERM do not interrupt: they take effect when it is done."""
    # Signals reach the main thread alone, and there is nothing to hold back where they are ignored.
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handlers = {n: handler for n in _ENDING if callable(handler := signal.getsignal(n))}
    arrived: list[tuple[int, FrameType | None]] = []
    for number in handlers:
        signal.signal(number, lambda number, frame: arrived.append((number, frame)))
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    for number, frame in arrived[:1]:
        handlers[number](number, frame)


@contextmanager
def stopping(*, at_once: bool) -> Iterator[Callable[[], bool]]:
    """A block that SIGTERM ends as Ctrl-C does, and a function that says whether it was asked to end.

    Args:
        at_once: Raise KeyboardInterrupt as soon as the signal arrives. Otherwise the block goes on and ends itself
            when it can; if it fails, signals have no effect from then on, so that the reason can be reported.
    """
    asked: list[int] = []

    def note(number: int, _frame: FrameType | None) -> None:
        asked.append(number)
        if at_once:
            raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    # A job that ignores Ctrl-C, as one that a shell runs in the background, goes on ignoring it.
    numbers = [n for n in _ENDING[at_once:] if signal.getsignal(n) is not signal.SIG_IGN]  # at once Ctrl-C is as it is
    before = {number: signal.signal(number, note) for number in numbers}
    has_failed = False
    try:
        yield lambda: bool(asked)
    except Exception:
        has_failed = True
        raise
    finally:
        for number, handler in {} if has_failed and not at_once else before.items():
            signal.signal(number, handler)
