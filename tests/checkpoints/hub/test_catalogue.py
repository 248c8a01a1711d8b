"""The catalogue finds models as OpenCLIP names them, and agrees with the architectures."""

import math

import pytest
from seeded_openclip import openclip_shapes

from cocasearch.checkpoints.hub.catalogue import COCO, LAION, PUBLISHED, can_rerank, find_published, warning_about
from cocasearch.errors import CocaSearchError
from cocasearch.model.config import presets


@pytest.mark.parametrize("model", PUBLISHED, ids=lambda model: model.name)
def test_sizes_are_those_of_the_architecture(model):
    shapes = openclip_shapes(presets()[model.architecture])
    assert model.parameters == sum(math.prod(shape) for shape in shapes.values())
    assert model.download_size in (1_014_240_260, 2_553_800_708)


@pytest.mark.parametrize(
    ("name", "tag", "found"),
    [
        ("coca_ViT-L-14", None, "coca_ViT-L-14"),
        ("coca_ViT-L-14", COCO, "coca_ViT-L-14"),
        ("COCA_vit_l_14", "laion2B-s13B-b90k", f"coca_ViT-L-14-{LAION}"),
        ("coca_ViT-B-32", None, "coca_ViT-B-32"),
        ("coca_ViT-B-32", LAION, "coca_ViT-B-32"),
        ("coca_ViT-B-32", "mscoco_finetuned_laion2B-s13B-b90k", f"coca_ViT-B-32-{COCO}"),
        (f"coca_ViT-L-14-{LAION}", None, f"coca_ViT-L-14-{LAION}"),
        ("ViT-L-14", None, None),
        ("ViT-L-14", LAION, None),
    ],
)
def test_names_and_tags_are_compared_as_openclip_does_it(name, tag, found):
    model = find_published(name, tag)
    assert (model.name if model else None) == found


def test_an_unknown_tag_is_answered_with_the_known_ones():
    with pytest.raises(CocaSearchError, match=f"published as {COCO} and {LAION}, not as 'openai'"):
        find_published("coca_ViT-L-14", "openai")


def test_the_model_that_finds_nothing_is_the_one_that_is_warned_about():
    warned = [model for model in PUBLISHED if warning_about(model.name)]
    assert [model.name for model in warned] == [f"coca_ViT-B-32-{COCO}"]
    assert all(model.figures["imagenet_top1"] > 50 for model in PUBLISHED if model not in warned)
    assert warning_about("mine") is None
    assert [model for model in PUBLISHED if not model.can_rerank] == warned
    assert can_rerank("mine")
