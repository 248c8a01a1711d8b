import pytest
import torch

from cocasearch.errors import CocaSearchError
from cocasearch.inference.device import choose_device, choose_dtype, has_native_bfloat16


@pytest.mark.parametrize("device", ["cpu:x", "cpu:1", "cpu:", "cuda:99", "cuda:-1", "mps:7", "gpu", ":", ""])
def test_a_device_that_is_not_there_is_told_in_one_sentence(device: str) -> None:
    with pytest.raises(CocaSearchError, match=f"there is no device '{device}' here; use auto, or one of cpu"):
        choose_device(device)


def test_a_device_that_is_there_is_taken() -> None:
    assert choose_device("cpu") == torch.device("cpu")
    assert choose_device("cpu:0") == torch.device("cpu:0")
    assert choose_device().type == ("cuda" if torch.cuda.is_available() else "cpu")


def test_bfloat16_is_chosen_where_it_is_native(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COCASEARCH_DTYPE")
    native = has_native_bfloat16(torch.device("cpu"))
    assert choose_dtype("auto", torch.device("cpu")) == (torch.bfloat16 if native else torch.float32)


def test_the_environment_decides_what_automatic_means_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COCASEARCH_DTYPE", "bfloat16")
    assert choose_dtype("auto") == torch.bfloat16
    assert choose_dtype("float32") == torch.float32
    monkeypatch.setenv("COCASEARCH_DTYPE", "float8")
    with pytest.raises(CocaSearchError, match="unknown dtype 'float8'"):
        choose_dtype("auto")
