"""`cocasearch demo`: indexes and searches the photos that come with the package."""

from pathlib import Path

from cocasearch.cli import console
from cocasearch.cli.commands.index import summarise
from cocasearch.cli.commands.query import print_hits
from cocasearch.cli.console import Format
from cocasearch.cli.options.shared_options import ModelName
from cocasearch.errors import CocaSearchError
from cocasearch.indexing.store.location import MANIFEST_FILE
from cocasearch.indexing.store.manifest import SCHEMA_VERSION, find_manifest
from cocasearch.paths import index_folder, sample_photos_folder

INDEX = "demo"
TOP_K = 3
TEXTS = ("a cat", "a cup of coffee", "hiking in the mountains", "a bridge at night")
EXAMPLE = "two-dogs-at-window.jpg"


def demo(model: ModelName = None) -> None:
    """Index the sample photos, then search them by words and by example."""
    photos = sample_photos_folder()
    if not photos.is_dir():
        raise CocaSearchError(
            f"the sample photos are missing: {photos}",
            hint="install cocasearch again from its folder: pip install .",
        )
    from cocasearch.indexing.builder import IndexBuilder
    from cocasearch.inference.generation.caption_options import CaptionOptions
    from cocasearch.inference.loaded_model import load_model
    from cocasearch.search.searcher import Searcher

    loaded = load_model(model)
    folder = index_folder(INDEX)
    _show_command("index", console.shown(photos), "--index", INDEX)
    present = find_manifest(folder / MANIFEST_FILE)
    wanted = (loaded.fingerprint, SCHEMA_VERSION)
    outdated = present is not None and (present.model_fingerprint, present.schema_version) != wanted
    builder = IndexBuilder(folder, loaded, caption_options=CaptionOptions())
    with console.progress("indexing", "photos") as advance:
        report = builder.build([photos], rebuild=outdated, progress=advance)
    summarise(report, folder)
    searcher = Searcher(folder, loaded)
    example = photos / EXAMPLE
    for query in (*TEXTS, example):
        _show_command("query", _quoted(query), "--index", INDEX, "--top", str(TOP_K))
        print_hits(searcher.search(query, TOP_K), Format.table)
    console.report("", "now your own: cocasearch index ~/Pictures")


def _quoted(query: str | Path) -> str:
    return console.shown(query) if isinstance(query, Path) else f'"{query}"'


def _show_command(*words: str) -> None:
    console.write_lines("", f"$ cocasearch {' '.join(words)}")
