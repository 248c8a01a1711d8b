"""`cocasearch index`: makes photos searchable, and keeps the index of them up to date."""

import shlex
from collections.abc import Callable, Collection, Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cocasearch.cli import console
from cocasearch.cli.options.caption_settings import Compat, NoCaptions, default_caption_options, report_settings
from cocasearch.cli.options.model_choice import load_chosen
from cocasearch.cli.options.option_groups import index_option, output_option
from cocasearch.cli.options.shared_options import BatchSize, Device, IndexModelName, IndexName, MaxMegapixels, Photos
from cocasearch.counting import pluralize
from cocasearch.errors import CocaSearchError, NothingFound, shortened
from cocasearch.images.decode_limits import MAX_MEGAPIXELS
from cocasearch.images.excludes import as_shown, as_written
from cocasearch.indexing.builder import IndexBuilder
from cocasearch.indexing.report import BuildReport
from cocasearch.indexing.scan.changes import Change, format_counts
from cocasearch.indexing.scan.folder_scan import refuse_without_photos
from cocasearch.indexing.scan.plan import BuildPlan
from cocasearch.indexing.scan.update_options import UpdateOptions
from cocasearch.indexing.store.location import MANIFEST_FILE
from cocasearch.indexing.store.manifest import (
    DEFAULT_INDEX,
    find_manifest,
    find_rebuild,
    follow_command,
    index_command,
    index_name,
    read_manifest,
)
from cocasearch.lock import refuse_if_locked
from cocasearch.paths import index_folder

if TYPE_CHECKING:
    from cocasearch.inference.loaded_model import LoadedModel

_LONGEST = 200  # characters of a pattern
_SHOWN = 10  # photos that a rebuild leaves behind

Rebuild = Annotated[bool, index_option("--rebuild", help="Index everything again, given now or before.")]
Exclude = Annotated[
    list[str] | None,
    index_option(
        "--exclude",
        metavar="GLOB",
        help="Skip files and folders of this name or path, such as '*.gif', now and later; may be repeated.",
    ),
]
ForgetExcludes = Annotated[
    bool, index_option("--forget-excludes", help="Forget the --exclude patterns of earlier runs.")
]
Prune = Annotated[
    bool, index_option("--prune", help="Delete photos that are gone from the index, instead of hiding them.")
]
RetryBad = Annotated[bool, index_option("--retry-bad", help="Try files again that could not be read.")]
DryRun = Annotated[bool, output_option("--dry-run", "-n", help="Show what would be done, and do nothing.")]
PlanAsJson = Annotated[bool, output_option("--json", help="With --dry-run: print the whole plan as JSON.")]


def index(
    paths: Photos = None,
    name: IndexName = DEFAULT_INDEX,
    model: IndexModelName = None,
    no_captions: NoCaptions = False,
    compat: Compat = None,
    rebuild: Rebuild = False,
    exclude: Exclude = None,
    forget_excludes: ForgetExcludes = False,
    prune: Prune = False,
    retry_bad: RetryBad = False,
    dry_run: DryRun = False,
    as_json: PlanAsJson = False,
    max_megapixels: MaxMegapixels = MAX_MEGAPIXELS,
    batch_size: BatchSize = 32,
    device: Device = "auto",
) -> None:
    """Make photos searchable, and write their captions.

    Run the command again, with or without folders, to bring the index up to date: it adds new photos, describes changed
    ones again, follows photos that have moved and hides those that are gone. A link to a folder is followed only if you
    give the link itself.
    """
    folder, paths = index_folder(name), paths or []
    if not paths and not rebuild:
        _refuse_nothing(folder, name)
    if as_json and not dry_run:
        raise typer.BadParameter("--json goes with --dry-run")
    captions = default_caption_options(compat, no_captions=no_captions)
    if not dry_run:
        refuse_if_locked(folder)
    present = find_manifest(folder / MANIFEST_FILE)
    load = _loader(model or (present.model_name if present else None), device, only_image=captions is None)
    if rebuild or (model and not present):
        _check_first(folder, paths, None if rebuild else model)
    is_other = present and model and model != present.model_name
    loaded = load() if rebuild or is_other else load  # now, where it decides what there is to compare with
    builder = IndexBuilder(
        folder, loaded, caption_options=captions, batch_size=batch_size, max_megapixels=max_megapixels
    )
    options = UpdateOptions(tuple(filter(as_written, exclude or ())), forget_excludes, retry_bad, prune)
    plan = _plan(builder, paths, options, rebuild=rebuild, is_last=dry_run)
    _report_rules(plan, folder)
    if as_json:
        console.write_json({"counts": plan.counts(), **plan.paths()})
    elif dry_run or not plan.scan.is_current:
        _report_plan(plan, folder, is_last=dry_run)
    if dry_run:
        return
    if plan.needs_model:
        complete = load().complete  # before the progress of what it is for
        if captions and (base := plan.scan.state.base):
            report_settings(index_name(folder), base.caption_settings, complete(captions))
    summarise(_carry_out(builder, plan), folder)


def _refuse_nothing(folder: Path, name: str) -> None:
    """Refuse to index nothing; where an index was meant that is not there, the error names those that are."""
    if name != DEFAULT_INDEX:
        read_manifest(folder)
    elif not find_manifest(folder / MANIFEST_FILE):
        raise typer.BadParameter("give a folder or a photo: cocasearch index ~/Pictures")


def _loader(name: str | None, device: str, *, only_image: bool) -> "Callable[[], LoadedModel]":
    """A function that loads the model, or what of it sees pictures, when it is first called, and says so."""
    towers = {"towers": "image"} if only_image else {}
    return cache(lambda: load_chosen(name, device=device, **towers))


def _check_first(folder: Path, paths: Sequence[Path], model: str | None) -> None:
    """Refuse paths without photos before a model is looked for, and a name of none before folders are gone through."""
    refuse_without_photos(folder, paths)
    if model:
        from cocasearch.checkpoints.registry import resolve_model

        resolve_model(model)


def _plan(
    builder: IndexBuilder, paths: Sequence[Path], options: UpdateOptions, *, rebuild: bool, is_last: bool
) -> BuildPlan:
    with console.staged_progress("files", "looking through the folders") as show:
        return builder.plan(
            paths,
            rebuild=rebuild,
            options=options,
            progress=lambda done, total: show("comparing", done, total),
            keep_hashes=not is_last,
        )


def _carry_out(builder: IndexBuilder, plan: BuildPlan) -> BuildReport:
    with console.progress("indexing", "photos") as advance:
        return builder.carry_out(
            plan, progress=advance, on_stop=lambda: console.report("", "stopping: storing what is done ...")
        )


def _report_rules(plan: BuildPlan, folder: Path) -> None:
    """Say which patterns fit nothing, and which folders are taken in against a pattern."""
    for pattern in plan.scan.unfitting:
        console.report(f"--exclude {shortened(as_shown(pattern), _LONGEST)!r} fits nothing there, and is remembered")
    for path in plan.scan.rules.taken_once:
        console.report(
            f"{console.shown(path)} is taken in now, but an earlier --exclude leaves it out again when the folder "
            "around it is looked through; to take in all that is left out: "
            f"{index_command(folder, '--forget-excludes')}"
        )


def _report_plan(plan: BuildPlan, folder: Path, *, is_last: bool) -> None:
    """Say what a run will do; where that is all, also what the last lines of a run would say about folders."""
    for root in plan.scan.state.roots():
        if root.key not in plan.coverage.roots:
            console.report(f"no longer indexed, since its photos have moved: {console.shown(root.locate(folder))}")
    photos = pluralize(plan.n_pruned, "photo")
    what = f"; --prune forgets {photos}, with vectors and captions" if plan.n_pruned else ""
    console.report(f"plan: {format_counts(plan.counts())}{what}")
    if is_last:
        empty, unmounted = map(str, plan.coverage.empty), plan.scan.whole_paths(plan.unmounted)
        _report_empty(folder, empty, unmounted, plan.coverage.roots.values())
        report_videos(len(plan.scan.files.passed_over.videos))


def _report_empty(index: Path, empty: Iterable[str], unmounted: Collection[str], roots: Iterable[Path]) -> None:
    """Name folders without photos and, of those that the index has photos of, how to have it forget them."""
    kept = {*map(str, roots), *unmounted}
    for path in (*empty, *unmounted):
        forget = index_command(index, shlex.quote(path), command="remove")
        hint = f": is its drive away? All is kept, until: {forget}" if path in kept else ""
        console.report(f"no photos in {console.shown(path)}{hint}")
        if hint and not Path(path).is_dir():
            console.report(f"  {follow_command(index, Path(path))}")


def report_videos(count: int) -> None:
    """Say on stderr how many videos were passed over, if any."""
    if count:
        console.report(f"{pluralize(count, 'video was', 'videos were')} passed over: photos alone are looked at")


def summarise(report: BuildReport, folder: Path) -> None:
    """Say on stderr what a run did, and what can be done now.

    Raises:
        NothingFound: Not one photo is in the index.
        CocaSearchError: A rebuild has to wait for photos.
    """
    console.name_unreadable(report.failed)
    if len(report.failed) > _SHOWN:
        console.report(f"all that cannot be read: {index_command(folder, '--bad', command='status')}")
    _report_empty(folder, report.empty, report.unmounted, read_manifest(folder).locate_roots(folder).values())
    report_videos(report.videos)
    if report.vanished:
        console.report(f"{pluralize(report.vanished, 'photo was', 'photos were')} gone when their turn came")
    if report.left_behind and not report.awaited:
        shown = [*map(console.shown, report.left_behind[:_SHOWN]), *["…"] * (len(report.left_behind) > _SHOWN)]
        console.report(
            f"{pluralize(len(report.left_behind), 'photo is', 'photos are')} not there and left the index: "
            f"{', '.join(shown)}"
        )
    is_described = report.added + report.updated
    speed = f" in {report.seconds:.1f} s, {report.images_per_second:.1f} photos/s" if is_described else ""
    counts = {change.value: report.counts[change] for change in Change}
    console.report(
        f"{format_counts(counts)}{speed}; index '{index_name(folder)}' holds {pluralize(report.total, 'photo')}"
    )
    if report.missing:
        forget_them = index_command(folder, "--prune")
        console.report(
            f"{pluralize(report.missing, 'photo is', 'photos are')} missing and not searched; if moved, index the new "
            f"folder; to forget what is gone: {forget_them}"
        )
    if report.captionless:
        write_them = f"cocasearch caption --index {shlex.quote(index_name(folder))}"  # which takes photos without it
        console.report(
            f"{pluralize(report.captionless, 'photo has', 'photos have')} no caption; write them with: {write_them}"
        )
    if report.awaited:
        pending = find_rebuild(folder)
        model = ("--model", shlex.quote(pending.model_name)) if pending else ()
        raise CocaSearchError(
            f"{pluralize(report.awaited, 'photo')} could not be read now, so the old index stays in use",
            hint=f"is their drive away? To go on: {index_command(folder, '--rebuild', *model)}",
        )
    if not report.total:
        raise NothingFound("none of the photos to index could be read")
