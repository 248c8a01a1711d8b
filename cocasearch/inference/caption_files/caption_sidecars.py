"""Captions in a text file beside each image: `dog.jpg` has `dog.txt`.

A list in each folder, `.cocasearch-captions`, tells side-cars that were written here from those that people wrote. It
has the name of each side-car, the SHA-256 of its content, and the confidence of the caption. One that was edited since
counts as a person's. Lines are only ever added, so that runs that end early or run side by side lose nothing.
"""

import hashlib
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import NamedTuple

from cocasearch.atomic_files import replacing
from cocasearch.captioned_data.samples import SIDECARS
from cocasearch.captioned_data.sidecars import SidecarNames
from cocasearch.errors import CocaSearchError
from cocasearch.images.discovery import is_image_name
from cocasearch.inference.caption_files.caption_sinks import CaptionRecord, is_below

LIST_FILE = ".cocasearch-captions"


class Sidecars:
    """A sink of captions into a text file beside each image, or `dog.jpg.txt` if other images have its stem.

    Side-cars that hold anything are kept; empty ones are filled.

    Args:
        overwrite: Whether captions that were written here, and not edited since, are replaced.
        overwrite_all: Whether captions of people are replaced, too; a copy, `dog.txt.bak`, is kept.
        below: Confidence, from 0 to 1, below which captions that were written here are replaced.

    Attributes:
        kept: Images whose caption would have been replaced if it were not a person's.
        set_aside: Copies that were made.
        nobodys: Side-cars that could belong to several images, and belong to none now that these have their own.
    """

    def __init__(self, *, overwrite: bool = False, overwrite_all: bool = False, below: float | None = None) -> None:
        self.kept: set[Path] = set()
        self.set_aside: list[Path] = []
        self.nobodys: set[Path] = set()
        self._overwrite, self._overwrite_all, self._below = overwrite, overwrite_all, below
        self._folders: dict[Path, _Folder] = {}

    def has(self, image: Path, model: str, decoding: str) -> bool:
        """Whether an image has a caption that is kept.

        Raises:
            CocaSearchError: Its folder, or a side-car of it, cannot be read.
        """
        folder = self._folder(image)
        with _reporting(image.parent, "look into"):
            captions = [text for text in folder.sidecars_of(image) if not _is_empty(text)]
            written = [one for text in captions if (one := folder.written(text))]
        if not captions or self._overwrite_all:
            return False
        if len(written) < len(captions):
            if self._overwrite or self._below is not None:
                self.kept.add(image)
            return True
        return not (self._overwrite or any(is_below(one.confidence, self._below) for one in written))

    def add(self, record: CaptionRecord) -> None:
        """Write one caption beside its image, in one step, unless a person has written one meanwhile.

        Raises:
            CocaSearchError: It cannot be written.
        """
        image = Path(record.path)
        if self.has(image, record.model, record.decoding):
            return
        folder = self._folder(image)
        with _reporting(folder.path_for(image)):
            old = folder.sidecars_of(image)
            for text in old:
                if not (_is_empty(text) or folder.written(text)):
                    self.set_aside.append(_copy(text))
            folder.write(image, record.caption, record.caption_confidence)
            for text in {*old} - {folder.path_for(image)}:
                text.unlink()
        self.nobodys.update(folder.unclear(image))

    def finish(self) -> None:
        """Do nothing: each caption is complete when it is added."""

    def _folder(self, image: Path) -> "_Folder":
        if image.parent not in self._folders:
            with _reporting(image.parent, "look into"):
                self._folders[image.parent] = _Folder(image.parent)
        return self._folders[image.parent]


class _Written(NamedTuple):
    sha256: str
    confidence: float | None


class _Folder:
    """The side-cars of one folder, and what is known of those that were written here."""

    def __init__(self, folder: Path) -> None:
        files = [file for file in folder.iterdir() if not file.name.startswith(".")]
        self._texts = [file for file in files if file.suffix.lower()[1:] in SIDECARS and file.is_file()]
        self._names = SidecarNames((file for file in files if is_image_name(file.name)), self._texts)
        self._list = folder / LIST_FILE
        self._written = dict(_listed(self._list))

    def sidecars_of(self, image: Path) -> list[Path]:
        """The side-cars that an image has now."""
        return [text for text in {*self._names.sidecars_of(image), self.path_for(image)} if text.is_file()]

    def path_for(self, image: Path) -> Path:
        """The path that an image's caption is written to."""
        texts = [text for text in self._names.sidecars_of(image) if text.suffix.lower() == ".txt"]
        return texts[0] if texts else self._names.path_for(image)

    def unclear(self, image: Path) -> list[Path]:
        """The side-cars of the image's stem that belong to no image."""
        stem = image.with_suffix("")
        return [text for text in self._texts if text.with_suffix("") == stem and self._names.why_nobodys(text)]

    def written(self, text: Path) -> _Written | None:
        """The entry of a side-car in the list; None if its content is not what was written here."""
        last = self._written.get(text.name)
        return last if last and last.sha256 == _digest(text.read_bytes()) else None

    def write(self, image: Path, caption: str, confidence: float | None) -> None:
        text, content = self.path_for(image), f"{caption}\n".encode()
        written = self._written[text.name] = _Written(_digest(content), confidence)
        with self._list.open("a", encoding="utf-8") as lines:  # first: what is listed and not written does no harm
            lines.write(json.dumps({"file": text.name, **written._asdict()}) + "\n")
        with replacing(text) as partial:
            partial.write_bytes(content)


def _listed(file: Path) -> Iterator[tuple[str, _Written]]:
    """The entries of a folder's list; a line that was cut short is ignored."""
    for line in file.read_text(encoding="utf-8", errors="replace").splitlines() if file.is_file() else []:
        try:
            row = json.loads(line)
            yield row["file"], _Written(row["sha256"], row["confidence"])
        except (ValueError, TypeError, KeyError):
            continue


def _is_empty(text: Path) -> bool:
    return not text.read_bytes().decode("utf-8-sig", errors="replace").strip()


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _copy(text: Path) -> Path:
    """Copy a side-car beside itself, under a name that is free."""
    names = (text.with_name(f"{text.name}{f'.{number}' if number > 1 else ''}.bak") for number in count(1))
    copy = next(name for name in names if not name.exists())
    shutil.copy2(text, copy)
    return copy


@contextmanager
def _reporting(path: Path, doing: str = "write") -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise CocaSearchError(f"cannot {doing} {path}: {str(error.strerror or error).lower()}") from error
