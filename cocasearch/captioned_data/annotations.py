"""Readers of the annotation files of COCO, Flickr8k and Flickr30k as they are distributed.

These name images that lie elsewhere. The usual places are searched; otherwise the user has to give the folder.
"""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from cocasearch.captioned_data.caption_tables import (
    NOT_UTF8,
    RowReader,
    delimited_rows,
    jsonl_rows,
    parse_document,
    refuse_binary,
    rows_of_records,
)
from cocasearch.captioned_data.captioned_image import AnyRow, BadRow, Row
from cocasearch.captioned_data.cells import UnreadCell, words
from cocasearch.captioned_data.columns import CAPTION_COLUMNS, IMAGE_COLUMNS, WantedColumns
from cocasearch.captioned_data.unicode_names import FilesByName
from cocasearch.errors import CocaSearchError
from cocasearch.images.discovery import is_image_name, is_utf8

_TOKEN = re.compile(r"^(?P<name>[^\t]+)#(?P<number>\d+)\t(?P<caption>.*)$")
_USUAL_FOLDERS = (
    *(".", "images", "Images", "Flicker8k_Dataset", "Flickr8k_Dataset", "flickr8k_images"),
    *("flickr30k-images", "flickr30k_images"),
)
_PLAIN = RowReader("image", "caption", words)  # of layouts that have no columns


def json_rows(path: Path, name: str, wanted: WantedColumns, split: str | None, images: Path | None) -> Iterator[AnyRow]:
    """The rows of a JSON document: COCO's captions, Karpathy's splits, records, or captions by file.

    Records are objects as in JSONL: one, a list of them, or one a line.

    Raises:
        CocaSearchError: It is something else, has several splits of which none is chosen, or its images are in none
            of the usual places.
    """
    refuse_binary(path, name)
    try:
        document = parse_document(path.read_bytes())
    except UnreadCell as error:
        if "Extra data" in str(error):  # a second object after the first
            return jsonl_rows(path, name, wanted)
        raise CocaSearchError(f"{name} is not JSON: {str(error).removeprefix('it is not JSON: ')}") from error
    if isinstance(document, list) and any(isinstance(record, dict) for record in document):
        return rows_of_records("object", enumerate(document, start=1), name, wanted)
    entries = document.get("images") if isinstance(document, dict) else None
    if isinstance(entries, list) and isinstance(document.get("annotations"), list):
        return _in_folder(list(_coco(document, name, wanted)), path, name, images, kind="coco")
    if isinstance(entries, list) and any(isinstance(entry, dict) and "sentences" in entry for entry in entries):
        wanted.refuse_keys(name, "the splits and sentences of Karpathy")
        return _in_folder(list(_karpathy(entries, name, split)), path, name, images)
    if isinstance(document, dict) and document and (records := _records_by_file(document, name, wanted)):
        return rows_of_records("object", enumerate(records, start=1), name, wanted)
    raise CocaSearchError(
        f"{name} holds no captions as COCO, Karpathy's splits or an object of files and their captions have them",
        hint="captions_*.json of COCO, dataset_flickr8k.json, or JSONL with one object per line",
    )


def _records_by_file(document: dict[str, Any], name: str, wanted: WantedColumns) -> list[dict[str, Any]]:
    """The records in an object: itself, one for each file that it names, or the only list of records in it."""
    if any(key.lower() in IMAGE_COLUMNS or key == wanted.image_key for key in document):
        return [document]
    if all(isinstance(value, dict) for value in document.values()):
        return [{IMAGE_COLUMNS[-1]: file, **about} for file, about in document.items()]
    if any(is_image_name(file) for file in document):
        wanted.refuse_keys(name, "files and their captions")
        return [{IMAGE_COLUMNS[0]: file, CAPTION_COLUMNS[0]: captions} for file, captions in document.items()]
    lists = [value for value in document.values() if isinstance(value, list) and _keys_of(value)]
    return lists[0] if len(lists) == 1 else []


def text_rows(path: Path, name: str, wanted: WantedColumns, images: Path | None) -> Iterator[AnyRow]:
    """The rows of a text file: `name.jpg#0<TAB>caption` as Flickr8k has them, or a table with a header.

    Raises:
        CocaSearchError: As `delimited_rows`, or the images are in none of the usual places.
    """
    refuse_binary(path, name)
    with path.open(encoding="utf-8-sig", errors="surrogateescape") as file:
        is_token = _TOKEN.match(file.readline().rstrip("\n")) is not None
    if not is_token:
        return delimited_rows(path, name, wanted)
    wanted.refuse_keys(name, "lines of an image and its caption")
    return _in_folder(list(_token_rows(path, name)), path, name, images)


def _token_rows(path: Path, name: str) -> Iterator[AnyRow]:
    with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="\n") as file:
        for number, line in enumerate(file, start=1):
            where, parts = f"line {number} of {name}", _TOKEN.match(line.rstrip("\r\n"))
            if not line.strip():
                continue
            if not is_utf8(line):
                yield BadRow(where, NOT_UTF8)
            elif parts is None:
                yield BadRow(where, "it is not name.jpg#0, a tab and a caption")
            else:
                yield _PLAIN.row(where, parts["name"], parts["caption"], "")


def _coco(document: dict[str, Any], name: str, wanted: WantedColumns) -> Iterator[AnyRow]:
    keys = _keys_of(document["annotations"])
    if "caption" not in keys and not wanted.caption_key:
        raise CocaSearchError(f"the annotations in {name} are no captions", hint="COCO's are in captions_*.json")
    image_key = wanted.image(name, _keys_of(document["images"]), ("file_name",))
    reader = RowReader(image_key, wanted.caption(name, keys, ("caption",)), words)
    files = _files_by_id(document["images"], reader.image)
    bare = dict(files)
    for number, note in enumerate(document["annotations"], start=1):
        where = f"annotation {number} of {name}"
        image = _plain(note.get("image_id")) if isinstance(note, dict) else ""
        if files.get(image) is None:
            why = "several images have its id" if image in files else "its image is not in the list of images"
            yield BadRow(where, why)
            continue
        bare.pop(image, None)
        yield reader.row(where, files[image], note.get(reader.caption), "")
    for one, bare_file in bare.items():
        yield Row(f"image {one} of {name}", bare_file or "", bare_file or "", [])


def _files_by_id(entries: Sequence[Any], image_key: str) -> dict[str, str | None]:
    """The file of each image by the image's id; None for an id that several files have."""
    files: dict[str, str | None] = {}
    for entry in entries:
        if isinstance(entry, dict) and (number := _plain(entry.get("id"))) and isinstance(entry.get(image_key), str):
            file = entry[image_key]
            files[number] = file if files.get(number, file) == file else None
    return files


def _plain(number: object) -> str:
    """An id as text, whether it is written 25, "25", 25.0 or "000025"; empty if it is not an id."""
    if isinstance(number, float) and number.is_integer():
        number = int(number)
    text = str(number).strip() if isinstance(number, int | str) else ""
    return text.lstrip("0") or text


def _keys_of(entries: Sequence[Any]) -> list[str]:
    return list(dict.fromkeys(key for entry in entries if isinstance(entry, dict) for key in entry))


def _karpathy(entries: Sequence[Any], name: str, split: str | None) -> Iterator[AnyRow]:
    splits = sorted({str(entry.get("split")) for entry in entries if isinstance(entry, dict)})
    if split is None and len(splits) > 1:
        raise CocaSearchError(
            f"{name} has the splits {', '.join(splits)}, and only one of them is to be read",
            hint=f"cocasearch data flickr {name} --split {splits[-1]} --images FOLDER --out {splits[-1]}.csv",
        )
    if split is not None and split not in splits:
        raise CocaSearchError(f"{name} has no split {split!r}; its splits are: {', '.join(splits)}")
    for number, entry in enumerate(entries, start=1):
        where = f"image {number} of {name}"
        if not isinstance(entry, dict) or not isinstance(entry.get("filename"), str):
            yield BadRow(where, "it has no filename")
        elif split is None or str(entry.get("split")) == split:
            folder, sentences = entry.get("filepath"), entry.get("sentences")
            file = f"{folder}/{entry['filename']}" if folder else entry["filename"]
            texts = (
                [item.get("raw") for item in sentences if isinstance(item, dict)] if isinstance(sentences, list) else []
            )
            yield _PLAIN.row(where, file, [text for text in texts if isinstance(text, str)], "")


def _in_folder(
    rows: list[AnyRow], path: Path, name: str, images: Path | None, kind: str = "flickr"
) -> Iterator[AnyRow]:
    """The rows with the paths of their images, in the folder that was given or in the usual place that has them."""
    names = [row.image for row in rows if isinstance(row, Row) and isinstance(row.image, str)]
    folder = images or _find_folder(path, name, names, kind)
    for row in rows:
        if isinstance(row, Row) and isinstance(row.image, str) and row.image:
            row = Row(row.where, folder / row.image, row.key, row.captions)
        yield row


def _find_folder(path: Path, name: str, names: Sequence[str], kind: str) -> Path:
    some = list(dict.fromkeys(names))[:20]  # a few may be missing
    subset = path.stem.rpartition("_")[2]  # captions_val2017.json -> val2017
    usual = [path.parent / folder for folder in _USUAL_FOLDERS]
    usual += [folder / subset for place in (path.parent, path.parent.parent) for folder in (place, place / "images")]
    files = FilesByName()
    found = [folder for folder in usual if any(files.find(folder / name).is_file() for name in some)]
    different = {folder.resolve(): folder for folder in found}
    if len(different) == 1:
        return found[0]
    why = "are not beside it" if not different else f"could be in {found[0]} or in {found[1]}"
    example = f", such as {some[0]}" if some else ""
    raise CocaSearchError(
        f"the photos of {name}{example}, {why}" if example else f"{name} holds no captioned photos",
        hint=f"cocasearch data {kind} {name} --images FOLDER --out data.csv",
    )
