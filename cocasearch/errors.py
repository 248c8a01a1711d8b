"""The errors that a user can cause. Each is one sentence: what went wrong, with which thing, and how to go on.

`CocaSearchError` (exit code 1) is the root: the request failed. `UnreadableImage` is one image that could not be
read; a run names it and continues. `NothingFound` (exit code 3) is an empty answer to a fine request.
"""

from typing import ClassVar, Literal

Cause = Literal["file", "time", "extra", "system"]
"""What keeps a file from being read: the file itself, the time limit for one file, an optional part of this package
that is not installed, or the system (the disk, a permission, the memory)."""

LONGEST_MESSAGE = 300
"""The number of characters that a message is cut to, since it may quote anything."""


class CocaSearchError(Exception):
    """A failure that a user can understand and do something about.

    Args:
        message: One sentence: what went wrong, with which file, name or value. A long one is cut in its middle.
        hint: How to go on, where possible the exact next command.
    """

    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(shortened(message, LONGEST_MESSAGE))
        self.hint = hint and shortened(hint, LONGEST_MESSAGE)


class CocaSearchWarning(UserWarning):
    """One sentence that a user should read about work that goes on all the same."""


class NothingFound(CocaSearchError):  # noqa: N818  an outcome, not a fault
    """A request that was understood and that nothing matches: no images in a folder, no hits for a query."""

    exit_code = 3


class ReportedByAnother(CocaSearchError):  # noqa: N818  nothing more to say
    """The failure of a job of several processes that another of them reports."""


class UnreadableImage(CocaSearchError):  # noqa: N818  a finding about a file
    """An image that cannot be turned into pixels.

    Args:
        path: The file, or the row of a data file, as the user knows it.
        reason: Why, in a few words: "truncated", "not an image".
        cause: What kept it from being read.
        extra: Name of the optional part that is missing, if that is the cause.
        pixels: Number of pixels, if there are more than the caller allows.
    """

    def __init__(self, path: str, reason: str, *, cause: Cause = "file", extra: str = "", pixels: int = 0) -> None:
        super().__init__(f"cannot read image {path}: {reason}")
        self.path = path
        self.reason = reason
        self.cause = cause
        self.extra = extra
        self.pixels = pixels


def first_line(error: BaseException) -> str:
    """The first line of an error of another library, since some run to pages; the name of its class if it is empty."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)


def shortened(text: str, longest: int) -> str:
    """The text in at most `longest` characters, with an ellipsis in place of its middle if that is cut out."""
    if len(text) <= longest:
        return text
    tail = (longest - 1) // 4
    return f"{text[: longest - 1 - tail]}…{text[-tail:]}"
