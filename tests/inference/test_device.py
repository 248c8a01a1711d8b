import pytest
import torch

from cocasearch.errors import CocaSearchError
from cocasearch.inference.device import choose_device


@pytest.mark.parametrize("device", ["cpu:x", "cpu:1", "cpu:", "cuda:99", "cuda:-1", "mps:7", "gpu", ":", ""])
def test_a_device_that_is_not_there_is_told_in_one_sentence(device: str) -> None:
    with pytest.raises(CocaSearchError, match=f"there is no device '{device}' here; use auto, or one of cpu"):
        choose_device(device)


def test_a_device_that_is_there_is_taken() -> None:
    assert choose_device("cpu") == torch.device("cpu")
    assert choose_device("cpu:0") == torch.device("cpu:0")
    assert choose_device().type == ("cuda" if torch.cuda.is_available() else "cpu")
