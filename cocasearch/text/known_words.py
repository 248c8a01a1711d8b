"""The words that a model was trained on, with their counts.

They tell which words of a query the model knows, and which known words are spelt most like the others. A model folder
keeps them as a table, most frequent first. No torch is imported, so that a query pays next to nothing for it.
"""

import difflib
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from cocasearch.errors import CocaSearchError
from cocasearch.json_values import read_text
from cocasearch.text.words import content_words, forms_of, words_of

# What a model met in one or two captions is as often a slip of the pen ("skatebord") as a word, and what else was in
# those few images cannot be told from what it means.
FEWEST_TO_KNOW = 3
MOST_WORDS = 100_000
_MOST_BYTES = 16_000_000
_LARGEST_COUNT = 2**53
_HEADER = "word\tcount\n"
_ALIKE = 0.75  # difflib's ratio: "hosre" and "horse" have 0.8, "corgi" and "cargo" 0.6
_LENGTHS_APART = 3


@dataclass(frozen=True)
class WordCheck:
    """Which of a text's words a model knows.

    Attributes:
        known: Content words that the model knows.
        barely_known: Content words that it met in fewer than `FEWEST_TO_KNOW` captions.
        never_seen: Content words that it never met.
    """

    known: tuple[str, ...]
    barely_known: tuple[str, ...]
    never_seen: tuple[str, ...]

    @property
    def unknown(self) -> tuple[str, ...]:
        """The words that the model does not know well, those never seen first."""
        return self.never_seen + self.barely_known

    @property
    def is_empty(self) -> bool:
        """Whether the text has no word that says what to look for: "the of", "!!!"."""
        return not (self.known or self.unknown)


@dataclass(frozen=True)
class KnownWords:
    """Words in lower case with the number of captions that had each."""

    counts: Mapping[str, int]

    @classmethod
    def read(cls, file: Path) -> "KnownWords | None":
        """What `write` wrote; None if there is no such file.

        Raises:
            CocaSearchError: It cannot be read or holds something else.
        """
        try:
            lines = read_text(file, _MOST_BYTES).removeprefix(_HEADER).split("\n", MOST_WORDS + 1)
            pairs = (line.split("\t") for line in lines if line)
            counts = {word: int(count) for word, count in pairs}
            if not all(0 < count <= _LARGEST_COUNT for count in counts.values()):
                raise ValueError("a count that none can be")
            return cls(counts)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise CocaSearchError(f"cannot read the known words in {file}: {error.strerror}") from error
        except ValueError as error:
            raise CocaSearchError(f"{file} is no table of words and their counts") from error

    def write(self, file: Path) -> None:
        """Store the `MOST_WORDS` most frequent words, equal ones in alphabetical order."""
        ranked = sorted(self.counts.items(), key=lambda pair: (-pair[1], pair[0]))
        rows = "".join(f"{word}\t{count}\n" for word, count in ranked[:MOST_WORDS])
        file.write_text(_HEADER + rows, encoding="utf-8", newline="\n")

    def plus(self, counts: Mapping[str, int]) -> "KnownWords":
        """The words with other counts added to theirs."""
        return KnownWords(Counter(self.counts) + Counter(counts))

    @property
    def is_cut(self) -> bool:
        """Whether the table is full, so that a word which is not in it may have been seen all the same."""
        return len(self.counts) >= MOST_WORDS

    def count_of(self, word: str) -> int:
        """The number of captions that had a word (in lower case) in any form: singular, plural, -ing or -ed."""
        return sum(self.counts.get(form, 0) for form in forms_of(word))

    def check(self, *texts: str) -> WordCheck:
        """The content words of texts, parted by how well the model knows them."""
        counts = {word: self.count_of(word) for text in texts for word in content_words(text)}
        return WordCheck(
            known=tuple(word for word, count in counts.items() if count >= FEWEST_TO_KNOW),
            barely_known=tuple(word for word, count in counts.items() if 0 < count < FEWEST_TO_KNOW),
            never_seen=tuple(word for word, count in counts.items() if not count),
        )

    def nearest(self, word: str, limit: int = 2) -> list[str]:
        """At most `limit` known words that are spelt most like a word in lower case; perhaps none."""
        matcher = difflib.SequenceMatcher(b=word, autojunk=False)
        matches: list[tuple[float, int, str]] = []
        for other in self._well_known:
            if abs(len(other) - len(word)) > _LENGTHS_APART:
                continue
            matcher.set_seq1(other)
            if matcher.real_quick_ratio() >= _ALIKE <= matcher.quick_ratio() and (ratio := matcher.ratio()) >= _ALIKE:
                matches.append((-ratio, -self.counts[other], other))
        return [other for _, _, other in sorted(matches)[:limit]]

    @cached_property
    def _well_known(self) -> list[str]:
        contents = content_words(" ".join(self.counts))
        return [word for word in contents if self.counts.get(word, 0) >= FEWEST_TO_KNOW]


def count_words(texts: Iterable[str]) -> Counter[str]:
    """The number of texts that have each word."""
    return Counter(word for text in texts for word in set(words_of(text)))
