"""Every error a user can cause, each one sentence that says what, which and how to go on.

`CocaSearchError` (exit code 1) is the root: the request failed. `UnreadableImage` is one image that could not be
read; a run names it and continues. `NothingFound` (exit code 3) is an empty answer to a fine request.
"""

from typing import ClassVar, Literal

Cause = Literal["file", "time", "extra", "system"]
"""What stands between a file and its pixels: the file itself, the time that one may take, an optional part of this
package that is not installed, or the disk, a permission or the memory."""

LONGEST_MESSAGE = 300
"""Characters of what is said at once, whatever it quotes."""


class CocaSearchError(Exception):
    """A failure that a user can understand and mend.

    Args:
        message: One sentence: what went wrong, with which file, name or value; cut in its middle where that is long.
        hint: How to go on, best as the exact next command.
    """

    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(shortened(message, LONGEST_MESSAGE))
        self.hint = hint and shortened(hint, LONGEST_MESSAGE)


class CocaSearchWarning(UserWarning):
    """What a user should know of work that goes on all the same, in one sentence."""


class NothingFound(CocaSearchError):  # noqa: N818  an outcome, not a fault
    """The request was understood and nothing matches it: no images in a folder, no hits for a query."""

    exit_code = 3


class ToldByAnother(CocaSearchError):  # noqa: N818  nothing more to say
    """The failure of a job of several processes, of which another of them tells."""


class UnreadableImage(CocaSearchError):  # noqa: N818  a finding about a file
    """One image that cannot be turned into pixels.

    Args:
        path: The file, or the row of a data file, as the user knows it.
        reason: Why, in a few words: "truncated", "not an image".
        cause: What stood in the way.
        extra: Name of the part that is missing, if that did.
        pixels: How many the image has, if those were more than its reader allowed.
    """

    def __init__(self, path: str, reason: str, *, cause: Cause = "file", extra: str = "", pixels: int = 0) -> None:
        super().__init__(f"cannot read image {path}: {reason}")
        self.path = path
        self.reason = reason
        self.cause = cause
        self.extra = extra
        self.pixels = pixels


def first_line(error: BaseException) -> str:
    """What another's error says, in one line: some go on for pages. The name of its class if it says nothing."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)


def shortened(text: str, longest: int) -> str:
    """The text in so many characters at most, with an ellipsis for what is missing from its middle."""
    if len(text) <= longest:
        return text
    tail = (longest - 1) // 4
    return f"{text[: longest - 1 - tail]}…{text[-tail:]}"
