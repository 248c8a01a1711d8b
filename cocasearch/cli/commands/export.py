"""`cocasearch export` and `import`: indexes for other tools, and other tools' vectors as indexes."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from cocasearch.cli import console
from cocasearch.cli.options.option_groups import input_option, model_option, output_option
from cocasearch.cli.options.path_arguments import FOLDER, MODEL, read_path
from cocasearch.cli.options.shared_options import IndexName
from cocasearch.cli.output.unsure_captions import report_missing_confidences
from cocasearch.counting import counted
from cocasearch.indexing.store.manifest import DEFAULT_INDEX, index_name
from cocasearch.paths import expand_home, index_folder

_SHOWN = 10  # rows that an import leaves out


def export(
    out: Annotated[
        Path,
        typer.Argument(
            metavar="OUT", parser=read_path, help="File (.parquet, .csv or .jsonl), or folder for clip-retrieval."
        ),
    ],
    name: IndexName = DEFAULT_INDEX,
    layout: Annotated[
        Literal["parquet", "clip-retrieval"],
        output_option(metavar="NAME", help="Layout: one file with all columns (parquet), or clip-retrieval's folders."),
    ] = "parquet",
    sure: Annotated[
        bool, output_option("--sure", help="Leave out photos whose caption is more likely wrong than right.")
    ] = False,
    overwrite: Annotated[
        bool, output_option("--overwrite", help="Replace an earlier export, but nothing else.")
    ] = False,
) -> None:
    """Export an index for other tools, with every column and vector, as one file or in clip-retrieval's layout."""
    from cocasearch.indexing.exchange.index_export import count_unsure, export_clip_retrieval, export_file

    write = export_file if layout == "parquet" else export_clip_retrieval
    left_out = count_unsure(index_folder(name), with_missing=layout == "parquet") if sure else 0
    if left_out is None:
        report_missing_confidences()
    with console.progress("exporting", "photos") as advance:
        count = write(index_folder(name), out, only_sure=sure, overwrite=overwrite, progress=advance)
    without = f", {left_out:,} unsure and left out" if left_out else ""
    console.report(f"{counted(count, 'photo')} of index '{index_name(index_folder(name))}' written to {out}{without}")


def import_(
    folder: Annotated[Path, typer.Argument(**FOLDER, help="Folder that clip-retrieval's inference has written.")],
    name: IndexName = DEFAULT_INDEX,
    photos: Annotated[
        Path, input_option("--photos", **FOLDER, help="Folder where relative paths of photos start.")
    ] = Path(),
    model: Annotated[
        str | None, model_option("--model", "-m", **MODEL, help="Name or folder of the model that made the embeddings.")
    ] = None,
) -> None:
    """Import clip-retrieval's embeddings as an index, without reading any photo.

    Searching by words needs the model that made the embeddings. Without --model, and if the folder does not name the
    model, the index can be searched only by its own photos.

    A photo is recognized by its path, size and modification time: if it is renamed or touched later, 'cocasearch index'
    embeds and captions it again.
    """
    from cocasearch.indexing.exchange.embeddings_import import import_embeddings
    from cocasearch.inference.loaded_model import load_model

    index, loaded = index_folder(name), None
    if model is not None:
        with console.working("loading the model"):
            loaded = load_model(model)
    with console.progress("importing", "photos") as advance:
        report = import_embeddings(index, folder, photos=expand_home(photos).resolve(), loaded=loaded, progress=advance)
    for sentence in report.refused[:_SHOWN]:
        console.report(f"left out: {sentence}")
    counts = {
        "imported": report.imported,
        "repeated and left out": report.repeated,
        "without a path or a usable vector and left out": report.unusable,
        "with a path that is refused and left out": len(report.refused),
        "not where their path says": report.absent,
    }
    told = ", ".join(f"{count} {what}" for what, count in counts.items() if count)
    console.report(f"{told}; index '{index_name(index)}' holds {counted(report.imported, 'photo')}")
    if not report.model.is_known:
        console.report(
            "nobody named the model that made the vectors: photos among them can be looked for, words cannot"
        )
