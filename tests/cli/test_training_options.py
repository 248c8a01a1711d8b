"""What each option of `train` and `finetune` changes, seen in what a run records and in what it makes."""

import hashlib
import json
import random

import pytest
from PIL import Image

from cocasearch.checkpoints.model_folder import read_model_folder

SMALL = ("--set", "epochs=1", "--set", "batch_size=4", "--set", "held_out=0", "--set", "frozen_epochs=0")


@pytest.fixture
def photos(prompt):
    """Ten photos of unusual columns with labels, and fourteen others of the usual columns, no two alike."""
    for number in range(24):
        picture = Image.frombytes("RGB", (6, 4), random.Random(number).randbytes(6 * 4 * 3))
        picture.resize((96, 64), Image.Resampling.NEAREST).save(prompt.folder / f"{number}.png")
    names = ["red, crimson", "blue, azure"]
    rows = [f'{number}.png,"{names[number % 2]}"' for number in range(10)]
    (prompt.folder / "data.csv").write_text("\n".join(["foto,kind", *rows]))
    rows = [f"{number}.png,a thing of number {number}" for number in range(10, 24)]
    (prompt.folder / "others.csv").write_text("\n".join(["filepath,title", *rows]))
    return prompt


def provenance(photos, name):
    return read_model_folder(photos.folder / name).provenance


def test_finetuning_goes_by_its_options(photos):
    columns = ("--image-key", "foto", "--caption-key", "kind", "--label-template", "a photo of a {name}")
    settings = ("--lr", "0.02", "--encoder-lr", "0.003", "--seed", "3", "--objective", "contrastive", "--keep", "0.3")
    size = ("--epochs", "2", "--batch-size", "5", "--val", "others.csv", "--report-to", "tensorboard")
    result = photos("finetune", "data.csv", "--out", "mine", "--model", "tiny", *columns, *settings, *size, "--json")
    assert result.exit_code == 0, result.stderr
    report, run = json.loads(result.stdout), photos.folder / "mine.run"
    recorded = json.loads((run / "run.json").read_text())["config"]
    asked = {"learning_rate": 0.02, "encoder_learning_rate": 0.003, "seed": 3, "objective": "contrastive", "epochs": 2}
    assert {name: recorded[name] for name in asked} == asked == {n: report["plan"]["config"][n] for n in asked}
    assert (report["plan"]["n_images"], report["before"]["n_images"]) == (10, 14)
    gained = any(figure["difference"] > 0 for figure in report["comparison"])
    assert report["kept"] == provenance(photos, "mine")["kept"]["share"] == (0.3 if gained else 1)
    assert list(run.rglob("events.out.tfevents*"))
    told = [[entry[1] for entry in json.loads(line)] for line in (run / "data.jsonl").read_text().splitlines()]
    as_labels = [json.dumps([f"a photo of a {name}"]).encode() for name in ("red", "blue")]
    assert set(told[0]) == {hashlib.blake2b(text, digest_size=6).hexdigest() for text in as_labels}
    rates = json.loads((run / "log.jsonl").read_text().splitlines()[-1])
    assert rates["losses"]["caption"] == 0 < rates["losses"]["contrastive"]


def test_sources_weigh_and_the_card_reads_as_asked(photos):
    rows = (photos.folder / "others.csv").read_text()
    (photos.folder / "more.csv").write_text("\n".join(rows.splitlines()[:1] + [f"{n}.png,thing {n}" for n in range(8)]))
    (photos.folder / "card.md").write_text("# Of things\n")
    steps = {}
    for weights in (("3", "1"), ("1", "3")):
        out = f"m{weights[0]}"
        options = ("--weight", weights[0], "--weight", weights[1], "--card", "card.md", "--objective", "caption")
        result = photos("train", "more.csv", "others.csv", "--out", out, "--model", "tiny", *options, *SMALL)
        assert result.exit_code == 0, result.stderr
        steps[weights] = provenance(photos, out)["trained_steps"]
    assert steps == {("3", "1"): 3, ("1", "3"): 8}  # 3 and 1 of the first source's 8 a step
    assert provenance(photos, "m3")["training"]["objective"] == "caption"
    assert (photos.folder / "m3" / "README.md").read_text() == "# Of things\n"


def test_fresh_model_is_shaped_and_taught_as_asked(photos):
    table = ["wnid\tname\tsynonyms\thypernyms", *(f"n{n:08}\tname {n}\tword {n}\tthing" for n in range(1000))]
    (photos.folder / "names.tsv").write_text("\n".join(table))
    (photos.folder / "labels.csv").write_text("image,sort\n1.png,n00000004\n2.png,n00000005\n")
    names = ("--names", "names.tsv", "--labels", "labels.csv", "--label-key", "sort", "--pooler", "parallel")
    few = ("--set", "epochs=1", "--set", "batch_size=4", "--set", "labelled_per_step=2", "--set", "held_out=0")
    result = photos("train", "others.csv", "--out", "named", "--preset", "coca-mini", *names, *few)
    assert result.exit_code == 0, result.stderr
    named = read_model_folder(photos.folder / "named")
    assert named.config.pooler.kind == "parallel"
    assert (named.provenance["preset"], "image_encoder" in named.provenance) == ("coca-mini", True)
    log = json.loads((photos.folder / "named.run" / "log.jsonl").read_text().splitlines()[-1])
    assert log["losses"]["name"] > 0
    result = photos("train", "others.csv", "--out", "plain", "--no-image-weights", *few)
    assert result.exit_code == 0, result.stderr
    assert "image_encoder" not in provenance(photos, "plain")
    for options, words in (
        (("--preset", "nosuch"), "unknown preset 'nosuch'"),
        (("--label-key", "none"), "has no column 'none'"),
        (("--text-model", "nowhere"), "nowhere"),
    ):
        result = photos("train", "others.csv", "--out", "other", *names, *few, *options)
        assert result.exit_code == 1
        assert words in result.stderr
