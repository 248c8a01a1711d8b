"""Safetensors files, written tensor by tensor: no second copy of a model is ever in memory."""

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import Tensor

from cocasearch.errors import CocaSearchError

DTYPE_NAMES = {torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16"}
_ALIGNMENT = 8  # of the first tensor, so that a mapped file can be used as it is


def write_weights(
    weights: Mapping[str, Tensor], file: Path, dtype: torch.dtype, progress: Callable[[int, int], None] | None = None
) -> None:
    """Write tensors in `dtype` to a new file, byte for byte as the safetensors library does.

    Args:
        weights: Tensors by name, on any device.
        file: Where to.
        dtype: float32, float16 or bfloat16.
        progress: Told bytes done and bytes in all.

    Raises:
        CocaSearchError: A weight is too large for `dtype`.
        OSError: It cannot be written.
    """
    names = sorted(weights)
    header, total = _header(weights, names, dtype)
    done = 0
    with file.open("wb") as out:
        out.write(len(header).to_bytes(8, "little") + header)
        for name in names:
            stored = weights[name].detach().to("cpu", dtype).contiguous()
            _refuse_overflow(name, weights[name], stored)
            done += out.write(stored.reshape(-1).view(torch.uint8).numpy().data)
            if progress:
                progress(done, total)
        out.flush()
        os.fsync(out.fileno())  # before the file's folder gets its name


def _header(weights: Mapping[str, Tensor], names: list[str], dtype: torch.dtype) -> tuple[bytes, int]:
    described, end = {}, 0
    for name in names:
        start, end = end, end + weights[name].numel() * dtype.itemsize
        described[name] = {
            "dtype": DTYPE_NAMES[dtype],
            "shape": list(weights[name].shape),
            "data_offsets": [start, end],
        }
    text = json.dumps(described, separators=(",", ":"), ensure_ascii=False).encode()
    return text + b" " * (-len(text) % _ALIGNMENT), end


def _refuse_overflow(name: str, weight: Tensor, stored: Tensor) -> None:
    if stored.dtype is torch.float16 and not stored.isfinite().all() and weight.isfinite().all():
        raise CocaSearchError(f"{name} has values too large for float16", hint="--dtype bfloat16 or --dtype float32")
