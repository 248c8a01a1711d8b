"""What changed between two models on the same images, and when the images cannot tell."""

import numpy as np
import pytest

from cocasearch.evaluation.comparison import compare, share_interval
from cocasearch.evaluation.outcomes import ImageOutcomes, Shares, caption_figures, retrieval_figures
from cocasearch.evaluation.retrieval_metrics import distinct_texts, ranks_both_ways, summarise


def outcomes(**figures: np.ndarray) -> ImageOutcomes:
    count = len(next(iter(figures.values())))
    shares = {name: Shares(values.astype(float), np.ones(count)) for name, values in figures.items()}
    return ImageOutcomes(tuple(map(str, range(count))), shares)


@pytest.fixture
def chance() -> np.random.Generator:
    return np.random.default_rng(5)


def test_interval_of_a_share_is_as_wide_as_the_binomial_says(chance):
    hits = chance.random(400) < 0.7
    low, high = share_interval(hits)
    spread = 1.96 * np.sqrt(hits.mean() * (1 - hits.mean()) / 400)
    assert (hits.mean() - low, high - hits.mean()) == pytest.approx((spread, spread), rel=0.12)
    assert share_interval(hits) == (low, high)
    assert share_interval(hits, seed=1) != (low, high)


def test_pairing_shows_what_two_intervals_side_by_side_do_not(chance):
    before = chance.random(200) < 0.5
    after = before.copy()
    after[np.flatnonzero(~before)[:10]] = True
    (figure,) = compare(outcomes(recall=before), outcomes(recall=after)).figures
    assert figure.before_interval[1] > figure.after_interval[0]  # they overlap
    assert figure.verdict == "better"
    assert figure.difference == pytest.approx(0.05)
    (back,) = compare(outcomes(recall=after), outcomes(recall=before)).figures
    assert back.verdict == "worse"
    assert back.difference_interval == pytest.approx([-end for end in reversed(figure.difference_interval)])


def test_chance_is_called_chance_nearly_always(chance):
    verdicts = [
        compare(outcomes(r=chance.random(100) < 0.5), outcomes(r=chance.random(100) < 0.5), seed=seed)
        .figures[0]
        .verdict
        for seed in range(60)
    ]
    assert verdicts.count("no difference") >= 52  # 57 of 60 are expected


def test_sentences_say_plainly_what_got_worse(chance):
    hits, other = chance.random(50) < 0.5, chance.random(50) < 0.5
    nothing, everything = np.zeros(50), np.ones(50)
    comparison = compare(
        outcomes(recall=nothing, captions=everything, luck=hits), outcomes(recall=everything, captions=hits, luck=other)
    )
    better, worse, unclear = comparison.sentences()
    assert better.startswith("better: recall 0.000 to 1.000 (+1.000 to +1.000)")
    assert worse.startswith("worse: captions 1.000 to 0.")
    assert unclear == "no difference that the 50 held-out photos could show: luck"
    assert comparison.anything_gained
    assert not compare(outcomes(r=hits), outcomes(r=hits)).anything_gained


def test_too_few_images_prove_nothing(chance):
    for count in range(1, 6):
        comparison = compare(outcomes(cider=chance.random(count)), outcomes(cider=2 + chance.random(count)))
        (figure,) = comparison.figures
        assert figure.verdict == "no difference"
        assert figure.to_dict()["difference_95"] is figure.before_interval is figure.after_interval is None
        (sentence,) = comparison.sentences()
        assert sentence.startswith(
            "1 held-out photo proves nothing" if count == 1 else f"{count} held-out photos prove"
        )
    assert compare(outcomes(cider=np.zeros(6)), outcomes(cider=np.ones(6))).figures[0].verdict == "better"


def test_few_changed_images_among_many_prove_nothing():
    before = np.zeros(100)
    for changed, verdict in ((5, "no difference"), (6, "better")):
        (figure,) = compare(outcomes(recall=before), outcomes(recall=np.arange(100) < changed)).figures
        assert figure.verdict == verdict
        assert (figure.difference_interval[0] > 0) == (verdict == "better")


def test_other_images_cannot_be_compared(chance):
    few, many = chance.random(3) < 0.5, chance.random(4) < 0.5
    with pytest.raises(ValueError, match="same images"):
        compare(outcomes(r=few), outcomes(r=many))


def test_figures_of_all_images_are_those_of_the_report(chance):
    captions = [("a dog", "a cat"), ("a dog",), ("a red bird",), ("two cats", "a red bird")]
    distinct = distinct_texts(captions)
    images, texts = (chance.normal(size=(count, 8)).astype(np.float32) for count in (4, len(distinct.texts)))
    ranks = ranks_both_ways(images, texts, distinct.pairs)
    figures = retrieval_figures(*ranks, distinct.pairs)
    for way, recall in zip(("text to image", "image to text"), map(summarise, ranks), strict=True):
        for k in (1, 5, 10):
            assert figures[f"{way} recall@{k}"].value == pytest.approx(recall.at[k])


def test_captions_are_right_word_for_word_or_not():
    figures = caption_figures(["A dog!", "a dog", "a bird"], [["a dog"], ["a cat", "the dog"], ["two", "a bird."]])
    assert figures["caption word for word"].gained.tolist() == [1, 0, 1]
    assert figures["caption right"].gained.tolist() == [1, 1, 1]
    assert caption_figures(["a dog"], [["a cat"]])["caption right"].gained.tolist() == [0]
