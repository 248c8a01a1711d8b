"""Every odd file is read right and finds itself in an index, every broken one is named: see zoo.py."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from images import zoo
from PIL import Image

from cocasearch.errors import UnreadableImage
from cocasearch.images.decoding import read_image
from cocasearch.images.discovery import discover_images

# Under pytest PIL's remarks on broken files would be errors; at run time they are not shown.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:PIL")

SPECIMENS = list(zoo.specimens())
MODULES = {"heif": "pillow_heif", "raw": "rawpy"}
INKS_OF_NO_PRESS = {"jpeg/press-profile.jpg", "tiff/press-profile.tif"}  # compared in test_color.py


def has(extra: str) -> bool:
    return not extra or importlib.util.find_spec(MODULES[extra]) is not None


def lightness(image: Image.Image) -> np.ndarray:
    """How light each part of an image is; the hole that see-through images have is left out."""
    levels = np.asarray(image.convert("L").resize((24, 16), Image.Resampling.BOX), float)
    levels[2:10, 2:10] = levels[12:, 12:].mean()
    return levels.ravel()


@pytest.mark.parametrize(
    ("number", "specimen"),
    [pytest.param(at, one, id=one.name[:40]) for at, one in enumerate(SPECIMENS) if not one.reason],
)
def test_good_files_show_what_was_drawn(number: int, specimen: zoo.Specimen, tmp_path: Path) -> None:
    if not has(specimen.extra):
        pytest.skip(f"the extra {specimen.extra!r} is not installed")
    file = tmp_path / Path(specimen.name).name
    file.write_bytes(specimen.content)
    image, metadata = read_image(file)
    assert image.mode == "RGB"
    assert image.size == (metadata.width, metadata.height) == (zoo.WIDTH, zoo.HEIGHT)
    if specimen.name not in INKS_OF_NO_PRESS:
        assert np.corrcoef(lightness(image), lightness(zoo.scene(number)))[0, 1] > 0.8


@pytest.mark.parametrize("specimen", [pytest.param(one, id=one.name) for one in SPECIMENS if one.reason])
def test_bad_files_are_refused_with_a_sensible_reason(specimen: zoo.Specimen) -> None:
    with pytest.raises(UnreadableImage, match=specimen.reason) as caught:
        read_image(specimen.content, min_side=64)
    assert caught.value.cause == "file"


def test_the_zoo_is_large_and_all_of_it_is_looked_at(tmp_path: Path) -> None:
    zoo.build(tmp_path)
    assert len(SPECIMENS) >= 60
    assert {image.path for image in discover_images(tmp_path)} == {one.name for one in SPECIMENS}
