"""`cocasearch export` and `import`: indexes for other tools, and other tools' vectors as indexes."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from cocasearch.cli import console
from cocasearch.cli.options.shared_options import IndexName
from cocasearch.cli.output.unsure_captions import tell_all_count_as_sure
from cocasearch.counting import counted
from cocasearch.indexing.store.manifest import DEFAULT_INDEX, index_name
from cocasearch.paths import expand_home, index_folder

_SHOWN = 10  # rows that an import leaves out


def export(
    out: Annotated[
        Path, typer.Argument(metavar="OUT", help="A .parquet, .csv or .jsonl file, or a folder for clip-retrieval.")
    ],
    name: IndexName = DEFAULT_INDEX,
    layout: Annotated[
        Literal["parquet", "clip-retrieval"], typer.Option(help="One file with all columns, or img_emb and metadata.")
    ] = "parquet",
    sure: Annotated[
        bool, typer.Option("--sure", help="Leave out photos whose caption is more likely wrong than right.")
    ] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an earlier export; nothing else is.")] = False,
) -> None:
    """Write an index for other tools: every column and vector into one file, or clip-retrieval's layout."""
    from cocasearch.indexing.exchange.index_export import count_unsure, export_clip_retrieval, export_file

    write = export_file if layout == "parquet" else export_clip_retrieval
    left_out = count_unsure(index_folder(name), with_missing=layout == "parquet") if sure else 0
    if left_out is None:
        tell_all_count_as_sure()
    with console.progress("exporting", "photos") as advance:
        count = write(index_folder(name), out, only_sure=sure, overwrite=overwrite, progress=advance)
    without = f", {left_out:,} unsure and left out" if left_out else ""
    console.say(f"{counted(count, 'photo')} of index '{index_name(index_folder(name))}' written to {out}{without}")


def import_(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="What clip-retrieval's inference has written.")],
    name: IndexName = DEFAULT_INDEX,
    photos: Annotated[
        Path, typer.Option("--photos", metavar="FOLDER", help="Where relative paths of photos start.")
    ] = Path(),
    model: Annotated[
        str | None,
        typer.Option("--model", "-m", metavar="NAME|FOLDER", help="The model that made them.", show_default=False),
    ] = None,
) -> None:
    """Make an index of clip-retrieval's embeddings, without reading a photo.

    Words can be looked for only with the model that made the vectors. Without --model, and where the folder does not
    name it, the index answers examples that it holds and refuses words.

    A photo is known by its name, size and time of change alone: 'cocasearch index' describes anew one that is renamed
    or touched later.
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
        console.say(f"left out: {sentence}")
    counts = {
        "imported": report.imported,
        "repeated and left out": report.repeated,
        "without a path or a usable vector and left out": report.unusable,
        "with a path that is refused and left out": len(report.refused),
        "not where their path says": report.absent,
    }
    told = ", ".join(f"{count} {what}" for what, count in counts.items() if count)
    console.say(f"{told}; index '{index_name(index)}' holds {counted(report.imported, 'photo')}")
    if not report.model.is_known:
        console.say("nobody named the model that made the vectors: photos among them can be looked for, words cannot")
