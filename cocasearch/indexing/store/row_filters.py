"""SQL conditions that choose rows of the image table for what the package itself has to do with them."""

from collections.abc import Iterator, Sequence

from cocasearch.inference.caption_confidence import SURE_FROM

ROWS_PER_CHANGE = 2_000

PRESENT = "missing_since IS NULL"  # a row whose file was not found has a time there
WITHOUT_CAPTION = "caption IS NULL"
AWAITING_CAPTION = "caption IS NULL AND caption_by IS NULL"  # where a person has taken a caption away, none is missed
UNSURE = f"caption IS NOT NULL AND caption_confidence < {SURE_FROM}"
JUDGED = "caption_confidence IS NOT NULL"
UNJUDGED = "caption IS NOT NULL AND caption_confidence IS NULL AND caption_by = 'model'"
BY_PEOPLE = "caption IS NOT NULL AND caption_by = 'human'"
WITH_REMARK = "remark IS NOT NULL"
SETTLED_BY_PEOPLE = "caption_by = 'human'"


def conditions(values: Sequence[str] | Sequence[int], column: str = "id") -> Iterator[str]:
    """Conditions that together choose the rows with these values, hexadecimal or numbers, in a column."""
    for start in range(0, len(values), ROWS_PER_CHANGE):
        yield f"{column} IN ({', '.join(map(repr, values[start : start + ROWS_PER_CHANGE]))})"


def below(root: str, path: str) -> str:
    """The condition that a row is of the file at `path` in a root, or of one below it; of the whole root if empty."""
    quoted = path.replace("'", "''")
    in_root = f"root = '{root}'"
    return f"{in_root} AND (path = '{quoted}' OR starts_with(path, '{quoted}/'))" if path else in_root
