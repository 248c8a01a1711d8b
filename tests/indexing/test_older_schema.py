import json
from dataclasses import asdict

import lancedb
import pytest

from cocasearch.errors import CocaSearchError
from cocasearch.indexing.edit.removal import remove_paths
from cocasearch.indexing.repair.verification import verify_index
from cocasearch.indexing.store.manifest import read_manifest
from cocasearch.indexing.store.records import StoredCaption, record_id
from cocasearch.indexing.store.table import IndexTable
from cocasearch.indexing.summary import summarise_index
from cocasearch.search.searcher import Searcher


@pytest.fixture
def sixth_schema(build, index, photos):
    """The index as the last cocasearch with another schema left it, with a caption by a person."""
    build(photos)
    manifest = read_manifest(index)
    IndexTable(index, manifest.table).set_captions(
        {record_id("1", "p1.png"): StoredCaption("MY WORDS", caption_by="human")}
    )
    lancedb.connect(index).open_table(manifest.table).drop_columns(["part"])
    fields = asdict(manifest) | {"schema_version": 6}
    (index / "manifest.json").write_text(json.dumps(fields | {"decodings": fields.pop("caption_settings")}))
    return index


def test_an_index_of_an_older_schema_is_refused_with_the_command_that_rebuilds_it(sixth_schema, build, photos, loaded):
    manifest = (sixth_schema / "manifest.json").read_text()
    for use in (
        lambda: Searcher(sixth_schema, loaded),
        lambda: build(photos),
        lambda: build(),
        lambda: verify_index(sixth_schema),
        lambda: verify_index(sixth_schema, repair=True),
        lambda: summarise_index(sixth_schema),
        lambda: remove_paths(sixth_schema, [photos]),
    ):
        with pytest.raises(CocaSearchError, match=r"older cocasearch \(schema 6, this one knows 7\)") as caught:
            use()
        assert "cocasearch index --rebuild" in caught.value.hint
    assert (sixth_schema / "manifest.json").read_text() == manifest


@pytest.mark.parametrize("names_photos", [True, False])
def test_an_index_of_an_older_schema_is_rebuilt_and_keeps_what_people_have_written(
    sixth_schema, build, photos, rows, names_photos
):
    report = build(*([photos] if names_photos else []), rebuild=True)
    assert (report.added, report.total) == (10, 10)
    assert read_manifest(sixth_schema).schema_version == 7
    assert {row["part"] for row in rows(sixth_schema)} == {""}
    assert [row["path"] for row in rows(sixth_schema) if row["caption"] == "MY WORDS"] == ["p1.png"]
    assert build(photos).unchanged == 10


def test_a_rebuild_that_an_older_cocasearch_has_stopped_begins_anew(
    build, index, photos, loaded, stopped_rebuild, rows
):
    build(photos)
    stopped_rebuild(loaded, [photos], after=4)
    for name in ("manifest.json", "rebuild.json"):
        fields = json.loads((index / name).read_text()) | {"schema_version": 6}
        (index / name).write_text(json.dumps(fields | {"decodings": fields.pop("caption_settings")}))
    for table in index.glob("*.lance"):
        lancedb.connect(index).open_table(table.stem).drop_columns(["part"])
    assert build(rebuild=True).added == 10
    assert len(rows(index)) == 10
