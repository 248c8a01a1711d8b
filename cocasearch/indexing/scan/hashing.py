"""Hashes of the files that a plan looks into.

They are kept in the index folder until a run has used them: the plan of a run that was stopped, with a terabyte to
read, goes on from there.
"""

import json
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from pathlib import Path

from cocasearch.indexing.scan.file_comparison import Candidate
from cocasearch.indexing.store.records import hash_file
from cocasearch.json_values import parse_json

_FILE = "hashes.jsonl"
_WORKERS = 4  # threads that wait for the disk

FileVersion = tuple[str, int, int]
"""Whole path, size and time of change (ns) of a file."""


class Hashes:
    """The hashes of files by whole path, size and time of change.

    Args:
        index: The index folder, where those of a stopped run are.
        keep: Whether to write there. A disk that does not take it is no error.
    """

    def __init__(self, index: Path, *, keep: bool) -> None:
        self._file = index / _FILE
        self._keep = keep
        self._known = dict(_read(self._file))

    def hashes_of(self, files: Sequence[Candidate], roots: Mapping[str, Path]) -> Iterator[tuple[Candidate, str]]:
        """Each file with its hash, empty if it cannot be read."""
        versions = [(str(roots[file.root] / file.path), file.size, file.mtime_ns) for file in files]
        hashes = hash_files(Path(version[0]) for version in versions if version not in self._known)
        with closing(hashes):
            for file, version in zip(files, versions, strict=True):
                content_hash = self._known[version] if version in self._known else next(hashes)
                if self._keep and content_hash and version not in self._known:
                    self._append(version, content_hash)
                yield file, content_hash

    def _append(self, file: FileVersion, content_hash: str) -> None:
        with suppress(OSError), self._file.open("a", encoding="utf-8") as kept:
            kept.write(json.dumps([*file, content_hash]) + "\n")


def hash_files(files: Iterable[Path]) -> Generator[str, None, None]:
    """The hash of each file, empty if it cannot be read."""
    with ThreadPoolExecutor(_WORKERS, thread_name_prefix="hash") as pool:
        try:
            yield from pool.map(_hash, files)
        finally:  # one who stops waits for the files in hand alone
            pool.shutdown(cancel_futures=True)


def _hash(file: Path) -> str:
    try:
        return hash_file(file)
    except OSError:  # reading it in earnest will tell why
        return ""


def forget_hashes(index: Path) -> None:
    """Remove the hashes that are kept: the table knows them now."""
    (index / _FILE).unlink(missing_ok=True)


def _read(file: Path) -> Iterator[tuple[FileVersion, str]]:
    with suppress(OSError), file.open(encoding="utf-8", errors="replace") as kept:
        for line in kept:
            with suppress(ValueError, TypeError):  # a killed run may have broken one off
                path, size, mtime_ns, content_hash = parse_json(line)
                if [*map(type, (path, size, mtime_ns, content_hash))] == [str, int, int, str]:
                    yield (path, size, mtime_ns), content_hash
