"""Shards in an object store that speaks S3, fetched once to files on this disk.

Training reads its images in random order, many times over, and is resumed: a shard that was fetched stays under
`$COCASEARCH_HOME/shards`, named by address and version (ETag), until the user removes it. Credentials, region and
endpoint are those of the usual AWS variables and files; `AWS_NO_SIGN_REQUEST=true` asks for public objects without any.
"""

import hashlib
import os
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Any

from cocasearch.errors import CocaSearchError
from cocasearch.images.discovery import is_passed_over
from cocasearch.paths import shards_home

SCHEME = "s3://"
SHARD_SUFFIXES = (".parquet", ".tar")
Progress = Callable[[str, int, int], None]
_PIECE = 8 * 1024 * 1024


def fetch(url: str, progress: Progress | None = None) -> Path:
    """The file on this disk that holds an object, which is fetched unless this version of it is here already.

    A fetch that was broken off goes on where it stopped.

    Args:
        url: The object's address.
        progress: Called with what is being fetched, the bytes that are here and the bytes in all.

    Raises:
        CocaSearchError: There is no such object, the store refuses or does not answer, or the disk is full.
    """
    report = progress or (lambda _what, _done, _total: None)
    try:
        with store_of(url).open_input_file(key_of(url)) as remote:
            version = (remote.metadata() or {}).get("ETag", b"").decode(errors="replace")
            digest = hashlib.sha256(f"{url} {version} {remote.size()}".encode()).hexdigest()[:16]
            file = shards_home() / f"{digest}-{PurePosixPath(url).name}"
            if not file.exists():
                _download(remote, file, lambda done, total: report(f"fetching {url}", done, total))
    except OSError as error:
        raise CocaSearchError(f"cannot fetch {url}: {_reason(error)}", hint=_HINT) from error
    return file


def list_objects(prefix: str) -> list[str]:
    """The shards below a prefix, in order of their names.

    Raises:
        CocaSearchError: There is none, or the store refuses or does not answer.
    """
    from pyarrow.fs import FileSelector

    try:
        entries = store_of(prefix).get_file_info(FileSelector(key_of(prefix).rstrip("/")))
    except OSError as error:
        raise CocaSearchError(f"cannot list {prefix}: {_reason(error)}", hint=_HINT) from error
    names = sorted(
        info.path
        for info in entries
        if info.is_file and info.path.lower().endswith(SHARD_SUFFIXES) and not is_passed_over(info.base_name)
    )
    if not names:
        raise CocaSearchError(f"{prefix} holds no shards (.tar or .parquet)")
    return [SCHEME + name for name in names]


_HINT = "AWS_ENDPOINT_URL names another store than Amazon's, AWS_NO_SIGN_REQUEST=true asks without credentials"


def key_of(url: str) -> str:
    """The bucket and key in an address."""
    return url.removeprefix(SCHEME)


def store_of(url: str) -> Any:
    """The file system that an address is on, with the settings of the usual AWS variables and files."""
    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    bucket = key_of(url).split("/")[0]
    return _connect(
        None if endpoint else bucket,
        endpoint,
        os.environ.get("AWS_NO_SIGN_REQUEST", "").lower() in ("1", "true", "yes"),
    )


@cache
def _connect(bucket: str | None, endpoint: str | None, anonymous: bool) -> Any:
    """A connection to the store at an endpoint, or to Amazon's in the region of a bucket."""
    from pyarrow.fs import AwsStandardS3RetryStrategy, S3FileSystem, resolve_s3_region

    return S3FileSystem(
        region=resolve_s3_region(bucket) if bucket else None,
        anonymous=anonymous,
        endpoint_override=endpoint,
        connect_timeout=10,
        request_timeout=60,
        retry_strategy=AwsStandardS3RetryStrategy(max_attempts=4),
    )


def _download(remote: Any, file: Path, progress: Callable[[int, int], None]) -> None:
    """Download a file piece by piece. Processes that do so at once write the same bytes to the same places."""
    file.parent.mkdir(parents=True, exist_ok=True)
    partial = file.with_name(f".{file.name}.partial")
    partial.touch()
    with partial.open("r+b") as local:
        done = local.seek(0, os.SEEK_END)
        while done < remote.size():
            piece = remote.read_at(min(_PIECE, remote.size() - done), done)
            if not piece:
                raise OSError("AWS Error: the answer ended early")
            local.seek(done)
            local.write(piece)
            local.flush()
            done += len(piece)
            progress(done, remote.size())
    with suppress(FileNotFoundError):  # another process was first; what it put there is the same
        partial.replace(file)


def _reason(error: OSError) -> str:
    """The store's own message, taken out of the long sentence of pyarrow's."""
    text = " ".join(str(error).split())
    if isinstance(error, FileNotFoundError):
        return "there is no such object"
    return text.rpartition("AWS Error")[2].strip(" :")[:200] or type(error).__name__
