"""Writing of captioned images to a CSV file that can be read again."""

import csv
import shlex
from pathlib import Path

from cocasearch.atomic_files import replacing
from cocasearch.captioned_data.captioned_image import CaptionedData
from cocasearch.errors import CocaSearchError


def write_csv(data: CaptionedData, out: Path, *, overwrite: bool = False) -> int:
    """Write one row `filepath,title` for each caption; paths are relative for images below the file's folder.

    Returns:
        The number of rows.

    Raises:
        CocaSearchError: An image is not a file, or the table cannot be written, exists already or is not named .csv.
    """
    if out.suffix.lower() != ".csv":
        raise CocaSearchError(
            f"the table is written as CSV, and {out} does not end so",
            hint=f"--out {shlex.quote(str(out.with_suffix('.csv')))}",
        )
    if out.exists() and not overwrite:
        raise CocaSearchError(f"{out} exists already", hint="another --out, or the same command with --overwrite")
    folder = out.parent.resolve()
    rows = 0
    try:
        with replacing(out) as partial, partial.open("w", encoding="utf-8", errors="replace", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(("filepath", "title"))
            for image in data:
                if not isinstance(image.image, Path):
                    raise CocaSearchError(f"{image.key} of {data.source} is no file of its own", hint="use it as it is")
                path = image.image.parent.resolve() / image.image.name  # a link stays one, and moves with its folder
                shown = path.relative_to(folder) if path.is_relative_to(folder) else path
                writer.writerows((shown.as_posix(), caption) for caption in image.captions)
                rows += len(image.captions)
    except OSError as error:
        raise CocaSearchError(f"cannot write {out}: {(error.strerror or str(error)).lower()}") from error
    return rows
