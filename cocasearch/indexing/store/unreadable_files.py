"""The files that could not be read, so that each is named once and tried again only when it has changed."""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from cocasearch.atomic_files import write_text
from cocasearch.errors import Cause, CocaSearchError
from cocasearch.images.decode_limits import MAX_MEGAPIXELS
from cocasearch.images.formats import is_installed
from cocasearch.indexing.store.location import UNREADABLE_FILE, AnyIndex, IndexLocation
from cocasearch.json_values import build, parse_json


@dataclass(frozen=True, slots=True)
class UnreadableFile:
    """A file that could not be read, as it was then: where, why, and its size and time of change (ns).

    `cause`, `extra` and `pixels` are those of `UnreadableImage`.
    """

    root: str
    path: str
    reason: str
    size: int
    mtime_ns: int
    cause: Cause = "file"
    extra: str = ""
    pixels: int = 0


class UnreadableFiles:
    """The unreadable files of one index, by root and path. `save` writes changes, at once and only if there are any.

    Args:
        index: The index.
        name: Of the list: that of its table, or of one that is being made to take the place of that.

    Raises:
        CocaSearchError: The list is damaged.
    """

    def __init__(self, index: AnyIndex, name: str = UNREADABLE_FILE) -> None:
        self._file = IndexLocation.of(index).folder / name
        self._entries = {(entry.root, entry.path): entry for entry in _read_entries(self._file)}
        self._changed = False

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[UnreadableFile]:
        return iter(self._entries.values())

    def file_stats(self, max_megapixels: float = MAX_MEGAPIXELS) -> dict[tuple[str, str], tuple[int, int] | None]:
        """Size and time of change of each file, by root and path; None if it is worth another try, though unchanged.

        So it is if the system refused the file or it took too long, the extra is there now that it needs, or it had too
        many pixels and `max_megapixels` allows as many.
        """
        extras = {entry.extra for entry in self if entry.cause == "extra"}
        installed = set(filter(is_installed, extras))

        def is_hopeful(entry: UnreadableFile) -> bool:
            is_allowed = 0 < entry.pixels <= max_megapixels * 1e6
            return is_allowed or entry.cause in ("system", "time") or entry.extra in installed

        return {
            place: None if is_hopeful(entry) else (entry.size, entry.mtime_ns) for place, entry in self._entries.items()
        }

    def refused(self) -> dict[tuple[str, str], str]:
        """The reason of each file that the system has refused, by root and path."""
        return {place: entry.reason for place, entry in self._entries.items() if entry.cause == "system"}

    def add(self, entry: UnreadableFile) -> None:
        """Note a file that could not be read."""
        self._entries[entry.root, entry.path] = entry
        self._changed = True

    def discard(self, root: str, path: str) -> None:
        """Forget a file that can be read now, or is gone."""
        if self._entries.pop((root, path), None) is not None:
            self._changed = True

    def save(self) -> None:
        """Write the list, if anything changed since it was read or saved."""
        if self._changed:
            rows = [asdict(self._entries[key]) for key in sorted(self._entries)]
            write_text(self._file, json.dumps(rows, indent=1))
            self._changed = False

    def rename(self, name: str) -> None:
        """Put the saved list in the place of the one called `name`."""
        target = self._file.with_name(name)
        if self._file.exists():
            self._file.replace(target)
        else:
            target.unlink(missing_ok=True)
        self._file = target


def _read_entries(file: Path) -> list[UnreadableFile]:
    try:
        return [build(UnreadableFile, row) for row in parse_json(file.read_text(encoding="utf-8"))]
    except FileNotFoundError:
        return []
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise CocaSearchError(f"the list of unreadable files {file} is damaged: {error}", hint=f"rm {file}") from error
