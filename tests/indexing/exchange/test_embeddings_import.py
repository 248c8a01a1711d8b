import re
import shutil

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cocasearch.errors import CocaSearchError, NothingFound
from cocasearch.indexing.builder import IndexBuilder
from cocasearch.indexing.exchange.embeddings_import import import_embeddings
from cocasearch.indexing.exchange.index_export import export_clip_retrieval
from cocasearch.indexing.repair.verification import verify_index
from cocasearch.indexing.store.manifest import MANIFEST_FILE, find_manifest, read_manifest
from cocasearch.indexing.store.records import StoredCaption
from cocasearch.indexing.store.table import IndexTable
from cocasearch.search.query_terms import Query, QueryTerm
from cocasearch.search.searcher import Searcher


def write_folder(folder, parts, **columns):
    """An embeddings folder of clip-retrieval's inference: parts of paths and vectors."""
    for name in ("img_emb", "metadata"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    for number, (paths, vectors) in enumerate(parts):
        np.save(folder / "img_emb" / f"img_emb_{number}.npy", vectors)
        pq.write_table(pa.table({"image_path": paths, **columns}), folder / "metadata" / f"metadata_{number}.parquet")
    return folder


def random_vectors(count, dimension=16, seed=0):
    vectors = np.random.default_rng(seed).normal(size=(count, dimension))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float16)


@pytest.fixture
def exported(build, index, photos, tmp_path):
    build(photos)
    export_clip_retrieval(index, tmp_path / "out")
    return tmp_path / "out"


def test_what_was_exported_comes_back_with_its_model(exported, tmp_path, photos, rows, index, loaded, encoded):
    encoded.since_last_look()
    report = import_embeddings(tmp_path / "again", exported, photos=tmp_path)
    assert (report.imported, report.repeated, report.unusable, report.absent) == (10, 0, 0, 0)
    assert report.model.fingerprint == read_manifest(tmp_path / "again").model_fingerprint == loaded.fingerprint
    for ours, theirs in zip(rows(tmp_path / "again"), rows(index), strict=True):
        assert {name: ours[name] for name in ("id", "path", "caption", "size")} == {
            name: theirs[name] for name in ("id", "path", "caption", "size")
        }
        np.testing.assert_allclose(ours["embedding"], theirs["embedding"], atol=1e-3)
    assert encoded.since_last_look() == 0
    theirs, ours = (
        [hit.path for hit in Searcher(folder, loaded).search("red", 10)] for folder in (index, tmp_path / "again")
    )
    assert ours == theirs


def test_without_its_model_an_index_answers_photos_that_it_holds_and_refuses_words(photos, tmp_path, draw):
    paths = [str(photos / f"p{number}.png") for number in range(10)]
    vectors = random_vectors(10, 64)
    folder = write_folder(tmp_path / "out", [(paths[:7], vectors[:7]), (paths[7:], vectors[7:])])
    report = import_embeddings(tmp_path / "new", folder, photos=tmp_path)
    assert (report.imported, report.model.is_known) == (10, False)
    searcher = Searcher(tmp_path / "new")
    hits = searcher.search(photos / "p8.png", 10)
    assert hits[0].path == paths[8] and hits[0].score == pytest.approx(1, abs=1e-3)
    both = searcher.search(Query((QueryTerm("image", paths[1]), QueryTerm("image", paths[2]))), 2)
    assert {hit.path for hit in both} == {paths[1], paths[2]}
    with pytest.raises(CocaSearchError, match="words cannot be compared with its vectors") as caught:
        searcher.search("a dog")
    assert "--rebuild --model NAME" in caught.value.hint
    with pytest.raises(CocaSearchError, match="is none of them"):
        searcher.search(draw(tmp_path / "other.png", 77))


def test_the_vectors_say_whether_a_model_made_them(exported, tmp_path, photos, loaded, other_model):
    with pytest.raises(CocaSearchError, match=rf"were made by {re.escape(loaded.name)}@\w+, not by"):
        import_embeddings(tmp_path / "new", exported, photos=photos, loaded=other_model)
    metadata = exported / "metadata" / "metadata_0.parquet"
    pq.write_table(pq.read_table(metadata).replace_schema_metadata(None), metadata)
    with pytest.raises(CocaSearchError, match=r"did not make the vectors in .*has a cosine of -?0\.\d\d with the one"):
        import_embeddings(tmp_path / "new", exported, photos=photos, loaded=other_model)
    assert import_embeddings(tmp_path / "new", exported, photos=photos, loaded=loaded).model.is_known
    assert len(Searcher(tmp_path / "new", loaded).search("red", 10)) == 10


def test_a_model_of_another_dimension_is_refused(photos, tmp_path, loaded):
    folder = write_folder(tmp_path / "out", [(["p1.png"], random_vectors(1, 6))])
    with pytest.raises(CocaSearchError, match="they have 6 numbers, its own 16"):
        import_embeddings(tmp_path / "new", folder, photos=photos, loaded=loaded)
    assert not (tmp_path / "new").exists()


def test_relative_paths_start_where_the_user_says(photos, tmp_path, rows):
    folder = write_folder(tmp_path / "out", [(["p1.png", "./p2.png", "gone/p3.png"], random_vectors(3))])
    assert import_embeddings(tmp_path / "new", folder, photos=photos).absent == 1
    assert [row["path"] for row in rows(tmp_path / "new")] == ["gone/p3.png", "p1.png", "p2.png"]
    assert read_manifest(tmp_path / "new").locate_roots(tmp_path / "new") == {"1": photos}


def test_rows_that_cannot_be_used_are_left_out_and_counted(photos, tmp_path, rows):
    vectors = random_vectors(5)
    vectors[1], vectors[2] = 0, np.nan
    folder = write_folder(tmp_path / "out", [(["p0.png", "p1.png", "p2.png", "p0.png", None], vectors)])
    report = import_embeddings(tmp_path / "new", folder, photos=photos)
    assert (report.imported, report.repeated, report.unusable) == (1, 1, 3)
    (row,) = rows(tmp_path / "new")
    np.testing.assert_allclose(row["embedding"], vectors[0], atol=1e-3)
    assert np.linalg.norm(row["embedding"]) == pytest.approx(1, abs=1e-6)


def test_paths_that_no_file_can_have_are_left_out_and_told(photos, tmp_path, rows, loaded):
    paths = ["p0.png", "p1\0.png", "p2.png", "long/" * 1000 + "p3.png", "x" * 300]
    folder = write_folder(tmp_path / "out", [(paths, random_vectors(5))])
    with pytest.raises(CocaSearchError, match="did not make the vectors"):  # it looks at those that are there
        import_embeddings(tmp_path / "new", folder, photos=photos, loaded=loaded)
    report = import_embeddings(tmp_path / "new", folder, photos=photos)
    assert (report.imported, report.unusable, report.absent) == (2, 0, 0)
    told = [sentence.partition(str(photos))[2] for sentence in report.refused]
    assert [one.rpartition(": ")[2] for one in told] == ["embedded null byte", *["file name too long"] * 2]
    assert [row["path"].rpartition("/")[2] for row in rows(tmp_path / "new")] == ["p0.png", "p2.png"]


def test_an_import_of_nothing_is_no_index(photos, tmp_path):
    folder = write_folder(tmp_path / "out", [(["x" * 300], random_vectors(1))])
    with pytest.raises(NothingFound, match="not one row") as told:
        import_embeddings(tmp_path / "new", folder, photos=photos)
    assert "file name too long" in told.value.hint
    assert find_manifest(tmp_path / "new" / MANIFEST_FILE) is None


def test_a_stopped_import_is_no_index_and_the_next_begins_anew(photos, tmp_path):
    folder = write_folder(
        tmp_path / "out", [([f"p{n}.png"], random_vectors(1, seed=n)) for n in range(4)], caption=["words"]
    )

    def stop(done, total):
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        import_embeddings(tmp_path / "new", folder, photos=photos, progress=stop)
    with pytest.raises(CocaSearchError, match="no index"):
        Searcher(tmp_path / "new")
    assert import_embeddings(tmp_path / "new", folder, photos=photos).imported == 4
    assert {hit.caption for hit in Searcher(tmp_path / "new").search(photos / "p1.png")} == {"words"}
    with pytest.raises(CocaSearchError, match="exists already"):
        import_embeddings(tmp_path / "new", folder, photos=photos)


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (lambda folder: (folder / "img_emb" / "img_emb_0.npy").unlink(), "has no img_emb/img_emb_0.npy"),
        (lambda folder: (folder / "metadata" / "metadata_0.parquet").unlink(), "there is no .*metadata_0.parquet"),
        (lambda folder: (folder / "img_emb" / "img_emb_0.npy").write_bytes(b"no array"), "is damaged"),
        (lambda folder: (folder / "metadata" / "metadata_0.parquet").write_bytes(b"none"), "is damaged"),
        (lambda folder: np.save(folder / "img_emb" / "img_emb_0.npy", random_vectors(2)), "has 2 rows and .* 3"),
        (lambda folder: np.save(folder / "img_emb" / "img_emb_0.npy", np.arange(3)), "holds no rows of vectors"),
        (
            lambda folder: pq.write_table(
                pa.table({"url": ["a", "b", "c"]}), folder / "metadata" / "metadata_0.parquet"
            ),
            "has no column image_path; it has url",
        ),
    ],
)
def test_a_damaged_folder_is_named(photos, tmp_path, spoil, told):
    folder = write_folder(tmp_path / "out", [(["p1.png", "p2.png", "p3.png"], random_vectors(3))])
    spoil(folder)
    with pytest.raises(CocaSearchError, match=told):
        import_embeddings(tmp_path / "new", folder, photos=photos)
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    ("columns", "vectors", "told"),
    [
        ({"image_path": [1, 2]}, random_vectors(2), "image_path of .* holds no text but int64"),
        ({"image_path": [b"a", b"b"]}, random_vectors(2), "image_path of .* holds no text but binary"),
        (
            {"image_path": ["a", "b"], "caption": [["a"], None]},
            random_vectors(2),
            "caption of .* holds no text but list",
        ),
        ({"image_path": ["a", "b"]}, np.zeros((2, 0), np.float32), "holds no rows of vectors but"),
        ({"image_path": ["a", "b"]}, np.full((2, 3), 1e300), "not one row of .* can be used"),
    ],
)
@pytest.mark.filterwarnings("error")
def test_columns_of_another_kind_are_named(tmp_path, columns, vectors, told):
    folder = write_folder(tmp_path / "out", [(columns.pop("image_path"), vectors)], **columns)
    with pytest.raises(CocaSearchError, match=told):
        import_embeddings(tmp_path / "new", folder, photos=tmp_path)


def test_folders_of_an_imported_index_can_be_indexed_without_encoding_them_anew(
    build, index, photos, draw, tmp_path, loaded, encoded, rows
):
    draw(photos / "sub" / "s.png", 71)
    build(photos, draw(tmp_path / "other" / "o.png", 70).parent)
    export_clip_retrieval(index, tmp_path / "out")
    imported = tmp_path / "indexes" / "imported"
    import_embeddings(imported, tmp_path / "out", photos=tmp_path)
    IndexTable(imported, "images-1").set_captions({row["id"]: StoredCaption("MY WORDS") for row in rows(imported)})
    encoded.since_last_look()
    builder = IndexBuilder(imported, loaded, commit_seconds=0)
    report = builder.build([photos])
    assert (report.moved, report.added, report.total, encoded.since_last_look()) == (11, 0, 12, 0)
    assert builder.build().unchanged == 12
    shutil.copy2(photos / "p3.png", photos / "sub" / "p3.png")
    (photos / "p2.png").rename(photos / "sub" / "p2.png")
    report = builder.build()
    assert (report.moved, report.copied, report.total, encoded.since_last_look()) == (1, 1, 13, 0)
    report = builder.build([tmp_path / "other"])
    assert (report.moved, report.total, report.empty) == (1, 13, ())
    assert builder.build().empty == ()
    assert {row["caption"] for row in rows(imported)} == {"MY WORDS"}
    assert sum(row["content_hash"] != "" for row in rows(imported)) == 2
    assert verify_index(imported).ok
