import subprocess
import sys
import timeit
from pathlib import Path

import numpy as np
import pytest
import torch

from cocasearch.errors import CocaSearchError
from cocasearch.inference.device import (
    choose_device,
    choose_dtype,
    giving_back_freed_memory,
    is_faster_in_bfloat16,
    keep_freed_memory,
)


@pytest.mark.parametrize("device", ["cpu:x", "cpu:1", "cpu:", "cuda:99", "cuda:-1", "mps:7", "gpu", ":", ""])
def test_a_device_that_is_not_there_is_told_in_one_sentence(device: str) -> None:
    with pytest.raises(CocaSearchError, match=f"there is no device '{device}' here; use auto or cpu"):
        choose_device(device)


def test_a_device_that_is_there_is_taken() -> None:
    assert choose_device("cpu") == torch.device("cpu")
    assert choose_device("cpu:0") == torch.device("cpu:0")
    assert choose_device().type == ("cuda" if torch.cuda.is_available() else "cpu")


def product_seconds(dtype: torch.dtype) -> float:
    """The slow way to know: large products, on all threads."""
    x = torch.ones(1024, 1024, dtype=dtype)
    return min(timeit.repeat(lambda: x @ x, number=3, repeat=7))


def test_bfloat16_is_chosen_where_it_is_faster(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COCASEARCH_DTYPE", raising=False)
    times_as_fast = product_seconds(torch.float32) / product_seconds(torch.bfloat16)
    if 0.8 < times_as_fast < 2:
        pytest.skip(f"either may be chosen where bfloat16 is {times_as_fast:.1f} times as fast")
    expected = torch.bfloat16 if times_as_fast > 1 else torch.float32
    assert choose_dtype("auto", torch.device("cpu")) == expected


def test_timing_leaves_the_threads_as_they_were() -> None:
    is_faster_in_bfloat16.cache_clear()
    before = torch.get_num_threads()
    is_faster_in_bfloat16(torch.device("cpu"))
    assert torch.get_num_threads() == before


def test_the_environment_decides_what_automatic_means_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COCASEARCH_DTYPE", "bfloat16")
    assert choose_dtype("auto") == torch.bfloat16
    assert choose_dtype("float32") == torch.float32
    monkeypatch.setenv("COCASEARCH_DTYPE", "float8")
    with pytest.raises(CocaSearchError, match="unknown dtype 'float8'"):
        choose_dtype("auto")


def memory_kept() -> None:
    """Write by how many megabytes the process has grown once 64 are freed, within and afterwards."""

    def growth() -> int:
        before = resident()
        block = np.ones(2**23)
        assert resident() - before > 60
        del block
        return resident() - before

    def resident() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 // 2**20

    keep_freed_memory()
    with giving_back_freed_memory():
        within = growth()
    sys.stdout.write(f"{within} {growth()}")


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="of glibc")
def test_memory_is_kept_but_for_work_that_is_no_models() -> None:
    command = [sys.executable, "-c", f"import runpy; runpy.run_path({str(Path(__file__))!r})['memory_kept']()"]
    within, after = map(int, subprocess.run(command, check=True, capture_output=True, text=True).stdout.split())
    assert within < 4 and after > 60
