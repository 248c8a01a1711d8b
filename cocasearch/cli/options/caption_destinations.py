"""Options of where captions go and which photos get one, and the checks on them."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from cocasearch.cli.options.given_options import given_options, refuse_without_effect
from cocasearch.cli.options.option_groups import caption_option, index_option, output_option
from cocasearch.cli.options.path_arguments import FILE, INDEX

Destination = Literal["printed", "out", "sidecar", "index"]

CaptionedIndex = Annotated[
    str | None,
    index_option("--index", "-i", **INDEX, help="Name or folder of an index whose missing captions are written."),
]
Out = Annotated[Path | None, output_option("--out", "-o", **FILE, help="Write a .parquet, .csv or .jsonl file.")]
OutLayout = Annotated[
    Literal["records", "imagefolder"] | None,
    output_option(
        metavar="NAME",
        help="Layout of the --out file: records (path and all numbers), or imagefolder (file_name and text, as Hugging "
        "Face reads them).",
        show_default="records; imagefolder for metadata.*",
    ),
]
Sidecar = Annotated[bool, output_option("--sidecar", help="Write a .txt file beside each photo.")]
Overwrite = Annotated[
    bool,
    output_option(
        "--overwrite",
        help="Replace captions that cocasearch has written; with '--overwrite all', also those by people, of which a "
        "copy is kept.",
    ),
]
OverwriteAll = Annotated[bool, typer.Option("--overwrite-all", hidden=True)]
Sure = Annotated[
    bool,
    output_option(
        "--sure",
        help="Leave out captions that are more likely wrong than right; from files and side-cars, their photos too.",
    ),
]
Review = Annotated[
    Path | None,
    output_option(
        "--review",
        **FILE,
        help="Write the unsure captions of an index into a .csv, .tsv or .jsonl file, the worst first. Correct them, "
        "empty them, or write yes in the column 'right'.",
    ),
]
Apply = Annotated[
    Path | None,
    index_option(
        "--apply",
        **FILE,
        help="Read a corrected --review file back into the index. Later runs keep what you changed or called right.",
    ),
]
OnlyEmpty = Annotated[
    bool, caption_option("--only-empty", help="Skip photos that have a caption already, or one beside them.")
]
Below = Annotated[
    float | None,
    caption_option(
        min=0,
        max=1,
        metavar="CONFIDENCE",
        help="Rewrite captions with a lower confidence (0 to 1), and write missing ones.",
    ),
]

_EFFECTIVE_WITH: dict[str, tuple[Destination, ...]] = {
    "output_format": ("printed",),
    "overwrite": ("out", "sidecar"),
    "overwrite_all": ("sidecar",),
    "layout": ("out",),
    "below": ("out", "sidecar", "index"),
    **dict.fromkeys(("sure", "prefix", "suffix"), ("printed", "out", "sidecar")),
}
"""The destinations with which a parameter has an effect."""

_CAPTIONS_THAT: dict[Destination, str] = {
    "index": "go into an index, where only --below rewrites captions",
    "out": "go into a file",
    "sidecar": "go into side-cars",
    "printed": "are only printed",
}
_ALLOWED_WITH = {"review": {"review", "name", "overwrite"}, "apply": {"apply", "name"}}


def chosen_destination(
    context: typer.Context, paths: list[Path] | None, index: str | None, out: Path | None, *, sidecar: bool
) -> Destination:
    """Where the captions go.

    Raises:
        typer.BadParameter: Neither or both of photos and index are given, or two destinations, or an option that has
            no effect on captions that go there.
    """
    if bool(paths) == bool(index):
        raise typer.BadParameter("give photos or folders, or an index with --index, and not both")
    choices: dict[Destination, bool] = {"index": bool(index), "out": bool(out), "sidecar": sidecar}
    chosen = [destination for destination, is_given in choices.items() if is_given]
    if len(chosen) > 1:
        raise typer.BadParameter(f"--{chosen[0]} and --{chosen[1]} cannot be used together")
    destination = chosen[0] if chosen else "printed"
    refuse_without_effect(context, _EFFECTIVE_WITH, destination, f"on captions that {_CAPTIONS_THAT[destination]}")
    return destination


def check_choice(*, overwrite: bool, only_empty: bool, below: float | None, around: str) -> None:
    """Refuse contradictions about which captions to write, and line breaks in the text around them.

    Raises:
        typer.BadParameter: There is one.
    """
    choices = {"--overwrite": overwrite, "--only-empty": only_empty, "--below": below is not None}
    given = [option for option, is_given in choices.items() if is_given]
    if len(given) > 1:
        raise typer.BadParameter(f"{given[0]} and {given[1]} cannot be used together")
    if around and not around.isprintable():
        raise typer.BadParameter("--prefix and --suffix must be on one line")


def check_review(context: typer.Context, mode: Literal["review", "apply"]) -> None:
    """Refuse photos and options that have nothing to do with --review or --apply.

    Raises:
        typer.BadParameter: One was given.
    """
    for parameter, option in given_options(context).items():
        if parameter not in _ALLOWED_WITH[mode]:
            raise typer.BadParameter(
                f"--{mode} works on the captions of an index (--index), and cannot be used with {option}"
            )
