"""The files of COCO and Flickr as they come, with images where people unpack them."""

import json
from pathlib import Path

import pytest

from cocasearch.captioned_data import BadRow, CaptionedData, read_captioned_data
from cocasearch.errors import CocaSearchError

COCO = {
    "info": {},
    "images": [{"id": number, "file_name": f"{number:06}.jpg"} for number in (9, 25, 3)],
    "annotations": [
        {"id": 1, "image_id": 25, "caption": "A giraffe. "},
        {"id": 2, "image_id": 9, "caption": "Lunch."},
        {"id": 3, "image_id": 25, "caption": "Two giraffes."},
        {"id": 4, "image_id": 77, "caption": "Lost."},
        {"id": 5, "image_id": 9, "caption": "\n"},
    ],
}
KARPATHY = {
    "dataset": "flickr8k",
    "images": [
        {"filename": "a.jpg", "split": "train", "sentences": [{"raw": "One."}, {"raw": "Two."}]},
        {"filename": "b.jpg", "split": "test", "sentences": [{"raw": "Three."}]},
        {"filename": "c.jpg", "split": "test", "sentences": []},
    ],
}


def write_images(folder: Path, *names: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).touch()
    return folder


def write(file: Path, document: object) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(document))
    return file


def captions_of(data: CaptionedData) -> dict[str, tuple[str, ...]]:
    return {row.key: row.captions for row in data}


def test_cocos_captions_find_their_images_where_coco_unpacks_them(tmp_path: Path) -> None:
    folder = write_images(tmp_path / "val2017", "000009.jpg", "000025.jpg", "000003.jpg")
    file = write(tmp_path / "annotations" / "captions_val2017.json", COCO)
    data = read_captioned_data(file)
    assert captions_of(data) == {"000025.jpg": ("A giraffe.", "Two giraffes."), "000009.jpg": ("Lunch.",)}
    assert data[0].image.resolve() == (folder / "000025.jpg").resolve()
    assert data.bad_rows == [
        BadRow(f"annotation 4 of {file}", "its image is not in the list of images"),
        BadRow(f"annotation 5 of {file}", "no caption"),
        BadRow(f"image 3 of {file}", "no caption"),
    ]


def test_a_few_missing_images_of_coco_are_listed(tmp_path: Path) -> None:
    write_images(tmp_path, "000009.jpg")
    data = read_captioned_data(write(tmp_path / "captions.json", COCO))
    assert list(captions_of(data)) == ["000009.jpg"]
    assert data.missing == [BadRow("000025.jpg", "no such file")]


def test_images_that_could_be_in_several_places_or_in_none_have_to_be_told(tmp_path: Path) -> None:
    file = write(tmp_path / "annotations" / "captions_val2017.json", COCO)
    with pytest.raises(CocaSearchError, match=r"such as 000025\.jpg, are not beside it") as error:
        read_captioned_data(file)
    assert "cocasearch data coco" in str(error.value.hint)
    write_images(tmp_path / "annotations" / "images", "000009.jpg")
    other = write_images(tmp_path / "val2017", "000009.jpg", "000025.jpg")
    with pytest.raises(CocaSearchError, match="could be in"):
        read_captioned_data(file)
    assert len(read_captioned_data(file, images=other)) == 2


def test_other_annotations_of_coco_are_refused(tmp_path: Path) -> None:
    boxes = {"images": COCO["images"], "annotations": [{"image_id": 9, "bbox": [0, 0, 1, 1]}]}
    with pytest.raises(CocaSearchError, match="are no captions"):
        read_captioned_data(write(tmp_path / "instances.json", boxes))


def test_karpathys_splits_are_read_one_at_a_time(tmp_path: Path) -> None:
    write_images(tmp_path / "images", "a.jpg", "b.jpg")
    file = write(tmp_path / "dataset_flickr8k.json", KARPATHY)
    assert captions_of(read_captioned_data(file, split="train")) == {"a.jpg": ("One.", "Two.")}
    data = read_captioned_data(file, split="test")
    assert captions_of(data) == {"b.jpg": ("Three.",)}
    assert data.bad_rows == [BadRow(f"image 3 of {file}", "no caption")]
    with pytest.raises(CocaSearchError, match="has the splits test, train, and only one"):
        read_captioned_data(file)
    with pytest.raises(CocaSearchError, match="has no split 'val'; its splits are: test, train"):
        read_captioned_data(file, split="val")


def test_flickrs_tokens(tmp_path: Path) -> None:
    write_images(tmp_path / "Flicker8k_Dataset", "a.jpg", "b.jpg")
    lines = ["a.jpg#0\tOne .", "a.jpg#1\tTwo .", "b.jpg#0\tThree .", "b.jpg", "b.jpg#1\t", "gone.jpg#0\tFour ."]
    file = tmp_path / "Flickr8k.token.txt"
    file.write_text("\n".join(lines) + "\n")
    data = read_captioned_data(file)
    assert captions_of(data) == {"a.jpg": ("One .", "Two ."), "b.jpg": ("Three .",)}
    assert data.bad_rows == [
        BadRow(f"line 4 of {file}", "it is not name.jpg#0, a tab and a caption"),
        BadRow(f"line 5 of {file}", "no caption"),
    ]
    assert data.missing == [BadRow("gone.jpg", "no such file")]


def test_flickr30ks_results_and_the_table_in_a_text_file(tmp_path: Path) -> None:
    folder = write_images(tmp_path / "flickr30k_images", "a.jpg", "b.jpg")
    results = tmp_path / "results_20130124.csv"
    results.write_text("image_name| comment_number| comment\na.jpg| 0| One .\na.jpg| 4   Two .\nb.jpg| 0| Three .\n")
    data = read_captioned_data(results, images=folder)
    assert captions_of(data) == {"a.jpg": ("One .",), "b.jpg": ("Three .",)}
    assert data.bad_rows == [BadRow(f"row 2 of {results}", "it has 2 cells where the header has 3")]
    table = tmp_path / "captions.txt"
    table.write_text('image,caption\na.jpg,"One, and more ."\n')
    assert captions_of(read_captioned_data(table, images=folder)) == {"a.jpg": ("One, and more .",)}


def test_a_list_of_objects_is_read_like_jsonl(tmp_path: Path) -> None:
    write_images(tmp_path, "a.jpg", "b.jpg")
    file = write(
        tmp_path / "a.json", [{"image": "a.jpg", "caption": ["One", "Two"]}, 7, {"image": "b.jpg", "caption": "x"}]
    )
    data = read_captioned_data(file)
    assert captions_of(data) == {"a.jpg": ("One", "Two"), "b.jpg": ("x",)}
    assert data.bad_rows == [BadRow(f"object 2 of {file}", "it is not a JSON object")]


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "{}", '{"images": []}', '{"images": 3, "annotations": []}', "[" * 99_999]
)
def test_a_json_document_of_another_kind_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(CocaSearchError, match=r"a\.json (is not JSON|holds no captions)"):
        read_captioned_data(tmp_path / "a.json")


def test_annotations_that_hold_anything_are_listed(tmp_path: Path) -> None:
    (tmp_path / "1.jpg").touch()
    notes = [{"image_id": 1, "caption": "A cat."}, {"image_id": {}, "caption": "x"}, {"image_id": 1, "caption": 7}]
    notes.append({"image_id": 1, "caption": "It sits."})
    document = {"images": [{"id": 1, "file_name": "1.jpg"}, {"id": [], "file_name": "2.jpg"}], "annotations": notes}
    file = tmp_path / "captions.json"
    file.write_text(json.dumps(document))
    data = read_captioned_data(file)
    assert [row.captions for row in data] == [("A cat.", "It sits.")]
    reasons = ["its image is not in the list of images", "column 'caption': 7 is not words"]
    assert [bad.reason for bad in data.bad_rows] == reasons
    sentences = ([{"raw": "A dog."}, {"raw": 7}, 8], 9, None)
    images = [{"filename": "1.jpg", "filepath": [], "sentences": some} for some in sentences]
    file.write_text(json.dumps({"images": [*images, {"filename": "1.jpg", "filepath": 3, "sentences": []}]}))
    data = read_captioned_data(file)
    assert [row.captions for row in data] == [("A dog.",)]


def test_what_tells_where_the_images_are_is_said_for_the_kind_that_it_is(tmp_path: Path) -> None:
    notes = [{"image_id": 1, "caption": "A cat."}]
    (tmp_path / "mine.json").write_text(json.dumps({"images": [{"id": 1, "file_name": "1.jpg"}], "annotations": notes}))
    with pytest.raises(CocaSearchError, match="are not beside it") as error:
        read_captioned_data(tmp_path / "mine.json")
    assert str(error.value.hint).startswith("cocasearch data coco ")


def test_ids_match_as_text_and_as_numbers(tmp_path: Path) -> None:
    write_images(tmp_path, "1.jpg", "2.jpg", "x.jpg", "3.jpg", "4.jpg")
    images = [("1", "1.jpg"), (2, "2.jpg"), ("x", "x.jpg"), (3, "3.jpg"), ("3", "4.jpg")]
    notes = [(1, "one"), ("000002", "two"), (2.0, "zwei"), ("x", "ten"), (3, "which?")]
    document = {
        "images": [{"id": number, "file_name": name} for number, name in images],
        "annotations": [{"image_id": number, "caption": text} for number, text in notes],
    }
    data = read_captioned_data(write(tmp_path / "captions.json", document))
    assert captions_of(data) == {"1.jpg": ("one",), "2.jpg": ("two", "zwei"), "x.jpg": ("ten",)}
    assert data.bad_rows[0].reason == "several images have its id"


def test_cocos_captions_may_have_a_key_of_their_own(tmp_path: Path) -> None:
    write_images(tmp_path, "1.jpg")
    note = {"image_id": 1, "caption": "poor", "long": ["good", "better"]}
    document = {"images": [{"id": 1, "file_name": "1.jpg"}], "annotations": [note]}
    file = write(tmp_path / "captions.json", document)
    assert captions_of(read_captioned_data(file, caption_key="long")) == {"1.jpg": ("good", "better")}
    with pytest.raises(CocaSearchError, match="no column 'lang'; its columns are: image_id, caption, long"):
        read_captioned_data(file, caption_key="lang")


@pytest.mark.parametrize(
    "document",
    [
        {"a.jpg": ["one", "two"], "b.jpg": "three", "c.jpg": None},
        {"a.jpg": {"caption": ["one", "two"], "tags": "x"}, "b.jpg": {"caption": "three"}},
        {"7": {"file_name": "a.jpg", "caption": ["one", "two"]}, "8": {"file_name": "b.jpg", "caption": "three"}},
        {"version": 1, "data": [{"image": "a.jpg", "text": ["one", "two"]}, {"image": "b.jpg", "text": "three"}]},
    ],
)
def test_captions_by_file_are_read(tmp_path: Path, document: object) -> None:
    write_images(tmp_path, "a.jpg", "b.jpg")
    data = read_captioned_data(write(tmp_path / "labels.json", document))
    assert captions_of(data) == {"a.jpg": ("one", "two"), "b.jpg": ("three",)}


def test_one_object_for_one_file_is_read(tmp_path: Path) -> None:
    write_images(tmp_path, "a.jpg")
    file = write(tmp_path / "a.json", {"image": "a.jpg", "caption": ["one", "two"]})
    assert captions_of(read_captioned_data(file)) == {"a.jpg": ("one", "two")}


def test_a_key_is_refused_where_there_are_none(tmp_path: Path) -> None:
    write_images(tmp_path, "a.jpg")
    (tmp_path / "token.txt").write_text("a.jpg#0\tOne .\n")
    for file in (write(tmp_path / "labels.json", {"a.jpg": ["one"]}), tmp_path / "token.txt"):
        with pytest.raises(CocaSearchError, match="has no column 'long': it has "):
            read_captioned_data(file, caption_key="long")
        assert len(read_captioned_data(file, caption_key="long", or_usual=True)) == 1
