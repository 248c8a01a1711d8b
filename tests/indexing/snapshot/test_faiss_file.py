import faiss
import numpy as np
import pytest

from cocasearch.indexing.snapshot.faiss_file import VectorFileWriter, map_vectors, no_rough_vectors, no_vectors


def rough_vectors(dimension):
    return no_rough_vectors(dimension, -3, 4)


KINDS = pytest.mark.parametrize("kind", [no_vectors, rough_vectors])


@KINDS
@pytest.mark.parametrize("pieces", [[], [1], [700, 0, 301]])
def test_a_file_written_piece_by_piece_is_the_one_that_faiss_writes(tmp_path, kind, pieces):
    rng, whole = np.random.default_rng(0), kind(24)
    with VectorFileWriter(tmp_path / "ours", kind(24)) as file:
        for rows in pieces:
            vectors = rng.standard_normal((rows, 24), dtype=np.float32)
            file.add(vectors)
            whole.add(vectors)
    faiss.write_index(whole, str(tmp_path / "theirs"))
    assert (tmp_path / "ours").read_bytes() == (tmp_path / "theirs").read_bytes()


def test_what_is_written_can_be_read_meanwhile(tmp_path, monkeypatch):
    monkeypatch.setattr("cocasearch.indexing.snapshot.faiss_file._VECTORS_AT_ONCE", 100)
    vectors = np.random.default_rng(0).standard_normal((301, 24), dtype=np.float32)
    with VectorFileWriter(tmp_path / "ours", no_vectors(24)) as file:
        file.add(vectors[:150])
        file.add(vectors[150:])
        pieces = list(file.written())
    assert [len(piece) for piece in pieces] == [100, 100, 100, 1]
    np.testing.assert_allclose(np.concatenate(pieces), vectors, rtol=1e-3, atol=1e-7)
    np.testing.assert_array_equal(map_vectors(tmp_path / "ours").reconstruct_n(0, 301), np.concatenate(pieces))


@KINDS
@pytest.mark.parametrize("change", [lambda header: header[:-1], lambda header: header + b"\0" * 4])
def test_a_file_that_this_faiss_does_not_read_is_no_snapshot(tmp_path, monkeypatch, kind, change):
    empty = kind(8)
    header = change(faiss.serialize_index(empty).tobytes()[:-8])
    monkeypatch.setattr(
        VectorFileWriter, "_write_header", lambda file: file._file.write(header + (64).to_bytes(8, "little"))
    )
    with pytest.raises(RuntimeError), VectorFileWriter(tmp_path / "ours", empty) as file:
        file.add(np.eye(8, dtype=np.float32))


def test_a_file_whose_writing_failed_claims_no_vectors(tmp_path):
    with pytest.raises(KeyError), VectorFileWriter(tmp_path / "ours", no_vectors(8)) as file:
        file.add(np.ones((3, 8), np.float32))
        raise KeyError
    assert faiss.read_index(str(tmp_path / "ours")).ntotal == 0


@KINDS
def test_a_file_cut_short_anywhere_is_refused(tmp_path, kind):
    with VectorFileWriter(tmp_path / "ours", kind(8)) as file:
        file.add(np.eye(8, dtype=np.float32))
    content = (tmp_path / "ours").read_bytes()
    for length in range(len(content)):
        (tmp_path / "torn").write_bytes(content[:length])
        with pytest.raises(RuntimeError):
            map_vectors(tmp_path / "torn")
    assert map_vectors(tmp_path / "ours").ntotal == 8


@pytest.mark.parametrize("damage", ["flat", "metric", "training", "kind"])
def test_an_index_of_another_kind_is_refused(tmp_path, damage):
    metric = faiss.METRIC_L2 if damage == "metric" else faiss.METRIC_INNER_PRODUCT
    index = faiss.IndexScalarQuantizer(64, faiss.ScalarQuantizer.QT_fp16, metric)
    index = faiss.IndexFlatIP(64) if damage == "flat" else index
    index.add(np.eye(64, dtype=np.float32))
    index.is_trained = damage != "training"
    content = bytearray(faiss.serialize_index(index).tobytes())
    content[2] ^= damage == "kind"  # FAISS would run out of memory
    (tmp_path / "other").write_bytes(content)
    with pytest.raises(RuntimeError, match="of another kind"):
        map_vectors(tmp_path / "other")
