"""CHAIR by hand, and when a caption is right."""

import pytest

from cocasearch.evaluation.hallucination import hallucination_report, named_objects
from cocasearch.evaluation.outcomes import caption_figures
from cocasearch.evaluation.right_captions import is_right

CAPTIONS = [
    "a dog and a dog on a sofa",  # two dogs of which there is one kind, and a couch: all there
    "a cat beside a hot dog and another cat",  # three words, two of a cat that nobody saw
    "something bright",  # names none
    "a man rides a horse",  # the horse is not there
]
PEOPLE = [
    ["Two puppies lie on the couch."],
    ["hot dogs in buns", "somebody's lunch"],
    ["a lamp"],
    ["a woman on a bike", "a person cycling"],
]


def test_figures_are_those_of_the_paper():
    report = hallucination_report(CAPTIONS, PEOPLE, [None] * 4)
    assert report.every.per_caption == pytest.approx(2 / 4)
    assert report.every.per_object_word == pytest.approx(3 / 8)
    assert report.every.n_object_words == 8
    # dog, couch; hot dog, bread, person; lamp; person, bicycle: 4 of 8 are named
    assert report.every.object_recall == pytest.approx(4 / 8)
    assert report.to_dict() == {
        "per_caption": 0.5, "per_object_word": 0.375, "n_object_words": 8, "object_recall": 0.5, "sure": None,
    }  # fmt: skip


def test_sure_captions_have_figures_of_their_own():
    report = hallucination_report(CAPTIONS, PEOPLE, [0.5, 0.49, 0.1, 0.9])
    assert report.to_dict()["sure"] == {
        "per_caption": 0.5, "per_object_word": 0.2, "n_object_words": 5, "object_recall": 0.75, "share": 0.5,
    }  # fmt: skip
    none = hallucination_report(CAPTIONS, PEOPLE, [0.1] * 4).to_dict()["sure"]
    assert none == {
        "per_caption": None,
        "per_object_word": None,
        "n_object_words": 0,
        "object_recall": None,
        "share": 0,
    }


def test_captions_without_objects_invent_nothing():
    report = hallucination_report(["a bright day"], [["a dog"]], [None]).every
    assert (report.per_caption, report.per_object_word, report.n_object_words) == (0, 0, 0)


def test_figures_by_image_say_the_same():
    assert [image.invented for image in named_objects(CAPTIONS, PEOPLE)] == [0, 2, 0, 1]


def test_saying_less_is_no_gain_of_a_training():
    says_nothing = [""] * len(CAPTIONS)
    assert not any(figure.value for figure in caption_figures(says_nothing, PEOPLE).values())


@pytest.mark.parametrize(
    ("caption", "people", "right"),
    [
        ("a black dog", ["a puppy sleeps"], True),  # its one object, which is half of what it says
        ("a big black dog", ["a puppy sleeps"], False),  # a third of what it says
        ("a big black dog", ["a puppy sleeps", "black fur"], True),
        ("a dog and a cat", ["a dog", "a dog runs"], False),  # half of its objects are not most of them
        ("a dog and a cat on a couch", ["a dog", "kittens on a sofa"], True),  # the captions of people count together
        ("a dog and a cat on a couch", ["a dog by a sofa"], True),  # two of three
        ("a dog, a cat and a cat", ["a dog"], False),
        ("bright lights shining", ["so many bright lights"], True),  # no everyday object; two of three words
        ("bright lights", ["a dark night"], False),
        ("it is here", ["it is here"], False),  # says nothing
        ("", ["a dog"], False),
    ],
)
def test_a_caption_is_right_if_people_named_most_of_what_it_names(caption, people, right):
    assert is_right(caption, people) is right
