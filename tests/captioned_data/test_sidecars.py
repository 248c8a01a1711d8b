import unicodedata
from pathlib import Path

import pytest

from cocasearch.captioned_data import BadRow, read_captioned_data
from cocasearch.errors import CocaSearchError


def folder_of(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def test_both_kinds_of_sidecars_give_one_caption_a_line(tmp_path: Path) -> None:
    files = {
        "a.jpg": "",
        "a.caption": "three\n",
        "a.txt": "one\n\ntwo\n",
        "sub/b.webp": "",
        "sub/b.txt": "four",
        "sub/c.JPG": "",
        "sub/c.caption": "five",
        ".hidden.txt": "x",
    }
    data = read_captioned_data(folder_of(tmp_path, files))
    assert {row.key: row.captions for row in data} == {
        "a.jpg": ("one", "two", "three"),
        "sub/b.webp": ("four",),
        "sub/c.JPG": ("five",),
    }
    assert data[1].image == tmp_path / "sub" / "b.webp"
    assert data.skipped == []


def test_a_sidecar_of_the_whole_name_is_read_instead_of_the_shorter(tmp_path: Path) -> None:
    files = {
        "c.png": "",
        "c.png.txt": "one",
        "c.png.caption": "two",
        "d.jpg": "",
        "d.jpg.txt": "its own",
        "d.png": "",
        "d.txt": "of the other",
        "sub/e.JPG": "",
        "sub/e.JPG.txt": "longer",
        "sub/e.txt": "shorter",
    }
    data = read_captioned_data(folder_of(tmp_path, files))
    assert {row.key: row.captions for row in data} == {
        "c.png": ("one", "two"),
        "d.jpg": ("its own",),
        "d.png": ("of the other",),
        "sub/e.JPG": ("longer",),
    }
    reason = "e.JPG has a side-car of its whole name, which is read instead"
    assert data.skipped == [BadRow("sub/e.txt", reason)]


def test_a_sidecar_that_may_be_of_several_images_is_of_none(tmp_path: Path) -> None:
    files = {
        "IMG_1.jpg": "",
        "IMG_1.png": "",
        "IMG_1.txt": "of one of them",
        "IMG_2.jpg": "",
        "IMG_2.png": "",
        "IMG_2.jpg.txt": "a jpg",
        "IMG_2.png.txt": "a png",
        "x.png": "",
        "x.png.jpg": "",
        "x.png.txt": "of the first",
        "y.jpg": "",
        "y.xmp": "no photo",
        "y.txt": "a plain one",
    }
    data = read_captioned_data(folder_of(tmp_path, files))
    captions = {"IMG_2.jpg": "a jpg", "IMG_2.png": "a png", "x.png": "of the first", "y.jpg": "a plain one"}
    assert {row.key: row.captions for row in data} == {name: (caption,) for name, caption in captions.items()}
    assert data.skipped == [
        BadRow("IMG_1.txt", "it may be of IMG_1.jpg or IMG_1.png: call it IMG_1.jpg.txt"),
        BadRow("IMG_1.jpg", "no caption"),
        BadRow("IMG_1.png", "no caption"),
        BadRow("x.png.jpg", "no caption"),
    ]


def test_what_has_no_other_half_is_listed(tmp_path: Path) -> None:
    folder = folder_of(
        tmp_path, {"a.jpg": "", "a.txt": "one", "b.png": "", "c.jpg": "", "c.txt": " \n", "d.txt": "x", "README.md": ""}
    )
    (folder / "e.jpg").touch()
    (folder / "e.caption").write_bytes(b"caf\xe9")
    data = read_captioned_data(folder)
    assert [row.key for row in data] == ["a.jpg"]
    assert data.bad_rows == [
        BadRow("b.png", "no caption"),
        BadRow("c.jpg", "no caption"),
        BadRow("e.jpg", "its .caption: it is not UTF-8"),
        BadRow("d.txt", "no photo"),
    ]


def test_a_folder_of_photos_without_words_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CocaSearchError, match=r"holds no captioned photos: a\.jpg: no caption"):
        read_captioned_data(folder_of(tmp_path, {"a.jpg": "", "b.jpg": ""}))


def test_what_no_index_takes_is_left_out(tmp_path: Path) -> None:
    names = (
        *(".ipynb_checkpoints/a-checkpoint", "@eaDir/a.jpg/SYNOPHOTO_THUMB_M", "__MACOSX/a", "#recycle/a"),
        *("$Recycle.Bin/a", ".thumbnails/a", "sub/._a", "._a"),
    )
    files = {f"{name}.{kind}": "WRONG" for name in names for kind in ("jpg", "txt")}
    others = {"a.jpg": "", "a.txt": "right", "Thumbs.db": "", ".DS_Store": "", "sub/b.jpe": "", "sub/b.txt": "also"}
    data = read_captioned_data(folder_of(tmp_path, files | others))
    assert {row.key: row.captions for row in data} == {"a.jpg": ("right",), "sub/b.jpe": ("also",)}
    assert data.skipped == []


def test_links_to_folders_are_named(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "data", {"a.jpg": "", "a.txt": "one"})
    (folder / "more").symlink_to(folder_of(tmp_path / "more", {"b.jpg": "", "b.txt": "two"}))
    data = read_captioned_data(folder)
    assert [row.key for row in data] == ["a.jpg"]
    assert data.skipped == [BadRow("more", "a link to a folder, which is not followed")]


def test_captions_may_be_in_json_and_a_key_that_is_given_wins(tmp_path: Path) -> None:
    files = {
        "a.jpg": "",
        "a.json": '{"caption": ["one", "two"], "tags": "x"}',
        "b.png": "",
        "b.txt": "b",
        "b.json": "{",
    }
    folder = folder_of(tmp_path, files)
    assert {row.key: row.captions for row in read_captioned_data(folder)} == {"a.jpg": ("one", "two"), "b.png": ("b",)}
    assert [row.key for row in read_captioned_data(folder, caption_key="txt", image_key="png")] == ["b.png"]
    assert read_captioned_data(folder, caption_key="tags")[0].captions == ("x",)
    with pytest.raises(CocaSearchError, match="no caption key 'tag'; its keys are: caption, tags, txt"):
        read_captioned_data(folder, caption_key="tag")


def test_a_text_belongs_to_an_image_in_either_form_of_unicode(tmp_path: Path) -> None:
    image, text = unicodedata.normalize("NFC", "é.jpg"), unicodedata.normalize("NFD", "é.txt")
    assert read_captioned_data(folder_of(tmp_path, {image: "", text: "an e"}))[0].captions == ("an e",)
