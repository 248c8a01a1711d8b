"""With enough beams the search finds what trying every sequence finds, and each image for itself."""

import itertools
import math

import pytest
import torch
from torch import Tensor

from cocasearch.inference.generation.beam_search import BeamSearch
from cocasearch.inference.generation.decoding_strategies import Decoded
from cocasearch.inference.generation.token_rules import TokenRules

SOT, EOT, VOCABULARY, LONGEST = 1, 2, 8, 4
RULES = TokenRules(SOT, EOT, pad_id=0, min_length=2, max_length=LONGEST)
# The logits of an image after each last id: a language of pairs.
PAIRS = torch.randn(3, VOCABULARY, VOCABULARY, generator=torch.Generator().manual_seed(0))


def search(images: list[int], beams: int, length_penalty: float) -> list[list[Decoded]]:
    searching = BeamSearch(torch.full((len(images), 1), SOT), RULES, beams, length_penalty)
    logits: Tensor = PAIRS[images, SOT]
    while step := searching.advance(logits):
        if step.images is not None:
            images = [images[image] for image in step.images.tolist()]
        of_rows = torch.tensor(images).repeat_interleave(len(step.ids) // len(images))
        logits = PAIRS[of_rows, step.ids]
    return searching.results()


def every_sequence(image: int, length_penalty: float) -> list[tuple[float, tuple[int, ...]]]:
    """All that may be written, with their scores, best first."""
    logprobs = PAIRS[image].log_softmax(-1)
    scored = []
    for count in range(LONGEST - 1):
        for words in itertools.product(range(3, VOCABULARY), repeat=count):
            ids = (SOT, *words, EOT)
            total = math.fsum(logprobs[before, after].item() for before, after in itertools.pairwise(ids))
            scored.append((total / (count + 1) ** length_penalty, ids))
    return sorted(scored, reverse=True)


@pytest.mark.parametrize("length_penalty", [0.0, 1.0])
@pytest.mark.parametrize("image", [0, 1, 2])
def test_the_best_of_all_sequences_is_found(image: int, length_penalty: float) -> None:
    best = search([image], 4, length_penalty)[0][0]
    score, ids = every_sequence(image, length_penalty)[0]
    assert best.ids == ids
    assert best.score == pytest.approx(score, abs=1e-5)
    assert sum(best.logprobs) / (len(ids) - 1) ** length_penalty == pytest.approx(score, abs=1e-5)


def test_an_image_is_searched_as_if_it_were_alone() -> None:
    together = search([0, 1, 2], 3, 1.0)
    for image, found in enumerate(together):
        alone = search([image], 3, 1.0)[0]
        assert [one.ids for one in found] == [one.ids for one in alone]
        assert [one.score for one in found] == pytest.approx([one.score for one in alone])


def test_results_are_ended_different_and_best_first() -> None:
    found = search([0], 4, 1.0)[0]
    assert len({one.ids for one in found}) == len(found) > 1
    assert all(one.ids[0] == SOT and one.ids[-1] == EOT and one.ids.count(EOT) == 1 for one in found)
    assert [one.score for one in found] == sorted((one.score for one in found), reverse=True)
