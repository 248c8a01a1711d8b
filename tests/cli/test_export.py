import pyarrow.parquet as pq


def test_an_index_goes_into_one_file(indexed):
    result = indexed("export", "all.parquet")
    assert result.exit_code == 0
    assert "4 photos of index 'default' are in all.parquet" in result.stderr
    assert pq.read_table(indexed.folder / "all.parquet").num_rows == 4


def test_what_is_there_is_replaced_only_on_demand(indexed):
    file = indexed.folder / "all.parquet"
    file.write_text("mine")
    refused = indexed("export", "all.parquet")
    assert (refused.exit_code, file.read_text()) == (1, "mine")
    assert "all.parquet exists already" in refused.stderr and "--overwrite" in refused.stderr
    assert indexed("export", "all.parquet", "--overwrite").exit_code == 0
    assert pq.read_table(file).num_rows == 4


def test_an_index_goes_into_clip_retrievals_folders(indexed):
    assert indexed("export", "out", "--layout", "clip-retrieval").exit_code == 0
    assert {file.name for file in (indexed.folder / "out").rglob("*.*")} == {"img_emb_0.npy", "metadata_0.parquet"}
    assert indexed("export", "out", "--overwrite").exit_code == 1  # a folder is no Parquet file


def test_no_index_no_export(prompt):
    result = prompt("export", "all.parquet")
    assert result.exit_code == 1
    assert "no index 'default'" in result.stderr
