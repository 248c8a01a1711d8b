"""`cocasearch data`: captioned photos looked over, and annotation files turned into tables."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cocasearch.cli import console
from cocasearch.cli.console import Format
from cocasearch.cli.options.model_choice import chosen_model
from cocasearch.cli.options.shared_options import (
    AsJson,
    CaptionedData,
    CaptionKey,
    ImageKey,
    LabelTemplate,
    ModelName,
    OutputFormat,
)
from cocasearch.cli.output.left_out import NAMED, name_left_out
from cocasearch.counting import counted
from cocasearch.errors import CocaSearchError

if TYPE_CHECKING:
    from cocasearch.captioned_data import CaptionedData as Captioned
    from cocasearch.evaluation.data_check import DataReport

Validation = Annotated[
    str | None,
    typer.Option("--val", metavar="DATA", help="Find photos that are also in this.", show_default=False),
]
Images = Annotated[
    Path | None,
    typer.Option(
        "--images", metavar="FOLDER", exists=True, file_okay=False, help="Where the photos are.", show_default=False
    ),
]
Annotations = Annotated[Path, typer.Argument(metavar="FILE", help="The annotation file.", show_default=False)]
Out = Annotated[
    Path, typer.Option("--out", "-o", metavar="FILE", help="The CSV to write: filepath,title.", show_default=False)
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace the CSV that is there.")]
Split = Annotated[
    str | None,
    typer.Option("--split", metavar="NAME", help="Which of several splits.", show_default=False),
]


def check(
    data: CaptionedData,
    val: Validation = None,
    model: ModelName = None,
    image_key: ImageKey = None,
    caption_key: CaptionKey = None,
    label_template: LabelTemplate = None,
    fmt: OutputFormat = Format.table,
    as_json: AsJson = False,
) -> None:
    """Look over captioned photos: counts, lengths of captions, bad rows and photos, duplicates.

    Exit code 1 if training would leave something out. Formats other than the table list every row and photo concerned.
    """
    from cocasearch.captioned_data import read_captioned_data
    from cocasearch.checkpoints.model_folder import read_model_folder
    from cocasearch.checkpoints.registry import resolve_model
    from cocasearch.evaluation.data_check import check_data

    def read(source: str, *, beside: bool = False) -> "Captioned":
        with console.byte_progress() as fetched:
            return read_captioned_data(
                source,
                image_key=image_key,
                caption_key=caption_key,
                label_template=label_template,
                or_usual=beside,
                progress=fetched,
            )

    captioned, validation = read(data), read(val, beside=True) if val else None
    stored = read_model_folder(resolve_model(chosen_model(model)))
    with console.staged_progress("photos") as tell:
        report = check_data(
            captioned,
            lambda caption: len(stored.tokenizer.encode(caption)) + 2,
            stored.config.text.context_length,
            validation=validation,
            progress=tell,
        )
    if as_json:
        console.write_json(report.to_dict())
    elif fmt is Format.table:
        _print(report)
    else:
        console.write_rows([vars(problem) for problem in report.problems], fmt, columns=("path", "problem", "detail"))
    if report.is_spoiled:
        raise CocaSearchError(f"{data} has rows or photos that training would leave out")


def coco(annotations: Annotations, out: Out, images: Images = None, overwrite: Overwrite = False) -> None:
    """Turn COCO's captions (captions_*.json) into a CSV of the photos that are there."""
    _convert(annotations, out, images, None, overwrite=overwrite)


def flickr(
    annotations: Annotations, out: Out, images: Images = None, split: Split = None, overwrite: Overwrite = False
) -> None:
    """Turn Flickr8k's or Flickr30k's captions (.token.txt, results.csv, dataset_*.json) into a CSV."""
    _convert(annotations, out, images, split, overwrite=overwrite)


def sidecars(
    folder: Annotated[
        Path,
        typer.Argument(metavar="FOLDER", exists=True, file_okay=False, help="Photos with .txt or .caption side-cars."),
    ],
    out: Out,
    overwrite: Overwrite = False,
) -> None:
    """Turn the side-cars in a folder and below it into a CSV: a row for each line of each."""
    from cocasearch.captioned_data.sidecars import read_sidecars

    _write(read_sidecars(folder), out, overwrite=overwrite)


def _convert(annotations: Path, out: Path, images: Path | None, split: str | None, *, overwrite: bool) -> None:
    from cocasearch.captioned_data import read_captioned_data

    if out.exists() and annotations.exists() and out.samefile(annotations):
        raise CocaSearchError(f"{out} is what is to be read", hint="--out OTHER.csv")
    _write(read_captioned_data(annotations, images=images, split=split), out, overwrite=overwrite)


def _write(data: "Captioned", out: Path, *, overwrite: bool) -> None:
    from cocasearch.captioned_data.writing import write_csv

    rows = write_csv(data, out, overwrite=overwrite)
    name_left_out(data)
    console.say(f"wrote {counted(rows, 'caption')} of {counted(len(data), 'photo')} to {out}")


def _print(report: "DataReport") -> None:
    least, median, most = report.captions_per_image
    lengths = report.lengths
    counts = report.counts()
    lines = [
        f"{counted(report.images, 'photo')}, {counted(report.captions, 'caption')}; "
        + (f"{least} a photo" if least == most else f"{least} to {most} a photo, {median} in the middle"),
        f"{counted(report.distinct_captions, 'different caption')}, "
        f"{report.shared_captions:,} of them of several photos",
        f"captions have {lengths.median} tokens in the middle and {lengths.most} at most; "
        f"{lengths.cut:,} are longer than the {lengths.context} that the model reads",
    ]
    console.write_lines(*lines)
    for kind, count in counts.items():
        console.write_lines("", f"{kind}: {count:,}")
        some = [problem for problem in report.problems if problem.problem == kind][:NAMED]
        named = (f"  {console.shown(problem.path)}: {problem.detail}" for problem in some)
        console.write_lines(*map(console.message, named))
        if count > NAMED:
            console.write_lines(f"  and {count - NAMED:,} more")
    if any(count > NAMED for count in counts.values()):
        console.say("all of them: the same command with --format csv")
