import faiss
import numpy as np
import pytest

from cocasearch.indexing.vector_file import VectorFileWriter, map_vectors, no_vectors


@pytest.mark.parametrize("pieces", [[], [1], [700, 0, 301]])
def test_a_file_written_piece_by_piece_is_the_one_that_faiss_writes(tmp_path, pieces):
    rng, whole = np.random.default_rng(0), no_vectors(24)
    with VectorFileWriter(tmp_path / "ours", 24) as file:
        for rows in pieces:
            vectors = rng.standard_normal((rows, 24), dtype=np.float32)
            file.add(vectors)
            whole.add(vectors)
    faiss.write_index(whole, str(tmp_path / "theirs"))
    assert (tmp_path / "ours").read_bytes() == (tmp_path / "theirs").read_bytes()


def test_a_file_whose_writing_failed_claims_no_vectors(tmp_path):
    with pytest.raises(KeyError), VectorFileWriter(tmp_path / "ours", 8) as file:
        file.add(np.ones((3, 8), np.float32))
        raise KeyError
    assert faiss.read_index(str(tmp_path / "ours")).ntotal == 0


def test_a_file_cut_short_anywhere_is_refused(tmp_path):
    with VectorFileWriter(tmp_path / "ours", 8) as file:
        file.add(np.eye(8, dtype=np.float32))
    content = (tmp_path / "ours").read_bytes()
    for length in range(len(content)):
        (tmp_path / "torn").write_bytes(content[:length])
        with pytest.raises(RuntimeError):
            map_vectors(tmp_path / "torn")
    assert map_vectors(tmp_path / "ours").ntotal == 8
