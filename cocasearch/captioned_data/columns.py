"""The choice of the columns of a table that hold images and captions."""

from collections.abc import Callable
from dataclasses import dataclass

from cocasearch.captioned_data.cells import words
from cocasearch.errors import CocaSearchError

IMAGE_COLUMNS = ("filepath", "image", "image_path", "path", "file_name", "filename", "image_name", "img", "file")
CAPTION_COLUMNS = ("title", "caption", "captions", "text", "texts", "comment", "description", "raw", "sentences")
LABEL_COLUMNS = ("name", "names", "label")


@dataclass(frozen=True)
class WantedColumns:
    """The columns that the user names; None for the usual names.

    With `or_usual` the names are meant for other data, and the usual names are taken where these data lack them.

    Raises:
        CocaSearchError: The label template has no place for the label.
    """

    image_key: str | None = None
    caption_key: str | None = None
    label_template: str | None = None
    or_usual: bool = False

    def __post_init__(self) -> None:
        if self.label_template is not None and "{name}" not in self.label_template:
            raise CocaSearchError(f"the label template {self.label_template!r} has no place for the {{name}}")

    def choose(self, name: str, header: list[str]) -> tuple[str, str]:
        """The image column and the caption column in a file's header; `name` is the file's.

        Raises:
            CocaSearchError: One of them is missing or there twice, or both would be the same.
        """
        image, caption = self.image(name, header), self.caption(name, header)
        if image == caption:
            raise CocaSearchError(
                f"{name} would give its photos and its captions from one column: {image}",
                hint="--image-key COLUMN and --caption-key COLUMN name two",
            )
        return image, caption

    def image(self, name: str, header: list[str], usual: tuple[str, ...] = IMAGE_COLUMNS) -> str:
        """The image column, as for `choose`."""
        return self._pick(name, header, "image", self.image_key, usual)

    def caption(self, name: str, header: list[str], usual: tuple[str, ...] = CAPTION_COLUMNS + LABEL_COLUMNS) -> str:
        """The caption column, as for `choose`."""
        return self._pick(name, header, "caption", self.caption_key, usual)

    def refuse_keys(self, name: str, what: str) -> None:
        """Make sure that no key was given for data without columns, which have `what` instead.

        Raises:
            CocaSearchError: One was given, and is meant for these data.
        """
        role, key = ("image", self.image_key) if self.image_key else ("caption", self.caption_key)
        if key and not self.or_usual:
            raise CocaSearchError(
                f"{name} has no column {key!r}: it has {what}", hint=f"the same command without --{role}-key"
            )

    def _pick(self, name: str, header: list[str], role: str, key: str | None, usual: tuple[str, ...]) -> str:
        columns = [column for column in header if column == key]
        for one in () if columns or (key and not self.or_usual) else usual:
            columns = columns or [column for column in header if column.lower() == one]
        if len(columns) > 1:
            differ = len(set(columns)) > 1
            raise CocaSearchError(
                f"{name} has {len(columns)} {role} columns: {', '.join(columns)}",
                hint=f"name one with --{role}-key COLUMN" if differ else "give all but one of them other names",
            )
        if columns:
            return columns[0]
        if not header:
            raise CocaSearchError(f"{name} is empty")
        missing = f"no column {key!r}" if key else f"no {role} column"
        headless = any("." in column or " " in column for column in header)  # rows where names should be
        raise CocaSearchError(
            f"{name} has {missing}; its columns are: {', '.join(header)}",
            hint=(f"call it {key} or {usual[0]}" if key and self.or_usual else f"name it with --{role}-key COLUMN")
            + (", or name the columns in a first line: filepath,title" if headless else ""),
        )

    def reader(self, column: str) -> Callable[[object], list[str]]:
        """The function that turns a cell of the caption column into captions; for labels, into at most one.

        It raises `UnreadCell`.
        """
        if column.lower() not in LABEL_COLUMNS and (self.label_template is None or column != self.caption_key):
            return words
        template = self.label_template or "{name}"

        def read_label(cell: object) -> list[str]:
            names = ",".join(words(cell)).split(",")
            return [template.replace("{name}", name.strip()) for name in names if name.strip()][:1]

        return read_label
