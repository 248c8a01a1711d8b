import io
import json
from pathlib import Path

import pytest
import torch
from PIL import Image

from cocasearch.captioned_data import CaptionedImage
from cocasearch.errors import CocaSearchError
from cocasearch.evaluation.benchmark import evaluate
from cocasearch.images.transforms import Preprocess, PreprocessConfig
from cocasearch.inference.embedder import Embedder
from cocasearch.inference.generation.caption_options import CaptionOptions
from cocasearch.inference.loaded_model import LoadedModel
from cocasearch.model.coca import CoCa
from cocasearch.model.config import CoCaConfig, MultimodalConfig, PoolerConfig, TextConfig, VisionTransformerConfig
from cocasearch.text.tokenizer import train_tokenizer

COLORS = ("red", "green", "blue", "white", "black", "orange", "purple")
GREEDY = CaptionOptions(strategy="greedy", max_length=8)


@pytest.fixture(scope="module")
def loaded() -> LoadedModel:
    """A tiny CoCa with random weights that has read the colours' names."""
    tokenizer = train_tokenizer([f"a {color} square" for color in COLORS], vocab_size=300)
    config = CoCaConfig(
        embed_dim=16,
        image=VisionTransformerConfig(image_size=16, patch_size=8, layers=1, width=16, head_width=8),
        pooler=PoolerConfig(queries=4, heads=2),
        text=TextConfig(context_length=12, vocab_size=tokenizer.vocab_size, width=16, heads=2, layers=1),
        multimodal=MultimodalConfig(layers=1, heads=2),
    )
    torch.manual_seed(0)
    model, preprocess = CoCa(config).eval(), Preprocess(PreprocessConfig(image_size=16))
    return LoadedModel("tiny", model, tokenizer, preprocess, "0123", torch.device("cpu"), torch.float32)


@pytest.fixture(scope="module")
def squares() -> list[CaptionedImage]:
    return [CaptionedImage(png(color), color, (f"A {color} square.", "a square")) for color in COLORS]


def png(color: str) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (20, 16), color).save(buffer, "PNG")
    return buffer.getvalue()


def test_the_report_has_the_promised_shape(loaded: LoadedModel, squares: list[CaptionedImage]) -> None:
    report = evaluate(loaded, squares, caption_options=GREEDY).to_dict()
    recall = {"recall@1", "recall@5", "recall@10", "median_rank"}
    assert {key: set(value) for key, value in report.items() if isinstance(value, dict)} == {
        "text_to_image": recall,
        "image_to_text": recall,
        "captions": {"bleu@4", "rouge_l", "cider_d", "distinct", "hallucination"},
    }
    assert json.loads(json.dumps(report)) == report
    assert (report["model"], report["n_images"], report["n_texts"], report["n_unreadable"]) == ("tiny", 7, 8, 0)


def test_recall_is_that_of_the_vectors_whatever_the_batch(loaded: LoadedModel, squares: list[CaptionedImage]) -> None:
    embedder = Embedder(loaded)
    images = torch.from_numpy(
        embedder.embed_pixels(torch.stack([loaded.preprocess(Image.open(io.BytesIO(row.image))) for row in squares]))
    )
    texts = torch.from_numpy(embedder.embed_texts([f"A {color} square." for color in COLORS]))
    found = (texts @ images.T).argmax(dim=1) == torch.arange(len(COLORS))
    labelled = [CaptionedImage(row.image, row.key, row.captions[:1]) for row in squares]
    for batch_size in (2, 32):
        report = evaluate(loaded, labelled, caption_options=None, batch_size=batch_size)
        assert report.retrieval.text_to_image.at[1] == pytest.approx(found.float().mean().item())
        assert report.captions is None


def test_each_image_is_encoded_once(loaded: LoadedModel, squares: list[CaptionedImage]) -> None:
    seen: list[int] = []
    hook = loaded.model.image_encoder.register_forward_hook(lambda module, inputs, output: seen.append(len(inputs[0])))
    evaluate(loaded, squares, caption_options=CaptionOptions(max_length=6), batch_size=3)
    hook.remove()
    assert seen == [3, 3, 1]


def test_unreadable_images_are_named_and_left_out(loaded: LoadedModel, squares: list[CaptionedImage]) -> None:
    bad = [
        CaptionedImage(Path("nowhere.jpg"), "nowhere.jpg", ("A square.", "nothing")),
        CaptionedImage(squares[0].image[:40], "cut.png", ("a cut square",)),
    ]
    progress: list[tuple[int, int]] = []
    report = evaluate(
        loaded, [*bad, *squares], caption_options=None, batch_size=4, progress=lambda *step: progress.append(step)
    )
    assert [key for key, _ in report.unreadable] == ["nowhere.jpg", "cut.png"]
    assert report.to_dict()["n_unreadable"] == 2
    assert report.retrieval == evaluate(loaded, squares, caption_options=None).retrieval
    assert report.n_texts == 8
    assert progress[-1] == (9, 9)


def test_a_set_without_readable_images_is_an_error(loaded: LoadedModel) -> None:
    with pytest.raises(CocaSearchError, match="not one of 1 photo can be read, beginning with row 7"):
        evaluate(loaded, [CaptionedImage(b"no photo", "row 7", ("x",))], caption_options=None)
    with pytest.raises(CocaSearchError, match="no photos to evaluate"):
        evaluate(loaded, [], caption_options=None)
