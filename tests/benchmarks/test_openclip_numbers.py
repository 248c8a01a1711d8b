"""The published architectures at their real sizes, in fresh processes: ours gives OpenCLIP's numbers and captions.

Both sides read the same file of seeded weights, OpenCLIP's by its factory and ours by `models import`.
"""

import contextlib
import sys
from pathlib import Path

import pytest
import torch
from benchmarks.processes import HERE, THREADS, Json, Worker
from benchmarks.seeded_models import import_weights, make_weights
from safetensors.torch import load_file
from torch import Tensor

pytestmark = pytest.mark.benchmark

END_OF_TEXT_GAIN = 1.2  # captions end, and not all at once
FEATURES = 1e-5
LOGITS = {"coca_ViT-B-32": 2e-4, "coca_ViT-L-14": 5e-4}
IMAGES = 2
TEXTS = ["two people riding bikes down a long road in the mountains", "a dog on a beach " * 30]  # the last is cut
LEAST_COSINE = 0.999  # of a vector computed in bfloat16


@pytest.mark.parametrize("architecture", LOGITS)
def test_features_logits_and_captions_are_openclips(architecture: str, openclip_python: str, tmp_path: Path) -> None:
    weights = make_weights(openclip_python, architecture, END_OF_TEXT_GAIN)
    model = import_weights(weights, architecture)
    common = {
        "task": "numbers",
        "architecture": architecture,
        "weights": str(weights),
        "model": str(model),
        "threads": THREADS,
        "batch_size": IMAGES,
        "texts": TEXTS,
    }
    our_options = {"options": {"max_length": 30, "compat": "openclip"}}

    def numbers(name: str, command: list[str], request: Json) -> dict[str, Tensor]:
        file = tmp_path / f"{name}.safetensors"
        with contextlib.closing(Worker(command, {**common, **request, "file": str(file)})) as worker:
            worker.run()
        return load_file(file)

    ours = [sys.executable, str(HERE / "cocasearch_worker.py")]
    theirs = numbers("theirs", [openclip_python, str(HERE / "openclip_worker.py")], {"options": {"seq_len": 30}})
    exact = numbers("exact", ours, our_options | {"dtype": "float32"})
    rounded = numbers("rounded", ours, our_options | {"dtype": "bfloat16"})

    assert torch.equal(exact["ids"], theirs["ids"])
    vectors = ("image_features", "text_features")
    furthest = {name: float((exact[name] - theirs[name]).abs().max()) for name in (*vectors, "logits")}
    cosines = {name: float((exact[name] * rounded[name]).sum(dim=1).min()) for name in vectors}
    sys.stdout.write(f"\n{architecture}: furthest from OpenCLIP's {furthest}; bfloat16's least cosines {cosines}\n")
    assert torch.equal(exact["captions"], theirs["captions"])
    assert max(furthest["image_features"], furthest["text_features"]) <= FEATURES
    assert furthest["logits"] <= LOGITS[architecture]
    assert LEAST_COSINE <= min(cosines.values()) < 1 - 1e-6  # it did compute in another type
