from datetime import UTC, datetime

import numpy as np
import pyarrow.parquet as pq
import pytest

from cocasearch.errors import CocaSearchError, NothingFound
from cocasearch.indexing.exchange.index_export import export_clip_retrieval, export_file
from cocasearch.indexing.store.manifest import read_manifest
from cocasearch.indexing.store.record_rows import record_schema
from cocasearch.indexing.store.records import record_id
from cocasearch.indexing.store.table import IndexTable


def test_a_parquet_file_has_every_column_and_where_the_photos_lie(build, index, photos, rows, tmp_path):
    build(photos)
    told = []
    assert export_file(index, tmp_path / "all.parquet", progress=lambda *counts: told.append(counts)) == 10
    exported = pq.read_table(tmp_path / "all.parquet")
    assert exported.schema.names == [*record_schema(16).names, "relative_path", "image_path"]
    found = sorted(exported.to_pylist(), key=lambda row: row["path"])
    whole = [str(photos / f"p{n}.png") for n in range(10)]
    assert [row.pop("image_path") for row in found] == [row["path"] for row in found] == whole
    assert [row | {"path": row.pop("relative_path")} for row in found] == rows(index)
    assert told[-1] == (10, 10)
    assert exported.schema.metadata[b"cocasearch.model_fingerprint"].decode() == read_manifest(index).model_fingerprint


def test_rows_of_missing_files_are_in_the_parquet_file_and_not_among_the_embeddings(build, index, photos, tmp_path):
    build(photos)
    table = IndexTable(index, read_manifest(index).table)
    table.mark_missing([record_id("1", "p3.png")], datetime.now(UTC))
    assert export_file(index, tmp_path / "all.parquet") == 10
    missing = [row for row in pq.read_table(tmp_path / "all.parquet").to_pylist() if row["missing_since"]]
    assert [row["relative_path"] for row in missing] == ["p3.png"]
    assert export_clip_retrieval(index, tmp_path / "out") == 9


def test_rows_of_an_unknown_root_are_exported_with_what_is_known(build, index, photos, set_in_table, tmp_path):
    build(photos)
    set_in_table(index, "path = 'p1.png'", root="7")
    export_file(index, tmp_path / "all.parquet")
    paths = set(pq.read_table(tmp_path / "all.parquet")["image_path"].to_pylist())
    assert paths == {"p1.png", *(str(photos / f"p{n}.png") for n in range(10) if n != 1)}


def test_clip_retrievals_layout_has_vectors_and_paths_row_by_row(build, index, photos, rows, tmp_path):
    build(photos)
    assert export_clip_retrieval(index, tmp_path / "out") == 10
    vectors = np.load(tmp_path / "out" / "img_emb" / "img_emb_0.npy")
    metadata = pq.read_table(tmp_path / "out" / "metadata" / "metadata_0.parquet").to_pylist()
    assert vectors.dtype == np.float16 and vectors.shape == (10, 16)
    by_path = {str(photos / row["path"]): row for row in rows(index)}
    for vector, entry in zip(vectors, metadata, strict=True):
        row = by_path.pop(entry["image_path"])
        assert entry["caption"] == row["caption"]
        np.testing.assert_allclose(vector, row["embedding"], atol=1e-3)
    assert not by_path


def test_an_export_replaces_an_earlier_one_alone_and_only_when_complete(build, index, photos, tmp_path):
    build(photos)
    out = tmp_path / "out"
    out.mkdir()
    (out / "notes.txt").write_text("mine")
    export_clip_retrieval(index, out)
    old = (out / "img_emb" / "img_emb_0.npy").read_bytes()
    with pytest.raises(CocaSearchError, match="exists already"):
        export_clip_retrieval(index, out)
    table = IndexTable(index, read_manifest(index).table)
    table.mark_missing([record_id("1", "p3.png")], datetime.now(UTC))

    def stop(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        export_clip_retrieval(index, out, overwrite=True, progress=stop)
    assert (out / "img_emb" / "img_emb_0.npy").read_bytes() == old
    assert export_clip_retrieval(index, out, overwrite=True) == 9
    assert len(np.load(out / "img_emb" / "img_emb_0.npy")) == 9
    assert sorted(file.name for file in out.rglob("*.*")) == ["img_emb_0.npy", "metadata_0.parquet", "notes.txt"]


@pytest.mark.parametrize(
    "name", ["out/metadata/mine.csv", "out/img_emb/img_emb_0.npy", "out/img_emb", ".out.partial/mine.txt"]
)
def test_what_no_export_has_written_is_neither_replaced_nor_deleted(build, index, photos, tmp_path, name):
    build(photos)
    mine = tmp_path / name
    mine.parent.mkdir(parents=True)
    mine.write_text("mine")
    if mine.is_relative_to(tmp_path / "out"):
        with pytest.raises(CocaSearchError, match="is no export of cocasearch's and stays") as refused:
            export_clip_retrieval(index, tmp_path / "out", overwrite=True)
        assert "--overwrite" not in refused.value.hint
    else:
        export_clip_retrieval(index, tmp_path / "out")
    assert mine.read_text() == "mine"


def test_what_cannot_be_exported_is_said(build, index, photos, tmp_path):
    build(photos)
    with pytest.raises(CocaSearchError, match=r"cannot write .*no/such/all.parquet: no such file"):
        export_file(index, tmp_path / "no" / "such" / "all.parquet")
    table = IndexTable(index, read_manifest(index).table)
    table.remove([row["id"] for batch in table.batches(["id"]) for row in batch.to_pylist()])
    with pytest.raises(NothingFound, match="holds no photos to export"):
        export_file(index, tmp_path / "all.parquet")
