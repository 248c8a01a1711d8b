"""A pickle that would take for ever or fill the memory is refused before it is read."""

import io
import pickle
import warnings
from collections import Counter, OrderedDict
from pathlib import Path

import pytest

from cocasearch.checkpoints.foreign.pickle_checks import refuse_slow_pickle
from cocasearch.errors import CocaSearchError


def check(content: object, protocol: int = 2) -> None:
    refuse_slow_pickle(Path("weights.pt"), io.BytesIO(pickle.dumps(content, protocol=protocol)))


@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_names_and_shapes_are_fine(protocol: int) -> None:
    check(OrderedDict({f"layer.{n}.weight": (n, (3, 4), [1.5, None], {"a": {1, 2}}) for n in range(99)}), protocol)


def test_tuples_of_the_same_tuples_are_refused() -> None:
    nested: tuple[object, ...] = ()
    for _ in range(30):
        nested = (nested, nested)
    with pytest.raises(CocaSearchError, match=r"weights\.pt is not loaded"):
        check(nested)


def test_tuples_too_deep_in_each_other_are_refused() -> None:
    nested: tuple[object, ...] = ()
    for number in range(150):
        nested = (nested, number)
    with pytest.raises(CocaSearchError):
        check(nested)


@pytest.mark.parametrize("content", [bytearray(9), Counter("abc")])
def test_what_makes_much_of_little_is_refused(content: object) -> None:
    with pytest.raises(CocaSearchError):
        check(content)


def test_what_is_no_pickle_is_no_error_of_the_user() -> None:
    with pytest.raises((ValueError, IndexError)):
        refuse_slow_pickle(Path("weights.pt"), io.BytesIO(b"dear diary"))


def test_damaged_escapes_warn_nobody() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        refuse_slow_pickle(Path("weights.pt"), io.BytesIO(b"cos\\s\npath\n."))
