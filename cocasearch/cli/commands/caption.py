"""`cocasearch caption`: captions for photos, printed, in one file, in side-cars or in an index."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from cocasearch.cli import console
from cocasearch.cli.commands.index import report_videos
from cocasearch.cli.console import Format
from cocasearch.cli.options import caption_destinations as to
from cocasearch.cli.options import caption_settings as how
from cocasearch.cli.options import shared_options as shared
from cocasearch.cli.options.model_choice import load_chosen
from cocasearch.cli.output.caption_report import print_captions, report_filled, report_run, report_sidecars
from cocasearch.cli.output.review_output import exchange_captions
from cocasearch.cli.output.unsure_captions import report_missing_confidences
from cocasearch.counting import pluralize
from cocasearch.errors import NothingFound
from cocasearch.images.decode_limits import MAX_MEGAPIXELS
from cocasearch.indexing.store.manifest import DEFAULT_INDEX, index_name, read_manifest
from cocasearch.paths import index_folder

if TYPE_CHECKING:
    from cocasearch.images.discovery import ImageFile
    from cocasearch.inference.caption_files.caption_sinks import Layout
    from cocasearch.inference.generation.caption_options import CaptionOptions


def caption(
    context: typer.Context,
    paths: shared.Photos = None,
    name: to.CaptionedIndex = None,
    out: to.Out = None,
    layout: to.OutLayout = None,
    sidecar: to.Sidecar = False,
    overwrite: to.Overwrite = False,
    overwrite_all: to.OverwriteAll = False,
    only_empty: to.OnlyEmpty = False,
    below: to.Below = None,
    prefix: how.Prefix = "",
    suffix: how.Suffix = "",
    sure: to.Sure = False,
    review: to.Review = None,
    apply: to.Apply = None,
    output_format: shared.OutputFormat = Format.table,
    as_json: shared.AsJson = False,
    model: shared.IndexModelName = None,
    strategy: how.Strategy = "beam",
    num_beams: how.NumBeams = None,
    rerank: how.Rerank = None,
    min_length: how.MinLength = 5,
    max_length: how.MaxLength = 30,
    temperature: how.Temperature = 1.0,
    top_k: how.TopK = 0,
    top_p: how.TopP = None,
    repetition_penalty: how.RepetitionPenalty = 1.0,
    length_penalty: how.LengthPenalty = 1.0,
    prompt: how.Prompt = "",
    seed: how.Seed = None,
    compat: how.Compat = None,
    num_beam_groups: how.NumBeamGroups = None,
    max_megapixels: shared.MaxMegapixels = MAX_MEGAPIXELS,
    batch_size: shared.BatchSize = 32,
    device: shared.Device = "auto",
) -> None:
    """Write captions for photos.

    They are printed, or written into a file, into side-cars or into an index. Captions that are there already are kept.

    --review writes the captions of an index that are more likely wrong than right into a file for you to correct, and
    --apply reads the corrected file back.
    """
    if review or apply:
        to.check_review(context, "review" if review else "apply")
        exchange_captions(index_folder(name or DEFAULT_INDEX), review, apply, overwrite=overwrite)
        return
    output_format = shared.chosen_format(output_format, as_json=as_json)
    destination = to.chosen_destination(context, paths, name, out, sidecar=sidecar)
    to.check_choice(overwrite=overwrite, only_empty=only_empty, below=below, around=prefix + suffix)
    how.check_strategy(context, strategy)
    options = how.caption_options(context.params)
    limits = {"batch_size": batch_size, "max_megapixels": max_megapixels}
    if name:
        _fill_index(context, index_folder(name), options, {"below": below, **limits})
        return
    around = {"prefix": prefix, "suffix": suffix, "only_sure": sure and destination != "printed"}
    _caption_files(context, options, limits | around, output_format)


def _fill_index(context: typer.Context, index: Path, options: "CaptionOptions", settings: dict[str, Any]) -> None:
    """Write the captions that an index lacks, and the confidence of those from before the model was calibrated."""
    manifest = read_manifest(index)
    from cocasearch.indexing.edit.caption_filling import CaptionFiller

    loaded = load_chosen(context.params["model"] or manifest.model_name, device=context.params["device"])
    how.report_cut_length(context, loaded, options)
    filler = CaptionFiller(index, loaded, options, **settings)
    how.report_settings(index_name(index), manifest.caption_settings, filler.options)
    with console.progress("captioning", "photos") as advance:
        report = filler.fill(progress=advance)
    report_filled(report, index)


def _caption_files(
    context: typer.Context, options: "CaptionOptions", settings: dict[str, Any], output_format: Format
) -> None:
    """Caption photos that are given as files and folders."""
    from cocasearch.inference.caption_confidence import confidence_model_for
    from cocasearch.inference.caption_files.caption_sidecars import Sidecars
    from cocasearch.inference.caption_files.caption_sinks import CaptionFile, CaptionList
    from cocasearch.inference.caption_files.file_captioner import FileCaptioner

    given = context.params
    out, overwrite, below, sure = given["out"], given["overwrite"], given["below"], given["sure"]
    sink: Sidecars | CaptionFile | CaptionList = CaptionList()
    if given["sidecar"]:
        sink = Sidecars(overwrite=overwrite, overwrite_all=given["overwrite_all"], below=below)
    elif out:
        layout: Layout = given["layout"] or ("imagefolder" if out.stem == "metadata" else "records")
        sink = CaptionFile(out, layout=layout, overwrite=overwrite, only_sure=sure, below=below)
    files = _discover(given["paths"], only_empty=given["only_empty"])
    if not files:
        return
    loaded = load_chosen(given["model"], device=given["device"])
    how.report_cut_length(context, loaded, options)
    if sure and not confidence_model_for(loaded.confidence, loaded.complete(options)):
        report_missing_confidences()
    with console.progress("captioning", "photos") as advance:
        report = FileCaptioner(loaded, options, **settings).caption(files, sink, progress=advance)
    if isinstance(sink, CaptionList):
        print_captions(sink.records, output_format, sure=sure)
    elif isinstance(sink, Sidecars):
        report_sidecars(sink)
    report_run(report, only_empty=given["only_empty"])
    if isinstance(sink, Sidecars) and report.kept and not (report.written or overwrite or below):
        console.report("existing captions stay; to rewrite those by cocasearch: --overwrite")


def _discover(paths: list[Path], *, only_empty: bool) -> "list[ImageFile]":
    """The photos, or those of them without a caption beside them; none only if all have one.

    Raises:
        NothingFound: There are no photos.
    """
    from cocasearch.images.discovery import VIDEO, discover_images
    from cocasearch.inference.caption_files.caption_sidecars import Sidecars

    videos: set[Path] = set()

    def skip(path: Path, reason: str) -> None:
        if reason == VIDEO:
            videos.add(path)
        else:
            console.name_unreadable([(str(path), reason)])

    files = {file.absolute: file for path in paths for file in discover_images(path, skip)}
    report_videos(len(videos))
    if not files:
        raise NothingFound(f"there are no photos in {', '.join(map(str, paths))}")
    if not only_empty:
        return list(files.values())
    sidecars = Sidecars()
    without = [file for path, file in files.items() if not sidecars.has(path, "", "")]
    if len(without) < len(files):
        console.report(f"{pluralize(len(files) - len(without), 'photo has', 'photos have')} a caption")
    return without
