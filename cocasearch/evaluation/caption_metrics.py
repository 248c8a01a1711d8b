"""The field's metrics of captions against those that people wrote, in coco-caption's arithmetic.

coco-caption cuts texts into words with Stanford's tokenizer in Java; here words are runs of letters and digits in lower
case (`text.words`), so figures agree with published ones up to that difference.
"""

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from cocasearch.text.words import Words, words_of

_NGram = tuple[str, ...]

MAX_N = 4
ROUGE_BETA = 1.2  # recall weighs more than precision
CIDER_SIGMA = 6.0  # how many words a caption may differ in length before it is worth much less
CIDER_SCALE = 10.0  # the identical caption scores 10


@dataclass(frozen=True)
class CaptionScores:
    """The scores of a set of captions against its references.

    Attributes:
        bleu_4: BLEU-4 from 0 to 1.
        rouge_l: ROUGE-L from 0 to 1.
        cider_d: CIDEr-D from 0 to 10; 1.253 is what papers print as 125.3.
        distinct: Number of different captions.
    """

    bleu_4: float
    rouge_l: float
    cider_d: float
    distinct: int

    def to_dict(self) -> dict[str, float]:
        """The scores under the names that reports use."""
        return {"bleu@4": self.bleu_4, "rouge_l": self.rouge_l, "cider_d": self.cider_d, "distinct": self.distinct}


def score_captions(candidates: Sequence[str], references: Sequence[Sequence[str]]) -> CaptionScores:
    """The scores of one caption per image against the captions that people wrote for it.

    Args:
        candidates: One caption per image.
        references: For each image, one text or more.
    """
    written = [words_of(text) for text in candidates]
    expected = [[words_of(text) for text in texts] for texts in references]
    return CaptionScores(
        bleu_4=bleu(written, expected)[-1],
        rouge_l=rouge_l(written, expected),
        cider_d=cider_d(written, expected),
        distinct=distinct(written),
    )


def bleu(candidates: Sequence[Words], references: Sequence[Sequence[Words]]) -> tuple[float, ...]:
    """BLEU-1 to BLEU-4 of the whole set, from 0 to 1.

    Counts are summed over the set before precisions are taken. The brevity penalty compares with the reference
    whose length is closest to the candidate's, the shorter of two equally close.
    """
    matched, offered = [0] * MAX_N, [0] * MAX_N
    written_length = closest_length = 0
    for candidate, texts in zip(candidates, references, strict=True):
        written_length += len(candidate)
        closest_length += min((abs(len(text) - len(candidate)), len(text)) for text in texts)[1]
        for n in range(1, MAX_N + 1):
            allowed: Counter[_NGram] = Counter()
            for text in texts:
                allowed |= _ngrams(text, n)
            matched[n - 1] += (_ngrams(candidate, n) & allowed).total()
            offered[n - 1] += max(0, len(candidate) - n + 1)
    return _geometric_means(matched, offered, _brevity_penalty(written_length, closest_length))


def rouge_l(candidates: Sequence[Words], references: Sequence[Sequence[Words]]) -> float:
    """ROUGE-L from 0 to 1: F-measure (beta 1.2) of the longest common subsequence, mean over images.

    Precision and recall are each the best over the image's references.
    """
    return _mean(rouge_l_of_each(candidates, references))


def rouge_l_of_each(candidates: Sequence[Words], references: Sequence[Sequence[Words]]) -> list[float]:
    """ROUGE-L of each image; `rouge_l` is their mean."""
    pairs = zip(candidates, references, strict=True)
    return [_rouge_l_of_one(candidate, texts) for candidate, texts in pairs]


def cider_d(candidates: Sequence[Words], references: Sequence[Sequence[Words]]) -> float:
    """CIDEr-D from 0 to 10, mean over images.

    n-grams (1 to 4) are weighed by how few images have them in their references, so the figure belongs to the
    evaluated set; of a single image it is 0, as nothing is rarer than anything else.
    """
    return _mean(cider_d_of_each(candidates, references))


def cider_d_of_each(candidates: Sequence[Words], references: Sequence[Sequence[Words]]) -> list[float]:
    """CIDEr-D of each image; `cider_d` is their mean."""
    score = CiderD(references)
    return [score(candidate, texts) for candidate, texts in zip(candidates, references, strict=True)]


class CiderD:
    """The CIDEr-D of single captions, with the rarity of n-grams in the references of many images.

    Args:
        references: For each image, one text or more.
    """

    def __init__(self, references: Sequence[Sequence[Words]]) -> None:
        self._weights = [_Weights(references, n) for n in range(1, MAX_N + 1)]

    def __call__(self, candidate: Words, texts: Sequence[Words]) -> float:
        """The score, from 0 to 10, of a caption of the image that has these references."""
        score = 0.0
        for n, weigh in enumerate(self._weights, start=1):
            vector = weigh(_ngrams(candidate, n))
            similarities = [
                _clipped_cosine(vector, weigh(_ngrams(text, n))) * _length_penalty(len(candidate), len(text))
                for text in texts
            ]
            score += _mean(similarities) / MAX_N
        return CIDER_SCALE * score


def distinct(candidates: Sequence[Words]) -> int:
    """The number of different captions; a small one is of a model that repeats itself."""
    return len(set(candidates))


def _ngrams(words: Words, n: int) -> Counter[_NGram]:
    return Counter(zip(*(words[start:] for start in range(n)), strict=False))


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0


def _brevity_penalty(written_length: int, closest_length: int) -> float:
    ratio = (written_length + 1e-15) / (closest_length + 1e-9)
    return math.exp(1 - 1 / ratio) if ratio < 1 else 1.0


def _geometric_means(matched: list[int], offered: list[int], penalty: float) -> tuple[float, ...]:
    """BLEU-1 to BLEU-n; the small constants are coco-caption's and keep empty counts from dividing by zero.

    Where nothing matches the score is 0, which they alone would make up otherwise.
    """
    product, means = 1.0, []
    for n, (hits, tries) in enumerate(zip(matched, offered, strict=True), start=1):
        product *= (hits + 1e-15) / (tries + 1e-9)
        means.append(penalty * product ** (1 / n) if hits else 0.0)
    return tuple(means)


def _rouge_l_of_one(candidate: Words, texts: Sequence[Words]) -> float:
    if not candidate:
        return 0.0
    common = [(length, len(text)) for text, length in zip(texts, _common_lengths(candidate, texts), strict=True)]
    precision = max(length for length, _ in common) / len(candidate)
    recall = max(length / max(words, 1) for length, words in common)
    if precision == 0 or recall == 0:
        return 0.0
    return (1 + ROUGE_BETA**2) * precision * recall / (recall + ROUGE_BETA**2 * precision)


def _common_lengths(candidate: Words, texts: Sequence[Words]) -> Iterator[int]:
    """The length of the longest common subsequence with each text.

    Bit-parallel (Hyyrö 2004): a row of the usual table is one integer, whose zero bits are the steps of that row.
    """
    places: dict[str, int] = {}
    for i, word in enumerate(candidate):
        places[word] = places.get(word, 0) | 1 << i
    all_ones = (1 << len(candidate)) - 1
    for text in texts:
        row = all_ones
        for word in text:
            matches = row & places.get(word, 0)
            row = (row + matches | row - matches) & all_ones
        yield len(candidate) - row.bit_count()


class _Weights:
    """TF-IDF of n-grams, where a document is the references of one image."""

    def __init__(self, documents: Sequence[Sequence[Words]], n: int) -> None:
        self._unseen = math.log(max(len(documents), 1))
        frequency: Counter[_NGram] = Counter()
        for texts in documents:
            frequency.update({ngram for text in texts for ngram in _ngrams(text, n)})
        # What a single image has is as rare as what none has, and most n-grams are of that kind.
        self._idf = {ngram: self._unseen - math.log(count) for ngram, count in frequency.items() if count > 1}

    def __call__(self, counts: Counter[_NGram]) -> tuple[dict[_NGram, float], float]:
        """The vector of one text and its length."""
        vector = {ngram: count * self._idf.get(ngram, self._unseen) for ngram, count in counts.items()}
        return vector, math.sqrt(sum(weight * weight for weight in vector.values()))


def _clipped_cosine(candidate: tuple[dict[_NGram, float], float], text: tuple[dict[_NGram, float], float]) -> float:
    """Cosine in which repeating an n-gram beyond the reference gains nothing."""
    (written, written_norm), (expected, expected_norm) = candidate, text
    if written_norm == 0 or expected_norm == 0:
        return 0.0
    overlap = sum(min(written[ngram], weight) * weight for ngram, weight in expected.items() if ngram in written)
    return overlap / (written_norm * expected_norm)


def _length_penalty(written: int, expected: int) -> float:
    # coco-caption counts the bigrams, so texts of no word and of one word are equally long
    difference = max(written - 1, 0) - max(expected - 1, 0)
    return math.exp(-(difference**2) / (2 * CIDER_SIGMA**2))
