"""A weights file becomes a model folder that gives the same numbers, or nothing at all."""

import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from small_checkpoint import SMALL_CONFIG, small_weights
from torch import Tensor

from cocasearch.checkpoints.foreign.imported_model import ImportOptions, import_weights
from cocasearch.checkpoints.foreign.openclip_configs import from_openclip_config
from cocasearch.checkpoints.foreign.openclip_weights import from_openclip
from cocasearch.checkpoints.model_folder import read_model_folder
from cocasearch.errors import CocaSearchError
from cocasearch.inference.generation.captioner import Captioner, CaptionOptions
from cocasearch.inference.loaded_model import load_model

SMALL = from_openclip_config("small", SMALL_CONFIG)


@pytest.fixture(scope="module")
def weights() -> dict[str, Tensor]:
    return small_weights()


@pytest.fixture
def file(tmp_path: Path, weights: dict[str, Tensor]) -> Path:
    torch.save(weights, tmp_path / "open_clip_pytorch_model.bin")
    return tmp_path / "open_clip_pytorch_model.bin"


def take_in(file: Path, **options: object) -> Path:
    folder = file.parent / "models" / "small"
    settings = ImportOptions(**options)  # type: ignore[arg-type]
    import_weights(file, folder, SMALL, settings, provenance={"sha256": "0"}, progress=lambda *_: None)
    return folder


def test_what_is_stored_is_what_was_published(file: Path, weights: dict[str, Tensor]) -> None:
    folder = take_in(file)
    stored = load_file(folder / "model.safetensors")
    expected = from_openclip(weights, SMALL.config)
    assert stored.keys() == expected.keys()
    assert all(torch.equal(stored[name], expected[name]) for name in stored)
    read = read_model_folder(folder)
    assert read.config == SMALL.config
    assert read.preprocess == SMALL.preprocess
    assert read.provenance == {"sha256": "0", "imported_from": file.name, "architecture": "small"}


def test_it_embeds_and_captions(file: Path) -> None:
    loaded = load_model(take_in(file), device="cpu", dtype="float32")
    pixels = torch.randn(2, 3, 32, 32)
    assert loaded.model.encode_text(loaded.tokenize(["a dog", "two cats"])).shape == (2, 16)
    captions = Captioner(loaded).caption_pixels(pixels, CaptionOptions(max_length=8))
    assert len(captions) == 2


@pytest.mark.parametrize(("dtype", "size"), [("bfloat16", 2), ("float16", 2)])
def test_other_dtypes_are_half_as_large(file: Path, weights: dict[str, Tensor], dtype: str, size: int) -> None:
    folder = take_in(file, dtype=dtype)
    numbers = sum(value.numel() for value in weights.values())
    assert (folder / "model.safetensors").stat().st_size == pytest.approx(numbers * size, rel=0.01)
    stored, exact = load_file(folder / "model.safetensors"), from_openclip(weights, SMALL.config)
    for name, value in stored.items():
        torch.testing.assert_close(value.float(), exact[name], atol=1e-6, rtol=2**-8)


def test_another_image_size_resizes_the_positions(file: Path) -> None:
    folder = take_in(file, image_size=48)
    loaded = load_model(folder, device="cpu")
    assert read_model_folder(folder).preprocess.image_size == 48
    assert loaded.model.image_encoder.positions.shape == (37, 32)
    with pytest.raises(CocaSearchError, match="50 pixels cannot be cut into patches of 8") as caught:
        take_in(file, image_size=50, replace=True)
    assert caught.value.hint == "--image-size 48"


def test_weights_of_another_image_size_and_text_length_keep_theirs(tmp_path: Path, weights: dict[str, Tensor]) -> None:
    larger = {"visual.positional_embedding": torch.randn(65, 32), "text.positional_embedding": torch.randn(13, 16)}
    save_file(weights | larger, tmp_path / "weights.safetensors")
    read = read_model_folder(take_in(tmp_path / "weights.safetensors"))
    assert (read.config.image.image_size, read.preprocess.image_size) == (64, 64)
    assert read.config.text.context_length == 12


def test_a_model_is_replaced_only_if_that_is_wanted(file: Path) -> None:
    folder = take_in(file)
    before = (folder / "config.json").stat().st_ino
    with pytest.raises(CocaSearchError, match="there is a model 'small' already") as caught:
        take_in(file)
    assert caught.value.hint == "the same with --force"
    assert (folder / "config.json").stat().st_ino == before
    take_in(file, replace=True)
    assert (folder / "config.json").stat().st_ino != before
    assert [entry.name for entry in folder.parent.iterdir()] == ["small"]


@pytest.mark.parametrize("name", ["notes.txt", "config.json", "checkpoint.pt"])
def test_what_is_no_model_is_never_replaced(file: Path, name: str) -> None:
    folder = file.parent / "models" / "small"
    folder.mkdir(parents=True)
    (folder / name).write_text('{"model_type": "clip"}')
    with pytest.raises(CocaSearchError, match="is there already and is no model folder"):
        take_in(file, replace=True)
    assert [entry.name for entry in folder.iterdir()] == [name]


def test_a_model_with_something_beside_it_is_not_replaced(file: Path) -> None:
    folder = take_in(file)
    (folder / "notes.txt").write_text("precious")
    with pytest.raises(CocaSearchError, match=r"also holds notes\.txt, which is no part of a model"):
        take_in(file, replace=True)
    assert (folder / "notes.txt").read_text() == "precious"


def without(prefix: str) -> Callable[[dict[str, Tensor]], dict[str, Tensor]]:
    return lambda weights: {key: value for key, value in weights.items() if not key.startswith(prefix)}


UNFIT: dict[str, tuple[Callable[[dict[str, Tensor]], dict[str, Tensor]], str]] = {
    "a clip": (without("text_decoder."), "weights of a CLIP"),
    "a resnet": (
        lambda _: {"conv1.weight": torch.zeros(64, 3, 7, 7), "fc.bias": torch.zeros(9)},
        "no weights of a CoCa",
    ),
    "half of it": (without("visual.transformer"), r"visual\.transformer\.resblocks\.0\..* is missing"),
    "no table of positions": (
        lambda w: w | {"visual.positional_embedding": torch.tensor(1.0)},
        r"position embeddings of shape \(\) are no table",
    ),
    "no position but one": (
        lambda w: w | {"text.positional_embedding": torch.zeros(1, 16)},
        r"position embeddings of shape \(1, 16\) are no table",
    ),
    "diverged": (
        lambda w: w | {"visual.proj": torch.full_like(w["visual.proj"], torch.nan)},
        r"image_projection\.weight holds values that are no numbers",
    ),
    "another width": (lambda w: w | {"visual.proj": torch.zeros(16, 8)}, r"visual\.proj is \(16, 8\), not \(16, 16\)"),
}


@pytest.mark.parametrize(("change", "sentence"), UNFIT.values(), ids=UNFIT)
def test_weights_that_do_not_fit_leave_nothing(
    tmp_path: Path, weights: dict[str, Tensor], change: Callable[[dict[str, Tensor]], dict[str, Tensor]], sentence: str
) -> None:
    file = tmp_path / "weights.pt"
    torch.save({"state_dict": change(weights)}, file)
    with pytest.raises(CocaSearchError, match=sentence) as caught:
        take_in(file)
    assert str(file) in str(caught.value)
    assert not (tmp_path / "models").exists()


def test_a_vocabulary_without_its_tokenizer_is_refused(tmp_path: Path, weights: dict[str, Tensor]) -> None:
    small = SMALL.config
    narrow = replace(SMALL, config=replace(small, text=replace(small.text, vocab_size=300)))
    cut = {"text.token_embedding.weight": torch.zeros(300, 16), "text_decoder.text_projection": torch.zeros(16, 300)}
    torch.save(weights | cut, tmp_path / "w.bin")
    with pytest.raises(CocaSearchError, match="know 300 tokens, which are not") as caught:
        import_weights(
            tmp_path / "w.bin", tmp_path / "m", narrow, ImportOptions(), provenance={}, progress=lambda *_: None
        )
    assert "--tokenizer" in str(caught.value.hint)


IMPORT = """
import sys
from pathlib import Path
from cocasearch.checkpoints.foreign.imported_model import ImportOptions, import_weights
from cocasearch.checkpoints.foreign.openclip_configs import read_architecture
from cocasearch.errors import CocaSearchError
file, folder, config = map(Path, sys.argv[1:])
small = read_architecture(str(config))
try:
    import_weights(file, folder, small, ImportOptions(), provenance={}, progress=lambda *_: None)
except CocaSearchError as error:
    sys.exit(str(error))
"""


def import_in_a_process(file: Path, folder: Path, largest: int = resource.RLIM_INFINITY) -> str:
    """What an import says that may write no file larger than so many bytes."""
    config = file.parent / "config.json"
    config.write_text(json.dumps(SMALL_CONFIG))
    done = subprocess.run(
        [sys.executable, "-c", IMPORT, str(file), str(folder), str(config)],
        capture_output=True,
        text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (largest, largest)),
    )
    assert "Traceback" not in done.stderr
    return done.stderr


def test_a_file_that_may_not_grow_is_told_and_leaves_nothing(file: Path) -> None:
    home = file.parent / "models"
    said = import_in_a_process(file, home / "small", largest=1_000_000)
    assert said == f"{home / 'small'} cannot be written: file too large\n"
    assert list(home.iterdir()) == []


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 16 MB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", str(disk)], capture_output=True)
    if mounted.returncode:
        pytest.skip("this user may not mount a disk")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


@pytest.mark.soak
def test_a_full_disk_is_told_and_leaves_nothing(file: Path, small_disk: Path) -> None:
    (small_disk / "ballast").write_bytes(bytes(10_000_000))
    said = import_in_a_process(file, small_disk / "models" / "small")
    assert "the disk of" in said
    assert "are needed" in said
    assert [entry.name for entry in small_disk.iterdir()] == ["ballast"]


@pytest.mark.soak
def test_a_disk_that_fills_while_a_model_is_written_keeps_none_of_it(
    file: Path, small_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cocasearch.checkpoints.foreign.imported_model.refuse_small_disks", lambda needs: None)
    (small_disk / "ballast").write_bytes(bytes(12_000_000))
    with pytest.raises(CocaSearchError, match="cannot be written: no space left on device"):
        import_weights(
            file, small_disk / "models" / "m", SMALL, ImportOptions(), provenance={}, progress=lambda *_: None
        )
    assert list((small_disk / "models").iterdir()) == []
    assert os.statvfs(small_disk).f_bavail * os.statvfs(small_disk).f_frsize > 3_000_000
