"""What a user asks for: words, example pictures, or both together.

Receives terms as they were typed and tells words from files. Knows nothing about models and indexes.
"""

import os
import shlex
import stat
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from cocasearch.errors import CocaSearchError, shortened
from cocasearch.images.discovery import is_image_name, status_of
from cocasearch.indexing.store.where_values import quoted
from cocasearch.paths import expand_home

if TYPE_CHECKING:
    from PIL import Image

_LONGEST_TERM = 200  # characters of one that is shown
_PATH_MARKS = ("./", "../", "/", "~/", ".\\", "..\\")


@dataclass(frozen=True, slots=True)
class QueryTerm:
    """One thing to look for: words, or an example picture by its path or in memory."""

    kind: Literal["text", "image"]
    value: "str | Image.Image"


@dataclass(frozen=True, slots=True)
class Query:
    """Everything to look for at once; each term counts the same.

    Raises:
        CocaSearchError: There is no term.
    """

    terms: tuple[QueryTerm, ...]

    def __post_init__(self) -> None:
        if not self.terms:
            raise CocaSearchError("nothing to search for", hint='cocasearch query "a dog on a beach"')

    @property
    def kind(self) -> Literal["text", "image", "mixed"]:
        """What the terms are."""
        kinds = {term.kind for term in self.terms}
        return kinds.pop() if len(kinds) == 1 else "mixed"

    @property
    def texts(self) -> list[str]:
        """The words of each text term."""
        return [str(term.value) for term in self.terms if term.kind == "text"]

    @property
    def images(self) -> "list[Path | Image.Image]":
        """The file of each image term, or the picture itself."""
        pictures = [term.value for term in self.terms if term.kind == "image"]
        return [Path(picture) if isinstance(picture, str) else picture for picture in pictures]


def parse_terms(terms: Sequence[str] = (), *, texts: Sequence[str] = (), images: Sequence[str | Path] = ()) -> Query:
    """The query that a user's terms make.

    Args:
        terms: A term that names a picture file, by its ending or because there is such a file at a path, is an
            example; all others are the words of one sentence.
        texts: Terms that are words, whatever they look like, each on its own.
        images: Terms that are files, whatever they look like.

    Raises:
        CocaSearchError: A term that looks like a file and does not exist or is a folder, an empty term, or no term.
    """
    files = [term for term in terms if _looks_like_a_file(term)]
    words = [term for term in terms if term not in files]
    sentences = [" ".join(words), *texts] if words else texts
    return Query((*map(_text_term, sentences), *(_image_term(str(image)) for image in (*files, *images))))


def is_folder_name(terms: Sequence[str]) -> bool:
    """Whether terms are nothing but the name of a folder here, though they are taken as words."""
    return len(terms) == 1 and not is_image_name(terms[0]) and os.path.isdir(terms[0])  # noqa: PTH112  never raises


def as_query(asked: "Query | str | Path | Image.Image") -> Query:
    """The query that one thing to look for makes: a string is one term of `parse_terms`, a path an example.

    Raises:
        CocaSearchError: It is nothing that can be looked for, or as `parse_terms` says.
    """
    if isinstance(asked, Query):
        return asked
    if isinstance(asked, str):
        return parse_terms([asked])
    if isinstance(asked, Path):
        return parse_terms(images=[asked])
    from PIL import Image

    if isinstance(asked, Image.Image):
        return Query((QueryTerm("image", asked),))
    raise CocaSearchError(
        f"a {type(asked).__name__} cannot be looked for: a query is words, the path of a photo, a PIL image, or "
        "several terms put together",
        hint="parse_terms(texts=[…], images=[…]) of cocasearch.search.query_terms puts terms together; one search for "
        "each of several questions; search_vector takes a vector",
    )


def _looks_like_a_file(term: str) -> bool:
    if is_image_name(term) or term.startswith(_PATH_MARKS):
        return True
    if "/" not in term and "\\" not in term:
        return False
    with suppress(CocaSearchError):  # a sentence may be too long for a name
        status = status_of(Path(term))
        return status is not None  # "black/white cat" is words
    return False


def _text_term(text: str) -> QueryTerm:
    words = text.strip()
    if not words:
        raise CocaSearchError("a query term is empty", hint='cocasearch query "a dog on a beach"')
    return QueryTerm("text", words)


def _image_term(term: str) -> QueryTerm:
    path = expand_home(Path(term))
    status = status_of(path)
    if status and stat.S_ISDIR(status.st_mode):
        raise CocaSearchError(
            f"{shortened(term, _LONGEST_TERM)} is a folder; a query takes one photo",
            hint=f'to search in it alone: cocasearch query "a dog on a beach" --in {shlex.quote(term)}',
        )
    if not status:
        condition = f"path like {quoted(f'%/{path.name}')}"
        by_name = shlex.quote(condition) if set(condition) & set('"$`\\!') else f'"{condition}"'
        raise CocaSearchError(
            f"no such file: {shortened(term, _LONGEST_TERM)}",
            hint=f"an indexed photo of that name: cocasearch query --where {by_name}; "
            f"if these are words: cocasearch query --text {shlex.quote(term)}",
        )
    if not stat.S_ISREG(status.st_mode):  # a pipe would be waited for, without an end
        term = shortened(term, _LONGEST_TERM)
        raise CocaSearchError(f"{term} is no file but a pipe or a device; a query takes one photo")
    return QueryTerm("image", str(path))
