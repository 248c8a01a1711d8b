"""From a query to its vector, with the model that made the index. Brings torch: import it when needed."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cocasearch.errors import CocaSearchError
from cocasearch.indexing.store.location import IndexLocation
from cocasearch.indexing.store.manifest import Manifest, check_model, index_name
from cocasearch.inference.embedder import Embedder
from cocasearch.inference.loaded_model import LoadedModel, load_model
from cocasearch.model.coca import TOWERS, Tower
from cocasearch.search.query_terms import Query


class QueryEncoder:
    """Makes queries comparable with the vectors of one index.

    Args:
        index: The index.
        manifest: Its manifest.
        model: The model that made it, loaded; or its name or folder where the one in the manifest no longer holds. By
            name only the towers that queries need are loaded, when they first need them.
    """

    def __init__(self, index: IndexLocation, manifest: Manifest, model: LoadedModel | str | Path | None = None) -> None:
        self._index = index
        self._manifest = manifest
        self._loaded = model if isinstance(model, LoadedModel) else None
        self._name = None if isinstance(model, LoadedModel) else model
        self._towers: set[Tower] = set(TOWERS) if self._loaded else set()

    @property
    def fingerprint(self) -> str:
        """The model that the index was made with."""
        return self._manifest.model_fingerprint

    def embed(self, query: Query) -> NDArray[np.float32]:
        """The unit vector (E,) of a query: the mean of its terms' unit vectors, made a unit vector again.

        Raises:
            CocaSearchError: A picture that is not there or cannot be read, or a model that cannot be loaded or is not
                the index's.
        """
        needed: dict[Tower, bool] = {"image": bool(query.images), "text": bool(query.texts)}
        embedder = Embedder(self._model({tower for tower, is_needed in needed.items() if is_needed}))
        vectors = [embedder.embed_image_file(image) for image in query.images]
        if query.texts:
            vectors.extend(embedder.embed_texts(query.texts))
        mean: NDArray[np.float32] = np.mean(vectors, axis=0)
        return mean / np.linalg.norm(mean)

    def left_out(self, text: str) -> str:
        """The end of a text that is cut off because the model reads no more, from the first word not read whole on.

        Raises:
            CocaSearchError: The model cannot be loaded or is not the index's.
        """
        model = self._model({"text"})
        return model.tokenizer.left_out(text, model.config.text.context_length)

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
