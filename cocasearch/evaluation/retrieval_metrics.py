"""Retrieval metrics: how often embeddings of images and texts find the right one, both ways.

Definitions:
    Texts: captions that are equal once case and punctuation are gone are one text, right for each of its images.
    Rank: one more than the number of wrong candidates that score as high as the best right one, or higher. A tie is
        counted against the model, so embeddings that are all the same find nothing.
    recall@k: The share of queries whose rank is k or better.
    With one text per image and few texts (class names), image -> text recall@1 is classification accuracy and
    text -> image recall@k the share of names with any of their images among the first k.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cocasearch.text.words import words_of

RECALL_AT = (1, 5, 10)
TIE = 1e-6  # cosines closer than float32 sums can tell apart
CHUNK_SCORES = 1 << 23  # scores held at once: 32 MiB

_Floats = npt.NDArray[np.float32]
_Integers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class DistinctTexts:
    """The texts of a captioned set, each once.

    Attributes:
        texts: The texts as first written.
        pairs: Pairs (P, 2) of an image and a text that is right for it, none twice.
    """

    texts: tuple[str, ...]
    pairs: _Integers


@dataclass(frozen=True)
class Recall:
    """The recall of one side's queries among the other side.

    Attributes:
        at: recall@k from 0 to 1 for each k.
        median_rank: The median rank; 1 is best.
    """

    at: dict[int, float]
    median_rank: float

    def to_dict(self) -> dict[str, float]:
        """The figures under the names that reports use: recall@1 and so on, median_rank."""
        return {**{f"recall@{k}": share for k, share in self.at.items()}, "median_rank": self.median_rank}


@dataclass(frozen=True)
class RetrievalScores:
    """Recall both ways."""

    text_to_image: Recall
    image_to_text: Recall


def distinct_texts(captions_per_image: Sequence[Sequence[str]]) -> DistinctTexts:
    """The different texts among all captions, with the images that each is right for."""
    numbers: dict[object, int] = {}
    texts: list[str] = []
    pairs: dict[tuple[int, int], None] = {}
    for image, captions in enumerate(captions_per_image):
        for caption in captions:
            number = numbers.setdefault(words_of(caption) or caption.strip(), len(texts))
            if number == len(texts):
                texts.append(caption)
            pairs[image, number] = None
    return DistinctTexts(tuple(texts), np.array(list(pairs), dtype=np.int64).reshape(-1, 2))


def ranks_both_ways(
    image_embeddings: _Floats, text_embeddings: _Floats, pairs: _Integers
) -> tuple[_Integers, _Integers]:
    """The rank of each text's best right image (T,) and of each image's best right text (I,).

    Args:
        image_embeddings: (I, E) unit rows.
        text_embeddings: (T, E) unit rows of distinct texts.
        pairs: (P, 2) integers, image and right text; every image and every text has one at least.
    """
    text_ranks = right_ranks(text_embeddings, image_embeddings, pairs[:, ::-1])
    return text_ranks, right_ranks(image_embeddings, text_embeddings, pairs)


def right_ranks(queries: _Floats, candidates: _Floats, pairs: _Integers) -> _Integers:
    """The rank of each query's best right candidate (Q,), from 1, with ties counted against it.

    Args:
        queries: (Q, E) unit rows.
        candidates: (C, E) unit rows.
        pairs: (P, 2) integers, query and right candidate.
    """
    pairs = pairs[np.argsort(pairs[:, 0], kind="stable")]
    step = max(1, CHUNK_SCORES // max(1, len(candidates)))
    chunks = []
    for start in range(0, len(queries), step):
        first, last = np.searchsorted(pairs[:, 0], (start, start + step))
        scores = queries[start : start + step] @ candidates.T  # (q, C)
        chunks.append(_ranks(scores, pairs[first:last, 0] - start, pairs[first:last, 1]))
    return np.concatenate(chunks) if chunks else np.zeros(0, dtype=np.int64)


def summarise(ranks: _Integers) -> Recall:
    """recall@1, 5 and 10, and the median rank."""
    return Recall({k: float(np.mean(ranks <= k)) for k in RECALL_AT}, float(np.median(ranks)))


def _ranks(scores: _Floats, rows: _Integers, columns: _Integers) -> _Integers:
    """The ranks (q,) from scores (q, C) whose right candidates are at (rows, columns)."""
    scores = np.where(np.isnan(scores), -np.inf, scores)  # what is no number must not win
    right = scores[rows, columns]
    best = np.full(len(scores), -np.inf, dtype=np.float32)
    np.maximum.at(best, rows, right)
    floor = best - np.float32(TIE)
    rivals = np.count_nonzero(scores >= floor[:, None], axis=1)
    rivals -= np.bincount(rows[right >= floor[rows]], minlength=len(scores))
    return 1 + rivals
