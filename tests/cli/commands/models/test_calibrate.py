"""A model learns at the prompt how far its captions can be trusted, and says so from then on."""

import json
import shutil

import pytest
import torch
from PIL import Image

from cocasearch.checkpoints.model_folder import read_model_folder
from cocasearch.checkpoints.registry import resolve_model
from cocasearch.cli.console import rounded
from cocasearch.inference.generation.captioner import Captioner
from cocasearch.inference.loaded_model import load_model
from cocasearch.text.words import words_of

N_PHOTOS = 120


@pytest.fixture(scope="module")
def flat_photos(tmp_path_factory):
    """Small photos of one colour each, all different."""
    folder = tmp_path_factory.mktemp("flat")
    for number in range(N_PHOTOS):
        colour = (number * 53 % 256, number * 101 % 256, number * 197 % 256)
        Image.new("RGB", (40, 32), colour).save(folder / f"{number:03}.png")
    return folder


@pytest.fixture
def captioned(prompt, flat_photos):
    """The photos, of which every third has the words that the model writes, and the others one of another world."""
    loaded = load_model("tiny", device="cpu")
    files = sorted(flat_photos.iterdir())
    pixels = torch.stack([loaded.preprocess(Image.open(file)) for file in files])
    captions = [" ".join(words_of(caption.text)) for caption in Captioner(loaded).caption_pixels(pixels)]
    rows = [
        f"{file}\t{text if n % 3 == 0 and text else 'quux'}"
        for n, (file, text) in enumerate(zip(files, captions, strict=True))
    ]
    (prompt.folder / "data.tsv").write_text("\n".join(["filepath\ttitle", *rows]) + "\n")
    return prompt


def test_captions_have_a_confidence_from_then_on(captioned):
    folder = resolve_model("tiny")
    before = read_model_folder(folder).fingerprint
    result = captioned("models", "calibrate", "tiny", "data.tsv", "--json")
    assert result.exit_code == 0, result.stderr
    found = json.loads(result.stdout)
    assert (found["n_photos"], found["n_unreadable"]) == (N_PHOTOS, 0)
    assert 0.1 < found["share_right"] < 0.34  # some captions say nothing
    assert sum(row["n_photos"] for row in found["reliability"]) == N_PHOTOS
    assert found["confidence"] == rounded(json.loads((folder / "confidence.json").read_text()))
    assert read_model_folder(folder).fingerprint == before
    report = json.loads(captioned("eval", "data.tsv", "--model", "tiny", "--json").stdout)
    assert set(report["captions"]["hallucination"]["sure"]) >= {"share", "per_caption", "per_object_word"}
    info = json.loads(captioned("models", "info", "tiny", "--json").stdout)
    assert info["caption_confidence"]["n_photos"] == N_PHOTOS


def test_reliability_is_a_table_for_people(captioned):
    result = captioned("models", "calibrate", "tiny", "data.tsv")
    assert result.exit_code == 0, result.stderr
    lines = result.stdout.splitlines()
    assert lines[0] == f"tiny on {N_PHOTOS} photos, each half measured by a fit to the other half"
    assert lines[2].split() == ["confidence", "photos", "mean", "confidence", "share", "right"]
    assert any("of the captions are right" in line for line in lines)
    assert "other captions" in result.stdout


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        (N_PHOTOS, "0 of 120 captions are right and 120 wrong; at least 10 of each"),
        (60, "at least 100 photos that can be read, and there are 60"),
    ],
)
def test_what_shows_nothing_is_refused_and_nothing_written(captioned, rows, words):
    file = captioned.folder / "data.tsv"
    header, *given = file.read_text().splitlines()
    wrong = [row.split("\t")[0] + "\tquux" for row in given[:rows]]
    file.write_text("\n".join([header, *wrong]) + "\n")
    result = captioned("models", "calibrate", "tiny", "data.tsv")
    assert result.exit_code == 1
    assert words in " ".join(result.stderr.split())
    assert "Traceback" not in result.stderr
    assert not (resolve_model("tiny") / "confidence.json").exists()


def test_a_mixed_model_is_to_be_calibrated_anew(captioned):
    folder = resolve_model("tiny")
    assert captioned("models", "calibrate", "tiny", "data.tsv").exit_code == 0
    shutil.copytree(folder, captioned.folder / "mine")
    result = captioned("models", "mix", "./mine", "--keep", "0.5", "--out", "mixed", "--start", "tiny")
    assert result.exit_code == 0, result.stderr
    assert "no confidence until it is calibrated itself: cocasearch models calibrate mixed DATA" in result.stderr
    assert read_model_folder(captioned.folder / "mixed").read_confidence() is None


def test_a_damaged_file_stops_nothing(indexed):
    (resolve_model("tiny") / "confidence.json").write_text("{")
    for command in (("caption", "photos/turned.jpg", "--model", "tiny"), ("models", "info", "tiny")):
        result = indexed(*command)
        assert result.exit_code == 0, result.stderr
        told = " ".join(result.stderr.split())
        assert told.count("warning: ") == 1 and "confidence.json is damaged, so captions have no confidence" in told
    searched = indexed("query", "red")
    assert searched.exit_code == 0 and "damaged" not in searched.stderr


def test_an_index_from_before_gets_its_confidences_by_one_command(captioned):
    assert captioned("index", "photos", "--model", "tiny").exit_code == 0
    unjudged = captioned("caption", "--review", "review.csv")
    assert unjudged.exit_code == 3
    assert "none of its captions has a confidence" in unjudged.stderr
    assert "cocasearch models calibrate tiny DATA, and then: cocasearch caption --index default" in unjudged.stderr
    told = captioned("models", "calibrate", "tiny", "data.tsv").stderr
    assert "those of an index get theirs with: cocasearch caption --index INDEX" in told
    filled = captioned("caption", "--index", "default")
    assert filled.exit_code == 0, filled.stderr
    assert "4 captioned before, 4 given a confidence; index 'default'" in filled.stderr
    hits = json.loads(captioned("query", "red", "-f", "json").stdout)
    assert all(hit["caption_confidence"] is not None for hit in hits)
    other = captioned("caption", "photos/turned.jpg", "--model", "tiny", "--strategy", "greedy", "-f", "json")
    assert json.loads(other.stdout)[0]["caption_confidence"] is None
