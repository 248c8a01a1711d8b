"""The words of a classifier's classes: names, synonyms and the more general words above them.

Receives a table of classes (WordNet's words for ImageNet's classes, say); hands on, per training step, texts and which
classes each stands for. The name loss matches those texts to the classifier's probabilities.
"""

import csv
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from cocasearch.errors import CocaSearchError

COLUMNS = ("wnid", "name", "synonyms", "hypernyms")
TEMPLATES = (
    "{a} {name}",
    "{name}",
    "a photo of {a} {name}",
    "a photo of the {name}",
    "a picture of {a} {name}",
    "there is {a} {name}",
    "a close-up of {a} {name}",
    "{a} {name} in the photo",
)
# A word above more of the classes than this ("entity", "object", "whole") says nothing about a picture.
_VAGUE = 0.4
_FEWEST_ABOVE, _MOST_ABOVE = 30, 300


@dataclass(frozen=True)
class NamedGroups:
    """Texts of one step; `group_of_class` (C,) gives each class's text, or -1 where it has none this time."""

    texts: tuple[str, ...]
    group_of_class: Tensor

    def target(self, probabilities: Tensor) -> Tensor:
        """Class probabilities (B, C) summed over each text's classes and made to add up to 1: (B, G)."""
        present = self.group_of_class >= 0
        target = probabilities.new_zeros(len(probabilities), len(self.texts))
        target.index_add_(1, self.group_of_class[present], probabilities[:, present])
        return target / target.sum(dim=1, keepdim=True).clamp(min=1e-9)


class ClassNames:
    """Names and hypernyms of C classes, in the classifier's order."""

    def __init__(self, wnids: Sequence[str], names: Sequence[tuple[str, ...]], hypernyms: Sequence[tuple[str, ...]]):
        above: dict[str, list[int]] = {}
        for index, words in enumerate(hypernyms):
            for word in words:
                above.setdefault(word, []).append(index)
        self.classes_below = {word: below for word, below in above.items() if 1 < len(below) < _VAGUE * len(names)}
        # A word above one class alone ("rocket" above the missile) is as good as a name of it, though not as a label.
        alone = [[word for word in words if above[word] == [index]] for index, words in enumerate(hypernyms)]
        self.names = [tuple(dict.fromkeys((*own, *more))) for own, more in zip(names, alone, strict=True)]
        self.index = {word.lower(): index for index, words in reversed(list(enumerate(names))) for word in words}
        self.index.update({wnid: index for index, wnid in enumerate(wnids)})

    def __len__(self) -> int:
        return len(self.names)

    @classmethod
    def read(cls, file: Path) -> "ClassNames":
        """Classes from a tab-separated table with the columns wnid, name, synonyms and hypernyms (near to far).

        Raises:
            CocaSearchError: The file is missing, is no text, lacks a column, or has a row without a name.
        """
        try:
            with file.open(encoding="utf-8", newline="") as lines:
                rows = list(csv.DictReader(lines, delimiter="\t"))
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise CocaSearchError(f"cannot read class names from {file}: {reason}") from error
        missing = [column for column in COLUMNS if not rows or column not in rows[0]]
        if missing:
            raise CocaSearchError(f"{file} has no column {', '.join(missing)}; class names need {', '.join(COLUMNS)}")
        names = [_words(row["name"], row["synonyms"]) for row in rows]
        if () in names:
            raise CocaSearchError(f"row {names.index(()) + 1} of {file} names no class")
        return cls([row["wnid"] for row in rows], names, [_words(row["hypernyms"]) for row in rows])

    def find(self, label: str) -> int | None:
        """The class of a label given as WordNet id, name or synonym."""
        return self.index.get(label, self.index.get(label.lower()))

    def vocabulary(self) -> list[str]:
        """Every word that may stand for a class, once: what a tokenizer should have seen."""
        return list(dict.fromkeys(word for words in (*self.names, self.classes_below) for word in words))

    def draw(self, probabilities: Tensor, count: int, rng: random.Random) -> NamedGroups:
        """Up to `count` texts that divide the classes: half of the time their own names, else words above them.

        Half of the texts are those that the batch's class probabilities (B, C) favour, the others random.
        """
        words = self._names(rng) if rng.random() < 0.5 else self._cut(rng)
        groups: dict[str, list[int]] = {}
        for index, word in enumerate(words):
            groups.setdefault(word, []).append(index)
        mass = probabilities.sum(dim=0).tolist()
        ranked = sorted(groups, key=lambda word: -sum(mass[index] for index in groups[word]))
        favoured, others = ranked[: count // 2], ranked[count // 2 :]
        chosen = favoured + rng.sample(others, min(len(others), count - len(favoured)))
        group_of_class = torch.full((len(self),), -1, dtype=torch.long, device=probabilities.device)
        for group, word in enumerate(chosen):
            group_of_class[groups[word]] = group
        return NamedGroups(tuple(in_template(word, rng.choice(TEMPLATES)) for word in chosen), group_of_class)

    def _names(self, rng: random.Random) -> list[str]:
        return [names[0] if rng.random() < 0.7 else rng.choice(names) for names in self.names]

    def _cut(self, rng: random.Random) -> list[str]:
        """One word for each class: the nearest of some random words above it, or else its own name."""
        words = [names[0] for names in self.names]
        above = list(self.classes_below)
        chosen = rng.sample(above, min(len(above), rng.randint(_FEWEST_ABOVE, _MOST_ABOVE)))
        for word in sorted(chosen, key=lambda word: -len(self.classes_below[word])):
            for index in self.classes_below[word]:
                words[index] = word
        return words


def in_template(name: str, template: str) -> str:
    """The template with the name in it and the article that fits."""
    article = "an" if name[:1].lower() in "aeiou" else "a"
    return template.replace("{a}", article).replace("{name}", name)


def _words(*cells: str | None) -> tuple[str, ...]:
    words = [word.strip() for cell in cells for word in (cell or "").split(",")]  # a row cut short has no cell
    return tuple(dict.fromkeys(word for word in words if word))
