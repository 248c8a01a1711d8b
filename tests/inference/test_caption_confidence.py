"""What a confidence is made of, and which captions have one."""

import math
from dataclasses import replace

import pytest

from cocasearch.checkpoints.confidence_file import ConfidenceModel
from cocasearch.inference.caption_confidence import agreement, is_sure
from cocasearch.inference.describer import ImageDescriber
from cocasearch.inference.generation.caption_options import CaptionOptions
from cocasearch.inference.generation.captioner import Captioner

WRITTEN = CaptionOptions(num_beams=4, max_length=10)


@pytest.fixture
def calibrated(tiny_loaded):
    """A tiny model with a confidence for captions written as WRITTEN."""
    loaded = tiny_loaded(3)
    options = loaded.complete(WRITTEN).to_dict()
    model = ConfidenceModel(
        0.2, (1.0, 2.0, -1.0), (0.1, -2.0, 0.5), (0.5, 1.0, 0.25), options, loaded.fingerprint, 200, "d", ()
    )
    return replace(loaded, confidence=model)


@pytest.mark.parametrize(
    ("texts", "logprobs", "chosen", "expected"),
    [
        (["a red dog"], [-1.0], 0, 1.0),  # none to agree with
        (["a red dog", "the big puppies"], [-1.0, -2.0], 0, 1.0),  # an object, whatever it is called
        (["a red dog", "a red cat"], [-1.0, -2.0], 0, 0.0),
        (["a dog", "a dog and a cat"], [-3.0, -1.0], 0, 1.0),  # saying more is no disagreement
        (["a dog and a cat", "a dog"], [-3.0, -1.0], 0, 0.0),  # the most doubtful object
        (["a dog", "a dog runs", "a cat"], [-1.0, -2.0, -2.0], 0, 0.5),
        (["a dog", "a dog runs", "a cat"], [-1.0, -2.0, -2.0 - math.log(3)], 0, 0.75),  # a third as likely
        (["a dog", "a dog", "a cat"], [-1.0, -5000.0, -5000.0], 0, 0.5),  # probabilities that floats do not hold
        (["bright lights", "lights shine", "bright lights"], [-1.0, -2.0, -2.0], 0, 0.5),  # no objects, but words
        (["it is", "a dog"], [-1.0, -1.0], 0, 1.0),
    ],
)
def test_agreement_is_that_of_the_likely_others_on_the_most_doubtful_thing(texts, logprobs, chosen, expected):
    assert agreement(texts, logprobs, chosen) == pytest.approx(expected)


def test_sure_begins_at_a_half():
    assert [is_sure(confidence) for confidence in (None, 0.0, 0.499, 0.5, 1.0)] == [True, False, False, True, True]


def test_confidence_is_the_logistic_of_what_was_measured(calibrated, pixels):
    for caption in Captioner(calibrated).caption_pixels(pixels, WRITTEN):
        log_odds = 0.2 + (caption.score - 0.1) / 0.5 + 2 * (caption.mean_logprob + 2) - (caption.agreement - 0.5) / 0.25
        assert caption.confidence == pytest.approx(1 / (1 + math.exp(-log_odds)))
        assert 0 <= caption.agreement <= 1


def test_describing_hands_it_on(calibrated, pixels):
    written = Captioner(calibrated).caption_pixels(pixels, WRITTEN)
    described = ImageDescriber(calibrated, WRITTEN).describe(pixels)
    assert [one.caption_confidence for one in described] == [caption.confidence for caption in written]


@pytest.mark.parametrize(
    "other", [CaptionOptions(strategy="greedy"), replace(WRITTEN, num_beams=3), replace(WRITTEN, prompt="a")]
)
def test_captions_written_in_another_way_have_none(calibrated, pixels, other):
    assert {caption.confidence for caption in Captioner(calibrated).caption_pixels(pixels, other)} == {None}


def test_captions_without_a_score_have_none(calibrated, pixels):
    tokens = calibrated.model.image_features(pixels).tokens
    assert {caption.confidence for caption in Captioner(calibrated).caption_tokens(tokens, WRITTEN)} == {None}


def test_captions_themselves_are_what_they_were(calibrated, pixels):
    bare = Captioner(replace(calibrated, confidence=None)).caption_pixels(pixels, WRITTEN)
    judged = Captioner(calibrated).caption_pixels(pixels, WRITTEN)
    assert [replace(caption, confidence=None) for caption in judged] == bare


def test_all_finished_beams_count_though_none_is_reranked(calibrated, pixels):
    plain = replace(WRITTEN, rerank=0.0)
    assert any(caption.agreement < 1 for caption in Captioner(calibrated).caption_pixels(pixels, plain))
    greedy = Captioner(calibrated).caption_pixels(pixels, CaptionOptions(strategy="greedy", max_length=10))
    assert {caption.agreement for caption in greedy} == {1.0}


def test_extreme_features_give_a_probability_all_the_same(calibrated):
    assert calibrated.confidence.probability((1e6, 1e6, 0)) == 1.0
    assert calibrated.confidence.probability((-1e6, -1e6, 0)) == 0.0
