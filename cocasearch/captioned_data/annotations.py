"""The annotation files of COCO and of Flickr8k and Flickr30k, as they are distributed.

They name pictures that lie somewhere else. Where that is one of the usual places it is found; otherwise the folder has
to be told.
"""

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from cocasearch.captioned_data.columns import WantedColumns, words
from cocasearch.captioned_data.records import BadRow, Found, Row
from cocasearch.captioned_data.tables import NOT_UTF8, delimited_rows, is_unicode, refuse_binary, row_of_record
from cocasearch.errors import CocaSearchError

_TOKEN = re.compile(r"^(?P<name>[^\t]+)#(?P<number>\d+)\t(?P<caption>.*)$")
_USUAL_FOLDERS = (
    *(".", "images", "Images", "Flicker8k_Dataset", "Flickr8k_Dataset", "flickr8k_images"),
    *("flickr30k-images", "flickr30k_images"),
)


def json_rows(path: Path, name: str, wanted: WantedColumns, split: str | None, images: Path | None) -> Iterator[Found]:
    """The rows of a JSON document: COCO's captions, Karpathy's splits, or a list of objects like those of JSONL.

    Raises:
        CocaSearchError: It is something else, has several splits of which none is chosen, or its pictures are in none
            of the usual places.
    """
    refuse_binary(path, name)
    try:
        document = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise CocaSearchError(f"{name} is not JSON: {error}") from error
    if isinstance(document, list) and document and isinstance(document[0], dict):
        return _listed(document, name, wanted)
    entries = document.get("images") if isinstance(document, dict) else None
    if isinstance(entries, list) and isinstance(document.get("annotations"), list):
        return _in_folder(list(_coco(document, name)), path, name, images, kind="coco")
    if isinstance(entries, list) and any(isinstance(entry, dict) and "sentences" in entry for entry in entries):
        return _in_folder(list(_karpathy(entries, name, split)), path, name, images)
    raise CocaSearchError(
        f"{name} holds no captions as COCO or Karpathy's splits have them",
        hint="captions_*.json of COCO, dataset_flickr8k.json, or JSONL with one object per line",
    )


def text_rows(path: Path, name: str, wanted: WantedColumns, images: Path | None) -> Iterator[Found]:
    """The rows of a text file: `name.jpg#0<TAB>caption` as Flickr8k has them, or a table with a header.

    Raises:
        CocaSearchError: As `delimited_rows`, or the pictures are in none of the usual places.
    """
    refuse_binary(path, name)
    with path.open(encoding="utf-8-sig", errors="surrogateescape") as file:
        is_token = _TOKEN.match(file.readline().rstrip("\n")) is not None
    if not is_token:
        return delimited_rows(path, name, wanted)
    return _in_folder(list(_token_rows(path, name)), path, name, images)


def _token_rows(path: Path, name: str) -> Iterator[Found]:
    with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="\n") as file:
        for number, line in enumerate(file, start=1):
            where, parts = f"line {number} of {name}", _TOKEN.match(line.rstrip("\r\n"))
            if not line.strip():
                continue
            if not is_unicode(line):
                yield BadRow(where, NOT_UTF8)
            elif parts is None:
                yield BadRow(where, "it is not name.jpg#0, a tab and a caption")
            else:
                yield Row(where, parts["name"], parts["name"], words(parts["caption"]))


def _listed(records: Sequence[Any], name: str, wanted: WantedColumns) -> Iterator[Found]:
    image, caption = wanted.choose(name, list(records[0]))
    for number, record in enumerate(records, start=1):
        where = f"object {number} of {name}"
        if isinstance(record, dict):
            yield row_of_record(where, record, image, caption, wanted)
        else:
            yield BadRow(where, "it is not a JSON object")


def _coco(document: dict[str, Any], name: str) -> Iterator[Found]:
    if not any(isinstance(note, dict) and "caption" in note for note in document["annotations"]):
        raise CocaSearchError(f"the annotations in {name} are no captions", hint="COCO's are in captions_*.json")
    files = {
        entry["id"]: entry["file_name"]
        for entry in document["images"]
        if isinstance(entry, dict)
        and isinstance(entry.get("id"), int | str)
        and isinstance(entry.get("file_name"), str)
    }
    bare = dict(files)
    for number, note in enumerate(document["annotations"], start=1):
        where = f"annotation {number} of {name}"
        image = note.get("image_id") if isinstance(note, dict) else None
        if not isinstance(image, int | str) or image not in files:
            yield BadRow(where, "its image is not in the list of images")
            continue
        file, caption = files[image], note.get("caption")
        bare.pop(image, None)
        yield Row(where, file, file, words(caption) if isinstance(caption, str) else [])
    for number, file in bare.items():
        yield Row(f"image {number} of {name}", file, file, [])


def _karpathy(entries: Sequence[Any], name: str, split: str | None) -> Iterator[Found]:
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
            yield Row(where, file, file, words([text for text in texts if isinstance(text, str)]))


def _in_folder(rows: list[Found], path: Path, name: str, images: Path | None, kind: str = "flickr") -> Iterator[Found]:
    """The rows with their pictures in the folder told, or in the one of the usual places that has them."""
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
    found = [folder for folder in usual if any((folder / name).is_file() for name in some)]
    different = {folder.resolve(): folder for folder in found}
    if len(different) == 1:
        return found[0]
    why = "are not beside it" if not different else f"could be in {found[0]} or in {found[1]}"
    example = f", such as {some[0]}" if some else ""
    raise CocaSearchError(
        f"the pictures of {name}{example}, {why}" if example else f"{name} holds no captioned pictures",
        hint=f"cocasearch data {kind} {name} --images FOLDER --out data.csv",
    )
