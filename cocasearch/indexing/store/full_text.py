"""The full-text index over the captions of a LanceDB table: how words are compared, and which captions have some."""

from collections.abc import Sequence

import lancedb
import pyarrow as pa
from lancedb.index import FTS
from lancedb.table import Table

CAPTION_INDEX = "caption_words"

_WORDS_PER_SEARCH = 256


def index_words(table: Table) -> None:
    """Make the full-text index of a table's captions, anew if there is one."""
    table.create_index("caption", config=FTS(with_position=False), name=CAPTION_INDEX)


def ids_with_words(table: Table, words: Sequence[str]) -> set[str]:
    """The ids of the rows with one of some words in their captions, by the full-text index.

    Raises:
        OSError, RuntimeError, ValueError: It cannot be read.
    """
    count = int(table.count_rows())
    ids: set[str] = set()
    for start in range(0, len(words), _WORDS_PER_SEARCH):
        searched = " ".join(words[start : start + _WORDS_PER_SEARCH])
        query = table.search(searched, query_type="fts", fts_columns="caption").limit(count)
        ids.update(query.select(["id", "_score"]).to_arrow()["id"].to_pylist())
    return ids


def ids_to_be_found(rows: pa.Table, words: Sequence[str]) -> set[str]:
    """The ids of rows, with `id` and `caption`, that a full-text index finds by one of some words when it is new.

    It leaves out words such as "through", and what has the same stem as one of them.
    """
    table = lancedb.connect("memory://").create_table("captions", rows.select(["id", "caption"]))
    index_words(table)
    return ids_with_words(table, words)
