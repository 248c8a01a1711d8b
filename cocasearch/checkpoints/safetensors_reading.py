"""Reading of safetensors files tensor by tensor, mapped into memory or copied.

A mapped tensor costs nothing until it is used, but then takes memory as long as any tensor of the file is kept. A
copied one is freed when it is dropped, which suits tensors that are about to be replaced.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from cocasearch.checkpoints.safetensors_writing import DTYPE_NAMES
from cocasearch.errors import CocaSearchError
from cocasearch.json_values import parse_json

_FLOATING = ("F64", "F32", "F16", "BF16")
_DTYPES = {name: dtype for dtype, name in DTYPE_NAMES.items()}


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
