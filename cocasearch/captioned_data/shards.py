"""WebDataset shards: tar files whose members next to each other with the same name are one sample.

Only headers and texts are read; a picture is a part of the shard and is read when it is needed, so that shards larger
than memory can be trained on.
"""

import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from cocasearch.captioned_data.records import BadRow, Found, Row
from cocasearch.captioned_data.sidecars import NOT_A_PICTURE, SIDECAR_SUFFIXES, lines_of
from cocasearch.captioned_data.tables import NOT_UTF8
from cocasearch.errors import CocaSearchError
from cocasearch.file_parts import FilePart


@dataclass
class _Sample:
    name: str
    image: FilePart | None = None
    captions: dict[str, list[str] | None] = field(default_factory=dict)

    def row(self, shard: str) -> Found:
        where = f"sample {self.name} of {shard}"
        captions = [self.captions.get(suffix, []) for suffix in SIDECAR_SUFFIXES]
        if None in captions:
            return BadRow(where, f"its text: {NOT_UTF8}")
        return Row(where, self.image or "", self.name, [line for lines in captions for line in lines or ()])


def tar_rows(path: Path, name: str) -> Iterator[Found]:
    """The samples of a shard.

    Raises:
        CocaSearchError: The file ends too early.
        tarfile.TarError: It is damaged, compressed or no tar file.
    """
    sample, count = _Sample(""), 0
    with tarfile.open(path, "r:") as shard:
        for member in shard:
            if not member.isreg():
                continue
            stem, suffix = _split(member.name)
            if stem != sample.name:
                if sample.name:
                    yield sample.row(name)
                sample, count = _Sample(stem), count + 1
            if suffix in SIDECAR_SUFFIXES:
                file = shard.extractfile(member)
                sample.captions[suffix] = lines_of(file.read()) if file else []
            elif suffix not in NOT_A_PICTURE:
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
        what = "is damaged" if block.strip(b"\0") else "is cut off"
        raise CocaSearchError(f"{name} {what} after sample {last!r}", hint="copy it again from where it came")
