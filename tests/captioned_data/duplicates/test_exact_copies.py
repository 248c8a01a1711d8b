"""Files of the same bytes are one image, wherever images are counted."""

from pathlib import Path

from cocasearch.captioned_data import BadRow, CaptionedImage, read_captioned_data, unite_copies


def test_files_of_the_same_bytes_are_one_image_with_the_captions_of_all(tmp_path: Path) -> None:
    for name, content in {"a": b"one", "b": b"two", "c": b"one", "d": b"", "e": b"", "f": b"one"}.items():
        (tmp_path / f"{name}.jpg").write_bytes(content)
    rows = ["a.jpg,A cat.", "a.jpg,A cat.", "b.jpg,A dog.", "c.jpg,A cat.", "f.jpg,It sits.", "d.jpg,x", "e.jpg,y"]
    (tmp_path / "data.csv").write_text("\n".join(["image,caption", *rows]))
    data = unite_copies(read_captioned_data(tmp_path / "data.csv"))
    assert {image.key: image.captions for image in data} == {
        "a.jpg": ("A cat.", "A cat.", "It sits."),
        "b.jpg": ("A dog.",),
        "d.jpg": ("x",),  # nothing is known of empty files
        "e.jpg": ("y",),
    }
    assert data.copies == [BadRow("c.jpg", "the same bytes as a.jpg"), BadRow("f.jpg", "the same bytes as a.jpg")]
    assert data.skipped == []


def test_without_copies_nothing_changes(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / f"{name}.jpg").write_text(name)
    (tmp_path / "data.csv").write_text("image,caption\na.jpg,x\nb.jpg,x\n")
    data = read_captioned_data(tmp_path / "data.csv")
    assert unite_copies(data) == data
    assert data[1] == CaptionedImage(tmp_path / "b.jpg", "b.jpg", ("x",))
