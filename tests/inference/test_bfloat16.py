"""bfloat16 is faster where it is native, and changes little: the bundled model on the sample photos."""

import numpy as np
import pytest
import torch

from cocasearch import Captioner, Embedder, load_model
from cocasearch.images.decoding import read_image
from cocasearch.inference.loaded_model import LoadedModel
from cocasearch.paths import sample_photos_folder


@pytest.fixture(scope="module")
def models() -> tuple[LoadedModel, LoadedModel]:
    return load_model("coca-mini", dtype="float32"), load_model("coca-mini", dtype="bfloat16")


@pytest.fixture(scope="module")
def pixels(models: tuple[LoadedModel, LoadedModel]) -> torch.Tensor:
    preprocess = models[0].preprocess
    files = sorted(sample_photos_folder().glob("*.jpg"))
    return torch.stack([preprocess(read_image(file)[0]) for file in files])


def test_vectors_of_photos_keep_their_direction(models: tuple[LoadedModel, LoadedModel], pixels: torch.Tensor) -> None:
    precise, narrow = (Embedder(model).embed_pixels(pixels) for model in models)
    assert narrow.dtype == np.float32
    assert not np.allclose(precise, narrow, atol=1e-5)  # it did compute in another type
    assert (precise * narrow).sum(axis=1).min() >= 0.998


def test_texts_and_what_is_written_stay_in_float32(
    models: tuple[LoadedModel, LoadedModel], pixels: torch.Tensor
) -> None:
    texts = ["a dog on a beach", "two people", ""]
    np.testing.assert_array_equal(*(Embedder(model).embed_texts(texts) for model in models))
    tokens = models[0].model.image_features(pixels).tokens
    first, second = (Captioner(model).caption_tokens(tokens) for model in models)
    assert [caption.text for caption in first] == [caption.text for caption in second]
