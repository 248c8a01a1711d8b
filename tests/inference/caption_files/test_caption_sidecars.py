from pathlib import Path

import pytest

from cocasearch.errors import CocaSearchError
from cocasearch.images.discovery import is_image_name
from cocasearch.inference.caption_files.caption_sidecars import LIST_FILE, Sidecars
from cocasearch.inference.caption_files.caption_sinks import CaptionRecord


def folder_of(folder: Path, **texts: str) -> None:
    """A folder with images `a.jpg`, `b.jpg` and so on, and side-cars."""
    for name, text in texts.items():
        (folder / f"{name}.jpg").touch()
        (folder / f"{name}.txt").write_text(text)


def run(folder: Path, sink: Sidecars, caption: str = "words", confidence: float | None = None) -> list[str]:
    """Names of the images that a run had to caption."""
    wanted = [image for image in sorted(folder.iterdir()) if is_image_name(image.name) and not sink.has(image, "", "")]
    for image in wanted:
        sink.add(CaptionRecord(str(image), caption, None, None, "", "", confidence))
    return [image.name for image in wanted]


def test_what_was_written_here_is_replaced_and_what_was_edited_since_is_not(tmp_path: Path) -> None:
    folder_of(tmp_path, a="", b="  \n", c="by hand")
    assert run(tmp_path, Sidecars()) == ["a.jpg", "b.jpg"]
    assert run(tmp_path, Sidecars()) == []
    (tmp_path / "b.txt").write_text("words, corrected\n")
    sink = Sidecars(overwrite=True)
    assert run(tmp_path, sink, "other words") == ["a.jpg"]
    assert {image.name for image in sink.kept} == {"b.jpg", "c.jpg"}
    texts = [(tmp_path / f"{name}.txt").read_text() for name in "abc"]
    assert texts == ["other words\n", "words, corrected\n", "by hand"]


def test_all_are_replaced_when_asked_and_a_copy_of_those_of_people_stays(tmp_path: Path) -> None:
    folder_of(tmp_path, a="", b="by hand")
    (tmp_path / "b.txt.bak").write_text("an older one")
    (tmp_path / "b.caption").write_text("more by hand")
    run(tmp_path, Sidecars())
    sink = Sidecars(overwrite_all=True)
    assert run(tmp_path, sink) == ["a.jpg", "b.jpg"]
    assert {copy.name: copy.read_text() for copy in sink.set_aside} == {
        "b.txt.2.bak": "by hand",
        "b.caption.bak": "more by hand",
    }
    assert (tmp_path / "b.txt").read_text() == "words\n" and not (tmp_path / "b.caption").exists()
    assert (tmp_path / "b.txt.bak").read_text() == "an older one"


def test_a_folder_that_was_moved_knows_its_sidecars_and_a_list_that_was_cut_short_is_no_harm(tmp_path: Path) -> None:
    (tmp_path / "old").mkdir()
    folder_of(tmp_path / "old", a="", b="")
    run(tmp_path / "old", Sidecars())
    moved = (tmp_path / "old").rename(tmp_path / "new")
    lines = (moved / LIST_FILE).read_text()
    (moved / LIST_FILE).write_text(lines[:-20])
    assert run(moved, Sidecars(overwrite=True), "new") == ["a.jpg"]


def test_a_photo_has_no_sidecar_of_another(tmp_path: Path) -> None:
    for name in ("a.jpg", "a.png", "a.cr2", "b.jpg", "b.cr2", "b.jpg.png", "a.jpg.jpg"):
        (tmp_path / name).touch()
    (tmp_path / "b.txt").write_text("by hand")
    assert run(tmp_path, Sidecars()) == ["a.cr2", "a.jpg", "a.jpg.jpg", "a.png", "b.cr2", "b.jpg.png"]
    assert {text.name for text in tmp_path.glob("*.txt")} == {
        "a.jpg.jpg.txt", "a.cr2.txt", "a.jpg.txt", "a.png.txt", "b.txt", "b.cr2.txt", "b.jpg.png.txt"
    }  # fmt: skip
    assert run(tmp_path, Sidecars()) == []


def test_captions_less_sure_than_wanted_are_written_anew(tmp_path: Path) -> None:
    folder_of(tmp_path, a="", b="by hand")
    run(tmp_path, Sidecars(), confidence=0.4)
    assert run(tmp_path, Sidecars(below=0.3)) == []
    assert run(tmp_path, Sidecars(below=0.5), "better", 0.6) == ["a.jpg"]
    assert run(tmp_path, Sidecars(below=0.5)) == []


def test_a_person_who_writes_during_the_run_comes_first(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").touch()
    sink = Sidecars(overwrite=True)
    assert not sink.has(tmp_path / "a.jpg", "", "")
    (tmp_path / "a.txt").write_text("by hand")
    sink.add(CaptionRecord(str(tmp_path / "a.jpg"), "words", None, None, "", ""))
    assert (tmp_path / "a.txt").read_text() == "by hand"


def test_a_sidecar_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").touch()
    (tmp_path / LIST_FILE).mkdir()
    with pytest.raises(CocaSearchError, match=r"cannot write .*a\.txt: is a directory"):
        run(tmp_path, Sidecars())
