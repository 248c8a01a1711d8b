"""A table that was written is read again as the same captioned images."""

from pathlib import Path

import pytest

from cocasearch.captioned_data.captioned_image import CaptionedData, CaptionedImage
from cocasearch.captioned_data.writing import write_csv
from cocasearch.errors import CocaSearchError


def data_of(*images: Path | bytes) -> CaptionedData:
    return CaptionedData("data", [CaptionedImage(image, "key", ("a dog, asleep", 'it says "go"')) for image in images])


def test_a_row_is_written_for_each_caption(tmp_path: Path) -> None:
    out = tmp_path / "table.csv"
    assert write_csv(data_of(tmp_path / "sub" / "a.jpg", Path("/elsewhere/b.jpg")), out) == 4
    assert out.read_text(encoding="utf-8").splitlines() == [
        "filepath,title",
        'sub/a.jpg,"a dog, asleep"',
        'sub/a.jpg,"it says ""go"""',
        '/elsewhere/b.jpg,"a dog, asleep"',
        '/elsewhere/b.jpg,"it says ""go"""',
    ]


def test_a_link_is_written_as_itself(tmp_path: Path) -> None:
    (tmp_path / "link.jpg").symlink_to("/elsewhere/b.jpg")
    write_csv(data_of(tmp_path / "link.jpg"), tmp_path / "table.csv")
    assert "\nlink.jpg," in (tmp_path / "table.csv").read_text()


def test_a_table_is_replaced_only_when_asked(tmp_path: Path) -> None:
    out = tmp_path / "table.csv"
    out.write_text("mine")
    with pytest.raises(CocaSearchError, match="exists already"):
        write_csv(data_of(), out)
    assert out.read_text() == "mine"
    write_csv(data_of(), out, overwrite=True)
    assert out.read_text() == "filepath,title\n"


def test_images_that_are_no_files_leave_no_half_table(tmp_path: Path) -> None:
    with pytest.raises(CocaSearchError, match="key of data is no file of its own"):
        write_csv(data_of(tmp_path / "a.jpg", b"bytes"), tmp_path / "table.csv")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "message"), [("table.json", "does not end so"), ("no/table.csv", "no such file or directory")]
)
def test_a_table_that_cannot_be_written_is_told(tmp_path: Path, name: str, message: str) -> None:
    with pytest.raises(CocaSearchError, match=message):
        write_csv(data_of(), tmp_path / name)
