"""A reader of files for decoding that notices which of them change while they are read."""

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from cocasearch.errors import CocaSearchError
from cocasearch.images.discovery import file_stat, status_of
from cocasearch.indexing.scan.file_comparison import Candidate
from cocasearch.indexing.store.records import hash_file


class Reading(NamedTuple):
    """A file with size and time as they were before it was read, and the hash of what was read; empty if none was."""

    file: Candidate
    content_hash: str


class CarefulReader:
    """Hashes files in the decoding threads, so that decoding finds them in the system's file cache.

    Args:
        roots: Present folder of each root by its key.
    """

    def __init__(self, roots: Mapping[str, Path]) -> None:
        self._roots = roots
        self._readings: dict[Candidate, Reading] = {}

    def path(self, file: Candidate) -> Path:
        """Where a file lies."""
        return self._roots[file.root] / file.path

    def open(self, file: Candidate) -> Path:
        """The file to decode, hashed."""
        path = self.path(file)
        with suppress(OSError):  # decoding will say what is wrong with it
            size, mtime_ns = file_stat(path.stat())
            self._readings[file] = Reading(file._replace(size=size, mtime_ns=mtime_ns), hash_file(path))
        return path

    def finish(self, file: Candidate) -> tuple[Reading, bool]:
        """How the file was read, which is then forgotten, and whether it is still as it was then."""
        reading = self._readings.pop(file, Reading(file, ""))
        try:
            now = file_stat(self.path(file).stat())
        except OSError:
            return reading, False
        return reading, bool(reading.content_hash) and now == (reading.file.size, reading.file.mtime_ns)

    def is_there(self, file: Candidate) -> bool:
        """Whether there is still a file, or the system does not say."""
        try:
            return status_of(self.path(file)) is not None
        except CocaSearchError:
            return True
