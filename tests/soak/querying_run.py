"""A process that queries an index all the time, until its standard input ends; then it says how often, as JSON.

    python querying_run.py INDEX MODEL

Any error, and any photo of the folder that nobody touches that was found once and is not found again, ends it at once.
"""

import json
import sys
import threading
from pathlib import Path

from soak.changing_photos import STEADY

from cocasearch import Searcher, load_model
from cocasearch.errors import CocaSearchError, NothingFound
from cocasearch.indexing.store.location import MANIFEST_FILE
from cocasearch.indexing.store.manifest import find_manifest
from cocasearch.indexing.summary import summarise_index

EVERYTHING = 100_000

index, model = map(Path, sys.argv[1:3])
loaded = load_model(model, towers=("text",))
found: set[str] = set()
ended = threading.Event()


def wait_for_the_end() -> None:
    sys.stdin.read()
    ended.set()


def query(searcher: Searcher, where: str | None = None) -> set[str]:
    """The untouched photos among all that a query finds."""
    try:
        hits = searcher.search("a red square", EVERYTHING, where=where)
    except NothingFound:
        return set()
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)
    return {hit.relative_path for hit in hits if hit.relative_path.startswith(STEADY)}


threading.Thread(target=wait_for_the_end, daemon=True).start()
while find_manifest(index / MANIFEST_FILE) is None and not ended.wait(0.01):
    pass
try:
    staying, queries, is_last = Searcher(index, loaded), 0, False
    while not is_last:
        is_last = ended.is_set()  # one more round sees the index as it is left
        staying.refresh()
        for open_searcher in (lambda: staying, lambda: Searcher(index, loaded)):
            searcher = open_searcher()  # not before: the other may have caught up with the index meanwhile
            for where in (None, f"path LIKE '{STEADY}/%'"):
                now = query(searcher, where)
                assert found <= now, f"not found any more: {found - now}"
                found |= now
                queries += 1
        summarise_index(index)
except CocaSearchError as error:
    raise SystemExit(f"{error}; {error.hint}") from error
sys.stdout.write(json.dumps({"queries": queries, "found": len(found)}))
