"""A file inside another, such as an image in an uncompressed archive, which is read when it is needed."""

import hashlib
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class ByteRange:
    """A range of bytes in a file.

    Args:
        file: The file that holds it.
        offset: Where it begins, in bytes.
        size: Its length in bytes.
    """

    file: Path
    offset: int
    size: int

    def read(self) -> bytes:
        """The bytes.

        Raises:
            OSError: The file is gone, cannot be read, or ends too early.
        """
        with self.file.open("rb") as file:
            file.seek(self.offset)
            content = file.read(self.size)
        if len(content) < self.size:
            raise OSError(f"{self.file} has become shorter")
        return content


ImageSource = Path | bytes | ByteRange
"""The place of an image: a file, bytes in memory, or a range of bytes in a file."""


def shown_content(source: ImageSource) -> object:
    """A value that differs between images of one name: the size of a file, or the digest of bytes in memory."""
    if isinstance(source, bytes):
        return hashlib.blake2b(source, digest_size=8).hexdigest()
    if isinstance(source, Path):
        return source.stat().st_size if source.is_file() else -1
    return (source.offset, source.size)
