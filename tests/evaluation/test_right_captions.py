"""A caption is right if people named most of its objects and said half of what it says."""

import pytest

from cocasearch.evaluation.right_captions import is_right


@pytest.mark.parametrize(
    ("caption", "references", "right"),
    [
        ("a dog and a cat", ["a dog", "a cat asleep"], True),  # people need not name all in one sentence
        ("a dog and a cat", ["a dog"], False),  # half of the objects is not most of them
        ("a dog runs on green grass beside a boat", ["a dog"], False),
        ("a sunny day", ["a sunny day outside"], True),
        ("a dog", [], False),
        ("", ["a dog"], False),
        ("it is of the", ["it is of the"], False),  # says nothing
    ],
)
def test_a_caption_is_judged_by_what_people_said(caption: str, references: list[str], right: bool) -> None:
    assert is_right(caption, references) is right
