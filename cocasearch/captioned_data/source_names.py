"""The files that a source names: several joined by `::`, lists in braces, objects in a store."""

import itertools
import math
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from cocasearch.captioned_data.object_store import SCHEME, Progress, fetch, list_objects
from cocasearch.errors import CocaSearchError

MOST_FILES = 100_000
_BRACES = re.compile(r"\{([^{}]+)\}")
_RANGE = re.compile(r"^(\d{1,18})\.\.(\d{1,18})$")  # no longer than what Python counts


@dataclass(frozen=True)
class SourceFile:
    """A file or folder of captioned data, and its name as the user wrote it."""

    path: Path
    name: str


def source_files(source: str | Path, progress: Progress | None = None) -> list[SourceFile]:
    """The files and folders that a source names, in order; objects of a store are fetched first.

    Raises:
        CocaSearchError: A file is not there, a list in braces is wrong, or the store does not give an object.
    """
    if os.path.exists(source):  # noqa: PTH110  a name may hold braces, and be longer than any file's
        return [SourceFile(Path(source), str(source))]
    names = [name for part in str(source).split("::") for name in _expand(part.strip()) if name]
    if not names:
        raise CocaSearchError("the name of the captioned data is empty")
    if any(not name.removeprefix(SCHEME).strip("/") for name in names):
        raise CocaSearchError(f"{source} names no bucket", hint="s3://BUCKET/FOLDER/ or s3://BUCKET/SHARD.tar")
    names = [item for name in names for item in (list_objects(name) if _is_prefix(name) else [name])]
    gone = [name for name in names if not name.startswith(SCHEME) and not os.path.exists(name)]  # noqa: PTH110
    if gone:
        others = f" and at {len(gone) - 1} other places of {len(names)}" if len(gone) > 1 else ""
        raise CocaSearchError(f"there is no captioned data at {gone[0]}{others}")
    return [SourceFile(fetch(name, progress) if name.startswith(SCHEME) else Path(name), name) for name in names]


def _is_prefix(name: str) -> bool:
    return name.startswith(SCHEME) and (name.endswith("/") or not PurePosixPath(name).suffix)


def _expand(text: str) -> Iterator[str]:
    """The texts that braces stand for, one for each combination of choices: `a{1..3}b`, `{x,y}`."""
    pieces = _BRACES.split(text)  # outside, inside, outside, …
    choices = [_choices(piece) if place % 2 else [piece] for place, piece in enumerate(pieces)]
    count = math.prod(map(len, choices))
    if count > MOST_FILES:
        raise CocaSearchError(f"{text} names {count:,} files, and {MOST_FILES:,} are the most")
    return ("".join(parts) for parts in itertools.product(*choices))


def _choices(inside: str) -> list[str]:
    bounds = _RANGE.match(inside)
    if bounds is None:
        return inside.split(",")
    first, last = bounds.groups()
    if int(first) > int(last):
        raise CocaSearchError(f"{{{inside}}} ends before it begins")
    width = len(first) if first.startswith("0") or len(first) == len(last) else 0
    numbers = range(int(first), int(last) + 1)
    if len(numbers) > MOST_FILES:
        raise CocaSearchError(f"{{{inside}}} names {len(numbers):,} files, and {MOST_FILES:,} are the most")
    return [str(number).zfill(width) for number in numbers]
