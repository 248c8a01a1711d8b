"""Each file of an index, damaged: what is derived is made anew, of all else one sentence tells, nothing crashes."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from damaged import LONGEST, damaged_copies

from cocasearch.errors import CocaSearchError
from cocasearch.indexing.summary import summarise_index
from cocasearch.inference.loaded_model import LoadedModel
from cocasearch.search.searcher import Searcher

pytestmark = pytest.mark.filterwarnings("ignore")  # of FAISS and LanceDB, about what they find


@pytest.mark.parametrize("copies", [2, pytest.param(100, marks=pytest.mark.soak)])
def test_a_damaged_file_of_an_index_ends_in_hits_or_in_one_sentence(
    copies: int, build: Callable, index: Path, photos: Path, loaded: LoadedModel, tmp_path: Path
) -> None:
    build(photos)
    Searcher(index, loaded).search("a dog")
    for number, file in enumerate(sorted(path for path in index.rglob("*") if path.is_file())):
        for content in damaged_copies(file.read_bytes() or b"\0", copies, seed=number):
            copy = Path(shutil.copytree(index, tmp_path / "damaged"))
            (copy / file.relative_to(index)).write_bytes(content)
            try:
                summarise_index(copy)
                Searcher(copy, loaded).search("a dog", where="width > 1")
            except CocaSearchError as error:
                sentence = str(error).replace(str(copy), "")
                assert "\n" not in sentence and len(sentence) <= LONGEST, sentence
            shutil.rmtree(copy)


def test_rows_of_a_snapshot_that_point_nowhere_are_made_anew(
    build: Callable, index: Path, photos: Path, loaded: LoadedModel
) -> None:
    build(photos)
    before = [hit.path for hit in Searcher(index, loaded).search("a dog")]
    (file,) = (index / "snapshot").glob("*.arrow")
    for content in damaged_copies(file.read_bytes(), 20, seed=3):
        file.write_bytes(content)
        assert len(Searcher(index, loaded).search("a dog")) == len(before)
