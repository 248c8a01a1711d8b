import io
import json
import tarfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cocasearch.captioned_data import CaptionedImage, read_captioned_data
from cocasearch.errors import CocaSearchError

TWO_PICTURES = "filepath,title\na.jpg,A cat sits.\nb.jpg,A dog runs.\na.jpg,The cat again.\n"


def write(file: Path, text: str) -> Path:
    file.write_text(text, encoding="utf-8")
    return file


def write_parquet(file: Path, columns: dict[str, list[object]], metadata: dict[str, str] | None = None) -> Path:
    pq.write_table(pa.table(columns).replace_schema_metadata(metadata), file)
    return file


def captions_of(data: list[CaptionedImage]) -> dict[str, tuple[str, ...]]:
    return {row.key: row.captions for row in data}


@pytest.mark.parametrize("separator", [",", "\t", ";", "|"])
def test_rows_of_one_picture_are_put_together_whatever_the_separator(tmp_path: Path, separator: str) -> None:
    file = write(tmp_path / "data.csv", TWO_PICTURES.replace(",", separator))
    data = read_captioned_data(file)
    assert captions_of(data) == {"a.jpg": ("A cat sits.", "The cat again."), "b.jpg": ("A dog runs.",)}
    assert data[0].image == tmp_path / "a.jpg"


def test_absolute_paths_stay_as_they_are(tmp_path: Path) -> None:
    file = write(tmp_path / "data.csv", "image,text\n/photos/a.jpg,A cat\n")
    assert read_captioned_data(file)[0].image == Path("/photos/a.jpg")


def test_quoted_cells_and_a_byte_order_mark_are_understood(tmp_path: Path) -> None:
    file = write(tmp_path / "data.csv", '\ufefffile_name,caption\na.jpg,"One, ""two"",\nthree"\n')
    assert read_captioned_data(file)[0].captions == ('One, "two",\nthree',)


def test_a_stray_quotation_mark_in_a_tsv_swallows_no_rows(tmp_path: Path) -> None:
    lines = ['a.jpg\t"Stop" says a sign', 'b.jpg\t"a "" quoted "" word"', 'c.jpg\t"never closed']
    data = read_captioned_data(write(tmp_path / "data.tsv", "\n".join(["filepath\ttitle", *lines, ""])))
    assert [row.captions[0] for row in data] == ['"Stop" says a sign', 'a " quoted " word', '"never closed']


def test_named_columns_are_used_before_the_usual_ones(tmp_path: Path) -> None:
    file = write(tmp_path / "data.csv", "image,photo,title,alt\na.jpg,b.jpg,no,yes\n")
    assert captions_of(read_captioned_data(file, image_key="photo", caption_key="alt")) == {"b.jpg": ("yes",)}


def test_jsonl_takes_one_caption_or_several(tmp_path: Path) -> None:
    records = [{"path": "a.jpg", "text": ["one", "two"]}, {"path": "b.jpg", "text": "three"}, {"path": "c.jpg"}]
    file = write(tmp_path / "data.jsonl", "\n".join(map(json.dumps, records)))
    assert captions_of(read_captioned_data(file)) == {"a.jpg": ("one", "two"), "b.jpg": ("three",)}


def test_parquet_image_structs_give_bytes_and_the_first_synonym(tmp_path: Path) -> None:
    images = [{"bytes": b"one", "path": "x.jpg"}, {"bytes": b"two", "path": None}]
    file = write_parquet(tmp_path / "shard.parquet", {"image": images, "names": [["gold fish", "carp"], ["sock"]]})
    data = read_captioned_data(file)
    assert [row.image for row in data] == [b"one", b"two"]
    assert captions_of(data) == {"x.jpg": ("gold fish",), "shard.parquet#1": ("sock",)}


def test_parquet_paths_start_at_its_folder_and_shards_are_read_as_one(tmp_path: Path) -> None:
    for name in ("b", "a"):
        write_parquet(tmp_path / f"{name}.parquet", {"path": [f"{name}.jpg"], "caption": [f"a {name}"]})
    assert [row.image for row in read_captioned_data(tmp_path)] == [tmp_path / "a.jpg", tmp_path / "b.jpg"]


def test_class_numbers_become_names(tmp_path: Path) -> None:
    features = {"info": {"features": {"label": {"names": ["tench, Tinca tinca", "goldfish"]}}}}
    columns: dict[str, list[object]] = {"image": [b"a", b"b", b"c"], "label": [1, 0, -1]}
    file = write_parquet(tmp_path / "a.parquet", columns, {"huggingface": json.dumps(features)})
    assert [row.captions for row in read_captioned_data(file)] == [("goldfish",), ("tench",)]


def test_a_label_template_goes_round_labels_and_not_round_captions(tmp_path: Path) -> None:
    labels = write(tmp_path / "labels.csv", "image,label\na.jpg,goldfish\n")
    captions = write(tmp_path / "captions.csv", "image,caption\na.jpg,A fish\n")
    template = "a photo of a {name}"
    assert read_captioned_data(labels, label_template=template)[0].captions == ("a photo of a goldfish",)
    assert read_captioned_data(captions, label_template=template)[0].captions == ("A fish",)


def test_sidecars_give_one_caption_a_line(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    for name, text in {
        "a.jpg": "",
        "a.txt": "one\n\ntwo\n",
        "sub/b.webp": "",
        "sub/b.txt": "three",
        "c.txt": "x",
    }.items():
        write(tmp_path / name, text)
    data = read_captioned_data(tmp_path)
    assert captions_of(data) == {"a.jpg": ("one", "two"), "sub/b.webp": ("three",)}
    assert data[1].image == tmp_path / "sub" / "b.webp"


def test_tar_shards_pair_pictures_with_texts_in_either_order(tmp_path: Path) -> None:
    members = {"1.jpg": b"one", "1.json": b"{}", "1.txt": b"first", "2.txt": b"second", "2.png": b"two", "3.jpg": b"x"}
    with tarfile.open(tmp_path / "shard.tar", "w") as shard:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            shard.addfile(member, io.BytesIO(content))
    data = read_captioned_data(tmp_path / "shard.tar")
    assert data == [CaptionedImage(b"one", "1", ("first",)), CaptionedImage(b"two", "2", ("second",))]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.csv", "", "a.csv is empty"),
        ("a.csv", "photo,caption\na.jpg,x\n", "no image column; its columns are: photo, caption"),
        ("a.csv", "image,note\na.jpg,x\n", "no caption column; its columns are: image, note"),
        ("a.tsv", "image\ttext\na.jpg\tone\ttwo\n", "row 1 of .* has 3 cells where the header has 2"),
        ("a.csv", "image,text\n", "holds no captioned pictures"),
        ("a.jsonl", '{"image": "a", "text": 3}', "column 'text' .* holds 3, which is not words"),
        ("a.jsonl", '\n{"image": ', "line 2 of .* is not JSON"),
        ("a.jsonl", "[1]", "line 1 of .* is not a JSON object"),
        ("a.parquet", "PAR?", "cannot read .*a.parquet"),
        ("a.tar", "no tar", "cannot read .*a.tar"),
        ("a.docx", "", "of no known kind"),
    ],
)
def test_what_is_wrong_is_said_in_one_sentence(tmp_path: Path, name: str, text: str, message: str) -> None:
    with pytest.raises(CocaSearchError, match=message) as error:
        read_captioned_data(write(tmp_path / name, text))
    assert "\n" not in str(error.value)


def test_a_missing_column_hints_at_the_option(tmp_path: Path) -> None:
    file = write(tmp_path / "a.csv", TWO_PICTURES)
    with pytest.raises(CocaSearchError, match="no column 'photo'") as error:
        read_captioned_data(file, image_key="photo")
    assert error.value.hint == "name it with --image-key COLUMN"


def test_a_folder_without_sidecars_hints_at_its_data_files(tmp_path: Path) -> None:
    write(tmp_path / "train.tsv", "filepath\ttitle\n")
    with pytest.raises(CocaSearchError) as error:
        read_captioned_data(tmp_path)
    assert error.value.hint == "give one of the data files in it: train.tsv"


def test_a_template_without_a_place_for_the_name_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CocaSearchError, match="no place for the"):
        read_captioned_data(tmp_path, label_template="a photo")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(CocaSearchError, match="there is no captioned data at"):
        read_captioned_data(tmp_path / "nowhere.csv")
