"""Work on many things at once that one of them can make fail: that one is found, and costs nothing but itself."""

from collections.abc import Callable

from cocasearch.errors import CocaSearchError

Faults = list[tuple[int, Exception]]
"""Positions of what is at fault, each with the error that it leads to."""


def do_without_faulty(count: int, work: Callable[[range], None]) -> Faults:
    """Do `work` on all positions below `count`; where it fails, on either half, down to those at fault, which are left.

    Args:
        count: Number of things.
        work: Does all of it for some neighbouring positions, or raises and has done nothing.

    Raises:
        Exception: What every one of several leads to: it is not they that are at fault.
        CocaSearchError: What `work` has raised: somebody else's fault, and told.
    """
    faults = _faults(range(count), work) if count else []
    if len(faults) == count > 1:
        raise faults[0][1]
    return faults


def _faults(positions: range, work: Callable[[range], None]) -> Faults:
    try:
        work(positions)
    except CocaSearchError:
        raise
    except Exception as error:
        if len(positions) == 1:
            return [(positions.start, error)]
        middle = len(positions) // 2
        return _faults(positions[:middle], work) + _faults(positions[middle:], work)
    return []
