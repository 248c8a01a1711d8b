"""Queries of an index whose model nobody knows: photos that it holds stand for themselves, and words cannot be asked.

Imported vectors may come without their model; nothing new can be encoded to be compared with them.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cocasearch.errors import CocaSearchError
from cocasearch.indexing.snapshot.vectors import VectorSnapshot
from cocasearch.indexing.store.manifest import index_command, index_name
from cocasearch.search.query_terms import Query


def embed_with_stored(
    query: Query, snapshot: VectorSnapshot, roots: Mapping[str, Path], index: Path
) -> NDArray[np.float32]:
    """The unit vector (E,) of a query of photos in the index: the mean of theirs, made a unit vector again.

    Args:
        query: Photos by their paths.
        snapshot: The vectors of the index.
        roots: Present folder of each root by its key.
        index: The index folder.

    Raises:
        CocaSearchError: There are words in the query, or a photo that the index does not hold.
    """
    name, encode_anew = index_name(index), index_command(index, "--rebuild", "--model", "NAME")
    if query.texts:
        raise CocaSearchError(
            f"index '{name}' was imported without naming its model, so words cannot be compared with its vectors",
            hint=f"import it with --model, or encode its photos anew: {encode_anew}",
        )
    vectors = []
    for image in query.images:
        position = find_position(image, snapshot, roots) if isinstance(image, Path) else None
        if position is None:
            raise CocaSearchError(
                f"index '{name}' was imported without naming its model, so only photos that it holds can be looked "
                f"for, and {image if isinstance(image, Path) else 'a picture in memory'} is none of them",
                hint=encode_anew,
            )
        vectors.append(snapshot.vector(position))
    mean: NDArray[np.float32] = np.mean(vectors, axis=0)
    return mean / np.linalg.norm(mean)


def find_position(image: Path, snapshot: VectorSnapshot, roots: Mapping[str, Path]) -> int | None:
    """Where the row of a photo is; None if the index does not hold it."""
    for place in (image.absolute(), image.resolve()):  # a linked file is indexed as the link
        for key, root in roots.items():
            if place.is_relative_to(root):
                position = snapshot.find(key, place.relative_to(root).as_posix())
                if position is not None:
                    return position
    return None
