import base64
import json
import unicodedata
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cocasearch.captioned_data import CaptionedData, read_captioned_data
from cocasearch.errors import CocaSearchError

TWO_IMAGES = "filepath,title\na.jpg,A cat sits.\nb.jpg,A dog runs.\na.jpg,The cat again.\n"


def write(file: Path, text: str) -> Path:
    file.write_text(text, encoding="utf-8")
    return file


def write_parquet(file: Path, columns: dict[str, list[object]], metadata: dict[str, str] | None = None) -> Path:
    pq.write_table(pa.table(columns).replace_schema_metadata(metadata), file)
    return file


def captions_of(data: CaptionedData) -> dict[str, tuple[str, ...]]:
    return {row.key: row.captions for row in data}


@pytest.fixture(autouse=True)
def _images(tmp_path: Path) -> None:
    """Three files to be named; whether they are images does not matter here."""
    for name in ("a.jpg", "b.jpg", "c.jpg"):
        (tmp_path / name).touch()


def test_photos_and_captions_of_one_column_are_refused(tmp_path: Path) -> None:
    table = write_parquet(tmp_path / "data.parquet", {"image": ["a.jpg"], "caption": ["A cat."]})
    for file in (table, write(tmp_path / "data.csv", "image,caption\na.jpg,A cat.\n")):
        with pytest.raises(CocaSearchError, match="photos and its captions from one column: caption"):
            read_captioned_data(file, image_key="caption")


@pytest.mark.parametrize("separator", [",", "\t", ";", "|"])
def test_rows_of_one_image_are_put_together_whatever_the_separator(tmp_path: Path, separator: str) -> None:
    file = write(tmp_path / "data.csv", TWO_IMAGES.replace(",", separator))
    data = read_captioned_data(file)
    assert captions_of(data) == {"a.jpg": ("A cat sits.", "The cat again."), "b.jpg": ("A dog runs.",)}
    assert data[0].image == tmp_path / "a.jpg"


def test_absolute_paths_stay_as_they_are(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    file = write(tmp_path / "data" / "data.csv", f"image,text\n{tmp_path}/a.jpg,A cat\n")
    assert read_captioned_data(file)[0].image == tmp_path / "a.jpg"


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


def test_usual_columns_do_beside_data_of_named_ones(tmp_path: Path) -> None:
    usual = write(tmp_path / "usual.csv", "filepath,words,title\na.jpg,named,usual\n")
    found = read_captioned_data(usual, image_key="foto", caption_key="words", or_usual=True)
    assert captions_of(found) == {"a.jpg": ("named",)}
    with pytest.raises(CocaSearchError, match="no column 'foto'"):
        read_captioned_data(usual, image_key="foto")
    other = write(tmp_path / "other.csv", "photo,title\na.jpg,a\n")
    with pytest.raises(CocaSearchError, match="no column 'foto'; its columns are: photo, title") as caught:
        read_captioned_data(other, image_key="foto", or_usual=True)
    assert caught.value.hint == "call it foto or filepath"


def test_the_usual_columns_are_known_in_capitals_and_in_the_plural(tmp_path: Path) -> None:
    file = write(tmp_path / "a.csv", "\ufeffImage;Caption\r\na.jpg;A cat.\r\n")
    assert captions_of(read_captioned_data(file)) == {"a.jpg": ("A cat.",)}
    lines = write(tmp_path / "a.jsonl", '{"image": "a.jpg", "captions": ["A cat.", "It sits."]}\n')
    assert captions_of(read_captioned_data(lines)) == {"a.jpg": ("A cat.", "It sits.")}
    labels = write(tmp_path / "b.csv", "Image,Label\na.jpg,goldfish\n")
    assert captions_of(read_captioned_data(labels, label_template="a {name}")) == {"a.jpg": ("a goldfish",)}
    with pytest.raises(CocaSearchError, match="no column 'caption'"):
        read_captioned_data(file, caption_key="caption")  # what is told is meant to the letter


@pytest.mark.parametrize("header", ["filename,caption", "image_path,description", "img,text", "file,title"])
def test_other_names_of_columns_are_known(tmp_path: Path, header: str) -> None:
    assert captions_of(read_captioned_data(write(tmp_path / "a.csv", f"{header}\na.jpg,A cat.\n"))) == {
        "a.jpg": ("A cat.",)
    }


def test_jsonl_takes_one_caption_or_several(tmp_path: Path) -> None:
    records = [{"path": "a.jpg", "text": ["one", "two"]}, {"path": "b.jpg", "text": "three"}, {"path": "c.jpg"}]
    file = write(tmp_path / "data.jsonl", "\n".join(map(json.dumps, records)))
    data = read_captioned_data(file)
    assert captions_of(data) == {"a.jpg": ("one", "two"), "b.jpg": ("three",)}
    assert [row.reason for row in data.bad_rows] == ["no caption"]


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


def test_bad_rows_are_left_out_and_listed_with_their_reasons(tmp_path: Path) -> None:
    rows = [
        "a.jpg,one",
        ",no photo",
        "b.jpg,",
        "b.jpg,one,two",
        "a.jpg, ",
        "b.jpg,two",
        "c.jpg,caf\udce9",
        "c.jpg,ok",
    ]
    text = "\n".join(["image,caption", *rows, ""])
    (tmp_path / "data.csv").write_bytes(text.encode(errors="surrogateescape"))
    data = read_captioned_data(tmp_path / "data.csv")
    assert captions_of(data) == {"a.jpg": ("one",), "b.jpg": ("two",), "c.jpg": ("ok",)}
    name = tmp_path / "data.csv"
    assert [(row.where, row.reason) for row in data.bad_rows] == [
        (f"row 2 of {name}", "no photo"),
        (f"row 3 of {name}", "no caption"),
        (f"row 4 of {name}", "it has 3 cells where the header has 2"),
        (f"row 5 of {name}", "no caption"),
        (f"row 7 of {name}", "it is not UTF-8"),
    ]


def test_bad_lines_of_jsonl_are_left_out_and_listed(tmp_path: Path) -> None:
    good = [f'{{"image": "{name}.jpg", "text": "words"}}' for name in "abc"]
    lines = [
        good[0],
        '{"image": ',
        "[1]",
        '{"image": "b.jpg", "text": 3}',
        "",
        good[1],
        '{"image": 7, "text": "x"}',
        good[2],
        good[2],
    ]
    data = read_captioned_data(write(tmp_path / "a.jsonl", "\n".join(lines)))
    assert list(captions_of(data)) == ["a.jpg", "b.jpg", "c.jpg"]
    reasons = [(row.where.split(" of ")[0], row.reason) for row in data.bad_rows]
    assert reasons == [
        ("line 2", "it is not JSON: Expecting value"),
        ("line 3", "it is not a JSON object"),
        ("line 4", "column 'text': 3 is not words"),
        ("line 7", "column 'image': 7 is not a path"),
    ]


def test_a_quotation_mark_that_swallows_rows_is_noticed(tmp_path: Path) -> None:
    rows = ["a.jpg,fine", 'a.jpg,"never closed', *["b.jpg,lost"] * 30, 'c.jpg,ends "here"', "c.jpg,fine"]
    data = read_captioned_data(write(tmp_path / "data.csv", "\n".join(["image,caption", *rows])))
    assert captions_of(data) == {"a.jpg": ("fine",), "c.jpg": ("fine",)}
    assert data.bad_rows[0].reason == "it goes over 32 lines: is a quotation mark in it not closed?"


def test_images_that_are_not_there_are_listed_and_left_out(tmp_path: Path) -> None:
    rows = ["a.jpg,one", "gone.jpg,two", "gone.jpg,three", "https://example.org/a.jpg,four", "sub,five"]
    (tmp_path / "sub").mkdir()
    data = read_captioned_data(write(tmp_path / "data.csv", "\n".join(["image,caption", *rows])))
    assert captions_of(data) == {"a.jpg": ("one",)}
    assert [(row.where, row.reason) for row in data.missing] == [
        ("gone.jpg", "no such file"),
        ("https://example.org/a.jpg", "an address, not a file"),
        ("sub", "a folder, not a file"),
    ]


def test_a_file_whose_images_are_all_elsewhere_is_refused_with_the_folder_looked_in(tmp_path: Path) -> None:
    with pytest.raises(CocaSearchError, match=r"not one of 2 photos .* beginning with x/a\.jpg: no such") as error:
        read_captioned_data(write(tmp_path / "data.csv", "image,caption\nx/a.jpg,one\nx/b.jpg,two\n"))
    assert str(tmp_path.resolve()) in str(error.value.hint)
    (tmp_path / "photos").mkdir()
    with pytest.raises(CocaSearchError) as error:
        read_captioned_data(tmp_path / "data.csv", images=tmp_path / "photos")
    assert error.value.hint == f"relative paths start at the folder given with --images, {tmp_path.resolve()}/photos"
    with pytest.raises(CocaSearchError) as error:
        read_captioned_data(write(tmp_path / "data.csv", "image,caption\nhttps://example.org/a.jpg,one\n"))
    assert str(error.value.hint).startswith("download the photos first")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", b"", "a.csv is empty"),
        ("a.csv", b"photo,caption\na.jpg,x\n", "no image column; its columns are: photo, caption"),
        ("a.csv", b"image,note\na.jpg,x\n", "no caption column; its columns are: image, note"),
        ("a.csv", b"image caption\na.jpg x\n", "no image column; its columns are: image caption"),
        ("a.csv", b"image,text\na.jpg,x\nb.jpg,a, b\nc.jpg,d, e\n", "2 of 3 rows .* beginning with row 2 .* 3 cells"),
        ("a.csv", b'image,text\na.jpg,x\nb.jpg,"oh\nc.jpg,y\n', "row 2 of .* quotation mark that is never closed"),
        ("a.csv", b"image,text\n", "holds no captioned photos: it has no rows"),
        ("a.csv", b"image,text\n,x\n", "holds no captioned photos: row 1 of .*: no photo"),
        ("a.csv", "image,text\na.jpg,x\n".encode("utf-16"), "is UTF-16, not UTF-8"),
        ("a.csv", b"\x7fELF\x02\x00\x00,\n", "is not text: it has a zero byte"),
        ("a.csv", b"image,text\na.jpg,\xe9\xe8\nb.jpg,\xe9\n", "2 of 2 rows .* row 1 of .*: it is not UTF-8"),
        ("a.tsv", b"image\ttext\na.jpg\tone\ttwo\n", "1 of 1 row .* it has 3 cells where the header has 2"),
        ("a.jsonl", b'{"image": "a", "text": 3}', "beginning with line 1 of .*: column 'text': 3 is not words"),
        ("a.jsonl", b'\n{"image": ', "beginning with line 2 of .*: it is not JSON"),
        ("a.jsonl", b"[1]", "line 1 of .*: it is not a JSON object"),
        ("a.parquet", b"PAR?", "cannot read .*a.parquet"),
        ("a.tar", b"no tar", "a.tar is cut off, damaged or no tar file"),
        ("a.docx", b"", "of no known kind"),
    ],
)
def test_a_bad_file_is_refused_in_one_sentence(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(CocaSearchError, match=message) as error:
        read_captioned_data(tmp_path / name)
    assert "\n" not in str(error.value)


def test_half_of_a_parquet_file_is_refused(tmp_path: Path) -> None:
    file = write_parquet(tmp_path / "a.parquet", {"path": ["a.jpg"] * 500, "caption": list(map(str, range(500)))})
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(CocaSearchError, match=r"cannot read .*a\.parquet"):
        read_captioned_data(file)
    file.write_bytes(whole[:200] + bytes(200) + whole[400:])  # the footer is whole, what it tells of is not
    with pytest.raises(CocaSearchError, match=r"cannot read .*a\.parquet"):
        read_captioned_data(file)


def test_a_missing_column_hints_at_the_option(tmp_path: Path) -> None:
    file = write(tmp_path / "a.csv", TWO_IMAGES)
    with pytest.raises(CocaSearchError, match="no column 'photo'") as error:
        read_captioned_data(file, image_key="photo")
    assert error.value.hint == "name it with --image-key COLUMN"


def test_a_table_without_a_header_hints_at_one(tmp_path: Path) -> None:
    with pytest.raises(CocaSearchError, match=r"no image column; its columns are: a\.jpg, one") as error:
        read_captioned_data(write(tmp_path / "a.tsv", "a.jpg\tone\nb.jpg\ttwo\n"))
    assert "first line: filepath,title" in str(error.value.hint)


def test_a_folder_without_sidecars_hints_at_its_data_files(tmp_path: Path) -> None:
    write(tmp_path / "train.tsv", "filepath\ttitle\n")
    with pytest.raises(CocaSearchError) as error:
        read_captioned_data(tmp_path)
    assert error.value.hint == "give one of the data files in it: train.tsv"
    write(tmp_path / "train.tsv", "").rename(tmp_path / "train.bak")
    for split in ("test", "train", ".hidden"):
        (tmp_path / split).mkdir()
        write(tmp_path / split / "metadata.csv", "file_name,text\n")
    with pytest.raises(CocaSearchError) as error:
        read_captioned_data(tmp_path)
    assert error.value.hint == "give one of the data files in it: test/metadata.csv, train/metadata.csv"


def test_a_template_without_a_place_for_the_name_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CocaSearchError, match="no place for the"):
        read_captioned_data(tmp_path, label_template="a photo")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(CocaSearchError, match="there is no captioned data at"):
        read_captioned_data(tmp_path / "nowhere.csv")


def test_paths_of_windows_are_told_as_such(tmp_path: Path) -> None:
    (tmp_path / "p").mkdir()
    (tmp_path / "p" / "a.jpg").touch()
    file = write(tmp_path / "data.csv", "image,text\np\\a.jpg,A cat\np\\gone.jpg,A dog\na.jpg,A bird\n")
    missing = {bad.where: bad.reason for bad in read_captioned_data(file).missing}
    assert missing["p\\a.jpg"] == "no such file: it has \\ where this system has / in paths"
    assert missing["p\\gone.jpg"] == "no such file"


@pytest.mark.parametrize(
    ("header", "hint"),
    [("image,title,title", "other names"), ("image,Title,title", "--caption-key"), ("img,img,title", "other names")],
)
def test_a_column_that_is_there_twice_is_not_guessed(tmp_path: Path, header: str, hint: str) -> None:
    with pytest.raises(CocaSearchError, match=r"a\.csv has 2 (image|caption) columns: ") as error:
        read_captioned_data(write(tmp_path / "a.csv", f"{header}\na.jpg,b.jpg,c\n"))
    assert hint in str(error.value.hint)


def test_a_column_that_is_there_twice_in_parquet_is_not_guessed(tmp_path: Path) -> None:
    columns = [pa.array(["a.jpg"]), pa.array(["x"]), pa.array(["y"])]
    pq.write_table(pa.Table.from_arrays(columns, names=["path", "title", "title"]), tmp_path / "a.parquet")
    with pytest.raises(CocaSearchError, match="has 2 caption columns: title, title"):
        read_captioned_data(tmp_path / "a.parquet")
    assert captions_of(read_captioned_data(write(tmp_path / "a.jsonl", '{"image":"a.jpg","text":"1","text":"2"}'))) == {
        "a.jpg": ("1", "2")
    }


def test_lists_of_captions_in_cells_are_several_captions(tmp_path: Path) -> None:
    file = write(tmp_path / "a.csv", 'filename,raw\na.jpg,"[""one"", ""two""]"\nb.jpg,"[\'three\']"\nc.jpg,[]\n')
    data = read_captioned_data(file)
    assert captions_of(data) == {"a.jpg": ("one", "two"), "b.jpg": ("three",)}
    cells = pa.array([["one", None, ""], [None]], pa.list_(pa.string()))
    pq.write_table(pa.table({"image": ["a.jpg", "b.jpg"], "captions": cells}), tmp_path / "a.parquet")
    assert captions_of(read_captioned_data(tmp_path / "a.parquet")) == {"a.jpg": ("one",)}


def test_images_in_cells_of_tables_are_read_and_named_by_their_row(tmp_path: Path) -> None:
    content = b"\xff\xd8\xff" + bytes(150_000)
    text = base64.b64encode(content).decode()
    for separator in ",\t":
        file = write(tmp_path / "a.csv", f"image{separator}caption\n{text}{separator}big\n")
        (row,) = read_captioned_data(file)
        assert (row.image, row.key, row.captions) == (content, "a.csv#1", ("big",))
    structs = pa.array([[{"bytes": content, "path": None}]])
    pq.write_table(pa.table({"image": structs, "caption": ["big"]}), tmp_path / "a.parquet")
    assert read_captioned_data(tmp_path / "a.parquet")[0].image == content


def test_a_space_before_a_quotation_mark_is_no_part_of_the_words(tmp_path: Path) -> None:
    file = write(tmp_path / "a.csv", 'image , "caption"\na.jpg , "one, and two"\n')
    assert captions_of(read_captioned_data(file)) == {"a.jpg": ("one, and two",)}


def test_excels_first_line_names_the_separator(tmp_path: Path) -> None:
    file = write(tmp_path / "a.csv", "\ufeffsep=;\nfilepath;title\na.jpg;One, two, three\n")
    assert captions_of(read_captioned_data(file)) == {"a.jpg": ("One, two, three",)}


def test_addresses_of_files_are_paths(tmp_path: Path) -> None:
    file = write(tmp_path / "a.csv", f"filepath,title\nfile://{tmp_path}/a.jpg,One\nfile:///gone%20away.jpg,Two\n")
    data = read_captioned_data(file)
    assert [row.image for row in data] == [tmp_path / "a.jpg"]
    assert [(bad.where, bad.reason) for bad in data.missing] == [("/gone away.jpg", "no such file")]


def test_a_first_row_may_lack_a_field(tmp_path: Path) -> None:
    text = '{"image": "a.jpg"}\n{"image": "b.jpg", "caption": "B"}\n'
    for name in ("a.jsonl", "a.ndjson", "a.json"):
        data = read_captioned_data(write(tmp_path / name, text))
        assert captions_of(data) == {"b.jpg": ("B",)}
        assert [bad.reason for bad in data.bad_rows] == ["no caption"]


def test_names_match_in_either_form_of_unicode(tmp_path: Path) -> None:
    composed, split = (unicodedata.normalize(form, "Möbel/café.jpg") for form in ("NFC", "NFD"))
    (tmp_path / split).parent.mkdir()
    (tmp_path / split).touch()
    data = read_captioned_data(write(tmp_path / "a.csv", f"filepath,title\n{composed},One\n{split},Two\nä.jpg,Three\n"))
    assert [(row.image, row.captions) for row in data] == [(tmp_path / split, ("One", "Two"))]
    assert [bad.where for bad in data.missing] == ["ä.jpg"]


def test_an_exported_index_is_read_by_where_the_photos_lie_now(tmp_path: Path) -> None:
    row = {"id": "1", "path": "sub/a.jpg", "caption": "A cat.", "image_path": str(tmp_path / "a.jpg")}
    write(tmp_path / "a.csv", ",".join(row) + "\n" + ",".join(row.values()) + "\n")
    write(tmp_path / "a.jsonl", json.dumps(row))
    write_parquet(tmp_path / "a.parquet", {name: [value] for name, value in row.items()})
    for kind in ("csv", "jsonl", "parquet"):
        (found,) = read_captioned_data(tmp_path / f"a.{kind}")
        assert (found.image, found.captions) == (tmp_path / "a.jpg", ("A cat.",))


def test_hidden_shards_are_left_out(tmp_path: Path) -> None:
    write_parquet(tmp_path / "a.parquet", {"path": ["a.jpg"], "caption": ["a"]})
    (tmp_path / "._a.parquet").write_bytes(b"\0\5\x16\7")
    assert len(read_captioned_data(tmp_path)) == 1


@pytest.mark.parametrize("name", ["x" * 20_000, "y/" * 1900])
def test_no_message_is_long_whatever_it_quotes(tmp_path: Path, name: str) -> None:
    sources = [name, "{" + name + ",b}.csv", f"{tmp_path}/a.csv"]
    write(tmp_path / "a.csv", f"image,caption\n{name}.jpg,words\n")
    for source in sources:
        with pytest.raises(CocaSearchError) as error:
            read_captioned_data(source)
        assert max(len(str(error.value)), len(error.value.hint or "")) <= 300
