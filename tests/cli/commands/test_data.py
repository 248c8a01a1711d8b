"""`cocasearch data`: what people see of their captioned photos, and annotation files as tables."""

import csv
import io
import json
import shutil

import pytest
from PIL import Image

from cocasearch.paths import sample_photos_folder

PHOTOS = sorted(sample_photos_folder().glob("*.jpg"))[:4]


@pytest.fixture
def collection(prompt):
    """Four photos with two captions each in `data.csv`; nothing is wrong with them."""
    rows = ["filepath,title"]
    for photo in PHOTOS:
        shutil.copy(photo, prompt.folder / photo.name)
        rows += [f"{photo.name},a photo of {photo.stem}", f"{photo.name},a photo"]
    (prompt.folder / "data.csv").write_text("\n".join(rows) + "\n")
    return prompt


def spoil(folder):
    """Add to `data.csv` one of everything that can be wrong."""
    with Image.open(PHOTOS[0]) as opened:
        picture = opened.convert("RGB")
    shutil.copy(PHOTOS[1], folder / "copy.jpg")
    picture.resize((picture.width // 2, picture.height // 2)).save(folder / "smaller.jpg", quality=60)
    Image.effect_noise((40, 60), 60).convert("RGB").save(folder / "tiny.png")
    (folder / "torn.jpg").write_bytes(PHOTOS[2].read_bytes()[:2000])
    rows = ["copy.jpg,a copy", "smaller.jpg,a smaller one", "tiny.png,noise", "torn.jpg,torn", "gone.jpg,gone",
            "tiny.png,", "tiny.png,a,b", f"tiny.png,{'very ' * 40}small"]  # fmt: skip
    with (folder / "data.csv").open("a") as file:
        file.write("\n".join(rows) + "\n")


def test_a_collection_without_fault_is_counted(collection):
    result = collection("data", "check", "data.csv", "--model", "tiny")
    assert result.exit_code == 0, result.stderr
    lines = result.stdout.splitlines()
    assert lines[0] == "4 photos, 8 captions; 2 a photo"
    assert lines[1] == "5 different captions, 1 of them of several photos"
    assert len(lines) == 3 or lines[4].startswith("long caption")
    (collection.folder / "short.csv").write_text(f"filepath,title\n{PHOTOS[0].name},a\n")
    result = collection("data", "check", "short.csv", "--model", "tiny", "--format", "csv")
    assert result.stdout == "path,problem,detail\n"


def test_everything_that_is_wrong_is_named(collection):
    spoil(collection.folder)
    result = collection("data", "check", "data.csv", "--model", "tiny", "--json")
    assert result.exit_code == 1
    report = json.loads(result.stdout)
    found = {(item["problem"], item["path"], item["detail"].split(":")[0]) for item in report["problems"]}
    assert found >= {
        ("bad row", "row 14 of data.csv", "no caption"),
        ("bad row", "row 15 of data.csv", "it has 3 cells where the header has 2"),
        ("missing", "gone.jpg", "no such file"),
        ("unreadable", "torn.jpg", "truncated"),
        ("same as", "copy.jpg", PHOTOS[1].name),
        ("nearly same as", "smaller.jpg", PHOTOS[0].name),
        ("tiny", "tiny.png", "40 x 60 pixels"),
    }
    assert any(kind == "long caption" and path == "tiny.png" for kind, path, _ in found)
    assert report["counts"]["bad row"] == 2
    assert (report["images"], report["captions"]) == (8, 13)
    assert report["lengths"]["cut"] == report["counts"]["long caption"] >= 1
    assert report["captions_per_image"] == [1, 2, 2]


def test_the_table_names_a_few_of_each_kind_and_other_formats_all(collection):
    with (collection.folder / "data.csv").open("a") as file:
        file.write("".join(f"gone-{number}.jpg,gone\n" for number in range(7)))
    result = collection("data", "check", "data.csv", "--model", "tiny")
    assert result.exit_code == 1
    assert "missing: 7\n  gone-0.jpg: no such file\n" in result.stdout
    assert "gone-5.jpg" not in result.stdout
    assert "  and 2 more\n" in result.stdout
    listed = collection("data", "check", "data.csv", "--model", "tiny", "--format", "csv").stdout
    rows = [row for row in csv.DictReader(io.StringIO(listed)) if row["problem"] == "missing"]
    assert [row["path"] for row in rows] == [f"gone-{number}.jpg" for number in range(7)]


def test_photos_that_are_also_in_the_validation_data_are_found(collection):
    folder = collection.folder
    (folder / "val").mkdir()
    shutil.copy(PHOTOS[0], folder / "val" / "same.jpg")
    with Image.open(PHOTOS[3]) as picture:
        picture.convert("RGB").save(folder / "val" / "nearly.jpg", quality=55)
    (folder / "val" / "val.csv").write_text("image,caption\nsame.jpg,one\nnearly.jpg,two\n")
    result = collection("data", "check", "data.csv", "--val", "val/val.csv", "--model", "tiny", "--json")
    assert result.exit_code == 1
    problems = [(item["problem"], item["path"], item["detail"]) for item in json.loads(result.stdout)["problems"]]
    assert [item for item in problems if "validation" in item[0]] == [
        ("also in validation", PHOTOS[0].name, "same.jpg"),
        ("nearly in validation", PHOTOS[3].name, "nearly.jpg"),
    ]


def test_a_bad_file_is_refused(collection):
    (collection.folder / "data.csv").write_bytes(b"\x00\x01\x02")
    result = collection("data", "check", "data.csv")
    assert result.exit_code == 1
    assert "is not text" in result.stderr


def test_cocos_captions_become_a_table_that_can_be_read(collection):
    images = [{"id": number, "file_name": photo.name} for number, photo in enumerate(PHOTOS)]
    images.append({"id": 9, "file_name": "gone.jpg"})
    notes = [{"image_id": number, "caption": f'number {number}, "so"'} for number in (0, 1, 2, 3, 9)]
    folder = collection.folder
    (folder / "notes").mkdir()
    (folder / "notes" / "captions.json").write_text(json.dumps({"images": images, "annotations": notes}))
    result = collection("data", "coco", "notes/captions.json", "--out", "coco.csv")
    assert result.exit_code == 1
    assert "--images FOLDER" in result.stderr
    result = collection("data", "coco", "notes/captions.json", "--images", ".", "--out", "coco.csv")
    assert result.exit_code == 0, result.stderr
    assert "1 missing photo" in result.stderr
    assert "gone.jpg: no such file" in result.stderr
    assert "wrote 4 captions of 4 photos to coco.csv" in result.stderr
    rows = list(csv.DictReader(io.StringIO((folder / "coco.csv").read_text())))
    assert rows[1] == {"filepath": PHOTOS[1].name, "title": 'number 1, "so"'}
    assert collection("data", "check", "coco.csv", "--model", "tiny").stdout.startswith("4 photos, 4 captions")


def test_flickrs_captions_become_a_table_one_split_at_a_time(collection):
    entries = [{"filename": photo.name, "split": split, "sentences": [{"raw": f"in {split}"}]}
               for photo, split in zip(PHOTOS, ("train", "train", "val", "test"), strict=True)]  # fmt: skip
    (collection.folder / "dataset.json").write_text(json.dumps({"images": entries}))
    refused = collection("data", "flickr", "dataset.json", "--out", "x.csv")
    assert refused.exit_code == 1
    assert "splits test, train, val" in refused.stderr
    result = collection("data", "flickr", "dataset.json", "--split", "train", "--out", "train.csv")
    assert "wrote 2 captions of 2 photos" in result.stderr
    (collection.folder / "tokens.txt").write_text(f"{PHOTOS[0].name}#0\tOne .\n{PHOTOS[0].name}#1\tTwo .\n")
    assert "2 captions of 1 photo " in collection("data", "flickr", "tokens.txt", "--out", "tokens.csv").stderr
    nowhere = collection("data", "flickr", "tokens.txt", "--out", "no/such/folder.csv")
    assert nowhere.exit_code == 1
    assert "cannot write" in nowhere.stderr


def test_flickrs_photos_may_lie_elsewhere(collection):
    (collection.folder / "elsewhere").mkdir()
    (collection.folder / "elsewhere" / "tokens.txt").write_text(f"{PHOTOS[0].name}#0\tOne .\n")
    command = ("data", "flickr", "elsewhere/tokens.txt", "--out", "tokens.csv")
    assert collection(*command).exit_code == 1
    assert "1 caption of 1 photo " in collection(*command, "--images", ".").stderr


def test_words_around_labels_count_in_the_length_of_captions(collection):
    rows = [f"{photo.name},sign" for photo in PHOTOS]
    (collection.folder / "kinds.csv").write_text("\n".join(["filepath,label", *rows]))

    def length(*options):
        report = json.loads(collection("data", "check", "kinds.csv", "--model", "tiny", "--json", *options).stdout)
        return report["lengths"]["most"]

    assert length("--label-template", "{name} {name} {name}") > length()


def test_annotations_are_not_written_over(prompt):
    file = prompt.folder / "captions.csv"
    file.write_text("image,caption,more\nphotos/turned.jpg,a thing,kept\n")
    result = prompt("data", "coco", "captions.csv", "--out", "./captions.csv")
    assert result.exit_code == 1
    assert "error: captions.csv is the file to be read" in result.stderr
    assert "kept" in file.read_text()


def test_half_a_letter_is_written_as_a_question_mark(prompt):
    row = {"image": "photos/turned.jpg", "caption": "half \ud83d"}
    (prompt.folder / "captions.jsonl").write_text(json.dumps(row))
    result = prompt("data", "coco", "captions.jsonl", "--out", "captions.csv")
    assert result.exit_code == 0, result.stderr
    assert "half ?" in (prompt.folder / "captions.csv").read_text()


def test_a_photo_that_is_a_link_is_written_by_its_own_name(prompt):
    (prompt.folder / "links").mkdir()
    (prompt.folder / "links" / "a.jpg").symlink_to(prompt.folder / "photos" / "turned.jpg")
    (prompt.folder / "links" / "captions.csv").write_text("image,caption\na.jpg,a thing\n")
    assert prompt("data", "coco", "links/captions.csv", "--out", "links/out.csv").exit_code == 0
    assert (prompt.folder / "links" / "out.csv").read_text().splitlines() == ["filepath,title", "a.jpg,a thing"]


def test_what_cocasearch_has_written_itself_is_captioned_data(prompt):
    assert prompt("index", "photos", "--model", "tiny").exit_code == 0
    (prompt.folder / "out").mkdir()
    assert prompt("export", "out/index.parquet").exit_code == 0
    for kind in ("csv", "jsonl", "parquet"):
        assert prompt("caption", "photos", "--model", "tiny", "--out", f"out/captions.{kind}").exit_code == 0
    found = [
        prompt("data", "check", f"out/{name}", "--model", "tiny", "--json")
        for name in ("index.parquet", "captions.csv", "captions.jsonl", "captions.parquet")
    ]
    reports = [json.loads(result.stdout) for result in found]
    assert len({report["images"] for report in reports}) == 1
    assert reports[0]["images"] > 0
    assert not any(kind in report["counts"] for report in reports for kind in ("missing", "bad row"))


def test_a_caption_that_goes_on_for_pages_is_cut_in_a_report_for_people(collection):
    with (collection.folder / "data.csv").open("a") as file:
        file.write(f"{PHOTOS[0].name},{'very ' * 9_999}long\n")
    result = collection("data", "check", "data.csv", "--model", "tiny")
    assert "long caption: " in result.stdout
    assert max(map(len, result.stdout.splitlines())) <= 300
