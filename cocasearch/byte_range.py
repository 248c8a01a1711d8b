"""A file that lies whole inside another, as an image does in an uncompressed archive: read when it is needed."""

import hashlib
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class ByteRange:
    """Some bytes of a file.

    Args:
        file: The file around it.
        offset: Where it begins, in bytes.
        size: Its length in bytes.
    """

    file: Path
    offset: int
    size: int

    def read(self) -> bytes:
        """The bytes.

        Raises:
            OSError: The file around it is gone, cannot be read, or ends too early.
        """
        with self.file.open("rb") as file:
            file.seek(self.offset)
            content = file.read(self.size)
        if len(content) < self.size:
            raise OSError(f"{self.file} has become shorter")
        return content


ImageSource = Path | bytes | ByteRange
"""Where an image is: in a file, in memory, or in a part of a file."""


def shown_content(source: ImageSource) -> object:
    """What tells an image from another one of its name: the size of a file, the digest of bytes in memory."""
    if isinstance(source, bytes):
        return hashlib.blake2b(source, digest_size=8).hexdigest()
    if isinstance(source, Path):
        return source.stat().st_size if source.is_file() else -1
    return (source.offset, source.size)
