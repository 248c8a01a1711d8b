"""A run copied to another place as it grows, and brought back from there: a folder, or whatever pyarrow reaches.

`s3://bucket/runs`, `gs://…`, `file:///…` or a plain folder. Each file arrives under another name first, so that a copy
that is broken off replaces nothing.
"""

import os
import shutil
import time
import warnings
from collections.abc import Sequence, Set
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

from cocasearch.captioned_data.object_store import SCHEME, key_of, store_of
from cocasearch.errors import CocaSearchError, CocaSearchWarning, first_line

MINUTES_BETWEEN = 5.0
_ARRIVING = ".arriving"
_NEVER = (-1, -1)  # sent, by size and time of change


class RemoteSync:
    """Keeps copies of folders below a remote place.

    Args:
        address: The place.
        folders: What is copied there, each below its own name.

    Raises:
        CocaSearchError: The place cannot be reached.
    """

    def __init__(self, address: str, folders: Sequence[Path]) -> None:
        self._address, self._folders = address, list(folders)
        self._store, self._base = _open(address)
        self._sent = {file: _NEVER for folder in folders for file in _files_in(folder)}  # brought from there, maybe
        self._last = time.monotonic()
        self._copier = ThreadPoolExecutor(1)
        self._copying: Future[str] | None = None
        self._is_due = self._has_warned = False

    def step(self, *, now: bool) -> None:
        """Copy what has changed, at once or if the last time was some minutes ago, while the run goes on.

        What fails is reported once, and tried again the next time.
        """
        if self._copying and self._copying.done():
            self._warn(self._copying.result())
            self._copying = None
        self._is_due |= now or time.monotonic() - self._last >= 60 * MINUTES_BETWEEN
        if self._is_due and not self._copying:
            self._is_due, self._last = False, time.monotonic()
            self._copying = self._copier.submit(self._copy_changes)

    def stop(self) -> None:
        """Copy what has changed, since the run ends before its time; what fails then is reported in any case."""
        if failure := self.copy():
            warnings.warn(f"{failure}; all of it is here", CocaSearchWarning, stacklevel=2)

    def copy(self) -> str:
        """Copy what has changed, and wait for that; a sentence on what stood in the way, empty if nothing did."""
        if self._copying:
            self._warn(self._copying.result())
            self._copying = None
        return self._copier.submit(self._copy_changes).result()

    def _warn(self, failure: str) -> None:
        if failure and not self._has_warned:
            self._has_warned = True
            warnings.warn(f"{failure}; the run goes on, and it is tried again", CocaSearchWarning, stacklevel=3)

    def _copy_changes(self) -> str:
        try:
            for folder in self._folders:
                self._send(folder)
        except OSError as error:
            return f"cannot copy the run to {self._address}: {first_line(error)}"
        return ""

    def _send(self, folder: Path) -> None:
        files = _files_in(folder)
        for file in files:
            name = file.relative_to(folder).as_posix()
            if not file.is_file() or file.suffix in (".partial", ".lock"):
                continue
            try:
                status = file.stat()
                state = status.st_size, status.st_mtime_ns  # before it is read: what changes meanwhile is sent again
                if self._sent.get(file) != state:
                    _copy(file, self._store, f"{self._base}/{folder.name}/{name}")
                    self._sent[file] = state
            except FileNotFoundError:
                if file.exists():
                    raise
                continue  # the run has removed it meanwhile
        if files:  # else the folder is being replaced
            self._forget_what_is_gone(folder, set(files))

    def _forget_what_is_gone(self, folder: Path, present: Set[Path]) -> None:
        for file in [file for file in self._sent if file.is_relative_to(folder) and file not in present]:
            del self._sent[file]
            target = f"{self._base}/{folder.name}/{file.relative_to(folder).as_posix()}"
            if self._store.get_file_info(target).is_file:
                self._store.delete_file(target)


def bring_back(address: str, folders: Sequence[Path]) -> list[Path]:
    """Fetch those folders that are at a remote place and not here, and name them: a run goes on on another machine.

    Each folder is here as a whole or not at all.

    Raises:
        CocaSearchError: The place cannot be reached.
    """
    store, base = _open(address)
    try:
        return [folder for folder in folders if not folder.exists() and _fetch(store, f"{base}/{folder.name}", folder)]
    except OSError as error:
        raise CocaSearchError(
            f"cannot fetch the run from {address}: {first_line(error)}", hint="the same command tries again"
        ) from error


def _fetch(store: Any, top: str, folder: Path) -> bool:
    """Whether there is a remote folder, which is here then."""
    from pyarrow.fs import FileSelector, LocalFileSystem, copy_files

    contents = store.get_file_info(FileSelector(top, recursive=True, allow_not_found=True))
    files = [info.path for info in contents if info.is_file and not info.path.endswith(_ARRIVING)]
    arriving = folder.with_name(folder.name + _ARRIVING)
    shutil.rmtree(arriving, ignore_errors=True)
    if not files:
        return False
    arriving.mkdir(parents=True)
    copy_files(top, str(arriving), store, LocalFileSystem())
    for leftover in arriving.rglob(f"*{_ARRIVING}"):  # of a copy that was broken off
        leftover.unlink()
    arriving.rename(folder)
    return True


def _files_in(folder: Path) -> list[Path]:
    """All that is anywhere below a folder, in order; a run that goes on may remove folders while they are listed."""

    def unless_gone(error: OSError) -> None:
        if not isinstance(error, FileNotFoundError):
            raise error

    return sorted(Path(top, name) for top, _, names in os.walk(folder, onerror=unless_gone) for name in names)


def _open(address: str) -> tuple[Any, str]:
    from pyarrow.fs import FileSystem

    try:
        if address.startswith(SCHEME) and not set(address) & {"?", "@"}:  # neither settings nor a key in it
            store, base = store_of(address), key_of(address)
        else:
            store, base = FileSystem.from_uri(address if "://" in address else Path(address).resolve().as_uri())
        store.create_dir(base, recursive=True)
    except (OSError, ValueError) as error:
        raise CocaSearchError(
            f"cannot reach {address}: {first_line(error)}",
            hint="--remote-sync FOLDER, file:///FOLDER or s3://BUCKET/FOLDER",
        ) from error
    return store, base.rstrip("/")


def _copy(local: Path, store: Any, target: str) -> None:
    from pyarrow.fs import LocalFileSystem, copy_files

    store.create_dir(target.rpartition("/")[0], recursive=True)
    copy_files(str(local), target + _ARRIVING, LocalFileSystem(), store)
    store.move(target + _ARRIVING, target)
