"""The captions or the image in a cell of a table or a value in JSON."""

import ast
import base64
import json
import math
import re
import urllib.parse
from typing import Any

from cocasearch.errors import shortened
from cocasearch.images.discovery import is_image_name
from cocasearch.images.formats import format_of

_NULLS = {"nan", "NaN", "null", "NULL", "None", "<NA>"}
_TEXT_KEYS = ("raw", "caption", "text", "sentence")
_CONTENT_KEYS = ("bytes", "data", "base64")
_NAME_KEYS = ("path", "file_name", "filename", "filepath", "image_path", "url", "src")

_LITERAL = r'"(?:[^"\\]|\\.)*"|\'(?:[^\'\\]|\\.)*\''
_LIST = re.compile(rf"[\[({{](?:[\s,]*(?:{_LITERAL}|None|null|nan|NaN))*[\s,]*[\])}}]", re.DOTALL)
_LIKE_A_LIST = re.compile(r"\[\s*[\[{\"'].*\]", re.DOTALL)

_BASE64 = re.compile(r"[A-Za-z0-9+/_\s-]{60,}={0,2}\s*")
_LONGEST_NAME, _LONGEST_PATH = 255, 4096  # bytes; no file has a longer one


class UnreadCell(ValueError):  # noqa: N818  a finding about a cell
    """A cell that does not hold what it should; the message says what it holds."""


def words(cell: object) -> list[str]:
    """The texts in a cell: none, one, or several in a list, also one that is written as text; empty ones are skipped.

    Raises:
        UnreadCell: It holds something else.
    """
    if cell is None or (isinstance(cell, float) and math.isnan(cell)):
        return []
    if isinstance(cell, list | tuple):
        return [text for item in cell for text in words(item)]
    if isinstance(cell, dict) and (known := [key for key in _TEXT_KEYS if key in cell]):
        return words(cell[known[0]])
    try:
        text = cell.decode() if isinstance(cell, bytes) else cell
    except UnicodeDecodeError as error:
        raise _unread(cell, "UTF-8") from error
    if not isinstance(text, str):
        raise _unread(cell, "words")
    return _words_in_text(text.strip())


def _words_in_text(text: str) -> list[str]:
    if _LIST.fullmatch(text):
        return [item for literal in re.findall(_LITERAL, text, re.DOTALL) for item in words(_unquoted(literal))]
    if _LIKE_A_LIST.fullmatch(text):
        raise _unread(text, "a list of words, though it looks like one")
    return [text] if text and text not in _NULLS else []


def image_in(cell: object) -> tuple[str, bytes]:
    """The path and the bytes of the image in a cell, either of which may be empty.

    Raises:
        UnreadCell: It holds something else, or several images.
    """
    if cell is None or (isinstance(cell, float) and math.isnan(cell)):
        return "", b""
    if isinstance(cell, bytes):
        text = cell.decode() if cell.isascii() else ""
        return _image_in_text(text) if is_image_name(text) or _BASE64.fullmatch(text) else ("", cell)
    if isinstance(cell, str):
        return _image_in_text(cell.strip())
    if isinstance(cell, dict):
        return _image_in_struct(cell)
    if isinstance(cell, list) and cell and all(isinstance(item, int) for item in cell):
        return "", _bytes_of(cell)
    if isinstance(cell, list):
        images = [image for image in map(image_in, cell) if any(image)]
        if len(images) > 1:
            raise UnreadCell(f"{len(images)} images are in one cell, where one is read")
        return images[0] if images else ("", b"")
    raise _unread(cell, "a path")


def _image_in_text(text: str) -> tuple[str, bytes]:
    if text.startswith("data:"):
        kind, _, content = text.partition(",")
        if not kind.endswith(";base64"):
            raise _unread(text, "an image in base64")
        return "", _decoded(content)
    if text[:5].lower() == "file:":
        text = urllib.parse.unquote(urllib.parse.urlsplit(text).path)
    elif _BASE64.fullmatch(text) and (len(text) > _LONGEST_NAME or _begins_an_image(text)):
        return "", _decoded(text)
    longest = max(len(part.encode(errors="surrogateescape")) for part in text.split("/"))
    if longest > _LONGEST_NAME or len(text) > _LONGEST_PATH or "\0" in text:
        raise _unread(text, "a path")
    return text, b""


def _image_in_struct(cell: dict[str, Any]) -> tuple[str, bytes]:
    known = [key for key in (*_CONTENT_KEYS, *_NAME_KEYS) if key in cell]
    if not known:
        raise _unread(cell, "an image")
    content = next((cell[key] for key in known if key in _CONTENT_KEYS and cell[key]), None)
    names = [cell[key] for key in known if key in _NAME_KEYS and isinstance(cell[key], str)]
    name, _ = image_in(names[0] if names else None)
    return name, image_in(content)[1]


def _bytes_of(numbers: list[int]) -> bytes:
    try:
        return bytes(numbers)
    except ValueError as error:
        raise _unread(numbers, "an image's bytes") from error


def _decoded(text: str) -> bytes:
    plain = "".join(text.split()).rstrip("=").translate({ord("-"): "+", ord("_"): "/"})
    try:
        return base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)
    except ValueError as error:
        raise _unread(text, "an image in base64") from error


def _begins_an_image(text: str) -> bool:
    return format_of(_decoded("".join(text[:60].split())[:24])) is not None


def _unquoted(literal: str) -> object:
    """The value of a text in quotation marks, whether JSON or Python wrote it."""
    for read in (json.loads, ast.literal_eval):
        try:
            return read(literal)
        except (ValueError, SyntaxError):
            continue
    return literal[1:-1]


def _unread(cell: object, wanted: str) -> UnreadCell:
    shown = repr(cell[:200] if isinstance(cell, str | bytes | list) else cell)
    return UnreadCell(f"{shortened(shown, 60)} is not {wanted}")
