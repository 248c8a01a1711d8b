"""The catalogue of the CoCa models that others have published: where they are, how large, and what they are good at.

Figures are OpenCLIP's own (its results tables for zero-shot and retrieval, LAION's report on CoCa for captions).
Nothing here reads a disk or a network.
"""

from dataclasses import dataclass
from types import MappingProxyType
from typing import ClassVar

from cocasearch.errors import CocaSearchError

LAION, COCO = "laion2b_s13b_b90k", "mscoco_finetuned_laion2b_s13b_b90k"
_BYTES_PER_PARAMETER = 4  # published in float32


@dataclass(frozen=True, eq=False)  # each is itself: it has a mapping, and stands in dictionaries
class PublishedModel:
    """A set of published weights.

    Attributes:
        name: Name of its folder here: the architecture, followed by the tag unless we recommend these weights.
        architecture: Its architecture, as OpenCLIP and `presets()` name it.
        tag: OpenCLIP's name of the weights.
        repository: Its repository on the hub.
        parameters: Number of parameters; the file has 4 bytes for each.
        good_at: What it is good for, in a few words.
        figures: Published results: percentages, and CIDEr as papers print it.
        can_rerank: Whether its vectors tell which caption fits; otherwise captions are not reranked by them.
        warning: What a user must know before using it.
    """

    name: str
    architecture: str
    tag: str
    repository: str
    parameters: int
    good_at: str
    figures: MappingProxyType[str, float]
    can_rerank: bool = True
    warning: str | None = None

    FILES: ClassVar = ("open_clip_model.safetensors", "open_clip_pytorch_model.bin")  # the first that is there
    LICENSE: ClassVar = "MIT"

    @property
    def download_size(self) -> int:
        """Size of the published file in bytes."""
        return self.parameters * _BYTES_PER_PARAMETER


def _figures(imagenet: float, flickr: tuple[float, float], coco: tuple[float, float]) -> dict[str, float]:
    return {
        "imagenet_top1": imagenet,
        "flickr30k_text_to_image_recall@1": flickr[0],
        "flickr30k_image_to_text_recall@1": flickr[1],
        "coco_text_to_image_recall@1": coco[0],
        "coco_image_to_text_recall@1": coco[1],
    }


PUBLISHED = (  # best first: what is taken where no model is named
    PublishedModel(
        name="coca_ViT-L-14",
        architecture="coca_ViT-L-14",
        tag=COCO,
        repository="laion/mscoco_finetuned_CoCa-ViT-L-14-laion2B-s13B-b90k",
        parameters=638_450_177,
        good_at="captions and search, the best at both together",
        figures=MappingProxyType(_figures(72.04, (78.46, 89.00), (53.74, 66.82)) | {"coco_cider": 125.3}),
    ),
    PublishedModel(
        name=f"coca_ViT-L-14-{LAION}",
        architecture="coca_ViT-L-14",
        tag=LAION,
        repository="laion/CoCa-ViT-L-14-laion2B-s13B-b90k",
        parameters=638_450_177,
        good_at="search by names of things; captions in the manner of web pages",
        figures=MappingProxyType(_figures(75.61, (74.28, 88.40), (45.65, 62.92))),
    ),
    PublishedModel(
        name="coca_ViT-B-32",
        architecture="coca_ViT-B-32",
        tag=LAION,
        repository="laion/CoCa-ViT-B-32-laion2B-s13B-b90k",
        parameters=253_560_065,
        good_at="quick search; captions in the manner of web pages",
        figures=MappingProxyType(_figures(63.31, (63.36, 81.60), (36.18, 54.56))),
    ),
    PublishedModel(
        name=f"coca_ViT-B-32-{COCO}",
        architecture="coca_ViT-B-32",
        tag=COCO,
        repository="laion/mscoco_finetuned_CoCa-ViT-B-32-laion2B-s13B-b90k",
        parameters=253_560_065,
        good_at="quick captions, nothing else",
        figures=MappingProxyType(_figures(0.79, (0.74, 1.10), (0.33, 0.88))),
        can_rerank=False,
        warning="it has lost its contrastive side in tuning (ImageNet 0.79 %, COCO recall@1 0.33 %): searches "
        "with it find nothing sensible, only its captions are of use, which it therefore does not rerank",
    ),
)


def find_published(name: str, tag: str | None = None) -> PublishedModel | None:
    """The published model of a name, or of an architecture and a tag; None if there is none of that name.

    Names and tags are compared as in OpenCLIP: case does not matter, nor do '-' and '_' differ.

    Raises:
        CocaSearchError: The architecture has no weights of that tag.
    """
    by_name = {_folded(model.name): model for model in PUBLISHED}
    if tag is None:
        return by_name.get(_folded(name))
    of_architecture = [model for model in PUBLISHED if _folded(model.architecture) == _folded(name)]
    for model in of_architecture:
        if _folded(model.tag) == _folded(tag):
            return model
    if not of_architecture:
        return None
    tags = " and ".join(model.tag for model in of_architecture)
    raise CocaSearchError(f"{of_architecture[0].architecture} was published as {tags}, not as '{tag}'")


def warning_about(name: str) -> str | None:
    """The warning about the model of this name, as one sentence; None if there is none."""
    model = find_published(name)
    return f"{model.name}: {model.warning}" if model and model.warning else None


def can_rerank(name: str) -> bool:
    """Whether the model of this name can tell which caption fits an image, as far as is known."""
    model = find_published(name)
    return model is None or model.can_rerank


def _folded(name: str) -> str:
    return name.lower().replace("-", "_")
