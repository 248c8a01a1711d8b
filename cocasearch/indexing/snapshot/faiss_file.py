"""Vectors of half precision or of eight bits as a file that FAISS maps into memory, written piece by piece.

FAISS's own `write_index` takes an index that is in memory as a whole: two gigabytes for a million vectors of a thousand
numbers, where a run holds one batch. So only what comes before the vectors is FAISS's own writing. Should another FAISS
have another format, that shows when the file is read back at its end, and vectors are derived in memory instead.
"""

import struct
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

import faiss
import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.float32]

_NO_CODES = struct.pack("=Q", 0)  # how the file of an empty index ends: the bytes of its vectors, none
_KIND = 4  # bytes that every file of FAISS begins with, which tell the kind of index
_LEVELS = 255  # steps of eight bits between the lowest number and the highest
_VECTORS_AT_ONCE = 1_024


def no_vectors(dimension: int) -> faiss.IndexScalarQuantizer:
    """An empty inner-product index that keeps vectors (E,) in half precision."""
    return faiss.IndexScalarQuantizer(dimension, faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT)


def no_rough_vectors(dimension: int, lowest: float, highest: float) -> faiss.IndexScalarQuantizer:
    """An empty one that keeps them in eight bits: numbers between the lowest and the highest, in even steps."""
    empty = faiss.IndexScalarQuantizer(dimension, faiss.ScalarQuantizer.QT_8bit_uniform, faiss.METRIC_INNER_PRODUCT)
    empty.train(np.array([[lowest], [highest]], np.float32).repeat(dimension, axis=1))
    return empty


def widest_error(rough: faiss.IndexScalarQuantizer) -> float:
    """By how much a number of a vector in eight bits may be off: half a step."""
    _, span = faiss.vector_to_array(rough.sq.trained)
    return float(span) / _LEVELS / 2


def map_vectors(file: Path) -> faiss.IndexScalarQuantizer:
    """The index of vectors in a file, mapped into memory.

    Raises:
        RuntimeError: It is not whole, or none of these.
        OSError: It is not there.
    """
    least = faiss.serialize_index(no_vectors(1)).tobytes()
    with file.open("rb") as opened:
        start = opened.read(len(least))
    if len(start) < len(least):  # FAISS would read beyond its end, and crash
        raise RuntimeError(f"{file} is cut short")
    if start[:_KIND] == least[:_KIND]:
        vectors = faiss.read_index(str(file), faiss.IO_FLAG_MMAP_IFC)
        is_ready = vectors.is_trained and vectors.metric_type == faiss.METRIC_INNER_PRODUCT
        if isinstance(vectors, faiss.IndexScalarQuantizer) and is_ready:
            return vectors
    raise RuntimeError(f"{file} holds an index of another kind")


class VectorFileWriter:
    """Writes a new file that FAISS reads as an index of all vectors added; a context manager.

    Args:
        file: Complete when the block ends well, and read back then.
        empty: The index without any vectors.

    Raises:
        RuntimeError: At the end of the block: the installed FAISS does not read it.
    """

    def __init__(self, file: Path, empty: faiss.IndexScalarQuantizer) -> None:
        self._index = empty
        self._count = 0
        self._last = np.empty((0, empty.sa_code_size()), np.uint8)
        self._path, self._file = file, file.open("w+b")

    def __enter__(self) -> Self:
        self._write_header()
        return self

    def add(self, vectors: Vectors) -> None:
        """Append vectors (N, E)."""
        codes = self._index.sa_encode(vectors)
        self._file.write(codes.data)
        self._count += len(vectors)
        self._last = codes[-1:] if len(codes) else self._last

    def written(self) -> Iterator[Vectors]:
        """All vectors added, (n, E) at a time, as they can be read from the file.

        It is not mapped for that: pages of a mapped file count as memory of the process that has touched them.
        """
        size = self._index.sa_code_size()
        self._file.seek(-self._count * size, 2)
        while codes := self._file.read(_VECTORS_AT_ONCE * size):
            yield self._index.sa_decode(np.frombuffer(codes, np.uint8).reshape(-1, size))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._file:
            if error is None:
                self._file.seek(0)
                self._write_header()
        if error is None:
            self._read_back()

    def _read_back(self) -> None:
        """Raises RuntimeError where the installed FAISS does not find in the file what was added."""
        mapped = map_vectors(self._path)
        last = mapped.reconstruct_n(self._count - 1, 1) if mapped.ntotal == self._count > 0 else np.empty((0, mapped.d))
        if not np.array_equal(last, self._index.sa_decode(self._last), equal_nan=True) or mapped.ntotal != self._count:
            raise RuntimeError(f"FAISS {faiss.__version__} reads {self._path} otherwise than it was written")

    def _write_header(self) -> None:
        """All that FAISS writes of an index before the vectors; of the same length for any number of them."""
        self._index.ntotal = self._count
        written = faiss.serialize_index(self._index).tobytes()
        size = struct.pack("=Q", self._count * self._index.sa_code_size())
        self._file.write(written.removesuffix(_NO_CODES) + size)
