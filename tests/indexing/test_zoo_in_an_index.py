"""A folder of odd and broken files becomes an index in which every good one finds itself and every bad one is named."""

from pathlib import Path

import pytest
from images import zoo

from cocasearch.images.extras import EXTRAS, is_installed
from cocasearch.indexing.builder import IndexBuilder
from cocasearch.indexing.store.unreadable_files import UnreadableFiles
from cocasearch.inference.loaded_model import load_model
from cocasearch.search.searcher import Searcher

MISSING = {extra for extra in EXTRAS if not is_installed(extra)}


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
def test_every_good_file_finds_itself_and_every_bad_one_is_named(tmp_path: Path) -> None:
    photos, index = tmp_path / "zoo", tmp_path / "index"
    specimens = zoo.build(photos)
    loaded = load_model("coca-mini")
    builder = IndexBuilder(index, loaded, caption_options=None)
    report = builder.build([photos])
    good = {one.name for one in specimens if not one.reason and one.extra not in MISSING}
    assert report.added == report.total == len(good)

    searcher = Searcher(index, loaded)
    for name in good:
        first, second = searcher.search(photos / name, 2)
        assert first.relative_path == name
        assert first.score == pytest.approx(1.0, abs=2e-3)
        assert second.score < first.score

    reasons = {entry.path: entry.reason for entry in UnreadableFiles(index)}
    expected = {one.name: one.reason or f"pip install 'cocasearch[{one.extra}]'" for one in specimens}
    assert reasons.keys() == expected.keys() - good
    assert all(expected[name] in reason for name, reason in reasons.items())
    assert dict(report.failed) == {str(photos / name): reason for name, reason in reasons.items()}

    again = builder.build([photos])
    assert (again.added, again.updated, again.unchanged) == (0, 0, len(good))
    assert (again.failed, again.known_bad) == ((), len(reasons))
