import io
import tarfile
from pathlib import Path

import pytest

from cocasearch.byte_range import ByteRange
from cocasearch.captioned_data import BadRow, CaptionedImage, read_captioned_data
from cocasearch.errors import CocaSearchError, UnreadableImage
from cocasearch.images.decoding import read_image


def write_shard(file: Path, members: dict[str, bytes], *, mode: str = "w") -> Path:
    with tarfile.open(file, mode) as shard:  # type: ignore[call-overload]
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            shard.addfile(member, io.BytesIO(content))
    return file


def contents(data: object) -> dict[str, bytes]:
    return {row.key: row.image.read() for row in data}  # type: ignore[attr-defined]


def test_images_are_paired_with_texts_in_either_order_and_stay_in_the_shard(tmp_path: Path) -> None:
    whole = {
        "1.jpg": b"one",
        "1.json": b"{}",
        "1.txt": b"first",
        "2.txt": b"second",
        "2.png": b"two",
        "2.caption": b"more",
    }
    members = {
        "3.jpg": b"x",
        "4.txt": b"words",
        "5.jpg": b"y",
        "5.txt": b"\xff\xfe\xff",
    }
    file = write_shard(tmp_path / "shard.tar", {**whole, **members})
    data = read_captioned_data(file)
    assert contents(data) == {"1": b"one", "2": b"two"}
    assert [row.captions for row in data] == [("first",), ("second", "more")]
    assert all(isinstance(row.image, ByteRange) and row.image.file == file for row in data)
    assert data.bad_rows == [
        BadRow(f"sample 3 of {file}", "no caption"),
        BadRow(f"sample 4 of {file}", "no photo"),
        BadRow(f"sample 5 of {file}", "its .txt: it is not UTF-8"),
    ]


def test_texts_of_an_images_whole_name_are_its_own(tmp_path: Path) -> None:
    members = {
        "1.png": b"one",
        "1.png.txt": b"longer",
        "1.txt": b"shorter",
        "a/2.txt": b"shorter",
        "a/2.jpg": b"two",
        "a/2.jpg.txt": b"longer",
        "3.png": b"three",
        "3.png.caption": b"third",
    }
    data = read_captioned_data(write_shard(tmp_path / "a.tar", members))
    assert {row.key: row.captions for row in data} == {"1": ("longer",), "a/2": ("longer",), "3": ("third",)}
    assert data.skipped == []


def test_a_shard_that_is_not_in_order_is_told_so(tmp_path: Path) -> None:
    members = {"1.png": b"one", "2.png": b"two", "1.txt": b"x", "2.txt": b"y"}
    with pytest.raises(CocaSearchError, match=r"sample 1 of .*: no caption") as caught:
        read_captioned_data(write_shard(tmp_path / "a.tar", members))
    assert "next to each other" in str(caught.value.hint)


def test_captions_are_taken_from_json_where_there_is_no_text(tmp_path: Path) -> None:
    members = {
        "1.jpg": b"one",
        "1.json": b'{"caption": "A cat.", "url": "x"}',
        "2.json": b'{"caption": null, "text": ["A dog.", "It runs."]}',
        "2.jpg": b"two",
        "3.jpg": b"three",
        "3.json": b'{"caption": "of the page"}',
        "3.txt": b"its own",
        "4.jpg": b"four",
        "4.json": b"{",
        "5.jpg": b"five",
        "5.json": b'{"caption": 7}',
    }
    file = write_shard(tmp_path / "shard.tar", members)
    data = read_captioned_data(file)
    assert [row.captions for row in data] == [("A cat.",), ("A dog.", "It runs."), ("its own",)]
    assert data.bad_rows == [
        BadRow(f"sample 4 of {file}", "its .json: it is not JSON: Expecting property name enclosed in double quotes"),
        BadRow(f"sample 5 of {file}", "7 is not words"),
    ]


def test_samples_of_the_same_image_are_one_image(tmp_path: Path) -> None:
    members = {
        "1.jpg": b"same",
        "1.txt": b"one",
        "2.jpg": b"else",
        "2.txt": b"two",
        "3.jpg": b"same",
        "3.txt": b"three",
    }
    data = read_captioned_data(write_shard(tmp_path / "a.tar", members))
    assert {row.key: row.captions for row in data} == {"1": ("one", "three"), "2": ("two",)}


def test_an_image_in_a_shard_is_decoded_like_a_file(tmp_path: Path, photo_folder: Path) -> None:
    photo, torn = ((photo_folder / name).read_bytes() for name in ("turned.jpg", "truncated.jpg"))
    members = {"1.txt": b"green", "1.jpg": photo, "2.txt": b"torn", "2.jpg": torn}
    data = read_captioned_data(write_shard(tmp_path / "a.tar", members))
    image, _ = read_image(data[0].image)
    assert image.tobytes() == read_image(photo_folder / "turned.jpg")[0].tobytes()
    with pytest.raises(UnreadableImage, match="truncated"):
        read_image(data[1].image)
    (tmp_path / "a.tar").write_bytes(b"")
    with pytest.raises(UnreadableImage, match=r"a\.tar.*become shorter"):
        read_image(data[0].image)


@pytest.mark.parametrize("kept", [0.3, 0.5, 0.9])
def test_a_shard_that_is_cut_off_is_refused(tmp_path: Path, kept: float) -> None:
    members = {f"{number:03}.{kind}": bytes([number]) * 700 for number in range(1, 30) for kind in ("jpg", "cls")}
    file = write_shard(tmp_path / "a.tar", members | {"x.txt": b"x"})
    end = sum(1024 + 512 for _ in members)
    file.write_bytes(file.read_bytes()[: int(kept * end)])
    with pytest.raises(CocaSearchError, match=r"a\.tar is cut off") as caught:
        read_captioned_data(file)
    assert caught.value.hint == "copy it again from where it came, or name the other shards without it"


def test_a_shard_cut_between_two_members_or_broken_in_the_middle_is_refused(tmp_path: Path) -> None:
    members = {"1.jpg": b"x", "1.txt": b"one", "2.jpg": b"y", "2.txt": b"two"}
    file = write_shard(tmp_path / "a.tar", members)
    whole = file.read_bytes()
    for kept in (2048, 2300):  # in the header, too
        file.write_bytes(whole[:kept])
        with pytest.raises(CocaSearchError, match=r"a\.tar is cut off after sample '1'"):
            read_captioned_data(file)
    file.write_bytes(whole[:2048] + b"junk" * 128 + whole[2560:])
    with pytest.raises(CocaSearchError, match=r"a\.tar is damaged after sample '1'"):
        read_captioned_data(file)


def test_a_compressed_shard_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CocaSearchError, match="is compressed") as caught:
        read_captioned_data(write_shard(tmp_path / "a.tar", {"1.jpg": b"x", "1.txt": b"one"}, mode="w:gz"))
    assert "gunzip" in str(caught.value.hint)


def test_lists_in_braces_and_joined_sources_are_read_in_order(tmp_path: Path) -> None:
    for number in range(8, 12):
        members = {f"s{number}.jpg": bytes([number]), f"s{number}.txt": b"words"}
        write_shard(tmp_path / f"{number:03}.tar", members)
    (tmp_path / "x.jpg").write_bytes(b"x")
    (tmp_path / "x.csv").write_text("image,caption\nx.jpg,an x\n")
    source = f"{tmp_path}/{{010..011}}.tar::{tmp_path}/x.csv::{tmp_path}/{{009,008}}.tar"
    data = read_captioned_data(source)
    assert [row.key for row in data] == ["s10", "s11", "x.jpg", "s9", "s8"]
    assert data[2] == CaptionedImage(tmp_path / "x.jpg", "x.jpg", ("an x",))
    assert data.source == source


def test_lists_in_braces_multiply(tmp_path: Path) -> None:
    for name in ("a-1.csv", "a-2.csv", "b-1.csv", "b-2.csv"):
        (tmp_path / f"{name}.jpg").touch()
        (tmp_path / name).write_text(f"image,caption\n{name}.jpg,words\n")
    assert [row.key[:3] for row in read_captioned_data(f"{tmp_path}/{{a,b}}-{{1..2}}.csv")] == [
        "a-1",
        "a-2",
        "b-1",
        "b-2",
    ]


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("{00..12}.tar", r"no captioned data at 00\.tar and at 12 other places of 13"),
        ("{5..2}.tar", "ends before it begins"),
        ("{1..999999999}.tar", "999,999,999 files"),
        ("{1..999}/{1..999}.tar", "998,001 files"),
        ("::", "is empty"),
        ("s3://", "names no bucket"),
    ],
)
def test_a_list_that_makes_no_sense_is_refused(source: str, message: str) -> None:
    with pytest.raises(CocaSearchError, match=message):
        read_captioned_data(source)


def test_the_caption_key_that_is_given_wins(tmp_path: Path) -> None:
    members = {"1.jpg": b"x", "1.txt": b"poor", "1.json": b'{"caption": "of the page", "long": "good", "n": null}'}
    file = write_shard(tmp_path / "a.tar", members)
    for key, caption in (("long", "good"), ("caption", "of the page"), ("txt", "poor"), (".TXT", "poor")):
        assert read_captioned_data(file, caption_key=key)[0].captions == (caption,)
    with pytest.raises(CocaSearchError, match=r"no caption key 'lang'; its keys are: txt, caption, long, n$"):
        read_captioned_data(file, caption_key="lang")
    assert read_captioned_data(file, caption_key="lang", or_usual=True)[0].captions == ("poor",)


def test_a_shard_whose_captions_have_a_key_of_their_own_names_its_keys(tmp_path: Path) -> None:
    file = write_shard(tmp_path / "a.tar", {"1.jpg": b"x", "1.json": b'{"long": "good", "url": "x"}'})
    with pytest.raises(CocaSearchError, match="it has no caption; its keys are: long, url") as error:
        read_captioned_data(file)
    assert error.value.hint == "name one of them with --caption-key"
    file = write_shard(tmp_path / "b.tar", {"1.jpg": b"x", "1.long.txt": b"good"})
    with pytest.raises(CocaSearchError, match=r"its keys are: long\.txt"):
        read_captioned_data(file)
    assert read_captioned_data(file, caption_key="long.txt")[0].captions == ("good",)


def test_of_several_images_in_a_sample_one_has_to_be_named(tmp_path: Path) -> None:
    views = write_shard(tmp_path / "a.tar", {"1.left.jpg": b"l", "1.right.jpg": b"r", "1.txt": b"words"})
    formats = write_shard(tmp_path / "b.tar", {"1.jpg": b"l", "1.png": b"r", "1.txt": b"words"})
    for file, keys in ((views, ("left.jpg", "right.jpg")), (formats, ("jpg", "png"))):
        with pytest.raises(CocaSearchError, match=f"several images: {', '.join(keys)}") as error:
            read_captioned_data(file)
        assert error.value.hint == "name one of them with --image-key"
        assert [contents(read_captioned_data(file, image_key=key)) for key in keys] == [{"1": b"l"}, {"1": b"r"}]
        with pytest.raises(CocaSearchError, match=f"no image key 'gif'; its keys are: {keys[0]}"):
            read_captioned_data(file, image_key="gif")


def test_names_with_dots_are_names(tmp_path: Path) -> None:
    members = {"p.1.jpg": b"a", "p.1.txt": b"one", "p.2.jpg": b"b", "p.2.txt": b"two", "p.3.jpg": b"c"}
    data = read_captioned_data(write_shard(tmp_path / "a.tar", members))
    assert {row.key: row.captions for row in data} == {"p.1": ("one",), "p.2": ("two",)}
    one = read_captioned_data(write_shard(tmp_path / "b.tar", {"1.image.jpg": b"a", "1.txt": b"one"}))
    assert [(row.key, row.captions) for row in one] == [("1", ("one",))]


def test_hidden_and_system_members_are_left_out_as_in_folders(tmp_path: Path) -> None:
    members = {
        "./._1.jpg": b"\0\5\x16\7",
        "./1.jpg": b"one",
        "./._1.txt": b"\0\5\x16\7",
        "./1.txt": b"words",
        "__MACOSX/._1.jpg": b"x",
        "__MACOSX/1.txt": b"x",
        "a/@eaDir/1.jpg/SYNOPHOTO_THUMB_M.jpg": b"thumbnail",
        "a/.ipynb_checkpoints/1.jpg": b"draft",
        "a/.DS_Store": b"x",
        "a/Thumbs.db": b"x",
        "a/2.jp2": b"two",
        "a/2.txt": b"more",
    }
    data = read_captioned_data(write_shard(tmp_path / "a.tar", members))
    assert contents(data) == {"1": b"one", "a/2": b"two"}
    assert data.skipped == []
