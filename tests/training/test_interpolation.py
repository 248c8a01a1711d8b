"""Mixed weights lie on the line between two models, and the mixture is a model like any other."""

from pathlib import Path

import pytest
import torch

from cocasearch.checkpoints.storage import read_model_folder, save_model_folder
from cocasearch.errors import CocaSearchError
from cocasearch.text.tokenizer import train_tokenizer
from cocasearch.training.interpolation import interpolate, interpolate_folders


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


@pytest.fixture
def trained_folder(tmp_path: Path, model_folder: Path) -> Path:
    stored = read_model_folder(model_folder)
    moved = {name: value + 0.5 for name, value in stored.load_model().state_dict().items()}
    save_model_folder(
        tmp_path / "trained",
        moved,
        config=stored.config,
        preprocess=stored.preprocess,
        tokenizer=stored.tokenizer,
        provenance={"trained_steps": 7},
        dtype="float32",
    )
    return tmp_path / "trained"


def test_the_mixture_of_two_folders_is_a_model_folder(tmp_path: Path, model_folder: Path, trained_folder: Path) -> None:
    fingerprint = interpolate_folders(model_folder, trained_folder, 0.4, tmp_path / "mixed", dtype="float32")
    mixed, start = read_model_folder(tmp_path / "mixed"), read_model_folder(model_folder)
    assert mixed.fingerprint == fingerprint != read_model_folder(trained_folder).fingerprint
    kept = {"share": 0.4, "of": {"name": "untrained", "fingerprint": start.fingerprint}}
    assert mixed.provenance == {"trained_steps": 7, "kept": kept}
    for name, value in start.load_model().state_dict().items():
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
