"""Half-precision vectors as a file that FAISS maps into memory, written piece by piece.

FAISS itself writes only what it holds in memory: twice a kilobyte for each of perhaps a million photos.
"""

import struct
from pathlib import Path
from types import TracebackType
from typing import Self

import faiss
import numpy as np
from numpy.typing import NDArray

_NO_CODES = struct.pack("=Q", 0)  # how the file of an empty index ends: the bytes of its vectors, none


def no_vectors(dimension: int) -> faiss.Index:
    """An empty inner-product index that keeps vectors (E,) in half precision."""
    return faiss.IndexScalarQuantizer(dimension, faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT)


def map_vectors(file: Path) -> faiss.Index:
    """The index of vectors in a file, mapped into memory.

    Raises:
        RuntimeError: It is not whole.
        OSError: It is not there.
    """
    if file.stat().st_size < faiss.serialize_index(no_vectors(1)).size:  # FAISS would read beyond its end, and crash
        raise RuntimeError(f"{file} is cut short")
    return faiss.read_index(str(file), faiss.IO_FLAG_MMAP_IFC)


class VectorFileWriter:
    """Writes a new file that FAISS reads as an index of all vectors added; a context manager.

    Args:
        file: Complete when the block ends well.
        dimension: Numbers per vector, E.
    """

    def __init__(self, file: Path, dimension: int) -> None:
        self._index = no_vectors(dimension)
        self._count = 0
        self._file = file.open("wb")

    def __enter__(self) -> Self:
        self._write_header()
        return self

    def add(self, vectors: NDArray[np.float32]) -> None:
        """Append vectors (N, E)."""
        self._file.write(self._index.sa_encode(vectors).data)
        self._count += len(vectors)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._file:
            if error is None:
                self._file.seek(0)
                self._write_header()

    def _write_header(self) -> None:
        """All that FAISS writes of an index before the vectors; of the same length for any number of them."""
        self._index.ntotal = self._count
        written = faiss.serialize_index(self._index).tobytes()
        size = struct.pack("=Q", self._count * self._index.sa_code_size())
        self._file.write(written.removesuffix(_NO_CODES) + size)
