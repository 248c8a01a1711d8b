"""Reasons why an image cannot be read, in a few words that mean something to its owner."""

import errno
from pathlib import Path

from PIL import Image, UnidentifiedImageError

from cocasearch.errors import Cause, UnreadableImage
from cocasearch.images.decode_limits import MAX_TEXT, MAX_TEXT_CHUNK, MEGAPIXELS_OF_PIL, SECONDS_PER_FILE
from cocasearch.images.formats import MissingExtraError, format_of, is_installed
from cocasearch.images.timed_reading import OutOfTimeError, TooLargeError, open_regular

_FOREIGN = (  # offset and bytes by which files are known that hold no image
    (4, b"ftyp", "a video, not an image"),
    (0, b"%PDF", "a PDF document, not an image"),
    (0, b"%!PS", "a PostScript document, not an image"),
    (0, b"<svg", "an SVG drawing, not an image"),
    (0, b"<?xml", "an XML document, not an image"),
    (0, b"8BPS", "a Photoshop document, not an image"),
    (0, b"PK\x03\x04", "a ZIP archive, not an image"),
    (0, b"<!DOCTYPE", "a web page, not an image"),
    (0, b"<html", "a web page, not an image"),
)


def refusal(error: Exception, source: Path | bytes) -> UnreadableImage:
    """The error to report for an image that could not be read.

    Args:
        error: The error that reading it led to.
        source: The file, or its bytes.
    """
    name = f"({len(source)} bytes in memory)" if isinstance(source, bytes) else str(source)
    if isinstance(error, UnidentifiedImageError):
        error = _unidentified(source)
    extra = error.extra if isinstance(error, MissingExtraError) else ""
    pixels = error.pixels if isinstance(error, TooLargeError) else 0
    return UnreadableImage(name, _reason(error), cause=cause_of(error), extra=extra, pixels=pixels)


def may_be_around(error: Exception) -> bool:
    """Whether an error may come from damage around the pixels of an image, without which it could be read."""
    is_limit = isinstance(error, TooLargeError | Image.DecompressionBombError) or "MAX_TEXT" in str(error)
    return cause_of(error) == "file" and not is_limit


def why_not_opened(file: Path) -> str:
    """The reason why the system does not let a file be read; empty if it does."""
    try:
        with open_regular(file) as opened:
            opened.read(1)
    except OSError as error:
        return _reason(error)
    return ""


class _ForeignError(Exception):
    """The file is of another kind, or too broken to tell which."""


def cause_of(error: Exception) -> Cause:
    """The cause of an error: the file, the time limit, a missing part or the system."""
    if isinstance(error, MissingExtraError):
        return "extra"
    if isinstance(error, OutOfTimeError):
        return "time"
    from_the_system = isinstance(error, OSError) and error.errno is not None
    return "system" if from_the_system or isinstance(error, MemoryError) else "file"


def _reason(error: Exception) -> str:
    if isinstance(error, OSError) and error.errno is not None:
        return {errno.ENOENT: "no such file", errno.EACCES: "permission denied"}.get(error.errno, str(error.strerror))
    if isinstance(error, TooLargeError | MissingExtraError | _ForeignError):
        return str(error)
    if isinstance(error, OutOfTimeError):
        return f"took more than {SECONDS_PER_FILE:g} seconds to read"
    if isinstance(error, MemoryError):
        return "not enough memory"
    if isinstance(error, Image.DecompressionBombError | Image.DecompressionBombWarning):
        return f"more than {MEGAPIXELS_OF_PIL:g} megapixels"
    if "truncated" in str(error).lower():
        return "truncated"
    if "MAX_TEXT" in str(error):  # PIL's words
        return f"has text of more than {MAX_TEXT_CHUNK >> 20} MB, or {MAX_TEXT >> 20} MB in all, which is too much"
    detail = error.args[0] if isinstance(error, OSError | SyntaxError) and error.args else b""
    return f"damaged ({' '.join(detail.split())[:200]})" if isinstance(detail, str) else "damaged"


def _unidentified(source: Path | bytes) -> Exception:
    """The reason why no decoder recognised the file."""
    try:
        head = source[:64] if isinstance(source, bytes) else _head(source)
    except OSError as error:
        return error
    if not head:
        return _ForeignError("empty file")
    if known := format_of(head):
        is_readable = not known.extra or is_installed(known.extra)
        return _ForeignError(f"damaged {known.title}") if is_readable else MissingExtraError(known.title, known.extra)
    reasons = (why for at, mark, why in _FOREIGN if head.startswith(mark, at))
    return _ForeignError(next(reasons, "not an image that can be read"))


def _head(file: Path) -> bytes:
    with open_regular(file) as opened:
        return opened.read(64)
