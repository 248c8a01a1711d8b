"""Arguments and options that several commands share, each written once."""

import re
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from cocasearch.cli.console import Format
from cocasearch.cli.options.completions import complete_device
from cocasearch.cli.options.option_groups import index_option, input_option, model_option, output_option
from cocasearch.cli.options.path_arguments import DATA, INDEX, MODEL, PATH
from cocasearch.images.decode_limits import MEGAPIXELS_OF_PIL


def _device(word: str) -> str:
    if not re.fullmatch(r"auto|(cpu|cuda|mps)(:\d+)?", word):
        raise typer.BadParameter(f"'{word}' is no device; use auto, cpu, cuda, cuda:1 or mps")
    return word


Photos = Annotated[list[Path] | None, typer.Argument(**PATH, help="Photos, or folders that are searched for photos.")]
CaptionedData = Annotated[
    str,
    typer.Argument(
        **DATA,
        help="Captioned photos: CSV, TSV, JSONL, Parquet, .tar shards (also s3://), COCO or Flickr annotations, or a "
        "folder with .txt or .caption side-cars.",
    ),
]
ImageKey = Annotated[str | None, input_option("--image-key", metavar="COLUMN", help="Name of the column of photos.")]
CaptionKey = Annotated[
    str | None,
    input_option(
        "--caption-key",
        metavar="COLUMN",
        help="Name of the column of captions; in shards and folders, a file ending or a key of the JSON files.",
    ),
]
LabelTemplate = Annotated[
    str | None,
    input_option("--label-template", metavar="TEXT", help="Caption made of a label, such as 'a photo of a {name}'."),
]
IndexName = Annotated[str, index_option("--index", "-i", **INDEX, help="Name or folder of the index.")]
_named_model_option = partial(model_option, "--model", "-m", **MODEL, help="Name or folder of the model.")
ModelName = Annotated[str | None, _named_model_option(show_default="the best one on this machine")]
IndexModelName = Annotated[str | None, _named_model_option(show_default="the index's own, or the best one here")]
Device = Annotated[
    str,
    model_option(
        "--device",
        metavar="DEVICE",
        parser=_device,
        autocompletion=complete_device,
        help="Device that the model runs on: auto, cpu, cuda, cuda:1 or mps.",
    ),
]
BatchSize = Annotated[
    int, model_option("--batch-size", "-b", min=1, help="Number of photos that the model sees at once.")
]
MaxMegapixels = Annotated[
    float,
    input_option(
        "--max-megapixels",
        min=0.000001,
        max=MEGAPIXELS_OF_PIL,
        help="Number of megapixels above which a photo is refused.",
    ),
]
OutputFormat = Annotated[
    Format, output_option("--format", "-f", metavar="FORMAT", help="Output format: table, json, jsonl, csv or paths.")
]
NullSeparated = Annotated[
    bool, output_option("--null", "-0", help="Print only paths, each ended by a zero byte, for xargs -0.")
]
AsJson = Annotated[bool, output_option("--json", help="Print the results as one JSON document.")]


def chosen_format(output_format: Format, *, as_json: bool) -> Format:
    """The output format that --format and --json ask for together.

    Raises:
        typer.BadParameter: They ask for different ones.
    """
    if as_json and output_format not in (Format.table, Format.json):
        raise typer.BadParameter(f"--json and --format {output_format.value} cannot be used together")
    return Format.json if as_json else output_format
