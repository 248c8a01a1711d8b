import csv
import json

import pyarrow.parquet as pq
import pytest


def test_an_index_goes_into_one_file(indexed):
    result = indexed("export", "all.parquet")
    assert result.exit_code == 0
    assert "4 photos of index 'default' written to all.parquet" in result.stderr
    assert pq.read_table(indexed.folder / "all.parquet").num_rows == 4


def test_the_ending_decides_what_is_written(indexed):
    assert indexed("export", "all.parquet").exit_code == 0
    expected = pq.read_table(indexed.folder / "all.parquet").to_pylist()
    for ending in ("csv", "JSONL"):
        assert indexed("export", f"all.{ending}").exit_code == 0
    lines = (indexed.folder / "all.JSONL").read_text(encoding="utf-8").splitlines()
    with (indexed.folder / "all.csv").open(encoding="utf-8", newline="") as file:
        for row, line, cells in zip(expected, map(json.loads, lines), csv.DictReader(file), strict=True):
            assert row.keys() == line.keys() == cells.keys()
            assert (row["image_path"], row["width"]) == (line["image_path"], line["width"])
            assert (cells["image_path"], cells["caption"]) == (row["image_path"], row["caption"])
            assert line["embedding"] == json.loads(cells["embedding"]) == pytest.approx(row["embedding"], abs=1e-6)
    for name in ("all.txt", "all", "x" * 200 + ".tsv"):
        refused = indexed("export", name)
        assert refused.exit_code == 1 and "rows are written as .parquet, .csv, .jsonl" in refused.stderr
        assert len(refused.stderr) < 300 and not (indexed.folder / name).exists()


@pytest.mark.parametrize("name", ["all.csv", "all.jsonl"])
def test_an_earlier_export_as_text_is_known_as_one(indexed, name: str):
    file = indexed.folder / name
    file.write_text("image_path,caption\na.jpg,mine\n")
    refused = indexed("export", name, "--overwrite")
    assert refused.exit_code == 1 and "is no export of cocasearch's" in refused.stderr
    file.unlink()
    assert indexed("export", name).exit_code == 0
    assert indexed("export", name).exit_code == 1
    assert indexed("export", name, "--overwrite").exit_code == 0


def test_an_earlier_export_is_replaced_on_demand_and_nothing_else_ever(indexed):
    file = indexed.folder / "all.parquet"
    file.write_text("mine")
    for command in (("export", "all.parquet"), ("export", "all.parquet", "--overwrite")):
        refused = indexed(*command)
        assert (refused.exit_code, file.read_text()) == (1, "mine")
        assert "all.parquet is no export of cocasearch's" in refused.stderr and "--overwrite" not in refused.stderr
    file.unlink()
    assert indexed("export", "all.parquet").exit_code == 0
    refused = indexed("export", "all.parquet")
    assert refused.exit_code == 1
    assert "all.parquet exists already" in refused.stderr and "--overwrite" in refused.stderr
    assert indexed("export", "all.parquet", "--overwrite").exit_code == 0


def test_an_index_goes_into_clip_retrievals_folders(indexed):
    assert indexed("export", "out", "--layout", "clip-retrieval").exit_code == 0
    assert {file.name for file in (indexed.folder / "out").rglob("*.*")} == {"img_emb_0.npy", "metadata_0.parquet"}
    assert indexed("export", "out", "--overwrite").exit_code == 1  # a folder is no Parquet file


def test_no_index_no_export(prompt):
    result = prompt("export", "all.parquet")
    assert result.exit_code == 1
    assert "no index 'default'" in result.stderr


def test_an_index_of_unsure_captions_alone_says_so(indexed, judge):
    judge(circle=("a", 0.1), square=("b", 0.1), triangle=("c", 0.1))
    assert indexed("remove", "photos/turned.jpg").exit_code == 0
    refused = indexed("export", "sure.parquet", "--sure")
    assert refused.exit_code == 3
    assert "has a sure caption" in " ".join(refused.stderr.split())
    assert indexed("export", "all.parquet").exit_code == 0
