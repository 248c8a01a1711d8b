from collections.abc import Callable

import numpy as np
import pytest
import torch

from cocasearch.inference.describer import ImageDescriber
from cocasearch.inference.embedder import Embedder
from cocasearch.inference.generation.caption_options import CaptionOptions
from cocasearch.inference.generation.captioner import Captioner
from cocasearch.inference.loaded_model import LoadedModel

Build = Callable[[int], LoadedModel]


@pytest.mark.parametrize("options", [CaptionOptions(), CaptionOptions("sample", seed=1)], ids=["beam", "sample"])
def test_a_description_is_what_the_parts_say(options: CaptionOptions, tiny_loaded: Build, pixels: torch.Tensor) -> None:
    loaded = tiny_loaded(0)
    descriptions = ImageDescriber(loaded, options).describe(pixels)
    captions = Captioner(loaded).caption_pixels(pixels, options)
    images, texts = (Embedder(loaded).embed_pixels(pixels), Embedder(loaded).embed_texts([c.text for c in captions]))
    for description, caption, image, text in zip(descriptions, captions, images, texts, strict=True):
        np.testing.assert_allclose(description.embedding, image, atol=1e-6)
        assert description.caption == caption.text
        assert description.caption_score == pytest.approx(float(image @ text), abs=1e-5)
        assert description.caption_logprob == pytest.approx(caption.mean_logprob, abs=1e-5)


@pytest.mark.parametrize("options", [None, CaptionOptions()], ids=["vector only", "captions"])
def test_each_image_is_looked_at_once(options: CaptionOptions | None, tiny_loaded: Build, pixels: torch.Tensor) -> None:
    loaded, seen = tiny_loaded(0), []
    loaded.model.image_encoder.register_forward_hook(lambda module, inputs, output: seen.append(len(inputs[0])))
    descriptions = ImageDescriber(loaded, options).describe(pixels)
    assert seen == [4]
    assert [description.caption is None for description in descriptions] == [options is None] * 4


def test_no_images_no_descriptions(tiny_loaded: Build, pixels: torch.Tensor) -> None:
    assert ImageDescriber(tiny_loaded(0), CaptionOptions()).describe(pixels[:0]) == []
