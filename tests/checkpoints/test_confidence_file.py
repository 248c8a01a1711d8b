"""`confidence.json` lies beside a model, is no part of it, and says what is wrong with it."""

import json
import os
import shutil
from dataclasses import replace

import pytest

from cocasearch.checkpoints.confidence_file import (
    ConfidenceModel,
    ReliabilityBin,
    read_confidence,
    refuse_unwritable,
    write_confidence,
)
from cocasearch.checkpoints.model_folder import read_model_folder, refuse_to_replace, save_model_folder
from cocasearch.errors import CocaSearchError, CocaSearchWarning
from cocasearch.inference.loaded_model import load_model


@pytest.fixture
def folder(tiny_model_folder, tmp_path):
    return shutil.copytree(tiny_model_folder, tmp_path / "tiny")


@pytest.fixture
def confidence(folder):
    bins = (ReliabilityBin(0.0, 0.1, 0, None, None), ReliabilityBin(0.1, 0.2, 7, 0.15, 1 / 7))
    fingerprint = read_model_folder(folder).fingerprint
    options = {"strategy": "beam", "num_beams": 5, "seed": None}
    return ConfidenceModel(0.1, (1.0, -2.0, 0.3), (0.2, -1.0, 0.5), (0.1, 1.0, 0.2), options, fingerprint, 7, "d", bins)


def test_what_is_read_is_what_was_written(folder, confidence):
    before = read_model_folder(folder)
    assert before.read_confidence() is None
    write_confidence(folder, confidence)
    after = read_model_folder(folder)
    assert after.read_confidence() == confidence
    assert after.fingerprint == before.fingerprint
    assert load_model(folder, device="cpu").confidence == confidence
    assert load_model(folder, device="cpu", towers=("image",)).confidence is None
    assert load_model(folder, device="cpu", towers="image").confidence is None  # one needs no tuple
    assert {file.name for file in folder.iterdir()} == {
        "config.json", "model.safetensors", "tokenizer.json", "README.md", "confidence.json",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda stored: "{", "is damaged"),
        (lambda stored: "[]", "is damaged"),
        (lambda stored: {**stored, "format": 9}, "has format 9"),
        (lambda stored: {**stored, "coefficients": [1.0, 2.0]}, "is damaged"),
        (lambda stored: {**stored, "coefficients": [1.0, "x", 2.0]}, "is damaged"),
        (lambda stored: {**stored, "intercept": float("nan")}, "is damaged"),
        (lambda stored: {**stored, "scales": [0.1, 0.0, 1.0]}, "is damaged"),
        (lambda stored: {**stored, "features": ["cosine"]}, "is damaged"),
        (lambda stored: {**stored, "reliability": [{"low": 0}]}, "is damaged"),
        (lambda stored: {name: stored[name] for name in stored if name != "options"}, "is damaged"),
        (lambda stored: {**stored, "fingerprint": "0123"}, "was fitted to other weights"),
    ],
)
def test_a_damaged_file_is_told_in_one_sentence(folder, confidence, change, words):
    write_confidence(folder, confidence)
    file = folder / "confidence.json"
    changed = change(json.loads(file.read_text()))
    file.write_text(changed if isinstance(changed, str) else json.dumps(changed))
    with pytest.raises(CocaSearchError) as caught:
        read_confidence(folder, confidence.fingerprint)
    assert str(caught.value).startswith(f"{file} {words}")
    assert "\n" not in str(caught.value)
    assert "cocasearch models calibrate" in caught.value.hint


def test_bytes_that_are_no_text_are_damaged_too(folder):
    (folder / "confidence.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(CocaSearchError, match="is damaged"):
        read_confidence(folder, "0123")


def test_the_model_beside_a_damaged_file_works_without_it(folder):
    (folder / "confidence.json").write_text("{")
    with pytest.warns(CocaSearchWarning) as warned:
        assert load_model(folder, device="cpu").confidence is None
    told = [str(warning.message) for warning in warned]
    assert told == [
        f"{folder / 'confidence.json'} is damaged, so captions have no confidence; write it anew with: "
        "cocasearch models calibrate MODEL DATA"
    ]
    load_model(folder, device="cpu", towers=("text",))  # finds photos, and needs no such file


def test_new_weights_in_the_same_folder_have_none(folder, confidence):
    write_confidence(folder, confidence)
    stored = read_model_folder(folder)
    refuse_to_replace(folder)
    weights = {name: value + 1 for name, value in stored.load_model().state_dict().items()}
    save_model_folder(
        folder, weights, config=stored.config, preprocess=stored.preprocess, tokenizer=stored.tokenizer, provenance={}
    )
    assert read_model_folder(folder).read_confidence() is None


def test_calibrated_anew_the_file_is_replaced(folder, confidence):
    write_confidence(folder, confidence)
    write_confidence(folder, replace(confidence, n_photos=8))
    assert read_confidence(folder, confidence.fingerprint).n_photos == 8


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_is_not_ones_own_is_refused_beforehand(folder):
    folder.chmod(0o555)
    try:
        with pytest.raises(CocaSearchError, match="cannot be written: permission denied") as caught:
            refuse_unwritable(folder)
        assert f"cp -r {folder} NEW_FOLDER" in caught.value.hint
    finally:
        folder.chmod(0o755)


def test_a_place_that_takes_no_files_is_refused_beforehand(folder):
    with pytest.raises(CocaSearchError, match="cannot be written: not a directory") as caught:
        refuse_unwritable(folder / "config.json")
    assert "NEW_FOLDER" in caught.value.hint
