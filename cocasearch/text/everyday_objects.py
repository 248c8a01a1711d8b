"""The everyday objects that captions name, under one name each, so that a "puppy" and two "dogs" are the same.

`everyday_objects.tsv` lists which words name which object.
"""

from collections.abc import Iterator
from functools import cache
from pathlib import Path

from cocasearch.text.words import Words, is_function_word, plural_of, words_of

_FILE = Path(__file__).with_name("everyday_objects.tsv")
_NOTHING = "-"  # the object of names that show none


def objects_in(text: str) -> tuple[str, ...]:
    """The objects that a text names, in order, each as often as it is named.

    Longer names are tried first: a "hot dog" is no dog. Words are compared in lower case without punctuation, in
    singular and plural.
    """
    return tuple(name for _, name in _parts(words_of(text)) if name)


def content_of(text: str) -> frozenset[str]:
    """What a text says about an image: the objects that it names, and its other words that are not function words."""
    parts = list(_parts(words_of(text)))
    others = {word for words, name in parts if not name for word in words if not is_function_word(word)}
    return frozenset(name for _, name in parts if name) | others


@cache
def objects_by_name() -> dict[Words, str]:
    """The object by each of its names, plurals included; "" for names of things that are no objects.

    Raises:
        ValueError: A name belongs to two objects.
    """
    objects: dict[Words, str] = {}
    for line in _FILE.read_text(encoding="utf-8").splitlines():
        if line.startswith("#"):
            continue
        of_line, *names = line.split("\t")
        of_line = "" if of_line == _NOTHING else of_line
        for words in (tuple(name.split()) for name in names):
            if objects.get(words, of_line) != of_line:
                raise ValueError(f"'{' '.join(words)}' is both {objects[words]} and {of_line}")
            objects[words] = of_line
            objects.setdefault((*words[:-1], plural_of(words[-1])), of_line)
    return objects


@cache
def _most_words() -> int:
    return max(map(len, objects_by_name()))


def _parts(words: Words) -> Iterator[tuple[Words, str]]:
    """The words cut into names of objects, each with its object, and single words with an empty one."""
    objects, at = objects_by_name(), 0
    while at < len(words):
        lengths = range(min(_most_words(), len(words) - at), 0, -1)
        length = next((n for n in lengths if words[at : at + n] in objects), 1)
        part = words[at : at + length]
        yield part, objects.get(part, "")
        at += length
