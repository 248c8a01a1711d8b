"""A query and an index in, hits out, best first.

Puts together the query's vector and the snapshot of the index's vectors. Imports no table while the snapshot is fresh.
"""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cocasearch.errors import CocaSearchError, NothingFound
from cocasearch.indexing.manifest import UNKNOWN_MODEL, check_model, index_command, index_name, read_manifest
from cocasearch.indexing.vectors import SnapshotHit, open_snapshot
from cocasearch.inference.embedding import Embedder
from cocasearch.inference.loaded_model import LoadedModel, load_model
from cocasearch.model.coca import TOWERS, Tower
from cocasearch.search.query import Query, parse_terms
from cocasearch.search.stored_examples import embed_with_stored


@dataclass(frozen=True, slots=True)
class SearchHit:
    """One image that answers a query.

    Attributes:
        rank: 1 for the best.
        score: Cosine of query and image, at most 1.
        path: The image file, absolute.
        relative_path: The same as seen from the indexed folder it lies in, with forward slashes.
        caption: What the model wrote when it indexed the image; None without captions.
        caption_score: Cosine of the image and that caption.
        id: The image's id in the index.
    """

    rank: int
    score: float
    path: str
    relative_path: str
    caption: str | None
    caption_score: float | None
    id: str

    def to_dict(self) -> dict[str, Any]:
        """The fields by name, for JSON."""
        return asdict(self)


class Searcher:
    """An open index that answers queries. It shows the index as it was when opened; `refresh` catches up.

    Args:
        index_folder: The index.
        model: The model that made it, loaded, or its name or folder where the one in the index no longer holds. By name
            only the towers that queries need are loaded, when they first need them.

    Raises:
        CocaSearchError: No index there, or one made with another model (the hint is the command that rebuilds).
    """

    def __init__(self, index_folder: str | Path, model: LoadedModel | str | Path | None = None) -> None:
        self._index = Path(index_folder)
        self._loaded = model if isinstance(model, LoadedModel) else None
        self._name = None if isinstance(model, LoadedModel) else model
        self._towers: set[Tower] = set(TOWERS) if self._loaded else set()
        self.refresh()

    def __len__(self) -> int:
        """The number of images searched."""
        return len(self._snapshot)

    def refresh(self) -> None:
        """See what has been added to the index, or taken out of it, since it was opened."""
        manifest = read_manifest(self._index)
        if self._loaded:
            check_model(manifest, self._loaded.fingerprint, self._loaded.name, self._index)
        try:
            self._snapshot = open_snapshot(self._index, manifest.table)
        except CocaSearchError:
            if read_manifest(self._index).table == manifest.table:
                raise
            self.refresh()  # a rebuild has taken the table's place in this very moment
            return
        self._manifest, self._roots = manifest, manifest.locate_roots(self._index)

    def search(self, query: Query | str | Path, top_k: int = 10) -> list[SearchHit]:
        """The `top_k` images (all, if there are fewer) that are most like the query, best first.

        Args:
            query: What to look for; a string is one term, words or a picture's path, as `parse_terms` reads it.
            top_k: At least 1.

        Raises:
            CocaSearchError: A picture that is not there or cannot be read, or `top_k` below 1.
            NothingFound: The index holds no images.
        """
        return self.search_vector(self.embed(query), top_k)

    def embed(self, query: Query | str | Path) -> NDArray[np.float32]:
        """The unit vector (E,) of a query: the mean of its terms' unit vectors, made a unit vector again.

        Raises:
            CocaSearchError: A picture that is not there or cannot be read.
        """
        if isinstance(query, Path):
            query = parse_terms(images=[query])
        elif isinstance(query, str):
            query = parse_terms([query])
        if self._manifest.model_fingerprint == UNKNOWN_MODEL:
            return embed_with_stored(query, self._snapshot, self._roots, self._index)
        needed: dict[Tower, bool] = {"image": bool(query.images), "text": bool(query.texts)}
        embedder = Embedder(self._model({tower for tower, is_needed in needed.items() if is_needed}))
        vectors = [embedder.embed_image_file(image) for image in query.images]
        if query.texts:
            vectors.extend(embedder.embed_texts(query.texts))
        mean: NDArray[np.float32] = np.mean(vectors, axis=0)
        return mean / np.linalg.norm(mean)

    def search_vector(self, vector: NDArray[np.float32], top_k: int = 10) -> list[SearchHit]:
        """The same for a unit vector (E,) of the index's model.

        Raises:
            CocaSearchError: `top_k` is below 1.
            NothingFound: The index holds no images.
        """
        if top_k < 1:
            raise CocaSearchError(f"the number of hits must be at least 1, not {top_k}")
        if not len(self):
            hint = index_command(self._index, "./photos")
            raise NothingFound(f"index '{index_name(self._index)}' holds no pictures yet", hint=hint)
        return [self._hit(rank, found) for rank, found in enumerate(self._snapshot.search(vector, top_k), start=1)]

    def _hit(self, rank: int, found: SnapshotHit) -> SearchHit:
        return SearchHit(
            rank=rank,
            score=found.score,
            path=str(self._roots[found.root] / found.path),
            relative_path=found.path,
            caption=found.caption,
            caption_score=found.caption_score,
            id=found.id,
        )

    def _model(self, towers: set[Tower]) -> LoadedModel:
        if self._loaded is None or towers - self._towers:
            self._towers |= towers
            self._loaded = self._load_model()
        return self._loaded

    def _load_model(self) -> LoadedModel:
        try:
            loaded = load_model(self._name or self._manifest.model_name, towers=self._towers, packed=False)
        except CocaSearchError as error:
            if self._name:
                raise
            message = f"the model that made index '{index_name(self._index)}' cannot be loaded: {error}"
            raise CocaSearchError(message, hint="say where it is now with --model FOLDER") from error
        check_model(self._manifest, loaded.fingerprint, loaded.name, self._index)
        return loaded
