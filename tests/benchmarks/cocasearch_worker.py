"""Our side of the contests, through the public interface."""

from functools import partial
from pathlib import Path

import cocasearch  # noqa: F401  isort: skip  # before PyTorch, as in the commands: it sets how threads wait
import numpy as np
import torch
from safetensors.torch import save_file
from worker import Json, Run, serve

from cocasearch import Captioner, CaptionOptions, Embedder, load_model
from cocasearch.images.batching import decode_batches

TOWERS = {
    "captions": ("image", "text", "caption"),  # the text tower scores them
    "images": ("image",),
    "texts": ("text",),
    "vectors": ("image", "text"),
    "numbers": ("image", "text", "caption"),
}


class Side:
    """The model of a request, and one method per task."""

    def __init__(self, request: Json) -> None:
        self.request = request
        self.loaded = load_model(
            Path(request["model"]), dtype=request.get("dtype", "auto"), towers=TOWERS[request["task"]]
        )

    def captions(self, pixels: torch.Tensor) -> Json:
        captions = Captioner(self.loaded).caption_pixels(pixels, CaptionOptions(**self.request["options"]))
        return {"items": len(captions), "lengths": [len(caption.token_ids) for caption in captions]}

    def images(self) -> Json:
        embedder = Embedder(self.loaded)
        batches = decode_batches(
            self.request["files"], Path, self.loaded.preprocess, batch_size=self.request["batch_size"]
        )
        return {"items": len(np.concatenate([embedder.embed_pixels(batch.pixels) for batch in batches]))}

    def texts(self) -> Json:
        size = {"batch_size": self.request["batch_size"]} if self.request["batch_size"] else {}
        return {"items": len(Embedder(self.loaded).embed_texts(self.request["texts"], **size))}

    def vectors(self, pixels: torch.Tensor) -> Json:
        """Vectors themselves, to see that both sides compute the same."""
        embedder = Embedder(self.loaded)
        texts = embedder.embed_texts(self.request["texts"])
        return {"images": embedder.embed_pixels(pixels).tolist(), "texts": texts.tolist()}

    @torch.no_grad()
    def numbers(self, pixels: torch.Tensor) -> Json:
        """All that the model gives, into a file, as OpenCLIP's side writes it."""
        ids = self.loaded.tokenize(self.request["texts"])
        output = self.loaded.model(pixels, ids)
        captions = Captioner(self.loaded).caption_pixels(pixels, CaptionOptions(**self.request["options"]))
        padded = torch.zeros(len(captions), max(len(caption.token_ids) for caption in captions), dtype=torch.int64)
        for row, caption in zip(padded, captions, strict=True):
            row[: len(caption.token_ids)] = torch.tensor(caption.token_ids)
        numbers = {
            "ids": ids,
            "image_features": output.image_embedding,
            "text_features": output.text_embedding,
            "logits": output.caption_logits[:, :-1],
            "captions": padded,
        }
        save_file({name: value.contiguous() for name, value in numbers.items()}, self.request["file"])
        return {"items": len(captions)}


def prepare(request: Json) -> Run:
    torch.set_num_threads(request["threads"])
    side = Side(request)
    if request["task"] in ("captions", "vectors", "numbers"):
        pixels = torch.randn(request["batch_size"], 3, 224, 224, generator=torch.Generator().manual_seed(1))
        return partial(getattr(side, request["task"]), pixels)
    return getattr(side, request["task"])


if __name__ == "__main__":
    serve(prepare)
