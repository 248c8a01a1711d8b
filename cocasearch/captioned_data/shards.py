"""WebDataset shards: tar files whose members next to each other with the same name are one sample.

Only headers and texts are read; a picture is a part of the shard and is read when it is needed, so that shards larger
than memory can be trained on. Captions are those of `.txt` and `.caption`, or `.jpg.txt` as in folders; without these,
of the `.json` beside them.
"""

import json
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from cocasearch.captioned_data.columns import NotWordsError, words
from cocasearch.captioned_data.records import BadRow, Found, Row
from cocasearch.captioned_data.sidecars import NOT_A_PICTURE, SIDECAR_SUFFIXES, lines_of
from cocasearch.captioned_data.tables import NOT_UTF8
from cocasearch.errors import CocaSearchError
from cocasearch.file_parts import FilePart

_JSON_KEYS = ("caption", "text")
_COPY_AGAIN = "copy it again from where it came, or name the other shards without it"
_COMPRESSED = (b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"BZh", b"\xfd7zX")


@dataclass
class _Sample:
    name: str
    picture: str = ""  # the name of the member that is it
    image: FilePart | None = None
    captions: dict[str, list[str] | None] = field(default_factory=dict)
    metadata: bytes | None = None

    def row(self, shard: str) -> Found:
        where = f"sample {self.name} of {shard}"
        if None in self.captions.values():
            return BadRow(where, f"its text: {NOT_UTF8}")
        captions = [line for suffix in SIDECAR_SUFFIXES for line in self.captions.get(suffix) or ()]
        if not captions and self.metadata is not None:
            try:
                captions = _captions_of_json(self.metadata)
            except (ValueError, RecursionError):
                return BadRow(where, "its .json is not a JSON object with words as caption or text")
        return Row(where, self.image or "", self.name, captions)


def _captions_of_json(content: bytes) -> list[str]:
    """The captions in a sample's metadata; a `ValueError`, such as `NotWordsError`, if they are not to be had."""
    document = json.loads(content)
    if not isinstance(document, dict):
        raise NotWordsError("not an object")
    return next((found for key in _JSON_KEYS if (found := words(document.get(key)))), [])


def tar_rows(path: Path, name: str) -> Iterator[Found]:
    """The samples of a shard.

    Raises:
        CocaSearchError: The file ends too early, is damaged, compressed or no tar file.
    """
    try:
        yield from _samples(path, name)
    except tarfile.TarError as error:
        raise _unreadable(path, name, str(error)) from error


def _samples(path: Path, name: str) -> Iterator[Found]:
    sample = _Sample("")
    with tarfile.open(path, "r:") as shard:
        for member in shard:
            if not member.isreg():
                continue
            stem, suffix = _split(member.name)
            is_of_whole_name = suffix in SIDECAR_SUFFIXES and stem == sample.picture
            if stem != sample.name and not is_of_whole_name:
                if sample.name:
                    yield sample.row(name)
                sample = _Sample(stem)
            if suffix in SIDECAR_SUFFIXES:
                file = shard.extractfile(member)
                found = lines_of(file.read()) if file else []
                if is_of_whole_name or suffix not in sample.captions:
                    sample.captions[suffix] = found
            elif suffix == ".json":
                file = shard.extractfile(member)
                sample.metadata = file.read() if file else None
            elif suffix not in NOT_A_PICTURE:
                sample.picture = str(PurePosixPath(member.name))
                sample.image = FilePart(path, member.offset_data, member.size)
        _refuse_cut_off(path, name, shard.offset, sample.name)
    if sample.name:
        yield sample.row(name)


def _split(member: str) -> tuple[str, str]:
    path = PurePosixPath(member)
    return str(path.with_suffix("")), path.suffix.lower()


def _refuse_cut_off(path: Path, name: str, end: int, last: str) -> None:
    """Tar files end with empty blocks; tarfile takes whatever else comes, and nothing at all, for the end."""
    with path.open("rb") as file:
        file.seek(end)
        block = file.read(tarfile.BLOCKSIZE)
    if len(block) < tarfile.BLOCKSIZE or block.strip(b"\0"):
        what = "is cut off" if len(block) < tarfile.BLOCKSIZE else "is damaged"
        raise CocaSearchError(f"{name} {what} after sample {last!r}", hint=_COPY_AGAIN)


def _unreadable(path: Path, name: str, reason: str) -> CocaSearchError:
    with path.open("rb") as file:
        head = file.read(4)
    if head.startswith(_COMPRESSED):
        return CocaSearchError(
            f"{name} is compressed, and pictures are read in place", hint="gunzip, unzstd, bunzip2 or unxz it first"
        )
    return CocaSearchError(f"{name} is cut off, damaged or no tar file: {reason}", hint=_COPY_AGAIN)
