"""`cocasearch index`: photos become searchable."""

import shlex
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cocasearch.cli import console
from cocasearch.cli.options.caption_settings import Compat, NoCaptions, default_caption_options, report_settings
from cocasearch.cli.options.model_choice import chosen_model
from cocasearch.cli.options.option_groups import index_option, output_option
from cocasearch.cli.options.shared_options import BatchSize, Device, IndexModelName, IndexName, MaxMegapixels, Photos
from cocasearch.counting import counted
from cocasearch.errors import CocaSearchError, NothingFound, shortened
from cocasearch.images.decode_limits import MAX_MEGAPIXELS
from cocasearch.images.discovery import GIVE_LINKED, LINKED_FOLDER, ONLY_VIDEOS, VIDEO, discover_images
from cocasearch.images.excludes import as_shown, as_written
from cocasearch.indexing.report import BuildReport, report_nothing_to_do
from cocasearch.indexing.scan.plan import BuildPlan, make_plan
from cocasearch.indexing.scan.survey import Survey, UpdateOptions
from cocasearch.indexing.scan.surveying import take_survey
from cocasearch.indexing.store.manifest import (
    DEFAULT_INDEX,
    MANIFEST_FILE,
    UNKNOWN_MODEL,
    check_model,
    find_manifest,
    find_rebuild,
    follow_command,
    index_command,
    index_name,
    read_manifest,
)
from cocasearch.lock import refuse_if_locked
from cocasearch.paths import expand_home, index_folder

if TYPE_CHECKING:
    from cocasearch.indexing.builder import IndexBuilder
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

    Run again, with or without the folders, it adds new photos, updates changed ones, follows moved ones and hides those
    that are gone. A link to a folder is followed only if it is given itself.
    """
    folder = index_folder(name)
    if not paths and not rebuild:
        _refuse_nothing(folder, name)
    if as_json and not dry_run:
        raise typer.BadParameter("--json goes with --dry-run")
    captions = default_caption_options(compat, no_captions=no_captions)
    if not dry_run:
        refuse_if_locked(folder)
    options = UpdateOptions(tuple(filter(as_written, exclude or ())), forget_excludes, retry_bad, prune, max_megapixels)
    loading = _Loading(model or _present_model(folder), device, only_image=captions is None)
    survey = _survey(folder, paths or [], options, loading, rebuild=rebuild, is_model_given=model is not None)
    for pattern in survey.unfitting:
        console.report(f"--exclude {shortened(as_shown(pattern), _LONGEST)!r} fits nothing there, and is remembered")
    for path in survey.taken_once:
        take_in = index_command(folder, "--forget-excludes")
        console.report(
            f"{console.shown(path)} is taken in now, but an earlier --exclude leaves it out again when the folder "
            f"around it is looked through; to take in all that is left out: {take_in}"
        )
    if survey.is_current and not dry_run:
        summarise(report_nothing_to_do(survey, captions=captions is not None), folder)
        return
    plan = _plan(survey, as_json=as_json, is_last=dry_run)
    if dry_run:
        return
    if plan.needs_model:  # before the progress of what it is for
        loaded = loading()
        if captions and survey.base:
            report_settings(index_name(folder), survey.base.decodings, loaded.complete(captions))
    from cocasearch.indexing.builder import IndexBuilder

    builder = IndexBuilder(
        folder, loading, caption_options=captions, batch_size=batch_size, max_megapixels=max_megapixels
    )
    summarise(_carry_out(plan, builder), folder)


def _refuse_nothing(folder: Path, name: str) -> None:
    """Refuse to index nothing; where an index was meant that is not there, the error names those that are."""
    if name != DEFAULT_INDEX:
        read_manifest(folder)
    elif not find_manifest(folder / MANIFEST_FILE):
        raise typer.BadParameter("give a folder or a photo: cocasearch index ~/Pictures")


class _Loading:
    """Loads the model, or what of it sees pictures, when it is first needed, and says so."""

    def __init__(self, name: str | None, device: str, *, only_image: bool) -> None:
        self.name = name
        self._device = device
        self._only_image = only_image
        self._loaded: LoadedModel | None = None

    def __call__(self) -> "LoadedModel":
        if self._loaded is None:
            from cocasearch.inference.loaded_model import load_model
            from cocasearch.model.coca import TOWERS

            name_or_folder = chosen_model(self.name)
            towers = ("image",) if self._only_image else tuple(TOWERS)
            with console.working("loading the model"):
                self._loaded = load_model(name_or_folder, device=self._device, towers=towers)
        return self._loaded


def _survey(
    folder: Path,
    paths: Sequence[Path],
    options: UpdateOptions,
    loading: _Loading,
    *,
    rebuild: bool,
    is_model_given: bool,
) -> Survey:
    """Walk and compare; the model is loaded before only where it decides what there is to compare with."""
    present = find_manifest(folder / MANIFEST_FILE)
    if rebuild:
        _look_at(folder, paths)
        options = replace(options, rebuild_with=loading().fingerprint)
    elif present and is_model_given and loading.name != present.model_name:
        check_model(present, loading().fingerprint, loading().name, folder)
    elif present is None and is_model_given:
        from cocasearch.checkpoints.registry import resolve_model

        _look_at(folder, paths)
        resolve_model(loading.name)  # a name that nothing has is told before folders are walked
    with console.working("looking through the folders"):
        return take_survey(folder, paths, options)


def _look_at(folder: Path, paths: Sequence[Path]) -> None:
    """Refuse, before a model is loaded for them, paths without photos, or none where there is no index either."""
    if not paths:
        read_manifest(folder)
        return
    skipped: list[str] = []
    if not any(next(discover_images(expand_home(path), lambda _, why: skipped.append(why)), None) for path in paths):
        hint = GIVE_LINKED if LINKED_FOLDER in skipped else ONLY_VIDEOS if VIDEO in skipped else None
        raise NothingFound(f"no photos found in {', '.join(map(str, paths))}", hint=hint)


def _present_model(folder: Path) -> str | None:
    """The model that an index was made with; None for an index to be, or one whose model nobody knows."""
    manifest = find_manifest(folder / MANIFEST_FILE)
    return manifest.model_name if manifest and manifest.model_name != UNKNOWN_MODEL else None


def _plan(survey: Survey, *, as_json: bool, is_last: bool) -> BuildPlan:
    """Make the plan and show it."""
    with console.progress("comparing", "files") as advance:
        plan = make_plan(survey, advance, keep_hashes=not is_last)
    if as_json:
        console.write_json({"counts": plan.counts(), **plan.paths()})
    else:
        for forgotten in survey.forgotten:
            console.report(f"no longer indexed, since its photos have moved: {console.shown(forgotten)}")
        pruned = len(plan.gone) + len(plan.excluded) + len(plan.still_missing) if survey.options.prune else 0
        what = f"; --prune forgets {counted(pruned, 'photo')}, with vectors and captions" if pruned else ""
        console.report(f"plan: {_listed(plan.counts())}{what}")
        if is_last:  # else the summary tells
            _report_empty(survey.index, map(str, survey.empty), plan.away_paths(), survey.roots)
            report_videos(len(survey.videos))
    return plan


def _carry_out(plan: BuildPlan, builder: "IndexBuilder") -> BuildReport:
    with console.progress("indexing", "photos") as advance:
        return builder.carry_out(
            plan, progress=advance, on_stop=lambda: console.report("", "stopping: storing what is done ...")
        )


def _listed(counts: dict[str, int]) -> str:
    return ", ".join(f"{count} {what}" for what, count in counts.items() if count) or "nothing to do"


def _report_empty(index: Path, empty: Iterable[str], away: Collection[str], roots: Mapping[str, Path]) -> None:
    """Name folders without photos and, of those that the index has photos of, how to have it forget them."""
    kept = {*map(str, roots.values()), *away}
    for path in (*empty, *away):
        forget = index_command(index, shlex.quote(path), command="remove")
        hint = f": is its drive away? All is kept, until: {forget}" if path in kept else ""
        console.report(f"no photos in {console.shown(path)}{hint}")
        if hint and not Path(path).is_dir():
            console.report(f"  {follow_command(index, Path(path))}")


def report_videos(count: int) -> None:
    """Say on stderr how many videos were passed over, if any."""
    if count:
        console.report(f"{counted(count, 'video was', 'videos were')} passed over: photos alone are looked at")


def summarise(report: BuildReport, folder: Path) -> None:
    """Say on stderr what a run did, and what can be done now.

    Raises:
        NothingFound: Not one photo is in the index.
        CocaSearchError: A rebuild has to wait for photos.
    """
    console.name_unreadable(report.failed)
    if len(report.failed) > _SHOWN:
        console.report(f"all that cannot be read: {index_command(folder, '--bad', command='status')}")
    _report_empty(folder, report.empty, report.away, read_manifest(folder).locate_roots(folder))
    report_videos(report.videos)
    if report.vanished:
        console.report(f"{counted(report.vanished, 'photo was', 'photos were')} gone when their turn came")
    if report.left_behind and not report.awaited:
        shown = [*map(console.shown, report.left_behind[:_SHOWN]), *["…"] * (len(report.left_behind) > _SHOWN)]
        console.report(
            f"{counted(len(report.left_behind), 'photo is', 'photos are')} not there and left the index: "
            f"{', '.join(shown)}"
        )
    kinds = ("added", "updated", "moved", "copied", "touched", "back", "gone", "excluded", "unchanged", "removed")
    counts = {kind: getattr(report, kind) for kind in kinds}
    counts |= {"unreadable": len(report.failed), "unreadable as before": report.known_bad}
    speed = (
        f" in {report.seconds:.1f} s, {report.images_per_second:.1f} photos/s" if report.added + report.updated else ""
    )
    console.report(f"{_listed(counts)}{speed}; index '{index_name(folder)}' holds {counted(report.total, 'photo')}")
    if report.missing:
        forget_them = index_command(folder, "--prune")
        console.report(
            f"{counted(report.missing, 'photo is', 'photos are')} missing and not searched; if moved, index the new "
            f"folder; to forget what is gone: {forget_them}"
        )
    if report.captionless:
        write_them = f"cocasearch caption --index {shlex.quote(index_name(folder))}"  # which takes photos without it
        console.report(
            f"{counted(report.captionless, 'photo has', 'photos have')} no caption; write them with: {write_them}"
        )
    if report.awaited:
        pending = find_rebuild(folder)
        model = ("--model", shlex.quote(pending.model_name)) if pending else ()
        raise CocaSearchError(
            f"{counted(report.awaited, 'photo')} could not be read now, so the old index stays in use",
            hint=f"is their drive away? To go on: {index_command(folder, '--rebuild', *model)}",
        )
    if not report.total:
        raise NothingFound("none of the photos could be read")
