"""`cocasearch caption`: captions for photos, printed, in one file or in side-cars."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cocasearch.cli import console
from cocasearch.cli.caption_options import (
    Compat,
    LengthPenalty,
    MaxLength,
    MinLength,
    NumBeamGroups,
    NumBeams,
    Prompt,
    RepetitionPenalty,
    Rerank,
    Seed,
    Strategy,
    Temperature,
    TopK,
    TopP,
    caption_options,
    tell_other_ways,
)
from cocasearch.cli.caption_review import Apply, Review, apply_review, check_given, write_review
from cocasearch.cli.console import Format
from cocasearch.cli.index import tell_videos
from cocasearch.cli.model_choice import chosen_model
from cocasearch.cli.options import (
    PHOTOS_HELP,
    AsJson,
    BatchSize,
    Device,
    MaxMegapixels,
    ModelName,
    OutputFormat,
    chosen_format,
)
from cocasearch.cli.unsure_captions import IS_SURE, shown, tell_all_count_as_sure
from cocasearch.counting import counted
from cocasearch.errors import NothingFound
from cocasearch.images.limits import MAX_MEGAPIXELS
from cocasearch.indexing.manifest import DEFAULT_INDEX, index_command, index_name, read_manifest
from cocasearch.paths import index_folder

if TYPE_CHECKING:
    from cocasearch.images.discovery import ImageFile
    from cocasearch.inference.caption_options import CaptionOptions
    from cocasearch.inference.caption_run import CaptionReport
    from cocasearch.inference.caption_sinks import CaptionRecord, CaptionSink

PRINTED = ("caption_score", "path", "caption")


Index = Annotated[
    str | None,
    typer.Option("--index", "-i", metavar="NAME|FOLDER", help="Into an index: all that it lacks.", show_default=False),
]
Out = Annotated[
    Path | None,
    typer.Option("--out", "-o", metavar="FILE", help="Into a .parquet, .csv or .jsonl file.", show_default=False),
]
Sidecar = Annotated[bool, typer.Option("--sidecar", help="Into a .txt file beside each photo.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace captions that are there already.")]
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
    sidecar: Sidecar = False,
    overwrite: Overwrite = False,
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
    _check_places(paths, name, is_output_given=bool(out or sidecar or overwrite or sure))
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
        _fill(index_folder(name), model, device, options, how)
        return
    sink = _open_sink(out, sidecar=sidecar, overwrite=overwrite, sure=sure)
    how["only_sure"] = sure and bool(out or sidecar)
    report = _run(_discover(paths or []), sink, model, device, options, how, sure=sure)
    _tell(report, sink, output_format, sure=sure)


def _check_places(paths: list[Path] | None, name: str | None, *, is_output_given: bool) -> None:
    """Refuse what does not say, or says twice, which photos to caption and where the captions go."""
    if bool(paths) == bool(name):
        raise typer.BadParameter("give photos or folders, or an index with --index, and not both")
    if name and is_output_given:
        raise typer.BadParameter(
            "--index goes without --out, --sidecar, --overwrite and --sure: an index keeps the captions that it has"
        )


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
    from cocasearch.inference.caption_run import CaptionRun
    from cocasearch.inference.loaded_model import load_model

    name_or_folder = chosen_model(model)
    with console.working("loading the model"):
        loaded = load_model(name_or_folder, device=device)
        run = CaptionRun(loaded, options, **how)
    if sure and not confidence_model_for(loaded.confidence, loaded.complete(options)):
        tell_all_count_as_sure()
    with console.progress("captioning", "photos") as advance:
        return run.caption(files, sink, progress=advance)


def _fill(index: Path, model: str | None, device: str, options: "CaptionOptions", how: dict[str, Any]) -> None:
    """Write the captions that an index lacks, and the confidence of those from before the model was calibrated.

    Raises:
        NothingFound: None of the photos without one could be read.
    """
    manifest = read_manifest(index)
    from cocasearch.indexing.caption_filling import CaptionFiller
    from cocasearch.inference.loaded_model import load_model

    with console.working("loading the model"):
        filler = CaptionFiller(index, load_model(model or manifest.model_name, device=device), options, **how)
    tell_other_ways(index_name(index), manifest.decodings, filler.options)
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


def _open_sink(out: Path | None, *, sidecar: bool, overwrite: bool, sure: bool) -> "CaptionSink":
    from cocasearch.inference.caption_sinks import CaptionFile, CaptionList, Sidecars

    if out and sidecar:
        raise typer.BadParameter("--out and --sidecar exclude each other")
    if out:
        return CaptionFile(out, overwrite=overwrite, only_sure=sure)
    return Sidecars(overwrite=overwrite) if sidecar else CaptionList()


def _discover(paths: list[Path]) -> "list[ImageFile]":
    from cocasearch.images.discovery import VIDEO, discover_images

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
    return list(files.values())


def _tell(report: "CaptionReport", sink: "CaptionSink", output_format: Format, *, sure: bool) -> None:
    from cocasearch.inference.caption_sinks import CaptionList

    if isinstance(sink, CaptionList) and sink.records:
        _print(sink.records, output_format, sure=sure)
    console.name_unreadable([(error.path, error.reason) for error in report.failed])
    counts = {"captioned": report.written, "captioned before": report.kept}
    counts |= {"unsure and left out": report.left_out, "unreadable": len(report.failed)}
    console.say(", ".join(f"{count} {what}" for what, count in counts.items() if count))
    if not report.written and not report.kept:
        raise NothingFound("no caption is sure" if report.left_out else "none of the photos could be read")


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
