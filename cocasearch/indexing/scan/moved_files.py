"""Finds out which files have only been moved, copied or touched: their content is known, and keeps vector and caption.

Reads the files whose size is one that the table knows, and compares their hashes with those of its rows.
"""

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import NamedTuple

from cocasearch.errors import CocaSearchError
from cocasearch.images.discovery import status_of
from cocasearch.indexing.scan.changes import Change
from cocasearch.indexing.scan.file_comparison import Candidate
from cocasearch.indexing.scan.folder_scan import Scan
from cocasearch.indexing.scan.known_files import Place

_FILES_AT_ONCE = 2_000

Progress = Callable[[int, int], None]
"""Called with the number of files done and their total."""


class Reuse(NamedTuple):
    """A file whose content the table knows, with the hash of that and the place of a row that has it."""

    file: Candidate
    content_hash: str
    source_row: Place


class MovedFiles:
    """The files of a scan whose content the index knows.

    Attributes:
        reuses: Files that were moved, copied or touched.
        unknown: Files whose content is not known.
        taken: Places whose row a moved file takes over.
    """

    def __init__(self, scan: Scan) -> None:
        kinds = (Change.MOVED, Change.COPIED, Change.TOUCHED)
        self.reuses: dict[Change, list[Reuse]] = {change: [] for change in kinds}
        self.unknown: list[Candidate] = []
        self.taken: set[Place] = set()
        self._scan, self._roots = scan, scan.coverage.roots
        self._absent = {*scan.files.places[Change.GONE], *scan.files.places[Change.MISSING]}

    def match(self, files: Sequence[Candidate], progress: Progress | None, *, keep_hashes: bool) -> None:
        """Find out what files hold, and which rows hold the same.

        Args:
            files: Those that may have been moved, copied or touched.
            progress: Called with the number of files looked into and their total.
            keep_hashes: Whether to note in the index folder what files hold.
        """
        base = self._scan.state.base
        if not (files and base):
            return
        from cocasearch.indexing.scan.hashing import Hashes
        from cocasearch.indexing.store.table import IndexTable  # brings LanceDB, which most runs do without

        index = self._scan.state.index
        table, hashes = IndexTable(index, base.table), Hashes(index, keep=keep_hashes)
        for start in range(0, len(files), _FILES_AT_ONCE):
            hashed: dict[Candidate, str] = {}
            for file, content_hash in hashes.hashes_of(files[start : start + _FILES_AT_ONCE], self._roots):
                hashed[file] = content_hash
                if progress:
                    progress(start + len(hashed), len(files))
            places: dict[str, list[Place]] = defaultdict(list)
            for content_hash, root, path in table.places_with(sorted(set(filter(None, hashed.values())))):
                places[content_hash].append((root, path))
            for file, content_hash in hashed.items():
                self._sort(file, content_hash, sorted(places.get(content_hash, ())))

    def _sort(self, file: Candidate, content_hash: str, places: list[Place]) -> None:
        """Sort a file by the places of the rows with its content."""
        own = file.root, file.path
        if not places:
            self.unknown.append(file)
        elif own in places:
            self.reuses[Change.TOUCHED].append(Reuse(file, content_hash, own))
        elif place := next((place for place in places if self._is_free(place, file)), None):
            self.taken.add(place)
            self.reuses[Change.MOVED].append(Reuse(file, content_hash, place))
        else:
            self.reuses[Change.COPIED].append(Reuse(file, content_hash, places[0]))

    def _is_free(self, place: Place, file: Candidate) -> bool:
        """Whether a file can take over a row: the one of the row is not there, or is this one in a root around."""
        root, path = place
        if place in self.taken or place in self._absent:
            return place not in self.taken
        if root not in self._roots:
            return False
        whole_path = self._roots[root] / path
        try:
            return whole_path == self._roots[file.root] / file.path or status_of(whole_path) is None
        except CocaSearchError:  # the system does not say
            return False
