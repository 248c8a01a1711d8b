"""The captions that lie beside an image, in a folder or in a shard."""

from collections.abc import Mapping
from typing import Any, TypeVar

from cocasearch.captioned_data.caption_tables import NOT_UTF8, parse_document
from cocasearch.captioned_data.cells import UnreadCell, words
from cocasearch.captioned_data.columns import WantedColumns
from cocasearch.errors import CocaSearchError

SIDECARS = ("txt", "caption")  # in the order in which their captions are put together
METADATA = "json"
_JSON_KEYS = ("caption", "captions", "text", "texts", "description")

_T = TypeVar("_T")


class SampleReader:
    """The reader of the samples of one folder or shard.

    A key is an ending (`txt`, `long.txt`), or a key in a sample's JSON.

    Args:
        name: Name of the folder or shard.
        wanted: The keys that the user names; by default captions are in `.txt` and `.caption`, or else in the JSON.
    """

    def __init__(self, name: str, wanted: WantedColumns) -> None:
        self._name, self._wanted = name, wanted
        self.image_ending, self.caption_ending = (
            (key or "").lower().removeprefix(".") for key in (wanted.image_key, wanted.caption_key)
        )
        self._met: set[str] = set()
        self._seen: dict[str, dict[str, None]] = {"image": {}, "caption": {}}

    @property
    def endings(self) -> set[str]:
        """The endings of files that may hold captions."""
        return {*SIDECARS, METADATA, self.caption_ending} - {""}

    def image(self, images: Mapping[str, _T]) -> _T | None:
        """The image of a sample, given all its images by their endings; None if none is meant.

        Raises:
            UnreadCell: The sample has several.
        """
        self._seen["image"].update(dict.fromkeys(images))
        if self.image_ending in images:
            self._met.add("image")
            return images[self.image_ending]
        if self.image_ending and not self._wanted.or_usual:
            return None
        if len(images) > 1:
            raise UnreadCell(f"it has several images: {', '.join(images)}")
        return next(iter(images.values()), None)

    def captions(self, texts: Mapping[str, bytes]) -> list[str]:
        """The captions of a sample, given the files beside its image by their endings.

        Raises:
            UnreadCell: They are not text, or there is nothing but JSON without a caption.
        """
        key = self._wanted.caption_key
        if key and (named := self._named(key, texts)) is not None:
            return named
        if key and not self._wanted.or_usual:
            return []
        lines = [line for kind in SIDECARS if kind in texts for line in _lines(kind, texts[kind])]
        if lines or not texts.keys() - SIDECARS:
            return lines
        document = _metadata(texts)
        usual = [one for one in _JSON_KEYS if one in document]
        if not usual and texts.keys().isdisjoint(SIDECARS):
            keys = [*(ending for ending in texts if ending != METADATA), *document]
            raise UnreadCell(f"it has no caption; its keys are: {', '.join(keys)}")
        return next((found for one in usual if (found := words(document[one]))), [])

    def _named(self, key: str, texts: Mapping[str, bytes]) -> list[str] | None:
        """The captions under the key that the user names; None if this sample lacks it."""
        seen = self._seen["caption"]
        seen.update(dict.fromkeys(ending for ending in texts if ending != METADATA))
        document = {} if self.caption_ending in texts else _metadata(texts)
        seen.update(dict.fromkeys(document))
        if self.caption_ending in texts:
            cell: object = _lines(self.caption_ending, texts[self.caption_ending])
        elif key in document:
            cell = document[key]
        else:
            return None
        self._met.add("caption")
        return self._wanted.reader(key)(cell)

    def refuse_unmet(self) -> None:
        """Make sure, after the last sample, that each key that the user names was in one.

        Raises:
            CocaSearchError: A key was in none of them.
        """
        for role, key in (("image", self._wanted.image_key), ("caption", self._wanted.caption_key)):
            if key and role not in self._met and self._seen[role] and not self._wanted.or_usual:
                raise CocaSearchError(
                    f"{self._name} has no {role} key {key!r}; its keys are: {', '.join(self._seen[role])}",
                    hint=f"name one of them with --{role}-key, or none",
                )


def _lines(kind: str, content: bytes) -> list[str]:
    """The captions in a text, one in each line."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UnreadCell(f"its .{kind}: {NOT_UTF8}") from error
    return [caption for line in text.splitlines() for caption in words(line)]


def _metadata(texts: Mapping[str, bytes]) -> dict[str, Any]:
    try:
        document = parse_document(texts[METADATA]) if METADATA in texts else {}
    except UnreadCell as error:
        raise UnreadCell(f"its .json: {error}") from error
    if not isinstance(document, dict):
        raise UnreadCell("its .json: it is not a JSON object")
    return document
