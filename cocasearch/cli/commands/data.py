"""`cocasearch data`: checks captioned photos, and converts annotation files into tables."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cocasearch.cli import console
from cocasearch.cli.console import Format
from cocasearch.cli.options import shared_options as shared
from cocasearch.cli.options.model_choice import chosen_model
from cocasearch.cli.options.option_groups import input_option, output_option
from cocasearch.cli.options.path_arguments import DATA, EXISTING_FOLDER, FILE
from cocasearch.cli.output.skipped import NAMED, report_skipped
from cocasearch.counting import pluralize
from cocasearch.errors import CocaSearchError

if TYPE_CHECKING:
    from cocasearch.captioned_data import CaptionedData as Captioned
    from cocasearch.evaluation.data_check import DataReport

Validation = Annotated[
    str | None, input_option("--val", **DATA, help="Validation data: photos that are in both are reported.")
]
Images = Annotated[Path | None, input_option("--images", **EXISTING_FOLDER, help="Folder of the photos.")]
Annotations = Annotated[Path, typer.Argument(**FILE, help="Annotation file.")]
Out = Annotated[
    Path, output_option("--out", "-o", **FILE, help="CSV file to write, with the columns filepath and title.")
]
Overwrite = Annotated[bool, output_option("--overwrite", help="Replace an existing CSV file.")]
Split = Annotated[
    str | None,
    input_option("--split", metavar="NAME", help="Name of the split to convert, where the file has several."),
]


def check(
    data: shared.CaptionedData,
    val: Validation = None,
    model: shared.ModelName = None,
    image_key: shared.ImageKey = None,
    caption_key: shared.CaptionKey = None,
    label_template: shared.LabelTemplate = None,
    fmt: shared.OutputFormat = Format.table,
    as_json: shared.AsJson = False,
) -> None:
    """Check captioned photos: counts, caption lengths, bad rows, unreadable photos and duplicates.

    The exit code is 1 if training would skip anything. Formats other than the table list every row and photo concerned.
    """
    from cocasearch.captioned_data import read_captioned_data
    from cocasearch.checkpoints.model_folder import read_model_folder
    from cocasearch.checkpoints.registry import resolve_model
    from cocasearch.evaluation.data_check import check_data

    columns: dict[str, Any] = {"image_key": image_key, "caption_key": caption_key, "label_template": label_template}
    with console.byte_progress() as fetched:
        captioned = read_captioned_data(data, **columns, progress=fetched)
        validation = read_captioned_data(val, **columns, or_usual=True, progress=fetched) if val else None
    stored = read_model_folder(resolve_model(chosen_model(model)))
    with console.staged_progress("photos") as advance:
        report = check_data(
            captioned,
            lambda caption: len(stored.tokenizer.encode(caption)) + 2,
            stored.config.text.context_length,
            validation=validation,
            progress=advance,
        )
    if as_json:
        console.write_json(report.to_dict())
    elif fmt is Format.table:
        _print(report)
    else:
        console.write_rows([vars(problem) for problem in report.problems], fmt, columns=("path", "problem", "detail"))
    if report.is_spoiled:
        raise CocaSearchError(f"{data} has rows or photos that training would skip")


def coco(annotations: Annotations, out: Out, images: Images = None, overwrite: Overwrite = False) -> None:
    """Convert COCO captions (captions_*.json) into a CSV file of the photos that exist."""
    _convert(annotations, out, images, None, overwrite=overwrite)


def flickr(
    annotations: Annotations, out: Out, images: Images = None, split: Split = None, overwrite: Overwrite = False
) -> None:
    """Convert Flickr8k or Flickr30k captions (.token.txt, results.csv or dataset_*.json) into a CSV file."""
    _convert(annotations, out, images, split, overwrite=overwrite)


def sidecars(
    folder: Annotated[
        Path, typer.Argument(**EXISTING_FOLDER, help="Folder of photos with .txt or .caption side-cars.")
    ],
    out: Out,
    overwrite: Overwrite = False,
) -> None:
    """Convert the side-cars in and below a folder into a CSV file with a row for each of their lines."""
    from cocasearch.captioned_data.sidecars import read_sidecars

    _write(read_sidecars(folder), out, overwrite=overwrite)


def _convert(annotations: Path, out: Path, images: Path | None, split: str | None, *, overwrite: bool) -> None:
    from cocasearch.captioned_data import read_captioned_data

    if out.exists() and annotations.exists() and out.samefile(annotations):
        raise CocaSearchError(f"{out} is the file to be read", hint="--out OTHER.csv")
    _write(read_captioned_data(annotations, images=images, split=split), out, overwrite=overwrite)


def _write(data: "Captioned", out: Path, *, overwrite: bool) -> None:
    from cocasearch.captioned_data.writing import write_csv

    rows = write_csv(data, out, overwrite=overwrite)
    report_skipped(data)
    console.report(f"wrote {pluralize(rows, 'caption')} of {pluralize(len(data), 'photo')} to {out}")


def _print(report: "DataReport") -> None:
    least, median, most = report.captions_per_image
    lengths = report.lengths
    counts = report.counts()
    lines = [
        f"{pluralize(report.images, 'photo')}, {pluralize(report.captions, 'caption')}; "
        + (f"{least} a photo" if least == most else f"{least} to {most} a photo, median {median}"),
        f"{pluralize(report.distinct_captions, 'different caption')}, "
        f"{report.shared_captions:,} of them of several photos",
        f"captions have {lengths.median} tokens at the median and {lengths.most} at most; "
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
        console.report("to see all of them: the same command with --format csv")
