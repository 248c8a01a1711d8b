"""The words of a text, and the forms that an English word goes by. Knows nothing about models or what they know."""

import html
import unicodedata
from collections.abc import Iterator

_STOP_WORDS = """
a about all also am an and any are as at be been being both but by can could did do does doing each for from get had has
have having he her here hers him his how i if in into is it its just me more most my no nor not of off on or other our
out own she so some such than that the their them then there these they this those through to too upon us very was we
were what when where which while who whom whose why will with would you your
"""
STOP_WORDS = frozenset(_STOP_WORDS.split())
"""Words that say nothing about what a picture shows."""

_SHORTEST_BASE = 3
_VOWELS = "aeiou"
# Of a plural, -ing or -ed form, and what stands there instead in the word it is made from.
_ENDINGS = (
    *(("ies", "y"), ("ied", "y"), ("ves", "f"), ("ves", "fe"), ("es", ""), ("s", "")),
    *(("ing", ""), ("ing", "e"), ("ed", ""), ("ed", "e")),
)
_AFTER_LATIN = "\u0250"
# Written without spaces between words: Thai, Lao, Burmese, Khmer, and the scripts of China and Japan.
_WITHOUT_SPACES = (
    (0x0E00, 0x0EFF),
    (0x1000, 0x109F),
    (0x1780, 0x17FF),
    (0x2E80, 0xA4CF),
    (0xF900, 0xFAFF),
    (0x20000, 0x3FFFF),
)


class _Letters(dict[int, int | str]):
    """A table for `str.translate` that keeps letters, their marks and digits and makes spaces of the rest."""

    def __missing__(self, code: int) -> int | str:
        self[code] = value = self._kept(code)
        return value

    def _kept(self, code: int) -> int | str:
        category = unicodedata.category(chr(code))[0]
        if any(first <= code <= last for first, last in _WITHOUT_SPACES):
            return f" {chr(code)} " if category in "LN" else " "
        return code if category in "LMN" else " "


_LETTERS = _Letters()


def words_of(text: str) -> list[str]:
    """The words of a text in lower case, without punctuation, in order: "A dog's bone." -> a, dog, s, bone.

    In scripts that put no spaces between words each character counts as a word.
    """
    if "&" in text:
        text = html.unescape(text)
    return unicodedata.normalize("NFC", text).lower().translate(_LETTERS).split()


def content_words_of(text: str) -> list[str]:
    """Those of its words that say what to look for, each once."""
    return [word for word in dict.fromkeys(words_of(text)) if not is_stop_word(word)]


def is_stop_word(word: str) -> bool:
    """Whether a word in lower case is one of those, or a single Latin letter, as the s of "dog's"."""
    return word in STOP_WORDS or (len(word) == 1 and word.isalpha() and word < _AFTER_LATIN)


def forms_of(word: str) -> set[str]:
    """A word with its plural, -ing and -ed forms and those that it may be one of: "puppies" -> "puppy" and others.

    Made by the rules of spelling alone, so some of them are no words.
    """
    bases = {word, *_bases(word)}
    return bases | {form for base in bases if len(base) >= _SHORTEST_BASE for form in _inflected(base)}


def _bases(word: str) -> Iterator[str]:
    for ending, instead in _ENDINGS:
        base = word.removesuffix(ending) + instead
        if not word.endswith(ending) or len(base) < _SHORTEST_BASE or (ending == "s" and word.endswith("ss")):
            continue
        yield base
        if ending in ("ing", "ed") and not instead and base[-1] == base[-2] and len(base) > _SHORTEST_BASE:
            yield base[:-1]  # "running" -> "run"


def _inflected(base: str) -> Iterator[str]:
    yield from (base + "s", base + "es", base + "ing", base + "ed")
    if base.endswith("y"):
        yield from (base[:-1] + "ies", base[:-1] + "ied")
    elif base.endswith("e"):
        yield from (base + "d", base[:-1] + "ing")
    elif base.endswith("f"):
        yield base[:-1] + "ves"
    if base.endswith("fe"):
        yield base[:-2] + "ves"
    if base[-1] not in _VOWELS and base[-2] in _VOWELS:
        yield from (base + base[-1] + "ing", base + base[-1] + "ed")
