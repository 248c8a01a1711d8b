"""Writes `golden/openclip/tiny_main_training.safetensors`: what OpenCLIP's training makes of the tiny model.

    python tests/benchmarks/training_golden.py ~/openclip-venv/bin/python

with the package's own Python; the one named has OpenCLIP, as README.md beside this file says.
"""

import json
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from safetensors.torch import load_file, save_file  # noqa: E402
from seeded_openclip import TINY, seeded_weights, training_batch  # noqa: E402
from torch import Tensor  # noqa: E402

FILE = HERE.parent / "golden" / "openclip" / "tiny_main_training.safetensors"
EVERY = 97
TINY_CFG = {
    "embed_dim": 64,
    "vision_cfg": {
        "image_size": 32,
        "layers": 2,
        "width": 96,
        "head_width": 32,
        "patch_size": 8,
        "attentional_pool": True,
        "attn_pooler_queries": 16,
        "attn_pooler_heads": 8,
        "output_tokens": True,
    },
    "text_cfg": {
        "context_length": 24,
        "vocab_size": 1000,
        "width": 64,
        "heads": 4,
        "layers": 2,
        "embed_cls": True,
        "output_tokens": True,
    },
    "multimodal_cfg": {
        "context_length": 24,
        "vocab_size": 1000,
        "width": 64,
        "heads": 4,
        "layers": 2,
        "attn_pooler_heads": 8,
    },
}
# name -> options of open_clip_train; eight pictures in all, whatever divides them
CASES: dict[str, dict[str, Any]] = {
    "one": {},
    "accumulated": {"accum_freq": 2},
    "two": {"processes": 2},
    # with gathered gradients ours count captions by token, OpenCLIP by process: so without captions
    "two_gather": {"processes": 2, "gather_with_grad": True, "coca_caption_loss_weight": 0.0},
    "two_local": {"processes": 2, "local_loss": True},
    "two_local_gather": {
        "processes": 2,
        "local_loss": True,
        "gather_with_grad": True,
        "coca_caption_loss_weight": 0.0,
    },
}


def run_openclip(python: str, folder: Path, **options: Any) -> dict[str, Tensor]:
    """What open_clip_train makes of the tiny model in a folder for files: `losses`, `gradient.*`, `parameter.*`."""
    save_file(seeded_weights(*TINY["tiny_main"], 999), folder / "weights.safetensors")
    model = {"model_cfg": TINY_CFG, "weights": str(folder / "weights.safetensors")}
    return train_with_openclip(python, folder, *training_batch(), **model, **options)


def train_with_openclip(python: str, folder: Path, pixels: Tensor, ids: Tensor, **request: Any) -> dict[str, Tensor]:
    """One epoch over pictures [N, 3, H, W] and texts [N, L], cut into `accum_freq` batches."""
    parts = request.get("accum_freq", 1)
    batches = {f"images.{n}": part.contiguous() for n, part in enumerate(pixels.chunk(parts))}
    batches |= {f"texts.{n}": part.contiguous() for n, part in enumerate(ids.chunk(parts))}
    save_file(batches, folder / "batches.safetensors")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    files = {name: str(folder / f"{name}.safetensors") for name in ("batches", "out")}
    (folder / "request.json").write_text(json.dumps({**files, "port": port, "lr": 1e-3, "wd": 0.2, **request}))
    subprocess.run([python, HERE / "openclip_training.py", folder / "request.json"], check=True)
    return load_file(folder / "out.safetensors")


def main(python: str) -> None:
    golden = {}
    for name, options in CASES.items():
        with tempfile.TemporaryDirectory() as folder:
            for key, value in run_openclip(python, Path(folder), **options).items():
                thin = value if key == "losses" else value.flatten()[::EVERY].contiguous()
                if key.startswith("gradient."):
                    golden[f"{name}.norm.{key.removeprefix('gradient.')}"] = value.norm().reshape(1)
                if key.startswith("gradient.") or key == "losses" or name == "one":
                    golden[f"{name}.{key}"] = thin
    save_file(golden, FILE)


if __name__ == "__main__":
    main(*sys.argv[1:])
