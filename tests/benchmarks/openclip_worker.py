"""OpenCLIP's side of the contests, used as its users use it."""

import contextlib
from collections.abc import Callable
from functools import partial

import torch
import torchvision_without_operators  # noqa: F401  must come before open_clip
from worker import Json, Run, serve

import open_clip  # isort: skip
from PIL import Image
from safetensors.torch import save_file
from torch.utils.data import DataLoader, Dataset


class Photos(Dataset[torch.Tensor]):
    def __init__(self, files: list[str], preprocess: Callable[[Image.Image], torch.Tensor]) -> None:
        self.files, self.preprocess = files, preprocess

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> torch.Tensor:
        return self.preprocess(Image.open(self.files[index]))


class Side:
    """The model with the weights of a request, and one method per task."""

    def __init__(self, request: Json) -> None:
        self.request = request
        architecture = request["architecture"]
        self.model, _, self.preprocess = open_clip.create_model_and_transforms(
            architecture, pretrained=request["weights"]
        )
        self.model.eval()
        self.tokenizer = open_clip.get_tokenizer(architecture)

    @torch.no_grad()
    def captions(self, pixels: torch.Tensor) -> Json:
        ids = self.model.generate(pixels, **self.request["options"])
        return {"items": len(ids), "lengths": [_length(row.tolist()) for row in ids]}

    @torch.no_grad()
    def images(self) -> Json:
        photos = Photos(self.request["files"], self.preprocess)
        batches = DataLoader(photos, self.request["batch_size"], num_workers=self.request.get("loaders", 0))
        with self._precision():
            vectors = [self.model.encode_image(batch, normalize=True).float() for batch in batches]
        return {"items": len(torch.cat(vectors))}

    @torch.no_grad()
    def texts(self) -> Json:
        texts, size = self.request["texts"], self.request["batch_size"]
        with self._precision():
            vectors = [
                self.model.encode_text(self.tokenizer(texts[start : start + size]), normalize=True).float()
                for start in range(0, len(texts), size)
            ]
        return {"items": len(torch.cat(vectors))}

    @torch.no_grad()
    def vectors(self, pixels: torch.Tensor) -> Json:
        """Vectors themselves, to see that both sides compute the same."""
        ids = self.tokenizer(self.request["texts"])
        return {
            "images": self.model.encode_image(pixels, normalize=True).tolist(),
            "texts": self.model.encode_text(ids, normalize=True).tolist(),
        }

    @torch.no_grad()
    def numbers(self, pixels: torch.Tensor) -> Json:
        """All that the model gives, into a file: ids, features, logits of all positions but the last, captions."""
        ids = self.tokenizer(self.request["texts"])
        output = self.model(pixels, ids)
        captions = self.model.generate(pixels, **self.request["options"])
        kept = {name: output[name] for name in ("image_features", "text_features", "logits")}
        numbers = {"ids": ids, **kept, "captions": captions}
        save_file({name: value.contiguous() for name, value in numbers.items()}, self.request["file"])
        return {"items": len(captions)}

    def _precision(self) -> contextlib.AbstractContextManager[object]:
        if self.request.get("autocast"):
            return torch.autocast("cpu", dtype=torch.bfloat16)
        return contextlib.nullcontext()


def _length(ids: list[int]) -> int:
    """Ids of a caption without what pads it."""
    return len(ids) if ids[-1] != 0 else ids.index(0)


def prepare(request: Json) -> Run:
    torch.set_num_threads(request["threads"])
    side = Side(request)
    if request["task"] in ("captions", "vectors", "numbers"):
        pixels = torch.randn(request["batch_size"], 3, 224, 224, generator=torch.Generator().manual_seed(1))
        return partial(getattr(side, request["task"]), pixels)
    return getattr(side, request["task"])


if __name__ == "__main__":
    serve(prepare)
