"""Errors are one sentence of bearable length, with the exit code of their kind."""

import pytest

from cocasearch.errors import (
    LONGEST_MESSAGE,
    CocaSearchError,
    NothingFound,
    UnreadableImage,
    first_line,
    shortened,
)


def test_a_long_message_keeps_its_beginning_and_its_end() -> None:
    message = str(CocaSearchError("there is no " + "x" * 9_999 + " file"))
    assert len(message) == LONGEST_MESSAGE
    assert message.startswith("there is no x")
    assert message.endswith("x file")


def test_a_text_that_fits_stays_as_it_is() -> None:
    assert shortened("0123456789", 10) == "0123456789"
    assert shortened("0123456789", 9) == "012345…89"


@pytest.mark.parametrize(
    ("error", "line"),
    [(ValueError("\n one \n two"), "one "), (ValueError("  "), "ValueError"), (KeyError(), "KeyError")],
)
def test_the_first_line_says_something(error: Exception, line: str) -> None:
    assert first_line(error) == line


def test_an_unreadable_image_is_named_with_its_reason() -> None:
    error = UnreadableImage("a.jpg", "truncated")
    assert str(error) == "cannot read image a.jpg: truncated"
    assert (error.cause, error.exit_code, NothingFound("none").exit_code) == ("file", 1, 3)
