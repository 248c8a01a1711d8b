from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from cocasearch.errors import CocaSearchError, UnreadableImage
from cocasearch.images.decoding import read_image
from cocasearch.inference.embedder import Embedder
from cocasearch.inference.loaded_model import LoadedModel

Build = Callable[[int], LoadedModel]
TEXTS = ["a red square", "", "dog " * 40, "a red square"]


def test_vectors_are_unit_rows_in_float32(tiny_loaded: Build, pixels: torch.Tensor) -> None:
    embedder = Embedder(tiny_loaded(0))
    for vectors in (embedder.embed_pixels(pixels), embedder.embed_texts(TEXTS)):
        assert vectors.shape == (4, 16) and vectors.dtype == np.float32
        np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-6)


def test_a_vector_does_not_depend_on_its_batch(tiny_loaded: Build, pixels: torch.Tensor) -> None:
    embedder = Embedder(tiny_loaded(0))
    alone = np.concatenate([embedder.embed_pixels(image[None]) for image in pixels])
    np.testing.assert_allclose(embedder.embed_pixels(pixels), alone, atol=1e-5)
    np.testing.assert_allclose(embedder.embed_texts(TEXTS), embedder.embed_texts(TEXTS, batch_size=1), atol=1e-5)


def test_equal_texts_have_equal_vectors_and_no_texts_none(tiny_loaded: Build) -> None:
    embedder = Embedder(tiny_loaded(0))
    first, *_, last = embedder.embed_texts(TEXTS)
    np.testing.assert_allclose(first, last, atol=1e-6)
    assert embedder.embed_texts([]).shape == (0, 16)


def test_a_text_alone_is_not_read_letter_by_letter(tiny_loaded: Build) -> None:
    embedder = Embedder(tiny_loaded(0))
    np.testing.assert_array_equal(embedder.embed_texts("a dog"), embedder.embed_texts(["a dog"]))


def test_a_file_and_its_bytes_and_its_pixels_have_one_vector(tiny_loaded: Build, photo_folder: Path) -> None:
    loaded, file = tiny_loaded(0), photo_folder / "red-square.jpg"
    embedder = Embedder(loaded)
    vector = embedder.embed_image_file(file)
    assert vector.shape == (16,)
    image, _ = read_image(file, min_side=loaded.preprocess.min_decode_side)
    np.testing.assert_array_equal(vector, embedder.embed_image_file(file.read_bytes()))
    np.testing.assert_array_equal(vector, embedder.embed_pixels(loaded.preprocess(image)[None])[0])


def test_a_damaged_file_is_named(tiny_loaded: Build, photo_folder: Path) -> None:
    with pytest.raises(UnreadableImage, match="truncated"):
        Embedder(tiny_loaded(0)).embed_image_file(photo_folder / "truncated.jpg")


def test_vectors_that_are_no_numbers_are_refused(tiny_loaded: Build, pixels: torch.Tensor) -> None:
    loaded = tiny_loaded(0)
    loaded.model.image_projection.weight.fill_(torch.inf)
    with pytest.raises(CocaSearchError, match="vectors that are no numbers"):
        Embedder(loaded).embed_pixels(pixels)
