"""Arguments and options that several commands share, each written once."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from cocasearch.cli import console
from cocasearch.cli.console import Format
from cocasearch.images.limits import MEGAPIXELS_OF_PIL

if TYPE_CHECKING:
    from cocasearch.inference.caption_options import CaptionOptions

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
    str | None, typer.Option("--caption-key", metavar="COLUMN", help="The column of the captions.", show_default=False)
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
        help="The index: a name below ./indexes, or a folder.",
    ),
]
ModelName = Annotated[
    str | None,
    typer.Option(
        "--model",
        "-m",
        metavar="NAME|FOLDER",
        help="Instead of the index's own, or of the best one here: see 'cocasearch models list'.",
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
NoCaptions = Annotated[bool, typer.Option("--no-captions", help="Vectors only: faster.")]
Compat = Annotated[
    Literal["openclip"] | None,
    typer.Option("--compat", help="Captions exactly as open_clip writes them.", show_default=False),
]


def default_caption_options(compat: Literal["openclip"] | None, *, no_captions: bool) -> "CaptionOptions | None":
    """How a command that has no other caption options writes captions; None if it writes none."""
    if compat and no_captions:
        raise typer.BadParameter("--compat and --no-captions exclude each other")
    from cocasearch.inference.caption_options import CaptionOptions

    return None if no_captions else CaptionOptions(compat=compat or "")


def tell_other_ways(name: str, decodings: Sequence[dict[str, Any]], options: "CaptionOptions") -> None:
    """Say which captions of an index, that are kept, were written in another way than those to come."""
    from cocasearch.inference.caption_options import CaptionOptions

    if others := [str(CaptionOptions(**one)) for one in decodings if one != options.to_dict()]:
        console.say(f"mind: '{name}' has captions by {' and by '.join(others)}; now {options}")


OutputFormat = Annotated[Format, typer.Option("--format", "-f", help="How results are printed.")]
NullSeparated = Annotated[
    bool, typer.Option("--null", "-0", help="Paths only, each ended by a zero byte, for xargs -0.")
]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]
