import itertools
import random

import pytest

from cocasearch.evaluation.caption_metrics import (
    Words,
    _common_lengths,
    bleu,
    cider_d,
    distinct,
    rouge_l,
    score_captions,
)
from cocasearch.text.words import words_of

WRITTEN = [
    "A brown dog runs along the beach.",
    "two children play football on the grass",
    "a man in a red coat",
    "a boat a boat a boat on the water",
    "snow",
]
REFERENCES = [
    ["A dog is running along a sandy beach.", "The brown dog runs by the sea.", "A wet dog plays near the waves."],
    ["Children are playing football on green grass.", "Two kids play soccer on the grass in a park."],
    ["A man in a red coat waits for the bus beside a shop window full of lamps.", "A man waiting."],
    ["A small boat lies on calm water.", "The boat is tied to a wooden pier.", "a boat on the water"],
    ["Snow covers the mountain behind a cabin.", "A cabin in the snow."],
]


def words(texts: list[str]) -> list[Words]:
    return [words_of(text) for text in texts]


@pytest.fixture(scope="module")
def pairs() -> tuple[list[Words], list[list[Words]]]:
    return words(WRITTEN), [words(texts) for texts in REFERENCES]


def test_words_are_lower_case_without_punctuation() -> None:
    assert words_of(' The dog\'s "T-shirt", No_7!') == ("the", "dog", "s", "t", "shirt", "no", "7")


# The three goldens below are what pycocoevalcap 1.2 gives for these words.
def test_bleu_agrees_with_coco_caption(pairs: tuple[list[Words], list[list[Words]]]) -> None:
    assert bleu(*pairs) == pytest.approx(
        (0.8666666666088889, 0.6966586920906009, 0.5924992136378362, 0.497331656866537), abs=1e-12
    )


def test_rouge_l_agrees_with_coco_caption(pairs: tuple[list[Words], list[list[Words]]]) -> None:
    assert rouge_l(*pairs) == pytest.approx(0.6033353690234855, abs=1e-12)


def test_cider_d_agrees_with_coco_caption(pairs: tuple[list[Words], list[list[Words]]]) -> None:
    assert cider_d(*pairs) == pytest.approx(1.5082520809245992, abs=1e-12)


def test_the_same_captions_score_highest() -> None:
    same = score_captions(WRITTEN[:4], [[text] for text in WRITTEN[:4]])
    assert same.to_dict() == pytest.approx({"bleu@4": 1.0, "rouge_l": 1.0, "cider_d": 10.0, "distinct": 4})


def test_brevity_is_measured_against_the_closest_reference() -> None:
    candidate = [("a", "b", "c", "d")]
    closest = [("a", "b", "c", "d", "e"), ("a",)]
    assert bleu(candidate, [closest])[0] == pytest.approx(2.718281828 ** (1 - 5 / 4))
    assert bleu(candidate, [[*closest, ("x", "y", "z")]])[0] == pytest.approx(1.0)  # as close, and shorter


def test_repeating_words_gains_nothing_in_cider_d() -> None:
    references = [words(["a dog runs"]), words(["a cat sits"])]
    honest = cider_d(words(["a dog", "a cat"]), references)
    assert cider_d(words(["dog dog dog dog", "cat cat cat cat"]), references) < honest


def test_one_image_alone_has_nothing_rare() -> None:
    assert cider_d(words(["a dog"]), [words(["a dog"])]) == 0.0


def test_empty_captions_score_nothing_and_break_nothing() -> None:
    scores = score_captions(["", "..."], [["a dog"], ["a cat", "?"]])
    assert scores.to_dict() == pytest.approx({"bleu@4": 0.0, "rouge_l": 0.0, "cider_d": 0.0, "distinct": 1}, abs=1e-9)


def test_bleu_of_no_match_is_zero_itself() -> None:
    assert bleu(words(["a dog runs off"]), [words(["a dog sleeps"])])[1:] == (pytest.approx(6**-0.5), 0.0, 0.0)
    assert bleu(words(["snow"]), [words(["a dog"])]) == (0.0, 0.0, 0.0, 0.0)


def test_distinct_counts_captions_that_differ_in_words() -> None:
    assert distinct(words(["A dog.", "a dog", "a cat"])) == 2


def test_common_subsequences_are_as_long_as_those_found_by_trying_all() -> None:
    rng = random.Random(0)
    for _ in range(50):
        one, two = (tuple(rng.choices("abc", k=rng.randrange(8))) for _ in range(2))
        found = {c for n in range(len(one) + 1) for c in itertools.combinations(one, n)}
        longest = max(len(c) for n in range(len(two) + 1) for c in itertools.combinations(two, n) if c in found)
        assert list(_common_lengths(one, [two])) == [longest]
