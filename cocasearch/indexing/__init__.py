"""Makes a searchable index folder from image files, and keeps it up to date.

manifest.json      which model, which roots, which table: a reader starts here
manifest-copy.json the same once more, for repairs
images-N.lance/    the table of image records, the only truth
snapshot/          vectors and captions derived from one version of that table; safe to delete
unreadable.json    files that could not be read, so that each is reported once
rebuild*.json      the same and the manifest of a table that is being made to take the place of the present one
writer.lock        held by the one process that writes
"""

import os

# Unless told otherwise Lance reads 2 GB, and many fragments, ahead of itself: merging what runs have added to a table,
# it would take memory as a table is large. Read by Lance when it first reads a table.
os.environ.setdefault("LANCE_DEFAULT_IO_BUFFER_SIZE", str(16 * 2**20))
os.environ.setdefault("LANCE_DEFAULT_BATCH_SIZE", "1024")
os.environ.setdefault("LANCE_DEFAULT_FRAGMENT_READAHEAD", "1")
