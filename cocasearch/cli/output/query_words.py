"""Words of a query that mean little to the model: those that it never saw, and those that it did not read."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from cocasearch import errors
from cocasearch.cli import console
from cocasearch.errors import CocaSearchError

if TYPE_CHECKING:
    from cocasearch.search.query_terms import Query
    from cocasearch.search.searcher import Searcher
    from cocasearch.text.known_words import KnownWords, WordCheck

_NAMED = 3  # words, and as many suggestions
_LONGEST_WORD, _LONGEST_MODEL, _LONGEST_END = 20, 40, 120  # characters; a sentence stays below 300


def report_words(searcher: "Searcher", query: "Query", model: str) -> None:
    """Report which words of a query mean little to the model, if any.

    Args:
        searcher: The searcher that has answered the query.
        query: The query.
        model: Name or folder of the model.
    """
    name = shortened(Path(model).name, _LONGEST_MODEL)
    try:
        console.report(*(ignored_end(end, name) for end in searcher.left_out(query)))
        if query.texts and (words := searcher.known_words):
            console.report(*_about_unknown(query, words, name))
    except CocaSearchError as error:  # the answer is there, and good
        console.report(f"warning: {error}")


def ignored_end(end: str, model: str) -> str:
    """A sentence about the end of a text that the model did not read."""
    return f"the query is longer than {model} can read, so its end was ignored: '{shortened(end, _LONGEST_END)}'"


def _about_unknown(query: "Query", words: "KnownWords", model: str) -> Iterator[str]:
    check = words.check(*query.texts)
    if check.is_empty:
        asked = shortened(" ".join(query.texts), _LONGEST_END)
        yield f"'{asked}' has no word that says what to look for, so its results from {model} mean little"
    elif check.unknown:
        seen, names = _how_often_seen(check, is_cut=words.is_cut), _listed(check.unknown)
        if check.known or query.images:
            sentence = f"{model} has {seen} seen {names} and goes by the rest of the query"
        else:
            are = "is a word" if len(check.unknown) == 1 else "are words"
            sentence = f"{names} {are} that {model} has {seen} seen, so its results mean little"
        yield sentence + _suggestion(check, words)


def _how_often_seen(check: "WordCheck", *, is_cut: bool) -> str:
    if is_cut or not check.never_seen:
        return "hardly ever"
    return "never or hardly ever" if check.barely_known else "never"


def _listed(words: Sequence[str]) -> str:
    """The words in quotes; of many the first few, and how many more."""
    named = [f"'{shortened(word, _LONGEST_WORD)}'" for word in words[:_NAMED]]
    if len(words) > _NAMED:
        named.append(f"{len(words) - _NAMED:,} more")
    return " and ".join(filter(None, (", ".join(named[:-1]), named[-1])))


def _suggestion(check: "WordCheck", words: "KnownWords") -> str:
    for_each = 2 if len(check.unknown) == 1 else 1
    nearest = [word for unknown in check.unknown[:_NAMED] for word in words.nearest(unknown, for_each)]
    shown = [shortened(word, _LONGEST_WORD) for word in dict.fromkeys(nearest)]
    return f"; nearest known {'word' if len(shown) == 1 else 'words'}: {', '.join(shown)}" if shown else ""


def shortened(text: str, longest: int) -> str:
    """The text on one line of at most `longest` characters, with an ellipsis in place of a middle that is too long."""
    return errors.shortened(console.on_one_line(text), longest)
