"""One indexing run as a process of its own: it says that it is ready when the model is loaded, and then it indexes.

    python indexing_run.py INDEX PHOTOS MODEL [--rebuild | --prune]

It commits as often as it can, so that a kill finds it in the middle of something.
"""

import sys
from pathlib import Path

from cocasearch import IndexBuilder, load_model
from cocasearch.indexing.scan.update_options import UpdateOptions

index, photos, model = map(Path, sys.argv[1:4])
builder = IndexBuilder(index, load_model(model), batch_size=4, commit_seconds=0)
sys.stdout.write("ready\n")
sys.stdout.flush()
builder.build([photos], rebuild="--rebuild" in sys.argv, options=UpdateOptions(prune="--prune" in sys.argv))
