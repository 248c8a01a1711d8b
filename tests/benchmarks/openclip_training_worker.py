"""OpenCLIP's side of the training contest: one step of open_clip_train's loop on a batch, again and again."""

import torch
from openclip_training import Training
from worker import Json, Run, serve

import open_clip  # isort: skip


def prepare(request: Json) -> Run:
    torch.set_num_threads(request["threads"])
    training = Training({**request, "batch_size": len(request["texts"]), "model": request["architecture"]})
    pixels = torch.randn(len(request["texts"]), 3, 224, 224, generator=torch.Generator().manual_seed(1))
    ids = open_clip.get_tokenizer(request["architecture"])(request["texts"])

    def run() -> Json:
        training.epoch([(pixels, ids)])
        return {"items": len(ids)}

    return run


if __name__ == "__main__":
    serve(prepare)
