"""Download of files from the Hugging Face hub to the hub's own cache.

Endpoint, token, cache and offline switch are those of `huggingface_hub` (HF_ENDPOINT, HF_TOKEN, HF_HOME, HF_HUB_CACHE,
HF_HUB_OFFLINE). That library drops what it has when a download breaks off, so large files are fetched here, to a file
named by the checksum that the hub announced. The next try continues it, and once it is complete and its checksum is
right, it moves to the cache.
"""

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cocasearch.atomic_files import write_text
from cocasearch.checkpoints.disk_space import gigabytes, refuse_small_disks, writing
from cocasearch.checkpoints.hub.hub_errors import asking, status_of
from cocasearch.checkpoints.model_files import MOST_CONFIG_BYTES
from cocasearch.errors import CocaSearchError
from cocasearch.paths import expand_home

Progress = Callable[[str, int, int], None]  # what is done, bytes done, bytes in all
_SHA256 = re.compile(r"[0-9a-f]{64}")
_GIT_HASH = re.compile(r"[0-9a-f]{40}")  # of a commit, or of a small file
_BLOCK = 1 << 22
_GO_ON = "the same command goes on from there"


@dataclass(frozen=True)
class HubFile:
    """A file of a repository on this machine; `sha256` is None if the hub announced none."""

    path: Path
    repository: str
    sha256: str | None


@dataclass(frozen=True)
class _Announced:
    """What the hub says about a file before it is fetched."""

    repository: str
    name: str
    url: str
    commit: str
    etag: str
    size: int

    @property
    def folder(self) -> Path:
        """The repository's folder in the hub's cache."""
        from huggingface_hub import constants
        from huggingface_hub.file_download import repo_folder_name

        cache = expand_home(Path(constants.HF_HUB_CACHE))
        return cache / repo_folder_name(repo_id=self.repository, repo_type="model")

    @property
    def blob(self) -> Path:
        """The file in the cache that holds the content."""
        return self.folder / "blobs" / self.etag

    @property
    def lock(self) -> Path:
        """The file that the hub's own library locks while it fetches this content."""
        return self.folder.parent / ".locks" / self.folder.name / f"{self.etag}.lock"

    @property
    def partial(self) -> Path:
        """The file that grows during the download."""
        return self.blob.with_name(f"{self.etag}.cocasearch.incomplete")


def refuse_odd_repository(repository: str) -> None:
    """Make sure that a repository can have this name.

    Raises:
        CocaSearchError: It cannot.
    """
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]

    try:
        validate_repo_id(repository)
    except HFValidationError as error:
        message = (
            f"'{repository}' cannot be a repository: letters, digits, '-', '_' and '.' alone, as in OWNER/REPOSITORY"
        )
        raise CocaSearchError(message) from error


def fetch(
    repository: str, names: Sequence[str], progress: Progress, *, room_for: Mapping[Path, int] | None = None
) -> HubFile:
    """The first of several files that a repository has, from the hub's cache or else from the hub.

    Args:
        repository: Its name, "owner/name".
        names: Names of files, the best first.
        progress: Called with what is being done, the bytes done and the bytes in all.
        room_for: Bytes that will be written afterwards, by folder; a download that leaves no room is not begun.

    Raises:
        CocaSearchError: It cannot be fetched, or is damaged. A download that broke off is kept for the next try.
    """
    try:
        announced = _ask(repository, names)
    except CocaSearchError:
        if cached := _cached(repository, names):
            return _checked(cached, repository, progress)
        raise
    if announced is None:
        raise CocaSearchError(f"{repository} has no {' and no '.join(names)}")
    return _checked(_linked(announced, progress, dict(room_for or {})), repository, progress)


def fetch_small(repository: str, name: str, most_bytes: int = MOST_CONFIG_BYTES) -> Path | None:
    """A small file of a repository; None if it has none of that name.

    Raises:
        CocaSearchError: The repository cannot be read, or the file is larger than `most_bytes`.
    """
    try:
        announced = _ask(repository, (name,))
    except CocaSearchError:
        if cached := _cached(repository, (name,)):
            return cached
        raise
    if announced and announced.size > most_bytes:
        raise CocaSearchError(f"{name} of {repository} has more than {most_bytes / 1e6:,.0f} MB")
    return _linked(announced, lambda *_: None) if announced else None


def _ask(repository: str, names: Sequence[str]) -> _Announced | None:
    """The first of several files that a repository has. It is asked for once: the hub's library retries for minutes."""
    from huggingface_hub import get_hf_file_metadata, hf_hub_url
    from huggingface_hub.errors import RepositoryNotFoundError

    with asking(repository) as endpoint:
        for name in names:
            try:
                metadata = get_hf_file_metadata(hf_hub_url(repository, name))
            except Exception as error:
                if status_of(error) == 404 and not isinstance(error, RepositoryNotFoundError):
                    continue
                raise
            commit, etag, size = metadata.commit_hash or "", metadata.etag or "", metadata.size
            # Both become names of files, so nothing else than the hub gives is taken.
            is_named = _GIT_HASH.fullmatch(commit) and (_SHA256.fullmatch(etag) or _GIT_HASH.fullmatch(etag))
            if not is_named or size is None or size < 0:
                raise CocaSearchError(f"{endpoint} answers, but not as the Hugging Face hub does")
            return _Announced(repository, name, hf_hub_url(repository, name, revision=commit), commit, etag, size)
    return None


def _cached(repository: str, names: Sequence[str]) -> Path | None:
    from huggingface_hub import try_to_load_from_cache

    paths = (try_to_load_from_cache(repository, name) for name in names)
    return next((Path(path) for path in paths if isinstance(path, str)), None)


def _linked(announced: _Announced, progress: Progress, room_for: dict[Path, int] | None = None) -> Path:
    """The file under its own name in the hub's cache, which is fetched unless its content is there."""
    from huggingface_hub.file_download import _create_symlink

    if not announced.blob.exists():
        _download(announced, room_for or {}, progress)
    # The hub's own library would ask again, and take whatever name it is told then.
    file, branch = announced.folder / "snapshots" / announced.commit / announced.name, announced.folder / "refs/main"
    with writing(announced.folder):
        for path in (file, branch):
            path.parent.mkdir(parents=True, exist_ok=True)
        write_text(branch, announced.commit)
        if not file.exists():
            _create_symlink(str(announced.blob), str(file))
    return file


def _download(announced: _Announced, room_for: dict[Path, int], progress: Progress) -> None:
    from huggingface_hub.utils import WeakFileLock  # type: ignore[attr-defined]

    partial = announced.partial
    for folder in (partial.parent, announced.lock.parent):
        with writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
    try:
        with WeakFileLock(announced.lock, timeout=1):
            _fill(announced, room_for, progress)
            if _SHA256.fullmatch(announced.etag):
                _refuse_wrong_sum(partial, announced.etag, announced.name, progress)
            partial.rename(announced.blob)
    except TimeoutError as error:
        raise CocaSearchError(f"{announced.name} of {announced.repository} is being downloaded already") from error


def _fill(announced: _Announced, room_for: dict[Path, int], progress: Progress) -> None:
    """Download the rest of a file."""
    from huggingface_hub.file_download import http_get
    from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined]

    partial = announced.partial
    present = partial.stat().st_size if partial.exists() else 0
    if present > announced.size:
        partial.unlink()
        present = 0
    refuse_small_disks({**room_for, partial.parent: announced.size - present})
    try:
        with asking(announced.repository), writing(partial), partial.open("ab") as out:
            http_get(
                announced.url,
                out,
                resume_size=present,
                headers=build_hf_headers(library_name="cocasearch"),
                expected_size=announced.size,
                tqdm_class=_meter(progress),
            )
    except CocaSearchError as error:
        present = partial.stat().st_size if partial.exists() else 0
        broke_off = f"the download broke off at {gigabytes(present)} of {gigabytes(announced.size)}: {error}"
        raise CocaSearchError(broke_off, hint=error.hint or _GO_ON) from error


def _meter(progress: Progress) -> Any:
    """A progress bar's class, as far as the hub's library uses one, that calls `progress`."""

    class Meter:
        def __init__(self, *, total: int, initial: int = 0, **_settings: object) -> None:
            self.total, self.n = total, initial

        def __enter__(self) -> "Meter":
            return self

        def __exit__(self, *_error: object) -> None:
            pass

        def update(self, count: int) -> None:
            self.n += count
            progress("downloading", self.n, self.total)

    return Meter


def _checked(path: Path, repository: str, progress: Progress) -> HubFile:
    """A file of the cache, whose content is checked if its name there is a checksum."""
    expected = path.readlink().name if path.is_symlink() else ""
    if not _SHA256.fullmatch(expected):
        return HubFile(path, repository, None)
    blob = path.parent / path.readlink()
    _refuse_wrong_sum(blob, expected, path.name, progress)
    return HubFile(path, repository, expected)


def _refuse_wrong_sum(file: Path, expected: str, name: str, progress: Progress) -> None:
    digest, size, done = hashlib.sha256(), file.stat().st_size, 0
    with file.open("rb") as opened:
        while block := opened.read(_BLOCK):
            digest.update(block)
            done += len(block)
            progress("checking", done, size)
    if digest.hexdigest() != expected:
        file.resolve().unlink()
        file.unlink(missing_ok=True)
        raise CocaSearchError(
            f"{name} did not have the checksum that the hub announces, and was removed", hint="the same command again"
        )
