"""`cocasearch caption`: captions for photos, printed, in one file or in side-cars."""

from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from typer.core import TyperCommand

from cocasearch.cli import console
from cocasearch.cli.commands.index import tell_videos
from cocasearch.cli.console import Format
from cocasearch.cli.options.caption_settings import (
    Compat,
    LengthPenalty,
    MaxLength,
    MinLength,
    NumBeamGroups,
    NumBeams,
    Prefix,
    Prompt,
    RepetitionPenalty,
    Rerank,
    Seed,
    Strategy,
    Suffix,
    Temperature,
    TopK,
    TopP,
    caption_options,
    check_strategy,
    tell_cut,
    tell_other_ways,
)
from cocasearch.cli.options.given_options import refuse_without_effect
from cocasearch.cli.options.model_choice import chosen_model
from cocasearch.cli.options.shared_options import (
    PHOTOS_HELP,
    AsJson,
    BatchSize,
    Device,
    MaxMegapixels,
    ModelName,
    OutputFormat,
    chosen_format,
)
from cocasearch.cli.output.review_output import Apply, Review, apply_review, check_given, write_review
from cocasearch.cli.output.unsure_captions import IS_SURE, shown, tell_all_count_as_sure
from cocasearch.counting import counted
from cocasearch.errors import NothingFound
from cocasearch.images.decode_limits import MAX_MEGAPIXELS
from cocasearch.indexing.store.manifest import DEFAULT_INDEX, index_command, index_name, read_manifest
from cocasearch.paths import index_folder

if TYPE_CHECKING:
    from cocasearch.images.discovery import ImageFile
    from cocasearch.inference.caption_files.caption_run import CaptionReport
    from cocasearch.inference.caption_files.caption_sinks import CaptionRecord, CaptionSink, Layout
    from cocasearch.inference.generation.caption_options import CaptionOptions

PRINTED = ("caption_score", "path", "caption")

_PLACES_OF = {
    "output_format": ("printed",),
    "overwrite": ("out", "sidecar"),
    "overwrite_all": ("sidecar",),
    "layout": ("out",),
    "below": ("out", "sidecar", "index"),
    **dict.fromkeys(("sure", "prefix", "suffix"), ("printed", "out", "sidecar")),
}
"""Where the captions go that a parameter has an effect on."""

_GOING = {
    "index": "go into an index, where --below alone has captions written anew",
    "out": "go into a file",
    "sidecar": "go into side-cars",
    "printed": "are only printed",
}
_NAMED = 10  # side-cars

Index = Annotated[
    str | None,
    typer.Option("--index", "-i", metavar="NAME|FOLDER", help="Into an index: all that it lacks.", show_default=False),
]
Out = Annotated[
    Path | None,
    typer.Option("--out", "-o", metavar="FILE", help="Into a .parquet, .csv or .jsonl file.", show_default=False),
]
Sidecar = Annotated[bool, typer.Option("--sidecar", help="Into a .txt file beside each photo.")]
Overwrite = Annotated[
    bool,
    typer.Option(
        "--overwrite",
        help="Replace captions that this program has written. With 'all' behind it, those of people too, after a copy.",
    ),
]
OverwriteAll = Annotated[bool, typer.Option("--overwrite-all", hidden=True)]
OutLayout = Annotated[
    Literal["records", "imagefolder"] | None,
    typer.Option(
        help="With --out: paths and all numbers, or file_name and text as Hugging Face's imagefolder has them.",
        show_default="records; imagefolder for metadata.*",
    ),
]
OnlyEmpty = Annotated[bool, typer.Option("--only-empty", help="Only photos that have no caption yet, beside them too.")]
Below = Annotated[
    float | None,
    typer.Option(
        min=0,
        max=1,
        metavar="CONFIDENCE",
        help="Write captions anew that are less sure, and those that are missing.",
        show_default=False,
    ),
]
Sure = Annotated[
    bool,
    typer.Option(
        "--sure",
        help="Leave out captions that are more likely wrong than right; with --out or --sidecar, their photos, too.",
    ),
]


def caption(
    context: typer.Context,
    paths: Annotated[list[Path] | None, typer.Argument(metavar="PATH", help=PHOTOS_HELP, show_default=False)] = None,
    name: Index = None,
    out: Out = None,
    layout: OutLayout = None,
    sidecar: Sidecar = False,
    overwrite: Overwrite = False,
    overwrite_all: OverwriteAll = False,
    only_empty: OnlyEmpty = False,
    below: Below = None,
    prefix: Prefix = "",
    suffix: Suffix = "",
    sure: Sure = False,
    review: Review = None,
    apply: Apply = None,
    output_format: OutputFormat = Format.table,
    as_json: AsJson = False,
    model: ModelName = None,
    strategy: Strategy = "beam",
    num_beams: NumBeams = None,
    rerank: Rerank = None,
    min_length: MinLength = 5,
    max_length: MaxLength = 30,
    temperature: Temperature = 1.0,
    top_k: TopK = 0,
    top_p: TopP = None,
    repetition_penalty: RepetitionPenalty = 1.0,
    length_penalty: LengthPenalty = 1.0,
    prompt: Prompt = "",
    seed: Seed = None,
    compat: Compat = None,
    num_beam_groups: NumBeamGroups = None,
    max_megapixels: MaxMegapixels = MAX_MEGAPIXELS,
    batch_size: BatchSize = 32,
    device: Device = "auto",
) -> None:
    """Write captions for photos.

    They are printed, or written into a file, side-cars or an index, where the captions that are there already are kept.
    --review writes those captions of an index that are more likely wrong than right into a file for you to correct, and
    --apply takes the corrected file back.
    """
    if review or apply:
        _go_through(context, index_folder(name or DEFAULT_INDEX), review, apply, overwrite=overwrite)
        return
    output_format = chosen_format(output_format, as_json=as_json)
    place = _place(paths, name, out, sidecar=sidecar)
    refuse_without_effect(context, _PLACES_OF, place, f"on captions that {_GOING[place]}")
    _check_choice(overwrite=overwrite, only_empty=only_empty, below=below, around=prefix + suffix)
    check_strategy(context, strategy)
    options = caption_options(
        strategy=strategy,
        num_beams=num_beams,
        rerank=rerank,
        min_length=min_length,
        max_length=max_length,
        temperature=temperature,
        top_k=top_k,
        top_p=top_p,
        repetition_penalty=repetition_penalty,
        length_penalty=length_penalty,
        prompt=prompt,
        seed=seed,
        compat=compat,
        num_beam_groups=num_beam_groups,
    )
    how: dict[str, Any] = {"batch_size": batch_size, "max_megapixels": max_megapixels}
    if name:
        _fill(context, index_folder(name), model, device, options, how | {"below": below})
        return
    if place == "sidecar":
        sink = _open_sidecars(overwrite=overwrite, overwrite_all=overwrite_all, below=below)
    else:
        sink = _open_sink(out, overwrite=overwrite, only_sure=sure, layout=layout, below=below)
    how |= {"only_sure": sure and place != "printed", "prefix": prefix, "suffix": suffix}
    if files := _discover(paths or [], only_empty=only_empty):
        report = _run(context, files, sink, model, device, options, how, sure=sure)
        _tell(report, sink, output_format, sure=sure, only_empty=only_empty)
        if place == "sidecar" and report.kept and not (report.written or overwrite or overwrite_all or below):
            console.say("captions that are there stay, whatever the options; to write ours anew: --overwrite")


class OverwriteAllInTwoWords(TyperCommand):
    """A command that takes `--overwrite all` beside `--overwrite`: an option whose value may be left out."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """The same with `--overwrite all` as the two flags that it stands for."""
        for at, pair in enumerate(pairwise(args)):
            if pair == ("--overwrite", "all"):
                args = [*args[: at + 1], "--overwrite-all", *args[at + 2 :]]
        return super().parse_args(ctx, args)


def _place(paths: list[Path] | None, name: str | None, out: Path | None, *, sidecar: bool) -> str:
    """Where the captions go; refuses what does not say, or says twice, which photos to caption and where to."""
    if bool(paths) == bool(name):
        raise typer.BadParameter("give photos or folders, or an index with --index, and not both")
    places = [where for where, given in (("index", name), ("out", out), ("sidecar", sidecar)) if given]
    if len(places) > 1:
        raise typer.BadParameter(f"--{places[0]} and --{places[1]} exclude each other")
    return places[0] if places else "printed"


def _check_choice(*, overwrite: bool, only_empty: bool, below: float | None, around: str) -> None:
    """Refuse contradictions about which captions to write, and words around them that are no part of one line."""
    choices = {"--overwrite": overwrite, "--only-empty": only_empty, "--below": below is not None}
    given = [option for option, is_given in choices.items() if is_given]
    if len(given) > 1:
        raise typer.BadParameter(f"{given[0]} and {given[1]} exclude each other")
    if around and not around.isprintable():
        raise typer.BadParameter("--prefix and --suffix are words on one line")


def _go_through(
    context: typer.Context, index: Path, review: Path | None, apply: Path | None, *, overwrite: bool
) -> None:
    """Hand unsure captions to a person, or take them back."""
    if review:
        check_given(context, "review")
        write_review(index, review, overwrite=overwrite)
    elif apply:
        check_given(context, "apply")
        apply_review(index, apply)


def _run(
    context: typer.Context,
    files: "list[ImageFile]",
    sink: "CaptionSink",
    model: str | None,
    device: str,
    options: "CaptionOptions",
    how: dict[str, Any],
    *,
    sure: bool,
) -> "CaptionReport":
    from cocasearch.inference.caption_confidence import confidence_model_for
    from cocasearch.inference.caption_files.caption_run import CaptionRun
    from cocasearch.inference.loaded_model import load_model

    name_or_folder = chosen_model(model)
    with console.working("loading the model"):
        loaded = load_model(name_or_folder, device=device)
        run = CaptionRun(loaded, options, **how)
    tell_cut(context, loaded, options)
    if sure and not confidence_model_for(loaded.confidence, loaded.complete(options)):
        tell_all_count_as_sure()
    with console.progress("captioning", "photos") as advance:
        return run.caption(files, sink, progress=advance)


def _fill(
    context: typer.Context, index: Path, model: str | None, device: str, options: "CaptionOptions", how: dict[str, Any]
) -> None:
    """Write the captions that an index lacks, and the confidence of those from before the model was calibrated.

    Raises:
        NothingFound: None of the photos without one could be read.
    """
    manifest = read_manifest(index)
    from cocasearch.indexing.edit.caption_filling import CaptionFiller
    from cocasearch.inference.loaded_model import load_model

    with console.working("loading the model"):
        loaded = load_model(model or manifest.model_name, device=device)
        filler = CaptionFiller(index, loaded, options, **how)
    tell_cut(context, loaded, options)
    tell_other_ways(index_name(index), manifest.caption_settings, filler.options)
    with console.progress("captioning", "photos") as advance:
        report = filler.fill(progress=advance)
    console.name_unreadable(report.failed)
    counts = {
        "captioned": report.written,
        "captioned before": report.captions - report.written,
        "given a confidence": report.judged,
        "unreadable": len(report.failed),
        "changed or gone": report.outdated,
    }
    told = ", ".join(f"{count} {what}" for what, count in counts.items() if count) or "no photos"
    console.say(f"{told}; index '{index_name(index)}'")
    if report.outdated:
        console.say(f"take in what has changed: {index_command(index)}")
    if report.unjudged:
        captions = counted(report.unjudged, "caption has", "captions have")
        console.say(
            f"{captions} no confidence, as those have that are written with the options that the model was calibrated "
            f"with; to write all anew: {index_command(index, '--rebuild')}"
        )
    if report.failed and not report.captions:
        raise NothingFound("none of the photos could be read")


def _open_sidecars(**how: Any) -> "CaptionSink":
    from cocasearch.inference.caption_files.caption_sidecars import Sidecars

    return Sidecars(**how)


def _open_sink(out: Path | None, *, layout: "Layout | None", **how: Any) -> "CaptionSink":
    from cocasearch.inference.caption_files.caption_sinks import CaptionFile, CaptionList

    if not out:
        return CaptionList()
    return CaptionFile(out, layout=layout or ("imagefolder" if out.stem == "metadata" else "records"), **how)


def _discover(paths: list[Path], *, only_empty: bool) -> "list[ImageFile]":
    """The photos, or those of them without a caption beside them; none only if all have one."""
    from cocasearch.images.discovery import VIDEO, discover_images
    from cocasearch.inference.caption_files.caption_sidecars import Sidecars

    videos: set[Path] = set()

    def skip(path: Path, reason: str) -> None:
        if reason == VIDEO:
            videos.add(path)
        else:
            console.name_unreadable([(str(path), reason)])

    files = {file.absolute: file for path in paths for file in discover_images(path, skip)}
    tell_videos(len(videos))
    if not files:
        raise NothingFound(f"there are no photos in {', '.join(map(str, paths))}")
    if not only_empty:
        return list(files.values())
    beside = Sidecars()
    without = [file for path, file in files.items() if not beside.has(path, "", "")]
    if len(without) < len(files):
        console.say(f"{counted(len(files) - len(without), 'photo has', 'photos have')} a caption")
    return without


def _tell(report: "CaptionReport", sink: "CaptionSink", output_format: Format, *, sure: bool, only_empty: bool) -> None:
    from cocasearch.inference.caption_files.caption_sinks import CaptionList

    if isinstance(sink, CaptionList) and sink.records:
        _print(sink.records, output_format, sure=sure)
    console.name_unreadable([(error.path, error.reason) for error in report.failed])
    counts = {"captioned": report.written, "captioned before": report.kept}
    counts |= {"unsure and left out": report.left_out, "unreadable": len(report.failed)}
    console.say(", ".join(f"{count} {what}" for what, count in counts.items() if count))
    _tell_of_sidecars(sink)
    if not report.written and not report.kept:
        which = "the photos without a caption" if only_empty else "the photos"
        raise NothingFound("no caption is sure" if report.left_out else f"none of {which} could be read")


def _tell_of_sidecars(sink: "CaptionSink") -> None:
    from cocasearch.inference.caption_files.caption_sidecars import Sidecars

    if not isinstance(sink, Sidecars):
        return
    if sink.kept:
        them = counted(len(sink.kept), "caption is", "captions are")
        console.say(f"{them} a person's, or not known as ours, and stayed; to replace such too: --overwrite all")
    if sink.set_aside:
        them = counted(len(sink.set_aside), "caption of a person was", "captions of people were")
        console.say(f"{them} replaced; a copy is beside each: {console.shown(sink.set_aside[0])}")
    for text in sorted(sink.nobodys)[:_NAMED]:
        console.say(f"{console.shown(text)} may be of several photos and is read for none of them now")


def _print(records: "list[CaptionRecord]", output_format: Format, *, sure: bool) -> None:
    from cocasearch.inference.caption_confidence import is_sure

    rows = shown(
        (vars(record) | {IS_SURE: is_sure(record.caption_confidence)} for record in records),
        sure=sure,
        is_table=output_format is Format.table,
    )
    if output_format is Format.table:
        rows = [{name: row[name] for name in PRINTED} for row in rows]
    console.write_rows(rows, output_format)
