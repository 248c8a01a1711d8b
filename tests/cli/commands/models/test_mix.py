"""What has been trained is mixed with what it started from at the prompt, without training again."""

import pytest
import torch

from cocasearch.checkpoints.model_folder import read_model_folder, save_model_folder
from cocasearch.checkpoints.registry import resolve_model


def save_trained(folder, start, moved_by):
    """The model `start`, every weight moved, as a run would write it."""
    stored = read_model_folder(resolve_model(start))
    save_model_folder(
        folder,
        {name: value + moved_by for name, value in stored.load_model().state_dict().items()},
        config=stored.config,
        preprocess=stored.preprocess,
        tokenizer=stored.tokenizer,
        provenance={"started_from": {"name": start, "fingerprint": stored.fingerprint}},
    )


def weights(folder):
    return read_model_folder(folder).load_model().state_dict()


def test_share_of_the_starting_weights_is_kept(prompt):
    save_trained(prompt.folder / "mine", "tiny", 0.5)
    result = prompt("models", "mix", "./mine", "--keep", "0.4", "--out", "mixed")
    assert result.exit_code == 0, result.stderr
    assert "cocasearch eval DATA --model mixed" in result.stderr
    start, mixed = weights(resolve_model("tiny")), weights(prompt.folder / "mixed")
    for name, value in start.items():
        torch.testing.assert_close(mixed[name], value + 0.3, atol=2e-3, rtol=2e-3)  # stored in float16


@pytest.mark.parametrize(
    ("provenance", "words"),
    [
        ({}, "does not say what it was trained from"),
        ({"started_from": {"name": "lost", "fingerprint": "0"}}, "was trained from lost, which is not here"),
        ({"started_from": {"name": "tiny", "fingerprint": "0"}}, "is not the tiny that"),
    ],
)
def test_unknown_start_is_asked_for(prompt, provenance, words):
    stored = read_model_folder(resolve_model("tiny"))
    save_model_folder(
        prompt.folder / "mine",
        stored.load_model().state_dict(),
        config=stored.config,
        preprocess=stored.preprocess,
        tokenizer=stored.tokenizer,
        provenance=provenance,
    )
    result = prompt("models", "mix", "./mine", "--keep", "0.5", "--out", "mixed")
    assert result.exit_code == 1
    assert words in " ".join(result.stderr.split())
    assert "--start" in result.stderr
    assert not (prompt.folder / "mixed").exists()
    assert prompt("models", "mix", "./mine", "--keep", "0.5", "--out", "mixed", "--start", "tiny").exit_code == 0


def test_folder_that_cannot_be_written_names_the_option(prompt):
    save_trained(prompt.folder / "mine", "tiny", 0.5)
    result = prompt("models", "mix", "./mine", "--keep", "0.4", "--out", "photos/red-square.jpg/mixed")
    assert result.exit_code == 1
    assert "photos/red-square.jpg/mixed cannot be written: " in result.stderr
    assert "hint: --out NEW_FOLDER\n" in result.stderr


def test_finished_model_is_not_replaced(prompt):
    save_trained(prompt.folder / "mine", "tiny", 0.5)
    before = read_model_folder(prompt.folder / "mine").fingerprint
    assert prompt("models", "mix", "./mine", "--keep", "1", "--out", "mine").exit_code == 1
    assert read_model_folder(prompt.folder / "mine").fingerprint == before
