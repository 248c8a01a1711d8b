"""A small home with photos, models and captioned data, in which the commands of the pages find what they name."""

import csv
import json
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from shapes_collection import write_shapes

from cocasearch.checkpoints.model_folder import read_model_folder, save_model_folder
from cocasearch.paths import bundled_model_folder, sample_photos_folder

HOME, HERE = "home", "here"
PHOTOS = {
    "cat-face.jpg": "cat.jpg",
    "two-dogs-at-window.jpg": "dog.jpg",
    "mountain-trail.jpg": "2018/trail.jpg",
    "giant-panda.jpg": "2018/panda.jpg",
    "coffee-cup.jpg": "private/cup.jpg",
}
PUBLISHED = ("coca_ViT-L-14", "coca_ViT-B-32")


def write_world(folder: Path, small_model: Path) -> None:
    """Write `home`, with Pictures and models, and `here`, the folder that the commands are given in.

    Args:
        folder: Where.
        small_model: A model folder that takes the place of the published models, so that nothing takes long.
    """
    home, here = folder / HOME, folder / HERE
    _copy_photos(home / "Pictures")
    (home / "Pictures" / "damaged.jpg").write_bytes((home / "Pictures" / "cat.jpg").read_bytes()[:2000])
    for name in PUBLISHED:
        _write_model(home / "models" / name, small_model)
    _write_model(here / "runs" / "coca", small_model)
    (here / "indexes").mkdir(parents=True)
    shutil.copytree(sample_photos_folder(), here / "cocasearch" / "assets" / "photos")
    shutil.copy(home / "Pictures" / "dog.jpg", here)
    _write_tables(here)
    _write_annotations(here)
    _copy_photos(here / "set")
    (here / "set" / "cat.txt").write_text("the face of a cat\n")


def _copy_photos(folder: Path) -> None:
    for sample, name in PHOTOS.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(sample_photos_folder() / sample, folder / name)


def _write_model(folder: Path, small_model: Path) -> None:
    """The small model as if it had been published and calibrated."""
    stored = read_model_folder(small_model)
    save_model_folder(
        folder,
        stored.load_model().state_dict(),
        config=stored.config,
        preprocess=stored.preprocess,
        tokenizer=stored.tokenizer,
        provenance={"imported_from": "tests", "architecture": folder.name},
        dtype="float32",
    )
    confidence = json.loads((bundled_model_folder() / "confidence.json").read_text())
    confidence["fingerprint"] = read_model_folder(folder).fingerprint
    (folder / "confidence.json").write_text(json.dumps(confidence))


def _write_tables(here: Path) -> None:
    """Captioned shapes under the names of files that the pages give to captioned photos."""
    rows = {}
    for seed, (folder, count) in enumerate({"shapes": 24, "others": 12}.items()):
        with write_shapes(here / folder, count, seed=seed).open(newline="") as file:
            rows[folder] = [(f"{folder}/{row['filepath']}", row["title"]) for row in csv.DictReader(file)]
    for name in ("captions.csv", "captions.tsv", "train.tsv", "old.csv"):
        _write_table(here / name, rows["shapes"])
    for name in ("held-out.csv", "dev.tsv"):
        _write_table(here / name, rows["others"])
    columns = {
        "image": [str(here / path) for path, _ in rows["others"]],
        "caption": [text for _, text in rows["others"]],
    }
    pq.write_table(pa.table(columns), here / "more.parquet")
    _write_table(here / "labels.csv", [(path, text.split()[1]) for path, text in rows["shapes"]], header="label")


def _write_table(file: Path, rows: list[tuple[str, str]], header: str = "title") -> None:
    with file.open("w", newline="") as out:
        writer = csv.writer(out, delimiter="\t" if file.suffix == ".tsv" else ",")
        writer.writerows([("filepath", header), *rows])


def _write_annotations(here: Path) -> None:
    """A photo with its caption as COCO has them, and one as Karpathy's splits of Flickr8k have them."""
    coco = {
        "images": [{"id": 1, "file_name": "dog.jpg"}],
        "annotations": [{"id": 1, "image_id": 1, "caption": "Two dogs."}],
    }
    flickr = {"images": [{"filename": "dog.jpg", "split": "train", "sentences": [{"raw": "Two dogs."}]}]}
    for name, folder, document in (
        ("captions_val2017.json", "val2017", coco),
        ("dataset_flickr8k.json", "Images", flickr),
    ):
        (here / name).write_text(json.dumps(document))
        (here / folder).mkdir()
        shutil.copy(here / "dog.jpg", here / folder)
