"""Which columns of a table hold pictures and words, and how a cell becomes captions."""

from collections.abc import Callable
from dataclasses import dataclass

from cocasearch.errors import CocaSearchError

IMAGE_COLUMNS = ("filepath", "image", "path", "file_name", "filename", "image_name", "image_path", "img", "file")
CAPTION_COLUMNS = ("title", "caption", "captions", "text", "comment", "description")
LABEL_COLUMNS = ("name", "names", "label")


class NotWordsError(ValueError):
    """A cell that should hold words holds something else."""


@dataclass(frozen=True)
class WantedColumns:
    """The columns that the user means; None for the usual names.

    With `or_usual` they are of other data, and the usual names do where these lack the columns.

    Raises:
        CocaSearchError: A label template without a place for the label.
    """

    image_key: str | None = None
    caption_key: str | None = None
    label_template: str | None = None
    or_usual: bool = False

    def __post_init__(self) -> None:
        if self.label_template is not None and "{name}" not in self.label_template:
            raise CocaSearchError(f"the label template {self.label_template!r} has no place for the {{name}}")

    def choose(self, name: str, found: list[str]) -> tuple[str, str]:
        """The image and the caption column among those found in the file of this name.

        Raises:
            CocaSearchError: One of them is not there.
        """
        image = self._pick(name, found, "image", self.image_key, IMAGE_COLUMNS)
        return image, self._pick(name, found, "caption", self.caption_key, CAPTION_COLUMNS + LABEL_COLUMNS)

    def _pick(self, name: str, found: list[str], role: str, key: str | None, usual: tuple[str, ...]) -> str:
        if key in found:
            return key
        by_name = {
            column.lower(): column for column in reversed(found)
        }  # of several that differ in case only, the first
        for column in () if key and not self.or_usual else usual:
            if column in by_name:
                return by_name[column]
        if not found:
            raise CocaSearchError(f"{name} is empty")
        missing = f"no column {key!r}" if key else f"no {role} column"
        listed = ", ".join(found)
        headless = any("." in column or " " in column for column in found)  # rows where names should be
        raise CocaSearchError(
            f"{name} has {missing}; its columns are: {listed if len(listed) <= 300 else listed[:297] + '...'}",
            hint=(f"call it {key} or {usual[0]}" if key and self.or_usual else f"name it with --{role}-key COLUMN")
            + (", or name the columns in a first line: filepath,title" if headless else ""),
        )

    def reader(self, column: str) -> Callable[[object], list[str]]:
        """What turns a cell of the caption column into captions; for labels, into one at most.

        It raises `NotWordsError`.
        """
        if column.lower() not in LABEL_COLUMNS and (self.label_template is None or column != self.caption_key):
            return words
        template = self.label_template or "{name}"

        def read_label(cell: object) -> list[str]:
            names = ",".join(words(cell)).split(",")
            return [template.replace("{name}", name.strip()) for name in names if name.strip()][:1]

        return read_label


def words(cell: object) -> list[str]:
    """The texts of a cell: none, one, or a list of them.

    Raises:
        NotWordsError: It holds something else.
    """
    cells = cell if isinstance(cell, list) else [] if cell is None else [cell]
    texts = [text for text in cells if isinstance(text, str)]
    if len(texts) < len(cells):
        raise NotWordsError(f"{shortened(cell)} is not words")
    return [text.strip() for text in texts if text.strip()]


def shortened(cell: object) -> str:
    """A cell as it can stand in a sentence."""
    text = repr(cell)
    return text if len(text) <= 60 else f"{text[:57]}..."
