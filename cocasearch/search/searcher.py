"""A query and an index in, hits out, best first.

Puts together the query's vector, the snapshot of the index's vectors, and the image table's answers to conditions and
words. Imports torch only for a vector, and LanceDB only for a condition, for words, or when the snapshot is stale.
"""

import shlex
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from cocasearch.errors import CocaSearchError, NothingFound, shortened
from cocasearch.indexing.snapshot.snapshot_files import open_snapshot
from cocasearch.indexing.store.location import AnyIndex, IndexLocation
from cocasearch.indexing.store.manifest import check_model, index_command, index_name, read_manifest
from cocasearch.indexing.store.records import COLUMNS, ImageKey, hash_file
from cocasearch.indexing.store.versions import UnreadableTable, VersionGone
from cocasearch.search.hits import SearchHit
from cocasearch.search.query_terms import Query, as_query
from cocasearch.search.ranking import Mode, RankedRow, Ranker, check_arguments

if TYPE_CHECKING:
    from PIL import Image

    from cocasearch.inference.loaded_model import LoadedModel
    from cocasearch.search.query_encoder import QueryEncoder
    from cocasearch.text.known_words import KnownWords, WordCheck

Vector = NDArray[np.float32]

_STORED = {field.name for field in fields(SearchHit)} & COLUMNS.keys() - {"path"}  # what a hit has of its row
_ATTEMPTS = 5  # to read a version of the table, which a writer may remove meanwhile


class Searcher:
    """An open index that answers queries. It shows the index as it was when opened; `refresh` catches up.

    Args:
        index_folder: The index.
        model: The model that made it, loaded, or its name or folder where the one in the index no longer holds. By name
            only the towers that queries need are loaded, when they first need them.

    Raises:
        CocaSearchError: No index there, or one made with another model (the hint is the command that rebuilds).
    """

    def __init__(self, index_folder: AnyIndex, model: "LoadedModel | str | Path | None" = None) -> None:
        self._index = IndexLocation.of(index_folder)
        self._model = model
        self._encoder: QueryEncoder | None = None
        self.refresh()

    def __len__(self) -> int:
        """The number of images searched."""
        return len(self._snapshot)

    @property
    def unsure_captions(self) -> int:
        """The number of captions that are more likely wrong than right, of the images searched."""
        return int(self._snapshot.unsure.sum())

    @property
    def has_confidences(self) -> bool:
        """Whether the caption of any of the images searched has a confidence."""
        return self._snapshot.has_confidences

    def refresh(self) -> None:
        """See what has been added to the index, or taken out of it, since it was opened."""
        manifest = read_manifest(self._index)
        if self._model is not None and not isinstance(self._model, str | Path):
            check_model(manifest, self._model.fingerprint, self._model.name, self._index)
        try:
            self._snapshot = open_snapshot(self._index, manifest.table)
        except CocaSearchError:
            if read_manifest(self._index).table == manifest.table:
                raise
            self.refresh()  # a rebuild has taken the table's place in this very moment
            return
        later = read_manifest(self._index)  # its folders may have come or gone since: a row may be of either's
        self._manifest, self._roots = manifest, manifest.locate_roots(self._index) | later.locate_roots(self._index)
        self._ranker = Ranker(self._index, manifest.table, self._snapshot, self._roots)

    def search(
        self,
        query: "Query | str | Path | Image.Image | None" = None,
        top_k: int = 10,
        *,
        where: str | None = None,
        mode: Mode = "vector",
        min_score: float | None = None,
        all_captions: bool = False,
    ) -> list[SearchHit]:
        """The `top_k` images (all, if there are fewer) that answer the query best, best first.

        Should a writer have removed the version of the index that was opened, the latest is searched instead.

        Args:
            query: What to look for; a string is one term, words or a picture's path, as `parse_terms` reads it; a
                picture in memory is an example as its file is. None lists the images that meet the condition `where`,
                those taken last first.
            top_k: At least 1.
            where: SQL condition that images must meet to compete at all, on the columns of
                `records.WHERE_HELP`: "taken_at >= '2024-06-01' and camera like '%Pixel%'".
            mode: "vector" orders by the cosine of query and image, "text" by the BM25 score of query words and captions
                (only images with such a word in their caption are hits), "hybrid" by reciprocal rank fusion of both.
            min_score: Smallest cosine of a hit.
            all_captions: Whether unsure captions are searched for words, too; others are left out of such a search,
                though not their images out of a hybrid one.

        Raises:
            CocaSearchError: A picture that is not there or cannot be read, a condition that cannot be understood,
                captions asked for that the index does not have, or arguments that do not fit together.
            NothingFound: The index holds no images.
        """
        wanted = None if query is None else as_query(query)
        check_arguments(wanted, where, mode, min_score, all_captions=all_captions)
        if wanted is None:
            return self._answer(top_k, lambda ranker: ranker.by_date(top_k, str(where)))
        if mode == "vector":
            vector, hashes = self.embed(wanted), dict(_hashes(wanted.images))
            return self._answer(
                top_k, lambda ranker: ranker.by_vector(vector, top_k, where, min_score, self._copies(hashes))
            )
        self._check_captions()
        words = " ".join(wanted.texts)
        if mode == "text":
            return self._answer(top_k, lambda ranker: ranker.by_words(words, top_k, where, all_captions=all_captions))
        vector = self.embed(wanted)
        return self._answer(
            top_k, lambda ranker: ranker.by_both(vector, words, top_k, where, min_score, all_captions=all_captions)
        )

    def values_near(self, where: str) -> str:
        """What there is of the columns that a condition names which no photo meets, in words; empty if one does.

        Raises:
            CocaSearchError: The condition cannot be understood.
        """
        with suppress(VersionGone):
            values = self._ranker.values_near(where)
            return shortened("; ".join(f"{column} {value}" for column, value in values.items()), 240)
        return ""

    def embed(self, query: "Query | str | Path | Image.Image") -> Vector:
        """The unit vector (E,) of a query: the mean of its terms' unit vectors, made a unit vector again.

        Raises:
            CocaSearchError: A picture that is not there or cannot be read, or a model that cannot be loaded or is not
                the index's.
        """
        return self._query_encoder().embed(as_query(query))

    @property
    def known_words(self) -> "KnownWords | None":
        """The words that the index's model was trained on, without loading it; None if it does not say which.

        Published and imported models do not.

        Raises:
            CocaSearchError: It says so in a file that cannot be read.
        """
        from cocasearch.checkpoints.model_files import WORDS_FILE
        from cocasearch.checkpoints.registry import resolve_model
        from cocasearch.text.known_words import KnownWords

        given = self._model if self._model is None or isinstance(self._model, str | Path) else self._model.name
        try:
            folder = resolve_model(given or self._manifest.model_name)
        except CocaSearchError:  # a model in memory alone, or one that is no longer here
            return None
        return KnownWords.read(folder / WORDS_FILE)

    def check_words(self, query: Query | str) -> "WordCheck | None":
        """Which of a query's words the index's model knows, without loading it; None if it does not say.

        Raises:
            CocaSearchError: See `known_words`.
        """
        texts, words = as_query(query).texts, self.known_words
        return words.check(*texts) if words else None

    def left_out(self, query: Query | str) -> list[str]:
        """For each text of the query that is longer than the model reads, what is cut off at its end.

        Raises:
            CocaSearchError: The model cannot be loaded or is not the index's.
        """
        return [end for text in as_query(query).texts if (end := self._query_encoder().left_out(text))]

    def _query_encoder(self) -> "QueryEncoder":
        from cocasearch.search.query_encoder import QueryEncoder  # brings torch, which not every search needs

        if self._encoder is None or self._encoder.fingerprint != self._manifest.model_fingerprint:
            self._encoder = QueryEncoder(self._index, self._manifest, self._model)
        return self._encoder

    def search_vector(
        self, vector: Vector, top_k: int = 10, *, where: str | None = None, min_score: float | None = None
    ) -> list[SearchHit]:
        """What `search` gives for a unit vector (E,) of the index's model.

        Raises:
            CocaSearchError: `top_k` is below 1, or the condition cannot be understood.
            NothingFound: The index holds no images.
        """
        return self._answer(top_k, lambda ranker: ranker.by_vector(vector, top_k, where, min_score))

    def _answer(self, top_k: int, rank: Callable[[Ranker], list[RankedRow]]) -> list[SearchHit]:
        if top_k < 1:
            raise CocaSearchError(f"the number of hits must be at least 1, not {top_k}")
        for _ in range(_ATTEMPTS):
            if not len(self):
                hint = index_command(self._index, "./photos")
                raise NothingFound(f"index '{index_name(self._index)}' holds no photos yet", hint=hint)
            try:
                return self._hits(rank(self._ranker))
            except VersionGone as error:
                asked, version = self._manifest, self._snapshot.version
                self.refresh()
                if (self._manifest.table, self._snapshot.version) == (asked.table, version):  # no writer took it away
                    raise UnreadableTable(self._index, asked.table, error) from error
                if self._manifest.model_fingerprint != asked.model_fingerprint:
                    break
        raise CocaSearchError(f"index '{index_name(self._index)}' keeps changing while it is read", hint="try again")

    def _copies(self, hashes: Mapping[Path, str]) -> list[list[int]]:
        """Positions of the files with the content of each example, those of the example itself first."""
        groups = []
        for image, content_hash in hashes.items():
            own = self._position(image)
            groups.append(sorted(self._snapshot.with_content(content_hash).tolist(), key=lambda at: (at != own, at)))
        return groups

    def _position(self, image: Path) -> int | None:
        """Where the row of a photo is in the snapshot; None if the index does not hold it."""
        for file in (image.absolute(), image.resolve()):  # a linked file is indexed as the link
            for key, root in self._roots.items():
                if file.is_relative_to(root):
                    position = self._snapshot.find(ImageKey(key, file.relative_to(root).as_posix()))
                    if position is not None:
                        return position
        return None

    def _hits(self, ranked: list[RankedRow]) -> list[SearchHit]:
        rows = self._snapshot.rows_at(np.array([row.position for row in ranked], np.int64))
        return [
            SearchHit(
                rank=rank,
                score=figures.score,
                path=self._path(row),
                relative_path=row["path"],
                text_score=figures.text_score,
                vector_rank=figures.vector_rank,
                text_rank=figures.text_rank,
                fused_score=figures.fused_score,
                copies=tuple(map(self._path, self._snapshot.rows_at(np.array(figures.copies, np.int64)))),
                **{name: row[name] for name in _STORED},
            )
            for rank, (figures, row) in enumerate(zip(ranked, rows, strict=True), start=1)
        ]

    def _path(self, row: Mapping[str, Any]) -> str:
        return str(ImageKey(row["root"], row["path"]).file(self._roots))

    def folder_of(self, hit: SearchHit) -> Path:
        """The outermost folder around a hit's file that is not there, or the indexed one around it."""
        root = Path(hit.path.removesuffix(hit.relative_path))
        folders = [root, *reversed(Path(hit.path).relative_to(root).parents[:-1])]
        return next((root / folder for folder in folders if not (root / folder).is_dir()), root)

    def _check_captions(self) -> None:
        if len(self) and not self._snapshot.has_captions:
            name = index_name(self._index)
            command = f"cocasearch caption --index {shlex.quote(name)}"
            raise CocaSearchError(f"index '{name}' has no captions to search in", hint=f"write them with: {command}")


def _hashes(images: "Iterable[Path | Image.Image]") -> Iterator[tuple[Path, str]]:
    for image in images:
        if isinstance(image, Path):
            with suppress(OSError):  # a photo in the index can stand for its file
                yield image, hash_file(image)
