"""The words of a text, those that may show in an image, and the forms of an English word.

This module alone decides what a word is: for metrics, for what a model knows, and for how far captions agree.
"""

import html
import unicodedata
from collections.abc import Iterator

Words = tuple[str, ...]

# Articles, pointers, and what stands for a name; where and when; what joins, and what every verb leans on.
_FUNCTION_WORDS = """
    a an the this that these those it its itself he him his himself she her hers herself they them their theirs
    themselves we us our i me my you your who whom whose which what one another other others each every both all any
    some something few several many much more most such same own there here
    about above across after against along alongside amid among around as at away back before behind below beneath
    beside besides between beyond by down during for from front in inside into near next of off on onto opposite out
    outside over past side through throughout to together top toward towards under underneath until up upon via while
    with within without
    and but or nor so than then if because when where why how not no only just also very too am is are was were be been
    being has have had having do does doing did get can could will would may might must shall should
"""
FUNCTION_WORDS = frozenset(_FUNCTION_WORDS.split())
"""Words that hold a sentence together and show nothing."""

_SHORTEST_BASE = 3
_VOWELS = "aeiou"
# Of a plural, -ing or -ed form, and what stands there instead in the word it is made from.
_ENDINGS = (
    *(("ies", "y"), ("ied", "y"), ("ves", "f"), ("ves", "fe"), ("es", ""), ("s", "")),
    *(("ing", ""), ("ing", "e"), ("ed", ""), ("ed", "e")),
)
_HISSING = ("s", "x", "z", "ch", "sh")
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
    """A table for `str.translate` that keeps letters, their marks and digits, and turns the rest into spaces."""

    def __missing__(self, code: int) -> int | str:
        self[code] = value = self._kept(code)
        return value

    def _kept(self, code: int) -> int | str:
        category = unicodedata.category(chr(code))[0]
        if any(first <= code <= last for first, last in _WITHOUT_SPACES):
            return f" {chr(code)} " if category in "LN" else " "
        return code if category in "LMN" else " "


_LETTERS = _Letters()


def words_of(text: str) -> Words:
    """The words of a text in lower case, without punctuation, in order: "A dog's bone." -> a, dog, s, bone.

    In scripts that put no spaces between words each character counts as a word.
    """
    if "&" in text:
        text = html.unescape(text)
    return tuple(unicodedata.normalize("NFC", text).lower().translate(_LETTERS).split())


def content_words(text: str) -> Words:
    """The words of a text that may show in an image, each once, in order."""
    return tuple(word for word in dict.fromkeys(words_of(text)) if not is_function_word(word))


def is_function_word(word: str) -> bool:
    """Whether a word in lower case shows nothing. Single Latin letters, as the s of "dog's", count as such."""
    return word in FUNCTION_WORDS or (len(word) == 1 and word.isalpha() and word < _AFTER_LATIN)


def plural_of(word: str) -> str:
    """The regular plural of a word in lower case: boxes, ponies, dogs."""
    if word.endswith("y") and word[-2:-1] not in _VOWELS:
        return f"{word[:-1]}ies"
    return f"{word}es" if word.endswith(_HISSING) else f"{word}s"


def forms_of(word: str) -> set[str]:
    """A word, the words that it may be a form of, and the plural, -ing and -ed forms of all these.

    "puppies" gives "puppy" and others. They follow the rules of spelling alone, so some are no words.
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
