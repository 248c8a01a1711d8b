import json
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cocasearch.errors import CocaSearchError, NothingFound, UnreadableImage
from cocasearch.indexing.builder import IndexBuilder
from cocasearch.indexing.edit.removal import remove_paths
from cocasearch.indexing.repair.verification import verify_index
from cocasearch.indexing.snapshot.snapshot_files import open_snapshot
from cocasearch.indexing.store.location import MANIFEST_FILE
from cocasearch.indexing.store.manifest import read_manifest, write_manifest
from cocasearch.indexing.store.table import IndexTable
from cocasearch.inference.embedder import Embedder
from cocasearch.inference.loaded_model import load_model
from cocasearch.search.query_terms import parse_terms
from cocasearch.search.searcher import Searcher
from cocasearch.text.known_words import KnownWords


@pytest.fixture
def home(photos, index, tmp_path):
    """A copy of the photos and their index, in one folder, to do with as one likes."""
    return shutil.copytree(photos.parent, tmp_path / "home")


def test_every_stored_photo_finds_itself_first_with_score_one(index, loaded, photos):
    searcher = Searcher(index, loaded)
    for photo in sorted(photos.iterdir()):
        best, second = searcher.search(photo, top_k=2)
        assert (best.rank, best.path, best.relative_path) == (1, str(photo), photo.name)
        assert best.score == pytest.approx(1, abs=5e-4)
        assert second.score < best.score <= 1


def test_scores_are_cosines_and_descend(index, loaded, photos):
    hits = Searcher(index, loaded).search("a red kite", top_k=12)
    query = Embedder(loaded).embed_texts(["a red kite"])[0]
    scores = [hit.score for hit in hits]
    assert scores == sorted(scores, reverse=True)
    assert [hit.rank for hit in hits] == list(range(1, 13))
    expected = [Embedder(loaded).embed_image_file(photos / hit.relative_path) @ query for hit in hits]
    np.testing.assert_allclose(scores, expected, atol=1e-3)


def test_more_hits_than_photos_are_all_photos(index, loaded):
    assert len(Searcher(index, loaded).search("a dog", top_k=100)) == len(Searcher(index)) == 12


def test_a_hit_tells_its_caption_and_becomes_json(index, loaded):
    (hit,) = Searcher(index, loaded).search("a dog", top_k=1)
    assert isinstance(hit.caption, str) and isinstance(hit.caption_score, float)
    fields = {name: getattr(hit, name) for name in hit.__dataclass_fields__}
    assert hit.to_dict() == fields | {"caption_is_sure": True} and hit.caption_confidence is None
    assert replace(hit, caption_confidence=0.49).to_dict()["caption_is_sure"] is False
    assert replace(hit, caption=None, caption_confidence=None).caption_is_sure is None
    assert (hit.text_score, hit.vector_rank, hit.text_rank, hit.fused_score) == (None, None, None, None)
    assert json.loads(json.dumps(replace(hit, taken_at=datetime(2024, 6, 1, 12)).to_dict()))["taken_at"] == (
        "2024-06-01T12:00:00"
    )


def test_a_model_named_loads_what_queries_need_and_answers_the_same(index, loaded, photos, tiny_model_folder):
    named, whole = Searcher(index, tiny_model_folder), Searcher(index, loaded)
    named.embed("a dog")
    with pytest.raises(CocaSearchError, match="without its image tower"):
        named._encoder._loaded.model.image_encoder(None)
    for query in ("a dog", photos / "p1.png", parse_terms(["a dog", str(photos / "p1.png")]), "a cat"):
        np.testing.assert_allclose(named.embed(query), whole.embed(query), atol=1e-6)
    with pytest.raises(CocaSearchError, match="without its caption tower"):
        named._encoder._loaded.model.multimodal_decoder(None, None)  # no query needs it


def test_several_terms_are_the_mean_of_their_unit_vectors(index, loaded, photos):
    searcher, embedder = Searcher(index, loaded), Embedder(loaded)
    combined = searcher.embed(parse_terms(["a dog", str(photos / "p1.png")]))
    mean = embedder.embed_texts(["a dog"])[0] + embedder.embed_image_file(photos / "p1.png")
    np.testing.assert_allclose(combined, mean / np.linalg.norm(mean), atol=1e-5)


def test_photos_moved_together_with_their_index_are_found_where_they_are(home, loaded):
    moved = shutil.move(home, home.parent / "new home")
    hits = Searcher(f"{moved}/index", loaded).search(parse_terms(images=[f"{moved}/photos/p3.png"]), top_k=1)
    assert hits[0].path == f"{moved}/photos/p3.png"
    assert IndexBuilder(home.parent / "new home" / "index", loaded).build().unchanged == 12


@pytest.mark.parametrize("moment", ["before", "after"])
def test_folders_may_come_and_go_while_an_index_is_opened(home, loaded, monkeypatch, moment):
    shutil.copytree(home / "photos", home / "new")

    def open_meanwhile(index, table):
        if moment == "before":
            IndexBuilder(index, loaded).build([home / "new"])
        snapshot = open_snapshot(index, table)
        if moment == "after":
            remove_paths(index, [home / "photos"])
        return snapshot

    if moment == "after":
        IndexBuilder(home / "index", loaded).build([home / "new"])
    monkeypatch.setattr("cocasearch.search.searcher.open_snapshot", open_meanwhile)
    hits = Searcher(home / "index", loaded).search("a red kite", top_k=30)
    assert {Path(hit.path).parent for hit in hits} == {home / "photos", home / "new"}


def test_refreshing_shows_what_was_added_since(home, loaded):
    searcher = Searcher(home / "index", loaded)
    shutil.copy(home / "photos" / "p1.png", home / "photos" / "copy.png")
    IndexBuilder(home / "index", loaded).build([home / "photos"])
    assert len(searcher) == 12
    searcher.refresh()
    best, other = searcher.search(home / "photos" / "p1.png", top_k=2)
    assert (best.relative_path, best.copies) == ("p1.png", (str(home / "photos" / "copy.png"),))
    assert other.relative_path != "copy.png" and other.copies == ()


def test_another_model_is_refused(index, loaded, photos):
    with pytest.raises(CocaSearchError, match=rf"built with model {re.escape(loaded.name)}@") as caught:
        Searcher(index, replace(loaded, name="other", fingerprint="0" * 16))
    assert caught.value.hint == f"cocasearch index --rebuild --model other --index {index}"


def test_the_model_is_loaded_by_its_name_when_needed(index, tiny_model_folder, tmp_path, monkeypatch):
    monkeypatch.setenv("COCASEARCH_HOME", str(tmp_path))
    shutil.copytree(tiny_model_folder, tmp_path / "models" / "tiny")
    assert len(Searcher(index).search("a dog")) == 10


def test_a_model_that_is_not_there_any_more_is_named(home, photos, monkeypatch, tmp_path):
    manifest = read_manifest(home / "index")
    write_manifest(replace(manifest, model_name="lost"), home / "index" / MANIFEST_FILE)
    monkeypatch.setenv("COCASEARCH_HOME", str(tmp_path))
    with pytest.raises(CocaSearchError, match=r"the model that made index .* cannot be loaded: .*lost"):
        Searcher(home / "index").search("a dog")


def test_no_index_is_an_error(tmp_path, loaded):
    with pytest.raises(CocaSearchError, match=r"no index '.*nowhere' at .*nowhere") as caught:
        Searcher(tmp_path / "nowhere", loaded)
    assert caught.value.hint.startswith("cocasearch index ./photos --index ")


def test_an_index_without_images_finds_nothing(tmp_path, loaded):
    (tmp_path / "bad.png").write_bytes(b"no picture")
    IndexBuilder(tmp_path / "index", loaded).build([tmp_path])
    with pytest.raises(NothingFound, match="holds no photos"):
        Searcher(tmp_path / "index", loaded).search("a dog")


def test_a_picture_in_memory_finds_what_its_file_finds(index, loaded, photos, tmp_path):
    searcher = Searcher(index, loaded)
    with Image.open(photos / "p7.png") as picture:
        best = searcher.search(picture, top_k=1)[0]
        assert (best.relative_path, best.score) == ("p7.png", pytest.approx(1, abs=5e-4))
        turned = picture.convert("RGBA").transpose(Image.Transpose.ROTATE_90)
        turned.save(tmp_path / "turned.webp", lossless=True, exif=exif_of(6))
    with Image.open(tmp_path / "turned.webp") as picture:  # upright, as its file is
        np.testing.assert_allclose(searcher.embed(picture), searcher.embed(photos / "p7.png"), atol=1e-5)
    with Image.open(photos / "p7.png") as unread:
        pass
    with pytest.raises(UnreadableImage, match="cannot read image in memory: "):
        searcher.search(unread)
    with pytest.raises(UnreadableImage, match="it has no pixels"):
        searcher.search(Image.new("RGB", (0, 4)))


def exif_of(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


@pytest.mark.parametrize("asked", [["a dog", "a cat"], ("a dog",), b"a dog", 7, np.zeros(16), {"text": "a dog"}])
def test_what_is_no_query_is_named(index, loaded, asked):
    searcher = Searcher(index, loaded)
    for ask in (searcher.search, searcher.embed, searcher.check_words, searcher.left_out):
        with pytest.raises(CocaSearchError, match=f"a {type(asked).__name__} cannot be looked for") as caught:
            ask(asked)
        assert "parse_terms" in caught.value.hint


def test_an_unreadable_query_picture_is_named(index, loaded, tmp_path):
    (tmp_path / "bad.png").write_bytes(b"no picture")
    with pytest.raises(UnreadableImage, match=r"bad\.png"):
        Searcher(index, loaded).search(tmp_path / "bad.png")


@pytest.mark.parametrize("top_k", [0, -3])
def test_the_number_of_hits_is_at_least_one(index, loaded, top_k):
    with pytest.raises(CocaSearchError, match="at least 1"):
        Searcher(index, loaded).search("a dog", top_k=top_k)


@pytest.mark.parametrize("mode", ["vector", "text", "hybrid"])
def test_every_way_to_search_takes_a_condition(index, loaded, mode):
    searcher = Searcher(index, loaded)
    words = " ".join({hit.caption for hit in searcher.search("a dog", 12)})  # of a model with random weights
    everything = searcher.search(parse_terms(texts=[words]), 12, mode=mode)
    some = searcher.search(parse_terms(texts=[words]), 12, mode=mode, where="path in ('p1.png', 'p2.png', 'p3.png')")
    assert everything and [hit.id for hit in some] == [
        hit.id for hit in everything if hit.relative_path in ("p1.png", "p2.png", "p3.png")
    ]
    for hit in everything:
        assert (hit.score is None) == (mode == "text") and (hit.fused_score is None) == (mode != "hybrid")
        assert (hit.vector_rank is None) == (mode != "hybrid")


def test_a_condition_alone_lists_what_meets_it(index):
    hits = Searcher(index, "no such model").search(where="path like 'p1%'", top_k=9)
    assert {hit.relative_path for hit in hits} == {"p1.png", "p10.png", "p11.png"}
    assert [hit.rank for hit in hits] == [1, 2, 3] and {hit.score for hit in hits} == {None}


@pytest.mark.parametrize("options", [{"where": "true"}, {"mode": "text"}, {"mode": "hybrid", "where": "width > 0"}])
def test_a_search_goes_on_with_the_latest_version_when_a_writer_has_removed_its_own(home, loaded, options):
    searcher = Searcher(home / "index", loaded)
    first = searcher.search("a dog", 12)[0]
    table = IndexTable(home / "index", read_manifest(home / "index").table)
    table.remove([first.id])
    table._table.optimize(cleanup_older_than=timedelta(milliseconds=1))
    hits = searcher.search("a dog", 12, **options)
    assert first.id not in {hit.id for hit in hits} and len(searcher) == 11
    assert len(hits) == 11 or options == {"mode": "text"}


@pytest.mark.parametrize("options", [{"where": "width > 0"}, {"mode": "text"}])
def test_files_of_zeros_are_told_as_damage(home, loaded, options):
    searcher = Searcher(home / "index", loaded)
    for file in (home / "index").glob("*.lance/data/*"):
        file.write_bytes(bytes(file.stat().st_size))
    with pytest.raises(CocaSearchError, match=r"the table images-1 of the index at .* cannot be read"):
        searcher.search("a dog", **options)


@pytest.mark.parametrize(
    ("damaged", "options"),
    [
        ("_indices", {"mode": "text"}),
        ("_indices", {"mode": "text", "where": "width > 0"}),
        ("_indices", {"mode": "hybrid"}),
        ("data", {"where": "width > 0"}),
    ],
)
def test_a_damaged_table_is_told_from_one_that_changes(home, loaded, damaged, options):
    index = home / "index"
    IndexTable(index, read_manifest(index).table).index_captions(anew=True)
    searcher = Searcher(index, loaded)
    for file in index.glob(f"*.lance/{damaged}/**/*.lance"):
        file.unlink()
    with pytest.raises(CocaSearchError, match=r"the table images-1 of the index at .* cannot be read") as caught:
        searcher.search("a dog", **options)
    assert caught.value.hint.startswith("cocasearch verify") and ".rs:" not in str(caught.value)
    if damaged == "_indices":
        assert verify_index(index, repair=True).ok
        searcher.refresh()
        searcher.search("a dog", **options)


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({}, "nothing to search for"),
        ({"query": "a dog", "mode": "sound"}, "no way to search is called 'sound'; there are vector, text, hybrid"),
        ({"where": "true", "min_score": 0.1}, "no vectors are compared"),
        ({"query": "a dog", "mode": "text", "min_score": 0.1}, "no vectors are compared"),
        ({"query": Path("p1.png"), "mode": "hybrid"}, "the query has none"),
        ({"query": "a dog", "where": "widht > 3"}, "there is no column widht"),
        ({"where": ""}, "it breaks off"),
    ],
)
def test_arguments_that_do_not_fit_together_are_refused(index, loaded, photos, monkeypatch, arguments, reason):
    monkeypatch.chdir(photos)
    with pytest.raises(CocaSearchError, match=re.escape(reason)):
        Searcher(index, loaded).search(**arguments)


def test_a_query_imports_no_lancedb(index, tiny_model_folder):
    code = f"""
import sys
from cocasearch.inference.loaded_model import load_model
from cocasearch.search.searcher import Searcher
assert Searcher({str(index)!r}, load_model({str(tiny_model_folder)!r})).search("a dog")
assert "lancedb" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.fixture
def knowing_model(tiny_model_folder, tmp_path):
    """The model of the index, in a folder that says which words it knows."""
    folder = shutil.copytree(tiny_model_folder, tmp_path / "knowing")
    KnownWords({"dog": 9, "boat": 2}).write(folder / "words.tsv")
    return folder


def test_words_that_the_model_never_saw_are_told_from_those_that_it_knows(index, loaded, knowing_model):
    assert Searcher(index, loaded).known_words is None
    assert Searcher(index, loaded).check_words("zzzz") is None
    searcher = Searcher(index, knowing_model)
    check = searcher.check_words(parse_terms(["two dogs"], texts=["a boat"]))
    assert (check.known, check.barely_known, check.never_seen) == (("dogs",), ("boat",), ("two",))
    knowing = load_model(knowing_model, device="cpu", dtype="float32")
    assert Searcher(index, knowing).check_words("zzzz").never_seen == ("zzzz",)
    assert Searcher(index, replace(knowing, name="in memory alone")).known_words is None


def test_known_words_are_looked_up_without_the_model(index, knowing_model):
    code = f"""
import sys
from cocasearch.search.searcher import Searcher
assert Searcher({str(index)!r}, {str(knowing_model)!r}).check_words("a zzzz").never_seen == ("zzzz",)
assert not {{"torch", "tokenizers", "lancedb"}} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_what_is_left_out_changes_nothing_and_what_is_kept_everything(index, loaded, photos):
    searcher = Searcher(index, loaded)  # reads 20 ids, of which two are the start and the end
    long = "a small boat on the blue sea and two yellow triangles above the green grass"
    (end,) = searcher.left_out(long)
    assert long.endswith(" " + end)
    np.testing.assert_allclose(searcher.embed(long + " and more"), searcher.embed(long), atol=1e-6)
    assert np.abs(searcher.embed(long) - searcher.embed("red " + long)).max() > 1e-4
    assert searcher.left_out(parse_terms(["a boat"], texts=[long, "a sea"])) == [end]
    assert searcher.left_out(parse_terms(images=[photos / "p1.png"])) == searcher.left_out("a boat") == []


def test_all_captions_are_for_searches_in_captions(index, loaded):
    with pytest.raises(CocaSearchError, match="all_captions goes with mode text or hybrid"):
        Searcher(index, loaded).search("a dog", all_captions=True)
