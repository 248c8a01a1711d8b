"""Arguments and options that several commands share, each written once."""

from typing import Annotated

import typer

from cocasearch.cli.console import Format
from cocasearch.images.decode_limits import MEGAPIXELS_OF_PIL

PHOTOS_HELP = "Photos, or folders with photos anywhere below."

CaptionedData = Annotated[
    str,
    typer.Argument(
        metavar="DATA",
        help="Captioned photos: CSV, TSV, JSONL, Parquet, .tar shards (also s3://), COCO or Flickr annotations, or a "
        "folder with .txt or .caption side-cars.",
        show_default=False,
    ),
]
ImageKey = Annotated[
    str | None, typer.Option("--image-key", metavar="COLUMN", help="The column of the photos.", show_default=False)
]
CaptionKey = Annotated[
    str | None,
    typer.Option(
        "--caption-key",
        metavar="COLUMN",
        help="The column of the captions; beside photos in shards and folders, an ending or a key of the JSON.",
        show_default=False,
    ),
]
LabelTemplate = Annotated[
    str | None,
    typer.Option(
        "--label-template", metavar="TEXT", help="Words around a label: 'a photo of a {name}'.", show_default=False
    ),
]


IndexName = Annotated[
    str,
    typer.Option(
        "--index",
        "-i",
        metavar="NAME|FOLDER",
        help="The index: a name, or a folder.",
    ),
]
ModelName = Annotated[
    str | None,
    typer.Option(
        "--model",
        "-m",
        metavar="NAME|FOLDER",
        help="Instead of the best one here (of an index, its own): see 'cocasearch models list'.",
        show_default=False,
    ),
]
Device = Annotated[str, typer.Option("--device", metavar="DEVICE", help="auto, cpu, cuda, cuda:1 or mps.")]
BatchSize = Annotated[
    int, typer.Option("--batch-size", "-b", min=1, metavar="N", help="Photos in one pass of the model.")
]
MaxMegapixels = Annotated[
    float,
    typer.Option(
        "--max-megapixels", min=0.000001, max=MEGAPIXELS_OF_PIL, metavar="N", help="Refuse larger photos unread."
    ),
]
OutputFormat = Annotated[Format, typer.Option("--format", "-f", help="How results are printed.")]
NullSeparated = Annotated[
    bool, typer.Option("--null", "-0", help="Paths only, each ended by a zero byte, for xargs -0.")
]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]


def chosen_format(output_format: Format, *, as_json: bool) -> Format:
    """The layout that --format and --json ask for together.

    Raises:
        typer.BadParameter: They ask for different ones.
    """
    if as_json and output_format not in (Format.table, Format.json):
        raise typer.BadParameter(f"--json and --format {output_format.value} exclude each other")
    return Format.json if as_json else output_format
