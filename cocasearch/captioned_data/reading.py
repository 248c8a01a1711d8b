"""Reading of captioned data of any layout: rows of one image are put together, bad ones are skipped or refused."""

import csv
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa

from cocasearch.byte_range import ByteRange, ImageSource
from cocasearch.captioned_data.annotations import json_rows, text_rows
from cocasearch.captioned_data.caption_tables import delimited_rows, jsonl_rows, parquet_rows
from cocasearch.captioned_data.captioned_image import AnyRow, BadRow, CaptionedData, CaptionedImage, Row
from cocasearch.captioned_data.columns import WantedColumns
from cocasearch.captioned_data.duplicates.exact_copies import same_content
from cocasearch.captioned_data.object_store import SHARD_SUFFIXES, Progress
from cocasearch.captioned_data.shards import tar_rows
from cocasearch.captioned_data.sidecars import sidecar_rows
from cocasearch.captioned_data.source_names import SourceFile, source_files
from cocasearch.captioned_data.unicode_names import FilesByName
from cocasearch.counting import pluralize
from cocasearch.errors import CocaSearchError, first_line
from cocasearch.images.discovery import GIVE_LINKED, LINKED_FOLDER, is_passed_over


def read_captioned_data(
    source: str | Path,
    *,
    image_key: str | None = None,
    caption_key: str | None = None,
    label_template: str | None = None,
    or_usual: bool = False,
    images: Path | None = None,
    split: str | None = None,
    progress: Progress | None = None,
) -> CaptionedData:
    """The images of a source with their captions; rows of the same image are put together.

    Relative image paths start at the data file's folder. Rows without an image or words, rows that cannot be
    understood and images that do not exist are skipped and listed; a file in which most rows cannot be understood is
    refused. A label column (`name`, `names`, `label`) gives its first synonym: "goldfish, Carassius
    auratus" is "goldfish".

    Args:
        source: A data file, a folder of shards or of images with side-cars, or several files: see the package.
        image_key: Name of the image column, if it is not a usual one; in shards and folders the ending of images.
        caption_key: Name of the caption column, likewise; in shards and folders the ending of texts, or a key of the
            JSON.
        label_template: Words around a label, such as "a photo of a {name}". The column named by `caption_key` is then
            read as labels, while the usual caption columns stay as they are.
        or_usual: Whether the usual names are taken where the source lacks the named columns.
        images: The folder that relative image paths start at, instead of the data file's.
        split: The one of Karpathy's splits to read.
        progress: Called while objects are fetched from a store, with the object, the bytes here and the bytes in all.

    Raises:
        CocaSearchError: The source is missing, of an unknown kind, lacks a column, is damaged, holds no captions, or
            not one of its images exists.
    """
    reader = _Reader(WantedColumns(image_key, caption_key, label_template, or_usual), images, split)
    gathered = _Gathered()
    files = source_files(source, progress)
    for file in files:
        gathered.add_all(file, reader.rows(file), images or (file.path if file.path.is_dir() else file.path.parent))
    data = gathered.data(str(source))
    if not data.images:
        raise _nothing(data, files[0].path, images)
    return data


@dataclass(frozen=True)
class _Reader:
    """The reader of files of any layout, with what the user said about all of them."""

    wanted: WantedColumns
    images: Path | None
    split: str | None

    def rows(self, file: SourceFile) -> Iterator[AnyRow]:
        try:
            if not file.path.is_dir():
                yield from self._file_rows(file)
                return
            shards = _files_in(file.path, SHARD_SUFFIXES)
            for shard in shards:
                yield from self._file_rows(SourceFile(shard, str(shard)))
            if not shards:
                yield from sidecar_rows(file.path, self.wanted)
        except (OSError, UnicodeDecodeError, csv.Error, pa.ArrowException) as error:
            raise CocaSearchError(f"cannot read {file.name}: {first_line(error)}") from error

    def _file_rows(self, file: SourceFile) -> Iterator[AnyRow]:
        path, name = file.path, file.name
        match path.suffix.lower():
            case ".csv" | ".tsv":
                return delimited_rows(path, name, self.wanted)
            case ".txt" | ".token":
                return text_rows(path, name, self.wanted, self.images)
            case ".jsonl" | ".ndjson":
                return jsonl_rows(path, name, self.wanted)
            case ".json":
                return json_rows(path, name, self.wanted, self.split, self.images)
            case ".parquet":
                return parquet_rows(path, name, self.wanted)
            case ".tar":
                return tar_rows(path, name, self.wanted)
        raise CocaSearchError(f"{name} is of no known kind of captioned data", hint=_KINDS)


@dataclass
class _Gathered:
    """The rows read so far, put together by image."""

    keys: dict[ImageSource, str] = field(default_factory=dict)
    captions: dict[ImageSource, list[str]] = field(default_factory=dict)
    bad_rows: list[BadRow] = field(default_factory=list)
    files: FilesByName = field(default_factory=FilesByName)

    def add_all(self, file: SourceFile, rows: Iterator[AnyRow], folder: Path) -> None:
        good, broken = 0, list[BadRow]()
        for row in rows:
            if isinstance(row, BadRow):
                broken.append(row)
                self.bad_rows.append(row)
            else:
                good += 1
                self._add(row, folder)
        if len(broken) > good:
            first = broken[0]
            raise CocaSearchError(
                f"{len(broken)} of {pluralize(good + len(broken), 'row')} of {file.name} cannot be understood, "
                f"beginning with {first.where}: {first.reason}",
                hint=_mending(first.reason),
            )

    def _add(self, row: Row, folder: Path) -> None:
        if not row.image or not row.captions:
            self.bad_rows.append(BadRow(row.where, "no caption" if row.image else "no photo"))
            return
        image = folder / row.image if isinstance(row.image, str) else row.image
        image = self.files.find(image) if isinstance(image, Path) else image
        self.keys.setdefault(image, row.key)
        self.captions.setdefault(image, []).extend(row.captions)

    def data(self, source: str) -> CaptionedData:
        self._unite_samples()
        data = CaptionedData(source, [], self.bad_rows)
        for image, captions in self.captions.items():
            if isinstance(image, Path) and not os.path.isfile(image):  # noqa: PTH113  twice as quick, for each image
                data.missing.append(BadRow(self.keys[image], _why_missing(image, self.keys[image])))
            else:
                data.images.append(CaptionedImage(image, self.keys[image], tuple(captions)))
        return data

    def _unite_samples(self) -> None:
        """Unite samples of the same bytes: shards may hold an image once for each of its captions."""
        parts = [image for image in self.captions if isinstance(image, ByteRange)]
        for first, *others in same_content(parts):
            for other in others:
                self.captions[parts[first]].extend(self.captions.pop(parts[other]))


_ADDRESS = "an address, not a file"
_DOWNLOAD = "download the photos first, and name their files in the table"


def _why_missing(image: Path, key: str) -> str:
    if "://" in key:
        return _ADDRESS
    if "\\" in key and Path(str(image).replace("\\", "/")).is_file():
        return "no such file: it has \\ where this system has / in paths"
    return "a folder, not a file" if image.is_dir() else "no such file"


_MENDING = {  # words of a reason -> how to go on where most rows have it
    "words": "name another column with --caption-key",
    "has no caption; its keys": "name one of them with --caption-key",
    "several images": "name one of them with --image-key",
    **dict.fromkeys(("not a p", "one cell"), "name another column with --image-key"),
    LINKED_FOLDER: GIVE_LINKED,
    "cells": "put captions that hold the separator in quotation marks",
    "UTF-8": "iconv -f latin1 -t utf-8 would convert it from Latin-1",
}


def _mending(reason: str) -> str | None:
    return next((hint for words, hint in _MENDING.items() if words in reason), None)


_TABLES = (".csv", ".tsv", ".jsonl", ".parquet")
_READ_BY_NAME = (".csv", ".tsv", ".jsonl", ".ndjson", ".json", ".token", ".parquet")
_NAMED = 6  # data files in a hint
_UNSORTED = "a photo and its text must lie next to each other in a shard, as tar --sort=name puts them"
_KINDS = (
    "give a .csv, .tsv, .jsonl, .parquet or .tar file, captions of COCO or Flickr, "
    "or a folder of photos with .txt side-cars"
)


def _nothing(data: CaptionedData, path: Path, images: Path | None) -> CocaSearchError:
    """The error for a source without a single image."""
    if data.missing:
        first = data.missing[0]
        folder = images or (path if path.is_dir() else path.parent)
        whose = "the folder given with --images" if images else "the data file's folder"
        return CocaSearchError(
            f"not one of {pluralize(len(data.missing), 'photo')} of {data.source} is there, "
            f"beginning with {first.where}: {first.reason}",
            hint=_DOWNLOAD if first.reason == _ADDRESS else f"relative paths start at {whose}, {folder.resolve()}",
        )
    if path.suffix.lower() in _TABLES and not data.bad_rows:
        return CocaSearchError(
            f"{data.source} holds no captioned photos: it has no rows",
            hint="one for each caption: the photo, and its words",
        )
    files = _data_files(path) if path.is_dir() else []
    hint = f"give one of the data files in it: {', '.join(map(str, files[:_NAMED]))}" if files else _KINDS
    if not data.bad_rows:
        return CocaSearchError(f"{data.source} holds no captioned photos", hint=hint)
    first = data.bad_rows[0]
    if path.suffix.lower() == ".tar":
        is_torn = any(bad.reason == "no photo" for bad in data.bad_rows)
        hint = _UNSORTED if is_torn else "captions are in .txt, .caption or .json; name others with --caption-key"
    message = f"{data.source} holds no captioned photos: {first.where}: {first.reason}"
    return CocaSearchError(message, hint=_mending(first.reason) or hint)


def _data_files(folder: Path) -> list[Path]:
    """The data files in a folder or, if it has none, in its subfolders, relative to it."""
    for below in ([folder], _folders_in(folder)):
        if files := [file.relative_to(folder) for part in below for file in _files_in(part, _READ_BY_NAME)]:
            return files
    return []


def _folders_in(folder: Path) -> list[Path]:
    readable = (path for path in folder.iterdir() if path.is_dir() and os.access(path, os.R_OK | os.X_OK))
    return sorted(path for path in readable if not is_passed_over(path.name))


def _files_in(folder: Path, suffixes: tuple[str, ...]) -> list[Path]:
    """The files with these suffixes in a folder, without hidden ones."""
    return sorted(
        path for path in folder.iterdir() if path.suffix.lower() in suffixes and not is_passed_over(path.name)
    )
