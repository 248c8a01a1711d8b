"""Weights written tensor by tensor are the bytes that the safetensors library writes."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from cocasearch.checkpoints.safetensors_writing import write_weights
from cocasearch.errors import CocaSearchError

WEIGHTS = {
    "b.weight": torch.randn(5, 7).T,
    "a": torch.tensor(1.5),
    "b.bias": torch.randn(3, 4, 2)[:, 1],
    "ü": torch.ones(1),
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_the_bytes_are_the_librarys(tmp_path: Path, dtype: torch.dtype) -> None:
    told: list[tuple[int, int]] = []
    write_weights(WEIGHTS, tmp_path / "ours", dtype, lambda *state: told.append(state))
    save_file({name: value.to(dtype).contiguous() for name, value in WEIGHTS.items()}, tmp_path / "theirs")
    assert (tmp_path / "ours").read_bytes() == (tmp_path / "theirs").read_bytes()
    total = sum(value.numel() for value in WEIGHTS.values()) * dtype.itemsize
    assert told[-1] == (total, total)
    assert len(told) == len(WEIGHTS)


def test_what_float16_cannot_hold_is_named(tmp_path: Path) -> None:
    with pytest.raises(CocaSearchError, match="b has values too large for float16") as caught:
        write_weights({"a": torch.ones(2), "b": torch.tensor([1e5])}, tmp_path / "w", torch.float16)
    assert caught.value.hint == "--dtype bfloat16 or --dtype float32"
