import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from images import zoo
from PIL import Image

from cocasearch.errors import UnreadableImage
from cocasearch.images import decoding
from cocasearch.images.color import to_srgb
from cocasearch.images.decoding import read_image
from cocasearch.images.memory_budget import MemoryBudget
from cocasearch.images.transforms import Preprocess, PreprocessConfig


def test_never_more_is_taken_than_there_is_and_what_is_too_large_is_alone() -> None:
    budget, lock, taken, most, alone = MemoryBudget(100), threading.Lock(), 0, 0, []

    def work(size: int) -> None:
        nonlocal taken, most
        with budget.taking(size):
            with lock:
                taken += size
                most = max(most, taken if size <= 100 else 0)
                alone.append(taken == size if size > 100 else True)
            threading.Event().wait(0.002)
            with lock:
                taken -= size

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, [30, 70, 1000, 5, 60, 45, 100, 500, 1, 99] * 4))
    assert most <= 100 and all(alone) and len(alone) == 40


def test_what_fails_gives_back_what_it_has_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoding, "DECODING", MemoryBudget(10))
    content = zoo.encoded(zoo.scene(1), "PNG")
    with pytest.raises(UnreadableImage):
        read_image(content[:-200])
    with ThreadPoolExecutor(4) as pool:
        assert len(list(pool.map(read_image, [content] * 20))) == 20


@pytest.mark.parametrize("name", sorted(zoo.GOOD))
def test_a_very_large_image_is_converted_in_bands_and_looks_the_same(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if name.startswith(("raw", "heic")) or "float" in name:
        pytest.skip("needs an extra, or is reduced before its levels are stretched")
    monkeypatch.setattr("cocasearch.images.color._BAND", 1000)
    content = zoo.GOOD[name](zoo.scene(5))
    whole, _ = read_image(content)
    monkeypatch.setattr("cocasearch.images.decoding.to_srgb", lambda image, _: to_srgb(image, 4))
    small, _ = read_image(content)
    assert small.size in {(24, 16)}
    difference = np.abs(np.asarray(small, float) - np.asarray(whole.reduce(4), float))
    assert difference.mean() < 2


def test_the_middle_of_a_very_long_image_is_looked_at() -> None:
    long = Image.new("RGB", (60_000, 2), "red")
    long.paste("blue", (29_000, 0, 31_000, 2))
    pixels = Preprocess(PreprocessConfig(image_size=16)).resize(long)
    assert pixels.size == (16, 16)
    assert pixels.getcolors() == [(256, (0, 0, 255))]
