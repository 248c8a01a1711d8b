"""Reader of WebDataset shards: tar files in which neighbouring members of the same name are one sample.

Only headers and texts are read; an image stays a byte range of the shard until it is needed, so that shards larger
than memory can be trained on. Captions are those of `.txt` and `.caption`, or `.jpg.txt` as in folders; without these,
of the `.json` beside them.
"""

import itertools
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

from cocasearch.byte_range import ByteRange
from cocasearch.captioned_data.captioned_image import AnyRow, BadRow, Row
from cocasearch.captioned_data.cells import UnreadCell
from cocasearch.captioned_data.columns import WantedColumns
from cocasearch.captioned_data.samples import METADATA, SampleReader
from cocasearch.captioned_data.unicode_names import composed
from cocasearch.errors import CocaSearchError
from cocasearch.images.discovery import is_image_name, is_passed_over

_COPY_AGAIN = "copy it again from where it came, or name the other shards without it"
_COMPRESSED = (b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"BZh", b"\xfd7zX")


@dataclass(frozen=True)
class _Member:
    """An image or a text in a shard.

    Attributes:
        path: Its name, in composed Unicode.
        sample: The name up to the first dot, as WebDataset has it; members that share it belong together.
        content: The byte range of the image in the shard, or the bytes of the text.
    """

    path: str
    sample: str
    content: ByteRange | bytes

    @property
    def stem(self) -> str:
        """The name up to the last dot."""
        return self.path.rpartition(".")[0]

    @property
    def ending(self) -> str:
        """What comes after the last dot."""
        return self.path.rpartition(".")[2].lower()

    @property
    def long_ending(self) -> str:
        """What comes after the first dot: `left.jpg`."""
        return self.path[len(self.sample) + 1 :].lower()


@dataclass
class _Sample:
    """Images and texts that belong together, by their endings."""

    name: str
    images: dict[str, ByteRange] = field(default_factory=dict)
    texts: dict[str, bytes] = field(default_factory=dict)

    def add(self, ending: str, content: ByteRange | bytes) -> None:
        if isinstance(content, ByteRange):
            self.images[ending] = content
        else:
            self.texts[ending] = content

    def row(self, shard: str, reader: SampleReader) -> AnyRow:
        where = f"sample {self.name} of {shard}"
        try:
            return Row(where, reader.image(self.images) or "", self.name, reader.captions(self.texts))
        except UnreadCell as error:
            return BadRow(where, str(error))


def tar_rows(path: Path, name: str, wanted: WantedColumns) -> Iterator[AnyRow]:
    """The samples of a shard.

    Raises:
        CocaSearchError: The file ends too early, is damaged, compressed or not a tar file, or a key that the user
            names is nowhere in it.
    """
    reader = SampleReader(name, wanted)
    try:
        for _, members in itertools.groupby(_members(path, name, reader), key=lambda member: member.sample):
            yield from _rows(list(members), name, reader)
    except tarfile.TarError as error:
        raise _unreadable(path, name, str(error)) from error
    reader.refuse_unmet()


def _members(path: Path, name: str, reader: SampleReader) -> Iterator[_Member]:
    """The images and texts in a shard, in order."""
    member = _Member("", "", b"")
    with tarfile.open(path, "r:") as shard:
        for entry in shard:
            file = PurePosixPath(entry.name)
            if not entry.isreg() or is_passed_over(str(file)):
                continue
            named = _Member(composed(str(file)), composed(str(file.with_name(file.name.partition(".")[0]))), b"")
            endings = {named.ending, named.long_ending}
            if is_image_name(file.name) or reader.image_ending in endings:
                member = replace(named, content=ByteRange(path, entry.offset_data, entry.size))
                yield member
            elif not endings.isdisjoint(reader.endings) and (content := shard.extractfile(entry)):
                member = replace(named, content=content.read())
                yield member
        _refuse_cut_off(path, name, shard.offset, member.sample)


def _rows(members: Sequence[_Member], shard: str, reader: SampleReader) -> Iterator[AnyRow]:
    """The samples among members that share the beginning of their names.

    As in folders, files that differ in their ending alone are one sample, and `1.png.txt` belongs to `1.png` alone. If
    that leaves texts without an image, all members are one sample, as in WebDataset: `1.left.jpg`, `1.right.jpg` and
    `1.txt`.
    """
    images = {member.path: member for member in members if isinstance(member.content, ByteRange)}
    samples: dict[str, _Sample] = {}
    for member in members:
        owner = images.get(member.stem) if member.ending == METADATA else None
        stem = owner.stem if owner else member.stem
        samples.setdefault(stem, _Sample(stem)).add(member.ending, member.content)
    owners = [image for path, image in images.items() if path in samples]
    for image in owners:
        own, shared = samples[image.path], samples[image.stem]
        own.name = image.stem
        own.images[image.ending] = shared.images.pop(image.ending)
        own.texts = {METADATA: shared.texts[METADATA], **own.texts} if METADATA in shared.texts else own.texts
        if not shared.images:
            del samples[image.stem]
    is_bare = len(images) == 1 or not all(sample.texts for sample in samples.values())
    is_one = is_bare and not owners and not all(sample.images for sample in samples.values())
    if is_one or "." in reader.image_ending + reader.caption_ending:
        samples = {"": _Sample(members[0].sample)}
        for member in members:
            samples[""].add(member.long_ending, member.content)
    yield from (sample.row(shard, reader) for sample in samples.values())


def _refuse_cut_off(path: Path, name: str, end: int, last: str) -> None:
    """Make sure that a tar file ends with empty blocks: tarfile takes anything else, or nothing, for the end."""
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
            f"{name} is compressed, and photos are read in place", hint="gunzip, unzstd, bunzip2 or unxz it first"
        )
    return CocaSearchError(f"{name} is cut off, damaged or no tar file: {reason}", hint=_COPY_AGAIN)
