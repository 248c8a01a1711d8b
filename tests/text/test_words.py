"""Words of a text, those of them that may show in an image, and the forms of one."""

import random

import pytest

from cocasearch.text.words import content_words, forms_of, plural_of, words_of


def test_words_are_lower_case_and_without_punctuation():
    assert words_of("A dog's T-shirt, no_name 2!") == ("a", "dog", "s", "t", "shirt", "no", "name", "2")


def test_words_that_hold_a_sentence_together_show_nothing():
    assert content_words("Two dogs are next to each other, in front of a red barn") == ("two", "dogs", "red", "barn")
    assert content_words("It is what it is.") == ()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("A dog's BONE, (half-eaten).", ["a", "dog", "s", "bone", "half", "eaten"]),
        ("salt &amp; pepper_mill 4x4", ["salt", "pepper", "mill", "4x4"]),
        ("Cafe\u0301 \x1b[31m\udcff", ["café", "31m"]),
        ("हिन्दी में", ["हिन्दी", "में"]),
        ("一只狗, ok", ["一", "只", "狗", "ok"]),
        ("?!", []),
    ],
)
def test_words_are_letters_and_digits_in_lower_case(text: str, words: list[str]) -> None:
    assert list(words_of(text)) == words


def test_words_that_say_nothing_are_no_content() -> None:
    assert content_words("the dog's view of the dog by a 7 and 狗") == ("dog", "view", "7", "狗")


@pytest.mark.parametrize(
    ("asked", "known"),
    [
        *(("puppies", "puppy"), ("puppy", "puppies"), ("dogs", "dog"), ("boxes", "box"), ("knife", "knives")),
        *(("running", "run"), ("run", "running"), ("riding", "ride")),
        *(("baking", "baked"), ("jumped", "jumping"), ("tried", "trying"), ("stopped", "stop")),
    ],
)
def test_forms_of_one_word_know_each_other(asked: str, known: str) -> None:
    assert known in forms_of(asked)


@pytest.mark.parametrize(("asked", "other"), [("glass", "glas"), ("bed", "b"), ("king", "k"), ("bus", "bu")])
def test_an_ending_that_is_none_is_not_taken_off(asked: str, other: str) -> None:
    assert other not in forms_of(asked)


def test_every_form_that_is_made_is_found_from_its_base() -> None:
    chance = random.Random(3)
    for _ in range(300):
        base = "".join(chance.choices("bdeiprsty", k=chance.randint(3, 7)))
        assert {base, base + "s", base + "ing", base + "ed"} <= forms_of(base)
        if not base.endswith(("e", "s", "i")):
            assert base in forms_of(base + "s") & forms_of(base + "ing") & forms_of(base + "ed")


@pytest.mark.parametrize("plural", ["dogs", "boxes", "benches", "ponies", "toys", "buses"])
def test_a_regular_plural_is_among_the_forms(plural: str) -> None:
    bases = [base for base in forms_of(plural) if plural_of(base) == plural]
    assert bases and all(plural in forms_of(base) for base in bases)
