"""Work on a batch that a single item can make fail: halving the batch finds that item, and all others are done."""

from collections.abc import Callable

from cocasearch.errors import CocaSearchError

Faults = list[tuple[int, Exception]]
"""The positions of the items that make the work fail, each with the error."""


def do_without_faulty(count: int, work: Callable[[range], None]) -> Faults:
    """Do `work` on all positions below `count` but those that make it fail, which halving finds.

    Args:
        count: Number of items.
        work: Works on a range of positions as a whole, or raises and has done nothing.

    Returns:
        The positions left out, each with the error that it leads to.

    Raises:
        Exception: Every one of several items makes the work fail: the fault is not theirs.
        CocaSearchError: `work` has raised it: no item is at fault then.
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
