"""Mixed weights lie on the line between two models, and the mixture is a model like any other."""

from pathlib import Path

import pytest
import torch

from cocasearch.checkpoints.model_folder import read_model_folder, save_model_folder
from cocasearch.errors import CocaSearchError
from cocasearch.text.tokenizer import train_tokenizer
from cocasearch.training.config import TrainingConfig
from cocasearch.training.model.interpolation import interpolate, interpolate_folders
from cocasearch.training.model.resizing import forced
from cocasearch.training.model.starting_point import StartingPoint, from_model_folder


def test_a_mixture_lies_between_and_ends_at_both() -> None:
    start, trained = {"a": torch.tensor([1.0, 2.0]), "b": torch.tensor(4.0)}, {"a": torch.tensor([3.0, 0.0])}
    trained["b"] = torch.tensor(0.1)
    mixed = interpolate(start, trained, 0.25)
    torch.testing.assert_close(mixed["a"], torch.tensor([2.5, 0.5]))
    torch.testing.assert_close(mixed["b"], torch.tensor(0.75 * 0.1 + 0.25 * 4))
    for keep, end in ((0.0, trained), (1.0, start)):
        assert all(torch.equal(value, end[name]) for name, value in interpolate(start, trained, keep).items())


def test_half_precision_weights_are_mixed_in_float32() -> None:
    start, trained = {"a": torch.tensor([1.0]).half()}, {"a": torch.tensor([1.001]).half()}
    mixed = interpolate(start, trained, 0.5)["a"]
    assert mixed.dtype == torch.float16
    assert mixed == ((start["a"].float() + trained["a"].float()) / 2).half()


@pytest.mark.parametrize(
    ("start", "keep", "message"),
    [
        ({"a": torch.zeros(2)}, 1.5, "keep must be from 0 .* not 1.5"),
        ({"b": torch.zeros(2)}, 0.5, "a is in one model alone"),
        ({"a": torch.zeros(3)}, 0.5, r"a is \(3,\) in one model and \(2,\) in the other"),
    ],
)
def test_what_cannot_be_mixed_is_refused(start: dict[str, torch.Tensor], keep: float, message: str) -> None:
    with pytest.raises(CocaSearchError, match=message):
        interpolate(start, {"a": torch.ones(2)}, keep)


def save_moved(start: StartingPoint, folder: Path, **provenance: object) -> Path:
    """The model folder of weights half a unit away from those of `start`."""
    save_model_folder(
        folder,
        {name: value + 0.5 for name, value in start.model.state_dict().items()},
        config=start.model.config,
        preprocess=start.preprocess,
        tokenizer=start.tokenizer,
        provenance=provenance,
        dtype="float32",
    )
    return folder


@pytest.fixture
def trained_folder(tmp_path: Path, model_folder: Path) -> Path:
    return save_moved(from_model_folder(model_folder), tmp_path / "trained", trained_steps=7)


def test_the_mixture_of_two_folders_is_a_model_folder(tmp_path: Path, model_folder: Path, trained_folder: Path) -> None:
    fingerprint = interpolate_folders(model_folder, trained_folder, 0.4, tmp_path / "mixed", dtype="float32")
    mixed, start = read_model_folder(tmp_path / "mixed"), read_model_folder(model_folder)
    assert mixed.fingerprint == fingerprint != read_model_folder(trained_folder).fingerprint
    kept = {"share": 0.4, "of": {"name": "untrained", "fingerprint": start.fingerprint}}
    assert mixed.provenance == {"trained_steps": 7, "kept": kept}
    for name, value in start.load_model().state_dict().items():
        torch.testing.assert_close(mixed.load_model().state_dict()[name], value + 0.3)


def test_share_that_is_kept_already_counts(tmp_path: Path, model_folder: Path, trained_folder: Path) -> None:
    start = read_model_folder(model_folder).load_model().state_dict()

    def mix(trained: Path, keep: float) -> Path:
        out = tmp_path / f"{trained.name}-mixed-{keep}"
        interpolate_folders(model_folder, trained, keep, out, dtype="float32")
        return out

    mixed = mix(trained_folder, 0.6)
    for keep in (0.6, 0.9, 1.0):
        more = read_model_folder(mix(mixed, keep))
        assert more.provenance["kept"]["share"] == keep
        for name, value in start.items():
            torch.testing.assert_close(more.load_model().state_dict()[name], value + 0.5 * (1 - keep))
    with pytest.raises(
        CocaSearchError, match=r"keeps 0\.6 of the weights it started from already, and cannot keep 0\.5"
    ):
        mix(mixed, 0.5)
    untrained = mix(trained_folder, 1.0)
    again = read_model_folder(mix(untrained, 1.0)).load_model().state_dict()
    assert all(torch.equal(value, start[name]) for name, value in again.items())
    with pytest.raises(CocaSearchError, match="keeps 1 of the weights"):
        mix(untrained, 0.5)
    other = save_moved(from_model_folder(model_folder), tmp_path / "other")  # of which it keeps nothing yet
    interpolate_folders(other, mixed, 0.5, tmp_path / "between", dtype="float32")
    for name, value in read_model_folder(tmp_path / "between").load_model().state_dict().items():
        torch.testing.assert_close(value, start[name] + (0.2 + 0.5) / 2)


def test_sizes_that_training_forced_upon_the_model_are_forced_upon_its_start(
    tmp_path: Path, tiny_model_folder: Path
) -> None:
    settings = {"force_image_size": 48, "force_context_length": 30, "seed": 3}
    start = forced(from_model_folder(tiny_model_folder), TrainingConfig().changed(**settings))
    trained = save_moved(start, tmp_path / "trained", training=settings)
    interpolate_folders(tiny_model_folder, trained, 0.4, tmp_path / "mixed", dtype="float32")
    mixed = read_model_folder(tmp_path / "mixed")
    assert (mixed.config.image.image_size, mixed.config.text.context_length) == (48, 30)
    for name, value in start.model.state_dict().items():
        torch.testing.assert_close(mixed.load_model().state_dict()[name], value + 0.3)


def test_models_of_different_words_are_not_mixed(tmp_path: Path, trained_folder: Path, new_start) -> None:
    start, other = new_start(), train_tokenizer(["a grey cat."], vocab_size=280)
    save_model_folder(
        tmp_path / "other",
        start.model.state_dict(),
        config=start.model.config,
        preprocess=start.preprocess,
        tokenizer=other,
        provenance={},
    )
    with pytest.raises(CocaSearchError, match="read words differently"):
        interpolate_folders(tmp_path / "other", trained_folder, 0.5, tmp_path / "mixed")
    assert not (tmp_path / "mixed").exists()
