"""Reading and writing of safetensors files tensor by tensor, so that no second copy of a model is in memory.

A mapped tensor costs nothing until it is used, but then takes memory as long as any tensor of the file is kept. A
copied one is freed when it is dropped, which suits tensors that are about to be replaced.
"""

import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from cocasearch.errors import CocaSearchError
from cocasearch.json_values import parse_json

_DTYPE_NAMES = {torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16"}
_ALIGNMENT = 8  # of the first tensor, so that a mapped file can be used as it is
_FLOATING = ("F64", "F32", "F16", "BF16")
_DTYPES = {name: dtype for dtype, name in _DTYPE_NAMES.items()}


class WeightsFile:
    """An open weights file.

    Attributes:
        shapes: The shape of each tensor, by name.
    """

    def __init__(self, file: Path, opened: Any, *, mapped: bool) -> None:
        self._file, self._opened, self._mapped = file, opened, mapped
        self.shapes = {name: tuple(opened.get_slice(name).get_shape()) for name in opened.keys()}  # noqa: SIM118
        with file.open("rb") as raw:
            length = int.from_bytes(raw.read(8), "little")
            self._header = parse_json(raw.read(length))
        self._start = 8 + length

    def read(self, name: str) -> Tensor:
        """The tensor of this name, mapped or copied."""
        described = self._header[name]
        if described["dtype"] not in _FLOATING:
            raise CocaSearchError(f"{name} is stored as {described['dtype']}: weights must be floating-point numbers")
        if self._mapped or described["dtype"] not in _DTYPES:
            return self._opened.get_tensor(name)
        first, end = described["data_offsets"]
        content = np.fromfile(self._file, np.uint8, count=end - first, offset=self._start + first)
        return torch.from_numpy(content).view(_DTYPES[described["dtype"]]).view(self.shapes[name])


@contextmanager
def open_weights(file: Path, *, mapped: bool = True) -> Iterator[WeightsFile]:
    """The weights file, open during the block.

    Raises:
        CocaSearchError: It cannot be read, or is damaged.
    """
    try:
        with safe_open(file, framework="pt") as opened:
            yield WeightsFile(file, opened, mapped=mapped)
    except (SafetensorError, OSError, ValueError) as error:
        raise CocaSearchError(f"cannot read the weights {file}: {error}") from error


def write_weights(
    weights: Mapping[str, Tensor], file: Path, dtype: torch.dtype, progress: Callable[[int, int], None] | None = None
) -> None:
    """Write tensors in `dtype` to a new file, byte for byte as the safetensors library does.

    Args:
        weights: Tensors by name, on any device.
        file: The file to write.
        dtype: float32, float16 or bfloat16.
        progress: Called with the bytes done and the bytes in all.

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
            "dtype": _DTYPE_NAMES[dtype],
            "shape": list(weights[name].shape),
            "data_offsets": [start, end],
        }
    text = json.dumps(described, separators=(",", ":"), ensure_ascii=False).encode()
    return text + b" " * (-len(text) % _ALIGNMENT), end


def _refuse_overflow(name: str, weight: Tensor, stored: Tensor) -> None:
    if stored.dtype is torch.float16 and not stored.isfinite().all() and weight.isfinite().all():
        raise CocaSearchError(f"{name} has values too large for float16", hint="--dtype bfloat16 or --dtype float32")
