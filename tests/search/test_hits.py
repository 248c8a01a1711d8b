"""A hit says whether its photo is there and its caption sure, and becomes JSON."""

import json
from datetime import datetime
from pathlib import Path

import pytest

from cocasearch.search.hits import SearchHit


def hit(path: str = "/photos/a.jpg", caption: str | None = "a dog", **more: object) -> SearchHit:
    return SearchHit(1, 0.5, path, "a.jpg", caption, 0.4, "id", **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("caption", "confidence", "is_sure"),
    [("a dog", 0.9, True), ("a dog", 0.1, False), ("a dog", None, True), (None, None, None), (None, 0.1, None)],
)
def test_a_caption_that_nobody_has_judged_is_sure(
    caption: str | None, confidence: float | None, is_sure: bool | None
) -> None:
    assert hit(caption=caption, caption_confidence=confidence).caption_is_sure is is_sure


def test_a_photo_is_there_as_long_as_its_file_is(tmp_path: Path) -> None:
    found = hit(str(tmp_path / "a.jpg"))
    assert not found.is_there
    (tmp_path / "a.jpg").touch()
    assert found.is_there


def test_a_hit_becomes_json() -> None:
    found = hit(taken_at=datetime(2024, 6, 1, 18, 30), caption_confidence=0.1, copies=("/photos/b.jpg",))
    back = json.loads(json.dumps(found.to_dict()))
    assert (back["taken_at"], back["caption_is_sure"], back["copies"]) == (
        "2024-06-01T18:30:00", False, ["/photos/b.jpg"],
    )  # fmt: skip
    assert hit().to_dict()["taken_at"] is None
