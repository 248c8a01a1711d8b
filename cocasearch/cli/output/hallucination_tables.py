"""How often captions name what is not there, as tables for people."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from cocasearch.cli.console import Row

if TYPE_CHECKING:
    from cocasearch.evaluation.hallucination import Hallucination


def hallucination_rows(groups: "Mapping[str, Hallucination | None]") -> list[Row]:
    """One row per group of captions that there is, under the names of the paper."""
    return [
        {
            "objects_not_there": f"{group} captions",
            "per_caption": figures.per_caption,
            "per_object_word": figures.per_object_word,
            "object_words": figures.n_object_words,
            "object_recall": figures.object_recall,
        }
        for group, figures in groups.items()
        if figures
    ]
